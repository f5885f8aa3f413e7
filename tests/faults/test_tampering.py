"""Rollback SQL may not touch the system's own tables and functions: refused before commit."""

import psycopg
import pytest
from watching import events, exists, schema_of, status

import migrollback_nb as mr

pytestmark = pytest.mark.versions

TAMPERING = {
    "history changed": "UPDATE migration_history SET notes = 'x'",
    "history deleted": "DELETE FROM migration_history WHERE migration_name = '000_other'",
    "history written": "INSERT INTO migration_history (migration_name, migration_version) VALUES ('x', 'x')",
    "dependencies written": (
        "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('000_other', '001_t')"
    ),
    "snapshot written": "INSERT INTO migration_snapshots (migration_name, objects) VALUES ('x', '{}')",
    "snapshots emptied": "TRUNCATE migration_snapshots",
    "event written": "INSERT INTO migration_events (event, database_user, hash) VALUES ('applied', 'x', 'x')",
    "event by our function": "SELECT add_migration_event('resolved', '000_other')",
    "registered by our function": "SELECT register_migration('002_x', '002')",
    "rolled back by our function": "SELECT execute_migration_rollback('000_other')",
    "recording spoofed": (
        "SELECT set_config('migrollback.recording', 'on', true); UPDATE migration_history SET status = 'rolled_back'"
        " WHERE migration_name = '000_other'; SELECT set_config('migrollback.recording', '', true)"
    ),
    "triggers off": "ALTER TABLE migration_events DISABLE TRIGGER ALL",
    "one trigger off": "ALTER TABLE migration_events DISABLE TRIGGER refuse_event_change",
    "trigger off and on again": (
        "ALTER TABLE migration_events DISABLE TRIGGER refuse_event_change; ALTER TABLE migration_events ENABLE ALWAYS"
        " TRIGGER refuse_event_change"
    ),
    "trigger dropped": "DROP TRIGGER record_history_change ON migration_history",
    "trigger added": (
        "CREATE TRIGGER x BEFORE UPDATE ON migration_history FOR EACH ROW EXECUTE FUNCTION"
        " suppress_redundant_updates_trigger()"
    ),
    "rule added": "CREATE RULE x AS ON UPDATE TO migration_history DO INSTEAD NOTHING",
    "replica role": "SET LOCAL session_replication_role = replica; UPDATE migration_history SET notes = 'x'",
    "counters off": (
        "SET LOCAL track_counts = off; UPDATE migration_history SET notes = 'x'; SET LOCAL track_counts = on"
    ),
    "counters off and unrecorded": (
        "SET LOCAL track_counts = off; SELECT set_config('migrollback.recording', 'on', true); UPDATE migration_history"
        " SET status = 'rolled_back' WHERE migration_name = '000_other'; SELECT set_config('migrollback.recording', '',"
        " true); SET LOCAL track_counts = on"
    ),
    "function dropped": "DROP FUNCTION can_rollback_migration(text)",
    "function replaced": (
        "CREATE OR REPLACE FUNCTION is_transient_error(sqlstate_code text) RETURNS boolean LANGUAGE sql AS 'SELECT"
        " true'"
    ),
    "function altered": "ALTER FUNCTION schema_objects() SET jit = on",
    "function renamed": "ALTER FUNCTION lock_migrations() RENAME TO unlock_migrations",
    "guard dropped": "DROP FUNCTION migration_system_objects()",
    "guard replaced": (
        "CREATE OR REPLACE FUNCTION migration_system_objects(OUT tables oid[], OUT routines oid[]) LANGUAGE sql AS $$"
        " SELECT '{}'::oid[], '{}'::oid[] $$; UPDATE migration_history SET notes = 'x'"
    ),
    "token replaced": (
        "CREATE OR REPLACE FUNCTION migration_system_token() RETURNS text LANGUAGE sql AS $$ SELECT 'same' $$"
    ),
    "token replaced by what it said": (
        "DO $$ BEGIN EXECUTE format('CREATE OR REPLACE FUNCTION migration_system_token() RETURNS text LANGUAGE sql AS"
        " %L', format('SELECT %L::text', migration_system_token())); END $$; ALTER TABLE migration_events DISABLE"
        " TRIGGER refuse_event_change"
    ),
    "guard and token dropped, and made again with what they said": (
        "DO $$ DECLARE token text := migration_system_token(); written text := migration_system_writes((SELECT o.tables"
        " FROM migration_system_objects() o)); BEGIN DROP FUNCTION migration_system_token, migration_system_writes;"
        " EXECUTE format('CREATE FUNCTION migration_system_token() RETURNS text LANGUAGE sql AS %L', format('SELECT"
        " %L::text', token)); EXECUTE format('CREATE FUNCTION migration_system_writes(tables oid[], rows boolean"
        " DEFAULT false) RETURNS text LANGUAGE sql AS %L', format('SELECT %L::text', written)); END $$; ALTER TABLE"
        " migration_events DISABLE TRIGGER refuse_event_change; DELETE FROM migration_events"
    ),
    "token dropped, and made again as it was": (
        "DO $$ DECLARE made text[] := ARRAY(SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.oid = ANY (SELECT"
        " unnest(o.routines) FROM migration_system_objects() o) AND p.proname = 'migration_system_token'); one text;"
        " BEGIN DROP FUNCTION migration_system_token; FOREACH one IN ARRAY made LOOP EXECUTE one; END LOOP; END $$"
    ),
    "event table dropped, and made again": (
        "CREATE TABLE spare AS TABLE migration_events; DROP TABLE migration_events CASCADE; ALTER TABLE spare RENAME TO"
        " migration_events"
    ),
    "counters off in a function": (
        "CREATE FUNCTION meddles() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('track_' || 'counts',"
        " 'off', true); UPDATE migration_history SET notes = 'x'; PERFORM set_config('track_' || 'counts', 'on', true);"
        " END $$; SELECT meddles()"
    ),
    "function overloaded": (
        "CREATE FUNCTION can_rollback_migration(name varchar) RETURNS TABLE (can_rollback boolean, reason text,"
        " dependent_migrations text[]) LANGUAGE sql AS $$ SELECT true, '', '{}'::text[] $$"
    ),
    "column added": "ALTER TABLE migration_history ADD COLUMN x int",
    "column default": "ALTER TABLE migration_history ALTER COLUMN status SET DEFAULT 'failed'",
    "constraint dropped": "ALTER TABLE migration_history DROP CONSTRAINT migration_history_status_check",
    "table renamed": "ALTER TABLE migration_events RENAME TO old_events",
    "table dropped": "DROP TABLE migration_dependencies",
    "table moved": "CREATE SCHEMA elsewhere; ALTER TABLE migration_events SET SCHEMA elsewhere",
    "index dropped": "DROP INDEX idx_migration_history_status",
    "index added": "CREATE INDEX ON migration_history (notes)",
    "rights opened": "GRANT ALL ON migration_events TO PUBLIC",
    "function opened": "GRANT EXECUTE ON FUNCTION execute_migration_rollback TO PUBLIC",
    "owner changed": "ALTER TABLE migration_history OWNER TO pg_monitor",
    "row security off": "ALTER TABLE migration_history DISABLE ROW LEVEL SECURITY",
    "policy added": "CREATE POLICY x ON migration_history USING (true)",
    "inherited from": "CREATE TABLE child () INHERITS (migration_history)",
    "schema dropped": "DROP SCHEMA public CASCADE",
    "catalog edited": "UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'refuse_event_change'",
    "inside a subtransaction": (
        "DO $$ BEGIN BEGIN UPDATE migration_history SET notes = 'x'; EXCEPTION WHEN division_by_zero THEN NULL; END;"
        " END $$"
    ),
    "by a trigger of theirs": (
        "CREATE TABLE mine (); CREATE FUNCTION meddles() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE"
        " migration_history SET notes = 'x'; RETURN NULL; END $$; CREATE TRIGGER g AFTER INSERT ON mine FOR EACH"
        " STATEMENT EXECUTE FUNCTION meddles(); INSERT INTO mine DEFAULT VALUES"
    ),
    "by a deferred trigger": (
        "CREATE TABLE mine (); CREATE FUNCTION meddles() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE"
        " migration_history SET notes = 'x'; RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER g AFTER INSERT ON mine"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION meddles(); INSERT INTO mine DEFAULT VALUES"
    ),
}
EVERYTHING = (
    "SELECT (SELECT jsonb_agg(to_jsonb(h) ORDER BY h.migration_name) FROM migration_history h), (SELECT"
    " jsonb_agg(to_jsonb(d)) FROM migration_dependencies d), (SELECT count(*) FROM migration_snapshots)"
)


