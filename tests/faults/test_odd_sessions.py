"""Whatever the caller's session is set to, the rules are the same."""

import psycopg
import pytest
from watching import exists, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def connect(database_dsn, folder):
    """Connect with settings of the session: connect("work_mem=1MB")."""
    opened = []

    def connect(*settings):
        options = " ".join(f"-c {setting}" for setting in settings)
        opened.append(mr.connect(psycopg.conninfo.make_conninfo(database_dsn, options=options), dir=folder))
        return opened[-1]

    yield connect
    for migrations in opened:
        migrations.close()


@pytest.mark.long
def test_questions_are_answered_where_nothing_may_be_written(connect, applied, write_migration):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    write_migration("003_c", "SELECT 1;")
    db = connect("default_transaction_read_only=on")
    assert db.check("002_b").can_rollback
    assert db.preview("002_b").sql == "DROP TABLE b;"
    assert db.preview("001_a", chain=True).fingerprint
    assert db.plan("001_a").steps == ("002_b", "001_a")
    assert len(db.list()) == 2
    assert len(db.history()) == 2
    assert len(db.dependencies()) == 1
    assert db.graph().outline
    assert db.verify_events().intact
    assert db.pending() == ("003_c",)
    assert db.template("003_c").text
    db.require_system()


@pytest.mark.long
def test_a_command_where_nothing_may_be_written_says_so(connect, applied):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    db = connect("default_transaction_read_only=on")
    for deed in (
        lambda: db.rollback("001_a", confirm="001_a"),
        lambda: db.resolve("001_a", status="rolled_back", reason="x"),
    ):
        with pytest.raises(mr.DatabaseError) as caught:
            deed()
        assert caught.value.sqlstate == "25006"
        assert "connect to the primary server" in str(caught.value)


def test_a_sync_where_nothing_may_be_written_is_one_error_and_not_one_for_each_file(connect, write_migration):
    for name in ("001_a", "002_b"):
        write_migration(name, "SELECT 1;")
    with pytest.raises(mr.DatabaseError) as caught:
        connect("default_transaction_read_only=on").sync()
    assert caught.value.sqlstate == "25006"


SETTINGS = [
    "standard_conforming_strings=off",
    "plpgsql.variable_conflict=use_column",
    "plpgsql.variable_conflict=use_variable",
    "quote_all_identifiers=on",
    "transform_null_equals=on",
    "search_path=",
    "default_transaction_isolation=serializable",
    "session_replication_role=replica",
    "datestyle=german",
    "plan_cache_mode=force_generic_plan",
    "row_security=off",
    "array_nulls=off",
]


@pytest.mark.few(2)
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_rules_hang_on_no_setting(connect, write_migration, session, setting):
    db = connect(setting)
    write_migration("001_a", "CREATE TABLE public.a (x int);\n-- ROLLBACK START\nDROP TABLE public.a;\n-- ROLLBACK END")
    write_migration(
        "002_b",
        "-- Depends on: 001_a\nCREATE TABLE public.b ();\n-- ROLLBACK START\nDROP TABLE public.b;\n-- ROLLBACK END",
    )
    write_migration(
        "003_leaves",
        "SELECT 1;\n-- ROLLBACK START\nDROP TABLE IF EXISTS public.c;\nSET ROLE pg_monitor;\n-- ROLLBACK END",
    )
    write_migration("004_nothing", "SELECT 1;\n-- ROLLBACK START\nDROP TABLE IF EXISTS public.gone;\n-- ROLLBACK END")
    write_migration(
        "005_sets",
        "SELECT 1;\n-- ROLLBACK START\nDROP TABLE IF EXISTS public.c;\nSET work_mem = '7MB';\n-- ROLLBACK END",
    )
    assert db.apply().applied == ("001_a", "002_b", "003_leaves", "004_nothing", "005_sets")
    with pytest.raises(mr.Refused):
        db.rollback("001_a", confirm="001_a")
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("003_leaves", confirm="003_leaves")
    assert caught.value.sqlstate == "MR020"
    assert db.rollback("004_nothing", confirm="004_nothing").unchanged
    assert "work_mem" in db.rollback("005_sets", confirm="005_sets").warnings[-1]
    results = db.rollback("001_a", confirm="001_a", chain=True, preview=db.preview("001_a", chain=True)).results
    assert [result.unchanged for result in results] == [False, False]
    assert not exists(session(), "public.a")
    assert db.verify_events().intact
    assert session().execute("SELECT intact FROM verify_migration_events()").fetchone() == (True,)


