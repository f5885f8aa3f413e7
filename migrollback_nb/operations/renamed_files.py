"""What a folder's files and the history say of each other: which are new, which were renamed, which are gone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrollback_nb.operations.interrupts import some

if TYPE_CHECKING:
    from migrollback_nb.files.migration import MigrationFile


@dataclass(frozen=True, slots=True, kw_only=True)
class FileComparison:
    """How the files of a folder stand to what is registered."""

    new: tuple[MigrationFile, ...]  #: not registered, under this name or another
    renamed: dict[
        str, str
    ]  #: file's name -> name under which the same version and text is registered, which has no file any more
    unclear: dict[
        str, str
    ]  #: file's name -> registered name of the same version, which has no file any more and had another text
    deleted: tuple[str, ...]  #: applied, without a file

    def warnings(self, folder: object) -> tuple[str, ...]:
        """What a person should know of it, in words; `folder` as it is shown."""
        warnings = [
            f"{file} is {name} under another name (same version, same text): it is known as {name} here, and does not"
            f" run again. {name} is registered and has no file any more"
            for file, name in self.renamed.items()
        ]
        warnings += [
            f"{file} has the version of {name}, which is applied and has no file any more, and another text. If it is"
            f" {name}, renamed and changed, name it {name} again; if it is another migration, say so by its name:"
            f" migrollback apply {file}, or migrollback register {file}"
            for file, name in self.unclear.items()
        ]
        if self.deleted:
            warnings.append(f"Applied, but without a file in {folder} any more: {some(self.deleted)}")
        return tuple(warnings)


def compare(
    files: Sequence[MigrationFile], history: Mapping[str, Mapping[str, Any]], unread: Collection[str] = ()
) -> FileComparison:
    """Match the files of a folder with what is registered.

    Parameters
    ----------
    files : sequence of MigrationFile
        The good files of the folder.
    history : mapping
        Name -> (status, checksum, version, system) of what is registered, by `Database.queries.history_states`.
    unread : collection of str
        Names of files that are there and could not be read.

    Notes
    -----
    Tools that key on the number (dbmate, golang-migrate, Flyway, Supabase) take a renamed file for the same migration,
    and so do we: by version and text together, since a number alone may have been given twice.
    """
    present = {file.name for file in files} | set(unread)
    gone: dict[str, list[str]] = {}
    for name, row in history.items():
        if name not in present and not row["system"] and row["version"]:
            gone.setdefault(_number(row["version"]), []).append(name)
    new: list[MigrationFile] = []
    renamed: dict[str, str] = {}
    unclear: dict[str, str] = {}
    taken: set[str] = set()
    for file in files:
        if file.name in history:
            continue
        candidates = [name for name in gone.get(_number(file.version), ()) if name not in taken] if file.version else []
        same = [name for name in candidates if history[name]["checksum"] == file.checksum]
        applied = [name for name in candidates if history[name]["status"] != "rolled_back"]
        if same:
            renamed[file.name] = same[0]
            taken.add(same[0])
        elif applied:
            unclear[file.name] = applied[0]
        else:
            new.append(file)
    accounted = {*renamed.values(), *unclear.values()}
    deleted = sorted(
        name
        for name, row in history.items()
        if name not in present and not row["system"] and row["status"] != "rolled_back" and name not in accounted
    )
    return FileComparison(new=tuple(new), renamed=renamed, unclear=unclear, deleted=tuple(deleted))


def _number(version: str) -> str:
    """Versions as tools compare them: 2 and 0002 are one."""
    return version.lstrip("0") or "0"
