"""Which SQL was written for migrations that are programs, and for which none could be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.text import as_line


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSql:
    """What was written for one migration."""

    migration_name: str  #: the migration
    up: str | None = None  #: the file with what its tool runs; None where none was written
    rollback: str | None = None  #: the file with what undoes it; None where none was written
    reason: str | None = None  #: why there is no file that undoes it; None where there is
    remarks: tuple[str, ...] = ()  #: what a person should know of it

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "migration_name": self.migration_name,
            "up": self.up,
            "rollback": self.rollback,
            "reason": self.reason,
            "remarks": list(self.remarks),
        }


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSql:
    """What `render` and `capture` wrote."""

    migrations: tuple[ProgramSql, ...]  #: of each migration, in the order in which their tool applies them
    warnings: tuple[str, ...] = ()  #: what is true of all of it

    @property
    def success(self) -> bool:
        """Whether at least one can be undone by what was written."""
        return any(one.rollback is not None for one in self.migrations)

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback render --format json` and of `capture`."""
        return {"migrations": [one.to_dict() for one in self.migrations], "warnings": list(self.warnings)}

    def lines(self) -> tuple[str, ...]:
        """A line for each migration, in words."""
        return (
            *(
                f"{one.migration_name}: {one.rollback}" if one.rollback else f"{one.migration_name}: ❌ {one.reason}"
                for one in self.migrations
            ),
            *self.warnings,
        )

    def __repr__(self) -> str:
        written = sum(one.rollback is not None for one in self.migrations)
        return f"<WrittenSql: what undoes {written} of {len(self.migrations)} migrations>"

    def _repr_html_(self) -> str:
        remarks = [f"{one.migration_name}: {remark}" for one in self.migrations for remark in one.remarks]
        rows = [(one.migration_name, one.rollback or f"❌ {one.reason}") for one in self.migrations]
        return html.definitions(rows) + html.warnings((*remarks, *self.warnings))
