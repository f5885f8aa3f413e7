"""What an operator might try: run other SQL, steer the run, write the log. None of it comes through the gate."""

import uuid

import psycopg
import pytest
from watching import exists, value

CALL = "SELECT success, message FROM public.execute_migration_rollback('001_t', reason => 'INC-1')"


@pytest.fixture
def operator(server, database_dsn, applied, session):
    """A session of an operator of this test's own, who may roll back 001_t."""
    role = f"op_{database_dsn.rpartition('dbname=')[2].split()[0]}".lower()
    server.execute(f"CREATE ROLE {role} LOGIN")
    applied("001_t", "CREATE TABLE t (a int); INSERT INTO t VALUES (1);", "DELETE FROM t WHERE a = 1;\nDROP TABLE t;")
    owner = session()
    owner.execute(f"SELECT public.grant_migration_role('{role}', 'operator')")
    with psycopg.connect(psycopg.conninfo.make_conninfo(database_dsn, user=role), autocommit=True) as connection:
        yield connection
    owner.execute(f"DROP OWNED BY {role} CASCADE")
    for (member_of,) in owner.execute(
        "SELECT m.roleid::regrole::text FROM pg_auth_members m WHERE m.member = to_regrole(%s)", (role,)
    ).fetchall():
        owner.execute(f"REVOKE {member_of} FROM {role}")
    server.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT register_migration('002_x', '002', 'ALTER ROLE op SUPERUSER')",
        "INSERT INTO migration_history (migration_name, migration_version, rollback_sql) VALUES ('x', '1', 'SELECT 1')",
        "UPDATE migration_history SET rollback_sql = 'DROP TABLE customers'",
        "SELECT rollback_sql FROM migration_history",
        "INSERT INTO migration_events (event, occurred_at, database_user, hash) VALUES ('resolved', now(), 'me', 'x')",
        "SELECT add_migration_event('rolled_back', '001_t')",
        "SELECT start_migration_rollback('{001_t}', gen_random_uuid(), target => '{\"user\": \"postgres\"}')",
        "SELECT fail_migration_rollback('001_t', gen_random_uuid(), 'x', 'x', '{\"sqlstate\": \"42P01\"}')",
        "SELECT mark_rolled_back('001_t', gen_random_uuid(), 'x', 'x', '{}')",
        "SELECT resolve_migration('001_t', 'rolled_back', 'x')",
        "SELECT trust_ledger_owner(current_user)",
        "SELECT mark_production_database(false, 'x')",
        "SELECT grant_migration_role(current_user, 'auditor')",
        "SELECT run_migration_sql('{DROP TABLE t}', 'public', 'public')",
        "SELECT execute_migration_rollbacks('{001_t}')",
        'SELECT record_migration_rehearsal(\'{"migrations": ["001_t"], "success": true}\')',
        "SELECT create_migration_snapshot('001_t')",
        "DO $$ BEGIN LOCK TABLE migration_gate; END $$",
        "SELECT lock_migrations()",
        "CREATE OR REPLACE FUNCTION roll_back_through_gate() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION chain_migration_event()",
        "CREATE TRIGGER x BEFORE DELETE ON t EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ],
)
def test_what_forges_is_no_right_of_an_operator(operator, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        operator.execute(statement)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("CREATE TEMP TABLE t (a int)", "holds temporary objects"),
        ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "holds temporary objects"),
        ("CREATE TYPE pg_temp.x AS ENUM ('a')", "holds temporary objects"),
    ],
)
def test_temporary_objects_are_refused_and_then_it_runs(operator, session, before, said):
    operator.execute(before)
    success, message = operator.execute(CALL).fetchone()
    assert not success
    assert said in message
    assert exists(session(), "t")
    told = "SELECT count(*) FROM migration_events WHERE event = 'refused' AND database_user = %s"
    assert value(session(), told, operator.info.user) == 1
    with pytest.raises(psycopg.errors.Error) as caught:
        operator.execute("SELECT preview_through_gate('{001_t}')")
    assert caught.value.sqlstate == "MR030"
    operator.execute("DISCARD TEMP")
    assert operator.execute(CALL).fetchone()[0]


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ("GRANT CREATE ON SCHEMA public TO {role}", "may create objects in schema public"),
        ("GRANT CREATE ON DATABASE {database} TO {role}", "may create schemas in this database"),
        ("CREATE SCHEMA theirs AUTHORIZATION {role}", "owns what could run with the rights of postgres"),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f() OWNER TO {role}",
            "owns what could run with the rights of postgres",
        ),
    ],
)
def test_who_can_plant_what_would_run_as_the_owner_is_refused(operator, session, right, said):
    session().execute(right.format(role=operator.info.user, database=operator.info.dbname))
    success, message = operator.execute(CALL).fetchone()
    assert not success
    assert said in message
    assert exists(session(), "t")


