"""register, sync and apply: a folder against a database."""

from datetime import UTC, datetime

import pytest
from watching import events, exists, status, value

import migrollback_nb as mr
from migrollback_nb.database.commands import Commands

BLOCK = "\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n"


def test_register_keeps_what_the_file_says(db, write_migration, session):
    write_migration("20250120_add_t", f"-- Description: adds t\nCREATE TABLE t ();{BLOCK}")
    result = db.register("20250120_add_t.sql")
    assert (result.migration_name, result.outcome, result.has_rollback_sql) == ("20250120_add_t", "registered", True)
    version, rollback_sql, checksum, description, applied_by = (
        session()
        .execute(
            "SELECT migration_version, rollback_sql, checksum, metadata ->> 'description', applied_by FROM"
            " migration_history WHERE migration_name = '20250120_add_t'"
        )
        .fetchone()
    )
    assert (version, rollback_sql, description, applied_by) == ("20250120", "DROP TABLE t;", "adds t", "postgres")
    assert checksum == db.folder.read("20250120_add_t").checksum
    assert not exists(session(), "t"), "registering runs nothing"


def test_register_again_takes_a_change_over(db, write_migration, session):
    write_migration("001_a", "SELECT 1;")
    write_migration("002_t", "CREATE TABLE t ();")
    db.register("001_a")
    assert not db.register("002_t").has_rollback_sql
    write_migration("002_t", f"-- Depends on: 001_a\nCREATE TABLE t ();{BLOCK}")
    assert db.register("002_t").outcome == "updated"
    assert db.check("001_a").dependent_migrations == ("002_t",)
    write_migration("002_t", f"CREATE TABLE t ();{BLOCK}")
    assert db.register("002_t").outcome == "updated"
    assert db.check("001_a").dependent_migrations == ()
    assert db.register("002_t").outcome == "unchanged"


def test_register_again_takes_another_search_path_over(db, write_migration, session):
    # the message of a rollback without effect sends people to look at the path: this is how they mend it
    write_migration("001_t", f"CREATE TABLE t ();{BLOCK}")
    db.register("001_t")
    session().execute("CREATE SCHEMA app")
    db.database.connection.execute("SET search_path = app, public")
    assert db.register("001_t").outcome == "updated"
    assert (
        value(session(), "SELECT metadata ->> 'search_path' FROM migration_history WHERE migration_name = '001_t'")
        == "app, public"
    )


def test_register_after_a_rollback_says_that_it_is_applied_again(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    db.rollback("001_t", confirm="001_t")
    session().execute("CREATE TABLE t ()")
    assert db.register("001_t").outcome == "applied again"
    assert status(session(), "001_t") == "applied"
    assert value(
        session(),
        "SELECT rollback_at IS NULL AND rollback_by IS NULL FROM migration_history WHERE migration_name = '001_t'",
    )


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [("", "-- Depends on: 009_z\n", ("009_z",)), ("-- Depends on: 002_b\n", "-- Depends on: 001_a\n", ("001_a",))],
    ids=["missing", "cycle"],
)
def test_bad_dependencies_are_named(db, write_migration, first, second, names):
    write_migration("001_a", "SELECT 1;")
    write_migration("002_b", "SELECT 1;")
    db.sync()
    write_migration("001_a", f"{first}SELECT 1;")
    write_migration("002_b", f"{second}SELECT 1;")
    if first:
        db.register("001_a")
    with pytest.raises(mr.DependencyError) as caught:
        db.register("002_b")
    assert set(names) <= set(caught.value.names)
    assert caught.value.hint


def test_sync_registers_what_is_new_dependencies_first(db, write_migration, session):
    write_migration("001_dependent", "-- Depends on: 002_base\nSELECT 1;")
    write_migration("002_base", f"SELECT 1;{BLOCK}")
    result = db.sync()
    assert [one.migration_name for one in result.registered] == ["002_base", "001_dependent"]
    assert [one.has_rollback_sql for one in result.registered] == [True, False]
    assert result.skipped == ()
    again = db.sync()
    assert again.registered == ()
    assert set(again.skipped) == {"001_dependent", "002_base"}


