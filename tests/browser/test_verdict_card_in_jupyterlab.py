"""The verdict card on a laptop's screen: seen after the click, of one and of a chain; cancelled, failed, resolved."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from watching import eventually, eventually_sleeps, status, value

import migrollback_nb as mr

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from laboratory import Laboratory
    from pg_servers import Server
    from playwright.sync_api import Locator

TOP = "20250120_add_project_tags"
CHAIN = 30
pytestmark = pytest.mark.long


@pytest.fixture
def laptop(lab: Laboratory) -> Iterator[Laboratory]:
    """The page as large as a laptop's."""
    before = lab.page.viewport_size
    lab.page.set_viewport_size({"width": 1366, "height": 768})
    yield lab
    lab.page.set_viewport_size(before)


@pytest.fixture
def chained(first_server: Server, tmp_path: Path) -> Iterator[tuple[str, psycopg.Connection]]:
    """The cell that connects to a database of a chain of migrations, each on the one before; and a connection."""
    import psycopg as driver

    for number in range(CHAIN):
        depends = f"-- Depends on: {number - 1:03}_t\n" if number else ""
        (tmp_path / f"{number:03}_t.sql").write_text(
            f"{depends}CREATE TABLE t{number} AS SELECT 1 AS a;\n-- ROLLBACK START\nDROP TABLE t{number};\n"
            "-- ROLLBACK END\n"
        )
    name = first_server.create_database()
    with mr.connect(first_server.dsn(name), dir=tmp_path) as db:
        db.install()
        db.apply()
    with driver.connect(first_server.dsn(name), autocommit=True) as connection:
        cell = f"import migrollback_nb as mr\ndb = mr.connect({first_server.dsn(name)!r}, dir={str(tmp_path)!r})"
        yield cell, connection
    first_server.drop_database(name)


def in_view(lab: Laboratory, shown: Locator) -> bool:
    """Whether the top of something, or all of it where it fits, lies within the window."""
    shown.wait_for()
    box, height = shown.bounding_box(), lab.page.viewport_size["height"]
    return box is not None and box["y"] >= 0 and box["y"] + min(box["height"], height / 3) <= height


def test_the_card_is_seen_after_the_click_and_does_not_scroll_by_itself(
    laptop: Laboratory, connect: str, shop: psycopg.Connection
) -> None:
    laptop.theme("Light")
    laptop.notebook(connect, "mr.panels.RollbackPanel(db)")
    laptop.field("Migration").select_option(label=laptop.option("Migration", TOP))
    laptop.button("Rehearse").click()
    expect(laptop.card).to_contain_text("Longest lock")
    eventually(lambda: in_view(laptop, laptop.card), "the card is in view")
    assert laptop.card.evaluate("card => card.scrollHeight <= card.clientHeight + 1")
    assert laptop.inspect("card_1366_light") == []
    assert status(shop, TOP) == "applied"


def test_a_chain_of_thirty_is_one_table_with_totals(
    laptop: Laboratory, chained: tuple[str, psycopg.Connection]
) -> None:
    cell, connection = chained
    laptop.theme("Dark")
    laptop.notebook(cell, "mr.panels.RollbackPanel(db)")
    laptop.field("Migration").select_option(label=laptop.option("Migration", "000_t"))
    laptop.output.get_by_role("checkbox", name=re.compile("^with all that depend")).check()
    laptop.button("Rehearse").click()
    rows = laptop.card.locator("table", has_text="Others' objects").first.locator("tbody tr")
    expect(rows).to_have_count(CHAIN + 1)  # and the totals
    eventually(lambda: in_view(laptop, laptop.card), "the card is in view")
    assert laptop.inspect("chain_of_thirty_dark") == []
    laptop.accept()
    laptop.field("Name").fill("000_t")
    laptop.field("Reason").fill("INC-47")
    laptop.button("Roll back").click()
    expect(laptop.text(re.compile("^(Done|Look closer): "))).to_be_visible()
    left = "SELECT count(*) FROM migration_history WHERE status = 'applied' AND migration_name LIKE '%%\\_t'"
    assert value(connection, left) == 0


def test_a_rehearsal_that_is_cancelled_says_that_nothing_is_known(
    laptop: Laboratory, connect: str, shop: psycopg.Connection
) -> None:
    laptop.theme("Light")
    shop.execute(
        "UPDATE migration_history SET rollback_sql = rollback_sql || E'\\n;SELECT pg_sleep(600);' WHERE migration_name"
        " = %s",
        (TOP,),
    )
    laptop.notebook(connect, "mr.panels.RollbackPanel(db)")
    laptop.field("Migration").select_option(label=laptop.option("Migration", TOP))
    laptop.button("Rehearse").click()
    eventually_sleeps(shop)
    laptop.button("Cancel").click()
    expect(laptop.text(re.compile("nothing is known", re.IGNORECASE))).to_be_visible()
    expect(laptop.text("so will this")).to_have_count(0)
    assert status(shop, TOP) == "applied"


def test_what_failed_is_resolved_in_the_panel(laptop: Laboratory, connect: str, shop: psycopg.Connection) -> None:
    laptop.theme("Dark")
    shop.execute(
        "UPDATE migration_history SET rollback_sql = rollback_sql || E'\\n;SELECT 1 / 0;' WHERE migration_name = %s",
        (TOP,),
    )
    laptop.notebook(connect, "mr.panels.RollbackPanel(db)")
    laptop.field("Migration").select_option(label=laptop.option("Migration", TOP))
    laptop.button("Preview").click()
    # written by hand, the SQL was not parsed: there is nothing to accept
    expect(laptop.output.get_by_role("region", name="Preview")).to_contain_text("1 / 0")
    laptop.field("Name").fill(TOP)
    laptop.field("Reason").fill("INC-48")
    laptop.button("Roll back").click()
    expect(laptop.text(f"The rollback of {TOP} failed")).to_be_visible()
    assert status(shop, TOP) == "failed"
    laptop.field("Found").fill("it was the division; nothing had changed")
    assert laptop.inspect("resolve_dark") == []
    laptop.button("Resolve as applied").click()
    expect(laptop.button("Resolve as applied")).to_have_count(0)
    assert status(shop, TOP) == "applied"
