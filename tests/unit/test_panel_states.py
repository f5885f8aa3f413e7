"""RollbackPanel's states and views, on a stand-in for the database:
what is shown follows from the state alone, and shows safely."""

from __future__ import annotations

import ipywidgets as widgets
import pytest
from panel_parts import part, tour, walk
from panel_states import IDLE, STATES, Standin, assert_inert, seen

from migrollback_nb.panels import RollbackPanel
from migrollback_nb.panels.state import STATE


def test_every_state_sets_every_trait() -> None:
    assert all(set(state) == set(STATE) for state in STATES.values())


def test_updating_from_any_state_shows_the_same_as_building_it(standin: Standin) -> None:
    built = {name: seen(RollbackPanel(standin, **state)) for name, state in STATES.items()}
    panel = RollbackPanel(standin, **IDLE)
    before = "idle"
    for after in tour(list(STATES)):
        panel.update(**STATES[after])
        assert seen(panel) == built[after], f"{before} -> {after}"
        assert {trait: getattr(panel, trait) for trait in STATE} == STATES[after], f"{before} -> {after}"
        before = after


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_inert_and_labelled(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    assert_inert(panel)
    controls = [
        widget for widget in walk(panel) if hasattr(widget, "disabled") and not isinstance(widget, widgets.HTML)
    ]
    assert len(controls) == 15
    assert all(widget.description for widget in controls)
    assert standin.calls == []


@pytest.mark.parametrize("name", STATES)
def test_roll_back_works_only_when_nothing_is_missing(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    assert part(panel, "rollback_button").disabled is (name != "ready")
    assert part(panel, "rollback_button").disabled is bool(panel.missing)
    part(panel, "rollback_button").click()  # as a page would that shows an older state
    assert panel.wait(10)
    assert len(standin.rollbacks()) == (name == "ready")


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state["busy"]])
def test_while_something_runs_only_cancel_works(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    enabled = [
        widget
        for widget in walk(panel)
        if hasattr(widget, "disabled") and not isinstance(widget, widgets.HTML) and not widget.disabled
    ]
    assert enabled == [part(panel, "cancel_button")]
    part(panel, "check_button").click()
    part(panel, "preview_button").click()
    part(panel, "refresh_button").click()
    part(panel, "rollback_button").click()
    assert standin.calls == []


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("done, restored", "Done"),
        ("done, differs", "Look closer"),
        ("refused", "Refused"),
        ("failed", "Failed"),
        ("lock", "try again"),
        ("cancelled", "Cancelled"),
        ("bug", "Unexpected"),
        ("done", "Done"),
        ("running", "Rolling back"),
        ("done, nothing changed", "Look closer"),
    ],
)
def test_every_outcome_has_a_word_beside_its_colour(state: str, word: str, standin: Standin) -> None:
    assert word in part(RollbackPanel(standin, **STATES[state]), "message_view").value
