"""What is rolled back by a selector: what it means, and what depends on that and goes with it. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSelection:
    """The migrations that a selector means, closed over what depends on them."""

    select: tuple[str, ...]  #: the selectors
    exclude: tuple[str, ...] = ()  #: the selectors of what was left out
    selected: tuple[str, ...]  #: what they mean and is not rolled back, in the order of the history, oldest first
    steps: tuple[str, ...]  #: these and all that depends on them, in the order of their rollback
    rolled_back: tuple[str, ...] = ()  #: what they mean and is rolled back already
    remarks: tuple[str, ...] = ()  #: what a person should know

    @property
    def words(self) -> str:
        """How many there are, in a sentence."""
        count, others = len(self.selected), len(self.steps) - len(self.selected)
        one = count == 1
        text = f"{count:,} migration{' is' if one else 's are'} selected"
        if others:
            text += (
                f", and {others:,} that depend{'s' if others == 1 else ''} on {'it' if one else 'them'}"
                f" go{'es' if others == 1 else ''} with {'it' if one else 'them'}"
            )
        else:
            text += f", and nothing else that is applied depends on {'it' if one else 'them'}"
        done = len(self.rolled_back)
        return text + (f" ({done:,} more {'is' if done == 1 else 'are'} rolled back already)" if done else "")

    @property
    def arguments(self) -> str:
        """As a command takes it."""
        given = [("--select", text) for text in self.select] + [("--exclude", text) for text in self.exclude]
        return " ".join(f"{option} {shlex.quote(text)}" for option, text in given)
