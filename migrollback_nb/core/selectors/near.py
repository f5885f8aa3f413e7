"""What comes close to what was not found, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(wanted: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """What comes close to a word that is not known, the closest first."""
    have = list(dict.fromkeys(known))
    found = get_close_matches(wanted, have, n=most)
    low = wanted.lower()
    # a part of a name is what people type
    found += [name for name in have if low and (low in name.lower() or name.lower() in low) and name not in found]
    return tuple(found[:most])


def close_to(wanted: str, known: Iterable[str]) -> str | None:
    """The question whether something near was meant; None where nothing comes close."""
    found = near(wanted, known)
    return f"Did you mean {one_of(found)}?" if found else None


def one_of(words: Iterable[str], joint: str = "or") -> str:
    """Words as a list in a sentence.

    Examples
    --------
    >>> one_of(["applied", "rolled_back", "failed"])
    'applied, rolled_back or failed'
    """
    *others, last = words
    return f"{', '.join(others)} {joint} {last}" if others else last
