"""Lock modes of tables as PostgreSQL's manual names them, and what they block. Pure."""

from __future__ import annotations

import re

#: Modes as the manual names them, weakest first, and what they block.
LOCK_MODES = {
    "ACCESS SHARE": "only DDL waits",
    "ROW SHARE": "DDL waits",
    "ROW EXCLUSIVE": "DDL waits",
    "SHARE UPDATE EXCLUSIVE": "DDL and VACUUM wait",
    "SHARE": "writers wait",
    "SHARE ROW EXCLUSIVE": "writers wait",
    "EXCLUSIVE": "writers wait",
    "ACCESS EXCLUSIVE": "readers and writers wait",
}
#: Where the name of a mode in pg_locks has a word's end.
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def manual_mode(mode: str) -> str:
    """A lock mode as PostgreSQL's manual names it, also where pg_locks named it; pure.

    Examples
    --------
    >>> manual_mode("ShareRowExclusiveLock")
    'SHARE ROW EXCLUSIVE'
    """
    return _WORD.sub(" ", mode.removesuffix("Lock")).upper()


def strength(mode: str) -> int:
    """Its place among the modes: from 5 on writers wait, 8 keeps even readers out; 0 is none of a table's."""
    named = manual_mode(mode)
    return list(LOCK_MODES).index(named) + 1 if named in LOCK_MODES else 0


def blocks(mode: str) -> str:
    """Whom a lock of this mode keeps waiting, in words."""
    return LOCK_MODES.get(manual_mode(mode), "others wait")
