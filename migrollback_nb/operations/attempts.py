"""Attempts with an id of the caller's own: a job that runs twice rolls back once, and hears how that ended. Reads."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import results
from migrollback_nb.core.errors import Refused, RollbackFailed, UsageError
from migrollback_nb.core.text import first_few
from migrollback_nb.core.times import show_time
from migrollback_nb.operations import ranges

if TYPE_CHECKING:
    from migrollback_nb.core.results import ChainResult, RollbackResult
    from migrollback_nb.core.results.selection import Range
    from migrollback_nb.database import Database
    from migrollback_nb.database.session import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What the audit log knows of an attempt that was begun."""

    id: str  #: its id
    asked: Mapping[str, Any] | None  #: what it was begun for, as `Range.asked`; None where a function of SQL was called
    names: tuple[str, ...]  #: the migrations, in the order of their rollback
    each: bool  #: each in a transaction of its own
    done: Mapping[str, Row]  #: migration -> its event rolled_back
    failed: Row | None = None  #: the event of a failure that does not pass, where it ended so
    parts: Mapping[str, str] | None = None  #: of each by itself: migration -> what its fingerprint says of its SQL

    @property
    def has_ended(self) -> bool:
        """Whether all of it is rolled back."""
        return all(name in self.done for name in self.names)

    def is_for(self, asked: Mapping[str, Any]) -> bool:
        """Whether this is what it was begun for: the same words, or just these names."""
        if self.asked is not None and dict(self.asked) == dict(asked):
            return True
        named = {"names", "each"} >= asked.keys() and bool(asked.get("each")) == self.each
        return named and set(asked["names"]) == set(self.names)


def read_id(attempt_id: uuid.UUID | str | None) -> str | None:
    """The id of an attempt as it is kept; pure.

    Raises
    ------
    UsageError
        When it is no UUID.
    """
    if attempt_id is None or isinstance(attempt_id, uuid.UUID):
        return None if attempt_id is None else str(attempt_id)
    try:
        return str(uuid.UUID(attempt_id))
    except (ValueError, AttributeError, TypeError):
        raise UsageError(
            f"{attempt_id!r} is no id of an attempt: that is a UUID",
            hint="One for each job, made by uuidgen, or uuid5 of the job's own name.",
        ) from None


def step_id(attempt_id: str, place: int) -> str:
    """The id of one step of an attempt that takes a transaction for each, counted from 1; pure.

    Examples
    --------
    >>> step_id("6d3e0b3f-d5a1-4f0b-9a53-6d1c2a7c9e10", 1)
    '1e68466b-a0da-58dd-b224-ab1546adceb3'
    """
    return str(uuid.uuid5(uuid.UUID(attempt_id), str(place)))


def look_up(database: Database, attempt_id: str) -> Attempt | None:
    """What is known of an attempt, once no one is at work on it; None where it never began. Does not write.

    Raises
    ------
    LockBusy
        When another session was at work for as long as a rollback may take.
    """
    if not database.attempts.began([attempt_id, step_id(attempt_id, 1)]):
        return None
    begun = database.attempts.events([attempt_id, step_id(attempt_id, 1)])
    first = next((row for row in begun if row["event"] == "started"), None)
    each = first is not None and "names" in first["details"]
    if first is not None and each:
        names = tuple(first["details"]["names"])
        begun = database.attempts.events([step_id(attempt_id, place) for place, _ in enumerate(names, 1)])
    else:
        names = tuple(dict.fromkeys(row["migration_name"] for row in begun if row["event"] != "refused"))
    done = {row["migration_name"]: row for row in begun if row["event"] == "rolled_back"}
    failures = [row for row in begun if row["event"] == "failed" and row["migration_name"] not in done]
    failed = failures[-1] if failures and failures[-1]["details"].get("passing") is False else None
    if not names:
        return None
    return Attempt(
        id=attempt_id,
        asked=None if first is None else first["details"].get("asked"),
        names=names,
        each=each,
        done=done,
        failed=None if len(done) == len(names) else failed,
        parts=first["details"].get("parts") if first is not None else None,
    )


def rolled_back(database: Database, attempt_id: str) -> Row | None:
    """The event by which this attempt rolled its one migration back, once no one is at work; else None. Reads."""
    events = database.attempts.events([attempt_id])
    return next((row for row in events if row["event"] == "rolled_back"), None)


def find(database: Database, range: Range, attempt_id: str | None, *, folder: Path | None) -> ranges.Found:
    """As `ranges.find`; of an attempt that began before, what it began with, whatever it means now. Does not write.

    Raises
    ------
    Refused
        When it was begun for something else.
    """
    if attempt_id is not None and (attempt := look_up(database, attempt_id)) is not None:
        require_same(attempt, range.asked | ({"each": True} if attempt.each else {}))
        left = tuple(name for name in attempt.names if name not in attempt.done)
        return ranges.Found(range=range, steps=left or attempt.names, begun=attempt.names)
    return ranges.find(database, range, folder=folder)


def ended(database: Database, asked: Mapping[str, Any], attempt_id: str) -> RollbackResult | ChainResult | None:
    """How this attempt ended, where it was made before and all of it is rolled back; else None. Does not write.

    Raises
    ------
    Refused
        When it was begun for something else.
    RollbackFailed
        When it failed, for good.
    """
    attempt = look_up(database, attempt_id)
    if attempt is None:
        return None
    require_same(attempt, asked)
    if attempt.failed is not None:
        raise _failure(attempt, attempt.failed)
    return result_of(attempt) if attempt.has_ended else None


def require_same(attempt: Attempt, asked: Mapping[str, Any]) -> None:
    """Make sure that an attempt was begun for what is asked for now; pure.

    Raises
    ------
    Refused
        When it was for something else: nothing runs then.
    """
    if not attempt.is_for(asked):
        raise Refused(
            f"Attempt {attempt.id} was begun for something else, for {first_few(attempt.names)}: nothing was run",
            migration_name=attempt.names[-1],
            hint="Another rollback takes an id of its own.",
        )


def result_of(attempt: Attempt) -> RollbackResult | ChainResult:
    """The result of an attempt that had rolled back all of it before; pure."""
    steps = tuple(step_done(attempt.done[name]) for name in attempt.names)
    if len(steps) == 1:
        return steps[0]
    return results.ChainResult(results=steps, each=attempt.each, before=True)


def step_done(event: Row) -> RollbackResult:
    """The result of a migration that an attempt had rolled back before, from its event; pure."""
    return results.RollbackResult(
        success=True,
        message=f"Rolled back by this attempt already, at {show_time(event['occurred_at'])}: nothing ran now",
        sql_executed=None,
        migration_name=event["migration_name"],
        attempt_id=str(event["attempt_id"]),
        anchor=f"{event['event_number']}:{event['hash']}",
        duration_ms=event["details"].get("duration_ms"),
    )


def _failure(attempt: Attempt, event: Row) -> RollbackFailed:
    details = event["details"]
    error = RollbackFailed(
        f"This attempt failed already, at {show_time(event['occurred_at'])}: {details.get('message', '')}",
        migration_name=event["migration_name"],
        sqlstate=details.get("sqlstate"),
        detail=details.get("detail"),
        hint="Nothing ran now. Once the cause is fixed, try again with another id.",
        statement_number=details.get("statement_number"),
        statement=details.get("statement"),
    )
    error.done = done_before(attempt.names, attempt.done)
    return error


def done_before(names: Sequence[str], done: Mapping[str, Row]) -> tuple[str, ...]:
    """Which of these migrations an attempt has rolled back, in their order; pure."""
    return tuple(name for name in names if name in done)
