"""Where dot puts boxes and lines: each connected part by itself, then packed; left to right or top to bottom."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from migrollback_nb.display import dot
from migrollback_nb.display.graph.layers import layered

Point = tuple[float, float]
#: Pixels of an inch, for dot counts in inches.
_INCH = 72
#: Between two parts.
_GAP = 18
#: So many seconds dot has for a picture, and for each thousand of boxes: of some graphs it does not come to an end.
_SECONDS = 4
_SECONDS_OF_A_THOUSAND = 10
#: A picture that is no wider needs no scrolling sideways in a cell of JupyterLab in a window of 1,366 pixels.
WIDEST = 1140
#: Nor does one that is no higher need scrolling in GraphPanel, its heading included.
HIGHEST = 360


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands, in pixels from the top left."""

    width: float
    height: float
    boxes: Mapping[str, Point]  #: name -> its top left corner
    lines: Mapping[tuple[str, str], tuple[Point, ...]]  #: (from, to) -> points of Bezier curves
    rank: str  #: LR or TB


class NoDot(Exception):
    """There is no dot, or it failed."""


def layout(
    sizes: Mapping[str, tuple[float, float]],
    lines: Sequence[tuple[str, str]],
    *,
    rank: str = "auto",
    widest: float = WIDEST,
) -> Layout:
    """Lay boxes out so that each line leads down (TB), or from right to left (LR: what is older stands left).

    Parameters
    ----------
    sizes : mapping of str to (float, float)
        Name -> width and height, in the order in which they are put where it is open.
    lines : sequence of (str, str)
        From dependents to dependencies.
    rank : {'auto', 'LR', 'TB'}
        auto: whichever is seen whole, or scrolls one way, else takes less area.
    widest : float
        So wide may the whole become before parts stand under each other.

    Raises
    ------
    NoDot
        When there is no dot, or it fails.
    """
    linked = {name for line in lines for name in line}
    alone = [name for name in sizes if name not in linked]
    parts = _parts([name for name in sizes if name in linked], lines)
    ranks = ("LR", "TB") if rank == "auto" else (rank,)
    found: list[Layout] = []
    drawn = _dot(parts, sizes, lines, ranks) if parts else {one: [] for one in ranks}
    for one in ranks:
        packed = _packed(drawn[one], one, widest)
        found.append(_with_alone(packed, alone, sizes, max(packed.width, min(widest, 700))))
    if "TB" in ranks and all(one.width > widest or one.height > HIGHEST for one in found):
        wrapped = [_wrapped(part, one, sizes, lines, widest) for part, one in zip(parts, drawn["TB"], strict=True)]
        found.append(_with_alone(_packed(wrapped, "TB", widest), alone, sizes, widest))
    # what is seen whole is better, then what scrolls one way, then less area
    return min(
        found,
        key=lambda one: (
            one.width > widest or one.height > HIGHEST,
            one.width > widest,
            one.width * one.height * max(1.0, one.width / widest),
        ),
    )


