"""Clauses that CREATE and ALTER share: options, settings, and what single kinds of objects say of themselves. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from migrollback_nb.core.object_names import quote, split_table
from migrollback_nb.undo.ddl.objects import Definition, Step, once_all_exist
from migrollback_nb.undo.ddl.quoting import literal

_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
#: Names of options that look like secrets, as schema_objects() takes them.
_SECRET = re.compile(r"pass|secret|token|key|cred", re.IGNORECASE)
#: What SQL calls the letter that the catalogs have for when a trigger or rule fires.
ENABLED = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


# -- options -----------------------------------------------------------------------------------------------------------


def options(found: Sequence[str] | None) -> dict[str, str]:
    """``["fillfactor=70"]``, as the catalogs have it, by name."""
    return dict(option.split("=", 1) for option in found or ())


def option_list(found: Mapping[str, str], prefix: str = "") -> str:
    """What stands inside WITH (...) or SET (...)."""
    return ", ".join(
        f"{prefix}{name}={value if re.fullmatch(r'[a-z0-9.]+', value) else literal(value)}"
        for name, value in found.items()
        if not _is_postgresqls(name)
    )


def _is_postgresqls(name: str) -> bool:
    """Whether PostgreSQL keeps this option for itself (15.20: pg_attver); older snapshots hold it."""
    return name.startswith("pg_")


def with_options(found: Sequence[str] | None) -> str:
    """Write WITH (...), where there are options."""
    listed = option_list(options(found))
    return f" WITH ({listed})" if listed else ""


def option_changes(was: Mapping[str, str], now: Mapping[str, str], prefix: str = "") -> list[str]:
    """Write SET (...) and RESET (...), which bring options back to what they were."""
    found = []
    kept = {name: value for name, value in was.items() if now.get(name) != value and not _is_postgresqls(name)}
    gone = [f"{prefix}{name}" for name in now if name not in was and not _is_postgresqls(name)]
    if kept:
        found.append(f"SET ({option_list(kept, prefix)})")
    if gone:
        found.append(f"RESET ({', '.join(gone)})")
    return found


def foreign_options(found: Sequence[str] | None) -> str:
    """OPTIONS (...) of something foreign, where there are any."""
    listed = ", ".join(f"{quote(name)} {literal(value)}" for name, value in options(found).items())
    return f" OPTIONS ({listed})" if listed else ""


def without_secrets(d: Definition) -> list[str]:
    """The options of a user mapping, with words to fill in for those that look like secrets."""
    return [
        f"{name}={'fill this in' if _SECRET.search(name) else value}"
        for name, value in options(d.get("options")).items()
    ]


def foreign_changes(was: Sequence[str] | None, now: Sequence[str] | None) -> str:
    """OPTIONS (...) that bring the options of something foreign back; empty where they are the same."""
    before, after = options(was), options(now)
    parts = [f"DROP {quote(name)}" for name in after if name not in before]
    parts += [
        f"{'SET' if name in after else 'ADD'} {quote(name)} {literal(value)}"
        for name, value in before.items()
        if after.get(name) != value
    ]
    return f"OPTIONS ({', '.join(parts)})" if parts else ""


# -- expressions -------------------------------------------------------------------------------------------------------


def bare(expression: str) -> str:
    """Without the parentheses around all of it."""
    if expression.startswith("(") and expression.endswith(")"):
        depth = 0
        for place, sign in enumerate(expression):
            depth += (sign == "(") - (sign == ")")
            if depth == 0 and place < len(expression) - 1:
                return expression
        return expression[1:-1]
    return expression


def query(d: Definition) -> str:
    """The query of a view."""
    return str(d["query"]).rstrip().removesuffix(";")


# -- single kinds ------------------------------------------------------------------------------------------------------


def attribute(quoted: str, d: Definition) -> str:
    """One attribute of a composite type."""
    return f"{quoted} {d['type']}" + (f" COLLATE {d['collation']}" if d.get("collation") else "")


def new_sequence(like: Mapping[str, Any]) -> dict[str, Any]:
    """What a new sequence has that counts in the same direction and has the same type."""
    largest = _LARGEST[like["type"]]
    up = like["inc"] > 0
    return {
        "type": "bigint",
        "inc": 1,
        "min": 1 if up else -largest - 1,
        "max": largest if up else -1,
        "start": like["min"] if up else like["max"],
        "cache": 1,
        "cycle": False,
    }


def sequence_options(was: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Those options of a sequence that are not what it has anyway."""
    text = f" AS {was['type']}" if was["type"] != usual["type"] else ""
    for field, word in (
        ("inc", "INCREMENT BY"),
        ("min", "MINVALUE"),
        ("max", "MAXVALUE"),
        ("start", "START WITH"),
        ("cache", "CACHE"),
    ):
        if was[field] != usual[field]:
            text += f" {word} {was[field]}"
    if bool(was["cycle"]) != bool(usual["cycle"]):
        text += " CYCLE" if was["cycle"] else " NO CYCLE"
    return text


def policy_rest(d: Definition, *, always: bool = False) -> str:
    """What a policy says of roles and rows; always: name the roles even where that is everybody."""
    roles = ["PUBLIC" if role == "public" else role for role in d.get("roles") or ()]
    text = f" TO {', '.join(roles)}" if roles and (always or roles != ["PUBLIC"]) else ""
    if d.get("using") is not None:
        text += f" USING ({bare(d['using'])})"
    if d.get("check") is not None:
        text += f" WITH CHECK ({bare(d['check'])})"
    return text


def publish(d: Definition) -> str:
    """The parameters of a publication."""
    actions = [
        word
        for field, word in (
            ("pubinsert", "insert"),
            ("pubupdate", "update"),
            ("pubdelete", "delete"),
            ("pubtruncate", "truncate"),
        )
        if d.get(field)
    ]
    text = f"publish = '{', '.join(actions)}'"
    return text + (", publish_via_partition_root = true" if d.get("pubviaroot") else "")


def published(d: Definition, *, names_only: bool = False) -> str:
    """The tables and schemas of a publication; names_only: as DROP wants them."""
    tables = []
    for row in d.get("tables") or ():
        table = f"{quote(row['schemaname'])}.{quote(row['tablename'])}"
        if row.get("attnames") and not names_only:
            table += f" ({', '.join(quote(name) for name in row['attnames'])})"
        if row.get("rowfilter") and not names_only:
            table += f" WHERE {row['rowfilter'] if row['rowfilter'].startswith('(') else '(' + row['rowfilter'] + ')'}"
        tables.append(table)
    parts = [f"TABLE {', '.join(tables)}"] if tables else []
    if d.get("schemas"):
        parts.append(f"TABLES IN SCHEMA {', '.join(d['schemas'])}")
    return ", ".join(parts)


def needs_extensions(what: str, d: Definition, now: Definition | None = None) -> list[Step]:
    """Say which extensions an object is dropped with (DEPENDS ON EXTENSION), and with which no more."""
    was, has = d.get("depends_on_extension") or [], (now or {}).get("depends_on_extension") or []
    return [
        *(once_all_exist(f"ALTER {what} DEPENDS ON EXTENSION {quote(name)}") for name in was if name not in has),
        *(once_all_exist(f"ALTER {what} NO DEPENDS ON EXTENSION {quote(name)}") for name in has if name not in was),
    ]


def firing(part: str, identity: str, d: Definition) -> str:
    """Say when a trigger or rule fires: always, never, on replicas."""
    table, name = split_table(identity)
    return f"ALTER TABLE {table} {ENABLED[d['enabled']]} {part} {name}"
