"""The body of a function as PostgreSQL's own parser reads it."""

import json

import postgast
import pytest

from migrollback_nb.plpgsql import parse_plpgsql, queries

TRIGGER = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO log VALUES ('{},{}}', TG_OP); RETURN NEW; END$$"


def test_a_trigger_function_is_read_though_the_parser_writes_broken_json_for_it():
    with pytest.raises(json.JSONDecodeError):
        postgast.parse_plpgsql(TRIGGER)
    assert ("INSERT INTO log VALUES ('{},{}}', TG_OP)", False) in list(queries(parse_plpgsql(TRIGGER)))


def test_the_text_of_an_execute_is_told_apart():
    body = parse_plpgsql("DO $$ BEGIN EXECUTE 'DROP TABLE t'; PERFORM 1; END $$")
    assert list(queries(body)) == [("'DROP TABLE t'", True), ("SELECT 1", False)]


def test_what_cannot_be_read_is_empty():
    assert parse_plpgsql("DO $$ BEGIN IF END $$") == []
