"""Migrations and their dependencies as indented text. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph.theme import STATUS


def outline(
    status: Mapping[str, str], edges: Iterable[tuple[str, str]], inferred: Container[tuple[str, str]] = ()
) -> str:
    """The graph as indented text: under each migration what it depends on, unfolded once. Pure.

    inferred: those edges that no file declares; they are marked.

    Examples
    --------
    >>> print(outline({"1_a": "applied", "2_b": "applied"}, [("2_b", "1_a")]))
    2_b (applied)
      1_a (applied)
    """
    below: dict[str, list[str]] = {name: [] for name in status}
    has_dependents = set()
    for dependent, dependency in edges:
        below[dependent].append(dependency)
        has_dependents.add(dependency)
    lines: list[str] = []
    shown: set[str] = set()
    tops = [name for name in status if name not in has_dependents]
    # a cycle has no top: show it from its first name rather than not at all
    for top in [*tops, *status]:
        if top in shown:
            continue
        stack: list[tuple[str, int, str]] = [(top, 0, "")]
        while stack:
            name, level, above = stack.pop()
            again = " ..." if name in shown and below[name] else ""
            mark = ", inferred" if (above, name) in inferred else ""
            word = STATUS.get(status[name], status[name])
            lines.append(f"{'  ' * level}{one_line(name)} ({word}{mark}){again}")
            if name not in shown:
                shown.add(name)
                stack += [(base, level + 1, name) for base in sorted(below[name], reverse=True)]
    return "\n".join(lines)
