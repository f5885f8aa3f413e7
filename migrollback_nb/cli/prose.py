"""Sentences for a terminal: as wide as it is, broken between words and within no quoted name. In a pipe a line each."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from typing import TextIO

#: What stays whole: a word, and a quoted name with blanks in it.
_WORD = re.compile(r'(?:"[^"]*"|[^\s"]|")+')
#: What begins a line, and is as wide as the lines after it are indented: blanks, and a sign with its blanks.
_BEGIN = re.compile(r"\s*(?:[^\w\s\"('<]+\s+)?")
#: Wider lines are hard to read, whatever the terminal is.
_WIDEST = 120


def lines(text: str, out: TextIO) -> list[str]:
    """The lines of one sentence, or several in a row, for a stream; one where it is no terminal."""
    if not out.isatty():
        return [text]
    from rich.cells import cell_len

    width = min(shutil.get_terminal_size().columns, _WIDEST)
    if cell_len(text) <= width:
        return [text]
    begin = _BEGIN.match(text)
    assert begin is not None  # noqa: S101  # for mypy: it matches nothing too
    lead = begin[0]
    indent = " " * (cell_len(lead) if lead.strip() else len(lead) + 2)
    found, size, is_first = [lead], cell_len(lead), True
    for word in _WORD.findall(text[len(lead) :]):
        wide = cell_len(word)
        if not is_first and size + 1 + wide > width:
            found.append(indent + word)
            size = len(indent) + wide
        else:
            found[-1] += word if is_first else f" {word}"
            size += wide + (not is_first)
        is_first = False
    return found


def say(text: str, out: TextIO) -> None:
    """Write it, and end its line."""
    out.writelines(f"{line}\n" for line in lines(text, out))


def say_all(texts: Iterable[str], out: TextIO) -> None:
    """Write several, each on lines of its own."""
    for text in texts:
        say(text, out)
