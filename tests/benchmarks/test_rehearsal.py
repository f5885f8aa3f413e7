"""What a rehearsal costs on 1,000 tables, against running the same SQL and undoing it by hand, plus two snapshots;
in one run, taken in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

import psycopg
import pytest

import migrollback_nb as mr

from .conftest import Measure

TABLES = 1000
ROUNDS = 9
SCHEMA = f"""
DO $$ BEGIN
    FOR i IN 1..{TABLES} LOOP
        EXECUTE format('CREATE TABLE big_%s (id int PRIMARY KEY, %s)', i, (SELECT string_agg(format('c%s text', c),
          ', ') FROM generate_series(1, 19) c));
        EXECUTE format('CREATE INDEX ON big_%s (c1)', i);
    END LOOP;
END $$;
CREATE FUNCTION fact(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM big_7 WHERE id < n);
END $$;
CREATE TABLE heavy (a int, b text);
INSERT INTO heavy SELECT g, md5(g::text) FROM generate_series(1, 300000) g;
"""
#: What is rehearsed -> its rollback SQL.
WORK = {
    "one table": "DROP INDEX big_1_c1_idx; DROP TABLE big_1;",
    "200 tables, a statement each": " ".join(f"DROP TABLE big_{number};" for number in range(100, 300)),
    "a table of 300,000 rows written anew": (
        "ALTER TABLE heavy ALTER COLUMN a TYPE bigint; DELETE FROM heavy WHERE a % 10 = 0;"
    ),
}


@pytest.fixture(scope="module")
def migrations(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mr.Migrations]:
    folder = tmp_path_factory.mktemp("migrations")
    for number, sql in enumerate(WORK.values()):
        (folder / f"{number:03d}_work.sql").write_text(
            f"SELECT 1;\n-- ROLLBACK START\n{sql}\n-- ROLLBACK END\n", encoding="utf-8"
        )
    with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE benchmark_rehearsal")
    dsn = psycopg.conninfo.make_conninfo(server_dsn, dbname="benchmark_rehearsal")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute("ANALYZE")
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        db.sync()
        yield db


@pytest.mark.parametrize(("number", "what"), list(enumerate(WORK)))
def test_a_rehearsal_against_doing_it_by_hand(
    benchmark: Callable, table: list[Measure], migrations: mr.Migrations, number: int, what: str
) -> None:
    name = f"{number:03d}_work"
    statements = [statement for statement in WORK[what].split(";") if statement.strip()]
    connection = migrations.database.connection
    times: dict[str, list[float]] = {"rehearsal": [], "by hand": [], "snapshot": []}

    def by_hand() -> None:
        began = perf_counter()
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement)
        connection.execute("ROLLBACK")
        times["by hand"].append(perf_counter() - began)

    def snapshot() -> None:
        began = perf_counter()
        connection.execute("SELECT schema_snapshot() IS NULL").fetchone()
        times["snapshot"].append(perf_counter() - began)

    def rehearse() -> None:
        began = perf_counter()
        assert migrations.rehearse(name).success
        times["rehearsal"].append(perf_counter() - began)

    def all_in_turn() -> None:
        for call in (by_hand, snapshot, rehearse):
            call()

    all_in_turn()  # warm
    for found in times.values():
        found.clear()
    benchmark.pedantic(all_in_turn, rounds=ROUNDS)
    allowed = 2 * median(times["by hand"]) + 2 * median(times["snapshot"])
    table.append(
        Measure(
            what=f"rehearsal of {what}",
            ours=median(times["rehearsal"]),
            compared_with="2 times by hand + 2 snapshots",
            other=allowed,
            bound="<= 1",
        )
    )
    table.append(
        Measure(
            what=f"... {what} by hand",
            ours=median(times["by hand"]),
            compared_with="one snapshot",
            other=median(times["snapshot"]),
            bound="",
        )
    )
