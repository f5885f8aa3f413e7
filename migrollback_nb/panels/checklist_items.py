"""The items of the checklist panel: how each stands, its note, and its buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.panels.panel import clicked
from migrollback_nb.panels.pieces import box, row
from migrollback_nb.runbook import items
from migrollback_nb.runbook.items import Evidence, Item, Outcome, Phase
from migrollback_nb.runbook.run import RunbookState

if TYPE_CHECKING:
    from collections.abc import Callable

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
    Outcome.SKIPPED: html.CAREFUL,
    Outcome.NOTED: html.CAREFUL,
}


class Answers(Protocol):
    """What can be done about an item, by its key; `error` takes what went wrong."""

    error: Any

    def answer(self, key: str, *, note: str = "") -> None:
        """Let the machine answer."""

    def confirm_manually(self, key: str, note: str) -> None:
        """Answer on a person's word."""

    def skip(self, key: str, reason: str) -> None:
        """Skip the item."""


class ChecklistItem:
    """One item: how it stands, a note, and what can be done about it."""

    def __init__(self, item: Item, panel: Answers) -> None:
        self.item = item
        self.view = widgets.HTML(layout=widgets.Layout(width="auto"))
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
            self.buttons.append(
                self._button(
                    panel, _VERBS[item.evidence], item.help, lambda: panel.answer(item.key, note=self.note.value)
                )
            )
        if item.evidence != Evidence.AUDIT_LOG:
            word = "Use my own" if item.evidence == Evidence.BACKUP else "Confirm manually"
            self.buttons.append(
                self._button(
                    panel,
                    word,
                    f"Done, on your word; needs the note: {item.text}",
                    lambda: panel.confirm_manually(item.key, self.note.value),
                )
            )
            self.buttons.append(
                self._button(
                    panel,
                    "Skip",
                    f"Needs the reason as note: {item.text}",
                    lambda: panel.skip(item.key, self.note.value),
                )
            )
        controls = [self.note, *self.buttons] if item.evidence != Evidence.AUDIT_LOG else self.buttons
        self.box = widgets.VBox(
            (self.view, row(*controls)), layout=widgets.Layout(margin="0 0 .5em 0", overflow="visible")
        )

    @staticmethod
    def _button(panel: Answers, words: str, tooltip: str, action: Callable[[], None]) -> Any:
        button = widgets.Button(description=words, tooltip=tooltip, layout=widgets.Layout(width="auto"))
        button.on_click(clicked(panel, action))
        return button

    def enable(self, ready: bool) -> None:
        """Let it be used, or not."""
        self.note.disabled = not ready
        for button in self.buttons:
            button.disabled = not ready

    def html(self, state: RunbookState | None) -> str:
        """How the item stands."""
        outcome = state.outcome(self.item.key) if state is not None else None
        sign, word = items.WORDS[outcome]
        badge = (
            f'<span style="{_STYLES[outcome]};padding:0 .4em">{sign} {word}</span>'
            if outcome is not None
            else f"<span>{sign} {word}</span>"
        )
        report = [f"<div>{badge} <b>{html.escape(self.item.text)}</b></div>"]
        if state is not None:
            shown = next(row for row in state.rows() if row[1] == self.item.text)
            _, _, summary, note, who, when = shown
            if summary:
                report.append(f"<div>{html.escape(summary)}</div>")
            if note:
                report.append(f"<div>“{html.escape(note)}”</div>")
            if who:
                report.append(f"<div>{html.escape(who)}, {html.escape(when)}</div>")
        if outcome is None:
            report.append(f"<div>{html.escape(self.item.help)}.</div>")
        return f'<div style="line-height:1.5;overflow-wrap:anywhere">{"".join(report)}</div>'


def summary_html(state: RunbookState | None) -> str:
    """How many items of each phase are complete."""
    if state is None:
        return '<div style="line-height:1.5">Choose a migration: its checklist is read from the audit log.</div>'
    counts = " · ".join(
        f"{phase.capitalize()} {len(items.items_of(phase)) - len(state.open(phase))} of {len(items.items_of(phase))}"
        for phase in Phase
    )
    done = "" if state.missing_before else " · all before the rollback are complete"
    return f'<div role="status" style="line-height:1.5"><b>{html.escape(counts)}</b>{done}</div>'


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
