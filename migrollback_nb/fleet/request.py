"""What is asked of a fleet: which migrations, in which waves, under which conditions. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.text import first_few


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One command for all targets of a fleet."""

    command: str  #: rollback or apply
    names: tuple[str, ...] = ()  #: migrations; of apply: none for all that are pending
    deploy: str | None = None  #: instead of names: the label of a deploy
    to: str | None = None  #: instead of names: all that was applied after this migration
    chain: bool = False  #: with all that must be rolled back first
    canary: int = 1  #: how many targets go first
    waves: tuple[int, ...] = ()  #: how many go then, and then, and then; the rest goes last
    parallel: int = 32  #: how many at a time
    max_failures: int = 0  #: more than so many, and no other target is started
    reason: str | None = None  #: goes into each audit log
    accept_loss: bool = False  #: a known loss is accepted
    settings: Mapping[str, Any] = field(default_factory=dict)  #: timeouts, the system's schema

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.command == "rollback" and sum((bool(self.names), self.deploy is not None, self.to is not None)) != 1:
            raise UsageError(
                "Which migrations are to be rolled back is not said, or twice",
                hint="Give names, or a deploy, or the migration up to which to roll back.",
            )
        for name in ("canary", "parallel", "max_failures"):
            if getattr(self, name) < (1 if name == "parallel" else 0):
                raise UsageError(f"{name} is {getattr(self, name)}", hint="Give a number of targets.")
        if wrong := [count for count in self.waves if count < 1]:
            raise UsageError(f"A wave of {first_few([str(one) for one in wrong])} targets is none", hint="Write 5,50.")

    @property
    def confirmed_by(self) -> str:
        """What is to be typed: the label of a deploy, the name after which all goes, else the last name."""
        return self.deploy or self.to or (self.names[-1] if self.names else "apply")

    @property
    def names_or_none(self) -> str | list[str] | None:
        """As `Migrations.preview` takes them."""
        return None if not self.names else self.names[0] if len(self.names) == 1 else list(self.names)

    @property
    def choice(self) -> dict[str, Any]:
        """What else says which migrations are meant, as `Migrations.preview` takes it."""
        chosen = {"deploy": self.deploy, "to": self.to}
        return {key: value for key, value in chosen.items() if value is not None} | (
            {"chain": True} if self.chain else {}
        )

    def attempt_id(self, run_id: str, target: str, number: int) -> str:
        """The attempt of a run in one target, the same in each process that takes part; pure.

        number : from 1; a new one after an attempt that is known to have failed.
        """
        said = f"{target}\n{self.confirmed_by}" + (f"\n{number}" if number > 1 else "")
        return str(uuid.uuid5(uuid.UUID(run_id), said))

    def to_dict(self) -> dict[str, Any]:
        """For what is kept of a run."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave."""
        return cls(**{**kept, "names": tuple(kept["names"]), "waves": tuple(kept["waves"])})


def numbers(text: str | Sequence[int]) -> tuple[int, ...]:
    """Counts of waves, as ``5,50`` or as a sequence; pure.

    Raises
    ------
    UsageError
        When one is no number.
    """
    if not isinstance(text, str):
        return tuple(text)
    try:
        return tuple(int(one) for one in text.split(",") if one.strip())
    except ValueError:
        raise UsageError(f"Waves {text} are no numbers", hint="Write 5,50.") from None
