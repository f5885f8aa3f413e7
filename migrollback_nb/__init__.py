"""Roll back PostgreSQL migrations safely, from Jupyter, the terminal or psql.

What you previewed is what runs, it runs whole or not at all, and nothing about it is forgotten.

    >>> import migrollback_nb as mr
    >>> mr.parse("CREATE TABLE t ();", name="001_t").version
    '001'

With a database::

    db = mr.connect()              # DATABASE_URL, PGSERVICE ...; "embedded" for a private server
    db.list()                      # a DataFrame
    db.check("20250120_add_tags")  # may it be rolled back?
    db.preview("20250120_add_tags")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.version import __version__ as __version__

#: Public name -> module. Loaded on first use: importing the package brings neither pandas nor ipywidgets nor graphviz.
_HOME = {
    "connect": "migrations",
    "template": "migrations",
    "verify": "migrations",
    "Migrations": "migrations",
    "Limits": "database.session",
    "Checklist": "runbook.checklist",
    "RunbookState": "runbook.items",
    "parse": "files.formats",
    "MigrationFile": "files.migration",
    "Status": "core.results",
    "Target": "core.results",
    "CheckResult": "core.results",
    "Preview": "core.results",
    "Rehearsal": "core.results",
    "Proof": "core.results",
    "MigrationProof": "core.results",
    "RollbackProgress": "core.results",
    "RollbackResult": "core.results",
    "ChainResult": "core.results",
    "RecordResult": "core.results",
    "RegisterResult": "core.results",
    "SyncResult": "core.results",
    "ApplyResult": "core.results",
    "InstallResult": "core.results",
    "LastApplied": "core.results",
    "NothingToRollBack": "core.results",
    "Plan": "core.results",
    "Template": "core.results",
    "SchemaDiff": "core.results",
    "Verification": "core.results",
    "AuditResult": "core.results",
    "MigrollbackError": "core.errors",
    "UsageError": "core.errors",
    "MigrationFileError": "core.errors",
    "DependencyError": "core.errors",
    "Interrupted": "core.errors",
    "ConnectionFailed": "core.errors",
    "NotInstalled": "core.errors",
    "NewerSystem": "core.errors",
    "MigrationNotFound": "core.errors",
    "Refused": "core.errors",
    "ConfirmationRequired": "core.errors",
    "LockBusy": "core.errors",
    "RollbackFailed": "core.errors",
    "ApplyFailed": "core.errors",
    "DatabaseError": "core.errors",
}

if TYPE_CHECKING:
    from migrollback_nb.core.errors import (
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
        Refused,
        RollbackFailed,
        UsageError,
    )
    from migrollback_nb.core.results import (
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
    from migrollback_nb.database.session import Limits
    from migrollback_nb.files.formats import parse
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.migrations import Migrations, connect, template, verify
    from migrollback_nb.runbook.checklist import Checklist
    from migrollback_nb.runbook.items import RunbookState

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
    "Limits",
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
    "UsageError",
    "Verification",
    "connect",
    "load_ipython_extension",
    "panels",
    "parse",
    "template",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "panels":
        return import_module("migrollback_nb.panels")
    if name in _HOME:
        value = getattr(import_module(f"migrollback_nb.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(ipython: Any) -> None:
    """Called by ``%load_ext migrollback_nb``: adds the magic %migrollback. Writes nothing to a database."""
    from migrollback_nb.cli.magics import register_magics

    register_magics(ipython)
