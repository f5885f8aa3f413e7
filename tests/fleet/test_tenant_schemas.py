"""Tenants in schemas of one database: each installation sees its own, and tells what is done outside of it."""

from __future__ import annotations

import io
import json

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb import cli

NAME = "002_users_plan"
TENANTS = ("tenant_a", "tenant_b", 'tenant "c"')


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "001_users.sql").write_text(
        "CREATE TABLE users (id int PRIMARY KEY, mood public.mood);\n"
        "CREATE VIEW ids AS SELECT u.id, s.name FROM users u JOIN public.shared s ON s.id = u.id;\n"
        "-- ROLLBACK START\nDROP VIEW ids; DROP TABLE users;\n-- ROLLBACK END\n"
    )
    (folder / f"{NAME}.sql").write_text(
        "-- Depends on: 001_users\nALTER TABLE users ADD plan text;\n"
        "-- ROLLBACK START\nALTER TABLE users DROP COLUMN plan;\n-- ROLLBACK END\n"
    )
    return folder


@pytest.fixture(scope="module")
def tenants_template(server, folder):
    """A database with three tenants, each with two migrations, and what they share."""
    name = server.create_database()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(
            "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE shared (id int PRIMARY KEY, name text);"
            " CREATE TABLE apart (id int PRIMARY KEY, note text);"
            " CREATE FUNCTION helper() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SCHEMA elsewhere"
        )
        for tenant in TENANTS:
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(tenant)))
    for tenant in TENANTS:
        with mr.connect(server.dsn(name), scope=tenant, dir=folder) as db:
            assert db.install().scope == (tenant,)
            db.apply()
    yield name
    server.drop_database(name)


@pytest.fixture
def tenants(server, tenants_template):
    name = server.create_database(template=tenants_template)
    yield server.dsn(name)
    server.drop_database(name)


def connect(dsn, folder, tenant="tenant_a"):
    return mr.connect(dsn, scope=tenant, dir=folder)


def execute(dsn, statement):
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def rewritten(db, sql, name=NAME):
    """Register the migration again with another rollback SQL."""
    db.database.connection.execute(
        "UPDATE migration_history SET rollback_sql = %s, metadata = metadata - 'rollback' WHERE migration_name = %s",
        (sql, name),
    )


def problems(db):
    """What doctor finds wrong; the servers of tests run without fsync, and other tests make Supabase's roles."""
    return [found for found in db.doctor().problems if found.finding not in ("durability", "row security")]


def described(changes):
    return {(change.change, change.kind, change.identity) for change in changes.changes}


def test_a_snapshot_holds_the_scope_and_what_it_depends_on(tenants, folder):
    with connect(tenants, folder) as db:
        found = {(row["kind"], row["identity"]) for row in db.database.lookups.schema_objects()}
    assert {
        ("schema", "tenant_a"),
        ("table", "tenant_a.users"),
        ("column", "tenant_a.users.plan"),
        ("view", "tenant_a.ids"),
        ("enum", "public.mood"),
        ("table", "public.shared"),
        ("column", "public.shared.name"),
        ("constraint", "public.shared shared_pkey"),
    } <= found
    assert not [one for one in found if "tenant_b" in one[1] or "apart" in one[1] or "helper" in one[1]]
    assert not [one for one in found if one == ("schema", "public")]


@pytest.mark.versions
def test_a_rollback_is_verified_and_leaves_others_alone(tenants, folder):
    with connect(tenants, folder) as db, connect(tenants, folder, 'tenant "c"') as other:
        preview = other.preview(NAME)
        result = db.rollback(NAME, confirm=NAME)
        assert result.verification.verdict == "restored"
        assert described(result.verification.changes) == {("dropped", "column", "tenant_a.users.plan")}
        # what one tenant does is no change of another's schema
        assert other.rollback(NAME, confirm=NAME, preview=preview.fingerprint).verification.verdict == "restored"


