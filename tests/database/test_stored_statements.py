"""What runs is what is shown: the stored cut of a rollback into statements, and all else that steers it, is looked
at before any of it is used."""

import hashlib
import json
import re

import postgast
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pg_servers import with_system
from psycopg.types.json import Jsonb
from watching import exists, status, value

import migrollback_nb as mr
from migrollback_nb.parsing.statements import SqlText

COVERAGE = "The stored statements do not cover the rollback SQL ("
TOKEN = postgast.pg_query_pb2.Token
COMMENTS = (TOKEN.Value("SQL_COMMENT"), TOKEN.Value("C_COMMENT"))
SEMICOLON = TOKEN.Value("ASCII_59")
STRING = TOKEN.Value("SCONST")


def metadata(text, statements, **more):
    return {
        "search_path": "public",
        "rollback": {
            "md5": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            "statements": statements,
            "transaction": True,
            **more,
        },
    }


def whole(text):
    """[[start, bytes, line]] of the statements as our parser cuts them."""
    return [[one.start, one.length, one.line] for one in SqlText(text).statements]


#: name -> (text that is shown, statements that would run)
ATTACKS = {
    "001 inside a comment": ("-- was: DROP TABLE customers;\nSELECT 1;", [[8, 20, 1]]),
    "002 nothing": ("DROP TABLE bait;", []),
    "003 nothing, behind a comment": ("-- only\nDROP TABLE bait;", []),
    "004 not the last": ("DROP TABLE bait; SELECT 1", [[0, 15, 1]]),
    "005 not the first": ("SELECT 1; DROP TABLE bait", [[10, 15, 1]]),
    "006 not the middle": ("SELECT 1; DROP TABLE bait; SELECT 2", [[0, 8, 1], [27, 8, 1]]),
    "007 without its end": ("DROP TABLE customers, bait", [[0, 20, 1]]),
    "008 a statement in two": ("DELETE FROM customers WHERE false", [[0, 21, 1], [22, 11, 1]]),
    "009 a statement in two, in front of it": ("SELECT 1 DROP TABLE customers", [[0, 8, 1], [9, 20, 1]]),
    "010 after the sign of a comment": ("SELECT 1 --; DROP TABLE customers", [[0, 11, 1], [13, 20, 1]]),
    "011 after the sign of a comment, on its line": (
        "SELECT 1 -- ;DROP TABLE customers\n;SELECT 2",
        [[0, 11, 1], [13, 20, 1], [35, 8, 2]],
    ),
    "012 in a comment in a comment": ("/* /* */ DROP TABLE customers; */ SELECT 1", [[9, 20, 1], [34, 8, 1]]),
    "013 out of a string": ("SELECT 'x; DROP TABLE customers; '", [[0, 9, 1], [11, 20, 1]]),
    "014 a string alone": ("COMMENT ON TABLE bait IS 'DROP TABLE customers'", [[26, 20, 1]]),
    "015 out of a name": ('SELECT 1 AS "; DROP TABLE customers; "', [[0, 13, 1], [15, 20, 1]]),
    "016 out of a dollar quote": ("DO $$ BEGIN END; $$; DO $x$ ; DROP TABLE customers; $x$", [[0, 19, 1], [30, 20, 1]]),
    "017 after an escaped quote": (r"SELECT E'\'; DROP TABLE customers; --'", [[0, 11, 1], [13, 20, 1]]),
    "018 overlapping": ("SELECT 1; SELECT 2", [[0, 8, 1], [5, 13, 1]]),
    "019 in another order": ("DROP TABLE bait; SELECT 1", [[17, 8, 1], [0, 15, 1]]),
    "020 twice": ("SELECT 1", [[0, 8, 1], [0, 8, 1]]),
    "021 behind the end": ("SELECT 1", [[0, 9, 1]]),
    "022 far behind the end": ("SELECT 1", [[0, 8, 1], [1073741823, 1073741823, 1]]),
    "023 in a character": ("SELECT 'ž'", [[0, 9, 1]]),
    "024 from within a character": ("-- ž\nSELECT 1", [[4, 10, 1]]),
    "025 BEGIN left out": ("BEGIN; DROP TABLE bait; SELECT 1", [[7, 15, 1], [24, 8, 1]]),
    "026 COMMIT left out": ("DROP TABLE bait; COMMIT", [[0, 15, 1]]),
    "027 ROLLBACK left out": ("BEGIN; DROP TABLE bait; ROLLBACK", [[7, 15, 1]]),
    "028 a way of BEGIN left out": ("BEGIN ISOLATION LEVEL SERIALIZABLE; DROP TABLE bait; COMMIT", [[36, 15, 1]]),
    "029 a sign left out": ("SELECT 1; -", [[0, 8, 1]]),
    "030 the end of a comment": ("/* a */ */ SELECT 1", [[11, 8, 1]]),
}


