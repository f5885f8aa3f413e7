"""What each command does that plans, runs, reads a folder or writes: calls the facade and returns its result."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.cli.archive_actions import archive_options
from migrollback_nb.cli.command import Call, common
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.selectors.near import close_to
from migrollback_nb.core.text import one_line

if TYPE_CHECKING:
    from migrollback_nb.core.results import (
        ApplyResult,
        AuditResult,
        CheckResult,
        Foreseen,
        InstallResult,
        NothingToRollBack,
        Plan,
        Range,
        Rehearsal,
        SyncResult,
        Template,
        Verification,
        WrittenSql,
    )


def plan(call: Call) -> Plan | NothingToRollBack:
    """The order in which what is named, selected or in a range would be rolled back. Does not write."""
    args = call.args
    meant = what_is_meant(args)
    if meant.names or meant.select:
        select: str | list[str] = args.select or (args.names[0] if len(args.names) == 1 else args.names)
        return call.db.plan(select, args.exclude)
    return call.db.plan(to=args.to, last=args.last, since=args.since, deploy=args.deploy, chain=args.chain)


def check(call: Call) -> CheckResult:
    """May the migration be rolled back; with --rows also a look at what that loses. Does not write."""
    checked = call.db.check(call.args.name)
    return replace(checked, lost_rows=call.db.lost_rows(call.args.name)) if call.args.rows else checked


# -- rollback and rehearsal --------------------------------------------------------------------------------------------


def what_is_meant(args: argparse.Namespace) -> Range:
    """What rollback, plan or rehearse is asked for; pure.

    Raises
    ------
    UsageError
        When it is not one thing.
    """
    given = [bool(args.names), *(getattr(args, key) is not None for key in ("to", "last", "since", "deploy", "select"))]
    if given.count(True) != 1:
        raise UsageError(
            f"{args.command} takes names of migrations, --to NAME, --last N, --since TIME, --deploy LABEL or --select"
            " SELECTOR, one of them",
            hint="migrollback list and migrollback deploys show them.",
        )
    from migrollback_nb.operations.ranges import asked

    return asked(args.names or None, **_range(args))


def _range(args: argparse.Namespace) -> dict[str, Any]:
    """What is meant besides names, as the facade takes it; pure."""
    keys = ("to", "last", "since", "deploy", "select", "exclude", "chain")
    return {key: getattr(args, key) for key in keys}


def meant(args: argparse.Namespace) -> dict[str, Any]:
    """What is to be rolled back or rehearsed, as the facade takes it; pure."""
    return {"name": args.names or None, **_range(args)}


def rollback(call: Call) -> Any:
    """Roll back what was shown and confirmed, or show it. Writes, unless it is a dry run."""
    from migrollback_nb.operations.attempts import read_id

    args = call.args
    what_is_meant(args)
    args.attempt = read_id(args.attempt)
    again = {"each": args.each, "attempt_id": args.attempt}
    if args.dry_run:
        return call.db.preview(**meant(args), **again)
    if args.attempt is not None and (before := call.db.attempted(args.attempt, **meant(args), each=args.each)):
        return before
    from migrollback_nb.cli import confirmation

    if call.terminal:
        if (nothing := confirmation.confirm(call, meant(args))) is not None:
            return nothing
    else:
        confirmation.require(args)
    with call.statement_bar() as progress:
        return call.db.rollback(
            **meant(args),
            **again,
            confirm=args.confirm,
            reason=args.reason,
            preview=args.preview,
            accept_loss=args.accept_loss,
            break_glass=args.break_glass,
            trail=args.trail,
            snapshots=args.snapshots,
            progress=progress,
            **archive_options(args),
        )


def converge(call: Call) -> Any:
    """Roll back what a folder does not hold, or show it. Writes, unless it is a dry run."""
    from migrollback_nb.operations.attempts import read_id

    args = call.args
    meant: dict[str, Any] = {
        "to_files": args.to_files or None,
        "max": args.max,
        "each": args.each,
        "attempt_id": read_id(args.attempt),
    }
    if args.dry_run:
        return call.db.preview_converge(**meant)
    name = call.db.target.database
    from migrollback_nb.cli.confirmation import confirmed_by_variable

    confirm = name if args.confirm is None and confirmed_by_variable(name) else args.confirm
    with call.statement_bar() as progress:
        return call.db.converge(
            **meant,
            confirm=confirm,
            accept_loss=args.accept_loss,
            reason=args.reason,
            preview=args.preview,
            snapshots=args.snapshots,
            progress=progress,
        )


def rehearse(call: Call) -> Rehearsal | Any:
    """Rehearse a rollback. Writes one event."""
    args = call.args
    what_is_meant(args)
    with call.statement_bar() as progress:
        return call.db.rehearse(
            **meant(args),
            on=args.on,
            consent=args.consent,
            lock_timeout=args.lock_timeout,
            statement_timeout=args.statement_timeout,
            max_stall=args.max_stall,
            foreseen=lambda found: _show_foreseen(call, found),
            progress=progress,
        )


def _show_foreseen(call: Call, found: Foreseen) -> None:
    """Say what a rehearsal will lock, before it runs. Writes to the stream."""
    bound = call.args.max_stall or call.db.database.session.timeouts.max_stall
    stream = call.out if call.speaks else call.err
    again = what_is_meant(call.args).arguments
    if found.long:
        stream.write("Will be locked here, so that others wait:\n")
        stream.writelines(f"  {one_line(line)}\n" for line in found.lines())
    from migrollback_nb.database.settings import milliseconds

    if found.stalls(milliseconds(bound, option="--max-stall") or None):
        stream.write(
            f"⚠️  When others have waited for {bound}, it is ended, and nothing is known. On a copy no one waits:\n"
            f"  migrollback rehearse {again} --on scratch\n"
        )
    if found.long:
        stream.write("\n")
    stream.flush()


# -- the others --------------------------------------------------------------------------------------------------------


def sync(call: Call) -> SyncResult:
    """Register what is new in the folder. Writes."""
    with call.bar() as progress:
        return call.db.sync(deploy=call.args.deploy, progress=progress, snapshots=call.args.snapshots)


def adopt(call: Call) -> Any:
    """Take over a database that was there before, or say what would be done. Writes, unless it is a dry run."""
    with call.bar() as progress:
        return call.db.adopt(dry_run=call.args.dry_run, take_over=call.args.take_over, progress=progress)


def apply(call: Call) -> ApplyResult:
    """Apply migrations of the folder. Writes."""
    args = call.args
    with call.bar() as progress:
        return call.db.apply(
            *args.names,
            again=args.again,
            deploy=args.deploy,
            progress=progress,
            snapshots=args.snapshots,
            **archive_options(args),
        )


def snapshot(call: Call) -> str:
    """Store the schema as it stands. Writes one snapshot; says so where its name looks like a slip."""
    taken, name = call.db.snapshot(call.args.name, call.args.description), call.args.name
    known = call.db.database.queries.names()
    if call.terminal and name not in known and (hint := close_to(name, known)) is not None:
        call.err.write(f"⚠️  Taken for {one_line(name)}, which is not registered. {one_line(hint)}\n")
    return taken


def install(call: Call) -> InstallResult | None:
    """Install the rollback system, or print its SQL. Writes, unless it prints."""
    args = call.args
    if args.undo_take_over:
        if not args.print_sql or args.take_over or args.dry_run or args.production is not None:
            raise UsageError(
                "What undoes a take-over is printed, and never run from here",
                hint="Run migrollback install --undo-take-over --print, and psql with what it prints.",
            )
        call.out.write(call.db.undo_take_over_sql())
        return None
    if not args.print_sql:
        return call.db.install(
            take_over=args.take_over,
            dry_run=args.dry_run,
            production=args.production,
            reason=args.reason,
            trust_ledger_of=args.trust_ledger_of,
            distrust_ledger_of=args.distrust_ledger_of,
        )
    if not call.terminal:
        raise UsageError("install --print is for the terminal", hint="Leave --print out to install here.")
    from migrollback_nb.database.installation import installation_sql

    if args.dry_run:
        raise UsageError("--print changes nothing", hint="Leave --dry-run out, or --print.")
    if args.production is False or (args.reason is not None and args.production is None):
        raise UsageError(
            "What is printed installs or upgrades the system, and takes no mark away",
            hint="Beside --print leave out --not-production, and --reason without --production.",
        )
    scope = common(args, "scope")
    schema = common(args, "schema") or os.environ.get("MIGROLLBACK_SCHEMA") or "public"
    call.out.write(
        installation_sql(
            schema,
            production=bool(args.production),
            reason=args.reason,
            take_over=args.take_over,
            scope=(scope,) if scope else None,
        )
    )
    return None


def verify(call: Call) -> Any:
    """Grade the rollbacks of a folder. Writes only on the scratch database, and the JUnit file.

    With --record it writes the grades into the database too; otherwise it needs none.
    """
    from migrollback_nb.replay.proof import prove_folder

    args, folder = call.args, common(call.args, "dir")
    report = None if args.junit is None else Path(args.junit)
    if report is not None and not report.parent.is_dir():  # said before the work and not after it
        raise UsageError(
            f"{report} cannot be written: there is no folder {report.parent}",
            hint="Make it first, or name another file with --junit.",
        )
    options: dict[str, Any] = {"on": args.on, "own_server": args.own_server, "prelude": args.prelude}
    names = [*args.names, *_selected_files(call)]
    with call.bar() as progress:
        proof = prove_folder(folder, names, progress=progress, **options)
    if report is not None:
        from migrollback_nb.cli.junit import junit_xml

        try:
            report.write_bytes(junit_xml(proof, suite=str(folder or "migrations"), required=args.require))
        except OSError as error:
            raise UsageError(
                f"{report} cannot be written: {error.strerror}", hint="Name another file with --junit."
            ) from error
    return call.db.record_proofs(proof) if args.record else proof


def _selected_files(call: Call) -> Sequence[str]:
    """What --select means of the folder; connects only where a selector asks what the database alone knows."""
    args = call.args
    if args.select is None and args.exclude is None:
        return ()
    from migrollback_nb.files.formats import find_folder
    from migrollback_nb.files.selection import asks_a_database, select_files

    folder = find_folder(common(args, "dir"))
    if args.names:
        raise UsageError("A selector goes alone", hint="Give --select and --exclude without names.")
    if not asks_a_database(folder, args.select, args.exclude):
        return select_files(folder, args.select, args.exclude)
    from migrollback_nb.operations.selection import files_of

    return files_of(call.db.database, folder, args.select, args.exclude)


def verify_rollback(call: Call) -> Verification:
    """Verify the last rollback of a migration later. Writes an event, and snapshots; of a replay elsewhere too."""
    args = call.args
    if not args.replay:
        return call.db.verify_rollback(args.name)
    from migrollback_nb.replay.around_apply import schemas_around

    return call.db.verify_rollback(
        args.name, replay=lambda names: schemas_around(call.db.folder, names, on=args.on, prelude=args.prelude)
    )


def audit(call: Call) -> AuditResult:
    """The audit log, or a file of it, checked. Writes the file that --export names, nothing to the database."""
    if call.args.check is not None:
        from migrollback_nb.operations.audit_file import check_audit_log

        return check_audit_log(call.args.check, anchors=call.args.anchors)
    return call.db.audit(anchors=call.args.anchors, export=call.args.export)


def template(call: Call) -> Template:
    """Suggest a rollback block. Writes only on a scratch database.

    Of a database only where one is named by --dsn: a variable that names one, production perhaps, is not taken for
    this.
    """
    args = call.args
    where = {"prove": args.prove, "on": args.on, "own_server": args.own_server, "prelude": args.prelude}
    if common(args, "dsn") is not None:
        return call.db.template(args.name, **where)
    from migrollback_nb.replay import folder

    return folder.template(common(args, "dir"), args.name, **where)


def render(call: Call) -> WrittenSql:
    """Write the SQL of programs, as their tool renders it. Writes files; runs the tool."""
    from migrollback_nb.replay.render import render as rendered

    with call.bar() as progress:
        return rendered(common(call.args, "dir"), command=call.args.passed_on, on=call.args.on, progress=progress)


def capture(call: Call) -> WrittenSql:
    """Write what undoes a program, from what it does to a scratch database. Writes files; runs the tool's command."""
    args = call.args
    options: dict[str, Any] = {"name": args.name, "down": args.down, "each": args.each, "on": args.on}
    with call.bar() as progress:
        if args.empty:
            from migrollback_nb.replay.folder import capture as captured

            return captured(args.passed_on, common(args, "dir"), progress=progress, **options)
        written: WrittenSql = call.db.capture(args.passed_on, progress=progress, **options)
        return written


def runbook(call: Call) -> Any:
    """Copy the runbook's notebooks, filled in. Writes a folder."""
    args = call.args
    return call.db.runbook(
        args.name,
        ticket=args.ticket,
        chain=args.chain,
        into=args.into,
        dsn_given=common(args, "dsn") is not None,
    )
