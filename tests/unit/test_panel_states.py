"""RollbackPanel's states and views, on a stand-in for the database:
what is shown follows from the state alone, and shows safely."""

from __future__ import annotations

import ipywidgets as widgets
import pytest
from panel_parts import part, tour, walk
from panel_states import IDLE, LARGE, STATES, Standin, assert_inert, seen

from migrollback_nb.panels import RollbackPanel
from migrollback_nb.panels.state import STATE


def test_every_state_sets_every_trait() -> None:
    assert all(set(state) == set(STATE) for state in STATES.values())


#: From and to these each state is tried always; from and to each other with --long.
HUBS = ("idle", "harmful, accepted", "done, chain")


@pytest.mark.parametrize("hubs", [HUBS, pytest.param(None, marks=pytest.mark.long)], ids=["hubs", "all pairs"])
def test_updating_from_any_state_shows_the_same_as_building_it(hubs: tuple[str, ...] | None, standin: Standin) -> None:
    built = {name: seen(RollbackPanel(standin, **state)) for name, state in STATES.items()}
    panel = RollbackPanel(standin, **IDLE)
    before = "idle"
    way = tour(list(STATES)) if hubs is None else (one for hub in hubs for state in STATES for one in (hub, state))
    for after in way:
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
    assert len(controls) == 31 + len(panel.shared.harms if panel.shared.previewed else ())
    assert all(widget.description for widget in controls)
    assert standin.calls == []


@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_is_shown_whole_or_counted(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **LARGE[name])
    assert_inert(panel)
    words = {
        "long SQL": ("sql_view", "10,000 lines: 10000 DROP, 10000 CASCADE"),
        "long name": ("name_view", "name_220"),
        "three hundred effects": ("card_view", "and 296 more"),
    }
    view, said = words[name]
    assert said in part(panel, view).value
    assert len(part(panel, "ticks").children) <= 1


def test_each_kind_of_harm_is_accepted_by_a_tick(standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES["harmful"])
    first, second = part(panel, "ticks").children
    assert panel.missing == "Tick what you accept: 2 more"
    second.value = True
    assert (panel.accepted, panel.missing) == (("breaks",), "Tick what you accept: 1 more")
    first.value = True
    assert panel.missing == ""
    second.value = False
    assert panel.accepted == ("loses_rows",)
    panel.selected = "1_a"
    assert (panel.accepted, part(panel, "ticks").children) == ((), ())


@pytest.mark.parametrize(
    ("standing", "words"), [("read only", "Read-only session"), ("connection lost", "Connection lost")]
)
def test_the_target_says_how_the_connection_stands(standing: str, words: str, standin: Standin) -> None:
    assert words in part(RollbackPanel(standin, **STATES[standing]), "target_view").value


@pytest.mark.parametrize("name", STATES)
def test_what_failed_is_resolved_with_a_reason_and_what_is_missing_installed(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    assert part(panel, "as_applied_button").disabled is (name != "failed, to be resolved")
    shown = part(panel, "step").layout.display is None
    assert shown is bool(STATES[name]["failed"])
    assert part(panel, "install_button").disabled is (name not in {"not installed", "older system"})


@pytest.mark.parametrize("name", STATES)
def test_roll_back_works_only_when_nothing_is_missing(name: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[name])
    ready = name in {"ready", "harmful, accepted"}
    assert part(panel, "rollback_button").disabled is not ready
    assert part(panel, "rollback_button").disabled is bool(panel.missing)
    part(panel, "rollback_button").click()  # as a page would that shows an older state
    assert panel.wait(10)
    assert len(standin.rollbacks()) == ready


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
        ("rehearsal cancelled", "Cancelled"),
        ("failed, to be resolved", "next step"),
        ("bug", "Unexpected"),
        ("done", "Done"),
        ("done, nothing changed", "Look closer"),
    ],
)
def test_every_outcome_has_a_word_beside_its_colour(state: str, word: str, standin: Standin) -> None:
    assert word in part(RollbackPanel(standin, **STATES[state]), "message_view").value


@pytest.mark.parametrize("name", ["idle", "previewed"])
def test_each_widget_has_a_layout_of_its_own(name: str, standin: Standin) -> None:
    # what hides one control hid every field of every panel
    found = [widget.layout for widget in walk(RollbackPanel(standin, **STATES[name])) if hasattr(widget, "layout")]
    assert len({id(layout) for layout in found}) == len(found)
