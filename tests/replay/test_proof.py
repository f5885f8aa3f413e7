"""verify: every grade and every remark, on each server."""

import pytest

from migrollback_nb.replay.proof import prove_folder

pytestmark = pytest.mark.versions


def differing(verdict):
    return [(found.to_dict()["change"], found.to_dict()["kind"], found.identity) for found in verdict.differences]


def test_what_comes_and_goes_restores_and_reapplies(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text NOT NULL);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int DEFAULT 3; CREATE INDEX ON a (m);", "ALTER TABLE a DROP COLUMN m;")
    found = verdicts()
    assert [(v.grade, v.reapplies, v.differences, v.remarks, v.sqlstate) for v in found.values()] == [
        ("restores", True, (), (), None)
    ] * 2


def test_a_column_that_comes_back_empty_loses_data_and_its_place_is_a_remark(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text, m int);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.reapplies) == ("loses_data", True)
    assert verdict.differences[0].to_dict() == {
        "change": "lost",
        "kind": "rows",
        "identity": "public.a",
        "old_definition": {"rows": 3},
        "new_definition": {"rows": 0, "columns": ["n"]},
    }
    assert verdict.remarks == ("the columns of public.a stand in another order",)


@pytest.mark.each_server
def test_a_column_that_only_comes_back_last_restores(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text, m int);", "DROP TABLE a;")
    write(
        "002_b",
        "ALTER TABLE a ADD COLUMN kept text; UPDATE a SET kept = n; ALTER TABLE a DROP COLUMN n;",
        "ALTER TABLE a ADD COLUMN n text; UPDATE a SET n = kept; ALTER TABLE a DROP COLUMN kept;",
    )
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.reapplies, verdict.remarks) == (
        "restores",
        True,
        ("the columns of public.a stand in another order",),
    )


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("up", "rollback"),
    [
        ("DROP TABLE a;", "CREATE TABLE a (id int PRIMARY KEY, n text);"),
        ("TRUNCATE a;", "SELECT 1;"),
        ("DELETE FROM a WHERE id = (SELECT min(id) FROM a);", "SELECT 1;"),
        ("UPDATE a SET n = n || '!';", "UPDATE a SET n = n;"),
        ("ALTER TABLE a ALTER n TYPE varchar(2) USING left(n, 2);", "ALTER TABLE a ALTER n TYPE text;"),
    ],
    ids=["dropped table", "truncated", "deleted", "updated", "cut"],
)
def test_rows_and_values_that_are_gone_are_seen(write, verdicts, up, rollback):
    write("001_a", "CREATE TABLE a (id int PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", up, rollback)
    verdict = verdicts()["002_b"]
    assert (verdict.grade, differing(verdict)) == ("loses_data", [("lost", "rows", "public.a")])


@pytest.mark.few(2)
@pytest.mark.parametrize("column", ["t", "row", "s", "q", "row_"])
def test_no_name_of_a_column_hides_the_others(write, verdicts, column):
    write(
        "001_a",
        f'CREATE TABLE a ("{column}" int, "row" int, lost text);'.replace('"row" int, "row" int', '"row" int'),
        "DROP TABLE a;",
    )
    write("002_b", "ALTER TABLE a DROP lost;", "ALTER TABLE a ADD lost text;")
    assert verdicts()["002_b"].differences[0].columns == ("lost",)


def test_rows_that_the_up_migration_made_are_not_lost_and_those_it_leaves_are_a_remark(write, verdicts):
    write("001_a", "CREATE TABLE a (id int, n text); INSERT INTO a VALUES (1, 'own');", "DROP TABLE a;")
    write("002_b", "INSERT INTO a VALUES (2, 'more');", "DELETE FROM a WHERE id = 2;")
    write("003_c", "INSERT INTO a VALUES (3, 'more');", "SELECT 1;")
    found = verdicts()
    assert (found["002_b"].grade, found["002_b"].remarks) == ("restores", ())
    assert (found["003_c"].grade, found["003_c"].remarks) == (
        "restores",
        ("1 row that the up migration wrote is left in public.a",),
    )


