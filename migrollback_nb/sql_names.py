"""Which names stand in SQL: as the scanner sees them, comments and string constants left out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import postgast

_TOKEN = postgast.pg_query_pb2.Token
_IDENT = _TOKEN.Value("IDENT")
_UIDENT = _TOKEN.Value("UIDENT")
_STRING = _TOKEN.Value("SCONST")
_NO_KEYWORD = postgast.pg_query_pb2.KeywordKind.NO_KEYWORD
_DO = re.compile(r"\s*do\b", re.IGNORECASE)
_DOLLARS = re.compile(r"\$([^$]*)\$(.*)\$\1\$", re.DOTALL)


def names_in(text: str) -> frozenset[str]:
    """Every name in a text of SQL, as the catalog spells it: unquoted ones in lower case. The code of a DO block counts too.

    Examples
    --------
    >>> sorted(names_in('DROP TABLE public."Old Users", b /* c */'))
    ['Old Users', 'b', 'public']
    """
    return frozenset(_names(text))


def _names(text: str) -> Iterator[str]:
    try:
        tokens = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return
    data = text.encode()
    for token in tokens:
        if token.token in (_IDENT, _UIDENT):
            word = data[token.start : token.end].decode()
            yield word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
        elif token.keyword_kind != _NO_KEYWORD:  # many keywords are names too
            yield data[token.start : token.end].decode().lower()
        elif token.token == _STRING and _DO.match(text) and (inside := _DOLLARS.fullmatch(data[token.start : token.end].decode())):
            yield from _names(inside[2])


def last_name(identity: str) -> str | None:
    """The name of an object itself in an identity as schema_objects() gives it; None where there is none.

    Examples
    --------
    >>> last_name('public."T".col'), last_name("public.f(integer, text)"), last_name("public.t t_pkey"), last_name('app."a b" "x"')
    ('col', 'f', 't_pkey', 'x')
    """
    parts = _PART.findall(_ARGUMENTS.sub("", identity))
    if not parts:
        return None
    return str(parts[-1][1:-1].replace('""', '"') if parts[-1].startswith('"') else parts[-1])


_PART = re.compile(r'"(?:[^"]|"")*"|[^\s."(]+')
# from the parenthesis that no quoted name holds
_ARGUMENTS = re.compile(r'(?<=[\w"])\((?=(?:[^"]*"[^"]*")*[^"]*$).*$', re.DOTALL)


def names_any(identity: str, names: frozenset[str]) -> bool:
    """Whether the object of this identity is among the names of a text."""
    name = last_name(identity)
    return name is not None and name in names
