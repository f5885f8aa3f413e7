"""The audit log of 497,479 events as frames, beside reading the same rows as psycopg tuples in the same run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.cli.demo.history import write_history

from .conftest import Measure, seconds

EVENTS = 497_479
NOW = datetime.now(UTC)

#: What each reader does with `db`, a `Migrations`, in a process of its own.
READERS = {
    "tuples": (
        "rows = db.database.connection.execute('SELECT event_number, occurred_at, event, migration_name, attempt_id,"
        " database_user, client, reason, details, hash FROM migration_events ORDER BY event_number').fetchall()"
    ),
    "events": "rows = db.events()",
    "attempts": "rows = db.attempts()",
}
PROGRAM = """
import gc, json, resource, sys, time
import migrollback_nb as mr
import pandas
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
db = mr.connect(sys.argv[1])
db.deploys()
before, began = peak(), time.perf_counter()
{read}
print(json.dumps(dict(s=time.perf_counter() - began, mib=peak() - before, rows=len(rows))))
"""


@pytest.fixture(scope="module")
def databases(server_dsn: str) -> Iterator[dict[str, str]]:
    """DSN of one with few events and of one with many, and the same 400 migrations."""
    made = {}
    with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as admin:
        for name, events in (("few", 0), ("many", EVENTS)):
            admin.execute(f"CREATE DATABASE history_{name}")
            made[name] = psycopg.conninfo.make_conninfo(server_dsn, dbname=f"history_{name}")
            with mr.connect(made[name]) as db:
                db.install()
            with psycopg.connect(made[name], autocommit=True) as connection:
                write_history(connection, events=events, now=NOW)
                connection.execute("VACUUM ANALYZE")
        yield made
        for name in made:
            admin.execute(f"DROP DATABASE history_{name} WITH (FORCE)")


@pytest.fixture(scope="module")
def read(databases: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Reader -> the median of three turns, which alternate: seconds, MiB above the start, rows."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in READERS}
    for _ in range(3):
        for name, reader in READERS.items():
            program = [sys.executable, "-c", PROGRAM.format(read=reader), databases["many"]]
            turns[name].append(json.loads(subprocess.run(program, check=True, capture_output=True, text=True).stdout))
    return {name: sorted(found, key=lambda turn: turn["s"])[1] for name, found in turns.items()}


def test_events_beside_tuples(read: dict[str, dict[str, Any]], table: list[Measure]) -> None:
    ours, tuples = read["events"], read["tuples"]
    assert ours["rows"] == tuples["rows"] >= EVENTS
    table.append(
        Measure(
            what=f"events() of {ours['rows']:,}, {ours['mib']:,.0f} MiB",
            ours=ours["s"],
            compared_with=f"psycopg tuples, {tuples['mib']:,.0f} MiB",
            other=tuples["s"],
            bound="0.9 of the time, 0.6 of the memory",
        )
    )
    assert ours["s"] <= 0.9 * tuples["s"]
    assert ours["mib"] <= 0.6 * tuples["mib"]


def test_attempts_beside_tuples(read: dict[str, dict[str, Any]], table: list[Measure]) -> None:
    ours, tuples = read["attempts"], read["tuples"]
    assert ours["rows"] > 50
    table.append(
        Measure(
            what=f"attempts() among {EVENTS:,} events",
            ours=ours["s"],
            compared_with="psycopg tuples of all",
            other=tuples["s"],
            bound="0.5",
        )
    )
    assert ours["s"] <= 0.5 * tuples["s"]


@pytest.mark.parametrize("what", ["events(limit=20)", "check"])
def test_it_does_not_grow_with_the_audit_log(databases: dict[str, str], table: list[Measure], what: str) -> None:
    took = {}
    for size, dsn in databases.items():
        with mr.connect(dsn) as db:
            # one that was rehearsed in both: the fingerprint of its rehearsal is compared, which takes its time
            name = str(db.rehearsals().query("outcome == 'rehearsed'").migration_name.iloc[0])
            deeds: dict[str, Callable[[], object]] = {
                "events(limit=20)": lambda db=db: db.events(limit=20, newest_first=True),
                "check": lambda db=db, name=name: db.check(name),
            }
            took[size] = seconds(deeds[what], rounds=15)
    table.append(
        Measure(
            what=f"{what}, {EVENTS:,} events",
            ours=took["many"],
            compared_with="with 1,000 events",
            other=took["few"],
            bound="1.5",
        )
    )
    assert took["many"] <= 1.5 * took["few"] + 0.002
