"""Dependencies as Mermaid's flowchart. Pure."""

from __future__ import annotations

from migrollback_nb.core.dependency_graph import DependencyGraph
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import theme

_CLASSES = (
    "classDef applied fill:#d7f5dd,stroke:#2f7d46,color:#0b3d1a",
    "classDef rolled_back fill:#eeeeee,stroke:#6b6b6b,color:#444444,stroke-dasharray:3 2",
    "classDef failed fill:#b3261e,stroke:#7a120c,color:#ffffff",
)


def mermaid(graph: DependencyGraph) -> str:
    """The flowchart: what is older stands left; a dashed arrow is inferred.

    Examples
    --------
    >>> print(mermaid(DependencyGraph({"1_a": "applied"})))
    flowchart RL
      n0["1_a"]:::applied
      classDef applied fill:#d7f5dd,stroke:#2f7d46,color:#0b3d1a
    """
    ids = {name: f"n{place}" for place, name in enumerate(graph.names)}
    lines = ["flowchart RL"]
    for name, status in graph.statuses.items():
        word = "" if status == "applied" else f"<br/>{theme.STATUS.get(status, status)}"
        lines.append(f'  {ids[name]}["{_escaped(name)}{word}"]:::{status}')
    for edge in graph.edges:
        arrow = "-.->" if edge.source == "inferred" else "-->"
        lines.append(f"  {ids[edge.dependent]} {arrow} {ids[edge.dependency]}")
    used = set(graph.statuses.values())
    return "\n".join([*lines, *(f"  {line}" for line in _CLASSES if line.split()[1] in used)])


def _escaped(name: str) -> str:
    """A name as Mermaid takes it between quotes: all but letters, digits and a few signs by their number."""
    return "".join(letter if letter.isalnum() or letter in " _-." else f"#{ord(letter)};" for letter in one_line(name))
