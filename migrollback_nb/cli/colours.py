"""Colours of a terminal: green, amber and red for verdict and status, and none where they are not wanted. Pure."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {"good": "32", "careful": "33", "bad": "31", "calm": "36", "dim": "2", "heading": "1", "loud": "1;97;41"}

#: Word of a closed set -> its kind. Only `ready` and what is restored are green, as in the panels.
KIND = {
    "ready": "good",
    "not_rehearsed": "careful",
    "harms": "careful",
    "takes_others": "careful",
    "loses": "bad",
    "blocked": "bad",
    "applied": "calm",
    "rolled_back": "careful",
    "failed": "bad",
    "apply_failed": "bad",
    "refused": "bad",
    "restores": "good",
    "loses_data": "careful",
    "cannot_reapply": "careful",
    "differs": "bad",
    "fails": "bad",
    "restored": "good",
    "schema_restored": "careful",
    "as rehearsed": "good",
    "not as rehearsed": "bad",
}


def wants_colours(out: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and no one has turned them off: see no-color.org."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, kind: str | None, out: TextIO) -> str:
    """Text in the colour of its kind, for a stream: as it is where that takes no colours.

    Parameters
    ----------
    kind : str, optional
        ``good``, ``careful``, ``bad``, ``calm``, ``dim``, ``heading``, ``loud``; None: no colour.
    """
    if kind is None or not text or not wants_colours(out):
        return text
    return f"\x1b[{_CODES[kind]}m{text}\x1b[0m"
