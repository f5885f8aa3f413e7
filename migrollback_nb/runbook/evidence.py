"""Looks for the evidence of the checklist's items: what the machine answers to each. Writes what `Item.help` says."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from migrollback_nb.core.errors import ConnectionFailed, MigrollbackError, UsageError
from migrollback_nb.core.times import show_time
from migrollback_nb.operations.rehearse import rehearse
from migrollback_nb.operations.snapshots import verification_of
from migrollback_nb.replay.rehearse_on_copy import rehearse_on_copy
from migrollback_nb.runbook import error_rates, hooks, smoke_tests
from migrollback_nb.runbook.items import Evidence, Item, Outcome
from migrollback_nb.runbook.run import RunbookState, execution_summary
from migrollback_nb.servers.pg_dump import default_file, take_backup

if TYPE_CHECKING:
    from migrollback_nb.operations.workspace import Workspace
    from migrollback_nb.runbook.hooks import Hook
    from migrollback_nb.runbook.run import RunbookState
    from migrollback_nb.runbook.smoke_tests import SmokeTest

#: (outcome, the evidence in one line, all of it)
Answer = tuple[Outcome, str, dict[str, Any]]


class Examined(Protocol):
    """What is looked at: the checklist of one rollback, as far as its evidence depends on it."""

    db: Workspace
    name: str
    chain: bool
    ticket: str | None
    scratch: str | None
    smoke_tests: tuple[SmokeTest, ...]
    maintenance: Hook | None
    notification: Hook | None
    cancelled: threading.Event

    def steps(self) -> tuple[str, ...]:
        """The migrations that are rolled back, in their order. Does not write."""

    def recorded(self) -> RunbookState:
        """How the run stands by its events. Does not write."""


class Subject(Protocol):
    """What evidence is looked for: one migration's checklist."""

    db: Workspace
    name: str
    chain: bool
    ticket: str | None
    scratch: str | None
    smoke_tests: tuple[SmokeTest, ...]
    maintenance: Hook | None
    notification: Hook | None
    cancelled: threading.Event

    def steps(self) -> tuple[str, ...]:
        """The migrations that are rolled back, in their order."""

    def recorded(self) -> RunbookState:
        """How the run stands by its events alone."""


def look(checklist: Subject, item: Item, *, file: Path | str | None = None) -> Answer:
    """Answer an item. Writes what its `help` says.

    Parameters
    ----------
    file : Path or str, optional
        Of a backup: where it goes.

    Raises
    ------
    UsageError
        When only a person can answer it, no hook is configured, or there is nothing to look at yet.
    """
    match item.evidence:
        case Evidence.BACKUP:
            return _back_up(checklist, file, final=item.key == "final_backup")
        case Evidence.MAINTENANCE:
            return _run_hook(checklist, item.key, checklist.maintenance, hooks.MAINTENANCE_VARIABLE, "maintenance")
        case Evidence.NOTIFICATION:
            return _run_hook(checklist, item.key, checklist.notification, hooks.NOTIFICATION_VARIABLE, "notification")
        case Evidence.PERSON:
            raise UsageError(
                f"Only a person can answer “{item.text}”",
                hint=f'Write what you know: checklist.confirm_manually("{item.key}", "...").',
            )
    return _LOOKS[item.evidence](checklist)


def _state_of(checklist: Subject) -> dict[str, Any]:
    names = checklist.steps()
    return {"migrations": list(names), "fingerprint": checklist.db.database.queries.fingerprint(names)}


def _check(checklist: Subject) -> Answer:
    state = _state_of(checklist)
    check = checklist.db.check(checklist.name)
    known = check.assessment
    headline = "" if known is None else f"{known.headline}. "
    evidence = state | {
        "verdict": None if known is None else known.verdict,
        "headline": None if known is None else known.headline,
        "reason": check.reason,
        "dependents": list(check.dependent_migrations),
        "warnings": list(check.warnings),
    }
    if not check.dependent_migrations:
        return (
            Outcome.DONE if check.can_rollback else Outcome.FAILED,
            f"{headline if check.can_rollback else ''}{check.reason}; nothing depends on it",
            evidence,
        )
    listed = ", ".join(check.dependent_migrations)
    if not checklist.chain:
        return Outcome.FAILED, f"{check.reason}: {listed}", evidence
    checklist.db.preview(checklist.name, chain=True)  # refuses, with the reason, when one of the chain may not go
    return Outcome.DONE, f"In one transaction, in this order: {', '.join(state['migrations'])}", evidence


