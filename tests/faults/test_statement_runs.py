"""What runs statement by statement: each statement once, whatever is cut, and none touches our tables."""

import random
import signal
import threading
from contextlib import closing

import psycopg
import pytest
from clients import Clients
from watching import Background, events, eventually, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

OUTSIDE = " transaction:false"
UP = "CREATE TABLE counted (n numeric); INSERT INTO counted VALUES (0); CREATE INDEX i ON counted (n);"
#: Each adds a digit of its own: the sum says which have run, and how often.
STATEMENTS = [f"UPDATE counted SET n = n + {10**place}" for place in range(5)]
BLOCK = "; ".join([*STATEMENTS[:3], "DROP INDEX CONCURRENTLY IF EXISTS i", *STATEMENTS[3:]]) + ";"


def again(migrations):
    """The connection, new where it was lost."""
    if migrations.database.connection.closed:
        migrations.database.session.reconnect()
    return migrations


def ran(look):
    """The digits of the sum, those of the first statement first."""
    return str(value(look, "SELECT n::int FROM counted")).zfill(5)[::-1]


@pytest.mark.parametrize("cuts", [12, pytest.param(200, marks=pytest.mark.long)])
def test_each_statement_runs_once_wherever_its_connection_is_cut(cuttable, cutter, applied, session, cuts):
    look, seed = session(), random.randrange(2**32)
    chance = random.Random(seed)
    applied("001_t", UP, BLOCK, options=OUTSIDE)
    done = 0
    while done < cuts:
        number, before = chance.randrange(1, 90), chance.random() < 0.5
        cutter.arm(number, before=before)
        try:
            again(cuttable).rollback("001_t", confirm="001_t", snapshots="none")
        except mr.MigrollbackError as error:
            where = f"seed {seed}, cut {done}: query {number}, before: {before}; {error!r}"
        else:
            where = f"seed {seed}, cut {done}: no error"
        done += cutter.cut
        cutter.arm(0, before=False)
        counted, completed = ran(look), value(look, "SELECT migration_statements_completed('001_t')")
        if status(look, "001_t") == "rolled_back":
            assert counted == "11111", where
            look.execute("DROP TABLE counted")
            again(cuttable).apply("001_t")
            continue
        # the fourth statement leaves no digit
        digits = completed - (completed >= 4)
        assert counted == "1" * digits + "0" * (5 - digits), where
        if status(look, "001_t") == "failed":
            again(cuttable).resolve("001_t", status="applied", reason="the connection was cut: go on")


TOUCHING = {
    "history changed": "UPDATE migration_history SET notes = 'x'",
    "event trigger off": "ALTER TABLE migration_events DISABLE TRIGGER refuse_event_change",
    "token made anew": (
        "DO $$ DECLARE said text := migration_system_token(); BEGIN DROP FUNCTION migration_system_token(); EXECUTE"
        " format('CREATE FUNCTION migration_system_token() RETURNS text LANGUAGE sql AS %L', format('SELECT %L::text',"
        " said)); END $$"
    ),
    "by a deferred trigger": "INSERT INTO watched VALUES (1)",
    "a dependency written": (
        "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('001_t', '001_t')"
    ),
    "registered": "SELECT register_migration('002_x', '002')",
}


@pytest.mark.few(3)
@pytest.mark.parametrize("what", TOUCHING)
def test_a_statement_that_touches_our_tables_is_undone(db, applied, session, what):
    look = session()
    look.execute(
        "CREATE TABLE watched (a int); CREATE FUNCTION meddles() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE"
        " public.migration_history SET notes = 'x'; RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER g AFTER INSERT ON"
        " watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION meddles()"
    )
    applied("001_t", UP, f"{STATEMENTS[0]}; {TOUCHING[what]};", options=OUTSIDE)
    token = value(look, "SELECT migration_system_token()")
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t", snapshots="none")
    # 55P03: the history is locked by the gate while such a run goes on
    assert caught.value.sqlstate in ("MR022", "55P03")
    assert caught.value.statement_number == 2
    assert value(look, "SELECT migration_system_token()") == token
    assert value(look, "SELECT count(*) FROM migration_history WHERE notes = 'x' OR migration_name = '002_x'") == 0
    assert ran(look) == "10000"
    assert db.verify_events().intact


