"""Nobody but the owner, and whom the owner grants, may read or call anything of the system."""

import io
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from watching import exists, value

import migrollback_nb as mr
from migrollback_nb.cli.terminal import show
from migrollback_nb.database.installation import installation_sql

pytestmark = pytest.mark.versions

ROLES = "DO $$ BEGIN IF to_regrole('{0}') IS NULL THEN CREATE ROLE {0} LOGIN; END IF; END $$;"
OPEN = """
SELECT o.what, coalesce(r.rolname, 'PUBLIC'), a.privilege_type FROM (
    SELECT c.oid::regclass::text, c.relacl, 'r'::"char",
      c.relowner FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'S',
      'p')
    UNION ALL SELECT p.oid::regprocedure::text, p.proacl, 'f',
      p.proowner FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL SELECT a.attrelid::regclass || '.' || a.attname, a.attacl, 'c',
      c.relowner FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
) AS o (what, acl, kind, owner) CROSS JOIN LATERAL aclexplode(coalesce(o.acl, acldefault(o.kind,
  o.owner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE a.grantee = 0 OR r.rolname IN ('anon', 'authenticated', 'service_role')
"""
STAND_IN = (Path(mr.__file__).parent / "files/stand_ins/supabase/schema.sql").read_text(encoding="utf-8")
#: As Supabase sets it up.
DEFAULT_PRIVILEGES = "\n".join(
    [line for line in STAND_IN.splitlines() if line.startswith("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL")]
    + ["GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;"]
)


def as_role(dsn, role):
    return psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=role), autocommit=True)


@pytest.fixture
def world(server):
    """The roles under which Supabase serves the world, and two ordinary ones."""
    for role in ("anon", "authenticated", "service_role", "operator_granted", "stranger"):
        server.execute(ROLES.format(role))
    server.execute(
        "ALTER ROLE anon NOINHERIT; ALTER ROLE authenticated NOINHERIT; ALTER ROLE service_role NOINHERIT BYPASSRLS"
    )


@contextmanager
def without_supabase_roles(server):
    """Roles are the whole server's: meanwhile those of other tests have other names."""
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        renamed = [
            name
            for (name,) in admin.execute(
                "SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role')"
            )
        ]
        for name in renamed:
            admin.execute(f"ALTER ROLE {name} RENAME TO {name}_elsewhere")
        try:
            yield
        finally:
            for name in renamed:
                admin.execute(f"ALTER ROLE {name}_elsewhere RENAME TO {name}")


def protected(connection):
    """Whether row security is on for the system's tables."""
    answers = connection.execute(
        "SELECT DISTINCT relrowsecurity FROM pg_class WHERE relname LIKE 'migration\\_%' AND relkind = 'r'"
    ).fetchall()
    assert len(answers) == 1
    return answers[0][0]


@pytest.mark.usefixtures("world")
def test_public_and_supabases_roles_may_nothing(session):
    assert session().execute(OPEN).fetchall() == []


@pytest.mark.long
@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("way", ["install", "print"])
def test_default_privileges_of_supabase_open_nothing(empty_dsn, way):
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(DEFAULT_PRIVILEGES)
        if way == "print":
            connection.execute(installation_sql("public"))
        else:
            with mr.connect(empty_dsn) as db:
                # 3 roles and all tables and functions; PUBLIC has none of its own on a new table
                assert db.install().rights_closed == 3 * value(
                    connection, "SELECT cardinality(tables) + cardinality(routines) FROM migration_system_objects()"
                )
                assert db.install().rights_closed == 0
        assert connection.execute(OPEN).fetchall() == []
        connection.execute("SET ROLE service_role")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE migration_history SET rollback_sql = 'DROP TABLE customers'")


@pytest.mark.long
@pytest.mark.usefixtures("world")
def test_default_privileges_of_others_leave_them_no_more_than_reading(empty_dsn):
    # a backup reads by them; an application could rewrite the rollback SQL that a DBA then runs
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO operator_granted WITH GRANT"
            " OPTION"
        )
        connection.execute(
            "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO operator_granted; ALTER DEFAULT PRIVILEGES GRANT"
            " ALL ON TABLES TO PUBLIC"
        )
        with mr.connect(empty_dsn) as db:
            assert db.install().rights_closed > 0
            rights = "SELECT DISTINCT g.kind, g.privilege FROM migration_grants() g WHERE g.grantee <> g.owner"
            assert connection.execute(rights).fetchall() == [("table", "SELECT")]
            connection.execute("GRANT UPDATE ON migration_history TO operator_granted")  # this is meant
            assert db.install().rights_closed == 0
        assert value(connection, "SELECT has_table_privilege('operator_granted', 'migration_history', 'UPDATE')")