@pytest.fixture
def customers(session):
    session().execute("CREATE TABLE customers (a int); CREATE TABLE bait (a int)")


def test_statements_that_leave_something_out_never_run(db, session, customers):
    connection = session()
    for name, (text, statements) in ATTACKS.items():
        connection.execute(
            "SELECT register_migration(%s, '1', %s, metadata => %s)", (name, text, Jsonb(metadata(text, statements)))
        )
    listed = {row["migration_name"]: row for row in db.database.queries.list_rollbackable()}
    for name in ATTACKS:
        assert str(listed[name]["blocking_reason"]).startswith(COVERAGE), name
        assert not listed[name]["can_rollback"]
        assert db.check(name).reason == listed[name]["blocking_reason"]
        assert connection.execute(
            "SELECT success, message FROM execute_migration_rollback(%s, true)", (name,)
        ).fetchone() == (False, db.check(name).reason)
        assert connection.execute("SELECT success FROM execute_migration_rollback(%s)", (name,)).fetchone() == (
            False,
        ), name
        assert status(connection, name) == "applied"
    for call in (
        db.preview,
        db.rehearse,
        lambda name: db.rollback(name, confirm=name),
        lambda name: db.rehearse(name, on="scratch"),
    ):
        with pytest.raises(mr.Refused, match="do not cover the rollback SQL"):
            call("002 nothing")
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(
            "SELECT migration_rollback_statements(h.rollback_sql, h.metadata) FROM migration_history h WHERE"
            " h.migration_name = '002 nothing'"
        )
    assert caught.value.sqlstate == "MR026"
    assert exists(connection, "customers")
    assert exists(connection, "bait")


def test_nor_do_they_outside_a_transaction(db, session, customers):
    connection = session()
    for name, (text, statements) in ATTACKS.items():
        connection.execute(
            "SELECT register_migration(%s, '1', %s, metadata => %s)",
            (name, text, Jsonb(metadata(text, statements, transaction=False))),
        )
    for name in ("001 inside a comment", "002 nothing", "008 a statement in two"):
        with pytest.raises(mr.Refused, match="do not cover the rollback SQL"):
            db.rollback(name, confirm=name)
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("SELECT finish_migration_rollback('002 nothing', gen_random_uuid())")
    assert caught.value.sqlstate == "MR026"
    assert status(connection, "002 nothing") == "applied"
    assert exists(connection, "customers")


def test_a_run_that_stopped_halfway_is_not_resumed_by_another_cut(db, applied, session):
    name = applied(
        "001_t",
        "CREATE TABLE a (); CREATE TABLE b ();",
        "DROP TABLE a; DROP TABLE nowhere; DROP TABLE b",
        options=" transaction:false",
    )
    with pytest.raises(mr.RollbackFailed):
        db.rollback(name, confirm=name)
    connection = session()
    assert value(connection, "SELECT migration_statements_completed('001_t')") == 1
    connection.execute("UPDATE migration_history SET metadata = metadata || '{\"ticket\": 1}'")
    assert value(connection, "SELECT migration_statements_completed('001_t')") == 1
    # the first two in one piece: to go on behind it would leave the second out
    connection.execute(
        "UPDATE migration_history SET metadata = jsonb_set(metadata, '{rollback,statements}', '[[0, 34, 1], [36, 12,"
        " 1]]') WHERE migration_name = '001_t'"
    )
    assert value(connection, "SELECT migration_statements_completed('001_t')") == 0


