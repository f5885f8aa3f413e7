"""How registering, applying and suggesting ended: what is done with migration files. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import html
from migrollback_nb.core.text import as_line, as_text, one_line
from migrollback_nb.core.times import iso_time, show_time

if TYPE_CHECKING:
    from migrollback_nb.core.results.archives import Archived
    from migrollback_nb.core.results.proof import MigrationProof


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterResult:
    """How registering one migration ended."""

    migration_name: str  #: the migration
    outcome: str  #: registered, updated, unchanged, or applied again (it had been rolled back)
    has_rollback_sql: bool  #: whether there is something to roll it back with
    warnings: tuple[str, ...] = ()  #: what a person should know

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback register --format json`."""
        return {
            "migration_name": self.migration_name,
            "outcome": self.outcome,
            "has_rollback_sql": self.has_rollback_sql,
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return (
            f"<RegisterResult {self.migration_name}: {self.outcome}, rollback SQL"
            f" {'available' if self.has_rollback_sql else 'missing'}>"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("Migration", self.migration_name),
            ("Outcome", self.outcome),
            ("Rollback SQL", "✅ Available" if self.has_rollback_sql else "❌ Missing"),
        ]
        return html.definitions(rows) + html.warnings(self.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFailure:
    """A migration that could not be registered or applied, and why."""

    migration_name: str  #: the migration, or the file's stem
    error: str  #: what is wrong, where, and how to fix it

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"migration_name": self.migration_name, "error": self.error}


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """How registering a folder ended."""

    registered: tuple[RegisterResult, ...] = ()  #: new ones, in the order in which they were registered
    applied_again: tuple[
        str, ...
    ] = ()  #: names that were rolled back and that their deploy tool has applied again since, as its ledger says
    skipped: tuple[str, ...] = ()  #: names that were registered before
    not_applied: tuple[
        str, ...
    ] = ()  #: names that were left out: their deploy tool has not applied them, as its ledger says
    failed: tuple[FileFailure, ...] = ()  #: files that could not be registered
    warnings: tuple[str, ...] = ()  #: what a person should know
    deploy: str | None = None  #: label of the deploy that these belong to, where one was given
    #: names of new ones whose `applied_at` is the time of this sync, for no ledger says when they were applied
    without_time: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Keys of `sync --format json`.

        `applied_again`, `not_applied`, `without_time` and `deploy` only where they apply.
        """
        found: dict[str, Any] = {
            "registered": [result.migration_name for result in self.registered],
            "skipped": list(self.skipped),
            "failed": [failure.to_dict() for failure in self.failed],
            "warnings": list(self.warnings),
        }
        if self.applied_again:
            found["applied_again"] = list(self.applied_again)
        if self.not_applied:
            found["not_applied"] = list(self.not_applied)
        if self.without_time:
            found["without_time"] = list(self.without_time)
        return found | ({"deploy": self.deploy} if self.deploy is not None else {})

    def __repr__(self) -> str:
        again = f", {len(self.applied_again)} applied again" if self.applied_again else ""
        return (
            f"<SyncResult {len(self.registered)} registered{again}, {len(self.skipped)} skipped, {len(self.failed)}"
            " failed>"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("Registered", "\n".join(result.migration_name for result in self.registered) or "-"),
            *([("Applied again", "\n".join(self.applied_again))] if self.applied_again else []),
            ("Skipped", str(len(self.skipped))),
            *([("Not applied", "\n".join(self.not_applied))] if self.not_applied else []),
            ("Failed", "\n".join(f"{failure.migration_name}: {failure.error}" for failure in self.failed) or "-"),
        ]
        return html.definitions(rows) + html.warnings(self.warnings)


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRolledBack:
    """A migration of the folder that was rolled back and is left so."""

    migration_name: str  #: the migration
    rolled_back_at: datetime | None  #: since when
    rolled_back_by: str | None  #: by which role
    reason: str | None  #: why, as was said then

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "migration_name": self.migration_name,
            "rolled_back_at": iso_time(self.rolled_back_at) if self.rolled_back_at else None,
            "rolled_back_by": self.rolled_back_by,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        since = f"since {show_time(self.rolled_back_at)}" if self.rolled_back_at else "since an unknown time"
        return (
            f"{self.migration_name} ({since}, by {self.rolled_back_by or 'not known by whom'}:"
            f" {self.reason or 'no reason was given'})"
        )


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """How applying migrations ended."""

    applied: tuple[str, ...] = ()  #: names, in the order in which they ran
    skipped: tuple[str, ...] = ()  #: names that were applied before
    left_rolled_back: tuple[
        LeftRolledBack, ...
    ] = ()  #: files that were rolled back and are not applied again unless they are named
    warnings: tuple[str, ...] = ()  #: what a person should know
    deploy: str | None = None  #: label of the deploy that these belong to, where one was given
    archived: tuple[Archived, ...] | None = None  #: what was kept of what they destroyed; None where nothing was to be

    def to_dict(self) -> dict[str, Any]:
        """Keys of `apply --format json`; `left_rolled_back` and `deploy` only where they apply."""
        found: dict[str, Any] = {
            "applied": list(self.applied),
            "skipped": list(self.skipped),
            "warnings": list(self.warnings),
        }
        if self.left_rolled_back:
            found["left_rolled_back"] = [left.to_dict() for left in self.left_rolled_back]
        if self.archived is not None:
            found["archived"] = [one.to_dict() for one in self.archived]
        return found | ({"deploy": self.deploy} if self.deploy is not None else {})

    def __repr__(self) -> str:
        return one_line(f"<ApplyResult {len(self.applied)} applied, {len(self.skipped)} skipped>")

    def _repr_html_(self) -> str:
        rows = [
            ("Applied", "\n".join(self.applied) or "-"),
            ("Skipped", str(len(self.skipped))),
            *(("Archived", one.words) for one in self.archived or ()),
            *(
                [("Left rolled back", "\n".join(str(left) for left in self.left_rolled_back))]
                if self.left_rolled_back
                else []
            ),
        ]
        return html.definitions(rows) + html.warnings(self.warnings)


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A suggested rollback block."""

    migration_name: str  #: the migration
    text: str  #: the block, markers included
    statements: tuple[str, ...] = ()  #: those in it, in the order in which they would run
    todos: tuple[str, ...] = ()  #: what a person must look after, and why; they stand in the text as ``-- TODO:``
    warnings: tuple[str, ...] = ()  #: what a person should know
    proof: MigrationProof | None = None  #: how the block did on a scratch database; None where it was not tried

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback template --format json`."""
        return {
            "migration_name": self.migration_name,
            "template": self.text,
            "statements": list(self.statements),
            "todos": list(self.todos),
            "warnings": list(self.warnings),
            "proof": None if self.proof is None else self.proof.to_dict(),
        }

    def __repr__(self) -> str:
        return f"<Template for {self.migration_name}>\n{self.text}" + (
            "" if self.proof is None else f"\n{self.proof!r}"
        )

    def _repr_html_(self) -> str:
        tried = (
            ""
            if self.proof is None
            else html.banner(
                f"Tried on a scratch database: {self.proof.grade}", html.CAREFUL if self.proof.lines() else html.GOOD
            )
        )
        return (
            html.sql(self.text)
            + tried
            + html.warnings((*(self.proof.lines() if self.proof is not None else ()), *self.warnings))
        )


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookFiles:
    """Where the notebooks of one rollback lie."""

    folder: str  #: the new folder
    files: tuple[str, ...]  #: the notebooks in it, in order
    migration_name: str  #: the migration
    ticket: str | None  #: the ticket
    warnings: tuple[str, ...] = ()  #: what is to be done before they are opened

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback runbook --format json`."""
        return {
            "folder": self.folder,
            "files": list(self.files),
            "migration_name": self.migration_name,
            "ticket": self.ticket,
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return one_line(f"<RunbookFiles {self.folder}: {', '.join(self.files)}>")

    def _repr_html_(self) -> str:
        return html.definitions([("Folder", self.folder), ("Notebooks", "\n".join(self.files))]) + html.warnings(
            self.warnings
        )
