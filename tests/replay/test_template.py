"""`template`: the block it writes goes through the real gate and brings back what was there;
what it cannot look up, it says."""

import io
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from watching import schema_of

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.core.errors import MigrationNotFound
from migrollback_nb.replay.definitions import run_and_keep_states

pytestmark = pytest.mark.versions

BASE = """
CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL, old int DEFAULT 3);
COMMENT ON COLUMN users.old IS 'long ago';
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$
  SELECT 1

  -- ROLLBACK START
$$;
"""
CHANGE = """
CREATE TABLE notes (id int, "user" int REFERENCES users);
ALTER TABLE users DROP COLUMN old, ADD COLUMN nick text;
CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE INDEX ON users (nick);
CREATE SCHEMA app; SET LOCAL search_path = app, public; CREATE TABLE inside (a int);
ALTER TABLE users ALTER email DROP NOT NULL;
"""


@pytest.fixture
def roll_back_by_template(
    db: mr.Migrations, write_migration: Callable[[str, str], Path], database_dsn: str
) -> Callable[[str], mr.Template]:
    """Give a migration of the folder the block that is suggested, apply it and roll it back."""

    def run(name: str) -> mr.Template:
        suggested = db.template(name, on=database_dsn)
        file = db.folder.read(name)
        write_migration(name, file.with_rollback(suggested.text).text)
        db.apply(name)
        assert db.rollback(name, confirm=name, reason="trial").success
        return suggested

    return run


def test_a_suggested_block_goes_through_the_gate(db, write_migration, roll_back_by_template, session):
    write_migration("001_base", BASE)
    db.apply("001_base")
    before = schema_of(session())
    write_migration("002_change", CHANGE)
    suggested = roll_back_by_template("002_change")
    after = schema_of(session())
    # only the order of columns cannot come back
    assert {key: d for key, d in after.items() if key != ("table", "public.users")} == {
        key: d for key, d in before.items() if key != ("table", "public.users")
    }
    assert suggested.todos == (
        "fails where public.users.email is null by now",
        "column users.old comes back empty: its values went with it",
    )
    assert suggested.warnings == ()


@pytest.mark.long
def test_a_commented_block_goes_through_the_gate(db, write_migration, roll_back_by_template, session):
    session().execute(
        "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY"
        " KEY, statements text[], name text)"
    )
    write_migration("001_base", BASE)
    db.apply("001_base")
    before = schema_of(session())
    write_migration("002_change", CHANGE)
    suggested = roll_back_by_template("002_change")
    assert all(line.startswith("--") for line in suggested.text.split("\n"))
    after = schema_of(session())
    assert after.keys() == before.keys()
    assert after["function", "public.f()"] == before["function", "public.f()"]


@pytest.mark.long
def test_concurrently_goes_outside_a_transaction(db, write_migration, roll_back_by_template, session):
    write_migration("001_base", "CREATE TABLE t (a int, b int); CREATE INDEX old ON t (b);")
    db.apply("001_base")
    before = schema_of(session())
    write_migration(
        "002_change",
        "-- Transaction: false\nCREATE INDEX CONCURRENTLY new ON t (a);\nDROP INDEX CONCURRENTLY old;\nSET search_path"
        " = pg_catalog;\n",
    )
    suggested = roll_back_by_template("002_change")
    assert suggested.statements == (
        "CREATE INDEX CONCURRENTLY old ON t USING btree (b)",
        "DROP INDEX CONCURRENTLY IF EXISTS new",
    )
    assert suggested.text.startswith("-- ROLLBACK START transaction:false\n")
    assert schema_of(session()) == before


@pytest.mark.long
def test_names_that_the_up_migration_qualifies_stay_qualified(db, write_migration, database_dsn):
    write_migration("001_base", BASE)
    write_migration("002_change", "ALTER TABLE public.users DROP COLUMN old;")
    assert (
        "ALTER TABLE public.users ADD COLUMN old integer DEFAULT 3"
        in db.template("002_change", on=database_dsn).statements
    )


