"""One run of statements outside a transaction: each is journalled, and tried again where a lock undid it. Writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.core.results import RollbackProgress
from migrollback_nb.core.results.progress import first_words
from migrollback_nb.database import settings
from migrollback_nb.database.blockers import BlockerWatch, describe_blockers
from migrollback_nb.database.executor import Executor
from migrollback_nb.database.lock_connection import PATIENTLY
from migrollback_nb.database.retries import LONGER_THAN_DEADLOCK_TIMEOUT, RETRIED, pause_before_retry, yields_late
from migrollback_nb.database.session import PATIENCE
from migrollback_nb.database.system_guard import SystemGuard, SystemTouched
from migrollback_nb.database.unfinished import Unfinished

if TYPE_CHECKING:
    from migrollback_nb.database.session import Row, Session


@dataclass(slots=True)
class Run:
    """How far a run is: needed again when the connection is lost."""

    name: str
    direction: str  #: rollback or apply
    attempt_id: str
    statements: int = 0
    completed: int = 0  #: recorded as done, those of an interrupted run included
    unrecorded: str | None = None  #: the statement after them, when it has run and that could not be recorded
    failed: bool = False  #: a statement failed, which is to be recorded
    put_back: list[str] = field(default_factory=list)  #: settings that the SQL has changed
    accepted_loss: list[Row] | None = None  #: effects of loss that were known and accepted
    approved: Row = field(default_factory=dict)  #: by whom, or that it goes without, as the gate has it

    @property
    def may_begin_again(self) -> bool:
        """Whether another run from here does nothing twice and leaves nothing out."""
        return self.unrecorded is None and not self.failed

    def details(self) -> dict[str, Row]:
        """What the event of its end says of it, as `ExecutionResult` has it."""
        said = {"settings_put_back": self.put_back, "accepted_loss": self.accepted_loss, **self.approved}
        return {self.name: known} if (known := {key: value for key, value in said.items() if value}) else {}

    def ending(self, reason: str | None, client: str) -> dict[str, Any]:
        """Arguments of finish_migration_rollback()."""
        details = Jsonb(self.details().get(self.name, {}))
        return {
            "name": self.name,
            "attempt_id": self.attempt_id,
            "reason": reason,
            "client": client,
            "details": details,
        }


class StatementRunner:
    """Runs the statements of one run on a connection of their own.

    Parameters
    ----------
    session : Session
        To ask by, and to journal what ran outside a transaction.
    holder : Session
        Of the connection that holds the gate's lock meanwhile.
    """

    def __init__(self, session: Session, holder: Session) -> None:
        self._session = session
        self._holder = holder.connection.info.backend_pid

    def run(self, run: Run, statements: Sequence[str], search_path: str) -> Row | None:
        """Run statements one by one after those that are completed. Returns the failure, or None. Writes."""
        wanted = {
            "search_path": search_path,
            "lock_timeout": self._session.timeouts.lock_timeout,
            "statement_timeout": self._session.timeouts.statement_timeout,
            "synchronous_commit": "on",
            "client_min_messages": "notice",
        }
        if self._session.checks_client():
            wanted |= settings.CHECK_CLIENT
        run.statements = len(statements)
        run.completed = cast(
            int, self._session.call_value("migration_statements_completed", name=run.name, direction=run.direction)
        )
        unfinished = Unfinished(self._session, statements[run.completed :])
        guard = SystemGuard(self._session)
        assert self._session.reopen is not None  # noqa: S101  # for mypy: gate_held() needs it too
        with self._session.reopen() as connection:
            # what is journalled must see what others have journalled while it waited
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            self._session.executor = connection
            connection.add_notice_handler(self._session.notice_log.take)
            executor = Executor(connection, wanted)
            executor.repeat_settings(statements[: run.completed])
            for number, statement in enumerate(statements[run.completed :], run.completed + 1):
                executor.prepare(statement)
                if self._session.cancelled:
                    return _not_run(run, number, statement)
                if (invalid := unfinished.passed_over(connection, statement)) is not None:
                    return _would_pass_over(run, number, statement, invalid)
                self._report(run, number, statement)
                text = unfinished.completing(connection, statement)
                failure = self._run_patiently(run, number, text, executor=executor, guard=guard)
                if failure is not None:
                    run.failed = True
                    return failure | unfinished.left(statement)
            run.put_back = executor.put_back_settings(statements)
        self._session.executor = None
        return None

    def _run_patiently(
        self, run: Run, number: int, statement: str, *, executor: Executor, guard: SystemGuard
    ) -> Row | None:
        """Run a statement, and run it again while a lock undoes it, its entry and all. Writes.

        What ran outside a transaction is run once, however it ends: part of it may stay.
        """
        timeouts = self._session.timeouts
        watch = BlockerWatch(self._session.reopen)
        met: dict[int, Row] = {}
        try:
            for tries_left in range(timeouts.retries, -1, -1):
                tries = timeouts.retries - tries_left + 1
                with watch.watch(executor.connection.info.backend_pid) as blockers:
                    failure = self._run_one(run, number, statement, executor=executor, guard=guard, tries=tries)
                met |= blockers
                if failure is None or failure["sqlstate"] not in RETRIED:
                    return failure
                if self._holder in met:  # it would wait for itself
                    return _touched(run, SystemTouched(undone=executor.undone), number, statement)
                watch.eager = True
                if not executor.undone or not tries_left:
                    changed = not executor.undone or number > 1
                    waited = met or failure["sqlstate"] != "40001"  # where no one needs to be waited for
                    return failure | ({"hint": describe_blockers(met, changed=changed)} if waited else {})
                if yields_late(blockers):
                    executor.wait_for_locks(LONGER_THAN_DEADLOCK_TIMEOUT)
                if pause_before_retry(self._session, tries):
                    return _not_run(run, number, statement)
                executor.prepare(statement)
        finally:
            watch.eager = False
            executor.wait_for_locks(timeouts.lock_timeout)
        raise AssertionError("unreachable")

    def _run_one(
        self, run: Run, number: int, statement: str, *, executor: Executor, guard: SystemGuard, tries: int
    ) -> Row | None:
        """Run a statement and record that it is done: in one transaction, where PostgreSQL lets it. Writes.

        Returns the failure, or None.
        """
        connection, began = executor.connection, time.perf_counter()
        journal = {"name": run.name, "attempt_id": run.attempt_id, "direction": run.direction, "tries": tries}

        def finish() -> None:
            arguments = {"statement_number": number, "duration_ms": _elapsed_ms(began), "client": self._session.client}
            guard.refuse_in(connection)
            connection.execute(
                self._session.call_text("journal_migration_statement", **journal, **arguments), prepare=False
            )

        guard.look(statement)
        try:
            if executor.run(statement, begin=lambda: guard.look_in(connection), finish=finish):
                run.completed = number
                return None
            run.unrecorded = statement
            try:
                guard.refuse()
            except errors.ConnectionFailed:
                self._session.reconnect_patiently()
                guard.refuse()
        except SystemTouched as touched:
            return _touched(run, touched, number, statement)
        except psycopg.Error as error:
            lost = connection.closed and error.sqlstate is None
            if lost and self._recorded(run, number, connection.info.backend_pid):
                run.completed = number
                return _lost_behind(run, number, statement)
            failure = _failure(run, error, number, statement, lost=lost)
            return failure if executor.undone else failure | {"outside": True}
        self._journal(run, number, statement, _elapsed_ms(began))
        return None

    def _recorded(self, run: Run, number: int, process: int) -> bool:
        """Whether a statement is recorded whose connection was lost; looks when its process is gone. Does not write."""
        if self._session.connection.closed:
            self._session.reconnect_patiently()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._session.query(
            "SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = %(process)s", process=process
        ):
            time.sleep(0.05)
        completed = self._session.call_value("migration_statements_completed", name=run.name, direction=run.direction)
        return cast(int, completed) >= number

    def _report(self, run: Run, number: int, statement: str) -> None:
        if run.direction == "rollback":
            self._session.report_progress(
                RollbackProgress(
                    stage="statement",
                    migration_name=run.name,
                    statement_number=number,
                    statements=run.statements,
                    statement=first_words(statement),
                )
            )

    def _journal(self, run: Run, number: int, statement: str, elapsed: float) -> None:
        """Record that a statement is done; over a new connection where this one is lost. Writes."""
        entry = self._session.call_text(
            "journal_migration_statement",
            name=run.name,
            attempt_id=run.attempt_id,
            statement_number=number,
            duration_ms=elapsed,
            direction=run.direction,
            client=self._session.client,
        )
        try:
            self._session.transact(entry, lock_timeout=PATIENTLY)
        except errors.ConnectionFailed:
            run.unrecorded = statement
            self._session.reconnect_patiently()
            # twice is no harm: the highest number counts
            self._session.transact(entry, lock_timeout=PATIENTLY)
        run.unrecorded = None
        run.completed = number


# -- what is known of a statement that did not run to its end ----------------------------------------------------------


def _stopped_at(run: Run, number: int, statement: str) -> Row:
    """What is known of where a run stopped; pure."""
    return {
        "statement_number": number,
        "statement": statement[:2000],
        "statements_completed": number - 1,
        "statements": run.statements,
    }


def _failure(run: Run, error: psycopg.Error, number: int, statement: str, *, lost: bool) -> Row:
    """What is known of a statement that failed; pure."""
    message = error.diag.message_primary or str(error)
    if lost:
        message = (
            f"the connection was lost during statement {number}, and whether that has run is not known:"
            " look before it runs again"
        )
    said = {"detail": error.diag.message_detail, "hint": error.diag.message_hint}
    return {
        "sqlstate": error.sqlstate or "08006",
        "message": message,
        **{key: value for key, value in said.items() if value},
        **_stopped_at(run, number, statement),
    }


def _touched(run: Run, touched: SystemTouched, number: int, statement: str) -> Row:
    """What is known of a statement that touched this system; pure."""
    known = {"sqlstate": touched.sqlstate, "message": str(touched), "hint": touched.hint}
    stopped = _stopped_at(run, number, statement)
    return known | stopped | ({} if touched.undone else {"statements_completed": number})


def _lost_behind(run: Run, number: int, statement: str) -> Row:
    """What is known where the connection was lost as a statement was committed, and it counts; pure."""
    return {
        "sqlstate": "08006",
        "message": f"the connection was lost when statement {number} had run",
        **_stopped_at(run, number, statement),
        "statements_completed": number,
    }


def _elapsed_ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)


def _not_run(run: Run, number: int, statement: str) -> Row:
    return {
        "sqlstate": "57014",
        "message": "cancelled between two statements",
        **_stopped_at(run, number, statement),
    }


def _would_pass_over(run: Run, number: int, statement: str, invalid: Row) -> Row:
    """Why CREATE INDEX IF NOT EXISTS was not run over an invalid index of that name; pure."""
    left = {"kind": invalid["kind"], "identity": invalid["identity"], "object_id": invalid["object_id"], "again": False}
    built = " (another session builds it now)" if invalid["in_progress"] else ""
    return {
        "sqlstate": "55000",  # object_not_in_prerequisite_state
        "message": f"{invalid['remark']}{built}, and IF NOT EXISTS would pass over it",
        **_stopped_at(run, number, statement),
        "left": [left],
    }
