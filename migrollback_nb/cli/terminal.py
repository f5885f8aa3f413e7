"""Results as text for a terminal, in the words, marks and columns of the specification. Writes to the streams that it is given."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from migrollback_nb.core import results
from migrollback_nb.core.html import visible

RULE = "─" * 76


def _short_time(moment: datetime | None) -> str:
    """As the specification prints times: 1/20/25, 2:30 PM, in local time."""
    if moment is None:
        return "-"
    local = moment.astimezone()
    return f"{local.month}/{local.day}/{local:%y}, {local.hour % 12 or 12}:{local:%M %p}"


def show_list(rows: Sequence[Mapping[str, Any]], out: TextIO) -> None:
    """The listing of the specification."""
    out.write("📋 Listing rollbackable migrations...\n\nApplied Migrations:\n\n")
    out.write(
        f"{RULE}\n{'Migration':<50} {'Can Rollback':<12} {'Applied At':<19} {'Has Rollback':<12} Blocking"
        f" Reason\n{RULE}\n"
    )
    for row in rows:
        can = "✅ Yes" if row["can_rollback"] else "❌ No"
        has = "✅" if row["has_rollback_sql"] else "❌"
        out.write(
            f"{visible(row['migration_name']):<50} {can:<11} {_short_time(row['applied_at']):<20} {has:<11}"
            f" {visible(row['blocking_reason'] or '-')}\n"
        )
    out.write(f"{RULE}\n\nTotal: {len(rows)} migrations\nRollbackable: {sum(row['can_rollback'] for row in rows)}\n")


def _show_sql(title: str, text: str, out: TextIO) -> None:
    out.write(f"{title}:\n{RULE}\n{visible(text)}\n{RULE}\n")


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(timespec="seconds")
        case list() | tuple():
            return ", ".join(_cell(item) for item in value)
        case dict():
            import json

            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    """Rows under aligned headings, one line each; long cells are cut, and end in … then."""
    whole = ([visible(_cell(row[column])).replace("\n", " ") for column in columns] for row in rows)
    cells = [[text if len(text) <= 80 else text[:79] + "…" for text in line] for line in whole]
    widths = [
        max(len(name), *(len(line[place]) for line in cells), 0) if cells else len(name)
        for place, name in enumerate(columns)
    ]
    for line in [list(columns), ["-" * width for width in widths], *cells]:
        out.write("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n")
    out.write(f"({len(rows)} rows)\n")


def show_tsv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    """Tab-separated with a header, escaped as PostgreSQL's COPY does: one line for each row whatever is in it."""
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    out.write("\t".join(columns) + "\n")
    for row in rows:
        out.write("\t".join(_cell(row[column]).translate(escapes) for column in columns) + "\n")


