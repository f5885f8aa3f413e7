"""Archives of destroyed values: under which settings they are kept and restored, and what is done with them. Writes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from migrollback_nb.core import results
from migrollback_nb.core.errors import UsageError
from migrollback_nb.database.archive_commands import FOUND, also_setting
from migrollback_nb.operations.snapshots import before

if TYPE_CHECKING:
    from migrollback_nb.core.times import When
    from migrollback_nb.database import Database
    from migrollback_nb.database.session import Row

OnConflict = Literal["keep", "archive"]


class ArchiveOptions(TypedDict, total=False):
    """What is kept of what SQL destroys, and how it is put back. What is left out, settings of the database say.

    Attributes
    ----------
    archive : bool
        True: keep it (setting ``migrollback.archive``).
    archive_budget : str
        Refuse what takes more, before anything runs: ``2GB``, ``500MB`` (setting ``migrollback.archive_budget``).
    archive_rows : int
        Refuse more rows (setting ``migrollback.archive_rows``).
    on_conflict : {'keep', 'archive'}
        Rows that were written since: keep them as they are, which is the default, or overwrite them.
    disable_triggers : bool
        True: the user's triggers do not fire when values are put back.
    """

    archive: bool | None
    archive_budget: str | None
    archive_rows: int | None
    on_conflict: OnConflict | None
    disable_triggers: bool


def settings_of(options: ArchiveOptions) -> dict[str, str]:
    """The settings that these options are; pure.

    Raises
    ------
    UsageError
        When one is none.
    """
    found = {}
    if (archive := options.get("archive")) is not None:
        found["migrollback.archive"] = "on" if archive else "off"
    if (budget := options.get("archive_budget")) is not None:
        if not budget.strip() or not budget.strip()[0].isdigit():
            raise UsageError(f"archive_budget is no size: {budget!r}", hint="Write it as PostgreSQL does: 500MB, 2GB.")
        found["migrollback.archive_budget"] = budget
    if (rows := options.get("archive_rows")) is not None:
        if rows < 0:
            raise UsageError(f"archive_rows is no number of rows: {rows}", hint="Give 0 or more.")
        found["migrollback.archive_rows"] = str(rows)
    if (conflict := options.get("on_conflict")) is not None:
        if conflict not in ("keep", "archive"):
            raise UsageError(f"on_conflict is keep or archive, not {conflict!r}")
        found["migrollback.on_conflict"] = conflict
    if options.get("disable_triggers"):
        found["migrollback.disable_triggers"] = "on"
    return found


def under(database: Database, options: ArchiveOptions) -> AbstractContextManager[None]:
    """Set these options in each transaction while the block lasts. Does not write."""
    return also_setting(database.session, settings_of(options))


def found_by_trial(database: Database, record: Row, statements: Sequence[str]) -> AbstractContextManager[None]:
    """Find out what SQL destroys of which its text does not tell it; begin_archive() hears it. Does not write."""
    found = database.archives.destroyed_in_trial(record, statements, max_stall=database.session.timeouts.max_stall)
    return also_setting(database.session, {FOUND: json.dumps(found)})


def kept(database: Database, names: Sequence[str]) -> tuple[results.Archived, ...]:
    """What was kept of what these migrations destroyed when they were applied. Does not write."""
    newest: dict[str, results.Archived] = {}
    for row in database.archives.listed():
        if row["migration_name"] in names and row["direction"] == "apply":
            newest.setdefault(row["migration_name"], results.Archived.of(row))
    return tuple(newest[name] for name in names if name in newest)


def restored(database: Database, name: str, details: Row) -> results.RestoreResult | None:
    """What a rollback has put back, by the details of its event. Does not write."""
    report = details.get("restored")
    if report is None:
        return None
    conflicts: list[Row] = []
    if any(one.get("conflicts") for one in report["tables"]):
        conflicts = database.archives.conflicts(report["event"])
    return results.RestoreResult.of(name, report, conflicts)


def restore(database: Database, event: int, *, reason: str | None, options: ArchiveOptions) -> results.RestoreResult:
    """Put back what the archive of an event holds. Writes."""
    with under(database, options):
        report = database.archives.restore(event, reason)
    return results.RestoreResult.of(report["migration_name"], report, database.archives.conflicts(event))


def try_restore(database: Database, event: int, *, options: ArchiveOptions) -> results.RestoreResult:
    """Put back what the archive of an event holds, and undo that. Does not write."""
    with under(database, options):
        report, conflicts = database.archives.try_restore(event, max_stall=database.session.timeouts.max_stall)
    return results.RestoreResult.of(report["migration_name"], report, conflicts, dry_run=True)


def prune(database: Database, age: When) -> results.ArchivesChanged:
    """Throw away archives that are older. Writes, with an event."""
    row = database.archives.prune(before(age))
    return results.ArchivesChanged(what="pruned", count=row["pruned"], bytes=row["bytes"])


def erase(database: Database, table: str, key: Any, *, reason: str | None) -> results.ArchivesChanged:
    """Take one row of a table out of all archives for good. Writes, with an event."""
    text = json.dumps(list(key)) if isinstance(key, list | tuple) else str(key)
    return results.ArchivesChanged(what="erased", count=database.archives.erase(table, text, reason))


def export(database: Database, path: Path | str) -> results.ArchivesChanged:
    """Write all that archives hold to a file that only its owner may read. Does not write to the database.

    Raises
    ------
    UsageError
        When the file exists already.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", hint="Name a file that does not.") from error
    count = 0
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        for row in database.archives.contents():
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
        size = file.tell()
    return results.ArchivesChanged(what="exported", count=count, bytes=size, path=str(path))
