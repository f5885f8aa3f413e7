"""One line for a selector, with a list of what may stand next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from migrollback_nb.core import html
from migrollback_nb.panels.selection import HERE
from migrollback_nb.panels.state import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: How many are listed: more are not read.
_LISTED = 12


class SelectorLine(anywidget.AnyWidget):
    """A text field whose list says what may stand next. The text counts at Enter, and when the line is left.

    Parameters
    ----------
    complete : callable, optional
        Is given what is typed; returns (the whole text, words about it) of each that may come of it.

    Attributes
    ----------
    value : str
        The selector that counts; empty: everything.
    options : tuple of (str, str)
        What the list shows.
    answered : int
        To which question of the page the list is the answer.
    wrong : bool
        Whether the text is not understood.
    typed : str
        What stands in the line; it need not count yet.
    description, placeholder : str
        The label, and what stands in the empty line.
    disabled : bool
        True: nothing can be written.
    """

    _esm = HERE / "selector_line.js"
    _css = HERE / "selector_line.css"
    value = traitlets.Unicode("").tag(sync=True)
    options = traitlets.Tuple().tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)
    typed = traitlets.Unicode("")
    wrong = traitlets.Bool(default_value=False).tag(sync=True)
    description = traitlets.Unicode("Select").tag(sync=True)
    placeholder = traitlets.Unicode("").tag(sync=True)
    disabled = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(self, complete: Callable[[str], Sequence[tuple[str, str]]] | None = None, **state: Any) -> None:
        super().__init__(**state)
        self.typed = self.value
        self._complete = complete
        self.on_msg(self._asked)

    def _asked(self, _: object, content: Any, __: object) -> None:
        match content:
            case {"typed": str(text)}:
                with LOCK:
                    self.typed = text
            case {"complete": str(text), "number": int(number)}:
                with LOCK, self.hold_sync():
                    self.typed = text
                    found = () if self._complete is None else self._complete(text)
                    # a text that shows otherwise than it is would be another one when it is taken
                    self.options = tuple(
                        (whole, html.visible(words)) for whole, words in found if html.visible(whole) == whole
                    )[:_LISTED]
                    self.answered = number

    @traitlets.observe("value")
    def _counts(self, change: Mapping[str, Any]) -> None:
        self.typed = change["new"]
