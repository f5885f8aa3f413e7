"""A connection that is lost, at any moment, leaves everything as before or is resolved by the id of its attempt."""

import contextlib
import time

import psycopg
import pytest
from watching import (
    Background,
    calls,
    events,
    eventually_sleeps,
    eventually_waits,
    exists,
    intercepted,
    is_rollback,
    last_event,
    schema_of,
    status,
)

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def through(cutter, database_dsn, folder):
    """Migrations whose connections the cutter can cut;
    a server that does not answer is waited for as long as it is anywhere."""
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, host=cutter.folder), dir=folder) as migrations:
        yield migrations


@pytest.fixture
def table(applied):
    return applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")


def cut_at_commit_of_the_rollback(cutter, *, before=False, for_good=False):
    """The COMMIT after the rollback itself; the event `started` has one before it."""

    def around(_, text, send):
        answer = send()
        if is_rollback(text):
            cutter.arm_at(b"COMMIT", before=before, for_good=for_good)
        return answer

    return intercepted(around)


@pytest.mark.parametrize("before", [False, True], ids=["committed", "not committed"])
def test_lost_at_commit(through, cutter, table, session, before):
    with cut_at_commit_of_the_rollback(cutter, before=before):
        if before:
            with pytest.raises(mr.ConnectionFailed, match="nothing of it was committed"):
                through.rollback(table, confirm=table, reason="incident 7")
        else:
            result = through.rollback(table, confirm=table, reason="incident 7")
            assert result.success
            assert "connection was lost" in result.message
            assert result.sql_executed == "DROP TABLE t;"
            assert through.audit(anchors=result.anchor).success
    assert cutter.cuts == 1
    assert status(session(), table) == ("applied" if before else "rolled_back")
    assert exists(session(), "t") is before
    trail = events(session(), after=3)
    assert trail == ["started", "failed"] if before else ["started", "rolled_back"]
    assert through.check(table).can_rollback is before  # and the connection is good again


