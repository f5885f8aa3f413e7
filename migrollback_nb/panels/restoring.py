"""Restoring archives from a panel: what is chosen and found of it, and the work. Writes only by `restore`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import DatabaseError, UsageError
from migrollback_nb.panels.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from migrollback_nb.core.results import RestoreResult, Target
    from migrollback_nb.operations.archives import OnConflict


@dataclass(frozen=True, slots=True)
class Restoring:
    """Which archive is chosen, and what is known of it."""

    event: int | None = None  #: of the archive
    on_conflict: OnConflict = "keep"  #: what becomes of rows that were written since
    preview: RestoreResult | None = None  #: what would come back
    typed: str = ""  #: what the person has typed to confirm it
    result: RestoreResult | None = None  #: what came back


class Restores(Worker):
    """The part of `SharedState` that restores archives."""

    archives: Any
    restoring: Any
    reason: Any

    def _connected(self) -> Target:
        raise NotImplementedError

    def _read(self, question: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        raise NotImplementedError

    def _found(self) -> dict[str, Any]:
        raise NotImplementedError

    def _archives(self) -> dict[str, Any]:
        """The archives as they are now; none for a role that may not read the list. Does not write."""
        with suppress(DatabaseError):
            return {"archives": tuple(self.db.archive_rows())}
        return {"archives": ()}

    def preview_restore(self) -> None:
        """Find out what the chosen archive would bring back: it is put back, and that is undone. Does not write."""
        asked = self.restoring
        if asked.event is None:
            raise UsageError("Choose an archive first")

        def look() -> dict[str, Any]:
            found = self.db.restore_archive(asked.event, dry_run=True, on_conflict=asked.on_conflict)
            return {"restoring": replace(asked, preview=found, typed="", result=None)}

        self.update(restoring=replace(asked, preview=None, typed="", result=None))
        self.start(f"Looking at what comes back from event {asked.event}", lambda: self._read(look))

    @property
    def may_restore(self) -> bool:
        """Whether the chosen archive was previewed, and the name of its migration typed."""
        preview = self.restoring.preview
        return not self.busy and preview is not None and self.restoring.typed == preview.migration_name

    def restore(self) -> None:
        """Put back what the chosen archive holds. Writes; only after a preview and the typed name.

        Raises
        ------
        UsageError
            When one is missing.
        """
        asked = self.restoring
        if not self.may_restore:
            raise UsageError("Not yet: look at what would come back, and type the migration's name exactly")
        reason = self.reason.strip() or None

        def work() -> dict[str, Any]:
            self._connected()
            found = self.db.restore_archive(asked.event, reason=reason, on_conflict=asked.on_conflict)
            done = replace(asked, preview=None, typed="", result=found)
            return {**self._read(self._found), "restoring": done}

        self.update(restoring=replace(asked, typed=""))
        self.start(f"Putting back what was kept of {asked.preview.migration_name}", work)
