"""Rollbacks with an id of the caller's own, and those that take a transaction for each: a job that runs twice, one that
stops between two, two at once."""

import io
import json
import subprocess
import sys
import uuid

import pytest
from pg_servers import with_migrations
from watching import events, exists, status, value

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.operations.attempts import step_id

NAMES = ("001_a", "002_b", "003_c", "004_d", "005_e")
ID, OTHER = "6d3e0b3f-d5a1-4f0b-9a53-6d1c2a7c9e10", "0b3fd5a1-6d3e-4f0b-9a53-6d1c2a7c9e11"


@pytest.fixture(scope="module")
def five(server, tmp_path_factory):
    """Five tables. A database that is copied."""
    folder = tmp_path_factory.mktemp("five") / "migrations"
    block = "CREATE TABLE {0} ();\n-- ROLLBACK START\nDROP TABLE {0};\n-- ROLLBACK END\n"
    yield from with_migrations(server, folder, {name: block.format(name[-1]) for name in NAMES})


@pytest.fixture
def database_template(five):
    return five


@pytest.fixture
def run(database_dsn, folder):
    """Run a rollback on the command line, with JSON: (exit status, what it told)."""

    def run_command(*argv):
        out, err = io.StringIO(), io.StringIO()
        words = ["--dsn", database_dsn, "--dir", str(folder), "rollback", *argv, "--format", "json"]
        ended = cli.run([*words, "--snapshots", "none"], out, err, io.StringIO())
        return ended, json.loads(out.getvalue()) if out.getvalue() else err.getvalue()

    return run_command


def applied(session):
    return [name for name in NAMES if status(session(), name) == "applied"]


def set_rollback(session, name, sql):
    session().execute("UPDATE migration_history SET rollback_sql = %s WHERE migration_name = %s", [sql, name])


def test_a_job_that_runs_again_does_nothing_twice(run, session, db):
    assert run("--last", "2", "--confirm", "005_e", "--attempt", ID)[0] == 0
    for _ in range(2):
        ended, told = run("--last", "2", "--confirm", "005_e", "--attempt", ID.upper())
        assert (ended, [one["migration_name"] for one in told["migrations"]]) == (0, ["005_e", "004_d"])
        assert "already" in told["message"]
    assert run("005_e", "004_d", "--confirm", "005_e", "--attempt", ID)[0] == 0, "the same, by their names"
    assert applied(session) == list(NAMES[:3])
    for other in (["--last", "3"], ["003_c"], ["--to", "001_a"], ["005_e"], ["005_e", "004_d", "003_c"]):
        ended, told = run(*other, "--confirm", "003_c", "--attempt", ID)
        assert (ended, told["success"]) == (3, False), other
    assert applied(session) == list(NAMES[:3])
    again = db.rollback(last=2, confirm="never asked", attempt_id=uuid.UUID(ID))
    assert again.before
    assert "already: nothing ran now" in again.message
    assert db.attempted(ID, last=2).results[0].anchor == again.results[0].anchor
    assert db.attempted(OTHER, last=2) is None
    assert db.rollback("003_c", confirm="003_c", attempt_id=OTHER, snapshots="none").attempt_id == OTHER
    assert "already" in db.rollback("003_c", confirm="003_c", attempt_id=OTHER).message
    assert db.database.queries.unfinished() == []


@pytest.mark.parametrize("attempt", ["1", "", "6d3e0b3f-d5a1-4f0b-9a53-6d1c2a7c9e1", "last"])
def test_an_id_is_a_uuid(run, db, attempt, session):
    assert run("005_e", "--confirm", "005_e", "--attempt", attempt)[0] == 2
    with pytest.raises(mr.UsageError):
        db.rollback("005_e", confirm="005_e", attempt_id=attempt)
    assert "started" not in events(session())


