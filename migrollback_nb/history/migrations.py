"""One row for each migration: the history, and what audit log, proofs, graph and folder say of it. Does not write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.dependency_graph import DependencyGraph
from migrollback_nb.core.errors import DependencyError, MigrationFileError, UsageError

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.database.session import Row
    from migrollback_nb.files.formats import MigrationFolder

#: What proves a rollback, the strongest first, by when it was done last.
_PROOFS = (("rolled_back", "ran_at"), ("verified", "verified_at"), ("rehearsed", "rehearsed_at"))


def completed(database: Database, folder: MigrationFolder | None, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of `HistoryQueries.history` with dependents, file_state, proven, proven_at and verdict. Does not write."""
    if not rows:
        return []
    dependents = _dependents(database)
    verdicts = {row["migration_name"]: row["verdict"] for row in database.queries.list_rollbackable()}
    return [
        {
            **row,
            "dependents": dependents.get(row["migration_name"], 0),
            "file_state": state,
            "verdict": verdicts.get(row["migration_name"]),
            **_proof(row),
        }
        for row, state in zip(rows, _file_states(folder, rows), strict=True)
    ]


def proved(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of `HistoryQueries.history` with proven and proven_at, which need neither files nor dependencies. Pure."""
    return [{**row, **_proof(row)} for row in rows]


def _dependents(database: Database) -> Mapping[str, int]:
    """Migration -> how many applied ones depend on it, directly or through others. Does not write."""
    edges = database.queries.dependencies()
    statuses = {row["migration_name"]: row["status"] for row in edges}
    statuses |= {row["depends_on"]: row["depends_on_status"] for row in edges}
    with suppress(DependencyError):
        return DependencyGraph(statuses, edges).dependents_count()
    return {}


def _proof(row: Mapping[str, Any]) -> dict[str, Any]:
    for proven, moment in _PROOFS:
        if row[moment] is not None:
            return {"proven": proven, "proven_at": row[moment]}
    return {"proven": "never", "proven_at": None}


def _file_states(folder: MigrationFolder | None, rows: Sequence[Row]) -> list[str]:
    """Of each row: its file beside what was registered. Reads the folder's files."""
    try:
        checksum = None if folder is None else folder.checksums()
    except (UsageError, MigrationFileError):
        checksum = None
    return ["unknown" if checksum is None or row["system"] else _file_state(checksum, row) for row in rows]


def _file_state(checksum: Callable[[str], str | None], row: Row) -> str:
    try:
        found = checksum(row["migration_name"])
    except OSError:
        return "unknown"
    if found is None:
        return "missing"
    if row["checksum"] is None:
        return "unknown"
    return "same" if found == row["checksum"] else "differs"
