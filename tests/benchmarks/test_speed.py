"""How long things take, as ratios in one run: pytest tests/benchmarks. Not part of the default run."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

import psycopg
import pytest
from psycopg.types.json import Jsonb

import migrollback_nb as mr

from .conftest import Measure

MIGRATIONS = 300
ROUNDS = 6


def statements(number: int) -> tuple[list[str], list[str]]:
    """Up and rollback statements of one migration, shaped like the specification's "Complex Migration with
    Dependencies"."""
    table, before = f"public.project_analytics_{number}", f"public.project_analytics_{number - 1}"
    up = [
        (
            f"CREATE TABLE IF NOT EXISTS {table} (\n"
            "    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),\n"
            "    project_id UUID NOT NULL,\n"
            f"    analytics_job_id UUID{f' REFERENCES {before}(id)' if number else ''},\n"
            "    metrics JSONB DEFAULT '{}',\n"
            "    created_at TIMESTAMPTZ DEFAULT NOW()\n"
            ")"
        ),
        f"CREATE INDEX idx_project_analytics_{number} ON {table}(project_id)",
    ]
    down = [f"DROP INDEX IF EXISTS public.idx_project_analytics_{number}", f"DROP TABLE IF EXISTS {table} CASCADE"]
    if number:
        up.append(f"ALTER TABLE {before} ADD COLUMN IF NOT EXISTS next_id UUID")
        down.insert(0, f"ALTER TABLE {before} DROP COLUMN IF EXISTS next_id")
    return up, down


