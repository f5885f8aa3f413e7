"""Nobody but the owner, and whom the owner grants, may read or call anything of the system."""

import psycopg
import pytest
from watching import exists, value

import migrollback_nb as mr

ROLES = "DO $$ BEGIN IF to_regrole('{0}') IS NULL THEN CREATE ROLE {0} LOGIN; END IF; END $$;"
OPEN = """
SELECT o.what, coalesce(r.rolname, 'PUBLIC'), a.privilege_type FROM (
    SELECT c.oid::regclass::text, c.relacl, 'r'::"char", c.relowner FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'S', 'p')
    UNION ALL SELECT p.oid::regprocedure::text, p.proacl, 'f', p.proowner FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL SELECT a.attrelid::regclass || '.' || a.attname, a.attacl, 'c', c.relowner FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
) AS o (what, acl, kind, owner) CROSS JOIN LATERAL aclexplode(coalesce(o.acl, acldefault(o.kind, o.owner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE a.grantee = 0 OR r.rolname IN ('anon', 'authenticated')
"""
#: As Supabase sets it up.
DEFAULT_PRIVILEGES = """
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated;
GRANT USAGE ON SCHEMA public TO anon, authenticated;
"""


def as_role(dsn, role):
    return psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=role), autocommit=True)


@pytest.fixture
def world(server):
    """The roles under which Supabase serves the world, and two ordinary ones."""
    for role in ("anon", "authenticated", "operator_granted", "stranger"):
        server.execute(ROLES.format(role))


@pytest.mark.usefixtures("world")
def test_public_anon_and_authenticated_may_nothing(session):
    assert session().execute(OPEN).fetchall() == []


