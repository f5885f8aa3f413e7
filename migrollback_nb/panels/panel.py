"""What every panel is made of: a view of a desk, the banner that says where, the list to choose from, and how the last deed went."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets as widgets
import traitlets

from migrollback_nb.core import html
from migrollback_nb.core.errors import (
    DatabaseError,
    LockBusy,
    MigrollbackError,
    Refused,
    RollbackFailed,
    SqlFailed,
    UsageError,
)
from migrollback_nb.core.results import ChainResult
from migrollback_nb.panels.name_list import NameList
from migrollback_nb.panels.state import LOCK, STATE, Desk, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from migrollback_nb.core.production import Rule
    from migrollback_nb.core.results import RollbackResult, Target
    from migrollback_nb.migrations import Migrations

#: SQLSTATE of a statement that was cancelled.
_CANCELED = "57014"

#: How many migrations a list shows at most: a browser lays out no more in a moment, and nobody reads more.
SHOWN = 200

WIDE = widgets.Layout(width="auto")
FIELD = {"description_width": "6.5em"}


def clicked(holder: Any, deed: Callable[[], None]) -> Callable[[Any], None]:
    """Handle a click: what goes wrong becomes the `error` of `holder`. An error that left the handler would show nowhere in JupyterLab."""

    def handle(_: object) -> None:
        try:
            deed()
        except Exception as error:  # noqa: BLE001  # shown in the panel
            holder.error = error

    return handle


class View(widgets.VBox):  # type: ignore[misc]  # ipywidgets comes without types
    """Shows a part of a desk's state; what is shown follows from the state alone."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        # Re-entrant: drawing sets widgets, which call back. The worker's thread draws as well as the kernel's.
        self._drawing = False
        self._drawn: dict[str, object] = {}
        super().__init__(
            children=(*self._parts(), *self._beside()),
            layout=widgets.Layout(width="100%", max_width="64em", overflow="visible"),
        )
        desk.observe(self._draw, names=[*STATE, "updates"])
        self._draw()

    def _parts(self) -> tuple[Any, ...]:
        """Make the widgets, once."""
        raise NotImplementedError

    def _beside(self) -> tuple[Any, ...]:
        """Widgets that show nothing."""
        return ()

    def _show(self) -> None:
        """Set them to the state as it is now, whatever was shown before."""

    def _draw(self, _: object = None) -> None:
        with LOCK:
            if self._drawing or self.desk.updating:
                return
            self._drawing = True
            try:
                self._show()
            finally:
                self._drawing = False

    def _write(self, view: Any, write: Callable[..., str], *facts: object) -> None:
        """Write a part anew only when its facts are others: highlighting long SQL for every key that is pressed would be felt."""
        known = self._drawn.get(view.model_id)
        if not isinstance(known, tuple) or any(old is not new for old, new in zip(known, facts, strict=True)):
            view.value = write(*facts)
            self._drawn[view.model_id] = facts

    def _entered(self, trait: str) -> Callable[[Any], None]:
        """Handle what a person has entered into a control."""

        def handle(change: Mapping[str, Any]) -> None:
            with LOCK:
                if self._drawing:
                    return
                if self.desk.busy:
                    # it was on its way when the control was switched off: what runs is not changed any more
                    self._draw()
                else:
                    setattr(self.desk, trait, change["new"])

        return handle

    def _button(self, description: str, tooltip: str, deed: Callable[[], None], **style: str) -> Any:
        button = widgets.Button(description=description, tooltip=tooltip, style=widgets.ButtonStyle(**style))
        button.on_click(clicked(self.desk, deed))
        return button


class Keys(anywidget.AnyWidget):
    """Shows nothing. Keeps JupyterLab from taking keys that are meant for the panel it stands in, and tells SQL whether the page is dark."""

    _esm = Path(__file__).with_name("keys.js")
    _css = Path(__file__).with_name("keys.css")


class TargetView(View):
    """Where all this happens; production is loud."""

    def _parts(self) -> tuple[Any, ...]:
        self.target_view = widgets.HTML()
        return (self.target_view,)

    def _show(self) -> None:
        self._write(self.target_view, target_html, self.desk.target, self.desk.production)


