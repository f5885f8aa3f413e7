"""Places boxes in layers no wider than the page, where dot makes them wider or does not come to an end. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

#: A box by its name, or what passes a layer on its way to the box of this name: (name, layer).
Item = str | tuple[str, int]
Sizes = Mapping[str, tuple[float, float]]
Points = tuple[tuple[float, float], ...]

_BESIDE = 12.0  # between boxes of a layer
_BETWEEN = 34.0  # between layers
_PASSING = 8.0  # so much room takes a line that passes a layer
_SWEEPS = 12
_TRIES = 5


def layered(
    names: Sequence[str], sizes: Sizes, lines: Sequence[tuple[str, str]], widest: float
) -> tuple[float, float, dict[str, tuple[float, float]], dict[tuple[str, str], Points]]:
    """Lay boxes out in layers, what is depended on below.

    Lines to the same box run together where they pass a layer, so that a base with a hundred dependents takes the room
    of one line.

    Parameters
    ----------
    names : sequence of str
        The boxes.
    sizes : mapping of str to (float, float)
        Name -> width and height.
    lines : sequence of (str, str)
        From dependents to dependencies.
    widest : float
        So wide may a layer become, unless one box is wider.

    Returns
    -------
    tuple
        Width, height, name -> top left corner, line -> points of Bezier curves.
    """
    forward = _without_cycles(names, lines)
    room = widest
    for _ in range(_TRIES):
        place = _layers(names, sizes, forward, room)
        rows, links = _rows(names, forward, place)
        width = max(sum(2 * _half(item, sizes) for item in row) for row in rows)
        if width <= widest:
            break
        room -= min(width - widest, room / 4)  # what passes takes more than was reckoned with
    across = _across(rows, links, sizes, widest)
    width = max(across[item] + _half(item, sizes) for row in rows for item in row)
    tops: list[tuple[float, float]] = []
    height = 0.0
    for row in reversed(rows):
        high = max((sizes[item][1] for item in row if isinstance(item, str)), default=0.0)
        tops.append((height, high))
        # the farther to the side lines lead, the more height they need
        aside = [abs(across[item] - across[one]) for item in row for one in links.get(item, ())]
        between = _BETWEEN + min(sum(aside) / len(aside) / 10, _BETWEEN) if aside else _BETWEEN
        height += high + between
    height -= between
    tops.reverse()
    corners = {name: (across[name] - sizes[name][0] / 2, tops[place[name]][0]) for name in names}
    return (
        width,
        height,
        corners,
        {line: _bent(_stops(line, place, across, tops, sizes)) for line in lines},
    )


def _without_cycles(names: Sequence[str], lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The lines without those that close a cycle."""
    down: dict[str, list[str]] = {name: [] for name in names}
    for dependent, dependency in lines:
        down[dependent].append(dependency)
    state: dict[str, int] = {}  # 1: on the way, 2: done
    closing: set[tuple[str, str]] = set()
    for start in names:
        if start in state:
            continue
        state[start] = 1
        way = [(start, iter(down[start]))]
        while way:
            at, bases = way[-1]
            base = next(bases, None)
            if base is None:
                state[at] = 2
                way.pop()
            elif state.get(base) == 1:
                closing.add((at, base))
            elif base not in state:
                state[base] = 1
                way.append((base, iter(down[base])))
    return [line for line in lines if line not in closing]


def _layers(names: Sequence[str], sizes: Sizes, lines: Sequence[tuple[str, str]], widest: float) -> dict[str, int]:
    """Name -> its layer, from below: each is filled until it is as wide as allowed, longest chains first."""
    down: dict[str, list[str]] = {name: [] for name in names}
    up: dict[str, list[str]] = {name: [] for name in names}
    for dependent, dependency in lines:
        down[dependent].append(dependency)
        up[dependency].append(dependent)
    waiting = {name: len(bases) for name, bases in down.items()}
    order = [name for name in names if not waiting[name]]
    for name in order:
        for one in up[name]:
            waiting[one] -= 1
            if not waiting[one]:
                order.append(one)
    high: dict[str, int] = {}
    for name in reversed(order):
        high[name] = 1 + max((high[one] for one in up[name]), default=0)
    place: dict[str, int] = {}
    turn = {name: number for number, name in enumerate(names)}
    at = 0
    while len(place) < len(names):
        ready = [name for name in names if name not in place and all(place.get(base, at) < at for base in down[name])]
        # what is nearest above its bases comes first, so that lines are short
        ready.sort(key=lambda name: (-high[name], -max((place[base] for base in down[name]), default=0), turn[name]))
        # what passes takes room, too
        passing = sum(any(one not in place and one not in ready for one in up[base]) for base in place)
        used = _PASSING * passing
        chosen: list[str] = []
        for name in ready:
            wide = sizes[name][0] + _BESIDE
            if not chosen or used + wide <= widest:
                chosen.append(name)
                used += wide
        place |= dict.fromkeys(chosen, at)
        at += 1
    return place


