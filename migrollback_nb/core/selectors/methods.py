"""The methods of selectors: what may stand before the colon, and what behind it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results.proof import GRADES
from migrollback_nb.core.selectors.near import close_to, one_of

if TYPE_CHECKING:
    from migrollback_nb.core.selectors.grammar import Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method."""

    name: str  #: as it is written before the colon
    means: str  #: which migrations it means, in words
    example: str  #: a term
    values: tuple[str, ...] = ()  #: all that may stand behind the colon; empty: whatever the database knows
    glob: bool = True  #: whether a pattern may stand there


_ALL = (
    Method(name="table", means="those that touch the table, its columns, indexes, triggers", example="table:users"),
    Method(name="schema", means="those that touch an object in the schema", example="schema:billing"),
    Method(name="object", means="those that touch the object", example="object:billing.invoice_total*"),
    Method(
        name="status",
        means="those of this status",
        example="status:rolled_back",
        values=("applied", "rolled_back", "failed"),
        glob=False,
    ),
    Method(name="by", means="those that this role applied", example="by:anna"),
    Method(name="deploy", means="those that a deploy of this label brought", example="deploy:release-42"),
    Method(name="since", means="those applied since", example="since:7d", glob=False),
    Method(
        name="grade",
        means="those whose recorded proof has this grade",
        example="grade:restores",
        values=(*GRADES, "none"),
        glob=False,
    ),
    Method(
        name="verdict",
        means="those of which an assessment says so",
        example="verdict:loses",
        values=("ready", "not_rehearsed", "harms", "takes_others", "loses", "blocked"),
        glob=False,
    ),
    Method(name="tag", means="those whose file has this word in -- Tags:", example="tag:hotfix"),
    Method(name="last", means="the latest that are applied", example="last:3", glob=False),
)

#: Name -> method.
METHODS = {method.name: method for method in _ALL}


def check(term: Term) -> None:
    """See that a term's method exists and may have this value; pure.

    Raises
    ------
    UsageError
        With what comes close.
    """
    if term.method is None:
        return
    method = METHODS.get(term.method)
    if method is None:
        raise UsageError(
            f"{term.text} is no registered migration, and there is no method {term.method}",
            hint=close_to(term.method, METHODS) or f"Methods are {one_of(METHODS, 'and')}.",
        )
    if method.values and term.value not in method.values:
        raise UsageError(
            f"There is no {method.name} {term.value}",
            hint=close_to(term.value, method.values) or f"Use {one_of(method.values)}.",
        )
    if method.name == "last" and not re.fullmatch(r"[1-9]\d{0,8}", term.value):
        raise UsageError(f"{term.text} names no number of migrations", hint="Write last:1, last:3 ...")


def pattern(value: str) -> str:
    """A pattern with ``*``, ``?``, ``[abc]`` and ``[!abc]`` as a regular expression for a whole text; pure.

    Python and PostgreSQL read it alike.

    Raises
    ------
    UsageError
        When what stands in brackets is no set of characters.

    Examples
    --------
    >>> pattern("2025*_users"), pattern("0[!1-3]?")
    ('2025.*_users', '0[^1-3].')
    """
    parts = []
    place = 0
    while place < len(value):
        sign = value[place]
        place += 1
        end = value.find("]", place + (2 if value.startswith("!]", place) else 1)) if sign == "[" else -1
        if end > 0:
            inside = value[place:end]
            outer = "^" if inside.startswith("!") else ""
            parts.append(f"[{outer}{re.sub(_SPECIAL, _escaped, inside.removeprefix('!'))}]")
            place = end + 1
        else:
            parts.append({"*": ".*", "?": "."}.get(sign) or re.sub(r"[^\w-]", _escaped, sign))
    found = "".join(parts)
    try:
        re.compile(found)
    except re.error:
        raise UsageError(f"{value} is no pattern", hint="In a pattern stand *, ?, [abc] and [!abc].") from None
    return found


#: Of what stands in brackets: whatever is neither a letter, a digit nor the sign of a range.
_SPECIAL = r"[^\w-]"


def _escaped(found: re.Match[str]) -> str:
    return "\\" + found.group()
