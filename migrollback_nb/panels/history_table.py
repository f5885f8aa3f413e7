"""The table of the history panel: all rows, of which the page holds those in view; one, several or a deploy chosen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import traitlets

from migrollback_nb.panels.selection import HERE, SelectionWidget, script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class HistoryTable(SelectionWidget):
    """A table to choose in, by mouse and keyboard. What is filtered and sorted, the kernel says.

    Attributes
    ----------
    titles : dict of str to str
        Column -> what stands over it.
    rows : bytes
        `names` and `cells` for the page, as JSON: element by element they would be looked at for buffers.
    places : bytes
        `order` for the page, as JSON.
    deploys : list of dict
        Label and words of each deploy whose line is shown; without a label it cannot be chosen.
    chosen : str
        What is chosen, as JSON: a list of names, or the label of a deploy; empty: nothing.
    chips : list of dict
        Filters: trait, label, and options, each of which is key, words, style and count.
    status, verdict : str
        The filters that are pressed; empty: none.
    sort : str
        The column that sorts, after a minus when the last comes first.
    empty : str
        What is read where no row is shown.
    locked : bool
        True: nothing can be chosen.
    """

    _esm = script("history_table.js")
    _css = HERE / "history_table.css"
    titles = traitlets.Dict().tag(sync=True)
    rows = traitlets.Bytes(b'{"names": [], "cells": {}}').tag(sync=True)
    places = traitlets.Bytes(b"[]").tag(sync=True)
    deploys = traitlets.List(traitlets.Dict()).tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    chips = traitlets.List(traitlets.Dict()).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    verdict = traitlets.Unicode("").tag(sync=True)
    sort = traitlets.Unicode("-applied").tag(sync=True)
    empty = traitlets.Unicode("").tag(sync=True)
    locked = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(self, **state: Any) -> None:
        #: Of each row the name by which it is chosen.
        self.names: Sequence[str] = ()
        #: As `HistoryRows.cells` gives it.
        self.cells: Mapping[str, Any] = {}
        self._order: Sequence[int] = ()
        super().__init__(**state)

    def fill(self, names: Sequence[str], cells: Mapping[str, Any]) -> None:
        """Take other rows; none of them is shown before `order` says so."""
        self.names, self.cells, self.order = names, cells, ()
        shown = cells["name"]["words"]
        # where a name shows as it is, it goes once
        self.rows = json.dumps({"names": None if list(names) == shown else names, "cells": cells}).encode()

    @property
    def order(self) -> Sequence[int]:
        """The rows that are shown, in order; -1 is the line of the first of `deploys`, -2 of the second."""
        return self._order

    @order.setter
    def order(self, order: Sequence[int]) -> None:
        self._order, self.places = order, json.dumps(order).encode()

    def _select(self, name: str) -> None:
        if not self.locked and self._is_there(json.loads(name)):
            self.chosen = name

    def _is_there(self, choice: Any) -> bool:
        if isinstance(choice, str):
            return choice in {deploy["label"] for deploy in self.deploys} - {""}
        return bool(choice) and set(choice) <= set(self.names)
