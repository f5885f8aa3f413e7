"""Lists, the graph and the table while the kernel is behind: what is chosen is what was clicked.
And a list keeps its place, its focus and its keys."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from watching import eventually

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    import psycopg
    from laboratory import Laboratory

TOP = "20250120_add_project_tags"
OTHER = "20250120_add_user_settings"
OLDEST = "20250110_base_shop"
NEWEST = "20251019232120_ai_routing_metadata"


class Gate:
    """While it is closed the kernel hears of nothing that is done in a panel."""

    def __init__(self, lab: Laboratory, path: Path) -> None:
        self._lab = lab
        self._path = path
        self._writer: int | None = None
        os.mkfifo(path)

    def reached(self) -> bool:
        """Whether the kernel waits here."""
        try:
            self._writer = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads there
                return False
            raise
        return True

    @contextlib.contextmanager
    def closed(self, then: str = "pass") -> Iterator[None]:
        """Let the kernel wait, and at the end do something before it hears of what was done meanwhile."""
        # whoever draws, or handles what a panel has sent, takes this lock, whichever thread it is
        self._lab.run(
            f"from migrollback_nb.panels.state import LOCK\nwith LOCK:\n    open({str(self._path)!r}).read()\n   "
            f" {then}"
        )
        eventually(self.reached, "the kernel waits at the gate", seconds=60)
        assert self._writer is not None
        try:
            yield
        finally:
            os.close(self._writer)


@pytest.fixture
def gate(lab: Laboratory, tmp_path: Path) -> Gate:
    return Gate(lab, tmp_path / "gate")


def previewed(lab: Laboratory, words: str) -> None:
    lab.button("Preview").click()
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text(words)


@pytest.mark.long
def test_the_row_that_was_clicked_is_chosen_though_the_filter_changes_the_list_at_the_same_time(
    lab: Laboratory, connect: str, gate: Gate
) -> None:
    lab.theme("Light")
    lab.notebook(connect, f"panel = mr.panels.RollbackPanel(db, selected={OLDEST!r})\npanel")
    rows = lab.field("Migration").locator("option")
    expect(rows.filter(has_text=OLDEST)).to_have_count(1)
    with gate.closed():
        lab.field("Filter").fill("20250120")
        rows.filter(has_text=OTHER).click()
        lab.button("Preview").click()
        expect(rows.filter(has_text=OLDEST)).to_have_count(1)  # still the list from before
    expect(rows.filter(has_text=OLDEST)).to_have_count(0)
    expect(lab.output.get_by_role("region", name="Preview")).to_contain_text("user_settings")
    expect(lab.field("Migration").locator("option:checked")).to_contain_text(OTHER)
    expect(lab.field("Migration").locator("option:checked")).to_have_count(1)


@pytest.mark.long
def test_a_row_that_has_gone_is_not_chosen_and_none_in_its_place(lab: Laboratory, connect: str, gate: Gate) -> None:
    lab.theme("Light")
    lab.notebook(connect, "panel = mr.panels.RollbackPanel(db)\npanel")
    rows = lab.field("Migration").locator("option")
    expect(rows.filter(has_text=TOP)).to_have_count(1)
    with gate.closed():
        lab.field("Filter").fill("user_settings")
        rows.filter(has_text=TOP).click()
        expect(lab.field("Migration").locator("option:checked")).to_contain_text(TOP)
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(OTHER)
    expect(lab.field("Migration").locator("option:checked")).to_have_count(0)
    expect(lab.button("Preview")).to_be_disabled()


@pytest.mark.long
def test_the_last_click_wins_over_a_choice_by_the_kernel_that_crosses_it_and_is_shown_all_the_while(
    lab: Laboratory, connect: str, gate: Gate
) -> None:
    lab.theme("Light")
    lab.notebook(connect, "panel = mr.panels.RollbackPanel(db)\npanel")
    rows = lab.field("Migration").locator("option")
    expect(rows.filter(has_text=TOP)).to_have_count(1)
    with gate.closed(f"panel.selected = {OLDEST!r}"):
        rows.filter(has_text=TOP).click()
        rows.filter(has_text=OTHER).click()
        # what the page shows from here on
        lab.field("Migration").evaluate(
            "list => { window.shown = new Set(); const look = () => { window.shown.add(list.selectedOptions[0]?.value);"
            " requestAnimationFrame(look); }; look(); }"
        )
    previewed(lab, "user_settings")
    assert lab.page.evaluate("() => [...window.shown]") == [OTHER]


def test_what_the_kernel_chooses_is_shown_and_scrolled_to(
    lab: Laboratory, connect: str, shop: psycopg.Connection, gate: Gate
) -> None:
    lab.theme("Light")
    fill(shop)
    lab.notebook(connect, "panel = mr.panels.RollbackPanel(db)\npanel")
    row = lab.field("Migration").locator("option", has_text="0100_of_many")
    expect(row).to_have_count(1)
    with gate.closed("panel.selected = '0100_of_many'"):
        assert not seen(row)
    expect(lab.field("Migration").locator("option:checked")).to_contain_text("0100_of_many")
    assert seen(row)


def fill(shop: psycopg.Connection) -> None:
    """Many more migrations, older than the demo's."""
    shop.execute(
        "SELECT * FROM register_migrations((SELECT jsonb_agg(jsonb_build_object('name', to_char(n, 'FM0000') ||"
        " '_of_many', 'version', to_char(n, 'FM0000'), 'rollback_sql', 'SELECT 1')) FROM generate_series(1, 150) AS n))"
    )