@pytest.mark.long
def test_without_counters_no_rollback_is_said_to_have_changed_nothing(connect, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    result = connect("track_counts=off").rollback("001_a", confirm="001_a")
    assert not exists(session(), "a")
    assert not result.unchanged


@pytest.mark.long
def test_without_counters_our_tables_are_guarded_all_the_same(connect, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a; UPDATE migration_history SET notes = 'x';")
    with pytest.raises(mr.RollbackFailed):
        connect("track_counts=off").rollback("001_a", confirm="001_a")
    assert exists(session(), "a")


@pytest.mark.few(1)
@pytest.mark.parametrize("level", ["notice", "warning", "error"])
def test_notices_are_kept_whatever_the_client_usually_wants_to_hear(connect, applied, level):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a; DROP TABLE IF EXISTS gone;")
    result = connect(f"client_min_messages={level}").rollback("001_a", confirm="001_a")
    assert [notice.skipped for notice in result.notices] == [True]


def test_a_temporary_table_does_not_stand_in_for_the_one_that_is_meant(applied, session):
    applied("001_users", "CREATE TABLE users ();", "DROP TABLE users;")
    connection = session()
    connection.execute("CREATE TEMP TABLE users (mine int)")
    connection.execute("SELECT execute_migration_rollback('001_users')")
    assert not exists(session(), "public.users")
    assert exists(connection, "pg_temp.users")


@pytest.mark.few(1)
@pytest.mark.parametrize("event", ["ddl_command_start", "ddl_command_end", "sql_drop"])
def test_event_triggers_of_others_fire_and_do_no_harm(db, applied, session, event):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    connection = session()
    connection.execute(
        "CREATE TABLE fired (); CREATE FUNCTION fires() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO"
        f" public.fired DEFAULT VALUES; END $$;CREATE EVENT TRIGGER watches ON {event} EXECUTE FUNCTION fires()"
    )
    before = value(connection, "SELECT count(*) FROM fired")
    assert db.rollback("001_t", confirm="001_t").success
    assert value(connection, "SELECT count(*) FROM fired") > before


def test_an_event_trigger_that_refuses_fails_the_rollback(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    session().execute(
        "CREATE FUNCTION refuses() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not on a"
        " Friday'; END $$; CREATE EVENT TRIGGER refuses ON sql_drop EXECUTE FUNCTION refuses()"
    )
    with pytest.raises(mr.RollbackFailed, match="not on a Friday"):
        db.rollback("001_t", confirm="001_t")
    assert exists(session(), "t")


def test_what_an_event_trigger_sets_is_put_back_as_what_sql_sets(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    session().execute(
        "CREATE FUNCTION sets() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN SET work_mem = '7MB'; END $$; CREATE"
        " EVENT TRIGGER sets ON sql_drop EXECUTE FUNCTION sets()"
    )
    assert "work_mem" in db.rollback("001_t", confirm="001_t").warnings[-1]
    assert value(db.database.connection, "SHOW work_mem") != "7MB"


def test_a_migration_that_calls_itself_part_of_the_system_is_none(session):
    connection = session()
    connection.execute(
        "CREATE TABLE t (); SELECT register_migration('001_t', '1', rollback_sql => 'DROP TABLE t; DELETE FROM"
        " migration_dependencies', metadata => '{\"system\": true}')"
    )
    head = value(connection, "SELECT head_hash FROM verify_migration_events()")
    success, message, _ = connection.execute(
        "SELECT * FROM execute_migration_rollback('001_t', chain_head => %s)", (head,)
    ).fetchone()
    if success:
        assert "system is gone" not in message
        assert status(connection, "001_t") == "rolled_back"
    else:
        assert exists(connection, "t")


def test_an_outer_transaction_that_is_undone_undoes_it_all(applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    connection = session()
    connection.execute("BEGIN")
    assert value(connection, "SELECT success FROM execute_migration_rollback('001_t')")
    connection.execute("ROLLBACK")
    assert exists(connection, "t")
    assert status(connection, "001_t") == "applied"
    assert value(connection, "SELECT intact FROM verify_migration_events()")


def test_nothing_of_ours_stays_in_the_session(db, applied):
    # through a pooler the next client of this connection is somebody else
    connection = db.database.connection
    connection.execute("DO $$ BEGIN END $$")
    state = (
        "SELECT (SELECT jsonb_object_agg(name, setting) FROM pg_settings), (SELECT count(*) FROM pg_locks WHERE pid ="
        " pg_backend_pid() AND locktype = 'advisory'), (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*)"
        " FROM pg_cursors WHERE is_holdable), pg_my_temp_schema()"
    )
    before = connection.execute(state).fetchone()
    applied("001_t", "SET work_mem = '9MB'; CREATE TABLE t ();", "SET LOCAL work_mem = '9MB'; DROP TABLE t;")
    db.check("001_t")
    db.preview("001_t")
    db.rollback("001_t", confirm="001_t")
    db.snapshot("001_t")
    db.sync()
    after = connection.execute(state).fetchone()
    assert after == before
    for setting in ("migrollback.recording", "migrollback.changeable_settings"):
        assert value(connection, "SELECT coalesce(current_setting(%s, true), '')", setting) == ""


LEFT = {
    "a lock": ("SELECT pg_advisory_lock(4711)", "advisory lock 4711"),
    "a lock taken twice": ("SELECT pg_advisory_lock(-5), pg_advisory_lock(-5)", "advisory lock -5"),
    "a shared lock of two numbers": ("SELECT pg_advisory_lock_shared(-1, 2)", "advisory lock (-1, 2)"),
    "a lock in a DO block": ("DO $$ BEGIN PERFORM pg_advisory_lock(4711); END $$", "advisory lock 4711"),
    "a prepared statement": ("PREPARE p AS SELECT 1", "prepared statement p"),
    "a cursor": ('DECLARE "C c" CURSOR WITH HOLD FOR SELECT 1', 'cursor "C c"'),
    "a channel": ("LISTEN theirs", None),
    "a temporary table": ("CREATE TEMP TABLE kept (a serial)", "temporary table kept"),
    "a temporary view": ("CREATE TEMP VIEW kept AS SELECT 1", "temporary view kept"),
}


@pytest.mark.parametrize(
    "ends", ["done", *(pytest.param(end, marks=pytest.mark.long) for end in ("failed", "rehearsed"))]
)
def test_nothing_of_the_sql_stays_in_the_session(db, applied, ends):
    connection = db.database.connection
    connection.execute("LISTEN mine; PREPARE mine AS SELECT 1; CREATE TEMP TABLE mine (a int)")
    connection.execute("SELECT pg_advisory_lock(1)")
    before = value(connection, "SELECT session_state()")
    for what, (sql, words) in LEFT.items():
        name = f"{list(LEFT).index(what):03}_t"
        applied(name, "SELECT 1;", f"{sql};" + (" SELECT 1 / 0;" if ends == "failed" else ""))
        if ends == "rehearsed":
            db.rehearse(name, consent=True)
        elif ends == "failed":
            with pytest.raises(mr.RollbackFailed):
                db.rollback(name, confirm=name, snapshots="none")
        else:
            result = db.rollback(name, confirm=name, snapshots="none")
            said = " ".join(notice.message for notice in db.database.session.notices) + " ".join(result.warnings)
            assert words is None or words in said, what
        assert value(connection, "SELECT session_state()") == before, what


def test_nothing_of_an_up_migration_stays_in_the_session(db, applied):
    connection = db.database.connection
    before = value(connection, "SELECT session_state()")
    applied("001_t", "".join(f"{sql}; " for sql in ("CREATE TEMP TABLE kept (a int)", "LISTEN theirs")))
    assert value(connection, "SELECT session_state()") == before


def test_by_hand_a_lock_that_may_have_been_taken_once_more_is_named(applied, session):
    applied("001_t", "SELECT 1;", "SELECT pg_advisory_lock(7);")
    connection, heard = session(), []
    connection.add_notice_handler(lambda diagnostic: heard.append(diagnostic.message_primary))
    connection.execute("SELECT pg_advisory_lock(7)")
    assert value(connection, "SELECT success FROM execute_migration_rollback('001_t')")
    assert any("cannot be seen: 7" in message for message in heard)