def test_one_bad_file_stops_no_other(db, write_migration, folder, session):
    write_migration("001_good", "SELECT 1;")
    write_migration("002_bad", "-- ROLLBACK START\nSELECT 1;")
    write_migration("003_missing", "-- Depends on: 009_nowhere\nSELECT 1;")
    write_migration("004_on_missing", "-- Depends on: 003_missing\nSELECT 1;")
    write_migration("005_ring", "-- Depends on: 006_ring\nSELECT 1;")
    write_migration("006_ring", "-- Depends on: 005_ring\nSELECT 1;")
    write_migration("007_on_ring", "-- Depends on: 006_ring\nSELECT 1;")
    write_migration("008_on_bad", "-- Depends on: 002_bad\nSELECT 1;")
    write_migration("010_unparsed", "SELECT 1;\n-- ROLLBACK START\nSELEC;\n-- ROLLBACK END")
    write_migration("no_digits", "SELECT 1;")
    (folder / "011_directory.sql").mkdir()
    write_migration("012_good", "-- Depends on: 001_good\nSELECT 1;")
    result = db.sync()
    assert {one.migration_name for one in result.registered} == {"001_good", "010_unparsed", "012_good"}
    failed = {failure.migration_name: failure.error for failure in result.failed}
    assert set(failed) == {
        "002_bad",
        "003_missing",
        "004_on_missing",
        "005_ring",
        "006_ring",
        "007_on_ring",
        "008_on_bad",
        "no_digits",
        "011_directory",
    }
    assert "002_bad.sql:1" in failed["002_bad"]
    assert "009_nowhere" in failed["003_missing"]
    assert "005_ring" in failed["006_ring"]
    assert any("010_unparsed.sql:3:1" in warning for warning in result.warnings)
    assert all("\n" in error for error in failed.values()), "an error without how to mend it"


def test_sync_leaves_what_was_changed_and_says_so(db, write_migration, session):
    write_migration("001_t", "SELECT 1;")
    db.sync()
    write_migration("001_t", f"SELECT 1;{BLOCK}")
    result = db.sync()
    assert result.skipped == ("001_t",)
    assert any("changed after it was registered" in warning for warning in result.warnings)
    assert value(session(), "SELECT rollback_sql IS NULL FROM migration_history WHERE migration_name = '001_t'")


def test_sync_does_not_apply_again_what_was_rolled_back(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    db.rollback("001_t", confirm="001_t")
    assert db.sync().registered == ()
    assert status(session(), "001_t") == "rolled_back"


def test_sync_tells_of_two_files_of_one_version(db, write_migration):
    write_migration("001_a", "SELECT 1;")
    write_migration("001_b", "SELECT 2;")
    result = db.sync()
    assert len(result.registered) == 2
    assert any("001_a and 001_b share the version 001" in warning for warning in result.warnings)


@pytest.mark.long
def test_sync_of_many_reports_its_progress(db, write_migration):
    for number in range(600):
        write_migration(f"{number:04}_m", "SELECT 1;")
    seen = []
    result = db.sync(progress=lambda done, total, _: seen.append((done, total)))
    assert len(result.registered) == 600
    assert seen[0] == (0, 600)
    assert seen == sorted(seen)


def test_one_file_that_changed_under_sync_does_not_stop_the_others(db, write_migration, session):
    # registered by another session between the question and the command
    write_migration("001_a", "SELECT 1;")
    write_migration("002_b", "-- Depends on: 001_a\nSELECT 1;")
    whole = Commands.register_many

    def register_many(self, records):
        session().execute("SELECT register_migration('001_a', '1')")
        return whole(self, records)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Commands, "register_many", register_many)
        assert db.sync().failed == ()
    assert db.check("001_a").dependent_migrations == ("002_b",)


def test_apply_runs_what_is_new_dependencies_first(db, write_migration, session):
    write_migration("001_view", "-- Depends on: 002_table\nCREATE VIEW v AS SELECT * FROM t;")
    write_migration("002_table", "CREATE TABLE t (a int);")
    assert db.pending() == ("002_table", "001_view")
    assert db.apply().applied == ("002_table", "001_view")
    assert db.pending() == ()
    assert db.apply().applied == ()
    assert events(session(), after=2) == ["applied", "applied"]


