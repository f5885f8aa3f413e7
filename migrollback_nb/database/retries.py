"""Tries a command again while it meets a lock, and finds out who holds it. Writes what the command writes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from psycopg import sql

from migrollback_nb.core import errors
from migrollback_nb.database.blockers import describe_blockers
from migrollback_nb.database.execution import ExecutionResult
from migrollback_nb.database.session import Row

if TYPE_CHECKING:
    from migrollback_nb.database.session import Session

T = TypeVar("T")

#: What is tried again: lock not available, deadlock, serialization failure. The same SQL may succeed the next time.
RETRIED = frozenset({"55P03", "40P01", "40001"})
#: Longest wait for one lock of autovacuum, which yields only after deadlock_timeout (1 s unless changed).
LONGER_THAN_DEADLOCK_TIMEOUT = "1500ms"


def retrying(
    session: Session,
    attempt: Callable[[str], T],
    *,
    met_lock: Callable[[T], bool] = lambda _: False,
    may_repeat: Callable[[], bool] = lambda: True,
) -> T:
    """Make an attempt, and make it again while it meets a lock. Writes what the attempt writes.

    Parameters
    ----------
    session : Session
        Of the connection on which it runs.
    attempt : callable
        Called with the lock_timeout to use.
    met_lock : callable
        Whether an outcome says that a lock was met.
    may_repeat : callable
        Whether an attempt that ended with `LockBusy` may be made again.

    Raises
    ------
    LockBusy
        When the last try meets a lock too, with who holds it.
    DatabaseError
        When the last try ends with 40001 too.
    """
    lock_timeout = session.timeouts.lock_timeout
    session.forget_cancellation()
    watch = session.blocker_watch
    met: dict[int, Row] = {}
    try:
        for tries_left in range(session.timeouts.retries, -1, -1):
            if session.cancelled:
                raise errors.DatabaseError("Cancelled before it began", sqlstate="57014", hint="Nothing was changed.")
            with watch.watch(session.connection.info.backend_pid) as blockers:
                try:
                    outcome = attempt(lock_timeout)
                except errors.DatabaseError as error:
                    if error.sqlstate not in RETRIED or isinstance(error, errors.SqlFailed):
                        raise
                    met |= blockers
                    if not tries_left or not may_repeat():
                        raise _given_up(session, error, met, changed=not may_repeat()) from error
                else:
                    met |= blockers
                    if not met_lock(outcome) or not tries_left:
                        if isinstance(outcome, ExecutionResult) and met_lock(outcome):
                            outcome.blocked_by = describe_blockers(met)
                        return outcome
            watch.eager = True
            lock_timeout = LONGER_THAN_DEADLOCK_TIMEOUT if yields_late(blockers) else lock_timeout
            if pause_before_retry(session, 1 + session.timeouts.retries - tries_left):
                raise errors.LockBusy("Cancelled while waiting for a lock", hint="Nothing was changed.")
    finally:
        watch.eager = False
    raise AssertionError("unreachable")


def _given_up(
    session: Session, error: errors.DatabaseError, met: dict[int, Row], *, changed: bool
) -> errors.DatabaseError:
    """What is raised in place of the error that the last try ended with. Does not write."""
    if not isinstance(error, errors.LockBusy):  # 40001: no one needs to be waited for
        return errors.DatabaseError(
            error.primary, sqlstate=error.sqlstate, detail=error.detail, hint=error.hint or "Try again."
        )
    hint = describe_blockers(met or gate_holders(session), changed=changed)
    return errors.LockBusy(error.primary, sqlstate=error.sqlstate, detail=error.detail, hint=hint)


def yields_late(blockers: Mapping[int, Row]) -> bool:
    """Whether one of those who block is autovacuum, which yields only to who waits longer; pure."""
    return any(blocker["backend_type"] == "autovacuum worker" for blocker in blockers.values())


def pause_before_retry(session: Session, tries: int) -> bool:
    """Wait, longer after each try; returns whether it was cancelled meanwhile. Does not write."""
    import random

    return session.wait_unless_cancelled(random.uniform(0.05, 0.25) * tries)  # noqa: S311  # jitter, no secret


def gate_holders(session: Session) -> dict[int, Row]:
    """Process id -> who holds the gate's lock now: where a wait was too short to be watched. Does not write."""
    rows = session.query(
        "SELECT a.pid, a.usename, a.application_name, a.state, a.backend_type FROM pg_catalog.pg_locks l JOIN"
        " pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' AND l.granted AND l.mode IN"
        " ('ExclusiveLock', 'RowShareLock') AND (l.relation = pg_catalog.to_regclass(%(own)s) OR l.mode ="
        " 'ExclusiveLock' AND l.relation = pg_catalog.to_regclass(%(gate)s)) AND l.pid <> pg_catalog.pg_backend_pid()",
        own=sql.Identifier(session.schema, _gate_of(session.scope)).as_string(None),
        gate=sql.Identifier(session.schema, "migration_gate").as_string(None),
    )
    return {row["pid"]: row for row in rows}


def _gate_of(scope: str | None) -> str:
    """The table that is locked, as migration_gate_name() says it; pure."""
    if scope is None:
        return "migration_gate"
    return "migration_gate_" + hashlib.md5(scope.encode(), usedforsecurity=False).hexdigest()[:12]
