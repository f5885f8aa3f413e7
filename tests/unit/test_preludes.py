"""What runs before the first migration: how it is found, what a folder names, and what is said when it is missing."""

import pytest

from migrollback_nb.core.errors import UsageError
from migrollback_nb.files import preludes
from migrollback_nb.files.migration import parse
from migrollback_nb.files.requirements import created_roles, requirements_of
from migrollback_nb.replay.hints import Server, hint_for, schemas_and_roles, supabase_roles


def roles_of(*texts):
    return requirements_of([parse(text, name=f"{place:03}_a") for place, text in enumerate(texts)]).roles


def test_files_are_read_in_the_order_in_which_they_are_named(tmp_path):
    for name in ("b.sql", "a.sql"):
        (tmp_path / name).write_text(f"SELECT '{name}';")
    assert [found.text for found in preludes.find([tmp_path / "b.sql", tmp_path / "a.sql"])] == [
        "SELECT 'b.sql';",
        "SELECT 'a.sql';",
    ]


def test_the_variable_names_them_where_none_is_given(tmp_path, monkeypatch):
    (tmp_path / "a.sql").write_text("SELECT 1;")
    monkeypatch.setenv(preludes.VARIABLE, f"supabase:{tmp_path / 'a.sql'}")
    assert [found.name for found in preludes.find()] == ["supabase", str(tmp_path / "a.sql")]
    assert preludes.find([]) == ()
    monkeypatch.delenv(preludes.VARIABLE)
    assert preludes.find() == ()


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["no such file", "not UTF-8"])
def test_what_cannot_be_read_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "auth.sql"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"auth\.sql"):
        preludes.find(path)


def test_the_commands_of_psql_in_a_dump_are_passed_over_and_lines_keep_their_numbers(tmp_path):
    (tmp_path / "dump.sql").write_text("\\restrict abc\nSELECT 1;\n\\unrestrict abc\n")
    assert preludes.find(tmp_path / "dump.sql")[0].text == "\nSELECT 1;\n\n"


def test_the_stand_in_makes_roles_that_no_one_can_log_in_as():
    [supabase] = preludes.find("supabase")
    assert {"anon", "authenticated", "service_role", "supabase_admin"} <= supabase_roles()
    made = [line for line in supabase.roles.splitlines() if line.startswith("CREATE ROLE")]
    assert len(made) == len(created_roles(supabase.roles))
    assert all(" NOLOGIN" in line and "PASSWORD" not in line for line in made)
    assert requirements_of([parse(supabase.text, name="0")]).roles.keys() <= supabase_roles() | {"postgres"}


def test_every_stand_in_for_an_extension_says_that_it_is_one():
    [supabase] = preludes.find("supabase")
    assert {"pgcrypto", "uuid-ossp", "http", "pg_net", "pg_cron"} <= supabase.stood_in
    for name in supabase.stood_in:
        assert "stand-in of migrollback_nb" in (supabase.extensions / f"{name}.control").read_text()
        assert (supabase.extensions / f"{name}--0.sql").is_file()


@pytest.mark.parametrize(
    "statement",
    [
        "GRANT SELECT ON t TO app",
        "REVOKE ALL ON t FROM app",
        "ALTER TABLE t OWNER TO app",
        "CREATE POLICY p ON t TO app USING (true)",
        "CREATE SCHEMA s AUTHORIZATION app",
        "ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO PUBLIC",
        "GRANT app TO CURRENT_USER",
        "DO $$ BEGIN IF true THEN GRANT SELECT ON t TO app; END IF; END $$",
    ],
)
def test_roles_that_are_named_are_found_with_their_place(statement):
    assert roles_of("SELECT 1;", f"SELECT 1;\n{statement};") == {"app": "001_a.sql:2"}


@pytest.mark.parametrize(
    "texts",
    [
        ("CREATE ROLE app;", "GRANT SELECT ON t TO app;"),
        (
            (
                "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN CREATE ROLE app NOLOGIN;"
                " END IF; END $$;"
            ),
            "GRANT SELECT ON t TO app;",
        ),
        ("DO $$ BEGIN EXECUTE format('CREATE ROLE %I', 'app'); END $$;", "GRANT SELECT ON t TO app;"),
        ("ALTER ROLE old RENAME TO app;", "GRANT SELECT ON t TO app;"),
        ("GRANT SELECT ON t TO PUBLIC, CURRENT_USER, pg_monitor;",),
        ("DO $$ BEGIN EXECUTE 'GRANT SELECT ON t TO app'; END $$;",),
    ],
    ids=[
        "made",
        "made in a DO block",
        "made by a name that is put together",
        "renamed",
        "always there",
        "named in text that is put together",
    ],
)
def test_roles_that_the_folder_makes_or_no_one_can_tell_are_not(texts):
    assert "app" not in roles_of(*texts)


def test_what_a_statement_names_and_does_not_make():
    schemas, roles = schemas_and_roles("CREATE SCHEMA own; CREATE POLICY p ON own.t TO app USING (auth.uid() = id);")
    assert (schemas, roles) == ({"auth"}, {"app"})


def told(sqlstate, statement, *, names=(), named=False, is_super=True):
    server = Server(
        schemas={"public"},
        roles={"postgres"},
        routines={"length", "digest"},
        preludes=preludes.find(list(names)),
        named=named,
        is_super=is_super,
    )
    return hint_for(sqlstate, statement, server)


def test_what_supabase_has_from_the_start_leads_to_its_stand_in():
    said = told("3F000", "CREATE TABLE t (id uuid REFERENCES auth.users)")
    assert "schema auth" in said
    assert "--prelude supabase" in said
    assert "role anon" in told("42704", "GRANT SELECT ON t TO anon")
    assert "--prelude supabase" not in told(
        "3F000", "CREATE TABLE t (id uuid REFERENCES auth.nothing)", names=["supabase"]
    )


def test_a_function_of_an_extension_leads_to_the_extension():
    said = told("42883", "CREATE TABLE t (id uuid DEFAULT uuid_generate_v4())")
    assert said.startswith("uuid_generate_v4() is of extension uuid-ossp, which no migration before creates")
    assert "--prelude supabase" in said
    assert 'CREATE EXTENSION "uuid-ossp";' in said
    assert "--prelude supabase" not in told("42883", "SELECT unaccent('a')")
    assert told("42883", "SELECT length(1), digest(1), nowhere(2)") is None  # there, but with other arguments


def test_what_is_no_ones_leads_to_a_file_or_to_the_statement_that_makes_it():
    assert told("3F000", "CREATE TABLE app.t ()").endswith("A file that creates it can run first: --prelude FILE")
    assert 'CREATE ROLE "web user" NOLOGIN;' in told("42704", 'GRANT SELECT ON t TO "web user"', named=True)


def test_a_right_that_is_missing_is_told_only_where_it_can_be():
    assert "without that right" in told(
        "42501", "CREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f()", named=True, is_super=False
    )
    assert told("42501", "SELECT 1") is None


@pytest.mark.parametrize(
    ("sqlstate", "statement"),
    [("42P01", "SELECT FROM public.t"), ("42601", "GRANT x TO anon"), ("3F000", None), (None, "SELECT 1")],
)
def test_what_is_missing_for_another_reason_is_left_to_the_server(sqlstate, statement):
    assert told(sqlstate, statement) is None
