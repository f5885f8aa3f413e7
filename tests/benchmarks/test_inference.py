"""How finding dependencies grows with the migrations: pytest tests/benchmarks/test_inference.py.
Not part of the default run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import pytest

import migrollback_nb as mr
from migrollback_nb.operations.dependencies import infer_dependencies, steps_of
from migrollback_nb.operations.inference import infer

from .conftest import Measure


def write_web(folder: Path, count: int) -> None:
    """So many migrations and tables: each refers to an earlier table, changes it, has a view, an index, and a
    function that reads both."""
    folder.mkdir()
    for number in range(count):
        base = f"thing_{number // 2:04}" if number else None
        up = [
            f"CREATE TABLE thing_{number:04} (id int PRIMARY KEY, name"
            f" text{f', base_id int REFERENCES {base}' if base else ''});"
        ]
        down = [f"DROP TABLE thing_{number:04};"]
        if base:
            up += [
                f"ALTER TABLE {base} ADD COLUMN seen_by_{number:04} int;",
                (
                    f"CREATE VIEW both_{number:04} AS SELECT b.id, b.seen_by_{number:04}, t.name FROM {base} b JOIN"
                    f" thing_{number:04} t ON t.base_id = b.id;"
                ),
                f"CREATE INDEX thing_{number:04}_base ON thing_{number:04} (base_id);",
                (
                    f"CREATE FUNCTION read_{number:04}() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT"
                    f" count(*) FROM {base} JOIN thing_{number:04} ON true); END $$;"
                ),
            ]
            down = [
                f"DROP FUNCTION read_{number:04}();",
                f"DROP VIEW both_{number:04};",
                f"ALTER TABLE {base} DROP COLUMN seen_by_{number:04};",
                *down,
            ]
        text = "\n".join([*up, "-- ROLLBACK START", *down, "-- ROLLBACK END", ""])
        (folder / f"{number:05}_thing.sql").write_text(text)


def best_of_three(work: Callable[[], object]) -> float:
    """Seconds; the least, for what else the machine does only adds to it."""
    times = []
    for _ in range(3):
        began = perf_counter()
        work()
        times.append(perf_counter() - began)
    return min(times)


@pytest.mark.parametrize(("few", "many"), [(300, 1_000), (1_000, 10_000)])
def test_inference_grows_with_the_migrations_and_no_faster(
    table: list[Measure], new_database: Callable[[], str], tmp_path: Path, few: int, many: int
) -> None:
    """Few and many migrations beside each other, of as many tables: each one takes about as long. What grew with
    the square would take 3.3 and 10 times as long. The applying of 10,000 alone takes minutes."""
    each: dict[int, dict[str, float]] = {}
    for count in (few, many):
        folder = tmp_path / str(count)
        write_web(folder, count)
        with mr.connect(new_database(), dir=folder) as db:
            db.install()
            db.apply(snapshots="none")
            edges = db.database.queries.inferred_by_catalogs()
            files = db.folder.read_all().files
            found = infer_dependencies(db.database, files)
            assert len({row["migration_name"] for row in edges}) == count - 1
            assert {edge.migration_name for edge in found.edges} == {row["migration_name"] for row in edges}
            steps, _, _ = steps_of(db.database, files)
            each[count] = {
                "deps --infer, all of it": best_of_three(partial(infer_dependencies, db.database, files)),
                "what the catalogs know": best_of_three(db.database.queries.inferred_by_catalogs),
                "the replay over the symbols": best_of_three(partial(infer, steps, edges)),
            }
    for what, seconds in each[few].items():
        measure = Measure(
            what=f"{what}, {many:,} migrations, each",
            ours=each[many][what] / many,
            compared_with=f"{few:,} migrations, each",
            other=seconds / few,
            bound="<= 2" if "replay" not in what else "",
        )
        table.append(measure)
    # not the replay alone: it takes a hundredth of the time, and what else the machine does shows in it
    for what in ("deps --infer, all of it", "what the catalogs know"):
        assert each[many][what] / many <= 2 * each[few][what] / few, (what, each)