def test_what_it_depends_on_is_part_of_its_fingerprint(tenants, folder):
    with connect(tenants, folder) as db:
        preview = db.preview(NAME)
        execute(tenants, "ALTER TABLE public.apart ADD more int; CREATE TABLE elsewhere.t (a int)")
        assert db.preview(NAME).fingerprint == preview.fingerprint
        execute(tenants, "ALTER TABLE public.shared ADD more int")
        with pytest.raises(mr.Refused, match="schema has changed"):
            db.rollback(NAME, confirm=NAME, preview=preview.fingerprint)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("sql", "outside"),
    [
        ("DROP TABLE public.apart", ("dropped", "relation", "oid")),
        ("ALTER TABLE public.apart ADD more int", ("created", "column", "public.apart.more")),
        ("ALTER TABLE public.apart DROP COLUMN note", ("dropped", "column", "public.apart column 2")),
        ("ALTER TABLE tenant_b.users DROP COLUMN plan", ("dropped", "column", "tenant_b.users column 3")),
        ("DROP FUNCTION public.helper()", ("dropped", "routine", "oid")),
        (
            "CREATE OR REPLACE FUNCTION public.helper() RETURNS int LANGUAGE sql AS 'SELECT 2'",
            ("changed", "function", "public.helper()"),
        ),
        ("DROP SCHEMA elsewhere", ("dropped", "schema", "oid")),
        ("CREATE TABLE elsewhere.made (a int)", ("created", "table", "elsewhere.made")),
        ("GRANT SELECT ON public.apart TO pg_monitor", ("changed", "table", "public.apart")),
        ("COMMENT ON TABLE public.apart IS 'x'", ("created", "comment", "table public.apart")),
        ("ALTER TABLE public.apart DROP CONSTRAINT apart_pkey", ("dropped", "relation", "oid")),
        ("CREATE INDEX ON public.apart (note)", ("created", "index", "public.apart_note_idx")),
        # known to the snapshots, and so with its definition
        ("ALTER TABLE public.shared DROP COLUMN name CASCADE", ("dropped", "column", "public.shared.name")),
    ],
)
def test_what_it_does_outside_is_told(tenants, folder, sql, outside):
    with connect(tenants, folder) as db:
        rewritten(db, f"ALTER TABLE users DROP COLUMN plan; {sql}")
        rehearsal = db.rehearse(NAME)
        found = db.rollback(NAME, confirm=NAME).verification
    assert found.verdict == "differs"
    change, kind, begins = outside
    told = described(found.unexpected)
    assert [one for one in told if one[:2] == (change, kind) and one[2].startswith(begins)], told
    if "shared" not in sql:
        assert not [effect for effect in rehearsal.effects if "oid" in effect.identity]
        assert {"takes_other", "leaves_behind"} & {effect.effect for effect in rehearsal.effects}


def test_nothing_outside_is_told_where_nothing_is_done_there(tenants, folder):
    sql = (
        "ALTER TABLE users DROP COLUMN plan; CREATE TABLE new (a serial PRIMARY KEY, b public.mood,"
        " c int REFERENCES users); CREATE INDEX ON new (c); COMMENT ON TABLE new IS 'x'; COMMENT ON CONSTRAINT new_pkey"
        " ON new IS 'y'; CREATE TYPE pair AS (a int, b int); CREATE TYPE span AS RANGE (subtype = int);"
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
        " CREATE TRIGGER g BEFORE INSERT ON users EXECUTE FUNCTION f(); ALTER TABLE users ENABLE ROW LEVEL SECURITY;"
        " CREATE POLICY p ON users USING (true); GRANT SELECT ON users TO pg_monitor; DROP TYPE span; DROP TABLE new;"
        " CREATE TEMP TABLE mine (a int); DROP VIEW ids; CREATE SEQUENCE own OWNED BY users.id"
    )
    with connect(tenants, folder) as db:
        rewritten(db, sql)
        db.rollback(NAME, confirm=NAME)
        details = execute(tenants, "SELECT details FROM public.migration_events_of_scopes WHERE event = 'rolled_back'")
    assert details[0][0]["outside"] == []


