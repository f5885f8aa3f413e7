"""PL/pgSQL text -> the tree that PostgreSQL's own parser makes of it, and the queries in it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from postgast.errors import PgQueryError, check_error
from postgast.native import lib

#: Variables of trigger functions (tg_op and its like) come out as ``{}}``: one brace too many, and nothing that reads JSON takes it.
_BRACE_TOO_MANY = re.compile(r"(?<=[\[,])\{\}\}(?=[,\]])")


def parse_plpgsql(text: str) -> list[Any]:
    """The body of a CREATE FUNCTION or DO statement as nested lists and dicts; nothing where it cannot be read: the server will say what is wrong.

    postgast.parse_plpgsql() fails on every trigger function, because libpg_query writes their variables with a brace too many.
    """
    result = lib.pg_query_parse_plpgsql(text.encode())
    try:
        check_error(result)
        found = result.plpgsql_funcs.decode()
    except PgQueryError:
        return []
    finally:
        lib.pg_query_free_plpgsql_parse_result(result)
    declared, action, rest = found.partition('"action":')
    for candidate in (found, _BRACE_TOO_MANY.sub("{}", declared) + action + rest):
        try:
            return list(json.loads(candidate))
        except ValueError:
            continue
    return []


def queries(body: Any, *, dynamic: bool = False) -> Iterator[tuple[str, bool]]:
    """(query or expression, whether it is the text of an EXECUTE), in order."""
    if isinstance(body, list):
        for item in body:
            yield from queries(item, dynamic=dynamic)
    elif isinstance(body, dict):
        for key, item in body.items():
            if key == "query" and isinstance(item, str):
                yield item, dynamic
            else:
                yield from queries(item, dynamic=dynamic or key == "PLpgSQL_stmt_dynexecute")


def declared_types(body: Any) -> Iterator[str]:
    """Types of the variables, as they are written."""
    if isinstance(body, list):
        for item in body:
            yield from declared_types(item)
    elif isinstance(body, dict):
        for key, item in body.items():
            if key == "typname" and isinstance(item, str):
                yield item.strip()
            else:
                yield from declared_types(item)
