"""A failed rollback undoes everything it did; what is lasting sets `failed`, what may pass leaves `applied`;
both leave an event."""

import psycopg
import pytest
from watching import dismiss_all, events, exists, last_event, schema_of, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

#: What fails -> (rollback SQL, its SQLSTATE, number of the statement).
LASTING = {
    "a table that is not there": ("DROP TABLE t; DROP TABLE nowhere;", "42P01", 2),
    "something rests on it": ("SELECT 1; DROP TABLE base;", "2BP01", 2),
    "a key is violated": ("INSERT INTO base VALUES (1);", "23505", 1),
    "division by zero": ("DROP TABLE t; SELECT 1/0;", "22012", 2),
    "raised by hand": (
        (
            "DROP TABLE t; DO $$ BEGIN RAISE EXCEPTION 'stop' USING ERRCODE = 'ZZ001', HINT = 'do that', DETAIL ="
            " 'why'; END $$;"
        ),
        "ZZ001",
        2,
    ),
    "an assertion": ("DROP TABLE t; DO $$ BEGIN ASSERT false, 'no'; END $$;", "P0004", 2),
    "an error in a function": ("SELECT breaks(); DROP TABLE t;", "42P01", 1),
    "a column that is not there": ("ALTER TABLE base DROP COLUMN nowhere;", "42703", 1),
    "our own undo code": (
        "DROP TABLE t; DO $$ BEGIN RAISE EXCEPTION 'undo' USING ERRCODE = 'MR099'; END $$;",
        "MR099",
        2,
    ),
}
OBJECTS = """
CREATE TABLE base (id int PRIMARY KEY); INSERT INTO base VALUES (1); CREATE VIEW over_base AS SELECT * FROM base;
CREATE TABLE t (); GRANT SELECT ON t TO pg_monitor; COMMENT ON TABLE t IS 'x';
CREATE FUNCTION breaks() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE nowhere; END $$; CREATE SEQUENCE s;
"""


@pytest.mark.few(3)
@pytest.mark.parametrize("what", LASTING)
def test_a_permanent_error(db, applied, session, what):
    sql, sqlstate, number = LASTING[what]
    applied("001_t", OBJECTS, sql)
    connection = session()
    before = schema_of(connection)
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t", reason="incident 7")
    error = caught.value
    assert (error.sqlstate, error.statement_number, error.passing) == (sqlstate, number, False)
    assert error.statement in sql
    assert error.migration_name == "001_t"
    assert "resolve 001_t" in error.hint
    assert schema_of(connection) == before
    assert status(connection, "001_t") == "failed"
    event = last_event(connection)
    assert (event["event"], event["reason"]) == ("failed", "incident 7")
    details = event["details"]
    assert (details["sqlstate"], details["statement_number"], details["passing"]) == (sqlstate, number, False)
    assert details["message"]
    assert details["duration_ms"] > 0
    assert event["attempt_id"] is not None
    assert db.check("001_t").reason == "Rollback failed, manual intervention required"


def test_detail_and_hint_reach_the_person(db, applied):
    applied("001_t", OBJECTS, LASTING["raised by hand"][0])
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t")
    assert caught.value.detail == "why"
    assert "do that" in caught.value.hint


#: SQLSTATE -> whether the same SQL may succeed another time.
PASSING = {
    "40P01": True,
    "40001": True,
    "55P03": True,
    "55006": True,
    "57014": True,
    "57P03": True,
    "53100": True,
    "53200": True,
    "42501": True,
    "08006": True,
    "42P01": False,
    "23505": False,
    "22012": False,
    "2BP01": False,
    "XX000": False,
    "P0001": False,
    "25006": False,
    "42601": False,
}


def test_which_errors_may_pass(session):
    found = {code: value(session(), "SELECT is_transient_error(%s)", code) for code in PASSING}
    assert found == PASSING


@pytest.mark.few(2)
@pytest.mark.parametrize("sqlstate", ["40001", "55P03", "57014", "53200"])
def test_a_transient_error_leaves_applied(database_dsn, folder, applied, session, sqlstate):
    applied(
        "001_t",
        "CREATE TABLE t ();",
        f"DROP TABLE t; DO $$ BEGIN RAISE EXCEPTION 'busy' USING ERRCODE = '{sqlstate}'; END $$;",
    )
    with (
        mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(retries=0)) as db,
        pytest.raises(mr.MigrollbackError) as caught,
    ):
        db.rollback("001_t", confirm="001_t")
    assert caught.value.passing
    assert caught.value.sqlstate == sqlstate
    assert status(session(), "001_t") == "applied"
    assert exists(session(), "t")
    event = last_event(session())
    assert (event["event"], event["details"]["sqlstate"], event["details"]["passing"]) == ("failed", sqlstate, True)


