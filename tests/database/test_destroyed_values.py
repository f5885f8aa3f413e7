"""What an up migration destroyed: from its text where it is registered, counted where it is applied."""

import psycopg
import pytest
from psycopg.types.json import Jsonb

import migrollback_nb as mr
from migrollback_nb.files import migration

pytestmark = pytest.mark.versions

CUSTOMERS = """
    CREATE TABLE customers (id int PRIMARY KEY, email text, plan text, born timestamptz, code text, note varchar(10));
    INSERT INTO customers SELECT n, n || '@example.org', CASE WHEN n % 2 = 0 THEN 'free' ELSE 'paid' END,
        '2025-01-01 10:00+00', CASE WHEN n <= 10 THEN '00' || n ELSE n::text END, 'note'
      FROM generate_series(1, 1000) AS n;
    CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE);
    INSERT INTO orders SELECT n, n FROM generate_series(1, 300) AS n;
    CREATE TABLE nothing_in_it (a text);
    CREATE TABLE reading (day date, value int) PARTITION BY RANGE (day);
    CREATE TABLE reading_2025 PARTITION OF reading FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    INSERT INTO reading SELECT '2025-03-01', n FROM generate_series(1, 20) AS n;
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE SCHEMA app; CREATE TABLE app.feeling (m mood, n int); INSERT INTO app.feeling VALUES ('sad', 1), (NULL, 2);
"""


