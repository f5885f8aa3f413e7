"""What `adopt` and looking at a folder cost: pytest tests/benchmarks/test_adopt.py. Not part of the default run.

The bound of issue 17: they grow linearly from 1,000 to 10,000 migrations.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.files.formats import MigrationFolder

from .conftest import Measure

SIZES = (1_000, 10_000)
#: What ten times as many may cost: ten times, and what the machine does besides. What grows with the square costs 100.
BOUND = 20.0


def written(folder: Path, count: int) -> Path:
    """A folder as dbmate has it, of `count` migrations of a table, an index and a comment each."""
    folder.mkdir()
    for number in range(1, count + 1):
        (folder / f"{20200101000000 + number}_t{number}.sql").write_text(
            f"-- migrate:up\nCREATE TABLE t{number} (id int PRIMARY KEY, name text);\n"
            f"CREATE INDEX i{number} ON t{number} (name);\nCOMMENT ON TABLE t{number} IS 'one of many';\n"
            f"-- migrate:down\nDROP TABLE t{number};\n"
        )
    return folder


def deployed(connection: psycopg.Connection, count: int) -> None:
    """dbmate's ledger, full. The tables are not made: what adopt reads of the schema is another measurement's."""
    connection.execute("CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)")
    connection.execute(
        "INSERT INTO schema_migrations SELECT (20200101000000 + n)::text FROM generate_series(1, %s) n", [count]
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    root = tmp_path_factory.mktemp("adopt")
    return {count: written(root / str(count), count) for count in SIZES}


def line(what: str, took: dict[int, float]) -> Measure:
    small, large = (took[count] for count in SIZES)
    return Measure(what=f"{what}, 10,000", ours=large, compared_with="1,000", other=small, bound=f"≤ {BOUND:.0f}")


def test_a_folder(table: list[Measure], folders: dict[int, Path]) -> None:
    took = {}
    for count, folder in folders.items():
        began = perf_counter()
        assert len(MigrationFolder(folder).read_all().files) == count
        took[count] = perf_counter() - began
    table.append(line("reading a folder", took))
    assert took[10_000] <= BOUND * took[1_000]


def test_adopt(table: list[Measure], folders: dict[int, Path], server_dsn: str) -> None:
    looked, took, again = {}, {}, {}
    with psycopg.connect(server_dsn, autocommit=True) as admin:
        for count, folder in folders.items():
            admin.execute(f"CREATE DATABASE adopt_{count}")
            dsn = psycopg.conninfo.make_conninfo(server_dsn, dbname=f"adopt_{count}")
            with psycopg.connect(dsn, autocommit=True) as connection:
                deployed(connection, count)
            with mr.connect(dsn, dir=folder) as db:
                began = perf_counter()
                assert len(db.adopt(dry_run=True).to_register) == count
                looked[count] = perf_counter() - began
                began = perf_counter()
                assert len(db.adopt().sync.registered) == count
                took[count] = perf_counter() - began
                began = perf_counter()
                db.sync()
                again[count] = perf_counter() - began
            admin.execute(f"DROP DATABASE adopt_{count} WITH (FORCE)")
    table.append(line("a look before adopt", looked))
    table.append(line("adopt", took))
    table.append(line("a sync after it", again))
    for one in (looked, took, again):
        assert one[10_000] <= BOUND * one[1_000]


def test_take_over(table: list[Measure], server_dsn: str) -> None:
    took = {}
    earlier = (Path(__file__).parents[1] / "upgrade" / "earlier.sql").read_text(encoding="utf-8")
    with psycopg.connect(server_dsn, autocommit=True) as admin:
        for count in SIZES:
            admin.execute(f"CREATE DATABASE take_over_{count}")
            dsn = psycopg.conninfo.make_conninfo(server_dsn, dbname=f"take_over_{count}")
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(earlier)
                connection.execute(
                    "INSERT INTO migration_history (migration_name, migration_version, applied_at, rollback_sql)"
                    " SELECT n || '_t', n || '_t', timestamptz '2025-02-01' + n * interval '1 min', 'DROP TABLE t' || n"
                    " FROM generate_series(1, %s) n",
                    [count],
                )
                connection.execute(
                    "INSERT INTO migration_dependencies (migration_name, depends_on)"
                    " SELECT n || '_t', n - 1 || '_t' FROM generate_series(2, %s) n",
                    [count],
                )
            with mr.connect(dsn) as db:
                began = perf_counter()
                found = db.install(take_over=True).taken_over
                took[count] = perf_counter() - began
                assert found is not None
                assert found.migrations == count + 5
                assert db.audit().success
            admin.execute(f"DROP DATABASE take_over_{count} WITH (FORCE)")
    table.append(line("taking over the earlier tool's rows", took))
    assert took[10_000] <= BOUND * took[1_000]
