"""What is known of a rollback before it runs, in one verdict: the same in every answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from migrollback_nb.core import html, kinds
from migrollback_nb.core.results.needed_approvals import Approvals, approvals_of
from migrollback_nb.core.text import as_line, as_text
from migrollback_nb.core.times import iso_time, show_time

EffectKind = Literal[
    "loses_rows",
    "loses_values",
    "values_not_restored",
    "not_restored",
    "restarts_sequence",
    "leaves_unpopulated",
    "leaves_disabled",
    "leaves_invalid",
    "leaves_behind",
    "takes_other",
    "breaks",
    "locks",
]
KnownBy = Literal["nothing", "text", "catalog", "rehearsal", "proof"]
AssessmentVerdict = Literal["blocked", "loses", "takes_others", "harms", "not_rehearsed", "ready"]
#: Effects that a production database refuses without consent: rows or values go, or do not come back.
LOSSES = frozenset({"loses_rows", "loses_values", "values_not_restored"})
#: Every effect but locks, the worst first, and what a card calls it.
HARMS: dict[str, str] = {
    "loses_rows": "Loses",
    "loses_values": "Loses",
    "values_not_restored": "Does not bring back",
    "takes_other": "Takes from others",
    "breaks": "Breaks",
    "not_restored": "Does not restore",
    "restarts_sequence": "Restarts sequence",
    "leaves_unpopulated": "Leaves unpopulated",
    "leaves_disabled": "Leaves disabled",
    "leaves_invalid": "Leaves invalid",
    "leaves_behind": "Leaves behind",
}
_MARK = {"blocked": "❌", "ready": "✅", "not_rehearsed": "❔"}


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a rollback does beyond the schema, or does not bring back."""

    effect: EffectKind  #: its kind
    identity: str  #: the object, schema-qualified
    rows: int | None = None  #: rows or values; None where there are none to count, or no one knows
    detail: str | None = None  #: what happens to it, in words
    migration: str | None = None  #: the migration whose object it is, where that is another one
    known_by: KnownBy = "text"  #: how it is known
    estimated: bool = False  #: rows is what the statistics say
    perhaps: bool = False  #: the rollback may bring it back, or the text says only that it may: no one has looked
    how: Literal["deleted", "detached", "retyped"] | None = None  #: by what, where that is told apart
    words: str | None = None  #: all of it in words, as the database puts it

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Self:
        """From an effect as the SQL functions give it."""
        return cls(
            effect=known["effect"],
            identity=known["identity"],
            rows=known.get("rows"),
            detail=known.get("detail"),
            migration=known.get("migration"),
            known_by=known.get("known_by") or "text",
            estimated=bool(known.get("estimated")),
            perhaps=bool(known.get("perhaps")),
            how=known.get("how"),
            words=known.get("words"),
        )

    @property
    def is_loss(self) -> bool:
        """Whether rows or values go, or do not come back."""
        return self.effect in LOSSES

    @property
    def is_overwriting(self) -> bool:
        """Whether it writes other values over those that are there; their rows stay."""
        return self.effect == "loses_values" and self.detail == "rows overwritten"

    @property
    def of_what(self) -> str:
        """Its object with what is counted there, without the verb: ``50 rows of public.tags (table dropped)``."""
        said = f"perhaps {self._counted}" if self.perhaps else self._counted
        said += f" ({self.detail})" if self.detail else ""
        return said + (f", of {self.migration}" if self.migration else "")

    @property
    def _counted(self) -> str:
        if not self.is_loss:
            return self.identity
        whole = self.effect == "loses_rows" or (self.effect == "values_not_restored" and self.identity.count(".") < 2)
        one = "row" if whole else "value"
        if self.rows is None:
            return f"an unknown number of {one}s of {self.identity}"
        return f"{'~' if self.estimated else ''}{self.rows:,} {one}{'' if self.rows == 1 else 's'} of {self.identity}"

    def to_dict(self) -> dict[str, Any]:
        """Keys of an effect in JSON: estimated, perhaps and how only where they say something."""
        known = {
            "effect": self.effect,
            "identity": self.identity,
            "rows": self.rows,
            "detail": self.detail,
            "migration": self.migration,
            "known_by": self.known_by,
        }
        remarks = {"estimated": self.estimated, "perhaps": self.perhaps}
        how = {} if self.how is None else {"how": self.how}
        return known | {word: True for word, is_so in remarks.items() if is_so} | how

    def __str__(self) -> str:
        if self.words is not None:
            return self.words
        count = "" if self.rows is None else f" ({'~' if self.estimated else ''}{self.rows:,})"
        return f"{self.effect} {self.identity}{count}" + (f": {self.detail}" if self.detail else "")


