"""The doctor: what of an installation and its database endangers a rollback, with the fix of each. Does not write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import DatabaseError, NewerSystem, OlderSystem
from migrollback_nb.core.results.doctor import Diagnosis, DoctorResult
from migrollback_nb.core.version import __version__
from migrollback_nb.database import presence
from migrollback_nb.database.lock_connection import pooler_mode

if TYPE_CHECKING:
    from migrollback_nb.core.errors import MigrollbackError
    from migrollback_nb.database import Database


def diagnose(database: Database) -> DoctorResult:
    """Look at the system in a database and at the database. Does not write.

    Where the system is missing, older, newer or damaged, that alone is found, for nothing else can be asked.
    """
    try:
        there = database.session.ask_version()
    except (OlderSystem, NewerSystem) as error:
        return _result(database, None, [_problem(error)])
    damage = presence.look(database.connection).explain(database.target)
    if damage is not None:
        return _result(database, __version__ if there else None, [_problem(damage)])
    found = [*_of_package(database), *_of_connection(database)]
    try:
        found += [Diagnosis(**row) for row in database.session.call_in_transaction("diagnose_migrations")]
    except DatabaseError as error:
        fix = "Run it as the owner of the system, or as a role that was granted its functions."
        found.append(_of("problem", "rights" if error.sqlstate == "42501" else "system", None, error.message, fix))
    found += [
        _of("problem", "half applied", None, remark, "Run it again, or resolve it.")
        for remark in (f"{row['migration_name']}: {row['remark']}" for row in database.lookups.half_applied())
    ]
    replaced = any(one.finding == "function" and one.identity is not None for one in found)
    # those that are named need not be said once more
    shown = [one for one in found if not (replaced and one.finding == "function" and one.identity is None)]
    return _result(database, __version__, shown)


def _result(database: Database, version: str | None, found: list[Diagnosis]) -> DoctorResult:
    ordered = sorted(found, key=lambda one: one.severity != "problem")
    return DoctorResult(target=database.target, version=version, diagnoses=tuple(ordered))


def _of(severity: str, finding: str, identity: str | None, message: str, fix: str) -> Diagnosis:
    return Diagnosis(severity=severity, finding=finding, identity=identity, message=message, fix=fix)


def _problem(error: MigrollbackError) -> Diagnosis:
    return _of("problem", "system", None, error.message, error.hint or "Run migrollback install.")


def _of_package(database: Database) -> Iterator[Diagnosis]:
    """Functions that are not this package's, and what others gave their names."""
    for name, wrong in database.audit.replaced_functions():
        yield _of("problem", "function", name, f"function {name} {wrong}", "migrollback install puts it right.")
    for one in database.system.not_ours():
        fix = "Drop it, or have its owner do it: it can be taken for the system's."
        yield _of("problem", "foreign", one.identity, str(one), fix)


def _of_connection(database: Database) -> Iterator[Diagnosis]:
    """What stands between this client and the server."""
    mode = pooler_mode(database.session)
    if mode == "transaction":
        yield _of(
            "note",
            "pooler",
            mode,
            "this connection goes through a pooler that lends a session for each transaction",
            "What runs outside a transaction (CONCURRENTLY) is refused here: connect to the server itself, or through"
            " a pooler in session mode.",
        )
    elif mode is not None:
        yield _of(
            "note",
            "pooler",
            mode,
            "this connection goes through a pooler"
            + (" in session mode" if mode == "session" else ", in which mode could not be seen"),
            "What runs outside a transaction (CONCURRENTLY) needs one in session mode, or the server itself.",
        )
