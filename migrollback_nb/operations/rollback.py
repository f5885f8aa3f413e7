"""A rollback: what must be true before it, snapshots around it, verification, errors with the next step. Writes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import production, results
from migrollback_nb.core.errors import ConfirmationRequired, ConnectionFailed, MigrollbackError, Refused, RollbackFailed
from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.results.needed_approvals import approval_words
from migrollback_nb.database.commands import nothing_has_run
from migrollback_nb.operations import archives as keeping
from migrollback_nb.operations import failed_sql
from migrollback_nb.operations import snapshots as around
from migrollback_nb.operations.archives import ArchiveOptions
from migrollback_nb.operations.audit import export_audit_log
from migrollback_nb.operations.interrupts import saying_what_stays
from migrollback_nb.operations.preview import alone, assessment_of
from migrollback_nb.operations.rejection import not_found, refusal
from migrollback_nb.operations.stored_sql import warnings_of

if TYPE_CHECKING:
    from uuid import UUID

    from migrollback_nb.core.results import Assessment, ChainResult, Preview, Rehearsal, RollbackResult
    from migrollback_nb.core.results.selection import Range
    from migrollback_nb.database import Database
    from migrollback_nb.database.execution import ExecutionResult
    from migrollback_nb.database.gate import RollbackFacts
    from migrollback_nb.database.progress import RollbackCallback
    from migrollback_nb.operations.snapshots import Snapshots


class RollbackOptions(ArchiveOptions, total=False):
    """The options of `Workspace.rollback`, whatever is rolled back."""

    reason: str | None
    preview: Preview | Rehearsal | str | None
    accept_loss: bool
    break_glass: bool
    chain: bool
    each: bool
    attempt_id: UUID | str | None
    trail: Path | str | None
    snapshots: Snapshots
    progress: RollbackCallback | None


def require_confirmation(confirm: object, range: Range, steps: Sequence[str], *, begun: Sequence[str] = ()) -> None:
    """Make sure that a rollback is confirmed by the word that `Range.confirm` says; pure.

    `begun`: of an attempt that goes on, all that it began with: a job that runs again says what it said then.

    Raises
    ------
    ConfirmationRequired
        When it is not.
    """
    if range.deploy is not None:
        what, name = f"Deploy {range.deploy}", None
    else:
        name = steps[-1]
        what = name if range.is_one or range.select else f"{range.words[0].upper()}{range.words[1:]}"
    wanted = range.confirm(steps) if steps or range.deploy is not None else ""
    words = {wanted, *([range.confirm(begun)] if begun else [])}
    hint = f"Confirm by {range.confirmed_by}: {wanted}"
    not_confirmed = f"{what} {'were' if len(range.names) > 1 or (range.last or 0) > 1 else 'was'} not confirmed"
    if not isinstance(confirm, str):
        raise ConfirmationRequired(
            f"{not_confirmed}: confirm={confirm!r} names nothing", migration_name=name, hint=hint
        )
    if (confirm if range.deploy is not None else confirm.removesuffix(".sql")) not in words:
        raise ConfirmationRequired(not_confirmed, migration_name=name, hint=hint)


def require_accepted_loss(assessment: Assessment) -> None:
    """Make sure that nothing is lost on production which was not accepted; pure.

    Raises
    ------
    Refused
        When rows or values would go, or would not come back.
    """
    if assessment.verdict != "blocked" and assessment.losses:
        raise Refused(
            f"{assessment.headline}: on production that is to be accepted",
            migration_name=assessment.migration_name,
            hint="\n".join(
                (
                    *map(str, assessment.losses),
                    "Nothing was changed. Accept it with --accept-loss (accept_loss=True): the audit log keeps it.",
                )
            ),
        )


def rollback(
    database: Database,
    names: tuple[str, ...],
    *,
    reason: str | None,
    preview: Preview | Rehearsal | str | None,
    accept_loss: bool,
    break_glass: bool = False,
    trail: Path | str | None,
    snapshots: Snapshots,
    progress: RollbackCallback | None,
    folder: Path | None,
    attempt_id: str | None = None,
    begun: Mapping[str, Any] | None = None,
    archives: ArchiveOptions | None = None,
    assessed: Mapping[str, Any] | None = None,
) -> RollbackResult | ChainResult:
    """Roll these migrations back, in this order, in one transaction. Writes.

    Options, result and errors are those of `Workspace.rollback`; `folder` is where the files are looked for. `begun` is
    what the event that begins it keeps of an attempt: what was asked for. `assessed`: what assess_migrations() gave of
    the preview with this fingerprint; the database itself asks again where it may refuse.
    """
    fingerprint = fingerprint_of(database, preview, names)
    warnings: tuple[str, ...] = ()
    nontransactional = False
    facts = database.facts.of_preview(names, fingerprint, assessed)
    known = facts.known
    require_on_production(database, names, facts, reason=reason, accept_loss=accept_loss)
    assessment = assessment_of(names, facts)
    for step in names:
        if step not in known:
            raise not_found(database, step)
        warnings += warnings_of(database, folder, step, known[step])
        nontransactional = nontransactional or known[step]["nontransactional"]
        if known[step]["system"] and len(names) > 1:
            raise Refused("The rollback system itself is rolled back alone", migration_name=step)
        if known[step]["system"]:
            return roll_back_system(
                database,
                step,
                reason=reason,
                preview=fingerprint,
                accept_loss=accept_loss,
                break_glass=break_glass,
                trail=trail,
                assessment=assessment,
                warnings=warnings,
                attempt_id=attempt_id,
            )
    with (
        keeping.under(database, archives or {}),
        database.session.operation(progress),
        saying_what_stays(database, "rolled back", nontransactional=nontransactional),
    ):
        result = roll_back(
            database,
            names,
            facts,
            reason=reason,
            fingerprint=fingerprint,
            accept_loss=accept_loss,
            break_glass=break_glass,
            snapshots=snapshots,
            nontransactional=nontransactional,
            warnings=warnings,
            attempt_id=attempt_id,
            begun=begun or {},
        )
    return replace(result, warnings=(*result.warnings, *database.session.remarks))


def fingerprint_of(database: Database, preview: Preview | Rehearsal | str | None, names: Sequence[str]) -> str | None:
    """The fingerprint of what was looked at; pure.

    Raises
    ------
    Refused
        When it was looked at in another database.
    """
    if preview is None or isinstance(preview, str):
        return preview
    if preview.target != database.target:
        raise Refused(
            f"The preview is of another database: {preview.target}",
            migration_name=names[-1],
            hint="Preview it here first.",
        )
    return preview.fingerprint


def require_on_production(
    database: Database, names: Sequence[str], facts: RollbackFacts, *, reason: str | None, accept_loss: bool
) -> None:
    """Make sure that production has a reason, and loses nothing that was not accepted; pure.

    Raises
    ------
    ConfirmationRequired
        When there is no reason.
    Refused
        When rows or values would go, or would not come back.
    """
    target = database.target
    if not production.is_production(target):
        return
    if not (reason or "").strip():
        raise ConfirmationRequired(
            f"Database {target.database} on {target.host} is production: a rollback there needs a reason",
            migration_name=names[-1],
            hint="Give it with --reason TEXT (reason=...): it goes into the audit log.",
        )
    assessment = assessment_of(names, facts)
    if not accept_loss and assessment is not None:
        require_accepted_loss(assessment)


def roll_back(
    database: Database,
    names: tuple[str, ...],
    facts: RollbackFacts,
    *,
    reason: str | None,
    fingerprint: str | None,
    accept_loss: bool,
    break_glass: bool = False,
    snapshots: Snapshots,
    nontransactional: bool,
    warnings: tuple[str, ...],
    attempt_id: str | None = None,
    begun: Mapping[str, Any],
) -> RollbackResult | ChainResult:
    """A rollback with the snapshots around it. Writes.

    Parameters
    ----------
    names : tuple of str
        In the order in which they are rolled back, in one transaction.
    facts : RollbackFacts
        What is known of them.
    fingerprint : str, optional
        Of the preview that was looked at.
    accept_loss, break_glass : bool
        True: known losses are accepted; it goes without the approvals that a policy asks for.
    nontransactional : bool
        True: it runs statement by statement, outside a transaction.
    warnings : tuple of str
        What is known before, and goes into the result.
    attempt_id : str, optional
        The caller's own, with which nothing runs twice.
    begun : mapping
        What the event that begins it keeps besides.

    Raises
    ------
    Refused, RollbackFailed, LockBusy, ConnectionFailed
        As `Workspace.rollback`.
    """
    stages = results.RollbackProgress(stage="snapshot", migration_name=names[-1], migrations=len(names))
    before: str | None = None
    state: str | None = None
    if snapshots != "none" and facts.dry_run[0]["success"]:  # one that is refused needs none
        database.session.report_progress(stages)
        with nothing_has_run():
            before, remarks = around.take(database, "before rollback", names)
            state = fingerprint or facts.fingerprint
        warnings += remarks
    execution = _execute(
        database,
        names,
        facts,
        nontransactional=nontransactional,
        snapshots=snapshots,
        begun=begun,
        reason=reason,
        preview=fingerprint,
        accept_loss=accept_loss,
        break_glass=break_glass,
        attempt_id=attempt_id,
    )
    steps = _results(database, execution, warnings, names)
    if snapshots != "none":
        database.session.report_progress(replace(stages, stage="committed"))
    verification, remarks = (
        (None, ()) if snapshots == "none" else around.verify(database, names, before=before, fingerprint=state)
    )
    assessment = assessment_of(names, facts)
    if len(names) == 1:
        return replace(
            steps[0],
            verification=verification,
            assessment=assessment,
            warnings=(*steps[0].warnings, *remarks),
        )
    return results.ChainResult(results=steps, verification=verification, assessment=assessment, warnings=remarks)


def _execute(
    database: Database,
    names: tuple[str, ...],
    facts: RollbackFacts,
    *,
    nontransactional: bool,
    snapshots: Snapshots,
    begun: Mapping[str, Any],
    **options: Any,
) -> ExecutionResult:
    """Run it, in one transaction or outside of any. Writes."""
    if nontransactional and len(names) == 1:
        return database.nontransactional.rollback(names[0], known=dict(begun), **options)
    if nontransactional:
        outside = next(name for name in names if facts.known[name]["nontransactional"])
        raise Refused(
            "A rollback that runs outside a transaction cannot be part of a chain",
            migration_name=outside,
            hint=alone(facts.known, outside, names),
        )
    assessed = {} if facts.assessment is None else {key: facts.assessment[key] for key in ("verdict", "headline")}
    return database.commands.rollback(names, snapshot_each=snapshots == "each", known={**begun, **assessed}, **options)


def roll_back_system(
    database: Database,
    name: str,
    *,
    reason: str | None,
    preview: str | None,
    accept_loss: bool,
    break_glass: bool = False,
    trail: Path | str | None,
    assessment: Assessment | None,
    warnings: tuple[str, ...],
    attempt_id: str | None,
) -> RollbackResult:
    """Roll back the rollback system itself. Writes, and first saves the audit log to a file: nothing of it is left."""
    check = database.queries.can_rollback(name)
    if not check["can_rollback"]:
        raise Refused(check["reason"], migration_name=name, dependents=tuple(check["dependent_migrations"]))
    path = Path(trail) if trail is not None else Path(f"migrollback_trail_{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json")
    head = export_audit_log(database, path)
    execution = database.commands.rollback(
        [name],
        reason=reason,
        preview=preview,
        chain_head=head.head_hash,
        accept_loss=accept_loss,
        break_glass=break_glass,
        attempt_id=attempt_id,
    )
    saved = f"The history and the audit log were saved to {path} (head {head.head_number} {head.head_hash})"
    return replace(_results(database, execution, (*warnings, saved), (name,))[0], assessment=assessment)


def _results(
    database: Database, execution: ExecutionResult, warnings: tuple[str, ...], names: Sequence[str]
) -> tuple[RollbackResult, ...]:
    ended = []
    for row in execution.rows:
        details = execution.details.get(row["migration_name"], {})
        remarks = tuple(f"{notice.message}" for notice in execution.notices if notice.skipped)
        if settings := details.get("settings_put_back"):
            remarks += (put_back_words(row["migration_name"], settings),)
        if "break_glass" in details:
            remarks += (str(approval_words(details)),)
        result = results.RollbackResult(
            success=row["success"],
            message=row["message"],
            sql_executed=None if row["sql_executed"] is None else mask_passwords(row["sql_executed"]),
            migration_name=row["migration_name"],
            unchanged=bool(details.get("unchanged", False)),
            notices=tuple(execution.notices),
            warnings=warnings + remarks,
            attempt_id=execution.attempt_id,
            anchor=details.get("anchor"),
            duration_ms=details.get("duration_ms"),
            approval=details.get("approval"),
            break_glass=details.get("break_glass"),
            restored=keeping.restored(database, row["migration_name"], details) if row["success"] else None,
        )
        ended.append(result)
        if row["success"]:
            continue
        if "sqlstate" not in details:
            raise refusal(database, names, row["migration_name"], row["message"], result=result)
        status = _status(database, row["migration_name"])
        next_step = _next_step(database, row["migration_name"], names, details, status)
        raise RollbackFailed(
            row["message"],
            migration_name=row["migration_name"],
            sqlstate=details["sqlstate"],
            detail=details.get("detail"),
            hint="\n".join(
                filter(
                    None,
                    (
                        details.get("hint"),
                        failed_sql.hint(database, details, "-- ROLLBACK START transaction:false"),
                        next_step,
                        execution.blocked_by,
                    ),
                )
            ),
            statement_number=details.get("statement_number"),
            statement=details.get("statement"),
            passing=details.get("passing", True) if status is None else status != "failed",
            result=result,
        )
    return tuple(ended)


def _next_step(
    database: Database, name: str, names: Sequence[str], details: Mapping[str, Any], status: str | None
) -> str:
    """What stands after a rollback that failed, and what to do now."""
    if "statements_completed" in details:
        with suppress(MigrollbackError):
            half = [one for one in database.lookups.half_applied(name) if one["direction"] == "rollback"]
            if half:
                return f"Fix the cause. {half[0]['remark']}"
        if details["statements_completed"]:
            undone = "Statements that ran outside a transaction stay."
        elif details.get("outside"):
            undone = failed_sql.PART_MAY_STAY
        else:
            undone = "Nothing changed, for no statement of it has run."
    elif before := names[: names.index(name)]:
        undone = f"Everything was undone, the rollback of {', '.join(before)} before it too: nothing changed."
    else:
        undone = "Everything it did was undone: nothing changed."
    quoted = shlex.quote(name)
    if status == "failed":
        return (
            f"{undone} It is still applied, with status failed. Fix its rollback SQL, then: migrollback register"
            f" {quoted}, and migrollback resolve {quoted} --as applied --reason TEXT"
        )
    if status is not None:
        return f"{undone} It is still applied: try again."
    return f"{undone} The connection was lost then: look at its status before you try again: migrollback check {quoted}"


def _status(database: Database, name: str) -> str | None:
    """Its status; None where the connection is lost."""
    try:
        return database.queries.status(name)
    except ConnectionFailed:
        return None


def put_back_words(name: str, settings: Sequence[str]) -> str:
    """Which settings its rollback SQL had changed, in the words of execute_migration_rollbacks(); pure."""
    return f"Settings that the rollback SQL of {name} had changed were put back: {', '.join(settings)}"
