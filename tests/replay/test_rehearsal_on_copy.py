"""A rehearsal on a copy of the schema: same verdicts, and the target is only read."""

from pathlib import Path

import psycopg
import pytest
from watching import dismiss_all, events, schema_of, status

import migrollback_nb as mr
from migrollback_nb.database import Database
from migrollback_nb.files import preludes
from migrollback_nb.replay.schema_copy import copied
from migrollback_nb.servers import embedded
from migrollback_nb.servers.private import PrivateServer

pytestmark = pytest.mark.versions


@pytest.fixture
def shop(db, applied):
    applied(
        "001_users",
        "CREATE TABLE users (id int PRIMARY KEY, notes text); INSERT INTO users SELECT g, 'x' FROM generate_series(1,"
        " 40) g;",
        "DROP TABLE users CASCADE;",
    )
    applied("002_report", "CREATE VIEW daily_totals AS SELECT count(*) FROM users;", "DROP VIEW daily_totals;")
    dismiss_all(db)  # what 001_users would take of it is foretold, where nobody has said that it depends on that


def test_the_target_is_only_read(db, shop, session):
    watcher = session()
    before = (
        schema_of(watcher),
        events(watcher),
        watcher.execute("SELECT * FROM migration_history ORDER BY migration_name").fetchall(),
    )
    rehearsed = db.rehearse("001_users", on="scratch")
    assert rehearsed.success
    assert "on a copy of the schema" in rehearsed.where
    assert rehearsed.target == db.target
    assert {change.identity for change in rehearsed.diff.main if change.kind in ("table", "view")} == {
        "public.users",
        "public.daily_totals",
    }
    assert (
        schema_of(watcher),
        events(watcher),
        watcher.execute("SELECT * FROM migration_history ORDER BY migration_name").fetchall(),
    ) == before


@pytest.mark.long
def test_it_is_a_preview_of_the_target(db, shop):
    rehearsed = db.rehearse("002_report", on="scratch")
    assert db.rollback("002_report", confirm="002_report", preview=rehearsed).success


@pytest.mark.each_server
def test_it_foretells_the_same_changes_as_on_the_target(db, shop):
    there, here = db.rehearse("001_users", on="scratch"), db.rehearse("001_users")
    assert [
        (change.change, change.kind, change.identity)
        for change in there.diff.changes
        if "not_null" not in change.identity
    ] == [
        (change.change, change.kind, change.identity)
        for change in here.diff.changes
        if "not_null" not in change.identity
    ]
    assert {(lock.relation, lock.mode) for lock in here.locks} == {(lock.relation, lock.mode) for lock in there.locks}


@pytest.mark.long
def test_numbers_of_rows_are_the_targets_statistics_and_said_to_be(db, shop, applied, session):
    applied(
        "003_more",
        "SELECT 1;",
        "ALTER TABLE users DROP COLUMN notes CASCADE; DELETE FROM users; DROP TABLE users CASCADE;",
    )
    session().execute("ANALYZE users")
    rehearsed = db.rehearse("003_more", on="scratch")
    told = {(loss.what, loss.column): (loss.rows, loss.exact) for loss in rehearsed.rows}
    assert told == {("dropped", None): (40, False), ("deleted", None): (None, False)}
    assert any("about 40 rows (an estimate)" in danger for danger in rehearsed.dangers)
    assert any("statistics" in remark for remark in rehearsed.remarks)


@pytest.mark.long
def test_a_failure_is_the_same(db, applied):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t; SELECT missing FROM pg_class;")
    rehearsed = db.rehearse("001_t", on="scratch")
    assert not rehearsed.success
    assert (rehearsed.failure.sqlstate, rehearsed.failure.statement_number, rehearsed.failure.position) == (
        "42703",
        2,
        8,
    )


@pytest.mark.long
def test_the_guards_are_the_same(db, applied):
    applied("001_t", "CREATE TABLE t (a int);", "UPDATE migration_history SET notes = 'x';")
    assert db.rehearse("001_t", on="scratch").failure.sqlstate == "MR022"


