"""The checklist in JupyterLab: what is answered outlives the page and the kernel, and the rollback's button waits
for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from watching import status, value

from migrollback_nb.runbook import items
from migrollback_nb.runbook.items import Phase

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    import psycopg
    from laboratory import Laboratory
    from playwright.sync_api import Locator

TOP = "20250120_add_project_tags"
CHECKLIST = f"checklist = mr.panels.ChecklistPanel(db, {TOP!r})\nchecklist"


def button(lab: Laboratory, tooltip: str) -> Locator:
    return lab.output.get_by_title(tooltip, exact=True)


def opened(lab: Laboratory, key: str) -> Locator:
    """The item, with note and buttons shown."""
    opener = lab.page.get_by_title(f"Show note and buttons of: {items.item_of(key).text}", exact=True)
    row = lab.output.locator(".widget-vbox").filter(has=opener).last
    if row.get_by_role("button", name="Answer").is_visible():
        row.get_by_role("button", name="Answer").click()
    return row


def confirm_manually(lab: Laboratory, key: str, note: str) -> None:
    row = opened(lab, key)
    row.get_by_label("Note").fill(note)
    row.get_by_role("button", name="Confirm manually").click()


def answers(shop: psycopg.Connection) -> list[tuple[str, str]]:
    return shop.execute(
        "SELECT details ->> 'item', details ->> 'outcome' FROM migration_events WHERE event = 'checklist_item' ORDER BY"
        " event_number"
    ).fetchall()


@pytest.mark.long
def test_answers_outlive_the_page_and_the_kernel(lab: Laboratory, connect: str, shop: psycopg.Connection) -> None:
    lab.theme("Light")
    lab.notebook(connect, CHECKLIST)
    expect(lab.text("Before: 8 open")).to_be_visible()
    # what is wrong with a click is said where it was
    row = opened(lab, "window")
    row.get_by_role("button", name="Confirm manually").click()
    expect(row.get_by_role("alert")).to_contain_text("needs a note")
    lab.field("Ticket").fill("INC-50")
    confirm_manually(lab, "window", "22:00, Maria watches")
    expect(lab.text("“22:00, Maria watches”")).to_be_visible()
    opened(lab, "dependents")
    button(lab, items.item_of("dependents").help).click()
    expect(lab.text("Before: 2 done, 6 open")).to_be_visible()
    assert answers(shop) == [("window", "done"), ("dependents", "done")]
    assert lab.inspect("14_checklist") == []
    lab.save()
    lab.reload()
    expect(lab.text("Before: 2 done, 6 open")).to_be_visible()
    expect(lab.text("“22:00, Maria watches”")).to_be_visible()
    lab.restart_kernel()
    lab.run_all()
    expect(lab.text("Before: 2 done, 6 open")).to_be_visible()
    expect(lab.field("Ticket")).to_have_value("INC-50")
    assert answers(shop) == [("window", "done"), ("dependents", "done")]


def test_the_rollback_waits_for_the_checklist_and_the_checklist_learns_of_it(
    lab: Laboratory, connect: str, shop: psycopg.Connection
) -> None:
    lab.theme("Light")
    lab.notebook(connect, CHECKLIST, "panel = mr.panels.RollbackPanel(db)\nchecklist.follow(panel)\npanel")
    lab.button("Preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("DROP TABLE")
    lab.accept()
    lab.field("Name").fill(TOP)
    lab.field("Reason").last.fill("INC-51")
    expect(lab.text("of the checklist's items before the rollback are open")).to_be_visible()
    expect(lab.button("Roll back")).to_be_disabled()
    opened(lab, "dependents")
    button(lab, items.item_of("dependents").help).click()
    expect(lab.text("Before: 1 done, 7 open")).to_be_visible()
    lab.field("Reason").first.fill("the shop is down")
    lab.button("Skip what is open").click()
    expect(lab.button("Roll back")).to_be_enabled()
    lab.button("Roll back").click()
    expect(lab.text("Done: ")).to_be_visible()
    assert status(shop, TOP) == "rolled_back"
    expect(lab.text("During: 1 done")).to_be_visible()
    assert (
        value(shop, "SELECT count(*) FROM migration_events WHERE details ->> 'outcome' = 'skipped'")
        == len(items.items_of(Phase.BEFORE)) - 1
    )
    assert lab.inspect("15_checklist_and_rollback") == []
