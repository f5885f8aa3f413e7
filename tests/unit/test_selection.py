"""What is picked arrives by its name, and what was picked last is what is chosen, whatever crosses it on its way."""

from __future__ import annotations

import re
from typing import Any

import pytest
import traitlets
from panel_parts import part, pick
from panel_states import HOSTILE, Standin, row

from migrollback_nb.panels import RollbackPanel
from migrollback_nb.panels.history_table import HistoryTable
from migrollback_nb.panels.name_list import NameList

ABC = (("A", "a"), ("B", "b"), ("C", "c"))


def told(widget: Any) -> list[dict[str, Any]]:
    """What the page is told from here on, one state for each message."""
    states: list[dict[str, Any]] = []
    widget.comm.publish_msg = lambda kind, data=None, **_: states.append(data["state"]) if kind == "comm_msg" else None
    return states


def test_a_selection_chooses_by_name_wherever_it_stands_by_now() -> None:
    made = NameList(options=ABC)
    made.options = (("C", "c"), ("A", "a"))
    pick(made, "a")
    assert made.value == "a"


def test_a_selection_of_what_is_gone_chooses_nothing_and_is_answered() -> None:
    made = NameList(options=ABC, value="b")
    made.options = ABC[:2]
    states = told(made)
    pick(made, "c", number=7)
    assert made.value == "b"
    assert states == [{"acknowledged": {"a view": 7}}]


def test_the_page_learns_in_one_message_that_its_selection_was_acknowledged_and_what_came_of_it() -> None:
    made = NameList(options=ABC)
    made.observe(lambda _: setattr(made, "value", "c"), "value")  # as when the choice is refused
    states = told(made)
    pick(made, "a")
    assert states == [{"value": "c", "acknowledged": {"a view": 1}}]


def test_a_selection_is_answered_also_when_what_it_sets_off_fails() -> None:
    made = NameList(options=ABC)

    def fail(_: object) -> None:
        raise ZeroDivisionError

    made.observe(fail, "value")
    states = told(made)
    with pytest.raises(ZeroDivisionError):
        made._acknowledge(made, {"selected": "a", "view": "a view", "number": 1}, [])
    assert states == [{"value": "a", "acknowledged": {"a view": 1}}]


def test_a_change_by_the_kernel_says_nothing_of_selections_that_it_has_not_acknowledged() -> None:
    made = NameList(options=ABC)
    pick(made, "a", number=1)
    states = told(made)
    made.value = "b"
    assert states == [{"value": "b"}]


def test_of_many_views_the_last_ones_are_remembered() -> None:
    made = NameList(options=ABC)
    for number in range(40):
        pick(made, "a", view=str(number))
    pick(made, "b", view="39", number=2)
    assert list(made.acknowledged)[-1] == "39"
    assert made.acknowledged["39"] == 2
    assert len(made.acknowledged) == 16


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"selected": 1, "view": "x", "number": 1},
        {"selected": "b"},
        {"selected": "b", "view": "x", "number": "1"},
        "b",
        None,
        1,
    ],
)
def test_what_no_page_of_ours_sends_is_not_acknowledged(content: Any) -> None:
    made = NameList(options=ABC, value="a")
    made._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    assert (made.value, made.acknowledged) == ("a", {})


def test_a_value_is_among_the_options_or_none() -> None:
    made = NameList(options=ABC, value="a")
    with pytest.raises(traitlets.TraitError, match="not among the options: 'd'"):
        made.value = "d"
    assert made.value == "a"
    made.options = ABC[1:]
    assert made.value is None
    made.value = "b"
    made.options = ()
    assert made.value is None


def test_two_options_of_one_name_are_refused() -> None:
    with pytest.raises(traitlets.TraitError, match="same name"):
        NameList(options=(("A", "a"), ("B", "a")))


def test_in_a_panel_what_is_clicked_is_chosen_though_filter_and_list_have_changed() -> None:
    standin = Standin()
    standin.rows = [row("3_c"), row("2_b"), row("1_a")]
    panel = RollbackPanel(standin)
    choice = part(panel, "choice")
    part(panel, "filter_field").value = "_a"
    assert choice.names == ("1_a",)
    pick(choice, "3_c", number=1)  # the page showed all three
    assert panel.selected is None
    part(panel, "filter_field").value = ""
    standin.rows = [row("9_new"), *standin.rows]
    panel.refresh()
    assert panel.wait(10)
    pick(choice, "2_b", number=2)
    assert panel.selected == choice.value == "2_b"


def test_a_selection_that_arrives_while_something_runs_chooses_nothing_and_the_page_is_told() -> None:
    standin = Standin()
    panel = RollbackPanel(standin, selected="2_b", busy="Checking")
    choice = part(panel, "choice")
    states = told(choice)
    pick(choice, "1_a")
    assert panel.selected == "2_b"
    assert states == [{"value": "2_b", "acknowledged": {"a view": 1}}]


def test_a_place_is_not_listened_to() -> None:
    choice = part(RollbackPanel(Standin()), "choice")
    choice._handle_msg(
        {
            "content": {"data": {"method": "update", "state": {"index": 1, "value": "no such"}, "buffer_paths": []}},
            "buffers": [],
        }
    )
    assert choice.value is None


@pytest.mark.parametrize("kind", [NameList, HistoryTable])
def test_the_program_is_local_and_writes_text_only(kind: Any) -> None:
    program = str(kind._esm)
    assert program.count("function selectionOf(") == program.count("export default") == 1
    assert not re.search(
        r"https?://|import\s*\(|fetch\(|innerHTML|insertAdjacentHTML|outerHTML|document\.write|eval\(", program
    )


def test_hostile_words_are_sent_as_they_are_and_are_text() -> None:
    made = NameList(options=((HOSTILE, HOSTILE),))
    pick(made, HOSTILE)
    assert made.value == HOSTILE
    assert made.get_state(("options", "value")) == {"options": ((HOSTILE, HOSTILE),), "value": HOSTILE}
