"""What the commands about archives of destroyed values do. Writes what they say."""

from __future__ import annotations

import argparse
from typing import Any

from migrollback_nb.cli.command import Call
from migrollback_nb.cli.listing import Listing
from migrollback_nb.core.errors import UsageError


def archive_options(args: argparse.Namespace) -> Any:
    """What is kept of destroyed values, and how it is put back, as the facade takes it; pure."""
    names = ("archive", "archive_budget", "archive_rows", "on_conflict")
    given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    return given | ({"disable_triggers": True} if getattr(args, "disable_triggers", False) else {})


def archives(call: Call) -> Any:
    """The archives of destroyed values; writes where they are thrown away, erased or exported."""
    args = call.args
    if [args.action, args.prune, args.erase].count(None) < 2:
        raise UsageError("archives takes export, --prune or --erase, one of them")
    if args.action == "export":
        if args.file is None:
            raise UsageError("archives export takes a file", hint="migrollback archives export FILE")
        return call.db.export_archives(args.file)
    if args.prune is not None:
        return call.db.prune_archives(args.prune)
    if args.erase is not None:
        return call.db.erase_from_archives(*args.erase, reason=args.reason)
    return Listing(
        rows=call.db.archive_rows(),
        columns=(
            "migration_name",
            "event",
            "direction",
            "tables",
            "rows",
            "bytes",
            "age",
            "complete",
            "kept_at",
            "restored_at",
        ),
        short=("migration_name", "event", "direction", "tables", "rows", "bytes", "kept_at", "complete"),
        spare=("bytes", "direction"),
        wide=args.wide,
    )


def around(call: Call) -> Any:
    """Run another tool, and keep what the pending files destroy. Writes."""
    return call.db.around(call.args.passed_on, **archive_options(call.args))


def restore_archive(call: Call) -> Any:
    """Put back what an archive holds. Writes, unless it is a dry run."""
    args = call.args
    return call.db.restore_archive(args.event, reason=args.reason, dry_run=args.dry_run, **archive_options(args))