def _rehearse(checklist: Subject) -> Answer:
    """On a copy of the schema first, which harms no one; then on the target, which has the rows and other sessions."""
    rehearsals = []
    remarks = []
    if checklist.scratch is not None:
        try:
            on_copy = partial(rehearse_on_copy, checklist.db.database, on=checklist.scratch)
            rehearsals.append(checklist.db.rehearse_by(on_copy, checklist.steps()))
        except UsageError as error:
            remarks.append(f"Not rehearsed on a copy: {error.message}")
    if all(rehearsed.success for rehearsed in rehearsals):
        with checklist.db.database.session.operation():
            rehearsals.append(checklist.db.rehearse_by(partial(rehearse, checklist.db.database), checklist.steps()))
    last = rehearsals[-1]
    evidence = {
        "migrations": [name for name, _ in last.steps],
        "fingerprint": last.fingerprint,
        "where": [rehearsed.where for rehearsed in rehearsals],
        "message": last.message,
        "verdict": None if last.assessment is None else last.assessment.verdict,
        "headline": None if last.assessment is None else last.assessment.headline,
        "dangers": list(last.dangers),
        "failure": None if last.failure is None else list(last.failure.lines()),
        "duration_ms": last.duration_ms,
        "remarks": remarks,
    }
    words = [] if last.assessment is None else [last.assessment.headline]
    words += [f"Rehearsed {rehearsed.where}: {rehearsed.message}" for rehearsed in rehearsals]
    if last.duration_ms is not None:
        words.append(f"the SQL ran for {last.duration_ms:,.1f} ms")
    if last.dangers:
        words.append(
            f"to look at: {'; '.join(last.dangers[:3])}"
            + (f" and {len(last.dangers) - 3} more" if len(last.dangers) > 3 else "")
        )
    return Outcome.DONE if last.success else Outcome.FAILED, "; ".join(words + remarks), evidence


def _preview(checklist: Subject) -> Answer:
    preview = checklist.db.preview(checklist.name, chain=checklist.chain)
    digest = hashlib.sha256(preview.sql.encode()).hexdigest()
    evidence: dict[str, Any] = {
        "migrations": [name for name, _ in preview.steps],
        "fingerprint": preview.fingerprint,
        "verdict": None if preview.assessment is None else preview.assessment.verdict,
        "sql": preview.sql,
        "sql_sha256": digest,
        "warnings": list(preview.warnings),
    }
    warned = f", {len(preview.warnings)} warnings" if preview.warnings else ""
    if preview.assessment is not None and (approvals := preview.assessment.approvals) is not None:
        evidence["approvals"] = approvals.to_dict()
        warned += f"; {approvals.words}"
    return (
        Outcome.DONE,
        (
            f"Would run {len(preview.sql):,} characters of SQL for {len(preview.steps)} migration(s){warned};"
            f" sha256 {digest}"
        ),
        evidence,
    )


def _back_up(checklist: Subject, file: Path | str | None, *, final: bool) -> Answer:
    backup = take_backup(
        checklist.db.database.connection,
        file or default_file(checklist.name, final=final),
        cancelled=checklist.cancelled,
    )
    return Outcome.DONE, str(backup), backup.to_dict()


def _file(checklist: Subject) -> Answer:
    found = []
    for name in checklist.steps():
        file = checklist.db.folder.read(name)
        registered = (checklist.db.database.queries.find(name) or {}).get("checksum")
        if registered is not None and registered != file.checksum:
            return (
                Outcome.FAILED,
                f"{file.path} is not the file that was registered",
                {"file": str(file.path), "sha256": file.checksum, "was": registered},
            )
        if (trouble := file.up_problem) is not None:
            return (
                Outcome.FAILED,
                f"{file.path}:{trouble.line}: it could not be applied again: {trouble.message}",
                {"file": str(file.path)},
            )
        found.append({"file": str(file.path), "sha256": file.checksum, "statements": len(file.up_statements())})
    order = " ".join(reversed(checklist.steps()))
    return (
        Outcome.DONE,
        f"migrollback apply {order} puts it back: {len(found)} file(s) as registered",
        {"files": found},
    )


def _fixed_file(checklist: Subject) -> Answer:
    file = checklist.db.folder.read(checklist.name)
    registered = (checklist.db.database.queries.find(checklist.name) or {}).get("checksum")
    evidence = {"file": str(file.path), "sha256": file.checksum, "was": registered}
    if registered is None:
        return Outcome.FAILED, "It was registered without a file: there is nothing to compare with", evidence
    if registered == file.checksum:
        return Outcome.FAILED, f"{file.path} is still the file that was rolled back", evidence
    return Outcome.DONE, f"{file.path} was changed since: sha256 {file.checksum}", evidence


def _run_hook(checklist: Subject, key: str, given: Hook | None, variable: str, purpose: str) -> Answer:
    hook, described = hooks.configured(given, variable)
    if hook is None:
        raise UsageError(
            f"No {purpose} hook is configured",
            hint=(
                f"Give one ({purpose}=...), put a shell command into {variable}, or do it by hand and say so in a note."
            ),
        )
    target = checklist.db.target
    facts = {
        "event": key,
        "migration": checklist.name,
        "ticket": checklist.ticket or "",
        "host": target.host,
        "port": str(target.port),
        "database": target.database,
        "user": target.user,
    }
    result = hooks.run_hook(hook, described, facts)
    return Outcome.DONE if result.success else Outcome.FAILED, str(result), result.to_dict()


