"""The items of the checklist panel: a line for each, and note and buttons of the one that is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.panels.keys import GROUP
from migrollback_nb.panels.pieces import box, row
from migrollback_nb.runbook import items
from migrollback_nb.runbook.items import Evidence, Item, Outcome, Phase
from migrollback_nb.runbook.run import LOOK_CLOSER, RunbookState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: What the button of a machine-answered item says.
_VERBS = {
    Evidence.CHECK: "Check now",
    Evidence.REHEARSAL: "Rehearse now",
    Evidence.PREVIEW: "Dry run now",
    Evidence.BACKUP: "Back up now",
    Evidence.FILE: "Look at the file",
    Evidence.FIXED_FILE: "Look at the file",
    Evidence.MAINTENANCE: "Run the hook",
    Evidence.NOTIFICATION: "Run the hook",
    Evidence.AUDIT_LOG: "Read the audit log",
    Evidence.SCHEMA: "Verify now",
    Evidence.SMOKE_TESTS: "Run the tests",
    Evidence.ERROR_RATES: "Read the counters",
}
_STYLES = {
    Outcome.DONE: html.GOOD,
    Outcome.FAILED: html.BAD,
    Outcome.SKIPPED: html.QUIET,
    Outcome.NOTED: html.CAREFUL,
}
#: Of the item that comes next, or is being answered.
_MARKED = "border-left:4px solid #1a73e8;padding-left:8px"
_PLAIN = "border-left:4px solid transparent;padding-left:8px"
#: One line, its end left out where there is no room.
_ONE_LINE = "overflow:hidden;white-space:nowrap;text-overflow:ellipsis"
#: Of a segment of the phase bar.
_SEGMENTS = {
    Outcome.DONE: "#2f7d46",
    Outcome.SKIPPED: "#8a8a8a",
    Outcome.NOTED: "#8a6d00",
    Outcome.FAILED: "#b3261e",
    None: "transparent",
}
_PHASES = {Phase.BEFORE: "Before rolling back", Phase.DURING: "During rollback", Phase.AFTER: "After rollback"}


class Answers(Protocol):
    """What can be done about an item, by its key; `error` takes what went wrong, `item` which item it was about."""

    error: Any
    item: str
    opened: str

    def answer(self, key: str, *, note: str = "") -> None:
        """Let the machine answer."""

    def confirm_manually(self, key: str, note: str) -> None:
        """Answer on a person's word."""

    def skip(self, key: str, reason: str) -> None:
        """Skip the item."""

    def cancel(self) -> None:
        """Cancel what is running."""


