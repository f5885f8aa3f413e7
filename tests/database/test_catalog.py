"""Every object of the system: comment, pinned path, no public execute, and known to migration_system_objects()."""

import psycopg
import pytest
from watching import value

import migrollback_nb as mr
from migrollback_nb.core.frames.columns import EVENTS
from migrollback_nb.database import installation, system_files
from migrollback_nb.files.migration import parse

pytestmark = pytest.mark.versions

OURS = "FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"


@pytest.fixture
def connection(shared_database):
    with psycopg.connect(shared_database, autocommit=True, options="-c default_transaction_read_only=on") as connection:
        yield connection


def names(connection, query):
    return [name for (name,) in connection.execute(query)]


def test_every_function_has_a_comment(connection):
    assert (
        names(
            connection,
            f"SELECT p.oid::regprocedure::text {OURS} AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''",
        )
        == []
    )


def test_every_comment_says_whether_it_writes(connection):
    rows = connection.execute(
        f"SELECT p.proname, obj_description(p.oid, 'pg_proc'), p.prorettype::regtype::text {OURS}"
    ).fetchall()
    assert [
        name
        for name, comment, returns in rows
        if "rites" not in comment and "write" not in comment and returns != "trigger" and "Takes" not in comment
    ] == []


def test_every_table_and_column_has_a_comment(connection):
    query = """
        SELECT c.relname || coalesce('.' || a.attname,
          '') FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
          AND (obj_description(c.oid, 'pg_class') IS NULL
               OR a.attname IS NOT NULL AND col_description(c.oid, a.attnum) IS NULL)
    """
    assert names(connection, query) == []


def test_every_function_pins_its_path_with_pg_temp_last(connection):
    query = f"""SELECT p.proname {OURS}
        AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c ~ '^search_path=.*pg_temp$')"""
    assert names(connection, query) == ["effective_search_path"]


def test_only_these_functions_run_with_their_owners_rights(connection):
    assert names(connection, f"SELECT p.proname {OURS} AND p.prosecdef ORDER BY p.proname") == [
        "approve_migration_request",
        "archive_changed_rows",
        "attempt_through_gate",
        "attempts_through_gate",
        "chain_through_gate",
        "list_migration_policies",
        "lost_through_gate",
        "migration_requests",
        "operator_gate",
        "preview_through_gate",
        "range_through_gate",
        "rehearse_through_gate",
        "request_migration_approval",
        "roll_back_through_gate",
        "snapshot_through_gate",
        "start_through_gate",
        "verify_through_gate",
        "withdraw_migration_request",
    ]


def test_a_frame_of_events_knows_every_event(connection):
    query = """SELECT m[1] FROM pg_constraint c
               CROSS JOIN regexp_matches(pg_get_constraintdef(c.oid), $$'([a-z_]+)'$$, 'g') AS m
               WHERE c.conname = 'migration_events_event_check'"""
    assert sorted(names(connection, query)) == sorted(EVENTS)


def test_no_function_is_public(connection):
    assert (
        names(
            connection,
            f"SELECT p.proname {OURS} AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f',"
            " p.proowner))) a WHERE a.grantee = 0)",
        )
        == []
    )


def test_the_system_knows_exactly_its_own_objects(connection):
    known = names(
        connection,
        "SELECT p.oid::regprocedure::text FROM migration_system_objects() o, unnest(o.routines) AS r (oid) JOIN pg_proc"
        " p ON p.oid = r.oid ORDER BY 1",
    )
    assert known == names(connection, f"SELECT p.oid::regprocedure::text {OURS} ORDER BY 1")
    tables = names(
        connection, "SELECT t::regclass::text FROM migration_system_objects() o, unnest(o.tables) AS t ORDER BY 1"
    )
    assert tables == names(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
        " ORDER BY 1",
    )


def test_no_name_stands_for_two_functions(connection):
    # named arguments with defaults make an overload a trap
    assert names(connection, f"SELECT p.proname {OURS} GROUP BY p.proname HAVING count(*) > 1") == []


def test_every_trigger_fires_always(connection):
    query = (
        "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace ="
        " 'public'::regnamespace AND NOT t.tgisinternal AND t.tgenabled <> 'A'"
    )
    assert names(connection, query) == []


def test_the_systems_own_objects_are_not_in_a_snapshot(connection):
    assert (
        names(
            connection,
            "SELECT kind || ' ' || identity FROM schema_objects() WHERE identity ~ 'migration_|rollback' AND kind <>"
            " 'default grant'",
        )
        == []
    )


@pytest.mark.parametrize("schema", ["public", 'My "Schema"', "schéma\ně"])
def test_the_rollback_of_the_system_is_kept_as_parsing_finds_it(schema):
    drops = installation.uninstall_statements(schema)
    block = "".join(f"-- {line}\n" for line in installation._joined(drops).split("\n"))
    name = system_files.SYSTEM_NAME
    text = (
        f"-- Migration: {name}.sql\n-- Description: {system_files.DESCRIPTION}\n-- ROLLBACK START\n{block}-- ROLLBACK"
        " END\n"
    )
    file = parse(text, name=name)
    file.validate()
    read = file.record()
    kept = installation._metadata(drops)
    # what it destroys, drops and locks is the system itself, and no one rehearses or assesses it by these
    for key in ("drops", "locks"):
        read["metadata"]["rollback"].pop(key, None)
    del read["metadata"]["destroys"]
    assert read["rollback_sql"] == installation._joined(drops)
    read["metadata"]["rollback"]["statements"] = [
        [start, size, line - 3] for start, size, line in read["metadata"]["rollback"]["statements"]
    ]
    assert kept == read["metadata"] | {"system": True, "system_version": mr.__version__}


def test_the_rollback_drops_every_function_and_table(connection):
    dropped = installation.uninstall_statements("public")
    for kind, query in (
        ("FUNCTION", f"SELECT p.proname {OURS}"),
        ("TABLE", "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"),
    ):
        for one in names(connection, query):
            assert f"DROP {kind} IF EXISTS public.{one}" in dropped


def test_sql_says_no_server_version_that_it_does_not_need(connection):
    assert value(connection, "SELECT current_setting('server_version_num')::int") >= 150000
