"""Rollbacks that PostgreSQL refuses inside a transaction:
statement by statement, journalled, resumed where they stopped."""

import psycopg
import pytest
from watching import AROUND, Background, events, eventually, eventually_waits, exists, status, value

import migrollback_nb as mr
from migrollback_nb.database import nontransactional

pytestmark = pytest.mark.versions

UP = "CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE INDEX j ON t (a);"
OUTSIDE = " transaction:false"


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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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
    assert "Half applied: 1 of 2 statements ran" in caught.value.hint
    assert "undone" not in str(caught.value)
    assert "001_i" not in set(db.history()["migration_name"])
    session().execute("TRUNCATE t; DROP INDEX i")
    assert db.apply().applied == ("001_i",)
    assert value(session(), "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass")


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


@pytest.mark.long
def test_settings_of_one_statement_do_not_reach_the_next_run(db, applied):
    applied("001_t", UP, "SET work_mem = '7MB'; DROP INDEX CONCURRENTLY i;", options=OUTSIDE)
    assert db.rollback("001_t", confirm="001_t").success
    assert value(db.database.connection, "SHOW work_mem") != "7MB"


@pytest.mark.long
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


# -- what stopped halfway ----------------------------------------------------------------------------------------------

BIG = "CREATE TABLE big (a int); INSERT INTO big VALUES (1), (1);"
DROP_BIG = "DROP INDEX CONCURRENTLY public.big_a;"


