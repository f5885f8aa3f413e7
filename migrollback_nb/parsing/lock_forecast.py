"""Which strong locks a text of SQL takes, and what it rewrites or scans under them, by its parse tree. Pure.

Modes and exceptions are those of PostgreSQL's manual: Explicit Locking, and the notes of ALTER TABLE. What only the
catalogs know (the type that a column has, the table of an index) is named here, and looked up by foreseen_locks().
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import postgast

from migrollback_nb.parsing import plpgsql
from migrollback_nb.parsing.parse_tree import PB, names, qualified, strings

#: A lock: number of its statement, schema (None where the text names none), name, mode, work (rewrite, scan, build or
#: None), why, and what the catalogs are to be asked.
Forecast = dict[str, Any]

ACCESS_EXCLUSIVE, EXCLUSIVE = "ACCESS EXCLUSIVE", "EXCLUSIVE"
SHARE_ROW_EXCLUSIVE, SHARE, SHARE_UPDATE_EXCLUSIVE = "SHARE ROW EXCLUSIVE", "SHARE", "SHARE UPDATE EXCLUSIVE"
#: By the number that the parser gives; None: it stalls neither readers nor writers.
_MODES = (None, None, None, None, SHARE_UPDATE_EXCLUSIVE, SHARE, SHARE_ROW_EXCLUSIVE, EXCLUSIVE, ACCESS_EXCLUSIVE)
_ALTER, _OBJECT, _CONSTRAINT = PB.AlterTableType, PB.ObjectType, PB.ConstrType
_SERIAL = frozenset({"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"})


def look(statements: Sequence[str], nodes: Sequence[Any]) -> list[Forecast]:
    """What `migration_history.metadata` keeps of it. Pure.

    Parameters
    ----------
    statements : sequence of str
        Statements that parse, one in each text.
    nodes : sequence of Node
        What the parser made of them.

    Examples
    --------
    >>> text = "ALTER TABLE app.big SET UNLOGGED"
    >>> look([text], [postgast.parse(text).stmts[0].stmt])  # doctest: +NORMALIZE_WHITESPACE
    [{'statement': 1, 'schema': 'app', 'name': 'big', 'mode': 'ACCESS EXCLUSIVE', 'work': 'rewrite',
      'why': 'SET UNLOGGED'}]
    """
    found: list[Forecast] = []
    for number, (text, node) in enumerate(zip(statements, nodes, strict=True), 1):
        for lock in _of_statement(node, text):
            entry = {"statement": number, **lock}
            if entry not in found:
                found.append(entry)
    return found


def _lock(name: Any, mode: str, why: str, work: str | None = None, **asked: Any) -> Forecast:
    """A lock on a relation, given as the parser has it or as (schema, name); `asked` is for the catalogs."""
    schema, relation = name if isinstance(name, tuple) else (name.schemaname or None, name.relname)
    return {"schema": schema, "name": relation, "mode": mode, "work": work, "why": why, **asked}


def _of_statement(node: Any, text: str) -> Iterator[Forecast]:
    kind = node.WhichOneof("node") or ""
    if kind == "do_stmt":
        body = plpgsql.parse_body(text)
        for query in body.queries if body else ():
            try:
                inner = postgast.parse(query.sql).stmts
            except postgast.PgQueryError:
                continue  # a piece of what EXECUTE runs
            for raw in inner:
                yield from _of_statement(raw.stmt, query.sql)
    elif kind in _KINDS:
        yield from _KINDS[kind](getattr(node, kind))


# -- ALTER TABLE -------------------------------------------------------------------------------------------------------


def _alter_table(statement: Any) -> Iterator[Forecast]:
    if statement.objtype in (_OBJECT.OBJECT_TYPE, _OBJECT.OBJECT_SEQUENCE):
        return
    only: dict[str, Any] = {} if statement.relation.inh else {"only": True}
    of: dict[str, Any] = {"of": "index"} if statement.objtype == _OBJECT.OBJECT_INDEX else {}
    for wrapped in statement.cmds:
        command = wrapped.alter_table_cmd
        special = _COMMANDS.get(command.subtype)
        if special is not None:
            for lock in special(statement.relation, command):
                yield lock | only
        elif command.subtype in _WEAK:
            continue
        else:
            yield _lock(statement.relation, ACCESS_EXCLUSIVE, _command_words(command), **only, **of)


def _command_words(command: Any) -> str:
    """A subcommand as SQL says it, nearly: AT_DropColumn -> DROP COLUMN."""
    name = _ALTER.Name(command.subtype).removeprefix("AT_")
    return "".join(f" {letter}" if letter.isupper() else letter for letter in name).strip().upper()


def _add_column(relation: Any, command: Any) -> Iterator[Forecast]:
    column = getattr(command, "def").column_def
    constraints = [one.constraint for one in column.constraints]
    asked: dict[str, Any] = {}
    work = None
    filled = strings(column.type_name.names)[-1] in _SERIAL or any(
        one.contype == _CONSTRAINT.CONSTR_IDENTITY
        or (one.contype == _CONSTRAINT.CONSTR_GENERATED and one.generated_kind != "v")
        for one in constraints
    )
    if filled:
        work = "rewrite"
    elif calls := [
        list(qualified(strings(call.funcname)))
        for one in constraints
        if one.contype == _CONSTRAINT.CONSTR_DEFAULT
        for call in postgast.find_nodes(one, PB.FuncCall)
    ]:
        work, asked = "rewrite", {"volatile": calls}
    yield _lock(relation, ACCESS_EXCLUSIVE, "ADD COLUMN", work, **asked)
    for one in constraints:
        if one.contype in _BUILT:
            yield _lock(relation, ACCESS_EXCLUSIVE, f"ADD COLUMN ... {_BUILT[one.contype]}", "build")
        elif one.contype == _CONSTRAINT.CONSTR_CHECK and not one.skip_validation:
            yield _lock(relation, ACCESS_EXCLUSIVE, "ADD COLUMN ... CHECK", "scan")
        elif one.contype == _CONSTRAINT.CONSTR_FOREIGN:
            yield _lock(one.pktable, SHARE_ROW_EXCLUSIVE, "FOREIGN KEY ... REFERENCES it")


def _add_constraint(relation: Any, command: Any) -> Iterator[Forecast]:
    one = getattr(command, "def").constraint
    checked = not one.skip_validation
    if one.contype == _CONSTRAINT.CONSTR_FOREIGN:
        work = "scan" if checked else None
        yield _lock(relation, SHARE_ROW_EXCLUSIVE, "ADD FOREIGN KEY", work)
        yield _lock(one.pktable, SHARE_ROW_EXCLUSIVE, "FOREIGN KEY ... REFERENCES it")
    elif one.contype in _BUILT:
        built = None if one.indexname else "build"  # USING INDEX
        yield _lock(relation, ACCESS_EXCLUSIVE, f"ADD {_BUILT[one.contype]}", built)
    else:
        yield _lock(relation, ACCESS_EXCLUSIVE, "ADD CONSTRAINT", "scan" if checked else None)


def _alter_type(relation: Any, command: Any) -> Iterator[Forecast]:
    column = getattr(command, "def").column_def
    asked: dict[str, Any] = {"column": command.name}
    using = column.raw_default
    if using.WhichOneof("node") in (None, "column_ref") or (
        using.WhichOneof("node") == "type_cast" and using.type_cast.arg.HasField("column_ref")
    ):
        modifiers = [one.a_const.ival.ival for one in column.type_name.typmods if one.HasField("a_const")]
        if not column.type_name.array_bounds and len(modifiers) == len(column.type_name.typmods):
            asked |= {"type": strings(column.type_name.names), "modifiers": modifiers}
    yield _lock(relation, ACCESS_EXCLUSIVE, "ALTER COLUMN TYPE", "rewrite", **asked)


def _drop_constraint(relation: Any, command: Any) -> Iterator[Forecast]:
    yield _lock(relation, ACCESS_EXCLUSIVE, "DROP CONSTRAINT", constraint=command.name)


def _attach(relation: Any, command: Any) -> Iterator[Forecast]:
    yield _lock(relation, SHARE_UPDATE_EXCLUSIVE, "ATTACH PARTITION")
    yield _lock(getattr(command, "def").partition_cmd.name, ACCESS_EXCLUSIVE, "ATTACH PARTITION", "scan")


def _detach(relation: Any, command: Any) -> Iterator[Forecast]:
    definition = getattr(command, "def").partition_cmd
    mode = SHARE_UPDATE_EXCLUSIVE if definition.concurrent else ACCESS_EXCLUSIVE
    yield _lock(relation, mode, "DETACH PARTITION", only=True)
    yield _lock(definition.name, ACCESS_EXCLUSIVE, "DETACH PARTITION")


def _works(why: str, work: str | None, mode: str = ACCESS_EXCLUSIVE) -> Callable[[Any, Any], Iterator[Forecast]]:
    def found(relation: Any, _: Any) -> Iterator[Forecast]:
        yield _lock(relation, mode, why, work)

    return found


def _set_not_null(relation: Any, command: Any) -> Iterator[Forecast]:
    yield _lock(relation, ACCESS_EXCLUSIVE, "SET NOT NULL", "scan", column=command.name)


def _validate(relation: Any, command: Any) -> Iterator[Forecast]:
    yield _lock(relation, SHARE_UPDATE_EXCLUSIVE, "VALIDATE CONSTRAINT", "scan", validates=command.name)


_BUILT = {
    _CONSTRAINT.CONSTR_PRIMARY: "PRIMARY KEY",
    _CONSTRAINT.CONSTR_UNIQUE: "UNIQUE",
    _CONSTRAINT.CONSTR_EXCLUSION: "EXCLUDE",
}
_COMMANDS: dict[int, Callable[[Any, Any], Iterator[Forecast]]] = {
    _ALTER.AT_AddColumn: _add_column,
    _ALTER.AT_AddConstraint: _add_constraint,
    _ALTER.AT_AlterColumnType: _alter_type,
    _ALTER.AT_DropConstraint: _drop_constraint,
    _ALTER.AT_AttachPartition: _attach,
    _ALTER.AT_DetachPartition: _detach,
    _ALTER.AT_SetNotNull: _set_not_null,
    _ALTER.AT_ValidateConstraint: _validate,
    _ALTER.AT_SetLogged: _works("SET LOGGED", "rewrite"),
    _ALTER.AT_SetUnLogged: _works("SET UNLOGGED", "rewrite"),
    _ALTER.AT_SetTableSpace: _works("SET TABLESPACE", "rewrite"),
    _ALTER.AT_SetAccessMethod: _works("SET ACCESS METHOD", "rewrite"),
    _ALTER.AT_SetExpression: _works("SET EXPRESSION", "rewrite"),
    **{
        getattr(_ALTER, name): _works("DISABLE TRIGGER" if "Disable" in name else "ENABLE TRIGGER", None,
                                      SHARE_ROW_EXCLUSIVE)
        for name in ("AT_EnableTrig", "AT_EnableAlwaysTrig", "AT_EnableReplicaTrig", "AT_DisableTrig",
                     "AT_EnableTrigAll", "AT_DisableTrigAll", "AT_EnableTrigUser", "AT_DisableTrigUser")
    },
}  # fmt: skip
#: Under SHARE UPDATE EXCLUSIVE, and done at once.
_WEAK = frozenset({
    _ALTER.AT_SetStatistics, _ALTER.AT_ClusterOn, _ALTER.AT_DropCluster, _ALTER.AT_SetRelOptions,
    _ALTER.AT_ResetRelOptions, _ALTER.AT_SetOptions, _ALTER.AT_ResetOptions, _ALTER.AT_DetachPartitionFinalize,
})  # fmt: skip


# -- other statements --------------------------------------------------------------------------------------------------


def _index(statement: Any) -> Iterator[Forecast]:
    mode = SHARE_UPDATE_EXCLUSIVE if statement.concurrent else SHARE
    yield _lock(statement.relation, mode, "CREATE INDEX", "build")


def _drop(statement: Any) -> Iterator[Forecast]:
    cascade: dict[str, Any] = {"cascade": True} if statement.behavior == PB.DropBehavior.DROP_CASCADE else {}
    kind = statement.remove_type
    for thing in statement.objects:
        parts = names(thing)
        if kind in _DROPPED:
            mode = SHARE_UPDATE_EXCLUSIVE if statement.concurrent else ACCESS_EXCLUSIVE
            of: dict[str, Any] = {"of": "index"} if kind == _OBJECT.OBJECT_INDEX else {"dropped": True}
            yield _lock(qualified(parts), mode, f"DROP {_DROPPED[kind]}", **of, **cascade)
        elif kind == _OBJECT.OBJECT_SCHEMA:
            yield _lock((parts[-1], ""), ACCESS_EXCLUSIVE, "DROP SCHEMA", of="schema")
        elif kind in _OF_TABLE:
            yield _lock(qualified(parts[:-1]), ACCESS_EXCLUSIVE, f"DROP {_OF_TABLE[kind]}")


def _truncate(statement: Any) -> Iterator[Forecast]:
    for relation in statement.relations:
        yield _lock(relation.range_var, ACCESS_EXCLUSIVE, "TRUNCATE")


def _lock_table(statement: Any) -> Iterator[Forecast]:
    mode = _MODES[statement.mode]
    if mode is not None:
        for relation in statement.relations:
            yield _lock(relation.range_var, mode, "LOCK TABLE")


def _refresh(statement: Any) -> Iterator[Forecast]:
    if not statement.skip_data:
        mode = EXCLUSIVE if statement.concurrent else ACCESS_EXCLUSIVE
        yield _lock(statement.relation, mode, "REFRESH MATERIALIZED VIEW", "rewrite")


def _cluster(statement: Any) -> Iterator[Forecast]:
    if statement.HasField("relation"):
        yield _lock(statement.relation, ACCESS_EXCLUSIVE, "CLUSTER", "rewrite")


def _vacuum(statement: Any) -> Iterator[Forecast]:
    if statement.is_vacuumcmd and any(one.def_elem.defname == "full" for one in statement.options):
        for relation in statement.rels:
            yield _lock(relation.vacuum_relation.relation, ACCESS_EXCLUSIVE, "VACUUM FULL", "rewrite")


def _reindex(statement: Any) -> Iterator[Forecast]:
    if statement.HasField("relation"):
        concurrent = any(one.def_elem.defname == "concurrently" for one in statement.params)
        of: dict[str, Any] = {"of": "index"} if statement.kind == PB.ReindexObjectType.REINDEX_OBJECT_INDEX else {}
        # readers wait for the index, so that hardly any gets by
        mode = SHARE_UPDATE_EXCLUSIVE if concurrent else ACCESS_EXCLUSIVE
        yield _lock(statement.relation, mode, "REINDEX", "build", **of)


def _rename(statement: Any) -> Iterator[Forecast]:
    if statement.rename_type == _OBJECT.OBJECT_INDEX:
        return
    if statement.HasField("relation"):
        yield _lock(statement.relation, ACCESS_EXCLUSIVE, "RENAME")


def _set_schema(statement: Any) -> Iterator[Forecast]:
    if statement.HasField("relation"):
        yield _lock(statement.relation, ACCESS_EXCLUSIVE, "SET SCHEMA")


def _create_table(statement: Any) -> Iterator[Forecast]:
    if statement.HasField("partbound"):
        for parent in statement.inh_relations:
            yield _lock(parent.range_var, ACCESS_EXCLUSIVE, "CREATE TABLE ... PARTITION OF it", only=True)
    for one in postgast.find_nodes(statement, PB.Constraint):
        if one.contype == _CONSTRAINT.CONSTR_FOREIGN:
            yield _lock(one.pktable, SHARE_ROW_EXCLUSIVE, "FOREIGN KEY ... REFERENCES it")


def _create_trigger(statement: Any) -> Iterator[Forecast]:
    yield _lock(statement.relation, SHARE_ROW_EXCLUSIVE, "CREATE TRIGGER")


def _on_table(why: str, field: str = "table") -> Callable[[Any], Iterator[Forecast]]:
    def found(statement: Any) -> Iterator[Forecast]:
        yield _lock(getattr(statement, field), ACCESS_EXCLUSIVE, why)

    return found


def _view(statement: Any) -> Iterator[Forecast]:
    if statement.replace:
        yield _lock(statement.view, ACCESS_EXCLUSIVE, "CREATE OR REPLACE VIEW")


def _every_row(why: str, where: str) -> Callable[[Any], Iterator[Forecast]]:
    """UPDATE and DELETE: without a WHERE every row is written, and else looked at as far as no one can say."""

    def found(statement: Any) -> Iterator[Forecast]:
        if not statement.HasField(where):
            yield _lock(statement.relation, "ROW EXCLUSIVE", f"{why} of all rows", "rewrite")

    return found


_DROPPED = {
    _OBJECT.OBJECT_TABLE: "TABLE",
    _OBJECT.OBJECT_FOREIGN_TABLE: "FOREIGN TABLE",
    _OBJECT.OBJECT_INDEX: "INDEX",
    _OBJECT.OBJECT_VIEW: "VIEW",
    _OBJECT.OBJECT_MATVIEW: "MATERIALIZED VIEW",
}
_OF_TABLE = {_OBJECT.OBJECT_TRIGGER: "TRIGGER", _OBJECT.OBJECT_POLICY: "POLICY", _OBJECT.OBJECT_RULE: "RULE"}
#: What the parser calls a statement -> its locks.
_KINDS: dict[str, Callable[[Any], Iterator[Forecast]]] = {
    "alter_table_stmt": _alter_table,
    "index_stmt": _index,
    "drop_stmt": _drop,
    "truncate_stmt": _truncate,
    "lock_stmt": _lock_table,
    "refresh_mat_view_stmt": _refresh,
    "cluster_stmt": _cluster,
    "vacuum_stmt": _vacuum,
    "reindex_stmt": _reindex,
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
    "create_stmt": _create_table,
    "create_trig_stmt": _create_trigger,
    "create_policy_stmt": _on_table("CREATE POLICY"),
    "alter_policy_stmt": _on_table("ALTER POLICY"),
    "rule_stmt": _on_table("CREATE RULE", "relation"),
    "view_stmt": _view,
    "update_stmt": _every_row("UPDATE", "where_clause"),
    "delete_stmt": _every_row("DELETE", "where_clause"),
}