def _audit_log(checklist: Subject) -> Answer:
    event = checklist.recorded().rolled_back
    if event is None:
        raise UsageError(
            f"{checklist.name} has not been rolled back yet", hint="Use the rollback panel, or migrollback rollback."
        )
    kept = {
        "event_number": event["event_number"],
        "attempt_id": event["attempt_id"],
        "duration_ms": event["details"].get("duration_ms"),
    }
    return Outcome.DONE, execution_summary(event), kept


def _schema(checklist: Subject) -> Answer:
    event = checklist.recorded().rolled_back
    if event is None:
        raise UsageError(f"{checklist.name} has not been rolled back yet: there is nothing to verify")
    names = _rolled_back_together(checklist, event)
    before = checklist.db.database.queries.snapshot_before(event["event_number"])
    fingerprint = next(
        (
            entry.evidence.get("fingerprint")
            for entry in reversed(checklist.recorded().entries)
            if entry.item in ("dry_run", "staging")
        ),
        None,
    )
    found = verification_of(checklist.db.database.queries.verify_rollback(names, before, None, fingerprint))
    evidence = {
        "verdict": found.verdict,
        "message": found.message,
        "migrations": list(names),
        "differences": list(found.lines())[:50],
    }
    return (
        Outcome.DONE if found.verdict in ("restored", "as rehearsed") else Outcome.FAILED,
        found.message,
        evidence,
    )


def _rolled_back_together(checklist: Subject, event: Mapping[str, Any]) -> tuple[str, ...]:
    """The migrations of the attempt that rolled this one back, in order."""
    attempt = event["attempt_id"]
    if attempt is None:
        return (checklist.name,)
    return tuple(
        row["migration_name"]
        for row in checklist.db.database.attempts.ended(str(attempt))
        if row["event"] == "rolled_back"
    )


def _smoke_tests(checklist: Subject) -> Answer:
    if not checklist.smoke_tests:
        raise UsageError(
            "No smoke tests are given",
            hint=(
                'Give them as smoke_tests=[("SELECT count(*) FROM users", 100)], or run them by hand and say so in'
                " a note."
            ),
        )
    results = [_smoke_test(checklist, test) for test in checklist.smoke_tests]
    failed = [result.name for result in results if not result.success]
    evidence = {"tests": [result.to_dict() for result in results]}
    if failed:
        return Outcome.FAILED, f"{len(failed)} of {len(results)} smoke tests failed: {', '.join(failed)}", evidence
    return Outcome.DONE, f"{len(results)} smoke tests came out as expected", evidence


def _smoke_test(checklist: Subject, test: SmokeTest) -> smoke_tests.SmokeResult:
    began = time.monotonic()
    rows: Sequence[Sequence[Any]] | None = None
    trouble: str | None = None
    try:
        rows = checklist.db.database.queries.ask_read_only(test.sql)
    except ConnectionFailed:
        raise
    except MigrollbackError as error:
        trouble = error.message
    return smoke_tests.compare(test, rows, trouble, round((time.monotonic() - began) * 1000, 3))


def _error_rates(checklist: Subject) -> Answer:
    state = checklist.recorded()
    now = checklist.db.database.queries.error_counters()
    if state.rolled_back is None:
        return (
            Outcome.NOTED,
            f"Counters before the rollback, at {show_time(datetime.fromisoformat(now['at']))}",
            {"counters": now},
        )
    before = [
        entry
        for entry in state.entries
        if entry.item == "errors"
        and entry.outcome == Outcome.NOTED
        and entry.event_number < state.rolled_back["event_number"]
    ]
    if not before:
        return Outcome.FAILED, "There is no reading from before the rollback to compare with", {"counters": now}
    compared = error_rates.compare(before[-1].evidence["counters"], now)
    evidence = {"before": before[-1].evidence["counters"], "after": now, **compared}
    if compared["quiet"]:
        return (
            Outcome.NOTED,
            (
                f"Too early to tell: no transaction was counted in the {compared['seconds']:.0f} s since the"
                " reading before the rollback"
            ),
            evidence,
        )
    good = not compared["risen"] and not compared["reset"]
    return Outcome.DONE if good else Outcome.FAILED, "; ".join(compared["lines"]), evidence


_LOOKS: dict[Evidence, Callable[[Subject], Answer]] = {
    Evidence.CHECK: _check,
    Evidence.REHEARSAL: _rehearse,
    Evidence.PREVIEW: _preview,
    Evidence.FILE: _file,
    Evidence.FIXED_FILE: _fixed_file,
    Evidence.AUDIT_LOG: _audit_log,
    Evidence.SCHEMA: _schema,
    Evidence.SMOKE_TESTS: _smoke_tests,
    Evidence.ERROR_RATES: _error_rates,
}
