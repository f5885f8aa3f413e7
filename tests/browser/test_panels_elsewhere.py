"""The rollback panel where JupyterLab is not: in Jupyter Notebook 7, and in Voila, which shows no code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from watching import eventually_sleeps, status

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    import psycopg
    from laboratory import Notebook7, Voila

TOP = "20250120_add_project_tags"


@pytest.mark.long
def test_the_whole_way(elsewhere: Notebook7 | Voila, connect: str, shop: psycopg.Connection) -> None:
    elsewhere.notebook(connect, "graph = mr.panels.GraphPanel(db)\ngraph", "mr.panels.RollbackPanel(graph)")
    place = type(elsewhere).__name__.lower()
    node = elsewhere.output.get_by_role("button", name=f"{TOP}, applied")
    node.click()
    expect(node).to_have_attribute("aria-pressed", "true")
    expect(elsewhere.field("Migration").locator("option:checked")).to_contain_text(TOP)
    elsewhere.button("Check").click()
    expect(elsewhere.text("Can rollback")).to_be_visible()
    elsewhere.button("Preview").click()
    expect(elsewhere.output.get_by_role("region", name="Preview")).to_contain_text("DROP TABLE")
    elsewhere.button("Rehearse").click()
    expect(elsewhere.card).to_contain_text("Longest lock")
    assert elsewhere.faults() == []
    elsewhere.shoot(f"11_rehearsed_{place}")
    elsewhere.accept()
    elsewhere.field("Name").fill(TOP)
    elsewhere.field("Reason").fill("INC-48")
    elsewhere.button("Roll back").click()
    expect(elsewhere.text("Done: ")).to_be_visible()
    assert status(shop, TOP) == "rolled_back"
    assert elsewhere.faults() == []
    elsewhere.shoot(f"12_done_{place}")


@pytest.mark.long
def test_in_the_dark_and_cancelled(elsewhere: Notebook7 | Voila, connect: str, shop: psycopg.Connection) -> None:
    shop.execute(
        "UPDATE migration_history SET rollback_sql = rollback_sql || E'\\n;SELECT pg_sleep(600);' WHERE migration_name"
        " = %s",
        (TOP,),
    )
    elsewhere.notebook(connect, "mr.panels.RollbackPanel(db)", theme="dark")
    place = type(elsewhere).__name__.lower()
    elsewhere.field("Migration").select_option(label=elsewhere.option("Migration", TOP))
    elsewhere.button("Preview").click()
    # written by hand, the SQL was not parsed: what it loses is not known, and there is nothing to accept
    expect(elsewhere.output.get_by_role("region", name="Preview")).to_contain_text("pg_sleep")
    elsewhere.field("Name").fill(TOP)
    elsewhere.field("Reason").fill("INC-49")
    elsewhere.button("Roll back").click()
    eventually_sleeps(shop)
    expect(elsewhere.text("statement 1 of 1: DROP TABLE")).to_be_visible()
    assert elsewhere.faults() == []
    elsewhere.shoot(f"13_running_{place}_dark")
    elsewhere.button("Cancel").click()
    expect(elsewhere.text("Everything it did was undone")).to_be_visible()
    assert status(shop, TOP) == "applied"
    assert elsewhere.faults() == []
