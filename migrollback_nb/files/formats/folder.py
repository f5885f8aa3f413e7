"""A folder of migrations, in our own format (Supabase's too) or another tool's -> MigrationFiles. Reads only."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from migrollback_nb.core.errors import MigrationFileError, MigrationNotFound, UsageError
from migrollback_nb.core.selectors.near import near
from migrollback_nb.core.text import first_few
from migrollback_nb.files import location, migration, not_read, tools
from migrollback_nb.files.formats import drizzle, liquibase, program_folders, programs, sqitch
from migrollback_nb.files.formats.changeset import ChangesetFile
from migrollback_nb.files.formats.cut import CutFile, cut_by
from migrollback_nb.files.formats.layout import Found, Layout, layout
from migrollback_nb.files.formats.marked import MarkedFile
from migrollback_nb.files.formats.paired import PairedFile
from migrollback_nb.files.formats.program import ProgramFile
from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.files.text import read_text

#: Tools whose ledger holds nothing but the newest version, or that look at nothing else in it.
_NEWEST_ONLY = ("golang-migrate", "tern", "postgrator")
#: Tools whose ledger knows a migration by its whole name: two may share their digits.
_BY_NAME = ("node-pg-migrate", "yoyo", "Prisma", "sql-migrate", "rambler", "Knex", "Django")
#: What may be a header with tags, for a look before parsing.
_TAGS = re.compile(rb"--[ \t]*tags[ \t]*:", re.IGNORECASE)
#: Migrations that are programs, as goose, golang-migrate, yoyo, node-pg-migrate and Flyway have them besides.
_PROGRAM = re.compile(r"V?[0-9].*\.(go|py|js|mjs|cjs|ts|mts|java|kt|rb|exs|php|cs)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContents:
    """What a folder holds: good files, bad files, remarks."""

    files: tuple[MigrationFile, ...]  #: in the order of their tool; see `in_order`
    errors: tuple[MigrationFileError, ...]  #: one for each bad file
    warnings: tuple[str, ...]  #: what a person should know
    versions: dict[str, list[str]] = field(default_factory=dict)  #: version -> names, for versions that occur twice


class MigrationFolder:
    """A folder of migrations; reads only.

    Parameters
    ----------
    path : Path or str
        The folder.

    Raises
    ------
    UsageError
        When it is not a folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = location.folder_path(path)
        try:
            found = self.path.is_dir()
        except OSError as error:
            raise self._unreadable(error) from error
        if not found:
            raise UsageError(
                f"{self.path} is not a folder", hint="Name the folder of migrations with --dir or MIGROLLBACK_DIR."
            )

    def _layout(self) -> Layout:
        if (self.path / sqitch.PLAN).is_file():
            return self._planned()
        try:
            with os.scandir(self.path) as entries:
                seen = [entry for entry in entries if not entry.name.startswith(".")]
            files = sorted(entry.name for entry in seen if entry.name.endswith(".sql"))
            # those of other tools have a folder for each migration; what cannot be looked into is not one of them
            inside = {
                entry.name: _listing(entry.path)
                for entry in seen
                if entry.name[:1].isdigit() and not entry.name.endswith(".sql") and entry.is_dir()
            }
        except OSError as error:
            raise self._unreadable(error) from error
        if (self.path / drizzle.JOURNAL).is_file():
            return drizzle.read(self.path, [entry.name for entry in seen], self.rollbacks)
        # by two files, for all would have to be opened
        if files and all(liquibase.is_formatted(self.path / name) for name in {files[0], files[-1]}):
            return liquibase.read(self.path, files)
        plain = all(program_folders.is_made(name) for name in files) and not any(map(_holds_sql, inside.values()))
        if plain or program_folders.is_project(entry.name for entry in seen):
            of_programs = program_folders.read(self.path, [entry.name for entry in seen], self.rollbacks)
            if of_programs is not None:
                return of_programs
        found = layout(files, inside)
        left_out = sorted(
            entry.name for entry in seen if not entry.name.endswith(".sql") and _PROGRAM.fullmatch(entry.name)
        )
        programs_here = {name.partition(".")[0] for name in left_out}
        if undoing_programs := [
            path
            for path in found.strays
            if tools.only_undoes(path.removesuffix(".sql")) and path.partition(".")[0] in programs_here
        ]:
            found = replace(
                found, strays={path: why for path, why in found.strays.items() if path not in undoing_programs}
            )
            left_out = sorted((*left_out, *undoing_programs))
        remarks = []
        if left_out and found.migrations:
            shown = first_few(left_out)
            remarks.append(f"Left out, because only SQL is read: {shown}. What depends on them cannot be tried")
        if found.migrations:
            undoing = [entry for entry in seen if not_read.undo_folder(entry.name) and entry.is_dir()]
            remarks += [
                f"{entry.name}/ holds files *.sql that are not read: put each beside the migration that it undoes, as"
                " NAME.down.sql"
                for entry in undoing
                if any(name.endswith(".sql") for name in _listing(entry.path))
            ]
            unknown = (
                name
                for name, names in sorted(inside.items())
                if name not in found.migrations and any(one.endswith(".sql") for one in names)
            )
            remarks += [
                f"{name}/ is left out: it holds files *.sql, but no up.sql and no migration.sql" for name in unknown
            ]
        return replace(found, remarks=(*found.remarks, *remarks)) if remarks else found

    @property
    def rollbacks(self) -> Path:
        """Where the SQL lies that undoes migrations that are programs: the folder that was named for it, or this."""
        return Path(getattr(self.path, "rollbacks", None) or self.path).absolute()  # not below the folder

    @cached_property
    def _is_supabase(self) -> bool:
        """Whether this is the folder that Supabase's own tool deploys."""
        return self.path.resolve().parts[-2:] == ("supabase", "migrations")

    def _planned(self) -> Layout:
        plan = self.path / sqitch.PLAN
        found = {}

        def is_file(name: str) -> bool:
            return (self.path / f"deploy/{name}.sql").is_file()

        for change in sqitch.read_plan(read_text(plan), path=str(plan), is_file=is_file):
            undo = f"revert/{change.name}.sql"
            found[change.name] = Found(
                path=f"deploy/{change.name}.sql",
                rollback=undo,
                has_rollback=(self.path / undo).is_file(),
                tool="Sqitch",
                place=change.place,
                version=change.change_id,
                depends_on=change.depends_on,
            )
        return Layout(migrations=found, strays={}, remarks=())

    def names(self) -> list[str]:
        """Names of all migrations in it, in order of name."""
        found = self._layout()
        return sorted((*found.migrations, *(path.removesuffix(".sql") for path in found.strays)))

    def migration_of(self, path: Path) -> str | None:
        """The migration that a file of this folder, or a folder in it, belongs to; None where it belongs to none.

        Parameters
        ----------
        path : Path
            Relative to the folder.
        """
        wanted = path.as_posix()
        migrations = self._layout().migrations.items()
        return next((name for name, found in migrations if wanted in (name, found.path, found.rollback)), None)

    def _unreadable(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self.path} cannot be read: {error.strerror}",
            hint="Name a folder that you may read with --dir or MIGROLLBACK_DIR.",
        )

    def checksum(self, name: str) -> str | None:
        """The checksum of one migration, without parsing it; None where it has no file. May raise OSError."""
        return self.checksums()(name)

    def checksums(self) -> Callable[[str], str | None]:
        """`checksum` for many: the folder is looked into once, now."""
        here = self._layout().migrations

        def of(name: str) -> str | None:
            plain, found = self.path / f"{name}.sql", here.get(name)
            if found is None:
                return location.checksum(plain.read_bytes()) if plain.is_file() else None
            if found.changeset is not None:
                return found.changeset.checksum
            return location.checksum(
                (self.path / found.path).read_bytes(),
                (self.path / found.rollback).read_bytes() if found.rollback and found.has_rollback else None,
            )

        return of

    def read(self, name: str) -> MigrationFile:
        """Read and validate one migration; writes nothing.

        Parameters
        ----------
        name : str
            Its name, with or without ``.sql``.

        Raises
        ------
        MigrationNotFound
            When there is no such file, with names that come close.
        MigrationFileError
            When the file is bad.
        """
        return next(iter(self.read_named([name]).values()))

    def read_named(self, names: Sequence[str]) -> dict[str, MigrationFile]:
        """As `read`, of several: name -> file, in the order in which they are given; writes nothing."""
        here = self._layout()
        numbers = cache(lambda: _numbers(here))
        files = {}
        for name in dict.fromkeys(name.removesuffix(".sql") for name in names):
            if f"{name}.sql" in here.strays:
                raise self._stray(f"{name}.sql", here)
            if name not in here.migrations:
                raise self.not_found(name, here.migrations)
            files[name] = self._read(name, here.migrations[name], numbers)
            self._check(files[name], here.migrations[name])
        return files

    def tags(self) -> dict[str, tuple[str, ...]]:
        """Name -> what ``-- Tags:`` says in its file, where it says any; only such files are parsed. Writes nothing."""
        found = {}
        for name, parts in self._layout().migrations.items():
            with suppress(OSError, MigrationFileError):  # a bad file has no tags; who reads it hears of it
                if _TAGS.search((self.path / parts.path).read_bytes()) and (tags := self._read_parts(name, parts).tags):
                    found[name] = tags
        return found

    def not_found(self, name: str, known: Iterable[str]) -> MigrationNotFound:
        """The error for a name that is not known, with those that come close. Pure."""
        return MigrationNotFound(name, similar=near(name, known), where=f"is in {self.path}")

    def _read(self, name: str, found: Found, numbers: Callable[[], Sequence[int]]) -> MigrationFile:
        file = self._read_parts(name, found)
        if file.tool not in _NEWEST_ONLY or file.number is None:
            return file
        place = bisect_left(numbers(), file.number[0])
        return replace(file, previous_version=str(numbers()[place - 1]) if place else "")

    def _check(self, file: MigrationFile, found: Found) -> None:
        """Raise what is wrong with it, also that its layout is not read."""
        file.validate()
        if found.refused is not None and (found.changeset is not None or not file.has_rollback_block):
            raise MigrationFileError(file.path, found.refused.problem, line=found.refused.line, hint=found.refused.hint)

    def _read_parts(self, name: str, found: Found) -> MigrationFile:
        path = self.path / found.path
        if (
            found.refused is not None and found.changeset is None and not name[:1].isdigit()
        ):  # its name would be refused for less
            raise MigrationFileError(str(path), found.refused.problem, hint=found.refused.hint)
        if (part := found.changeset) is not None:
            return ChangesetFile(
                name=name,
                path=str(path),
                text=part.up,
                written_for=found.tool,
                rollback_path=str(path),
                rollback_text=part.rollback,
                place=found.place,
                planned_version=found.version,
                changeset=part,
            )
        text = read_text(path)
        if found.rollback is None:
            file = parse(text, name=name, path=str(path))
            return replace(file, deployed_by="supabase") if file.tool is None and self._is_supabase else file
        rollback = self.path / found.rollback
        parts: dict[str, Any] = {
            "name": name,
            "path": str(path),
            "written_for": found.tool,
            "rollback_path": str(rollback),
            "rollback_text": read_text(rollback) if found.has_rollback else None,
            "place": found.place,
            "planned_version": found.version,
            "planned": found.depends_on,
        }
        if (program := found.program) is not None:
            up = "" if program.up_path is None else read_text(Path(program.up_path))
            return ProgramFile(**parts, text=up, program=program, program_text=text)
        kept = {"ledger_hash": drizzle.hash_of(path)} if found.tool == "drizzle" else {}
        return PairedFile(**parts, text=text, kept=kept)

    def _stray(self, path: str, here: Layout) -> MigrationFileError:
        stray = here.strays[path]
        return MigrationFileError(str(self.path / path), stray.problem, line=stray.line, hint=stray.hint)

    def read_all(self, *, unchanged: dict[str, str | None] | None = None) -> FolderContents:
        """Read every migration; writes nothing. A bad file becomes an error in the result and stops no other.

        Parameters
        ----------
        unchanged : dict of str to str or None, optional
            Name -> checksum of migrations that need no parsing when their checksum is still the same.
        """
        known = unchanged or {}
        files: list[MigrationFile] = []
        here = self._layout()
        numbers = cache(lambda: _numbers(here))  # few tools need them
        errors = [self._stray(path, here) for path in here.strays]
        for name, found in here.migrations.items():
            try:
                file = self._read(name, found, numbers)
                if known.get(name) != file.checksum:
                    self._check(file, found)
            except MigrationFileError as error:
                error.migration_name = name
                errors.append(error)
            else:
                files.append(file)
        same = same_versions(files)
        tool_of_name = {file.name: file.tool for file in files}
        warnings = here.remarks + tuple(
            f"{' and '.join(alike)} share the version {version}: tools that key on it run only one of them"
            for version, alike in sorted(same.items())
            if tool_of_name[alike[0]] not in _BY_NAME
        )
        warnings += _unpadded(files)
        if not here.migrations and not here.strays:  # a slip in --dir must not look like a folder in which all is well
            if (refusal := programs.instead(self.path)) is not None:
                errors.append(MigrationFileError(str(self.path), refusal.problem, hint=refusal.hint))
            else:
                warnings = (f"{self.path} holds no file *.sql", *warnings)
        return FolderContents(files=tuple(in_order(files)), errors=tuple(errors), warnings=warnings, versions=same)


