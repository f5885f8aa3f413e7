"""Queries for messages: what is half done, when a ledger says it was applied, what a name means. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from psycopg.types.json import Jsonb

from migrollback_nb.database.gate import Gate

if TYPE_CHECKING:
    from migrollback_nb.database.queries import Queries
    from migrollback_nb.database.session import Row, Session


class Lookups:
    """Queries that only some messages need."""

    def __init__(self, session: Session, queries: Queries) -> None:
        self._session = session
        self._queries = queries

    def half_applied(self, name: str | None = None) -> list[Row]:
        """Rows of half_applied_migrations(): what stopped between two statements, of one or all. Does not write."""
        return self._session.call("half_applied_migrations", name=name)

    def unfinished_objects(self) -> list[Row]:
        """Rows of unfinished_schema_objects() on which no other session is at work. Does not write."""
        return [row for row in self._session.call("unfinished_schema_objects") if not row["in_progress"]]

    def schema_objects(self) -> list[Row]:
        """Rows of schema_objects(): kind, identity and definition of every object now. Does not write."""
        return self._session.call("schema_objects")

    def times_in_deploy_ledgers(self, migrations: Sequence[dict[str, Any]]) -> list[Row]:
        """Rows of migration_times_in_deploy_ledgers() for migrations by name, version and tool. Does not write."""
        return self._session.call(
            "migration_times_in_deploy_ledgers",
            migrations=Jsonb(list(migrations)),
            search_path=self._queries.effective_search_path(),
        )

    def ledgers_elsewhere(self, tool: str | None) -> list[str]:
        """Tables called and made like a tool's ledger (None: Supabase's), quoted, whatever their schema. No write."""
        rows = self._session.query(
            "SELECT DISTINCT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS ledger FROM {schema}.deploy_tools()"
            " t JOIN pg_catalog.pg_class c ON c.relname = pg_catalog.regexp_replace(t.ledger_name, '^.*[.]', '') AND"
            " c.relkind IN ('r', 'p') AND c.relpersistence <> 't' JOIN pg_catalog.pg_namespace n ON n.oid ="
            " c.relnamespace CROSS JOIN LATERAL (SELECT pg_catalog.array_agg(a.attname::text) AS names FROM"
            " pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped) k WHERE t.tool ="
            " coalesce(%(tool)s::text, 'supabase') AND k.names @> t.has AND NOT k.names && t.has_not ORDER BY 1",
            tool=tool,
        )
        return [row["ledger"] for row in rows]

    def registered_by_sync(self) -> int:
        """Of how many migrations applied_at is only when they were registered. Does not write."""
        rows = self._session.query(
            "SELECT count(*) AS count FROM {schema}.migration_history h WHERE h.metadata ->> 'applied_at_from' = 'sync'"
        )
        return int(rows[0]["count"])

    def routines_named(self, names: Sequence[str]) -> list[str]:
        """Which of these names some function or procedure has, whatever its schema. Does not write."""
        rows = self._session.query(
            "SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p WHERE p.proname = ANY (%(names)s::text[])",
            names=list(names),
        )
        return [row["proname"] for row in rows]

    def relation(self, name: str) -> int | None:
        """The object id of what a quoted name means on the session's own path; None: nothing. Does not write."""
        rows = self._session.query_on_own_path(
            "SELECT pg_catalog.to_regclass(%(name)s)::pg_catalog.oid AS relation", name=name
        )
        return cast("int | None", rows[0]["relation"])

    def rolled_back_with(self, name: str) -> tuple[str, ...]:
        """What was rolled back in one attempt with this migration, last, and still is. Does not write."""
        rows = self._session.query(
            "SELECT e.migration_name FROM {schema}.migration_events e JOIN {schema}.migration_history h ON"
            " h.migration_name = e.migration_name AND h.status = 'rolled_back' WHERE e.event = 'rolled_back' AND"
            " e.attempt_id = (SELECT o.attempt_id FROM {schema}.migration_events o WHERE o.event = 'rolled_back' AND"
            " o.migration_name = %(name)s ORDER BY o.event_number DESC LIMIT 1) ORDER BY e.event_number",
            name=name,
        )
        return tuple(row["migration_name"] for row in rows) or (name,)

    def fingerprints(self, names: Sequence[str]) -> dict[str, str]:
        """Name -> its own fingerprint. Does not write."""
        session = self._session
        if session.rights.through_gate:
            gate = Gate(session)
            return {name: str(gate.preview([name])["fingerprint"]) for name in names}
        calls = [session.call_text("migration_fingerprint", names=[name]) for name in names]
        found = session.read(calls=calls)
        return {name: str(next(iter(rows[0].values()))) for name, rows in zip(names, found, strict=True)}

    def changed_since_preview(self, preview: str, now: str) -> str | None:
        """Why a fingerprint no longer holds, in words; None where it does. Does not write."""
        if preview == now:
            return None
        if self._session.rights.only_gate:
            return "What was looked at has changed since the preview: look at a new one first"
        return cast("str | None", self._session.call_value("changed_since_preview", preview=preview, now=now))
