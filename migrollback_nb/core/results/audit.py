"""What an audit found: the chain of hashes, and what a chain does not show. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrollback_nb.core import html
from migrollback_nb.core.text import as_line, one_line


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding:
    """Something that is not as the audit log says, or as it was when it was kept."""

    finding: str  #: chain, anchor, history, dependency, snapshot, proof, trigger, rule, table, function or file
    identity: str | None  #: what it is about; None: the whole
    event_number: int | None  #: the event that shows it; None: none does
    message: str  #: in words

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "finding": self.finding,
            "identity": self.identity,
            "event_number": self.event_number,
            "message": self.message,
        }

    def __str__(self) -> str:
        return self.message


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """Whether the chain of hashes of the audit log holds, counted in Python, and what else was found."""

    intact: bool  #: whether every event fits the one before it
    events: int  #: how many there are
    head_number: int | None  #: number of the last event; None when there is none
    head_hash: str | None  #: its hash: keep it outside the database, because a chain cannot show that its tail was cut
    first_bad_number: int | None  #: the first event that does not fit
    findings: tuple[AuditFinding, ...] = ()  #: all that is wrong, broken events included; empty: nothing was found
    anchors: tuple[str, ...] = ()  #: NUMBER:HASH that were compared
    file: str | None = None  #: the file that was written, or checked
    remarks: tuple[str, ...] = ()  #: what fits and is not to be overlooked: rollbacks without their approvals

    @property
    def anchor(self) -> str | None:
        """The head as ``--anchor`` takes it: NUMBER:HASH."""
        return None if self.head_number is None else f"{self.head_number}:{self.head_hash}"

    @property
    def success(self) -> bool:
        """Whether nothing was found."""
        return self.intact and not self.findings

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        if not self.intact:
            return f"The audit log is broken at event {self.first_bad_number}"
        if self.findings:
            count = len(self.findings)
            return f"The chain of hashes holds, and {count} thing{'s do' if count > 1 else ' does'} not fit it"
        held = f", and holds {len(self.anchors)} anchor{'s' if len(self.anchors) > 1 else ''}" if self.anchors else ""
        return f"The audit log is intact{held}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "intact": self.intact,
            "events": self.events,
            "head_number": self.head_number,
            "head_hash": self.head_hash,
            "first_bad_number": self.first_bad_number,
            "findings": [found.to_dict() for found in self.findings],
            "anchors": list(self.anchors),
            "file": self.file,
            "remarks": list(self.remarks),
        }

    def __repr__(self) -> str:
        return one_line(
            f"<AuditResult {self.headline}: {self.events} events, head {self.head_number} {self.head_hash}>"
        )

    def _repr_html_(self) -> str:
        mark = "✅" if self.success else "❌"
        rows = [
            ("Audit log", f"{mark} {self.headline}"),
            ("Events", str(self.events)),
            ("Head", f"{self.head_number}:{self.head_hash}"),
        ]
        if self.file is not None:
            rows.append(("File", self.file))
        return html.definitions(rows) + html.warnings((*map(str, self.findings), *self.remarks))
