"""Ctrl-C says what it undid, and what it came too late for."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from watching import calls, exists, intercepted, status

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.database.attempts import Attempts

pytestmark = pytest.mark.versions

Session = Callable[..., psycopg.Connection]


@contextlib.contextmanager
def interrupted_at(function: str, *, after: bool = False, time: int = 1) -> Iterator[None]:
    """Ctrl-C arrives as an SQL function is called for the nth time, or when it has answered."""
    reached = []

    def around(_: object, text: str, send: Callable[[], Any]) -> Any:
        if not calls(text, function):
            return send()
        reached.append(text)
        answer = send() if after else None
        if len(reached) == time:
            raise KeyboardInterrupt
        return answer if after else send()

    with intercepted(around):
        yield
    assert len(reached) >= time, f"{function} was not called: look at how it is done now"


def test_during_the_verification_the_rollback_is_done_and_said_so(
    db: mr.Migrations, applied: Callable[..., str], session: Session
) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with interrupted_at("verify_migration_rollback"), pytest.raises(mr.Interrupted) as caught:
        db.rollback("001_t", confirm="001_t")
    assert caught.value.done == ("001_t",)
    assert "Too late for 001_t: rolled back, committed, and not undone" in str(caught.value)
    assert isinstance(caught.value, KeyboardInterrupt), "a loop around it ends"
    assert status(session(), "001_t") == "rolled_back"
    assert not exists(session(), "t")


def test_before_the_commit_it_is_undone_and_said_so(
    db: mr.Migrations, applied: Callable[..., str], session: Session
) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with (
        interrupted_at("execute_migration_rollbacks", after=True, time=2),
        pytest.raises(mr.Interrupted) as caught,
    ):  # the first is the dry run
        db.rollback("001_t", confirm="001_t")
    assert caught.value.done == ()
    assert "cancelled on the server and undone" in str(caught.value)
    assert status(session(), "001_t") == "applied"
    assert exists(session(), "t")


@pytest.mark.parametrize("answered", [False, True])
def test_of_several_that_are_applied_the_first_stay(
    db: mr.Migrations, write_migration: Callable[[str, str], Path], session: Session, answered: bool
) -> None:
    for number in (1, 2, 3, 4):
        write_migration(f"00{number}_t", f"CREATE TABLE t{number} ();")
    with interrupted_at("apply_migration", after=answered, time=3), pytest.raises(mr.Interrupted) as caught:
        db.apply()
    # each goes in one message with its COMMIT: once it has answered, it is done
    assert caught.value.done == ("001_t", "002_t", *(("003_t",) if answered else ()))
    assert exists(session(), "t2")
    assert exists(session(), "t3") == answered
    assert not exists(session(), "t4")


def test_outside_a_transaction_what_has_run_stays(
    db: mr.Migrations, applied: Callable[..., str], session: Session
) -> None:
    applied(
        "001_t",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);",
        "DROP INDEX CONCURRENTLY i; DROP TABLE t;",
        options=" transaction:false",
    )
    with (
        interrupted_at("journal_migration_statement", after=True),
        pytest.raises(mr.Interrupted, match="Those before it stay"),
    ):
        db.rollback("001_t", confirm="001_t")
    assert not exists(session(), "i")
    assert exists(session(), "t")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("verify_migration_rollback", "Too late for 001_t"),
        ("start_migration_rollback", "cancelled on the server and undone"),
    ],
)
def test_the_command_line_says_the_same(
    applied: Callable[..., str], database_dsn: str, folder: Path, function: str, words: str
) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    out, err = io.StringIO(), io.StringIO()
    with interrupted_at(function):
        assert (
            cli.run(["rollback", "001_t", "--confirm", "001_t", "--dsn", database_dsn, "--dir", str(folder)], out, err)
            == 1
        )
    assert "❌ Interrupted. " in err.getvalue()
    assert words in err.getvalue()


@pytest.mark.long
def test_programs_are_told_what_stays(
    db: mr.Migrations, applied: Callable[..., str], write_migration: Callable[[str, str], Path], database_dsn: str
) -> None:
    def run(*words: str) -> dict[str, object]:
        out = io.StringIO()
        assert (
            cli.run(
                [*words, "--format", "json", "--dsn", database_dsn, "--dir", str(db.folder.path)], out, io.StringIO()
            )
            == 1
        )
        return json.loads(out.getvalue())

    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with interrupted_at("verify_migration_rollback"):
        told = run("rollback", "001_t", "--confirm", "001_t")
    assert "Too late for 001_t" in str(told.pop("message"))
    assert told == {"success": False, "sql_executed": None, "migration_name": "001_t", "rolled_back": ["001_t"]}
    for number in (2, 3):
        write_migration(f"00{number}_t", f"CREATE TABLE t{number} ();")
    with interrupted_at("apply_migration", after=True, time=2):
        told = run("apply")
    assert "Too late for 002_t" in str(told.pop("message"))
    # each is committed with its answer
    assert told == {"error": "Interrupted", "hint": None, "migration_name": None, "applied": ["002_t", "003_t"]}
    assert set(db.list()["migration_name"]) >= {"002_t", "003_t"}


def test_where_the_database_cannot_be_asked_nothing_is_claimed(
    db: mr.Migrations, applied: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")

    def lost(self: Attempts) -> tuple[str, ...]:
        raise mr.ConnectionFailed("gone")

    monkeypatch.setattr(Attempts, "completed", lost)
    with (
        interrupted_at("verify_migration_rollback"),
        pytest.raises(mr.Interrupted, match="if it was not committed already"),
    ):
        db.rollback("001_t", confirm="001_t")


@pytest.mark.parametrize("call", ["check", "snapshot"])
def test_amid_an_answer_it_is_an_interrupt_and_the_next_question_is_answered(
    db: mr.Migrations,
    applied: Callable[..., str],
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    # psycopg leaves its connection so where the keys are pressed while it reads
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    wait = psycopg.Connection.wait

    def interrupted(self: psycopg.Connection, generator: Any, **options: Any) -> Any:
        if self is not db.database.connection or pressed:
            return wait(self, generator, **options)
        pressed.append(self)
        self.pgconn.send_query(b"SELECT pg_sleep(60)")
        generator.close()
        raise KeyboardInterrupt

    pressed: list[psycopg.Connection] = []
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            db.check("001_t") if call == "check" else db.snapshot("001_t")
    assert pressed
    assert db.check("001_t").can_rollback
    assert db.rollback("001_t", confirm="001_t").success
