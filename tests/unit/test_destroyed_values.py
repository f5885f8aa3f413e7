"""What SQL destroys that was there before it, as far as its text says it."""

import doctest

import pytest

from migrollback_nb.parsing import destroyed_values
from migrollback_nb.parsing.statements import SqlText


def found(sql):
    """(what, place, ...) of what a text destroys, with what else is said of it."""
    statements = [statement.text for statement in SqlText(sql).statements]
    return [
        (
            one.pop("statement"),
            one.pop("what"),
            ".".join(filter(None, map(one.pop, ("schema", "table", "column")))),
            one,
        )
        for one in destroyed_values.destroyed_values(statements)
    ]


def said(sql):
    """What and where alone."""
    return [(what, place) for _, what, place, more in found(sql) if not more.keys() & {"new", "if_there"}]


def test_the_examples_hold():
    assert doctest.testmod(destroyed_values).failed == 0


TRIGGER = (
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM z; RETURN NEW; END $$;"
    " CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();"
)

TEXTS = {
    "ALTER TABLE t DROP a, DROP COLUMN IF EXISTS b": [("column dropped", "t.a"), ("column dropped", "t.b")],
    "DROP TABLE a, s.b": [("table dropped", "a"), ("table dropped", "s.b")],
    "TRUNCATE a, s.b": [("truncated", "a"), ("truncated", "s.b")],
    "UPDATE t SET (a, b) = (1, 2), c[1] = 3": [("updated", "t.a"), ("updated", "t.b"), ("updated", "t.c")],
    "DELETE FROM t": [("deleted", "t")],
    "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x": [("deleted", "a")],
    "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1": [("updated", "t.b")],
    "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING": [],
    "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 1": [("updated", "t.b")],
    "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE": [("deleted", "t")],
    "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (1)": [],
    "EXPLAIN ANALYZE DELETE FROM t": [("deleted", "t")],
    "DROP SCHEMA s CASCADE": [("table dropped", "s")],
    "DROP SCHEMA s": [],
    "DROP TYPE s.m CASCADE": [("column dropped", "s.m")],
    "DROP DOMAIN m CASCADE": [("column dropped", "m")],
    "DROP EXTENSION e CASCADE": [("table dropped", "e")],
    "DROP OWNED BY joe": [("table dropped", "joe")],
    "ALTER TYPE p DROP ATTRIBUTE a": [("rewritten", "p.a")],
    "ALTER TABLE t ALTER a TYPE int": [("rewritten", "t.a")],
    # nothing that was there before
    "CREATE TABLE t (a int); UPDATE t SET a = 1; DELETE FROM t; TRUNCATE t; DROP TABLE t": [],
    "CREATE TEMP TABLE t AS SELECT 1 AS a; DROP TABLE t": [],
    "SELECT 1 AS a INTO t; DROP TABLE t": [],
    "ALTER TABLE t ADD a int; UPDATE t SET a = 1; ALTER TABLE t DROP a": [],
    "DROP MATERIALIZED VIEW m; DROP VIEW v; DROP INDEX i; DROP FUNCTION f; COPY t FROM '/tmp/t'": [],
    "ALTER TABLE t DETACH PARTITION p": [],
    "CREATE VIEW v AS SELECT 1; CREATE RULE r AS ON INSERT TO t DO ALSO DELETE FROM u": [],
    "CREATE TABLE IF NOT EXISTS t (a int); UPDATE t SET a = 1": [],
    "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int; UPDATE t SET a = 1": [],
    "DROP TABLE IF EXISTS t; CREATE TABLE t (a int)": [],
    # by the names from before
    "ALTER TABLE t RENAME a TO b; UPDATE t SET b = 1": [("updated", "t.a")],
    "ALTER TABLE t RENAME TO u; CREATE TABLE t (a int); DELETE FROM t; DELETE FROM u": [("deleted", "t")],
    "ALTER TABLE t SET SCHEMA s; UPDATE s.t SET a = 1": [("updated", "t.a")],
    "SELECT set_config('search_path', 's, public', false); DROP TABLE t": [("table dropped", "s.t")],
    "ALTER SCHEMA a RENAME TO b; DROP TABLE b.t; DROP SCHEMA b CASCADE": [
        ("table dropped", "a.t"),
        ("table dropped", "a"),
    ],
    "CREATE FUNCTION f() RETURNS void SET search_path = s LANGUAGE sql AS 'DELETE FROM z'; SELECT f(); DELETE FROM y": [
        ("deleted", "s.z"),
        ("deleted", "y"),
    ],
    "SET search_path = s; DROP TABLE t": [("table dropped", "s.t")],
    # what goes with something larger
    "UPDATE t SET a = 1; ALTER TABLE t DROP a": [("column dropped", "t.a")],
    "DELETE FROM t; ALTER TABLE t DROP a; DROP TABLE t": [("table dropped", "t")],
    # bodies
    "DO $$ BEGIN IF now() > '2025-01-01' THEN ALTER TABLE t DROP a; END IF; END $$": [("column dropped", "t.a")],
    "DO $$ BEGIN EXECUTE format('UPDATE %I SET a = 1', 't'); END $$": [],
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM z'": [],
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM z'; SELECT f()": [("deleted", "z")],
    "CREATE PROCEDURE f() LANGUAGE plpgsql AS 'BEGIN DELETE FROM z; END'; CALL f()": [("deleted", "z")],
    "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC DELETE FROM z; END; DO $$ BEGIN PERFORM f(); END $$": [
        ("deleted", "z")
    ],
    f"{TRIGGER} INSERT INTO t VALUES (1)": [],
    f"{TRIGGER} UPDATE t SET a = 1": [("updated", "t.a"), ("deleted", "z")],
}


