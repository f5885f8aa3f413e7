"""Rollback SQL may leave no other role and no changed setting behind: refused before commit."""

import pytest
from watching import exists, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture(autouse=True)
def role(session):
    session().execute(
        "DO $$ BEGIN IF to_regrole('left_role') IS NULL THEN CREATE ROLE left_role; END IF; END $$; CREATE FUNCTION takes_role() RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET ROLE left_role; END $$"
    )


def settings(connection):
    connection.execute("DO $$ BEGIN END $$")  # which brings PL/pgSQL's own settings
    return dict(connection.execute("SELECT name, setting FROM pg_settings WHERE context IN ('user', 'superuser')").fetchall())


def failure(db, name):
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback(name, confirm=name)
    return caught.value


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE left_role",
        "SET LOCAL ROLE left_role",
        "SET SESSION AUTHORIZATION left_role",
        "SELECT takes_role()",
        "SELECT set_config('role', 'left_role', false)",
    ],
)
def test_another_role(db, applied, session, statement):
    applied("001_t", "CREATE TABLE t ();", f"DROP TABLE t; {statement};")
    error = failure(db, "001_t")
    assert error.sqlstate == "MR020"
    assert "RESET" in error.hint
    assert exists(session(), "t")
    assert db.database.connection.execute("SELECT current_user, session_user").fetchone() == ("postgres", "postgres")
    assert list(session().execute("SELECT DISTINCT database_user FROM migration_events")) == [("postgres",)]


def test_a_role_that_is_given_back_is_fine(db, applied):
    applied("001_t", "CREATE TABLE t (); GRANT ALL ON t TO left_role; ALTER TABLE t OWNER TO left_role;", "SET ROLE left_role; DROP TABLE t; RESET ROLE;")
    assert db.rollback("001_t", confirm="001_t").success


@pytest.mark.parametrize(
    ("statement", "setting"),
    [
        ("SET work_mem = '7MB'", "work_mem"),
        ("SET SESSION statement_timeout = 0", "statement_timeout"),
        ("SET search_path = pg_catalog", "search_path"),
        ("SELECT set_config('work_mem', '7MB', false)", "work_mem"),
        ("DO $$ BEGIN SET work_mem = '7MB'; END $$", "work_mem"),
        ("SET session_replication_role = replica", "session_replication_role"),
        ("SET TIME ZONE 'UTC'", "TimeZone"),
        ("SET DateStyle = german", "DateStyle"),
        ("SET check_function_bodies = off", "check_function_bodies"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "default_transaction_read_only"),
        ("SET LOCAL work_mem = '9MB'; SET work_mem = '7MB'", "work_mem"),
        ("SET work_mem = '7MB'; SET LOCAL work_mem = '9MB'", "work_mem"),
    ],
)
def test_changed_settings(db, applied, session, statement, setting):
    connection = db.database.connection
    before = value(connection, "SELECT current_setting(%s)", setting)
    applied("001_t", "CREATE TABLE t ();", f"DROP TABLE t; {statement};")
    error = failure(db, "001_t")
    assert error.sqlstate == "MR021"
    assert setting in error.message
    assert exists(session(), "t")
    assert value(connection, "SELECT current_setting(%s)", setting) == before


@pytest.mark.parametrize("rest", ["SET work_mem = '7MB'", "SET ROLE left_role", "SELECT set_config('work_mem', '7MB', false)", "SET search_path = pg_catalog"])
def test_behind_a_drop_in_sql_that_was_set_by_hand(db, session, rest):
    # nobody has cut this text into statements: its first word says nothing about the rest
    connection = session()
    connection.execute("CREATE TABLE t ()")
    connection.execute("SELECT register_migration('001_t', '001', rollback_sql => %s)", (f"DROP TABLE t; {rest}",))
    before = value(db.database.connection, "SHOW work_mem")
    assert failure(db, "001_t").sqlstate in ("MR020", "MR021")
    assert exists(connection, "t")
    assert value(db.database.connection, "SHOW work_mem") == before


