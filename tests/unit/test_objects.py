"""What the statements of a text make, change, drop and use."""

import pytest

from migrollback_nb.parsing.objects import statement_objects


def found(text):
    """(action, kind, name) of every mention; the part with a dot before it, what stands in a body in parentheses."""
    shown = set()
    for statement in statement_objects(text):
        for m in statement.mentions:
            name = ".".join(filter(None, (m.schema, m.name, m.part)))
            shown.add((m.action, m.kind, f"({name})" if statement.in_body else name))
    return shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "CREATE TABLE app.t (a int, CONSTRAINT c CHECK (a > 0))",
            {("created", "table", "app.t"), ("created", "column", "app.t.a"), ("created", "constraint", "app.t.c")},
        ),
        (
            "CREATE TABLE t (a int REFERENCES u (b))",
            {("created", "table", "t"), ("created", "column", "t.a"), ("used", "relation", "u")},
        ),
        ("CREATE TABLE p PARTITION OF q DEFAULT", {("created", "table", "p"), ("used", "relation", "q")}),
        (
            "CREATE TABLE q (a int) PARTITION BY LIST (a)",
            {("created", "partitioned table", "q"), ("created", "column", "q.a")},
        ),
        ("CREATE TEMP TABLE t (a mood)", {("used", "relation", "t"), ("used", "type", "mood")}),
        (
            "CREATE VIEW v AS WITH c AS (SELECT 1) SELECT f(a) FROM t, c",
            {("created", "view", "v"), ("used", "relation", "t"), ("used", "function", "f")},
        ),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", {("created", "materialized view", "v")}),
        ("CREATE INDEX i ON app.t (a)", {("created", "index", "app.i"), ("used", "relation", "app.t")}),
        ("CREATE TYPE e AS ENUM ('a')", {("created", "enum", "e")}),
        ("CREATE DOMAIN d AS mood", {("created", "domain", "d"), ("used", "type", "mood")}),
        ("ALTER TYPE e ADD VALUE 'b'", {("changed", "enum", "e")}),
        ("CREATE SCHEMA s", {("created", "schema", "s")}),
        ("CREATE EXTENSION citext", {("created", "extension", "citext")}),
        ("CREATE POLICY p ON t USING (f())", {("created", "policy", "t.p"), ("used", "function", "f")}),
        (
            "CREATE TRIGGER g BEFORE INSERT ON t EXECUTE FUNCTION app.f()",
            {("created", "trigger", "t.g"), ("used", "function", "app.f")},
        ),
        (
            "ALTER TABLE t ADD a mood, DROP b, ALTER c SET DEFAULT nextval('app.s'), DROP CONSTRAINT d",
            {
                ("changed", "relation", "t"),
                ("created", "column", "t.a"),
                ("dropped", "column", "t.b"),
                ("changed", "column", "t.c"),
                ("dropped", "constraint", "t.d"),
                ("used", "type", "mood"),
                ("used", "relation", "app.s"),
                ("used", "function", "nextval"),
            },
        ),
        ("ALTER TABLE t RENAME a TO b", {("renamed", "column", "t.a")}),
        ("ALTER TABLE t SET SCHEMA s", {("renamed", "relation", "t")}),
        (
            "DROP FUNCTION app.f(int); DROP TABLE t; DROP TRIGGER g ON t; DROP TYPE e; DROP SCHEMA s",
            {
                ("dropped", "function", "app.f"),
                ("dropped", "relation", "t"),
                ("dropped", "trigger", "t.g"),
                ("dropped", "type", "e"),
                ("dropped", "schema", "s"),
            },
        ),
        (
            "INSERT INTO t SELECT 'u'::regclass",
            {("used", "relation", "t"), ("used", "relation", "u"), ("used", "type", "regclass")},
        ),
        ("COMMENT ON COLUMN t.a IS 'x'", {("used", "column", "t.a")}),
        ("GRANT SELECT ON t TO public", {("used", "relation", "t")}),
        ("GRANT SELECT (a) ON t TO public", {("used", "relation", "t"), ("used", "column", "t.a")}),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA app TO public", {("used", "schema", "app")}),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA app, other REVOKE ALL ON FUNCTIONS FROM public",
            {("used", "schema", "app"), ("used", "schema", "other")},
        ),
        ('CREATE TABLE "S p"."T.x" ("C" int)', {("created", "table", "S p.T.x"), ("created", "column", "S p.T.x.C")}),
        (
            "CREATE FUNCTION f(a app.pair) RETURNS int LANGUAGE sql AS 'SELECT b FROM t'",
            {
                ("created", "function", "f"),
                ("used", "type", "app.pair"),
                ("used", "type", "(app.pair)"),  # whose fields the body may name
                ("used", "relation", "(t)"),
            },
        ),
        ("this is no SQL", set()),
    ],
)
def test_a_statement_says_what_it_does_to_which_objects(text, expected):
    assert found(text) == expected


def test_a_plpgsql_body_names_tables_functions_and_types():
    body = """
        DECLARE one app.users%ROWTYPE; two app.orders.id%TYPE;
        BEGIN
            FOR one IN SELECT * FROM app.users LOOP PERFORM app.send(one.id); END LOOP;
            two := (SELECT max(id) FROM invoices);
            EXECUTE 'DELETE FROM logs WHERE at < now()';
            RETURN NEW;
        END"""
    names = found(f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    assert {
        ("used", "relation", "(app.users)"),
        ("used", "type", "(app.users)"),
        ("used", "type", "(app.orders)"),
        ("used", "function", "(app.send)"),
        ("used", "relation", "(invoices)"),
        ("used", "relation", "(logs)"),
    } <= names


def test_a_do_block_makes_what_it_makes():
    assert ("created", "table", "(t)") in found("DO $$ BEGIN CREATE TABLE t (a int); END $$")


def test_names_that_may_be_columns_are_kept_apart_for_each_statement():
    first, second = statement_objects("SELECT a, t.b FROM t WHERE c > 0; UPDATE u SET d = 1")
    assert first.names >= {"a", "b", "c"}
    assert "d" in second.names
    assert "*" in statement_objects("CREATE VIEW v AS SELECT * FROM t")[0].names