def test_what_the_text_alone_says_needs_no_replay(db, write_migration):
    write_migration("001_base", "CREATE TABLE no_such_type (a no_such_type);")
    write_migration("002_change", "CREATE TABLE t (a int); ALTER TABLE u ADD COLUMN a int;")
    suggested = db.template("002_change", on="host=/nowhere user=nobody")
    assert (suggested.statements, suggested.warnings) == (
        ("ALTER TABLE u DROP COLUMN IF EXISTS a", "DROP TABLE IF EXISTS t"),
        (),
    )


@pytest.mark.long
def test_an_earlier_migration_that_fails_is_named(db, write_migration, database_dsn):
    write_migration("001_base", "\nCREATE TABLE t (a no_such_type);")
    write_migration("002_change", "ALTER TABLE t DROP COLUMN a; CREATE TABLE u (a int);")
    suggested = db.template("002_change", on=database_dsn)
    assert suggested.statements == ("DROP TABLE IF EXISTS u",)
    assert "what was there before is not known" in suggested.todos[0]
    assert "001_base, which comes before it, cannot be applied" in suggested.warnings[0]
    assert 'line 2: type "no_such_type" does not exist (42704)' in suggested.warnings[0]
    assert suggested.warnings[0] in suggested.text


def test_a_server_that_does_not_answer_is_no_hindrance(db, write_migration):
    write_migration("001_change", "ALTER TABLE t DROP COLUMN a; CREATE TABLE u (a int);")
    suggested = db.template("001_change", on="host=/nowhere user=nobody")
    assert suggested.statements == ("DROP TABLE IF EXISTS u",)
    assert suggested.warnings[0].startswith("What was there before is not known: ")


@pytest.mark.long
def test_what_was_looked_up_before_the_up_migration_failed_is_used(db, write_migration, database_dsn):
    write_migration("001_base", "CREATE TABLE t (a int, b text);")
    write_migration("002_change", "ALTER TABLE t DROP COLUMN b; ALTER TABLE t DROP COLUMN no_such;")
    suggested = db.template("002_change", on=database_dsn)
    assert suggested.statements == ("ALTER TABLE t ADD COLUMN b text",)
    assert "it cannot be applied on" in suggested.warnings[0]
    assert "(42703)" in suggested.warnings[0]


def test_dependencies_come_first_and_cycles_are_named(db, write_migration, database_dsn):
    write_migration("001_change", "-- Depends on: 002_base\nALTER TABLE t DROP COLUMN a;")
    write_migration("002_base", "CREATE TABLE t (a int);")
    assert db.template("001_change", on=database_dsn).statements == ("ALTER TABLE t ADD COLUMN a integer",)
    write_migration("002_base", "-- Depends on: 001_change\nCREATE TABLE t (a int);")
    assert "001_change" in db.template("001_change", on=database_dsn).warnings[0]


def test_an_up_migration_that_cannot_be_read_gets_a_block_to_fill_in(db, write_migration):
    write_migration("001_bad", "CREATE TABEL t ();")
    suggested = db.template("001_bad")
    assert "-- TODO: Add SQL to undo this migration" in suggested.text
    assert suggested.warnings == (
        f'{db.folder.path}/001_bad.sql:1:8: the up migration cannot be read: syntax error at or near "TABEL"',
    )
    with pytest.raises(MigrationNotFound):
        db.template("002_absent")


@pytest.mark.long
def test_a_block_takes_the_place_of_another_tools_rollback_block(db, write_migration, database_dsn):
    write_migration(
        "001_t", "-- migrate:up\nCREATE TABLE t (v text); -- ěšč\n\n-- migrate:down\nDROP TABLE t; SELECT 'and more';\n"
    )
    suggested = db.template("001_t", prove=True, on=database_dsn)
    assert suggested.statements == ("DROP TABLE IF EXISTS t",)
    (warning,) = suggested.warnings
    assert "001_t.sql:4: what follows is dbmate's rollback block" in warning
    assert suggested.text.startswith("-- migrate:down\n\nDROP TABLE")
    assert suggested.proof.grade == "restores"


def test_nothing_is_written_to_the_database_that_is_asked(db, write_migration, session, database_dsn):
    before, events = schema_of(session()), len(db.events())
    write_migration("001_base", BASE)
    write_migration("002_change", CHANGE)
    db.template("002_change", on=database_dsn)
    assert schema_of(session()) == before
    assert len(db.events()) == events