def test_statement_timeout(database_dsn, folder, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; SELECT pg_sleep(20);")
    with (
        mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(statement_timeout="200ms")) as db,
        pytest.raises(mr.RollbackFailed) as caught,
    ):
        db.rollback("001_t", confirm="001_t")
    assert (caught.value.sqlstate, caught.value.passing, caught.value.statement_number) == ("57014", True, 2)
    assert status(session(), "001_t") == "applied"
    assert exists(session(), "t")


def test_rows_are_back_too(db, applied, session):
    applied(
        "001_t",
        "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000);",
        "DELETE FROM t WHERE a <= 500; UPDATE t SET a = 0; TRUNCATE t; SELECT 1/0;",
    )
    with pytest.raises(mr.RollbackFailed):
        db.rollback("001_t", confirm="001_t")
    assert value(session(), "SELECT sum(a) FROM t") == 500500


@pytest.mark.long
def test_the_specified_steps_after_failed(db, applied, write_migration, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE nowhere;")
    with pytest.raises(mr.RollbackFailed):
        db.rollback("001_t", confirm="001_t")
    write_migration("001_t", "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    assert db.register("001_t").outcome == "updated"
    assert status(session(), "001_t") == "failed"  # registering says nothing about the database
    assert db.resolve("001_t", status="applied", reason="block mended").outcome == "failed -> applied"
    assert db.rollback("001_t", confirm="001_t").success
    assert not exists(session(), "t")
    assert events(session(), after=2) == [
        "applied",
        "started",
        "failed",
        "registered",
        "resolved",
        "started",
        "rolled_back",
    ]


def test_check_of_a_failed_one_says_what_to_do(db, applied):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE nowhere;")
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t")
    steps = "migrollback register 001_t, and migrollback resolve 001_t --as applied --reason TEXT"
    assert f"nothing changed. It is still applied, with status failed. Fix its rollback SQL, then: {steps}" in (
        caught.value.hint
    )
    assert steps in db.check("001_t").warnings[0]


def test_as_rolled_back_is_refused_while_what_it_created_stands(db, applied, session):
    applied("001_t", "CREATE TABLE t (a int PRIMARY KEY); CREATE TYPE mood AS ENUM ();", "DROP TABLE nowhere;")
    with pytest.raises(mr.RollbackFailed):
        db.rollback("001_t", confirm="001_t")
    with pytest.raises(
        mr.Refused, match=r"what 001_t created still stands: table public\.t, enum public\.mood"
    ) as caught:
        db.resolve("001_t", status="rolled_back", reason="gone")
    assert "--force" in caught.value.hint
    assert status(session(), "001_t") == "failed"
    session().execute("DROP TABLE t")
    assert db.resolve("001_t", status="rolled_back", reason="the type stays", force=True).outcome
    assert last_event(session())["details"]["still_there"] == ["enum public.mood"]


def test_as_rolled_back_when_it_is_gone(db, applied, session):
    applied("001_t", "CREATE TABLE t (a int PRIMARY KEY);", "DROP TABLE nowhere;")
    session().execute("DROP TABLE t")
    assert db.resolve("001_t", status="rolled_back", reason="gone").outcome == "applied -> rolled_back"
    assert "still_there" not in last_event(session())["details"]


@pytest.mark.parametrize("reason", ["", "  "])
def test_resolving_needs_a_reason(db, applied, reason):
    applied("001_t", "CREATE TABLE t ();")
    with pytest.raises(mr.UsageError):
        db.resolve("001_t", status="rolled_back", reason=reason)


def test_resolving_follows_the_rules(db, applied, session):
    applied("001_a", "SELECT 1;", "SELECT 1;")
    applied("002_b", "SELECT 1;", "SELECT 1;", depends_on=["001_a"])
    with pytest.raises(mr.Refused) as caught:
        db.resolve("001_a", status="rolled_back", reason="gone")
    assert caught.value.dependents == ("002_b",)
    with pytest.raises(mr.Refused):
        db.resolve("001_a", status="applied", reason="is so already")
    db.resolve("002_b", status="rolled_back", reason="gone")
    db.resolve("001_a", status="rolled_back", reason="gone")
    with pytest.raises(mr.Refused):
        db.resolve("002_b", status="applied", reason="without its base")
    with pytest.raises(mr.UsageError):
        db.resolve("001_a", status="failed", reason="no")
    with pytest.raises(mr.MigrationNotFound):
        db.resolve("009_z", status="applied", reason="no")
    row = (
        session()
        .execute(
            "SELECT notes, rollback_by, rollback_at IS NOT NULL FROM migration_history WHERE migration_name = '001_a'"
        )
        .fetchone()
    )
    assert row == ("gone", "postgres", True)


def test_a_failed_up_migration_leaves_nothing_but_an_event(db, write_migration, session):
    before = schema_of(session())
    write_migration("001_t", "CREATE TABLE t ();\nCREATE TABLE u (a int DEFAULT 1/0 CHECK (a > 'x'));")
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply()
    assert caught.value.statement_number == 2
    assert str(caught.value).count("001_t.sql")
    assert schema_of(session()) == before
    assert value(session(), "SELECT count(*) FROM migration_history WHERE migration_name = '001_t'") == 0
    event = last_event(session())
    assert (event["event"], event["migration_name"]) == ("apply_failed", "001_t")


def test_an_up_migration_that_fails_leaves_those_before_it_applied(db, write_migration, session):
    write_migration("001_a", "CREATE TABLE a ();")
    write_migration("002_b", "SELECT 1/0;")
    write_migration("003_c", "CREATE TABLE c ();")
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply()
    assert status(session(), "001_a") == "applied"
    assert not exists(session(), "c")
    assert caught.value.hint == "Everything it did was undone.\nApplied before it, and still applied: 001_a."
    assert caught.value.done == ("001_a",)


def test_of_many_that_were_applied_before_a_failure_the_first_are_named(db, write_migration):
    for number in range(1, 8):
        write_migration(f"00{number}_t", "SELECT 1;")
    write_migration("008_bad", "SELECT 1/0;")
    with pytest.raises(mr.ApplyFailed, match="still applied: 001_t, 002_t, 003_t, 004_t, 005_t and 2 more"):
        db.apply()


def test_the_connection_is_good_after_a_failure(db, applied):
    applied("001_t", "SELECT 1;", "SELECT 1/0;")
    with pytest.raises(mr.RollbackFailed):
        db.rollback("001_t", confirm="001_t")
    assert db.database.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert not db.list().empty


def test_an_error_of_our_own_inside_a_command_is_not_taken_for_its_undo(db, session):
    # A handler for MR000 takes every MR code (PL/pgSQL reads one that ends in 000 as its whole class): MR005 was
    # "Migration applied successfully", with all of it undone.
    connection = session()
    connection.execute(
        "SELECT register_migration('001_a', '001'), register_migration('002_b', '002', depends_on => '{001_a}')"
    )
    connection.execute("UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = '001_a'")
    found = connection.execute(
        "SELECT * FROM apply_migration('001_a', '001', '{CREATE TABLE t ()}', depends_on => '{002_b}')"
    ).fetchall()
    assert [success for success, _ in found] == [False]
    assert not exists(connection, "t")
    assert events(connection)[-1] == "apply_failed"


# -- a hint never stops an answer --------------------------------------------------------------------------------------

LONG = (
    "CREATE FUNCTION f() RETURNS missing_type LANGUAGE plpgsql AS $$\nBEGIN\n" + "    PERFORM 'ä';\n" * 200 + "END $$"
)


@pytest.mark.long
def test_a_long_statement_that_fails_is_told_by_every_command(db, applied, write_migration):
    write_migration("001_up", f"{LONG};\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END\n")
    with pytest.raises(mr.ApplyFailed, match="missing_type") as failed:
        db.apply("001_up")
    assert (failed.value.sqlstate, failed.value.statement_number) == ("42704", 1)
    assert "… (the rest is left out)" in str(failed.value)
    assert "DROP FUNCTION" in db.template("001_up").text
    applied("002_rollback", "SELECT 1;", f"SELECT 1;\n{LONG};")
    rehearsed = db.rehearse("002_rollback")
    assert (rehearsed.success, rehearsed.failure.sqlstate, rehearsed.failure.statement_number) == (False, "42704", 2)
    with pytest.raises(mr.RollbackFailed, match="missing_type") as failed:
        db.rollback("002_rollback", confirm="002_rollback")
    assert (failed.value.sqlstate, failed.value.statement_number) == ("42704", 2)


@pytest.mark.long
def test_a_refusal_whose_hint_cannot_be_found_is_a_refusal(db, applied, monkeypatch):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    monkeypatch.setattr("migrollback_nb.database.queries.Queries.can_rollback", lambda *_: 1 / 0)
    with pytest.raises(mr.Refused, match="other migrations depend on this one") as refused:
        db.rollback("001_a", confirm="001_a")
    assert refused.value.hint is None
    monkeypatch.setattr("migrollback_nb.database.queries.Queries.names", lambda *_: 1 / 0)
    with pytest.raises(mr.MigrationNotFound):
        db.plan("009_nowhere")


@pytest.mark.long
def test_a_body_that_cannot_be_read_is_looked_at_by_its_words(db, applied, monkeypatch):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied(
        "002_f",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM a; END $$;",
        "DROP FUNCTION f();",
    )
    dismiss_all(db)  # sync has read the body: the rehearsal is not to
    monkeypatch.setattr("migrollback_nb.parsing.routine_bodies.uses", lambda _: 1 / 0)
    [broken] = db.rehearse("001_a").broken
    assert (broken.identity, "public.a" in broken.because) == ("public.f()", True)
