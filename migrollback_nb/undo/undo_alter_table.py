"""Undoes ALTER TABLE, action by action, the last one first. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from migrollback_nb.core.object_names import quote
from migrollback_nb.parsing.creates import ObjectKey
from migrollback_nb.parsing.default_names import constraint_name
from migrollback_nb.parsing.parse_tree import OBJECT, PB, object_word, relation
from migrollback_nb.undo.created import Created
from migrollback_nb.undo.ddl import Step
from migrollback_nb.undo.position import Position

_AT = PB.AlterTableType
_CONSTRAINT = PB.ConstrType
#: Of what ALTER TABLE can do, that which has one inverse, whatever was there before.
_FLAGS = {
    _AT.AT_EnableRowSecurity: "DISABLE ROW LEVEL SECURITY",
    _AT.AT_DisableRowSecurity: "ENABLE ROW LEVEL SECURITY",
    _AT.AT_ForceRowSecurity: "NO FORCE ROW LEVEL SECURITY",
    _AT.AT_NoForceRowSecurity: "FORCE ROW LEVEL SECURITY",
    _AT.AT_SetLogged: "SET UNLOGGED",
    _AT.AT_SetUnLogged: "SET LOGGED",
}
_TRIGGERS = {
    _AT.AT_EnableTrig: "DISABLE TRIGGER",
    _AT.AT_EnableAlwaysTrig: "DISABLE TRIGGER",
    _AT.AT_EnableReplicaTrig: "DISABLE TRIGGER",
    _AT.AT_DisableTrig: "ENABLE TRIGGER",
    _AT.AT_EnableRule: "DISABLE RULE",
    _AT.AT_EnableAlwaysRule: "DISABLE RULE",
    _AT.AT_EnableReplicaRule: "DISABLE RULE",
    _AT.AT_DisableRule: "ENABLE RULE",
}
#: Constraints that are dropped by their name, and leave nothing else behind.
_PLAIN_CONSTRAINTS = frozenset({_CONSTRAINT.CONSTR_CHECK, _CONSTRAINT.CONSTR_FOREIGN, _CONSTRAINT.CONSTR_EXCLUSION})
#: Actions on one column, besides those with "Column", "NotNull" or "Identity" in their name.
_ON_COLUMN = frozenset({
    _AT.AT_DropColumn, _AT.AT_SetStatistics, _AT.AT_SetOptions, _AT.AT_ResetOptions, _AT.AT_SetStorage,
    _AT.AT_SetCompression, _AT.AT_SetExpression, _AT.AT_DropExpression,
})  # fmt: skip


def undo_alter_table(at: Position, m: Any) -> list[Step]:
    """Undo the actions of one ALTER TABLE, or of its like for other relations."""
    key = at.relation_key(m.relation)
    if m.objtype == OBJECT.OBJECT_TYPE:
        key = ("type", *key[1:])
    table = at.created.get(key)
    alter = f"ALTER {object_word(m.objtype)} {relation(m.relation)}"
    actions = [node.alter_table_cmd for node in m.cmds]
    left, dropped_again = _left(at, key, table, actions)
    at.about(table)
    certain = [_certain(alter, action) for action in left]
    guesses = [
        [] if sure else _guess(at, alter, action, with_table=table is not None)
        for action, sure in zip(left, certain, strict=True)
    ]
    if any(guess and (table is None or guess[0].sql is None) for guess in guesses):
        at.now.needs_schema = True
        known = at.restored(concurrently=any(map(_is_concurrent, actions)))
        if known is not None:
            return known
    for column in dropped_again:
        at.cancel(column)
    if len(left) == 1 and certain[0] and left[0].subtype == _AT.AT_AddColumn:
        at.about(at.created.get(("column", *key[1:], _definition(left[0]).column_def.colname)))
    return [step for sure, guess in zip(reversed(certain), reversed(guesses), strict=True) for step in sure or guess]


def _left(
    at: Position, key: ObjectKey, table: Created | None, actions: Sequence[Any]
) -> tuple[list[Any], list[Created]]:
    """(The actions that have to be undone, the columns of this up migration that they drop again).

    What is done to what the same up migration created is dropped with that.
    """
    left = []
    dropped_again: list[Created] = []
    for action in actions:
        if action.subtype == _AT.AT_AddColumn and not action.missing_ok:
            name = _definition(action).column_def.colname
            at.created.add(Created(at.index, name), [("column", *key[1:], name)])
        if table is not None and not at.refers_to_later(action, table):
            continue
        column = at.created.get(("column", *key[1:], action.name)) if action.name else None
        if column is None or not _is_on_column(action):
            left.append(action)
        elif action.subtype == _AT.AT_DropColumn:
            dropped_again.append(column)
    return left, dropped_again


def _is_concurrent(action: Any) -> bool:
    definition = _definition(action)
    return definition.WhichOneof("node") == "partition_cmd" and bool(definition.partition_cmd.concurrent)


def _definition(action: Any) -> Any:
    return getattr(action, "def")  # a word of Python


def _is_on_column(action: Any) -> bool:
    """Whether an action is on one column alone, and so is gone with it."""
    return action.subtype in _ON_COLUMN or any(
        word in _AT.Name(action.subtype) for word in ("Column", "NotNull", "Identity")
    )


def _certain(table: str, action: Any) -> list[Step]:
    """What undoes one action whatever was there before; nothing where that cannot be said."""
    definition = _definition(action)
    match action.subtype:
        case _AT.AT_AddColumn if not action.missing_ok:
            part = "ATTRIBUTE" if table.startswith("ALTER TYPE") else "COLUMN"
            return [Step(sql=f"{table} DROP {part} IF EXISTS {quote(definition.column_def.colname)}")]
        case _AT.AT_AddConstraint if definition.constraint.conname:
            constraint = definition.constraint
            if constraint.contype in _PLAIN_CONSTRAINTS or (
                constraint.contype == _CONSTRAINT.CONSTR_UNIQUE and not constraint.indexname
            ):
                return [Step(sql=f"{table} DROP CONSTRAINT IF EXISTS {quote(constraint.conname)}")]
        case _AT.AT_AddInherit:
            return [Step(sql=f"{table} NO INHERIT {relation(definition.range_var)}")]
        case _AT.AT_DropInherit:
            parent = relation(definition.range_var)
            todo = (
                f"columns that {table.split(' ', 2)[2]} had from {parent} only stay its own: that cannot be brought"
                " back"
            )
            return [Step(sql=f"{table} INHERIT {parent}", todo=todo)]
    return []


def _guess(at: Position, table: str, action: Any, *, with_table: bool) -> list[Step]:
    """What undoes one action where the schema before is not known.

    with_table: the table is dropped as well, so that what is in the way of that need only be let go.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _AT.Name(action.subtype).removeprefix("AT_")).upper()
    what = f"{table}, {words}" + (f" {quote(action.name)}" if action.name else "")
    sql = _opposite(table, action)
    if sql is None:
        lost = " Its values went with it." if action.subtype == _AT.AT_DropColumn else ""
        return at.todo(f"{what}: write by hand what undoes it; what was there before is not known.{lost}")
    check = f"line {at.now.line}, {what}: check this; what was there before is not known"
    certain = with_table or action.subtype == _AT.AT_AttachPartition
    return [Step(sql=sql, todo=None if certain else check)]


