"""Draws the rooms of the package from its real imports and the import-linter contract."""

from __future__ import annotations

import tomllib
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path

import graphviz
import grimp

from migrollback_nb.display.graph.digraph import svg as drawing_of

ROOT = Path(__file__).parents[2]
PACKAGE = "migrollback_nb"


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top, as the contract in pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(found for found in project["tool"]["importlinter"]["contracts"] if found["type"] == "layers")
    return [[room.strip(" ()") for room in floor.split("|")] for floor in contract["layers"]]


@cache
def arrows() -> Counter[tuple[str, str]]:
    """Importing room, imported room -> how many modules of the one import modules of the other."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=False)
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            importer, other = _room(module), _room(imported)
            if importer != other and None not in (importer, other):
                found[str(importer), str(other)] += 1
    return found


def _room(module: str) -> str | None:
    """The room of a module; None of the root package."""
    _, _, path = module.partition(".")
    return path.split(".")[0] or None


def needed(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from others; pure. The pairs hold no cycle."""

    def reach(start: str, without: tuple[str, str]) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            at = ahead.pop()
            for pair in pairs - {without}:
                if pair[0] == at and pair[1] not in seen:
                    seen.add(pair[1])
                    ahead.append(pair[1])
        return seen

    return {pair for pair in pairs if pair[1] not in reach(pair[0], pair)}


def job(room: str) -> str:
    """What a room is for: the first line of its own docstring."""
    return (import_module(f"{PACKAGE}.{room}").__doc__ or "").split("\n", 1)[0]


def picture() -> str:
    """An SVG within the page, in the page's own colours."""
    drawn = graphviz.Digraph(
        "rooms", graph_attr={"rankdir": "TB", "nodesep": "0.25", "ranksep": "0.45", "bgcolor": "transparent"}
    )
    drawn.attr(
        "node", shape="box", style="rounded", fontname="sans-serif", fontsize="13", color="#808080", fontcolor="#808080"
    )
    drawn.attr("edge", color="#808080", arrowsize="0.6")
    for number, floor in enumerate(floors()):
        with drawn.subgraph(name=f"floor{number}") as level:
            level.attr(rank="same")
            for room in floor:
                level.node(
                    room,
                    tooltip=job(room),
                    label=f"{room}.py" if (ROOT / PACKAGE / f"{room}.py").exists() else f"{room}/",
                )
    for upper, lower in zip(floors(), floors()[1:], strict=False):
        drawn.edge(upper[0], lower[0], style="invis")
    for importer, imported in sorted(needed(set(arrows()))):
        drawn.edge(
            importer, imported, tooltip=f"{importer} imports {imported} in {arrows()[importer, imported]} places"
        )
    svg = drawing_of(drawn)
    svg = svg[svg.index("<svg") :].replace("#808080", "currentColor")
    return "\n".join(
        ["```{raw} html", '<div class="rooms">', *(line for line in svg.splitlines() if line.strip()), "</div>", "```"]
    )


def table() -> str:
    """Each room with its floor, its job, and what it imports."""
    rows = ["| floor | room | its one job | imports |", "| --- | --- | --- | --- |"]
    for number, floor in enumerate(floors()):
        for room in floor:
            imported = ", ".join(
                f"{other} ({count})" for (importer, other), count in sorted(arrows().items()) if importer == room
            )
            rows.append(f"| {len(floors()) - number} | `{room}` | {job(room)} | {imported} |")
    return "\n".join(rows)
