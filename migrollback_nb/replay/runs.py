"""Runs up migrations and rollbacks on a scratch database as on a real one; says why one failed. Writes only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from migrollback_nb.core.errors import ConnectionFailed, MigrollbackError
from migrollback_nb.parsing.statements import SqlText
from migrollback_nb.replay import patience

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.database.execution import ExecutionResult
    from migrollback_nb.files.migration import MigrationFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an up migration or a rollback did not run."""

    message: str
    sqlstate: str | None = None
    statement: str | None = None  #: as the database keeps it: cut after 2,000 characters
    number: int | None = None  #: of the statement, counted from 1
    lost: bool = False  #: the connection was lost, perhaps by the SQL itself

    @property
    def of_the_server(self) -> bool:
        """Whether the server had no room or was not there, whatever the SQL."""
        return patience.is_of_the_server(self.sqlstate)

    def __str__(self) -> str:
        return f"{self.message} ({self.sqlstate})" if self.sqlstate else self.message


def run_up(database: Database, file: MigrationFile) -> Failure | None:
    """Apply the up migration of a file; why it did not run, or None. Writes."""
    if file.has_own_transactions:
        return _run_as_its_tool(database, file)
    if (refused := file.up_refusal) is not None:
        return Failure(message=refused[0], sqlstate=refused[1])
    run = database.commands.apply if file.transaction else database.nontransactional.apply
    return _run(database, lambda: run(file.record(), file.up_statements()))


def _run_as_its_tool(database: Database, file: MigrationFile) -> Failure | None:
    """Run an up migration that begins and ends transactions itself, as it stands, and register it. Writes.

    `apply` refuses it, but its own tool applies it, and commits what it leaves open.
    """
    session = database.session
    assert session.reopen is not None  # noqa: S101  # for mypy: a scratch database is connected to by a DSN
    with session.reopen() as connection:
        limit = session.timeouts.statement_timeout
        connection.execute("SELECT pg_catalog.set_config('statement_timeout', %s, false)", [limit])
        for number, statement in enumerate(file.up_statements(), 1):
            try:
                connection.execute(statement.encode(), prepare=False)
            except psycopg.Error as error:
                return Failure(
                    message=error.diag.message_primary or str(error),
                    sqlstate=error.sqlstate,
                    statement=statement[:2000],
                    number=number,
                    lost=connection.closed,
                )
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.execute("COMMIT")
    try:
        database.commands.register_many([file.record()])
    except MigrollbackError as error:
        return Failure(message=error.message, sqlstate=getattr(error, "sqlstate", None))
    return None


def run_rollback(database: Database, file: MigrationFile) -> Failure | None:
    """Roll a migration back through the real gate; why it did not run, or None. Writes."""
    block = file.rollback
    in_transaction = block is None or block.transaction
    failure = _run(
        database,
        lambda: (
            database.commands.rollback([file.name]) if in_transaction else database.nontransactional.rollback(file.name)
        ),
    )
    refused = failure is not None and failure.sqlstate is None
    if failure is not None and refused and block is not None and SqlText(block.sql).problem is not None:
        return replace(failure, sqlstate="42601")  # the gate has refused it, so the server was not asked
    return failure


def _run(database: Database, run: Callable[[], ExecutionResult]) -> Failure | None:
    try:
        execution = run()
        # another session would roll back: no temporary table of the up migration is there then
        database.connection.execute("DISCARD TEMP")
    except MigrollbackError as error:
        if patience.no_room(error):
            return Failure(message=error.message, sqlstate="53300")
        lost = isinstance(error, ConnectionFailed)
        return Failure(message=error.message, sqlstate=getattr(error, "sqlstate", None), lost=lost)
    row = execution.rows[0]
    if row["success"]:
        return None
    details = next(iter(execution.details.values()), {})
    return Failure(
        message=details.get("message") or row["message"],
        sqlstate=details.get("sqlstate"),
        statement=details.get("statement"),
        number=details.get("statement_number"),
    )
