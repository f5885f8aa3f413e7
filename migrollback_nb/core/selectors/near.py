"""What comes close to what was not found, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

#: What is less alike than the closest by more than this is no guess beside it: names of one day are all alike.
_WORSE = 0.15


def near(wanted: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """What comes close to a word that is not known, the closest first.

    Examples
    --------
    >>> near("20250120_add_setings", ["20250120_drop_tags", "20250120_add_settings"])
    ('20250120_add_settings',)
    """
    from difflib import SequenceMatcher, get_close_matches  # on a slip only: it takes as long as ten modules of ours

    have = list(dict.fromkeys(known))
    found = get_close_matches(wanted, have, n=most)
    alike = [SequenceMatcher(None, name, wanted).ratio() for name in found]
    found = [name for name, ratio in zip(found, alike, strict=True) if ratio >= alike[0] - _WORSE]
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
