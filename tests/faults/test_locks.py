"""Waiting for locks: short, tried again, with the names of those who block; nothing is changed meanwhile."""

import time

import psycopg
import pytest
from watching import (
    Background,
    events,
    eventually,
    eventually_sleeps,
    eventually_waits,
    exists,
    last_event,
    status,
    value,
)

import migrollback_nb as mr

pytestmark = pytest.mark.versions

SHORT = mr.Timeouts(lock_timeout="100ms", retries=1)


@pytest.fixture
def hasty(database_dsn, folder):
    with mr.connect(database_dsn, dir=folder, timeouts=SHORT) as migrations:
        yield migrations


@pytest.fixture
def table(applied):
    return applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")


@pytest.mark.each_server
def test_a_lock_timeout_leaves_everything_and_names_who_blocks(hasty, table, session):
    reader = session(application_name="a long report")
    with reader.transaction():
        reader.execute("SELECT * FROM t")
        with pytest.raises(mr.MigrollbackError) as caught:
            hasty.rollback(table, confirm=table)
    assert caught.value.sqlstate == "55P03"
    assert "a long report" in str(caught.value)
    assert str(reader.info.backend_pid) in str(caught.value)
    assert status(session(), table) == "applied"
    assert exists(session(), "t")
    assert last_event(session())["details"]["passing"]
    assert hasty.rollback(table, confirm=table).success


def test_it_is_tried_again_until_the_lock_is_free(database_dsn, folder, table, session):
    watcher = session()
    reader = session()
    reader.execute("BEGIN; SELECT * FROM t")
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="100ms", retries=20)) as db:
        going = Background(lambda: db.rollback(table, confirm=table))
        eventually(lambda: events(watcher).count("failed") >= 2, "two tries met the lock")
        reader.execute("COMMIT")
        assert going.result().success
    assert status(session(), table) == "rolled_back"


@pytest.mark.long
def test_others_wait_behind_us_no_longer_than_the_timeout(hasty, table, session):
    reader, other = session(), session()
    reader.execute("BEGIN; SELECT * FROM t")
    going = Background(lambda: hasty.rollback(table, confirm=table))
    longest = 0.0
    while going.running:
        began = time.monotonic()
        other.execute("SELECT * FROM t")
        longest = max(longest, time.monotonic() - began)
    with pytest.raises(mr.MigrollbackError):
        going.result()
    reader.execute("COMMIT")
    assert longest < 1.5, "a reader stood in the queue behind the rollback"


def test_an_apply_names_who_blocks_too(hasty, table, session, write_migration):
    reader = session(application_name="a long report")
    reader.execute("BEGIN; SELECT * FROM t")
    write_migration("002_u", "ALTER TABLE t ADD b int;")
    with pytest.raises(mr.ApplyFailed, match=r"a long report.*") as caught:
        hasty.apply("002_u", snapshots="none")
    assert caught.value.sqlstate == "55P03"


@pytest.mark.long
def test_the_gate_is_held_by_another_rollback(hasty, table, session):
    holder = session(application_name="another rollback")
    holder.execute("BEGIN; SELECT lock_migrations()")
    before = events(session())
    for deed in (
        lambda: hasty.rollback(table, confirm=table),
        lambda: hasty.register(table),
        lambda: hasty.resolve(table, status="rolled_back", reason="x"),
    ):
        with pytest.raises(mr.LockBusy) as caught:
            deed()
        assert caught.value.sqlstate == "55P03"
        assert "another rollback" in str(caught.value)
    holder.execute("COMMIT")
    assert set(events(session())[len(before) :]) <= {"started"}
    assert status(session(), table) == "applied"


def test_a_stranger_cannot_stop_a_rollback(hasty, table, session, server):
    server.execute("DO $$ BEGIN IF to_regrole('mallory') IS NULL THEN CREATE ROLE mallory LOGIN; END IF; END $$")
    stranger = session()
    stranger.execute("SET ROLE mallory; BEGIN")
    for key in ("migrollback_nb gate", "migrollback_nb events"):
        stranger.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (key,))
    for gate in ("migration_gate", "migration_event_gate"):
        stranger.execute("SAVEPOINT tried")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute(f"LOCK TABLE {gate} IN ACCESS SHARE MODE")
        stranger.execute("ROLLBACK TO tried")
    assert hasty.rollback(table, confirm=table).success


