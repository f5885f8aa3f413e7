"""Looks at a database from outside, and runs things beside each other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.database.session import Session

T = TypeVar("T")


def value(connection: psycopg.Connection, query: str, *parameters: Any) -> Any:
    """The one value of a query's one row."""
    rows = connection.execute(query, parameters or None).fetchall()
    assert len(rows) == 1, rows
    return rows[0][0]


def status(connection: psycopg.Connection, name: str) -> str:
    return value(connection, "SELECT status FROM migration_history WHERE migration_name = %s", name)


def exists(connection: psycopg.Connection, relation: str) -> bool:
    return value(connection, "SELECT to_regclass(%s) IS NOT NULL", relation)


def schema_of(connection: psycopg.Connection) -> dict[tuple[str, str], Any]:
    """(kind, identity) -> definition of every schema object, our own left out."""
    return {
        (kind, identity): definition
        for kind, identity, definition in connection.execute("SELECT * FROM schema_objects()")
    }


#: Events of what is done around a deed by itself.
AROUND = ("snapshot_taken", "verified")


def events(connection: psycopg.Connection, *, after: int = 0, around: bool = False) -> list[str]:
    """What happened, in order, without the first `after`; snapshots and verifications only when asked for."""
    rows = connection.execute(
        "SELECT event FROM migration_events WHERE %s OR event <> ALL (%s) ORDER BY event_number", (around, list(AROUND))
    ).fetchall()
    return [event for (event,) in rows][after:]


def last_event(connection: psycopg.Connection, *, around: bool = False) -> dict[str, Any]:
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    query = "SELECT * FROM migration_events WHERE %s OR event <> ALL (%s) ORDER BY event_number DESC LIMIT 1"
    return cursor.execute(query, (around, list(AROUND))).fetchone()


def eventually(condition: Callable[[], bool], what: str, *, seconds: float = 15) -> None:
    """Wait until a condition holds, and fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.01)


def eventually_waits(connection: psycopg.Connection, pid: int) -> None:
    """Wait until another session waits for a lock."""
    eventually(
        lambda: (
            value(connection, "SELECT coalesce(max(wait_event_type), '') FROM pg_stat_activity WHERE pid = %s", pid)
            == "Lock"
        ),
        f"process {pid} waits for a lock",
    )


def eventually_sleeps(connection: psycopg.Connection) -> int:
    """Wait until a session of this database sleeps in `pg_sleep`; the id of its process."""
    asleep = (
        "SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname ="
        " current_database() AND strpos(query, 'watch_rehearsal') = 0"  # which sleeps between two looks
    )
    found: list[int] = []
    eventually(lambda: bool(found.append(value(connection, asleep)) or found[-1]), "a session sleeps")
    return found[-1]


class Latch:
    """Holds a migration in the middle for as long as a test needs, however slow the machine:
    `wait` is the SQL that waits for `release`."""

    wait = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM public.released) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$;"

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE public.released ()")

    def eventually_reached(self) -> int:
        """Wait until a session waits here; the id of its process."""
        return eventually_sleeps(self._connection)

    def release(self) -> None:
        self._connection.execute("INSERT INTO public.released DEFAULT VALUES")


class Background(Generic[T]):
    """A call in another thread; `result` waits for it and raises what it raised."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._answer: list[T] = []
        self._error: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self._answer.append(call())
        except BaseException as error:  # noqa: BLE001  # raised again by result()
            self._error.append(error)

    def result(self, *, seconds: float = 30) -> T:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"not done after {seconds} s"
        if self._error:
            raise self._error[0]
        return self._answer[0]

    @property
    def running(self) -> bool:
        return self._thread.is_alive()


@contextlib.contextmanager
def intercepted(around: Callable[[Session, str, Callable[[], Any]], Any]) -> Iterator[None]:
    """Every call of an SQL function and every message of a session goes through around(session, text, send):
    the text names the functions."""
    call, message = Session.call, Session._send

    def calling(self: Session, function: str, /, **arguments: Any) -> Any:
        return around(self, f'"{function}"({arguments!r})', lambda: call(self, function, **arguments))

    def sending(self: Session, *statements: bytes) -> Any:
        return around(self, b"; ".join(statements).decode(), lambda: message(self, *statements))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "call", calling)
        patch.setattr(Session, "_send", sending)
        yield


def calls(text: str, function: str) -> bool:
    """Whether a text that `intercepted` gives calls an SQL function."""
    return f'"{function}"(' in text


def is_rollback(text: str) -> bool:
    """Whether a text that `intercepted` gives is the rollback itself, and no dry run."""
    return calls(text, "execute_migration_rollbacks") and text.startswith("BEGIN")


def dismiss_all(migrations: mr.Migrations) -> None:
    """Take away every inferred dependency, as a person may: what comes then is up to the rollback itself."""
    for row in migrations.database.queries.dependencies():
        if row["source"] == "inferred":
            migrations.dismiss_dependency(row["migration_name"], row["depends_on"], reason="found to be none")
