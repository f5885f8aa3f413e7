"""ChecklistPanel on a real database: its buttons, its errors, two of them on one run, a restart, and how it holds
the rollback's button."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest
from panel_parts import tour

import migrollback_nb as mr
from migrollback_nb.panels import ChecklistPanel, RollbackPanel
from migrollback_nb.runbook.items import ITEMS, Outcome, Phase, items_of

NAME = "001_a"
HOSTILE = "002_</div><script>alert(1)</script><img src=x onerror=\"alert('2')\">\u202e\x1b[31m"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
def in_place(db: mr.Migrations, applied: Callable[..., str]) -> mr.Migrations:
    applied(NAME, "CREATE TABLE a ();", "DROP TABLE a;")
    return db


def walk(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def press(panel: ChecklistPanel, key: str, words: str, note: str = "") -> None:
    row = panel._rows[key]
    row.note.value = note
    button = next(button for button in row.buttons if button.description == words)
    assert not button.disabled
    button.click()
    assert panel.wait(60)


def text_of(panel: ChecklistPanel, key: str) -> str:
    return str(panel._rows[key].view.value)


def message_of(panel: ChecklistPanel, key: str) -> str:
    return str(panel._rows[key].message_view.value)


def opened(panel: ChecklistPanel) -> list[str]:
    """The items whose note and buttons are shown."""
    return [key for key, one in panel._rows.items() if one.controls.layout.display is None]


def test_one_item_shows_its_buttons_the_next_that_is_open_or_the_one_that_was_opened(in_place: mr.Migrations) -> None:
    panel = ChecklistPanel(in_place, NAME)
    first, second, third = (item.key for item in items_of(Phase.BEFORE)[:3])
    assert opened(panel) == [first]
    panel._rows[third].open_button.click()
    assert opened(panel) == [third]
    press(panel, third, "Skip", "no time")
    assert opened(panel) == [first]
    press(panel, first, "Skip", "no staging")
    assert opened(panel) == [second]
    assert "Before: 2 skipped, 6 open" in panel.summary_view.value
    assert "Before rolling back: 2 skipped, 6 open" in panel.headings[Phase.BEFORE].value
    # done or skipped is one line with who it was, and can be changed
    assert "<details>" in text_of(panel, first)
    assert "“no staging”" in text_of(panel, first)
    assert text_of(panel, first).index("by postgres") < text_of(panel, first).index("“no staging”")
    assert panel._rows[first].open_button.description == "Change"
    panel._rows[first].open_button.click()
    assert opened(panel) == [first]
    panel._rows[first].open_button.click()
    assert opened(panel) == [second]


def test_a_fact_that_matters_is_not_buried_under_done(in_place: mr.Migrations, session: Callable[..., Any]) -> None:
    session().execute("ALTER TABLE a ADD n int; INSERT INTO a SELECT generate_series(1, 1000)")
    panel = ChecklistPanel(in_place, NAME, scratch=None)
    press(panel, "staging", "Rehearse now")
    assert panel.state.outcome("staging") == Outcome.DONE
    assert "! done, look closer" in text_of(panel, "staging")
    assert "1,000 rows" in text_of(panel, "staging").split("</details>")[1]
    assert (
        next(row for row in panel.state.rows() if row[1] == items_of(Phase.BEFORE)[0].text)[0] == "! done, look closer"
    )
    press(panel, "staging", "Confirm manually", "seen")
    assert "✔ done" in text_of(panel, "staging")


def test_it_shows_all_items_open_and_writes_nothing(in_place: mr.Migrations) -> None:
    before = len(in_place.database.queries.events())
    panel = ChecklistPanel(in_place, NAME)
    assert panel.error is None
    assert list(panel._rows) == [item.key for item in ITEMS]
    assert all("open" in text_of(panel, item.key) and item.text in text_of(panel, item.key) for item in ITEMS)
    assert "Before: 8 open" in panel.summary_view.value
    assert "001_a" not in repr(panel)
    panel.refresh()
    assert panel.wait(30)
    assert len(in_place.database.queries.events()) == before


def test_without_a_choice_nothing_can_be_pressed(in_place: mr.Migrations) -> None:
    panel = ChecklistPanel(in_place)
    assert panel.state is None
    assert all(button.disabled for row in panel._rows.values() for button in row.buttons)
    panel.choice.value = NAME
    assert panel.wait(30)
    assert panel.state.migration_name == NAME
    assert not any(button.disabled for row in panel._rows.values() for button in row.buttons)


def test_answers_by_machine_and_by_person(in_place: mr.Migrations) -> None:
    panel = ChecklistPanel(in_place, NAME, ticket="INC-42")
    press(panel, "dependents", "Check now")
    assert panel.state.outcome("dependents") == Outcome.DONE
    assert "nothing depends on it" in text_of(panel, "dependents")
    press(panel, "window", "Confirm manually", "22:00")
    assert "“22:00”" in text_of(panel, "window")
    assert panel._rows["window"].note.value == ""
    press(panel, "staging", "Skip", "no staging here")
    assert panel.state.outcome("staging") == Outcome.SKIPPED
    press(panel, "backup", "Use my own", "rds:snap-1")
    assert panel.state.latest("backup").evidence["backup_id"] == "rds:snap-1"
    assert {entry.ticket for entry in panel.state.entries} == {"INC-42"}


def test_what_cannot_be_done_is_said_in_the_panel(in_place: mr.Migrations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIGROLLBACK_MAINTENANCE_HOOK", raising=False)
    panel = ChecklistPanel(in_place, NAME)
    press(panel, "window", "Confirm manually")
    assert isinstance(panel.error, mr.UsageError)
    assert "needs a note" in message_of(panel, "window")
    press(panel, "maintenance_on", "Run the hook")
    assert "No maintenance hook is configured" in message_of(panel, "maintenance_on")
    assert message_of(panel, "window") == panel.message_view.value == ""
    press(panel, "execute", "Read the audit log")
    assert "not been rolled back yet" in message_of(panel, "execute")
    assert panel.state.entries == ()
    # what went wrong stays open, with its note
    assert panel.shown_item == "execute"
    assert panel._rows["execute"].controls.layout.display is None
    panel.skip_button.click()
    assert message_of(panel, "execute") == panel.message_view.value == ""
    assert "needs a reason" in panel.skip_message_view.value


@pytest.mark.long
def test_a_name_that_is_not_there_is_an_error_and_no_dead_panel(in_place: mr.Migrations) -> None:
    panel = ChecklistPanel(in_place, "001_b")
    assert isinstance(panel.error, mr.MigrationNotFound)
    assert panel.names
    panel.selected = NAME
    assert panel.wait(30)
    assert panel.error is None
    assert panel.state is not None


@pytest.mark.long
def test_a_lost_connection_is_opened_again(in_place: mr.Migrations) -> None:
    panel = ChecklistPanel(in_place, NAME)
    in_place.database.connection.close()
    press(panel, "window", "Confirm manually", "22:00")
    assert panel.error is None
    assert panel.state.is_complete("window")


@pytest.mark.long
def test_two_panels_of_two_sessions_share_one_run(in_place: mr.Migrations, database_dsn: str, folder: Path) -> None:
    with mr.connect(database_dsn, dir=folder) as other:
        mine, theirs = ChecklistPanel(in_place, NAME), ChecklistPanel(other, NAME)
        press(mine, "window", "Confirm manually", "mine")
        press(theirs, "reason", "Confirm manually", "theirs")
        mine.refresh_button.click()
        assert mine.wait(30)
        assert [row.view.value for row in mine._rows.values()] == [row.view.value for row in theirs._rows.values()]
        assert {entry.note for entry in mine.state.entries} == {"mine", "theirs"}


@pytest.mark.long
def test_a_restart_shows_the_same(in_place: mr.Migrations, database_dsn: str, folder: Path) -> None:
    before = ChecklistPanel(in_place, NAME, ticket="INC-42")
    press(before, "window", "Confirm manually", "22:00")
    shown = [row.view.value for row in before._rows.values()]
    in_place.close()
    with mr.connect(database_dsn, dir=folder) as again:
        after = ChecklistPanel(again, NAME)
        assert [row.view.value for row in after._rows.values()] == shown
        assert after.ticket == "INC-42"


def test_from_any_state_to_any_other_equals_building_it(in_place: mr.Migrations) -> None:
    checklist = mr.Checklist(in_place, NAME)
    nothing = checklist.state()
    checklist.skip("staging", "no staging")
    checklist.confirm_manually("window", "22:00")
    some = checklist.state()
    checklist.skip_open("it burns")
    base = {"selected": NAME, "ticket": "", "opened": "", "item": "", "error": None, "busy": "", "state": nothing}
    wrong = mr.UsageError("It needs a note")
    states = {
        "open": base,
        "some": base | {"state": some, "ticket": "INC-1"},
        "before is complete": base | {"state": checklist.state()},
        "opened": base | {"state": some, "opened": "window"},
        "wrong": base | {"opened": "window", "item": "window", "error": wrong},
        "wrong elsewhere": base | {"error": wrong},
        "nothing to skip with": base | {"item": "skip_open", "error": wrong},
        "running": base | {"item": "staging", "busy": "Rehearsing"},
        "reading": base | {"busy": "Reading the audit log", "state": None},
        "skipping": base | {"item": "skip_open", "busy": "Skipping what is open"},
    }
    built = {name: look(ChecklistPanel(in_place, **state)) for name, state in states.items()}
    panel = ChecklistPanel(in_place, **base)
    for after in tour(list(states)):
        panel.update(**states[after])
        assert look(panel) == built[after], after


def look(panel: ChecklistPanel) -> list[Any]:
    """What a person sees and can press: of each control its state, and whether it is there."""
    traits = ("value", "description", "disabled", "button_style")
    return [
        (*(getattr(widget, trait, None) for trait in traits), widget.layout.display)
        for widget in walk(panel)
        if isinstance(widget, widgets.DOMWidget)
    ]


def test_it_holds_the_button_until_the_items_before_are_complete(in_place: mr.Migrations) -> None:
    checklist = ChecklistPanel(in_place, NAME)
    rollback = RollbackPanel(in_place)
    checklist.follow(rollback)
    assert rollback.selected == NAME
    assert checklist.wait(30)
    assert "8 of the checklist's items before the rollback are open" in rollback.missing
    rollback.preview()
    assert rollback.wait(30)
    rollback.update(typed=NAME, reason="INC-42")
    with pytest.raises(mr.UsageError, match="checklist"):
        rollback.rollback()
    for item in items_of(Phase.BEFORE)[:-1]:
        press(checklist, item.key, "Skip", "late")
        assert "Documented reason" in rollback.missing
    checklist.skip_field.value = "it burns"
    checklist.skip_button.click()
    assert checklist.wait(30)
    assert rollback.missing == ""
    rollback.rollback()
    assert rollback.wait(60)
    assert rollback.error is None
    assert checklist.wait(30)
    # nothing is chosen there any more; here the checklist goes on with what is left
    assert checklist.selected == NAME
    assert checklist.state.outcome("execute") == Outcome.DONE
    assert "rolled back, event" in text_of(checklist, "execute")


@pytest.mark.long
def test_a_choice_there_is_a_choice_here(in_place: mr.Migrations, applied: Callable[..., str]) -> None:
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;", depends_on=[NAME])
    checklist = ChecklistPanel(in_place)
    rollback = RollbackPanel(in_place)
    checklist.follow(rollback)
    assert rollback.hold == ""
    rollback.update(selected="002_b")
    assert checklist.wait(30)
    assert checklist.state.migration_name == "002_b"
    rollback.update(selected=NAME)
    rollback.update(chain=True)
    assert checklist.wait(30)
    assert (checklist.selected, checklist.chain) == (NAME, True)
    assert checklist.wait(30)
    press(checklist, "dependents", "Check now")
    assert checklist.state.latest("dependents").evidence["migrations"] == ["002_b", NAME]


@pytest.mark.long
def test_another_choice_forgets_notes_and_ticket(in_place: mr.Migrations, applied: Callable[..., str]) -> None:
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;")
    panel = ChecklistPanel(in_place, NAME, ticket="INC-1")
    panel._rows["window"].note.value = "half a note"
    panel.selected = "002_b"
    assert panel.wait(30)
    assert panel._rows["window"].note.value == ""
    assert panel.ticket == ""


class Strict(HTMLParser):
    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "span", "b", "progress", "details", "summary"}, tag
        assert {name for name, _ in attributes} <= {
            "style",
            "role",
            "aria-label",
            "aria-level",
            "aria-hidden",
            "aria-current",
        }, attributes


def test_hostile_words_are_inert_in_every_view(db: mr.Migrations, session: Callable[..., Any]) -> None:
    session().execute("SELECT register_migration(%s, '2', 'DROP TABLE x', NULL)", (HOSTILE,))
    panel = ChecklistPanel(db, HOSTILE, ticket=HOSTILE, notification=lambda _: HOSTILE)
    press(panel, "window", "Confirm manually", HOSTILE)
    press(panel, "staging", "Skip", HOSTILE)
    press(panel, "notified", "Run the hook", HOSTILE)
    press(panel, "dependents", "Check now")
    panel.error = mr.Refused(HOSTILE)
    assert len(panel.state.entries) == 4
    for widget in walk(panel):
        if isinstance(widget, widgets.HTML):
            parser = Strict()
            parser.feed(widget.value)
            parser.close()
            assert not UNSAFE.search(widget.value)
        for trait in ("description", "tooltip", "placeholder"):
            assert not UNSAFE.search(getattr(widget, trait, "") or "")
        assert not getattr(widget, "description_allow_html", False)
    assert not UNSAFE.search(panel.choice.value)
    assert not any(UNSAFE.search(option) for option in panel.choice.options)
    # what is shown of a name still leads to it
    panel.choice.value = ""
    assert panel.wait(30)
    panel.choice.value = next(option for option in panel.choice.options if option.startswith("002_"))
    assert panel.wait(30)
    assert panel.selected == HOSTILE