def test_what_a_migration_made_outside_comes_back(tenants, folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "003_apart.sql").write_text(
        "CREATE TABLE elsewhere.own (a int); ALTER TABLE public.apart ADD more int;\n"
        "CREATE OR REPLACE FUNCTION public.helper() RETURNS int LANGUAGE sql AS 'SELECT 2';\n"
        "-- ROLLBACK START\nDROP TABLE elsewhere.own; ALTER TABLE public.apart DROP COLUMN more;\n"
        "CREATE OR REPLACE FUNCTION public.helper() RETURNS int LANGUAGE sql AS 'SELECT 1';\n-- ROLLBACK END\n"
    )
    with connect(tenants, tmp_path) as db:
        db.apply()
        found = db.rollback("003_apart", confirm="003_apart").verification
    # of the table and the function that were there, the snapshot from before knows nothing
    assert found.verdict == "schema_restored", found.message
    assert "not compared: 2 definitions outside of the scope" in found.message


def test_what_nothing_depends_on_any_more_is_not_dropped(tenants, folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "003_refers.sql").write_text(
        "ALTER TABLE users ADD apart int REFERENCES public.apart;\n"
        "-- ROLLBACK START\nALTER TABLE users DROP COLUMN apart;\n-- ROLLBACK END\n"
    )
    with connect(tenants, tmp_path) as db:
        db.apply()
        rehearsal = db.rehearse("003_refers")
        found = db.rollback("003_refers", confirm="003_refers").verification
    assert "public.apart" not in {effect.identity for effect in rehearsal.effects if effect.effect != "locks"}
    assert found.verdict == "restored", found.message
    assert "not compared" not in found.message
    assert not [one for one in described(found.changes) if one[2].startswith("public.")]


def test_outside_a_transaction_it_is_not_known(tenants, folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "003_index.sql").write_text(
        "CREATE INDEX i ON users (plan);\n"
        "-- ROLLBACK START transaction:false\nDROP INDEX CONCURRENTLY i;\n-- ROLLBACK END\n"
    )
    with connect(tenants, tmp_path) as db:
        db.apply()
        found = db.rollback("003_index", confirm="003_index").verification
    assert found.verdict == "schema_restored", found.message
    assert "not known: what it did outside of the scope" in found.message


def test_a_chain_says_of_each_what_it_did_outside(tenants, folder):
    with connect(tenants, folder) as db:
        rewritten(db, "ALTER TABLE users DROP COLUMN plan; DROP TABLE public.apart")
        db.rollback("001_users", chain=True, confirm="001_users")
        told = dict(
            execute(
                tenants,
                "SELECT migration_name, jsonb_array_length(details -> 'outside') FROM public.migration_events_of_scopes"
                " WHERE event = 'rolled_back'",
            )
        )
    # the table, its index, its TOAST table and that one's index
    assert told == {NAME: 4, "001_users": 0}


def test_a_scope_is_added_once(tenants, folder):
    with connect(tenants, folder) as db:
        assert db.install().scope == ("tenant_a",)  # repeated: it is there
        assert not db.install().installed
        with pytest.raises(mr.UsageError, match="has other schemas"):
            db.install(scope=["tenant_a", "public"])
    events = execute(
        tenants, "SELECT details -> 'scopes' FROM migration_events WHERE event = 'scope_added' ORDER BY event_number"
    )
    assert events == [([tenant],) for tenant in TENANTS]