@pytest.mark.long
def test_what_runs_outside_a_transaction(db, applied, session):
    applied(
        "001_i",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);",
        "DROP INDEX CONCURRENTLY i;\nDROP TABLE t;",
        options=" transaction:false",
    )
    rehearsed = db.rehearse("001_i", on="scratch")
    assert rehearsed.success
    assert [(one.number, one.statement) for one in rehearsed.statements] == [
        (1, "DROP INDEX CONCURRENTLY i"),
        (2, "DROP TABLE t"),
    ]
    assert all(one.ms is not None for one in rehearsed.statements)
    assert {change.identity for change in rehearsed.diff.dropped} >= {"public.i", "public.t"}
    assert status(session(), "001_i") == "applied"
    assert db.rollback("001_i", confirm="001_i", preview=rehearsed).success


@pytest.mark.long
def test_what_fails_outside_a_transaction(db, applied):
    applied(
        "001_i",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);",
        "DROP INDEX CONCURRENTLY i;\nDROP TABLE nix;",
        options=" transaction:false",
    )
    rehearsed = db.rehearse("001_i", on="scratch")
    assert not rehearsed.success
    assert (rehearsed.failure.sqlstate, rehearsed.failure.statement_number) == ("42P01", 2)


@pytest.mark.long
def test_a_chain(db, applied):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    with pytest.raises(mr.Refused):
        db.rehearse("001_a", on="scratch")
    assert [name for name, _ in db.rehearse("001_a", chain=True, on="scratch").steps] == ["002_b", "001_a"]


@pytest.mark.long
def test_consent_is_needed_only_for_what_reaches_beyond_the_copy(db, applied):
    applied("001_n", "CREATE SEQUENCE s;", "SELECT nextval('s'); SELECT setval('s', 7);")
    assert db.rehearse("001_n", on="scratch").success
    applied("002_p", "CREATE TABLE t ();", "COPY t TO PROGRAM 'touch /tmp/never_made_by_migrollback';")
    with pytest.raises(mr.Refused, match="runs a program"):
        db.rehearse("002_p", on="scratch")
    assert not Path("/tmp/never_made_by_migrollback").exists()


