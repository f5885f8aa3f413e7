"""The view dag: migrations as boxes, an arrow from each to what it depends on; dot lays it out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from migrollback_nb.core.dependency_graph import Edge
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph import svg, theme
from migrollback_nb.display.graph.facts import Drawing, GraphFacts, node_id
from migrollback_nb.display.graph.layout import Point, arrow, curve, layout

_HIGH, _HIGHER, _PAD = 22, 36, 9


def draw(
    facts: GraphFacts,
    names: Collection[str],
    *,
    chosen: Sequence[str] = (),
    reduce: bool = True,
    labels: str = "auto",
    rank: str = "auto",
    look: str = "auto",
    limit: int | None = 150,
) -> Drawing:
    """Draw these migrations and the dependencies among them.

    Parameters
    ----------
    facts : GraphFacts
        What is known.
    names : collection of str
        Which migrations.
    chosen : sequence of str
        What is marked: it, what falls with it, what it depends on.
    reduce : bool
        Leave out the edges that follow from others.
    labels, rank, look : str
        See `short_names`, `layout`, `theme`.
    limit : int, optional
        The most nodes; None: all.

    Raises
    ------
    NoDot
        When there is no dot.
    """
    shown = marking.part(facts, names, chosen, limit)
    part = facts.graph.part(shown)
    drawn = part.reduced() if reduce else part
    outside = facts.graph.outside(shown)
    marks = marking.Marks.of(facts.graph, chosen)
    called = marking.labels_of(shown, labels)
    texts = {name: (called[name], _second_line(facts, name, marking.stub(outside.get(name)))) for name in shown}
    sizes = {name: _size(texts[name], is_chosen=name in chosen) for name in reversed(shown)}
    lines = [(one.dependent, one.dependency) for one in drawn.edges]
    placed = layout(sizes, lines, rank=rank)
    body = [
        svg.edge(
            one,
            curve(placed.lines[one.dependent, one.dependency]),
            head=arrow(placed.lines[one.dependent, one.dependency]),
            cls=marks.of_edge(one.dependent, one.dependency),
        )
        for one in drawn.edges
        if (one.dependent, one.dependency) in placed.lines
    ]
    words = {node_id(name): marking.words_of(facts, name, marks) for name in shown}
    for name in shown:
        title = words[node_id(name)] + (f" ({marking.stub(outside[name])} outside)" if name in outside else "")
        kind = f"node {facts.graph.statuses[name]}{marks.of_node(name)}"
        body.append(_box(placed.boxes[name], sizes[name], texts[name], name=name, title=title, kind=kind))
    heading = marking.heading(
        facts,
        "Dependencies",
        shown,
        names,
        edges=len(drawn.edges),
        follow=len(part.edges) - len(drawn.edges),
        outside=sum(one.dependents + one.dependencies for one in outside.values()),
        marks=marks,
    )
    heading += legend(drawn.edges, placed.rank)
    return svg.framed(
        "".join(body),
        placed.width,
        placed.height,
        heading=heading,
        label=". ".join(heading[:3]),
        look=look,
        words=words,
        names={node_id(name): name for name in shown},
        edges=lines,
    )


def legend(edges: Collection[Edge], rank: str) -> list[str]:
    """What the lines are, in words; nothing where there are none."""
    if not edges:
        return []
    inferred = any(one.source == "inferred" for one in edges)
    thin = any(one.schema_only for one in edges)
    way = "left: what is older" if rank == "LR" else "below: what is older"
    parts = [f"An arrow leads to what a migration depends on ({way})"]
    parts += ["dashed: inferred from the objects, its title says which"] if inferred else []
    parts += ["dotted: by a schema alone"] if thin else []
    return ["; ".join(parts)]


def _size(lines: tuple[str, str], *, is_chosen: bool) -> tuple[float, float]:
    """Width and height of a box around these lines; the name of the chosen one is bold."""
    wide = max(svg.text_width(lines[0]) * (1.08 if is_chosen else 1), svg.text_width(lines[1], 11), 20)
    return wide + 2 * _PAD, _HIGHER if lines[1] else _HIGH


def _box(corner: Point, size: tuple[float, float], lines: tuple[str, str], *, name: str, title: str, kind: str) -> str:
    """One migration: its name, and under it what is not as usual."""
    (x, y), (wide, high) = corner, size
    where = f'x="{svg.number(x)}" y="{svg.number(y)}" width="{svg.number(wide)}" height="{svg.number(high)}"'
    label = svg.text(x + wide / 2, y + 15, lines[0], anchor="middle")
    if lines[1]:
        label += svg.text(x + wide / 2, y + 29, lines[1], anchor="middle", size=11)
    return svg.group(kind, f'<rect {where} rx="4"/>{label}', name=name, title=title)


def _second_line(facts: GraphFacts, name: str, stub: str) -> str:
    """What stands under a name: a status that is not the usual one, and what leads out of the picture."""
    status = facts.graph.statuses[name]
    word = "" if status == "applied" else theme.STATUS.get(status, status)
    return " · ".join(part for part in (word, stub) if part)
