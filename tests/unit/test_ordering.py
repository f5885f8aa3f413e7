"""Order, closure and cycles: any acyclic graph yields an order, any cycle is named."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrollback_nb import DependencyError
from migrollback_nb.core.ordering import missing, order, rollback_order
from migrollback_nb.core.text import one_line

_names = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=12, unique=True)


@st.composite
def acyclic(draw):
    """Name -> names that it depends on; each depends only on some that were drawn before it."""
    names = draw(_names)
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }


def edges(depends_on):
    return [(name, base) for name, bases in depends_on.items() for base in bases]


def resting_on(name, depends_on):
    """All that depends on it, directly or through others; by brute force."""
    found = {name}
    while more := {one for one, bases in depends_on.items() if one not in found and found & set(bases)}:
        found |= more
    return found


@given(acyclic())
def test_order_has_every_name_once_and_dependencies_first(depends_on):
    found = order(depends_on)
    assert sorted(found) == sorted(depends_on)
    for name, base in edges(depends_on):
        assert found.index(base) < found.index(name)


@given(acyclic(), st.randoms())
def test_order_does_not_hang_on_the_order_of_its_input(depends_on, random):
    shuffled = [(name, random.sample(bases, len(bases))) for name, bases in depends_on.items()]
    random.shuffle(shuffled)
    assert order(dict(shuffled)) == order(depends_on)


def test_order_is_by_name_where_dependencies_leave_it_open():
    assert order({"3": [], "1": ["2"], "2": [], "10": []}) == ["10", "2", "1", "3"]


@given(acyclic(), st.data())
def test_rollback_order_has_dependents_first(depends_on, data):
    name = data.draw(st.sampled_from(list(depends_on)))
    in_place = {one: data.draw(st.booleans()) for one in depends_on}
    closure = resting_on(name, depends_on)
    among = [edge for edge in edges(depends_on) if edge[0] in closure and edge[1] in closure]
    found = rollback_order(name, among, in_place)
    assert found[-1] == name
    assert sorted(found) == sorted({one for one in closure if in_place[one]} | {name})
    # also through those that are rolled back already
    for one in found:
        assert not set(found[found.index(one) + 1 :]) & (resting_on(one, depends_on) - {one})


@given(acyclic(), st.data())
def test_any_cycle_is_named(depends_on, data):
    ring = (
        data.draw(st.lists(st.sampled_from(list(depends_on)), min_size=2, max_size=5, unique=True))
        if len(depends_on) > 1
        else list(depends_on)
    )
    for one, next_one in zip(ring, [*ring[1:], ring[0]], strict=True):
        depends_on[one] = [*depends_on[one], next_one]
    with pytest.raises(DependencyError) as caught:
        order(depends_on)
    cycle = caught.value.names
    assert cycle[0] == cycle[-1]
    assert len(cycle) >= 2
    for one, next_one in pairwise(cycle):
        assert next_one in depends_on[one], "the cycle is named against its direction, or has a gap"
    assert caught.value.hint
    assert all(one_line(name) in str(caught.value) for name in cycle)


def test_a_cycle_beside_what_is_rolled_back_is_named_too():
    with pytest.raises(DependencyError):
        rollback_order("a", [("b", "a"), ("c", "b"), ("b", "c")], {})


def test_a_chain_of_thousands_is_no_matter_of_recursion():
    depends_on = {f"{place:05}": [f"{place - 1:05}"] if place else [] for place in range(5000)}
    assert order(depends_on) == sorted(depends_on)
    assert rollback_order("00000", edges(depends_on), {}) == sorted(depends_on, reverse=True)


def test_what_was_applied_last_goes_first_where_the_order_is_open():
    assert rollback_order("1", [("2", "1"), ("3", "1"), ("4", "2")], {}) == ["4", "3", "2", "1"]


def test_missing_names_are_told_with_who_misses_them():
    assert missing({"2": ["1", "0"], "3": ["2", "9", "8"], "4": []}, ["0", "1"]) == {"3": ["8", "9"]}
