"""Installing the system: complete, repeatable, in any schema, and never over somebody else's tables."""

import psycopg
import pytest
from psycopg import sql
from watching import value

import migrollback_nb as mr
from migrollback_nb.database.installation import installation_sql

pytestmark = pytest.mark.versions

SYSTEM = "20250120_migration_rollback_system"

OUR_CATALOG_ROWS = """
    SELECT 'relation', c.oid::regclass::text, c.xmin::text,
      c.ctid::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'function', p.oid::regprocedure::text, p.xmin::text,
      p.ctid::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger', t.tgname, t.xmin::text, t.ctid::text FROM pg_trigger t
    UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, a.xmin::text,
      a.ctid::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'policy', p.polname, p.xmin::text, p.ctid::text FROM pg_policy p
    UNION ALL SELECT 'history', h.migration_name, h.xmin::text, h.ctid::text FROM migration_history h
    UNION ALL SELECT 'events', count(*)::text, '', '' FROM migration_events
    ORDER BY 1, 2, 3, 4
"""


def test_a_first_install_says_what_it_did(empty_dsn):
    with mr.connect(empty_dsn) as db:
        result = db.install()
        assert result.installed == (SYSTEM,)
        assert list(db.list(system=True)["migration_name"]) == [SYSTEM]
        assert db.list().empty
        assert list(db.events()["event"]) == ["registered", "installed"]
        assert db.check(SYSTEM).can_rollback


def test_a_repeated_install_changes_nothing(db, session):
    db.install()  # Supabase's roles may have come to this server since the template was made: row security goes by them
    before = session().execute(OUR_CATALOG_ROWS).fetchall()
    result = db.install()
    assert result.installed == ()
    assert result.rights_closed == 0
    assert session().execute(OUR_CATALOG_ROWS).fetchall() == before


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "schema",
    [
        "migrollback",
        'My "Schema"',
        "a.b",
        "select",
        "schéma ě",
        "it's",
        "100%",
        "%s",
        "back\\slash",
        "migrollback_schema",
        "$1",
        "x" * 63,
    ],
)
def test_any_schema(empty_dsn, folder, write_migration, schema):
    with mr.connect(empty_dsn, schema=schema, dir=folder) as db:
        db.install()
        assert db.install().installed == ()
        write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
        db.apply()
        assert db.check("001_t").can_rollback
        preview = db.preview("001_t")
        assert db.rollback("001_t", confirm="001_t", preview=preview).success
        assert list(db.history(status="rolled_back")["migration_name"]) == ["001_t"]
        assert db.verify_events().intact
        assert db.graph() is not None
        with psycopg.connect(empty_dsn) as connection:
            outside = (
                "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname ="
                " 'public'"
            )
            assert value(connection, outside) == 0


@pytest.mark.long
@pytest.mark.parametrize("schema", ['100%s of "My Schema"', "migrollback_schema"])
def test_everything_else_in_an_odd_schema(empty_dsn, folder, write_migration, tmp_path, schema):
    with mr.connect(empty_dsn, schema=schema, dir=folder) as db:
        db.install()
        write_migration(
            "001_t", "CREATE TABLE t (a int PRIMARY KEY);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END"
        )
        write_migration(
            "002_u",
            "CREATE TABLE u (a int REFERENCES t);\n-- ROLLBACK START\nDROP TABLE u; SELECT 1/0;\n-- ROLLBACK END",
        )
        db.apply()
        assert db.diff(db.snapshot("001_t")).changes == ()
        assert len(db.snapshots("001_t")) == 1
        assert list(db.dependencies()["source"]) == ["inferred"]
        assert db.dismiss_dependency("002_u", "001_t", reason="to see").dismissed
        assert not db.rehearse("001_t").success
        assert db.rehearse("002_u", on="scratch").failure.sqlstate == "22012"
        assert db.record_dependencies().recorded == ()
        with pytest.raises(mr.RollbackFailed):
            db.rollback("002_u", confirm="002_u")
        db.resolve("002_u", status="applied", reason="looked")
        write_migration(
            "002_u",
            "-- Depends on: 001_t\nCREATE TABLE u (a int REFERENCES t);\n-- ROLLBACK START\nDROP TABLE u;\n-- ROLLBACK"
            " END",
        )
        assert db.register("002_u").outcome == "updated"
        with pytest.raises(mr.Refused):
            db.rollback("001_t", confirm="001_t")
        assert db.sync().skipped == ("001_t", "002_u")
        db.checklist("001_t", chain=True).confirm_manually("reason", "INC-42")
        assert db.rollback("001_t", confirm="001_t", chain=True, snapshots="each").verification.verdict == "restored"
        assert db.template("001_t").statements == ("DROP TABLE IF EXISTS t",)
        assert "INC-42" in db.report("001_t", tmp_path / "report.html").read_text(encoding="utf-8")
        assert len(db.runbook("001_t", into=tmp_path).files) == 3
        assert db.rollback(SYSTEM, confirm=SYSTEM, trail=tmp_path / "trail.json").success
        with pytest.raises(mr.NotInstalled):
            db.list()


