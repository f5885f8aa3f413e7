"""SQL text -> the schema objects that its statements make, change, drop, rename or use, bodies of functions and DO blocks included. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import postgast
from postgast import pg_query_pb2 as tree

from migrollback_nb.parsing import plpgsql

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node

Space = Literal["relation", "routine", "type", "schema", "extension"]
_OBJECT = tree.ObjectType
#: What DROP, COMMENT, ALTER ... OWNER call an object -> where its name is looked up.
_SPACES: dict[int, Space] = {
    **dict.fromkeys((_OBJECT.OBJECT_TABLE, _OBJECT.OBJECT_VIEW, _OBJECT.OBJECT_MATVIEW, _OBJECT.OBJECT_SEQUENCE, _OBJECT.OBJECT_INDEX, _OBJECT.OBJECT_FOREIGN_TABLE), "relation"),
    **dict.fromkeys((_OBJECT.OBJECT_FUNCTION, _OBJECT.OBJECT_PROCEDURE, _OBJECT.OBJECT_AGGREGATE, _OBJECT.OBJECT_ROUTINE), "routine"),
    **dict.fromkeys((_OBJECT.OBJECT_TYPE, _OBJECT.OBJECT_DOMAIN), "type"),
    _OBJECT.OBJECT_SCHEMA: "schema",
    _OBJECT.OBJECT_EXTENSION: "extension",
}  # fmt: skip
#: Parts of a relation, by what the parser calls them.
_PARTS: dict[int, str] = {
    _OBJECT.OBJECT_COLUMN: "column",
    _OBJECT.OBJECT_TABCONSTRAINT: "constraint",
    _OBJECT.OBJECT_TRIGGER: "trigger",
    _OBJECT.OBJECT_POLICY: "policy",
    _OBJECT.OBJECT_RULE: "rule",
}
#: Functions whose first argument, a string, names a sequence or table.
_NAMING_FUNCTIONS = frozenset({"nextval", "setval", "currval", "to_regclass", "pg_get_serial_sequence"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One object in one statement."""

    action: Literal["created", "changed", "dropped", "renamed", "used"]
    space: Space  #: where its name is looked up
    kind: str  #: in the words of schema_objects(), as far as the text says it
    schema: str | None  #: None where the text does not say it
    name: str  #: of the relation, routine, type, schema or extension
    part: str | None = None  #: name of the column, constraint, trigger, policy or rule of that relation
    new_name: str | None = None  #: of what is renamed
    new_schema: str | None = None  #: of what is moved
    only_new: bool = False  #: IF NOT EXISTS or OR REPLACE: what is there already is not made anew
    arguments: tuple[str, ...] | None = None  #: types of a routine's arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementObjects:
    """What one statement, or one body inside it, has to do with which objects."""

    mentions: tuple[Mention, ...]
    names: frozenset[str]  #: what may be names of columns; ``*`` for all of them
    in_body: bool = False  #: inside a function or DO block, where PostgreSQL does not track it


def statement_objects(text: str) -> list[StatementObjects]:
    """The objects of every statement of a text, in order; none where it does not parse.

    Examples
    --------
    >>> [found] = statement_objects("CREATE VIEW v AS SELECT a FROM app.t")
    >>> [(m.action, m.kind, m.schema, m.name) for m in found.mentions]
    [('created', 'view', None, 'v'), ('used', 'relation', 'app', 't')]
    """
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError:
        return []
    data = text.encode()
    found: list[StatementObjects] = []
    for raw in parsed.stmts:
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(data)
        found += _of_statement(raw.stmt, data[raw.stmt_location : end].decode())
    return found


def _of_statement(node: Node, text: str) -> Iterator[StatementObjects]:
    kind = node.WhichOneof("node") or ""
    if kind == "do_stmt":
        yield from _of_plpgsql(text)
        return
    statement = getattr(node, kind)
    deeds = tuple(_deeds(kind, statement))
    done = {(m.space, m.schema, m.name) for m in deeds}
    uses = tuple(use for use in _uses(node) if (use.space, use.schema, use.name) not in done)
    names = set(_column_names(node))
    if kind == "create_stmt" and (
        statement.inh_relations or any(element.HasField("table_like_clause") for element in statement.table_elts)
    ):
        names.add("*")  # all columns of the other table
    yield StatementObjects(mentions=(*deeds, *dict.fromkeys(uses)), names=frozenset(names))
    if kind == "create_function_stmt":
        yield from _of_function_body(statement, text)


# -- what a statement does ---------------------------------------------------------------------------------------------


def _strings(items: Iterable[Any]) -> list[str]:
    return [item.string.sval for item in items]


