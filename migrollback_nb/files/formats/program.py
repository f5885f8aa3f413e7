"""Migrations that are programs of their tool (Python, JavaScript, Ruby), with SQL of both ways beside them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from migrollback_nb.files import location
from migrollback_nb.files.block import BlockSource
from migrollback_nb.files.formats.paired import PairedFile
from migrollback_nb.files.migration import CAPTURED

#: How the file beside a program is called: what its tool runs, and what undoes that.
UP, ROLLBACK = ".up.sql", ".rollback.sql"
#: Says from which program such a file was made; the first line of it.
MADE_FROM = "-- Program: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is read of a program without running it."""

    apply_with: str  #: the command that applies it, in words
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: what the history keeps of it besides
    #: of all of its folder: version -> the versions before it, for a ledger that keeps only the newest of each branch
    lineage: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    up_path: str | None = None  #: the file with the SQL that its tool runs, where there is one
    not_rendered: str | None = None  #: what of it is no SQL, in words; None where nothing tells


@dataclass(frozen=True, kw_only=True)
class ProgramFile(PairedFile):
    """A program; its text is the SQL beside it, empty where there is none."""

    program: Program
    program_text: str  #: BOM dropped and CRLF read as LF

    @cached_property
    def checksum(self) -> str:
        """SHA-256 (hex) of the program and of what undoes it, a NUL byte between them."""
        return location.checksum(
            self.program_text.encode(), None if self.rollback_text is None else self.rollback_text.encode()
        )

    @property
    def is_program(self) -> bool:
        """True: only its tool applies it."""
        return True

    @property
    def applied_by(self) -> str:
        """The command that applies it, in words."""
        return self.program.apply_with

    @property
    def before(self) -> Mapping[str, tuple[str, ...]]:
        """Version -> the versions before it, of all of its folder."""
        return self.program.lineage

    @property
    def number(self) -> tuple[int, ...] | None:
        """Its place in the order of its tool."""
        return None if self.place is None else (self.place,)

    @property
    def is_up_known(self) -> bool:
        """Whether the SQL that it runs lies beside it."""
        return self.program.up_path is not None

    def _block_source(self) -> BlockSource | None:
        return None if self.rollback_text is None else super()._block_source()

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """As of any file; and that what lies beside it was made from another program."""
        return (*super().remarks, *(() if (stale := self._stale) is None else (stale,)))

    @property
    def _stale(self) -> str | None:
        first = (self.rollback_text or "").partition("\n")[0]
        if not first.startswith(MADE_FROM) or first.endswith(location.checksum(self.program_text.encode())):
            return None
        return f"{self.path} was changed after {self.rollback_path} was made from it: make that again"

    def metadata(self) -> dict[str, Any]:
        """What `migration_history.metadata` keeps of it."""
        found = super().metadata() | {"program": True} | dict(self.program.metadata)
        if f"\n{CAPTURED}" in (self.rollback_text or "")[:1000]:
            found["captured"] = True
        if self.program.up_path is None:  # an empty text is not one that destroys nothing
            found.pop("destroys", None)
        return found

    def with_rollback(self, text: str) -> PairedFile:
        """The same migration with another text that undoes it."""
        from dataclasses import replace

        return replace(self, rollback_text=f"{text}\n")


def how_to_get_sql(tool: str | None) -> str:
    """What to do for SQL that undoes a program. Pure."""
    rendered = {"Alembic", "Django"}
    first = "migrollback render writes both ways by its own tool; or " if tool in rendered else ""
    return (
        f"{first}migrollback capture -- COMMAND writes what undoes it from what it does to a copy of the schema; or put"
        " it into NAME.rollback.sql in the folder that --rollbacks names."
    )
