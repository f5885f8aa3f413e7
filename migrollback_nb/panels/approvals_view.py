"""Approvals of the choice in a panel: how many there are, a request for them, and another person's. Writes events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.times import show_time
from migrollback_nb.panels.pieces import FIELD, box, row, wide
from migrollback_nb.panels.view import View

if TYPE_CHECKING:
    from migrollback_nb.core.results import Approvals, Preview


class ApprovalsView(View):
    """Approvals of what was previewed. Writes an event by "Request", and one by "Approve" after the typed name."""

    def _parts(self) -> tuple[Any, ...]:
        self.approvals_view = widgets.HTML()
        self.request_button = self._button(
            "Request",
            "Ask other people to approve this, as it was previewed. Leaves one event in the audit log",
            self._request,
        )
        self.approve_field = widgets.Text(
            description="Approve", placeholder="type the migration's name", layout=wide(), style=FIELD
        )
        self.approve_button = self._button(
            "Approve",
            "Approve the request that was made by another person. Leaves one event in the audit log",
            self._approve,
        )
        self.approve_field.observe(lambda _: self._draw(), "value")
        self.approvals_step = widgets.VBox(
            (self.approvals_view, row(self.request_button), self.approve_field, row(self.approve_button)),
            layout=widgets.Layout(overflow="visible"),
        )
        return (self.approvals_step,)

    def _show(self) -> None:
        shared = self.shared
        preview = shared.preview_result if shared.previewed else None
        known = None if preview is None else shared.approvals
        self._write(self.approvals_view, approvals_html, known)
        waits = bool(shared.busy)
        asked = known is not None and known.request is not None
        lacks = known is not None and not known.satisfied
        self.request_button.disabled = waits or not lacks
        self.request_button.layout.display = None if lacks and not asked else "none"
        for part in (self.approve_field, self.approve_button):
            part.layout.display = None if lacks and asked else "none"
        self.approve_field.disabled = waits
        self.approve_button.disabled = (
            waits or preview is None or self.approve_field.value.strip() != preview.migration_name
        )
        self.approvals_step.layout.display = None if known is not None else "none"

    def _request(self) -> None:
        shared, preview = self.shared, self._preview()
        names = tuple(name for name, _ in preview.steps)

        def work() -> dict[str, Any]:
            shared.db.request(names, reason=shared.reason.strip() or None, preview=preview)
            return self._again(preview)

        shared.start(f"Asking for approvals of {preview.migration_name}", work)

    def _approve(self) -> None:
        shared, preview, typed = self.shared, self._preview(), self.approve_field.value.strip()
        known = shared.approvals
        if known is None or known.request is None:
            return
        number = known.request

        def work() -> dict[str, Any]:
            request = shared.db.approval_request(number)
            shared.db.approve(request, confirm=typed, reason=shared.reason.strip() or None)
            return self._again(preview)

        self.approve_field.value = ""
        shared.start(f"Approving request {number}", work)

    def _preview(self) -> Preview:
        preview = self.shared.preview_result
        assert preview is not None  # noqa: S101  # for mypy: the buttons are there for a preview alone
        return preview

    def _again(self, preview: Preview) -> dict[str, Any]:
        """The same preview with the approvals as they are now; a new one where anything has changed since."""
        shared = self.shared
        seen = shared.db.preview([name for name, _ in preview.steps])
        if seen.fingerprint != preview.fingerprint:
            return {"preview_result": None, "rehearsal_result": None}
        return {"preview_result": replace(preview, assessment=seen.assessment), "check_result": None}


def approvals_html(known: Approvals | None) -> str:  # called with the facts in order
    """How many approvals it takes and has, of which policies, who asked and who approved."""
    if known is None:
        return ""
    said = [f"It {known.words} (policy {', '.join(known.policies)})"]
    if known.satisfied:
        until = "" if known.expires_at is None else f", until {show_time(known.expires_at)}"
        said = [f"Approved by {', '.join(known.approved_by)}{until} (policy {', '.join(known.policies)})"]
    if known.request is not None:
        said.append(f"Request {known.request}, of {known.requested_by}")
        if not known.satisfied:
            said.append("Another person approves it: who asked cannot.")
    text = "\n".join(map(html.escape, said))
    return box(f"<b>Approvals:</b> {text}", html.GOOD if known.satisfied else html.CAREFUL)