def _unpadded(files: Iterable[MigrationFile]) -> tuple[str, ...]:
    """A line where names put 10 before 2; pure."""
    named = sorted((file.name, file.version) for file in files if file.number is None and 0 < len(file.version) < 8)
    return tuple(
        f"{one} comes before {other}: they go by name, where 10 stands before 2. Put zeros before the shorter numbers"
        for (one, first), (other, second) in pairwise(named)
        if int(first) > int(second)
    )[:1]


def _numbers(here: Layout) -> Sequence[int]:
    """The version numbers of a folder, in order."""
    return sorted({int(digits.group()) for name in here.migrations if (digits := re.match(r"\d+", name))})


def _holds_sql(names: Iterable[str]) -> bool:
    return any(name.endswith(".sql") for name in names)


def _listing(path: str) -> list[str]:
    try:
        return [entry.name for entry in Path(path).iterdir()]
    except OSError:
        return []


def parse(text: str, *, name: str, path: str | None = None) -> MigrationFile:
    r"""Parse the text of one migration, in our own format or with another tool's marks; does not write.

    Parameters
    ----------
    text : str
        The file's text. A byte order mark is dropped, CRLF is read as LF.
    name : str
        The file's stem; must begin with digits.
    path : str, optional
        What errors call the file; by default ``name.sql``.

    Returns
    -------
    MigrationFile
        Not parsed yet: call `MigrationFile.validate`.

    Raises
    ------
    MigrationFileError
        When the text holds a NUL byte or the name is none for a migration; what else breaks the format is raised when
        it is asked for. Rollback SQL that is not valid is not an error here: it is kept in ``rollback.problem``.

    Examples
    --------
    >>> file = parse("CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n", name="001_t")
    >>> file.up_statements(), file.rollback.sql
    (('CREATE TABLE t ()',), 'DROP TABLE t;')
    >>> parse("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;", name="001_t").rollback.sql
    'DROP TABLE t;'
    """
    file = migration.parse(text, name=name, path=path)
    if (cut := cut_by(file.text)) is not None:
        return CutFile(name=file.name, path=file.path, text=file.text, written_for=cut)
    tool = tools.tool_of(file.text)
    return file if tool is None else MarkedFile(name=file.name, path=file.path, text=file.text, written_for=tool)


def in_order(files: Iterable[MigrationFile]) -> Sequence[MigrationFile]:
    """In the order in which their tool applies them: by number where it has them (2 before 10), else by name. Pure."""
    found = sorted(files, key=lambda file: file.name)
    if any(file.number is not None for file in found):
        found.sort(key=lambda file: file.number if file.number is not None else (int(file.version or "0"),))
    return found


def same_versions(files: Iterable[MigrationFile]) -> dict[str, list[str]]:
    """Version -> names, for versions that more than one migration has; pure."""
    by_version: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.version:
            by_version[file.version].append(file.name)
    return {version: sorted(found) for version, found in by_version.items() if len(found) > 1}


def find_folder(named: Path | str | None = None) -> MigrationFolder:
    """The folder that is named, else the one in ``MIGROLLBACK_DIR``, else a usual one. Reads only.

    Raises
    ------
    UsageError
        When there is none of them.
    """
    path = named or location.default_folder()
    if path is None:
        raise UsageError(
            "No folder of migrations was named",
            hint=(
                "Name it with --dir (dir=...) or MIGROLLBACK_DIR; supabase/migrations and migrations are found by"
                " themselves."
            ),
        )
    return MigrationFolder(path)