@pytest.fixture(scope="module")
def customers(shared_database):
    """One database for all tests here: each ends in a rollback of its own."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        connection.execute(CUSTOMERS)
        connection.execute("ANALYZE orders")
        yield connection


@pytest.fixture
def connection(customers):
    with customers.transaction(force_rollback=True):
        yield customers


def record(up, rollback=None, name="001_up"):
    block = "" if rollback is None else f"\n-- ROLLBACK START\n{rollback}\n-- ROLLBACK END\n"
    file = migration.parse(f"{up};\n{block}", name=name)
    return file, {**file.record(), "metadata": Jsonb(file.record()["metadata"])}


def apply(connection, up, rollback=None):
    file, values = record(up, rollback)
    query = (
        "SELECT success, message FROM apply_migration(%(name)s, %(version)s, %(statements)s, %(rollback_sql)s,"
        " %(checksum)s, metadata => %(metadata)s)"
    )
    found = connection.execute(query, {**values, "statements": list(file.up_statements())}).fetchone()
    assert found[0], found


def register(connection, up, rollback=None, name="001_up"):
    query = "SELECT register_migration(%(name)s, %(version)s, %(rollback_sql)s, %(checksum)s, metadata => %(metadata)s)"
    return value(connection, query, record(up, rollback, name)[1])


def value(connection, query, values=None):
    return connection.execute(query, values).fetchone()[0]


def recorded(connection, name="001_up"):
    """(what, identity, rows) of what is recorded; ~ before an estimate, ? where it is not certain."""
    rows = connection.execute(
        "SELECT what || CASE WHEN certain THEN '' ELSE '?' END, identity, rows, estimated"
        " FROM migration_destroyed_values WHERE migration_name = %s ORDER BY identity, what",
        (name,),
    )
    return [(what, identity, f"~{count}" if estimated else count) for what, identity, count, estimated in rows]


def not_restored(connection, name="001_up"):
    return value(connection, "SELECT migration_values_not_restored(%s)", (name,))


def test_the_fault(applied, session):
    connection = session()
    connection.execute(CUSTOMERS)
    applied(
        "001_up",
        "ALTER TABLE customers DROP COLUMN email; UPDATE customers SET plan = 'free' WHERE plan = 'paid'",
        "ALTER TABLE customers ADD COLUMN email text",
    )
    assert not_restored(connection) == [
        {
            "effect": "values_not_restored",
            "identity": "public.customers.email",
            "rows": 1000,
            "detail": "column dropped",
            "migration": None,
            "known_by": "catalog",
        },
        {
            "effect": "values_not_restored",
            "identity": "public.customers.plan",
            "rows": 500,
            "detail": "updated",
            "migration": None,
            "known_by": "catalog",
        },
    ]


def test_outside_a_transaction(applied, session):
    connection = session()
    connection.execute(CUSTOMERS)
    applied(
        "001_up",
        "CREATE INDEX CONCURRENTLY ON customers (plan); ALTER TABLE customers DROP COLUMN email;"
        " UPDATE customers SET plan = 'free' WHERE id < 10; UPDATE customers SET note = 'x'; DROP TABLE nothing_in_it",
        header="-- Transaction: false\n",
    )
    assert recorded(connection) == [
        ("column dropped", "public.customers.email", 1000),
        ("updated", "public.customers.note", 1000),
        ("updated", "public.customers.plan", None),
        ("table dropped", "public.nothing_in_it", 0),
    ]


UPS = {
    "ALTER TABLE nothing_in_it DROP a": [],
    "DROP TABLE nothing_in_it": [],
    "DROP TABLE orders": [("table dropped", "public.orders", 300)],
    "DROP TABLE IF EXISTS not_there": [],
    "TRUNCATE customers CASCADE": [
        ("truncated", "public.customers", 1000),
        ("truncated", "public.orders", 300),
    ],
    "DELETE FROM customers WHERE id > 200": [
        ("deleted", "public.customers", 800),
        ("deleted", "public.orders", 100),
    ],
    "UPDATE customers SET plan = 'x', code = 'y'": [
        ("updated", "public.customers.code", 1000),
        ("updated", "public.customers.plan", 1000),
    ],
    "ALTER TABLE customers ADD mail text; UPDATE customers SET mail = email": [],
    "ALTER TABLE customers RENAME plan TO tariff; UPDATE customers SET tariff = 'x' WHERE id = 1": [
        ("updated", "public.customers.plan", 1)
    ],
    "WITH gone AS (DELETE FROM orders WHERE id <= 5 RETURNING *) SELECT count(*) FROM gone": [
        ("deleted", "public.orders", 5)
    ],
    "INSERT INTO orders VALUES (1, 2), (1001, 2) ON CONFLICT (id) DO UPDATE SET customer = 3": [
        ("updated", "public.orders.customer", 1)
    ],
    "INSERT INTO orders VALUES (1001, 2) ON CONFLICT (id) DO UPDATE SET customer = 3": [],
    "ALTER TABLE customers ALTER id TYPE bigint, ALTER note TYPE varchar(20), ALTER email TYPE varchar": [],
    "ALTER TABLE customers ALTER code TYPE int USING code::int": [("rewritten", "public.customers.code", 10)],
    "ALTER TABLE customers ALTER born TYPE date": [("rewritten", "public.customers.born", 1000)],
    "ALTER TABLE customers ALTER note TYPE int USING length(note)": [("rewritten", "public.customers.note", 1000)],
    "DROP TYPE mood CASCADE": [("column dropped", "app.feeling.m", 1)],
    "CREATE TYPE mood_2 AS ENUM ('sad'); ALTER TABLE app.feeling ALTER m TYPE mood_2 USING m::text::mood_2": [],
    "CREATE TYPE mood_2 AS ENUM ('sad'); ALTER TABLE app.feeling ALTER m TYPE mood_2 USING 'sad'::mood_2": [
        ("rewritten", "app.feeling.m", 1)
    ],
    "DROP SCHEMA app CASCADE": [("table dropped", "app.feeling", 2)],
    "ALTER TABLE reading DROP value": [("column dropped", "public.reading.value", 20)],
    "UPDATE reading SET value = 1": [("updated", "public.reading.value", 20)],
    "DROP TABLE reading_2025": [("table dropped", "public.reading_2025", 20)],
    "ALTER TABLE reading DETACH PARTITION reading_2025": [],
    "CREATE TABLE t AS SELECT 1 AS a; UPDATE t SET a = 2; DELETE FROM t; DROP TABLE t": [],
    "DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN email', 'customers'); END $$": [
        ("column dropped", "public.customers.email", 1000)
    ],
    "DO $$ BEGIN EXECUTE format('UPDATE %I SET plan = 1', 'customers'); END $$": [
        ("updated", "public.customers", 1000)
    ],
    "DO $$ BEGIN EXECUTE format('TRUNCATE %I', 'orders'); EXECUTE format('DROP TABLE %I', 'nothing_in_it'); END $$": [
        ("truncated", "public.orders", 300)
    ],
    "DO $$ BEGIN EXECUTE format('ALTER TABLE %I ALTER born TYPE date', 'customers'); END $$": [
        ("rewritten", "public.customers.born", 1000)
    ],
    "DO $$ BEGIN IF false THEN DROP TABLE orders; END IF; END $$": [],
    """CREATE FUNCTION clean() RETURNS void LANGUAGE plpgsql AS 'BEGIN DELETE FROM orders; END'; SELECT clean()""": [
        ("deleted", "public.orders", 300)
    ],
    "CREATE VIEW v AS SELECT * FROM customers; GRANT SELECT ON v TO CURRENT_USER": [],
}


@pytest.mark.parametrize("up", UPS)
def test_counted_at_apply(connection, up):
    apply(connection, up)
    assert [one for one in recorded(connection) if one[2] != 0] == UPS[up]


# -- from the text, where a deploy tool applied ------------------------------------------------------------------------

TEXTS = {
    "ALTER TABLE customers DROP email": [("column dropped", "public.customers.email", None)],
    "DROP TABLE old_customers": [("table dropped", "public.old_customers", None)],
    "DROP TABLE IF EXISTS customers; CREATE TABLE customers (id int)": [],
    "UPDATE app.feeling SET n = 3; DELETE FROM app.feeling WHERE n = 4": [
        ("deleted", "app.feeling", None),
        ("updated", "app.feeling.n", None),
    ],
    "UPDATE nothing_in_it SET a = 3": [("updated", "public.nothing_in_it.a", 0)],
    "ALTER TABLE customers ALTER note TYPE text": [],
    "DROP SCHEMA gone CASCADE": [("table dropped?", "gone", None)],
    "DO $$ BEGIN EXECUTE 'DELETE FROM orders'; END $$": [("deleted?", "public.orders", None)],
    "ALTER TABLE customers ALTER id TYPE int": [("rewritten?", "public.customers.id", None)],
}


@pytest.mark.parametrize("up", TEXTS)
def test_from_the_text_where_it_is_registered(connection, up):
    register(connection, up)
    assert recorded(connection) == TEXTS[up]


def test_the_rollback_says_which_type_a_column_had(connection):
    register(connection, "ALTER TABLE customers ALTER id TYPE bigint", "ALTER TABLE customers ALTER id TYPE int")
    assert recorded(connection) == []
    register(
        connection,
        "ALTER TABLE customers ALTER code TYPE int USING code::int",
        "ALTER TABLE customers ALTER code TYPE text",
    )
    assert recorded(connection) == [("rewritten", "public.customers.code", None)]


def test_registered_again_it_is_replaced(connection):
    assert register(connection, "UPDATE customers SET plan = 'x'") == "registered"
    assert not_restored(connection)[0]["known_by"] == "text"
    assert register(connection, "UPDATE customers SET code = 'x'") == "updated"
    assert recorded(connection) == [("updated", "public.customers.code", None)]


def test_what_was_counted_stays_when_its_file_is_registered_again(connection):
    apply(connection, "UPDATE customers SET plan = 'x'")
    assert register(connection, "UPDATE customers SET plan = 'x'", "SELECT 1") == "updated"
    assert recorded(connection) == [("updated", "public.customers.plan", 1000)]


def test_many_are_registered_at_once_by_sync(db, write, session):
    connection = session()
    connection.execute("CREATE TABLE customers (id bigint, email text)")
    write("001_up", "ALTER TABLE customers DROP plan")
    write("002_up", "UPDATE customers SET email = NULL")
    write("003_up", "SELECT 1")
    db.sync()
    assert recorded(connection) == [("column dropped", "public.customers.plan", 0)]
    assert recorded(connection, "002_up") == [("updated", "public.customers.email", 0)]
    assert recorded(connection, "003_up") == []


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_a_proof_of_this_very_text_decides(connection):
    apply(
        connection, "ALTER TABLE customers DROP email, DROP plan", "ALTER TABLE customers ADD email text, ADD plan text"
    )
    prove = (
        "INSERT INTO migration_proofs (migration_name, checksum, grade, effects) SELECT migration_name, {}, %s, %s"
        " FROM migration_history ON CONFLICT (migration_name, checksum) DO UPDATE SET grade = excluded.grade"
    )
    connection.execute(prove.format("'other'"), ("restores", "[]"))
    assert len(not_restored(connection)) == 2
    connection.execute(prove.format("checksum"), ("loses_data", '[{"identity": "public.customers.plan"}]'))
    assert [(one["identity"], one["rows"]) for one in not_restored(connection)] == [("public.customers.plan", 1000)]
    connection.execute(prove.format("checksum"), ("restores", "[]"))
    assert not_restored(connection) == []


def test_a_rollback_that_writes_the_table_again_is_told(connection):
    """The archive of the specification."""
    apply(
        connection,
        "CREATE TABLE archived AS SELECT id, email FROM customers; ALTER TABLE customers DROP COLUMN email",
        "ALTER TABLE customers ADD COLUMN email text;"
        " UPDATE customers u SET email = a.email FROM archived a WHERE u.id = a.id; DROP TABLE IF EXISTS archived",
    )
    (effect,) = not_restored(connection)
    assert effect["rows"] == 1000
    assert "the rollback writes it again" in effect["detail"]


# -- what the rollback loses -------------------------------------------------------------------------------------------

ROLLBACKS = {
    "DROP TABLE orders": [("loses_rows", "public.orders", 300)],
    "DROP TABLE nothing_in_it": [],
    "DROP TABLE IF EXISTS not_there": [],
    "ALTER TABLE customers DROP email, DROP born": [
        ("loses_values", "public.customers.email", 1000),
        ("loses_values", "public.customers.born", 1000),
    ],
    "DROP TABLE customers CASCADE": [("loses_rows", "public.customers", 1000)],
    "TRUNCATE customers CASCADE": [("loses_rows", "public.customers", 1000), ("loses_rows", "public.orders", 300)],
    "DELETE FROM orders": [("loses_rows", "public.orders", 300)],
    "DELETE FROM orders WHERE id = 1": [("loses_rows", "public.orders", None)],
    "DELETE FROM nothing_in_it WHERE a = '1'": [],
    "UPDATE customers SET plan = 'x'": [("loses_values", "public.customers.plan", 1000)],
    "ALTER TABLE customers ALTER id TYPE bigint": [],
    "ALTER TABLE customers ALTER born TYPE date": [("loses_values", "public.customers.born", 1000)],
    "DROP SCHEMA app CASCADE": [("loses_rows", "app.feeling", 2)],
    "DROP TYPE mood CASCADE": [("loses_values", "app.feeling.m", 1)],
    "CREATE TYPE mood_2 AS ENUM ('sad'); ALTER TABLE app.feeling ALTER m TYPE mood_2 USING m::text::mood_2": [],
    "CREATE DOMAIN d AS date; ALTER TABLE customers ALTER born TYPE d": [
        ("loses_values", "public.customers.born", 1000)
    ],
    "DELETE FROM orders; DROP TABLE orders": [("loses_rows", "public.orders", 300)],
    "DROP VIEW IF EXISTS v; SELECT 1": [],
}


@pytest.mark.parametrize("rollback", ROLLBACKS)
def test_what_the_rollback_loses(connection, rollback):
    register(connection, "SELECT 1", rollback)
    found = value(connection, "SELECT migration_loss_by_text('001_up')")
    assert [(one["effect"], one["identity"], one["rows"]) for one in found] == ROLLBACKS[rollback]
    assert all(one["known_by"] == "catalog" and "estimated" not in one for one in found)


def test_a_lock_is_not_waited_for(connection, shared_database):
    register(connection, "SELECT 1", "DROP TABLE orders")
    with psycopg.connect(shared_database) as other:
        other.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        (effect,) = value(connection, "SELECT migration_loss_by_text('001_up')")
        other.rollback()
    assert (effect["rows"], effect["estimated"]) == (300, True)


def test_a_large_table_is_estimated(connection):
    connection.execute(
        "CREATE TABLE big AS SELECT n FROM generate_series(1, 60000) AS n; ANALYZE big;"
        " ALTER TABLE big ADD a text DEFAULT 'a'"
    )
    register(connection, "SELECT 1", "DROP TABLE big")
    (effect,) = value(connection, "SELECT migration_loss_by_text('001_up')")
    assert (effect["rows"], effect["estimated"]) == (60000, True)


# -- where counting is not as easy as that -----------------------------------------------------------------------------


def test_names_that_need_quotes(connection):
    connection.execute(
        'CREATE SCHEMA "S.x"; CREATE TABLE "S.x"."T ""q" ("a.b" text, "Select" int);'
        ' INSERT INTO "S.x"."T ""q" VALUES (1, 1)'
    )
    apply(connection, 'ALTER TABLE "S.x"."T ""q" DROP "a.b"; UPDATE "S.x"."T ""q" SET "Select" = 2')
    assert recorded(connection) == [
        ("updated", '"S.x"."T ""q"."Select"', 1),
        ("column dropped", '"S.x"."T ""q"."a.b"', 1),
    ]
    assert len(not_restored(connection)) == 2


def test_more_than_100000_rows_are_estimated(connection):
    connection.execute(
        "CREATE TABLE big AS SELECT n, CASE WHEN n % 2 = 0 THEN 'a' END AS half FROM generate_series(1, 120000) AS n;"
        " ANALYZE big"
    )
    apply(connection, "ALTER TABLE big DROP half; UPDATE big SET n = 0 WHERE n <= 110000")
    (dropped, updated) = recorded(connection)
    assert dropped[:2] == ("column dropped", "public.big.half")
    assert 55000 < int(dropped[2].removeprefix("~")) < 65000
    assert updated == ("updated", "public.big.n", 110000)
    assert not_restored(connection)[0]["estimated"]


def test_row_security_hides_rows_so_they_are_estimated(connection):
    connection.execute(
        "DO $$ BEGIN IF to_regrole('limited_owner') IS NULL THEN CREATE ROLE limited_owner; END IF; END $$;"
        " ALTER TABLE orders OWNER TO limited_owner; GRANT ALL ON ALL TABLES IN SCHEMA public TO limited_owner;"
        " GRANT ALL ON SCHEMA public TO limited_owner;"
        " GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO limited_owner;"
        " ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY;"
        " SET LOCAL ROLE limited_owner"
    )
    apply(connection, "ALTER TABLE orders DROP customer")
    assert recorded(connection) == [("column dropped", "public.orders.customer", "~300")]


def test_written_twice(connection):
    apply(connection, "UPDATE customers SET plan = 'x' WHERE id <= 10; UPDATE customers SET plan = 'y' WHERE id <= 20")
    assert recorded(connection) == [("updated", "public.customers.plan", "~30")]


def test_what_the_session_wrote_before_is_not_the_migrations(connection):
    connection.execute("UPDATE customers SET note = 'x'; DELETE FROM orders")
    apply(connection, "UPDATE customers SET plan = 'x' WHERE id <= 10")
    assert recorded(connection) == [("updated", "public.customers.plan", 10)]


def test_triggers_and_functions_of_the_database(connection):
    connection.execute(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM orders; RETURN NULL; END $$;"
        " CREATE TRIGGER forget AFTER INSERT ON nothing_in_it EXECUTE FUNCTION forget();"
        " CREATE FUNCTION wipe() RETURNS void LANGUAGE plpgsql"
        " AS $$ BEGIN ALTER TABLE customers DROP email; TRUNCATE app.feeling; END $$"
    )
    apply(connection, "INSERT INTO nothing_in_it VALUES ('a'); SELECT wipe()")
    assert recorded(connection) == [
        ("truncated", "app.feeling", 2),
        ("column dropped", "public.customers.email", 1000),
        ("deleted", "public.orders", 300),
    ]


def test_without_a_parser_everything_is_looked_at(connection):
    """apply_migration() from psql."""
    connection.execute(
        "SELECT apply_migration('001_up', '001',"
        " ARRAY['ALTER TABLE customers DROP email', 'UPDATE customers SET plan = 1'])"
    )
    assert recorded(connection) == [
        ("updated", "public.customers", 1000),
        ("column dropped", "public.customers.email", 1000),
    ]


def test_inherited_tables(connection):
    connection.execute(
        "CREATE TABLE base (a int, b int); CREATE TABLE child () INHERITS (base);"
        " INSERT INTO child VALUES (1, 1), (2, 2); INSERT INTO base VALUES (3, 3)"
    )
    apply(connection, "ALTER TABLE base DROP a; UPDATE base SET b = 0")
    assert recorded(connection) == [("column dropped", "public.base.a", 3), ("updated", "public.base.b", 3)]


def test_what_no_text_finds_is_looked_for(connection):
    """On another path, or moved by what is built while it runs."""
    connection.execute("CREATE FUNCTION app.go() RETURNS void LANGUAGE sql AS 'DELETE FROM app.feeling'")
    apply(
        connection,
        "DO $$ BEGIN EXECUTE 'ALTER TABLE ' || 'orders RENAME TO moved'; END $$; ALTER TABLE moved DROP customer;"
        " SET search_path = public, app; ALTER TABLE feeling DROP n",
    )
    assert recorded(connection) == [
        ("column dropped", "app.feeling.n", 2),
        ("column dropped", "public.orders.customer", 300),
    ]


def test_what_goes_with_something_else(connection):
    connection.execute(
        "DO $$ BEGIN IF to_regrole('leaving') IS NULL THEN CREATE ROLE leaving; END IF; END $$;"
        " CREATE TYPE app.pair AS (a int, b int); CREATE DOMAIN app.positive AS int;"
        " CREATE TABLE app.pairs (p app.pair, n app.positive); INSERT INTO app.pairs VALUES ((1, 2), 3);"
        " CREATE TABLE theirs (a int); INSERT INTO theirs VALUES (1); ALTER TABLE theirs OWNER TO leaving"
    )
    apply(
        connection,
        "ALTER TYPE app.pair DROP ATTRIBUTE b CASCADE; DROP DOMAIN app.positive CASCADE; DROP OWNED BY leaving",
    )
    assert recorded(connection) == [
        ("column dropped", "app.pairs.n", 1),
        ("rewritten", "app.pairs.p", 1),
        ("table dropped", "public.theirs", 1),
    ]


def test_nothing_counts_rows(connection):
    connection.execute("SET LOCAL track_counts = off")
    apply(
        connection, "UPDATE customers SET plan = 'x' WHERE id = 1; DELETE FROM orders; ALTER TABLE customers DROP email"
    )
    assert recorded(connection) == [
        ("column dropped", "public.customers.email", 1000),
        ("updated", "public.customers.plan", None),
        ("deleted", "public.orders", 300),
    ]


def test_computed_columns_are_no_loss(connection):
    connection.execute("ALTER TABLE orders ADD twice int GENERATED ALWAYS AS (customer * 2) STORED")
    apply(connection, "ALTER TABLE orders DROP twice", "ALTER TABLE orders DROP customer")
    assert recorded(connection) == []


def test_a_deploy_tool_applies_it_again(connection):
    apply(connection, "ALTER TABLE customers DROP email", "ALTER TABLE customers ADD email text")
    assert recorded(connection) == [("column dropped", "public.customers.email", 1000)]
    connection.execute("UPDATE migration_history SET status = 'rolled_back'")
    value(connection, "SELECT record_applied_again('001_up')")
    assert recorded(connection) == [("column dropped", "public.customers.email", None)]


@pytest.mark.parametrize("junk", ["1", "[1]", '[{"statement": "x"}]', '[{"statement": 1, "what": "x", "table": "t"}]'])
def test_metadata_that_no_parser_wrote(connection, junk):
    connection.execute(
        "SELECT register_migration('001_up', '001', 'SELECT 1', metadata => jsonb_build_object('destroys',"
        " jsonb_build_object('values', %s::jsonb)))",
        (junk,),
    )
    assert recorded(connection) == []
    connection.execute(
        "UPDATE migration_history SET metadata = jsonb_set(metadata, '{rollback}',"
        " jsonb_build_object('drops', %s::jsonb, 'md5', md5('SELECT 1')))",
        (junk,),
    )
    assert value(connection, "SELECT migration_loss_by_text('001_up')") == []


@pytest.mark.long
def test_a_lock_in_the_way_is_waited_for_once(db, write, session):
    connection = session()
    connection.execute("CREATE TABLE t (a int, b int)")
    write("001_up", "ALTER TABLE t DROP b")
    other = session()
    with other.transaction():
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(mr.MigrollbackError, match="lock"):
            db.apply("001_up", snapshots="none")
    db.apply("001_up", snapshots="none")
    assert recorded(connection) == [("column dropped", "public.t.b", 0)]