def test_a_schema_that_is_there_already_is_used(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier("Ops")))
    with mr.connect(empty_dsn, schema="Ops") as db:
        assert db.install().installed == (SYSTEM,)


def test_two_systems_in_two_schemas_do_not_see_each_other(empty_dsn, folder, write_migration):
    write_migration("001_t", "SELECT 1;")
    with mr.connect(empty_dsn, schema="one", dir=folder) as one, mr.connect(empty_dsn, schema="two", dir=folder) as two:
        one.install()
        two.install()
        one.sync()
        assert "001_t" in set(one.history()["migration_name"])
        assert "001_t" not in set(two.history()["migration_name"])


def test_without_the_system_every_question_says_so(empty_dsn, folder, write_migration):
    write_migration("001_t", "SELECT 1;")
    with mr.connect(empty_dsn, dir=folder) as db:
        for question in (
            db.list,
            db.history,
            db.dependencies,
            db.events,
            db.sync,
            db.require_system,
            lambda: db.check("001_t"),
            lambda: db.apply("001_t"),
            lambda: db.preview("001_t"),
        ):
            with pytest.raises(mr.NotInstalled) as caught:
                question()
            assert "migrollback install" in caught.value.hint


def test_a_newer_system_is_refused_in_words(db, session):
    session().execute(
        "INSERT INTO migration_history (migration_name, migration_version, metadata) VALUES ('20990101_later_rules',"
        " '20990101', '{\"system\": true}')"
    )
    for deed in (db.install, db.require_system):
        with pytest.raises(mr.NewerSystem, match="20990101_later_rules"):
            deed()


def test_another_owners_table_is_left_alone(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE migration_history (version text); INSERT INTO migration_history VALUES ('1')")
    with mr.connect(empty_dsn) as db, pytest.raises(mr.Refused) as caught:
        db.install()
    assert "--schema" in caught.value.hint
    with psycopg.connect(empty_dsn) as connection:
        assert value(connection, "SELECT version FROM migration_history") == "1"


def test_an_install_that_fails_leaves_nothing(empty_dsn):
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE migration_snapshots (theirs int)")
    with mr.connect(empty_dsn) as db, pytest.raises(mr.MigrollbackError):
        db.install()
    with psycopg.connect(empty_dsn) as connection:
        assert (
            value(
                connection,
                "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
            )
            == 1
        )


@pytest.mark.each_server
def test_two_installs_at_once(empty_dsn):
    from watching import Background

    def install():
        with mr.connect(empty_dsn) as db:
            return db.install()

    both = [Background(install) for _ in range(4)]
    done = [one.result() for one in both]
    assert sorted(len(result.installed) for result in done) == [0, 0, 0, 1]


def test_the_printed_installation_makes_the_same_system(empty_dsn, database_dsn):
    names = (
        "SELECT p.oid::regprocedure::text, md5(p.prosrc), p.proacl::text FROM pg_proc p WHERE p.pronamespace ="
        " 'public'::regnamespace ORDER BY 1"
    )
    with psycopg.connect(empty_dsn) as connection:
        connection.execute(installation_sql("public"))
    with psycopg.connect(empty_dsn) as printed, psycopg.connect(database_dsn) as installed:
        assert printed.execute(names).fetchall() == installed.execute(names).fetchall()
    with mr.connect(empty_dsn) as db:
        assert db.install().installed == ()
        db.require_system()
        assert db.verify_events().intact


def test_old_servers_are_not_asked_for_what_they_lack(db, server):
    # nothing version-dependent may be reached only in a path that the suite does not take
    assert db.target.server_version == server.version


@pytest.mark.long
def test_a_publication_of_all_tables_stops_nothing(db, session, write_migration):
    # as Debezium makes one: from then on a table whose rows cannot be told apart refuses UPDATE and DELETE
    session().execute("CREATE PUBLICATION everything FOR ALL TABLES")
    write_migration("001_t", "CREATE TABLE t (a int PRIMARY KEY);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    db.apply()
    assert db.rollback("001_t", confirm="001_t").success
    db.apply("001_t")
    write_migration(
        "001_t", "CREATE TABLE t (a int PRIMARY KEY);\n-- ROLLBACK START\nDROP TABLE IF EXISTS t;\n-- ROLLBACK END"
    )
    assert db.register("001_t").outcome == "updated"
    db.record_dependencies()
    db.resolve("001_t", status="rolled_back", reason="looked", force=True)
    without = (
        "SELECT c.relname FROM migration_system_objects() s JOIN pg_class c ON c.oid = ANY (s.tables) WHERE"
        " c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"
    )
    assert session().execute(without).fetchall() == []
