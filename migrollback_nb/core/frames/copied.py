"""CSV of COPY -> columns, a part at a time: no row becomes a Python object of its own. Reads no database."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

import pandas as pd

from migrollback_nb.core.frames.build import dtype_of
from migrollback_nb.core.frames.columns import COLUMNS, COUNT, MS, OBJECT, SET, TEXT, TIME


class Source(Protocol):
    """What CSV is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""

    def __iter__(self) -> Iterator[bytes]: ...


#: Rows of one part: few enough that a part and what it becomes are small beside the whole.
PART = 20_000

_READ_AS: dict[str, Any] = {
    TEXT: dtype_of(COLUMNS["reason"]),
    SET: "category",
    TIME: "int64",
    COUNT: "int64",
    MS: "float64",
    OBJECT: "object",
}


def read(source: Source, kinds: Mapping[str, str], *, null: str) -> pd.DataFrame:
    """Read CSV of COPY.

    Parameters
    ----------
    source : Source
        Where it comes from.
    kinds : mapping
        Column -> kind, in order. A time comes as microseconds since 1970, an object as JSON. Closed sets, and texts
        that are said to be one, become categories, for they repeat.
    null : str
        How NULL is written.
    """
    parts: dict[str, list[Any]] = {name: [] for name in kinds}
    with pd.read_csv(
        cast("Any", source),
        header=None,
        names=list(kinds),
        dtype={name: _READ_AS[kind] for name, kind in kinds.items()},
        na_values=[null],
        keep_default_na=False,
        chunksize=PART,
        encoding="utf-8",
    ) as chunks:
        for chunk in chunks:
            for name, kind in kinds.items():
                parts[name].append(_objects(chunk[name]) if kind == OBJECT else chunk[name])
    return pd.DataFrame({name: _whole(parts.pop(name), kind) for name, kind in kinds.items()})


def _whole(parts: list[Any], kind: str) -> Any:
    """The parts of a column as one."""
    if not parts:
        found = pd.Series([], dtype=_READ_AS[kind])
    elif kind == SET:
        found = pd.Series(pd.api.types.union_categoricals([_texts(part) for part in parts]))
    else:
        found = pd.concat(parts, ignore_index=True)
    if kind == TIME:
        return pd.Series(found.to_numpy().view("datetime64[us]")).dt.tz_localize("UTC")
    return found


def _texts(part: Any) -> Any:
    """A category whose categories are text, also where there are none; pure."""
    return part.array.set_categories(part.cat.categories.astype(_READ_AS[TEXT]), rename=True)


def _objects(texts: Any) -> Any:
    """Parse a column of JSON: all at once, for then equal keys are one object; pure."""
    with _no_collection():
        found = json.loads(f"[{','.join(text if isinstance(text, str) else 'null' for text in texts)}]")
    return pd.Series(found, dtype="object")


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection for a moment: thousands of new dicts would set off many, and none of them is garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def closed(values: Any, name: str) -> Any:
    """A category as read -> one with all values of its column; pure."""
    categories = dtype_of(COLUMNS[name], values.cat.categories).categories
    return values.cat.set_categories(categories)
