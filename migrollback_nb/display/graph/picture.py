"""`Graph`: the result of `db.graph()`, which shows itself in a cell and gives frames, Mermaid, networkx and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import dag, er, lanes, objects, plan, tables
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph.facts import Drawing, GraphFacts
from migrollback_nb.display.graph.layout import WIDEST, NoDot
from migrollback_nb.display.graph.svg import MARGIN

if TYPE_CHECKING:
    import graphviz
    import networkx as nx
    import pandas as pd

#: The views, in the order in which they are offered.
VIEWS = ("dag", "plan", "lanes", "tables", "objects", "er")
#: Up to so many migrations a dag is readable at once.
FEW = 30
#: So many reasons stand under a picture; more are in `Graph.edges`.
_REASONS = 300


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a graph is drawn, as `db.graph()` takes it."""

    view: str = "auto"
    group: str | None = None
    reduce: bool = True
    labels: str = "auto"
    rank: str = "auto"
    theme: str = "auto"
    limit: int | None = 150

    def __post_init__(self) -> None:
        for word, known in (
            ("view", ("auto", *VIEWS)),
            ("group", (None, "table", "schema", "deploy", "actor")),
            ("labels", ("auto", "short", "full")),
            ("rank", ("auto", "LR", "TB")),
            ("theme", ("auto", "light", "dark")),
        ):
            if getattr(self, word) not in known:
                raise UsageError(
                    f"There is no {word} {getattr(self, word)}", hint=f"Use {', '.join(str(one) for one in known)}."
                )
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit is {self.limit}", hint="Use a number from 1 on, or None for all.")
        if self.group is not None and self.view not in ("auto", "lanes", "tables"):
            raise UsageError(
                f"The view {self.view} has no groups", hint="Use view='lanes' or view='tables' with group."
            )


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A picture of migrations and their dependencies.

    Attributes
    ----------
    facts : GraphFacts
        What is known, of all migrations.
    names : tuple of str
        The migrations that are shown, the oldest first.
    chosen : tuple of str
        Those around which it is drawn; what falls with them is marked.
    options : Options
        How it is drawn.
    """

    facts: GraphFacts
    names: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    closed: bool = False  #: they are what falls with the choice, and nothing else
    options: Options = field(default_factory=Options)

    # -- what is shown ---------------------------------------------------------------------------------------------

    @cached_property
    def view(self) -> str:
        """The view that is drawn; never auto."""
        if self.options.view != "auto":
            return self.options.view
        if self.options.group is not None:
            return "lanes"
        if self.closed:
            return "plan"
        if len(self.names) <= FEW:
            return "dag"
        return "dag" if self.chosen or len(self.names) < len(self.facts.graph) else "lanes"

    @cached_property
    def part(self) -> DependencyGraph:
        """The model of what is shown."""
        return self.facts.graph.part(self.names)

    @cached_property
    def falling(self) -> tuple[str, ...]:
        """What must be rolled back with the choice, in the order of `plan`; without a choice with all of it."""
        return marking.falling(self.facts.graph, self.chosen or self.names)

    @cached_property
    def drawing(self) -> Drawing:
        """The picture; without dot it is the plan of a choice, else lanes, and says so."""
        try:
            return self._draw(self.view)
        except NoDot as error:
            instead = "plan" if self.chosen else "lanes"
            said = f"{error}, so this is the view {instead}: apt-get install graphviz, or pip install graphviz-pure"
            return self._draw(instead, said)

    def _draw(self, view: str, remark: str | None = None) -> Drawing:
        options = self.options
        facts = self.facts if remark is None else replace(self.facts, remarks=(remark, *self.facts.remarks))
        common: dict[str, Any] = {"chosen": self.chosen, "look": options.theme}
        group = options.group or "table"
        match view:
            case "plan":
                return plan.draw(facts, self.names, reduce=options.reduce, labels=options.labels, **common)
            case "lanes":
                return lanes.draw(facts, self.names, group=group, **common)
            case "tables":
                return tables.draw(
                    facts,
                    self.names,
                    group=group,
                    reduce=options.reduce,
                    rank=options.rank,
                    limit=options.limit,
                    **common,
                )
            case "objects":
                return objects.draw(
                    facts, self.names, labels=options.labels, rank=options.rank, limit=options.limit, **common
                )
            case "er":
                return er.draw(facts, self.names, rank=options.rank, limit=options.limit, **common)
            case _:
                return dag.draw(
                    facts,
                    self.names,
                    reduce=options.reduce,
                    labels=options.labels,
                    rank=options.rank,
                    limit=options.limit,
                    **common,
                )

    def without_rolled_back(self) -> Graph:
        """The same without what is rolled back, but for the choice."""
        statuses = self.facts.graph.statuses
        kept = tuple(name for name in self.names if statuses[name] != "rolled_back" or name in self.chosen)
        return replace(self, names=kept)

    @property
    def svg(self) -> str:
        """The picture as one SVG element, with its style."""
        return self.drawing.svg

    @property
    def outline(self) -> str:
        """The graph as indented text: under each migration what it depends on, unfolded once."""
        from migrollback_nb.display.graph.outline import outline

        edges = [(one.dependent, one.dependency) for one in self.part.edges]
        inferred = {(one.dependent, one.dependency) for one in self.part.edges if one.source == "inferred"}
        return outline(self.part.statuses, edges, inferred)

    # -- frames and other forms ------------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """A row for each migration that is shown, the oldest first; see `mr.columns("graph nodes")`."""
        from migrollback_nb.display.frame_look import show_in_notebooks
        from migrollback_nb.display.graph.frames import nodes

        show_in_notebooks()
        return nodes(self.facts, self.names, self.chosen)

    @cached_property
    def edges(self) -> pd.DataFrame:
        """A row for each dependency among those that are shown; see `mr.columns("graph edges")`."""
        from migrollback_nb.display.frame_look import show_in_notebooks
        from migrollback_nb.display.graph.frames import edges

        show_in_notebooks()
        return edges(self.part, self.drawing.edges)

    def to_networkx(self) -> nx.DiGraph:
        """As networkx's DiGraph: edges from dependents to dependencies, columns as attributes.

        Raises
        ------
        UsageError
            When networkx is not installed.
        """
        try:
            import networkx as nx
        except ModuleNotFoundError:
            raise UsageError("networkx is not installed", hint="pip install networkx.") from None
        graph = nx.DiGraph()
        for row in self.nodes.to_dict("records"):
            graph.add_node(row["migration_name"], **{str(key): value for key, value in row.items()})
        for row in self.edges.to_dict("records"):
            found = {str(key): value for key, value in row.items()}
            graph.add_edge(row["migration_name"], row["depends_on"], **found)
        return graph

    @property
    def digraph(self) -> graphviz.Digraph:
        """As graphviz's Digraph, to be changed and drawn by its own means."""
        from migrollback_nb.display.graph.digraph import digraph

        shown = self.part.reduced() if self.options.reduce else self.part
        return digraph(
            [{"migration_name": name, "status": status} for name, status in self.part.statuses.items()],
            [_row(one) for one in shown.edges],
        )

    @property
    def mermaid(self) -> str:
        """As Mermaid's flowchart, for Markdown on GitHub and in wikis."""
        from migrollback_nb.display.graph.mermaid import mermaid

        return mermaid(self.part.reduced() if self.options.reduce else self.part)

    def save(self, file: Path | str) -> Path:
        """Write the picture into a file, and nothing to the database.

        Parameters
        ----------
        file : Path or str
            Its ending says the form: .svg, .html, .mmd (Mermaid), .dot or .gv (Graphviz), .txt.

        Returns
        -------
        Path

        Raises
        ------
        UsageError
            For another ending.
        """
        path = Path(file)
        match path.suffix.lower():
            case ".svg":
                text = self.svg
            case ".html":
                text = (
                    f'<!doctype html><meta charset="utf-8"><title>Dependencies of migrations</title>{self.html(None)}'
                )
            case ".mmd":
                text = self.mermaid
            case ".dot" | ".gv":
                text = self.digraph.source
            case ".txt":
                text = self.outline + "\n"
            case other:
                raise UsageError(
                    f"A graph has no form for {other or path.name}", hint="Use .svg, .html, .mmd, .dot or .txt."
                )
        path.write_text(text, encoding="utf-8")
        return path

    # -- cells -----------------------------------------------------------------------------------------------------

    def html(self, highest: int | None = 640) -> str:
        """The picture in a box that scrolls and is as wide as the cell, its reasons under it.

        Parameters
        ----------
        highest : int, optional
            The most height, in pixels; None: all of it.
        """
        drawing = self.drawing
        # it scrolls one way at most: what is wide is as high as it is
        fits = highest is None or drawing.height <= highest or drawing.width > WIDEST + 2 * MARGIN
        high = "" if fits else f"max-height:{highest}px;"
        return (
            f'<div class="migrollback-scroll" role="region" tabindex="0" aria-label="Dependencies of migrations"'
            f' style="{high}max-width:100%;overflow:auto">{drawing.svg}</div>{self._reasons()}'
        )

    def _reasons(self) -> str:
        """Why there is which dependency, for keyboard and screen reader: a table that opens."""
        edges: Sequence[Edge] = self.part.edges
        if not edges:
            return ""
        place = self.facts.graph.place
        order = sorted(edges, key=lambda one: (-place[one.dependent], place[one.dependency]))
        rows = [(one.dependent, one.dependency, one.because) for one in order[:_REASONS]]
        more = len(edges) - _REASONS
        note = f"<p>{more:,} more are in .edges</p>" if more > 0 else ""
        table = html.table(("Migration", "Depends on", "Why"), rows)
        word = "dependency" if len(edges) == 1 else "dependencies"
        return (
            f'<details class="migrollback-reasons"><summary>Why: {len(edges):,} {word}</summary>'
            f'<div role="region" tabindex="0" aria-label="Reasons" style="max-height:320px;overflow:auto">{table}</div>'
            f"{note}</details>"
        )

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_mimebundle_(
        self,
        include: Iterable[str] | None = None,  # noqa: ARG002  # IPython's names
        exclude: Iterable[str] | None = None,  # noqa: ARG002
        **_: Any,
    ) -> dict[str, str]:
        # trusted notebooks show the first, others the second as an image, terminals the third
        return {"text/html": self.html(), "image/svg+xml": self.svg, "text/plain": self.outline}

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback graph --format json`."""
        return {
            "view": self.view,
            "chosen": list(self.chosen),
            "heading": list(self.drawing.heading),
            "falling": list(self.falling) if self.chosen else None,
            "nodes": [_plain(row) for row in self.nodes.to_dict("records")],
            "edges": [_plain(row) for row in self.edges.to_dict("records")],
        }

    def __str__(self) -> str:
        return "\n".join([*map(one_line, self.drawing.heading), "", self.outline])

    def __repr__(self) -> str:
        return f"<Graph {self.view} of {len(self.names)} migrations, {len(self.part.edges)} dependencies>"


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with None for what is missing."""
    import pandas as pd

    return {str(key): None if not isinstance(value, tuple) and pd.isna(value) else value for key, value in row.items()}


def _row(one: Edge) -> dict[str, Any]:
    return {
        "migration_name": one.dependent,
        "depends_on": one.dependency,
        "source": one.source,
        "because": one.objects or None,
    }
