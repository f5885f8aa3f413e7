"""`DependencyGraph`: what falls with a migration, what it depends on, which edges follow from others. Pure.

Sets of migrations are bits of one integer each, so that the closure of 5,000 migrations takes milliseconds.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from migrollback_nb.core import ordering

#: What an inferred dependency is recorded with: objects, of many the first three.
_MORE = re.compile(r" and (\d+) more$")
_REASON = re.compile(r'(?:"(?:[^"]|"")*"|[^";]|;(?! ))+')


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency, and why there is one."""

    dependent: str  #: the migration that depends on the other one
    dependency: str  #: the one that it depends on
    source: str = "declared"  #: declared: by the file; inferred: from the objects
    reasons: tuple[str, ...] = ()  #: the objects, as "kind identity"; none where it is declared
    more: int = 0  #: how many further objects the record does not name
    recorded: bool = True  #: whether the database keeps it; False: it was inferred just now

    @property
    def schema_only(self) -> bool:
        """Whether its only reason is a schema that the dependency created."""
        return bool(self.reasons) and not self.more and all(one.startswith("schema ") for one in self.reasons)

    @property
    def objects(self) -> str:
        """The objects in one line, as the database records them; empty where it is declared."""
        return "; ".join(self.reasons) + (f" and {self.more} more" if self.more else "")

    @property
    def because(self) -> str:
        """Why there is one, in words."""
        if self.source == "declared":
            return "declared by the file"
        now = "" if self.recorded else " now, not recorded"
        return f"inferred{now}: {self.objects or 'the reason is not recorded'}"

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The edge of a row with migration_name, depends_on, and perhaps source and because.

        Examples
        --------
        >>> row = {"migration_name": "2", "depends_on": "1", "source": "inferred", "because": "schema app"}
        >>> Edge.of(row).schema_only
        True
        """
        because = row.get("because")
        text = because if isinstance(because, str) else ""
        more = _MORE.search(text)
        return cls(
            dependent=row["migration_name"],
            dependency=row["depends_on"],
            source=row.get("source") or "declared",
            reasons=tuple(one.strip() for one in _REASON.findall(text[: more.start()] if more else text)),
            more=int(more[1]) if more else 0,
        )


@dataclass(frozen=True, slots=True)
class Outside:
    """How many edges of one migration lead out of a set of migrations."""

    dependents: int = 0  #: to others that depend on it
    dependencies: int = 0  #: to others that it depends on


class DependencyGraph:
    """Migrations with their statuses, and the dependencies among them.

    Parameters
    ----------
    statuses : mapping of str to str
        Name -> applied, rolled_back or failed; in the order of the history, the oldest first.
    edges : iterable of Edge or of mapping
        The dependencies; mappings as `Edge.of` takes them. One whose ends are not both among `statuses` is left out.

    Examples
    --------
    >>> graph = DependencyGraph({"1_a": "applied", "2_b": "applied"}, [Edge("2_b", "1_a")])
    >>> graph.falling("1_a"), graph.required("2_b")
    (('2_b', '1_a'), ('1_a',))
    """

    def __init__(self, statuses: Mapping[str, str], edges: Iterable[Edge | Mapping[str, Any]] = ()) -> None:
        self.statuses = dict(statuses)
        self.names = tuple(self.statuses)
        self.place = {name: place for place, name in enumerate(self.names)}
        found = (edge if isinstance(edge, Edge) else Edge.of(edge) for edge in edges)
        known = {
            (edge.dependent, edge.dependency): edge
            for edge in found
            if edge.dependent in self.place and edge.dependency in self.place and edge.dependent != edge.dependency
        }
        self.edges = tuple(known.values())
        self._edge = known
        self._up: list[list[int]] = [[] for _ in self.names]
        self._down: list[list[int]] = [[] for _ in self.names]
        for dependent, dependency in known:
            self._up[self.place[dependency]].append(self.place[dependent])
            self._down[self.place[dependent]].append(self.place[dependency])

    @classmethod
    def of(cls, history: Iterable[Mapping[str, Any]], dependencies: Iterable[Mapping[str, Any]]) -> Self:
        """Of rows of the history, newest first as queries give them, and of dependencies."""
        rows = list(history)
        return cls({row["migration_name"]: row["status"] for row in reversed(rows)}, dependencies)

    def __contains__(self, name: object) -> bool:
        return name in self.place

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<DependencyGraph of {len(self.names)} migrations, {len(self.edges)} dependencies>"

    # -- one step --------------------------------------------------------------------------------------------------

    def edge(self, dependent: str, dependency: str) -> Edge | None:
        """The edge between two migrations; None where there is none."""
        return self._edge.get((dependent, dependency))

    def dependents(self, name: str) -> tuple[str, ...]:
        """What depends on a migration directly, the oldest first."""
        return tuple(self.names[place] for place in sorted(self._up[self.place[name]]))

    def dependencies(self, name: str) -> tuple[str, ...]:
        """What a migration depends on directly, the oldest first."""
        return tuple(self.names[place] for place in sorted(self._down[self.place[name]]))

    # -- all the way -----------------------------------------------------------------------------------------------

    def falling(self, *names: str) -> tuple[str, ...]:
        """What must be rolled back with these migrations, they among it, in the order of `plan`.

        Newest dependents first. What is rolled back already orders the others and is left out, unless it is asked for.

        Raises
        ------
        DependencyError
            When they depend on each other in a cycle.
        """
        asked = self._bits(names)
        every = asked | self._all(self._above, names)
        inside = set(_places(every))
        order = ordering.order(
            {self.names[at]: [self.names[base] for base in self._down[at] if base in inside] for at in inside},
            like=self.names,
        )
        kept = set(_places((every & self._in_place) | asked))
        return tuple(name for name in reversed(order) if self.place[name] in kept)

    def required(self, *names: str) -> tuple[str, ...]:
        """All that these migrations depend on, directly or through others, the oldest first; not they themselves."""
        return self._names(self._all(self._below, names) & ~self._bits(names))

    def resting_on(self, *names: str) -> tuple[str, ...]:
        """All that depends on these migrations, also what is rolled back, the oldest first; not they themselves."""
        return self._names(self._all(self._above, names) & ~self._bits(names))

    def dependents_count(self) -> dict[str, int]:
        """Name -> how many migrations that are not rolled back depend on it, directly or through others."""
        return {name: (self._above[at] & self._in_place & ~(1 << at)).bit_count() for at, name in enumerate(self.names)}

    def required_count(self) -> dict[str, int]:
        """Name -> on how many migrations it depends, directly or through others."""
        return {name: (self._below[at] & ~(1 << at)).bit_count() for at, name in enumerate(self.names)}

    def longest_chain(self, name: str) -> tuple[str, ...]:
        """The longest row of migrations each of which falls with the one before; `name` first."""
        start = self.place[name]
        wanted = self._above[start] | 1 << start
        best: dict[int, tuple[int, int | None]] = {}
        for at in reversed(self._ranked):  # dependents first
            if not wanted >> at & 1:
                continue
            reached = max(((best[up][0], -up) for up in self._up[at] if up in best), default=(0, None))
            counts = at == start or self._in_place >> at & 1
            best[at] = (reached[0] + counts, None if reached[1] is None else -reached[1])
        chain: list[str] = []
        at_now: int | None = start
        while at_now is not None:
            if at_now == start or self._in_place >> at_now & 1:
                chain.append(self.names[at_now])
            at_now = best[at_now][1]
        return tuple(chain)

    def near(self, *names: str, direction: str = "both", depth: int | None = None) -> tuple[str, ...]:
        """These migrations, what depends on them and what they depend on, each way by itself, the oldest first.

        Parameters
        ----------
        *names : str
            Where it begins.
        direction : {'both', 'dependents', 'dependencies'}
            Which way. Both ways are walked apart: what else a common dependency carries is not near.
        depth : int, optional
            How many dependencies away; None: all the way.
        """
        found = self._bits(names)
        ways = {"dependents": (self._up,), "dependencies": (self._down,), "both": (self._up, self._down)}[direction]
        for way in ways:
            reached = front = self._bits(names)
            step = 0
            while front and (depth is None or step < depth):
                step += 1
                front = self._bits_of(other for at in _places(front) for other in way[at]) & ~reached
                reached |= front
            found |= reached
        return self._names(found)

    # -- parts -----------------------------------------------------------------------------------------------------

    def part(self, names: Iterable[str]) -> DependencyGraph:
        """Only these migrations, and the edges among them."""
        kept = set(names)
        if len(kept & self.place.keys()) == len(self.names):
            return self
        return DependencyGraph(
            {name: status for name, status in self.statuses.items() if name in kept},
            (edge for edge in self.edges if edge.dependent in kept and edge.dependency in kept),
        )

    def outside(self, names: Iterable[str]) -> dict[str, Outside]:
        """Name -> how many of its edges leave these migrations, and which way; only those of which some do."""
        kept = self._bits(name for name in names if name in self.place)
        found = {}
        for at in _places(kept):
            up = sum(1 for other in self._up[at] if not kept >> other & 1)
            down = sum(1 for other in self._down[at] if not kept >> other & 1)
            if up or down:
                found[self.names[at]] = Outside(dependents=up, dependencies=down)
        return found

    def reduced(self) -> DependencyGraph:
        """Without the edges that follow from others: what is reached from each stays the same.

        Without cycles that is the transitive reduction. Of those that depend on each other in cycles so many edges stay
        that each is still reached from each, and one to each that they lead to.
        """
        kept: set[tuple[int, int]] = set()
        for members in self._rings():
            inside = set(members)
            out: dict[int, tuple[int, int]] = {}  # the first of the ring that it leads to -> the edge
            for at in members:
                for base in self._down[at]:
                    if base not in inside:
                        out.setdefault(self._ring_of(base), (at, base))
            through = 0
            for base in out:
                through |= self._below[base] & ~self._above[base]
            kept |= {edge for base, edge in out.items() if not through >> base & 1}
            if len(members) > 1:
                hub = max(members, key=lambda at: len(inside.intersection(self._up[at])))
                kept |= {(at, base) for base, at in self._tree(hub, self._up, inside)}
                kept |= set(self._tree(hub, self._down, inside))
        return DependencyGraph(
            self.statuses, [self._edge[self.names[at], self.names[base]] for at, base in sorted(kept)]
        )

    def _ring_of(self, at: int) -> int:
        """The first of those that depend on it and that it depends on; itself where there are none."""
        around = self._below[at] & self._above[at]
        return (around & -around).bit_length() - 1 if around else at

    def _rings(self) -> Iterable[list[int]]:
        """All places, those together that depend on each other in cycles."""
        found: dict[int, list[int]] = {}
        for at in range(len(self.names)):
            found.setdefault(self._ring_of(at), []).append(at)
        return found.values()

    @staticmethod
    def _tree(root: int, way: list[list[int]], inside: Collection[int]) -> Iterator[tuple[int, int]]:
        """Edges by which each of these is reached from the root, each once."""
        seen = {root}
        queue = [root]
        for at in queue:
            for other in way[at]:
                if other in inside and other not in seen:
                    seen.add(other)
                    queue.append(other)
                    yield at, other

    def ranks(self) -> dict[str, int]:
        """Name -> how many migrations stand under it in the longest row of those that it depends on."""
        rank = [0] * len(self.names)
        for at in self._ranked:
            rank[at] = max((rank[base] + 1 for base in self._down[at]), default=0)
        return dict(zip(self.names, rank, strict=True))

    # -- bits ------------------------------------------------------------------------------------------------------

    @cached_property
    def _in_place(self) -> int:
        return self._bits_of(at for at, status in enumerate(self.statuses.values()) if status != "rolled_back")

    @cached_property
    def _ranked(self) -> tuple[int, ...]:
        """All places, dependencies first; those of a cycle, and what depends on one, come last as they stand."""
        waiting = [len(bases) for bases in self._down]
        ready = [at for at, count in enumerate(waiting) if not count]
        done: list[int] = []
        while ready:
            at = heapq.heappop(ready)
            done.append(at)
            for up in self._up[at]:
                waiting[up] -= 1
                if not waiting[up]:
                    heapq.heappush(ready, up)
        return (*done, *(at for at, count in enumerate(waiting) if count))

    @cached_property
    def _below(self) -> list[int]:
        return self._closure(self._down, self._ranked)

    @cached_property
    def _above(self) -> list[int]:
        return self._closure(self._up, tuple(reversed(self._ranked)))

    @staticmethod
    def _closure(way: list[list[int]], order: tuple[int, ...]) -> list[int]:
        """For each place what is reached from it; in this order each comes after all that it leads to."""
        found = [0] * len(way)
        while True:
            for at in order:
                for other in way[at]:
                    found[at] |= 1 << other | found[other]
            # one round is enough without a cycle
            if not any(found[other] & ~found[at] for at in order for other in way[at]):
                return found

    def _all(self, sets: list[int], names: Iterable[str]) -> int:
        found = 0
        for name in names:
            found |= sets[self.place[name]]
        return found

    def _bits(self, names: Iterable[str]) -> int:
        return self._bits_of(self.place[name] for name in names)

    @staticmethod
    def _bits_of(places: Iterable[int]) -> int:
        found = 0
        for place in places:
            found |= 1 << place
        return found

    def _names(self, bits: int) -> tuple[str, ...]:
        return tuple(self.names[place] for place in _places(bits))


def _places(bits: int) -> Iterator[int]:
    """The places of the bits that are set, the lowest first."""
    text = bin(bits)[:1:-1]
    at = text.find("1")
    while at >= 0:
        yield at
        at = text.find("1", at + 1)
