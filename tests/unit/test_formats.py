"""Migrations that were written for other tools:
what does and what undoes them is read as that tool reads it, and never run together."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import migrollback_nb as mr
from migrollback_nb.files import migration
from migrollback_nb.files.formats import MigrationFolder
from migrollback_nb.files.formats.layout import layout
from migrollback_nb.files.formats.sqitch import read_plan
from migrollback_nb.replay import template

#: Tool -> (a file as its documentation shows it, the line of its undo mark, whether it orders by number).
MARKED = {
    "dbmate": ("-- migrate:up\nCREATE TABLE t ();\n\n-- migrate:down\nDROP TABLE t;\n", 4, False),
    "goose": (
        (
            "-- +goose Up\n-- +goose StatementBegin\nCREATE TABLE t ();\n-- +goose StatementEnd\n\n-- +goose Down\nDROP"
            " TABLE t;\n"
        ),
        6,
        True,
    ),
    "sql-migrate": ("-- +migrate Up\nCREATE TABLE t ();\n\n-- +migrate Down\nDROP TABLE t;\n", 4, True),
    "tern": ("CREATE TABLE t ();\n\n---- create above / drop below ----\n\nDROP TABLE t;\n", 3, True),
    "node-pg-migrate": ("-- Up Migration\nCREATE TABLE t ();\n\n-- Down Migration\nDROP TABLE t;\n", 4, True),
    "MyBatis Migrations": ("-- // make t\nCREATE TABLE t ();\n\n-- //@UNDO\nDROP TABLE t;\n", 4, True),
}
#: Tool -> (the file that does, the file that undoes, name of the migration, its version).
PAIRS = {
    "golang-migrate": ("000001_users.up.sql", "000001_users.down.sql", "000001_users", "000001"),
    "yoyo": ("users.sql", "users.rollback.sql", "users", ""),
    "postgrator": ("001.do.users.sql", "001.undo.users.sql", "001.do.users", "001"),
    "Flyway": ("V1_2__users.sql", "U1.2__other_words.sql", "V1_2__users", "1.2"),
    "diesel": (
        "2018-01-01-000000_users/up.sql",
        "2018-01-01-000000_users/down.sql",
        "2018-01-01-000000_users",
        "20180101000000",
    ),
    "Prisma": ("20240101_users/migration.sql", "20240101_users/down.sql", "20240101_users", "20240101"),
    None: ("20240101_users.sql", "20240101_users.down.sql", "20240101_users", "20240101"),
}


def put(folder, **files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


# -- both parts in one file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", MARKED)
def test_what_does_and_what_undoes_are_told_apart(tool):
    text, mark, by_number = MARKED[tool]
    file = mr.parse(text, name="0010_t")
    file.validate()
    assert (file.tool, file.number) == (tool, (10,) if by_number else None)
    assert file.up_statements() == ("CREATE TABLE t ()",)
    assert file.rollback.statement_texts() == ("DROP TABLE t",)
    assert [line for _, _, line in file.rollback.statements] == [text.split("\n").index("DROP TABLE t;") + 1]
    assert file.rollback.line > mark
    assert (file.transaction, file.rollback.transaction, file.rollback.live) == (True, True, True)
    assert (file.up_refusal, file.remarks) == (None, ())
    assert (file.metadata()["tool"], file.checksum) == (tool, hashlib.sha256(text.encode()).hexdigest())


def test_sql_migrate_joins_the_parts_below_a_mark_that_is_repeated():
    text = """-- +migrate Up
