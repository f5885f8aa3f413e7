"""Which migration made, changed or dropped which object, as it is recorded while it is applied."""

import functools

import psycopg
import pytest
from watching import schema_of, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


def made(connection, name, action="created"):
    """(kind, identity) of what a migration made."""
    query = "SELECT kind, identity FROM migration_objects WHERE migration_name = %s AND action = %s"
    return set(connection.execute(query, (name, action)).fetchall())


def makers(connection):
    """(kind, identity) -> migration that made it, of what is there."""
    there = schema_of(connection)
    rows = connection.execute("SELECT kind, identity, migration_name FROM migration_object_creators()")
    return {(kind, identity): name for kind, identity, name in rows if (kind, identity) in there}


@pytest.fixture
def applied(applied):
    """Without the snapshots around it, which take longest and are of no concern here."""
    return functools.partial(applied, snapshots="none")


@pytest.fixture
def connection(session):
    return session()


EVERYTHING = """
    CREATE SCHEMA app;
    CREATE TYPE app.mood AS ENUM ('sad', 'happy');
    CREATE DOMAIN app.positive AS int CONSTRAINT above CHECK (VALUE > 0);
    CREATE TYPE app.span AS RANGE (subtype = int);
    CREATE TYPE app.pair AS (a int, b text);
    CREATE SEQUENCE app.numbers;
    CREATE TABLE app.users (id serial PRIMARY KEY, name text NOT NULL CHECK (name <> ''), mood app.mood);
    CREATE TABLE app.events (at date, what text) PARTITION BY RANGE (at);
    CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE INDEX by_name ON app.users (name);
    CREATE VIEW app.names AS SELECT name FROM app.users;
    CREATE MATERIALIZED VIEW app.counts AS SELECT count(*) AS n FROM app.users;
    CREATE FUNCTION app.twice(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql AS 'SELECT a * b';
    CREATE PROCEDURE app.nothing() LANGUAGE sql AS 'SELECT 1';
    CREATE AGGREGATE app.total (int) (sfunc = int4pl, stype = int);
    CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
    CREATE RULE quiet AS ON DELETE TO app.users DO INSTEAD NOTHING;
    ALTER TABLE app.users ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON app.users USING (true);
    CREATE STATISTICS app.both ON name, mood FROM app.users;
    CREATE OPERATOR app.=== (leftarg = int, rightarg = int, function = int4eq);
    CREATE COLLATION app.plain (provider = libc, locale = 'C');
    CREATE TEXT SEARCH CONFIGURATION app.words (COPY = pg_catalog.simple);
    CREATE PUBLICATION news;
    COMMENT ON TABLE app.users IS 'People';
    CREATE TEMP TABLE passing (id int PRIMARY KEY);
    CREATE TABLE app.short_lived (a int);
    DROP TABLE app.short_lived;
"""


def test_every_kind_of_object_is_recorded_in_the_words_of_a_snapshot(applied, connection):
    before = set(schema_of(connection))
    applied("001_all", EVERYTHING)
    found = set(schema_of(connection)) - before
    # what makes a range comes and goes with it, so no snapshot has it; others may depend on it
    of_range = {(kind, identity) for kind, identity in made(connection, "001_all") if "app.span" in identity} - found
    assert {kind for kind, _ in of_range} == {"function", "cast"}
    # a composite type stands twice in a snapshot
    assert made(connection, "001_all") - of_range == {
        (kind, identity) for kind, identity in found if kind not in ("row type", "grant")
    }
    assert made(connection, "001_all", "changed") == set()


