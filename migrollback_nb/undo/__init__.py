"""The statements of an up migration -> the statements that undo them, in reverse order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import postgast

from migrollback_nb.parsing.creates import create_of
from migrollback_nb.parsing.parse_tree import PB, copy_of, deparse, strings
from migrollback_nb.undo import undo_alter, undo_rights, undo_rows
from migrollback_nb.undo.ddl import Step
from migrollback_nb.undo.position import Position
from migrollback_nb.undo.suggestion import Inverse, SchemaState, Suggestion
from migrollback_nb.undo.undo_alter_table import undo_alter_table
from migrollback_nb.undo.undo_create import undo_create, undo_create_extension, undo_create_schema, undo_drop
from migrollback_nb.undo.undo_rename import undo_rename, undo_set_schema

if TYPE_CHECKING:
    from migrollback_nb.parsing.statements import SqlText

__all__ = ["Inverse", "SchemaState", "Suggestion", "suggest"]

#: Statements after which the schema and the rows are what they were, or that undo themselves.
_NO_EFFECT = frozenset({
    "variable_show_stmt", "transaction_stmt", "vacuum_stmt", "explain_stmt", "check_point_stmt", "discard_stmt",
    "lock_stmt", "constraints_set_stmt", "reindex_stmt", "notify_stmt", "listen_stmt", "unlisten_stmt", "prepare_stmt",
    "deallocate_stmt", "load_stmt", "refresh_mat_view_stmt", "declare_cursor_stmt", "fetch_stmt", "close_portal_stmt",
    "alter_collation_stmt", "alter_database_refresh_coll_stmt",
})  # fmt: skip


def suggest(up: SqlText, *, states: Sequence[SchemaState | None] | None = None, major: int = 18) -> Suggestion:
    """Write the inverse of an up migration; does not write anywhere.

    Parameters
    ----------
    up : SqlText
        The up migration. It must parse.
    states : sequence of SchemaState, optional
        The schema before each statement of ``up.statements``, and after the last. None in it: not known.
    major : int
        PostgreSQL's version on which the result is to run.

    Returns
    -------
    Suggestion

    Examples
    --------
    >>> from migrollback_nb.parsing.statements import SqlText
    >>> suggest(SqlText("CREATE TABLE t (a int); CREATE INDEX i ON u (a);")).statements
    ('DROP INDEX IF EXISTS i', 'DROP TABLE IF EXISTS t')
    """
    at = Position(up, states, major)
    for raw in postgast.parse(up.text).stmts:
        at.next_statement()
        kind = str(raw.stmt.WhichOneof("node"))
        at.now.steps = tuple(_undo(at, kind, getattr(raw.stmt, kind)))
    return Suggestion(
        inverses=tuple(_under_their_paths(inverse for inverse in reversed(at.found) if inverse.steps)),
        needs_schema=frozenset(place for place, inverse in enumerate(at.found) if inverse.needs_schema),
    )


def _undo(at: Position, kind: str, m: Any) -> list[Step]:
    if kind in _NO_EFFECT:
        return []
    undo = _UNDO.get(kind)
    if undo is not None:
        return undo(at, m)
    create = create_of(kind, m)
    if create is not None:
        if kind == "create_table_as_stmt" and m.query.WhichOneof("node") == "select_stmt":
            renamed = strings(m.into.col_names)
            undo_rows.keep_archive(at, m.into.rel, m.query.select_stmt, renamed)
        if kind == "create_extension_stmt":
            return undo_create_extension(at, create, m)
        return undo_create(at, create, m)
    return at.by_state(kind.removesuffix("_stmt").replace("_", " ").upper())


def _set(at: Position, m: Any) -> list[Step]:
    """SET search_path: there is nothing to undo, but what follows is undone under that path."""
    if m.name == "search_path":
        if m.kind == PB.VariableSetKind.VAR_SET_VALUE:
            local = copy_of(m)
            local.is_local = True
            at.set_path(deparse("variable_set_stmt", local), m.args[0].a_const.sval.sval or at.default_schema)
        else:
            at.set_path(None, "public")
    return []


def _under_their_paths(inverses: Iterable[Inverse]) -> Iterator[Inverse]:
    """Put before each inverse the path under which its names are meant, where that is another."""
    current: str | None = None
    for inverse in inverses:
        if inverse.path != current:
            current = inverse.path
            yield replace(inverse, steps=(Step(sql=current or "SET LOCAL search_path TO DEFAULT"), *inverse.steps))
        else:
            yield inverse


#: What the parser calls a statement -> what undoes it. What creates one object stands in parsing/creates.
_UNDO: dict[str, Callable[[Position, Any], list[Step]]] = {
    "variable_set_stmt": _set,
    "create_schema_stmt": undo_create_schema,
    "drop_stmt": undo_drop,
    "alter_table_stmt": undo_alter_table,
    "rename_stmt": undo_rename,
    "alter_object_schema_stmt": undo_set_schema,
    "comment_stmt": undo_alter.undo_comment,
    "alter_seq_stmt": undo_alter.undo_alter_sequence,
    "alter_enum_stmt": undo_alter.undo_alter_enum,
    "alter_publication_stmt": undo_alter.undo_alter_publication,
    "alter_extension_contents_stmt": undo_alter.undo_alter_extension_contents,
    "alter_object_depends_stmt": undo_alter.undo_depends_on_extension,
    "alter_system_stmt": undo_alter.undo_alter_system,
    "alter_database_set_stmt": undo_alter.undo_alter_database_set,
    "alter_role_set_stmt": undo_alter.undo_alter_role_set,
    "grant_stmt": undo_rights.undo_grant,
    "grant_role_stmt": undo_rights.undo_grant_role,
    "alter_default_privileges_stmt": undo_rights.undo_default_privileges,
    "alter_owner_stmt": undo_rights.undo_owner,
    "alter_role_stmt": undo_rights.undo_alter_role,
    "drop_role_stmt": undo_rights.undo_drop_role,
    "insert_stmt": undo_rows.undo_insert,
    "update_stmt": undo_rows.undo_update,
    "delete_stmt": undo_rows.undo_delete,
    "merge_stmt": undo_rows.undo_merge,
    "truncate_stmt": undo_rows.undo_truncate,
    "copy_stmt": undo_rows.undo_copy,
    "select_stmt": undo_rows.undo_select,
    "do_stmt": undo_rows.undo_do,
    "call_stmt": undo_rows.undo_call,
    "execute_stmt": undo_rows.undo_execute,
}
