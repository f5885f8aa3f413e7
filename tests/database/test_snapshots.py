"""schema_objects() and snapshots of it: what the schema is, told so that two of them can be compared."""

import psycopg
import pytest
from watching import Background, schema_of, value

pytestmark = pytest.mark.versions

THINGS = """
CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('sad', 'ok'); CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE TYPE app.pair AS (a int, b text);
CREATE TABLE app.parent (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL DEFAULT 'x',
  total int GENERATED ALWAYS AS (1) STORED, CONSTRAINT named CHECK (name <> ''));
CREATE TABLE app.child (parent int REFERENCES app.parent ON DELETE CASCADE, mood app.mood);
CREATE UNIQUE INDEX child_index ON app.child (parent) WHERE mood = 'ok';
CREATE VIEW app.happy AS SELECT * FROM app.child WHERE mood = 'ok';
CREATE MATERIALIZED VIEW app.kept AS SELECT 1 AS one; CREATE SEQUENCE app.numbers START 7;
CREATE FUNCTION app.answer(question text DEFAULT '') RETURNS int LANGUAGE sql AS 'SELECT 42';
CREATE PROCEDURE app.deed() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE FUNCTION app.fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER fires BEFORE INSERT ON app.child FOR EACH ROW EXECUTE FUNCTION app.fires();
ALTER TABLE app.child ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON app.child USING (true);
COMMENT ON TABLE app.child IS 'commented'; GRANT SELECT ON app.child TO pg_monitor;
CREATE TABLE app.parts (a int) PARTITION BY RANGE (a);
CREATE TABLE app.part1 PARTITION OF app.parts FOR VALUES FROM (0) TO (9);
CREATE RULE nothing AS ON DELETE TO app.child DO INSTEAD NOTHING;
CREATE STATISTICS app.stat ON a, b FROM app.wide;
"""


@pytest.fixture
def connection(session):
    connection = session()
    connection.execute("CREATE SCHEMA IF NOT EXISTS app; CREATE TABLE app.wide (a int, b int)")
    connection.execute(THINGS.replace("CREATE SCHEMA app;", ""))
    return connection


@pytest.mark.each_server
def test_kinds(connection):
    kinds = {kind for kind, _ in schema_of(connection)}
    assert {
        "schema",
        "table",
        "column",
        "constraint",
        "index",
        "view",
        "materialized view",
        "sequence",
        "function",
        "procedure",
        "trigger",
        "policy",
        "comment",
        "grant",
        "partitioned table",
        "rule",
        "statistics",
        "domain constraint",
        "composite type",
    } <= kinds


CHANGES = [
    "ALTER TABLE app.parent ALTER COLUMN name SET DEFAULT 'y'",
    "ALTER TABLE app.parent ALTER COLUMN name DROP NOT NULL",
    "ALTER TABLE app.parent ALTER COLUMN name TYPE varchar(9)",
    "ALTER TABLE app.parent DROP CONSTRAINT named",
    "ALTER TABLE app.parent RENAME CONSTRAINT named TO other",
    "DROP INDEX app.child_index",
    "ALTER TABLE app.child DISABLE ROW LEVEL SECURITY",
    "ALTER POLICY mine ON app.child USING (false)",
    "COMMENT ON TABLE app.child IS NULL",
    "REVOKE SELECT ON app.child FROM pg_monitor",
    "GRANT SELECT (mood) ON app.child TO PUBLIC",
    "CREATE OR REPLACE FUNCTION app.answer(question text DEFAULT '') RETURNS int LANGUAGE sql AS 'SELECT 43'",
    "ALTER FUNCTION app.answer(text) IMMUTABLE",
    "ALTER TABLE app.child DISABLE TRIGGER fires",
    "CREATE OR REPLACE VIEW app.happy AS SELECT * FROM app.child WHERE mood = 'sad'",
    "ALTER TYPE app.mood ADD VALUE 'glad'",
    "ALTER DOMAIN app.positive SET DEFAULT 1",
    "ALTER SEQUENCE app.numbers INCREMENT 3",
    "ALTER TABLE app.parent OWNER TO pg_monitor",
    "ALTER TABLE app.parts DETACH PARTITION app.part1",
    "DROP RULE nothing ON app.child",
    "ALTER TABLE app.child SET (fillfactor = 70)",
    "ALTER TABLE app.child ADD COLUMN a int",
    "ALTER TABLE app.parent ALTER COLUMN id DROP IDENTITY",
    "DROP STATISTICS app.stat",
    "ALTER TABLE app.child RENAME COLUMN mood TO feeling",
    "ALTER TABLE app.child ALTER COLUMN mood SET STATISTICS 7",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER TABLE app.child REPLICA IDENTITY FULL",
    "DROP PROCEDURE app.deed()",
    "ALTER MATERIALIZED VIEW app.kept SET (fillfactor = 70)",
    "ALTER TYPE app.pair ADD ATTRIBUTE c int",
    "CREATE UNLOGGED TABLE app.fast ()",
    "ALTER SCHEMA app OWNER TO pg_monitor",
]


