"""Migrations in the order in which their tool applies them, and what their versions say of that. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from migrollback_nb.files.formats.layout import Layout
from migrollback_nb.files.migration import MigrationFile

#: Tools whose ledger knows a migration by its whole name: two may share their digits.
_BY_NAME = ("node-pg-migrate", "yoyo", "Prisma", "sql-migrate", "rambler", "Knex", "Django", "db-migrate")


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


def warnings_of(files: Sequence[MigrationFile], same: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What to say of versions that two have (`same_versions`), and of names that put 10 before 2; pure."""
    tool_of_name = {file.name: file.tool for file in files}
    for version, alike in sorted(same.items()):
        if tool_of_name[alike[0]] not in _BY_NAME:
            yield f"{' and '.join(alike)} share the version {version}: tools that key on it run only one of them"
    named = sorted((file.name, file.version) for file in files if file.number is None and 0 < len(file.version) < 8)
    for (one, first), (other, second) in pairwise(named):
        if int(first) > int(second):
            yield (
                f"{one} comes before {other}: they go by name, where 10 stands before 2. Put zeros before the shorter"
                " numbers"
            )
            return


def numbers(here: Layout) -> Sequence[int]:
    """The version numbers of a folder, in order."""
    return sorted({int(digits.group()) for name in here.migrations if (digits := re.match(r"\d+", name))})
