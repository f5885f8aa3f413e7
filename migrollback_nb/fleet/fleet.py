"""The facade `Fleet`: many databases asked, planned for and rolled back in waves, as `Migrations` is for one."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from migrollback_nb.core.errors import ConfirmationRequired, MigrollbackError, Refused, UsageError
from migrollback_nb.database.connection import without_password
from migrollback_nb.fleet import engine, registering, targets
from migrollback_nb.fleet.frames import frame
from migrollback_nb.fleet.journal import Journal, checked_id, open_journal
from migrollback_nb.fleet.plan import FleetPlan, PlannedTarget, plan_apply, plan_rollback, waves_of
from migrollback_nb.fleet.questions import FleetQuestions
from migrollback_nb.fleet.request import Request, numbers
from migrollback_nb.fleet.results import FleetResult
from migrollback_nb.fleet.run import Report, Run, carry_here
from migrollback_nb.fleet.targets import FleetTarget, in_schemas

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.database.settings import Timeouts

#: What carries a run.
ENGINES = ("asyncio", "dbos")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What carries a run, and where it is kept."""

    engine: str
    state: str | None
    run_id: str | None


class Fleet(FleetQuestions):
    """Many databases: ask, plan, roll back in waves. A method that changes databases says so in its first line.

    Nothing across databases is atomic: each target goes whole or not at all, and a run says how each ended.

    Parameters
    ----------
    targets : Path, str, or iterable of FleetTarget or dict
        A TOML file of targets, or what it would say: ``name``, and ``dsn`` or ``service``, ``schema``, ``labels``.
    dir : Path or str, optional
        Folder of migrations, the same for all.
    schema : str, optional
        Schema of the rollback system in each.
    timeouts : Timeouts, optional
        Of each connection.
    parallel : int
        How many are asked at a time.
    interface : str
        What the audit logs call the program at this end.
    schemas : str, optional
        A target for each tenant's schema in each database: a shell pattern of their names, such as ``tenant_*``, or a
        query that gives a row for each (column ``schema``, perhaps ``name``; others are labels).

    Raises
    ------
    UsageError
        When a target cannot be understood, or two have one name.

    Examples
    --------
    ::

        fleet = mr.Fleet("targets.toml")
        fleet.check("20250120_add_tags")                      # a row for each database
        plan = fleet.plan("20250120_add_tags", waves=(5, 50))
        fleet.rollback("20250120_add_tags", confirm="20250120_add_tags", preview=plan, waves=(5, 50))
    """

    def __init__(
        self,
        targets: Path | str | Iterable[FleetTarget | Mapping[str, Any]],
        *,
        dir: Path | str | None = None,
        schema: str | None = None,
        timeouts: Timeouts | None = None,
        parallel: int = engine.PARALLEL,
        interface: str = "python",
        schemas: str | None = None,
    ) -> None:
        found = _targets_of(targets)
        super().__init__(
            found if schemas is None else in_schemas(found, schemas),
            dir=dir,
            schema=schema,
            timeouts=timeouts,
            parallel=parallel,
            interface=interface,
        )
        #: Where the targets were found, for `resume` in another process; no password.
        self.source: dict[str, str] = {}
        if isinstance(targets, str | Path):
            self.source = {"targets": str(Path(targets).resolve())}
        if schemas is not None:
            self.source["schemas"] = schemas

    @classmethod
    def from_file(cls, path: Path | str, **options: Any) -> Self:
        """The fleet of a TOML file of targets; see `Fleet`. Does not write."""
        return cls(path, **options)

    @classmethod
    def from_services(cls, pattern: str, **options: Any) -> Self:
        """The fleet of all libpq services whose names fit a shell pattern, such as ``shop-*``. Does not write."""
        fleet = cls(targets.from_services(pattern), **options)
        fleet.source |= {"services": pattern}
        return fleet

    @classmethod
    def from_catalogue(cls, dsn: str, query: str, **options: Any) -> Self:
        """The fleet that a query on a catalogue database gives: columns name, dsn; others are labels. Only reads."""
        fleet = cls(targets.from_catalogue(dsn, query), **options)
        fleet.source |= {"catalogue": without_password(dsn), "query": query}
        return fleet

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return f"<Fleet of {len(self)} targets>"

    # -- the system and its history ------------------------------------------------------------------------------------

    def install(self) -> pd.DataFrame:
        """Install the system in each database, with a scope for each tenant's schema. Writes.

        All scopes of a database are added by one statement.

        Returns
        -------
        DataFrame
            Columns target, status, message, outcome (installed, upgraded, added, there already).
        """
        return frame(self.install_rows(), ("target", "status", "message", "outcome"))

    def install_rows(self) -> list[dict[str, Any]]:
        """The rows of `install`, without pandas. Writes."""
        return registering.install(self.targets, self._options(), parallel=self.parallel)

    def register(self, *names: str) -> pd.DataFrame:
        """Register migrations that are applied, in each target. Writes; by one statement for a database's tenants.

        Parameters
        ----------
        *names : str
            Files of the folder, dependencies first.

        Returns
        -------
        DataFrame
            Columns target, status, message, migration_name, outcome (registered, updated, unchanged, applied again).
        """
        return frame(self.register_rows(*names), ("target", "status", "message", "migration_name", "outcome"))

    def register_rows(self, *names: str) -> list[dict[str, Any]]:
        """The rows of `register`, without pandas. Writes."""
        return registering.register(self.targets, self._options(), names, parallel=self.parallel)

    def _options(self) -> dict[str, Any]:
        return {**self._how, "interface": self._interface}

    # -- plan ----------------------------------------------------------------------------------------------------------

    def plan(self, *names: str | Sequence[str], **options: Any) -> FleetPlan:
        """What a rollback would do in each target, under one fingerprint. Does not write.

        Parameters
        ----------
        *names : str
            The migrations; or options of `rollback`: deploy, to, chain, canary, waves.

        Returns
        -------
        FleetPlan
            ``rows``, ``fingerprint`` (for ``rollback(preview=)``), ``confirm``, ``waves``, ``to_frame()``.
        """
        return self._plan(request_of("rollback", names, options))

    def plan_apply(self, *names: str | Sequence[str], **options: Any) -> FleetPlan:
        """What an apply would do in each target, under one fingerprint. Does not write."""
        return self._plan(request_of("apply", names, options))

    def _plan(self, request: Request) -> FleetPlan:
        of_one = plan_apply if request.command == "apply" else plan_rollback

        def one(target: FleetTarget) -> PlannedTarget:
            try:
                with self.connect(target) as db:
                    db.require_system()
                    return of_one(target.name, db, request)
            except MigrollbackError as error:
                return PlannedTarget.from_error(target.name, error)

        def late(target: FleetTarget) -> PlannedTarget:
            headline = f"No answer within {self.patience:g} s"
            return PlannedTarget(target=target.name, status="late", outcome="failed", headline=headline)

        rows = tuple(engine.each(self.targets, one, parallel=request.parallel, patience=self.patience, late=late))
        canaries = [target.name for target in self.targets if target.is_canary]
        waves = waves_of(rows, canaries, canary=request.canary, waves=request.waves)
        return FleetPlan(command=request.command, rows=rows, confirm=request.confirmed_by, waves=waves)

    # -- runs ----------------------------------------------------------------------------------------------------------

    def rollback(
        self,
        *names: str | Sequence[str],
        confirm: str,
        preview: FleetPlan | str | None = None,
        engine: str = "asyncio",
        state: str | None = None,
        run_id: str | None = None,
        begun: Callable[[str], None] | None = None,
        progress: Report | None = None,
        stop: threading.Event | None = None,
        **options: Any,
    ) -> FleetResult:
        """Roll back in all targets, wave after wave. Writes in each target, and keeps the run for `resume`.

        A wave starts only when each target of the one before is done and its verification found nothing wrong, but for
        `max_failures` of them. A target that the plan could not ask, or where a rule forbids it, takes no part and
        stops no other.

        Parameters
        ----------
        *names : str
            The migrations; or one of `deploy` and `to`.
        confirm : str
            The migration's name (of several: the last; of a deploy: its label; of `to`: that name) again.
        preview : FleetPlan or str, optional
            What was looked at, or its fingerprint: refused when any row of it is another now.
        engine : {'asyncio', 'dbos'}
            asyncio: in this process. dbos: durable, with its state in the database that `state` names; the run goes on
            in any other process of the same state when this one dies.
        state : str, optional
            DSN of a database of the operators' where the run is kept; by default a file of the user's.
        run_id : str, optional
            A UUID for the run; by default a new one.
        begun : callable, optional
            Called with the run's id before the first target changes.
        progress : callable, optional
            Called with a `TargetResult` for each target as it ends.
        stop : threading.Event, optional
            Once it is set, no other target is started; those that run end.
        **options : Any
            deploy, to, chain: instead of names, and with what; canary (1): how many targets go first, unless labels say
            which; waves: counts of those that go then, and then, the rest goes last; parallel (32); max_failures (0);
            reason; accept_loss.

        Returns
        -------
        FleetResult
            Each target done, refused, failed, unknown or not started; ``run_id``, ``to_frame()``.

        Raises
        ------
        UsageError, ConfirmationRequired, Refused
            No target was changed.
        """
        request = request_of("rollback", names, options)
        kept = _Kept(engine=engine, state=state, run_id=run_id)
        return self._begin(request, confirm, preview, kept, begun=begun, progress=progress, stop=stop)

    def apply(
        self,
        *names: str | Sequence[str],
        confirm: str | None = None,
        preview: FleetPlan | str | None = None,
        engine: str = "asyncio",
        state: str | None = None,
        run_id: str | None = None,
        begun: Callable[[str], None] | None = None,
        progress: Report | None = None,
        stop: threading.Event | None = None,
        **options: Any,
    ) -> FleetResult:
        """Apply what is pending in each target, wave after wave. Writes in each target, and keeps the run.

        As `rollback`; an apply needs no confirmation. Names are of the folder, by default all that are pending.
        """
        request = request_of("apply", names, options)
        confirmed = request.confirmed_by if confirm is None else confirm
        kept = _Kept(engine=engine, state=state, run_id=run_id)
        return self._begin(request, confirmed, preview, kept, begun=begun, progress=progress, stop=stop)

    def resume(
        self,
        run_id: str,
        *,
        state: str | None = None,
        engine: str | None = None,
        waiting: Callable[[], None] | None = None,
        progress: Report | None = None,
        stop: threading.Event | None = None,
    ) -> FleetResult:
        """Take up a run that stopped, was killed, or has targets that failed. Writes as the run does.

        What is done is left alone; what is not known is asked of its target first. Where another process is at work on
        it, this waits until that has ended.

        Parameters
        ----------
        run_id : str
            As it was printed, or `FleetResult.run_id`.
        state : str, optional
            Where the run is kept, as it was given to it.
        engine : str, optional
            By default as it began.
        waiting : callable, optional
            Called when another process is at work on it now.
        progress, stop
            As of `rollback`.

        Raises
        ------
        UsageError
            When no such run is known.
        """
        with open_journal(run_id, state, new=False) as journal:
            carried = engine or journal.entries()[0]["engine"]
            return self._carry(journal, carried, state, waiting=waiting, progress=progress, stop=stop, again=True)

    def run(self, run_id: str, *, state: str | None = None) -> FleetResult:
        """How a run stands, by what was kept of it. Does not write."""
        from migrollback_nb.fleet.results import result_of

        with open_journal(run_id, state, new=False) as journal:
            return result_of(journal.run_id, journal.entries())

    def report(self, run_id: str, file: Path | str | None = None, *, state: str | None = None) -> Path:
        """Write the report of a run, one HTML file with each target's evidence. Writes that file, no database.

        Parameters
        ----------
        file : Path or str, optional
            Where, over no file that is there; by default a dated name in the current folder.
        """
        from migrollback_nb.fleet.report import write_report

        with open_journal(run_id, state, new=False) as journal:
            return write_report(journal.run_id, journal.entries(), file)

    def _begin(
        self,
        request: Request,
        confirm: str,
        preview: FleetPlan | str | None,
        kept: _Kept,
        *,
        begun: Callable[[str], None] | None,
        progress: Report | None,
        stop: threading.Event | None,
    ) -> FleetResult:
        engine, state = kept.engine, kept.state
        _check_engine(engine, state)
        run_id = checked_id(kept.run_id) if kept.run_id else str(uuid.uuid4())
        if confirm != request.confirmed_by:
            raise ConfirmationRequired(
                f"It was not confirmed: {confirm!r} is not {request.confirmed_by}",
                hint=f"Confirm with {request.confirmed_by}.",
            )
        plan = self._plan(request)
        seen = preview.fingerprint if isinstance(preview, FleetPlan) else preview
        if seen is not None and seen != plan.fingerprint:
            raise Refused(
                "The plan is not the one that was looked at: something has changed in a target since",
                hint="Look at the plan again. No target was changed.",
            )
        with open_journal(run_id, state, new=True) as journal:
            journal.append(
                {
                    "kind": "begun",
                    "request": request.to_dict(),
                    "plan": plan.to_dict(),
                    "fingerprint": plan.fingerprint,
                    "engine": engine,
                    "by": _client(self._interface),
                    "source": self.source,
                }
            )
            if begun is not None:
                begun(run_id)
            return self._carry(journal, engine, state, progress=progress, stop=stop)

    def _carry(
        self,
        journal: Journal,
        carried: str,
        state: str | None,
        *,
        waiting: Callable[[], None] | None = None,
        progress: Report | None = None,
        stop: threading.Event | None = None,
        again: bool = False,
    ) -> FleetResult:
        known = {target.name: target for target in self.targets}
        make = partial(Run, journal, known, self.connect, report=progress, stop=stop)
        if carried == "dbos":
            from migrollback_nb.fleet.durable import carry

            return carry(journal, state, make, waiting=waiting, again=again)
        return carry_here(journal, make, waiting=waiting, again=again)


