"""Undoes what changes rows, or runs code that can change anything: mostly that is left to a person. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import postgast

from migrollback_nb.core.object_names import quote
from migrollback_nb.parsing.creates import create_of_relation
from migrollback_nb.parsing.parse_tree import PB, dotted, relation, strings
from migrollback_nb.undo.archives import archive_of, columns_of, condition, key_of
from migrollback_nb.undo.ddl import Step
from migrollback_nb.undo.position import Position
from migrollback_nb.undo.undo_create import undo_create

#: Functions that a SELECT may call without leaving anything behind.
_HARMLESS = frozenset(
    {
        "set_config",
        "current_setting",
        "now",
        "version",
        "pg_notify",
        "pg_sleep",
        "count",
        "current_schema",
        "to_regclass",
        "pg_advisory_xact_lock",
        "format",
    }
)


# -- rows --------------------------------------------------------------------------------------------------------------


def _rows(at: Position, what: str, rv: Any, why: str) -> list[Step]:
    if at.relation_key(rv) in at.created or rv.relpersistence == "t":
        return []
    return at.todo(f"{what} {relation(rv)}: {why}")


def undo_insert(at: Position, m: Any) -> list[Step]:
    """Say that the rows are to be deleted."""
    return _rows(at, "INSERT INTO", m.relation, "a DELETE that finds just these rows has to be written by hand")


def undo_copy(at: Position, m: Any) -> list[Step]:
    """Say that the rows are to be deleted; COPY TO changes none."""
    return (
        _rows(at, "COPY", m.relation, "a DELETE that finds just these rows has to be written by hand")
        if m.is_from
        else []
    )


def undo_update(at: Position, m: Any) -> list[Step]:
    """Bring the old values back where the up migration has copied them; else say that they are gone."""
    key = at.relation_key(m.relation)
    if (found := _from_archive(at, m, [target.res_target.name for target in m.target_list])) is not None:
        return found
    if all(("column", *key[1:], target.res_target.name) in at.created for target in m.target_list):
        return []  # the columns go, and their values with them
    return _rows(
        at,
        "UPDATE",
        m.relation,
        "what the rows held before is not kept; keep it in a table of its own first, if it must come back",
    )


def undo_delete(at: Position, m: Any) -> list[Step]:
    """Bring the rows back where the up migration has copied them; else say that they are gone."""
    if (found := _from_archive(at, m, None)) is not None:
        return found
    return _rows(
        at,
        "DELETE FROM",
        m.relation,
        "deleted rows are not kept; keep them in a table of their own first, if they must come back",
    )


def _from_archive(at: Position, m: Any, columns: Sequence[str] | None) -> list[Step] | None:
    """What brings values, or with no columns whole rows, back from a copy that the up migration has made."""
    kept = [archive for archive in at.archives if archive.source == at.relation_key(m.relation)]
    if not kept or at.relation_key(m.relation) in at.created:
        return None
    at.now.needs_schema = True
    if at.before is None:
        return None
    key = key_of(at.before.objects, kept[-1].table)
    for archive in reversed(kept):
        wanted = columns or columns_of(at.before.objects, archive.table)
        if not (key and wanted and all(map(archive.has, (*wanted, *key)))):
            continue
        sql = archive.insert(wanted, has_key=True) if columns is None else archive.update(wanted, key)
        same_rows = archive.where in ("", condition(m))
        todo = None if same_rows else f"check that {archive.name} holds all rows that are changed here"
        return at.as_named([Step(sql=sql, todo=todo)])
    return None


def undo_merge(at: Position, m: Any) -> list[Step]:
    """Say that the old values are gone."""
    return _rows(at, "MERGE INTO", m.relation, "what the rows held before is not kept")


def undo_truncate(at: Position, m: Any) -> list[Step]:
    """Say that the rows are gone."""
    return [
        step
        for table in reversed(m.relations)
        for step in _rows(at, "TRUNCATE", table.range_var, "the rows are not kept")
    ]


def keep_archive(at: Position, into: Any, query: Any, renamed: Sequence[str] = ()) -> None:
    """Keep that a statement copies a table into a new one: what is dropped or changed later can come back from it."""
    found = archive_of(at.relation_key(into), query, at.relation_key, renamed)
    if found is not None:
        at.archives.append(found)


# -- what a SELECT can do ----------------------------------------------------------------------------------------------


def undo_select(at: Position, m: Any) -> list[Step]:
    """Undo what a SELECT creates, changes or calls; most leave nothing behind."""
    if m.HasField("into_clause"):
        keep_archive(at, m.into_clause.rel, m)
        return undo_create(at, create_of_relation(m.into_clause.rel, conditional=False), m)
    for word, statement in (("INSERT INTO", PB.InsertStmt), ("UPDATE", PB.UpdateStmt), ("DELETE FROM", PB.DeleteStmt)):
        for inner in postgast.find_nodes(m, statement):
            return _rows(at, word, inner.relation, "rows are changed inside a WITH; what they were is not kept")
    called = {
        call.funcname[-1].string.sval: dotted(strings(call.funcname)) for call in postgast.find_nodes(m, PB.FuncCall)
    }
    if "set_config" in called:
        _set_config(at, m)
    if not set(called) - _HARMLESS:
        return []
    if "setval" in called:
        return at.todo("SELECT setval(): what the sequence had reached is not kept")
    # what it did to the schema, where that is known; what it did to rows is not
    return _opaque(
        at, f"SELECT {', '.join(sorted(set(called.values())))}()", "a function that is called can change anything"
    )


def _set_config(at: Position, m: Any) -> None:
    for call in postgast.find_nodes(m, PB.FuncCall):
        values = [argument.a_const for argument in call.args]
        if len(values) == 3 and values[0].sval.sval == "search_path":
            path = values[1].sval.sval
            at.set_path(
                f"SET LOCAL search_path TO {path}" if path else "SET LOCAL search_path TO ''",
                path.split(",")[0].strip().strip('"') or "public",
            )


# -- code --------------------------------------------------------------------------------------------------------------


def undo_do(at: Position, _: Any) -> list[Step]:
    """Undo what a DO block did to the schema, where that is known."""
    return _opaque(at, "DO block", "its code can change anything")


def undo_call(at: Position, m: Any) -> list[Step]:
    """Undo what a procedure did to the schema, where that is known."""
    return _opaque(at, f"CALL {dotted(strings(m.funccall.funcname))}", "a procedure can change anything")


def undo_execute(at: Position, m: Any) -> list[Step]:
    """Undo what a prepared statement did to the schema, where that is known."""
    return _opaque(at, f"EXECUTE {quote(m.name)}", "a prepared statement can change anything")


def _opaque(at: Position, what: str, why: str) -> list[Step]:
    at.now.needs_schema = True
    known = at.restored()
    if known is None:
        return at.todo(f"{what}: {why}; write by hand what undoes it")
    if known:
        return [
            *at.todo(
                f"{what}: {why}. What follows undoes what it did to the schema on the scratch database; rows are not"
                " looked at"
            ),
            *known,
        ]
    return at.todo(f"{what}: {why}. On the scratch database it left the schema as it was; rows are not looked at")
