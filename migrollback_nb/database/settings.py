"""Under which settings commands run, and which the session has instead. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString

from migrollback_nb.core.errors import UsageError

#: A client that is killed must not leave its rollback running; not every platform can find out.
CHECK_CLIENT = {"client_connection_check_interval": "200ms"}
#: Where run_migration_sql() finds the key that it repeats in its notices.
PROGRESS = "migrollback.progress"
#: Units of a time, as PostgreSQL's settings have them, in milliseconds; without one it is milliseconds.
_UNITS = {"us": 0.001, "ms": 1, "": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_TIME = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*")
#: Who looks for dependencies after a command: the client, which reads files too, or else the database itself.
DEPENDENCIES = "migrollback.dependencies"
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
    max_stall: str = "1s"  #: longest time that others wait behind a rehearsal on the target


def milliseconds(time: str, *, option: str) -> int:
    """A time as PostgreSQL's settings read it, in milliseconds; pure.

    Examples
    --------
    >>> milliseconds("1.5s", option="max_stall"), milliseconds("250", option="max_stall")
    (1500, 250)
    """
    found = _TIME.fullmatch(time)
    if found is None or found[2] not in _UNITS:
        raise UsageError(
            f"{option} is no time: {time!r}", hint="Write it as PostgreSQL does: 500ms, 1s, 2min; 0 is no limit."
        )
    return round(float(found[1]) * _UNITS[found[2]])


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
        DEPENDENCIES: "client",
    }


def checks_client(wanted: Mapping[str, str]) -> bool:
    """Whether `CHECK_CLIENT` is among these; pure."""
    return CHECK_CLIENT.keys() <= wanted.keys()


def without_check(wanted: Mapping[str, str]) -> dict[str, str]:
    """These without `CHECK_CLIENT`; pure."""
    return {name: value for name, value in wanted.items() if name not in CHECK_CLIENT}
