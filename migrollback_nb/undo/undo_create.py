"""Undoes CREATE by a DROP, and DROP by a CREATE: unless it goes with its table, or may have been there before. Pure."""

from __future__ import annotations

from typing import Any

from migrollback_nb.core.object_names import quote
from migrollback_nb.parsing.creates import Create, create_of
from migrollback_nb.parsing.parse_tree import OBJECT, item, object_word, role
from migrollback_nb.undo.created import Created
from migrollback_nb.undo.ddl import Objects, Step
from migrollback_nb.undo.position import Position


def undo_create(at: Position, create: Create, statement: Any) -> list[Step]:
    """Drop what a statement creates."""
    keys = create.keys(at.default_schema)
    if create.temporary:
        at.created.add(Created(at.index, create.name), keys[:1])
        return []
    earlier = at.created.get(keys[0])
    if create.conditional and earlier is not None:
        # its first creation is what counts; but it may now depend on what was created since, and go before that
        if at.refers_to_later(statement, earlier):
            at.about(earlier)
            return at.by_state(create.what)
        return []
    table = at.created.get(create.table_key(at.default_schema))
    known = None
    if create.conditional or not create.named:
        known = at.restored(concurrently=create.concurrently)
        at.now.needs_schema = table is None or at.refers_to_later(statement, table)
    if known is not None and create.conditional and (known == [] or _changed_others(at)):
        return known
    uncertain = create.conditional and known is None
    created = Created(at.index, create.name)
    at.about(created, table)
    if not uncertain:  # what stands on an object that may have been there is not dropped with it
        at.created.add(created, keys)
    if table is not None and not table.moved and not at.refers_to_later(statement, table):
        return []  # it is dropped with its table
    return _drop(at, create, known)


def undo_create_extension(at: Position, create: Create, statement: Any) -> list[Step]:
    """Drop an extension, and those that CASCADE has created with it."""
    if any(option.def_elem.defname == "cascade" for option in statement.options):
        known = at.restored()
        at.now.needs_schema = True
        if known is not None:
            at.created.add(Created(at.index, create.name), create.keys(at.default_schema))
            return known
    return undo_create(at, create, statement)


def _drop(at: Position, create: Create, known: list[Step] | None) -> list[Step]:
    """The statement that drops it; known: what undoes the statement, where the states around it say so."""
    if known is not None:
        return known if not create.named or len(known) > 1 else [Step(sql=create.drop)]
    if create.conditional:
        return at.todo(f"{create.what}: whether it was there before is not known. If it was not: {create.drop};")
    guessed = f"line {at.now.line}, {create.what}: PostgreSQL chose the name; check it"
    return [Step(sql=create.drop, todo=None if create.named else guessed)]


def _changed_others(at: Position) -> bool:
    """Whether the statement is known to have changed or dropped what was there before."""
    return at.before is not None and at.after is not None and not _only_added(at.before.objects, at.after.objects)


def _only_added(old: Objects, new: Objects) -> bool:
    return all(new.get(kind, {}).get(identity) == d for kind, found in old.items() for identity, d in found.items())


def undo_create_schema(at: Position, m: Any) -> list[Step]:
    """Drop a schema, and before it what the same statement creates in it."""
    create = create_of("create_schema_stmt", m)
    assert create is not None, "the table knows it"  # noqa: S101  # for mypy
    name = create.name or role(m.authrole)
    steps = undo_create(at, create, m)
    inside: list[Step] = []
    for element in m.schema_elts:
        kind = str(element.WhichOneof("node"))
        part = create_of(kind, getattr(element, kind))
        if part is not None:
            table = part.table_key(name)
            at.created.add(Created(at.index, part.name), part.keys(name)[:1])
            if table is None or table not in at.created:
                verb, full = part.drop.split(" IF EXISTS ", 1)
                # inside CREATE SCHEMA names need no schema; outside they do
                if part.in_schema and not full.startswith(f"{quote(name)}."):
                    full = f"{quote(name)}.{full}"
                inside.insert(0, Step(sql=f"{verb} IF EXISTS {full}"))
    return inside + steps if len(steps) == 1 and steps[0].sql == create.drop else steps


def undo_drop(at: Position, m: Any) -> list[Step]:
    """Create again what was dropped, and take back what undoes the creation of what this migration created itself."""
    created = [at.created_by_name(m.remove_type, node) for node in m.objects]
    left = [node for node, own in zip(m.objects, created, strict=True) if own is None]
    if left:
        at.now.needs_schema = True
        known = at.restored(concurrently=m.concurrent)
        if known is not None:
            return known  # it creates what this up migration created as well: the inverse of that stays
    for own in created:
        if own is not None:
            at.cancel(own)
    lost = " Its rows went with it." if m.remove_type == OBJECT.OBJECT_TABLE else ""
    return [
        step
        for node in reversed(left)
        for step in at.todo(
            f"DROP {object_word(m.remove_type)} {item(m.remove_type, node)}: write by hand what brings it back; what it"
            f" was is not known.{lost}"
        )
    ]
