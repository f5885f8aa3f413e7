"""Inverses from the text alone: order, names, what goes along, and what is left to do by hand."""

import pytest

from migrollback_nb import parse
from migrollback_nb.core.object_names import quote
from migrollback_nb.parsing.default_names import default_name
from migrollback_nb.parsing.statements import SqlText
from migrollback_nb.parsing.tokens import unqualify
from migrollback_nb.replay.template import is_readable, rollback_text
from migrollback_nb.undo import suggest


def inverse(up):
    return suggest(SqlText(up))


def test_last_comes_first():
    assert inverse("CREATE TABLE a (); CREATE TABLE b (); CREATE INDEX i ON c (x);").statements == (
        "DROP INDEX IF EXISTS i",
        "DROP TABLE IF EXISTS b",
        "DROP TABLE IF EXISTS a",
    )


def test_what_stands_on_a_new_table_goes_with_it():
    up = """
        CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE TRIGGER g BEFORE INSERT ON t EXECUTE FUNCTION old();
        CREATE POLICY p ON t USING (true);
        ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t ADD COLUMN b int; COMMENT ON COLUMN t.a IS 'x';
        GRANT SELECT ON t TO PUBLIC; INSERT INTO t VALUES (1);
        ALTER TABLE t OWNER TO bob; CREATE RULE r AS ON UPDATE TO t DO NOTHING; CREATE STATISTICS s ON a, b FROM t;
        UPDATE t SET b = 1; ALTER TABLE t DROP COLUMN a;
    """
    assert inverse(up).statements == ("DROP TABLE IF EXISTS t",)
    assert inverse(up).todos == ()
    assert not inverse(up).needs_schema


def test_what_depends_on_something_younger_goes_before_it():
    up = (
        "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS ''; CREATE TRIGGER g BEFORE"
        " INSERT ON t EXECUTE FUNCTION f();"
    )
    assert inverse(up).statements == (
        "DROP TRIGGER IF EXISTS g ON t",
        "DROP FUNCTION IF EXISTS f()",
        "DROP TABLE IF EXISTS t",
    )


@pytest.mark.parametrize(
    "up",
    [
        "CREATE TABLE t (); DROP TABLE t;",
        "CREATE TABLE t (); ALTER TABLE t RENAME TO u; DROP TABLE u;",
        'CREATE INDEX i ON t (a); DROP INDEX "i";',
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS ''; DROP FUNCTION f(integer);",
        "CREATE VIEW public.v AS SELECT 1; DROP VIEW v;",
        "CREATE TRIGGER g BEFORE INSERT ON t EXECUTE FUNCTION f(); DROP TRIGGER g ON t;",
        "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t DROP COLUMN a;",
        "CREATE TEMP TABLE t (); INSERT INTO t DEFAULT VALUES; DROP TABLE t;",
        (
            "SELECT 1; SET lock_timeout = 1; ANALYZE t; REINDEX TABLE t; REFRESH MATERIALIZED VIEW m; LOCK t; SELECT"
            " pg_catalog.set_config('x.y', '', false)"
        ),
    ],
)
def test_there_is_nothing_to_undo(up):
    assert inverse(up).inverses == ()


def test_an_update_of_a_new_column_alone_goes_with_it():
    assert inverse("ALTER TABLE t ADD COLUMN a int; UPDATE t SET a = 1;").todos == ()
    assert inverse("ALTER TABLE t ADD COLUMN a int; UPDATE t SET a = 1, b = 2;").todos