CREATE TABLE a ();
-- +migrate Up notransaction
CREATE INDEX CONCURRENTLY i ON a ((1));
-- +migrate Down
DROP INDEX i;
-- +migrate Down
DROP TABLE a;
"""
    file = mr.parse(text, name="0010_t")
    file.validate()
    assert file.up_statements() == ("CREATE TABLE a ()", "CREATE INDEX CONCURRENTLY i ON a ((1))")
    assert file.rollback.statement_texts() == ("DROP INDEX i", "DROP TABLE a")
    assert (file.transaction, file.rollback.transaction) == (False, True)


@pytest.mark.parametrize("tool", MARKED)
def test_read_as_our_own_format_it_is_refused(tool):
    file = migration.parse(MARKED[tool][0], name="001_t")
    assert file.up_refusal[0].startswith(f"001_t.sql:{MARKED[tool][1]}:1: the up migration cannot run: ")
    assert tool in file.up_refusal[0]
    (remark,) = file.remarks
    assert remark.startswith(f"001_t.sql:{MARKED[tool][1]}: ")


@pytest.mark.parametrize("tool", MARKED)
def test_a_native_block_around_its_rollback_block_serves_both_tools(tool):
    lines = MARKED[tool][0].split("\n")
    lines.insert(MARKED[tool][1], "-- ROLLBACK START")
    file = mr.parse("\n".join(lines) + "-- ROLLBACK END\n", name="001_t")
    file.validate()
    assert (file.tool, file.up_refusal, file.remarks) == (tool, None, ())
    assert file.up_statements() == ("CREATE TABLE t ()",)
    assert file.rollback.statement_texts() == ("DROP TABLE t",)


@pytest.mark.parametrize("tool", MARKED)
def test_two_parts_that_undo_are_one_too_many(tool):
    file = mr.parse(f"{MARKED[tool][0]}-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n", name="001_t")
    with pytest.raises(mr.MigrationFileError, match="two rollback blocks") as caught:
        file.validate()
    assert caught.value.line == MARKED[tool][0].count("\n") + 1


@pytest.mark.parametrize("tool", MARKED)
def test_without_statements_below_the_mark_there_is_no_rollback_sql(tool):
    kept = MARKED[tool][0].replace("DROP TABLE t;\n", "")
    for below in (
        "",
        "-- nothing to undo\n",
        "-- DROP TABLE t;\n",
    ):  # what is commented out does not run there, and does not here
        file = mr.parse(kept + below, name="001_t")
        file.validate()
        assert (file.rollback, file.up_refusal, file.remarks) == (None, None, ())
        assert file.tool == tool


@pytest.mark.parametrize(
    ("text", "up", "rollback"),
    [
        ("-- migrate:up transaction:false\nVACUUM;\n-- migrate:down\nSELECT 1;", False, True),
        ("-- migrate:up\nSELECT 1;\n-- migrate:down transaction:false\nVACUUM;", True, False),
        ("-- +goose NO TRANSACTION\n-- +goose Up\nVACUUM;\n-- +goose Down\nVACUUM;", False, False),
        ("-- +migrate Up notransaction\nVACUUM;\n-- +migrate Down\nSELECT 1;", False, True),
        ("-- +migrate Up\nSELECT 1;\n-- +migrate Down notransaction\nVACUUM;", True, False),
        ("---- tern: disable-tx ----\nVACUUM;\n---- create above / drop below ----\nVACUUM;", False, False),
        ("-- Transaction: false\n-- migrate:up\nVACUUM;\n-- migrate:down\nSELECT 1;", False, True),
    ],
)
def test_outside_a_transaction_only_where_the_file_says_so(text, up, rollback):
    file = mr.parse(text, name="001_t")
    assert (file.transaction, file.rollback.transaction) == (up, rollback)
    assert (file.up_refusal, file.remarks) == (None, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-- migrate:up\n-- migrate:down\nVACUUM;", "-- migrate:down transaction:false"),
        ("-- +goose Up\n-- +goose Down\nVACUUM;", "-- +goose NO TRANSACTION"),
        ("-- +migrate Up\n-- +migrate Down\nVACUUM;", "-- +migrate Down notransaction"),
        ("---- create above / drop below ----\nVACUUM;", "---- tern: disable-tx ----"),
        ("-- Up Migration\n-- Down Migration\nVACUUM;", "-- ROLLBACK START transaction:false"),
    ],
)
def test_how_to_say_so_is_told_in_the_tools_own_words(text, words):
    file = mr.parse(text, name="001_t")
    (remark,) = file.remarks
    assert remark.endswith(f"VACUUM cannot run inside a transaction: write {words}")
    assert file.metadata()["rollback"]["no_transaction_words"] == words


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("-- migrate:up\n-- migrate:up\n", 2, "a second -- migrate:up (the first is in line 1)"),
        ("-- +goose Up\n-- +goose Down\n-- +goose down\n", 3, "a second -- +goose down (the first is in line 2)"),
        ("-- migrate:down\nDROP TABLE t;\n-- migrate:up\n", 3, "-- migrate:up stands below -- migrate:down"),
        ("-- +migrate Up\n-- +migrate Down\n-- +migrate Up\n", 3, "-- +migrate Up stands below -- +migrate Down"),
        ("\nSELECT 1;\n-- migrate:up\n", 2, "a statement above -- migrate:up"),
        ("-- +goose ENVSUB ON\n-- +goose Up\nSELECT '${X}';", 1, "-- +goose ENVSUB ON is goose's own to carry out"),
    ],
)
def test_a_bad_file_is_one_error_with_its_place(text, line, problem):
    with pytest.raises(mr.MigrationFileError) as caught:
        mr.parse(text, name="001_t").validate()
    assert (caught.value.line, caught.value.problem) == (line, problem)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '-- migrate:down'; SELECT 1;",
        "/* -- +goose Down */ SELECT 1;",
        "DO $$ BEGIN\n-- migrate:down\nPERFORM 1; END $$;",
        "-- Down migration is impossible here\nDROP TABLE t;",
        "-- UP MIGRATION\nCREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n",
    ],
)
def test_what_only_looks_like_a_mark(text):
    file = mr.parse(text, name="001_t")
    assert (file.tool, file.up_refusal, file.remarks) == (None, None, ())


def test_marks_of_two_tools_are_refused():
    file = mr.parse("-- migrate:up\nCREATE TABLE t ();\n-- +goose Down\nDROP TABLE t;\n", name="001_t")
    assert file.up_refusal[0].startswith(
        "001_t.sql:3:1: the up migration cannot run: what follows -- +goose Down is goose's"
    )


def test_headers_of_ours_count_in_a_file_of_another_tool():
    file = mr.parse("-- Description: a table\n-- Depends on: 001_base\n-- migrate:up\nCREATE TABLE t ();", name="002_t")
    assert (file.description, file.depends_on) == ("a table", ("001_base",))


UP_MARKS = ("-- migrate:up", "-- +goose Up", "-- +migrate Up", "-- Up Migration")
DOWN_MARKS = (
    "-- migrate:down",
    "-- +goose Down",
    "-- +migrate Down",
    "---- create above / drop below ----",
    "-- Down Migration",
    "-- //@UNDO",
)
LINES = (
    *UP_MARKS,
    *DOWN_MARKS,
    "-- ROLLBACK START",
    "-- ROLLBACK END",
    "SELECT {n};",
    "SELECT {n};",
    "-- a remark",
    "/*",
    "*/",
    "$$",
    "SELECT '",
    "';",
)


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_what_stands_below_a_mark_is_never_run_with_what_stands_above(lines):
    text = "\n".join(line.replace("{n}", str(number)) for number, line in enumerate(lines, 1))
    file = mr.parse(text, name="001_t")
    try:
        file.validate()
    except mr.MigrationFileError:
        return
    if file.up_refusal is not None:
        return
    marks = {comment.line for comment in file._whole.comments if comment.is_line_comment and comment.text in DOWN_MARKS}
    above = min(
        (line for line in marks if any(other.startswith("SELECT") for other in lines[line:])), default=len(lines) + 1
    )
    assert all(statement.line < above for statement in file.up.statements)
    done = {statement.text for statement in file.up.statements} & set(
        file.rollback.statement_texts() if file.rollback else ()
    )
    assert not {text for text in done if text.startswith("SELECT ") and text[7:].isdigit()}  # each number stands once


# -- a file that does and a file that undoes ---------------------------------------------------------------------------


@pytest.mark.parametrize("tool", PAIRS)
def test_two_files_are_one_migration(tmp_path, tool):
    up, down, name, version = PAIRS[tool]
    put(
        tmp_path,
        **{up: "-- Description: users\nCREATE TABLE users ();\n", down: "\n-- gone again\nDROP TABLE users;\n"},
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert (contents.errors, contents.warnings) == ((), ())
    (file,) = contents.files
    assert (file.tool, file.name, file.version, file.description) == (tool, name, version, "users")
    assert file.up_statements() == ("CREATE TABLE users ()",)
    assert file.rollback.statement_texts() == ("DROP TABLE users",)
    assert (file.rollback.path, file.rollback.statements[0][2], file.rollback.live) == (str(tmp_path / down), 3, False)
    assert MigrationFolder(tmp_path).read(name) == file
    assert MigrationFolder(tmp_path).checksum(name) == file.checksum
    assert MigrationFolder(tmp_path).names() == [name]


@pytest.mark.parametrize("tool", PAIRS)
def test_a_change_in_either_file_is_a_change(tmp_path, tool):
    up, down, name, _ = PAIRS[tool]
    found = set()
    for does, undoes in (
        ("SELECT 1;", "SELECT 2;"),
        ("SELECT 1", ";SELECT 2;"),
        ("SELECT 1;", "SELECT 3;"),
        ("SELECT 3;", "SELECT 2;"),
    ):
        put(tmp_path, **{up: does, down: undoes})
        found.add(MigrationFolder(tmp_path).read(name).checksum)
    assert len(found) == 4
    put(tmp_path, **{up: "\ufeffSELECT 1;\r\n", down: "SELECT 2;\r\n"})
    windows = MigrationFolder(tmp_path).checksum(name)
    put(tmp_path, **{up: "SELECT 1;\n", down: "SELECT 2;\n"})
    assert MigrationFolder(tmp_path).read(name).checksum == windows


@pytest.mark.parametrize("tool", [tool for tool in PAIRS if tool not in ("yoyo", None)])
def test_without_the_other_file_there_is_no_rollback_sql_but_a_native_block_counts(tmp_path, tool):
    up, _, name, _ = PAIRS[tool]
    put(tmp_path, **{up: "CREATE TABLE users ();"})
    file = MigrationFolder(tmp_path).read(name)
    assert (file.tool, file.rollback) == (tool, None)
    put(tmp_path, **{up: "CREATE TABLE users ();\n-- ROLLBACK START\n-- DROP TABLE users;\n-- ROLLBACK END\n"})
    assert MigrationFolder(tmp_path).read(name).rollback.statement_texts() == ("DROP TABLE users",)


@pytest.mark.parametrize("tool", PAIRS)
def test_a_native_block_besides_the_other_file_is_one_too_many(tmp_path, tool):
    up, down, name, _ = PAIRS[tool]
    put(
        tmp_path,
        **{up: "CREATE TABLE users ();\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END\n", down: "DROP TABLE users;"},
    )
    with pytest.raises(mr.MigrationFileError, match="two rollback blocks"):
        MigrationFolder(tmp_path).read(name)


@pytest.mark.parametrize(
    "name", ["000001_users.down", "0001.users.rollback", "001_users.UNDO", "001.undo.users", "U3__users"]
)
def test_a_file_that_only_undoes_is_no_migration(tmp_path, name):
    put(tmp_path, **{"000009_more.up.sql": "CREATE TABLE users ();", f"{name}.sql": "DROP TABLE users;"})
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["000009_more"]
    (error,) = contents.errors
    assert error.path.endswith(f"{name}.sql")
    assert error.problem.startswith("undoes a")
    assert error.hint
    with pytest.raises(mr.MigrationFileError):
        MigrationFolder(tmp_path).read(name)


def test_two_files_that_do_the_same_are_an_error(tmp_path):
    put(tmp_path, **{"001_a.up.sql": "SELECT 1;", "001_a.sql": "SELECT 1;"})
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.path for file in contents.files] == [str(tmp_path / "001_a.up.sql")]
    assert [error.problem for error in contents.errors] == [
        "is a second file of migration 001_a: the other is 001_a.up.sql"
    ]


def test_an_undo_file_that_cannot_be_read_is_an_error_of_its_migration(tmp_path):
    put(tmp_path, **{"001_a.up.sql": "SELECT 1;"})
    (tmp_path / "001_a.down.sql").write_bytes(b"\xff")
    (error,) = MigrationFolder(tmp_path).read_all().errors
    assert (error.migration_name, error.path) == ("001_a", str(tmp_path / "001_a.down.sql"))


def test_what_postgresql_refuses_in_a_transaction_runs_in_none_as_in_the_tool(tmp_path):
    put(
        tmp_path,
        **{"001_a.up.sql": "CREATE INDEX CONCURRENTLY i ON t (a);", "001_a.down.sql": "DROP INDEX CONCURRENTLY i;"},
    )
    file = MigrationFolder(tmp_path).read("001_a")
    assert (file.transaction, file.rollback.transaction, file.up_refusal, file.remarks) == (False, False, None, ())


def test_yoyo_says_what_it_depends_on_and_that_it_needs_no_transaction(tmp_path):
    put(
        tmp_path,
        **{
            "first.sql": "CREATE TABLE a ();",
            "first.rollback.sql": "DROP TABLE a;",
            "second.sql": "-- depends: first\n-- transactional: false\nSELECT 1;",
            "third.sql": "-- depends: first second\nSELECT 1;",
        },
    )
    files = {file.name: file for file in MigrationFolder(tmp_path).read_all().files}
    assert {name: (file.tool, file.depends_on, file.transaction) for name, file in files.items()} == {
        "first": ("yoyo", (), True),
        "second": ("yoyo", ("first",), False),
        "third": ("yoyo", ("first", "second"), True),
    }


def test_what_flyway_keeps_besides_is_left_out_with_a_line_that_says_so(tmp_path):
    put(
        tmp_path,
        **{"V1__a.sql": "SELECT 1;", "U1__a.sql": "SELECT 1;", "R__views.sql": "SELECT 1;", "B2__all.sql": "SELECT 1;"},
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["V1__a"]
    assert contents.errors == ()
    assert [warning.partition(" ")[0] for warning in contents.warnings] == ["B2__all.sql", "R__views.sql"]


def test_a_folder_below_is_only_a_migration_when_it_looks_like_one(tmp_path):
    put(
        tmp_path,
        **{"001_a/up.sql": "SELECT 1;", "002_b/notes.txt": "", "archive/up.sql": "SELECT 1;", "003_c.sql": "SELECT 1;"},
    )
    assert MigrationFolder(tmp_path).names() == ["001_a", "003_c"]


def test_of_several_databases_the_files_of_postgresql_are_read(tmp_path):
    names = ("1_boats", "2_sails.postgres", "2_sails.mysql", "3_oars.postgresql", "3_oars")
    put(tmp_path, **{f"{name}.up.sql": "CREATE TABLE t ();" for name in names})
    put(tmp_path, **{f"{name}.down.sql": "DROP TABLE t;" for name in names})
    contents = MigrationFolder(tmp_path).read_all()
    assert [(file.name, file.rollback is not None) for file in contents.files] == [
        ("1_boats", True),
        ("2_sails", True),
        ("3_oars", True),
    ]
    assert contents.files[1].path == str(tmp_path / "2_sails.postgres.up.sql")
    assert contents.files[1].rollback.path == str(tmp_path / "2_sails.postgres.down.sql")
    assert contents.warnings == ("2 files for MySQL are left out, among them 2_sails.mysql.down.sql",)
    assert {(Path(error.path).name, error.problem) for error in contents.errors} == {
        (f"3_oars.postgresql.{way}.sql", f"is for PostgreSQL what 3_oars.{way}.sql is for all: both would run")
        for way in ("up", "down")
    }


def test_pairs_with_a_v_before_the_number(tmp_path):
    put(tmp_path, **{"V0001.First.up.sql": "CREATE TABLE a ();", "V0001.First.down.sql": "DROP TABLE a;"})
    contents = MigrationFolder(tmp_path).read_all()
    (file,) = contents.files
    assert (file.name, file.tool, contents.errors, contents.warnings) == ("V0001.First", None, (), ())
    assert file.rollback.statement_texts() == ("DROP TABLE a",)
    assert MigrationFolder(tmp_path).checksum("V0001.First") == file.checksum


# -- order -------------------------------------------------------------------------------------------------------------


def order(folder):
    return [file.name for file in MigrationFolder(folder).read_all().files]


def test_tools_that_go_by_numbers_have_2_before_10(tmp_path):
    put(tmp_path, **{f"{number}_a.up.sql": "SELECT 1;" for number in (1, 2, 10)})
    assert order(tmp_path) == ["1_a", "2_a", "10_a"]


def test_flyway_compares_the_parts_of_a_version(tmp_path):
    put(tmp_path, **{f"V{version}__a.sql": "SELECT 1;" for version in ("1", "1.10", "1.9", "2_1")})
    assert order(tmp_path) == ["V1__a", "V1.9__a", "V1.10__a", "V2_1__a"]


def test_supabase_and_dbmate_go_by_name(tmp_path):
    put(
        tmp_path,
        **{
            "10_a.sql": "SELECT 1;",
            "2_a.sql": "-- migrate:up\nSELECT 1;",
            "20250120_b.sql": "SELECT 1;",
            "20240101000000_c.sql": "SELECT 1;",
        },
    )
    assert order(tmp_path) == ["10_a", "20240101000000_c", "20250120_b", "2_a"]


def test_numbers_that_names_put_in_another_order_are_warned_of_once(tmp_path):
    put(tmp_path, **{f"{number}_a.sql": "SELECT 1;" for number in (1, 2, 9, 10, 11, 20250120)})
    assert MigrationFolder(tmp_path).read_all().warnings == (
        "11_a comes before 1_a: they go by name, where 10 stands before 2. Put zeros before the shorter numbers",
    )


def test_what_a_ledger_knows_by_its_name_may_share_its_digits(tmp_path):
    put(tmp_path, **{f"001_{name}.sql": "-- rambler up\nSELECT 1;\n-- rambler down\nSELECT 2;" for name in "ab"})
    assert MigrationFolder(tmp_path).read_all().warnings == ()
    put(tmp_path, **{f"001_{name}.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;" for name in "ab"})
    (warning,) = MigrationFolder(tmp_path).read_all().warnings
    assert "share the version 001" in warning


# -- what template writes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", MARKED)
def test_a_suggestion_stands_below_the_tools_own_mark(tool):
    text, mark, _ = MARKED[tool]
    file = mr.parse(text, name="001_t")
    blank = template.rollback_text(file)
    assert blank.startswith(text.split("\n")[mark - 1] + "\n\n-- TODO: Add SQL to undo this migration")
    assert "ROLLBACK" not in blank
    assert f"001_t.sql:{mark}: " in file.block_place
    other = file.with_rollback(
        template.rollback_text(file).replace("-- DROP TABLE IF EXISTS table_name CASCADE;", "DROP TABLE IF EXISTS t;")
    )
    other.validate()
    assert (other.tool, other.up_statements(), other.rollback.statement_texts()) == (
        tool,
        ("CREATE TABLE t ()",),
        ("DROP TABLE IF EXISTS t",),
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("-- migrate:up\nSELECT 1;", "-- migrate:down transaction:false"),
        ("-- +goose Up\nSELECT 1;", "-- +goose Down\n-- +goose NO TRANSACTION"),
        ("-- +migrate Up\nSELECT 1;", "-- +migrate Down notransaction"),
    ],
)
def test_a_suggestion_that_needs_no_transaction_says_so_in_the_tools_words(text, start):
    assert mr.parse(text, name="001_t").block_marks(no_transaction=True) == (start, "")


@pytest.mark.parametrize("tool", PAIRS)
def test_a_suggestion_for_a_pair_is_a_file_of_its_own(tmp_path, tool):
    up, down, name, _ = PAIRS[tool]
    put(tmp_path, **{up: "CREATE TABLE users ();", down: "SELECT 1;"})
    file = MigrationFolder(tmp_path).read(name)
    assert file.block_place == f"This is for a file of its own, {tmp_path / down}, in place of what it holds"
    assert template.rollback_text(file).startswith("-- TODO: Add SQL")
    assert file.with_rollback("DROP TABLE users;").rollback.statement_texts() == ("DROP TABLE users",)


@pytest.mark.parametrize(
    ("names", "undo"),
    [
        (["1_a.up.sql"], "1_a.down.sql"),
        (["V1__a.sql"], "U1__a.sql"),
        (["001.do.a.sql"], "001.undo.a.sql"),
        (["b.sql", "b.rollback.sql", "a.sql"], "a.rollback.sql"),
    ],
)
def test_the_file_that_is_missing_has_a_name(names, undo):
    found = next(iter(layout(names, {}).migrations.values()))
    assert (found.rollback, found.has_rollback) == (undo, False)


def test_programs_among_the_migrations_are_left_out_with_a_line_that_says_so(tmp_path):
    put(
        tmp_path,
        **{"001_a.up.sql": "SELECT 1;", "002_b.up.go": "", "003_c.py": "", "004_d.up.fizz": "", "helpers.go": ""},
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["001_a"]
    assert contents.warnings == (
        "Left out, because only SQL is read: 002_b.up.go, 003_c.py, 004_d.up.fizz. What depends on them cannot be"
        " tried",
    )


def test_what_undoes_a_program_is_left_out_with_it(tmp_path):
    put(
        tmp_path,
        **{
            "001_a.up.sql": "SELECT 1;",
            "002_b.up.go": "",
            "002_b.down.sql": "SELECT 1;",
            "003_c.down.sql": "SELECT 1;",
        },
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["001_a"]
    assert contents.warnings == (
        "Left out, because only SQL is read: 002_b.down.sql, 002_b.up.go. What depends on them cannot be tried",
    )
    assert [Path(error.path).name for error in contents.errors] == ["003_c.down.sql"], "nothing that it undoes is here"


# -- a plan ------------------------------------------------------------------------------------------------------------

WHEN = "2024-01-01T00:00:00Z Me <me@example.com>"
PLAN = f"""\
%syntax-version=1.0.0
%project=shop

