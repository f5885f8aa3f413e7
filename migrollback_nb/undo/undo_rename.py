"""Undoes RENAME and SET SCHEMA, and follows what this up migration created to its new name or schema. Pure."""

from __future__ import annotations

from typing import Any

from migrollback_nb.core.object_names import quote
from migrollback_nb.parsing.parse_tree import (
    OBJECT,
    ON_TABLE,
    RELATIONS,
    ROUTINES,
    copy_of,
    deparse,
    last_string,
    names,
    object_word,
    relation_names,
    set_schema,
)
from migrollback_nb.undo.ddl import Objects, Step
from migrollback_nb.undo.position import Position

#: What the whole server shares: no state of a schema tells of it.
_OF_THE_SERVER = frozenset({OBJECT.OBJECT_ROLE, OBJECT.OBJECT_DATABASE})
#: Parts of a relation -> how they are known.
_PARTS = {
    OBJECT.OBJECT_COLUMN: "column",
    OBJECT.OBJECT_ATTRIBUTE: "column",
    OBJECT.OBJECT_TABCONSTRAINT: "constraint",
    **{kind: object_word(kind).lower() for kind in ON_TABLE},
}
#: What has its own name where a part would have it.
_ALONE = frozenset(
    {
        OBJECT.OBJECT_SCHEMA,
        OBJECT.OBJECT_ROLE,
        OBJECT.OBJECT_DATABASE,
        OBJECT.OBJECT_TABLESPACE,
        OBJECT.OBJECT_DOMCONSTRAINT,
    }
)


def undo_rename(at: Position, m: Any) -> list[Step]:
    """Give something its old name back."""
    kind = m.rename_type
    if at.changed_nothing and kind not in _OF_THE_SERVER:
        return []  # IF EXISTS, and it did not
    back = copy_of(m)
    if kind in RELATIONS:
        back.relation.relname, back.newname = m.newname, m.relation.relname
        back.missing_ok = True
        key = at.relation_key(m.relation)
        at.rename_created(key, m.newname)
        at.rename_created(("type", *key[1:]), m.newname)
    elif kind in _PARTS:
        back.subname, back.newname = m.newname, m.subname
        key = at.relation_key(m.relation)
        at.rename_created((_PARTS[kind], *key[1:], m.subname), m.newname)
        if key in at.created:
            at.about(at.created[key])
            return []  # it is dropped with its table
    elif kind in _ALONE:
        back.subname, back.newname = m.newname, m.subname
        if kind == OBJECT.OBJECT_SCHEMA:
            at.rename_created(("schema", None, m.subname), m.newname)
    elif not names(m.object):
        return at.by_state("RENAME")
    else:
        _rename_named(at, m, back)
    return [Step(sql=deparse("rename_stmt", back))]


def _rename_named(at: Position, m: Any, back: Any) -> None:
    """Turn round the renaming of what has a name in a schema, or none, and follow it."""
    kind, parts = m.rename_type, names(m.object)
    last = last_string(back.object)
    back.newname, last.sval = last.sval, m.newname
    if kind in (OBJECT.OBJECT_TYPE, OBJECT.OBJECT_DOMAIN):
        at.rename_created(at.key("type", parts), m.newname)
    if kind in ROUTINES:
        for key in at.created.keys_of("routine", parts[-1]):
            at.rename_created(key, m.newname)


def undo_set_schema(at: Position, m: Any) -> list[Step]:
    """Put something back into its old schema."""
    if at.changed_nothing:
        return []
    parts = relation_names(m.relation) if m.HasField("relation") else names(m.object)
    if m.object_type == OBJECT.OBJECT_EXTENSION:
        return at.by_state(f"ALTER EXTENSION {quote(parts[-1])} SET SCHEMA {quote(m.newschema)}")
    guessed = len(parts) < 2
    old = at.default_schema if guessed else parts[-2]
    if guessed and at.before is not None:
        objects = at.before.objects
        old = next((schema for schema in at.before.path if _is_there(objects, schema, parts[-1])), old)
    back = copy_of(m)
    back.newschema = old
    if m.HasField("relation"):
        back.relation.schemaname = m.newschema
        back.missing_ok = True
        key = at.relation_key(m.relation)
        at.move_created(key, m.newschema)
        at.move_created(("type", *key[1:]), m.newschema)
    else:
        set_schema(back.object, m.newschema)
        for kind in ("type", "routine"):
            for key in at.created.keys_of(kind, parts[-1], old):
                at.move_created(key, m.newschema)
    at.now.needs_schema = guessed
    unsure = f"line {at.now.line}, SET SCHEMA: check that it was in schema {quote(old)}; that is not known"
    return [Step(sql=deparse("alter_object_schema_stmt", back), todo=unsure if guessed and at.before is None else None)]


def _is_there(objects: Objects, schema: str, name: str) -> bool:
    identity = f"{quote(schema)}.{quote(name)}"
    return any(
        other == identity or other.startswith(identity + "(")
        for kind, found in objects.items()
        if kind not in ("comment", "grant")
        for other in found
    )
