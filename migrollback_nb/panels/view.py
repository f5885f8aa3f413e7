"""A view of the shared state: what it shows follows from the state alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.panels.state import LOCK, STATE, SharedState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def clicked(holder: Any, action: Callable[[], None]) -> Callable[[Any], None]:
    """Handle a click: an error becomes the `error` of `holder`, since JupyterLab shows none that leaves a handler."""

    def handle(_: object) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  # shown in the panel
            holder.error = error

    return handle


class View(widgets.VBox):  # type: ignore[misc]  # ipywidgets comes without types
    """Shows a part of the shared state; what is shown follows from the state alone."""

    def __init__(self, shared: SharedState) -> None:
        self.shared = shared
        # Re-entrant: drawing sets widgets, which call back. The worker's thread draws as well as the kernel's.
        self._drawing = False
        self._drawn: dict[str, object] = {}
        super().__init__(
            children=(*self._parts(), *self._beside()),
            layout=widgets.Layout(width="100%", max_width="64em", overflow="visible"),
        )
        shared.observe(self._draw, names=[*STATE, "updates"])
        self._draw()

    def _parts(self) -> tuple[Any, ...]:
        """Make the widgets, once."""
        raise NotImplementedError

    def _beside(self) -> tuple[Any, ...]:
        """Widgets that show nothing."""
        return ()

    def _show(self) -> None:
        """Set them to the state as it is now, whatever was shown before."""

    def _mime_(self) -> tuple[str, str]:
        """What marimo shows, which asks by this name: it has no place for ipywidgets."""
        text = (
            f"{type(self).__name__} needs JupyterLab, Jupyter Notebook 7, VS Code or Voila: marimo shows no ipywidgets."
            " All else works here: db.list(), db.check(NAME), db.preview(NAME), db.rehearse(NAME), db.history(),"
            " db.graph()."
        )
        return "text/html", html.banner(text, html.CAREFUL)

    def _draw(self, _: object = None) -> None:
        with LOCK:
            if self._drawing or self.shared.updating:
                return
            self._drawing = True
            try:
                self._show()
            finally:
                self._drawing = False

    def _write(self, view: Any, write: Callable[..., str], *facts: object) -> None:
        """Write a part again only when its facts differ: highlighting long SQL at every key press would be felt."""
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
                if self.shared.busy:
                    # it was on its way when the control was switched off: what runs is not changed any more
                    self._draw()
                else:
                    setattr(self.shared, trait, change["new"])

        return handle

    def _button(self, description: str, tooltip: str, action: Callable[[], None], **style: str) -> Any:
        button = widgets.Button(description=description, tooltip=tooltip, style=widgets.ButtonStyle(**style))
        button.on_click(clicked(self.shared, action))
        return button
