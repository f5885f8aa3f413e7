"""A system of version 0.1.0, with all that it may hold, is upgraded: by install, and by the printed script in psql."""

from __future__ import annotations

import subprocess
import threading

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from schema_catalog import CATALOG, SYSTEM, ask
from watching import eventually, eventually_waits, value

import migrollback_nb as mr
from migrollback_nb.database.installation import installation_sql, quoted_schema

#: All rows that the system keeps, but for its own row in the history and the list of its files.
ROWS = """
SELECT (SELECT jsonb_agg(to_jsonb(h) ORDER BY h.migration_name) FROM {s}.migration_history h
         WHERE h.migration_name <> {system}),
       (SELECT jsonb_agg(to_jsonb(d) ORDER BY d.id) FROM {s}.migration_dependencies d),
       (SELECT jsonb_agg(to_jsonb(n) ORDER BY n.id) FROM {s}.migration_snapshots n),
       -- the upgrade adds the table of an index, where it is known
       (SELECT jsonb_agg(to_jsonb(o) - 'table_identity' ORDER BY to_jsonb(o) - 'table_identity')
          FROM {s}.migration_objects o)
"""
ANSWERS = """
SELECT (SELECT jsonb_agg(to_jsonb(c) ORDER BY h.migration_name) FROM {s}.migration_history h
          CROSS JOIN LATERAL {s}.can_rollback_migration(h.migration_name) c),
       (SELECT jsonb_agg(to_jsonb(l)) FROM {s}.list_rollbackable_migrations() l),
       (SELECT jsonb_agg(array_remove({s}.migration_warnings(h.migration_name),
                                      'Dependents that no file declares were not looked for: migrollback sync looks '
                                      'for them') ORDER BY h.migration_name)
          FROM {s}.migration_history h
         -- a failed one has a warning since 0.2.0
         WHERE h.migration_name <> {system} AND h.status <> 'failed'),
       (SELECT jsonb_agg(to_jsonb(i)) FROM {s}.infer_migration_dependencies() i),
       -- it tells more since 0.2.0
       (SELECT jsonb_agg(to_jsonb(d) - ARRAY['ended_at', 'failed', 'rolled_back', 'duration_ms'])
          FROM {s}.migration_deploys() d),
       (SELECT jsonb_agg(to_jsonb(e)) FROM {s}.execute_migration_rollback('003_index', true) e),
       {s}.is_production_database()
"""


def events(dsn, schema):
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        query = sql.SQL("SELECT * FROM {}.migration_events ORDER BY event_number").format(
            sql.SQL(quoted_schema(schema))
        )
        return connection.execute(query).fetchall()


def by_install(server, dsn, schema):
    with mr.connect(dsn, schema=schema) as db:
        return db.install()


def by_psql(server, dsn, schema, *, options=("-v", "ON_ERROR_STOP=1")):
    command = [server.bin / "psql", "-X", "-q", *options, "-d", dsn, "-f", "-"]
    text = installation_sql(schema)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


@pytest.fixture(params=["install", "psql"])
def upgrade(request, server):
    """Upgrades a database of a DSN, in one of the two ways, and makes sure that it went well."""

    def run(dsn, schema="public"):
        if request.param == "install":
            return by_install(server, dsn, schema)
        done = by_psql(server, dsn, schema)
        assert (done.returncode, done.stderr) == (0, "")
        return None

    return run


