"""What every panel is made of: views of the shared state for the target, the choice and the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets
import traitlets

from migrollback_nb.core import html
from migrollback_nb.core.errors import (
    LockBusy,
    OlderSystem,
    Refused,
    RollbackFailed,
    UsageError,
)
from migrollback_nb.core.results.card import CSS_CLASS as CARD
from migrollback_nb.panels.deploy_choice import DeployChoice
from migrollback_nb.panels.keys import Keys
from migrollback_nb.panels.later import running_loop, soon
from migrollback_nb.panels.name_list import NameList
from migrollback_nb.panels.pieces import (
    FIELD,
    RESULT,
    busy_html,
    lacking_html,
    lacks_system,
    message_html,
    option,
    progress_html,
    remark,
    row,
    target_html,
    together_html,
    unfinished_html,
    verify_html,
    wide,
)
from migrollback_nb.panels.state import LOCK, STATE, SharedState, State
from migrollback_nb.panels.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrollback_nb.core.production import Rule
    from migrollback_nb.migrations import Migrations

#: How many migrations a list shows at most: a browser lays out no more in a moment.
SHOWN = 200


class TargetView(View):
    """Where all this happens; production is loud, and so is a session that may only read, or was lost."""

    def _parts(self) -> tuple[Any, ...]:
        self.target_view = widgets.HTML()
        return (self.target_view,)

    def _show(self) -> None:
        shared = self.shared
        self._write(self.target_view, target_html, shared.target, shared.production, shared.standing)


class ChoiceView(View):
    """The list of applied migrations, to choose from."""

    def _parts(self) -> tuple[Any, ...]:
        self.filter_field = widgets.Text(
            description="Filter", placeholder="part of a name or a reason", layout=wide(), style=FIELD
        )
        self.choice = NameList(description="Migration", rows=5, layout=wide(), **FIELD)
        self._remark = ""
        self.empty_view = widgets.HTML()
        self.together_view = widgets.HTML()
        self.unfinished_view = widgets.HTML()
        self.chain_box = widgets.Checkbox(
            description="with all that depend on it (chain)",
            indent=False,
            layout=widgets.Layout(width="auto", margin="2px 2px 2px 7.2em"),
        )
        self.refresh_button = self._button("Refresh list", "Read the list of migrations again", self.shared.refresh)
        self.filter_field.observe(self._draw, "value")
        self.choice.observe(self._entered("selected"), "value")
        self.chain_box.observe(self._entered("chain"), "value")
        return (
            self.unfinished_view,
            self.filter_field,
            self.choice,
            self.empty_view,
            DeployChoice(self.shared),
            self.together_view,
            row(self.chain_box, self.refresh_button),
        )

    def _show(self) -> None:
        shared, wanted = self.shared, self.filter_field.value.strip().casefold()
        facts = (shared.migrations, wanted, shared.selected)
        known = self._drawn.get("options")
        if not isinstance(known, tuple) or known[0] is not facts[0] or known[1:] != facts[1:]:
            found = [
                one
                for one in shared.migrations
                if wanted in option(one).casefold() or one["migration_name"] == shared.selected
            ]
            shown = found[:SHOWN] + [one for one in found[SHOWN:] if one["migration_name"] == shared.selected]
            options = tuple((option(one), one["migration_name"]) for one in shown)
            if options != self.choice.options:
                self.choice.options = options
            self._remark = html.escape(remark(len(shared.migrations), len(found), len(shown)))
            self._drawn["options"] = facts
        # of a database without the system nothing is known, not even that it is empty
        self.empty_view.value = "" if lacks_system(shared.error) and not shared.migrations else self._remark
        self._write(self.unfinished_view, unfinished_html, shared.unfinished)
        # a deploy stands in its list
        named = shared.deploy and shared.deploy in {one["label"] for one in shared.deploys}
        self._write(self.together_view, together_html, shared.chosen if shared.together and not named else "")
        self.choice.value = shared.selected if shared.selected in {name for _, name in self.choice.options} else None
        self.chain_box.value = shared.chain
        self.filter_field.disabled = self.choice.disabled = self.refresh_button.disabled = bool(shared.busy)
        # of several together it is so anyway, and of a deploy exactly what it brought
        self.chain_box.disabled = bool(shared.busy) or bool(shared.together)


class RunningView(View):
    """What is running, and how far it is, with Cancel beside it; nothing while nothing runs."""

    def _parts(self) -> tuple[Any, ...]:
        self.cancel_button = self._button("Cancel", "Cancel on the server what is running", self.shared.cancel)
        self.cancel_button.layout.width = "auto"
        self.busy_view = widgets.HTML(layout=widgets.Layout(flex="0 1 auto"))
        self.progress_bar = widgets.FloatProgress(max=1.0, layout=widgets.Layout(width="10em", flex="0 0 auto"))
        self.progress_view = widgets.HTML(layout=widgets.Layout(flex="1 1 16em"))
        self.running_row = row(self.cancel_button, self.busy_view, self.progress_bar, self.progress_view)
        return (self.running_row,)

    def _show(self) -> None:
        shared = self.shared
        self._write(self.busy_view, busy_html, shared.busy, shared.fraction is None)
        self._write(self.progress_view, progress_html, shared.progress)
        self.progress_bar.value = shared.fraction or 0.0
        self.progress_bar.layout.display = None if shared.fraction is not None else "none"
        self.cancel_button.disabled = not shared.busy
        # not only hidden to the eye: what is not displayed is in no reader's way and takes no focus
        self.running_row.layout.display = None if shared.busy else "none"


class OutcomeView(View):
    """How the last action ended: what the comparison of the schema found on top, then what was done, or why not."""

    def _parts(self) -> tuple[Any, ...]:
        self.verify_view = widgets.HTML()
        self.message_view = widgets.HTML()
        self.again_button = self._button(
            "New preview", "Look at what would run now. Changes nothing", self.shared.preview
        )
        self.again_button.button_style = "primary"
        return (self.verify_view, self.message_view, self.again_button)

    def _show(self) -> None:
        shared = self.shared
        self._write(self.verify_view, verify_html, shared.result)
        self._write(self.message_view, message_html, shared.error, shared.result, shared.planned)
        again = (
            not shared.busy
            and bool(shared.chosen)
            and shared.preview_result is None
            and (
                isinstance(shared.error, Refused | LockBusy)
                or (isinstance(shared.error, RollbackFailed) and shared.error.passing)
            )
        )
        self.again_button.disabled = not again
        self.again_button.layout.display = None if again else "none"


class InstallView(View):
    """What is missing of the rollback system, and the button that installs it or brings it up to date; on top."""

    def _parts(self) -> tuple[Any, ...]:
        self.install_button = self._button(
            "Install here", "Install the rollback system into this database. Writes tables and functions", self._install
        )
        self.install_button.layout.width = "auto"
        self.install_button.button_style = "primary"
        self.lacking_view = widgets.HTML()
        return (self.lacking_view, self.install_button)

    def _show(self) -> None:
        error = self.shared.error
        missing = lacks_system(error) and not self.shared.busy
        self._write(self.lacking_view, lacking_html, error if missing else None)
        target = self.shared.target
        where = "" if target is None else f" (database {target.database}, schema {target.schema})"
        verb = "Bring it up to date" if isinstance(error, OlderSystem) else "Install here"
        self.install_button.description = html.visible(f"{verb}{where}"[:200])
        self.install_button.disabled = not missing
        self.install_button.layout.display = None if missing else "none"

    def _install(self) -> None:
        self.shared.install()


class Panel(State, View):
    """A view of the shared state that can stand alone.

    Panels share a state when they are made with it, or with each other: ``CheckPanel(graph)``. What is chosen in one is
    chosen in all. Panels with states of their own are linked by ``link(graph, panel)``, or by single traits with
    ``traitlets.link``.

    Parameters
    ----------
    db : Migrations, SharedState or Panel
        The connection, or the state to share. A connection is borrowed: closing the panel does not close it.
    production : str, iterable of str or callable, optional
        Which targets are production; see `migrollback_nb.core.production.is_production`.
    system : bool
        True: the rollback system's own migration is shown too.
    framed : bool
        False: only its own part, to be put into something that shows target, choice and outcome.
    **state : Any
        First values of the traits.
    """

    #: What it shows of the database.
    reads: ClassVar[tuple[str, ...]] = ("migrations",)
    #: What it shows of it once that is there, if it may be read.
    reads_later: ClassVar[tuple[str, ...]] = ()
    #: Whether a list to choose from stands above it.
    chooses: ClassVar[bool] = True

    def __init__(
        self,
        db: Migrations | SharedState | Panel,
        *,
        production: Rule | None = None,
        system: bool = False,
        framed: bool = True,
        **state: Any,
    ) -> None:
        if isinstance(db, SharedState | Panel):
            shared = db if isinstance(db, SharedState) else db.shared
            shared.update(**state)
        else:
            shared = SharedState(db, production=production, system=system, **state)
        self._framed = framed
        self._was_doing = ""
        super().__init__(shared)
        for name in STATE:
            traitlets.link((shared, name), (self, name))
        if framed:
            shared.open(self.reads)
            if self.reads_later and shared.error is None:
                soon(self._read_later)

    def _read_later(self) -> None:
        """Read what can wait until the panel is shown. Does not write."""
        if not self.shared.busy:
            self.shared.open(self.reads_later, quietly=True)
        elif running_loop() is not None:
            soon(self._read_later, after=1)

    def __repr__(self) -> str:
        where = f"{self.target.database} on {self.target.host}" if self.target is not None else "a database"
        # the text/plain of a notebook that is not trusted, or shown where no widget runs
        return html.visible(f"<{type(self).__name__} for {where[:60]}; run the cell to use it>")

    def _parts(self) -> tuple[Any, ...]:
        own = self._own()
        if not self._framed:
            return own
        self.outcome = OutcomeView(self.shared)
        choice = (ChoiceView(self.shared),) if self.chooses else ()
        parts = (*choice, *own, RunningView(self.shared), self.outcome)
        return (TargetView(self.shared), InstallView(self.shared), *parts)

    def _beside(self) -> tuple[Any, ...]:
        if not self._framed:
            return ()
        self.in_page = Keys()
        self.shared.observe(self._begins, names="busy")
        return (self.in_page,)

    def _begins(self, change: Mapping[str, Any]) -> None:
        # before anything is switched off, and so before the focus is lost
        if change["new"]:
            self.in_page.busy = True

    def _draw(self, change: object = None) -> None:
        super()._draw(change)
        if not self._framed or self.shared.updating:
            return
        # the parts have drawn themselves
        if not self.shared.busy:
            self.in_page.busy = False
        before, self._was_doing = self._was_doing, self.shared.doing
        if before not in ("", "resolve") and not self._was_doing:
            # what was found is brought into view
            shown = self.shared.card is not None and self.shared.error is None and before != "rollback"
            self.in_page.send({"reveal": CARD if shown else RESULT})

    def _own(self) -> tuple[Any, ...]:
        """Make the widgets that are this panel's own, once."""
        raise NotImplementedError

    # -- what a person, or a program, does -------------------------------------------------------------------------

    @property
    def db(self) -> Migrations:
        """The connection, as borrowed."""
        return self.shared.db

    def update(self, **state: Any) -> None:
        """Set several traits of the state at once, the choice first. Does not write to the database."""
        self.shared.update(**state)

    @property
    def missing(self) -> str:
        """What is still missing before "Roll back" works, in words; empty when nothing is."""
        return self.shared.missing

    def refresh(self) -> None:
        """Refresh what is registered. Does not write."""
        self.shared.refresh()

    def check(self) -> None:
        """Find out whether the choice may be rolled back; `check_result` has the answer. Does not write."""
        self.shared.check()

    def preview(self) -> None:
        """Find out what a rollback of the choice would run; `preview_result` has it. Does not write."""
        self.shared.preview()

    def rehearse(self) -> None:
        """Run the rollback of the choice and undo it; `rehearsal_result` has the report. Writes one event only."""
        self.shared.rehearse()

    def rollback(self) -> None:
        """Roll the choice back as previewed. Writes; only when nothing is `missing`.

        Raises
        ------
        UsageError
            When something is missing.
        """
        self.shared.rollback()

    def cancel(self) -> None:
        """Cancel on the server what is running; what it did is undone there."""
        self.shared.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is running any more, at most `timeout` seconds. Returns whether that is so."""
        return self.shared.wait(timeout)


def link(*panels: Panel) -> None:
    """Let panels show one state: what is chosen, found out and done in one is so in all. Does not write.

    Raises
    ------
    UsageError
        When they are of different databases.
    """
    first, *others = {id(panel.shared): panel.shared for panel in panels}.values()
    for other in others:
        if other.db.target != first.db.target:
            raise UsageError(
                f"These panels are of different databases: {first.db.target} and {other.db.target}",
                hint="Link panels of one database.",
            )
        with LOCK:
            for name in STATE:
                traitlets.link((first, name), (other, name))
