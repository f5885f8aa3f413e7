"""The steps of a rollback, each a panel of its own: check, preview with rehearsal, confirm, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.panels.panel import FIELD, WIDE, Panel, View, box, lines, row, scrolled

if TYPE_CHECKING:
    from migrollback_nb.core.results import ChainResult, CheckResult, Preview, Rehearsal, RollbackResult


class CheckPanel(Panel):
    """May this migration be rolled back, and if not, why? Does not write. For its parameters and traits see `Panel` and `State`."""

    def _own(self) -> tuple[Any, ...]:
        self.check_button = self._button("Check", "May it be rolled back now? Changes nothing", self.desk.check)
        self.check_view = widgets.HTML()
        return (row(self.check_button), self.check_view)

    def _show(self) -> None:
        self._write(self.check_view, check_html, self.desk.check_result)
        self.check_button.disabled = bool(self.desk.busy) or self.desk.selected is None


class PreviewPanel(Panel):
    """What would run, and what it would do? Writes only by its button "Rehearse": one event of the audit trail. See `Panel` and `State`."""

    def _own(self) -> tuple[Any, ...]:
        self.preview_button = self._button("Preview", "Show the SQL that would run. Changes nothing", self.desk.preview)
        self.rehearse_button = self._button(
            "Rehearse",
            "Run it for real in a transaction that is undone, and tell what it did. Leaves one event in the audit"
            " trail",
            self.desk.rehearse,
        )
        self.consent_box = widgets.Checkbox(
            description="rehearse also what cannot be undone (nextval, COPY to a file ...)",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        self.consent_box.observe(self._entered("consent"), "value")
        self.preview_view = widgets.HTML()
        self.rehearsal_view = widgets.HTML()
        return (
            row(self.preview_button, self.rehearse_button, self.consent_box),
            self.preview_view,
            self.rehearsal_view,
        )

    def _show(self) -> None:
        desk = self.desk
        self._write(self.preview_view, preview_html, desk.preview_result)
        self._write(self.rehearsal_view, rehearsal_html, desk.rehearsal_result)
        chosen = not desk.busy and desk.selected is not None
        self.preview_button.disabled = self.rehearse_button.disabled = self.consent_box.disabled = not chosen
        self.consent_box.value = desk.consent
        # the next step stands out
        self.preview_button.button_style = "primary" if chosen and desk.preview_result is None else ""


class ConfirmPanel(Panel):
    """Is this what you mean? Writes by its button "Roll back", which works after a preview, with the exact name and a reason. See `Panel` and `State`."""

    def _own(self) -> tuple[Any, ...]:
        self.name_view = widgets.HTML()
        self.name_field = widgets.Text(description="Name", placeholder="type the name", layout=WIDE, style=FIELD)
        self.reason_field = widgets.Text(
            description="Reason", placeholder="for the audit trail", layout=WIDE, style=FIELD
        )
        self.rollback_button = self._button(
            "Roll back",
            "Run the rollback that was previewed. Changes the database",
            self.desk.rollback,
            # html.BAD: the theme's own red is hard to read in the dark
            button_color="#b3261e",
            text_color="#ffffff",
            font_weight="600",
        )
        self.rollback_button.layout.width = "auto"
        self.missing_view = widgets.HTML()
        # alone it needs a preview to confirm; in a flow that stands above
        self.previewing = (PreviewPanel(self.desk, framed=False),) if self._framed else ()
        self.name_field.observe(self._entered("typed"), "value")
        self.reason_field.observe(self._entered("reason"), "value")
        return (
            *self.previewing,
            self.name_view,
            self.name_field,
            self.reason_field,
            row(self.rollback_button, self.missing_view),
        )

    def _show(self) -> None:
        desk, missing = self.desk, self.desk.missing
        idle = not desk.busy
        self._write(
            self.name_view, confirm_html, desk.preview_result if desk.previewed else None, desk.rehearsal_result
        )
        self.name_field.value = desk.typed
        self.reason_field.value = desk.reason
        self.name_field.disabled = not idle or desk.preview_result is None
        self.reason_field.disabled = not idle
        self.rollback_button.description = "Roll back on PRODUCTION" if desk.production else "Roll back"
        self.rollback_button.disabled = bool(missing)
        self.missing_view.value = html.escape(missing) if idle else ""


class VerifyView(View):
    """Whether it happened, and the schema is as it was before."""

    def _parts(self) -> tuple[Any, ...]:
        self.verify_view = widgets.HTML()
        return (self.verify_view,)

    def _show(self) -> None:
        self._write(self.verify_view, verify_html, self.desk.result)


def check_html(check: CheckResult | None) -> str:
    """Yes or no, why, and what has to go first."""
    if check is None:
        return ""
    word, style = ("✔ Can rollback", html.GOOD) if check.can_rollback else ("✘ Cannot rollback", html.CAREFUL)
    first = (
        html.definitions([("Must be rolled back first", "\n".join(check.dependent_migrations))])
        if check.dependent_migrations
        else ""
    )
    advice = (
        "<div>Tick “with all that depend on it” to roll these back as well, in one transaction.</div>" if first else ""
    )
    return box(f"<b>{word}:</b> {html.escape(check.reason)}", style) + lines(
        html.warnings(check.warnings) + first + advice
    )


def preview_html(preview: Preview | None) -> str:
    """The SQL that would run; of a chain every step."""
    return "" if preview is None else scrolled("Preview", preview._repr_html_())


def rehearsal_html(rehearsed: Rehearsal | None) -> str:
    """What the rollback did when it was rehearsed."""
    return "" if rehearsed is None else scrolled("Rehearsal", rehearsed._repr_html_())


def confirm_html(preview: Preview | None, rehearsed: Rehearsal | None) -> str:
    """What is confirmed, all of it, and by which word."""
    if preview is None:
        return ""
    names = [name for name, _ in preview.steps]
    asked = f"To confirm, type the name exactly: <code>{html.escape(preview.migration_name)}</code>"
    if len(names) > 1:
        steps = "".join(f"<li><code>{html.escape(name)}</code></li>" for name in names)
        asked = (
            f"{len(names)} migrations are rolled back in this order, in one transaction, all or"
            f" none:<ol>{steps}</ol>{asked}"
        )
    warned = ""
    if rehearsed is None:
        warned = "<div>Not rehearsed: what it would do to data and to others is not known.</div>"
    elif not rehearsed.success:
        warned = box("The rehearsal failed: so will this, unless the cause has gone", html.BAD)
    elif rehearsed.dangers:
        several = f"{len(rehearsed.dangers)} things" if len(rehearsed.dangers) > 1 else "something"
        warned = box(f"The rehearsal found {several} to look at", html.CAREFUL)
    return lines(warned + asked)


def verify_html(result: RollbackResult | ChainResult | None) -> str:
    """What the comparison of the schema after it with the one before found."""
    if result is None:
        return "After the rollback: whether the schema is as it was before the migration."
    if result.verification is None:
        return box("Not verified: the schema after it was compared with none from before", html.CAREFUL)
    return scrolled("Verification", result.verification._repr_html_())
