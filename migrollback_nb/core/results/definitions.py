"""An object of the schema as DDL, as it was and as it is. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from migrollback_nb.core import html

_SIGN = {"created": "+", "changed": "~", "dropped": "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One object that differs, with all that differs of its parts, in PostgreSQL's words."""

    change: Literal["created", "changed", "dropped"]  #: what became of it
    kind: str | None  #: table, view, function ...; None where only its parts differ
    identity: str  #: schema-qualified and quoted
    old: str  #: its DDL before; of one that stays only what differs. Empty: it was not there
    new: str  #: its DDL now
    statements: tuple[str, ...]  #: what leads from the old to the new

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "statements": list(self.statements)}

    @property
    def heading(self) -> str:
        """Kind and identity."""
        return f"{self.kind} {self.identity}" if self.kind else self.identity

    def lines(self) -> list[str]:
        """As part of a unified diff, with its heading."""
        from migrollback_nb.core.side_by_side import unified

        return [f"@@ {self.heading} @@", *unified(self.old, self.new)]

    def to_html(self, old: str, new: str, *, is_open: bool = True) -> str:
        """Old and new beside each other, with the words marked that differ; old, new: what the two states are."""
        from migrollback_nb.core.side_by_side import one_sided, side_by_side

        title = f"{_SIGN[self.change]} {self.heading}: {self.change}"
        if not self.old or not self.new:
            return html.section(title, one_sided(self.old or self.new, added=bool(self.new)), is_open=is_open)
        body = side_by_side(self.old, self.new, (old, new))
        # what is written anew as a whole stands beside the old already
        ways = [statement for statement in self.statements if f"{statement};" not in self.new]
        if ways:
            body += html.sql("\n".join(f"{statement};" for statement in ways))
        return html.section(title, body, is_open=is_open)
