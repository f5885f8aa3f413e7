"""What keeping destroyed values costs, and putting them back: pytest -n 0 tests/benchmarks/test_archives.py."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import psycopg

import migrollback_nb as mr

from .conftest import Measure

CUSTOMERS = """
CREATE TABLE customers (id int PRIMARY KEY, email text, plan text, born timestamptz, note text);
INSERT INTO customers SELECT n, n || '@example.org', CASE WHEN n % 2 = 0 THEN 'free' ELSE 'paid' END,
    '2025-01-01 10:00+00', 'note ' || n FROM generate_series(1, {rows}) n;
"""


def fresh(connection: psycopg.Connection, rows: int) -> None:
    connection.execute("DROP TABLE IF EXISTS customers CASCADE")
    connection.execute(CUSTOMERS.format(rows=rows).encode())
    connection.execute("VACUUM ANALYZE customers")
    connection.execute("CHECKPOINT")


def timed(connection: psycopg.Connection, text: str) -> float:
    began = perf_counter()
    connection.execute(text.encode())
    return perf_counter() - began


def test_archives(table: list[Measure], empty_dsn: str, tmp_path: Path) -> None:
    files = {
        "000_first": ("UPDATE customers SET plan = 'x' WHERE id = 1;", "SELECT 1;"),
        "001_drop": ("ALTER TABLE customers DROP COLUMN email;", "ALTER TABLE customers ADD COLUMN email text;"),
        "002_update": ("UPDATE customers SET plan = 'none';", "SELECT 1;"),
    }
    for name, (up, rollback) in files.items():
        (tmp_path / f"{name}.sql").write_text(f"{up}\n-- ROLLBACK START\n{rollback}\n-- ROLLBACK END\n")
    with psycopg.connect(empty_dsn, autocommit=True) as connection, mr.connect(empty_dsn, dir=tmp_path) as db:
        db.install()
        fresh(connection, 10)
        db.apply("000_first", archive=True, snapshots="none")  # plans are kept for the session
        db.rollback("000_first", confirm="000_first", snapshots="none")
        fresh(connection, 1_000_000)
        copy = timed(connection, "CREATE TABLE kept AS SELECT id, email FROM customers")
        connection.execute("DROP TABLE kept; CHECKPOINT")
        began = perf_counter()
        db.apply("001_drop", archive=True, snapshots="none")
        dropped = perf_counter() - began

        fresh(connection, 300_000)
        bare = timed(connection, "UPDATE customers SET plan = 'none'")
        fresh(connection, 300_000)
        began = perf_counter()
        db.apply("002_update", archive=True, snapshots="none")
        updated = perf_counter() - began
        connection.execute("CREATE TABLE old AS SELECT id, 'paid'::text AS plan FROM customers; CHECKPOINT")
        began = perf_counter()
        db.rollback("002_update", confirm="002_update", snapshots="none")
        back = perf_counter() - began
        fresh(connection, 300_000)
        one = timed(connection, "UPDATE customers c SET plan = o.plan FROM old o WHERE o.id = c.id")
    for what, ours, beside, other, bound in (
        ("a dropped column of 1,000,000 rows, kept", dropped, "CREATE TABLE AS", copy, "1.3"),
        ("300,000 updates, kept", updated, "the bare UPDATE", bare, "2"),
        ("300,000 values put back", back, "one UPDATE FROM", one, "3"),
    ):
        table.append(Measure(what=what, ours=ours, compared_with=beside, other=other, bound=bound))