def test_a_scope_is_added_for_schemas_that_are_there(tenants, folder):
    execute(tenants, "CREATE SCHEMA fresh; CREATE SCHEMA fresh_files")
    with mr.connect(tenants) as db, pytest.raises(mr.UsageError, match="no schema missing"):
        db.install(scope=["missing"])
    with pytest.raises(mr.UsageError, match="connection and a scope"), psycopg.connect(tenants, autocommit=True) as own:
        mr.connect(connection=own, scope="fresh")
    with connect(tenants, folder, "fresh") as db:
        with pytest.raises(mr.NotInstalled, match="no scope fresh") as refused:
            db.list()
        assert "install --scope fresh" in str(refused.value)
        assert db.install(scope=["fresh", "fresh_files"]).scope == ("fresh", "fresh_files")
        db.apply()
        assert [row.migration_name for row in db.list().itertuples()][:2] == [NAME, "001_users"]


def test_each_history_is_its_own(tenants, folder):
    with connect(tenants, folder) as db, connect(tenants, folder, "tenant_b") as other, mr.connect(tenants) as whole:
        db.rollback(NAME, confirm=NAME)
        status = {one: dict(one.history()[["migration_name", "status"]].values) for one in (db, other, whole)}
        assert (status[db][NAME], status[other][NAME], NAME in status[whole]) == ("rolled_back", "applied", False)
        assert list(db.events()["event"]).count("rolled_back") == 1
        assert list(other.events()["event"]).count("rolled_back") == 0
        for one in (db, other, whole):
            assert one.audit().intact, one.audit()
            assert problems(one) == []
    numbers = execute(
        tenants,
        "SELECT scope, min(event_number), max(event_number) - count(*) FROM migration_events_of_scopes GROUP BY scope",
    )
    assert {row[1:] for row in numbers} == {(1, 0)}  # each chain without a gap


def test_scopes_do_not_wait_for_each_other_and_wait_for_the_whole(tenants, folder):
    def lock(connection):
        connection.execute("BEGIN; SET LOCAL lock_timeout = '100ms'; SELECT public.lock_migrations()")

    with (
        psycopg.connect(tenants, autocommit=True, options="-c migrollback.scope=tenant_a") as first,
        psycopg.connect(tenants, autocommit=True, options="-c migrollback.scope=tenant_b") as second,
        psycopg.connect(tenants, autocommit=True, options="-c migrollback.scope=tenant_a") as again,
        psycopg.connect(tenants, autocommit=True) as whole,
        psycopg.connect(tenants, autocommit=True, options="-c migrollback.scope=none") as unknown,
    ):
        lock(first)
        lock(second)
        for waits in (again, whole):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                lock(waits)
            waits.execute("ROLLBACK")
        first.execute("ROLLBACK")
        second.execute("ROLLBACK")
        lock(whole)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            lock(first)
        with pytest.raises(psycopg.Error, match="no scope none") as refused:
            lock(unknown)
        assert refused.value.sqlstate == "MR006"


def test_migrations_are_registered_in_all_scopes_by_one_statement(tenants, folder):
    rows = execute(
        tenants,
        "SELECT * FROM register_migrations_in_scopes(ARRAY['tenant_a', 'tenant_b'],"
        """ '[{"name": "009_more", "version": "009", "depends_on": ["001_users"], "rollback_sql": "SELECT 1"}]')""",
    )
    assert rows == [("tenant_a", "009_more", "registered"), ("tenant_b", "009_more", "registered")]
    with connect(tenants, folder, "tenant_b") as db:
        assert db.check("009_more").can_rollback
    told = execute(
        tenants,
        "SELECT scope, metadata ->> 'search_path' FROM migration_history_of_scopes"
        " WHERE migration_name = '009_more' ORDER BY 1",
    )
    assert told == [("tenant_a", "tenant_a, public"), ("tenant_b", "tenant_b, public")]
    with pytest.raises(psycopg.Error, match="no scope fresh"):
        execute(
            tenants,
            "SELECT * FROM register_migrations_in_scopes(ARRAY['fresh', 'tenant_a'],"
            """ '[{"name": "x", "version": "1"}]')""",
        )


