"""Boxes and the arrows between them, laid out by dot: what the views tables, objects and er have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from migrollback_nb.core.dependency_graph import Edge
from migrollback_nb.display.graph import svg
from migrollback_nb.display.graph.facts import Drawing, node_id
from migrollback_nb.display.graph.layout import arrow, curve, layout

_PAD = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box."""

    name: str  #: what it stands for; no other box has it
    lines: tuple[str, ...]  #: its name as it is shown, and what else stands under it
    kind: str  #: its classes
    title: str  #: all of it in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One arrow."""

    edge: Edge  #: from its dependent to its dependency, which are names of boxes
    title: str | None = None  #: in words, where the edge's own are not
    cls: str = ""


def draw(
    boxes: Sequence[Box],
    arrows: Iterable[Arrow],
    *,
    heading: Sequence[str],
    rank: str = "auto",
    look: str = "auto",
    words: Mapping[str, str] | None = None,
) -> Drawing:
    """Draw boxes and arrows.

    Parameters
    ----------
    boxes : sequence of Box
        In the order in which they are put where it is open.
    arrows : iterable of Arrow
        Between them.
    heading : sequence of str
        Lines above.
    rank : {'auto', 'LR', 'TB'}
        See `layout`.
    look : {'auto', 'light', 'dark'}
        The theme.
    words : mapping of str to str, optional
        Name -> what a screen reader calls it, where it is not the box's title.
    """
    sizes = {box.name: size(box.lines, bold="chosen" in box.kind.split()) for box in boxes}
    drawn = {(one.edge.dependent, one.edge.dependency): one for one in arrows}
    placed = layout(sizes, list(drawn), rank=rank)
    body = [
        svg.edge(one.edge, curve(points), head=arrow(points), cls=one.cls, title=one.title)
        for ends, one in drawn.items()
        if (points := placed.lines.get(ends))
    ]
    for box in boxes:
        (x, y), (wide, high) = placed.boxes[box.name], sizes[box.name]
        where = f'x="{svg.number(x)}" y="{svg.number(y)}" width="{svg.number(wide)}" height="{svg.number(high)}"'
        label = "".join(
            svg.text(x + wide / 2, y + 15 + 14 * place, line, anchor="middle", size=11 if place else None)
            for place, line in enumerate(box.lines)
        )
        body.append(svg.group(box.kind, f'<rect {where} rx="4"/>{label}', name=box.name, title=box.title))
    return svg.framed(
        "".join(body),
        placed.width,
        placed.height,
        heading=heading,
        label=". ".join(heading[:3]),
        look=look,
        words={node_id(box.name): (words or {}).get(box.name, box.title) for box in boxes},
        names={node_id(box.name): box.name for box in boxes},
        edges=drawn,
    )


def size(lines: Sequence[str], *, bold: bool = False) -> tuple[float, float]:
    """Width and height of a box around these lines, the first of which may be bold."""
    first = svg.text_width(lines[0]) * (1.08 if bold else 1)
    wide = max(first, 20, *(svg.text_width(line, 11) for line in lines[1:]))
    return wide + 2 * _PAD, 22 + 14 * (len(lines) - 1)
