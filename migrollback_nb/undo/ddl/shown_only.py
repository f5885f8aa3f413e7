"""DDL of what is shown and never run from here: what few databases have of their own, as PostgreSQL writes it. Pure.

A snapshot keeps enough of it to see that it differs, and not all that its CREATE needs: which operators of a family
came with a class, say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from migrollback_nb.core.object_names import quote
from migrollback_nb.undo.ddl.objects import Definition
from migrollback_nb.undo.ddl.quoting import literal

_ALIGNMENTS = {"c": "char", "s": "int2", "i": "int4", "d": "double"}
_STORAGES = {"p": "plain", "e": "external", "m": "main", "x": "extended"}
#: What the parser that comes with PostgreSQL calls its types of tokens, from 1.
_TOKENS = (
    "asciiword", "word", "numword", "email", "url", "host", "sfloat", "version", "hword_numpart", "hword_part",
    "hword_asciipart", "blank", "tag", "protocol", "numhword", "asciihword", "hword", "url_path", "file", "float",
    "int", "uint", "entity",
)  # fmt: skip
_PARSER = (
    ("prsstart", "START"),
    ("prstoken", "GETTOKEN"),
    ("prsend", "END"),
    ("prslextype", "LEXTYPES"),
    ("prsheadline", "HEADLINE"),
)
_TEMPLATE = (("tmplinit", "INIT"), ("tmpllexize", "LEXIZE"))


def shown_only(kind: str, identity: str, d: Definition) -> str | None:
    """The statement, or None for a kind that is not written here."""
    write = _WRITE.get(kind)
    return None if write is None else write(identity, d)


def _functions(d: Definition, words: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{word} = {d[field]}" for field, word in words if d.get(field) not in (None, "-")]


def _listed(begin: str, parts: Iterable[str]) -> str:
    return f"{begin} (\n    " + ",\n    ".join(parts) + "\n);"


def _base_type(identity: str, d: Definition) -> str:
    base = d.get("base")
    if base is None:
        return f"CREATE TYPE {identity};"
    parts = _functions(base, (("in", "INPUT"), ("out", "OUTPUT"), ("recv", "RECEIVE"), ("send", "SEND")))
    parts.append(f"INTERNALLENGTH = {'VARIABLE' if base['len'] < 0 else base['len']}")
    parts += ["PASSEDBYVALUE"] * bool(base.get("byval"))
    parts.append(f"ALIGNMENT = {_ALIGNMENTS[base['align']]}")
    parts.append(f"STORAGE = {_STORAGES[base['storage']]}")
    parts.append(f"CATEGORY = {literal(base['cat'])}")
    parts += ["PREFERRED = true"] * bool(base.get("pref"))
    parts.append(f"DELIMITER = {literal(base['delim'])}")
    return _listed(f"CREATE TYPE {identity}", parts)


def _operator_class(identity: str, d: Definition) -> str:
    name, _, method = identity.rpartition(" USING ")
    usual = " DEFAULT" if d.get("default") else ""
    family = f" FAMILY {quote(d['family'])}" if d.get("family") else ""
    return (
        f"CREATE OPERATOR CLASS {name}{usual} FOR TYPE {d['intype']} USING {method}{family} AS\n"
        f"    STORAGE {d.get('keytype') or d['intype']};"
    )


def _operator_family(identity: str, d: Definition) -> str:
    members = [
        f"OPERATOR {number} {operator}{' FOR ORDER BY' if purpose == 'o' else ''}"
        for number, _, _, operator, purpose in d.get("ops") or ()
    ]
    members += [f"FUNCTION {number} ({left}, {right}) {name}" for number, left, right, name in d.get("procs") or ()]
    text = f"CREATE OPERATOR FAMILY {identity};"
    if members:
        text += f"\nALTER OPERATOR FAMILY {identity} ADD\n    " + ",\n    ".join(members) + ";"
    return text


def _configuration(identity: str, d: Definition) -> str:
    lines = [f"CREATE TEXT SEARCH CONFIGURATION {identity} (PARSER = {quote(d['parser'])});"]
    for token, found in groupby(d.get("map") or (), key=lambda one: one[0]):
        known = d["parser"] == "default" and 0 < token <= len(_TOKENS)
        name = _TOKENS[token - 1] if known else f'"token {token}"'
        dictionaries = ", ".join(str(one[2]) for one in found)
        lines.append(f"ALTER TEXT SEARCH CONFIGURATION {identity} ADD MAPPING FOR {name} WITH {dictionaries};")
    return "\n".join(lines)


def _dictionary(identity: str, d: Definition) -> str:
    options = [d["options"]] if d.get("options") else []
    return _listed(f"CREATE TEXT SEARCH DICTIONARY {identity}", [f"TEMPLATE = {quote(d['template'])}", *options])


def _parser_or_template(identity: str, d: Definition) -> str:
    is_parser = "prsname" in d
    what = "PARSER" if is_parser else "TEMPLATE"
    return _listed(f"CREATE TEXT SEARCH {what} {identity}", _functions(d, _PARSER if is_parser else _TEMPLATE))


def _transform(identity: str, d: Definition) -> str:
    of, _, language = identity.removeprefix("for ").rpartition(" language ")
    parts = [
        f"{word} SQL WITH FUNCTION {d[field]}(internal)"
        for field, word in (("from", "FROM"), ("to", "TO"))
        if d.get(field) not in (None, "-")
    ]
    return _listed(f"CREATE TRANSFORM FOR {of} LANGUAGE {quote(language)}", parts)


_WRITE: dict[str, Callable[[str, Definition], str]] = {
    "base type": _base_type,
    "operator class": _operator_class,
    "operator family": _operator_family,
    "text search configuration": _configuration,
    "text search dictionary": _dictionary,
    "text search parser/template": _parser_or_template,
    "transform": _transform,
}
