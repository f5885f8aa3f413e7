"""An exported audit log, checked without a database. Reads the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import AuditResult
from migrollback_nb.core.results.audit import AuditFinding
from migrollback_nb.core.times import iso_time
from migrollback_nb.operations.audit import anchor_list
from migrollback_nb.operations.event_chain import hash_of_fields, verify

_FIELDS = (
    "id",
    "migration_name",
    "migration_version",
    "applied_us",
    "applied_by",
    "rollback_sql",
    "checksum",
    "status",
    "rollback_us",
    "rollback_by",
    "notes",
    "metadata_text",
)


def check_audit_log(path: Path | str, *, anchors: Sequence[str] = ()) -> AuditResult:
    """Check an audit log that was exported (`Migrations.export_audit_log`), with no database. Writes nothing.

    Its chain of hashes, what each event says beside what is hashed of it, and its history against its events.

    Parameters
    ----------
    path : Path or str
        The file.
    anchors : sequence of str
        NUMBER:HASH of events that were kept elsewhere, such as the head that the export printed.

    Raises
    ------
    UsageError
        When it cannot be read, or is no exported audit log.
    """
    content = _read(Path(path))
    try:
        found = verify(content["events"], anchors=anchor_list(anchors))
        beside = (*_event_findings(content["events"]), *_history_findings(content), *_head_findings(content, found))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{path} is no exported audit log: {type(error).__name__} {error}",
            hint="It is what migrollback audit --export writes.",
        ) from error
    return replace(found, findings=(*found.findings, *beside), file=str(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no exported audit log: {error}") from error
    if not isinstance(content, dict) or not {"head", "events", "history"} <= content.keys():
        raise UsageError(f"{path} is no exported audit log", hint="It is what migrollback audit --export writes.")
    return content


def _finding(identity: str | None, number: int | None, message: str, *, kind: str = "file") -> AuditFinding:
    return AuditFinding(finding=kind, identity=identity, event_number=number, message=message)


def _event_findings(events: Sequence[Mapping[str, Any]]) -> Iterator[AuditFinding]:
    """Events whose time or details, as people read them, are not those that are hashed."""
    for event in events:
        number = event["event_number"]
        if event["details"] != json.loads(event["details_text"]):
            yield _finding(None, number, f"event {number}: its details are not those that its hash is of")
        if event["occurred_at"] != iso_time(_moment(event["epoch_us"])):
            yield _finding(None, number, f"event {number}: its time is not the one that its hash is of")


def _history_findings(content: Mapping[str, Any]) -> Iterator[AuditFinding]:
    """Rows of the history that are not as the last event about them left them."""
    told = _told(content["events"])
    named = {event["migration_name"] for event in content["events"]}
    rows = {row["migration_name"]: row for row in content["history"]}
    for name in sorted(rows.keys() | told.keys()):
        number, digest = told.get(name, (None, None))
        trouble = _trouble(rows.get(name), number, digest, is_named=name in named)
        if trouble is not None:
            yield _finding(name, number, f"migration_history {name}: {trouble}", kind="history")


def _told(events: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, str | None]]:
    """Name -> the last event that tells of its row, and the hash that the row had then; None: it went."""
    told: dict[str, tuple[int, str | None]] = {}
    for event in events:
        number, name, details = event["event_number"], event["migration_name"], event["details"]
        if event["event"] == "history_changed" and details["table"] == "migration_history":
            before = (details["old"] or {}).get("migration_name")
            if before is not None:  # its name was changed, or it was deleted
                told[before] = number, None
        if event["event"] == "ledger_trust_changed":
            name = "20250120_migration_rollback_system"
        if "history_hash" in details:
            told[name] = number, details["history_hash"]
    return told


def _trouble(row: Mapping[str, Any] | None, number: int | None, digest: str | None, *, is_named: bool) -> str | None:
    """What is wrong with a row of the history, by the event that tells of it."""
    if row is None:
        return None if digest is None else "its row is gone, and no event tells of that"
    if number is None:
        return None if is_named else "no event tells of this row"  # events from before 0.2.0 keep no hash
    if digest is None:
        return f"event {number} says that its row went, and it is there"
    if hash_of_fields(row[field] for field in _FIELDS) != digest:
        return f"its row differs from what it was at event {number}"
    if iso_time(_moment(row["applied_us"])) != row["applied_at"]:
        return "applied_at is not the time that its hash is of"
    return None


def _moment(epoch_us: int) -> datetime:
    return datetime.fromtimestamp(epoch_us // 1_000_000, UTC).replace(microsecond=epoch_us % 1_000_000)


def _head_findings(content: Mapping[str, Any], found: AuditResult) -> Iterator[AuditFinding]:
    """The head that the file names is not that of its events."""
    head = content["head"]
    if (head["head_number"], head["head_hash"]) != (found.head_number, found.head_hash):
        yield _finding(None, found.head_number, "the head that the file names is not its last event")
