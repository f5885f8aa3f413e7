"""A thousand databases: status, plan, a rollback in waves that its budget stops, resumed, and its report.

Each as a process of its own, whose memory is measured. On a server of its own, with its data in memory where that has
room for 11 MB each, else on disk, where making them takes minutes. FLEET_THOUSAND=100 makes it a small one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from pg_servers import Server, find_servers, with_system

import migrollback_nb as mr
from migrollback_nb.servers import private

NAME = "002_users_plan"
COUNT = int(os.environ.get("FLEET_THOUSAND", "1000"))
MEGABYTES = 300  #: the most that a process may take
#: Runs a module as `python -m` does. The server's and the caller's memory are not in what it says of its own: what
#: wait4() gives of a process is at least what the one had that started it.
MEASURED = """
import runpy, sys
file = sys.argv.pop(1)
try:
    runpy.run_module("migrollback_nb.cli", run_name="__main__", alter_sys=True)
finally:
    said = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("VmHWM"))
    open(file, "w").write(said["VmHWM"].split()[0])
"""
PROGRAM = (sys.executable, "-c", MEASURED)


class Ended(NamedTuple):
    """How a process ended, how much memory it had at most, and how long it took."""

    code: int
    out: str
    err: str
    megabytes: float
    seconds: float


class Thousand(NamedTuple):
    """The databases, and what asks them."""

    names: list[str]
    server: Server
    folder: Path
    run: Callable[..., Ended]

    def each(self, query: str) -> dict[str, Any]:
        """Name -> what the query gives there, by no program of ours."""

        async def ask_all() -> dict[str, Any]:
            places = asyncio.Semaphore(32)

            async def ask(name: str) -> tuple[str, Any]:
                async with places, await psycopg.AsyncConnection.connect(self.server.dsn(name)) as connection:
                    row = await (await connection.execute(query)).fetchone()
                    assert row is not None
                    return name, row[0]

            return dict(await asyncio.gather(*map(ask, self.names)))

        return asyncio.run(ask_all())

    def execute(self, name: str, statement: str) -> None:
        with psycopg.connect(self.server.dsn(name), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture
def thousand(
    fleet_template: tuple[str, Path], tmp_path: Path, runs_kept_here: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Thousand]:
    folder = fleet_template[1]
    if min(shutil.disk_usage("/dev/shm").free, available()) < 14 * COUNT * 2**20:
        monkeypatch.setattr(private, "_roomy_folder", lambda: "/var/tmp")
    server = replace(next(one for one in find_servers(every=False)[0] if one.major >= 18), template=None)
    server.start()
    try:
        template = server.create_database(template=with_system(server))
        with mr.connect(server.dsn(template), dir=folder) as db:
            db.apply()
        began = time.perf_counter()
        names = [server.create_database(template=template) for _ in range(COUNT)]
        print(f"\n{COUNT} databases made in {time.perf_counter() - began:.0f} s")
        targets = tmp_path / "targets.toml"
        targets.write_text("".join(f'[[target]]\nname = "{one}"\ndsn = "{server.dsn(one)}"\n' for one in names))
        state = {**os.environ, "MIGROLLBACK_STATE": str(runs_kept_here), "PYTHONWARNINGS": "ignore"}
        common = ("--targets", str(targets), "--dir", str(folder))

        def run(action: str, *words: str, common: tuple[str, ...] = common) -> Ended:
            return process((action, *words, *common), tmp_path, state)

        yield Thousand(names, server, folder, run)
    finally:
        server.stop()


def available() -> int:
    """Bytes of memory that programs may still take."""
    said = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(said["MemAvailable"].split()[0]) * 1024


def process(words: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run a command to its end."""
    used = folder / "kilobytes"
    began = time.perf_counter()
    one = subprocess.run(
        [*PROGRAM, str(used), "fleet", *words], check=False, capture_output=True, text=True, env=environment
    )
    taken = time.perf_counter() - began
    ended = Ended(one.returncode, one.stdout, one.stderr, int(used.read_text()) / 1024, taken)
    print(f"{words[0]}: {ended.seconds:.1f} s, {ended.megabytes:.0f} MB, exit {ended.code}")
    return ended


@pytest.mark.long
def test_a_thousand_databases(thousand: Thousand, tmp_path: Path) -> None:
    broken = thousand.names[30]  # in the third wave: 1, 5, 50, the rest
    thousand.execute(broken, "CREATE VIEW in_its_way AS SELECT plan FROM users")
    used = []

    status = thousand.run("status", "--format", "json")
    rows = json.loads(status.out)
    assert [row["target"] for row in rows] == thousand.names
    assert ({row["status"] for row in rows}, {row["last_applied"] for row in rows}) == ({"answered"}, {NAME})
    used.append(status)

    planned = thousand.run("rollback", NAME, "--dry-run", "--waves", "5,50", "--format", "json")
    plan = json.loads(planned.out)
    assert [len(wave) for wave in plan["waves"]] == [1, 5, 50, COUNT - 56]
    assert len({row["fingerprint"] for row in plan["rows"]}) == COUNT, "each is of its own database"
    assert not any(thousand.each("SELECT count(*) FROM migration_events WHERE event = 'started'").values())
    used.append(planned)

    run_id = str(uuid.uuid4())
    words = ("--waves", "5,50", "--preview", plan["fingerprint"], "--confirm", NAME, "--run-id", run_id)
    stopped = thousand.run("rollback", NAME, *words, "--format", "json")
    assert (stopped.code, stopped.err.splitlines()[0]) == (1, f"Run {run_id}")
    result = json.loads(stopped.out)
    outcomes = {row["target"]: row["outcome"] for row in result["rows"]}
    assert ("wave 3 of 4" in result["stopped"], outcomes[broken]) == (True, "failed")
    assert set(result["counts"]) == {"done", "failed", "not started"}
    assert result["counts"]["not started"] >= COUNT - 56
    # the truth is in each target
    found = thousand.each("SELECT status FROM migration_history WHERE migration_name = '" + NAME + "'")
    for name, outcome in outcomes.items():
        assert found[name] == {"done": "rolled_back", "failed": "failed", "not started": "applied"}[outcome], name
    used.append(stopped)

    resolve = f"SELECT resolve_migration('{NAME}', 'applied', 'the view is gone')"
    thousand.execute(broken, f"DROP VIEW in_its_way; {resolve}")
    resumed = thousand.run("resume", run_id, "--format", "json")
    assert resumed.code == 0
    rows = json.loads(resumed.out)["rows"]
    assert {row["outcome"] for row in rows} == {"done"}
    assert {row["verification"] for row in rows} == {"restored"}
    events = "SELECT count(*) FROM migration_events WHERE event = 'rolled_back' AND migration_name = '" + NAME + "'"
    assert set(thousand.each(events).values()) == {1}
    column = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'plan'"
    assert set(thousand.each(column).values()) == {0}
    used.append(resumed)

    file = tmp_path / "run.html"
    report = thousand.run("report", run_id, "--output", str(file), common=())
    text = file.read_text()
    assert all(f"<td>{name}</td>" in text for name in thousand.names)
    assert ("<script" not in text, "src=" not in text, text.count("<details>")) == (True, True, COUNT)
    used.append(report)

    again = thousand.run("resume", run_id, "--format", "json")
    assert (again.code, set(thousand.each(events).values())) == (0, {1})
    assert max(one.megabytes for one in used) <= MEGABYTES
