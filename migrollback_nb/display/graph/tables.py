"""The view tables: migrations folded into the tables that they touch, or into schemas, deploys, people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import boxes, svg
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph.facts import Drawing, GraphFacts
from migrollback_nb.display.graph.short_names import cut

#: So many dependencies stand in the title of an arrow.
_NAMED = 12


def draw(
    facts: GraphFacts,
    names: Collection[str],
    *,
    chosen: Sequence[str] = (),
    group: str = "table",
    reduce: bool = True,
    rank: str = "auto",
    look: str = "auto",
    limit: int | None = 150,
) -> Drawing:
    """Draw which table's migrations depend on which other table's.

    Parameters
    ----------
    facts : GraphFacts
        What is known.
    names : collection of str
        Which migrations.
    chosen : sequence of str
        What is marked: the tables of what falls with it.
    group : {'table', 'schema', 'deploy', 'actor'}
        Into what they are folded.
    reduce, rank, look, limit
        See `dag.draw`; `limit` counts tables.

    Raises
    ------
    NoDot
        When there is no dot.
    """
    wanted = set(names)
    shown = tuple(name for name in facts.graph.names if name in wanted)
    part = facts.graph.part(shown)
    groups = facts.groups(group)
    members: dict[str, list[str]] = {}
    for name in shown:
        for key in groups[name]:
            members.setdefault(key, []).append(name)
    kept = {key for key, _ in Counter({key: len(found) for key, found in members.items()}).most_common(limit)}
    why, inside = _folded(part, groups, kept)
    fold = DependencyGraph(
        {key: "" for key in members if key in kept},
        (Edge(one, other, "inferred", tuple(found)) for (one, other), found in why.items()),
    )
    drawn = fold.reduced() if reduce else fold
    marks = marking.Marks.of(facts.graph, chosen)
    heading = marking.heading(
        facts,
        f"By {group}",
        shown,
        names,
        edges=len(part.edges),
        outside=sum(one.dependents + one.dependencies for one in facts.graph.outside(shown).values()),
        marks=marks,
    )
    heading[1] += f"; {inside:,} of them inside one {group}" if inside else ""
    heading.insert(1, f"{svg.count(len(fold), group)}{f' of {len(members):,}' if len(fold) < len(members) else ''}")
    heading.append(
        f"An arrow leads to the {group} whose migrations are needed; its title says which"
        + (
            f"; {svg.count(len(fold.edges) - len(drawn.edges), 'arrow')} follow from others and are not drawn"
            if len(fold.edges) > len(drawn.edges)
            else ""
        )
        + (f"; {len(members) - len(fold):,} with fewest migrations are not drawn" if len(fold) < len(members) else "")
    )
    found = [_box(key, members[key], facts, marks) for key in fold.names]
    return boxes.draw(
        found,
        (boxes.Arrow(edge=_named(one), title=_title(one, why[one.dependent, one.dependency])) for one in drawn.edges),
        heading=heading,
        rank=rank,
        look=look,
    )


def _folded(
    part: DependencyGraph, groups: Mapping[str, tuple[str, ...]], kept: Collection[str]
) -> tuple[dict[tuple[str, str], list[str]], int]:
    """((Table, table that it needs) -> which dependencies, how many stay inside one table)."""
    why: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    inside = 0
    for edge in part.edges:
        ends = groups[edge.dependency]
        # where the reasons name tables of the dependency, only those are needed
        named = tuple(key for key in ends if any(_is_of(reason, key) for reason in edge.reasons)) or ends
        own = groups[edge.dependent]
        if set(own) & set(named):
            inside += 1
            continue
        for key in own:
            for other in named:
                if key in kept and other in kept:
                    why[key, other].append(one_line(f"{edge.dependent} depends on {edge.dependency} ({edge.because})"))
    return dict(why), inside


def _is_of(reason: str, key: str) -> bool:
    """Whether an object, as "kind identity", is a table or a part of it."""
    _, _, identity = reason.partition(" ")
    return identity == key or identity.startswith((f"{key}.", f"{key} "))


def _box(key: str, members: Sequence[str], facts: GraphFacts, marks: marking.Marks) -> boxes.Box:
    falling = [name for name in members if name in marks.number]
    lines = [cut(one_line(key), 26), svg.count(len(members), "migration")]
    if falling:
        lines[1] = f"{len(falling)} of {svg.count(len(members), 'migration')} to roll back"
    elif set(members) & marks.required:
        lines[1] += ", needed"
    troubled = sum(facts.graph.statuses[name] != "applied" for name in members)
    lines += [f"{troubled} not applied"] if troubled else []
    mark = " falls" if falling else " needs" if set(members) & marks.required else ""
    title = "\n".join([f"{one_line(key)}: {', '.join(lines[1:])}", *map(one_line, members[:_NAMED])])
    more = len(members) - _NAMED
    return boxes.Box(
        name=f"fold {key}",
        lines=tuple(lines),
        kind=f"node object{mark}",
        title=title + (f"\nand {more} more" if more > 0 else ""),
    )


def _named(edge: Edge) -> Edge:
    return Edge(f"fold {edge.dependent}", f"fold {edge.dependency}")


def _title(edge: Edge, why: Sequence[str]) -> str:
    more = len(why) - _NAMED
    lines = [f"{edge.dependent} depends on {edge.dependency}: {svg.count(len(why), 'dependency', 'dependencies')}"]
    return "\n".join([*lines, *why[:_NAMED], *([f"and {more} more"] if more > 0 else [])])
