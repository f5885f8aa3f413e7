"""Which migrations are rolled back together: names, a range, a deploy, a selection; their order. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from migrollback_nb.core import results
from migrollback_nb.core.errors import MigrationNotFound, Refused, UsageError
from migrollback_nb.core.results.assessment import Assessment
from migrollback_nb.core.results.selection import Range
from migrollback_nb.core.times import iso_time, read_time
from migrollback_nb.operations.preview import newest_deploy, plan, stem
from migrollback_nb.operations.rejection import applied_of_deploy, not_found

if TYPE_CHECKING:
    from migrollback_nb.core.results import ClosedSelection, NothingToRollBack, Plan
    from migrollback_nb.core.times import When
    from migrollback_nb.database import Database


class RangeOptions(TypedDict, total=False):
    """What is meant, besides names, as `asked` takes it."""

    deploy: str | None
    to: str | None
    last: int | None
    since: When | None
    select: str | Sequence[str] | None
    exclude: str | Sequence[str] | None
    chain: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The migrations of a range."""

    range: Range  #: what was asked for
    steps: tuple[str, ...]  #: they, in the order of their rollback; none where nothing of it is applied
    closed: ClosedSelection | None = None  #: of a selection, what it means
    begun: tuple[str, ...] = ()  #: of an attempt that began before: all that it began with


def asked(
    name: str | Sequence[str] | None = None,
    *,
    to: str | None = None,
    last: int | None = None,
    since: When | None = None,
    deploy: str | None = None,
    select: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    chain: bool = False,
) -> Range:
    """What is asked for, as one value; pure.

    Raises
    ------
    UsageError
        When it is nothing, or two things at once, or a number or a time is none.
    """
    ranges: dict[str, Any] = {"to": to, "last": last, "since": since, "deploy": deploy, "select": select}
    given = [key for key, value in ranges.items() if value is not None]
    if name is not None and given:
        if given == ["select"]:
            raise UsageError("A selector goes alone", hint="Give it without a name and without a deploy.")
        if given == ["deploy"]:
            raise UsageError("A deploy is rolled back as a whole", hint="Give its label alone, or a name.")
        raise UsageError(f"Names and {given[0]} exclude each other", hint="Give the names, or the range.")
    if len(given) > 1:
        if "select" in given:
            raise UsageError("A selector goes alone", hint="Give it without a name, a range and a deploy.")
        raise UsageError(f"{' and '.join(given)} exclude each other", hint="Give one of them.")
    if exclude is not None and select is None:
        raise UsageError("What is excluded is of a selection", hint="Give a selector too.")
    if name is None and not given:
        raise UsageError("No migration was named", hint="Name one, several, or a range: to, last, since or deploy.")
    names = (name,) if isinstance(name, str) else tuple(name or ())
    if name is not None and not names:
        raise UsageError("No migration was named", hint="Name one, or several, in any order.")
    if last is not None and (isinstance(last, bool) or not isinstance(last, int) or last < 1):
        raise UsageError(f"The last {last} migrations are none", hint="Give a number of 1 or more.")
    return Range(
        names=tuple(dict.fromkeys(stem(one) for one in names)),
        to=None if to is None else stem(to),
        last=last,
        since=None if since is None else _written(since),
        deploy=deploy,
        select=_texts(select),
        exclude=_texts(exclude),
        chain=chain,
    )


def find(database: Database, range: Range, *, folder: Path | None = None) -> Found:
    """The migrations that are meant, in the order of their rollback. Does not write.

    Parameters
    ----------
    range : Range
        What is asked for.
    folder : Path, optional
        Where the files of those lie that were registered without tags, for a selector.

    Raises
    ------
    MigrationNotFound, UsageError
        When a name, a label or a selector means nothing.
    Refused
        When the migration that is to stay is not registered, or rolled back.
    DependencyError
        When dependencies form a cycle.
    """
    if range.select:
        from migrollback_nb.operations.closure import close_over

        closed = close_over(database, range.select, range.exclude or None, folder=folder)
        return Found(range=range, steps=closed.steps, closed=closed)
    if range.is_one:
        name = range.names[0]
        return Found(range=range, steps=plan(database, name).steps if range.chain else (name,))
    if range.deploy is not None and not range.chain and not database.session.rights.through_gate:
        return Found(range=range, steps=applied_of_deploy(database, range.deploy))
    try:
        return Found(range=range, steps=database.selectors.of_range(range, since=_since(range)))
    except MigrationNotFound as error:
        unknown = not_found(database, error.name)
        # a range is no name of what goes: nothing is missing, and it is refused
        raise Refused(
            f"{unknown.message}: there is no going back to it", migration_name=range.to, hint=unknown.hint
        ) from None


def plan_of(database: Database, found: Found) -> Plan | NothingToRollBack:
    """The plan of a range: its order, and what is known of rolling back all of it. Does not write."""
    steps = found.steps
    if not steps:
        return nothing_in(database, found)
    alone = database.session.rights.only_gate  # and may not ask when dependents were looked for
    return results.Plan(
        migration_name=steps[-1],
        steps=steps,
        assessment=Assessment.from_row(steps[-1], database.queries.assess(steps)),
        dependents_looked_for=None if alone else database.dependencies.dependents_looked_for(steps[-1]),
        range=found.range,
    )


def nothing_in(database: Database, found: Found) -> NothingToRollBack:
    """The result of a range of which nothing is applied. Does not write."""
    if found.range.select:
        return results.NothingToRollBack(
            deploy=None, state="rolled back", select=" ".join(found.range.select), range=found.range
        )
    if found.range.deploy is not None:
        state = newest_deploy(database, found.range.deploy)["state"]
        return results.NothingToRollBack(deploy=found.range.deploy, state=state, range=found.range)
    return results.NothingToRollBack(deploy=None, state="nothing applied", range=found.range)


def _since(range: Range) -> Any:
    """The moment or the span that it reaches back to."""
    return None if range.since is None else read_time(range.since)


def _written(since: When) -> str:
    """A time as the audit log keeps it; one that is none is refused."""
    found = read_time(since)
    if isinstance(since, str):
        return since
    return iso_time(found) if isinstance(found, datetime) else f"{ceil(found.total_seconds())}s"


def _texts(selectors: str | Sequence[str] | None) -> tuple[str, ...]:
    from migrollback_nb.core.selectors import grammar

    return () if selectors is None else grammar.texts_of(selectors)
