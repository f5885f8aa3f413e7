"""Writes the DDL that leads from one state of a schema back to another, out of the objects of both. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping

from migrollback_nb.core.object_names import split_last, split_table
from migrollback_nb.undo.ddl.alter import alter_steps
from migrollback_nb.undo.ddl.clauses import firing
from migrollback_nb.undo.ddl.comments import comment_steps
from migrollback_nb.undo.ddl.create import create_steps
from migrollback_nb.undo.ddl.drop import drop_steps
from migrollback_nb.undo.ddl.grants import grant_steps, grants_of_new
from migrollback_nb.undo.ddl.objects import ROUTINES, VIEWS, Definition, Key, Objects, Step, by_hand, once_all_exist
from migrollback_nb.undo.ddl.order import CREATED_FIRST, DROPPED_FIRST, in_order, naming, place, referring, waiting
from migrollback_nb.undo.ddl.ownership import is_created_implicitly, is_dropped_with
from migrollback_nb.undo.ddl.quoting import literal
from migrollback_nb.undo.ddl.states import Schemas

__all__ = ["Objects", "Step", "literal", "restore"]

_FOREIGN_KEY = re.compile(r"FOREIGN KEY \((.+?)\) REFERENCES (.+?)\((.+?)\)")
#: What is no object, but said of one.
_SAID = frozenset({"comment", "grant", "security label", "default grant", "setting"})


def restore(
    old: Objects,
    new: Objects,
    *,
    role: str | None = None,
    major: int = 18,
    concurrently: bool = False,
    kept: Mapping[str, str] | None = None,
) -> list[Step]:
    """Write what leads from the new state of a schema back to the old one.

    Parameters
    ----------
    old, new : Objects
        Two values of schema_snapshot().
    role : str, optional
        Owner of what the migrations create, as PostgreSQL quotes it: what belongs to it is created without naming an
        owner.
    major : int
        PostgreSQL's version on which the result is to run: it keeps names of not-null constraints from 18 on.
    concurrently : bool
        Create and drop indexes CONCURRENTLY.
    kept : mapping, optional
        Column or table -> the statement that brings its values or rows back from where they are kept.

    Returns
    -------
    list of Step
        In the order in which they are to run. Every name is qualified by its schema.
    """
    schemas = Schemas(old=old, new=new, role=role, major=major, concurrently=concurrently, kept=kept or {})
    apart = _between_retyped(schemas)
    return [
        *_comments_of_what_stays(schemas),
        *(step for key, d in apart.items() for step in drop_steps(schemas, *key, d)),
        *sorted(_objects(schemas, apart), key=lambda step: step.stage),
        *(step for key, d in apart.items() for step in create_steps(schemas, *key, d)),
        *_comments(schemas),
        *_grants(schemas),
    ]


def _between_retyped(schemas: Schemas) -> dict[Key, Definition]:
    """Foreign keys both of whose columns get another type: with one of them changed there can be none."""

    def is_retyped(table: str, columns: str) -> bool:
        changes = (schemas.changed.get(("column", f"{table}.{column}")) for column in columns.split(", "))
        return any(change is not None and change[0].get("type") != change[1].get("type") for change in changes)

    now = schemas.new.get("constraint", {})
    found: dict[Key, Definition] = {}
    for identity, d in schemas.old.get("constraint", {}).items():
        parts = _FOREIGN_KEY.match(str(d["def"])) if identity in now and d.get("local") is not False else None
        if parts and is_retyped(split_table(identity)[0], parts[1]) and is_retyped(*parts.group(2, 3)):
            found["constraint", identity] = d
    return found


def _objects(schemas: Schemas, apart: Container[Key]) -> Iterator[Step]:
    """Drop what was created, create what was dropped, change back what was changed: each as soon as it can be.

    apart: what is done before and after.
    """
    dropped = {key: d for key, d in schemas.dropped.items() if key[0] not in _SAID}
    # a sequence of a serial column is dropped with the column, and not created with it
    again = {
        key: d
        for key, d in dropped.items()
        if key[0] == "sequence" or not is_dropped_with(schemas, key, d, schemas.dropped)
    }
    gone = {
        key: d
        for key, d in schemas.created.items()
        if key[0] not in _SAID and not is_dropped_with(schemas, key, d, schemas.created)
    }
    # the body of a function is read when it is created: then the columns must be there that it names
    waits = waiting(again, _unfinished(again))
    in_turn = in_order(again, waits)
    creates = [key for key in in_turn if not is_created_implicitly(schemas, key, again[key], schemas.old)]
    drops = _drops(schemas, gone)
    changes = sorted(
        (key for key in schemas.changed if key[0] not in _SAID and key not in apart),
        key=lambda key: (place(key[0]), key[1]),
    )
    written = set(creates)
    # parts of what is created again: neither its text nor a statement of their own brings them
    parts = {
        key: d
        for key, d in dropped.items()
        if key not in written and not is_created_implicitly(schemas, key, d, schemas.old)
    }

    def drop(keys: Iterable[Key]) -> Iterator[Step]:
        for key in keys:
            yield from drop_steps(schemas, *key, gone[key])

    def create(keys: Iterable[Key]) -> Iterator[Step]:
        for key in keys:
            yield from create_steps(schemas, *key, dropped[key])

    def alter(keys: Iterable[Key]) -> Iterator[Step]:
        for key in keys:
            yield from alter_steps(schemas, *key, *schemas.changed[key])

    def stands_in_the_way(key: Key) -> bool:
        # what a partition got as such stays until it is none again
        return key[0] in DROPPED_FIRST and _table(key, gone[key]) not in schemas.detached

    yield from drop(key for key in drops if stands_in_the_way(key))
    yield from create(key for key in creates if key[0] in CREATED_FIRST and key not in waits)
    late = _late(schemas, changes, waits)
    yield from alter(key for key in changes if key not in late)
    rest = [key for key in creates if key[0] not in CREATED_FIRST or key in waits]
    if late:
        # what is changed back names what is gone, and until then may keep what is to go
        yield from create(rest)
        yield from alter(late)
    yield from drop(key for key in drops if not stands_in_the_way(key))
    yield from create(() if late else rest)
    yield from _switched_off({key: d for key, d in dropped.items() if key not in written and key not in parts})
    yield from create(key for key in in_order(parts) if key[0] in ("index", "trigger", "rule", "policy", "constraint"))


def _drops(schemas: Schemas, gone: dict[Key, Definition]) -> list[Key]:
    """In which order what was created is dropped. Adds to it foreign keys that go with no table in time."""
    foreign_keys = referring(schemas.created)
    refers: dict[Key, list[Key]] = {}
    for table, to in foreign_keys.values():
        refers.setdefault(table, []).append(to)
    drops = [
        key
        for key in reversed(in_order(gone, refers=refers))
        if not is_created_implicitly(schemas, key, gone[key], schemas.new)
    ]
    # of tables that refer to each other one would keep the other
    places = {key: number for number, key in enumerate(drops)}
    for key, (table, to) in foreign_keys.items():
        if key not in gone and table in places and to in places and places[to] < places[table]:
            gone[key] = schemas.created[key]
            drops.insert(0, key)
    return drops


def _switched_off(implicit: Mapping[Key, Definition]) -> Iterator[Step]:
    """A partition's copy of a trigger comes by itself, but switched on."""
    for key, d in implicit.items():
        if key[0] == "trigger" and d.get("enabled", "O") != "O":
            yield once_all_exist(firing("TRIGGER", key[1], d))


