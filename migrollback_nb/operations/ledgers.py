"""What deploy ledgers say of files and history: applied, applied again, missing, at work. Does not write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import results
from migrollback_nb.core.errors import Refused
from migrollback_nb.core.object_names import quote
from migrollback_nb.operations.interrupts import some
from migrollback_nb.operations.rejection import applied_of_deploy

if TYPE_CHECKING:
    from migrollback_nb.core.results import FileFailure, LastApplied
    from migrollback_nb.database import Database
    from migrollback_nb.files.migration import MigrationFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAnswers:
    """What the ledgers say of files that are not registered."""

    files: tuple[
        MigrationFile, ...
    ]  #: what they hold, and what no ledger is there for; each with the tool whose ledger answered
    not_applied: tuple[str, ...]  #: names of what they do not hold
    warnings: tuple[str, ...]  #: the same in words, and where the folder's word had to be taken
    failed: tuple[FileFailure, ...] = ()  #: programs, which are taken for applied by no folder's word


def ask_of_new(database: Database, files: Sequence[MigrationFile]) -> LedgerAnswers:
    """Which of these files their deploy tools have applied. Does not write."""
    rows = {row["migration_name"]: row for row in ask(database, files)}
    by_ledger: dict[str, list[str]] = {}
    for name, row in rows.items():
        if not row["is_applied"]:
            by_ledger.setdefault(row["ledger"], []).append(name)
    warnings = [
        f"Not applied, as the ledger {ledger} says, and left out: {some(names)}" for ledger, names in by_ledger.items()
    ]
    # a folder of programs says nothing of what ran, and none of it can be tried here; nor does one of changesets
    programs = [file for file in files if file.name not in rows and file.is_left_to_tool]
    failed = [
        results.FileFailure(
            migration_name=names[0],
            error=f"No ledger of {tool} was found here, so none of its {len(names)} migrations is taken for applied"
            f" ({some(names)})\nApply them with {how}; or, {_way_to_name(database, tool)}",
        )
        for tool, how in sorted({(file.tool or "", file.applied_by) for file in programs})
        for names in [[file.name for file in programs if file.tool == tool]]
    ]
    unheard = {file.name for file in programs}
    taken = [
        file for file in files if file.name not in rows and file.ledger_tool is not None and file.name not in unheard
    ]
    for tool in sorted({file.ledger_tool or "" for file in taken}):
        names = [file.name for file in taken if file.ledger_tool == tool]
        warnings.append(
            f"No ledger of {tool} was found here: the folder's word was taken that all its files are applied"
            f" ({some(names)}), and {tool} will not hear of a rollback. W{_way_to_name(database, tool)[1:]}"
        )
    not_applied = {name for names in by_ledger.values() for name in names}
    # a file in our own format that Supabase's ledger knows is Supabase's from now on: its ledger counts even when it
    # has lost all the others
    kept = tuple(
        replace(file, deployed_by="supabase") if file.ledger_tool is None and file.name in rows else file
        for file in files
        if file.name not in not_applied and file.name not in unheard
    )
    return LedgerAnswers(
        files=kept, not_applied=tuple(sorted(not_applied)), warnings=tuple(warnings), failed=tuple(failed)
    )


def _way_to_name(database: Database, tool: str) -> str:
    """How to say which table is a tool's ledger: one that looks so, where such is in another schema. Does not write."""
    found = database.lookups.ledgers_elsewhere(tool)
    if not found:
        return (
            "where its ledger has another name than usual: ALTER DATABASE ... SET migrollback.deploy_ledger ="
            " 'schema.table'"
        )
    name = quote(database.target.database)
    return (
        f"where {some(found)} is its ledger: ALTER DATABASE {name} SET migrollback.deploy_ledger = '{found[0]}', then"
        " the same once more"
    )