def test_apply_runs_the_up_migration_only(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    assert exists(session(), "t")


def test_what_was_rolled_back_is_applied_again_only_by_name(db, applied, session):
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    db.rollback("001_t", confirm="001_t")
    assert db.apply().applied == ()
    assert db.apply("001_t").applied == ("001_t",)
    assert exists(session(), "t")
    assert value(session(), "SELECT count(*) FROM migration_history WHERE migration_name = '001_t'") == 1


def test_apply_of_what_is_applied_skips_it(db, applied):
    applied("001_t", "CREATE TABLE t ();")
    assert db.apply("001_t").skipped == ("001_t",)


def test_apply_without_its_dependencies_is_refused(db, applied, write_migration, session):
    applied("001_a", "SELECT 1;", "SELECT 1;")
    db.rollback("001_a", confirm="001_a")
    write_migration("002_b", "-- Depends on: 001_a\nCREATE TABLE b ();")
    with pytest.raises(mr.MigrollbackError, match="001_a"):
        db.apply("002_b")
    assert not exists(session(), "b")


def test_apply_does_not_stop_at_a_bad_file_of_another(db, write_migration):
    write_migration("001_good", "SELECT 1;")
    write_migration("002_bad", "-- ROLLBACK START")
    assert db.apply("001_good").applied == ("001_good",)


def test_apply_by_an_up_migration_that_does_not_parse_names_its_place(db, write_migration, session):
    write_migration("001_t", "CREATE TABLE t ();\nCREATE TABEL u ();")
    with pytest.raises(mr.Refused, match=r"001_t\.sql:2:8"):
        db.apply()
    assert not exists(session(), "t")


def test_apply_of_a_wrapped_up_migration(db, write_migration, session):
    write_migration(
        "001_t", "BEGIN;\nCREATE TABLE t ();\nCOMMIT;\n-- ROLLBACK START\nBEGIN; DROP TABLE t; COMMIT;\n-- ROLLBACK END"
    )
    db.apply()
    assert db.rollback("001_t", confirm="001_t").success
    assert not exists(session(), "t")


def test_percent_signs_and_placeholders_reach_the_server_as_they_are(db, applied, session):
    applied(
        "001_t",
        "CREATE TABLE t AS SELECT '%s %(name)s 100% %% {x} $1 :y' AS a;",
        "INSERT INTO t VALUES ('%s %(name)s 100% %% {x} $1 :y');",
    )
    db.rollback("001_t", confirm="001_t")
    assert session().execute("SELECT DISTINCT a FROM t").fetchall() == [("%s %(name)s 100% %% {x} $1 :y",)]


def test_a_dollar_quoted_body_reaches_the_server_whole(db, applied, session):
    body = (
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $body$ BEGIN\n-- ROLLBACK START\nRETURN ';'; -- ROLLBACK"
        " END\nEND $body$;"
    )
    applied("001_f", body, "DROP FUNCTION f();\n" + body.replace("f()", "g()"))
    assert value(session(), "SELECT f()") == ";"
    db.rollback("001_f", confirm="001_f")
    assert value(session(), "SELECT g()") == ";"


def test_history_queries(db, applied, session):
    for name, rollback in (
        ("001_old", "SELECT 1;"),
        ("002_bare", None),
        ("003_gone", "SELECT 1;"),
        ("004_fails", "SELECT 1/0;"),
    ):
        applied(name, "SELECT 1;", rollback)
    db.rollback("003_gone", confirm="003_gone", reason="why")
    with pytest.raises(mr.RollbackFailed):
        db.rollback("004_fails", confirm="004_fails")
    session().execute(
        "UPDATE migration_history SET applied_at = now() - interval '8 days' WHERE migration_name = '001_old'"
    )
    names = lambda **options: set(db.history(**options)["migration_name"]) - {"20250120_migration_rollback_system"}  # noqa: E731
    assert names() == {"001_old", "002_bare", "003_gone", "004_fails"}
    assert names(since="7d") == {"002_bare", "003_gone", "004_fails"}
    assert names(since="9d") == names()
    assert names(since=datetime.now(UTC)) == set()
    assert names(status="rolled_back") == {"003_gone"}
    assert names(status="failed") == {"004_fails"}
    assert names(without_rollback=True) == {"002_bare"}
    assert list(db.history(status="rolled_back")["notes"]) == ["why"]
    with pytest.raises(mr.UsageError):
        db.history(status="undone")
    with pytest.raises(mr.UsageError):
        db.history(since="yesterday-ish")


def test_last_applied_is_none_of_ours(db, applied):
    assert db.database.queries.last_applied() is None
    applied("002_b", "SELECT 1;", "SELECT 1;")
    applied("001_a", "SELECT 1;", "SELECT 1;")
    assert db.database.queries.last_applied() == "001_a"
    db.rollback("001_a", confirm="001_a")
    assert db.database.queries.last_applied() == "002_b"


def test_frames_of_an_empty_database(empty_dsn):
    with mr.connect(empty_dsn) as db:
        db.install()
        assert list(db.dependencies().columns) == [
            "migration_name",
            "depends_on",
            "status",
            "depends_on_status",
            "created_at",
            "source",
            "because",
        ]
        assert str(db.dependencies()["created_at"].dtype) == "datetime64[us, UTC]"
        assert len(db.list(system=True)) == 1
        assert len(db.history(status="failed")) == 0


def test_times_are_those_of_the_server_whatever_its_zone(db, applied, session):
    applied("001_t", "SELECT 1;")
    moment = value(
        session(options="-c timezone=UTC"), "SELECT applied_at FROM migration_history WHERE migration_name = '001_t'"
    )
    (found,) = db.history().query("migration_name == '001_t'")["applied_at"]
    assert found.to_pydatetime() == moment


@pytest.mark.long
def test_a_borrowed_connection_is_not_closed(database_dsn, session, folder, write_migration):
    write_migration("001_t", f"CREATE TABLE t ();{BLOCK}")
    connection = session()
    with mr.connect(connection=connection, dir=folder) as db:
        db.apply()
        assert db.rollback("001_t", confirm="001_t").success
    assert not connection.closed


def test_a_borrowed_connection_in_a_transaction_mode_is_told_why_not(database_dsn):
    import psycopg

    with psycopg.connect(database_dsn) as connection, pytest.raises(mr.UsageError, match="autocommit"):
        mr.connect(connection=connection)


def test_a_file_of_another_tool_does_not_undo_itself_and_call_that_success(db, write_migration, session):
    write_migration("001_t", "-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;\n")
    db.apply()
    assert exists(session(), "t")
    assert db.check("001_t").can_rollback
    assert db.rollback("001_t", confirm="001_t").success
    assert not exists(session(), "t")
    (graded,) = mr.verify(db.folder.path).to_dict("records")
    assert (graded["grade"], graded["migration_name"]) == ("restores", "001_t")


@pytest.mark.long
@pytest.mark.versions
def test_a_baseline_as_pg_dump_writes_it(db, write_migration, session):
    """cases/sql/pg-dump-restrict"""
    write_migration(
        "20260101_baseline",
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict aBcDeF0\n\nSET statement_timeout = 0;\nSET client_encoding ="
        " 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\nCREATE TABLE public.leaf (id integer NOT"
        " NULL);\nALTER TABLE ONLY public.leaf ADD CONSTRAINT leaf_pkey PRIMARY KEY (id);\n\n\\unrestrict aBcDeF0\n\n--"
        " ROLLBACK START\n-- DROP TABLE public.leaf;\n-- ROLLBACK END\n",
    )
    write_migration(
        "20260102_branch",
        "create table branch (id int primary key);\n-- ROLLBACK START\n-- drop table branch;\n-- ROLLBACK END\n",
    )
    assert db.apply().applied == ("20260101_baseline", "20260102_branch")
    assert exists(session(), "public.branch")
    for name in ("20260102_branch", "20260101_baseline"):
        assert db.rollback(name, confirm=name).verification.verdict in {"restored", "schema_restored"}


def test_another_command_of_psql_is_refused_with_its_line(db, write_migration):
    write_migration("001_a", "CREATE TABLE a ();\n\\connect shop\nCREATE TABLE b ();")
    with pytest.raises(mr.Refused, match=r"001_a.sql:2:1: the up migration cannot run: \\connect is a command of psql"):
        db.apply()


@pytest.mark.long
def test_a_new_enum_value_that_is_used_at_once_leads_to_the_header(db, write_migration, session):
    session().execute("CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE t (m mood)")
    up = "ALTER TYPE mood ADD VALUE 'glad';\nINSERT INTO t VALUES ('glad');"
    write_migration("001_a", up)
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply()
    assert caught.value.sqlstate == "55P04"
    assert "Write -- Transaction: false at the top of the file" in caught.value.hint
    write_migration("001_a", f"-- Transaction: false\n{up}")
    assert db.apply().applied == ("001_a",)
    write_migration("002_b", f"SELECT 1;\n-- ROLLBACK START\n{up.replace('glad', 'mad')}\n-- ROLLBACK END")
    db.apply()
    with pytest.raises(mr.RollbackFailed, match="-- ROLLBACK START transaction:false"):
        db.rollback("002_b", confirm="002_b")


def test_a_function_of_an_extension_leads_to_the_extension(db, write_migration):
    write_migration("001_a", "CREATE TABLE t (id uuid DEFAULT uuid_generate_v4());")
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply()
    assert (
        'uuid_generate_v4() is of extension uuid-ossp, which this database does not have: CREATE EXTENSION "uuid-'
        in (caught.value.hint)
    )
