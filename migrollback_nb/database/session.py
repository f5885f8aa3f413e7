"""One connection under safe settings: transactions, retries, cancelling, notices, SQLSTATEs. Knows no migrations.

Rows come back as dicts keyed by the columns of the SQL functions.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from migrollback_nb.core import errors
from migrollback_nb.core.results import Notice, RollbackProgress, Target
from migrollback_nb.database import presence
from migrollback_nb.database.blockers import BlockerWatch
from migrollback_nb.database.connection import open_connection
from migrollback_nb.database.progress import Tell, Teller
from migrollback_nb.database.signatures import signatures

Row = dict[str, Any]
T = TypeVar("T")

#: Functions of the server that say "... does not exist, skipping"; the texts are translated, these names are not.
_SKIPPING = frozenset(
    {
        "does_not_exist_skipping", "DropErrorMsgNonExistent", "ProcessUtilitySlow", "ATExecDropColumn", "ATExecDropConstraint", "ATExecDropIdentity", "ATExecDropExpression",
        "RenameRelation", "RenameConstraint", "renameatt", "AlterTableNamespace", "AlterSequence", "AlterStatistics", "AlterDomainDropConstraint", "DropConfigurationMapping",
        "DropRole", "RemoveUserMapping", "DropSubscription", "dropdb", "DropTableSpace",
    }
)  # fmt: skip
#: What is tried again: lock not available, deadlock, serialization failure. The same SQL may succeed the next time.
RETRIED = frozenset({"55P03", "40P01", "40001"})
#: Seconds for which a new connection is tried, where only the database knows whether something was committed.
PATIENCE = 20.0


class Undo(Exception):
    """Ends a transaction that is to leave nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long anything may take. Texts as PostgreSQL reads them: 500ms, 2s, 10min; 0 is no limit."""

    lock_timeout: str = "500ms"  #: longest wait for one lock; others queue behind us meanwhile
    statement_timeout: str = "10min"  #: longest run of a rollback or of an up part
    idle_timeout: str = "60s"  #: longest silence of ours inside a transaction
    retries: int = 8  #: how often a try that met a lock is made again


@dataclass(slots=True)
class ExecutionResult:
    """What came back from running migration SQL."""

    rows: list[Row]
    details: dict[str, Row]  #: name -> details of its last event of this attempt
    attempt_id: str
    notices: list[Notice] = field(default_factory=list)
    blocked_by: str | None = None  #: who held the lock that was not got, and what to do


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
    interface : str
        What the audit trail calls the program at this end.
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
    ) -> None:
        if not connection.autocommit:
            raise errors.UsageError(
                "The connection is not in autocommit mode",
                hint="Open it with autocommit=True: each deed here is a transaction of its own.",
            )
        self.connection = connection
        self.schema = schema
        self.timeouts = timeouts or Timeouts()
        self.interface = interface
        self._owned = owned
        self._reopen = reopen
        self._notices: list[Notice] = []
        #: Ids of what was tried here since somebody emptied it: how they ended, the audit trail knows.
        self.attempts: list[str] = []
        # One connection, perhaps two threads (a panel's and a cell's): nobody may run between the statements of a deed.
        self._busy = threading.RLock()
        self._worker: psycopg.Connection | None = None
        self._watch = BlockerWatch(reopen)
        self._cancelled = threading.Event()
        self._undertaking = False
        self._teller = Teller(self.cancel)
        self._target = self._read_target()
        self._can_look: bool | None = None
        self._version_is_right = False
        self._calls: dict[tuple[str, tuple[str, ...]], bytes] = {}
        self._settings: dict[tuple[tuple[str, str], ...], bytes] = {}
        self._settings_of_session: dict[str, str] = {}
        connection.add_notice_handler(self._take_notice)

    @classmethod
    def connect(
        cls,
        dsn: str,
        *,
        found_in: str = "the DSN that was given",
        schema: str = "public",
        timeouts: Timeouts | None = None,
        interface: str = "python",
    ) -> Self:
        """Open a connection of our own; writes nothing.

        Raises
        ------
        UsageError, ConnectionFailed
            As `migrollback_nb.database.connection.open_connection`.
        """

        def reopen() -> psycopg.Connection:
            return open_connection(dsn, found_in=found_in)

        return cls(reopen(), schema=schema, owned=True, reopen=reopen, timeouts=timeouts, interface=interface)

    def close(self) -> None:
        """Close the connection when it is our own; writes nothing."""
        if self._owned:
            self.connection.close()

    @property
    def target(self) -> Target:
        """Which database this is; also when the connection was lost meanwhile. Whether it is production, `look_up_production` finds out."""
        return self._target

    def _read_target(self) -> Target:
        info = self.connection.info
        version = info.server_version
        return Target(
            host=info.host or "local",
            port=info.port,
            database=info.dbname,
            user=info.user,
            server_version=f"{version // 10000}.{version % 10000}",
            schema=self.schema,
        )

    @cached_property
    def client(self) -> str:
        """Who is at this end, as the audit trail says it: interface, user of the machine, name of the machine."""
        import getpass
        import socket

        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's uid without a name
            user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
        return f"migrollback_nb/{self.interface} {user}@{socket.gethostname()}"

    # -- plumbing --------------------------------------------------------------------------------------------------

    def _take_notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if self._teller.take(diagnostic):
            return
        self._notices.append(
            Notice(
                severity=diagnostic.severity_nonlocalized or diagnostic.severity or "NOTICE",
                message=diagnostic.message_primary or "",
                skipped=diagnostic.source_function in _SKIPPING,
            )
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with self._busy:
                yield
        except psycopg.Error as error:
            # with SQLSTATE 57P01, or without any; it may be another connection than ours
            if self.connection.closed or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None):
                raise errors.ConnectionFailed(
                    "The connection to the database was lost", hint="Connect again."
                ) from error
            if error.sqlstate in presence.SQLSTATES and (explained := self._explain_missing()) is not None:
                raise explained from error
            raise errors.from_sqlstate(
                error.sqlstate,
                error.diag.message_primary or str(error),
                detail=error.diag.message_detail,
                hint=error.diag.message_hint,
            ) from error

    def _explain_missing(self) -> errors.MigrollbackError | None:
        """Why something of ours was not found: it is not installed here, or not whole. None: it was nothing of ours."""
        with suppress(psycopg.Error, errors.MigrollbackError):
            if self.connection.info.transaction_status == TransactionStatus.IDLE:
                return presence.look(self.connection).explain(self._target)
            if self._reopen is not None:  # the transaction that met the error answers no more
                with closing(self._reopen()) as other:
                    return presence.look(other).explain(self._target)
        return presence.Presence({}).not_installed(self._target)

    def _refuse_other_version(self) -> None:
        """Make sure, once for a session, that the system here is of this package's version. Does not write."""
        if not self._version_is_right and self.connection.info.transaction_status == TransactionStatus.IDLE:
            try:
                self._ask_version()
            except errors.DatabaseError as error:
                if error.sqlstate != "42501":  # who may not read the history may yet be granted the one function
                    raise

    def _ask_version(self) -> bool:
        """Make sure that the system here is of this package's version; returns whether there is one. Does not write."""
        try:
            with self._any_version():
                rows = self._query(presence.VERSIONS)
        except errors.NotInstalled:
            return False
        except errors.DatabaseError as error:
            if error.sqlstate != "42703":  # a table of that name without our columns
                raise
            return False
        if rows:
            presence.InstalledSystem.from_rows(rows).refuse_other_version()
            self._version_is_right = True
        return bool(rows)

    @contextmanager
    def _any_version(self) -> Iterator[None]:
        """For what an older system can do as well."""
        before, self._version_is_right = self._version_is_right, True
        try:
            yield
        finally:
            self._version_is_right = before

    def _call(self, function: str, names: tuple[str, ...]) -> bytes:
        """The text of a call with these arguments given; kept, because composing it takes longer than a small call does."""
        if (function, names) not in self._calls:
            composed = sql.SQL("SELECT * FROM {}").format(
                self._called(function, {name: sql.Placeholder(name) for name in names})
            )
            self._calls[function, names] = composed.as_bytes(self.connection)
        return self._calls[function, names]

    def _called(self, function: str, given: Mapping[str, sql.Composable]) -> sql.Composable:
        """A call of one of our functions: all its arguments, in their order, each of its exact type, so that nobody else's function can be meant."""
        known = signatures()[function]
        if unknown := set(given) - {argument.name for argument in known}:
            raise TypeError(f"{function}() has no argument {', '.join(sorted(unknown))}")
        written = []
        for argument in known:
            value = given.get(argument.name)
            if value is None:
                if argument.default is None:
                    raise TypeError(f"{function}() needs {argument.name}")
                value = sql.SQL(argument.default).format(schema=self._schema)
            written.append(sql.SQL("{}::{}").format(value, sql.SQL(argument.type)))
        return sql.SQL("{}.{}({})").format(self._schema, sql.Identifier(function), sql.SQL(", ").join(written))

    def _rows(self, function: str, /, **parameters: Any) -> list[Row]:
        self._refuse_other_version()
        with self._translated(), self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(self._call(function, tuple(parameters)), parameters).fetchall()

    def _value(self, function: str, /, **parameters: Any) -> Any:
        return next(iter(self._rows(function, **parameters)[0].values()))

    @cached_property
    def _schema(self) -> sql.Composable:
        """Our schema, quoted; psycopg takes a % in a query with parameters for a placeholder, also in an identifier."""
        return sql.SQL(sql.Identifier(self.schema).as_string(None).replace("%", "%%"))

    def _query(self, text: LiteralString, **parameters: Any) -> list[Row]:
        """Rows of one of our own queries, with ``{schema}`` for our schema, under a search_path on which nobody else's functions and operators are.

        An operator that somebody put into public would otherwise be taken where its types fit better, and run as the
        caller: ``jsonb ->> 'x'`` is enough.
        """
        if "{schema}." in text:
            self._refuse_other_version()
        query = sql.SQL(text).format(schema=self._schema)
        # All in one message, by the simple protocol: no round trip more. What SET LOCAL sets ends with it, in a
        # transaction by the savepoint.
        if self.connection.info.transaction_status == TransactionStatus.IDLE:
            pinned = sql.SQL("SET LOCAL search_path = pg_catalog, pg_temp; {}").format(query)
        else:
            pinned = sql.SQL(
                "SAVEPOINT migrollback_query; SET LOCAL search_path = pg_catalog, pg_temp; {}; ROLLBACK TO SAVEPOINT"
                " migrollback_query; "
            ).format(query)
            pinned += sql.SQL("RELEASE SAVEPOINT migrollback_query")
        with self._translated(), psycopg.ClientCursor(self.connection, row_factory=dict_row) as cursor:
            cursor.execute(pinned, parameters)
            while cursor.description is None:
                cursor.nextset()
            return cursor.fetchall()

    def _query_on_path(self, text: LiteralString, **parameters: Any) -> list[Row]:
        """The same under the session's own search_path, for what asks for it; each operator and function in it is qualified."""
        with self._translated(), self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql.SQL(text).format(schema=self._schema), parameters).fetchall()

    @contextmanager
    def _deed(self, *, lock_timeout: str | None = None, statement_timeout: str | None = None) -> Iterator[None]:
        """A transaction under safe settings. SET LOCAL only: through a pooler a plain SET would reach other clients."""
        wanted = {
            "lock_timeout": lock_timeout or self.timeouts.lock_timeout,
            "statement_timeout": statement_timeout or self.timeouts.statement_timeout,
            "idle_in_transaction_session_timeout": self.timeouts.idle_timeout,
            # acknowledged must mean durable: with `off`, five of five commits were lost in a crash
            "synchronous_commit": "on",
            # "... does not exist, skipping" is a notice, and must be heard
            "client_min_messages": "notice",
        }
        if self._teller.listening:
            wanted["migrollback.progress"] = self._teller.asked
        # a client that is killed must not leave its rollback running; not every platform can look
        look = {"client_connection_check_interval": "200ms"}
        with self._transaction(wanted | look if self._can_look else wanted):
            if self._can_look is None:
                try:
                    with self.connection.transaction():
                        self._set_local(self.connection, look)
                    self._can_look = True
                except psycopg.errors.InvalidParameterValue:
                    self._can_look = False
            yield

    @contextmanager
    def _undone_deed(self, lock_timeout: str | None, statement_timeout: str) -> Iterator[None]:
        """A deed whose transaction is rolled back whatever it did."""
        with (
            suppress(Undo),
            self._translated(),
            self._deed(lock_timeout=lock_timeout, statement_timeout=statement_timeout),
        ):
            yield
            raise Undo

    def _rows_in_deed(self, function: str, /, **parameters: Any) -> list[Row]:
        with self._translated(), self._deed():
            return self._rows(function, **parameters)

    @contextmanager
    def _transaction(self, settings: dict[str, str]) -> Iterator[None]:
        """A transaction whose settings go with its BEGIN, in one round trip; a savepoint inside the transaction of who lent us the connection."""
        self._refuse_other_version()
        if self.connection.info.transaction_status != TransactionStatus.IDLE:
            with self.connection.transaction():
                self._set_local(self.connection, settings)
                yield
            return
        try:
            self.connection.execute(b"BEGIN; " + self._settings_call(settings))
            yield
        except BaseException:
            if not self.connection.closed:
                self.connection.execute(b"ROLLBACK")
            raise
        self.connection.execute(b"COMMIT")

    def _session_settings(self) -> dict[str, str]:
        """What the session has where a deed has a SET LOCAL: SQL that says SET would otherwise make our values the session's."""
        if self._owned and self._settings_of_session:
            return self._settings_of_session  # nobody else sets any there
        names = [
            "lock_timeout",
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "synchronous_commit",
            "client_min_messages",
            "client_connection_check_interval",
        ]
        rows = self._query(
            "SELECT s.name, pg_catalog.current_setting(s.name) AS value FROM pg_catalog.unnest(%(names)s::text[]) AS s"
            " (name)",
            names=names,
        )
        self._settings_of_session = {row["name"]: row["value"] for row in rows}
        return self._settings_of_session

    def _settings_call(self, settings: dict[str, str]) -> bytes:
        key = tuple(settings.items())
        if key not in self._settings:
            # SET LOCAL and not set_config(): nothing to plan
            calls = sql.SQL("; ").join(
                sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), value) for name, value in key
            )
            self._settings[key] = calls.as_bytes(self.connection)
        return self._settings[key]

    def _set_local(self, connection: psycopg.Connection, settings: dict[str, str]) -> None:
        connection.execute(self._settings_call(settings))

    def _retrying(self, attempt: Callable[[str], T], *, met_lock: Callable[[T], bool] = lambda _: False) -> T:
        """Make an attempt, and make it again while it meets a lock. `attempt` takes the lock_timeout to use."""
        import random

        lock_timeout = self.timeouts.lock_timeout
        self._begin()
        met: dict[int, Row] = {}
        try:
            for tries_left in range(self.timeouts.retries, -1, -1):
                if self.cancelled:
                    raise errors.DatabaseError(
                        "Cancelled before it began", sqlstate="57014", hint="Nothing was changed."
                    )
                with self._watch.watch(self.connection.info.backend_pid) as blockers:
                    try:
                        outcome = attempt(lock_timeout)
                    except errors.LockBusy as error:
                        met |= blockers
                        if not tries_left:
                            met = met or self._gate_holders()
                            raise errors.LockBusy(
                                error.primary, sqlstate=error.sqlstate, detail=error.detail, hint=who_blocks(met)
                            ) from error
                    else:
                        met |= blockers
                        if not met_lock(outcome) or not tries_left:
                            if isinstance(outcome, ExecutionResult) and met_lock(outcome):
                                outcome.blocked_by = who_blocks(met)
                            return outcome
                self._watch.eager = True
                if any(blocker["backend_type"] == "autovacuum worker" for blocker in blockers.values()):
                    # autovacuum yields to us only after deadlock_timeout (1 s unless changed): wait longer than that,
                    # once
                    lock_timeout = "1500ms"
                # jitter, no secret
                pause = random.uniform(0.05, 0.25) * (1 + self.timeouts.retries - tries_left)  # noqa: S311
                if self._cancelled.wait(pause):
                    raise errors.LockBusy("Cancelled while waiting for a lock", hint="Nothing was changed.")
        finally:
            self._watch.eager = False
        raise AssertionError("unreachable")

    def _gate_holders(self) -> dict[int, Row]:
        """Process id -> who holds the gate's lock now: where a wait was too short to be watched. Does not write."""
        rows = self._query(
            "SELECT a.pid, a.usename, a.application_name, a.state, a.backend_type FROM pg_catalog.pg_locks l JOIN"
            " pg_catalog.pg_stat_activity a ON a.pid = l.pid CROSS JOIN (SELECT"
            " pg_catalog.hashtextextended('migrollback_nb gate', 0) AS key) k WHERE l.locktype = 'advisory' AND"
            " l.granted AND l.objsubid = 1 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname"
            " = pg_catalog.current_database()) AND (l.classid::bigint << 32 | l.objid::bigint) = k.key AND l.pid <>"
            " pg_catalog.pg_backend_pid()"
        )
        return {row["pid"]: row for row in rows}

    def reconnect_patiently(self) -> None:
        """As `reconnect`, again and again for `PATIENCE` seconds: a server that restarts answers after a moment; writes nothing."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.reconnect()
            except errors.ConnectionFailed:
                if self._reopen is None or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def reconnect(self) -> None:
        """Open a new connection in place of one that was lost; writes nothing."""
        if self._reopen is None:
            raise errors.ConnectionFailed("The connection was lost, and it was borrowed", hint="Connect again.")
        with suppress(psycopg.Error):
            self.connection.close()
        self.connection = self._reopen()
        self.connection.add_notice_handler(self._take_notice)
        self._target = replace(self._read_target(), production=self._target.production)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the server has said in the deed that runs, or in the last one; callable from another thread. Does not write."""
        return tuple(self._notices)

    def idle(self) -> bool:
        """Whether nobody is using the connection at this moment; does not wait for whoever does. Does not write."""
        free = self._busy.acquire(blocking=False)
        if free:
            self._busy.release()
        return free and self.connection.info.transaction_status == TransactionStatus.IDLE

    @contextmanager
    def undertaking(self, tell: Tell | None = None) -> Iterator[None]:
        """Several deeds as one: when one is cancelled, none of those that follow is begun. Tells how far they are. Does not write."""
        self._cancelled.clear()
        self._undertaking = True
        try:
            with self._teller.telling(tell):
                yield
        finally:
            self._undertaking = False

    def _begin(self) -> None:
        if not self._undertaking:
            self._cancelled.clear()

    @property
    def cancelled(self) -> bool:
        """Whether what runs was cancelled from here. Does not write."""
        return self._cancelled.is_set()

    def tell(self, progress: RollbackProgress) -> None:
        """Tell whoever has asked in `undertaking` how far it is. Does not write."""
        self._teller.say(progress)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the telling itself, when the undertaking is over. Does not write."""
        failure = self._teller.failure
        return () if failure is None else (f"Progress was not shown to the end: {type(failure).__name__}: {failure}",)

    def cancel(self) -> None:
        """Cancel on the server what is running here; callable from another thread. What a transaction did is undone there."""
        self._cancelled.set()
        for connection in (self._worker, self.connection):
            if connection is not None and not connection.closed:
                connection.cancel_safe(timeout=5)


def who_blocks(blockers: dict[int, Row]) -> str:
    """Who holds the lock that is needed, and what to do, in words; pure."""
    if not blockers:
        return "Somebody else holds a lock that is needed. Nothing was changed: try again, or raise --lock-timeout."
    found = ", ".join(
        f"process {b['pid']} ({b['usename'] or b['backend_type']}, {b['application_name'] or 'no name'},"
        f" {b['state'] or 'active'})"
        for b in blockers.values()
    )
    return (
        f"Blocked by {found}. Nothing was changed: try again when it is done, or end it with SELECT"
        " pg_terminate_backend(pid)."
    )
