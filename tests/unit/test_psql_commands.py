"""Commands of psql in files: what pg_dump writes is passed over, others are named with their line and how to fix it."""

import pytest

from migrollback_nb.files.migration import parse
from migrollback_nb.parsing.statements import SqlText

DUMP = "--\n-- PostgreSQL database dump\n--\n\n\\restrict aB1\n\nSELECT 1;\n\n\\unrestrict aB1\n"


def test_what_pg_dump_writes_around_a_dump_is_passed_over():
    file = parse(f"{DUMP}\n-- ROLLBACK START\n-- SELECT 2;\n-- ROLLBACK END\n", name="001_a")
    assert file.up_problem is None
    assert file.up_statements() == ("SELECT 1",)
    assert [statement.line for statement in file.up.statements] == [7]
    assert file.rollback.sql == "SELECT 2;"
    assert file.text.startswith(DUMP)  # so that its checksum stays what it is


@pytest.mark.parametrize(
    "text",
    ["SELECT $$\n\\restrict a\n$$", "SELECT '\n\\restrict a\n'", "/*\n\\restrict a\n*/ SELECT 1", "-- \\restrict a"],
)
def test_in_strings_and_comments_it_stays(text):
    assert SqlText(text).text == text
    assert SqlText(text).problem is None


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "SELECT 1;\n\\connect shop\nSELECT 2;",
            (2, 1),
            "\\connect is a command of psql and no SQL: take the line away",
        ),
        ("\\i it's.sql\nSELECT 2;", (1, 1), "\\i is a command of psql and no SQL: put the text of that file"),
        ("COPY t (a) FROM stdin;\nä\n\\.\n", (3, 1), "only psql sends the data of COPY"),
        ("SELECT 'ä' \\gset", (1, 12), "psql's variables are not there"),
        ("\\timing on", (1, 1), "take the line away, or write SQL in its place"),
        ("SELEC 1;\n\\connect shop", (1, 1), 'syntax error at or near "SELEC"'),
        ("SELECT 1;\n\\", (2, 1), "\\ is a command of psql"),
    ],
)
def test_others_are_named_with_their_line_and_what_to_do(text, place, words):
    problem = SqlText(text).problem
    assert (problem.line, problem.column) == place
    assert words in problem.message


def test_in_a_migration_and_in_its_block():
    with pytest.raises(Exception, match="put the text of that file in its place"):
        parse("\\i it's.sql\n-- ROLLBACK START\n-- SELECT 1;\n-- ROLLBACK END", name="001_a").validate()
    file = parse("SELECT 1;\n\\c shop\n-- ROLLBACK START\nSELECT 1;\n\\c shop\n-- ROLLBACK END", name="001_a")
    assert "001_a.sql:2:1: the up migration cannot run: \\c is a command of psql" in file.up_refusal[0]
    assert (file.rollback.problem.line, file.rollback.problem.column) == (5, 1)
    assert "\\c is a command of psql" in file.rollback.problem.message
