"""db.graph() in a cell of JupyterLab: inline SVG with its reasons, light and dark, by keyboard, whole at 1366 x 768."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect

if TYPE_CHECKING:
    from laboratory import Laboratory

pytestmark = pytest.mark.long

BASE = "20250110_base_shop"
COLOURS = """() => [...document.querySelectorAll('.jp-OutputArea-output svg.migrollback-picture')].map((svg) =>
  getComputedStyle(svg.querySelector('.paper')).fill)"""


def test_a_graph_shows_itself_in_both_themes(lab: Laboratory, connect: str) -> None:
    lab.page.set_viewport_size({"width": 1366, "height": 768})
    lab.notebook(connect, "db.graph()", f"db.graph({BASE + '+'!r})", "db.graph(view='lanes')")
    pictures = lab.output.locator("svg.migrollback-picture")
    expect(pictures).to_have_count(3)
    for number in range(3):
        box = pictures.nth(number).bounding_box()
        frame = lab.output.locator(".migrollback-scroll").nth(number).bounding_box()
        assert box is not None
        assert frame is not None
        assert box["height"] <= 640
    smallest = lab.page.evaluate(
        "() => Math.min(...[...document.querySelectorAll('svg.migrollback-picture text')].map((one) =>"
        " parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a))"
    )
    assert smallest > 10.9
    # the reason of an edge: its title for the mouse, the table for the keyboard
    edge = pictures.nth(0).locator("g.edge").first
    assert "depends on" in (edge.locator("title").text_content() or "")
    lab.output.locator("details.migrollback-reasons summary").first.focus()
    lab.page.keyboard.press("Enter")
    expect(lab.output.locator("details.migrollback-reasons table").first).to_be_visible()
    lab.page.keyboard.press("Enter")
    for theme, paper in (("Light", "rgb(255, 255, 255)"), ("Dark", "rgb(30, 30, 30)")):
        lab.theme(theme)
        assert set(lab.page.evaluate(COLOURS)) == {paper}
        lab.shoot(f"graph_in_a_cell_{theme.lower()}")
        assert lab.faults() == []
    lab.theme("Light")
