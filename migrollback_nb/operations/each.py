"""Several rollbacks one after another, each in a transaction of its own, up to the first that fails. Writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import results
from migrollback_nb.core.errors import Interrupted, LockBusy, MigrollbackError, Refused
from migrollback_nb.core.text import first_few
from migrollback_nb.operations import attempts, rollback
from migrollback_nb.operations.rejection import refusal

if TYPE_CHECKING:
    from migrollback_nb.core.results import ChainResult, Preview, Rehearsal, RollbackResult
    from migrollback_nb.database import Database

#: Digits of a fingerprint that say which migration it is and what runs; the rest changes with each step.
_OF_SQL = 36
#: How often a step that met another session's lock is tried again, where the other may be at the same attempt.
_TRIES = 3


def roll_back_each(
    database: Database,
    names: Sequence[str],
    *,
    asked: Mapping[str, Any],
    attempt_id: str | None,
    preview: Preview | Rehearsal | str | None,
    reason: str | None,
    accept_loss: bool,
    **options: Any,
) -> RollbackResult | ChainResult:
    """Roll these migrations back, in this order, each in a transaction of its own. Writes.

    All of them are looked at before the first: a rule that forbids one, or a preview that no longer holds, runs none.
    What runs is the SQL of then. An attempt that stopped between two goes on with the next.

    Parameters
    ----------
    names : sequence of str
        The migrations.
    asked : mapping
        What was asked for, for the audit log.
    attempt_id : str, optional
        The caller's own, of which those of the steps are made.
    preview : Preview, Rehearsal or str, optional
        Of all of them.
    reason, accept_loss, **options
        As of `operations.rollback.rollback`.

    Raises
    ------
    Refused, RollbackFailed, LockBusy, ConnectionFailed, Interrupted
        As `Workspace.rollback`; ``done`` is what was rolled back before, and stays so.
    """
    attempt = None if attempt_id is None else attempts.look_up(database, attempt_id)
    done: dict[str, RollbackResult] = {}
    parts: Mapping[str, str] = {}
    if attempt is not None and attempt.each:
        names, parts = attempt.names, (attempt.parts or {})
        done = {name: attempts.step_done(attempt.done[name]) for name in attempt.names if name in attempt.done}
    left = [name for name in names if name not in done]
    _require(database, left, preview=None if done else preview, reason=reason, accept_loss=accept_loss, **options)
    parts = parts or {name: found[:_OF_SQL] for name, found in database.lookups.fingerprints(names).items()}
    for place, name in enumerate(names, 1):
        if name in done:
            continue
        begun: dict[str, Any] = {"asked": dict(asked)}
        if place == 1:
            begun |= {"names": list(names), "parts": dict(parts)}
        try:
            done[name] = _step(
                database,
                name,
                part=parts[name],
                attempt_id=None if attempt_id is None else attempts.step_id(attempt_id, place),
                begun={} if attempt_id is None else begun,
                reason=reason,
                accept_loss=accept_loss,
                **options,
            )
        except MigrollbackError as error:
            _say_what_stays(error, names, tuple(done))
            raise
        except Interrupted as interrupt:
            stays = (*done, *interrupt.done)
            said = f" Rolled back before it, and they stay so: {first_few(tuple(done))}." if done else ""
            raise Interrupted(f"{interrupt.message}{said}", done=stays) from interrupt
    steps = tuple(done[name] for name in names)
    return steps[0] if len(steps) == 1 else results.ChainResult(results=steps, each=True)


def _require(
    database: Database,
    names: Sequence[str],
    *,
    preview: Preview | Rehearsal | str | None,
    reason: str | None,
    accept_loss: bool,
    folder: Path | None,
    **_: Any,
) -> None:
    """Make sure that all of them may run, as they were looked at."""
    from migrollback_nb.operations.preview import check

    fingerprint = rollback.fingerprint_of(database, preview, names)
    facts = database.facts.of_rollback(names, each=True)
    first = facts.dry_run[0]
    if not first["success"]:
        result = check(database, first["migration_name"], folder=folder)
        raise refusal(database, names, first["migration_name"], first["message"], result=result)
    if fingerprint is not None and (changed := database.lookups.changed_since_preview(fingerprint, facts.fingerprint)):
        raise Refused(changed, migration_name=names[0])
    rollback.require_on_production(database, names, facts, reason=reason, accept_loss=accept_loss)


def _step(
    database: Database, name: str, *, part: str, attempt_id: str | None, begun: Mapping[str, Any], **options: Any
) -> RollbackResult:
    """Roll one of them back, unless another job of the same attempt has."""
    for tries_left in range(_TRIES, -1, -1):
        try:
            now = database.lookups.fingerprints([name])[name]
            if now[:_OF_SQL] != part:
                raise Refused(  # noqa: TRY301  # looked up below, as the database's own refusals are
                    "The rollback SQL has changed since the first of them was begun, or what is stored of how it runs:"
                    " look at a new preview first",
                    migration_name=name,
                )
            found = rollback.rollback(database, (name,), preview=now, attempt_id=attempt_id, begun=begun, **options)
        except (Refused, LockBusy) as error:
            if attempt_id is None:
                raise
            if (event := attempts.rolled_back(database, attempt_id)) is not None:
                return attempts.step_done(event)
            if not isinstance(error, LockBusy) or not tries_left:
                raise
        else:
            assert isinstance(found, results.RollbackResult)  # noqa: S101  # for mypy: it is of one migration
            return found
    raise AssertionError("unreachable")


def _say_what_stays(error: MigrollbackError, names: Sequence[str], done: tuple[str, ...]) -> None:
    """Add to an error which were rolled back before it, and which were not begun."""
    if not done:
        return
    at = len(done)
    lines = [f"Rolled back before it, each for good: {first_few(done, 20)}."]
    if left := names[at + 1 :]:
        lines.append(f"Not begun, and still applied: {first_few(left, 20)}.")
    error.hint = "\n".join(filter(None, (error.hint, *lines)))
    error.done = done
