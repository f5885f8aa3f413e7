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


def isolated(dsn, way, isolation):
    """A DSN whose sessions have this isolation by default."""
    if way == "options":
        return psycopg.conninfo.make_conninfo(
            dsn, options=f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
        )
    with psycopg.connect(dsn, autocommit=True) as connection:
        who = f"DATABASE {connection.info.dbname}"
        if way == "role":
            who = f"ROLE postgres IN {who}"
        connection.execute(f"ALTER {who} SET default_transaction_isolation = '{isolation}'")
    return dsn


@pytest.mark.parametrize(
    ("by", "attempts"),
    [
        pytest.param(("options", "repeatable read"), 12, id="options, repeatable read"),
        pytest.param(("options", "serializable"), 12, id="options, serializable"),
        pytest.param(("role", "serializable"), 60, marks=pytest.mark.long, id="role, serializable"),
        pytest.param(("database", "repeatable read"), 60, marks=pytest.mark.long, id="database, repeatable read"),
    ],
)
def test_whatever_isolation_is_the_default_one_runs_it_and_the_others_are_told(
    db, applied, session, database_dsn, *, by, attempts
):
    look = session()
    look.execute("CREATE TABLE ran ()")
    applied("001_t", "SELECT 1;", "INSERT INTO ran DEFAULT VALUES; SELECT pg_sleep(0.1);")
    applied("002_u", "SELECT 1;", "INSERT INTO ran DEFAULT VALUES;")
    dsn = isolated(database_dsn, *by)
    ready = threading.Barrier(attempts)

    def by_client():
        with mr.connect(dsn, dir=db.folder.path, timeouts=mr.Timeouts(lock_timeout="100s")) as client:
            assert value(client.database.connection, "SHOW default_transaction_isolation") == by[1]
            ready.wait(timeout=60)
            try:
                return client.rollback("001_t", confirm="001_t", snapshots="none").message
            except mr.Refused as error:
                return error.message

    def by_hand():
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '100s'")
            ready.wait(timeout=60)
            while True:  # psql cannot be given another snapshot: it is told to call again, and nothing else
                with suppress(psycopg.errors.SerializationFailure):
                    return value(connection, "SELECT message FROM execute_migration_rollback('002_u')")

    going = [Background(by_hand if number % 6 == 0 else by_client) for number in range(attempts)]
    answers = [one.result(seconds=120) for one in going]
    done, already = "Migration rolled back successfully", "Already rolled back, cannot rollback again"
    hands = answers[::6]
    assert sorted(hands) == [already] * (len(hands) - 1) + [done]
    assert sorted(answers) == [already] * (attempts - 2) + [done] * 2
    assert value(look, "SELECT count(*) FROM ran") == 2
    assert value(look, "SELECT count(*) FROM migration_events WHERE event = 'rolled_back'") == 2
    assert db.verify_events().intact


def test_a_serialization_failure_of_what_only_registers_is_tried_again(database_dsn, folder, session, write_migration):
    look = session()
    look.execute(
        "CREATE SEQUENCE tries; CREATE FUNCTION fails_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF"
        " nextval('public.tries') = 1 THEN RAISE EXCEPTION 'busy' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;"
        " CREATE TRIGGER fails_once AFTER INSERT ON migration_history EXECUTE FUNCTION fails_once()"
    )
    write_migration("001_t", "SELECT 1;")
    with mr.connect(database_dsn, dir=folder) as db:
        assert db.register("001_t").outcome == "registered"
    assert value(look, "SELECT last_value FROM tries") == 2


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
