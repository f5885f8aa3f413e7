"""Who was at the other end, split out of what the audit log keeps of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_OURS = re.compile(r"migrollback_nb/(?P<interface>[^ ]+) (?P<user>.*)@(?P<host>[^@]*)", re.DOTALL)


def split_client(client: str | None) -> tuple[str | None, str | None, str | None]:
    """(interface, user of the machine, its name) of a stored client; another program's words are its interface; pure.

    Examples
    --------
    >>> split_client("migrollback_nb/cli ann@laptop")
    ('cli', 'ann', 'laptop')
    >>> split_client("psql")
    ('psql', None, None)
    """
    found = None if client is None else _OURS.fullmatch(client)
    return (client, None, None) if found is None else (found["interface"], found["user"], found["host"])


def who(row: Mapping[str, Any], user: str = "database_user") -> dict[str, Any]:
    """Actor, interface, os_user and host of a stored row; pure."""
    interface, os_user, host = split_client(row["client"])
    return {"actor": row[user], "interface": interface, "os_user": os_user, "host": host}
