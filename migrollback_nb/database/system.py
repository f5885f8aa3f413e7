"""The rollback system itself: its version, installing and upgrading it, its rights, its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import LiteralString, cast

from migrollback_nb.core import errors, results
from migrollback_nb.database import presence
from migrollback_nb.database.installation import install_statement
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.session import Row, Session
from migrollback_nb.database.signatures import identities, signatures
from migrollback_nb.database.system_files import SYSTEM_NAME, relation_names

#: What others gave the names of our functions, and put on our tables. Qualified throughout, and calls none of ours.
_NOT_OURS: LiteralString = """
WITH ours AS (
    SELECT c.oid, c.relowner FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE n.nspname OPERATOR(pg_catalog.=) %(schema)s::pg_catalog.text
      AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char"
      AND c.relname OPERATOR(pg_catalog.=) ANY (%(tables)s::pg_catalog.text[])),
routine AS (
    SELECT p.oid, p.proowner, n.nspname, p.proname,
           pg_catalog.format('%%s(%%s)'::pg_catalog.text, p.proname, pg_catalog.oidvectortypes(p.proargtypes))
               OPERATOR(pg_catalog.=) ANY (%(identities)s::pg_catalog.text[])
           AND EXISTS (SELECT FROM ours o WHERE o.relowner OPERATOR(pg_catalog.=) p.proowner) AS is_ours
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
    WHERE n.nspname OPERATOR(pg_catalog.=) %(schema)s::pg_catalog.text)
SELECT 'function' AS kind,
       pg_catalog.format('%%I.%%I(%%s)'::pg_catalog.text, r.nspname, r.proname,
                         pg_catalog.pg_get_function_identity_arguments(r.oid)) AS identity,
       pg_catalog.pg_get_userbyid(r.proowner) AS owner
FROM routine r WHERE NOT r.is_ours AND r.proname OPERATOR(pg_catalog.=) ANY (%(functions)s::pg_catalog.text[])
UNION ALL
SELECT 'trigger',
       pg_catalog.format('%%I on %%s, which runs %%s'::pg_catalog.text, t.tgname, t.tgrelid::pg_catalog.regclass,
                         t.tgfoid::pg_catalog.regprocedure),
       pg_catalog.pg_get_userbyid(f.proowner)
FROM pg_catalog.pg_trigger t JOIN ours o ON o.oid OPERATOR(pg_catalog.=) t.tgrelid
JOIN pg_catalog.pg_proc f ON f.oid OPERATOR(pg_catalog.=) t.tgfoid
WHERE NOT t.tgisinternal
  AND NOT EXISTS (SELECT FROM routine r WHERE r.is_ours AND r.oid OPERATOR(pg_catalog.=) t.tgfoid)
UNION ALL
SELECT 'rule', pg_catalog.format('%%I on %%s'::pg_catalog.text, w.rulename, w.ev_class::pg_catalog.regclass),
       pg_catalog.pg_get_userbyid(o.relowner)
