"""A deploy ledger is neither read nor written unless everybody is trusted whose code would run with it:
what others plant there would run as the DBA."""

from __future__ import annotations

import io

import psycopg
import pytest
from ledgers import (
    ATLAS,
    ATLAS_TABLE,
    DIESEL,
    FLYWAY,
    GOLANG_MIGRATE,
    GOOSE,
    HASURA,
    HASURA_TABLE,
    LEDGERS,
    LIQUIBASE,
    PLAY,
    POP,
    PRISMA,
    REFINERY,
    SQLX,
    TERN_LEDGER,
    write_files,
)
from watching import events, exists, last_event, value

import migrollback_nb as mr
from migrollback_nb.cli import run

DBMATE = "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)"
DBMATE_FILE = {"{n}_t.sql": "-- migrate:up\n{up}\n-- migrate:down\n{down}"}
SUPABASE = (
    "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY,"
    " statements text[], name text)"
)
SQITCH = (
    "CREATE SCHEMA sqitch; CREATE TABLE sqitch.changes (change_id text PRIMARY KEY, script_hash text, change text NOT"
    " NULL, project text NOT NULL, note text NOT NULL DEFAULT '', committed_at timestamptz NOT NULL DEFAULT now(),"
    " committer_name text NOT NULL, committer_email text NOT NULL, planned_at timestamptz NOT NULL, planner_name text"
    " NOT NULL, planner_email text NOT NULL); CREATE TABLE sqitch.tags (tag_id text PRIMARY KEY, tag text NOT NULL,"
    " change_id text NOT NULL REFERENCES sqitch.changes (change_id)); CREATE TABLE sqitch.dependencies (change_id text"
    " NOT NULL REFERENCES sqitch.changes (change_id) ON DELETE CASCADE, type text NOT NULL, dependency text NOT NULL);"
    " CREATE TABLE sqitch.events (event text NOT NULL, change_id text NOT NULL, change text NOT NULL, project text NOT"
    " NULL, note text NOT NULL DEFAULT '', requires text[] NOT NULL DEFAULT '{}', tags text[] NOT NULL DEFAULT '{}',"
    " committed_at timestamptz NOT NULL DEFAULT clock_timestamp(), committer_name text NOT NULL, committer_email text"
    " NOT NULL, planned_at timestamptz NOT NULL, planner_name text NOT NULL, planner_email text NOT NULL)"
)
BUN = (
    "CREATE TABLE bun_migrations (id bigserial PRIMARY KEY, name varchar, group_id bigint, migrated_at timestamptz NOT"
    " NULL DEFAULT current_timestamp)"
)
YOYO = (
    "CREATE TABLE _yoyo_migration (migration_hash varchar(64) PRIMARY KEY, migration_id varchar(255), applied_at_utc"
    " timestamp)"
)
POSTGRATOR = "CREATE TABLE schemaversion (version bigint PRIMARY KEY, name text, md5 text, run_at timestamptz)"
NODE_PG_MIGRATE = (
    "CREATE TABLE pgmigrations (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL)"
)
MALLORY = "DO $$ BEGIN IF to_regrole('{0}') IS NULL THEN CREATE ROLE {0} LOGIN; END IF; END $$;"
#: Makes whoever writes the table a victim: this role may do all when it has run.
SEIZES = (
    "CREATE FUNCTION {schema}.seizes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE mallory SUPERUSER; IF"
    " TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$; CREATE TRIGGER seizes BEFORE INSERT OR UPDATE OR"
    " DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.seizes();"
)
#: Tool -> (tables that are its ledger, the ledger), one for each line of deploy_tools().
SHAPES = {
    "supabase": [
        (SUPABASE, "supabase_migrations.schema_migrations"),
        (SUPABASE.replace(", name text", ""), "supabase_migrations.schema_migrations"),
    ],
    "dbmate": [(DBMATE, "public.schema_migrations")],
    "goose": [(GOOSE, "public.goose_db_version")],
    "golang-migrate": [
        (GOLANG_MIGRATE, "public.schema_migrations"),
        (SQLX, "public._sqlx_migrations"),
        (BUN, "public.bun_migrations"),
        (POP, "public.schema_migration"),
        (ATLAS, "atlas_schema_revisions.atlas_schema_revisions"),
    ],
    "tern": [(TERN_LEDGER, "public.schema_version")],
    "yoyo": [(YOYO, "public._yoyo_migration")],
    "postgrator": [(POSTGRATOR, "public.schemaversion")],
    "node-pg-migrate": [(NODE_PG_MIGRATE, "public.pgmigrations")],
    "sql-migrate": [(LEDGERS["sql-migrate"][0], "public.gorp_migrations")],
    "MyBatis Migrations": [(LEDGERS["MyBatis Migrations"][0], "public.changelog")],
    "diesel": [(DIESEL, "public.__diesel_schema_migrations")],
    "Flyway": [(FLYWAY, "public.flyway_schema_history"), (REFINERY, "public.refinery_schema_history")],
    "Prisma": [(PRISMA, "public._prisma_migrations")],
    "Sqitch": [(SQITCH, "sqitch.changes")],
    "rambler": [(LEDGERS["rambler"][0], "public.migrations")],
    "Liquibase": [(LIQUIBASE, "public.databasechangelog")],
    "Play": [(PLAY, "public.play_evolutions")],
    "drizzle": [
        (
            "CREATE SCHEMA drizzle; CREATE TABLE drizzle.__drizzle_migrations (id int, hash text, created_at bigint)",
            "drizzle.__drizzle_migrations",
        )
    ],
    "Hasura": [
        (HASURA, "hdb_catalog.hdb_version"),
        (f"CREATE SCHEMA hdb_catalog; {HASURA_TABLE}", "hdb_catalog.schema_migrations"),
    ],
    "db-migrate": [
        ("CREATE TABLE migrations (id serial, name varchar(255) NOT NULL, run_on timestamp)", "public.migrations")
    ],
    "postgres-migrations": [
        (
            "CREATE TABLE migrations (id int PRIMARY KEY, name varchar(100) UNIQUE NOT NULL, hash varchar(40) NOT NULL,"
            " executed_at timestamp DEFAULT current_timestamp)",
            "public.migrations",
        )
    ],
    "graphile-migrate": [
        (
            "CREATE SCHEMA graphile_migrate; CREATE TABLE graphile_migrate.migrations (hash text PRIMARY KEY,"
            " previous_hash text REFERENCES graphile_migrate.migrations, filename text NOT NULL, date timestamptz NOT"
            " NULL DEFAULT now())",
            "graphile_migrate.migrations",
        )
    ],
    "Atlas": [
        (ATLAS, "atlas_schema_revisions.atlas_schema_revisions"),
        (ATLAS_TABLE.format("atlas_schema_revisions"), "public.atlas_schema_revisions"),
    ],
    "Alembic": [("CREATE TABLE alembic_version (version_num varchar(32))", "public.alembic_version")],
    "Django": [
        ("CREATE TABLE django_migrations (app text, name text, applied timestamptz)", "public.django_migrations")
    ],
    "Knex": [
        (
            "CREATE TABLE knex_migrations (id int, name text, batch int, migration_time timestamptz)",
            "public.knex_migrations",
        )
    ],
    "TypeORM": [('CREATE TABLE migrations (id int, "timestamp" bigint, name text)', "public.migrations")],
    "Rails": [("CREATE TABLE schema_migrations (version varchar)", "public.schema_migrations")],
}


