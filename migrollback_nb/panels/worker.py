"""What a panel does off the kernel's thread: one thing at a time, with its progress, until it ends or is cancelled."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.panels.standing import standing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from migrollback_nb.core.results import RollbackProgress
    from migrollback_nb.migrations import Migrations

#: Held while state changes and is drawn. One for all: panels that are linked change each other, from the kernel's
#: thread and from workers.
LOCK = threading.RLock()


class OneThread:
    """What runs one thing at a time, in a thread."""

    _thread: threading.Thread | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is running any more, at most `timeout` seconds. Returns whether that is so."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()


class Worker(OneThread):
    """Runs one thing at a time in a thread, and sets the state that it returns."""

    db: Migrations
    busy: Any
    _began = _reported = 0.0
    _at: RollbackProgress | None = None

    def update(self, **state: Any) -> None:
        """Set several traits of the state at once."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel on the server what is running; what it did is undone there."""
        if not self.busy:
            return
        self.db.database.session.cancel()
        with LOCK:
            if self.busy:  # else it has ended
                self.busy = "Cancel was sent to the server; press it again if this goes on"

    def start(self, words: str, work: Callable[[], Mapping[str, Any]], *, doing: str = "") -> None:
        """Run `work` in a thread, then set the state that it returns. One at a time: a connection serves one thread."""
        with LOCK:
            if self.busy:
                return
            self._began, self._at = time.monotonic(), None
            self.update(busy=words, doing=doing, progress="", fraction=None, error=None)
            self._thread = threading.Thread(target=self._work, args=(work,), name="migrollback panel", daemon=True)
        self._thread.start()

    def _work(self, work: Callable[[], Mapping[str, Any]]) -> None:
        ended = threading.Event()
        threading.Thread(target=self._report_time, args=(ended,), name="migrollback panel's clock", daemon=True).start()
        try:
            state = work()
        except BaseException as error:  # noqa: BLE001  # nothing above a thread would show it
            state = {"error": error}
        with LOCK:
            ended.set()
            self.update(**state, standing=standing_of(self.db), busy="", doing="", progress="", fraction=None)

    def _report(self, at: RollbackProgress) -> None:
        """Keep which statement begins; show the longer ones, and no more than four in a second."""
        with LOCK:
            hurried, self._at = self._at is not None and time.monotonic() - self._reported < 0.25, at
            if not hurried:
                self._say()

    def _report_time(self, ended: threading.Event) -> None:
        """Say every second what runs and how long it has been."""
        while not ended.wait(1):
            with LOCK:
                if not ended.is_set():
                    self._say()

    def _say(self) -> None:
        self._reported = time.monotonic()
        parts = [] if self._at is None else [self._at.message]
        parts.append(f"{self._reported - self._began:.0f} s")
        if said := self.db.database.session.notices:
            parts.append(f"the server said last: {said[-1].message}")
        self.update(progress=html.visible("; ".join(parts)), fraction=None if self._at is None else self._at.fraction)
