"""Writes the text that is suggested for undoing a migration: a rollback block, or what its tool has for one. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrollback_nb.parsing.statements import SqlText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.undo import Suggestion

_TO_FILL_IN = """\
-- TODO: Add SQL to undo this migration
-- Common patterns:

-- DROP TABLE IF EXISTS table_name CASCADE;
-- ALTER TABLE table_name DROP COLUMN IF EXISTS column_name;
-- DROP INDEX IF EXISTS index_name;
-- DROP FUNCTION IF EXISTS function_name;"""

_TO_FILL_IN_COMMENTED = """\
-- -- TODO: Add SQL to undo this migration, each line behind one "-- ":
-- -- supabase db push runs the whole file, and would run a live block too
-- -- Common patterns:
-- -- DROP TABLE IF EXISTS table_name CASCADE;
-- -- ALTER TABLE table_name DROP COLUMN IF EXISTS column_name;
-- -- DROP INDEX IF EXISTS index_name;
-- -- DROP FUNCTION IF EXISTS function_name;"""

#: In the commented form a line of SQL would look like a marker.
_LOOKS_LIKE_A_MARKER = re.compile(r"^\s*ROLLBACK\s+(START|END)\b", re.MULTILINE)


def rollback_text(
    file: MigrationFile, suggestion: Suggestion | None = None, *, commented: bool = False, remarks: Sequence[str] = ()
) -> str:
    """The text that undoes a migration, between the marks that its format asks for.

    Parameters
    ----------
    file : MigrationFile
        The migration.
    suggestion : Suggestion, optional
        What undoes the up migration; without it, or where it says nothing, the text is one to fill in.
    commented : bool
        True: each line of a rollback block commented out, for folders whose deploy tool runs the whole file.
    remarks : sequence of str
        What a person should know of the whole of it.
    """
    if suggestion is None or not (suggestion.statements or suggestion.todos):
        start, end = file.block_marks(no_transaction=False)
        if commented and end:
            return f"{start}\n{_TO_FILL_IN_COMMENTED}\n{end}"
        return _between(start, _TO_FILL_IN, end)
    lines = [f"-- {_one_line(remark)}" for remark in remarks]
    for inverse in suggestion.inverses:
        for step in inverse.steps:
            if step.todo is not None:
                lines.append(f"-- TODO: {_one_line(step.todo)}")
            if step.sql is not None:
                lines.append(f"{step.sql};")
    inside = "\n".join(lines)
    refused = any(
        statement.refused_in_transaction
        for statement in SqlText("\n".join(f"{sql};" for sql in suggestion.statements)).statements
    )
    start, end = file.block_marks(no_transaction=refused)
    if commented and end and not _LOOKS_LIKE_A_MARKER.search(inside):
        behind = "\n".join(f"-- {line}" if line else "--" for line in inside.split("\n"))
        return f"{start}\n{behind}\n{end}"
    return _between(start, inside, end)


def _between(start: str, inside: str, end: str) -> str:
    return "\n\n".join(filter(None, (start, inside, end)))


def is_readable(file: MigrationFile, statements: Sequence[str]) -> bool:
    """Whether a file is read as it was meant: just these statements undo it."""
    found = file.rollback
    return (found.statement_texts() if found is not None else ()) == tuple(statements)


def _one_line(text: str) -> str:
    """Without line breaks, and without other signs that would end the comment or hide something in it."""
    return " ".join(
        "".join(sign if sign.isprintable() or sign in "\n\t " else "\N{REPLACEMENT CHARACTER}" for sign in text).split()
    )
