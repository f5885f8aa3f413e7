"""The errors of what may not run or is not there: why, and what leads on. Does not write."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import MigrationNotFound, Refused, UsageError, first_of_all
from migrollback_nb.core.selectors.near import close_to, near

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.database.session import Row


def refusal(
    database: Database, names: Sequence[str], name: str, reason: str, *, hint: str | None = None, result: object = None
) -> Refused:
    """Build the error of a rollback that the database refused. Does not write.

    Parameters
    ----------
    database : Database
        Where it was refused.
    names : sequence of str
        The migrations that were to be rolled back, in order.
    name : str
        The one that was refused.
    reason : str
        As the database words it.
    hint : str, optional
        What to do next, where it is known already.
    result : object, optional
        The result that says so, for programs; by default none.
    """
    dependents: tuple[str, ...] = ()
    hints = [f"It must be rolled back before {names[-1]}."] if name != names[-1] else []
    with suppress(Exception):  # whatever it is: the refusal counts, with or without what leads on
        check = database.queries.can_rollback(name)
        dependents = tuple(check["dependent_migrations"])
        if hint is None and dependents:
            hints += dependent_lines(database.dependencies.dependent_objects(name))
            hints.append(first_of_all(dependents))
        elif hint is None and check["reason"] == reason and (row := database.queries.find(name)) is not None:
            hints += _fix(name, row["status"], row["rollback_sql"])
    if hint is not None:
        hints.append(hint)
    with suppress(Exception):  # the ledger may know better than the status, and an operator may not ask it
        hints += [row["warning"] for row in database.queries.ledger_findings([name])]
    return Refused(
        reason,
        migration_name=name,
        asked=names[-1],
        dependents=dependents,
        hint="\n".join(hints) or None,
        result=result,
    )


def dependent_lines(rows: Sequence[Row]) -> Sequence[str]:
    """Whose objects stand in the way, a line for each of the first three; pure.

    Parameters
    ----------
    rows : sequence of dict
        Of migration_dependent_objects().
    """
    lines = []
    for row in rows[:3]:
        what, name = row["objects"], row["migration_name"]
        if not what:
            because = f" ({row['because']})" if row["because"] else ""
            lines.append(f"{name} depends on it{because}: roll that back first, or --chain")
            continue
        others = len(what) - 1
        made = f"{what[0]} and {others} more were made" if others > 1 else f"{what[0]} was made"
        lines.append(f"{made} by {name}: roll that back first, or --chain")
    return lines


def _fix(name: str, status: str, rollback_sql: str | None) -> Sequence[str]:
    quoted = shlex.quote(name)
    if status == "failed":
        return [
            f"It is still applied, unless a person undid it since. Fix its rollback SQL, then: migrollback register"
            f" {quoted}, and migrollback resolve {quoted} --as applied --reason TEXT. Once it is undone by hand:"
            " --as rolled_back"
        ]
    if status == "applied" and not (rollback_sql or "").strip():
        return [f"migrollback template {quoted} suggests it. Add it to the file, then: migrollback register {quoted}"]
    return []


def not_found(database: Database, name: str) -> MigrationNotFound | Refused:
    """Build the error of a migration that is not registered, with names that come close. Does not write."""
    with suppress(Exception):  # it is not there, whatever else is known of it
        if half := database.lookups.half_applied(name):
            return Refused(half[0]["remark"], migration_name=name)
    similar: tuple[str, ...] = ()
    with suppress(Exception):  # it is not there, whether or not the others can be listed
        similar = near(name, database.queries.names())
    return MigrationNotFound(name, similar=similar)


def applied_of_deploy(database: Database, label: str) -> tuple[str, ...]:
    """What the newest deploy of a label brought and is still applied, in rollback order. Does not write.

    Raises
    ------
    UsageError
        When there is none of this label.
    """
    try:
        return tuple(database.queries.migrations_of_deploy(label))
    except UsageError:
        raise no_deploy(database, label) from None


def no_deploy(database: Database, label: str) -> UsageError:
    """Build the error of a label that no deploy has, with those that come close. Does not write."""
    lists = "migrollback deploys lists them."
    hint = close_to(label, (deploy["label"] for deploy in database.queries.deploys()))
    return UsageError(f"There is no deploy {label}", hint=lists if hint is None else f"{hint} {lists}")
