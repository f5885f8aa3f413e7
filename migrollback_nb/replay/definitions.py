"""Fetches previous definitions: replays a folder and keeps the schema around one migration. Writes only there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.database.connection import open_connection
from migrollback_nb.replay.scratch import scratch
from migrollback_nb.undo import SchemaState

if TYPE_CHECKING:
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.files.preludes import Prelude


_MAPPINGS = """
SELECT pg_catalog.format('%I for %s', m.srvname, CASE WHEN m.umuser = 0 THEN 'public'
                                                      ELSE m.umuser::pg_catalog.regrole::pg_catalog.text END),
       coalesce(m.umoptions, '{}')
FROM pg_catalog.pg_user_mappings m
"""


def state(connection: psycopg.Connection, schema: str) -> SchemaState:
    """What the schema is now. Does not write.

    Parameters
    ----------
    connection : psycopg.Connection
        To a database with the rollback system.
    schema : str
        Schema of the rollback system.
    """
    query = sql.SQL(
        "SELECT {}.schema_snapshot(), pg_catalog.current_schemas(false)::pg_catalog.text[],"
        " pg_catalog.quote_ident(current_user::pg_catalog.text)"
    ).format(sql.Identifier(schema))
    row = connection.execute(query).fetchone()
    assert row is not None, "one row"  # noqa: S101  # for mypy
    if (mappings := row[0].get("user mapping")) is not None:  # of their options a snapshot keeps hashes
        for identity, found in connection.execute(_MAPPINGS).fetchall():
            if identity in mappings:
                mappings[identity] = {"options": found}
    return SchemaState(objects=row[0], path=tuple(row[1]), role=row[2], major=connection.info.server_version // 10000)


def run_and_keep_states(
    connection: psycopg.Connection, schema: str, file: MigrationFile, wanted: Collection[int]
) -> tuple[Sequence[SchemaState | None], str | None]:
    """Run an up migration and keep the states around the statements that are wanted. Writes: it stays applied.

    Parameters
    ----------
    connection : psycopg.Connection
        To a scratch database that has all earlier migrations, in autocommit mode.
    schema : str
        Schema of the rollback system there.
    file : MigrationFile
        Its up migration is run.
    wanted : collection of int
        Places in ``file.up.statements``, counted from 0.

    Returns
    -------
    states : sequence of SchemaState or None
        Before each statement, and after the last; None for those that were not wanted, or not reached.
    trouble : str or None
        Why the up migration did not run to its end.
    """
    statements = file.up.statements
    states: list[SchemaState | None] = [None] * (len(statements) + 1)
    wanted_states = {place for index in wanted for place in (index, index + 1)}
    inside = file.transaction and not file.up_refused_in_transaction
    place = 0
    try:
        if inside:
            connection.execute("BEGIN")
        for place, statement in enumerate(statements):
            if place in wanted_states:
                states[place] = state(connection, schema)
            if not (file.up.wrapped and place in (0, len(statements) - 1)):
                connection.execute(statement.text.encode())
        if len(statements) in wanted_states:
            states[-1] = state(connection, schema)
        if inside:
            connection.execute("COMMIT")
    except psycopg.Error as error:
        if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.execute("ROLLBACK")
        line = statements[place].line if statements else 1
        return states, f"line {line}: {error.diag.message_primary or error} ({error.sqlstate})"
    return states, None


def fetch_states(
    files: Sequence[MigrationFile],
    file: MigrationFile,
    wanted: Collection[int],
    *,
    on: str | None = None,
    own_server: bool = False,
    first: Sequence[Prelude] = (),
) -> tuple[Sequence[SchemaState | None] | None, str | None]:
    """Replay what comes before a migration, and then its up migration, on a scratch database. Writes only there.

    Parameters
    ----------
    files : sequence of MigrationFile
        The migrations before it, in order.
    file : MigrationFile
        The migration.
    wanted : collection of int
        Places in ``file.up.statements``, counted from 0.
    on, own_server
        Where the scratch database is created; see `migrollback_nb.replay.scratch.scratch`.
    first : sequence of Prelude
        What runs there before the first migration.

    Returns
    -------
    states : sequence of SchemaState or None, or None
        See `run_and_keep_states`; None when there is nothing to go by.
    trouble : str or None
        Why not all could be fetched, in words.
    """
    try:
        with (
            scratch((*files, file), on=on, own_server=own_server, preludes=first) as place,
            open_connection(place.dsn, found_in=place.server) as connection,
        ):
            for other in files:
                _, trouble = run_and_keep_states(connection, place.schema, other, ())
                if trouble is not None:
                    return None, f"{other.name}, which comes before it, cannot be applied on {place.server}: {trouble}"
                # what one migration sets for its session is not there for the next
                connection.execute("RESET ALL; SET SESSION AUTHORIZATION DEFAULT")
            states, trouble = run_and_keep_states(connection, place.schema, file, wanted)
            return states, None if trouble is None else f"it cannot be applied on {place.server}: {trouble}"
    except MigrollbackError as error:
        return None, str(error)
