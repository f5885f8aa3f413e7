"""The model of dependencies: closures, order, reduction and what leads outside, each against brute force."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrollback_nb import DependencyError
from migrollback_nb.core.dependency_graph import DependencyGraph, Edge, Outside
from migrollback_nb.core.ordering import rollback_order

STATUSES = ("applied", "rolled_back", "failed")


@st.composite
def graphs(draw):
    """Any acyclic graph, each migration depending on earlier ones only; names are not in the order of the history."""
    names = draw(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=10, unique=True))
    edges = [
        (name, base)
        for place, name in enumerate(names)
        for base in (draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else ())
    ]
    statuses = {name: draw(st.sampled_from(STATUSES)) for name in names}
    return DependencyGraph(statuses, [Edge(*edge) for edge in edges])


def reached(graph, name, step):
    """All that is reached by a step, by brute force."""
    found, front = set(), [name]
    while front:
        front = [other for one in front for other in step(one) if other not in found]
        found |= set(front)
    return found


@settings(max_examples=25)
@given(graphs())
def test_what_falls_is_what_the_plan_says_in_its_order(graph):
    for name in graph.names:
        above = reached(graph, name, graph.dependents)
        edges = [(e.dependent, e.dependency) for e in graph.edges if {e.dependent, e.dependency} <= above | {name}]
        in_place = {one: status != "rolled_back" for one, status in graph.statuses.items()}
        assert list(graph.falling(name)) == rollback_order(name, edges, in_place, like=graph.names)
        assert set(graph.required(name)) == reached(graph, name, graph.dependencies)
        assert set(graph.resting_on(name)) == above
        assert graph.dependents_count()[name] == len([one for one in above if in_place[one]])


@settings(max_examples=25)
@given(graphs(), st.data())
def test_several_fall_with_all_that_falls_with_each(graph, data):
    names = data.draw(st.lists(st.sampled_from(graph.names), unique=True))
    falling = graph.falling(*names)
    assert set(falling) == {one for name in names for one in graph.falling(name)}
    assert len(falling) == len(set(falling))
    for edge in graph.edges:
        if {edge.dependent, edge.dependency} <= set(falling):
            assert falling.index(edge.dependent) < falling.index(edge.dependency)


@settings(max_examples=25)
@given(graphs())
def test_reduction_keeps_what_is_reached_and_nothing_that_follows(graph):
    less = graph.reduced()
    assert set(less.edges) <= set(graph.edges)
    for name in graph.names:
        assert less.required(name) == graph.required(name)
    for edge in less.edges:
        between = DependencyGraph(graph.statuses, [one for one in less.edges if one != edge])
        assert edge.dependency not in between.required(edge.dependent)


@settings(max_examples=25)
@given(graphs(), st.data())
def test_edges_are_inside_or_counted_as_outside(graph, data):
    names = set(data.draw(st.lists(st.sampled_from(graph.names))))
    out = graph.outside(names)
    assert set(out) <= names
    touching = [edge for edge in graph.edges if {edge.dependent, edge.dependency} & names]
    counted = sum(one.dependents + one.dependencies for one in out.values())
    assert counted + len(graph.part(names).edges) == len(touching)


@settings(max_examples=25)
@given(graphs())
def test_the_longest_chain_falls_one_after_the_other(graph):
    for name in graph.names:
        chain = graph.longest_chain(name)
        falling = graph.falling(name)
        assert chain[0] == name
        assert set(chain) <= set(falling)
        for lower, upper in pairwise(chain):
            assert upper in graph.resting_on(lower)

        def longest(one, name=name):
            counts = one == name or graph.statuses[one] != "rolled_back"
            return counts + max((longest(up) for up in graph.dependents(one)), default=0)

        assert len(chain) == longest(name)


def test_a_hub_does_not_bring_its_siblings():
    graph = DependencyGraph(
        dict.fromkeys(("hub", "a", "b", "c", "d"), "applied"),
        [Edge("a", "hub"), Edge("b", "hub"), Edge("c", "a"), Edge("d", "c")],
    )
    assert graph.near("a") == ("hub", "a", "c", "d")
    assert graph.near("a", depth=1) == ("hub", "a", "c")
    assert graph.near("a", direction="dependents") == ("a", "c", "d")
    assert graph.near("a", direction="dependencies", depth=0) == ("a",)
    assert graph.outside(("a", "c")) == {"a": Outside(dependencies=1), "c": Outside(dependents=1)}
    assert graph.ranks() == {"hub": 0, "a": 1, "b": 1, "c": 2, "d": 3}


def test_a_cycle_is_an_error_of_the_order_and_of_nothing_else():
    graph = DependencyGraph(
        dict.fromkeys("abcd", "applied"), [Edge("a", "b"), Edge("b", "c"), Edge("c", "a"), Edge("d", "a")]
    )
    with pytest.raises(DependencyError):
        graph.falling("a")
    assert graph.falling("d") == ("d",)
    assert set(graph.required("d")) == set("abc")
    assert set(graph.resting_on("b")) == set("acd")
    assert len(graph.reduced().edges) == 4
    assert set(graph.dependents_count()) == set("abcd")
    assert graph.longest_chain("a")
    assert graph.ranks()


@pytest.mark.parametrize(
    ("because", "reasons", "more", "schema_only"),
    [
        (None, (), 0, False),
        ("schema app", ("schema app",), 0, True),
        ("schema app; schema b", ("schema app", "schema b"), 0, True),
        ("schema app; table app.t", ("schema app", "table app.t"), 0, False),
        ("schema a; schema b; schema c and 2 more", ("schema a", "schema b", "schema c"), 2, False),
        ('table app."a; b"; column x', ('table app."a; b"', "column x"), 0, False),
        ("function app.f(integer, text)", ("function app.f(integer, text)",), 0, False),
        ("table app.t and 12 more", ("table app.t",), 12, False),
    ],
)
def test_reasons_are_read_from_the_record(because, reasons, more, schema_only):
    edge = Edge.of({"migration_name": "2", "depends_on": "1", "source": "inferred", "because": because})
    assert (edge.reasons, edge.more, edge.schema_only) == (reasons, more, schema_only)
    if because:
        assert edge.because == f"inferred: {because}"


def test_edges_to_what_is_not_in_the_history_are_left_out():
    graph = DependencyGraph({"a": "applied"}, [Edge("a", "gone"), Edge("gone", "a"), Edge("a", "a")])
    assert graph.edges == ()
