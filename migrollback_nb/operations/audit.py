"""Verifies the audit trail's chain of hashes in Python: whoever owns the database can replace the SQL function. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from migrollback_nb.core.results import AuditResult


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
        All rows of the audit trail in order of ``event_number``.

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