FROM pg_catalog.pg_rewrite w JOIN ours o ON o.oid OPERATOR(pg_catalog.=) w.ev_class
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What an install did."""

    from_version: str | None  #: that was there before; None: there was none
    to_version: str
    changed: bool  #: False: it was complete and up to date
    rights_closed: int
    taken_over: results.TakenOver | None = None  #: of the earlier tool


class SystemCommands:
    """What is done before there is a history, and to its own tables."""

    def __init__(self, session: Session, queries: Queries) -> None:
        self._session = session
        self._queries = queries

    def require_system(self) -> None:
        """Make sure that the rollback system is here, and of the version of this package. Does not write.

        Raises
        ------
        NotInstalled, OlderSystem, NewerSystem
        """
        if not self._session.ask_version():
            raise presence.look(self._session.connection).not_installed(self._session.target)

    def install(self, *, take_over: bool = False, dry_run: bool = False) -> Installation:
        """Install the system, or bring it up to date, in one transaction. Writes; leaves what is up to date as it is.

        `take_over`: makes the tables of the earlier tool its own. `dry_run`: undoes all of it.

        Raises
        ------
        Refused
            When what is not this system's stands in the way, or the system is another role's.
        NewerSystem
            When the system is newer than this package.
        """
        if dry_run:
            with (
                self._session.any_version(),
                self._session.undone_transaction(lock_timeout="5s", statement_timeout="60s"),
            ):
                return self._install_once(take_over=take_over)
        try:
            return self._install_once(take_over=take_over)
        except errors.ConnectionFailed as lost:
            try:
                self._session.reconnect_patiently()
            except errors.ConnectionFailed as error:
                raise errors.ConnectionFailed(
                    f"{lost.message}, and it is not known whether {SYSTEM_NAME} was installed: {error.message}",
                    hint="Run install again: what is installed stays as it is.",
                ) from lost
            # once more is no harm, and waits for a COMMIT that is still at work
            again = self._install_once(take_over=take_over)
            return again if again.changed else self._committed(again)

    def _install_once(self, *, take_over: bool) -> Installation:
        statement = install_statement(self._session.schema, client=self._session.client, take_over=take_over)
        with (
            self._session.any_version(),
            self._session.translated_errors(),
            self._session.transaction(lock_timeout="30s"),
        ):
            self._session.connection.execute(statement.encode())
            row = self._session.connection.execute(
                "SELECT pg_catalog.current_setting('migrollback.installation')::pg_catalog.jsonb"
            ).fetchone()
        assert row is not None  # noqa: S101  # for mypy: it is one row
        told = row[0]
        return Installation(
            from_version=told["from"],
            to_version=told["to"],
            changed=told["changed"],
            rights_closed=told["revoked"],
            taken_over=None if told["taken_over"] is None else results.TakenOver.from_json(told["taken_over"]),
        )

    def _committed(self, again: Installation) -> Installation:
        """What the lost connection had committed, where it did: the last event of the system says it."""
        rows = self._session.query(
            "SELECT e.event, e.details ->> 'from' AS version FROM {schema}.migration_events e "
            "WHERE e.migration_name = %(name)s AND e.event IN ('installed', 'upgraded') AND e.client = %(client)s "
            "AND e.occurred_at > pg_catalog.clock_timestamp() - interval '10 minutes' "
            "ORDER BY e.event_number DESC LIMIT 1",
            name=SYSTEM_NAME,
            client=self._session.client,
        )
        if not rows:
            return again
        return replace(again, from_version=rows[0]["version"], changed=True)

    def not_ours(self) -> tuple[results.NotOurs, ...]:
        """What others have given the names of our functions, and put on our tables. Does not write."""
        rows = self._session.query(
            _NOT_OURS,
            schema=self._session.schema,
            tables=list(relation_names()),
            functions=list(signatures()),
            identities=list(identities()),
        )
        return tuple(results.NotOurs(kind=row["kind"], identity=row["identity"], owner=row["owner"]) for row in rows)

    def undo_take_over_sql(self) -> str:
        """The script that puts back what the earlier tool had. Does not write."""
        return cast(str, self._session.call_value("undo_take_over_sql"))

    def refuse_unknown_roles(self, names: Sequence[str]) -> None:
        """Make sure that there are roles of these names. Does not write.

        Raises
        ------
        UsageError
            When one is missing.
        """
        rows = self._session.query(
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
        with self._session.transaction(lock_timeout="30s"):
            return cast(
                bool,
                self._session.call_value(
                    "trust_ledger_owner", role_name=role, trusted=trusted, client=self._session.client
                ),
            )

    def add_scopes(self, scopes: Sequence[str], more_schemas: Sequence[str] = ()) -> tuple[str, ...]:
        """Give tenants' schemas histories of their own. Writes; returns those that had none.

        `more_schemas`: further schemas of a single one.

        Raises
        ------
        UsageError
            When there is no such schema, or the scope is there with other schemas.
        """
        try:
            with self._session.any_version(), self._session.transaction(lock_timeout="30s"):
                added = self._session.call_value(
                    "add_migration_scopes",
                    scopes=list(scopes),
                    more_schemas=list(more_schemas),
                    client=self._session.client,
                )
                return tuple(cast("list[str]", added))
        except errors.DatabaseError as error:
            if error.sqlstate != "MR006":
                raise
            raise errors.UsageError(error.primary, hint=error.hint) from error

    def scope(self) -> tuple[str, ...] | None:
        """The schemas of the session's scope; None: it has none. Does not write."""
        found = cast("list[str] | None", self._session.call_value("migration_scope"))
        return None if found is None else tuple(found)

    def trusted_ledger_owners(self) -> tuple[str, ...]:
        """The roles that were named by `trust_ledger_owner`. Does not write."""
        rows = self._session.query(
            "SELECT t.role_name FROM {schema}.migration_history h CROSS JOIN LATERAL "
            "pg_catalog.jsonb_array_elements_text(h.metadata -> 'trusted_ledger_owners'::pg_catalog.text) "
            "WITH ORDINALITY AS t (role_name, place) "
            "WHERE h.metadata ->> 'system'::pg_catalog.text = 'true'::pg_catalog.text ORDER BY t.place"
        )
        return tuple(row["role_name"] for row in rows)

    def grant_role(self, role_name: str, kind: str) -> bool:
        """Let a role be an auditor or operator. Writes rights and an event; returns whether that is new."""
        return self._change_role("grant_migration_role", role_name, kind)

    def revoke_role(self, role_name: str, kind: str) -> bool:
        """Take from a role what it was granted. Writes rights and an event; returns whether it was one."""
        return self._change_role("revoke_migration_role", role_name, kind)

    def _change_role(self, function: str, role_name: str, kind: str) -> bool:
        with self._session.transaction(lock_timeout="30s"):
            return cast(
                bool,
                self._session.call_value(function, role_name=role_name, kind=kind, client=self._session.client),
            )

    def roles(self) -> list[Row]:
        """Rows of migration_roles(): who is an auditor or operator. Does not write."""
        return self._session.call("migration_roles")

    def close_rights(self) -> tuple[int, tuple[str, ...]]:
        """Revoke what PUBLIC and Supabase's roles may do with the system, and set row security. Writes where it must.

        Returns how many grants it closed, and what a person should know of the rights.
        """

        def attempt() -> tuple[int, tuple[str, ...]]:
            with self._session.transaction():
                closed = cast(int, self._session.call_value("revoke_public_privileges"))
                row_security = cast("str | None", self._session.call_value("set_migration_row_security"))
                still_open = cast("list[str]", self._session.call_value("open_migration_rights"))
            return closed, (*((row_security,) if row_security is not None else ()), *still_open)

        try:
            return attempt()
        except errors.ConnectionFailed:
            self._session.reconnect_patiently()
            return attempt()  # once more is no harm

    def mark_production(self, production: bool, reason: str | None) -> bool:
        """Mark this database as production, or take the mark away. Writes one event; returns whether it changed."""
        with self._session.transaction():
            changed = bool(
                self._session.call_value(
                    "mark_production_database", production=production, reason=reason, client=self._session.client
                )
            )
        self._queries.look_up_production()
        return changed