@pytest.mark.long
def test_what_is_left_differs_and_whether_it_reapplies_is_told_apart(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1;")
    write("002_b", "CREATE TABLE IF NOT EXISTS b (n int);", "SELECT 1;")
    write("003_c", "CREATE INDEX ON b (n);", "SELECT 1;")
    write("004_d", "DROP TABLE b;", "CREATE TABLE b (n bigint);")
    found = verdicts()
    assert [v.grade for v in found.values()] == ["differs"] * 4
    assert [v.reapplies for v in found.values()] == [False, True, False, True]
    assert ("created", "table", "public.a") in differing(found["001_a"])
    assert found["001_a"].remarks == ('up migration, again: relation "a" already exists (42P07)',)
    assert found["003_c"].remarks == ("up migration, again: it runs, but does not lead to the same schema",)
    assert ("changed", "column", "public.b.n") in differing(found["004_d"])


def test_a_rollback_that_fails_names_sqlstate_and_statement(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "SELECT 1; DROP TABLE no_such_table; DROP TABLE a;")
    verdict = verdicts()["001_a"]
    assert (verdict.grade, verdict.sqlstate, verdict.statement, verdict.reapplies) == (
        "fails",
        "42P01",
        "DROP TABLE no_such_table",
        None,
    )
    assert verdict.remarks == ('rollback: table "no_such_table" does not exist',)


def test_a_rollback_that_is_no_sql_fails(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "DROP TABEL a;")
    verdict = verdicts()["001_a"]
    assert (verdict.grade, verdict.sqlstate) == ("fails", "42601")
    assert verdict.remarks[0].startswith("rollback: ")


def test_a_rollback_that_fails_only_on_rows_says_so(write, verdicts):
    write("001_a", "CREATE TABLE a (id int, n text NOT NULL);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text NOT NULL;")
    verdict = verdicts()["002_b"]
    assert (verdict.grade, verdict.sqlstate) == ("fails", "23502")
    assert verdict.remarks[0] == "fails only because the tables hold rows (synthetic ones)"


@pytest.mark.long
def test_a_rollback_that_fails_for_what_synthetic_rows_say_is_graded_without_them(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int;", "UPDATE a SET n = n::uuid::text; ALTER TABLE a DROP COLUMN m;")
    verdict = verdicts()["002_b"]
    assert verdict.grade == "restores"
    assert verdict.remarks[0].startswith(
        "graded without synthetic rows: with them the rollback fails: invalid input syntax for type uuid"
    )


def test_without_a_rollback_there_is_nothing_to_grade(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);")
    write("002_b", "SELECT 1;", "-- nothing to do")
    assert [(v.grade, v.reapplies) for v in verdicts().values()] == [("no_rollback", None)] * 2


# -- up migrations that do not run -------------------------------------------------------------------------------------


def test_an_up_migration_that_fails_is_reported_and_stops_no_other(write, verdicts, folder):
    write("001_a", "CREATE TABLE a (n int);", "DROP TABLE a;")
    write("002_b", "SELECT 1; ALTER TABLE no_such_table ADD COLUMN m int;", "SELECT 1;")
    write("003_c", "SELECT 1;", "SELECT 1;", header="-- Depends on: 002_b.sql\n")
    write("004_d", "VACUUM a;", "SELECT 1;")
    write("005_e", "THIS IS NOT SQL;", "SELECT 1;")
    (folder / "006_f.sql").write_bytes(b"SELECT '\xff';")
    write("007_g", "SELECT 1;", "SELECT 1;", header="-- Depends on: 008_h.sql\n")
    write("008_h", "SELECT 1;", "SELECT 1;", header="-- Depends on: 007_g.sql\n")
    write("009_i", "CREATE TABLE i (n int);", "DROP TABLE i;")
    found = verdicts()
    assert found.pop("001_a").grade == found.pop("009_i").grade == "restores"
    assert {v.grade for v in found.values()} == {"fails"}
    assert all(v.remarks[0].startswith("up migration: ") for v in found.values())
    assert (found["002_b"].sqlstate, found["002_b"].statement) == (
        "42P01",
        "ALTER TABLE no_such_table ADD COLUMN m int",
    )
    assert "002_b" in found["003_c"].remarks[0]
    assert found["004_d"].sqlstate == "25001"
    assert found["005_e"].sqlstate == "42601"
    assert "UTF-8" in found["006_f"].remarks[0]
    assert "cycle" in found["007_g"].remarks[0]
    assert list(found) >= ["002_b"]


@pytest.mark.long
def test_an_up_migration_that_ends_its_own_connection_stops_no_other(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "DROP TABLE a;")
    write("002_b", "SELECT pg_terminate_backend(pg_backend_pid());", "SELECT 1;")
    write("003_c", "CREATE TABLE c (n int);", "SELECT pg_terminate_backend(pg_backend_pid());")
    write("004_d", "ALTER TABLE c ADD m int;", "ALTER TABLE c DROP m;")
    assert [v.grade for v in verdicts().values()] == ["restores", "fails", "fails", "restores"]


LONG = "\n".join(f"    total := total + {number};" for number in range(80))
CUT_IN_THE_MIDDLE = {
    "a body": (
        f"CREATE FUNCTION f() RETURNS missing_type LANGUAGE plpgsql AS $$\nDECLARE total int := 0;\nBEGIN\n{LONG}\n   "
        " RETURN total;\nEND $$;"
    ),
    "a string": f"SELECT '{'ä' * 3000}' FROM pg_class, missing_type.t;",
    "a name": f"SELECT '{'x' * 1960}' AS \"{'né' * 30}\", 1::missing_type;",
    "a comment": f"SELECT 1::missing_type /* {'x' * 3000} */;",
    "a mark of a file": f"SELECT 1::missing_type\n/* {'x' * 3000} */\n-- migrate:down\n;",
}


@pytest.mark.few(1)
@pytest.mark.parametrize("statement", CUT_IN_THE_MIDDLE.values(), ids=CUT_IN_THE_MIDDLE)
def test_a_long_statement_that_fails_stops_no_other(write, verdicts, statement):
    write("001_a", "CREATE TABLE a (id int);", "DROP TABLE a;")
    write("002_f", statement, "SELECT 1;")
    write("003_b", "CREATE TABLE b (id int);", statement)
    write("004_c", "CREATE TABLE c (id int);", "DROP TABLE c;")
    found = verdicts()
    assert [verdict.grade for verdict in found.values()] == ["restores", "fails", "fails", "restores"]
    assert [
        (found[name].sqlstate in ("42704", "42P01", "3F000"), "missing_type" in found[name].remarks[-1])
        for name in ("002_f", "003_b")
    ] == [(True, True)] * 2
    assert found["002_f"].lines()[0].endswith("… (the rest is left out)")


@pytest.mark.long
def test_what_is_missing_is_found_behind_the_part_that_is_kept(write, verdicts):
    write("001_a", f"SELECT '{'x' * 2500}' FROM nowhere.t;", "SELECT 1;")
    assert any("schema nowhere" in remark for remark in verdicts()["001_a"].remarks)


@pytest.mark.long
def test_a_hint_that_cannot_be_found_stops_nothing(write, verdicts, monkeypatch):
    monkeypatch.setattr("migrollback_nb.replay.hints.hint_for", lambda *_, **__: 1 / 0)
    monkeypatch.setattr("migrollback_nb.replay.filling.compared_values", lambda _: 1 / 0)
    write("001_a", "SELECT 1::missing_type;", "SELECT 1;")
    write("002_b", "CREATE TABLE b (id int);", "DROP TABLE b;")
    assert [verdict.grade for verdict in verdicts().values()] == ["fails", "restores"]


@pytest.mark.long
def test_expressions_nested_beyond_protobufs_own_limit_are_read(write, verdicts):
    columns = " || ".join(f"'{number}'" for number in range(300))
    write("001_a", f"CREATE VIEW v AS SELECT {columns} AS c;", "DROP VIEW v;")
    write(
        "002_b",
        f"UPDATE pg_class SET relname = {columns} WHERE relname = {columns};",
        f"DO $$ BEGIN PERFORM {columns}; END $$;",
    )
    assert [verdict.grade for verdict in verdicts().values()] == ["restores", "restores"]


# -- rows that are synthetic ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_rows_that_break_an_up_migration_are_left_out_and_said_so(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int NOT NULL;", "ALTER TABLE a DROP COLUMN m;")
    write("003_c", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")
    found = verdicts()
    assert found["002_b"].grade == "restores"
    assert found["002_b"].remarks == (
        (
            'graded without synthetic rows: with them the up migration fails: column "m" of relation "a"'
            " contains null values (23502)"
        ),
    )
    assert found["003_c"].grade == "loses_data", "the next one has rows again"


@pytest.mark.long
def test_rows_that_a_failing_migration_asked_for_are_not_laid_to_the_next(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, state text);", "DROP TABLE a;")
    write("002_b", "UPDATE a SET state = 'x' WHERE state = 'failed'; SELECT 1 / 0;", "SELECT 1;")
    write("003_c", "CREATE TABLE c ();", "DROP TABLE c;")
    found = verdicts()
    assert found["002_b"].grade == "fails"
    assert found["003_c"].remarks == ()


@pytest.mark.long
def test_an_up_migration_that_fails_with_and_without_rows_fails_for_its_own_reason(write, verdicts):
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a ADD COLUMN m int NOT NULL; SELECT 1 / 0;", "SELECT 1;")
    assert verdicts()["002_b"].sqlstate == "22012"


@pytest.mark.long
def test_a_table_that_nothing_can_be_put_into_is_named_where_it_matters(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE a (n int CHECK (n IS NULL), m text NOT NULL CHECK (m ~ '^zz[0-9]{7}yy$')); CREATE TABLE b (n"
        " int);",
        "DROP TABLE a, b;",
    )
    write("002_b", "ALTER TABLE a ADD k int;", "ALTER TABLE a DROP k;")
    write("003_c", "ALTER TABLE b ADD k int;", "ALTER TABLE b DROP k;")
    found = verdicts()
    assert found["003_c"].remarks == ()
    assert len(found["002_b"].remarks) == 1
    assert found["002_b"].remarks[0].startswith("public.a stayed empty, so nothing is proven of its rows (23514")


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("up", "kind"),
    [
        ("CREATE FOREIGN DATA WRAPPER w;", "foreign data wrapper"),
        ("COMMENT ON TABLE a IS 'x';", "comment"),
        ("GRANT SELECT ON a TO PUBLIC;", "grant"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';", "function"),
        ("CREATE TYPE mood AS ENUM ('sad');", "enum"),
        ("DO $$ BEGIN EXECUTE 'A' || 'LTER TABLE a DROP n'; END $$;", "column"),
    ],
    ids=lambda value: value if len(value) < 25 else "",
)
def test_what_a_rollback_leaves_is_seen_where_nothing_is_altered(write, verdicts, up, kind):
    write(
        "001_a",
        "CREATE TABLE a (n int, m int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        "DROP TABLE a; DROP FUNCTION f;",
    )
    write("002_b", up, "SELECT 1;")
    verdict = verdicts()["002_b"]
    assert verdict.grade == "differs"
    assert kind in {found.to_dict()["kind"] for found in verdict.differences}


def test_the_schema_is_not_read_whole_where_hashes_tell_that_it_is_as_before(write, folder, server):
    write("001_a", "CREATE TABLE a (n int);", "DROP TABLE a;")
    write("002_b", "CREATE TABLE b (n int); ALTER TABLE a ADD COLUMN m int;", "ALTER TABLE a DROP m; DROP TABLE b;")
    proof = prove_folder(folder, on=server.dsn())
    assert [verdict.grade for verdict in proof.migrations] == ["restores", "restores"]
    assert proof.digests == 0
    write("003_c", "CREATE INDEX i ON a (m);", "SELECT 1;")  # what it leaves is found by reading it whole
    proof = prove_folder(folder, on=server.dsn())
    assert [verdict.grade for verdict in proof.migrations] == ["restores", "restores", "differs"]
    assert proof.digests > 0


@pytest.mark.long
def test_sequences_are_no_data(write, verdicts):
    write("001_a", "CREATE SEQUENCE s;", "DROP SEQUENCE s;")
    write("002_b", "SELECT nextval('s');", "SELECT nextval('s');")
    assert verdicts()["002_b"].grade == "restores"


# -- outside a transaction ---------------------------------------------------------------------------------------------


def test_what_runs_outside_a_transaction_is_graded_too(write, verdicts):
    steps = {"header": "-- Transaction: false\n", "options": " transaction:false"}
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n int);", "DROP TABLE a;")
    write("002_b", "CREATE INDEX CONCURRENTLY a_n ON a (n);", "DROP INDEX CONCURRENTLY a_n;", **steps)
    write("003_c", "CREATE INDEX CONCURRENTLY a_m ON a (n);", "DROP INDEX CONCURRENTLY no_such_index;", **steps)
    write("004_d", "CREATE TABLE d (n int); SELECT 1 / 0;", "DROP TABLE d;", **steps)
    write("005_e", "UPDATE a SET n = -1;", "SELECT 1;", **steps)
    write("006_f", "CREATE TABLE d (n int);", "DROP TABLE d;")
    found = verdicts()
    assert [v.grade for v in found.values()] == ["restores", "restores", "fails", "fails", "loses_data", "restores"]
    assert [v.sqlstate for v in found.values()] == [None, None, "42704", "22012", None, None]


@pytest.mark.long
def test_enum_values_and_what_needs_them_are_no_trouble(write, verdicts):
    write("001_a", "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (m mood);", "DROP TABLE t; DROP TYPE mood;")
    write("002_b", "ALTER TYPE mood ADD VALUE 'b';", "SELECT 1;")
    write("003_c", "UPDATE t SET m = 'b';", "UPDATE t SET m = 'a';")
    assert [v.grade for v in verdicts().values()] == ["restores", "differs", "loses_data"]


@pytest.mark.long
def test_dropping_schema_public_is_survived(write, verdicts):
    write("001_a", "CREATE TABLE a (n int);", "DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    write("002_b", "CREATE TABLE b (n int);", "DROP TABLE b;")
    found = verdicts()
    assert found["001_a"].grade in ("restores", "differs")
    assert found["002_b"].grade == "restores"


@pytest.mark.long
def test_what_a_trigger_makes_of_a_row_belongs_to_the_schema_before(write, verdicts):
    write(
        "001_a",
        "CREATE TABLE team (id serial PRIMARY KEY); CREATE FUNCTION make() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " EXECUTE format('CREATE TABLE team_%s (n int)', NEW.id); RETURN NEW; END $$; CREATE TRIGGER t AFTER INSERT ON"
        " team FOR EACH ROW EXECUTE FUNCTION make();",
        "DROP TABLE team; DROP FUNCTION make;",
    )
    write("002_b", "ALTER TABLE team_1 ADD COLUMN m int;", "ALTER TABLE team_1 DROP COLUMN m;")
    assert verdicts()["002_b"].grade == "restores"
    write(
        "002_b",
        "DO $$ BEGIN IF to_regclass('team_1') IS NOT NULL THEN ALTER TABLE team_1 ADD COLUMN m int; END IF; END $$;",
        "ALTER TABLE team DROP COLUMN IF EXISTS m;",
    )
    write("003_c", "ALTER TABLE team ADD COLUMN k int NOT NULL;", "ALTER TABLE team DROP COLUMN k;")
    write("004_d", "ALTER TABLE team ADD COLUMN l int;", "ALTER TABLE team DROP COLUMN l;")
    found = verdicts()
    assert (found["002_b"].grade, differing(found["002_b"])) == ("differs", [("created", "column", "public.team_1.m")])
    assert found["002_b"].remarks[0] == "differs only where tables hold rows (synthetic ones)"
    assert (found["003_c"].grade, found["003_c"].differences) == ("restores", ()), "without rows there is no team_1"
    assert (found["004_d"].grade, found["004_d"].differences) == ("restores", ())


@pytest.mark.parametrize(
    "inside", ["BEGIN;\nINSERT INTO a VALUES (1);\nCOMMIT;", "COMMIT;\nCREATE INDEX CONCURRENTLY i ON a (id);"]
)
def test_a_file_of_a_tool_that_ends_transactions_itself_runs_as_the_tool_runs_it(tmp_path, inside):
    (tmp_path / "1_a.up.sql").write_text(f"CREATE TABLE a (id int);\n{inside}\nCREATE TABLE b ();\n")
    (tmp_path / "1_a.down.sql").write_text("DROP TABLE b;\nDROP TABLE a;\n")
    (tmp_path / "2_c.up.sql").write_text("ALTER TABLE a ADD COLUMN n int;\n")
    (tmp_path / "2_c.down.sql").write_text("ALTER TABLE a DROP COLUMN n;\n")
    (tmp_path / "3_d.up.sql").write_text(
        "CREATE TABLE d ();\nBEGIN;\nCREATE TABLE e ();\nCOMMIT;\nCREATE TABLE a ();\n"
    )
    (tmp_path / "3_d.down.sql").write_text("DROP TABLE d;\n")
    (tmp_path / "4_d.up.sql").write_text("CREATE TABLE d ();\n")
    (tmp_path / "4_d.down.sql").write_text("DROP TABLE d;\n")
    proof = prove_folder(tmp_path)
    assert [one.grade for one in proof.migrations] == ["restores", "restores", "fails", "restores"]
    first, _, third, _ = proof.migrations
    assert "it was run as golang-migrate runs it" in first.remarks[0]
    assert (third.sqlstate, third.statement) == ("42P07", "CREATE TABLE a ()")


def test_a_time_of_whole_seconds_that_the_rollback_writes_is_seen_within_the_second(write, verdicts):
    write("001_a", "CREATE TABLE a (id int PRIMARY KEY, at timestamptz(0)); INSERT INTO a VALUES (1, now());")
    write("002_b", "UPDATE a SET at = NOW() WHERE id = 1;", "UPDATE a SET at = now() WHERE id = 1;")
    assert verdicts()["002_b"].grade == "loses_data"
