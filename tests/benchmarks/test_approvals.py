"""What policies and approvals add to a rollback: pytest -n 0 tests/benchmarks/test_approvals.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg

import migrollback_nb as mr

from .conftest import Measure

ROUNDS = 30
#: Of one migration of 200 others, 100 tables and 2,000 events, undone each time: the gate alone, without network.
RUN = "SELECT success FROM execute_migration_rollback('00001_t', reason => 'x', accept_loss => false)"


def spent(connection: psycopg.Connection) -> float:
    """What a process of the server has run, in ms; the clock where the system does not say."""
    file = Path(f"/proc/{connection.info.backend_pid}/schedstat")
    return int(file.read_text().split()[0]) / 1e6 if file.exists() else perf_counter() * 1000


def of_rollback(connection: psycopg.Connection) -> float:
    """What the server runs for a rollback that is undone, in ms: whatever else runs on the machine."""
    took = []
    for _ in range(ROUNDS):
        connection.execute("BEGIN")
        began = spent(connection)
        row = connection.execute(RUN).fetchone()
        took.append(spent(connection) - began)
        connection.execute("ROLLBACK")
        assert row == (True,)
    return median(took)


def test_what_approvals_add(benchmark: Callable, table: list[Measure], new_database: Callable[[], str]) -> None:
    with mr.connect(new_database()) as db, psycopg.connect(db.database.connection.info.dsn, autocommit=True) as other:
        db.install()
        other.execute(
            "DO $$ BEGIN FOR n IN 1..200 LOOP IF n <= 100 THEN EXECUTE format('CREATE TABLE t%s (i int)', n); END IF;"
            " PERFORM register_migration(lpad(n::text, 5, '0') || '_t', lpad(n::text, 5, '0'),"
            " format('DROP TABLE IF EXISTS public.t%s', n), NULL, '{}', '{}', NULL, 'public'); END LOOP;"
            " FOR n IN 1..2000 LOOP PERFORM add_migration_event('checklist_item', '00002_t'); END LOOP; END $$"
        )
        other.execute(
            "DO $$ BEGIN IF to_regrole('bench_bob') IS NULL THEN CREATE ROLE bench_bob SUPERUSER; END IF; END $$"
        )
        without = of_rollback(other)
        other.execute("SELECT set_migration_policy('other', approvals => 2, targets => '{no_*}')")
        beside = of_rollback(other)
        other.execute("SELECT set_migration_policy('one', conditions => '{loses,not_rehearsed}')")
        request = db.request("00001_t").number
        other.execute("SET SESSION AUTHORIZATION bench_bob")
        other.execute("SELECT approve_migration_request(%s)", (request,))
        other.execute("RESET SESSION AUTHORIZATION")
        counted = benchmark.pedantic(of_rollback, (other,), rounds=1)
    for what, took in (("a policy of other migrations", beside), ("one of them, counted", counted)):
        added = (took - without) / 1000
        table.append(
            Measure(
                what=f"approvals add to a rollback: {what}",
                ours=added,
                compared_with="the rollback without",
                other=without / 1000,
                bound="25 ms, with guard and audit",
            )
        )
