"""What the methods of frames are asked with: windows of time, lists of words, the form of the answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.selectors.near import close_to, one_of
from migrollback_nb.core.times import When, read_time

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.database.history_queries import Window

#: A selector, several of which any counts, or none.
Selector: TypeAlias = "str | Sequence[str] | None"
#: One word or several.
Words: TypeAlias = "str | Sequence[str] | None"
#: The form of an answer: pandas' DataFrame, pyarrow's Table or polars' DataFrame.
Form: TypeAlias = Literal["pandas", "arrow", "polars"]


def window(since: When | None = None, until: When | None = None) -> Window:
    """From when until when; a day, month or year is whole at both ends; pure.

    Raises
    ------
    UsageError
        When one of them is no time.
    """
    from migrollback_nb.database.history_queries import Window

    return Window(
        since=None if since is None else read_time(since),
        until=None if until is None else read_time(until, end=True),
    )


def words(given: Words, known: Sequence[str] = (), *, what: str = "") -> tuple[str, ...] | None:
    """One word or several as a tuple; None where none is given; pure.

    Raises
    ------
    UsageError
        When one of them is not among the known ones, with those that come close.
    """
    if given is None:
        return None
    found = (given,) if isinstance(given, str) else tuple(given)
    for word in found:
        if known and word not in known:
            raise UsageError(f"There is no {what} {word}", hint=close_to(word, known) or f"Use {one_of(known)}.")
    return found


def count(given: int | None, name: str) -> int | None:
    """A number of rows; pure.

    Raises
    ------
    UsageError
        When it is negative.
    """
    if given is not None and given < 0:
        raise UsageError(f"{name}={given} is no number of rows", hint="Give 0 or more.")
    return given


def answer(
    frame: pd.DataFrame,
    name: str,
    form: Form,
    *,
    target: Any,
    schema: str,
    warnings: Sequence[str] = (),
    filters: Mapping[str, Any],
) -> pd.DataFrame:
    """A frame that says whence it is, in the form that was asked for.

    ``attrs``: frame, target, schema, asked_at, filters, warnings: plain values, so that Parquet keeps them.
    """
    frame.attrs |= {
        "frame": name,
        "target": str(target),
        "schema": schema,
        "asked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "filters": {key: _plain(value) for key, value in filters.items() if value not in (None, False)},
        "warnings": tuple(warnings),
    }
    if form == "pandas":
        return frame
    from migrollback_nb.core.frames.exchange import as_arrow, as_polars

    if form not in ("arrow", "polars"):
        raise UsageError(f"There is no form {form}", hint="Use pandas, arrow or polars.")
    return cast("pd.DataFrame", as_arrow(frame) if form == "arrow" else as_polars(frame))


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | str):
        return value
    return [str(one) for one in value] if isinstance(value, Sequence) else str(value)
