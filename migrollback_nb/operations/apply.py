"""Applies migrations of a folder: which are pending, their order, and the snapshots around them. Writes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import results
from migrollback_nb.core.errors import (
    ApplyFailed,
    ConnectionFailed,
    DependencyError,
    MigrollbackError,
    Refused,
    UsageError,
)
from migrollback_nb.core.results import LeftRolledBack
from migrollback_nb.operations import archives as keeping
from migrollback_nb.operations import dependents, failed_sql, ledgers, renamed_files
from migrollback_nb.operations import snapshots as around
from migrollback_nb.operations.ahead import ReadAhead
from migrollback_nb.operations.interrupts import saying_what_stays, some
from migrollback_nb.operations.register import order_files

if TYPE_CHECKING:
    from migrollback_nb.core.results import ApplyResult
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.database.session import Row
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.operations.archives import ArchiveOptions
    from migrollback_nb.operations.snapshots import Snapshots

#: So many of the last migrations of a run get a snapshot of their own around them where their SQL does more than add:
#: they are the ones that will be rolled back, and only so is known what was there before each. Of all of a folder that
#: is applied for the first time, snapshots would take longer than the migrations.
RUNS_APART = 20
#: What takes or replaces, in words: too many of them cost a snapshot, too few a verdict.
_NOT_ONLY_ADDED = re.compile(
    r"\b(drop|rename|or\s+replace|alter\s+column|type|add\s+value|comment\s+on|revoke|set\s+(schema|not|default))\b",
    re.IGNORECASE,
)

_STATEMENTS_STAY = "What ran outside a transaction stays: fix the cause and apply it again, which resumes."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What a folder holds that is to be applied, and what is left alone, with the reasons."""

    files: tuple[MigrationFile, ...]  #: to be applied, dependencies first
    skipped: tuple[str, ...] = ()  #: asked for, and applied already
    left_rolled_back: tuple[LeftRolledBack, ...] = ()  #: rolled back, not changed since, and not asked for
    warnings: tuple[str, ...] = ()  #: what a person should know
    names: dict[str, str] = field(default_factory=dict)  #: file's name -> name in the history, of renamed ones
    all_files: tuple[MigrationFile, ...] = ()  #: of the folder


def pending(
    history: Mapping[str, Row], folder: MigrationFolder, names: Sequence[str] = (), *, again: bool = False
) -> Pending:
    """Files that are to be applied. Does not write.

    Parameters
    ----------
    history : mapping
        What is registered, as `Database.queries.history_states` gives it.
    folder : MigrationFolder
        Where the files are.
    names : sequence of str
        Those that are asked for, also when they are applied or rolled back; without any, all that were never
        registered, and those that were rolled back and whose text has changed since.
    again : bool
        True: also all that were rolled back.

    Raises
    ------
    MigrationNotFound, MigrationFileError
        When one that is asked for is not there, or, without names, when any file of the folder is bad.
    DependencyError
        When one depends on what is neither applied nor among them, or dependencies form a cycle.
    Refused
        When it is not known whether a file is a migration that is applied under another name.
    """
    applied = {name: row for name, row in history.items() if row["status"] != "rolled_back"}
    warnings: list[str] = []
    rolled_back = {
        name: LeftRolledBack(
            migration_name=name,
            rolled_back_at=row["rollback_at"],
            rolled_back_by=row["rollback_by"],
            reason=row["notes"],
        )
        for name, row in history.items()
        if row["status"] == "rolled_back"
    }
    left: list[LeftRolledBack] = []
    contents = folder.read_all(unchanged={name: row["checksum"] for name, row in applied.items()})
    unread = [error.migration_name for error in contents.errors]
    found = renamed_files.compare(contents.files, history, unread)
    if names:
        files = folder.read_named(names)
        for name in [name for name in files if found.renamed.get(name) in applied]:
            del files[name]
    else:
        if contents.errors:
            raise contents.errors[0]
        if found.unclear:
            raise Refused(
                found.warnings(folder.path)[len(found.renamed)], migration_name=next(iter(found.unclear.values()))
            )
        files = {file.name: file for file in found.new}
        for one in contents.files:
            if one.name not in rolled_back:
                continue
            if again or history[one.name]["checksum"] not in (None, one.checksum):
                files[one.name] = one
                if not again:
                    warnings.append(f"{one.path} was rolled back and has been changed since: it is applied again")
            else:
                left.append(rolled_back[one.name])
    known = {*applied, *(file for file, name in found.renamed.items() if name in applied)}
    ordered, failures = order_files(
        {name: file for name, file in files.items() if name not in applied}, known, rolled_back
    )
    if failures:
        raise DependencyError(failures[0].error, names=(failures[0].migration_name,))
    warnings += found.warnings(folder.path)
    return Pending(
        files=tuple(ordered),
        skipped=tuple(name for name in dict.fromkeys(names) if name in applied or found.renamed.get(name) in applied),
        left_rolled_back=tuple(left),
        warnings=tuple(warnings),
        names=found.renamed,
        all_files=contents.files,
    )