@pytest.mark.parametrize(
    "statement",
    [
        "SET app.tenant = '7'",
        "SELECT set_config('app.tenant', '7', false)",
        "SET migrollback.recording = 'on'",
        "SELECT set_config('migrollback.recording', 'on', false)",
    ],
)
def test_a_setting_that_no_list_shows(db, applied, session, statement):
    # pg_settings leaves out settings that nobody has declared
    applied("001_t", "CREATE TABLE t ();", f"DROP TABLE t; {statement};")
    name = "app.tenant" if "app.tenant" in statement else "migrollback.recording"
    error = failure(db, "001_t")
    assert error.sqlstate == "MR021"
    assert value(db.database.connection, "SELECT coalesce(current_setting(%s, true), '')", name) == ""


@pytest.mark.parametrize(
    "statement",
    [
        "SET LOCAL work_mem = '7MB'", "SET LOCAL search_path = pg_catalog, public", "SET LOCAL TIME ZONE 'UTC'", "SET LOCAL DateStyle = german", "SET LOCAL IntervalStyle = iso_8601",
        "SET LOCAL lock_timeout = '9s'", "SET LOCAL statement_timeout = '9s'", "SET LOCAL app.tenant = '7'", "SET LOCAL session_replication_role = replica", "SET LOCAL \"WORK_MEM\" = '7MB'",
        "SELECT set_config('work_mem', '7MB', true)", "DO $$ BEGIN SET LOCAL work_mem = '7MB'; END $$", "SET work_mem = '7MB'; RESET work_mem", "SET CONSTRAINTS ALL DEFERRED",
        "DO $$ BEGIN PERFORM set_config('work_mem', '7MB', true); END $$",
    ],
)  # fmt: skip
def test_what_ends_with_the_transaction_is_fine(db, applied, session, statement):
    connection = db.database.connection
    before = settings(connection)
    applied("001_t", "CREATE TABLE t ();", f"{statement}; DROP TABLE public.t;")
    assert db.rollback("001_t", confirm="001_t").success
    assert settings(connection) == before


def test_our_own_record_is_written_under_the_settings_from_before(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "SET LOCAL session_replication_role = replica; SET LOCAL TimeZone = 'UTC'; DROP TABLE t;")
    applied("002_u", "CREATE TABLE u ();", "DROP TABLE u;")
    db.rollback(["001_t", "002_u"], confirm="002_u")
    assert status(session(), "001_t") == "rolled_back"
    assert db.verify_events().intact


DUMPED = "SET statement_timeout = 0; SET client_encoding = 'UTF8'; SELECT pg_catalog.set_config('search_path', '', false); SET row_security = off; SET check_function_bodies = false;"


def test_an_up_part_as_pg_dump_writes_it_leaves_no_setting_either(db, applied, session):
    connection = db.database.connection
    before = settings(connection)
    applied("001_dump", f"{DUMPED} CREATE TABLE public.t ();", "DROP TABLE t;")
    assert settings(connection) == before
    applied("002_next", "CREATE TABLE u ();", "DROP TABLE u;")  # finds public, as it would have without the first
    assert exists(session(), "public.u")
    assert value(session(), "SELECT count(DISTINCT metadata ->> 'search_path') FROM migration_history WHERE metadata ->> 'system' IS NULL") == 1


def test_an_up_part_may_not_leave_a_role(db, write_migration, session):
    write_migration("001_t", "CREATE TABLE t (); SET ROLE left_role;")
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply("001_t")
    assert caught.value.sqlstate == "MR020"
    assert not exists(session(), "t")


def test_settings_of_a_failed_rollback_are_gone_with_it(db, applied):
    connection = db.database.connection
    applied("001_t", "CREATE TABLE t ();", "SET work_mem = '7MB'; SET ROLE left_role; SELECT 1/0;")
    failure(db, "001_t")
    assert connection.execute("SELECT current_user").fetchone() == ("postgres",)
    assert value(connection, "SHOW work_mem") != "7MB"
