"""The same rollback from many clients, again and again: exactly one runs in each round, direct and through a pooler."""

import threading
from contextlib import nullcontext

import psycopg
import pytest
from poolers import PgBouncer, program
from watching import Background, value

import migrollback_nb as mr

CLIENTS = 50
POOLED = pytest.mark.skipif(not program(), reason="this machine has no pgbouncer (apt-get install pgbouncer)")
DONE, ALREADY = "Migration rolled back successfully", "Already rolled back, cannot rollback again"


@pytest.mark.parametrize(
    ("way", "rounds"),
    [
        pytest.param("pooled", 1, marks=POOLED),
        pytest.param("pooled", 20, marks=[POOLED, pytest.mark.long]),
        pytest.param("direct", 20, marks=pytest.mark.long),  # one round by hand: test_concurrency
    ],
)
def test_of_fifty_clients_one_runs_it_in_each_round(server, db, write_migration, database_dsn, session, *, way, rounds):
    look = session()
    look.execute("CREATE TABLE ran (a int)")
    write_migration(
        "001_t",
        "CREATE TABLE t (a int);\n-- ROLLBACK START\nINSERT INTO ran VALUES (1);\nDROP TABLE t;\n-- ROLLBACK END\n",
    )
    with PgBouncer(server, default_pool_size=10) if way == "pooled" else nullcontext() as pooler:
        dsn = pooler.dsn(database_dsn) if pooler else database_dsn
        ready = threading.Barrier(CLIENTS)
        clients = [
            mr.connect(dsn, dir=db.folder.path, timeouts=mr.Timeouts(lock_timeout="30s", retries=30))
            for _ in range(CLIENTS)
        ]
        try:
            for number in range(1, rounds + 1):
                db.apply("001_t", snapshots="none")

                def attempt(client):
                    ready.wait(timeout=60)
                    try:
                        return client.rollback("001_t", confirm="001_t", snapshots="none").message
                    except mr.Refused as error:
                        return error.message

                going = [Background(lambda client=client: attempt(client)) for client in clients]
                answers = sorted(one.result(seconds=120) for one in going)
                assert answers == [ALREADY] * (CLIENTS - 1) + [DONE], f"round {number}"
                assert value(look, "SELECT count(*) FROM ran") == number
        finally:
            for client in clients:
                client.close()
    assert value(look, "SELECT count(*) FROM migration_events WHERE event = 'rolled_back'") == rounds
    assert db.verify_events().intact


@POOLED
def test_a_pooler_that_is_stopped_amid_a_rollback_is_a_lost_connection(server, db, applied, database_dsn, latch):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; " + latch.wait)
    with PgBouncer(server, default_pool_size=2) as pooler, mr.connect(pooler.dsn(database_dsn)) as client:
        going = Background(lambda: client.rollback("001_t", confirm="001_t", snapshots="none"))
        latch.eventually_reached()
        pooler.kill()
        pooler.start()
        with pytest.raises(mr.ConnectionFailed, match="nothing of it was committed"):
            going.result()
    latch.release()
    assert db.rollback("001_t", confirm="001_t").success
    with psycopg.connect(database_dsn) as look:
        assert value(look, "SELECT count(*) FROM migration_events WHERE event = 'rolled_back'") == 1