def _unfinished(found: Iterable[Key]) -> dict[str, list[Key]]:
    """Table or view -> which of these are columns of it, or it itself: who names it needs them."""
    parts: dict[str, list[Key]] = {}
    for key in found:
        if key[0] == "column":
            parts.setdefault(split_last(key[1])[0], []).append(key)
        elif key[0] in VIEWS:
            parts.setdefault(key[1], []).append(key)
    return parts


def _late(schemas: Schemas, changes: Iterable[Key], waits: Iterable[Key]) -> list[Key]:
    """What can be changed back only when columns, or what waits for them, are there again."""
    columns = [naming(table) for table in _unfinished(schemas.dropped)]
    others = [naming(key[1].split("(", maxsplit=1)[0]) for key in waits]
    found = []
    for key in changes:
        was, _ = schemas.changed[key]
        text = str(was.get("def") or was.get("query") or was.get("default") or "")
        words = [*others, *columns] if key[0] in (*ROUTINES, *VIEWS) else others
        if any(word.search(text) for word in words):
            found.append(key)
    return found


def _table(key: Key, d: Definition) -> str | None:
    """The table of an index or constraint."""
    return str(d["on"]) if key[0] == "index" else split_table(key[1])[0] if key[0] == "constraint" else None


def _comments_of_what_stays(schemas: Schemas) -> Iterator[Step]:
    """Take new comments away, first: what they are on may get another name or type."""
    for key, d in schemas.created.items():
        if key[0] == "comment" and not is_dropped_with(schemas, key, d, schemas.created):
            yield from comment_steps(key[1], None)


def _comments(schemas: Schemas) -> Iterator[Step]:
    for kind, identity in (*schemas.dropped, *schemas.changed):
        if kind == "comment":
            yield from comment_steps(identity, schemas.old[kind][identity]["text"])


def _grants(schemas: Schemas) -> Iterator[Step]:
    for key in (*schemas.created, *schemas.changed, *schemas.dropped):
        if key[0] in ("grant", "default grant"):
            if not (key in schemas.created and is_dropped_with(schemas, key, {}, schemas.created)):
                yield from grant_steps(schemas, *key)
        elif key[0] in ("setting", "security label"):
            yield by_hand(*key, "was changed")
        elif key in schemas.dropped:
            yield from grants_of_new(schemas, *key)
