"""Runs statements one by one on a connection of their own, under settings that they may change. Writes what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, cast

# the parser is loaded where a statement runs: `check` runs none, and loading it takes longer than its question
if TYPE_CHECKING:
    import psycopg

#: Settings of the connection that are ours again before each statement.
_OURS_AGAIN = ("client_min_messages", "client_encoding")


#: Longer than others wait for the gate, from psql too.
_BEHIND_THE_GATE = "15s"


class Executor:
    """Statements of one run.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode, and used for nothing else.
    wanted : mapping
        Settings that the statements find; what they set from then on holds for those that follow.
    """

    def __init__(self, connection: psycopg.Connection, wanted: Mapping[str, str]) -> None:
        self.connection = connection
        #: Whether the error that `run` raised last has undone all that it did.
        self.undone = False
        self._lock_timeout = wanted["lock_timeout"]
        self._before = self._settings()
        self._role_before = self._role()
        self._ours = {setting: self._set(setting, value) for setting, value in wanted.items()}

    def repeat_settings(self, statements: Sequence[str]) -> None:
        """Set again what these statements of an earlier run have set. Writes nothing else."""
        from migrollback_nb.parsing.statements import only_sets

        for statement in filter(only_sets, statements):
            self.connection.execute(statement.encode())

    def wait_for_locks(self, lock_timeout: str) -> None:
        """Let statements wait so long for a lock, from the next `prepare` on. Does not write."""
        self._lock_timeout = lock_timeout

    def prepare(self, statement: str) -> None:
        """Set what this statement must find. Does not write."""
        # What the server sends us, and in which encoding, is no matter of the SQL: "... does not exist, skipping" must
        # be heard, and the next statement understood.
        self.connection.execute("SET client_encoding = 'UTF8'; SET client_min_messages = notice")
        # CONCURRENTLY waits for others and lets none wait, and breaking it off leaves an invalid index
        text = statement.lower()
        wanted = "0" if "concurrently" in text else self._lock_timeout
        if text.lstrip().startswith(("vacuum", "reindex", "cluster")):
            wanted = _BEHIND_THE_GATE  # of the whole database: they may wait behind one that waits for us
        if self._value_of("lock_timeout") == self._ours["lock_timeout"]:  # else the SQL has set it
            self._ours["lock_timeout"] = self._set("lock_timeout", wanted)

    def run(self, statement: str, *, begin: Callable[[], None], finish: Callable[[], None]) -> bool:
        """Run a statement, where PostgreSQL lets it in a transaction with `begin` and `finish`. Writes what they write.

        Parameters
        ----------
        statement : str
            One statement.
        begin : callable
            Called before it in that transaction, in a subtransaction that is undone.
        finish : callable
            Called before COMMIT, once what is deferred is checked; what it raises undoes the statement. Both run as
            the user of the connection, on a path of our own.

        Returns
        -------
        bool
            Whether that was so. Else the statement ran outside a transaction, and `finish` was not called.

        Raises
        ------
        psycopg.Error
            The statement's; or COMMIT's, and then whether it counts is known by what `finish` wrote.
        """
        import psycopg

        if not _refuses_transaction(statement):
            with suppress(psycopg.errors.ActiveSqlTransaction, psycopg.errors.InvalidTransactionTermination):
                self.undone = True  # whatever ends it now
                with self.connection.transaction():
                    with self.connection.transaction(force_rollback=True):  # the statement finds its own role and path
                        self._ours_until_commit()
                        begin()
                    self.connection.execute(statement.encode())
                    self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    self._ours_until_commit()
                    finish()
                return True
        self.undone = False
        # Refused there, or a procedure that commits itself: nothing of the try above is left.
        self.connection.execute(statement.encode())
        return False

    def _ours_until_commit(self) -> None:
        """Make the role and the path ours until the transaction ends. Does not write."""
        self.connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        if self._role() != self._role_before:
            self.connection.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")
            self.connection.execute("SET LOCAL ROLE NONE")

    def _role(self) -> tuple[str, ...] | None:
        return self.connection.execute("SELECT current_user::pg_catalog.text, session_user::pg_catalog.text").fetchone()

    def put_back_settings(self, statements: Sequence[str]) -> list[str]:
        """Reset all settings. Returns those that these statements had changed. Writes nothing else."""
        from migrollback_nb.parsing.statements import SqlText

        now = self._settings()
        named = {
            name for text in statements for one in SqlText(text).statements for name, local in one.settings if not local
        }
        # what is there only now came with a library, such as PL/pgSQL's own
        changed = {
            name for name, before in self._before.items() if now.get(name, before) != self._ours.get(name, before)
        }
        self.connection.execute("RESET ALL")
        return sorted(changed | {name for name in named if "." in name or name in _OURS_AGAIN})

    def _settings(self) -> dict[str, str]:
        """Name -> value of what SQL can change; what is declared nowhere ends with the connection."""
        return dict(
            self.connection.execute(
                "SELECT s.name, s.setting FROM pg_catalog.pg_settings s WHERE s.context IN ('user', 'superuser')"
            ).fetchall()
        )

    def _set(self, setting: str, value: str) -> str:
        """Set it for the session; returns the value as the server writes it."""
        self.connection.execute("SELECT pg_catalog.set_config(%s, %s, false)", (setting, value))
        return self._value_of(setting)

    def _value_of(self, setting: str) -> str:
        found = self.connection.execute(
            "SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = %s", (setting,)
        ).fetchone()
        return "" if found is None else cast(str, found[0])


def _refuses_transaction(statement: str) -> bool:
    """Whether PostgreSQL is known to refuse a statement inside a transaction; pure."""
    from migrollback_nb.parsing.statements import SqlText

    return any(one.refused_in_transaction for one in SqlText(statement).statements)
