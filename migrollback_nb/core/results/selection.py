"""What is rolled back together: by a selector and what goes with it, or by a range. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migrollback_nb.core.text import counted, first_few


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which migrations are to be rolled back together, as it was asked: one of these, and what goes with it."""

    names: tuple[str, ...] = ()  #: these, by name
    to: str | None = None  #: what was applied after this one, which stays
    last: int | None = None  #: the last so many
    since: str | None = None  #: what was applied from then on: a span or a time, as it was written
    deploy: str | None = None  #: what is left of the deploy of this label
    select: tuple[str, ...] = ()  #: what these selectors mean, and all that depends on it
    exclude: tuple[str, ...] = ()  #: but for what these mean
    chain: bool = False  #: with all that depends on them
    files: str | None = None  #: what this folder does not hold
    database: str | None = None  #: with `files`: the database's name, which confirms it

    @property
    def is_one(self) -> bool:
        """Whether one migration was named, with or without what depends on it."""
        return len(self.names) == 1

    @property
    def words(self) -> str:
        """What was asked for, in words."""
        if self.to is not None:
            return f"what was applied after {self.to}"
        if self.last is not None:
            return "the last migration" if self.last == 1 else f"the last {self.last:,} migrations"
        if self.since is not None:
            return f"what was applied since {self.since}"
        if self.deploy is not None:
            return f"deploy {self.deploy}"
        if self.files is not None:
            return f"what {self.files} does not hold"
        return " ".join(self.select) if self.select else ", ".join(self.names)

    @property
    def nothing(self) -> str:
        """That nothing of it is applied, in words."""
        if self.to is not None:
            return f"Nothing that is applied was applied after {self.to}"
        if self.since is not None:
            return f"Nothing that is applied was applied since {self.since}"
        if self.files is not None:
            return f"All that is applied is in {self.files}"
        return f"Nothing is applied of {self.words}" if self.last is None else "Nothing is applied"

    @property
    def arguments(self) -> str:
        """As a command takes it."""
        given = [("", name) for name in self.names]
        given += [("--to", self.to)] if self.to is not None else []
        given += [("--last", str(self.last))] if self.last is not None else []
        given += [("--since", self.since)] if self.since is not None else []
        given += [("--deploy", self.deploy)] if self.deploy is not None else []
        given += [("--to-files", self.files)] if self.files is not None else []
        given += [("--select", text) for text in self.select] + [("--exclude", text) for text in self.exclude]
        said = [f"{option} {shlex.quote(text)}".strip() for option, text in given]
        return " ".join([*said, *(["--chain"] if self.chain else [])])

    @property
    def asked(self) -> dict[str, Any]:
        """As the audit log keeps it of an attempt: the same is asked for where this is the same."""
        found: dict[str, Any] = {"names": sorted(self.names)} if self.names else {}
        found |= {"to": self.to, "last": self.last, "since": self.since, "deploy": self.deploy}
        found |= {"select": list(self.select) or None, "exclude": list(self.exclude) or None}
        return {key: value for key, value in (found | {"chain": self.chain or None}).items() if value is not None}

    def confirm(self, steps: Sequence[str]) -> str:
        """What confirms the rollback of these steps.

        NAME of --to, LABEL of --deploy, the name of the one migration that was named; else the name of the newest,
        which goes first. Of a selection it is the last of what goes.

        Examples
        --------
        >>> Range(last=2).confirm(["003_c", "002_b"]), Range(to="001_a").confirm(["003_c", "002_b"])
        ('003_c', '001_a')
        """
        if self.deploy is not None:
            return self.deploy
        if self.to is not None:
            return self.to
        if self.database is not None:
            return self.database
        return steps[-1] if self.is_one or self.select else steps[0]

    @property
    def confirmed_by(self) -> str:
        """What confirms it, in words."""
        if self.deploy is not None:
            return "its label"
        if self.to is not None:
            return "the name of the migration that stays"
        if self.database is not None:
            return "the name of the database"
        return "its name" if self.is_one or self.select else "the name of the newest migration"

    def heading(self, steps: Sequence[str]) -> str:
        """What would go, in a line."""
        count = counted(len(steps), "migration")
        return f"{self.words}: {count}, {first_few(steps)}"
