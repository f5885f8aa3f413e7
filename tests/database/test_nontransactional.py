"""Rollbacks that PostgreSQL refuses inside a transaction:
statement by statement, journalled, resumed where they stopped."""

import psycopg
import pytest
from watching import AROUND, Background, events, eventually, eventually_waits, exists, status, value

import migrollback_nb as mr
from migrollback_nb.database import nontransactional

pytestmark = pytest.mark.older

UP = "CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE INDEX j ON t (a);"
OUTSIDE = " transaction:false"


@pytest.mark.versions
def test_statement_by_statement(db, applied, session):
    applied(
        "001_t", UP, "DROP INDEX CONCURRENTLY i;\nDROP INDEX CONCURRENTLY j;\nVACUUM t;\nDROP TABLE t;", options=OUTSIDE
    )
    check = db.check("001_t")
    assert check.can_rollback
    assert any("statement by statement" in warning for warning in check.warnings)
    result = db.rollback("001_t", confirm="001_t", reason="incident 7", preview=db.preview("001_t"))
    assert result.success
    assert result.message == "Migration rolled back successfully"
    assert not exists(session(), "t")
    assert status(session(), "001_t") == "rolled_back"
    assert events(session(), after=3) == ["started", *["statement_completed"] * 4, "rolled_back"]
    assert db.verify_events().intact


@pytest.mark.versions
def test_an_interrupted_run_resumes_where_it_stopped(db, applied, session):
    connection = session()
    connection.execute("CREATE TABLE ran (statement int)")
    applied(
        "001_t",
        UP,
        "INSERT INTO ran VALUES (1); DROP INDEX CONCURRENTLY i; INSERT INTO ran SELECT 1/count(*) FROM needed; INSERT"
        " INTO ran VALUES (4);",
        options=OUTSIDE,
    )
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t")
    assert (caught.value.statement_number, caught.value.sqlstate) == (3, "42P01")
    assert "2 of 4 statements have run and stay" in caught.value.message
    assert (
        "undone" not in caught.value.hint.replace("Everything it did was undone", "undone")
        or "stay" in caught.value.hint
    )
    assert status(connection, "001_t") == "failed"
    assert not exists(connection, "i")
    connection.execute("CREATE TABLE needed AS SELECT 1")
    db.resolve("001_t", status="applied", reason="table needed is there now: go on")
    assert db.rollback("001_t", confirm="001_t").success
    assert [row for (row,) in connection.execute("SELECT * FROM ran").fetchall()] == [1, 1, 4]
    assert status(connection, "001_t") == "rolled_back"


def test_a_transient_error_leaves_applied_and_resumes(db, applied, session):
    connection = session()
    connection.execute("CREATE TABLE ran (statement int); CREATE SEQUENCE tries")
    applied(
        "001_t",
        UP,
        "INSERT INTO ran VALUES (1); DO $$ BEGIN IF nextval('tries') = 1 THEN RAISE EXCEPTION 'full' USING ERRCODE ="
        " '53100'; END IF; END $$; INSERT INTO ran VALUES (3);",
        options=OUTSIDE,
    )
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t")
    assert caught.value.passing
    assert status(connection, "001_t") == "applied"
    assert db.rollback("001_t", confirm="001_t").success
    assert [row for (row,) in connection.execute("SELECT * FROM ran").fetchall()] == [1, 3]


def test_after_it_was_applied_again_it_starts_over(db, applied, session):
    applied("001_t", UP, "DROP INDEX CONCURRENTLY i; DROP TABLE t;", options=OUTSIDE)
    db.rollback("001_t", confirm="001_t")
    db.apply("001_t")
    assert exists(session(), "i")
    assert db.rollback("001_t", confirm="001_t").success
    assert not exists(session(), "t")


def test_it_follows_the_gate(db, applied, session):
    applied("001_t", UP, "DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    applied("002_u", "SELECT 1;", "SELECT 1;", depends_on=["001_t"])
    with pytest.raises(mr.Refused) as caught:
        db.rollback("001_t", confirm="001_t")
    assert caught.value.dependents == ("002_u",)
    assert exists(session(), "i")


def test_no_dependent_is_registered_at_the_same_time(applied, write_migration, *, session, latch, database_dsn, folder):
    applied("001_t", UP, f"DROP INDEX CONCURRENTLY i; {latch.wait} DROP TABLE t;", options=OUTSIDE)
    write_migration("002_u", "-- Depends on: 001_t\nSELECT 1;")
    with (
        mr.connect(database_dsn, dir=folder) as db,
        mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="200ms", retries=0)) as other,
    ):
        going = Background(lambda: db.rollback("001_t", confirm="001_t"))
        latch.eventually_reached()
        for deed in (lambda: other.register("002_u"), lambda: other.rollback("001_t", confirm="001_t")):
            with pytest.raises(mr.LockBusy):
                deed()
        latch.release()
        assert going.result().success
    assert status(session(), "001_t") == "rolled_back"


