"""Installing the rollback system itself, and closing its rights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from migrollback_nb.core import errors, results
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.signatures import identities, signatures


class SystemCommands(Queries):
    """What is done before there is a history, and to its own tables."""

    def system_migrations(self) -> set[str] | None:
        """Names of the system's own migrations that are in place, or None where there is no system. Does not write."""
        try:
            rows = self._query(
                "SELECT h.migration_name FROM {schema}.migration_history h WHERE h.metadata ->> 'system' = 'true' AND"
                " h.status <> 'rolled_back'"
            )
        except errors.NotInstalled:
            return None
        except errors.DatabaseError as error:
            if error.sqlstate != "42703":  # a table of that name without our columns
                raise
            return set()
        return {row["migration_name"] for row in rows}

    def install(self, name: str, up: str, record: dict[str, Any]) -> int | None:
        """Run the text of one system migration and register it, in one transaction. Writes. The text is ours, so it goes as it is.

        Returns how many grants it closed; None when another session has installed it meanwhile, and nothing was done.
        """
        try:
            return self._install_once(name, up, record)
        except errors.ConnectionFailed as lost:
            try:
                self.reconnect_patiently()
            except errors.ConnectionFailed as error:
                raise errors.ConnectionFailed(
                    f"{lost.message}, and it is not known whether {name} was installed: {error.message}",
                    hint="Run install again: what is installed stays as it is.",
                ) from lost
            # once more is no harm, and waits for a COMMIT that is still at work; where that has done it, it is ours
            return self._install_once(name, up, record) or 0

    def _install_once(self, name: str, up: str, record: dict[str, Any]) -> int | None:
        with self._translated(), self._deed(lock_timeout="30s"):
            # our own function that takes this lock may not be there yet
            self.connection.execute(
                "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('migrollback_nb gate', 0))"
            )
            if self._is_installed(name):
                return None
            if (
                not self._schema_exists()
            ):  # IF NOT EXISTS would ask for the right to create schemas even where there is nothing to create
                self.connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.schema)))
            # pinned: the operators in the checks of our tables are settled when they are made
            closed = _only_value(
                self.connection.execute(b"SET LOCAL search_path = pg_catalog, pg_temp;\n" + up.encode()),
                "rights_closed",
            )
            self._rows(
                "register_migration",
                **{**record, "metadata": Jsonb(record["metadata"])},
                client=self.client,
                search_path=sql.Identifier(self.schema).as_string(self.connection),
            )
            self._rows("add_migration_event", event="installed", migration_name=name, client=self.client)
        return closed

    def _is_installed(self, name: str) -> bool:
        table = sql.Identifier(self.schema, "migration_history").as_string(None)
        found = self.connection.execute("SELECT pg_catalog.to_regclass(%s) IS NOT NULL", (table,)).fetchone()
        if found != (True,):
            return False
        row = self.find(name)
        return row is not None and row["status"] != "rolled_back"

    def _schema_exists(self) -> bool:
        return self.connection.execute(
            "SELECT pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s)) IS NOT NULL", (self.schema,)
        ).fetchone() == (True,)

    def not_ours(self) -> tuple[results.NotOurs, ...]:
        """What others have given the names of our functions, and the triggers and rules that they have put on our tables. Does not write, and calls none of our functions."""
        rows = self._query(
            "WITH ours AS (SELECT c.oid, c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid"
            " OPERATOR(pg_catalog.=) c.relnamespace WHERE n.nspname OPERATOR(pg_catalog.=) %(schema)s::pg_catalog.text"
            " AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog.\"char\" AND c.relname OPERATOR(pg_catalog.=) ANY"
            " (%(tables)s::pg_catalog.text[])), routine AS (SELECT p.oid, p.proowner, n.nspname, p.proname,"
            " pg_catalog.format('%%s(%%s)'::pg_catalog.text, p.proname, pg_catalog.oidvectortypes(p.proargtypes))"
            " OPERATOR(pg_catalog.=) ANY (%(identities)s::pg_catalog.text[]) AND EXISTS (SELECT FROM ours o WHERE"
            " o.relowner OPERATOR(pg_catalog.=) p.proowner) AS is_ours FROM pg_catalog.pg_proc p JOIN"
            " pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace WHERE n.nspname"
            " OPERATOR(pg_catalog.=) %(schema)s::pg_catalog.text) SELECT 'function' AS kind,"
            " pg_catalog.format('%%I.%%I(%%s)'::pg_catalog.text, r.nspname, r.proname,"
            " pg_catalog.pg_get_function_identity_arguments(r.oid)) AS identity, pg_catalog.pg_get_userbyid(r.proowner)"
            " AS owner FROM routine r WHERE NOT r.is_ours AND r.proname OPERATOR(pg_catalog.=) ANY"
            " (%(functions)s::pg_catalog.text[]) UNION ALL SELECT 'trigger', pg_catalog.format('%%I on %%s, which runs"
            " %%s'::pg_catalog.text, t.tgname, t.tgrelid::pg_catalog.regclass, t.tgfoid::pg_catalog.regprocedure),"
            " pg_catalog.pg_get_userbyid(f.proowner) FROM pg_catalog.pg_trigger t JOIN ours o ON o.oid"
            " OPERATOR(pg_catalog.=) t.tgrelid JOIN pg_catalog.pg_proc f ON f.oid OPERATOR(pg_catalog.=) t.tgfoid WHERE"
            " NOT t.tgisinternal AND NOT EXISTS (SELECT FROM routine r WHERE r.is_ours AND r.oid OPERATOR(pg_catalog.=)"
            " t.tgfoid) UNION ALL SELECT 'rule', pg_catalog.format('%%I on %%s'::pg_catalog.text, w.rulename,"
            " w.ev_class::pg_catalog.regclass), pg_catalog.pg_get_userbyid(o.relowner) FROM pg_catalog.pg_rewrite w"
            " JOIN ours o ON o.oid OPERATOR(pg_catalog.=) w.ev_class ORDER BY 1, 2",
            schema=self.schema,
            tables=[
                "migration_history",
                "migration_dependencies",
                "migration_events",
                "migration_snapshots",
                "migration_objects",
            ],
            functions=list(signatures()),
            identities=list(identities()),
        )
        return tuple(results.NotOurs(kind=row["kind"], identity=row["identity"], owner=row["owner"]) for row in rows)

    def refuse_unknown_roles(self, names: Sequence[str]) -> None:
        """Make sure that there are roles of these names. Does not write.

        Raises
        ------
        UsageError
            When one is missing.
        """
        rows = self._query(
            "SELECT n.name FROM pg_catalog.unnest(%(names)s::pg_catalog.text[]) AS n (name) WHERE NOT EXISTS "
            "(SELECT FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) n.name)",
            names=list(names),
        )
        if rows:
            raise errors.UsageError(
                f"There is no role {', '.join(row['name'] for row in rows)} on this server",
                hint="Give the name of the role that owns the ledger, as it stands in pg_roles. Nothing was changed.",
            )

    def trust_ledger_owner(self, role: str, *, trusted: bool) -> bool:
        """Read and write the ledgers of a role from now on, or no longer. Writes. Returns whether that is new.

        Raises
        ------
        UsageError
            When there is no such role.
        """
        with self._translated(), self._deed(lock_timeout="30s"):
            return cast(bool, self._value("trust_ledger_owner", role_name=role, trusted=trusted, client=self.client))

    def trusted_ledger_owners(self) -> tuple[str, ...]:
        """The roles that were named by `trust_ledger_owner`. Does not write."""
        rows = self._query(
            "SELECT t.role_name FROM {schema}.migration_history h CROSS JOIN LATERAL"
            " pg_catalog.jsonb_array_elements_text(h.metadata -> 'trusted_ledger_owners'::pg_catalog.text) WITH"
            " ORDINALITY AS t (role_name, place) WHERE h.metadata ->> 'system'::pg_catalog.text ="
            " 'true'::pg_catalog.text ORDER BY t.place"
        )
        return tuple(row["role_name"] for row in rows)

    def close_rights(self) -> tuple[int, tuple[str, ...]]:
        """Take what PUBLIC and Supabase's roles may do with the system, and set its row security. Writes only where something was open.

        Returns how many grants it closed, and what a person should know of the rights.
        """

        def attempt() -> tuple[int, tuple[str, ...]]:
            with self._translated(), self._deed():
                closed = cast(int, self._value("close_migration_rights"))
                row_security = cast("str | None", self._value("set_migration_row_security"))
                still_open = cast("list[str]", self._value("open_migration_rights"))
            return closed, (*((row_security,) if row_security is not None else ()), *still_open)

        try:
            return attempt()
        except errors.ConnectionFailed:
            self.reconnect_patiently()
            return attempt()  # once more is no harm

    def mark_production(self, production: bool, reason: str | None) -> bool:
        """Mark this database as production, or take the mark away. Writes one event; returns whether anything was changed."""
        with self._translated(), self._deed():
            changed = bool(
                self._value("mark_production_database", production=production, reason=reason, client=self.client)
            )
        self.look_up_production()
        return changed


def _only_value(cursor: psycopg.Cursor[Any], column: str) -> int:
    """The value of the one result of a script that has a column of this name."""
    while True:
        if cursor.description is not None and [one.name for one in cursor.description] == [column]:
            found = cursor.fetchone()
            assert found is not None  # noqa: S101  # for mypy: it is one row
            return cast(int, found[0])
        if not cursor.nextset():
            raise LookupError(column)