def apply(
    database: Database,
    folder: MigrationFolder,
    names: Sequence[str],
    *,
    again: bool = False,
    deploy: str | None = None,
    progress: Progress | None,
    snapshots: Snapshots,
    archives: ArchiveOptions | None = None,
) -> ApplyResult:
    """Run what is pending and register it. Writes: each migration whole or not at all, in a transaction of its own.

    Parameters, result and errors are those of `Migrations.apply`; names without ``.sql``.
    """
    around.check_choice(snapshots)
    if again and names:
        raise UsageError("--again is for all that were rolled back", hint="Give names, or --again.")
    wanted = pending(database.queries.history_states(), folder, names, again=again)
    files = wanted.files
    _refuse_applied(database, files)
    warnings = (
        *wanted.warnings,
        *_findings_warnings(database, wanted.left_rolled_back),
        *_without_ledger_warnings(database, files),
    )
    options = archives or {}
    asked = options.get("archive")
    archiving = bool(files) and (database.archives.is_on() if asked is None else asked)
    deploy_id = database.commands.begin_deploy(deploy) if deploy is not None or files else None
    runs = [[file] for file in files] if snapshots == "each" else _runs(files)
    ahead = ReadAhead(files, deploy=deploy_id, names=wanted.names)
    with (
        keeping.under(database, options),
        saying_what_stays(database, "applied", nontransactional=any(not file.transaction for file in files)),
        database.session.meanwhile(ahead.work()),
    ):
        try:
            warnings += _apply_runs(
                database,
                runs,
                snapshots=snapshots,
                progress=progress,
                ahead=ahead,
                archiving=archiving,
            )
        finally:  # also after a failure: those before it are applied
            if files and not database.connection.closed:
                warnings += dependents.search(
                    database, {file.name: file for file in files}, lambda: wanted.all_files, parse=ahead.objects
                )
    return results.ApplyResult(
        applied=tuple(file.name for file in files),
        skipped=wanted.skipped,
        left_rolled_back=wanted.left_rolled_back,
        warnings=warnings,
        deploy=deploy,
        archived=keeping.kept(database, [file.name for file in files]) if archiving else None,
    )


def _refuse_applied(database: Database, files: Sequence[MigrationFile]) -> None:
    """Refuse what a deploy tool has applied: run again it would fail, or do its work twice."""
    if files:
        ledgers.refuse_while_deploying(database, {file.ledger_tool for file in files}, also_broken_off=True)
    for row in ledgers.ask(database, files):
        if row["is_applied"]:
            raise Refused(
                f"{row['migration_name']} is applied already, as the ledger {row['ledger']} says",
                migration_name=row["migration_name"],
                hint="Run migrollback sync, which records that.",
            )


def _findings_warnings(database: Database, left: Sequence[LeftRolledBack]) -> tuple[str, ...]:
    """What ledgers know better of what is left rolled back."""
    if not left:
        return ()
    return tuple(
        f"{row['migration_name']}: {row['warning']}"
        for row in database.queries.ledger_findings([one.migration_name for one in left])
    )


def _without_ledger_warnings(database: Database, files: Sequence[MigrationFile]) -> tuple[str, ...]:
    """Say where a deploy tool will not know what is applied here: its ledger is not there."""
    known = {row["migration_name"] for row in ledgers.ask(database, files)}
    tools = sorted({file.ledger_tool for file in files if file.ledger_tool is not None and file.name not in known})
    return tuple(
        f"No ledger of {tool} was found here: {tool} will not know what is applied by migrollback, and will apply it"
        " again"
        for tool in tools
    )


def _runs(files: Sequence[MigrationFile]) -> Sequence[Sequence[MigrationFile]]:
    """The files in runs with a snapshot at each end; pure.

    A run of its own is one that goes statement by statement, and, of the last ones, one that takes or replaces what
    another of the run may have made.
    """
    runs: list[list[MigrationFile]] = []
    together = False
    for place, file in enumerate(files):
        apart = not file.transaction or (
            place >= len(files) - RUNS_APART and _NOT_ONLY_ADDED.search(file.up.text) is not None
        )
        if together and not apart:
            runs[-1].append(file)
        else:
            runs.append([file])
        together = not apart
    return runs


