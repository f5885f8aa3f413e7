"""The view plan: a row for each step of a rollback, arcs to what it depends on, the reason, the verdict. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import marks as marking
from migrollback_nb.display.graph import svg, theme
from migrollback_nb.display.graph.facts import Drawing, GraphFacts, node_id
from migrollback_nb.display.graph.layout import WIDEST
from migrollback_nb.display.graph.short_names import cut, short_names

_ROW = 20
#: The most room for arcs, and the least.
_ARCS, _FEWEST = 150, 40
#: The longest name that stands in full, and the longest reason.
_NAME, _REASON = 46, 64
#: The room for a verdict, and the least for a reason.
_VERDICT, _NARROW = 122, 240


def draw(
    facts: GraphFacts,
    names: Collection[str],
    *,
    chosen: Sequence[str] = (),
    reduce: bool = True,
    labels: str = "auto",
    look: str = "auto",
) -> Drawing:
    """Draw what must be rolled back with a choice, in the order of `plan`: all of it, however many.

    Parameters
    ----------
    facts : GraphFacts
        What is known.
    names : collection of str
        What is to be rolled back, where nothing is chosen.
    chosen : sequence of str
        What is to be rolled back.
    reduce : bool
        Leave out the arcs that follow from others.
    labels : {'auto', 'short', 'full'}
        auto: full names where none is long.
    look : {'auto', 'light', 'dark'}
        The theme.
    """
    asked = tuple(name for name in (chosen or names) if name in facts.graph)
    steps = marking.falling(facts.graph, asked)
    part = facts.graph.part(steps)
    arcs = part.reduced() if reduce else part
    place = {name: at for at, name in enumerate(steps)}
    called = _called(steps, labels)
    reasons = {
        name: "asked for" if name in asked and not part.dependencies(name) else _reason(part, arcs, name, called)
        for name in steps
    }
    longest = max((place[one.dependency] - place[one.dependent] for one in arcs.edges), default=0)
    room = 0.0 if not arcs.edges else min(_ARCS, max(_FEWEST, 14 + 5 * longest))
    number = room + 8 + svg.text_width(str(len(steps)))
    name_at = number + 10
    reason_at = name_at + max((svg.text_width(called[name]) for name in steps), default=0) * 1.05 + 24
    most = max(_NARROW, WIDEST - reason_at - _VERDICT - 14)
    reasons = {name: svg.fitting(reason, most) for name, reason in reasons.items()}
    verdict_at = reason_at + max((svg.text_width(reasons[name]) for name in steps), default=0) + 14
    width = verdict_at + _VERDICT
    marks = marking.Marks(tuple(asked) if chosen else (), steps if chosen else (), frozenset())
    words = {node_id(name): marking.words_of(facts, name, marks) for name in steps}
    body = [
        f'<rect class="band" x="{svg.number(room)}" y="{_ROW * at}" width="{svg.number(width - room)}"'
        f' height="{_ROW}"/>'
        for at in range(0, len(steps), 2)
    ]
    for at, name in enumerate(steps):
        y = _ROW * at + 14.5
        status = facts.graph.statuses[name]
        aside = "" if status == "applied" else f" ({theme.STATUS.get(status, status)})"
        cells = (
            f'<rect class="row" x="{svg.number(room)}" y="{_ROW * at}" width="{svg.number(width - room)}"'
            f' height="{_ROW}"/>'
            + svg.text(number, y, str(at + 1), cls="quiet", anchor="end")
            + svg.text(name_at, y, called[name] + aside, cls="strong" if name in marks.chosen else "")
            + svg.text(reason_at, y, reasons[name])
            + _verdict(facts, name, verdict_at, y)
        )
        kind = f"node plain step {status}{' chosen' if name in marks.chosen else ''}"
        body.append(svg.group(kind, cells, name=name, title=_title(facts, part, name, words[node_id(name)])))
    body += [_arc(one, place[one.dependent], place[one.dependency], room) for one in arcs.edges]
    return svg.framed(
        "".join(body),
        width,
        _ROW * len(steps),
        heading=_heading(facts, asked, steps, arcs=arcs, part=part, marks=marks),
        label=f"Plan: {svg.count(len(steps), 'step')}",
        look=look,
        words=words,
        names={node_id(name): name for name in steps},
        edges=[(one.dependent, one.dependency) for one in arcs.edges],
    )


def _called(steps: Sequence[str], labels: str) -> dict[str, str]:
    if labels == "full" or (labels == "auto" and all(len(name) <= _NAME for name in steps)):
        return {name: one_line(name) for name in steps}
    return {name: one_line(short) for name, short in short_names(steps, longest=_NAME).items()}


def _reason(part: DependencyGraph, arcs: DependencyGraph, name: str, called: dict[str, str]) -> str:
    """Why a step falls, in one line: an object and whose it is; the arcs that are drawn first."""
    near = [*arcs.dependencies(name), *(one for one in part.dependencies(name))]
    edges = [edge for base in dict.fromkeys(near) if (edge := part.edge(name, base)) is not None]
    if not edges:
        return ""
    # an object says more than a schema, and both more than a bare declaration
    best = min(edges, key=lambda edge: (not edge.reasons, edge.schema_only))
    base = cut(called[best.dependency], 28)
    what = f"{cut(one_line(best.reasons[0]), _REASON)} of {base}" if best.reasons else f"declared: {base}"
    more = max(0, len(best.reasons) - 1) + best.more + len(edges) - 1
    return what + (f" +{more}" if more else "")


def _title(facts: GraphFacts, part: DependencyGraph, name: str, words: str) -> str:
    """All reasons of a step."""
    lines = [words]
    for base in part.dependencies(name):
        edge = part.edge(name, base)
        if edge is not None:
            lines.append(f"depends on {one_line(base)} ({one_line(edge.because)})")
    tables = facts.tables.get(name, ())
    return "\n".join([*lines, *([f"touches {', '.join(map(one_line, tables))}"] if tables else [])])


def _verdict(facts: GraphFacts, name: str, x: float, y: float) -> str:
    """Sign and word; what has no rollback says that first."""
    if name in facts.bare:
        return svg.text(x, y, "✗ no rollback SQL", cls="sign-bad")
    verdict = facts.verdicts.get(name)
    if verdict is None:
        return ""
    sign, word, cls = theme.VERDICTS.get(verdict, ("?", verdict, "sign-careful"))
    return svg.text(x, y, f"{sign} {word}", cls=cls)


def _arc(one: Edge, upper: int, lower: int, room: float) -> str:
    """From the row of a step down to the row of what it depends on."""
    start, end = _ROW * upper + 13, _ROW * lower + 7
    deep = min(room - 8, 8 + 5 * (lower - upper)) * 1.3
    x = room - 3
    path = f"M{x:.1f},{start}C{x - deep:.1f},{start} {x - deep:.1f},{end} {x:.1f},{end}"
    head = f"{x + 2:.1f},{end} {x - 5:.1f},{end - 3} {x - 5:.1f},{end + 3}"
    return svg.edge(one, path, head=head)


def _heading(
    facts: GraphFacts,
    asked: Sequence[str],
    steps: Sequence[str],
    *,
    arcs: DependencyGraph,
    part: DependencyGraph,
    marks: marking.Marks,
) -> list[str]:
    what = one_line(asked[0]) if len(asked) == 1 else svg.count(len(asked), "migration")
    lines = [f"Plan of {what}: {svg.count(len(steps), 'step')}, dependents first"]
    parts = [svg.count(len(arcs.edges), "dependency", "dependencies")]
    if len(part.edges) > len(arcs.edges):
        parts.append(marking.followed(len(part.edges) - len(arcs.edges)))
    gone = set(facts.graph.resting_on(*asked)) - set(steps)
    if gone:
        parts.append(
            svg.count(len(gone), "more depends on it and is", "more depend on it and are") + " rolled back already"
        )
    lines.append("; ".join(parts))
    if marks.chosen:
        full = marking.Marks.of(facts.graph, asked)
        lines.append(full.sentence(facts)[:1].upper() + full.sentence(facts)[1:])
    if facts.not_looked:
        lines.append(marking.not_looked(facts))
    return [*lines, *facts.remarks]
