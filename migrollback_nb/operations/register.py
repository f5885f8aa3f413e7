"""Registers the files of a folder, in step with the deploy tool; a bad one stops no other. Writes."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import ordering, results
from migrollback_nb.core.errors import ConnectionFailed, DependencyError, LockBusy, MigrationNotFound, MigrollbackError
from migrollback_nb.files.formats import in_order
from migrollback_nb.operations import dependents, ledgers, renamed_files
from migrollback_nb.operations import snapshots as around
from migrollback_nb.operations.interrupts import some
from migrollback_nb.operations.rejection import not_found

if TYPE_CHECKING:
    from migrollback_nb.core.results import FileFailure, LeftRolledBack, RegisterResult, SyncResult
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import Progress
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.operations.snapshots import Snapshots


def register(database: Database, folder: MigrationFolder, name: str) -> RegisterResult:
    """Register one file of a folder, or update what is registered of it. Writes.

    Errors are those of `Workspace.register`.
    """
    file = folder.read(name)
    record = file.record()
    record["metadata"] |= ledgers.times_of(database, [file])[file.name]
    outcome = database.commands.register_many([record])[file.name]
    searched = (
        dependents.search(database, {file.name: file}, lambda: folder.read_all().files, changed=[file.name])
        if outcome != "unchanged"
        else ()
    )
    try:
        warnings = (*live_block_warning(database, file), *ledgers.not_applied_warning(database, file))
    except ConnectionFailed as lost:  # what is registered is committed
        warnings = (f"What its deploy tool knows of it could not be read: {lost.message}",)
    return results.RegisterResult(
        migration_name=file.name,
        outcome=outcome,
        has_rollback_sql=file.rollback is not None,
        warnings=(*file.remarks, *warnings, *searched),
    )


def sync(
    database: Database,
    folder: MigrationFolder,
    *,
    deploy: str | None = None,
    snapshots: Snapshots = "ends",
    progress: Progress | None = None,
) -> SyncResult:
    """Register what the folder holds and the history does not, and record what deploy tools did. Writes.

    Parameters and result are those of `Workspace.sync`.
    """
    around.check_choice(snapshots)
    history = database.queries.history_states()
    contents = folder.read_all(unchanged={name: row["checksum"] for name, row in history.items()})
    failures = [results.FileFailure(migration_name=error.migration_name, error=str(error)) for error in contents.errors]
    found = renamed_files.compare(contents.files, history, [failure.migration_name for failure in failures])
    by_name = {file.name: file for file in contents.files}
    ledgers.refuse_while_deploying(database, _ledger_tools(contents.files, history))
    answers = ledgers.ask_of_new(database, found.new)
    findings = database.queries.ledger_findings()
    again = {row["migration_name"] for row in findings if row["finding"] == "applied_again"}
    missing = [row["migration_name"] for row in findings if row["finding"] == "missing"]
    warnings = [*contents.warnings, *answers.warnings, *found.warnings(folder.path)]
    warnings += [f"{row['migration_name']}: {row['warning']}" for row in findings if row["finding"] == "contradiction"]
    warnings += ledgers.missing_warnings(findings)
    anew, reworked, remarks_on_reworked = _reworked(
        database, [file for file in contents.files if file.name not in again], history
    )
    warnings += remarks_on_reworked
    _dismiss_reversed(database, anew)
    known = {name: file for name, file in by_name.items() if name in history and name not in {*again, *reworked}}
    warnings += _changed_warnings(known, history)

    wanted = {file.name: file for file in (*answers.files, *anew)} | {
        name: by_name[name] for name in again if name in by_name
    }
    applied = {name for name, row in history.items() if row["status"] != "rolled_back"} | (again - by_name.keys())
    applied |= {file for file, name in found.renamed.items() if name in applied}
    ordered, left_out = order_files(wanted, applied)
    failures += [*answers.failed, *left_out]
    without_file = sorted(again - by_name.keys())
    deploy_id = database.commands.begin_deploy(deploy) if deploy is not None or ordered or without_file else None
    for name in without_file:
        database.commands.record_applied_again(name, deploy_id)
    if missing:
        database.commands.record_missing_in_ledger(missing)
    done = _register_all(database, ordered, deploy=deploy_id, names=found.renamed, progress=progress)
    registered = done.names
    came = [*without_file, *(file.name for file in ordered if file.name in registered)]
    if snapshots != "none":
        warnings += around.after_sync(database, came)
    done.warnings += dependents.search(
        database,
        {found.renamed.get(file.name, file.name): file for file in ordered},
        lambda: contents.files,
        changed=(*done.applied_again, *without_file),
    )
    return results.SyncResult(
        registered=tuple(done.registered),
        applied_again=(*without_file, *done.applied_again),
        skipped=tuple(name for name in by_name if name in history and name not in again and name not in wanted)
        + tuple(found.renamed),
        not_applied=answers.not_applied,
        failed=(*failures, *done.failed),
        warnings=(*warnings, *done.warnings),
        deploy=deploy,
        without_time=tuple(done.without_time),
    )


def _changed_warnings(known: Mapping[str, MigrationFile], history: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """Which files were changed after they were registered, a line each."""
    return [
        f"{file.path} makes what the rollback system has made: it is left alone. Delete it: a deploy tool that runs it"
        " again replaces functions of this system"
        if history[name]["system"]
        else f"{file.path} was changed after it was registered: migrollback register {name} takes the change over"
        for name, file in known.items()
        if history[name]["system"] or history[name]["checksum"] not in (None, file.checksum)
    ]


@dataclass(slots=True)
class _Registered:
    """What came of registering files, in order."""

    registered: list[results.RegisterResult] = field(default_factory=list)
    applied_again: list[str] = field(default_factory=list)
    failed: list[results.FileFailure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    without_time: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """Those that are in the history since."""
        return {*self.applied_again, *(one.migration_name for one in self.registered)}


def _register_all(
    database: Database,
    files: Sequence[MigrationFile],
    *,
    deploy: str | None,
    names: Mapping[str, str],
    progress: Progress | None,
) -> _Registered:
    """Register files, dependencies first, many at once. Writes."""
    live = any(file.rollback is not None and file.rollback.live for file in files)
    supabase = live and database.queries.uses_supabase()
    done = _Registered()
    for begin in range(0, len(files), 500):
        batch = files[begin : begin + 500]
        if progress is not None:
            progress(begin, len(files), batch[0].name)
        try:
            times = ledgers.times_of(database, batch)
            outcomes, refused = _register_batch(database, batch, times, deploy=deploy, names=names)
        except MigrollbackError as error:
            if done.registered:
                error.done = tuple(one.migration_name for one in done.registered)
                before = f"Registered before it, and committed: {some(error.done)}."
                error.hint = "\n".join(filter(None, (error.hint, before)))
            raise
        done.failed += refused
        done.without_time += [name for name in outcomes if "applied_at" not in times[name]]
        for file in (file for file in batch if file.name in outcomes):
            remarks = file.remarks + (live_block_warning(database, file) if supabase else ())
            done.warnings += remarks
            if outcomes[file.name] == "applied again":
                done.applied_again.append(file.name)
                continue
            done.registered.append(
                results.RegisterResult(
                    migration_name=file.name,
                    outcome=outcomes[file.name],
                    has_rollback_sql=file.rollback is not None,
                    warnings=remarks,
                )
            )
    return done


def _reworked(
    database: Database, files: Sequence[MigrationFile], history: Mapping[str, Mapping[str, Any]]
) -> tuple[Sequence[MigrationFile], Collection[str], Sequence[str]]:
    """What has another version now than the one registered under its name. Does not write.

    Returns the files that are deployed, the names of all, and remarks.

    Sqitch gives a change that is reworked its old name, and the old form another.
    """
    found = [
        file
        for file in files
        if file.tool == "Sqitch" and file.name in history and history[file.name]["version"] != file.version
    ]
    pending = {row["migration_name"] for row in ledgers.ask(database, found) if not row["is_applied"]}
    now_called = {file.version: file.name for file in files}
    remarks = [
        f"{file.path} is another change of the plan than the one that is registered as {file.name}"
        + (
            f", which is {old} now: until it is deployed and sync has run again, roll back {old}"
            if (old := now_called.get(history[file.name]["version"]))
            else ""
        )
        for file in found
        if file.name in pending
    ]
    return [file for file in found if file.name not in pending], {file.name for file in found}, remarks


def _dismiss_reversed(database: Database, reworked: Sequence[MigrationFile]) -> None:
    """Take away what was inferred of the old form and is the reverse of what the new one declares. Writes."""
    declared = {(base, file.name) for file in reworked for base in file.depends_on}
    for row in database.queries.dependencies() if declared else ():
        if row["source"] == "inferred" and (row["migration_name"], row["depends_on"]) in declared:
            database.commands.dismiss_dependency(
                row["migration_name"], row["depends_on"], reason=f"{row['depends_on']} was reworked, and declares it"
            )


def _ledger_tools(files: Iterable[MigrationFile], history: Mapping[str, Mapping[str, Any]]) -> set[str | None]:
    return {file.ledger_tool for file in files} | {row["tool"] for row in history.values() if not row["system"]}


def _register_batch(
    database: Database,
    batch: Sequence[MigrationFile],
    times: Mapping[str, dict[str, str]],
    *,
    deploy: str | None,
    names: Mapping[str, str],
) -> tuple[dict[str, str], Sequence[FileFailure]]:
    """Register files together, or, when the database refuses one of them, one by one. Writes."""
    records = [record_of(file, deploy=deploy, names=names) for file in batch]
    for record in records:
        record["metadata"] = record["metadata"] | times[record["name"]]
    try:
        return database.commands.register_many(records), ()
    except (ConnectionFailed, LockBusy):
        raise
    except MigrollbackError as refusal:
        if getattr(refusal, "sqlstate", None) in (
            "25006",
            "42501",
        ):  # nothing may be written, or not by this role: no matter of a file
            raise
        outcomes: dict[str, str] = {}
        refused = []
        for file, record in zip(batch, records, strict=True):
            try:
                outcomes |= database.commands.register_many([record])
            except (ConnectionFailed, LockBusy):
                raise
            except MigrollbackError as error:
                refused.append(results.FileFailure(migration_name=file.name, error=f"{file.path}: {error}"))
        return outcomes, refused


def record_of(file: MigrationFile, *, deploy: str | None, names: Mapping[str, str]) -> dict[str, Any]:
    """What is registered of a file, with its deploy, and dependencies by the names that the history has; pure.

    `names`: name of a file -> name in the history.
    """
    record = file.record()
    record["depends_on"] = list(dict.fromkeys(names.get(name, name) for name in record["depends_on"]))
    if deploy is not None:
        record["metadata"] = record["metadata"] | {"deploy": deploy}
    return record


def live_block_warning(database: Database, file: MigrationFile) -> tuple[str, ...]:
    """Say that Supabase's tool would run a rollback block that is live SQL, where it is used. Does not write."""
    if file.rollback is not None and file.rollback.live and database.queries.uses_supabase():
        return (
            (
                f"{file.path}:{file.rollback.line}: the rollback block is live SQL, and supabase db push runs it as"
                " well. Comment it out line by line"
            ),
        )
    return ()