@pytest.mark.few(3)
@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    "reopen",
    [
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC, anon",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO authenticated",
        "GRANT SELECT (rollback_sql, notes) ON migration_history TO PUBLIC",
        "GRANT SELECT (migration_name) ON migration_events TO anon",
        "GRANT SELECT ON migration_history TO anon WITH GRANT OPTION",
        "GRANT TRUNCATE ON migration_snapshots TO anon",
        "GRANT UPDATE ON migration_history TO service_role",
        "GRANT UPDATE (rollback_sql) ON migration_history TO service_role WITH GRANT OPTION",
        # given by another than the owner, or passed on
        (
            "GRANT SELECT ON migration_history TO operator_granted WITH GRANT OPTION; SET ROLE operator_granted; GRANT"
            " SELECT ON migration_history TO service_role; RESET ROLE"
        ),
        (
            "GRANT UPDATE (rollback_sql) ON migration_history TO operator_granted WITH GRANT OPTION; SET ROLE"
            " operator_granted; GRANT UPDATE (rollback_sql) ON migration_history TO anon; RESET ROLE"
        ),
        (
            "GRANT SELECT ON migration_events TO operator_granted WITH GRANT OPTION; SET ROLE operator_granted; GRANT"
            " SELECT ON migration_events TO stranger WITH GRANT OPTION; SET ROLE stranger; GRANT SELECT ON"
            " migration_events TO PUBLIC; RESET ROLE"
        ),
        (
            "GRANT EXECUTE ON FUNCTION lock_migrations() TO service_role WITH GRANT OPTION; SET ROLE service_role;"
            " GRANT EXECUTE ON FUNCTION lock_migrations() TO stranger; RESET ROLE"
        ),
        DEFAULT_PRIVILEGES
        + "DROP FUNCTION is_transient_error(text) CASCADE; CREATE FUNCTION is_transient_error(sqlstate_code text)"
        " RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    ],
)
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
def test_closing_leaves_to_others_what_they_have(db, session):
    connection = session()
    connection.execute(
        "GRANT SELECT, UPDATE ON migration_history TO operator_granted WITH GRANT OPTION; SET ROLE operator_granted;"
        " GRANT UPDATE ON migration_history TO service_role"
    )
    connection.execute("RESET ROLE")
    assert db.install().rights_closed == 1
    may = (
        "SELECT has_table_privilege('operator_granted', 'migration_history', n) FROM unnest('{SELECT,UPDATE,UPDATE WITH"
        " GRANT OPTION}'::text[]) AS n"
    )
    assert connection.execute(may).fetchall() == [(True,), (True,), (False,)]  # it passes no more on


@pytest.mark.long
@pytest.mark.usefixtures("world")
def test_what_cannot_be_closed_is_said(db, session, database_dsn):
    connection = session()
    connection.execute("GRANT ALL ON migration_history TO operator_granted; GRANT operator_granted TO service_role")
    try:
        said = [text for text in db.install().warnings if "belongs to" in text]
        assert said == [
            "service_role belongs to operator_granted, whose rights on the system's tables it can use: REVOKE"
            " operator_granted FROM service_role, unless that is meant"
        ]
    finally:
        connection.execute("REVOKE operator_granted FROM service_role")
    assert not any("belongs to" in text for text in db.install().warnings)
    connection.execute(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO operator_granted; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public"
        " TO operator_granted"
    )
    connection.execute(
        "GRANT SELECT ON migration_history, migration_events TO service_role; ALTER TABLE migration_events DISABLE ROW"
        " LEVEL SECURITY"
    )
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="operator_granted")) as other:
        result = other.install()
    assert result.rights_closed == 0
    assert any(
        "2 of the system's tables and functions are still open to service_role: only their owner, postgres," in text
        for text in result.warnings
    )
    assert any(
        "Row security of the system's tables is to be turned on, and only their owner, postgres," in text
        for text in result.warnings
    )


