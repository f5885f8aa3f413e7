"""Installs the rollback system or brings it up to date, and marks the database as production. Writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import results
from migrollback_nb.core.errors import ConnectionFailed, DatabaseError, Refused, UsageError
from migrollback_nb.database.system_files import SYSTEM_NAME

if TYPE_CHECKING:
    from migrollback_nb.core.results import InstallResult
    from migrollback_nb.database import Database
    from migrollback_nb.database.system import Installation


def install(
    database: Database,
    *,
    production: bool | None = None,
    reason: str | None = None,
    trust_ledger_of: Sequence[str] = (),
    distrust_ledger_of: Sequence[str] = (),
    take_over: bool = False,
    dry_run: bool = False,
    scope: Sequence[str] | None = None,
) -> InstallResult:
    """Install the rollback system, or bring an older one up to date. Writes.

    Parameters, result and errors are those of `Workspace.install`.
    """
    _require_reason(production, reason)
    # one name is no list of its letters
    trust, distrust = (
        (names,) if isinstance(names, str) else tuple(names) for names in (trust_ledger_of, distrust_ledger_of)
    )
    database.system.refuse_unknown_roles(trust)
    given = scope if scope is not None else () if database.scope is None else (database.scope,)
    schemas = (given,) if isinstance(given, str) else tuple(given)
    done = None
    not_ours = database.system.not_ours()
    try:
        done = database.system.install(take_over=take_over, dry_run=dry_run)
        if dry_run:
            return _result(database, done, not_ours=not_ours, dry_run=True)
        if schemas:
            database.system.add_scopes(schemas[:1], schemas[1:])
        for role in trust:
            database.system.trust_ledger_owner(role, trusted=True)
        for role in distrust:
            database.system.trust_ledger_owner(role, trusted=False)
        closed, warnings = database.system.close_rights()
        marked = production is not None and database.system.mark_production(production, reason)
        database.queries.look_up_production()
        return _result(
            database,
            done,
            rights_closed=closed + done.rights_closed,
            warnings=warnings,
            production_changed=marked,
            not_ours=not_ours,
            trusted_ledger_owners=database.system.trusted_ledger_owners(),
            scope=database.system.scope() or schemas or None,
        )
    except ConnectionFailed as lost:
        if done is None or not done.changed:
            raise
        raise ConnectionFailed(
            f"{lost.message} when {SYSTEM_NAME} was installed and committed already",
            hint="Run install again: it does what comes after that.",
        ) from lost
    except DatabaseError as error:
        if error.sqlstate not in {"42723", "42725"} or not not_ours:  # there already, or not unique
            raise
        found = "; ".join(map(str, not_ours))
        raise Refused(
            f"{error.primary}: {found}",
            hint="Drop what is not this system's, or have its owner do it, and install again.",
        ) from error


def _result(database: Database, done: Installation, **more: Any) -> InstallResult:
    """Of what the script did; pure."""
    went = {identity.partition("(")[0] for identity in (done.taken_over.functions if done.taken_over else ())}
    still = [one for one in more["not_ours"] if one.identity.partition("(")[0] not in went]
    return results.InstallResult(
        installed=(SYSTEM_NAME,) if done.changed and done.from_version is None else (),
        upgraded_from=done.from_version if done.changed else None,
        version=done.to_version,
        target=database.target,
        taken_over=done.taken_over,
        **({"rights_closed": done.rights_closed} | more | {"not_ours": tuple(still)}),
    )


def _require_reason(production: bool | None, reason: str | None) -> None:
    if production is None and reason is not None:
        raise UsageError(
            "A reason is given, and nothing that it is the reason of",
            hint="Say also production=True or production=False.",
        )
    if production is False and not (reason or "").strip():
        raise UsageError(
            "Why this database is not production was not said",
            hint="Give a reason (--reason TEXT): it goes into the audit log.",
        )
