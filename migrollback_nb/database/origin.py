"""What a session says of both its ends: which database it is, and who is at this end. Does not write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from migrollback_nb.core.results import Target

if TYPE_CHECKING:
    import psycopg


def target_of(connection: psycopg.Connection | psycopg.AsyncConnection, schema: str) -> Target:
    """Which database a connection leads to; pure."""
    info = connection.info
    version = info.server_version
    return Target(
        host=info.host or "local",
        port=info.port,
        database=info.dbname,
        user=info.user,
        server_version=f"{version // 10000}.{version % 10000}",
        schema=schema,
    )


def client_name(interface: str) -> str:
    """Who is at this end, for the audit log: interface, user of the machine, name of the machine. Does not write."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"migrollback_nb/{interface} {user}@{socket.gethostname()}"
