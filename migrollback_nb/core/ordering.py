"""Order, closure and cycles over migrations and their dependencies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from migrollback_nb.core.errors import DependencyError


def order(depends_on: Mapping[str, Iterable[str]], *, like: Iterable[str] = ()) -> list[str]:
    """Put migrations into an order in which each comes after all that it depends on.

    Parameters
    ----------
    depends_on : mapping of str to iterable of str
        Name -> names that it depends on. Names that are no key are left out: they are someone else's concern.
    like : iterable of str, optional
        The names in the order that is followed where dependencies leave it open; without it that is the order of the
        names themselves.

    Returns
    -------
    list of str
        All keys.

    Raises
    ------
    DependencyError
        For a cycle; ``names`` holds it, the first name again at the end.

    Notes
    -----
    Kahn's algorithm (Communications of the ACM 5, 1962) as in Python's `graphlib`.

    Examples
    --------
    >>> order({"3_c": ["1_a"], "1_a": [], "2_b": ["3_c"]})
    ['1_a', '3_c', '2_b']
    """
    sorter = TopologicalSorter(
        {name: [base for base in bases if base in depends_on] for name, bases in depends_on.items()}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = tuple(reversed(error.args[1]))
        raise DependencyError(
            f"These migrations depend on each other in a cycle: {' -> '.join(cycle)}",
            names=cycle,
            hint="Take one of these -- Depends on: away.",
        ) from None
    import heapq

    places = {name: place for place, name in enumerate(like)}
    ready = sorted((places.get(name, -1), name) for name in sorter.get_ready())
    done: list[str] = []
    while ready:
        _, name = heapq.heappop(ready)
        done.append(name)
        sorter.done(name)
        for freed in sorter.get_ready():
            heapq.heappush(ready, (places.get(freed, -1), freed))
    return done


def rollback_order(
    name: str, edges: Iterable[tuple[str, str]], in_place: Mapping[str, bool], *, like: Iterable[str] = ()
) -> list[str]:
    """The chain: a migration and all that must be rolled back before it, in the order in which they are rolled back.

    Parameters
    ----------
    name : str
        The migration.
    edges : iterable of (str, str)
        (dependent, dependency) for every dependency among those that depend on `name`.
    in_place : mapping of str to bool
        Whether a migration is still applied; those that are rolled back already order the others but are left out.
    like : iterable of str, optional
        The names in the order in which they were applied; without it that is the order of the names themselves.

    Returns
    -------
    list of str
        Dependents first, `name` last; the latest first where the order is open.

    Raises
    ------
    DependencyError
        For a cycle.
    """
    depends_on: dict[str, list[str]] = {name: []}
    for dependent, dependency in edges:
        depends_on.setdefault(dependent, []).append(dependency)
        depends_on.setdefault(dependency, [])
    found = [step for step in reversed(order(depends_on, like=like)) if step != name and in_place.get(step, True)]
    return [*found, name]


def missing(depends_on: Mapping[str, Iterable[str]], known: Iterable[str]) -> dict[str, list[str]]:
    """Name -> names that it depends on and that are not known, in order."""
    have = {*known, *depends_on}
    found = {name: sorted(base for base in bases if base not in have) for name, bases in depends_on.items()}
    return {name: bases for name, bases in found.items() if bases}