@pytest.mark.few(2)
@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "stranger"])
def test_an_ungranted_role_cannot_even_read(applied, database_dsn, role, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    functions = [
        name
        for (name,) in session().execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
        )
    ]
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
            "can_rollback_migration('001_t')",
            "execute_migration_rollback('001_t')",
            "execute_migration_rollback('001_t', true)",
            "list_rollbackable_migrations()",
            "create_migration_snapshot('x')",
            "schema_objects()",
            "verify_migration_events()",
            "register_migration('002_x', '2')",
            "add_migration_event('applied', 'x')",
            "lock_migrations()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {call}")
    open_to_role = (
        session()
        .execute("SELECT n FROM unnest(%s::text[]) n WHERE has_function_privilege(%s, n, 'EXECUTE')", (functions, role))
        .fetchall()
    )
    assert open_to_role == []
    assert exists(session(), "t")


@pytest.mark.usefixtures("world")
def test_anon_sees_no_row_whatever_is_granted_to_it_later(applied, database_dsn, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    session().execute("SELECT set_migration_row_security(); GRANT ALL ON ALL TABLES IN SCHEMA public TO anon")
    with as_role(database_dsn, "anon") as connection:
        assert value(connection, "SELECT count(*) FROM migration_history") == 0
        assert value(connection, "SELECT count(*) FROM migration_events") == 0


def test_row_security_is_on_only_where_supabases_roles_are(server, world, empty_dsn):
    with mr.connect(empty_dsn) as db, psycopg.connect(empty_dsn, autocommit=True) as connection:
        with without_supabase_roles(server):
            assert db.install().warnings == ()
            assert not protected(connection)
            assert db.install().warnings == ()
        (said,) = db.install().warnings  # the roles came later
        assert said.startswith(
            "Row security was turned on for the system's tables, because Supabase's roles exist here (anon,"
            " authenticated, service_role)."
        )
        assert protected(connection)
        (said,) = db.install().warnings
        assert said.startswith("Row security is on ")
        shown = io.StringIO()
        show(db.install(), out=io.StringIO(), err=shown)
        assert (
            "BYPASSRLS, or pg_dump -T 'public.migration_(archived_tables|archives|dependencies|dependency_searches"
            "|destroyed_values|dismissed_dependencies|event_gate|events|gate|history|objects|policies|proofs|scope_members|scopes|snapshots|states"
            "|system_files)'" in shown.getvalue()
        )
        with without_supabase_roles(server):
            (said,) = db.install().warnings
            assert said.startswith("Row security was turned off")
            assert not protected(connection)
            connection.execute("CREATE POLICY theirs ON migration_events USING (true)")
            for table in ("migration_events", "migration_history"):
                connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            (said,) = db.install().warnings
            assert (
                said
                == "Row security was left as it is for public.migration_events, which has policies that are not ours"
            )
            assert connection.execute(
                "SELECT relname FROM pg_class WHERE relrowsecurity AND relkind = 'r'"
            ).fetchall() == [("migration_events",)]


@pytest.mark.long
@pytest.mark.parametrize("schema", ["public", 'It\'s "Ours"'])
def test_a_role_that_only_reads_can_back_the_database_up(server, world, empty_dsn, schema):
    for role in ("backup_reader", "backup_by_default"):
        server.execute(ROLES.format(role))
    server.execute("GRANT pg_read_all_data TO backup_reader")

    def dump(role, *options):
        command = [server.bin / "pg_dump", "-d", psycopg.conninfo.make_conninfo(empty_dsn, user=role), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with (
        without_supabase_roles(server),
        mr.connect(empty_dsn, schema=schema) as db,
        psycopg.connect(empty_dsn, autocommit=True) as connection,
    ):
        connection.execute("CREATE TABLE theirs (a int); GRANT SELECT ON theirs TO backup_by_default")
        connection.execute(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO backup_by_default; ALTER DEFAULT PRIVILEGES GRANT USAGE"
            " ON SCHEMAS TO backup_by_default"
        )
        db.install()
        for role in ("backup_reader", "backup_by_default"):
            done = dump(role)
            assert (done.returncode, done.stderr) == (0, "")
            assert "20250120_migration_rollback_system" in done.stdout
        # grants alone keep strangers out
        with as_role(empty_dsn, "stranger") as stranger, pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute(
                psycopg.sql.SQL("SELECT FROM {}").format(psycopg.sql.Identifier(schema, "migration_history"))
            )

    with mr.connect(empty_dsn, schema=schema) as db, psycopg.connect(empty_dsn, autocommit=True) as connection:
        (said,) = db.install().warnings
        done = dump("backup_reader")
        assert done.returncode == 1
        assert "query would be affected by row-level security policy" in done.stderr
        assert '"query would be affected by row-level security policy"' in said
        # the two ways that it names
        shell = (
            f"{server.bin / 'pg_dump'} -d"
            f" {subprocess.list2cmdline([psycopg.conninfo.make_conninfo(empty_dsn, user='backup_reader')])} -T "
            + said.partition(" -T ")[2]
        )
        done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "CREATE TABLE public.theirs" in done.stdout
        assert "TABLE DATA" not in done.stdout.replace("Data for Name: theirs; Type: TABLE DATA", "")
        connection.execute("ALTER ROLE backup_reader BYPASSRLS")
        try:
            assert dump("backup_reader").returncode == 0
        finally:
            connection.execute("ALTER ROLE backup_reader NOBYPASSRLS")


@pytest.fixture
def granted(world, session, database_dsn, folder):
    session().execute(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO operator_granted; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public"
        " TO operator_granted; GRANT CREATE ON SCHEMA public TO operator_granted"
    )
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="operator_granted"), dir=folder) as migrations:
        yield migrations


