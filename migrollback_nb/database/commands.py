"""Commands that run in a transaction: each whole or not at all, also when the connection is lost at COMMIT. Writes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.database.attempts import Attempts
from migrollback_nb.database.execution import ExecutionResult
from migrollback_nb.database.gate import Gate
from migrollback_nb.database.retries import RETRIED, retrying
from migrollback_nb.database.session import Row, Session


@contextmanager
def nothing_has_run() -> Iterator[None]:
    """Say of a lost connection that nothing had run yet. Does not write."""
    try:
        yield
    except errors.ConnectionFailed as lost:
        raise errors.ConnectionFailed(
            f"{lost.message} before anything had run", hint="Nothing was changed: try again."
        ) from lost


class Commands:
    """Registering, applying, rolling back, snapshots, events."""

    def __init__(self, session: Session, attempts: Attempts) -> None:
        self._session = session
        self._attempts = attempts
        self._gate = Gate(session)

    def _call(self, function: str, /, **arguments: Any) -> list[Row]:
        """Rows of a function, in a transaction of its own that is tried again while it meets a lock."""
        call = self._session.call_text(function, **arguments, client=self._session.client)
        return retrying(self._session, lambda lock_timeout: self._session.transact(call, lock_timeout=lock_timeout)[0])

    def _call_value(self, function: str, /, **arguments: Any) -> Any:
        return next(iter(self._call(function, **arguments)[0].values()))

    def register_many(self, records: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Register migrations, dependencies first; all or none. Writes.

        Returns name -> registered, updated, unchanged or applied again.
        """

        def attempt(lock_timeout: str) -> dict[str, str]:
            with self._session.transaction(lock_timeout=lock_timeout):
                rows = self._session.call(
                    "register_migrations", migrations=Jsonb(list(records)), client=self._session.client
                )
            return {row["migration_name"]: row["verdict"] for row in rows}

        last = self._last_event()
        try:
            return retrying(self._session, attempt)
        except errors.ConnectionFailed as lost:
            self._reconnect_or_say(
                lost,
                "it was committed that they are registered",
                "Run it again: what is registered already is left as it is.",
            )
            # once more is no harm, and waits for a COMMIT that is still at work
            outcomes = retrying(self._session, attempt)
            events = self._own_events(["registered", "applied_again"], list(outcomes), last)
            recorded = {
                name: "applied again" if one["event"] == "applied_again" else one["what"]
                for name, one in events.items()
            }
            return {
                name: recorded.get(name, outcome) if outcome == "unchanged" else outcome
                for name, outcome in outcomes.items()
            }

    def register_in_scopes(self, scopes: Sequence[str], records: Sequence[dict[str, Any]]) -> list[Row]:
        """Register migrations in each of these scopes, in all or in none. Writes.

        A row for each scope and migration: scope, migration_name, verdict.
        """
        return self._call("register_migrations_in_scopes", scopes=list(scopes), migrations=Jsonb(list(records)))

    def begin_deploy(self, label: str | None) -> str:
        """Record that a deploy begins, or continue the one of this label; its id. Writes, where there is one."""
        if label is None:
            return str(uuid.uuid4())
        return str(self._call_value("begin_migration_deploy", label=label))

    def record_applied_again(self, name: str, deploy: str | None) -> None:
        """Record that a deploy tool applied a migration again whose file is not here any more. Writes."""
        self._call("record_applied_again", name=name, deploy=deploy)

    def record_missing_in_ledger(self, names: Sequence[str]) -> None:
        """Record, once, that deploy ledgers no longer hold these migrations. Writes events."""
        self._call("record_missing_in_ledger", names=list(names))

    def record_dependencies(
        self,
        dependencies: Sequence[dict[str, Any]],
        objects: Sequence[dict[str, Any]],
        obsolete: Sequence[dict[str, Any]] = (),
        searches: Sequence[dict[str, Any]] = (),
    ) -> tuple[list[Row], list[Row]]:
        """Keep inferred dependencies, and what the SQL of files says that migrations created. Writes.

        A row for each dependency: recorded, remark; and one for each inferred one that was taken back, for it was among
        the `obsolete`. `searches`: of which migrations it was looked for, as record_dependency_searches() takes it.
        """

        def attempt(lock_timeout: str) -> tuple[list[Row], list[Row]]:
            with self._session.transaction(lock_timeout=lock_timeout):
                # first: one that went may have closed the cycle that keeps another out
                gone = (
                    self._session.call(
                        "forget_migration_dependencies", dependencies=Jsonb(list(obsolete)), client=self._session.client
                    )
                    if obsolete
                    else []
                )
                rows = (
                    self._session.call(
                        "record_migration_dependencies",
                        dependencies=Jsonb(list(dependencies)),
                        client=self._session.client,
                    )
                    if dependencies
                    else []
                )
                if objects:
                    self._session.call("record_parsed_objects", objects=Jsonb(list(objects)))
                if searches:
                    self._session.call("record_dependency_searches", searches=Jsonb(list(searches)))
            return rows, gone

        return retrying(self._session, attempt)

    def record_proofs(self, proofs: Sequence[dict[str, Any]]) -> list[Row]:
        """Keep what replays have proven. Writes proofs and one event. A row for each: is_registered."""

        def attempt(lock_timeout: str) -> list[Row]:
            with self._session.transaction(lock_timeout=lock_timeout):
                return self._session.call(
                    "record_migration_proofs", proofs=Jsonb(list(proofs)), client=self._session.client
                )

        return retrying(self._session, attempt)

    def dismiss_dependency(self, name: str, depends_on: str, reason: str) -> bool:
        """Take an inferred dependency away for good. Writes. Returns whether it was there; False: dismissed already."""

        def attempt(lock_timeout: str) -> bool:
            with self._session.transaction(lock_timeout=lock_timeout):
                rows = self._session.call(
                    "dismiss_migration_dependency",
                    name=name,
                    depends_on=depends_on,
                    reason=reason,
                    client=self._session.client,
                )
            return bool(rows[0]["dismiss_migration_dependency"])

        return retrying(self._session, attempt)

    def record_parsed_objects(self, objects: Sequence[dict[str, Any]]) -> None:
        """Keep what the SQL of files says that migrations created. Writes."""
        with self._session.transaction():
            self._session.call("record_parsed_objects", objects=Jsonb(list(objects)))

    def resolve(self, name: str, status: str, reason: str, *, force: bool = False) -> str:
        """Set the status of a migration that a person has looked after. Writes. Returns the status before."""
        last = self._last_event()
        try:
            return cast(
                str, self._call_value("resolve_migration", name=name, status=status, reason=reason, force=force)
            )
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
        """Keep an answer to an item of the checklist in the audit log. Writes one event, and returns it."""
        number = self.add_event("checklist_item", name, details, reason=reason)
        return self._session.query(
            "SELECT e.* FROM {schema}.migration_events e WHERE e.event_number = %(number)s", number=number
        )[0]

    def snapshot(
        self,
        name: str,
        description: str | None,
        *,
        moment: str | None = None,
        migrations: Sequence[str] = (),
        then: Sequence[str] = (),
    ) -> str:
        """Store the schema as it stands. Writes. Returns the snapshot's id.

        Parameters
        ----------
        name : str
            The migration that it is taken for.
        description : str, optional
            Why.
        moment : str, optional
            Before or after which command, where it is taken around one: nothing is stored then when nothing has
            changed since the last snapshot.
        migrations : sequence of str
            The migrations of that command.
        then : sequence of str
            Those that are applied next, which it is before, too.
        """

        def take() -> str:
            found = self._call_value(
                "create_migration_snapshot",
                name=name,
                description=description,
                moment=moment,
                migrations=list(migrations) or None,
                next_migrations=list(then) or None,
            )
            return str(found)

        if moment is not None:
            return take()  # the caller, who is about to do more, decides what a lost connection means
        last = self._last_event()
        try:
            return take()
        except errors.ConnectionFailed as lost:
            self._reconnect_or_say(
                lost,
                "the snapshot was stored",
                "migrollback snapshots shows it when the server is back; another one is no harm.",
            )
            details = self._own_events(["snapshot_taken"], [name], last).get(name)
            if details is None:
                raise errors.ConnectionFailed(
                    "The connection was lost, and no snapshot was stored", hint="Try again."
                ) from lost
            return cast(str, details["snapshot"])

    def snapshot_around(self, moment: str, names: Sequence[str], then: Sequence[str] = ()) -> str:
        """Store the schema around a command with these migrations. Writes, unless nothing has changed. Its id.

        `then`: what is applied next, which it is before, too.
        """
        if self._session.rights.through_gate and moment == "before rollback":
            return self._gate.snapshot(names) or ""
        return self.snapshot(names[-1], None, moment=moment, migrations=names, then=then)

    def snapshot_after_sync(self, names: Sequence[str]) -> None:
        """Store the schema at the end of a sync that registered these. Writes, unless nothing has changed."""
        self._call("snapshot_after_sync", names=list(names))

    def prune_snapshots(self, older_than: datetime) -> Row:
        """The row of prune_migration_snapshots(). Writes."""
        return self._call("prune_migration_snapshots", older_than=older_than)[0]

    def store_replayed(self, name: str, before: Row, after: Row, owner: str) -> None:
        """Keep the schema around a migration as a replay has it. Writes two snapshots and an event."""
        self._call(
            "store_replayed_schema",
            name=name,
            schema_before=Jsonb(before),
            schema_after=Jsonb(after),
            owner_there=owner,
        )

    def verify_last_rollback(self, name: str) -> Row:
        """The row of verify_last_rollback(). Writes one event, and a snapshot where none was taken since."""
        return self._call("verify_last_rollback", name=name)[0]

    def add_event(self, event: str, name: str | None, details: dict[str, Any], *, reason: str | None = None) -> int:
        """Add a line to the audit log, after other sessions that write to it. Writes. Returns its number."""
        values = {"event": event, "migration_name": name, "reason": reason, "details": Jsonb(details)}
        return cast(int, self._call_value("add_migration_event", **values))

    def apply(self, record: dict[str, Any], statements: Sequence[str]) -> ExecutionResult:
        """Run an up migration and register it, whole or not at all. Writes."""
        session_settings = self._session.session_settings()

        def attempt(lock_timeout: str) -> ExecutionResult:
            attempt_id = self._attempts.new()
            self._session.notice_log.keep()
            process = self._session.connection.info.backend_pid
            try:
                call = self._session.call_text(
                    "apply_migration",
                    **{**record, "metadata": Jsonb(record["metadata"])},
                    statements=list(statements),
                    session_settings=Jsonb(session_settings),
                    attempt_id=attempt_id,
                    client=self._session.client,
                )
                rows = self._session.transact(call, lock_timeout=lock_timeout)[0]
                found: dict[str, Row] = {}
                if not rows[0]["success"]:
                    details = self._session.read(queries=[self._attempts.details_query(attempt_id)])[0]
                    found = self._attempts.details_of(details)
            except errors.ConnectionFailed:
                return self._attempts.after_lost_apply(record["name"], attempt_id, process)
            return ExecutionResult(rows=rows, details=found, attempt_id=attempt_id, notices=list(self._session.notices))

        return retrying(self._session, attempt, met_lock=_met_lock)

    def rollback(
        self,
        names: Sequence[str],
        *,
        reason: str | None = None,
        preview: str | None = None,
        chain_head: str | None = None,
        snapshot_each: bool = False,
        accept_loss: bool = False,
        break_glass: bool = False,
        known: Row | None = None,
        attempt_id: str | None = None,
    ) -> ExecutionResult:
        """Roll migrations back in the given order in one transaction, all or none. Writes.

        The event ``started`` is committed first, with the id of the attempt; when the connection is lost at COMMIT,
        that id finds out how it ended. It keeps what was `known` beforehand: verdict and headline, and what was asked
        for. `attempt_id`: the caller's own, with which nothing runs twice.
        """
        arguments: dict[str, Any] = {
            "reason": reason,
            "preview": preview,
            "chain_head": chain_head,
            "session_settings": Jsonb(self._session.session_settings()),
        }
        arguments |= {"snapshot_each": True} if snapshot_each else {}
        arguments |= {"accept_loss": True} if accept_loss else {}
        arguments |= {"break_glass": True} if break_glass else {}
        return retrying(
            self._session,
            lambda lock_timeout: self._rollback_once(
                names, arguments, known or {}, lock_timeout, self._attempts.new(attempt_id)
            ),
            met_lock=_met_lock,
        )

    def _rollback_once(
        self, names: Sequence[str], arguments: dict[str, Any], assessed: Row, lock_timeout: str, attempt_id: str
    ) -> ExecutionResult:
        reason = arguments["reason"]
        ends_log = arguments["chain_head"] is not None  # the system's own rollback leaves no audit log to ask
        caller = {"names": list(names), "attempt_id": attempt_id, "client": self._session.client}
        with nothing_has_run():
            start, execute = self._rollback_calls({**caller, **arguments}, assessed)
            details = self._attempts.details_query(attempt_id)
            if not ends_log:
                self._session.transact(start, lock_timeout=lock_timeout)
        self._session.notice_log.keep()
        message = (execute, *(() if ends_log else self._session.inside_transaction(details)))
        try:
            with self._session.transaction(*message, lock_timeout=lock_timeout) as found:
                rows = found[0]
                succeeded = rows[0]["success"]
                events = found[1] if not ends_log else []
                if ends_log and not succeeded:
                    events = self._session.read(queries=[details])[0]
                if succeeded:
                    self._stop_if_cancelled()  # the server may have been done before it heard of it
            return ExecutionResult(
                rows=rows,
                details=self._attempts.details_of(events),
                attempt_id=attempt_id,
                notices=list(self._session.notices),
            )
        except errors.ConnectionFailed:
            if ends_log and (gone := self._attempts.after_lost_system_rollback(names[0], attempt_id)) is not None:
                return gone
            return self._attempts.after_lost_rollback(names, attempt_id, reason=reason)
        except (KeyboardInterrupt, errors.DatabaseError) as broken:
            if isinstance(broken, errors.DatabaseError) and (ends_log or not self._session.cancelled):
                raise
            # Before the COMMIT it is undone, and the function's own record of it too; during the COMMIT it may be done
            # all the same.
            if not self._attempts.outcome(attempt_id):
                self._record_interrupted(names[-1], attempt_id, reason)
            raise

    def _rollback_calls(self, arguments: dict[str, Any], assessed: Row) -> tuple[bytes, bytes]:
        """The calls that record that a rollback begins, and that run it: through the gate where this user needs it."""
        if self._session.rights.through_gate:
            begun: Row = {key: assessed[key] for key in ("asked", "names", "parts") if key in assessed}
            return self._gate.start_text(arguments, begun), self._gate.roll_back_text(arguments)
        # what is not known after a lost connection is found by this event's attempt
        target = {**self._session.target.to_dict(), "fingerprint": arguments["preview"], **assessed}
        known = {name: value for name, value in target.items() if name != "fingerprint" or value is not None}
        caller = {name: arguments[name] for name in ("names", "attempt_id", "client", "reason")}
        start = self._session.call_text("start_migration_rollback", **caller, target=Jsonb(known))
        return start, self._session.call_text("execute_migration_rollbacks", **arguments)

    def _record_interrupted(self, name: str, attempt_id: str, reason: str | None) -> None:
        if self._session.rights.through_gate:
            self._gate.record_lost(attempt_id, cancelled=True)
            return
        self._session.call_in_transaction(
            "fail_migration_rollback",
            name=name,
            attempt_id=attempt_id,
            reason=reason,
            client=self._session.client,
            details=Jsonb({"sqlstate": "57014", "message": "interrupted by the user"}),
        )

    def _stop_if_cancelled(self) -> None:
        if self._session.cancelled:
            raise errors.DatabaseError(
                "Cancelled before the COMMIT", sqlstate="57014", hint="Everything it did was undone."
            )

    # -- after a lost connection -----------------------------------------------------------------------------------

    def _reconnect_or_say(self, lost: errors.ConnectionFailed, what: str, hint: str) -> None:
        """Open a new connection in place of a lost one, or say what is not known."""
        try:
            self._session.reconnect_patiently()
        except errors.ConnectionFailed as error:
            raise errors.ConnectionFailed(
                f"{lost.message}, and it is not known whether {what}: {error.message}", hint=hint
            ) from lost

    def _last_event(self) -> int:
        """Number of the newest event. Does not write."""
        rows = self._session.query("SELECT coalesce(max(e.event_number), 0) AS number FROM {schema}.migration_events e")
        return cast(int, rows[0]["number"])

    def _own_events(self, events: Sequence[str], names: Sequence[str], last: int) -> dict[str, Row]:
        """Name -> event and details of the newest of these events of this client after event `last`. Does not write."""
        with self._session.transaction(lock_timeout="30s"):
            self._session.call("lock_migrations")  # while the lost COMMIT is at work, "none" would be a wrong answer
            rows = self._session.query(
                "SELECT DISTINCT ON (e.migration_name) e.migration_name, e.event, e.details FROM"
                " {schema}.migration_events e WHERE e.event = ANY (%(events)s) AND e.migration_name = ANY (%(names)s)"
                " AND e.client = %(client)s AND e.event_number > %(last)s ORDER BY e.migration_name, e.event_number"
                " DESC",
                events=list(events),
                names=list(names),
                client=self._session.client,
                last=last,
            )
        return {row["migration_name"]: {**row["details"], "event": row["event"]} for row in rows}


def _met_lock(execution: ExecutionResult) -> bool:
    return any(
        details.get("sqlstate") in RETRIED for details in execution.details.values() if not execution.rows[0]["success"]
    )