def test_a_procedure_that_commits_runs_outside_and_what_it_did_to_our_tables_is_said(db, applied, session):
    look = session()
    look.execute(
        "CREATE PROCEDURE in_batches(meddle boolean) LANGUAGE plpgsql AS $$ BEGIN UPDATE counted SET n = n + 7; COMMIT;"
        " IF meddle THEN ALTER TABLE public.migration_events DISABLE TRIGGER refuse_event_change; COMMIT; END IF; END"
        " $$"
    )
    applied("001_t", UP, "CALL in_batches(false); CALL in_batches(true); SELECT 1;", options=OUTSIDE)
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t", snapshots="none")
    assert (caught.value.sqlstate, caught.value.statement_number) == ("MR022", 2)
    assert "stays" in caught.value.hint
    assert value(look, "SELECT n::int FROM counted") == 14


def test_a_role_that_a_statement_takes_holds_for_those_that_follow(db, applied, session, server):
    server.execute("DO $$ BEGIN IF to_regrole('other_hands') IS NULL THEN CREATE ROLE other_hands; END IF; END $$")
    look = session()
    look.execute("CREATE TABLE said (who name); GRANT INSERT ON said TO other_hands")
    note = "INSERT INTO said VALUES (current_user)"
    applied("001_t", UP, f"SET ROLE other_hands; {note}; RESET ROLE; {note};", options=OUTSIDE)
    assert db.rollback("001_t", confirm="001_t", snapshots="none").success
    owner = value(look, "SELECT current_user")
    assert [who for (who,) in look.execute("SELECT who FROM said").fetchall()] == ["other_hands", owner]
    events = "SELECT array_agg(DISTINCT database_user) FROM migration_events WHERE event = 'statement_completed'"
    assert value(look, events) == [owner]


def test_begin_and_commit_around_a_block_mean_all_or_nothing(db, applied, session):
    applied("001_t", UP, f"BEGIN; {STATEMENTS[0]}; SELECT 1 / 0; COMMIT;", options=OUTSIDE)
    look = session()
    with pytest.raises(mr.RollbackFailed):
        db.rollback("001_t", confirm="001_t", snapshots="none")
    assert ran(look) == "00000"


def test_a_constraint_that_is_deferred_fails_its_own_statement(db, applied, session):
    look = session()
    look.execute(
        "CREATE TABLE parent (a int PRIMARY KEY); CREATE TABLE child (a int REFERENCES parent DEFERRABLE"
        " INITIALLY DEFERRED)"
    )
    applied("001_t", UP, f"{STATEMENTS[0]}; INSERT INTO child VALUES (1); {STATEMENTS[1]};", options=OUTSIDE)
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t", snapshots="none")
    assert (caught.value.sqlstate, caught.value.statement_number) == (psycopg.errors.ForeignKeyViolation.sqlstate, 2)
    assert ran(look) == "10000"


def test_a_vacuum_of_the_whole_database_does_not_wait_for_us(db, applied):
    applied("001_t", UP, "VACUUM; ANALYZE;", options=OUTSIDE)
    assert db.rollback("001_t", confirm="001_t", snapshots="none").success


def test_two_that_run_outside_a_transaction_run_one_after_the_other(applied, session, database_dsn, folder):
    applied("001_t", UP, f"{STATEMENTS[0]}; SELECT pg_sleep(0.3); {STATEMENTS[1]};", options=OUTSIDE)

    def attempt():
        with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="10s")) as db:
            try:
                return db.rollback("001_t", confirm="001_t", snapshots="none").success
            except mr.Refused:
                return False

    assert sorted(one.result() for one in [Background(attempt) for _ in range(3)]) == [False, False, True]
    assert ran(session()) == "11000"
    assert events(session()).count("started") == 1, "those that waited disturbed the one that ran"


@pytest.fixture
def clients():
    with closing(Clients()) as opened:
        yield opened


