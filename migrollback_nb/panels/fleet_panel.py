"""Many databases in one panel: which migration stands where, and its rollback in waves, confirmed by its name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.core.errors import MigrollbackError
from migrollback_nb.fleet.results import FleetResult, TargetResult
from migrollback_nb.panels.fleet_matrix import FleetMatrix
from migrollback_nb.panels.pieces import FIELD, box, row
from migrollback_nb.panels.worker import LOCK, OneThread

if TYPE_CHECKING:
    from migrollback_nb.fleet.fleet import Fleet
    from migrollback_nb.fleet.plan import FleetPlan

_LETTERS = {"applied": "a", "rolled_back": "r", "failed": "f"}
_KIND = {
    "answered": "good",
    "done": "good",
    "refused": "careful",
    "failed": "bad",
    "unreachable": "bad",
    "late": "bad",
    "unknown": "bad",
    "not started": "quiet",
}


class FleetPanel(OneThread, widgets.VBox):  # type: ignore[misc]  # ipywidgets comes without types
    """A fleet's targets and migrations, and a rollback in waves. Only "Roll back" and "Resume" write.

    Parameters
    ----------
    fleet : Fleet
        The targets.
    migration : str, optional
        Which is chosen at first.
    waves : str
        Counts of the waves after the canary, as ``5,50``.
    state : str, optional
        DSN of a database that keeps the runs; by default files of the user's.

    Attributes
    ----------
    plan : FleetPlan or None
        What was looked at last.
    result : FleetResult or None
        How the last run ended.
    """

    def __init__(self, fleet: Fleet, *, migration: str = "", waves: str = "", state: str | None = None) -> None:
        self.fleet = fleet
        self.plan: FleetPlan | None = None
        self.result: FleetResult | None = None
        self.busy = ""
        self.error: BaseException | None = None
        self._state = state
        self._stop = threading.Event()
        self._ended: dict[str, TargetResult] = {}
        self._status: dict[str, Mapping[str, Any]] = {}
        self._names: dict[str, str] = {}  # as it is shown -> as it is
        super().__init__(children=self._parts(migration, waves), layout=widgets.Layout(width="100%"))
        self.refresh()

    # -- what a person, or a program, does -----------------------------------------------------------------------------

    @property
    def missing(self) -> str:
        """What is still missing before "Roll back" works, in words; empty when nothing is."""
        if self.busy:
            return "Something is running."
        if self.plan is None:
            return "Plan it first: what would run in each target?"
        if not any(target.takes_part for target in self.plan.rows):
            return "There is no target in which anything would run."
        if self.confirm_field.value.strip() != self.plan.confirm:
            return f"Type {self.plan.confirm} to confirm."
        return "" if self.reason_field.value.strip() else "Give a reason."

    @property
    def chosen(self) -> str:
        """The migration that is chosen; empty: none."""
        return self._names.get(self.matrix.chosen, self.matrix.chosen)

    def refresh(self) -> None:
        """Ask all targets anew. Does not write."""

        def work() -> None:
            status = {row["target"]: row for row in self.fleet.status_rows()}
            self._status, self._ended = status, {}
            self._fill()

        self._start(f"Asking {len(self.fleet)} targets", work)

    def make_plan(self) -> None:
        """Look at what a rollback of the chosen migration would do in each target. Does not write."""
        name = self.chosen
        if not name:
            return

        def work() -> None:
            self.plan = self.fleet.plan(name, **self._options())
            self.result = None

        self._start(f"Planning the rollback of {name}", work)

    def rollback(self) -> None:
        """Roll back as planned. Writes in each target; only when nothing is `missing`."""
        if self.missing or self.plan is None:
            self.error = MigrollbackError(self.missing)
            self._draw()
            return
        plan, name, reason = self.plan, self.chosen, self.reason_field.value.strip()
        self._stop = threading.Event()
        self._ended = {}

        def work() -> None:
            self.result = self.fleet.rollback(
                name,
                confirm=plan.confirm,
                preview=plan,
                reason=reason,
                accept_loss=self.loss_box.value,
                state=self._state,
                progress=self._report,
                stop=self._stop,
                **self._options(),
            )
            self._finished()

        self._start(f"Rolling back {name}", work)

    def resume(self) -> None:
        """Take up what of the last run is not done. Writes in those targets."""
        if self.result is None:
            return
        run_id = self.result.run_id
        self._stop = threading.Event()

        def work() -> None:
            self.result = self.fleet.resume(run_id, state=self._state, progress=self._report, stop=self._stop)
            self._finished()

        self._start(f"Resuming run {run_id}", work)

    def cancel(self) -> None:
        """Start no other target; those that run end."""
        self._stop.set()

    # -- off the kernel's thread ---------------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        waves = self.waves_field.value.strip()
        return {"waves": waves} if waves else {}

    def _start(self, words: str, work: Callable[[], None]) -> None:
        with LOCK:
            if self.busy:
                return
            self.busy, self.error = words, None
            self._draw()

            def run() -> None:
                try:
                    work()
                except BaseException as error:  # noqa: BLE001  # nothing above a thread would show it
                    self.error = error
                with LOCK:
                    self.busy = ""
                    self._draw()

            self._thread = threading.Thread(target=run, name="migrollback fleet panel", daemon=True)
        self._thread.start()

    def _report(self, result: TargetResult) -> None:
        with LOCK:
            self._ended[result.target] = result
            self._draw()

    def _finished(self) -> None:
        """Show how the targets stand now. Does not write."""
        assert self.result is not None  # noqa: S101  # for mypy
        self.plan = None
        self.confirm_field.value = ""
        self._ended = {row.target: row for row in self.result.rows}
        self._fill()

    def _fill(self) -> None:
        """Ask for the status of each migration in each target, and set what the matrix shows. Does not write."""
        order, answers = self.fleet.statuses()
        names = order[::-1]  # the newest is what goes back
        with LOCK, self.matrix.hold_sync():
            self._names = {html.visible(name): name for name in names}
            self.matrix.rows = self.matrix.columns = []
            self.matrix.migrations = list(self._names)
            self.matrix.targets = [html.visible(target.name) for target in self.fleet.targets]
            self.matrix.cells = [
                "".join(_LETTERS.get(answers.get(target.name, {}).get(name, ""), " ") for name in names)
                for target in self.fleet.targets
            ]

    # -- view ----------------------------------------------------------------------------------------------------------

    def _parts(self, migration: str, waves: str) -> tuple[Any, ...]:
        self.head_view = widgets.HTML()
        self.target_filter = widgets.Text(
            description="Targets", placeholder="part of a name, or region=eu", style=FIELD
        )
        self.name_filter = widgets.Text(description="Migrations", placeholder="part of a name", style=FIELD)
        self.differ_box = widgets.Checkbox(description="only what differs", indent=False, layout=_narrow())
        self.refresh_button = self._button("Refresh", "Ask all targets again", self.refresh)
        self.matrix = FleetMatrix(chosen=migration)
        self.matrix.layout = widgets.Layout(width="100%")
        self.waves_field = widgets.Text(
            description="Waves", value=waves, placeholder="after the canary: 5,50", style=FIELD
        )
        self.plan_button = self._button("Plan", "What would run in each target? Changes nothing", self.make_plan)
        self.plan_button.button_style = "primary"
        self.plan_view = widgets.HTML()
        self.confirm_field = widgets.Text(description="Confirm", placeholder="the migration's name", style=FIELD)
        self.reason_field = widgets.Text(description="Reason", placeholder="goes into each audit log", style=FIELD)
        self.loss_box = widgets.Checkbox(description="accept what is lost", indent=False, layout=_narrow())
        self.rollback_button = self._button("Roll back", "Roll back in all targets, wave after wave", self.rollback)
        self.rollback_button.button_style = "danger"
        self.missing_view = widgets.HTML()
        self.confirm_row = widgets.VBox(
            (row(self.confirm_field, self.reason_field, self.loss_box), row(self.rollback_button, self.missing_view))
        )
        self.cancel_button = self._button("Stop", "Start no other target; those that run end", self.cancel)
        self.progress_bar = widgets.FloatProgress(max=1.0, layout=widgets.Layout(width="12em"))
        self.busy_view = widgets.HTML()
        self.running_row = row(self.cancel_button, self.progress_bar, self.busy_view)
        self.result_view = widgets.HTML()
        self.resume_button = self._button("Resume", "Take up what is not done", self.resume)
        for field in (self.target_filter, self.name_filter, self.differ_box, self.confirm_field, self.reason_field):
            field.observe(self._draw, "value")
        self.matrix.observe(self._chosen, "chosen")
        self.waves_field.observe(self._chosen, "value")
        return (
            self.head_view,
            row(self.target_filter, self.name_filter, self.differ_box, self.refresh_button),
            self.matrix,
            row(self.waves_field, self.plan_button),
            self.plan_view,
            self.confirm_row,
            self.running_row,
            self.result_view,
            row(self.resume_button),
        )

    def _button(self, description: str, tooltip: str, action: Callable[[], None]) -> Any:
        button = widgets.Button(description=description, tooltip=tooltip, layout=_narrow())
        button.on_click(lambda _: action())
        return button

    def _chosen(self, _: object) -> None:
        with LOCK:
            self.plan = None  # of another migration, or other waves
            self._draw()

    def _draw(self, _: object = None) -> None:
        """Show the state as it is now, whatever was shown before."""
        with LOCK:
            matrix, busy = self.matrix, bool(self.busy)
            self.head_view.value = self._head()
            matrix.locked = busy
            matrix.states = [list(self._word(target.name)) for target in self.fleet.targets]
            matrix.rows, matrix.columns = self._shown()
            matrix.empty = "" if busy else "No target and no migration fits."
            self.plan_button.disabled = busy or not matrix.chosen
            self.plan_view.value = "" if self.plan is None else self.plan._repr_html_()
            self.confirm_row.layout.display = None if self.plan is not None else "none"
            self.rollback_button.disabled = bool(self.missing)
            self.missing_view.value = html.escape(self.missing) if self.plan is not None else ""
            self.running_row.layout.display = None if busy else "none"
            going = self.busy.startswith(("Rolling", "Resuming"))
            self.cancel_button.layout.display = self.progress_bar.layout.display = None if going else "none"
            self.progress_bar.value = len(self._ended) / max(1, len(self.fleet))
            self.busy_view.value = html.escape(f"{self.busy} …" if busy else "")
            self.result_view.value = self._outcome()
            again = self.result is not None and not self.result.success and not busy
            self.resume_button.layout.display = None if again else "none"
            for control in (
                self.refresh_button,
                self.waves_field,
                self.confirm_field,
                self.reason_field,
                self.loss_box,
            ):
                control.disabled = busy

    def _head(self) -> str:
        silent = sum(row["status"] != "answered" for row in self._status.values())
        said = f"{len(self.fleet)} targets, {len(self.matrix.migrations)} migrations"
        said += f"; {silent} did not answer" if silent else ""
        live = sum(bool(row.get("production")) for row in self._status.values())
        if live:
            return box(html.escape(f"PRODUCTION: {live} of {said}"), html.BAD)
        return box(html.escape(said), html.CAREFUL if silent else html.QUIET)

    def _word(self, target: str) -> tuple[str, str]:
        """What is said of a target beside its name, and the kind of that."""
        if (ended := self._ended.get(target)) is not None:
            return ended.outcome, _KIND.get(ended.outcome, "quiet")
        status = str(self._status.get(target, {}).get("status", ""))
        return ("", "") if status in ("", "answered") else (status.replace("_", " "), _KIND.get(status, "bad"))

    def _shown(self) -> tuple[list[int], list[int]]:
        """Which targets and which migrations are shown."""
        cells = self.matrix.cells
        rows = [place for place, target in enumerate(self.fleet.targets) if place < len(cells) and self._fits(target)]
        part = self.name_filter.value.strip().casefold()
        columns = [place for place, name in enumerate(self.matrix.migrations) if part in name.casefold()]
        if self.differ_box.value:
            columns = [place for place in columns if len({cells[one][place] for one in rows}) > 1]
        return rows, columns

    def _fits(self, target: Any) -> bool:
        wanted = self.target_filter.value.strip().casefold()
        key, is_label, value = wanted.partition("=")
        if is_label:
            return any(key == one.casefold() and value == of.casefold() for one, of in target.labels.items())
        return wanted in target.name.casefold()

    def _outcome(self) -> str:
        if self.error is not None:
            return box(html.escape(html.visible(str(self.error))), html.BAD, role="alert")
        return "" if self.result is None else self.result._repr_html_()

    def __repr__(self) -> str:
        return f"<FleetPanel of {len(self.fleet)} targets; run the cell to use it>"


def _narrow() -> Any:
    """A layout as wide as its words; one for each control, for some are hidden."""
    return widgets.Layout(width="auto")