appschema {WHEN} # Add the schema
users [appschema] {WHEN}
@v1 {WHEN} # first release

users [users@v1 shop:appschema other:thing !ghosts] {WHEN} # reworked
+reports/daily [users @v1] {WHEN}
"""


def put_plan(folder, plan, *names):
    put(folder, **{"sqitch.plan": plan})
    for name in names:
        for part, sql in (("deploy", "CREATE TABLE t ();"), ("revert", "DROP TABLE t;")):
            path = folder / part / f"{name}.sql"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"-- {part} {name}\n\nBEGIN;\n{sql}\nCOMMIT;\n")


def test_a_plan_says_order_and_dependencies(tmp_path):
    put_plan(tmp_path, PLAN, "appschema", "users@v1", "users", "reports/daily")
    contents = MigrationFolder(tmp_path).read_all()
    assert (contents.errors, contents.warnings) == ((), ())
    assert [(file.name, file.depends_on) for file in contents.files] == [
        ("appschema", ()),
        ("users@v1", ("appschema",)),
        ("users", ("users@v1", "appschema")),
        ("reports/daily", ("users", "users@v1")),
    ]
    assert {file.tool for file in contents.files} == {"Sqitch"}
    file = MigrationFolder(tmp_path).read("reports/daily")
    assert (file.up_statements(), file.rollback.statement_texts()) == (("CREATE TABLE t ()",), ("DROP TABLE t",))
    assert file.rollback.path == str(tmp_path / "revert" / "reports" / "daily.sql")


def test_of_the_tags_between_the_one_whose_file_exists_names_the_file(tmp_path):
    plan = (
        f"%project=depot\n\nweigh {WHEN}\n@v1 {WHEN}\ncrates {WHEN}\n@v2 {WHEN}\n@v2b {WHEN}\nweigh [weigh@v2]"
        f" {WHEN}\n@v3 {WHEN}\nweigh {WHEN}\n"
    )
    for file in ("weigh@v1", "weigh@v2", "weigh@v2b"):
        put_plan(tmp_path, plan, file, "crates", "weigh@v3", "weigh")
        assert order(tmp_path) == [file, "crates", "weigh@v3", "weigh"]
        for part in ("deploy", "revert"):
            (tmp_path / part / f"{file}.sql").unlink()
    put_plan(tmp_path, plan, "weigh@v1", "weigh@v2")
    assert order(tmp_path)[0] == "weigh@v2", "Sqitch takes the newest change's tag"
    for part in ("deploy", "revert"):
        for file in ("weigh@v1", "weigh@v2"):
            (tmp_path / part / f"{file}.sql").unlink()
    assert [error.path.rpartition("/")[2] for error in MigrationFolder(tmp_path).read_all().errors] == ["weigh@v2.sql"]


#: What a plan may hold -> lines of it, the address of its project first where it has one.
PLANS = {
    "an address": f"%uri=HTTPS://Example.COM:443\n\na {WHEN}\n",
    "an address with a path": f"%uri = http://Example.com:8080/Some/Path?q=1\n\na {WHEN}\n",
    "an address that is none of the web": f"%uri=URN:Depot:X\n\na {WHEN}\n",
    "everything else": (
        f"""
