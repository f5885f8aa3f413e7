"""How each target and its migrations stand, in one round trip each over asynchronous connections. Does not write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migrollback_nb.core.errors import MigrollbackError, NotInstalled, from_sqlstate
from migrollback_nb.database.connection import connection_options, refused
from migrollback_nb.database.origin import target_of
from migrollback_nb.database.presence import SQLSTATES, InstalledSystem, unknown_scope
from migrollback_nb.fleet import engine
from migrollback_nb.fleet.plan import one_line_of, status_of

if TYPE_CHECKING:
    from migrollback_nb.fleet.targets import FleetTarget

#: What is said of a target, after its name, status and message.
COLUMNS = ("applied", "rolled_back", "failed", "last_applied", "last_applied_at", "production", "server_version")

#: One query, and no function of ours: in a session that has just begun, each is compiled and planned anew. It asks what
#: VERSIONS does, and what is_production_database() does.
_QUERY: LiteralString = """
SELECT pg_catalog.count(*) FILTER (WHERE h.status = 'applied' AND NOT h.system) AS applied,
       pg_catalog.count(*) FILTER (WHERE h.status = 'rolled_back' AND NOT h.system) AS rolled_back,
       pg_catalog.count(*) FILTER (WHERE h.status = 'failed' AND NOT h.system) AS failed,
       (SELECT l.migration_name FROM {schema}.migration_history l
         WHERE l.status = 'applied' AND l.metadata ->> 'system' IS DISTINCT FROM 'true'
         ORDER BY l.applied_at DESC, l.id DESC LIMIT 1) AS last_applied,
       pg_catalog.max(h.applied_at) FILTER (WHERE h.status = 'applied' AND NOT h.system) AS last_applied_at,
       pg_catalog.current_setting('server_version') AS server_version,
       coalesce((SELECT e.event = 'marked_production' FROM {schema}.migration_events e
                  WHERE e.event IN ('marked_production', 'unmarked_production')
                  ORDER BY e.event_number DESC LIMIT 1), false) AS production,
       coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                    'migration_name', h.migration_name,
                    'version', coalesce(h.metadata ->> 'system_version', '0.1.0')))
                    FILTER (WHERE h.system AND h.status <> 'rolled_back'), '[]') AS systems
  FROM (SELECT a.*, coalesce(a.metadata ->> 'system' = 'true', false) AS system
          FROM {schema}.migration_history a) h
"""

#: A row for a scope that was added and that the connection chose: a pooler may have left the setting out.
_SCOPE: LiteralString = """
SELECT s.scope FROM {schema}.migration_scopes s
 WHERE s.scope = {scope} AND pg_catalog.current_setting('migrollback.scope', true) = s.scope"""

#: Each migration and its status, in the order of its first application there; and the system's versions, as above.
_MIGRATIONS: LiteralString = """
SELECT h.migration_name, h.status, coalesce(f.occurred_at, h.applied_at) AS first_applied_at,
       CASE WHEN h.system AND h.status <> 'rolled_back'
            THEN coalesce(h.metadata ->> 'system_version', '0.1.0') END AS version, h.system
  FROM (SELECT a.*, coalesce(a.metadata ->> 'system' = 'true', false) AS system
          FROM {schema}.migration_history a) h
  LEFT JOIN LATERAL (SELECT e.occurred_at FROM {schema}.migration_events e
                      WHERE e.migration_name = h.migration_name AND e.event IN ('applied', 'registered')
                      ORDER BY e.event_number LIMIT 1) f ON true
 ORDER BY 3, 1
