"""Applying and rolling back statement by statement, for what PostgreSQL refuses inside a transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast

import psycopg
from psycopg.types.json import Jsonb

from migrollback_nb import errors
from migrollback_nb.database.deeds import Deeds
from migrollback_nb.results import RollbackProgress
from migrollback_nb.results.progress import first_words
from migrollback_nb.session import Execution, Row


class DeedsInSteps(Deeds):
    """Each statement is journalled when it is done, so that an interrupted run can be resumed."""

    @contextmanager
    def _guard(self) -> Iterator[Self]:
        """A second connection whose open, idle transaction holds the gate's lock: survives poolers, and holds no snapshot that CONCURRENTLY would wait for."""
        if self._reopen is None:
            raise errors.UsageError("Running outside a transaction needs a second connection", hint="Connect by DSN instead of lending a connection.")
        with self._reopen() as connection:
            with self._translated():
                lent = self._is_behind_pooler() and self._is_lent_for_a_transaction(connection)
            if lent:
                raise errors.Refused(
                    "What runs statement by statement outside a transaction needs a session of its own, and this connection goes through a pooler "
                    "that lends one for each transaction",
                    hint="Nothing was run. Connect to the server itself, or through a pooler in session mode: else a statement could miss its search_path, "
                    "and other clients would find our settings.",
                )
            guard = type(self)(connection, schema=self.schema, owned=True, reopen=None, limits=self.limits)
            guard.client = self.client
            with guard._translated(), connection.transaction():
                self._set_local(connection, {"idle_in_transaction_session_timeout": "0", "lock_timeout": self.limits.lock_timeout})
                guard._rows("lock_migrations")
                guard._let_go_of_snapshot()
                yield guard

    def _is_behind_pooler(self) -> bool:
        """Whether another process answers than the one that was named at connecting. Does not write."""
        return _process(self.connection) != self.connection.info.backend_pid

    def _is_lent_for_a_transaction(self, other: psycopg.Connection) -> bool:
        """Whether the pooler lends our session to others between two transactions of ours. Does not write.

        Parameters
        ----------
        other : psycopg.Connection
            Another one through the same pooler.
        """
        for _ in range(5):  # others who come between may hide it once
            ours = _process(self.connection)
            if _process(self.connection) != ours:  # lent in turn
                return True
            with other.transaction():  # or the one that was left last is lent first, and that is ours
                if _process(other) == ours or _process(self.connection) != ours:
                    return True
        return False

    def _let_go_of_snapshot(self) -> None:
        """Close the portal of the last query. Unclosed it keeps a snapshot for as long as the transaction is open, and CONCURRENTLY waits for that."""
        self.connection.execute("SELECT")  # without parameters it goes by the simple protocol, which replaces the unnamed portal

    def _run_steps(self, name: str, direction: str, statements: Sequence[str], attempt_id: str, search_path: str) -> Row | None:
        """Run statements one by one after those that an interrupted run completed. Returns the failure, or None."""
        if self._can_look is None:
            with self._deed():
                pass  # finds out
        done = cast(int, self._value("migration_statements_completed", name=name, direction=direction))
        assert self._reopen is not None
        with self._reopen() as worker:
            self._worker = worker
            worker.add_notice_handler(self._take_notice)
            for number, statement in enumerate(statements[done:], done + 1):
                # CONCURRENTLY waits for others without making anybody wait, and breaking it off leaves an invalid index
                patient = "concurrently" in statement.lower()
                settings = {
                    "search_path": search_path,
                    "lock_timeout": "0" if patient else self.limits.lock_timeout,
                    "statement_timeout": self.limits.statement_timeout,
                    "synchronous_commit": "on",
                    "client_min_messages": "notice",
                }
                if self._can_look:
                    settings["client_connection_check_interval"] = "200ms"
                for setting, value in settings.items():
                    worker.execute("SELECT pg_catalog.set_config(%s, %s, false)", (setting, value))
                if self.cancelled:
                    return _not_run(number, statement)
                if direction == "rollback":
                    self.tell(
                        RollbackProgress(
                            stage="statement", migration_name=name, statement_number=number, statements=len(statements), statement=first_words(statement)
                        )
                    )
                began = time.perf_counter()
                try:
                    worker.execute(statement.encode())
                except psycopg.Error as error:
                    return {
                        "sqlstate": error.sqlstate or "08006",
                        "message": error.diag.message_primary or str(error),
                        "statement_number": number,
                        "statement": statement[:2000],
                        "statements_completed": number - 1,
                    }
                elapsed = round((time.perf_counter() - began) * 1000, 3)
                self._rows(
                    "journal_migration_statement",
                    name=name,
                    attempt_id=attempt_id,
                    statement_number=number,
                    duration_ms=elapsed,
                    direction=direction,
                    client=self.client,
                )
            worker.execute("RESET ALL")
        self._worker = None
        return None

    def rollback_in_steps(self, name: str, *, reason: str | None = None, preview: str | None = None) -> Execution:
        """Roll one migration back statement by statement, outside a transaction, resuming where an interrupted run stopped. Writes."""

        def attempt(_: str) -> Execution:
            attempt_id = self._new_attempt()
            self._notices.clear()
            with self._guard() as guard:
                check = guard.can_rollback(name)
                refusal = cast("str | None", guard._value("production_refusal", reason=reason)) if check["can_rollback"] else check["reason"]
                if preview is not None:
                    refusal = cast("str | None", guard._value("changed_since_preview", preview=preview, now=self.fingerprint([name]))) or refusal
                if refusal is not None:
                    guard._rows(
                        "add_migration_event",
                        event="refused",
                        migration_name=name,
                        attempt_id=attempt_id,
                        reason=reason,
                        client=self.client,
                        details=Jsonb({"message": refusal}),
                    )
                    return Execution(
                        rows=[{"success": False, "message": refusal, "sql_executed": None, "migration_name": name}], details={}, attempt_id=attempt_id
                    )
                history = guard.find(name)
                assert history is not None
                statements = cast(
                    "list[str]", guard._value("migration_rollback_statements", rollback_sql=history["rollback_sql"], metadata=Jsonb(history["metadata"]))
                )
                # not by the guard: what it writes shows only when it commits
                self._rows(
                    "start_migration_rollback", names=[name], attempt_id=attempt_id, reason=reason, client=self.client, target=Jsonb(self.target.to_dict())
                )
                guard._let_go_of_snapshot()
                failure = self._run_steps(name, "rollback", statements, attempt_id, history["metadata"].get("search_path", ""))
                if failure is not None:
                    guard._rows("fail_migration_rollback", name=name, attempt_id=attempt_id, reason=reason, client=self.client, details=Jsonb(failure))
                    message = f"Rollback failed: {failure['message']} ({failure['statements_completed']} of {len(statements)} statements have run and stay)"
                    rows = [{"success": False, "message": message, "sql_executed": None, "migration_name": name}]
                    return Execution(rows=rows, details={name: failure}, attempt_id=attempt_id, notices=list(self._notices))
                rows = guard._rows("finish_migration_rollback", name=name, attempt_id=attempt_id, reason=reason, client=self.client)
            return Execution(rows=[{**rows[0], "migration_name": name}], details={}, attempt_id=attempt_id, notices=list(self._notices))

        # only the guard's lock is tried again: what ran outside a transaction is not run twice unasked
        return self._retrying(attempt)

    def apply_in_steps(self, record: dict[str, Any], statements: Sequence[str]) -> Execution:
        """Run an up part statement by statement, outside a transaction, resuming where an interrupted run stopped, and register it. Writes."""

        def attempt(_: str) -> Execution:
            attempt_id = self._new_attempt()
            name = record["name"]
            self._notices.clear()
            with self._guard() as guard:
                known = guard.find(name)
                missing = guard._query(
                    "SELECT d.name FROM pg_catalog.unnest(%(names)s::text[]) AS d (name) WHERE NOT EXISTS "
                    "(SELECT FROM {schema}.migration_history h WHERE h.migration_name = d.name AND h.status <> 'rolled_back') ORDER BY d.name",
                    names=record["depends_on"],
                )
                if missing:
                    message = f"Depends on migrations that are not applied: {', '.join(row['name'] for row in missing)}"
                    return Execution(rows=[{"success": False, "message": message}], details={}, attempt_id=attempt_id)
                if (untrusted := guard.untrusted_ledger(record["metadata"].get("tool"))) is not None:  # before the first statement, which nothing undoes
                    raise errors.Refused(untrusted, migration_name=name, hint="Nothing was changed.")
                guard._let_go_of_snapshot()
                failure = None
                if known is None or known["status"] == "rolled_back":
                    failure = self._run_steps(name, "apply", statements, attempt_id, self.effective_search_path())
                if failure is not None:
                    guard._rows(
                        "add_migration_event", event="apply_failed", migration_name=name, attempt_id=attempt_id, client=self.client, details=Jsonb(failure)
                    )
                    message = f"Migration failed: {failure['message']} ({failure['statements_completed']} of {len(statements)} statements have run and stay)"
                    return Execution(rows=[{"success": False, "message": message}], details={name: failure}, attempt_id=attempt_id)
                rows = guard._rows(
                    "apply_migration", **{**record, "metadata": Jsonb(record["metadata"])}, statements=[], attempt_id=attempt_id, client=self.client
                )
            return Execution(rows=rows, details={}, attempt_id=attempt_id, notices=list(self._notices))

        # only the guard's lock is tried again: what ran outside a transaction is not run twice unasked
        return self._retrying(attempt)


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
