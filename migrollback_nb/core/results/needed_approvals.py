"""What policies ask of a rollback: how many approvals, and how many there are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from migrollback_nb.core.times import iso_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """What the policies ask of a rollback, and how far that is."""

    needed: int  #: how many approvals it takes
    has: int  #: how many of them hold now
    satisfied: bool  #: whether they are enough
    state: str  #: of the request that comes nearest: approved, waiting, expired; or: not requested
    request: int | None = None  #: number of that request; None where there is none
    requested_by: str | None = None  #: the database role that asked
    approved_by: tuple[str, ...] = ()  #: the roles whose approvals hold
    expires_at: datetime | None = None  #: until when they are as many
    policies: tuple[str, ...] = ()  #: names of the policies that apply
    words: str = ""  #: in words: needs 2 approvals, has 1

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Self:
        """From what migration_approvals() gives."""
        until = known["expires_at"]
        return cls(
            needed=known["needed"],
            has=known["has"],
            satisfied=known["satisfied"],
            state=known["state"],
            request=known["request"],
            requested_by=known["requested_by"],
            approved_by=tuple(known["approved_by"]),
            expires_at=None if until is None else datetime.fromisoformat(until),
            policies=tuple(policy["policy_name"] for policy in known["policies"]),
            words=known["words"],
        )

    @property
    def line(self) -> str:
        """In words, with the policies, and what leads on."""
        said = f"{self.words} (policy {', '.join(self.policies)})"
        if self.satisfied:
            return said
        if self.request is None:
            return f"{said}: ask for them with migrollback request"
        return f"{said}: another person looks at it with migrollback approve {self.request}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "needed": self.needed,
            "has": self.has,
            "satisfied": self.satisfied,
            "state": self.state,
            "request": self.request,
            "requested_by": self.requested_by,
            "approved_by": list(self.approved_by),
            "expires_at": None if self.expires_at is None else iso_time(self.expires_at),
            "policies": list(self.policies),
        }


def approvals_of(known: Mapping[str, Any] | None) -> Approvals | None:
    """From what migration_approvals() gives; None where no policy applies; pure."""
    return None if known is None else Approvals.from_dict(known)


def approval_words(details: Mapping[str, Any]) -> str | None:
    """By whom the rollback of this event was approved, or that it went without; None where no policy asked; pure."""
    if (broken := details.get("break_glass")) is not None:
        return (
            f"BREAK-GLASS: without the approvals that a policy asks for ({broken['policies']}: needed"
            f" {broken['needed']}, had {broken['has']})"
        )
    known = details.get("approval")
    if known is None:
        return None
    who = ", ".join(known["approved_by"])
    return f"approved by {who} (request {known['request']} of {known['requested_by']}, policy {known['policies']})"
