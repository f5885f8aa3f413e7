"""Lock modes of tables as PostgreSQL's manual names them, and what they block. Pure."""

from __future__ import annotations

import re

#: Modes as pg_locks names them, weakest first, and what they block.
LOCK_MODES = {
    "AccessShareLock": "only DDL waits",
    "RowShareLock": "DDL waits",
    "RowExclusiveLock": "DDL waits",
    "ShareUpdateExclusiveLock": "DDL and VACUUM wait",
    "ShareLock": "writers wait",
    "ShareRowExclusiveLock": "writers wait",
    "ExclusiveLock": "writers wait",
    "AccessExclusiveLock": "readers and writers wait",
}
#: Where the name of a mode in pg_locks has a word's end.
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def manual_mode(mode: str) -> str:
    """A lock mode as PostgreSQL's manual names it; pure.

    Examples
    --------
    >>> manual_mode("ShareRowExclusiveLock")
    'SHARE ROW EXCLUSIVE'
    """
    return _WORD.sub(" ", mode.removesuffix("Lock")).upper()


def strength(mode: str) -> int:
    """Its place among the modes: from 5 on writers wait, 8 keeps even readers out; 0 is none of a table's."""
    return list(LOCK_MODES).index(mode) + 1 if mode in LOCK_MODES else 0
