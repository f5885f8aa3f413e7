"""DROP: what takes an object away again. Pure."""

from __future__ import annotations

from migrollback_nb.core.object_names import split_last, split_table
from migrollback_nb.undo.ddl.objects import VIEWS, Definition, Step, by_hand, keyword
from migrollback_nb.undo.ddl.quoting import operator
from migrollback_nb.undo.ddl.states import Schemas


def drop_steps(schemas: Schemas, kind: str, identity: str, d: Definition) -> list[Step]:
    """Take an object away."""
    match kind:
        case "column":
            return _drop_column(schemas, identity)
        case "constraint":
            table, name = split_table(identity)
            sql = f"{schemas.alter(table)} DROP CONSTRAINT IF EXISTS {name}"
        case "domain constraint":
            domain, name = split_table(identity)
            sql = f"ALTER DOMAIN {domain} DROP CONSTRAINT IF EXISTS {name}"
        case "index":
            sql = f"DROP INDEX{' CONCURRENTLY' if schemas.concurrently else ''} IF EXISTS {identity}"
        case "trigger" | "rule" | "policy":
            table, name = split_table(identity)
            sql = f"DROP {keyword(kind)} IF EXISTS {name} ON {table}"
        case "user mapping":
            server, user = identity.split(" for ", 1)
            sql = f"DROP USER MAPPING IF EXISTS FOR {user} SERVER {server}"
        case "operator":
            sql = f"DROP OPERATOR IF EXISTS {operator(identity)}"
        case "text search parser/template" | "transform":
            return [by_hand(kind, identity, "was created")]
        case "function" | "procedure" if d.get("def", "") == "":
            sql = f"DROP ROUTINE IF EXISTS {identity}"
        case _:
            sql = f"DROP {keyword(kind)} IF EXISTS {identity}"
    return [Step(sql=sql)]


def _drop_column(schemas: Schemas, identity: str) -> list[Step]:
    table, column = split_last(identity)
    if any(table in schemas.new.get(kind, {}) for kind in VIEWS):
        return []  # with the view's own text
    if table in schemas.new.get("composite type", {}):
        return [Step(sql=f"ALTER TYPE {table} DROP ATTRIBUTE IF EXISTS {column}")]
    return [Step(sql=f"{schemas.alter(table)} DROP COLUMN IF EXISTS {column}")]
