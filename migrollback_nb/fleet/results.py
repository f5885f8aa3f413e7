"""How a run over a fleet ended, target by target. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.text import counted
from migrollback_nb.fleet.plan import OUTCOMES, Outcome

if TYPE_CHECKING:
    import pandas as pd

_MARK: dict[str, str] = {"done": "✅", "refused": "⛔", "failed": "❌", "unknown": "❔", "not started": "⏸️"}
RESULT_COLUMNS = (
    "target", "outcome", "wave", "message", "verification", "attempt_id", "anchor", "duration_ms", "tries",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """How one target of a run ended."""

    target: str  #: its name
    outcome: Outcome  #: done, refused, failed, unknown (until its attempt is asked), not started
    message: str = ""  #: in words
    wave: int | None = None  #: from 1; None: it was in no wave
    verification: str | None = None  #: what was found after it: restored, schema_restored, differs ...
    attempt_id: str | None = None  #: of its audit log
    anchor: str | None = None  #: NUMBER:HASH of its event in the audit log of the target
    duration_ms: float | None = None  #: how long its SQL ran, in milliseconds
    tries: int = 0  #: how often it was started
    evidence: Mapping[str, Any] | None = None  #: the whole result, as its JSON

    @property
    def is_verified(self) -> bool:
        """Whether it is done and nothing was found that should not be so."""
        return self.outcome == "done" and self.verification not in ("differs", "not as rehearsed")

    def to_dict(self) -> dict[str, Any]:
        """A row of JSON, without the evidence."""
        return {name: getattr(self, name) for name in RESULT_COLUMNS}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetResult:
    """How a run ended. Nothing across databases is atomic: each target is whole in itself."""

    run_id: str  #: what `Fleet.resume` takes
    command: str  #: rollback or apply
    rows: tuple[TargetResult, ...]  #: one for each target, in the fleet's order
    stopped: str | None = None  #: why no other target was started; None: all were
    fingerprint: str | None = None  #: of the plan that was confirmed

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> how many targets."""
        found = Counter(row.outcome for row in self.rows)
        return {outcome: found[outcome] for outcome in OUTCOMES if found[outcome]}

    @property
    def success(self) -> bool:
        """Whether all are done."""
        return all(row.outcome == "done" for row in self.rows)

    @property
    def exit_code(self) -> int:
        """0 all done, 1 a failure or one that is not known or was not started, 3 where only rules refused."""
        outcomes = {row.outcome for row in self.rows}
        if outcomes <= {"done"}:
            return 0
        return 3 if outcomes <= {"done", "refused"} else 1

    @property
    def message(self) -> str:
        """All of it in one line."""
        said = ", ".join(f"{count} {outcome}" for outcome, count in self.counts.items())
        return f"{said} of {counted(len(self.rows), 'target')}" + (f". {self.stopped}" if self.stopped else "")

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback fleet rollback --format json`."""
        return {
            "success": self.success,
            "message": self.message,
            "run_id": self.run_id,
            "command": self.command,
            "fingerprint": self.fingerprint,
            "stopped": self.stopped,
            "counts": self.counts,
            "rows": [row.to_dict() for row in self.rows],
        }

    def to_frame(self) -> pd.DataFrame:
        """A row for each target: target, outcome, wave, message, verification, attempt_id, anchor ..."""
        from migrollback_nb.fleet.frames import frame

        return frame([row.to_dict() for row in self.rows], RESULT_COLUMNS)

    def __repr__(self) -> str:
        return f"<FleetResult {self.run_id}: {self.message}>"

    def _repr_html_(self) -> str:
        style = html.GOOD if self.success else html.BAD if self.exit_code == 1 else html.CAREFUL
        rows = [
            (
                row.target,
                f"{_MARK[row.outcome]} {row.outcome}",
                "" if row.wave is None else str(row.wave),
                row.verification or "",
                row.message,
            )
            for row in self.rows
        ]
        return html.banner(f"Run {self.run_id}: {self.message}", style) + html.table(
            ("Target", "Outcome", "Wave", "Verification", "Message"), rows
        )


def result_of(run_id: str, entries: Sequence[Mapping[str, Any]]) -> FleetResult:
    """How a run stands, by what was kept of it, in order; pure."""
    begun = entries[0]
    waves = {name: number for number, wave in enumerate(begun["plan"]["waves"], 1) for name in wave}
    rows: dict[str, TargetResult] = {
        row["target"]: TargetResult(target=row["target"], outcome=row["outcome"], message=row["headline"])
        if row["target"] not in waves
        else TargetResult(target=row["target"], outcome="not started", wave=waves[row["target"]])
        for row in begun["plan"]["rows"]
    }
    stopped = None
    for entry in entries[1:]:
        kind, target = entry["kind"], str(entry.get("target"))
        if kind in ("stopped", "resumed", "finished"):
            stopped = entry.get("reason")
        elif kind == "started":
            rows[target] = TargetResult(
                target=target,
                outcome="unknown",
                message="started; how it ended is not known until its attempt is asked",
                wave=entry.get("wave") or rows[target].wave,
                attempt_id=entry.get("attempt_id"),
                tries=entry["number"],
            )
        elif kind == "ended":
            known = {name: entry[name] for name in RESULT_COLUMNS if name in entry and name not in ("wave", "tries")}
            rows[target] = TargetResult(
                **known, wave=rows[target].wave, tries=rows[target].tries, evidence=entry.get("evidence")
            )
    return FleetResult(
        run_id=run_id,
        command=begun["request"]["command"],
        rows=tuple(rows.values()),
        stopped=stopped,
        fingerprint=begun["fingerprint"],
    )


def unverified_of(run_id: str, entries: Sequence[Mapping[str, Any]]) -> set[str]:
    """Targets that ended since the run was last resumed, and are not done and verified; pure.

    One that another process has begun and not ended is none of them, nor is one that the plan left out.
    """
    ended: dict[str, bool] = {}
    for entry in entries[1:]:
        if entry["kind"] == "resumed":
            ended.clear()
        elif entry["kind"] in ("started", "ended"):
            ended[entry["target"]] = entry["kind"] == "ended"
    return {row.target for row in result_of(run_id, entries).rows if ended.get(row.target) and not row.is_verified}
