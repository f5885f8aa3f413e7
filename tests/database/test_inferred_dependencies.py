"""Dependencies that are found by the objects that migrations made, changed, dropped or name."""

import functools
import json

import psycopg
import pytest
from watching import events, last_event, value

import migrollback_nb as mr
from migrollback_nb import cli

pytestmark = pytest.mark.versions


def inferred(db):
    """{(dependent, dependency): (because, source)}."""
    rows, _ = db.inferred_rows()
    return {(row["migration_name"], row["depends_on"]): (row["because"], row["source"]) for row in rows}


def recorded(db):
    """{(dependent, dependency): because} of what blocks and orders."""
    rows = db.database.queries.dependencies()
    return {(row["migration_name"], row["depends_on"]): row["because"] for row in rows if row["source"] == "inferred"}


def by_catalog(connection):
    """{(dependent, dependency): objects} as psql users see them."""
    rows = connection.execute("SELECT migration_name, depends_on, because FROM infer_migration_dependencies()")
    return {(name, base): set(because) for name, base, because in rows}


@pytest.fixture
def applied(applied):
    """Without the snapshots around it, which take longest and are of no concern here."""
    return functools.partial(applied, snapshots="none")


@pytest.fixture
def connection(session):
    return session()


CASES = {
    "a view": ("CREATE TABLE base (a int);", "CREATE VIEW v AS SELECT a FROM base;", "column public.base.a"),
    "a foreign key": (
        "CREATE TABLE base (a int PRIMARY KEY);",
        "CREATE TABLE t (a int REFERENCES base);",
        "column public.base.a",
    ),
    "a column": ("CREATE TABLE base (a int);", "ALTER TABLE base ADD b int;", "table public.base"),
    "an index": ("CREATE TABLE base (a int);", "CREATE INDEX i ON base (a);", "column public.base.a"),
    "a trigger": (
        "CREATE TABLE base (a int);",
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER g BEFORE"
            " INSERT ON base FOR EACH ROW EXECUTE FUNCTION f();"
        ),
        "table public.base",
    ),
    "a trigger's function": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';",
        "CREATE TABLE t (a int); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();",
        "function public.f()",
    ),
    "a policy": ("CREATE TABLE base (a int);", "CREATE POLICY p ON base USING (a > 0);", "table public.base"),
    "a policy's function": (
        "CREATE FUNCTION mine() RETURNS boolean LANGUAGE sql AS 'SELECT true';",
        "CREATE TABLE t (a int); CREATE POLICY p ON t USING (mine());",
        "function public.mine()",
    ),
    "a type in a column": ("CREATE TYPE mood AS ENUM ('sad');", "CREATE TABLE t (a mood[]);", "enum public.mood"),
    "a domain": (
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0);",
        "CREATE TABLE t (a positive);",
        "domain public.positive",
    ),
    "a row type": (
        "CREATE TABLE base (a int);",
        "CREATE FUNCTION f(base) RETURNS int LANGUAGE sql AS 'SELECT 1';",
        "table public.base",
    ),
    "a schema": ("CREATE SCHEMA app;", "CREATE TABLE app.t (a int);", "schema app"),
    "a sequence": (
        "CREATE SEQUENCE numbers;",
        "CREATE TABLE t (a int DEFAULT nextval('numbers'));",
        "sequence public.numbers",
    ),
    "a partition": (
        "CREATE TABLE base (a int) PARTITION BY LIST (a);",
        "CREATE TABLE t PARTITION OF base DEFAULT;",
        "partitioned table public.base",
    ),
    "an inherited table": ("CREATE TABLE base (a int);", "CREATE TABLE t () INHERITS (base);", "table public.base"),
    "a generated column": (
        "CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';",
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (f(a)) STORED);",
        "function public.f(integer)",
    ),
    "a replaced function": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';",
        "function public.f()",
    ),
    "an extended enum": ("CREATE TYPE mood AS ENUM ('sad');", "ALTER TYPE mood ADD VALUE 'glad';", "enum public.mood"),
    "a changed column": (
        "CREATE TABLE base (a int);",
        "ALTER TABLE base ALTER a SET DEFAULT 1;",
        "column public.base.a",
    ),
    "a renamed table": ("CREATE TABLE base (a int);", "ALTER TABLE base RENAME TO other;", "table public.other"),
    "a dropped table": ("CREATE TABLE base (a int);", "DROP TABLE base;", "table public.base"),
    "a comment": ("CREATE TABLE base (a int);", "COMMENT ON COLUMN base.a IS 'x';", "column public.base.a"),
    "a comment on a function": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        "COMMENT ON FUNCTION f() IS 'x';",
        "function public.f()",
    ),
    "a comment on a policy": (
        "CREATE TABLE base (a int); CREATE POLICY p ON base USING (true);",
        "COMMENT ON POLICY p ON base IS 'x';",
        "policy public.base p",
    ),
    "a grant": ("CREATE TABLE base (a int);", "GRANT SELECT ON base TO PUBLIC;", "table public.base"),
    "a revoke": ("CREATE TABLE base (a int);", "REVOKE ALL ON base FROM CURRENT_USER;", "table public.base"),
    "a grant on a column": (
        "CREATE TABLE base (a int);",
        "GRANT SELECT (a) ON base TO PUBLIC;",
        "column public.base.a",
    ),
    "a grant on a function": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        "REVOKE ALL ON FUNCTION f() FROM PUBLIC;",
        "function public.f()",
    ),
    "a grant on a schema": ("CREATE SCHEMA app;", "GRANT USAGE ON SCHEMA app TO PUBLIC;", "schema app"),
    "a grant on a sequence": (
        "CREATE SEQUENCE numbers;",
        "GRANT USAGE ON SEQUENCE numbers TO PUBLIC;",
        "sequence public.numbers",
    ),
    "a grant on a type": (
        "CREATE TYPE mood AS ENUM ('sad');",
        "REVOKE ALL ON TYPE mood FROM PUBLIC;",
        "enum public.mood",
    ),
    "default privileges": (
        "CREATE SCHEMA app;",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;",
        "schema app",
    ),
    "row level security": (
        "CREATE TABLE base (a int);",
        "ALTER TABLE base ENABLE ROW LEVEL SECURITY;",
        "table public.base",
    ),
    "a changed policy": (
        "CREATE TABLE base (a int); CREATE POLICY p ON base USING (true);",
        "ALTER POLICY p ON base USING (a > 0);",
        "policy public.base p",
    ),
    "quoted names": (
        'CREATE TABLE "B ase""; DROP" ("A" int);',
        'CREATE VIEW "v é" AS SELECT "A" FROM "B ase""; DROP";',
        'column public."B ase""; DROP"."A"',
    ),
}


