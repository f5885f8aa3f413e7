"""A body in PL/pgSQL -> the SQL that it runs and the types that it declares, by PostgreSQL's own parser. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import postgast
from postgast.errors import check_error
from postgast.native import lib
from postgast.pg_query_pb2 import A_Const, CreateFunctionStmt, DoStmt

# A tree of more than 100 levels is refused by protobuf otherwise, and fifty || in a row make one: a file of plain SQL
# would be an error of Python. The switch is in a part of protobuf that is its own: where a release has it elsewhere or
# not at all, only such trees stay unread.
with suppress(ImportError, AttributeError):
    from google.protobuf.internal import api_implementation

    # its name is private, and None without the C part
    getattr(api_implementation, "_c_module").SetAllowOversizeProtos(True)  # noqa: B009

#: Variables of trigger functions (tg_op and its like) come out as ``{}}``: one brace too many, and nothing that reads
#: JSON takes it.
_BRACE_TOO_MANY = re.compile(r"(?<=[\[,])\{\}\}(?=[,\]])")
_ASSIGNMENT = re.compile(r"\s*([\w\".\[\]$]+)\s*:?=\s*", re.DOTALL)
_DYNAMIC = frozenset({"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"})
#: parseMode of an expression that stands after an assignment's target, of three lengths (RAW_PARSE_PLPGSQL_ASSIGN1 to 3
#: in PostgreSQL's parser.h).
_ASSIGNMENTS = (3, 4, 5)


@dataclass(frozen=True, slots=True)
class Query:
    """One statement or expression of a body."""

    sql: str  #: an expression comes as ``SELECT expression``
    #: it is one of the constant texts that SQL is built of while the function runs (EXECUTE), not a whole statement
    built: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What a body says; in the order in which it stands there."""

    queries: tuple[Query, ...]
    types: tuple[str, ...]  #: of the variables, as they are written
    records: tuple[str, ...] = ()  #: variables that are records, or rows of a declared type


def parse_body(statement: str) -> Body | None:
    """The body of a CREATE FUNCTION, CREATE PROCEDURE or DO statement in PL/pgSQL; None where it cannot be read.

    postgast.parse_plpgsql() fails on every trigger function, because libpg_query writes their variables with a brace
    too many.
    """
    if not _has_source(statement):
        return None
    result = lib.pg_query_parse_plpgsql(statement.encode())
    try:
        check_error(result)
        found = result.plpgsql_funcs.decode()
    except postgast.PgQueryError:
        return None
    finally:
        lib.pg_query_free_plpgsql_parse_result(result)
    declared, action, rest = found.partition('"action":')
    for candidate in (found, _BRACE_TOO_MANY.sub("{}", declared) + action + rest):
        with suppress(ValueError):
            tree = json.loads(candidate)
            return Body(tuple(_queries(tree)), tuple(_types(tree)), tuple(_records(tree))) if tree else None
    return None


def _has_source(statement: str) -> bool:
    """Whether a body stands there as text: where none does, a failed assertion in C ends the whole process."""
    try:
        parsed = postgast.parse(statement)
    except postgast.PgQueryError:
        return False
    options = [*postgast.find_nodes(parsed, CreateFunctionStmt), *postgast.find_nodes(parsed, DoStmt)]
    return bool(options) and all(
        any(
            option.def_elem.defname == "as"
            for option in (one.options if isinstance(one, CreateFunctionStmt) else one.args)
        )
        for one in options
    )


def _types(tree: Any) -> Iterator[str]:
    for key, item in _items(tree):
        if key == "PLpgSQL_type" and isinstance(item, dict) and "typname" in item:
            yield item["typname"].strip()
        else:
            yield from _types(item)


def _records(tree: Any) -> Iterator[str]:
    for key, item in _items(tree):
        if key == "PLpgSQL_rec" and isinstance(item, dict):
            yield item.get("refname", "")
        else:
            yield from _records(item)


def _queries(tree: Any) -> Iterator[Query]:
    for key, item in _items(tree):
        if key == "PLpgSQL_expr" and "query" in item:
            yield from _of_expression(item)
        elif key in _DYNAMIC:
            # the text that is run is an expression; what it is USING, and what runs for each row, are as anywhere
            yield from (
                Query(text, built=True)
                for expression in item.get("query", {}).values()
                for text in _constants(f"SELECT {expression['query']}")
            )
            yield from _queries(item)
        else:
            yield from _queries(item)


def _of_expression(expression: dict[str, Any]) -> Iterator[Query]:
    mode, query = expression.get("parseMode", 0), expression["query"]
    if mode in _ASSIGNMENTS and (assigned := _ASSIGNMENT.match(query)):
        yield Query(f"SELECT {assigned[1]}")  # NEW.a := ... names a column
        query = query[assigned.end() :]
    yield Query(f"SELECT {query}" if mode else query)


def _items(tree: Any) -> Iterator[tuple[str | None, Any]]:
    """(key or None, value) of what a piece of JSON is made of."""
    if isinstance(tree, dict):
        yield from tree.items()
    elif isinstance(tree, list):
        yield from ((None, item) for item in tree)


def _constants(query: str) -> list[str]:
    """The constant texts of an expression; an empty one where there are none."""
    found = []
    with suppress(postgast.PgQueryError):
        found = [one.sval.sval for one in postgast.find_nodes(postgast.parse(query), A_Const) if one.HasField("sval")]
    # format()'s places become a name that no function has
    return [re.sub(r"%(?:\d+\$)?-?\d*[sIL]", " x ", text) for text in found] or [""]
