"""Applying and rolling back statement by statement, for what PostgreSQL refuses inside a transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.core.results import RollbackProgress
from migrollback_nb.core.results.progress import first_words
from migrollback_nb.database.attempts import Attempts
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.retries import retrying
from migrollback_nb.database.session import ExecutionResult, Row, Session
from migrollback_nb.parsing.statements import SqlText, only_sets


class NontransactionalCommands:
    """Each statement is journalled when it is done, so that an interrupted run can be resumed."""

    def __init__(self, session: Session, queries: Queries, attempts: Attempts) -> None:
        self._session = session
        self._queries = queries
        self._attempts = attempts

    @contextmanager
    def _gate_held(self) -> Iterator[Session]:
        """A second connection whose open, idle transaction holds the gate's lock: survives poolers, and holds no snapshot that CONCURRENTLY would wait for."""
        if self._session.reopen is None:
            raise errors.UsageError(
                "Running outside a transaction needs a second connection",
                hint="Connect by DSN instead of lending a connection.",
            )
        with self._session.reopen() as connection:
            with self._session.translated_errors():
                lent = self._is_behind_pooler() and self._is_lent_for_a_transaction(connection)
            if lent:
                raise errors.Refused(
                    "What runs statement by statement outside a transaction needs a session of its own, and this"
                    " connection goes through a pooler that lends one for each transaction",
                    hint=(
                        "Nothing was run. Connect to the server itself, or through a pooler in session mode: else a"
                        " statement could miss its search_path, and other clients would find our settings."
                    ),
                )
            guard = Session(connection, schema=self._session.schema, timeouts=self._session.timeouts)
            with guard.translated_errors(), connection.transaction():
                self._session.set_local(
                    connection,
                    {"idle_in_transaction_session_timeout": "0", "lock_timeout": self._session.timeouts.lock_timeout},
                )
                guard.call("lock_migrations")
                _let_go_of_snapshot(guard)
                yield guard

    def _is_behind_pooler(self) -> bool:
        """Whether another process answers than the one that was named at connecting. Does not write."""
        return _process(self._session.connection) != self._session.connection.info.backend_pid

    def _is_lent_for_a_transaction(self, other: psycopg.Connection) -> bool:
        """Whether the pooler lends our session to others between two transactions of ours. Does not write.

        Parameters
        ----------
        other : psycopg.Connection
            Another one through the same pooler.
        """
        for _ in range(5):  # others who come between may hide it once
            ours = _process(self._session.connection)
            if _process(self._session.connection) != ours:  # lent in turn
                return True
            with other.transaction():  # or the one that was left last is lent first, and that is ours
                if _process(other) == ours or _process(self._session.connection) != ours:
                    return True
        return False

    def _run_steps(self, run: _Run, statements: Sequence[str], search_path: str) -> Row | None:
        """Run statements one by one after those that an interrupted run completed. Returns the failure, or None."""
        checks_client = self._session.checks_client()
        run.statements = len(statements)
        run.completed = cast(
            int, self._session.call_value("migration_statements_completed", name=run.name, direction=run.direction)
        )
        assert self._session.reopen is not None
        with self._session.reopen() as worker:
            self._session.executor = worker
            worker.add_notice_handler(self._session.take_notice)
            before = _settings(worker)
            settings = {
                "search_path": search_path,
                "lock_timeout": self._session.timeouts.lock_timeout,
                "statement_timeout": self._session.timeouts.statement_timeout,
                "synchronous_commit": "on",
                "client_min_messages": "notice",
            }
            if checks_client:
                settings["client_connection_check_interval"] = "200ms"
            # once: what the SQL sets from here on holds for the statements that follow
            ours = {setting: _set(worker, setting, value) for setting, value in settings.items()}
            for statement in filter(only_sets, statements[: run.completed]):  # what a resumed run has set is set again
                worker.execute(statement.encode())
            for number, statement in enumerate(statements[run.completed :], run.completed + 1):
                # What is said to us, and in which encoding, is no matter of the SQL: "... does not exist, skipping"
                # must be heard, and the next statement understood.
                worker.execute("SET client_encoding = 'UTF8'; SET client_min_messages = notice")
                # CONCURRENTLY waits for others without making anybody wait, and breaking it off leaves an invalid index
                wanted = "0" if "concurrently" in statement.lower() else self._session.timeouts.lock_timeout
                if _value_of(worker, "lock_timeout") == ours["lock_timeout"]:  # else the SQL has set it
                    ours["lock_timeout"] = _set(worker, "lock_timeout", wanted)
                if self._session.cancelled:
                    return _not_run(number, statement)
                if run.direction == "rollback":
                    self._session.report_progress(
                        RollbackProgress(
                            stage="statement",
                            migration_name=run.name,
                            statement_number=number,
                            statements=len(statements),
                            statement=first_words(statement),
                        )
                    )
                began = time.perf_counter()
                try:
                    worker.execute(statement.encode())
                except psycopg.Error as error:
                    lost = worker.closed and error.sqlstate is None
                    message = error.diag.message_primary or str(error)
                    return {
                        "sqlstate": error.sqlstate or "08006",
                        "message": (
                            f"the connection was lost during statement {number}, and whether that has run is not known:"
                            " look before it runs again"
                            if lost
                            else message
                        ),
                        "statement_number": number,
                        "statement": statement[:2000],
                        "statements_completed": number - 1,
                    }
                self._journal(run, number, statement, round((time.perf_counter() - began) * 1000, 3))
            now = _settings(worker)
            said = {
                name
                for text in statements
                for one in SqlText(text).statements
                for name, local in one.settings
                if not local
            }
            run.put_back = sorted(
                {name for name, value in now.items() if value != ours.get(name, before.get(name, ""))}
                | {name for name in said if "." in name or name in ("client_min_messages", "client_encoding")}
            )
            worker.execute("RESET ALL")
        self._session.executor = None
        return None

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

    def rollback(self, name: str, *, reason: str | None = None, preview: str | None = None) -> ExecutionResult:
        """Roll one migration back statement by statement, outside a transaction, resuming where an interrupted run stopped. Writes."""

        def attempt(_: str) -> ExecutionResult:
            run = _Run(name=name, direction="rollback", attempt_id=self._attempts.new())
            self._session.keep_notices()
            try:
                rows, details = self._rollback_steps(run, reason=reason, preview=preview)
            except errors.ConnectionFailed as lost:
                rows, details = self._after_lost_steps(run, lost, reason=reason)
            return ExecutionResult(
                rows=[{**rows[0], "migration_name": name}],
                details=details,
                attempt_id=run.attempt_id,
                notices=list(self._session.notices),
            )

        # only the guard's lock is tried again: what ran outside a transaction is not run twice unasked
        return retrying(self._session, attempt)

    def _rollback_steps(
        self, run: _Run, *, reason: str | None, preview: str | None
    ) -> tuple[list[Row], dict[str, Row]]:
        name, attempt_id = run.name, run.attempt_id
        with self._gate_held() as guard:
            check = Queries(guard).can_rollback(name)
            refusal = (
                cast("str | None", guard.call_value("production_refusal", reason=reason))
                if check["can_rollback"]
                else check["reason"]
            )
            if preview is not None:
                refusal = (
                    cast(
                        "str | None",
                        guard.call_value(
                            "changed_since_preview", preview=preview, now=self._queries.fingerprint([name])
                        ),
                    )
                    or refusal
                )
            if refusal is not None:
                guard.call(
                    "add_migration_event",
                    event="refused",
                    migration_name=name,
                    attempt_id=attempt_id,
                    reason=reason,
                    client=self._session.client,
                    details=Jsonb({"message": refusal}),
                )
                return [{"success": False, "message": refusal, "sql_executed": None}], {}
            history = Queries(guard).find(name)
            assert history is not None
            statements = cast(
                "list[str]",
                guard.call_value(
                    "migration_rollback_statements",
                    rollback_sql=history["rollback_sql"],
                    metadata=Jsonb(history["metadata"]),
                ),
            )
            # not by the guard: what it writes shows only when it commits
            self._session.call(
                "start_migration_rollback",
                names=[name],
                attempt_id=attempt_id,
                reason=reason,
                client=self._session.client,
                target=Jsonb(self._session.target.to_dict()),
            )
            _let_go_of_snapshot(guard)
            failure = self._run_steps(run, statements, history["metadata"].get("search_path", ""))
            if failure is not None:
                guard.call(
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
            rows = guard.call("finish_migration_rollback", **run.ending(reason, self._session.client))
        return rows, run.details()

    def _after_lost_steps(
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
        told = details.get("message", "")
        if row["event"] == "failed":
            return [
                {
                    "success": False,
                    "message": _failed_message("Rollback failed", details, run.statements),
                    "sql_executed": None,
                }
            ], {run.name: details}
        return [{"success": False, "message": told, "sql_executed": None}], {}

    def apply(self, record: dict[str, Any], statements: Sequence[str]) -> ExecutionResult:
        """Run an up part statement by statement, outside a transaction, resuming where an interrupted run stopped, and register it. Writes."""

        def attempt(_: str) -> ExecutionResult:
            run = _Run(name=record["name"], direction="apply", attempt_id=self._attempts.new())
            self._session.keep_notices()
            try:
                rows, details = self._apply_steps(run, record, statements)
            except errors.ConnectionFailed as lost:
                rows, details = self._after_lost_apply_steps(run, record, lost)
            return ExecutionResult(
                rows=rows, details=details, attempt_id=run.attempt_id, notices=list(self._session.notices)
            )

        # only the guard's lock is tried again: what ran outside a transaction is not run twice unasked
        return retrying(self._session, attempt)

    def _apply_steps(
        self, run: _Run, record: dict[str, Any], statements: Sequence[str]
    ) -> tuple[list[Row], dict[str, Row]]:
        name, attempt_id = run.name, run.attempt_id
        with self._gate_held() as guard:
            known = Queries(guard).find(name)
            missing = guard.query(
                "SELECT d.name FROM pg_catalog.unnest(%(names)s::text[]) AS d (name) WHERE NOT EXISTS (SELECT FROM"
                " {schema}.migration_history h WHERE h.migration_name = d.name AND h.status <> 'rolled_back') ORDER BY"
                " d.name",
                names=record["depends_on"],
            )
            if missing:
                message = f"Depends on migrations that are not applied: {', '.join(row['name'] for row in missing)}"
                return [{"success": False, "message": message}], {}
            if (
                untrusted := Queries(guard).untrusted_ledger(record["metadata"].get("tool"))
            ) is not None:  # before the first statement, which nothing undoes
                raise errors.Refused(untrusted, migration_name=name, hint="Nothing was changed.")
            _let_go_of_snapshot(guard)
            failure = None
            if known is None or known["status"] == "rolled_back":
                failure = self._run_steps(run, statements, self._queries.effective_search_path())
            if failure is not None:
                guard.call(
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
            return guard.call("apply_migration", **self._registration(run, record)), {}

    def _registration(self, run: _Run, record: dict[str, Any]) -> dict[str, Any]:
        return {
            **record,
            "metadata": Jsonb(record["metadata"]),
            "statements": [],
            "attempt_id": run.attempt_id,
            "client": self._session.client,
        }

    def _after_lost_apply_steps(
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
    """How far a run is: it is asked for again when the connection is lost."""

    name: str
    direction: str  #: rollback or apply
    attempt_id: str
    statements: int = 0
    completed: int = 0  #: recorded as done, those of an interrupted run included
    unrecorded: str | None = None  #: the statement after them, when it has run and nobody could be told
    put_back: list[str] = field(default_factory=list)  #: settings that the SQL has changed

    def details(self) -> dict[str, Row]:
        """What the event of its end says of it, as `ExecutionResult` has it."""
        return {self.name: {"settings_put_back": self.put_back}} if self.put_back else {}

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


def _settings(connection: psycopg.Connection) -> dict[str, str]:
    """Name -> value of what SQL can change; what nobody has declared is in no list, and goes with the connection."""
    return dict(
        connection.execute(
            "SELECT s.name, s.setting FROM pg_catalog.pg_settings s WHERE s.context IN ('user', 'superuser')"
        ).fetchall()
    )


def _let_go_of_snapshot(session: Session) -> None:
    """Close the portal of the last query. Unclosed it keeps a snapshot for as long as the transaction is open, and CONCURRENTLY waits for that."""
    # without parameters it goes by the simple protocol, which replaces the unnamed portal
    session.connection.execute("SELECT")


def _set(connection: psycopg.Connection, setting: str, value: str) -> str:
    """Set it for the session; returns the value as the server says it."""
    connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", (setting, value))
    return _value_of(connection, setting)


def _value_of(connection: psycopg.Connection, setting: str) -> str:
    found = connection.execute(
        "SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = %s", (setting,)
    ).fetchone()
    return "" if found is None else cast(str, found[0])


def _process(connection: psycopg.Connection) -> int:
    """Process id of the server's end, as the server says."""
    found = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    assert found is not None  # for mypy: it is one row
    return cast(int, found[0])


def _not_run(number: int, statement: str) -> Row:
    return {
        "sqlstate": "57014",
        "message": "cancelled between two statements",
        "statement_number": number,
        "statement": statement[:2000],
        "statements_completed": number - 1,
    }
