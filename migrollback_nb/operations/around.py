"""Runs another tool, and keeps what the files that it is about to apply destroy. Writes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrollback_nb.core import results
from migrollback_nb.core.errors import UsageError
from migrollback_nb.operations import archives, register
from migrollback_nb.operations.apply import pending

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.operations.archives import ArchiveOptions

_GAP = (
    "What others wrote between the reading of a table and the run of the tool is taken for the tool's, and what they"
    " wrote to columns and tables that went in between is lost"
)


def around(
    database: Database, folder: MigrationFolder, command: Sequence[str], *, options: ArchiveOptions
) -> results.AroundResult:
    """Keep what the pending files would destroy, run the command, register what it applied. Writes.

    Raises
    ------
    UsageError
        When no command is given, or there is no such program.
    Refused
        When the archive would take more than its budget: nothing has run then.
    """
    if not command:
        raise UsageError("No command was given", hint="migrollback around -- dbmate up")
    wanted = pending(database.queries.history_states(), folder)
    kept: dict[str, int] = {}
    warnings: list[str] = list(wanted.warnings)
    try:
        with archives.under(database, options):
            for file in wanted.files:
                if file.is_program:
                    warnings.append(f"{file.path} is a program: what it destroys is not known, and not kept")
                elif (archive := database.archives.begin_around(file.record(), file.up_statements())) is not None:
                    kept[file.name] = archive
        try:
            status = subprocess.run(list(command), check=False, env=os.environ).returncode  # noqa: S603  # the caller's
        except (FileNotFoundError, PermissionError) as error:
            raise UsageError(f"{command[0]} cannot be run: {error.strerror}") from error
        synced = register.sync(database, folder, deploy=None, snapshots="ends", progress=None)
    finally:
        for name, archive in kept.items():
            database.archives.end_around(archive, name)
    names = [one.migration_name for one in synced.registered]
    return results.AroundResult(
        exit_status=status,
        registered=tuple(names),
        archived=archives.kept(database, names),
        warnings=(*warnings, *synced.warnings, *((_GAP,) if kept else ())),
    )
