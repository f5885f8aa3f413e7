"""One step of a rollback: a statement, or something that a person must do. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Stage(IntEnum):
    """When a step runs, among those that bring objects back."""

    IN_TURN = 0
    ONCE_ALL_IS_THERE = 1  #: it names what may be made after its own object
    OWNER = 2  #: who gives an object away may alter it no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement, or one thing that a person must do."""

    sql: str | None = None  #: without the semicolon; None where there is only something to do
    todo: str | None = None  #: what a person must look after, and why; stands before the statement
    stage: Stage = field(default=Stage.IN_TURN, compare=False, repr=False)  #: when it runs


def by_hand(kind: str, identity: str, what: str) -> Step:
    """Leave to a person what cannot be written."""
    return Step(todo=f"{kind} {identity} {what}: write by hand what undoes that")


def once_all_is_there(sql: str) -> Step:
    """Run a statement after all objects are made."""
    return Step(sql=sql, stage=Stage.ONCE_ALL_IS_THERE)
