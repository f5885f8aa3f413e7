"""Keeps the notices of a command, apart from those that report progress. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.results import Notice

if TYPE_CHECKING:
    import psycopg

    from migrollback_nb.database.progress import ProgressReporter

#: Functions of the server that say "... does not exist, skipping"; the texts are translated, these names are not.
_SKIPPING = frozenset(
    {
        "does_not_exist_skipping", "DropErrorMsgNonExistent", "ProcessUtilitySlow", "ATExecDropColumn",
        "ATExecDropConstraint", "ATExecDropIdentity", "ATExecDropExpression", "RenameRelation", "RenameConstraint",
        "renameatt", "AlterTableNamespace", "AlterSequence", "AlterStatistics", "AlterDomainDropConstraint",
        "DropConfigurationMapping",
        "DropRole", "RemoveUserMapping", "DropSubscription", "dropdb", "DropTableSpace",
    }
)  # fmt: skip


class NoticeLog:
    """Notices of the command that runs, or of the last one.

    Parameters
    ----------
    reporter : ProgressReporter
        Gets the notices that report progress.
    """

    def __init__(self, reporter: ProgressReporter) -> None:
        self.notices: list[Notice] = []
        self._reporter = reporter

    def take(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Keep a notice of the server, or pass it on."""
        if self._reporter.take_notice(diagnostic):
            return
        self.notices.append(
            Notice(
                severity=diagnostic.severity_nonlocalized or diagnostic.severity or "NOTICE",
                message=mask_passwords(diagnostic.message_primary or ""),
                skipped=diagnostic.source_function in _SKIPPING,
            )
        )

    def keep(self, notices: Sequence[Notice] = ()) -> None:
        """Forget the notices so far, but for these."""
        self.notices[:] = notices
