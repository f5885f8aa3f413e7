"""A connection that does other work of ours while the server works: what needs no answer of it. Sends nothing itself.

No thread: a thread that parses keeps the interpreter for milliseconds, and the server would wait for the next command.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.waiting import Wait

#: One piece of work, of a few milliseconds at most: the server waits for us as long.
Work = Callable[[], object]


class WorkingConnection(psycopg.Connection[Any]):
    """A psycopg connection that takes the next piece of work while an answer is not there yet."""

    #: What is left to do.
    work: Iterator[Work] | None = None

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """As psycopg's own. Works until the first answer comes."""
        if self.work is not None:
            gen = self._working(gen, self.work)
        return super().wait(gen, *arguments, **options)

    def _working(self, gen: Any, work: Iterator[Work]) -> Any:
        try:
            state = next(gen)
            while True:
                while state == Wait.R and not select.select([self.pgconn.socket], [], [], 0)[0]:
                    if (piece := next(work, None)) is None:
                        break
                    piece()
                state = gen.send((yield state))
        except StopIteration as done:
            return done.value


@contextmanager
def working(connection: psycopg.Connection[Any], work: Iterator[Work]) -> Iterator[None]:
    """Do this work while the block waits for answers, as far as it comes. A borrowed connection does none of it."""
    if not isinstance(connection, WorkingConnection):
        yield
        return
    connection.work = work
    try:
        yield
    finally:
        connection.work = None