@pytest.mark.each_server
def test_every_change_is_seen_and_undone_is_not(connection):
    before = schema_of(connection)
    unseen = []
    for change in CHANGES:
        connection.execute("BEGIN")
        connection.execute(change)
        if schema_of(connection) == before:
            unseen.append(change)
        connection.execute("ROLLBACK")
    assert not unseen
    assert schema_of(connection) == before


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO app.child DEFAULT VALUES",
        "SELECT nextval('app.numbers')",
        "ANALYZE",
        "REFRESH MATERIALIZED VIEW app.kept",
        "TRUNCATE app.child",
        "CREATE TEMP TABLE mine ()",
        "REINDEX TABLE app.child",
    ],
)
def test_rows_and_upkeep_are_no_change(connection, statement):
    before = schema_of(connection)
    connection.execute(statement)
    assert schema_of(connection) == before


def test_no_two_objects_share_an_identity(connection):
    duplicates = connection.execute(
        "SELECT kind, identity FROM schema_objects() GROUP BY 1, 2 HAVING count(*) > 1"
    ).fetchall()
    assert duplicates == []


def test_a_snapshot_is_what_schema_objects_says(connection, db):
    snapshot = db.snapshot("001_t", "before the change")
    objects = value(connection, "SELECT objects FROM migration_snapshots WHERE id = %s", snapshot)
    assert {
        (kind, identity): definition for kind, found in objects.items() for identity, definition in found.items()
    } == schema_of(connection)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "setting",
    [
        "search_path=app",
        "datestyle=german",
        "timezone=UTC",
        "intervalstyle=iso_8601",
        "bytea_output=escape",
        "extra_float_digits=-3",
        "quote_all_identifiers=on",
        "standard_conforming_strings=off",
        "xmloption=document",
        "lc_monetary=C",
    ],
)
def test_settings_of_the_session_do_not_show(connection, session, setting):
    connection.execute(
        r"CREATE TABLE app.defaults (at timestamptz DEFAULT '2025-01-20 14:30+01', span interval DEFAULT '1 day 2"
        r" hours', bytes bytea DEFAULT '\x0102', f float8 DEFAULT 0.1::float8, day date DEFAULT '2025-01-20', back text"
        r" DEFAULT E'a\\b')"
    )
    rows = session(options=f"-c {setting}").execute("SELECT * FROM public.schema_objects()").fetchall()
    assert {(kind, identity): definition for kind, identity, definition in rows} == schema_of(connection)


def test_passwords_of_user_mappings_are_not_in_it(connection):
    connection.execute(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR CURRENT_USER"
        " SERVER s OPTIONS (user 'u', password 'hunter2')"
    )
    assert "hunter2" not in str(schema_of(connection))


def test_an_applications_own_settings_of_the_database_do_not_show_and_their_change_does(connection, db):
    name = connection.info.dbname
    setting = ("setting", "app.settings.jwt_secret of role *")
    before = db.snapshot("001_t")
    connection.execute(
        f"ALTER DATABASE {name} SET app.settings.jwt_secret TO 's3cr3t'; ALTER DATABASE {name} SET work_mem = '5MB'"
    )
    first = schema_of(connection)
    assert first["setting", "work_mem of role *"] == {"value": "5MB"}
    assert "s3cr3t" not in str(first)
    connection.execute(f"ALTER DATABASE {name} SET app.settings.jwt_secret TO 's3cr4t'")
    assert schema_of(connection)[setting] != first[setting]
    diff = db.diff(before)
    assert {change.identity for change in diff.changes} == {"app.settings.jwt_secret of role *", "work_mem of role *"}
    assert "s3cr4t" not in repr(diff) + diff._repr_html_() + str(diff.to_dict())


def test_a_plain_role_sees_the_same(connection, session):
    before = schema_of(connection)
    connection.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO pg_monitor")
    plain = session()
    plain.execute("SET ROLE pg_monitor; SET search_path = public")
    assert schema_of(plain) == before


# -- the token ---------------------------------------------------------------------------------------------------------


def token(connection):
    return value(connection, "SELECT schema_hash()")


