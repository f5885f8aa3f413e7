"""The panel of the production checklist: its items, answered by the machine or by a person. No SQL."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import traitlets

from migrollback_nb.core import html
from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.core.production import is_production
from migrollback_nb.core.results import Target
from migrollback_nb.panels.checklist_items import ChecklistItem, heading_html, message_html, summary_html
from migrollback_nb.panels.keys import Keys
from migrollback_nb.panels.pieces import FIELD, row, target_html
from migrollback_nb.panels.state import LOCK, SharedState
from migrollback_nb.panels.view import clicked
from migrollback_nb.panels.worker import OneThread
from migrollback_nb.runbook import items
from migrollback_nb.runbook.checklist import Checklist
from migrollback_nb.runbook.items import Evidence, Phase
from migrollback_nb.runbook.run import RunbookState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from migrollback_nb.core.production import Rule
    from migrollback_nb.migrations import Migrations
    from migrollback_nb.panels.panel import Panel
    from migrollback_nb.runbook.hooks import Hook

#: Traits that are the panel's state, in the order in which `update` sets them: a new choice forgets what was known of
#: the one before.
STATE = ("target", "names", "selected", "chain", "ticket", "state", "opened", "item", "error", "busy")

#: What `item` is when all that is open before the rollback is skipped.
_SKIPPING = "skip_open"

#: Most names that are offered: more slow the browser down. Any name can be typed.
_OFFERED = 500


class ChecklistPanel(OneThread, widgets.VBox):  # type: ignore[misc]  # ipywidgets comes without types
    """Work through the production checklist of one migration; writes only by its buttons: one event for each answer.

    How it stands is read from the audit log: a colleague's panel shows the same after Refresh, and so does this one
    after a restart of the kernel. What takes time runs in a thread, one thing at a time; until it ends only Cancel
    works.

    Parameters
    ----------
    db : Migrations
        The connection. It is borrowed: closing the panel does not close it.
    selected : str, optional
        The migration.
    phases : iterable of str
        Which parts are shown: before, during, after.
    production : str, iterable of str or callable, optional
        Which targets are production; see `migrollback_nb.core.production.is_production`.
    scratch, smoke_tests, maintenance, notification
        As `Checklist` takes them.
    **state : Any
        First values of the other traits below.

    Attributes
    ----------
    target : Target or None
        Where all this happens.
    names : tuple of str
        Migrations that can be chosen.
    selected : str or None
        The chosen one. Link it with another panel's: ``traitlets.link((graph, "selected"), (checklist, "selected"))``.
    chain : bool
        Whether all that depend on it are rolled back with it.
    ticket : str
        Goes with each answer into the audit log.
    state : RunbookState or None
        How the run stands.
    opened : str
        Key of the item whose note and buttons are shown; empty: the next that is open.
    item : str
        Key of the item that the last click was about, or what is running is; empty: of none.
    error : BaseException or None
        Why the last click did not do what it says.
    busy : str
        What is running, in words; empty when nothing is.
    """

    target = traitlets.Instance(Target, allow_none=True)
    names = traitlets.Tuple()
    selected = traitlets.Unicode(None, allow_none=True)
    chain = traitlets.Bool(default_value=False)
    ticket = traitlets.Unicode("")
    state = traitlets.Instance(RunbookState, allow_none=True)
    opened = traitlets.Unicode("")
    item = traitlets.Unicode("")
    error = traitlets.Instance(BaseException, allow_none=True)
    busy = traitlets.Unicode("")

    def __init__(
        self,
        db: Migrations,
        selected: str | None = None,
        *,
        phases: Iterable[str] = tuple(Phase),
        production: Rule | None = None,
        scratch: str | None = "scratch",
        smoke_tests: Iterable[Any] = (),
        maintenance: Hook | None = None,
        notification: Hook | None = None,
        **state: Any,
    ) -> None:
        self.db = db
        self._rule = production
        self.phases = tuple(Phase(phase) for phase in phases)
        self._given: dict[str, Any] = {
            "scratch": scratch,
            "smoke_tests": tuple(smoke_tests),
            "maintenance": maintenance,
            "notification": notification,
        }
        self._checklist: Checklist | None = None
        # the other panels' own: one that follows changes the other, from the kernel's thread and from workers
        self._lock = LOCK
        self._drawing = False
        self._again = False
        self._drawn: dict[str, object] = {}
        self._rows: dict[str, ChecklistItem] = {}
        self._shown: dict[str, str] = {}
        self._make_view()
        if selected is not None:
            state["selected"] = selected.removesuffix(".sql")
        super().__init__(
            children=(*self._sections(), self.in_page), layout=widgets.Layout(width="100%", max_width="72em"), **state
        )
        self.observe(self._chosen_anew, names=["selected", "chain", "ticket"])
        self.observe(self._draw, names=list(STATE))
        if "state" not in state:
            try:
                self.update(**self._look())
            except Exception as error:  # noqa: BLE001  # shown in the panel, as that of any click; Refresh tries again
                self.error = error
        self._draw()

    def __repr__(self) -> str:
        where = f"{self.target.database} on {self.target.host}" if self.target is not None else "a database"
        return html.visible(f"<ChecklistPanel for {where[:60]}; run the cell to use it>")

    # -- what a person, or a program, does -------------------------------------------------------------------------

    def update(self, **state: Any) -> None:
        """Set several traits of the state at once, the choice first. Does not write to the database."""
        with self._lock:
            if unknown := set(state) - set(STATE):
                raise TypeError(f"no such state: {', '.join(sorted(unknown))}")
            for name in STATE:
                if name in state:
                    setattr(self, name, state[name])

    @property
    def missing_before(self) -> str:
        """What of the items before the rollback is open, in words; empty when nothing is, or nothing is chosen."""
        return self.state.missing_before if self.state is not None else ""

    @property
    def shown_item(self) -> str:
        """Key of the item whose note and buttons are shown: the opened one, else the next that is open."""
        if self.opened in self._rows:
            return str(self.opened)
        following = self.state.next_open(self.phases) if self.state is not None else None
        return following.key if following is not None else ""

    def follow(self, panel: Panel | SharedState) -> None:
        """Follow a panel that rolls back: take its choice, and hold its button until the items before are complete.

        Does not write.
        """
        shared = panel if isinstance(panel, SharedState) else panel.shared
        if shared.db.target != self.db.target:
            raise UsageError(f"These panels are of different databases: {self.db.target} and {shared.db.target}")

        def hold(_: object = None) -> None:
            known = self.state
            shared.hold = (
                ""
                if shared.selected is None
                else (
                    "The checklist is being read"
                    if known is None or known.migration_name != shared.selected
                    else known.missing_before
                )
            )

        def chosen(_: object = None) -> None:
            # after a rollback nothing is chosen there; here the checklist goes on
            if shared.selected is not None:
                self.update(selected=shared.selected, chain=shared.chain)
            hold()

        shared.observe(chosen, names=["selected", "chain"])
        shared.observe(lambda change: self.refresh() if change["new"] is not None else None, names="result")
        self.observe(hold, names="state")
        if shared.selected is None and self.selected in {row["migration_name"] for row in shared.migrations}:
            shared.update(selected=self.selected)
            shared.update(chain=self.chain)
        chosen()

    def refresh(self) -> None:
        """Refresh from the audit log. Does not write."""
        self._start("Reading the audit log", lambda _: None)

    def answer(self, key: str, *, note: str = "") -> None:
        """Let the machine answer an item. Writes one event."""
        item = items.item_of(key)
        self._start(item.text, lambda checklist: checklist.answer(key, note=note.strip() or None), about=key)

    def confirm_manually(self, key: str, note: str) -> None:
        """Answer an item on a person's word; of a backup, the note is the id of your own. Writes one event."""
        item = items.item_of(key)

        def work(checklist: Checklist) -> None:
            if item.evidence == Evidence.BACKUP and note.strip():
                checklist.record_backup(key, note)
            else:
                checklist.confirm_manually(key, note)

        self._start(item.text, work, about=key)

    def skip(self, key: str, reason: str) -> None:
        """Skip an item. Writes one event, with the reason."""
        self._start(items.item_of(key).text, lambda checklist: checklist.skip(key, reason), about=key)

    def skip_open(self, reason: str) -> None:
        """Skip all open items before the rollback. Writes an event for each, with the reason."""
        if not reason.strip():
            self.item = _SKIPPING
            raise UsageError("Skipping needs a reason: it goes into the audit log")
        self._start("Skipping what is open", lambda checklist: checklist.skip_open(reason), about=_SKIPPING)

    def cancel(self) -> None:
        """Cancel what is running; what a transaction did is undone, and of a backup no file stays."""
        if not self.busy:
            return
        checklist = self._checklist
        if checklist is not None:
            checklist.cancel()
        with self._lock:
            if self.busy:
                self.busy = "Cancel was sent; press it again if this goes on"

    # -- work, off the kernel's thread -----------------------------------------------------------------------------

    def _start(self, words: str, work: Callable[[Checklist], object], *, about: str = "") -> None:
        """Run `work` in a thread, then read how the run stands. One at a time: a connection serves one thread."""
        with self._lock:
            if self.busy:
                return
            self.update(busy=words, item=about, error=None)
            self._thread = threading.Thread(
                target=self._work, args=(work, about), name="migrollback checklist", daemon=True
            )
        self._thread.start()

    def _work(self, work: Callable[[Checklist], object], about: str) -> None:
        state: dict[str, Any] = {}
        try:
            if self.db.database.connection.closed:
                self.db.database.session.reconnect()
            if self.selected is not None:
                work(self._open())
                if about in self._rows:
                    self._rows[about].note.value = ""
                    state["opened"] = ""
        except BaseException as error:  # noqa: BLE001  # nothing above a thread would show it
            state["error"] = error
            if about in self._rows:
                state["opened"] = about  # where the message is
        try:
            state = self._look() | state
        except BaseException as error:  # noqa: BLE001  # must not hide what went wrong first
            state.setdefault("error", error)
        with self._lock:
            self.update(**state, busy="")
            again, self._again = self._again, False
        if again:
            self.refresh()  # something else was chosen while it ran

    def _open(self) -> Checklist:
        """The checklist of the present choice."""
        name, known = str(self.selected), self._checklist
        if known is None or known.name != name or known.chain != self.chain:
            known = Checklist(self.db, name, chain=self.chain, **self._given)
            self._checklist = known
        known.ticket = self.ticket.strip() or None
        return known

    def _look(self) -> dict[str, Any]:
        if self.db.database.connection.closed:
            self.db.database.session.reconnect()
        own = set(self.db.database.history.system()) - {self.selected}
        rows = self.db.database.queries.registered()
        found: dict[str, Any] = {
            "target": self.db.look_up_target(),
            "names": tuple(row["migration_name"] for row in rows if row["migration_name"] not in own)[:_OFFERED],
            "state": None,
        }
        if self.selected is not None:
            try:
                state = self._open().state()
            except MigrollbackError as error:
                return found | {"error": error}  # where it is and what can be chosen is known all the same
            found["state"] = state
            if not self.ticket and state.ticket:
                found["ticket"] = state.ticket
        return found

    # -- state -> state --------------------------------------------------------------------------------------------

    def _chosen_anew(self, change: Mapping[str, Any]) -> None:
        if change["name"] == "ticket":
            return
        with self._lock:
            if change["name"] == "selected":
                for one in self._rows.values():
                    one.note.value = ""
                self.update(state=None, ticket="", opened="", item="", error=None)
            if self.busy:
                self._again = True
                return
        self.refresh()

    def _entered(self, trait: str) -> Callable[[Any], None]:
        def handle(change: Mapping[str, Any]) -> None:
            with self._lock:
                if self._drawing:
                    return
                if self.busy:
                    self._draw()
                else:
                    value = change["new"]
                    # what is shown of a name may not be the name
                    setattr(self, trait, (self._shown.get(value, value) or None) if trait == "selected" else value)

        return handle

    # -- view ------------------------------------------------------------------------------------------------------

    def _make_view(self) -> None:
        self.target_view = widgets.HTML()
        self.choice = widgets.Combobox(
            description="Migration",
            placeholder="type or choose a name",
            continuous_update=False,
            style=FIELD,
        )
        self.choice.layout = widgets.Layout(width="auto", flex="3 1 24em")
        self.chain_box = widgets.Checkbox(
            description="with all that depend on it (chain)", indent=False, layout=widgets.Layout(width="auto")
        )
        self.ticket_field = widgets.Text(
            description="Ticket",
            placeholder="goes with each answer",
            layout=widgets.Layout(width="auto", flex="1 1 12em"),
            style={"description_width": "4em"},
        )
        self.summary_view = widgets.HTML()
        self.refresh_button = widgets.Button(
            description="Refresh",
            tooltip="Refresh from the audit log: colleagues may have answered",
            layout=widgets.Layout(width="auto"),
        )
        self.cancel_button = widgets.Button(description="Cancel", tooltip="Cancel what is running")
        self.message_view = widgets.HTML()
        self.skip_field = widgets.Text(
            placeholder="why", description="Reason", layout=widgets.Layout(width="auto", flex="1 1 20em"), style=FIELD
        )
        self.skip_button = widgets.Button(
            description="Skip what is open",
            tooltip="Skips every open item before the rollback",
            layout=widgets.Layout(width="auto"),
        )
        self.skip_message_view = widgets.HTML()
        self.skip_row = widgets.VBox((self.skip_message_view, row(self.skip_field, self.skip_button)))
        self.skip_row.layout.overflow = "visible"
        self.choice.observe(self._entered("selected"), "value")
        self.chain_box.observe(self._entered("chain"), "value")
        self.ticket_field.observe(self._entered("ticket"), "value")
        self.refresh_button.on_click(clicked(self, self.refresh))
        self.cancel_button.on_click(clicked(self, self.cancel))
        self.skip_button.on_click(clicked(self, lambda: self.skip_open(self.skip_field.value)))
        self.in_page = Keys()
        self.headings = {phase: widgets.HTML() for phase in self.phases}
        for phase in self.phases:
            for item in items.items_of(phase):
                self._rows[item.key] = ChecklistItem(item, self)

    def _sections(self) -> tuple[Any, ...]:
        parts: list[Any] = [self.target_view, row(self.choice, self.ticket_field)]
        parts += [row(self.chain_box, self.refresh_button, self.cancel_button), self.summary_view, self.message_view]
        for phase in self.phases:
            parts.append(self.headings[phase])
            parts += [self._rows[item.key].box for item in items.items_of(phase)]
            if phase == Phase.BEFORE:
                parts.append(self.skip_row)
        return tuple(parts)

    def _draw(self, _: object = None) -> None:
        """Show the state as it is now, whatever was shown before."""
        with self._lock:
            if self._drawing:
                return
            self._drawing = True
            try:
                self._draw_text(
                    "target",
                    self.target_view,
                    target_html,
                    self.target,
                    self.target is not None and is_production(self.target, self._rule),
                )
                self._draw_text("summary", self.summary_view, summary_html, self.state, self.phases)
                for phase, view in self.headings.items():
                    self._draw_text(f"heading {phase}", view, heading_html, self.state, phase)
                # beside what was clicked
                here = self.item if self.item in self._rows or self.item == _SKIPPING else ""
                general = ("", None) if here else (self.busy, self.error)
                self._draw_text("message", self.message_view, message_html, *general)
                said = (self.busy, self.error) if here == _SKIPPING else ("", None)
                self._draw_text("skip", self.skip_message_view, message_html, *said)
                for key, one in self._rows.items():
                    said = (self.busy, self.error) if key == here else ("", None)
                    self._draw_text(f"message {key}", one.message_view, message_html, *said)
                    self._draw_text(key, one.view, one.html, self.state, key == self.shown_item)
                self._draw_controls()
            finally:
                self._drawing = False

    def _draw_text(self, part: str, view: Any, write: Callable[..., str], *facts: object) -> None:
        known = self._drawn.get(part)
        if not isinstance(known, tuple) or any(old is not new for old, new in zip(known, facts, strict=True)):
            view.value = write(*facts)
            self._drawn[part] = facts

    def _draw_controls(self) -> None:
        idle = not self.busy
        ready = idle and self.state is not None
        if not idle:  # first: nothing is switched off yet, and the focus not lost
            self.in_page.busy = True
        if self._drawn.get("names") is not self.names:
            self._shown = {html.visible(name): name for name in self.names}
            self.choice.options = tuple(self._shown)
            self._drawn["names"] = self.names
        self.choice.value = html.visible(self.selected or "")
        self.chain_box.value = self.chain
        self.ticket_field.value = self.ticket
        self.choice.disabled = self.chain_box.disabled = self.ticket_field.disabled = (
            self.refresh_button.disabled
        ) = not idle
        self.cancel_button.disabled = idle
        # beside what runs
        self.cancel_button.layout.display = "none" if idle or self.item in self._rows else None
        self.skip_field.disabled = self.skip_button.disabled = not (ready and self.missing_before)
        self.skip_row.layout.display = None if self.missing_before else "none"
        for key, one in self._rows.items():
            one.show(
                ready=ready,
                opened=key == self.shown_item,
                running=not idle and self.item == key,
                complete=self.state is not None and self.state.is_complete(key),
            )
        if idle:  # last: what was switched off is on again
            self.in_page.busy = False
