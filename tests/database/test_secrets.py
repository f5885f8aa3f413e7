"""Passwords reach no event, result, error or output; names reach a terminal with what they hold made visible."""

import io
import json
import random

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.core.passwords import mask_passwords

SECRET = "hunter2"
#: SQL and connection strings that carry a password.
CARRIERS = [
    f"ALTER ROLE postgres PASSWORD '{SECRET}'",
    f"ALTER ROLE postgres ENCRYPTED PASSWORD '{SECRET}'",
    f"ALTER ROLE postgres PASSWORD E'{SECRET}\\'{SECRET}'",
    f"ALTER ROLE postgres PASSWORD 'it''s {SECRET}'",
    f"ALTER ROLE postgres PASSWORD $a${SECRET}$a$",
    f"ALTER ROLE postgres\nPASSWORD\n  '{SECRET}'",
    f"SELECT dblink_connect('host=h password={SECRET} user=u')",
    f"SELECT dblink_connect('password=''my {SECRET}'' user=u')",
    f"CREATE SUBSCRIPTION s CONNECTION 'postgresql://u:{SECRET}@h/d' PUBLICATION p",
    f"CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password '{SECRET}')",
    f"ALTER USER MAPPING FOR u SERVER s OPTIONS (SET \"password\" '{SECRET}')",
    f"host=h sslpassword={SECRET} user=u",
    f"host=h password = '{SECRET}'",
    f"host=h password = {SECRET} user=u",
    f"host=h password='a \\' {SECRET}' user=u",
    f"host=h password=a&;({SECRET} user=u",
    f"SELECT dblink_connect('host = h password = {SECRET} user = u')",
    f"SELECT dblink('host=h password=a\\''{SECRET} user=u', 'SELECT 1')",
    f"SELECT dblink(E'host=h password=\\'my {SECRET}\\'')",
    f"SELECT dblink('host=h password=' || '{SECRET}', 'SELECT 1')",
    f"CREATE SUBSCRIPTION s CONNECTION 'host=h password={SECRET}' PUBLICATION p",
    f"CREATE SUBSCRIPTION s CONNECTION 'postgresql://h/d?user=u&password={SECRET}&port=1' PUBLICATION p",
    f"CREATE SUBSCRIPTION s CONNECTION $$host=h password={SECRET}$$ PUBLICATION p",
    f"DO $$BEGIN EXECUTE 'ALTER ROLE app PASSWORD ''{SECRET}'''; END$$",
    f"DO $a$BEGIN EXECUTE format('ALTER ROLE %I PASSWORD %L', 'app', '{SECRET}'); END$a$",
    f"DO $$BEGIN EXECUTE 'ALTER ROLE app PASSWORD ' || quote_literal('{SECRET}'); END$$",
    f"DO $$BEGIN PERFORM dblink('host=h password={SECRET}'); END$$",
    f"ALTER ROLE app PASSWORD /* new */ '{SECRET}'",
    f"ALTER ROLE app PASSWORD 'a'\n  '{SECRET}'",
    f"-- ALTER ROLE app PASSWORD '{SECRET}'",
    f"/* it's: */ ALTER ROLE app PASSWORD U&'{SECRET}'",
    f"SELECT connect(password => '{SECRET}')",
    f"SELECT set_config('app.password', '{SECRET}', false)",
    f"""INSERT INTO config VALUES ('{{"password": "{SECRET}"}}')""",
    f"ALTER ROLE app PASSWORD '{SECRET}",
    f"SELECT 'it''s'; CREATE USER MAPPING FOR u SERVER s OPTIONS (password 'it''s {SECRET}')",
    f"could not connect to host=h password={SECRET}, again",
]
HARMLESS = ["CREATE TABLE t (password text)", "SELECT password_hash = 'x'", "PASSWORD NULL", "http://h/a:b", "a@b"]


@pytest.mark.parametrize("text", CARRIERS)
def test_it_is_masked_alike_in_sql_and_in_python(shared_database, text):
    with psycopg.connect(shared_database) as connection:
        (masked,) = connection.execute("SELECT mask_passwords(%s)", [text]).fetchone()
    assert SECRET not in masked
    assert mask_passwords(text) == masked