@pytest.mark.long
def test_prove_grades_the_suggestion_and_not_what_the_file_has(db, write_migration, database_dsn):
    write_migration("001_base", BASE)
    write_migration("002_add", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE no_such;\n-- ROLLBACK END\n")
    write_migration("003_drop", "ALTER TABLE users DROP COLUMN old;")
    write_migration("004_rows", "UPDATE users SET email = 'x';")
    grades = [
        db.template(name, prove=True, on=database_dsn).proof.grade for name in ("002_add", "003_drop", "004_rows")
    ]
    assert grades == ["restores", "loses_data", "no_rollback"]


def test_the_command_line_prints_the_grade(db, write_migration, database_dsn):
    write_migration("001_base", BASE)
    write_migration("002_drop", "ALTER TABLE users DROP COLUMN old;")
    out, err = io.StringIO(), io.StringIO()
    assert (
        cli.run(
            [
                "template",
                "002_drop",
                "--prove",
                "--dsn",
                database_dsn,
                "--on",
                database_dsn,
                "--dir",
                str(db.folder.path),
            ],
            out,
            err,
        )
        == 0
    )
    assert (
        "-- TODO: column users.old comes back empty: its values went with it\nALTER TABLE users ADD COLUMN old integer"
        " DEFAULT 3;\n" in out.getvalue()
    )
    assert (
        "💡 Add this to your migration file and adjust as needed\n\n⚠️ Tried on a scratch database: loses_data\n"
        in out.getvalue()
    )
    assert err.getvalue() == ""


@pytest.mark.parametrize(("header", "left"), [("", False), ("-- Transaction: false\n", True)])
def test_an_up_migration_that_fails_leaves_nothing_unless_it_runs_outside_a_transaction(database_dsn, header, left):
    file = mr.parse(f"{header}CREATE TABLE t ();\nSELECT 1/0;", name="001_t")
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        states, trouble = run_and_keep_states(connection, "public", file, {0})
        assert "(22012)" in trouble
        assert [state is None for state in states] == [False, False, True]
        assert connection.execute("SELECT to_regclass('t') IS NOT NULL").fetchone() == (left,)


def test_rights_on_what_postgresql_and_extensions_brought_are_given_back(db, write_migration, database_dsn):
    if not db.database.connection.execute("SELECT FROM pg_available_extensions WHERE name = 'hstore'").fetchone():
        pytest.skip("this server has no hstore")
    write_migration(
        "001_before", "CREATE EXTENSION hstore; GRANT EXECUTE ON FUNCTION pg_catalog.pg_rotate_logfile() TO pg_monitor;"
    )
    write_migration(
        "002_rights",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO pg_monitor; REVOKE EXECUTE ON FUNCTION"
        " pg_catalog.pg_sleep(double precision) FROM PUBLIC;REVOKE EXECUTE ON FUNCTION pg_catalog.pg_rotate_logfile()"
        " FROM pg_monitor; REVOKE EXECUTE ON FUNCTION hstore(record) FROM PUBLIC;GRANT SELECT ON pg_catalog.pg_authid"
        " TO pg_monitor; GRANT SELECT (subconninfo) ON pg_catalog.pg_subscription TO pg_monitor;",
    )
    suggested = db.template("002_rights", prove=True, on=database_dsn)
    assert suggested.proof.grade == "restores"
    assert suggested.statements == (
        "REVOKE SELECT (subconninfo) ON pg_catalog.pg_subscription FROM pg_monitor",
        "REVOKE SELECT ON pg_catalog.pg_authid FROM pg_monitor",
        "GRANT ALL ON FUNCTION hstore(record) TO PUBLIC",
        "GRANT ALL ON FUNCTION pg_catalog.pg_rotate_logfile() TO pg_monitor",
        "GRANT ALL ON FUNCTION pg_catalog.pg_sleep(double precision) TO PUBLIC",
        "REVOKE ALL ON FUNCTION pg_catalog.pg_reload_conf() FROM pg_monitor",
    )


# -- without a database ------------------------------------------------------------------------------------------------

COMMENTED = "-- ROLLBACK START\n-- DROP TABLE IF EXISTS t;\n-- ROLLBACK END"


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database in the environment, as a shell for an incident has it: whoever connects to it fails."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@nowhere.invalid/production?connect_timeout=1")