def test_what_an_extension_brings_is_the_extensions(applied, connection):
    if not value(connection, "SELECT count(*) FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("this server has no citext")
    applied("001_text", "CREATE EXTENSION citext; CREATE TABLE t (a citext);")
    assert {kind for kind, _ in made(connection, "001_text")} == {"extension", "table", "column", "comment"}


def test_the_composite_types_of_an_extension_are_the_extensions_too(applied, connection):
    if not value(connection, "SELECT count(*) FROM pg_available_extensions WHERE name = 'tablefunc'"):
        pytest.skip("this server has no tablefunc")
    before = set(schema_of(connection))
    applied("001_cross", "CREATE EXTENSION tablefunc;")
    both = {("extension", "tablefunc"), ("comment", "extension tablefunc")}
    assert set(schema_of(connection)) - before == both
    assert made(connection, "001_cross") == both


def test_columns_that_are_added_and_columns_that_are_changed_are_told_apart(applied, connection, session):
    session().execute("CREATE TABLE older (a int, b text)")  # by nobody known
    applied("001_users", "CREATE TABLE users (id int, name text);")
    applied(
        "002_more",
        "ALTER TABLE users ALTER name SET DEFAULT '', ADD email text; ALTER TABLE older ALTER a TYPE bigint, ADD c"
        " int;",
    )
    assert made(connection, "002_more") == {("column", "public.users.email"), ("column", "public.older.c")}
    assert made(connection, "002_more", "changed") == {
        ("table", "public.users"),
        ("table", "public.older"),
        ("column", "public.users.name"),
        ("column", "public.older.a"),
    }


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("up", "changed"),
    [
        ("ALTER TABLE t ALTER b TYPE bigint;", "b"),
        ("ALTER TABLE t ALTER a TYPE bigint, ALTER c TYPE text;", "ac"),
        ("ALTER TABLE t ALTER a TYPE bigint; ALTER TABLE t ALTER c SET DEFAULT 1;", "ac"),
        ("ALTER TABLE t ALTER c SET DEFAULT 1; ALTER TABLE t ALTER a SET DEFAULT 1;", "ac"),
        ("ALTER TABLE t ALTER a TYPE bigint; ALTER TABLE t ALTER a SET NOT NULL;", "a"),
        ("ALTER TABLE t ALTER d DROP DEFAULT, ALTER d TYPE text, ALTER d SET DEFAULT 'x';", "d"),
        (
            (
                "DO $$ BEGIN ALTER TABLE t ALTER a TYPE bigint; BEGIN ALTER TABLE t ALTER b TYPE text; EXCEPTION WHEN"
                " others THEN NULL; END; END $$;"
            ),
            "ab",
        ),
    ],
)
def test_a_change_of_one_columns_type_changes_no_other(applied, connection, up, changed):
    # PostgreSQL 15.20 writes the rows of all columns behind it too
    applied("001_t", "CREATE TABLE t (a int, b int, c int, d int, e int, f int DEFAULT 3);")
    applied("002_u", up)
    assert {identity for kind, identity in made(connection, "002_u", "changed") if kind == "column"} == {
        f"public.t.{column}" for column in changed
    }


def test_replaced_functions_and_views_extended_enums_and_altered_sequences_are_changed(applied, connection):
    applied(
        "001_base",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW v AS SELECT 1 AS a; CREATE TYPE e AS"
        " ENUM ('a'); CREATE SEQUENCE s;",
    )
    applied(
        "002_change",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'; CREATE OR REPLACE VIEW v AS SELECT 2 AS"
        " a;ALTER TYPE e ADD VALUE 'b'; ALTER SEQUENCE s INCREMENT 2;",
    )
    assert made(connection, "002_change") == set()
    assert made(connection, "002_change", "changed") == {
        ("function", "public.f()"),
        ("view", "public.v"),
        ("enum", "public.e"),
        ("sequence", "public.s"),
    }


def test_what_only_points_to_a_table_does_not_change_it(applied, connection):
    applied("001_users", "CREATE TABLE users (id int PRIMARY KEY);")
    applied("002_orders", "CREATE TABLE orders (user_id int REFERENCES users); CREATE INDEX i ON users (id);")
    assert made(connection, "002_orders", "changed") == set()


def test_what_is_dropped_is_recorded_by_the_name_it_had_cascades_included(applied, connection):
    applied(
        "001_users",
        "CREATE TABLE users (id int PRIMARY KEY, name text, email text); CREATE FUNCTION f() RETURNS int LANGUAGE sql"
        " AS 'SELECT 1';",
    )
    applied("002_view", "CREATE VIEW names AS SELECT name FROM users; CREATE TABLE kept (id int REFERENCES users);")
    applied("003_drop", "ALTER TABLE users DROP COLUMN name CASCADE; DROP FUNCTION f();")
    assert made(connection, "003_drop", "dropped") == {
        ("column", "public.users.name"),
        ("view", "public.names"),
        ("column", "public.names.name"),
        ("function", "public.f()"),
    }
    applied("004_drop", "DROP TABLE users CASCADE;")
    gone = {
        ("table", "public.users"),
        ("column", "public.users.id"),
        ("column", "public.users.email"),
        ("index", "public.users_pkey"),
    }
    assert made(connection, "004_drop", "dropped") >= gone | {
        ("constraint", "public.users users_pkey"),
        ("constraint", "public.kept kept_id_fkey"),
    }


def test_what_went_by_hand_is_no_ones_command(applied, connection, session):
    applied("001_a", "CREATE TABLE a (id int); CREATE TABLE b (id int);")
    session().execute("DROP TABLE a")
    applied("002_b", "DROP TABLE b;")
    assert made(connection, "002_b", "dropped") == {("table", "public.b"), ("column", "public.b.id")}


def test_the_creator_of_what_was_renamed_is_found_by_its_new_name(applied, connection):
    applied("001_users", "CREATE TABLE users (id int PRIMARY KEY, name text);")
    applied(
        "002_rename",
        "ALTER TABLE users RENAME TO people; ALTER TABLE people RENAME name TO title; ALTER INDEX users_pkey RENAME TO"
        " people_pkey;",
    )
    found = makers(connection)
    assert (
        found["table", "public.people"]
        == found["column", "public.people.title"]
        == found["constraint", "public.people people_pkey"]
        == "001_users"
    )
    assert ("table", "public.people") in made(connection, "002_rename", "changed")
    owners = "SELECT migration_owners(%s, %s)"
    assert value(connection, owners, "table", "public.people") == ["001_users", "002_rename"]
    assert value(connection, owners, "column", "public.people.id") == ["001_users"]
    assert value(connection, owners, "table", "public.users") == ["001_users"], "its old name is still known"
    assert value(connection, owners, "table", "public.no_such_table") is None


