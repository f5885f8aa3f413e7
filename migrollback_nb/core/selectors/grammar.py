"""The grammar of selectors: a text -> terms. Pure.

::

    selector      one or more alternatives, with a space between them: any of them
    alternative   one or more terms, with a comma between them: all of them
    term          [[DEPTH]+] [METHOD:] VALUE [+[DEPTH]]

``name+`` is it and what depends on it, ``+name`` it and what it depends on; a depth counts dependencies. Double quotes
around a value keep spaces, commas, colons and plus signs in it. A registered name wins before any of this.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from migrollback_nb.core.errors import UsageError

#: What makes a value a pattern.
_GLOB = re.compile(r"[*?\[]")
_DEPTH_BEFORE = re.compile(r"([0-9]*)\+(?=[^ \t\r\n,])")
_DEPTH_AFTER = re.compile(r"\+([0-9]*)(?=[ \t\r\n,]|\Z)")
_METHOD = re.compile(r"([A-Za-z][A-Za-z_-]*):")
#: Between terms.
_SPACE = re.compile(r"[ \t\r\n]+")
#: What the grammar gives a meaning to.
_SIGNS = re.compile(r'[\s,:"+]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of a selector."""

    value: str  #: what stands behind the method, or a name
    method: str | None = None  #: what stands before the colon; None: the value is a name, or a pattern for names
    before: float = 0  #: how many dependencies away what it depends on is wanted too; inf: all
    after: float = 0  #: how many dependencies away what depends on it is wanted too; inf: all
    registered: bool = False  #: whether the value is a registered name, taken as it stands
    text: str = ""  #: as it was written

    @property
    def is_pattern(self) -> bool:
        """Whether the value is a pattern; a registered name never is."""
        return not self.registered and _GLOB.search(self.value) is not None


#: A selector: any of these, of each all of these.
Alternatives = tuple[tuple[Term, ...], ...]


def texts_of(select: str | Sequence[str]) -> tuple[str, ...]:
    """The texts of a selector: one, or several of which any counts; pure.

    Raises
    ------
    UsageError
        When one is empty, or no text.
    """
    texts = (select,) if isinstance(select, str) else tuple(select)
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"{text!r} is no selector", hint="A selector is a text, or several of them.")
        if not text.strip():
            raise UsageError("The selector is empty", hint="Name a migration, or leave the selector out for all.")
    return texts


def is_plain(text: str) -> bool:
    """Whether a text is words alone: no sign in it means anything to a selector. Pure.

    Examples
    --------
    >>> is_plain("add users"), is_plain("users+"), is_plain("table:users"), is_plain("2025*")
    (True, False, False, False)
    """
    return not re.search(r'[,:"+*?\[]', text)


def possible_names(text: str) -> tuple[set[str], bool]:
    """What of a text may be the name of a migration, and whether that is all: a long text has too many parts. Pure."""
    found = {text}
    with suppress(UsageError):
        found |= {term.value for term in terms_of([parse(text)]) if term.method is None}
    starts, ends = {0}, {len(text)}
    for place, sign in enumerate(text):
        if sign in ' \t\r\n,+"':
            starts.add(place + 1)
            ends.add(place)
    is_all = len(starts) * len(ends) <= 400
    if is_all:
        found |= {text[start:end] for start in starts for end in ends if start < end}
    found |= {name.removesuffix(".sql") for name in found}
    return {name for name in found if name.strip()}, is_all


def parse(text: str, registered: Collection[str] = ()) -> Alternatives:
    """Read one text.

    Parameters
    ----------
    text : str
        The selector.
    registered : collection of str
        Registered names; one that stands in the text as it is wins before parsing, the longest first.

    Raises
    ------
    UsageError
        When it is not understood.
    """
    known = frozenset(registered)
    if text in known:
        return ((Term(value=text, registered=True, text=text),),)
    hostile = sorted((name for name in known if _SIGNS.search(name) and name in text), key=len, reverse=True)
    alternatives: list[tuple[Term, ...]] = []
    terms: list[Term] = []
    place = _after_space(text, 0)
    while place < len(text):
        term, place = _term(text, place, known, hostile)
        terms.append(term)
        after = _after_space(text, place)
        if text[place : place + 1] == ",":
            if after != place or _after_space(text, place + 1) != place + 1 or place + 1 == len(text):
                raise _unclear_comma(text)
            place += 1
            continue
        if text[after : after + 1] == ",":
            raise _unclear_comma(text)
        alternatives.append(tuple(terms))
        terms, place = [], after
    return tuple(alternatives)


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _unclear_comma(text: str) -> UsageError:
    return UsageError(
        f"The comma in {text!r} has no term at both of its sides",
        hint="A space means or, a comma without spaces means and: 'a b', 'table:users,status:applied'.",
    )