@pytest.mark.parametrize("killed", ["backend", pytest.param("client", marks=pytest.mark.long)])
def test_what_a_kill_left_invalid_is_named_then_and_at_the_retry(db, session, write, clients, database_dsn, *, killed):
    look, reader = session(), session()
    look.execute("CREATE TABLE big (a int)")
    write(
        "001_i", "CREATE TABLE first (); CREATE INDEX CONCURRENTLY big_a ON big (a);", header="-- Transaction: false\n"
    )
    reader.execute("BEGIN; INSERT INTO big VALUES (1)")
    where = ("--dsn", database_dsn, "--dir", str(db.folder.path), "--format", "json")
    client = clients.start("apply", "001_i", "--snapshots", "none", *where)
    waiting = "SELECT max(pid) FROM pg_stat_activity WHERE query ~ '^CREATE INDEX' AND wait_event_type = 'Lock'"
    eventually(lambda: value(look, waiting) is not None, "the index waits for the reader")
    pid = value(look, waiting)
    if killed == "client":
        client.send(signal.SIGKILL)
    else:
        look.execute("SELECT pg_terminate_backend(%s)", (pid,))
    ended = client.result()
    eventually(lambda: value(look, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", pid) == 0, "it ends")
    reader.execute("COMMIT")
    fix = "DROP INDEX CONCURRENTLY public.big_a;"
    if killed == "backend":
        assert ended.status == 1
        assert fix in ended.err, ended
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply("001_i", snapshots="none")
    assert (caught.value.sqlstate, caught.value.statement_number) == ("42P07", 2)
    assert "index public.big_a of public.big is invalid" in caught.value.hint
    assert fix in caught.value.hint
    look.execute(fix)
    assert db.apply("001_i", snapshots="none").applied == ("001_i",)


# -- locks -------------------------------------------------------------------------------------------------------------

LOCKED = {
    "the table that a statement needs": "counted",
    "the gate of the audit log": "migration_event_gate",
}


def eventually_tries_again(look, relation):
    """Wait until two tries to lock a table were seen waiting."""
    waiting = "SELECT waitstart FROM pg_locks WHERE NOT granted AND relation = %s::regclass AND waitstart IS NOT NULL"
    seen = set()
    eventually(
        lambda: seen.update(look.execute(waiting, (relation,)).fetchall()) or len(seen) > 1,
        f"{relation} is tried again",
    )


@pytest.mark.parametrize("what", LOCKED)
def test_a_statement_that_a_lock_undid_is_run_again(applied, session, database_dsn, folder, what):
    applied("001_t", UP, f"{STATEMENTS[0]}; {STATEMENTS[1]};", options=OUTSIDE)
    look, other = session(), session()
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="50ms")) as db:
        other.execute(f"BEGIN; LOCK TABLE {LOCKED[what]} IN EXCLUSIVE MODE")
        going = Background(lambda: db.rollback("001_t", confirm="001_t", snapshots="none"))
        eventually_tries_again(look, LOCKED[what])
        other.execute("COMMIT")
        assert going.result().success
    assert ran(look) == "11000"
    if "table" in what:
        found = "SELECT (details ->> 'tries')::int FROM migration_events WHERE event = 'statement_completed' ORDER BY 1"
        assert [tries > 1 if tries else None for (tries,) in look.execute(found)] == [True, None]


@pytest.mark.long
def test_an_up_statement_that_a_lock_undid_is_run_again(session, database_dsn, folder, write):
    look, other = session(), session()
    look.execute("CREATE TABLE counted (n numeric); INSERT INTO counted VALUES (0)")
    write("001_t", f"{STATEMENTS[0]}; {STATEMENTS[1]};", header="-- Transaction: false\n")
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="50ms")) as db:
        other.execute("BEGIN; LOCK TABLE counted")
        going = Background(lambda: db.apply("001_t", snapshots="none"))
        eventually_tries_again(look, "counted")
        other.execute("COMMIT")
        assert going.result().applied == ("001_t",)
    assert ran(look) == "11000"


