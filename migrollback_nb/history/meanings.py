"""What the columns of frames mean, from COMMENT ON COLUMN where they are those of a table. Reads no database."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.frames.columns import FRAMES, Column, columns_of
from migrollback_nb.core.selectors.near import close_to, one_of

if TYPE_CHECKING:
    import pandas as pd

_COMMENT = re.compile(
    r"COMMENT ON COLUMN migrollback_schema\.(?P<table>\w+)\.(?P<column>\w+) IS\s+(?P<text>(?:'(?:[^']|'')*'\s*)+);"
)


def columns(frame: str | pd.DataFrame) -> pd.DataFrame:
    """Explain the columns of a frame: dtype, unit, meaning. Reads no database and does not write.

    Parameters
    ----------
    frame : str or DataFrame
        The name of a frame, as of the method that gives it, or such a frame itself.

    Returns
    -------
    DataFrame
        Columns column, dtype, unit, meaning; in the order of the frame.

    Raises
    ------
    UsageError
        When there is no such frame.
    """
    import pandas as pd

    from migrollback_nb.core.frames.build import dtype_of

    name = frame if isinstance(frame, str) else frame.attrs.get("frame")
    if name not in FRAMES:
        raise UsageError(
            f"There is no frame {name}", hint=close_to(str(name), FRAMES) or f"There are {one_of(FRAMES, 'and')}."
        )
    text = dtype_of(columns_of("history")["notes"])
    rows = [(key, str(dtype_of(one)), one.unit, meaning(one)) for key, one in columns_of(name).items()]
    return pd.DataFrame(rows, columns=["column", "dtype", "unit", "meaning"]).astype(text)


def meaning(column: Column) -> str:
    """What a column says, with the words of its comment; pure."""
    found = column.comment_of
    said = column.meaning if found is None else _comments()[found]
    return f"{said.rstrip('.')}. One of {one_of(column.words)}." if column.words and found is None else said


@cache
def _comments() -> dict[tuple[str, str], str]:
    """(table, column) -> its comment, as install writes it."""
    text = files("migrollback_nb.database.sql").joinpath("comments.sql").read_text(encoding="utf-8")
    return {
        (one["table"], one["column"]): "".join(re.findall(r"'((?:[^']|'')*)'", one["text"])).replace("''", "'")
        for one in _COMMENT.finditer(text)
    }
