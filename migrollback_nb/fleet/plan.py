"""What a rollback or an apply would do in each target of a fleet, under one fingerprint. Does not write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from migrollback_nb.core import html
from migrollback_nb.core.errors import (
    ConnectionFailed,
    MigrationNotFound,
    MigrollbackError,
    NewerSystem,
    NotInstalled,
    OlderSystem,
    Refused,
)
from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.results import NothingToRollBack
from migrollback_nb.core.text import counted
from migrollback_nb.core.times import iso_time

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.core.results import Preview
    from migrollback_nb.fleet.request import Request
    from migrollback_nb.migrations import Migrations

#: What a target says to a question: answered, or why not.
Status = Literal[
    "answered", "unreachable", "late", "not_installed", "older_system", "newer_system", "refused", "failed"
]
#: How a target of a run ended.
Outcome = Literal["done", "refused", "failed", "unknown", "not started"]
OUTCOMES: tuple[Outcome, ...] = ("done", "refused", "failed", "unknown", "not started")

#: Verdict -> what is said of one target, and of several; the worst first.
_HARMS = {
    "loses": ("loses rows or values", "lose rows or values"),
    "takes_others": ("takes from other migrations", "take from other migrations"),
    "harms": ("harms", "harm"),
    "not_rehearsed": ("not rehearsed", "not rehearsed"),
}
_STATUS_OF: tuple[tuple[type[MigrollbackError], Status], ...] = (
    (ConnectionFailed, "unreachable"),
    (NotInstalled, "not_installed"),
    (OlderSystem, "older_system"),
    (NewerSystem, "newer_system"),
    (MigrationNotFound, "refused"),
    (Refused, "refused"),
)


def status_of(error: MigrollbackError) -> Status:
    """What an error says of a target; pure."""
    return next((status for kind, status in _STATUS_OF if isinstance(error, kind)), "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTarget:
    """What would be done in one target."""

    target: str  #: its name
    status: Status  #: answered, or why it takes no part
    outcome: Outcome = "not started"  #: not started; or how it ends without a start: done before, refused, failed
    steps: tuple[str, ...] = ()  #: the migrations, in the order in which they are rolled back or applied
    verdict: str | None = None  #: what is known of it, in one word
    headline: str = ""  #: and in one line; or why it takes no part
    effects: tuple[Mapping[str, Any], ...] = ()  #: what it does beyond the schema
    fingerprint: str | None = None  #: of its preview: refused there when anything has changed since
    sql_hash: str | None = None  #: of names and SQL alone: equal in targets in which the same would run
    confirm: str | None = None  #: what a rollback of it is confirmed by
    known_by: str | None = None  #: by what its effects are known: proof, rehearsal, catalog, text, nothing
    known_at: str | None = None  #: when it was rehearsed or proven

    @property
    def assessed(self) -> dict[str, Any] | None:
        """What was known of the rollback when it was planned, as a row of assess_migrations(); None of an apply."""
        if self.fingerprint is None or self.verdict is None:
            return None
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "blockers": [],
            "effects": [dict(effect) for effect in self.effects],
            "known_by": self.known_by or "nothing",
            "known_at": None if self.known_at is None else datetime.fromisoformat(self.known_at),
            "proof": None,
        }

    @property
    def takes_part(self) -> bool:
        """Whether something would run there."""
        return self.status == "answered" and self.outcome == "not started"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, and for what is kept of a run."""
        return {
            "target": self.target,
            "status": self.status,
            "outcome": self.outcome,
            "steps": list(self.steps),
            "verdict": self.verdict,
            "headline": self.headline,
            "effects": [dict(effect) for effect in self.effects],
            "fingerprint": self.fingerprint,
            "sql_hash": self.sql_hash,
            "confirm": self.confirm,
            "known_by": self.known_by,
            "known_at": self.known_at,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave."""
        return cls(**{**kept, "steps": tuple(kept["steps"]), "effects": tuple(kept["effects"])})

    @classmethod
    def from_error(cls, target: str, error: MigrollbackError) -> Self:
        """A target that takes no part."""
        status = status_of(error)
        return cls(
            target=target,
            status=status,
            outcome="refused" if status == "refused" else "failed",
            verdict="blocked" if status == "refused" else None,
            headline=one_line_of(error),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What a command would do in each target of a fleet."""

    command: str  #: rollback or apply
    rows: tuple[PlannedTarget, ...]  #: one for each target, in the fleet's order
    confirm: str  #: what is to be typed, or given as confirm=, so that it runs
    waves: tuple[tuple[str, ...], ...] = ()  #: names of the targets of each wave, the canary first

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits over all rows: `Fleet.rollback` refuses when any differs then."""
        said = [
            [row.target, row.status, row.outcome, list(row.steps), row.verdict, row.fingerprint, row.sql_hash]
            for row in self.rows
        ]
        return hashlib.sha256(json.dumps([self.command, said]).encode()).hexdigest()

    @property
    def verdict(self) -> str:
        """The worst verdict of those that take part; blocked where none does and one is refused."""
        order = ("loses", "takes_others", "harms", "not_rehearsed", "ready")
        found = {row.verdict for row in self.rows if row.takes_part}
        return next((one for one in order if one in found), "ready" if not self.refused else "blocked")

    @property
    def refused(self) -> tuple[PlannedTarget, ...]:
        """Those in which a rule forbids it."""
        return tuple(row for row in self.rows if row.outcome == "refused")

    @property
    def failed(self) -> tuple[PlannedTarget, ...]:
        """Those that could not be asked."""
        return tuple(row for row in self.rows if row.outcome == "failed")

    @property
    def headline(self) -> str:
        """The plan in one line."""
        many = sum(row.takes_part for row in self.rows)
        what = "apply" if self.command == "apply" else "roll back"
        waves = counted(max(1, len(self.waves)), "wave")
        parts = [f"Would {what} in {many} of {counted(len(self.rows), 'target')}, in {waves}"]
        for verdict, (of_one, of_several) in _HARMS.items():
            count = sum(row.takes_part and row.verdict == verdict for row in self.rows)
            parts += [f"{count} {of_one if count == 1 else of_several}"] if count else []
        counts = {
            "done already": sum(row.outcome == "done" for row in self.rows),
            "refused": len(self.refused),
            "not asked": len(self.failed),
        }
        parts += [f"{count} {what}" for what, count in counts.items() if count]
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback fleet rollback --dry-run --format json`."""
        return {
            "command": self.command,
            "headline": self.headline,
            "verdict": self.verdict,
            "fingerprint": self.fingerprint,
            "confirm": self.confirm,
            "waves": [list(wave) for wave in self.waves],
            "rows": [row.to_dict() for row in self.rows],
        }

    def to_frame(self) -> pd.DataFrame:
        """A row for each target: target, status, outcome, verdict, headline, steps, fingerprint."""
        from migrollback_nb.fleet.frames import frame

        return frame([row.to_dict() for row in self.rows], PLAN_COLUMNS)

    def __repr__(self) -> str:
        return f"<FleetPlan {self.headline}>"

    def _repr_html_(self) -> str:
        style = {"ready": html.GOOD, "blocked": html.BAD, "loses": html.BAD}.get(self.verdict, html.CAREFUL)
        rows = [(row.target, row.status, row.verdict or "", row.headline, ", ".join(row.steps)) for row in self.rows]
        return html.banner(self.headline, style) + html.table(
            ("Target", "Status", "Verdict", "What is known", "Steps"), rows
        )


PLAN_COLUMNS = ("target", "status", "outcome", "verdict", "headline", "steps", "fingerprint")


def plan_rollback(target: str, db: Migrations, request: Request) -> PlannedTarget:
    """What a rollback would do in one target. Does not write."""
    try:
        found = db.preview(request.names_or_none, **request.choice)
    except Refused as error:
        if _is_rolled_back(db, request):
            return PlannedTarget(
                target=target,
                status="answered",
                outcome="done",
                verdict="ready",
                headline="Rolled back before this run",
            )
        return PlannedTarget.from_error(target, error)
    if isinstance(found, NothingToRollBack):
        return PlannedTarget(target=target, status="answered", outcome="done", verdict="ready", headline=found.message)
    return planned(target, found)


def planned(target: str, preview: Preview) -> PlannedTarget:
    """The row of a preview; pure."""
    known = preview.assessment
    return PlannedTarget(
        target=target,
        status="answered",
        steps=tuple(name for name, _ in preview.steps),
        verdict=None if known is None else known.verdict,
        headline="" if known is None else known.headline,
        effects=() if known is None else tuple(effect.to_dict() for effect in known.effects),
        fingerprint=preview.fingerprint,
        sql_hash=hash_of(preview.steps),
        confirm=preview.confirm,
        known_by=None if known is None else known.known_by,
        known_at=None if known is None or known.known_at is None else iso_time(known.known_at),
    )


def plan_apply(target: str, db: Migrations, request: Request) -> PlannedTarget:
    """What an apply would do in one target: which of the folder's migrations are pending there. Does not write."""
    chosen = to_apply(db, request.names)
    if not chosen:
        return PlannedTarget(
            target=target, status="answered", outcome="done", verdict="ready", headline="Nothing is pending"
        )
    texts = [(name, db.folder.read(name).checksum) for name in chosen]
    return PlannedTarget(
        target=target,
        status="answered",
        steps=tuple(chosen),
        verdict="ready",
        headline=f"Would apply {counted(len(chosen), 'migration')}",
        sql_hash=hash_of(texts),
        confirm=request.confirmed_by,
    )


def to_apply(db: Migrations, names: Sequence[str]) -> list[str]:
    """What of these is not applied there, else what of the folder is pending; in the folder's order. Does not write.

    As with one database, what was rolled back is applied again by its name only.
    """
    if not names:
        return list(db.pending())
    found = {name: db.database.queries.find(name) for name in names}
    order = {name: place for place, name in enumerate(db.folder.names())}
    for name in names:
        db.folder.read(name)  # raises where there is none
    chosen = [name for name, row in found.items() if row is None or row["status"] == "rolled_back"]
    return sorted(chosen, key=lambda name: order[name])


def hash_of(steps: Sequence[tuple[str, str]]) -> str:
    """Hash of names and texts in their order; pure."""
    return hashlib.sha256(json.dumps([list(step) for step in steps]).encode()).hexdigest()


def one_line_of(error: MigrollbackError) -> str:
    """An error in one line, each of its lines a sentence, without a secret; pure."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    ended = [line if line[-1] in ".:;,!?" else f"{line}." for line in lines[:-1]]
    return mask_passwords(" ".join([*ended, *lines[-1:]]))


def _is_rolled_back(db: Migrations, request: Request) -> bool:
    """Whether all that is named is rolled back there already. Does not write."""
    if not request.names:
        return False
    found = [db.database.queries.find(name) for name in request.names]
    return all(row is not None and row["status"] == "rolled_back" for row in found)


def waves_of(
    rows: Sequence[PlannedTarget], canaries: Sequence[str], *, canary: int, waves: Sequence[int]
) -> tuple[tuple[str, ...], ...]:
    """Names of the targets of each wave: the canaries, then counts in the fleet's order, then all the rest; pure.

    Parameters
    ----------
    canaries : sequence of str
        Targets whose label says that they go first.
    canary : int
        How many go first where no label says which.
    waves : sequence of int
        Counts of the waves after that.
    """
    taking_part = [row.target for row in rows if row.takes_part]
    first = [name for name in taking_part if name in set(canaries)] or taking_part[:canary]
    rest = [name for name in taking_part if name not in set(first)]
    found = [tuple(first)]
    for count in waves:
        found.append(tuple(rest[:count]))
        rest = rest[count:]
    found.append(tuple(rest))
    return tuple(wave for wave in found if wave)
