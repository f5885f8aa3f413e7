"""Preludes: what runs on a scratch database before the first migration, on a named server and on one of our own."""

import json

import pytest
from watching import value

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.files import preludes
from migrollback_nb.files.migration import parse
from migrollback_nb.files.preludes import find
from migrollback_nb.replay.proof import prove_folder
from migrollback_nb.replay.scratch import scratch

pytestmark = pytest.mark.versions

#: As Supabase's documents have it: a profile for each user, kept by a trigger, with policies and a bucket.
PROFILES = """
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA extensions;
CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
  token uuid NOT NULL DEFAULT uuid_generate_v4(), name text);
ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.profiles FOR ALL TO authenticated USING ((SELECT auth.uid()) = id) WITH
  CHECK (auth.role() = 'authenticated' AND auth.jwt() ? 'aal');
GRANT SELECT ON public.profiles TO anon, authenticated, service_role;
CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS
    $$ BEGIN INSERT INTO public.profiles (id, name) VALUES (NEW.id, NEW.raw_user_meta_data ->> 'name'); RETURN NEW;
    END $$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
INSERT INTO storage.buckets (id, name, public) VALUES ('avatars', 'avatars', true);
CREATE POLICY avatars ON storage.objects FOR SELECT USING (bucket_id = 'avatars'
  AND (storage.foldername(name))[1] = auth.uid()::text);
ALTER PUBLICATION supabase_realtime ADD TABLE public.profiles;
CREATE POLICY listen ON realtime.messages FOR SELECT TO authenticated USING (realtime.topic() = 'room');
"""
BACK = """
DROP POLICY listen ON realtime.messages;
DROP POLICY avatars ON storage.objects;
DELETE FROM storage.buckets WHERE id = 'avatars';
DROP TRIGGER on_auth_user_created ON auth.users;
DROP FUNCTION public.handle_new_user();
DROP TABLE public.profiles;
DROP EXTENSION "uuid-ossp" CASCADE;
"""


def sql_file(tmp_path, text, name="first.sql"):
    path = tmp_path / name
    path.write_text(text)
    return path


# -- files of the user's own -------------------------------------------------------------------------------------------


def test_what_the_migrations_stand_on_runs_first_and_belongs_to_no_migration(server, folder, write, tmp_path):
    write("001_a", "CREATE TABLE own (n int REFERENCES app.t);", "DROP TABLE own;")
    first = [
        sql_file(tmp_path, "CREATE SCHEMA app;"),
        sql_file(tmp_path, "CREATE TABLE app.t (n int PRIMARY KEY);", "second.sql"),
    ]
    [verdict] = prove_folder(folder, on=server.dsn(), prelude=first).migrations
    assert (verdict.grade, verdict.reapplies) == ("restores", True)
    assert prove_folder(folder, on=server.dsn()).counts["fails"] == 1


@pytest.mark.long
def test_a_dump_of_a_schema_runs_with_what_it_sets_for_its_session(server, folder, write, tmp_path):
    write("001_a", "CREATE TABLE own (n int REFERENCES app.t);", "DROP TABLE own;")
    dump = (
        "\\restrict x\nSELECT pg_catalog.set_config('search_path', '', false);\nCREATE SCHEMA app;\nCREATE TABLE app.t"
        " (n int PRIMARY KEY);\n\\unrestrict x\n"
    )
    assert prove_folder(folder, on=server.dsn(), prelude=sql_file(tmp_path, dump)).counts["restores"] == 1


@pytest.mark.long
def test_the_command_line_takes_several_and_the_variable_stands_in(  # noqa: PLR0917  # fixtures
    server, folder, write, tmp_path, capsys, monkeypatch
):
    write("001_a", "CREATE VIEW own AS SELECT n FROM app.t;", "DROP VIEW own;")
    files = [
        str(sql_file(tmp_path, "CREATE SCHEMA app;")),
        str(sql_file(tmp_path, "CREATE TABLE app.t (n int);", "second.sql")),
    ]
    arguments = ["--dir", str(folder), "verify", "--on", server.dsn(), "--require", "restores"]
    assert cli.run([*arguments, "--prelude", files[0], "--prelude", files[1]]) == 0
    monkeypatch.setenv(preludes.VARIABLE, ":".join(files))
    assert cli.run(arguments) == 0
    monkeypatch.delenv(preludes.VARIABLE)
    assert cli.run(arguments) == 1
    assert "not there, and created by no migration before: schema app" in capsys.readouterr().out


