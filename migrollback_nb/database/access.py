"""What the user of a connection may do with the rollback system, and how a right that lacks is said. Does not write."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, Protocol

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row

from migrollback_nb.core import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class HasConnection(Protocol):
    """What is asked of a session here."""

    connection: psycopg.Connection
    schema: str
    reopen: Callable[[], psycopg.Connection] | None

    def translated_errors(self) -> AbstractContextManager[None]:
        """Turn errors of psycopg into ours."""


#: Every operator and function is qualified: on the caller's path may stand others of the same names.
QUERY: LiteralString = """
SELECT coalesce(pg_catalog.has_table_privilege(t.history, 'UPDATE'::pg_catalog.text), false) AS writes,
       coalesce(pg_catalog.has_table_privilege(t.history, 'SELECT'::pg_catalog.text), false) AS reads,
       coalesce(pg_catalog.has_function_privilege(t.gate, 'EXECUTE'::pg_catalog.text), false) AS operates,
       (SELECT pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c
         WHERE c.oid OPERATOR(pg_catalog.=) t.history) AS owner,
       current_user AS user
FROM (SELECT pg_catalog.to_regclass(%(history)s::pg_catalog.text)::pg_catalog.oid AS history,
             pg_catalog.to_regprocedure(%(gate)s::pg_catalog.text)::pg_catalog.oid AS gate) t
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rights of one user to the rollback system of one database."""

    writes: bool  #: to its tables: it needs no gate
    reads: bool
    operates: bool  #: it may roll back through the operators' gate
    owner: str | None  #: whose the system is; None: there is none
    user: str

    @property
    def through_gate(self) -> bool:
        """Whether it rolls back through the operators' gate, and not with its own rights."""
        return self.operates and not self.writes

    @property
    def only_gate(self) -> bool:
        """Whether the gate is all that it may use."""
        return self.through_gate and not self.reads

    def hint(self) -> str | None:
        """What it is, and who can help; None for one who may write, whose right lacks elsewhere."""
        if self.writes or self.owner is None:
            return None
        if self.only_gate:
            return (
                f"{self.user} is an operator: it checks, previews, rehearses and rolls back what is registered, and"
                f" reads nothing else. To read the rest: migrollback grant auditor {self.user}, as {self.owner}."
            )
        if self.operates:
            return (
                f"{self.user} is an auditor and an operator: it reads everything, and rehearses and rolls back what is"
                f" registered. {self.owner}, who owns the system, may do the rest."
            )
        if self.reads:
            return (
                f"{self.user} is an auditor: it reads everything and changes nothing. To let it roll back what is"
                f" registered: migrollback grant operator {self.user}, as {self.owner}."
            )
        return (
            f"{self.user} has no right to the rollback system. To let it read: migrollback grant auditor {self.user};"
            f" to let it roll back what is registered: migrollback grant operator {self.user}; as {self.owner}."
        )


def names(schema: str) -> dict[str, str]:
    """The values of `QUERY` for the system of a schema; pure."""
    return {
        "history": sql.Identifier(schema, "migration_history").as_string(None),
        "gate": f"{sql.Identifier(schema).as_string(None)}.operator_gate()",
    }


class Rights:
    """The access of a session's user, asked once for a connection."""

    def __init__(self, session: HasConnection) -> None:
        self._session = session
        self._access: Access | None = None

    @property
    def access(self) -> Access:
        """What the user may do. Does not write."""
        if self._access is None:
            with self._session.translated_errors():
                self._access = _ask(self._session.connection, self._session.schema)
        return self._access

    @property
    def through_gate(self) -> bool:
        """As of `access`. Does not write."""
        return self.access.through_gate

    @property
    def only_gate(self) -> bool:
        """As of `access`. Does not write."""
        return self.access.only_gate

    def keep(self, row: dict[str, Any]) -> None:
        """Keep the row of `QUERY`, which came with others. Does not write."""
        self._access = Access(**row)

    def forget(self) -> None:
        """Ask again the next time: it is another connection. Does not write."""
        self._access = None

    def lack_but_for_gate(self, error: errors.DatabaseError) -> bool:
        """Whether this error says that a right lacks, and the operators' gate serves instead. Does not write."""
        return error.sqlstate == "42501" and self.through_gate

    def translate(self, error: psycopg.Error) -> errors.MigrollbackError:
        """Build the error that an error of the server stands for; of a right that lacks with who can help."""
        return errors.from_sqlstate(
            error.sqlstate,
            error.diag.message_primary or str(error),
            detail=error.diag.message_detail,
            hint=error.diag.message_hint or (self.hint() if error.sqlstate == "42501" else None),
        )

    def hint(self) -> str | None:
        """Who can help where a right lacks; None where that is another right than one to the system. Does not write."""
        session = self._session
        with suppress(psycopg.Error, errors.MigrollbackError):
            if session.connection.info.transaction_status == TransactionStatus.IDLE:
                self._access = _ask(session.connection, session.schema)
                return self._access.hint()
            if session.reopen is not None:  # the transaction that met the error answers no more
                with closing(session.reopen()) as other:
                    return _ask(other, session.schema).hint()
        return None


def _ask(connection: psycopg.Connection, schema: str) -> Access:
    """In one round trip."""
    with connection.cursor(row_factory=class_row(Access)) as cursor:
        found = cursor.execute(QUERY, names(schema)).fetchone()
    assert found is not None  # noqa: S101  # for mypy: it is one row
    return found
