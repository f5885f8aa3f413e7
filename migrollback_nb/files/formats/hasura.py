"""A folder of migrations of Hasura -> the same in its order, by the versions that its ledger has. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from migrollback_nb.core.text import first_few
from migrollback_nb.files.formats.layout import Found, Layout, layout

#: What a project's config.yaml says.
_CONFIG = re.compile(rb"(?m)^(metadata_directory|endpoint|admin_secret|version|actions)\s*:")
#: Hasura names by the time in milliseconds.
_TIMED = re.compile(r"[0-9]{13}_.")
_VERSIONED = re.compile(r"([0-9]+)_.+")


def database_below(folder: Path, names: Iterable[str]) -> str | None:
    """The one database whose migrations lie in a folder below this one, beside a project's config.yaml. Reads only."""
    if not _is_config(folder.parent / "config.yaml"):
        return None
    below = [name for name in names if not name[:1].isdigit() and _migrations_in(folder / name)]
    return below[0] if len(below) == 1 else None


def of_database(folder: Path, database: str) -> Layout:
    """Its migrations, their paths from the folder above. Reads only."""
    inside = {name: _names_in(folder / database / name) for name in _migrations_in(folder / database)}
    found = layout((), inside)
    migrations = {
        name: replace(one, path=f"{database}/{one.path}", rollback=f"{database}/{one.rollback}")
        for name, one in found.migrations.items()
    }
    return known(replace(found, migrations=migrations), database, inside)


def is_one(folder: Path, inside: Mapping[str, Iterable[str]], files: Iterable[str]) -> bool:
    """Whether a folder of pairs is Hasura's: by its names, or by the config.yaml of its project. Reads only."""
    named = [name for name, held in inside.items() if "up.sql" in held] or [
        name for name in files if name.endswith((".up.sql", ".down.sql"))
    ]
    if not named or not all(_VERSIONED.match(name) for name in named):
        return False
    return all(_TIMED.match(name) for name in named) or any(
        _is_config(above / "config.yaml") for above in (folder.absolute().parent, folder.absolute().parent.parent)
    )


def database_of(folder: Path) -> str:
    """The database that a folder is for, as Hasura's ledger calls it. Pure."""
    path = folder.absolute()
    return path.name if path.parent.name == "migrations" else "default"


def known(found: Layout, database: str, inside: Mapping[str, Iterable[str]]) -> Layout:
    """The same as Hasura knows them: by number, of a database; pure."""
    migrations: dict[str, Found] = {}
    strange = []
    for name in sorted(found.migrations, key=lambda name: (int(_number(name) or "0"), name)):
        if (number := _number(name)) is None:
            strange.append(name)
            continue
        version = str(int(number))
        migrations[name] = replace(
            found.migrations[name],
            tool="Hasura",
            place=len(migrations) + 1,
            version=version if database == "default" else f"{database}:{version}",
        )
    metadata = sorted(name for name, held in inside.items() if {"up.yaml", "down.yaml"} & set(held))
    remarks = [*found.remarks]
    if strange:
        remarks.append(f"Left out, because Hasura reads NUMBER_name alone: {first_few(strange)}")
    if metadata:
        remarks.append(f"Metadata of Hasura is not read: up.yaml and down.yaml in {first_few(metadata)}")
    return replace(found, migrations=dict(sorted(migrations.items())), remarks=tuple(remarks))


def _number(name: str) -> str | None:
    it = _VERSIONED.fullmatch(name)
    return None if it is None else it[1]


def _is_config(path: Path) -> bool:
    """Whether this is the config.yaml of a project of Hasura: two of its words, and one of them where Hasura is."""
    try:
        if not path.is_file():
            return False
        said = set(_CONFIG.findall(path.read_bytes()[:20_000]))
    except OSError:
        return False
    return len(said) > 1 and bool(said & {b"metadata_directory", b"endpoint"})


def _migrations_in(folder: Path) -> list[str]:
    return [name for name in _names_in(folder) if _VERSIONED.fullmatch(name) and "up.sql" in _names_in(folder / name)]


def _names_in(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
