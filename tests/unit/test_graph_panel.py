"""GraphPanel: what is drawn follows from the state, a choice goes both ways, much is drawn only when it is asked
for, nothing hostile gets through."""

from __future__ import annotations

import itertools
import json
import re
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from panel_parts import part, pick, tour, walk

from migrollback_nb import panels
from migrollback_nb.core import errors
from migrollback_nb.core.results import Target
from migrollback_nb.display import graphs
from migrollback_nb.panels import CheckPanel, GraphPanel

HOSTILE = "1_</pre><script>alert(1)</script><img src=x onerror=\"alert('2')\">\u202e\x1b[31m&amp;"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
TARGET = Target(host="db.example", port=5432, database="shop", user="dba", server_version="18.6", schema="public")


class Standin:
    """As much of a `Migrations` as the panel uses."""

    def __init__(self, statuses: dict[str, str], edges: list[tuple[str, str]]) -> None:
        self.target = TARGET
        self.statuses = statuses
        self.edges = edges
        self.database = SimpleNamespace(
            connection=SimpleNamespace(closed=False),
            session=SimpleNamespace(notices=()),
            queries=SimpleNamespace(
                registered=self._history,
                dependencies=self._dependencies,
                list_rollbackable=self._list,
                unfinished=tuple,
            ),
        )

    def look_up_target(self) -> Target:
        return self.target

    def _history(self) -> list[dict[str, Any]]:
        return [{"migration_name": name, "status": status} for name, status in reversed(self.statuses.items())]

    def _dependencies(self) -> list[dict[str, Any]]:
        return [{"migration_name": dependent, "depends_on": base} for dependent, base in self.edges]

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
    root = ET.fromstring(panel.drawing.svg)
    ids = {group.get("id") for group in root.iter("{http://www.w3.org/2000/svg}g") if group.get("class") == "node"}
    assert ids == set(panel.drawing.words)
    return {words.rsplit(", ", 1)[0] for words in panel.drawing.words.values()}


def node_of(panel: GraphPanel, name: str) -> str:
    return next(node for node, words in panel.drawing.words.items() if words.startswith(f"{name}, "))


def test_it_draws_all_of_a_few_with_their_status_in_words() -> None:
    panel = GraphPanel(SMALL)
    assert set(panel.drawing.words.values()) == {"1_a, applied", "2_b, applied", "3_c, rolled back", "4_d, failed"}
    assert drawn(panel) == set(SMALL.statuses)


def test_each_node_has_the_words_of_the_migration_that_is_drawn_there() -> None:
    panel = GraphPanel(SMALL)
    root = ET.fromstring(panel.drawing.svg)
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        if group.get("class") == "node":
            texts = [text.text for text in group.iter("{http://www.w3.org/2000/svg}text")]
            assert ", ".join(texts) == panel.drawing.words[group.get("id")]


def test_a_click_chooses_and_a_choice_is_marked() -> None:
    panel = GraphPanel(SMALL)
    pick(panel.drawing, node_of(panel, "2_b"))
    assert panel.selected == "2_b"
    panel.selected = "4_d"
    assert panel.drawing.chosen == node_of(panel, "4_d")
    panel.selected = None
    assert panel.drawing.chosen == ""


def test_a_click_into_an_older_drawing_never_chooses_another_migration() -> None:
    panel = GraphPanel(chain(300), selected="00150_m", depth=1)
    there, gone = node_of(panel, "00151_m"), node_of(panel, "00149_m")
    panel.update(selected="00152_m")  # another part is drawn, and the page does not know it yet
    pick(panel.drawing, gone)
    assert panel.selected == "00152_m"
    pick(panel.drawing, there)
    assert panel.selected == "00151_m"


@pytest.mark.parametrize("sent", ["node99", "", "n0", "2_b", HOSTILE])
def test_a_node_that_does_not_exist_chooses_nothing(sent: str) -> None:
    panel = GraphPanel(SMALL, selected="1_a")
    pick(panel.drawing, sent)
    assert panel.selected == "1_a"


def test_choosing_a_node_chooses_it_in_every_panel_of_the_shared_state() -> None:
    panel = GraphPanel(SMALL)
    check = CheckPanel(panel)
    pick(panel.drawing, node_of(panel, "2_b"))
    assert check.selected == "2_b"
    part(check, "choice").value = "1_a"
    assert panel.drawing.chosen == node_of(panel, "1_a")


