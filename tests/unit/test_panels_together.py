"""Rehearsal, banner and the single steps as panels of their own, alone and linked, on a stand-in for the database."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import pytest
import traitlets
from panel_parts import confirm, part, preview, walk
from panel_states import HOSTILE, IDLE, READY, STATES, TARGET, Standin, assert_inert, preview_of, row, seen

import migrollback_nb as mr
from migrollback_nb.core.results import Notice
from migrollback_nb.panels import CheckPanel, ConfirmPanel, PreviewPanel, RollbackPanel

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrollback_nb.panels.panel import Panel


def test_a_rehearsal_is_shown_and_leaves_the_preview_alone(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    looked_at = panel.preview_result
    part(panel, "consent_box").value = True
    part(panel, "rehearse_button").click()
    assert panel.wait(10)
    assert ("rehearse", "2_b", False, True) in standin.calls
    assert panel.preview_result is looked_at
    assert "Would succeed" in part(panel, "card_view").value
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert panel.rehearsal_result is None


def test_where_others_would_wait_a_copy_comes_first(
    panel: RollbackPanel, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = part(panel, "copy_box")
    preview(panel)
    assert (box.value, box.layout.display) == (False, "none"), "no one would wait"
    long = replace(preview_of("2_b"), foreseen=mr.Foreseen(longest_ms=3000), fingerprint="f" * 64)
    monkeypatch.setattr(standin, "preview", lambda *_, **__: long)
    standin.database.session.timeouts = mr.Timeouts()
    asked: list[Any] = []
    rehearse = standin.rehearse
    monkeypatch.setattr(standin, "rehearse", lambda name, **given: asked.append(given["on"]) or rehearse(name, **given))
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert (box.value, box.layout.display) == (True, None)
    part(panel, "rehearse_button").click()
    assert panel.wait(10)
    box.value = False
    part(panel, "rehearse_button").click()
    assert panel.wait(10)
    assert asked == ["scratch", None]


def test_a_rehearsal_that_met_another_state_than_the_preview_takes_the_preview_away(
    panel: RollbackPanel, standin: Standin
) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    standin.state = "e"
    part(panel, "rehearse_button").click()
    assert panel.wait(10)
    assert (panel.preview_result, panel.typed) == (None, "")
    assert isinstance(panel.error, mr.Refused)
    assert panel.rehearsal_result is not None
    part(panel, "again_button").click()
    assert panel.wait(10)
    assert panel.preview_result.fingerprint == "e" * 64


@pytest.mark.parametrize("name", STATES)
def test_a_new_preview_is_offered_after_a_refusal_and_only_then(name: str, standin: Standin) -> None:
    button = part(RollbackPanel(standin, **STATES[name]), "again_button")
    assert (button.layout.display is None) is (not button.disabled) is (name in {"refused", "lock", "cancelled"})


@pytest.mark.parametrize(
    ("rule", "loud"),
    [
        (None, False),
        ("shop", True),
        ("SHO?", True),
        ("other, db.*", True),
        (["nothing"], False),
        (lambda target: target.port == 5432, True),
        (lambda _: 1 / 0, True),
    ],
)
def test_production_is_loud_by_the_rule_of_the_user(standin: Standin, rule: Any, loud: bool) -> None:
    panel = RollbackPanel(standin, production=rule, **READY)
    assert ("PRODUCTION" in part(panel, "target_view").value) is loud
    assert ("PRODUCTION" in part(panel, "rollback_button").description) is loud


def test_production_is_known_by_a_variable(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGROLLBACK_PRODUCTION", "*.example")
    assert "PRODUCTION" in part(RollbackPanel(standin), "target_view").value


def test_a_chain_names_every_step_and_asks_once(standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES["previewed chain"])
    shown = part(panel, "name_view").value
    assert "2 migrations" in shown
    assert shown.index("2_b") < shown.index("1_a")
    assert (
        len([widget for widget in walk(panel) if isinstance(widget, widgets.Text) and widget.description == "Name"])
        == 1
    )


def test_the_time_that_goes_by_is_told(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.gate.clear()
    standin.database.session.notices = (Notice(severity="NOTICE", message=HOSTILE, skipped=False),)
    told = threading.Event()
    panel.observe(lambda _: told.set(), "progress")
    confirm(panel)
    assert told.wait(10)
    assert " s; the server said last: 1_" in panel.progress
    assert_inert(panel)
    standin.gate.set()
    assert panel.wait(10)
    assert panel.progress == ""


@pytest.mark.parametrize("kind", [CheckPanel, PreviewPanel, ConfirmPanel])
@pytest.mark.parametrize("name", STATES)
def test_each_step_stands_alone_inert(kind: type[Panel], name: str, standin: Standin) -> None:
    built = seen(kind(standin, **STATES[name]))
    panel = kind(standin, **IDLE)
    panel.update(**STATES[name])
    assert seen(panel) == built
    assert_inert(panel)
    assert part(panel, "target_view").value


def test_a_rollback_by_single_panels_of_one_shared_state(standin: Standin) -> None:
    check = CheckPanel(standin)
    confirming = ConfirmPanel(check)
    assert standin.calls == ["list"]
    part(check, "choice").value = "2_b"
    assert confirming.selected == "2_b"
    preview(confirming)
    assert check.preview_result is confirming.preview_result
    confirm(confirming)
    assert check.wait(10)
    assert check.result.success
    assert "Done" in part(check, "message_view").value


@pytest.mark.parametrize(
    "linked", [mr.panels.link, lambda one, other: traitlets.link((one, "selected"), (other, "selected"))]
)
def test_panels_of_two_shared_states_are_linked_by_traits(standin: Standin, linked: Callable[..., Any]) -> None:
    one, other = CheckPanel(standin), RollbackPanel(standin)
    linked(one, other)
    part(one, "choice").value = "2_b"
    assert (other.selected, part(other, "choice").value) == ("2_b", "2_b")
    preview(other, "1_a")
    assert one.selected == "1_a"
    assert one.check_result is None


def test_linked_panels_show_one_state_and_run_one_thing_at_a_time(standin: Standin) -> None:
    one, other = RollbackPanel(standin), RollbackPanel(standin)
    mr.panels.link(one, other)
    preview(one)
    assert other.preview_result is one.preview_result
    standin.gate.clear()
    confirm(other)
    assert one.busy == other.busy
    part(one, "check_button").click()
    assert part(one, "rollback_button").disabled
    standin.gate.set()
    assert other.wait(10)
    assert one.result is other.result is not None
    assert len(standin.rollbacks()) == 1


def test_panels_of_two_databases_are_not_linked(standin: Standin) -> None:
    elsewhere = Standin()
    elsewhere.target = replace(TARGET, host="other.example")
    with pytest.raises(mr.UsageError, match=r"other\.example"):
        mr.panels.link(CheckPanel(standin), CheckPanel(elsewhere))


def test_a_long_list_is_filtered(standin: Standin) -> None:
    standin.rows = [row(f"{number:05}_m") for number in range(5_000)] + [row("old_one", reason="it is stuck")]
    panel = RollbackPanel(standin, selected="04999_m")
    assert len(part(panel, "choice").options) == 201
    assert part(panel, "choice").value == "04999_m"
    assert "filter" in part(panel, "empty_view").value
    part(panel, "filter_field").value = "STUCK"
    assert [name for _, name in part(panel, "choice").options] == ["04999_m", "old_one"]
    panel.selected = None
    part(panel, "filter_field").value = "nobody"
    assert "None of the 5,001" in part(panel, "empty_view").value


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("done, restored", "as it was before"),
        ("done, differs", "differs"),
        ("done", "Not verified"),
    ],
)
def test_the_last_step_says_whether_the_schema_is_as_it_was(state: str, words: str, standin: Standin) -> None:
    panel = RollbackPanel(standin, **STATES[state])
    assert words in part(panel, "verify_view").value
    assert "as it was before" not in part(panel, "message_view").value
