"""The view er: the tables that migrations touch, and by which foreign keys others refer to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from migrollback_nb.core.dependency_graph import Edge
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import boxes, svg
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph.facts import Drawing, GraphFacts
from migrollback_nb.display.graph.short_names import cut


def draw(
    facts: GraphFacts,
    names: Collection[str],
    *,
    chosen: Sequence[str] = (),
    rank: str = "auto",
    look: str = "auto",
    limit: int | None = 150,
) -> Drawing:
    """Draw the tables of these migrations, of a choice those of what falls, and what refers to them.

    Parameters
    ----------
    facts : GraphFacts
        What is known; `references` are the foreign keys as they stand.
    names : collection of str
        Which migrations, where nothing is chosen.
    chosen : sequence of str
        What is to be rolled back: all that falls with it counts.
    rank, look, limit
        See `dag.draw`; `limit` counts tables.

    Raises
    ------
    NoDot
        When there is no dot.
    """
    marks = marking.Marks.of(facts.graph, chosen)
    concerned = marks.falling or tuple(name for name in facts.graph.names if name in set(names))
    touched = Counter(table for name in concerned for table in facts.tables.get(name, ()))
    referring = {one.table for one in facts.references if one.referenced in touched and one.table not in touched}
    referred = {one.referenced for one in facts.references if one.table in touched and one.referenced not in touched}
    every = [*touched, *sorted(referring), *sorted(referred - referring)]
    kept = every if limit is None else every[:limit]
    arrows: dict[tuple[str, str], list[str]] = {}
    outside = 0
    for one in facts.references:
        if one.table in kept and one.referenced in kept:
            arrows.setdefault((one.table, one.referenced), []).append(one.constraint)
        elif one.table in kept or one.referenced in kept:
            outside += 1
    note = {table: _note(touched[table], table in referring, falls=bool(marks.falling)) for table in kept}
    of = f" of {len(every):,}" if len(kept) < len(every) else ""
    heading = [
        f"Tables and foreign keys: {len(kept):,}{of} tables, {len(touched):,} of them touched by"
        f" {svg.count(len(concerned), 'migration')}",
        f"{svg.count(sum(map(len, arrows.values())), 'foreign key')}; an arrow leads to the table that is referred to"
        + (f"; {svg.count(outside, 'more leads', 'more lead')} to tables that are not drawn" if outside else ""),
    ]
    return boxes.draw(
        [
            boxes.Box(
                name=f"table {table}",
                lines=(cut(one_line(table), 36), note[table]),
                kind="node object falls" if touched[table] and marks.falling else "node object",
                title=f"{one_line(table)}: {note[table]}",
            )
            for table in kept
        ],
        (
            boxes.Arrow(
                edge=Edge(f"table {one}", f"table {other}"), title=f"{one} refers to {other}: {', '.join(keys)}"
            )
            for (one, other), keys in arrows.items()
            if one != other
        ),
        heading=[*heading, *_remarks(facts, concerned, marks)],
        rank=rank,
        look=look,
    )


def _note(touched: int, refers: bool, *, falls: bool) -> str:
    """What a table has to do with the migrations, in words."""
    if touched and falls:
        return svg.count(touched, "migration falls", "migrations fall")
    if touched:
        return svg.count(touched, "migration touches it", "migrations touch it")
    return "refers to these" if refers else "these refer to it"


def _remarks(facts: GraphFacts, concerned: Collection[str], marks: marking.Marks) -> list[str]:
    """What else there is to say of them."""
    lines = [marks.sentence(facts)] if marks.chosen else []
    lines += [marking.not_looked(facts)] if facts.not_looked else []
    untabled = sum(1 for name in concerned if not facts.tables.get(name))
    lines += [svg.count(untabled, "migration touches no table", "migrations touch no table")] if untabled else []
    return [*lines, *facts.remarks]
