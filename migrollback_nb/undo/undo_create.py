"""Undoes CREATE: drops again what was made, unless it goes with its table or may have been there before. Pure."""

from __future__ import annotations

from typing import Any

from migrollback_nb.core.object_names import quote
from migrollback_nb.undo.created import Made
from migrollback_nb.undo.creates import Create, create_of
from migrollback_nb.undo.ddl import Objects, Step
from migrollback_nb.undo.parse_tree import role
from migrollback_nb.undo.position import Context


def undo_create(at: Context, create: Create, message: Any) -> list[Step]:
    """Drop what a statement makes."""
    if create.passing:
        at.made.add(Made(at.index, create.name), [create.key])
        return []
    on = at.made.get(create.on)
    earlier = at.made.get(create.key)
    if create.conditional and earlier is not None:
        # its first making is what counts; but it may now rest on what was made since, and go before that
        if at.refers_to_later(message, earlier):
            at.about(earlier)
            return at.by_state(create.what)
        return []
    known = None
    if create.conditional or not create.named:
        known = at.restored(concurrently=create.concurrently)
        at.now.needs_schema = on is None or at.refers_to_later(message, on)
    if known is not None and create.conditional:
        before, after = at.before, at.after
        if known == [] or (before is not None and after is not None and not _made_only(before.objects, after.objects)):
            return known
    uncertain = create.conditional and known is None
    made = Made(at.index, create.name)
    at.about(made, on)
    if not uncertain:  # what stands on a thing that may have been there does not go with it
        at.made.add(made, (create.key, *create.more))
    if on is not None and not on.moved and not at.refers_to_later(message, on):
        return []  # it goes with its table
    if known is not None:
        return known if not create.named or len(known) > 1 else [Step(sql=create.drop)]
    if uncertain:
        return at.todo(
            f"{create.what}: whether it was there before could not be looked up. If it was not: {create.drop};"
        )
    return [
        Step(
            sql=create.drop,
            todo=None if create.named else f"line {at.now.line}, {create.what}: PostgreSQL chose the name; check it",
        )
    ]


def _made_only(old: Objects, new: Objects) -> bool:
    """Whether nothing that was there is gone or other than it was."""
    return all(new.get(kind, {}).get(identity) == d for kind, found in old.items() for identity, d in found.items())


def undo_create_schema(at: Context, m: Any) -> list[Step]:
    """Drop a schema, and before it what was made in it by the same statement."""
    name = m.schemaname or role(m.authrole)
    schema = quote(m.schemaname) if m.schemaname else name
    create = Create(
        key=("schema", None, name),
        drop=f"DROP SCHEMA IF EXISTS {schema}",
        conditional=m.if_not_exists,
        what=f"CREATE SCHEMA {name}",
    )
    steps = undo_create(at, create, m)
    inside: list[Step] = []
    for element in m.schema_elts:
        kind = str(element.WhichOneof("node"))
        part = create_of(kind, getattr(element, kind), name)
        if part is not None:
            at.made.add(Made(at.index, part.name), [part.key])
            if part.on is None or part.on not in at.made:
                verb, full = part.drop.split(" IF EXISTS ", 1)
                # inside CREATE SCHEMA names need no schema; outside they do
                if part.key[1] is not None and not full.startswith(f"{quote(name)}."):
                    full = f"{quote(name)}.{full}"
                inside.insert(0, Step(sql=f"{verb} IF EXISTS {full}"))
    return inside + steps if len(steps) == 1 and steps[0].sql == create.drop else steps
