"""Servers, databases and sessions for every test. What a whole run needs stands in the conftest.py above.

Tests that ask for `db`, `database_dsn`, `empty_dsn`, `session` or `server` run on PostgreSQL 18. Those marked
`versions` run once on each server of the run with --long, those marked `each_server` in every run, and all of them
with --all-servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from pg_servers import SERVERS, Server, started, with_history, with_system
from watching import Latch

import migrollback_nb as mr
from migrollback_nb.core.results import MigrationProof
from migrollback_nb.operations.snapshots import Snapshots
from migrollback_nb.replay.proof import prove_folder

settings.register_profile("migrollback", deadline=None)  # one slow moment of a busy machine is no failure
settings.load_profile("migrollback")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """A running server: a test marked `versions` runs once on each with --long."""
    return started(request.param)


@pytest.fixture(scope="session")
def first_server(request: pytest.FixtureRequest) -> Server:
    """One running server, for what need not be tried on each."""
    return started(request.config.stash[SERVERS][0])


@pytest.fixture
def admin(server: Server) -> Iterator[psycopg.Connection]:
    """A connection of the server's superuser, to its database postgres."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def database_template(server: Server) -> str:
    """The database that each test gets a copy of: with the rollback system, and nothing else.
    A module whose tests begin alike has one of its own."""
    return with_system(server)


@pytest.fixture
def database_dsn(server: Server, database_template: str) -> Iterator[str]:
    """DSN of a database of this test's own, with the rollback system installed by the superuser postgres."""
    name = server.create_database(template=database_template)
    yield server.dsn(name)
    server.drop_database(name)


@pytest.fixture
def empty_dsn(server: Server) -> Iterator[str]:
    """DSN of a database of this test's own, with nothing in it."""
    name = server.create_database()
    yield server.dsn(name)
    server.drop_database(name)


@pytest.fixture(scope="module")
def shared_database(server: Server) -> Iterator[str]:
    """DSN of one database, with the rollback system installed, for all tests of a module:
    those that only read, or roll back what they write."""
    name = server.create_database(template=with_system(server))
    yield server.dsn(name)
    server.drop_database(name)


@pytest.fixture(scope="module")
def history_database(server: Server) -> Iterator[str]:
    """DSN of one database with 18 months of 400 migrations, for all tests of a module: those that only read."""
    name = server.create_database(template=with_history(server))
    yield server.dsn(name)
    server.drop_database(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """This test's own folder of migrations, empty."""
    path = tmp_path / "migrations"
    path.mkdir()
    return path


@pytest.fixture
def write_migration(folder: Path) -> Callable[[str, str], Path]:
    """Write the file of one migration: write_migration("001_a", "CREATE TABLE a ();")."""

    def write(name: str, text: str) -> Path:
        path = folder / f"{name}.sql"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def db(database_dsn: str, folder: Path) -> Iterator[mr.Migrations]:
    """The migrations of `database_dsn` and of `folder`."""
    with mr.connect(database_dsn, dir=folder) as migrations:
        yield migrations


@pytest.fixture
def applied(db: mr.Migrations, write_migration: Callable[[str, str], Path]) -> Callable[..., str]:
    """Write a migration, apply it and return its name:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;", depends_on=["000_z"])."""

    def apply(
        name: str,
        up: str,
        rollback: str | None = None,
        *,
        depends_on: Sequence[str] = (),
        options: str = "",
        header: str = "",
        snapshots: Snapshots = "ends",
    ) -> str:
        needs = "".join(f"-- Depends on: {base}\n" for base in depends_on)
        block = "" if rollback is None else f"\n-- ROLLBACK START{options}\n{rollback}\n-- ROLLBACK END\n"
        write_migration(name, f"{header}{needs}{up}\n{block}")
        db.apply(name, snapshots=snapshots)
        return name

    return apply


@pytest.fixture
def write(write_migration: Callable[[str, str], Path]) -> Callable[..., None]:
    """Write a migration: write("001_a", up, rollback or None, options)."""

    def write_one(name: str, up: str, rollback: str | None = None, *, header: str = "", options: str = "") -> None:
        block = "" if rollback is None else f"\n-- ROLLBACK START{options}\n{rollback}\n-- ROLLBACK END\n"
        write_migration(name, f"{header}{up}\n{block}")

    return write_one


@pytest.fixture
def verdicts(server: Server, folder: Path) -> Callable[..., dict[str, MigrationProof]]:
    """Grades the folder of this test: name -> verdict."""

    def grade(*names: str) -> dict[str, MigrationProof]:
        return {verdict.migration_name: verdict for verdict in prove_folder(folder, names, on=server.dsn()).migrations}

    return grade


@pytest.fixture
def session(database_dsn: str) -> Iterator[Callable[..., psycopg.Connection]]:
    """Opens further sessions on `database_dsn`, in autocommit mode; they are closed with the test."""
    opened: list[psycopg.Connection] = []

    def open_session(**options: str) -> psycopg.Connection:
        opened.append(psycopg.connect(database_dsn, autocommit=True, **options))
        return opened[-1]

    yield open_session
    for connection in opened:
        connection.close()


@pytest.fixture
def latch(session: Callable[..., psycopg.Connection]) -> Latch:
    """Holds a migration of this test's database in the middle."""
    return Latch(session())
