"""The view lanes: a row for each table, time from left to right, a dot for each migration; what falls in red. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import log2

from migrollback_nb.core.html import escape
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph import svg
from migrollback_nb.display.graph.facts import NO_TABLE, Drawing, GraphFacts, node_id
from migrollback_nb.display.graph.short_names import cut

#: As wide as a notebook of 1,366 pixels has room for, and as high as one screen of it.
_WIDE, _HIGH = 1134, 520
#: The most lanes; what has fewer migrations shares one lane.
_LANES = 45
_LOWEST, _HIGHEST = 11, 24
#: Between two migrations: closer ones could not be hit.
_NARROWEST, _WIDEST = 2.3, 26
_AXIS = 18


def draw(
    facts: GraphFacts,
    names: Collection[str],
    *,
    chosen: Sequence[str] = (),
    group: str = "table",
    look: str = "auto",
) -> Drawing:
    """Draw when which table was touched, and by which migrations: all of these, however many.

    Parameters
    ----------
    facts : GraphFacts
        What is known.
    names : collection of str
        Which migrations.
    chosen : sequence of str
        What is marked: it, what falls with it, what it depends on.
    group : {'table', 'schema', 'deploy', 'actor'}
        What has a lane.
    look : {'auto', 'light', 'dark'}
        The theme.
    """
    wanted = set(names)
    shown = tuple(name for name in facts.graph.names if name in wanted)
    marks = marking.Marks.of(facts.graph, chosen)
    lanes, folded = _lanes(facts.groups(group), shown, group)
    labels = _labels(lanes)
    left = max((svg.text_width(label, 11) for label in labels), default=0) + 10
    high = max(_LOWEST, min(_HIGHEST, int(_HIGH / max(1, len(lanes)))))
    apart = max(_NARROWEST, min(_WIDEST, (_WIDE - left) / max(1, len(shown))))
    grid = _Grid(
        x={name: left + apart * (place + 0.5) for place, name in enumerate(shown)},
        y=[_AXIS + high * (place + 0.5) for place in range(len(lanes))],
        radius=min(high * 0.36, 6.0),
    )
    width, height = left + apart * len(shown) + 6, _AXIS + high * len(lanes)
    body = _ground(facts, lanes, labels, grid, shown=shown, width=width, height=height)
    rank = {name: (name in marks.required) + 2 * (name in marks.number) + 4 * (name in chosen) for name in shown}
    in_lanes = {name: [place for place, (_, members) in enumerate(lanes) if name in members] for name in shown}
    counts = facts.graph.dependents_count()
    words = {node_id(name): marking.words_of(facts, name, marks) for name in shown}
    for name in sorted(shown, key=lambda one: rank[one]):  # what is marked lies on top
        body.append(
            _dots(facts, name, in_lanes[name], grid, carries=counts[name], marks=marks, words=words[node_id(name)])
        )
    outside = facts.graph.outside(shown)
    heading = marking.heading(
        facts,
        f"Lanes by {group}",
        shown,
        names,
        edges=len(facts.graph.part(shown).edges),
        outside=sum(one.dependents + one.dependencies for one in outside.values()),
        marks=marks,
    )
    heading[1] += ", as no lines here: a larger dot carries more" + (
        ", red falls with the choice, blue is what it depends on" if marks.chosen else ""
    )
    if folded:
        heading[1] += f"; {svg.count(folded, group)} with fewest migrations share one lane"
    return svg.framed(
        "".join(body),
        width,
        height,
        heading=heading,
        label=". ".join(heading[:3]),
        look=look,
        words=words,
        names={node_id(name): name for name in shown},
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    x: Mapping[str, float]
    y: Sequence[float]
    radius: float


def _lanes(
    groups: Mapping[str, tuple[str, ...]], shown: Sequence[str], group: str
) -> tuple[list[tuple[str, set[str]]], int]:
    """(Lane, its migrations), by when each was touched first, and how many share the last but one."""
    members: dict[str, set[str]] = {}
    for name in shown:
        for key in groups[name]:
            members.setdefault(key, set()).add(name)
    aside = members.pop(NO_TABLE, None)
    kept = {key for key, _ in Counter({key: len(names) for key, names in members.items()}).most_common(_LANES)}
    lanes = [(key, names) for key, names in members.items() if key in kept]
    others = [names for key, names in members.items() if key not in kept]
    if others:
        lanes.append((f"{svg.count(len(others), 'other ' + group)}", set().union(*others)))
    if aside:
        lanes.append((NO_TABLE, aside))
    return lanes, len(others)


def _labels(lanes: Sequence[tuple[str, set[str]]]) -> list[str]:
    """The lanes' names; the schema where there are several."""
    schemas = {key.partition(".")[0] for key, _ in lanes if "." in key}
    return [cut(one_line(key.partition(".")[2] if len(schemas) == 1 and "." in key else key), 28) for key, _ in lanes]


def _ground(
    facts: GraphFacts,
    lanes: Sequence[tuple[str, set[str]]],
    labels: Sequence[str],
    grid: _Grid,
    *,
    shown: Sequence[str],
    width: float,
    height: float,
) -> list[str]:
    """Names of the lanes, a line in each, and the times above."""
    body = []
    for place, (key, members) in enumerate(lanes):
        y = grid.y[place]
        at = [grid.x[name] for name in shown if name in members]
        label = svg.text(0, y + 3.5, labels[place], cls="quiet")
        body.append(f"<g><title>{escape(key)}: {svg.count(len(members), 'migration')}</title>{label}</g>")
        body.append(f'<path class="rule" d="M{at[0]:.1f},{y:.1f}H{max(at[-1], at[0] + 1):.1f}"/>')
    times = [(name, when) for name in shown if (when := facts.applied_at.get(name)) is not None]
    if times:
        long = times[-1][1] - times[0][1] > timedelta(days=75)
        before, last = "", -100.0
        for name, when in times:
            word = when.strftime("%Y-%m" if long else "%Y-%m-%d")
            x = grid.x[name]
            if word != before and x - last > svg.text_width(word, 11) + 14 and x + svg.text_width(word, 11) < width:
                body.append(f'<path class="rule" d="M{x:.1f},{_AXIS - 3}V{height:.1f}"/>')
                body.append(svg.text(x, 10, word, cls="quiet"))
                last = x
            before = word
    return body


def _dots(
    facts: GraphFacts, name: str, lanes: Sequence[int], grid: _Grid, *, carries: int, marks: marking.Marks, words: str
) -> str:
    """The dots of one migration, joined where it touches several tables."""
    x, radius = grid.x[name], min(grid.radius, 2.3 + 0.45 * log2(1 + carries))
    if name in marks.chosen:
        radius = grid.radius + 1
    ys = [grid.y[lane] for lane in lanes]
    joined = f'<path class="link" opacity=".45" d="M{x:.1f},{ys[0]:.1f}V{ys[-1]:.1f}"/>' if len(ys) > 1 else ""
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>' for y in ys)
    when = facts.applied_at.get(name)
    title = words + (f", {when:%Y-%m-%d %H:%M %Z}" if when is not None else "")
    title += f"; {svg.count(carries, 'migration depends', 'migrations depend')} on it" if carries else ""
    kind = f"node {facts.graph.statuses[name]}{marks.of_node(name)}"
    return svg.group(kind, joined + dots, name=name, title=title)
