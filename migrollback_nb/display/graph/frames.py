"""The frames of a graph: its nodes and its edges. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from migrollback_nb.core.dependency_graph import DependencyGraph, Edge, Outside
from migrollback_nb.core.frames.build import frame_of
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph.facts import GraphFacts

if TYPE_CHECKING:
    import pandas as pd


def nodes(facts: GraphFacts, names: Sequence[str], chosen: Sequence[str]) -> pd.DataFrame:
    """A row for each of these migrations.

    Parameters
    ----------
    facts : GraphFacts
        What is known.
    names : sequence of str
        Which, in order.
    chosen : sequence of str
        Around which: what falls with them has a step.
    """
    graph = facts.graph
    marks = marking.Marks.of(graph, chosen)
    dependents, requires, outside = graph.dependents_count(), graph.required_count(), graph.outside(names)
    rows = []
    for name in names:
        out = outside.get(name, Outside())
        mark = "chosen" if name in chosen else "falls" if name in marks.number else None
        rows.append(
            {
                "migration_name": name,
                "status": graph.statuses[name],
                "applied_at": facts.applied_at.get(name),
                "applied_by": facts.actors.get(name) or None,
                "tables": facts.tables.get(name, ()),
                "mark": mark or ("needed" if name in marks.required else None),
                "step": marks.number.get(name),
                "dependents": dependents[name],
                "requires": requires[name],
                "newer_outside": out.dependents,
                "older_outside": out.dependencies,
                "has_rollback_sql": name not in facts.bare,
            }
        )
    return frame_of("graph nodes", rows)


def edges(part: DependencyGraph, drawn: Collection[tuple[str, str]]) -> pd.DataFrame:
    """A row for each dependency of a graph, the newest dependents first; drawn: which have a line in the picture."""
    order = sorted(part.edges, key=lambda one: (-part.place[one.dependent], part.place[one.dependency]))
    return frame_of("graph edges", (_row(part, one, (one.dependent, one.dependency) in drawn) for one in order))


def _row(part: DependencyGraph, one: Edge, drawn: bool) -> dict[str, object]:
    return {
        "migration_name": one.dependent,
        "depends_on": one.dependency,
        "status": part.statuses[one.dependent],
        "depends_on_status": part.statuses[one.dependency],
        "source": one.source,
        "because": one.objects or None,
        "schema_only": one.schema_only,
        "recorded": one.source if one.recorded else None,
        "drawn": drawn,
    }