def test_while_something_runs_nothing_is_chosen() -> None:
    panel = GraphPanel(SMALL, selected="1_a", busy="Rolling back 1_a")
    assert panel.drawing.locked
    pick(panel.drawing, node_of(panel, "2_b"))
    assert panel.selected == "1_a"
    assert panel.drawing.chosen == node_of(panel, "1_a")


@pytest.mark.parametrize(
    ("direction", "depth", "expected"),
    [
        ("both", 1, {"1_a", "2_b", "3_c", "4_d"}),
        ("dependents", 1, {"2_b", "3_c", "4_d"}),
        ("dependencies", 1, {"2_b", "1_a"}),
        ("dependencies", 5, {"2_b", "1_a"}),
    ],
)
def test_the_neighbourhood_has_a_depth_and_a_direction(direction: str, depth: int, expected: set[str]) -> None:
    assert drawn(GraphPanel(SMALL, selected="2_b", direction=direction, depth=depth)) == expected


def test_depth_reaches_as_far_as_it_says() -> None:
    panel = GraphPanel(chain(300), selected="00150_m", depth=3)
    assert drawn(panel) == {f"{number:05}_m" for number in range(147, 154)}
    panel.depth_field.value = 1
    assert len(drawn(panel)) == 3


def test_what_is_rolled_back_can_be_hidden() -> None:
    panel = GraphPanel(SMALL, hide_rolled_back=True)
    assert drawn(panel) == {"1_a", "2_b", "4_d"}
    panel.hide_box.value = False
    assert "3_c" in drawn(panel)


def test_a_search_marks_and_lists_what_it_finds() -> None:
    panel = GraphPanel(SMALL)
    panel.search_field.value = "B"
    assert panel.drawing.found == [node_of(panel, "2_b")]
    assert [label for label, _ in panel.found_field.options] == ["1 found", "2_b"]
    panel.found_field.value = "2_b"
    assert panel.selected == "2_b"
    panel.search_field.value = "nothing of that name"
    assert panel.drawing.found == []
    assert panel.found_field.disabled


def test_a_search_finds_also_what_is_not_drawn() -> None:
    panel = GraphPanel(chain(1_000))
    panel.search_field.value = "00007"
    panel.found_field.value = "00007_m"
    assert panel.drawing.chosen == ""
    assert "not in this part" in panel.note_view.value
    panel.scope_field.value = "neighbourhood"
    assert drawn(panel) == {"00005_m", "00006_m", "00007_m", "00008_m", "00009_m"}


def test_of_5_000_the_latest_100_are_shown_and_all_only_after_a_warning() -> None:
    panel = GraphPanel(chain(5_000))
    assert drawn(panel) == {f"{number:05}_m" for number in range(4_900, 5_000)}
    assert panel.draw_all_button.layout.display == "none"
    panel.scope_field.value = "all"
    assert panel.drawing.svg == ""
    assert "5,000 migrations are many" in panel.note_view.value
    assert not panel.draw_all_button.disabled


def test_much_is_drawn_off_the_main_thread_and_a_later_wish_makes_it_void() -> None:
    panel = GraphPanel(chain(450), scope="all")
    panel.draw_all_button.click()
    assert "Drawing 450" in panel.note_view.value
    panel.scope_field.value = "latest"
    panel._drawer.join(60)
    assert len(drawn(panel)) == 100
    panel.scope_field.value = "all"
    panel.draw_all_button.click()
    panel._drawer.join(60)
    assert len(drawn(panel)) == 450
    pick(panel.drawing, node_of(panel, "00003_m"))
    assert panel.selected == "00003_m"
    assert len(drawn(panel)) == 450


def test_without_dot_it_is_a_table_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "find_dot", lambda: None)
    panel = GraphPanel(SMALL, selected="2_b", scope="all")
    assert panel.drawing.svg == ""
    assert "dot is not installed" in panel.note_view.value
    assert "<td" in panel.table_view.value
    assert "4_d" in panel.table_view.value
    panel.search_field.value = "1_a"
    panel.found_field.value = "1_a"
    assert panel.selected == "1_a"


def test_without_any_migration_it_says_so() -> None:
    panel = GraphPanel(Standin({}, []))
    assert "No migration" in panel.note_view.value
    assert panel.error is None