@pytest.mark.versions
def test_two_at_once_run_it_once(applied, session, database_dsn, folder):
    session().execute("CREATE TABLE ran ()")
    applied(
        "001_t", UP, "INSERT INTO ran DEFAULT VALUES; SELECT pg_sleep(0.5); DROP INDEX CONCURRENTLY i;", options=OUTSIDE
    )

    def attempt():
        with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="10s")) as db:
            try:
                return db.rollback("001_t", confirm="001_t").success
            except mr.Refused:
                return False

    both = [Background(attempt) for _ in range(3)]
    assert sorted(one.result() for one in both) == [False, False, True]
    assert value(session(), "SELECT count(*) FROM ran") == 1


@pytest.mark.versions
def test_concurrently_waits_for_a_reader_rather_than_leave_half_an_index(db, applied, session):
    watcher = session()
    applied("001_t", UP, "DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    reader = session()
    reader.execute("BEGIN; SELECT * FROM t")
    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    eventually(
        lambda: (
            value(
                watcher,
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP INDEX CONC%%' AND wait_event_type ="
                " 'Lock'",
            )
            == 1
        ),
        "it waits for the reader",
    )
    reader.execute("COMMIT")
    assert going.result().success
    assert value(session(), "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


def test_a_preview_that_is_no_longer_true_is_refused(db, applied, session):
    applied("001_t", UP, "DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    preview = db.preview("001_t")
    session().execute(
        "UPDATE migration_history SET rollback_sql = 'DROP INDEX CONCURRENTLY j' WHERE migration_name = '001_t'"
    )
    with pytest.raises(mr.Refused):
        db.rollback("001_t", confirm="001_t", preview=preview)
    assert exists(session(), "j")


def test_it_is_no_part_of_a_chain(db, applied, session):
    applied("001_t", UP, "DROP TABLE t;")
    applied("002_u", "SELECT 1;", "DROP INDEX CONCURRENTLY i;", depends_on=["001_t"], options=OUTSIDE)
    with pytest.raises(mr.Refused):
        db.rollback("001_t", confirm="001_t", chain=True)
    assert exists(session(), "i")


def test_psql_is_told_how(applied, session):
    applied("001_t", UP, "DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    success, message, _ = session().execute("SELECT * FROM execute_migration_rollback('001_t')").fetchone()
    assert not success
    assert "migrollback rollback" in message
    assert exists(session(), "i")


def test_psql_cannot_claim_an_end_that_is_none(applied, session):
    applied("001_t", UP, "DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    applied("002_u", "SELECT 1;", "SELECT 1;")
    for name in ("001_t", "002_u"):
        with pytest.raises(psycopg.Error) as caught:
            session().execute("SELECT finish_migration_rollback(%s, gen_random_uuid())", (name,))
        assert caught.value.sqlstate == "MR002"
        assert status(session(), name) == "applied"


def test_a_borrowed_connection_is_told_that_two_are_needed(applied, session, folder):
    applied("001_t", UP, "DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    with pytest.raises(mr.UsageError):
        mr.connect(connection=session(), dir=folder).rollback("001_t", confirm="001_t")
    assert exists(session(), "i")


@pytest.mark.versions
def test_an_up_migration_outside_a_transaction(db, write_migration, session):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    write_migration(
        "002_i",
        "-- Transaction: false\n-- Depends on: 001_t\nCREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM t;\n-- ROLLBACK"
        " START\nDROP INDEX i;\n-- ROLLBACK END",
    )
    assert db.apply().applied == ("001_t", "002_i")
    assert exists(session(), "i")
    assert [event for event in db.events("002_i")["event"] if event not in AROUND] == [
        "statement_completed",
        "statement_completed",
        "applied",
    ]
    assert db.check("001_t").dependent_migrations == ("002_i",)


def test_an_up_migration_outside_a_transaction_resumes(db, write_migration, session):
    session().execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)")
    write_migration(
        "001_i", "-- Transaction: false\nCREATE TABLE made ();\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (a);"
    )
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply()
    assert caught.value.statement_number == 2
    assert "Statements that ran before it, outside a transaction, stay" in str(caught.value)
    assert "undone" not in str(caught.value)
    assert "001_i" not in set(db.history()["migration_name"])
    session().execute("TRUNCATE t; DROP INDEX i")
    assert db.apply().applied == ("001_i",)
    assert value(session(), "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass")


@pytest.mark.versions
def test_an_up_migration_that_needs_it_and_does_not_say_so_is_refused_with_its_line(db, write_migration, session):
    write_migration("001_i", "CREATE TABLE t (a int);\n\nCREATE INDEX CONCURRENTLY i ON t (a);")
    with pytest.raises(mr.Refused) as caught:
        db.apply()
    assert "001_i.sql:3: CREATE INDEX CONCURRENTLY" in str(caught.value)
    assert "Transaction: false" in caught.value.hint
    assert not exists(session(), "t")


def test_an_up_migration_outside_a_transaction_needs_its_dependencies(db, applied, write_migration, session):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    db.rollback("001_t", confirm="001_t")
    write_migration("002_u", "-- Transaction: false\n-- Depends on: 001_t\nCREATE TABLE u ();")
    with pytest.raises(mr.MigrollbackError):
        db.apply("002_u")
    assert not exists(session(), "u")


def test_an_up_migration_outside_a_transaction_looks_at_its_dependencies_under_the_lock(
    db, applied, write_migration, session, monkeypatch
):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    write_migration("002_u", "-- Transaction: false\n-- Depends on: 001_t\nCREATE TABLE u ();")
    whole = nontransactional.gate_held

    def gate_after_another_session(asking):
        session().execute("SELECT execute_migration_rollback('001_t')")
        return whole(asking)

    monkeypatch.setattr(nontransactional, "gate_held", gate_after_another_session)
    with pytest.raises(mr.MigrollbackError):
        db.apply("002_u")
    assert not exists(session(), "u")


def test_settings_of_one_statement_do_not_reach_the_next_run(db, applied):
    applied("001_t", UP, "SET work_mem = '7MB'; DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    assert db.rollback("001_t", confirm="001_t").success
    assert value(db.database.connection, "SHOW work_mem") != "7MB"


def test_a_registration_waits_no_longer_than_asked(applied, session, *, latch, database_dsn, folder, write_migration):
    applied("001_t", UP, f"{latch.wait} DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    write_migration("002_u", "SELECT 1;")
    with (
        mr.connect(database_dsn, dir=folder) as db,
        mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="10s")) as other,
    ):
        going = Background(lambda: db.rollback("001_t", confirm="001_t"))
        latch.eventually_reached()
        registering = Background(lambda: other.register("002_u"))
        eventually_waits(session(), other.database.connection.info.backend_pid)
        latch.release()
        assert going.result().success
        assert registering.result().outcome == "registered"


def test_settings_hold_for_the_statements_that_follow_and_go_with_the_run(db, applied, session):
    connection = session()
    connection.execute(
        "CREATE SCHEMA apart; CREATE TABLE apart.seen (what text); CREATE TABLE apart.here (a int); CREATE TABLE needed"
        " (a int)"
    )
    note = (
        "INSERT INTO seen VALUES (concat_ws(' ', current_setting('timezone'), current_setting('statement_timeout'),"
        " current_setting('lock_timeout'), 'ä'))"
    )
    applied(
        "001_t",
        "SELECT 1;",
        "SET search_path = apart; SELECT set_config('timezone', 'UTC', false); SET statement_timeout = '99s'; SET"
        " lock_timeout = '7s'; SET client_encoding = 'LATIN1'; SET client_min_messages = error; SET app.tenant = '7';"
        f" {note}; INSERT INTO seen SELECT 1/count(*) FROM public.needed; {note}; CREATE INDEX CONCURRENTLY i ON here"
        " (a); DROP TABLE IF EXISTS gone; DROP TABLE here;",
        options=OUTSIDE,
    )
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t")
    assert caught.value.sqlstate == "22012"
    connection.execute("INSERT INTO needed VALUES (1)")
    db.resolve("001_t", status="applied", reason="go on")
    result = db.rollback("001_t", confirm="001_t")  # resumes: what was set by the first eight statements holds again
    assert {what for (what,) in connection.execute("SELECT what FROM apart.seen").fetchall()} == {"UTC 99s 7s ä", "1"}
    assert not exists(connection, "apart.here")
    assert [notice.message for notice in result.notices if notice.skipped] == ['table "gone" does not exist, skipping']
    names = "TimeZone, app.tenant, client_encoding, client_min_messages, lock_timeout, search_path, statement_timeout"
    assert result.warnings[-1] == f"Settings that the rollback SQL of 001_t had changed were put back: {names}"
    last = connection.execute(
        "SELECT details -> 'settings_put_back' FROM migration_events WHERE event = 'rolled_back'"
    ).fetchone()
    assert last == (names.split(", "),)
