"""What it costs to look at a schema of 1,000 tables and 20,000 columns: the snapshot, the token, and a rollback that is verified."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg

import migrollback_nb as mr
from migrollback_nb import embedded

from .conftest import Measure, seconds

TABLES = 1_000
COLUMNS = 20


def fill(dsn: str) -> None:
    """1,000 tables of 20 columns, each with a key, an index, a foreign key to the one before, a check and a comment."""
    columns = ", ".join(f"column_{number} {('text', 'int', 'timestamptz', 'numeric(12, 2)')[number % 4]}" for number in range(1, COLUMNS - 1))
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(TABLES):
            before = f" REFERENCES table_{number - 1}" if number else ""
            connection.execute(
                f"CREATE TABLE table_{number} (id bigint PRIMARY KEY, parent bigint{before}, {columns}, CHECK (id > 0)); "  # our own names
                f"CREATE INDEX ON table_{number} (parent); COMMENT ON TABLE table_{number} IS 'number {number}'"
            )
        connection.execute("VACUUM ANALYZE")


def test_looking_at_a_large_schema(benchmark: Callable, table: list[Measure], new_database: Callable[[], str], tmp_path: Path) -> None:
    """schema_objects(), the token and a stored snapshot, beside pg_dump --schema-only on the same server; what they add to a rollback."""
    dsn = new_database()
    fill(dsn)
    folder = tmp_path / "migrations"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number:03d}_m.sql").write_text(f"CREATE TABLE made_{number} (a int);\n-- ROLLBACK START\nDROP TABLE made_{number};\n-- ROLLBACK END\n")
    pg_dump = [str(embedded.bin_folder() / "pg_dump"), "--schema-only", "--dbname", dsn]
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        ask = db.database.connection.execute
        dump = seconds(lambda: subprocess.run(pg_dump, check=True, stdout=subprocess.DEVNULL), 3)
        digest = seconds(lambda: ask("SELECT md5(string_agg(o::text, ',' ORDER BY kind, identity)) FROM schema_objects() o"), 3)
        snapshot = seconds(lambda: ask("SELECT schema_snapshot() IS NOT NULL"), 3)
        token = seconds(lambda: ask("SELECT schema_token()"))
        size = ask("SELECT pg_column_size(objects) FROM migration_snapshots WHERE id = %s", (db.snapshot("000_m"),)).fetchone()
        assert size is not None

        def rollback(snapshots: str) -> float:
            db.apply("000_m", snapshots="none" if snapshots == "none" else "ends")
            began = perf_counter()
            db.rollback("000_m", confirm="000_m", snapshots=snapshots)  # type: ignore[arg-type]
            return perf_counter() - began

        without = median(rollback("none") for _ in range(3))
        verified = median(rollback("ends") for _ in range(3))
        benchmark.pedantic(lambda: ask("SELECT schema_token()"), rounds=5)
    table.extend(
        [
            Measure(what="digest of schema_objects(), 1,000 tables", ours=digest, compared_with="pg_dump --schema-only", other=dump, bound="1.2"),
            Measure(what="schema_token(), 1,000 tables", ours=token, compared_with="", other=None, bound="60 ms"),
            Measure(what=f"a stored snapshot, 1,000 tables: {size[0] / 2**20:.2f} MB (bound 0.5)", ours=snapshot, compared_with="", other=None, bound=""),
            Measure(what="verification adds to a rollback", ours=verified - without, compared_with="two snapshots", other=2 * snapshot, bound="1"),
        ]
    )
