"""What verify spends its time on while the schema grows: pytest tests/benchmarks/test_proof.py.
Not part of the default run."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from migrollback_nb.replay.proof import prove_folder

from .conftest import Measure
from .test_speed import write_files


@pytest.mark.parametrize("count", [100, 200, 300])
def test_verify(table: list[Measure], server_dsn: str, tmp_path: Path, count: int) -> None:
    """A folder of migrations that each add a table, on a schema of so many tables at the end;
    the shares, and how often the schema is read whole."""
    folder = tmp_path / "migrations"
    write_files(folder, count)
    began = perf_counter()
    proof = prove_folder(folder)
    took = perf_counter() - began
    assert proof.counts["restores"] == count, proof
    assert proof.digests <= 2 * count + 1
    for what, part in (
        ("up parts and rollbacks", "sql"),
        ("schema digests", "schema"),
        ("rows", "rows"),
        ("scratch databases", "scratch"),
    ):
        table.append(
            Measure(
                what=f"verify of {count}: {what}",
                ours=proof.shares[part],
                compared_with="all of it",
                other=took,
                bound="",
            )
        )
    both = proof.shares["sql"] + proof.shares["schema"]
    told = f"its SQL and {proof.digests} schema digests"
    table.append(Measure(what=f"verify of {count}", ours=took, compared_with=told, other=both, bound=""))
