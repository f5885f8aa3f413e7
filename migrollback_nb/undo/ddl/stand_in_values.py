"""Values that stand in for those that went with a column, where it takes no nulls and its table has rows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from migrollback_nb.core.object_names import split_last, split_table
from migrollback_nb.undo.ddl.objects import Definition
from migrollback_nb.undo.ddl.quoting import literal
from migrollback_nb.undo.ddl.states import Schemas

_TEXTS = re.compile(r"(?:text|character varying|character|name|citext|(?:\w+\.)?citext)(?:\((\d+)\))?$")
_WHOLE = frozenset({"smallint", "integer"})
#: Of types whose rows may hold the same value.
_SAME = {
    "bigint": "0",
    "numeric": "0",
    "real": "0",
    "double precision": "0",
    "money": "0",
    "boolean": "false",
    "date": "'epoch'",
    "timestamp without time zone": "'epoch'",
    "timestamp with time zone": "'epoch'",
    "time without time zone": "'00:00'",
    "time with time zone": "'00:00+00'",
    "interval": "'0'",
    "uuid": "'00000000-0000-0000-0000-000000000000'",
    "bytea": "''",
    "json": "'{}'",
    "jsonb": "'{}'",
    "xml": "''",
    "inet": "'0.0.0.0'",
    "cidr": "'0.0.0.0/32'",
    "tsvector": "''",
    "bit varying": "''",
}
_RANDOM_NUMBER = "('x' || left(replace(gen_random_uuid()::text, '-', ''), 15))::bit(60)::bigint"
#: Of types in a key: another one for each row.
_DISTINCT = {
    "bigint": _RANDOM_NUMBER,
    "numeric": _RANDOM_NUMBER,
    "uuid": "gen_random_uuid()",
    "bytea": "uuid_send(gen_random_uuid())",
    "timestamp without time zone": "clock_timestamp()",
    "timestamp with time zone": "clock_timestamp()",
    "json": "to_json(gen_random_uuid())",
    "jsonb": "to_jsonb(gen_random_uuid())",
}
_RANGES = frozenset({"int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What a column holds until a person puts the right values in."""

    default: str | None = None  #: what follows DEFAULT
    identity: bool = False  #: numbers, counted by an identity that is dropped again
    query: str | None = None  #: a subquery for an UPDATE: the value has to be one of another table


def stand_in(schemas: Schemas, identity: str, d: Definition) -> StandIn | None:
    """What stands in for the values of a column; None where nothing is known that could."""
    table, column = split_last(identity)
    if (referred := _referred(schemas, table, column)) is not None:
        parent, key = referred
        query = f"(SELECT {key} FROM {parent} LIMIT 1)"  # noqa: S608  # names of the schema
        return None if _is_key(schemas, table, column) else StandIn(query=query)
    if (allowed := _allowed(_constraints(schemas, table), column)) is not None:
        return StandIn(default=allowed)
    distinct = _is_key(schemas, table, column)
    if d["type"] in _WHOLE:
        return StandIn(identity=True) if distinct else StandIn(default="0")
    value = _value(schemas, str(d["type"]), distinct=distinct)
    return None if value is None else StandIn(default=value)


def _value(schemas: Schemas, type_name: str, *, distinct: bool) -> str | None:
    if type_name.endswith("[]"):
        return None if distinct else "'{}'"
    if text := _TEXTS.match(type_name):
        if not distinct:
            return "''"
        return f"left(md5(gen_random_uuid()::text), {text[1]})" if text[1] else "gen_random_uuid()::text"
    if re.sub(r"\([^)]*\)", "", type_name) in _RANGES or type_name in schemas.old.get("range", {}):
        return "'empty'"
    return _value_of_own_type(schemas, type_name, distinct=distinct)


def _value_of_own_type(schemas: Schemas, type_name: str, *, distinct: bool) -> str | None:
    plain = re.sub(r"\([^)]*\)", "", type_name)
    if (enum := schemas.old.get("enum", {}).get(type_name)) is not None:
        return literal(enum["labels"][0]) if enum.get("labels") and not distinct else None
    if (domain := schemas.old.get("domain", {}).get(type_name)) is not None:
        if domain["domain"].get("default") is not None and not distinct:
            return str(domain["domain"]["default"])
        checks = [
            str(constraint["def"])
            for other, constraint in schemas.old.get("domain constraint", {}).items()
            if split_table(other)[0] == type_name
        ]
        allowed = None if distinct else _allowed(checks, "VALUE")
        return allowed or _value(schemas, domain["domain"]["base"], distinct=distinct)
    if (composite := schemas.old.get("composite type", {}).get(type_name)) is not None and not distinct:
        return f"ROW({', '.join('NULL' for _ in composite.get('columns') or ())})::{type_name}"
    if plain in _WHOLE:
        return None if distinct else "0"
    return _DISTINCT.get(plain) if distinct else _SAME.get(plain)


def _constraints(schemas: Schemas, table: str) -> list[str]:
    return [str(d["def"]) for other, d in schemas.old.get("constraint", {}).items() if split_table(other)[0] == table]


def _named(column: str) -> str:
    return rf'(?<![\w".]){re.escape(column)}(?![\w"])'


def _referred(schemas: Schemas, table: str, column: str) -> tuple[str, str] | None:
    """(table, column) to which a foreign key of this column alone refers."""
    for text in _constraints(schemas, table):
        found = re.match(rf"FOREIGN KEY \({re.escape(column)}\) REFERENCES (.+?)\(([^,()]+)\)", text)
        if found:
            return found[1], found[2]
    return None


def _allowed(constraints: Iterable[str], column: str) -> str | None:
    """A value that the checks allow, where they list some, or give a least number or a length."""
    value = rf"{_named(column)}\)*(?:::[\w ]+)?"
    for text in constraints:
        if not text.startswith("CHECK"):
            continue
        if found := re.search(rf"{value} = ANY \(+ARRAY\[\(?('(?:[^']|'')*'|\d+)", text):
            return found[1]
        if found := re.search(rf"{value} (>=?) \(?'?(\d+)\b", text):
            return str(int(found[2]) + (found[1] == ">"))
        if found := re.search(rf"\b(octet_length|(?:char_)?length)\(\(?{value}\) (?:=|>=) (\d+)\b", text):
            zeros = f"repeat('0', {found[2]})"
            return f"convert_to({zeros}, 'UTF8')" if found[1] == "octet_length" else zeros
    return None


def _is_key(schemas: Schemas, table: str, column: str) -> bool:
    """Whether it stands in a key, so that each row must have another value."""
    keys = [text for text in _constraints(schemas, table) if text.startswith(("PRIMARY KEY", "UNIQUE", "EXCLUDE"))]
    keys += [
        str(d["def"]).split(" USING ", 1)[-1]
        for d in schemas.old.get("index", {}).values()
        if d["on"] == table and str(d["def"]).startswith("CREATE UNIQUE INDEX")
    ]
    return any(re.search(_named(column), text) for text in keys)
