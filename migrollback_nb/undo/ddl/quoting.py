"""Names in DDL: quoting them, and the names that PostgreSQL chooses. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrollback_nb.core.object_names import NAME, split_last, unquoted


def literal(text: str) -> str:
    """Quote a string for SQL."""
    quoted = "'" + text.replace("'", "''") + "'"
    return quoted if "\\" not in text else "E" + quoted.replace("\\", "\\\\")


def argument_types(identity: str) -> str:
    """Of ``f(a integer, b text)`` what pg_identify_object says: ``integer,text``; good for plain arguments."""
    inside = identity.split("(", 1)[1].rsplit(")", 1)[0]
    parts = [
        re.sub(rf"^(?:(?:IN|INOUT|VARIADIC) )?{NAME} (?=\S)", "", part.strip()) if " " in part.strip() else part.strip()
        for part in inside.split(",")
    ]
    return ",".join(parts)


def operator(identity: str) -> str:
    """Name an operator as DROP OPERATOR wants it: a prefix operator has NONE on its left."""
    return identity.replace("(-,", "(NONE,")


def operator_call(text: str) -> str:
    """``public.+(integer,integer)`` -> ``OPERATOR(public.+)``."""
    name = text.split("(", maxsplit=1)[0]
    return f"OPERATOR({name})" if "." in name else name


def default_name(table: str, columns: Sequence[str], label: str) -> str:
    """Name that PostgreSQL gives a thing on a table, without quotes, unless that is taken: cut as makeObjectName() does. Table and columns may be quoted."""
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
