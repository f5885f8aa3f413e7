"""What runs statement by statement: each statement once, whatever is cut, and none touches our tables."""

import random

import psycopg
import pytest
from watching import Background, status, value

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
