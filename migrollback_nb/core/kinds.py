"""Which colour a word of a closed set has, the same everywhere, terminals too: good, bad, careful, quiet. Pure."""

from __future__ import annotations

from migrollback_nb.core import html

#: Kind -> style of a pill, readable in both themes.
STYLE = {"good": html.GOOD, "bad": html.BAD, "careful": html.CAREFUL, "quiet": html.QUIET}

_WORDS = {
    "good": ("applied", "ready", "restores", "restored", "as rehearsed", "same", "rehearsed", "verified"),
    "bad": (
        "failed", "blocked", "loses", "fails", "differs", "not as rehearsed", "missing", "apply_failed",
    ),
    "careful": (
        "not_rehearsed", "harms", "takes_others", "loses_data", "cannot_reapply", "schema_restored", "unknown",
        "no_rollback", "partly rolled back", "refused", "stopped",
    ),
    "quiet": ("rolled_back", "rolled back", "skipped", "never"),
}  # fmt: skip

#: Word of a status, verdict, grade or outcome -> its kind.
KIND = {word: kind for kind, words in _WORDS.items() for word in words}

_OF_KIND = {"good": "✔", "bad": "✘", "careful": "•", "quiet": "•"}
_OF_WORD = {"not_rehearsed": "?", **dict.fromkeys(("loses", "loses_data", "takes_others", "harms", "differs"), "!")}


def style(word: str) -> str:
    """The style of a banner for a verdict, grade or outcome; careful for a word that is not known."""
    return STYLE[KIND.get(word, "careful")]


def sign(word: str) -> str:
    """The sign before a word, so that no reader has to tell colours apart."""
    return _OF_WORD.get(word) or _OF_KIND[KIND.get(word, "quiet")]