class ChecklistItem:
    """One item: a line that says how it stands, a note, and what can be done about it."""

    def __init__(self, item: Item, panel: Answers) -> None:
        self.item = item
        self._panel = panel
        self.view = widgets.HTML(layout=widgets.Layout(width="auto", flex="1 1 0", min_width="0"))
        self.open_button = self._button("Answer", f"Show note and buttons of: {item.text}", self._open)
        self.message_view = widgets.HTML(layout=widgets.Layout(width="auto", margin="0 0 0 12px"))
        hint = "id or file of your own backup, or why not" if item.evidence == Evidence.BACKUP else "note, or why not"
        self.note = widgets.Text(
            description="Note",
            placeholder=hint,
            tooltip=f"Note: {item.text}",
            layout=widgets.Layout(width="auto", flex="1 1 18em"),
            style={"description_width": "3em"},
            continuous_update=False,
        )
        self.buttons = []
        if item.evidence in _VERBS:
            answer = self._button(
                _VERBS[item.evidence], item.help, lambda: panel.answer(item.key, note=self.note.value)
            )
            answer.button_style = "primary"
            self.buttons.append(answer)
        if item.evidence != Evidence.AUDIT_LOG:
            word = "Use my own" if item.evidence == Evidence.BACKUP else "Confirm manually"
            tooltip = f"Done, on your word; needs the note: {item.text}"
            confirm = self._button(word, tooltip, lambda: panel.confirm_manually(item.key, self.note.value))
            if not self.buttons:
                confirm.button_style = "primary"
            tooltip = f"Needs the reason as note: {item.text}"
            skip = self._button("Skip", tooltip, lambda: panel.skip(item.key, self.note.value))
            self.buttons += [confirm, skip]
        self.cancel_button = self._button("Cancel", f"Cancel what is running: {item.text}", panel.cancel)
        noted = (self.note,) if item.evidence != Evidence.AUDIT_LOG else ()
        self.controls = row(*noted, *self.buttons, self.cancel_button)
        self.controls.layout.margin = "0 0 0 12px"
        self.box = widgets.VBox(
            (
                widgets.HBox(
                    (self.view, self.open_button), layout=widgets.Layout(overflow="visible", align_items="center")
                ),
                self.message_view,
                self.controls,
            ),
            layout=widgets.Layout(overflow="visible"),
        )
        self.box.add_class(GROUP)

    def _open(self) -> None:
        self._panel.opened = "" if self._panel.opened == self.item.key else self.item.key

    def _button(self, words: str, tooltip: str, action: Callable[[], None]) -> Any:
        button = widgets.Button(description=words, tooltip=tooltip, layout=widgets.Layout(width="auto"))

        def handle(_: object) -> None:
            try:
                action()
            except Exception as error:  # noqa: BLE001  # shown in the item: JupyterLab shows none that leaves a handler
                self._panel.item = self.item.key
                self._panel.error = error

        button.on_click(handle)
        return button

    def show(self, *, ready: bool, opened: bool, running: bool, complete: bool) -> None:
        """Let it be used, or not; `opened`: with note and buttons."""
        self.note.disabled = self.open_button.disabled = not ready
        for button in self.buttons:
            button.disabled = not ready
            button.layout.display = "none" if running else None
        self.controls.layout.display = None if opened else "none"
        self.cancel_button.layout.display = None if running else "none"
        self.open_button.description = "Change" if complete else "Answer"
        self.open_button.layout.display = "none" if opened and not complete else None

    def html(self, state: RunbookState | None, marked: bool) -> str:
        """How the item stands: one line, with the evidence folded in it; what must not be overlooked stays in sight."""
        outcome = state.outcome(self.item.key) if state is not None else None
        loud = state.look_closer(self.item.key) if state is not None else ()
        style = html.CAREFUL if loud else _STYLES.get(outcome, "") if outcome is not None else ""
        sign, word = LOOK_CLOSER if loud else items.WORDS[outcome]
        badge = f'<span style="{style};padding:0 .4em;border-radius:.6em">{sign} {word}</span>'
        line = f"{badge} <b>{html.escape(self.item.text)}</b>"
        facts = self._facts(state)
        if outcome is None or not facts:
            facts = [*facts, f"{self.item.help}."]
        short = " · ".join(html.escape(fact) for fact in facts)
        if outcome is None and not marked:
            report = f'<div style="{_ONE_LINE}">{line} {short}</div>'
        elif outcome in (None, Outcome.FAILED, Outcome.NOTED):
            report = f"<div>{line}</div>" + "".join(f"<div>{html.escape(fact)}</div>" for fact in facts)
        else:
            folded = "".join(f"<div>{html.escape(fact)}</div>" for fact in facts)
            report = (
                f'<details><summary style="{_ONE_LINE};cursor:pointer">{line} {short}</summary>{folded}</details>'
                + "".join(f'<div style="{html.CAREFUL};padding:0 .4em">! {html.escape(text)}</div>' for text in loud)
            )
        where = _MARKED if marked else _PLAIN
        # as wide as there is room, however long its one line is
        wide = "box-sizing:border-box;width:0;min-width:100%"
        return f'<div style="line-height:1.6;overflow-wrap:anywhere;{wide};{where}">{report}</div>'

    def _facts(self, state: RunbookState | None) -> list[str]:
        """Who and when, note and evidence, a line each; empty while it is not answered."""
        if state is None:
            return []
        _, _, summary, note, who, when = next(row for row in state.rows() if row[1] == self.item.text)
        quoted = f"“{note}”" if note else ""
        if state.outcome(self.item.key) == Outcome.SKIPPED:
            said = [f"by {who}, {when}", quoted]  # who it was, before a long reason
        else:
            said = [summary, quoted, f"{who}, {when}" if who else ""]
        return [fact for fact in said if fact]


def summary_html(state: RunbookState | None, phases: Iterable[Phase]) -> str:
    """The phases beside each other: how many items of each are done, skipped, open, and which phase it is at."""
    if state is None:
        return '<div style="line-height:1.5">Choose a migration: its checklist is read from the audit log.</div>'
    following = state.next_open(phases)
    parts = []
    for phase in phases:
        of_phase = items.items_of(phase)
        segments = "".join(
            f'<span style="flex:1 1 0;background:{_SEGMENTS[state.outcome(item.key)]};border:1px solid #767676"></span>'
            for item in of_phase
        )
        now = following is not None and following.phase == phase
        words = f"{phase.capitalize()}: {state.count_words(phase)}"
        parts.append(
            f'<div style="flex:1 1 14em;{_MARKED if now else _PLAIN}"><div{" aria-current=step" if now else ""}>'
            f"{'<b>' if now else ''}{html.escape(words)}{'</b>' if now else ''}</div>"
            f'<div aria-hidden="true" style="display:flex;gap:2px;height:8px">{segments}</div></div>'
        )
    return f'<div role="status" style="display:flex;flex-wrap:wrap;gap:4px 12px;line-height:1.5">{"".join(parts)}</div>'


def heading_html(state: RunbookState | None, phase: Phase) -> str:
    """The title of a phase, and how it stands."""
    words = "" if state is None else f": {state.count_words(phase)}"
    return (
        '<div role="heading" aria-level="3" style="font-weight:600;font-size:1.1em;margin-top:.4em">'
        f"{html.escape(_PHASES[phase] + words)}</div>"
    )


def message_html(busy: str, error: BaseException | None) -> str:
    """What is running, and what went wrong."""
    parts = []
    if busy:
        parts.append(box(f'<progress aria-label="running"></progress> {html.escape(busy)} ...', html.CAREFUL))
    if error is not None:
        word = (
            "Not done"
            if isinstance(error, UsageError)
            else "Failed"
            if isinstance(error, MigrollbackError)
            else "Unexpected error"
        )
        text = str(error) if isinstance(error, MigrollbackError) else f"{type(error).__name__}: {error}"
        parts.append(
            box(
                f"<b>{word}:</b> {html.escape(text)}",
                html.CAREFUL if isinstance(error, UsageError) else html.BAD,
                role="alert",
            )
        )
    return "".join(parts)