#: What a text says that must be seen before it runs, whatever it says of passwords.
NOT_TO_BE_HIDDEN = [
    "ALTER ROLE a PASSWORD ''; DROP TABLE users; SELECT ''",
    "SELECT password = '\\'; DROP TABLE users; SELECT ''",
    "UPDATE t SET password=f(); DROP TABLE users",
    "SELECT password = '' , DROP TABLE users, ''",
    "ALTER ROLE a PASSWORD $$x$$; DROP TABLE users; SELECT $$y$$",
    "ALTER ROLE a PASSWORD 'x' /* ' */; DROP TABLE users; -- '",
    "SELECT password=b,DROP TABLE users",
    "ALTER ROLE a PASSWORD E'x\\\\'; DROP TABLE users; SELECT ''",
]


@pytest.mark.parametrize("text", NOT_TO_BE_HIDDEN)
def test_no_statement_hides_behind_one(shared_database, text):
    with psycopg.connect(shared_database) as connection:
        (masked,) = connection.execute("SELECT mask_passwords(%s)", [text]).fetchone()
    assert "DROP TABLE users" in masked
    assert mask_passwords(text) == masked


def test_sql_and_python_read_any_text_alike(shared_database):
    seed = random.randrange(10**6)
    found = ["password=\\\n,"]  # what was read in two ways before
    bits = ["'", "''", "$$", "$a$", "password", " = ", "=", "x", " ", "\n", "--", "/*", "*/", "E'", "\\", '"', "("]
    bits += [")", ";", ",", "host", "u:p@h", "://", "PASSWORD ", "%", "||", "&", "?", "é", "\x01"]
    chance = random.Random(seed)
    texts = found + ["".join(chance.choices(bits, k=chance.randint(3, 25))) for _ in range(2000)]
    with psycopg.connect(shared_database) as connection:
        (masked,) = connection.execute(
            "SELECT array_agg(mask_passwords(t) ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, n)",
            [texts],
        ).fetchone()
    assert [mask_passwords(text) for text in texts] == masked, f"seed {seed}"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_carries_none_stays(text):
    assert mask_passwords(text) == text


@pytest.mark.parametrize("fails", [False, True])
def test_a_rollback_shows_none(database_dsn, db, applied, folder, fails):
    wrong = "SELECT 1/0;" if fails else ""
    applied("001_a", "CREATE ROLE temporary;", f"{wrong}ALTER ROLE postgres PASSWORD '{SECRET}'; DROP ROLE temporary;")
    out, err = io.StringIO(), io.StringIO()
    options = ["--dsn", database_dsn, "--dir", str(folder)]
    cli.run([*options, "rollback", "001_a", "--confirm", "001_a", "--reason", f"password={SECRET}"], out, err)
    cli.run([*options, "rollback", "001_a", "--dry-run"], out, err)
    cli.run([*options, "events", "--format", "json"], out, err)
    cli.run([*options, "audit", "--format", "json"], out, err)
    shown = out.getvalue() + err.getvalue()
    assert "***" in shown
    assert SECRET not in shown
    if fails:
        db.database.connection.execute("DROP ROLE temporary")
    assert db.audit().success


@pytest.mark.parametrize("fails", [True, pytest.param(False, marks=pytest.mark.long)])
def test_what_is_asked_before_shows_none(database_dsn, db, applied, fails, monkeypatch):
    """Not in any form either, and what runs, and the fingerprint, are of the SQL as it is."""
    folder = db.folder.path
    monkeypatch.chdir(folder.parent)  # where the report is written
    loud = f"DO $$BEGIN RAISE NOTICE 'password={SECRET}'; END$$;"
    made = f"CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS $$SELECT 'host=h password={SECRET}'::text$$;"
    wrong = f"ALTER ROLE nosuchrole PASSWORD '{SECRET}';" if fails else ""
    applied(
        "001_a",
        f"CREATE TABLE t (); {made}",
        f"{loud} DROP TABLE t; ALTER ROLE postgres PASSWORD '{SECRET}'; DROP FUNCTION f(); {wrong}",
    )
    options = ["--dsn", database_dsn, "--dir", str(folder)]
    shown = ""
    for words in (
        ["rollback", "001_a", "--dry-run"],
        ["rehearse", "001_a"],
        ["check", "001_a"],
        ["history"],
        ["diff", "001_a"],
        ["report", "001_a"],
        ["events"],
    ):
        for form in ("table", "json", "tsv"):
            out, err = io.StringIO(), io.StringIO()
            cli.run([*options, *words, "--format", form], out, err)
            assert SECRET not in out.getvalue() + err.getvalue(), (words, form)
            shown += out.getvalue()
    preview, rehearsal = db.preview("001_a"), db.rehearse("001_a")
    for result in (preview, rehearsal, db.diff("001_a")):
        for text in (str(result), repr(result), result._repr_html_(), json.dumps(result.to_dict(), default=str)):
            assert SECRET not in text
    assert SECRET not in "".join(db.history()["rollback_sql"])
    assert SECRET not in str(db.database.session.notices)
    (stored,) = db.database.connection.execute(
        "SELECT migration_fingerprint(ARRAY['001_a']) FROM migration_history"
        f" WHERE rollback_sql LIKE '%PASSWORD ''{SECRET}''%'"
    ).fetchone()
    assert preview.fingerprint == stored
    assert "PASSWORD '***'" in shown