@pytest.fixture
def roles(server):
    """Ordinary roles; what a test made of them goes with it."""
    for name in ("mallory", "deployer", "dba_member", "dba_outside"):
        server.execute(MALLORY.format(name))
    yield
    for name in ("mallory", "deployer", "dba_member", "dba_outside"):
        server.execute(f"ALTER ROLE {name} NOSUPERUSER NOCREATEROLE")
    server.execute("REVOKE deployer FROM dba_member, dba_outside")


@pytest.fixture
def mallory(roles, session, database_dsn):
    """A session of a role that may create in public and in the database, and nothing else."""
    session().execute(
        "GRANT CREATE ON SCHEMA public TO mallory, deployer; DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO"
        " mallory, deployer', current_database()); END $$"
    )
    with psycopg.connect(database_dsn, user="mallory", autocommit=True) as connection:
        yield connection


@pytest.fixture
def write(folder):
    """Write the files of migrations 1 to 3 of a tool, each of one table."""
    return lambda forms: write_files(folder, forms)


def innocent(connection):
    return not value(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'")


@pytest.mark.versions
def test_no_planted_ledger_is_touched(mallory, session):
    connection = session()
    lines = connection.execute("SELECT tool, count(*)::int FROM deploy_tools() GROUP BY tool").fetchall()
    assert dict(lines) == {tool: len(shapes) for tool, shapes in SHAPES.items()}
    asked = """SELECT message FROM execute_migration_rollback('3_t')
               UNION ALL SELECT reason FROM can_rollback_migration('3_t')
               UNION ALL SELECT message FROM execute_migration_rollbacks('{3_t}',
                 true) UNION ALL SELECT blocking_reason FROM list_rollbackable_migrations()
                 WHERE migration_name = '3_t'"""
    for tool, shapes in SHAPES.items():
        metadata = psycopg.types.json.Jsonb(
            {"search_path": "public"}
            if tool == "supabase"
            else {"tool": tool, "search_path": "public", "previous_version": "2"}
        )
        connection.execute("SELECT register_migration('3_t', '3', 'SELECT 1', metadata => %s)", (metadata,))
        for tables, ledger in shapes:
            mallory.execute(f"{tables}; {SEIZES.format(schema='public', table=ledger)}")
            told = (
                f"The ledger {ledger} is not trusted: it belongs to mallory. Drop it where your deploy tool did not"
                " make it, or run migrollback install --trust-ledger-of mallory"
            )
            assert connection.execute(asked).fetchall() == [(told,)] * 4
            named = [{"name": "3_t", "version": "3", "tool": metadata.obj.get("tool")}]
            asked_for = psycopg.sql.Literal(psycopg.types.json.Jsonb(named)).as_string(connection)
            for call in (
                "resolve_migration('3_t', 'rolled_back', 'by hand')",
                "mark_rolled_back('3_t', NULL, NULL, NULL, '{}')",
                (
                    "apply_migration('4_u', '4', '{CREATE TABLE u ()}', metadata =>"
                    f" {psycopg.sql.Literal(metadata).as_string(connection)})"
                ),
                f"migrations_in_deploy_ledgers({asked_for}, 'public')",
            ):
                with pytest.raises(psycopg.DatabaseError) as caught:
                    connection.execute(f"SELECT {call}")
                assert (caught.value.sqlstate, caught.value.diag.message_primary) == ("MR024", told), (tool, call)
            mallory.execute(
                f"DROP TABLE {ledger} CASCADE; DROP FUNCTION seizes; DROP SCHEMA IF EXISTS sqitch, drizzle,"
                " atlas_schema_revisions, graphile_migrate, hdb_catalog CASCADE"
                + ("; DROP SCHEMA supabase_migrations CASCADE" if tool == "supabase" else "")
            )
        connection.execute("DELETE FROM migration_history WHERE migration_name = '3_t'")
    assert innocent(connection)
    assert not exists(connection, "u")


def test_a_planted_ledger_stops_apply_before_anything_runs(db, mallory, session, folder):
    mallory.execute(DBMATE + ";" + SEIZES.format(schema="public", table="schema_migrations"))
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;")
    (folder / "2_u.sql").write_text(
        "-- migrate:up transaction:false\nCREATE TABLE u ();\n-- migrate:down\nDROP TABLE u;"
    )
    for name in ("1_t", "2_u"):
        with pytest.raises(mr.Refused, match="belongs to mallory"):
            db.apply(name)
    with pytest.raises(psycopg.DatabaseError) as caught:
        session().execute(
            """SELECT apply_migration('3_v', '3', '{CREATE TABLE v ()}', metadata => '{"tool": "dbmate"}')"""
        )
    assert caught.value.sqlstate == "MR024"
    # applied before, and rolled back: nobody asks the ledger then, but for the one statement by statement
    session().execute(
        """SELECT register_migration('2_u', '2', metadata => '{"tool": "dbmate"}');
        UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = '2_u'"""
    )
    with pytest.raises(mr.Refused, match="belongs to mallory"):
        db.apply("2_u")
    assert innocent(session())
    assert not any(exists(session(), table) for table in "tuv")


@pytest.fixture
def cli(database_dsn, folder):
    """Runs one line of the terminal: (exit status, all that was said)."""

    def call(*words):
        out, err = io.StringIO(), io.StringIO()
        return (
            run([*words, "--dsn", database_dsn, "--dir", str(folder)], out, err, io.StringIO()),
            out.getvalue() + err.getvalue(),
        )

    return call


@pytest.mark.long
def test_the_terminal_says_so_and_the_option_lets_it_pass(db, mallory, write, folder, cli):
    def session():
        return db.database.connection

    write(DBMATE_FILE)
    db.apply("1_t", "2_t", "3_t")
    mallory.execute(
        f"{DBMATE}; INSERT INTO schema_migrations VALUES ('1'), ('2'), ('3'); GRANT ALL ON schema_migrations TO PUBLIC"
    )
    (folder / "4_new.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 1;")
    for words in (
        ("rollback", "3_t", "--confirm", "3_t"),
        ("rollback", "3_t", "--confirm", "3_t", "--chain"),
        ("rollback", "3_t", "--dry-run"),
        ("sync",),
        ("apply",),
        ("register", "3_t"),
        ("resolve", "3_t", "--as", "rolled_back", "--reason", "x"),
        ("check", "3_t"),
    ):
        exit_code, said = cli(*words)
        assert (words, exit_code, "it belongs to mallory" in said) == (words, 3, True)
        assert "migrollback install --trust-ledger-of mallory" in said
    assert exists(session(), "t3")
    (folder / "4_new.sql").unlink()
    assert cli("sync")[0] == 3  # also when nothing is new
    exit_code, said = cli("list")
    assert (exit_code, "belongs to mallory" in said) == (0, True)  # which answers all the same
    exit_code, said = cli("install", "--trust-ledger-of", "nobody_of_that_name")
    assert (exit_code, "There is no role nobody_of_that_name" in said) == (2, True)
    exit_code, said = cli("install", "--trust-ledger-of", "mallory", "--trust-ledger-of", "deployer")
    assert (exit_code, "trusted too: mallory, deployer" in said) == (0, True)
    assert [event for event in events(session()) if event == "ledger_trust_changed"] == ["ledger_trust_changed"] * 2
    details = last_event(session())["details"]
    assert (details["role"], details["trusted"]) == ("deployer", True)
    assert db.install(trust_ledger_of="mallory").trusted_ledger_owners == ("mallory", "deployer")
    assert last_event(session())["details"]["role"] == "deployer"  # nothing new
    exit_code, said = cli("rollback", "3_t", "--dry-run")
    assert (exit_code, "Deploy ledger that changes with it: public.schema_migrations" in said) == (0, True)
    assert db.preview("3_t").to_dict()["deploy_ledgers"] == ["public.schema_migrations"]
    assert "public.schema_migrations" in db.preview("3_t")._repr_html_()
    assert cli("rollback", "3_t", "--confirm", "3_t")[0] == 0
    assert value(mallory, "SELECT array_agg(version ORDER BY version) FROM schema_migrations") == ["1", "2"]
    assert db.install(distrust_ledger_of=["mallory"]).to_dict()["trusted_ledger_owners"] == ["deployer"]
    assert cli("rollback", "2_t", "--confirm", "2_t")[0] == 3


def test_a_stranger_cannot_name_himself(mallory):
    for call in ("trust_ledger_owner('mallory')", "add_migration_event('ledger_trust_changed', NULL)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            mallory.execute(f"SELECT {call}")


# -- who is trusted ----------------------------------------------------------------------------------------------------


def owned_ledger(session, owner):
    """A ledger of this owner, in which 1 to 3 are applied, written by a trigger of the owner's own."""
    connection = session()
    connection.execute(
        f"{DBMATE}; INSERT INTO schema_migrations VALUES ('1'), ('2'), ('3'); ALTER TABLE schema_migrations OWNER TO"
        f" {owner}"
    )
    connection.execute(
        "CREATE FUNCTION ran() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER ran BEFORE"
        " DELETE ON schema_migrations FOR EACH ROW EXECUTE FUNCTION ran()"
    )
    connection.execute(f"ALTER FUNCTION ran() OWNER TO {owner}")


@pytest.fixture
def as_dba(session, database_dsn, folder):
    """Migrations as a role that was given all of the system's rights."""
    opened = []

    def connect(role):
        session().execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; GRANT EXECUTE ON ALL"
            f" FUNCTIONS IN SCHEMA public TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
        )
        opened.append(mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user=role), dir=folder))
        return opened[-1]

    yield connect
    for migrations in opened:
        migrations.close()


