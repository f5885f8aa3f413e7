"""PostgreSQL's own scanner and parser see comments, statements, and what a transaction refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrollback_nb.parsing.statements import SqlText


def statements(text):
    return [(statement.text, statement.line) for statement in SqlText(text).statements]


def test_statements_are_cut_where_the_parser_says():
    text = (
        "SELECT ';';\n/* ; */ SELECT $$;$$; -- ;\nCREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2;"
        " END;\n"
    )
    assert statements(text) == [
        ("SELECT ';'", 1),
        ("SELECT $$;$$", 2),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", 3),
    ]


def test_a_statement_begins_behind_the_comments_and_blank_lines_above_it():
    assert statements("\n\n-- why\n/* and\nmore */\n  SELECT 1") == [("SELECT 1", 6)]


def test_offsets_count_bytes_of_utf8():
    sql = SqlText("SELECT 'žluťoučký 🐎'; SELECT 2")
    first, second = sql.statements
    data = sql.text.encode()
    assert data[first.start : first.start + first.length].decode() == "SELECT 'žluťoučký 🐎'"
    assert data[second.start : second.start + second.length].decode() == "SELECT 2"


@pytest.mark.parametrize("text", ["", " \n", ";", ";;;", "-- only\n/* comments /* nested */ */"])
def test_nothing_to_run(text):
    assert SqlText(text).statements == ()
    assert SqlText(text).problem is None
    assert SqlText(text).only_comments


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("SELEC 1", 1, 1),
        ("SELECT 1;\n  SELEC 2;", 2, 3),
        ("SELECT 'ěšč', FROM FROM t", 1, 15),
        ("SELECT 1\n\n  )", 3, 3),
    ],
)
def test_a_syntax_error_has_line_and_column_in_characters(text, line, column):
    problem = SqlText(text).problem
    assert (problem.line, problem.column) == (line, column)
    assert problem.message


@pytest.mark.parametrize(
    ("text", "line"),
    [("SELECT 'open", 1), ("SELECT 1;\nSELECT $tag$ open", 2), ("/* open /* nested */", 1), ('\nSELECT "open', 2)],
)
def test_an_unterminated_string_or_comment_is_named(text, line):
    problem = SqlText(text).scan_problem
    assert problem.line == line
    assert "unterminated" in problem.message


def test_comments_before_an_unterminated_string_are_kept():
    comments = SqlText("-- ě one\nSELECT 1; -- two\nSELECT 'open").comments
    assert [(comment.text, comment.line) for comment in comments] == [("-- ě one", 1), ("-- two", 2)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX CONCURRENTLY"),
        ("DROP INDEX CONCURRENTLY IF EXISTS i", "DROP INDEX CONCURRENTLY"),
        ("REINDEX INDEX CONCURRENTLY i", "REINDEX CONCURRENTLY"),
        ("REINDEX (CONCURRENTLY) TABLE t", "REINDEX CONCURRENTLY"),
        ("REINDEX (CONCURRENTLY TRUE) TABLE t", "REINDEX CONCURRENTLY"),
        ("REINDEX DATABASE d", "REINDEX of a schema or database"),
        ("REINDEX SCHEMA s", "REINDEX of a schema or database"),
        ("VACUUM", "VACUUM"),
        ("VACUUM (ANALYZE) t", "VACUUM"),
        ("CLUSTER", "CLUSTER of all tables"),
        ("ALTER TABLE p DETACH PARTITION q CONCURRENTLY", "DETACH PARTITION CONCURRENTLY"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "ALTER SYSTEM"),
        ("CREATE DATABASE d", "CREATE DATABASE"),
        ("DROP DATABASE d", "DROP DATABASE"),
        ("CREATE TABLESPACE s LOCATION '/s'", "CREATE TABLESPACE"),
        ("DROP TABLESPACE s", "DROP TABLESPACE"),
        ("CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p", "CREATE SUBSCRIPTION"),
        ("DROP SUBSCRIPTION s", "DROP SUBSCRIPTION"),
        ("DISCARD ALL", "DISCARD ALL"),
    ],
)
def test_what_a_transaction_refuses(text, words):
    (statement,) = SqlText(text).statements
    assert statement.refused_in_transaction == words


@pytest.mark.parametrize(
    "text",
    [
        "CREATE INDEX i ON t (a)",
        "DROP INDEX i",
        "REINDEX TABLE t",
        "REINDEX INDEX i",
        "ANALYZE t",
        "CLUSTER t USING i",
        "DROP TABLE concurrently_used",
        "ALTER TABLE p DETACH PARTITION q",
        "DISCARD PLANS",
        "CREATE SCHEMA s",
        "SELECT 'VACUUM'",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
        "REINDEX (VERBOSE) INDEX i",
    ],
)
def test_what_a_transaction_allows(text):
    (statement,) = SqlText(text).statements
    assert statement.refused_in_transaction is None
    assert statement.cannot_run is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BEGIN", "BEGIN"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("COMMIT", "COMMIT"),
        ("END", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("ABORT", "ROLLBACK"),
        ("SAVEPOINT s", "SAVEPOINT"),
        ("RELEASE s", "RELEASE SAVEPOINT"),
        ("ROLLBACK TO s", "ROLLBACK TO SAVEPOINT"),
        ("COMMIT AND CHAIN", "COMMIT AND CHAIN"),
        ("BEGIN READ ONLY", "BEGIN with modes"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
        ("COPY t FROM STDIN", "COPY FROM STDIN"),
        ("COPY t TO STDOUT", "COPY TO STDOUT"),
    ],
)
def test_what_cannot_run_at_all(text, words):
    (statement,) = SqlText(text).statements
    assert statement.cannot_run == words


@pytest.mark.parametrize(
    ("text", "wrapped"),
    [
        ("BEGIN; SELECT 1; COMMIT;", True),
        ("begin transaction;\nSELECT 1;\nend;", True),
        ("START TRANSACTION; COMMIT", True),
        ("BEGIN; SELECT 1;", False),
        ("SELECT 1; COMMIT;", False),
        ("BEGIN; SELECT 1; COMMIT; SELECT 2;", False),
        ("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", False),
        ("BEGIN; SELECT 1; ROLLBACK;", False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;", False),
        ("BEGIN; SELECT 1; COMMIT AND CHAIN;", False),
        ("SELECT 1", False),
    ],
)
def test_one_begin_commit_around_everything_is_a_wrapper(text, wrapped):
    # a wrapper that asks for more than a transaction (an isolation level, AND CHAIN) may not be stripped silently
    assert SqlText(text).wrapped is wrapped


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("SET LOCAL lock_timeout = '5s'", (("lock_timeout", True),)),
        ("SET LOCAL search_path = a, b", (("search_path", True),)),
        ("SET LOCAL my.setting TO 'x'", (("my.setting", True),)),
        ("SET LOCAL TIME ZONE 'UTC'", (("timezone", True),)),
        ("SET lock_timeout = '5s'", (("lock_timeout", False),)),
        ("SET SESSION Lock_Timeout = '5s'", (("lock_timeout", False),)),
        ("RESET lock_timeout", (("lock_timeout", False),)),
        (
            "SELECT set_config('work_mem', '7MB', true), pg_catalog.set_config('x.y', '1', false)",
            (("work_mem", True), ("x.y", False)),
        ),
        (
            (
                "DO $$ BEGIN IF true THEN SET LOCAL work_mem = '7MB'; END IF; PERFORM set_config('a.b', 'c', false);"
                " END $$"
            ),
            (("work_mem", True), ("a.b", False)),
        ),
        ("SELECT 'SET work_mem'", ()),
        ("UPDATE t SET a = 1", ()),
    ],
)
def test_settings_that_a_statement_changes(text, settings):
    (statement,) = SqlText(text).statements
    assert statement.settings == settings


_fragments = st.sampled_from(
    [
        "SELECT 1;",
        "'",
        '"',
        "$$",
        "$tag$",
        "--",
        "\n",
        "/*",
        "*/",
        ";",
        "é",
        "🐎",
        "E'\\'",
        "U&'\\00zz'",
        "U&'\\d83d'",
        "x'g'",
        "b'2'",
        "\\",
        "(",
        ")",
        " ",
        "$1",
        "1e",
        "0x",
        "CREATE FUNCTION f() RETURNS void AS $$ BEGIN END $$ LANGUAGE plpgsql;",
        "-- ROLLBACK START\n",
        "-- ROLLBACK END\n",
        "\u2028",
        "\t",
        "\r",
        "\x01",
        "\x7f",
        "nul",
    ]
)


@given(
    st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.lists(_fragments).map("".join)
    )
)
def test_any_text_can_be_read(text):
    sql = SqlText(text)
    data = text.encode()
    for comment in sql.comments:
        assert data[comment.start : comment.end].decode() == comment.text
        assert comment.line == data.count(b"\n", 0, comment.start) + 1
    for statement in sql.statements:
        assert data[statement.start : statement.start + statement.length].decode() == statement.text
    for problem in filter(None, (sql.problem, sql.scan_problem)):
        assert 1 <= problem.line <= text.count("\n") + 1
        assert 1 <= problem.column <= len(text) + 1
