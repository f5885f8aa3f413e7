"""Values that statements compare columns with: a row that has one of them is one that the statement is about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import postgast
from postgast import pg_query_pb2 as tree

from migrollback_nb.parsing import plpgsql
from migrollback_nb.parsing.parse_tree import parsed_statements

#: Comparisons of more than this many columns or values are about something else: a list of keys.
_MOST = 12
_STATEMENTS = frozenset(
    {
        "insert_stmt",
        "update_stmt",
        "delete_stmt",
        "merge_stmt",
        "select_stmt",
        "create_table_as_stmt",
        "alter_table_stmt",
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Compared:
    """A column and a value that a statement asks it for."""

    table: str  #: one of the tables of that statement, without its schema
    column: str
    value: str | None  #: as text; None for NULL


def compared_values(text: str) -> tuple[Compared, ...]:
    """What the statements of a text, DO blocks included, compare columns with: ``=``, ``<>``, IN, IS NULL, CASE. Pure.

    Examples
    --------
    >>> compared_values("UPDATE jobs SET done = true WHERE state IN ('failed', 'gone') AND ended IS NULL")[0]
    Compared(table='jobs', column='state', value='failed')
    """
    found: dict[Compared, None] = {}
    for statement, inner in _statements(text):
        tables = list(dict.fromkeys(relation.relname for relation in postgast.find_nodes(statement, tree.RangeVar)))
        if inner not in _STATEMENTS or len(tables) > _MOST:
            continue
        pairs = list(dict.fromkeys(_pairs(statement)))
        for table in tables:
            found |= dict.fromkeys(Compared(table, column, value) for column, value in pairs[:_MOST])
    return tuple(found)


def _statements(text: str) -> Iterator[tuple[Any, str]]:
    for node, _, statement in parsed_statements(text):
        kind = node.WhichOneof("node") or ""
        if kind == "do_stmt":
            body = plpgsql.parse_body(statement)
            for query in () if body is None else body.queries:
                if not query.built:
                    yield from _statements(query.sql)
        else:
            yield node, kind


def _pairs(statement: Any) -> Iterator[tuple[str, str | None]]:
    for expression in postgast.find_nodes(statement, tree.A_Expr):
        if expression.kind in _COMPARES and _operator(expression) in ("=", "<>", "!="):
            yield from _compared(expression.lexpr, [expression.rexpr])
            yield from _compared(expression.rexpr, [expression.lexpr])
    for test in postgast.find_nodes(statement, tree.NullTest):
        column = _column(test.arg)
        if column is not None:
            yield column, None
    for case in postgast.find_nodes(statement, tree.CaseExpr):
        yield from _compared(case.arg, (when.case_when.expr for when in case.args))


def _compared(node: Any, others: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """The constants among others, where a node is a column."""
    column = _column(node)
    if column is not None:
        for other in others:
            for value in _constants(other):
                yield column, value


_KIND = tree.A_Expr_Kind
_COMPARES = frozenset({_KIND.AEXPR_OP, _KIND.AEXPR_IN, _KIND.AEXPR_DISTINCT, _KIND.AEXPR_OP_ANY})


def _operator(expression: Any) -> str:
    return expression.name[-1].string.sval if expression.name else ""


def _bare(node: Any) -> Any:
    """What is cast."""
    while node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return node


def _column(node: Any) -> str | None:
    node = _bare(node)
    if node.WhichOneof("node") != "column_ref":
        return None
    last = node.column_ref.fields[-1]
    return last.string.sval if last.WhichOneof("node") == "string" else None


def _constants(node: Any) -> Iterator[str]:
    node = _bare(node)
    match node.WhichOneof("node"):
        case "a_const":
            constant = node.a_const
            match constant.WhichOneof("val"):
                case "sval":
                    yield constant.sval.sval
                case "ival":
                    yield str(constant.ival.ival)
                case "fval":
                    yield constant.fval.fval
                case "boolval":
                    yield "t" if constant.boolval.boolval else "f"
        case "list":
            for item in node.list.items:
                yield from _constants(item)
        case "a_array_expr":
            for item in node.a_array_expr.elements:
                yield from _constants(item)