#: No catalog that dependencies are read from tells who did it.
ONLY_BY_TEXT = ("a grant on a column", "default privileges")


@pytest.mark.few(8)
@pytest.mark.parametrize("case", [case for case in CASES if case not in ONLY_BY_TEXT])
def test_postgresql_knows_that_one_needs_the_other(case, applied, connection):
    first, second, because = CASES[case]
    applied("001_base", first)
    applied("002_user", second)
    found = by_catalog(connection)
    assert set(found) == {("002_user", "001_base")}
    assert because in found["002_user", "001_base"]


@pytest.mark.few(8)
@pytest.mark.parametrize("case", [case for case in CASES if case not in ("a row type", "a changed column")])
def test_the_text_of_files_alone_says_so_too(case, db, write_migration, connection):
    first, second, _ = CASES[case]
    connection.execute(first)
    connection.execute(second)
    write_migration("001_base", first)
    write_migration("002_user", second)
    db.sync()
    assert set(recorded(db)) == set(inferred(db)) == {("002_user", "001_base")}


def test_an_extension_is_needed_by_who_uses_what_it_brought(applied, connection):
    if not value(connection, "SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("this server has no citext")
    applied("001_text", "CREATE EXTENSION citext;")
    applied("002_user", "CREATE TABLE t (a citext);")
    assert by_catalog(connection) == {("002_user", "001_text"): {"extension citext"}}


def test_a_column_added_by_another_migration_and_used_by_a_view_of_a_third(applied, connection):
    applied("001_users", "CREATE TABLE users (id int);")
    applied("002_email", "ALTER TABLE users ADD email text;")
    applied("003_view", "CREATE VIEW emails AS SELECT email FROM users;")
    applied("004_view", "CREATE VIEW ids AS SELECT id FROM users;")
    found = by_catalog(connection)
    assert found["003_view", "002_email"] == {"column public.users.email"}
    assert ("003_view", "001_users") not in found
    assert found["004_view", "001_users"] == {"column public.users.id"}
    assert ("004_view", "002_email") not in found


def test_names_inside_function_bodies_count_with_and_without_the_file(applied, db, folder):
    applied("001_tables", "CREATE TABLE orders (id int); CREATE TABLE log (at timestamptz);")
    applied("002_sql", "CREATE FUNCTION orders() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders';")
    applied(
        "003_plpgsql",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (now()); RETURN"
        " NEW; END $$;",
    )
    applied("004_do", "DO $$ BEGIN UPDATE orders SET id = 1; END $$;")
    expected = {("002_sql", "001_tables"), ("003_plpgsql", "001_tables")}
    found = inferred(db)
    assert found["003_plpgsql", "001_tables"] == ("table public.log", "body")
    assert set(found) == expected | {("004_do", "001_tables")}
    for file in folder.iterdir():
        file.unlink()
    assert set(inferred(db)) == expected
    assert "No file at hand" in db.infer_dependencies().attrs["warnings"][0]


def test_data_that_was_put_into_a_table_of_another_is_read_from_the_file(applied, db):
    applied("001_users", "CREATE TABLE users (id int);")
    applied("002_rows", "INSERT INTO users VALUES (1);")
    assert inferred(db) == {("002_rows", "001_users"): ("table public.users", "parsed")}


def test_a_rollback_that_names_what_a_later_migration_dropped(applied, db):
    applied("001_users", "CREATE TABLE users (id int);")
    applied("002_index", "SELECT 1;", "CREATE INDEX i ON users (id);")
    applied("003_drop", "DROP TABLE users;")
    assert inferred(db)["003_drop", "002_index"] == ("table public.users", "rollback")


def test_the_creator_is_the_last_one_applied(applied, db, connection):
    applied("001_old", "CREATE TABLE t (a int);")
    applied("002_new", "DROP TABLE t; CREATE TABLE t (b int);", "DROP TABLE t; CREATE TABLE t (a int);")
    applied("003_view", "CREATE VIEW v AS SELECT b FROM t;", "DROP VIEW v;")
    assert set(by_catalog(connection)) == {("002_new", "001_old"), ("003_view", "002_new")}
    db.rollback("003_view", confirm="003_view")
    db.rollback("002_new", confirm="002_new")
    applied("004_view", "CREATE VIEW v AS SELECT a FROM t;")
    # its rollback made the table anew, with another oid: it is the first one's again
    assert set(by_catalog(connection)) == {("004_view", "001_old")}


def test_two_tables_of_one_name_in_two_schemas_are_two(applied, connection):
    applied("001_one", "CREATE SCHEMA one; CREATE TABLE one.t (a int);")
    applied("002_two", "CREATE SCHEMA two; CREATE TABLE two.t (a int);")
    applied("003_view", "CREATE VIEW v AS SELECT a FROM two.t;")
    assert set(by_catalog(connection)) == {("003_view", "002_two")}


def test_after_a_restore_from_a_dump_names_are_enough(applied, connection):
    applied("001_base", "CREATE TABLE base (a int);")
    applied("002_user", "CREATE VIEW v AS SELECT a FROM base;")
    before = by_catalog(connection)
    connection.execute(
        "UPDATE migration_objects SET recorded_in = 1, object_id = (object_id::bigint + 1000000)::oid"
    )  # the oids of another database
    assert by_catalog(connection) == before


def test_what_is_found_blocks_and_orders(applied, db, connection):
    applied("001_base", "CREATE TABLE base (a int);", "DROP TABLE base;")
    applied("002_user", "CREATE VIEW v AS SELECT a FROM base;", "DROP VIEW v;")
    assert db.check("001_base").dependent_migrations == ("002_user",)
    assert db.plan("001_base").steps == ("002_user", "001_base")
    [row] = db.dependencies().to_dict("records")
    assert (row["source"], row["because"]) == ("inferred", "column public.base.a")
    [event] = connection.execute(
        "SELECT migration_name, details FROM migration_events WHERE event = 'dependencies_recorded'"
    ).fetchall()
    assert event == ("002_user", {"because": {"001_base": "column public.base.a"}})
    count = len(events(connection))
    assert db.record_dependencies().dependencies == ()
    assert len(events(connection)) == count
    assert db.verify_events().intact
    with pytest.raises(mr.Refused, match=r"public\.v was made by 002_user: roll that back first, or --chain"):
        db.rollback("001_base", confirm="001_base")
    db.rollback("001_base", chain=True, confirm="001_base")


APPLY = "SELECT success FROM apply_migration(name => %s, version => '1', statements => %s, rollback_sql => 'SELECT 1')"


def test_psql_alone_records_what_the_catalogs_know(connection):
    """Applied without our client, which reads files."""
    view = "CREATE VIEW v AS SELECT a FROM base"
    for name, statement in (("001_base", "CREATE TABLE base (a int)"), ("002_user", view)):
        assert connection.execute(APPLY, (name, [statement])).fetchone() == (True,)
    check = "SELECT can_rollback, dependent_migrations FROM can_rollback_migration('001_base')"
    assert connection.execute(check).fetchall() == [(False, ["002_user"])]
    assert connection.execute("SELECT recorded, remark FROM record_migration_dependencies()").fetchall() == [
        (False, "inferred already")
    ]
    assert value(connection, "SELECT dependents_looked_for('001_base') IS NOT NULL")


@pytest.fixture
def deps(database_dsn, folder, capsys):
    """(status, output) of a command."""

    def run(*arguments):
        status = cli.run(["--dsn", database_dsn, "--dir", str(folder), *arguments])
        return status, capsys.readouterr().out

    return run


def test_what_nobody_looked_at_is_said(db, connection, write_migration, deps):
    """Registered by psql: its text is not known, nor what it created."""
    for name in ("001_base", "002_user"):
        connection.execute("SELECT register_migration(%s, %s, 'SELECT 1')", (name, name[:3]))
    assert value(connection, "SELECT dependents_looked_for('001_base') IS NULL")
    assert "were not looked for: migrollback sync" in db.check("001_base").warnings[-1]
    assert db.plan("001_base").to_dict()["dependents_looked_for"] is None
    assert "were not looked for: migrollback sync does that" in deps("plan", "001_base")[1]
    connection.execute("CREATE TABLE base (); CREATE VIEW v AS SELECT FROM base")
    write_migration("001_base", "CREATE TABLE base ();")
    write_migration("002_user", "CREATE VIEW v AS SELECT FROM base;")
    db.register("001_base")
    assert "were not looked for" in db.check("001_base").warnings[-1], "the other one is not what was registered"
    db.register("002_user")
    assert not any("looked for" in warning for warning in db.check("001_base").warnings)
    assert set(recorded(db)) == {("002_user", "001_base")}


@pytest.mark.long
def test_one_by_one_it_finds_the_same_as_all_at_once(db, applied, connection):
    """What was applied last is looked at alone, by the names that it has: also those that were changed since."""
    applied("001_base", "CREATE SCHEMA app; CREATE TABLE base (a int, b int); CREATE TYPE mood AS ENUM ('sad');")
    applied("002_rename", "ALTER TABLE base RENAME TO things; ALTER TABLE things RENAME a TO c;")
    applied("003_column", "ALTER TABLE things ADD d mood;", "CREATE INDEX i ON things (b);")
    applied(
        "004_body", "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT c FROM things); END';"
    )
    applied("005_other", "CREATE FUNCTION g() RETURNS mood LANGUAGE sql AS 'SELECT d FROM things WHERE f() > 1';")
    applied("006_rows", "INSERT INTO things (c) VALUES (1); CREATE TABLE app.t ();")
    applied("007_drop", "ALTER TABLE things DROP COLUMN b;")
    applied("008_none", "SELECT 1;")
    found = set(inferred(db))
    assert set(recorded(db)) == found
    assert ("004_body", "002_rename") in found
    assert ("005_other", "003_column") in found
    assert ("007_drop", "003_column") in found
    assert [name[:3] for name in sorted({name for name, _ in found})] == ["002", "003", "004", "005", "006", "007"]


def test_a_dismissed_one_stays_away(applied, db, connection, write_migration, deps):
    applied("001_base", "CREATE TABLE base (a int);", "DROP TABLE base;")
    applied("002_user", "CREATE VIEW v AS SELECT a FROM base;", "DROP VIEW v;")
    assert deps("deps", "--dismiss", "002_user", "001_base")[0] == 2
    status, out = deps("deps", "--dismiss", "002_user", "001_base.sql", "--reason", "the view is not used")
    assert (status, out) == (0, "✅ Dismissed: 002_user depends on 001_base (the view is not used)\n")
    event = last_event(connection)
    assert (event["event"], event["migration_name"], event["reason"]) == (
        "dependency_dismissed",
        "002_user",
        "the view is not used",
    )
    assert event["details"] == {"depends_on": "001_base", "because": "column public.base.a"}
    assert not db.dismiss_dependency("002_user", "001_base", reason="again").dismissed
    [skipped] = db.record_dependencies().skipped
    assert skipped.remark == "dismissed: the view is not used"
    db.sync()
    write_migration("003_more", "SELECT 1;")
    db.apply()
    assert db.check("001_base").can_rollback
    assert json.loads(deps("deps", "--dismissed", "--format", "json")[1])[0]["source"] == "dismissed"
    assert deps("deps", "--format", "json")[1].strip() == "[]"
    write_migration("002_user", "-- Depends on: 001_base\nCREATE VIEW v AS SELECT a FROM base;")
    db.register("002_user")
    assert [(row["source"]) for row in db.database.queries.dependencies()] == ["declared"]
    assert db.database.dependencies.dismissed() == []
    with pytest.raises(mr.MigrollbackError, match="is declared by its file") as refused:
        db.dismiss_dependency("002_user", "001_base", reason="no")
    assert "migrollback register 002_user" in refused.value.hint
    with pytest.raises(mr.MigrollbackError, match="no dependency of 001_base on 002_user"):
        db.dismiss_dependency("001_base", "002_user", reason="no")
    assert db.verify_events().intact


def test_registering_again_keeps_what_was_inferred_and_a_declaration_takes_its_place(applied, db, write_migration):
    applied("001_base", "CREATE TABLE base (a int);")
    applied("002_user", "CREATE VIEW v AS SELECT a FROM base;")
    write_migration("002_user", "-- Description: told better\nCREATE VIEW v AS SELECT a FROM base;")
    assert db.register("002_user").outcome == "updated"
    assert list(db.dependencies()["source"]) == ["inferred"]
    write_migration("002_user", "-- Depends on: 001_base\nCREATE VIEW v AS SELECT a FROM base;")
    db.register("002_user")
    [row] = db.dependencies().to_dict("records")
    assert row["source"] == "declared"
    rows, _ = db.inferred_rows()
    assert [row["recorded"] for row in rows] == ["declared"]


def test_recording_closes_no_cycle(applied, db, connection, write_migration):
    applied("001_base", "CREATE TABLE base (a int);")
    write_migration("002_user", "CREATE VIEW v AS SELECT a FROM base;")
    connection.execute("SET migrollback.dependencies = 'client'")
    connection.execute(APPLY, ("002_user", ["CREATE VIEW v AS SELECT a FROM base"]))
    connection.execute("SELECT register_migration('001_base', '001', depends_on => '{002_user}')")
    assert (
        "002_user depends on 001_base (column public.base.a), which is not recorded: would close a cycle: 001_base"
        " depends on 002_user" in db.sync().warnings
    )
    [skipped] = db.record_dependencies().skipped
    assert (skipped.migration_name, skipped.remark) == (
        "002_user",
        "would close a cycle: 001_base depends on 002_user",
    )
    assert len(db.dependencies()) == 1


def test_registering_refuses_a_cycle_with_what_was_inferred(applied, db, write_migration):
    applied("001_base", "CREATE TABLE base (a int);")
    applied("002_user", "CREATE VIEW v AS SELECT a FROM base;")
    write_migration("001_base", "-- Depends on: 002_user\nCREATE TABLE base (a int);")
    with pytest.raises(mr.DependencyError, match="which depends on it"):
        db.register("001_base")


def test_what_is_no_longer_found_is_said_and_taken_back(applied, db, connection, write_migration):
    applied("001_base", "CREATE TABLE base (a int);", "DROP TABLE base;")
    applied("002_other", "CREATE TABLE other (a int);", "DROP TABLE other;")
    applied("003_user", "INSERT INTO base VALUES (1); INSERT INTO other VALUES (1);", "SELECT 1;")
    applied("004_declares", "-- Depends on: 002_other\nSELECT 1;", "SELECT 1;")
    write_migration("003_user", "INSERT INTO other VALUES (1);\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END\n")
    # the file is not what was registered: what it says is no reason to take anything back
    assert db.inferred_rows()[0] == []
    db.sync()
    assert set(recorded(db)) == {("003_user", "001_base"), ("003_user", "002_other")}
    db.register("003_user")
    listed = {(row["migration_name"], row["depends_on"]): row["recorded"] for row in db.inferred_rows()[0]}
    assert listed == {("003_user", "002_other"): "inferred"}
    event = last_event(connection)
    assert (event["event"], event["migration_name"], event["details"]) == (
        "dependencies_recorded",
        "003_user",
        {"removed": {"001_base": "table public.base"}},
    )
    kept = {(row["migration_name"], row["depends_on"], row["source"]) for row in db.database.queries.dependencies()}
    assert kept == {("003_user", "002_other", "inferred"), ("004_declares", "002_other", "declared")}
    assert db.check("001_base").can_rollback
    assert db.record_dependencies().removed == ()
    assert db.verify_events().intact


def test_without_files_nothing_is_taken_back(applied, db, connection):
    applied("001_base", "CREATE TABLE base (a int);", "DROP TABLE base;")
    applied("002_user", "INSERT INTO base VALUES (1);", "SELECT 1;")
    db.record_dependencies()
    bare = mr.Migrations(db.database)
    bare.record_dependencies()
    assert [row["source"] for row in db.database.queries.dependencies()] == ["inferred"]


def test_declared_dependencies_are_not_taken_back(applied, db, connection):
    applied("001_base", "CREATE TABLE base (a int);", "DROP TABLE base;")
    applied("002_user", "-- Depends on: 001_base\nSELECT 1;", "SELECT 1;")
    wanted = psycopg.types.json.Jsonb([{"migration_name": "002_user", "depends_on": "001_base"}])
    assert connection.execute("SELECT * FROM forget_migration_dependencies(%s)", (wanted,)).fetchall() == []
    assert db.check("001_base").dependent_migrations == ("002_user",)


def test_what_is_rolled_back_or_unknown_is_not_recorded(applied, connection, db):
    applied("001_base", "CREATE TABLE base (a int);", "DROP TABLE base;")
    applied("002_user", "SELECT 1;", "SELECT 1;")
    db.rollback("001_base", confirm="001_base")
    wanted = [
        {"migration_name": "002_user", "depends_on": base, "because": "x"}
        for base in ("001_base", "no_such", "002_user")
    ]
    rows = connection.execute(
        "SELECT recorded, remark FROM record_migration_dependencies(%s)", (psycopg.types.json.Jsonb(wanted),)
    ).fetchall()
    assert rows == [(False, "rolled back"), (False, "not registered"), (False, "depends on itself")]


def test_objects_of_what_was_only_registered_are_kept_when_dependencies_are_recorded(db, write_migration, connection):
    up = (
        'CREATE SCHEMA app; CREATE TABLE app."T" (id int PRIMARY KEY, b text); CREATE FUNCTION app.f(a int, b text'
        " DEFAULT NULL) RETURNS int LANGUAGE sql AS 'SELECT 1';"
    )
    connection.execute(up)
    write_migration("001_old", up)
    write_migration("002_new", 'ALTER TABLE app."T" ADD c int;')
    db.register("001_old")
    db.apply("002_new")
    db.record_dependencies()
    rows = connection.execute(
        "SELECT kind, identity FROM migration_objects WHERE source = 'parsed' AND class_id IS NOT NULL"
    ).fetchall()
    assert set(rows) == {
        ("schema", "app"),
        ("table", 'app."T"'),
        ("column", 'app."T".id'),
        ("column", 'app."T".b'),
        ("function", "app.f(a integer, b text)"),
    }
    assert by_catalog(connection) == {("002_new", "001_old"): {'table app."T"'}}


def test_what_runs_statement_by_statement_is_known_by_its_text(applied, connection):
    applied(
        "001_index", "CREATE TABLE t (a int); CREATE INDEX CONCURRENTLY i ON t (a);", header="-- Transaction: false\n"
    )
    rows = connection.execute(
        "SELECT action, kind, identity, source FROM migration_objects WHERE class_id IS NOT NULL ORDER BY kind"
    ).fetchall()
    assert rows == [
        ("created", "column", "public.t.a", "parsed"),
        ("created", "index", "public.i", "parsed"),
        ("created", "table", "public.t", "parsed"),
    ]


def test_indexes_that_a_change_of_type_builds_anew_stay_their_creators(applied, connection):
    applied("001_base", "CREATE TABLE base (a int PRIMARY KEY, b int, c int DEFAULT 1);")
    applied("002_index", "CREATE INDEX i ON base (b); ALTER TABLE base ADD d int DEFAULT 5;")
    applied("003_bigger", "ALTER TABLE base ALTER b TYPE bigint;")
    assert (
        value(connection, "SELECT migration_name FROM migration_object_creators() WHERE identity = 'public.i'")
        == "002_index"
    )
    assert set(by_catalog(connection)) == {("002_index", "001_base"), ("003_bigger", "001_base")}


@pytest.mark.long
def test_an_ordinary_role_infers_and_records(database_dsn, folder, write_migration, session):
    admin = session()
    admin.execute("CREATE ROLE builder LOGIN")
    try:
        admin.execute(
            f'GRANT CREATE ON DATABASE "{psycopg.conninfo.conninfo_to_dict(database_dsn)["dbname"]}" TO builder'
        )
        with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="builder"), dir=folder, schema="own") as db:
            db.install()
            write_migration(
                "001_base",
                "CREATE SCHEMA app; CREATE TABLE app.base (a int); CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS"
                " 'SELECT 1';",
            )
            write_migration(
                "002_user",
                "CREATE VIEW app.v AS SELECT a, app.f() AS f FROM app.base; CREATE FUNCTION app.g() RETURNS bigint"
                " LANGUAGE sql AS 'SELECT count(*) FROM app.base';",
            )
            db.apply()
            assert set(recorded(db)) == {("002_user", "001_base")}
    finally:
        admin.execute("DROP OWNED BY builder CASCADE")
        admin.execute("DROP ROLE builder")


def test_the_command_line_lists_records_and_draws(applied, db, database_dsn, folder, capsys):
    applied("001_base", "CREATE TABLE base (a int);")
    applied("002_user", "CREATE VIEW v AS SELECT a FROM base;")

    def run(*arguments):
        status = cli.run(["--dsn", database_dsn, "--dir", str(folder), *arguments])
        return status, capsys.readouterr().out

    status, out = run("deps", "--infer", "--format", "json")
    assert (status, json.loads(out)) == (
        0,
        [
            {
                "migration_name": "002_user",
                "depends_on": "001_base",
                "because": "column public.base.a",
                "source": "catalog",
                "recorded": "inferred",
            }
        ],
    )
    assert run("deps", "--record")[0] == 2
    status, out = run("deps", "--infer", "--record")
    assert status == 0
    assert out == "✅ 0 dependencies recorded, 0 skipped\n"
    assert json.loads(run("deps", "--format", "json")[1])[0]["because"] == "column public.base.a"
    drawn = run("deps", "--format", "dot")[1]
    assert "style=dashed" in drawn
    assert "inferred: column public.base.a" in drawn
    assert "legend" in drawn
    assert "001_base (applied, inferred)" in db.graph().outline