def test_one_that_failed_says_so_and_runs_no_more(run, session):
    set_rollback(session, "004_d", "SELECT 1/0")
    assert run("--last", "2", "--confirm", "005_e", "--attempt", ID)[0] == 1
    session().execute("UPDATE migration_history SET rollback_sql = 'DROP TABLE d', status = 'applied'")
    ended, told = run("--last", "2", "--confirm", "005_e", "--attempt", ID)
    assert (ended, told["sqlstate"], told["migration_name"]) == (1, "22012", "004_d")
    assert "failed already" in told["message"]
    assert applied(session) == list(NAMES)


def test_one_that_was_refused_or_met_a_lock_is_made_anew(run, session, database_dsn):
    set_rollback(session, "004_d", "")
    assert run("--last", "2", "--confirm", "005_e", "--attempt", ID)[0] == 3
    set_rollback(session, "004_d", "DROP TABLE d")
    with session().cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE d")
        hasty = mr.Timeouts(lock_timeout="20ms", retries=0)
        with mr.connect(database_dsn, timeouts=hasty) as db, pytest.raises(mr.RollbackFailed, match="lock"):
            db.rollback(last=2, confirm="005_e", attempt_id=ID, snapshots="none")
        cursor.execute("ROLLBACK")
    assert run("--last", "2", "--confirm", "005_e", "--attempt", ID)[0] == 0
    assert run("--last", "2", "--confirm", "005_e", "--attempt", ID)[0] == 0
    assert applied(session) == list(NAMES[:3])


def test_one_that_was_begun_goes_on_with_what_it_began(db, session, write_migration):
    asked = json.dumps({"asked": {"last": 2}})
    session().execute("SELECT start_migration_rollback('{005_e,004_d}', %s, target => %s)", [ID, asked])
    write_migration("006_f", "CREATE TABLE f ();\n-- ROLLBACK START\nDROP TABLE f;\n-- ROLLBACK END\n")
    db.apply("006_f", snapshots="none")
    assert [name for name, _ in db.preview(last=2, attempt_id=ID).steps] == ["005_e", "004_d"]
    done = db.rollback(last=2, confirm="005_e", attempt_id=ID, snapshots="none")
    assert [one.migration_name for one in done.results] == ["005_e", "004_d"]
    assert status(session(), "006_f") == "applied"


def test_two_jobs_at_once_both_end_well(database_dsn, folder, session):
    set_rollback(session, "005_e", "SELECT pg_sleep(1); DROP TABLE e")
    words = ["rollback", "--last", "2", "--confirm", "005_e", "--attempt", ID, "--format", "json"]
    command = [sys.executable, "-m", "migrollback_nb.cli", "--dsn", database_dsn, "--dir", str(folder), *words]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    told = [(*job.communicate(timeout=60), job.returncode) for job in jobs]
    assert [ended for *_, ended in told] == [0, 0], told
    assert applied(session) == list(NAMES[:3])
    assert value(session(), "SELECT count(*) FROM migration_events WHERE event = 'rolled_back'") == 2


# -- each in a transaction of its own ----------------------------------------------------------------------------------


def test_each_by_itself_up_to_the_first_that_fails(run, db, session):
    set_rollback(session, "003_c", "SELECT 1/0")
    preview = db.preview(to="001_a", each=True)
    assert preview.to_dict()["each"] is True
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback(to="001_a", confirm="001_a", each=True, preview=preview, attempt_id=ID, snapshots="none")
    assert caught.value.done == ("005_e", "004_d")
    assert "Rolled back before it, each for good: 005_e, 004_d." in caught.value.hint
    assert "Not begun, and still applied: 002_b." in caught.value.hint
    assert applied(session) == ["001_a", "002_b"]
    ended, told = run("--to", "001_a", "--confirm", "001_a", "--each", "--attempt", ID)
    assert (ended, told["rolled_back"], told["migration_name"]) == (1, ["005_e", "004_d"], "003_c")
    assert (
        value(session(), "SELECT count(DISTINCT rollback_at) FROM migration_history WHERE status = 'rolled_back'") == 2
    )


