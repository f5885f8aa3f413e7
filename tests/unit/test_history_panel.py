"""HistoryPanel: one search, one list, filters, order, and what is chosen: one, several or a deploy."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from panel_parts import part, pick, tour, walk

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import Target
from migrollback_nb.display.graph.facts import GraphFacts
from migrollback_nb.panels import CheckPanel, HistoryPanel
from migrollback_nb.panels.history_rows import HistoryRows

NOW = datetime.now(UTC)
HOSTILE = "0_<script>alert(1)</script>\u202e\x1b[31m"
FIRST, SECOND = "11111111-0624-c735-27f9-cd901172c966", "22222222-0624-c735-27f9-cd901172c966"


def entry(name: str, status: str, days: float, **more: Any) -> dict[str, Any]:
    rolled_back = NOW - timedelta(days=days - 0.5) if status == "rolled_back" else None
    return {
        "migration_name": name,
        "status": status,
        "applied_at": NOW - timedelta(days=days),
        "applied_by": "ann",
        "rollback_at": rolled_back,
        "rollback_by": None,
        "notes": None,
        "description": None,
        "rollback_count": int(status == "rolled_back"),
        "deploy_id": None,
        "proven": "never",
    } | more


HISTORY = (
    entry("4_d", "applied", 1, notes="for the Tags", deploy_id=SECOND),
    entry("3_c", "rolled_back", 10, rollback_by="bob", deploy_id=SECOND),
    entry("2_b", "failed", 20, deploy_id=FIRST, description="splits names"),
    entry("1_a", "applied", 30),
)
MIGRATIONS = (
    {"migration_name": "4_d", "can_rollback": True, "blocking_reason": None, "verdict": "loses"},
    {
        "migration_name": "2_b",
        "can_rollback": False,
        "blocking_reason": "Its rollback failed",
        "verdict": "blocked",
        "headline": "Blocked: its rollback failed",
        "dependent_migrations": ["4_d"],
    },
    {"migration_name": "1_a", "can_rollback": True, "blocking_reason": None, "verdict": "ready"},
)
DEPLOYS = tuple(
    {
        "deploy_id": key,
        "label": label,
        "started_at": NOW,
        "actor": "ann",
        "migrations": count,
        "state": "applied",
        "applied": ["1_a"] * count,
    }
    for key, label, count in ((SECOND, "release-2", 2), (FIRST, FIRST, 1))
)
TARGET = Target(host="h", port=1, database="d", user="u", server_version="18.6", schema="public")


def selected(select: str) -> tuple[str, ...]:
    if select == "1_a+":
        return ("1_a", "4_d", "not registered any more")
    raise UsageError(f"{select} is no selector", hint="Write another.")


STANDIN = SimpleNamespace(
    target=TARGET,
    look_up_target=lambda: TARGET,
    database=SimpleNamespace(
        connection=SimpleNamespace(closed=False, info=SimpleNamespace(parameter_status={}.get)),
        session=SimpleNamespace(notices=()),
        queries=SimpleNamespace(unfinished=tuple, failed=tuple),
    ),
    registered_rows=lambda **_: HISTORY,
    list_rows=lambda **_: MIGRATIONS,
    deploy_rows=lambda: DEPLOYS,
    selected=selected,
    selector_facts=lambda: (_ for _ in ()).throw(UsageError("not here")),
)


@pytest.fixture
def panel() -> HistoryPanel:
    return HistoryPanel(STANDIN, lanes=False)


def names(panel: HistoryPanel) -> list[str]:
    """What the list shows, in its order; of a deploy its words."""
    table = panel.table
    return [table.names[one] if one >= 0 else table.deploys[-1 - one]["words"] for one in table.order]


def cells(panel: HistoryPanel, name: str) -> dict[str, str]:
    """What the list says of a migration."""
    number = panel.table.names.index(name)
    return {column: found["words"][found["of"][number]] for column, found in panel.table.cells.items()}


def chip(panel: HistoryPanel, trait: str) -> dict[str, int]:
    options = next(one["options"] for one in panel.table.chips if one["trait"] == trait)
    return {key: count for key, _, _, count in options}


def test_it_opens_with_all_newest_first(panel: HistoryPanel) -> None:
    assert names(panel) == ["4_d", "3_c", "2_b", "1_a"]
    assert "4 migrations" in panel.note_view.value
    assert chip(panel, "status") == {"applied": 2, "rolled_back": 1, "failed": 1}
    assert chip(panel, "verdict") == {"ready": 1, "loses": 1, "blocked": 1}


def test_all_rows_are_listed_however_many() -> None:
    many = tuple(entry(f"{number:06}", "applied", number) for number in range(5_001))
    panel = HistoryPanel(STANDIN, lanes=False, history=many)
    assert len(panel.table.order) == 5_001
    panel.search.typed = "005000"
    assert names(panel) == ["005000"]


def test_what_is_read_again_comes_in_one_message(panel: HistoryPanel) -> None:
    sent: list[set[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        send = type(panel.table).send_state

        def sending(self: Any, key: Any = None) -> None:
            sent.append({key} if isinstance(key, str) else set(key or self.keys))
            send(self, key)

        patch.setattr(type(panel.table), "send_state", sending)
        panel.shared.update(history=HISTORY[1:])
    # a moment without rows would lose the place to which the table is scrolled
    assert [sorted(keys & {"rows", "places"}) for keys in sent if keys & {"rows", "places"}] == [["places", "rows"]]


def test_a_row_says_what_history_knows(panel: HistoryPanel) -> None:
    again = entry("4_d", "applied", 1, rollback_count=3, rollback_at=NOW, deploy_id=SECOND)
    panel.update(history=(again, *HISTORY[1:]))
    assert cells(panel, "4_d") == {
        "name": "4_d",
        "status": "✔ applied",
        "verdict": "! loses data",
        "applied": f"{NOW - timedelta(days=1):%Y-%m-%d %H:%M}",
        "by": "ann",
        "rolled_back": f"{NOW:%Y-%m-%d %H:%M} (3 times)",
        "deploy": "release-2",
    }
    assert cells(panel, "2_b")["deploy"] == "11111111…"
    assert cells(panel, "2_b")["verdict"] == "✘ blocked"
    assert cells(panel, "3_c")["status"] == "• rolled back"
    assert cells(panel, "3_c")["verdict"] == ""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("TAGS", ["4_d"]),
        ("bob", ["3_c"]),
        ("splits", ["2_b"]),
        ("release-2", ["4_d", "3_c"]),
        ("ann 3_", ["3_c"]),
        ("no such", []),
        ("1_a+", ["4_d", "1_a"]),
        ("  ", ["4_d", "3_c", "2_b", "1_a"]),
    ],
)
def test_one_line_searches_words_and_takes_selectors(panel: HistoryPanel, typed: str, expected: list[str]) -> None:
    panel.search.value = typed
    assert names(panel) == expected


def test_a_word_is_searched_while_it_is_typed_and_a_selector_is_completed(panel: HistoryPanel) -> None:
    send = panel.search._handle_msg
    send({"content": {"data": {"method": "custom", "content": {"complete": "4_", "number": 1}}}, "buffers": []})
    assert names(panel) == ["4_d"]
    assert panel.search.value == ""
    assert [words for words, _ in panel._complete("stat")] == ["status:"]
    assert "selectable" not in panel._drawn  # for a plain word nothing is asked of the database
    assert "status:failed" in [line for line, _ in panel._complete("status:")]
    send({"content": {"data": {"method": "custom", "content": {"typed": ""}}}, "buffers": []})
    assert len(names(panel)) == 4


def test_a_selector_that_is_not_understood_is_told_and_hides_nothing(panel: HistoryPanel) -> None:
    panel.search.value = "table:<b>"
    assert "is no selector" in panel.note_view.value
    assert "<b>" not in panel.note_view.value.replace("<b>Not", "")
    assert panel.search.wrong
    assert len(names(panel)) == 4
    panel.search.value = ""
    assert not panel.search.wrong


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("applied", ["1_a", "2_b", "3_c", "4_d"]),
        ("name", ["1_a", "2_b", "3_c", "4_d"]),
        ("status", ["4_d", "1_a", "2_b", "3_c"]),
        ("-rolled_back", ["3_c", "4_d", "2_b", "1_a"]),
        ("verdict", ["1_a", "4_d", "2_b", "3_c"]),
        ("deploy", ["2_b", "4_d", "3_c", "1_a"]),
    ],
)
def test_any_column_sorts_and_what_has_nothing_there_comes_last(
    panel: HistoryPanel, sort: str, expected: list[str]
) -> None:
    panel.table.sort = sort
    assert names(panel) == expected


def test_filters_join_and_their_counts_are_of_what_the_others_leave(panel: HistoryPanel) -> None:
    panel.table.status = "applied"
    assert names(panel) == ["4_d", "1_a"]
    assert chip(panel, "status") == {"applied": 2, "rolled_back": 1, "failed": 1}
    assert chip(panel, "verdict") == {"ready": 1, "loses": 1}
    panel.table.verdict = "loses"
    assert names(panel) == ["4_d"]
    assert "1 of 4" in panel.note_view.value
    panel.search.value = "1_a"
    assert names(panel) == []
    assert panel.table.empty == "No migration is found."
    assert chip(panel, "status")["applied"] == 0  # what is pressed can be released


def test_a_choice_goes_everywhere_and_comes_from_everywhere(panel: HistoryPanel) -> None:
    check = CheckPanel(panel)
    pick(panel.table, '["1_a"]')
    assert check.selected == "1_a"
    part(check, "choice").value = "4_d"
    assert json.loads(panel.table.chosen) == ["4_d"]
    assert "loses data" in "".join(cells(panel, "4_d").values())
    pick(panel.table, '["2_b"]', number=2)
    assert "Blocked: its rollback failed" in panel.detail_view.value
    assert "4_d" in panel.detail_view.value


def test_a_range_and_a_deploy_are_chosen(panel: HistoryPanel) -> None:
    pick(panel.table, '["4_d", "3_c"]')
    assert (panel.selected, panel.several, panel.deploy) == (None, ("4_d", "3_c"), "")
    assert "2 migrations" in panel.detail_view.value
    pick(panel.table, '"release-2"', number=2)
    assert panel.deploy == ""  # its line is not shown
    panel.group_button.value = True
    assert [name.split(" · ")[0] for name in names(panel)] == [
        "Deploy release-2", "4_d", "3_c", "Deploy 11111111…", "2_b", "No deploy is recorded", "1_a",
    ]  # fmt: skip
    pick(panel.table, '"release-2"', number=3)
    assert (panel.selected, panel.several, panel.deploy) == (None, (), "release-2")
    assert json.loads(panel.table.chosen) == "release-2"
    pick(panel.table, '["1_a"]', number=4)
    assert (panel.selected, panel.several, panel.deploy) == ("1_a", (), "")


@pytest.mark.parametrize("choice", ['["9_z"]', '["1_a", "9_z"]', '"release-9"', '""', "[]"])
def test_what_is_not_there_is_not_chosen(panel: HistoryPanel, choice: str) -> None:
    panel.selected = "1_a"
    pick(panel.table, choice)
    assert panel.selected == "1_a"
    assert json.loads(panel.table.chosen) == ["1_a"]


def test_a_choice_that_is_filtered_out_stays_the_choice(panel: HistoryPanel) -> None:
    pick(panel.table, '["1_a"]')
    panel.search.value = "4_d"
    assert panel.selected == "1_a"
    assert json.loads(panel.table.chosen) == ["1_a"]


def test_while_something_runs_nothing_is_chosen(panel: HistoryPanel) -> None:
    panel.update(selected="4_d", busy="Checking")
    pick(panel.table, '["1_a"]')
    assert (panel.selected, json.loads(panel.table.chosen)) == ("4_d", ["4_d"])
    panel.search.value = "1_a+"
    assert len(names(panel)) == 4
    panel.update(busy="")
    assert names(panel) == ["4_d", "1_a"]


def test_the_picture_beside_follows_search_and_choice(panel: HistoryPanel) -> None:
    from migrollback_nb.core.dependency_graph import DependencyGraph

    panel.update(graph=GraphFacts(graph=DependencyGraph({one["migration_name"]: one["status"] for one in HISTORY})))
    assert panel.picture.layout.display == "none"
    panel.lanes_button.value = True
    assert panel.picture.layout.display is None
    drawing = panel.graph_panel.drawing
    assert drawing.view == "lanes"
    assert drawing.svg.count('class="node') == 4
    panel.search.value = "4_d"
    assert drawing.svg.count('class="node') == 1
    pick(drawing, drawing.facts["ids"][-1])
    assert json.loads(panel.table.chosen) == [panel.selected]
    panel.lanes_button.value = False
    assert panel.picture.layout.display == "none"


STATES: dict[str, dict[str, Any]] = {
    "nothing": {"history": (), "migrations": (), "deploys": (), "selected": None, "several": (), "busy": ""},
    "all": {
        "history": HISTORY, "migrations": MIGRATIONS, "deploys": DEPLOYS, "selected": None, "several": (), "busy": "",
    },
    "chosen": {
        "history": HISTORY, "migrations": MIGRATIONS, "deploys": DEPLOYS, "selected": "2_b", "several": (), "busy": "",
    },
    "range": {
        "history": HISTORY, "migrations": (), "deploys": (), "selected": None, "several": ("2_b", "1_a"), "busy": "",
    },
    "gone": {
        "history": HISTORY, "migrations": MIGRATIONS, "deploys": (), "selected": "9_z", "several": (), "busy": "",
    },
    "busy": {
        "history": HISTORY[:2], "migrations": (), "deploys": (), "selected": "4_d", "several": (), "busy": "Checking",
    },
    "hostile": {
        "history": (entry(HOSTILE, HOSTILE, 1, notes=HOSTILE, applied_by=HOSTILE, deploy_id=HOSTILE),),
        "migrations": (),
        "deploys": ({"deploy_id": HOSTILE, "label": HOSTILE, "started_at": NOW, "actor": HOSTILE, "migrations": 1,
                     "state": HOSTILE},),
        "selected": HOSTILE,
        "several": (),
        "busy": "",
    },
}  # fmt: skip


def shown(panel: HistoryPanel) -> Any:
    table = {name: getattr(panel.table, name) for name in panel.table.trait_names(sync=True) if name[0] != "_"}
    table = {name: value for name, value in table.items() if isinstance(value, str | bool | list | dict)}
    return table, panel.note_view.value, panel.detail_view.value, panel.refresh_button.disabled


def test_from_any_state_to_any_other_equals_building_it(panel: HistoryPanel) -> None:
    built = {name: shown(HistoryPanel(STANDIN, lanes=False, **state)) for name, state in STATES.items()}
    before = "new"
    for after in tour(list(STATES)):
        panel.update(**STATES[after])
        assert shown(panel) == built[after], f"{before} -> {after}"
        before = after


def test_a_hostile_migration_is_inert(panel: HistoryPanel) -> None:
    panel.update(**STATES["hostile"])
    panel.group_button.value = True
    assert "<script" not in panel.detail_view.value
    assert "&lt;script&gt;" in panel.detail_view.value
    # what is read; the names by which it is chosen are what they are
    assert not set(str((panel.table.cells, panel.table.deploys[0]["words"]))) & set("\u202e\x1b")


def test_it_is_as_wide_as_the_cell(panel: HistoryPanel) -> None:
    assert {one.layout.max_width for one in (panel, *panel.children)} == {"100%"}
    assert panel.table in walk(panel)


def test_what_is_equal_in_a_column_stays_in_the_order_of_the_history() -> None:
    rows = HistoryRows(tuple(entry(f"{number}", "applied", number) for number in range(5)))
    assert rows.names == ("0", "1", "2", "3", "4")
    assert rows.ordered([4, 2, 0], "status", down=True) == [0, 2, 4]
    assert rows.ordered([4, 2, 0], "rolled_back", down=False) == [0, 2, 4]