def _parts(names: Sequence[str], lines: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The names of each connected part, the largest part first."""
    leader = {name: name for name in names}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for one, other in lines:
        leader[find(one)] = find(other)
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(find(name), []).append(name)
    return sorted(parts.values(), key=len, reverse=True)


def _dot(
    parts: Sequence[Sequence[str]],
    sizes: Mapping[str, tuple[float, float]],
    lines: Sequence[tuple[str, str]],
    ranks: Sequence[str],
) -> dict[str, list[Layout]]:
    """Each part as dot lays it out, by one call for all."""
    ids = {name: f"n{place}" for place, name in enumerate(sizes)}
    names = {node: name for name, node in ids.items()}
    where = {name: place for place, part in enumerate(parts) for name in part}
    of_part: list[list[tuple[str, str]]] = [[] for _ in parts]
    for line in lines:
        of_part[where[line[0]]].append(line)
    source = []
    for one in ranks:
        direction = "RL" if one == "LR" else "TB"
        for place, part in enumerate(parts):
            boxes = "".join(
                f"{ids[name]} [width={sizes[name][0] / _INCH:.3f},height={sizes[name][1] / _INCH:.3f}];"
                for name in part
            )
            arrows = "".join(f"{ids[a]}->{ids[b]};" for a, b in of_part[place])
            source.append(
                f"digraph {{rankdir={direction};nodesep=0.12;ranksep={'0.45' if one == 'LR' else '0.35'};"
                f'node [shape=box,fixedsize=true,label=""];edge [dir=none];{boxes}{arrows}}}'
            )
    program = dot.find_dot()
    if program is None:
        raise NoDot("There is no dot to draw with")
    try:
        run = subprocess.run(  # noqa: S603  # Graphviz's own program, and ids of our own
            [str(program), "-Tplain", "-q"],
            input="\n".join(source),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS + _SECONDS_OF_A_THOUSAND * len(sizes) / 1000,
        )
    except subprocess.TimeoutExpired:
        return {one: [replace(_in_layers(part, sizes, lines, WIDEST), rank=one) for part in parts] for one in ranks}
    if run.returncode or not run.stdout:
        raise NoDot(f"dot ended with {run.returncode}")
    every = [_read(text, names, sizes) for text in run.stdout.split("stop\n") if text.strip()]
    return {
        one: [replace(part, rank=one) for part in every[place * len(parts) : (place + 1) * len(parts)]]
        for place, one in enumerate(ranks)
    }


def _wrapped(
    part: Sequence[str],
    drawn: Layout,
    sizes: Mapping[str, tuple[float, float]],
    lines: Sequence[tuple[str, str]],
    widest: float,
) -> Layout:
    """A part as dot drew it, or in layers no wider than this where it is too wide."""
    return drawn if drawn.width <= widest else _in_layers(part, sizes, lines, widest)


def _in_layers(
    part: Sequence[str],
    sizes: Mapping[str, tuple[float, float]],
    lines: Sequence[tuple[str, str]],
    widest: float,
) -> Layout:
    inside = set(part)
    width, height, boxes, curves = layered(part, sizes, [line for line in lines if line[0] in inside], widest)
    return Layout(width, height, boxes, curves, "TB")


def _read(text: str, names: Mapping[str, str], sizes: Mapping[str, tuple[float, float]]) -> Layout:
    """One graph as -Tplain prints it."""
    width = height = 0.0
    boxes: dict[str, Point] = {}
    lines: dict[tuple[str, str], tuple[Point, ...]] = {}
    for line in text.splitlines():
        words = line.split(" ")
        if words[0] == "graph":
            width, height = float(words[2]) * _INCH, float(words[3]) * _INCH
        elif words[0] == "node":
            name = names[words[1]]
            wide, high = sizes[name]
            boxes[name] = (float(words[2]) * _INCH - wide / 2, height - float(words[3]) * _INCH - high / 2)
        elif words[0] == "edge":
            many = int(words[3])
            at = [float(word) * _INCH for word in words[4 : 4 + 2 * many]]
            lines[names[words[1]], names[words[2]]] = tuple(
                (at[2 * place], height - at[2 * place + 1]) for place in range(many)
            )
    return Layout(width, height, boxes, lines, "")


def _packed(parts: Sequence[Layout], rank: str, widest: float) -> Layout:
    """The parts beside and under each other: on shelves, the highest first."""
    widest = max([widest, *(part.width for part in parts)])
    boxes: dict[str, Point] = {}
    lines: dict[tuple[str, str], tuple[Point, ...]] = {}
    x = y = shelf = width = 0.0
    for part in sorted(parts, key=lambda part: -part.height):
        if x and x + part.width > widest:
            x, y = 0.0, y + shelf + _GAP
            shelf = 0.0
        boxes |= {name: (at[0] + x, at[1] + y) for name, at in part.boxes.items()}
        lines |= {line: tuple((at[0] + x, at[1] + y) for at in points) for line, points in part.lines.items()}
        shelf = max(shelf, part.height)
        width = max(width, x + part.width)
        x += part.width + _GAP
    return Layout(width, y + shelf, boxes, lines, rank)


def _with_alone(
    packed: Layout, alone: Sequence[str], sizes: Mapping[str, tuple[float, float]], widest: float
) -> Layout:
    """Under the others, in rows: those that no line leads to."""
    if not alone:
        return packed
    boxes = dict(packed.boxes)
    x, y, width = 0.0, packed.height + (_GAP if packed.boxes else 0), packed.width
    row = 0.0
    for name in alone:
        wide, high = sizes[name]
        if x and x + wide > widest:
            x, y, row = 0.0, y + row + 8, 0.0
        boxes[name] = (x, y)
        row = max(row, high)
        width = max(width, x + wide)
        x += wide + 10
    return Layout(width, y + row, boxes, packed.lines, packed.rank)


def curve(points: Sequence[Point]) -> str:
    """Points of Bezier curves as a path takes them."""
    first, *others = points
    return f"M{first[0]:.1f},{first[1]:.1f}C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in others)


def arrow(points: Sequence[Point], size: float = 6) -> str:
    """The head of an arrow at the end of such a path."""
    (x, y), (from_x, from_y) = points[-1], points[-2]
    if (x, y) == (from_x, from_y) and len(points) > 2:
        from_x, from_y = points[-3]
    along_x, along_y = x - from_x, y - from_y
    length = (along_x**2 + along_y**2) ** 0.5 or 1
    along_x, along_y = along_x / length * size, along_y / length * size
    corners = (
        (x, y),
        (x - along_x - along_y * 0.45, y - along_y + along_x * 0.45),
        (x - along_x + along_y * 0.45, y - along_y - along_x * 0.45),
    )
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
