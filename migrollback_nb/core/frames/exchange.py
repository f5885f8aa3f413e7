"""Frames for pyarrow and polars, which are extras: tuples become lists, dicts JSON. Pure."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from migrollback_nb.core.errors import UsageError

if TYPE_CHECKING:
    from types import ModuleType


def as_arrow(frame: pd.DataFrame) -> Any:
    """A frame as pyarrow's Table; pure.

    Raises
    ------
    UsageError
        When pyarrow is not installed.
    """
    pyarrow = _imported("pyarrow")
    return pyarrow.Table.from_pandas(plain(frame), preserve_index=False)


def as_polars(frame: pd.DataFrame) -> Any:
    """A frame as polars' DataFrame; pure.

    Raises
    ------
    UsageError
        When polars or pyarrow is not installed.
    """
    return _imported("polars").from_arrow(as_arrow(frame))


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with lists of text in place of tuples, and JSON in place of dicts and all else; pure."""
    found = frame.copy(deep=False)
    for name in (name for name, dtype in frame.dtypes.items() if dtype == "object"):
        found[name] = pd.Series([_plain(value) for value in frame[name]], index=frame.index, dtype=object)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list) and all(isinstance(one, str) for one in value):
        return list(value)
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return None if missing else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _imported(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise UsageError(
            f"{name} is not installed here",
            hint="pip install 'migrollback-nb[arrow]' brings pyarrow and polars; as_=\"pandas\" needs neither.",
        ) from None
