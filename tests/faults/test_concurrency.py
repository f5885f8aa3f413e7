"""Exactly one of any number of attempts runs, and no dependent slips in while its base goes."""

import threading
from contextlib import suppress

import psycopg
import pytest
from watching import Background, Latch, events, eventually_waits, exists, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

ATTEMPTS = 50


def test_fifty_at_once_run_it_exactly_once(applied, session, database_dsn):
    session().execute("CREATE TABLE ran (at timestamptz DEFAULT clock_timestamp())")
    applied("001_t", "SELECT 1;", "INSERT INTO ran DEFAULT VALUES; SELECT pg_sleep(0.1);")
    ready = threading.Barrier(ATTEMPTS)

    def attempt():
        with psycopg.connect(database_dsn, autocommit=True) as connection:
            ready.wait(timeout=30)
            return connection.execute("SELECT success, message FROM execute_migration_rollback('001_t')").fetchone()

    answers = [one.result(seconds=60) for one in [Background(attempt) for _ in range(ATTEMPTS)]]
    assert sorted(success for success, _ in answers) == [False] * (ATTEMPTS - 1) + [True]
    assert {message for success, message in answers if not success} == {"Already rolled back, cannot rollback again"}
    assert value(session(), "SELECT count(*) FROM ran") == 1
    assert events(session()).count("rolled_back") == 1


@pytest.mark.long
def test_several_clients_at_once(applied, session, database_dsn, folder):
    session().execute("CREATE TABLE ran ()")
    applied("001_t", "SELECT 1;", "INSERT INTO ran DEFAULT VALUES; SELECT pg_sleep(0.2);")
    ready = threading.Barrier(5)

    def attempt():
        with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="5s")) as db:
            ready.wait(timeout=30)
            try:
                return db.rollback("001_t", confirm="001_t").success
            except mr.Refused:
                return False

    assert sorted(one.result() for one in [Background(attempt) for _ in range(5)]) == [False] * 4 + [True]
    assert value(session(), "SELECT count(*) FROM ran") == 1
    with mr.connect(database_dsn) as db:
        assert db.verify_events().intact


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_whatever_isolation_is_the_default_one_runs_it_and_the_others_are_told(
    applied, session, database_dsn, folder, isolation
):
    session().execute("CREATE TABLE ran ()")
    applied("001_t", "SELECT 1;", "INSERT INTO ran DEFAULT VALUES; SELECT pg_sleep(0.1);")
    applied("002_u", "SELECT 1;", "INSERT INTO ran DEFAULT VALUES;")
    dsn = psycopg.conninfo.make_conninfo(
        database_dsn, options=f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
    )
    ready = threading.Barrier(12)

    def by_client():
        with mr.connect(dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="20s")) as db:
            ready.wait(timeout=30)
            try:
                return db.rollback("001_t", confirm="001_t", snapshots="none").message
            except mr.Refused as error:
                return error.message

    def by_hand():
        with psycopg.connect(dsn, autocommit=True) as connection:
            ready.wait(timeout=30)
            try:
                row = connection.execute("SELECT message FROM execute_migration_rollback('002_u')").fetchone()
                return row[0]
            except psycopg.Error as error:
                return error.sqlstate

    going = [Background(by_client if number % 2 else by_hand) for number in range(12)]
    answers = [one.result(seconds=60) for one in going]
    done, already = "Migration rolled back successfully", "Already rolled back, cannot rollback again"
    assert sorted(answers[1::2]) == [already] * 5 + [done]
    # psql cannot be given another snapshot: it is told to call again
    assert answers[::2].count(done) <= 1
    assert set(answers[::2]) <= {done, already, "40001"}
    assert value(session(), "SELECT count(*) FROM ran") == 1 + answers[::2].count(done)
    with mr.connect(database_dsn) as db:
        assert db.verify_events().intact


