"""The drawing of GraphPanel in a page without a notebook: what falls is what the plan says, each line answers to its
reason, by mouse and by keyboard."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from drawing_page import show

from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.display.graph import dag, lanes, plan
from migrollback_nb.display.graph.facts import GraphFacts, node_id
from migrollback_nb.panels.graph_drawing import GraphDrawing, facts_of

expect: Any = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright").expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

#: 1 falls with nothing; 2 and 3 rest on 1, 4 on 2 and 3, 5 on 4 and is rolled back, 6 on 5; 7 stands alone.
SMALL = DependencyGraph(
    {
        "1_base": "applied",
        "2_left": "applied",
        "3_right": "failed",
        "4_both": "applied",
        "5_gone": "rolled_back",
        "6_top": "applied",
        "7_alone": "applied",
    },
    [
        Edge("2_left", "1_base", "inferred", ("table public.base",)),
        Edge("3_right", "1_base", "inferred", ("schema shop",)),
        Edge("4_both", "2_left"),
        Edge("4_both", "3_right"),
        Edge("5_gone", "4_both"),
        Edge("6_top", "5_gone"),
    ],
)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page(viewport={"width": 1366, "height": 768})
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    yield made
    made.close()
    assert errors == []


def drawing(graph: DependencyGraph, view: str = "graph", *, bare: tuple[str, ...] = (), **state: Any) -> GraphDrawing:
    facts = GraphFacts(graph=graph)
    drawn = {
        "graph": lambda: dag.draw(facts, graph.names, reduce=False, limit=None),
        "plan": lambda: plan.draw(facts, (graph.names[0],)),
        "lanes": lambda: lanes.draw(facts, graph.names),
    }[view]()
    return GraphDrawing(svg=drawn.svg, facts=facts_of(graph, bare), view=view, drawn=view, **state)


def tangle(count: int, seed: int) -> DependencyGraph:
    chance = random.Random(seed)
    names = [f"{number:04}_step" for number in range(count)]
    chosen = ("applied", "applied", "applied", "rolled_back", "failed")
    edges = {
        (name, names[max(0, place - chance.randrange(1, 12))])
        for place, name in enumerate(names)
        if place
        for _ in range(chance.randrange(3))
    }
    return DependencyGraph({name: chance.choice(chosen) for name in names}, [Edge(*edge) for edge in sorted(edges)])


def marked(page: Page, kind: str) -> list[str]:
    """Names of what is marked so in the drawing, by what a screen reader says."""
    nodes = page.locator(f"g.node.{kind}")
    return sorted(str(words).split(",")[0] for words in nodes.evaluate_all("all => all.map(one => one.ariaLabel)"))


#: What the page marks for each of these ids, and what it says.
MARKED = """
ids => new Promise(resolve => {
  const found = {};
  const next = place => {
    if (place === ids.length) return resolve(found);
    model.change({ chosen: ids[place] });
    requestAnimationFrame(() => setTimeout(() => setTimeout(() => {
      const words = kind => [...document.querySelectorAll(`g.node.${kind}`)].map(one => one.ariaLabel);
      found[ids[place]] = [words("falls"), words("needs"), document.querySelector("[role=status]").textContent];
      next(place + 1);
    })));
  };
  next(0);
})
"""


@pytest.mark.parametrize("seed", range(2))
def test_what_is_marked_as_falling_is_the_plan_in_its_order_and_the_rest_is_what_it_depends_on(
    page: Page, seed: int
) -> None:
    graph = tangle(60, seed)
    show(page, drawing(graph, "lanes"))
    names = graph.names[::4]
    found = page.evaluate(MARKED, [node_id(name) for name in names])
    for name in names:
        falls, needs, said = found[node_id(name)]
        falling = graph.falling(name)
        assert {words.split(",")[0] for words in falls} == {*falling}
        assert {words.split(",")[0] for words in needs} == {*graph.required(name)}
        for words in falls:
            one = words.split(",")[0]
            assert one == name or f"falls as number {falling.index(one) + 1} of {len(falling)}" in words
        assert f"longest chain {len(graph.longest_chain(name))}" in said


def test_it_says_how_many_fall_and_what_stands_in_the_way(page: Page) -> None:
    show(page, drawing(SMALL, bare=("6_top",), verdicts=["✘ blocked", *[""] * 6]))
    page.get_by_role("button", name="1_base, applied, ✘ blocked").click()
    expect(page.get_by_role("status")).to_have_text(
        "1_base (✘ blocked): 5 fall, 1 of them not applied, 1 without rollback; longest chain 4; 1 more depends on it"
        " and is rolled back already. It depends on none."
    )
    assert marked(page, "rests") == ["5_gone"]
    assert page.evaluate("model.sent") == [
        {"selected": node_id("1_base"), "view": page.evaluate("model.sent[0].view"), "number": 1}
    ]


def test_a_line_is_hit_within_ten_pixels_takes_focus_and_says_its_reason(page: Page) -> None:
    show(page, drawing(SMALL))
    line = page.get_by_role("button", name="2_left depends on 1_base: inferred: table public.base")
    wide = line.locator(".migrollback-wide")
    assert wide.evaluate("one => getComputedStyle(one).strokeWidth") == "10px"
    at = wide.evaluate(
        "one => { const point = one.getPointAtLength(one.getTotalLength() / 2).matrixTransform(one.getScreenCTM());"
        " return [point.x, point.y]; }"
    )
    page.mouse.click(at[0] + 3, at[1] + 1)
    expect(line).to_be_focused()
    expect(page.locator(".migrollback-graph-why")).to_have_text("2_left depends on 1_base: inferred: table public.base")
    expect(page.locator("tr.migrollback-looked-at")).to_contain_text("table public.base")
    page.keyboard.press("ArrowRight")
    other = page.locator("g.edge:focus")
    expect(other).to_have_count(1)
    assert other.get_attribute("aria-label") != "2_left depends on 1_base: inferred: table public.base"


def test_the_list_has_a_row_for_each_reason_and_a_row_shows_its_line(page: Page) -> None:
    show(page, drawing(SMALL))
    rows = page.locator(".migrollback-reasons tbody tr")
    expect(rows).to_have_count(6)
    page.get_by_role("button", name="2_left, applied").click()
    # its own first, then what falls, then what it depends on; nothing of 3_right but what 4_both needs of it
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("4_both")
    rows.first.focus()
    expect(page.locator("g.edge.migrollback-looked-at")).to_have_attribute(
        "aria-label", "4_both depends on 2_left: declared by the file"
    )
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("model.sent.length") == 2


def test_edges_by_schema_alone_are_thin_and_go_by_one_tick(page: Page) -> None:
    show(page, drawing(SMALL))
    line = page.locator("g.edge.schema-only")
    expect(line).to_have_count(1)
    expect(line).to_be_visible()
    thin = "one => parseFloat(getComputedStyle(one.querySelector('path:not(.migrollback-wide)')).strokeWidth)"
    assert line.evaluate(thin) < page.locator("g.edge:not(.schema-only)").first.evaluate(thin)
    page.get_by_label("edges by schema alone").uncheck()
    expect(line).to_be_hidden()
    expect(page.locator(".migrollback-reasons tbody tr")).to_have_count(5)
    page.get_by_role("button", name="1_base, applied").click()
    assert marked(page, "falls") == sorted(SMALL.falling("1_base"))  # what is hidden falls all the same


def test_by_keyboard_one_walks_chooses_and_changes_tabs(page: Page) -> None:
    show(page, drawing(SMALL))
    page.get_by_role("tab", name="Graph").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('view')") == "lanes"
    expect(page.get_by_role("tab", name="Lanes")).to_be_focused()
    page.locator("g.node[tabindex='0']").focus()
    before = page.locator("g.node:focus").get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    assert page.locator("g.node:focus").get_attribute("aria-label") != before
    page.keyboard.press("Enter")
    expect(page.locator("g.node:focus")).to_have_attribute("aria-pressed", "true")


def test_a_choice_is_kept_in_view_and_the_map_leads_there(page: Page) -> None:
    graph = tangle(120, 1)
    show(page, drawing(graph))
    expect(page.locator("canvas.migrollback-minimap")).to_be_visible()
    for name in (graph.names[5], graph.names[110]):
        page.evaluate("id => model.change({ chosen: id })", node_id(name))
        node = page.locator("g.node.chosen")
        expect(node).to_have_attribute("aria-label", f"{name}, {node.get_attribute('aria-label').split(', ')[1]}")
        frame, box = page.locator(".migrollback-graph-frame").bounding_box(), node.bounding_box()
        assert frame is not None
        assert box is not None
        assert frame["x"] <= box["x"] <= frame["x"] + frame["width"]
        assert frame["y"] <= box["y"] <= frame["y"] + frame["height"]
    before = page.locator(".migrollback-graph-frame").evaluate(
        "one => { one.scrollTo(1e6, 1e6); return [one.scrollLeft, one.scrollTop]; }"
    )
    page.locator("canvas.migrollback-minimap").click(position={"x": 3, "y": 3})
    assert page.locator(".migrollback-graph-frame").evaluate("one => [one.scrollLeft, one.scrollTop]") != before
    show(page, drawing(SMALL))
    expect(page.locator("canvas.migrollback-minimap")).to_be_hidden()


@pytest.mark.long
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("view", ["graph", "plan", "lanes"])
def test_nothing_of_it_is_faulty_for_those_who_do_not_see_it(page: Page, view: str, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    show(page, drawing(SMALL, view, chosen=node_id("1_base")), dark=dark)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [
        (fault["id"], [node["html"][:150] for node in fault["nodes"]])
        for fault in found
        if fault["impact"] in ("serious", "critical") and fault["id"] not in ("document-title", "html-has-lang")
    ] == []


def test_a_row_of_facts_that_are_gone_is_gone(page: Page) -> None:
    show(page, drawing(SMALL))
    rows = page.locator(".migrollback-reasons tbody tr")
    expect(rows).to_have_count(6)
    box = rows.last.bounding_box()
    assert box is not None
    page.evaluate("facts => model.change({ facts })", facts_of(SMALL.part({"1_base", "2_left"}), ()))
    page.mouse.move(box["x"] + 5, box["y"] + 5)  # before the list is written anew
    expect(rows).to_have_count(1)


def test_numbers_are_as_large_as_other_text(page: Page) -> None:
    for view in ("graph", "lanes"):
        show(page, drawing(SMALL, view, chosen=node_id("1_base")))
        numbers = page.locator(".migrollback-number text")
        expect(numbers.first).to_be_attached()
        sizes = numbers.evaluate_all("all => all.map(one => parseFloat(getComputedStyle(one).fontSize))")
        assert min(sizes) >= 11


def test_another_view_begins_at_its_heading_and_the_same_one_stays_where_it_was(page: Page) -> None:
    many = drawing(tangle(120, 1), "plan")
    show(page, many)
    frame = page.locator(".migrollback-graph-frame")
    frame.evaluate("one => one.scrollTo(0, 150)")
    page.evaluate("svg => model.change({ svg })", str(many.svg) + " ")
    expect(page.locator(".migrollback-graph-frame svg")).to_have_count(1)
    assert frame.evaluate("one => one.scrollTop") == 150
    page.evaluate("svg => model.change({ svg, view: 'tables', drawn: 'tables' })", str(many.svg))
    expect(page.get_by_role("tab", name="Tables")).to_have_attribute("aria-selected", "true")
    assert frame.evaluate("one => one.scrollTop") == 0


def test_a_graph_begins_where_its_newest_migration_is(page: Page) -> None:
    # what has no line stands below in rows, the newest first: the last of the drawing is the oldest
    names = [f"{number:03}_stands_alone" for number in range(300)]
    show(page, drawing(DependencyGraph(dict.fromkeys(names, "applied"))))
    frame = page.locator(".migrollback-graph-frame")
    assert frame.evaluate("one => one.scrollHeight > one.clientHeight")
    assert frame.evaluate("one => one.scrollTop") == 0


def test_names_in_the_list_of_reasons_break_between_words(page: Page) -> None:
    long = {"20250110_base_shop": "applied", "20250120_add_project_analytics_again": "applied"}
    graph = DependencyGraph(long, [Edge(*reversed(long))])
    show(page, drawing(graph))
    name = page.locator(".migrollback-reasons td button").first
    assert name.text_content() == "add_project_analytics_again"
    assert name.locator("wbr").count() == 3


def test_of_very_many_dots_each_kind_of_mark_is_one_shape(page: Page) -> None:
    graph = tangle(500, 2)
    show(page, drawing(graph, "lanes"))
    for name in (graph.names[3], graph.names[200]):
        page.evaluate("id => model.change({ chosen: id })", node_id(name))
        dots = page.locator(".migrollback-overlay path").evaluate_all(
            "all => Object.fromEntries(all.map(one => [one.className.baseVal,"
            " one.getAttribute('d').split('M').length - 1]))"
        )
        falling, required = graph.falling(name), graph.required(name)
        assert dots.get("falls", 0) + dots["chosen"] == len(falling)
        assert dots.get("needs", 0) == len(required)
        assert dots.get("rests", 0) == len(set(graph.resting_on(name)) - set(falling))
        expect(page.locator(".migrollback-base")).to_have_class("migrollback-base migrollback-pale")
        expect(page.locator("g.node[aria-pressed='true']")).to_have_count(1)
        # names are written when the marks are seen
        expect(page.locator("g.node[aria-label*='falls as number']")).to_have_count(len(falling) - 1)
    page.evaluate("() => model.change({ chosen: '' })")
    expect(page.locator(".migrollback-overlay path")).to_have_count(0)
    expect(page.locator(".migrollback-pale")).to_have_count(0)
    expect(page.locator("g.node[aria-label*='falls as number']")).to_have_count(0)
