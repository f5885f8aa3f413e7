"""The list of deploys, to choose all that one of them brought; hidden where there is none. Does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.text import counted
from migrollback_nb.core.times import show_time
from migrollback_nb.panels.name_list import NameList
from migrollback_nb.panels.pieces import FIELD, wide
from migrollback_nb.panels.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: How many are listed, newest first; any can be chosen by `deploy=`, and in HistoryPanel.
_LISTED = 100

#: The first line of the list.
_NONE = ("none: the migration above", "")


class DeployChoice(View):
    """Choose a deploy: exactly what it brought and is still applied is rolled back together."""

    def _parts(self) -> tuple[Any, ...]:
        self.deploy_choice = NameList(description="or deploy", rows=1, layout=wide(), **FIELD)
        self.deploy_choice.observe(self._entered("deploy"), "value")
        return (self.deploy_choice,)

    def _show(self) -> None:
        shared, chosen = self.shared, str(self.shared.deploy)
        known = self._drawn.get("options")
        if not isinstance(known, tuple) or known[0] is not shared.deploys or known[1] != chosen:
            found = deploy_options(shared.deploys)
            if chosen and chosen not in {label for _, label in found}:
                found = (*found, (html.visible(chosen), chosen))
            self.deploy_choice.options = (_NONE, *found) if found else ()
            self._drawn["options"] = (shared.deploys, chosen)
        there = bool(self.deploy_choice.options)
        self.deploy_choice.value = chosen if there else None
        self.deploy_choice.disabled = bool(shared.busy)
        self.layout.display = None if there else "none"


def deploy_options(deploys: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Words and label of each deploy of which something is applied, newest first.

    One migration that came without a label is chosen by its own name.
    """
    options: dict[str, str] = {}
    for one in deploys:
        label, count = str(one["label"]), len(one["applied"])
        if count and (count > 1 or label != one["deploy_id"]) and label not in options:
            named = label if label != one["deploy_id"] else f"{label[:8]}…"
            brought = counted(count, "migration")
            rest = "" if one["state"] == "applied" else f", {one['state']}"
            options[label] = html.visible(f"{named}   {brought}, {show_time(one['started_at'])}{rest}")
        if len(options) == _LISTED:
            break
    return tuple((words, label) for label, words in options.items())
