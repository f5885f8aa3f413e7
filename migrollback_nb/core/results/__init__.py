"""Frozen results, which show as text, HTML and JSON. Pure.

`to_dict` gives the keys that the command line prints as JSON: the column names of the SQL functions. The modules are
loaded on first use: making two dozen dataclasses takes longer than `migrollback check` takes to ask the database.
"""

from __future__ import annotations

import json
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.text import json_of
from migrollback_nb.core.times import iso_time

if TYPE_CHECKING:
    from migrollback_nb.core.results.adoption import Adoption
    from migrollback_nb.core.results.approvals import ApprovalRequest, PolicyChange
    from migrollback_nb.core.results.archives import (
        Archived,
        ArchivesChanged,
        AroundResult,
        Conflict,
        RestoredTable,
        RestoreResult,
    )
    from migrollback_nb.core.results.assessment import Assessment, Effect
    from migrollback_nb.core.results.audit import AuditFinding, AuditResult
    from migrollback_nb.core.results.check import CheckResult, LastApplied, Plan, Preview
    from migrollback_nb.core.results.dependencies import DependencyRecord, DismissResult, RecordResult
    from migrollback_nb.core.results.doctor import Diagnosis, DoctorResult
    from migrollback_nb.core.results.files import (
        ApplyResult,
        FileFailure,
        LeftRolledBack,
        RegisterResult,
        RunbookFiles,
        SyncResult,
        Template,
    )
    from migrollback_nb.core.results.foreseen import Foreseen, ForeseenLock
    from migrollback_nb.core.results.lost_rows import LostRows
    from migrollback_nb.core.results.needed_approvals import Approvals
    from migrollback_nb.core.results.program_sql import ProgramSql, WrittenSql
    from migrollback_nb.core.results.progress import RollbackProgress
    from migrollback_nb.core.results.proof import DataLoss, MigrationProof, Proof
    from migrollback_nb.core.results.rehearsal import Rehearsal
    from migrollback_nb.core.results.rollback import ChainResult, NothingToRollBack, RollbackResult
    from migrollback_nb.core.results.schema import SchemaChange, SchemaDiff
    from migrollback_nb.core.results.selection import ClosedSelection, Range
    from migrollback_nb.core.results.system import InstallResult, NotOurs, PruneResult, RoleResult, TakenOver
    from migrollback_nb.core.results.target import Notice, Status, Target
    from migrollback_nb.core.results.verification import Verification

_HOME = {
    "Adoption": "adoption",
    "ApplyResult": "files",
    "ApprovalRequest": "approvals",
    "Approvals": "needed_approvals",
    "Archived": "archives",
    "ArchivesChanged": "archives",
    "AroundResult": "archives",
    "Conflict": "archives",
    "RestoreResult": "archives",
    "RestoredTable": "archives",
    "Assessment": "assessment",
    "AuditFinding": "audit",
    "AuditResult": "audit",
    "ChainResult": "rollback",
    "CheckResult": "check",
    "ClosedSelection": "selection",
    "DataLoss": "proof",
    "DependencyRecord": "dependencies",
    "Diagnosis": "doctor",
    "DoctorResult": "doctor",
    "Effect": "assessment",
    "FileFailure": "files",
    "Foreseen": "foreseen",
    "ForeseenLock": "foreseen",
    "InstallResult": "system",
    "LastApplied": "check",
    "LeftRolledBack": "files",
    "LostRows": "lost_rows",
    "MigrationProof": "proof",
    "NothingToRollBack": "rollback",
    "NotOurs": "system",
    "Notice": "target",
    "Plan": "check",
    "Preview": "check",
    "ProgramSql": "program_sql",
    "Proof": "proof",
    "PolicyChange": "approvals",
    "PruneResult": "system",
    "DismissResult": "dependencies",
    "Range": "selection",
    "RecordResult": "dependencies",
    "RegisterResult": "files",
    "Rehearsal": "rehearsal",
    "RoleResult": "system",
    "RollbackProgress": "progress",
    "RollbackResult": "rollback",
    "RunbookFiles": "files",
    "SchemaChange": "schema",
    "SchemaDiff": "schema",
    "Status": "target",
    "SyncResult": "files",
    "TakenOver": "system",
    "Target": "target",
    "Template": "files",
    "Verification": "verification",
    "WrittenSql": "program_sql",
}

__all__ = [
    "Adoption",
    "ApplyResult",
    "ApprovalRequest",
    "Approvals",
    "Archived",
    "ArchivesChanged",
    "AroundResult",
    "Assessment",
    "AuditFinding",
    "AuditResult",
    "ChainResult",
    "CheckResult",
    "ClosedSelection",
    "Conflict",
    "DataLoss",
    "DependencyRecord",
    "Diagnosis",
    "DismissResult",
    "DoctorResult",
    "Effect",
    "FileFailure",
    "Foreseen",
    "ForeseenLock",
    "InstallResult",
    "LastApplied",
    "LeftRolledBack",
    "LostRows",
    "MigrationProof",
    "NotOurs",
    "NothingToRollBack",
    "Notice",
    "Plan",
    "PolicyChange",
    "Preview",
    "ProgramSql",
    "Proof",
    "PruneResult",
    "Range",
    "RecordResult",
    "RegisterResult",
    "Rehearsal",
    "RestoreResult",
    "RestoredTable",
    "RoleResult",
    "RollbackProgress",
    "RollbackResult",
    "RunbookFiles",
    "SchemaChange",
    "SchemaDiff",
    "Status",
    "SyncResult",
    "TakenOver",
    "Target",
    "Template",
    "Verification",
    "WrittenSql",
    "json_value",
    "to_json",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def to_json(value: Any) -> str:
    """JSON of a result: times as ISO 8601 in UTC, what JSON has no word for as text, controls and marks escaped."""
    return json_of(json.dumps(value, ensure_ascii=False, indent=2, default=json_value))


def json_value(value: Any) -> str:
    """What JSON has no word for, as text: of a time ISO 8601 in UTC; pure."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return iso_time(value)
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
