"""A folder of migrations, in our own format (Supabase's too) or another tool's -> MigrationFiles. Reads only."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

from migrollback_nb.core.errors import MigrationFileError, MigrationNotFound, UsageError
from migrollback_nb.core.selectors.near import near
from migrollback_nb.files import location
from migrollback_nb.files.formats import programs, recognize
from migrollback_nb.files.formats.layout import Found, Layout
from migrollback_nb.files.formats.order import in_order, numbers, same_versions, warnings_of
from migrollback_nb.files.formats.parts import check, read_found
from migrollback_nb.files.migration import MigrationFile

#: Tools whose ledger holds nothing but the newest version, or that look at nothing else in it.
_NEWEST_ONLY = ("golang-migrate", "tern", "postgrator")
#: What may be a header with tags, for a look before parsing.
_TAGS = re.compile(rb"--[ \t]*tags[ \t]*:", re.IGNORECASE)


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

    @property
    def rollbacks(self) -> Path:
        """Where the SQL lies that undoes migrations that are programs: the folder that was named for it, or this."""
        return Path(getattr(self.path, "rollbacks", None) or self.path).absolute()  # not below the folder

    def _layout(self) -> Layout:
        try:
            return recognize.look(self.path, self.rollbacks)
        except OSError as error:
            raise self._unreadable(error) from error

    @cached_property
    def _deployed_by(self) -> str | None:
        """The tool that deploys this folder, where its files do not say: Supabase's own."""
        return "supabase" if self.path.resolve().parts[-2:] == ("supabase", "migrations") else None

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
        numbers_here = cache(lambda: numbers(here))
        files = {}
        for name in dict.fromkeys(name.removesuffix(".sql") for name in names):
            if f"{name}.sql" in here.strays:
                raise self._stray(f"{name}.sql", here)
            if name not in here.migrations:
                raise self.not_found(name, here.migrations)
            files[name] = self._read(name, here.migrations[name], numbers_here)
            check(files[name], here.migrations[name])
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

    def _read(self, name: str, found: Found, numbers_here: Callable[[], Sequence[int]]) -> MigrationFile:
        file = self._read_parts(name, found)
        if file.tool not in _NEWEST_ONLY or file.number is None:
            return file
        known = numbers_here()
        place = bisect_left(known, file.number[0])
        return replace(file, previous_version=str(known[place - 1]) if place else "")

    def _read_parts(self, name: str, found: Found) -> MigrationFile:
        return read_found(self.path, name, found, deployed_by=self._deployed_by)

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
        numbers_here = cache(lambda: numbers(here))  # few tools need them
        errors = [self._stray(path, here) for path in here.strays]
        for name, found in here.migrations.items():
            try:
                file = self._read(name, found, numbers_here)
                if known.get(name) != file.checksum:
                    check(file, found)
            except MigrationFileError as error:
                error.migration_name = name
                errors.append(error)
            else:
                files.append(file)
        same = same_versions(files)
        warnings = (*here.remarks, *warnings_of(files, same))
        if not here.migrations and not here.strays:  # a slip in --dir must not look like a folder in which all is well
            if (refusal := programs.instead(self.path)) is not None:
                errors.append(MigrationFileError(str(self.path), refusal.problem, hint=refusal.hint))
            else:
                warnings = (f"{self.path} holds no file *.sql", *warnings)
        return FolderContents(files=tuple(in_order(files)), errors=tuple(errors), warnings=warnings, versions=same)


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
