"""Archives are closed to others, listed, restored later, thrown away, erased and written to a file."""

import io
import json
import random
import stat
import sys
import threading

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb import cli

NOTES = """
    CREATE TABLE notes (id int PRIMARY KEY, v text, n numeric);
    INSERT INTO notes SELECT n, 'v' || n, n / 8.0 FROM generate_series(1, 40) n;
"""


@pytest.fixture
def notes(session):
    connection = session()
    connection.execute(NOTES)
    return connection


@pytest.fixture
def run(database_dsn, folder):
    def run_one(*words):
        out, err = io.StringIO(), io.StringIO()
        where = ["--dsn", database_dsn, "--dir", str(folder), "--format", "json"]
        status = cli.run([words[0], *where, *words[1:]], out, err)
        return status, json.loads(out.getvalue() or "null"), err.getvalue()

    return run_one


def rows(connection, table="notes"):
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def test_what_a_rollback_destroyed_comes_back_when_it_is_applied_again(run, write, notes):
    write("001_a", "CREATE TABLE more (id int PRIMARY KEY, v text);", "DROP TABLE more;")
    assert run("apply", "001_a")[0] == 0
    notes.execute("INSERT INTO more SELECT n, 'm' || n FROM generate_series(1, 30) n")
    before = rows(notes, "more")
    assert run("rollback", "001_a", "--confirm", "001_a", "--archive")[0] == 0
    (kept,) = run("archives")[1]
    assert {name: kept[name] for name in ("migration_name", "rows", "complete", "direction", "tables")} == {
        "migration_name": "001_a",
        "rows": 30,
        "complete": True,
        "direction": "rollback",
        "tables": ["public.more"],
    }
    assert kept["age"] >= 0
    event = str(kept["event"])
    assert run("restore-archive", event)[0] == 3
    assert run("restore-archive", "999999")[0] == 2
    assert run("apply", "001_a")[0] == 0
    notes.execute("INSERT INTO more VALUES (7, 'since')")
    since = [*rows(notes, "more")]
    status, foreseen, _ = run("restore-archive", event, "--dry-run")
    assert (status, foreseen["dry_run"], rows(notes, "more")) == (0, True, since)
    assert foreseen["message"].startswith("Nothing was changed: 29 rows of public.more would be as they were")
    status, answer, _ = run("restore-archive", event)
    assert status == 0
    assert [foreseen[name] == answer[name] for name in ("restored", "conflicts", "dry_run")] == [True, True, False]
    assert [row["event"] for row in run("events")[1]].count("archive_restored") == 1
    assert answer["conflicts"] == [{"table": "public.more", "keys": [7], "count": 1}]
    assert rows(notes, "more") == [(7, "since") if row[0] == 7 else row for row in before]


def test_conflicts_are_overwritten_by_choice_alone(run, write, notes):
    before = rows(notes)
    write("001_a", "UPDATE notes SET v = 'x'; DELETE FROM notes WHERE id > 30;", "SELECT 1;")
    assert run("apply", "001_a", "--archive")[0] == 0
    notes.execute("UPDATE notes SET v = 'since' WHERE id = 3; INSERT INTO notes VALUES (35, 'new', 1)")
    status, answer, _ = run("rollback", "001_a", "--confirm", "001_a", "--on-conflict", "archive")
    assert status == 0
    assert rows(notes) == before
    assert answer["restored"]["restored"][0]["overwritten"] == 2


def test_a_chain_is_no_later_write_but_what_came_between_is(db, write, notes):
    before = rows(notes)
    write("001_a", "UPDATE notes SET v = 'a';", "SELECT 1;")
    write("002_b", "-- Depends on: 001_a\nUPDATE notes SET v = 'b', n = 0 WHERE id <= 20;", "SELECT 1;")
    db.apply("001_a", archive=True)
    notes.execute("UPDATE notes SET v = 'between' WHERE id = 5")
    db.apply("002_b", archive=True)
    result = db.rollback("001_a", confirm="001_a", chain=True)
    assert [one.count for step in result.results for one in step.restored.conflicts] == [1]
    assert rows(notes) == [(5, "between", row[2]) if row[0] == 5 else row for row in before]


