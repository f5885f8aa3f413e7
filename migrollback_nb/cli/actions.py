"""What each command does: calls the facade and returns its result, or rows where a terminal asks."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.cli.command import Call, common
from migrollback_nb.cli.tables import Listing
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.html import visible
from migrollback_nb.database.settings import milliseconds

if TYPE_CHECKING:
    from migrollback_nb.core.results import (
        ApplyResult,
        Foreseen,
        InstallResult,
        Plan,
        Rehearsal,
        SyncResult,
        Template,
        Verification,
    )


# -- rows: DataFrames in a notebook, and without pandas in a terminal --------------------------------------------------


def list_migrations(call: Call) -> Any:
    """All applied migrations. Does not write."""
    args = call.args
    if not call.terminal:
        return call.db.list(args.select, args.exclude)
    return Listing(
        rows=call.db.list_rows(args.select, args.exclude, system=True),
        columns=(
            "migration_name",
            "migration_version",
            "applied_at",
            "status",
            "can_rollback",
            "has_rollback_sql",
            "blocking_reason",
            "dependent_migrations",
            "verdict",
            "headline",
        ),
        warnings=(*call.db.half_applied_warnings(), *call.db.ledger_warnings()),
    )


def history(call: Call) -> Any:
    """The history of all migrations. Does not write."""
    args = call.args
    wanted = {
        "select": args.select,
        "exclude": args.exclude,
        "status": args.status,
        "since": args.since,
        "until": args.until,
        "on": args.on,
        "by": args.by,
        "limit": args.limit,
        "without_rollback": args.without_rollback,
        "deploy": args.deploy,
    }
    if not call.terminal:
        return call.db.history(**wanted)
    return Listing(
        rows=call.db.history_rows(**wanted, system=True),
        columns=(
            "migration_name",
            "migration_version",
            "status",
            "applied_at",
            "applied_by",
            "rollback_at",
            "rollback_by",
            "notes",
            "checksum",
            "rollback_sql",
            "verdict",
            "proven",
            "proven_at",
            "dependents",
            "file_state",
            "deploy_id",
            "first_applied_at",
            "apply_count",
            "rollback_count",
            "failure_count",
            "description",
            "tool",
        ),
        short=("migration_name", "status", "applied_at", "applied_by", "rollback_at", "rollback_by", "notes"),
        warnings=call.db.history_warnings(),
    )


def deploys(call: Call) -> Any:
    """The deploys. Does not write."""
    if not call.terminal:
        return call.db.deploys()
    return Listing(
        rows=call.db.database.queries.deploys(),
        columns=(
            "label",
            "deployed_at",
            "deployed_by",
            "client",
            "migrations",
            "applied",
            "state",
            "deploy_id",
            "ended_at",
            "failed",
            "rolled_back",
            "duration_ms",
        ),
        short=("label", "deployed_at", "deployed_by", "migrations", "state"),
    )


def events(call: Call) -> Any:
    """The audit log, or whether its chain of hashes is whole. Does not write."""
    args = call.args
    if args.verify:
        return call.db.verify_events()
    if args.name is not None and args.select is not None:
        raise UsageError("events takes a migration's name or --select SELECTOR, one of them")
    select = args.name if args.select is None else args.select
    if not call.terminal:
        return call.db.events(select, exclude=args.exclude)
    return Listing(
        rows=call.db.event_rows(select, args.exclude),
        columns=(
            "event_number",
            "occurred_at",
            "event",
            "migration_name",
            "attempt_id",
            "database_user",
            "client",
            "reason",
            "details",
            "previous_hash",
            "hash",
        ),
        short=("event_number", "occurred_at", "event", "migration_name", "database_user", "client", "reason"),
    )


def snapshots(call: Call) -> Any:
    """The snapshots of the schema. Does not write."""
    if not call.terminal:
        return call.db.snapshots(call.args.name)
    return Listing(
        rows=call.db.snapshot_rows(call.args.name),
        columns=("id", "migration_name", "description", "taken_at", "taken_by", "objects", "bytes"),
    )


def dependencies(call: Call) -> Any:
    """The dependencies: recorded, drawn, inferred; what is recorded or dismissed is written."""
    args, drawn = call.args, call.form in ("dot", "svg")
    _refuse_dependency_options(args, drawn=drawn, form=call.form)
    if args.dismiss is not None:
        return call.db.dismiss_dependency(*args.dismiss, reason=args.reason)
    if args.record:
        return call.db.record_dependencies()
    if args.infer and not call.terminal:
        return call.db.infer_dependencies(args.name)
    if args.infer:
        rows, remarks = call.db.inferred_rows(args.name)
        return Listing(
            rows=rows,
            columns=("migration_name", "depends_on", "because", "source", "recorded"),
            warnings=tuple(remarks),
        )
    if drawn or (not args.dismissed and not call.terminal and common(args, "format") is None):
        # a name alone with what is around it, and all of what a selector means
        depth = None if args.name is None else args.depth
        options = {"exclude": args.exclude, "depth": depth, "view": "dag", "limit": None}
        drawing = call.db.graph(args.select if args.name is None else args.name, **options)
        if args.hide_rolled_back:
            drawing = drawing.without_rolled_back()
        return drawing if not drawn else drawing.digraph.source if call.form == "dot" else drawing.svg
    rows = _dependency_rows(call)
    if not call.terminal:
        from migrollback_nb.core.frames.build import frame_of

        return frame_of("dependencies", rows)
    return Listing(
        rows=rows,
        columns=("migration_name", "depends_on", "status", "depends_on_status", "created_at", "source", "because"),
        short=("migration_name", "depends_on", "status", "depends_on_status", "source", "because"),
    )


def _refuse_dependency_options(args: argparse.Namespace, *, drawn: bool, form: str) -> None:
    """Options of deps that do not go together."""
    together = (
        (args.record and not args.infer, "--record alone says nothing", "Write deps --infer --record."),
        (args.record and args.name is not None, "--record is for all migrations", "Leave the name out."),
        (
            args.infer and drawn,
            "What is inferred is drawn once it is recorded",
            f"deps --infer --record, then deps --format {form}",
        ),
        (args.dismissed and drawn, "What is dismissed is not drawn", None),
        (args.reason is not None and args.dismiss is None, "--reason is for --dismiss", None),
        (
            (args.select is not None or args.exclude is not None)
            and (args.name is not None or args.infer or args.dismiss is not None),
            "--select goes without a name, --infer and --dismiss",
            "migrollback deps --select SELECTOR",
        ),
        (
            args.dismiss is not None and (args.infer or args.dismissed or args.name is not None),
            "--dismiss goes alone",
            "deps --dismiss MIGRATION DEPENDS_ON --reason TEXT",
        ),
        (
            args.dismiss is not None and not (args.reason or "").strip(),
            "--dismiss needs --reason",
            "Say why it is no dependency: it goes into the audit log.",
        ),
    )
    for is_so, message, hint in together:
        if is_so:
            raise UsageError(message, hint=hint)


def _dependency_rows(call: Call) -> Sequence[dict[str, Any]]:
    args = call.args
    database = call.db.database
    rows = database.dependencies.dismissed() if args.dismissed else database.queries.dependencies()
    rows = [*call.db.dependency_rows(rows, args.select, args.exclude)]
    if args.name is not None:
        from migrollback_nb.core.dependency_graph import DependencyGraph

        name = call.db.check(args.name).migration_name
        names = {name, *(row[key] for row in rows for key in ("migration_name", "depends_on"))}
        near = set(DependencyGraph(dict.fromkeys(names, ""), rows).near(name, depth=args.depth))
        rows = [row for row in rows if row["migration_name"] in near and row["depends_on"] in near]
    if args.hide_rolled_back:
        rows = [row for row in rows if "rolled_back" not in (row["status"], row["depends_on_status"])]
    return rows


def graph(call: Call) -> Any:
    """A picture of migrations and what they depend on. Writes a file where one is named, nothing to the database."""
    args = call.args
    found = call.db.graph(
        args.select or None,
        exclude=args.exclude,
        view=args.view,
        direction=args.direction,
        depth=args.depth,
        edges=args.edges,
        group=args.group,
        reduce=not args.no_reduce,
        labels=args.labels,
        rank=args.rank,
        theme=args.theme,
        limit=None if args.limit == "all" else int(args.limit) if args.limit.isdigit() else _no_limit(args.limit),
    )
    if args.output is not None:
        path = found.save(args.output)
        return f"{path}: {visible(found.drawing.heading[0])}" if call.terminal else found
    if not call.terminal:
        return found
    match call.form:
        case "svg":
            return found.svg
        case "dot":
            return found.digraph.source
        case "mermaid":
            return found.mermaid
        case "tsv":
            return Listing(rows=found.to_dict()["edges"], columns=tuple(found.edges.columns))
        case "json":
            return found
        case _:
            return str(found)


def _no_limit(given: str) -> int:
    raise UsageError(f"--limit is {given}", hint="Use a number, or all.")


def last(call: Call) -> str | None:
    """The name of the migration that was applied last. Does not write."""
    found = call.db.last(deploy=call.args.deploy)
    if call.terminal:
        mark = "⚠️  " if found.migration_name is not None else ""
        call.err.writelines(f"{mark}{visible(warning)}\n" for warning in found.warnings)
    return found.migration_name


def plan(call: Call) -> Plan:
    """The order in which what is named or selected would be rolled back. Does not write."""
    args = call.args
    if (args.name is None) == (args.select is None):
        raise UsageError(
            "plan takes a migration's name or --select SELECTOR, one of them", hint="migrollback list shows them."
        )
    return call.db.plan(args.name if args.select is None else args.select, args.exclude)


# -- rollback and rehearsal --------------------------------------------------------------------------------------------


def what_is_meant(args: argparse.Namespace) -> str:
    """What rollback or rehearse is asked for, in words; pure.

    Raises
    ------
    UsageError
        When it is not one thing.
    """
    if [args.name, args.deploy, args.select].count(None) != 2:
        raise UsageError(
            f"{args.command} takes a migration's name, --deploy LABEL or --select SELECTOR, one of them",
            hint="migrollback list and migrollback deploys show them.",
        )
    if args.select is not None:
        return " ".join(args.select)
    return str(args.name if args.deploy is None else f"deploy {args.deploy}")


def meant(args: argparse.Namespace) -> dict[str, Any]:
    """What is to be rolled back or rehearsed, as the facade takes it; pure."""
    return {"deploy": args.deploy, "chain": args.chain, "select": args.select, "exclude": args.exclude}


def rollback(call: Call) -> Any:
    """Roll back what was shown and confirmed, or show it. Writes, unless it is a dry run."""
    args = call.args
    what_is_meant(args)
    if args.dry_run:
        return call.db.preview(args.name, **meant(args))
    from migrollback_nb.cli import confirmation

    if call.terminal:
        if (nothing := confirmation.confirm(call)) is not None:
            return nothing
    else:
        confirmation.require(args)
    with call.statement_bar() as progress:
        return call.db.rollback(
            args.name,
            **meant(args),
            confirm=args.confirm,
            reason=args.reason,
            preview=args.preview,
            accept_loss=args.accept_loss,
            trail=args.trail,
            snapshots=args.snapshots,
            progress=progress,
        )


def rehearse(call: Call) -> Rehearsal | Any:
    """Rehearse a rollback. Writes one event."""
    args = call.args
    what_is_meant(args)
    with call.statement_bar() as progress:
        return call.db.rehearse(
            args.name,
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
    args, stream = call.args, call.out if call.speaks else call.err
    if args.select is not None:
        from migrollback_nb.core.results import ClosedSelection

        again = ClosedSelection(select=args.select, exclude=args.exclude or (), selected=(), steps=()).arguments
    else:
        again = f"--deploy {shlex.quote(args.deploy)}" if args.deploy is not None else shlex.quote(args.name)
    again += " --chain" if args.chain else ""
    if found.long:
        stream.write("Will be locked here, so that others wait:\n")
        stream.writelines(f"  {visible(line)}\n" for line in found.lines())
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


def apply(call: Call) -> ApplyResult:
    """Apply migrations of the folder. Writes."""
    args = call.args
    with call.bar() as progress:
        return call.db.apply(
            *args.names, again=args.again, deploy=args.deploy, progress=progress, snapshots=args.snapshots
        )


def install(call: Call) -> InstallResult | None:
    """Install the rollback system, or print its SQL. Writes, unless it prints."""
    args = call.args
    if not args.print_sql:
        return call.db.install(
            production=args.production,
            reason=args.reason,
            trust_ledger_of=args.trust_ledger_of,
            distrust_ledger_of=args.distrust_ledger_of,
        )
    if not call.terminal:
        raise UsageError("install --print is for the terminal", hint="Leave --print out to install here.")
    from migrollback_nb.database.installation import installation_sql

    if args.production is False or (args.reason is not None and args.production is None):
        raise UsageError(
            "What is printed installs or upgrades the system, and takes no mark away",
            hint="Beside --print leave out --not-production, and --reason without --production.",
        )
    schema = common(args, "schema") or os.environ.get("MIGROLLBACK_SCHEMA") or "public"
    call.out.write(installation_sql(schema, production=bool(args.production), reason=args.reason))
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