@pytest.mark.usefixtures("production")
def test_no_database_is_asked_unless_one_is_named(write_migration, folder, capsys):
    write_migration("001_t", "CREATE TABLE t (a int);")
    assert mr.template(folder, "001_t.sql").text == COMMENTED
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["--dir", str(folder), "template", "001_t"], out, err) == 0
    assert COMMENTED in out.getvalue()
    assert cli.run(["--dir", str(folder), "template", "002_absent"], out, err) == 1
    assert "No migration named 002_absent is in " in err.getvalue()


@pytest.mark.long
@pytest.mark.usefixtures("production")
def test_what_has_to_be_looked_up_is_so_on_the_scratch_server_and_written_for_its_version(
    write_migration, folder, database_dsn, server
):
    write_migration("001_t", "CREATE TABLE t (a int CONSTRAINT given NOT NULL);")
    write_migration("002_a", "ALTER TABLE t ALTER a DROP NOT NULL; ALTER TABLE t ALTER a TYPE bigint;")
    suggested = mr.template(folder, "002_a", on=database_dsn, prove=True)
    assert suggested.proof.grade == "restores"
    assert any("RENAME CONSTRAINT" in statement for statement in suggested.statements) == (
        int(server.version.split(".")[0]) >= 18
    )


def test_a_block_to_fill_in_is_as_specified_but_in_supabases_folder(tmp_path):
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    for path in (tmp_path, folder):
        (path / "001_t.sql").write_text("SELECT 1;", encoding="utf-8")
    assert "\n\n-- TODO: Add SQL to undo this migration\n-- Common patterns:\n" in mr.template(tmp_path, "001_t").text
    assert "\n-- -- TODO: Add SQL to undo this migration" in mr.template(folder, "001_t").text
    assert mr.template(folder, "001_t", commented=False).text == mr.template(tmp_path, "001_t").text


def test_a_database_that_is_named_says_how_it_is_written(db, empty_dsn, write_migration, folder):
    write_migration("001_t", "CREATE TABLE t (a int);")
    assert "\n\nDROP TABLE IF EXISTS t;\n\n" in db.template("001_t").text
    with mr.connect(empty_dsn, dir=folder) as without_the_system:
        assert without_the_system.template("001_t").text == COMMENTED
    with mr.connect(empty_dsn, dir=folder / "supabase" / "migrations") as supabases:
        (folder / "supabase" / "migrations").mkdir(parents=True)
        (folder / "supabase" / "migrations" / "001_t.sql").write_text("CREATE TABLE t ();", encoding="utf-8")
        supabases.install()
        assert supabases.template("001_t").text == COMMENTED


@pytest.mark.usefixtures("production")
def test_the_magic_asks_no_database_either_unless_one_was_named(write_migration, folder, database_dsn):
    from migrollback_nb.cli.magics import Magic

    write_migration("001_t", "CREATE TABLE t (a int);")
    magic = Magic()
    assert magic(f"template 001_t --dir {folder}").text == COMMENTED
    assert "\n\nDROP TABLE IF EXISTS t;\n\n" in magic(f"template 001_t --dir {folder} --dsn '{database_dsn}'").text
    assert "\n\nDROP TABLE IF EXISTS t;\n\n" in magic("template 001_t").text
    magic.close()


def proven(write_migration, db, database_dsn, base, up):
    write_migration("001_base", f"{base}\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END\n")
    write_migration("002_b", up)
    return db.template("002_b", prove=True, on=database_dsn)


@pytest.mark.long
def test_what_the_up_migration_keeps_itself_comes_back_from_there(db, write_migration, database_dsn):
    made = proven(
        write_migration,
        db,
        database_dsn,
        'CREATE TABLE users (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, plan text, "N" int);'
        " INSERT INTO users (email, plan) VALUES ('a', 'x'), ('b', 'y');"
        " CREATE TABLE other (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text); INSERT INTO other (t) SELECT g"
        " FROM generate_series(1, 3) g; CREATE TABLE gone (a int PRIMARY KEY); INSERT INTO gone VALUES (1), (2)",
        'CREATE TABLE archived_user_emails AS SELECT id, email, plan AS old_plan, "N" FROM users;\n'
        "CREATE TABLE kept_other AS SELECT * FROM other WHERE id < 3;\nCREATE TABLE kept_gone AS TABLE gone;\n"
        "UPDATE users SET plan = 'free', \"N\" = 1;\nDELETE FROM other WHERE id < 3;\n"
        "ALTER TABLE users DROP COLUMN email;\nDROP TABLE gone;",
    )
    assert made.proof.grade == "restores", made
    assert made.todos == ()
    assert (
        'UPDATE users AS changed SET plan = kept.old_plan, "N" = kept."N" FROM archived_user_emails AS kept WHERE'
        " changed.id = kept.id" in made.statements
    )


