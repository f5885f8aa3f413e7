"""Identities of schema objects as schema_objects() gives them: their parts, quoted and unquoted. Pure."""

from __future__ import annotations

import re

#: One identifier, quoted or not.
NAME = r'(?:"(?:[^"]|"")*"|[^\s.,()"]+)'
#: One with its schema.
QUALIFIED = rf"{NAME}\.{NAME}"
_PART = re.compile(
    r'"(?:[^"]|"")*"|[^\s."(]+'
)  # what an operator's arguments end with keeps its parenthesis: it is no name of its own
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_LAST = re.compile(rf"(.*)\.({NAME})", re.DOTALL)
_ON_TABLE = re.compile(rf"({QUALIFIED}) (.*)", re.DOTALL)
# from the parenthesis that no quoted name holds
_ARGUMENTS = re.compile(r'(?<=[\w"])\((?=(?:[^"]*"[^"]*")*[^"]*$).*$', re.DOTALL)


def unquoted(name: str) -> str:
    """Take the quotes off one identifier."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def quoted(name: str) -> str:
    """Put quotes around one identifier that needs them, keywords apart.

    Examples
    --------
    >>> quoted("tags"), quoted("App One")
    ('tags', '"App One"')
    """
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def quote(name: str) -> str:
    """Quote an identifier where it needs that, as quote_ident() does."""
    import postgast

    if re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        token = postgast.scan(name).tokens[0]
        kinds = postgast.pg_query_pb2.KeywordKind
        if token.keyword_kind in (kinds.NO_KEYWORD, kinds.UNRESERVED_KEYWORD):
            return name
    return '"' + name.replace('"', '""') + '"'


def split_last(identity: str) -> tuple[str, str]:
    """``schema.table.column`` -> (``schema.table``, ``column``), both still quoted.

    Examples
    --------
    >>> split_last('public."T".col')
    ('public."T"', 'col')
    """
    found = _LAST.fullmatch(identity)
    return (found[1], found[2]) if found else ("", identity)


def split_table(identity: str) -> tuple[str, str]:
    """``schema.table name`` -> (``schema.table``, ``name``), still quoted; for constraints, triggers, rules, policies.

    Examples
    --------
    >>> split_table('app."a b" "x"')
    ('app."a b"', '"x"')
    """
    found = _ON_TABLE.fullmatch(identity)
    return (found[1], found[2]) if found else ("", identity)


def parts(identity: str) -> tuple[str, ...]:
    """The names in an identity, without quotes and arguments.

    Examples
    --------
    >>> parts('public."T".col'), parts("public.f(integer, text)"), parts("public.t t_pkey")
    (('public', 'T', 'col'), ('public', 'f'), ('public', 't', 't_pkey'))
    """
    return tuple(map(unquoted, _PART.findall(_ARGUMENTS.sub("", identity))))


def last_name(identity: str) -> str | None:
    """The name of an object itself; None where there is none.

    Examples
    --------
    >>> last_name('app."a b" "x"')
    'x'
    """
    found = parts(identity)
    return found[-1] if found else None
