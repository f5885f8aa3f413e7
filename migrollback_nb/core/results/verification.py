"""Whether a rollback brought back what was there: schema, values and state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from migrollback_nb.core import html, kinds
from migrollback_nb.core.results.assessment import Effect, effects_of
from migrollback_nb.core.results.schema import SchemaDiff
from migrollback_nb.core.text import as_text

Verdict = Literal["restored", "schema_restored", "differs", "as rehearsed", "not as rehearsed", "unknown"]
_MARK = {
    "restored": "✅",
    "schema_restored": "⚠️",
    "as rehearsed": "✅",
    "differs": "⚠️",
    "not as rehearsed": "⚠️",
    "unknown": "❔",
}


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What there is after a rollback, compared with before the migration was applied."""

    #: restored: schema, values and state; schema_restored: not all else, or it is not known; differs; without a
    #: snapshot from before: as rehearsed, not as rehearsed, unknown
    verdict: Verdict
    message: str  #: in words
    changes: SchemaDiff  #: all that the rollback changed
    differences: SchemaDiff  #: what should be there now -> what is
    unexpected: SchemaDiff  #: changes of objects that the migration had not touched
    effects: tuple[Effect, ...] = ()  #: what remains beside the schema, and what was written since and is lost

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From the row of verify_migration_rollback()."""
        return cls(
            verdict=row["verdict"],
            message=row["message"],
            changes=SchemaDiff.from_rows(row["changes"], old="before the rollback", new="after it"),
            differences=SchemaDiff.from_rows(row["differences"], old="before it was applied", new="now"),
            unexpected=SchemaDiff.from_rows(row["unexpected"], old="before the rollback", new="after it"),
            effects=effects_of(row["effects"]),
        )

    @property
    def mark(self) -> str:
        """One sign for it."""
        return _MARK[self.verdict]

    def lines(self) -> tuple[str, ...]:
        """What differs, in words; where nothing can be compared, what the rollback changed."""
        if self.verdict == "unknown":
            return tuple(f"changed: {line}" for line in self.changes.lines()) or (
                "the rollback changed nothing in the schema",
            )
        wrong = replace(
            self.differences,
            changes=tuple(change for change in self.differences.changes if change.change != "reordered"),
        )
        parts = (
            [f"not as before: {line}" for line in wrong.lines()]
            if self.verdict in ("differs", "not as rehearsed")
            else []
        )
        return (
            *parts,
            *(f"also: {line}" for line in self.unexpected.lines()),
            *(map(str, self.effects) if self.verdict != "restored" else ()),
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "message": self.message,
            "changes": [change.to_dict() for change in self.changes.changes],
            "differences": [change.to_dict() for change in self.differences.changes],
            "unexpected": [change.to_dict() for change in self.unexpected.changes],
            "effects": [effect.to_dict() for effect in self.effects],
        }

    def __repr__(self) -> str:
        return "\n".join((f"<Verification {self.verdict}: {self.message}>", *self.lines()))

    def _repr_html_(self) -> str:
        shown = html.banner(f"{self.mark} {self.message}", kinds.style(self.verdict))
        if self.verdict != "restored":
            shown += html.warnings(map(str, self.effects))
        if self.verdict == "unknown":
            return shown + self.changes._repr_html_()
        return shown + "".join(
            diff._repr_html_()
            for diff in (self.differences, self.unexpected)
            if diff and self.verdict in ("differs", "not as rehearsed")
        )
