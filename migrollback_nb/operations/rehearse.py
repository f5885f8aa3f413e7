"""Rehearses rollbacks on the target: runs them, undoes them, records the one event that stays. Writes that event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from migrollback_nb.core.errors import Refused, RehearsalStopped
from migrollback_nb.core.results.assessment import Assessment
from migrollback_nb.core.results.foreseen import Foreseen
from migrollback_nb.database.rehearsal_report import add_broken, broken_bodies, from_report, place_of_error, refusal
from migrollback_nb.database.rehearsals import STATEMENT_TIMEOUT
from migrollback_nb.database.settings import milliseconds
from migrollback_nb.files.stored_effects import refuse_hidden_effects
from migrollback_nb.operations import failed_sql, rejection, stored_sql

if TYPE_CHECKING:
    from migrollback_nb.core.results import Rehearsal
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import RollbackCallback


class RehearsalOptions(TypedDict, total=False):
    """The options of `Migrations.rehearse`, whatever is rehearsed."""

    on: str | None
    chain: bool
    consent: bool
    lock_timeout: str | None
    statement_timeout: str | None
    max_stall: str | None
    foreseen: Callable[[Foreseen], None] | None
    progress: RollbackCallback | None


def rehearse_by(
    database: Database,
    run: Callable[[Sequence[str]], Rehearsal],
    names: Sequence[str],
    *,
    folder: Path | None,
) -> Rehearsal:
    """Rehearse by a function that gets the migrations, on the target or on a copy. Writes what that function writes.

    Parameters
    ----------
    run : callable
        Rehearses these migrations, in this order.
    names : sequence of str
        The migrations. What is known of them beforehand goes into the result, and into the error when a rule forbids
        it.
    folder : Path, optional
        Where their files are looked for.

    Raises
    ------
    MigrationNotFound, Refused
        When one is not registered, or may not be rolled back.
    """
    known = database.queries.warnings(names)
    for name in names:
        if name not in known:
            raise rejection.not_found(database, name)
    try:
        rehearsed = run(names)
    except RehearsalStopped:
        raise
    except Refused as error:
        if error.migration_name is not None and not error.dependents:
            raise rejection.refusal(database, names, error.migration_name, error.reason, hint=error.hint) from None
        raise
    warnings = [
        text
        for name in names
        for text in (
            *known[name]["warnings"],
            *stored_sql.warnings_of(database, folder, name, known[name], thorough=True),
        )
    ]
    failed = rehearsed.failure
    if failed is not None:
        helps = failed_sql.hint(
            database,
            {"sqlstate": failed.sqlstate, "statement": failed.statement},
            "-- ROLLBACK START transaction:false",
        )
        failed = replace(failed, hint="\n".join(filter(None, (failed.hint, helps))) or None)
    return replace(rehearsed, failure=failed, warnings=(*warnings, *database.session.remarks))


def rehearse(
    database: Database,
    names: Sequence[str],
    *,
    consent: bool = False,
    lock_timeout: str | None = None,
    statement_timeout: str | None = None,
    max_stall: str | None = None,
    foreseen: Callable[[Foreseen], None] | None = None,
) -> Rehearsal:
    """Rehearse the rollbacks of these migrations, in this order, on the target. Writes one event and nothing else.

    `foreseen` is called with what it will lock, before it runs.

    Raises
    ------
    Refused
        When the gate refuses the rollback, or undoing would not undo all of it and no one has consented.
    RehearsalStopped
        When others would have waited behind it for longer than max_stall.
    """
    timeout = statement_timeout or STATEMENT_TIMEOUT
    stall = max_stall or database.session.timeouts.max_stall
    stored, locks = database.queries.stored_and_foreseen(names)
    if not consent:
        refuse_hidden_effects(stored)
    will_lock = None if locks is None else Foreseen.from_dict(locks)
    if foreseen is not None and will_lock is not None:
        foreseen(will_lock)
    if database.session.rights.through_gate:
        return _through_gate(
            database, names, consent, lock_timeout=lock_timeout, statement_timeout=timeout, max_stall=stall
        )
    run = database.rehearsals.rehearse(
        names, consent=consent, lock_timeout=lock_timeout, statement_timeout=timeout, max_stall=stall
    )
    report = run.report
    if report.get("refused"):
        raise refusal(report)
    position = place_of_error(
        database, names, report, lock_timeout=lock_timeout, statement_timeout=timeout, max_stall=stall
    )
    if report["success"]:
        add_broken(report, broken_bodies(database, report))
    assessed = database.rehearsals.record_rehearsal(report)
    found = from_report(
        report,
        sql=run.rollback_sql,
        target=database.target,
        notices=run.notices,
        where="on the target itself",
        position=position,
        blocked_by=run.blocked_by,
        assessment=Assessment.from_row(names[-1], assessed),
        foreseen=will_lock,
    )
    from migrollback_nb.undo.ddl.definitions import with_definitions

    return replace(found, diff=with_definitions(found.diff))


def _through_gate(
    database: Database,
    names: Sequence[str],
    consent: bool,
    *,
    lock_timeout: str | None,
    statement_timeout: str,
    max_stall: str,
) -> Rehearsal:
    """As `rehearse`, for an operator: the database records it, and who would wait is foreseen, not watched. Writes."""
    report = database.gate.rehearse(
        names,
        consent=consent,
        max_stall_ms=milliseconds(max_stall, option="max_stall") or None,
        lock_timeout=lock_timeout,
        statement_timeout=statement_timeout,
    )
    if report.get("refused"):
        raise refusal(report)
    facts = database.gate.facts(names)
    found = from_report(
        report,
        sql={row["migration_name"]: row["sql_executed"] or "" for row in facts.dry_run},
        target=database.target,
        notices=list(database.session.notices),
        where="on the target itself",
        position=None,
        blocked_by="",
        assessment=None if facts.assessment is None else Assessment.from_row(names[-1], facts.assessment),
        foreseen=None if facts.foreseen is None else Foreseen.from_dict(facts.foreseen),
    )
    from migrollback_nb.undo.ddl.definitions import with_definitions

    return replace(found, diff=with_definitions(found.diff))
