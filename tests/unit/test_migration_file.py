"""One file -> MigrationFile: header, up migration, rollback block, checksum."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrollback_nb import MigrationFileError, parse

FILE = """\
-- Migration: 20250120_add_user_settings.sql
-- Description: Add user settings table
-- Depends on: 20250118_users.sql, 20250119_themes

CREATE TABLE user_settings (id int);

-- ROLLBACK START
-- how to undo it
DROP TABLE IF EXISTS user_settings CASCADE;

-- ROLLBACK END
"""


def block(text, options=""):
    return parse(f"SELECT 1;\n-- ROLLBACK START{options}\n{text}\n-- ROLLBACK END\n", name="001_t").rollback


def test_the_specified_format():
    file = parse(FILE, name="20250120_add_user_settings")
    file.validate()
    assert file.version == "20250120"
    assert file.description == "Add user settings table"
    assert file.depends_on == ("20250118_users", "20250119_themes")
    assert file.up_statements() == ("CREATE TABLE user_settings (id int)",)
    assert file.transaction
    assert file.rollback.sql == "-- how to undo it\nDROP TABLE IF EXISTS user_settings CASCADE;"
    assert file.rollback.statement_texts() == ("DROP TABLE IF EXISTS user_settings CASCADE",)
    assert (file.rollback.live, file.rollback.transaction, file.rollback.problem) == (True, True, None)
    assert file.remarks == ()


def test_checksum_is_sha256_of_the_text():
    assert parse(FILE, name="1_a").checksum == hashlib.sha256(FILE.encode()).hexdigest()


def test_byte_order_mark_and_line_ends_change_nothing():
    plain = parse(FILE, name="1_a")
    for other in ("\ufeff" + FILE, FILE.replace("\n", "\r\n"), "\ufeff" + FILE.replace("\n", "\r\n")):
        assert parse(other, name="1_a").record() == plain.record()


@pytest.mark.parametrize(
    ("name", "version"), [("20250120_a", "20250120"), ("1", "1"), ("007-bond", "007"), ("1.2_x", "1")]
)
def test_version_is_the_leading_digits(name, version):
    assert parse("", name=name).version == version


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("-- Depends on: 1_a", ("1_a",)),
        ("-- Depends on: 1_a.sql", ("1_a",)),
        ("-- depends ON:1_a", ("1_a",)),
        ("--Depends on: 1_a , 2_b.sql,3_c", ("1_a", "2_b", "3_c")),
        ("-- Depends on: 1_a 2_b", ("1_a", "2_b")),
        ("-- Depends on: 1_a\n-- Depends on: 2_b\n-- Depends on: 1_a", ("1_a", "2_b")),
        ("-- Depends on: none", ()),
        ("-- Depends on:", ()),
        ("-- Depends on: 1 with spaces", ("1 with spaces",)),
        ('-- Depends on: 1_"Quoted".sql', ('1_"Quoted"',)),
        ("/* a note */\n\n-- Depends on: 1_a", ("1_a",)),
    ],
)
def test_depends_on(header, names):
    assert parse(f"{header}\nSELECT 1;", name="9_z").depends_on == names


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;\n-- Depends on: 1_a",
        "SELECT '\n-- Depends on: 1_a\n';",
        "/*\n-- Depends on: 1_a\n*/",
        "-- ROLLBACK START\n-- Depends on: 1_a\nSELECT 1;\n-- ROLLBACK END",
    ],
)
def test_only_header_comments_say_what_it_depends_on(text):
    assert parse(text, name="9_z").depends_on == ()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n';",
        "SELECT $$\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n$$;",
        "DO $body$ BEGIN\n-- ROLLBACK START\nNULL;\n-- ROLLBACK END\nEND $body$;",
        "/* outer /* inner\n-- ROLLBACK START\n*/\n-- ROLLBACK END\n*/ SELECT 1;",
        'SELECT 1 AS "\n-- ROLLBACK START\n-- ROLLBACK END\n";',
        "SELECT 1; -- no -- ROLLBACK START",
        "SELECT 1; -- ROLLBACK STARTED early",
        "SELECT 1; -- the ROLLBACK START marker",
        "SELECT E'\\'\n-- ROLLBACK START\n';",
        "SELECT 1; -- START ROLLBACK",
    ],
)
def test_a_marker_that_is_no_comment_of_its_own_is_no_marker(text):
    file = parse(text, name="001_t")
    file.validate()
    assert file.rollback is None
    assert len(file.up_statements()) == 1


@pytest.mark.parametrize(
    "markers",
    [
        ("-- ROLLBACK START", "-- ROLLBACK END"),
        ("--ROLLBACK START", "--ROLLBACK END"),
        ("  --  ROLLBACK  START  ", "\t-- ROLLBACK   END\t"),
        ("-- rollback start", "-- Rollback End"),
    ],
)
def test_markers_may_be_written_loosely(markers):
    file = parse(f"SELECT 1;\n{markers[0]}\nSELECT 2;\n{markers[1]}", name="001_t")
    assert file.rollback.statement_texts() == ("SELECT 2",)


def test_comments_may_follow_the_block():
    file = parse(FILE + "\n-- the end /* or */\n/* is it? */\n;", name="001_t")
    file.validate()
    assert file.rollback.statement_texts() == ("DROP TABLE IF EXISTS user_settings CASCADE",)


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "\n\n",
        "-- nothing to do",
        "/* nothing */",
        ";",
        "-- TODO: undo it\n-- Common patterns:\n\n-- DROP what was made\n",
        "-- a remark;",
    ],
)
def test_a_block_of_comments_is_no_rollback(inside):
    assert block(inside) is None


def test_a_block_commented_out_line_by_line_is_a_rollback():
    found = block("-- DROP TABLE a;\n--   DROP TABLE\n--     b;\n\n-- -- and a remark\n-- DROP FUNCTION f;")
    assert found.statement_texts() == ("DROP TABLE a", "DROP TABLE\n    b", "DROP FUNCTION f")
    assert not found.live
    assert "-- and a remark" in found.sql


def test_one_sign_is_stripped_from_each_line_of_a_commented_block():
    assert block("--DROP TABLE a;\n-- DROP TABLE b;\n  -- DROP TABLE c;").statement_texts() == (
        "DROP TABLE a",
        "DROP TABLE b",
        "DROP TABLE c",
    )


def test_a_commented_block_keeps_the_text_of_function_bodies():
    body = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\n  SELECT 'x--y'; -- why\n$$;"
    commented = "\n".join(f"-- {line}" for line in body.split("\n"))
    assert block(commented).sql == body


def test_a_live_statement_makes_the_block_live_and_its_comments_remarks():
    found = block("-- DROP TABLE kept;\nDROP TABLE gone;")
    assert found.live
    assert found.statement_texts() == ("DROP TABLE gone",)


def test_lines_are_those_of_the_file():
    found = block("\n\nDROP TABLE a;\n\n/* b */ DROP TABLE b;")
    assert [line for _, _, line in found.statements] == [5, 7]


@pytest.mark.parametrize(
    ("inside", "line", "column"),
    [
        ("DROP TABLE IF NOT EXISTS t;", 3, 15),
        ("DROP TABLE a;\n  DROP TABEL b;", 4, 8),
        ("-- žluťoučký kůň\nDROP TABLE a;\n/* ěšč */ DROP TABEL b;", 5, 16),
        ("DROP TABLE 'open;", 3, 12),
        ("-- DROP TABLE a;\n-- DROP TABLE IF NOT EXISTS b;", None, None),
    ],
)
def test_a_block_that_does_not_parse_is_named_and_the_up_migration_still_counts(inside, line, column):
    file = parse(f"SELECT 1;\n-- ROLLBACK START\n{inside}\n-- ROLLBACK END\n", name="001_t")
    file.validate()
    assert file.up_statements() == ("SELECT 1",)
    if line is None:  # comments that are no SQL are remarks
        assert file.rollback is None
        return
    assert (file.rollback.problem.line, file.rollback.problem.column) == (line, column)
    assert file.rollback.metadata()["error"]["line"] == line
    assert any(f":{line}:{column}: " in remark for remark in file.remarks)


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT;",
        "BEGIN; DROP TABLE t;",
        "SAVEPOINT a;",
        "COPY t FROM STDIN;",
        "ROLLBACK;",
        "DROP TABLE t; COMMIT; DROP TABLE u;",
    ],
)
def test_a_block_that_ends_its_transaction_cannot_run(statement):
    assert "cannot be run" in block(statement).problem.message


def test_begin_and_commit_around_a_part_say_only_that_it_is_transactional():
    file = parse(
        "BEGIN;\nSELECT 1;\nSELECT 2;\nCOMMIT;\n-- ROLLBACK START\nBEGIN;\nSELECT 3;\nEND;\n-- ROLLBACK END",
        name="001_t",
    )
    assert file.up_problem is None
    assert file.up_statements() == ("SELECT 1", "SELECT 2")
    assert file.rollback.problem is None
    assert file.rollback.statement_texts() == ("SELECT 3",)


@pytest.mark.parametrize("header", ["-- Transaction: false", "-- Transaction:false", "--transaction: FALSE"])
def test_up_migration_outside_a_transaction(header):
    assert not parse(f"{header}\nVACUUM;", name="001_t").transaction


def test_begin_and_commit_around_a_part_are_honoured_whatever_the_mark_says():
    file = parse(
        "-- Transaction: false\nBEGIN;\nUPDATE t SET a = 1;\nUPDATE u SET a = 1;\nCOMMIT;\n"
        "-- ROLLBACK START transaction:false\nBEGIN;\nUPDATE t SET a = 0;\nUPDATE u SET a = 0;\nEND;\n-- ROLLBACK END",
        name="001_t",
    )
    assert (file.transaction, file.rollback.transaction) == (True, True)
    assert file.up_statements() == ("UPDATE t SET a = 1", "UPDATE u SET a = 1")
    assert file.remarks == (
        "001_t.sql: BEGIN ... COMMIT stands around the whole up migration, so it runs in one transaction, whatever its"
        " header says",
        "001_t.sql:7: BEGIN ... COMMIT stands around the whole rollback block, so it runs in one transaction, whatever"
        " its mark says",
    )


@pytest.mark.parametrize("part", ["BEGIN;\nDROP INDEX CONCURRENTLY i;\nCOMMIT;"])
def test_what_a_transaction_refuses_between_begin_and_commit_is_refused(part):
    file = parse(
        f"-- Transaction: false\n{part}\n-- ROLLBACK START transaction:false\n{part}\n-- ROLLBACK END", name="001_t"
    )
    assert file.up_refusal[1] == "25001"
    assert file.rollback.transaction
    assert any("DROP INDEX CONCURRENTLY cannot run inside a transaction" in remark for remark in file.remarks)


def test_up_migration_inside_a_transaction():
    assert parse("-- Transaction: true\nSELECT 1;", name="001_t").transaction


@pytest.mark.parametrize(
    ("options", "transaction"),
    [
        ("", True),
        (" transaction:false", False),
        (" transaction: false", False),
        (" TRANSACTION:FALSE", False),
        (" transaction:true", True),
    ],
)
def test_rollback_block_outside_a_transaction(options, transaction):
    assert block("DROP INDEX CONCURRENTLY i;", options).transaction is transaction


def test_what_a_transaction_refuses_is_named_with_its_line():
    file = parse(
        "SELECT 1;\n\nCREATE INDEX CONCURRENTLY i ON t (a);\n-- ROLLBACK START\nSELECT 2;\nDROP INDEX CONCURRENTLY"
        " i;\n-- ROLLBACK END",
        name="001_t",
    )
    assert file.up_refused_in_transaction == ((3, "CREATE INDEX CONCURRENTLY"),)
    assert file.rollback.refused_in_transaction == ((6, "DROP INDEX CONCURRENTLY"),)
    assert any(":6: DROP INDEX CONCURRENTLY" in remark for remark in file.remarks)


def test_a_name_in_the_header_that_is_not_the_files_is_remarked():
    (remark,) = parse("-- Migration: 002_b.sql\nSELECT 1;", name="001_a").remarks
    assert "001_a.sql:1" in remark
    assert "002_b" in remark


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_migration_or_a_file_error(text):
    try:
        file = parse(text, name="001_any")
        file.validate()
    except MigrationFileError:
        return
    assert isinstance(file.record(), dict)
    assert all(isinstance(remark, str) for remark in file.remarks)


_lines = st.sampled_from(
    [
        "-- ROLLBACK START",
        "-- ROLLBACK END",
        "-- ROLLBACK START transaction:false",
        "SELECT 1;",
        "-- DROP TABLE t;",
        "SELECT '",
        "$$",
        "/*",
        "*/",
        "-- ě",
        "BEGIN;",
        "COMMIT;",
        "",
        "-- Depends on: 1_a",
        "-- Transaction: false",
        "-- Transaction: maybe",
        "DROP INDEX CONCURRENTLY i;",
        "SELEC;",
        "SELECT E'\\u00zz';",
    ]
)


@given(st.lists(_lines, max_size=12).map("\n".join))
def test_any_order_of_markers_is_a_migration_or_a_file_error(text):
    try:
        file = parse(text, name="001_any")
        file.validate()
    except MigrationFileError as found:
        error = found
    else:
        assert file.rollback is None or file.rollback.problem or file.rollback.statements
        return
    assert error.hint
    assert error.line is None or 1 <= error.line <= text.count("\n") + 1
