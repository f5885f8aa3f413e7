"""The .sql files of the rollback system, in the order in which they run. Reads files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

#: The migration as which the system stands in its own history.
SYSTEM_NAME = "20250120_migration_rollback_system"
DESCRIPTION = "the rules for rolling migrations back: history, dependencies, audit log, gate"


class SystemFile(NamedTuple):
    """One file, with ``migrollback_schema`` for the schema."""

    path: str  #: in the folder sql/
    text: str
    whole: str | None = None  #: checksum of the file that it is a part of

    @property
    def checksum(self) -> str:
        """SHA-256 of its text, in hex."""
        return self.whole or hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def since(self) -> str:
        """The version that brought it: of a table file what its first line says, of a list of drops its name."""
        found = re.match(r"-- Version (\d+\.\d+\.\d+):", self.text)
        return found[1] if found else self.path.rpartition("/")[2].removesuffix(".sql")


@cache
def table_files() -> tuple[SystemFile, ...]:
    """Files that run once each, in order; writes nothing."""
    return tuple(_files("tables"))


@cache
def drop_files() -> tuple[SystemFile, ...]:
    """What each version took away, the oldest first; writes nothing."""
    return tuple(sorted(_files("drops"), key=lambda file: [int(part) for part in file.since.split(".")]))


@cache
def repeated_files() -> tuple[SystemFile, ...]:
    """Files that run again whenever one of them has changed, in order; writes nothing."""
    return (_file("comments.sql"), *_files("functions"), _file("triggers.sql"))


@cache
def take_over_files() -> tuple[SystemFile, ...]:
    """What takes the tables of the earlier tool over, in order: the last when all others have run; writes nothing."""
    return tuple(_files("take_over"))


def without_history_tables(file: SystemFile) -> str:
    """The statements of a table file but those that make the two tables and their indexes; writes nothing."""
    made = re.compile(
        r"(--[^\n]*\n|\s)*CREATE (TABLE|INDEX \w+ ON) migrollback_schema\.migration_(history|dependencies)\b"
    )
    return ";\n".join(part for part in file.text.split(";\n") if not made.match(part))


@cache
def table_names() -> tuple[str, ...]:
    """The tables that the table files create; writes nothing."""
    text = "".join(file.text for file in table_files())
    return tuple(re.findall(r"CREATE TABLE migrollback_schema\.(\w+)", text))


def relation_names() -> tuple[str, ...]:
    """Those, and what they are called where the rows of several scopes are in them; writes nothing."""
    return (*table_names(), *(f"{name}_of_scopes" for name in table_names()))


@cache
def install_template() -> str:
    """The statement that runs them all, with <<...>> for what is written into it; writes nothing."""
    return _file("install.sql").text


@cache
def uninstall_template() -> str:
    """The statements that drop the system, with one line for all functions, without comments; writes nothing."""
    return "".join(line for line in _file("uninstall.sql").text.splitlines(keepends=True) if not line.startswith("--"))


def system_text() -> str:
    """All that a fresh database is given, one file after the other; writes nothing."""
    return "\n".join(file.text for file in (*table_files(), *repeated_files()))


def _files(folder: str) -> Iterator[SystemFile]:
    found = [entry.name for entry in _root().joinpath(folder).iterdir() if entry.name.endswith(".sql")]
    return (_file(f"{folder}/{name}") for name in sorted(found))


def _file(path: str) -> SystemFile:
    return SystemFile(path, _root().joinpath(path).read_text(encoding="utf-8"))


@cache
def _root() -> Traversable:
    return resources.files("migrollback_nb.database.sql")
