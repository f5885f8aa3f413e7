"""Autovacuum yields only to those who wait longer than deadlock_timeout: one try does."""

import pytest
from watching import eventually, exists, value

import migrollback_nb as mr

pytestmark = [pytest.mark.versions, pytest.mark.long]


@pytest.fixture
def autovacuum(server):
    for setting, setting_value in (("autovacuum", "on"), ("autovacuum_naptime", "1s")):
        server.execute(f"ALTER SYSTEM SET {setting} = '{setting_value}'")
    server.execute("SELECT pg_reload_conf()")
    yield
    server.execute("ALTER SYSTEM RESET autovacuum")
    server.execute("ALTER SYSTEM RESET autovacuum_naptime")
    server.execute("SELECT pg_reload_conf()")


@pytest.mark.usefixtures("autovacuum")
def test_a_rollback_gets_past_autovacuum(db, applied, session, database_dsn, folder):
    watcher = session()
    # slowed down so far that it would run for minutes
    options = (
        "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,"
        " autovacuum_vacuum_cost_limit = 1"
    )
    applied(
        "001_t",
        f"CREATE TABLE t (a text) WITH ({options}); INSERT INTO t SELECT repeat('x', 500) FROM generate_series(1,"
        " 20000); DELETE FROM t;",
        "DROP TABLE t;",
    )
    db.database.connection.execute(
        "SELECT pg_stat_force_next_flush()"
    )  # else autovacuum hears of the rows only 10 s later
    at_work = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%%public.t%%'"
        " AND datname = current_database()"
    )
    eventually(lambda: value(watcher, at_work) == 1, "autovacuum is at work", seconds=30)
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="300ms", retries=3)) as hasty:
        assert hasty.rollback("001_t", confirm="001_t").success
    assert not exists(session(), "t")
