"""Words for people: lists that stay short, texts without passwords and signs that change how they read. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Bidirectional controls reorder what a reader sees, and control characters reach terminals: both are shown by name.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t\n\u2028\u2029]")

#: E'...', '...', $$...$$, as the SQL function mask_passwords() has them; before them, inside a literal, doubled quotes.
_LITERALS = (
    re.compile(r"""(password"?\s*(?:=\s*)?)E'(?:[^'\\]|\\.|'')*'""", re.IGNORECASE),
    re.compile(r"""(password"?\s*(?:=\s*)?)(?:U&)?'(?:[^']|'')*'""", re.IGNORECASE),
    re.compile(r"""(password"?\s*(?:=\s*)?)\$(\w*)\$[^$]*\$\2\$""", re.IGNORECASE),
)
_DOUBLED = re.compile(r"(password\s*=\s*)''(?:[^']|'''')+''(?!')", re.IGNORECASE)
_BARE = re.compile(r"""(password=)(?![*'"$])[^\s'"&]+""", re.IGNORECASE)
_IN_URI = re.compile(r"""(://[^:/@\s'"]*:)[^@\s'"/]+@""")


def first_few(items: Sequence[str], most: int = 3, *, separator: str = ", ") -> str:
    """The first items, and how many more there are.

    Examples
    --------
    >>> first_few(["a", "b"]), first_few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    shown = separator.join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


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


def _code_point(found: re.Match[str]) -> str:
    return f"<U+{ord(found.group()):04X}>"


def mask_passwords(text: str) -> str:
    """A text with *** in place of each password: of SQL, of a connection string or URI.

    Examples
    --------
    >>> mask_passwords("ALTER ROLE app PASSWORD 'hunter2'; postgres://u:hunter2@h/d")
    "ALTER ROLE app PASSWORD '***'; postgres://u:***@h/d"
    """
    if "://" not in text and "password" not in text.lower():
        return text
    text = _IN_URI.sub(r"\1***@", text)
    text = _DOUBLED.sub(r"\1***", text)
    for literal in _LITERALS:
        text = literal.sub(r"\1'***'", text)
    return _BARE.sub(r"\1***", text)
