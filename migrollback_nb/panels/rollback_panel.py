"""The panels of a rollback: check, preview with rehearsal, confirm, and all of them as one flow."""

from __future__ import annotations

from typing import Any, ClassVar

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.errors import RollbackFailed
from migrollback_nb.panels.approvals_view import ApprovalsView
from migrollback_nb.panels.archives_view import ArchivesView
from migrollback_nb.panels.card_view import CardView, SqlView, confirm_html
from migrollback_nb.panels.lost_rows_view import LostRowsView
from migrollback_nb.panels.panel import ChoiceView, InstallView, OutcomeView, Panel, RunningView, TargetView
from migrollback_nb.panels.pieces import FIELD, heading, row, wide
from migrollback_nb.panels.resolve_view import ResolveView
from migrollback_nb.panels.standing import StillThere
from migrollback_nb.panels.view import View


class CheckPanel(Panel):
    """May this migration be rolled back, and if not, why? Does not write. See `Panel` and `State`."""

    reads_later: ClassVar[tuple[str, ...]] = ("deploys",)

    def _own(self) -> tuple[Any, ...]:
        self.check_button = self._button("Check", "May it be rolled back now? Changes nothing", self.shared.check)
        # in a flow it stands in one row with the others
        return (row(self.check_button), CardView(self.shared)) if self._framed else ()

    def _show(self) -> None:
        self.check_button.disabled = bool(self.shared.busy) or not self.shared.chosen