def test_a_stranger_with_the_watchs_lock_hides_no_rehearsal(applied, session, server, database_dsn, folder):
    """Nor is the stranger cancelled in its place: its process has the higher number."""
    server.execute("DO $$ BEGIN IF to_regrole('mallory') IS NULL THEN CREATE ROLE mallory LOGIN; END IF; END $$")
    applied(
        "001_slow",
        "CREATE TABLE slow (x int); INSERT INTO slow VALUES (1);",
        "ALTER TABLE slow ADD COLUMN y int; SELECT pg_sleep(6);",
    )
    numbers = (
        "SELECT max(classid::bigint << 32 | objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with mr.connect(database_dsn, dir=folder) as other:
        other.check("001_slow")
        stranger, reader = session(), session()
        stranger.execute("SET ROLE mallory")
        going = Background(lambda: other.rehearse("001_slow", max_stall="400ms"))
        eventually_sleeps(reader)
        stranger.execute("SELECT pg_advisory_lock_shared(%s::bigint)", (value(stranger, numbers),))
        working = Background(lambda: stranger.execute("SELECT pg_sleep(1.5)"))
        began = time.monotonic()
        reader.execute("SELECT * FROM slow")
        waited = time.monotonic() - began
        with pytest.raises(mr.RehearsalStopped):
            going.result()
        working.result()
    assert waited < 3


def test_a_dump_does_not_wait_for_a_rollback_nor_stop_it(hasty, table, session):
    dump = session()
    dump.execute("BEGIN; LOCK TABLE migration_gate, migration_event_gate IN ACCESS SHARE MODE")
    assert hasty.rollback(table, confirm=table).success


def test_questions_do_not_wait_for_the_gate(hasty, table, session):
    holder = session()
    holder.execute("BEGIN; SELECT lock_migrations()")
    assert hasty.check(table).can_rollback
    assert hasty.preview(table).fingerprint
    assert not hasty.list().empty
    holder.execute("COMMIT")


@pytest.mark.long
def test_psql_waits_for_the_gate_with_an_end(table, session):
    holder, other = session(), session(options="-c lock_timeout=200ms")
    holder.execute("BEGIN; SELECT lock_migrations()")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        other.execute("SELECT execute_migration_rollback('001_t')")
    assert value(other, "SHOW lock_timeout") == "200ms"
    holder.execute("COMMIT")


def test_a_deadlock_leaves_applied_and_is_tried_again(applied, session, database_dsn, folder):
    watcher = session()
    applied(
        "001_t",
        "CREATE TABLE a (x int); CREATE TABLE b (x int);",
        "SET LOCAL deadlock_timeout = '100ms'; SET LOCAL lock_timeout = '20s'; LOCK TABLE a; SELECT pg_sleep(0.5); LOCK"
        " TABLE b; DROP TABLE a, b;",
    )
    other = session(options="-c deadlock_timeout=10s")
    with mr.connect(database_dsn, dir=folder) as db:
        other.execute("BEGIN; LOCK TABLE b")
        going = Background(lambda: db.rollback("001_t", confirm="001_t"))
        pid = db.database.connection.info.backend_pid
        eventually(
            lambda: (
                value(
                    watcher,
                    "SELECT count(*) FROM pg_locks WHERE pid = %s AND relation = 'a'::regclass AND granted",
                    pid,
                )
                == 1
            ),
            "the rollback holds a",
        )
        waiting = Background(lambda: other.execute("LOCK TABLE a"))
        waiting.result()  # it got the lock: the rollback was the one to be cancelled
        eventually(lambda: "failed" in events(watcher), "the deadlock was recorded")
        event = last_event(session())
        assert (event["details"]["sqlstate"], event["details"]["passing"]) == ("40P01", True)
        assert status(session(), "001_t") == "applied"
        other.execute("COMMIT")
        assert going.result().success


def test_cancel_leaves_applied(db, applied, session):
    watcher = session()
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; SELECT pg_sleep(60);")
    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    pid = db.database.connection.info.backend_pid
    eventually(
        lambda: value(
            watcher, "SELECT wait_event IS NOT DISTINCT FROM 'PgSleep' FROM pg_stat_activity WHERE pid = %s", pid
        ),
        "the rollback sleeps",
    )
    db.database.session.cancel()
    with pytest.raises(mr.RollbackFailed) as caught:
        going.result(seconds=10)
    assert (caught.value.sqlstate, caught.value.passing) == ("57014", True)
    assert status(session(), "001_t") == "applied"
    assert exists(session(), "t")
    assert last_event(session())["event"] == "failed"


def test_control_c_undoes_it_and_leaves_applied(db, applied, session):
    import os
    import signal

    watcher = session()
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; SELECT pg_sleep(60);")

    def press():
        eventually(
            lambda: (
                value(
                    watcher,
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname ="
                    " current_database()",
                )
                == 1
            ),
            "the rollback sleeps",
        )
        os.kill(os.getpid(), signal.SIGINT)

    pressing = Background(press)
    with pytest.raises(KeyboardInterrupt):
        db.rollback("001_t", confirm="001_t", reason="incident 7")
    pressing.result()
    assert exists(session(), "t")
    assert status(session(), "001_t") == "applied"
    event = last_event(session())
    assert (event["event"], event["reason"], event["details"]["sqlstate"], event["details"]["passing"]) == (
        "failed",
        "incident 7",
        "57014",
        True,
    )
    assert db.check("001_t").can_rollback  # the connection is good


def test_a_cancelled_dry_run_is_no_failed_rollback(table, session):
    look, blocker, asking = session(), session(), session()
    before = events(look)
    with blocker.transaction():
        blocker.execute("LOCK TABLE migration_dependencies IN ACCESS EXCLUSIVE MODE")
        waiting = Background(
            lambda: asking.execute("SELECT * FROM execute_migration_rollbacks(ARRAY[%s], true)", (table,)).fetchall()
        )
        eventually_waits(look, asking.info.backend_pid)
        look.execute("SELECT pg_cancel_backend(%s)", (asking.info.backend_pid,))
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiting.result()
    assert events(look) == before


def test_cancel_reaches_statements_outside_a_transaction(db, applied, session):
    watcher = session()
    applied("001_t", "CREATE TABLE t ();", "SELECT pg_sleep(60); DROP TABLE t;", options=" transaction:false")
    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    eventually(
        lambda: (
            value(
                watcher,
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
            )
            == 1
        ),
        "it sleeps",
    )
    db.database.session.cancel()
    with pytest.raises(mr.RollbackFailed) as caught:
        going.result(seconds=10)
    assert (caught.value.sqlstate, caught.value.passing) == ("57014", True)
    assert status(session(), "001_t") == "applied"


@pytest.mark.long
@pytest.mark.parametrize("options", ["", " transaction:false"], ids=["inside", "outside"])
def test_a_client_that_is_gone_does_not_leave_its_rollback_running(applied, session, database_dsn, options):
    watcher = session()
    import subprocess
    import sys

    applied("001_t", "CREATE TABLE t ();", "SELECT pg_sleep(60); DROP TABLE t;", options=options)
    program = f"import migrollback_nb as mr; mr.connect({database_dsn!r}).rollback('001_t', confirm='001_t')"
    client = subprocess.Popen([sys.executable, "-c", program])
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    eventually(lambda: value(watcher, sleeping) == 1, "the rollback sleeps")
    client.kill()
    client.wait()
    eventually(lambda: value(watcher, sleeping) == 0, "the server saw that its client is gone", seconds=5)
    assert status(session(), "001_t") == "applied"
    assert exists(session(), "t")


SAFE = {
    "lock_timeout": "500ms",
    "statement_timeout": "10min",
    "idle_in_transaction_session_timeout": "1min",
    "synchronous_commit": "on",
    "client_connection_check_interval": "200ms",
}


@pytest.mark.long
def test_safe_settings_reach_the_server(applied, session, database_dsn, folder):
    session().execute("CREATE TABLE seen (name text, setting text)")
    applied("001_t", "SELECT 1;", f"INSERT INTO seen SELECT n, current_setting(n) FROM unnest(ARRAY{list(SAFE)}) n;")
    with mr.connect(f"{database_dsn} options='-c synchronous_commit=off'", dir=folder) as db:
        before = {name: value(db.database.connection, "SELECT current_setting(%s)", name) for name in SAFE}
        db.rollback("001_t", confirm="001_t")
        assert dict(session().execute("SELECT * FROM seen").fetchall()) == SAFE
        # and not the session: through a pooler it may be another client's next
        assert {name: value(db.database.connection, "SELECT current_setting(%s)", name) for name in SAFE} == before


def test_safe_settings_reach_statements_outside_a_transaction(applied, session, database_dsn, folder):
    names = [name for name in SAFE if name != "idle_in_transaction_session_timeout"]  # there is no transaction
    session().execute("CREATE TABLE seen (name text, setting text)")
    applied(
        "001_t",
        "SELECT 1;",
        f"INSERT INTO seen SELECT n, current_setting(n) FROM unnest(ARRAY{names}) n;",
        options=" transaction:false",
    )
    with mr.connect(f"{database_dsn} options='-c synchronous_commit=off'", dir=folder) as db:
        db.rollback("001_t", confirm="001_t")
    assert dict(session().execute("SELECT * FROM seen").fetchall()) == {name: SAFE[name] for name in names}


@pytest.mark.long
@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout", "idle_timeout"])
def test_a_limit_that_postgresql_cannot_read_is_an_error_in_words(applied, session, database_dsn, folder, limit):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(**{limit: "5 parsecs"})) as db:
        with pytest.raises(mr.MigrollbackError, match="parsecs"):
            db.rollback("001_t", confirm="001_t")
        assert exists(session(), "t")
        assert db.check("001_t").can_rollback  # the connection is good


def test_nothing_is_prepared_on_the_server(db, applied):
    # through a pooler a prepared statement is found on one connection and not on the next
    applied("001_t", "SELECT 1;", "SELECT 1;")
    for _ in range(12):
        db.check("001_t")
        db.preview("001_t")
    assert value(db.database.connection, "SELECT count(*) FROM pg_prepared_statements") == 0


@pytest.fixture
def patient(database_dsn, folder):
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="10s")) as migrations:
        yield migrations


def test_a_registration_waits_for_a_rollback_that_runs(db, patient, *, applied, write_migration, session, latch):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; " + latch.wait)
    write_migration("002_u", "SELECT 1;")
    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    latch.eventually_reached()
    registering = Background(lambda: patient.register("002_u"))
    eventually_waits(session(), patient.database.connection.info.backend_pid)
    latch.release()
    assert going.result().success
    assert registering.result().outcome == "registered"