@pytest.mark.versions
def test_a_divided_system_is_installed_again_and_removed(tenants, folder):
    name = "20250120_migration_rollback_system"
    execute(tenants, "COMMENT ON FUNCTION lock_migrations() IS 'x'; UPDATE migration_system_files SET checksum = 'x'")
    with mr.connect(tenants, dir=folder) as db:
        assert not db.install().installed
        assert db.audit().intact
    with connect(tenants, folder) as db:
        assert db.audit().intact
        assert db.check(NAME).can_rollback
        assert not db.check(name).can_rollback  # by a tenant
    with mr.connect(tenants, dir=folder) as db:
        db.rollback(name, confirm=name)
    assert (
        execute(tenants, "SELECT relname FROM pg_class WHERE relname ~ '^migration_' AND relkind IN ('r', 'v')") == []
    )
    assert execute(tenants, "SELECT proname FROM pg_proc WHERE proname ~ 'migration'") == []


def test_the_rights_of_roles_are_those_of_all_scopes(tenants, folder, server):
    with mr.connect(tenants) as db:
        execute(tenants, "CREATE ROLE tenants_auditor LOGIN")
        try:
            db.grant("auditor", "tenants_auditor")
            reader = psycopg.conninfo.make_conninfo(tenants, user="tenants_auditor")
            with connect(reader, folder) as mine:
                assert NAME in set(mine.list()["migration_name"])
                assert mine.check(NAME).can_rollback
                with pytest.raises(mr.MigrollbackError, match="permission denied"):
                    mine.rollback(NAME, confirm=NAME)
            assert problems(db) == []
        finally:
            db.revoke("auditor", "tenants_auditor")
            execute(tenants, "DROP OWNED BY tenants_auditor; DROP ROLE tenants_auditor")


def test_a_fleet_of_the_schemas_of_a_database(tenants, folder):
    one = [{"name": "shop", "dsn": tenants}]
    fleet = mr.Fleet(one, schemas="tenant*", dir=folder)
    assert [target.name for target in fleet.targets] == sorted(TENANTS)
    query = "SELECT nspname AS schema, upper(nspname) AS name, 'eu' AS region FROM pg_namespace WHERE nspname ~ '_a$'"
    (target,) = mr.Fleet(one, schemas=query).targets
    assert (target.name, target.schema, target.labels) == ("TENANT_A", "tenant_a", {"region": "eu"})
    with pytest.raises(mr.UsageError, match="No schema fits"):
        mr.Fleet(one, schemas="nothing*")
    # a plan for all at once holds although each rollback changes the database
    plan = fleet.plan(NAME, waves=(1,))
    result = fleet.rollback(NAME, waves=(1,), preview=plan, confirm=plan.confirm)
    assert result.success, result.message


def test_in_the_terminal(tenants, folder):
    def run(*words):
        out, err = io.StringIO(), io.StringIO()
        code = cli.run([*words, "--dsn", tenants, "--dir", str(folder)], out, err, io.StringIO())
        return code, out.getvalue(), err.getvalue()

    code, out, _ = run("fleet", "status", "--schemas", "tenant*", "--format", "json")
    assert code == 0
    assert [row["target"] for row in json.loads(out)] == sorted(TENANTS)
    assert run("rollback", NAME, "--scope", "tenant_a", "--confirm", NAME)[0] == 0
    code, out, _ = run("install", "--scope", "tenant_b")
    assert code == 0
    assert "A history of its own, of tenant_b" in out
    assert run("fleet", "status", "--scope", "tenant_a")[0] == 2
    code, out, _ = run("fleet", "install", "--schemas", "tenant*")
    assert code == 0
    assert out.count("there already") == len(TENANTS)
    code, out, _ = run("fleet", "register", "001_users", "--schemas", "tenant*", "--format", "json")
    assert code == 0
    assert [row["outcome"] for row in json.loads(out)] == ["unchanged"] * len(TENANTS)
    assert run("fleet", "register", "--schemas", "tenant*")[0] == 2
    code, out, _ = run("install", "--print", "--scope", "tenant_a")
    assert "add_migration_scopes" in out


