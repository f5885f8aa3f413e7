"""The chain of hashes of the audit log, counted in Python. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from migrollback_nb.core.results import AuditResult
from migrollback_nb.core.results.audit import AuditFinding


def hash_of_fields(fields: Iterable[object]) -> str:
    """SHA-256 (hex) over values, as the SQL function hash_of_fields() counts it; None is NULL; pure.

    Notes
    -----
    The payload is one netstring (D. J. Bernstein, 1997) for each field, ``-,`` for NULL.
    """
    payload = b""
    for value in fields:
        if value is None:
            payload += b"-,"
        else:
            data = str(value).encode()
            payload += b"%d:%s," % (len(data), data)
    return hashlib.sha256(payload).hexdigest()


def event_hash(event: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over one event, as the SQL function migration_event_hash() counts it; pure.

    Parameters
    ----------
    event : mapping
        The columns, ``epoch_us`` (time in microseconds since 1970, UTC) and ``details_text``.
    """
    return hash_of_fields(
        (
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
    )


def verify(events: Iterable[Mapping[str, Any]], *, anchors: Sequence[str] = ()) -> AuditResult:
    """Check that every event fits the one before it, and that the anchors hold; pure.

    Parameters
    ----------
    events : iterable of mapping
        All rows of the audit log in order of ``event_number``.
    anchors : sequence of str
        NUMBER:HASH of events.

    Returns
    -------
    AuditResult
        With the head, which belongs outside the database.
    """
    wanted = {int(number): (anchor, digest) for anchor in anchors for number, _, digest in [anchor.partition(":")]}
    findings: list[AuditFinding] = []
    remarks: list[str] = []
    held: set[int] = set()
    count, number, before = 0, 0, None
    for event in events:
        count += 1
        trouble = _trouble(event, number, before)
        if trouble is not None:
            findings.append(
                AuditFinding(
                    finding="chain",
                    identity=None,
                    event_number=event["event_number"],
                    message=f"event {event['event_number']}: {trouble}",
                )
            )
        number, before = event["event_number"], event["hash"]
        if event["event"] == "broke_glass":
            remarks.append(
                f"event {number}: {event['database_user']} rolled {event['migration_name']} back without its approvals:"
                f" {event['reason']}"
            )
        if number in wanted and wanted[number][1] == before:
            held.add(number)
        elif number in wanted:
            findings.append(_broken_anchor(wanted[number][0], number, is_there=True))
            held.add(number)
    broken = [found.event_number for found in findings if found.finding == "chain"]
    findings += [_broken_anchor(wanted[one][0], one, is_there=False) for one in wanted if one not in held]
    return AuditResult(
        intact=not broken,
        events=count,
        head_number=number if count else None,
        head_hash=before,
        first_bad_number=broken[0] if broken else None,
        findings=tuple(findings),
        anchors=tuple(anchors),
        remarks=tuple(remarks),
    )


def _trouble(event: Mapping[str, Any], number: int, before: str | None) -> str | None:
    """What is wrong with an event after the one of this number and hash."""
    if event["event_number"] != number + 1:
        missing = event["event_number"] - number - 1
        if missing < 1:
            return f"it stands after event {number}"
        one = f"event {number + 1} is" if missing == 1 else f"events {number + 1} to {event['event_number'] - 1} are"
        return f"{one} missing before it"
    if event["previous_hash"] != before:
        return "it does not follow the event before it"
    if event["hash"] != event_hash(event):
        return "it was changed since it was written"
    return None


def _broken_anchor(anchor: str, number: int, *, is_there: bool) -> AuditFinding:
    message = (
        f"event {number} has another hash than at the time of the anchor: the audit log was written anew"
        if is_there
        else f"event {number} is not there: the audit log was cut"
    )
    return AuditFinding(finding="anchor", identity=anchor, event_number=number, message=message)
