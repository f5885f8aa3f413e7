"""What is done with the rollback system itself: installed, rights granted, snapshots thrown away. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from migrollback_nb.core import html
from migrollback_nb.core.results.target import Target
from migrollback_nb.core.text import as_line, counted, one_line
from migrollback_nb.core.version import __version__


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class NotOurs:
    """Something in the system's schema that is not the system's and could be taken for it."""

    kind: str  #: function, trigger or rule
    identity: str  #: what it is called there
    owner: str  #: role that owns it

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "identity": self.identity, "owner": self.owner}

    def __str__(self) -> str:
        return f"not ours: {self.kind} {self.identity}, owner {self.owner}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """What was taken over of the tool that came before."""

    migrations: int  #: rows of its history
    dependencies: int  #: rows of its dependencies
    functions: tuple[str, ...]  #: of its functions that this system's replace
    changes: int  #: rows of which a value was changed to fit; the events keep what it was
    changed: Mapping[str, Mapping[str, Any]]  #: of the first 50 of these: name -> column -> what it was

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """As the install script says it; pure."""
        return cls(
            migrations=told["migrations"],
            dependencies=told["dependencies"],
            functions=tuple(told["functions"]),
            changes=told["changes"],
            changed=told["changed"],
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "migrations": self.migrations,
            "dependencies": self.dependencies,
            "functions": list(self.functions),
            "changes": self.changes,
            "changed": {name: dict(was) for name, was in self.changed.items()},
        }

    def __str__(self) -> str:
        return (
            f"{self.migrations} migrations and {self.dependencies} dependencies of the earlier tool;"
            f" {len(self.functions)} functions of its own replaced"
        )

    def lines(self) -> tuple[str, ...]:
        """What was changed to fit, a line each; pure."""
        said = {
            name: [f"{column} was {json.dumps(value, ensure_ascii=False)}" for column, value in was.items()]
            for name, was in self.changed.items()
        }
        found = [f"{name}: {', '.join(parts)}" for name, parts in said.items()]
        if self.changes > len(found):
            found.append(f"... and {self.changes - len(found)} more")
        return tuple(found)


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class InstallResult:
    """How installing the rollback system ended."""

    installed: tuple[str, ...]  #: system migrations that were applied now; empty when it was complete
    rights_closed: (
        int  #: grants to PUBLIC, to Supabase's roles and, by default privileges, to others that were taken away
    )
    target: Target  #: where
    version: str = __version__  #: of the system that is there now
    upgraded_from: str | None = None  #: version that was there before and was brought up to date, or repaired
    warnings: tuple[str, ...] = ()  #: what a person should know of rights and row security
    production_changed: bool = (
        False  #: whether the database was marked as production, or the mark taken away; `target.production` says which
    )
    not_ours: tuple[
        NotOurs, ...
    ] = ()  #: functions that have the names of the system's, and what others have put on its tables
    trusted_ledger_owners: tuple[str, ...] = ()  #: roles whose deploy ledgers are trusted because the owner named them
    taken_over: TakenOver | None = None  #: what was taken over of the earlier tool; None: nothing was
    dry_run: bool = False  #: whether all of it was undone again
    scope: tuple[str, ...] | None = None  #: schemas of the scope; None: it has none

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "installed": list(self.installed),
            "version": self.version,
            "upgraded_from": self.upgraded_from,
            "rights_closed": self.rights_closed,
            "warnings": list(self.warnings),
            "production": self.target.production,
            "production_changed": self.production_changed,
            "trusted_ledger_owners": list(self.trusted_ledger_owners),
            "scope": None if self.scope is None else list(self.scope),
            "not_ours": [found.to_dict() for found in self.not_ours],
            "taken_over": None if self.taken_over is None else self.taken_over.to_dict(),
            "dry_run": self.dry_run,
        }

    def __repr__(self) -> str:
        return one_line(f"<InstallResult {self.what} on {self.target}>")

    @property
    def what(self) -> str:
        """What it did, in words."""
        if self.dry_run and (self.installed or self.upgraded_from is not None):
            done = "installed" if self.installed else f"upgraded from version {self.upgraded_from} to {self.version}"
            return f"would be {done} (dry run: nothing was changed)"
        if self.installed:
            return f"installed: {', '.join(self.installed)}"
        if self.upgraded_from == self.version:
            return f"of version {self.version} was repaired"
        if self.upgraded_from is not None:
            return f"was upgraded from version {self.upgraded_from} to {self.version}"
        return "is complete already"

    def _repr_html_(self) -> str:
        rows = [("Rollback system", self.what), ("On", str(self.target))]
        if self.taken_over is not None:
            rows.append(("Taken over", str(self.taken_over)))
            rows += [("Changed to fit", "\n".join(self.taken_over.lines()))] if self.taken_over.changes else []
        if self.rights_closed:
            rows.append(("Grants closed", str(self.rights_closed)))
        if self.production_changed or self.target.production:
            rows.append(("Marked as production", "yes" if self.target.production else "no longer"))
        return html.definitions(rows) + html.warnings((*map(str, self.not_ours), *self.warnings))


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class PruneResult:
    """Which snapshots were thrown away."""

    pruned: int  #: how many went
    needed: int  #: as old, and kept: a verification needs them, or it is the newest
    bytes: int  #: that went

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"pruned": self.pruned, "needed": self.needed, "bytes": self.bytes}

    def __repr__(self) -> str:
        return one_line(f"<PruneResult {self.message}>")

    @property
    def message(self) -> str:
        """In words."""
        return (
            f"{counted(self.pruned, 'snapshot')} thrown away ({self.bytes:,} bytes), {self.needed} as old still needed"
        )

    def _repr_html_(self) -> str:
        return html.definitions([("Snapshots", self.message)])


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleResult:
    """What became of a role's rights to the rollback system."""

    role_name: str  #: the role
    kind: str  #: auditor, operator, approver or requester
    holds: bool  #: whether it is one now
    changed: bool  #: False: it was so before

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"role_name": self.role_name, "kind": self.kind, "holds": self.holds, "changed": self.changed}

    def __repr__(self) -> str:
        return one_line(f"<RoleResult {self.message}>")

    @property
    def message(self) -> str:
        """In words."""
        article = "an" if self.kind[0] in "aeiou" else "a"
        if self.holds:
            return f"{self.role_name} is {article} {self.kind}{' now' if self.changed else ' already'}"
        return f"{self.role_name} is no {self.kind}{' any more' if self.changed else ''}"

    def _repr_html_(self) -> str:
        return html.definitions([("Role", self.message)])
