"""What an apply leaves in the system's tables: the same rows whether all goes in one run or each alone."""

import json

import psycopg
import pytest

import migrollback_nb as mr

pytestmark = pytest.mark.versions

#: One after the other; each kind of statement that what is recorded is found for in another way.
UPS = {
    "001_tables": "CREATE TABLE users (id serial PRIMARY KEY, name text DEFAULT 'x'); CREATE INDEX ON users (name);"
    " CREATE VIEW names AS SELECT name FROM users",
    "002_rows": "INSERT INTO users (name) SELECT 'u' || n FROM generate_series(1, 20) n;"
    " ALTER TABLE users ADD COLUMN mail text; UPDATE users SET mail = name",
    "003_function": "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
    " CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()",
    "004_grants": "GRANT SELECT ON names TO PUBLIC; GRANT SELECT (name) ON users TO PUBLIC",
    "005_destroys": "DROP VIEW names; DELETE FROM users WHERE id > 15; ALTER TABLE users DROP COLUMN mail",
    "006_setting": "SET work_mem = '9MB'; CREATE TYPE mood AS ENUM ('sad', 'happy'); COMMENT ON TYPE mood IS 'm'",
    "007_dynamic": "DO $$ BEGIN EXECUTE 'CREATE TABLE made (a int)'; EXECUTE 'DELETE FROM users WHERE id > 10'; END $$",
    "008_rename": "ALTER TABLE made RENAME TO built; ALTER TYPE mood ADD VALUE 'wild'",
    "009_drop": "DROP TABLE built; DROP TRIGGER touch ON users; DROP FUNCTION touch()",
    "010_sequence": "CREATE SEQUENCE s; ALTER SEQUENCE s OWNED BY users.id;"
    " ALTER TABLE users ALTER name TYPE varchar(9)",
}
#: Different in each database, or in each moment.
PASSING = {
    "id", "applied_at", "hash", "previous_hash", "occurred_at", "attempt_id", "recorded_at", "taken_at", "class_id",
    "object_id", "recorded_in", "token", "snapshot", "snapshot_hash", "states_hash", "history_hash", "searched_at",
    "created_at", "because", "duration_ms", "statement_ms", "deploy", "event_number",
}  # fmt: skip
#: What is looked for once at the end of a run.
SEARCHED = ("dependencies_inferred", "dependency_inferred", "dependencies_recorded")


def rows_left(dsn):
    """Table -> its rows, without what passes."""

    def lasting(value):
        if isinstance(value, dict):
            return {key: lasting(one) for key, one in value.items() if key not in PASSING}
        return [lasting(one) for one in value] if isinstance(value, list) else value

    found = {}
    with psycopg.connect(dsn) as connection:
        for table in (
            "migration_history", "migration_dependencies", "migration_objects", "migration_events",
            "migration_destroyed_values", "migration_states", "migration_snapshots",
        ):  # fmt: skip
            rows = connection.execute(f"SELECT to_jsonb(t) FROM {table} t").fetchall()
            kept = [row for (row,) in rows if row.get("event") not in SEARCHED]
            found[table] = sorted(json.dumps(lasting(row), sort_keys=True) for row in kept)
    return found


