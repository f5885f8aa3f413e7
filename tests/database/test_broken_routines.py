"""Functions, views and policies that a rollback would leave broken are told before, also those that PostgreSQL does
not track."""

import functools

import pytest
from watching import dismiss_all

import migrollback_nb as mr

pytestmark = pytest.mark.versions

BASE = """
CREATE TABLE users (id int, email text);
CREATE TABLE orders (id int, user_id int);
"""


@pytest.fixture
def applied(applied):
    """Without the snapshots around it, which take longest and are of no concern here."""
    return functools.partial(applied, snapshots="none")


@pytest.fixture
def rehearsed(db, applied):
    """Apply BASE, then a migration, then something that relies on it; the rehearsal of the migration's rollback."""

    def rehearse(up, rollback, reliant):
        applied("001_base", BASE, "SELECT 1;")
        applied("002_m", up, rollback)
        applied("003_reliant", reliant, "SELECT 1;")
        dismiss_all(db)
        return db.rehearse("002_m")

    return rehearse


NOTES = "ALTER TABLE users ADD COLUMN notes text;", "ALTER TABLE users DROP COLUMN notes;"
TAGS = "CREATE TABLE tags (id int, label text);", "DROP TABLE tags;"
#: what relies on it -> (identity, certain)
CASES = {
    "an SQL function that names a dropped column": (
        NOTES,
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT notes FROM users'",
        ("public.f()", True),
    ),
    "an SQL function that names a dropped table": (
        TAGS,
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT label FROM public.tags'",
        ("public.f()", True),
    ),
    "an SQL procedure": (TAGS, "CREATE PROCEDURE f() LANGUAGE sql AS 'DELETE FROM tags'", ("public.f()", True)),
    "a PL/pgSQL function that names a dropped column": (
        NOTES,
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT u.notes FROM users u); END $$",
        ("public.f()", True),
    ),
    "a PL/pgSQL function that names a dropped table": (
        TAGS,
        (
            "CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN a := (SELECT count(*) FROM tags); RETURN"
            " a; END $$"
        ),
        ("public.f(integer)", True),
    ),
    "a PL/pgSQL function that returns a table": (
        TAGS,
        (
            "CREATE FUNCTION f() RETURNS TABLE (n int) LANGUAGE plpgsql AS $$ BEGIN FOR n IN SELECT id FROM tags LOOP"
            " RETURN NEXT; END LOOP; END $$"
        ),
        ("public.f()", True),
    ),
    "a trigger function": (
        NOTES,
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.notes := ''; RETURN NEW; END $$;"
            " CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();"
        ),
        ("public.f()", True),
    ),
    "SQL that is built while it runs": (
        TAGS,
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DELETE FROM tags'; END $$",
        ("public.f()", False),
    ),
    "a column that may be another table's": (
        NOTES,
        (
            "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT notes FROM users, orders);"
            " END $$"
        ),
        ("public.f()", False),
    ),
    "a function in a schema of its own path": (
        TAGS,
        (
            "CREATE SCHEMA app; CREATE FUNCTION app.f() RETURNS int LANGUAGE plpgsql SET search_path = public AS $$"
            " BEGIN RETURN (SELECT count(*) FROM tags); END $$"
        ),
        ("app.f()", True),
    ),
    "a renamed table": (
        ("ALTER TABLE orders RENAME TO purchases;", "ALTER TABLE purchases RENAME TO orders;"),
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM purchases'",
        ("public.f()", True),
    ),
    "a changed type": (
        ("ALTER TABLE users ADD COLUMN age int;", "ALTER TABLE users ALTER COLUMN age TYPE text;"),
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT age FROM users'",
        ("public.f()", True),
    ),
    "a name that is written in quotes": (
        ('CREATE TABLE "Odd-name$ (a)[1].*" (id int);', 'DROP TABLE "Odd-name$ (a)[1].*";'),
        """CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM "Odd-name$ (a)[1].*"'""",
        ("public.f()", True),
    ),
    "a name with a quote in it": (
        ('CREATE TABLE "a""b" (id int);', 'DROP TABLE "a""b";'),
        """CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM "a""b"'""",
        ("public.f()", True),
    ),
    "a name of other letters": (
        ("CREATE TABLE größe (id int);", "DROP TABLE größe;"),
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM größe'",
        ("public.f()", True),
    ),
    "a name after an escaped line break": (
        TAGS,
        r"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE E'DELETE FROM\ntags'; END $$",
        ("public.f()", False),
    ),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("what", CASES)
def test_broken(rehearsed, what):
    (up, rollback), reliant, (identity, certain) = CASES[what]
    found = rehearsed(up, rollback, reliant)
    assert [(broken.identity, broken.certain) for broken in found.broken] == [(identity, certain)], found
    verb = "breaks" if certain else "may break"
    assert any(danger.startswith(f"{verb} ") and identity in danger for danger in found.dangers)


NOT_BROKEN = {
    "another table of that name": (
        TAGS,
        (
            "CREATE SCHEMA app; CREATE TABLE app.tags (); CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql SET"
            " search_path = app AS $$ BEGIN RETURN (SELECT count(*) FROM tags); END $$"
        ),
    ),
    "a variable of that name": (
        NOTES,
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ DECLARE notes text := ''; BEGIN RETURN notes; END $$",
    ),
    "a comment": (TAGS, "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; -- FROM tags\nEND $$"),
    "a part of a longer word": (
        TAGS,
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT hashtags'; RETURN ''; END $$",
    ),
    "another column": (NOTES, "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT email FROM users -- notes'"),
    "broken already": (
        TAGS,
        (
            "SET check_function_bodies = off; CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT label FROM tags,"
            " nowhere'"
        ),
    ),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("what", NOT_BROKEN)
def test_not_broken(rehearsed, what):
    (up, rollback), reliant = NOT_BROKEN[what]
    assert rehearsed(up, rollback, reliant).broken == ()


@pytest.mark.long
def test_who_calls_what_breaks(rehearsed):
    found = rehearsed(
        *NOTES,
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT notes FROM users LIMIT 1'; CREATE VIEW v AS SELECT"
        " f(); ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON orders USING (f() = ''); ALTER TABLE"
        " orders ADD COLUMN a text DEFAULT f();",
    )
    (broken,) = found.broken
    assert broken.used_by == ("policy p on public.orders", "table column public.orders.a", "view public.v")
    assert any(
        "used by policy p on public.orders, table column public.orders.a, view public.v" in danger
        for danger in found.dangers
    )


def test_what_goes_with_the_rollback_is_not_broken(db, applied):
    applied(
        "001_m",
        "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT a FROM t';",
        "DROP FUNCTION f(); DROP TABLE t;",
    )
    assert db.rehearse("001_m").broken == ()


def test_what_the_rollback_fixes_is_not_broken(db, applied):
    applied(
        "001_m",
        "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT a FROM t';",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP TABLE t;",
    )
    assert db.rehearse("001_m").broken == ()


@pytest.mark.long
def test_what_it_foretells_is_so(db, applied, session):
    applied("001_base", BASE, "SELECT 1;")
    applied("002_m", *NOTES)
    applied(
        "003_f",
        "CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT u.notes FROM users u); END $$;",
        "DROP FUNCTION f();",
    )
    dismiss_all(db)
    rehearsed = db.rehearse("002_m")
    connection = session()
    connection.execute("SELECT f()")
    db.rollback("002_m", confirm="002_m", preview=rehearsed)
    import psycopg

    with pytest.raises(psycopg.errors.UndefinedColumn):
        connection.execute("SELECT f()")
    assert isinstance(rehearsed, mr.Rehearsal)
