"""What statements with CONCURRENTLY leave when they fail, and what the next try makes of it. Does not write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from migrollback_nb.core import errors

if TYPE_CHECKING:
    import psycopg

    from migrollback_nb.database.session import Row, Session


class Unfinished:
    """What of unfinished_schema_objects() matters to one run of statements.

    Parameters
    ----------
    session : Session
        To ask by; the statements run on another connection.
    statements : sequence of str
        Those that are to run: where none of them can meet or leave anything, nothing is asked.
    """

    def __init__(self, session: Session, statements: Sequence[str]) -> None:
        self._session = session
        text = "\n".join(statements).lower()
        self._asks = "concurrently" in text or ("index" in text and "exists" in text)
        self._before = {row["object_id"] for row in self._rows()}

    def _rows(self) -> list[Row]:
        return self._session.call("unfinished_schema_objects") if self._asks else []

    def passed_over(self, connection: psycopg.Connection, statement: str) -> Row | None:
        """The invalid index over which CREATE INDEX IF NOT EXISTS would pass as if it were there; None without one."""
        if not self._before or "exists" not in statement.lower():
            return None
        from migrollback_nb.parsing.concurrently import created_index

        index = created_index(statement)
        if index is None or not index.if_not_exists:
            return None
        table = _oid_of(connection, index.table)
        return next((row for row in self._rows() if (row["table_id"], row["name"]) == (table, index.name)), None)

    def completing(self, connection: psycopg.Connection, statement: str) -> str:
        """The statement to run: FINALIZE instead of a DETACH that an earlier try did not bring to its end."""
        if not self._before or "detach" not in statement.lower():
            return statement
        from migrollback_nb.parsing.concurrently import detaching

        found = detaching(statement)
        if found is None:
            return statement
        partition = _oid_of(connection, found.partition)
        pending = {row["object_id"] for row in self._rows() if row["kind"] == "partition"}
        return found.finalize if partition in pending else statement

    def left(self, statement: str) -> Row:
        """Key ``left`` of a failure's details: what the failed statement left or met; nothing where there is none.

        ``again`` says that the same statement ends it when it runs again.
        """
        words = statement.lower().split()
        again = bool(words) and (words[0] == "drop" or "detach" in words)
        found: list[Row] = []
        with suppress(errors.MigrollbackError):  # the failure itself counts, with or without what it left
            found = [
                {"kind": row["kind"], "identity": row["identity"], "object_id": row["object_id"], "again": again}
                for row in self._rows()
                if not row["in_progress"] and (row["object_id"] not in self._before or _named(row["name"], statement))
            ]
        return {"left": found} if found else {}


def _oid_of(connection: psycopg.Connection, relation: str) -> int | None:
    """The object that a name means on this connection, under what the statements before have set."""
    found = connection.execute("SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid", (relation,)).fetchone()
    return None if found is None else found[0]


def _named(name: str, statement: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", statement) is not None
