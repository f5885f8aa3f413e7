"""Colours of a terminal: green, amber and red for verdict and status, and none where they are not wanted. Pure."""

from __future__ import annotations

import os
from typing import TextIO

#: Of each kind, as `core.kinds` has them, and of what has none.
_CODES = {"good": "32", "careful": "33", "bad": "31", "quiet": "36", "dim": "2", "heading": "1", "loud": "1;97;41"}


def wants_colours(out: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and no one has turned them off: see no-color.org."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, kind: str | None, out: TextIO) -> str:
    """Text in the colour of its kind, for a stream: as it is where that takes no colours.

    Parameters
    ----------
    kind : str, optional
        ``good``, ``careful``, ``bad``, ``quiet``, ``dim``, ``heading``, ``loud``; None: no colour.
    """
    if kind is None or not text or not wants_colours(out):
        return text
    return f"\x1b[{_CODES[kind]}m{text}\x1b[0m"