"""

Rows = list[dict[str, Any]]


def status_rows(targets: Sequence[FleetTarget], *, schema: str, parallel: int, patience: float) -> Rows:
    """One row for each target: target, status, message, and `COLUMNS` where it answered. Does not write."""

    def read(rows: Rows) -> Mapping[str, Any]:
        (counts,) = rows
        InstalledSystem.from_rows(counts.pop("systems")).refuse_other_version()
        return counts

    return _ask_each(targets, _QUERY, read, schema=schema, parallel=parallel, patience=patience)


def migrations_of(targets: Sequence[FleetTarget], *, schema: str, parallel: int, patience: float) -> Rows:
    """One row for each target: target, status, message, and `migrations` where it answered. Does not write.

    ``migrations``: name -> (status, when it was first applied there), in this order.
    """
    known: dict[str, str] = {}  # of a thousand targets each has the same names

    def read(rows: Rows) -> Mapping[str, Any]:
        system = [row for row in rows if row["system"]]
        InstalledSystem.from_rows([row for row in system if row["version"] is not None]).refuse_other_version()
        return {
            "migrations": {
                known.setdefault(row["migration_name"], row["migration_name"]): (
                    known.setdefault(row["status"], row["status"]),
                    row["first_applied_at"],
                )
                for row in rows
                if not row["system"]
            }
        }

    return _ask_each(targets, _MIGRATIONS, read, schema=schema, parallel=parallel, patience=patience)


def _ask_each(
    targets: Sequence[FleetTarget],
    query: LiteralString,
    read: Callable[[Rows], Mapping[str, Any]],
    *,
    schema: str,
    parallel: int,
    patience: float,
) -> Rows:
    """One row for each target: target, status, message, and what is read of its answer. Does not write."""

    async def ask_all() -> Rows:
        places = asyncio.Semaphore(max(1, parallel))

        async def ask(target: FleetTarget) -> dict[str, Any]:
            async with places:
                head: dict[str, Any] = {"target": target.name, "status": "answered", "message": None}
                try:
                    message = _message(query, schema, target.schema)
                    rows = await asyncio.wait_for(_one(target, message, schema), patience)
                    return {**head, **read(rows)}
                except MigrollbackError as error:
                    return head | {"status": status_of(error), "message": one_line_of(error)}
                except TimeoutError:
                    return head | {"status": "late", "message": f"No answer within {patience:g} s"}

        return list(await asyncio.gather(*(ask(target) for target in targets)))

    return engine.run(ask_all)


@cache
def _message(query: LiteralString, schema: str, scope: str | None) -> bytes:
    """What is sent to a target whose rollback system is in this schema; pure."""
    path = b"BEGIN READ ONLY; SET LOCAL search_path = pg_catalog, pg_temp"
    named = {"schema": sql.Identifier(schema), "scope": sql.Literal(scope)}
    queries = [sql.SQL(text).format(**named).as_bytes(None) for text in ((_SCOPE,) if scope else ()) + (query,)]
    return b"; ".join((path, *queries, b"COMMIT"))


async def _one(target: FleetTarget, message: bytes, schema: str) -> Rows:
    dsn, where = target.where()
    if dsn == "embedded" or dsn.startswith("embedded/"):
        from migrollback_nb.servers import embedded

        dsn = await asyncio.to_thread(embedded.start, dsn.partition("/")[2] or "postgres")
    options = connection_options(dsn, found_in=where)
    try:
        connection = await psycopg.AsyncConnection.connect(**options)
    except psycopg.Error as error:
        raise refused(error, options, found_in=where) from None
    async with connection:
        try:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(message, prepare=False)
            answers = []
            while True:
                if cursor.description is not None:
                    answers.append(await cursor.fetchall())
                if not cursor.nextset():
                    break
        except psycopg.Error as error:
            if error.sqlstate in SQLSTATES:
                database = connection.info.dbname
                raise NotInstalled(
                    f"The rollback system is not installed in schema {schema} of database {database}",
                    hint="Run migrollback install there.",
                ) from error
            raise from_sqlstate(error.sqlstate, error.diag.message_primary or "unknown error") from error
        if target.schema is not None and not answers[0]:
            raise unknown_scope(target.schema, target_of(connection, schema))
        return answers[-1]
