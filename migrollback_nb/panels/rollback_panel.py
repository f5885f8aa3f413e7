"""The panels of a rollback: check, preview with rehearsal, confirm, verify, and all of them as one flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.panels.panel import ChoiceView, OutcomeView, Panel, TargetView, View
from migrollback_nb.panels.pieces import FIELD, WIDE, box, heading, lines, row, scrolled

if TYPE_CHECKING:
    from migrollback_nb.core.results import ChainResult, CheckResult, Preview, Rehearsal, RollbackResult


class CheckPanel(Panel):
    """May this migration be rolled back, and if not, why? Does not write. See `Panel` and `State`."""

    def _own(self) -> tuple[Any, ...]:
        self.check_button = self._button("Check", "May it be rolled back now? Changes nothing", self.shared.check)
        self.check_view = widgets.HTML()
        return (row(self.check_button), self.check_view)

    def _show(self) -> None:
        self._write(self.check_view, check_html, self.shared.check_result)
        self.check_button.disabled = bool(self.shared.busy) or self.shared.selected is None


class PreviewPanel(Panel):
    """What would run, and what would it do? Writes only by "Rehearse": one event. See `Panel` and `State`."""

    def _own(self) -> tuple[Any, ...]:
        self.preview_button = self._button(
            "Preview", "Show the SQL that would run. Changes nothing", self.shared.preview
        )
        self.rehearse_button = self._button(
            "Rehearse",
            "Run it for real in a transaction that is undone, and report what it did. Leaves one event in the audit"
            " trail",
            self.shared.rehearse,
        )
        self.consent_box = widgets.Checkbox(
            description="rehearse also what cannot be undone (nextval, COPY to a file ...)",
            indent=False,
            layout=widgets.Layout(width="auto"),
        )
        self.consent_box.observe(self._entered("consent"), "value")
        self.copy_box = widgets.Checkbox(
            description="rehearse on a copy of the schema: here others would wait",
            indent=False,
            layout=widgets.Layout(width="auto", display="none"),
        )
        self.copy_box.observe(self._entered("on_copy"), "value")
        self.preview_view = widgets.HTML()
        self.rehearsal_view = widgets.HTML()
        return (
            row(self.preview_button, self.copy_box, self.rehearse_button, self.consent_box),
            self.preview_view,
            self.rehearsal_view,
        )

    def _show(self) -> None:
        shared = self.shared
        self._write(self.preview_view, preview_html, shared.preview_result)
        self._write(self.rehearsal_view, rehearsal_html, shared.rehearsal_result)
        chosen = not shared.busy and bool(shared.chosen)
        self.preview_button.disabled = self.rehearse_button.disabled = self.consent_box.disabled = not chosen
        self.consent_box.value = shared.consent
        self.copy_box.value, self.copy_box.disabled = shared.on_copy, not chosen
        self.copy_box.layout.display = None if shared.would_stall(shared.preview_result) else "none"
        # the next step stands out
        self.preview_button.button_style = "primary" if chosen and shared.preview_result is None else ""


class ConfirmPanel(Panel):
    """Confirm and roll back. Writes by "Roll back", after a preview, with the exact name and a reason. See `Panel`."""

    def _own(self) -> tuple[Any, ...]:
        self.name_view = widgets.HTML()
        self.name_field = widgets.Text(description="Name", placeholder="type the name", layout=WIDE, style=FIELD)
        self.reason_field = widgets.Text(
            description="Reason", placeholder="for the audit log", layout=WIDE, style=FIELD
        )
        self.rollback_button = self._button(
            "Roll back",
            "Run the rollback that was previewed. Changes the database",
            self.shared.rollback,
            # html.BAD: the theme's own red is hard to read in the dark
            button_color="#b3261e",
            text_color="#ffffff",
            font_weight="600",
        )
        self.rollback_button.layout.width = "auto"
        self.accept_box = widgets.Checkbox(
            description="I accept this loss", indent=False, layout=widgets.Layout(width="auto")
        )
        self.accept_box.observe(self._entered("accept_loss"), "value")
        self.missing_view = widgets.HTML()
        # alone it needs a preview to confirm; in a flow that stands above
        self.previewing = (PreviewPanel(self.shared, framed=False),) if self._framed else ()
        self.name_field.observe(self._entered("typed"), "value")
        self.reason_field.observe(self._entered("reason"), "value")
        return (
            *self.previewing,
            self.name_view,
            self.accept_box,
            self.name_field,
            self.reason_field,
            row(self.rollback_button, self.missing_view),
        )

    def _show(self) -> None:
        shared, missing = self.shared, self.shared.missing
        idle = not shared.busy
        self._write(
            self.name_view, confirm_html, shared.preview_result if shared.previewed else None, shared.rehearsal_result
        )
        self.accept_box.layout.display = "" if shared.losses and shared.previewed else "none"
        self.accept_box.value = shared.accept_loss
        self.accept_box.disabled = not idle
        self.name_field.value = shared.typed
        self.reason_field.value = shared.reason
        self.name_field.disabled = not idle or shared.preview_result is None
        self.reason_field.disabled = not idle
        self.rollback_button.description = "Roll back on PRODUCTION" if shared.production else "Roll back"
        self.rollback_button.disabled = bool(missing)
        self.missing_view.value = html.escape(missing) if idle else ""


class VerifyView(View):
    """Whether it happened, and the schema is as it was before."""

    def _parts(self) -> tuple[Any, ...]:
        self.verify_view = widgets.HTML()
        return (self.verify_view,)

    def _show(self) -> None:
        self._write(self.verify_view, verify_html, self.shared.result)


class RollbackPanel(Panel):
    """Roll one migration back, step by step; writes only by its buttons "Roll back" and "Rehearse" (one event).

    "Roll back" works only after a preview of the present choice, with the migration's exact name typed and a reason
    given. What runs is what was previewed: the preview's fingerprint goes along, and the database refuses it when
    anything has changed since.

    What takes time runs in a thread, one thing at a time; until it ends only Cancel works. A lost connection is opened
    again by the next click. For its parameters see `Panel`, for its traits `State`.

    Examples
    --------
    In a notebook, as the last line of a cell::

        mr.panels.RollbackPanel(db)

    With the graph, so that a click there chooses here::

        graph = mr.panels.GraphPanel(db)
        mr.panels.RollbackPanel(graph)
    """

    chooses: ClassVar[bool] = False

    def _parts(self) -> tuple[Any, ...]:
        self.banner = TargetView(self.shared)
        self.choosing = ChoiceView(self.shared)
        self.checking = CheckPanel(self.shared, framed=False)
        self.previewing = PreviewPanel(self.shared, framed=False)
        self.confirming = ConfirmPanel(self.shared, framed=False)
        self.outcome = OutcomeView(self.shared, steady=True)
        self.verifying = VerifyView(self.shared)
        return (
            self.banner,
            heading("1. Choose"),
            self.choosing,
            heading("2. Check: nothing is changed"),
            self.checking,
            heading("3. Preview and rehearse: nothing is left changed"),
            self.previewing,
            heading("4. Confirm"),
            self.confirming,
            heading("5. Run"),
            self.outcome,
            heading("6. Verify"),
            self.verifying,
        )


def check_html(check: CheckResult | None) -> str:
    """Yes or no, why, and what has to go first."""
    if check is None:
        return ""
    known = check.assessment
    word, style = ("✔ Can rollback", html.CAREFUL) if check.can_rollback else ("✘ Cannot rollback", html.CAREFUL)
    verdict = "" if known is None else box(f"<b>{html.escape(known.heading)}</b>", known.style)
    if known is not None and known.verdict != "blocked":
        verdict += html.warnings(known.lines())
    first = (
        html.definitions([("Must be rolled back first", "\n".join(check.dependent_migrations))])
        if check.dependent_migrations
        else ""
    )
    advice = (
        "<div>Tick “with all that depend on it” to roll these back as well, in one transaction.</div>" if first else ""
    )
    return (
        verdict
        + box(f"<b>{word}:</b> {html.escape(check.reason)}", style)
        + lines(html.warnings(check.warnings) + first + advice)
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
    asked = f"To confirm, type the name exactly: <code>{html.escape(preview.confirm)}</code>"
    if len(names) > 1:
        steps = "".join(f"<li><code>{html.escape(name)}</code></li>" for name in names)
        asked = (
            f"{len(names)} migrations are rolled back in this order, in one transaction, all or"
            f" none:<ol>{steps}</ol>{asked}"
        )
    known = (rehearsed if rehearsed is not None and rehearsed.assessment is not None else preview).assessment
    warned = "" if known is None else box(html.escape(known.heading), known.style)
    if rehearsed is None and known is None:
        warned = "<div>Not rehearsed: what it would do to data and to others is not known.</div>"
    elif rehearsed is not None and not rehearsed.success:
        warned += box("The rehearsal failed: so will this, unless the cause has gone", html.BAD)
    elif rehearsed is not None and rehearsed.dangers:
        several = f"{len(rehearsed.dangers)} things" if len(rehearsed.dangers) > 1 else "something"
        warned += box(f"The rehearsal found {several} to look at", html.CAREFUL)
    return lines(warned + asked)


def verify_html(result: RollbackResult | ChainResult | None) -> str:
    """What the comparison of the schema after it with the one before found."""
    if result is None:
        return "After the rollback: whether the schema is as it was before the migration."
    if result.verification is None:
        return box("Not verified: the schema after it was compared with none from before", html.CAREFUL)
    return scrolled("Verification", result.verification._repr_html_())
