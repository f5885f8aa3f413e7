"""Queries of people to the history: objects, rehearsals, checklists, proofs, moments, drift. Does not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from migrollback_nb.core import errors
from migrollback_nb.database.session import Row, Session, Undo

#: Part of the rehearsals -> the function that lists it.
_PARTS = {
    None: "recorded_rehearsals",
    "locks": "recorded_rehearsal_locks",
    "rows": "recorded_rehearsal_rows",
    "changes": "recorded_rehearsal_changes",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from a statement of the user's own."""

    columns: tuple[tuple[str, int], ...]  #: name and oid of the type of each column
    rows: list[tuple[Any, ...]]


class QuestionQueries:
    """Queries that are asked of one database's history."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def objects(self, names: Sequence[str] | None = None) -> list[Row]:
        """Rows of objects_of_migrations(), those of the system aside. Does not write."""
        return self._session.query(
            "SELECT o.* FROM {schema}.objects_of_migrations(%(names)s::text[]) o WHERE NOT EXISTS (SELECT FROM"
            " {schema}.migration_history h WHERE h.migration_name = o.migration_name AND h.metadata ->> 'system' ="
            " 'true')",
            names=None if names is None else list(names),
        )

    def rehearsals(self, part: str | None = None) -> list[Row]:
        """Rehearsals of the audit log, or one part of each: locks, rows, changes. Does not write."""
        return self._session.call(_PARTS[part])

    def checklists(self) -> list[Row]:
        """Rows of migration_checklists(), the runs of checklists. Does not write."""
        return self._session.call("migration_checklists")

    def proofs(self) -> list[Row]:
        """Rows of recorded_proofs(). Does not write."""
        return self._session.call("recorded_proofs")

    def at(self, moment: datetime) -> list[Row]:
        """Rows of migrations_at(): how each migration stood at a moment. Does not write."""
        return self._session.call("migrations_at", moment=moment)

    def snapshot_at(self, moment: datetime) -> Row | None:
        """The row of snapshot_at(): what tells best how the schema was then; None: nothing does. Does not write."""
        return next(iter(self._session.call("snapshot_at", moment=moment)), None)

    def changes(self, since: datetime, until: datetime | None) -> list[Row]:
        """Rows of schema_changes_between(); until None: now. Does not write."""
        return self._session.call_in_transaction("schema_changes_between", since=since, until=until)

    def drift(self, since: datetime | None) -> list[Row]:
        """Rows of schema_drift(). Does not write."""
        return self._session.call_in_transaction("schema_drift", since=since)

    def schema_differences(self, old: str, new: str) -> list[Row]:
        """Rows of changes_with_names() between two texts of `Queries.schema_text`. Does not write."""
        return self._session.query(
            "SELECT c.* FROM {schema}.changes_with_names(%(old)s::pg_catalog.jsonb, %(new)s::pg_catalog.jsonb) c ORDER"
            ' BY c.kind COLLATE "C", c.identity COLLATE "C"',
            old=old,
            new=new,
        )

    def ask(self, statement: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Answer:
        """Columns and rows of one statement of the user's own, in a read-only transaction that is undone.

        Does not write.
        """
        answer = Answer((), [])
        with (
            suppress(Undo),
            self._session.translated_errors(),
            self._session.transaction_with(
                {"statement_timeout": self._session.timeouts.statement_timeout, "transaction_read_only": "on"}
            ),
        ):
            try:
                cursor = self._session.connection.execute(statement.encode(), params)
            except psycopg.Error as error:
                if self._session.connection.closed:
                    raise
                # the user's own tables, so a missing one is no missing system
                raise errors.DatabaseError(
                    error.diag.message_primary or str(error), sqlstate=error.sqlstate, hint=error.diag.message_hint
                ) from error
            if cursor.description is not None:
                answer = Answer(tuple((one.name, one.type_code) for one in cursor.description), cursor.fetchall())
            raise Undo  # a read-only transaction may still write temporary tables
        return answer
