"""Ownership: which objects are created and dropped with another and need no statement of their own. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from migrollback_nb.core.object_names import NAME, QUALIFIED, split_last, split_table
from migrollback_nb.undo.ddl.objects import (
    RELATIONS,
    ROUTINES,
    Definition,
    Key,
    Objects,
    is_not_null,
    is_of_identity,
    owning_column,
)
from migrollback_nb.undo.ddl.order import ORDER
from migrollback_nb.undo.ddl.states import Schemas


def is_dropped_with(schemas: Schemas, key: Key, d: Definition, among: Mapping[Key, Any]) -> bool:
    """Whether an object belongs to one of these, and is dropped with it."""
    return any(owner in among for owner in _owners(schemas, *key, d))


def _owners(schemas: Schemas, kind: str, identity: str, d: Definition) -> list[Key]:
    """What this is dropped with, as keys that it may have."""
    if kind == "column":
        return _relations(split_last(identity)[0])
    if kind == "index":
        constraint = [("constraint", f"{d['on']} {d['constraint']}")] if d.get("constraint") else []
        return constraint + _relations(d["on"])
    if kind in ("constraint", "trigger", "rule", "policy"):
        return _relations(split_table(identity)[0])
    if kind == "domain constraint":
        return [("domain", split_table(identity)[0])]
    if kind == "sequence" and d.get("owned_by"):
        column = owning_column(d)
        return [("column", column), *_relations(split_last(column)[0])]
    if kind in ("comment", "grant", "security label"):
        return _subjects(schemas, identity)
    return []


def _relations(identity: str) -> list[Key]:
    return [(kind, identity) for kind in RELATIONS]


def _subjects(schemas: Schemas, identity: str) -> list[Key]:
    """What a comment or grant is on, as keys that it may have."""
    on = re.fullmatch(rf".*?({NAME}) on (?:table )?({QUALIFIED})", identity, re.DOTALL)
    if on and not identity.startswith("text search"):
        parts = [
            (kind, f"{on[2]} {on[1]}") for kind in ("constraint", "domain constraint", "trigger", "rule", "policy")
        ]
        return [*parts, *_relations(on[2]), ("domain", on[2])]
    column = re.fullmatch(rf".*\bcolumn ({QUALIFIED}\.{NAME})", identity, re.DOTALL)
    if column:
        return [("column", column[1]), *_relations(split_last(column[1])[0])]
    routine = re.match(rf"(?:function|procedure|aggregate|routine) ({QUALIFIED})\(", identity)
    if routine:
        found = [
            key
            for key in (*schemas.created, *schemas.dropped)
            if key[0] in ROUTINES and key[1].startswith(routine[1] + "(")
        ]
        if identity.startswith("routine"):
            found = [key for key in found if f"routine {key[1]}" == identity]
        return found
    rest = re.search(rf"({QUALIFIED}|{NAME})$", identity)
    return [(kind, rest[1]) for kind in ORDER] if rest else []


def is_created_implicitly(schemas: Schemas, key: Key, d: Definition, where: Objects) -> bool:
    """Whether PostgreSQL creates it with another object of that state, mostly with its like on a parent table."""
    kind, identity = key
    match kind:
        case "index":
            return bool(d.get("parent")) and d["on"] not in schemas.detached
        case "function":
            return _is_of_range(d)
        case "cast":
            return "$multirange_constructor" in where.get("function", {}).get(str(d.get("func")), {}).get("def", "")
        case "column":
            return bool(d.get("inherited"))
        case "constraint":
            return (d.get("local") is False and split_table(identity)[0] not in schemas.detached) or is_not_null(d)
        case "sequence":
            return is_of_identity(d)
        case "trigger":
            return _is_of_parent(identity, where)
    return False


def _is_of_range(function: Definition) -> bool:
    return bool(re.search(r"\$(multi)?range_constructor\d", function.get("def", "")))


def _is_of_parent(trigger: str, where: Objects) -> bool:
    table, name = split_table(trigger)
    for kind in ("table", "partitioned table"):
        d = where.get(kind, {}).get(table, {})
        if "partition_bound" in d and any(
            f"{parent} {name}" in where.get("trigger", {}) for parent in d.get("inherits") or ()
        ):
            return True
    return False
