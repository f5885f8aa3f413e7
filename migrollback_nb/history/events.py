"""The audit log as a frame. Does not write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.clients import split_client
from migrollback_nb.database.history_queries import NULL, Window

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events are asked for."""

    names: Sequence[str] | None = None
    events: Sequence[str] | None = None
    actors: Sequence[str] | None = None
    window: Window = field(default_factory=Window)
    limit: int | None = None
    newest_first: bool = False
    details: bool = True


def event_frame(database: Database, wanted: Wanted, *, after: int | None = None) -> pd.DataFrame:
    """Events as a frame, without the column details where these are not wanted. Does not write."""
    from migrollback_nb.core.frames import columns, copied
    from migrollback_nb.core.frames.columns import columns_of

    kinds = {
        "event_number": columns.COUNT,
        "occurred_at": columns.TIME,
        "event": columns.SET,
        "migration_name": columns.TEXT,
        "attempt_id": columns.TEXT,
        "actor": columns.SET,
        "client": columns.SET,
        "reason": columns.TEXT,
        "hash": columns.TEXT,
    } | ({"details": columns.OBJECT} if wanted.details else {})
    with database.history.events(
        names=wanted.names,
        kinds=wanted.events,
        actors=wanted.actors,
        window=wanted.window,
        after=after,
        newest_first=wanted.newest_first,
        limit=wanted.limit,
        rest="e.hash, e.details" if wanted.details else "e.hash",
    ) as source:
        found = copied.read(source, kinds, null=NULL)
    found["event"] = copied.closed(found["event"], "event")
    frame = with_who(found)
    return frame[[name for name in columns_of("events") if name in frame.columns]]


def with_who(found: pd.DataFrame) -> pd.DataFrame:
    """Actor as text, and client split into interface, os_user and host: once for each that there is; pure."""
    from migrollback_nb.core.frames.build import dtype_of
    from migrollback_nb.core.frames.columns import COLUMNS

    text = dtype_of(COLUMNS["actor"])
    clients = found["client"].cat
    split = [split_client(client) for client in clients.categories]
    for place, name in enumerate(("interface", "os_user", "host")):
        found[name] = _by_code(clients.codes, [parts[place] for parts in split], text)
    found["actor"] = _by_code(found["actor"].cat.codes, list(found["actor"].cat.categories), text)
    return found.drop(columns="client")


def _by_code(codes: Any, words: Sequence[str | None], dtype: Any) -> Any:
    """A word for each code; missing for -1; pure."""
    import pandas as pd

    return pd.Series(pd.array([*words, None], dtype=dtype).take(codes.to_numpy()), index=codes.index)


def event_parts(database: Database, wanted: Wanted, chunksize: int) -> Iterator[pd.DataFrame]:
    """Events as frames of so many rows; each is a query of its own, so that others may come between. Does not write."""
    after, left = None, wanted.limit
    while left is None or left > 0:
        part = replace(wanted, limit=chunksize if left is None else min(chunksize, left))
        frame = event_frame(database, part, after=after)
        if frame.empty:
            return
        yield frame
        if len(frame) < chunksize:
            return
        after = int(frame["event_number"].iloc[-1])
        left = None if left is None else left - len(frame)
