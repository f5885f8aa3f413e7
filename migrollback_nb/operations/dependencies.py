"""Infers dependencies from the history, from what is recorded of each migration, and from files; records them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import results
from migrollback_nb.core.text import first_few
from migrollback_nb.operations.inference import InferredDependency, Step, infer, path_names
from migrollback_nb.parsing.objects import StatementObjects, statement_objects

if TYPE_CHECKING:
    from migrollback_nb.core.results import RecordResult
    from migrollback_nb.database import Database
    from migrollback_nb.files.formats import MigrationFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What is inferred, and from what."""

    edges: tuple[InferredDependency, ...]
    created: tuple[
        dict[str, Any], ...
    ]  #: what the files say that each migration created, as record_parsed_objects() takes it
    remarks: tuple[str, ...]  #: which files could not be read
    stale: tuple[
        dict[str, Any], ...
    ]  #: rows of list_migration_dependencies() that were inferred and are not found any more


def infer_dependencies(database: Database, folder: MigrationFolder | None) -> Inference:
    """Which applied migration needs which earlier one. Does not write.

    Parameters
    ----------
    database : Database
        Says what is applied, and what each created.
    folder : MigrationFolder, optional
        The files; only those that are still what was registered are read.

    Returns
    -------
    Inference
    """
    steps, read, remarks = steps_of(database, folder)
    recorded = database.queries.dependencies()
    edges, created = infer(steps, database.queries.inferred_by_catalogs())
    found = {(edge.migration_name, edge.depends_on) for edge in edges}
    # what is not found without a file may well be in it
    stale = [
        row
        for row in recorded
        if row["source"] == "inferred"
        and (row["migration_name"], row["depends_on"]) not in found
        and {row["migration_name"], row["depends_on"]} <= read
    ]
    return Inference(edges=tuple(edges), created=tuple(created), remarks=tuple(remarks), stale=tuple(stale))


def steps_of(database: Database, folder: MigrationFolder | None) -> tuple[list[Step], set[str], list[str]]:
    """(What is applied, in order; the names of those whose files were read; remarks on the others). Does not write."""
    migrations = database.queries.applied()
    texts: dict[str, list[StatementObjects]] = {}
    remarks = []
    if folder is not None:
        wanted = {row["migration_name"]: row["checksum"] for row in migrations}
        for file in folder.read_all().files:
            if file.name in wanted and wanted[file.name] == file.checksum:
                texts[file.name] = statement_objects(file.up.text)
    read = set(texts)
    missing = [row["migration_name"] for row in migrations if row["migration_name"] not in texts]
    if missing:
        shown = first_few(missing)
        remarks.append(
            f"No file at hand that is still what was registered: {shown}. Only what the database knows of them is"
            " looked at"
        )
        bodies = database.queries.routine_bodies(missing)
        for name, definition in bodies:
            # what the definition creates is known; what its body names is not
            texts.setdefault(name, []).extend(found for found in statement_objects(definition) if found.in_body)
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in database.queries.object_history():
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
    return steps, read, remarks


def parsed_objects(name: str, text: str, search_path: str) -> list[dict[str, Any]]:
    """What the text of one migration says that it creates, as record_parsed_objects() takes it; pure."""
    _, created = infer([Step(name=name, path=path_names(search_path), statements=statement_objects(text))])
    return created


def inferred_rows(
    database: Database, folder: MigrationFolder | None, name: str | None = None
) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
    """(What is inferred, beside what is recorded of it; what could not be read). Does not write."""
    inference = infer_dependencies(database, folder)
    known = {(row["migration_name"], row["depends_on"]): row["source"] for row in database.queries.dependencies()}
    rows = [
        {
            "migration_name": edge.migration_name,
            "depends_on": edge.depends_on,
            "because": edge.reason,
            "source": edge.source,
            "recorded": known.get((edge.migration_name, edge.depends_on)),
        }
        for edge in inference.edges
    ]
    rows += [
        {key: row[key] for key in ("migration_name", "depends_on", "because")}
        | {"source": None, "recorded": "inferred, no longer found"}
        for row in inference.stale
    ]
    return [
        row for row in rows if name is None or name in (row["migration_name"], row["depends_on"])
    ], inference.remarks


def record_dependencies(database: Database, folder: MigrationFolder | None) -> RecordResult:
    """Keep what is inferred, and take back what was and is not found any more. Writes."""
    found = infer_dependencies(database, folder)
    known = {(row["migration_name"], row["depends_on"]) for row in database.queries.dependencies()}
    new = [edge for edge in found.edges if (edge.migration_name, edge.depends_on) not in known]
    rows, gone = database.commands.record_dependencies(
        [
            {"migration_name": edge.migration_name, "depends_on": edge.depends_on, "because": edge.reason}
            for edge in new
        ],
        found.created,
        [{"migration_name": row["migration_name"], "depends_on": row["depends_on"]} for row in found.stale],
    )
    return results.RecordResult(
        dependencies=tuple(results.DependencyRecord(**row) for row in rows),
        removed=tuple(results.DependencyRecord(**row, recorded=False, remark="no longer found") for row in gone),
        warnings=found.remarks,
    )