def _targets_of(given: Any) -> tuple[FleetTarget, ...]:
    return targets.targets_of(given)


def request_of(command: str, names: Sequence[str | Sequence[str]], options: Mapping[str, Any]) -> Request:
    """What is asked, by names and options.

    Raises
    ------
    UsageError
        When an option is unknown, or has a value that is none.
    """
    known = {"deploy", "to", "chain", "canary", "waves", "parallel", "max_failures", "reason", "accept_loss"}
    if unknown := sorted(set(options) - known):
        raise UsageError(f"There is no option {unknown[0]}", hint=f"There are {', '.join(sorted(known))}.")
    given = dict(options)
    if "waves" in given:
        given["waves"] = numbers(given["waves"] or ())
    flat = [one for name in names for one in ([name] if isinstance(name, str) else name)]
    return Request(command=command, names=tuple(name.removesuffix(".sql") for name in flat), **given)


def _check_engine(engine: str, state: str | None) -> None:
    if engine not in ENGINES:
        raise UsageError(f"There is no engine {engine}", hint=f"There are {' and '.join(ENGINES)}.")
    if engine == "dbos" and state is None:
        raise UsageError(
            "The engine dbos keeps its state in a database, and none is named", hint="Name one: --state DSN (state=)."
        )


def _client(interface: str) -> str:
    from migrollback_nb.database.origin import client_name

    return client_name(interface)
