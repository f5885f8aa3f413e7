"""The rollback panel step by step, on a stand-in for the database:
what is asked, what is refused, what is shown when something goes wrong."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from panel_parts import confirm, part, preview
from panel_states import STATES, TARGET, UNSAFE, Standin

import migrollback_nb as mr
from migrollback_nb.core.results import CheckResult
from migrollback_nb.panels import RollbackPanel


def test_nothing_is_chosen_at_first(panel: RollbackPanel, standin: Standin) -> None:
    assert panel.selected is None
    assert part(panel, "choice").value is None
    assert standin.calls == ["list"]


def test_what_was_previewed_is_what_is_asked_for(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    looked_at = panel.preview_result
    confirm(panel)
    assert panel.wait(10)
    assert standin.rollbacks() == [
        (
            "rollback",
            "2_b",
            {"confirm": "2_b", "reason": "because", "preview": looked_at, "accept_loss": False, "chain": False},
        )
    ]
    assert panel.result.success
    assert (panel.preview_result, panel.typed, panel.reason, panel.error, panel.busy) == (None, "", "", None, "")


@pytest.mark.parametrize("typed", ["", "2_B", "2_b ", " 2_b", "2_b.sql", "1_a"])
def test_the_name_has_to_be_exact(panel: RollbackPanel, standin: Standin, typed: str) -> None:
    preview(panel)
    part(panel, "reason_field").value = "because"
    part(panel, "name_field").value = typed
    assert part(panel, "rollback_button").disabled
    assert "exactly" in part(panel, "missing_view").value
    part(panel, "rollback_button").click()
    assert panel.wait(10)
    assert standin.rollbacks() == []
    assert isinstance(panel.error, mr.UsageError)


@pytest.mark.parametrize("reason", ["", "  ", "\n\t"])
def test_a_reason_has_to_be_given(panel: RollbackPanel, reason: str) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "reason_field").value = reason
    assert part(panel, "rollback_button").disabled
    assert "reason" in part(panel, "missing_view").value


def test_another_choice_forgets_preview_name_and_chain(panel: RollbackPanel) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "reason_field").value = "because"
    part(panel, "chain_box").value = True
    assert (panel.preview_result, panel.typed) == (None, "")
    preview(panel)
    part(panel, "choice").value = "1_a"
    assert (panel.preview_result, panel.typed, panel.chain, panel.reason) == (None, "", False, "because")
    assert part(panel, "rollback_button").disabled


def test_a_new_preview_wants_the_name_again(panel: RollbackPanel) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert panel.typed == part(panel, "name_field").value == ""


def test_a_chain_is_previewed_and_asked_for_as_one(panel: RollbackPanel, standin: Standin) -> None:
    part(panel, "choice").value = "1_a"
    part(panel, "chain_box").value = True
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert "2_b" in part(panel, "sql_view").value
    confirm(panel)
    assert panel.wait(10)
    assert standin.rollbacks()[0][2]["chain"] is True


def test_a_double_click_runs_it_once(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.gate.clear()
    confirm(panel)
    part(panel, "rollback_button").click()
    standin.gate.set()
    assert panel.wait(10)
    part(panel, "rollback_button").click()
    assert panel.wait(10)
    assert len(standin.rollbacks()) == 1


def test_what_arrives_while_it_runs_changes_nothing(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.gate.clear()
    confirm(panel)
    part(panel, "choice").value = "1_a"
    part(panel, "chain_box").value = True
    part(panel, "name_field").value = "1_a"
    assert (panel.selected, panel.chain, panel.typed) == ("2_b", False, "2_b")
    assert (part(panel, "choice").value, part(panel, "chain_box").value, part(panel, "name_field").value) == (
        "2_b",
        False,
        "2_b",
    )
    standin.gate.set()
    assert panel.wait(10)
    assert standin.rollbacks()[0][1] == "2_b"


def test_wait_says_whether_it_has_ended(panel: RollbackPanel, standin: Standin) -> None:
    assert panel.wait(0)
    preview(panel)
    standin.gate.clear()
    confirm(panel)
    assert not panel.wait(0.05)
    part(panel, "cancel_button").click()
    assert standin.cancelled == 1
    assert panel.wait(10)


def test_cancel_does_nothing_when_nothing_runs(panel: RollbackPanel, standin: Standin) -> None:
    part(panel, "cancel_button").click()
    assert standin.cancelled == 0
    assert panel.busy == ""


def test_a_cancel_that_cannot_be_sent_is_shown(panel: RollbackPanel, standin: Standin) -> None:
    def refuse() -> None:
        raise OSError("no route to host")

    preview(panel)
    standin.gate.clear()
    confirm(panel)
    standin.database.session.cancel = refuse
    part(panel, "cancel_button").click()
    assert "no route to host" in part(panel, "message_view").value
    assert panel.busy == "Rolling back 2_b"


@pytest.mark.parametrize(
    "error",
    [mr.Refused("no"), mr.LockBusy("wait"), mr.NotInstalled("none"), RuntimeError("bug"), KeyboardInterrupt("stop")],
)
@pytest.mark.parametrize("button", ["refresh_button", "check_button", "preview_button", "rollback_button"])
def test_whatever_goes_wrong_is_shown(
    panel: RollbackPanel, standin: Standin, button: str, error: BaseException
) -> None:
    preview(panel)
    part(panel, "name_field").value = "2_b"
    part(panel, "reason_field").value = "because"
    standin.fail = error
    part(panel, button).click()
    assert panel.wait(10)
    assert panel.error is error
    assert str(error) in part(panel, "message_view").value
    assert panel.busy == ""
    if button == "rollback_button":
        assert (panel.preview_result, panel.typed, panel.reason) == (None, "", "because")
        assert part(panel, "rehearse_button").button_style == "primary"


@pytest.mark.parametrize("button", ["check_button", "preview_button", "rollback_button"])
def test_a_click_without_a_choice_is_answered(panel: RollbackPanel, button: str) -> None:
    part(panel, button).click()
    assert panel.wait(10)
    assert "Choose a migration" in part(panel, "message_view").value


def test_a_list_that_cannot_be_read_at_first_is_shown_and_can_be_tried_again(standin: Standin) -> None:
    standin.fail = mr.NotInstalled("The rollback system is not installed", hint="Run migrollback install.")
    panel = RollbackPanel(standin)
    assert "not installed" in part(panel, "message_view").value
    part(panel, "refresh_button").click()
    assert panel.wait(10)
    assert panel.error is None
    assert len(part(panel, "choice").options) == 2


def test_how_a_rollback_ended_is_shown_although_the_list_cannot_be_read_then(
    panel: RollbackPanel, standin: Standin
) -> None:
    preview(panel)

    def gone(**_: bool) -> None:
        raise mr.NotInstalled("The rollback system is not installed")

    standin.list_rows = gone
    confirm(panel)
    assert panel.wait(10)
    assert "Done" in part(panel, "message_view").value
    assert "not installed" in part(panel, "message_view").value


def test_a_lost_connection_is_opened_again(panel: RollbackPanel, standin: Standin) -> None:
    standin.database.connection.closed = True
    preview(panel)
    assert "reconnect" in standin.calls

    def lose(name: str) -> CheckResult:
        del standin.check
        standin.database.connection.closed = True
        raise mr.ConnectionFailed("The connection to the database was lost")

    standin.check = lose
    part(panel, "check_button").click()
    assert panel.wait(10)
    assert panel.error is None
    assert panel.check_result is not None


def test_a_connection_that_leads_elsewhere_is_refused(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.database.connection.closed = True
    standin.target = replace(TARGET, host="other.example")
    confirm(panel)
    assert panel.wait(10)
    assert isinstance(panel.error, mr.Refused)
    assert standin.rollbacks() == []
    assert "other.example" in part(panel, "target_view").value


def test_a_migration_that_is_gone_is_no_longer_chosen(panel: RollbackPanel, standin: Standin) -> None:
    preview(panel)
    standin.rows = standin.rows[1:]
    part(panel, "refresh_button").click()
    assert panel.wait(10)
    assert (panel.selected, panel.preview_result) == (None, None)


def test_an_unknown_state_is_an_error(panel: RollbackPanel) -> None:
    with pytest.raises(TypeError, match="selectd"):
        panel.update(selectd="2_b")


@pytest.mark.parametrize("name", STATES)
def test_what_is_left_where_no_widget_runs_is_short_and_safe(name: str, standin: Standin) -> None:
    bundle = RollbackPanel(standin, **STATES[name])._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert len(bundle["text/plain"]) <= 111  # where ipywidgets cuts it
    assert "\n" not in bundle["text/plain"]
    assert not UNSAFE.search(bundle["text/plain"])


def test_the_panel_holds_no_sql() -> None:
    import inspect

    from migrollback_nb.panels import graph_panel, history_panel, panel, pieces, rollback_panel, state

    source = "".join(
        inspect.getsource(module) for module in (state, graph_panel, history_panel, panel, rollback_panel, pieces)
    )
    assert not re.search(r"\b(SELECT|UPDATE|INSERT|DELETE)\b|psycopg", source)
