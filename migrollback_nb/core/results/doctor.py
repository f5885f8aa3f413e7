"""What the doctor found of an installation and its database. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.results.target import Target
from migrollback_nb.core.text import as_line, counted, one_line


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing that endangers a rollback, or is worth knowing."""

    severity: str  #: problem, or note
    finding: str  #: what kind, such as system, grants, trigger, ledger, isolation, drift
    identity: str | None  #: what it is about
    message: str  #: in words
    fix: str  #: what to do

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "severity": self.severity,
            "finding": self.finding,
            "identity": self.identity,
            "message": self.message,
            "fix": self.fix,
        }

    def __str__(self) -> str:
        return f"{self.message}. {self.fix}"


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorResult:
    """What the doctor found."""

    target: Target  #: where
    version: str | None  #: of the system there; None: there is none
    diagnoses: tuple[Diagnosis, ...]  #: problems first

    @property
    def problems(self) -> tuple[Diagnosis, ...]:
        """What endangers a rollback."""
        return tuple(one for one in self.diagnoses if one.severity == "problem")

    @property
    def success(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        problems = len(self.problems)
        notes = len(self.diagnoses) - problems
        found = f"{problems or 'no'} problem{'' if problems == 1 else 's'}"
        return f"{found}, {counted(notes, 'note')}" if notes else found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "success": self.success,
            "version": self.version,
            "target": self.target.to_dict(),
            "diagnoses": [one.to_dict() for one in self.diagnoses],
        }

    def __repr__(self) -> str:
        return one_line(f"<DoctorResult {self.headline} in {self.target}>")

    def _repr_html_(self) -> str:
        rows = [("Doctor", f"{'✅' if self.success else '❌'} {self.headline}"), ("Of", str(self.target))]
        rows += [(f"{one.severity}: {one.finding}", str(one)) for one in self.diagnoses]
        return html.definitions(rows)
