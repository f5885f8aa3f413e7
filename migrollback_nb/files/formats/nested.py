"""Migrations in folders below the folder: Flyway's, and those that are numbered (0/01_x.up.sql). Reads only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.layout import Found, Layout, layout
from migrollback_nb.files.not_read import STRAY_HINT, Refusal, other_database

_FLYWAY = re.compile(r"(?:[VU][0-9][0-9._]*|R|B[0-9][0-9._]*)__.+\.sql")
_VERSIONED = re.compile(r"V[0-9][0-9._]*__.+\.sql")
#: How deep and how far it is looked into folders below.
_DEPTH = 6
_MOST = 50_000
_NOT_LOOKED_INTO = frozenset(("node_modules", "vendor", "target", "build", "dist", "venv", "__pycache__"))


def flyway(folder: Path, files: Iterable[str]) -> Layout | None:
    """Flyway's migrations of a folder and all below it, by their versions; None where there are none. Reads only.

    Parameters
    ----------
    folder : Path
        The folder.
    files : iterable of str
        Names of the files ``*.sql`` in the folder itself.
    """
    here = list(files)
    if here and not any(_VERSIONED.fullmatch(name) for name in here):
        return None
    found_below = [path for path in _below(folder) if "/" in path]
    elsewhere = {path: database for path in found_below if (database := _for_another(path)) is not None}
    below = [path for path in found_below if path not in elsewhere]
    inside = [path for path in below if _FLYWAY.fullmatch(_base(path))]
    if not any(_VERSIONED.fullmatch(_base(name)) for name in (*here, *inside)) or not inside:
        return None
    by_name: dict[str, str] = {}
    twice: dict[str, Refusal] = {}
    for path in sorted((*here, *inside), key=lambda path: (path.count("/"), path)):
        if (other := by_name.setdefault(_base(path), path)) != path:
            twice[path] = Refusal(problem=f"is called as {other} is: Flyway runs neither", hint=STRAY_HINT)
    found = layout(by_name.values(), {})
    said = list(found.remarks)
    if others := sorted(set(below) - set(inside)):
        said.append(f"Left out, because Flyway names no migration so: {first_few(others)}")
    if elsewhere:
        databases = ", ".join(sorted(set(elsewhere.values())))
        said.append(f"{len(elsewhere)} files for {databases} are left out, among them {min(elsewhere)}")
    return replace(found, strays={**found.strays, **twice}, remarks=tuple(said))


def numbered(inside: Mapping[str, Iterable[str]]) -> Layout | None:
    """Migrations in folders that are numbered, folder by folder; None where they do not look so. Pure.

    Parameters
    ----------
    inside : mapping of str to iterable of str
        Name -> names of files of the folders in a folder.

    Examples
    --------
    >>> found = numbered({"0": ["02_b.up.sql", "02_b.down.sql"], "10": ["1_c.sql"], "2": ["1_d.sql"]})
    >>> [(name, one.place, one.version) for name, one in found.migrations.items()]
    [('0/02_b', 1, '0.02'), ('2/1_d', 2, '2.1'), ('10/1_c', 3, '10.1')]
    """
    with_sql = {name: [one for one in names if one.endswith(".sql")] for name, names in inside.items()}
    with_sql = {name: files for name, files in with_sql.items() if files}
    if not with_sql or not all(one[:1].isdigit() for files in with_sql.values() for one in files):
        return None
    found: dict[str, Found] = {}
    strays: dict[str, Refusal] = {}
    remarks = []
    for name in sorted(with_sql, key=_by_number):
        below = layout(sorted(with_sql[name]), {})
        strays |= {f"{name}/{path}": why for path, why in below.strays.items()}
        remarks += [f"{name}/: {remark}" for remark in below.remarks]
        for stem in sorted(below.migrations, key=_by_number):
            one = below.migrations[stem]
            found[f"{name}/{stem}"] = replace(
                one,
                path=f"{name}/{one.path}",
                rollback=f"{name}/{one.rollback or f'{stem}.down.sql'}",
                tool=None,
                place=len(found) + 1,
                version=f"{_digits(name)}.{_digits(stem)}",
            )
    folders = first_few([f"{name}/" for name in sorted(with_sql, key=_by_number)])
    remarks.append(
        f"{folders}: read folder by folder, in the order of their numbers. No deploy tool is known that does so, and no"
        " ledger is kept in step"
    )
    return Layout(migrations=found, strays=strays, remarks=tuple(remarks))


def _below(folder: Path) -> list[str]:
    """The files ``*.sql`` of a folder and of those below it, relative to it. Reads only."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        inside = Path(place).relative_to(folder)
        folders[:] = sorted(
            name
            for name in folders
            if len(inside.parts) < _DEPTH and not name.startswith(".") and name not in _NOT_LOOKED_INTO
        )
        found += [(inside / name).as_posix() for name in files if name.endswith(".sql") and not name.startswith(".")]
        if len(found) > _MOST:
            break
    return found


def _for_another(path: str) -> str | None:
    """The database other than PostgreSQL that one of the folders of a path is named by."""
    return next((found for part in path.split("/")[:-1] if (found := other_database(part)) is not None), None)


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _digits(name: str) -> str:
    return name[: len(name) - len(name.lstrip("0123456789"))]


def _by_number(name: str) -> tuple[int, str]:
    return int(_digits(name) or "0"), name
