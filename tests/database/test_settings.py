"""Under which settings commands run, also where a platform or a role lacks something."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql
from watching import exists, intercepted, value

import migrollback_nb as mr
from migrollback_nb.database import settings

Applied = Callable[..., str]


def test_where_the_platform_cannot_check_the_client_all_else_runs(
    db: mr.Migrations, applied: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on a platform without POLLRDHUP: SQLSTATE 22023
    monkeypatch.setattr(settings, "CHECK_CLIENT", {"client_connection_check_interval": "-1"})
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    sent: list[str] = []

    def around(_: object, text: str, send: Callable[[], object]) -> object:
        sent.append(text)
        return send()

    with intercepted(around):
        assert db.rollback("001_t", confirm="001_t").success
    assert not any('SET LOCAL "client_connection_check_interval"' in text for text in sent)
    assert any('SET LOCAL "lock_timeout"' in text for text in sent)


def test_a_value_that_the_sql_may_not_have_is_no_fault_of_the_platform(db: mr.Migrations, applied: Applied) -> None:
    # 22023 as well, in the same message as the settings, and before it is known what the platform can do
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    db.database.session._checks_client = None
    with pytest.raises(mr.DatabaseError, match="lock_timeout") as caught:
        db.database.session.transact(b"SET LOCAL lock_timeout = 'nonsense'")
    assert caught.value.sqlstate == "22023"
    assert db.database.session.checks_client()
    assert db.check("001_t").can_rollback


def test_a_lent_connection_is_left_as_it_was(database_dsn: str, applied: Applied) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with psycopg.connect(database_dsn, autocommit=True) as lent:
        lent.execute("SET lock_timeout = '7s'; SET search_path = pg_catalog, public")
        db = mr.connect(connection=lent)
        assert db.preview("001_t").fingerprint
        with lent.transaction():
            assert db.preview("001_t").fingerprint
            assert db.rollback("001_t", confirm="001_t").success
            assert value(lent, "SHOW search_path") == "pg_catalog, public"
        assert value(lent, "SHOW lock_timeout") == "7s"
        assert not exists(lent, "t")


@pytest.fixture
def without_the_mark(database_dsn: str, applied: Applied, session: Callable[..., psycopg.Connection]) -> str:
    """DSN of a role that may call all functions but the one that says whether the database is production."""
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    admin = session()
    role = f"unmarked_{admin.info.dbname}"
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    for grant in (
        "GRANT USAGE ON SCHEMA public TO {}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
        "REVOKE EXECUTE ON FUNCTION public.is_production_database() FROM {}",
    ):
        admin.execute(sql.SQL(grant).format(sql.Identifier(role)))
    return psycopg.conninfo.make_conninfo(database_dsn, user=role)


def test_who_may_not_ask_whether_it_is_production_is_told_that_it_is(
    without_the_mark: str, session: Callable[..., psycopg.Connection]
) -> None:
    with mr.connect(without_the_mark) as db:
        preview = db.preview("001_t")
    assert preview.sql == "DROP TABLE t;"
    assert preview.target.production
    role = psycopg.conninfo.conninfo_to_dict(without_the_mark)["user"]
    session().execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(str(role))))