class PreviewPanel(Panel):
    """What would run, and what would it do? Writes only by "Rehearse": one event. See `Panel` and `State`."""

    reads_later: ClassVar[tuple[str, ...]] = ("deploys",)

    def _own(self) -> tuple[Any, ...]:
        self.preview_button = self._button(
            "Preview", "Show the SQL that would run. Changes nothing", self.shared.preview
        )
        self.rehearse_button = self._button(
            "Rehearse",
            "Run it for real in a transaction that is undone, and report what it did. Leaves one event in the audit"
            " log. Where others would wait for too long it runs on a copy of the schema",
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
        # in a flow they stand in one row with the check
        self.controls = (self.rehearse_button, self.preview_button, self.copy_box, self.consent_box)
        return (row(*self.controls), CardView(self.shared), SqlView(self.shared)) if self._framed else ()

    def _show(self) -> None:
        shared = self.shared
        chosen = not shared.busy and bool(shared.chosen)
        self.preview_button.disabled = self.rehearse_button.disabled = self.consent_box.disabled = not chosen
        self.consent_box.value = shared.consent
        self.copy_box.value, self.copy_box.disabled = shared.on_copy, not chosen
        self.copy_box.layout.display = None if shared.would_stall(shared.preview_result) else "none"
        # the next step stands out
        self.rehearse_button.button_style = "primary" if chosen and shared.rehearsal_result is None else ""


class HarmTicks(View):
    """What the rollback does to data and to others, with a tick for each kind: it runs when all are accepted."""

    def _parts(self) -> tuple[Any, ...]:
        self._pool: list[Any] = []
        self.ticks = widgets.VBox(layout=widgets.Layout(overflow="visible"))
        return (self.ticks,)

    def _show(self) -> None:
        shared = self.shared
        harms = shared.harms if shared.previewed else ()
        while len(self._pool) < len(harms):
            self._pool.append(self._tick(len(self._pool)))
        boxes = self._pool[: len(harms)]
        for line, one in zip(harms, boxes, strict=True):
            one.description = html.visible(f"I accept: {line.sentence}")
            one.value = line.harm in shared.accepted
            one.disabled = bool(shared.busy)
        if self.ticks.children != tuple(boxes):
            self.ticks.children = tuple(boxes)

    def _tick(self, place: int) -> Any:
        made = widgets.Checkbox(indent=False, layout=widgets.Layout(width="100%"))
        made.add_class("migrollback-tick")

        def enter(change: Any) -> None:
            if not self._drawing and place < len(self.shared.harms):
                kind = self.shared.harms[place].harm
                others = tuple(one for one in self.shared.accepted if one != kind)
                entered({"new": (*others, kind) if change["new"] else others})

        entered = self._entered("accepted")
        made.observe(enter, "value")
        return made


class ConfirmPanel(Panel):
    """Confirm and roll back. Writes by "Roll back", after a preview, with the exact name and a reason. See `Panel`."""

    reads_later: ClassVar[tuple[str, ...]] = ("deploys",)

    def _own(self) -> tuple[Any, ...]:
        self.name_view = widgets.HTML()
        self.name_field = widgets.Text(description="Name", placeholder="type the name", layout=wide(), style=FIELD)
        self.reason_field = widgets.Text(
            description="Reason", placeholder="for the audit log", layout=wide(), style=FIELD
        )
        self.archive_box = widgets.Checkbox(
            description="keep what the rollback destroys, to put it back when it is applied again",
            indent=False,
            layout=widgets.Layout(width="100%"),
        )
        self.archive_box.add_class("migrollback-tick")
        self.archive_box.observe(self._entered("archive"), "value")
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
        self.missing_view = widgets.HTML()
        # alone it needs a preview to confirm; in a flow that stands above
        self.previewing: tuple[Any, ...] = ()
        if self._framed:
            steps = PreviewPanel(self.shared, framed=False)
            self.previewing = (steps, row(*steps.controls), CardView(self.shared), SqlView(self.shared))
        self.name_field.observe(self._entered("typed"), "value")
        self.reason_field.observe(self._entered("reason"), "value")
        return (
            *self.previewing,
            self.name_view,
            HarmTicks(self.shared),
            self.name_field,
            self.reason_field,
            self.archive_box,
            row(self.rollback_button, self.missing_view),
        )

    def _show(self) -> None:
        shared, missing = self.shared, self.shared.missing
        idle = not shared.busy
        preview = shared.preview_result if shared.previewed else None
        self._write(self.name_view, confirm_html, shared.check_result, preview, shared.rehearsal_result)
        self.name_field.value = shared.typed
        self.reason_field.value = shared.reason
        self.archive_box.value, self.archive_box.disabled = shared.archive, not idle or shared.preview_result is None
        self.name_field.disabled = not idle or shared.preview_result is None
        self.reason_field.disabled = not idle
        self.rollback_button.description = "Roll back on PRODUCTION" if shared.production else "Roll back"
        self.rollback_button.disabled = bool(missing)
        self.missing_view.value = html.escape(missing) if idle else ""


class RollbackPanel(Panel):
    """Roll one migration back, step by step; writes only by "Roll back", "Restore" and "Rehearse" (one event).

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

    reads_later: ClassVar[tuple[str, ...]] = ("deploys", "archives")
    chooses: ClassVar[bool] = False

    def _parts(self) -> tuple[Any, ...]:
        shared = self.shared
        self.checking = CheckPanel(shared, framed=False)
        self.previewing = PreviewPanel(shared, framed=False)
        self.confirming = ConfirmPanel(shared, framed=False)
        self.running, self.resolving = RunningView(shared), ResolveView(shared)
        # right below the failure, else on top: some rollback failed before
        self._is_late = False
        self.early, self.late = (widgets.VBox(layout=widgets.Layout(overflow="visible")) for _ in range(2))
        # Cancel stands beside the button of what runs
        self.above, self.below = (widgets.VBox(layout=widgets.Layout(overflow="visible")) for _ in range(2))
        rehearse, preview, copy, consent = self.previewing.controls
        return (
            TargetView(shared),
            InstallView(shared),
            self.early,
            heading("1. Choose"),
            ChoiceView(shared),
            heading("2. Rehearse: nothing is left changed"),
            self.previewing,
            self.checking,
            row(rehearse, preview, self.checking.check_button, copy, consent),
            self.above,
            CardView(shared),
            SqlView(shared),
            LostRowsView(shared),
            ApprovalsView(shared),
            heading("3. Confirm"),
            self.confirming,
            self.below,
            heading("4. Result"),
            OutcomeView(shared),
            self.late,
            ArchivesView(shared),
        )

    def _show(self) -> None:
        rolls, error = self.shared.doing == "rollback", self.shared.error
        # it does not go away under the hand that resolves
        if not isinstance(error, StillThere) and self.shared.doing != "resolve":
            self._is_late = isinstance(error, RollbackFailed)
        failed = self._is_late
        for place, one, is_here in (
            (self.above, self.running, not rolls),
            (self.below, self.running, rolls),
            (self.early, self.resolving, not failed),
            (self.late, self.resolving, failed),
        ):
            children = (one,) if is_here else ()
            if place.children != children:
                place.children = children
