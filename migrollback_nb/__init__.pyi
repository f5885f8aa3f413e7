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
    RollbackFailed,
    UsageError,
)
from .core.results import (
    ApplyResult,
    AuditResult,
    ChainResult,
    CheckResult,
    InstallResult,
    LastApplied,
    MigrationProof,
    NothingToRollBack,
    Plan,
    Preview,
    Proof,
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
)
from .database.settings import Timeouts
from .files.formats import parse
from .files.migration import MigrationFile
from .migrations import Migrations, connect
from .replay.folder import template, verify
from .runbook.checklist import Checklist
from .runbook.run import RunbookState

__version__: str

__all__ = [
    "ApplyFailed",
    "ApplyResult",
    "AuditResult",
    "ChainResult",
    "CheckResult",
    "Checklist",
    "ConfirmationRequired",
    "ConnectionFailed",
    "DatabaseError",
    "DependencyError",
    "InstallResult",
    "Interrupted",
    "LastApplied",
    "LockBusy",
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
    "Proof",
    "RecordResult",
    "Refused",
    "RegisterResult",
    "Rehearsal",
    "RollbackFailed",
    "RollbackProgress",
    "RollbackResult",
    "RunbookState",
    "SchemaDiff",
    "Status",
    "SyncResult",
    "Target",
    "Template",
    "Timeouts",
    "UsageError",
    "Verification",
    "connect",
    "panels",
    "parse",
    "template",
    "verify",
]

def load_ipython_extension(ipython: object) -> None: ...