@pytest.mark.long
def test_roles_of_the_target_are_there_and_the_caller_is_who_it_is(db, database_dsn, session, folder, write_migration):
    admin = session()
    for role in ("copied_owner", "copied_reader"):
        admin.execute(f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    database = admin.info.dbname
    admin.execute(
        f'GRANT CREATE ON DATABASE "{database}" TO copied_owner; CREATE SCHEMA own AUTHORIZATION copied_owner; CREATE'
        " TABLE public.not_mine ()"
    )
    with mr.connect(
        psycopg.conninfo.make_conninfo(database_dsn, user="copied_owner"), dir=folder, schema="own"
    ) as mine:
        mine.install()
        write_migration(
            "001_t",
            "CREATE TABLE own.t (a int);\nGRANT SELECT ON own.t TO copied_reader;\n-- ROLLBACK START\nREVOKE SELECT ON"
            " own.t FROM copied_reader;\n-- ROLLBACK END\n",
        )
        write_migration("002_t", "SELECT 1;\n-- ROLLBACK START\nDROP TABLE public.not_mine;\n-- ROLLBACK END\n")
        mine.apply()
        # pg_dump locks every table, and this role may not read all
        with pytest.raises(mr.UsageError, match="pg_dump cannot read"):
            mine.rehearse("001_t", on="scratch")
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO copied_owner")
        rehearsed = mine.rehearse("001_t", on="scratch")
        assert rehearsed.success, rehearsed
        assert [(change.change, change.kind) for change in rehearsed.diff.changes] == [("dropped", "grant")]
        assert mine.rehearse("002_t", on="scratch").failure.sqlstate == "42501"


@pytest.mark.long
def test_a_server_that_is_named(db, shop, server):
    rehearsed = db.rehearse("002_report", on=server.dsn())
    assert rehearsed.success
    assert server.version.split(".")[0] in rehearsed.where


@pytest.mark.long
def test_a_role_that_the_named_server_has_not(db, applied, server, session):
    session().execute("DO $$ BEGIN CREATE ROLE only_here; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    applied("001_t", "CREATE TABLE t (); ALTER TABLE t OWNER TO only_here;", "DROP TABLE t;")
    try:
        with pytest.raises(mr.UsageError, match="only_here"):
            db.rehearse("001_t", on=embedded.start())
        assert db.rehearse("001_t", on="scratch").success
    finally:
        session().execute("DROP TABLE t; DROP ROLE only_here")


def test_nothing_stays_of_a_schema_that_cannot_be_restored(db, applied, session):
    session().execute(
        "CREATE FUNCTION broken() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END; UPDATE pg_proc SET probin ="
        " 'nowhere', prolang = 13, prosqlbody = NULL, prosrc = 'x' WHERE proname = 'broken'"
    )
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with pytest.raises(mr.UsageError, match="cannot be restored on"):
        db.rehearse("001_t", on="scratch")
    with psycopg.connect(embedded.start()) as admin:
        assert admin.execute(
            "SELECT count(*) FROM pg_database WHERE datname LIKE 'migrollback_scratch_%'"
        ).fetchone() == (0,)


def test_the_copy_is_the_schema(db, shop, session):
    session().execute(
        "CREATE TYPE mood AS ENUM ('a'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE INDEX ON"
        " users (notes); COMMENT ON TABLE users IS 'x'"
    )
    with copied(db.database) as copy:
        assert isinstance(copy.database, Database)
        there = {
            (row[0], row[1]) for row in copy.database.connection.execute("SELECT kind, identity FROM schema_objects()")
        }
    # PostgreSQL 18 names NOT NULL constraints; older ones have none
    assert {one for one in there if "not_null" not in one[1]} == {
        key for key in schema_of(session()) if "not_null" not in key[1]
    }


def test_passwords_go_nowhere(db, monkeypatch):
    import subprocess

    seen = []
    real = subprocess.Popen

    def watched(arguments, **options):
        seen.append((arguments, options.get("env")))
        return real(arguments, **options)

    monkeypatch.setenv("PGPASSWORD", "s3cret")
    monkeypatch.setattr(subprocess, "Popen", watched)
    with copied(db.database):
        pass
    assert seen
    assert not any("s3cret" in str(argument) for arguments, _ in seen for argument in arguments)
    assert not any("s3cret" in str(environment) for _, environment in seen)


@pytest.mark.long
def test_a_target_that_takes_no_writes_can_be_rehearsed_all_the_same(db, shop, database_dsn, folder):
    # a standby cannot be had here; a session that may only read is as strict
    read_only = psycopg.conninfo.make_conninfo(database_dsn, options="-c default_transaction_read_only=on")
    with mr.connect(read_only, dir=folder) as reading:
        assert reading.rehearse("002_report", on="scratch").success
        assert not reading.rehearse("001_users", on="scratch").failure


@pytest.mark.long
def test_extensions_that_no_plain_server_has_are_stood_in_for(folder, write_migration):
    [supabase] = preludes.find("supabase")
    target = PrivateServer.start(
        embedded.programs_for_others(), extensions=supabase.extensions
    )  # as on Supabase: it has what the copy's server has not
    try:
        write_migration(
            "001_hook",
            "CREATE TABLE t (n int, kept text); SELECT net.http_get('x');\n-- ROLLBACK START\nDROP TABLE t;\n--"
            " ROLLBACK END\n",
        )
        with mr.connect(target.dsn(), dir=folder) as db:
            db.database.connection.execute(
                "CREATE EXTENSION pg_net; CREATE VIEW asked AS SELECT * FROM net._http_response"
            )
            db.install()
            db.apply()
            rehearsed = db.rehearse("001_hook", on="scratch")
        assert rehearsed.success
        assert any("pg_net" in remark and "stand-ins" in remark for remark in rehearsed.remarks), rehearsed.remarks
    finally:
        target.stop()
