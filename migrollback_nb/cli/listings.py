"""What each command does whose answer is rows, names or a graph: DataFrames in a notebook, no pandas in a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from migrollback_nb.cli.command import Call, common
from migrollback_nb.cli.listing import Listing
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.html import visible
from migrollback_nb.core.text import one_line


def list_migrations(call: Call) -> Any:
    """All applied migrations. Does not write."""
    args = call.args
    if not call.terminal:
        return call.db.list(args.select, args.exclude, system=args.system)
    rows, warnings = call.db.list_with_warnings(args.select, args.exclude, system=args.system)
    return Listing(
        rows=rows,
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
        spare=("has_rollback_sql", "can_rollback", "applied_at"),
        wide=args.wide,
        warnings=warnings,
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
        "system": args.system,
    }
    if not call.terminal:
        return call.db.history(**wanted)
    return Listing(
        rows=call.db.history_rows(**wanted),
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
        spare=("rollback_by", "applied_by", "rollback_at", "applied_at"),
        wide=args.wide,
        warnings=call.db.history_warnings(),
    )


def roles(call: Call) -> Any:
    """Who may audit and operate. Does not write."""
    if not call.terminal:
        return call.db.roles()
    return Listing(
        rows=call.db.database.system.roles(),
        columns=("kind", "role_name", "granted_by", "granted_at", "finding"),
        wide=call.args.wide,
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
        short=("label", "state", "deployed_at", "deployed_by", "migrations"),
        spare=("deployed_by",),
        wide=call.args.wide,
    )


def events(call: Call) -> Any:
    """The audit log, or whether its chain of hashes is whole. Does not write."""
    args = call.args
    if args.verify:
        return call.db.audit()
    if args.name is not None and args.select is not None:
        raise UsageError("events takes a migration's name or --select SELECTOR, one of them")
    select = args.name if args.select is None else args.select
    wanted = {"event": args.event, "since": args.since, "until": args.until, "limit": args.limit}
    if call.form == "jsonl":
        from migrollback_nb.cli.event_stream import stream

        return stream(call, select)
    if args.follow:
        raise UsageError("--follow is for JSON lines", hint="migrollback events --format jsonl --follow")
    if not call.terminal:
        from_the_newest = args.reverse or args.limit is not None
        frame = call.db.events(select, exclude=args.exclude, newest_first=from_the_newest, **wanted)
        return frame if args.reverse or not from_the_newest else frame.iloc[::-1].reset_index(drop=True)
    return Listing(
        rows=call.db.event_rows(select, args.exclude, after=args.after, newest_first=args.reverse, **wanted),
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
        short=("migration_name", "event_number", "occurred_at", "event", "database_user", "client", "reason"),
        spare=("client", "database_user", "event_number"),
        wide=args.wide,
    )


def snapshots(call: Call) -> Any:
    """The snapshots of the schema. Writes where it throws old ones away."""
    if call.args.prune is not None:
        if call.args.name is not None:
            raise UsageError("--prune is for all snapshots", hint="Leave the name out.")
        return call.db.prune_snapshots(call.args.prune)
    if not call.terminal:
        return call.db.snapshots(call.args.name)
    return Listing(
        rows=call.db.snapshot_rows(call.args.name),
        columns=("id", "migration_name", "description", "taken_at", "taken_by", "objects", "bytes"),
        short=("migration_name", "id", "taken_at", "taken_by", "objects", "bytes", "description"),
        spare=("bytes", "taken_by", "objects"),
        wide=call.args.wide,
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
            short=("migration_name", "depends_on", "source", "recorded", "because"),
            spare=("source", "recorded"),
            wide=args.wide,
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
        short=("migration_name", "status", "depends_on", "depends_on_status", "source", "because"),
        spare=("depends_on_status", "status", "source"),
        wide=args.wide,
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
        return f"{path}: {one_line(found.drawing.heading[0])}" if call.terminal else found
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
    # a name may hold line breaks, and what is printed may go into $GITHUB_OUTPUT
    name = found.migration_name
    return one_line(name) if call.terminal and name is not None and call.form != "json" else name
