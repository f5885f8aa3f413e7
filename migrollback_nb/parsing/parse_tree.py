"""Names in the parse tree of a statement: reads them, writes them as SQL, puts others in their place. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import postgast

from migrollback_nb.core.object_names import quote

PB = postgast.pg_query_pb2
OBJECT = PB.ObjectType
#: Schema, where the text says it, and name.
Name = tuple[str | None, str]

#: What is known by its name among the relations of a schema.
RELATIONS = frozenset({
    OBJECT.OBJECT_TABLE, OBJECT.OBJECT_VIEW, OBJECT.OBJECT_MATVIEW, OBJECT.OBJECT_SEQUENCE, OBJECT.OBJECT_INDEX,
    OBJECT.OBJECT_FOREIGN_TABLE,
})  # fmt: skip
#: What is known by its table and its name.
ON_TABLE = frozenset({OBJECT.OBJECT_TRIGGER, OBJECT.OBJECT_POLICY, OBJECT.OBJECT_RULE})
ROUTINES = frozenset({OBJECT.OBJECT_FUNCTION, OBJECT.OBJECT_PROCEDURE, OBJECT.OBJECT_AGGREGATE, OBJECT.OBJECT_ROUTINE})


# -- statements --------------------------------------------------------------------------------------------------------


def parsed_statements(text: str) -> Iterator[tuple[Any, int, str]]:
    """(The statement, its first byte, its text with the comments above it) of a text; none where it does not parse."""
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError:
        return
    data = text.encode()
    for raw in parsed.stmts:
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(data)
        yield raw.stmt, raw.stmt_location, data[raw.stmt_location : end].decode()


# -- reading names -----------------------------------------------------------------------------------------------------


def strings(nodes: Iterable[Any]) -> list[str]:
    """The parts of a name that is kept as a list of strings."""
    return [node.string.sval for node in nodes]


def qualified(names: Sequence[str]) -> Name:
    """The last two parts of a name."""
    return (names[-2] if len(names) > 1 else None), (names[-1] if names else "")


def names(node: Any) -> list[str]:
    """The parts of a name, whichever way the parser keeps it."""
    kind = node.WhichOneof("node")
    if kind == "list":
        return [part for item in node.list.items for part in names(item)]
    if kind == "string":
        return [str(node.string.sval)]
    if kind == "type_name":
        return strings(node.type_name.names)
    if kind == "object_with_args":
        return strings(node.object_with_args.objname)
    if kind == "range_var":
        return relation_names(node.range_var)
    return []


def relation_names(rv: Any) -> list[str]:
    """The parts of a relation's name."""
    return [part for part in (rv.schemaname, rv.relname) if part]


def referred(node: Any) -> set[str]:
    """Bare names of what a statement speaks of: tables, functions, types, and strings, which may name a sequence."""
    found: set[str] = set()
    for rv in postgast.find_nodes(node, PB.RangeVar):
        found.add(rv.relname)
    for call in postgast.find_nodes(node, PB.FuncCall):
        found.add(call.funcname[-1].string.sval)
    for type_name in postgast.find_nodes(node, PB.TypeName):
        if type_name.names:
            found.add(type_name.names[-1].string.sval)
    for constant in postgast.find_nodes(node, PB.A_Const):
        if constant.sval.sval:
            found.add(constant.sval.sval.split(".")[-1].strip('"'))
    for trigger in postgast.find_nodes(node, PB.CreateTrigStmt):
        found.add(trigger.funcname[-1].string.sval)
    return found


def option(options: Iterable[Any], name: str) -> Any:
    """The value of an option; None where it is not given."""
    return next((option.def_elem.arg for option in options if option.def_elem.defname == name), None)


def object_word(kind: int) -> str:
    """What SQL calls a kind of object."""
    return str(OBJECT.Name(kind)).removeprefix("OBJECT_").replace("_", " ").replace("MATVIEW", "MATERIALIZED VIEW")


# -- writing SQL -------------------------------------------------------------------------------------------------------


def dotted(parts: Sequence[str]) -> str:
    """A name as SQL writes it."""
    return ".".join(quote(part) for part in parts)


def relation(rv: Any) -> str:
    """A relation's name as SQL writes it."""
    return dotted(relation_names(rv))


def role(spec: Any) -> str:
    """A role's name as SQL writes it."""
    kinds = PB.RoleSpecType
    words = {
        kinds.ROLESPEC_CURRENT_USER: "CURRENT_USER",
        kinds.ROLESPEC_SESSION_USER: "SESSION_USER",
        kinds.ROLESPEC_CURRENT_ROLE: "CURRENT_ROLE",
        kinds.ROLESPEC_PUBLIC: "PUBLIC",
    }
    return words.get(spec.roletype) or quote(spec.rolename)


def item(kind: int, node: Any) -> str:
    """One thing that is dropped, as SQL writes it."""
    parts = names(node)
    if kind in ON_TABLE:
        return f"{quote(parts[-1])} ON {dotted(parts[:-1])}"
    if node.WhichOneof("node") == "object_with_args" and not node.object_with_args.args_unspecified:
        return f"{dotted(parts)}({types(argument.type_name for argument in node.object_with_args.objargs)})"
    return dotted(parts) or "(see there)"


def deparse(kind: str, message: Any) -> str:
    """A statement as SQL."""
    tree = PB.ParseResult()
    getattr(tree.stmts.add().stmt, kind).CopyFrom(message)
    return str(postgast.deparse(tree))


def types(type_names: Iterable[Any]) -> str:
    """Types as SQL writes them, with commas between."""
    statement = PB.DropStmt(remove_type=OBJECT.OBJECT_FUNCTION, behavior=PB.DropBehavior.DROP_RESTRICT)
    found = statement.objects.add().object_with_args
    found.objname.add().string.sval = "f"
    for type_name in type_names:
        found.objargs.add().type_name.CopyFrom(type_name)
    return deparse("drop_stmt", statement)[len("DROP FUNCTION f(") : -1]


def arguments(parameters: Iterable[Any], *, procedure: bool = False) -> str:
    """Types by which a routine is known, of its parameters: OUT arguments count for a procedure only."""
    modes = PB.FunctionParameterMode
    left_out = () if procedure else (modes.FUNC_PARAM_OUT, modes.FUNC_PARAM_TABLE)
    return types(
        parameter.function_parameter.arg_type
        for parameter in parameters
        if parameter.function_parameter.mode not in left_out
    )


# -- another statement out of one --------------------------------------------------------------------------------------


def copy_of(message: Any) -> Any:
    """A copy of a statement, to be changed."""
    back = type(message)()
    back.CopyFrom(message)
    return back


def last_string(node: Any) -> Any:
    """The message that holds the last part of a name."""
    match node.WhichOneof("node"):
        case "list":
            return node.list.items[-1].string
        case "type_name" | "object_with_args":
            return _parts(node)[-1].string
    return node.string


def set_schema(node: Any, schema: str) -> None:
    """Put a name into a schema."""
    parts = _parts(node)
    last = parts[-1].string.sval
    del parts[:]
    for part in (schema, last):
        parts.add().string.sval = part


def _parts(node: Any) -> Any:
    match node.WhichOneof("node"):
        case "type_name":
            return node.type_name.names
        case "object_with_args":
            return node.object_with_args.objname
    return node.list.items