def _qualified(items: Iterable[Any]) -> tuple[str | None, str]:
    names = _strings(items)
    return (names[-2] if len(names) > 1 else None), (names[-1] if names else "")


def _of_relation(action: Any, kind: str, relation: Any, **more: Any) -> Mention:
    return Mention(
        action=action, space="relation", kind=kind, schema=relation.schemaname or None, name=relation.relname, **more
    )


def _named(action: Any, object_type: int, node: Any, **more: Any) -> Iterator[Mention]:
    """The object that DROP, COMMENT, ALTER ... RENAME and the like name."""
    which = node.WhichOneof("node")
    if which == "range_var":
        yield _of_relation(action, "relation", node.range_var, **more)
    elif which == "object_with_args":
        schema, name = _qualified(node.object_with_args.objname)
        yield Mention(action=action, space="routine", kind="function", schema=schema, name=name, **more)
    elif which == "type_name":
        schema, name = _qualified(node.type_name.names)
        yield Mention(action=action, space="type", kind="type", schema=schema, name=name, **more)
    elif which == "string":
        space = _SPACES.get(object_type)
        if space in ("schema", "extension"):
            yield Mention(action=action, space=space, kind=space, schema=None, name=node.string.sval, **more)
    elif which == "list":
        names = _strings(node.list.items)
        if object_type in _PARTS and len(names) > 1:
            schema, name = (names[-3] if len(names) > 2 else None), names[-2]
            yield Mention(
                action=action,
                space="relation",
                kind=_PARTS[object_type],
                schema=schema,
                name=name,
                part=names[-1],
                **more,
            )
        elif (space := _SPACES.get(object_type)) is not None and names:
            schema, name = _qualified(node.list.items)
            yield Mention(action=action, space=space, kind=space, schema=schema, name=name, **more)


def _columns(relation: Any, elements: Iterable[Any]) -> Iterator[Mention]:
    for element in elements:
        if element.WhichOneof("node") == "column_def":
            yield _of_relation("created", "column", relation, part=element.column_def.colname)
        elif element.WhichOneof("node") == "constraint" and element.constraint.conname:
            yield _of_relation("created", "constraint", relation, part=element.constraint.conname)


def _type_text(type_name: Any) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in _strings(type_name.names)) + "[]" * len(
        type_name.array_bounds
    )


