"""The engine `dbos`: a run that any of several processes, on any machine, carries on when another dies. Writes.

Each process is a worker of the run's queue in DBOS, whose state lies in the database that keeps the run. One of them
leads: it holds the run's lock, goes from wave to wave, and puts a wave's targets into the queue in small parts. When
the leader dies, its lock is free and another worker leads; when a worker dies, the leader puts its parts back.
"""

from __future__ import annotations

import itertools
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import UsageError
from migrollback_nb.database.connection import connection_options, open_connection
from migrollback_nb.fleet import engine
from migrollback_nb.fleet.results import FleetResult, TargetResult, result_of

if TYPE_CHECKING:
    import psycopg

    from migrollback_nb.fleet.journal import Journal
    from migrollback_nb.fleet.run import Run
    from migrollback_nb.fleet.targets import FleetTarget

#: Where DBOS keeps its own tables.
SCHEMA = "migrollback_fleet_dbos"
#: Seconds between two looks for workers that have died, and into the queue.
_LOOK = 1.0
_POLL = 0.1
#: What DBOS calls a workflow that it still takes to its end.
_NOT_ENDED = frozenset({"ENQUEUED", "DELAYED", "PENDING"})

#: Run id -> the run that this process works for.
_RUNS: dict[str, Run] = {}


def carry(
    journal: Journal,
    state: str | None,
    make: Callable[..., Run],
    *,
    waiting: Callable[[], None] | None,
    again: bool,
) -> FleetResult:
    """Work for a run until it has ended, and lead it where no other process does. Writes in the targets.

    Parameters
    ----------
    journal : Journal
        What is kept of the run.
    state : str
        DSN of the database that keeps it.
    make : callable
        Makes the `Run`, with the engine that it is given.
    waiting : callable, optional
        Called where another process leads now.
    again : bool
        True: the run is resumed.
    """
    if state is None:
        raise UsageError("The engine dbos keeps its state in a database, and none is named", hint="Name it: --state.")
    with _worker(journal.run_id, state) as worker:
        run = make(each=worker.each)
        _RUNS[journal.run_id] = run
        worker.begin(run.request.parallel)
        known = len(journal.entries())
        waited = threading.Event()

        def said() -> None:
            waited.set()
            if waiting is not None:
                waiting()

        try:
            with journal.held(said), worker.leading():
                entries = journal.entries()
                # the one that led has ended it, and did not die: nothing is taken up again unasked
                if waited.is_set() and any(entry["kind"] in ("finished", "stopped") for entry in entries[known:]):
                    return result_of(journal.run_id, entries)
                return run.go(again=again or waited.is_set())
        finally:
            _RUNS.pop(journal.run_id, None)


