"""Installs the system in a fleet's databases, and registers migrations there: one statement for each. Writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.fleet import engine
from migrollback_nb.fleet.plan import one_line_of, status_of
from migrollback_nb.fleet.targets import FleetTarget
from migrollback_nb.migrations import Migrations
from migrollback_nb.operations.register import record_of

#: Of each of the targets in one database: what was done.
Done = Callable[[Migrations, Sequence[FleetTarget]], Sequence[Mapping[str, Any]]]


def install(targets: Sequence[FleetTarget], how: Mapping[str, Any], *, parallel: int) -> list[dict[str, Any]]:
    """Install the system in each database, and add all its tenants' schemas as scopes by one statement. Writes.

    Returns
    -------
    list of dict
        target, status, message, outcome (``installed``, ``upgraded``, ``added``, ``there already``), in the targets'
        order.
    """

    def work(db: Migrations, those: Sequence[FleetTarget]) -> Sequence[Mapping[str, Any]]:
        found = db.install()
        own = "installed" if found.installed else "upgraded" if found.upgraded_from else "there already"
        scopes = [one.schema for one in those if one.schema is not None]
        added = db.database.system.add_scopes(scopes) if scopes else ()
        outcomes = [own if one.schema is None else "added" if one.schema in added else "there already" for one in those]
        return [{"target": one.name, "outcome": outcome} for one, outcome in zip(those, outcomes, strict=True)]

    return _in_each_database(targets, how, work, parallel=parallel)


def register(
    targets: Sequence[FleetTarget], how: Mapping[str, Any], names: Sequence[str], *, parallel: int
) -> list[dict[str, Any]]:
    """Register migrations that are applied in each target, in all of a database's or in none. Writes.

    Returns
    -------
    list of dict
        target, status, message, migration_name, outcome (``registered``, ``updated``, ``unchanged``,
        ``applied again``): a row for each target and migration.

    Raises
    ------
    UsageError
        When no migration is named.
    """
    if not names:
        raise UsageError("No migration was named", hint="Name those that are applied everywhere.")

    def work(db: Migrations, those: Sequence[FleetTarget]) -> Sequence[Mapping[str, Any]]:
        records = [record_of(db.folder.read(name), deploy=None, names={}) for name in names]
        of_scope = {one.schema: one.name for one in those if one.schema is not None}
        rows: list[Mapping[str, Any]] = []
        if len(of_scope) < len(those):
            outcomes = db.database.commands.register_many(records)
            rows += [
                {"target": one.name, "migration_name": name, "outcome": outcome}
                for one in those
                if one.schema is None
                for name, outcome in outcomes.items()
            ]
        if of_scope:
            rows += [
                {"target": of_scope[row["scope"]], "migration_name": row["migration_name"], "outcome": row["verdict"]}
                for row in db.database.commands.register_in_scopes(list(of_scope), records)
            ]
        return rows

    return _in_each_database(targets, how, work, parallel=parallel)


def _in_each_database(
    targets: Sequence[FleetTarget], how: Mapping[str, Any], work: Done, *, parallel: int
) -> list[dict[str, Any]]:
    databases: dict[tuple[str | None, str | None, str | None], list[FleetTarget]] = {}
    for target in targets:
        databases.setdefault((target.dsn, target.service, target.env), []).append(target)

    def one(those: Sequence[FleetTarget]) -> list[dict[str, Any]]:
        head = {"status": "done", "message": None}
        try:
            with replace(those[0], schema=None).connect(**how) as db:
                return [{**row, **head} for row in work(db, those)]
        except MigrollbackError as error:
            head = {"status": status_of(error), "message": one_line_of(error)}
            return [{"target": target.name, **head} for target in those]

    rows = [row for found in engine.each(list(databases.values()), one, parallel=parallel) for row in found]
    place = {target.name: number for number, target in enumerate(targets)}
    return sorted(rows, key=lambda row: place[row["target"]])
