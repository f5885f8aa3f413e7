"""Suggests a rollback block by the text of a migration and, where that says too little, a replay. Writes only there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from migrollback_nb import undo
from migrollback_nb.core import ordering, results
from migrollback_nb.core.errors import DependencyError
from migrollback_nb.files.formats import in_order
from migrollback_nb.replay import definitions
from migrollback_nb.replay import template as blocks

if TYPE_CHECKING:
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.files.preludes import Prelude


def template(
    folder: MigrationFolder,
    file: MigrationFile,
    *,
    commented: bool | None = None,
    major: int | None = None,
    prove: bool = False,
    on: str | None = None,
    own_server: bool = False,
    first: Sequence[Prelude] = (),
) -> results.Template:
    """Suggest a rollback block.

    Parameters
    ----------
    folder : MigrationFolder
        Where the migrations are that come before it.
    file : MigrationFile
        The migration. What undoes it already is not looked at.
    commented : bool, optional
        True: each line commented out, for folders whose deploy tool runs the whole file. By default, where no database
        says which tool deploys: all SQL is, because that is right for every tool; a block to fill in, which holds none,
        is as specified.
    major : int, optional
        PostgreSQL's version on which the block is to run; by default that of the scratch server.
    prove : bool
        True: try the block on a scratch database and grade it.
    on, own_server
        Where the scratch databases are created; see `migrollback_nb.replay.scratch.scratch`.
    first : sequence of Prelude
        What runs there before the first migration.

    Returns
    -------
    results.Template
    """
    warnings: list[str] = []
    if (place := file.block_place) is not None:
        warnings.append(place)
    if file.up_problem is not None:
        problem = file.up_problem
        warnings.append(
            f"{file.path}:{problem.line}:{problem.column}: the up migration cannot be read: {problem.message}"
        )
        return results.Template(
            migration_name=file.name,
            text=blocks.rollback_text(file, commented=bool(commented)),
            warnings=tuple(warnings),
        )
    suggested = undo.suggest(file.up)
    remarks: list[str] = []
    if suggested.needs_schema:
        states, trouble = None, None
        try:
            before = _before(folder, file)
        except DependencyError as error:
            trouble = error.message
        else:
            states, trouble = definitions.fetch_states(
                before, file, suggested.needs_schema, on=on, own_server=own_server, first=first
            )
        if states is not None:
            known = next((state.major for state in states if state is not None), 18)
            suggested = undo.suggest(file.up, states=states, major=major or known)
        if trouble is not None:
            warnings.append(f"What was there before is not known: {trouble}")
            remarks.append(warnings[-1])
    has_sql = bool(suggested.statements or suggested.todos)
    text = blocks.rollback_text(file, suggested, commented=has_sql if commented is None else commented, remarks=remarks)
    whole = file.with_rollback(text)
    if not blocks.is_readable(whole, suggested.statements):
        warnings.append("The block is not read back as it is meant; look through it before you use it")
    return results.Template(
        migration_name=file.name,
        text=text,
        statements=suggested.statements,
        todos=suggested.todos,
        warnings=tuple(warnings),
        proof=_proof(folder, whole, on=on, own_server=own_server, first=first) if prove else None,
    )


def _proof(
    folder: MigrationFolder, file: MigrationFile, *, on: str | None, own_server: bool, first: Sequence[Prelude]
) -> results.MigrationProof:
    """How the rollback of a file does in its folder, instead of the file of that name there."""
    from migrollback_nb.replay.proof import prove

    contents = folder.read_all()
    files = tuple(file if other.name == file.name else other for other in contents.files)
    return prove(replace(contents, files=files), [file.name], on=on, own_server=own_server, first=first).migrations[0]


def _before(folder: MigrationFolder, file: MigrationFile) -> list[MigrationFile]:
    """The migrations before one, in the order in which they are applied. A file that is bad has no place in it."""
    files = {other.name: other for other in folder.read_all().files} | {file.name: file}
    order = ordering.order(
        {name: other.depends_on for name, other in files.items()},
        like=[other.name for other in in_order(files.values())],
    )
    return [files[name] for name in order[: order.index(file.name)]]