@pytest.mark.few(2)
@pytest.mark.versions
@pytest.mark.parametrize("schema", ["public", "Ops1"])
def test_an_upgraded_database_is_as_a_fresh_one_and_keeps_all_that_it_holds(old, upgrade, empty_dsn, schema):
    dsn = old(schema)
    rows, answers, before = (ask(dsn, ROWS, schema), ask(dsn, ANSWERS, schema), events(dsn, schema))
    assert {"failed", "rolled_back", "applied"} <= {row["status"] for row in rows[0][0]}
    assert {"failed", "refused", "rehearsed", "snapshot_taken", "history_changed"} <= {one["event"] for one in before}
    upgrade(dsn, schema)

    upgrade(empty_dsn, schema)
    found, fresh = ({row[:2]: row[2] for row in ask(one, CATALOG, schema)} for one in (dsn, empty_dsn))
    assert found == fresh
    assert len(found) > 300
    assert ask(dsn, ROWS, schema) == rows
    assert ask(dsn, ANSWERS, schema) == answers

    after = events(dsn, schema)
    assert after[: len(before)] == before
    (event,) = after[len(before) :]
    assert (event["event"], event["migration_name"]) == ("upgraded", SYSTEM)
    assert {key: event["details"][key] for key in ("from", "to")} == {"from": "0.1.0", "to": mr.__version__}
    with mr.connect(dsn, schema=schema) as db:
        found = db.audit()
        assert found.success, found.findings
        assert found.events == len(after)
        db.require_system()
    assert ask(dsn, "SELECT intact FROM {s}.verify_migration_events()", schema) == [(True,)]


@pytest.mark.long
@pytest.mark.versions
def test_a_second_upgrade_changes_nothing(old, upgrade, server):
    dsn = old()
    upgrade(dsn)
    state = """
        SELECT 'relation', c.oid, c.xmin::text, c.ctid::text FROM pg_class c
         WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'function', p.oid, p.xmin::text, p.ctid::text FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger', t.oid, t.xmin::text, t.ctid::text FROM pg_trigger t
        UNION ALL SELECT 'comment', d.objoid, d.xmin::text, d.ctid::text FROM pg_description d WHERE d.objoid > 16383
        UNION ALL SELECT 'history', 0, h.xmin::text, h.ctid::text FROM migration_history h
        UNION ALL SELECT 'file', 0, f.xmin::text, f.ctid::text FROM migration_system_files f
        UNION ALL SELECT 'event', e.event_number::oid, e.xmin::text, e.ctid::text FROM migration_events e
        ORDER BY 1, 2, 3, 4"""
    by_install(server, dsn, "public")  # row security goes by the roles of the whole server
    before = ask(dsn, state, "public")
    result = upgrade(dsn)
    assert ask(dsn, state, "public") == before
    assert result is None or (result.installed, result.upgraded_from) == ((), None)


@pytest.mark.versions
def test_after_an_upgrade_everything_goes_on(old, upgrade, tmp_path):
    dsn = old()
    upgrade(dsn)
    with mr.connect(dsn, dir=tmp_path) as db:
        assert db.rollback("003_index", confirm="003_index", reason="x").success
        # verified with the snapshots that version 0.1.0 took
        done = db.rollback("001_customers", confirm="001_customers", reason="x", chain=True)
        assert done.verification.verdict == "restored"
        db.resolve("005_fails", status="rolled_back", reason="looked", force=True)
        head = db.verify_events()
        assert head.intact
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert value(connection, "SELECT to_regclass('app.customers') IS NULL")
        call = (
            "SELECT success FROM execute_migration_rollback(%s, reason => 'x', accept_loss => true,"
            " chain_head => (SELECT head_hash FROM verify_migration_events()))"
        )
        assert value(connection, call, SYSTEM)
        left = """SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
                         + (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)
                         + (SELECT count(*) FROM pg_type WHERE typnamespace = 'public'::regnamespace)"""
        assert value(connection, left) == 0


def test_until_then_a_client_refuses_the_older_system(old, tmp_path):
    with mr.connect(old(), dir=tmp_path) as db:
        for call in (
            db.require_system,
            db.list,
            lambda: db.check("003_index"),
            lambda: db.preview("003_index"),
            lambda: db.snapshot("x"),
        ):
            with pytest.raises(mr.OlderSystem, match=r"version 0\.1\.0, and this package needs") as caught:
                call()
            assert "Run migrollback install" in caught.value.hint
        assert caught.value.exit_code == mr.NewerSystem("x").exit_code
        assert "upgraded from version 0.1.0" in repr(db.install())
        assert db.check("003_index").can_rollback


