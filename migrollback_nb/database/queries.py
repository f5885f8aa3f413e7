"""Queries to a database with the rollback system. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, LiteralString, cast

import psycopg
from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.database import access
from migrollback_nb.database.gate import Gate
from migrollback_nb.database.query_texts import ASSESS, CHECK, FINDINGS, HISTORY, KNOWN
from migrollback_nb.database.retries import gate_holders
from migrollback_nb.database.session import Row, Session, Undo


class Queries:
    """Queries to the history, the dependencies, the audit log, the snapshots and the schema."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._gate = Gate(session)

    def can_rollback(self, name: str) -> Row:
        """The row of can_rollback_migration(), with warnings, found and what `stored_sql` compares. Does not write."""
        return self._session.query(CHECK, name=name)[0]

    def check_facts(self, name: str) -> tuple[Row, Row | None]:
        """As `can_rollback` and `assess`, by one message. Does not write.

        The latter is None where this role may not ask.
        """
        session = self._session
        check = session.query_text(CHECK, name=name)
        try:
            assessed, checked = session.read(calls=[session.query_text(ASSESS, name=name)], queries=[check])
        except errors.DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            if session.rights.access.only_gate:
                return self._gate.check(name)
            return self.can_rollback(name), None
        return checked[0], assessed[0]

    def assess(self, names: Sequence[str], rehearsed: Row | None = None) -> Row:
        """The row of assess_migrations(). Does not write.

        Parameters
        ----------
        names : sequence of str
            The migrations, in the order of their rollback.
        rehearsed : dict, optional
            What a rehearsal on a copy has just found: success, effects.
        """
        known = None if rehearsed is None else Jsonb(rehearsed)
        if rehearsed is None and self._session.rights.only_gate:
            return cast(Row, self._gate.preview(names)["assessed"])
        return self._session.call("assess_migrations", names=list(names), rehearsed=known)[0]

    def warnings(self, names: Sequence[str]) -> dict[str, Row]:
        """Name -> warnings, system, nontransactional and what `stored_sql` compares. Does not write."""
        try:
            rows = self._session.query(KNOWN, names=list(names))
        except errors.DatabaseError as error:
            if not self._session.rights.lack_but_for_gate(error):
                raise
            rows = self._gate.preview(names)["known"]
        return {row["migration_name"]: row for row in rows}

    def status(self, name: str) -> str | None:
        """The status of one migration, or None. Does not write."""
        try:
            return (self.find(name) or {}).get("status")
        except errors.DatabaseError as error:
            if not self._session.rights.lack_but_for_gate(error):
                raise
        known = self._gate.preview([name])["known"]
        return known[0]["status"] if known else None

    def list_rollbackable(self) -> list[Row]:
        """Rows of list_assessed_migrations(), newest first: the specified columns, and verdict. Does not write."""
        try:
            return self._session.call("list_assessed_migrations")
        except errors.DatabaseError as error:
            if error.sqlstate != "42501":
                raise
        # a role without the right to this one function may have it to the specified one
        rows = self._session.call("list_rollbackable_migrations")
        return [{**row, "verdict": None, "headline": None} for row in rows]

    def history(self, names: Sequence[str] | None = None) -> list[Row]:
        """Rows of migration_history, newest first, of all migrations or of these. Does not write."""
        return self._session.query(
            "SELECT h.migration_name, h.migration_version, h.status, h.applied_at, h.applied_by, h.rollback_at,"
            " h.rollback_by, h.notes, h.checksum, h.rollback_sql, h.metadata FROM {schema}.migration_history h WHERE"
            " %(names)s::text[] IS NULL OR h.migration_name = ANY (%(names)s::text[]) ORDER BY h.applied_at DESC,"
            ' h.migration_name COLLATE "C" DESC',
            names=None if names is None else list(names),
        )

    def registered(self) -> list[Row]:
        """As `history` of every migration, without its SQL and metadata, which are most of it. Does not write."""
        return self._session.query(
            "SELECT h.migration_name, h.migration_version, h.status, h.applied_at, h.applied_by, h.rollback_at,"
            " h.rollback_by, h.notes FROM {schema}.migration_history h ORDER BY h.applied_at DESC, h.migration_name"
            ' COLLATE "C" DESC'
        )

    def unfinished(self) -> list[Row]:
        """Rollbacks of the last seven days that began and whose end is not recorded, newest first. Does not write.

        `running` is the process that holds the gate's lock now: it may be at one of them. Without it nothing of them
        was committed, but for statements that ran outside a transaction: `completed` says how many.
        """
        rows = self._session.call("unfinished_migration_rollbacks")
        running = next(iter(gate_holders(self._session)), None) if rows else None
        return [
            {
                **row,
                "attempt_id": str(row["attempt_id"]),
                "occurred_at": row["started_at"],
                "running": running,
            }
            for row in rows
        ]

    def failed(self) -> list[Row]:
        """Migrations whose rollback failed and that no one has resolved, the last first. Does not write.

        With what the audit log says of the failure: occurred_at, message, sqlstate.
        """
        return self._session.query(
            "SELECT h.migration_name, e.occurred_at, e.details ->> 'message' AS message,"
            " e.details ->> 'sqlstate' AS sqlstate FROM {schema}.migration_history h LEFT JOIN LATERAL"
            " (SELECT f.occurred_at, f.details FROM {schema}.migration_events f WHERE f.migration_name ="
            " h.migration_name AND f.event = 'failed' ORDER BY f.event_number DESC LIMIT 1) e ON true"
            " WHERE h.status = 'failed' ORDER BY e.occurred_at DESC NULLS LAST, h.migration_name"
        )

    def find(self, name: str) -> Row | None:
        """The history row of one migration, or None. Does not write."""
        rows = self._session.query(
            "SELECT h.* FROM {schema}.migration_history h WHERE h.migration_name = %(name)s", name=name
        )
        return rows[0] if rows else None

    def stored(self, names: Sequence[str]) -> dict[str, Row]:
        """Name -> history row, of those of these migrations that are registered, in this order. Does not write."""
        return _in_order(self._session.query(HISTORY, names=list(names)), names)

    def stored_and_foreseen(self, names: Sequence[str]) -> tuple[dict[str, Row], Row | None]:
        """As `stored`, and what foreseen_locks() gives, by one message. Does not write.

        The latter is None where this role may not ask.
        """
        session = self._session
        call = session.call_text("foreseen_locks", names=list(names))
        queries = [
            session.query_text(HISTORY, names=list(names)),
            session.query_text(access.QUERY, **access.names(session.schema)),
        ]
        try:
            foreseen, rows, rights = session.read(calls=[call], queries=queries)
        except errors.DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            if session.rights.access.only_gate:
                return {}, cast(Row, self._gate.preview(names)["foreseen"])
            return self.stored(names), None
        session.rights.keep(rights[0])
        return _in_order(rows, names), cast(Row, _only_value(foreseen))

    def names(self) -> list[str]:
        """All registered names, in order. Does not write."""
        return [
            row["migration_name"]
            for row in self._session.query(
                'SELECT h.migration_name FROM {schema}.migration_history h ORDER BY h.migration_name COLLATE "C"'
            )
        ]

    def checksums(self) -> dict[str, tuple[str, str | None]]:
        """Name -> (status, checksum) of every registered migration. Does not write."""
        rows = self._session.query("SELECT h.migration_name, h.status, h.checksum FROM {schema}.migration_history h")
        return {row["migration_name"]: (row["status"], row["checksum"]) for row in rows}

    def history_states(self) -> dict[str, Row]:
        """Name -> status, checksum, version, tool and the like of every registered migration. Does not write."""
        rows = self._session.query(
            "SELECT h.migration_name, h.status, h.checksum, h.migration_version AS version, h.metadata ->> 'tool' AS"
            " tool, coalesce(h.metadata ->> 'system' = 'true', false) AS system, h.rollback_at, h.rollback_by, h.notes"
            " FROM {schema}.migration_history h"
        )
        return {row["migration_name"]: row for row in rows}

    def ledger_findings(self, names: Sequence[str] | None = None) -> list[Row]:
        """Rows of migration_ledger_findings(), what deploy ledgers know better, in words too. Does not write."""
        return self._session.query(FINDINGS, names=None if names is None else list(names))

    def deploy_in_progress(self, tool: str | None) -> list[Row]:
        """Rows of deploy_in_progress(): why the ledger of a deploy tool cannot be relied on now. Does not write."""
        return self._session.call("deploy_in_progress", tool=tool, search_path=self.effective_search_path())

    def deploys(self, label: str | None = None) -> list[Row]:
        """Rows of migration_deploys(), newest first, of one label or all. Does not write."""
        return self._session.query("SELECT d.* FROM {schema}.migration_deploys(%(label)s::text) d", label=label)

    def migrations_of_deploy(self, label: str) -> list[str]:
        """What the newest deploy of a label brought and still is applied, in order of its rollback. Does not write."""
        return list(
            self._session.query("SELECT {schema}.migrations_of_deploy(%(label)s::text) AS names", label=label)[0][
                "names"
            ]
        )

    def last_applied(self) -> str | None:
        """Name of the migration that was applied last and still is, our own aside. Does not write."""
        rows = self._session.query(
            "SELECT h.migration_name FROM {schema}.migration_history h WHERE h.status <> 'rolled_back' AND h.metadata"
            " ->> 'system' IS DISTINCT FROM 'true' ORDER BY h.applied_at DESC, h.migration_name COLLATE \"C\" DESC"
            " LIMIT 1"
        )
        return rows[0]["migration_name"] if rows else None

    def dependencies(self) -> list[Row]:
        """Every dependency, with the status of both ends. Does not write."""
        return self._session.query(
            "SELECT d.migration_name, d.depends_on, h.status, b.status AS depends_on_status, d.created_at, d.source,"
            " d.because FROM {schema}.migration_dependencies d JOIN {schema}.migration_history h ON h.migration_name ="
            " d.migration_name JOIN {schema}.migration_history b ON b.migration_name = d.depends_on ORDER BY"
            ' d.migration_name COLLATE "C", d.depends_on COLLATE "C"'
        )

    def applied(self) -> list[Row]:
        """Name, checksum, search_path and rollback SQL of what is applied, in order, our own aside. Does not write."""
        return self._session.query(
            "SELECT h.migration_name, h.checksum, h.metadata ->> 'search_path' AS search_path, h.rollback_sql FROM"
            " {schema}.migration_history h WHERE h.status <> 'rolled_back' AND h.metadata ->> 'system' IS DISTINCT FROM"
            " 'true' ORDER BY h.applied_at, h.migration_name COLLATE \"C\""
        )

    def object_history(self) -> list[Row]:
        """Rows of migration_object_history(): which migration did what to which object, in order. Does not write."""
        return self._session.query(
            "SELECT o.migration_name, o.action, o.kind, o.identity, o.class_id, o.object_id, o.column_number FROM"
            " {schema}.migration_object_history() o ORDER BY o.place"
        )

    def routine_bodies(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """(migration, definition) of each function and procedure that these migrations created. Does not write."""
        rows = self._session.query(
            "SELECT m.migration_name, pg_catalog.pg_get_functiondef(m.object_id) AS definition"
            " FROM {schema}.migration_object_creators() m JOIN pg_catalog.pg_proc p ON p.oid = m.object_id"
            " WHERE m.class_id = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.prokind IN ('f', 'p')"
            " AND m.migration_name = ANY (%(names)s) ORDER BY m.migration_name, m.identity",
            names=list(names),
        )
        return [(row["migration_name"], row["definition"]) for row in rows]

    def inferred_by_catalogs(self) -> list[Row]:
        """Rows of infer_migration_dependencies(): what the catalogs alone say. Does not write."""
        return self._session.call("infer_migration_dependencies")

    def dependents(self, name: str) -> list[Row]:
        """Rows of migration_dependents(): every edge among what depends on this migration. Does not write."""
        return self._session.call("migration_dependents", name=name)

    def events(self, names: str | Sequence[str] | None = None) -> list[Row]:
        """The audit log in order, of one migration, several or all. Does not write."""
        return self._session.query(
            "SELECT e.*, e.details::text AS details_text, (extract(epoch FROM e.occurred_at) * 1000000)::bigint AS"
            " epoch_us FROM {schema}.migration_events e WHERE %(names)s::text[] IS NULL OR e.migration_name = ANY"
            " (%(names)s::text[]) ORDER BY e.event_number",
            names=[names] if isinstance(names, str) else None if names is None else list(names),
        )

    def dry_run(self, names: Sequence[str]) -> list[Row]:
        """Rows of execute_migration_rollbacks(dry_run => true). Does not write."""
        return self._session.call("execute_migration_rollbacks", names=list(names), dry_run=True)

    def fingerprint(self, names: Sequence[str]) -> str:
        """SHA-256 over what a preview of these migrations shows. Does not write."""
        return cast(str, self._session.call_value("migration_fingerprint", names=list(names)))

    def snapshots(self, names: str | Sequence[str] | None = None) -> list[Row]:
        """Snapshots, newest first, without their objects; of one migration, several or all. Does not write."""
        return self._session.query(
            "SELECT s.id, s.migration_name, s.description, s.taken_at, s.taken_by, (SELECT coalesce(sum((SELECT"
            " count(*) FROM jsonb_object_keys(k.value))), 0)::bigint FROM jsonb_each(s.objects) k) AS objects,"
            " pg_column_size(s.objects) AS bytes FROM {schema}.migration_snapshots s WHERE %(names)s::text[] IS NULL OR"
            " s.migration_name = ANY (%(names)s::text[]) ORDER BY s.taken_at DESC, s.id",
            names=[names] if isinstance(names, str) else None if names is None else list(names),
        )

    def find_snapshots(self, wanted: str) -> list[Row]:
        """Snapshots whose id begins with this text, else the newest of the migration of this name. Does not write."""
        return self._session.query(
            "SELECT s.id, s.migration_name, s.description, s.taken_at FROM {schema}.migration_snapshots s WHERE"
            " starts_with(s.id::text, lower(%(wanted)s)) UNION ALL (SELECT s.id, s.migration_name, s.description,"
            " s.taken_at FROM {schema}.migration_snapshots s WHERE s.migration_name = %(wanted)s AND NOT EXISTS (SELECT"
            " FROM {schema}.migration_snapshots o WHERE starts_with(o.id::text, lower(%(wanted)s))) ORDER BY s.taken_at"
            " DESC LIMIT 1)",
            wanted=wanted,
        )

    def lost_rows(self, name: str, limit: int) -> list[Row]:
        """Rows of migration_lost_rows(): a look at what its rollback loses. Does not write."""
        return self._session.call_in_transaction("migration_lost_rows", name=name, row_limit=limit)

    def diff(self, old: str, new: str | None) -> list[Row]:
        """Rows of diff_migration_snapshots(): from a snapshot to another, or to now. Does not write."""
        return self._session.call_in_transaction("diff_migration_snapshots", old_snapshot=old, new_snapshot=new)

    def verify_rollback(self, names: Sequence[str], old: str | None, new: str | None, fingerprint: str | None) -> Row:
        """The row of verify_migration_rollback(). Does not write."""
        return self._session.call_in_transaction(
            "verify_migration_rollback", names=list(names), old_snapshot=old, new_snapshot=new, fingerprint=fingerprint
        )[0]

    def look_up_production(self) -> bool:
        """Whether this database is marked as production now; `target` says so from then on. Does not write."""
        try:
            with self._session.any_version():
                marked = bool(_only_value(self._session.call_in_transaction("is_production_database")))
        except errors.NotInstalled:
            marked = False
        except errors.OlderSystem:
            marked = True  # not known: it must not be taken for harmless
        except errors.DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            marked = True  # who may not look must not take production for harmless
        self._session.set_production(marked)
        return marked

    def uses_supabase(self) -> bool:
        """Whether this database has Supabase's ledger. Does not write."""
        return self._session.call_value("supabase_ledger") is not None

    def in_deploy_ledgers(self, migrations: Sequence[dict[str, Any]]) -> list[Row]:
        """Rows of migrations_in_deploy_ledgers() for migrations by name, version and tool. Does not write."""
        return self._session.call(
            "migrations_in_deploy_ledgers", migrations=Jsonb(list(migrations)), search_path=self.effective_search_path()
        )

    def deploy_ledgers_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """The ledgers of deploy tools that a rollback of these migrations writes. Does not write."""
        return tuple(self._session.call_value("deploy_ledgers_of_migrations", names=list(names)))

    def untrusted_ledger(self, tool: str | None) -> str | None:
        """Why the ledger of a deploy tool may not be used; None where it may, or there is none. Does not write."""
        return cast(
            "str | None",
            self._session.call_value("untrusted_deploy_ledger", tool=tool, search_path=self.effective_search_path()),
        )

    def effective_search_path(self) -> str:
        """The schemas in which unqualified names are found. Does not write."""
        return str(self._session.call_value("effective_search_path"))

    def schema_text(self) -> str:
        """The schema as it is, schema_snapshot() as text: two that are alike are the same schema. Does not write."""
        return str(self._session.query("SELECT {schema}.schema_snapshot()::text AS schema")[0]["schema"])

    def schema_hash(self) -> str:
        """Changes whenever the schema does, for a fraction of the cost; it may change without it. Does not write."""
        return str(self._session.query("SELECT {schema}.snapshot_token() AS token")[0]["token"])

    def material_changes(self, old: str, new: str) -> tuple[list[Row], list[str]]:
        """Rows of schema_changes() between two texts of `schema_text`; remarks on the immaterial. Does not write."""
        row = self._session.query(
            "SELECT m.material, m.remarks FROM {schema}.without_immaterial_changes((SELECT pg_catalog.jsonb_agg("
            "pg_catalog.to_jsonb(c)) FROM {schema}.schema_changes(%(old)s::pg_catalog.jsonb, %(new)s::pg_catalog.jsonb)"
            " c)) m",
            old=old,
            new=new,
        )[0]
        return row["material"], row["remarks"]

    def count_catalog_rows(self) -> Row:
        """How many objects of each kind there are: a cheap sign that a schema differs. Does not write."""
        return self._session.query(
            "SELECT (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relpersistence <> 't') AS relations, (SELECT"
            " count(*) FROM pg_catalog.pg_attribute a WHERE NOT a.attisdropped) AS columns, (SELECT count(*) FROM"
            " pg_catalog.pg_constraint) AS constraints, (SELECT count(*) FROM pg_catalog.pg_proc) AS functions, (SELECT"
            " count(*) FROM pg_catalog.pg_type) AS types, (SELECT count(*) FROM pg_catalog.pg_trigger) AS triggers,"
            " (SELECT count(*) FROM pg_catalog.pg_enum) AS labels, (SELECT count(*) FROM pg_catalog.pg_policy) AS"
            " policies, (SELECT count(*) FROM pg_catalog.pg_attrdef) AS defaults, (SELECT count(*) FROM"
            " pg_catalog.pg_description) AS comments"
        )[0]

    def snapshot_before(self, event_number: int) -> str | None:
        """Id of the snapshot that was taken before the rollback of this event; None where none was. Does not write."""
        rows = self._session.query(
            "SELECT s.details ->> 'snapshot' AS snapshot FROM {schema}.migration_events r JOIN"
            " {schema}.migration_events s ON s.event = 'snapshot_taken' AND s.details ->> 'moment' = 'before rollback'"
            " AND s.details -> 'migrations' ? r.migration_name AND s.event_number < r.event_number WHERE r.event_number"
            " = %(number)s ORDER BY s.event_number DESC LIMIT 1",
            number=event_number,
        )
        return rows[0]["snapshot"] if rows else None

    def catalog_rows(self, query: LiteralString) -> list[Row]:
        """Rows of a query to the catalogs, in which every operator and function is PostgreSQL's own. Does not write."""
        return self._session.query(
            query.replace("{", "{{").replace("}", "}}").replace("%", "%%")
        )  # it has no parameters

    def error_counters(self) -> Row:
        """Counters of troubles of this database since `stats_reset`, and the time. Does not write."""
        rows = self._session.query(
            "SELECT to_jsonb(d) || jsonb_build_object('at', clock_timestamp()) AS counters FROM (SELECT s.stats_reset,"
            " s.xact_commit, s.xact_rollback, s.deadlocks, s.conflicts, s.sessions, s.sessions_abandoned,"
            " s.sessions_fatal, s.checksum_failures, s.temp_files, s.blks_read, s.tup_returned FROM"
            " pg_catalog.pg_stat_database s WHERE s.datname = pg_catalog.current_database()) d"
        )
        return cast(Row, rows[0]["counters"])

    def ask_read_only(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of one statement of the user's own, in a read-only transaction that is then undone. Does not write."""
        rows: list[tuple[Any, ...]] = []
        with (
            suppress(Undo),
            self._session.translated_errors(),
            self._session.transaction_with(
                {"statement_timeout": self._session.timeouts.statement_timeout, "transaction_read_only": "on"}
            ),
        ):
            try:
                cursor = self._session.connection.execute(statement.encode())
            except psycopg.Error as error:
                if self._session.connection.closed:
                    raise
                # the user's own tables, so a missing one is no missing system
                raise errors.DatabaseError(
                    error.diag.message_primary or str(error), sqlstate=error.sqlstate, hint=error.diag.message_hint
                ) from error
            rows = cursor.fetchall() if cursor.description is not None else []
            raise Undo  # a read-only transaction may still write temporary tables
        return rows


def _in_order(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Row]:
    found = {row["migration_name"]: row for row in rows}
    return {name: found[name] for name in names if name in found}


def _only_value(rows: Sequence[Row]) -> Any:
    return next(iter(rows[0].values()))