def refusal_of(migrations, name="3_t"):
    found = migrations.check(name)
    return None if found.can_rollback else found.reason


@pytest.mark.versions
def test_the_callers_own_and_those_of_roles_granted_to_the_caller(db, mallory, session, write, as_dba):
    write(DBMATE_FILE)
    db.apply()
    owned_ledger(session, "deployer")
    outside, member = as_dba("dba_outside"), as_dba("dba_member")
    session().execute("GRANT deployer TO dba_member")
    assert "belongs to deployer" in refusal_of(db)  # a superuser is a member of nothing
    assert "belongs to deployer" in refusal_of(outside)
    assert refusal_of(member) is None
    session().execute("ALTER TABLE t3 OWNER TO dba_member")
    assert member.rollback("3_t", confirm="3_t", snapshots="none").success
    session().execute("GRANT deployer TO dba_outside; ALTER TABLE schema_migrations OWNER TO dba_member")
    assert "belongs to dba_member" in refusal_of(outside, "2_t")  # members of one role are not each other's
    session().execute("ALTER FUNCTION ran() OWNER TO dba_member")
    assert refusal_of(member, "2_t") is None
    session().execute("GRANT dba_member TO mallory; ALTER TABLE schema_migrations OWNER TO mallory")
    assert "belongs to mallory" in refusal_of(member, "2_t")  # a member of the caller is none whose role the caller has
    session().execute("REVOKE dba_member FROM mallory")


