"""HistoryPanel: filters, order and choice, with itables and without."""

from __future__ import annotations

import builtins
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from panel_parts import part, pick

from migrollback_nb.core.results import Target
from migrollback_nb.panels import CheckPanel, HistoryPanel
from migrollback_nb.panels.history_panel import HEADINGS

NOW = datetime.now(UTC)
HOSTILE = "0_<script>alert(1)</script>\u202e\x1b[31m"


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
        "rollback_count": int(status == "rolled_back"),
        "deploy_id": None,
        "proven": "never",
    } | more


HISTORY = (
    entry("4_d", "applied", 1, notes="for the Tags"),
    entry("3_c", "rolled_back", 10, rollback_by="bob"),
    entry("2_b", "failed", 20),
    entry("1_a", "applied", 30),
)
MIGRATIONS = (
    {"migration_name": "4_d", "can_rollback": True, "blocking_reason": None, "verdict": "loses"},
    {"migration_name": "2_b", "can_rollback": False, "blocking_reason": "Its rollback failed"},
    {"migration_name": "1_a", "can_rollback": False, "blocking_reason": "Others depend on it"},
)
TARGET = Target(host="h", port=1, database="d", user="u", server_version="18.6", schema="public")
STANDIN = SimpleNamespace(
    target=TARGET,
    look_up_target=lambda: TARGET,
    database=SimpleNamespace(
        connection=SimpleNamespace(closed=False),
        session=SimpleNamespace(notices=()),
        queries=SimpleNamespace(list_rollbackable=lambda: MIGRATIONS, unfinished=tuple),
    ),
    registered_rows=lambda: HISTORY,
)


@pytest.fixture(params=["itables", "plain"])
def panel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[HistoryPanel]:
    """The panel as it is with itables, and as it is where that is not installed."""
    if request.param == "plain":
        real = builtins.__import__

        def without(name: str, *rest: Any) -> Any:
            if name.startswith("itables"):
                raise ModuleNotFoundError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", without)
    made = HistoryPanel(STANDIN)
    assert (made.table is None) is (request.param == "plain")
    return made


def names(panel: HistoryPanel) -> list[str]:
    """What is listed, and the same in the table."""
    listed = [name for _, name in panel.choice.options]
    if panel.table is None:
        assert all(name in panel.table_view.value for name in listed)
        assert panel.table_view.value.count("<tr>") == len(listed) + 1
    else:
        assert list(panel.table.df["Migration"]) == listed
    return listed


def test_it_opens_with_all_newest_first(panel: HistoryPanel) -> None:
    assert names(panel) == ["4_d", "3_c", "2_b", "1_a"]
    assert "4 of 4" in panel.note_view.value


def cells(panel: HistoryPanel, name: str) -> dict[str, str]:
    """What the table says of a migration."""
    if panel.table is not None:
        frame = panel.table.df
        return dict(frame[frame["Migration"] == name].iloc[0])
    found = next(one for one in ET.fromstring(table_of(panel)).iter("tr") if name in "".join(one.itertext()))
    return dict(zip(HEADINGS, ("".join(cell.itertext()) for cell in found), strict=True))


def table_of(panel: HistoryPanel) -> str:
    return "<table>" + panel.table_view.value.split("<table", 1)[1].split(">", 1)[1].split("</table>")[0] + "</table>"


def test_a_row_says_what_history_knows(panel: HistoryPanel) -> None:
    deploy = "e1517813-0624-c735-27f9-cd901172c966"
    again = entry("4_d", "applied", 1, rollback_count=3, rollback_at=NOW, deploy_id=deploy, proven="rolled_back")
    panel.update(history=(again, *HISTORY[1:]))
    row = cells(panel, "4_d")
    assert row["Status"] == "✔ applied"
    assert row["Applied at"] == f"{NOW - timedelta(days=1):%Y-%m-%d %H:%M} UTC"
    assert row["Rolled back at"] == f"{NOW:%Y-%m-%d %H:%M} UTC, 3 times"
    assert row["May it be rolled back?"] == "! yes, but it loses data"
    assert row["Proven by"] == "✔ a rollback"
    assert row["Deploy"] == "e1517813…"
    assert cells(panel, "1_a")["Proven by"] == "• nothing"
    assert cells(panel, "2_b")["Status"] == "✘ failed"
    assert cells(panel, "3_c")["Status"] == "• rolled back"


@pytest.mark.parametrize(
    ("control", "entered", "expected"),
    [
        ("status_field", "rolled_back", ["3_c"]),
        ("status_field", "failed", ["2_b"]),
        ("can_field", "can", ["4_d"]),
        ("can_field", "cannot", ["3_c", "2_b", "1_a"]),
        ("text_field", "TAGS", ["4_d"]),
        ("text_field", "bob", ["3_c"]),
        ("text_field", "no such", []),
        ("since_field", "5d", ["4_d"]),
        ("since_field", "9d", ["4_d"]),
        ("since_field", "9.75d", ["4_d", "3_c", "2_b", "1_a"]),
        ("since_field", "233h", ["4_d", "3_c"]),
        ("sort_field", "oldest first", ["1_a", "2_b", "3_c", "4_d"]),
        ("sort_field", "by status", ["1_a", "4_d", "2_b", "3_c"]),
        ("sort_field", "last rolled back first", ["3_c", "1_a", "2_b", "4_d"]),
    ],
)
def test_filters_and_order(panel: HistoryPanel, control: str, entered: str, expected: list[str]) -> None:
    getattr(panel, control).value = entered
    assert names(panel) == expected