#: Texts as people write them, all of them cut by our own parser.
WHOLE = [
    "DROP TABLE a",
    ";;DROP TABLE a;;\n;",
    "-- why\nDROP TABLE a; -- done",
    "/* /* nested */ ; */ DROP TABLE a /* ; */;",
    "SELECT 1 -- to the end\n;SELECT 2 -- of its line",
    "BEGIN;\nDROP TABLE a;\nDROP TABLE b;\nCOMMIT;",
    "-- x\nStart /* y */ Transaction ;\nDROP TABLE a; -- z\nEND WORK AND NO CHAIN",
    "begin work;select 1;commit transaction",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; DROP TABLE a",
    "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
    "DO $x$ BEGIN -- it's; \n NULL; END $x$; SELECT $$;$$, $a$ $$ $b$ $a$, a$b$c FROM (SELECT 1 AS a$b$c) x",
    (
        "SELECT E'it\\'s; -- no', E'a'\n'\\'b', '\\', U&'d\\0061', \"odd;\"\"name\", 'it''s'; SELECT 'žluťoučký 🐎 ;';"
        " SELECT 1"
    ),
    "SELECT 1\r\n;\r\n-- a\r\nSELECT 2;\r\n",
    "SELECT 5 /-1, 2*-1 -- x\n; SELECT 2",
]


@pytest.fixture(scope="module")
def scanner(first_server):
    """A connection to a database with the system, for questions alone."""
    with psycopg.connect(first_server.dsn(with_system(first_server)), autocommit=True) as connection:
        yield connection


def coverage(connection, pairs):
    """What is wrong with each of these (text, statements), or None."""
    rows = connection.execute(
        "SELECT migration_coverage_problem(t.text, t.statements::jsonb) FROM unnest(%s::text[], %s::text[]) WITH"
        " ORDINALITY AS t (text, statements, place) ORDER BY place",
        ([text for text, _ in pairs], [json.dumps(statements) for _, statements in pairs]),
    )
    return [problem for (problem,) in rows]


def test_what_our_parser_cuts_is_whole(scanner):
    pairs = []
    for text in WHOLE:
        sql = SqlText(text)
        assert sql.problem is None, text
        pairs.append((text, whole(text)[1:-1] if sql.wrapped else whole(text)))
    assert dict(zip(WHOLE, coverage(scanner, pairs), strict=True)) == dict.fromkeys(WHOLE)


FRAGMENTS = st.sampled_from(
    [
        "SELECT 1",
        "DROP TABLE a",
        "SELECT ';'",
        "SELECT 'it''s'",
        r"SELECT E'\';'",
        "SELECT E'a'\n'\\'b;'",
        'SELECT 1 AS ";"',
        "DO $$ ; $$",
        "DO $x$ $$ ; ' $x$",
        "SELECT 1 -- ; end\n",
        "SELECT /* ; */ 1",
        "SELECT a$b$c",
        "SELECT 'ž;🐎'",
        "SELECT 2 - -1",
        "SELECT 2 */**/ 3",
        "SELECT U&';'",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
    ]
)
BETWEEN = st.sampled_from(
    [";", "; ", ";\n", ";;", " ; -- it's\n", "; /* ; /* ' */ */", "\n;\n\n", ";-- $$\r\n", " /* a */ ; -- ž\n", ";\t\f"]
)
TEXTS = st.builds(
    lambda head, first, rest, tail: head + first + "".join(between + one for between, one in rest) + tail,
    st.sampled_from(["", " ", "-- why; \n", "/* a */", ";"]),
    FRAGMENTS,
    st.lists(st.tuples(BETWEEN, FRAGMENTS), max_size=4),
    st.sampled_from(["", ";", ";\n", " -- end", "; /* e */"]),
)


