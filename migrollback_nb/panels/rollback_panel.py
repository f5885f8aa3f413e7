"""One panel: choose a migration, check it, preview it, confirm, roll it back. State and calls into `Migrations`; no SQL."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import traitlets

from migrollback_nb import html
from migrollback_nb.errors import DatabaseError, LockBusy, MigrollbackError, Refused, SqlFailed, UsageError
from migrollback_nb.results import ChainResult, CheckResult, Preview, RollbackResult, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from migrollback_nb.migrations import Migrations

#: Traits that are the panel's state, in the order in which `update` sets them: a new choice forgets what was found for the one before.
STATE = ("target", "migrations", "selected", "chain", "check_result", "preview_result", "typed", "reason", "result", "error", "busy")

#: SQLSTATE of a statement that was cancelled.
_CANCELED = "57014"


class RollbackPanel(widgets.VBox):  # type: ignore[misc]  # ipywidgets comes without types
    """Roll one migration back, step by step; writes only by its button "Roll back".

    The button works only after a preview of the present choice, with the migration's exact name typed and a reason given. What runs is what was
    previewed: the preview's fingerprint goes along, and the database refuses it when anything has changed since.

    What takes time runs in a thread, one thing at a time; meanwhile only Cancel works. A lost connection is opened again by the next click.

    Parameters
    ----------
    db : Migrations
        The connection. It is borrowed: closing the panel does not close it.
    **state : Any
        First values of the traits below.

    Attributes
    ----------
    target : Target or None
        Where all this happens; None while it is not known.
    migrations : tuple of dict
        What can be chosen: rows of ``db.database.list_rollbackable()``.
    selected : str or None
        The chosen migration. A new choice forgets `chain`, the check, the preview, the typed name and the result.
    chain : bool
        Whether all that depend on it are rolled back with it. A change forgets what a new choice does.
    check_result, preview_result : CheckResult, Preview or None
        What was found out about the choice.
    typed, reason : str
        What the person has written.
    result : RollbackResult, ChainResult or None
        How the last rollback ended.
    error : BaseException or None
        Why the last click did not do what it says.
    busy : str
        What is running, in words; empty when nothing is.

    Examples
    --------
    In a notebook, as the last line of a cell::

        mr.panels.RollbackPanel(db)
    """

    target = traitlets.Instance(Target, allow_none=True)
    migrations = traitlets.Tuple()
    selected = traitlets.Unicode(None, allow_none=True)
    chain = traitlets.Bool(default_value=False)
    check_result = traitlets.Instance(CheckResult, allow_none=True)
    preview_result = traitlets.Instance(Preview, allow_none=True)
    typed = traitlets.Unicode("")
    reason = traitlets.Unicode("")
    result = traitlets.Union([traitlets.Instance(RollbackResult), traitlets.Instance(ChainResult)], allow_none=True, default_value=None)
    error = traitlets.Instance(BaseException, allow_none=True)
    busy = traitlets.Unicode("")

    def __init__(self, db: Migrations, **state: Any) -> None:
        self.db = db
        # Re-entrant: drawing sets widgets, which call back. The worker's thread draws as well as the kernel's.
        self._lock = threading.RLock()
        self._drawing = False
        self._drawn: dict[str, object] = {}
        self._thread: threading.Thread | None = None
        self._make_view()
        super().__init__(children=self._sections(), layout=widgets.Layout(width="100%", max_width="64em"), **state)
        self.observe(self._forget, names=["selected", "chain"])
        self.observe(self._draw, names=list(STATE))
        if "migrations" not in state:
            try:
                self.update(**self._read(self._found))
            except Exception as error:  # noqa: BLE001  # shown in the panel, as that of any click; Refresh tries again
                self.error = error
        self._draw()

    def __repr__(self) -> str:
        where = f"{self.target.database} on {self.target.host}" if self.target is not None else "a database"
        # the text/plain of a notebook that is not trusted, or shown where no widget runs
        return html.visible(f"<RollbackPanel for {where[:60]}; run the cell to use it>")

    # -- what a person, or a program, does -------------------------------------------------------------------------

    def update(self, **state: Any) -> None:
        """Set several traits of the state at once, the choice first. Does not write to the database."""
        with self._lock:
            if unknown := set(state) - set(STATE):
                raise TypeError(f"no such state: {', '.join(sorted(unknown))}")
            for name in STATE:
                if name in state:
                    setattr(self, name, state[name])

    @property
    def missing(self) -> str:
        """What is still missing before "Roll back" works, in words; empty when nothing is."""
        preview = self.preview_result
        if self.busy:
            return self.busy
        if self.selected is None:
            return "Choose a migration"
        if preview is None or preview.migration_name != self.selected or preview.target != self.target or (len(preview.steps) > 1 and not self.chain):
            return "Look at a preview first"
        if self.typed != self.selected:
            return "Type the migration's name exactly"
        if not self.reason.strip():
            return "Give a reason: it goes into the audit trail"
        return ""

    def refresh(self) -> None:
        """Read the list of migrations again. Does not write."""
        self._start("Reading the list of migrations", lambda: self._read(self._found))

    def check(self) -> None:
        """Find out whether the choice may be rolled back; `check_result` has the answer. Does not write."""
        name = self._chosen()
        self._start("Checking", lambda: self._read(lambda: {"check_result": self.db.check(name), "result": None}))

    def preview(self) -> None:
        """Find out what a rollback of the choice would run; `preview_result` has it. Does not write."""
        name, chain = self._chosen(), self.chain
        self.update(preview_result=None, typed="", result=None)
        self._start("Preparing the preview", lambda: self._read(lambda: {"preview_result": self.db.preview(name, chain=chain)}))

    def rollback(self) -> None:
        """Roll the choice back as previewed. Writes; only when nothing is `missing`.

        Raises
        ------
        UsageError
            When something is missing.
        """
        preview = self.preview_result
        if self.missing or preview is None:
            raise UsageError(f"Not yet: {self.missing}")
        name, chain, typed, reason = self._chosen(), self.chain, self.typed, self.reason.strip()

        def work() -> dict[str, Any]:
            # whatever comes of it, the next try begins with a new look
            state: dict[str, Any] = {"check_result": None, "preview_result": None, "typed": ""}
            try:
                if self._connected() != preview.target:
                    raise Refused("The connection leads to another database than the preview's", migration_name=name)  # noqa: TRY301  # handled as the database's own
                state["result"] = self.db.rollback(name, confirm=typed, reason=reason, preview=preview, chain=chain)
                state["reason"] = ""
            except BaseException as error:  # noqa: BLE001  # a thread has nobody above it who would show it
                state["error"] = error
            try:
                state |= self._read(self._found)
            except BaseException as error:  # noqa: BLE001  # must not hide how the rollback ended
                state.setdefault("error", error)
            return state

        self._start(f"Rolling back {name}", work)

    def cancel(self) -> None:
        """Cancel on the server what is running; what it did is undone there."""
        if not self.busy:
            return
        self.db.database.cancel()
        with self._lock:
            if self.busy:  # else it has ended meanwhile
                self.busy = "Cancel was sent to the server; press it again if this goes on"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is running any more, at most `timeout` seconds. Returns whether that is so."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    # -- work, off the kernel's thread -----------------------------------------------------------------------------

    def _chosen(self) -> str:
        if self.selected is None:
            raise UsageError("Choose a migration first")
        return str(self.selected)

    def _start(self, words: str, work: Callable[[], Mapping[str, Any]]) -> None:
        """Run `work` in a thread, then set the state that it returns. One at a time: a connection serves one thread."""
        with self._lock:
            if self.busy:
                return
            self.update(busy=words, error=None)
            self._thread = threading.Thread(target=self._work, args=(work,), name="migrollback panel", daemon=True)
        self._thread.start()

    def _work(self, work: Callable[[], Mapping[str, Any]]) -> None:
        try:
            state = work()
        except BaseException as error:  # noqa: BLE001  # a thread has nobody above it who would show it
            state = {"error": error}
        self.update(**state, busy="")

    def _connected(self) -> Target:
        """Open the connection again if it was lost. Returns where it leads."""
        if self.db.database.connection.closed:
            self.db.database.reconnect()
        return self.db.target

    def _read(self, question: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Ask, and once more when only the connection was lost: asking twice does no harm. Adds where it was asked."""
        target = self._connected()
        try:
            answer = question()
        except MigrollbackError:
            if not self.db.database.connection.closed:
                raise
            target = self._connected()
            answer = question()
        return {**answer, "target": target}

    def _found(self) -> dict[str, Any]:
        rows = tuple(self.db.database.list_rollbackable())
        return {"migrations": rows, "selected": self.selected if self.selected in {row["migration_name"] for row in rows} else None}

    # -- state -> state --------------------------------------------------------------------------------------------

    def _forget(self, change: Mapping[str, Any]) -> None:
        if change["name"] == "selected":
            self.chain = False  # asked for the one before, not for this one
        self.update(check_result=None, preview_result=None, typed="", result=None, error=None)

    def _entered(self, trait: str) -> Callable[[Any], None]:
        """Handle what a person has entered into a control."""

        def handle(change: Mapping[str, Any]) -> None:
            with self._lock:
                if self._drawing:
                    return
                if self.busy:
                    self._draw()  # it was on its way when the control was switched off: what runs is not changed any more
                else:
                    setattr(self, trait, change["new"])

        return handle

    def _clicked(self, deed: Callable[[], None]) -> Callable[[Any], None]:
        """Handle a click. An error that left this handler would show nowhere in JupyterLab."""

        def handle(_: object) -> None:
            try:
                deed()
            except Exception as error:  # noqa: BLE001  # shown in the panel
                self.error = error

        return handle

    # -- view ------------------------------------------------------------------------------------------------------

    def _make_view(self) -> None:
        wide = widgets.Layout(width="auto")
        field = {"description_width": "6.5em"}
        self.target_view = widgets.HTML()
        self.choice = widgets.Select(options=(), value=None, description="Migration", rows=7, layout=wide, style=field)
        self.empty_view = widgets.HTML()
        self.chain_box = widgets.Checkbox(
            description="with all that depend on it (chain)", indent=False, layout=widgets.Layout(width="auto", margin="2px 2px 2px 7.2em")
        )
        self.refresh_button = widgets.Button(description="Refresh list", tooltip="Read the list of migrations again")
        self.check_button = widgets.Button(description="Check", tooltip="May it be rolled back now? Changes nothing")
        self.check_view = widgets.HTML()
        self.preview_button = widgets.Button(description="Preview", tooltip="Show the SQL that would run. Changes nothing")
        self.preview_view = widgets.HTML()
        self.name_view = widgets.HTML()
        self.name_field = widgets.Text(description="Name", placeholder="type the name", layout=wide, style=field)
        self.reason_field = widgets.Text(description="Reason", placeholder="for the audit trail", layout=wide, style=field)
        self.rollback_button = widgets.Button(
            description="Roll back",
            tooltip="Run the rollback that was previewed. Changes the database",
            # html.BAD: the theme's own red is hard to read in the dark
            style=widgets.ButtonStyle(button_color="#b3261e", text_color="#ffffff", font_weight="600"),
        )
        self.cancel_button = widgets.Button(description="Cancel", tooltip="Cancel on the server what is running")
        self.missing_view = widgets.HTML()
        self.message_view = widgets.HTML()

        self.choice.observe(self._entered("selected"), "value")
        self.chain_box.observe(self._entered("chain"), "value")
        self.name_field.observe(self._entered("typed"), "value")
        self.reason_field.observe(self._entered("reason"), "value")
        self.refresh_button.on_click(self._clicked(self.refresh))
        self.check_button.on_click(self._clicked(self.check))
        self.preview_button.on_click(self._clicked(self.preview))
        self.rollback_button.on_click(self._clicked(self.rollback))
        self.cancel_button.on_click(self._clicked(self.cancel))

    def _sections(self) -> tuple[Any, ...]:
        def heading(text: str) -> Any:
            return widgets.HTML(f'<div role="heading" aria-level="3" style="font-weight:600;font-size:1.1em">{html.escape(text)}</div>')

        def row(*controls: Any) -> Any:
            return widgets.HBox(controls, layout=widgets.Layout(flex_flow="row wrap", align_items="center"))

        return (
            self.target_view,
            heading("1. Choose"),
            self.choice,
            self.empty_view,
            self.chain_box,
            heading("2. Check and preview: nothing is changed"),
            row(self.check_button, self.preview_button, self.refresh_button),
            self.check_view,
            self.preview_view,
            heading("3. Confirm and roll back"),
            self.name_view,
            self.name_field,
            self.reason_field,
            row(self.rollback_button, self.cancel_button, self.missing_view),
            self.message_view,
        )

    def _draw(self, _: object = None) -> None:
        """Show the state as it is now, whatever was shown before."""
        with self._lock:
            if self._drawing:
                return
            self._drawing = True
            try:
                self._draw_choice()
                self._draw_text("target", self.target_view, _target_html, self.target)
                self._draw_text("check", self.check_view, _check_html, self.check_result)
                self._draw_text("preview", self.preview_view, _preview_html, self.preview_result)
                self._draw_text("message", self.message_view, _message_html, self.busy, self.error, self.result)
                self._draw_controls()
            finally:
                self._drawing = False

    def _draw_text(self, part: str, view: Any, write: Callable[..., str], *facts: object) -> None:
        """Write a part anew only when its facts are others: highlighting long SQL for every key that is pressed would be felt."""
        known = self._drawn.get(part)
        if not isinstance(known, tuple) or any(old is not new for old, new in zip(known, facts, strict=True)):
            view.value = write(*facts)
            self._drawn[part] = facts

    def _draw_choice(self) -> None:
        if self._drawn.get("choice") is not self.migrations:
            self.choice.options = tuple((_option(row), row["migration_name"]) for row in self.migrations)
            self._drawn["choice"] = self.migrations
        names = {row["migration_name"] for row in self.migrations}
        self.choice.value = self.selected if self.selected in names else None
        self.empty_view.value = "" if self.migrations else "No migration is in place here: there is nothing to roll back."

    def _draw_controls(self) -> None:
        idle = not self.busy
        chosen = idle and self.selected is not None
        previewed = chosen and self.preview_result is not None
        missing = self.missing
        self.chain_box.value = self.chain
        self.name_field.value = self.typed
        self.reason_field.value = self.reason
        self.choice.disabled = self.chain_box.disabled = self.refresh_button.disabled = not idle
        self.check_button.disabled = self.preview_button.disabled = not chosen
        # the next step stands out
        self.preview_button.button_style = "primary" if chosen and not previewed else ""
        self.name_field.disabled = not previewed
        self.reason_field.disabled = not idle
        self.rollback_button.disabled = bool(missing)
        self.cancel_button.disabled = idle
        self.missing_view.value = html.escape(missing) if idle else ""
        self.name_view.value = (
            f"To confirm, type the name exactly: <code>{html.escape(self.selected)}</code>"
            if self.selected is not None and self.preview_result is not None
            else ""
        )