@pytest.mark.few(12)
@pytest.mark.parametrize("change", CHANGES)
def test_the_schema_hash_sees_every_change(connection, change):
    before = token(connection)
    connection.execute("BEGIN")
    connection.execute(change)
    assert token(connection) != before
    connection.execute("ROLLBACK")
    assert token(connection) == before


@pytest.mark.parametrize(
    "change",
    [
        "CREATE FOREIGN DATA WRAPPER rare",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere",
        "CREATE CONVERSION rare FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
        "CREATE ACCESS METHOD rare TYPE INDEX HANDLER bthandler",
        "CREATE TEXT SEARCH TEMPLATE rare (LEXIZE = dsimple_lexize)",
        (
            "CREATE TEXT SEARCH PARSER rare (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES ="
            " prsd_lextype)"
        ),
        "ALTER TEXT SEARCH CONFIGURATION words DROP MAPPING FOR word",
        "ALTER OPERATOR FAMILY together USING btree ADD OPERATOR 1 < (int, int), FUNCTION 1 btint4cmp(int, int)",
        "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))",
    ],
)
def test_the_schema_hash_sees_changes_of_rare_kinds_too(connection, change):
    connection.execute(
        "CREATE FOREIGN DATA WRAPPER outside; CREATE SERVER elsewhere FOREIGN DATA WRAPPER outside; CREATE TEXT SEARCH"
        " CONFIGURATION words (COPY = simple); CREATE OPERATOR FAMILY together USING btree"
    )
    before = token(connection)
    connection.execute(change)
    assert token(connection) != before


#: kind -> what makes the first such object of a database.
FIRST = {
    "collation": 'CREATE COLLATION app.plain FROM "C"',
    "operator": "CREATE OPERATOR app.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)",
    "operator family": "CREATE OPERATOR FAMILY app.together USING btree",
    "operator class": "CREATE OPERATOR CLASS app.way FOR TYPE int USING hash AS OPERATOR 1 =, FUNCTION 1 hashint4(int)",
    "conversion": "CREATE CONVERSION app.rare FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "text search configuration": "CREATE TEXT SEARCH CONFIGURATION app.words (COPY = simple)",
    "text search dictionary": "CREATE TEXT SEARCH DICTIONARY app.words (TEMPLATE = simple)",
    "text search parser/template": "CREATE TEXT SEARCH TEMPLATE app.rare (LEXIZE = dsimple_lexize)",
    "cast": "CREATE CAST (int AS point) WITH INOUT",
    "access method": "CREATE ACCESS METHOD rare TYPE INDEX HANDLER bthandler",
    "language": "CREATE LANGUAGE rare HANDLER plpgsql_call_handler",
    "transform": "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal))",
    "event trigger": "CREATE FUNCTION app.fires_too() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    " CREATE EVENT TRIGGER rare ON sql_drop EXECUTE FUNCTION app.fires_too()",
    "foreign data wrapper": "CREATE FOREIGN DATA WRAPPER rare",
    "publication": "CREATE PUBLICATION rare",
    "default grant": "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO pg_monitor",
}


def test_the_first_object_of_a_rare_kind_is_seen(session):
    connection = session()
    connection.execute("CREATE SCHEMA app")
    for kind, sql in FIRST.items():
        assert not value(connection, "SELECT has_rare_objects()"), f"before {kind}"
        before, known = token(connection), value(connection, "SELECT array_agg(DISTINCT kind) FROM schema_objects()")
        connection.execute("BEGIN")
        connection.execute(sql)
        assert token(connection) != before, kind
        assert set(value(connection, "SELECT array_agg(DISTINCT kind) FROM schema_objects()")) - set(known) >= {kind}
        connection.execute("ROLLBACK")
        for catalog in ("transform", "event_trigger", "foreign_data_wrapper", "publication", "default_acl"):
            connection.execute(f"VACUUM pg_catalog.pg_{catalog}")  # a page without rows is a page
        assert token(connection) == before, kind


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "harmless",
    [
        "INSERT INTO app.wide SELECT n, n FROM generate_series(1, 1000) AS s (n)",
        "ANALYZE app.wide",
        "VACUUM app.wide",
        "TRUNCATE app.wide",
        "REINDEX TABLE app.child",
        "VACUUM FULL app.wide",
        "CREATE TEMPORARY TABLE passing (a int PRIMARY KEY, b text DEFAULT 'x')",
        "REFRESH MATERIALIZED VIEW app.kept",
        "SELECT nextval('app.numbers')",
        "CREATE ROLE passing_role; DROP ROLE passing_role",
        "ALTER TABLE app.wide ADD COLUMN passing int; ALTER TABLE app.wide DROP COLUMN passing",
    ],
)
def test_the_schema_hash_is_indifferent_to_what_is_no_schema(connection, session, harmless):
    before = token(connection)
    other = session()
    other.execute(harmless)
    assert token(connection) == before


