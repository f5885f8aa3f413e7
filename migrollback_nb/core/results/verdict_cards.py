"""The verdict card of each answer: of an assessment, a check, a preview, a rehearsal, and of its event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.results.assessment import HARMS, LOSSES, Assessment, Effect, effects_of
from migrollback_nb.core.results.card import CardLine, VerdictCard, few
from migrollback_nb.core.results.card_steps import steps_known, steps_of
from migrollback_nb.core.results.lock_modes import blocks, manual_mode, strength
from migrollback_nb.core.text import counted

if TYPE_CHECKING:
    from migrollback_nb.core.results.foreseen import Foreseen

#: SQLSTATE of a statement that was cancelled, by a person or by a time limit.
CANCELED = "57014"


def card_of(answer: Any) -> VerdictCard | None:
    """The card of an Assessment, CheckResult, Preview or Rehearsal; None where it knows no verdict."""
    # not named as types: these show themselves by this
    if isinstance(answer, Assessment):
        return _of_assessment(answer, (answer.migration_name,))
    if hasattr(answer, "failure"):
        return card_of_rehearsal(answer)
    if answer.assessment is None:
        return None
    steps: tuple[tuple[str, str], ...] = getattr(answer, "steps", ())
    names = tuple(name for name, _ in steps) or (answer.migration_name,)
    return _of_assessment(answer.assessment, names, foreseen=getattr(answer, "foreseen", None))


def best_card(checked: Any, preview: Any, rehearsed: Any) -> VerdictCard | None:
    """Of a CheckResult, Preview and Rehearsal of one choice the card that counts; each may be None.

    That no rule allows it counts most, then the rehearsal, the preview, the check.
    """
    blocked = checked is not None and not checked.can_rollback
    order = (checked, rehearsed, preview) if blocked else (rehearsed, preview, checked)
    return next((card for found in order if found is not None and (card := card_of(found)) is not None), None)


def card_of_rehearsal(rehearsed: Any) -> VerdictCard:
    """The card of a Rehearsal: what it did, whose it was, what broke, which lock lasted."""
    names = tuple(name for name, _ in rehearsed.steps)
    known, failure = rehearsed.assessment, rehearsed.failure
    effects = known.effects if known is not None else rehearsed.effects
    lines = [
        *_blocked(known),
        *_harms(effects),
        *_line("May break", map(str, (one for one in rehearsed.broken if not one.certain))),
        *_line("Not undone", map(str, rehearsed.not_undone)),
        *_line("Skipped", rehearsed.skipped),
        *_line("Drops", _objects(rehearsed, "dropped")),
        *_line("Changes", _objects(rehearsed, "changed")),
        *_line("Creates", (f"{change.kind} {change.identity}" for change in rehearsed.diff.created)),
        *_line("Longest lock", _longest(rehearsed.longest_locks)),
        *_line("Others waited", map(str, (one for one in rehearsed.sessions if one.waits))),
        *_line("Standbys wait", rehearsed.replicas),
        *_line("Time", _time(rehearsed.duration_ms, len(rehearsed.statements), f"rehearsed {rehearsed.where}, undone")),
        *_line("Note", (*rehearsed.warnings, *rehearsed.remarks)),
        *_line("Proof", [known.proof] if known is not None and known.proof else []),
    ]
    card = _of_assessment(known, names, lines) if known is not None else _of_lines(names, lines)
    if failure is None and rehearsed.unchanged:
        changed = "The SQL runs, but changes nothing: look at its object names and at the search_path"
        card = replace(card, verdict="harms", headline=changed, mark="⚠️", style=html.CAREFUL)
    if failure is not None:
        card = _failed(card, failure.sqlstate, failure.message, failure.lines(), passing=failure.passing)
    return replace(card, steps=steps_of(rehearsed)) if len(names) > 1 else card


def card_of_event(
    name: str, details: Mapping[str, Any], assessment: Assessment | None = None, *, ended: str = "rehearsed"
) -> VerdictCard:
    """The card of a rehearsal as the audit log keeps it.

    Parameters
    ----------
    name : str
        The migration of the event.
    details : mapping
        Of the event `rehearsed`.
    assessment : Assessment, optional
        What is known of the rollback now, where that comes from this rehearsal.
    ended : str
        Before "on the target itself": that it was rehearsed, and when.
    """
    names = tuple(details.get("chain") or (name,))
    message = str(details.get("message") or "").removeprefix("Rehearsal: ")
    stopped = details.get("outcome") == "stopped"
    locks = sorted(details.get("locks") or (), key=lambda lock: -(lock.get("held_ms") or 0))
    strong = [lock for lock in locks if strength(lock["mode"]) >= 5 and lock.get("kind") not in ("i", "I", "index")]
    counts = details.get("changes") or {}
    lines = [
        *_harms(effects_of(details.get("effects") or ())),
        *_line("Schema", [", ".join(f"{number:,} {what}" for what, number in counts.items())] if counts else []),
        *_line("Longest lock", _longest_of([(lock["relation"], lock["mode"], lock.get("held_ms")) for lock in strong])),
        *_line(
            "Time", _time(details.get("duration_ms"), 0, f"{ended} {details.get('where') or 'on the target itself'}")
        ),
    ]
    card = _of_lines(names, lines) if assessment is None else _of_assessment(assessment, names, lines)
    if details.get("success") is True:
        return card
    code = str(details.get("sqlstate") or "")
    passing = stopped or code[:2] in ("57", "55", "40") or not code
    return _failed(card, code, message, (), passing=passing)


def _of_assessment(
    known: Assessment,
    names: Sequence[str],
    lines: Iterable[CardLine] | None = None,
    *,
    foreseen: Foreseen | None = None,
) -> VerdictCard:
    if lines is None:
        proof = [known.proof] if known.proof else []
        lines = [
            *_blocked(known),
            *_harms(known.effects),
            *_approvals(known),
            *_line("Locks", known.locks),
            *_line("Proof", proof),
        ]
    return VerdictCard(
        names=tuple(names),
        verdict=known.verdict,
        headline=known.headline,
        mark=known.mark,
        style=known.style,
        lines=tuple(lines),
        steps=steps_known(names, known, foreseen) if len(names) > 1 else (),
    )


def _of_lines(names: tuple[str, ...], lines: Sequence[CardLine]) -> VerdictCard:
    """Of a rehearsal that got to its end, by what it found."""
    harms = [line for line in lines if line.harm is not None]
    said = "; ".join(f"{line.label.lower()} {few(line.texts, 1)[0]}" for line in harms[:2])
    more = f"; and {len(harms) - 2} more kinds of harm" if len(harms) > 2 else ""
    loses = any(line.harm in LOSSES for line in harms)
    return VerdictCard(
        names=names,
        verdict="loses" if loses else "harms" if harms else "ready",
        headline=f"Would succeed; {said}{more}" if harms else "Would succeed, and lose nothing",
        mark="⚠️" if harms else "✅",
        style=html.BAD if loses else html.CAREFUL if harms else html.GOOD,
        lines=tuple(lines),
    )


def _failed(card: VerdictCard, sqlstate: str, message: str, lines: Sequence[str], *, passing: bool) -> VerdictCard:
    """A card of a rehearsal that did not get to its end: of what passes by itself, nothing is known."""
    why = _line("Because", ["\n".join(lines)] if lines else [])
    if passing:
        ended = "ended before its end" if sqlstate == CANCELED else "it did not get to its end"
        said = message.removeprefix("it did not get to its end: ").removeprefix("Not known: ")
        headline = f"Cancelled or {ended}: nothing is known" if sqlstate == CANCELED else f"Not known, {ended}: {said}"
        return replace(
            card, verdict="unknown", headline=headline, mark="❔", style=html.CAREFUL, lines=(*why, *card.lines)
        )
    said = message.removeprefix("the rollback would fail: ")
    return replace(
        card,
        verdict="fails",
        headline=f"Would fail: {said}",
        mark="❌",
        style=html.BAD,
        lines=(*why, *card.lines),
    )


# -- the lines -----------------------------------------------------------------------------------------------------


def _line(label: str, texts: Iterable[str], harm: str | None = None) -> tuple[CardLine, ...]:
    found = tuple(texts)
    return (CardLine(label=label, texts=found, harm=harm),) if found else ()


def _blocked(known: Assessment | None) -> tuple[CardLine, ...]:
    more = [] if known is None else [text for text in known.blockers if text != known.headline]
    return _line("Blocked by", more)


def _approvals(known: Assessment | None) -> tuple[CardLine, ...]:
    return () if known is None or known.approvals is None else _line("Approvals", [known.approvals.line])


def _harms(effects: Iterable[Effect]) -> list[CardLine]:
    """A line for each kind of effect, the worst first; locks have lines of their own."""
    of_kind: dict[str, list[Effect]] = {}
    for effect in effects:
        if effect.effect in HARMS:
            kind = "overwrites" if effect.is_overwriting else effect.effect
            of_kind.setdefault(kind, []).append(effect)
    order = ["loses_rows", "loses_values", "overwrites", *HARMS]
    found = sorted(of_kind, key=order.index)
    return [
        CardLine(
            label="Overwrites" if kind == "overwrites" else HARMS[kind],
            texts=tuple(effect.of_what for effect in _largest(of_kind[kind])),
            harm=kind,
        )
        for kind in found
    ]


def _largest(effects: Sequence[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda one: -(one.rows if one.rows is not None else 1 << 62))


def _objects(rehearsed: Any, change: str) -> list[str]:
    """What goes or changes and whose it is; parts of a whole that goes are counted with it."""
    main = {(one.kind, one.identity) for one in rehearsed.diff.main}
    own = {name for name, _ in rehearsed.steps}
    wanted = ("changed", "reordered") if change == "changed" else (change,)
    impacts = [
        one
        for one in rehearsed.impacts
        if one.change.change in wanted and (one.change.kind, one.change.identity) in main
    ]
    parts: dict[str | None, int] = {}
    for one in rehearsed.diff.changes:
        if one.change == change:
            parts[one.parent] = parts.get(one.parent, 0) + 1
    return [_object_words(one, parts.get(one.change.identity, 0), own) for one in sorted(impacts, key=_rank)]


def _rank(impact: Any) -> tuple[bool, bool]:
    return (not impact.foreign, not impact.alarming)


def _object_words(impact: Any, parts: int, own: set[str]) -> str:
    words = f"{impact.change.kind} {impact.change.identity}"
    if parts and impact.change.change == "dropped":
        words += f" with {parts} of its parts"
    if impact.made_by is None:
        words += ", not known which migration made it"
    elif impact.made_by[0] not in own:
        words += f", made by {impact.made_by[0]}"
    if impact.change.change == "dropped" and not impact.named:
        words += ", not named by the SQL"
    return words


def _longest(locks: Sequence[Any]) -> list[str]:
    return _longest_of([(lock.relation, lock.mode, lock.held_ms) for lock in locks])


def _longest_of(locks: Sequence[tuple[str, str, float | None]]) -> list[str]:
    if not locks:
        return []
    relation, mode, held = locks[0]
    time = "" if held is None else f" for {held:,.1f} ms"
    others = f"; {len(locks) - 1:,} more relations are locked" if len(locks) > 1 else ""
    if len(locks) == 2:
        others = "; 1 more relation is locked"
    return [f"{manual_mode(mode)} on {relation}{time}: {blocks(mode)}{others}"]


def _time(ms: Any, statements: int, where: str) -> list[str]:
    took = f"{ms:,.1f} ms" if isinstance(ms, int | float) else ""
    if took and statements:
        took += f" for {counted(statements, 'statement')}"
    said = "; ".join(part for part in (took, where) if part)
    return [said] if said else []
