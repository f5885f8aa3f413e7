"""A request for approvals and a policy as text for a terminal. Writes to the streams it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from migrollback_nb.cli.tables import RULE
from migrollback_nb.core.passwords import mask_passwords
from migrollback_nb.core.text import one_line, visible

if TYPE_CHECKING:
    from migrollback_nb.core.results import ApprovalRequest, PolicyChange


def show_request(shown: ApprovalRequest, out: TextIO, _: TextIO) -> None:
    """All that a person must see before approving: the SQL first, which is the longest. Writes to the stream."""
    if shown.sql:
        out.write(f"SQL that would run:\n{RULE}\n{visible(mask_passwords(shown.sql))}\n{RULE}\n\n")
    for heading, text in shown.lines():
        out.write(f"{f'{heading}:' if heading else '':<14}{one_line(text)}\n")


def show_change(change: PolicyChange, out: TextIO, _: TextIO) -> None:
    """What became of a policy, in one line. Writes to the stream."""
    out.write(f"{'✅' if change.outcome != 'not there' else '⚠️ '} {one_line(change.message)}\n")


def show_outcome(result: Any, out: TextIO, err: TextIO) -> None:
    """How a request stands now, in one line; and what is next. Writes to the stream."""
    mark = result.mark if hasattr(result, "mark") else "✅"
    out.write(f"{mark} {one_line(result.message)}\n")
    if getattr(result, "number", None) is not None and result.state in ("waiting", "expired"):
        err.write(f"Another person approves it: migrollback approve {result.number}\n")
