"""The step after a rollback that failed: a person says how the migration stands, applied or rolled back, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.times import show_time
from migrollback_nb.panels.pieces import FIELD, box, row, wide
from migrollback_nb.panels.standing import StillThere
from migrollback_nb.panels.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence


class ResolveView(View):
    """Resolve a failed migration. Writes its status by a button, with a reason; runs no migration SQL."""

    def _parts(self) -> tuple[Any, ...]:
        self.failed_view = widgets.HTML()
        self.failed_field = widgets.Dropdown(description="Failed", layout=widgets.Layout(width="auto"), style=FIELD)
        self.found_field = widgets.Text(
            description="Found",
            placeholder="what was found and done, for the audit log",
            layout=wide(),
            style=FIELD,
        )
        self.as_applied_button = self._button(
            "Resolve as applied",
            "Record that it is applied: the rollback changed nothing, or was put right. Runs no SQL of the migration",
            lambda: self._resolve("applied"),
        )
        self.as_rolled_back_button = self._button(
            "Resolve as rolled back",
            "Record that it is rolled back, by hand. Runs no SQL of the migration",
            lambda: self._resolve("rolled_back"),
        )
        self.force_view = widgets.HTML()
        self.force_box = widgets.Checkbox(
            description="record it as rolled back all the same: what still stands stays, and the audit log keeps what",
            indent=False,
            layout=widgets.Layout(width="100%"),
        )
        self.force_box.add_class("migrollback-tick")
        self.force_box.observe(lambda _: self._draw(), "value")
        for button in (self.as_applied_button, self.as_rolled_back_button):
            button.layout.width = "auto"
        self.failed_field.observe(lambda _: self._draw(), "value")
        self.found_field.observe(self._entered("findings"), "value")
        self.step = widgets.VBox(
            (
                self.failed_view,
                self.failed_field,
                self.found_field,
                self.force_view,
                self.force_box,
                row(self.as_applied_button, self.as_rolled_back_button),
            ),
            layout=widgets.Layout(overflow="visible"),
        )
        return (self.step,)

    def _show(self) -> None:
        shared = self.shared
        names = tuple(one["migration_name"] for one in shared.failed)
        labels = tuple((html.visible(name), name) for name in names)
        if self.failed_field.options != labels:
            self.failed_field.options = labels
            self.failed_field.value = names[0] if names else None
        self._write(self.failed_view, failed_html, shared.failed, self.failed_field.value)
        self.found_field.value = shared.findings
        waits = bool(shared.busy) or not names
        self.failed_field.disabled = self.found_field.disabled = waits
        ready = not waits and bool(shared.findings.strip())
        self.as_applied_button.disabled = self.as_rolled_back_button.disabled = not ready
        self._show_force(waits)
        self.failed_field.layout.display = None if len(names) > 1 else "none"
        self.step.layout.display = None if names else "none"

    def _show_force(self, waits: bool) -> None:
        """Ask for a tick where the engine refused because something still stands, and only of that migration."""
        error = self.shared.error
        name = self.failed_field.value
        asked = isinstance(error, StillThere) and error.migration_name in (None, name)
        if not asked and not self.shared.busy:
            self.force_box.value = False
        self._write(self.force_view, _still_there_html, error if asked else None)
        self.force_box.disabled = waits
        self.force_box.layout.display = None if asked else "none"
        self.as_rolled_back_button.description = (
            "Resolve as rolled back, with that left" if self.force_box.value else "Resolve as rolled back"
        )

    def _resolve(self, status: str) -> None:
        name = self.failed_field.value
        if name is not None:
            self.shared.resolve(name, status, force=status == "rolled_back" and self.force_box.value)


def _still_there_html(error: StillThere | None) -> str:
    """Why it is not recorded, beside the tick that asks for it all the same."""
    if error is None:
        return ""
    return box(f"<b>Refused, nothing was changed:</b> {html.escape(error.reason)}", html.CAREFUL, role="alert")


def failed_html(failed: Sequence[dict[str, Any]], chosen: str | None) -> str:  # called with the facts in order
    """Which rollback failed, when and why, and what is asked."""
    one = next((row for row in failed if row["migration_name"] == chosen), None)
    if one is None:
        return ""
    when = "" if one["occurred_at"] is None else f" at {show_time(one['occurred_at'])}"
    why = f": {one['message']}" if one["message"] else ""
    code = f" (SQLSTATE {one['sqlstate']})" if one["sqlstate"] else ""
    words = f"The rollback of {one['migration_name']} failed{when}{why}{code}"
    asked = "Everything it did was undone. Look at the database, then say how the migration stands."
    return box(f"<b>Resolve:</b> {html.escape(words)}\n{asked}", html.CAREFUL)