@pytest.mark.each_server
def test_one_run_leaves_what_runs_of_each_leave(server, database_template, database_dsn, folder, write):
    for name, up in UPS.items():
        write(name, up + ";", "SELECT 1;")
    with mr.connect(database_dsn, dir=folder) as db:
        db.apply(snapshots="each")
    other = server.create_database(template=database_template)
    for name in UPS:
        with mr.connect(server.dsn(other), dir=folder) as db:
            db.apply(name, snapshots="each")
    alone = rows_left(server.dsn(other))
    server.drop_database(other)
    together = rows_left(database_dsn)
    assert len(together["migration_objects"]) > 20
    assert len(together["migration_destroyed_values"]) > 2
    for table, rows in together.items():
        assert rows == alone[table], table


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT SELECT ON granted TO PUBLIC",
        "GRANT SELECT (a) ON granted TO PUBLIC",
        "DO $$ BEGIN EXECUTE 'GRANT SELECT (a), UPDATE ON granted TO PUBLIC'; END $$",
        "CREATE TABLE other (id serial PRIMARY KEY); SELECT grants()",
        "CREATE TABLE other (id serial PRIMARY KEY); DROP /* all of it */ OWNED BY leaves_reader",
    ],
)
def test_rights_are_recorded_however_they_were_given(db, session, write, grant):
    connection = session()
    connection.execute(
        "CREATE TABLE granted (a int); CREATE ROLE leaves_reader; GRANT SELECT ON granted TO leaves_reader"
    )
    connection.execute(
        "CREATE FUNCTION grants() RETURNS void LANGUAGE sql AS 'GRANT UPDATE ON granted TO PUBLIC; SELECT'"
    )
    write("001_grant", grant + ";", "SELECT 1;")
    db.apply()
    rows = connection.execute("SELECT kind, identity FROM migration_objects WHERE kind = 'grant'").fetchall()
    assert rows
    assert {identity.split(".")[1] for _, identity in rows} == {"granted"}
    connection.execute("DROP OWNED BY leaves_reader; DROP ROLE leaves_reader")


def test_an_event_trigger_may_grant(db, session, write):
    connection = session()
    connection.execute("CREATE TABLE granted (a int)")
    connection.execute(
        "CREATE FUNCTION grants() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        " EXECUTE 'GRANT UPDATE ON granted TO PUBLIC'; END $$"
    )
    connection.execute(
        "CREATE EVENT TRIGGER grants ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION grants()"
    )
    write("001_table", "CREATE TABLE other (id serial PRIMARY KEY);", "SELECT 1;")
    db.apply()
    rows = connection.execute("SELECT identity FROM migration_objects WHERE kind = 'grant'").fetchall()
    assert ("relation public.granted",) in rows


FUNCTION = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $a$ SELECT set_config('a.b', '1', false) $a$"


@pytest.mark.parametrize(
    ("statement", "may"),
    [
        ("SET work_mem = '1MB'", True),
        ("SET SCHEMA 'x'", True),
        ("CREATE TABLE t (a int); SET SCHEMA 'x'", True),
        ("CREATE TABLE t AS SELECT f()", True),
        ("CREATE MATERIALIZED VIEW v AS SELECT f()", True),
        ("DROP VIEW v; RESET ALL", True),
        ("ALTER TABLE t ALTER a TYPE int USING (SELECT 1)", True),
        (FUNCTION, False),
        (f"{FUNCTION}; SET work_mem = '1MB'", True),
        (f"{FUNCTION} SET work_mem = '1MB'; {FUNCTION}", True),
        ("CREATE FUNCTION f(a text DEFAULT '$a$; SET b.c = 1; ') RETURNS int LANGUAGE sql AS $a$ SELECT 1 $a$", True),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ' SELECT 1'", True),
        ("CREATE VIEW v AS SELECT 1", False),
        ("CREATE TRIGGER t BEFORE UPDATE ON t EXECUTE FUNCTION f()", False),
        ("CREATE TABLE t (a int REFERENCES u ON DELETE SET NULL, b timestamp with time zone)", False),
        ("ALTER TABLE t ALTER a SET NOT NULL, ALTER b SET DEFAULT 1", False),
        ("COMMENT ON TABLE t IS 'call me'", False),
    ],
)
def test_settings_are_looked_at_where_a_statement_may_change_one(shared_database, statement, may):
    with psycopg.connect(shared_database) as connection:
        assert connection.execute("SELECT statements_may_set(%s)", ([statement],)).fetchone() == (may,)


def test_an_empty_table_has_the_digest_and_the_numbers_that_counting_gives(session):
    connection = session()
    connection.execute("CREATE TABLE empty (id int PRIMARY KEY, name text); CREATE TABLE full_of (LIKE empty)")
    counts = (
        "SELECT count_values_within(%s::regclass, '{id,name}', '{NULL,x.id > 1}'), value_digest(%s::regclass, '{id}')"
    )
    found = connection.execute(counts, ("empty", "empty")).fetchone()
    connection.execute("INSERT INTO empty VALUES (1, 'x'); DELETE FROM empty")  # a page, and nothing in it
    assert connection.execute(counts, ("empty", "empty")).fetchone() == found
