"""Which values and rows SQL destroys that were there before it: dropped, updated, deleted, rewritten. Pure.

How many there are, and what no text says (SQL that is built while it runs, functions of the database), the database
knows: `count_destroyed_values()` in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import postgast
from postgast import pg_query_pb2 as tree
from postgast.pg_query_pb2 import Node

from migrollback_nb.parsing import plpgsql
from migrollback_nb.parsing.creates import create_of
from migrollback_nb.parsing.parse_tree import names, option, qualified, strings
from migrollback_nb.parsing.type_changes import new_type

_WORD = re.compile(r"([A-Za-z_][\w$]*)\"?\s*\(")
#: What stands before a parenthesis in most statements and is no function of the database.
_NO_FUNCTIONS = frozenset({
    "all", "and", "any", "array", "as", "by", "cast", "char", "check", "coalesce", "count", "decimal", "default",
    "elsif", "exists", "filter", "foreign", "format", "from", "generated", "if", "in", "include", "into", "key",
    "lower", "max", "min", "not", "now", "numeric", "on", "or", "over", "partition", "references", "returning", "row",
    "select", "set", "sum", "then", "to", "unique", "upper", "using", "values", "varchar", "when", "where", "with",
})  # fmt: skip
_OBJECT = tree.ObjectType
_ALTER = tree.AlterTableType
What = Literal["column dropped", "table dropped", "updated", "deleted", "truncated", "rewritten"]
#: What goes with all that depends on it, tables or columns among it: what DROP ... CASCADE calls it.
_WITH_DEPENDENTS = {
    _OBJECT.OBJECT_SCHEMA: "schema",
    _OBJECT.OBJECT_TYPE: "type",
    _OBJECT.OBJECT_DOMAIN: "type",
    _OBJECT.OBJECT_COLLATION: "collation",
    _OBJECT.OBJECT_EXTENSION: "extension",
}
#: What format()'s places become in `plpgsql`: no name that the text says.
_PLACEHOLDER = "x"
#: Events of a trigger (TRIGGER_TYPE_... in PostgreSQL's trigger.h).
_EVENTS = {"insert": 4, "delete": 8, "update": 16, "truncate": 32}
#: What calls nothing now, whatever functions it names.
_CALLS_NOTHING = frozenset({
    "drop_stmt", "comment_stmt", "grant_stmt", "rename_stmt", "create_stmt", "view_stmt", "create_policy_stmt",
    "alter_policy_stmt", "rule_stmt", "create_domain_stmt", "create_function_stmt", "create_trig_stmt",
})  # fmt: skip
#: What holds an INSERT, UPDATE, DELETE or MERGE that runs now.
_MAY_WRITE = frozenset({
    "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "select_stmt", "create_table_as_stmt", "copy_stmt",
    "explain_stmt",
})  # fmt: skip


#: Those that hold another one only in a WITH.
_PLAIN = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "select_stmt"})


@dataclass(slots=True)
class _Table:
    """A table as the statements so far have left it."""

    schema: str | None  #: where it lay before all of them, as far as the text says it
    name: str
    new: bool = False  #: one of them creates it
    conditional: bool = False  #: with IF NOT EXISTS: it may have been there
    #: present name of a column -> its name before; None for one that they add
    columns: dict[str, str | None] = field(default_factory=dict)
    added_conditionally: set[str] = field(default_factory=set)  #: with IF NOT EXISTS
    triggers: list[tuple[int, str]] = field(default_factory=list)  #: (events, function) that they create
    moved_to: str | None = None  #: schema that they move it to
    gone: bool = False


@dataclass(slots=True, kw_only=True)
class _Found:
    """One thing that is destroyed."""

    statement: int
    what: What
    table: _Table
    column: str | None = None
    of: str = "table"
    certain: bool = True
    only_if_there: bool = False  #: DROP ... IF EXISTS
    more: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "statement": self.statement,
            "what": self.what,
            "schema": self.table.schema,
            "table": self.table.name,
            "column": self.column,
        }
        found |= {"of": self.of} if self.of != "table" else {}
        found |= {} if self.certain else {"certain": False}
        return found | self.more


def destroyed_values(statements: Sequence[str], nodes: Sequence[Node] | None = None) -> list[dict[str, Any]]:
    """What the statements destroy, in order; what they created themselves is left out. Pure.

    Each has `statement` (its number), `what` (column dropped, table dropped, updated, deleted, truncated, rewritten),
    `schema` and `table` (by the names from before the first statement) and `column`. Where it applies:

    - `of`: schema, type, collation, extension, role: what is dropped with all tables and columns that depend on it,
      `table` is its name then; attribute: `column` of the composite type `table`;
    - `certain` false: the text is built while it runs;
    - `where`: only some of the rows;
    - `cascade` of TRUNCATE;
    - `if_there`: only if an IF NOT EXISTS before it found it there, or an IF EXISTS before a CREATE;
    - `if_exists`: of DROP TABLE;
    - `new`: they add this column and fill it, which destroys nothing, but tells why rows of the table are updated;
    - `type`, `mods` that a rewritten column gets; `cast` false where an expression other than a cast computes its
      values, `explicit` where a cast does.

    Parameters
    ----------
    statements : sequence of str
        Statements that parse, one in each text.
    nodes : sequence of Node, optional
        What the parser made of them, where the caller has parsed them already.

    Examples
    --------
    >>> destroyed_values(["CREATE TABLE u (a int)", "ALTER TABLE app.t DROP b", "DROP TABLE u"])
    [{'statement': 2, 'what': 'column dropped', 'schema': 'app', 'table': 't', 'column': 'b'}]
    """
    return _read(statements, nodes).result()


def look(statements: Sequence[str], nodes: Sequence[Node] | None = None) -> dict[str, Any]:
    """What `migration_history.metadata` keeps of an up migration under the key ``destroys``. Pure.

    `values`: `destroyed_values()`; `writes`: whether it writes rows; `calls`: what may be names of functions that it
    calls; `unseen`: whether it builds SQL while it runs. By the last three the database tells whether to look for more
    than the text says.

    Examples
    --------
    >>> look(["SELECT clean_up()"])
    {'values': [], 'writes': False, 'calls': ['clean_up'], 'unseen': False}
    """
    reader = _read(statements, nodes)
    return {
        "values": reader.result(),
        "writes": reader.writes,
        "calls": sorted(reader.calls),
        "unseen": reader.unseen,
    }


def _read(statements: Sequence[str], nodes: Sequence[Node] | None) -> _Reader:
    if nodes is None:
        nodes = [raw.stmt for raw in postgast.parse("\n;\n".join(statements)).stmts]
    reader = _Reader()
    for number, (node, text) in enumerate(zip(nodes, statements, strict=True), 1):
        reader.statement = number
        reader.read(node, text)
    return reader


class _Reader:
    """Reads statements in order, and follows what they create, add and rename."""

    def __init__(self) -> None:
        self.statement = 0
        self.writes = False  #: rows
        self.unseen = False  #: some of it is built while it runs, or cannot be read
        self.calls: set[str] = set()  #: what may be names of functions
        self._found: list[_Found] = []
        self._tables: dict[str, list[_Table]] = {}  # by present name
        self._functions: dict[str, tuple[Node, str]] = {}  # that the statements create
        self._schema: str | None = None  # that a SET search_path among them names
        self._schemas: dict[str, str] = {}  # present name -> name before, of schemas that they rename
        self._built = False  # whether what is read is built while it runs
        self._inside: list[str] = []  # functions whose bodies are being read

    def result(self) -> list[dict[str, Any]]:
        """What is destroyed, without what goes with something larger anyway."""
        whole = {id(one.table) for one in self._found if one.what in ("table dropped", "truncated") and one.certain}
        dropped = {(id(one.table), one.column) for one in self._found if one.what == "column dropped" and one.certain}
        kept: dict[tuple[Any, ...], dict[str, Any]] = {}
        for one in self._found:
            if one.what not in ("table dropped", "truncated") and id(one.table) in whole:
                continue
            if one.only_if_there:
                one.more["if_there" if self._created_again(one.table) else "if_exists"] = True
            if one.what in ("updated", "rewritten") and (id(one.table), one.column) in dropped:
                continue
            # which of several statements wrote how many rows no one counts: hence each of them is named
            number = one.statement if one.what in ("updated", "deleted") else 0
            key = (one.what, one.of, one.table.schema, one.table.name, one.column, number)
            earlier = kept.setdefault(key, one.to_json())
            if "where" not in one.more:
                earlier.pop("where", None)
        return list(kept.values())

    # -- names -----------------------------------------------------------------------------------------------------

    def _created_again(self, table: _Table) -> bool:
        """Whether a CREATE takes the place of a table that they drop."""
        return any(other.new for other in self._tables.get(table.name, ()) if other is not table)

    def _table(self, schema: str | None, name: str) -> _Table:
        """The table that has this name now."""
        schema = schema or self._schema
        schema = self._schemas.get(schema, schema) if schema else None
        for table in reversed(self._tables.get(name, ())):
            now = table.moved_to or table.schema
            if not table.gone and (None in (schema, now) or schema == now):
                return table
        table = _Table(schema, name)
        self._tables.setdefault(name, []).append(table)
        return table

    def _of(self, relation: Any) -> _Table:
        return self._table(relation.schemaname or None, relation.relname)

    def _add(self, what: What, table: _Table, column: str | None = None, **more: Any) -> None:
        if self._built and _PLACEHOLDER in (table.name, table.schema, column):
            return
        if table.new and not table.conditional:
            return
        more |= {"if_there": True} if table.conditional else {}
        if column is not None:
            before = table.columns.get(column, column)
            if before is None and column not in table.added_conditionally:
                if what != "updated":
                    return
                more["new"] = True
            elif before is None:
                more["if_there"] = True
            column = before or column
        certain = more.pop("certain", True) and not self._built
        only_if_there = more.pop("only_if_there", False)
        more = {key: one for key, one in more.items() if one or key == "cast"}
        self._found.append(
            _Found(
                statement=self.statement,
                what=what,
                table=table,
                column=column,
                certain=certain,
                only_if_there=only_if_there,
                more=more,
            )
        )

    # -- statements ------------------------------------------------------------------------------------------------

    def read(self, node: Node, text: str) -> None:
        """Read one statement; text: of it alone."""
        kind = node.WhichOneof("node") or ""
        statement: Any = getattr(node, kind) if kind else None
        if kind in _MAY_WRITE:
            self._writes(node, text)
        if kind not in _CALLS_NOTHING:
            self.calls |= {word.lower() for word in _WORD.findall(text)} - _NO_FUNCTIONS
        if kind == "select_stmt" and "set_config" in text:
            self._set_config(node)
        if (read := _READERS.get(kind)) is not None:
            read(self, statement)
        elif kind == "do_stmt":
            self._do(statement, text)
        elif kind == "create_function_stmt":
            self._functions[statement.funcname[-1].string.sval] = (node, text)
        elif kind:
            self._create(kind, statement)
        if self._functions and kind not in _CALLS_NOTHING:
            for call in postgast.find_nodes(node, tree.FuncCall):
                self._called(strings(call.funcname)[-1] if call.funcname else "")

    def _create(self, kind: str, statement: Any) -> None:
        create = create_of(kind, statement)
        if create is None:
            if kind == "select_stmt" and statement.HasField("into_clause"):
                into = statement.into_clause.rel
                self._created(into.schemaname or None, into.relname)
        elif create.space == "relation" and create.kind not in ("index", "composite type", "sequence"):
            self._created(create.schema, create.name, conditional=create.conditional)

    def _do(self, statement: Any, text: str) -> None:
        language = option(statement.args, "language")
        if language is None or language.string.sval.lower() == "plpgsql":
            self._plpgsql(text)
        else:
            self.unseen = True

    def _created(self, schema: str | None, name: str, *, conditional: bool = False) -> None:
        self._tables.setdefault(name, []).append(
            _Table(schema or self._schema, name, new=True, conditional=conditional)
        )

    def alter_table(self, s: Any) -> None:
        if s.objtype == _OBJECT.OBJECT_TYPE:
            for command in s.cmds:
                if command.alter_table_cmd.subtype == _ALTER.AT_DropColumn:
                    self._of_another("attribute", "rewritten", names(Node(range_var=s.relation)), s=command)
            return
        if s.objtype != _OBJECT.OBJECT_TABLE:
            return
        table = self._of(s.relation)
        for item in s.cmds:
            command = item.alter_table_cmd
            definition = getattr(command, "def").column_def
            match command.subtype:
                case _ALTER.AT_AddColumn:
                    if command.missing_ok:
                        table.added_conditionally.add(definition.colname)
                    else:
                        table.added_conditionally.discard(definition.colname)
                    table.columns[definition.colname] = None
                case _ALTER.AT_DropColumn:
                    self._add("column dropped", table, command.name)
                    table.columns.pop(command.name, None)
                case _ALTER.AT_AlterColumnType:
                    self._add("rewritten", table, command.name, **new_type(definition, command.name))

    def drop(self, s: Any) -> None:
        if s.remove_type == _OBJECT.OBJECT_TABLE:
            for item in s.objects:
                table = self._table(*qualified(names(item)))
                self._add("table dropped", table, only_if_there=s.missing_ok)
                table.gone = True
        elif s.remove_type in _WITH_DEPENDENTS and s.behavior == tree.DropBehavior.DROP_CASCADE:
            of = _WITH_DEPENDENTS[s.remove_type]
            what: What = "table dropped" if of in ("schema", "extension") else "column dropped"
            for item in s.objects:
                self._of_another(of, what, names(item))

    def drop_owned(self, s: Any) -> None:
        for role in s.roles:
            self._of_another("role", "table dropped", [role.role_spec.rolename or "CURRENT_USER"])

    def _of_another(self, of: str, what: What, name: Sequence[str], *, s: Any = None) -> None:
        """What goes with something that is no table: what depends on it, the catalogs know."""
        schema, last = qualified(name)
        if of == "schema":
            last = self._schemas.get(last, last)
        if self._built and _PLACEHOLDER in (schema, last):
            return
        if of in ("type", "collation", "attribute"):
            schema = schema or self._schema
        column = s.alter_table_cmd.name if s is not None else None
        found = _Found(
            statement=self.statement, what=what, table=_Table(schema, last), column=column, of=of, certain=False
        )
        self._found.append(found)

    def truncate(self, s: Any) -> None:
        cascade = s.behavior == tree.DropBehavior.DROP_CASCADE
        for item in s.relations:
            table = self._of(item.range_var)
            self._add("truncated", table, cascade=cascade)
            self._fired(table, "truncate")

    def rename(self, s: Any) -> None:
        if s.rename_type == _OBJECT.OBJECT_TABLE:
            self._moved(self._of(s.relation), s.relation.relname, s.newname)
        elif s.rename_type == _OBJECT.OBJECT_SCHEMA:
            self._schemas[s.newname] = self._schemas.pop(s.subname, s.subname)
        elif s.rename_type == _OBJECT.OBJECT_COLUMN and s.relation_type == _OBJECT.OBJECT_TABLE:
            table = self._of(s.relation)
            table.columns[s.newname] = table.columns.pop(s.subname, s.subname)
            if s.subname in table.added_conditionally:
                table.added_conditionally.add(s.newname)

    def _moved(self, table: _Table, old: str, new: str) -> None:
        """It has another name now, and the old one is free."""
        self._tables[old].remove(table)
        self._tables.setdefault(new, []).append(table)

    def alter_schema(self, s: Any) -> None:
        if s.object_type == _OBJECT.OBJECT_TABLE:
            self._of(s.relation).moved_to = s.newschema

    def trigger(self, s: Any) -> None:
        self._of(s.relation).triggers.append((s.events, strings(s.funcname)[-1]))

    def set_(self, s: Any) -> None:
        if s.name == "search_path":
            self._set_path([argument.a_const.sval.sval for argument in s.args])

    def _set_path(self, given: Sequence[str]) -> None:
        found = [name for name in given if name not in ("", "pg_catalog", "pg_temp", "$user", "public")]
        self._schema = found[0] if found and given[0] == found[0] else None

    def _set_config(self, node: Node) -> None:
        for call in postgast.find_nodes(node, tree.FuncCall):
            values = [argument.a_const.sval.sval for argument in call.args]
            if strings(call.funcname)[-1:] == ["set_config"] and values[:1] == ["search_path"]:
                self._set_path([name.strip().strip('"') for name in values[1].split(",")])

    # -- rows that are written -------------------------------------------------------------------------------------

    def _writes(self, node: Node, text: str) -> None:
        words = text.lower()  # looked at first: to walk through a statement takes much longer
        kind = node.WhichOneof("node")
        self.writes |= kind == "copy_stmt"
        for word, name, message, take in (
            ("update", "update_stmt", tree.UpdateStmt, self._update),
            ("delete", "delete_stmt", tree.DeleteStmt, self._delete),
            ("insert", "insert_stmt", tree.InsertStmt, self._insert),
            ("merge", "merge_stmt", tree.MergeStmt, self._merge),
        ):
            found: Iterable[Any] = ()
            if kind == name and "with" not in words:
                found = (getattr(node, name),)
            elif word in words and ("with" in words or kind not in _PLAIN):
                found = postgast.find_nodes(node, message)
            for one in found:
                self.writes = True
                take(one)

    def _update(self, s: Any) -> None:
        self._updated(s.relation, s.target_list, partly=s.HasField("where_clause") or bool(s.from_clause))

    def _delete(self, s: Any) -> None:
        self._deleted(s.relation, where=s.HasField("where_clause") or bool(s.using_clause))

    def _insert(self, s: Any) -> None:
        if s.on_conflict_clause.action == tree.OnConflictAction.ONCONFLICT_UPDATE:
            self._updated(s.relation, s.on_conflict_clause.target_list, partly=True, certain=False)
        self._fired(self._of(s.relation), "insert")

    def _merge(self, s: Any) -> None:
        for item in s.merge_when_clauses:
            clause = item.merge_when_clause
            if clause.command_type == tree.CmdType.CMD_UPDATE:
                self._updated(s.relation, clause.target_list, partly=True, certain=False)
            elif clause.command_type == tree.CmdType.CMD_DELETE:
                self._deleted(s.relation, where=True, certain=False)

    def _deleted(self, relation: Any, *, where: bool, certain: bool = True) -> None:
        table = self._of(relation)
        self._add("deleted", table, where=where, certain=certain)
        self._fired(table, "delete")

    def _updated(self, relation: Any, targets: Any, *, partly: bool, certain: bool = True) -> None:
        table = self._of(relation)
        for target in targets:
            self._add("updated", table, target.res_target.name, where=partly, certain=certain)
        self._fired(table, "update")

    # -- bodies ----------------------------------------------------------------------------------------------------

    def _fired(self, table: _Table, event: str) -> None:
        for events, function in table.triggers:
            if events & _EVENTS[event]:
                self._called(function)

    def _called(self, function: str) -> None:
        """A function of which only these statements know the body yet."""
        if function not in self._functions or function in self._inside:
            return
        node, text = self._functions[function]
        created = node.create_function_stmt
        options = {option.def_elem.defname: option.def_elem.arg for option in created.options}
        language = options["language"].string.sval.lower() if "language" in options else "sql"
        self._inside.append(function)
        before = self._schema
        if "set" in options:
            self.set_(options["set"].variable_set_stmt)
        if language == "plpgsql":
            self._plpgsql(text)
        elif language == "sql" and "as" in options:
            self._text("".join(part.string.sval for part in options["as"].list.items[:1]))
        elif created.HasField("sql_body"):
            for inner in _atomic(created.sql_body):
                self.read(inner, text)
        else:
            self.unseen = True
        self._schema = before
        self._inside.pop()

    def _plpgsql(self, text: str) -> None:
        body = plpgsql.parse_body(text)
        self.unseen |= body is None
        for query in body.queries if body else ():
            self.unseen |= query.built
            self._text(query.sql, built=query.built)

    def _text(self, text: str, *, built: bool = False) -> None:
        try:
            parsed = postgast.parse(text)
        except postgast.PgQueryError:
            return
        before, self._built = self._built, self._built or built
        data = text.encode()
        for raw in parsed.stmts:
            end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(data)
            self.read(raw.stmt, data[raw.stmt_location : end].decode())
        self._built = before


_READERS: dict[str, Callable[[_Reader, Any], None]] = {
    "alter_table_stmt": _Reader.alter_table,
    "drop_stmt": _Reader.drop,
    "drop_owned_stmt": _Reader.drop_owned,
    "truncate_stmt": _Reader.truncate,
    "rename_stmt": _Reader.rename,
    "alter_object_schema_stmt": _Reader.alter_schema,
    "create_trig_stmt": _Reader.trigger,
    "variable_set_stmt": _Reader.set_,
}


def _atomic(body: Node) -> Iterator[Node]:
    """The statements of a body in BEGIN ATOMIC."""
    if body.WhichOneof("node") == "list":
        for item in body.list.items:
            yield from _atomic(item)
    else:
        yield body
