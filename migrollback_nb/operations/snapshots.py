"""Snapshots around a command, and what they prove afterwards. Writes snapshots and events, never anything else.

A snapshot that cannot be taken stops no command: it becomes a warning, and there is less to verify with.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from migrollback_nb.core import results
from migrollback_nb.core.errors import (
    ConnectionFailed,
    DatabaseError,
    LockBusy,
    MigrollbackError,
    Refused,
    UsageError,
)
from migrollback_nb.core.later import Later
from migrollback_nb.core.selectors.near import close_to
from migrollback_nb.core.times import read_time, show_time
from migrollback_nb.operations.rejection import not_found

if TYPE_CHECKING:
    from migrollback_nb.core.results import PruneResult, SchemaDiff, Verification
    from migrollback_nb.core.results.definitions import Definition
    from migrollback_nb.core.times import When
    from migrollback_nb.database import Database

#: ends: one before and one after; each: also between the migrations of one run; none.
Snapshots = Literal["ends", "each", "none"]
Moment = Literal["before apply", "after apply", "before rollback", "after rollback"]


def check_choice(snapshots: str) -> None:
    """Make sure that it is one of `Snapshots`; does not write.

    Raises
    ------
    UsageError
        When it is not.
    """
    if snapshots not in ("ends", "each", "none"):
        raise UsageError(f"There are no snapshots {snapshots!r}", hint="Use ends, each or none.")


def take(
    database: Database, moment: Moment, names: Sequence[str], *, then: Sequence[str] = ()
) -> tuple[str | None, tuple[str, ...]]:
    """Take a snapshot around a command with these migrations. Writes it, unless nothing has changed since the last.

    `then`: what is applied next, which it is before, too.

    Returns
    -------
    tuple
        The snapshot's id, or None with the warning that says why there is none.

    Raises
    ------
    DatabaseError, ConnectionFailed
        Before a command, when it was cancelled or the connection was lost.
    """
    try:
        return _snapshot(database, moment, names, then), ()
    except ConnectionFailed as error:
        if moment.startswith("before"):
            raise
        return None, (f"No snapshot was taken {moment}: {error.message}",)  # what it is about is committed
    except (LockBusy, DatabaseError) as error:
        if moment.startswith("before") and database.session.cancelled:  # a user who cancels does not want what follows
            raise DatabaseError(
                "Cancelled before anything ran", sqlstate="57014", hint="Nothing was changed."
            ) from error
        return None, (f"No snapshot was taken {moment}: {error.message}",)


def _snapshot(database: Database, moment: Moment, names: Sequence[str], then: Sequence[str]) -> str:
    """The snapshot's id. What is committed does not wait for a server that has gone: a new connection is tried once."""
    try:
        return database.commands.snapshot_around(moment, names, then)
    except ConnectionFailed:
        if moment.startswith("before"):
            raise
        database.session.reconnect()
        return database.commands.snapshot_around(moment, names, then)


def after_sync(database: Database, names: Sequence[str]) -> tuple[str, ...]:
    """Take a snapshot at the end of a sync that registered these migrations. Writes it, unless nothing has changed.

    It is what was before the next deploy. Returns the warning that says why there is none.
    """
    try:
        database.commands.snapshot_after_sync(names)
    except (LockBusy, DatabaseError, ConnectionFailed) as error:
        return (
            f"No snapshot was taken after the sync: {error.message}. What the next deploy brings can be compared with"
            " it no more, so a rollback of it will not be verified by it",
        )
    return ()


def verify(
    database: Database, names: Sequence[str], *, before: str | None, fingerprint: str | None = None
) -> tuple[Verification | None, tuple[str, ...]]:
    """Compare what there is after a rollback with before the apply. Writes a snapshot and event ``verified``.

    Parameters
    ----------
    database : Database
        Where it ran.
    names : sequence of str
        The migrations that were rolled back.
    before : str, optional
        Snapshot from before the rollback.
    fingerprint : str, optional
        From before the rollback: finds what a rehearsal foretold, where there is no snapshot from before a migration
        was applied.

    Returns
    -------
    tuple
        The verification, or None with the warning that says why there is none.
    """
    if database.session.rights.through_gate:
        return _verify_through_gate(database, names[-1])
    after, warnings = take(database, "after rollback", names)
    try:
        if database.connection.closed:
            database.session.reconnect()
        try:
            row = database.queries.verify_rollback(names, before, after, fingerprint)
        except ConnectionFailed:
            database.session.reconnect()
            row = database.queries.verify_rollback(names, before, after, fingerprint)
    except (LockBusy, DatabaseError, ConnectionFailed) as error:
        return None, (*warnings, _not_verified(names[-1], error))
    found = verification_of(row)
    details = {
        "verdict": found.verdict,
        "message": found.message,
        "migrations": list(names),
        "differences": [str(change) for change in found.differences.changes[:50]],
        "unexpected": [str(change) for change in found.unexpected.changes[:50]],
        "effects": [effect.to_dict() for effect in found.effects],
    }
    if found.verdict == "unknown":
        warnings += (
            f"To compare it with a replay of the folder: migrollback verify-rollback {shlex.quote(names[-1])} --replay",
        )
    try:
        database.commands.add_event("verified", names[-1], details)
    except (LockBusy, DatabaseError, ConnectionFailed) as error:
        return found, (*warnings, f"The rollback is done and verified, but that could not be recorded: {error.message}")
    return found, warnings


