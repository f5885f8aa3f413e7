"""A database that was dumped and restored has its history, its trail and its closed doors."""

import os
import subprocess

import psycopg
import pytest
from watching import value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def restored(server, db, applied):
    """DSN of a copy, made by pg_dump and psql, of a database with some history."""
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_ě", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    db.rollback("002_ě", confirm="002_ě", reason="příliš žluťoučký")
    db.snapshot("001_a", "for the dump")
    name = server.create_database()
    environment = {**os.environ, "PGCLIENTENCODING": "UTF8"}
    dump = subprocess.run(
        [server.bin / "pg_dump", "-d", server.dsn(db.target.database)], check=True, capture_output=True, env=environment
    ).stdout
    subprocess.run(
        [server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", server.dsn(name)],
        input=dump,
        check=True,
        capture_output=True,
        env=environment,
    )
    yield server.dsn(name)
    server.drop_database(name)


@pytest.mark.each_server
def test_everything_is_there_and_works(restored, db, folder):
    before = db.verify_events()
    with mr.connect(restored, dir=folder) as copy:
        assert copy.verify_events() == before
        assert list(copy.history()["migration_name"]) == list(db.history()["migration_name"])
        assert copy.install().installed == ()
        assert copy.apply("002_ě").applied == ("002_ě",)
        assert copy.rollback("001_a", confirm="001_a", chain=True).success
        assert copy.verify_events().intact


def test_the_doors_are_as_closed_as_before(restored, session):
    doors = """
        SELECT c.relname, c.relacl::text, c.relrowsecurity,
          (SELECT array_agg(t.tgname || t.tgenabled::text ORDER BY t.tgname) FROM pg_trigger t
          WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
          AND c.relname LIKE 'migration%'
        UNION ALL SELECT p.oid::regprocedure::text, p.proacl::text, NULL,
          p.proconfig FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY 1
    """
    with psycopg.connect(restored) as copy:
        assert copy.execute(doors).fetchall() == session().execute(doors).fetchall()
        assert value(copy, "SELECT intact FROM verify_migration_events()")
        with pytest.raises(psycopg.Error) as caught:
            copy.execute("DELETE FROM migration_events")
        assert caught.value.sqlstate == "MR010"


@pytest.fixture
def schema_alone(server, db, applied):
    """A database with some history, a copy of its schema, and a function that restores its data there."""
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_ě", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    db.rollback("002_ě", confirm="002_ě", reason="příliš žluťoučký")
    name = server.create_database()

    def copy(*options, role="origin"):
        environment = {**os.environ, "PGCLIENTENCODING": "UTF8", "PGOPTIONS": f"-c session_replication_role={role}"}
        dump = subprocess.run(
            [server.bin / "pg_dump", *options, "-d", server.dsn(db.target.database)], check=True, capture_output=True
        ).stdout
        return subprocess.run(
            [server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", server.dsn(name)],
            input=dump,
            check=False,
            capture_output=True,
            env=environment,
        )

    assert copy("--schema-only").returncode == 0
    yield server.dsn(name), copy
    server.drop_database(name)


def test_data_alone_is_restored_as_it_was(schema_alone, db):
    dsn, copy = schema_alone
    before = db.audit()
    failed = copy("--data-only")
    assert failed.returncode != 0
    assert "MR010" in failed.stderr.decode() or "session_replication_role=replica" in failed.stderr.decode()
    done = copy("--data-only", role="replica")
    assert (done.returncode, done.stderr) == (0, b"")
    with mr.connect(dsn) as restored:
        assert restored.audit(anchors=before.anchor).findings == ()
        assert restored.verify_events() == before
        assert restored.snapshot("001_a")
        assert restored.audit(anchors=before.anchor).success


def test_a_restored_event_that_was_changed_is_refused(schema_alone, db):
    dsn, _ = schema_alone
    (event,) = db.database.queries.events()[-1:]
    columns = [name for name in event if name not in ("details_text", "epoch_us")]
    values = {name: event[name] for name in columns} | {"details": psycopg.types.json.Jsonb(event["details"])}
    put_in = f"INSERT INTO migration_events ({', '.join(columns)}) VALUES ({', '.join(f'%({c})s' for c in columns)})"
    with psycopg.connect(dsn, autocommit=True) as copy:
        copy.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.Error) as caught:
            copy.execute(put_in, values | {"reason": "another"})
        assert caught.value.sqlstate == "MR010"
        copy.execute(put_in, values)
        assert value(copy, "SELECT hash FROM migration_events") == event["hash"]
