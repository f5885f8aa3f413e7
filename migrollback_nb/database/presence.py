"""Whether the rollback system is in a database, in which schema and version, and whole. Does not write.

Asks the catalogs and the history alone, and calls none of our functions: an older system may lack them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from migrollback_nb.core import errors
from migrollback_nb.core.results import Target
from migrollback_nb.core.text import first_few
from migrollback_nb.core.version import __version__
from migrollback_nb.database.signatures import identities
from migrollback_nb.database.system_files import SYSTEM_NAME, table_names

#: What PostgreSQL says when a function, a table or a schema of ours is not there, or one of another owner's.
SQLSTATES = frozenset({"42883", "42P01", "3F000"})

#: The system's own migrations in a history, with its version: 0.1.0 did not say it.
VERSIONS: LiteralString = (
    "SELECT h.migration_name, coalesce(h.metadata ->> 'system_version', '0.1.0') AS version"
    " FROM {schema}.migration_history h"
    " WHERE h.metadata ->> 'system' = 'true' AND h.status <> 'rolled_back' ORDER BY h.migration_name"
)

#: The same in a scope, where the system knows it and the setting came through: a pooler may have left it out.
VERSIONS_IN_SCOPE: LiteralString = (
    "SELECT h.migration_name, h.metadata ->> 'system_version' AS version"
    " FROM {schema}.migration_scopes s CROSS JOIN {schema}.migration_history h"
    " WHERE s.scope = %(scope)s AND pg_catalog.current_setting('migrollback.scope', true) = s.scope"
    " AND h.metadata ->> 'system' = 'true' AND h.status <> 'rolled_back' ORDER BY h.migration_name"
)

# Every operator and function is qualified: on the caller's path may stand others of the same names.
_QUERY = """
    SELECT n.nspname,
        ARRAY(SELECT t.name FROM pg_catalog.unnest({tables}::pg_catalog.text[]) AS t (name)
               WHERE NOT EXISTS (
                   SELECT FROM pg_catalog.pg_class o WHERE o.relnamespace OPERATOR(pg_catalog.=) n.oid
                      AND o.relname OPERATOR(pg_catalog.=) t.name
                      AND o.relkind OPERATOR(pg_catalog.=) ANY ('{{r,v}}'::pg_catalog."char"[])))
        OPERATOR(pg_catalog.||)
        ARRAY(SELECT f.name FROM pg_catalog.unnest({functions}::pg_catalog.text[]) AS f (name)
               WHERE NOT EXISTS (
                   SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace OPERATOR(pg_catalog.=) n.oid
                      AND p.proname OPERATOR(pg_catalog.=) pg_catalog.split_part(f.name, '('::pg_catalog.text, 1)
                      AND pg_catalog.format('%s(%s)'::pg_catalog.text, p.proname,
                                            pg_catalog.oidvectortypes(p.proargtypes))
                          OPERATOR(pg_catalog.=) f.name)) AS missing
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.relname OPERATOR(pg_catalog.=) 'migration_history'::pg_catalog.name
      AND c.relkind OPERATOR(pg_catalog.=) ANY ('{{r,v}}'::pg_catalog."char"[])
      AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
                     AND a.attname OPERATOR(pg_catalog.=) 'metadata'::pg_catalog.name AND NOT a.attisdropped)
    ORDER BY n.nspname
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSystem:
    """The system that is in a database."""

    version: str | None  #: None: only migrations of the system that this package does not know
    unknown: tuple[str, ...]  #: migrations of the system that this package does not know

    @classmethod
    def from_rows(cls, rows: list[dict[str, Any]]) -> Self:
        """Of the rows of VERSIONS; pure."""
        versions = {row["migration_name"]: row["version"] for row in rows}
        return cls(version=versions.pop(SYSTEM_NAME, None), unknown=tuple(versions))

    def refuse_other_version(self) -> None:
        """Make sure that it is of the version of this package; pure.

        Raises
        ------
        OlderSystem, NewerSystem
        """
        if self.unknown or self.version is None or _numbers(self.version) > _numbers(__version__):
            has = ", ".join(self.unknown) or f"version {self.version}, and this is {__version__}"
            raise errors.NewerSystem(
                f"The rollback system of this database is newer than this package: it has {has}",
                hint="Install a newer migrollback-nb.",
            )
        if self.version != __version__:
            raise errors.OlderSystem(
                f"The rollback system of this database has version {self.version},"
                f" and this package needs {__version__}",
                hint="Run migrollback install, which brings it up to date. History and events stay.",
            )


