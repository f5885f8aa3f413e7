"""A selector, closed over what depends on what it means: what its rollback takes, in order. Does not write."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core.dependency_graph import DependencyGraph
from migrollback_nb.core.errors import Refused, UsageError
from migrollback_nb.core.results.assessment import Assessment
from migrollback_nb.core.results.check import Plan
from migrollback_nb.core.results.selection import ClosedSelection
from migrollback_nb.core.selectors import grammar
from migrollback_nb.core.text import first_few
from migrollback_nb.operations.selection import select as find

if TYPE_CHECKING:
    from migrollback_nb.database import Database


def close_over(
    database: Database,
    select: str | Sequence[str],
    exclude: str | Sequence[str] | None = None,
    *,
    folder: Path | None = None,
) -> ClosedSelection:
    """Find what a selector means and all that must be rolled back with it. Does not write.

    Raises
    ------
    MigrationNotFound, UsageError
        When it is not understood, or names what is not there; when it asks for what a migration depends on.
    Refused
        When what is excluded depends on what is selected.
    DependencyError
        When dependencies form a cycle.
    """
    found = find(database, select, exclude, folder=folder)
    for term in found.terms:
        if term.before:
            raise UsageError(
                f"{term.text} asks for what is depended on, and a rollback takes what depends on it",
                hint=f"Write {term.text[term.text.index('+') + 1 :]}: what depends on it goes with it by itself."
                f" migrollback history --select {shlex.quote(term.text)} shows what it depends on.",
            )
    statuses, edges = database.selectors.dependents_of(found.names)
    selected = tuple(name for name in found.names if statuses[name] != "rolled_back")
    steps = DependencyGraph(statuses, edges).falling(*selected) if selected else ()
    if exclude is not None and (unwanted := set(find(database, exclude, folder=folder).names).intersection(steps)):
        names = [name for name in steps if name in unwanted]
        raise Refused(
            f"{first_few(names)} {'is' if len(names) == 1 else 'are'} excluded, and depend"
            f"{'s' if len(names) == 1 else ''} on what is selected: it would have to go first",
            dependents=tuple(names),
            hint="Exclude what it depends on too, or leave it in.",
        )
    return ClosedSelection(
        select=grammar.texts_of(select),
        exclude=() if exclude is None else grammar.texts_of(exclude),
        selected=selected,
        steps=steps,
        rolled_back=tuple(name for name in found.names if statuses[name] == "rolled_back"),
        remarks=found.remarks,
    )


def plan_of(database: Database, closed: ClosedSelection) -> Plan:
    """The plan of what a selector means. Does not write.

    Raises
    ------
    UsageError
        When nothing of it is applied.
    """
    if not closed.steps:
        raise UsageError(
            f"Nothing that is applied is selected by {' '.join(closed.select)}",
            hint="migrollback history --select shows what is selected, with its status.",
        )
    return Plan(
        migration_name=closed.steps[-1],
        steps=closed.steps,
        assessment=Assessment.from_row(closed.steps[-1], database.queries.assess(closed.steps)),
        dependents_looked_for=database.dependencies.dependents_looked_for(closed.selected[0]),
        closed=closed,
    )
