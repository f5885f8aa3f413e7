"""The panel of a fleet: the matrix, what is shown of it, and a rollback in waves by its buttons."""

from __future__ import annotations

import pytest

from migrollback_nb.panels import FleetPanel

NAME = "002_users_plan"


@pytest.fixture
def panel(databases):
    made = FleetPanel(databases.fleet(), waves="2")
    assert made.wait(60)
    return made


def test_the_matrix_has_all_and_filters_it(panel, databases):
    matrix = panel.matrix
    assert (matrix.targets, matrix.migrations) == (databases.names, [NAME, "001_users"])
    assert (matrix.cells, matrix.rows, matrix.columns) == (["aa"] * 4, [0, 1, 2, 3], [0, 1])
    panel.target_filter.value = databases.names[2].upper()
    panel.name_filter.value = "users_p"
    assert (matrix.rows, matrix.columns) == ([2], [0])
    panel.target_filter.value = panel.name_filter.value = ""
    panel.differ_box.value = True
    assert matrix.columns == []
    databases.execute(databases.names[1], f"SELECT * FROM execute_migration_rollback('{NAME}')")
    panel.refresh()
    assert panel.wait(60)
    assert (matrix.cells, matrix.columns) == (["aa", "ra", "aa", "aa"], [0])


def test_from_plan_to_result(panel, databases):
    assert panel.missing.startswith("Plan it first")
    assert (panel.plan_button.disabled, panel.plan_button.layout.display) == (True, None)
    assert panel.resume_button.layout.display == "none"
    panel.matrix._select(NAME)
    assert not panel.plan_button.disabled
    panel.plan_button.click()
    assert panel.wait(60)
    assert panel.plan is not None
    assert [len(wave) for wave in panel.plan.waves] == [1, 2, 1]
    assert "Would roll back in 4 of 4 targets" in panel.plan_view.value
    assert panel.rollback_button.disabled
    panel.confirm_field.value = "yes"
    assert panel.missing == f"Type {NAME} to confirm."
    panel.confirm_field.value = NAME
    panel.reason_field.value = "INC-42"
    assert (panel.missing, panel.rollback_button.disabled) == ("", False)
    panel.rollback_button.click()
    assert panel.wait(120)
    assert panel.error is None
    assert panel.result is not None
    assert (panel.result.success, panel.matrix.cells) == (True, ["ra"] * 4)
    assert {word for word, _ in panel.matrix.states} == {"done"}
    assert databases.rolled_back() == dict.fromkeys(databases.names, 1)
    assert panel.plan is None, "another rollback needs another plan"


def test_what_fails_is_taken_up_again(panel, databases):
    databases.execute(databases.names[0], "CREATE VIEW v AS SELECT plan FROM users")
    panel.matrix._select(NAME)
    panel.make_plan()
    assert panel.wait(60)
    panel.confirm_field.value, panel.reason_field.value = NAME, "INC-42"
    panel.rollback()
    assert panel.wait(120)
    assert [word for word, _ in panel.matrix.states] == ["failed", "not started", "not started", "not started"]
    assert panel.resume_button.layout.display is None
    assert panel.matrix.cells[0] == "fa"
    databases.execute(databases.names[0], f"DROP VIEW v; SELECT resolve_migration('{NAME}', 'applied', 'no view')")
    panel.resume_button.click()
    assert panel.wait(120)
    assert panel.result is not None
    assert panel.result.success


def test_a_plan_is_of_what_is_chosen_now(panel):
    panel.matrix._select(NAME)
    panel.make_plan()
    assert panel.wait(60)
    panel.waves_field.value = "1"
    assert panel.plan is None
    panel.rollback()
    assert "Plan it first" in panel.result_view.value


def test_a_target_that_is_down_says_so(databases):
    import migrollback_nb as mr

    made = FleetPanel(mr.Fleet([*databases.dicts(), {"name": "<b>down", "dsn": "host=/nowhere dbname=x"}]))
    assert made.wait(60)
    assert made.matrix.states[4] == ["unreachable", "bad"]
    assert "1 did not answer" in made.head_view.value
