"""Words for people: lists that stay short. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def first_few(items: Sequence[str], most: int = 3, *, separator: str = ", ") -> str:
    """The first items, and how many more there are.

    Examples
    --------
    >>> first_few(["a", "b"]), first_few(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    shown = separator.join(items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown
