"""GraphPanel: what is drawn follows from the state, a choice goes both ways, no edge is cut silently, nothing hostile
gets through. What the page reckons is tried in tests/browser/test_graph_drawing.py."""

from __future__ import annotations

import itertools
import json
import re
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from panel_parts import part, pick, tour

from migrollback_nb import panels
from migrollback_nb.core import errors
from migrollback_nb.core.results import Target
from migrollback_nb.core.selectors import Facts
from migrollback_nb.database.graph_queries import GraphRows
from migrollback_nb.display import dot
from migrollback_nb.display.graph.facts import GraphFacts, node_id
from migrollback_nb.operations.graph_facts import graph_facts
from migrollback_nb.panels import CheckPanel, GraphPanel
from migrollback_nb.panels.selector_line import SelectorLine

HOSTILE = "1_</pre><script>alert(1)</script><img src=x onerror=\"alert('2')\">\u202e\x1b[31m&amp;"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
TARGET = Target(host="db.example", port=5432, database="shop", user="dba", server_version="18.6", schema="public")


class Standin:
    """As much of a `Migrations` as the panel uses."""

    def __init__(self, statuses: dict[str, str], edges: list[tuple[str, str]]) -> None:
        self.target = TARGET
        self.statuses = statuses
        self.edges = edges
        self.unsearched = 0
        self.database = SimpleNamespace(
            connection=SimpleNamespace(closed=False, info=SimpleNamespace(parameter_status={}.get)),
            session=SimpleNamespace(notices=()),
            queries=SimpleNamespace(
                effective_search_path=lambda: "public",
                unfinished=tuple,
                failed=tuple,
            ),
            graph=SimpleNamespace(rows=self._rows, step_effects=lambda *_: ()),
        )

    def look_up_target(self) -> Target:
        return self.target

    def list_rows(self, **_: Any) -> Any:
        return self._list()

    def selector_facts(self) -> Facts:
        return Facts(names=tuple(self.statuses), tables=("public.users",))

    def _rows(self, **_: Any) -> GraphRows:
        return GraphRows(
            migrations=[
                {
                    "migration_name": name,
                    "status": status,
                    "applied_at": None,
                    "applied_by": "dba",
                    "deploy_id": None,
                    "bare": False,
                    "not_looked": place < self.unsearched,
                }
                for place, (name, status) in enumerate(self.statuses.items())
            ],
            dependencies=[
                {"migration_name": dependent, "depends_on": base, "source": "declared", "because": None}
                for dependent, base in self.edges
            ],
        )

    def facts(self) -> GraphFacts:
        return graph_facts(self.database, edges="recorded")

    def _list(self) -> list[dict[str, Any]]:
        return [
            {"migration_name": name, "can_rollback": True, "blocking_reason": None}
            for name, status in self.statuses.items()
            if status != "rolled_back"
        ]


def chain(count: int) -> Standin:
    names = [f"{number:05}_m" for number in range(count)]
    return Standin(dict.fromkeys(names, "applied"), [(after, before) for before, after in itertools.pairwise(names)])


SMALL = Standin(
    {"1_a": "applied", "2_b": "applied", "3_c": "rolled_back", "4_d": "failed"},
    [("2_b", "1_a"), ("3_c", "2_b"), ("4_d", "2_b")],
)


def drawn(panel: GraphPanel) -> set[str]:
    """Names of what the page shows, read from the drawing itself."""
    if not panel.drawing.svg:
        return set()
    names = dict(zip(panel.drawing.facts["ids"], panel.drawing.facts["names"], strict=True))
    root = ET.fromstring(panel.drawing.svg)
    return {
        names[str(group.get("id"))]
        for group in root.iter("{http://www.w3.org/2000/svg}g")
        if "node" in str(group.get("class")).split() and group.get("id") in names
    }


def test_a_few_are_a_graph_with_their_status_in_words() -> None:
    panel = GraphPanel(SMALL)
    assert panel.drawing.view == "graph"
    assert drawn(panel) == set(SMALL.statuses)
    facts = panel.drawing.facts
    assert dict(zip(facts["names"], facts["words"], strict=True)) == {
        "1_a": "applied",
        "2_b": "applied",
        "3_c": "rolled back",
        "4_d": "failed",
    }
    assert facts["status"] == [0, 0, 1, 2]


def test_verdicts_are_a_sign_and_a_word() -> None:
    panel = GraphPanel(SMALL)
    assert panel.drawing.verdicts == ["! can be rolled back", "! can be rolled back", "", "! can be rolled back"]


def test_a_click_chooses_and_a_choice_is_marked() -> None:
    panel = GraphPanel(SMALL)
    pick(panel.drawing, node_id("2_b"))
    assert panel.selected == "2_b"
    panel.selected = "4_d"
    assert panel.drawing.chosen == node_id("4_d")
    panel.selected = None
    assert panel.drawing.chosen == ""


@pytest.mark.parametrize("sent", ["node99", "", "n0", "2_b", HOSTILE])
def test_a_node_that_does_not_exist_chooses_nothing(sent: str) -> None:
    panel = GraphPanel(SMALL, selected="1_a")
    pick(panel.drawing, sent)
    assert panel.selected == "1_a"


def test_choosing_a_node_chooses_it_in_every_panel_of_the_shared_state() -> None:
    panel = GraphPanel(SMALL)
    check = CheckPanel(panel)
    pick(panel.drawing, node_id("2_b"))
    assert check.selected == "2_b"
    part(check, "choice").value = "1_a"
    assert panel.drawing.chosen == node_id("1_a")


def test_while_something_runs_nothing_is_chosen() -> None:
    panel = GraphPanel(SMALL, selected="1_a", busy="Rolling back 1_a")
    assert panel.drawing.locked
    pick(panel.drawing, node_id("2_b"))
    assert panel.selected == "1_a"
    assert panel.drawing.chosen == node_id("1_a")


def test_a_choice_draws_nothing_anew_while_it_is_in_the_picture() -> None:
    panel = GraphPanel(chain(300))
    assert panel.drawing.view == "lanes"
    before = panel.drawing.svg
    pick(panel.drawing, node_id("00150_m"))
    assert panel.drawing.svg is before
    panel.drawing.view = "plan"
    plan = panel.drawing.svg
    assert len(drawn(panel)) == 150
    pick(panel.drawing, node_id("00200_m"))
    assert panel.drawing.svg is plan
    assert panel.drawing.around == node_id("00150_m")
    panel.selected = "00100_m"  # elsewhere, and not in this plan
    assert len(drawn(panel)) == 200
    assert panel.drawing.around == node_id("00100_m")


def test_all_of_5_000_are_in_the_first_picture_and_what_a_graph_leaves_out_is_said() -> None:
    panel = GraphPanel(chain(5_000))
    assert len(drawn(panel)) == 5_000
    panel.drawing.view = "graph"
    assert 0 < len(drawn(panel)) <= 150
    assert re.search("edges? leads? outside", panel.drawing.svg)
    assert "+1 older" in panel.drawing.svg


def test_without_dot_the_graph_is_a_table_and_says_so_and_lanes_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dot, "find_dot", lambda: None)
    panel = GraphPanel(SMALL, selected="2_b")
    assert panel.drawing.svg == ""
    assert "no dot" in panel.note_view.value
    assert "<td" in panel.table_view.value
    assert "4_d" in panel.table_view.value
    panel.drawing.view = "lanes"
    assert drawn(panel) == set(SMALL.statuses)
    assert panel.table_view.value == ""


def test_without_any_migration_it_says_so() -> None:
    panel = GraphPanel(Standin({}, []))
    assert "No migration" in panel.note_view.value
    assert panel.error is None


def test_where_nobody_looked_it_says_so() -> None:
    shop = Standin({"1_a": "applied", "2_b": "applied"}, [])
    shop.unsearched = 2
    panel = GraphPanel(shop)
    assert "Not inferred yet" in panel.note_view.value
    assert panel.look_button.layout.display is None
    shop.unsearched = 0
    panel.refresh()
    assert panel.wait(10)
    assert panel.look_button.layout.display == "none"


def test_a_choice_that_is_not_registered_is_said() -> None:
    panel = GraphPanel(SMALL)
    panel.selected = "9_z"
    assert "9_z</b>, which is not registered" in panel.note_view.value
    assert panel.drawing.chosen == ""


def test_an_error_is_shown() -> None:
    broken = chain(1)

    def fail(**_: Any) -> None:
        raise errors.NotInstalled("The rollback system is not installed")

    broken.database.graph.rows = fail
    panel = GraphPanel(broken)
    assert "not installed" in part(panel, "message_view").value
    broken.database.graph.rows = broken._rows
    part(panel, "refresh_button").click()
    assert panel.wait(10)
    assert drawn(panel) == {"00000_m"}


STATES: dict[str, dict[str, Any]] = {
    "nothing": {"graph": None, "selected": None, "busy": ""},
    "all": {"graph": SMALL.facts(), "selected": None, "busy": ""},
    "chosen": {"graph": SMALL.facts(), "selected": "2_b", "busy": ""},
    "hostile": {
        "graph": Standin({"1_a": "applied", HOSTILE: "applied"}, [(HOSTILE, "1_a")]).facts(),
        "selected": HOSTILE,
        "busy": "",
    },
}


def shown(panel: GraphPanel) -> Any:
    drawing = panel.drawing
    return (
        drawing.svg,
        drawing.facts,
        drawing.chosen,
        drawing.locked,
        drawing.view,
        panel.note_view.value,
        panel.table_view.value,
        panel.look_button.layout.display,
        panel.selector.disabled,
    )


@pytest.mark.parametrize("view", ["graph", "lanes"])
def test_from_any_state_to_any_other_equals_building_it(view: str) -> None:
    built = {name: shown(GraphPanel(SMALL, view=view, **state)) for name, state in STATES.items()}
    panel = GraphPanel(SMALL, view=view, **STATES["nothing"])
    before = "nothing"
    for after in tour(list(STATES)):
        panel.update(**STATES[after])
        assert shown(panel) == built[after], f"{before} -> {after}"
        before = after


@pytest.mark.parametrize("view", ["plan", "graph", "lanes", "tables"])
@pytest.mark.parametrize("has_dot", [True, False])
def test_a_hostile_name_is_inert(has_dot: bool, view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_dot:
        monkeypatch.setattr(dot, "find_dot", lambda: None)
    panel = GraphPanel(SMALL, view=view, **STATES["hostile"])
    panel.selector._asked(None, {"complete": "1", "number": 1}, [])
    sent = json.dumps(
        [
            panel.drawing.svg,
            panel.drawing.facts,
            panel.note_view.value,
            panel.table_view.value,
            panel.selector.options,
        ],
        ensure_ascii=False,
    )
    assert not UNSAFE.search(sent)
    for text in (panel.drawing.svg, panel.note_view.value, panel.table_view.value):
        assert not re.search("<script|<img|<foreignObject|<b onclick", text)
    if panel.drawing.svg:
        names = {name for element in ET.fromstring(panel.drawing.svg).iter() for name in element.attrib}
        assert not [name for name in names if name.startswith("on") or name.endswith("href")]


def test_the_line_completes_names() -> None:
    panel = GraphPanel(SMALL)
    panel.selector._asked(None, {"complete": "4_d 2_", "number": 7}, [])
    assert panel.selector.options == (("4_d 2_b", ""),)
    assert panel.selector.answered == 7
    panel.selector._asked(None, {"complete": "table:us", "number": 8}, [])
    assert panel.selector.options == (("table:public.users", ""),)
    panel.selector._asked(None, {"complete": "4_d", "number": 9}, [])
    assert panel.selector.options[0] == ("4_d+", "with what depends on it")


@pytest.mark.parametrize("widget", [panels.GraphDrawing(), SelectorLine()])
def test_the_assets_are_local_and_ask_for_nothing(widget: Any) -> None:
    for asset in (widget._esm, widget._css):
        assert len(str(asset)) > 500
        assert not re.search(r"https?://(?!www\.w3\.org/)|import\s*\(|@import|fetch\(", str(asset))
        assert not re.search(r"\burl\((?!\\s)", str(asset))
