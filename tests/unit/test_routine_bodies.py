"""What PL/pgSQL bodies name, and the names in SQL and in identities."""

import doctest

import pytest

from migrollback_nb.parsing import routine_bodies, tokens

USERS, NOTES = ("public", "users"), "public.users.notes"
GONE = {
    "table": routine_bodies.Gone(kind="table", identity="public.users", schema="public", name="users"),
    "column": routine_bodies.Gone(kind="column", identity=NOTES, schema="public", table="users", name="notes"),
    "function": routine_bodies.Gone(kind="function", identity="public.fix(integer)", schema="public", name="fix"),
    "enum": routine_bodies.Gone(kind="enum", identity="public.mood", schema="public", name="mood"),
}
#: (what is gone, a body) -> True: certain, False: perhaps, None: not named
BODIES = {
    ("table", "BEGIN SELECT 1 FROM users; END"): True,
    ("table", "BEGIN PERFORM 1 FROM public.users; END"): True,
    ("table", "BEGIN PERFORM 1 FROM app.users; END"): None,
    ("table", "BEGIN INSERT INTO users VALUES (1); END"): True,
    ("table", "DECLARE r users%ROWTYPE; BEGIN NULL; END"): True,
    ("table", "DECLARE r public.users.id%TYPE; BEGIN NULL; END"): True,
    ("table", "DECLARE n int := (SELECT count(*) FROM users); BEGIN NULL; END"): True,
    ("table", "BEGIN WITH users AS (SELECT 1) SELECT * FROM users; END"): None,
    ("table", "BEGIN EXECUTE 'DELETE FROM users'; END"): False,
    ("table", "DECLARE users int; BEGIN users := 1; END"): None,
    ("table", "BEGIN -- FROM users\n NULL; END"): None,
    ("table", "BEGIN RAISE NOTICE 'users'; END"): None,
    ("column", "BEGIN PERFORM u.notes FROM users u; END"): True,
    ("column", "BEGIN PERFORM users.notes FROM users; END"): True,
    ("column", "BEGIN PERFORM notes FROM users; END"): False,
    ("column", "BEGIN PERFORM notes FROM app.users; END"): None,
    ("column", "BEGIN INSERT INTO users (notes) VALUES (1); END"): True,
    ("column", "BEGIN UPDATE users SET notes = 1; END"): True,
    ("column", "BEGIN UPDATE users SET other = 1; END"): None,
    ("column", "BEGIN NEW.notes := 1; RETURN NEW; END"): None,
    ("column", "DECLARE r users.notes%TYPE; BEGIN NULL; END"): True,
    ("function", "BEGIN PERFORM fix(1); END"): False,
    ("function", "BEGIN PERFORM app.fix(1); END"): None,
    ("enum", "BEGIN PERFORM 'x'::mood; END"): True,
}


def _function(body: str, *, arguments: str = "", returns: str = "void") -> str:
    return f"CREATE FUNCTION public.f({arguments}) RETURNS {returns} LANGUAGE plpgsql AS $function${body}$function$"


@pytest.mark.parametrize(("what", "body"), BODIES)
def test_bodies(what, body):
    found = routine_bodies.uses(_function(body, returns="trigger" if "NEW" in body else "void"))
    assert found is not None
    meant = {(None, "users"): USERS, ("public", "users"): USERS, ("app", "users"): ("app", "users")}
    named = list(routine_bodies.broken_by(found, [GONE[what]], meant))
    expected = BODIES[what, body]
    assert named == ([] if expected is None else [(GONE[what], expected)])


@pytest.mark.parametrize(
    "body", ["BEGIN NEW.notes := 1; RETURN NEW; END", "BEGIN IF OLD.notes = 1 THEN RETURN NULL; END IF; END"]
)
def test_rows_of_a_trigger(body):
    found = routine_bodies.uses(_function(body, returns="trigger"))
    named = list(routine_bodies.broken_by(found, [GONE["column"]], {}, trigger_on=frozenset({"public.users"})))
    assert named == [(GONE["column"], True)]


def test_arguments_and_returned_columns_may_be_assigned_to():
    assert (
        routine_bodies.uses(
            _function(
                "BEGIN a := 1; b := 2; RETURN NEXT; END",
                arguments="a integer DEFAULT 1",
                returns="TABLE(b integer, c text)",
            )
        )
        is not None
    )


def test_a_body_that_cannot_be_read():
    assert routine_bodies.uses(_function("this is python")) is None


def test_what_is_gone():
    changes = [
        {"change": "dropped", "kind": "table", "identity": 'public."T x"'},
        {"change": "dropped", "kind": "column", "identity": 'public."T x".a'},
        {"change": "dropped", "kind": "column", "identity": "public.users.notes"},
        {"change": "dropped", "kind": "function", "identity": "public.fix(integer, text)"},
        {"change": "changed", "kind": "table", "identity": "public.other"},
        {"change": "dropped", "kind": "index", "identity": "public.i"},
    ]
    assert [(one.kind, one.schema, one.table, one.name) for one in routine_bodies.gone_from(changes)] == [
        ("table", "public", None, "T x"),
        ("column", "public", "users", "notes"),
        ("function", "public", None, "fix"),
    ]


def test_the_examples_hold():
    assert doctest.testmod(tokens).failed == 0


@pytest.mark.parametrize(
    ("sql", "name", "there"),
    [
        ("DROP TABLE users", "users", True),
        ('DROP TABLE "Users"', "users", False),
        ("DROP TABLE a; -- users", "users", False),
        ("SELECT 'users'", "users", False),
        ("DO $$ BEGIN DROP TABLE users; END $$", "users", True),
        ("DO LANGUAGE plpgsql $x$ BEGIN DROP TABLE users; END $x$", "users", True),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 FROM users $$", "users", False),
        ("ALTER TABLE a DROP COLUMN name", "name", True),
        ("DROP TABLE 'unterminated", "users", False),
    ],
)
def test_names_in_sql(sql, name, there):
    assert (name in tokens.names_in(sql)) is there