def seen(row: Any) -> bool:
    """Whether a row of a list is in its visible part."""
    return row.evaluate(
        "row => { const list = row.parentElement.getBoundingClientRect(), own = row.getBoundingClientRect();"
        " return own.height > 0 && own.top >= list.top && own.bottom <= list.bottom; }"
    )


@pytest.mark.long
def test_a_list_that_is_refreshed_keeps_its_place_its_focus_and_its_keys(
    lab: Laboratory, connect: str, shop: psycopg.Connection, gate: Gate
) -> None:
    lab.theme("Light")
    fill(shop)
    new = "({'migration_name': 'new', 'can_rollback': True, 'blocking_reason': None}, *panel.migrations)"
    lab.notebook(connect, "panel = mr.panels.RollbackPanel(db)\npanel")
    field = lab.field("Migration")
    keys = lab.page.keyboard
    cells = lab.page.locator(".jp-NotebookPanel .jp-Cell").count()

    def chosen(words: str) -> Callable[[], bool]:
        return lambda: words in field.locator("option:checked").inner_text()

    expect(field.locator("option", has_text="0100_of_many")).to_have_count(1)
    with gate.closed(f"panel.update(busy='Reading'); panel.update(busy='', migrations={new})"):
        field.focus()
        keys.press("End")
        first = field.locator("option").last.inner_text()
        eventually(chosen(first), "End leads to the last")
        keys.press("Home")
        keys.type("0100")
        eventually(chosen("0100_of_many"), "letters lead to what begins with them")
        keys.press("ArrowDown")
        keys.press("ArrowDown")
        row = field.locator("option:checked")
        name = row.get_attribute("value")
        # somewhere else than where the choice is
        field.evaluate("list => { list.scrollTop -= 300; }")
        place = top(row)
    expect(field.locator("option", has_text="new")).to_have_count(1)
    eventually(lambda: field.locator("option:checked").get_attribute("value") == name, "the choice stays")
    expect(field).to_be_enabled()
    expect(field).to_be_focused()
    assert abs(top(row) - place) < 2
    keys.press("ArrowUp")
    expect(field.locator("option:checked")).not_to_have_attribute("value", name)
    keys.press("ArrowDown")
    expect(field.locator("option:checked")).to_have_attribute("value", name)
    # none of them was the notebook's
    keys.type("ddbbaa")
    assert lab.page.locator(".jp-NotebookPanel .jp-Cell").count() == cells
    assert lab.faults() == []


def top(row: Any) -> float:
    return row.evaluate("row => row.getBoundingClientRect().top - row.parentElement.getBoundingClientRect().top")


@pytest.mark.long
def test_a_row_that_is_pressed_does_not_move_under_the_pointer(lab: Laboratory, connect: str, gate: Gate) -> None:
    lab.theme("Light")
    lab.notebook(connect, "panel = mr.panels.RollbackPanel(db)\npanel")
    rows = lab.field("Migration").locator("option")
    row = rows.filter(has_text=TOP)
    expect(row).to_have_count(1)
    count = rows.count()
    mouse = lab.page.mouse
    with gate.closed("panel.update(migrations=panel.migrations[1:])"):
        row.hover()
        mouse.down()
    lab.run("panel.layout.border = '1px solid'")  # after the list has changed there
    expect(lab.output.locator(".widget-vbox").first).to_have_css("border-top-style", "solid")
    box = row.bounding_box()
    assert box is not None
    mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    expect(rows).to_have_count(count)
    mouse.up()
    expect(rows).to_have_count(count - 1)
    expect(lab.field("Migration").locator("option:checked")).to_contain_text(TOP)
    previewed(lab, "project_tags")


