"""Masks passwords in SQL, connection strings and prose, as the SQL function mask_passwords() does. Pure.

SQL is read by its literals and comments, and only what stands in one is replaced: a text that is shown before it runs
must not be able to hide a statement behind a password.
"""

from __future__ import annotations

import re
from typing import Any

#: Any text that may hold one.
_MAY_HOLD = re.compile("password|://", re.IGNORECASE)


def mask_passwords(text: str) -> str:
    """A text with *** in place of each password: of SQL, of a connection string or URI.

    Examples
    --------
    >>> mask_passwords("ALTER ROLE app PASSWORD 'hunter2'; postgres://u:hunter2@h/d")
    "ALTER ROLE app PASSWORD '***'; postgres://u:***@h/d"
    """
    if not _MAY_HOLD.search(text):
        return text
    from migrollback_nb.core.password_literals import mask

    return mask(text)


def mask_passwords_in(value: Any) -> Any:
    """A value of JSON with `mask_passwords` of every text in it; its keys stay.

    Examples
    --------
    >>> mask_passwords_in({"statements": ["ALTER ROLE app PASSWORD 'hunter2'", 1]})
    {'statements': ["ALTER ROLE app PASSWORD '***'", 1]}
    """
    if isinstance(value, str):
        return mask_passwords(value)
    if isinstance(value, dict):
        return {key: mask_passwords_in(one) for key, one in value.items()}
    if isinstance(value, list):
        return [mask_passwords_in(one) for one in value]
    return value
