"""The search_path of the registration reaches the SQL, and SQL that did nothing is not called a plain success."""

import psycopg
import pytest
from watching import exists, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def shop(database_dsn, session, folder):
    """Migrations of somebody whose tables are in schema shop."""
    session().execute("CREATE SCHEMA shop; CREATE SCHEMA other")
    with mr.connect(f"{database_dsn} options='-c search_path=shop,public'", dir=folder) as migrations:
        yield migrations


def test_recorded_at_registration_it_reaches_execute(db, shop, write_migration, session):
    write_migration(
        "001_users", "CREATE TABLE users ();\n-- ROLLBACK START\nDROP TABLE IF EXISTS users;\n-- ROLLBACK END"
    )
    shop.apply()
    assert exists(session(), "shop.users")
    assert (
        value(session(), "SELECT metadata ->> 'search_path' FROM migration_history WHERE migration_name = '001_users'")
        == "shop, public"
    )
    session().execute("CREATE TABLE public.users ()")  # where the others' path would look
    result = db.rollback("001_users", confirm="001_users")
    assert result.success
    assert not result.unchanged
    assert not exists(session(), "shop.users")
    assert exists(session(), "public.users")


def test_reaches_psql_as_well(shop, write_migration, session):
    write_migration("001_users", "CREATE TABLE users ();\n-- ROLLBACK START\nDROP TABLE users;\n-- ROLLBACK END")
    shop.apply()
    assert session().execute("SELECT success FROM execute_migration_rollback('001_users')").fetchone() == (True,)
    assert not exists(session(), "shop.users")


@pytest.mark.long
def test_reaches_statements_outside_a_transaction(db, shop, write_migration, session):
    write_migration(
        "001_users",
        "CREATE TABLE users (a int); CREATE INDEX i ON users (a);\n-- ROLLBACK START transaction:false\nDROP INDEX"
        " CONCURRENTLY i;\nDROP TABLE users;\n-- ROLLBACK END",
    )
    shop.apply()
    assert db.rollback("001_users", confirm="001_users").success
    assert not exists(session(), "shop.users")


@pytest.mark.long
def test_the_callers_path_is_as_it_was_afterwards(shop, write_migration):
    write_migration("001_users", "CREATE TABLE users ();\n-- ROLLBACK START\nDROP TABLE users;\n-- ROLLBACK END")
    shop.apply()
    shop.rollback("001_users", confirm="001_users")
    assert shop.database.queries.effective_search_path() == "shop, public"


