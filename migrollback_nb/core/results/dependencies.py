"""How recording inferred dependencies ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.text import as_line, one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyRecord:
    """One inferred dependency, and whether it was recorded."""

    migration_name: str  #: the dependent
    depends_on: str  #: what it needs
    because: str  #: the objects that are the reason
    recorded: bool  #: True: it blocks and orders from now on
    remark: str | None = None  #: why it was not recorded

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "migration_name": self.migration_name,
            "depends_on": self.depends_on,
            "because": self.because,
            "recorded": self.recorded,
            "remark": self.remark,
        }


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class DismissResult:
    """An inferred dependency that was taken away for good."""

    migration_name: str  #: the dependent
    depends_on: str  #: what it does not depend on
    reason: str  #: why, as it stands in the audit log
    dismissed: bool  #: False: it was dismissed already, and nothing was written

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback deps --dismiss --format json`."""
        return {
            "migration_name": self.migration_name,
            "depends_on": self.depends_on,
            "reason": self.reason,
            "dismissed": self.dismissed,
        }

    def __repr__(self) -> str:
        done = "dismissed" if self.dismissed else "was dismissed already"
        return one_line(f"<DismissResult {self.migration_name} needs {self.depends_on}: {done}>")

    def _repr_html_(self) -> str:
        word = "Dismissed" if self.dismissed else "Dismissed already"
        return html.definitions([(word, f"{self.migration_name} needs {self.depends_on}"), ("Reason", self.reason)])


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class RecordResult:
    """How recording inferred dependencies ended."""

    dependencies: tuple[DependencyRecord, ...] = ()  #: all that were inferred and not there before, in order
    removed: tuple[DependencyRecord, ...] = ()  #: inferred before, no longer found, and taken back
    warnings: tuple[str, ...] = ()  #: what a person should know

    @property
    def recorded(self) -> tuple[DependencyRecord, ...]:
        """Those that were recorded."""
        return tuple(one for one in self.dependencies if one.recorded)

    @property
    def skipped(self) -> tuple[DependencyRecord, ...]:
        """Those that were not, with the reason in ``remark``."""
        return tuple(one for one in self.dependencies if not one.recorded)

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback deps --infer --record --format json`."""
        return {
            "recorded": [one.to_dict() for one in self.recorded],
            "skipped": [one.to_dict() for one in self.skipped],
            "removed": [one.to_dict() for one in self.removed],
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return one_line(
            f"<RecordResult {len(self.recorded)} recorded, {len(self.skipped)} skipped, {len(self.removed)} removed>"
        )

    def _repr_html_(self) -> str:
        rows = [
            (
                "Recorded",
                "\n".join(f"{one.migration_name} needs {one.depends_on}: {one.because}" for one in self.recorded)
                or "-",
            ),
            (
                "Skipped",
                "\n".join(f"{one.migration_name} needs {one.depends_on}: {one.remark}" for one in self.skipped) or "-",
            ),
        ]
        if self.removed:
            rows.append(
                (
                    "Removed",
                    "\n".join(f"{one.migration_name} needs {one.depends_on}: {one.because}" for one in self.removed),
                )
            )
        return html.definitions(rows) + html.warnings(self.warnings)