def test_a_grant_that_only_lets_administer_is_no_membership(db, mallory, session, write, as_dba):
    if db.database.connection.info.server_version < 160000:
        pytest.skip("before PostgreSQL 16 a grant has no options: each makes a member")
    write(DBMATE_FILE)
    db.apply()
    owned_ledger(session, "deployer")
    session().execute("GRANT deployer TO dba_outside WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    assert "belongs to deployer" in refusal_of(as_dba("dba_outside"))
    session().execute("GRANT deployer TO dba_outside WITH SET TRUE")
    assert refusal_of(as_dba("dba_outside")) is None


@pytest.mark.parametrize("owner", ["postgres", "pg_database_owner", "deployer"])
@pytest.mark.usefixtures("mallory")
def test_a_superusers_and_that_of_the_owner_of_the_database(db, session, write, as_dba, owner):
    write(DBMATE_FILE)
    db.apply()
    owned_ledger(session, owner)
    if owner == "deployer":
        session().execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO deployer', current_database()); END $$"
        )
    assert refusal_of(db) is None
    assert refusal_of(as_dba("dba_outside")) is None
    assert db.rollback("3_t", confirm="3_t", snapshots="none").success
    assert db.apply("3_t", snapshots="none").applied == ("3_t",)
    assert db.resolve("2_t", status="rolled_back", reason="by hand", force=True)
    assert value(session(), "SELECT array_agg(version ORDER BY version) FROM schema_migrations") == ["1", "3"]


