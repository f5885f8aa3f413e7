"""The history to search, sort and choose in: one search, one list, the picture of it beside. Does not write."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets

from migrollback_nb.core import html, kinds
from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.core.selectors import Facts, complete, describe
from migrollback_nb.core.selectors.grammar import is_plain
from migrollback_nb.panels.graph_panel import GraphPanel
from migrollback_nb.panels.history_rows import COLUMNS, STATUS, VERDICTS, HistoryRows
from migrollback_nb.panels.history_table import HistoryTable
from migrollback_nb.panels.later import running_loop, soon
from migrollback_nb.panels.panel import Panel
from migrollback_nb.panels.pieces import box, row
from migrollback_nb.panels.selector_line import SelectorLine
from migrollback_nb.panels.state import LOCK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from migrollback_nb.migrations import Migrations
    from migrollback_nb.panels.state import SharedState

#: Up to so many have their lanes beside them at first: more take a moment to draw.
FEW = 1_000

#: As high as the list beside it, with its filters, so that what is chosen is read without scrolling.
_HIGH = 300


class HistoryPanel(Panel):
    """What is registered and what became of it: search, sort, choose one, several or a deploy. Does not write.

    A plain word is searched in names, notes, descriptions, deploys and who did it; anything else is a selector, as in
    GraphPanel and the terminal. For the other parameters and the traits see `Panel` and `State`.

    Parameters
    ----------
    db : Migrations, SharedState or Panel
        The connection, or the state to share.
    search : str, optional
        What is searched for at first.
    lanes : bool, optional
        Whether the picture stands beside the list; by default that of up to 1,000 migrations.
    **state : Any
        First values of the traits.
    """

    reads: ClassVar[tuple[str, ...]] = ("history",)
    chooses: ClassVar[bool] = False

    def __init__(
        self,
        db: Migrations | SharedState | Panel,
        *,
        search: str | None = None,
        lanes: bool | None = None,
        **state: Any,
    ) -> None:
        self._first, self._lanes = search or "", lanes
        self._known = HistoryRows()
        self._places: Sequence[int] = ()
        self._refused: MigrollbackError | None = None
        self._selectable = Facts()  # asked when the line is first used, and anew after a refresh
        self.graph_panel: GraphPanel | None = None
        super().__init__(db, **state)
        # as wide as the cell: the table needs the room
        for part in (self, *self.children):
            part.layout.max_width = "100%"
        if self._framed:
            soon(self._read_more)

    def _own(self) -> tuple[Any, ...]:
        self.search = SelectorLine(
            self._complete,
            description="Search",
            value=self._first,
            placeholder="part of a name, a note, who; or name+   table:users   status:failed   since:7d",
        )
        self.search.layout = widgets.Layout(flex="1 1 20em", width="auto")
        self.group_button = widgets.ToggleButton(description="By deploy", tooltip="Show which deploy brought what")
        self.lanes_button = widgets.ToggleButton(description="Lanes", tooltip="Show the picture beside the list")
        for button in (self.group_button, self.lanes_button):
            button.layout.width = "auto"
            button.observe(self._draw, "value")
        self.refresh_button = self._button("Refresh", "Read the history again", self.shared.refresh)
        self.refresh_button.layout.width = "auto"
        self.note_view = widgets.HTML()
        self.table = HistoryTable(titles=COLUMNS)
        self.table.layout = widgets.Layout(width="100%")
        self.picture = widgets.VBox(
            layout=widgets.Layout(flex="2 1 20em", min_width="0", margin="0 0 0 10px", display="none")
        )
        self.detail_view = widgets.HTML()
        self.search.observe(self._draw, ["typed", "value"])
        self.table.observe(self._draw, ["status", "verdict", "sort"])
        self.table.observe(self._chosen, "chosen")
        # what is chosen is read right under the list, however high the picture is
        listed = widgets.VBox((self.table, self.detail_view))
        listed.layout = widgets.Layout(flex="3 1 24em", min_width="0", width="auto", overflow="visible")
        return (
            row(self.search, self.group_button, self.lanes_button, self.refresh_button),
            self.note_view,
            widgets.HBox((listed, self.picture), layout=widgets.Layout(width="100%", overflow="visible")),
        )

    def _read_more(self) -> None:
        """Read what takes longer than the list, once that is there. Does not write."""
        if not self.shared.busy:
            for what in ("migrations", "deploys"):  # a role may be allowed the one and not the other
                self.shared.open((what,))
            if self._lanes or (self._lanes is None and 0 < len(self.shared.history) <= FEW):
                self.lanes_button.value = True
        elif running_loop() is not None:
            soon(self._read_more, after=1)

    # -- what a person does ----------------------------------------------------------------------------------------

    def _chosen(self, _: object) -> None:
        with LOCK:
            if self._drawing:
                return
            if self.shared.busy:
                self._draw()  # what runs is not changed any more
                return
            choice = json.loads(self.table.chosen or "[]")
            if isinstance(choice, str):
                self.shared.deploy = choice
            elif len(choice) > 1:
                self.shared.several = tuple(choice)
            elif choice:
                self.shared.update(selected=choice[0], several=(), deploy="")

    def _complete(self, text: str) -> Sequence[tuple[str, str]]:
        if is_plain(text):
            # the list itself is the answer; no name need be looked at, and nothing asked
            return [(line, describe(line)) for line in complete(text, Facts()) if line.endswith(":")]
        if self.shared.busy:
            return ()  # what runs has the connection
        if self._is_new("selectable", self.shared.history):
            self._selectable = Facts(names=self._known.names)
            with suppress(MigrollbackError):  # names alone are better than no list
                self._selectable = self.db.selector_facts()
        return [(line, describe(line)) for line in complete(text, self._selectable)]

    # -- view ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        # in one message: rows that were not yet there for a moment would lose the place to which it is scrolled
        with self.table.hold_sync():
            self._show_rows()
        self.detail_view.value = self._details()

    def _show_rows(self) -> None:
        shared, busy = self.shared, bool(self.shared.busy)
        self.refresh_button.disabled = self.table.locked = busy
        if self._is_new("rows", shared.history, shared.migrations, shared.deploys):
            known = self._known if self._known.history is shared.history else HistoryRows(shared.history)
            self._known = known.with_verdicts(shared.migrations, shared.deploys)
            self.table.fill(self._known.names, self._known.cells())
        text = self.search.typed.strip()
        if busy and not is_plain(text):
            self._drawn.pop("found", None)  # asked when the connection is free
        elif self._is_new("found", self._known, text):
            self._find(text)
        self._fill()
        self._beside_it()
        self.table.chosen = self._choice()

    def _is_new(self, what: str, *facts: Any) -> bool:
        """Whether one of the facts is another than when this was asked last."""
        known = self._drawn.get(what)
        if isinstance(known, tuple) and all(
            old is new or (isinstance(new, str | bool) and old == new) for old, new in zip(known, facts, strict=True)
        ):
            return False
        self._drawn[what] = facts
        return True

    def _find(self, text: str) -> None:
        """Set what the search finds: places, in the order of the history."""
        self._refused = None
        if is_plain(text):
            self._places = self._known.containing(text)
        else:
            try:
                names = self.db.selected(text)
            except MigrollbackError as error:
                self._places, self._refused = range(len(self._known.names)), error
            else:
                self._places = sorted(self._known.place[name] for name in names if name in self._known.place)
        self.search.wrong = self._refused is not None

    def _fill(self) -> None:
        known, table = self._known, self.table
        if not self._is_new(
            "order", known, self._places, table.status, table.verdict, table.sort, self.group_button.value
        ):
            return
        found = known.fitting(self._places, status=table.status, verdict=table.verdict)
        order = known.ordered(found, table.sort.removeprefix("-"), down=table.sort.startswith("-"))
        statuses = known.statuses(known.fitting(self._places, verdict=table.verdict))
        verdicts = known.verdicts(known.fitting(self._places, status=table.status))
        with table.hold_sync():
            table.chips = [
                _chips("status", "Status", STATUS, statuses, table.status),
                *([_chips("verdict", "Rollback", VERDICTS, verdicts, table.verdict)] if known.migrations else []),
            ]
            table.order, table.deploys = known.grouped(order) if self.group_button.value else (order, [])
            table.empty = "No migration is registered here." if not known.names else "No migration is found."
        every = len(known.names)
        note = f"{len(found):,} of {every:,} migrations" if len(found) < every else f"{every:,} migrations"
        self.note_view.value = f'<div role="status" style="line-height:1.5">{html.escape(note)}</div>' + (
            box(html.escape(str(self._refused)), html.CAREFUL, role="alert") if self._refused is not None else ""
        )
        if self.graph_panel is not None:
            self.graph_panel.show_only(None if len(found) == every else {known.names[place] for place in found})

    def _beside_it(self) -> None:
        """Show the picture beside the list, or not. It is made when it is first wanted."""
        wanted = bool(self.lanes_button.value)
        if wanted and self.graph_panel is None and not self.shared.busy:
            self.graph_panel = GraphPanel(self.shared, framed=False, view="lanes")
            self.graph_panel.bare(height=_HIGH)
            self.picture.children = (self.graph_panel,)
            self._drawn.pop("order", None)
            self.shared.open(("graph",))
            self._fill()
        self.picture.layout.display = None if wanted and self.graph_panel is not None else "none"

    def _choice(self) -> str:
        shared = self.shared
        if shared.deploy:
            return json.dumps(shared.deploy)
        names = shared.several or ((shared.selected,) if shared.selected is not None else ())
        return json.dumps(names) if names and set(names) <= self._known.place.keys() else ""

    def _details(self) -> str:
        shared = self.shared
        if shared.selected is not None:
            return self._known.details_html(shared.selected)
        if not shared.chosen:
            return '<div style="line-height:1.5">Choose a row; with Shift a range, with Ctrl one more.</div>'
        what = shared.chosen[:1].upper() + shared.chosen[1:]
        return (
            f'<div role="status" style="line-height:1.5;overflow-wrap:anywhere"><b>{html.escape(what)}</b>:'
            " chosen to be rolled back together"
            + ("" if shared.deploy else ", with all that depend on them")
            + ". A RollbackPanel made with this panel shows what that does.</div>"
        )


def _chips(trait: str, label: str, of: Mapping[str, str], counts: Mapping[str, int], pressed: str) -> dict[str, Any]:
    """A row of filters: of what is there, and what is pressed."""
    options = [[key, words, kinds.KIND[key], counts.get(key, 0)] for key, words in of.items()]
    return {"trait": trait, "label": label, "options": [one for one in options if one[3] or one[0] == pressed]}
