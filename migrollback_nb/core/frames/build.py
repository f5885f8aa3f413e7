"""Rows -> pandas, with the columns and dtypes of `columns`, also for no rows, with and without pyarrow.

Reads no database. Times are aware, in UTC. Columns that hold several values hold tuples or dicts (dtype object).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from migrollback_nb.core.frames import columns as table

_DTYPES: dict[str, Any] = {
    table.TEXT: pd.StringDtype(na_value=np.nan),
    table.TIME: pd.DatetimeTZDtype("us", "UTC"),
    table.SPAN: np.dtype("timedelta64[us]"),
    table.MS: np.dtype("float64"),
    table.COUNT: np.dtype("int64"),
    table.COUNT_IF_KNOWN: pd.Int64Dtype(),
    table.FLAG: np.dtype("bool"),
    table.FLAG_IF_KNOWN: pd.BooleanDtype(),
    table.OBJECT: np.dtype("object"),
}


def dtype_of(column: table.Column, more: Iterable[str] = ()) -> Any:
    """The dtype of a column; of a closed set with more values, if there are: what is stored is never lost. Pure."""
    if column.kind != table.SET:
        return _DTYPES[column.kind]
    values = dict.fromkeys((*column.words, *sorted(set(more).difference(column.words))))
    return pd.CategoricalDtype(pd.Index(list(values), dtype=_DTYPES[table.TEXT]))


def frame_of(name: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as the frame of this name; keys that are no column of it are left out. Does not write."""
    found = list(rows)
    return pd.DataFrame(
        {key: series([row[key] for row in found], column) for key, column in table.columns_of(name).items()}
    )


def series(values: Sequence[Any], column: table.Column) -> Any:
    """Values as a Series of its column's dtype; pure."""
    if column.kind in (table.TEXT, table.SET):
        texts = [None if value is None else str(value) for value in values]
        return pd.Series(texts, dtype=dtype_of(column, (text for text in texts if text is not None)))
    dtype = dtype_of(column)
    if column.kind == table.TIME:
        return pd.to_datetime(pd.Series(values, dtype=object), utc=True).astype(dtype)
    if column.kind == table.OBJECT:
        return pd.Series([tuple(value) if isinstance(value, list) else value for value in values], dtype=dtype)
    return pd.Series(values, dtype=dtype)
