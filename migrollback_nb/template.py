"""Suggests a rollback block for a migration. Pure."""

from __future__ import annotations

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


def rollback_block(*, commented: bool = False) -> str:
    """A block to fill in, markers included.

    Parameters
    ----------
    commented : bool
        True: each line commented out, for folders whose deploy tool runs the whole file.
    """
    return _COMMENTED_BLOCK if commented else _BLOCK
