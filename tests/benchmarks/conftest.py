"""One embedded server with its default settings (fsync on, as in production), and the table of ratios at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import psycopg
import pytest

TABLE = pytest.StashKey[list["Measure"]]()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """In one process, whatever pyproject.toml says: beside each other they would measure each other."""
    if config.option.numprocesses is not None:
        config.option.numprocesses = 0
        config.option.dist = "no"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One line of the table."""

    what: str
    ours: float  #: seconds
    compared_with: str
    other: float | None  #: seconds; None where the bound is a time
    bound: str

    @property
    def ratio(self) -> str:
        return "" if self.other is None else f"{self.ours / self.other:.2f}"


def seconds(deed: Callable[[], object], rounds: int = 5) -> float:
    """Median of what it takes, after one turn that does not count."""
    deed()
    taken = []
    for _ in range(rounds):
        began = perf_counter()
        deed()
        taken.append(perf_counter() - began)
    return median(taken)


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> list[Measure]:
    return pytestconfig.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    measures = config.stash.get(TABLE, [])
    if not measures:
        return
    terminalreporter.section("speed")
    rows = [("what", "migrollback", "compared with", "it takes", "ratio", "bound")]
    rows += [(m.what, _time(m.ours), m.compared_with, _time(m.other), m.ratio, m.bound) for m in measures]
    for place, row in enumerate(rows):
        terminalreporter.write_line("| " + " | ".join(row) + " |")
        if place == 0:
            terminalreporter.write_line("|" + " --- |" * len(row))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """DSN of the server, without a database."""
    from migrollback_nb.servers import embedded

    options = psycopg.conninfo.conninfo_to_dict(embedded.start())
    del options["dbname"]
    yield psycopg.conninfo.make_conninfo(**options)
    embedded.stop()


@pytest.fixture
def new_database(server_dsn: str) -> Iterator[Callable[[], str]]:
    """Makes an empty database and returns its DSN; dropped with the test."""
    made: list[str] = []

    def make() -> str:
        name = f"benchmark_{len(made)}_{os.urandom(4).hex()}"
        with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        made.append(name)
        return psycopg.conninfo.make_conninfo(server_dsn, dbname=name)

    yield make
    with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
