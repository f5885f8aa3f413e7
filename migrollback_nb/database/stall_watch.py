"""Watches from a second connection who waits behind a rehearsal, and has it cancelled in time. Does not write."""

from __future__ import annotations

import secrets
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Self

import psycopg

from migrollback_nb.core import errors

if TYPE_CHECKING:
    from types import TracebackType

    from migrollback_nb.database.session import Row, Session

#: How long the end of a rehearsal waits until the watch has seen it, in seconds.
_PATIENCE = 0.2


class StallWatch:
    """Watches one rehearsal of a session, while the block lasts.

    Parameters
    ----------
    session : Session
        On whose connection the rehearsal runs.
    max_stall_ms : int or None
        How long others may wait behind it; None: nothing is watched.

    Notes
    -----
    The looking is done by watch_rehearsal(), on the server: a line to a database that is far away must not make the
    others wait longer.
    """

    def __init__(self, session: Session, max_stall_ms: int | None) -> None:
        #: By which watch_rehearsal() finds the rehearsal: through a pooler no one knows its process.
        self.key: int | None = secrets.randbits(62)
        self.max_stall_ms = max_stall_ms
        self.stalled: Row | None = None  #: who made it end the rehearsal; without keys where the watch itself was lost
        self.missing: str | None = None  #: why there is no second connection
        self._session = session
        self._second: psycopg.Connection | None = None
        self._ready = threading.Event()
        self._ending = threading.Lock()
        self._over = False
        self._timer: threading.Timer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self.max_stall_ms is None:
            self.key = None
            return self
        if self._session.reopen is None:
            self._unwatched("the connection was borrowed")
            return self
        self._thread = threading.Thread(target=self._watch, name="migrollback stall watch", daemon=True)
        self._thread.start()
        return self

    def wait(self) -> None:
        """Wait until it watches, or it is known why not."""
        if self._thread is not None:
            self._ready.wait()

    @property
    def stopped(self) -> bool:
        """Whether it has ended the rehearsal."""
        return self.stalled is not None

    def bounding(self) -> AbstractContextManager[None]:
        """Where no one sees who waits: the rehearsal is cancelled when it has held locks for as long as the bound."""
        return nullcontext() if self.missing is None else self._session.also_reporting(self._start_timer)

    def _start_timer(self) -> None:
        if self._timer is None and self.max_stall_ms is not None:  # with the first statement
            self._timer = threading.Timer(self.max_stall_ms * 0.95 / 1000, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        """Cancel the rehearsal, unless it is over."""
        with self._ending:
            if not self._over:
                self.stalled = {}
                with suppress(psycopg.Error):
                    self._session.connection.cancel_safe(timeout=5)

    def _unwatched(self, why: str) -> None:
        self.missing, self.key = why, None
        self._ready.set()

    def _watch(self) -> None:
        assert self._session.reopen is not None  # noqa: S101  # for mypy: without it there is no thread
        try:
            self._second = self._session.reopen()
        except (psycopg.Error, errors.MigrollbackError) as error:
            self._unwatched(error.message if isinstance(error, errors.MigrollbackError) else str(error))
            return
        with self._second as second:
            call = self._session.statements.call_of_values(
                second, "watch_rehearsal", {"watch": self.key, "max_stall_ms": self.max_stall_ms}
            )
            message = b"; ".join((b"BEGIN", b"SET LOCAL statement_timeout = 0", call, b"ROLLBACK"))
            self._ready.set()
            try:
                cursor = second.execute(message, prepare=False)
                while cursor.description is None and cursor.nextset():
                    pass
                row = cursor.fetchone()
                self.stalled = row[0] if row is not None else None
            except psycopg.Error:
                self._end()  # no one looks any more

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is None:
            with self._ending:
                self._over = True
            return
        self._ready.wait()
        self._thread.join(_PATIENCE)  # by then it has seen the end, unless there was nothing to see
        with self._ending:
            self._over = True
        if self._thread.is_alive() and self._second is not None:
            with suppress(psycopg.Error):
                self._second.cancel_safe(timeout=1)
            self._thread.join(5)
