"""What is done to a database in transactions, each whole or not at all, also when the connection is lost at COMMIT."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, cast

from psycopg.types.json import Jsonb

from migrollback_nb import errors
from migrollback_nb.database.questions import Questions
from migrollback_nb.session import RETRIED, Execution, Row


class Deeds(Questions):
    """Registering, applying, rolling back, snapshots, events."""

    def register_many(self, records: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Register migrations, dependencies first; all or none. Writes. Returns name -> registered, updated, unchanged or applied again."""

        def attempt(lock_timeout: str) -> dict[str, str]:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                rows = self._rows("register_migrations", migrations=Jsonb(list(records)), client=self.client)
            return {row["migration_name"]: row["verdict"] for row in rows}

        return self._retrying(attempt)

    def begin_deploy(self, label: str | None) -> str:
        """Record that a deploy begins, or go on with the one of this label. Writes, where there is a label. Returns its id."""
        if label is None:
            return str(uuid.uuid4())

        def attempt(lock_timeout: str) -> str:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                return str(self._value("begin_migration_deploy", label=label, client=self.client))

        return self._retrying(attempt)

    def record_applied_again(self, name: str, deploy: str | None) -> None:
        """Record that a deploy tool applied a migration again whose file is not here any more. Writes."""

        def attempt(lock_timeout: str) -> None:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                self._rows("record_applied_again", name=name, deploy=deploy, client=self.client)

        self._retrying(attempt)

    def record_missing_in_ledger(self, names: Sequence[str]) -> None:
        """Record, once, that deploy ledgers no longer hold these migrations. Writes events."""

        def attempt(lock_timeout: str) -> None:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                self._rows("record_missing_in_ledger", names=list(names), client=self.client)

        self._retrying(attempt)

    def record_dependencies(
        self, dependencies: Sequence[dict[str, Any]], objects: Sequence[dict[str, Any]], obsolete: Sequence[dict[str, Any]] = ()
    ) -> tuple[list[Row], list[Row]]:
        """Keep inferred dependencies, and what the SQL of files says that migrations made. Writes.

        A row for each dependency: recorded, remark; and one for each inferred one that was taken back, for it was among the `obsolete`.
        """

        def attempt(lock_timeout: str) -> tuple[list[Row], list[Row]]:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                # first: one that went may have closed the circle that keeps another out
                gone = self._rows("forget_migration_dependencies", dependencies=Jsonb(list(obsolete)), client=self.client) if obsolete else []
                rows = self._rows("record_migration_dependencies", dependencies=Jsonb(list(dependencies)), client=self.client)
                self._rows("record_parsed_objects", objects=Jsonb(list(objects)))
            return rows, gone

        return self._retrying(attempt)

    def record_parsed_objects(self, objects: Sequence[dict[str, Any]]) -> None:
        """Keep what the SQL of files says that migrations made. Writes."""
        with self._translated(), self._deed():
            self._rows("record_parsed_objects", objects=Jsonb(list(objects)))

    def resolve(self, name: str, status: str, reason: str) -> str:
        """Set the status of a migration that a person has looked after. Writes. Returns the status before."""

        def attempt(lock_timeout: str) -> str:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                return cast(str, self._value("resolve_migration", name=name, status=status, reason=reason, client=self.client))

        return self._retrying(attempt)

    def record_checklist_item(self, name: str, *, reason: str | None, details: dict[str, Any]) -> Row:
        """Keep an answer to an item of the checklist in the audit trail. Writes one event, and returns it."""
        number = self.add_event("checklist_item", name, details, reason=reason)
        return self._query("SELECT e.* FROM {schema}.migration_events e WHERE e.event_number = %(number)s", number=number)[0]

    def snapshot(self, name: str, description: str | None, *, moment: str | None = None, migrations: Sequence[str] = ()) -> str:
        """Store the schema as it stands. Writes. Returns the snapshot's id.

        Parameters
        ----------
        name : str
            The migration that it is taken for.
        description : str, optional
            Why.
        moment : str, optional
            Of which deed, where it is taken around one: nothing is stored then when nothing has changed since the last snapshot.
        migrations : sequence of str
            The migrations of that deed.
        """

        def attempt(lock_timeout: str) -> str:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                return str(
                    self._value(
                        "create_migration_snapshot", name=name, description=description, moment=moment, migrations=list(migrations) or None, client=self.client
                    )
                )

        return self._retrying(attempt)

    def add_event(self, event: str, name: str | None, details: dict[str, Any], *, reason: str | None = None) -> int:
        """Add a line to the audit trail, after those who are writing to it. Writes. Returns its number."""

        def attempt(lock_timeout: str) -> int:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                return cast(
                    int, self._value("add_migration_event", event=event, migration_name=name, reason=reason, client=self.client, details=Jsonb(details))
                )

        return self._retrying(attempt)

    def _new_attempt(self) -> str:
        self.attempts.append(str(uuid.uuid4()))
        return self.attempts[-1]

    def done_in_attempts(self) -> tuple[str, ...]:
        """Which migrations were rolled back or applied by the deeds since `attempts` was emptied, and committed. Does not write."""
        if not self.attempts:
            return ()
        if self.connection.closed:
            self.reconnect()
        rows = self._query(
            "SELECT e.migration_name FROM {schema}.migration_events e WHERE e.attempt_id = ANY(%(attempts)s::uuid[]) AND e.event IN ('rolled_back', 'applied') "
            "ORDER BY e.event_number",
            attempts=self.attempts,
        )
        return tuple(row["migration_name"] for row in rows)

    def apply(self, record: dict[str, Any], statements: Sequence[str]) -> Execution:
        """Run an up part and register it, whole or not at all. Writes."""
        session_settings = self._session_settings

        def attempt(lock_timeout: str) -> Execution:
            attempt_id = self._new_attempt()
            self._notices.clear()
            try:
                with self._translated(), self._deed(lock_timeout=lock_timeout):
                    rows = self._rows(
                        "apply_migration",
                        **{**record, "metadata": Jsonb(record["metadata"])},
                        statements=list(statements),
                        session_settings=Jsonb(session_settings),
                        attempt_id=attempt_id,
                        client=self.client,
                    )
                    found = {} if rows[0]["success"] else self._attempt_details(attempt_id)
            except errors.ConnectionFailed:
                return self._after_lost_apply(record["name"], attempt_id)
            return Execution(rows=rows, details=found, attempt_id=attempt_id, notices=list(self._notices))

        return self._retrying(attempt, met_lock=_met_lock)

    def rollback(
        self, names: Sequence[str], *, reason: str | None = None, preview: str | None = None, trail_head: str | None = None, snapshot_each: bool = False
    ) -> Execution:
        """Roll migrations back in the given order in one transaction, all or none. Writes.

        The event ``started`` is committed first, with the id of the attempt; when the connection is lost at COMMIT, that id finds out how it ended.
        """
        asked = {"reason": reason, "preview": preview, "trail_head": trail_head} | ({"snapshot_each": True} if snapshot_each else {})
        return self._retrying(lambda lock_timeout: self._rollback_once(names, asked, lock_timeout), met_lock=_met_lock)

    def _rollback_once(self, names: Sequence[str], asked: dict[str, Any], lock_timeout: str) -> Execution:
        attempt_id = self._new_attempt()
        ends_trail = asked["trail_head"] is not None
        reason = asked["reason"]
        if not ends_trail:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                self._rows(
                    "start_migration_rollback", names=list(names), attempt_id=attempt_id, reason=reason, client=self.client, target=Jsonb(self.target.to_dict())
                )
        self._notices.clear()
        try:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                rows = self._rows(
                    "execute_migration_rollbacks",
                    names=list(names),
                    attempt_id=attempt_id,
                    client=self.client,
                    **asked,
                )
                found = {} if ends_trail and rows[0]["success"] else self._attempt_details(attempt_id)
                if rows[0]["success"]:
                    self._stop_if_cancelled()  # the server may have been done before it heard of it
            return Execution(rows=rows, details=found, attempt_id=attempt_id, notices=list(self._notices))
        except errors.ConnectionFailed:
            return self._after_lost_connection(names, attempt_id)
        except (KeyboardInterrupt, errors.DatabaseError) as broken:
            if isinstance(broken, errors.DatabaseError) and (ends_trail or not self.cancelled):
                raise
            # Before the COMMIT it is undone, and the function's own record of it too; during the COMMIT it may be done all the same.
            if not self._look_up(attempt_id):
                self._rows_in_deed(
                    "fail_migration_rollback",
                    name=names[-1],
                    attempt_id=attempt_id,
                    reason=reason,
                    client=self.client,
                    details=Jsonb({"sqlstate": "57014", "message": "interrupted by the user"}),
                )
            raise

    def _stop_if_cancelled(self) -> None:
        if self.cancelled:
            raise errors.DatabaseError("Cancelled before the COMMIT", sqlstate="57014", hint="Everything it did was undone.")

    # -- after a lost connection -----------------------------------------------------------------------------------

    def _look_up(self, attempt_id: str) -> dict[str, Row]:
        """Name -> how this attempt ended, on a new connection where the old one is lost. Nothing: nothing of it was committed."""
        try:
            if self.connection.closed:
                self.reconnect()
            with self._translated(), self._deed(lock_timeout="30s"):
                return {row["migration_name"]: row for row in self._rows("migration_attempt", attempt_id=attempt_id)}
        except errors.MigrollbackError as error:
            raise errors.ConnectionFailed(
                f"The connection was lost and cannot be made again, so it is not known how attempt {attempt_id} ended: {error.message}",
                hint=f"When the server is back: SELECT * FROM {self.schema}.migration_attempt('{attempt_id}'); no row means that nothing was committed.",  # noqa: S608  # for a person to read
            ) from error

    def _after_lost_connection(self, names: Sequence[str], attempt_id: str) -> Execution:
        found = self._look_up(attempt_id)
        details = {name: row["details"] for name, row in found.items()}
        if set(names) <= {name for name, row in found.items() if row["event"] == "rolled_back"}:
            rows = []
            for name in names:
                history = self.find(name) or {}
                message = "Migration rolled back successfully (the connection was lost at COMMIT; the audit trail has the answer)"
                rows.append({"success": True, "message": message, "sql_executed": history.get("rollback_sql"), "migration_name": name})
            return Execution(rows=rows, details=details, attempt_id=attempt_id)
        for name, row in found.items():
            if row["event"] in ("failed", "refused"):
                message = row["details"].get("message", "")
                told = f"Rollback failed: {message}" if row["event"] == "failed" else message
                return Execution(
                    rows=[{"success": False, "message": told, "sql_executed": None, "migration_name": name}],
                    details=details if row["event"] == "failed" else {},
                    attempt_id=attempt_id,
                )
        self._rows_in_deed(
            "fail_migration_rollback",
            name=names[-1],
            attempt_id=attempt_id,
            reason=None,
            client=self.client,
            details=Jsonb({"sqlstate": "08006", "message": "the connection was lost; nothing was committed"}),
        )
        raise errors.ConnectionFailed(
            "The connection was lost during the rollback, and nothing of it was committed", hint="The migration is still in place: try again."
        )

    def _after_lost_apply(self, name: str, attempt_id: str) -> Execution:
        row = self._look_up(attempt_id).get(name)
        if row is None:
            raise errors.ConnectionFailed("The connection was lost while the migration was applied, and nothing of it was committed", hint="Try again.")
        if row["event"] == "applied":
            message = "Migration applied successfully (the connection was lost at COMMIT; the audit trail has the answer)"
            return Execution(rows=[{"success": True, "message": message}], details={name: row["details"]}, attempt_id=attempt_id)
        message = f"Migration failed: {row['details'].get('message', '')}"
        return Execution(rows=[{"success": False, "message": message}], details={name: row["details"]}, attempt_id=attempt_id)

    def _attempt_details(self, attempt_id: str) -> dict[str, Row]:
        rows = self._query(
            "SELECT e.migration_name, e.details FROM {schema}.migration_events e WHERE e.attempt_id = %(attempt_id)s AND e.event <> 'started' ORDER BY e.event_number",
            attempt_id=attempt_id,
        )
        return {row["migration_name"]: row["details"] for row in rows}


def _met_lock(execution: Execution) -> bool:
    return any(details.get("sqlstate") in RETRIED for details in execution.details.values() if not execution.rows[0]["success"])
