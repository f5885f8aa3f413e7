"""One connection under safe settings: transactions, retries, cancelling, notices, SQLSTATEs. Knows no migrations.

Rows come back as dicts keyed by the columns of the SQL functions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from migrollback_nb.core import errors
from migrollback_nb.core.results import Notice, RollbackProgress, Target
from migrollback_nb.database import presence, settings
from migrollback_nb.database.access import Rights
from migrollback_nb.database.blockers import BlockerWatch
from migrollback_nb.database.connection import open_connection
from migrollback_nb.database.meanwhile import Work, working
from migrollback_nb.database.notices import NoticeLog
from migrollback_nb.database.origin import client_name, target_of
from migrollback_nb.database.progress import ProgressReporter, RollbackCallback
from migrollback_nb.database.settings import Timeouts
from migrollback_nb.database.statements import PINNED_PATH, Statements

Row = dict[str, Any]

#: Seconds for which a new connection is tried, where only the database knows whether something was committed.
PATIENCE = 20.0

#: Whatever the session's default is: what waited for the lock must see what was committed meanwhile.
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"


class Undo(Exception):
    """Ends a transaction that is to leave nothing."""


class Session:
    """One connection to one database with the rollback system in one schema.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode.
    schema : str
        Schema of the rollback system.
    owned : bool
        True: closing this closes the connection. False: it is borrowed.
    reopen : callable, optional
        Opens another connection to the same database.
    timeouts : Timeouts, optional
        Timeouts and retries.
    interface : str
        What the audit log calls the program at this end.
    scope : str, optional
        The scope that the connection chose.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        *,
        schema: str = "public",
        owned: bool = True,
        reopen: Callable[[], psycopg.Connection] | None = None,
        timeouts: Timeouts | None = None,
        interface: str = "python",
        scope: str | None = None,
    ) -> None:
        if not connection.autocommit:
            raise errors.UsageError(
                "The connection is not in autocommit mode",
                hint="Open it with autocommit=True: each command here is a transaction of its own.",
            )
        self.connection = connection
        self.schema = schema
        self.scope = scope
        self.timeouts = timeouts or Timeouts()
        self.interface = interface
        self.reopen = reopen
        self.statements = Statements(schema)
        self.blocker_watch = BlockerWatch(reopen)
        #: Runs what may not run in a transaction, while this runs: `cancel` cancels there too.
        self.executor: psycopg.Connection | None = None
        self._owned = owned
        # One connection, perhaps two threads (a panel's and a cell's): neither runs amid the other's statements.
        self._busy = threading.RLock()
        self._cancelled = threading.Event()
        self._in_operation = False
        self._reporter = ProgressReporter(self.cancel)
        self.notice_log = NoticeLog(self._reporter)
        self._target = target_of(connection, schema)
        self._checks_client: bool | None = None
        self._version_is_right = False
        self.rights = Rights(self)  #: what the user may do with the system
        self._settings_of_session, self.more_settings = dict[str, str](), dict[str, str]()
        connection.add_notice_handler(self.notice_log.take)

    @classmethod
    def connect(
        cls,
        dsn: str,
        *,
        found_in: str = "the DSN that was given",
        schema: str = "public",
        timeouts: Timeouts | None = None,
        interface: str = "python",
        resolve: Callable[[], str] | None = None,
        scope: str | None = None,
    ) -> Self:
        """Open a connection of our own; writes nothing.

        Parameters
        ----------
        resolve : callable, optional
            Gives the DSN instead, each time a connection is opened: it may start a server first.
        scope : str, optional
            The scope that the DSN chooses.

        Raises
        ------
        UsageError, ConnectionFailed
            As `migrollback_nb.database.connection.open_connection`.
        """

        def reopen() -> psycopg.Connection:
            return open_connection(dsn if resolve is None else resolve(), found_in=found_in)

        return cls(reopen(), schema=schema, reopen=reopen, timeouts=timeouts, interface=interface, scope=scope)

    def close(self) -> None:
        """Close the connection when it is our own; writes nothing."""
        if self._owned:
            self.connection.close()

    @property
    def target(self) -> Target:
        """Which database this is; also when the connection was lost. `set_production` says whether it is production."""
        return self._target

    def set_production(self, production: bool) -> None:
        """Keep what the database says of itself: whether it is marked as production. Does not write."""
        self._target = replace(self._target, production=production)

    @cached_property
    def client(self) -> str:
        """Who is at this end, as the audit log says it: interface, user of the machine, name of the machine."""
        return client_name(self.interface)

    # -- notices and errors ----------------------------------------------------------------------------------------

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Notices of the command that runs, or of the last one; callable from another thread. Does not write."""
        return tuple(self.notice_log.notices)

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn errors of psycopg into ours, and keep other threads away from the connection. Does not write."""
        try:
            with self._busy:
                yield
        except KeyboardInterrupt:
            self._leave_answer()
            raise
        except psycopg.Error as error:
            # with SQLSTATE 57P01, or without any; it may be another connection than ours
            if self.connection.closed or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None):
                lost = errors.ConnectionFailed("The connection to the database was lost", hint="Connect again.")
                raise lost from error
            if error.sqlstate in presence.SQLSTATES:
                self._version_is_right = False  # another session may have removed it
                explained = presence.explain_missing(self.connection, self.reopen, self._target)
                if explained is not None:
                    raise explained from error
            raise self.rights.translate(error) from error

    # -- the version of the system ---------------------------------------------------------------------------------

    def ask_version(self) -> bool:
        """Make sure that the system here is of this package's version; returns whether there is one. Does not write.

        Raises
        ------
        OlderSystem, NewerSystem
        """
        if self._version_is_right:
            return True
        with self.any_version():
            try:
                rows = self.query(presence.versions(self.scope), scope=self.scope)
            except errors.NotInstalled:
                return False
            except errors.DatabaseError as error:
                if error.sqlstate == "42703":  # a table of that name without our columns
                    return False
                if not self.rights.lack_but_for_gate(error):
                    raise
                rows = self.call("operator_gate")
        self._check_version(rows)
        return bool(rows)

    @contextmanager
    def any_version(self) -> Iterator[None]:
        """For what an older system can do as well."""
        before, self._version_is_right = self._version_is_right, True
        try:
            yield
        finally:
            self._version_is_right = before

    def _refuse_other_version(self) -> None:
        """Make sure, once for a session, that the system here is of this package's version. Does not write."""
        if not self._version_is_right and self.connection.info.transaction_status == TransactionStatus.IDLE:
            try:
                self.ask_version()
            except errors.DatabaseError as error:
                if error.sqlstate != "42501":  # who may not read the history may yet be granted the one function
                    raise

    def _check_version(self, rows: Sequence[Row]) -> None:
        if not rows and self.scope is not None:
            raise presence.unknown_scope(self.scope, self._target)
        if rows:
            presence.InstalledSystem.from_rows(list(rows)).refuse_other_version()
            self._version_is_right = True

    # -- calls and queries -----------------------------------------------------------------------------------------

    def call(self, function: str, /, **arguments: Any) -> list[Row]:
        """Rows of one of our functions. Writes what the function writes."""
        self._refuse_other_version()
        text = self.statements.call(function, tuple(arguments))
        with self.translated_errors(), self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(text, arguments).fetchall()

    def call_value(self, function: str, /, **arguments: Any) -> Any:
        """The one value of one of our functions. Writes what the function writes."""
        return next(iter(self.call(function, **arguments)[0].values()))

    def call_text(self, function: str, /, **arguments: Any) -> bytes:
        """A call for a message with others; pure. pg_stat_activity and the server's log show its arguments."""
        with self.translated_errors():
            return self.statements.call_of_values(self.connection, function, arguments)

    def query(self, text: LiteralString, **values: Any) -> list[Row]:
        """Rows of one of our own queries, with ``{schema}`` for our schema, under `PINNED_PATH`. Does not write."""
        return self.read(queries=[self.query_text(text, **values)], of_system="{schema}." in text)[0]

    def query_text(self, text: LiteralString, **values: Any) -> bytes:
        """A query for a message with others; pure."""
        with self.translated_errors():
            return self.statements.query(self.connection, text, values)

    def query_on_own_path(self, text: LiteralString, **values: Any) -> list[Row]:
        """Rows of a query about the session's own search_path; it qualifies all that it calls. Does not write."""
        query = sql.SQL(text).format(schema=self.statements.schema)
        with self.translated_errors(), self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values).fetchall()

    def read(
        self, *, calls: Sequence[bytes] = (), queries: Sequence[bytes] = (), of_system: bool = True
    ) -> list[list[Row]]:
        """Rows of each of several calls, and then of several queries, which come in one message. Does not write.

        `of_system`: they are about the rollback system, whose version then has to be this package's.
        """
        with self.translated_errors():
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                return self._send(*calls, *self.inside_transaction(*queries))
            if of_system and not self._version_is_right:
                version = self.query_text(presence.versions(self.scope), scope=self.scope)
                try:
                    found = self._send(*calls, PINNED_PATH, version, *queries)
                except psycopg.Error:
                    self._refuse_other_version()  # which explains it, where it is the reason
                else:
                    self._check_version(found.pop(len(calls)))
                    return found
            return self._send(*calls, PINNED_PATH, *queries)  # which ends with the message

    @staticmethod
    def inside_transaction(*queries: bytes) -> tuple[bytes, ...]:
        """Queries under `PINNED_PATH` for a message inside a transaction: its own path is back after them; pure."""
        if not queries:
            return ()
        begin = (b"SAVEPOINT migrollback_query", PINNED_PATH)
        return (*begin, *queries, b"ROLLBACK TO SAVEPOINT migrollback_query", b"RELEASE SAVEPOINT migrollback_query")

    def _send(self, *statements: bytes) -> list[list[Row]]:
        """Send statements as one message; the rows of each that has some."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            # without parameters it goes by the simple protocol, which takes several; they cannot be prepared
            cursor.execute(b"; ".join(statements), prepare=False)
            found = []
            while True:
                if cursor.description is not None:
                    found.append(cursor.fetchall())
                if not cursor.nextset():
                    return found

    # -- transactions ----------------------------------------------------------------------------------------------

    def transact(
        self,
        *statements: bytes,
        lock_timeout: str | None = None,
        statement_timeout: str | None = None,
        undo: bool = False,
    ) -> list[list[Row]]:
        """Run statements in a transaction of their own, in one message with its settings, BEGIN and COMMIT. Writes.

        Returns the rows of each that has some. `undo`: it ends with ROLLBACK.
        """
        self._refuse_other_version()
        with self.translated_errors():
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                found: list[list[Row]] = []
                with suppress(Undo), self.transaction(lock_timeout=lock_timeout, statement_timeout=statement_timeout):
                    found = self._send(*statements)
                    if undo:
                        raise Undo
                return found
            wanted = self._safe_settings(lock_timeout, statement_timeout)
            return self._begin(wanted, *statements, b"ROLLBACK" if undo else b"COMMIT")

    def call_in_transaction(self, function: str, /, **arguments: Any) -> list[Row]:
        """Rows of one of our functions, called in a transaction of its own, in one message. Writes what it writes."""
        return self.transact(self.call_text(function, **arguments))[0]

    @contextmanager
    def transaction(
        self, *statements: bytes, lock_timeout: str | None = None, statement_timeout: str | None = None
    ) -> Iterator[list[list[Row]]]:
        """A transaction under safe settings; gives the rows of these statements, which go with its BEGIN."""
        with (
            self.translated_errors(),
            self.transaction_with(self._safe_settings(lock_timeout, statement_timeout), *statements) as found,
        ):
            yield found

    @contextmanager
    def undone_transaction(self, *, lock_timeout: str | None = None, statement_timeout: str) -> Iterator[None]:
        """A transaction that is rolled back whatever it did."""
        with suppress(Undo), self.transaction(lock_timeout=lock_timeout, statement_timeout=statement_timeout):
            yield
            raise Undo

    @contextmanager
    def transaction_with(self, wanted: dict[str, str], *statements: bytes) -> Iterator[list[list[Row]]]:
        """A transaction with these settings; a savepoint inside a transaction of the lender of the connection."""
        self._refuse_other_version()
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            with self.connection.transaction():
                self._set_inside(wanted)
                yield self._send(*statements) if statements else []
            return
        try:
            yield self._begin(wanted, *statements)
        except BaseException:
            self._roll_back()
            raise
        self.connection.execute(b"COMMIT")

    def _safe_settings(self, lock_timeout: str | None, statement_timeout: str | None) -> dict[str, str]:
        """What every command runs under."""
        wanted = settings.of_command(self.timeouts, lock_timeout=lock_timeout, statement_timeout=statement_timeout)
        wanted |= self.more_settings | ({settings.PROGRESS: self._reporter.key} if self._reporter.listening else {})
        return wanted if self._checks_client is False else wanted | settings.CHECK_CLIENT

    def _begin(self, wanted: dict[str, str], *statements: bytes) -> list[list[Row]]:
        """Send BEGIN, settings and statements in one message; where one fails, nothing is left of them."""
        try:
            found = self._send(_BEGIN, self.statements.settings(self.connection, wanted), *statements)
        except psycopg.errors.InvalidParameterValue:
            self._roll_back()
            if not self._cannot_check_client(wanted):
                raise
            # the settings come first, so that nothing else has run
            return self._begin(settings.without_check(wanted), *statements)
        except BaseException:
            self._roll_back()
            raise
        if settings.checks_client(wanted):
            self._checks_client = True
        return found

    def _cannot_check_client(self, wanted: dict[str, str]) -> bool:
        """Whether the server's platform refuses the check of the client, which was among these settings."""
        if self._checks_client is None and settings.checks_client(wanted):
            check = self.statements.settings(self.connection, settings.CHECK_CLIENT)
            try:
                self._send(b"BEGIN", check, b"ROLLBACK")
            except psycopg.errors.InvalidParameterValue:
                self._roll_back()
                self._checks_client = False
                return True
        return False

    def _set_inside(self, wanted: dict[str, str]) -> None:
        """Set what a savepoint of ours is to have."""
        if self._checks_client is None and settings.checks_client(wanted):
            wanted = settings.without_check(wanted)
            try:
                with self.connection.transaction():
                    self.set_local(self.connection, settings.CHECK_CLIENT)
                self._checks_client = True
            except psycopg.errors.InvalidParameterValue:
                self._checks_client = False
        self.set_local(self.connection, wanted)

    def _roll_back(self) -> None:
        if self.connection.closed or self.connection.info.transaction_status == TransactionStatus.IDLE:
            return
        try:
            self.connection.execute(b"ROLLBACK")
        except psycopg.Error:  # what ended the transaction counts; the server undoes it with the connection
            self.connection.close()

    def _leave_answer(self) -> None:
        """Connect anew where Ctrl-C came amid an answer: whatever is asked next would be refused. Does not write."""
        amid = self.connection.closed or self.connection.info.transaction_status == TransactionStatus.ACTIVE
        if amid and self.reopen is not None:
            with suppress(psycopg.Error, errors.MigrollbackError):
                if not self.connection.closed:
                    self.connection.cancel_safe(timeout=1)
                self.reconnect()

    def checks_client(self) -> bool:
        """Whether the server's platform can find out that a client is gone. Does not write."""
        if self._checks_client is None:
            self.transact()
        return bool(self._checks_client)

    def set_local(self, connection: psycopg.Connection, wanted: dict[str, str]) -> None:
        """Set these in the transaction of a connection. Does not write."""
        connection.execute(self.statements.settings(connection, wanted))

    def session_settings(self) -> dict[str, str]:
        """What the session has where a command has a SET LOCAL. Does not write.

        SQL that says SET would otherwise make our values the session's.
        """
        if self._settings_of_session and self._owned:
            return self._settings_of_session  # no one else sets any there
        return self.keep_session_settings(self.query(settings.OF_SESSION))

    def keep_session_settings(self, rows: Sequence[Row]) -> dict[str, str]:
        """Keep the rows of `settings.OF_SESSION`. Does not write."""
        self._settings_of_session = {row["name"]: row["value"] for row in rows}
        return self._settings_of_session

    def reconnect_patiently(self) -> None:
        """As `reconnect`, again and again for `PATIENCE` seconds: a server may be restarting. Does not write."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.reconnect()
            except errors.ConnectionFailed:
                if self.reopen is None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def reconnect(self) -> None:
        """Open a new connection in place of one that was lost; writes nothing."""
        if self.reopen is None:
            raise errors.ConnectionFailed("The connection was lost, and it was borrowed", hint="Connect again.")
        with suppress(psycopg.Error):
            self.connection.close()
        self.connection = self.reopen()
        self._version_is_right = False
        self.rights.forget()
        self.connection.add_notice_handler(self.notice_log.take)
        self._target = replace(target_of(self.connection, self.schema), production=self._target.production)

    def idle(self) -> bool:
        """Whether no thread is using the connection at this moment; does not wait for one that does. Does not write."""
        free = self._busy.acquire(blocking=False)
        if free:
            self._busy.release()
        return free and self.connection.info.transaction_status == TransactionStatus.IDLE

    def meanwhile(self, work: Iterator[Work]) -> AbstractContextManager[None]:
        """Do this work of ours while the block waits for the server. Does not write."""
        return working(self.connection, work)

    # -- operations ------------------------------------------------------------------------------------------------

    @contextmanager
    def operation(self, progress: RollbackCallback | None = None) -> Iterator[None]:
        """Several commands as one: when one is cancelled, none of the following begins. Does not write."""
        self._cancelled.clear()
        self._in_operation = True
        try:
            with self._reporter.reporting(progress):
                yield
        finally:
            self._in_operation = False

    def also_reporting(self, hear: Callable[[], None]) -> AbstractContextManager[None]:
        """Call this at each report of progress, while the block lasts. Does not write."""
        return self._reporter.also(hear)

    def forget_cancellation(self) -> None:
        """Begin a command: an earlier cancellation does not count, except inside an `operation`. Does not write."""
        if not self._in_operation:
            self._cancelled.clear()

    def wait_unless_cancelled(self, seconds: float) -> bool:
        """Wait, and return whether it was cancelled before that time was over. Does not write."""
        return self._cancelled.wait(seconds)

    @property
    def cancelled(self) -> bool:
        """Whether what runs was cancelled from here. Does not write."""
        return self._cancelled.is_set()

    def report_progress(self, progress: RollbackProgress) -> None:
        """Call the callback of the `operation` with how far it is. Does not write."""
        self._reporter.report(progress)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of the progress report, when the operation is over. Does not write."""
        return self._reporter.remarks

    def cancel(self) -> None:
        """Cancel on the server what is running here; callable from another thread. A transaction is undone there."""
        self._cancelled.set()
        for connection in (self.executor, self.connection):
            if connection is not None and not connection.closed:
                connection.cancel_safe(timeout=5)
