"""What the database keeps of objects, rehearsals, checklists and proofs, as rows of frames. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.clients import who
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.object_names import quoted, split_last
from migrollback_nb.history.over_time import moment_of

if TYPE_CHECKING:
    from migrollback_nb.core.times import When
    from migrollback_nb.database import Database

_OUTCOMES = {"would succeed": "rehearsed", "would fail": "failed", "stopped": "stopped"}
PARTS = ("locks", "rows", "changes")


def object_rows(
    database: Database, names: Sequence[str] | None, *, table: str | None, kind: str | None
) -> list[dict[str, Any]]:
    """Rows of the frame of objects, oldest first; table: with its schema or without. Does not write."""
    wanted = None if table is None else {table, quoted(table)}
    return [
        row
        for row in database.questions.objects(names)
        if (kind is None or row["kind"] == kind)
        and (wanted is None or row["table"] in wanted or _last(row["table"]) in wanted)
    ]


def _last(table: str | None) -> str | None:
    return None if table is None else split_last(table)[1]


def rehearsal_rows(
    database: Database, part: str | None, *, since: When | None = None, until: When | None = None
) -> list[dict[str, Any]]:
    """Rows of the frame of rehearsals, or of one part of each, in order. Does not write.

    Raises
    ------
    UsageError
        When there is no such part.
    """
    if part is not None and part not in PARTS:
        raise UsageError(f"A rehearsal keeps no {part}", hint=f"Use {', '.join(PARTS)}, or nothing.")
    begin = None if since is None else moment_of(since)
    end = None if until is None else moment_of(until, end=True)
    rows = [
        row
        for row in database.questions.rehearsals(part)
        if (begin is None or row["rehearsed_at"] >= begin) and (end is None or row["rehearsed_at"] < end)
    ]
    if part is not None:
        return rows
    return [{**row, **who(row), "outcome": _OUTCOMES[row["outcome"]], "steps": row["migrations"]} for row in rows]


def checklist_rows(database: Database, *, open: bool | None) -> list[dict[str, Any]]:
    """Rows of the frame of checklists, oldest first; open: only those in which items are missing. Does not write."""
    return [
        {**row, **who(row), "complete": not row["missing"]}
        for row in database.questions.checklists()
        if open is None or open == bool(row["missing"])
    ]


def proof_rows(database: Database) -> list[dict[str, Any]]:
    """Rows of the frame of recorded proofs, oldest first. Does not write."""
    return [{**row, **who(row, "proven_by")} for row in database.questions.proofs()]
