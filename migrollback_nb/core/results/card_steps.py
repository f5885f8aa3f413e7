"""Several migrations as one table: a row each with what it loses, takes and locks, and totals. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.results.assessment import HARMS, Assessment, Effect

if TYPE_CHECKING:
    from migrollback_nb.core.results.foreseen import Foreseen

_CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0;white-space:normal;overflow-wrap:anywhere"
_NUMBER = "text-align:right;vertical-align:top;padding:.1em 0 .1em 1.2em;white-space:nowrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardStep:
    """One migration of several: a row of the card's table."""

    migration_name: str | None  #: the migration; None: what is not known by which of them it is done
    verdict: str  #: of it alone, as far as is known which of them does what
    rows_lost: int | None = 0  #: rows and values that go or do not come back; None: an unknown number
    estimated: bool = False  #: rows_lost is what the statistics say
    others: int = 0  #: objects of other migrations that it takes
    ms: float | None = None  #: how long its SQL ran, in milliseconds
    locks: int | None = None  #: relations that it locks so that others wait; None: not known


def steps_of(rehearsed: Any) -> tuple[CardStep, ...]:
    """What each of several migrations did in a Rehearsal of all of them."""
    known = rehearsed.assessment
    effects = known.effects if known is not None else rehearsed.effects
    ms: dict[str, float] = {}
    for statement in rehearsed.statements:
        if statement.ms is not None:
            ms[statement.migration_name] = ms.get(statement.migration_name, 0) + statement.ms
    makers = {one.change.identity: one.made_by[-1] for one in rehearsed.impacts if one.made_by}
    locked = {lock.relation: lock.migration_name for lock in rehearsed.longest_locks}
    names = [name for name, _ in rehearsed.steps]
    return _steps(names, effects, _Traces(ran=rehearsed.success, ms=ms, makers=makers, locked=locked), known)


def steps_known(names: Sequence[str], known: Assessment, foreseen: Foreseen | None = None) -> tuple[CardStep, ...]:
    """What is known of each of several migrations before they were rehearsed together."""
    locked = {} if foreseen is None else {lock.relation: lock.migration_name for lock in foreseen.locks}
    return _steps(names, known.effects, _Traces(locked=locked, locks_known=foreseen is not None), known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traces:
    """By what a rehearsal tells which of several migrations did something."""

    ran: bool = False  #: all of them ran
    locks_known: bool = True  #: which relations are locked is known, or foreseen
    ms: Mapping[str, float] = field(default_factory=dict)  #: migration -> how long its SQL ran
    makers: Mapping[str, str] = field(default_factory=dict)  #: object -> migration that made or changed it last
    locked: Mapping[str, str] = field(default_factory=dict)  #: relation -> migration that locked it

    def step_of(self, effect: Effect, steps: Sequence[str]) -> str | None:
        """Which of these does it: whose object it is, else who locks it; None: that is not known."""
        table = effect.identity.rpartition(".")[0]
        places = (
            self.makers.get(effect.identity),
            self.locked.get(effect.identity),
            self.makers.get(table),
            self.locked.get(table),
        )
        return next((name for name in places if name in steps), None)


def _steps(
    names: Sequence[str], effects: Sequence[Effect], traces: _Traces, known: Assessment | None
) -> tuple[CardStep, ...]:
    by_step: dict[str | None, list[Effect]] = {name: [] for name in names}
    for effect in effects:
        if effect.effect in HARMS:
            by_step.setdefault(traces.step_of(effect, names), []).append(effect)
    locks = Counter(traces.locked.values())
    blocked = {text.partition(": ")[0] for text in (known.blockers if known is not None else ())}
    return tuple(
        CardStep(
            migration_name=name,
            verdict="blocked" if name in blocked else _verdict(own, ran=traces.ran),
            rows_lost=None if any(one.rows is None for one in losses) else sum(one.rows or 0 for one in losses),
            estimated=any(one.estimated for one in losses),
            others=sum(one.effect == "takes_other" for one in own),
            ms=traces.ms.get(name or ""),
            locks=locks[name or ""] if traces.locks_known else None,
        )
        for name, own in by_step.items()
        for losses in [[one for one in own if one.is_loss and not one.is_overwriting]]
    )


def _verdict(effects: Sequence[Effect], *, ran: bool) -> str:
    if any(one.is_loss for one in effects):
        return "loses"
    if any(one.effect == "takes_other" for one in effects):
        return "takes_others"
    return "harms" if effects else "ready" if ran else "not_rehearsed"


def done_steps(results: Sequence[Any], planned: Sequence[CardStep] = ()) -> tuple[CardStep, ...]:
    """Each of several RollbackResults, beside what was known of it when it began."""
    known = {step.migration_name: step for step in planned}
    done = []
    for result in results:
        step = known.get(result.migration_name) or CardStep(
            migration_name=result.migration_name, verdict="", locks=None
        )
        verdict = "changed nothing" if result.unchanged else "rolled back" if result.success else "not rolled back"
        done.append(replace(step, verdict=verdict, ms=result.duration_ms))
    return tuple(done)


def steps_html(steps: Sequence[CardStep]) -> str:
    """Several migrations as one table, a row each, with totals."""
    head = "".join(
        f'<th scope="col" style="{_CELL if place < 3 else _NUMBER}">{html.escape(words)}</th>'
        for place, words in enumerate(
            ("#", "Migration", "Verdict", "Rows lost", "Others' objects", "Time (ms)", "Locks")
        )
    )
    body = "".join(
        _row(
            "" if step.migration_name is None else str(number),
            step.migration_name or "not known by which of them",
            step.verdict.replace("_", " "),
            _rows(step.rows_lost, step.estimated),
            f"{step.others:,}",
            "-" if step.ms is None else f"{step.ms:,.1f}",
            "-" if step.locks is None else f"{step.locks:,}",
        )
        for number, step in enumerate(steps, 1)
    )
    known = [step.ms for step in steps if step.ms is not None]
    locks = [step.locks for step in steps if step.locks is not None]
    lost = None if any(step.rows_lost is None for step in steps) else sum(step.rows_lost or 0 for step in steps)
    total = _row(
        "",
        f"{sum(step.migration_name is not None for step in steps):,} migrations",
        "",
        _rows(lost, any(step.estimated for step in steps)),
        f"{sum(step.others for step in steps):,}",
        f"{sum(known):,.1f}" if known else "-",
        f"{sum(locks):,}" if locks else "-",
        weight="font-weight:600;border-bottom:1px solid #808080",
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{total}{body}</tbody></table>"


def _row(*cells: str, weight: str = "") -> str:
    return (
        "<tr>"
        + "".join(
            f'<td style="{_CELL if place < 3 else _NUMBER};{weight}">{html.escape(text)}</td>'
            for place, text in enumerate(cells)
        )
        + "</tr>"
    )


def _rows(count: int | None, estimated: bool) -> str:
    return "not known" if count is None else f"{'~' if estimated else ''}{count:,}"