def test_a_fleet_adds_scopes_and_registers_by_one_statement_a_database(server, empty_dsn, folder):
    """Beside a tenant that has a scope already, one that has none, and a database of its own."""
    execute(empty_dsn, "CREATE SCHEMA t1; CREATE SCHEMA t2; CREATE TYPE mood AS ENUM ('good')")
    own = server.create_database()
    targets = [
        {"name": "one", "dsn": empty_dsn, "schema": "t1"},
        {"name": "other", "dsn": server.dsn(own)},
        {"name": "two", "dsn": empty_dsn, "schema": "t2"},
        {"name": "down", "dsn": "host=127.0.0.1 port=1 dbname=x"},
    ]
    fleet = mr.Fleet(targets, dir=folder)
    assert fleet.status().set_index("target")["status"].to_dict() == {
        "one": "not_installed",
        "other": "not_installed",
        "two": "not_installed",
        "down": "unreachable",
    }
    found = fleet.install().set_index("target")
    assert found["outcome"].fillna("").to_dict() == {"one": "added", "other": "installed", "two": "added", "down": ""}
    assert found["status"].to_dict() == {"one": "done", "other": "done", "two": "done", "down": "unreachable"}
    assert set(fleet.install()["outcome"].dropna()) == {"there already"}
    rows = fleet.register("001_users", NAME)
    assert [tuple(row) for row in rows[["target", "migration_name", "outcome"]].dropna().to_numpy()] == [
        (target, name, "registered") for target in ("one", "other", "two") for name in ("001_users", NAME)
    ]
    assert fleet.status().set_index("target")["applied"].dropna().to_dict() == {"one": 2, "other": 2, "two": 2}
    with pytest.raises(mr.UsageError, match="No migration was named"):
        fleet.register()
    server.drop_database(own)


def test_row_security_holds_behind_the_views(tenants, folder, server):
    roles = ("anon", "authenticated", "service_role")
    missing = [role for role in roles if not execute(tenants, f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'")]
    for role in missing:
        execute(tenants, f"CREATE ROLE {role}")
    try:
        execute(tenants, "CREATE SCHEMA fresh; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon")
        with connect(tenants, folder, "fresh") as db:
            db.install()
        opened = "SELECT count(*) FROM migration_grants() g WHERE g.is_ours_to_close"
        unprotected = (
            "SELECT count(*) FROM migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables)"
            " WHERE c.relkind = 'r' AND NOT c.relrowsecurity"
        )
        assert execute(tenants, f"SELECT ({opened}), ({unprotected})") == [(0, 0)]
        execute(tenants, "GRANT SELECT ON migration_history TO anon")  # by hand, later
        with psycopg.connect(tenants, autocommit=True) as connection:
            connection.execute("SET ROLE anon")
            assert connection.execute("SELECT count(*) FROM migration_history").fetchone() == (0,)
    finally:
        execute(tenants, "ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM anon")
        for role in missing:
            execute(tenants, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.long
def test_a_dozen_tenants_go_in_waves(server, folder, tmp_path):
    name = server.create_database()
    dsn = server.dsn(name)
    execute(dsn, "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TABLE shared (id int PRIMARY KEY, name text)")
    execute(dsn, "DO $$ BEGIN FOR i IN 1..12 LOOP EXECUTE format('CREATE SCHEMA t%s', i); END LOOP; END $$")
    fleet = mr.Fleet([{"name": "shop", "dsn": dsn}], schemas="t*", dir=folder, parallel=4)
    for target in fleet.targets:
        with target.connect(dir=folder) as db:
            db.install()
            db.apply()
    plan = fleet.plan(NAME, waves=(3, 5))
    result = fleet.rollback(NAME, waves=(3, 5), preview=plan, confirm=plan.confirm)
    assert result.success, result.message
    server.drop_database(name)
