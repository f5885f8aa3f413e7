"""What a rollback will lock so that others wait, and for how long: said before it runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeseenLock:
    """The strongest lock that a rollback will take on one relation. Times are estimates, or of the last rehearsal."""

    relation: str  #: the table, schema-qualified
    mode: str  #: as PostgreSQL's manual names it: ACCESS EXCLUSIVE
    work: Literal["rewrite", "scan", "build"] | None  #: what lasts; None: it is done at once
    why: str  #: the form of SQL that takes it
    bytes: int | None  #: size of the table with its indexes
    ms: float  #: how long the work lasts, in milliseconds
    held_ms: float  #: from there until the end of the SQL
    measured: bool  #: times are those of the last rehearsal here
    migration_name: str  #: whose rollback takes it
    statement_number: int  #: which statement, counted from 1
    words: str  #: all of it in words, as the database puts it


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a rollback will lock so that readers or writers wait."""

    locks: tuple[ForeseenLock, ...] = ()  #: one for each relation, the longest work first
    longest_ms: float = 0  #: how long others would wait at most
    unknown: tuple[str, ...] = ()  #: migrations whose rollback SQL was not parsed for it

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Self:
        """From what foreseen_locks() gives."""
        return cls(
            locks=tuple(ForeseenLock(**lock) for lock in known["locks"]),
            longest_ms=known["longest_ms"],
            unknown=tuple(known["unknown"]),
        )

    @property
    def long(self) -> tuple[ForeseenLock, ...]:
        """Those that last: for a rewrite, a scan, the build of an index, or until the end of such."""
        return tuple(lock for lock in self.locks if lock.work is not None or lock.held_ms >= 1000)

    def stalls(self, max_stall_ms: float | None) -> bool:
        """Whether others would wait for longer than this."""
        return max_stall_ms is not None and self.longest_ms > max_stall_ms

    def lines(self) -> tuple[str, ...]:
        """What lasts, in words, a line each."""
        return tuple(lock.words for lock in self.long)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "locks": [asdict(lock) for lock in self.locks],
            "longest_ms": self.longest_ms,
            "unknown": list(self.unknown),
        }
