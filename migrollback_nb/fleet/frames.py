"""Rows of a fleet as one DataFrame: target and status first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as text columns, times (columns that end in ``_at``) in UTC, lists as tuples; the same with no rows."""
    import numpy as np
    import pandas as pd

    text = pd.StringDtype(na_value=np.nan)

    def series(column: str) -> pd.Series[Any]:
        values = [row.get(column) for row in rows]
        if column.endswith("_at"):
            return pd.Series(pd.to_datetime(pd.Series(values, dtype=object), utc=True)).astype("datetime64[us, UTC]")
        if any(isinstance(value, list | tuple | dict) for value in values):
            return pd.Series([tuple(v) if isinstance(v, list) else v for v in values], dtype=object)
        if values and all(isinstance(value, bool) for value in values):
            return pd.Series(values, dtype=bool)
        if any(isinstance(value, int | float) for value in values):
            return pd.Series(values, dtype="Float64" if any(isinstance(v, float) for v in values) else "Int64")
        return pd.Series([None if value is None else str(value) for value in values], dtype=text)

    return _of_fleet(pd.DataFrame({column: series(column) for column in columns}))


def joined(answers: Sequence[tuple[str, str, str, pd.DataFrame | None]]) -> pd.DataFrame:
    """Frames of several targets as one, with a row for each target that gave none.

    Parameters
    ----------
    answers : sequence of (target, status, message, frame or None)

    Returns
    -------
    DataFrame
        Columns target, status, message, and the question's own; its own ``status`` is ``migration_status``.
    """
    import numpy as np
    import pandas as pd

    text = pd.StringDtype(na_value=np.nan)
    parts = []
    for target, status, message, found in answers:
        own = pd.DataFrame() if found is None else found.rename(columns={"status": "migration_status"})
        count = max(1, len(own))
        head = pd.DataFrame(
            {"target": [target] * count, "status": [status] * count, "message": [message or None] * count}, dtype=text
        )
        parts.append(head if own.empty else pd.concat([head, own.reset_index(drop=True)], axis=1))
    if not parts:
        return _of_fleet(pd.DataFrame({name: pd.Series([], dtype=text) for name in ("target", "status", "message")}))
    widest = max(parts, key=lambda part: part.shape[1])
    answer = pd.concat(parts, ignore_index=True)
    return _of_fleet(answer[[*widest.columns, *(column for column in answer.columns if column not in widest.columns)]])


def _of_fleet(answer: pd.DataFrame) -> pd.DataFrame:
    """Mark a frame as ours, by which a notebook shows it as all others of ours."""
    answer.attrs["frame"] = "fleet"
    return answer