def test_a_downgrade_is_refused_in_words(old, server, tmp_path):
    dsn = old(filled=False)
    by_install(server, dsn, "public")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute('UPDATE migration_history SET metadata = metadata || \'{"system_version": "10.0.0"}\'')
    before = ask(dsn, CATALOG, "public")
    with mr.connect(dsn, dir=tmp_path) as db:
        for call in (db.install, db.require_system, db.list):
            with pytest.raises(mr.NewerSystem, match=r"newer than this package: it has version 10\.0\.0, and this is"):
                call()
    done = by_psql(server, dsn, "public")
    assert done.returncode == 3
    assert "newer than this package: it has version 10.0.0" in done.stderr
    assert ask(dsn, CATALOG, "public") == before


def state_of(dsn):
    return ask(dsn, CATALOG, "public"), ask(dsn, ROWS, "public"), events(dsn, "public")


@pytest.mark.versions
def test_an_upgrade_that_fails_leaves_the_older_system_whole(old, server):
    dsn = old()
    with psycopg.connect(dsn, autocommit=True) as connection:
        # what uses a function that goes: DROP without CASCADE stops there
        connection.execute("CREATE VIEW app.watches AS SELECT public.schema_token() AS token")
    before = state_of(dsn)
    with pytest.raises(mr.DatabaseError, match=r"drops/0\.2\.0\.sql") as caught:
        by_install(server, dsn, "public")
    assert caught.value.sqlstate == "2BP01"
    assert "app.watches" in (caught.value.detail or "")
    assert state_of(dsn) == before
    for options in (("-v", "ON_ERROR_STOP=1"), ("-1",), ()):
        assert "drops/0.2.0.sql" in by_psql(server, dsn, "public", options=options).stderr
        assert state_of(dsn) == before
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert value(connection, "SELECT can_rollback FROM can_rollback_migration('003_index')")
        connection.execute("DROP VIEW app.watches")
    assert by_install(server, dsn, "public").upgraded_from == "0.1.0"


PSQL_PID = (
    "SELECT coalesce(max(pid), 0) FROM pg_stat_activity"
    " WHERE application_name = 'psql' AND datname = current_database()"
)


@pytest.mark.long
@pytest.mark.versions
def test_an_upgrade_that_is_interrupted_leaves_the_older_system_whole(old, server):
    dsn = old()
    before = state_of(dsn)
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as watcher:
        holder.execute("LOCK TABLE migration_events IN ACCESS SHARE MODE")  # a reader: ALTER TABLE waits for it
        ended = []
        thread = threading.Thread(target=lambda: ended.append(by_psql(server, dsn, "public")))
        thread.start()
        waiting = f"{PSQL_PID} AND wait_event_type = 'Lock'"
        eventually(lambda: value(watcher, waiting) != 0, "the upgrade waits")
        assert value(watcher, "SELECT pg_terminate_backend(%s)", value(watcher, waiting))
        thread.join()
    assert ended[0].returncode != 0
    assert state_of(dsn) == before
    assert by_install(server, dsn, "public").upgraded_from == "0.1.0"


def test_an_upgrade_waits_for_a_rollback_that_runs(old, server):
    dsn = old()
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as watcher:
        holder.execute("SELECT lock_migrations()")
        done = []
        thread = threading.Thread(target=lambda: done.append(by_psql(server, dsn, "public")))
        thread.start()
        waiting = f"{PSQL_PID} AND wait_event = 'advisory'"
        eventually(lambda: value(watcher, waiting) != 0, "the upgrade waits for the gate")
        eventually_waits(watcher, value(watcher, waiting))
        assert not done
        holder.rollback()
        thread.join()
    assert (done[0].returncode, done[0].stderr) == (0, "")