a {WHEN}
b [a shop:a other:thing !ghosts !other:ghost] {WHEN} # note
@v1 {WHEN}
c [@v1 b@v1] {WHEN} # two\\nlines \\\\ and a backslash
d {WHEN} #   hash # and hash
e {WHEN} # 0
f {WHEN} # \u010de\u0161tina
g 2024-01-01T00:00:00Z  J\u00f6rg  M.  <j@example.com>
+reports/daily 2024-01-01T00:00:00Z x <y@z>
@v2 {WHEN}
a [a@v2 !x] {WHEN} # again
"""
    ),
}


@pytest.mark.parametrize("what", PLANS)
def test_the_id_of_a_change_is_the_one_that_sqitch_computes(tmp_path, what):
    if shutil.which("sqitch") is None:
        pytest.skip("this machine has no sqitch (apt-get install sqitch libdbd-pg-perl)")
    (tmp_path / "sqitch.plan").write_text("%syntax-version=1.0.0\n%project=shop\n" + PLANS[what])
    (tmp_path / "sqitch.conf").write_text(
        "[core]\n    engine = pg\n[user]\n    name = Me\n    email = me@example.com\n"
    )
    done = subprocess.run(
        ["sqitch", "--chdir", str(tmp_path), "plan", "--no-headers", "--format", "format:%H %n"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    real = [line.partition(" ")[0] for line in done.stdout.split("\n") if line]
    assert [
        change.change_id for change in read_plan((tmp_path / "sqitch.plan").read_text(), path="sqitch.plan")
    ] == real


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("what is this", "is no line of a plan"),
        (f"-users {WHEN}", "is no line of a plan"),
        (f"b [a] {WHEN}", "b requires a, which is not above it"),
        (f"b [users@v9] {WHEN}", "b requires users@v9, which is not above it"),
        (f"users {WHEN}\nusers {WHEN}", "users is reworked without a tag since line 2"),
    ],
)
def test_a_plan_that_cannot_be_read_is_one_error_with_its_line(tmp_path, line, problem):
    put_plan(tmp_path, f"%project=shop\n{line}\n")
    with pytest.raises(mr.MigrationFileError) as caught:
        MigrationFolder(tmp_path).read_all()
    assert (caught.value.path, caught.value.line, caught.value.problem) == (
        str(tmp_path / "sqitch.plan"),
        line.count("\n") + 2,
        problem,
    )


def test_a_change_without_its_file_is_an_error_of_its_own(tmp_path):
    put_plan(tmp_path, PLAN, "appschema", "users@v1", "users")
    (tmp_path / "revert" / "users.sql").unlink()
    contents = MigrationFolder(tmp_path).read_all()
    assert [(error.migration_name, error.problem) for error in contents.errors] == [("reports/daily", "does not exist")]
    assert [file.name for file in contents.files if file.rollback is None] == ["users"]


def test_what_cannot_be_read_as_sql_is_registered_all_the_same_where_another_file_undoes_it(tmp_path):
    put(tmp_path, **{"001_a.up.sql": "COPY t FROM stdin;\n160913_x\t'open\n\\.\n", "001_a.down.sql": "DELETE FROM t;"})
    (file,) = MigrationFolder(tmp_path).read_all().files
    assert file.rollback.statement_texts() == ("DELETE FROM t",)
    assert file.up_refusal is not None


def test_golang_migrate_goes_by_the_number_alone(tmp_path):
    # stacklok/minder has 000072_profile_selectors_type.up.sql and 000072_profile_selector_type.down.sql
    put(
        tmp_path,
        **{
            "000072_selectors.up.sql": "CREATE TABLE t ();",
            "000072_selector.down.sql": "DROP TABLE t;",
            "000073_more.up.sql": "SELECT 1;",
        },
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert contents.errors == ()
    assert [(file.name, file.rollback is not None) for file in contents.files] == [
        ("000072_selectors", True),
        ("000073_more", False),
    ]


def test_what_has_a_file_of_its_own_is_not_taken_for_a_neighbours(tmp_path):
    put(tmp_path, **{"001_a.up.sql": "SELECT 1;", "001_b.up.sql": "SELECT 2;", "001_b.down.sql": "SELECT 3;"})
    put(tmp_path, **{"002_a.up.sql": "SELECT 1;", "002_b.up.sql": "SELECT 2;", "002_c.down.sql": "SELECT 3;"})
    contents = MigrationFolder(tmp_path).read_all()
    assert [(file.name, file.rollback is not None) for file in contents.files] == [
        ("001_a", False),
        ("001_b", True),
        ("002_a", False),
        ("002_b", False),
    ]
    assert [error.migration_name for error in contents.errors] == ["002_c.down"]


def test_the_demo_is_in_our_own_format_and_gets_blocks_in_it():
    # the specification heads the up migration with -- UP MIGRATION, as node-pg-migrate does
    folder = Path(mr.__file__).parent / "cli" / "demo" / "migrations"
    files = MigrationFolder(folder).read_all().files
    assert files
    assert {file.tool for file in files} == {None}
    assert {template.rollback_text(file).split("\n")[0] for file in files} == {"-- ROLLBACK START"}
