"""Rows as a table for people, and as JSON or tab-separated text for programs. Writes to the streams it is given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TextIO

from migrollback_nb.cli.colours import paint, wants_colours
from migrollback_nb.cli.layout import GAP, Column, Layout, fitted, rows_of, wrapped
from migrollback_nb.cli.listing import Listing
from migrollback_nb.core.html import visible
from migrollback_nb.core.kinds import KIND
from migrollback_nb.core.times import iso_time, show_time

RULE = "─" * 76

#: What people read, where that is not the column's name; the panels say the same.
_HEADINGS = {
    "migration_name": "Migration",
    "rollback_at": "Rolled back at",
    "rollback_by": "Rolled back by",
    "depends_on_status": "Its status",
    "event_number": "No.",
    "occurred_at": "At",
    "database_user": "By",
    "client": "From",
    "blocking_reason": "Blocking Reason",
    "can_rollback": "Can Rollback",
    "has_rollback_sql": "Has Rollback",
}
#: Columns that hold sentences or lists.
_TEXTS = frozenset({"notes", "reason", "because", "blocking_reason", "description", "migrations"})
#: Columns whose words have a colour.
_COLOURED = frozenset({"status", "depends_on_status", "verdict", "event", "state"})
_LIST_COLUMNS = ("migration_name", "can_rollback", "applied_at", "has_rollback_sql", "verdict", "blocking_reason")


def show_list(listing: Listing, out: TextIO, _: TextIO) -> None:
    """The listing of the specification."""
    out.write("📋 Listing rollbackable migrations...\n\nApplied Migrations:\n\n")
    words = {True: ("✅ Yes", "✅"), False: ("❌ No", "❌")}
    shown = [
        {
            "migration_name": row["migration_name"],
            "can_rollback": words[row["can_rollback"]][0],
            "has_rollback_sql": words[row["has_rollback_sql"]][1],
            "applied_at": "-" if row["applied_at"] is None else show_time(row["applied_at"]),
            "blocking_reason": row["blocking_reason"] or "-",
            "verdict": row["verdict"] or "-",
        }
        for row in listing.rows
    ]
    headings = {"applied_at": "Applied At"}
    left_out = _write(listing._replace(rows=shown), _LIST_COLUMNS, headings, out, above=True)
    can = sum(row["can_rollback"] for row in listing.rows)
    out.write(f"\nTotal: {len(shown)} migrations\nRollbackable: {can}\n{left_out}")


def show_table(listing: Listing, out: TextIO) -> None:
    """Rows under aligned headings, as wide as the terminal; in a pipe each is one line."""
    left_out = _write(listing, listing.short or listing.columns, {}, out)
    count = len(listing.rows)
    out.write(f"({count:,} {'row' if count == 1 else 'rows'})\n{left_out}")


def _write(
    listing: Listing, names: Sequence[str], headings: Mapping[str, str], out: TextIO, *, above: bool = False
) -> str:
    """Write a table, and give the line that says which columns do not fit."""
    width = shutil.get_terminal_size().columns if out.isatty() and not listing.wide else None
    columns = [_column(listing, name, headings.get(name) or heading_of(name), width) for name in names]
    layout = fitted(columns, width, listing.spare)
    rule = "─" * (layout.width if width is None else width if layout.below is not None else min(layout.width, width))
    heads = [wrapped(column.heading, size) for column, size in zip(layout.columns, layout.widths, strict=True)]
    high = max(map(len, heads))
    lines: list[list[tuple[Column | None, str, int]]] = [
        [
            (column, ([""] * (high - len(head)) + head)[line], size)
            for column, head, size in zip(layout.columns, heads, layout.widths, strict=True)
        ]
        for line in range(high)
    ]
    if above:
        out.write(f"{rule}\n")
    out.writelines(f"{paint(_line(line), 'heading', out)}\n" for line in lines)
    out.write(f"{rule}\n")
    coloured = wants_colours(out)
    if width is None and not coloured:
        out.writelines(_lines_in_a_pipe(layout))
    else:
        for place in range(len(listing.rows)):
            for line in rows_of(layout, place, width):
                out.write(_line(line, out if coloured else None) + "\n")
    out.write(f"{rule}\n")
    if not layout.left_out:
        return ""
    what = ", ".join(column.heading for column in layout.left_out)
    return "\n".join((*wrapped(f"Not shown in {width} columns: {what}. --wide shows all", width or 0), ""))


def _lines_in_a_pipe(layout: Layout) -> Iterator[str]:
    """The lines of rows that nothing wraps or colours, put together by columns: a third of the time of one by one."""
    cells = [
        [column.padded(place, size) for place in range(len(column.cells))]
        for column, size in zip(layout.columns, layout.widths, strict=True)
    ]
    gap = " " * GAP
    return (f"{gap.join(row).rstrip()}\n" for row in zip(*cells, strict=True))


def _line(parts: Sequence[tuple[Column | None, str, int]], coloured: TextIO | None = None) -> str:
    """One line of a table, its cells padded, and coloured for a stream by the words of closed sets."""
    from rich.cells import cell_len

    cells = []
    for column, text, size in parts:
        pad = " " * (size - (len(text) if text.isascii() else cell_len(text)))
        shown = text
        if coloured is not None and column is not None and column.name in _COLOURED:
            shown = paint(text, KIND.get(text), coloured)
        elif coloured is not None and column is None:
            shown = paint(text, "dim", coloured)
        cells.append(pad + shown if column is not None and column.is_number else shown + pad)
    return (" " * GAP).join(cells).rstrip()


def _column(listing: Listing, name: str, heading: str, width: int | None) -> Column:
    values = [row[name] for row in listing.rows]
    is_number = int in set(map(type, values))  # a bool is of a type of its own
    counted = name != "event_number"  # which is a name, and written as one
    texts = (value if type(value) is str else _cell(value, show_time, people=counted) for value in values)
    cells: Sequence[str] = [text if text.isprintable() else " ".join(visible(text).split("\n")) for text in texts]
    if name == "id" and width is not None:
        cells = _beginnings(cells)
    return Column(name, heading, cells, is_text=name in _TEXTS, is_number=is_number)


def _beginnings(ids: Sequence[str]) -> Sequence[str]:
    """So much of each id as tells it from the others, 8 digits at least; `diff` takes that."""
    for length in (8, 13, 18, 23):
        short = [text[:length] for text in ids]
        if len(set(short)) == len(set(ids)):
            return short
    return ids


def heading_of(name: str) -> str:
    """A column's heading, as the panels say it; pure.

    Examples
    --------
    >>> heading_of("migration_name"), heading_of("deployed_at")
    ('Migration', 'Deployed at')
    """
    return _HEADINGS.get(name) or name.replace("_", " ").capitalize()


def show_tsv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: TextIO) -> None:
    """Tab-separated with a header, escaped as PostgreSQL's COPY does: one line for each row whatever is in it.

    Control and bidirectional characters are shown by their code point: it may be a terminal that reads this.
    """
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    out.write("\t".join(columns) + "\n")
    for row in rows:
        out.write("\t".join(visible(_cell(row[column], iso_time).translate(escapes)) for column in columns) + "\n")


def _cell(value: Any, time: Callable[[datetime], str], *, people: bool = False) -> str:
    match value:
        case None:
            return ""
        case bool():
            return ("yes" if value else "no") if people else ("true" if value else "false")
        case int() if people:
            return f"{value:,}"
        case datetime():
            return time(value)
        case list() | tuple():
            return ", ".join(_cell(item, time, people=people) for item in value)
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
