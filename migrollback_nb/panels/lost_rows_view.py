"""A look at rows that the choice would lose: asked for by a button, gone with the next choice, recorded nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from migrollback_nb.core import html
from migrollback_nb.panels.pieces import lines, row
from migrollback_nb.panels.view import View

if TYPE_CHECKING:
    from migrollback_nb.core.results import LostRows


class LostRowsView(View):
    """Up to 20 rows of each table that would go, of the choice or of all that its preview or rehearsal names."""

    def _parts(self) -> tuple[Any, ...]:
        # not of the shared state: what a table holds concerns no other panel
        self._found: tuple[LostRows, ...] = ()
        self._of: tuple[str, ...] = ()
        self.rows_button = self._button(
            "Look at rows",
            "Read up to 20 rows of each table that would go. Changes nothing, and nothing of it is recorded",
            self._look,
        )
        self.rows_view = widgets.HTML()
        return (row(self.rows_button), self.rows_view)

    def _names(self) -> tuple[str, ...]:
        shared = self.shared
        answer = shared.rehearsal_result or shared.preview_result
        if answer is not None:
            return tuple(name for name, _ in answer.steps)
        return tuple(shared.several) or ((shared.selected,) if shared.selected else ())

    def _look(self) -> None:
        names, db = self._names(), self.shared.db

        def work() -> dict[str, Any]:
            self._found, self._of = tuple(db.lost_rows(name) for name in names), names
            return {}

        self.shared.start("Reading rows that would go", work)

    def _show(self) -> None:
        names = self._names()
        self.rows_button.disabled = bool(self.shared.busy) or not names
        if self._of != names or self.shared.result is not None:
            self._found, self._of = (), ()
        self._write(self.rows_view, _rows_html, self._found)


def _rows_html(found: tuple[LostRows, ...]) -> str:
    """What was read, of several migrations each under its name."""
    if not found:
        return ""
    if len(found) == 1:
        return lines(found[0]._repr_html_())
    return lines("".join(html.section(one.migration_name, one._repr_html_()) for one in found))
