"""The names that PostgreSQL chooses where a statement gives none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import postgast

from migrollback_nb.core.object_names import split_last, unquoted
from migrollback_nb.parsing.parse_tree import PB, strings

_CONSTRAINT = PB.ConstrType


def default_name(table: str, columns: Sequence[str], label: str) -> str:
    """Name that PostgreSQL gives what stands on a table, without quotes, unless that is taken.

    It is cut as makeObjectName() does. Table and columns may be quoted.
    """
    first = unquoted(split_last(table)[1] or table).encode()
    second = "_".join(unquoted(column) for column in columns).encode()
    room = 63 - len(label) - 1 - (1 if second else 0)
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = [part.decode(errors="ignore") for part in (first, second) if part]
    return "_".join((*parts, label))


def index_name(m: Any) -> str:
    """Name that PostgreSQL gives an index that has none, unless that is taken."""
    columns = []
    for parameter in m.index_params:
        element = parameter.index_elem
        call = element.expr.func_call
        columns.append(element.name or (call.funcname[-1].string.sval if call.funcname else "expr"))
    return default_name(m.relation.relname, columns, "key" if m.unique and m.isconstraint else "idx")


def constraint_name(table: str, m: Any) -> str:
    """Name that PostgreSQL gives a constraint that has none, unless that is taken."""
    match m.contype:
        case _CONSTRAINT.CONSTR_PRIMARY:
            return default_name(table, [], "pkey")
        case _CONSTRAINT.CONSTR_UNIQUE:
            return default_name(table, strings(m.keys), "key")
        case _CONSTRAINT.CONSTR_FOREIGN:
            return default_name(table, strings(m.fk_attrs), "fkey")
        case _CONSTRAINT.CONSTR_NOTNULL:
            return default_name(table, strings(m.keys), "not_null")
        case _CONSTRAINT.CONSTR_EXCLUSION:
            return default_name(table, [e.list.items[0].index_elem.name or "expr" for e in m.exclusions], "excl")
    columns = {column.fields[-1].string.sval for column in postgast.find_nodes(m, PB.ColumnRef)}
    return default_name(table, list(columns) if len(columns) == 1 else [], "check")
