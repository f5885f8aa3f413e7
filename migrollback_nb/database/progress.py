"""Passes on how far a rollback is. A callback that fails is called no more, and stops no rollback. Does not write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from migrollback_nb.core.results import RollbackProgress

if TYPE_CHECKING:
    import psycopg

#: Called before each statement of a rollback, and around them.
RollbackCallback = Callable[[RollbackProgress], None]
#: Called with (how many are done, how many there are, what is next).
Progress = Callable[[int, int, str], None]

#: SQLSTATE of the notices in which run_migration_sql() names its statements.
PROGRESS = "MR100"


class ProgressReporter:
    """Listens to the notices of one connection, and calls a callback.

    Parameters
    ----------
    interrupt : callable
        Called when the user interrupts the callback: no exception gets out of a handler of notices.
    """

    def __init__(self, interrupt: Callable[[], None]) -> None:
        #: The database repeats it in each of its notices: a notice of the migration's own SQL is not taken for one.
        self.key = os.urandom(16).hex()
        self.failure: BaseException | None = None  #: what the callback failed with
        self._callback: RollbackCallback | None = None
        self._also: Callable[[], None] | None = None
        self._interrupt = interrupt

    @property
    def listening(self) -> bool:
        """Whether there is a callback."""
        return self._callback is not None or self._also is not None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of the reports."""
        failure = self.failure
        return () if failure is None else (f"Progress was not shown to the end: {type(failure).__name__}: {failure}",)

    @contextmanager
    def reporting(self, callback: RollbackCallback | None) -> Iterator[None]:
        """Call this callback while the block lasts."""
        self._callback, self.failure = callback, None
        try:
            yield
        finally:
            self._callback = None

    @contextmanager
    def also(self, hear: Callable[[], None]) -> Iterator[None]:
        """Call this too, before the callback, while the block lasts."""
        self._also = hear
        try:
            yield
        finally:
            self._also = None

    def take_notice(self, diagnostic: psycopg.errors.Diagnostic) -> bool:
        """Pass a notice on. Returns whether it was our own, and not the migration's."""
        found = (
            RollbackProgress.from_notice(diagnostic.datatype_name, self.key)
            if diagnostic.sqlstate == PROGRESS
            else None
        )
        if found is not None:
            self.report(found)
        return found is not None

    def report(self, progress: RollbackProgress) -> None:
        """Call the callback with how far it is."""
        if self._also is not None:
            self._also()
        if self._callback is None:
            return
        try:
            self._callback(progress)
        except KeyboardInterrupt:
            self._interrupt()
        except Exception as error:  # noqa: BLE001  # a warning says so at the end: the rollback goes on
            self.failure, self._callback = error, None
