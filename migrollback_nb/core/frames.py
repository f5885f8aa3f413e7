"""Rows -> pandas, with fixed columns and dtypes, also for no rows. Reads no database.

Times are aware, in UTC. Columns that hold several values hold tuples or dicts (dtype object).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

_TEXT = "string"
_TIME = "datetime64[us, UTC]"
_FLAG = "bool"
_NUMBER = "int64"
_ANY = "object"

#: Columns and dtypes of each frame.
ROLLBACKABLE = {
    "migration_name": _TEXT,
    "migration_version": _TEXT,
    "applied_at": _TIME,
    "status": _TEXT,
    "can_rollback": _FLAG,
    "has_rollback_sql": _FLAG,
    "blocking_reason": _TEXT,
    "dependent_migrations": _ANY,
    "verdict": _TEXT,
    "headline": _TEXT,
}
HISTORY = {
    "migration_name": _TEXT,
    "migration_version": _TEXT,
    "status": _TEXT,
    "applied_at": _TIME,
    "applied_by": _TEXT,
    "rollback_at": _TIME,
    "rollback_by": _TEXT,
    "notes": _TEXT,
    "checksum": _TEXT,
    "rollback_sql": _TEXT,
}
DEPLOYS = {
    "label": _TEXT,
    "deployed_at": _TIME,
    "deployed_by": _TEXT,
    "client": _TEXT,
    "migrations": _ANY,
    "applied": _ANY,
    "state": _TEXT,
}
DEPENDENCIES = {
    "migration_name": _TEXT,
    "depends_on": _TEXT,
    "status": _TEXT,
    "depends_on_status": _TEXT,
    "created_at": _TIME,
    "source": _TEXT,
    "because": _TEXT,
}
INFERRED = {"migration_name": _TEXT, "depends_on": _TEXT, "because": _TEXT, "source": _TEXT, "recorded": _TEXT}
SNAPSHOTS = {
    "id": _TEXT,
    "migration_name": _TEXT,
    "description": _TEXT,
    "taken_at": _TIME,
    "taken_by": _TEXT,
    "objects": _NUMBER,
    "bytes": _NUMBER,
}
CHANGES = {"change": _TEXT, "kind": _TEXT, "identity": _TEXT, "old_definition": _ANY, "new_definition": _ANY}
EVENTS = {
    "event_number": _NUMBER,
    "occurred_at": _TIME,
    "event": _TEXT,
    "migration_name": _TEXT,
    "attempt_id": _TEXT,
    "database_user": _TEXT,
    "client": _TEXT,
    "reason": _TEXT,
    "details": _ANY,
    "hash": _TEXT,
}
#: Of attempts to roll back.
ATTEMPTS = {
    "attempt_id": _TEXT,
    "migration_name": _TEXT,
    "outcome": _TEXT,
    "started_at": _TIME,
    "ended_at": _TIME,
    "in_place": "timedelta64[us]",
    "duration_ms": "float64",
    "sqlstate": _TEXT,
    "database_user": _TEXT,
    "client": _TEXT,
    "reason": _TEXT,
}
#: Columns and dtypes of each part of a rehearsal.
REHEARSAL = {
    "changes": {
        "change": _TEXT,
        "kind": _TEXT,
        "identity": _TEXT,
        "made_by": _ANY,
        "named": _ANY,
        "foreign": _ANY,
        "old_definition": _ANY,
        "new_definition": _ANY,
    },
    "rows": {"relation": _TEXT, "column": _TEXT, "what": _TEXT, "rows": "Int64", "exact": _FLAG, "sqlstate": _TEXT},
    "locks": {
        "relation": _TEXT,
        "kind": _TEXT,
        "mode": _TEXT,
        "migration_name": _TEXT,
        "statement_number": _NUMBER,
        "held_ms": "float64",
    },
    "statements": {"migration_name": _TEXT, "number": _NUMBER, "statement": _TEXT, "line": "Int64", "ms": "float64"},
    "broken": {
        "kind": _TEXT,
        "identity": _TEXT,
        "because": _TEXT,
        "certain": _FLAG,
        "sqlstate": _TEXT,
        "used_by": _ANY,
    },
    "sessions": {
        "pid": _NUMBER,
        "user": _TEXT,
        "application_name": _TEXT,
        "state": _TEXT,
        "relation": _TEXT,
        "mode": _TEXT,
        "waits": _FLAG,
        "for_us": _FLAG,
    },
}

PROOF = {
    "migration_name": _TEXT,
    "grade": _TEXT,
    "sqlstate": _TEXT,
    "statement": _TEXT,
    "differences": _ANY,
    "effects": _ANY,
    "remarks": _ANY,
    "reapplies": "boolean",
    "seconds": "float64",
}


def _frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    found = list(rows)
    data: dict[str, Any] = {}
    for name, dtype in columns.items():
        values = [row[name] for row in found]
        if dtype == _TIME:
            data[name] = pd.to_datetime(pd.Series(values, dtype=_ANY), utc=True).astype("datetime64[us, UTC]")
        elif dtype == _ANY:
            data[name] = pd.Series([tuple(value) if isinstance(value, list) else value for value in values], dtype=_ANY)
        elif dtype == _TEXT:
            data[name] = pd.Series([None if value is None else str(value) for value in values], dtype=_TEXT)
        else:
            data[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(data, columns=list(columns))


def rollbackable(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of list_assessed_migrations() as a DataFrame (n, 10), columns as in `ROLLBACKABLE`; does not write."""
    return _frame(rows, ROLLBACKABLE)


def history(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of migration_history as a DataFrame (n, 10), columns as in `HISTORY`; does not write."""
    return _frame(rows, HISTORY)


def deploys(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of migration_deploys() as a DataFrame (n, 7), columns as in `DEPLOYS`; does not write."""
    return _frame(rows, DEPLOYS)


def dependencies(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Dependencies as a DataFrame (n, 7), columns as in `DEPENDENCIES`; does not write."""
    return _frame(rows, DEPENDENCIES)


def snapshots(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Snapshots as a DataFrame (n, 7), columns as in `SNAPSHOTS`; does not write."""
    return _frame(rows, SNAPSHOTS)


def schema_changes(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """What differs between two schemas as a DataFrame (n, 5), columns as in `CHANGES`; does not write."""
    return _frame(rows, CHANGES)


def inferred(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Inferred dependencies as a DataFrame (n, 5), columns as in `INFERRED`; does not write."""
    return _frame(rows, INFERRED)


def events(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The audit log as a DataFrame (n, 10), columns as in `EVENTS`; does not write."""
    return _frame(rows, EVENTS)


def attempts(events: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Attempts to roll back, by the audit log, as a DataFrame (n, 11), columns as in `ATTEMPTS`; does not write.

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
    return _frame(rows, ATTEMPTS)


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
        "database_user": event["database_user"],
        "client": event["client"],
        "reason": event["reason"],
    }


def rehearsal(rows: Iterable[Mapping[str, Any]], what: str) -> pd.DataFrame:
    """One part of a rehearsal as a DataFrame, columns as in ``REHEARSAL[what]``; does not write."""
    return _frame(rows, REHEARSAL[what])


def proof(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Grades as a DataFrame (n, 9), columns as in `PROOF`; reapplies is missing where not tried. Does not write."""
    return _frame(rows, PROOF)
