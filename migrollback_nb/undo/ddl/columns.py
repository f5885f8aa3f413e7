"""How a column is defined: its type, default, identity and nullability, and what ALTER COLUMN alone can say. Pure."""

from __future__ import annotations

import re

from migrollback_nb.core.object_names import quote, split_last, unquoted
from migrollback_nb.parsing.default_names import default_name
from migrollback_nb.undo.ddl.clauses import (
    bare,
    foreign_options,
    new_sequence,
    option_changes,
    options,
    sequence_options,
)
from migrollback_nb.undo.ddl.objects import Definition, Step, once_all_exist, owning_column
from migrollback_nb.undo.ddl.quoting import literal
from migrollback_nb.undo.ddl.states import Schemas

_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}
#: Types with casts between them, in both directions.
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"})
_MOMENTS = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})
_TEXTS = frozenset({"text", "character varying", "character", "name"})
_FAMILIES = (
    _NUMBERS,
    _MOMENTS,
    _TEXTS,
    frozenset({"json", "jsonb"}),
    frozenset({"integer", "boolean"}),
    frozenset({"bit", "bit varying"}),
    frozenset({"inet", "cidr"}),
)


def column_definition(schemas: Schemas, table: str, quoted: str, d: Definition, *, not_null: bool = True) -> str:
    """What follows the name of a column in CREATE TABLE and ADD COLUMN."""
    text = str(d["type"])
    if d.get("fdw"):
        text += foreign_options(d["fdw"])
    if d.get("collation"):
        text += f" COLLATE {d['collation']}"
    if d.get("generated"):
        text += f" GENERATED ALWAYS AS ({bare(d['default'])}) {'STORED' if d['generated'] == 's' else 'VIRTUAL'}"
    elif d.get("default") is not None:
        text += f" DEFAULT {d['default']}"
    elif d.get("identity"):
        text += " " + identity_clause(schemas, table, quoted, d)
    if d.get("notnull") and not_null and not is_not_valid(schemas, table, quoted):
        name, rest = schemas.old_not_null.get((table, quoted), (None, ""))
        text += (
            f" CONSTRAINT {name} NOT NULL"
            if name and unquoted(name) != default_name(table, [quoted], "not_null")
            else " NOT NULL"
        )
        text += rest if "NO INHERIT" in rest else ""
    return text


def is_not_valid(schemas: Schemas, table: str, column: str) -> bool:
    """Whether a not-null constraint was never checked for the rows that there are: it has a statement of its own."""
    return "NOT VALID" in schemas.old_not_null.get((table, column), ("", ""))[1]


def own_not_null(schemas: Schemas, table: str, column: str) -> str | None:
    """What adds a not-null constraint that SET NOT NULL cannot say; None where that does."""
    name, rest = schemas.old_not_null.get((table, column), ("", ""))
    if schemas.major < 18 or not ("NOT VALID" in rest or "NO INHERIT" in rest):
        return None
    return f"ADD CONSTRAINT {name} NOT NULL {column}{rest}"


def identity_clause(schemas: Schemas, table: str, quoted: str, d: Definition) -> str:
    """GENERATED ... AS IDENTITY, with those options of its sequence that are not usual."""
    text = f"GENERATED {generated_when(d)} AS IDENTITY"
    for identity, other in schemas.old.get("sequence", {}).items():
        if other.get("owned_by") == f"{table}.{quoted} i":
            parts = []
            if unquoted(split_last(identity)[1]) != default_name(table, [quoted], "seq"):
                parts.append(f"SEQUENCE NAME {identity}")
            sequence = other["sequence"]
            # its type is that of the column
            found = sequence_options(sequence, {**new_sequence(sequence), "type": sequence["type"]})
            if found:
                parts.append(found.strip())
            if parts:
                text += f" ({' '.join(parts)})"
    return text


def generated_when(d: Definition) -> str:
    """Whether an identity column takes values from elsewhere."""
    return "ALWAYS" if d["identity"] == "a" else "BY DEFAULT"


def not_null_name(schemas: Schemas, table: str, column: str) -> list[Step]:
    """Give a not-null constraint the name that it had, where PostgreSQL keeps one."""
    name, _ = schemas.old_not_null.get((table, column), (None, ""))
    usual = default_name(table, [column], "not_null")
    if name is None or unquoted(name) == usual or schemas.major < 18:
        return []
    return [Step(sql=f"ALTER TABLE {table} RENAME CONSTRAINT {quote(usual)} TO {name}")]


def after_rows(schemas: Schemas, sequence: str, d: Definition) -> list[Step]:
    """Let a sequence that is new go on after the values that its column holds; none where they went with the table."""
    table, column = split_last(owning_column(d))
    if not table or (("table", table) in schemas.dropped and table not in schemas.kept):
        return []
    if ("column", f"{table}.{column}") in schemas.dropped and ("table", table) not in schemas.dropped:
        return []
    farthest = "max" if d["sequence"]["inc"] > 0 else "min"
    reached = f"pg_catalog.{farthest}({column})"
    of = f"FROM {table} HAVING pg_catalog.count({column}) > 0"
    # names of the schema
    return [once_all_exist(f"SELECT pg_catalog.setval({literal(sequence)}, {reached}) {of}")]


def column_settings(was: Definition, now: Definition) -> list[str]:
    """What follows ALTER COLUMN name, for all that is neither type, default nor nullability."""
    found = []
    if was.get("storage") != now.get("storage"):
        found.append(f"SET STORAGE {_STORAGE[was.get('storage') or _usual_storage(was['type'])]}")
    if was.get("compression") != now.get("compression"):
        found.append(f"SET COMPRESSION {_COMPRESSION.get(str(was.get('compression')), 'DEFAULT')}")
    if was.get("stats") != now.get("stats"):
        found.append(f"SET STATISTICS {was.get('stats', -1)}")
    return found + option_changes(options(was.get("options")), options(now.get("options")))


def _usual_storage(type_name: str) -> str:
    if re.match(r"text|character varying|json|bytea|xml|character|.*\[\]|ts", type_name):
        return "x"
    return "m" if type_name.startswith(("numeric", "inet", "cidr")) else "p"


def converted(column: str, now: str, was: str) -> str:
    """Convert a value to another type: PostgreSQL has a cast for few pairs, but between text and any type."""
    one, other = (re.sub(r"\([^)]*\)", "", name) for name in (now, was))
    if one in _MOMENTS and other in _NUMBERS:
        return f"extract(epoch FROM {column})::{was}"
    if one in _NUMBERS and other in _MOMENTS:
        return f"to_timestamp({column})::{was}"
    if (
        one == other
        or one in _TEXTS
        or other in _TEXTS
        or any(one in family and other in family for family in _FAMILIES)
    ):
        return f"{column}::{was}"
    return f"{column}::text::{was}"