@dataclass(frozen=True, slots=True)
class Presence:
    """In which schemas the system is, and what of it is missing in each."""

    missing: dict[str, tuple[str, ...]]  #: schema -> tables and functions of this version that are not there

    def not_installed(self, target: Target) -> errors.NotInstalled:
        """The error that says where the system was looked for, and where it is; pure."""
        elsewhere = [schema for schema in self.missing if schema != target.schema]
        where = f"schema {target.schema} of database {target.database} on {target.host}:{target.port}"
        if "migration_events" in self.missing.get(target.schema, ()):  # no version of ours was without it
            hint = "Its migration_history is of another tool; of the earlier one: migrollback install --take-over."
        elif elsewhere:
            hint = (
                f"It is in schema {', '.join(elsewhere)}: name that with --schema (schema= in Python),"
                " or run migrollback install."
            )
        else:
            hint = "Run migrollback install, or name its schema with --schema."
        return errors.NotInstalled(
            f"The rollback system is not installed in {where}", hint=hint, schemas=tuple(elsewhere)
        )

    def explain(self, target: Target) -> errors.MigrollbackError | None:
        """What is wrong with the system of a schema: not there, or not whole. None where all of it is there; pure."""
        missing = self.missing.get(target.schema)
        if missing is None or "migration_events" in missing:
            return self.not_installed(target)
        if missing:
            named = first_few(missing)
            return errors.OlderSystem(
                f"The rollback system in schema {target.schema} of database {target.database} lacks {named}:"
                " it is older than this package, or damaged",
                hint="Run migrollback install, which brings it up to date. History and events stay.",
            )
        return None


def versions(scope: str | None) -> LiteralString:
    """The query for the system's version, for a session with or without a scope; pure."""
    return VERSIONS if scope is None else VERSIONS_IN_SCOPE


def unknown_scope(scope: str, target: Target) -> errors.NotInstalled:
    """The error for a session whose scope the system does not know, or did not hear of; pure."""
    return errors.NotInstalled(
        f"The rollback system in schema {target.schema} of database {target.database} on {target.host}:{target.port}"
        f" has no scope {scope}",
        hint=(
            f"Add it: migrollback install --scope {scope}. Where it was added, a pooler between may leave out the"
            " setting migrollback.scope: connect to the server itself."
        ),
    )


def look(connection: psycopg.Connection) -> Presence:
    """Ask the catalogs of a database, in one round trip; does not write."""
    query = sql.SQL(_QUERY).format(tables=sql.Literal(list(table_names())), functions=sql.Literal(list(identities())))
    return Presence({schema: tuple(missing) for schema, missing in connection.execute(query).fetchall()})


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def explain_missing(
    connection: psycopg.Connection, reopen: Callable[[], psycopg.Connection] | None, target: Target
) -> errors.MigrollbackError | None:
    """Why something of ours was not found: not installed here, or not whole. None: it was nothing of ours.

    Does not write.
    """
    with suppress(psycopg.Error, errors.MigrollbackError):
        if connection.info.transaction_status == TransactionStatus.IDLE:
            return look(connection).explain(target)
        if reopen is not None:  # the transaction that met the error answers no more
            with closing(reopen()) as other:
                return look(other).explain(target)
    return Presence({}).not_installed(target)