def _opposite(table: str, action: Any) -> str | None:
    """The statement that does the opposite of one action; None where there is none, or more than one."""
    definition = _definition(action)
    column = f"ALTER COLUMN {quote(action.name)}" if action.name else ""
    match action.subtype:
        case _AT.AT_ColumnDefault:
            return f"{table} {column} DROP DEFAULT" if definition.WhichOneof("node") else None
        case _AT.AT_SetNotNull:
            return f"{table} {column} DROP NOT NULL"
        case _AT.AT_DropNotNull:
            return f"{table} {column} SET NOT NULL"
        case _AT.AT_AddIdentity:
            return f"{table} {column} DROP IDENTITY IF EXISTS"
        case _AT.AT_AddConstraint:
            constraint = definition.constraint
            name = constraint.conname or constraint_name(table.rsplit(" ", 1)[-1], constraint)
            return f"{table} DROP CONSTRAINT IF EXISTS {quote(name)}"
        case _AT.AT_AttachPartition:
            return f"{table} DETACH PARTITION {relation(definition.partition_cmd.name)}"
    if action.subtype in _FLAGS:
        return f"{table} {_FLAGS[action.subtype]}"
    return f"{table} {_TRIGGERS[action.subtype]} {quote(action.name)}" if action.subtype in _TRIGGERS else None
