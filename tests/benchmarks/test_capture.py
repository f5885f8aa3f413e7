"""What `capture` costs beside the tool's own run: pytest tests/benchmarks/test_capture.py. Not part of the default run.

The bound of issue 17: at most twice the tool's own run plus two snapshots.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import perf_counter

import psycopg

from migrollback_nb.files.formats import MigrationFolder
from migrollback_nb.replay import tool_runs
from migrollback_nb.replay.capture import capture
from migrollback_nb.replay.definitions import state
from migrollback_nb.replay.scratch import scratch

from .conftest import Measure

#: Applies one migration of 50 tables, each with an index and a foreign key, and keeps it in Knex's ledger.
TOOL = """
import psycopg
with psycopg.connect("", autocommit=True) as c:
    c.execute("CREATE TABLE IF NOT EXISTS knex_migrations (id serial PRIMARY KEY, name text, batch int, "
              "migration_time timestamptz)")
    number = c.execute("SELECT count(*) + 1 FROM knex_migrations").fetchone()[0]
    if number <= 4:
        for table in range(50):
            c.execute(f"CREATE TABLE t{number}_{table} (id serial PRIMARY KEY, name text UNIQUE, other int)")
        c.execute("INSERT INTO knex_migrations (name, batch, migration_time) VALUES (%s, 1, now())",
                  (f"{number}_x.js",))
"""


def test_capture_beside_the_tool(table: list[Measure], server_dsn: str, tmp_path: Path) -> None:
    for number in range(1, 5):
        (tmp_path / f"{number}_x.js").write_text("exports.up = (knex) => 0")
    (tmp_path / "tool.py").write_text(TOOL)
    command = [sys.executable, str(tmp_path / "tool.py")]
    with scratch() as place:
        known = psycopg.conninfo.conninfo_to_dict(place.dsn)
        where = {"PGHOST": known["host"], "PGUSER": known["user"], "PGDATABASE": known["dbname"]}
        where["PGPORT"] = str(known.get("port", 5432))
        began = perf_counter()
        for _ in range(5):  # as often as capture runs it: the last applies nothing
            tool_runs.run(command, cwd=tmp_path, environment=os.environ | where | {"PGSERVICE": None}, timeout=60)
        tool = perf_counter() - began
        began = perf_counter()
        for _ in range(8):
            state(place.database.connection, place.schema)
        snapshots = perf_counter() - began
    with scratch():
        pass
    began = perf_counter()
    with scratch():
        empty = perf_counter() - began
    began = perf_counter()
    found = capture(MigrationFolder(tmp_path), command, each=True)
    took = perf_counter() - began
    assert len(found.migrations) == 4
    assert all(one.rollback for one in found.migrations)
    assert took - empty <= 2 * tool + snapshots
    table.append(
        Measure(
            what="capture of 4 programs of 50 tables each",
            ours=took - empty,
            compared_with="twice the tool's own runs plus 2 snapshots for each",
            other=2 * tool + snapshots,
            bound="≤ 1",
        )
    )