def test_one_after_the_other_is_as_a_chain(db, write, notes):
    before = rows(notes)
    write("001_a", "UPDATE notes SET v = 'a';", "SELECT 1;")
    write(
        "002_b", "-- Depends on: 001_a\nALTER TABLE notes ALTER n TYPE int;", "ALTER TABLE notes ALTER n TYPE numeric;"
    )
    db.apply("001_a", "002_b", archive=True)
    db.rollback("002_b", confirm="002_b")
    result = db.rollback("001_a", confirm="001_a")
    assert (rows(notes), result.verification.verdict) == (before, "restored")


def test_triggers_fire_are_named_and_may_be_disabled(db, write, notes):
    notes.execute(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$;"
        "CREATE TRIGGER shout BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION shout()"
    )
    before = rows(notes)
    write("001_a", "UPDATE notes SET n = 0;", "SELECT 1;")
    db.apply("001_a", archive=True)
    result = db.rollback("001_a", confirm="001_a")
    assert result.restored.tables[0].triggers == ("shout",)
    assert result.verification.verdict == "schema_restored"
    db.apply("001_a", archive=True)
    notes.execute("ALTER TABLE notes DISABLE TRIGGER shout; UPDATE notes SET v = lower(v)")
    notes.execute("ALTER TABLE notes ENABLE ALWAYS TRIGGER shout")
    db.rollback("001_a", confirm="001_a", disable_triggers=True, on_conflict="archive")
    assert [row[0] for row in rows(notes)] == [row[0] for row in before]
    assert notes.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 'shout'").fetchone()[0] == "A"


def test_pruned_erased_and_exported(run, write, notes, tmp_path):
    write("001_a", "DELETE FROM notes;", "SELECT 1;")
    assert run("apply", "001_a", "--archive")[0] == 0
    status, answer, _ = run("archives", "--erase", "public.notes", "7", "--reason", "asked for")
    assert (status, answer["erased"]) == (0, 1)
    path = tmp_path / "kept.jsonl"
    status, answer, _ = run("archives", "export", str(path))
    assert (status, answer["exported"], stat.S_IMODE(path.stat().st_mode)) == (0, 39, 0o600)
    first = json.loads(path.read_text().splitlines()[0])
    assert set(first) == {"migration_name", "event", "table", "values"}
    assert set(first["values"]) == {"id", "v", "n"}
    assert run("archives", "--prune", "30d")[1]["pruned"] == 0
    assert run("archives", "--prune", "0s")[1]["pruned"] == 1
    assert run("archives")[1] == []
    assert notes.execute(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'migrollback_archive'::regnamespace AND relkind = 'r'"
    ).fetchone() == (0,)
    told = notes.execute("SELECT event, details::text FROM migration_events").fetchall()
    assert {"archive_erased", "archives_pruned"} <= {event for event, _ in told}
    assert not [details for _, details in told if "v7" in details]


def test_a_schema_of_a_stranger_is_refused(db, write, notes, admin):
    admin.execute("DROP ROLE IF EXISTS mallory; CREATE ROLE mallory")
    try:
        notes.execute("CREATE SCHEMA migrollback_archive AUTHORIZATION mallory")
        write("001_a", "DELETE FROM notes;", "SELECT 1;")
        with pytest.raises(mr.Refused, match="belongs to mallory"):
            db.apply("001_a", archive=True)
        notes.execute("ALTER SCHEMA migrollback_archive OWNER TO CURRENT_USER")
        notes.execute("GRANT CREATE ON SCHEMA migrollback_archive TO mallory")
        with pytest.raises(mr.Refused, match="open to mallory"):
            db.apply("001_a", archive=True)
        notes.execute("REVOKE ALL ON SCHEMA migrollback_archive FROM mallory; DROP SCHEMA migrollback_archive")
        notes.execute(
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO mallory; ALTER DEFAULT PRIVILEGES GRANT ALL ON"
            " SCHEMAS TO mallory; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC"
        )
        db.apply("001_a", archive=True)
        open_to = notes.execute(
            "SELECT a.grantee FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee <> c.relowner"
            " AND c.relnamespace = 'migrollback_archive'::regnamespace"
        ).fetchall()
        assert open_to == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege), notes.transaction():
            notes.execute("SET LOCAL ROLE mallory; SELECT * FROM migrollback_archive.batches")
    finally:
        notes.execute("DROP OWNED BY mallory")
        admin.execute("DROP ROLE mallory")


