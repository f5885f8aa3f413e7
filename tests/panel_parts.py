"""Finds the controls and views inside a panel, however it is composed, and presses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def walk(widget: Any) -> Iterator[Any]:
    """A widget and all that stand in it, in order."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


def part(panel: Any, name: str) -> Any:
    """The one control or view of this name."""
    found = {id(vars(widget)[name]): vars(widget)[name] for widget in walk(panel) if name in vars(widget)}
    assert len(found) == 1, f"{len(found)} parts are called {name}"
    return next(iter(found.values()))


def tour(places: list[str]) -> Iterator[str]:
    """A way that goes from every place to every place, itself included."""
    for number, place in enumerate(places):
        yield place
        for other in places[number + 1 :]:
            yield other
            yield place
        yield place


def pick(widget: Any, name: str, *, view: str = "a view", number: int = 1) -> None:
    """Send what a page sends when a person selects something."""
    content = {"selected": name, "view": view, "number": number}
    widget._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


def preview(panel: Any, name: str = "2_b") -> None:
    part(panel, "choice").value = name
    part(panel, "preview_button").click()
    assert panel.wait(10)
    assert panel.preview_result is not None


def accept(panel: Any) -> None:
    """Tick all harms."""
    for tick in part(panel, "ticks").children:
        tick.value = True


def confirm(panel: Any) -> None:
    part(panel, "name_field").value = panel.selected
    part(panel, "reason_field").value = " because "
    accept(panel)
    assert not part(panel, "rollback_button").disabled
    part(panel, "rollback_button").click()