def test_the_owners_of_every_kind_of_object_are_found(applied, connection):
    applied("001_all", EVERYTHING)
    for kind, identity in made(connection, "001_all"):
        assert value(connection, "SELECT migration_owners(%s, %s)", kind, identity) == ["001_all"], (kind, identity)


def test_the_creator_is_the_last_one_applied(applied, connection, db):
    applied("001_old", "CREATE TABLE t (a int);", "DROP TABLE t;")
    applied(
        "002_new",
        "DROP TABLE t; CREATE TABLE t (a int, b int);",
        "DROP TABLE t; CREATE TABLE t (a int);",
        depends_on=["001_old"],
    )
    assert makers(connection)["table", "public.t"] == "002_new"
    db.rollback("002_new", confirm="002_new")
    # another oid, but the same name: its rollback made it anew for the first
    assert makers(connection)["table", "public.t"] == "001_old"
    applied("003_drop", "DROP TABLE t;")
    assert ("table", "public.t") not in makers(connection)


@pytest.mark.long
def test_rows_outlive_a_rollback_and_applying_again_replaces_them(applied, connection, db):
    applied("001_a", "CREATE TABLE a (id int);", "DROP TABLE a;")
    rows = "SELECT count(*) FROM migration_objects WHERE migration_name = '001_a'"
    db.rollback("001_a", confirm="001_a")
    assert value(connection, rows) == 2
    assert makers(connection) == {}
    db.apply("001_a")
    assert value(connection, rows) == 2
    assert makers(connection)["table", "public.a"] == "001_a"


def test_a_migration_that_fails_leaves_no_rows(applied, connection):
    with pytest.raises(mr.ApplyFailed):
        applied("001_a", "CREATE TABLE a (id int); SELECT 1 / 0;")
    assert value(connection, "SELECT count(*) FROM migration_objects") == 0


@pytest.mark.long
def test_what_others_make_at_the_same_time_is_not_the_migrations(db, write_migration, session, latch, connection):
    from watching import Background

    session().execute("CREATE TABLE older (id int)")
    write_migration("001_a", f"CREATE TABLE a (id int); {latch.wait}")
    running = Background(lambda: db.apply("001_a"))
    latch.eventually_reached()
    session().execute(
        "CREATE TABLE another (id int); CREATE FUNCTION another() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER TABLE"
        " older ADD x int"
    )
    latch.release()
    running.result()
    assert made(connection, "001_a") == {("table", "public.a"), ("column", "public.a.id")}
    assert made(connection, "001_a", "changed") == set()


def test_inside_an_outer_transaction_each_migration_has_its_own(database_dsn, write_migration, folder, connection):
    write_migration("001_a", "CREATE TABLE a (id int);")
    write_migration("002_b", "CREATE TABLE b (id int); ALTER TABLE a ADD x int;")
    with (
        psycopg.connect(database_dsn, autocommit=True) as borrowed,
        mr.connect(connection=borrowed, dir=folder) as db,
        borrowed.transaction(),
    ):
        borrowed.execute("CREATE TABLE by_hand (id int)")
        db.apply("001_a")
        db.apply("002_b")
    assert made(connection, "001_a") == {("table", "public.a"), ("column", "public.a.id")}
    assert made(connection, "002_b") == {("table", "public.b"), ("column", "public.b.id"), ("column", "public.a.x")}


def test_without_counting_it_is_recorded_all_the_same(applied, connection, database_dsn):
    name = psycopg.conninfo.conninfo_to_dict(database_dsn)["dbname"]
    connection.execute(f'ALTER DATABASE "{name}" SET track_counts = off')
    applied("000_first", "SELECT 1;")
    applied("001_all", EVERYTHING)
    counted = made(connection, "001_all")
    assert ("table", "app.users") in counted
    assert ("trigger", "app.users touch") in counted


def test_quoted_and_hostile_names_come_back_as_they_are(applied, connection):
    applied(
        "001_odd",
        """CREATE SCHEMA "S p'a%s"; CREATE TABLE "S p'a%s"."T.""x; DROP--" ("C" int PRIMARY KEY);
        CREATE FUNCTION "é$$"("Ü b" int) RETURNS int LANGUAGE sql AS 'SELECT 1';""",
    )
    there = schema_of(connection)
    assert made(connection, "001_odd") <= set(there)
    assert ("table", """"S p'a%s"."T.""x; DROP--\"""") in made(connection, "001_odd")
