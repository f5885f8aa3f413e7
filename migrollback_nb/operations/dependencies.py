"""Infers dependencies from the history, from what is recorded of each migration, and from files; records them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import results
from migrollback_nb.core.text import first_few
from migrollback_nb.operations.inference import PARTS, InferredDependency, Step, Surroundings, infer, path_names
from migrollback_nb.parsing.objects import StatementObjects, statement_objects

if TYPE_CHECKING:
    from migrollback_nb.core.results import DismissResult, RecordResult
    from migrollback_nb.database import Database
    from migrollback_nb.database.session import Row
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.migration import MigrationFile

_ACTIONS = ("dropped", "changed", "created")


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
    searches: tuple[dict[str, Any], ...]  #: over which migrations, as record_dependency_searches() takes it
    known: frozenset[tuple[str, str]]  #: (migration, depends on) that are recorded already


def infer_dependencies(
    database: Database,
    files: Iterable[MigrationFile],
    parse: Callable[[str], list[StatementObjects]] = statement_objects,
) -> Inference:
    """Which applied migration needs which earlier one. Does not write.

    Parameters
    ----------
    database : Database
        Says what is applied, and what each created.
    files : iterable of MigrationFile
        Only those that are still what was registered are read.
    parse : callable
        `statement_objects`, or what knows them already.

    Returns
    -------
    Inference
    """
    steps, read, remarks = steps_of(database, files, parse)
    recorded = database.queries.dependencies()
    replayed = infer(
        steps, database.queries.inferred_by_catalogs(), surroundings_of(database.dependencies.surroundings())
    )
    edges = replayed.edges
    found = {(edge.migration_name, edge.depends_on) for edge in edges}
    # what is not found without a file may well be in it
    stale = [
        row
        for row in recorded
        if row["source"] == "inferred"
        and (row["migration_name"], row["depends_on"]) not in found
        and {row["migration_name"], row["depends_on"]} <= read
    ]
    return Inference(
        edges=tuple(edges),
        created=tuple(replayed.created),
        remarks=tuple(remarks),
        stale=tuple(stale),
        searches=tuple(
            {
                "migration_name": step.name,
                "searched_in": "files" if step.name in read else "bodies",
                "remarks": replayed.perhaps.get(step.name, []),
            }
            for step in steps
        ),
        known=frozenset((row["migration_name"], row["depends_on"]) for row in recorded),
    )


def steps_of(
    database: Database,
    files: Iterable[MigrationFile],
    parse: Callable[[str], list[StatementObjects]] = statement_objects,
) -> tuple[list[Step], set[str], list[str]]:
    """(What is applied, in order; the names of those whose files were read; remarks on the others). Does not write."""
    migrations = database.queries.applied()
    wanted = {row["migration_name"]: row["checksum"] for row in migrations}
    texts: dict[str, list[StatementObjects]] = {
        file.name: list(parse(file.up.text))
        for file in files
        if file.name in wanted and wanted[file.name] == file.checksum
    }
    remarks = []
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
    rows = by_migration(database.queries.object_history())
    steps = [
        Step(
            name=row["migration_name"],
            path=path_names(row["search_path"]),
            statements=texts.get(row["migration_name"], ()),
            rollback=parse(row["rollback_sql"] or ""),
            rows=rows[row["migration_name"]],
        )
        for row in migrations
    ]
    return steps, read, remarks


def by_migration(rows: Iterable[Mapping[str, Any]]) -> defaultdict[str, list[Mapping[str, Any]]]:
    """Migration -> its rows about objects, whole ones before their parts; pure.

    What went first, then what changed: only then is a name free for what took it. The database gives them in no order.
    """
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(
        rows, key=lambda row: (row["kind"] in PARTS, _ACTIONS.index(row["action"]), row["kind"], row["identity"])
    ):
        found[row["migration_name"]].append(row)
    return found


def surroundings_of(rows: Iterable[Mapping[str, Any]]) -> Surroundings:
    """What the database knows besides, of rows of migration_surroundings(); pure."""
    triggers: list[tuple[str, str, str, str]] = []
    row_names: defaultdict[tuple[str | None, str], frozenset[str]] = defaultdict(frozenset)
    members: dict[tuple[str, str], str] = {}
    labels: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        match row["what"]:
            case "trigger":
                triggers.append((row["schema"], row["name"], row["other_schema"], row["other_name"]))
                for one in statement_objects(row["definition"] or ""):
                    row_names[row["schema"], row["name"]] = one.row_names or row_names[row["schema"], row["name"]]
            case "label":
                labels[row["other_name"]].append((row["schema"], row["name"]))
            case _:
                members[row["what"], row["name"]] = row["other_name"]
    return Surroundings(triggers=triggers, row_names=row_names, members=members, labels=labels)


def parsed_objects(name: str, text: str, search_path: str) -> list[dict[str, Any]]:
    """What the text of one migration says that it creates, as record_parsed_objects() takes it; pure."""
    return infer([Step(name=name, path=path_names(search_path), statements=statement_objects(text))]).created


def inferred_rows(
    database: Database, folder: MigrationFolder | None, name: str | None = None
) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
    """(What is inferred, beside what is recorded of it; what could not be read). Does not write."""
    inference = infer_dependencies(database, files_of(folder))
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
    found = infer_dependencies(database, files_of(folder))
    rows, gone = keep(database, found)
    return results.RecordResult(
        dependencies=tuple(results.DependencyRecord(**row) for row in rows),
        removed=tuple(results.DependencyRecord(**row, recorded=False, remark="no longer found") for row in gone),
        warnings=found.remarks,
    )


def keep(database: Database, found: Inference) -> tuple[Sequence[Row], Sequence[Row]]:
    """Record what is inferred and new, and take back what was inferred and is not found any more. Writes.

    Returns rows of what was new, recorded or not, and of what was taken back.
    """
    return database.commands.record_dependencies(
        [
            {"migration_name": edge.migration_name, "depends_on": edge.depends_on, "because": edge.reason}
            for edge in found.edges
            if (edge.migration_name, edge.depends_on) not in found.known
        ],
        found.created,
        [{"migration_name": row["migration_name"], "depends_on": row["depends_on"]} for row in found.stale],
        found.searches,
    )


def dismiss(database: Database, name: str, depends_on: str, reason: str) -> DismissResult:
    """Take an inferred dependency away for good, with an event. Writes."""
    dismissed = database.commands.dismiss_dependency(name, depends_on, reason)
    return results.DismissResult(migration_name=name, depends_on=depends_on, reason=reason, dismissed=dismissed)


def files_of(folder: MigrationFolder | None) -> Sequence[MigrationFile]:
    """The files of a folder; none where there is no folder. Does not write."""
    return () if folder is None else folder.read_all().files
