"""Attempts to apply or roll back: their ids, and how each ended, also when the connection was lost at COMMIT."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from psycopg import sql
from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.database.execution import ExecutionResult
from migrollback_nb.database.gate import Gate
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.session import PATIENCE, Row, Session
from migrollback_nb.database.settings import milliseconds

#: So long another session is waited for, in seconds, where a rollback may take any time.
_LONGEST_WAIT = 3600.0
_LOST_AT_COMMIT = "Migration {} successfully (the connection was lost at COMMIT; the audit log has the answer)"


class Attempts:
    """What was tried on one connection. How it ended is in the audit log, which is written in the same transaction."""

    def __init__(self, session: Session, queries: Queries) -> None:
        self._session = session
        self._queries = queries
        self._gate = Gate(session)
        self._ids: list[str] = []

    def new(self, given: str | None = None) -> str:
        """The id of a new attempt, or the one that the caller gave; pure."""
        self._ids.append(given or str(uuid.uuid4()))
        return self._ids[-1]

    def began(self, attempt_ids: Sequence[str]) -> bool:
        """Whether one of these attempts is known at all. Does not write."""
        if self._session.rights.through_gate:
            return bool(self._gate.attempts(attempt_ids, wait=False))
        return bool(
            self._session.query(
                "SELECT FROM {schema}.migration_events e WHERE e.attempt_id = ANY (%(ids)s::uuid[]) LIMIT 1",
                ids=list(attempt_ids),
            )
        )

    def events(self, attempt_ids: Sequence[str]) -> list[Row]:
        """How these attempts began and ended, in order, once no other session is at work. Does not write.

        Raises
        ------
        LockBusy
            When another session was at work for as long as a rollback may take.
        """
        longest = milliseconds(self._session.timeouts.statement_timeout, option="statement_timeout")
        deadline = time.monotonic() + (longest / 1000 if longest else _LONGEST_WAIT)
        while True:
            try:
                # under the lock: of one that is at work, "not yet" would be a wrong answer
                with self._session.transaction(lock_timeout="5s"):
                    if self._session.rights.through_gate:
                        return self._gate.attempts(attempt_ids, wait=True)
                    self._session.call("lock_migrations")
                    return self._session.query(
                        "SELECT e.* FROM {schema}.migration_events e WHERE e.attempt_id = ANY (%(ids)s::uuid[]) AND"
                        " e.event IN ('started', 'rolled_back', 'failed', 'refused') ORDER BY e.event_number",
                        ids=list(attempt_ids),
                    )
            except errors.LockBusy:
                if time.monotonic() > deadline:
                    raise

    def forget(self) -> None:
        """Begin to count: `completed` is about what comes after this. Does not write."""
        self._ids.clear()

    def completed(self) -> tuple[str, ...]:
        """Which migrations the attempts since `forget` rolled back or applied, and committed. Does not write."""
        if not self._ids:
            return ()
        if self._session.connection.closed:
            self._session.reconnect()
        try:
            rows = self._session.query(
                "SELECT e.migration_name FROM {schema}.migration_events e WHERE e.attempt_id ="
                " ANY(%(attempts)s::uuid[]) AND e.event IN ('rolled_back', 'applied') ORDER BY e.event_number",
                attempts=self._ids,
            )
        except errors.DatabaseError as error:
            if not self._session.rights.lack_but_for_gate(error):
                raise
            ended = [row for attempt_id in self._ids for row in self._gate.attempt(attempt_id)]
            rows = [row for row in ended if row["event"] == "rolled_back"]
        return tuple(row["migration_name"] for row in rows)

    def ended(self, attempt_id: str) -> list[Row]:
        """How a rollback ended, a row for each migration, in order. Does not write."""
        return self._session.query(
            "SELECT e.* FROM {schema}.migration_events e WHERE e.attempt_id = %(attempt_id)s::uuid "
            "AND e.event IN ('rolled_back', 'failed', 'refused') ORDER BY e.event_number",
            attempt_id=attempt_id,
        )

    def details_query(self, attempt_id: str) -> bytes:
        """A query for name -> details of the events of an attempt that runs, for `details_of`. Does not write."""
        if self._session.rights.through_gate:
            return self._gate.attempt_text(attempt_id)
        return self._session.query_text(
            "SELECT e.migration_name, e.details, e.event_number, e.hash FROM {schema}.migration_events e"
            " WHERE e.attempt_id = %(attempt_id)s AND e.event <> 'started' ORDER BY e.event_number",
            attempt_id=attempt_id,
        )

    @staticmethod
    def details_of(rows: Sequence[Row]) -> dict[str, Row]:
        """Name -> details of its last event, and its anchor, from the rows of `details_query`; pure."""
        return {
            row["migration_name"]: row["details"] | {"anchor": f"{row['event_number']}:{row['hash']}"} for row in rows
        }

    def anchored(self, attempt_id: str, details: dict[str, Row]) -> dict[str, Row]:
        """These details, each with the anchor of the attempt's last event of that name. Does not write.

        Where the connection is lost, and no other can be had, they stay as they are: what was committed is done.
        """
        for _ in range(2):
            try:
                ended = self.details_of(self._session.read(queries=[self.details_query(attempt_id)])[0])
            except errors.ConnectionFailed:
                with suppress(errors.ConnectionFailed):
                    self._session.reconnect()
            else:
                anchors = {name: last["anchor"] for name, last in ended.items()}
                return details | {name: {**details.get(name, {}), "anchor": one} for name, one in anchors.items()}
        return details

    # -- after a lost connection -----------------------------------------------------------------------------------

    def outcome(self, attempt_id: str, process: int | None = None) -> dict[str, Row]:
        """Name -> how this attempt ended; empty: nothing of it was committed. Reconnects where it must. Does not write.

        `process`: of the server, which is waited for first: what it was sent it may not have begun with.

        Raises
        ------
        ConnectionFailed
            When the server does not answer: then it is not known.
        """
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    if self._session.connection.closed:
                        self._session.reconnect_patiently()
                    if process is not None and not self._is_gone(process):
                        raise errors.LockBusy(f"the server's process {process} is still at work")
                    through_gate = self._session.rights.through_gate
                    with self._session.transaction(lock_timeout="30s"):
                        rows = (
                            self._gate.attempt(attempt_id)
                            if through_gate
                            else self._session.call("migration_attempt", attempt_id=attempt_id)
                        )
                    return {row["migration_name"]: row for row in rows}
                except errors.ConnectionFailed:  # lost once more
                    if self._session.reopen is None or time.monotonic() > deadline:
                        raise
        except errors.MigrollbackError as error:
            function = f"{self._session.schema}.migration_attempt"
            ask = f"SELECT * FROM {function}('{attempt_id}')"  # noqa: S608  # for a person to read
            raise errors.ConnectionFailed(
                f"The connection was lost and cannot be made again, so it is not known how attempt {attempt_id} ended:"
                f" {error.message}",
                hint=f"When the server is back: {ask}; no row means that nothing was committed.",
            ) from error

    def after_lost_rollback(self, names: Sequence[str], attempt_id: str, *, reason: str | None) -> ExecutionResult:
        """How a rollback ended whose connection was lost. Writes one event, where nothing of it was committed.

        Raises
        ------
        ConnectionFailed
            When nothing of it was committed, or that is not known.
        """
        found = self.outcome(attempt_id)
        details = {name: row["details"] for name, row in found.items()}
        if set(names) <= {name for name, row in found.items() if row["event"] == "rolled_back"}:
            rows = [self.rolled_back_at_commit(name) for name in names]
            return ExecutionResult(rows=rows, details=self.anchored(attempt_id, details), attempt_id=attempt_id)
        for name, row in found.items():
            if row["event"] in ("failed", "refused"):
                message = row["details"].get("message", "")
                shown = f"Rollback failed: {message}" if row["event"] == "failed" else message
                return ExecutionResult(
                    rows=[{"success": False, "message": shown, "sql_executed": None, "migration_name": name}],
                    details=details if row["event"] == "failed" else {},
                    attempt_id=attempt_id,
                )
        self.record_lost(names[-1], attempt_id, reason)
        raise errors.ConnectionFailed(
            "The connection was lost during the rollback, and nothing of it was committed",
            hint="The migration is still applied: try again.",
        )

    def _is_gone(self, process: int) -> bool:
        """Whether another process of the server has ended within `PATIENCE` seconds. Does not write."""
        deadline = time.monotonic() + PATIENCE
        while self._session.query(
            "SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE a.pid = %(process)s"
            " AND a.pid <> pg_catalog.pg_backend_pid()",
            process=process,
        ):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def after_lost_system_rollback(self, name: str, attempt_id: str) -> ExecutionResult | None:
        """The result of the rollback of the system itself; None: it was not committed. Does not write."""
        if not self._system_is_gone(attempt_id):
            return None
        message = (
            "Migration rolled back successfully. The rollback system is gone and its audit log ends here (the"
            " connection was lost at COMMIT)"
        )
        rows = [{"success": True, "message": message, "sql_executed": None, "migration_name": name}]
        return ExecutionResult(rows=rows, details={}, attempt_id=attempt_id)

    def after_lost_apply(self, name: str, attempt_id: str, process: int) -> ExecutionResult:
        """How an apply ended whose connection was lost. Does not write.

        Parameters
        ----------
        process : int
            The server's process of that connection. All of the apply is one message: until that process is gone, it
            may yet take the lock, and commit.

        Raises
        ------
        ConnectionFailed
            When nothing of it was committed, or that is not known.
        """
        row = self.outcome(attempt_id, process).get(name)
        if row is None:
            raise errors.ConnectionFailed(
                "The connection was lost while the migration was applied, and nothing of it was committed",
                hint="Try again.",
            )
        result = self.applied_at_commit()
        if row["event"] != "applied":
            result = {"success": False, "message": f"Migration failed: {row['details'].get('message', '')}"}
        return ExecutionResult(rows=[result], details={name: row["details"]}, attempt_id=attempt_id)

    def rolled_back_at_commit(self, name: str) -> Row:
        """The row of a rollback that was committed when the connection was lost. Does not write."""
        return {
            "success": True,
            "message": _LOST_AT_COMMIT.format("rolled back"),
            "sql_executed": self._rollback_sql(name),
            "migration_name": name,
        }

    @staticmethod
    def applied_at_commit() -> Row:
        """The row of an apply that was committed when the connection was lost; pure."""
        return {"success": True, "message": _LOST_AT_COMMIT.format("applied")}

    def record_lost(self, name: str, attempt_id: str, reason: str | None) -> None:
        """Record that nothing of an attempt was committed, where that can be written. Writes one event."""
        details = Jsonb({"sqlstate": "08006", "message": "the connection was lost; nothing was committed"})
        with suppress(errors.MigrollbackError):
            if self._session.rights.through_gate:
                self._gate.record_lost(attempt_id, cancelled=False)
                return
            self._session.call_in_transaction(
                "fail_migration_rollback",
                name=name,
                attempt_id=attempt_id,
                reason=reason,
                client=self._session.client,
                details=details,
            )

    def _rollback_sql(self, name: str) -> str | None:
        """For a result that is known already: None where the connection is lost once more."""
        try:
            return cast("str | None", (self._queries.find(name) or {}).get("rollback_sql"))
        except errors.ConnectionFailed:
            return None

    def _system_is_gone(self, attempt_id: str) -> bool:
        """Whether the rollback of the system itself was committed: then no audit log is left to find an attempt in."""
        try:
            if self._session.connection.closed:
                self._session.reconnect_patiently()
            # while the lost COMMIT is still at work, the answer would be wrong
            gate = sql.Identifier(self._session.schema, "migration_gate").as_string(None).encode()
            with self._session.transaction(b"LOCK TABLE " + gate + b" IN EXCLUSIVE MODE", lock_timeout="30s"):
                return not self._session.query(
                    "SELECT 1 WHERE pg_catalog.to_regclass(%(name)s) IS NOT NULL",
                    name=sql.Identifier(self._session.schema, "migration_history").as_string(None),
                )
        except errors.NotInstalled:
            return True  # the table that was to be locked went with the rest
        except errors.MigrollbackError as error:
            raise errors.ConnectionFailed(
                f"The connection was lost and cannot be made again, so it is not known how attempt {attempt_id} ended:"
                f" {error.message}",
                hint=(
                    "When the server is back, look whether migration_history is there: if it is, nothing was committed."
                ),
            ) from error
