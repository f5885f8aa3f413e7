"""A list to choose from, of names, each with words to read: what was picked arrives by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import traitlets

from migrollback_nb.panels.selection import HERE, SelectionWidget, script

if TYPE_CHECKING:
    from collections.abc import Mapping


class NameList(SelectionWidget):
    """A list to choose from, as ipywidgets' ``Select``, or its ``Dropdown`` with ``rows=1``; selects by name.

    Attributes
    ----------
    options : tuple of (str, str)
        (what is read, name) of each. Names differ from each other.
    value : str or None
        The name that is chosen. It becomes None when it is no longer among the options.
    description : str
        The label.
    description_width : str
        Of the label; a length of CSS.
    rows : int
        How many are seen at once; 1: one, and the others when it is opened.
    disabled : bool
        True: nothing can be picked.
    """

    _esm = script("name_list.js")
    _css = HERE / "name_list.css"
    options = traitlets.Tuple().tag(sync=True)
    value = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)
    description_width = traitlets.Unicode("").tag(sync=True)
    rows = traitlets.Int(5, min=1).tag(sync=True)
    disabled = traitlets.Bool(default_value=False).tag(sync=True)

    @property
    def names(self) -> tuple[str, ...]:
        """What can be picked."""
        return tuple(name for _, name in self.options)

    def _select(self, name: str) -> None:
        if name in self.names:
            self.value = name

    @traitlets.validate("options")
    def _are_names(self, proposal: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        options = tuple((str(words), str(name)) for words, name in proposal["value"])
        if len({name for _, name in options}) < len(options):
            raise traitlets.TraitError("two options have the same name")
        return options

    @traitlets.validate("value")
    def _is_there(self, proposal: Mapping[str, Any]) -> str | None:
        name: str | None = proposal["value"]
        if name is not None and name not in self.names:
            raise traitlets.TraitError(f"not among the options: {name!r}")
        return name

    @traitlets.observe("options")
    def _forget(self, _: object) -> None:
        if self.value is not None and self.value not in self.names:
            self.value = None
