"""Frozen results, which show as text, HTML and JSON. Pure.

`to_dict` gives the keys that the command line prints as JSON: the column names of the SQL functions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from migrollback_nb import html


class Status(StrEnum):
    """Where a migration stands; spelled as in the CHECK of `migration_history.status`."""

    APPLIED = "applied"  #: in place, can be rolled back
    ROLLED_BACK = "rolled_back"  #: undone, cannot be rolled back again
    FAILED = "failed"  #: its rollback failed and was undone; a person must act


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The database that a result is about. Holds no password."""

    host: str  #: host name, or the folder of a Unix socket
    port: int  #: port number
    database: str  #: name of the database
    user: str  #: role that is connected
    server_version: str  #: for example 18.6
    schema: str  #: schema of the rollback system

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database} (PostgreSQL {self.server_version}, schema {self.schema})"

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON and for the audit trail."""
        return {
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "server_version": self.server_version,
            "schema": self.schema,
        }

    def _repr_html_(self) -> str:
        return html.definitions([("Host", f"{self.host}:{self.port}"), ("Database", self.database), ("User", self.user), ("Server", self.server_version)])


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Whether a migration may be rolled back now."""

    migration_name: str  #: the migration
    can_rollback: bool  #: as the database says
    reason: str  #: why, or why not, in words
    dependent_migrations: tuple[str, ...] = ()  #: all that must be rolled back first, in order of name
    warnings: tuple[str, ...] = ()  #: what a person should know besides

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback check --format json`."""
        return {
            "migration_name": self.migration_name,
            "can_rollback": self.can_rollback,
            "reason": self.reason,
            "dependent_migrations": list(self.dependent_migrations),
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return f"<CheckResult {self.migration_name}: {'can' if self.can_rollback else 'cannot'} rollback, {self.reason}>"

    def _repr_html_(self) -> str:
        rows = [("Migration", self.migration_name), ("Status", "✅ Can rollback" if self.can_rollback else "❌ Cannot rollback"), ("Reason", self.reason)]
        if self.dependent_migrations:
            rows.append(("Must be rolled back first", "\n".join(self.dependent_migrations)))
        if self.warnings:
            rows.append(("Warnings", "\n".join(self.warnings)))
        return html.definitions(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a rollback would run. Nothing was changed to find out."""

    steps: tuple[tuple[str, str], ...]  #: (migration, its rollback SQL), in the order in which they would run
    checks: tuple[CheckResult, ...]  #: one for each step
    fingerprint: str | None  #: SHA-256 over all that was previewed; rollback(preview=...) refuses when it differs then
    target: Target  #: where it would run

    @property
    def migration_name(self) -> str:
        """The migration that was asked for: the last step."""
        return self.steps[-1][0]

    @property
    def sql(self) -> str:
        """All rollback SQL, in order; for a chain each part under its migration's name."""
        if len(self.steps) == 1:
            return self.steps[0][1]
        return "\n\n".join(f"-- {name}\n{sql}" for name, sql in self.steps)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of all steps, those of a chain under the migration's name."""
        if len(self.checks) == 1:
            return self.checks[0].warnings
        return tuple(f"{check.migration_name}: {warning}" for check in self.checks for warning in check.warnings)

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback rollback --dry-run --format json`; sql_executed is what would be."""
        return {
            "success": True,
            "message": "Dry run: rollback SQL shown below (not executed)",
            "sql_executed": self.sql,
            "migration_name": self.migration_name,
            "migrations": [name for name, _ in self.steps],
            "warnings": list(self.warnings),
            "fingerprint": self.fingerprint,
        }

    def __repr__(self) -> str:
        return f"<Preview of {', '.join(name for name, _ in self.steps)} on {self.target}>"

    def _repr_html_(self) -> str:
        return (
            html.definitions([("Would roll back", "\n".join(name for name, _ in self.steps)), ("On", str(self.target))])
            + html.warnings(self.warnings)
            + html.sql(self.sql)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message that the server sent beside the result."""

    severity: str  #: NOTICE, WARNING ...
    message: str  #: its text
    skipped: bool  #: "... does not exist, skipping": something that was to be dropped was not there


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackResult:
    """How a rollback ended."""

    success: bool  #: whether it was rolled back
    message: str  #: in words
    sql_executed: str | None  #: the SQL that ran; None after a refusal or a failure
    migration_name: str  #: the migration
    unchanged: bool = False  #: it ran, but wrote nothing
    notices: tuple[Notice, ...] = ()  #: what the server said meanwhile
    warnings: tuple[str, ...] = ()  #: what a person should know
    attempt_id: str | None = None  #: id of the attempt in the audit trail
    duration_ms: float | None = None  #: how long the SQL ran, in milliseconds

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback rollback --format json`."""
        return {
            "success": self.success,
            "message": self.message,
            "sql_executed": self.sql_executed,
            "migration_name": self.migration_name,
            "unchanged": self.unchanged,
            "notices": [notice.message for notice in self.notices],
            "warnings": list(self.warnings),
            "attempt_id": self.attempt_id,
            "duration_ms": self.duration_ms,
        }

    @property
    def mark(self) -> str:
        """One sign for it: done, done without effect, not done."""
        return "❌" if not self.success else "⚠️" if self.unchanged else "✅"

    def __repr__(self) -> str:
        return f"<RollbackResult {self.migration_name}: {self.message}>"

    def _repr_html_(self) -> str:
        rows = [("Migration", self.migration_name), ("Result", f"{self.mark} {self.message}")]
        if self.duration_ms is not None:
            rows.append(("SQL ran for", f"{self.duration_ms:,.1f} ms"))
        said = tuple(f"{notice.severity}: {notice.message}" for notice in self.notices)
        return html.definitions(rows) + html.warnings(self.warnings + said) + (html.sql(self.sql_executed) if self.sql_executed else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainResult:
    """How a rollback of several migrations in one transaction ended."""

    results: tuple[RollbackResult, ...]  #: in the order in which they ran

    @property
    def success(self) -> bool:
        """Whether all were rolled back; one that fails undoes the others."""
        return all(result.success for result in self.results)

    @property
    def migration_name(self) -> str:
        """The migration that was asked for: the last."""
        return self.results[-1].migration_name

    @property
    def message(self) -> str:
        """In words."""
        return f"{len(self.results)} migrations rolled back successfully" if self.success else self.results[-1].message

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback rollback --chain --format json`."""
        executed = "\n\n".join(f"-- {r.migration_name}\n{r.sql_executed}" for r in self.results if r.sql_executed)
        return {
            "success": self.success,
            "message": self.message,
            "sql_executed": executed or None,
            "migration_name": self.migration_name,
            "migrations": [r.to_dict() for r in self.results],
        }

    def __repr__(self) -> str:
        return f"<ChainResult {self.message}: {', '.join(r.migration_name for r in self.results)}>"

    def _repr_html_(self) -> str:
        return "".join(result._repr_html_() for result in self.results)


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
        return f"<RegisterResult {self.migration_name}: {self.outcome}, rollback SQL {'available' if self.has_rollback_sql else 'missing'}>"

    def _repr_html_(self) -> str:
        rows = [("Migration", self.migration_name), ("Outcome", self.outcome), ("Rollback SQL", "✅ Available" if self.has_rollback_sql else "❌ Missing")]
        return html.definitions(rows) + html.warnings(self.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFailure:
    """A migration that could not be registered or applied, and why."""

    migration_name: str  #: the migration, or the file's stem
    error: str  #: what is wrong, where, and how to mend it

    def to_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"migration_name": self.migration_name, "error": self.error}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """How registering a folder ended."""

    registered: tuple[RegisterResult, ...] = ()  #: new ones, in the order in which they were registered
    skipped: tuple[str, ...] = ()  #: names that were registered before
    failed: tuple[FileFailure, ...] = ()  #: files that could not be registered
    warnings: tuple[str, ...] = ()  #: what a person should know

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback sync --format json`."""
        return {
            "registered": [result.migration_name for result in self.registered],
            "skipped": list(self.skipped),
            "failed": [failure.to_dict() for failure in self.failed],
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        return f"<SyncResult {len(self.registered)} registered, {len(self.skipped)} skipped, {len(self.failed)} failed>"

    def _repr_html_(self) -> str:
        rows = [
            ("Registered", "\n".join(result.migration_name for result in self.registered) or "-"),
            ("Skipped", str(len(self.skipped))),
            ("Failed", "\n".join(f"{failure.migration_name}: {failure.error}" for failure in self.failed) or "-"),
        ]
        return html.definitions(rows) + html.warnings(self.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """How applying migrations ended."""

    applied: tuple[str, ...] = ()  #: names, in the order in which they ran
    skipped: tuple[str, ...] = ()  #: names that were in place before
    warnings: tuple[str, ...] = ()  #: what a person should know

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback apply --format json`."""
        return {"applied": list(self.applied), "skipped": list(self.skipped), "warnings": list(self.warnings)}

    def __repr__(self) -> str:
        return f"<ApplyResult {len(self.applied)} applied, {len(self.skipped)} skipped>"

    def _repr_html_(self) -> str:
        return html.definitions([("Applied", "\n".join(self.applied) or "-"), ("Skipped", str(len(self.skipped)))]) + html.warnings(self.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The order in which a migration and all that rests on it would be rolled back."""

    migration_name: str  #: the migration that was asked for
    steps: tuple[str, ...]  #: dependents first, `migration_name` last
    statuses: dict[str, str] = field(default_factory=dict)  #: name -> status, of the steps

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"migration_name": self.migration_name, "steps": list(self.steps)}

    def __repr__(self) -> str:
        return f"<Plan {' -> '.join(self.steps)}>"

    def _repr_html_(self) -> str:
        return html.definitions([(f"{place}.", name) for place, name in enumerate(self.steps, 1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A suggested rollback block."""

    migration_name: str  #: the migration
    text: str  #: the block, markers included

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"migration_name": self.migration_name, "template": self.text}

    def __repr__(self) -> str:
        return f"<Template for {self.migration_name}>\n{self.text}"

    def _repr_html_(self) -> str:
        return html.sql(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallResult:
    """How installing the rollback system ended."""

    installed: tuple[str, ...]  #: system migrations that were applied now; empty when it was complete
    rights_closed: int  #: grants to PUBLIC, anon and authenticated that were taken away
    target: Target  #: where

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"installed": list(self.installed), "rights_closed": self.rights_closed}

    def __repr__(self) -> str:
        return f"<InstallResult {', '.join(self.installed) or 'nothing to do'} on {self.target}>"

    def _repr_html_(self) -> str:
        return html.definitions([("Installed", "\n".join(self.installed) or "nothing: it was complete"), ("On", str(self.target))])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """Whether the chain of hashes of the audit trail holds, counted in Python."""

    intact: bool  #: whether every event fits the one before it
    events: int  #: how many there are
    head_number: int | None  #: number of the last event; None when there is none
    head_hash: str | None  #: its hash: keep it outside the database, because a chain cannot show that its tail was cut
    first_bad_number: int | None  #: the first event that does not fit

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "intact": self.intact,
            "events": self.events,
            "head_number": self.head_number,
            "head_hash": self.head_hash,
            "first_bad_number": self.first_bad_number,
        }

    def __repr__(self) -> str:
        state = "intact" if self.intact else f"broken at event {self.first_bad_number}"
        return f"<AuditResult {state}: {self.events} events, head {self.head_number} {self.head_hash}>"

    def _repr_html_(self) -> str:
        state = "✅ intact" if self.intact else f"❌ broken at event {self.first_bad_number}"
        return html.definitions([("Audit trail", state), ("Events", str(self.events)), ("Head", f"{self.head_number}  {self.head_hash}")])


def to_json(value: Any) -> str:
    """JSON of a result: times as ISO 8601, what JSON has no word for as text."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=lambda other: other.isoformat() if hasattr(other, "isoformat") else str(other))
