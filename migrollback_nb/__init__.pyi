# The public names, each with the module that it is loaded from on first use.

from . import panels
from .core.errors import (
    ApplyFailed,
    ConfirmationRequired,
    ConnectionFailed,
    DatabaseError,
    DependencyError,
    Interrupted,
    LockBusy,
    MigrationFileError,
    MigrationNotFound,
    MigrollbackError,
    NewerSystem,
    NotInstalled,
    OlderSystem,
    Refused,
    RehearsalStopped,
    RollbackFailed,
    UsageError,
)
from .core.results import (
    ApplyResult,
    Assessment,
    AuditFinding,
    AuditResult,
    ChainResult,
    CheckResult,
    Diagnosis,
    DismissResult,
    DoctorResult,
    Effect,
    Foreseen,
    ForeseenLock,
    InstallResult,
    LastApplied,
    LostRows,
    MigrationProof,
    NothingToRollBack,
    Plan,
    Preview,
    ProgramSql,
    Proof,
    PruneResult,
    RecordResult,
    RegisterResult,
    Rehearsal,
    RollbackProgress,
    RollbackResult,
    SchemaDiff,
    Status,
    SyncResult,
    Target,
    Template,
    Verification,
    WrittenSql,
)
from .database.settings import Timeouts
from .display.graph.picture import Graph
from .files.formats import parse
from .files.migration import MigrationFile
from .fleet.fleet import Fleet
from .fleet.plan import FleetPlan
from .fleet.results import FleetResult, TargetResult
from .fleet.targets import FleetTarget
from .history.compare import compare
from .history.meanings import columns
from .migrations import Migrations, connect
from .operations.audit_file import check_audit_log
from .replay.folder import template, verify
from .replay.render import render
from .runbook.checklist import Checklist
from .runbook.run import RunbookState

__version__: str

__all__ = [
    "ApplyFailed",
    "ApplyResult",
    "Assessment",
    "AuditFinding",
    "AuditResult",
    "ChainResult",
    "CheckResult",
    "Checklist",
    "ConfirmationRequired",
    "ConnectionFailed",
    "DatabaseError",
    "DependencyError",
    "Diagnosis",
    "DismissResult",
    "DoctorResult",
    "Effect",
    "Fleet",
    "FleetPlan",
    "FleetResult",
    "FleetTarget",
    "Foreseen",
    "ForeseenLock",
    "Graph",
    "InstallResult",
    "Interrupted",
    "LastApplied",
    "LockBusy",
    "LostRows",
    "MigrationFile",
    "MigrationFileError",
    "MigrationNotFound",
    "MigrationProof",
    "Migrations",
    "MigrollbackError",
    "NewerSystem",
    "NotInstalled",
    "NothingToRollBack",
    "OlderSystem",
    "Plan",
    "Preview",
    "ProgramSql",
    "Proof",
    "PruneResult",
    "RecordResult",
    "Refused",
    "RegisterResult",
    "Rehearsal",
    "RehearsalStopped",
    "RollbackFailed",
    "RollbackProgress",
    "RollbackResult",
    "RunbookState",
    "SchemaDiff",
    "Status",
    "SyncResult",
    "Target",
    "TargetResult",
    "Template",
    "Timeouts",
    "UsageError",
    "Verification",
    "WrittenSql",
    "check_audit_log",
    "columns",
    "compare",
    "connect",
    "panels",
    "parse",
    "render",
    "template",
    "verify",
]

def load_ipython_extension(ipython: object) -> None: ...
