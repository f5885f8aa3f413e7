"""The panels in JupyterLab: by mouse and by keyboard, light and dark, across restarts;
nothing leaves the machine, nothing hostile runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from watching import eventually, eventually_sleeps, status, value

import migrollback_nb as mr
from migrollback_nb.cli import demo

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    import psycopg
    from laboratory import Laboratory
    from playwright.sync_api import Locator

TOP = "20250120_add_project_tags"


def test_the_whole_way_by_mouse(lab: Laboratory, connect: str, shop: psycopg.Connection) -> None:
    lab.theme("Light")
    lab.notebook(connect, "mr.panels.RollbackPanel(db)")
    expect(lab.text("Choose a migration")).to_be_visible()
    expect(lab.button("Roll back")).to_be_disabled()
    lab.shoot("1_choose_light")
    lab.field("Migration").select_option(label=lab.option("Migration", TOP))
    lab.button("Check").click()
    expect(lab.text("Can rollback")).to_be_visible()
    lab.button("Preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("DROP TABLE")
    lab.button("Rehearse").click()
    expect(lab.card).to_contain_text("Longest lock")
    assert lab.faults() == []
    lab.shoot("2_rehearsed_light")
    assert status(shop, TOP) == "applied"
    lab.accept()
    lab.field("Name").fill(TOP.upper())
    lab.field("Reason").fill("INC-42: tags slow every page down")
    expect(lab.text("Type the migration's name exactly")).to_be_visible()
    lab.field("Name").fill(TOP)
    lab.button("Roll back").click()
    expect(lab.text("Done: ")).to_be_visible()
    assert status(shop, TOP) == "rolled_back"
    assert value(
        shop, "SELECT reason FROM migration_events WHERE event = 'rolled_back' ORDER BY event_number DESC LIMIT 1"
    ).startswith("INC-42")
    assert lab.faults() == []
    lab.shoot("3_done_light")


@pytest.mark.long
def test_the_whole_way_by_keyboard_in_the_dark(lab: Laboratory, connect: str, shop: psycopg.Connection) -> None:
    lab.theme("Dark")
    lab.notebook(connect, "mr.panels.RollbackPanel(db, production='t*')")
    expect(lab.text("PRODUCTION")).to_be_visible()
    keys = lab.page.keyboard
    lab.field("Filter").focus()
    keys.type("project_tags")
    expect(lab.field("Migration").locator("option")).to_have_count(1)
    keys.press("Tab")
    expect(lab.field("Migration")).to_be_focused()
    keys.press("ArrowDown")
    expect(lab.button("Preview")).to_be_enabled()
    tab_to(lab, lab.button("Check"))
    keys.press("Enter")
    expect(lab.text("Can rollback")).to_be_visible()
    tab_to(lab, lab.button("Preview"), key="Shift+Tab")
    keys.press("Space")
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("DROP TABLE")
    tab_to(lab, lab.button("Rehearse"), key="Shift+Tab")
    keys.press("Enter")
    expect(lab.card).to_contain_text("Longest lock")
    assert lab.faults() == []
    lab.shoot("4_rehearsed_dark")
    accept = lab.output.get_by_role("checkbox", name="I accept: Loses 50 rows of public.project_tags (table dropped)")
    tab_to(lab, accept)
    keys.press("Space")
    expect(accept).to_be_checked()
    keys.press("Tab")
    expect(lab.field("Name")).to_be_focused()
    keys.type(TOP)
    keys.press("Tab")
    expect(lab.field("Reason")).to_be_focused()
    keys.type("INC-43")
    expect(lab.button("Roll back on PRODUCTION")).to_be_enabled()  # Tab passes a disabled button by
    keys.press("Tab")
    expect(lab.output.get_by_role("checkbox", name="keep what the rollback destroys")).to_be_focused()
    keys.press("Tab")
    expect(lab.button("Roll back on PRODUCTION")).to_be_focused()
    keys.press("Enter")
    expect(lab.text("Done: ")).to_be_visible()
    assert status(shop, TOP) == "rolled_back"
    assert lab.faults() == []
    lab.shoot("5_done_dark")


def tab_to(lab: Laboratory, target: Locator, key: str = "Tab") -> None:
    """Press Tab, or Shift+Tab, until it has the focus: what is not reached by a few is not reached by people."""
    expect(target).to_be_enabled()  # Tab passes by what is switched off while something runs
    for _ in range(12):
        lab.page.keyboard.press(key)
        if target.evaluate("element => element === document.activeElement"):
            return
    expect(target).to_be_focused()


@pytest.mark.long
def test_a_long_rollback_tells_its_statements_is_cancelled_and_says_what_was_undone(
    lab: Laboratory, connect: str, shop: psycopg.Connection, template: tuple[str, Path]
) -> None:
    lab.theme("Light")
    sleep_at_the_end(shop, template[1])
    lab.notebook(connect, "mr.panels.RollbackPanel(db)")
    lab.field("Migration").select_option(label=lab.option("Migration", TOP))
    lab.button("Preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("pg_sleep")
    lab.accept()
    lab.field("Name").fill(TOP)
    lab.field("Reason").fill("INC-44")
    lab.button("Roll back").click()
    eventually_sleeps(shop)
    expect(lab.button("Preview")).to_be_disabled()
    expect(
        lab.output.get_by_text(re.compile(r"^statement 2 of 2 \(line \d+\): SELECT pg_sleep\(600\); \d+ s"))
    ).to_be_visible()
    expect(lab.output.locator(".widget-hprogress")).to_be_visible()
    assert lab.inspect("6_running") == []
    lab.button("Cancel").click()
    expect(lab.text(f"in statement 2 of {TOP}: SELECT pg_sleep(600)")).to_be_visible()
    expect(lab.text("Everything it did was undone")).to_be_visible()
    expect(lab.output.locator(".widget-hprogress")).to_be_hidden()
    assert status(shop, TOP) == "applied"
    expect(lab.button("New preview")).to_be_visible()
    assert lab.inspect("7_cancelled") == []
    lab.button("New preview").click()
    expect(lab.field("Name")).to_be_enabled()


def sleep_at_the_end(shop: psycopg.Connection, folder: Path) -> None:
    """Let a rollback end with a long sleep: register the file with one more statement."""
    text = (
        (folder / f"{TOP}.sql")
        .read_text(encoding="utf-8")
        .replace("-- ROLLBACK END", "SELECT pg_sleep(600);\n-- ROLLBACK END")
    )
    shop.execute("SELECT * FROM register_migrations(%s::jsonb)", (json.dumps([mr.parse(text, name=TOP).record()]),))


@pytest.mark.long
def test_a_refusal_shows_why_and_offers_a_new_preview(lab: Laboratory, connect: str, shop: psycopg.Connection) -> None:
    lab.theme("Dark")
    lab.notebook(connect, "mr.panels.RollbackPanel(db)")
    lab.field("Migration").select_option(label=lab.option("Migration", TOP))
    lab.button("Preview").click()
    lab.accept()
    lab.field("Name").fill(TOP)
    lab.field("Reason").fill("INC-45")
    expect(lab.button("Roll back")).to_be_enabled()
    shop.execute(
        "UPDATE migration_history SET rollback_sql = 'DROP TABLE public.users' WHERE migration_name = %s", (TOP,)
    )
    lab.button("Roll back").click()
    expect(lab.text("Refused, nothing was changed")).to_be_visible()
    expect(lab.button("Roll back")).to_be_disabled()
    lab.shoot("8_refused_dark")
    lab.button("New preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("public.users")
    assert status(shop, TOP) == "applied"


@pytest.mark.long
def test_a_click_in_the_graph_chooses_everywhere(lab: Laboratory, connect: str) -> None:
    lab.theme("Light")
    lab.notebook(
        connect,
        "graph = mr.panels.GraphPanel(db)\ngraph",
        "mr.panels.CheckPanel(graph)",
        "history = mr.panels.HistoryPanel(graph, lanes=False)\nhistory",
    )
    node = lab.output.get_by_role("button", name=f"{TOP}, applied")
    expect(node).to_have_attribute("aria-pressed", "false")
    lab.button("Show all of it").click()
    node.click()
    expect(node).to_have_attribute("aria-pressed", "true")
    expect(lab.field("Migration").locator("option:checked")).to_contain_text(TOP)
    expect(lab.output.locator(".migrollback-history-row[aria-selected=true]")).to_contain_text(TOP)
    lab.button("Check").click()
    expect(lab.text("Can rollback")).to_be_visible()
    expect(lab.output.locator(".migrollback-graph-said")).to_contain_text("1 falls; longest chain 1. It depends on 2.")
    # by keyboard: one arrow to the left is what it depends on
    node.focus()
    lab.page.keyboard.press("ArrowLeft")
    lab.page.keyboard.press("Enter")
    base = lab.output.locator("g.node[aria-pressed=true]")
    expect(base).not_to_have_attribute("aria-label", re.compile(f"^{TOP}, applied"))
    chosen = base.get_attribute("aria-label").split(", ")[0]
    expect(lab.output.locator(".migrollback-history-row[aria-selected=true]")).to_contain_text(chosen)
    lab.field("Select").fill("gift")
    expect(lab.output.get_by_role("listbox", name="What may stand here")).to_contain_text(demo.FAILING)
    lab.page.keyboard.press("ArrowDown")
    lab.page.keyboard.press("Enter")
    expect(lab.field("Select")).to_have_value(demo.FAILING)
    expect(lab.output.locator("g.node")).to_have_count(1)
    lab.button("Clear the selector").click()
    lab.output.get_by_role("button", name=f"{demo.FAILING}, applied").click()
    expect(lab.output.get_by_role("button", name=f"{demo.FAILING}, applied")).to_have_attribute("aria-pressed", "true")
    lab.output.get_by_role("tab", name="Plan").click()
    expect(lab.output.get_by_text("Plan of")).to_be_visible()
    lab.output.get_by_role("tab", name="Lanes").click()
    expect(lab.output.get_by_text("Lanes by")).to_be_visible()
    lab.output.get_by_role("tab", name="Graph").click()
    expect(lab.output.get_by_text("Dependencies:")).to_be_visible()
    before = lab.output.locator("svg[viewBox]").first.bounding_box()
    lab.button("Zoom in").click()
    assert lab.output.locator("svg[viewBox]").first.bounding_box() != before
    lab.page.mouse.move(0, 0)
    assert lab.inspect("9_graph") == []


@pytest.mark.long
def test_a_restart_of_the_kernel_and_a_reload_of_the_page_lose_nothing(
    lab: Laboratory, connect: str, shop: psycopg.Connection
) -> None:
    lab.theme("Light")
    shop.execute(
        "UPDATE migration_history SET rollback_sql = rollback_sql || E'\\n;SELECT pg_sleep(600);' WHERE migration_name"
        " = %s",
        (TOP,),
    )
    lab.notebook(connect, "mr.panels.RollbackPanel(db)")
    lab.field("Migration").select_option(label=lab.option("Migration", TOP))
    lab.button("Preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("pg_sleep")
    lab.field("Name").fill(TOP)
    lab.field("Reason").fill("INC-46")
    lab.button("Roll back").click()
    sleeping = eventually_sleeps(shop)
    lab.restart_kernel()
    eventually(
        lambda: not value(shop, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", sleeping),
        "the server has noticed that the client is gone",
    )
    assert status(shop, TOP) == "applied"
    lab.run_all()
    expect(lab.button("Roll back")).to_be_disabled()
    expect(lab.field("Migration").locator("option", has_text=TOP)).to_have_count(1)
    shop.execute(
        "UPDATE migration_history SET rollback_sql = replace(rollback_sql, E'\\n;SELECT pg_sleep(600);', '') WHERE"
        " migration_name = %s",
        (TOP,),
    )
    lab.field("Migration").select_option(label=lab.option("Migration", TOP))
    lab.button("Preview").click()
    expect(lab.field("Name")).to_be_enabled()
    lab.save()
    lab.reload()
    # the panel lives in the kernel: the page has it again
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("DROP TABLE")
    lab.accept()
    lab.field("Name").fill(TOP)
    lab.field("Reason").fill("INC-46")
    lab.button("Roll back").click()
    expect(lab.text("Done: ")).to_be_visible()
    assert status(shop, TOP) == "rolled_back"


HOSTILE = """1_<img src=x onerror=alert('1')>"&amp;\u202e\u2066 DROP"""
TEXT = """</pre></div><script>alert("x")</script><b onclick='alert(1)'>\x1b[31m\u202egnp"""