def test_an_error_is_shown() -> None:
    broken = chain(1)

    def fail() -> None:
        raise errors.NotInstalled("The rollback system is not installed")

    broken.database.queries.registered = fail
    panel = GraphPanel(broken)
    assert "not installed" in part(panel, "message_view").value
    del broken.database.queries.registered
    broken.database.queries.registered = broken._history
    part(panel, "redraw_button").click()
    assert panel.wait(10)
    assert drawn(panel) == {"00000_m"}


STATES: dict[str, dict[str, Any]] = {
    "nothing": {"history": (), "dependencies": (), "selected": None, "busy": ""},
    "all": {
        "history": tuple(SMALL._history()),
        "dependencies": tuple(SMALL._dependencies()),
        "selected": None,
        "busy": "",
    },
    "chosen": {
        "history": tuple(SMALL._history()),
        "dependencies": tuple(SMALL._dependencies()),
        "selected": "2_b",
        "busy": "",
    },
    "chosen, gone": {
        "history": tuple(SMALL._history()),
        "dependencies": tuple(SMALL._dependencies()),
        "selected": "9_z",
        "busy": "",
    },
    "busy": {"history": tuple(SMALL._history()), "dependencies": (), "selected": "1_a", "busy": "Checking"},
    "hostile": {
        "history": ({"migration_name": HOSTILE, "status": HOSTILE}, {"migration_name": "1_a", "status": "applied"}),
        "dependencies": ({"migration_name": HOSTILE, "depends_on": "1_a"},),
        "selected": HOSTILE,
        "busy": "",
    },
}


def shown(panel: GraphPanel) -> Any:
    drawing = panel.drawing
    return (
        drawing.svg,
        drawing.words,
        drawing.chosen,
        drawing.found,
        drawing.locked,
        drawing.layout.display,
        panel.note_view.value,
        panel.table_view.value,
        panel.draw_all_button.disabled,
        panel.depth_field.disabled,
        panel.found_field.disabled,
    )


@pytest.mark.parametrize("scope", ["latest", "neighbourhood"])
def test_from_any_state_to_any_other_equals_building_it(scope: str) -> None:
    built = {name: shown(GraphPanel(SMALL, scope=scope, **state)) for name, state in STATES.items()}
    panel = GraphPanel(SMALL, scope=scope, **STATES["nothing"])
    before = "nothing"
    for after in tour(list(STATES)):
        panel.update(**STATES[after])
        assert shown(panel) == built[after], f"{before} -> {after}"
        before = after


@pytest.mark.parametrize("dot", [True, False])
def test_a_hostile_name_is_inert(dot: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not dot:
        monkeypatch.setattr(graphs, "find_dot", lambda: None)
    panel = GraphPanel(SMALL, scope="all", **STATES["hostile"])
    panel.search_field.value = "script"
    sent = json.dumps(
        [
            panel.drawing.svg,
            panel.drawing.words,
            panel.note_view.value,
            panel.table_view.value,
            [label for label, _ in panel.found_field.options],
        ],
        ensure_ascii=False,
    )
    assert not UNSAFE.search(sent)
    for text in (panel.drawing.svg, panel.note_view.value, panel.table_view.value):
        assert not re.search("<script|<img|<foreignObject|<b onclick", text)
    if dot:
        root = ET.fromstring(panel.drawing.svg)
        assert {element.tag.rsplit("}")[-1] for element in root.iter()} <= {
            "svg",
            "g",
            "a",
            "title",
            "text",
            "path",
            "polygon",
            "polyline",
            "ellipse",
        }
        names = {name for element in root.iter() for name in element.attrib}
        assert not [name for name in names if name.startswith("on") or name.endswith("href")]


def test_the_assets_are_local_and_ask_for_nothing() -> None:
    drawing = panels.GraphDrawing()
    for asset in (drawing._esm, drawing._css):
        assert len(str(asset)) > 500
        assert not re.search(r"https?://(?!www\.w3\.org/)|import\s*\(|@import|fetch\(|\burl\(", str(asset))


def test_every_control_has_a_name() -> None:
    for widget in walk(GraphPanel(SMALL)):
        if (
            hasattr(widget, "disabled")
            and hasattr(widget, "description")
            and not type(widget).__name__.startswith("HTML")
        ):
            assert widget.description
