"""Passwords reach no event, result, error or output; names reach a terminal with what they hold made visible."""

import io
import json

import pytest

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.core.text import mask_passwords

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
]
HARMLESS = ["CREATE TABLE t (password text)", "SELECT password_hash = 'x'", "PASSWORD NULL", "http://h/a:b", "a@b"]


@pytest.mark.parametrize("text", CARRIERS)
def test_it_is_masked_alike_in_sql_and_in_python(shared_database, text):
    import psycopg

    with psycopg.connect(shared_database) as connection:
        (masked,) = connection.execute("SELECT mask_passwords(%s)", [text]).fetchone()
    assert SECRET not in masked
    assert mask_passwords(text) == masked


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


def test_an_error_shows_none(db):
    with pytest.raises(mr.MigrationNotFound) as caught:
        db.check(f"postgres://u:{SECRET}@h/d")
    assert SECRET not in str(caught.value) + repr(caught.value)


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
