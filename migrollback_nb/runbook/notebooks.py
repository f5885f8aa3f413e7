"""Copies the runbook's notebooks for one rollback into a dated folder, filled in. Writes files, to no database."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.results import RunbookFiles
from migrollback_nb.database.connection import DSN_VARIABLES, LIBPQ_VARIABLES

if TYPE_CHECKING:
    from migrollback_nb.operations.workspace import Workspace

#: The notebooks of the runbook, in order.
NOTEBOOKS = ("10_before_rollback.ipynb", "11_during_rollback.ipynb", "12_after_rollback.ipynb")


def shipped_notebooks() -> Path:
    """The folder of the notebooks that ship; does not write."""
    shipped = resources.files("migrollback_nb") / "notebooks"
    # in a checkout they lie beside the package
    return Path(str(shipped)) if shipped.is_dir() else Path(__file__).resolve().parents[2] / "notebooks"


def copy_runbook(
    db: Workspace,
    name: str,
    *,
    ticket: str | None = None,
    into: Path | str | None = None,
    dsn_given: bool = False,
    chain: bool = False,
) -> RunbookFiles:
    """Copy the notebooks of the runbook, for one migration. Writes a new folder, over nothing that is there.

    Parameters
    ----------
    db : Workspace
        The database of the rollback; the notebooks remember which, and never its password.
    name : str
        The migration, with or without ``.sql``.
    ticket : str, optional
        Goes with each answer into the audit log.
    into : Path or str, optional
        Where the dated folder goes; by default the current one.
    dsn_given : bool
        True: the connection came from a DSN on a command line, which is not saved.
    chain : bool
        Whether all that depends on it is to be rolled back with it.

    Returns
    -------
    RunbookFiles

    Raises
    ------
    MigrationNotFound
        When the migration is not registered.
    UsageError
        When the folder cannot be written.
    """
    name = db.check(name).migration_name
    service = os.environ.get("PGSERVICE")
    variable = next((one for one in DSN_VARIABLES if os.environ.get(one)), None)
    target = db.target
    # where libpq's own variables say where to connect, they do so for the notebooks too
    by_libpq = not (dsn_given or variable or service) and any(os.environ.get(one) for one in LIBPQ_VARIABLES)
    warnings = []
    if dsn_given or not (variable or service or by_libpq):
        warnings.append(
            f"Put the DSN into the variable {DSN_VARIABLES[0]} before you open them: it is not saved, it may hold a"
            " password"
        )
    values = {
        "connection_env": None if by_libpq else DSN_VARIABLES[0] if dsn_given or variable is None else variable,
        "service": service if service and variable is None and not dsn_given else None,
        "schema": target.schema,
        "folder": str(path.resolve()) if (path := _folder_of(db)) is not None else None,
        "migration": name,
        "chain": chain,
        "ticket": ticket,
        "database": f"{target.host}:{target.port}/{target.database}",
    }
    safe = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:80]
    base = Path(into) if into is not None else Path()
    folder = base / f"runbook_{datetime.now(UTC):%Y-%m-%d}_{safe}"
    for number in range(2, 1000):
        try:
            folder.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            folder = base / f"runbook_{datetime.now(UTC):%Y-%m-%d}_{safe}_{number}"
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be made: {error.strerror}", hint="Name another folder with --into."
            ) from None
        else:
            break
    source = shipped_notebooks()
    for notebook in NOTEBOOKS:
        filled = fill_in(json.loads((source / notebook).read_text(encoding="utf-8")), values)
        (folder / notebook).write_text(json.dumps(filled, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    return RunbookFiles(
        folder=str(folder), files=NOTEBOOKS, migration_name=name, ticket=ticket, warnings=tuple(warnings)
    )


def _folder_of(db: Workspace) -> Path | None:
    try:
        return Path(db.folder.path)
    except UsageError:
        return None


def fill_in(notebook: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A notebook with other values in its cell of parameters; pure.

    Parameters
    ----------
    notebook : dict
        As nbformat 4 has it.
    values : dict
        Name -> value; those that the notebook has no parameter for are left out.
    """
    cells = []
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            # ascii(): a name is data, and must neither end the string nor change how the line is read
            lines = [
                (
                    f"{found.group(1)} = {values[found.group(1)]!a}{found.group(2)}"
                    if (found := _assignment(line)) and found.group(1) in values
                    else line
                )
                for line in cell["source"]
            ]
            cells.append({**cell, "source": lines})
        else:
            cells.append(cell)
    return {**notebook, "cells": cells}


def _assignment(line: str) -> re.Match[str] | None:
    return re.fullmatch(r"(\w+) = [^#\n]*?(\s*#.*\n?|\n?)", line)