@pytest.mark.long
def test_a_node_that_was_clicked_is_chosen_though_another_drawing_comes_at_the_same_time(
    lab: Laboratory, connect: str, gate: Gate
) -> None:
    lab.theme("Light")
    lab.notebook(connect, "panel = mr.panels.GraphPanel(db)\npanel")
    nodes = lab.output.locator("g.node")
    clicked = lab.output.locator(f"g.node[aria-label^='{OTHER}, applied']")
    marked = lab.output.locator("g.node[aria-pressed=true]")
    expect(clicked).to_have_count(1)
    every = nodes.count()
    # the first and the last of the drawing: wherever one counts from, each place is another's
    with gate.closed(
        "from dataclasses import replace; "
        f"part = panel.graph.graph.part(set(panel.graph.graph.names) - {{{OLDEST!r}, {NEWEST!r}}}); "
        "panel.update(graph=replace(panel.graph, graph=part))"
    ):
        clicked.click()
        expect(marked).to_have_attribute("aria-label", re.compile(f"^{OTHER}, applied"))
        expect(nodes).to_have_count(every)
    expect(nodes).to_have_count(every - 2)
    expect(marked).to_have_attribute("aria-label", re.compile(f"^{OTHER}, applied"))
    expect(lab.output.locator(".migrollback-graph-said")).to_contain_text(OTHER)


def test_a_row_of_the_history_that_was_clicked_is_chosen_though_the_search_changes_it_at_the_same_time(
    lab: Laboratory, connect: str, gate: Gate
) -> None:
    lab.theme("Light")
    lab.notebook(connect, "panel = mr.panels.HistoryPanel(db)\npanel")
    rows = lab.output.locator(".migrollback-history-row[data-place]")
    marked = lab.output.locator(".migrollback-history-row[aria-selected=true]")
    expect(rows.filter(has_text=OTHER)).to_have_count(1)
    expect(lab.output.locator("svg g.node")).not_to_have_count(0)  # the lanes beside it
    with gate.closed():
        lab.field("Search").fill("20250120")
        rows.filter(has_text=OTHER).click()
        expect(marked).to_contain_text(OTHER)
    expect(rows).to_have_count(3)
    expect(marked).to_contain_text(OTHER)
    rows.filter(has_text=TOP).click()
    expect(marked).to_contain_text(TOP)
    # what is chosen is not unchosen by a second click
    rows.filter(has_text=TOP).click()
    expect(marked).to_contain_text(TOP)
    assert lab.inspect("16_history") == []
    # by keyboard: a range of all three
    lab.output.get_by_role("grid", name="History").focus()
    for key in ("Home", "Enter", "Shift+End"):
        lab.page.keyboard.press(key)
    expect(marked).to_have_count(3)
    expect(lab.text("3 migrations")).to_be_visible()
    # a deploy, by its line
    lab.button("By deploy").click()
    lab.output.get_by_role("gridcell", name=re.compile("^Deploy ")).click()
    expect(marked).to_contain_text("Deploy ")
    expect(lab.output.get_by_text("chosen to be rolled back together")).to_be_visible()


@pytest.mark.long
def test_of_ten_thousand_rows_each_is_found_and_few_are_in_the_page(lab: Laboratory) -> None:
    lab.theme("Light")
    code = (
        "import types, datetime\nimport migrollback_nb as mr\nfrom migrollback_nb.panels import HistoryPanel\n"
        "from migrollback_nb.core.results import Target\n"
        "target = Target(host='h', port=1, database='d', user='u', server_version='18.6', schema='public')\n"
        "entry = dict(status='applied', applied_at=datetime.datetime.now(datetime.UTC), applied_by='ann',"
        " rollback_at=None, rollback_by=None, rollback_count=0, notes=None, description=None, deploy_id=None,"
        " proven='never')\n"
        "history = tuple(dict(entry, migration_name=f'{number:05}_step') for number in range(10_000))\n"
        "nothing = types.SimpleNamespace(unfinished=list, failed=list)\n"
        "base = types.SimpleNamespace(queries=nothing, session=types.SimpleNamespace(notices=()),"
        " connection=types.SimpleNamespace("
        "closed=False, info=types.SimpleNamespace(parameter_status={}.get)))\n"
        "db = types.SimpleNamespace(target=target, look_up_target=lambda: target, database=base, deploy_rows=list,"
        " registered_rows=lambda **_: history, list_rows=lambda **_: (), selector_facts=lambda: None)\n"
        "HistoryPanel(db)"
    )
    lab.notebook(code)
    rows = lab.output.locator(".migrollback-history-row[data-place]")
    expect(rows.first).to_contain_text("09999_step")
    assert rows.count() < 60
    grid = lab.output.get_by_role("grid", name="History")
    grid.focus()
    lab.page.keyboard.press("End")
    expect(rows.last).to_contain_text("00000_step")
    lab.field("Search").fill("04711")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("04711_step")