def test_what_a_group_of_the_person_owns_counts_too(server, operator, session):
    group = f"{operator.info.user}_group"
    server.execute(f"CREATE ROLE {group}; GRANT {group} TO {operator.info.user}")
    try:
        session().execute(f"CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO {group}")
        assert "owns what could run" in operator.execute(CALL).fetchone()[1]
    finally:
        session().execute(f"DROP OWNED BY {group}")
        server.execute(f"DROP ROLE {group}")


def test_a_deferred_trigger_that_was_queued_before_never_runs_as_the_owner(operator, session):
    # its owner would have to own the function
    session().execute(
        f"GRANT CREATE ON SCHEMA public TO {operator.info.user}; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC"
    )
    operator.execute(
        "CREATE TABLE mine (a int); CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN EXECUTE format(''ALTER ROLE %I SUPERUSER'', session_user); RETURN NULL; END';"
        " CREATE CONSTRAINT TRIGGER c AFTER INSERT ON mine DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION mine()"
    )
    session().execute(f"REVOKE CREATE ON SCHEMA public FROM {operator.info.user}")
    operator.execute("BEGIN; INSERT INTO mine VALUES (1)")
    assert not operator.execute(CALL).fetchone()[0]
    operator.execute("ROLLBACK")
    assert not value(session(), "SELECT rolsuper FROM pg_roles WHERE rolname = %s", operator.info.user)


def test_settings_do_not_steer(operator, session):
    session().execute(
        "UPDATE migration_history SET rollback_sql = $$DELETE FROM t WHERE a = 1 AND '\\' = '\\'; DROP TABLE t$$,"
        " metadata = metadata - 'rollback' WHERE migration_name = '001_t'"
    )
    for setting, wanted in {
        "standard_conforming_strings": "off",
        "transform_null_equals": "on",
        "migrollback.rehearsal": "1",
        "migrollback.recording": "1",
        "migrollback.rethrow": "on",
        "migrollback.exclude_schemas": "{public}",
        "migrollback.deploy_ledger": "public.t",
        "search_path": "pg_temp, public",
        "datestyle": "German",
    }.items():
        operator.execute("SELECT set_config(%s, %s, false)", (setting, wanted))
    assert operator.execute(CALL).fetchone() == (True, "Migration rolled back successfully")
    assert not exists(session(), "t")
    assert value(operator, "SHOW standard_conforming_strings") == "off", "the person's own is as it was"
    assert value(operator, "SHOW datestyle") == "German, DMY"
    assert value(operator, "SHOW search_path") == "pg_temp, public"
    assert value(operator, "SHOW migrollback.rehearsal") == "1"


def test_arguments_do_not_steer(operator, session):
    session().execute(
        "UPDATE migration_history SET rollback_sql = 'SET search_path = public; SET work_mem = ''1MB''; DROP TABLE t',"
        " metadata = metadata - 'rollback' WHERE migration_name = '001_t'"
    )
    found = operator.execute(
        "SELECT success FROM public.execute_migration_rollback('001_t', otherwise_path => 'pg_temp', client => %s,"
        ' session_path => \'pg_temp\', session_settings => \'{"work_mem": "64MB", "session_replication_role":'
        ' "replica"}\')',
        ("postgres\n\x1b[31m" + "x" * 500,),
    )
    assert found.fetchone() == (True,)
    assert value(operator, "SHOW session_replication_role") == "origin"
    assert value(operator, "SHOW work_mem") != "64MB"
    client, user = (
        session().execute("SELECT client, database_user FROM migration_events WHERE event = 'rolled_back'").fetchone()
    )
    assert (len(client), user) == (200, operator.info.user)
    assert "\x1b" not in client


