"""What a rollback would run, and in which order: the plan of a chain, and the dry run. Does not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import ordering, results
from migrollback_nb.core.errors import DatabaseError, Refused
from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.results.assessment import Assessment
from migrollback_nb.core.text import first_few
from migrollback_nb.operations.rejection import no_deploy, not_found, refusal
from migrollback_nb.operations.stored_sql import warnings_of

if TYPE_CHECKING:
    from migrollback_nb.core.results import CheckResult, LostRows, Plan, Preview
    from migrollback_nb.core.results.selection import ClosedSelection, Range
    from migrollback_nb.database import Database
    from migrollback_nb.database.gate import RollbackFacts


def check(database: Database, name: str, *, folder: Path | None) -> CheckResult:
    """May this migration be rolled back now? Does not write.

    Raises
    ------
    MigrationNotFound
        When it is not registered.
    """
    row, assessed = database.queries.check_facts(name)
    if not row["found"]:
        error = not_found(database, name)
        if isinstance(error, Refused):  # half applied
            return results.CheckResult(
                migration_name=name,
                can_rollback=False,
                reason=error.reason,
                assessment=Assessment(
                    migration_name=name, verdict="blocked", headline=error.reason, blockers=(error.reason,)
                ),
            )
        raise error
    return results.CheckResult(
        migration_name=name,
        can_rollback=row["can_rollback"],
        reason=row["reason"],
        dependent_migrations=tuple(row["dependent_migrations"]),
        warnings=(*row["warnings"], *warnings_of(database, folder, name, row)),
        assessment=None if assessed is None else Assessment.from_row(name, assessed),
    )


def lost_rows(database: Database, name: str, *, limit: int) -> LostRows:
    """A look at what the rollback of a migration loses. Does not write.

    Raises
    ------
    MigrationNotFound
        When it is not registered.
    """
    found = database.queries.lost_rows(name, limit)
    if not found and database.queries.find(name) is None:
        raise not_found(database, name)
    return results.LostRows.from_rows(name, found)


def assess(database: Database, names: Sequence[str]) -> Assessment:
    """What is known of rolling these migrations back, in this order, before it runs. Does not write.

    Raises
    ------
    MigrationNotFound
        When one is not registered.
    """
    known = database.queries.warnings(names)
    for name in names:
        if name not in known:
            raise not_found(database, name)
    return Assessment.from_row(names[-1], database.queries.assess(names))


def plan(database: Database, name: str) -> Plan:
    """A migration and all that depends on it, in the order of their rollback. Does not write.

    Raises
    ------
    MigrationNotFound, DependencyError
        When it is not registered, or dependencies form a cycle.
    """
    try:
        edges = database.queries.dependents(name)
    except DatabaseError as error:
        if not database.session.rights.lack_but_for_gate(error):
            raise
        return _plan_through_gate(database, name)
    own = database.queries.find(name)
    if own is None:
        raise not_found(database, name)
    statuses = {row["migration_name"]: row["status"] for row in edges} | {name: own["status"]}
    applied_at = {row["migration_name"]: row["applied_at"] for row in edges}
    steps = ordering.rollback_order(
        name,
        ((row["migration_name"], row["depends_on"]) for row in edges),
        {step: status != "rolled_back" for step, status in statuses.items()},
        like=sorted(applied_at, key=lambda step: (applied_at[step], step)),
    )
    return results.Plan(
        migration_name=name,
        steps=tuple(steps),
        statuses={step: statuses[step] for step in steps},
        assessment=Assessment.from_row(name, database.queries.assess(steps)),
        dependents_looked_for=database.dependencies.dependents_looked_for(name),
    )


def _plan_through_gate(database: Database, name: str) -> Plan:
    rows = database.gate.chain(name)
    return results.Plan(
        migration_name=name,
        steps=tuple(row["migration_name"] for row in rows),
        statuses={row["migration_name"]: row["status"] for row in rows},
        assessment=Assessment.from_row(name, rows[-1]["assessed"]),
    )


def preview(
    database: Database,
    names: Sequence[str],
    *,
    folder: Path | None,
    range: Range,
    closed: ClosedSelection | None = None,
    each: bool = False,
) -> Preview:
    """What the rollback of these migrations, in this order, would run. Does not write.

    Parameters
    ----------
    folder : Path, optional
        Where their files are looked for.
    range : Range
        What was asked for, which says what confirms it.
    closed : ClosedSelection, optional
        The selection that they are.
    each : bool
        True: each would run in a transaction of its own, or outside of one.

    Raises
    ------
    Refused
        When a rule forbids it.
    """
    facts = database.facts.of_rollback(names, each=each)
    rows, known = facts.dry_run, facts.known
    if not rows[0]["success"]:
        refused = rows[0]["migration_name"]
        result = check(database, refused, folder=folder)
        raise refusal(database, names, refused, rows[0]["message"], hint=alone(known, refused, names), result=result)
    checks = tuple(
        results.CheckResult(
            migration_name=name,
            can_rollback=True,
            reason=row["message"],
            warnings=(*known[name]["warnings"], *warnings_of(database, folder, name, known[name])),
        )
        for row in rows
        for name in [row["migration_name"]]
    )
    return results.Preview(
        steps=tuple((row["migration_name"], mask_passwords(row["sql_executed"])) for row in rows),
        checks=checks,
        fingerprint=facts.fingerprint,
        target=database.target,
        deploy_ledgers=facts.ledgers,
        deploy=range.deploy,
        closed=closed,
        range=range,
        each=each,
        foreseen=None if facts.foreseen is None else results.Foreseen.from_dict(facts.foreseen),
        assessment=assessment_of(names, facts),
    )


def alone(known: Mapping[str, Mapping[str, Any]], name: str, names: Sequence[str]) -> str | None:
    """What to do where a migration of several runs outside a transaction; None where it does not; pure."""
    if len(names) < 2 or name not in known or not known[name]["nontransactional"]:
        return None
    return (
        "Give --each (each=True): each of them runs in a transaction of its own then, and this one outside of one."
        f" Or one by one, in this order: {first_few(names, 20)}"
    )


def assessment_of(names: Sequence[str], facts: RollbackFacts) -> Assessment | None:
    """The assessment among what is known of a rollback; pure."""
    return None if facts.assessment is None else Assessment.from_row(names[-1], facts.assessment)


def newest_deploy(database: Database, label: str) -> dict[str, Any]:
    """The newest deploy of a label. Does not write.

    Raises
    ------
    UsageError
        When there is none.
    """
    found = database.queries.deploys(label)
    if not found:
        raise no_deploy(database, label)
    return found[0]


def stem(name: str) -> str:
    """A migration's name, given with or without ``.sql``; pure."""
    return name.removesuffix(".sql")