def words(text):
    """The tokens of a text without comments and semicolons, or None where it cannot be scanned."""
    try:
        found = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return None
    data = text.encode()
    return [data[token.start : token.end] for token in found if token.token not in (*COMMENTS, SEMICOLON)]


def mutations(statements, size):
    """Each cut that is a little off."""
    for place, (start, length, line) in enumerate(statements):
        for begin, count in [
            (start + 1, length),
            (start + 1, length - 1),
            (start, length - 1),
            (start, length + 1),
            (start, length + 2),
            (start - 1, length),
            (start - 1, length + 1),
        ]:
            if count > 0 and begin >= 0:
                yield [*statements[:place], [begin, count, line], *statements[place + 1 :]]
        yield statements[:place] + statements[place + 1 :]
        for cut in range(1, length, max(length // 5, 1)):
            yield [*statements[:place], [start, cut, line], [start + cut, length - cut, line], *statements[place + 1 :]]
    yield statements[::-1] if len(statements) > 1 else [[0, size + 1, 1]]


@examples(max_examples=25)
@given(TEXTS)
def test_a_cut_that_is_a_little_off_is_refused_unless_the_same_runs(scanner, text):
    data = text.encode()
    cut = whole(text)
    assert coverage(scanner, [(text, cut)]) == [None]
    off = list(mutations(cut, len(data)))
    for statements, problem in zip(off, coverage(scanner, [(text, one) for one in off]), strict=True):
        if problem is None:
            runs = [words(data[start : start + length].decode()) for start, length, _ in statements]
            assert None not in runs
            assert [word for one in runs for word in one] == words(text), statements


PIECES = st.sampled_from(
    [
        "'",
        '"',
        "$",
        "$$",
        "$a$",
        "a",
        "e",
        "E",
        "e'",
        "E'",
        "b'",
        "U&'",
        "\\",
        "\\'",
        "\\\\",
        "--",
        "-",
        "/*",
        "*/",
        "/",
        "*",
        "*/*",
        "\n",
        "\r",
        "\r\n",
        ";",
        "1",
        "$1",
        "é",
        "🐎",
        "_",
        "x1",
        "select",
        "@",
        "''",
        "''\n'",
        "ab$",
        " ",
        "\t",
        " -- x\n",
        "\n ",
        "e'a'\n'",
    ]
)


def expected(text):
    """(what is open at the end of a text, whether there is more in it than comments), as PostgreSQL's own scanner
    has it; None where it finds another fault."""
    faults = {
        "quoted string": "string",
        "/* comment": "comment",
        "quoted identifier": "quoted name",
        "dollar-quoted string": "dollar quote",
    }
    try:
        found = postgast.scan(text).tokens
    except postgast.PgQueryError as error:
        return next(
            ((state, None) for fault, state in faults.items() if f"unterminated {fault}" in error.message), None
        )
    # PostgreSQL joins strings over a comment, in which the second may be open; this scanner keeps comments
    names = "".join("c" if token.token == COMMENTS[0] else "s" if token.token == STRING else "-" for token in found)
    if re.search("sc+s", names):
        return None
    open_comment = bool(found) and found[-1].token == COMMENTS[0] and found[-1].end == len(text.encode())
    return "line comment" if open_comment else "code", any(token.token not in (*COMMENTS, SEMICOLON) for token in found)


@examples(max_examples=40)
@given(st.lists(st.lists(PIECES, min_size=1, max_size=14).map("".join), min_size=60, max_size=60))
def test_sql_is_scanned_as_postgresql_scans_it(scanner, texts):
    rows = scanner.execute(
        "SELECT s.* FROM unnest(%s::text[]) WITH ORDINALITY AS t (text, place), scan_migration_sql(t.text) s ORDER BY"
        " place",
        (texts,),
    ).fetchall()
    for text, (ends_in, found) in zip(texts, rows, strict=True):
        if (right := expected(text)) is not None:
            assert ends_in.removeprefix("escaped ") == right[0], text
            assert right[1] in (None, bool(found.strip(" \t\n\r\f\v;"))), text


GOOD = {
    "md5": None,
    "statements": [[0, 8, 1]],
    "transaction": True,
    "refused_in_transaction": [],
    "set_local": [],
    "set_session": [],
    "live": True,
    "not_undone": [],
    "calls": [],
    "writes": [],
    "unseen": [],
}
ODD = [
    "x",
    5,
    -1,
    1e300,
    0.5,
    {},
    {"a": 1},
    None,
    True,
    [None],
    [{}],
    [[]],
    [[[]]],
    ["x"],
    [-1],
    [[0, -1, 1]],
    [[-1, 8, 1]],
    [[0, 1e20, 1]],
    [[0, "8", 1]],
    [[0, 8]],
    [[0, 8, None]],
    [[0.5, 8, 1]],
    [[1, None]],
    [[None, "x"]],
    [[1, "a", "b", "c", "d"]],
]


@pytest.mark.long
def test_metadata_of_other_shapes_is_a_refusal_and_stops_no_list(db, session):
    connection = session()
    text = "SELECT 1"
    connection.execute(
        "SELECT register_migration('001_good', '1', %s, metadata => %s)", (text, Jsonb(metadata(text, [[0, 8, 1]])))
    )
    right = {
        **metadata(text, [[0, 8, 1]]),
        "rollback": {**GOOD, "md5": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()},
    }
    cases = [
        {**right, "rollback": {**right["rollback"], key: odd}}
        for key in (*GOOD, "error", "no_transaction_words")
        for odd in ODD
    ]
    cases += [
        {**right, key: odd} for key in ("rollback", "search_path", "tool", "previous_version", "system") for odd in ODD
    ]
    # where a ledger is looked for under that path, and numbers are compared
    connection.execute(
        "CREATE TABLE schema_migrations (version bigint, dirty boolean); INSERT INTO schema_migrations VALUES (5,"
        " false)"
    )
    cases += [
        {**right, **tool, "search_path": path}
        for path in ("a b", "a,", ",", '"a', "a; DROP TABLE t", '""x')
        for tool in ({}, {"tool": "golang-migrate", "previous_version": "4"})
    ]
    cases += [
        {**right, "tool": "golang-migrate", "previous_version": version} for version in ("x", "1" * 30, "-1", " 1")
    ]
    for version in ("x", "1" * 30, "-1", "1e5", ""):
        of_it = Jsonb({**right, "tool": "golang-migrate", "previous_version": "4"})
        connection.execute(
            "SELECT register_migration(%s, %s, %s, metadata => %s)", (f"002_version_{version}", version, text, of_it)
        )
    for number, case in enumerate(cases):
        connection.execute(
            "SELECT register_migration(%s, '1', %s, metadata => %s)", (f"1{number:04}_odd", text, Jsonb(case))
        )
    listed = {row["migration_name"]: row["blocking_reason"] for row in db.database.queries.list_rollbackable()}
    assert listed["001_good"] is None
    for version in ("x", "1" * 30, "-1", "1e5", ""):
        assert db.check(f"002_version_{version}").reason
    refused = 0
    for number, case in enumerate(cases):
        name = f"1{number:04}_odd"
        ((success, message, _),) = connection.execute(
            "SELECT * FROM execute_migration_rollback(%s, true)", (name,)
        ).fetchall()
        assert (success, None if success else message) == (listed[name] is None, listed[name]), case
        if success:  # what is as good as nothing
            works = value(connection, "SELECT success FROM execute_migration_rollback(%s)", name)
            assert works or "outside a transaction" in value(
                connection, "SELECT message FROM execute_migration_rollback(%s)", name
            ), case
        else:
            refused += 1
            assert message.startswith(
                (
                    "What is stored of the rollback cannot be right (",
                    COVERAGE,
                    "Rollback SQL is not valid",
                    "Rollback SQL cannot run inside",
                )
            ), case
            if number % 20 == 0:
                assert db.check(name).reason == message
                assert value(connection, "SELECT rehearse_migration_rollbacks(%s) ->> 'message'", [name]) == message, (
                    case
                )
    assert refused > len(cases) * 0.8


STEERING = {
    "search_path": "other",
    "tool": "goose",
    "previous_version": "7",
    "system": True,
    **{
        f"rollback,{key}": odd
        for key, odd in (
            ("transaction", False),
            ("set_local", ["work_mem"]),
            ("set_session", ["work_mem"]),
            ("refused_in_transaction", [{"line": 1, "statement": "VACUUM"}]),
            ("live", False),
            ("not_undone", [[1, "x"]]),
            ("calls", [[1, None, "now"]]),
            ("writes", [[1, "delete", None, "t"]]),
            ("unseen", [1]),
            ("no_transaction_words", "x"),
            ("statements", [[0, 8, 2]]),
            ("error", {"line": 1, "column": 1, "message": "x"}),
            ("md5", "x"),
            ("a_later_key", 1),
        )
    },
}


@pytest.mark.long
def test_each_key_that_steers_the_run_voids_a_preview(db, session, applied):
    connection = session()
    name = applied("001_t", "SELECT 1;", "SELECT 1")
    before = db.preview(name).fingerprint
    change = (
        "UPDATE migration_history SET metadata = jsonb_set(metadata, string_to_array(%s, ','), %s) WHERE migration_name"
        " = '001_t'"
    )
    kept = value(connection, "SELECT metadata FROM migration_history WHERE migration_name = '001_t'")
    for key, odd in STEERING.items():
        connection.execute(change, (key, Jsonb(odd)))
        assert db.database.queries.fingerprint([name]) != before, key
        with pytest.raises(mr.Refused, match=r"or what is stored of how it runs|stored of the rollback|not valid"):
            db.rollback(name, confirm=name, preview=before)
        connection.execute("UPDATE migration_history SET metadata = %s WHERE migration_name = '001_t'", (Jsonb(kept),))
    connection.execute(
        "UPDATE migration_history SET migration_version = '2' WHERE migration_name = '001_t'"
    )  # the deploy ledger's row goes by it
    with pytest.raises(mr.Refused, match="or what is stored of how it runs"):
        db.rollback(name, confirm=name, preview=before)
    connection.execute("UPDATE migration_history SET migration_version = '001' WHERE migration_name = '001_t'")
    for key, odd in (("description", "x"), ("rollback_remark", "x"), ("ticket", {"of": "the user's own"})):
        connection.execute(change, (key, Jsonb(odd)))
    assert db.database.queries.fingerprint([name]) == before
    assert db.rollback(name, confirm=name, preview=before).success


def test_the_version_that_a_ledger_goes_back_to_is_part_of_a_preview(session):
    connection = session()
    for version, previous in ((1, ""), (2, "1"), (3, "2")):
        of_it = {**metadata("SELECT 1", [[0, 8, 1]]), "tool": "golang-migrate", "previous_version": previous}
        connection.execute(
            "SELECT register_migration(%s, %s, 'SELECT 1', metadata => %s)",
            (f"{version}_x", str(version), Jsonb(of_it)),
        )
    before = value(connection, "SELECT migration_fingerprint('{3_x}')")
    connection.execute("SELECT execute_migration_rollback('2_x')")
    assert value(connection, "SELECT migration_fingerprint('{3_x}')") != before


def test_where_no_search_path_is_recorded_the_callers_is_part_of_a_preview(session):
    connection = session()
    connection.execute(
        "INSERT INTO migration_history (migration_name, migration_version, rollback_sql) VALUES ('001_by_hand', '1',"
        " 'SELECT 1'); CREATE SCHEMA other"
    )
    preview = value(connection, "SELECT migration_fingerprint('{001_by_hand}')")
    roll_back = "SELECT message FROM public.execute_migration_rollback('001_by_hand', preview => %s)"
    connection.execute("SET search_path = other")
    assert "changed since the preview" in value(connection, roll_back, preview)
    connection.execute("SET search_path = public")
    assert "Rollback SQL ran" in value(connection, roll_back, preview)
