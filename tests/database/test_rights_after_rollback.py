"""Rights after a rollback: a migration's own are not those of others, and wider ones are not what was there before."""

from __future__ import annotations

import pytest

import migrollback_nb as mr
from migrollback_nb.files.preludes import find
from migrollback_nb.replay.scratch import scratch

pytestmark = pytest.mark.versions


@pytest.fixture(autouse=True)
def all_in_one_run(monkeypatch):
    """As those of a long run that are not among its last ones: with no snapshot in between."""
    monkeypatch.setattr("migrollback_nb.operations.apply.RUNS_APART", 0)


#: As Supabase has it for every schema that it serves.
DEFAULTS = (
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO pg_monitor, pg_read_all_data; ALTER DEFAULT"
    " PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO pg_monitor; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT"
    " ALL ON FUNCTIONS TO pg_monitor"
)
BASE = (
    "CREATE TABLE desk (id int PRIMARY KEY, a int); CREATE SEQUENCE sq; CREATE VIEW v AS SELECT a FROM desk; CREATE"
    " FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SCHEMA app; CREATE TYPE mood AS ENUM ('ok'); CREATE"
    " INDEX i ON desk (a); CREATE PUBLICATION p; CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)"
)

#: What a migration does to the objects of another one that is applied in the same run, and what undoes it.
OWN = {
    "tables": (
        "GRANT SELECT, INSERT ON desk, v TO pg_monitor; GRANT USAGE ON SEQUENCE sq TO pg_monitor",
        "REVOKE SELECT, INSERT ON desk, v FROM pg_monitor; REVOKE USAGE ON SEQUENCE sq FROM pg_monitor",
    ),
    "a column": ("GRANT UPDATE (a) ON desk TO pg_monitor", "REVOKE UPDATE (a) ON desk FROM pg_monitor"),
    "others": (
        "GRANT USAGE ON SCHEMA app TO pg_monitor; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC; REVOKE USAGE ON TYPE mood"
        " FROM PUBLIC",
        "REVOKE USAGE ON SCHEMA app FROM pg_monitor; GRANT EXECUTE ON FUNCTION f() TO PUBLIC; GRANT USAGE ON TYPE mood"
        " TO PUBLIC",
    ),
    "with DDL": (
        "ALTER TABLE desk ENABLE ROW LEVEL SECURITY; REVOKE ALL ON desk FROM CURRENT_USER",
        "ALTER TABLE desk DISABLE ROW LEVEL SECURITY; GRANT ALL ON desk TO CURRENT_USER",
    ),
    "by default": (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor; ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE"
        " EXECUTE ON FUNCTIONS FROM pg_monitor; ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TYPES TO"
        " pg_monitor",
        "ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM pg_monitor; ALTER DEFAULT PRIVILEGES IN SCHEMA app"
        " REVOKE ALL ON TYPES FROM pg_monitor",
    ),
    "CLUSTER": ("CLUSTER desk USING i", "ALTER TABLE desk SET WITHOUT CLUSTER"),
    "members": (
        "ALTER PUBLICATION p ADD TABLE desk; ALTER TEXT SEARCH CONFIGURATION words ADD MAPPING FOR tag WITH simple",
        "ALTER PUBLICATION p DROP TABLE desk; ALTER TEXT SEARCH CONFIGURATION words DROP MAPPING FOR tag",
    ),
}


def said(result):
    found = result.verification
    return found.verdict, [str(change) for change in (*found.differences.changes, *found.unexpected.changes)]


@pytest.mark.long
def test_rights_of_a_migration_that_was_applied_together_with_others_are_its_own(db, write):
    write("0_base", BASE, "SELECT 1;")
    for number, (up, rollback) in enumerate(OWN.values(), 1):
        write(f"{number}_own", up + ";", rollback + ";")
    db.apply()
    for number, what in reversed(list(enumerate(OWN, 1))):
        assert (what, said(db.rollback(f"{number}_own", confirm=f"{number}_own"))) == (what, ("restored", []))


