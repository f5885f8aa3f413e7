"""Rows as a table for people, and as JSON or tab-separated text for programs. Writes to the streams it is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from migrollback_nb.core.html import visible
from migrollback_nb.core.times import iso_time, show_time

RULE = "─" * 76


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Rows for a terminal or a script, got without pandas."""

    rows: Sequence[Mapping[str, Any]]
    columns: tuple[str, ...]  #: in JSON and tab-separated text
    short: tuple[str, ...] = ()  #: in a table on a terminal; by default all
    warnings: tuple[str, ...] = ()  #: what a person should know

    def to_dict(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [{column: row[column] for column in self.columns} for row in self.rows]


def show_list(listing: Listing, out: TextIO, _: TextIO) -> None:
    """The listing of the specification."""
    out.write("📋 Listing rollbackable migrations...\n\nApplied Migrations:\n\n")
    out.write(
        f"{RULE}\n{'Migration':<50} {'Can Rollback':<12} {'Applied At':<23} {'Has Rollback':<12} {'Verdict':<13}"
        f" Blocking Reason\n{RULE}\n"
    )
    rows = listing.rows
    for row in rows:
        can = "✅ Yes" if row["can_rollback"] else "❌ No"
        has = "✅" if row["has_rollback_sql"] else "❌"
        applied_at = "-" if row["applied_at"] is None else show_time(row["applied_at"])
        out.write(
            f"{visible(row['migration_name']):<50} {can:<11} {applied_at:<23} {has:<11} {row['verdict'] or '-':<13}"
            f" {visible(row['blocking_reason'] or '-')}\n"
        )
    out.write(f"{RULE}\n\nTotal: {len(rows)} migrations\nRollbackable: {sum(row['can_rollback'] for row in rows)}\n")


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    """Rows under aligned headings, one line each; long cells are cut, and end in … then."""
    whole = ([visible(_cell(row[column], show_time)).replace("\n", " ") for column in columns] for row in rows)
    cells = [[text if len(text) <= 80 else text[:79] + "…" for text in line] for line in whole]
    widths = [
        max(len(name), *(len(line[place]) for line in cells), 0) if cells else len(name)
        for place, name in enumerate(columns)
    ]
    for line in [list(columns), ["-" * width for width in widths], *cells]:
        out.write("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() + "\n")
    out.write(f"({len(rows)} rows)\n")


def show_tsv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    """Tab-separated with a header, escaped as PostgreSQL's COPY does: one line for each row whatever is in it."""
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    out.write("\t".join(columns) + "\n")
    for row in rows:
        out.write("\t".join(_cell(row[column], iso_time).translate(escapes) for column in columns) + "\n")


def _cell(value: Any, time: Callable[[datetime], str]) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return time(value)
        case list() | tuple():
            return ", ".join(_cell(item, time) for item in value)
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
