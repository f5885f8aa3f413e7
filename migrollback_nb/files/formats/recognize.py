"""A folder -> whose it is, and which files make up which migration, by that tool's own reader. Reads only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.core.text import first_few
from migrollback_nb.files import not_read, tools
from migrollback_nb.files.formats import (
    atlas,
    db_migrate,
    drizzle,
    graphile,
    hasura,
    liquibase,
    nested,
    postgres_migrations,
    program_folders,
    sqitch,
)
from migrollback_nb.files.formats.layout import Found, Layout, layout
from migrollback_nb.files.text import read_text

#: Migrations that are programs, as goose, golang-migrate, yoyo, node-pg-migrate and Flyway have them besides.
_PROGRAM = re.compile(r"V?[0-9].*\.(fizz|rs|kts|scala|clj|fs|go|py|js|mjs|cjs|ts|mts|java|kt|rb|exs|php|cs)")


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
    # Prisma's folders may be called *.sql too
    folders = {entry.name for entry in seen if entry.name.endswith(".sql") and _holds_sql(_inside(entry))}
    here = _Here(
        folder=folder,
        rollbacks=rollbacks,
        entries=seen,
        files=sorted(entry.name for entry in seen if entry.name.endswith(".sql") and entry.name not in folders),
        # those of other tools have a folder for each migration; what cannot be looked into is not one of them
        inside={
            entry.name: _listing(entry.path)
            for entry in seen
            if entry.name[:1].isdigit()
            and (entry.name in folders or (not entry.name.endswith(".sql") and entry.is_dir()))
        },
    )
    found = (reader(here) for reader in _READERS)
    return next((one for one in found if one is not None), None) or _by_names(here)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Here:
    """What lies in a folder."""

    folder: Path
    rollbacks: Path
    entries: Sequence[os.DirEntry[str]]
    files: Sequence[str]  #: names of the files *.sql, in order
    inside: Mapping[str, Sequence[str]]  #: folders that may be migrations -> what they hold

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]


def _drizzle(here: _Here) -> Layout | None:
    if not (here.folder / drizzle.JOURNAL).is_file():
        return None
    return drizzle.read(here.folder, here.names, here.rollbacks)


def _atlas(here: _Here) -> Layout | None:
    if not _has_sum(here) or not atlas.is_own_format(here.files) or _is_marked(here.folder / here.files[0]):
        return None
    return atlas.read(here.folder, here.files, here.rollbacks)


def _graphile(here: _Here) -> Layout | None:
    if (below := graphile.committed(here.folder, here.names)) is None:
        return None
    return graphile.read(here.folder, below, here.names, here.rollbacks)


def _db_migrate(here: _Here) -> Layout | None:
    places = db_migrate.place(here.folder, here.files)
    return None if places is None else db_migrate.read(here.folder, *places, here.rollbacks)


def _liquibase(here: _Here) -> Layout | None:
    # by two files, for all would have to be opened
    ends = {*here.files[:1], *here.files[-1:]}
    if not ends or not all(liquibase.is_formatted(here.folder / name) for name in ends):
        return None
    return liquibase.read(here.folder, here.files)


def _postgres_migrations(here: _Here) -> Layout | None:
    if (files := postgres_migrations.numbered(here.folder, here.names)) is None:
        return None
    return postgres_migrations.read(here.folder, files, here.rollbacks)


def _programs(here: _Here) -> Layout | None:
    plain = all(program_folders.is_made(name) for name in here.files) and not any(map(_holds_sql, here.inside.values()))
    if not plain and not program_folders.is_project(here.names):
        return None
    return program_folders.read(here.folder, here.names, here.rollbacks)


#: Those that know a folder by more than the names of its migrations.
_READERS = (_drizzle, _atlas, _graphile, _db_migrate, _liquibase, _postgres_migrations, _programs)


def _by_names(here: _Here) -> Layout:
    """By the names of files and folders alone."""
    folder, files = here.folder, here.files
    below = nested.flyway(folder, files)
    found, left_out = _without_programs(below or layout(files, here.inside), here.names)
    if not found.migrations:
        return (None if files else _by_folders(here)) or found
    if below is None and hasura.is_one(folder, here.inside, files):
        found = hasura.known(found, hasura.database_of(folder), here.inside)
    if below is None and _has_sum(here):
        found = atlas.checked(found, folder, files)
    undoing = [entry for entry in here.entries if not_read.undo_folder(entry.name) and entry.is_dir()]
    remarks = [*_left_out(left_out), *(() if below else _unread_folders(found, undoing, here.inside))]
    return replace(found, remarks=(*found.remarks, *remarks)) if remarks else found


def _by_folders(here: _Here) -> Layout | None:
    """Of a folder without files."""
    if (database := hasura.database_below(here.folder, here.names)) is not None:
        return hasura.of_database(here.folder, database)
    return nested.numbered(here.inside)


def _has_sum(here: _Here) -> bool:
    return bool(here.files) and (here.folder / atlas.SUM).is_file()


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
