"""Which migrations a graph shows, and around which of them: `db.graph()`. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.display.graph.picture import Graph, Options
from migrollback_nb.operations.graph_facts import graph_facts, with_verdicts

if TYPE_CHECKING:
    from migrollback_nb.core.dependency_graph import DependencyGraph
    from migrollback_nb.operations.inspection import Inspection

_DIRECTIONS = (None, "dependents", "dependencies", "both")


def draw(
    workspace: Inspection,
    select: str | Sequence[str] | None,
    *,
    exclude: str | Sequence[str] | None,
    direction: str | None,
    depth: int | None,
    edges: str,
    options: Options,
) -> Graph:
    """The graph of a selection; the parameters are those of `Migrations.graph`. Does not write."""
    if direction not in _DIRECTIONS:
        raise UsageError(f"There is no direction {direction}", hint="Use dependents, dependencies or both.")
    if edges not in ("all", "recorded"):
        raise UsageError(f"There are no edges {edges}", hint="Use all or recorded.")
    if depth is not None and depth < 0:
        raise UsageError(f"depth is {depth}", hint="Use a number from 0 on, or none for all the way.")
    names = workspace.selected(select)
    facts = graph_facts(
        workspace.database,
        lambda: None if workspace.folder_path is None else workspace.folder,
        edges=edges,
        objects=True,
        deploys=options.group == "deploy",
        references=options.view == "er",
    )
    graph = facts.graph
    known = [name for name in names if name in graph]
    chosen, form = _chosen(select, graph)
    if form == "names" and options.view == "lanes" and direction is None and depth is None:
        known = list(graph.names)  # all fit: a name is marked among them
    elif select is not None and (direction is not None or depth is not None or form == "names"):
        # a name alone, which without what is around it would be one box
        known = list(graph.near(*known, direction=direction or "both", depth=depth))
    if exclude is not None:
        left_out = set(workspace.selected(exclude))
        known = [name for name in known if name not in left_out]
    found = Graph(
        facts=facts,
        names=tuple(known),
        chosen=tuple(name for name in chosen if name in set(known)),
        closed=form == "closed" and exclude is None,
        options=options,
    )
    if found.view == "plan":
        return replace(found, facts=with_verdicts(workspace.database, facts, found.falling))
    return found


def _chosen(select: str | Sequence[str] | None, graph: DependencyGraph) -> tuple[tuple[str, ...], str]:
    """The migrations that a selector names, where it is about names alone; and how: names, closed (name+) or other."""
    texts = [select] if isinstance(select, str) else list(select or ())
    found = [_named(text.strip(), graph) for text in texts]
    if not found or any(name is None for name, _ in found):
        return (), "other"
    forms = {form for _, form in found}
    return tuple(name for name, _ in found if name is not None), forms.pop() if len(forms) == 1 else "other"


def _named(text: str, graph: DependencyGraph) -> tuple[str | None, str]:
    """The migration that a selector is about, and how."""
    if text.removesuffix(".sql") in graph:
        return text.removesuffix(".sql"), "names"
    head, plus, tail = text.rpartition("+")
    if plus and (not tail or tail.isdigit()) and head.removesuffix(".sql") in graph:
        return head.removesuffix(".sql"), "other" if tail else "closed"
    before, plus, tail = text.partition("+")
    if plus and (not before or before.isdigit()):
        return _named(tail, graph)[0], "other"
    return None, "other"
