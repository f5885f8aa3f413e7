"""Schema objects as schema_snapshot() has them, and the steps that bring them back: data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
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
    """Whether it is a not-null constraint: PostgreSQL 18 lists them, and creates and drops them with their columns."""
    return str(constraint["def"]).startswith("NOT NULL")


def owning_column(sequence: Definition) -> str:
    """Identity of the column that owns a sequence; empty where none does."""
    return str(sequence.get("owned_by", "")).rsplit(" ", 1)[0]


def is_of_identity(sequence: Definition) -> bool:
    """Whether a sequence is that of an identity column, which creates and drops it."""
    return str(sequence.get("owned_by", "")).endswith(" i")


# -- steps -------------------------------------------------------------------------------------------------------------


class Stage(IntEnum):
    """When a step runs, among those that bring objects back."""

    IN_TURN = 0
    ONCE_ALL_EXIST = 1  #: it names what may be created after its own object
    OWNER = 2  #: the role that gives an object away may alter it no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement, or something that a person must do."""

    sql: str | None = None  #: without the semicolon; None where there is only something to do
    todo: str | None = None  #: what a person must look after, and why; stands before the statement
    stage: Stage = field(default=Stage.IN_TURN, compare=False, repr=False)  #: when it runs


def by_hand(kind: str, identity: str, what: str) -> Step:
    """Leave to a person what cannot be written."""
    return Step(todo=f"{kind} {identity} {what}: write by hand what undoes that")


def once_all_exist(sql: str) -> Step:
    """Run a statement after all objects are created."""
    return Step(sql=sql, stage=Stage.ONCE_ALL_EXIST)