def _deeds(kind: str, s: Any) -> Iterator[Mention]:
    """What a statement makes, changes, drops or renames."""
    match kind:
        case "create_stmt" | "create_foreign_table_stmt":
            s = s.base_stmt if kind == "create_foreign_table_stmt" else s
            table = (
                "foreign table"
                if kind == "create_foreign_table_stmt"
                else "partitioned table"
                if s.HasField("partspec")
                else "table"
            )
            if s.relation.relpersistence != "t":
                yield _of_relation("created", table, s.relation, only_new=s.if_not_exists)
                yield from _columns(s.relation, s.table_elts)
        case "create_table_as_stmt" if s.into.rel.relpersistence != "t":
            yield _of_relation(
                "created",
                "materialized view" if s.objtype == _OBJECT.OBJECT_MATVIEW else "table",
                s.into.rel,
                only_new=s.if_not_exists,
            )
        case "view_stmt" if s.view.relpersistence != "t":
            yield _of_relation("created", "view", s.view, only_new=s.replace)
        case "index_stmt" if s.idxname:
            yield Mention(
                action="created",
                space="relation",
                kind="index",
                schema=s.relation.schemaname or None,
                name=s.idxname,
                only_new=s.if_not_exists,
            )
        case "create_seq_stmt" if s.sequence.relpersistence != "t":
            yield _of_relation("created", "sequence", s.sequence, only_new=s.if_not_exists)
        case "alter_seq_stmt":
            yield _of_relation("changed", "sequence", s.sequence)
        case "create_function_stmt":
            schema, name = _qualified(s.funcname)
            inputs = [p.function_parameter for p in s.parameters]
            modes = tree.FunctionParameterMode
            skipped = (modes.FUNC_PARAM_OUT, modes.FUNC_PARAM_TABLE)
            yield Mention(
                action="created", space="routine", kind="procedure" if s.is_procedure else "function", schema=schema, name=name, only_new=s.replace,
                arguments=tuple(_type_text(p.arg_type) for p in inputs if p.mode not in skipped),
            )  # fmt: skip
        case "create_trig_stmt":
            yield _of_relation("created", "trigger", s.relation, part=s.trigname, only_new=s.replace)
        case "create_policy_stmt":
            yield _of_relation("created", "policy", s.table, part=s.policy_name)
        case "alter_policy_stmt":
            yield _of_relation("changed", "policy", s.table, part=s.policy_name)
        case "rule_stmt":
            yield _of_relation("created", "rule", s.relation, part=s.rulename, only_new=s.replace)
        case "create_enum_stmt" | "create_range_stmt":
            schema, name = _qualified(s.type_name)
            yield Mention(
                action="created",
                space="type",
                kind="enum" if kind == "create_enum_stmt" else "range",
                schema=schema,
                name=name,
            )
        case "create_domain_stmt":
            schema, name = _qualified(s.domainname)
            yield Mention(action="created", space="type", kind="domain", schema=schema, name=name)
        case "composite_type_stmt":
            yield _of_relation("created", "composite type", s.typevar)
            yield from _columns(s.typevar, s.coldeflist)
        case "alter_enum_stmt" | "alter_domain_stmt":
            schema, name = _qualified(s.type_name)
            yield Mention(
                action="changed",
                space="type",
                kind="enum" if kind == "alter_enum_stmt" else "domain",
                schema=schema,
                name=name,
            )
        case "define_stmt" if s.kind == _OBJECT.OBJECT_AGGREGATE:
            schema, name = _qualified(s.defnames)
            yield Mention(
                action="created", space="routine", kind="aggregate", schema=schema, name=name, only_new=s.replace
            )
        case "create_schema_stmt":
            yield Mention(
                action="created",
                space="schema",
                kind="schema",
                schema=None,
                name=s.schemaname,
                only_new=s.if_not_exists,
            )
        case "create_extension_stmt":
            yield Mention(
                action="created",
                space="extension",
                kind="extension",
                schema=None,
                name=s.extname,
                only_new=s.if_not_exists,
            )
        case "alter_extension_stmt" | "alter_extension_contents_stmt":
            yield Mention(action="changed", space="extension", kind="extension", schema=None, name=s.extname)
        case "alter_function_stmt":
            schema, name = _qualified(s.func.objname)
            yield Mention(action="changed", space="routine", kind="function", schema=schema, name=name)
        case "alter_table_stmt":
            yield _of_relation("changed", "relation", s.relation)
            for node in s.cmds:
                yield from _altered(s.relation, node.alter_table_cmd)
        case "drop_stmt":
            for node in s.objects:
                yield from _named("dropped", s.remove_type, node)
        case "comment_stmt":
            yield from _named("used", s.objtype, s.object)
        case "alter_owner_stmt":
            yield from _named("changed", s.object_type, s.object)
        case "grant_stmt":
            everything_in = s.targtype == tree.GrantTargetType.ACL_TARGET_ALL_IN_SCHEMA
            for node in s.objects:
                yield from _named("used", _OBJECT.OBJECT_SCHEMA if everything_in else s.objtype, node)
            if not everything_in and s.objtype == _OBJECT.OBJECT_TABLE:
                for relation in s.objects:
                    for privilege in s.privileges:
                        for column in _strings(privilege.access_priv.cols):
                            yield _of_relation("used", "column", relation.range_var, part=column)
        case "alter_default_privileges_stmt":
            for option in s.options:
                for schema in option.def_elem.arg.list.items if option.def_elem.defname == "schemas" else ():
                    yield Mention(action="used", space="schema", kind="schema", schema=None, name=schema.string.sval)
        case "rename_stmt":
            if s.rename_type in _PARTS:
                yield _of_relation("renamed", _PARTS[s.rename_type], s.relation, part=s.subname, new_name=s.newname)
            elif s.HasField("relation"):
                yield _of_relation("renamed", "relation", s.relation, new_name=s.newname)
            else:
                yield from _named("renamed", s.rename_type, s.object, new_name=s.newname)
        case "alter_object_schema_stmt":
            if s.HasField("relation"):
                yield _of_relation("renamed", "relation", s.relation, new_schema=s.newschema)
            else:
                yield from _named("renamed", s.object_type, s.object, new_schema=s.newschema)


def _altered(relation: Any, command: Any) -> Iterator[Mention]:
    definition = getattr(command, "def")
    match command.subtype:
        case tree.AlterTableType.AT_AddColumn:
            yield _of_relation(
                "created", "column", relation, part=definition.column_def.colname, only_new=command.missing_ok
            )
        case tree.AlterTableType.AT_DropColumn:
            yield _of_relation("dropped", "column", relation, part=command.name)
        case tree.AlterTableType.AT_AddConstraint if definition.constraint.conname:
            yield _of_relation("created", "constraint", relation, part=definition.constraint.conname)
        case tree.AlterTableType.AT_DropConstraint:
            yield _of_relation("dropped", "constraint", relation, part=command.name)
        case tree.AlterTableType.AT_ValidateConstraint | tree.AlterTableType.AT_AlterConstraint:
            yield _of_relation("changed", "constraint", relation, part=command.name)
        case tree.AlterTableType.AT_EnableTrig | tree.AlterTableType.AT_DisableTrig:
            yield _of_relation("changed", "trigger", relation, part=command.name)
        case _ if command.name and tree.AlterTableType.Name(command.subtype).startswith(
            ("AT_AlterColumn", "AT_ColumnDefault", "AT_Set", "AT_Drop", "AT_Add")
        ):
            yield _of_relation("changed", "column", relation, part=command.name)