# -- what differs ------------------------------------------------------------------------------------------------------


def changes(connection, sql):
    """(change, kind, identity) of what this SQL does, undone afterwards."""
    connection.execute("CREATE TEMPORARY TABLE kept AS SELECT schema_snapshot() AS objects")
    connection.execute("BEGIN")
    connection.execute(sql)
    rows = connection.execute(
        "SELECT c.change, c.kind, c.identity FROM kept k, schema_changes(k.objects, schema_snapshot()) c"
    ).fetchall()
    connection.execute("ROLLBACK")
    connection.execute("DROP TABLE kept")
    return rows


def test_a_column_that_comes_is_no_change_of_its_table(connection):
    assert changes(connection, "ALTER TABLE app.wide ADD COLUMN c int") == [("created", "column", "app.wide.c")]


def test_a_column_that_comes_back_at_the_end_is_another_order(connection):
    connection.execute("DROP STATISTICS app.stat")
    assert changes(connection, "ALTER TABLE app.wide DROP COLUMN a; ALTER TABLE app.wide ADD COLUMN a int") == [
        ("reordered", "table", "app.wide")
    ]


def test_a_column_that_goes_from_the_middle_leaves_the_order(connection):
    assert changes(connection, "ALTER TABLE app.parent DROP COLUMN name") == [
        ("dropped", "column", "app.parent.name"),
        ("dropped", "constraint", "app.parent named"),
        *NOT_NULL_IS_A_CONSTRAINT.get(connection.info.server_version // 10000, []),
    ]


#: From PostgreSQL 18 NOT NULL is a constraint with a name.
NOT_NULL_IS_A_CONSTRAINT = {18: [("dropped", "constraint", "app.parent parent_name_not_null")]}


def test_nothing_differs_from_itself(connection):
    assert changes(connection, "SELECT 1") == []


def test_a_view_that_says_something_else(connection):
    assert changes(connection, "CREATE OR REPLACE VIEW app.happy AS SELECT * FROM app.child WHERE mood = 'sad'") == [
        ("changed", "view", "app.happy")
    ]


def test_an_ordinary_role_sees_the_same_rows(connection, session, server):
    role = f"ordinary_{connection.info.dbname}"
    schema = connection.execute("SELECT current_schema").fetchone()[0]
    connection.execute(
        f"CREATE ROLE {role} LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role}; GRANT SELECT ON ALL"
        f" TABLES IN SCHEMA {schema} TO {role}"
    )
    try:
        expected = schema_of(connection)
        ordinary = session(user=role)
        assert schema_of(ordinary) == expected
        assert token(ordinary) == token(connection)
    finally:
        ordinary.close()
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.long
def test_it_looks_again_while_another_session_changes_the_schema(connection, session):
    stop = []

    def churn():
        other = session()
        number = 0
        while not stop:
            number += 1
            other.execute(
                f"CREATE TABLE app.churn (a int DEFAULT {number} CHECK (a > 0)); CREATE VIEW app.churned AS SELECT *"
                " FROM app.churn; CREATE INDEX ON app.churn (a)"
            )
            other.execute(
                "CREATE FUNCTION app.churning() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION app.churning();"
                " DROP VIEW app.churned; DROP TABLE app.churn"
            )
        return number

    churning = Background(churn)
    for _ in range(30):
        assert connection.execute("SELECT schema_snapshot() ? 'table'").fetchone() == (True,)
    stop.append(True)
    assert churning.result() > 0


def test_it_waits_no_longer_than_lock_timeout(connection, session):
    holder = session()
    holder.execute("BEGIN; LOCK TABLE app.happy IN ACCESS EXCLUSIVE MODE")
    connection.execute("SET lock_timeout = '100ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        connection.execute("SELECT schema_snapshot()")


@pytest.mark.versions
def test_what_makes_a_range_shows_with_its_type_alone(session):
    """Constructors and casts come and go with it, and go with it into an extension: as in pg_dump."""
    connection = session()

    def shown():
        rows = connection.execute("SELECT kind, identity FROM schema_objects() WHERE identity LIKE '%span%'").fetchall()
        return {kind for kind, _ in rows}

    connection.execute("CREATE TYPE span AS RANGE (SUBTYPE = float8, MULTIRANGE_TYPE_NAME = spans)")
    assert shown() == {"range"}
    connection.execute("ALTER EXTENSION plpgsql ADD TYPE span; ALTER TYPE spans RENAME TO other_spans")
    assert shown() == set()
