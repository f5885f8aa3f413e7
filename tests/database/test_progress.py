"""How far a rollback is: told while it runs, to whoever asked, and to nobody else; after a cancel, what was undone."""

from __future__ import annotations

import io
from collections.abc import Callable

import psycopg
import pytest
from panel_parts import part
from watching import Background, Latch, events, eventually, exists, status

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.panels import RollbackPanel

pytestmark = pytest.mark.versions

Session = Callable[..., psycopg.Connection]


def told(db: mr.Migrations, name: str, *, chain: bool = False) -> list[mr.RollbackProgress]:
    found: list[mr.RollbackProgress] = []
    db.rollback(name, confirm=name, chain=chain, progress=found.append)
    return found


def test_each_statement_is_told_before_it_runs(db: mr.Migrations, applied: Callable[..., str], latch: Latch) -> None:
    applied(
        "001_a",
        "CREATE TABLE a ();\nCREATE TABLE b ();",
        f"DROP TABLE a;\n-- the latch\n{latch.wait}\n\nDROP TABLE\n  b;",
    )
    found: list[mr.RollbackProgress] = []
    running = Background(lambda: db.rollback("001_a", confirm="001_a", progress=found.append))
    latch.eventually_reached()
    assert [(one.stage, one.statement_number) for one in found] == [
        ("snapshot", None),
        ("statement", 1),
        ("statement", 2),
    ]
    assert found[-1].message.startswith("statement 2 of 3 (line 7): DO $$ BEGIN WHILE NOT EXISTS")
    assert running.running
    latch.release()
    assert running.result().success
    assert [(one.stage, one.statement_number) for one in found[3:]] == [
        ("statement", 3),
        ("ran", None),
        ("committed", None),
    ]
    assert found[3].message == "statement 3 of 3 (line 9): DROP TABLE b"
    fractions = [one.fraction for one in found]
    assert fractions == [None, 0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1, 1]


@pytest.mark.long
def test_a_chain_says_which_migration(db: mr.Migrations, applied: Callable[..., str]) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();\nCREATE TABLE c ();", "DROP TABLE c;\nDROP TABLE b;", depends_on=["001_a"])
    found = told(db, "001_a", chain=True)
    assert [one.message for one in found if one.stage == "statement"] == [
        "migration 1 of 2, 002_b: statement 1 of 2 (line 6): DROP TABLE c",
        "migration 1 of 2, 002_b: statement 2 of 2 (line 7): DROP TABLE b",
        "migration 2 of 2, 001_a: statement 1 of 1 (line 4): DROP TABLE a",
    ]
    assert [one.fraction for one in found] == sorted((one.fraction for one in found), key=lambda part: part or 0)


def test_a_rehearsal_tells_too_and_leaves_nothing(
    db: mr.Migrations, applied: Callable[..., str], session: Session
) -> None:
    applied("001_a", "CREATE TABLE a ();\nCREATE TABLE b ();", "DROP TABLE b;\nDROP TABLE a;")
    found: list[mr.RollbackProgress] = []
    rehearsed = db.rehearse("001_a", progress=found.append)
    assert [one.statement_number for one in found] == [1, 2, None]
    assert rehearsed.notices == ()
    assert exists(session(), "a")


@pytest.mark.long
def test_statement_by_statement_outside_a_transaction(db: mr.Migrations, applied: Callable[..., str]) -> None:
    applied(
        "001_a",
        "CREATE TABLE a (id int);\nCREATE INDEX i ON a (id);",
        "DROP INDEX CONCURRENTLY i;\nDROP TABLE a;",
        options=" transaction:false",
    )
    assert [one.message for one in told(db, "001_a") if one.stage == "statement"] == [
        "statement 1 of 2: DROP INDEX CONCURRENTLY i",
        "statement 2 of 2: DROP TABLE a",
    ]