# -- what else runs with a trusted ledger ------------------------------------------------------------------------------

HANDS = "GRANT ALL ON schema_migrations TO mallory;"
#: What -> (what the superuser did, what mallory did, what the refusal names).
PLANTED = {
    "a trigger": (
        HANDS,
        SEIZES.format(schema="public", table="schema_migrations"),
        "function public.seizes(), which belongs to mallory",
    ),
    "a trigger with a function of the system's": (
        HANDS,
        (
            "CREATE TRIGGER quiet BEFORE UPDATE ON schema_migrations FOR EACH ROW WHEN (query_to_xml('SELECT 1', true,"
            " true, '') IS NOT NULL) EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
        "has triggers, and mallory may have made them",
    ),
    "a trigger by the right of everybody": (
        "GRANT TRIGGER ON schema_migrations TO PUBLIC;",
        (
            "CREATE TRIGGER quiet BEFORE UPDATE ON schema_migrations FOR EACH ROW EXECUTE FUNCTION"
            " suppress_redundant_updates_trigger()"
        ),
        "REVOKE TRIGGER ON public.schema_migrations FROM PUBLIC",
    ),
    "a foreign key that cascades": (
        HANDS,
        "CREATE TABLE follows (version varchar REFERENCES schema_migrations ON DELETE CASCADE); INSERT INTO follows"
        " VALUES ('3');" + SEIZES.format(schema="public", table="follows"),
        "table public.follows, which belongs to mallory",
    ),
    "a rule": (
        (
            "CREATE FUNCTION their() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION their() OWNER TO mallory;"
            " CREATE RULE r AS ON DELETE TO schema_migrations DO ALSO SELECT their()"
        ),
        "",
        "function public.their(), which belongs to mallory",
    ),
    "a policy": (
        (
            "CREATE FUNCTION their() RETURNS boolean LANGUAGE sql AS 'SELECT true'; ALTER FUNCTION their() OWNER TO"
            " mallory; CREATE POLICY p ON schema_migrations USING (their()); ALTER TABLE schema_migrations ENABLE ROW"
            " LEVEL SECURITY"
        ),
        "",
        "function public.their(), which belongs to mallory",
    ),
    "a default": (
        (
            "CREATE FUNCTION their() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION their() OWNER TO mallory;"
            " ALTER TABLE schema_migrations ADD COLUMN n int DEFAULT their()"
        ),
        "",
        "function public.their(), which belongs to mallory",
    ),
    "a check": (
        (
            "CREATE FUNCTION their(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'; ALTER FUNCTION their(text)"
            " OWNER TO mallory; ALTER TABLE schema_migrations ADD CHECK (their(version))"
        ),
        "",
        "function public.their(",
    ),
    "an index": (
        (
            "CREATE FUNCTION their(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'; ALTER FUNCTION their(text)"
            " OWNER TO mallory; CREATE INDEX ON schema_migrations (their(version))"
        ),
        "",
        "function public.their(",
    ),
    "an operator": (
        (
            "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq); ALTER OPERATOR === (text, text)"
            " OWNER TO mallory; ALTER TABLE schema_migrations ADD CHECK (version::text === version::text)"
        ),
        "",
        "operator public.===(",
    ),
    "a domain": (
        (
            "CREATE DOMAIN theirs AS text; ALTER DOMAIN theirs OWNER TO mallory; ALTER TABLE schema_migrations ADD"
            " COLUMN d theirs"
        ),
        "",
        "type public.theirs",
    ),
    "a domain over theirs": (
        (
            "CREATE DOMAIN theirs AS text; CREATE DOMAIN ours AS theirs; ALTER DOMAIN theirs OWNER TO mallory; ALTER"
            " TABLE schema_migrations ADD COLUMN d ours[]"
        ),
        "",
        "type public.theirs",
    ),
    "a child": (
        "CREATE TABLE child () INHERITS (schema_migrations); ALTER TABLE child OWNER TO mallory",
        "",
        "table public.child, which belongs to mallory",
    ),
}


@pytest.mark.versions
@pytest.mark.usefixtures("mallory")
def test_what_belongs_to_others_on_a_trusted_ledger(session):
    connection = session()
    connection.execute(
        DBMATE
        + """; INSERT INTO schema_migrations VALUES ('3');
        SELECT register_migration('3_t', '3', 'SELECT 1', metadata => '{"tool": "dbmate"}')"""
    )
    message = "SELECT message FROM execute_migration_rollback('3_t')"
    got_through = {}
    for what, (given, planted, named) in PLANTED.items():
        with connection.transaction(force_rollback=True):
            connection.execute(f"{given}; SET ROLE mallory; {planted}; RESET ROLE")
            told = value(connection, message)
            if named not in told or not told.startswith("The ledger public.schema_migrations is not trusted: "):
                got_through[what] = told
    assert not got_through
    assert innocent(connection)
    assert (
        value(connection, message)
        == "Rollback SQL ran, but changed nothing: look at its object names and at the search_path (public)"
    )
    assert value(connection, "SELECT count(*) FROM schema_migrations") == 0


def test_what_the_catalog_itself_brings_needs_no_trust(db, session, write):
    session().execute(
        "CREATE TABLE schema_migrations (version varchar PRIMARY KEY CHECK (length(version) > 0), at timestamptz"
        " DEFAULT now(), n serial, id int GENERATED ALWAYS AS IDENTITY, twice text GENERATED ALWAYS AS (upper(version))"
        " STORED) PARTITION BY RANGE (version); CREATE TABLE part PARTITION OF schema_migrations DEFAULT; CREATE INDEX"
        " ON schema_migrations (lower(version))"
    )
    write(DBMATE_FILE)
    db.apply()
    assert db.rollback("3_t", confirm="3_t").success


@pytest.mark.usefixtures("mallory")
def test_the_other_tables_of_sqitch_count_too(session):
    connection = session()
    connection.execute(SQITCH)
    untrusted = "SELECT untrusted_deploy_ledger('Sqitch', 'public')"
    assert value(connection, untrusted) is None
    for table in ("tags", "events", "dependencies"):
        with connection.transaction(force_rollback=True):
            connection.execute(f"ALTER TABLE sqitch.{table} OWNER TO mallory")
            assert f"table sqitch.{table}, which belongs to mallory" in value(connection, untrusted)


# -- where it is looked for --------------------------------------------------------------------------------------------


def test_what_is_planted_before_the_right_one_hides_it_not(database_dsn, mallory, session, folder):
    connection = session()
    connection.execute(f"{DBMATE}; CREATE SCHEMA app; GRANT USAGE, CREATE ON SCHEMA app TO mallory")
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE public.t ();\n-- migrate:down\nDROP TABLE public.t;")
    with mr.connect(f"{database_dsn} options='-c search_path=app'", dir=folder) as there:
        mallory.execute("CREATE VIEW app.schema_migrations AS SELECT 'x'::varchar AS version")
        there.apply()  # a view is no ledger, and the next one is found
        assert value(connection, "SELECT version FROM public.schema_migrations") == "1"
        mallory.execute(
            "DROP VIEW app.schema_migrations; CREATE TABLE app.schema_migrations (version varchar PRIMARY KEY)"
        )
        with pytest.raises(mr.Refused, match=r"The ledger app.schema_migrations is not trusted: it belongs to mallory"):
            there.rollback("1_t", confirm="1_t")
    assert exists(connection, "t")


def test_a_setting_does_not_make_it_trusted(database_dsn, mallory, session, folder):
    mallory.execute("CREATE TABLE public.mine (version varchar PRIMARY KEY)")
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;")
    with (
        mr.connect(f"{database_dsn} options='-c migrollback.deploy_ledger=public.mine'", dir=folder) as there,
        pytest.raises(mr.Refused, match=r"public.mine"),
    ):
        there.apply()


# -- what a trusted ledger's own code does -----------------------------------------------------------------------------

#: What a trigger of a trusted ledger does, which undoes everything.
MEDDLES = {
    "history": "UPDATE migration_history SET rollback_sql = 'DROP TABLE kept' WHERE migration_name = '2_t'",
    "the migration's own row": "UPDATE migration_history SET notes = 'x' WHERE migration_name = '3_t'",
    "history, unheard": (
        "PERFORM set_config('migrollback.recording', pg_current_xact_id()::text, true); PERFORM"
        " set_config('track_counts', 'off', true); UPDATE migration_history SET notes = 'x' WHERE migration_name ="
        " '2_t'; PERFORM set_config('track_counts', 'on', true)"
    ),
    "dependencies": "INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('2_t', '1_t')",
    "an event": "PERFORM add_migration_event('applied', '1_t')",
    "a function": (
        "CREATE OR REPLACE FUNCTION is_transient_error(sqlstate_code text) RETURNS boolean LANGUAGE sql AS 'SELECT"
        " true'"
    ),
    "the token's function": (
        "CREATE OR REPLACE FUNCTION migration_system_token() RETURNS text LANGUAGE sql AS $q$ SELECT 'same' $q$"
    ),
    "a trigger of ours": "ALTER TABLE migration_events DISABLE TRIGGER ALL",
    "rights": "GRANT ALL ON migration_history TO PUBLIC",
    "the role": "SET ROLE pg_monitor",
    "the session's role": "SET SESSION AUTHORIZATION pg_monitor",
    "search_path": "SET search_path = public",
}


@pytest.fixture
def meddling(db, session, write):
    """Puts a trigger on the ledger of 1 to 3, which are applied."""
    connection = session()
    connection.execute(DBMATE)
    write(DBMATE_FILE)
    db.apply()

    def put(what, kind="TRIGGER", when="BEFORE", timing=""):
        connection.execute("DROP FUNCTION IF EXISTS meddles CASCADE")
        # what a function changes of a setting that it pins goes when it ends
        pins = "" if MEDDLES[what].startswith("SET ") else "SET search_path = public"
        connection.execute(
            f"CREATE FUNCTION meddles() RETURNS trigger LANGUAGE plpgsql {pins} AS $$ BEGIN {MEDDLES[what]}; RETURN"
            " coalesce(OLD, NEW); END $$"
        )
        connection.execute(
            f"CREATE {kind} meddles {when} INSERT OR UPDATE OR DELETE ON schema_migrations {timing} FOR EACH ROW"
            " EXECUTE FUNCTION meddles()"
        )
        return connection

    return put


STATE = (
    "SELECT (SELECT jsonb_agg(to_jsonb(h) ORDER BY h.migration_name) FROM migration_history h), (SELECT"
    " jsonb_agg(to_jsonb(d)) FROM migration_dependencies d), (SELECT array_agg(version ORDER BY version) FROM"
    " schema_migrations), to_regclass('t3')::text"
)


@pytest.mark.long
def test_what_a_trigger_of_the_ledger_does_to_the_system_undoes_everything(db, meddling):
    got_through = []
    for what in MEDDLES:
        connection = meddling(what)
        before = connection.execute(STATE).fetchone()
        for call in (
            lambda: db.rollback("3_t", confirm="3_t", snapshots="none"),
            lambda: db.rollback(["3_t", "2_t"], confirm="3_t", snapshots="none"),
            lambda: db.resolve("3_t", status="rolled_back", reason="x"),
        ):
            try:
                call()
                got_through.append(what)
            except mr.DatabaseError as error:
                if error.sqlstate not in {"MR025", "MR022"}:
                    got_through.append(f"{what}: {error}")
            if connection.execute(STATE).fetchone() != before or not db.verify_events().intact:
                got_through.append(f"{what}: is done")
    assert not got_through


@pytest.mark.versions
def test_a_deferred_trigger_runs_while_another_session_looks(db, meddling):
    connection = meddling("history", "CONSTRAINT TRIGGER", "AFTER", "DEFERRABLE INITIALLY DEFERRED")
    before = connection.execute(STATE).fetchone()
    with pytest.raises(mr.DatabaseError, match=r"when the ledger public.schema_migrations is written"):
        db.rollback("3_t", confirm="3_t", snapshots="none")
    assert connection.execute(STATE).fetchone() == before


def test_a_trigger_of_the_ledger_undoes_an_apply(db, meddling, folder):
    connection = meddling("history")
    (folder / "4_t.sql").write_text("-- migrate:up\nCREATE TABLE t4 ();\n-- migrate:down\nDROP TABLE t4;")
    with pytest.raises(mr.ApplyFailed, match=r"when the ledger public.schema_migrations is written") as caught:
        db.apply("4_t")
    assert caught.value.sqlstate == "MR025"
    assert not exists(connection, "t4")
    assert (
        value(connection, "SELECT rollback_sql FROM migration_history WHERE migration_name = '2_t'") == "DROP TABLE t2;"
    )
