"""HistoryPanel on a real PostgreSQL: ranges and deploys chosen there are rolled back in the panels beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from panel_parts import part, pick
from pg_servers import with_migrations

import migrollback_nb as mr
from migrollback_nb.panels import ChecklistPanel, HistoryPanel, RollbackPanel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pg_servers import Server

#: The second on the first, the third alone.
FILES = {
    "001_a": "CREATE TABLE a ();\n-- ROLLBACK START\n-- DROP TABLE a;\n-- ROLLBACK END\n",
    "002_b": "-- Depends on: 001_a\nCREATE TABLE b ();\n-- ROLLBACK START\n-- DROP TABLE b;\n-- ROLLBACK END\n",
    "003_c": "CREATE TABLE c ();\n-- ROLLBACK START\n-- DROP TABLE c;\n-- ROLLBACK END\n",
}


@pytest.fixture(scope="module")
def database_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from with_migrations(server, tmp_path_factory.mktemp("range") / "migrations", FILES)


def roll_back(panel: RollbackPanel) -> None:
    panel.preview()
    assert panel.wait(30)
    assert panel.preview_result is not None, panel.error
    panel.update(typed=panel.shared.confirm, reason="because")
    assert panel.missing == ""
    panel.rollback()
    assert panel.wait(30)
    assert panel.error is None


def test_a_range_is_rolled_back_with_all_that_depend_on_it(db: mr.Migrations) -> None:
    panel = RollbackPanel(db, selected="003_c")
    panel.update(several=("001_a",))
    assert panel.selected is None
    panel.preview()
    assert panel.wait(30)
    assert [name for name, _ in panel.preview_result.steps] == ["002_b", "001_a"]
    panel.typed = "002_b"
    assert panel.missing == "Type the migration's name exactly"
    panel.rehearse()
    assert panel.wait(30)
    assert panel.rehearsal_result.success
    roll_back(panel)
    assert [one.migration_name for one in panel.result.results] == ["002_b", "001_a"]
    assert (panel.several, panel.deploy, panel.selected) == ((), "", None)
    panel.several = ("001_a",)
    panel.preview()
    assert panel.wait(30)
    assert "there is nothing to roll back" in str(panel.error)
    assert part(panel, "rollback_button").disabled


def test_a_deploy_is_confirmed_by_its_label(db: mr.Migrations) -> None:
    (label,) = db.deploys()["label"]
    panel = RollbackPanel(db, selected="003_c")
    panel.deploy = label
    assert panel.shared.chosen == f"deploy {label}"
    panel.several = ("003_c",)
    assert panel.deploy == ""
    panel.deploy = label
    assert panel.several == ()
    panel.preview()
    assert panel.wait(30)
    panel.update(typed="001_a", reason="because")
    assert panel.missing == "Type the deploy's name exactly"
    roll_back(panel)
    assert [one.migration_name for one in panel.result.results] == ["003_c", "002_b", "001_a"]


def test_what_is_chosen_in_the_history_is_previewed_beside_it(db: mr.Migrations) -> None:
    history = HistoryPanel(db)
    assert history.error is None
    assert list(history.table.names) == ["003_c", "002_b", "001_a"]
    assert history.lanes_button.value
    assert history.graph_panel.drawing.svg.count('class="node') == 3
    panel = RollbackPanel(history)
    pick(history.table, '["003_c", "002_b"]')
    panel.preview()
    assert panel.wait(30)
    assert [name for name, _ in panel.preview_result.steps] == ["003_c", "002_b"]
    history.search.value = "001_a+"
    assert [history.table.names[place] for place in history.table.order] == ["002_b", "001_a"]
    history.group_button.value = True
    (deploy,) = history.table.deploys
    pick(history.table, f'"{deploy["label"]}"', number=2)
    panel.preview()
    assert panel.wait(30)
    assert len(panel.preview_result.steps) == 3


def test_the_systems_own_migration_is_shown_only_when_asked_for(db: mr.Migrations) -> None:
    (own,) = db.database.history.system()
    for panel, there in ((HistoryPanel(db), False), (HistoryPanel(db, system=True), True)):
        assert (own in panel.table.names) is there
        assert (own in {row["migration_name"] for row in panel.migrations}) is there
    assert own not in ChecklistPanel(db).names
    assert own in ChecklistPanel(db, own).names


def test_a_choice_of_one_forgets_the_range(db: mr.Migrations) -> None:
    panel = RollbackPanel(db, several=("001_a", "003_c"))
    assert panel.shared.chosen == "2 migrations"
    panel.selected = "003_c"
    assert panel.several == ()
    assert panel.shared.chosen == "003_c"