class ChoiceView(View):
    """The list of what is in place, to choose from."""

    def _parts(self) -> tuple[Any, ...]:
        self.filter_field = widgets.Text(
            description="Filter", placeholder="part of a name or a reason", layout=WIDE, style=FIELD
        )
        self.choice = NameList(description="Migration", rows=7, layout=WIDE, **FIELD)
        self.empty_view = widgets.HTML()
        self.unfinished_view = widgets.HTML()
        self.chain_box = widgets.Checkbox(
            description="with all that depend on it (chain)",
            indent=False,
            layout=widgets.Layout(width="auto", margin="2px 2px 2px 7.2em"),
        )
        self.refresh_button = self._button("Refresh list", "Read the list of migrations again", self.desk.refresh)
        self.filter_field.observe(self._draw, "value")
        self.choice.observe(self._entered("selected"), "value")
        self.chain_box.observe(self._entered("chain"), "value")
        return (
            self.unfinished_view,
            self.filter_field,
            self.choice,
            self.empty_view,
            row(self.chain_box, self.refresh_button),
        )

    def _show(self) -> None:
        desk, wanted = self.desk, self.filter_field.value.strip().casefold()
        facts = (desk.migrations, wanted, desk.selected)
        known = self._drawn.get("options")
        if not isinstance(known, tuple) or known[0] is not facts[0] or known[1:] != facts[1:]:
            found = [
                one
                for one in desk.migrations
                if wanted in option(one).casefold() or one["migration_name"] == desk.selected
            ]
            shown = found[:SHOWN] + [one for one in found[SHOWN:] if one["migration_name"] == desk.selected]
            options = tuple((option(one), one["migration_name"]) for one in shown)
            if options != self.choice.options:
                self.choice.options = options
            self.empty_view.value = html.escape(_remark(len(desk.migrations), len(found), len(shown)))
            self._drawn["options"] = facts
        self._write(self.unfinished_view, unfinished_html, desk.unfinished)
        self.choice.value = desk.selected if desk.selected in {name for _, name in self.choice.options} else None
        self.chain_box.value = desk.chain
        self.filter_field.disabled = self.choice.disabled = self.chain_box.disabled = self.refresh_button.disabled = (
            bool(desk.busy)
        )


class OutcomeView(View):
    """What is running, with Cancel, and how the last deed went. `steady`: Cancel has its place also when nothing runs."""

    def __init__(self, desk: Desk, *, steady: bool = False) -> None:
        self._steady = steady
        super().__init__(desk)

    def _parts(self) -> tuple[Any, ...]:
        self.message_view = widgets.HTML()
        self.progress_bar = widgets.FloatProgress(max=1.0, layout=widgets.Layout(width="12em", flex="0 0 auto"))
        self.progress_view = widgets.HTML(layout=widgets.Layout(flex="1 1 20em"))
        self.cancel_button = self._button("Cancel", "Cancel on the server what is running", self.desk.cancel)
        self.again_button = self._button(
            "New preview", "Look at what would run now. Changes nothing", self.desk.preview
        )
        self.again_button.button_style = "primary"
        return (self.message_view, row(self.cancel_button, self.progress_bar, self.progress_view), self.again_button)

    def _show(self) -> None:
        desk = self.desk
        self._write(self.message_view, message_html, desk.busy, desk.error, desk.result, desk.fraction is None)
        self._write(self.progress_view, progress_html, desk.progress)
        self.progress_bar.value = desk.fraction or 0.0
        self.progress_bar.layout.display = None if desk.fraction is not None else "none"
        self.cancel_button.disabled = not desk.busy
        self.cancel_button.layout.display = None if desk.busy or self._steady else "none"
        again = (
            not desk.busy
            and desk.selected is not None
            and desk.preview_result is None
            and isinstance(desk.error, Refused | RollbackFailed | LockBusy)
        )
        self.again_button.disabled = not again
        # not only hidden to the eye: what is not displayed is in no reader's way and takes no focus
        self.again_button.layout.display = None if again else "none"


