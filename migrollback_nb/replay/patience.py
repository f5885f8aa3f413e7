"""Tells a trouble of the scratch server from a fault of a migration, and tries again after a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from migrollback_nb.core.errors import ConnectionFailed, MigrollbackError

T = TypeVar("T")

#: Seconds before each further try.
WAITS = (0.2, 0.5, 1.0, 2.0)
#: Classes and codes of SQLSTATE that say nothing of the SQL that met them: no room for another connection, for memory
#: or on the disk; the server starts, stops or has crashed; the connection is lost; the database to copy is in use.
_OF_THE_SERVER = ("53", "08", "57P02", "57P03", "55006")
#: What a server says that takes no further connection. psycopg has no SQLSTATE for an attempt to connect.
_NO_ROOM = ("too many", "remaining connection slots", "starting up", "shutting down", "in recovery")


def is_of_the_server(sqlstate: str | None) -> bool:
    """Whether an error is the server's trouble, whatever the SQL was. Pure."""
    return (sqlstate or "").startswith(_OF_THE_SERVER)


def is_trouble(error: Exception) -> bool:
    """Whether an error that ended a piece of work may pass. Pure."""
    if isinstance(error, ConnectionFailed | psycopg.OperationalError | psycopg.InterfaceError):
        return True
    return isinstance(error, MigrollbackError | psycopg.Error) and is_of_the_server(getattr(error, "sqlstate", None))


def no_room(error: Exception) -> bool:
    """Whether a connection failed because the server takes none just now. Pure."""
    said: BaseException | None = error
    while isinstance(said, ConnectionFailed):
        if any(word in str(said) for word in _NO_ROOM):
            return True
        said = said.__cause__ or said.__context__
    return False


def patiently(attempt: Callable[[], T], *, trouble: Callable[[Exception], bool] = is_trouble) -> T:
    """Make an attempt, and make it again while it meets a trouble that may pass. Writes what the attempt writes."""
    for wait in WAITS:
        try:
            return attempt()
        except (MigrollbackError, psycopg.Error) as error:
            if not trouble(error):
                raise
        time.sleep(wait)
    return attempt()