@pytest.mark.long
def test_a_copy_that_may_lack_rows_is_marked_and_one_without_the_key_is_no_archive(db, write_migration, database_dsn):
    base = "CREATE TABLE users (id int PRIMARY KEY, plan text); INSERT INTO users VALUES (1, 'x'), (2, 'y');"
    up = "CREATE TABLE kept AS SELECT {} FROM users{};\nUPDATE users SET plan = 'free';"
    partly = proven(write_migration, db, database_dsn, base, up.format("id, plan", " WHERE id < 2"))
    assert partly.todos == ("check that kept holds all rows that are changed here",)
    assert partly.proof.grade == "loses_data"
    keyless = proven(write_migration, db, database_dsn, base, up.format("plan", ""))
    assert "UPDATE users: what the rows held before is not kept" in keyless.todos[0]


@pytest.mark.long
def test_a_sequence_goes_on_after_the_values_of_its_column(db, write_migration, database_dsn):
    made = proven(
        write_migration,
        db,
        database_dsn,
        "CREATE TABLE ticket (id serial PRIMARY KEY, note text); INSERT INTO ticket (note) SELECT g FROM"
        " generate_series(1, 5) g; CREATE TABLE u (id int GENERATED BY DEFAULT AS IDENTITY (INCREMENT -2)); INSERT"
        " INTO u DEFAULT VALUES; INSERT INTO u DEFAULT VALUES;",
        "ALTER TABLE ticket ALTER id DROP DEFAULT;\nDROP SEQUENCE ticket_id_seq;\n"
        "ALTER TABLE u ALTER id DROP IDENTITY;",
    )
    assert (made.proof.grade, made.proof.effects, made.todos) == ("restores", (), ())


@pytest.mark.long
def test_no_nulls_where_the_table_has_rows_need_something_that_stands_in(db, write_migration, database_dsn):
    made = proven(
        write_migration,
        db,
        database_dsn,
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN short AS varchar(5) CHECK (length(VALUE) >= 2);"
        " CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (keep int, s smallint NOT NULL, b bigint NOT NULL UNIQUE,"
        " n numeric(5,2) NOT NULL, v varchar(3) PRIMARY KEY, bo boolean NOT NULL, tz timestamptz NOT NULL, u uuid NOT"
        " NULL UNIQUE, by bytea NOT NULL CHECK (octet_length(by) = 4), jb jsonb NOT NULL, ar int[] NOT NULL, rg"
        ' int4range NOT NULL, EXCLUDE USING gist (rg WITH &&), m mood NOT NULL, sh short NOT NULL, "order" text NOT'
        " NULL CHECK (\"order\" IN ('asc', 'desc')), r int NOT NULL REFERENCES p, at int NOT NULL CHECK (at > 6));"
        " INSERT INTO p VALUES (1); INSERT INTO t SELECT g, g, g, g, g::text, true, now(), gen_random_uuid(), '0123',"
        " '{}', '{}', int4range(g, g + 1), 'ok', 'ab', 'asc', 1, 7 FROM generate_series(1, 3) g;",
        "ALTER TABLE t DROP s, DROP b, DROP n, DROP v, DROP bo, DROP tz, DROP u, DROP by, DROP jb, DROP ar, DROP rg,"
        ' DROP m, DROP sh, DROP "order", DROP r, DROP at;',
    )
    assert made.proof.grade == "loses_data", made
    assert not [remark for remark in made.proof.remarks if "stayed empty" in remark], "there were rows"
    assert "column t.bo comes back without its values: put them in; until then false stands in for each" in made.todos
    assert len(made.todos) == 16
