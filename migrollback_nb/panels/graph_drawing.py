"""The drawing of dependencies in the page: tabs, marks, reasons, map. What a choice marks is reckoned there."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import traitlets

from migrollback_nb.core.dependency_graph import DependencyGraph
from migrollback_nb.core.html import visible
from migrollback_nb.display.graph import theme
from migrollback_nb.display.graph.facts import node_id
from migrollback_nb.display.graph.short_names import short_names
from migrollback_nb.panels.pieces import sign_and_word
from migrollback_nb.panels.selection import HERE, SelectionWidget, script

#: The tabs.
VIEWS = ("plan", "graph", "lanes", "tables")

#: Status -> its number in the page.
_STATUS = {"applied": 0, "rolled_back": 1}
_FAILED = 2

#: The parts of the page's program, in the order in which they need each other.
_PARTS = (
    "graph_model.js",
    "graph_picture.js",
    "graph_overlay.js",
    "graph_numbers.js",
    "graph_hand.js",
    "graph_minimap.js",
    "graph_reasons.js",
    "graph.js",
)


class GraphDrawing(SelectionWidget):
    """A drawing in which a migration is chosen by click or keyboard, and what falls with it is marked.

    Attributes
    ----------
    facts : dict
        What marks and reasons are reckoned from; as `facts_of` gives it.
    verdicts : list of str
        Sign and word of the verdict on each migration of the facts; empty while they are not known.
    groups : dict of str to list of int
        Id of a node into which several migrations are folded -> their places in the facts.
    opened : str
        Id of the group that was picked last.
    svg : str
        The drawing; nodes have ids, in every drawing the same for the same thing. Empty: there is none.
    view, drawn : str
        Which tab is wanted, and which one `svg` is of: one of `VIEWS`.
    around : str
        Id of the migration whose plan is drawn, or empty.
    chosen : str
        Id of the chosen node, or empty. What is picked in the page is chosen while it is among the facts.
    locked : bool
        True: the page chooses nothing.
    label : str
        What a screen reader calls the drawing.
    height : int
        How high the drawing may stand in the page, in pixels; a person can change it there.
    """

    _esm = script(*_PARTS)
    _css = (HERE / "graph.css").read_text(encoding="utf-8") + theme.css()
    facts = traitlets.Dict().tag(sync=True)
    verdicts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    groups = traitlets.Dict().tag(sync=True)
    opened = traitlets.Unicode("")
    svg = traitlets.Unicode("").tag(sync=True)
    view = traitlets.Enum(VIEWS, default_value="graph").tag(sync=True)
    drawn = traitlets.Unicode("").tag(sync=True)
    around = traitlets.Unicode("").tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    locked = traitlets.Bool(default_value=False).tag(sync=True)
    label = traitlets.Unicode("Dependency graph").tag(sync=True)
    height = traitlets.Int(440).tag(sync=True)

    def __init__(self, **state: Any) -> None:
        self._ids: frozenset[str] = frozenset()
        super().__init__(**state)

    @traitlets.observe("facts")
    def _know(self, change: Mapping[str, Any]) -> None:
        self._ids = frozenset(change["new"].get("ids", ()))

    def _select(self, name: str) -> None:
        if self.locked:
            return
        if name in self._ids:
            self.chosen = name
        elif name in self.groups:
            self.opened = ""
            self.opened = name


def facts_of(graph: DependencyGraph, bare: Container[str]) -> dict[str, Any]:
    """What the page reckons with; pure.

    Parameters
    ----------
    graph : DependencyGraph
        All migrations, not only those that are drawn.
    bare : container of str
        Those without rollback SQL.
    """
    short = short_names(graph.names)
    return {
        "ids": [node_id(name) for name in graph.names],
        "names": [visible(name) for name in graph.names],
        "short": [visible(short[name]) for name in graph.names],
        "words": [visible(theme.STATUS.get(status, status)) for status in graph.statuses.values()],
        "status": [_STATUS.get(status, _FAILED) for status in graph.statuses.values()],
        "bare": [int(name in bare) for name in graph.names],
        "edges": [
            [
                graph.place[edge.dependent],
                graph.place[edge.dependency],
                int(edge.source != "declared"),
                int(edge.schema_only),
                visible(edge.because),
            ]
            for edge in graph.edges
        ],
    }


def verdicts_of(graph: DependencyGraph, assessed: Iterable[Mapping[str, Any]]) -> list[str]:
    """The verdict on each migration in sign and word, empty where there is none, of ``list_rollbackable()``; pure."""
    known = {row["migration_name"]: sign_and_word(row) for row in assessed}
    return [known.get(name, "") for name in graph.names]
