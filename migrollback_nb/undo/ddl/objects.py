"""Schema objects as schema_snapshot() tells them: kinds, keys, and what SQL calls a kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Definition = Mapping[str, Any]
#: kind -> identity -> definition: a value of schema_snapshot().
Objects = Mapping[str, Mapping[str, Definition]]
#: (kind, identity)
Key = tuple[str, str]

RELATIONS = frozenset(
    {"table", "partitioned table", "view", "materialized view", "foreign table", "sequence", "composite type"}
)
TABLES = frozenset({"table", "partitioned table", "foreign table"})
TYPES = frozenset({"enum", "domain", "range", "base type", "composite type"})
ROUTINES = frozenset({"function", "procedure", "aggregate"})
VIEWS = ("view", "materialized view")
#: What SQL calls a kind, where that is not the kind itself in capitals.
_KEYWORD = {
    "partitioned table": "TABLE",
    "enum": "TYPE",
    "range": "TYPE",
    "base type": "TYPE",
    "composite type": "TYPE",
    "row type": "TYPE",
}


def keyword(kind: str) -> str:
    """What SQL calls a kind, after DROP or ALTER."""
    return _KEYWORD.get(kind, kind.upper())


def is_not_null(constraint: Definition) -> bool:
    """Whether a constraint is one of the not-null constraints, which PostgreSQL 18 lists: they come and go with their columns."""
    return str(constraint["def"]).startswith("NOT NULL")


def owning_column(sequence: Definition) -> str:
    """Identity of the column that owns a sequence; empty where none does."""
    return str(sequence.get("owned_by", "")).rsplit(" ", 1)[0]


def is_of_identity(sequence: Definition) -> bool:
    """Whether a sequence is that of an identity column, which makes and drops it."""
    return str(sequence.get("owned_by", "")).endswith(" i")
