"""A deploy tool applies and sync registers: the snapshot at the end of each sync is what was before the next deploy."""

import pytest
from watching import dismiss_all, last_event, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

LEDGER = (
    "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY,"
    " statements text[], name text)"
)


@pytest.fixture
def tool(session, write_migration):
    """A deploy tool: tool("001_a", "CREATE ...", "DROP ...") writes the file, and applies it as Supabase does."""
    connection = session()
    connection.execute(LEDGER)

    def deploy(name, up, rollback, run=True):
        write_migration(name, f"{up}\n-- ROLLBACK START\n-- {rollback}\n-- ROLLBACK END\n")
        if run:
            connection.execute(up)
            connection.execute(
                "INSERT INTO supabase_migrations.schema_migrations VALUES (split_part(%s, '_', 1), '{}', split_part(%s,"
                " '_', 2))",
                (name, name),
            )

    return deploy


def undone(db, *names, **options):
    name = names if len(names) > 1 else names[0]
    return db.rollback(name, confirm=names[-1], **options).verification


def test_a_deploy_between_two_syncs_is_verified(db, tool):
    tool("001_a", "CREATE TABLE a (x int);", "DROP TABLE a;")
    db.sync()
    tool("002_b", "ALTER TABLE a ADD COLUMN y int; CREATE TABLE b ();", "DROP TABLE b; ALTER TABLE a DROP COLUMN y;")
    db.sync()
    assert undone(db, "002_b").message.endswith("as before it was applied")
    assert undone(db, "001_a").verdict == "unknown"  # it was there before the first snapshot


def test_what_a_rollback_leaves_behind_is_seen(db, tool):
    db.sync()
    tool("001_a", "CREATE TABLE a (x int); CREATE TYPE mood AS ENUM ('sad');", "DROP TABLE a;")
    db.sync()
    found = undone(db, "001_a")
    assert [change.identity for change in found.differences.changes] == ["public.mood"]


def test_what_came_with_others_is_verified_with_them(db, tool):
    db.sync()
    tool("001_a", "CREATE TABLE a (x int);", "DROP TABLE a;")
    tool("002_b", "ALTER TABLE a ADD COLUMN y int;", "ALTER TABLE a DROP COLUMN y;")
    db.sync(deploy="d1")
    assert undone(db, "002_b").verdict == "unknown"
    tool("002_b", "ALTER TABLE a ADD COLUMN y int;", "ALTER TABLE a DROP COLUMN y;")
    assert db.sync().applied_again == ("002_b",)
    assert undone(db, "002_b").verdict == "restored"
    db.apply("002_b")
    dismiss_all(db)
    assert db.rollback(deploy="d1", confirm="d1").verification.verdict == "unknown"  # the second came once more, alone


def test_a_deploy_as_a_whole_is_verified(db, tool):
    db.sync()
    tool("001_a", "CREATE TABLE a (x int);", "DROP TABLE a;")
    tool("002_b", "ALTER TABLE a ADD COLUMN y int;", "ALTER TABLE a DROP COLUMN y;")
    db.sync(deploy="d1")
    assert db.rollback(deploy="d1", confirm="d1").verification.verdict == "restored"


def test_a_late_registration_is_not_compared_with_what_held_it_already(db, tool, session, folder):
    tool("001_a", "CREATE TABLE a (x int);", "DROP TABLE a;")
    text = (folder / "001_a.sql").read_text()
    (folder / "001_a.sql").unlink()
    db.sync()
    (folder / "001_a.sql").write_text(text)
    assert len(db.sync().registered) == 1
    db.record_dependencies()
    assert undone(db, "001_a").verdict == "unknown"


@pytest.mark.long
def test_what_we_did_in_between_is_not_taken_for_the_tools(db, tool, write_migration):
    db.sync()
    tool("001_a", "CREATE TABLE a (x int);", "DROP TABLE a;")
    write_migration("002_b", "CREATE TABLE b ();\n-- ROLLBACK START\n-- DROP TABLE b;\n-- ROLLBACK END")
    db.apply("002_b", snapshots="none")
    db.sync()
    assert undone(db, "001_a").verdict == "unknown"


@pytest.mark.long
def test_a_sync_with_nothing_new_takes_one_only_where_the_schema_has_changed(db, tool, session):
    connection = session()
    count = "SELECT count(*) FROM migration_snapshots"
    tool("001_a", "CREATE TABLE a (x int);", "DROP TABLE a;")
    db.sync()
    events = value(connection, "SELECT count(*) FROM migration_events")
    for _ in range(2):
        db.sync()
    assert value(connection, "SELECT count(*) FROM migration_events") == events
    assert value(connection, count) == 1
    connection.execute("CREATE TABLE by_hand ()")
    db.sync()
    assert (value(connection, count), last_event(connection, around=True)["details"]["moment"]) == (2, "after sync")
    tool("002_b", "CREATE TABLE b ();", "DROP TABLE b;")
    db.sync()
    assert undone(db, "002_b").verdict == "restored"
    connection.execute("CREATE TABLE by_hand_too ()")
    db.sync(snapshots="none")
    assert value(connection, count) == 4


def test_a_snapshot_that_cannot_be_taken_stops_no_sync(database_dsn, folder, tool, session):
    tool("001_a", "CREATE TABLE a (x int); CREATE VIEW held AS SELECT 1;", "DROP VIEW held; DROP TABLE a;")
    holder = session()
    holder.execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
    with mr.connect(database_dsn, dir=folder, timeouts=mr.Timeouts(lock_timeout="50ms", retries=0)) as db:
        found = db.sync()
    assert len(found.registered) == 1
    assert found.warnings[-1].startswith("No snapshot was taken after the sync: ")
    holder.execute("COMMIT")
