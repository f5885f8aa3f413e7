"""The matrix of the fleet panel: targets down, migrations across, of which the page holds those in view."""

from __future__ import annotations

import traitlets

from migrollback_nb.panels.selection import HERE, SelectionWidget, script


class FleetMatrix(SelectionWidget):
    """Targets down and migrations across, a letter for each status. A migration is chosen by mouse or keyboard.

    Attributes
    ----------
    targets, migrations : list of str
        What stands at the rows and over the columns.
    cells : list of str
        Of each target a letter for each migration: a applied, r rolled back, f failed, blank: not there.
    states : list of list of str
        Of each target its word and the kind of that: good, careful, bad, quiet.
    rows, columns : list of int
        Which targets and which migrations are shown, in this order.
    chosen : str
        The migration that is chosen; empty: none.
    empty : str
        What is read where nothing is shown.
    locked : bool
        True: nothing can be chosen.
    """

    _esm = script("fleet_matrix.js")
    _css = HERE / "fleet_matrix.css"
    targets = traitlets.List(traitlets.Unicode()).tag(sync=True)
    migrations = traitlets.List(traitlets.Unicode()).tag(sync=True)
    cells = traitlets.List(traitlets.Unicode()).tag(sync=True)
    states = traitlets.List(traitlets.List(traitlets.Unicode())).tag(sync=True)
    rows = traitlets.List(traitlets.Int()).tag(sync=True)
    columns = traitlets.List(traitlets.Int()).tag(sync=True)
    chosen = traitlets.Unicode("").tag(sync=True)
    empty = traitlets.Unicode("").tag(sync=True)
    locked = traitlets.Bool(default_value=False).tag(sync=True)

    def _select(self, name: str) -> None:
        if not self.locked and name in self.migrations:
            self.chosen = name