def test_a_span_that_cannot_be_read_is_told(panel: HistoryPanel) -> None:
    panel.since_field.value = "<b>soon</b>"
    assert "neither a span nor a date" in panel.note_view.value
    assert "<b>" not in panel.note_view.value


def test_it_is_as_wide_as_the_cell_for_its_nine_columns(panel: HistoryPanel) -> None:
    assert {part.layout.max_width for part in (panel, *panel.children)} == {"100%"}


def test_filters_join(panel: HistoryPanel) -> None:
    panel.status_field.value = "applied"
    panel.can_field.value = "cannot"
    assert names(panel) == ["1_a"]


def test_a_choice_goes_everywhere_and_comes_from_everywhere(panel: HistoryPanel) -> None:
    check = CheckPanel(panel)
    panel.choice.value = "1_a"
    assert check.selected == "1_a"
    part(check, "choice").value = "4_d"
    assert panel.choice.value == "4_d"
    if panel.table is not None:
        assert list(panel.table.selected_rows) == [0]
        pick(panel.row_selection, "2_b")
        assert check.selected == "2_b"
        assert list(panel.table.selected_rows) == [2]


def test_a_row_that_was_clicked_before_the_filter_is_the_row_that_was_read(panel: HistoryPanel) -> None:
    panel.text_field.value = "2_b"
    panel.selected = "2_b"
    pick(panel.choice, "1_a")
    assert panel.selected == "2_b"
    panel.text_field.value = ""
    pick(panel.choice, "1_a", number=2)
    assert panel.selected == "1_a"
    if panel.table is not None:
        for words in ("No data available in table", "9_z", ""):
            pick(panel.row_selection, words)
        assert panel.selected == "1_a"
        # the table itself tells only a place, which may be another's by now
        panel.table.selected_rows = [0]
        assert panel.selected == "1_a"
        assert list(panel.table.selected_rows) == [3]


def test_of_two_rows_that_read_the_same_none_is_chosen_by_a_click_in_the_table(panel: HistoryPanel) -> None:
    if panel.table is not None:
        panel.update(history=(entry("a<U+202E>", "applied", 1), entry("a\u202e", "applied", 2)))
        pick(panel.row_selection, "a<U+202E>")
        assert panel.selected is None


def test_a_choice_that_is_filtered_out_stays_the_choice(panel: HistoryPanel) -> None:
    panel.choice.value = "1_a"
    panel.text_field.value = "4_d"
    assert panel.selected == "1_a"
    assert panel.choice.value is None
    panel.text_field.value = ""
    assert panel.choice.value == "1_a"


def test_while_something_runs_nothing_is_chosen(panel: HistoryPanel) -> None:
    panel.update(selected="4_d", busy="Checking")
    panel.choice.value = "1_a"
    assert (panel.selected, panel.choice.value) == ("4_d", "4_d")


STATES: dict[str, dict[str, Any]] = {
    "nothing": {"history": (), "migrations": (), "selected": None, "busy": ""},
    "all": {"history": HISTORY, "migrations": MIGRATIONS, "selected": None, "busy": ""},
    "chosen": {"history": HISTORY, "migrations": MIGRATIONS, "selected": "2_b", "busy": ""},
    "gone": {"history": HISTORY, "migrations": MIGRATIONS, "selected": "9_z", "busy": ""},
    "busy": {"history": HISTORY[:2], "migrations": (), "selected": "4_d", "busy": "Checking"},
    "hostile": {
        "history": (entry(HOSTILE, HOSTILE, 1, notes=HOSTILE, applied_by=HOSTILE),),
        "migrations": (),
        "selected": HOSTILE,
        "busy": "",
    },
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, repeat=2)))
def test_from_any_state_to_any_other_equals_building_it(panel: HistoryPanel, before: str, after: str) -> None:
    def shown(made: HistoryPanel) -> Any:
        table = (
            (list(made.table.selected_rows), made.table._dt_args) if made.table is not None else made.table_view.value
        )
        return made.choice.options, made.choice.value, made.choice.disabled, made.note_view.value, table

    built = shown(HistoryPanel(STANDIN, **STATES[after]))
    panel.update(**STATES[before])
    panel.update(**STATES[after])
    assert shown(panel) == built


def test_a_hostile_migration_is_inert(panel: HistoryPanel) -> None:
    panel.update(**STATES["hostile"])
    if panel.table is None:
        assert "<script" not in panel.table_view.value
        assert "&lt;script&gt;" in panel.table_view.value
    else:
        # itables escapes in the page, unless it is told not to
        assert not panel.table._dt_args.get("allow_html")
        assert not set(str(panel.table._dt_args)) & set("\u202e\x1b")
    assert not set(str(panel.choice.options)) & set("\u202e\x1b")