def _term(text: str, start: int, known: Collection[str], hostile: Sequence[str]) -> tuple[Term, int]:
    """The term that begins at `start`, and where it ends."""
    found = _registered_at(text, start, hostile)
    if found is not None:
        return found
    place, before = start, 0.0
    if prefix := _DEPTH_BEFORE.match(text, start):
        place, before = prefix.end(), _depth(prefix.group(1))
        found = _registered_at(text, place, hostile, before=before, start=start)
        if found is not None:
            return found
    value, method, place = _value(text, place)
    after = 0.0
    if suffix := _DEPTH_AFTER.match(text, place):
        place, after = suffix.end(), _depth(suffix.group(1))
    if method is None and value not in known:
        value = value.removesuffix(".sql")
    written = text[start:place]
    if not value:
        raise UsageError(
            f"{written or text[start:]} names nothing",
            hint="Write a name or a value there, as in table:users or name+.",
        )
    is_name = method is None and value in known
    return Term(value=value, method=method, before=before, after=after, registered=is_name, text=written), place


def _registered_at(
    text: str, place: int, hostile: Sequence[str], *, before: float = 0, start: int | None = None
) -> tuple[Term, int] | None:
    """A registered name with signs of the grammar in it that stands there, and where its term ends; the longest."""
    for name in hostile:
        if not text.startswith(name, place):
            continue
        end = place + len(name)
        end += 4 if text.startswith(".sql", end) else 0
        after = 0.0
        if suffix := _DEPTH_AFTER.match(text, end):
            end, after = suffix.end(), _depth(suffix.group(1))
        if end == len(text) or text[end] in " \t\r\n,":
            written = text[place if start is None else start : end]
            return Term(value=name, before=before, after=after, registered=True, text=written), end
    return None


def _value(text: str, start: int) -> tuple[str, str | None, int]:
    """(value, method, where it ends) of what stands there, without the signs of closures."""
    method = None
    place = start
    if found := _METHOD.match(text, start):
        method, place = found.group(1), found.end()
    if text[place : place + 1] == '"':
        value, place = _quoted(text, place)
        if place < len(text) and not _DEPTH_AFTER.match(text, place) and text[place] not in " \t\r\n,":
            # an SQL identifier such as "Shop".orders: taken as it is written
            rest, place = _plain(text, place)
            escaped = value.replace('"', '""')
            return f'"{escaped}"{rest}', method, place
        return value, method, place
    value, place = _plain(text, place)
    return value, method, place


def _quoted(text: str, start: int) -> tuple[str, int]:
    parts = []
    place = start + 1
    while True:
        end = text.find('"', place)
        if end < 0:
            raise UsageError(f"A quotation in {text!r} does not end", hint="Write a double quote at its end too.")
        parts.append(text[place:end])
        if text[end + 1 : end + 2] != '"':
            return '"'.join(parts), end + 1
        place = end + 2


def _plain(text: str, start: int) -> tuple[str, int]:
    """A value that is not quoted, to the sign that ends its term; what is quoted inside of it stays as it is."""
    place = start
    while place < len(text) and text[place] not in " \t\r\n,":
        if text[place] == '"':
            _, place = _quoted(text, place)
        elif text[place] == "+" and _DEPTH_AFTER.match(text, place):
            break
        else:
            place += 1
    return text[start:place], place


def _depth(digits: str) -> float:
    return int(digits) if digits else inf


def terms_of(parsed: Sequence[Alternatives]) -> Iterator[Term]:
    """Every term of several selectors, in order; pure."""
    for alternatives in parsed:
        for terms in alternatives:
            yield from terms


def quoted(value: str) -> str:
    """A value as it must be written in a selector; pure.

    Examples
    --------
    >>> quoted("20250120_add_users"), quoted("two words")
    ('20250120_add_users', '"two words"')
    """
    if value and not _SIGNS.search(value):
        return value
    escaped = value.replace('"', '""')
    return f'"{escaped}"'
