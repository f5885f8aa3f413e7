"""How a connection stands that a panel uses, and what a person's Cancel means. Does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrollback_nb.core.errors import Refused, RehearsalStopped
from migrollback_nb.core.results.verdict_cards import CANCELED

if TYPE_CHECKING:
    from migrollback_nb.migrations import Migrations


class RehearsalCancelled(RehearsalStopped):
    """A person ended the rehearsal. Nothing was changed, and nothing is known of the rollback."""

    def __init__(self, chosen: str) -> None:
        super().__init__(
            f"nothing is known of the rollback of {chosen}, and nothing was changed",
            migration_name=None,
            hint="Rehearse again when no one is in the way, or on a copy.",
        )


class StillThere(Refused):
    """A migration is not rolled back: something that it created still stands. A person may say so all the same."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(
            refused.reason,
            migration_name=refused.migration_name,
            hint="Drop it by hand, or resolve as applied and roll the migration back; or tick what is asked for here.",
        )


def was_cancelled(db: Migrations, sqlstate: str | None) -> bool:
    """Whether a command ended with this SQLSTATE because a person pressed Cancel here. Does not write."""
    return sqlstate == CANCELED and bool(db.database.session.cancelled)


def standing_of(db: Migrations) -> str:
    """What of the connection is not as usual, by what the server has told without being asked. Does not write.

    Returns
    -------
    str
        lost, read only, or empty.
    """
    connection = db.database.connection
    if connection.closed:
        return "lost"
    told = (connection.info.parameter_status(name) for name in ("default_transaction_read_only", "in_hot_standby"))
    return "read only" if "on" in told else ""
