"""The audit trail and the history as a file, to be kept where the database's owner cannot reach. Does not write to the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import to_json
from migrollback_nb.operations import audit

if TYPE_CHECKING:
    from migrollback_nb.core.results import AuditResult
    from migrollback_nb.database import Database


def export_audit_log(database: Database, path: Path | str) -> AuditResult:
    """Save history, dependencies and audit trail as a JSON file. Does not write to the database.

    Raises
    ------
    UsageError
        When the file exists already: a trail is never overwritten.
    """
    events = database.queries.events()
    head = audit.verify(events)
    content = {
        "target": database.target.to_dict(),
        "saved_at": datetime.now(UTC),
        "head": head.to_dict(),
        "history": database.queries.history(),
        "dependencies": database.queries.dependencies(),
        "events": events,
    }
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(to_json(content) + "\n")
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="Name another file: a trail is never overwritten.") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="Name another file with --trail."
        ) from error
    return head