def test_another_persons_attempt_is_not_taken_over(operator, session):
    attempt = str(uuid.uuid4())
    session().execute("SELECT start_migration_rollback('{001_t}', %s)", (attempt,))
    for call in (
        f"SELECT * FROM roll_back_through_gate('{{001_t}}', attempt_id => '{attempt}')",
        f"SELECT start_through_gate('{{001_t}}', '{attempt}')",
        f"SELECT * FROM attempt_through_gate('{attempt}')",
        f"SELECT lost_through_gate('{attempt}')",
    ):
        with pytest.raises(psycopg.Error) as caught:
            operator.execute(call)
        assert caught.value.sqlstate == "MR030"
    assert operator.execute("SELECT lost_through_gate(gen_random_uuid())").fetchone() == (None,)


@pytest.mark.parametrize(
    "block",
    ["SET ROLE pg_monitor", "RESET ROLE", "SET SESSION AUTHORIZATION postgres", "SET LOCAL ROLE pg_monitor"],
)
def test_sql_that_sets_a_role_is_refused_beforehand(operator, applied, session, block):
    applied("002_r", "SELECT 1;", f"{block};\nDROP TABLE t;")
    success, message = operator.execute(CALL.replace("001_t", "002_r")).fetchone()
    assert not success
    assert "sets a role" in message
    assert exists(session(), "t")


def test_sql_that_hides_it_is_refused_by_postgresql_and_may_be_run_by_its_owner(operator, applied, session):
    hides = "CREATE FUNCTION hides() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET ' || 'ROLE x'; END $$;"
    applied("002_r", hides, "SELECT hides();\nDROP TABLE t;")
    success, message = operator.execute(CALL.replace("001_t", "002_r")).fetchone()
    assert not success
    assert "within security-definer function" in message
    assert exists(session(), "t")
    assert value(session(), "SELECT status FROM migration_history WHERE migration_name = '002_r'") == "applied"


def test_what_runs_outside_a_transaction_is_refused(operator, applied, session):
    applied("002_i", "CREATE INDEX i ON t (a);", "DROP INDEX CONCURRENTLY i;", options=" transaction:false")
    success, message = operator.execute(CALL.replace("001_t", "002_i")).fetchone()
    assert not success
    assert "outside a transaction" in message


def test_no_value_of_a_row_comes_out_of_a_failure(operator, applied, session):
    applied("002_v", "CREATE TABLE secrets (a text UNIQUE); INSERT INTO secrets VALUES ('s3cret');", None)
    for number, sql in enumerate(
        ("INSERT INTO secrets SELECT a FROM secrets;", "ALTER TABLE secrets ALTER a TYPE int USING a::int;"), 3
    ):
        applied(f"00{number}_f", "SELECT 1;", sql)
        rehearsed = value(operator, f"SELECT rehearse_through_gate('{{00{number}_f}}')")
        success, message = operator.execute(CALL.replace("001_t", f"00{number}_f")).fetchone()
        assert not success
        assert "s3cret" not in f"{rehearsed}{message}"
        kept = "SELECT details::text FROM migration_events WHERE event = 'failed' AND migration_name = %s"
        assert "s3cret" in value(session(), kept, f"00{number}_f"), "the audit log has it"


def test_pg_temp_stays_last_after_a_set_of_the_sql(db, applied, session):
    # the owner's own call: there the session may hold temporary tables
    session().execute("CREATE SCHEMA apart")
    applied("001_t", "CREATE TABLE apart.t ();", "SET search_path = apart;\nDROP TABLE t;")
    db.database.connection.execute("CREATE TEMP TABLE t ()")
    assert db.rollback("001_t", confirm="001_t").success
    assert not value(session(), "SELECT to_regclass('apart.t') IS NOT NULL")
    assert value(db.database.connection, "SELECT to_regclass('pg_temp.t') IS NOT NULL")
