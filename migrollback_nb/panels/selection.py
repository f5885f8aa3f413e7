"""A selection in a page arrives by its name: a position may mean something else by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from migrollback_nb.panels.state import LOCK

HERE = Path(__file__).parent

#: How many views of a widget have their last selection remembered. A view ends without a message; the last ones are
#: those that still select.
_VIEWS = 16


def script(*parts: str) -> str:
    """The program of a widget in whose page something is picked, of these files."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("selection.js", *parts))


class SelectionWidget(anywidget.AnyWidget):
    """A widget in whose page something is picked.

    The page learns only later what the kernel shows, so it sends no position, but a name. When a selection and a change
    by the kernel cross on their way, the selection wins, being the later of the two here; until the page knows that it
    was acknowledged, it goes on showing it, whatever the kernel said before.

    Attributes
    ----------
    acknowledged : dict of str to int
        View -> the number of its last pick that has arrived here.
    """

    acknowledged = traitlets.Dict().tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self.on_msg(self._acknowledge)

    def _acknowledge(self, _: object, content: Any, __: object) -> None:
        match content:
            case {"selected": str(name), "view": str(view), "number": int(number)}:
                # in one message: what came of it, and that it was acknowledged
                with LOCK, self.hold_sync():
                    try:
                        self._select(name)
                    finally:
                        others = [other for other in self.acknowledged.items() if other[0] != view]
                        self.acknowledged = dict([*others[1 - _VIEWS :], (view, number)])

    def _select(self, name: str) -> None:
        """Take what was picked, if it is still there to be picked."""
        raise NotImplementedError  # each kind says; a traitlets class cannot be an ABC
