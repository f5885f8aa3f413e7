"""The first minute with an existing database: which tool's folder and ledger, and what taking it over does. Writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from migrollback_nb.core.results.adoption import Adoption, FoundTool
from migrollback_nb.operations import ledgers, register, renamed_files
from migrollback_nb.operations.install import install

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.migration import MigrationFile


def look(database: Database, folder: MigrationFolder) -> Adoption:
    """What is here, and what `adopt` would do. Does not write: what it installs to ask the ledgers is undone.

    Errors are those of `Workspace.adopt`.
    """
    taken_over = None
    with ExitStack() as undone:
        installed = database.session.ask_version()
        if not installed:
            # the functions that read ledgers come with the system
            undone.enter_context(database.session.undone_transaction(lock_timeout="5s", statement_timeout="60s"))
            taken_over = database.system.install(take_over=True).taken_over
        history = database.queries.history_states()
        contents = folder.read_all(unchanged={name: row["checksum"] for name, row in history.items()})
        new = renamed_files.compare(contents.files, history, [error.migration_name for error in contents.errors]).new
        answers = ledgers.ask_of_new(database, new)
        heard = {row["migration_name"]: row["ledger"] for row in ledgers.ask(database, contents.files)}
        kept = {file.name for file in answers.files}
        failed = [{"migration_name": error.migration_name, "error": str(error)} for error in contents.errors]
        return Adoption(
            target=database.target,
            folder=str(folder.path),
            tools=_tools(contents.files, heard, answers.not_applied),
            installed=installed,
            to_register=tuple(file.name for file in contents.files if file.name in kept),
            not_applied=answers.not_applied,
            without_rollback=tuple(file.name for file in contents.files if file.name in kept and file.rollback is None),
            registered_before=sum(file.name in history for file in contents.files),
            contradictions=(*contents.warnings, *answers.warnings),
            failed=(*failed, *(failure.to_dict() for failure in answers.failed)),
            taken_over=taken_over,
        )


def adopt(
    database: Database, folder: MigrationFolder, *, take_over: bool = False, progress: Progress | None = None
) -> Adoption:
    """Install the system where it is not, and register what is applied. Writes.

    Parameters, result and errors are those of `Workspace.adopt`.
    """
    found = look(database, folder)
    installed = install(database, take_over=take_over)
    return replace(found, install=installed, sync=register.sync(database, folder, progress=progress))


def _tools(files: Sequence[MigrationFile], heard: dict[str, str], not_applied: Sequence[str]) -> tuple[FoundTool, ...]:
    """The tools of files, most files first, by what ledgers were heard to say of them; pure."""
    left_out = set(not_applied)
    found = []
    for tool, count in Counter(file.tool for file in files).most_common():
        names = [file.name for file in files if file.tool == tool]
        known = [name for name in names if name in heard]
        ledger = heard[known[0]] if known else None
        found.append(
            FoundTool(
                tool=tool,
                files=count,
                ledger=None if ledger is None else str(ledger),
                applied=sum(name not in left_out for name in (known or names)),
                how_sure="sure" if known and not set(names) <= left_out else "likely" if tool else "unsure",
            )
        )
    return tuple(found)
