"""Attempts to roll back, read from the audit log. Does not write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from migrollback_nb.core.clients import split_client


def who(row: Mapping[str, Any], user: str = "database_user") -> dict[str, Any]:
    """Actor, interface, os_user and host of a stored row; pure."""
    interface, os_user, host = split_client(row["client"])
    return {"actor": row[user], "interface": interface, "os_user": os_user, "host": host}


def attempts_of(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the frame of attempts; pure.

    Parameters
    ----------
    events : iterable of mapping
        All events, in order. An attempt of which only the start is known has the outcome ``unknown`` and ends when it
        started.
    """
    rows: list[dict[str, Any]] = []
    running: dict[tuple[Any, str], dict[str, Any]] = {}
    applied_since: dict[str, Any] = {}
    for event in events:
        name, kind, moment = event["migration_name"], event["event"], event["occurred_at"]
        if kind in ("applied", "registered"):
            applied_since.setdefault(name, moment)  # what is registered now was applied before
        elif kind == "resolved" and event["details"].get("new") == "rolled_back":
            applied_since.pop(name, None)
        elif kind == "started":
            running[event["attempt_id"], name] = {"started_at": moment, "row": len(rows)}
            rows.append(_attempt(event, "unknown", moment, None))
        elif kind in ("rolled_back", "failed", "refused"):
            known = running.pop((event["attempt_id"], name), None) if event["attempt_id"] is not None else None
            since = applied_since.get(name)
            row = _attempt(
                event,
                kind,
                known["started_at"] if known else moment,
                moment - since if kind == "rolled_back" and since is not None else None,
            )
            if known:
                rows[known["row"]] = row
            else:
                rows.append(row)
            if kind == "rolled_back":
                applied_since.pop(name, None)
    return rows


def _attempt(event: Mapping[str, Any], outcome: str, started_at: Any, in_place: Any) -> dict[str, Any]:
    details = event["details"]
    return {
        "attempt_id": event["attempt_id"],
        "migration_name": event["migration_name"],
        "outcome": outcome,
        "started_at": started_at,
        "ended_at": event["occurred_at"],
        "in_place": in_place,
        "duration_ms": details.get("duration_ms"),
        "sqlstate": details.get("sqlstate"),
        "reason": event["reason"],
        **who(event),
    }
