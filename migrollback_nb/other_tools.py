"""What other migration tools write for undoing, which run as it stands would undo a migration in the same breath. Pure."""

from __future__ import annotations

import re

from migrollback_nb.sql_text import Comment, SqlText

#: What begins the undo part of a file, as the tools' own documentation and code have it.
_UNDO_MARKS = {
    "dbmate": re.compile(r"--\s*migrate:down\b"),
    "goose": re.compile(r"--\s*\+goose\s+down\b", re.IGNORECASE),
    "sql-migrate": re.compile(r"--\s*\+migrate\s+down\b", re.IGNORECASE),
    "tern": re.compile(r"----\s*create above\s*/\s*drop below\s*----", re.IGNORECASE),
    # the tool asks for less, and would take a remark like "-- down migration is impossible" for one
    "node-pg-migrate": re.compile(r"--[\s-]*down\s+migration[\s-]*$", re.IGNORECASE),
    "MyBatis Migrations": re.compile(r"--\s*//\s*@UNDO\b", re.IGNORECASE),
}
#: Without one of these words there is no such mark: most files need no closer look.
_WORDS = ("down", "drop below", "@undo")
#: How the name of a file ends that only undoes: golang-migrate and many more; yoyo; postgrator.
_UNDO_FILES = (".down", ".rollback", ".undo")


def may_undo(text: str) -> bool:
    """Whether `undo_mark` need be asked."""
    lower = text.lower()
    return any(word in lower for word in _WORDS)


def undo_mark(sql: SqlText) -> tuple[str, Comment] | None:
    r"""The comment that begins another tool's undo part, and whose it is; None where no statement follows one.

    Examples
    --------
    >>> tool, mark = undo_mark(SqlText("CREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;"))
    >>> tool, mark.line
    ('dbmate', 2)
    """
    for comment in sql.comments:
        if comment.is_line_comment:
            for tool, pattern in _UNDO_MARKS.items():
                if pattern.match(comment.text) and sql.code_after(comment.end) is not None:
                    return tool, comment
    return None


def only_undoes(name: str) -> bool:
    """Whether a file of this name holds nothing but another tool's undo part.

    Examples
    --------
    >>> only_undoes("000001_users.down"), only_undoes("000001_users.up")
    (True, False)
    """
    return name.lower().endswith(_UNDO_FILES)
