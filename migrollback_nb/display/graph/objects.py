"""The view objects: a migration, the objects for which it needs another one, and that one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from migrollback_nb.core.dependency_graph import Edge
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import boxes
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph.dag import legend
from migrollback_nb.display.graph.facts import Drawing, GraphFacts
from migrollback_nb.display.graph.short_names import cut

#: With objects between them, more migrations than these no one can read.
LIMIT = 15


def draw(
    facts: GraphFacts,
    names: Collection[str],
    *,
    chosen: Sequence[str] = (),
    labels: str = "auto",
    rank: str = "auto",
    look: str = "auto",
    limit: int | None = LIMIT,
) -> Drawing:
    """Draw these migrations and, between them, the objects that are the reasons.

    Parameters
    ----------
    facts : GraphFacts
        What is known.
    names : collection of str
        Which migrations.
    chosen : sequence of str
        What is marked, and kept where they are too many.
    labels, rank, look : str
        See `dag.draw`.
    limit : int, optional
        The most migrations, up to 15; None: all.

    Raises
    ------
    NoDot
        When there is no dot.
    """
    shown = marking.part(facts, names, chosen, None if limit is None else min(limit, LIMIT))
    part = facts.graph.part(shown)
    outside = facts.graph.outside(shown)
    marks = marking.Marks.of(facts.graph, chosen)
    called = marking.labels_of(shown, labels)
    found = [
        boxes.Box(
            name=name,
            lines=(called[name], *([stub] if (stub := marking.stub(outside.get(name))) else [])),
            kind=f"node {facts.graph.statuses[name]}{marks.of_node(name)}",
            title=marking.words_of(facts, name, marks),
        )
        for name in reversed(shown)
    ]
    between: dict[str, boxes.Box] = {}
    arrows = []
    for edge in part.edges:
        mark = marks.of_edge(edge.dependent, edge.dependency)
        for what in _objects(edge):
            # an object of two migrations is two boxes: each is one's own work
            name = f"object {edge.dependency} {what}"
            kind, _, identity = what.partition(" ")
            between[name] = boxes.Box(
                name=name,
                lines=(cut(one_line(identity or what), 40), *([kind] if identity else [])),
                kind="node object",
                title=f"{one_line(what)} of {one_line(edge.dependency)}",
            )
            source = Edge(edge.dependent, name, edge.source, edge.reasons)
            arrows.append(boxes.Arrow(edge=source, title=f"{edge.dependent} depends on {what}", cls=mark))
            target = Edge(name, edge.dependency, edge.source, edge.reasons)
            arrows.append(boxes.Arrow(edge=target, title=f"{what} is of {edge.dependency}", cls=mark))
        if not edge.reasons:
            arrows.append(boxes.Arrow(edge=edge, cls=mark))
    heading = marking.heading(
        facts,
        "Objects between migrations",
        shown,
        names,
        edges=len(part.edges),
        outside=sum(one.dependents + one.dependencies for one in outside.values()),
        marks=marks,
    )
    return boxes.draw(
        [*found, *between.values()], arrows, heading=[*heading, *legend(part.edges)], rank=rank, look=look
    )


def _objects(edge: Edge) -> list[str]:
    """The objects of an edge, and how many more it has than are recorded."""
    return [*edge.reasons, *([f"{edge.more} more objects"] if edge.more else [])]
