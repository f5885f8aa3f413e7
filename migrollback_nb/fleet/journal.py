"""What is kept of a run while it goes, so that it can be resumed: a file, or a table of the operators. Writes."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, Self

import psycopg
from psycopg.types.json import Jsonb

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.times import show_time
from migrollback_nb.database.connection import open_connection

Entry = dict[str, Any]


class Journal(Protocol):
    """Entries of one run, in order; each is durable once `append` has returned."""

    run_id: str

    def append(self, entry: Entry) -> None:
        """Add one entry. Writes."""

    def entries(self) -> list[Entry]:
        """All entries, oldest first. Does not write."""

    def held(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """A context in which no other process has the run; calls `waiting` once where one has it now."""

    def __enter__(self) -> Self:
        """Itself, open."""

    def __exit__(self, *_: object) -> None:
        """Close what is open."""


def checked_id(run_id: str) -> str:
    """The id of a run as a UUID is written.

    Raises
    ------
    UsageError
        When it is none.
    """
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        raise UsageError(f"{run_id} is no id of a run", hint="It is a UUID, printed when the run began.") from None


def open_journal(run_id: str, state: str | None, *, new: bool) -> Journal:
    """The journal of a run, in the database that is named, else in the user's folder. Writes where it is new.

    Raises
    ------
    UsageError
        When it is to be new and is there, or the other way round.
    """
    run_id = checked_id(run_id)
    return DatabaseJournal(run_id, state, new=new) if state else FileJournal(run_id, new=new)


def folder_of_runs() -> Path:
    """Where runs are kept whose state is in no database: variable MIGROLLBACK_STATE, else the user's state folder."""
    import platformdirs

    given = os.environ.get("MIGROLLBACK_STATE")
    return Path(given) if given else platformdirs.user_state_path("migrollback_nb", appauthor=False) / "fleet"


class FileJournal:
    """Entries in a file that only its user may read, a line of JSON each."""

    def __init__(self, run_id: str, *, new: bool) -> None:
        self.run_id = run_id
        self.path = folder_of_runs() / f"{run_id}.jsonl"
        if new:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            except FileExistsError:
                raise UsageError(
                    f"There is a run {run_id} already", hint=f"Go on with it: migrollback fleet resume {run_id}"
                ) from None
        elif not self.path.exists():
            raise UsageError(
                f"No run {run_id} is known here", hint=f"Runs are kept in {self.path.parent}, or where --state says."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open between two calls."""

    def append(self, entry: Entry) -> None:
        """Add one entry, and wait until it is on the disk. Writes."""
        entry = {"at": _now(), **entry}
        with self.path.open("ab", buffering=0) as file:
            if not _ends_with_line(self.path):  # a process that was killed in the midst of a line
                file.write(b"\n")
            file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """All whole entries, oldest first. Does not write."""
        found = []
        for line in self.path.read_bytes().splitlines():
            with suppress(json.JSONDecodeError):  # cut off by a kill: what it would have said is not known
                found.append(json.loads(line))
        return found

    @contextmanager
    def held(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the file's lock, which the system frees when the process ends in any way."""
        import fcntl

        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


class DatabaseJournal:
    """Entries in a table of a database of the operators', in schema ``migrollback_fleet``."""

    def __init__(self, run_id: str, dsn: str, *, new: bool) -> None:
        self.run_id = run_id
        self._dsn = dsn
        self._connection = open_connection(dsn, found_in="--state", application_name="migrollback_nb fleet")
        try:
            self._prepare(new=new)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, *, new: bool) -> None:
        """Make the table where it is not there, and see that the run is new, or known. Writes the table."""
        query = "SELECT pg_catalog.to_regclass('migrollback_fleet.run_entries') IS NOT NULL"
        if not _value(self._connection, query):
            if not new:
                raise self._unknown()
            with self._connection.transaction():
                text = resources.files("migrollback_nb.fleet").joinpath("state.sql").read_text(encoding="utf-8")
                self._connection.execute(text.encode())
        known = bool(self.entries())
        if new and known:
            raise UsageError(
                f"There is a run {self.run_id} already", hint=f"Go on with it: migrollback fleet resume {self.run_id}"
            )
        if not new and not known:
            raise self._unknown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _unknown(self) -> UsageError:
        return UsageError(f"No run {self.run_id} is known in the database that --state names")

    def append(self, entry: Entry) -> None:
        """Add one entry and commit it; over a new connection where the old one is lost. Writes."""
        entry = {"at": _now(), **entry}
        deadline = time.monotonic() + 60
        while True:
            try:
                if self._connection.closed:
                    self._connection = open_connection(self._dsn, found_in="--state")
                self._connection.execute(
                    "INSERT INTO migrollback_fleet.run_entries (run_id, entry) VALUES (%s, %s)",
                    (self.run_id, Jsonb(entry)),
                )
            except psycopg.OperationalError:
                if not self._connection.closed or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def entries(self) -> list[Entry]:
        """All entries, oldest first. Does not write."""
        rows = self._connection.execute(
            "SELECT e.entry FROM migrollback_fleet.run_entries e WHERE e.run_id = %s ORDER BY e.number", (self.run_id,)
        )
        return [row[0] for row in rows]

    @contextmanager
    def held(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold a lock of a session of its own, which the server frees when that ends in any way."""
        key = uuid.UUID(self.run_id).int & (2**63 - 1)
        with open_connection(self._dsn, found_in="--state", application_name="migrollback_nb fleet run") as holder:
            if not _value(holder, "SELECT pg_catalog.pg_try_advisory_lock(%s)", key):
                waiting()
                holder.execute("SELECT pg_catalog.pg_advisory_lock(%s)", (key,))
            yield


def _now() -> str:
    return show_time(datetime.now(UTC))


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _value(connection: psycopg.Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values or None).fetchone()
    return None if row is None else row[0]
