"""The statements of an up part -> the statements that undo them, in reverse order. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import postgast

from migrollback_nb import schema_ddl
from migrollback_nb.schema_ddl import Objects, Step, default_name, quote

if TYPE_CHECKING:
    from migrollback_nb.sql_text import SqlText

_PB = postgast.pg_query_pb2
_AT = _PB.AlterTableType
_OBJECT = _PB.ObjectType
_CONSTRAINT = _PB.ConstrType

#: Statements after which the schema and the rows are what they were, or that undo themselves.
_NO_EFFECT = frozenset({
    "variable_set_stmt", "variable_show_stmt", "transaction_stmt", "vacuum_stmt", "explain_stmt", "check_point_stmt", "discard_stmt", "lock_stmt", "constraints_set_stmt", "reindex_stmt",
    "notify_stmt", "listen_stmt", "unlisten_stmt", "prepare_stmt", "deallocate_stmt", "load_stmt", "refresh_mat_view_stmt", "declare_cursor_stmt", "fetch_stmt", "close_portal_stmt",
    "alter_collation_stmt", "alter_database_refresh_coll_stmt",
})  # fmt: skip
#: Functions that a SELECT may call without leaving anything behind.
_HARMLESS = frozenset(
    {"set_config", "current_setting", "now", "version", "pg_notify", "pg_sleep", "count", "current_schema", "to_regclass", "pg_advisory_xact_lock", "format"}
)
_RELATION_WORDS = {
    _OBJECT.OBJECT_TABLE: "TABLE",
    _OBJECT.OBJECT_VIEW: "VIEW",
    _OBJECT.OBJECT_MATVIEW: "MATERIALIZED VIEW",
    _OBJECT.OBJECT_SEQUENCE: "SEQUENCE",
    _OBJECT.OBJECT_INDEX: "INDEX",
    _OBJECT.OBJECT_FOREIGN_TABLE: "FOREIGN TABLE",
    _OBJECT.OBJECT_TYPE: "TYPE",
}
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

MadeKey = tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """What the schema is just before a statement, or just after the last one."""

    objects: Objects  #: what schema_snapshot() says
    path: tuple[str, ...]  #: schemas in which unqualified names are looked up, the first being where things are made; not quoted
    role: str  #: who runs the migrations, as PostgreSQL quotes it


@dataclass(slots=True, eq=False)
class _Made:
    """Something that this up part makes."""

    index: int  #: of the statement that makes it
    name: str  #: not quoted, without its schema
    moved: bool = False  #: to another schema since: what has been made on it there may clash with something where it goes back to


@dataclass(slots=True, kw_only=True)
class Inverse:
    """What undoes one statement of the up part."""

    line: int  #: of the up statement, counted from 1 in the up part
    steps: tuple[Step, ...]  #: in the order in which they are to run; none where nothing is left to undo
    needs_schema: bool = False  #: whether more could be said if the schema before the statement were known
    path: str | None = None  #: the search_path that the up part has set by then, as it writes it
    about: tuple[_Made, ...] = field(default=(), repr=False)  #: things made by the same up part: when they are dropped again, there is nothing to undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What undoes an up part."""

    inverses: tuple[Inverse, ...]  #: last statement of the up part first; those with nothing to undo are left out
    needs_schema: frozenset[int]  #: places in ``up.statements`` of those of which more could be said if the schema before and after them were known

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements, in the order in which they are to run."""
        return tuple(step.sql for inverse in self.inverses for step in inverse.steps if step.sql is not None)

    @property
    def todos(self) -> tuple[str, ...]:
        """What a person must look after, and why."""
        return tuple(step.todo for inverse in self.inverses for step in inverse.steps if step.todo is not None)


def suggest(up: SqlText, *, states: Sequence[SchemaState | None] | None = None, major: int = 18) -> Suggestion:
    """Write the inverse of an up part; does not write anywhere.

    Parameters
    ----------
    up : SqlText
        The up part. It must parse.
    states : sequence of SchemaState, optional
        The schema before each statement of ``up.statements``, and after the last. None in it: not known.
    major : int
        PostgreSQL's version on which the result is to run.

    Returns
    -------
    Suggestion

    Examples
    --------
    >>> from migrollback_nb.sql_text import SqlText
    >>> suggest(SqlText("CREATE TABLE t (a int); CREATE INDEX i ON u (a);")).statements
    ('DROP INDEX IF EXISTS i', 'DROP TABLE IF EXISTS t')
    """
    return _Inverter(up, states, major).suggest()


def unqualify(sql: str, schema: str) -> str:
    """Take a schema off every name that carries it.

    Examples
    --------
    >>> unqualify("DROP INDEX public.i; SELECT nextval('public.s'::regclass), 'public.x'", "public")
    "DROP INDEX i; SELECT nextval('s'::regclass), 'public.x'"
    """
    try:
        tokens = list(postgast.scan(sql).tokens)
    except postgast.PgQueryError:
        return sql
    data = sql.encode()
    prefix = f"{quote(schema)}.".encode()
    cut: list[tuple[int, int]] = []
    for place, token in enumerate(tokens):
        text = data[token.start : token.end]
        if text + b"." == prefix and data[token.end : token.end + 1] == b"." and (place == 0 or data[tokens[place - 1].start : tokens[place - 1].end] != b"."):
            cut.append((token.start, token.end + 1))
        elif text.startswith(b"'" + prefix) and place + 2 < len(tokens) and data[tokens[place + 2].start : tokens[place + 2].end].startswith(b"reg"):
            cut.append((token.start + 1, token.start + 1 + len(prefix)))
    for start, end in reversed(cut):
        data = data[:start] + data[end:]
    return data.decode()


# -- names in a parse tree -------------------------------------------------------------------------------------------------


def _relation(rv: Any) -> str:
    return ".".join(quote(part) for part in (rv.schemaname, rv.relname) if part)


def _strings(nodes: Iterable[Any]) -> list[str]:
    return [node.string.sval for node in nodes]


def _dotted(names: Sequence[str]) -> str:
    return ".".join(quote(name) for name in names)


def _names(node: Any) -> list[str]:
    """The parts of a name, whichever way the parser keeps it."""
    kind = node.WhichOneof("node")
    if kind == "list":
        return [part for item in node.list.items for part in _names(item)]
    if kind == "string":
        return [str(node.string.sval)]
    if kind == "type_name":
        return _strings(node.type_name.names)
    if kind == "object_with_args":
        return _strings(node.object_with_args.objname)
    if kind == "range_var":
        return [part for part in (node.range_var.schemaname, node.range_var.relname) if part]
    return []


def _deparse(kind: str, message: Any) -> str:
    tree = _PB.ParseResult()
    getattr(tree.stmts.add().stmt, kind).CopyFrom(message)
    return str(postgast.deparse(tree))


def _types(types: Iterable[Any]) -> str:
    """Types as SQL writes them, with commas between."""
    statement = _PB.DropStmt(remove_type=_OBJECT.OBJECT_FUNCTION, behavior=_PB.DropBehavior.DROP_RESTRICT)
    found = statement.objects.add().object_with_args
    found.objname.add().string.sval = "f"
    for type_name in types:
        found.objargs.add().type_name.CopyFrom(type_name)
    return _deparse("drop_stmt", statement)[len("DROP FUNCTION f(") : -1]


def _type(type_name: Any) -> str:
    return _types([type_name])


def _arguments(parameters: Iterable[Any]) -> str:
    """Types by which a routine is known, of its parameters."""
    modes = _PB.FunctionParameterMode
    return _types(p.function_parameter.arg_type for p in parameters if p.function_parameter.mode not in (modes.FUNC_PARAM_OUT, modes.FUNC_PARAM_TABLE))


def _procedure_arguments(parameters: Iterable[Any]) -> str:
    """The same of a procedure, whose OUT arguments count."""
    return _types(p.function_parameter.arg_type for p in parameters)


def _option(options: Iterable[Any], name: str) -> Any:
    return next((option.def_elem.arg for option in options if option.def_elem.defname == name), None)


def _referred(node: Any) -> set[str]:
    """Bare names of everything that a statement speaks of: tables, functions, types, and strings, which may name a sequence."""
    found: set[str] = set()
    for rv in postgast.find_nodes(node, _PB.RangeVar):
        found.add(rv.relname)
    for call in postgast.find_nodes(node, _PB.FuncCall):
        found.add(call.funcname[-1].string.sval)
    for type_name in postgast.find_nodes(node, _PB.TypeName):
        if type_name.names:
            found.add(type_name.names[-1].string.sval)
    for constant in postgast.find_nodes(node, _PB.A_Const):
        if constant.sval.sval:
            found.add(constant.sval.sval.split(".")[-1].strip('"'))
    for trigger in postgast.find_nodes(node, _PB.CreateTrigStmt):
        found.add(trigger.funcname[-1].string.sval)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Create:
    """A statement that makes one thing."""

    key: MadeKey  #: what it makes
    drop: str  #: what drops it
    conditional: bool = False  #: IF NOT EXISTS or OR REPLACE: it may have been there
    on: MadeKey | None = None  #: the table that it goes with
    what: str = ""  #: in words
    passing: bool = False  #: it is temporary, and gone with the session
    named: bool = True  #: False: PostgreSQL chooses the name
    more: tuple[MadeKey, ...] = ()  #: further keys by which the same thing is known


class _Inverter:
    def __init__(self, up: SqlText, states: Sequence[SchemaState | None] | None, major: int) -> None:
        self.up = up
        self.statements = up.statements
        self.nodes = [raw.stmt for raw in postgast.parse(up.text).stmts]
        self.states = states
        self.major = major
        self.made: dict[MadeKey, _Made] = {}
        self.named: dict[str, bool] = {}
        self.found: list[Inverse] = []
        self.default_schema = states[0].path[0] if states and states[0] and states[0].path else "public"
        self.path: str | None = None
        self.index = 0
        self.now = Inverse(line=1, steps=())

    def suggest(self) -> Suggestion:
        for index, (node, statement) in enumerate(zip(self.nodes, self.statements, strict=True)):
            self.index = index
            if self._before is not None and self._before.path:
                self.default_schema = self._before.path[0]
            self.now = Inverse(line=statement.line, steps=(), path=self.path)
            self.found.append(self.now)
            kind = str(node.WhichOneof("node"))
            self.now.steps = tuple(self._inverse(kind, getattr(node, kind)))
        inverses = [inverse for inverse in self.found if inverse.steps]
        return Suggestion(
            inverses=tuple(self._under_their_paths(reversed(inverses))),
            needs_schema=frozenset(place for place, inverse in enumerate(self.found) if inverse.needs_schema),
        )

    def _under_their_paths(self, inverses: Iterable[Inverse]) -> Iterable[Inverse]:
        current: str | None = None
        for inverse in inverses:
            if inverse.path != current:
                current = inverse.path
                yield replace(inverse, steps=(Step(sql=current or "SET LOCAL search_path TO DEFAULT"), *inverse.steps))
            else:
                yield inverse

    # -- what is known -------------------------------------------------------------------------------------------------

    @property
    def _before(self) -> SchemaState | None:
        return self.states[self.index] if self.states else None

    @property
    def _after(self) -> SchemaState | None:
        return self.states[self.index + 1] if self.states else None

    def _restored(self, *, concurrently: bool = False) -> list[Step] | None:
        """What brings the schema before this statement back, by what it did; None when that is not known."""
        before, after = self._before, self._after
        if before is None or after is None:
            return None
        steps = schema_ddl.restore(before.objects, after.objects, role=before.role, major=self.major, concurrently=concurrently)
        schema = before.path[0] if before.path else None
        if schema is None or self._names(schema):
            return steps
        return [
            Step(sql=None if step.sql is None else unqualify(step.sql, schema), todo=None if step.todo is None else unqualify(step.todo, schema))
            for step in steps
        ]

    def _names(self, schema: str) -> bool:
        """Whether the up part itself qualifies names by a schema: then so does what undoes it."""
        if schema not in self.named:
            self.named[schema] = unqualify(self.up.text, schema) != self.up.text
        return self.named[schema]

    def _relation_key(self, rv: Any) -> MadeKey:
        return ("relation", rv.schemaname or self.default_schema, rv.relname)

    def _key(self, kind: str, names: Sequence[str]) -> MadeKey:
        return (kind, names[-2] if len(names) > 1 else self.default_schema, names[-1])

    def _refers_to_later(self, node: Any, made: _Made) -> bool:
        """Whether a statement makes an older thing of this up part rest on a younger one, which is dropped first."""
        younger = {other.name for other in self.made.values() if other.index > made.index}
        return bool(younger & _referred(node))

    def _cancel(self, made: _Made) -> None:
        for inverse in self.found:
            if made in inverse.about:
                inverse.steps = ()
                inverse.needs_schema = False
        for key in [key for key, other in self.made.items() if other is made]:
            del self.made[key]

    def _todo(self, text: str) -> list[Step]:
        return [Step(todo=f"line {self.statements[self.index].line}, {text}")]

    # -- one statement -------------------------------------------------------------------------------------------------

    def _inverse(self, kind: str, message: Any) -> list[Step]:
        if kind == "variable_set_stmt":
            self._set(message)
            return []
        if kind in _NO_EFFECT:
            return []
        handler: Callable[[Any], list[Step]] | None = getattr(self, f"_undo_{kind.removesuffix('_stmt')}", None)
        if handler is not None:
            return handler(message)
        create = self._create(kind, message)
        if create is not None:
            return self._unmake(create, message)
        return self._by_state(kind.removesuffix("_stmt").replace("_", " ").upper())

    def _by_state(self, what: str, otherwise: Sequence[Step] = (), *, concurrently: bool = False) -> list[Step]:
        """By what it did where that is known; else what the text lets one guess, with a remark."""
        self.now.needs_schema = True
        known = self._restored(concurrently=concurrently)
        if known is not None:
            return known
        if otherwise:
            return [replace(otherwise[0], todo=f"line {self.now.line}, {what}: check this; what was there before could not be looked up"), *otherwise[1:]]
        return self._todo(f"{what}: write by hand what undoes it; what was there before could not be looked up")

    def _set(self, message: Any) -> None:
        if message.name != "search_path":
            return
        local = _PB.VariableSetStmt()
        local.CopyFrom(message)
        local.is_local = True
        kinds = _PB.VariableSetKind
        if message.kind == kinds.VAR_SET_VALUE:
            self.path = _deparse("variable_set_stmt", local)
            first = message.args[0].a_const.sval.sval
            self.default_schema = first or self.default_schema
        else:
            self.path = None
            self.default_schema = "public"

    # -- things that are made ------------------------------------------------------------------------------------------

    def _unmake(self, create: _Create, message: Any) -> list[Step]:
        if create.passing:
            self.made[create.key] = _Made(self.index, str(create.key[2]))
            return []
        on = self.made.get(create.on) if create.on else None
        was_made = create.key in self.made
        if create.conditional and was_made:
            # its first making is what counts; but it may now rest on what was made since, and go before that
            if self._refers_to_later(message, self.made[create.key]):
                self.now.about = (self.made[create.key],)
                return self._by_state(create.what)
            return []
        known = self._restored(concurrently=" CONCURRENTLY " in create.drop) if create.conditional or not create.named else None
        if create.conditional or not create.named:
            self.now.needs_schema = not (on is not None and not self._refers_to_later(message, on))
        if known is not None and create.conditional:
            before, after = self._before, self._after
            if before is not None and after is not None and not _made_only(before.objects, after.objects):
                return known
        if known == [] and create.conditional:
            return []
        uncertain = create.conditional and known is None
        name = create.key[3] if len(create.key) == 4 and create.key[0] != "routine" else create.key[2]
        made = _Made(self.index, str(name))
        self.now.about = (made,) if on is None else (made, on)
        if not uncertain:  # what stands on a thing that may have been there does not go with it
            self.made.update(dict.fromkeys((create.key, *create.more), made))
        if on is not None and not on.moved and not self._refers_to_later(message, on):
            return []  # it goes with its table
        if known is not None:
            return known if not create.named or len(known) > 1 else [Step(sql=create.drop)]
        if uncertain:
            return self._todo(f"{create.what}: whether it was there before could not be looked up. If it was not: {create.drop};")
        if not create.named:
            return [Step(sql=create.drop, todo=f"line {self.now.line}, {create.what}: PostgreSQL chose the name; check it")]
        return [Step(sql=create.drop)]

    def _create(self, kind: str, m: Any) -> _Create | None:
        """What a CREATE statement makes; None for other statements."""
        schema = self.default_schema
        match kind:
            case "create_stmt":
                return self._table(m.relation, if_not_exists=m.if_not_exists)
            case "create_foreign_table_stmt":
                return self._table(m.base_stmt.relation, if_not_exists=m.base_stmt.if_not_exists, word="FOREIGN TABLE")
            case "create_table_as_stmt":
                word = "MATERIALIZED VIEW" if m.objtype == _OBJECT.OBJECT_MATVIEW else "TABLE"
                return self._table(m.into.rel, if_not_exists=m.if_not_exists, word=word)
            case "view_stmt":
                return self._table(m.view, if_not_exists=m.replace, word="VIEW")
            case "create_seq_stmt":
                return self._table(m.sequence, if_not_exists=m.if_not_exists, word="SEQUENCE")
            case "index_stmt":
                name = m.idxname or default_name(m.relation.relname, _index_columns(m), "key" if m.unique and m.isconstraint else "idx")
                full = _dotted([part for part in (m.relation.schemaname, name) if part])
                concurrently = " CONCURRENTLY" if m.concurrent else ""
                return _Create(
                    key=("relation", m.relation.schemaname or schema, name), drop=f"DROP INDEX{concurrently} IF EXISTS {full}", conditional=m.if_not_exists,
                    on=self._relation_key(m.relation), what=f"CREATE INDEX {full}", named=bool(m.idxname),
                )  # fmt: skip
            case "create_function_stmt":
                names = _strings(m.funcname)
                word = "PROCEDURE" if m.is_procedure else "FUNCTION"
                arguments = _procedure_arguments(m.parameters) if m.is_procedure else _arguments(m.parameters)
                full = f"{_dotted(names)}({arguments})"
                return _Create(
                    key=("routine", names[-2] if len(names) > 1 else schema, names[-1], arguments), drop=f"DROP {word} IF EXISTS {full}",
                    conditional=m.replace, what=f"CREATE {word} {full}",
                )  # fmt: skip
            case "create_trig_stmt":
                return self._on_table("TRIGGER", m.trigname, m.relation, conditional=m.replace)
            case "create_policy_stmt":
                return self._on_table("POLICY", m.policy_name, m.table)
            case "rule_stmt":
                return self._on_table("RULE", m.rulename, m.relation, conditional=m.replace)
            case "create_extension_stmt":
                return self._plain("EXTENSION", m.extname, conditional=m.if_not_exists)
            case "create_event_trig_stmt":
                return self._plain("EVENT TRIGGER", m.trigname)
            case "create_publication_stmt":
                return self._plain("PUBLICATION", m.pubname)
            case "create_subscription_stmt":
                return self._plain("SUBSCRIPTION", m.subname)
            case "create_fdw_stmt":
                return self._plain("FOREIGN DATA WRAPPER", m.fdwname)
            case "create_foreign_server_stmt":
                return self._plain("SERVER", m.servername, conditional=m.if_not_exists)
            case "create_plang_stmt":
                return self._plain("LANGUAGE", m.plname, conditional=m.replace)
            case "create_am_stmt":
                return self._plain("ACCESS METHOD", m.amname)
            case "create_table_space_stmt":
                return self._plain("TABLESPACE", m.tablespacename)
            case "createdb_stmt":
                return self._plain("DATABASE", m.dbname)
            case "create_role_stmt":
                return self._plain("ROLE", m.role)
            case "create_user_mapping_stmt":
                words = f"USER MAPPING IF EXISTS FOR {_role(m.user)} SERVER {quote(m.servername)}"
                return _Create(
                    key=("user mapping", m.servername, _role(m.user)), drop=f"DROP {words}", conditional=m.if_not_exists,
                    what=f"CREATE USER MAPPING FOR {_role(m.user)} SERVER {quote(m.servername)}",
                )  # fmt: skip
            case "create_enum_stmt" | "create_range_stmt":
                return self._named_type("TYPE", _strings(m.type_name))
            case "composite_type_stmt":
                return self._named_type("TYPE", [part for part in (m.typevar.schemaname, m.typevar.relname) if part])
            case "create_domain_stmt":
                return self._named_type("DOMAIN", _strings(m.domainname))
            case "create_stats_stmt":
                names = _strings(m.defnames)
                if not names:
                    table = m.relations[0].range_var
                    columns = [e.stats_elem.name or "expr" for e in m.exprs]
                    names = [part for part in (table.schemaname, default_name(table.relname, columns, "stat")) if part]
                return _Create(
                    key=self._key("statistics", names), drop=f"DROP STATISTICS IF EXISTS {_dotted(names)}", conditional=m.if_not_exists,
                    on=self._relation_key(m.relations[0].range_var), what=f"CREATE STATISTICS {_dotted(names)}", named=bool(m.defnames),
                )  # fmt: skip
            case "create_cast_stmt":
                words = f"CAST ({_type(m.sourcetype)} AS {_type(m.targettype)})"
                return _Create(key=("cast", None, words), drop=f"DROP CAST IF EXISTS {words[5:]}", what=f"CREATE {words}")
            case "create_conversion_stmt":
                return self._schema_thing("CONVERSION", _strings(m.conversion_name))
            case "create_transform_stmt":
                words = f"FOR {_type(m.type_name)} LANGUAGE {quote(m.lang)}"
                return _Create(
                    key=("transform", None, words), drop=f"DROP TRANSFORM IF EXISTS {words}", conditional=m.replace, what=f"CREATE TRANSFORM {words}"
                )
            case "create_op_class_stmt":
                return self._schema_thing("OPERATOR CLASS", _strings(m.opclassname), behind=f" USING {quote(m.amname)}")
            case "create_op_family_stmt":
                return self._schema_thing("OPERATOR FAMILY", _strings(m.opfamilyname), behind=f" USING {quote(m.amname)}")
            case "define_stmt":
                return self._define(m)
        return None

    def _table(self, rv: Any, *, if_not_exists: bool, word: str = "TABLE") -> _Create:
        name = _relation(rv)
        return _Create(
            key=self._relation_key(rv), drop=f"DROP {word} IF EXISTS {name}", conditional=if_not_exists, what=f"CREATE {word} {name}",
            passing=rv.relpersistence == "t", more=(("type", rv.schemaname or self.default_schema, rv.relname),),
        )  # fmt: skip

    def _on_table(self, word: str, name: str, rv: Any, *, conditional: bool = False) -> _Create:
        words = f"{quote(name)} ON {_relation(rv)}"
        return _Create(
            key=(word.lower(), *self._relation_key(rv)[1:], name), drop=f"DROP {word} IF EXISTS {words}", conditional=conditional, on=self._relation_key(rv),
            what=f"CREATE {word} {words}",
        )  # fmt: skip

    def _plain(self, word: str, name: str, *, conditional: bool = False) -> _Create:
        return _Create(
            key=(word.lower(), None, name), drop=f"DROP {word} IF EXISTS {quote(name)}", conditional=conditional, what=f"CREATE {word} {quote(name)}"
        )

    def _named_type(self, word: str, names: Sequence[str]) -> _Create:
        return _Create(key=self._key("type", names), drop=f"DROP {word} IF EXISTS {_dotted(names)}", what=f"CREATE {word} {_dotted(names)}")

    def _schema_thing(self, word: str, names: Sequence[str], *, behind: str = "", conditional: bool = False) -> _Create:
        return _Create(
            key=self._key(word.lower(), names),
            drop=f"DROP {word} IF EXISTS {_dotted(names)}{behind}",
            conditional=conditional,
            what=f"CREATE {word} {_dotted(names)}",
        )

    def _define(self, m: Any) -> _Create | None:
        names = _strings(m.defnames)
        conditional = m.replace or m.if_not_exists
        match m.kind:
            case _OBJECT.OBJECT_AGGREGATE:
                if m.oldstyle:
                    base = _option(m.definition, "basetype")
                    arguments = _type(base.type_name) if base is not None and base.WhichOneof("node") == "type_name" else "*"
                else:
                    parameters = m.args[0].list.items if m.args else []
                    arguments = _arguments(parameters) or "*"
                full = f"{_dotted(names)}({arguments})"
                return _Create(key=("routine", names[-2] if len(names) > 1 else self.default_schema, names[-1], arguments), drop=f"DROP AGGREGATE IF EXISTS {full}", conditional=conditional, what=f"CREATE AGGREGATE {full}")  # fmt: skip
            case _OBJECT.OBJECT_OPERATOR:
                sides = [_option(m.definition, side) for side in ("leftarg", "rightarg")]
                types = ", ".join("NONE" if side is None else _type(side.type_name) for side in sides)
                full = "".join(f"{quote(part)}." for part in names[:-1]) + names[-1]
                return _Create(key=("operator", None, f"{full}({types})"), drop=f"DROP OPERATOR IF EXISTS {full} ({types})", what=f"CREATE OPERATOR {full}")
            case _OBJECT.OBJECT_TYPE:
                return self._named_type("TYPE", names)
            case _OBJECT.OBJECT_COLLATION:
                return self._schema_thing("COLLATION", names, conditional=conditional)
            case _OBJECT.OBJECT_TSCONFIGURATION:
                return self._schema_thing("TEXT SEARCH CONFIGURATION", names)
            case _OBJECT.OBJECT_TSDICTIONARY:
                return self._schema_thing("TEXT SEARCH DICTIONARY", names)
            case _OBJECT.OBJECT_TSPARSER:
                return self._schema_thing("TEXT SEARCH PARSER", names)
            case _OBJECT.OBJECT_TSTEMPLATE:
                return self._schema_thing("TEXT SEARCH TEMPLATE", names)
        return None

    def _undo_create_schema(self, m: Any) -> list[Step]:
        name = m.schemaname or _role(m.authrole)
        inside: list[Step] = []
        create = _Create(
            key=("schema", None, name),
            drop=f"DROP SCHEMA IF EXISTS {quote(m.schemaname) if m.schemaname else name}",
            conditional=m.if_not_exists,
            what=f"CREATE SCHEMA {name}",
        )
        steps = self._unmake(create, m)
        outside, self.default_schema = self.default_schema, name
        for element in m.schema_elts:
            made = self._create(str(element.WhichOneof("node")), getattr(element, str(element.WhichOneof("node"))))
            if made is not None:
                self.made[made.key] = _Made(self.index, str(made.key[2]))
                if made.on is None or made.on not in self.made:
                    drop = made.drop.split(" IF EXISTS ")
                    # inside CREATE SCHEMA names need no schema; outside they do
                    full = drop[1] if made.key[1] is None or drop[1].startswith(f"{quote(name)}.") else f"{quote(name)}.{drop[1]}"
                    inside.insert(0, Step(sql=f"{drop[0]} IF EXISTS {full}"))
        self.default_schema = outside
        return inside + steps if len(steps) == 1 and steps[0].sql == create.drop else steps

    # -- things that are dropped ---------------------------------------------------------------------------------------

    def _undo_drop(self, m: Any) -> list[Step]:
        word = _OBJECT.Name(m.remove_type).removeprefix("OBJECT_").replace("_", " ").replace("MATVIEW", "MATERIALIZED VIEW")
        made = [self._made_by_name(m.remove_type, item) for item in m.objects]
        left = [item for item, own in zip(m.objects, made, strict=True) if own is None]
        if left:
            self.now.needs_schema = True
            known = self._restored(concurrently=m.concurrent)
            if known is not None:
                return known  # which makes anew what this up part made as well: the inverse of that stays
        for own in made:
            if own is not None:
                self._cancel(own)
        if not left:
            return []
        found = []
        for item in reversed(left):
            lost = " Its rows went with it." if m.remove_type == _OBJECT.OBJECT_TABLE else ""
            found += self._todo(f"DROP {word} {_item(m.remove_type, item)}: write by hand what brings it back; what it was could not be looked up.{lost}")
        return found

    def _made_by_name(self, kind: int, item: Any) -> _Made | None:
        names = _names(item)
        if not names:
            return None
        match kind:
            case (
                _OBJECT.OBJECT_TABLE
                | _OBJECT.OBJECT_VIEW
                | _OBJECT.OBJECT_MATVIEW
                | _OBJECT.OBJECT_SEQUENCE
                | _OBJECT.OBJECT_INDEX
                | _OBJECT.OBJECT_FOREIGN_TABLE
            ):
                return self.made.get(self._key("relation", names))
            case _OBJECT.OBJECT_FUNCTION | _OBJECT.OBJECT_PROCEDURE | _OBJECT.OBJECT_ROUTINE | _OBJECT.OBJECT_AGGREGATE:
                wanted = item.object_with_args
                key = ("routine", names[-2] if len(names) > 1 else self.default_schema, names[-1])
                arguments = _types(argument.type_name for argument in wanted.objargs)
                return next(
                    (made for other, made in self.made.items() if other[:3] == key and (wanted.args_unspecified or other[3] in (arguments, arguments or "*"))),
                    None,
                )
            case _OBJECT.OBJECT_TYPE | _OBJECT.OBJECT_DOMAIN:
                return self.made.get(self._key("type", names))
            case _OBJECT.OBJECT_TRIGGER | _OBJECT.OBJECT_POLICY | _OBJECT.OBJECT_RULE:
                word = _OBJECT.Name(kind).removeprefix("OBJECT_").lower()
                return self.made.get((word, names[-3] if len(names) > 2 else self.default_schema, names[-2], names[-1]))
            case _OBJECT.OBJECT_STATISTIC_EXT:
                return self.made.get(self._key("statistics", names))
            case _OBJECT.OBJECT_SCHEMA | _OBJECT.OBJECT_EXTENSION | _OBJECT.OBJECT_PUBLICATION | _OBJECT.OBJECT_EVENT_TRIGGER | _OBJECT.OBJECT_LANGUAGE:
                return self.made.get((_OBJECT.Name(kind).removeprefix("OBJECT_").replace("_", " ").lower(), None, names[-1]))
            case _OBJECT.OBJECT_COLLATION:
                return self.made.get(self._key("collation", names))
        return None

    def _undo_drop_role(self, m: Any) -> list[Step]:
        return self._todo(
            f"DROP ROLE {', '.join(_role(item.role_spec) for item in m.roles)}: roles belong to the whole server; write CREATE ROLE and its grants by hand"
        )

    def _undo_alter_role(self, m: Any) -> list[Step]:
        return self._todo(f"ALTER ROLE {_role(m.role)}: roles belong to the whole server, and what this one was is not kept")

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _rows(self, what: str, rv: Any, why: str) -> list[Step]:
        if self._relation_key(rv) in self.made or rv.relpersistence == "t":
            return []
        return self._todo(f"{what} {_relation(rv)}: {why}")

    def _undo_insert(self, m: Any) -> list[Step]:
        return self._rows("INSERT INTO", m.relation, "a DELETE that finds just these rows has to be written by hand")

    def _undo_update(self, m: Any) -> list[Step]:
        key = self._relation_key(m.relation)
        if all(("column", *key[1:], target.res_target.name) in self.made for target in m.target_list):
            return []  # the columns go, and their values with them
        return self._rows("UPDATE", m.relation, "what the rows held before is not kept; keep it in a table of its own first, if it must come back")

    def _undo_delete(self, m: Any) -> list[Step]:
        return self._rows("DELETE FROM", m.relation, "deleted rows are not kept; keep them in a table of their own first, if they must come back")

    def _undo_merge(self, m: Any) -> list[Step]:
        return self._rows("MERGE INTO", m.relation, "what the rows held before is not kept")

    def _undo_truncate(self, m: Any) -> list[Step]:
        return [step for table in reversed(m.relations) for step in self._rows("TRUNCATE", table.range_var, "the rows are not kept")]

    def _undo_copy(self, m: Any) -> list[Step]:
        return self._rows("COPY", m.relation, "a DELETE that finds just these rows has to be written by hand") if m.is_from else []

    def _undo_select(self, m: Any) -> list[Step]:
        if m.HasField("into_clause"):
            rv = m.into_clause.rel
            return self._unmake(self._table(rv, if_not_exists=False), m)
        for word, statement in (("INSERT INTO", _PB.InsertStmt), ("UPDATE", _PB.UpdateStmt), ("DELETE FROM", _PB.DeleteStmt)):
            for inner in postgast.find_nodes(m, statement):
                return self._rows(word, inner.relation, "rows are changed inside a WITH; what they were is not kept")
        called = {call.funcname[-1].string.sval: _dotted(_strings(call.funcname)) for call in postgast.find_nodes(m, _PB.FuncCall)}
        if "set_config" in called:
            self._set_by_function(m)
        if not set(called) - _HARMLESS:
            return []
        if "setval" in called:
            return self._todo("SELECT setval(): what the sequence had reached is not kept")
        # what it did to the schema, where that is known; what it did to rows is not
        return self._opaque(f"SELECT {', '.join(sorted(set(called.values())))}()", "a function that is called can change anything")

    def _set_by_function(self, m: Any) -> None:
        for call in postgast.find_nodes(m, _PB.FuncCall):
            values = [argument.a_const for argument in call.args]
            if len(values) == 3 and values[0].sval.sval == "search_path":
                path = values[1].sval.sval
                self.path = f"SET LOCAL search_path TO {path}" if path else "SET LOCAL search_path TO ''"
                self.default_schema = path.split(",")[0].strip().strip('"') or "public"

    def _undo_do(self, _: Any) -> list[Step]:
        return self._opaque("DO block", "its code can change anything")

    def _undo_call(self, m: Any) -> list[Step]:
        return self._opaque(f"CALL {_dotted(_strings(m.funccall.funcname))}", "a procedure can change anything")

    def _undo_execute(self, m: Any) -> list[Step]:
        return self._opaque(f"EXECUTE {quote(m.name)}", "a prepared statement can change anything")

    def _opaque(self, what: str, why: str) -> list[Step]:
        self.now.needs_schema = True
        known = self._restored()
        if known is None:
            return self._todo(f"{what}: {why}; write by hand what undoes it")
        if known:
            return [*self._todo(f"{what}: {why}. What follows undoes what it did to the schema on the scratch database; rows are not looked at"), *known]
        return self._todo(f"{what}: {why}. On the scratch database it left the schema as it was; rows are not looked at")

    # -- names ---------------------------------------------------------------------------------------------------------

    def _undo_rename(self, m: Any) -> list[Step]:
        before, after = self._before, self._after
        if before is not None and after is not None and before.objects == after.objects and m.rename_type not in (_OBJECT.OBJECT_ROLE, _OBJECT.OBJECT_DATABASE):
            return []  # IF EXISTS, and it did not
        back = _PB.RenameStmt()
        back.CopyFrom(m)
        inside = False
        match m.rename_type:
            case (
                _OBJECT.OBJECT_TABLE
                | _OBJECT.OBJECT_VIEW
                | _OBJECT.OBJECT_MATVIEW
                | _OBJECT.OBJECT_SEQUENCE
                | _OBJECT.OBJECT_INDEX
                | _OBJECT.OBJECT_FOREIGN_TABLE
            ):
                back.relation.relname, back.newname = m.newname, m.relation.relname
                back.missing_ok = True
                self._rename_made(self._relation_key(m.relation), m.newname)
                self._rename_made(("type", *self._relation_key(m.relation)[1:]), m.newname)
            case (
                _OBJECT.OBJECT_COLUMN
                | _OBJECT.OBJECT_TABCONSTRAINT
                | _OBJECT.OBJECT_TRIGGER
                | _OBJECT.OBJECT_POLICY
                | _OBJECT.OBJECT_RULE
                | _OBJECT.OBJECT_ATTRIBUTE
            ):
                back.subname, back.newname = m.newname, m.subname
                key = self._relation_key(m.relation)
                inside = key in self.made
                part = {_OBJECT.OBJECT_ATTRIBUTE: "column", _OBJECT.OBJECT_TABCONSTRAINT: "constraint"}.get(
                    m.rename_type, _OBJECT.Name(m.rename_type).removeprefix("OBJECT_").lower()
                )
                self._rename_made((part, *key[1:], m.subname), m.newname)
                if inside:
                    self.now.about = (*self.now.about, self.made[key])
            case _OBJECT.OBJECT_SCHEMA | _OBJECT.OBJECT_ROLE | _OBJECT.OBJECT_DATABASE | _OBJECT.OBJECT_TABLESPACE:
                back.subname, back.newname = m.newname, m.subname
                if m.rename_type == _OBJECT.OBJECT_SCHEMA:
                    self._rename_made(("schema", None, m.subname), m.newname)
            case _OBJECT.OBJECT_DOMCONSTRAINT:
                back.subname, back.newname = m.newname, m.subname
            case _:
                names = _names(m.object)
                if not names:
                    return self._by_state("RENAME")
                last = _last_string(back.object)
                back.newname, last.sval = last.sval, m.newname
                if m.rename_type in (_OBJECT.OBJECT_TYPE, _OBJECT.OBJECT_DOMAIN):
                    self._rename_made(self._key("type", names), m.newname)
                if m.rename_type in (_OBJECT.OBJECT_FUNCTION, _OBJECT.OBJECT_PROCEDURE, _OBJECT.OBJECT_AGGREGATE, _OBJECT.OBJECT_ROUTINE):
                    for key in [key for key in self.made if key[0] == "routine" and key[2] == names[-1]]:
                        self._rename_made(key, m.newname)
        return [] if inside else [Step(sql=_deparse("rename_stmt", back))]

    def _rename_made(self, key: MadeKey, name: str) -> None:
        made = self.made.pop(key, None)
        if made is not None:
            self.now.about = (*self.now.about, made)
            at = 3 if key[0] in ("column", "constraint", "trigger", "policy", "rule") else 2
            self.made[(*key[:at], name, *key[at + 1 :])] = made
        if key[0] == "relation":
            for other in [other for other in self.made if len(other) == 4 and other[0] != "routine" and other[1:3] == key[1:3]]:
                self.made[other[0], other[1], name, other[3]] = self.made.pop(other)

    def _undo_alter_object_schema(self, m: Any) -> list[Step]:
        before, after = self._before, self._after
        if before is not None and after is not None and before.objects == after.objects:
            return []
        back = _PB.AlterObjectSchemaStmt()
        back.CopyFrom(m)
        names = [part for part in (m.relation.schemaname, m.relation.relname) if part] if m.HasField("relation") else _names(m.object)
        if m.object_type == _OBJECT.OBJECT_EXTENSION:
            return self._by_state(f"ALTER EXTENSION {quote(names[-1])} SET SCHEMA {quote(m.newschema)}")
        guessed = len(names) < 2
        old = self.default_schema if guessed else names[-2]
        if guessed and before is not None:
            old = next((schema for schema in before.path if _is_there(before.objects, schema, names[-1])), old)
        back.newschema = old
        if m.HasField("relation"):
            back.relation.schemaname = m.newschema
            back.missing_ok = True
            self._move_made(self._relation_key(m.relation), m.newschema)
            self._move_made(("type", *self._relation_key(m.relation)[1:]), m.newschema)
        else:
            _set_schema(back.object, m.newschema)
            for kind in ("type", "routine"):
                for key in [key for key in self.made if key[0] == kind and key[1:3] == (old, names[-1])]:
                    self._move_made(key, m.newschema)
        self.now.needs_schema = guessed
        todo = (
            f"line {self.now.line}, SET SCHEMA: check that it was in schema {quote(old)}; that could not be looked up" if guessed and before is None else None
        )
        return [Step(sql=_deparse("alter_object_schema_stmt", back), todo=todo)]

    def _move_made(self, key: MadeKey, schema: str) -> None:
        made = self.made.pop(key, None)
        if made is not None:
            made.moved = True
            self.now.about = (*self.now.about, made)
            self.made[(key[0], schema, *key[2:])] = made

    # -- ALTER TABLE ---------------------------------------------------------------------------------------------------

    def _undo_alter_table(self, m: Any) -> list[Step]:
        key = self._relation_key(m.relation)
        if m.objtype == _OBJECT.OBJECT_TYPE:
            key = ("type", *key[1:])
        made = self.made.get(key)
        word = _RELATION_WORDS.get(m.objtype, "TABLE")
        name = _relation(m.relation)
        table = f"ALTER {word} {name}"
        left = []
        dropped_again: list[_Made] = []
        concurrently = False
        for item in m.cmds:
            c = item.alter_table_cmd
            definition = getattr(c, "def")
            if c.subtype == _AT.AT_AddColumn and not c.missing_ok:
                self.made[("column", *key[1:], definition.column_def.colname)] = _Made(self.index, definition.column_def.colname)
            if definition.WhichOneof("node") == "partition_cmd":
                concurrently = concurrently or definition.partition_cmd.concurrent
            if made is not None and not self._refers_to_later(item, made):
                continue  # it goes with its table
            column = self.made.get(("column", *key[1:], c.name)) if c.name else None
            if column is not None and _is_of_column(c.subtype):
                if c.subtype == _AT.AT_DropColumn:
                    dropped_again.append(column)
                continue
            left.append(c)
        self.now.about = (made,) if made is not None else ()
        certain = [self._certain(table, c) for c in left]
        guesses = [[] if sure else self._guess(table, c, made=made is not None) for c, sure in zip(left, certain, strict=True)]
        if any(guess and (made is None or guess[0].sql is None) for guess in guesses):
            self.now.needs_schema = True
            known = self._restored(concurrently=concurrently)
            if known is not None:
                return known
        for column in dropped_again:
            self._cancel(column)
        found: list[Step] = []
        for c, sure, guess in zip(reversed(left), reversed(certain), reversed(guesses), strict=True):
            if sure:
                column_added = self.made.get(("column", *key[1:], getattr(c, "def").column_def.colname)) if c.subtype == _AT.AT_AddColumn else None
                self.now.about = (*self.now.about, column_added) if column_added is not None and len(left) == 1 else self.now.about
                found += sure
            else:
                found += guess
        return found

    def _certain(self, table: str, c: Any) -> list[Step]:
        """What undoes one action of ALTER TABLE whatever was there before; nothing where that cannot be said."""
        definition = getattr(c, "def")
        match c.subtype:
            case _AT.AT_AddColumn if not c.missing_ok:
                part = "ATTRIBUTE" if table.startswith("ALTER TYPE") else "COLUMN"
                return [Step(sql=f"{table} DROP {part} IF EXISTS {quote(definition.column_def.colname)}")]
            case _AT.AT_AddConstraint if definition.constraint.conname:
                constraint = definition.constraint
                if constraint.contype in (_CONSTRAINT.CONSTR_CHECK, _CONSTRAINT.CONSTR_FOREIGN, _CONSTRAINT.CONSTR_EXCLUSION) or (
                    constraint.contype == _CONSTRAINT.CONSTR_UNIQUE and not constraint.indexname
                ):
                    return [Step(sql=f"{table} DROP CONSTRAINT IF EXISTS {quote(constraint.conname)}")]
            case _AT.AT_AddInherit:
                return [Step(sql=f"{table} NO INHERIT {_relation(definition.range_var)}")]
            case _AT.AT_DropInherit:
                parent = _relation(definition.range_var)
                return [
                    Step(
                        sql=f"{table} INHERIT {parent}",
                        todo=f"columns that {table.split(' ', 2)[2]} had from {parent} only stay its own: that cannot be brought back",
                    )
                ]
        return []

    def _guess(self, table: str, c: Any, *, made: bool) -> list[Step]:
        """What undoes one action where the schema before is not known; made: the table goes as well, so it need only be let go."""
        definition = getattr(c, "def")
        column = f"ALTER COLUMN {quote(c.name)}" if c.name else ""
        action = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _AT.Name(c.subtype).removeprefix("AT_")).upper()
        what = f"{table}, {action}" + (f" {quote(c.name)}" if c.name else "")
        sql = None
        match c.subtype:
            case _AT.AT_ColumnDefault:
                if definition.WhichOneof("node"):
                    sql = f"{table} {column} DROP DEFAULT"
            case _AT.AT_SetNotNull:
                sql = f"{table} {column} DROP NOT NULL"
            case _AT.AT_DropNotNull:
                sql = f"{table} {column} SET NOT NULL"
            case _AT.AT_AddIdentity:
                sql = f"{table} {column} DROP IDENTITY IF EXISTS"
            case _AT.AT_AddConstraint:
                constraint = definition.constraint
                name = constraint.conname or _constraint_name(table.rsplit(" ", 1)[-1], constraint)
                sql = f"{table} DROP CONSTRAINT IF EXISTS {quote(name)}"
            case _AT.AT_AttachPartition:
                made = True
                sql = f"{table} DETACH PARTITION {_relation(definition.partition_cmd.name)}"
            case _ if c.subtype in _FLAGS:
                sql = f"{table} {_FLAGS[c.subtype]}"
            case _ if c.subtype in _TRIGGERS:
                sql = f"{table} {_TRIGGERS[c.subtype]} {quote(c.name)}"
        if sql is None:
            lost = " Its values went with it." if c.subtype == _AT.AT_DropColumn else ""
            return self._todo(f"{what}: write by hand what undoes it; what was there before could not be looked up.{lost}")
        return [Step(sql=sql, todo=None if made else f"line {self.now.line}, {what}: check this; what was there before could not be looked up")]

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _on_made(self, kind: int, item: Any) -> bool:
        """Whether a comment, grant or owner is on something that this up part makes, and goes with it."""
        names = _names(item)
        if kind in (_OBJECT.OBJECT_COLUMN, _OBJECT.OBJECT_TABCONSTRAINT) and len(names) > 1:
            table = ("relation", names[-3] if len(names) > 2 else self.default_schema, names[-2])
            return table in self.made or ("column", *table[1:], names[-1]) in self.made
        if kind in (_OBJECT.OBJECT_TRIGGER, _OBJECT.OBJECT_POLICY, _OBJECT.OBJECT_RULE) and len(names) > 1:
            return ("relation", names[-3] if len(names) > 2 else self.default_schema, names[-2]) in self.made or self._made_by_name(kind, item) is not None
        return self._made_by_name(kind, item) is not None

    def _undo_comment(self, m: Any) -> list[Step]:
        if self._on_made(m.objtype, m.object):
            return []
        back = _PB.CommentStmt()
        back.CopyFrom(m)
        back.comment = ""
        return self._by_state("COMMENT", [Step(sql=_deparse("comment_stmt", back))])

    def _undo_grant(self, m: Any) -> list[Step]:
        if m.targtype == _PB.GrantTargetType.ACL_TARGET_OBJECT and all(self._on_made(m.objtype, item) for item in m.objects):
            return []
        return self._by_state("GRANT" if m.is_grant else "REVOKE", [Step(sql=_deparse("grant_stmt", _turned(m)))])

    def _undo_grant_role(self, m: Any) -> list[Step]:
        back = _PB.GrantRoleStmt()
        back.CopyFrom(m)
        back.is_grant = not m.is_grant
        del back.opt[:]
        todo = (
            f"line {self.now.line}, {'GRANT' if m.is_grant else 'REVOKE'} of a role: check this; memberships belong to the whole server and are not looked at"
        )
        return [Step(sql=_deparse("grant_role_stmt", back), todo=todo)]

    def _undo_alter_default_privileges(self, m: Any) -> list[Step]:
        back = _PB.AlterDefaultPrivilegesStmt()
        back.CopyFrom(m)
        back.action.CopyFrom(_turned(m.action))
        return self._by_state("ALTER DEFAULT PRIVILEGES", [Step(sql=_deparse("alter_default_privileges_stmt", back))])

    def _undo_alter_owner(self, m: Any) -> list[Step]:
        if (m.relation.relname and self._relation_key(m.relation) in self.made) or (m.HasField("object") and self._on_made(m.object_type, m.object)):
            return []
        return self._by_state("OWNER TO")

    def _undo_alter_seq(self, m: Any) -> list[Step]:
        name = _relation(m.sequence)
        if self._relation_key(m.sequence) in self.made:
            return []
        words = {option.def_elem.defname for option in m.options}
        data = self._todo(f"ALTER SEQUENCE {name} RESTART: what the sequence had reached is not kept; set it with setval()") if "restart" in words else []
        return data + (self._by_state(f"ALTER SEQUENCE {name}") if words - {"restart"} else [])

    def _undo_alter_enum(self, m: Any) -> list[Step]:
        names = _strings(m.type_name)
        if self._key("type", names) in self.made:
            return []
        if m.old_val:
            back = _PB.AlterEnumStmt()
            back.CopyFrom(m)
            back.old_val, back.new_val = m.new_val, m.old_val
            return [Step(sql=_deparse("alter_enum_stmt", back))]
        before, after = self._before, self._after
        if before is not None and after is not None and before.objects == after.objects:
            return []
        return self._todo(
            f"ALTER TYPE {_dotted(names)} ADD VALUE {schema_ddl.literal(m.new_val)}: PostgreSQL cannot take a value out of an enum. "
            "The type would have to be made anew without it, once no row holds it; left alone it does no harm"
        )

    def _undo_alter_publication(self, m: Any) -> list[Step]:
        actions = _PB.AlterPublicationAction
        if m.action in (actions.AP_AddObjects, actions.AP_DropObjects) and m.pubobjects:
            back = _PB.AlterPublicationStmt()
            back.CopyFrom(m)
            back.action = actions.AP_DropObjects if m.action == actions.AP_AddObjects else actions.AP_AddObjects
            if m.action == actions.AP_AddObjects:
                for published in back.pubobjects:
                    published.publication_obj_spec.pubtable.ClearField("where_clause")
                    del published.publication_obj_spec.pubtable.columns[:]
                return [Step(sql=_deparse("alter_publication_stmt", back))]
            return self._by_state("ALTER PUBLICATION", [Step(sql=_deparse("alter_publication_stmt", back))])
        return self._by_state(f"ALTER PUBLICATION {quote(m.pubname)}")

    def _undo_alter_extension_contents(self, m: Any) -> list[Step]:
        back = _PB.AlterExtensionContentsStmt()
        back.CopyFrom(m)
        back.action = -m.action
        return [Step(sql=_deparse("alter_extension_contents_stmt", back))]

    def _undo_alter_object_depends(self, m: Any) -> list[Step]:
        back = _PB.AlterObjectDependsStmt()
        back.CopyFrom(m)
        back.remove = not m.remove
        return [Step(sql=_deparse("alter_object_depends_stmt", back))]

    def _undo_alter_system(self, m: Any) -> list[Step]:
        name = m.setstmt.name
        return [Step(sql=f"ALTER SYSTEM RESET {name}", todo=f"line {self.now.line}, ALTER SYSTEM: check this; what {name} was is not kept")]

    def _undo_alter_database_set(self, m: Any) -> list[Step]:
        sql = f"ALTER DATABASE {quote(m.dbname)} RESET {m.setstmt.name}"
        return [Step(sql=sql, todo=f"line {self.now.line}, ALTER DATABASE SET: check this; what {m.setstmt.name} was is not kept")]

    def _undo_alter_role_set(self, m: Any) -> list[Step]:
        who = _role(m.role) if m.HasField("role") else "ALL"
        where = f" IN DATABASE {quote(m.database)}" if m.database else ""
        sql = f"ALTER ROLE {who}{where} RESET {m.setstmt.name}"
        return [Step(sql=sql, todo=f"line {self.now.line}, ALTER ROLE SET: check this; what {m.setstmt.name} was is not kept")]


def _made_only(old: Objects, new: Objects) -> bool:
    """Whether nothing that was there is gone or other than it was."""
    return all(new.get(kind, {}).get(identity) == d for kind, found in old.items() for identity, d in found.items())


def _is_there(objects: Objects, schema: str, name: str) -> bool:
    identity = f"{quote(schema)}.{quote(name)}"
    return any(other == identity or other.startswith(identity + "(") for kind, found in objects.items() if kind not in ("comment", "grant") for other in found)


def _is_of_column(subtype: int) -> bool:
    name = _AT.Name(subtype)
    return subtype == _AT.AT_DropColumn or "Column" in name or "NotNull" in name or "Identity" in name or name in ("AT_SetStatistics", "AT_SetOptions", "AT_ResetOptions", "AT_SetStorage", "AT_SetCompression", "AT_SetExpression", "AT_DropExpression")  # fmt: skip


def _index_columns(m: Any) -> list[str]:
    found = []
    for parameter in m.index_params:
        element = parameter.index_elem
        call = element.expr.func_call
        found.append(element.name or (call.funcname[-1].string.sval if call.funcname else "expr"))
    return found


def _constraint_name(table: str, m: Any) -> str:
    """Name that PostgreSQL gives a constraint that has none, unless that is taken."""
    match m.contype:
        case _CONSTRAINT.CONSTR_PRIMARY:
            return default_name(table, [], "pkey")
        case _CONSTRAINT.CONSTR_UNIQUE:
            return default_name(table, _strings(m.keys), "key")
        case _CONSTRAINT.CONSTR_FOREIGN:
            return default_name(table, _strings(m.fk_attrs), "fkey")
        case _CONSTRAINT.CONSTR_NOTNULL:
            return default_name(table, _strings(m.keys), "not_null")
        case _CONSTRAINT.CONSTR_EXCLUSION:
            return default_name(table, [e.list.items[0].index_elem.name or "expr" for e in m.exclusions], "excl")
    columns = {column.fields[-1].string.sval for column in postgast.find_nodes(m, _PB.ColumnRef)}
    return default_name(table, list(columns) if len(columns) == 1 else [], "check")


def _role(spec: Any) -> str:
    kinds = _PB.RoleSpecType
    words = {kinds.ROLESPEC_CURRENT_USER: "CURRENT_USER", kinds.ROLESPEC_SESSION_USER: "SESSION_USER", kinds.ROLESPEC_CURRENT_ROLE: "CURRENT_ROLE", kinds.ROLESPEC_PUBLIC: "PUBLIC"}  # fmt: skip
    return words.get(spec.roletype) or quote(spec.rolename)


def _turned(m: Any) -> Any:
    """A GRANT as a REVOKE, and the other way round."""
    back = _PB.GrantStmt()
    back.CopyFrom(m)
    back.is_grant = not m.is_grant
    if m.is_grant:
        back.grant_option = False
    back.behavior = _PB.DropBehavior.DROP_RESTRICT
    return back


def _last_string(node: Any) -> Any:
    """The message that holds the last part of a name."""
    match node.WhichOneof("node"):
        case "list":
            return node.list.items[-1].string
        case "type_name":
            return node.type_name.names[-1].string
        case "object_with_args":
            return node.object_with_args.objname[-1].string
    return node.string


def _set_schema(node: Any, schema: str) -> None:
    names = {"list": lambda: node.list.items, "type_name": lambda: node.type_name.names, "object_with_args": lambda: node.object_with_args.objname}[
        node.WhichOneof("node")
    ]()
    last = names[-1].string.sval
    del names[:]
    for part in (schema, last):
        names.add().string.sval = part


def _item(kind: int, item: Any) -> str:
    """One thing that is dropped, as SQL writes it."""
    names = _names(item)
    if kind in (_OBJECT.OBJECT_TRIGGER, _OBJECT.OBJECT_POLICY, _OBJECT.OBJECT_RULE):
        return f"{quote(names[-1])} ON {_dotted(names[:-1])}"
    if item.WhichOneof("node") == "object_with_args" and not item.object_with_args.args_unspecified:
        return f"{_dotted(names)}({_types(argument.type_name for argument in item.object_with_args.objargs)})"
    return _dotted(names) or "(see there)"
