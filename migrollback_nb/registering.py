"""Registers the files of a folder: in order, many at once, and a bad one stops no other. Writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from migrollback_nb import deploy_ledgers, planning, results
from migrollback_nb.errors import ConnectionFailed, DependencyError, LockBusy, MigrollbackError
from migrollback_nb.formats import in_order

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.formats import MigrationFolder
    from migrollback_nb.migration_file import MigrationFile
    from migrollback_nb.results import FileFailure, SyncResult
    from migrollback_nb.telling import Progress


def sync(database: Database, folder: MigrationFolder, *, progress: Progress | None = None) -> SyncResult:
    """Register every migration of the folder that is not registered yet. Writes. Parameters and result are those of `Migrations.sync`."""
    known = database.checksums()
    contents = folder.read_all(unchanged={name: checksum for name, (_, checksum) in known.items()})
    failures = [results.FileFailure(migration_name=error.migration_name, error=str(error)) for error in contents.errors]
    warnings = list(contents.warnings)
    new = {file.name: file for file in contents.files if file.name not in known}
    skipped = tuple(file.name for file in contents.files if file.name in known)
    not_applied, in_words = deploy_ledgers.left_out(database, list(new.values()))
    warnings += in_words
    left = set(not_applied)
    new = {name: file for name, file in new.items() if name not in left}
    changed = (file for file in contents.files if file.name in known and known[file.name][1] not in (None, file.checksum))
    warnings += [f"{file.path} was changed after it was registered: migrollback register {file.name} takes the change over" for file in changed]
    ordered, left_out = order_files(new, {name for name, (status, _) in known.items() if status != "rolled_back"})
    failures += left_out
    supabase = any(file.rollback is not None and file.rollback.live for file in ordered) and database.uses_supabase()
    registered = []
    for begin in range(0, len(ordered), 500):
        batch = ordered[begin : begin + 500]
        if progress is not None:
            progress(begin, len(ordered), batch[0].name)
        outcomes, refused = _register_batch(database, batch)
        failures += refused
        for file in (file for file in batch if file.name in outcomes):
            remarks = file.remarks + (live_block_warning(database, file) if supabase else ())
            warnings += remarks
            registered.append(
                results.RegisterResult(migration_name=file.name, outcome=outcomes[file.name], has_rollback_sql=file.rollback is not None, warnings=remarks)
            )
    return results.SyncResult(registered=tuple(registered), skipped=skipped, not_applied=tuple(not_applied), failed=tuple(failures), warnings=tuple(warnings))


def _register_batch(database: Database, batch: Sequence[MigrationFile]) -> tuple[dict[str, str], Sequence[FileFailure]]:
    """Register files together, or, when the database refuses one of them, one by one: a bad one stops no other. Writes."""
    try:
        return database.register_many([file.record() for file in batch]), ()
    except (ConnectionFailed, LockBusy):
        raise
    except MigrollbackError as refusal:
        if getattr(refusal, "sqlstate", None) in ("25006", "42501"):  # nothing may be written, or not by this role: no matter of a file
            raise
        outcomes: dict[str, str] = {}
        refused = []
        for file in batch:
            try:
                outcomes |= database.register_many([file.record()])
            except (ConnectionFailed, LockBusy):
                raise
            except MigrollbackError as error:
                refused.append(results.FileFailure(migration_name=file.name, error=f"{file.path}: {error}"))
        return outcomes, refused


def live_block_warning(database: Database, file: MigrationFile) -> tuple[str, ...]:
    """Say that Supabase's own tool would run a rollback block that is live SQL, where this is its database. Does not write."""
    if file.rollback is not None and file.rollback.live and database.uses_supabase():
        return (f"{file.path}:{file.rollback.line}: the rollback block is live SQL, and supabase db push runs it as well. Comment it out line by line",)
    return ()


def order_files(files: dict[str, MigrationFile], known: Iterable[str]) -> tuple[Sequence[MigrationFile], Sequence[FileFailure]]:
    """Dependencies first. Files whose dependencies are missing or circular become failures, and so does what rests on them."""
    depends_on = {name: file.depends_on for name, file in files.items()}
    failures: list[FileFailure] = []
    while True:
        if lacking := planning.missing(depends_on, known):
            for name, bases in lacking.items():
                failures.append(
                    results.FileFailure(
                        migration_name=name,
                        error=f"{files[name].path}: depends on {', '.join(bases)}, which is neither in place nor a new, good file of the folder\nAdd the file, apply it again, or correct -- Depends on:.",
                    )
                )
                del depends_on[name]
            continue
        try:
            like = [file.name for file in in_order(files.values())]
            return [files[name] for name in planning.order(depends_on, like=like)], failures
        except DependencyError as error:
            for name in dict.fromkeys(error.names):
                failures.append(results.FileFailure(migration_name=name, error=f"{files[name].path}: {error}"))
                del depends_on[name]
