"""What is picked in a page arrives by its name: a place means something else as soon as the kernel shows something else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from migrollback_nb.panels.state import LOCK

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent

#: Of how many views of a widget it is remembered what was heard from them. Views go without a word; those that still
#: pick are the last ones.
_HANDS = 16


def script(name: str) -> str:
    """The program of a widget in whose page something is picked."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("picks.js", name))


class Picking(anywidget.AnyWidget):
    """A widget in whose page something is picked.

    The page learns only later what the kernel shows, so it tells no place in it, but a name. When a pick and a change
    by the kernel cross on their way, the pick wins, being the later of the two here; until the page knows that its pick
    was heard, it goes on showing it, whatever the kernel said before.

    Attributes
    ----------
    heard : dict of str to int
        View -> the number of its last pick that has arrived here.
    """

    heard = traitlets.Dict().tag(sync=True)

    def __init__(self, **state: Any) -> None:
        super().__init__(**state)
        self.on_msg(self._hear)

    def _hear(self, _: object, content: Any, __: object) -> None:
        match content:
            case {"pick": str(name), "hand": str(hand), "number": int(number)}:
                # in one message: what came of it, and that it was heard
                with LOCK, self.hold_sync():
                    try:
                        self._pick(name)
                    finally:
                        others = [other for other in self.heard.items() if other[0] != hand]
                        self.heard = dict([*others[1 - _HANDS :], (hand, number)])

    def _pick(self, name: str) -> None:
        """Take what was picked, if it is still there to be picked."""
        raise NotImplementedError  # each kind says; a traitlets class cannot be an ABC


class RowPicks(Picking):
    """Shows nothing. Tells which row was clicked of a table that tells only its place.

    Parameters
    ----------
    take : callable
        Is called with the words of the row's first cell.
    """

    _esm = script("row_picks.js")

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__()
        self._take = take

    def _pick(self, name: str) -> None:
        self._take(name)
