"""The audit: the chain of hashes in Python, what it does not show, the file that is exported. Writes that file alone.

The owner of the database can replace the SQL function that verifies, and the log; they cannot reach the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import AuditResult, to_json
from migrollback_nb.core.results.audit import AuditFinding
from migrollback_nb.operations.event_chain import verify

if TYPE_CHECKING:
    from migrollback_nb.database import Database

_ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


def audit(database: Database, *, anchors: str | Sequence[str] = (), export: Path | str | None = None) -> AuditResult:
    """Check the audit log, and what it tells of, against what there is. Does not write to the database.

    Parameters
    ----------
    anchors : str or sequence of str
        NUMBER:HASH of events that were kept outside the database.
    export : Path or str, optional
        A file for history, dependencies and audit log; none that is there already.

    Raises
    ------
    UsageError
        When an anchor is none, or the file exists or cannot be written.
    """
    anchors = anchor_list(anchors)
    found = verify(database.audit.events(), anchors=anchors)
    replaced = tuple(
        AuditFinding(finding="function", identity=name, event_number=None, message=f"function {name} {wrong}")
        for name, wrong in database.audit.replaced_functions()
    )
    told = tuple(AuditFinding(**row) for row in database.audit.findings())
    if any(one.finding == "function" for one in replaced):
        # they are named: that something of them differs need not be said once more
        told = tuple(one for one in told if one.finding != "function")
    found = replace(found, findings=(*found.findings, *replaced, *told))
    return found if export is None else _save(database, found, Path(export))


def anchor_list(anchors: Sequence[str] | str) -> tuple[str, ...]:
    """Anchors, each once; pure.

    Raises
    ------
    UsageError
        When one is not NUMBER:HASH.
    """
    given = tuple(dict.fromkeys([anchors] if isinstance(anchors, str) else anchors))
    for anchor in given:
        if not _ANCHOR.fullmatch(anchor):
            raise UsageError(
                f"An anchor is NUMBER:HASH of an event, not {anchor}",
                hint="migrollback audit prints the head as one: keep that outside the database.",
            )
    return given


def export_audit_log(database: Database, path: Path | str) -> AuditResult:
    """Save history, dependencies and audit log as a JSON file. Does not write to the database.

    Raises
    ------
    UsageError
        When the file exists already: an audit log is never overwritten.
    """
    return _save(database, verify(database.audit.events()), Path(path))


def _save(database: Database, head: AuditResult, path: Path) -> AuditResult:
    content = {
        "target": database.target.to_dict(),
        "saved_at": datetime.now(UTC),
        "head": head.to_dict(),
        "history": database.audit.history(),
        "dependencies": database.queries.dependencies(),
        "events": database.queries.events(),
    }
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(to_json(content) + "\n")
    except FileExistsError:
        raise UsageError(
            f"{path} exists already", hint="Name another file: an audit log is never overwritten."
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="Name another file.") from error
    return replace(head, file=str(path))