@pytest.mark.parametrize("before", ["", DEFAULTS], ids=["", "by default"])
def test_what_its_rollback_does_not_take_back_is_not_restored(db, write, session, before):
    session().execute(before)
    write("0_base", BASE, "SELECT 1;")
    write("1_own", OWN["tables"][0] + ";", "REVOKE ALL ON v FROM pg_monitor;")
    write("2_own", OWN["by default"][0] + ";", "SELECT 1;")
    db.apply()
    by_default = said(db.rollback("2_own", confirm="2_own"))
    assert by_default == (
        "differs",
        ["+ default grant postgres in * on r", "+ default grant postgres in app on T"],
    )
    verdict, differences = said(db.rollback("1_own", confirm="1_own"))
    assert verdict == "differs"
    if not before:  # of rights that are there from the beginning nothing is known in between
        assert differences == ["+ grant relation public.desk", "+ grant relation public.sq"]


@pytest.mark.long
def test_what_default_privileges_give_to_its_objects_goes_with_them(db, write, session):
    session().execute(DEFAULTS)
    write("0_base", BASE, "SELECT 1;")
    write(
        "1_own",
        "CREATE TABLE own (id serial); CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT SELECT ON own"
        " TO PUBLIC; REVOKE ALL ON own FROM pg_monitor;",
        "DROP TABLE own; DROP FUNCTION g();",
    )
    write("2_view", "CREATE VIEW w AS SELECT 1 AS a;", "DROP VIEW w;")
    db.apply()
    assert said(db.rollback("1_own", confirm="1_own")) == ("restored", [])
    assert said(db.rollback("2_view", confirm="2_view")) == ("restored", [])


def test_what_others_granted_since_stays(db, applied, session):
    session().execute(BASE)
    applied("1_own", "GRANT SELECT ON desk TO pg_monitor;", "REVOKE SELECT ON desk FROM pg_monitor;")
    applied("2_later", "GRANT INSERT ON desk TO pg_monitor; GRANT SELECT ON desk TO pg_read_all_data;", "SELECT 1;")
    assert said(db.rollback("1_own", confirm="1_own")) == ("restored", [])


@pytest.mark.long
@pytest.mark.parametrize("together", [True, False], ids=["together", "alone"])
def test_rights_that_default_privileges_add_to_what_comes_back_are_not_restored(db, write, session, together):
    session().execute(BASE + ";" + DEFAULTS)
    write("0_other", "CREATE TABLE other ();", "DROP TABLE other;")
    write(
        "1_gone",
        "DROP VIEW v; DROP SEQUENCE sq; DROP FUNCTION f();",
        "CREATE VIEW v AS SELECT a FROM desk; CREATE SEQUENCE sq; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS"
        " 'SELECT 1';",
    )
    if not together:
        db.apply("0_other")
    db.apply()
    found = db.rollback("1_gone", confirm="1_gone").verification
    assert {str(change) for change in found.differences.changes} == {
        "+ grant relation public.v",
        "+ grant relation public.sq",
        "+ grant routine public.f()",
    }
    assert found.message.startswith("Not restored: 3 objects")
    assert not found.unexpected


@pytest.mark.long
def test_a_comment_that_goes_with_its_object_is_not_restored(db, write):
    write(
        "0_base",
        'CREATE SCHEMA "Billing"; CREATE TABLE "Billing".invoice (id int, total int); COMMENT ON TABLE'
        " \"Billing\".invoice IS 'x'; COMMENT ON COLUMN \"Billing\".invoice.total IS 'with tax'; CREATE FUNCTION"
        " \"Billing\".vat() RETURNS int LANGUAGE sql AS 'SELECT 1'; COMMENT ON FUNCTION"
        " \"Billing\".vat() IS 'the rate';",
        "SELECT 1;",
    )
    write(
        "1_gone",
        'DROP FUNCTION "Billing".vat(); ALTER TABLE "Billing".invoice DROP COLUMN total; COMMENT ON TABLE'
        ' "Billing".invoice IS NULL;',
        'ALTER TABLE "Billing".invoice ADD COLUMN total int; CREATE FUNCTION "Billing".vat() RETURNS int LANGUAGE sql'
        " AS 'SELECT 1';",
    )
    db.apply()
    assert said(db.rollback("1_gone", confirm="1_gone")) == (
        "differs",
        [
            '- comment function "Billing".vat()',
            '- comment table "Billing".invoice',
            '- comment table column "Billing".invoice.total',
        ],
    )


