"""Names and strings in DDL, quoted as SQL wants them. Pure."""

from __future__ import annotations

import re

from migrollback_nb.core.object_names import NAME


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
