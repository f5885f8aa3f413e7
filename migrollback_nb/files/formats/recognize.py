"""A folder -> whose it is, and which files make up which migration, by that tool's own reader. Reads only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files import not_read, tools
from migrollback_nb.files.formats import atlas, drizzle, liquibase, nested, program_folders, sqitch
from migrollback_nb.files.formats.layout import Found, Layout, layout
from migrollback_nb.files.text import read_text

#: Migrations that are programs, as goose, golang-migrate, yoyo, node-pg-migrate and Flyway have them besides.
_PROGRAM = re.compile(r"V?[0-9].*\.(go|py|js|mjs|cjs|ts|mts|java|kt|rb|exs|php|cs)")


def look(folder: Path, rollbacks: Path) -> Layout:
    """Which files of a folder make up which migration, and what is left out. Reads only; may raise OSError.

    Parameters
    ----------
    folder : Path
        The folder.
    rollbacks : Path
        Where the SQL lies that undoes migrations that are programs.
    """
    if (folder / sqitch.PLAN).is_file():
        return _planned(folder)
    with os.scandir(folder) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
    names = [entry.name for entry in seen]
    # Prisma's folders may be called *.sql too
    folders = {entry.name for entry in seen if entry.name.endswith(".sql") and _holds_sql(_inside(entry))}
    files = sorted(name for name in names if name.endswith(".sql") and name not in folders)
    # those of other tools have a folder for each migration; what cannot be looked into is not one of them
    inside = {
        entry.name: _listing(entry.path)
        for entry in seen
        if entry.name[:1].isdigit() and (entry.name in folders or (not entry.name.endswith(".sql") and entry.is_dir()))
    }
    if (folder / drizzle.JOURNAL).is_file():
        return drizzle.read(folder, names, rollbacks)
    has_sum = atlas.SUM in names and bool(files)
    if has_sum and atlas.is_own_format(files) and not _is_marked(folder / files[0]):
        return atlas.read(folder, files, rollbacks)
    # by two files, for all would have to be opened
    if files and all(liquibase.is_formatted(folder / name) for name in {files[0], files[-1]}):
        return liquibase.read(folder, files)
    plain = all(program_folders.is_made(name) for name in files) and not any(map(_holds_sql, inside.values()))
    if plain or program_folders.is_project(names):
        of_programs = program_folders.read(folder, names, rollbacks)
        if of_programs is not None:
            return of_programs
    below = nested.flyway(folder, files)
    found, left_out = _without_programs(below or layout(files, inside), names)
    if not files and not found.migrations and (numbered := nested.numbered(inside)) is not None:
        return numbered
    if not found.migrations:
        return found
    if has_sum and not below:
        found = atlas.checked(found, folder, files)
    undoing = [entry for entry in seen if not_read.undo_folder(entry.name) and entry.is_dir()]
    remarks = [*_left_out(left_out), *(() if below else _unread_folders(found, undoing, inside))]
    return replace(found, remarks=(*found.remarks, *remarks)) if remarks else found


def _without_programs(found: Layout, names: Iterable[str]) -> tuple[Layout, list[str]]:
    """A layout without the files that undo programs, and the programs with those."""
    left_out = sorted(name for name in names if not name.endswith(".sql") and _PROGRAM.fullmatch(name))
    programs_here = {name.partition(".")[0] for name in left_out}
    undoing = [
        path
        for path in found.strays
        if tools.only_undoes(path.removesuffix(".sql")) and path.partition(".")[0] in programs_here
    ]
    if not undoing:
        return found, left_out
    strays = {path: why for path, why in found.strays.items() if path not in undoing}
    return replace(found, strays=strays), sorted((*left_out, *undoing))


def _left_out(programs: list[str]) -> Iterator[str]:
    if programs:
        shown = first_few(programs)
        yield f"Left out, because only SQL is read: {shown}. What depends on them cannot be tried"


def _unread_folders(
    found: Layout, undoing: Iterable[os.DirEntry[str]], inside: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    for entry in undoing:
        if _holds_sql(_listing(entry.path)):
            yield (
                f"{entry.name}/ holds files *.sql that are not read: put each beside the migration that it undoes, as"
                " NAME.down.sql"
            )
    for name, names in sorted(inside.items()):
        if name.removesuffix(".sql") not in found.migrations and _holds_sql(names):
            yield f"{name}/ is left out: it holds files *.sql, but no up.sql and no migration.sql"


def _planned(folder: Path) -> Layout:
    """Sqitch's, by its plan."""
    plan = folder / sqitch.PLAN
    found = {}

    def is_file(name: str) -> bool:
        return (folder / f"deploy/{name}.sql").is_file()

    for change in sqitch.read_plan(read_text(plan), path=str(plan), is_file=is_file):
        undo = f"revert/{change.name}.sql"
        found[change.name] = Found(
            path=f"deploy/{change.name}.sql",
            rollback=undo,
            has_rollback=(folder / undo).is_file(),
            tool="Sqitch",
            place=change.place,
            version=change.change_id,
            depends_on=change.depends_on,
        )
    return Layout(migrations=found, strays={}, remarks=())


def _holds_sql(names: Iterable[str]) -> bool:
    return any(name.endswith(".sql") for name in names)


def _is_marked(path: Path) -> bool:
    """Whether a file is written for another tool (goose, dbmate ...), whose folders may have atlas.sum too."""
    try:
        return tools.tool_of(read_text(path)) is not None
    except (OSError, MigrationFileError):
        return False


def _inside(entry: os.DirEntry[str]) -> list[str]:
    try:
        return _listing(entry.path) if entry.is_dir() else []
    except OSError:  # a circle of links
        return []


def _listing(path: str) -> list[str]:
    try:
        return [entry.name for entry in Path(path).iterdir()]
    except OSError:
        return []