def test_a_preview_binds_all_of_them_and_is_not_voided_by_its_own_steps(db, session):
    preview = db.preview(last=3, each=True)
    done = db.rollback(last=3, confirm="005_e", each=True, preview=preview)
    assert [one.migration_name for one in done.results] == ["005_e", "004_d", "003_c"]
    assert {one.verification.verdict for one in done.results} == {"restored"}
    assert done.to_dict()["each"] is True
    assert "each in a transaction of its own" in done.message
    late = db.preview(last=2, each=True)
    session().execute("ALTER TABLE a ADD late int")
    with pytest.raises(mr.Refused, match="changed since the preview"):
        db.rollback(last=2, confirm="002_b", each=True, preview=late)
    assert applied(session) == ["001_a", "002_b"]


def test_what_is_exchanged_between_two_steps_does_not_run(db, session):
    set_rollback(session, "004_d", "DROP TABLE d; SELECT 1")
    begun = step_id(ID, 1)
    parts = {name: db.database.lookups.fingerprints([name])[name][:36] for name in ("005_e", "004_d")}
    target = {"asked": {"last": 2, "each": True}, "names": ["005_e", "004_d"], "parts": parts}
    session().execute("SELECT start_migration_rollback('{005_e}', %s, target => %s)", [begun, json.dumps(target)])
    set_rollback(session, "004_d", "DROP TABLE d; SELECT 2")
    with pytest.raises(mr.Refused, match="rollback SQL has changed since the first") as caught:
        db.rollback(last=2, confirm="005_e", each=True, attempt_id=ID, snapshots="none")
    assert caught.value.done == ("005_e",)
    assert exists(session(), "d")


def test_one_that_runs_outside_a_transaction_is_refused_and_goes_with_each(db, run, session, write_migration):
    write_migration(
        "006_f",
        "CREATE TABLE f (id int);\nCREATE INDEX i ON f (id);\n-- ROLLBACK START transaction:false\n"
        "DROP INDEX CONCURRENTLY i;\nDROP TABLE f;\n-- ROLLBACK END\n",
    )
    db.apply("006_f", snapshots="none")
    with pytest.raises(mr.Refused) as caught:
        db.preview(last=2)
    assert "--each" in caught.value.hint
    ended, told = run("--last", "2", "--confirm", "006_f")
    assert (ended, told["success"]) == (3, False)
    for _ in range(2):
        ended, told = run("--last", "2", "--confirm", "006_f", "--each", "--attempt", ID)
        assert (ended, [one["migration_name"] for one in told["migrations"]]) == (0, ["006_f", "005_e"])
    assert applied(session) == list(NAMES[:4])
    assert not exists(session(), "f")


@pytest.mark.long
def test_a_job_that_was_killed_between_two_goes_on(database_dsn, folder, session, run):
    watcher = session()
    set_rollback(session, "003_c", "SELECT pg_sleep(30)")
    words = ["rollback", "--to", "001_a", "--confirm", "001_a", "--each", "--attempt", ID, "--snapshots", "none"]
    command = [sys.executable, "-m", "migrollback_nb.cli", "--dsn", database_dsn, "--dir", str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        while status(watcher, "004_d") == "applied":
            assert job.poll() is None
        job.kill()
    session().execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE"
        " '%%execute_migration_rollbacks%%' AND pid <> pg_backend_pid()"
    )
    assert applied(session) == ["001_a", "002_b", "003_c"]
    ended, told = run("--to", "001_a", "--confirm", "001_a", "--each", "--attempt", ID, "--statement-timeout", "1s")
    assert (ended, told["rolled_back"]) == (1, ["005_e", "004_d"])
    assert "canceling" in told["message"]
    assert applied(session) == ["001_a", "002_b", "003_c"], "it went on with the third"
