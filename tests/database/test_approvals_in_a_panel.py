"""Two people at two panels: one asks by a button, the other approves what is shown there, and then it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from panel_parts import part, preview
from watching import exists

import migrollback_nb as mr
from migrollback_nb.panels import RollbackPanel


@pytest.fixture
def other(server: Any, database_dsn: str, folder: Any) -> Iterator[mr.Migrations]:
    """The migrations as another person sees them."""
    server.execute("CREATE ROLE q_bob LOGIN SUPERUSER")
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="q_bob"), dir=folder) as migrations:
        yield migrations
    server.execute("DROP ROLE q_bob")


def click(panel: RollbackPanel, button: str) -> None:
    assert not part(panel, f"{button}_button").disabled, panel.missing
    part(panel, f"{button}_button").click()
    assert panel.wait(20)
    assert panel.error is None, panel.error


def test_one_asks_and_the_other_approves(
    db: mr.Migrations, applied: Callable[..., str], other: mr.Migrations, session: Any
) -> None:
    applied("1_a", "CREATE TABLE a (i int);", "DROP TABLE a;", snapshots="none")
    mine = RollbackPanel(db)
    preview(mine, "1_a")
    assert part(mine, "approvals_view").value == "", "no policy, no step"
    db.set_policy("one", approvers=["q_bob"])
    preview(mine, "1_a")
    assert "needs 1 approval, has 0" in part(mine, "card_view").value
    assert "It needs 1 approval, has 0 (policy one)" in part(mine, "approvals_view").value
    part(mine, "name_field").value = "1_a"
    part(mine, "reason_field").value = "INC-7"
    assert part(mine, "rollback_button").disabled
    assert mine.missing == "It needs 1 approval, has 0"
    click(mine, "request")
    assert "of postgres" in part(mine, "approvals_view").value
    theirs = RollbackPanel(other)
    preview(theirs, "1_a")
    assert "Request " in part(theirs, "approvals_view").value
    assert part(theirs, "approve_button").disabled, "not before the name is typed"
    part(theirs, "approve_field").value = "1_a"
    click(theirs, "approve")
    assert "Approved by q_bob" in part(theirs, "approvals_view").value
    preview(mine, "1_a")
    part(mine, "name_field").value = "1_a"
    click(mine, "rollback")
    assert mine.result is not None
    assert mine.result.approval["approved_by"] == ["q_bob"]
    assert "Approved by" in mine.result._repr_html_()
    assert not exists(session(), "a")


@pytest.mark.long
def test_who_asked_is_refused(db: mr.Migrations, applied: Callable[..., str]) -> None:
    applied("1_a", "CREATE TABLE a (i int);", "DROP TABLE a;", snapshots="none")
    db.set_policy("one")
    panel = RollbackPanel(db)
    preview(panel, "1_a")
    click(panel, "request")
    part(panel, "approve_field").value = "1_a"
    part(panel, "approve_button").click()
    assert panel.wait(20)
    assert isinstance(panel.error, mr.Refused)
