"""What it costs to look at a schema of 1,000 tables and 20,000 columns, and of five times as many:
the snapshot, the token, and a rollback that is verified."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.servers import embedded

from .conftest import Measure, seconds

COLUMNS = 20


def fill(dsn: str, tables: int) -> None:
    """So many tables of 20 columns, each with a key, an index, a foreign key to another, a check and a comment."""
    columns = ", ".join(
        f"column_{number} {('text', 'int', 'timestamptz', 'numeric(12, 2)')[number % 4]}"
        for number in range(1, COLUMNS - 1)
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(tables):
            before = f" REFERENCES table_{number - 1}" if number else ""
            connection.execute(
                f"CREATE TABLE table_{number} (id bigint PRIMARY KEY, parent bigint{before}, {columns}, CHECK (id >"
                " 0)); "  # our own names
                f"CREATE INDEX ON table_{number} (parent); COMMENT ON TABLE table_{number} IS 'number {number}'"
            )
        connection.execute("VACUUM ANALYZE")


@pytest.mark.parametrize("tables", [1_000, 5_000])
def test_looking_at_a_large_schema(
    benchmark: Callable, table: list[Measure], new_database: Callable[[], str], tmp_path: Path, tables: int
) -> None:
    """schema_objects(), the token and a stored snapshot, beside pg_dump --schema-only on the same server;
    what they add to a rollback."""
    dsn = new_database()
    fill(dsn, tables)
    folder = tmp_path / "migrations"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number:03d}_m.sql").write_text(
            f"CREATE TABLE made_{number} (a int);\n-- ROLLBACK START\nDROP TABLE made_{number};\n-- ROLLBACK END\n"
        )
    pg_dump = [str(embedded.bin_folder() / "pg_dump"), "--schema-only", "--dbname", dsn]
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        ask = db.database.connection.execute
        size = ask(
            "SELECT pg_column_size(objects) FROM migration_snapshots WHERE id = %s", (db.snapshot("000_m"),)
        ).fetchone()
        assert size is not None

        def rollback(snapshots: Literal["ends", "none"]) -> float:
            db.apply("000_m", snapshots=snapshots)
            began = perf_counter()
            db.rollback("000_m", confirm="000_m", snapshots=snapshots)
            return perf_counter() - began

        found: dict[str, list[float]] = {}

        def turn() -> None:
            # in turn: a machine that is slower for a while is so for all of them
            for what, taken in {
                "dump": seconds(lambda: subprocess.run(pg_dump, check=True, stdout=subprocess.DEVNULL), 1),
                "digest": seconds(
                    lambda: ask("SELECT md5(string_agg(o::text, ',' ORDER BY kind, identity)) FROM schema_objects() o"),
                    1,
                ),
                "snapshot": seconds(lambda: ask("SELECT schema_snapshot() IS NOT NULL"), 1),
                "token": seconds(lambda: ask("SELECT schema_hash()"), 1),
                "plain": rollback("none"),
                "verified": rollback("ends"),
            }.items():
                found.setdefault(what, []).append(taken)

        benchmark.pedantic(turn, rounds=7 if tables == 1_000 else 3)
    times = {what: median(taken) for what, taken in found.items()}
    snapshot, added = times["snapshot"], times["verified"] - times["plain"]
    table.extend(
        [
            Measure(
                what=f"digest of schema_objects(), {tables:,} tables",
                ours=times["digest"],
                compared_with="pg_dump --schema-only",
                other=times["dump"],
                bound="1.2" if tables == 1_000 else "1.0",
            ),
            Measure(
                what=f"schema_hash(), {tables:,} tables",
                ours=times["token"],
                compared_with="",
                other=None,
                bound="60 ms" if tables == 1_000 else "",
            ),
            Measure(
                what=f"a stored snapshot, {tables:,} tables: {size[0] / 2**20:.2f} MB (bound 0.5)",
                ours=snapshot,
                compared_with="",
                other=None,
                bound="",
            ),
            Measure(
                what=f"verification adds to a rollback, {tables:,} tables",
                ours=added,
                compared_with="two snapshots",
                other=2 * snapshot,
                bound="1",
            ),
        ]
    )