def _option(row: Mapping[str, Any]) -> str:
    # the name first: a list is searched by typing its first letters
    verdict = "✔ can be rolled back" if row["can_rollback"] else f"✘ {row['blocking_reason']}"
    return html.visible(f"{row['migration_name']}   {verdict}")


def _box(text: str, style: str, *, role: str = "status") -> str:
    """HTML in one of the styles of `migrollback_nb.html`; line breaks are kept. `text` is HTML already."""
    return f'<div role="{role}" style="{style};padding:.4em .8em;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.4">{text}</div>'


def _text(text: str) -> str:
    """HTML with lines set closer than ipywidgets sets those of its controls. `text` is HTML already."""
    return f'<div style="line-height:1.5">{text}</div>'


def _target_html(target: Target | None) -> str:
    if target is None:
        return _box("Target: not connected", html.BAD)
    where = f"{target.host}:{target.port}"
    rest = f"as user <b>{html.escape(target.user)}</b>, PostgreSQL {html.escape(target.server_version)}, schema {html.escape(target.schema)}"
    return _box(f"Target: database <b>{html.escape(target.database)}</b> on <b>{html.escape(where)}</b> {rest}", html.CAREFUL, role="note")


def _check_html(check: CheckResult | None) -> str:
    if check is None:
        return ""
    word, style = ("✔ Can rollback", html.GOOD) if check.can_rollback else ("✘ Cannot rollback", html.CAREFUL)
    first = html.definitions([("Must be rolled back first", "\n".join(check.dependent_migrations))]) if check.dependent_migrations else ""
    advice = "<div>Tick “with all that depend on it” to roll these back as well, in one transaction.</div>" if first else ""
    return _box(f"<b>{word}:</b> {html.escape(check.reason)}", style) + _text(html.warnings(check.warnings) + first + advice)


def _preview_html(preview: Preview | None) -> str:
    if preview is None:
        return ""
    # tabindex: what scrolls must be reachable by keyboard
    return f'<div role="region" aria-label="Preview" tabindex="0" style="max-height:28em;overflow:auto">{_text(preview._repr_html_())}</div>'


def _message_html(busy: str, error: BaseException | None, result: RollbackResult | ChainResult | None) -> str:
    parts = []
    if busy:
        parts.append(_box(f'<progress aria-label="running"></progress> {html.escape(busy)} ...', html.CAREFUL))
    if result is not None:
        unchanged = any(one.unchanged for one in (result.results if isinstance(result, ChainResult) else (result,)))
        word = "Look closer" if unchanged or not result.success else "Done"
        parts.append(_box(f"{word}: {html.escape(result.message)}", html.CAREFUL if unchanged or not result.success else html.GOOD))
        parts.append(_text(result._repr_html_()))
    if error is not None:
        word, style = _verdict(error)
        text = str(error) if isinstance(error, MigrollbackError) else f"{type(error).__name__}: {error}"
        parts.append(_box(f"<b>{word}:</b> {html.escape(text)}", style, role="alert"))
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