def test_sql_that_no_one_has_parsed_is_one_statement(
    db: mr.Migrations, applied: Callable[..., str], session: Session
) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    session().execute(
        "UPDATE migration_history SET rollback_sql = 'DROP TABLE a; SELECT 1' WHERE migration_name = '001_a'"
    )
    assert [one.message for one in told(db, "001_a") if one.stage == "statement"] == [
        "statement 1 of 1: DROP TABLE a; SELECT 1"
    ]


def test_who_does_not_ask_is_told_nothing(db: mr.Migrations, applied: Callable[..., str], session: Session) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    asking = session()
    heard: list[tuple[str | None, str | None]] = []
    asking.add_notice_handler(lambda notice: heard.append((notice.sqlstate, notice.message_primary)))
    asking.execute("SELECT * FROM execute_migration_rollback('001_a')")
    assert heard == []
    assert status(asking, "001_a") == "rolled_back"


def test_with_psql_the_setting_asks(applied: Callable[..., str], session: Session) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    asking = session()
    heard: list[tuple[str | None, str | None]] = []
    asking.add_notice_handler(lambda notice: heard.append((notice.sqlstate, notice.message_primary)))
    asking.execute("SET migrollback.progress = 'on'")
    asking.execute("SELECT * FROM execute_migration_rollback('001_a')")
    assert heard == [("MR100", "statement 1 of 1"), ("MR100", "1 statements have run")]


def test_the_migrations_own_notices_stay_apart(db: mr.Migrations, applied: Callable[..., str]) -> None:
    forged = (
        "DO $$ BEGIN RAISE NOTICE 'mine'; RAISE NOTICE 'forged' USING ERRCODE = 'MR100', DATATYPE = '{\"statements\":"
        " 9}'; END $$;"
    )
    applied("001_a", "CREATE TABLE a ();", f"{forged}\nDROP TABLE a;")
    found: list[mr.RollbackProgress] = []
    result = db.rollback("001_a", confirm="001_a", progress=found.append)
    assert [notice.message for notice in result.notices] == ["mine", "forged"]
    assert {one.statements for one in found if one.stage == "statement"} == {2}


def test_words_that_the_client_cannot_spell_make_nothing_fail(applied: Callable[..., str], session: Session) -> None:
    applied("001_a", 'CREATE TABLE "таблица" ();', 'DROP TABLE "таблица";')
    asking = session()
    asking.execute("SET migrollback.progress = 'on'")
    asking.execute("SET client_encoding = 'LATIN1'")
    assert asking.execute("SELECT success, message FROM execute_migration_rollback('001_a')").fetchone() == (
        True,
        "Migration rolled back successfully",
    )


def test_a_callback_that_fails_stops_nothing_and_is_told(
    db: mr.Migrations, applied: Callable[..., str], session: Session
) -> None:
    applied("001_a", "CREATE TABLE a ();\nCREATE TABLE b ();", "DROP TABLE b;\nDROP TABLE a;")
    called = []

    def fail(at: mr.RollbackProgress) -> None:
        called.append(at)
        raise OSError("the terminal is gone")

    result = db.rollback("001_a", confirm="001_a", progress=fail)
    assert result.success
    assert len(called) == 1
    assert "Progress was not shown to the end: OSError: the terminal is gone" in result.warnings
    assert status(session(), "001_a") == "rolled_back"


def test_an_interrupt_in_the_callback_cancels(db: mr.Migrations, applied: Callable[..., str], session: Session) -> None:
    applied("001_a", "CREATE TABLE a ();", "SELECT pg_sleep(600);\nDROP TABLE a;")

    def interrupt(at: mr.RollbackProgress) -> None:
        if at.stage == "statement":
            raise KeyboardInterrupt

    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_a", confirm="001_a", progress=interrupt)
    assert caught.value.sqlstate == "57014"
    assert exists(session(), "a")