@pytest.mark.long
def test_a_hostile_migration_is_inert(lab: Laboratory, connect: str, shop: psycopg.Connection) -> None:
    lab.theme("Light")
    quoted = TEXT.replace("'", "''").replace("%", "%%")
    shop.execute(
        "SELECT * FROM register_migrations(%s::jsonb)",
        (
            json.dumps(
                [
                    {
                        "name": HOSTILE,
                        "version": "1",
                        "notes": TEXT,
                        "rollback_sql": f"DO $$ BEGIN RAISE WARNING '{quoted}'; END $$; SELECT '{quoted}'",
                        "depends_on": [TOP],
                    }
                ]
            ),
        ),
    )
    shop.execute("UPDATE migration_history SET notes = %s WHERE migration_name = %s", (TEXT, HOSTILE))
    lab.notebook(
        connect,
        "graph = mr.panels.GraphPanel(db)\ngraph",
        "mr.panels.RollbackPanel(graph)",
        "mr.panels.HistoryPanel(graph, lanes=False)",
    )
    lab.button("Show all of it").click()
    lab.output.locator("g.node[aria-label*=onerror]").click()
    lab.button("Check").click()
    expect(lab.text("Can rollback")).to_be_visible()
    lab.button("Preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("RAISE WARNING")
    lab.button("Rehearse").click()
    expect(lab.card).to_contain_text("changes nothing")
    lab.field("Name").fill(HOSTILE)
    lab.field("Reason").fill(TEXT)
    lab.button("Roll back").click()
    expect(lab.text(re.compile("^(Done|Look closer): "))).to_be_visible()
    assert lab.output.locator("script, img, [onclick], [onerror]").count() == 0
    shown = lab.page.locator(".jp-NotebookPanel").inner_text()
    assert not set(shown) & set("\x1b\u202e\u2066")
    assert "<U+202E>" in shown
    lab.shoot("10_hostile_light")
