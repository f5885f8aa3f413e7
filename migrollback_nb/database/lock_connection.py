"""A second connection that holds the gate's lock while statements run outside a transaction. Does not write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from psycopg import IsolationLevel

from migrollback_nb.core import errors
from migrollback_nb.database.session import Session

if TYPE_CHECKING:
    import psycopg

#: Longest wait for the lock of the audit log, once something has run that is to be recorded.
PATIENTLY = "30s"


@contextmanager
def gate_held(session: Session) -> Iterator[Session]:
    """Hold the gate's lock in a transaction of a second connection, which is open and idle. Does not write.

    Such a transaction survives poolers, and it holds no snapshot that CONCURRENTLY would wait for.

    Raises
    ------
    UsageError
        Where there is no second connection.
    Refused
        Behind a pooler that lends a session for each transaction.
    """
    if session.reopen is None:
        raise errors.UsageError(
            "Running outside a transaction needs a second connection",
            hint="Connect by DSN instead of lending a connection.",
        )
    with session.reopen() as connection:
        with session.translated_errors():
            lent = is_behind_pooler(session) and _is_lent_for_a_transaction(session, connection)
        if lent:
            raise errors.Refused(
                "What runs statement by statement outside a transaction needs a session of its own, and this"
                " connection goes through a pooler that lends one for each transaction",
                hint=(
                    "Nothing was run. Connect to the server itself, or through a pooler in session mode: else a"
                    " statement could miss its search_path, and other clients would find our settings."
                ),
            )
        connection.isolation_level = IsolationLevel.READ_COMMITTED  # it must see what was committed while it waited
        holder = Session(connection, schema=session.schema, timeouts=session.timeouts)
        with holder.translated_errors(), connection.transaction():
            holder.set_local(
                connection,
                {"idle_in_transaction_session_timeout": "0", "lock_timeout": session.timeouts.lock_timeout},
            )
            holder.call("hold_migrations")
            release_snapshot(holder)
            yield holder


def before_statements(holder: Session) -> None:
    """Prepare for what runs outside a transaction, and is recorded when it has run. Does not write."""
    # what has run is recorded, however long that takes: giving up soon would leave it unsaid
    holder.set_local(holder.connection, {"lock_timeout": PATIENTLY})
    release_snapshot(holder)


def release_snapshot(holder: Session) -> None:
    """Close the portal of the last query. Does not write.

    Open it keeps a snapshot until COMMIT, and CONCURRENTLY waits for that.
    """
    # without parameters it goes by the simple protocol, which replaces the unnamed portal
    holder.connection.execute("SELECT")


def is_behind_pooler(session: Session) -> bool:
    """Whether another process answers than the one that was named at connecting. Does not write."""
    return _process(session.connection) != session.connection.info.backend_pid


def pooler_mode(session: Session) -> str | None:
    """How a pooler lends our session: by "session" or by "transaction"; None where there is none. Does not write.

    "unknown" where no second connection can be opened, by which that is seen.
    """
    with session.translated_errors():
        if not is_behind_pooler(session):
            return None
        if session.reopen is None:
            return "unknown"
        with session.reopen() as other:
            return "transaction" if _is_lent_for_a_transaction(session, other) else "session"


def _is_lent_for_a_transaction(session: Session, other: psycopg.Connection) -> bool:
    """Whether the pooler lends our session to others between two transactions; `other` goes through it too."""
    for _ in range(5):  # others who come between may hide it once
        ours = _process(session.connection)
        if _process(session.connection) != ours:  # lent in turn
            return True
        with other.transaction():  # or the one that was left last is lent first, and that is ours
            if _process(other) == ours or _process(session.connection) != ours:
                return True
    return False


def _process(connection: psycopg.Connection) -> int:
    """Process id of the server's end, as the server says."""
    found = connection.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    assert found is not None  # noqa: S101  # for mypy: it is one row
    return cast(int, found[0])
