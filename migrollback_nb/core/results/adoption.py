"""What was found of an existing database and its folder, and what taking it over would do, or did. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from migrollback_nb.core import html
from migrollback_nb.core.results.files import SyncResult
from migrollback_nb.core.results.system import InstallResult, TakenOver
from migrollback_nb.core.results.target import Target
from migrollback_nb.core.text import one_line

#: Word of how sure it is -> why, in words.
_SURE = {
    "sure": "the ledger here holds what the folder does",
    "likely": "the files are written so, and no ledger of it was found here",
    "unsure": "nothing but the folder says what ran here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTool:
    """One tool whose migrations a folder holds."""

    tool: str | None  #: its name; None: our own format, which Supabase's tool deploys too
    files: int  #: how many migrations are written for it
    ledger: str | None  #: the table in which it keeps what it applied; None: none was found here
    applied: int  #: how many of them are applied, as the ledger says, or else the folder
    how_sure: Literal["sure", "likely", "unsure"]

    @property
    def words(self) -> str:
        """All of it in one line."""
        name = self.tool or "our own format"
        ledger = f"ledger {self.ledger}: {self.applied} of {self.files} are in it" if self.ledger else "no ledger here"
        return f"{name}: {self.files} migrations; {ledger}; {self.how_sure}: {_SURE[self.how_sure]}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "tool": self.tool,
            "files": self.files,
            "ledger": self.ledger,
            "applied": self.applied,
            "how_sure": self.how_sure,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A database and a folder that were there before: what was found, and what is done with it."""

    target: Target  #: the database
    folder: str  #: the folder of migrations
    tools: tuple[FoundTool, ...]  #: whose migrations it holds
    installed: bool  #: whether the rollback system was here before
    to_register: tuple[str, ...]  #: migrations that are applied and not registered, in order
    not_applied: tuple[str, ...] = ()  #: those that are left out, for their ledger does not hold them
    without_rollback: tuple[str, ...] = ()  #: of those to register the ones without rollback SQL
    registered_before: int = 0  #: how many were registered already
    contradictions: tuple[str, ...] = ()  #: what does not fit together, in words
    failed: tuple[Mapping[str, Any], ...] = ()  #: files that cannot be read, or not be taken for applied, each with why
    taken_over: TakenOver | None = None  #: tables of the tool that came before, which --take-over makes ours
    install: InstallResult | None = None  #: what installing did; None: it was only looked
    sync: SyncResult | None = None  #: what registering did; None: it was only looked

    @property
    def done(self) -> bool:
        """Whether it was done, and not only looked."""
        return self.sync is not None

    @property
    def steps(self) -> tuple[str, ...]:
        """What it does, or did, a line each."""
        did = self.done
        steps = []
        if not self.installed:
            steps.append(f"{'Installed' if did else 'Install'} the rollback system into schema {self.target.schema}")
        if self.taken_over is not None:
            steps.append(f"{'Took' if did else 'Take'} over (--take-over) {self.taken_over}")
        count = len(self.to_register) if self.sync is None else len(self.sync.registered)
        if count:
            steps.append(f"{'Registered' if did else 'Register'} {count} migrations as applied")
        if self.not_applied:
            steps.append(f"{'Left' if did else 'Leave'} out {len(self.not_applied)} that the ledger does not hold")
        return tuple(steps) or ("Nothing is to be done: all that is applied is registered",)

    def lines(self) -> tuple[str, ...]:
        """All of it as text, a line each."""
        found = [f"Folder: {self.folder}", *(one.words for one in self.tools)]
        if self.registered_before:
            found.append(f"Registered before: {self.registered_before}")
        if self.without_rollback:
            found.append(
                f"Without rollback SQL: {len(self.without_rollback)} of {len(self.to_register)}; migrollback template"
                " NAME writes it"
            )
        found += [f"Does not fit: {one}" for one in self.contradictions]
        found += [f"Cannot be taken: {one['migration_name']}: {one['error']}" for one in self.failed]
        return (*found, *(f"→ {step}" for step in self.steps))

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback adopt --format json`."""
        return {
            "folder": self.folder,
            "tools": [one.to_dict() for one in self.tools],
            "installed": self.installed,
            "to_register": list(self.to_register),
            "not_applied": list(self.not_applied),
            "without_rollback": list(self.without_rollback),
            "registered_before": self.registered_before,
            "taken_over": None if self.taken_over is None else self.taken_over.to_dict(),
            "contradictions": list(self.contradictions),
            "failed": [dict(one) for one in self.failed],
            "done": self.done,
            "steps": list(self.steps),
            "sync": None if self.sync is None else self.sync.to_dict(),
        }

    def __repr__(self) -> str:
        return one_line(f"<Adoption of {self.folder}: {'; '.join(self.steps)}>")

    def _repr_html_(self) -> str:
        style = html.CAREFUL if self.contradictions or self.failed else html.GOOD
        return html.banner("; ".join(self.steps), style) + html.preformatted("\n".join(self.lines()))