@pytest.mark.each_server
def test_an_ordinary_granted_role_can_use_all_of_it(granted, write_migration, session):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    write_migration(
        "002_u",
        "-- Depends on: 001_t\nCREATE TABLE u (a int); CREATE INDEX i ON u (a);\n-- ROLLBACK START\nDROP TABLE u;\n--"
        " ROLLBACK END",
    )
    write_migration(
        "003_v",
        "CREATE TABLE v (a int); CREATE INDEX j ON v (a);\n-- ROLLBACK START transaction:false\nDROP INDEX CONCURRENTLY"
        " j;\nDROP TABLE v;\n-- ROLLBACK END",
    )
    assert granted.apply().applied == ("001_t", "002_u", "003_v")
    assert granted.check("002_u").can_rollback
    assert granted.snapshot("002_u")
    assert granted.rollback("001_t", confirm="001_t", chain=True, preview=granted.preview("001_t", chain=True)).success
    assert granted.rollback("003_v", confirm="003_v").success
    assert granted.verify_events().intact
    assert set(granted.events()["actor"]) == {"postgres", "operator_granted"}
    assert granted.install().installed == ()


def test_an_ordinary_owner_can_install_and_use_all_of_it(server, folder, write_migration):
    # as on Supabase, where postgres is no superuser
    server.execute(ROLES.format("plain_owner"))
    name = server.create_database(options="OWNER plain_owner")
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    write_migration(
        "002_v",
        "CREATE TABLE v (a int); CREATE INDEX j ON v (a);\n-- ROLLBACK START transaction:false\nDROP INDEX CONCURRENTLY"
        " j;\nDROP TABLE v;\n-- ROLLBACK END",
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
        "ALTER TABLE migration_events DISABLE TRIGGER ALL",
        "DROP FUNCTION can_rollback_migration(text)",
        "SET session_replication_role = replica",
        "DROP TABLE migration_events",
        "UPDATE migration_events SET reason = 'x'",
        "DELETE FROM migration_events",
        "TRUNCATE migration_events",
    ):
        with pytest.raises(psycopg.Error):
            connection.execute(statement)


def test_a_granted_roles_temporary_table_does_not_stand_in_for_ours(granted, applied, session):
    applied("001_base", "SELECT 1;", "SELECT 1;")
    applied("002_dependent", "SELECT 1;", "SELECT 1;", depends_on=["001_base"])
    connection = granted.database.connection
    connection.execute(
        "CREATE TEMP TABLE migration_dependencies (migration_name text, depends_on text); CREATE TEMP TABLE"
        " migration_history (LIKE public.migration_history INCLUDING ALL)"
    )
    assert granted.check("001_base").dependent_migrations == ("002_dependent",)
