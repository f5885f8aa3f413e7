"""Which database a result is about, what it said, and the statuses of a migration. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.text import as_line


class Status(StrEnum):
    """Where a migration stands; spelled as in the CHECK of `migration_history.status`."""

    APPLIED = "applied"  #: applied, can be rolled back
    ROLLED_BACK = "rolled_back"  #: undone, cannot be rolled back again
    FAILED = "failed"  #: its rollback failed and was undone; a person must act


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The database that a result is about. Holds no password."""

    host: str  #: host name, or the folder of a Unix socket
    port: int  #: port number
    database: str  #: name of the database
    user: str  #: role that is connected
    server_version: str  #: for example 18.6
    schema: str  #: schema of the rollback system
    #: whether it was marked as production (`install --production`) when it was last looked up; two that differ in this
    #: alone are the same database
    production: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        marked = ", PRODUCTION" if self.production else ""
        return (
            f"{self.user}@{self.host}:{self.port}/{self.database} (PostgreSQL {self.server_version}, schema"
            f" {self.schema}{marked})"
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON and for the audit log."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "server_version": self.server_version,
            "schema": self.schema,
            "production": self.production,
        }

    def _repr_html_(self) -> str:
        loud = html.banner("⚠ PRODUCTION", html.BAD) if self.production else ""
        return loud + html.definitions(
            [
                ("Host", f"{self.host}:{self.port}"),
                ("Database", self.database),
                ("User", self.user),
                ("Server", self.server_version),
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message that the server sent beside the result."""

    severity: str  #: NOTICE, WARNING ...
    message: str  #: its text
    skipped: bool  #: "... does not exist, skipping": something that was to be dropped was not there
