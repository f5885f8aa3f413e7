"""A folder that drizzle-kit wrote -> its migrations in the order of its journal. Reads only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.formats.program import ROLLBACK
from migrollback_nb.files.not_read import Refusal

JOURNAL = "meta/_journal.json"
_HINT = "Let drizzle-kit generate write it again."


def read(folder: Path, names: Iterable[str], rollbacks: Path) -> Layout:
    """The migrations that the journal names; the version of each is the time by which drizzle orders them. Reads."""
    path = folder / JOURNAL
    try:
        entries = [(str(entry["tag"]), int(entry["when"])) for entry in json.loads(path.read_bytes())["entries"]]
    except (ValueError, KeyError, TypeError) as error:
        refusal = Refusal(problem=f"is no journal of drizzle: {error}", hint=_HINT)
        return Layout(migrations={}, strays={JOURNAL: refusal}, remarks=())
    here = set(names)
    beside = {entry.name for entry in rollbacks.iterdir()} if rollbacks.is_dir() else set()
    found: dict[str, Found] = {}
    bad: dict[str, Refusal] = {}
    for place, (tag, when) in enumerate(entries, 1):
        if f"{tag}.sql" not in here:
            problem = f"is named by {JOURNAL}, and there is no such file"
            bad[f"{tag}.sql"] = Refusal(problem=problem, hint=_HINT)
            continue
        found[tag] = Found(
            path=f"{tag}.sql",
            rollback=str(rollbacks / f"{tag}{ROLLBACK}"),
            has_rollback=f"{tag}{ROLLBACK}" in beside,
            tool="drizzle",
            place=place,
            version=str(when),
        )
    left = sorted(
        name
        for name in here
        if name.endswith(".sql") and not name.endswith(ROLLBACK) and name.removesuffix(".sql") not in found
    )
    remarks = [f"{first_few(left)} is left out: {JOURNAL} does not name it, and drizzle never runs it"] if left else []
    return Layout(migrations=dict(sorted(found.items())), strays=bad, remarks=tuple(remarks))


def hash_of(path: Path) -> str:
    """What drizzle keeps of a file: SHA-256 (hex) of it as it lies there. Reads only."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
