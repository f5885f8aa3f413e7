"""The views of dependencies as SVG: nodes and edges by their ids, what is left out is said, names stay text."""

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from unit.test_digraph import HOSTILE

from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import dag, lanes, plan, svg, theme
from migrollback_nb.display.graph.facts import GraphFacts, Touched, node_id
from migrollback_nb.display.graph.short_names import short_names

SVG = "{http://www.w3.org/2000/svg}"
VIEWS = {"dag": dag.draw, "plan": plan.draw, "lanes": lanes.draw}


def facts(statuses, edges=(), tables=None, **more):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return GraphFacts(
        graph=DependencyGraph(statuses, [edge if isinstance(edge, Edge) else Edge(*edge) for edge in edges]),
        applied_at={name: start + timedelta(days=place) for place, name in enumerate(statuses)},
        objects=tuple(
            Touched(migration_name=name, action="created", kind="table", identity=table, table=table)
            for name, found in (tables or {}).items()
            for table in found
        ),
        **more,
    )


def elements(drawing, kind):
    return [one for one in ET.fromstring(drawing.svg).iter(f"{SVG}g") if kind in (one.get("class") or "").split()]


def text_of(drawing):
    return " ".join("".join(one.itertext()) for one in ET.fromstring(drawing.svg).iter(f"{SVG}text"))


CHAIN = facts(
    dict.fromkeys(("001_base", "002_middle", "003_top", "004_apart"), "applied"),
    [
        Edge("002_middle", "001_base", "inferred", ("table public.base",)),
        Edge("003_top", "002_middle", "inferred", ("schema app",)),
        Edge("003_top", "001_base"),
    ],
    {"001_base": ["public.base"], "002_middle": ["public.base", "public.middle"]},
)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("look", ["auto", "light", "dark"])
def test_each_node_has_the_id_of_its_migration(view, look):
    drawing = VIEWS[view](CHAIN, CHAIN.graph.names, look=look)
    assert {node.get("id") for node in elements(drawing, "node")} == {node_id(name) for name in CHAIN.graph.names}
    assert set(drawing.words) == set(drawing.names) == {node_id(name) for name in CHAIN.graph.names}


@pytest.mark.parametrize("view", ["dag", "plan"])
def test_an_edge_says_its_ends_its_source_and_its_reason(view):
    drawing = VIEWS[view](CHAIN, CHAIN.graph.names, reduce=False)
    found = {
        (one.get("data-dependent"), one.get("data-dependency")): (one.get("data-source"), one.get("data-schema-only"))
        for one in elements(drawing, "edge")
    }
    assert found == {
        (node_id("002_middle"), node_id("001_base")): ("inferred", "false"),
        (node_id("003_top"), node_id("002_middle")): ("inferred", "true"),
        (node_id("003_top"), node_id("001_base")): ("declared", "false"),
    }
    titles = [one.find(f"{SVG}title").text for one in elements(drawing, "edge")]
    assert "002_middle depends on 001_base (inferred: table public.base)" in titles
    assert len([one for one in ET.fromstring(drawing.svg).iter() if one.get("class") == "migrollback-wide"]) == 3


def test_edges_that_follow_from_others_are_counted_not_drawn():
    drawing = dag.draw(CHAIN, CHAIN.graph.names)
    assert len(elements(drawing, "edge")) == 2
    assert "1 more follows from these and is not drawn" in text_of(drawing)


def test_a_part_says_what_leads_outside_at_each_node_and_in_all():
    drawing = dag.draw(CHAIN, ["002_middle"])
    shown = text_of(drawing)
    assert "1 of 4 migrations" in shown
    assert "+1 older +1 newer" in shown
    assert "2 edges lead outside" in shown


