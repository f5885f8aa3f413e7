"""A run over a fleet: wave after wave, each verified before the next, kept so that it can be resumed. Writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from migrollback_nb.core.errors import (
    ConnectionFailed,
    DatabaseError,
    MigrationNotFound,
    MigrollbackError,
    Refused,
    UsageError,
)
from migrollback_nb.core.results import NothingToRollBack
from migrollback_nb.fleet import engine
from migrollback_nb.fleet.journal import Entry, Journal
from migrollback_nb.fleet.plan import PlannedTarget, one_line_of, plan_apply, plan_rollback, to_apply
from migrollback_nb.fleet.request import Request
from migrollback_nb.fleet.results import FleetResult, TargetResult, result_of, unverified_of
from migrollback_nb.fleet.targets import FleetTarget
from migrollback_nb.migrations import Migrations
from migrollback_nb.operations import ranges
from migrollback_nb.operations.rollback_of_range import roll_back_range

#: Opens a target; the caller closes it.
Open = Callable[[FleetTarget], Migrations]
Report = Callable[[TargetResult], None]


class Engine(Protocol):
    """Does one thing with each of many targets; `engine.each` is the default."""

    def __call__(self, items: Any, work: Any, *, parallel: int, done: Any = None) -> Any:
        """What the work gives for each item."""


class Run:
    """One run over a fleet: its targets, what was confirmed, and what is kept of it.

    Parameters
    ----------
    journal : Journal
        What is kept of it; the first entry is there already.
    targets : mapping
        Name -> target.
    connect : callable
        Opens a target.
    report : callable, optional
        Called with each target's result as it comes.
    each : callable
        Does one thing with each of many targets.
    stop : threading.Event, optional
        Once it is set, no other target is started; those that run end.
    """

    def __init__(
        self,
        journal: Journal,
        targets: Mapping[str, FleetTarget],
        connect: Open,
        *,
        report: Report | None = None,
        each: Engine = engine.each,
        stop: threading.Event | None = None,
    ) -> None:
        self.journal = journal
        self.targets = targets
        self._connect = connect
        self._report = report or (lambda _: None)
        self._each = each
        begun = journal.entries()[0]
        self.request = Request.from_dict(begun["request"])
        self.planned = {row["target"]: PlannedTarget.from_dict(row) for row in begun["plan"]["rows"]}
        self.waves: list[list[str]] = [list(wave) for wave in begun["plan"]["waves"]]
        self._failures = 0
        self._before: Mapping[str, TargetResult] = {}
        self._stopping = stop or threading.Event()
        self._over_budget = False
        self._open: dict[str, Migrations] = {}

    @property
    def result(self) -> FleetResult:
        """How it stands, by what was kept. Does not write."""
        return result_of(self.journal.run_id, self.journal.entries())

    def go(self, *, again: bool = False) -> FleetResult:
        """Take it to its end. Writes in the targets, and keeps what each answers.

        Parameters
        ----------
        again : bool
            True: it is resumed: what failed, was refused or is unknown is taken up again, by the plan that was
            confirmed; so is a target that could not be asked then, where the same SQL would run as elsewhere.

        Raises
        ------
        UsageError
            When a target of the run is not in the fleet any more.
        """
        if lacking := [name for wave in self.waves for name in wave if name not in self.targets]:
            raise UsageError(
                f"{len(lacking)} targets of the run are not in the fleet any more, {lacking[0]} for one",
                hint="Give the targets that it began with.",
            )
        found = {row.target: row for row in self.result.rows}
        self._before = found
        if again:
            if all(row.outcome == "done" for row in found.values()):
                return self.result
            self.journal.append({"kind": "resumed"})
            late = [name for name, row in self.planned.items() if not row.takes_part and row.outcome != "done"]
            if late:
                self.waves = [*self.waves, [name for name in late if name in self.targets]]
        try:
            self._go_through(found)
        except KeyboardInterrupt:
            self._interrupt()
            self.journal.append({"kind": "stopped", "reason": "It was interrupted."})
            raise
        return self.result

    def _go_through(self, found: Mapping[str, TargetResult]) -> None:
        for number, wave in enumerate(self.waves, 1):
            to_do = [self.targets[name] for name in wave if found[name].outcome != "done"]
            self._each(to_do, self._one, parallel=self.request.parallel, done=lambda _, result: self._ended(result))
            if self._stopping.is_set():
                left = sum(row.outcome == "not started" for row in self.result.rows)
                why = "it was asked to"
                if self._over_budget:
                    why = (
                        f"{self._failures} of its targets are not done and verified, and"
                        f" {self.request.max_failures} may be"
                    )
                said = f"It stopped in wave {number} of {len(self.waves)}: {why}; {left} were not started"
                self.journal.append({"kind": "stopped", "reason": said})
                return
        self.journal.append({"kind": "finished"})

    def do(self, targets: Sequence[FleetTarget], *, each: Engine) -> list[TargetResult]:
        """Do it in some targets of one wave, for a process that does not lead the run. Writes there."""
        entries = self.journal.entries()
        found = {row.target: row for row in result_of(self.journal.run_id, entries).rows}
        failures = len(unverified_of(self.journal.run_id, entries))
        self._before = found
        stopping = threading.Event()
        if failures > self.request.max_failures and all(found[one.name].tries == 0 for one in targets):
            stopping.set()

        def one(target: FleetTarget) -> TargetResult:
            if found[target.name].outcome == "done":
                return found[target.name]
            return self._one(target, stopping)

        results: list[TargetResult] = each(list(targets), one, parallel=self.request.parallel)
        return results

    def _ended(self, result: TargetResult) -> None:
        if result.outcome != "not started" and not result.is_verified:
            self._failures += 1
            if self._failures > self.request.max_failures:
                self._over_budget = True
                self._stopping.set()
        self._report(result)

    def _interrupt(self) -> None:
        """Cancel what runs, and wait a moment for what it says. Does not write here."""
        self._stopping.set()
        for db in list(self._open.values()):
            with suppress(Exception):  # the connection may end this very moment
                db.database.session.cancel()
        deadline = time.monotonic() + 10
        while self._open and time.monotonic() < deadline:
            time.sleep(0.05)

    def _one(self, target: FleetTarget, stopping: threading.Event | None = None) -> TargetResult:
        """Do it in one target, and keep how it ended. Writes there."""
        before = self._before[target.name]
        wave = next((number for number, names in enumerate(self.waves, 1) if target.name in names), None)
        if (stopping or self._stopping).is_set():
            return TargetResult(target=target.name, outcome="not started", wave=wave)
        # an attempt that is not known to have ended is asked for by the same id; one that has failed is another's
        number = before.tries if before.outcome == "unknown" else before.tries + 1
        attempt_id = self.request.attempt_id(self.journal.run_id, target.name, max(1, number))
        entry: Entry = {"target": target.name, "wave": wave, "number": max(1, number), "attempt_id": attempt_id}
        self.journal.append({"kind": "started", **entry})
        attempted = False
        try:
            with self._connect(target) as db:
                self._open[target.name] = db
                known = self._confirmed(target, db, fresh=before.tries > 0 or not self.planned[target.name].takes_part)
                attempted = known.takes_part
                ended = self._do(db, known, attempt_id) if known.takes_part else _ended_before(known)
        except MigrollbackError as error:
            ended = self._outcome_of(error, target, attempt_id if attempted else None)
        except Exception as error:  # noqa: BLE001  # one target holds up no other; its kind says what was met
            ended = {"outcome": "unknown", "message": f"{type(error).__name__} in this program"}
        finally:
            self._open.pop(target.name, None)
        self.journal.append({"kind": "ended", "attempt_id": attempt_id, **ended, "target": target.name})
        known_row = {key: value for key, value in ended.items() if key != "evidence"}
        return TargetResult(target=target.name, wave=wave, tries=max(1, number), **known_row)

    def _confirmed(self, target: FleetTarget, db: Migrations, *, fresh: bool) -> PlannedTarget:
        """What was confirmed for this target; when it is taken up again, what it is now, if that is the same SQL.

        Raises
        ------
        Refused
            When it is not: what runs is what was seen.
        """
        row = self.planned[target.name]
        if not fresh:
            return row
        plan = plan_apply if self.request.command == "apply" else plan_rollback
        now = plan(target.name, db, self.request)
        if not now.takes_part:
            return now
        seen = {row.sql_hash} if row.sql_hash is not None else {one.sql_hash for one in self.planned.values()}
        if now.sql_hash not in seen and self.request.command == "rollback":
            raise Refused(
                "What would run there is not what was confirmed for this run",
                hint="Look at it with a new plan, and begin another run.",
            )
        return now

    def _do(self, db: Migrations, row: PlannedTarget, attempt_id: str) -> dict[str, Any]:
        """Apply, or roll back by the plan's own fingerprint, in one target. Writes there."""
        if self.request.command == "apply":
            return _apply(db, row, self.request)
        # as `Migrations.rollback`, but for what the plan has asked
        result = roll_back_range(
            db.database,
            ranges.asked(self.request.names_or_none, **self.request.choice),
            confirm=row.confirm or self.request.confirmed_by,
            each=False,
            attempt_id=attempt_id,
            folder=db.folder_path,
            snapshots="ends",
            reason=self.request.reason,
            preview=row.fingerprint,
            accept_loss=self.request.accept_loss,
            trail=None,
            progress=None,
            assessed=row.assessed,
        )
        if isinstance(result, NothingToRollBack):
            return {"outcome": "done", "message": result.message}
        verified = result.verification
        return {
            "outcome": "done" if result.success else "failed",
            "message": result.message,
            "verification": None if verified is None else verified.verdict,
            "anchor": result.anchor,
            "duration_ms": getattr(result, "duration_ms", None),
            "evidence": result.to_dict(),
        }

    def _outcome_of(self, error: MigrollbackError, target: FleetTarget, attempt_id: str | None) -> dict[str, Any]:
        """How a target ended that raised this. Does not write: where the connection was lost, its attempt is asked."""
        known: dict[str, Any] = {"outcome": "failed", "message": one_line_of(error)}
        if isinstance(error, Refused | MigrationNotFound):
            known["outcome"] = "refused"
        elif isinstance(error, DatabaseError):
            known["message"] += f" (SQLSTATE {error.sqlstate})"
        elif isinstance(error, ConnectionFailed) and attempt_id is not None:
            try:
                with self._connect(target) as db:
                    found = db.database.attempts.outcome(attempt_id)
            except MigrollbackError:
                return known | {"outcome": "unknown"}
            if any(row["event"] == "rolled_back" for row in found.values()):
                return known | {"outcome": "done", "message": "Rolled back, and the connection was lost then"}
        return known