def test_a_migration_that_fails_leaves_no_archive(db, write, notes):
    write("001_a", "DELETE FROM notes; SELECT 1 / 0;", "SELECT 1;")
    with pytest.raises(mr.ApplyFailed):
        db.apply("001_a", archive=True)
    assert db.archive_rows() == []
    assert notes.execute(
        "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'notes'::regclass"
    ).fetchone() == (0,)


def test_the_setting_of_a_database_is_enough_in_psql(notes, database_dsn, folder, write):
    write("001_a", "UPDATE notes SET v = 'x';", "SELECT 1;")
    notes.execute(f"ALTER DATABASE {notes.info.dbname} SET migrollback.archive = 'on'")
    before = rows(notes)
    with mr.connect(database_dsn, dir=folder) as db:
        assert db.apply("001_a").archived[0].rows == 40
    assert notes.execute("SELECT success FROM execute_migration_rollback('001_a')").fetchone() == (True,)
    assert rows(notes) == before


@pytest.mark.long
def test_a_backend_that_is_ended_at_random_leaves_nothing_between(write, notes, folder, admin, pytestconfig):
    """Whole or not at all, and nothing lost: of apply and of rollback, 20 times each, or --rounds."""
    write(
        "001_a",
        "UPDATE notes SET v = 'x'; ALTER TABLE notes DROP COLUMN n; DELETE FROM notes WHERE id % 3 = 0;",
        "ALTER TABLE notes ADD COLUMN n numeric;",
    )
    notes.execute("INSERT INTO notes SELECT n, 'v' || n, n / 8.0 FROM generate_series(41, 20000) n")
    before = rows(notes)
    chance = random.Random(pytestconfig.getoption("--seed") or 16)
    for _ in range(pytestconfig.getoption("--rounds") or 20):
        for what in ("apply", "rollback"):
            with mr.connect(notes.info.dsn, dir=folder) as db:
                pid = db.database.connection.info.backend_pid
                end = ("SELECT pg_terminate_backend(%s)", (pid,))
                stop = threading.Timer(chance.uniform(0.01, 0.5), admin.execute, end)
                stop.start()
                try:
                    if what == "apply":
                        db.apply("001_a", archive=True)
                    else:
                        db.rollback("001_a", confirm="001_a")
                except mr.MigrollbackError:
                    pass
                stop.cancel()
                stop.join()
        with mr.connect(notes.info.dsn, dir=folder) as db:
            state = db.database.queries.history_states().get("001_a", {"status": "rolled_back"})
            if state["status"] == "rolled_back":
                assert rows(notes) == before
            else:
                assert "n" not in [column.name for column in notes.execute("SELECT * FROM notes").description]
                assert db.rollback("001_a", confirm="001_a").verification.verdict == "restored"
                assert rows(notes) == before
        assert notes.execute("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'migrollback_archive'").fetchone() == (0,)


def test_around_another_tool(run, write, notes, database_dsn, folder):
    before = rows(notes)
    write("001_a", "UPDATE notes SET v = 'x' WHERE id < 10; ALTER TABLE notes DROP COLUMN n;",
          "ALTER TABLE notes ADD COLUMN n numeric;")  # fmt: skip
    program = (
        "import psycopg, sys\nwith psycopg.connect(sys.argv[1]) as c:\n"
        "    c.execute(\"UPDATE notes SET v = 'x' WHERE id < 10; ALTER TABLE notes DROP COLUMN n\")\n"
    )
    out, err = io.StringIO(), io.StringIO()
    words = ["around", "--dsn", database_dsn, "--dir", str(folder)]
    assert cli.run([*words, "--", sys.executable, "-c", program, database_dsn], out, err) == 0, err.getvalue()
    assert "between the reading of a table and the run" in err.getvalue()
    assert [one["rows"] for one in run("archives")[1]] == [49]
    assert run("rollback", "001_a", "--confirm", "001_a")[0] == 0
    assert rows(notes) == before
    assert run("around", "--", "false")[0] == 1
