"""The body of a function as PostgreSQL's own parser reads it."""

import json

import postgast
import pytest

from migrollback_nb.parsing import side_effects
from migrollback_nb.parsing.objects import statement_objects
from migrollback_nb.parsing.plpgsql import Query, parse_body
from migrollback_nb.parsing.statements import SqlText

TRIGGER = (
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO log VALUES ('{},{}}', TG_OP); RETURN"
    " NEW; END$$"
)


def _queries(statement: str) -> list[Query]:
    body = parse_body(statement)
    assert body is not None
    return list(body.queries)


def test_a_trigger_function_is_read_though_the_parser_writes_broken_json_for_it():
    with pytest.raises(json.JSONDecodeError):
        postgast.parse_plpgsql(TRIGGER)
    assert _queries(TRIGGER) == [Query("INSERT INTO log VALUES ('{},{}}', TG_OP)")]


def test_the_constants_that_an_execute_is_built_of_are_told_apart():
    assert _queries("DO $$ BEGIN EXECUTE 'DROP TABLE t'; PERFORM 1; END $$") == [
        Query("DROP TABLE t", built=True),
        Query("SELECT 'DROP TABLE t'"),
        Query("SELECT 1"),
    ]
    looped = (
        "DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE format('SELECT %I FROM t', $1) USING f() LOOP DELETE FROM u;"
        " END LOOP; END $$"
    )
    found = _queries(looped)
    assert [query.sql for query in found if query.built] == ["SELECT  x  FROM t"]
    assert {Query("SELECT f()"), Query("DELETE FROM u")} <= set(found)
    assert Query("", built=True) in _queries("DO $$ BEGIN EXECUTE f(); END $$")


def test_the_target_of_an_assignment_is_a_name_too():
    body = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.a := g(1); NEW.b = 2; RETURN NEW; END$$"
    assert [query.sql for query in _queries(body)] == ["SELECT NEW.a", "SELECT g(1)", "SELECT NEW.b", "SELECT 2"]


def test_types_of_the_variables():
    body = parse_body("DO $$ DECLARE a public.users%ROWTYPE; b users.id%TYPE; c int; BEGIN NULL; END $$")
    assert body is not None
    assert [name for name in body.types if "%" in name] == ["public.users%rowtype", "users.id%TYPE"]


@pytest.mark.parametrize(
    "head",
    [
        "FUNCTION f() RETURNS int",
        "FUNCTION f(a users) RETURNS SETOF users",
        "FUNCTION f(OUT a int)",
        "FUNCTION f() RETURNS TABLE (a int)",
        "FUNCTION f() RETURNS event_trigger",
        "PROCEDURE f(INOUT a int)",
    ],
)
def test_routines_of_all_sorts_are_read(head):
    assert _queries(f"CREATE {head} LANGUAGE plpgsql AS $x$ BEGIN PERFORM $migrollback$y$migrollback$; END $x$") == [
        Query("SELECT $migrollback$y$migrollback$")
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN IF END $$",
        "DO $$ NULL $$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'a', 'b'",
        "SELECT 1",
        "(",
    ],
)
def test_what_cannot_be_read_is_none(statement):
    assert parse_body(statement) is None


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql",
        "DO LANGUAGE plpgsql",
        "CREATE PROCEDURE f() LANGUAGE plpgsql BEGIN ATOMIC SELECT 1; END",
    ],
)
def test_a_routine_without_a_body_does_not_end_the_process(statement):
    """libpg_query aborts on them, and a migration file may hold anything."""
    assert parse_body(statement) is None
    assert SqlText(statement).problem is None
    assert side_effects.look([statement])["calls"] == []
    statement_objects(statement)
