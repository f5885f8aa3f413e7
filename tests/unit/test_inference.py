"""Which migration needs which earlier one, from their texts."""

from migrollback_nb.operations.inference import Step, infer, path_names
from migrollback_nb.parsing.objects import statement_objects


def needs(*texts, path=("public",), rollbacks=None, rows=None):
    """{(dependent, dependency): (reason, source)} of migrations a, b, c ... with these texts."""
    steps = [
        Step(
            name=name,
            path=path,
            statements=statement_objects(text),
            rollback=statement_objects((rollbacks or {}).get(name, "")),
            rows=(rows or {}).get(name, ()),
        )
        for name, text in zip("abcdefgh", texts, strict=False)
    ]
    return {edge.migration_name + edge.depends_on: (edge.reason, edge.source) for edge in infer(steps).edges}


def test_a_foreign_key_a_view_and_a_row_need_their_table():
    found = needs(
        "CREATE TABLE users (id int PRIMARY KEY);",
        "CREATE TABLE orders (u int REFERENCES users);",
        "CREATE VIEW v AS SELECT 1 FROM orders;",
        "INSERT INTO users VALUES (1);",
    )
    assert found == {
        "ba": ("table public.users", "parsed"),
        "cb": ("table public.orders", "parsed"),
        "da": ("table public.users", "parsed"),
    }


def test_a_column_that_another_one_added_is_a_reason_of_its_own():
    found = needs(
        "CREATE TABLE users (id int);",
        "ALTER TABLE users ADD email text;",
        "CREATE VIEW v AS SELECT email FROM users;",
        "CREATE VIEW w AS SELECT id FROM users;",
    )
    assert found["cb"] == ("column public.users.email", "parsed")
    assert "db" not in found


def test_the_last_maker_counts():
    found = needs("CREATE TABLE t (a int);", "DROP TABLE t; CREATE TABLE t (b int);", "INSERT INTO t VALUES (1);")
    assert set(found) == {"ba", "cb"}


def test_who_renames_is_needed_by_who_uses_the_new_name():
    found = needs(
        "CREATE TABLE users (a int);",
        "ALTER TABLE users RENAME TO people;",
        "INSERT INTO people VALUES (1);",
        "CREATE TABLE users (a int);",
        "INSERT INTO users VALUES (1);",
    )
    assert set(found) == {"ba", "cb", "ed"}


def test_names_inside_bodies_count_and_are_told_apart():
    found = needs(
        "CREATE TABLE t (a int);",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$BEGIN INSERT INTO t VALUES (1); END$$;",
        "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT 1';",
    )
    assert found == {"ba": ("table public.t", "body"), "cb": ("function public.f", "parsed")}


def test_unqualified_names_are_looked_up_along_the_path():
    texts = ("CREATE TABLE one.t (a int);", "CREATE TABLE two.t (a int);", "INSERT INTO t VALUES (1);")
    assert set(needs(*texts, path=("one", "two"))) == {"ca"}
    assert set(needs(*texts, path=("two", "one"))) == {"cb"}


def test_a_rollback_that_names_what_a_later_one_drops_or_makes_anew():
    found = needs(
        "CREATE TABLE t (a int);",
        "DROP INDEX IF EXISTS i;",
        "DROP TABLE t;",
        "CREATE TABLE u (a int);",
        rollbacks={"b": "CREATE INDEX i ON t (a);", "a": "DROP TABLE IF EXISTS t, u;"},
    )
    assert found["cb"] == ("table public.t", "rollback")
    assert found["da"] == ("table public.u", "rollback")


def test_what_was_seen_in_the_catalogs_completes_the_text():
    made = [
        {"action": "created", "kind": "table", "identity": 'public."T t"'},
        {"action": "created", "kind": "function", "identity": "public.f(a integer)"},
    ]
    found = needs(
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', 'T t'); END $$;",
        'INSERT INTO "T t" DEFAULT VALUES; SELECT f(1);',
        rows={"a": made},
    )
    assert found == {"ba": ('function public.f(a integer); table public."T t"', "parsed")}


def test_no_edge_to_itself_and_none_without_an_object():
    assert (
        needs(
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1);", "SELECT 1;", "INSERT INTO somebody_elses VALUES (1);"
        )
        == {}
    )


def test_what_the_catalogs_know_comes_first():
    steps = [
        Step(name="a", path=("public",), statements=statement_objects("CREATE TABLE t (a int)")),
        Step(name="b", path=("public",), statements=statement_objects("INSERT INTO t VALUES (1)")),
    ]
    [edge] = infer(
        steps,
        [{"migration_name": "b", "depends_on": "a", "because": ["table public.t", "x", "y", "z"], "source": "catalog"}],
    ).edges
    assert (edge.source, edge.reason) == ("catalog", "table public.t; x; y and 1 more")


def test_a_path_is_read_as_it_is_recorded():
    assert path_names('public, "App, ""One""", app') == ("public", 'App, "One"', "app")
    assert path_names(None) == ()


def test_rows_of_a_migration_come_in_one_order_whatever_the_database_gives():
    from itertools import permutations

    from migrollback_nb.operations.dependencies import by_migration

    rows = [
        {"migration_name": "1", "action": action, "kind": kind, "identity": identity}
        for action, kind, identity in (
            ("created", "table", "public.a"),
            ("dropped", "table", "public.a"),
            ("changed", "table", "public.b"),
            ("created", "column", "public.a.x"),
        )
    ]
    found = [by_migration(one)["1"] for one in permutations(rows)]
    assert all(one == found[0] for one in found)
    assert [row["action"] for row in found[0]] == ["dropped", "changed", "created", "created"]
    assert found[0][-1]["kind"] == "column"
