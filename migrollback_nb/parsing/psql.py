r"""Commands of psql (\connect, \i) in a text of SQL: which no server understands, which are passed over. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

import postgast

_BACKSLASH = ord("\\")
#: What pg_dump writes around a dump since November 2025, and nothing needs.
_PASSED_OVER = frozenset({"restrict", "unrestrict"})
_WORD = re.compile(r"\\([A-Za-z_]+|.?)")
_HERE = "take the line away, for a migration runs in the database that it is applied to"
_FILE = "put the text of that file in its place"
_VALUE = "write the value in its place: psql's variables are not there"
_DATA = "only psql sends the data of COPY: write INSERT statements (pg_dump --inserts)"
#: Command -> how to fix it.
_FIXES = {
    "c": _HERE,
    "connect": _HERE,
    "i": _FILE,
    "ir": _FILE,
    "include": _FILE,
    "include_relative": _FILE,
    "set": _VALUE,
    "gset": _VALUE,
    "prompt": _VALUE,
    "getenv": _VALUE,
    "if": "write what is to run without a condition, or in a DO block",
    ".": _DATA,
    "copy": _DATA,
}
_OTHERWISE = "take the line away, or write SQL in its place"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaCommand:
    """A command of psql."""

    word: str  #: with its backslash
    start: int  #: first byte of the UTF-8 text, counted from 0
    line: int  #: counted from 1
    column: int  #: counted from 1, in characters

    @property
    def problem(self) -> str:
        r"""What is wrong with it, and how to fix it.

        Examples
        --------
        >>> MetaCommand(word="\\i", start=0, line=1, column=1).problem
        '\\i is a command of psql and no SQL: put the text of that file in its place'
        """
        return f"{self.word} is a command of psql and no SQL: {_FIXES.get(self.word[1:], _OTHERWISE)}"


def _first(text: str) -> MetaCommand | None:
    """The first backslash outside of strings and comments, as far as the text can be read."""
    data = text.encode()
    while True:
        try:
            tokens = postgast.scan(text).tokens
            break
        except postgast.PgQueryError as error:
            # behind a command of psql there may be anything, an apostrophe alone for one
            text = text[: min(max(error.cursorpos - 1, 0), len(text) - 1)]
    start = next((token.start for token in tokens if token.token == _BACKSLASH), None)
    if start is None:
        return None
    found = _WORD.match(data[start:].decode())
    assert found is not None, "it begins with a backslash"  # noqa: S101  # for mypy
    before = data[:start].decode()
    return MetaCommand(
        word=found.group(), start=start, line=before.count("\n") + 1, column=len(before) - before.rfind("\n")
    )


def without_restrict(text: str) -> str:
    r"""The text with spaces in place of \restrict and \unrestrict, so that all else stands where it stood.

    Examples
    --------
    >>> without_restrict("\\restrict aB1\nSELECT 1;")
    '             \nSELECT 1;'
    """
    while "restrict" in text and "\\" in text:
        command = _first(text)
        if command is None or command.word[1:] not in _PASSED_OVER:
            break
        data = text.encode()
        end = data.find(b"\n", command.start)
        end = len(data) if end < 0 else end
        text = (data[: command.start] + b" " * (end - command.start) + data[end:]).decode()
    return text


def meta_command(text: str, *, before: int) -> MetaCommand | None:
    """The first command of psql in a text that cannot be read from a character on (from 0); None where it is not why.

    The data of a COPY stands before the command that ends it.
    """
    command = _first(text) if "\\" in text else None
    if command is None or (command.word != "\\." and len(text.encode()[: command.start].decode()) > before):
        return None
    return command
