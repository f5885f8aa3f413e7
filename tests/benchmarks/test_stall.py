"""How long readers wait beside a rehearsal that rewrites, scans or drops a table of 4,000,000 rows, with the bound and
without it; and how long foreseeing it takes. In one run; `pytest tests/benchmarks/test_stall.py -n 0`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from time import perf_counter, sleep
from typing import Self

import psycopg
import pytest

import migrollback_nb as mr

from .conftest import Measure

ROWS = 4_000_000
#: What is rehearsed -> its rollback SQL.
WORK = {
    "a rewrite": "ALTER TABLE big ALTER COLUMN a TYPE numeric;",
    "SET NOT NULL": "ALTER TABLE big ALTER COLUMN a SET NOT NULL; SELECT count(*) FROM big a JOIN big b USING (id);",
    "ADD FOREIGN KEY": "ALTER TABLE big ADD FOREIGN KEY (a) REFERENCES parent (id);",
    "VALIDATE": "LOCK TABLE big; ALTER TABLE big VALIDATE CONSTRAINT positive; SELECT count(DISTINCT b) FROM big;",
    "a DROP": "DROP TABLE big; SELECT pg_sleep(3);",
}
#: The bound, and what a cancel may take on a machine that does nothing else.
BOUND, LATE = 1.0, 0.05


@pytest.fixture(scope="module")
def migrations(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mr.Migrations]:
    folder = tmp_path_factory.mktemp("migrations")
    for number, sql in enumerate(WORK.values()):
        (folder / f"{number:03d}_work.sql").write_text(
            f"SELECT 1;\n-- ROLLBACK START\n{sql}\n-- ROLLBACK END\n", encoding="utf-8"
        )
    with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE benchmark_stall")
    dsn = psycopg.conninfo.make_conninfo(server_dsn, dbname="benchmark_stall")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent SELECT generate_series(0, 999);"
            "CREATE TABLE big (id int PRIMARY KEY, a int, b text);"
            f"INSERT INTO big SELECT g, g % 1000, md5(g::text) FROM generate_series(1, {ROWS}) g;"
            "ALTER TABLE big ADD CONSTRAINT positive CHECK (length(b) > 0 AND a >= 0) NOT VALID"
        )
        connection.execute("VACUUM ANALYZE")
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        db.sync()
        yield db
    with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE benchmark_stall WITH (FORCE)")


class Readers:
    """Read a hundred times a second, and write a hundred times a second, while the block lasts."""

    def __init__(self, dsn: str) -> None:
        self.longest = 0.0
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(dsn, query))
            for query in (
                "SELECT a FROM big WHERE id = 7",
                "SELECT a FROM big WHERE id = 70000",
                "UPDATE big SET b = b WHERE id = 700000",
            )
        ]

    def _work(self, dsn: str, query: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not self._over.is_set():
                began = perf_counter()
                connection.execute(query)
                self.longest = max(self.longest, perf_counter() - began)
                sleep(0.01)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        sleep(0.2)
        self.longest = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(("number", "what"), list(enumerate(WORK)), ids=list(WORK))
def test_readers_wait_no_longer_than_the_bound(
    migrations: mr.Migrations, table: list[Measure], number: int, what: str
) -> None:
    name = f"{number:03d}_work"
    dsn = migrations.database.connection.info.dsn
    longest = {}
    for bound in ("1s", "0"):
        with Readers(dsn) as readers:
            with suppress(mr.RehearsalStopped):
                migrations.rehearse(name, max_stall=bound, statement_timeout="5min")
            sleep(0.05)
        longest[bound] = readers.longest
    table.append(
        Measure(
            what=f"longest wait beside the rehearsal of {what}, {ROWS:,} rows",
            ours=longest["1s"],
            compared_with="without a bound",
            other=longest["0"],
            bound=f"<= {BOUND + LATE} s",
        )
    )
    assert longest["1s"] <= BOUND + LATE


def test_foreseeing_takes_no_time(migrations: mr.Migrations, table: list[Measure]) -> None:
    connection = migrations.database.connection
    times = []
    for _ in range(20):
        began = perf_counter()
        connection.execute("SELECT foreseen_lock_effects(ARRAY['000_work'])")
        times.append(perf_counter() - began)
    print(connection.execute("SELECT foreseen_locks(ARRAY['000_work'])").fetchone())
    table.append(
        Measure(
            what="foreseeing the locks of a rollback", ours=min(times), compared_with="", other=None, bound="< 3 ms"
        )
    )
    assert min(times) < 0.003