class Panel(State, View):
    """A view of a desk that can stand alone.

    Panels share a desk when they are made with one, or with each other: ``CheckPanel(graph)``. What one chooses is
    chosen in all. Panels of their own desks are linked by ``link(graph, panel)``, or by single traits with
    ``traitlets.link``.

    Parameters
    ----------
    db : Migrations, Desk or Panel
        The connection, or the desk to share. A connection is borrowed: closing the panel does not close it.
    production : str, iterable of str or callable, optional
        Which targets are production; see `migrollback_nb.core.production.is_production`.
    framed : bool
        False: only its own part, to be put into something that shows target, choice and outcome.
    **state : Any
        First values of the traits.
    """

    #: What it shows of the database.
    reads: ClassVar[tuple[str, ...]] = ("migrations",)
    #: Whether a list to choose from stands above it.
    chooses: ClassVar[bool] = True

    def __init__(
        self, db: Migrations | Desk | Panel, *, production: Rule | None = None, framed: bool = True, **state: Any
    ) -> None:
        if isinstance(db, Desk | Panel):
            desk = db if isinstance(db, Desk) else db.desk
            desk.update(**state)
        else:
            desk = Desk(db, production=production, **state)
        self._framed = framed
        super().__init__(desk)
        for name in STATE:
            traitlets.link((desk, name), (self, name))
        if framed:
            desk.open(self.reads)

    def __repr__(self) -> str:
        where = f"{self.target.database} on {self.target.host}" if self.target is not None else "a database"
        # the text/plain of a notebook that is not trusted, or shown where no widget runs
        return html.visible(f"<{type(self).__name__} for {where[:60]}; run the cell to use it>")

    def _parts(self) -> tuple[Any, ...]:
        own = self._own()
        if not self._framed:
            return own
        self.outcome = OutcomeView(self.desk)
        choice = (ChoiceView(self.desk),) if self.chooses else ()
        return (TargetView(self.desk), *choice, *own, self.outcome)

    def _beside(self) -> tuple[Any, ...]:
        return (Keys(),) if self._framed else ()

    def _own(self) -> tuple[Any, ...]:
        """Make the widgets that are this panel's own, once."""
        raise NotImplementedError

    # -- what a person, or a program, does -------------------------------------------------------------------------

    @property
    def db(self) -> Migrations:
        """The connection, as borrowed."""
        return self.desk.db

    def update(self, **state: Any) -> None:
        """Set several traits of the state at once, the choice first. Does not write to the database."""
        self.desk.update(**state)

    @property
    def missing(self) -> str:
        """What is still missing before "Roll back" works, in words; empty when nothing is."""
        return self.desk.missing

    def refresh(self) -> None:
        """Read again what is registered. Does not write."""
        self.desk.refresh()

    def check(self) -> None:
        """Find out whether the choice may be rolled back; `check_result` has the answer. Does not write."""
        self.desk.check()

    def preview(self) -> None:
        """Find out what a rollback of the choice would run; `preview_result` has it. Does not write."""
        self.desk.preview()

    def rehearse(self) -> None:
        """Run the rollback of the choice and undo it; `rehearsal_result` tells what it did. Writes: one event of the audit trail, nothing else."""
        self.desk.rehearse()

    def rollback(self) -> None:
        """Roll the choice back as previewed. Writes; only when nothing is `missing`.

        Raises
        ------
        UsageError
            When something is missing.
        """
        self.desk.rollback()

    def cancel(self) -> None:
        """Cancel on the server what is running; what it did is undone there."""
        self.desk.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is running any more, at most `timeout` seconds. Returns whether that is so."""
        return self.desk.wait(timeout)


def link(*panels: Panel) -> None:
    """Let panels show one state: what is chosen, found out and done in one is so in all. Does not write.

    Raises
    ------
    UsageError
        When they are of different databases.
    """
    first, *others = {id(panel.desk): panel.desk for panel in panels}.values()
    for other in others:
        if other.db.target != first.db.target:
            raise UsageError(
                f"These panels are of different databases: {first.db.target} and {other.db.target}",
                hint="Link panels of one database.",
            )
        with LOCK:
            for name in STATE:
                traitlets.link((first, name), (other, name))


# -- pieces of HTML ----------------------------------------------------------------------------------------------------


def heading(text: str) -> Any:
    """A heading, for readers too: the notebook has no h3 of ours in its outline."""
    return widgets.HTML(
        f'<div role="heading" aria-level="3" style="font-weight:600;font-size:1.1em">{html.escape(text)}</div>'
    )


def row(*controls: Any) -> Any:
    """Controls beside each other, as far as they fit."""
    return widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap", align_items="center", overflow="visible"))


def option(found: Mapping[str, Any]) -> str:
    """One line of the list."""
    # the name first: a list is searched by typing its first letters
    verdict = "✔ can be rolled back" if found["can_rollback"] else f"✘ {found['blocking_reason']}"
    return html.visible(f"{found['migration_name']}   {verdict}")


def unfinished_html(attempts: Iterable[Mapping[str, Any]]) -> str:
    """Which rollbacks were begun and whose end nobody recorded, and how that stands."""
    told = []
    for one in attempts:
        who = one["client"] or one["database_user"]
        words = (
            f"The rollback of {one['migration_name']} was begun at"
            f" {one['occurred_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {who}"
        )
        words += f" ({one['reason']})" if one["reason"] else ""
        if one["running"] is not None:
            end = (
                f"its end is not recorded yet: process {one['running']} of the server may be at it now. Refresh the"
                " list to see how it ended"
            )
        elif one["completed"]:
            end = (
                f"it was broken off: {one['completed']} of its statements ran outside a transaction and stay. Rolling"
                " back again goes on after them"
            )
        else:
            end = "it was broken off: nothing of it was kept, the migration is in place as before"
        told.append(f"<div>{html.escape(words)}; {html.escape(end)}.</div>")
    return box("".join(told), html.CAREFUL) if told else ""


def _remark(every: int, found: int, shown: int) -> str:
    if not every:
        return "No migration is in place here: there is nothing to roll back."
    if not found:
        return f"None of the {every:,} migrations has that."
    return f"{shown:,} of {found:,} are shown: filter by a part of the name." if shown < found else ""


def box(text: str, style: str, *, role: str = "status") -> str:
    """HTML in one of the styles of `migrollback_nb.core.html`; line breaks are kept. `text` is HTML already."""
    return (
        f'<div role="{role}" style="{style};padding:.4em'
        f' .8em;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.4">{text}</div>'
    )


def lines(text: str) -> str:
    """HTML with lines set closer than ipywidgets sets those of its controls. `text` is HTML already."""
    return f'<div style="line-height:1.5">{text}</div>'


def scrolled(name: str, text: str) -> str:
    """HTML that scrolls when it is long, by keyboard too. `text` is HTML already."""
    return (
        f'<div role="region" aria-label="{html.escape(name)}" tabindex="0"'
        f' style="max-height:28em;overflow:auto">{lines(text)}</div>'
    )


def target_html(target: Target | None, production: bool) -> str:  # called with the facts in order
    """The banner: which database this is."""
    if target is None:
        return box("Target: not connected", html.BAD)
    where = f"{target.host}:{target.port}"
    rest = (
        f"as user <b>{html.escape(target.user)}</b>, PostgreSQL {html.escape(target.server_version)}, schema"
        f" {html.escape(target.schema)}"
    )
    place = f"database <b>{html.escape(target.database)}</b> on <b>{html.escape(where)}</b> {rest}"
    if production:
        return box(f'<span style="font-size:1.3em;font-weight:700">⚠ PRODUCTION</span> {place}', html.BAD, role="note")
    return box(f"Target: {place}", html.CAREFUL, role="note")


def progress_html(progress: str) -> str:
    """How far it is, in words."""
    return lines(html.escape(progress))


def message_html(
    busy: str, error: BaseException | None, result: RollbackResult | ChainResult | None, vague: bool
) -> str:  # called with the facts in order
    """What is running, what was done, and what went wrong. `vague`: how far it is, is not shown beside it."""
    parts = []
    if busy:
        running = '<progress aria-label="running"></progress> ' if vague else ""
        parts.append(box(f"{running}{html.escape(busy)} ...", html.CAREFUL))
    if result is not None:
        unchanged = any(one.unchanged for one in (result.results if isinstance(result, ChainResult) else (result,)))
        verified = result.verification
        look = (
            unchanged
            or not result.success
            or (verified is not None and verified.verdict in ("differs", "not as rehearsed"))
        )
        parts.append(
            box(
                f"{'Look closer' if look else 'Done'}: {html.escape(result.message)}",
                html.CAREFUL if look else html.GOOD,
            )
        )
        # the verification has a place of its own
        parts.append(lines(replace(result, verification=None)._repr_html_()))
    if error is not None:
        word, style = _verdict(error)
        text = str(error) if isinstance(error, MigrollbackError) else f"{type(error).__name__}: {error}"
        parts.append(box(f"<b>{word}:</b> {html.escape(text)}", style, role="alert"))
    return "".join(parts)


def _verdict(error: BaseException) -> tuple[str, str]:
    match error:
        case DatabaseError(sqlstate=state) if state == _CANCELED:
            return "Cancelled", html.CAREFUL
        case SqlFailed(passing=True) | LockBusy():
            return "Not done, try again", html.CAREFUL
        case UsageError():
            return "Not done", html.CAREFUL
        case Refused():
            return "Refused, nothing was changed", html.CAREFUL
        case MigrollbackError():
            return "Failed", html.BAD
    return "Unexpected error", html.BAD