@pytest.mark.parametrize("sql", TEXTS)
def test_what_is_destroyed(sql):
    assert said(sql) == TEXTS[sql]


MORE = {
    "UPDATE t SET a = 1 WHERE b": {"where": True},
    "DELETE FROM t USING u": {"where": True},
    "TRUNCATE t CASCADE": {"cascade": True},
    "DO $$ BEGIN EXECUTE 'DROP TABLE t'; END $$": {"certain": False},
    "ALTER TABLE t ADD a int; UPDATE t SET a = 1": {"new": True},
    "ALTER TABLE t ADD IF NOT EXISTS a int; UPDATE t SET a = 1": {"if_there": True},
    "ALTER TABLE t ALTER a TYPE varchar(10)": {"type": '"pg_catalog"."varchar"', "mods": [10]},
    "ALTER TABLE t ALTER a TYPE numeric(5, 2)[]": {"type": '"pg_catalog"."numeric"[]', "mods": [5, 2]},
    "ALTER TABLE t ALTER a TYPE s.mood USING a::text::s.mood": {"type": '"s"."mood"', "explicit": True},
    "ALTER TABLE t ALTER a TYPE int USING trim(a)::int": {"type": '"pg_catalog"."int4"', "cast": False},
    "ALTER TABLE t ALTER a TYPE int USING t.a": {"type": '"pg_catalog"."int4"'},
    "ALTER TABLE t ALTER a TYPE int USING b": {"type": '"pg_catalog"."int4"', "cast": False},
    "DROP TYPE m CASCADE": {"of": "type", "certain": False},
}


@pytest.mark.parametrize("sql", MORE)
def test_what_else_is_said(sql):
    ((_, _, _, more),) = found(sql)
    assert more == MORE[sql]


def test_each_statement_that_writes_is_named():
    assert said("UPDATE t SET a = 1 WHERE b; UPDATE t SET a = 2") == [("updated", "t.a")] * 2
    assert said("ALTER TABLE t DROP IF EXISTS a; ALTER TABLE t DROP IF EXISTS a") == [("column dropped", "t.a")]


def test_where_to_look_for_more():
    assert destroyed_values.look(["INSERT INTO t SELECT f(a) FROM u"]) == {
        "values": [],
        "writes": True,
        "calls": ["f"],
        "unseen": False,
    }
    assert destroyed_values.look(["DO $$ BEGIN EXECUTE 'x' || 1; END $$"])["unseen"]
    assert not destroyed_values.look(["CREATE TABLE t (a int DEFAULT f())"])["calls"]
