"""Names in SQL as the scanner sees them, comments and strings left out; and SQL without the schema in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import postgast

from migrollback_nb.core.object_names import last_name, quote, unquoted

_TOKEN = postgast.pg_query_pb2.Token
_IDENT = _TOKEN.Value("IDENT")
_UIDENT = _TOKEN.Value("UIDENT")
_STRING = _TOKEN.Value("SCONST")
_NO_KEYWORD = postgast.pg_query_pb2.KeywordKind.NO_KEYWORD
_DO = re.compile(r"\s*do\b", re.IGNORECASE)
_DOLLARS = re.compile(r"\$([^$]*)\$(.*)\$\1\$", re.DOTALL)


def names_in(text: str) -> frozenset[str]:
    r"""Every name in a text of SQL, as the catalog spells it; keywords and the code of a DO block count too. Pure.

    Examples
    --------
    >>> sorted(names_in("DROP VIEW public.\"Old Users\", B /* c */, 'd'"))
    ['Old Users', 'b', 'drop', 'public', 'view']
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
            yield unquoted(word) if word.startswith('"') else word.lower()
        elif token.keyword_kind != _NO_KEYWORD:  # many keywords are names too
            yield data[token.start : token.end].decode().lower()
        elif (
            token.token == _STRING
            and _DO.match(text)
            and (inside := _DOLLARS.fullmatch(data[token.start : token.end].decode()))
        ):
            yield from _names(inside[2])


def names_any(identity: str, names: frozenset[str]) -> bool:
    """Whether the object of this identity is among the names of a text."""
    name = last_name(identity)
    return name is not None and name in names


def unqualify(sql: str, schema: str) -> str:
    """Take a schema off every name that carries it.

    Examples
    --------
    >>> unqualify("DROP INDEX public.i; SELECT nextval('public.s'::regclass), 'public.x'", "public")
    "DROP INDEX i; SELECT nextval('s'::regclass), 'public.x'"
    """
    try:
        tokens = list(postgast.scan(sql).tokens)
    except postgast.PgQueryError:
        return sql
    data = sql.encode()
    prefix = f"{quote(schema)}.".encode()
    cut: list[tuple[int, int]] = []
    for place, token in enumerate(tokens):
        text = data[token.start : token.end]
        if (
            text + b"." == prefix
            and data[token.end : token.end + 1] == b"."
            and (place == 0 or data[tokens[place - 1].start : tokens[place - 1].end] != b".")
        ):
            cut.append((token.start, token.end + 1))
        elif (
            text.startswith(b"'" + prefix)
            and place + 2 < len(tokens)
            and data[tokens[place + 2].start : tokens[place + 2].end].startswith(b"reg")
        ):
            cut.append((token.start + 1, token.start + 1 + len(prefix)))
    for start, end in reversed(cut):
        data = data[:start] + data[end:]
    return data.decode()
