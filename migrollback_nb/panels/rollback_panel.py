"""One flow: choose a migration, check it, preview it, confirm, roll it back, see that it happened. Composed of the panels of its steps."""

from __future__ import annotations

from typing import Any, ClassVar

from migrollback_nb.panels.panel import ChoiceView, OutcomeView, Panel, TargetView, heading
from migrollback_nb.panels.steps import CheckPanel, ConfirmPanel, PreviewPanel, VerifyView


class RollbackPanel(Panel):
    """Roll one migration back, step by step; writes only by its buttons "Roll back" and "Rehearse", the latter one event of the audit trail.

    "Roll back" works only after a preview of the present choice, with the migration's exact name typed and a reason
    given. What runs is what was previewed: the preview's fingerprint goes along, and the database refuses it when
    anything has changed since.

    What takes time runs in a thread, one thing at a time; meanwhile only Cancel works. A lost connection is opened
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
        self.banner = TargetView(self.desk)
        self.choosing = ChoiceView(self.desk)
        self.checking = CheckPanel(self.desk, framed=False)
        self.previewing = PreviewPanel(self.desk, framed=False)
        self.confirming = ConfirmPanel(self.desk, framed=False)
        self.outcome = OutcomeView(self.desk, steady=True)
        self.verifying = VerifyView(self.desk)
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