def is_valid(connection, index):
    return value(connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", index)


@pytest.mark.long
def test_an_invalid_index_is_named_at_failure_and_at_the_retry(db, write_migration, session):
    connection = session()
    connection.execute(BIG)
    write_migration("001_i", "-- Transaction: false\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS big_a ON big (a);")
    for _ in range(2):
        with pytest.raises(mr.ApplyFailed) as caught:
            db.apply()
        assert "index public.big_a of public.big is invalid" in str(caught.value)
        assert "unique is not enforced" in str(caught.value)
        assert DROP_BIG in caught.value.hint
        assert "migrollback apply 001_i" in caught.value.hint
        connection.execute("DELETE FROM big")  # the cause is gone, and the index is what it was
    assert caught.value.sqlstate == "55000"
    assert not is_valid(connection, "big_a")
    connection.execute(DROP_BIG)  # what was printed
    assert db.apply().applied == ("001_i",)
    assert is_valid(connection, "big_a")


def test_so_it_is_where_the_statement_would_not_pass_it_over(db, write_migration, session):
    connection = session()
    connection.execute(BIG)
    write_migration("001_i", "-- Transaction: false\nCREATE UNIQUE INDEX CONCURRENTLY big_a ON big (a);")
    for sqlstate in ("23505", "42P07"):
        with pytest.raises(mr.ApplyFailed) as caught:
            db.apply()
        assert caught.value.sqlstate == sqlstate
        assert DROP_BIG in caught.value.hint


def test_in_a_transaction_an_invalid_index_is_not_passed_over_either(db, write_migration, session):
    connection = session()
    connection.execute(BIG)
    with pytest.raises(psycopg.Error):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY big_a ON big (a)")
    connection.execute("DELETE FROM big")
    write_migration("001_i", "CREATE TABLE t (); CREATE UNIQUE INDEX IF NOT EXISTS big_a ON big (a);")
    with pytest.raises(mr.Refused) as caught:
        db.apply()
    assert DROP_BIG in caught.value.hint
    assert not exists(connection, "t")
    write_migration("001_i", "DROP INDEX IF EXISTS big_a; CREATE UNIQUE INDEX IF NOT EXISTS big_a ON big (a);")
    assert db.apply().applied == ("001_i",)
    assert is_valid(connection, "big_a")


def test_what_is_half_applied_is_shown_as_such(db, write_migration, session):
    connection = session()
    connection.execute(BIG)
    write_migration(
        "001_i", "-- Transaction: false\nCREATE TABLE made ();\nCREATE UNIQUE INDEX CONCURRENTLY big_a ON big (a);"
    )
    with pytest.raises(mr.ApplyFailed):
        db.apply()
    check = db.check("001_i")
    assert not check.can_rollback
    assert check.reason.startswith("Half applied: 1 of 2 statements ran; index public.big_a of public.big is invalid")
    assert value(connection, "SELECT reason FROM can_rollback_migration('001_i')") == check.reason
    assert f"001_i: {check.reason}" in db.list().attrs["warnings"]
    assert f"001_i: {check.reason}" in db.history().attrs["warnings"]
    with pytest.raises(mr.Refused, match="Half applied"):
        db.rollback("001_i", confirm="001_i")
    (found,) = connection.execute(
        "SELECT migration_name, direction, statements_completed, statements, left_unfinished, message"
        " FROM half_applied_migrations()"
    ).fetchall()
    assert found[:5] == ("001_i", "apply", 1, 2, ["public.big_a"])
    assert found[5].startswith("could not create unique index")


@pytest.mark.long
def test_what_was_undone_by_hand_begins_anew(db, write_migration, session):
    connection = session()
    connection.execute(BIG)
    write_migration(
        "001_i", "-- Transaction: false\nCREATE TABLE made ();\nCREATE UNIQUE INDEX CONCURRENTLY big_a ON big (a);"
    )
    with pytest.raises(mr.ApplyFailed):
        db.apply()
    connection.execute("DROP TABLE made; DELETE FROM big")
    connection.execute(DROP_BIG)
    assert db.resolve("001_i", status="rolled_back", reason="undone by hand").outcome == "half applied -> rolled_back"
    with pytest.raises(mr.MigrationNotFound):
        db.check("001_i")
    assert db.apply().applied == ("001_i",)
    assert exists(connection, "made")
    with pytest.raises(mr.MigrationNotFound):
        db.resolve("002_x", status="rolled_back", reason="no such one")


def test_a_rollback_that_stopped_is_shown_as_half_rolled_back(db, applied, session):
    connection = session()
    connection.execute(BIG)
    applied(
        "001_t", UP, "DROP INDEX i;\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS big_a ON big (a);", options=OUTSIDE
    )
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t")
    assert "Half rolled back: 1 of 2 statements ran; index public.big_a" in caught.value.hint
    assert any(warning.startswith("Half rolled back: 1 of 2") for warning in db.check("001_t").warnings)
    connection.execute("DELETE FROM big")
    db.resolve("001_t", status="applied", reason="what was printed")
    with pytest.raises(mr.RollbackFailed, match="IF NOT EXISTS would pass over it"):
        db.rollback("001_t", confirm="001_t")
    connection.execute(DROP_BIG)
    db.resolve("001_t", status="applied", reason="what was printed")
    assert db.rollback("001_t", confirm="001_t").success
    assert is_valid(connection, "big_a")
    assert connection.execute("SELECT * FROM half_applied_migrations()").fetchall() == []


@pytest.mark.each_server
def test_a_broken_off_drop_and_detach_are_ended_by_the_next_run(db, applied, session):
    connection = session()
    connection.execute(
        "CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
    )
    applied(
        "001_t",
        UP,
        "DROP INDEX CONCURRENTLY i;\nALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;\nDROP TABLE t;",
        options=OUTSIDE,
    )
    for table, left in (
        ("t", "index public.i of public.t is invalid"),
        ("p", "partition public.p1 is not yet detached"),
    ):
        reader = session()
        reader.execute(f"BEGIN; SELECT * FROM {table}")
        going = Background(lambda: db.rollback("001_t", confirm="001_t"))
        eventually(
            lambda: value(
                connection,
                "SELECT coalesce(bool_or(pg_cancel_backend(pid)), false) FROM pg_stat_activity WHERE query ~"
                " '^(DROP|ALTER).*CONCURRENTLY' AND wait_event_type = 'Lock'",
            ),
            "it waits for the reader",
        )
        with pytest.raises(mr.RollbackFailed) as caught:
            going.result()
        reader.execute("COMMIT")
        assert left in caught.value.hint
        assert "Run " not in caught.value.hint  # the next run ends it itself
    assert db.rollback("001_t", confirm="001_t").success
    assert connection.execute("SELECT * FROM unfinished_schema_objects()").fetchall() == []
    assert value(connection, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'p'::regclass") == 0


def test_the_case_of_an_invalid_index(db, write_migration, session):
    """cases/sql/invalid-index-if-not-exists"""
    write_migration(
        "20260101_base",
        "create table big (id int primary key, code text);\ninsert into big values (1, 'a'), (2, 'a');\n-- ROLLBACK"
        " START\n-- drop table big;\n-- ROLLBACK END",
    )
    write_migration(
        "20260102_idx",
        "-- Transaction: false\ncreate unique index concurrently if not exists big_code on big (code);\n-- ROLLBACK"
        " START transaction:false\n-- drop index concurrently if exists big_code;\n-- ROLLBACK END",
    )
    with pytest.raises(mr.ApplyFailed):
        db.apply()
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply()
    assert "public.big_code" in caught.value.message
    assert "DROP INDEX CONCURRENTLY public.big_code" in caught.value.hint
