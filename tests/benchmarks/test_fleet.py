"""A fleet beside a bare loop of asyncio and psycopg over the same databases, in one run: ratios.

FLEET_TARGETS=1000 .venv/bin/pytest tests/benchmarks/test_fleet.py -n 0 -s
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
import uuid

import psycopg
import pytest
from pg_servers import with_system

import migrollback_nb as mr

TARGETS = int(os.environ.get("FLEET_TARGETS", "100"))
NAME = "002_users_plan"
ROLLBACK = "ALTER TABLE users DROP COLUMN plan"


@pytest.fixture(scope="module")
def fleet_of_many(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "001_users.sql").write_text(
        "CREATE TABLE users (id int PRIMARY KEY);\n-- ROLLBACK START\nDROP TABLE users;\n-- ROLLBACK END\n"
    )
    (folder / f"{NAME}.sql").write_text(
        f"-- Depends on: 001_users\nALTER TABLE users ADD plan text;\n-- ROLLBACK START\n{ROLLBACK};\n-- ROLLBACK END\n"
    )
    template = server.create_database(template=with_system(server))
    with mr.connect(server.dsn(template), dir=folder) as db:
        db.apply()
    names = [server.create_database(template=template) for _ in range(TARGETS)]
    os.environ["MIGROLLBACK_STATE"] = str(folder / "runs")
    yield mr.Fleet([{"name": name, "dsn": server.dsn(name)} for name in names], dir=folder)
    for name in names:
        server.drop_database(name)


def bare(fleet, statement, parallel=32):
    """Connect to each and run one statement, so many at a time."""

    async def run_all():
        places = asyncio.Semaphore(parallel)

        async def one(target):
            async with places, await psycopg.AsyncConnection.connect(target.dsn, autocommit=True) as connection:
                await connection.execute(statement)

        await asyncio.gather(*(one(target) for target in fleet.targets))

    began = time.perf_counter()
    asyncio.run(run_all())
    return time.perf_counter() - began


def timed(call):
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def back_again(fleet):
    """Apply what was rolled back, so that it can be rolled back once more."""
    assert fleet.apply(NAME).success


def test_status(fleet_of_many):
    question = "SELECT count(*) FROM migration_history"
    bare(fleet_of_many, question)
    pairs = [(bare(fleet_of_many, question), timed(fleet_of_many.status_rows)[0]) for _ in range(3)]
    loop, ours = (sorted(times)[1] for times in zip(*pairs, strict=True))
    print(f"\nstatus of {TARGETS}: {ours:.2f} s, bare loop {loop:.2f} s: {ours / loop:.2f} times")


@pytest.mark.parametrize("engine", ["asyncio", "dbos"])
def test_rollback(fleet_of_many, engine, server):
    options = {"waves": (5, 50), "parallel": 32, "engine": engine}
    if engine == "dbos":
        options["state"] = server.dsn(server.create_database())
    statement = "BEGIN; ALTER TABLE users DROP COLUMN plan; ROLLBACK"
    loop = bare(fleet_of_many, statement)
    ours, result = timed(lambda: fleet_of_many.rollback(NAME, confirm=NAME, run_id=str(uuid.uuid4()), **options))
    assert result.success, result.message
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\nrollback in {TARGETS} by {engine}: {ours:.2f} s, its SQL in a bare loop {loop:.2f} s:"
        f" {ours / loop:.2f} times; at most {memory:,.0f} MB of memory"
    )
    back_again(fleet_of_many)