def _ended_before(row: PlannedTarget) -> dict[str, Any]:
    return {"outcome": row.outcome, "message": row.headline}


def _apply(db: Migrations, row: PlannedTarget, request: Request) -> dict[str, Any]:
    """Apply in one target what was pending there when it was planned. Writes there."""
    left = set(to_apply(db, row.steps))
    names = [name for name in row.steps if name in left]
    if not names:
        return {"outcome": "done", "message": "Applied already"}
    result = db.apply(*names, deploy=request.deploy)
    return {
        "outcome": "done",
        "message": f"{len(result.applied)} applied",
        "evidence": result.to_dict(),
    }


def carry_here(
    journal: Journal, make: Callable[..., Run], *, waiting: Callable[[], None] | None, again: bool
) -> FleetResult:
    """Take a run to its end in this process, after any other that is at work on it. Writes in the targets."""
    known = len(journal.entries())
    waited = threading.Event()

    def said() -> None:
        waited.set()
        if waiting is not None:
            waiting()

    with journal.held(said):
        entries = journal.entries()
        # the other one has ended it, and did not die: nothing is taken up again that this was not asked for
        if waited.is_set() and any(entry["kind"] in ("finished", "stopped") for entry in entries[known:]):
            return result_of(journal.run_id, entries)
        return make().go(again=again)
