"""The panels by keyboard alone: the focus stays where the hand is, whatever is switched off, hidden or written anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from watching import eventually, eventually_sleeps, status

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    import psycopg
    from laboratory import Laboratory

TOP = "20250120_add_project_tags"
#: What has the focus, as a reader says it.
FOCUSED = """() => {
  const one = document.activeElement;
  if (one === document.body) return "";
  return one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText.trim();
}"""


class Hand:
    """A hand on the keyboard: it presses, types, and says what has the focus."""

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._keys = lab.page.keyboard

    @property
    def at(self) -> str:
        return str(self._lab.page.evaluate(FOCUSED))

    def stays(self, name: str) -> None:
        """Wait until this has the focus, again."""
        found: list[str] = []
        try:
            eventually(
                lambda: bool(found.append(self.at) or found[-1].startswith(name)), f"{name} is there", seconds=30
            )
        except AssertionError as error:
            raise AssertionError(f"{name} should have the focus, which had {list(dict.fromkeys(found))}") from error

    def tabs(self, *names: str, key: str = "Tab") -> None:
        """Press Tab once for each of these: no other control is between them."""
        for name in names:
            self._keys.press(key)
            assert self.at.startswith(name), f"{key} leads to {self.at!r}, not to {name!r}"

    def press(self, *keys: str) -> None:
        for key in keys:
            self._keys.press(key)

    def type(self, text: str) -> None:
        self._keys.type(text)


@pytest.fixture
def hand(lab: Laboratory) -> Hand:
    lab.theme("Light")
    return Hand(lab)


@pytest.mark.long
def test_the_focus_stays_through_a_whole_rollback(
    lab: Laboratory, hand: Hand, connect: str, shop: psycopg.Connection
) -> None:
    lab.notebook(connect, "mr.panels.RollbackPanel(db)")
    lab.field("Filter").focus()
    hand.type("project_tags")
    expect(lab.field("Migration").locator("option")).to_have_count(1)
    hand.tabs("Migration")
    hand.press("ArrowDown")
    expect(lab.button("Rehearse")).to_be_enabled()
    hand.tabs("or deploy", "with all that depend", "Refresh list", "Rehearse", "Preview", "Check")
    hand.press("Enter")
    expect(lab.text("Can rollback")).to_be_visible()
    hand.stays("Check")
    hand.tabs("Preview", "Rehearse", key="Shift+Tab")
    hand.press("Enter")
    expect(lab.card).to_contain_text("Longest lock")
    hand.stays("Rehearse")
    hand.tabs("Preview", "Check", "rehearse also", "Details", "SQL that was", "Look at rows")
    hand.press("Space")
    expect(lab.output.get_by_role("table").filter(has_text="project_id")).to_be_visible()
    hand.stays("Look at rows")
    hand.press("Tab", "Tab")  # what was found: its heading, and what scrolls
    while not hand.at.startswith("I accept: "):
        hand.press("Tab")
        assert hand.at
    hand.press("Space")
    hand.tabs("Name")
    hand.type(TOP)
    hand.tabs("Reason")
    hand.type("INC-43")
    expect(lab.button("Roll back")).to_be_enabled()
    hand.tabs("keep what the rollback destroys", "Roll back")
    hand.press("Enter")
    expect(lab.text("Done: ")).to_be_visible()
    assert status(shop, TOP) == "rolled_back"
    # the button is off for good: what came of it has the focus, and what is below it comes next
    eventually(lambda: "migrollback-result" in focused_classes(lab), "the result has the focus")


def focused_classes(lab: Laboratory) -> str:
    return str(lab.page.evaluate("() => document.activeElement.className"))


@pytest.mark.long
def test_what_failed_is_resolved_and_what_runs_is_cancelled_by_keyboard(
    lab: Laboratory, hand: Hand, connect: str, shop: psycopg.Connection
) -> None:
    added = "UPDATE migration_history SET rollback_sql = rollback_sql || %s WHERE migration_name = %s"
    shop.execute(added, ("\n;SELECT pg_sleep(600);", TOP))
    lab.notebook(connect, f"mr.panels.RollbackPanel(db, selected={TOP!r})")
    lab.button("Rehearse").focus()
    hand.press("Enter")
    eventually_sleeps(shop)
    hand.tabs("Cancel")
    hand.press("Enter")
    expect(lab.text(re.compile("nothing is known", re.IGNORECASE))).to_be_visible()
    eventually(lambda: "migrollback-result" in focused_classes(lab), "the message has the focus")
    shop.execute(added, ("\n;SELECT 1 / 0;", TOP))
    shop.execute(
        "UPDATE migration_history SET rollback_sql = replace(rollback_sql, 'SELECT pg_sleep(600);', '') WHERE"
        " migration_name = %s",
        (TOP,),
    )
    lab.button("Preview").focus()
    hand.press("Enter")
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("1 / 0")
    hand.stays("Preview")
    lab.field("Name").focus()
    hand.type(TOP)
    hand.tabs("Reason")
    hand.type("INC-48")
    expect(lab.button("Roll back")).to_be_enabled()
    hand.tabs("keep what the rollback destroys", "Roll back")
    hand.press("Enter")
    expect(lab.text(f"The rollback of {TOP} failed")).to_be_visible()
    eventually(lambda: "migrollback-result" in focused_classes(lab), "the failure has the focus")
    hand.tabs("Found")
    hand.type("it was the division; nothing had changed")
    expect(lab.button("Resolve as applied")).to_be_enabled()
    hand.tabs("Resolve as applied")
    hand.press("Enter")
    expect(lab.button("Resolve as applied")).to_have_count(0)
    assert status(shop, TOP) == "applied"
    eventually(lambda: hand.at != "", "something of the panel has the focus")


@pytest.mark.long
def test_a_checklist_is_answered_by_keyboard(
    lab: Laboratory, hand: Hand, connect: str, shop: psycopg.Connection
) -> None:
    lab.notebook(connect, f"mr.panels.ChecklistPanel(db, {TOP!r})")
    expect(lab.text("Before: 8 open")).to_be_visible()
    lab.button("Refresh").focus()
    # refused: the message is beside it, and the hand where it was
    hand.tabs("Note", "Rehearse now", "Confirm manually")
    hand.press("Enter")
    expect(lab.output.get_by_role("alert").filter(has_text="needs a note")).to_be_visible()
    hand.stays("Confirm manually")
    hand.tabs("Rehearse now", "Note", key="Shift+Tab")
    hand.type("rehearsed on staging, INC-50")
    hand.tabs("Rehearse now", "Confirm manually")
    hand.press("Enter")
    expect(lab.text("Before: 1 done, 7 open")).to_be_visible()
    # what was answered is folded: its own button has the focus, the next item's note comes next
    hand.stays("Change")
    hand.tabs("Note")
    hand.type("a demo")
    hand.tabs("Confirm manually", "Skip")
    hand.press("Space")
    expect(lab.text("Before: 1 done, 1 skipped, 6 open")).to_be_visible()
    hand.stays("Change")
    # the hand opens another item: its note takes the place of the button that is gone
    while hand.at != "Answer":
        hand.press("Tab")
        assert hand.at
    hand.press("Enter")
    hand.stays("Note")