def _apply_runs(
    database: Database,
    runs: Sequence[Sequence[MigrationFile]],
    *,
    snapshots: Snapshots,
    progress: Progress | None,
    ahead: ReadAhead,
    archiving: bool,
) -> tuple[str, ...]:
    """Apply files, with snapshots around each run of them. Writes. Returns the warnings."""
    warnings: tuple[str, ...] = ()
    all_names = [file.name for run in runs for file in run]
    done = 0
    is_taken = False  # the snapshot before the next run, with that after the one that has ended
    for place, run in enumerate(runs):
        names_of_run = [file.name for file in run]
        then: list[str] = []
        try:
            if snapshots != "none" and not is_taken:
                warnings += around.take(database, "before apply", names_of_run)[1]
            is_taken = False
            try:
                for file in run:
                    if progress is not None:
                        progress(done, len(all_names), file.name)
                    remarks = _apply_one(database, file, ahead.record(file), archiving=archiving)
                    done += 1
                    warnings += (*file.remarks, *remarks)
                then = [file.name for file in runs[place + 1]] if place + 1 < len(runs) else []
            finally:
                # also after a failure: those before it are applied
                if snapshots != "none" and not database.connection.closed:
                    snapshot, remarks = around.take(database, "after apply", names_of_run, then=then)
                    warnings += remarks
                    is_taken = bool(then) and snapshot is not None
        except MigrollbackError as error:
            if done:
                error.done = tuple(all_names[:done])
                error.hint = "\n".join(
                    filter(None, (error.hint, f"Applied before it, and still applied: {some(all_names[:done])}."))
                )
            raise
    return warnings


def _apply_one(database: Database, file: MigrationFile, record: dict[str, Any], *, archiving: bool) -> tuple[str, ...]:
    """Apply one file. Writes. Returns the warnings."""
    if file.is_left_to_tool:
        raise Refused(
            f"{file.path} is a program of {file.tool}" if file.is_program else f"{file.name} is {file.tool}'s to apply",
            migration_name=file.name,
            hint=f"Apply it with {file.applied_by}, and run migrollback sync then.",
        )
    unkept: tuple[str, ...] = ()
    if (refused := file.up_refusal) is not None:
        raise Refused(refused[0], migration_name=file.name, hint=refused[2])
    if file.transaction:
        _refuse_passing_over(database, file)
    run = database.commands.apply if file.transaction else database.nontransactional.apply
    statements = file.up_statements()
    with keeping.found_by_trial(database, record, statements) if archiving and file.transaction else nullcontext():
        execution = run(record, statements)
    row = execution.rows[0]
    if row["success"]:
        if file.transaction:
            return ()
        if archiving:
            unkept = (f"{file.name} ran statement by statement: what it destroyed was not archived",)
        # each statement was a transaction of its own: no transaction saw what all of them wrote
        from migrollback_nb.operations.dependencies import parsed_objects

        try:
            if database.connection.closed:
                database.session.reconnect()
            database.commands.record_parsed_objects(
                parsed_objects(file.name, file.up.text, database.queries.effective_search_path())
            )
        except ConnectionFailed as error:
            return (
                *unkept,
                f"{file.name} is applied, but which objects it created could not be recorded: {error.message}",
            )
        return unkept
    details = execution.details.get(file.name)
    if details is None or "sqlstate" not in details:
        raise Refused(row["message"], migration_name=file.name)
    raise ApplyFailed(
        f"{file.path}: {row['message']}",
        migration_name=file.name,
        sqlstate=details["sqlstate"],
        detail=details.get("detail"),
        hint="\n".join(
            filter(
                None,
                (
                    details.get("hint"),
                    failed_sql.hint(database, details, "-- Transaction: false at the top of the file"),
                    "Everything it did was undone." if file.transaction else _way_on(database, file, details),
                    execution.blocked_by,
                ),
            )
        ),
        statement_number=details.get("statement_number"),
        statement=details.get("statement"),
    )


def _refuse_passing_over(database: Database, file: MigrationFile) -> None:
    """Refuse a file whose CREATE INDEX IF NOT EXISTS would take an invalid index for the one that it makes."""
    text = file.up.text.lower()
    if "index" not in text or "exists" not in text:
        return
    from migrollback_nb.parsing.concurrently import passed_over

    wanted = passed_over(file.up_statements())
    left = {(row["table_id"], row["name"]): row for row in database.lookups.unfinished_objects()} if wanted else {}
    for index in wanted if left else ():
        if (row := left.get((database.lookups.relation(index.table), index.name))) is not None:
            raise Refused(
                f"{file.path}: {row['remark']}, and IF NOT EXISTS would pass over it",
                migration_name=file.name,
                hint=f"Nothing was changed. Run {row['fix']} Then: migrollback apply {shlex.quote(file.name)}",
            )


def _way_on(database: Database, file: MigrationFile, details: Mapping[str, Any]) -> str:
    """What to do after a failure outside a transaction: what ran, what it left, how it goes on."""
    try:
        half = next((row for row in database.lookups.half_applied(file.name) if row["direction"] == "apply"), None)
    except MigrollbackError:  # the failure itself counts
        return _STATEMENTS_STAY
    if half is None and details.get("outside"):
        return f"{failed_sql.PART_MAY_STAY} Then: migrollback apply {shlex.quote(file.name)}"
    if half is None:
        return f"No statement of it has run: fix the cause, then: migrollback apply {shlex.quote(file.name)}"
    return f"Fix the cause. {half['remark']}"