# -- what a statement uses ---------------------------------------------------------------------------------------------


def _split_name(text: str) -> tuple[str | None, str]:
    """'app.t' -> (app, t), as to_regclass() reads it."""
    try:
        [name] = postgast.find_nodes(postgast.parse(f"SELECT FROM {text}"), tree.RangeVar)
    except (postgast.PgQueryError, ValueError):
        return None, text
    return name.schemaname or None, name.relname


def _uses(node: Any) -> Iterator[Mention]:
    hidden = {cte.ctename for cte in postgast.find_nodes(node, tree.CommonTableExpr)}
    for relation in postgast.find_nodes(node, tree.RangeVar):
        if relation.schemaname or relation.relname not in hidden:
            yield _of_relation("used", "relation", relation)
    for type_name in postgast.find_nodes(node, tree.TypeName):
        schema, name = _qualified(type_name.names)
        if schema == "pg_catalog" or not name:
            continue
        if type_name.pct_type:  # table.column%TYPE
            parts = _strings(type_name.names)
            schema, name = (parts[-3] if len(parts) > 2 else None), parts[-2]
        yield Mention(action="used", space="type", kind="type", schema=schema, name=name)
    for call in postgast.find_nodes(node, tree.FuncCall):
        schema, name = _qualified(call.funcname)
        yield Mention(action="used", space="routine", kind="function", schema=schema, name=name)
        if name in _NAMING_FUNCTIONS and call.args:
            argument = call.args[0]
            constant = (
                argument.type_cast.arg.a_const if argument.WhichOneof("node") == "type_cast" else argument.a_const
            )
            if constant.sval.sval:
                schema, name = _split_name(constant.sval.sval)
                yield Mention(action="used", space="relation", kind="relation", schema=schema, name=name)
    for cast in postgast.find_nodes(node, tree.TypeCast):
        if _qualified(cast.type_name.names)[1] == "regclass" and cast.arg.a_const.sval.sval:
            schema, name = _split_name(cast.arg.a_const.sval.sval)
            yield Mention(action="used", space="relation", kind="relation", schema=schema, name=name)
    for trigger in postgast.find_nodes(node, tree.CreateTrigStmt):
        schema, name = _qualified(trigger.funcname)
        yield Mention(action="used", space="routine", kind="function", schema=schema, name=name)


def _column_names(node: Any) -> Iterator[str]:
    for reference in postgast.find_nodes(node, tree.ColumnRef):
        for field in reference.fields:
            yield "*" if field.WhichOneof("node") == "a_star" else field.string.sval
    for target in postgast.find_nodes(node, tree.ResTarget):
        yield target.name
    for element in postgast.find_nodes(node, tree.IndexElem):
        yield element.name
    for constraint in postgast.find_nodes(node, tree.Constraint):
        yield from _strings([*constraint.keys, *constraint.pk_attrs, *constraint.fk_attrs])


# -- bodies ------------------------------------------------------------------------------------------------------------


def _of_function_body(statement: Any, text: str) -> Iterator[StatementObjects]:
    options = {option.def_elem.defname: option.def_elem.arg for option in statement.options}
    language = options["language"].string.sval.lower() if "language" in options else ""
    if language == "plpgsql":
        yield from _of_plpgsql(text)
    elif language == "sql" and "as" in options:
        for part in options["as"].list.items:
            for inside in statement_objects(part.string.sval):
                yield StatementObjects(mentions=inside.mentions, names=inside.names - {"*"}, in_body=True)


def _of_plpgsql(text: str) -> Iterator[StatementObjects]:
    body = plpgsql.parse_body(text)
    if body is None:
        return
    for query in body.queries:
        for found in statement_objects(
            query.sql
        ):  # of EXECUTE 'DROP TABLE ' || name the constants as far as they are SQL themselves
            yield StatementObjects(mentions=found.mentions, names=found.names - {"*"}, in_body=True)
    for name in body.types:
        schema, _, rest = name.removesuffix("%rowtype").removesuffix("%ROWTYPE").rpartition(".")
        if "%type" in rest.lower():
            outer, _, table = schema.rpartition(".")
            schema, rest = outer, table
        mention = Mention(
            action="used", space="type", kind="type", schema=schema.strip('"') or None, name=rest.strip('"')
        )
        yield StatementObjects(mentions=(mention,), names=frozenset(), in_body=True)
