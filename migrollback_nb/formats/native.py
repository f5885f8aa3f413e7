"""The native layout, which is Supabase's too: one folder of ``<digits>_<name>.sql``. Reads files, writes none."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from migrollback_nb import migration_file
from migrollback_nb.errors import MigrationFileError, MigrationNotFound, UsageError
from migrollback_nb.migration_file import MigrationFile


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContents:
    """What a folder holds: good files, bad files, remarks."""

    files: tuple[MigrationFile, ...]  #: in order of name
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
        self.path = Path(path)
        try:
            found = self.path.is_dir()
        except OSError as error:
            raise self._unreadable(error) from error
        if not found:
            raise UsageError(f"{self.path} is not a folder", hint="Name the folder of migrations with --dir or MIGROLLBACK_DIR.")

    def names(self) -> list[str]:
        """Names of all files ``*.sql`` in it, in order."""
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name.removesuffix(".sql") for entry in entries if entry.name.endswith(".sql") and not entry.name.startswith("."))
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> UsageError:
        return UsageError(f"{self.path} cannot be read: {error.strerror}", hint="Name a folder that you may read with --dir or MIGROLLBACK_DIR.")

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
        name = name.removesuffix(".sql")
        path = self.path / f"{name}.sql"
        if "/" in name or "\0" in name or not os.path.lexists(path):
            from difflib import get_close_matches

            raise MigrationNotFound(name, similar=tuple(get_close_matches(name, self.names(), n=3)), where=f"is in {self.path}")
        file = migration_file.read(path)
        file.validate()
        return file

    def read_all(self, *, unchanged: dict[str, str | None] | None = None) -> FolderContents:
        """Read every migration; writes nothing. A bad file becomes an error in the result and stops no other.

        Parameters
        ----------
        unchanged : dict of str to str or None, optional
            Name -> checksum of migrations that need no parsing when their checksum is still the same.
        """
        known = unchanged or {}
        files: list[MigrationFile] = []
        errors: list[MigrationFileError] = []
        names = self.names()
        for name in names:
            try:
                file = migration_file.read(self.path / f"{name}.sql")
                if known.get(name) != file.checksum:
                    file.validate()
            except MigrationFileError as error:
                errors.append(error)
            else:
                files.append(file)
        same = same_versions(file.name for file in files)
        warnings = tuple(
            f"{' and '.join(alike)} share the version {version}: tools that key on it run only one of them" for version, alike in sorted(same.items())
        )
        if not names:  # a slip in --dir must not look like a folder in which all is well
            warnings = (f"{self.path} holds no file *.sql",)
        return FolderContents(files=tuple(files), errors=tuple(errors), warnings=warnings, versions=same)


def same_versions(names: Iterable[str]) -> dict[str, list[str]]:
    """Version -> names, for versions that more than one name begins with; pure."""
    by_version: dict[str, list[str]] = defaultdict(list)
    for name in names:
        digits = len(name) - len(name.lstrip("0123456789"))
        by_version[name[:digits]].append(name)
    return {version: sorted(found) for version, found in by_version.items() if len(found) > 1}
