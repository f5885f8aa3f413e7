"""Under which settings commands run, and which the session has instead. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString

#: A client that is killed must not leave its rollback running; not every platform can find out.
CHECK_CLIENT = {"client_connection_check_interval": "200ms"}
#: Where run_migration_sql() finds the key that it repeats in its notices.
PROGRESS = "migrollback.progress"
#: A query for what the session has where a command has a SET LOCAL.
OF_SESSION: LiteralString = """
SELECT s.name, pg_catalog.current_setting(s.name) AS value
FROM pg_catalog.unnest(ARRAY['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout',
                             'synchronous_commit', 'client_min_messages', 'client_connection_check_interval'
                            ]::pg_catalog.text[]) AS s (name)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long anything may take. Texts as PostgreSQL reads them: 500ms, 2s, 10min; 0 is no limit."""

    lock_timeout: str = "500ms"  #: longest wait for one lock; others queue behind us
    statement_timeout: str = "10min"  #: longest run of a rollback or of an up migration
    idle_timeout: str = "60s"  #: longest time that we are idle inside a transaction
    retries: int = 8  #: how often a try that met a lock is made again


def of_command(
    timeouts: Timeouts, *, lock_timeout: str | None = None, statement_timeout: str | None = None
) -> dict[str, str]:
    """What every command runs under; pure."""
    return {
        "lock_timeout": lock_timeout or timeouts.lock_timeout,
        "statement_timeout": statement_timeout or timeouts.statement_timeout,
        "idle_in_transaction_session_timeout": timeouts.idle_timeout,
        # acknowledged must mean durable: with `off`, five of five commits were lost in a crash
        "synchronous_commit": "on",
        # "... does not exist, skipping" is a notice, and must be heard
        "client_min_messages": "notice",
    }


def checks_client(wanted: Mapping[str, str]) -> bool:
    """Whether `CHECK_CLIENT` is among these; pure."""
    return CHECK_CLIENT.keys() <= wanted.keys()


def without_check(wanted: Mapping[str, str]) -> dict[str, str]:
    """These without `CHECK_CLIENT`; pure."""
    return {name: value for name, value in wanted.items() if name not in CHECK_CLIENT}