@pytest.mark.long
def test_lost_at_commit_of_a_chain(through, cutter, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    with cut_at_commit_of_the_rollback(cutter):
        result = through.rollback("001_a", confirm="001_a", chain=True)
    assert [one.success for one in result.results] == [True, True]
    assert not exists(session(), "a")


@pytest.mark.long
def test_lost_at_commit_of_a_failure(through, cutter, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE nowhere;")
    with cut_at_commit_of_the_rollback(cutter), pytest.raises(mr.MigrollbackError) as caught:
        through.rollback("001_t", confirm="001_t")
    assert status(session(), "001_t") == "failed"
    assert "try again" not in str(caught.value), "the failure was committed: it has to be looked after first"
    assert "nowhere" in str(caught.value)
    assert events(session()).count("failed") == 1


@pytest.mark.long
def test_lost_at_commit_of_a_refusal(through, cutter, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "SELECT 1;", "SELECT 1;", depends_on=["001_a"])
    with cut_at_commit_of_the_rollback(cutter), pytest.raises(mr.Refused, match="other migrations depend"):
        through.rollback("001_a", confirm="001_a")
    assert "failed" not in events(session())


@pytest.mark.long
@pytest.mark.usefixtures("impatient")
def test_lost_at_commit_and_no_one_answers_afterwards(through, cutter, table, session):
    with cut_at_commit_of_the_rollback(cutter, for_good=True), pytest.raises(mr.ConnectionFailed) as caught:
        through.rollback(table, confirm=table)
    attempt = str(last_event(session())["attempt_id"])
    assert attempt in str(caught.value), "whoever comes back later needs the id of the attempt"
    assert (
        "may have" in str(caught.value).lower()
        or "unknown" in str(caught.value).lower()
        or "not known" in str(caught.value).lower()
    )
    assert session().execute("SELECT event FROM migration_attempt(%s)", (attempt,)).fetchall() == [("rolled_back",)]


@pytest.mark.parametrize("timeout", ["idle", pytest.param("transaction", marks=pytest.mark.long)])
def test_a_session_that_a_timeout_ends_before_commit(server, database_dsn, folder, table, *, session, timeout):
    timeouts = mr.Timeouts(idle_timeout="150ms") if timeout == "idle" else mr.Timeouts()
    if timeout == "transaction":
        if server.major < 17:
            pytest.skip("PostgreSQL has no transaction_timeout before 17")
        session().execute(
            "ALTER ROLE postgres IN DATABASE " + database_dsn.split("dbname=")[1].split()[0] + " SET"
            " transaction_timeout = '300ms'"
        )
    look = session()
    slept = []

    def around(_, text, send):
        answer = send()
        if is_rollback(text) and not slept:
            slept.append(time.sleep(0.6))
        return answer

    with mr.connect(database_dsn, dir=folder, timeouts=timeouts) as db:
        with intercepted(around), pytest.raises(mr.ConnectionFailed, match="nothing of it was committed"):
            db.rollback(table, confirm=table, snapshots="none")
        assert slept
        assert (status(look, table), exists(look, "t")) == ("applied", True)
        assert db.rollback(table, confirm=table, snapshots="none").success


def test_lost_before_anything_was_committed(through, cutter, table, session):
    cutter.arm_at(b"start_migration_rollback", before=True)
    with pytest.raises(mr.ConnectionFailed):
        through.rollback(table, confirm=table)
    assert status(session(), table) == "applied"
    assert exists(session(), "t")


def test_a_lost_apply_is_resolved_too(through, cutter, write_migration, session):
    write_migration("001_t", "CREATE TABLE t ();")

    def around(_, text, send):
        answer = send()
        if calls(text, "apply_migration"):
            cutter.arm_at(b"COMMIT")
        return answer

    with intercepted(around):
        assert through.apply().applied == ("001_t",)
    assert status(session(), "001_t") == "applied"


def test_control_c_at_commit_writes_no_failure_that_was_none(db, table, session):
    # COMMIT cannot be called back: it was on its way when the keys were pressed
    whole = psycopg.Connection.execute
    armed = []

    def execute(self, query, *arguments, **options):
        answer = whole(self, query, *arguments, **options)
        if query == b"COMMIT" and armed:
            armed.clear()
            raise KeyboardInterrupt
        return answer

    def arm(_, text, send):
        answer = send()
        if is_rollback(text):
            armed.append(True)
        return answer

    with pytest.MonkeyPatch.context() as patch, intercepted(arm):
        patch.setattr(psycopg.Connection, "execute", execute)
        with contextlib.suppress(KeyboardInterrupt):
            db.rollback(table, confirm=table)
    assert not armed, "the interrupt was not delivered: look at how COMMIT is sent now"
    assert status(session(), table) == "rolled_back"
    assert events(session(), after=3) == ["started", "rolled_back"]


@pytest.fixture
def asleep(applied, session):
    """A rollback that has dropped its table and sleeps; with the id of its process."""
    applied("001_t", "CREATE TABLE t (); CREATE TABLE u ();", "DROP TABLE t; SELECT pg_sleep(60); DROP TABLE u;")
    before = schema_of(session())
    return lambda: eventually_sleeps(session()), before


def test_killed_in_the_middle(db, asleep, session):
    pid, before = asleep
    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    session().execute("SELECT pg_terminate_backend(%s)", (pid(),))
    with pytest.raises(mr.ConnectionFailed) as caught:
        going.result()
    assert "nothing of it was committed" in str(caught.value)
    assert schema_of(session()) == before
    assert status(session(), "001_t") == "applied"
    assert events(session(), after=3) == ["started", "failed"]
    assert last_event(session())["details"]["passing"]
    assert db.check("001_t").can_rollback  # on a new connection


def test_killed_while_psql_runs_it(asleep, session):
    pid, before = asleep
    connection = session()
    going = Background(lambda: connection.execute("SELECT execute_migration_rollback('001_t')"))
    session().execute("SELECT pg_terminate_backend(%s)", (pid(),))
    with pytest.raises(psycopg.OperationalError):
        going.result()
    assert schema_of(session()) == before
    assert status(session(), "001_t") == "applied"


@pytest.mark.long
def test_killed_between_two_statements_outside_a_transaction(db, applied, session):
    connection = session()
    connection.execute("CREATE TABLE ran (statement int)")
    applied(
        "001_t",
        "SELECT 1;",
        "INSERT INTO ran VALUES (1); SELECT pg_sleep(CASE WHEN (SELECT count(*) FROM again) = 0 THEN 60 ELSE 0 END);"
        " INSERT INTO ran VALUES (3);",
        options=" transaction:false",
    )
    connection.execute("CREATE TABLE again (a int)")
    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    connection.execute("SELECT pg_terminate_backend(%s)", (eventually_sleeps(session()),))
    with pytest.raises(mr.MigrollbackError):
        going.result()
    assert status(connection, "001_t") == "applied"
    connection.execute("INSERT INTO again VALUES (1)")
    assert db.rollback("001_t", confirm="001_t").success
    assert [row for (row,) in connection.execute("SELECT * FROM ran").fetchall()] == [1, 3]


def test_a_connection_that_died_between_two_questions_says_so(db, session):
    session().execute("SELECT pg_terminate_backend(%s)", (db.database.connection.info.backend_pid,))
    with pytest.raises(mr.ConnectionFailed):
        db.list()


def test_looking_an_attempt_up_waits_for_it(db, applied, session, latch):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t; " + latch.wait)
    going = Background(lambda: db.rollback("001_t", confirm="001_t"))
    latch.eventually_reached()
    attempt = last_event(session())["attempt_id"]
    asking = session()
    answer = Background(
        lambda: asking.execute("SELECT migration_name, event FROM migration_attempt(%s)", (attempt,)).fetchall()
    )
    eventually_waits(session(), asking.info.backend_pid)
    latch.release()
    assert answer.result() == [("001_t", "rolled_back")], "an answer was given while the attempt ran"
    going.result()


@pytest.mark.parametrize("before", [False, True], ids=["committed", "not committed"])
def test_lost_at_commit_of_the_systems_own_rollback(through, cutter, session, tmp_path, before):
    system = "20250120_migration_rollback_system"
    with cut_at_commit_of_the_rollback(cutter, before=before):
        if before:
            with pytest.raises(mr.ConnectionFailed, match="nothing of it was committed"):
                through.rollback(system, confirm=system, trail=tmp_path / "trail.json")
        else:
            result = through.rollback(system, confirm=system, trail=tmp_path / "trail.json")
            assert result.success
            assert "The rollback system is gone" in result.message
    assert cutter.cuts == 1
    assert exists(session(), "migration_history") is before