def test_more_than_the_limit_is_said_and_the_choice_is_kept():
    names = {f"{place:03}": "applied" for place in range(40)}
    many = facts(names, [(f"{place + 1:03}", f"{place:03}") for place in range(39)])
    drawing = dag.draw(many, many.graph.names, chosen=["000"], limit=5)
    assert set(drawing.names.values()) == {"000", "001", "002", "003", "004"}
    assert "35 migrations are not drawn" in text_of(drawing)
    newest = dag.draw(many, many.graph.names, limit=5)
    assert set(newest.names.values()) == {"035", "036", "037", "038", "039"}


@pytest.mark.parametrize("view", VIEWS)
def test_where_no_one_looked_the_picture_says_so(view):
    drawing = VIEWS[view](facts({"a": "applied", "b": "applied"}, not_looked=2), ["a", "b"])
    assert "Not inferred yet: of 2 migrations no one looked" in text_of(drawing)


@pytest.mark.parametrize("view", VIEWS)
def test_what_falls_is_what_the_plan_says(view):
    drawing = VIEWS[view](CHAIN, CHAIN.graph.names, chosen=["002_middle"])
    said = {drawing.names[one]: words for one, words in drawing.words.items()}
    assert "chosen" in said["002_middle"]
    assert "falls, number 1 of 2" in said["003_top"]
    assert view == "plan" or "needed" in said["001_base"]
    assert "2 fall; longest chain 2; depends on 1 migration" in text_of(drawing)


def test_the_plan_has_a_row_for_each_step_in_order_with_reason_and_verdict():
    known = facts(
        CHAIN.graph.statuses, CHAIN.graph.edges, verdicts={"002_middle": "ready"}, bare=frozenset({"003_top"})
    )
    drawing = plan.draw(known, (), chosen=["001_base"])
    rows = [[one.text for one in row.iter(f"{SVG}text")] for row in elements(drawing, "step")]
    assert rows == [
        ["1", "003_top", "schema app of 002_middle +1", "✗ no rollback SQL"],
        ["2", "002_middle", "table public.base of 001_base", "✓ ready"],
        ["3", "001_base", "asked for"],
    ]


def test_what_is_rolled_back_already_is_counted_beside_the_plan():
    known = facts({"a": "applied", "b": "rolled_back", "c": "failed"}, [("b", "a"), ("c", "b")])
    drawing = plan.draw(known, (), chosen=["a"])
    assert [drawing.names[one] for one in drawing.names] == ["c", "a"]
    assert "1 more depends on it and is rolled back already" in text_of(drawing)
    assert "2 fall, 1 of them not applied" in text_of(drawing)


def test_lanes_have_a_row_for_each_table_and_a_dot_in_each_that_is_touched():
    drawing = lanes.draw(CHAIN, CHAIN.graph.names)
    dots = {node.get("id"): len(list(node.iter(f"{SVG}circle"))) for node in elements(drawing, "node")}
    assert dots == {node_id("001_base"): 1, node_id("002_middle"): 2, node_id("003_top"): 1, node_id("004_apart"): 1}
    assert {"base", "middle", "no table"} <= {one.text for one in ET.fromstring(drawing.svg).iter(f"{SVG}text")}


def test_more_lanes_than_a_screen_has_share_one_and_that_is_said():
    names = [f"{place:03}" for place in range(80)]
    many = facts(dict.fromkeys(names, "applied"), (), {name: [f"public.t{name}"] for name in names})
    drawing = lanes.draw(many, names)
    assert "35 other tables" in text_of(drawing)
    assert "35 tables with fewest migrations share one lane" in text_of(drawing)
    assert len(elements(drawing, "node")) == 80
    assert drawing.height <= 596  # what the panel gives it, whole


@pytest.mark.parametrize("group", ["schema", "deploy", "actor"])
def test_lanes_by_something_else(group):
    known = facts({"a": "applied"}, (), {"a": ["app.t"]}, actors={"a": "mara"}, deploys={"a": "v2"})
    drawing = lanes.draw(known, ["a"], group=group)
    assert {"schema": "app", "deploy": "v2", "actor": "mara"}[group] in text_of(drawing)


