"""The audit log: verifies its chain of hashes in Python, and exports it as a file. Does not write to the database.

The owner of the database can replace the SQL function that verifies, and the log; they cannot reach the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import AuditResult, to_json

if TYPE_CHECKING:
    from migrollback_nb.database import Database


def event_hash(event: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over one event, as the SQL function migration_event_hash() counts it.

    Parameters
    ----------
    event : mapping
        A row of `Database.queries.events`: the columns, ``epoch_us`` (time in microseconds since 1970, UTC) and
        ``details_text``.

    Notes
    -----
    The payload is one netstring (D. J. Bernstein, 1997) for each field in a fixed order, ``-,`` for NULL.
    """
    fields = (
        event["previous_hash"],
        event["event_number"],
        event["epoch_us"],
        event["event"],
        event["migration_name"],
        event["attempt_id"],
        event["database_user"],
        event["client"],
        event["reason"],
        event["details_text"],
    )
    payload = b""
    for value in fields:
        if value is None:
            payload += b"-,"
        else:
            data = str(value).encode()
            payload += b"%d:%s," % (len(data), data)
    return hashlib.sha256(payload).hexdigest()


def verify(events: Iterable[Mapping[str, Any]]) -> AuditResult:
    """Check that every event fits the one before it.

    Parameters
    ----------
    events : iterable of mapping
        All rows of the audit log in order of ``event_number``.

    Returns
    -------
    AuditResult
        With the head, which belongs outside the database.
    """
    number = 0
    before: str | None = None
    bad: int | None = None
    for event in events:
        number += 1
        fits = (
            event["event_number"] == number and event["previous_hash"] == before and event["hash"] == event_hash(event)
        )
        if not fits and bad is None:
            bad = event["event_number"]
        before = event["hash"]
        head = event["event_number"]
    return AuditResult(
        intact=bad is None, events=number, head_number=head if number else None, head_hash=before, first_bad_number=bad
    )


def export_audit_log(database: Database, path: Path | str) -> AuditResult:
    """Save history, dependencies and audit log as a JSON file. Does not write to the database.

    Raises
    ------
    UsageError
        When the file exists already: an audit log is never overwritten.
    """
    events = database.queries.events()
    head = verify(events)
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
        raise UsageError(
            f"{path} exists already", hint="Name another file: an audit log is never overwritten."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="Name another file with --trail."
        ) from error
    return head
