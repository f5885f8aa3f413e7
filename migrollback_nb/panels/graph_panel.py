"""The dependencies of migrations, to look at and to choose in: what falls with a choice, and why. Does not write."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.dependency_graph import DependencyGraph
from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.core.selectors import Facts, complete, describe
from migrollback_nb.core.selectors.grammar import quoted
from migrollback_nb.display.graph import theme
from migrollback_nb.display.graph.facts import GraphFacts, node_id
from migrollback_nb.display.graph.marks import falling
from migrollback_nb.panels import graph_pictures
from migrollback_nb.panels.graph_drawing import VIEWS, GraphDrawing, facts_of, verdicts_of
from migrollback_nb.panels.later import running_loop, soon
from migrollback_nb.panels.panel import Panel
from migrollback_nb.panels.pieces import box, lines, row, scrolled
from migrollback_nb.panels.selector_line import SelectorLine
from migrollback_nb.panels.state import LOCK

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from migrollback_nb.migrations import Migrations
    from migrollback_nb.panels.state import SharedState

#: What is shown before anything is read.
_NOTHING = GraphFacts(graph=DependencyGraph({}))

#: Up to so many are shown as a graph at first; more as lanes.
FEW = 30


class GraphPanel(Panel):
    """The graph of dependencies: look around and choose a migration in it. Does not write.

    For the other parameters and the traits see `Panel` and `State`.

    Parameters
    ----------
    db : Migrations, SharedState or Panel
        The connection, or the state to share.
    select : str, optional
        A selector: only these migrations are drawn; by default all.
    view : {'auto', 'plan', 'graph', 'lanes', 'tables'}
        What is shown at first; auto: the graph of up to 30 migrations, the plan of a choice, else lanes.
    **state : Any
        First values of the traits.
    """

    reads: ClassVar[tuple[str, ...]] = ("graph",)
    chooses: ClassVar[bool] = False

    def __init__(
        self,
        db: Migrations | SharedState | Panel,
        *,
        select: str | None = None,
        view: str = "auto",
        **state: Any,
    ) -> None:
        self._first = select or ""
        self._view = view
        self._facts = _NOTHING
        self._selectable = Facts()  # asked when the line is first used, and anew after a refresh
        self._ids: dict[str, str] = {}
        self._names: tuple[str, ...] = ()
        self._refused: MigrollbackError | None = None
        self._only: Collection[str] | None = None
        self._picture = graph_pictures.Picture()
        self._root: str | None = None
        super().__init__(db, **state)
        # as wide as the cell: graphs need the room
        for part in (self, *self.children):
            part.layout.max_width = "100%"
        if self._framed:
            soon(self._read_verdicts)

    def _own(self) -> tuple[Any, ...]:
        self.selector = SelectorLine(
            self._complete, value=self._first, placeholder="all of them; name+   +name   table:users   2025*"
        )
        self.selector.layout = widgets.Layout(flex="1 1 20em", width="auto")
        self.refresh_button = self._button("Refresh", "Read migrations and dependencies again", self.shared.refresh)
        self.look_button = self._button(
            "Look now", "Find what depends on what by the objects. Changes nothing", self._look
        )
        self.drawing = GraphDrawing()
        self.note_view = widgets.HTML()
        self.table_view = widgets.HTML()
        self.legend_view = widgets.HTML(legend_html())
        self.selector.observe(self._draw, "value")
        self.drawing.observe(self._tab_opened, "view")
        self.drawing.observe(self._clicked_node, "chosen")
        self.drawing.observe(self._opened_table, "opened")
        return (
            row(self.selector, self.refresh_button),
            row(self.note_view, self.look_button),
            self.drawing,
            self.table_view,
            self.legend_view,
        )

    def bare(self, *, height: int) -> None:
        """Hide what another panel has: the selector, and the legend. `height`: of the drawing. Does not write."""
        self.drawing.height = height
        for part in (self.children[0], self.legend_view):
            part.layout.display = "none"

    def show_only(self, names: Collection[str] | None) -> None:
        """Draw these migrations; None: what the selector means. Does not write."""
        if names != self._only:
            self._only = names
            self._drawn.pop("names", None)
            self._draw()

    def _read_verdicts(self) -> None:
        """Read what takes longer than the picture, once that is there. Does not write."""
        if not self.shared.busy:
            self.shared.open(("migrations",))
        elif running_loop() is not None:
            soon(self._read_verdicts, after=1)

    # -- what a person does ----------------------------------------------------------------------------------------

    def _clicked_node(self, change: Mapping[str, Any]) -> None:
        with LOCK:
            name = self._ids.get(change["new"])
            if self._drawing or name is None:
                return
            if self.shared.busy:
                self._draw()  # what runs is not changed any more
            else:
                self.shared.selected = name

    def _tab_opened(self, _: object) -> None:
        with LOCK:
            if not self._drawing:
                self._view = self.drawing.view
                self._root = self.shared.selected
                self._draw()

    def _opened_table(self, change: Mapping[str, Any]) -> None:
        with LOCK:
            table = self._picture.tables.get(change["new"])
            if table is not None and not self._drawing and not self.shared.busy:
                self._view = "graph"
                self.selector.value = f"table:{quoted(table)}"

    def _complete(self, text: str) -> Sequence[tuple[str, str]]:
        if self.shared.busy:
            return ()  # what runs has the connection
        if self._changed("selectable", (self.shared.graph,)):
            self._selectable = Facts(names=self._facts.graph.names[::-1])
            with suppress(MigrollbackError):  # names alone are better than no list
                self._selectable = self.db.selector_facts()
        return [(line, describe(line)) for line in complete(text, self._selectable)]

    def _look(self) -> None:
        """Find dependencies that no file declares, and show them. Does not write."""
        from migrollback_nb.operations.graph_facts import graph_facts

        def work() -> dict[str, Any]:
            path = self.db.folder_path
            return {
                "graph": graph_facts(
                    self.db.database, lambda: None if path is None else self.db.folder, edges="all", objects=True
                )
            }

        self.shared.start("Looking for what depends on what", work)

    # -- view ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        shared = self.shared
        busy = bool(shared.busy)
        self.refresh_button.disabled = self.look_button.disabled = self.selector.disabled = busy
        self.drawing.locked = busy
        if self._changed("facts", (shared.graph,)):
            self._facts = shared.graph if shared.graph is not None else _NOTHING
            self._ids = {node_id(name): name for name in self._facts.graph.names}
            self.drawing.facts = facts_of(self._facts.graph, self._facts.bare)
        if self._changed("verdicts", (shared.graph, shared.migrations)):
            self.drawing.verdicts = verdicts_of(self._facts.graph, shared.migrations)
        if busy and self.selector.value.strip():
            self._drawn.pop("names", None)  # asked when the connection is free
        elif self._changed("names", (shared.graph, self.selector.value)):
            self._names, self._refused = self._selected()
            self.selector.wrong = self._refused is not None
        if self._view == "auto" and self._names:
            self._view = self._first_view()
        view = self._view if self._view in VIEWS else "graph"
        if shared.selected is not None and shared.selected not in self._picture.names:
            self._root = shared.selected
        root = self._root if graph_pictures.is_around(view, self._names) else None
        if self._changed("picture", (shared.graph, self._names, view, root)):
            self._picture = graph_pictures.draw(self._with_verdicts(view, root), self._names, view, root)
        with self.drawing.hold_sync():
            self.drawing.view = self.drawing.drawn = view
            self.drawing.svg = self._picture.svg
            place = self._facts.graph.place
            self.drawing.groups = {node: [place[name] for name in names] for node, names in self._picture.folds.items()}
            self.drawing.around = self._id_of(root) if view == "plan" else ""
            self.drawing.chosen = self._id_of(shared.selected)
        self._report()

    def _changed(self, what: str, facts: tuple[Any, ...]) -> bool:
        """Whether this is to be made anew: one of its facts is another than when it was made."""
        known = self._drawn.get(what)
        if isinstance(known, tuple) and all(
            old is new or (isinstance(new, str) and old == new) for old, new in zip(known, facts, strict=True)
        ):
            return False
        self._drawn[what] = facts
        return True

    def _id_of(self, name: str | None) -> str:
        return node_id(name) if name is not None and name in self._facts.graph else ""

    def _first_view(self) -> str:
        if len(self._names) <= FEW:
            return "graph"
        return "plan" if self.shared.selected in self._names else "lanes"

    def _with_verdicts(self, view: str, root: str | None) -> GraphFacts:
        """The facts; for a plan with the verdict of each step."""
        if view != "plan" or self.shared.busy:
            return self._facts
        from migrollback_nb.operations.graph_facts import with_verdicts

        try:
            steps = falling(
                self._facts.graph, (root,) if root is not None and root in self._facts.graph else self._names
            )
            return with_verdicts(self.db.database, self._facts, steps)
        except MigrollbackError:  # a role that may not ask still sees the order
            return self._facts

    def _selected(self) -> tuple[tuple[str, ...], MigrollbackError | None]:
        """The names of what is selected, in the order of the history; and why none could be."""
        text = self.selector.value.strip()
        if self._only is not None:
            return tuple(name for name in self._facts.graph.names if name in self._only), None
        if not text:
            return self._facts.graph.names, None
        try:
            found = self.db.selected(text)
        except MigrollbackError as error:
            return self._facts.graph.names, error
        return tuple(name for name in found if name in self._facts.graph), None

    def _report(self) -> None:
        shared, every = self.shared, len(self._facts.graph)
        parts = []
        if shared.graph is None:
            parts.append("The migrations are not read yet.")
        elif not every:
            parts.append("No migration is registered here.")
        elif len(self._names) < every:
            parts.append(f"{len(self._names):,} of {every:,} migrations are selected.")
        else:
            parts.append(f"{every:,} migrations, {len(self._facts.graph.edges):,} dependencies.")
        if shared.selected is not None and every and shared.selected not in self._facts.graph:
            parts.append(f"Chosen: <b>{html.escape(shared.selected)}</b>, which is not registered here.")
        note = f'<div role="status">{" ".join(parts)}</div>'
        if self._refused is not None:
            note += box(html.escape(str(self._refused)), html.CAREFUL, role="alert")
        if self._picture.trouble:
            note += box(html.escape(self._picture.trouble), html.CAREFUL)
        if self._facts.not_looked:
            note += box(
                f"Not inferred yet for {self._facts.not_looked:,} migrations: what no file declares is missing here.",
                html.CAREFUL,
            )
        if self._facts.remarks:
            note += box("<br>".join(html.escape(text) for text in self._facts.remarks), html.CAREFUL)
        self.note_view.value = lines(note)
        self.look_button.layout.display = None if self._facts.not_looked else "none"
        drawn = bool(self._picture.svg)
        self._write(self.table_view, self._table_html, self._picture if not drawn and self._names else None)

    def _table_html(self, picture: graph_pictures.Picture | None) -> str:
        """The graph as a table, for where nothing draws."""
        if picture is None:
            return ""
        graph = self._facts.graph
        rows = [
            (name, theme.STATUS.get(graph.statuses[name], graph.statuses[name]), "\n".join(graph.dependencies(name)))
            for name in self._names[-1000:]
        ]
        return scrolled("Dependencies", html.table(("Migration", "Status", "Depends on"), rows))


def legend_html() -> str:
    """What lines, colours and keys mean, in words."""
    return lines(
        '<details><summary>What the lines mean, and keys</summary><div role="note" aria-label="Legend">An arrow points'
        " from a migration to what it depends on; a dashed one was inferred, a thin one has only a schema as reason."
        " Of a choice: red and numbered is what falls, in the order of its rollback; dashed red what depends on it and"
        " is rolled back already; blue is what it depends on. Rest the pointer or the focus on a line to read why."
        " Keys: arrows walk, Enter chooses, plus, minus and 0 zoom, Shift with arrows moves; Tab goes on to the lines,"
        " where arrows go from one to the next; Ctrl with the wheel zooms.</div></details>"
    )