def missing_warnings(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What to say of migrations that are applied here and not in their ledgers: a line for each ledger; pure."""
    by_ledger: dict[str, list[str]] = {}
    for row in findings:
        if row["finding"] == "missing":
            by_ledger.setdefault(row["ledger"], []).append(row["migration_name"])
    return [
        f"Registered as applied, but the ledger {ledger} does not hold them: {some(names)}. Their deploy tool has"
        " undone them, or never applied them; once you have looked: migrollback resolve NAME --as applied|rolled_back"
        " --reason TEXT"
        for ledger, names in by_ledger.items()
    ]


def not_applied_warning(database: Database, file: MigrationFile) -> tuple[str, ...]:
    """Say so where the deploy tool of a file has not applied it. Does not write."""
    return tuple(
        f"The ledger {row['ledger']} says that {file.name} is not applied"
        for row in ask(database, [file])
        if not row["is_applied"]
    )


def ask(database: Database, files: Sequence[MigrationFile]) -> Sequence[dict[str, Any]]:
    """What the ledgers of their deploy tools say of files: rows of migrations_in_deploy_ledgers(). Does not write."""
    return (
        database.queries.in_deploy_ledgers(
            [{"name": file.name, "version": file.version, "tool": file.ledger_tool} for file in files]
            + _lineage_of(files)
        )
        if files
        else ()
    )


def _lineage_of(files: Sequence[MigrationFile]) -> list[dict[str, Any]]:
    """What comes before what in the folder, for a ledger that keeps only the newest of each branch; pure."""
    lineages = {id(file.before): (file.ledger_tool, file.before) for file in files if file.before}
    return [
        {"name": None, "version": version, "tool": tool, "parents": before}
        for tool, lineage in lineages.values()
        for version, before in lineage.items()
    ]


def times_of(database: Database, files: Sequence[MigrationFile]) -> dict[str, dict[str, str]]:
    """Name -> what to register of when it was applied: the ledger's time, or that there is none. Does not write."""
    asked = [
        {"name": file.name, "version": file.version, "tool": file.ledger_tool}
        for file in files
        if file.ledger_tool is not None
    ]
    rows = database.lookups.times_in_deploy_ledgers(asked) if asked else ()
    found = {row["migration_name"]: row for row in rows}
    times = {}
    for place, file in enumerate(files):
        row = found.get(file.name)
        times[file.name] = {"applied_at_from": "sync"}
        if row is not None:
            # what was applied in one transaction has one time: in the order in which the files are given
            moment = row["applied_at"] + timedelta(microseconds=place)
            times[file.name] = {
                "applied_at": moment.isoformat(),
                "applied_at_from": "ledger, local time" if row["is_local"] else "ledger",
            }
    return times


def refuse_while_deploying(database: Database, tools: Iterable[str | None], *, also_broken_off: bool = False) -> None:
    """Refuse while a deploy tool is at work, or where its ledger is not trusted. Does not write.

    The ledger of a tool at work says half of what it brings.

    Parameters
    ----------
    tools : iterable of str or None
        The tools whose ledgers count; None is Supabase.
    also_broken_off : bool
        Also where one broke off in the middle of a migration and no process is at work on it any more.

    Raises
    ------
    Refused
        With its process, or with the owner of the ledger.
    """
    for tool in sorted(set(tools), key=str):
        if (untrusted := database.queries.untrusted_ledger(tool)) is not None:
            raise Refused(untrusted, hint="Nothing was changed.")
        for row in database.queries.deploy_in_progress(tool):
            if row["pid"] is not None or also_broken_off:
                raise Refused(row["reason"], hint="Nothing was changed.")


def last_applied(database: Database, *, deploy: str | None = None) -> LastApplied:
    """Which migration was applied last, of all or of a deploy, as history and ledger say together. Does not write."""
    if deploy is not None:
        names = applied_of_deploy(database, deploy)
        return results.LastApplied(
            migration_name=names[0] if names else None,
            warnings=() if names else (f"Nothing that deploy {deploy} brought is applied",),
        )
    findings = database.queries.ledger_findings()
    again = [row["migration_name"] for row in findings if row["finding"] == "applied_again"]
    # its tool applies in order, so the one that came last before comes last now
    name = database.queries.history(again)[0]["migration_name"] if again else database.queries.last_applied()
    warnings = tuple(f"{row['migration_name']}: {row['warning']}" for row in findings if row["migration_name"] == name)
    return results.LastApplied(
        migration_name=name, warnings=warnings if name is not None else ("No migration is applied",)
    )
