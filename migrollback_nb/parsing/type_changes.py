"""ALTER COLUMN ... TYPE: which type a column gets, and whether a cast alone brings its values there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrollback_nb.parsing.parse_tree import strings

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node


def new_type(definition: Any, column: str) -> dict[str, Any]:
    """The type that a column gets, as to_regtype() reads it, and its modifiers; how its values come to it."""
    type_name = definition.type_name
    found: dict[str, Any] = {
        "type": ".".join('"' + name.replace('"', '""') + '"' for name in strings(type_name.names))
        + "[]" * len(type_name.array_bounds)
    }
    if type_name.typmods:
        found["mods"] = [modifier.a_const.ival.ival for modifier in type_name.typmods]
    if definition.HasField("raw_default"):
        if not _only_casts(definition.raw_default, column):
            found["cast"] = False
        elif definition.raw_default.WhichOneof("node") == "type_cast":
            found["explicit"] = True
    return found


def _only_casts(expression: Node, column: str) -> bool:
    """Whether an expression is the column itself, cast perhaps, by way of text perhaps."""
    inner = expression
    casts = []
    while inner.WhichOneof("node") == "type_cast":
        casts.append(strings(inner.type_cast.type_name.names)[-1:])
        inner = inner.type_cast.arg
    fields = inner.column_ref.fields
    return (
        inner.WhichOneof("node") == "column_ref"
        and bool(fields)
        and fields[-1].string.sval == column
        and all(cast in (["text"], ["varchar"]) for cast in casts[1:])
    )