@pytest.fixture
def roles(server):
    for role in ("upgrade_reads", "upgrade_one", "upgrade_stranger", "upgrade_owner"):
        server.execute(f"DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role} LOGIN; END IF; END $$")


@pytest.mark.long
@pytest.mark.usefixtures("roles")
def test_who_was_granted_all_is_granted_what_is_new_and_no_one_else(old, upgrade):
    dsn = old()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO upgrade_reads;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO upgrade_reads"
        )
        connection.execute(
            "GRANT EXECUTE ON FUNCTION can_rollback_migration TO upgrade_one;"
            "GRANT SELECT, UPDATE ON migration_history TO upgrade_one"
        )
        connection.execute(
            "ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO upgrade_stranger;"
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC"
        )
        upgrade(dsn)
        may = (
            "SELECT bool_and(has_function_privilege(%s, p.oid, 'EXECUTE')), bool_or(has_function_privilege(%s, p.oid,"
            " 'EXECUTE')) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef = %s"
        )
        assert connection.execute(may, ("upgrade_reads", "upgrade_reads", False)).fetchone() == (True, True)
        # what runs with the owner's rights is granted by name alone
        assert connection.execute(may, ("upgrade_reads", "upgrade_reads", True)).fetchone() == (False, False)
        assert connection.execute(may, ("upgrade_stranger", "upgrade_stranger", False)).fetchone() == (False, False)
        assert value(
            connection, "SELECT has_function_privilege('upgrade_one', 'can_rollback_migration(text)', 'EXECUTE')"
        )
        assert not value(connection, "SELECT has_function_privilege('upgrade_one', 'schema_hash()', 'EXECUTE')")
        tables = (
            "SELECT string_agg(privilege, ' ' ORDER BY privilege)"
            " FROM unnest('{SELECT,UPDATE}'::text[]) AS p (privilege)"
            " WHERE has_table_privilege(%s, %s, privilege)"
        )
        assert value(connection, tables, "upgrade_one", "migration_history") == "SELECT UPDATE"
        assert value(connection, tables, "upgrade_one", "migration_system_files") is None
        assert value(connection, tables, "upgrade_reads", "migration_system_files") == "SELECT"
        assert value(connection, tables, "upgrade_stranger", "migration_system_files") is None


