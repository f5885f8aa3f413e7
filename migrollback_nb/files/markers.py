"""Finds ``-- ROLLBACK START`` and ``-- ROLLBACK END`` in a file, where they are comments of their own. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.parsing.statements import Comment, SqlText

MARKER = re.compile(r"--\s*ROLLBACK\s+(START|END)\b\s*(.*?)\s*$", re.DOTALL)
_MARKER_ALONE = re.compile(r"--\s*ROLLBACK\s+(START|END)\s*$", re.IGNORECASE)


class Markers(NamedTuple):
    """Where a rollback block begins and ends."""

    start: Comment
    options: str  #: what stands behind START
    end: Comment | None  #: None where the block's own text swallows it


def find_markers(sql: SqlText, path: str) -> Markers | None:
    """The markers of a file; None without a block.

    Parameters
    ----------
    sql : SqlText
        The whole text.
    path : str
        What errors call the file.

    Raises
    ------
    MigrationFileError
        When they do not fit together, or what surrounds them cannot be read.
    """
    starts, ends = _found(sql)
    _check_order(starts, ends, path)
    start, options = starts[0] if starts else (None, "")
    end = ends[0] if ends else None
    if end is not None and (behind := sql.code_after(end.end)) is not None:
        raise MigrationFileError(
            path,
            "a statement after -- ROLLBACK END",
            line=sql.line_of(behind),
            hint="Move it above -- ROLLBACK START: the rollback block comes last.",
        )
    _check_readable(sql, start, end, path)
    return None if start is None else Markers(start, options, end)


def _found(sql: SqlText) -> tuple[list[tuple[Comment, str]], list[Comment]]:
    """(each START with its options, each END), in order."""
    starts: list[tuple[Comment, str]] = []
    ends: list[Comment] = []
    for comment in sql.comments:
        found = (MARKER.match(comment.text) or _MARKER_ALONE.match(comment.text)) if comment.is_line_comment else None
        if found is None:
            continue
        if found.group(1).upper() == "START":
            starts.append((comment, found.group(2) if found.re is MARKER else ""))
        else:
            ends.append(comment)
    return starts, ends


def _check_order(starts: list[tuple[Comment, str]], ends: list[Comment], path: str) -> None:
    """Raise for what comes twice or in the wrong order; for the first of these in the file."""
    wrong: list[tuple[int, str, str]] = []
    if len(starts) > 1:
        problem = f"a second -- ROLLBACK START (the first is in line {starts[0][0].line})"
        wrong.append((starts[1][0].line, problem, "A migration has one rollback block: join the two."))
    if ends and (not starts or ends[0].start < starts[0][0].start):
        hint = "Put -- ROLLBACK START above the rollback statements."
        wrong.append((ends[0].line, "-- ROLLBACK END before -- ROLLBACK START", hint))
    elif len(ends) > 1:
        hint = "A migration has one rollback block: take one END away."
        wrong.append((ends[1].line, "a second -- ROLLBACK END", hint))
    if wrong:
        line, problem, hint = min(wrong)
        raise MigrationFileError(path, problem, line=line, hint=hint)


def _check_readable(sql: SqlText, start: Comment | None, end: Comment | None, path: str) -> None:
    """Raise for text that hides a marker, and for a block that does not end."""
    problem = sql.scan_problem
    if problem is not None and (start is None or end is not None):
        where, hint = (
            ("", "Close the string or comment: behind it no rollback block can be found.")
            if start is None
            else (" after -- ROLLBACK END", "The rollback block comes last: take away what follows it.")
        )
        raise MigrationFileError(
            path,
            f"cannot be read as SQL{where}: {problem.message}",
            line=problem.line,
            column=problem.column,
            hint=hint,
        )
    if problem is None and start is not None and end is None:
        raise MigrationFileError(
            path,
            "-- ROLLBACK START without -- ROLLBACK END",
            line=start.line,
            hint="Add -- ROLLBACK END after the last rollback statement.",
        )
