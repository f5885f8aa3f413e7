"""Fields of rows that a routine's body names (NEW.x, a record's, a parameter's), and the types of these rows. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import postgast
from postgast import pg_query_pb2 as tree

from migrollback_nb.core import object_names
from migrollback_nb.parsing.parse_tree import Name, qualified, strings

#: What a declaration says after the name: a type, with or without %ROWTYPE, and no more than its default.
_NAME = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
_TYPE = (
    rf"\s+(?:constant\s+)?({_NAME}(?:\.{_NAME})?)(?:\s*%\s*rowtype)?"
    r"\s*(?:not\s+null\s*)?(?:;|:=|=|\bdefault\b)"
)


def fields_by_row(queries: Iterable[str]) -> dict[str, frozenset[str]]:
    """Row (a variable, NEW, OLD, a table's alias, or $1) -> the fields of it that SQL names."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for query in queries:
        try:
            parsed = postgast.parse(query)
        except postgast.PgQueryError:
            continue
        for reference in postgast.find_nodes(parsed, tree.ColumnRef):
            names = [part.string.sval for part in reference.fields]
            if len(names) == 2 and all(names):
                found[names[0]].add(names[1])
        for one in postgast.find_nodes(parsed, tree.A_Indirection):
            names = [part.string.sval for part in one.indirection]
            argument = one.arg.WhichOneof("node")
            if argument == "param_ref" and names:
                found[f"${one.arg.param_ref.number}"].add(names[0])
            elif argument == "column_ref" and names and len(one.arg.column_ref.fields) == 1:  # (row).field
                found[one.arg.column_ref.fields[0].string.sval].add(names[0])
    return {row: frozenset(names) for row, names in found.items()}


def parameter_types(statement: Any) -> dict[str, Name]:
    """Parameter of a CREATE FUNCTION, by name and as $1 -> its type, where it is no type of PostgreSQL's own."""
    found: dict[str, Name] = {}
    for number, node in enumerate(statement.parameters, 1):
        parameter = node.function_parameter
        schema, name = qualified(strings(parameter.arg_type.names))
        if schema != "pg_catalog" and name and not parameter.arg_type.pct_type:
            found[f"${number}"] = (schema, name)
            if parameter.name:
                found[parameter.name] = (schema, name)
    return found


def declared_types(text: str, variables: Iterable[str]) -> dict[str, Name]:
    """Variable of a PL/pgSQL body -> the type that its declaration names; none where it is a record."""
    found: dict[str, Name] = {}
    for variable in variables:
        declared = re.search(rf"(?<![\w.]){re.escape(variable)}{_TYPE}", text, re.IGNORECASE)
        if declared is None:
            continue
        names = [part if part.startswith('"') else part.lower() for part in re.findall(_NAME, declared[1])]
        if names and names[-1] not in ("record", "alias"):
            found[variable] = qualified([object_names.unquoted(part) for part in names])
    return found