def write_files(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        up, down = statements(number)
        depends = f"-- Depends on: {number - 1:05d}_analytics.sql\n" if number else ""
        text = (
            depends
            + "".join(f"{sql};\n" for sql in up)
            + "-- ROLLBACK START\n"
            + "".join(f"{sql};\n" for sql in down)
            + "-- ROLLBACK END\n"
        )
        (folder / f"{number:05d}_analytics.sql").write_text(text, encoding="utf-8")


def bare_loop(dsn: str, numbers: list[int], direction: int) -> float:
    """Seconds that a plain psycopg loop takes, each migration in its own transaction."""
    texts = [statements(number)[direction] for number in numbers]
    began = perf_counter()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for migration in texts:
            with connection.transaction():
                for sql in migration:
                    connection.execute(sql)
    return perf_counter() - began


def recorded_rows(db: mr.Migrations) -> dict[str, tuple[tuple[object, ...], ...]]:
    """Migration -> arguments of the statements `RECORD`, with which a plain loop leaves the same rows that apply
    left in this database."""
    ask = db.database.connection.execute
    history = ask(
        "SELECT migration_name, migration_version, rollback_sql, checksum, metadata FROM migration_history WHERE"
        " metadata ->> 'system' IS NULL"
    ).fetchall()
    bases = dict(ask("SELECT migration_name, array_agg(depends_on) FROM migration_dependencies GROUP BY 1").fetchall())
    events = {
        row[0]: row
        for row in ask(
            "SELECT migration_name, attempt_id, client, details FROM migration_events WHERE event = 'applied'"
        ).fetchall()
    }
    objects = dict(
        ask(
            "SELECT o.migration_name, ARRAY[array_agg(action), array_agg(kind), array_agg(identity),"
            " array_agg(class_id::text), array_agg(object_id::text), array_agg(column_number::text)] FROM"
            " migration_objects o GROUP BY 1"
        ).fetchall()
    )
    return {
        row[0]: (
            (*row[:4], Jsonb(row[4])),
            (row[0], bases.get(row[0], [])),
            (*events[row[0]][:3], Jsonb(events[row[0]][3])),
            (row[0], *objects[row[0]]),
        )
        for row in history
    }


#: What apply leaves of a migration besides its schema: history, dependencies, event, objects.
RECORD = (
    (
        "INSERT INTO migration_history (migration_name, migration_version, rollback_sql, checksum, metadata) VALUES"
        " (%s, %s, %s, %s, %s)"
    ),
    "INSERT INTO migration_dependencies (migration_name, depends_on) SELECT %s, b FROM unnest(%s::text[]) b",
    (
        "INSERT INTO migration_events (event, migration_name, attempt_id, client, details) VALUES ('applied', %s, %s,"
        " %s, %s)"
    ),
    (
        "INSERT INTO migration_objects (migration_name, action, kind, identity, class_id, object_id, column_number,"
        " recorded_in) SELECT %s, o.*, 'migration_objects'::regclass FROM unnest(%s::text[], %s::text[], %s::text[],"
        " %s::oid[], %s::oid[], %s::int[]) o"
    ),
)


def recording_loop(dsn: str, folder: Path, rows: dict[str, tuple[tuple[object, ...], ...]]) -> float:
    """Seconds of a bare loop that reads the files and writes the rows that apply would, and asks nothing:
    what is left when all else is free."""
    with mr.connect(dsn, dir=folder) as db:
        began = perf_counter()
        files = db.folder.read_all().files
        for number, file in enumerate(files):
            record, _ = file.record(), file.up_statements()
            with db.database.connection.transaction():
                for sql in statements(number)[0]:
                    db.database.connection.execute(sql)
                db.database.connection.execute(
                    "SELECT set_config('migrollback.recording', pg_current_xact_id()::text, true)"
                )
                for sql, arguments in zip(RECORD, rows[record["name"]], strict=True):
                    db.database.connection.execute(sql, arguments)
        return perf_counter() - began


def test_apply_and_chain(  # noqa: C901  # one run measures all of them in turn
    benchmark: Callable, table: list[Measure], new_database: Callable[[], str], tmp_path: Path
) -> None:
    """apply of 300, and rollback of them as one chain, with and without snapshots, against a bare psycopg loop on
    the same server, taken in turn."""
    folder = tmp_path / "migrations"
    write_files(folder, MIGRATIONS)
    times: dict[str, list[float]] = {}
    with mr.connect(new_database(), dir=folder) as db:
        db.install()
        db.apply(snapshots="none")
        rows = recorded_rows(db)

    def bare(dsn: str, direction: int) -> float:
        numbers = list(range(MIGRATIONS))
        return bare_loop(dsn, numbers if direction == 0 else numbers[::-1], direction)

    def ours(dsn: str, direction: int, snapshots: Literal["ends", "none"]) -> float:
        began = perf_counter()
        with mr.connect(dsn, dir=folder) as db:
            if direction == 0:
                assert len(db.apply(snapshots=snapshots).applied) == MIGRATIONS
            else:
                result = db.rollback("00000_analytics", chain=True, confirm="00000_analytics", snapshots=snapshots)
                assert isinstance(result, mr.ChainResult)
                assert len(result.results) == MIGRATIONS
                assert snapshots == "none" or (
                    result.verification is not None and result.verification.verdict == "restored"
                )
        return perf_counter() - began

    def turn() -> None:
        # Who goes first changes: a file system creates files more slowly while it remembers deleted ones (ext4 does,
        # for a minute).
        runs: list[tuple[str, str, Callable[[str, int], float]]] = [
            ("bare", new_database(), bare),
            (
                "rows",
                new_database(),
                lambda dsn, direction: recording_loop(dsn, folder, rows) if direction == 0 else 0.0,
            ),
            ("none", new_database(), lambda dsn, direction: ours(dsn, direction, "none")),
            ("ends", new_database(), lambda dsn, direction: ours(dsn, direction, "ends")),
        ]
        for what, dsn, _ in runs:
            if what != "bare":
                with mr.connect(dsn, dir=folder) as db:
                    db.install()
        first = len(times.get("bare 0", ())) % len(runs)
        for direction in (0, 1):
            for what, dsn, run in runs[first:] + runs[:first]:
                times.setdefault(f"{what} {direction}", []).append(run(dsn, direction))

    benchmark.pedantic(turn, rounds=ROUNDS)
    found = {what: median(seconds) for what, seconds in times.items()}
    table.append(
        Measure(
            what=f"apply {MIGRATIONS}, without snapshots",
            ours=found["none 0"],
            compared_with="loop that writes the same rows",
            other=found["rows 0"],
            bound="",
        )
    )
    for direction, what in enumerate((f"apply {MIGRATIONS}", f"roll back {MIGRATIONS} as one chain")):
        for snapshots, remark, bound in (
            ("none", "without snapshots", "1.5"),
            ("ends", "with them" if direction == 0 else "with them, and verified", "2"),
        ):
            table.append(
                Measure(
                    what=f"{what}, {remark}",
                    ours=found[f"{snapshots} {direction}"],
                    compared_with="bare psycopg loop",
                    other=found[f"bare {direction}"],
                    bound=bound,
                )
            )


def register_many(db: mr.Migrations, count: int) -> None:
    """`count` migrations and twice as many dependencies; the last tenth of them is one long chain."""
    chain = count * 9 // 10
    db.database.connection.execute(
        "INSERT INTO migration_history (migration_name, migration_version, rollback_sql, metadata) "
        "SELECT lpad(n::text, 6, '0') || '_m', lpad(n::text, 6, '0'), 'SELECT 1', %s FROM generate_series(0, %s - 1) n",
        (Jsonb({"search_path": "public"}), count),
    )
    db.database.connection.execute(
        "INSERT INTO migration_dependencies (migration_name, depends_on) SELECT lpad(n::text, 6, '0') || '_m', lpad((n"
        " - 1)::text, 6, '0') || '_m' FROM generate_series(%(chain)s + 1, %(count)s - 1) n UNION SELECT lpad(n::text,"
        " 6, '0') || '_m', lpad((n - d)::text, 6, '0') || '_m' FROM generate_series(1, %(chain)s) n, unnest(ARRAY[7,"
        " 11]) d WHERE n %% 100 >= d UNION SELECT lpad(n::text, 6, '0') || '_m', lpad((n - 2)::text, 6, '0') || '_m'"
        " FROM generate_series(%(chain)s + 2, %(count)s - 1) n",
        {"chain": chain, "count": count},
    )
    db.database.connection.execute("ANALYZE migration_history, migration_dependencies")


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_questions(benchmark: Callable, table: list[Measure], new_database: Callable[[], str], count: int) -> None:
    """check, list() and plan with many registered migrations; 1,000 beside 10,000 shows how they grow."""
    with mr.connect(new_database()) as db:
        db.install()
        register_many(db, count)
        one, base = f"{count // 2:06d}_m", f"{count * 9 // 10:06d}_m"

        def seconds(question: Callable[[], object]) -> float:
            question()
            taken = []
            for _ in range(9):
                began = perf_counter()
                question()
                taken.append(perf_counter() - began)
            return median(taken)

        assert len(db.plan(base).steps) == count // 10
        found = {
            "check of one": seconds(lambda: db.check(one)),
            "list() as a DataFrame": seconds(db.list),
            f"plan of a chain of {count // 10:,}": seconds(lambda: db.plan(base)),
        }
        benchmark.pedantic(lambda: db.check(one), rounds=5)
    bounds = {"check of one": "20 ms", "list() as a DataFrame": "500 ms"} if count == 10_000 else {}
    for what, taken in found.items():
        bound = bounds.get(what, "200 ms" if count == 10_000 else "")
        table.append(
            Measure(what=f"{what}, {count:,} registered", ours=taken, compared_with="", other=None, bound=bound)
        )


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_sync(
    benchmark: Callable, table: list[Measure], new_database: Callable[[], str], tmp_path: Path, count: int
) -> None:
    """sync of a folder, first and when nothing is new."""
    folder = tmp_path / "migrations"
    write_files(folder, count)
    with mr.connect(new_database(), dir=folder) as db:
        db.install()
        began = perf_counter()
        assert len(db.sync().registered) == count
        first = perf_counter() - began
        began = perf_counter()
        assert len(db.sync().skipped) == count
        again = perf_counter() - began
        benchmark.pedantic(db.sync, rounds=1)
    table.append(
        Measure(
            what=f"sync of {count:,} files, first",
            ours=first,
            compared_with="",
            other=None,
            bound="10 s" if count == 10_000 else "",
        )
    )
    table.append(
        Measure(
            what=f"sync of {count:,} files, nothing new",
            ours=again,
            compared_with="",
            other=None,
            bound="2 s" if count == 10_000 else "",
        )
    )


def test_check_as_process(benchmark: Callable, table: list[Measure], new_database: Callable[[], str]) -> None:
    """`migrollback check` against psql asking the same, beside what it takes Python to start and to load its driver."""
    from migrollback_nb.servers import embedded

    dsn = new_database()
    with mr.connect(dsn) as db:
        db.install()
    name = "20250120_migration_rollback_system"
    commands = {
        "ours": [str(Path(sys.executable).with_name("migrollback")), "--dsn", dsn, "check", name],
        "psql": [str(embedded.bin_folder() / "psql"), dsn, "-c", f"select * from can_rollback_migration('{name}')"],
        "python": [sys.executable, "-c", "pass"],
        "python with psycopg": [sys.executable, "-c", "import psycopg"],
    }
    taken: dict[str, list[float]] = {what: [] for what in commands}
    # as pip leaves an installed package: compiled
    compileall.compile_dir(str(Path(mr.__file__).parent), quiet=1)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def turn() -> None:
        for what, command in commands.items():
            began = perf_counter()
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
            )  # our own commands
            taken[what].append(perf_counter() - began)

    benchmark.pedantic(turn, rounds=15, warmup_rounds=2)
    found = {what: median(seconds) for what, seconds in taken.items()}
    table.extend(
        Measure(
            what=f"migrollback check, process, less {start}",
            ours=found["ours"] - found[start],
            compared_with="psql -c",
            other=found["psql"],
            bound="2",
        )
        for start in ("python", "python with psycopg")
    )
