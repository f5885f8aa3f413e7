"""The rollback of what was asked for: confirmed, whole or one after another, and once for each attempt. Writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from migrollback_nb.core.errors import ConfirmationRequired, LockBusy, Refused
from migrollback_nb.operations import attempts, ranges, rollback
from migrollback_nb.operations.each import roll_back_each
from migrollback_nb.operations.snapshots import check_choice

if TYPE_CHECKING:
    from uuid import UUID

    from migrollback_nb.core.results import ChainResult, NothingToRollBack, RollbackResult
    from migrollback_nb.core.results.selection import Range
    from migrollback_nb.database import Database
    from migrollback_nb.operations.snapshots import Snapshots

Result: TypeAlias = "RollbackResult | ChainResult | NothingToRollBack"
#: How often an attempt is made again that met another session, which may have been at the same attempt.
_TRIES = 3


def roll_back_range(
    database: Database,
    range: Range,
    *,
    confirm: str,
    each: bool,
    attempt_id: UUID | str | None,
    folder: Path | None,
    snapshots: Snapshots,
    **options: Any,
) -> Result:
    """Roll back what a range means. Writes; options, results and errors are those of `Workspace.rollback`.

    An attempt that was made before is looked up first, before the range is: the last two are others by now.
    """
    check_choice(snapshots)
    options["snapshots"] = snapshots
    attempt = attempts.read_id(attempt_id)
    asked = range.asked | ({"each": True} if each else {})

    def run() -> Result:
        found = attempts.find(database, range, attempt, folder=folder)
        if found.steps or range.deploy is not None:
            rollback.require_confirmation(confirm, range, found.steps, begun=found.begun)
        if not found.steps:
            return ranges.nothing_in(database, found)
        if each:
            return roll_back_each(database, found.steps, asked=asked, attempt_id=attempt, folder=folder, **options)
        begun = {} if attempt is None else {"asked": asked}
        return rollback.rollback(database, found.steps, attempt_id=attempt, begun=begun, folder=folder, **options)

    return run() if attempt is None else once(database, asked, attempt, run)


def once(database: Database, asked: Mapping[str, Any], attempt_id: str, run: Callable[[], Result]) -> Result:
    """Run it, unless this attempt has ended; again where another job is at the same attempt. Writes what it writes."""
    tries_left = _TRIES
    while True:
        if (before := attempts.ended(database, asked, attempt_id)) is not None:
            return before
        done = _done(database, attempt_id)
        try:
            return run()
        except ConfirmationRequired:
            raise
        except (Refused, LockBusy) as error:
            # another job of the same id may have been faster
            if (before := attempts.ended(database, asked, attempt_id)) is not None:
                return before
            went_on = _done(database, attempt_id) > done
            tries_left -= not went_on
            if not tries_left or not (went_on or isinstance(error, LockBusy)):
                raise


def _done(database: Database, attempt_id: str) -> int:
    """How many migrations this attempt has rolled back."""
    known = attempts.look_up(database, attempt_id)
    return 0 if known is None else len(known.done)
