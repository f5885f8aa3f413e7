"""Where to connect, and that no password gets into an error."""

import traceback

import pytest

import migrollback_nb as mr
from migrollback_nb.database.connection import find_dsn, open_connection

SECRET = "s3cr3t-Pa55"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for variable in (
        "MIGROLLBACK_DSN",
        "DATABASE_URL",
        "SUPABASE_DB_URL",
        "PGSERVICE",
        "PGHOST",
        "PGHOSTADDR",
        "PGDATABASE",
        "SUPABASE_URL",
        "SUPABASE_SERVICE_ROLE_KEY",
    ):
        monkeypatch.delenv(variable, raising=False)


def test_nothing_says_where_to_connect():
    with pytest.raises(mr.UsageError) as caught:
        find_dsn()
    for way in ("--dsn", "MIGROLLBACK_DSN", "DATABASE_URL", "SUPABASE_DB_URL", "PGSERVICE", "embedded"):
        assert way in caught.value.hint


@pytest.mark.parametrize("set_ones", [["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"], ["SUPABASE_SERVICE_ROLE_KEY"]])
def test_what_supabase_serves_by_http_is_no_database_address(monkeypatch, set_ones):
    for variable in set_ones:
        monkeypatch.setenv(variable, f"https://{SECRET}.supabase.co")
    with pytest.raises(mr.UsageError) as caught:
        find_dsn()
    assert " and ".join(set_ones) in caught.value.message
    assert "no database address" in caught.value.message
    assert "SUPABASE_DB_URL" in caught.value.hint
    assert "Connect" in caught.value.hint
    assert SECRET not in str(caught.value)
    monkeypatch.setenv("SUPABASE_DB_URL", "postgresql://here/db")
    assert find_dsn()[0] == "postgresql://here/db"


def test_variables_in_their_order(monkeypatch):
    for variable in ("PGHOST", "SUPABASE_DB_URL", "DATABASE_URL", "MIGROLLBACK_DSN"):
        monkeypatch.setenv(variable, f"from {variable}")
        dsn, where = find_dsn()
        assert variable in where
        assert dsn == ("" if variable == "PGHOST" else f"from {variable}")


def test_what_is_given_goes_before_variables(monkeypatch):
    monkeypatch.setenv("MIGROLLBACK_DSN", "from the variable")
    assert find_dsn("given")[0] == "given"
    assert "service=prod" in find_dsn(service="prod")[0]


def test_a_named_variable(monkeypatch):
    monkeypatch.setenv("OTHER", "its value")
    assert find_dsn(env="OTHER") == ("its value", "variable OTHER")
    monkeypatch.setenv("OTHER", "")
    with pytest.raises(mr.UsageError, match="OTHER"):
        find_dsn(env="OTHER")


def test_two_ways_at_once():
    with pytest.raises(mr.UsageError):
        find_dsn("given", service="prod")


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://user:{SECRET}@host@db.example/x",
        f"postgresql://user:p@{SECRET}@db.example/x",
        f"postgresql://user:{SECRET}/slash@db.example:5432/x",
        f"postgresql://user:{SECRET}:colon@db.example:notaport/x",
        f"postgresql://user:{SECRET}%zz@db.example/x",
        f"postgresql://user:{SECRET}#hash@db.example/x",
        f"postgresql://user:{SECRET}?query@db.example/x",
        f"postgresql://user:{SECRET}@db.example/x?sslmode=nonsense",
        f"postgresql://user:{SECRET}@[::1/x",
        f"postgresql://user:{SECRET}@localhost:1/x",
        f"postgresql://user@localhost:1/x?password={SECRET}",
        f"postgres://user:{SECRET}@/x?host=/nonexistent",
        f"mysql://user:{SECRET}@db.example/x",
        f"postgres:user:{SECRET}@db.example/x",
        f"host=/nonexistent password={SECRET}",
        f"host=/nonexistent password='{SECRET}",
        f"host=/nonexistent pasword={SECRET}",
        f"password={SECRET} host=/nonexistent 'quote",
        f"user:{SECRET}@db.example",
        f"host=localhost port={SECRET}",
        f"host=/nonexistent/{SECRET} password={SECRET}",  # libpq's own words quote the folder
        SECRET,
    ],
)
def test_no_error_shows_a_password(dsn):
    with pytest.raises((mr.UsageError, mr.ConnectionFailed)) as caught:
        open_connection(dsn + ("" if "'" in dsn or "//" in dsn or "=" not in dsn else " connect_timeout=1"))
    shown = (
        "".join(traceback.format_exception(caught.value))
        + repr(caught.value)
        + str(caught.value)
        + str(vars(caught.value))
    )
    shown = shown.replace(f'"{dsn}"', "")
    for part in (SECRET, SECRET[:6], SECRET[-6:]):
        assert part not in shown


def test_an_error_says_where_the_target_was_named(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql:///x?host=/nonexistent")
    with pytest.raises(mr.ConnectionFailed, match="DATABASE_URL"):
        mr.connect()


def test_a_connection_and_a_dsn_at_once():
    with pytest.raises(mr.UsageError):
        mr.connect("host=x", connection=object())


def test_a_schema_whose_name_postgresql_would_cut_is_refused_before_connecting():
    with pytest.raises(mr.UsageError, match="longer than 63 bytes"):
        mr.connect("host=/nonexistent", schema="é" * 32)


def test_nothing_is_fallen_back_on_silently():
    with pytest.raises(mr.UsageError):
        mr.connect()
