"""SQL text -> the schema objects that its statements create, change, drop, rename or use. Pure.

Bodies of functions and DO blocks count too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import postgast
from postgast import pg_query_pb2 as tree

from migrollback_nb.parsing import plpgsql, row_fields
from migrollback_nb.parsing.creates import ON_TABLE, Create, create_of
from migrollback_nb.parsing.parse_tree import RELATIONS, ROUTINES, Name, parsed_statements, qualified, strings

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node

#: What a node is -> the nodes.
Parts = defaultdict[type, list[Any]]
Space = Literal["relation", "routine", "type", "schema", "extension"]
_OBJECT = tree.ObjectType
#: What DROP, COMMENT, ALTER ... OWNER call an object -> where its name is looked up.
_SPACES: dict[int, Space] = {
    **dict.fromkeys(RELATIONS, "relation"),
    **dict.fromkeys(ROUTINES, "routine"),
    **dict.fromkeys((_OBJECT.OBJECT_TYPE, _OBJECT.OBJECT_DOMAIN), "type"),
    _OBJECT.OBJECT_SCHEMA: "schema",
    _OBJECT.OBJECT_EXTENSION: "extension",
}
#: Parts of a relation, by what the parser calls them.
_PARTS: dict[int, str] = {
    _OBJECT.OBJECT_COLUMN: "column",
    _OBJECT.OBJECT_TABCONSTRAINT: "constraint",
    _OBJECT.OBJECT_TRIGGER: "trigger",
    _OBJECT.OBJECT_POLICY: "policy",
    _OBJECT.OBJECT_RULE: "rule",
}
#: An enum's label has fewer bytes than this.
_LONGEST_LABEL = 64
_WORD = re.compile(r"[^\W\d][\w$]*(?:\.[^\W\d][\w$]*)?")
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
    only_new: bool = False  #: IF NOT EXISTS or OR REPLACE: what is there already is not created anew
    arguments: tuple[str, ...] | None = None  #: types of a routine's arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementObjects:
    """What one statement, or one body inside it, has to do with which objects."""

    mentions: tuple[Mention, ...]
    names: frozenset[str]  #: what may be names of columns; ``*`` for all of them
    in_body: bool = False  #: inside a function or DO block, where PostgreSQL does not track it
    path: tuple[str, ...] | None = None  #: where the routine looks its names up, when it says so itself
    routine: Name | None = None  #: whose body it is
    row_names: frozenset[str] = frozenset()  #: fields of NEW and OLD
    trigger: tuple[Name, Name] | None = None  #: (table, function) of a CREATE TRIGGER
    operators: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()  #: constant texts, which may be values of an enum
    built: frozenset[str] = frozenset()  #: words of SQL that is built while it runs


def statement_objects(text: str) -> list[StatementObjects]:
    """The objects of every statement of a text, in order; none where it does not parse.

    Examples
    --------
    >>> [found] = statement_objects("CREATE VIEW v AS SELECT a FROM app.t")
    >>> [(m.action, m.kind, m.schema, m.name) for m in found.mentions]
    [('created', 'view', None, 'v'), ('used', 'relation', 'app', 't')]
    """
    return [one for node, _, statement in parsed_statements(text) for one in _of_statement(node, statement)]


def _of_statement(node: Node, text: str) -> Iterator[StatementObjects]:
    kind = node.WhichOneof("node") or ""
    if kind == "do_stmt":
        yield from _of_plpgsql(text)
        return
    statement = getattr(node, kind)
    actions = tuple(_actions(kind, statement))
    done = {(m.space, m.schema, m.name) for m in actions}
    parts = _parts(node)
    uses = tuple(use for use in (*_uses(parts), *_conflicts(parts)) if (use.space, use.schema, use.name) not in done)
    names = set(_column_names(parts))
    if kind == "create_stmt" and (
        statement.inh_relations or any(element.HasField("table_like_clause") for element in statement.table_elts)
    ):
        names.add("*")  # all columns of the other table
    yield StatementObjects(
        mentions=(*actions, *dict.fromkeys(uses)),
        names=frozenset(names),
        trigger=_trigger(statement) if kind == "create_trig_stmt" else None,
        operators=frozenset(name for one in parts[tree.A_Expr] for name in strings(one.name)[-1:] if name),
        texts=frozenset(one.sval.sval for one in parts[tree.A_Const] if 0 < len(one.sval.sval) < _LONGEST_LABEL),
    )
    if kind == "create_function_stmt":
        yield from _of_function_body(statement, text)


# -- what a statement does ---------------------------------------------------------------------------------------------


def _qualified(items: Iterable[Any]) -> Name:
    return qualified(strings(items))


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
        yield _in_schema(action, "routine", "function", node.object_with_args.objname, **more)
    elif which == "type_name":
        yield _in_schema(action, "type", "type", node.type_name.names, **more)
    elif which == "string":
        space = _SPACES.get(object_type)
        if space in ("schema", "extension"):
            yield Mention(action=action, space=space, kind=space, schema=None, name=node.string.sval, **more)
    elif which == "list":
        names = strings(node.list.items)
        if object_type in _PARTS and len(names) > 1:
            schema, name = _qualified(node.list.items[:-1])
            kind = _PARTS[object_type]
            yield Mention(action=action, space="relation", kind=kind, schema=schema, name=name, part=names[-1], **more)
        elif (space := _SPACES.get(object_type)) is not None and names:
            yield _in_schema(action, space, space, node.list.items, **more)


def _in_schema(action: Any, space: Space, kind: str, names: Iterable[Any], **more: Any) -> Mention:
    schema, name = _qualified(names)
    return Mention(action=action, space=space, kind=kind, schema=schema, name=name, **more)


def _created(create: Create) -> Iterator[Mention]:
    """What a CREATE creates, where that outlives the session and the text names it."""
    if create.temporary or not create.named:
        return
    if create.space in ON_TABLE and create.table is not None:
        yield Mention(
            action="created",
            space="relation",
            kind=create.kind,
            schema=create.table[0],
            name=create.table[1],
            part=create.name,
            only_new=create.conditional,
        )
        return
    # pg_class knows a composite type among the relations
    space = _CREATED_IN.get("relation" if create.kind == "composite type" else create.space)
    if space is None or not create.name:
        return
    arguments = None
    if create.parameters is not None:
        inputs = (parameter.function_parameter for parameter in create.parameters)
        arguments = tuple(_type_text(one.arg_type) for one in inputs if one.mode not in _OUTPUTS)
    yield Mention(
        action="created",
        space=space,
        kind=create.kind,
        schema=create.schema,
        name=create.name,
        only_new=create.conditional,
        arguments=arguments,
    )


#: Space of what is created -> where it is looked up here; what is not among these is not followed.
_CREATED_IN: dict[str, Space] = {
    "relation": "relation",
    "routine": "routine",
    "type": "type",
    "schema": "schema",
    "extension": "extension",
}
_OUTPUTS = (tree.FunctionParameterMode.FUNC_PARAM_OUT, tree.FunctionParameterMode.FUNC_PARAM_TABLE)


def _type_text(type_name: Any) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in strings(type_name.names)) + "[]" * len(
        type_name.array_bounds
    )


def _created_columns(kind: str, s: Any) -> Iterator[Mention]:
    """The columns and named constraints that a CREATE says of its relation."""
    match kind:
        case "create_stmt":
            relation, elements = s.relation, s.table_elts
        case "create_foreign_table_stmt":
            relation, elements = s.base_stmt.relation, s.base_stmt.table_elts
        case "composite_type_stmt":
            relation, elements = s.typevar, s.coldeflist
        case _:
            return
    if relation.relpersistence == "t":
        return
    for element in elements:
        if element.WhichOneof("node") == "column_def":
            yield _of_relation("created", "column", relation, part=element.column_def.colname)
        elif element.WhichOneof("node") == "constraint" and element.constraint.conname:
            yield _of_relation("created", "constraint", relation, part=element.constraint.conname)


def _actions(kind: str, statement: Any) -> Iterator[Mention]:
    """What a statement creates, changes, drops or renames, and what it names by the way."""
    if (create := create_of(kind, statement)) is not None:
        yield from _created(create)
        yield from _created_columns(kind, statement)
    elif (read := _ACTIONS.get(kind)) is not None:
        yield from read(statement)


def _alter_table(s: Any) -> Iterator[Mention]:
    yield _of_relation("changed", "relation", s.relation)
    for node in s.cmds:
        yield from _altered(s.relation, node.alter_table_cmd)


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


def _drop(s: Any) -> Iterator[Mention]:
    for node in s.objects:
        yield from _named("dropped", s.remove_type, node)


def _grant(s: Any) -> Iterator[Mention]:
    everything_in = s.targtype == tree.GrantTargetType.ACL_TARGET_ALL_IN_SCHEMA
    for node in s.objects:
        yield from _named("used", _OBJECT.OBJECT_SCHEMA if everything_in else s.objtype, node)
    if not everything_in and s.objtype == _OBJECT.OBJECT_TABLE:
        columns = [column for privilege in s.privileges for column in strings(privilege.access_priv.cols)]
        for relation in s.objects:
            for column in columns:
                yield _of_relation("used", "column", relation.range_var, part=column)


def _default_privileges(s: Any) -> Iterator[Mention]:
    for option in s.options:
        for schema in option.def_elem.arg.list.items if option.def_elem.defname == "schemas" else ():
            yield Mention(action="used", space="schema", kind="schema", schema=None, name=schema.string.sval)


def _rename(s: Any) -> Iterator[Mention]:
    if s.rename_type in _PARTS:
        yield _of_relation("renamed", _PARTS[s.rename_type], s.relation, part=s.subname, new_name=s.newname)
    elif s.HasField("relation"):
        yield _of_relation("renamed", "relation", s.relation, new_name=s.newname)
    else:
        yield from _named("renamed", s.rename_type, s.object, new_name=s.newname)


def _set_schema(s: Any) -> Iterator[Mention]:
    if s.HasField("relation"):
        yield _of_relation("renamed", "relation", s.relation, new_schema=s.newschema)
    else:
        yield from _named("renamed", s.object_type, s.object, new_schema=s.newschema)


def _alter_extension(s: Any) -> Iterator[Mention]:
    yield Mention(action="changed", space="extension", kind="extension", schema=None, name=s.extname)


#: What the parser calls a statement -> what it has to do with which objects; what a CREATE creates stands in `creates`.
_ACTIONS: dict[str, Callable[[Any], Iterable[Mention]]] = {
    "alter_table_stmt": _alter_table,
    "alter_seq_stmt": lambda s: [_of_relation("changed", "sequence", s.sequence)],
    "alter_policy_stmt": lambda s: [_of_relation("changed", "policy", s.table, part=s.policy_name)],
    "alter_enum_stmt": lambda s: [_in_schema("changed", "type", "enum", s.type_name)],
    "alter_domain_stmt": lambda s: [_in_schema("changed", "type", "domain", s.type_name)],
    "alter_function_stmt": lambda s: [_in_schema("changed", "routine", "function", s.func.objname)],
    "alter_extension_stmt": _alter_extension,
    "alter_extension_contents_stmt": _alter_extension,
    "alter_owner_stmt": lambda s: _named("changed", s.object_type, s.object),
    "drop_stmt": _drop,
    "comment_stmt": lambda s: _named("used", s.objtype, s.object),
    "grant_stmt": _grant,
    "alter_default_privileges_stmt": _default_privileges,
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
}


# -- what a statement uses ---------------------------------------------------------------------------------------------


def _split_name(text: str) -> tuple[str | None, str]:
    """'app.t' -> (app, t), as to_regclass() reads it."""
    try:
        [name] = postgast.find_nodes(postgast.parse(f"SELECT FROM {text}"), tree.RangeVar)
    except (postgast.PgQueryError, ValueError):
        return None, text
    return name.schemaname or None, name.relname


def _parts(node: Any) -> Parts:
    """All nodes of a statement, by what they are, each in the order of the text: one walk for all that is asked."""
    found: Parts = defaultdict(list)
    for _, part in postgast.walk(node):
        found[type(part)].append(part)
    return found


def _uses(parts: Parts) -> Iterator[Mention]:
    hidden = {cte.ctename for cte in parts[tree.CommonTableExpr]}
    for relation in parts[tree.RangeVar]:
        if relation.schemaname or relation.relname not in hidden:
            yield _of_relation("used", "relation", relation)
    for type_name in parts[tree.TypeName]:
        # of table.column%TYPE the table has a type of that name
        names = type_name.names[:-1] if type_name.pct_type else type_name.names
        schema, name = _qualified(names)
        if name and (type_name.pct_type or schema != "pg_catalog"):
            yield _in_schema("used", "type", "type", names)
    for call in parts[tree.FuncCall]:
        yield _in_schema("used", "routine", "function", call.funcname)
        if _qualified(call.funcname)[1] in _NAMING_FUNCTIONS and call.args:
            yield from _named_by(call.args[0])
    for cast in parts[tree.TypeCast]:
        if _qualified(cast.type_name.names)[1] == "regclass":
            yield from _named_by(cast.arg)
    for trigger in parts[tree.CreateTrigStmt]:
        yield _in_schema("used", "routine", "function", trigger.funcname)


def _conflicts(parts: Parts) -> Iterator[Mention]:
    """Constraints that INSERT ... ON CONFLICT names."""
    for insert in parts[tree.InsertStmt]:
        if insert.on_conflict_clause.infer.conname:
            yield _of_relation("used", "constraint", insert.relation, part=insert.on_conflict_clause.infer.conname)


def _named_by(argument: Any) -> Iterator[Mention]:
    """The relation that a string names, cast or not."""
    constant = argument.type_cast.arg.a_const if argument.WhichOneof("node") == "type_cast" else argument.a_const
    if constant.sval.sval:
        schema, name = _split_name(constant.sval.sval)
        yield Mention(action="used", space="relation", kind="relation", schema=schema, name=name)


def _column_names(parts: Parts) -> Iterator[str]:
    for reference in parts[tree.ColumnRef]:
        for field in reference.fields:
            yield "*" if field.WhichOneof("node") == "a_star" else field.string.sval
    for target in parts[tree.ResTarget]:
        yield target.name
    for element in parts[tree.IndexElem]:
        yield element.name
    for constraint in parts[tree.Constraint]:
        yield from strings([*constraint.keys, *constraint.pk_attrs, *constraint.fk_attrs])
    for published in parts[tree.PublicationTable]:
        yield from strings(published.columns)


# -- bodies ------------------------------------------------------------------------------------------------------------


def _trigger(statement: Any) -> tuple[Name, Name]:
    relation = statement.relation
    return (relation.schemaname or None, relation.relname), _qualified(statement.funcname)


def _of_function_body(statement: Any, text: str) -> Iterator[StatementObjects]:
    options = {option.def_elem.defname: option.def_elem.arg for option in statement.options}
    language = options["language"].string.sval.lower() if "language" in options else ""
    types = row_fields.parameter_types(statement)
    found: list[StatementObjects] = []
    if language == "plpgsql":
        found = list(_of_plpgsql(text, types))
    elif language == "sql" and "as" in options:
        parts = [part.string.sval for part in options["as"].list.items]
        for part in parts:
            found += [replace(inside, names=inside.names - {"*"}, in_body=True) for inside in statement_objects(part)]
        found += _of_rows(row_fields.fields_by_row(parts), types)
    path = _own_path(statement)
    for one in found:
        yield replace(one, path=path, routine=_qualified(statement.funcname))


def _own_path(statement: Any) -> tuple[str, ...] | None:
    """The search_path that a function is created with."""
    for option in statement.options:
        setting = option.def_elem.arg.variable_set_stmt if option.def_elem.defname == "set" else None
        if setting is not None and setting.name == "search_path" and setting.args:
            return tuple(one.a_const.sval.sval for one in setting.args)
    return None


def _of_plpgsql(text: str, types: Mapping[str, Name] | None = None) -> Iterator[StatementObjects]:
    body = plpgsql.parse_body(text)
    if body is None:
        return
    relations: dict[Mention, None] = {}
    for query in body.queries:
        # of EXECUTE 'DROP TABLE ' || name the constants as far as they are SQL themselves
        inside = statement_objects(query.sql)
        for found in inside:
            relations |= dict.fromkeys(one for one in found.mentions if one.space == "relation" and one.part is None)
            yield replace(found, names=found.names - {"*"}, in_body=True)
        if query.built and not inside:
            words = frozenset(word.lower() for word in _WORD.findall(query.sql))
            yield StatementObjects(mentions=(), names=frozenset(), in_body=True, built=words)
    fields = row_fields.fields_by_row(query.sql for query in body.queries if not query.built)
    if row_names := fields.pop("new", frozenset()) | fields.pop("old", frozenset()):
        yield StatementObjects(mentions=(), names=frozenset(), in_body=True, row_names=row_names)
    known = {**(types or {}), **row_fields.declared_types(text, fields)}
    yield from _of_rows(fields, known)
    for variable in sorted(fields.keys() & set(body.records) - known.keys()):  # a record: of what it may be filled
        for relation in relations:
            uses = (replace(relation, action="used"),)
            yield StatementObjects(mentions=uses, names=fields[variable], in_body=True)
    for name in body.types:
        schema, _, rest = name.removesuffix("%rowtype").removesuffix("%ROWTYPE").rpartition(".")
        if "%type" in rest.lower():
            outer, _, table = schema.rpartition(".")
            schema, rest = outer, table
        mention = Mention(
            action="used", space="type", kind="type", schema=schema.strip('"') or None, name=rest.strip('"')
        )
        yield StatementObjects(mentions=(mention,), names=frozenset(), in_body=True)


def _of_rows(fields: Mapping[str, frozenset[str]], types: Mapping[str, Name]) -> Iterator[StatementObjects]:
    """What a body names of rows whose type it says."""
    for row, (schema, name) in types.items():
        mention = Mention(action="used", space="type", kind="type", schema=schema, name=name)
        yield StatementObjects(mentions=(mention,), names=fields.get(row, frozenset()), in_body=True)
