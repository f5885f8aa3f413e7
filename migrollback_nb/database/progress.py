"""Passes on how far a rollback is, to whoever asked. A callback that fails stops being called, and stops no rollback. Writes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from migrollback_nb.core.results import RollbackProgress

if TYPE_CHECKING:
    import psycopg

Tell = Callable[[RollbackProgress], None]
#: Called with (how many are done, how many there are, what is next).
Progress = Callable[[int, int, str], None]

#: SQLSTATE of the notices by which run_migration_sql() tells of its statements.
PROGRESS = "MR100"


class Teller:
    """Listens to the notices of one connection.

    Parameters
    ----------
    interrupt : callable
        Called when the person at the keyboard interrupts the callback: no exception gets out of a handler of notices.
    """

    def __init__(self, interrupt: Callable[[], None]) -> None:
        #: What the database repeats in what it tells: a notice of the migration's own SQL is not taken for it.
        self.asked = uuid.uuid4().hex
        self.failure: BaseException | None = None  #: what the callback failed with
        self._tell: Tell | None = None
        self._interrupt = interrupt

    @property
    def listening(self) -> bool:
        """Whether somebody has asked."""
        return self._tell is not None

    @contextmanager
    def telling(self, tell: Tell | None) -> Iterator[None]:
        """Pass on what is told while the block lasts."""
        self._tell, self.failure = tell, None
        try:
            yield
        finally:
            self._tell = None

    def take(self, diagnostic: psycopg.errors.Diagnostic) -> bool:
        """Pass a notice on. Returns whether it was of our own, and not of the migration."""
        told = (
            RollbackProgress.from_notice(diagnostic.datatype_name, self.asked)
            if diagnostic.sqlstate == PROGRESS
            else None
        )
        if told is not None:
            self.say(told)
        return told is not None

    def say(self, progress: RollbackProgress) -> None:
        """Pass on how far it is."""
        if self._tell is None:
            return
        try:
            self._tell(progress)
        except KeyboardInterrupt:
            self._interrupt()
        except Exception as error:  # noqa: BLE001  # told at the end: what runs is not left because of it
            self.failure, self._tell = error, None