def _rows(
    names: Sequence[str], lines: Sequence[tuple[str, str]], place: Mapping[str, int]
) -> tuple[list[list[Item]], dict[Item, list[Item]]]:
    """What stands in each layer from below, lines that pass among it; and item -> what it leads to, one layer below."""
    rows: list[list[Item]] = [[] for _ in range(max(place.values()) + 1)]
    for name in names:
        rows[place[name]].append(name)
    links: dict[Item, list[Item]] = {}
    for dependent, dependency in lines:
        way: list[Item] = [dependency]
        for layer in range(place[dependency] + 1, place[dependent]):
            item = (dependency, layer)
            if item not in links:
                rows[layer].append(item)
                links[item] = [way[-1]]
            way.append(item)
        links.setdefault(dependent, []).append(way[-1])
    return rows, links


def _across(
    rows: list[list[Item]], links: Mapping[Item, Sequence[Item]], sizes: Sizes, widest: float
) -> dict[Item, float]:
    """Item -> its middle; orders the rows so that few lines cross."""
    above: dict[Item, list[Item]] = {}
    for item, lower in links.items():
        for one in lower:
            above.setdefault(one, []).append(item)
    across: dict[Item, float] = {}
    for row in rows:
        at = 0.0
        for item in row:
            across[item] = at + _half(item, sizes)
            at += 2 * _half(item, sizes)
    width = max([widest, *(sum(2 * _half(item, sizes) for item in row) for row in rows)])
    for sweep in range(_SWEEPS):
        upwards = sweep % 2 == 0
        for row in rows if upwards else reversed(rows):
            near = links if upwards else above
            wanted = {
                item: sum(across[one] for one in near[item]) / len(near[item]) if near.get(item) else across[item]
                for item in row
            }
            # the order is found first, then kept while the places settle
            if sweep < _SWEEPS - 4:
                row.sort(key=lambda item: wanted[item])
            across |= _placed(row, wanted, sizes, width)
    left = min(across[item] - _half(item, sizes) for row in rows for item in row)
    return {item: at - left for item, at in across.items()}


def _placed(row: Sequence[Item], wanted: Mapping[Item, float], sizes: Sizes, width: float) -> dict[Item, float]:
    """Item -> its middle: as near as it can be to where it is wanted, in this order, apart, and in this width."""
    offsets, at = [], 0.0
    for item in row:
        offsets.append(at + _half(item, sizes))
        at += 2 * _half(item, sizes)
    blocks: list[tuple[float, int]] = []  # (sum, count): pool neighbours that are out of order
    for item, offset in zip(row, offsets, strict=True):
        total, many = wanted[item] - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / many:
            before_total, before_many = blocks.pop()
            total, many = total + before_total, many + before_many
        blocks.append((total, many))
    most = max(0.0, width - at)
    shifts = [min(max(total / many, 0.0), most) for total, many in blocks for _ in range(many)]
    return {item: offset + shift for item, offset, shift in zip(row, offsets, shifts, strict=True)}


def _half(item: Item, sizes: Sizes) -> float:
    """Half of the room that it takes, with half of what is left free beside it."""
    return (sizes[item][0] + _BESIDE) / 2 if isinstance(item, str) else _PASSING / 2


def _stops(
    line: tuple[str, str],
    place: Mapping[str, int],
    across: Mapping[Item, float],
    tops: Sequence[tuple[float, float]],
    sizes: Sizes,
) -> list[tuple[float, float]]:
    """From the dependent to the dependency, by what passes the layers between them; `tops`: top and height of each."""
    dependent, dependency = line
    (x, y), (to_x, to_y) = ((across[name], tops[place[name]][0]) for name in line)
    if place[dependent] <= place[dependency]:  # closes a cycle: leads up, or along the layer
        return [(x, y), (to_x, to_y if place[dependent] == place[dependency] else to_y + sizes[dependency][1])]
    stops = [(x, y + sizes[dependent][1])]
    for layer in range(place[dependent] - 1, place[dependency], -1):
        at, high = tops[layer]
        stops += [(across[dependency, layer], at), (across[dependency, layer], at + high)]
    return [*stops, (to_x, to_y)]


def _bent(stops: Sequence[tuple[float, float]]) -> Points:
    """Bezier curves that leave and reach each stop upright."""
    points = [stops[0]]
    for (x, y), (to_x, to_y) in pairwise(stops):
        middle = (y + to_y) / 2
        points += [(x, middle), (to_x, middle), (to_x, to_y)]
    return tuple(points)
