"""What came back from running migration SQL; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrollback_nb.core.results import Notice
    from migrollback_nb.database.session import Row


@dataclass(slots=True)
class ExecutionResult:
    """What came back from running migration SQL."""

    rows: list[Row]
    details: dict[str, Row]  #: name -> details of its last event of this attempt
    attempt_id: str
    notices: list[Notice] = field(default_factory=list)
    blocked_by: str | None = None  #: who held the lock that was not got, and what to do
