"""Migrations and their dependencies as a `graphviz.Digraph`, to be changed and drawn by graphviz's own means. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import graphviz

from migrollback_nb.core.text import one_line
from migrollback_nb.display.dot import use_available_dot
from migrollback_nb.display.graph.outline import outline
from migrollback_nb.display.graph.theme import STATUS

#: Status -> shape, fill and outline: no reader has to tell colours apart.
STYLE = {
    "applied": {
        "shape": "box",
        "fillcolor": "#d7f5dd",
        "fontcolor": "#0b3d1a",
        "style": "filled,rounded",
    },
    "rolled_back": {
        "shape": "box",
        "fillcolor": "#eeeeee",
        "fontcolor": "#444444",
        "style": "filled,dashed",
    },
    "failed": {"shape": "octagon", "fillcolor": "#b3261e", "fontcolor": "#ffffff", "style": "filled"},
}


class Digraph(graphviz.Digraph):  # type: ignore[misc]  # graphviz ships no types
    """A `graphviz.Digraph` that falls back to indented text where no `dot` can be found.

    Attributes
    ----------
    outline : str
        The same graph as indented text.
    node_names : dict of str to str
        Id of a node (``n0`` ...) -> migration.
    """

    outline: str = ""
    node_names: Mapping[str, str] = {}

    def _repr_mimebundle_(
        self,
        include: Iterable[str] | None = None,  # noqa: ARG002  # IPython's names
        exclude: Iterable[str] | None = None,  # noqa: ARG002
        **_: Any,
    ) -> dict[str, str]:
        bundle = {"text/plain": self.outline}
        if use_available_dot():
            try:
                bundle["image/svg+xml"] = svg(self)
            except (graphviz.ExecutableNotFound, graphviz.CalledProcessError) as error:
                # IPython swallows what a repr raises: say it
                warnings.warn(f"dot could not draw the graph: {type(error).__name__}", stacklevel=2)
        return bundle


def svg(graph: graphviz.Digraph) -> str:
    """Draw a graph as SVG; writes nothing.

    Raises
    ------
    graphviz.ExecutableNotFound
        When there is no `dot`; see `find_dot`.
    """
    use_available_dot()
    # quiet: it complains of letters whose width it does not know, once for each; what makes it fail is raised all the
    # same
    return str(graph.pipe(format="svg", encoding="utf-8", quiet=True))


def digraph(
    history: Iterable[Mapping[str, Any]],
    dependencies: Iterable[Mapping[str, Any]],
    *,
    legend: bool = True,
) -> Digraph:
    """Draw migrations and their dependencies: dependents above what they depend on. Does not write.

    Parameters
    ----------
    history : iterable of mapping
        With ``migration_name`` and ``status``.
    dependencies : iterable of mapping
        With ``migration_name`` and ``depends_on``; where ``source`` is ``inferred`` the line is dashed, and ``because``
        is its tooltip.
    legend : bool
        Say in the graph itself what dashed lines are, where there are any.

    Returns
    -------
    Digraph
        A `graphviz.Digraph`.
    """
    dependencies = list(dependencies)
    status = {row["migration_name"]: row["status"] for row in sorted(history, key=lambda row: row["migration_name"])}
    edges = [
        (row["migration_name"], row["depends_on"])
        for row in dependencies
        if row["migration_name"] in status and row["depends_on"] in status
    ]
    inferred = {
        (row["migration_name"], row["depends_on"]): row.get("because") or ""
        for row in dependencies
        if row.get("source") == "inferred"
    }
    graph = Digraph(
        "migrations",
        # a pinned background: `dot` knows no theme, and black on a dark page could not be read
        graph_attr={"rankdir": "TB", "bgcolor": "#ffffff", "tooltip": "Dependencies of migrations"},
        node_attr={"fontname": "Arial", "fontsize": "11", "color": "#444444", "margin": "0.3,0.08"},
        edge_attr={"color": "#555555", "tooltip": " "},
    )
    # ids of our own: a name with a colon would be read as a port
    ids = {name: f"n{place}" for place, name in enumerate(status)}
    for name, state in status.items():
        _draw_migration(graph, ids[name], name, state)
    for edge in edges:
        _draw_edge(graph, ids[edge[0]], ids[edge[1]], inferred.get(edge))
    if legend and any(edge in inferred for edge in edges):
        _draw_legend(graph)
    graph.outline = outline(status, edges, inferred)
    graph.node_names = {node: name for name, node in ids.items()}
    return graph


def _in_label(text: str) -> str:
    """A text that `dot` prints as it is: it reads entities in labels."""
    return one_line(text).replace("&", "&amp;")


def _draw_migration(graph: graphviz.Digraph, node: str, name: str, state: str) -> None:
    look = STYLE.get(state, STYLE["failed"])
    shown, word = _in_label(name), STATUS.get(state, STATUS["failed"])
    graph.node(
        node,
        label=graphviz.escape(f"{shown}\n{word}").replace("\n", "\\n"),
        tooltip=graphviz.escape(f"{shown}: {word}"),
        shape=look["shape"],
        style=look["style"],
        fillcolor=look["fillcolor"],
        fontcolor=look["fontcolor"],
    )


def _draw_edge(graph: graphviz.Digraph, dependent: str, dependency: str, because: str | None) -> None:
    """because: why it is inferred; None where it is declared."""
    if because is None:
        graph.edge(dependent, dependency)
        return
    why = graphviz.escape(_in_label(f"inferred: {because}"))
    graph.edge(dependent, dependency, style="dashed", tooltip=why, edgetooltip=why)


def _draw_legend(graph: graphviz.Digraph) -> None:
    graph.node(
        "legend",
        label="solid: declared by the file\\ldashed: inferred from the objects (the tooltip says which)\\l",
        shape="note",
        style="",
        fontsize="9",
        fontcolor="#444444",
        tooltip="What the lines mean",
    )