BASE = ("001_base", "CREATE TABLE base ();", "DROP TABLE base;")
SLOW_BASE = ("001_base", "CREATE TABLE base ();", "DROP TABLE base; " + Latch.wait)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_dependent_is_registered_while_its_base_goes(applied, session, latch, isolation):
    applied(*SLOW_BASE)
    first, second = session(), session()
    going = Background(lambda: first.execute("SELECT success FROM execute_migration_rollback('001_base')").fetchone())
    latch.eventually_reached()
    second.execute(f"SET default_transaction_isolation = '{isolation}'")
    registering = Background(
        lambda: second.execute("SELECT register_migration('002_dependent', '002', depends_on => '{001_base}')")
    )
    eventually_waits(session(), second.info.backend_pid)
    latch.release()
    assert going.result() == (True,)
    with pytest.raises(psycopg.Error):  # its base is gone
        registering.result()
    assert status(session(), "001_base") == "rolled_back"
    assert (
        value(
            session(),
            "SELECT count(*) FROM migration_history WHERE migration_name = '002_dependent' AND status = 'applied'",
        )
        == 0
    )


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_base_goes_while_its_dependent_is_registered(applied, session, isolation):
    applied(*BASE)
    first, second = session(), session()
    first.execute("BEGIN; SELECT register_migration('002_dependent', '002', depends_on => '{001_base}')")
    second.execute(f"SET default_transaction_isolation = '{isolation}'")
    going = Background(
        lambda: second.execute("SELECT success, message FROM execute_migration_rollback('001_base')").fetchone()
    )
    eventually_waits(session(), second.info.backend_pid)
    first.execute("COMMIT")
    with suppress(psycopg.Error):  # an error is as good as a refusal, where the snapshot is from before
        assert going.result() == (False, "Cannot rollback: other migrations depend on this one")
    assert status(session(), "001_base") == "applied"
    assert exists(session(), "base")


@pytest.mark.long
@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_dependency_is_added_while_the_base_goes(applied, session, isolation):
    applied(*BASE)
    applied("002_other", "SELECT 1;", "SELECT 1;")
    first, second = session(), session()
    first.execute(
        "BEGIN; INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('002_other', '001_base')"
    )
    second.execute(f"SET default_transaction_isolation = '{isolation}'")
    going = Background(lambda: second.execute("SELECT success FROM execute_migration_rollback('001_base')").fetchone())
    eventually_waits(session(), second.info.backend_pid)
    first.execute("COMMIT")
    with suppress(psycopg.Error):
        assert going.result() == (False,)
    assert status(session(), "001_base") == "applied"


def test_a_base_that_is_rolled_back_gets_no_new_dependents(db, applied, write_migration):
    applied("001_base", "CREATE TABLE base ();", "DROP TABLE base;")
    db.rollback("001_base", confirm="001_base")
    write_migration("002_dependent", "-- Depends on: 001_base\nSELECT 1;")
    with pytest.raises(mr.MigrollbackError):
        db.register("002_dependent")
    with pytest.raises(mr.MigrollbackError):
        db.apply("002_dependent")
    failed = db.sync().failed
    assert [failure.migration_name for failure in failed] == ["002_dependent"]
    assert "002_dependent" not in set(db.history()["migration_name"])


@pytest.mark.long
def test_two_chains_that_share_migrations_do_not_lock_each_other_out(applied, session):
    applied("001_a", "SELECT 1;", "SELECT pg_sleep(0.2);")
    applied("002_b", "SELECT 1;", "SELECT pg_sleep(0.2);")
    first, second = session(), session()
    one = Background(
        lambda: first.execute("SELECT success FROM execute_migration_rollbacks('{001_a,002_b}')").fetchall()
    )
    other = Background(
        lambda: second.execute("SELECT success FROM execute_migration_rollbacks('{002_b,001_a}')").fetchall()
    )
    assert sorted(answer[0][0] for answer in (one.result(), other.result())) == [False, True]


@pytest.mark.long
def test_a_change_by_hand_waits_for_a_rollback_that_runs(applied, session, latch):
    applied(*SLOW_BASE)
    first, second = session(), session()
    going = Background(lambda: first.execute("SELECT execute_migration_rollback('001_base')"))
    latch.eventually_reached()
    changing = Background(
        lambda: second.execute("UPDATE migration_history SET notes = 'by hand' WHERE migration_name = '001_base'")
    )
    eventually_waits(session(), second.info.backend_pid)
    latch.release()
    going.result()
    changing.result()
    assert events(session())[-2:] == ["rolled_back", "history_changed"]


def test_fifty_writers_do_not_fork_the_audit_log(session, database_dsn):
    def write(number):
        with psycopg.connect(database_dsn, autocommit=True) as connection:
            for _ in range(4):
                connection.execute("SELECT add_migration_event('checklist_item', %s)", (str(number),))

    for one in [Background(lambda number=number: write(number)) for number in range(50)]:
        one.result(seconds=60)
    with mr.connect(database_dsn) as db:
        found = db.verify_events()
    assert found.intact
    assert found.events == 202