def assessed(assessment: Assessment | None, effects: Iterable[Effect] = ()) -> dict[str, Any]:
    """What every answer in JSON says of an assessment, else of effects that are known without one; pure."""
    if assessment is None:
        known = [effect.to_dict() for effect in effects]
        return {"verdict": None, "effects": known, "known_by": "nothing", "known_at": None}
    return assessment.keys()


def effects_of(known: Iterable[Mapping[str, Any]]) -> tuple[Effect, ...]:
    """Effects as the SQL functions give them, in their order; pure."""
    return tuple(Effect.from_dict(one) for one in known)


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What is known of the rollback of one or several migrations before it runs."""

    migration_name: str  #: the migration that was asked for; of several, the last
    verdict: AssessmentVerdict  #: the first that fits; only ready is green
    headline: str  #: the verdict in one line
    blockers: tuple[str, ...] = ()  #: why it may not run, in words
    effects: tuple[Effect, ...] = ()  #: what it does beyond the schema, or does not bring back
    known_by: KnownBy = "nothing"  #: the best that is known: a proof, a rehearsal, catalogs, text, or nothing
    known_at: datetime | None = None  #: when it was rehearsed or proven
    proof: str | None = None  #: what a recorded proof of this very text says, in words
    approvals: Approvals | None = None  #: what policies ask for beside; None: no policy applies

    @classmethod
    def from_row(cls, name: str, row: Mapping[str, Any]) -> Self:
        """From the row of assess_migration()."""
        return cls(
            migration_name=name,
            verdict=row["verdict"],
            headline=row["headline"],
            blockers=tuple(row["blockers"]),
            effects=effects_of(row["effects"]),
            known_by=row["known_by"],
            known_at=row["known_at"],
            proof=row["proof"],
            approvals=approvals_of(row.get("approvals")),
        )

    @property
    def mark(self) -> str:
        """One sign for it."""
        return _MARK.get(self.verdict, "⚠️")

    @property
    def style(self) -> str:
        """Colour of its heading: green for ready alone, red for a loss once it was rehearsed or proven."""
        if self.verdict == "loses" and self.known_by not in ("rehearsal", "proof"):
            return html.CAREFUL
        return kinds.style(self.verdict)

    @property
    def losses(self) -> tuple[Effect, ...]:
        """Effects by which rows or values go, or do not come back."""
        return tuple(effect for effect in self.effects if effect.is_loss)

    @property
    def heading(self) -> str:
        """Sign and headline."""
        return f"{self.mark} {self.headline}"

    def lines(self) -> tuple[str, ...]:
        """Blockers, effects and what is proven, a line each; locks have lines of their own."""
        return (
            *self.blockers,
            *(str(effect) for effect in self.effects if effect.effect != "locks"),
            *(() if self.approvals is None else (self.approvals.line,)),
            *(() if self.proof is None else (self.proof,)),
        )

    @property
    def locks(self) -> tuple[str, ...]:
        """What it locks so that others wait, a line each."""
        return tuple(str(effect) for effect in self.effects if effect.effect == "locks")

    def indented(self) -> tuple[str, ...]:
        """The lines under the heading."""
        return tuple(f"   {line}" for line in self.lines() if line != self.headline)

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        said = {"migration_name": self.migration_name, "headline": self.headline, "blockers": list(self.blockers)}
        return said | self.keys() | {"proof": self.proof}

    def keys(self) -> dict[str, Any]:
        """What every answer in JSON says of it: verdict, effects, known_by, known_at; approvals where a policy is."""
        return {
            "verdict": self.verdict,
            "effects": [effect.to_dict() for effect in self.effects],
            "known_by": self.known_by,
            "known_at": iso_time(self.known_at) if self.known_at is not None else None,
        } | ({} if self.approvals is None else {"approvals": self.approvals.to_dict()})

    def __repr__(self) -> str:
        said = (f"<Assessment {self.migration_name}: {self.verdict}, {self.headline}>", *self.lines(), *self.locks)
        return "\n".join(said)

    def _repr_html_(self) -> str:
        rows = [("Migration", self.migration_name), ("Verdict", self.verdict), ("Known by", self.known_by)]
        if self.known_at is not None:
            rows.append(("Known since", show_time(self.known_at)))
        return html.banner(self.heading, self.style) + html.definitions(rows) + html.warnings(self.lines() + self.locks)