class Worker:
    """One process as a worker of a run's queue."""

    def __init__(self, run_id: str, state: str, executor_id: str, holder: psycopg.Connection) -> None:
        self._run_id = run_id
        self._state = state
        self._executor_id = executor_id
        self._holder = holder
        self._queue = f"fleet-{run_id}"
        self._stop = threading.Event()

    def begin(self, parallel: int) -> None:
        """Begin to take parts of the run out of its queue. Writes the queue."""
        from dbos import DBOS

        self._part = max(1, parallel)
        DBOS.register_queue(self._queue, worker_concurrency=1, polling_interval_sec=_POLL)

    def each(
        self,
        items: Sequence[FleetTarget],
        work: Callable[[FleetTarget], TargetResult],
        *,
        parallel: int,
        done: Callable[[FleetTarget, TargetResult], None] | None = None,
    ) -> list[TargetResult]:
        """Put targets into the queue in parts, and wait for all of them; any worker does the work. Writes."""
        from dbos import DBOS, SetWorkflowID

        del work  # it is done by `_part_of_run`, in whichever process takes the part
        run = _RUNS[self._run_id]
        tries = {row.target: row.tries for row in run.result.rows}
        handles = []
        for place in range(0, len(items), parallel):
            names = [item.name for item in items[place : place + parallel]]
            said = "\n".join(f"{name} {tries[name]}" for name in names)
            with SetWorkflowID(self._id_of_part(said)):
                handles.append(DBOS.enqueue_workflow(self._queue, _part_of_run, self._run_id, names))
        found: list[TargetResult] = []
        known = {item.name: item for item in items}
        for handle in handles:
            for kept in handle.get_result(polling_interval_sec=_POLL):
                result = TargetResult(**kept)
                found.append(result)
                if done is not None:
                    done(known[result.target], result)
        return found

    def _id_of_part(self, said: str) -> str:
        """The id of a part in the queue: that of the same part which has not ended yet, else one of its own.

        DBOS answers an id that has ended with how it ended then, also when it left its targets for later.
        """
        ids = (str(uuid.uuid5(uuid.UUID(self._run_id), f"{said}\n{number}")) for number in itertools.count())
        return next(one for one in ids if self._may_be_asked(one))

    @staticmethod
    def _may_be_asked(part: str) -> bool:
        """Whether a part is not known yet, or has not ended."""
        from dbos import DBOS

        known = DBOS.get_workflow_status(part)
        return known is None or known.status in _NOT_ENDED

    @contextmanager
    def leading(self) -> Iterator[None]:
        """While this process leads: put parts back whose worker has died. Writes the queue."""
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            yield
        finally:
            self._stop.set()
            watch.join(timeout=2 * _LOOK)

    def _watch(self) -> None:
        from dbos import DBOS

        while not self._stop.wait(_LOOK):
            with suppress(Exception):  # the database may be away for a moment: the next look finds the same
                pending = DBOS.list_workflows(status="PENDING", queue_name=self._queue)
                dead = [one for one in pending if one.executor_id and not self._lives(one.executor_id)]
                if dead:
                    DBOS.resume_workflows([one.workflow_id for one in dead], queue_name=self._queue)

    def _lives(self, executor_id: str) -> bool:
        """Whether a worker holds its lock: the server frees that when its session ends in any way."""
        if executor_id == self._executor_id:
            return True
        with open_connection(self._state, found_in="--state") as connection:
            row = connection.execute("SELECT pg_catalog.pg_try_advisory_xact_lock(%s)", (_key(executor_id),)).fetchone()
        return row is not None and not row[0]


@contextmanager
def _worker(run_id: str, state: str) -> Iterator[Worker]:
    """DBOS in this process, as a worker that others can see living. Writes DBOS's own tables."""
    try:
        from dbos import DBOS
    except ImportError:
        raise UsageError(
            "The engine dbos is not installed", hint="pip install 'migrollback-nb[fleet]', or use --engine asyncio."
        ) from None
    executor_id = str(uuid.uuid4())
    for name in ("dbos", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with open_connection(state, found_in="--state", application_name="migrollback_nb fleet worker") as holder:
        holder.execute("SELECT pg_catalog.pg_advisory_lock(%s)", (_key(executor_id),))
        _register()
        DBOS(
            config={
                "name": "migrollback-fleet",
                "system_database_url": _url(state),
                "dbos_system_schema": SCHEMA,
                "executor_id": executor_id,
                # any process of this package may take any part: what a part means is in the run, not in the code
                "application_version": "1",
                "log_level": "ERROR",
            }
        )
        DBOS.listen_queues([f"fleet-{run_id}"])
        try:
            DBOS.launch()
            yield Worker(run_id, state, executor_id, holder)
        finally:
            DBOS.destroy(workflow_completion_timeout_sec=0)


def _key(executor_id: str) -> int:
    return uuid.UUID(executor_id).int & (2**63 - 1)


def _url(state: str) -> str:
    """A DSN as SQLAlchemy reads it: all of it as options of the URL, so that libpq's words stay what they are."""
    from urllib.parse import urlencode

    known = {key: value for key, value in connection_options(state).items() if isinstance(value, str)}
    database = known.pop("dbname", "")
    return f"postgresql+psycopg:///{database}?{urlencode(known)}"


def _register() -> None:
    """Make the workflow known to DBOS, once for a process."""
    global _part_of_run  # noqa: PLW0603  # DBOS wraps it, and knows it by its name
    from dbos import DBOS

    if not hasattr(_part_of_run, "__wrapped__"):
        _part_of_run = DBOS.workflow(name="migrollback_fleet_part")(_part_of_run)


def _part_of_run(run_id: str, names: list[str]) -> list[Mapping[str, Any]]:
    """Do some targets of a run, in the process that took them out of the queue. Writes in the targets.

    It is no step of DBOS: each target's attempt knows whether it is done, also when this is called twice.
    """
    run = _RUNS[run_id]
    results = run.do([run.targets[name] for name in names], each=engine.each)
    return [{**result.to_dict()} for result in results]