def test_a_prelude_that_fails_is_named_with_its_line_and_nothing_is_graded(server, folder, write, tmp_path, admin):
    write("001_a", "SELECT 1;", "SELECT 1;")
    with pytest.raises(mr.UsageError, match=r"first\.sql:2 fails .*\(42601\)"):
        prove_folder(folder, on=server.dsn(), prelude=sql_file(tmp_path, "SELECT 1;\nSELEC 2;"))
    assert value(admin, "SELECT count(*) FROM pg_database WHERE datname LIKE 'migrollback_scratch_%'") == 0


@pytest.mark.long
def test_a_template_is_looked_up_and_proven_on_top_of_it(db, server, folder, write_migration, tmp_path):
    write_migration("001_a", "ALTER TABLE app.t DROP COLUMN m;\n")
    first = sql_file(tmp_path, "CREATE SCHEMA app; CREATE TABLE app.t (n int, m numeric(7,2));")
    made = mr.Migrations(db.database, dir=folder).template("001_a", prove=True, on=server.dsn(), prelude=first)
    assert "numeric(7,2)" in made.text
    assert made.proof.grade == "loses_data"


# -- what all databases of a server share ------------------------------------------------------------------------------


def test_no_role_is_made_on_a_named_server_and_the_missing_one_is_told(server, folder, write, admin):
    write("001_a", "CREATE TABLE t (n int);", "DROP TABLE t;")
    write("002_b", "GRANT SELECT ON t TO prelude_nobody;", "REVOKE SELECT ON t FROM prelude_nobody;")
    proof = prove_folder(folder, on=server.dsn())
    assert [(verdict.grade, verdict.sqlstate) for verdict in proof.migrations] == [
        ("restores", None),
        ("fails", "42704"),
    ]
    assert any('CREATE ROLE "prelude_nobody" NOLOGIN;' in remark for remark in proof.migrations[1].remarks)
    assert any("prelude_nobody (" in warning and "002_b.sql:1" in warning for warning in proof.warnings)
    assert value(admin, "SELECT count(*) FROM pg_roles WHERE rolname = 'prelude_nobody'") == 0


@pytest.mark.long
def test_a_role_that_no_one_makes_is_made_where_the_server_is_there_for_this_alone(server, folder, write, admin):
    write("001_a", "CREATE TABLE t (n int); GRANT SELECT ON t TO prelude_nobody;", "DROP TABLE t;")
    proof = prove_folder(folder, on=server.dsn(), own_server=True)
    assert proof.counts["restores"] == 1
    assert "prelude_nobody (" in proof.warnings[0]
    assert value(admin, "SELECT count(*) FROM pg_roles WHERE rolname = 'prelude_nobody'") == 0  # and gone again


def test_a_prelude_may_not_change_what_a_named_servers_databases_share(server, folder, write, tmp_path, admin):
    write("001_a", "SELECT 1;", "SELECT 1;")
    with pytest.raises(mr.UsageError, match=r"first\.sql:1: CREATE ROLE"):
        prove_folder(folder, on=server.dsn(), prelude=sql_file(tmp_path, "CREATE ROLE prelude_nobody;"))
    assert value(admin, "SELECT count(*) FROM pg_roles WHERE rolname = 'prelude_nobody'") == 0


def test_the_stand_in_for_supabase_makes_no_role_on_a_named_server(server, folder, write, admin):
    write("001_a", "SELECT 1;", "SELECT 1;")
    before = value(admin, "SELECT array_agg(rolname ORDER BY rolname) FROM pg_roles")
    with pytest.raises(mr.UsageError, match="supabase_storage_admin") as refused:
        prove_folder(folder, on=server.dsn(), prelude="supabase")
    assert "--own-server" in refused.value.hint
    assert value(admin, "SELECT array_agg(rolname ORDER BY rolname) FROM pg_roles") == before


def test_a_copy_of_a_database_keeps_its_settings(server):
    with scratch(on=server.dsn()) as made:
        made.database.connection.execute(
            'DO $$ BEGIN EXECUTE format(\'ALTER DATABASE %I SET search_path = "$user", public, "Odd, one"\','
            " current_database()); EXECUTE format('ALTER DATABASE %I SET app.words = ''it''''s, so''',"
            " current_database()); END $$"
        )
        made.database.close()
        copy = made.connect(made.create(template=made.name)).connection
        assert (
            value(copy, "SELECT setting FROM pg_settings WHERE name = 'search_path'") == '"$user", public, "Odd, one"'
        )
        assert value(copy, "SELECT current_setting('app.words')") == "it's, so"