@pytest.fixture
def fresh(server, folder):
    """Makes databases with a table t, one other migration and nothing else: (migrations, connection)."""
    made = []

    def fresh():
        name = server.create_database(template=server.template)
        connection = psycopg.connect(server.dsn(name), autocommit=True)
        connection.execute(
            "CREATE TABLE t (); SELECT register_migration('000_other', '000', rollback_sql => 'SELECT 1')"
        )
        migrations = mr.connect(server.dsn(name), dir=folder)
        migrations.database.connection.execute("SET allow_system_table_mods = on")
        made.append((name, migrations, connection))
        return migrations, connection

    yield fresh
    for name, migrations, connection in made:
        migrations.close()
        connection.close()
        server.drop_database(name)


@pytest.mark.usefixtures("database_dsn")  # which makes the template
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_touching_our_objects_is_refused_before_commit(fresh, write_migration, every):
    db, connection = fresh()
    schema = schema_of(connection)
    got_through = []
    for what, sql in list(TAMPERING.items())[::every]:
        write_migration("001_t", f"-- ROLLBACK START\nDROP TABLE t;\n{sql};\n-- ROLLBACK END")
        db.register("001_t")
        rows = connection.execute(EVERYTHING).fetchone()
        try:
            db.rollback("001_t", confirm="001_t", snapshots="none")
        except mr.RollbackFailed:
            connection.execute(
                "UPDATE migration_history SET status = 'applied', notes = NULL WHERE migration_name = '001_t'"
            )
            refused = (
                schema_of(connection) == schema
                and connection.execute(EVERYTHING).fetchone() == rows
                and db.verify_events().intact
            )
        else:
            refused = False
        if not refused:
            got_through.append(what)
            db, connection = fresh()
    assert not got_through


