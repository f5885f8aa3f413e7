"""The only module that calls the SQL functions: each method is one question or one deed.

Rows come back as dicts keyed by the columns of the SQL functions.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from migrollback_nb import errors
from migrollback_nb.results import Notice, RollbackProgress
from migrollback_nb.results.progress import first_words
from migrollback_nb.session import RETRIED, Execution, Row, Session, who_blocks


class Database(Session):
    """What can be asked of, and done to, a database with the rollback system; see `Session` for the parameters."""

    # -- questions: none of these writes ---------------------------------------------------------------------------

    def can_rollback(self, name: str) -> Row:
        """One row: can_rollback, reason, dependent_migrations, and besides warnings, checksum, found. Does not write."""
        rows = self._query(
            "SELECT c.*, {schema}.migration_warnings(%(name)s) AS warnings, h.checksum, h.id IS NOT NULL AS found "
            "FROM {schema}.can_rollback_migration(%(name)s) c "
            "LEFT JOIN {schema}.migration_history h ON h.migration_name = %(name)s",
            name=name,
        )
        return rows[0]

    def warnings(self, names: Sequence[str]) -> dict[str, Row]:
        """Name -> warnings, checksum, system, in_steps (runs outside a transaction), of those names that are registered. Does not write."""
        rows = self._query(
            "SELECT h.migration_name, {schema}.migration_warnings(h.migration_name) AS warnings, h.checksum, "
            "coalesce(h.metadata ->> 'system' = 'true', false) AS system, coalesce(h.metadata #>> '{{rollback,transaction}}' = 'false' AND h.metadata #>> '{{rollback,md5}}' = md5(convert_to(h.rollback_sql, 'UTF8')), false) AS in_steps "
            "FROM {schema}.migration_history h WHERE h.migration_name = ANY (%(names)s)",
            names=list(names),
        )
        return {row["migration_name"]: row for row in rows}

    def list_rollbackable(self) -> list[Row]:
        """Rows of list_rollbackable_migrations(), newest first. Does not write."""
        return self._rows("list_rollbackable_migrations")

    def history(self, *, status: str | None = None, since: Any = None, without_rollback: bool = False) -> list[Row]:
        """Rows of migration_history, newest first. Does not write.

        Parameters
        ----------
        status : str, optional
            Only migrations of this status.
        since : datetime or timedelta, optional
            Only migrations applied after this moment, or within this span until now.
        without_rollback : bool
            Only migrations in place that have no rollback SQL.
        """
        return self._query(
            "SELECT h.migration_name, h.migration_version, h.status, h.applied_at, h.applied_by, h.rollback_at, h.rollback_by, "
            "h.notes, h.checksum, h.rollback_sql, h.metadata "
            "FROM {schema}.migration_history h "
            "WHERE (%(status)s::text IS NULL OR h.status = %(status)s) "
            "AND (%(moment)s::timestamptz IS NULL OR h.applied_at > %(moment)s) "
            "AND (%(span)s::interval IS NULL OR h.applied_at > now() - %(span)s::interval) "
            "AND (NOT %(without)s OR (coalesce(btrim(h.rollback_sql, E' \\t\\r\\n'), '') = '' AND h.status <> 'rolled_back')) "
            "ORDER BY CASE WHEN %(status)s = 'rolled_back' THEN h.rollback_at END DESC, h.applied_at DESC, h.migration_name COLLATE \"C\" DESC",
            status=status,
            moment=since if not hasattr(since, "total_seconds") else None,
            span=since if hasattr(since, "total_seconds") else None,
            without=without_rollback,
        )

    def registered(self) -> list[Row]:
        """Every registered migration, newest first, as `history` without its SQL and metadata, which are most of it. Does not write."""
        return self._query(
            "SELECT h.migration_name, h.migration_version, h.status, h.applied_at, h.applied_by, h.rollback_at, h.rollback_by, h.notes "
            'FROM {schema}.migration_history h ORDER BY h.applied_at DESC, h.migration_name COLLATE "C" DESC'
        )

    def unfinished(self) -> list[Row]:
        """Rollbacks of the last seven days that were begun and whose end nobody recorded, newest first. Does not write.

        `running` is the process that holds the gate's lock now: it may be at one of them. Without it nothing of them was committed, but for statements
        that ran outside a transaction: `completed` says how many.
        """
        rows = self._query(
            "SELECT s.migration_name, s.attempt_id::text AS attempt_id, s.occurred_at, s.database_user, s.client, s.reason, "
            "{schema}.migration_statements_completed(s.migration_name) AS completed "
            "FROM {schema}.migration_events s "
            "JOIN {schema}.migration_history h ON h.migration_name = s.migration_name AND h.status <> 'rolled_back' "
            "WHERE s.event = 'started' AND s.occurred_at > now() - interval '7 days' "
            "AND NOT EXISTS (SELECT FROM {schema}.migration_events e WHERE e.attempt_id = s.attempt_id AND e.event IN ('rolled_back', 'failed', 'refused')) "
            "AND NOT EXISTS (SELECT FROM {schema}.migration_events l WHERE l.migration_name = s.migration_name AND l.event_number > s.event_number "
            "AND l.event IN ('started', 'rolled_back', 'failed', 'resolved', 'applied')) ORDER BY s.event_number DESC"
        )
        running = next(iter(self._gate_holders()), None) if rows else None
        return [{**row, "running": running} for row in rows]

    def find(self, name: str) -> Row | None:
        """The history row of one migration, or None. Does not write."""
        rows = self._query("SELECT h.* FROM {schema}.migration_history h WHERE h.migration_name = %(name)s", name=name)
        return rows[0] if rows else None

    def names(self) -> list[str]:
        """All registered names, in order. Does not write."""
        return [row["migration_name"] for row in self._query('SELECT h.migration_name FROM {schema}.migration_history h ORDER BY h.migration_name COLLATE "C"')]

    def checksums(self) -> dict[str, tuple[str, str | None]]:
        """Name -> (status, checksum) of every registered migration. Does not write."""
        rows = self._query("SELECT h.migration_name, h.status, h.checksum FROM {schema}.migration_history h")
        return {row["migration_name"]: (row["status"], row["checksum"]) for row in rows}

    def last_applied(self) -> str | None:
        """Name of the migration that was applied last and is in place, our own aside. Does not write."""
        rows = self._query(
            "SELECT h.migration_name FROM {schema}.migration_history h WHERE h.status <> 'rolled_back' AND h.metadata ->> 'system' IS DISTINCT FROM 'true' "
            'ORDER BY h.applied_at DESC, h.migration_name COLLATE "C" DESC LIMIT 1'
        )
        return rows[0]["migration_name"] if rows else None

    def dependencies(self) -> list[Row]:
        """Every dependency, with the status of both ends. Does not write."""
        return self._query(
            "SELECT d.migration_name, d.depends_on, h.status, b.status AS depends_on_status, d.created_at, d.source, d.because "
            "FROM {schema}.migration_dependencies d "
            "JOIN {schema}.migration_history h ON h.migration_name = d.migration_name "
            "JOIN {schema}.migration_history b ON b.migration_name = d.depends_on "
            'ORDER BY d.migration_name COLLATE "C", d.depends_on COLLATE "C"'
        )

    def in_place(self) -> list[Row]:
        """migration_name, checksum, search_path, rollback_sql of the migrations in place, in the order in which they were applied, our own aside. Does not write."""
        return self._query(
            "SELECT h.migration_name, h.checksum, h.metadata ->> 'search_path' AS search_path, h.rollback_sql FROM {schema}.migration_history h "
            "WHERE h.status <> 'rolled_back' AND h.metadata ->> 'system' IS DISTINCT FROM 'true' ORDER BY h.applied_at, h.migration_name COLLATE \"C\""
        )

    def object_history(self) -> list[Row]:
        """Rows of migration_object_history(): which migration did what to which object, in order. Does not write."""
        return self._query("SELECT o.migration_name, o.action, o.kind, o.identity FROM {schema}.migration_object_history() o ORDER BY o.place")

    def object_makers(self) -> list[Row]:
        """Rows of migration_object_makers(): which migration made which object that is there. Does not write."""
        return self._rows("migration_object_makers")

    def routine_bodies(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """(migration, definition) of every function and procedure that one of these migrations made. Does not write."""
        rows = self._query(
            "SELECT m.migration_name, pg_catalog.pg_get_functiondef(m.object_id) AS definition FROM {schema}.migration_object_makers() m "
            "JOIN pg_catalog.pg_proc p ON p.oid = m.object_id WHERE m.class_id = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.prokind IN ('f', 'p') "
            "AND m.migration_name = ANY (%(names)s) ORDER BY m.migration_name, m.identity",
            names=list(names),
        )
        return [(row["migration_name"], row["definition"]) for row in rows]

    def inferred_by_catalogs(self) -> list[Row]:
        """Rows of infer_migration_dependencies(): what the catalogs alone tell. Does not write."""
        return self._rows("infer_migration_dependencies")

    def dependents(self, name: str) -> list[Row]:
        """Rows of migration_dependents(): every edge among what rests on this migration. Does not write."""
        return self._rows("migration_dependents", name=name)

    def events(self, name: str | None = None) -> list[Row]:
        """The audit trail in order, of one migration or all. Does not write."""
        return self._query(
            "SELECT e.*, e.details::text AS details_text, (extract(epoch FROM e.occurred_at) * 1000000)::bigint AS epoch_us "
            "FROM {schema}.migration_events e WHERE %(name)s::text IS NULL OR e.migration_name = %(name)s ORDER BY e.event_number",
            name=name,
        )

    def dry_run(self, names: Sequence[str]) -> list[Row]:
        """Rows of execute_migration_rollbacks(dry_run => true). Does not write."""
        return self._rows("execute_migration_rollbacks", names=list(names), dry_run=True)

    def fingerprint(self, names: Sequence[str]) -> str:
        """SHA-256 over what a preview of these migrations shows. Does not write."""
        return cast(str, self._value("migration_fingerprint", names=list(names)))

    def snapshots(self, name: str | None = None) -> list[Row]:
        """Snapshots, newest first, without their objects; of one migration or all. Does not write."""
        return self._query(
            "SELECT s.id, s.migration_name, s.description, s.taken_at, s.taken_by, "
            "(SELECT coalesce(sum((SELECT count(*) FROM jsonb_object_keys(k.value))), 0)::bigint FROM jsonb_each(s.objects) k) AS objects, pg_column_size(s.objects) AS bytes "
            "FROM {schema}.migration_snapshots s WHERE %(name)s::text IS NULL OR s.migration_name = %(name)s ORDER BY s.taken_at DESC",
            name=name,
        )

    def find_snapshots(self, wanted: str) -> list[Row]:
        """Snapshots whose id begins with this text; where there are none, the newest of the migration of this name. Does not write."""
        return self._query(
            "SELECT s.id, s.migration_name, s.description, s.taken_at FROM {schema}.migration_snapshots s WHERE starts_with(s.id::text, lower(%(wanted)s)) "
            "UNION ALL (SELECT s.id, s.migration_name, s.description, s.taken_at FROM {schema}.migration_snapshots s WHERE s.migration_name = %(wanted)s "
            "AND NOT EXISTS (SELECT FROM {schema}.migration_snapshots o WHERE starts_with(o.id::text, lower(%(wanted)s))) ORDER BY s.taken_at DESC LIMIT 1)",
            wanted=wanted,
        )

    def diff(self, old: str, new: str | None) -> list[Row]:
        """Rows of diff_migration_snapshots(): from a snapshot to another, or to now. Does not write."""
        return self._rows_in_deed("diff_migration_snapshots", old_snapshot=old, new_snapshot=new)

    def verify_rollback(self, names: Sequence[str], old: str | None, new: str | None, fingerprint: str | None) -> Row:
        """The row of verify_migration_rollback(). Does not write."""
        return self._rows_in_deed("verify_migration_rollback", names=list(names), old_snapshot=old, new_snapshot=new, fingerprint=fingerprint)[0]

    def uses_supabase(self) -> bool:
        """Whether this database has Supabase's ledger. Does not write."""
        return self._value("supabase_ledger") is not None

    def effective_search_path(self) -> str:
        """The schemas that unqualified names are looked up in. Does not write."""
        return str(self._value("effective_search_path"))

    def schema_text(self) -> str:
        """The schema as it stands, schema_snapshot() as text: two that are alike are the same schema. Does not write."""
        return str(self._query("SELECT {schema}.schema_snapshot()::text AS schema")[0]["schema"])

    def schema_token(self) -> str:
        """Changes whenever the schema does, for a fraction of what `schema_text` costs; it may change without it. Does not write."""
        return str(self._query("SELECT {schema}.schema_token() AS token")[0]["token"])

    def schema_changes(self, old: str, new: str) -> list[Row]:
        """Rows of schema_changes() between two texts of `schema_text`. Does not write."""
        return self._query("SELECT * FROM {schema}.schema_changes(%(old)s::jsonb, %(new)s::jsonb)", old=old, new=new)

    def count_catalog_rows(self) -> Row:
        """How many objects of each kind there are: a cheap sign that a schema differs. Does not write."""
        return self._query(
            "SELECT (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relpersistence <> 't') AS relations, "
            "(SELECT count(*) FROM pg_catalog.pg_attribute a WHERE NOT a.attisdropped) AS columns, (SELECT count(*) FROM pg_catalog.pg_constraint) AS constraints, "
            "(SELECT count(*) FROM pg_catalog.pg_proc) AS functions, (SELECT count(*) FROM pg_catalog.pg_type) AS types, "
            "(SELECT count(*) FROM pg_catalog.pg_trigger) AS triggers, (SELECT count(*) FROM pg_catalog.pg_enum) AS labels, "
            "(SELECT count(*) FROM pg_catalog.pg_policy) AS policies, (SELECT count(*) FROM pg_catalog.pg_attrdef) AS defaults, "
            "(SELECT count(*) FROM pg_catalog.pg_description) AS comments"
        )[0]

    def attempt(self, attempt_id: str) -> list[Row]:
        """How an attempt ended, a row for each migration, in order. Does not write."""
        return self._query(
            "SELECT e.* FROM {schema}.migration_events e WHERE e.attempt_id = %(attempt_id)s::uuid "
            "AND e.event IN ('rolled_back', 'failed', 'refused') ORDER BY e.event_number",
            attempt_id=attempt_id,
        )

    def snapshot_before(self, event_number: int) -> str | None:
        """Id of the snapshot that was taken before the rollback of this event; None where none was. Does not write."""
        rows = self._query(
            "SELECT s.details ->> 'snapshot' AS snapshot FROM {schema}.migration_events r JOIN {schema}.migration_events s "
            "ON s.event = 'snapshot_taken' AND s.details ->> 'moment' = 'before rollback' AND s.details -> 'migrations' ? r.migration_name "
            "AND s.event_number < r.event_number WHERE r.event_number = %(number)s ORDER BY s.event_number DESC LIMIT 1",
            number=event_number,
        )
        return rows[0]["snapshot"] if rows else None

    def error_counters(self) -> Row:
        """Counters of troubles of this database since `stats_reset`, and the time. Does not write."""
        rows = self._query(
            "SELECT to_jsonb(d) || jsonb_build_object('at', clock_timestamp()) AS counters FROM (SELECT s.stats_reset, s.xact_commit, s.xact_rollback, s.deadlocks, "
            "s.conflicts, s.sessions, s.sessions_abandoned, s.sessions_fatal, s.checksum_failures, s.temp_files, s.blks_read, s.tup_returned "
            "FROM pg_catalog.pg_stat_database s WHERE s.datname = pg_catalog.current_database()) d"
        )
        return cast(Row, rows[0]["counters"])

    def ask_read_only(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of one statement of the user's own, in a read-only transaction that is then undone. Does not write."""
        rows: list[tuple[Any, ...]] = []
        with suppress(_Undo), self._translated(), self._transaction({"statement_timeout": self.limits.statement_timeout, "transaction_read_only": "on"}):
            try:
                cursor = self.connection.execute(statement.encode())
            except psycopg.Error as error:
                if self.connection.closed:
                    raise
                # the user's own tables, so a missing one is no missing system
                raise errors.DatabaseError(error.diag.message_primary or str(error), sqlstate=error.sqlstate, hint=error.diag.message_hint) from error
            rows = cursor.fetchall() if cursor.description is not None else []
            raise _Undo  # a read-only transaction may still write temporary tables
        return rows

    # -- deeds: these write ----------------------------------------------------------------------------------------

    def register_many(self, records: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Register migrations, dependencies first; all or none. Writes. Returns name -> registered, updated, unchanged or applied again."""

        def attempt(lock_timeout: str) -> dict[str, str]:
            with self._translated(), self._deed(lock_timeout=lock_timeout):
                rows = self._rows("register_migrations", migrations=Jsonb(list(records)), client=self.client)
            return {row["migration_name"]: row["verdict"] for row in rows}

        return self._retrying(attempt)

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

    # -- rehearsal -------------------------------------------------------------------------------------------------

    def rehearse(
        self, names: Sequence[str], *, consent: bool = False, lock_timeout: str | None = None, statement_timeout: str
    ) -> tuple[Row, list[Notice], str | None]:
        """What rehearse_migration_rollbacks() tells, the notices meanwhile, and who was in the way. Does not write: what ran is undone twice."""
        self._begin()
        self._notices.clear()
        report: Row = {}
        with self._watch.watch(self.connection.info.backend_pid) as blockers:
            try:
                with self._undone_deed(lock_timeout, statement_timeout):
                    report = self._value("rehearse_migration_rollbacks", names=list(names), consent=consent, client=self.client, record=False, rethrow=False)
            except errors.DatabaseError as error:
                self.record_rehearsal(
                    {
                        "success": False,
                        "message": error.message,
                        "migrations": list(names),
                        "failure": {"sqlstate": error.sqlstate, "migration_name": names[-1]},
                    }
                )
                if isinstance(error, errors.LockBusy):
                    raise errors.LockBusy(
                        error.primary, sqlstate=error.sqlstate, detail=error.detail, hint=who_blocks(blockers or self._gate_holders())
                    ) from error
                raise
        return report, list(self._notices), who_blocks(blockers)

    def place_of_error(self, names: Sequence[str], *, lock_timeout: str | None = None, statement_timeout: str) -> int | None:
        """Where in its statement a rehearsal meets an error, counted from 1; None where PostgreSQL does not say. Does not write.

        A function that has caught an error can no longer tell its place, so it runs once more, and the error comes out.
        """
        notices = list(self._notices)
        try:
            with self._undone_deed(lock_timeout, statement_timeout):
                self._value("rehearse_migration_rollbacks", names=list(names), consent=False, client=self.client, record=False, rethrow=True)
        except errors.MigrollbackError as error:
            place = getattr(error.__cause__, "diag", None)
            found = place and place.internal_position
            return int(found) if found else None
        finally:
            self._notices[:] = notices
        return None

    def meant_relations(self, search_path: str, names: Collection[tuple[str | None, str]]) -> dict[tuple[str | None, str], tuple[str, str]]:
        """(schema or None, name) -> (schema, name) of the table that it means under a search_path, of those that exist. Does not write."""
        if not names:
            return {}
        asked = list(names)
        with self._translated(), self._deed():
            self.connection.execute("SELECT pg_catalog.set_config('search_path', %s, true)", (search_path or "pg_catalog",))
            rows = self._query(
                "SELECT a.schema, a.name, n.nspname, c.relname "
                "FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[])) AS a (schema, name) "
                "JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) "
                "pg_catalog.to_regclass(pg_catalog.concat_ws('.', pg_catalog.quote_ident(a.schema), pg_catalog.quote_ident(a.name))) "
                "JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace",
                schemas=[schema for schema, _ in asked],
                names=[name for _, name in asked],
            )
        return {(row["schema"], row["name"]): (row["nspname"], row["relname"]) for row in rows}

    def not_undone(self, names: Sequence[str]) -> list[Row]:
        """Rows of migration_not_undone(): what undoing a transaction would not undo. Does not write."""
        with self._translated(), self._deed():
            return self._rows("migration_not_undone", names=list(names))

    def schema_snapshot(self) -> Any:
        """The schema as it stands, kind -> identity -> definition. Does not write."""
        with self._translated(), self._deed():
            return self._value("schema_snapshot")

    def changes_since(self, before: Any) -> list[Row]:
        """Rows of schema_changes() from an earlier `schema_snapshot` until now. Does not write."""
        with self._translated(), self._deed():
            return self._query("SELECT c.* FROM {schema}.schema_changes(%(before)s, {schema}.schema_snapshot()) c", before=Jsonb(before))

    def estimated_rows(self, wanted: Sequence[tuple[str, str | None]]) -> list[int | None]:
        """How many rows a table has, or values that are not NULL a column, as the statistics say; None where they say nothing. Does not write."""
        if not wanted:
            return []
        rows = self._query(
            "SELECT (CASE WHEN w.wanted IS NULL THEN c.found ->> 'rows' ELSE c.found -> 'columns' ->> w.wanted END)::bigint AS rows "
            "FROM ROWS FROM (pg_catalog.unnest(%(relations)s::text[]), pg_catalog.unnest(%(columns)s::text[])) WITH ORDINALITY AS w (relation, wanted, place) "
            "CROSS JOIN LATERAL (SELECT {schema}.count_rows_within(pg_catalog.to_regclass(w.relation), "
            "CASE WHEN w.wanted IS NULL THEN '{{}}' ELSE ARRAY[w.wanted] END, '-infinity') AS found WHERE pg_catalog.to_regclass(w.relation) IS NOT NULL) c "
            "ORDER BY w.place",
            relations=[relation for relation, _ in wanted],
            columns=[column for _, column in wanted],
        )
        return [row["rows"] for row in rows]

    def sessions_on(self, relations: Sequence[str]) -> list[Row]:
        """Who holds or awaits a lock on one of these relations now. Does not write."""
        return self._query(
            'SELECT DISTINCT a.pid, a.usename AS "user", a.application_name, a.state, r.name AS relation, l.mode, NOT l.granted AS waits, false AS for_us '
            "FROM pg_catalog.unnest(%(relations)s::text[]) AS r (name) JOIN pg_catalog.pg_locks l ON l.relation = pg_catalog.to_regclass(r.name) AND l.locktype = 'relation' "
            "AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) "
            "JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY 7 DESC, 1",
            relations=list(relations),
        )

    def standbys(self) -> list[Row]:
        """Standbys of this server, as far as this role may see them. Does not write."""
        return self._query("SELECT r.application_name, r.client_addr::text AS client_addr, r.state, r.sync_state FROM pg_catalog.pg_stat_replication r")

    def record_rehearsal(self, report: Row) -> None:
        """Keep the one event that a rehearsal leaves. Writes."""
        # what is dropped may be thousands of definitions, of which the event keeps none
        kept = {key: value for key, value in report.items() if key not in ("statements", "locks", "bodies", "sessions")}
        kept["changes"] = [{key: row[key] for key in ("change", "kind", "identity", "new_definition")} for row in report.get("changes", ())]
        self._rows_in_deed("record_migration_rehearsal", report=Jsonb(kept), client=self.client)

    @contextmanager
    def _undone_deed(self, lock_timeout: str | None, statement_timeout: str) -> Iterator[None]:
        """A deed whose transaction is rolled back whatever it did."""
        with suppress(_Undo), self._translated(), self._deed(lock_timeout=lock_timeout, statement_timeout=statement_timeout):
            yield
            raise _Undo

    def _rows_in_deed(self, function: str, /, **parameters: Any) -> list[Row]:
        with self._translated(), self._deed():
            return self._rows(function, **parameters)

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

    # -- statement by statement, for what PostgreSQL refuses inside a transaction -------------------------------------

    @contextmanager
    def _guard(self) -> Iterator[Database]:
        """A second connection whose open, idle transaction holds the gate's lock: survives poolers, and holds no snapshot that CONCURRENTLY would wait for."""
        if self._reopen is None:
            raise errors.UsageError("Running outside a transaction needs a second connection", hint="Connect by DSN instead of lending a connection.")
        behind_pooler, before = self._is_behind_pooler(), _process(self.connection)
        with self._reopen() as connection:
            guard = Database(connection, schema=self.schema, owned=True, reopen=None, limits=self.limits)
            guard.client = self.client
            with guard._translated(), connection.transaction():
                self._set_local(connection, {"idle_in_transaction_session_timeout": "0", "lock_timeout": self.limits.lock_timeout})
                guard._rows("lock_migrations")
                # where the pooler lends a session for a transaction only, the guard's has just taken ours, or we get another one each time
                if behind_pooler and (_process(connection) == before or any(_process(self.connection) != before for _ in range(3))):
                    raise errors.Refused(
                        "What runs statement by statement outside a transaction needs a session of its own, and this connection goes through a pooler "
                        "that lends one for each transaction",
                        hint="Nothing was run. Connect to the server itself, or through a pooler in session mode: else a statement could miss its search_path, "
                        "and other clients would find our settings.",
                    )
                guard._let_go_of_snapshot()
                yield guard

    def _is_behind_pooler(self) -> bool:
        """Whether another process answers than the one that was named at connecting. Does not write."""
        return _process(self.connection) != self.connection.info.backend_pid

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
                refusal = None if check["can_rollback"] else check["reason"]
                if preview is not None:
                    refusal = cast("str | None", guard._value("changed_since_preview", preview=preview, now=guard.fingerprint([name]))) or refusal
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

    # -- the system itself -------------------------------------------------------------------------------------------

    def system_migrations(self) -> set[str] | None:
        """Names of the system's own migrations that are in place, or None where there is no system. Does not write."""
        try:
            rows = self._query("SELECT h.migration_name FROM {schema}.migration_history h WHERE h.metadata ->> 'system' = 'true' AND h.status <> 'rolled_back'")
        except errors.NotInstalled:
            return None
        except errors.DatabaseError as error:
            if error.sqlstate != "42703":  # a table of that name without our columns
                raise
            return set()
        return {row["migration_name"] for row in rows}

    def install(self, name: str, up: str, record: dict[str, Any]) -> bool:
        """Run the text of one system migration and register it, in one transaction. Writes. The text is ours, so it goes as it is.

        Returns whether it did: somebody else may have installed it meanwhile.
        """
        with self._translated(), self._deed(lock_timeout="30s"):
            # our own function that takes this lock may not be there yet
            self.connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('migrollback_nb gate', 0))")
            if self._is_installed(name):
                return False
            if not self._schema_exists():  # IF NOT EXISTS would ask for the right to create schemas even where there is nothing to create
                self.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.schema)))
            self.connection.execute(up.encode())
            self._rows(
                "register_migration",
                **{**record, "metadata": Jsonb(record["metadata"])},
                client=self.client,
                search_path=sql.Identifier(self.schema).as_string(self.connection),
            )
            self._rows("add_migration_event", event="installed", migration_name=name, client=self.client)
        return True

    def _is_installed(self, name: str) -> bool:
        table = sql.Identifier(self.schema, "migration_history").as_string(None)
        found = self.connection.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", (table,)).fetchone()
        if found != (True,):
            return False
        row = self.find(name)
        return row is not None and row["status"] != "rolled_back"

    def _schema_exists(self) -> bool:
        return self.connection.execute("SELECT pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s)) IS NOT NULL", (self.schema,)).fetchone() == (True,)

    def close_rights(self) -> int:
        """Take what PUBLIC, anon and authenticated may do with the system. Writes only where something was open. Returns how many grants."""
        with self._translated(), self._deed():
            return cast(int, self._value("close_migration_rights"))


class _Undo(Exception):
    """Ends a transaction that is to leave nothing."""


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


def _met_lock(execution: Execution) -> bool:
    return any(details.get("sqlstate") in RETRIED for details in execution.details.values() if not execution.rows[0]["success"])
