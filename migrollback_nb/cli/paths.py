"""Names of migrations as shells complete them: the path of a file means its migration, in its folder. Reads only."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from migrollback_nb.cli.command import Argument, common
from migrollback_nb.core.errors import UsageError
from migrollback_nb.files.location import default_folder, folder_path

#: A file that is a migration by itself, whatever lies beside it: `check` must not have to look into the folder.
_PLAIN = re.compile(r"\d[^.]*\.sql")


def take_names(args: argparse.Namespace, arguments: Iterable[Argument]) -> None:
    """Turn what names migrations into their names, and the folder of a path into ``--dir``. Changes `args` alone.

    Raises
    ------
    UsageError
        When a path leads into another folder than the one that is named.
    """
    for argument in arguments:
        given = getattr(args, argument.destination, None) if argument.migration else None
        if isinstance(given, str):
            setattr(args, argument.destination, _name_of(given, args))
        elif given:
            setattr(args, argument.destination, [_name_of(one, args) for one in given])
    if (rollbacks := common(args, "rollbacks")) is not None and (folder := common(args, "dir") or default_folder()):
        args.dir = folder_path(folder, rollbacks)


def _name_of(given: str, args: argparse.Namespace) -> str:
    found = migration_at(given)
    if found is None:
        return given.removesuffix(".sql")
    folder, name = found
    named = common(args, "dir") or os.environ.get("MIGROLLBACK_DIR")
    if named is None:
        args.dir = str(folder)
    elif Path(named).resolve() != folder.resolve():
        raise UsageError(
            f"{given} does not lie in {named}, the folder of migrations",
            hint="Name its folder with --dir, or give the migration's name alone.",
        )
    return name


def migration_at(text: str) -> tuple[Path, str] | None:
    """The folder and the migration that a path means: its file, a file that undoes it, its own folder. Reads only.

    None where the text is no path, or leads to no migration: it is taken for a name then.
    """
    if os.sep not in text:
        return None
    path = Path(text)
    if _PLAIN.fullmatch(path.name) and path.parent.is_dir():
        return path.parent, path.stem
    if not path.exists():
        return None
    from migrollback_nb.files.formats import MigrationFolder

    # a folder of its own for each migration, or Sqitch's
    inside = path.parent.name[:1].isdigit() or path.parent.name in ("deploy", "revert")
    for folder in (path.parent.parent, path.parent) if inside else (path.parent,):
        with suppress(UsageError):  # one that cannot be read holds none
            if (name := MigrationFolder(folder).migration_of(path.relative_to(folder))) is not None:
                return folder, name
    return None