RENAMES = {
    "table": ("ALTER TABLE t RENAME TO u;", "ALTER TABLE u RENAME TO t;"),
    "column": ("ALTER TABLE t RENAME a TO b;", "ALTER TABLE t RENAME b TO a;"),
    "schema": ("CREATE SCHEMA s; ALTER TABLE t SET SCHEMA s;", "ALTER TABLE s.t SET SCHEMA public; DROP SCHEMA s;"),
    "dropped": ("DROP TABLE t;", "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE INDEX i ON t (a);"),
    "replaced": (
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
    ),
    "type": ("ALTER TABLE t ALTER a TYPE bigint;", "ALTER TABLE t ALTER a TYPE int;"),
}
MADE = (
    "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE INDEX i ON t (a); CREATE FUNCTION f() RETURNS int LANGUAGE sql"
    " AS 'SELECT 1';"
)


@pytest.mark.few(2)
@pytest.mark.parametrize("change", RENAMES)
def test_one_of_the_last_of_a_run_that_does_more_than_add_is_compared_with_what_was_before_it(
    db, write, monkeypatch, change
):
    monkeypatch.undo()
    write("0_base", MADE, "SELECT 1;")
    write("1_change", *RENAMES[change])
    write("2_later", "CREATE TABLE later ();", "DROP TABLE later;")
    db.apply()
    found = db.rollback("1_change", confirm="1_change").verification
    assert found.message == "Restored: schema, values and state are as before it was applied"


@pytest.mark.few(1)
@pytest.mark.parametrize("change", ["table", "column", "schema"])
def test_a_rename_in_a_run_without_snapshots_in_between_raises_no_false_alarm(db, write, change):
    write("0_base", MADE, "SELECT 1;")
    write("1_change", *RENAMES[change])
    db.apply()
    found = db.rollback("1_change", confirm="1_change").verification
    assert (found.verdict, len(found.unexpected)) == ("unknown", 0)


@pytest.mark.long
def test_where_supabase_grants_by_default_nothing_is_also_changed(folder, write):
    write(
        "1_profiles",
        "CREATE TABLE profiles (id int PRIMARY KEY); ALTER TABLE profiles ENABLE ROW LEVEL SECURITY; CREATE"
        " FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        "DROP FUNCTION f(); DROP TABLE profiles;",
    )
    write(
        "2_posts",
        "CREATE TABLE posts (id serial PRIMARY KEY, by int REFERENCES profiles); REVOKE ALL ON posts FROM anon;"
        " CREATE VIEW v AS SELECT id FROM posts;",
        "DROP VIEW v; DROP TABLE posts;",
    )
    write(
        "3_name",
        "ALTER TABLE profiles ADD COLUMN name text; GRANT SELECT (name) ON profiles TO anon; CREATE SEQUENCE s;",
        "DROP SEQUENCE s; ALTER TABLE profiles DROP COLUMN name;",
    )
    write("4_view", "DROP VIEW v;", "CREATE VIEW v AS SELECT id FROM posts;")
    with (
        scratch(private=True, preludes=find("supabase")) as made,
        mr.connect(made.database.connection.info.dsn, dir=folder) as db,
    ):
        db.install()
        db.apply()
        for name in ("4_view", "3_name", "2_posts", "1_profiles"):
            assert (name, said(db.rollback(name, confirm=name))) == (name, ("restored", []))
