"""Results as text for a terminal, in the words and marks of the specification. Writes to the streams it is given."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TextIO

from migrollback_nb.cli.approvals_shown import show_change, show_request
from migrollback_nb.cli.colours import paint
from migrollback_nb.cli.listing import Listing
from migrollback_nb.cli.prose import lines, say
from migrollback_nb.cli.tables import RULE, show_table, show_tsv
from migrollback_nb.core import results
from migrollback_nb.core.html import visible
from migrollback_nb.core.kinds import KIND
from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.text import one_line

Show = Callable[[Any, TextIO, TextIO], None]


def print_result(
    result: Any, form: str, out: TextIO, err: TextIO, *, show: Show | None = None, said: Collection[str] = ()
) -> None:
    """Print a result in a form, and its warnings.

    Parameters
    ----------
    form : str
        As ``--format`` names it.
    show : callable, optional
        Shows it to people; by default `show_result` does.
    said : collection of str
        Warnings that were printed already.
    """
    if result is None:  # it was printed already
        return
    if form == "json":
        out.write(results.to_json(result if isinstance(result, str) else result.to_dict()) + "\n")
    elif isinstance(result, str):
        out.write(result if result.endswith("\n") else f"{result}\n")
    elif form == "tsv":
        show_tsv(*_as_rows(result), out)
    else:
        (show or show_result)(result, out, err)
    if form == "table" or isinstance(result, Listing):
        for warning in _warnings_of(result):
            if warning not in said:
                say(f"⚠️  {one_line(warning)}", err)


def show(result: Any, out: TextIO, err: TextIO) -> None:
    """Print a result for people, with its warnings."""
    print_result(result, "table", out, err)


def _as_rows(result: Any) -> tuple[Sequence[Mapping[str, Any]], Sequence[str]]:
    """Rows and columns: of a diff a row for each change, of a proof one for each migration, of any other one."""
    columns: tuple[str, ...]
    match result:
        case Listing():
            return result.rows, result.columns
        case results.SchemaDiff():
            columns = ("change", "kind", "identity", "old_definition", "new_definition")
            return [change.to_dict() for change in result.changes], columns
        case results.Proof():
            rows = [
                migration.to_dict() | {"differences": [str(found) for found in migration.differences]}
                for migration in result.migrations
            ]
            columns = (
                "migration_name",
                "grade",
                "sqlstate",
                "statement",
                "differences",
                "effects",
                "remarks",
                "reapplies",
                "seconds",
            )
            return rows, columns
    row = result.to_dict()
    return [row], list(row)


def _warnings_of(result: Any) -> Iterable[str]:
    steps = getattr(result, "results", ())  # of a chain
    return dict.fromkeys((*(text for step in steps for text in step.warnings), *getattr(result, "warnings", ())))


def show_result(result: Any, out: TextIO, err: TextIO) -> None:
    """Print a result for people, as its type is shown; its warnings are not."""
    _SHOWN[type(result).__name__](result, out, err)


def _listing(result: Listing, out: TextIO, _: TextIO) -> None:
    show_table(result, out)


def _check(result: results.CheckResult, out: TextIO, _: TextIO) -> None:
    """The verdict; whether it may be rolled back, why, and what must go first."""
    show_assessment(result.assessment, out)
    out.write(
        f"Status: {'✅ Can rollback' if result.can_rollback else '❌ Cannot rollback'}\nReason:"
        f" {one_line(result.reason)}\n"
    )
    if result.dependent_migrations:
        out.write("\nDependent migrations (must be rolled back first):\n")
        out.writelines(f"  - {one_line(name)}\n" for name in result.dependent_migrations)
        again = f"migrollback rollback {shlex.quote(result.migration_name)} --chain --dry-run"
        out.write(f"\nAll of them with it, in one transaction:\n  {one_line(again)}\n")
    if result.lost_rows is not None:
        out.write("\nA look at what would go:\n")
        out.writelines(f"  {one_line(line)}\n" for line in result.lost_rows.lines())


def _preview(result: results.Preview, out: TextIO, err: TextIO) -> None:
    """The verdict, what would run, and what confirms that this was seen."""
    show_assessment(result.assessment, out)
    out.write("✅ Dry run: rollback SQL shown below (not executed)\n\n")
    show_order([name for name, _ in result.steps], out, closed=result.closed, each=result.each)
    _sql("SQL that would be executed", result.sql, out)
    show_ledgers(result.deploy_ledgers, out)
    err.write(f"\nFingerprint of this preview: {result.fingerprint}\n")


def _rehearsal(result: results.Rehearsal, out: TextIO, err: TextIO) -> None:
    """What the rollback did before it was undone."""
    show_order([name for name, _ in result.steps], out)
    for line in result.lines():
        say(one_line(line), out)
    if result.success:
        err.write(f"\nFingerprint of this rehearsal, for rollback --preview: {result.fingerprint}\n")


def _rollback(result: results.RollbackResult, out: TextIO, err: TextIO) -> None:
    """Whether it restored what was there, what ran, and the verdict again: the last line is what a terminal shows."""
    _verification(result.verification, out)
    out.write(f"{result.mark} {one_line(result.message)}\n\n")
    if result.sql_executed is not None:
        _sql("SQL executed", result.sql_executed, out)
    _restored_of(result, out)
    _anchor(result.anchor, err)
    _verdict(result.verification, out)


def _restored_of(result: results.RollbackResult, out: TextIO) -> None:
    """What came back from the archive, where there was one."""
    if result.restored is not None:
        _restored(result.restored, out, out)


def _restored(result: results.RestoreResult, out: TextIO, _: TextIO) -> None:
    """What came back of each table, and which rows were left as they are."""
    out.write("From the archive, nothing was changed:\n" if result.dry_run else "From the archive:\n")
    out.writelines(f"  {one_line(one.said(result.dry_run))}\n" for one in result.tables)
    for one in result.conflicts:
        keys = ", ".join(map(str, one.keys[:20])) + (" ..." if one.count > 20 else "")
        out.write(f"  Written since, left as they are, in {one_line(one.table)}: {one_line(keys or str(one.count))}\n")
    out.write("\n")


def _anchor(anchor: str | None, err: TextIO) -> None:
    """What `audit --anchor` takes, to be kept."""
    if anchor is not None:
        err.write(f"Audit log: {anchor}\n")


def _chain(result: results.ChainResult, out: TextIO, err: TextIO) -> None:
    """Whether it restored what was there, and what ran of each migration."""
    _verification(result.verification, out)
    for step in result.results:
        _verification(step.verification, out)
        out.write(f"{step.mark} {one_line(step.migration_name)}: {one_line(step.message)}\n\n")
        if step.sql_executed is not None:
            _sql("SQL executed", step.sql_executed, out)
            out.write("\n")
        _restored_of(step, out)
    out.write(f"✅ {result.message}\n")
    _anchor(result.anchor, err)
    _verdict(result.verification, out)


def _diff(result: results.SchemaDiff, out: TextIO, _: TextIO) -> None:
    """What differs, as a unified diff of DDL."""
    out.write(f"{one_line(result.old)} -> {one_line(result.new)}: {result.counts}\n")
    out.writelines(f"{one_line(line)}\n" for line in result.unified())


def _synced(result: results.SyncResult, out: TextIO, err: TextIO) -> None:
    """What was registered, found applied again, left out, or failed."""
    for registered in result.registered:
        answer = "Yes" if registered.has_rollback_sql else "No"
        out.write(f"📝 Registering: {one_line(registered.migration_name)}.sql\n   ✅ Registered (Rollback: {answer})\n")
    for name in result.applied_again:
        out.write(f"🔁 Applied again by its deploy tool: {one_line(name)}\n")
    for failure in result.failed:
        err.write(f"❌ {visible(failure.error)}\n")
    failed = f", {len(result.failed)} failed" if result.failed else ""
    failed = (f", {len(result.not_applied)} not applied" if result.not_applied else "") + failed
    gap = "\n" if result.registered or result.applied_again else ""
    nothing = not (result.registered or result.applied_again or result.skipped or result.not_applied)
    mark = "⚠️ " if result.failed or (nothing and result.warnings) else "✅"
    again = f", {len(result.applied_again)} applied again" if result.applied_again else ""
    out.write(
        f"{gap}{mark} Sync complete: {len(result.registered)} registered{again}, {len(result.skipped)}"
        f" skipped{failed}\n"
    )
    if result.without_time:
        count = len(result.without_time)
        err.write(
            f"   applied_at of {'1 is' if count == 1 else f'{count} is'} the time of this sync: no ledger says when"
            f" {'it was' if count == 1 else 'they were'} applied\n"
        )


def _applied(result: results.ApplyResult, out: TextIO, _: TextIO) -> None:
    """What was applied, and what was left rolled back."""
    for name in result.applied:
        out.write(f"✅ Applied: {one_line(name)}\n")
    for one in result.archived or ():
        out.write(f"📦 {one_line(one.migration_name)}: {one_line(one.words)}\n")
    left = f", {len(result.left_rolled_back)} left rolled back" if result.left_rolled_back else ""
    out.write(f"✅ Apply complete: {len(result.applied)} applied, {len(result.skipped)} skipped{left}\n")
    out.writelines(f"   Left rolled back: {one_line(str(one))}\n" for one in result.left_rolled_back)
    if result.left_rolled_back:
        names = " ".join(shlex.quote(one.migration_name) for one in result.left_rolled_back)
        out.write(f"   To bring back: migrollback apply {one_line(names)}, or all of them: migrollback apply --again\n")


def _recorded(result: results.RecordResult, out: TextIO, _: TextIO) -> None:
    """Which dependencies were recorded, left out, or taken back."""
    for one in result.dependencies:
        done = "✅" if one.recorded else "⚠️ "
        why = one.because if one.recorded else f"not recorded: {one.remark}"
        out.write(f"{done} {one_line(one.migration_name)} depends on {one_line(one.depends_on)} ({one_line(why)})\n")
    for one in result.removed:
        out.write(
            f"✅ {one_line(one.migration_name)} does not depend on {one_line(one.depends_on)} any more"
            f" ({one_line(one.because)})\n"
        )
    removed = f", {len(result.removed)} removed" if result.removed else ""
    out.write(f"✅ {len(result.recorded)} dependencies recorded, {len(result.skipped)} skipped{removed}\n")


def _dismissed(result: results.DismissResult, out: TextIO, _: TextIO) -> None:
    """Which dependency was taken away, and why."""
    pair = f"{one_line(result.migration_name)} depends on {one_line(result.depends_on)}"
    if result.dismissed:
        out.write(f"✅ Dismissed: {pair} ({one_line(result.reason)})\n")
    else:
        out.write(f"✅ Dismissed already: {pair}\n")


def _template(result: results.Template, out: TextIO, _: TextIO) -> None:
    """The suggested block, and its grade where it was tried."""
    out.write(
        f"Suggested rollback template:\n{RULE}\n{visible(result.text)}\n{RULE}\n\n💡 Add this to your migration"
        " file and adjust as needed\n"
    )
    if result.proof is not None:
        out.write(f"\n{result.proof.mark} Tried on a scratch database: {result.proof.grade}\n")
        out.writelines(f"   {one_line(line)}\n" for told in result.proof.lines() for line in told.splitlines())


def _written(result: results.WrittenSql, out: TextIO, err: TextIO) -> None:
    """Which files were written, and for which migrations there is none, and why."""
    for one in result.migrations:
        mark, what = ("✅", one.rollback) if one.rollback is not None else ("❌", one.reason)
        out.write(f"{mark} {one_line(one.migration_name)}: {one_line(what or '')}\n")
        out.writelines(f"   ⚠️ {one_line(remark)}\n" for remark in one.remarks)
    out.writelines(f"⚠️ {one_line(warning)}\n" for warning in result.warnings)
    done = sum(one.rollback is not None for one in result.migrations)
    out.write(f"\nWhat undoes {done} of {len(result.migrations)} migrations is written\n")
    err.write("" if not done else "Read it before you rely on it, then: migrollback sync\n")


def _installed(result: results.InstallResult, out: TextIO, err: TextIO) -> None:
    """What was installed, marked, closed, and found in the way."""
    mark = "🔍" if result.dry_run else "✅"
    out.write(f"{mark} Rollback system {result.what} (schema {one_line(result.target.schema)})\n")
    if result.taken_over is not None:
        out.write(f"   {'To be taken over' if result.dry_run else 'Taken over'}: {one_line(str(result.taken_over))}\n")
        err.writelines(f"   {one_line(line)}\n" for line in result.taken_over.lines())
    if result.production_changed or result.target.production:
        state = (
            "is marked as production: a rollback here needs a reason"
            if result.target.production
            else "is no longer marked as production"
        )
        out.write(f"   Database {one_line(result.target.database)} {state}\n")
    if result.rights_closed:
        err.write(
            f"   {result.rights_closed} grants to PUBLIC, to Supabase's roles or, by default privileges, to"
            " others were closed\n"
        )
    err.writelines(f"❌ {one_line(str(found))}\n" for found in result.not_ours)
    if result.scope is not None:
        out.write(f"   A history of its own, of {one_line(', '.join(result.scope))} and what that depends on\n")
    if result.trusted_ledger_owners:
        out.write(
            f"   Deploy ledgers of these roles are trusted too: {one_line(', '.join(result.trusted_ledger_owners))}\n"
        )


def _runbook_files(result: results.RunbookFiles, out: TextIO, _: TextIO) -> None:
    """Where the notebooks are."""
    out.write(f"✅ The runbook of {one_line(result.migration_name)} is in {one_line(result.folder)}\n")
    out.writelines(f"   {name}\n" for name in result.files)


def _audit(result: results.AuditResult, out: TextIO, _: TextIO) -> None:
    """Whether anything was found, what, and the head."""
    out.write(f"{'✅' if result.success else '❌'} {result.headline}\n")
    for found in result.findings:
        say(f"   {one_line(found.message)}", out)
    for remark in result.remarks:
        say(f"⚠️  {one_line(remark)}", out)
    out.write(f"   {result.events} events, head {result.anchor}\n")
    if result.file is not None:
        out.write(f"   File: {one_line(result.file)}\n")


def _doctor(result: results.DoctorResult, out: TextIO, _: TextIO) -> None:
    """How many problems, and each with its fix."""
    out.write(f"{'✅' if result.success else '❌'} {one_line(str(result.target))}: {result.headline}\n")
    for one in result.diagnoses:
        say(f"{'❌' if one.severity == 'problem' else '📝'} {one_line(one.message)}", out)
        say(f"   Fix: {one_line(one.fix)}", out)


def _adoption(result: results.Adoption, out: TextIO, _: TextIO) -> None:
    """What was found, and what is done with it."""
    out.write(f"{'✅ Adopted' if result.done else '🔍 Found'}: {one_line(str(result.target))}\n")
    out.writelines(f"{visible(line)}\n" for line in result.lines())


def _message(
    result: results.PruneResult | results.RoleResult | results.ArchivesChanged | results.AroundResult,
    out: TextIO,
    _: TextIO,
) -> None:
    out.write(f"✅ {visible(result.message)}\n")


def _nothing(result: results.NothingToRollBack, out: TextIO, _: TextIO) -> None:
    out.write(f"✅ {one_line(result.message)}\n")


def _registered(result: results.RegisterResult, out: TextIO, _: TextIO) -> None:
    """What became of a registration, or of a failed migration that was resolved."""
    if "->" in result.outcome:
        out.write(f"✅ Migration resolved: {result.outcome}\n")
        return
    remark = "" if result.outcome == "registered" else f" ({result.outcome})"
    out.write(
        f"✅ Migration registered successfully{remark}\n   Rollback SQL:"
        f" {'✅ Available' if result.has_rollback_sql else '❌ Missing'}\n"
    )


def _plan(result: results.Plan, out: TextIO, _: TextIO) -> None:
    """The verdict; the order of a chain, or what is to be said of a migration alone."""
    show_assessment(result.assessment, out)
    if len(result.steps) > 1 or result.closed is not None:
        show_order(result.steps, out, closed=result.closed)
    if len(result.steps) > 1:
        return
    alone = result.steps[0]
    if (status := result.statuses.get(alone, "applied")) != "applied":
        out.write(f"{one_line(alone)} cannot be rolled back: its status is {status}\n")
    elif result.dependents_looked_for is None:
        out.write(
            f"{one_line(alone)} would be rolled back alone: no file declares that it depends on it. Dependents that"
            " no file declares were not looked for: migrollback sync does that\n"
        )
    else:
        out.write(f"{one_line(alone)} would be rolled back alone: nothing applied depends on it\n")


def _proof(result: results.Proof, out: TextIO, _: TextIO) -> None:
    """The grade of each migration, with what is to be said of it."""
    width = max((len(one_line(migration.migration_name)) for migration in result.migrations), default=0)
    for migration in result.migrations:
        grade = paint(migration.grade, KIND.get(migration.grade), out)
        out.write(f"{migration.mark} {one_line(migration.migration_name):<{width}}  {grade}\n")
        out.writelines(f"     {one_line(line)}\n" for told in migration.lines() for line in told.splitlines())
    out.write(f"{RULE}\n{result.summary} (on {one_line(result.server)})\n")
    if result.recorded is not None:
        out.write(f"{result.recorded}\n")


def _verification(found: results.Verification | None, out: TextIO, _: TextIO | None = None) -> None:
    """The verdict of a verification; nothing where there was none."""
    if found is not None:
        out.write(f"{_verdict_of(found, out)}\n")
        for line in found.lines():
            say(f"   {one_line(line)}", out)
        out.write("\n")


def _verdict(found: results.Verification | None, out: TextIO) -> None:
    """The verdict of a verification in one line; nothing where there was none."""
    if found is not None:
        out.write(f"\n{_verdict_of(found, out)}\n")


def _verdict_of(found: results.Verification, out: TextIO) -> str:
    shown = lines(f"{found.mark} {one_line(found.message)}", out)
    return "\n".join(paint(line, KIND.get(found.verdict), out) for line in shown)


def _sql(title: str, text: str, out: TextIO) -> None:
    out.write(f"{title}:\n{RULE}\n{visible(mask_passwords(text))}\n{RULE}\n")


def show_assessment(assessment: results.Assessment | None, out: TextIO) -> None:
    """The verdict, and what it is made from; nothing where it could not be asked."""
    if assessment is not None:
        for line in lines(one_line(assessment.heading), out):
            out.write(f"{paint(line, KIND[assessment.verdict], out)}\n")
        for line in assessment.indented():
            say(one_line(line), out)
        out.write("\n")


def _assessment(result: results.Assessment, out: TextIO, _: TextIO) -> None:
    """The verdict, what it is made from, and how that is known."""
    show_assessment(result, out)
    out.write(f"Verdict: {result.verdict}\nKnown by: {result.known_by}\n")


def show_ledgers(ledgers: Iterable[str], out: TextIO) -> None:
    """The tables of deploy tools that a rollback changes besides; nothing where there are none."""
    out.writelines(f"Deploy ledger that changes with it: {one_line(ledger)}\n" for ledger in ledgers)


def show_order(
    names: Iterable[str], out: TextIO, *, closed: results.ClosedSelection | None = None, each: bool = False
) -> None:
    """How many are selected and go with them, and the order of a chain; nothing for one migration."""
    ordered = list(names)
    if closed is not None:
        out.write(f"{closed.words[0].upper()}{closed.words[1:]}.\n")
        for remark in closed.remarks:
            say(f"⚠️  {one_line(remark)}", out)
    if len(ordered) > 1:
        out.write(f"Order of the rollback, {'each in a transaction of its own' if each else 'in one transaction'}:\n")
        out.writelines(f"  {place}. {one_line(name)}\n" for place, name in enumerate(ordered, 1))
        out.write("\n")


#: Type of a result -> what shows it. By name: naming the types would load them all.
_SHOWN: dict[str, Show] = {
    "Adoption": _adoption,
    "Listing": _listing,
    "Assessment": _assessment,
    "CheckResult": _check,
    "Preview": _preview,
    "Rehearsal": _rehearsal,
    "RollbackResult": _rollback,
    "ChainResult": _chain,
    "NothingToRollBack": _nothing,
    "ApprovalRequest": show_request,
    "PolicyChange": show_change,
    "Verification": _verification,
    "SchemaDiff": _diff,
    "RegisterResult": _registered,
    "SyncResult": _synced,
    "ApplyResult": _applied,
    "RecordResult": _recorded,
    "DismissResult": _dismissed,
    "Template": _template,
    "WrittenSql": _written,
    "InstallResult": _installed,
    "Plan": _plan,
    "RunbookFiles": _runbook_files,
    "AuditResult": _audit,
    "DoctorResult": _doctor,
    "PruneResult": _message,
    "RoleResult": _message,
    "RestoreResult": _restored,
    "ArchivesChanged": _message,
    "AroundResult": _message,
    "Proof": _proof,
}
