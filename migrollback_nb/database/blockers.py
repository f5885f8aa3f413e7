"""Finds out on a second connection who blocks a first one: after a lock timeout it is too late. Does not write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.rows import dict_row

from migrollback_nb.core.errors import MigrollbackError

_QUERY = """
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT a.pid, a.usename, a.application_name, a.state, a.backend_type, a.xact_start
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%(pid)s)) AS b (pid)
JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
"""
#: A call that takes longer than this may be waiting for a lock, in seconds.
_SUSPICIOUS = 0.05
_INTERVAL = 0.05
#: The same once a lock is known to be in the way: a call may wait no longer than a short lock timeout.
_EAGER_INTERVAL = 0.02
#: Longest time between two looks at a call that goes on without being blocked: less than a lock timeout.
_CALM_INTERVAL = 0.1
#: The watching thread ends after this silence, in seconds.
_IDLE = 5.0


class BlockerWatch:
    """Watches the calls of one connection.

    Parameters
    ----------
    reopen : callable or None
        Opens a second connection to the same database; None: nothing can be found out.

    Notes
    -----
    One thread looks ten times a second whether a call is suspiciously slow. A thread for each call would cost a fifth
    of a small one.
    """

    def __init__(self, reopen: Callable[[], psycopg.Connection] | None) -> None:
        self.eager = False  #: True: a lock is known to be in the way, so look at once and often
        self._reopen = reopen
        self._pid = 0
        self._began: float | None = None
        self._last_use = 0.0
        self._found: dict[int, dict[str, Any]] = {}
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, pid: int) -> Iterator[dict[int, dict[str, Any]]]:
        """Watch the server process `pid` while the block lasts. Gives process id -> what is known of each blocker."""
        found: dict[int, dict[str, Any]] = {}
        self._found = found
        self._pid = pid
        self._began = self._last_use = time.monotonic()
        with self._starting:
            if self._reopen is not None and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._look, name="migrollback blocker watch", daemon=True)
                self._thread.start()
        try:
            yield found
        finally:
            self._began = None
            self._last_use = time.monotonic()

    def _look(self) -> None:
        while time.monotonic() - self._last_use < _IDLE or self._began is not None:
            time.sleep(_EAGER_INTERVAL if self.eager else _INTERVAL)
            if self.eager or self._is_slow():
                # who cannot open a second connection learns less, and that is all
                with suppress(psycopg.Error, MigrollbackError):
                    self._ask()

    def _is_slow(self) -> bool:
        began = self._began
        return began is not None and time.monotonic() - began > _SUSPICIOUS

    def _ask(self) -> None:
        assert self._reopen is not None  # noqa: S101  # for mypy: without it there is no thread
        with self._reopen() as second:
            cursor = psycopg.ClientCursor(second, row_factory=dict_row)
            interval = _EAGER_INTERVAL
            while self.eager or self._is_slow():
                found = self._found
                if self._began is not None:
                    cursor.execute(_QUERY, {"pid": self._pid})
                    cursor.nextset()
                    found.update({row["pid"]: row for row in cursor})
                interval = _EAGER_INTERVAL if self.eager or found else min(interval * 1.5, _CALM_INTERVAL)
                time.sleep(interval)


def describe_blockers(blockers: Mapping[int, Mapping[str, Any]], *, changed: bool = False) -> str:
    """Who holds the lock that is needed, and what to do, in words; pure.

    Parameters
    ----------
    blockers : mapping
        Process id -> what is known of it.
    changed : bool
        Whether something of what was asked for has run and stays.
    """
    nothing = "" if changed else "Nothing was changed: "
    again = "Try again" if changed else "try again"
    if not blockers:
        return f"Another session holds a lock that is needed. {nothing}{again}, or raise --lock-timeout."
    found = ", ".join(
        f"process {b['pid']} ({b['usename'] or b['backend_type']}, {b['application_name'] or 'no name'},"
        f" {b['state'] or 'active'})"
        for b in blockers.values()
    )
    return f"Blocked by {found}. {nothing}{again} when it is done, or end it with SELECT pg_terminate_backend(pid)."
