"""Writes the rollback block that is suggested for a migration. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrollback_nb.migration_file import parse
from migrollback_nb.sql_text import SqlText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrollback_nb.inverse import Suggestion

_BLOCK = """\
-- ROLLBACK START

-- TODO: Add SQL to undo this migration
-- Common patterns:

-- DROP TABLE IF EXISTS table_name CASCADE;
-- ALTER TABLE table_name DROP COLUMN IF EXISTS column_name;
-- DROP INDEX IF EXISTS index_name;
-- DROP FUNCTION IF EXISTS function_name;

-- ROLLBACK END"""

_COMMENTED_BLOCK = """\
-- ROLLBACK START
-- -- TODO: Add SQL to undo this migration, each line behind one "-- ":
-- -- supabase db push runs the whole file, and would run a live block too
-- -- Common patterns:
-- -- DROP TABLE IF EXISTS table_name CASCADE;
-- -- ALTER TABLE table_name DROP COLUMN IF EXISTS column_name;
-- -- DROP INDEX IF EXISTS index_name;
-- -- DROP FUNCTION IF EXISTS function_name;
-- ROLLBACK END"""

#: In the commented form a line of SQL would look like a marker.
_LOOKS_LIKE_A_MARKER = re.compile(r"^\s*ROLLBACK\s+(START|END)\b", re.MULTILINE)


def rollback_block(suggestion: Suggestion | None = None, *, commented: bool = False, remarks: Sequence[str] = ()) -> str:
    """A rollback block, markers included.

    Parameters
    ----------
    suggestion : Suggestion, optional
        What undoes the up part; without it, or where it says nothing, the block is one to fill in.
    commented : bool
        True: each line commented out, for folders whose deploy tool runs the whole file.
    remarks : sequence of str
        What a person should know of the whole of it.
    """
    if suggestion is None or not (suggestion.statements or suggestion.todos):
        return _COMMENTED_BLOCK if commented else _BLOCK
    lines = [f"-- {_one_line(remark)}" for remark in remarks]
    for inverse in suggestion.inverses:
        for step in inverse.steps:
            if step.todo is not None:
                lines.append(f"-- TODO: {_one_line(step.todo)}")
            if step.sql is not None:
                lines.append(f"{step.sql};")
    inside = "\n".join(lines)
    refused = any(statement.refused_in_transaction for statement in SqlText("\n".join(f"{sql};" for sql in suggestion.statements)).statements)
    start = "-- ROLLBACK START" + (" transaction:false" if refused else "")
    if commented and not _LOOKS_LIKE_A_MARKER.search(inside):
        behind = "\n".join(f"-- {line}" if line else "--" for line in inside.split("\n"))
        return f"{start}\n{behind}\n-- ROLLBACK END"
    return f"{start}\n\n{inside}\n\n-- ROLLBACK END"


def with_block(text: str, up: str, block: str) -> str:
    """The text of a migration with another rollback block in place of its own.

    Parameters
    ----------
    text : str
        The whole file.
    up : str
        Its up part, with which it begins.
    block : str
        The other block, markers included.
    """
    assert text.startswith(up), "the up part comes first"  # noqa: S101  # what follows cuts it off: a wrong cut would lose SQL
    return f"{up.rstrip()}\n\n{block}\n"


def is_readable(name: str, text: str, statements: Sequence[str]) -> bool:
    """Whether a file with a block is read as it was meant: just these statements."""
    found = parse(text, name=name).rollback
    return (found.statement_texts() if found is not None else ()) == tuple(statements)


def _one_line(text: str) -> str:
    """Without line breaks, and without other signs that would end the comment or hide something in it."""
    return " ".join("".join(sign if sign.isprintable() or sign in "\n\t " else "\N{REPLACEMENT CHARACTER}" for sign in text).split())
