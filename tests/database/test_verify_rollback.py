"""A rollback that was committed and could not be verified: said as done, and verified later."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from panel_parts import preview, walk
from watching import calls, events, intercepted, last_event, status

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.database.session import Session as DatabaseSession
from migrollback_nb.panels import RollbackPanel

Applied = Callable[..., str]
Session = Callable[..., psycopg.Connection]
Run = Callable[..., tuple[int, str, str]]


@contextlib.contextmanager
def lost() -> Iterator[None]:
    """At the snapshot after a rollback, the server is gone for good."""

    def around(session: DatabaseSession, text: str, send: Callable[[], Any]) -> Any:
        if calls(text, "create_migration_snapshot") and "after rollback" in text:
            session.connection.close()
            session.reopen = None
        return send()

    with intercepted(around):
        yield


@pytest.fixture
def run(database_dsn: str, folder: Path) -> Run:
    """Run the command line on this test's database and folder: exit status, results, remarks."""

    def run_command(*argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        return cli.run(["--dsn", database_dsn, "--dir", str(folder), *argv], out, err), out.getvalue(), err.getvalue()

    return run_command


LATER = (
    "The rollback is done, but could not be verified: The connection was lost, and it was borrowed. Verify it later:"
    " migrollback verify-rollback 001_t"
)


def test_on_the_command_line(applied: Applied, run: Run, session: Session) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with lost():
        code, out, err = run("rollback", "001_t", "--confirm", "001_t")
    assert code == 0
    assert "✅ Migration rolled back successfully" in out
    assert LATER in err
    assert status(session(), "001_t") == "rolled_back"
    assert "verified" not in events(session(), around=True)

    code, out, _ = run("verify-rollback", "001_t.sql")
    assert (code, out.rstrip().splitlines()[-1]) == (
        0,
        "✅ Restored: schema, values and state are as before it was applied",
    )
    event = last_event(session(), around=True)
    assert (event["event"], event["migration_name"], event["details"]["verdict"], event["details"]["migrations"]) == (
        "verified",
        "001_t",
        "restored",
        ["001_t"],
    )
    code, out, _ = run("verify-rollback", "001_t", "--format", "json")
    assert (code, json.loads(out)["verdict"]) == (0, "restored")
    code, _, err = run("verify-rollback", "nowhere")
    assert (code, "nowhere" in err) == (1, True)
    run("apply", "001_t")
    code, _, err = run("verify-rollback", "001_t")
    assert (code, "There is no rollback of 001_t to verify: its status is applied" in err) == (3, True)


def test_for_programs(applied: Applied, run: Run) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    with lost():
        code, out, _ = run("rollback", "001_t", "--confirm", "001_t", "--format", "json")
    found = json.loads(out)
    assert (code, found["success"], found["verification"]) == (0, True, None)
    assert any(LATER in warning for warning in found["warnings"])


def test_in_a_panel(db: mr.Migrations, applied: Applied, session: Session) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    panel = RollbackPanel(db)
    preview(panel, "001_t")
    panel.update(typed="001_t", reason="INC-47")
    with lost():
        panel.rollback()
        assert panel.wait(30)
    assert status(session(), "001_t") == "rolled_back"
    assert panel.result is not None
    assert panel.result.success
    shown = " ".join(getattr(one, "value", "") for one in walk(panel) if isinstance(getattr(one, "value", ""), str))
    assert "verify-rollback 001_t" in shown


@pytest.mark.long
def test_later_it_is_compared_with_what_stood_right_after_it(
    db: mr.Migrations, applied: Applied, session: Session
) -> None:
    applied("001_t", "CREATE TABLE t (); CREATE TABLE u ();", "DROP TABLE t;")
    db.rollback("001_t", confirm="001_t", snapshots="none")
    applied("002_v", "CREATE TABLE v ();", "DROP TABLE v;")  # its own snapshot before it shows how it was then
    session().execute("DROP TABLE u")
    found = db.verify_rollback("001_t")
    assert (found.verdict, [str(change) for change in found.differences.changes][:1]) == (
        "differs",
        ["+ table public.u"],
    )
    assert last_event(session(), around=True)["details"]["differences"][0] == "+ table public.u"


@pytest.mark.long
def test_a_chain_is_verified_as_a_whole(db: mr.Migrations, applied: Applied, session: Session, run: Run) -> None:
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "SELECT 1;", depends_on=["001_a"])
    db.rollback("001_a", confirm="001_a", chain=True)
    code, out, _ = run("verify-rollback", "002_b")
    assert code == 1
    assert "Not restored" in out
    assert last_event(session(), around=True)["details"]["migrations"] == ["002_b", "001_a"]


def test_with_nothing_but_psql(applied: Applied, session: Session) -> None:
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    connection = session()
    connection.execute("SELECT execute_migration_rollback('001_t')")
    assert connection.execute("SELECT verdict, migrations FROM verify_last_rollback('001_t')").fetchone() == (
        "restored",
        ["001_t"],
    )
    assert connection.execute("SELECT verdict FROM verify_last_rollback('001_t')").fetchone() == ("restored",)
    for name, code in (("nowhere", "MR001"), ("20250120_migration_rollback_system", "MR002")):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("SELECT verify_last_rollback(%s)", (name,))
        assert caught.value.sqlstate == code
