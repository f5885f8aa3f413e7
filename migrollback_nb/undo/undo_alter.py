"""Undoes COMMENT, and ALTER of what is no table: sequences, enums, publications, extensions, settings. Pure."""

from __future__ import annotations

from typing import Any

from migrollback_nb.core.object_names import quote
from migrollback_nb.parsing.parse_tree import PB, copy_of, deparse, dotted, relation, role, strings
from migrollback_nb.undo.ddl import Step, literal
from migrollback_nb.undo.position import Position

_ACTION = PB.AlterPublicationAction
_OTHER_WAY = {_ACTION.AP_AddObjects: _ACTION.AP_DropObjects, _ACTION.AP_DropObjects: _ACTION.AP_AddObjects}


def undo_comment(at: Position, m: Any) -> list[Step]:
    """Bring the old comment back, or take the new one away."""
    if at.is_on_created(m.objtype, m.object):
        return []
    back = copy_of(m)
    back.comment = ""
    return at.by_state("COMMENT", [Step(sql=deparse("comment_stmt", back))])


def undo_alter_sequence(at: Position, m: Any) -> list[Step]:
    """Bring the options of a sequence back; what it had reached is not kept."""
    name = relation(m.sequence)
    if at.relation_key(m.sequence) in at.created:
        return []
    words = {option.def_elem.defname for option in m.options}
    reached = (
        at.todo(f"ALTER SEQUENCE {name} RESTART: what the sequence had reached is not kept; set it with setval()")
        if "restart" in words
        else []
    )
    return reached + (at.by_state(f"ALTER SEQUENCE {name}") if words - {"restart"} else [])


def undo_alter_enum(at: Position, m: Any) -> list[Step]:
    """Rename a value back; where one was added, create the type again without it, by what names it then."""
    names = strings(m.type_name)
    if at.key("type", names) in at.created:
        return []
    if m.old_val:
        back = copy_of(m)
        back.old_val, back.new_val = m.new_val, m.old_val
        return [Step(sql=deparse("alter_enum_stmt", back))]
    if at.changed_nothing:
        return []
    at.now.needs_schema = True
    if known := at.restored():
        return known
    return at.todo(
        f"ALTER TYPE {dotted(names)} ADD VALUE {literal(m.new_val)}: PostgreSQL cannot take a value out of an enum. "
        "The type would have to be created again without it, once no row holds it; left alone it does no harm"
    )


def undo_alter_publication(at: Position, m: Any) -> list[Step]:
    """Drop what was added, and add what was dropped."""
    if m.action not in _OTHER_WAY or not m.pubobjects:
        return at.by_state(f"ALTER PUBLICATION {quote(m.pubname)}")
    back = copy_of(m)
    back.action = _OTHER_WAY[m.action]
    if m.action == _ACTION.AP_DropObjects:
        return at.by_state("ALTER PUBLICATION", [Step(sql=deparse("alter_publication_stmt", back))])
    for published in back.pubobjects:
        published.publication_obj_spec.pubtable.ClearField("where_clause")
        del published.publication_obj_spec.pubtable.columns[:]
    return [Step(sql=deparse("alter_publication_stmt", back))]


def undo_alter_extension_contents(_: Any, m: Any) -> list[Step]:
    """Take a member out of an extension again, or put it back in."""
    back = copy_of(m)
    back.action = -m.action
    return [Step(sql=deparse("alter_extension_contents_stmt", back))]


def undo_depends_on_extension(_: Any, m: Any) -> list[Step]:
    """Take back DEPENDS ON EXTENSION, or NO DEPENDS."""
    back = copy_of(m)
    back.remove = not m.remove
    return [Step(sql=deparse("alter_object_depends_stmt", back))]


# -- settings ----------------------------------------------------------------------------------------------------------


def undo_alter_system(at: Position, m: Any) -> list[Step]:
    """Reset a setting of the server."""
    return _reset(at, "ALTER SYSTEM", "ALTER SYSTEM", m)


def undo_alter_database_set(at: Position, m: Any) -> list[Step]:
    """Reset a setting of a database."""
    return _reset(at, f"ALTER DATABASE {quote(m.dbname)}", "ALTER DATABASE SET", m)


def undo_alter_role_set(at: Position, m: Any) -> list[Step]:
    """Reset a setting of a role."""
    who = role(m.role) if m.HasField("role") else "ALL"
    where = f" IN DATABASE {quote(m.database)}" if m.database else ""
    return _reset(at, f"ALTER ROLE {who}{where}", "ALTER ROLE SET", m)


def _reset(at: Position, alter: str, what: str, m: Any) -> list[Step]:
    setting = m.setstmt.name
    return [
        Step(
            sql=f"{alter} RESET {setting}",
            todo=f"line {at.now.line}, {what}: check this; what {setting} was is not kept",
        )
    ]
