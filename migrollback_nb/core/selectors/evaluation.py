"""What terms mean together: or, and, what depends on it and what it depends on. Pure; others fetch the facts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import inf

from migrollback_nb.core.selectors.grammar import Alternatives, Term

#: The migrations of a term by itself.
Base = Callable[[Term], Collection[str]]
#: From these, this many dependencies far, to dependents or to dependencies: what is reached, they included.
Reach = Callable[[Collection[str], bool, float], set[str]]


def evaluate(parsed: Sequence[Alternatives], base: Base, reach: Reach) -> set[str]:
    """The migrations that several selectors mean, any of them.

    Parameters
    ----------
    parsed : sequence
        As `grammar.parse` reads them.
    base : callable
        Gives the migrations of a term, without what depends on them or they depend on.
    reach : callable
        Gives what is reached from some; True: their dependents, False: what they depend on.
    """
    found: set[str] = set()
    for alternatives in parsed:
        for terms in alternatives:
            found |= set.intersection(*(_of_term(term, base, reach) for term in terms))
    return found


def _of_term(term: Term, base: Base, reach: Reach) -> set[str]:
    start = set(base(term))
    found = set(start)
    if term.after and start:
        found |= reach(start, True, term.after)
    if term.before and start:
        found |= reach(start, False, term.before)
    return found


def reach_by(steps: Callable[[Collection[str]], Collection[str]], start: Collection[str], depth: float) -> set[str]:
    """What is reached in this many steps, a step for all at once; they included."""
    found = set(start)
    front = set(start)
    while front and depth > 0:
        front = set(steps(front)) - found
        found |= front
        depth = depth if depth == inf else depth - 1
    return found