@pytest.mark.parametrize(
    ("up", "says"),
    [
        (
            "INSERT INTO t VALUES ('secret')",
            "line 1, INSERT INTO t: a DELETE that finds just these rows has to be written by hand",
        ),
        ("UPDATE t SET a = 1", "line 1, UPDATE t: what the rows held before is not kept"),
        ("\n\nDELETE FROM t", "line 3, DELETE FROM t: deleted rows are not kept"),
        ("TRUNCATE a, b", "line 1, TRUNCATE a: the rows are not kept"),
        ("COPY t FROM '/x'", "line 1, COPY t: a DELETE"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "line 1, MERGE INTO t"),
        (
            "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
            "line 1, DELETE FROM t: rows are changed inside a WITH",
        ),
        ("ALTER TYPE mood ADD VALUE 'it''s'", "ADD VALUE 'it''s': PostgreSQL cannot take a value out of an enum"),
        ("DO $$ BEGIN END $$", "line 1, DO block: its code can change anything"),
        ("CALL p(1)", "line 1, CALL p: a procedure can change anything"),
        ("SELECT cron.schedule('a', 'b')", "SELECT cron.schedule(): a function that is called can change anything"),
        ("SELECT setval('s', 1)", "setval(): what the sequence had reached is not kept"),
        ("ALTER SEQUENCE s RESTART", "RESTART: what the sequence had reached is not kept"),
        (
            "DROP TABLE t",
            "DROP TABLE t: write by hand what brings it back; what it was is not known. Its rows went with it.",
        ),
        (
            "ALTER TABLE t DROP COLUMN a",
            (
                "ALTER TABLE t, DROP COLUMN a: write by hand what undoes it; what was there before is not known. Its"
                " values"
            ),
        ),
        ("DROP ROLE bob", "roles belong to the whole server"),
        (
            "CREATE TABLE IF NOT EXISTS t ()",
            "whether it was there before is not known. If it was not: DROP TABLE IF EXISTS t;",
        ),
        (
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS ''",
            "whether it was there before is not known",
        ),
        ("SECURITY LABEL ON TABLE t IS 'x'", "write by hand what undoes it"),
    ],
)
def test_a_todo_says_what_and_why_and_runs_nothing(up, says):
    suggested = inverse(up)
    assert says in " ".join(suggested.todos)
    assert suggested.statements == ()
    assert "secret" not in str(suggested)


@pytest.mark.parametrize(
    ("up", "sql"),
    [
        ("ALTER TABLE t ALTER a SET NOT NULL", "ALTER TABLE t ALTER COLUMN a DROP NOT NULL"),
        ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "ALTER TABLE t DISABLE ROW LEVEL SECURITY"),
        ("COMMENT ON TABLE t IS 'x'", "COMMENT ON TABLE t IS NULL"),
        ("CREATE INDEX ON t (a, lower(b))", "DROP INDEX IF EXISTS t_a_lower_idx"),
        ("ALTER TABLE t ADD CHECK (a > 0)", "ALTER TABLE t DROP CONSTRAINT IF EXISTS t_a_check"),
        ("ALTER TABLE s.t ADD PRIMARY KEY (a)", "ALTER TABLE s.t DROP CONSTRAINT IF EXISTS t_pkey"),
        ("GRANT bob TO alice", "REVOKE bob FROM alice"),
        ("ALTER TABLE t SET SCHEMA s", "ALTER TABLE IF EXISTS s.t SET SCHEMA public"),
    ],
)
def test_what_is_only_likely_is_marked(up, sql):
    suggested = inverse(up)
    assert suggested.statements == (sql,)
    assert len(suggested.todos) == 1


@pytest.mark.parametrize(
    "name",
    ['"Odd Name"', '"a""b"', '"select"', '"it\'s"', '"ROLLBACK END"', '"a\nROLLBACK END\nb"', '"-- x"', '"$$"', '"ü"'],
)
def test_names_are_quoted_as_they_must_be(name):
    up = f"""
        CREATE TABLE {name}.{name} (a int); CREATE INDEX {name} ON {name}.t (a); ALTER TABLE t ADD COLUMN {name} int;
        CREATE POLICY {name} ON t USING (true);
        CREATE FUNCTION {name}({name} {name}.{name}) RETURNS int LANGUAGE sql AS ''; ALTER TABLE a RENAME TO {name};
        CREATE TRIGGER {name} BEFORE INSERT ON {name} EXECUTE FUNCTION f();
    """
    assert inverse(up).statements == (
        f"DROP TRIGGER IF EXISTS {name} ON {name}",
        f"ALTER TABLE IF EXISTS {name} RENAME TO a",
        f"DROP FUNCTION IF EXISTS {name}({name}.{name})",
        f"DROP POLICY IF EXISTS {name} ON t",
        f"ALTER TABLE t DROP COLUMN IF EXISTS {name}",
        f"DROP INDEX IF EXISTS {name}.{name}",
        f"DROP TABLE IF EXISTS {name}.{name}",
    )
    for commented in (False, True):
        file = parse(f"{up}\n", name="001_a")
        assert is_readable(
            file.with_rollback(rollback_text(file, inverse(up), commented=commented)), inverse(up).statements
        )