# -- Supabase ----------------------------------------------------------------------------------------------------------


def test_without_the_stand_in_the_first_failure_names_it(server, folder, write):
    write("001_a", "CREATE TABLE t (id uuid REFERENCES auth.users);", "DROP TABLE t;")
    [verdict] = prove_folder(folder, on=server.dsn()).migrations
    assert verdict.grade == "fails"
    assert any("--prelude supabase" in remark for remark in verdict.remarks)


@pytest.mark.long
def test_a_supabase_folder_is_graded_on_a_server_of_our_own(folder, write):
    write("001_profiles", PROFILES, BACK)
    write(
        "002_hook",
        "CREATE EXTENSION pg_net; CREATE EXTENSION pg_cron; SELECT cron.schedule('nightly', '0 3 * * *', 'SELECT"
        " net.http_get(''x'')');",
        "SELECT 1;",
    )
    proof = prove_folder(folder, prelude="supabase")
    assert [(verdict.grade, verdict.reapplies) for verdict in proof.migrations] == [
        ("differs", True),
        ("differs", False),
    ], proof
    assert {found.identity for found in proof.migrations[0].differences} >= {'"uuid-ossp"'}
    assert "stand-in" in proof.warnings[0]
    assert "pg_cron, " in proof.warnings[0]


@pytest.mark.long
def test_every_stand_in_for_an_extension_installs_and_answers():
    wanted = "".join(
        f'CREATE EXTENSION IF NOT EXISTS "{name}" SCHEMA extensions CASCADE;'
        for name in sorted(find("supabase")[0].stood_in - {"supabase_vault", "pg_graphql"})
    )
    with scratch([parse(wanted, name="0_all")], private=True, preludes=find("supabase")) as made:
        connection = made.connect().connection
        connection.execute(wanted)
        assert value(connection, "SELECT encode(digest('abc', 'sha256'), 'hex')").startswith("ba7816bf")
        assert value(connection, "SELECT length(gen_random_bytes(40))") == 40
        assert value(
            connection, "SELECT crypt('pw', h) = h AND crypt('other', h) <> h FROM crypt('pw', gen_salt('bf', 8)) h"
        )
        assert value(connection, "SELECT pgp_sym_decrypt(pgp_sym_encrypt('text', 'key'), 'key')") == "text"
        assert value(connection, "SELECT payload ->> 'sub' FROM verify(sign('{\"sub\": \"me\"}', 's'), 's')") == "me"
        assert value(connection, "SELECT status FROM http_get('http://localhost')") == 503
        assert value(connection, "SELECT count(DISTINCT uuid_generate_v4()) FROM generate_series(1, 3)") == 3
        assert value(connection, "SELECT cron.unschedule('j') FROM cron.schedule('j', '* * * * *', 'SELECT 1')")
        assert value(connection, "SELECT net.http_post('http://localhost', '{}')") == 0
        secret = value(connection, "SELECT vault.create_secret('s', 'name')")
        assert value(connection, "SELECT decrypted_secret FROM vault.decrypted_secrets WHERE id = %s", secret) == "s"


@pytest.mark.long
def test_the_functions_read_what_the_api_sets_for_a_request():
    with scratch(private=True, preludes=find("supabase")) as made:
        connection = made.connect().connection
        assert value(connection, "SELECT auth.uid() IS NULL AND auth.role() IS NULL AND auth.jwt() IS NULL")
        claims = {"sub": "5a3b1e00-0000-4000-8000-000000000001", "role": "authenticated", "email": "a@b.org"}
        connection.execute(f"SET request.jwt.claims = '{json.dumps(claims)}'")
        assert (
            value(connection, "SELECT auth.uid()::text || auth.role() || auth.email()")
            == "5a3b1e00-0000-4000-8000-000000000001authenticateda@b.org"
        )
        assert value(connection, "SELECT storage.foldername('a/b/c.tar.gz')") == ["a", "b"]
        assert (
            value(connection, "SELECT storage.filename('a/b/c.tar.gz') || storage.extension('a/b/c.tar.gz')")
            == "c.tar.gzgz"
        )