@pytest.mark.few(2)
@pytest.mark.parametrize("schema", ["My Schema", 'a"b', "a,b", "ě", "$user"])
def test_odd_schemas(database_dsn, session, folder, write_migration, schema):
    quoted = psycopg.sql.Identifier(schema).as_string(None)
    session().execute(f"CREATE SCHEMA {quoted}")
    write_migration("001_t", "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    with mr.connect(database_dsn, dir=folder) as db:
        if schema != "$user":  # which stands for a schema of the user's name, and there is none
            db.database.connection.execute("SELECT set_config('search_path', %s, false)", (quoted,))
        db.apply()
        recorded = value(
            session(), "SELECT metadata ->> 'search_path' FROM migration_history WHERE migration_name = '001_t'"
        )
        assert recorded == ("public" if schema == "$user" else quoted)
        assert db.rollback("001_t", confirm="001_t").success
    assert value(session(), "SELECT count(*) FROM pg_class WHERE relname = 't'") == 0


def test_an_empty_path_is_recorded_as_empty(db, write_migration, session):
    db.database.connection.execute("SET search_path = ''")
    write_migration("001_t", "CREATE TABLE public.t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    db.apply()
    db.database.connection.execute("SET search_path = public")
    with pytest.raises(mr.RollbackFailed):
        db.rollback("001_t", confirm="001_t")
    assert exists(session(), "public.t")


def test_a_rollback_that_found_nothing_to_drop_is_no_plain_success(db, applied, session):
    applied("001_t", "CREATE SCHEMA app; CREATE TABLE app.t ();", "DROP TABLE IF EXISTS t;")
    result = db.rollback("001_t", confirm="001_t")
    assert result.success
    assert result.unchanged
    assert "changed nothing" in result.message
    assert "public" in result.message
    assert any(notice.skipped and "t" in notice.message for notice in result.notices)
    assert result.mark != "✅"
    assert exists(session(), "app.t")


def test_skipped_drops_are_shown_beside_a_success(db, applied):
    applied(
        "001_t", "CREATE TABLE t ();", "DROP TABLE t; DROP VIEW IF EXISTS v; ALTER TABLE IF EXISTS u ADD COLUMN a int;"
    )
    result = db.rollback("001_t", confirm="001_t")
    assert not result.unchanged
    assert result.message == "Migration rolled back successfully"
    assert sum(notice.skipped for notice in result.notices) == 2
    assert len(result.warnings) == 2


def test_every_kind_of_skipping_is_known(db, session):
    session().execute("CREATE TABLE t (a int); CREATE DOMAIN d AS int")
    unknown = []
    for number, statement in enumerate(SKIPPING):
        name = f"{number:03}_t"
        session().execute("SELECT register_migration(%s, '1', rollback_sql => %s)", (name, statement))
        result = db.rollback(name, confirm=name, snapshots="none")
        if [notice.skipped for notice in result.notices] != [True] or not result.unchanged:
            unknown.append((statement, result))
    assert not unknown


@pytest.mark.long
def test_whatever_sql_changed_is_seen(db, session):
    unseen = []
    for number, statement in enumerate(CHANGES):
        name = f"{number:03}_t"
        connection = session(options="-c search_path=w")
        connection.execute(CHANGED_OBJECTS)
        connection.execute(
            "SELECT public.register_migration(%s, '1', rollback_sql => %s)",
            (name, statement.replace("{database}", db.target.database)),
        )
        if db.rollback(name, confirm=name, snapshots="none").unchanged:
            unseen.append(statement)
        connection.close()
    assert not unseen, "they changed something, and the result says that they changed nothing"


def test_a_change_behind_a_drop_in_sql_that_was_set_by_hand_is_seen(db, session):
    connection = session()
    connection.execute("CREATE TABLE full_table AS SELECT 1 AS a")
    connection.execute(
        "SELECT register_migration('001_t', '001', rollback_sql => 'DROP TABLE IF EXISTS gone; DELETE FROM full_table')"
    )
    assert not db.rollback("001_t", confirm="001_t").unchanged


def test_a_sequence_that_was_set_counts_as_a_change(db, applied, session):
    applied("001_s", "CREATE SEQUENCE s;", "SELECT setval('s', 7);")
    assert not db.rollback("001_s", confirm="001_s").unchanged


SKIPPING = [
    "DROP TABLE IF EXISTS public.gone CASCADE",
    "DROP INDEX IF EXISTS gone",
    "DROP VIEW IF EXISTS gone",
    "DROP FUNCTION IF EXISTS gone()",
    "DROP TYPE IF EXISTS gone",
    "DROP SCHEMA IF EXISTS gone",
    "DROP TRIGGER IF EXISTS gone ON t",
    "DROP POLICY IF EXISTS gone ON t",
    "DROP EXTENSION IF EXISTS gone",
    "DROP SEQUENCE IF EXISTS gone",
    "DROP ROLE IF EXISTS gone_role",
    "DROP TRIGGER IF EXISTS gone ON gone",
    "DROP TABLE IF EXISTS nowhere.gone",
    "DROP RULE IF EXISTS gone ON t",
    "DROP PUBLICATION IF EXISTS gone",
    "DROP MATERIALIZED VIEW IF EXISTS gone",
    "DROP OPERATOR IF EXISTS === (int, int)",
    "DROP AGGREGATE IF EXISTS gone(int)",
    "DROP CAST IF EXISTS (text AS point)",
    "DROP DOMAIN IF EXISTS gone",
    "DROP FUNCTION IF EXISTS gone(nowhere)",
    "DROP SERVER IF EXISTS gone",
    "DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER gone",
    "DROP STATISTICS IF EXISTS gone",
    "DROP COLLATION IF EXISTS gone",
    "DROP EVENT TRIGGER IF EXISTS gone",
    "ALTER TABLE t DROP COLUMN IF EXISTS gone",
    "ALTER TABLE t DROP CONSTRAINT IF EXISTS gone",
    "ALTER TABLE IF EXISTS gone DROP COLUMN a",
    "ALTER TABLE IF EXISTS gone RENAME TO g",
    "ALTER TABLE IF EXISTS gone RENAME COLUMN a TO b",
    "ALTER TABLE IF EXISTS gone RENAME CONSTRAINT a TO b",
    "ALTER TABLE IF EXISTS gone SET SCHEMA public",
    "ALTER INDEX IF EXISTS gone RENAME TO g",
    "ALTER TABLE t ALTER COLUMN a DROP IDENTITY IF EXISTS",
    "ALTER TABLE t ALTER COLUMN a DROP EXPRESSION IF EXISTS",
    "ALTER DOMAIN d DROP CONSTRAINT IF EXISTS gone",
    "ALTER SEQUENCE IF EXISTS gone RESTART",
    "ALTER STATISTICS IF EXISTS gone SET STATISTICS 3",
]
CHANGED_OBJECTS = """
    SET client_min_messages = warning; DROP SCHEMA IF EXISTS w CASCADE; CREATE SCHEMA w;
    CREATE TABLE t (a int); CREATE TABLE full_table AS SELECT 1 AS a; CREATE TABLE wide (a int, b int);
    CREATE SEQUENCE s; CREATE MATERIALIZED VIEW m AS SELECT 1;
    CREATE TYPE e AS ENUM ('a'); CREATE FUNCTION changes() RETURNS void LANGUAGE sql AS 'DELETE FROM w.full_table';
    DO $$ BEGIN IF to_regrole('changes_role') IS NULL THEN CREATE ROLE changes_role; END IF; END $$
"""
CHANGES = [
    "DROP TABLE t",
    "ALTER TABLE t ADD COLUMN b int",
    "COMMENT ON TABLE t IS 'x'",
    "GRANT SELECT ON t TO PUBLIC",
    "INSERT INTO t VALUES (1)",
    "TRUNCATE t",
    "UPDATE full_table SET a = 2",
    "DELETE FROM full_table",
    "CREATE VIEW v AS SELECT 1",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER SEQUENCE s RESTART WITH 7",
    "REFRESH MATERIALIZED VIEW m",
    "DO $$ BEGIN DELETE FROM full_table; END $$",
    "ALTER TABLE t SET (fillfactor = 50)",
    "ALTER TABLE t ALTER COLUMN a SET STATISTICS 7",
    "CREATE SCHEMA made",
    "ALTER TYPE e ADD VALUE 'b'",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "WITH gone AS (DELETE FROM full_table RETURNING 1) SELECT count(*) FROM gone",
    "SELECT lo_create(4711)",
    "ALTER TABLE t ALTER COLUMN a SET DEFAULT 1",
    "CREATE STATISTICS st ON a, b FROM wide",
    "SELECT changes()",
    "ALTER TABLE t REPLICA IDENTITY FULL",
    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING",
    "CREATE OPERATOR FAMILY fam USING btree",
    "CREATE TEXT SEARCH CONFIGURATION ours (COPY = simple)",
    "CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "COMMENT ON DATABASE {database} IS 'x'",
    "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler",
    "CREATE PUBLICATION pub FOR TABLE t",
    'CREATE COLLATION coll FROM "C"',
    "ALTER LANGUAGE plpgsql OWNER TO changes_role",
    "CREATE FOREIGN DATA WRAPPER fdw",
    "ALTER DATABASE {database} SET work_mem = '8MB'",
    "GRANT CONNECT ON DATABASE {database} TO changes_role",
    "ALTER ROLE changes_role CONNECTION LIMIT 3",
    "CREATE SERVER srv FOREIGN DATA WRAPPER fdw",
    "CREATE USER MAPPING FOR postgres SERVER srv",
    "COMMENT ON ROLE changes_role IS 'x'",
    "GRANT SET ON PARAMETER work_mem TO changes_role",
]
