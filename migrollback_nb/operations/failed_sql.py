"""What helps where migration SQL failed, by its SQLSTATE and the statement. Does not write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrollback_nb.database import Database

_UNSAFE_NEW_VALUE = "55P04"  # of an enum, used in the transaction that added it
_UNDEFINED_FUNCTION = "42883"
_NOT_NULL = "23502"
_ADDS_NOT_NULL = re.compile(r"\bADD\b.*\bNOT\s+NULL\b", re.IGNORECASE | re.DOTALL)

PART_MAY_STAY = "The statement ran outside a transaction: what it did before it failed may stay, so look first."


def hint(database: Database, details: Mapping[str, Any], no_transaction: str) -> str | None:
    """What helps, in words, beside what PostgreSQL says itself; None where nothing is known. Does not write.

    Parameters
    ----------
    details : mapping
        Of the failure: sqlstate, statement.
    no_transaction : str
        What the file would say to run outside a transaction.
    """
    if details["sqlstate"] == _UNSAFE_NEW_VALUE:
        return f"Write {no_transaction}, or put what uses the new value into a migration of its own."
    statement = details.get("statement")
    if details["sqlstate"] == _NOT_NULL and statement and _ADDS_NOT_NULL.search(statement):
        return (
            "The table has rows: add the column with a DEFAULT, or without NOT NULL. What an archive has kept is put"
            " back once the SQL has run."
        )
    if details["sqlstate"] != _UNDEFINED_FUNCTION or not statement:
        return None
    with suppress(Exception):  # a hint ends nothing
        from migrollback_nb.files.extension_functions import functions_named, missing_words

        wanted = functions_named(statement)
        there = set(database.lookups.routines_named(list(wanted))) if wanted else set()
        missing = {name: extension for name, extension in wanted.items() if name not in there}
        if missing:
            create = " ".join(f'CREATE EXTENSION "{extension}";' for extension in sorted(set(missing.values())))
            return f"{missing_words(missing.items())}, which this database does not have: {create}"
    return None
