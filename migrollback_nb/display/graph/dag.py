"""The view dag: migrations as boxes, an arrow from each to what it depends on; dot lays it out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from migrollback_nb.core.dependency_graph import Edge
from migrollback_nb.display.graph import boxes, theme
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph.facts import Drawing, GraphFacts


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
    words = {name: marking.words_of(facts, name, marks) for name in shown}
    stubs = {name: marking.stub(outside.get(name)) for name in shown}
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
    return boxes.draw(
        [
            boxes.Box(
                name=name,
                lines=(called[name], *_second_line(facts.graph.statuses[name], stubs[name])),
                kind=f"node {facts.graph.statuses[name]}{marks.of_node(name)}",
                title=words[name] + (f" ({stubs[name]} outside)" if stubs[name] else ""),
            )
            for name in reversed(shown)
        ],
        (boxes.Arrow(edge=one, cls=marks.of_edge(one.dependent, one.dependency)) for one in drawn.edges),
        heading=[*heading, *legend(drawn.edges)],
        rank=rank,
        look=look,
        words=words,
    )


def legend(edges: Collection[Edge]) -> list[str]:
    """What the lines are, in words; nothing where there are none."""
    if not edges:
        return []
    inferred = any(one.source == "inferred" for one in edges)
    thin = any(one.schema_only for one in edges)
    parts = ["An arrow leads to what a migration depends on, which is older"]
    parts += ["dashed: inferred from the objects, its title says which"] if inferred else []
    parts += ["dotted: by a schema alone"] if thin else []
    return ["; ".join(parts)]


def _second_line(status: str, stub: str) -> tuple[str, ...]:
    """What stands under a name: a status that is not the usual one, and what leads out of the picture."""
    word = "" if status == "applied" else theme.STATUS.get(status, status)
    line = " · ".join(part for part in (word, stub) if part)
    return (line,) if line else ()
