"""Which picture GraphPanel shows: what is in it, and around which migration. The views of `display` draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrollback_nb.display.graph import dag, lanes, plan, tables
from migrollback_nb.display.graph.facts import NO_TABLE
from migrollback_nb.display.graph.layout import NoDot

if TYPE_CHECKING:
    from migrollback_nb.display.graph.facts import Drawing, GraphFacts

#: What the view tables puts before the name of a table.
_FOLD = "fold "

#: So many migrations are drawn as a graph at once.
LIMIT = 150


@dataclass(frozen=True)
class Picture:
    """A drawing, and what a person should know of it."""

    svg: str = ""
    names: frozenset[str] = frozenset()  #: the migrations in it
    folds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: id of a node -> the migrations in it
    tables: Mapping[str, str] = field(default_factory=dict)  #: id of a node -> the table that it is
    trouble: str = ""  #: why there is none


def is_around(view: str, names: Sequence[str]) -> bool:
    """Whether this view shows the surroundings of one migration."""
    return view == "plan" or (view == "graph" and len(names) > LIMIT)


def draw(facts: GraphFacts, names: Sequence[str], view: str, root: str | None) -> Picture:
    """Draw these migrations; `root`: only what falls with it, and what it depends on."""
    model = facts.graph
    if root is not None and root not in model:
        root = None
    if not names:
        return Picture()
    try:
        drawing = _drawn(facts, names, view, root)
    except NoDot as error:
        return Picture(
            trouble=f"{error}: apt-get install graphviz, or pip install graphviz-pure. Plan and Lanes need none."
        )
    if view != "tables":
        return Picture(drawing.svg, frozenset(drawing.names.values()))
    folds: dict[str, list[str]] = {}
    shown = {name.removeprefix(_FOLD): node for node, name in drawing.names.items()}
    of = facts.groups("table")
    for name in names:
        for table in of[name]:
            if table in shown:
                folds.setdefault(shown[table], []).append(name)
    return Picture(
        drawing.svg,
        frozenset(names),
        folds={node: tuple(found) for node, found in folds.items()},
        tables={node: table for table, node in shown.items() if table != NO_TABLE},
    )


def _drawn(facts: GraphFacts, names: Sequence[str], view: str, root: str | None) -> Drawing:
    match view:
        case "plan":
            return plan.draw(facts, (root,) if root is not None else names)
        case "graph":
            if root is None:
                return dag.draw(facts, names, limit=LIMIT)
            near = (root, *facts.graph.resting_on(root), *facts.graph.required(root))
            return dag.draw(facts, near, chosen=(root,), limit=LIMIT)
        case "tables":
            return tables.draw(facts, names, limit=LIMIT)
        case _:
            return lanes.draw(facts, names)