def test_400_migrations_fit_one_screen_in_lanes():
    names = [f"{place:03}" for place in range(400)]
    many = facts(dict.fromkeys(names, "applied"), (), {name: [f"t.t{int(name) % 40}"] for name in names})
    drawing = lanes.draw(many, names)
    assert drawing.width <= 1160
    assert drawing.height <= 640


@pytest.mark.parametrize("view", VIEWS)
def test_hostile_names_stay_text(view):
    names = [*HOSTILE, "</title><script>alert(1)</script>", "]]>"]
    known = facts(dict.fromkeys(names, "applied"), [(names[0], name) for name in names[1:]], {"001:port": HOSTILE})
    drawing = VIEWS[view](known, names, labels="full") if view != "lanes" else lanes.draw(known, names)
    root = ET.fromstring(drawing.svg)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
        "svg", "style", "g", "title", "text", "rect", "path", "polygon", "circle"
    }  # fmt: skip
    assert sorted(drawing.names.values()) == sorted(names)
    if view == "dag":
        shown = {one.text for one in root.iter(f"{SVG}text")}
        assert {one_line(name) for name in names} <= shown


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_and_cycles_draw(view):
    assert ET.fromstring(VIEWS[view](facts({}), []).svg) is not None
    cycle = facts(dict.fromkeys("abc", "applied"), [("a", "b"), ("b", "a"), ("c", "a")])
    assert len(elements(VIEWS[view](cycle, "abc", chosen=["a"]), "node")) == 3


def test_short_names_are_unlike_each_other():
    names = [
        "20230101120000_add_users",
        "20230201120000_add_users",
        "V12__x",
        "0012_x",
        "x",
        "2023",
        "a" * 90,
        "a" * 91,
    ]
    short = short_names(names)
    assert len(set(short.values())) == len(names)
    assert short["20230101120000_add_users"] == "120000 add_users" or "add_users" in short["20230101120000_add_users"]
    assert short["2023"] == "2023"


def test_two_themes_on_one_page_do_not_mix():
    for look in ("light", "dark", "auto"):
        sheet = theme.css(look)
        assert f".mr-{look}{{" in sheet
        assert "@" not in sheet.replace("@media", "")
        assert not re.search(r"mr-(?!" + look + r"|auto)(light|dark)\b", sheet)


def test_what_was_asked_for_and_its_verdict_stand_beside_each_other() -> None:
    facts = GraphFacts(graph=DependencyGraph({"1_alone": "applied"}), verdicts={"1_alone": "not_rehearsed"})
    texts = re.findall(r'<text x="([\d.]+)"[^>]*>([^<]+)</text>', plan.draw(facts, ("1_alone",)).svg)
    at = {words: float(x) for x, words in texts}
    assert at["? not rehearsed"] > at["asked for"] + 50


def test_dashes_of_lines_that_share_a_part_are_in_step():
    """Each begins at the migration that is depended on, to which the shared part leads."""
    names = [f"{number:03}_m" for number in range(12)]
    arrows = [Edge(name, names[0], source="inferred") for name in names[1:]]
    arrows += [Edge(name, names[1], source="inferred") for name in names[2:]]
    arrows += [Edge(names[11], names[2])]
    root = ET.fromstring(dag.draw(facts(dict.fromkeys(names, "applied"), arrows), names, labels="full").svg)
    for one in elements_of_edges(root):
        path = one.find(f"{SVG}path").get("d")
        head = [float(number) for number in one.find(f"{SVG}polygon").get("points").split(" ")[0].split(",")]
        begin, end = ([float(number) for number in point] for point in (ends(path)))
        is_inferred = "inferred" in one.get("class")
        near = begin if is_inferred else end
        assert abs(near[0] - head[0]) + abs(near[1] - head[1]) < 15, path
        assert svg.from_its_end(svg.from_its_end(path)) == path


def elements_of_edges(root):
    return [one for one in root.iter(f"{SVG}g") if (one.get("class") or "").startswith("edge ")]


def ends(path):
    points = re.findall(r"(-?[0-9.]+),(-?[0-9.]+)", path)
    return points[0], points[-1]
