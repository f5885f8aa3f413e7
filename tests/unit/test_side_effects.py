"""What undoing a transaction does not undo, and whom SQL calls, is found by parsing."""

import doctest

import pytest

from migrollback_nb.parsing import side_effects


def test_the_examples_hold():
    assert doctest.testmod(side_effects).failed == 0


EFFECTS = {
    "COPY t TO '/tmp/t'": "writes a file",
    "COPY (SELECT 1) TO PROGRAM 'cat'": "runs a program",
    "COPY t FROM PROGRAM 'cat'": "runs a program",
    "DO $$ BEGIN COPY t TO '/tmp/t'; END $$": "writes a file",
    "DO $$ BEGIN EXECUTE 'COPY t TO PROGRAM ''x'''; END $$": "runs a program",
    "PREPARE p AS SELECT 1": "prepared statements",
    "DEALLOCATE ALL": "prepared statements",
    "LOAD 'auto_explain'": "loads a library",
    "CHECKPOINT": "CHECKPOINT",
    "DISCARD SEQUENCES": "DISCARD",
    "DO LANGUAGE plpython3u $$ import os $$": "plpython3u",
}


@pytest.mark.parametrize("sql", EFFECTS)
def test_effects(sql):
    ((number, effect),) = side_effects.look(["SELECT 1", sql])["not_undone"]
    assert number == 2
    assert EFFECTS[sql] in effect


@pytest.mark.parametrize(
    "sql",
    [
        "COPY t FROM '/tmp/t'",
        "DROP FUNCTION nextval(int)",
        "DROP TABLE t",
        "NOTIFY x",
        "LISTEN x",
        "DISCARD TEMP",
        "CREATE TABLE t (a int DEFAULT nextval('s'))",
        "ALTER TABLE t ALTER a SET DEFAULT nextval('s')",
        "CREATE VIEW v AS SELECT nextval('s')",
        "TRUNCATE t RESTART IDENTITY",
    ],
)
def test_what_is_undone(sql):
    found = side_effects.look([sql])
    assert (found["not_undone"], found["calls"]) == ([], [])


CALLS = {
    "SELECT nextval('s')": "nextval",
    "SELECT pg_catalog.setval('s', 1)": "setval",
    "CALL fix()": "fix",
    "ALTER TABLE t ALTER a TYPE int USING fix(a)": "fix",
    "CREATE INDEX ON t (fix(a))": "fix",
    "ALTER TABLE t ADD COLUMN b int DEFAULT fix()": "fix",
    "CREATE TABLE t AS SELECT fix()": "fix",
    "CREATE MATERIALIZED VIEW m AS SELECT fix()": "fix",
    "DO $$ BEGIN PERFORM fix(); END $$": "fix",
    "DO $$ DECLARE n int := fix(); BEGIN NULL; END $$": "fix",
    "DO $$ DECLARE n int; BEGIN n := fix(); END $$": "fix",
    "DO $$ DECLARE n int; BEGIN n = 1 + fix(); END $$": "fix",
    "DO $$ BEGIN IF fix() THEN NULL; END IF; END $$": "fix",
    "DO $$ BEGIN EXECUTE format('SELECT fix(%L)', 1); END $$": "fix",
    "DO $$ BEGIN EXECUTE 'SELECT fi' || 'x(1), other(' || 2 || ')'; END $$": "other",
    "DO $$ BEGIN FOR i IN 1..fix() LOOP NULL; END LOOP; END $$": "fix",
    "DO $$ BEGIN this is not plpgsql fix(1) END $$": "fix",
    "UPDATE t SET a = (SELECT fix())": "fix",
}


@pytest.mark.parametrize("sql", CALLS)
def test_calls(sql):
    assert CALLS[sql] in [name for _, _, name in side_effects.look([sql])["calls"]]


WRITES = {
    "INSERT INTO a.t VALUES (1)": [["insert", "a", "t"]],
    "WITH x AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM x": [
        ["delete", None, "t"],
        ["insert", None, "u"],
    ],
    "WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM x": [["update", None, "t"]],
    "TRUNCATE t, b.u": [["truncate", None, "t"], ["truncate", "b", "u"]],
    "COPY t FROM '/tmp/t'": [["insert", None, "t"]],
    "DO $$ BEGIN INSERT INTO t VALUES (1); END $$": [["insert", None, "t"]],
    "MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE": [
        ["delete", None, "t"],
        ["insert", None, "t"],
        ["update", None, "t"],
    ],
}


@pytest.mark.parametrize("sql", WRITES)
def test_writes(sql):
    assert [[*write] for _, *write in side_effects.look([sql])["writes"]] == WRITES[sql]


def test_a_function_that_the_sql_makes_and_calls_is_looked_into():
    make = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN nextval('s'); END $$"
    assert side_effects.look([make])["calls"] == []
    assert [1, None, "nextval"] in side_effects.look([make, "SELECT f()"])["calls"]
    trigger = (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := nextval('s'); RETURN NEW; END $$"
    )
    assert [1, None, "nextval"] in side_effects.look(
        [trigger, "CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"]
    )["calls"]


def test_sql_that_is_built_while_it_runs_is_said_to_be_unseen():
    assert side_effects.look(["DO $$ DECLARE r record; BEGIN EXECUTE 'DROP TABLE ' || 'a'; END $$"])["unseen"] == [1]
    assert side_effects.look(["DO $$ BEGIN DROP TABLE a; END $$"])["unseen"] == []
