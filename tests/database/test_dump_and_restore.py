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
