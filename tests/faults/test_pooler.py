"""Through PgBouncer, in both modes: what needs a session of its own is refused where the pooler lends one for each
transaction."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest
from poolers import PgBouncer, program
from watching import exists, status

import migrollback_nb as mr

if TYPE_CHECKING:
    from pg_servers import Server

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(
        program() is None and not os.environ.get("REQUIRE_POOLER"),
        reason="this machine has no pgbouncer (apt-get install pgbouncer)",
    ),
]

OUTSIDE = """\
-- Transaction: false
CREATE TABLE t (a int);
CREATE INDEX CONCURRENTLY i ON t (a);
-- ROLLBACK START transaction:false
DROP INDEX CONCURRENTLY i;
DROP TABLE t;
-- ROLLBACK END
"""


@pytest.fixture
def pooled(server: Server, database_dsn: str) -> Iterator[Callable[..., str]]:
    """Starts a pooler in one mode, with further settings, and gives the DSN through it."""
    with ExitStack() as started:

        def start(mode: str, **settings: int) -> str:
            return started.enter_context(PgBouncer(server, mode, **settings)).dsn(database_dsn)

        yield start


def test_transactions_need_no_session_of_their_own(pooled, write_migration, folder, session):
    write_migration("001_t", "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n")
    with mr.connect(pooled("transaction"), dir=folder) as db:
        db.apply("001_t")
        rehearsed = db.rehearse("001_t")
        assert rehearsed.success
        assert exists(session(), "t")
        result = db.rollback("001_t", confirm="001_t", preview=rehearsed)
        assert result.verification.verdict == "restored"
        assert not exists(session(), "t")
        assert db.verify_events().intact


def test_statement_by_statement_is_refused_where_a_session_lasts_for_one_transaction(
    pooled, write_migration, folder, db, session
):
    write_migration("001_t", OUTSIDE)
    with mr.connect(pooled("transaction"), dir=folder) as through:
        with pytest.raises(mr.Refused, match="pooler"):
            through.apply("001_t")
        assert not exists(session(), "t")
        db.apply("001_t")
        with pytest.raises(mr.Refused, match="pooler") as caught:
            through.rollback("001_t", confirm="001_t")
        assert "session mode" in caught.value.hint
    assert exists(session(), "i")
    assert status(session(), "001_t") == "applied"


@pytest.mark.long
def test_it_is_refused_too_while_others_use_the_pool(pooled, write_migration, folder, session):
    write_migration("001_t", OUTSIDE)
    dsn = pooled("transaction")
    with psycopg.connect(dsn) as one, psycopg.connect(dsn) as other:
        one.execute("SELECT 1")
        other.execute("SELECT 1")
        with mr.connect(dsn, dir=folder) as through, pytest.raises(mr.Refused, match="pooler"):
            through.apply("001_t")


@pytest.mark.parametrize("in_turn", [0, 1])
def test_it_is_refused_too_where_other_sessions_are_idle(pooled, write_migration, folder, session, in_turn):
    write_migration("001_t", OUTSIDE)
    dsn = pooled("transaction", server_round_robin=in_turn)
    with mr.connect(dsn, dir=folder) as through:
        reopen = through.database.session.reopen

        def after_others():
            connection = reopen()
            with psycopg.connect(dsn) as one, psycopg.connect(dsn) as other:
                one.execute("SELECT 1")  # takes the session that we have just left
                other.execute("SELECT 1")
                one.rollback()
                other.rollback()  # its session is the next to be lent, not ours
            return connection

        through.database.session.reopen = after_others
        with pytest.raises(mr.Refused, match="pooler"):
            through.apply("001_t")
    assert not exists(session(), "t")


def test_it_is_refused_too_where_the_pool_has_one_session_for_all(pooled, write_migration, folder, session):
    write_migration("001_t", OUTSIDE)
    with (
        mr.connect(pooled("transaction", max_db_connections=1), dir=folder) as through,
        pytest.raises(mr.Refused, match="pooler"),
    ):
        through.apply("001_t")
    assert not exists(session(), "t")


@pytest.mark.long
@pytest.mark.versions
def test_statement_by_statement_in_session_mode(pooled, write_migration, folder, session):
    write_migration("001_t", OUTSIDE)
    with mr.connect(pooled("session"), dir=folder) as db:
        db.apply("001_t")
        assert exists(session(), "i")
        assert db.rollback("001_t", confirm="001_t").success
    assert not exists(session(), "t")


@pytest.mark.few(2)
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_the_doctor_sees_which_mode_it_is_in(pooled, mode):
    with mr.connect(pooled(mode)) as db:
        (found,) = (one for one in db.doctor().diagnoses if one.finding == "pooler")
        assert found.identity == mode
        assert ("for each transaction" in found.message) is (mode == "transaction")
        assert found.fix


def test_the_doctor_sees_none_where_there_is_none(db):
    assert not [one for one in db.doctor().diagnoses if one.finding == "pooler"]