@pytest.mark.parametrize("stage", ["snapshot", "ran"])
def test_a_cancel_between_two_commands_is_not_lost(
    db: mr.Migrations, applied: Callable[..., str], session: Session, stage: str
) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    with pytest.raises(mr.DatabaseError) as caught:
        db.rollback(
            "001_a", confirm="001_a", progress=lambda at: db.database.session.cancel() if at.stage == stage else None
        )
    assert caught.value.sqlstate == "57014"
    assert exists(session(), "a")
    assert status(session(), "001_a") == "applied"
    assert events(session())[-1] == {"snapshot": "applied", "ran": "failed"}[stage]
    assert db.rollback("001_a", confirm="001_a").success


def test_a_cancel_that_the_server_hears_too_late_still_stops_the_commit(
    db: mr.Migrations, applied: Callable[..., str], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    monkeypatch.setattr(psycopg.Connection, "cancel_safe", lambda *_, **__: None)  # the statement has ended by then
    with pytest.raises(mr.DatabaseError, match="Cancelled before the COMMIT"):
        db.rollback(
            "001_a", confirm="001_a", progress=lambda at: db.database.session.cancel() if at.stage == "ran" else None
        )
    assert exists(session(), "a")
    assert (status(session(), "001_a"), events(session())[-1]) == ("applied", "failed")


def test_a_cancel_after_the_commit_says_that_it_came_too_late(
    db: mr.Migrations, applied: Callable[..., str], session: Session
) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    result = db.rollback(
        "001_a", confirm="001_a", progress=lambda at: db.database.session.cancel() if at.stage == "committed" else None
    )
    assert result.success
    assert any(
        warning.startswith("The rollback is done and verified, but that could not be recorded")
        for warning in result.warnings
    )
    assert status(session(), "001_a") == "rolled_back"


@pytest.mark.long
def test_the_panel_shows_the_statement_and_after_a_cancel_what_was_undone(
    db: mr.Migrations, applied: Callable[..., str], latch: Latch, session: Session
) -> None:
    applied("001_a", "CREATE TABLE a ();", f"DROP TABLE a;\n{latch.wait}\nSELECT 1;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=["001_a"])
    panel = RollbackPanel(db)
    assert part(panel, "progress_bar").layout.display == "none"
    panel.update(selected="001_a", chain=True)
    panel.preview()
    assert panel.wait(30)
    panel.update(typed="001_a", reason="INC-47")
    panel.rollback()
    latch.eventually_reached()
    words = "migration 2 of 2, 001_a: statement 2 of 3 (line 5): DO $$ BEGIN WHILE"
    eventually(lambda: words in part(panel, "progress_view").value, "the panel shows the statement")
    assert part(panel, "progress_bar").layout.display is None
    assert part(panel, "progress_bar").value == pytest.approx(2 / 3)
    panel.cancel()
    assert panel.wait(30)
    shown = part(panel, "message_view").value
    assert "Cancelled" in shown
    assert "in statement 2 of 001_a: DO $$" in shown
    assert "Everything was undone, the rollback of 002_b before it too: nothing changed." in shown
    assert exists(session(), "a")
    assert exists(session(), "b")
    assert (status(session(), "001_a"), status(session(), "002_b")) == ("applied", "applied")
    assert part(panel, "progress_bar").layout.display == "none"


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.long
@pytest.mark.parametrize("command", ["rollback", "rehearse"])
def test_a_terminal_shows_a_bar_and_a_pipe_none(
    database_dsn: str, folder: object, applied: Callable[..., str], command: str
) -> None:
    applied("001_a", "CREATE TABLE a ();\nCREATE TABLE b ();", "DROP TABLE b;\nDROP TABLE a;")
    arguments = [
        command,
        "001_a",
        "--dsn",
        database_dsn,
        "--dir",
        str(folder),
        *(["--confirm", "001_a"] if command == "rollback" else []),
    ]
    terminal, pipe = Terminal(), io.StringIO()
    if command == "rehearse":
        assert cli.run(arguments, io.StringIO(), pipe) == 0
        assert "statement" not in pipe.getvalue()
    assert cli.run(arguments, io.StringIO(), terminal) == 0
    assert "statement 2 of 2" in terminal.getvalue()
