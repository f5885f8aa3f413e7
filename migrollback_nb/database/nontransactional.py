"""Applies and rolls back statement by statement what PostgreSQL refuses inside a transaction. Writes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.core.results import RollbackProgress
from migrollback_nb.core.results.progress import first_words
from migrollback_nb.database import settings
from migrollback_nb.database.attempts import Attempts
from migrollback_nb.database.executor import Executor
from migrollback_nb.database.lock_connection import gate_held, release_snapshot
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.retries import retrying
from migrollback_nb.database.session import PATIENCE, ExecutionResult, Row, Session
from migrollback_nb.database.system_guard import SystemGuard, SystemTouched
from migrollback_nb.database.unfinished import Unfinished


class NontransactionalCommands:
    """Each statement is journalled when it is done, so that an interrupted run can be resumed."""

    def __init__(self, session: Session, queries: Queries, attempts: Attempts) -> None:
        self._session = session
        self._queries = queries
        self._attempts = attempts

    def _run_statements(self, run: _Run, statements: Sequence[str], search_path: str) -> Row | None:
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
        assert self._session.reopen is not None  # for mypy: gate_held() needs it too
        with self._session.reopen() as connection:
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
                failure = self._run_one(run, number, text, executor=executor, guard=guard)
                if failure is not None:
                    return failure | unfinished.left(statement)
            run.put_back = executor.put_back_settings(statements)
        self._session.executor = None
        return None

    def _run_one(self, run: _Run, number: int, statement: str, *, executor: Executor, guard: SystemGuard) -> Row | None:
        """Run a statement and record that it is done: in one transaction, where PostgreSQL lets it. Writes.

        Returns the failure, or None.
        """
        connection, began = executor.connection, time.perf_counter()
        journal = {"name": run.name, "attempt_id": run.attempt_id, "direction": run.direction}

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
            return _failure(run, error, number, statement, lost=lost)
        self._journal(run, number, statement, _elapsed_ms(began))
        return None

    def _recorded(self, run: _Run, number: int, process: int) -> bool:
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

    def _report(self, run: _Run, number: int, statement: str) -> None:
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

    def _journal(self, run: _Run, number: int, statement: str, elapsed: float) -> None:
        """Record that a statement is done; over a new connection where this one is lost. Writes."""
        arguments = {
            "statement_number": number,
            "duration_ms": elapsed,
            "direction": run.direction,
            "client": self._session.client,
        }
        try:
            self._session.call("journal_migration_statement", name=run.name, attempt_id=run.attempt_id, **arguments)
        except errors.ConnectionFailed:
            run.unrecorded = statement
            self._session.reconnect_patiently()
            # twice is no harm: the highest number counts
            self._session.call("journal_migration_statement", name=run.name, attempt_id=run.attempt_id, **arguments)
        run.unrecorded = None
        run.completed = number

    def rollback(
        self, name: str, *, reason: str | None = None, preview: str | None = None, accept_loss: bool = False
    ) -> ExecutionResult:
        """Roll one migration back statement by statement, resuming where an interrupted run stopped. Writes."""

        def attempt(_: str) -> ExecutionResult:
            run = _Run(name=name, direction="rollback", attempt_id=self._attempts.new())
            self._session.notice_log.keep()
            try:
                rows, details = self._rollback_statements(run, reason=reason, preview=preview, accept_loss=accept_loss)
            except errors.ConnectionFailed as lost:
                rows, details = self._after_lost_rollback(run, lost, reason=reason)
            return ExecutionResult(
                rows=[{**rows[0], "migration_name": name}],
                details=details,
                attempt_id=run.attempt_id,
                notices=list(self._session.notices),
            )

        # only taking the lock is tried again: what ran outside a transaction is not run twice unasked
        return retrying(self._session, attempt)

    def _rollback_statements(
        self, run: _Run, *, reason: str | None, preview: str | None, accept_loss: bool
    ) -> tuple[list[Row], dict[str, Row]]:
        name, attempt_id = run.name, run.attempt_id
        with gate_held(self._session) as holder:
            check = Queries(holder).can_rollback(name)
            losses = holder.call(
                "production_losses",
                names=[name],
                otherwise_path=self._queries.effective_search_path(),
                accept_loss=accept_loss,
            )[0]
            run.accepted_loss = losses["accepted"]
            refusal = (
                cast("str | None", holder.call_value("production_refusal", reason=reason)) or losses["refusal"]
                if check["can_rollback"]
                else check["reason"]
            )
            if preview is not None:
                refusal = (
                    cast(
                        "str | None",
                        holder.call_value(
                            "changed_since_preview", preview=preview, now=self._queries.fingerprint([name])
                        ),
                    )
                    or refusal
                )
            if refusal is not None:
                holder.call(
                    "add_migration_event",
                    event="refused",
                    migration_name=name,
                    attempt_id=attempt_id,
                    reason=reason,
                    client=self._session.client,
                    details=Jsonb({"message": refusal}),
                )
                return [{"success": False, "message": refusal, "sql_executed": None}], {}
            history = Queries(holder).find(name)
            assert history is not None
            statements = cast(
                "list[str]",
                holder.call_value(
                    "migration_rollback_statements",
                    rollback_sql=history["rollback_sql"],
                    metadata=Jsonb(history["metadata"]),
                ),
            )
            # not on the lock connection: what that writes shows only when it commits
            self._session.call(
                "start_migration_rollback",
                names=[name],
                attempt_id=attempt_id,
                reason=reason,
                client=self._session.client,
                target=Jsonb(self._session.target.to_dict()),
            )
            release_snapshot(holder)
            failure = self._run_statements(run, statements, history["metadata"].get("search_path", ""))
            if failure is not None:
                holder.call(
                    "fail_migration_rollback",
                    name=name,
                    attempt_id=attempt_id,
                    reason=reason,
                    client=self._session.client,
                    details=Jsonb(failure),
                )
                return [
                    {
                        "success": False,
                        "message": _failed_message("Rollback failed", failure, len(statements)),
                        "sql_executed": None,
                    }
                ], {name: failure}
            rows = holder.call("finish_migration_rollback", **run.ending(reason, self._session.client))
        return rows, run.details()

    def _after_lost_rollback(
        self, run: _Run, lost: errors.ConnectionFailed, *, reason: str | None
    ) -> tuple[list[Row], dict[str, Row]]:
        """How a rollback ended whose connection was lost: finished where every statement has run. Writes."""
        row = self._attempts.outcome(run.attempt_id).get(run.name)
        if row is None and run.statements and run.completed == run.statements:
            with self._session.transaction(lock_timeout="30s"):
                rows = self._session.call("finish_migration_rollback", **run.ending(reason, self._session.client))
            return rows, run.details()
        if row is None:
            self._attempts.record_lost(run.name, run.attempt_id, reason)
            raise _stopped(run) from lost
        if row["event"] == "rolled_back":
            return [self._attempts.rolled_back_at_commit(run.name)], {run.name: row["details"]}
        details = row["details"]
        message = details.get("message", "")
        if row["event"] == "failed":
            return [
                {
                    "success": False,
                    "message": _failed_message("Rollback failed", details, run.statements),
                    "sql_executed": None,
                }
            ], {run.name: details}
        return [{"success": False, "message": message, "sql_executed": None}], {}

    def apply(self, record: dict[str, Any], statements: Sequence[str]) -> ExecutionResult:
        """Run an up migration statement by statement, resuming an interrupted run, and register it. Writes."""

        def attempt(_: str) -> ExecutionResult:
            run = _Run(name=record["name"], direction="apply", attempt_id=self._attempts.new())
            self._session.notice_log.keep()
            try:
                rows, details = self._apply_statements(run, record, statements)
            except errors.ConnectionFailed as lost:
                rows, details = self._after_lost_apply_statements(run, record, lost)
            return ExecutionResult(
                rows=rows, details=details, attempt_id=run.attempt_id, notices=list(self._session.notices)
            )

        # only taking the lock is tried again: what ran outside a transaction is not run twice unasked
        return retrying(self._session, attempt)

    def _apply_statements(
        self, run: _Run, record: dict[str, Any], statements: Sequence[str]
    ) -> tuple[list[Row], dict[str, Row]]:
        name, attempt_id = run.name, run.attempt_id
        with gate_held(self._session) as holder:
            known = Queries(holder).find(name)
            missing = holder.query(
                "SELECT d.name FROM pg_catalog.unnest(%(names)s::text[]) AS d (name) WHERE NOT EXISTS (SELECT FROM"
                " {schema}.migration_history h WHERE h.migration_name = d.name AND h.status <> 'rolled_back') ORDER BY"
                " d.name",
                names=record["depends_on"],
            )
            if missing:
                message = f"Depends on migrations that are not applied: {', '.join(row['name'] for row in missing)}"
                return [{"success": False, "message": message}], {}
            if (
                untrusted := Queries(holder).untrusted_ledger(record["metadata"].get("tool"))
            ) is not None:  # before the first statement, which nothing undoes
                raise errors.Refused(untrusted, migration_name=name, hint="Nothing was changed.")
            destroyed = holder.call_value(
                "count_destroyed_values",
                destroys=Jsonb(record["metadata"].get("destroys")),
                statements=list(statements),
                search_path=self._queries.effective_search_path(),
            )
            release_snapshot(holder)
            failure = None
            if known is None or known["status"] == "rolled_back":
                failure = self._run_statements(run, statements, self._queries.effective_search_path())
            if failure is not None:
                holder.call(
                    "add_migration_event",
                    event="apply_failed",
                    migration_name=name,
                    attempt_id=attempt_id,
                    client=self._session.client,
                    details=Jsonb(failure),
                )
                return [{"success": False, "message": _failed_message("Migration failed", failure, len(statements))}], {
                    name: failure
                }
            rows = holder.call("apply_migration", **self._registration(run, record))
            if destroyed is not None and rows[0]["success"]:
                # what each statement has written ended with its own transaction
                before = Jsonb({**cast("Row", destroyed), "counted": False})
                holder.call("record_destroyed_values", name=name, before=before)
            return rows, {}

    def _registration(self, run: _Run, record: dict[str, Any]) -> dict[str, Any]:
        return {
            **record,
            "metadata": Jsonb(record["metadata"]),
            "statements": [],
            "attempt_id": run.attempt_id,
            "client": self._session.client,
        }

    def _after_lost_apply_statements(
        self, run: _Run, record: dict[str, Any], lost: errors.ConnectionFailed
    ) -> tuple[list[Row], dict[str, Row]]:
        """How an apply ended whose connection was lost: registered where every statement has run. Writes."""
        row = self._attempts.outcome(run.attempt_id).get(run.name)
        if row is None and run.statements and run.completed == run.statements:
            with self._session.transaction(lock_timeout="30s"):
                return self._session.call("apply_migration", **self._registration(run, record)), {}
        if row is None:
            raise _stopped(run) from lost
        if row["event"] == "applied":
            return [self._attempts.applied_at_commit()], {run.name: row["details"]}
        return [{"success": False, "message": _failed_message("Migration failed", row["details"], run.statements)}], {
            run.name: row["details"]
        }


@dataclass(slots=True)
class _Run:
    """How far a run is: needed again when the connection is lost."""

    name: str
    direction: str  #: rollback or apply
    attempt_id: str
    statements: int = 0
    completed: int = 0  #: recorded as done, those of an interrupted run included
    unrecorded: str | None = None  #: the statement after them, when it has run and that could not be recorded
    put_back: list[str] = field(default_factory=list)  #: settings that the SQL has changed
    accepted_loss: list[Row] | None = None  #: effects of loss that were known and accepted

    def details(self) -> dict[str, Row]:
        """What the event of its end says of it, as `ExecutionResult` has it."""
        said = {"settings_put_back": self.put_back, "accepted_loss": self.accepted_loss}
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


def _stopped(run: _Run) -> errors.ConnectionFailed:
    """What stays of a run that ended because the connection was lost; pure."""
    if run.unrecorded is not None:
        number = run.completed + 1
        return errors.ConnectionFailed(
            f"The connection was lost when statement {number} of {run.statements} had run, before that was recorded:"
            f" {first_words(run.unrecorded)}",
            hint="It stays, and those before it too. A second run would run this one again: look before.",
        )
    if not run.completed:
        return errors.ConnectionFailed(
            "The connection was lost before any statement had run", hint="Nothing was changed: run it again."
        )
    return errors.ConnectionFailed(
        f"The connection was lost: {run.completed} of {run.statements} statements have run and stay",
        hint="Run it again: it resumes after them.",
    )


def _failed_message(what: str, failure: Row, statements: int) -> str:
    return (
        f"{what}: {failure['message']} ({failure['statements_completed']} of {statements} statements have run and stay)"
    )


def _stopped_at(run: _Run, number: int, statement: str) -> Row:
    """What is known of where a run stopped; pure."""
    return {
        "statement_number": number,
        "statement": statement[:2000],
        "statements_completed": number - 1,
        "statements": run.statements,
    }


def _failure(run: _Run, error: psycopg.Error, number: int, statement: str, *, lost: bool) -> Row:
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


def _touched(run: _Run, touched: SystemTouched, number: int, statement: str) -> Row:
    """What is known of a statement that touched this system; pure."""
    known = {"sqlstate": touched.sqlstate, "message": str(touched), "hint": touched.hint}
    stopped = _stopped_at(run, number, statement)
    return known | stopped | ({} if touched.undone else {"statements_completed": number})


def _lost_behind(run: _Run, number: int, statement: str) -> Row:
    """What is known where the connection was lost as a statement was committed, and it counts; pure."""
    return {
        "sqlstate": "08006",
        "message": f"the connection was lost when statement {number} had run",
        **_stopped_at(run, number, statement),
        "statements_completed": number,
    }


def _elapsed_ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)


def _not_run(run: _Run, number: int, statement: str) -> Row:
    return {
        "sqlstate": "57014",
        "message": "cancelled between two statements",
        **_stopped_at(run, number, statement),
    }


def _would_pass_over(run: _Run, number: int, statement: str, invalid: Row) -> Row:
    """Why CREATE INDEX IF NOT EXISTS was not run over an invalid index of that name; pure."""
    left = {"kind": invalid["kind"], "identity": invalid["identity"], "object_id": invalid["object_id"], "again": False}
    built = " (another session builds it now)" if invalid["in_progress"] else ""
    return {
        "sqlstate": "55000",  # object_not_in_prerequisite_state
        "message": f"{invalid['remark']}{built}, and IF NOT EXISTS would pass over it",
        **_stopped_at(run, number, statement),
        "left": [left],
    }
