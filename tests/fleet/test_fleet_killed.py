"""A run whose process is killed at a random place, and taken up again: none twice, none lost, none unknown.

With either engine; with dbos, by two workers of which one dies. A hundred times in the long run; seeds are printed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

NAME = "002_users_plan"
PROGRAM = (sys.executable, "-m", "migrollback_nb.cli", "fleet")


@pytest.fixture
def start(databases, tmp_path):
    """Starts the command in a process of its own."""
    targets = databases.write_targets(tmp_path / "targets.toml")
    running: list[subprocess.Popen[str]] = []

    def start_one(*words: str) -> subprocess.Popen[str]:
        common = ("--targets", str(targets), "--dir", str(databases.folder), "--format", "json")
        running.append(
            subprocess.Popen(
                [*PROGRAM, *words, *common],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
        )
        return running[-1]

    yield start_one
    for one in running:
        if one.poll() is None:
            one.kill()
        one.communicate()


def begun(process: subprocess.Popen[str]) -> None:
    """Wait until the run has its id, which is printed before the first target changes."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("Run "), line + process.stderr.read()


def ended(process: subprocess.Popen[str], seconds: float = 120) -> dict[str, object]:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, (process.returncode, out, err)
    return json.loads(out)


def kill_and_resume(databases, start, seed: int, words: tuple[str, ...]) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    run_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    first = start("rollback", NAME, "--confirm", NAME, "--waves", "3", "--parallel", "3", "--run-id", run_id, *words)
    begun(first)
    time.sleep(chance.uniform(0, 1.0))
    os.killpg(first.pid, signal.SIGKILL)
    result = ended(start("resume", run_id, *words))
    assert result["counts"] == {"done": len(databases.names)}
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)
    assert ended(start("resume", run_id, *words))["counts"] == {"done": len(databases.names)}


@pytest.mark.parametrize("databases", [8], indirect=True)
def test_a_run_that_is_killed_is_taken_up_again(databases, start):
    kill_and_resume(databases, start, random.randrange(2**32), ())


def pytest_generate_tests(metafunc):
    """A hundred places with `--long --rounds 40`: forty for each engine, ten for each of two workers that dies."""
    if "seed" in metafunc.fixturenames:
        rounds = metafunc.config.getoption("--rounds") or 8
        metafunc.parametrize("seed", range(rounds if "engine" in metafunc.fixturenames else rounds // 4))


@pytest.mark.long
@pytest.mark.parametrize("databases", [8], indirect=True)
@pytest.mark.parametrize("engine", ["asyncio", "dbos"])
def test_wherever_it_is_killed(databases, start, seed, engine, empty_dsn):
    words = ("--engine", engine, "--state", empty_dsn)
    kill_and_resume(databases, start, seed, words)


@pytest.mark.long
@pytest.mark.parametrize("databases", [12], indirect=True)
@pytest.mark.parametrize("dies", ["the leader", "the other"])
def test_of_two_workers_one_dies(databases, start, dies, seed, empty_dsn):
    words = ("--engine", "dbos", "--state", empty_dsn)
    run_id = str(uuid.uuid4())
    leader = start("rollback", NAME, "--confirm", NAME, "--waves", "4,4", "--parallel", "2", "--run-id", run_id, *words)
    begun(leader)
    other = start("resume", run_id, *words)
    time.sleep(random.Random(seed).uniform(0, 4))
    victim, survivor = (leader, other) if dies == "the leader" else (other, leader)
    os.killpg(victim.pid, signal.SIGKILL)
    assert ended(survivor)["counts"] == {"done": 12}
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)


@pytest.mark.parametrize("databases", [6], indirect=True)
def test_resuming_a_run_that_still_lives_waits_for_it(databases, start, tmp_path):
    run_id = str(uuid.uuid4())
    first = start("rollback", NAME, "--confirm", NAME, "--parallel", "1", "--run-id", run_id)
    begun(first)
    second = start("resume", run_id)
    assert ended(first)["counts"] == ended(second)["counts"] == {"done": 6}
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)
    (kept,) = Path(os.environ["MIGROLLBACK_STATE"]).iterdir()
    assert [json.loads(line)["kind"] for line in kept.read_text().splitlines()][-1] == "finished"
