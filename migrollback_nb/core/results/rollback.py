"""How a rollback ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.results.archives import RestoreResult
from migrollback_nb.core.results.assessment import Assessment, assessed
from migrollback_nb.core.results.selection import Range
from migrollback_nb.core.results.target import Notice
from migrollback_nb.core.results.verification import Verification
from migrollback_nb.core.text import as_line, one_line


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackResult:
    """How a rollback ended."""

    success: bool  #: whether it was rolled back
    message: str  #: in words
    sql_executed: str | None  #: the SQL that ran; None after a refusal or a failure
    migration_name: str  #: the migration
    unchanged: bool = False  #: it ran, but wrote nothing
    notices: tuple[Notice, ...] = ()  #: what the server said during it
    warnings: tuple[str, ...] = ()  #: what a person should know
    attempt_id: str | None = None  #: id of the attempt in the audit log
    anchor: str | None = (
        None  #: NUMBER:HASH of its event in the audit log, for `Migrations.audit`: keep it outside the database
    )
    duration_ms: float | None = None  #: how long the SQL ran, in milliseconds
    verification: Verification | None = (
        None  #: whether the schema is as it was before; None for a step of a chain, which is verified as a whole
    )
    assessment: Assessment | None = None  #: what was known before it ran; None for a step of several
    approval: dict[str, Any] | None = None  #: by whom it was approved: request, requested_by, approved_by, policies
    break_glass: dict[str, Any] | None = None  #: which approvals it went without: policies, needed, has
    restored: RestoreResult | None = None  #: what came back from the archive of what the up migration destroyed

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
            "anchor": self.anchor,
            "duration_ms": self.duration_ms,
            "verification": None if self.verification is None else self.verification.to_dict(),
            "conflicts": [] if self.restored is None else [one.to_dict() for one in self.restored.conflicts],
            "restored": None if self.restored is None else self.restored.to_dict(),
            **({} if self.approval is None else {"approval": self.approval}),
            **({} if self.break_glass is None else {"break_glass": self.break_glass}),
        } | assessed(self.assessment)

    @property
    def mark(self) -> str:
        """One sign for it: done, done without effect, not done."""
        return "❌" if not self.success else "⚠️" if self.unchanged else "✅"

    def __repr__(self) -> str:
        return one_line(f"<RollbackResult {self.migration_name}: {self.message}>")

    def _repr_html_(self) -> str:
        rows = [("Migration", self.migration_name), ("Result", f"{self.mark} {self.message}")]
        if self.duration_ms is not None:
            rows.append(("SQL ran for", f"{self.duration_ms:,.1f} ms"))
        if self.anchor is not None:
            rows.append(("Audit log", self.anchor))
        if self.approval is not None:
            rows.append(("Approved by", ", ".join(self.approval["approved_by"])))
        said = tuple(
            f"{notice.severity}: {notice.message}" for notice in self.notices if notice.message not in self.warnings
        )
        verified = "" if self.verification is None else self.verification._repr_html_()
        if self.restored is not None:
            rows.append(("From the archive", self.restored.message))
        if self.assessment is not None:
            rows.append(("Known before it ran", self.assessment.headline))
        return (
            verified
            + html.definitions(rows)
            + html.warnings(self.warnings + said)
            + (html.sql(self.sql_executed) if self.sql_executed else "")
        )


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class ChainResult:
    """How a rollback of several migrations ended, in one transaction or each in its own."""

    results: tuple[RollbackResult, ...]  #: in the order in which they ran
    verification: Verification | None = None  #: whether the schema is as it was before they were applied
    warnings: tuple[str, ...] = ()  #: what a person should know of the whole
    assessment: Assessment | None = None  #: what was known before they ran
    each: bool = False  #: each ran in a transaction of its own, and has its own verification
    before: bool = False  #: this attempt had rolled them back before: nothing ran now

    @property
    def success(self) -> bool:
        """Whether all were rolled back; one that fails undoes the others."""
        return all(result.success for result in self.results)

    @property
    def migration_name(self) -> str:
        """The migration that was asked for: the last."""
        return self.results[-1].migration_name

    @property
    def anchor(self) -> str | None:
        """NUMBER:HASH of the last event of the rollback: keep it outside the database."""
        return self.results[-1].anchor

    @property
    def message(self) -> str:
        """In words."""
        if not self.success:
            return self.results[-1].message
        if self.before:
            return f"{len(self.results)} migrations were rolled back by this attempt already: nothing ran now"
        return f"{len(self.results)} migrations rolled back successfully" + (
            ", each in a transaction of its own" if self.each else ""
        )

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback rollback --chain --format json`."""
        executed = "\n\n".join(f"-- {r.migration_name}\n{r.sql_executed}" for r in self.results if r.sql_executed)
        return {
            "success": self.success,
            "message": self.message,
            "sql_executed": executed or None,
            "migration_name": self.migration_name,
            "migrations": [r.to_dict() for r in self.results],
            "each": self.each,
            "anchor": self.anchor,
            "verification": None if self.verification is None else self.verification.to_dict(),
            "warnings": list(self.warnings),
        } | assessed(self.assessment)

    def __repr__(self) -> str:
        return one_line(f"<ChainResult {self.message}: {', '.join(r.migration_name for r in self.results)}>")

    def _repr_html_(self) -> str:
        verified = "" if self.verification is None else self.verification._repr_html_()
        return verified + html.warnings(self.warnings) + "".join(result._repr_html_() for result in self.results)


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToRollBack:
    """A range, a deploy or a selection of which nothing is applied: there is nothing to do."""

    deploy: str | None  #: label of the deploy; None of anything else
    state: str  #: nothing brought, or rolled back
    select: str | None = None  #: the selector of which nothing is applied; None of anything else
    range: Range | None = None  #: what was asked for
    warnings: tuple[str, ...] = ()  #: what a person should know

    @property
    def success(self) -> bool:
        """True: what was asked for is so already."""
        return True

    @property
    def message(self) -> str:
        """In words."""
        if self.select is not None:
            said = f"Nothing that is applied is selected by {self.select}"
        elif self.deploy is not None:
            said = (
                f"Deploy {self.deploy} {'is rolled back already' if self.state == 'rolled back' else 'brought nothing'}"
            )
        elif self.range is not None:
            said = self.range.nothing
        else:
            said = "Nothing is applied that is meant"
        return f"{said}: there is nothing to roll back"

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback rollback --deploy --format json`, and those of a plan of nothing."""
        return {
            "success": True,
            "message": self.message,
            "sql_executed": None,
            "migration_name": None,
            "migrations": [],
            "steps": [],
            "fingerprint": None,
            "verdict": None,
            "effects": [],
            "warnings": list(self.warnings),
            "deploy": self.deploy,
            "confirm": self._confirm,
        }

    @property
    def _confirm(self) -> str | None:
        known = self.range
        return self.deploy if known is None else known.deploy or known.to or known.database

    def __repr__(self) -> str:
        return one_line(f"<NothingToRollBack {self.message}>")

    def _repr_html_(self) -> str:
        asked = ("Deploy", self.deploy) if self.deploy is not None else ("Selector", self.select or "")
        if self.range is not None and self.deploy is None and self.select is None:
            asked = ("Range", self.range.words)
        return html.definitions([asked, ("Result", self.message)]) + html.warnings(self.warnings)
