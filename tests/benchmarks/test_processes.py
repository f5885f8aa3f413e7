"""What a whole process takes, beside one that loads psycopg, connects and asks one question: pytest
tests/benchmarks/test_processes.py. Not part of the default run."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

import migrollback_nb as mr

from .conftest import Measure

ROUNDS = 15
BOUNDS = {"check": "1.25", "list": "1.25", "rollback of one, verified": "1.9"}


def write_files(folder: Path, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        (folder / f"{number:06d}_step.sql").write_text(
            f"CREATE TABLE step_{number} (id int PRIMARY KEY, name text);\n"
            f"-- ROLLBACK START\nDROP TABLE step_{number};\n-- ROLLBACK END\n",
            encoding="utf-8",
        )


@pytest.mark.parametrize("count", [100, 1_000, 10_000])
def test_processes(
    benchmark: Callable, table: list[Measure], new_database: Callable[[], str], tmp_path: Path, count: int
) -> None:
    """`check`, `list` and a verified `rollback` of one, among so many migrations, 10 of whose tables are there."""
    dsn, folder = new_database(), tmp_path / "migrations"
    write_files(folder, range(count - 10))
    last = f"{count - 1:06d}_step"
    # as pip leaves an installed package: compiled
    compileall.compile_dir(str(Path(mr.__file__).parent), quiet=1)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    ours = [str(Path(sys.executable).with_name("migrollback")), "--dsn", dsn, "--dir", str(folder)]
    commands = {
        "bare": [sys.executable, "-c", f"import psycopg; psycopg.connect({dsn!r}).execute('SELECT 1').fetchall()"],
        "check": [*ours, "check", last],
        "list": [*ours, "list"],
        "rollback of one, verified": [*ours, "rollback", last, "--confirm", last],
    }
    taken: dict[str, list[float]] = {what: [] for what in commands}
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        db.sync()
        write_files(folder, range(count - 10, count))
        db.apply()
        db.database.connection.execute("VACUUM ANALYZE")

        def turn() -> None:
            for what, command in commands.items():
                began = perf_counter()
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                taken[what].append(perf_counter() - began)
            assert "Restored" in done.stdout
            db.apply(last)

        benchmark.pedantic(turn, rounds=ROUNDS, warmup_rounds=1)
    found = {what: median(seconds[1:]) for what, seconds in taken.items()}
    table.extend(
        Measure(
            what=f"migrollback {what}, a process, {count:,} migrations",
            ours=found[what],
            compared_with="python that asks one question by psycopg",
            other=found["bare"],
            bound=bound,
        )
        for what, bound in BOUNDS.items()
    )
