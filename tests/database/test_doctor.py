"""`migrollback doctor`: what endangers a rollback is found, each with its fix, and is the exit status."""

import io
import json
from contextlib import closing

import psycopg
import pytest
from pg_servers import with_migrations

import migrollback_nb as mr
from migrollback_nb import cli

FILES = {
    "001_a": "CREATE TABLE a (id int);\n-- ROLLBACK START\nDROP TABLE a;\n-- ROLLBACK END\n",
    "002_b": "CREATE TABLE b (id int);\n",
}
LEDGER = (
    "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY,"
    " statements text[], name text); INSERT INTO supabase_migrations.schema_migrations VALUES ('001', '{}', 'a'),"
    " ('002', '{}', 'b')"
)
#: What is done, within a transaction that is undone, and the finding and words that follow.
KINDS = {
    "trigger": (
        "ALTER TABLE migration_events DISABLE TRIGGER refuse_event_change",
        ("problem", "trigger", "is disabled"),
    ),
    "function": (
        "ALTER FUNCTION lock_migrations() SECURITY DEFINER",
        ("problem", "function", "differ from what install left"),
    ),
    "grant": ("GRANT SELECT ON migration_history TO PUBLIC", ("problem", "grants", "PUBLIC may use 1 of")),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        ("note", "default privileges", "give SELECT to PUBLIC on each new table"),
    ),
    "failed": (
        "UPDATE migration_history SET status = 'failed' WHERE migration_name = '001_a'",
        ("problem", "failed", "001_a has status failed"),
    ),
    "live block": (
        LEDGER,
        ("problem", "live rollback block", "the rollback block of 001_a is live"),
    ),
    "ledger": (
        f"{LEDGER}; UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = '001_a'",
        ("problem", "ledger", "001_a"),
    ),
    "drift": ("CREATE TABLE by_hand ()", ("note", "drift", "the schema has changed since the last snapshot")),
    "dependencies": (
        "DELETE FROM migration_dependency_searches",
        ("note", "dependencies", "of 2 of 2 applied migrations"),
    ),
    "proofs": ("SELECT 1", ("note", "proofs", "1 of 2 applied migrations have a rollback that was neither")),
    "no rollback SQL": ("SELECT 1", ("note", "rollback SQL", "1 of 2 applied migrations have no rollback SQL")),
    "durability": ("SELECT 1", ("problem", "durability", "fsync is off")),
    "publication": (
        "CREATE PUBLICATION p FOR TABLE migration_events",
        ("note", "replicas", "publication p publishes migration_events"),
    ),
    "row security": (
        "CREATE ROLE anon",
        ("problem", "row security", "row security of the system's tables is off"),
    ),
}
#: Settings of the session, by its options.
SETTINGS = {
    "isolation": ("default_transaction_isolation=serializable", "isolation"),
    "read only": ("default_transaction_read_only=on", "read only"),
    "synchronous_commit": ("synchronous_commit=off", "durability"),
}


@pytest.fixture(scope="module")
def looked_at(first_server, tmp_path_factory):
    yield from with_migrations(first_server, tmp_path_factory.mktemp("doctor") / "migrations", FILES)


@pytest.fixture(scope="module")
def connection(first_server, looked_at):
    with closing(psycopg.connect(first_server.dsn(looked_at))) as connection:
        yield connection


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_found(connection, kind):
    sql, (severity, finding, words) = KINDS[kind]
    try:
        connection.execute(sql)
        rows = connection.execute("SELECT severity, finding, message, fix FROM diagnose_migrations()").fetchall()
    finally:
        connection.rollback()
    assert [row for row in rows if row[:2] == (severity, finding) and words in row[2] and row[3]], rows


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_setting_is_found(first_server, looked_at, kind):
    setting, finding = SETTINGS[kind]
    with closing(psycopg.connect(first_server.dsn(looked_at), options=f"-c {setting}")) as connection:
        rows = connection.execute("SELECT finding, message FROM diagnose_server()").fetchall()
    assert [row for row in rows if row[0] == finding and kind.split("_")[0] in row[1]], rows


def run(dsn, *words):
    out, err = io.StringIO(), io.StringIO()
    return cli.run(["--dsn", dsn, "doctor", *words], out, err), out.getvalue() + err.getvalue()


def test_each_has_its_fix_and_a_problem_is_exit_status_1(first_server, looked_at):
    status, said = run(first_server.dsn(looked_at), "--format", "json")
    found = json.loads(said)
    # these servers run without fsync; nothing else is wrong
    assert status == 1
    assert {(one["severity"], one["finding"]) for one in found["diagnoses"]} == {
        ("problem", "durability"),
        ("note", "proofs"),
        ("note", "rollback SQL"),
    }
    assert all(one["fix"] for one in found["diagnoses"])
    assert found["version"] == mr.__version__
    status, said = run(first_server.dsn(looked_at))
    assert (status, said.count("Fix: ")) == (1, len(found["diagnoses"]))


def test_without_a_system_that_alone_is_said(empty_dsn):
    status, said = run(empty_dsn)
    assert status == 1
    assert "1 problem\n" in said
    assert "The rollback system is not installed" in said
    assert "migrollback install" in said


def test_what_stands_in_the_place_of_ours_is_named(db, session):
    session().execute(
        "CREATE ROLE other; GRANT CREATE ON SCHEMA public TO other; SET ROLE other; CREATE FUNCTION"
        " can_rollback_migration(name varchar) RETURNS int LANGUAGE sql AS 'SELECT 1'; RESET ROLE; CREATE OR REPLACE"
        " FUNCTION is_transient_error(sqlstate_code text) RETURNS boolean LANGUAGE sql AS 'SELECT true'"
    )
    found = {(one.finding, one.identity) for one in db.doctor().problems}
    session().execute("DROP OWNED BY other; DROP ROLE other")
    assert ("function", "is_transient_error(text)") in found
    assert [identity for finding, identity in found if finding == "foreign"] == [
        "public.can_rollback_migration(name character varying)"
    ]
    assert ("function", None) not in found, "it is named already"


# -- snapshots that nothing needs ------------------------------------------------------------------------------------


def test_snapshots_that_a_verification_needs_stay(db, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    needed = set(db.snapshots()["snapshot_id"])
    for number in range(3):
        session().execute(f"CREATE TABLE t{number} ()")
        db.snapshot("001_a", "by hand")
    newest = db.snapshots()["snapshot_id"].iloc[0]
    session().execute("UPDATE pg_class SET relname = relname")  # nothing of ours
    found = db.prune_snapshots("0d")
    assert (found.pruned, found.needed) == (2, len(needed) + 1)
    assert set(db.snapshots()["snapshot_id"]) == {*needed, newest}
    assert db.audit().success
    assert db.prune_snapshots("0d").pruned == 0
    session().execute("DROP TABLE t0, t1, t2")
    assert db.rollback("001_a", confirm="001_a").verification.verdict == "restored"
    with pytest.raises(mr.UsageError):
        db.prune_snapshots("soon")


# -- events as JSON lines ----------------------------------------------------------------------------------------------


def test_events_come_as_json_lines(database_dsn, db, applied):
    applied("001_a\u202e", "CREATE TABLE a ();")
    out = io.StringIO()
    assert cli.run(["--dsn", database_dsn, "events", "--format", "jsonl", "--after", "2"], out) == 0
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event_number"] for one in lines] == list(range(3, 3 + len(lines)))
    assert out.getvalue().isascii()
    err = io.StringIO()
    assert cli.run(["--dsn", database_dsn, "events", "--follow"], out, err) == 2
    assert "--format jsonl" in err.getvalue()
