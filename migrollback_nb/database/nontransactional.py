"""Applies and rolls back statement by statement what PostgreSQL refuses inside a transaction. Writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.core.results.progress import first_words
from migrollback_nb.database.attempts import Attempts
from migrollback_nb.database.execution import ExecutionResult
from migrollback_nb.database.lock_connection import before_statements, gate_held
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.retries import retrying
from migrollback_nb.database.session import Row, Session
from migrollback_nb.database.statement_run import Run, StatementRunner


class NontransactionalCommands:
    """Each statement is journalled when it is done, so that an interrupted run can be resumed."""

    def __init__(self, session: Session, queries: Queries, attempts: Attempts) -> None:
        self._session = session
        self._queries = queries
        self._attempts = attempts

    def rollback(
        self,
        name: str,
        *,
        reason: str | None = None,
        preview: str | None = None,
        accept_loss: bool = False,
        break_glass: bool = False,
        known: Row | None = None,
        attempt_id: str | None = None,
    ) -> ExecutionResult:
        """Roll one migration back statement by statement, resuming where an interrupted run stopped. Writes.

        `known` and `attempt_id` are those of `Commands.rollback`.
        """
        run = Run(name=name, direction="rollback", attempt_id="")

        def attempt(_: str) -> ExecutionResult:
            nonlocal run
            run = Run(name=name, direction="rollback", attempt_id=self._attempts.new(attempt_id))
            self._session.notice_log.keep()
            try:
                rows, details = self._rollback_statements(
                    run,
                    reason=reason,
                    preview=preview,
                    accept_loss=accept_loss,
                    break_glass=break_glass,
                    known=known or {},
                )
            except errors.ConnectionFailed as lost:
                rows, details = self._after_lost_rollback(run, lost, reason=reason)
            if rows[0]["success"]:
                details = self._attempts.anchored(run.attempt_id, details)
            return ExecutionResult(
                rows=[{**rows[0], "migration_name": name}],
                details=details,
                attempt_id=run.attempt_id,
                notices=list(self._session.notices),
            )

        # the run resumes; what ran outside a transaction is not run twice unasked
        return retrying(self._session, attempt, may_repeat=lambda: run.may_begin_again)

    def _rollback_statements(
        self,
        run: Run,
        *,
        reason: str | None,
        preview: str | None,
        accept_loss: bool,
        break_glass: bool,
        known: Row,
    ) -> tuple[list[Row], dict[str, Row]]:
        name, attempt_id = run.name, run.attempt_id
        with gate_held(self._session) as holder:
            if before := holder.call("ended_attempt", attempt_id=attempt_id, names=[name]):
                return before, {}
            refusal = self._refusal(
                holder, run, reason=reason, preview=preview, accept_loss=accept_loss, break_glass=break_glass
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
            self._session.call_in_transaction(
                "start_migration_rollback",
                names=[name],
                attempt_id=attempt_id,
                reason=reason,
                client=self._session.client,
                target=Jsonb(self._session.target.to_dict() | known),
                break_glass=break_glass,
            )
            before_statements(holder)
            failure = StatementRunner(self._session, holder).run(
                run, statements, history["metadata"].get("search_path", "")
            )
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

    def _refusal(
        self,
        holder: Session,
        run: Run,
        *,
        reason: str | None,
        preview: str | None,
        accept_loss: bool,
        break_glass: bool,
    ) -> str | None:
        """Why it may not run, under the lock; None where it may. Keeps in the run which losses were accepted."""
        name = run.name
        check = Queries(holder).can_rollback(name)
        losses = holder.call(
            "production_losses",
            names=[name],
            otherwise_path=self._queries.effective_search_path(),
            accept_loss=accept_loss,
        )[0]
        run.accepted_loss = losses["accepted"]
        approval = holder.call("approval_of_start", name=name, break_glass=break_glass, reason=reason)[0]
        run.approved = approval["details"] or {}
        refusal = (
            cast("str | None", holder.call_value("production_refusal", reason=reason))
            or losses["refusal"]
            or approval["refusal"]
            if check["can_rollback"]
            else check["reason"]
        )
        if preview is not None:
            refusal = (
                cast(
                    "str | None",
                    holder.call_value("changed_since_preview", preview=preview, now=self._queries.fingerprint([name])),
                )
                or refusal
            )
        return refusal

    def _after_lost_rollback(
        self, run: Run, lost: errors.ConnectionFailed, *, reason: str | None
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
        run = Run(name=record["name"], direction="apply", attempt_id="")

        def attempt(_: str) -> ExecutionResult:
            nonlocal run
            run = Run(name=record["name"], direction="apply", attempt_id=self._attempts.new())
            self._session.notice_log.keep()
            try:
                rows, details = self._apply_statements(run, record, statements)
            except errors.ConnectionFailed as lost:
                rows, details = self._after_lost_apply_statements(run, record, lost)
            return ExecutionResult(
                rows=rows, details=details, attempt_id=run.attempt_id, notices=list(self._session.notices)
            )

        # the run resumes; what ran outside a transaction is not run twice unasked
        return retrying(self._session, attempt, may_repeat=lambda: run.may_begin_again)

    def _apply_statements(
        self, run: Run, record: dict[str, Any], statements: Sequence[str]
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
            # not on the lock connection: it reads tables, and who locks them is seen on this one
            counted = self._session.call_in_transaction(
                "count_destroyed_values",
                destroys=Jsonb(record["metadata"].get("destroys")),
                statements=list(statements),
                search_path=self._queries.effective_search_path(),
            )
            destroyed = counted[0]["count_destroyed_values"]
            before_statements(holder)
            failure = None
            if known is None or known["status"] == "rolled_back":
                failure = StatementRunner(self._session, holder).run(
                    run, statements, self._queries.effective_search_path()
                )
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

    def _registration(self, run: Run, record: dict[str, Any]) -> dict[str, Any]:
        return {
            **record,
            "metadata": Jsonb(record["metadata"]),
            "statements": [],
            "attempt_id": run.attempt_id,
            "client": self._session.client,
        }

    def _after_lost_apply_statements(
        self, run: Run, record: dict[str, Any], lost: errors.ConnectionFailed
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


def _stopped(run: Run) -> errors.ConnectionFailed:
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