def test_a_guarded_rollback_that_looks_at_our_tables_is_fine(db, applied):
    applied(
        "001_t",
        "CREATE TABLE t ();",
        "DO $$ BEGIN PERFORM count(*) FROM migration_history; PERFORM can_rollback_migration('001_t'); END $$; DROP"
        " TABLE t;",
    )
    assert db.rollback("001_t", confirm="001_t").success


def test_what_an_up_migration_changes_in_them_leaves_an_event(db, applied, session):
    # an up part may: it may bring rights, or a newer system
    applied("001_t", "CREATE TABLE t (); UPDATE migration_history SET notes = 'x';")
    assert events(session(), after=2) == ["history_changed", "applied"]


@pytest.mark.long
@pytest.mark.parametrize("place", ["001_a", "002_b"])
def test_who_touched_them_in_a_chain_is_told_apart(db, applied, session, place):
    applied(
        "001_a",
        "CREATE TABLE a ();",
        "DROP TABLE a;" + (" ALTER TABLE migration_events DISABLE TRIGGER ALL;" if place == "001_a" else ""),
    )
    applied(
        "002_b",
        "CREATE TABLE b ();",
        "DROP TABLE b;" + (" ALTER TABLE migration_events DISABLE TRIGGER ALL;" if place == "002_b" else ""),
        depends_on=["001_a"],
    )
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_a", confirm="001_a", chain=True)
    assert (caught.value.migration_name, caught.value.sqlstate) == (place, "MR022")
    assert exists(session(), "b")
    assert {name: status(session(), name) for name in ("001_a", "002_b")} == {
        "001_a": "applied",
        "002_b": "applied",
    } | {place: "failed"}


@pytest.mark.long
def test_in_a_chain_each_part_is_guarded(db, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    applied(
        "003_c",
        "CREATE TABLE c ();",
        "DROP TABLE c; UPDATE migration_history SET status = 'rolled_back';",
        depends_on=["002_b"],
    )
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_a", confirm="001_a", chain=True)
    assert caught.value.migration_name == "003_c"
    assert status(session(), "001_a") == status(session(), "002_b") == "applied"
