"""Looks for dependencies that no file declares after each sync, apply and register, and keeps them. Writes.

What was applied last is looked at alone, beside what the database knows of the objects that it names; all of it only
where more than that is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import object_names
from migrollback_nb.core.errors import ConnectionFailed, MigrollbackError
from migrollback_nb.operations.dependencies import Inference, by_migration, infer_dependencies, keep, surroundings_of
from migrollback_nb.operations.inference import Step, infer, path_names
from migrollback_nb.parsing.objects import StatementObjects, statement_objects

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.database.session import Row
    from migrollback_nb.files.migration import MigrationFile

#: So many of what was applied last are looked at alone, and of many migrations so many hundredths.
_FEW, _HUNDREDTHS = 5, 5


def search(
    database: Database,
    files: Mapping[str, MigrationFile],
    all_files: Callable[[], Iterable[MigrationFile]],
    *,
    changed: Sequence[str] = (),
    parse: Callable[[str], list[StatementObjects]] = statement_objects,
) -> tuple[str, ...]:
    """Look for what is needed by what was not looked at yet, and keep it. Writes. Returns warnings.

    Parameters
    ----------
    database : Database
        Where it is kept.
    files : mapping of str to MigrationFile
        Name in the history -> file, of what is new.
    all_files : callable
        Gives all files of the folder, where all have to be read.
    changed : sequence of str
        Migrations that are to be looked at again.
    parse : callable
        `statement_objects`, or what knows them already.

    What was applied or registered stays so whatever happens here: an error becomes a warning.
    """
    try:
        wanted = database.dependencies.to_search(changed)
        if not wanted:
            return ()
        few = len(wanted) <= max(_FEW, wanted[0]["all_of_them"] * _HUNDREDTHS // 100)
        if wanted[0]["are_last"] and few and all(_file_of(row, files) is not None for row in wanted):
            found = _of_the_last(database, wanted, files, parse)
        else:
            found = infer_dependencies(database, all_files(), parse)
        rows, _ = keep(database, found)
    except ConnectionFailed as lost:  # what came before is committed
        return (_not_looked_for(lost.message),)
    except MigrollbackError as error:
        return (_not_looked_for(error),)
    return tuple(
        f"{row['migration_name']} depends on {row['depends_on']} ({row['because']}), which is not recorded:"
        f" {row['remark']}"
        for row in rows
        if (row["remark"] or "").startswith("would close")
    )


def _not_looked_for(why: object) -> str:
    return f"Dependencies that no file declares could not be looked for: {why}. migrollback sync does it"


def _file_of(row: Row, files: Mapping[str, MigrationFile]) -> MigrationFile | None:
    """Its file, where that is what was registered."""
    file = files.get(row["migration_name"])
    return file if file is not None and file.checksum == row["checksum"] else None


def _of_the_last(
    database: Database,
    wanted: Sequence[Row],
    files: Mapping[str, MigrationFile],
    parse: Callable[[str], list[StatementObjects]],
) -> Inference:
    """What these need, which were applied last. Does not write."""
    texts = {row["migration_name"]: parse(files[row["migration_name"]].up.text) for row in wanted}
    identities: set[str] = set()
    words: set[str] = set()
    used: set[str] = set()
    for row in wanted:
        path = path_names(row["search_path"])
        for statement in texts[row["migration_name"]]:
            identities |= _identities(statement, statement.path or path)
            used |= {mention.name for mention in statement.mentions} | statement.operators | statement.texts
            words |= {
                mention.name.lower() for mention in statement.mentions if mention.action not in ("used", "changed")
            }
    edges, objects, rollbacks, surroundings, recorded = database.dependencies.facts(
        list(texts), sorted(identities), sorted(words), sorted(used)
    )
    rows = by_migration(objects)
    undo = {row["migration_name"]: row for row in rollbacks}
    earlier: dict[str, Mapping[str, Any]] = {
        row["migration_name"]: row for row in (*objects, *rollbacks) if row["migration_name"] not in texts
    }
    steps = [
        Step(
            name=name,
            path=path_names(row["search_path"]),
            rows=rows[name],
            rollback=statement_objects(undo[name]["rollback_sql"]) if name in undo else (),
        )
        for name, row in sorted(earlier.items(), key=lambda item: (item[1]["applied_at"], item[0]))
    ]
    steps += [
        Step(
            name=row["migration_name"],
            path=path_names(row["search_path"]),
            statements=texts[row["migration_name"]],
            rollback=parse(row["rollback_sql"] or ""),
            rows=rows[row["migration_name"]],
        )
        for row in wanted
    ]
    replayed = infer(steps, edges, surroundings_of(surroundings))
    found = replayed.edges
    pairs = {(edge.migration_name, edge.depends_on) for edge in found if edge.migration_name in texts}
    return Inference(
        edges=tuple(edge for edge in found if edge.migration_name in texts),
        created=tuple(one for one in replayed.created if one["migration_name"] in texts),
        remarks=(),
        stale=tuple(
            row
            for row in recorded
            if row["source"] == "inferred" and (row["migration_name"], row["depends_on"]) not in pairs
        ),
        searches=tuple(
            {"migration_name": name, "searched_in": "files", "remarks": replayed.perhaps.get(name, [])}
            for name in texts
        ),
        known=frozenset((row["migration_name"], row["depends_on"]) for row in recorded),
    )


def _identities(statement: StatementObjects, path: Sequence[str]) -> set[str]:
    """As the catalogs may call what a statement names."""
    found = {f"{object_names.quote(schema)}.{word}" for word in statement.built for schema in path if "." not in word}
    found |= {word for word in statement.built if "." in word}
    for mention in statement.mentions:
        name = object_names.quote(mention.name)
        if mention.space in ("schema", "extension"):
            found.add(name)
            continue
        schemas = path if mention.schema is None else (mention.schema,)
        found |= {f"{object_names.quote(schema)}.{name}" for schema in schemas}
        found |= {object_names.quote(schema) for schema in schemas}
    return found
