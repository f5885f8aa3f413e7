"""Where boxes and lines of a graph stand: no wider than a cell, nothing on top of another, dot or not."""

import random
from itertools import combinations, pairwise

import pytest

from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.display.graph import layout as laying
from migrollback_nb.display.graph.layout import WIDEST, layout


def wide_and_deep(seed=0, count=120):
    """As migrations are: a few bases on which most depend, long chains between."""
    chance = random.Random(seed)
    names = [f"{number:03}" for number in range(count)]
    lines = {
        (name, names[at if chance.random() < 0.6 else chance.randrange(max(1, place // 8))])
        for place, name in enumerate(names)
        if place
        for at in [chance.randrange(max(0, place - 6), place)]
    }
    return {name: (chance.uniform(90, 200), 22.0) for name in names}, sorted(lines)


def overlapping(found, sizes):
    def apart(one, other):
        (x, y), (to_x, to_y) = found.boxes[one], found.boxes[other]
        return (
            x + sizes[one][0] <= to_x
            or to_x + sizes[other][0] <= x
            or y + sizes[one][1] <= to_y
            or to_y + sizes[other][1] <= y
        )

    return [pair for pair in combinations(found.boxes, 2) if not apart(*pair)]


def check(found, sizes, lines):
    assert found.boxes.keys() == sizes.keys()
    assert found.lines.keys() == set(lines)
    assert overlapping(found, sizes) == []
    for (dependent, dependency), points in found.lines.items():
        assert len(points) % 3 == 1
        for name, (x, y) in ((dependent, points[0]), (dependency, points[-1])):
            (left, top), (wide, high) = found.boxes[name], sizes[name]
            assert left - 1 <= x <= left + wide + 1
            assert top - 1 <= y <= top + high + 1
            assert min(abs(x - left), abs(x - left - wide), abs(y - top), abs(y - top - high)) < 1


@pytest.mark.parametrize("seed", range(3))
def test_what_dot_makes_too_wide_stands_in_layers_that_fit(seed):
    sizes, lines = wide_and_deep(seed)
    assert layout(sizes, lines, rank="LR").width > WIDEST
    found = layout(sizes, lines)
    check(found, sizes, lines)
    assert found.width <= WIDEST
    for dependent, dependency in lines:
        assert found.boxes[dependent][1] < found.boxes[dependency][1]


def test_a_line_passes_no_box_on_its_way():
    sizes, lines = wide_and_deep(1)
    found = layout(sizes, lines)
    for line, points in found.lines.items():
        stops = points[::3]
        for (x, y), (to_x, to_y) in pairwise(stops):
            if x == to_x:  # upright, through a layer
                assert [
                    name
                    for name, (left, top) in found.boxes.items()
                    if name not in line and left < x < left + sizes[name][0] and top < to_y - 1 and y + 1 < top + 22
                ] == []


def test_one_box_wider_than_the_page_and_a_row_of_hundred_dependents():
    sizes = {"base": (2000.0, 22.0)} | {f"{number:03}": (150.0, 22.0) for number in range(100)}
    lines = [(name, "base") for name in sizes if name != "base"]
    found = layout(sizes, lines)
    check(found, sizes, lines)
    assert found.width < 2100


def test_cycles_are_laid_out_too():
    sizes, lines = wide_and_deep(2)
    lines += [("003", "090"), ("000", "119"), ("000", "001"), ("005", "007")]
    lines = list(dict.fromkeys(lines))
    check(layout(sizes, lines), sizes, lines)


def test_where_dot_does_not_come_to_an_end_it_is_not_waited_for(tmp_path, monkeypatch):
    endless = tmp_path / "dot"
    endless.write_text("#!/bin/sh\nexec sleep 600\n")
    endless.chmod(0o755)
    monkeypatch.setattr(laying.dot, "find_dot", lambda: endless)
    monkeypatch.setattr(laying, "_SECONDS", 0.1)
    monkeypatch.setattr(laying, "_SECONDS_OF_A_THOUSAND", 0)
    sizes, lines = wide_and_deep(0, 40)
    for rank in ("auto", "LR", "TB"):
        found = layout(sizes, lines, rank=rank)
        check(found, sizes, lines)


def test_of_tables_that_all_need_each_other_few_arrows_stay():
    names = [f"{number:02}" for number in range(95)]
    chance = random.Random(3)
    every = [Edge(one, other) for one in names for other in names if one != other and chance.random() < 0.2]
    around = [Edge("top", "03"), Edge("03", "bottom")]
    graph = DependencyGraph(dict.fromkeys([*names, "top", "bottom"], "applied"), [*every, *around])
    less = graph.reduced()
    assert len(less.edges) < 2 * len(graph)
    for name in graph.names:
        assert less.required(name) == graph.required(name)