def _not_verified(name: str, error: MigrollbackError) -> str:
    later = f"migrollback verify-rollback {shlex.quote(name)} (in SQL: verify_last_rollback)"
    return f"The rollback is done, but could not be verified: {error.message}. Verify it later: {later}"


def _verify_through_gate(database: Database, name: str) -> tuple[Verification | None, tuple[str, ...]]:
    """As `verify`, where the database itself takes the snapshot and records what it found. Writes both."""
    try:
        if database.connection.closed:
            database.session.reconnect()
        return verification_of(database.gate.verify(name)), ()
    except (LockBusy, DatabaseError, ConnectionFailed) as error:
        return None, (_not_verified(name, error),)


def verification_of(row: Mapping[str, Any]) -> Verification:
    """The result of a row of verify_migration_rollback(), with the DDL of what differs; pure."""
    found = results.Verification.from_row(row)
    return replace(
        found,
        changes=_with_definitions(found.changes),
        differences=_with_definitions(found.differences),
        unexpected=_with_definitions(found.unexpected),
    )


def _with_definitions(diff: SchemaDiff) -> SchemaDiff:
    """The difference, with the DDL of what differs once it is looked at: most verifications are read as one line."""
    if not diff:
        return diff

    def write() -> tuple[Definition, ...]:
        from migrollback_nb.undo.ddl.definitions import definitions

        return tuple(definitions(diff.changes))

    return replace(diff, definitions=Later(write))


def prune(database: Database, age: When) -> PruneResult:
    """Throw away snapshots that are older, but for those that a verification needs. Writes, with an event.

    Raises
    ------
    UsageError
        When the age is none, or lies ahead.
    """
    return results.PruneResult(**database.commands.prune_snapshots(before(age)))


def before(age: When) -> datetime:
    """The time before which something has this age; pure.

    Raises
    ------
    UsageError
        When the age is none, or lies ahead.
    """
    found = read_time(age)
    now = datetime.now(UTC)
    moment = now - found if isinstance(found, timedelta) else found
    if moment > now:
        raise UsageError(f"{age} lies ahead", hint="Write an age, such as 30d.")
    return moment


def diff(database: Database, old: str, new: str = "now") -> SchemaDiff:
    """What differs between two snapshots, or between one and now. Does not write.

    Each is named by its id, the beginning of it, or a migration: the newest that was taken for it.

    Raises
    ------
    UsageError
        When there is no such snapshot, or more than one.
    """
    from migrollback_nb.undo.ddl.definitions import with_definitions

    old_id, old_label = _find(database, old)
    new_id, new_label = (None, "now") if new == "now" else _find(database, new)
    found = results.SchemaDiff.from_rows(database.queries.diff(old_id, new_id), old=old_label, new=new_label)
    return with_definitions(found)


def _find(database: Database, wanted: str) -> tuple[str, str]:
    found = database.queries.find_snapshots(wanted)
    if len(found) != 1:
        trouble = f"There is no snapshot {wanted}" if not found else f"{len(found)} snapshots begin with {wanted}"
        near = close_to(wanted, (row["migration_name"] for row in database.queries.snapshots())) if not found else None
        lists = "migrollback snapshots lists them with their ids."
        raise UsageError(trouble, hint=f"{near} {lists}" if near is not None else lists)
    row = found[0]
    return str(row["id"]), f"{show_time(row['taken_at'])} ({row['migration_name']}" + (
        f": {row['description']})" if row["description"] else ")"
    )


def verify_later(
    database: Database, name: str, *, replay: Callable[[Sequence[str]], Mapping[str, Sequence[Any]]] | None = None
) -> Verification:
    """Verify the last rollback of a migration, not verified at once. Writes one event, and perhaps snapshots.

    Parameters
    ----------
    replay : callable, optional
        Gives the states of the schema before and after migrations, by name, where there is no snapshot from before.

    Raises
    ------
    MigrationNotFound, Refused
        When it is not registered, or not rolled back.
    """
    row = database.queries.find(name)
    if row is None:
        raise not_found(database, name)
    if row["status"] != "rolled_back":
        raise Refused(f"There is no rollback of {name} to verify: its status is {row['status']}", migration_name=name)
    found = verification_of(database.commands.verify_last_rollback(name))
    if replay is None or found.verdict != "unknown":
        return found
    for one, (before, after) in replay(database.lookups.rolled_back_with(name)).items():
        database.commands.store_replayed(one, before.objects, after.objects, before.role)
    return verification_of(database.commands.verify_last_rollback(name))
