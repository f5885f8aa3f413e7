"""A run that was interrupted: what was undone, and what stays. Does not write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import Interrupted, MigrollbackError
from migrollback_nb.core.text import first_few

if TYPE_CHECKING:
    from migrollback_nb.database import Database


@contextmanager
def saying_what_stays(database: Database, action: str, *, nontransactional: bool = False) -> Iterator[None]:
    """Turn Ctrl-C into `Interrupted`, which says what the commands inside had committed by then. Does not write."""
    database.attempts.forget()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        undone = "What was running was cancelled on the server and undone."
        if nontransactional:
            undone = (
                "The statement that was running was cancelled on the server. Those before it stay, and a second run"
                " resumes."
            )
        try:
            done = database.attempts.completed()
        except MigrollbackError as error:
            raise Interrupted(
                "What was running was cancelled, if it was not committed already; the database does not answer:"
                f" {error.message}"
            ) from interrupt
        if done:
            undone = (
                f"Too late for {some(done)}: {action}, committed, and not undone. Only what came after that was"
                " cancelled."
            )
        raise Interrupted(undone, done=done) from interrupt


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more; pure."""
    return first_few(names, 5)