def order_files(
    files: dict[str, MigrationFile], known: Iterable[str], left: Mapping[str, LeftRolledBack] | None = None
) -> tuple[Sequence[MigrationFile], Sequence[FileFailure]]:
    """Dependencies first. Files whose dependencies are missing or form a cycle fail, and their dependents too.

    Parameters
    ----------
    files : dict of str to MigrationFile
        What is to be put in order.
    known : iterable of str
        Names that may be depended on besides.
    left : mapping of str to LeftRolledBack, optional
        What is rolled back and stays so: named where a file depends on it.
    """
    rolled_back = left or {}
    depends_on = {name: file.depends_on for name, file in files.items()}
    failures: list[FileFailure] = []
    while True:
        if lacking := ordering.missing(depends_on, known):
            for name, bases in lacking.items():
                undone = [rolled_back[base] for base in bases if base in rolled_back]
                if undone:
                    trouble = f"depends on what is rolled back: {'; '.join(map(str, undone))}"
                    fix = (
                        "Apply that again first: migrollback apply"
                        f" {' '.join(shlex.quote(one.migration_name) for one in undone)}, or apply --again."
                    )
                else:
                    trouble = (
                        f"depends on {', '.join(bases)}, which is neither applied nor a new, good file of the folder"
                    )
                    fix = "Add the file, apply it again, or correct -- Depends on:."
                failures.append(results.FileFailure(migration_name=name, error=f"{files[name].path}: {trouble}\n{fix}"))
                del depends_on[name]
            continue
        try:
            like = [file.name for file in in_order(files.values())]
            return [files[name] for name in ordering.order(depends_on, like=like)], failures
        except DependencyError as error:
            for name in dict.fromkeys(error.names):
                failures.append(results.FileFailure(migration_name=name, error=f"{files[name].path}: {error}"))
                del depends_on[name]


def resolve(database: Database, name: str, *, status: str, reason: str, force: bool = False) -> RegisterResult:
    """Record how a failed migration stands, as a person has found it. Writes the history; runs no migration SQL.

    Raises
    ------
    MigrationNotFound
        When it is not registered.
    Refused
        When it is to be rolled back, and something that it created still stands; with `force` it is recorded.
    """
    row = database.queries.find(name) or {"rollback_sql": None}
    try:
        before = database.commands.resolve(name, status, reason, force=force)
    except MigrationNotFound:
        raise not_found(database, name) from None
    return results.RegisterResult(
        migration_name=name,
        outcome=f"{before} -> {status}",
        has_rollback_sql=bool((row["rollback_sql"] or "").strip()),
    )