def test_a_lock_that_is_held_for_good_is_named(applied, session, database_dsn, folder, write):
    applied("001_t", UP, f"{STATEMENTS[0]}; DROP TABLE locked;", options=OUTSIDE)
    other = session(application_name="a long report")
    other.execute("CREATE TABLE locked ()")
    other.execute("BEGIN; LOCK TABLE locked")
    write("002_u", f"{STATEMENTS[1]}; ALTER TABLE locked ADD a int;", header="-- Transaction: false\n")
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="50ms", retries=1)) as db:
        for call in (
            lambda: db.rollback("001_t", confirm="001_t", snapshots="none"),
            lambda: db.apply("002_u", snapshots="none"),
        ):
            with pytest.raises((mr.RollbackFailed, mr.ApplyFailed)) as caught:
                call()
            assert (caught.value.sqlstate, caught.value.statement_number) == ("55P03", 2)
            assert f"process {other.info.backend_pid} (postgres, a long report" in str(caught.value)
            assert "Nothing was changed" not in str(caught.value)
            assert "1 of 2 statements have run and stay" in caught.value.message
    assert status(session(), "001_t") == "applied"
    assert ran(session()) == "11000"


@pytest.mark.long
def test_a_deadlock_undoes_a_statement_and_it_is_run_again(db, applied, session):
    applied(
        "001_t",
        UP + " CREATE TABLE a (); CREATE TABLE b ();",
        "SET deadlock_timeout = '50ms'; SET lock_timeout = '20s'; DO $$ BEGIN LOCK TABLE a; UPDATE counted SET n = n +"
        " 1; LOCK TABLE b; END $$; DROP TABLE b;",
        options=OUTSIDE,
    )
    look, other = session(), session(options="-c deadlock_timeout=10s")
    other.execute("BEGIN; LOCK TABLE b")
    going = Background(lambda: db.rollback("001_t", confirm="001_t", snapshots="none"))
    held = "SELECT count(*) FROM pg_locks WHERE relation = 'a'::regclass AND granted"
    eventually(lambda: value(look, held) == 1, "the statement holds a")
    other.execute("LOCK TABLE a")  # it got the lock: the statement was undone
    other.execute("COMMIT")
    assert going.result().success
    assert ran(look) == "10000"


def test_what_ran_outside_a_transaction_is_run_once_when_a_lock_stops_it(db, applied, session):
    look, other = session(), session()
    look.execute(
        "CREATE TABLE locked (); CREATE PROCEDURE in_batches() LANGUAGE plpgsql AS $$ BEGIN UPDATE counted SET n = n +"
        " 1; COMMIT; LOCK TABLE locked; END $$"
    )
    applied("001_t", UP, "CALL in_batches();", options=OUTSIDE)
    other.execute("BEGIN; LOCK TABLE locked")
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t", snapshots="none")
    assert caught.value.sqlstate == "55P03"
    assert f"process {other.info.backend_pid}" in str(caught.value)
    assert "may stay" in caught.value.hint
    assert "Nothing changed" not in caught.value.hint
    assert ran(look) == "10000"


@pytest.mark.long
def test_a_cancel_ends_the_waiting(applied, session, database_dsn, folder):
    applied("001_t", UP, f"{STATEMENTS[0]};", options=OUTSIDE)
    look, other = session(), session()
    other.execute("BEGIN; LOCK TABLE counted")
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="50ms", retries=1000)) as db:
        going = Background(lambda: db.rollback("001_t", confirm="001_t", snapshots="none"))
        eventually_tries_again(look, "counted")
        db.database.session.cancel()
        with pytest.raises(mr.RollbackFailed) as caught:
            going.result(seconds=5)
    assert caught.value.sqlstate == "57014"
    assert status(look, "001_t") == "applied"


@pytest.mark.parametrize("isolation", ["repeatable read", pytest.param("serializable", marks=pytest.mark.long)])
def test_whatever_isolation_is_the_default_each_entry_is_chained_to_the_last(
    applied, session, database_dsn, folder, isolation
):
    applied("001_t", UP, "; ".join(STATEMENTS) + ";", options=OUTSIDE)
    dsn = psycopg.conninfo.make_conninfo(
        database_dsn, options=f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
    )
    look, stop = session(), threading.Event()

    def write_others():
        writer = session()
        while not stop.is_set():
            writer.execute("SELECT add_migration_event('checklist_item', '001_t')")

    writing = Background(write_others)
    with mr.connect(dsn, dir=folder) as db:
        assert db.rollback("001_t", confirm="001_t", snapshots="none").success
        stop.set()
        writing.result()
        assert db.verify_events().intact
    assert ran(look) == "11111"
