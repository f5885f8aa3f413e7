"""What the commands about archives of destroyed values take. Writes nothing."""

from __future__ import annotations

from typing import Any

from migrollback_nb.cli.command import Argument


def argument(*names: str, **settings: Any) -> Argument:
    """An argument that takes no migration; pure."""
    return Argument(names=names, settings=settings, migration=False, either=None)


ON_CONFLICT = argument(
    "--on-conflict",
    choices=("keep", "archive"),
    help="rows that were written since they were archived: keep them (default), or overwrite them from the archive",
)
DISABLE_TRIGGERS = argument(
    "--disable-triggers", action="store_true", help="your triggers do not fire when values are put back"
)


def kept(help: str) -> tuple[Argument, ...]:
    """The options that say what is kept; pure."""
    return (
        argument("--archive", action="store_true", default=None, help=f"keep {help} (setting migrollback.archive)"),
        argument(
            "--archive-budget",
            metavar="SIZE",
            help="refuse an archive that takes more, such as 2GB (setting migrollback.archive_budget)",
        ),
        argument(
            "--archive-rows",
            type=int,
            metavar="N",
            help="refuse an archive of more rows (setting migrollback.archive_rows)",
        ),
    )


ARCHIVES = (
    argument("action", nargs="?", choices=("export",), metavar="export", help="write all that they hold to a file"),
    argument("file", nargs="?", metavar="FILE", help="with export: the file, which only its owner may read"),
    argument("--prune", metavar="AGE", help="throw away those that are older: 30d, 3mo; what they hold is gone"),
    argument(
        "--erase",
        nargs=2,
        metavar=("TABLE", "KEY"),
        help="take one row out of all of them for good; a key of several columns is a JSON array",
    ),
    argument("--reason", metavar="TEXT", help="with --erase: why; goes into the audit log"),
    argument("--wide", action="store_true", help="all columns, and each row in one line, however long that is"),
)

AROUND = kept("what the pending files destroy")[1:]

RESTORE_ARCHIVE = (
    argument("event", type=int, metavar="EVENT", help="the event of the archive, as migrollback archives shows it"),
    argument("--dry-run", action="store_true", help="do it, undo it, and say what would come back"),
    argument("--reason", metavar="TEXT", help="why; goes into the audit log"),
    ON_CONFLICT,
    DISABLE_TRIGGERS,
)
