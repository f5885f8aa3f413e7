"""The dependency graph, to look at and to choose in. Draws with `graphs`; reads through the shared state."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import graphviz
import ipywidgets as widgets
import traitlets

from migrollback_nb.core import html
from migrollback_nb.display import graphs
from migrollback_nb.panels.name_list import NameList
from migrollback_nb.panels.panel import Panel
from migrollback_nb.panels.pieces import FIELD, box, lines, row, scrolled
from migrollback_nb.panels.selection import SelectionWidget, script
from migrollback_nb.panels.state import LOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrollback_nb.migrations import Migrations
    from migrollback_nb.panels.state import SharedState

#: So many of the newest are shown at first when there are more.
LATEST = 100

#: Up to so many are drawn at once; more than that takes seconds, and is drawn only when it is asked for, off the
#: kernel's thread.
AT_ONCE = 400

#: How many a search lists.
FOUND = 20


class GraphDrawing(SelectionWidget):
    """An SVG drawn by graphviz, in which a node is chosen by click or keyboard.

    Attributes
    ----------
    svg : str
        The drawing; nodes have ids, in every drawing the same for the same thing.
    words : dict of str to str
        Id of a node -> what a screen reader calls it.
    chosen : str
        Id of the chosen node, or empty. What is picked in the page is chosen while it is in the drawing.
    found : list of str
        Ids of nodes that stand out.
    locked : bool
        True: the page chooses nothing.
    label : str
        What a screen reader calls the drawing.
    """

    _esm = script("graph.js")
    _css = Path(__file__).with_name("graph.css")
    svg = traitlets.Unicode("").tag(sync=True)
    words = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    found = traitlets.List(traitlets.Unicode()).tag(sync=True)
    locked = traitlets.Bool(default_value=False).tag(sync=True)
    label = traitlets.Unicode("Dependency graph").tag(sync=True)

    def _select(self, name: str) -> None:
        if name in self.words and not self.locked:
            self.chosen = name


class GraphPanel(Panel):
    """The graph of dependencies: look around and choose a migration in it. Does not write.

    For the other parameters and the traits see `Panel` and `State`.

    Parameters
    ----------
    db : Migrations, SharedState or Panel
        The connection, or the state to share.
    scope : {'latest', 'neighbourhood', 'all'}, optional
        What is drawn at first; by default the neighbourhood of the choice, and the latest without one.
    depth : int
        How many dependencies away the neighbourhood reaches.
    direction : {'both', 'dependents', 'dependencies'}
        Which way it reaches.
    hide_rolled_back : bool
        Leave out what is rolled back.
    **state : Any
        First values of the traits.
    """

    reads: ClassVar[tuple[str, ...]] = ("history", "dependencies")
    chooses: ClassVar[bool] = False

    def __init__(
        self,
        db: Migrations | SharedState | Panel,
        *,
        scope: str | None = None,
        depth: int = 2,
        direction: str = "both",
        hide_rolled_back: bool = False,
        **state: Any,
    ) -> None:
        self._first = {"scope": scope, "depth": depth, "direction": direction, "hide": hide_rolled_back}
        self._nodes: dict[str, str] = {}
        self._drawing_number = 0
        super().__init__(db, **state)
        if scope is None and self.selected is not None:
            self.scope_field.value = "neighbourhood"

    def _own(self) -> tuple[Any, ...]:
        short = widgets.Layout(width="auto")
        self.scope_field = widgets.Dropdown(
            options=[
                (f"the latest {LATEST}", "latest"),
                ("the neighbourhood of the choice", "neighbourhood"),
                ("all of them", "all"),
            ],
            value=self._first["scope"] or "latest",
            description="Show",
            layout=short,
            style=FIELD,
        )
        self.depth_field = widgets.BoundedIntText(
            value=self._first["depth"],
            min=1,
            max=50,
            description="Depth",
            layout=widgets.Layout(width="12em"),
            style=FIELD,
        )
        self.direction_field = widgets.Dropdown(
            options=[
                ("both ways", "both"),
                ("what depends on it", "dependents"),
                ("what it depends on", "dependencies"),
            ],
            value=self._first["direction"],
            description="Direction",
            layout=short,
            style=FIELD,
        )
        self.hide_box = widgets.Checkbox(
            value=self._first["hide"], description="hide rolled back", indent=False, layout=short
        )
        self.search_field = widgets.Text(description="Search", placeholder="part of a name", layout=short, style=FIELD)
        self.found_field = NameList(options=(("-", ""),), value="", description="Found", rows=1, layout=short, **FIELD)
        self.redraw_button = self._button("Refresh", "Refresh history and dependencies", self.shared.refresh)
        self.draw_all_button = self._button(
            "Draw all the same", "May take long, and the page may be slow with it", self._draw_all
        )
        self.drawing = GraphDrawing()
        self.note_view = widgets.HTML()
        self.table_view = widgets.HTML()
        self.legend_view = widgets.HTML(legend_html())
        for control in (self.scope_field, self.depth_field, self.direction_field, self.hide_box, self.search_field):
            control.observe(self._draw, "value")
        self.found_field.observe(self._picked, "value")
        self.drawing.observe(self._clicked_node, "chosen")
        return (
            row(self.scope_field, self.depth_field, self.direction_field, self.hide_box),
            row(self.search_field, self.found_field, self.redraw_button),
            self.note_view,
            self.draw_all_button,
            self.drawing,
            self.table_view,
            self.legend_view,
        )

    # -- what a person does ----------------------------------------------------------------------------------------

    def _picked(self, change: Mapping[str, Any]) -> None:
        with LOCK:
            if self._drawing:
                return
            if change["new"]:
                self._choose(change["new"])
            else:
                self._draw()  # the line that says how many were found is no migration's

    def _clicked_node(self, change: Mapping[str, Any]) -> None:
        with LOCK:
            if not self._drawing and change["new"] in self._nodes:
                self._choose(self._nodes[change["new"]])

    def _choose(self, name: str) -> None:
        if self.shared.busy:
            self._draw()  # what runs is not changed any more
        else:
            self.shared.selected = name

    # -- view ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        shared = self.shared
        scope, depth, direction, hide = (
            self.scope_field.value,
            self.depth_field.value,
            self.direction_field.value,
            self.hide_box.value,
        )
        near = scope == "neighbourhood"
        self.depth_field.disabled = self.direction_field.disabled = not near
        self.redraw_button.disabled = bool(shared.busy)
        self.drawing.locked = bool(shared.busy)
        focus = shared.selected if near else None
        facts = (shared.history, shared.dependencies, scope, focus, depth, direction, hide)
        known = self._drawn.get("graph")
        if (
            not isinstance(known, tuple)
            or known[0] is not facts[0]
            or known[1] is not facts[1]
            or known[2:] != facts[2:]
        ):
            self._drawn["graph"] = facts
            self._make_graph()
        ids = {name: node for node, name in self._nodes.items()}
        wanted = self.search_field.value.strip().casefold()
        found = (
            [entry["migration_name"] for entry in shared.history if wanted in entry["migration_name"].casefold()]
            if wanted
            else []
        )
        self.drawing.found = [ids[name] for name in found if name in ids]
        more = (f"{len(found):,} found" if found else "none found" if wanted else "-", "")
        self.found_field.options = (more, *((html.visible(name), name) for name in found[:FOUND]))
        self.found_field.value = shared.selected if shared.selected in found[:FOUND] else ""
        self.found_field.disabled = bool(shared.busy) or not found
        self.drawing.chosen = ids.get(shared.selected, "") if shared.selected is not None else ""
        self._report(ids)

    def _part(self) -> tuple[list[Mapping[str, Any]], str | None]:
        """The rows of the history that are drawn, and the migration in the middle."""
        every = list(self.shared.history)
        if self.hide_box.value:
            every = [
                entry
                for entry in every
                if entry["status"] != "rolled_back" or entry["migration_name"] == self.shared.selected
            ]
        if self.scope_field.value == "neighbourhood":
            focus = self.shared.selected
            return (every, focus) if focus in {entry["migration_name"] for entry in every} else ([], None)
        return (every[:LATEST] if self.scope_field.value == "latest" else every), None

    def _make_graph(self) -> None:
        """Draw, at once when it is quickly done. A later wish makes an earlier drawing void."""
        self._drawing_number += 1
        self._trouble = ""
        self._waiting = 0
        rows, focus = self._part()
        options = {"focus": focus, "depth": self.depth_field.value, "direction": self.direction_field.value}
        self._graph = graphs.select(rows, self.shared.dependencies, **options)
        if not rows:
            self._set_drawing("", {}, {})
        elif not graphs.use_available_dot():
            self._set_drawing("", {}, {})
            self._trouble = (
                "Graphviz's dot is not installed here, so this is a table instead of a drawing: apt-get install"
                " graphviz, or pip install graphviz-pure."
            )
        elif len(self._graph[0]) <= AT_ONCE:
            self._render(graphs.dependency_graph(rows, self.shared.dependencies, legend=False, **options))
        else:
            self._waiting = len(self._graph[0])
            self._set_drawing("", {}, {})

    def _render(self, graph: graphs.DependencyGraph) -> None:
        try:
            drawn = graphs.svg(graph)
        except (graphviz.ExecutableNotFound, graphviz.CalledProcessError) as error:
            self._trouble = f"dot could not draw the graph ({type(error).__name__}), so this is a table instead."
            self._set_drawing("", {}, {})
            return
        self._set_drawing(drawn, graph.node_names, self._graph[0])

    def _set_drawing(self, svg: str, nodes: Mapping[str, str], statuses: Mapping[str, str]) -> None:
        # a click may arrive when another drawing stands here: the same id is never another migration
        self._nodes = {graphs.node_id(name): name for name in nodes.values()}
        with self.drawing.hold_sync():
            self.drawing.chosen = ""
            self.drawing.words = {
                node: f"{html.visible(name)}, {_word(statuses[name])}" for node, name in self._nodes.items()
            }
            self.drawing.svg = svg

    def _draw_all(self) -> None:
        """Draw what takes long, off the kernel's thread."""
        number, rows = self._drawing_number, self._part()[0]
        focus = self.shared.selected if self.scope_field.value == "neighbourhood" else None
        dependencies = self.shared.dependencies
        options = {"focus": focus, "depth": self.depth_field.value, "direction": self.direction_field.value}
        self._trouble = (
            f"Drawing {self._waiting:,} migrations: this can take a minute. Choose a smaller part to go on now."
        )
        self._waiting = 0
        self._draw()

        def work() -> None:
            try:
                graph = graphs.dependency_graph(rows, dependencies, **options)
                drawn = graphs.svg(graph)
            except Exception as error:  # noqa: BLE001  # nothing above a thread would show it
                self.shared.error = error
                return
            with LOCK:
                if number == self._drawing_number:
                    self._trouble = ""
                    self._drawing = True
                    try:
                        self._set_drawing(drawn, graph.node_names, self._graph[0])
                    finally:
                        self._drawing = False
                    self._draw()

        self._drawer = threading.Thread(target=work, name="migrollback graph", daemon=True)
        self._drawer.start()

    def _report(self, ids: Mapping[str, str]) -> None:
        shared, every = self.shared, len(self.shared.history)
        parts = []
        if not every:
            parts.append("No migration is registered here.")
        elif self.scope_field.value == "neighbourhood" and not self._graph[0]:
            parts.append("Choose a migration to see its neighbourhood: search for it, or show the latest.")
        else:
            parts.append(f"{len(self._graph[0]):,} of {every:,} migrations.")
            if shared.selected is not None:
                parts.append(f"Chosen: <b>{html.escape(shared.selected)}</b>.")
            if shared.selected is not None and self._nodes and shared.selected not in ids:
                parts.append("It is not in this part: show its neighbourhood.")
        note = f'<div role="status">{" ".join(parts)}</div>'
        if self._waiting:
            note += box(
                f"{self._waiting:,} migrations are many: drawing them can take a minute, and the page may be slow with"
                " them.",
                html.CAREFUL,
            )
        if self._trouble:
            note += box(html.escape(self._trouble), html.CAREFUL)
        self.note_view.value = lines(note)
        self.draw_all_button.layout.display = None if self._waiting else "none"
        self.draw_all_button.disabled = not self._waiting
        drawn = bool(self.drawing.svg)
        self.drawing.layout.display = None if drawn else "none"
        self._write(self.table_view, _table_html, self._graph if not drawn and self._trouble else None, None)


