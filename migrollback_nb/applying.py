"""Applies migrations of a folder: which are pending, their order, and the snapshots around them. Writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from migrollback_nb import deploy_ledgers, results
from migrollback_nb import snapshots as around
from migrollback_nb.errors import ApplyFailed, DependencyError, MigrollbackError, Refused
from migrollback_nb.interrupts import some, telling_what_stays
from migrollback_nb.registering import order_files

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.formats import MigrationFolder
    from migrollback_nb.migration_file import MigrationFile
    from migrollback_nb.results import ApplyResult
    from migrollback_nb.snapshots import Snapshots
    from migrollback_nb.telling import Progress

_STEPS_STAY = "Statements that ran before it, outside a transaction, stay: mend the cause and apply it again, which resumes."


def pending(known: Mapping[str, tuple[str, str | None]], folder: MigrationFolder, names: Sequence[str] = ()) -> Sequence[MigrationFile]:
    """Files that are to be applied, dependencies first. Does not write.

    Parameters
    ----------
    known : mapping
        Name -> (status, checksum) of what is registered, as `Database.checksums` gives it.
    folder : MigrationFolder
        Where the files are.
    names : sequence of str
        Those that are asked for, also when they are in place; without any, all that were never registered.

    Raises
    ------
    MigrationNotFound, MigrationFileError
        When one that is asked for is not there, or, without names, when any file of the folder is bad.
    DependencyError
        When one depends on what is neither in place nor among them, or in a circle.
    """
    in_place = {name: found for name, found in known.items() if found[0] != "rolled_back"}
    if names:
        files = folder.read_named(names)
    else:
        contents = folder.read_all(unchanged={name: checksum for name, (_, checksum) in in_place.items()})
        if contents.errors:
            raise contents.errors[0]
        # what was rolled back on purpose is applied again only by name
        files = {file.name: file for file in contents.files if file.name not in known}
    ordered, failures = order_files(files, in_place)
    if failures:
        raise DependencyError(failures[0].error, names=(failures[0].migration_name,))
    return ordered


def apply(database: Database, folder: MigrationFolder, names: Sequence[str], *, progress: Progress | None, snapshots: Snapshots) -> ApplyResult:
    """Run the up parts of what is pending and register them. Writes: each whole or not at all, in a transaction of its own.

    Parameters, result and errors are those of `Migrations.apply`; names without ``.sql``.
    """
    around.check_choice(snapshots)
    known = database.checksums()
    wanted = pending(known, folder, names)
    in_place = {name for name, (status, _) in known.items() if status != "rolled_back"}
    files = [file for file in wanted if file.name not in in_place]
    skipped = tuple(file.name for file in wanted if file.name in in_place)
    _refuse_applied(database, [file for file in files if file.name not in known])
    runs = [[file] for file in files] if snapshots == "each" else _runs(files)
    with telling_what_stays(database, "applied", in_steps=any(not file.transaction for file in files)):
        warnings = _apply_runs(database, runs, snapshots=snapshots, progress=progress)
    return results.ApplyResult(applied=tuple(file.name for file in files), skipped=skipped, warnings=warnings)


def _refuse_applied(database: Database, files: Sequence[MigrationFile]) -> None:
    """What a deploy tool has applied is in place though nobody registered it: run again it would fail, or do its work twice."""
    for row in deploy_ledgers.ask(database, files):
        if row["is_applied"]:
            raise Refused(
                f"{row['migration_name']} is applied already, as the ledger {row['ledger']} says",
                migration_name=row["migration_name"],
                hint="Run migrollback sync, which registers it.",
            )


def _runs(files: Sequence[MigrationFile]) -> Sequence[Sequence[MigrationFile]]:
    """The files in runs with a snapshot at each end. One that goes statement by statement is a run of its own: its objects are not recorded as it makes them; pure."""
    runs: list[list[MigrationFile]] = []
    for file in files:
        if runs and file.transaction and runs[-1][-1].transaction:
            runs[-1].append(file)
        else:
            runs.append([file])
    return runs


def _apply_runs(database: Database, runs: Sequence[Sequence[MigrationFile]], *, snapshots: Snapshots, progress: Progress | None) -> tuple[str, ...]:
    """Apply files, with snapshots around each run of them. Writes. Returns the warnings."""
    warnings: tuple[str, ...] = ()
    names = [file.name for run in runs for file in run]
    done = 0
    for run in runs:
        names_of_run = [file.name for file in run]
        if snapshots != "none":
            warnings += around.take(database, "before apply", names_of_run)[1]
        try:
            for file in run:
                if progress is not None:
                    progress(done, len(names), file.name)
                try:
                    _apply_one(database, file)
                except MigrollbackError as error:
                    if done:
                        error.done = tuple(names[:done])
                        error.hint = "\n".join(filter(None, (error.hint, f"Applied before it, and in place: {some(names[:done])}.")))
                    raise
                done += 1
                warnings += file.remarks
        finally:
            # also after a failure: those before it are in place
            if snapshots != "none" and not database.connection.closed:
                warnings += around.take(database, "after apply", names_of_run)[1]
    return warnings


def _apply_one(database: Database, file: MigrationFile) -> None:
    if (refused := file.up_refusal) is not None:
        raise Refused(refused[0], migration_name=file.name, hint=refused[2])
    run = database.apply if file.transaction else database.apply_in_steps
    execution = run(file.record(), file.up_statements())
    row = execution.rows[0]
    if row["success"]:
        if not file.transaction:  # each statement was a transaction of its own: nobody could look at what all of them wrote
            from migrollback_nb.replay import parsed_objects

            database.record_parsed_objects(parsed_objects(file.name, file.up.text, database.effective_search_path()))
        return
    details = execution.details.get(file.name)
    if details is None or "sqlstate" not in details:
        raise Refused(row["message"], migration_name=file.name)
    raise ApplyFailed(
        f"{file.path}: {row['message']}",
        migration_name=file.name,
        sqlstate=details["sqlstate"],
        detail=details.get("detail"),
        hint="\n".join(filter(None, (details.get("hint"), "Everything it did was undone." if file.transaction else _STEPS_STAY))),
        statement_number=details.get("statement_number"),
        statement=details.get("statement"),
    )
