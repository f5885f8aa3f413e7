"""Puts together what dependencies are inferred from: the history, what is recorded of each migration, and the files that are at hand."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from migrollback_nb.inference import InferredDependency, Step, infer, path_names
from migrollback_nb.statement_objects import StatementObjects, statement_objects

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.formats import MigrationFolder


def infer_dependencies(database: Database, folder: MigrationFolder | None) -> tuple[list[InferredDependency], list[dict[str, Any]], list[str]]:
    """Which migration in place needs which earlier one. Does not write.

    Parameters
    ----------
    database : Database
        Says what is in place, and what each made.
    folder : MigrationFolder, optional
        The files; only those that are still what was registered are read.

    Returns
    -------
    (list of InferredDependency, list of dict, list of str)
        The dependencies; what the files say that each migration made; and remarks: which files could not be read.
    """
    migrations = database.in_place()
    texts: dict[str, list[StatementObjects]] = {}
    remarks = []
    if folder is not None:
        wanted = {row["migration_name"]: row["checksum"] for row in migrations}
        for file in folder.read_all().files:
            if file.name in wanted and wanted[file.name] == file.checksum:
                texts[file.name] = statement_objects(file.up.text)
    missing = [row["migration_name"] for row in migrations if row["migration_name"] not in texts]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        remarks.append(f"No file at hand that is still what was registered: {shown}. Only what the database knows of them is looked at")
        bodies = database.routine_bodies(missing)
        for name, definition in bodies:
            # what the definition makes is known; what its body names is not
            texts.setdefault(name, []).extend(found for found in statement_objects(definition) if found.in_body)
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in database.object_history():
        rows[row["migration_name"]].append(row)
    steps = [
        Step(
            name=row["migration_name"],
            path=path_names(row["search_path"]),
            statements=texts.get(row["migration_name"], ()),
            rollback=statement_objects(row["rollback_sql"] or ""),
            rows=rows[row["migration_name"]],
        )
        for row in migrations
    ]
    edges, made = infer(steps, database.inferred_by_catalogs())
    return edges, made, remarks


def parsed_objects(name: str, text: str, search_path: str) -> list[dict[str, Any]]:
    """What the text of one migration says that it makes, as record_parsed_objects() takes it; pure."""
    _, made = infer([Step(name=name, path=path_names(search_path), statements=statement_objects(text))])
    return made