def _word(status: str) -> str:
    return html.visible(str(graphs.STYLE.get(status, {"word": status})["word"]))


def _table_html(graph: tuple[Mapping[str, str], list[tuple[str, str]]] | None, _: object) -> str:
    """The graph as a table, for where nothing draws."""
    if graph is None:
        return ""
    statuses, edges = graph
    below: dict[str, list[str]] = {}
    for dependent, dependency in edges:
        below.setdefault(dependent, []).append(dependency)
    rows = [(name, _word(status), "\n".join(below.get(name, ()))) for name, status in list(statuses.items())[:1000]]
    return scrolled("Dependencies", html.table(("Migration", "Status", "Depends on"), rows))


def legend_html() -> str:
    """What shapes, lines and colours mean, in words."""

    def sign(shape: str, style: str, word: str) -> str:
        return f'<span style="{style};padding:0 .5em;margin-right:.6em;white-space:nowrap">{shape} {word}</span> '

    return lines(
        '<div role="note" aria-label="Legend">'
        + sign("▭", "color:#0b3d1a;background:#d7f5dd;border:1px solid #444444;border-radius:6px", "applied")
        + sign("▭", "color:#444444;background:#eeeeee;border:1px dashed #444444", "rolled back (dashed)")
        + sign("■", "color:#ffffff;background:#b3261e;border:1px solid #444444", "failed (octagon)")
        + "<span>An arrow points from a migration to what it depends on; a dashed arrow was inferred, and its tooltip"
        " says why. The chosen one has a thick blue outline, one that was found a dotted brown one. Keys: arrows"
        " walk, Enter chooses, plus, minus and 0 zoom, Shift with arrows moves; Ctrl with the wheel"
        " zooms.</span></div>"
    )