@pytest.mark.versions
@pytest.mark.usefixtures("roles")
def test_only_the_owner_upgrades_and_what_is_made_is_the_owners(server, old):
    dsn = old()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "GRANT ALL ON SCHEMA public TO upgrade_owner;"
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO upgrade_stranger"
        )
        objects = connection.execute(
            "SELECT unnest(tables)::regclass::text, NULL FROM migration_system_objects()"
            " UNION ALL SELECT NULL, unnest(routines)::regprocedure::text FROM migration_system_objects()"
        ).fetchall()
        for table, routine in objects:
            connection.execute(
                f"ALTER TABLE {table} OWNER TO upgrade_owner"
                if table
                else f"ALTER FUNCTION {routine} OWNER TO upgrade_owner"
            )
    before = state_of(dsn)
    stranger = psycopg.conninfo.make_conninfo(dsn, user="upgrade_stranger")
    with mr.connect(stranger) as db, pytest.raises(mr.Refused, match="only its owner, upgrade_owner, can bring it to"):
        db.install()
    assert state_of(dsn) == before
    assert by_install(server, dsn, "public").upgraded_from == "0.1.0"  # as a superuser
    with psycopg.connect(dsn) as connection:
        owners = (
            "SELECT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )
        assert connection.execute(owners).fetchall() == [("upgrade_owner",)]
        assert value(connection, "SELECT database_user FROM migration_events WHERE event = 'upgraded'") == "postgres"


@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize(
    ("planted", "named"),
    [
        (
            "CREATE FUNCTION schema_hash() RETURNS text LANGUAGE sql AS $$ SELECT ''::text $$",
            r"not ours: function public.schema_hash\(\), owner upgrade_stranger",
        ),
        (
            "CREATE TABLE migration_system_files (file text, checksum text, version text)",
            "table migration_system_files that is not this system's",
        ),
    ],
)
def test_what_a_stranger_put_under_a_new_name_is_not_taken_over(server, old, planted, named):
    dsn = old()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("GRANT CREATE ON SCHEMA public TO upgrade_stranger; SET ROLE upgrade_stranger")
        connection.execute(planted)
        connection.execute("RESET ROLE")
    before = state_of(dsn)
    with pytest.raises(mr.Refused, match=named):
        by_install(server, dsn, "public")
    assert state_of(dsn) == before


@pytest.mark.long
@pytest.mark.versions
@pytest.mark.parametrize("damage", ["DROP FUNCTION migration_blocking_reason", "DROP FUNCTION can_rollback_migration"])
def test_a_damaged_system_is_never_called_not_installed_and_install_repairs_it(db, applied, session, damage):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    connection = session()
    connection.execute(damage)
    with pytest.raises(
        mr.OlderSystem, match=f"lacks {damage.rpartition(' ')[2]}.*older than this package, or damaged"
    ) as caught:
        db.check("001_t")
    assert "Run migrollback install" in caught.value.hint
    result = db.install()
    assert (result.upgraded_from, result.what) == (mr.__version__, f"of version {mr.__version__} was repaired")
    assert db.check("001_t").can_rollback
    assert db.install().what == "is complete already"


def test_a_function_that_was_replaced_is_put_right(db, session):
    connection = session()
    connection.execute(
        "CREATE OR REPLACE FUNCTION is_transient_error(sqlstate_code text) RETURNS boolean"
        " LANGUAGE sql AS 'SELECT true'"
    )
    connection.execute("ALTER TABLE migration_events DISABLE TRIGGER refuse_event_change")
    assert db.install().upgraded_from == mr.__version__
    assert not value(connection, "SELECT is_transient_error('42P01')")
    assert value(connection, "SELECT tgenabled FROM pg_trigger WHERE tgname = 'refuse_event_change'") == "A"


def test_an_error_of_another_owners_is_not_taken_for_a_damaged_system(db, session):
    session().execute(
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM gone(); RETURN NEW; END';"
        "CREATE TRIGGER theirs BEFORE INSERT ON migration_snapshots FOR EACH ROW EXECUTE FUNCTION theirs()"
    )
    with pytest.raises(mr.DatabaseError, match="gone") as caught:
        db.snapshot("x")
    assert caught.value.sqlstate == "42883"


def test_not_installed_names_where_it_looked_and_where_the_system_is(empty_dsn):
    with mr.connect(empty_dsn, schema="elsewhere") as other:
        with pytest.raises(mr.NotInstalled, match="not installed in schema elsewhere of database") as caught:
            other.list()
        assert caught.value.hint == "Run migrollback install, or name its schema with --schema."
        other.install()
    with mr.connect(empty_dsn) as db:
        for call in (db.list, db.require_system, lambda: db.check("x"), lambda: db.database.commands.rollback(["x"])):
            with pytest.raises(mr.NotInstalled) as caught:
                call()
            where = f"{db.target.host}:{db.target.port}"
            assert str(caught.value).startswith(
                f"The rollback system is not installed in schema public of database {db.target.database} on {where}\n"
                "It is in schema elsewhere"
            )


@pytest.mark.long
@pytest.mark.versions
def test_a_database_that_was_dumped_and_restored_is_up_to_date(old, server, empty_dsn):
    dsn = old()
    by_install(server, dsn, "public")
    dumped = subprocess.run([server.bin / "pg_dump", "-d", dsn], capture_output=True, text=True, check=True)
    command = [server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", empty_dsn]
    # its schema public is there already
    text = dumped.stdout.replace("CREATE SCHEMA public;", "")
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert by_install(server, empty_dsn, "public").what == "is complete already"
    with mr.connect(empty_dsn) as db:
        assert db.verify_events().intact
