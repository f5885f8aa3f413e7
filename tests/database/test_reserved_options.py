"""Options that PostgreSQL keeps for itself (15.20: pg_attver=N for each column) are no part of the schema:
in no snapshot, diff, copy or suggested SQL."""

import json

import pytest
from watching import schema_of, value

from migrollback_nb.files.preludes import without_own_options
from migrollback_nb.replay.proof import prove_folder

pytestmark = pytest.mark.versions

THINGS = """
CREATE TABLE plain (a int, b text);
CREATE TABLE tuned (a int, b text) WITH (fillfactor = 70, toast.autovacuum_enabled = false);
ALTER TABLE tuned ALTER a SET (n_distinct = 5);
CREATE VIEW seen WITH (security_barrier = true) AS SELECT a FROM tuned;
CREATE MATERIALIZED VIEW kept WITH (fillfactor = 80) AS SELECT a FROM tuned;
CREATE TYPE pair AS (x int, y text);
"""
#: As no DDL can: other minor versions may stamp other objects.
STAMP_COLUMNS = """UPDATE pg_attribute SET attoptions = array_prepend('pg_attver=' || attnum, attoptions)
    WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'v', 'm',
      'c'))"""
STAMP_RELATIONS = (
    "UPDATE pg_class SET reloptions = array_append(reloptions, 'pg_relver=7') WHERE oid >= 16384 AND relkind IN ('r',"
    " 'v', 'm', 't')"
)


@pytest.fixture
def connection(session):
    connection = session()
    connection.execute(THINGS)
    connection.execute("SET allow_system_table_mods = on")
    return connection


def test_they_are_in_no_snapshot(connection):
    before = schema_of(connection)
    assert "pg_" not in json.dumps([definition.get("options", []) for definition in before.values()])
    assert before["column", "public.plain.a"] == {"type": "integer"}
    assert before["column", "public.tuned.a"] == {"type": "integer", "options": ["n_distinct=5"]}
    assert before["table", "public.tuned"]["options"] == ["fillfactor=70"]
    assert before["table", "public.tuned"]["toast_options"] == ["autovacuum_enabled=false"]
    connection.execute(STAMP_COLUMNS)
    connection.execute(STAMP_RELATIONS)
    assert schema_of(connection) == before


def test_those_of_relations_do_not_change_the_schema_hash(connection):
    before = value(connection, "SELECT schema_hash()")
    connection.execute(STAMP_RELATIONS)
    assert value(connection, "SELECT schema_hash()") == before
    connection.execute("UPDATE pg_class SET reloptions = array_replace(reloptions, 'fillfactor=70', 'fillfactor=60')")
    assert value(connection, "SELECT schema_hash()") != before


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "was", "now", "differs"),
    [
        ("column", ["pg_attver=1"], None, False),
        ("column", ["pg_attver=1"], ["pg_attver=2"], False),
        ("column", ["n_distinct=5", "pg_attver=1"], ["n_distinct=5"], False),
        ("column", ["n_distinct=5", "pg_attver=1"], ["n_distinct=6"], True),
        ("table", None, ["pg_relver=1"], False),
        ("table", ["fillfactor=70"], ["fillfactor=70", "pg_relver=1"], False),
        ("table", ["fillfactor=70"], ["pg_relver=1"], True),
        ("server", ["pg_is_my_own=1"], ["pg_is_my_own=2"], True),
    ],
)
def test_a_snapshot_from_before_they_were_known_compares_without_them(connection, kind, was, now, differs):
    def schema(options):
        return json.dumps({kind: {"public.x": {"owner": "me"} | ({} if options is None else {"options": options})}})

    assert (
        bool(connection.execute("SELECT * FROM schema_changes(%s, %s)", (schema(was), schema(now))).fetchall())
        == differs
    )


@pytest.mark.long
def test_a_dump_that_holds_them_can_be_copied(db, applied, connection):
    applied("001_t", "CREATE TABLE t (a int);", "DROP TABLE t;")
    connection.execute(STAMP_COLUMNS)
    rehearsed = db.rehearse("001_t", on="scratch")
    assert rehearsed.success
    assert [(change.change, change.kind, change.identity) for change in rehearsed.diff.main] == [
        ("dropped", "table", "public.t")
    ]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver=7);",
            "ALTER TABLE ONLY public.t ALTER COLUMN a RESET (pg_attver);",
        ),
        (
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver=7, n_distinct=5);",
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5);",
        ),
        (
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5, pg_attver=7, pg_other=1);",
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5);",
        ),
        (
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5);",
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5);",
        ),
        (
            'ALTER TABLE ONLY public.t ALTER COLUMN "pg_a\nSET (" SET (pg_attver=7);',
            'ALTER TABLE ONLY public.t ALTER COLUMN "pg_a\nSET (" RESET (pg_attver);',
        ),
        ("COMMENT ON TABLE t IS 'SET (pg_attver=7);';", "COMMENT ON TABLE t IS 'SET (pg_attver=7);';"),
    ],
)
def test_lines_of_a_dump(line, wanted):
    assert without_own_options(f"before;\n{line}\nafter;\n") == f"before;\n{wanted}\nafter;\n"


@pytest.mark.long
def test_a_prelude_that_was_dumped_with_them_runs_on_any_server(server, folder, write, tmp_path):
    dump = tmp_path / "dump.sql"
    dump.write_text("CREATE TABLE old (a int);\nALTER TABLE ONLY old ALTER COLUMN a SET (pg_attver=7);\n")
    write("001_v", "CREATE VIEW v AS SELECT a FROM old;", "DROP VIEW v;")
    assert [verdict.grade for verdict in prove_folder(folder, on=server.dsn(), prelude=dump).migrations] == ["restores"]


SHELF = {
    "20260101_base": ("create table shelf (id int primary key, label text, w int);", "drop table shelf;"),
    "20260102_add": ("alter table shelf add column aisle int;", "alter table shelf drop column aisle;"),
    "20260103_type": ("alter table shelf alter column w type bigint;", "alter table shelf alter column w type int;"),
    "20260104_dropcol": ("alter table shelf drop column label;", "alter table shelf add column label text;"),
    "20260105_view": ("create view shelf_v as select id from shelf;", "drop view shelf_v;"),
}


@pytest.mark.long
def test_a_folder_of_alters_is_graded_as_on_any_server(write, verdicts):
    for name, (up, rollback) in SHELF.items():
        write(name, up, rollback)
    grades = {name: verdict.grade for name, verdict in verdicts().items()}
    assert grades == dict.fromkeys(SHELF, "restores") | {"20260104_dropcol": "loses_data"}


@pytest.mark.parametrize("name", ["20260103_type", "20260104_dropcol"])
def test_an_altered_column_is_said_to_be_restored(db, applied, name):
    for one, (up, rollback) in SHELF.items():
        applied(one, up, rollback)
        if one == name:
            break
    preview = db.preview(name)
    result = db.rollback(name, confirm=name, preview=preview.fingerprint)
    assert result.verification.verdict == "restored", result.verification
