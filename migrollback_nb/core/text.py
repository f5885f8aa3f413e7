"""Words for people: lists that stay short, texts without signs that change how they read. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")

# Bidirectional controls reorder what a reader sees, and control characters reach terminals: both are shown by name.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t\n\u2028\u2029]")


def first_few(items: Sequence[str], most: int = 3, *, separator: str = ", ") -> str:
    """The first items, and how many more there are.

    Examples
    --------
    >>> first_few(["a", "b"]), first_few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    shown = separator.join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def counted(count: int, what: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def visible(text: str) -> str:
    r"""Show control and bidirectional characters by their code point, so that a text cannot change how it is read.

    Examples
    --------
    >>> visible("drop\u202eelbat")
    'drop<U+202E>elbat'
    """
    return text if text.isprintable() else _UNSAFE.sub(_code_point, text)


def one_line(text: str) -> str:
    r"""As `visible`, and line breaks and tabs too.

    Examples
    --------
    >>> one_line("a\nb")
    'a<U+000A>b'
    """
    return text if text.isprintable() else _BREAKS.sub(_code_point, visible(text))


def json_of(text: str) -> str:
    r"""JSON with control and bidirectional characters as escapes: the same value, and none of them in a terminal.

    Examples
    --------
    >>> json_of('"drop\u202eelbat"')
    '"drop\\u202eelbat"'
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _code_point(found: re.Match[str]) -> str:
    return f"<U+{ord(found.group()):04X}>"


def as_line(kind: type[T]) -> type[T]:
    """Class decorator: what str() and repr() of it say is one line, whatever the names in it are."""
    return _saying(kind, one_line)


def as_text(kind: type[T]) -> type[T]:
    """Class decorator: what str() and repr() of it say holds no control and bidirectional characters."""
    return _saying(kind, visible)


def _saying(kind: type[T], clean: Callable[[str], str]) -> type[T]:
    for name in {"__str__", "__repr__"} & vars(kind).keys():
        setattr(kind, name, _cleaned(vars(kind)[name], clean))
    return kind


def _cleaned(say: Callable[[Any], str], clean: Callable[[str], str]) -> Callable[[Any], str]:
    @wraps(say)
    def said(self: Any) -> str:
        return clean(say(self))

    return said
