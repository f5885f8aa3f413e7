"""What is done to a database in transactions, each whole or not at all, also when the connection is lost at COMMIT."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from psycopg import sql
from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.session import PATIENCE, RETRIED, ExecutionResult, Row

_LOST_AT_COMMIT = "Migration {} successfully (the connection was lost at COMMIT; the audit trail has the answer)"


@contextmanager
def nothing_has_run() -> Iterator[None]:
    """Say of a lost connection that nothing had run yet. Does not write."""
    try:
        yield
    except errors.ConnectionFailed as lost:
        raise errors.ConnectionFailed(
            f"{lost.message} before anything had run", hint="Nothing was changed: try again."
        ) from lost


class Commands(Queries):
    """Registering, applying, rolling back, snapshots, events."""

    def register_many(self, records: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Register migrations, dependencies first; all or none. Writes. Returns name -> registered, updated, unchanged or applied again."""

        def attempt(lock_timeout: str) -> dict[str, str]:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                rows = self._rows("register_migrations", migrations=Jsonb(list(records)), client=self.client)
            return {row["migration_name"]: row["verdict"] for row in rows}

        last = self._last_event()
        try:
            return self._retrying(attempt)
        except errors.ConnectionFailed as lost:
            self._reconnect_or_say(
                lost,
                "it was committed that they are registered",
                "Run it again: what is registered already is left as it is.",
            )
            outcomes = self._retrying(attempt)  # once more is no harm, and waits for a COMMIT that is still at work
            events = self._own_events(["registered", "applied_again"], list(outcomes), last)
            recorded = {
                name: "applied again" if one["event"] == "applied_again" else one["what"]
                for name, one in events.items()
            }
            return {
                name: recorded.get(name, outcome) if outcome == "unchanged" else outcome
                for name, outcome in outcomes.items()
            }

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
        self,
        dependencies: Sequence[dict[str, Any]],
        objects: Sequence[dict[str, Any]],
        obsolete: Sequence[dict[str, Any]] = (),
    ) -> tuple[list[Row], list[Row]]:
        """Keep inferred dependencies, and what the SQL of files says that migrations made. Writes.

        A row for each dependency: recorded, remark; and one for each inferred one that was taken back, for it was among
        the `obsolete`.
        """

        def attempt(lock_timeout: str) -> tuple[list[Row], list[Row]]:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                # first: one that went may have closed the circle that keeps another out
                gone = (
                    self._rows("forget_migration_dependencies", dependencies=Jsonb(list(obsolete)), client=self.client)
                    if obsolete
                    else []
                )
                rows = self._rows(
                    "record_migration_dependencies", dependencies=Jsonb(list(dependencies)), client=self.client
                )
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
                return cast(
                    str, self._value("resolve_migration", name=name, status=status, reason=reason, client=self.client)
                )

        last = self._last_event()
        try:
            return self._retrying(attempt)
        except errors.ConnectionFailed as lost:
            self._reconnect_or_say(
                lost, f"{name} was resolved", "Look at its status when the server is back: migrollback history."
            )
            details = self._own_events(["resolved"], [name], last).get(name)
            if details is None or details.get("new") != status:
                raise errors.ConnectionFailed(
                    f"The connection was lost, and {name} was not resolved: nothing was committed", hint="Try again."
                ) from lost
            return cast(str, details["old"])

    def record_checklist_item(self, name: str, *, reason: str | None, details: dict[str, Any]) -> Row:
        """Keep an answer to an item of the checklist in the audit trail. Writes one event, and returns it."""
        number = self.add_event("checklist_item", name, details, reason=reason)
        return self._query(
            "SELECT e.* FROM {schema}.migration_events e WHERE e.event_number = %(number)s", number=number
        )[0]

    def snapshot(
        self, name: str, description: str | None, *, moment: str | None = None, migrations: Sequence[str] = ()
    ) -> str:
        """Store the schema as it stands. Writes. Returns the snapshot's id.

        Parameters
        ----------
        name : str
            The migration that it is taken for.
        description : str, optional
            Why.
        moment : str, optional
            Of which deed, where it is taken around one: nothing is stored then when nothing has changed since the last
            snapshot.
        migrations : sequence of str
            The migrations of that deed.
        """

        def attempt(lock_timeout: str) -> str:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                return str(
                    self._value(
                        "create_migration_snapshot",
                        name=name,
                        description=description,
                        moment=moment,
                        migrations=list(migrations) or None,
                        client=self.client,
                    )
                )

        if moment is not None:
            return self._retrying(attempt)  # whoever is about to do more decides what a lost connection means
        last = self._last_event()
        try:
            return self._retrying(attempt)
        except errors.ConnectionFailed as lost:
            self._reconnect_or_say(
                lost,
                "the snapshot was stored",
                "migrollback snapshots tells when the server is back; another one is no harm.",
            )
            details = self._own_events(["snapshot_taken"], [name], last).get(name)
            if details is None:
                raise errors.ConnectionFailed(
                    "The connection was lost, and no snapshot was stored", hint="Try again."
                ) from lost
            return cast(str, details["snapshot"])

    def verify_last_rollback(self, name: str) -> Row:
        """The row of verify_last_rollback(). Writes one event, and a snapshot where none was taken since."""

        def attempt(lock_timeout: str) -> Row:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                return self._rows("verify_last_rollback", name=name, client=self.client)[0]

        return self._retrying(attempt)

    def add_event(self, event: str, name: str | None, details: dict[str, Any], *, reason: str | None = None) -> int:
        """Add a line to the audit trail, after those who are writing to it. Writes. Returns its number."""

        def attempt(lock_timeout: str) -> int:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                return cast(
                    int,
                    self._value(
                        "add_migration_event",
                        event=event,
                        migration_name=name,
                        reason=reason,
                        client=self.client,
                        details=Jsonb(details),
                    ),
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
            "SELECT e.migration_name FROM {schema}.migration_events e WHERE e.attempt_id = ANY(%(attempts)s::uuid[])"
            " AND e.event IN ('rolled_back', 'applied') ORDER BY e.event_number",
            attempts=self.attempts,
        )
        return tuple(row["migration_name"] for row in rows)

    def apply(self, record: dict[str, Any], statements: Sequence[str]) -> ExecutionResult:
        """Run an up part and register it, whole or not at all. Writes."""
        session_settings = self._session_settings()

        def attempt(lock_timeout: str) -> ExecutionResult:
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
            return ExecutionResult(rows=rows, details=found, attempt_id=attempt_id, notices=list(self._notices))

        return self._retrying(attempt, met_lock=_met_lock)

    def rollback(
        self,
        names: Sequence[str],
        *,
        reason: str | None = None,
        preview: str | None = None,
        chain_head: str | None = None,
        snapshot_each: bool = False,
    ) -> ExecutionResult:
        """Roll migrations back in the given order in one transaction, all or none. Writes.

        The event ``started`` is committed first, with the id of the attempt; when the connection is lost at COMMIT,
        that id finds out how it ended.
        """
        asked: dict[str, Any] = {
            "reason": reason,
            "preview": preview,
            "chain_head": chain_head,
            "session_settings": Jsonb(self._session_settings()),
        }
        asked |= {"snapshot_each": True} if snapshot_each else {}
        return self._retrying(lambda lock_timeout: self._rollback_once(names, asked, lock_timeout), met_lock=_met_lock)

    def _rollback_once(self, names: Sequence[str], asked: dict[str, Any], lock_timeout: str) -> ExecutionResult:
        attempt_id = self._new_attempt()
        ends_trail = asked["chain_head"] is not None
        reason = asked["reason"]
        if not ends_trail:
            known = self.target.to_dict() | ({} if asked["preview"] is None else {"fingerprint": asked["preview"]})
            with nothing_has_run(), self._translated(), self._deed(lock_timeout=lock_timeout):
                self._rows(
                    "start_migration_rollback",
                    names=list(names),
                    attempt_id=attempt_id,
                    reason=reason,
                    client=self.client,
                    target=Jsonb(known),
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
            return ExecutionResult(rows=rows, details=found, attempt_id=attempt_id, notices=list(self._notices))
        except errors.ConnectionFailed:
            return self._after_lost_connection(names, attempt_id, reason=reason, ends_trail=ends_trail)
        except (KeyboardInterrupt, errors.DatabaseError) as broken:
            if isinstance(broken, errors.DatabaseError) and (ends_trail or not self.cancelled):
                raise
            # Before the COMMIT it is undone, and the function's own record of it too; during the COMMIT it may be done
            # all the same.
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
            raise errors.DatabaseError(
                "Cancelled before the COMMIT", sqlstate="57014", hint="Everything it did was undone."
            )

    # -- after a lost connection -----------------------------------------------------------------------------------

    def _look_up(self, attempt_id: str) -> dict[str, Row]:
        """Name -> how this attempt ended, on a new connection where the old one is lost. Nothing: nothing of it was committed."""
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    if self.connection.closed:
                        self.reconnect_patiently()
                    with self._translated(), self._deed(lock_timeout="30s"):
                        return {
                            row["migration_name"]: row for row in self._rows("migration_attempt", attempt_id=attempt_id)
                        }
                except errors.ConnectionFailed:  # lost once more
                    if self._reopen is None or time.monotonic() > deadline:
                        raise
        except errors.MigrollbackError as error:
            ask = f"SELECT * FROM {self.schema}.migration_attempt('{attempt_id}')"  # noqa: S608  # for a person to read
            raise errors.ConnectionFailed(
                f"The connection was lost and cannot be made again, so it is not known how attempt {attempt_id} ended:"
                f" {error.message}",
                hint=f"When the server is back: {ask}; no row means that nothing was committed.",
            ) from error

    def _after_lost_connection(
        self, names: Sequence[str], attempt_id: str, *, reason: str | None, ends_trail: bool
    ) -> ExecutionResult:
        if ends_trail and self._system_is_gone(attempt_id):
            message = (
                "Migration rolled back successfully. The rollback system is gone and its audit trail ends here (the"
                " connection was lost at COMMIT)"
            )
            rows = [{"success": True, "message": message, "sql_executed": None, "migration_name": names[0]}]
            return ExecutionResult(rows=rows, details={}, attempt_id=attempt_id)
        found = self._look_up(attempt_id)
        details = {name: row["details"] for name, row in found.items()}
        if set(names) <= {name for name, row in found.items() if row["event"] == "rolled_back"}:
            message = _LOST_AT_COMMIT.format("rolled back")
            rows = [
                {"success": True, "message": message, "sql_executed": self._rollback_sql(name), "migration_name": name}
                for name in names
            ]
            return ExecutionResult(rows=rows, details=details, attempt_id=attempt_id)
        for name, row in found.items():
            if row["event"] in ("failed", "refused"):
                message = row["details"].get("message", "")
                told = f"Rollback failed: {message}" if row["event"] == "failed" else message
                return ExecutionResult(
                    rows=[{"success": False, "message": told, "sql_executed": None, "migration_name": name}],
                    details=details if row["event"] == "failed" else {},
                    attempt_id=attempt_id,
                )
        self._record_lost(names[-1], attempt_id, reason)
        raise errors.ConnectionFailed(
            "The connection was lost during the rollback, and nothing of it was committed",
            hint="The migration is still in place: try again.",
        )

    def _record_lost(self, name: str, attempt_id: str, reason: str | None) -> None:
        """Record that nothing of an attempt was committed; what is known of it is right also where this cannot be written."""
        details = Jsonb({"sqlstate": "08006", "message": "the connection was lost; nothing was committed"})
        with suppress(errors.MigrollbackError):
            self._rows_in_deed(
                "fail_migration_rollback",
                name=name,
                attempt_id=attempt_id,
                reason=reason,
                client=self.client,
                details=details,
            )

    def _rollback_sql(self, name: str) -> str | None:
        """For a result that stands already: None where the connection is lost once more."""
        try:
            return cast("str | None", (self.find(name) or {}).get("rollback_sql"))
        except errors.ConnectionFailed:
            return None

    def _system_is_gone(self, attempt_id: str) -> bool:
        """Whether the rollback of the system itself was committed: then there is nothing left to look an attempt up in."""
        try:
            if self.connection.closed:
                self.reconnect_patiently()
            with self._translated(), self._deed(lock_timeout="30s"):
                # while the lost COMMIT is still at work, the answer would be wrong
                self.connection.execute(
                    "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('migrollback_nb gate', 0))"
                )
                return not self._query(
                    "SELECT 1 WHERE pg_catalog.to_regclass(%(name)s) IS NOT NULL", name=self._history_table()
                )
        except errors.MigrollbackError as error:
            raise errors.ConnectionFailed(
                f"The connection was lost and cannot be made again, so it is not known how attempt {attempt_id} ended:"
                f" {error.message}",
                hint=(
                    "When the server is back, look whether migration_history is there: if it is, nothing was committed."
                ),
            ) from error

    def _history_table(self) -> str:
        return sql.Identifier(self.schema, "migration_history").as_string(None)

    def _reconnect_or_say(self, lost: errors.ConnectionFailed, what: str, hint: str) -> None:
        """Open a new connection in place of a lost one, or say what is not known."""
        try:
            self.reconnect_patiently()
        except errors.ConnectionFailed as error:
            raise errors.ConnectionFailed(
                f"{lost.message}, and it is not known whether {what}: {error.message}", hint=hint
            ) from lost

    def _last_event(self) -> int:
        """Number of the newest event. Does not write."""
        return cast(
            int,
            self._query("SELECT coalesce(max(e.event_number), 0) AS number FROM {schema}.migration_events e")[0][
                "number"
            ],
        )

    def _own_events(self, events: Sequence[str], names: Sequence[str], last: int) -> dict[str, Row]:
        """Name -> event and details of the newest of these events that this client has written since the event of number `last`. Does not write."""
        with self._translated(), self._deed(lock_timeout="30s"):
            self._rows("lock_migrations")  # while the lost COMMIT is still at work, "none" would be a wrong answer
            rows = self._query(
                "SELECT DISTINCT ON (e.migration_name) e.migration_name, e.event, e.details FROM"
                " {schema}.migration_events e WHERE e.event = ANY (%(events)s) AND e.migration_name = ANY (%(names)s)"
                " AND e.client = %(client)s AND e.event_number > %(last)s ORDER BY e.migration_name, e.event_number"
                " DESC",
                events=list(events),
                names=list(names),
                client=self.client,
                last=last,
            )
        return {row["migration_name"]: {**row["details"], "event": row["event"]} for row in rows}

    def _after_lost_apply(self, name: str, attempt_id: str) -> ExecutionResult:
        row = self._look_up(attempt_id).get(name)
        if row is None:
            raise errors.ConnectionFailed(
                "The connection was lost while the migration was applied, and nothing of it was committed",
                hint="Try again.",
            )
        if row["event"] == "applied":
            return ExecutionResult(
                rows=[{"success": True, "message": _LOST_AT_COMMIT.format("applied")}],
                details={name: row["details"]},
                attempt_id=attempt_id,
            )
        message = f"Migration failed: {row['details'].get('message', '')}"
        return ExecutionResult(
            rows=[{"success": False, "message": message}], details={name: row["details"]}, attempt_id=attempt_id
        )

    def _attempt_details(self, attempt_id: str) -> dict[str, Row]:
        rows = self._query(
            "SELECT e.migration_name, e.details FROM {schema}.migration_events e WHERE e.attempt_id = %(attempt_id)s"
            " AND e.event <> 'started' ORDER BY e.event_number",
            attempt_id=attempt_id,
        )
        return {row["migration_name"]: row["details"] for row in rows}


def _met_lock(execution: ExecutionResult) -> bool:
    return any(
        details.get("sqlstate") in RETRIED for details in execution.details.values() if not execution.rows[0]["success"]
    )