def show(result: Any, out: TextIO, err: TextIO) -> None:
    """Print a result for people."""
    match result:
        case results.CheckResult():
            out.write(
                f"Status: {'✅ Can rollback' if result.can_rollback else '❌ Cannot rollback'}\nReason:"
                f" {visible(result.reason)}\n"
            )
            if result.dependent_migrations:
                out.write("\nDependent migrations (must be rolled back first):\n")
                out.writelines(f"  - {visible(name)}\n" for name in result.dependent_migrations)
        case results.Preview():
            out.write("✅ Dry run: rollback SQL shown below (not executed)\n\n")
            show_order([name for name, _ in result.steps], out)
            _show_sql("SQL that would be executed", result.sql, out)
            show_ledgers(result.deploy_ledgers, out)
            err.write(f"\nFingerprint of this preview: {result.fingerprint}\n")
        case results.Rehearsal():
            show_order([name for name, _ in result.steps], out)
            out.writelines(f"{visible(line)}\n" for line in result.lines())
            if result.success:
                err.write(f"\nFingerprint of this rehearsal, for rollback --preview: {result.fingerprint}\n")
        case results.RollbackResult():
            out.write(f"{result.mark} {visible(result.message)}\n\n")
            _show_sql("SQL executed", result.sql_executed or "", out)
            _show_verification(result.verification, out)
        case results.ChainResult():
            for step in result.results:
                out.write(f"{step.mark} {visible(step.migration_name)}: {visible(step.message)}\n\n")
                _show_sql("SQL executed", step.sql_executed or "", out)
                out.write("\n")
            out.write(f"✅ {result.message}\n")
            _show_verification(result.verification, out)
        case results.NothingToRollBack():
            out.write(f"✅ {visible(result.message)}\n")
        case results.Verification():
            _show_verification(result, out)
        case results.SchemaDiff():
            out.write(f"{visible(result.old)} -> {visible(result.new)}: {result.counts}\n")
            out.writelines(f"{visible(line)}\n" for line in result.lines())
        case results.RegisterResult() if "->" in result.outcome:
            out.write(f"✅ Migration resolved: {result.outcome}\n")
        case results.RegisterResult():
            remark = "" if result.outcome == "registered" else f" ({result.outcome})"
            out.write(
                f"✅ Migration registered successfully{remark}\n   Rollback SQL:"
                f" {'✅ Available' if result.has_rollback_sql else '❌ Missing'}\n"
            )
        case results.SyncResult():
            for registered in result.registered:
                answer = "Yes" if registered.has_rollback_sql else "No"
                out.write(
                    f"📝 Registering: {visible(registered.migration_name)}.sql\n   ✅ Registered (Rollback: {answer})\n"
                )
            for name in result.applied_again:
                out.write(f"🔁 Applied again by its deploy tool: {visible(name)}\n")
            for failure in result.failed:
                err.write(f"❌ {visible(failure.error)}\n")
            failed = f", {len(result.failed)} failed" if result.failed else ""
            failed = (f", {len(result.not_applied)} not applied" if result.not_applied else "") + failed
            gap = "\n" if result.registered or result.applied_again else ""
            mark = "⚠️ " if result.failed else "✅"
            again = f", {len(result.applied_again)} applied again" if result.applied_again else ""
            out.write(
                f"{gap}{mark} Sync complete: {len(result.registered)} registered{again}, {len(result.skipped)}"
                f" skipped{failed}\n"
            )
        case results.ApplyResult():
            for name in result.applied:
                out.write(f"✅ Applied: {visible(name)}\n")
            left = f", {len(result.left_rolled_back)} left rolled back" if result.left_rolled_back else ""
            out.write(f"✅ Apply complete: {len(result.applied)} applied, {len(result.skipped)} skipped{left}\n")
            out.writelines(f"   Left rolled back: {visible(str(one))}\n" for one in result.left_rolled_back)
            if result.left_rolled_back:
                names = " ".join(shlex.quote(one.migration_name) for one in result.left_rolled_back)
                out.write(
                    f"   To bring back: migrollback apply {visible(names)}, or all of them: migrollback apply --again\n"
                )
        case results.RecordResult():
            for one in result.dependencies:
                done = "✅" if one.recorded else "⚠️ "
                why = one.because if one.recorded else f"not recorded: {one.remark}"
                out.write(f"{done} {visible(one.migration_name)} needs {visible(one.depends_on)} ({visible(why)})\n")
            for one in result.removed:
                out.write(
                    f"✅ {visible(one.migration_name)} does not need {visible(one.depends_on)} any more"
                    f" ({visible(one.because)})\n"
                )
            removed = f", {len(result.removed)} removed" if result.removed else ""
            out.write(f"✅ {len(result.recorded)} dependencies recorded, {len(result.skipped)} skipped{removed}\n")
        case results.Template():
            out.write(
                f"Suggested rollback template:\n{RULE}\n{visible(result.text)}\n{RULE}\n\n💡 Add this to your migration"
                " file and adjust as needed\n"
            )
            if result.proof is not None:
                out.write(f"\n{result.proof.mark} Tried on a scratch database: {result.proof.grade}\n")
                out.writelines(f"   {visible(line)}\n" for told in result.proof.lines() for line in told.splitlines())
        case results.InstallResult():
            out.write(f"✅ Rollback system {result.what} (schema {visible(result.target.schema)})\n")
            if result.production_changed or result.target.production:
                state = (
                    "is marked as production: a rollback here needs a reason"
                    if result.target.production
                    else "is no longer marked as production"
                )
                out.write(f"   Database {visible(result.target.database)} {state}\n")
            if result.rights_closed:
                err.write(
                    f"   {result.rights_closed} grants to PUBLIC, to Supabase's roles or, by default privileges, to"
                    " others were closed\n"
                )
            err.writelines(f"❌ {visible(str(found))}\n" for found in result.not_ours)
            if result.trusted_ledger_owners:
                out.write(
                    "   Deploy ledgers of these roles are trusted too:"
                    f" {visible(', '.join(result.trusted_ledger_owners))}\n"
                )
        case results.Plan(steps=(alone,)) if (status := result.statuses.get(alone, "applied")) != "applied":
            out.write(f"{visible(alone)} cannot be rolled back: its status is {status}\n")
        case results.Plan(steps=(alone,)):
            out.write(f"{visible(alone)} would be rolled back alone: nothing in place rests on it\n")
        case results.Plan():
            show_order(result.steps, out)
        case results.RunbookFiles():
            out.write(f"✅ The runbook of {visible(result.migration_name)} is in {visible(result.folder)}\n")
            out.writelines(f"   {name}\n" for name in result.files)
        case results.AuditResult():
            out.write(
                f"{'✅ The audit trail is intact' if result.intact else f'❌ The audit trail is broken at event {result.first_bad_number}'}\n"
            )
            out.write(f"   {result.events} events, head {result.head_number} {result.head_hash}\n")
        case results.Proof():
            _show_proof(result, out)
        case str():
            out.write(f"{result}\n")
    warnings = getattr(result, "warnings", ())
    if isinstance(result, results.ChainResult):
        warnings = dict.fromkeys((*(warning for step in result.results for warning in step.warnings), *warnings))
    for warning in warnings:
        err.write(f"⚠️  {visible(warning)}\n")


def _show_proof(proof: results.Proof, out: TextIO) -> None:
    width = max((len(visible(migration.migration_name)) for migration in proof.migrations), default=0)
    for migration in proof.migrations:
        out.write(f"{migration.mark} {visible(migration.migration_name):<{width}}  {migration.grade}\n")
        out.writelines(f"     {visible(line)}\n" for told in migration.lines() for line in told.splitlines())
    out.write(f"{RULE}\n{proof.summary} (on {visible(proof.server)})\n")


def _show_verification(found: results.Verification | None, out: TextIO) -> None:
    if found is not None:
        out.write(f"\n{found.mark} {visible(found.message)}\n")
        out.writelines(f"   {visible(line)}\n" for line in found.lines())


def show_ledgers(ledgers: Iterable[str], out: TextIO) -> None:
    """The tables of deploy tools that a rollback changes besides; nothing where there are none."""
    out.writelines(f"Deploy ledger that changes with it: {visible(ledger)}\n" for ledger in ledgers)


def show_order(names: Iterable[str], out: TextIO) -> None:
    """The order of a chain; nothing for one migration."""
    ordered = list(names)
    if len(ordered) > 1:
        out.write("Order of the rollback, in one transaction:\n")
        out.writelines(f"  {place}. {visible(name)}\n" for place, name in enumerate(ordered, 1))
        out.write("\n")
