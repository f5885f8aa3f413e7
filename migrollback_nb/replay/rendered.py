"""What a tool made of one migration that is a program. Pure."""

from __future__ import annotations

from dataclasses import dataclass

#: What undoes a migration that does nothing to the database: else none before it could be rolled back.
NOTHING = "DO 'BEGIN END'; -- nothing is to be undone: it changes nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a tool made of one migration."""

    up: str | None = None  #: what it runs
    rollback: str | None = None  #: what undoes it
    reason: str | None = None  #: why there is nothing that undoes it
    by: str = ""  #: what made it, in words
    remarks: tuple[str, ...] = ()  #: what a person should know of it
