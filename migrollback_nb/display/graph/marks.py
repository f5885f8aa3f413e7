"""What is said of a migration in every view: its title, its classes, which part is drawn, what leads out. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from migrollback_nb.core.dependency_graph import DependencyGraph, Outside
from migrollback_nb.core.errors import DependencyError
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import theme
from migrollback_nb.display.graph.facts import GraphFacts
from migrollback_nb.display.graph.short_names import short_names
from migrollback_nb.display.graph.svg import count

#: Up to so many nodes, with names no longer than this, are called by their full names.
_FEW, _SHORT = 12, 34
#: Short names have so many characters; in pictures of more nodes than these, fewer.
_LONG, _SOME, _SHORTEST = 30, 30, 20


@dataclass(frozen=True)
class Marks:
    """What stands out around the chosen migrations."""

    chosen: tuple[str, ...] = ()
    falling: tuple[str, ...] = ()  #: in the order of their rollback
    required: frozenset[str] = frozenset()

    @classmethod
    def of(cls, graph: DependencyGraph, chosen: Sequence[str]) -> Marks:
        """The marks of a choice; without one nothing is marked."""
        chosen = tuple(name for name in chosen if name in graph)
        if not chosen:
            return cls()
        return cls(chosen, falling(graph, chosen), frozenset(graph.required(*chosen)))

    @cached_property
    def number(self) -> dict[str, int]:
        """Name -> its place in the order of the rollback."""
        return {name: place for place, name in enumerate(self.falling, 1)}

    def of_node(self, name: str) -> str:
        """Its classes."""
        if name in self.chosen:
            return " falls chosen"
        return " falls" if name in self.number else " needs" if name in self.required else ""

    def of_edge(self, dependent: str, dependency: str) -> str:
        """Its class: what falls is joined to what falls, what is needed to what needs it."""
        if dependent in self.number and dependency in self.number:
            return "falls"
        needs = dependency in self.required and (dependent in self.required or dependent in self.chosen)
        return "needs" if needs else ""

    def sentence(self, facts: GraphFacts) -> str:
        """How many fall, and how many of them are trouble."""
        if not self.chosen:
            return ""
        many = len(self.falling)
        failed = sum(facts.graph.statuses[name] != "applied" for name in self.falling)
        bare = sum(name in facts.bare for name in self.falling)
        chain = max(len(facts.graph.longest_chain(name)) for name in self.chosen)
        parts = [f"{count(many, 'falls', 'fall')}"]
        parts += [f"{failed} of them not applied"] if failed else []
        parts += [f"{bare} without rollback"] if bare else []
        return f"{', '.join(parts)}; longest chain {chain}; depends on {count(len(self.required), 'migration')}"


def falling(graph: DependencyGraph, names: Sequence[str]) -> tuple[str, ...]:
    """As `DependencyGraph.falling`; in a cycle, which has no order, the newest first."""
    try:
        return graph.falling(*names)
    except DependencyError:
        every = {*names, *graph.resting_on(*names)}
        return tuple(
            name
            for name in reversed(graph.names)
            if name in every and (name in names or graph.statuses[name] != "rolled_back")
        )


def labels_of(names: Collection[str], labels: str) -> dict[str, str]:
    """Name -> what it is called in the picture.

    Parameters
    ----------
    names : collection of str
        All that are drawn.
    labels : {'auto', 'short', 'full'}
        auto: full names where there are few and none is long.
    """
    if labels == "full" or (labels == "auto" and len(names) <= _FEW and all(len(name) <= _SHORT for name in names)):
        return {name: one_line(name) for name in names}
    longest = _LONG if len(names) <= _SOME else _SHORTEST
    return {name: one_line(short) for name, short in short_names(names, longest=longest).items()}


def words_of(facts: GraphFacts, name: str, marks: Marks | None = None) -> str:
    """A migration in words: name, status, its part in what falls."""
    word = theme.STATUS.get(facts.graph.statuses.get(name, ""), "unknown")
    words = [f"{one_line(name)}, {word}"]
    if marks is not None and marks.chosen:
        if name in marks.chosen:
            words.append("chosen")
        elif name in marks.number:
            words.append(f"falls, number {marks.number[name]} of {len(marks.falling)}")
        elif name in marks.required:
            words.append("needed")
    if name in facts.bare:
        words.append("no rollback SQL")
    if verdict := facts.verdicts.get(name):
        words.append(theme.VERDICTS.get(verdict, ("", verdict, ""))[1])
    return ", ".join(words)


def statuses_line(facts: GraphFacts, names: Iterable[str]) -> str:
    """How many are applied, rolled back, failed."""
    found = [facts.graph.statuses[name] for name in names]
    return ", ".join(f"{found.count(status):,} {word}" for status, word in theme.STATUS.items() if found.count(status))


def part(facts: GraphFacts, names: Collection[str], chosen: Sequence[str], limit: int | None) -> tuple[str, ...]:
    """At most so many of these names: around the choice the nearest, else the newest; the oldest first."""
    graph = facts.graph
    if limit is None or len(names) <= limit:
        return tuple(name for name in graph.names if name in set(names))
    kept: dict[str, None] = {}
    wanted = set(names)
    front = [name for name in chosen if name in wanted]
    while front and len(kept) < limit:
        kept |= dict.fromkeys(front)
        following: dict[str, None] = {}
        for name in front:
            following |= dict.fromkeys((*reversed(graph.dependents(name)), *reversed(graph.dependencies(name))))
        front = [name for name in following if name in wanted and name not in kept]
    for name in reversed(graph.names):
        if len(kept) >= limit:
            break
        if name in wanted:
            kept[name] = None
    few = set(list(kept)[:limit])
    return tuple(name for name in graph.names if name in few)


def stub(outside: Outside | None) -> str:
    """What leads out of the picture at one node: older is what it depends on.

    Examples
    --------
    >>> stub(Outside(dependents=3, dependencies=12))
    '+12 older +3 newer'
    """
    if outside is None:
        return ""
    older = f"+{outside.dependencies} older" if outside.dependencies else ""
    newer = f"+{outside.dependents} newer" if outside.dependents else ""
    return f"{older} {newer}".strip()


def heading(
    facts: GraphFacts,
    what: str,
    drawn: Collection[str],
    asked: Collection[str],
    *,
    edges: int,
    follow: int = 0,
    outside: int = 0,
    marks: Marks | None = None,
) -> list[str]:
    """The lines over a picture: what it shows, what it leaves out, what no one knows."""
    every = len(facts.graph)
    of = "" if len(drawn) == every else f" of {every:,}"
    many = f"{len(drawn):,}{of} migration{'s' if every != 1 else ''}"
    lines = [f"{what}: {many} ({statuses_line(facts, drawn) or 'none'})"]
    parts = [count(edges, "dependency", "dependencies")]
    if follow:
        parts.append(f"{followed(follow)} (reduce=False draws {'it' if follow == 1 else 'them'})")
    if outside:
        parts.append(count(outside, "edge leads outside", "edges lead outside"))
    if len(drawn) < len(asked):
        parts.append(f"{len(asked) - len(drawn):,} migrations are not drawn (limit=None draws them)")
    lines.append("; ".join(parts))
    if marks is not None and marks.chosen:
        named = one_line(marks.chosen[0]) if len(marks.chosen) == 1 else count(len(marks.chosen), "migration")
        lines.append(f"With {named}: {marks.sentence(facts)}")
    if facts.not_looked:
        lines.append(not_looked(facts))
    return [*lines, *facts.remarks]


def followed(many: int) -> str:
    """How many edges are left out because others say the same."""
    return count(many, "more follows from these and is", "more follow from these and are") + " not drawn"


def not_looked(facts: GraphFacts) -> str:
    """That more may depend on each other than is drawn."""
    return (
        f"Not inferred yet: of {count(facts.not_looked, 'migration')} no one looked for what they depend on"
        " (edges='all' looks now, migrollback sync does and keeps it)"
    )
