"""A folder of postgres-migrations -> its migrations by number, known by the project's package.json. Reads only."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.formats.program import ROLLBACK, Program, how_to_get_sql

_PACKAGE = "postgres-migrations"
_FILE = re.compile(r"([0-9]+)[-_]?.*\.(sql|js)", re.IGNORECASE)
#: How far above the folder its project may begin.
_ABOVE = 6


def numbered(folder: Path, names: Iterable[str]) -> Sequence[str] | None:
    """The files of a folder in their order, where it is one of this tool's; None where it is none. Reads only."""
    files = [name for name in names if name.lower().endswith((".sql", ".js"))]
    found = [(int(it[1]), name) for name in files if (it := _FILE.fullmatch(name))]
    # it wants its numbers from 1 on, without a gap
    if not found or len(found) < len(files) or sorted(number for number, _ in found) != list(range(1, len(found) + 1)):
        return None
    return [name for _, name in sorted(found)] if _is_used(folder.absolute()) else None


def read(folder: Path, files: Iterable[str], rollbacks: Path) -> Layout:
    """Its migrations. What undoes them lies in another folder, for every file of this one is one of them. Reads only.

    Parameters
    ----------
    folder : Path
        The folder.
    files : iterable of str
        What `numbered` found.
    rollbacks : Path
        Where the SQL lies that undoes them.
    """
    apart = rollbacks != folder.absolute()
    beside = {entry.name for entry in rollbacks.iterdir()} if apart and rollbacks.is_dir() else set()
    place = rollbacks if apart else folder.absolute().parent / "rollbacks"
    found: dict[str, Found] = {}
    for number, file in enumerate(files, 1):
        name, _, ending = file.rpartition(".")
        found[name] = Found(
            path=file,
            rollback=str(place / f"{name}{ROLLBACK}"),
            has_rollback=f"{name}{ROLLBACK}" in beside,
            tool=_PACKAGE,
            place=number,
            version=str(number),
            program=Program(apply_with=_PACKAGE) if ending.lower() == "js" else None,
        )
    alone = [name for name, one in found.items() if one.program is not None and not one.has_rollback]
    said = f"{len(alone)} of {len(found)} migrations are programs without SQL that undoes them: {first_few(alone)}."
    remarks = (f"{said} {how_to_get_sql(_PACKAGE)}",) if alone else ()
    return Layout(migrations=dict(sorted(found.items())), strays={}, remarks=remarks)


def hash_of(path: Path) -> str:
    """What its ledger keeps of a file: SHA-1 (hex) of its name and what stands in it. Reads only."""
    return hashlib.sha1(path.name.encode() + path.read_bytes(), usedforsecurity=False).hexdigest()


def _is_used(folder: Path) -> bool:
    """Whether the nearest package.json above names the tool."""
    for above in (folder, *folder.parents[:_ABOVE]):
        try:
            said = json.loads((above / "package.json").read_bytes())
        except (OSError, ValueError):
            continue
        needs = [said.get(key) for key in ("dependencies", "devDependencies")] if isinstance(said, dict) else []
        return any(isinstance(one, dict) and _PACKAGE in one for one in needs)
    return False
