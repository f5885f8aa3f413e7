"""Each kind of dependent that no catalog tracks, or that its catalog shows in its own way: found at the apply."""

import functools

import pytest

pytestmark = pytest.mark.versions

BASE = "CREATE TABLE shelf (id int PRIMARY KEY, label text);"
AISLE = "ALTER TABLE shelf ADD COLUMN aisle int;"
TRIGRAMS = "CREATE EXTENSION pg_trgm;"
BEFORE = " CREATE TRIGGER fill BEFORE INSERT ON shelf FOR EACH ROW EXECUTE FUNCTION f();"
FILL = "begin new.aisle := 1; return new; end"


def f(body, arguments="", returns="int", language="plpgsql"):
    return f"CREATE OR REPLACE FUNCTION f({arguments}) RETURNS {returns} LANGUAGE {language} AS $$ {body} $$;"


#: (001, 002, 003, which must need 002)
KINDS = {
    "NEW": (BASE, AISLE, f(FILL, returns="trigger") + BEFORE),
    "OLD, and the trigger comes later": (
        BASE + f("begin raise notice '%', old.aisle; return new; end", returns="trigger"),
        AISLE,
        "CREATE TRIGGER look BEFORE UPDATE ON shelf FOR EACH ROW EXECUTE FUNCTION f();",
    ),
    "NEW in a function that is replaced": (
        BASE + f("begin return new; end", returns="trigger") + BEFORE,
        AISLE,
        f(FILL, returns="trigger"),
    ),
    "%ROWTYPE": (BASE, AISLE, f("declare r shelf%ROWTYPE; begin select * into r from shelf; return r.aisle; end")),
    "a declared type": (BASE, AISLE, f("declare r public.shelf; begin r := null; return r.aisle; end")),
    "a record of a loop": (
        BASE,
        AISLE,
        f("declare r record; begin for r in select * from shelf loop return r.aisle; end loop; return 1; end"),
    ),
    "an argument that is a row": (BASE, AISLE, f("begin return s.aisle; end", "s shelf")),
    "an argument of SQL by its number": (BASE, AISLE, f("select ($1).aisle", "shelf", language="sql")),
    "a constraint of ON CONFLICT": (
        BASE,
        "ALTER TABLE shelf ADD CONSTRAINT only_one UNIQUE (label);",
        f("begin insert into shelf (id) values (1) on conflict on constraint only_one do nothing; return 1; end"),
    ),
    "a column of ON CONFLICT": (
        BASE,
        AISLE + "CREATE UNIQUE INDEX one_aisle ON shelf (aisle);",
        f("begin insert into shelf (id) values (1) on conflict (aisle) do nothing; return 1; end"),
    ),
    "columns of a publication": (BASE, AISLE, "CREATE PUBLICATION p FOR TABLE shelf (id, aisle);"),
    "columns that a publication gets": (
        BASE + "CREATE PUBLICATION p;",
        AISLE,
        "ALTER PUBLICATION p ADD TABLE shelf (id, aisle);",
    ),
    "an extension's function": (BASE, TRIGRAMS, f("begin return similarity('a', 'b'); end", returns="real")),
    "an extension's operator": (BASE, TRIGRAMS, f("begin return 'a' %> 'b'; end", returns="boolean")),
    "an extension's operator class": (BASE, TRIGRAMS, "CREATE INDEX i ON shelf USING gin (label gin_trgm_ops);"),
    "an expression of an index": (BASE, TRIGRAMS, "CREATE INDEX i ON shelf ((similarity(label, 'x')));"),
    "a server called pg_": (
        "CREATE EXTENSION postgres_fdw;",
        "CREATE SERVER pg_other FOREIGN DATA WRAPPER postgres_fdw;",
        "CREATE FOREIGN TABLE remote (a int) SERVER pg_other;",
    ),
}
PERHAPS = {
    "SQL that is built while it runs": (
        BASE,
        "CREATE TABLE boxes (id int);",
        f("begin execute 'delete from ' || x || ' using boxes where ' || x; return 1; end", "x text"),
        "builds SQL with the word public.boxes",
    ),
    "a value of an enum": (
        BASE + "CREATE TYPE mood AS ENUM ('sad');",
        "ALTER TYPE mood ADD VALUE 'glad';",
        f("begin return 'glad'; end", returns="text"),
        "names 'glad', as enum public.mood has",
    ),
}


@pytest.fixture
def apply(applied, db):
    """Apply three migrations; who needs whom then."""
    one = functools.partial(applied, snapshots="none")

    def run(*ups):
        for number, up in enumerate(ups, 1):
            one(f"00{number}", up, "SELECT 1;")
        rows = db.database.queries.dependencies()
        return {(row["migration_name"], row["depends_on"]) for row in rows}

    return run


@pytest.mark.few(4)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_found_at_the_apply_and_by_a_look_at_all(kind, apply, db):
    found = apply(*KINDS[kind])
    assert ("003", "002") in found
    assert {(row["migration_name"], row["depends_on"]) for row in db.inferred_rows()[0]} == found


@pytest.mark.parametrize("kind", PERHAPS)
def test_what_is_not_certain_is_a_remark(kind, apply, db):
    *ups, why = PERHAPS[kind]
    assert ("003", "002") not in apply(*ups)
    assert f"Others may depend on it, which is not certain: 003: {why}" in db.check("002").warnings
    db.record_dependencies()
    assert any(why in warning for warning in db.check("002").warnings)


def test_a_body_finds_what_its_own_search_path_finds(apply):
    body = f("begin return (select count(*) from boxes); end").replace(" AS $$", " SET search_path = app AS $$")
    found = apply("CREATE SCHEMA app; CREATE TABLE app.boxes ();", "CREATE TABLE boxes ();", body)
    assert found == {("003", "001")}
