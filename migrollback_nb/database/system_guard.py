"""Whether SQL that runs outside our functions has touched the tables or functions of this system. Does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import psycopg

    from migrollback_nb.database.session import Session

_HISTORY = (
    "SELECT pg_catalog.concat_ws(' ', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtextextended("
    "h::pg_catalog.text, 0))) AS token FROM {schema}.migration_history h"
)


class SystemTouched(Exception):
    """A statement has touched our tables or functions.

    Attributes
    ----------
    undone : bool
        Whether it was undone with its transaction; else it stays.
    """

    sqlstate = "MR022"

    def __init__(self, *, undone: bool) -> None:
        self.undone = undone
        self.hint = "Leave migration_history and its neighbours to migrollback." + (
            "" if undone else " It ran outside a transaction and stays: look with migrollback audit."
        )
        super().__init__("the SQL touches the tables or functions of the rollback system")


class SystemGuard:
    """Looks before and after each statement of a run, while the gate's lock is held.

    What it asks after a statement was fetched before, because the statement may have replaced what would be called.

    Parameters
    ----------
    session : Session
        To ask by; the statements run on another connection.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._query = cast(str, session.call_value("migration_system_token_query"))
        self._tables = session.call("migration_system_objects")[0]["tables"]
        self._token = self._history = self._writes = ""
        self._by_rows = False

    def look(self, statement: str) -> None:
        """Keep what is there before this statement."""
        self._token = cast(str, self._session.call_value("migration_system_token"))
        self._history = cast(str, self._session.query(_HISTORY)[0]["token"])
        # what switches the counting off is met by looking at the rows
        self._by_rows = "track_counts" in statement.lower()

    def look_in(self, connection: psycopg.Connection) -> None:
        """Keep what the transaction of this connection has counted, before the statement runs in it."""
        self._writes = self._written(connection)

    def refuse_in(self, connection: psycopg.Connection) -> None:
        """Raise where the transaction of this connection has touched anything of ours; it is to be rolled back.

        Raises
        ------
        SystemTouched
        """
        if _value(connection, self._query.encode()) != self._token:
            raise SystemTouched(undone=True)
        # our functions are as they were
        counted = _value(connection, b"SELECT pg_catalog.current_setting('track_counts')") == "on"
        if not counted or self._written(connection) != self._writes:
            raise SystemTouched(undone=True)

    def refuse(self) -> None:
        """Raise where a statement has touched anything of ours outside a transaction.

        Raises
        ------
        SystemTouched
        """
        with self._session.transaction():
            connection = self._session.connection
            connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
            touched = _value(connection, self._query.encode()) != self._token
        if touched or self._session.query(_HISTORY)[0]["token"] != self._history:
            raise SystemTouched(undone=False)

    def _written(self, connection: psycopg.Connection) -> str:
        text = self._session.call_text("migration_system_writes", tables=self._tables, rows=self._by_rows)
        return _value(connection, text)


def _value(connection: psycopg.Connection, query: bytes) -> str:
    found = connection.execute(query, prepare=False).fetchone()
    return "" if found is None else cast(str, found[0])
