"""The one table of what CREATE statements create: ownership and undo read the same."""

import postgast
import pytest

from migrollback_nb.parsing.creates import create_of
from migrollback_nb.parsing.objects import statement_objects


def read(text):
    [raw] = postgast.parse(text).stmts
    kind = raw.stmt.WhichOneof("node")
    return create_of(kind, getattr(raw.stmt, kind))


@pytest.mark.parametrize(
    ("text", "drop"),
    [
        ("CREATE TABLE app.t ()", "DROP TABLE IF EXISTS app.t"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "DROP MATERIALIZED VIEW IF EXISTS v"),
        ("CREATE INDEX CONCURRENTLY i ON app.t (a)", "DROP INDEX CONCURRENTLY IF EXISTS app.i"),
        ("CREATE INDEX ON app.t (a, lower(b))", "DROP INDEX IF EXISTS app.t_a_lower_idx"),
        ('CREATE POLICY "P" ON app.t', 'DROP POLICY IF EXISTS "P" ON app.t'),
        ("CREATE FUNCTION f(a int, OUT b int) LANGUAGE sql AS ''", "DROP FUNCTION IF EXISTS f(int)"),
        ("CREATE PROCEDURE f(a int, OUT b int) LANGUAGE sql AS ''", "DROP PROCEDURE IF EXISTS f(int, int)"),
        ("CREATE OPERATOR app.+ (FUNCTION = f, RIGHTARG = int)", "DROP OPERATOR IF EXISTS app.+ (NONE, int)"),
        ("CREATE CAST (text AS app.e) WITH INOUT", "DROP CAST IF EXISTS (text AS app.e)"),
        ("CREATE USER MAPPING FOR bob SERVER s", "DROP USER MAPPING IF EXISTS FOR bob SERVER s"),
        ("CREATE STATISTICS ON a, b FROM app.t", "DROP STATISTICS IF EXISTS app.t_a_b_stat"),
        ('CREATE SCHEMA AUTHORIZATION "Bob"', 'DROP SCHEMA IF EXISTS "Bob"'),
    ],
)
def test_what_is_created_is_dropped_by_its_own_name(text, drop):
    assert read(text).drop == drop
    postgast.parse(drop)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("CREATE TYPE app.box (INPUT = box_in, OUTPUT = box_out)", "base type", "box"),
        ("CREATE SCHEMA AUTHORIZATION bob", "schema", "bob"),
        ("CREATE TYPE app.pair AS (a int)", "composite type", "pair"),
    ],
)
def test_ownership_reads_the_same_table(text, kind, name):
    mention = statement_objects(text)[0].mentions[0]
    assert (mention.action, mention.kind, mention.name) == ("created", kind, name)
    assert (read(text).kind, read(text).name) == (kind, name)


@pytest.mark.parametrize(
    "text", ["CREATE TEMP TABLE t ()", "CREATE INDEX ON t (a)", "CREATE SCHEMA AUTHORIZATION CURRENT_USER"]
)
def test_what_has_no_lasting_name_has_no_owner(text):
    assert not [m for one in statement_objects(text) for m in one.mentions if m.action == "created"]


def test_other_statements_create_nothing():
    assert read("DROP TABLE t") is None
