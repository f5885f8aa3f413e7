"""Requests for approvals, and changes of policies. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from migrollback_nb.core import html
from migrollback_nb.core.results.assessment import Effect, effects_of
from migrollback_nb.core.text import one_line
from migrollback_nb.core.times import iso_time, show_time

#: Sign of each state of a request.
_MARKS = {"approved": "✅", "waiting": "⏳", "expired": "⏳", "used": "✅", "withdrawn": "❌", "void": "❌"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A request for approvals, and how it stands now."""

    number: int | None  #: its number; None where no policy asks for approvals, and nothing was requested
    migration_name: str  #: the migration; of several the last
    migrations: tuple[str, ...]  #: all of them, in the order in which they are rolled back
    state: str  #: waiting, approved, expired, used, withdrawn, void; or: not needed
    words: str  #: in words: waiting: 1 of 2
    command: str = "rollback"  #: rollback, or resolve where it is forced
    needed: int | None = None  #: how many approvals it takes
    has: int | None = None  #: how many of them hold now
    approved_by: tuple[str, ...] = ()  #: the roles whose approvals hold
    expires_at: datetime | None = None  #: until when they are as many
    policies: tuple[str, ...] = ()  #: names of the policies
    requested_by: str | None = None  #: the database role that asked
    requested_at: datetime | None = None  #: when
    reason: str | None = None  #: why
    verdict: str | None = None  #: what was known of it, as `Assessment.verdict`
    headline: str | None = None  #: that in one line
    effects: tuple[Effect, ...] = ()  #: what it does beyond the schema, as far as is known
    fingerprint: str | None = None  #: of what is approved
    sql: str | None = None  #: the SQL that would run; None once that is not what was asked for

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From a row of migration_requests()."""
        return cls(
            number=row["request_number"],
            migration_name=row["migration_name"],
            migrations=tuple(row["migrations"]),
            state=row["state"],
            words=row["words"],
            command=row["command"],
            needed=row["needed"],
            has=row["has"],
            approved_by=tuple(row["approved_by"]),
            expires_at=row["expires_at"],
            policies=tuple(row["policies"]),
            requested_by=row["requested_by"],
            requested_at=row["requested_at"],
            reason=row["reason"],
            verdict=row["verdict"],
            headline=row["headline"],
            effects=effects_of(row["effects"] or ()),
            fingerprint=row["fingerprint"],
            sql=row["rollback_sql"],
        )

    @property
    def is_open(self) -> bool:
        """Whether it can still be approved, or used."""
        return self.state in ("waiting", "approved", "expired")

    @property
    def message(self) -> str:
        """How it stands, in one line."""
        if self.number is None:
            return f"No policy asks for an approval: {self.migration_name} can be rolled back"
        return f"Request {self.number}, to {self.command} {', '.join(self.migrations)}: {self.words}"

    @property
    def mark(self) -> str:
        """One sign for it."""
        return _MARKS.get(self.state, "✅")

    def lines(self) -> tuple[tuple[str, str], ...]:
        """What a person looks at before approving, each with its heading; without the SQL."""
        rows = [("Request", f"{self.mark} {self.message}")]
        if self.number is None:
            return tuple(rows)
        asked = f"{self.requested_by}, {show_time(self.requested_at)}" if self.requested_at is not None else ""
        rows += [("Requested by", asked), ("Reason", self.reason or "none was given")]
        rows += [("Verdict", f"{self.verdict}: {self.headline}")]
        rows += [("", str(effect)) for effect in self.effects]
        rows.append(("Policies", ", ".join(self.policies)))
        if self.approved_by:
            until = "" if self.expires_at is None else f", until {show_time(self.expires_at)}"
            rows.append(("Approved by", ", ".join(self.approved_by) + until))
        rows.append(("Fingerprint", self.fingerprint or ""))
        return tuple(rows)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "request": self.number,
            "state": self.state,
            "message": self.message,
            "command": self.command,
            "migration_name": self.migration_name,
            "migrations": list(self.migrations),
            "needed": self.needed,
            "has": self.has,
            "approved_by": list(self.approved_by),
            "expires_at": None if self.expires_at is None else iso_time(self.expires_at),
            "policies": list(self.policies),
            "requested_by": self.requested_by,
            "requested_at": None if self.requested_at is None else iso_time(self.requested_at),
            "reason": self.reason,
            "verdict": self.verdict,
            "headline": self.headline,
            "effects": [effect.to_dict() for effect in self.effects],
            "fingerprint": self.fingerprint,
            "sql": self.sql,
        }

    def __repr__(self) -> str:
        return one_line(f"<ApprovalRequest {self.message}>")

    def _repr_html_(self) -> str:
        return html.definitions(list(self.lines())) + (html.sql(self.sql) if self.sql else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """What became of a policy."""

    policy: str  #: its name
    outcome: str  #: created, changed, unchanged, removed, or not there
    words: str | None = None  #: what it says now, in one line; None where it is gone

    @property
    def message(self) -> str:
        """In one line."""
        return f"Policy {self.policy} {self.outcome}" + (f": {self.words}" if self.words else "")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"policy": self.policy, "outcome": self.outcome, "words": self.words}

    def __repr__(self) -> str:
        return one_line(f"<PolicyChange {self.message}>")

    def _repr_html_(self) -> str:
        return html.definitions([("Policy", self.policy), ("Result", self.outcome), ("Says", self.words or "")])