@pytest.mark.usefixtures("world")
def test_default_privileges_of_supabase_open_nothing(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(DEFAULT_PRIVILEGES)
        with mr.connect(empty_dsn) as db:
            db.install()
        assert connection.execute(OPEN).fetchall() == []


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    "reopen",
    [
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC, anon", "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO authenticated", "GRANT SELECT (rollback_sql, notes) ON migration_history TO PUBLIC",
        "GRANT SELECT (migration_name) ON migration_events TO anon", "GRANT SELECT ON migration_history TO anon WITH GRANT OPTION", "GRANT TRUNCATE ON migration_snapshots TO anon",
        DEFAULT_PRIVILEGES + "DROP FUNCTION is_passing_error(text) CASCADE; CREATE FUNCTION is_passing_error(sqlstate_code text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    ],
)  # fmt: skip
def test_a_repeated_install_closes_what_was_opened(db, session, reopen):
    connection = session()
    connection.execute(reopen)
    assert connection.execute(OPEN).fetchall() != []
    result = db.install()
    assert result.installed == ()
    assert result.rights_closed > 0
    assert connection.execute(OPEN).fetchall() == []
    assert db.install().rights_closed == 0


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("role", ["anon", "authenticated", "stranger"])
def test_an_ungranted_role_cannot_even_read(applied, database_dsn, role, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    functions = [name for (name,) in session().execute("SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace")]
    with as_role(database_dsn, role) as connection:
        for table in ("migration_history", "migration_dependencies", "migration_events", "migration_snapshots"):
            for statement in (
                f"SELECT * FROM {table}",
                f"TRUNCATE {table}",
                f"DELETE FROM {table}",
                f"INSERT INTO {table} DEFAULT VALUES",
                f"SELECT 1 FROM {table}",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
        for call in (
            "can_rollback_migration('001_t')", "execute_migration_rollback('001_t')", "execute_migration_rollback('001_t', true)", "list_rollbackable_migrations()", "create_migration_snapshot('x')",
            "schema_objects()", "verify_migration_events()", "register_migration('002_x', '2')", "add_migration_event('applied', 'x')", "lock_migrations()",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {call}")
    open_to_role = session().execute("SELECT n FROM unnest(%s::text[]) n WHERE has_function_privilege(%s, n, 'EXECUTE')", (functions, role)).fetchall()
    assert open_to_role == []
    assert exists(session(), "t")


@pytest.mark.usefixtures("world")
def test_anon_sees_no_row_whatever_is_granted_to_it_later(applied, database_dsn, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    session().execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO anon")
    with as_role(database_dsn, "anon") as connection:
        assert value(connection, "SELECT count(*) FROM migration_history") == 0
        assert value(connection, "SELECT count(*) FROM migration_events") == 0


def test_row_security_is_on(session):
    rows = session().execute("SELECT relname FROM pg_class WHERE relname LIKE 'migration\\_%%' AND relkind = 'r' AND NOT relrowsecurity").fetchall()
    assert rows == []


@pytest.fixture
def granted(world, session, database_dsn, folder):
    session().execute(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO operator_granted; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO operator_granted; GRANT CREATE ON SCHEMA public TO operator_granted"
    )
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="operator_granted"), dir=folder) as migrations:
        yield migrations


def test_an_ordinary_granted_role_can_use_all_of_it(granted, write_migration, session):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    write_migration("002_u", "-- Depends on: 001_t\nCREATE TABLE u (a int); CREATE INDEX i ON u (a);\n-- ROLLBACK START\nDROP TABLE u;\n-- ROLLBACK END")
    write_migration(
        "003_v",
        "CREATE TABLE v (a int); CREATE INDEX j ON v (a);\n-- ROLLBACK START transaction:false\nDROP INDEX CONCURRENTLY j;\nDROP TABLE v;\n-- ROLLBACK END",
    )
    assert granted.apply().applied == ("001_t", "002_u", "003_v")
    assert granted.check("002_u").can_rollback
    assert granted.snapshot("002_u")
    assert granted.rollback("001_t", confirm="001_t", chain=True, preview=granted.preview("001_t", chain=True)).success
    assert granted.rollback("003_v", confirm="003_v").success
    assert granted.verify_events().intact
    assert set(granted.events()["database_user"]) == {"postgres", "operator_granted"}
    assert granted.install().installed == ()


def test_an_ordinary_owner_can_install_and_use_all_of_it(server, folder, write_migration):
    # as on Supabase, where postgres is no superuser
    server.execute(ROLES.format("plain_owner"))
    name = server.create_database(options="OWNER plain_owner")
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    write_migration(
        "002_v",
        "CREATE TABLE v (a int); CREATE INDEX j ON v (a);\n-- ROLLBACK START transaction:false\nDROP INDEX CONCURRENTLY j;\nDROP TABLE v;\n-- ROLLBACK END",
    )
    try:
        with mr.connect(server.dsn(name, user="plain_owner"), dir=folder) as db:
            assert len(db.install().installed) == 1
            assert db.install().installed == ()
            db.apply()
            assert db.rollback("001_t", confirm="001_t", preview=db.preview("001_t")).success
            assert db.rollback("002_v", confirm="002_v").success
            assert db.snapshot("001_t")
            assert db.verify_events().intact
            assert not db.history().empty
    finally:
        server.drop_database(name)


def test_it_runs_with_the_callers_rights(granted, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")  # by its owner, the superuser
    with pytest.raises(mr.RollbackFailed) as caught:
        granted.rollback("001_t", confirm="001_t")
    assert caught.value.sqlstate == "42501"
    assert caught.value.passing  # the right role may do it
    assert exists(session(), "t")
    assert value(session(), "SELECT status FROM migration_history WHERE migration_name = '001_t'") == "applied"


def test_a_right_that_lacks_is_told_apart_from_a_system_that_lacks(database_dsn, world, session):
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="stranger")) as db:
        for question in (db.list, db.history, lambda: db.check("x"), db.require_system):
            with pytest.raises(mr.DatabaseError) as caught:
                question()
            assert caught.value.sqlstate == "42501"


def test_a_granted_role_cannot_replace_or_disarm_anything(granted, applied):
    connection = granted.database.connection
    for statement in (
        "ALTER TABLE migration_events DISABLE TRIGGER ALL", "DROP FUNCTION can_rollback_migration(text)", "SET session_replication_role = replica", "DROP TABLE migration_events",
        "UPDATE migration_events SET reason = 'x'", "DELETE FROM migration_events", "TRUNCATE migration_events",
    ):  # fmt: skip
        with pytest.raises(psycopg.Error):
            connection.execute(statement)


def test_a_granted_roles_temporary_table_does_not_stand_in_for_ours(granted, applied, session):
    applied("001_base", "SELECT 1;", "SELECT 1;")
    applied("002_dependent", "SELECT 1;", "SELECT 1;", depends_on=["001_base"])
    connection = granted.database.connection
    connection.execute(
        "CREATE TEMP TABLE migration_dependencies (migration_name text, depends_on text); CREATE TEMP TABLE migration_history (LIKE public.migration_history INCLUDING ALL)"
    )
    assert granted.check("001_base").dependent_migrations == ("002_dependent",)
