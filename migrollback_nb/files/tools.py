"""How other migration tools mark, in a file or by its name, what undoes a migration. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from migrollback_nb.parsing.statements import Comment, SqlText


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The comments by which one tool cuts its files, as its own documentation and code have them."""

    up: re.Pattern[str] | None  #: begins the up migration; None where the file begins with it
    down: re.Pattern[str]  #: begins the rollback block
    down_words: str  #: how it is usually written
    #: on the mark of a part: this part runs statement by statement; anywhere else: both do
    no_transaction: re.Pattern[str] | None = None
    no_transaction_words: str = "-- ROLLBACK START transaction:false"  #: what says so of the rollback block
    by_number: bool = True  #: whether the tool orders its files by number, 9 before 10; False: by name
    unreadable: re.Pattern[str] | None = None  #: what only the tool itself can carry out
    repeats: bool = False  #: whether a mark may stand again above each statement: the tool joins what follows them


MARKS = {
    "dbmate": Marks(
        up=re.compile(r"--\s*migrate:up\b"),
        down=re.compile(r"--\s*migrate:down\b"),
        down_words="-- migrate:down",
        no_transaction=re.compile(r"--\s*migrate:(up|down)\b.*\btransaction:\s*false\b"),
        no_transaction_words="-- migrate:down transaction:false",
        by_number=False,
    ),
    "goose": Marks(
        up=re.compile(r"--\s*\+goose\s+up\b", re.IGNORECASE),
        down=re.compile(r"--\s*\+goose\s+down\b", re.IGNORECASE),
        down_words="-- +goose Down",
        no_transaction=re.compile(r"--\s*\+goose\s+no\s+transaction\b", re.IGNORECASE),
        no_transaction_words="-- +goose NO TRANSACTION",
        unreadable=re.compile(r"--\s*\+goose\s+envsub\s+on\b", re.IGNORECASE),
    ),
    "sql-migrate": Marks(
        up=re.compile(r"--\s*\+migrate\s+up\b", re.IGNORECASE),
        down=re.compile(r"--\s*\+migrate\s+down\b", re.IGNORECASE),
        down_words="-- +migrate Down",
        no_transaction=re.compile(r"--\s*\+migrate\s+(up|down)\s+notransaction\b", re.IGNORECASE),
        no_transaction_words="-- +migrate Down notransaction",
        repeats=True,
    ),
    "tern": Marks(
        up=None,
        down=re.compile(r"----\s*create above\s*/\s*drop below\s*----", re.IGNORECASE),
        down_words="---- create above / drop below ----",
        no_transaction=re.compile(r"----\s*tern:\s*disable-tx\s*----", re.IGNORECASE),
        no_transaction_words="---- tern: disable-tx ----",
    ),
    # The tool asks for less than "migration" alone on the line, and would take a remark like "-- down migration is
    # impossible" for a mark. Its "-- Up Migration" tells nothing: our own format, as it was specified, has that above
    # the up migration too.
    "node-pg-migrate": Marks(
        up=None,
        down=re.compile(r"--[\s-]*down migration[\s-]*$", re.IGNORECASE),
        down_words="-- Down Migration",
    ),
    "MyBatis Migrations": Marks(up=None, down=re.compile(r"--\s*//\s*@UNDO\b", re.IGNORECASE), down_words="-- //@UNDO"),
}
#: Without one of these words a text holds no mark: most files need no closer look.
_WORDS = ("migrate:", "down migration", "+migrate", "+goose", "drop below", "@undo")
#: How the name of a file ends that only undoes: golang-migrate and many more; yoyo; postgrator.
_UNDO_FILES = (".down", ".rollback", ".undo")


def tool_of(text: str) -> str | None:
    r"""Whose marks a file holds; None where it holds none. Pure.

    Marks count only as comments of their own: never inside a string or a function's body.

    Examples
    --------
    >>> tool_of("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;")
    'dbmate'
    """
    if not _may_hold_marks(text):
        return None
    for comment in SqlText(text).comments:
        if comment.is_line_comment:
            for tool, marks in MARKS.items():
                if marks.down.match(comment.text) or (marks.up is not None and marks.up.match(comment.text)):
                    return tool
    return None


def rollback_mark(sql: SqlText) -> tuple[str, Comment] | None:
    r"""The comment that begins a tool's rollback block, and whose it is; None where no statement follows one.

    Examples
    --------
    >>> tool, mark = rollback_mark(SqlText("CREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;"))
    >>> tool, mark.line
    ('dbmate', 2)
    """
    if not _may_hold_marks(sql.text):
        return None
    for comment in sql.comments:
        if comment.is_line_comment:
            for tool, marks in MARKS.items():
                if marks.down.match(comment.text) and sql.code_after(comment.end) is not None:
                    return tool, comment
    return None


def _may_hold_marks(text: str) -> bool:
    lower = text.lower()  # ten times as fast as a pattern that ignores case
    return any(word in lower for word in _WORDS)


def only_undoes(name: str) -> bool:
    """Whether a file of this name holds nothing but a tool's rollback block.

    Examples
    --------
    >>> only_undoes("000001_users.down"), only_undoes("000001_users.up")
    (True, False)
    """
    return name.lower().endswith(_UNDO_FILES)