DSNS = [
    f"host=h password='{SECRET} b'",
    pytest.param(f"postgres://u:{SECRET}@h/d", marks=pytest.mark.long),
    pytest.param(f"host=h password={SECRET} user=u", marks=pytest.mark.long),
]
NAMED = [
    ["check"],
    ["rollback", "--dry-run"],
    ["rehearse"],
    ["plan"],
    ["register"],
    ["apply"],
    ["history", "--select"],
    ["history", "--since"],
    ["history", "--status"],
    ["events"],
    ["deps"],
    ["graph"],
    ["snapshot"],
    ["diff"],
    ["report"],
    ["template"],
    ["verify"],
    ["resolve", "--as", "applied", "--reason", "x"],
    ["rollback", "--deploy"],
    ["sync", "--deploy"],
    ["restore", "x"],
    ["--schema"],
    ["--format"],
    [],
    ["doctor"],
]


@pytest.mark.parametrize("typed", DSNS)
def test_one_typed_in_the_place_of_a_name_is_not_printed(database_dsn, folder, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = []
    for words in NAMED:
        for form in ("table", "json", "tsv"):
            out = io.StringIO()
            cli.run(["--dsn", database_dsn, "--dir", str(folder), "--format", form, *words, typed], out, out)
            if SECRET in out.getvalue():
                printed.append((words, form, out.getvalue()))
    assert not printed


@pytest.mark.parametrize("typed", DSNS)
def test_an_error_shows_none(db, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ask in (db.check, db.preview, db.history, db.events, db.dependencies, db.snapshot, db.report, db.register):
        with pytest.raises(mr.MigrollbackError) as caught:
            ask(typed)
        assert SECRET not in str(caught.value) + repr(caught.value), ask


def test_a_snapshot_keeps_a_hash_of_a_servers_secret(db, session):
    session().execute(
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (host 'h', api_token 'hunter2')"
    )
    db.snapshot("001_a")
    (found,) = session().execute("SELECT objects -> 'server' FROM migration_snapshots").fetchone()
    assert SECRET not in json.dumps(found)
    assert "host=h" in json.dumps(found)


EVIL = "001_a\nname=x\x1b[31m\u202e"


def test_a_name_reaches_no_terminal_as_it_is(database_dsn, db, session):
    session().execute("SELECT register_migration(%s, '001', rollback_sql => 'SELECT 1')", [EVIL])
    for words in (["last"], ["list", "--format", "tsv"], ["history", "--format", "tsv"], ["list"], ["events"]):
        out, err = io.StringIO(), io.StringIO()
        assert cli.run(["--dsn", database_dsn, *words], out, err) == 0
        shown = out.getvalue() + err.getvalue()
        assert not {"\x1b", "\u202e"} & set(shown), words
        assert "\nname=x" not in shown, words
    out = io.StringIO()
    cli.run(["--dsn", database_dsn, "last"], out)
    assert len(out.getvalue().splitlines()) == 1
    for result in (db.plan(EVIL), db.preview(EVIL), db.last(), db.rollback(EVIL, confirm=EVIL, snapshots="none")):
        assert not {"\x1b", "\u202e", "\n"} & set(repr(result))
