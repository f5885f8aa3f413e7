"""What is asked and done about archives of destroyed values: the part of `Workspace` about them. Writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from migrollback_nb.core import results
from migrollback_nb.operations.inspection import Inspection

if TYPE_CHECKING:
    from migrollback_nb.core.times import When
    from migrollback_nb.operations.archives import ArchiveOptions


class ArchiveMethods(Inspection):
    """Archives of destroyed values."""

    def archive_rows(self) -> list[dict[str, Any]]:
        """What is kept of destroyed values, the newest first. Does not write.

        Each with migration_name, event (which `restore_archive` takes), direction (what destroyed them: apply or
        rollback), tables, rows, bytes, age (in seconds), complete (True, or why not), kept_at, restored_at.
        """
        return [
            {("age" if name == "age_seconds" else name): value for name, value in row.items()}
            for row in self.database.archives.listed()
        ]

    def restore_archive(
        self, event: int, *, reason: str | None = None, dry_run: bool = False, **options: Unpack[ArchiveOptions]
    ) -> results.RestoreResult:
        """Put back what an archive holds. Writes, in one transaction; not with ``dry_run=True``.

        What a rollback destroyed (`rollback(archive=True)`), when its migration is applied again; what a migration
        destroyed, when it is rolled back and not all came back.

        Parameters
        ----------
        event : int
            Of the archive, as `archive_rows` says it.
        reason : str, optional
            Goes into the audit log.
        dry_run : bool
            True: it is done and undone, and the result says what would come back.
        **options : ArchiveOptions
            ``on_conflict`` and ``disable_triggers``.

        Raises
        ------
        UsageError
            When there is no archive of this event.
        Refused
            When the migration is not applied again, or not rolled back.
        """
        from migrollback_nb.operations.archives import restore, try_restore

        if dry_run:
            return try_restore(self.database, event, options=options)
        return restore(self.database, event, reason=reason, options=options)

    def around(self, command: Sequence[str], **options: Unpack[ArchiveOptions]) -> results.AroundResult:
        """Run another tool, and keep what the pending files destroy. Writes: archives, and what that command writes.

        Parameters
        ----------
        command : sequence of str
            The program and its arguments, such as ``["dbmate", "up"]``.
        **options : ArchiveOptions
            ``archive_budget``, ``archive_rows``.

        Raises
        ------
        Refused
            When the archive would take more: the command has not run then.
        """
        from migrollback_nb.operations.around import around

        return around(self.database, self.folder, command, options=options)

    def prune_archives(self, age: When) -> results.ArchivesChanged:
        """Throw away archives that are older; what they hold is gone for good. Writes, with an event.

        Parameters
        ----------
        age : str or timedelta
            ``30d``, ``3mo``; or a time before which they were kept.
        """
        from migrollback_nb.operations.archives import prune

        return prune(self.database, age)

    def erase_from_archives(self, table: str, key: Any, *, reason: str | None = None) -> results.ArchivesChanged:
        """Take one row of a table out of all archives for good. Writes, with an event that does not name the row.

        Parameters
        ----------
        table : str
            Its name, with its schema where several have one of that name.
        key : str, int or list
            Of the row's primary key; of several columns a list.
        reason : str, optional
            Goes into the audit log.
        """
        from migrollback_nb.operations.archives import erase

        return erase(self.database, table, key, reason=reason)

    def export_archives(self, path: Path | str) -> results.ArchivesChanged:
        """Write all that archives hold to a file, a JSON object a line. Does not write to the database.

        Parameters
        ----------
        path : Path or str
            The file, which must not exist; only its owner may read it (mode 0600).
        """
        from migrollback_nb.operations.archives import export

        return export(self.database, path)
