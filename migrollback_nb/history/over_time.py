"""How history and schema stood at a moment, and what changed between two, as rows of frames. Does not write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.clients import who
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.times import read_time, show_time

if TYPE_CHECKING:
    from migrollback_nb.core.times import When
    from migrollback_nb.database import Database


def moment_of(when: When, *, end: bool = False) -> datetime:
    """The moment that is meant: a span reaches back from now; pure, but for the clock."""
    found = read_time(when, end=end)
    return datetime.now(UTC) - found if isinstance(found, timedelta) else found


def rows_at(database: Database, when: When, *, system: bool) -> list[dict[str, Any]]:
    """Rows of the frame of `at`, by the time from which on each stood so. Does not write."""
    return [
        {**row, **who(row), "status_at": row["since"]}
        for row in database.questions.at(moment_of(when))
        if system or not row["is_system"]
    ]


def change_rows(database: Database, since: When, until: When) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Rows of the frame of changes, and what a person should know of the snapshots behind it. Does not write.

    Raises
    ------
    UsageError
        When no snapshot of the schema was ever taken.
    """
    begin = moment_of(since)
    end = None if isinstance(until, str) and until == "now" else moment_of(until, end=True)
    old = database.questions.snapshot_at(begin)
    if old is None:
        raise UsageError(
            "There is no snapshot of the schema to compare with",
            hint="apply and sync take them; migrollback snapshot NAME takes one now.",
        )
    new = None if end is None else database.questions.snapshot_at(end)
    remarks = tuple(
        f"No snapshot tells how the schema was at {show_time(moment)}: that of {show_time(found['taken_at'])} is taken,"
        " and migrations came or went between the two"
        for moment, found in ((begin, old), (end, new))
        if moment is not None and found is not None and not found["is_exact"]
    )
    rows = database.questions.changes(begin, end)
    return [{**row, "made_by": row["migrations"]} for row in rows], remarks


def drift_rows(database: Database, since: When | None) -> list[dict[str, Any]]:
    """Rows of the frame of drift, in the order in which it was met. Does not write."""
    return database.questions.drift(None if since is None else moment_of(since))
