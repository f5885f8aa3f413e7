"""What may stand next in a selector that is being written. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migrollback_nb.core.selectors.grammar import quoted
from migrollback_nb.core.selectors.methods import METHODS

#: The term at the end of a text: what stands before it, +, method, value.
_LAST = re.compile(
    r"""(?P<before>(?:(?:[^\s,"]|"(?:[^"]|"")*")*[\s,]+)*)(?P<prefix>\d*\+(?=[^\s,]|\Z))?"""
    r"""(?:(?P<method>[A-Za-z_-]+):)?(?P<value>(?:[^\s,"]|"(?:[^"]|"")*(?:"|\Z))*)\Z"""
)
#: What is offered for since: and last:, of which there are any number.
_EXAMPLES = {"since": ("1d", "7d", "4w"), "last": ("1", "3", "10")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What there is in a database to be selected."""

    names: tuple[str, ...] = ()  #: registered migrations, the newest first
    tables: tuple[str, ...] = ()  #: that migrations touched, with their schemas
    schemas: tuple[str, ...] = ()  #: that migrations touched
    objects: tuple[str, ...] = ()  #: that migrations touched, by identity
    roles: tuple[str, ...] = ()  #: that applied migrations
    deploys: tuple[str, ...] = ()  #: labels
    tags: tuple[str, ...] = ()  #: of registered migrations

    def of(self, method: str) -> Sequence[str]:
        """What may stand behind the colon of a method."""
        known = {
            "table": self.tables,
            "schema": self.schemas,
            "object": self.objects,
            "by": self.roles,
            "deploy": self.deploys,
            "tag": self.tags,
        }
        return known.get(method) or _EXAMPLES.get(method) or METHODS[method].values


def complete(text: str, facts: Facts, *, most: int = 12) -> tuple[str, ...]:
    """Selectors that begin with this text, or whose last term holds what was typed: whole lines, the likeliest first.

    Parameters
    ----------
    text : str
        What is written so far; its last term is completed.
    facts : Facts
        What there is.
    most : int
        How many are offered.

    Examples
    --------
    >>> facts = Facts(names=("002_users", "001_base"), tables=("public.users",))
    >>> complete("tag:x,us", facts)
    ('tag:x,002_users',)
    >>> complete("table:us", facts)
    ('table:public.users',)
    >>> complete("002_users", facts)
    ('002_users+', '+002_users')
    """
    found = _LAST.match(text)
    if found is None:
        return ()
    before = found["before"] + (found["prefix"] or "")
    typed = _plain(found["value"])
    if found["method"] is not None:
        if found["method"] not in METHODS:
            return ()
        offered = [
            f"{before}{found['method']}:{quoted(value)}"
            for value in _fitting(typed, facts.of(found["method"]), most)
            if value != typed
        ]
        return tuple(offered[:most])
    if typed in facts.names:
        whole = quoted(typed)
        closures = (f"{before}{whole}+",) if found["prefix"] else (f"{before}{whole}+", f"{before}+{whole}")
        others = [f"{before}{quoted(name)}" for name in _fitting(typed, facts.names, most) if name != typed]
        return (*closures, *others)[:most]
    methods = [f"{before}{name}:" for name in METHODS if name.startswith(typed)]
    names = [f"{before}{quoted(name)}" for name in _fitting(typed, facts.names, most)]
    # an empty line shows what there is to write
    return tuple((methods + names if typed else names[:3] + methods)[:most])


def describe(line: str) -> str:
    """What the end of an offered line means, in a few words; empty where it says so itself."""
    found = _LAST.match(line)
    if found is None or not found["value"]:
        method = METHODS.get(found["method"] or "") if found is not None else None
        return "" if method is None else method.means
    if found["value"].endswith("+"):
        return "with what depends on it"
    return "with what it depends on" if found["prefix"] else ""


def _plain(value: str) -> str:
    """What is meant by a value that may be in quotes, and may not be closed yet."""
    if not value.startswith('"'):
        return value
    return value[1:].removesuffix('"').replace('""', '"')


def _fitting(typed: str, known: Iterable[str], most: int) -> Sequence[str]:
    """Those that begin with what was typed, then those of which a part does, then those that hold it."""
    low = typed.lower()
    ranks: tuple[list[str], list[str], list[str]] = ([], [], [])
    for value in known:
        place = value.lower().find(low)
        if place >= 0:
            ranks[0 if place == 0 else 1 if not value[place - 1].isalnum() else 2].append(value)
            if len(ranks[0]) > most:
                break
    return [*ranks[0], *ranks[1], *ranks[2]]
