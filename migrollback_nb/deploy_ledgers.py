"""What the ledgers of other deploy tools say of files: which are applied, which are not. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from migrollback_nb.interrupts import some

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.migration_file import MigrationFile


def left_out(database: Database, files: Sequence[MigrationFile]) -> tuple[list[str], list[str]]:
    """(Names of what its deploy tool has not applied, as its ledger says; that in words). Does not write."""
    by_ledger: dict[str, list[str]] = {}
    told = ask(database, files)
    for row in told:
        if not row["is_applied"]:
            by_ledger.setdefault(row["ledger"], []).append(row["migration_name"])
    remarks = [f"Not applied, as the ledger {ledger} says, and left out: {some(names)}" for ledger, names in by_ledger.items()]
    known = {row["migration_name"] for row in told}
    remarks += [
        f"No ledger of {tool} was found here: all its files are taken for applied, and it will not hear of a rollback. "
        "Where its ledger has another name than usual: ALTER DATABASE ... SET migrollback.deploy_ledger = 'schema.table'"
        for tool in sorted({file.tool for file in files if file.tool is not None and file.name not in known})
    ]
    return [name for names in by_ledger.values() for name in names], remarks


def not_applied_warning(database: Database, file: MigrationFile) -> tuple[str, ...]:
    """Say so where the deploy tool of a file has not applied it. Does not write."""
    return tuple(f"The ledger {row['ledger']} says that {file.name} is not applied" for row in ask(database, [file]) if not row["is_applied"])


def ask(database: Database, files: Sequence[MigrationFile]) -> Sequence[dict[str, Any]]:
    """What the ledgers of their deploy tools say of files: rows of migrations_in_deploy_ledgers(). Does not write."""
    return database.in_deploy_ledgers([{"name": file.name, "version": file.version, "tool": file.tool} for file in files]) if files else ()
