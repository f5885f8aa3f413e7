"""Attempts to apply, to roll back and to rehearse, paired from the events of the audit log. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, LiteralString

from migrollback_nb.database.history_queries import NULL, Window
from migrollback_nb.history.events import with_who

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.database import Database

#: Operation -> events that are one.
_EVENTS = {
    "apply": ("applied", "apply_failed"),
    "rollback": ("started", "rolled_back", "failed", "refused"),
    "rehearsal": ("rehearsed",),
}
OPERATIONS = tuple(_EVENTS)
#: After which a migration is applied, for in_place.
_APPLIES = ("applied", "registered")
_REST: LiteralString = (
    "e.details ->> 'duration_ms', e.details ->> 'sqlstate', CASE e.event WHEN 'resolved' THEN e.details ->> 'new' WHEN"
    " 'rehearsed' THEN CASE WHEN e.details ->> 'outcome' = 'stopped' THEN 'stopped' WHEN e.details ->> 'success' ="
    " 'true' THEN 'rehearsed' ELSE 'failed' END END"
)
_APPLIED = {"applied": "applied", "apply_failed": "failed"}


def attempt_frame(database: Database, *, names: Sequence[str] | None, kind: str | None, window: Window) -> pd.DataFrame:
    """Attempts in the order in which they began. Does not write.

    An attempt of which only the start is known has the outcome ``unknown`` and ends when it started.
    """
    from migrollback_nb.core.frames import columns, copied

    wanted = tuple(_EVENTS) if kind is None else (kind,)
    kinds = {event for one in wanted for event in _EVENTS[one]}
    with_place = "rollback" in wanted
    if with_place:
        kinds |= {*_APPLIES, "resolved"}
    with database.history.events(
        names=names,
        kinds=sorted(kinds),
        # in_place needs the apply before it, an end its start: these may be older
        window=Window(until=window.until) if with_place else window,
        rest=_REST,
    ) as source:
        found = copied.read(
            source,
            {
                "event_number": columns.COUNT,
                "occurred_at": columns.TIME,
                "event": columns.SET,
                "migration_name": columns.SET,
                "attempt_id": columns.TEXT,
                "actor": columns.SET,
                "client": columns.SET,
                "reason": columns.TEXT,
                "duration_ms": columns.MS,
                "sqlstate": columns.SET,
                "new": columns.SET,
            },
            null=NULL,
        )
    found["migration_name"] = found["migration_name"].astype(found["reason"].dtype)
    parts = [_rollbacks(found)] if with_place else []
    parts += [_others(found, one) for one in wanted if one != "rollback"]
    return _framed(parts, window)


def _rollbacks(found: pd.DataFrame) -> pd.DataFrame:
    """Each start with its end, ends without a start, starts without an end; and since when it was applied; pure."""
    began, ended = found["event"] == "started", found["event"].isin(("rolled_back", "failed", "refused"))
    both = found[began | ended].assign(began=began, ended=ended)
    attempt = both[both["attempt_id"].notna()].groupby(["attempt_id", "migration_name"], sort=False)
    before = attempt[["began", "occurred_at", "event_number"]].shift(1).reindex(both.index)
    paired = before["began"].eq(True) & both["ended"]  # missing is no start
    left = both["began"] & ~attempt["ended"].shift(-1).reindex(both.index).eq(True)
    both["started_at"] = both["occurred_at"].mask(paired, before["occurred_at"])
    both["place"] = both["event_number"].mask(paired, before["event_number"])
    rows = both[both["ended"] | left].copy()
    rows["operation"] = "rollback"
    rows["outcome"] = rows["event"].astype(object).replace({"started": "unknown"})
    # of each migration: how many rollbacks came before, and when it was applied first since the last of them
    undone = (found["event"] == "rolled_back") | ((found["event"] == "resolved") & (found["new"] == "rolled_back"))
    turns = undone.groupby(found["migration_name"]).cumsum() - undone.astype("int64")
    applied = found["event"].isin(_APPLIES)
    since = found["occurred_at"][applied].groupby([found["migration_name"][applied], turns[applied]]).first()
    key = [rows["migration_name"], turns.reindex(rows.index)]
    rows["in_place"] = rows["occurred_at"] - since.reindex(list(zip(*key, strict=True))).set_axis(rows.index)
    rows.loc[rows["event"] != "rolled_back", "in_place"] = None
    return rows


def _others(found: pd.DataFrame, operation: str) -> pd.DataFrame:
    """Applies or rehearsals, each one event, written when it ended; pure."""
    import pandas as pd

    rows = found[found["event"].isin(_EVENTS[operation])].copy()
    rows["started_at"] = rows["occurred_at"] - pd.to_timedelta(rows["duration_ms"].fillna(0), unit="ms")
    rows["place"] = rows["event_number"]
    rows["operation"] = operation
    rows["outcome"] = rows["new"] if operation == "rehearsal" else rows["event"].map(_APPLIED)
    rows["in_place"] = pd.Series(pd.NaT, index=rows.index, dtype="timedelta64[us]")
    return rows


def _framed(parts: Sequence[pd.DataFrame], window: Window) -> pd.DataFrame:
    """The rows as the frame of attempts, in the order in which they began; pure."""
    import pandas as pd

    from migrollback_nb.core.frames.build import dtype_of
    from migrollback_nb.core.frames.columns import columns_of

    whole = pd.concat([with_who(part) for part in parts]) if len(parts) > 1 else with_who(parts[0])
    whole = whole.rename(columns={"occurred_at": "ended_at"}).sort_values("place", kind="stable")
    since = window.since
    if since is not None:
        begin = since if isinstance(since, datetime) else datetime.now(UTC) - since
        whole = whole[whole["started_at"] >= begin]
    return pd.DataFrame(
        {
            name: whole[name].astype(object if column.words else dtype_of(column)).astype(dtype_of(column))
            for name, column in columns_of("attempts").items()
        }
    ).reset_index(drop=True)