def test_a_block_is_read_back_as_it_was_meant():
    up = "CREATE TABLE t ();\nUPDATE u SET a = 1;\nCREATE INDEX CONCURRENTLY i ON u (a);\n"
    suggested = inverse(up)
    file = parse(up, name="001_a")
    whole = file.with_rollback(rollback_text(file, suggested, remarks=["two\nlines"]))
    assert (
        whole.text
        == f"{up}\n-- ROLLBACK START transaction:false\n\n-- two lines\nDROP INDEX CONCURRENTLY IF EXISTS i;\n-- TODO:"
        " line 2, UPDATE u: what the rows held before is not kept; keep it in a table of its own first, if it must"
        " come back\nDROP TABLE IF EXISTS t;\n\n-- ROLLBACK END\n"
    )
    assert is_readable(whole, suggested.statements)
    commented = file.with_rollback(rollback_text(file, suggested, commented=True))
    assert is_readable(commented, suggested.statements)
    assert [statement.text for statement in SqlText(commented.text).statements] == [
        statement.text for statement in SqlText(up).statements
    ]


def test_a_block_of_todos_is_no_rollback():
    up = "UPDATE t SET a = 1;\n"
    for commented in (False, True):
        file = parse(up, name="001_a")
        file = file.with_rollback(rollback_text(file, inverse(up), commented=commented))
        file.validate()
        assert file.rollback is None


def test_nothing_in_a_remark_ends_its_comment():
    up = 'UPDATE "a\r\nb\u2028\x1b[31m" SET a = 1'
    block = rollback_text(parse(up, name="001_a"), inverse(up))
    assert [line for line in block.split("\n") if line and not line.startswith("--")] == []
    assert "\x1b" not in block
    assert "\r" not in block


def test_a_path_that_the_up_migration_sets_holds_for_the_inverse():
    up = "CREATE TABLE a (); SET search_path = app, public; CREATE TABLE b (); CREATE TABLE c ();"
    assert inverse(up).statements == (
        "SET LOCAL search_path TO app, public",
        "DROP TABLE IF EXISTS c",
        "DROP TABLE IF EXISTS b",
        "SET LOCAL search_path TO DEFAULT",
        "DROP TABLE IF EXISTS a",
    )


@pytest.mark.parametrize(
    ("sql", "schema", "expected"),
    [
        ("SELECT public.t.a, public.f('public.x') FROM public.t", "public", "SELECT t.a, f('public.x') FROM t"),
        ("DEFAULT nextval('public.s'::regclass)", "public", "DEFAULT nextval('s'::regclass)"),
        ('DROP TABLE "Odd"."Odd"', "Odd", 'DROP TABLE "Odd"'),
        ("SELECT a.public.b", "public", "SELECT a.public.b"),
        ("AS $$ SELECT public.f() $$", "public", "AS $$ SELECT public.f() $$"),
        ("-- public.t\nSELECT 'ü', public.t", "public", "-- public.t\nSELECT 'ü', t"),
        ("SELECT 'unterminated, public.t", "public", "SELECT 'unterminated, public.t"),
    ],
)
def test_a_schema_is_taken_off_names_only(sql, schema, expected):
    assert unqualify(sql, schema) == expected


def test_default_names_are_cut_as_postgresql_cuts_them():
    assert default_name("t", ["a", "b"], "key") == "t_a_b_key"
    assert default_name("s.t", [], "pkey") == "t_pkey"
    long = default_name("t" * 60, ["c" * 60], "idx")
    assert (len(long), long) == (63, f"{'t' * 29}_{'c' * 29}_idx")
    assert len(default_name("ü" * 40, ["ß" * 40], "idx").encode()) <= 63


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a", "a"),
        ("A", '"A"'),
        ("user", '"user"'),
        ("name", "name"),
        ("1a", '"1a"'),
        ("", '""'),
        ("between", '"between"'),
    ],
)
def test_identifiers_are_quoted_where_they_need_it(name, quoted):
    assert quote(name) == quoted
