"""Runs statements one by one on a connection of their own, under settings that they may change. Writes what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

# the parser is loaded where a statement runs: `check` runs none, and loading it takes longer than its question
if TYPE_CHECKING:
    import psycopg

#: Settings of the connection that are ours again before each statement.
_OURS_AGAIN = ("client_min_messages", "client_encoding")


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
        self._lock_timeout = wanted["lock_timeout"]
        self._before = self._settings()
        self._ours = {setting: self._set(setting, value) for setting, value in wanted.items()}

    def repeat_settings(self, statements: Sequence[str]) -> None:
        """Set again what these statements of an earlier run have set. Writes nothing else."""
        from migrollback_nb.parsing.statements import only_sets

        for statement in filter(only_sets, statements):
            self.connection.execute(statement.encode())

    def prepare(self, statement: str) -> None:
        """Set what this statement must find. Does not write."""
        # What the server sends us, and in which encoding, is no matter of the SQL: "... does not exist, skipping" must
        # be heard, and the next statement understood.
        self.connection.execute("SET client_encoding = 'UTF8'; SET client_min_messages = notice")
        # CONCURRENTLY waits for others and lets none wait, and breaking it off leaves an invalid index
        wanted = "0" if "concurrently" in statement.lower() else self._lock_timeout
        if self._value_of("lock_timeout") == self._ours["lock_timeout"]:  # else the SQL has set it
            self._ours["lock_timeout"] = self._set("lock_timeout", wanted)

    def run(self, statement: str) -> None:
        """Run a statement. Writes what it writes.

        Raises
        ------
        psycopg.Error
        """
        self.connection.execute(statement.encode())

    def put_back_settings(self, statements: Sequence[str]) -> list[str]:
        """Reset all settings. Returns those that these statements had changed. Writes nothing else."""
        from migrollback_nb.parsing.statements import SqlText

        now = self._settings()
        named = {
            name for text in statements for one in SqlText(text).statements for name, local in one.settings if not local
        }
        changed = {name for name, value in now.items() if value != self._ours.get(name, self._before.get(name, ""))}
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
