"""What a shell completes: its script, by shtab, and the names that it asks for at each Tab. Writes nothing."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from migrollback_nb.cli.command import Command
from migrollback_nb.core.errors import MigrollbackError

SHELLS = ("bash", "zsh", "fish")
#: What is typed goes with the question, because --dir or --dsn may stand in it.
_NAMES = {
    "bash": "_migrollback_names",
    "zsh": "_migrollback_names",
    "fish": "(migrollback --complete-names (commandline -opc)[2..] 2>/dev/null)",
}
_PREAMBLE = {
    "bash": """\
_migrollback_names() {
  compgen -W "$(migrollback --complete-names "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)" -- "$1"
}
""",
    "zsh": """\
_migrollback_names() {
  local -a names
  names=(${(f)"$(migrollback --complete-names ${words[2,CURRENT-1]} 2>/dev/null)"})
  compadd -a names
}
""",
}
#: Options whose value is a file or a folder.
_FILES = frozenset({"--output", "-o", "--junit", "--file", "--prelude", "--trail"})
_FOLDERS = frozenset({"--dir", "--into", "--to-files"})
#: So long a database is waited for, in seconds: a person has pressed Tab.
_PATIENCE = "2"


def script(parser: argparse.ArgumentParser, commands: Mapping[str, Command], shell: str) -> str:
    """The script that completes commands, options, their choices, files, and names of migrations, for a shell."""
    import shtab

    migrations = {
        (name, argument.destination)
        for name, command in commands.items()
        for argument in command.arguments
        if argument.migration
    }
    for name, made in _parsers(parser):
        for action in made._actions:  # noqa: SLF001  # argparse has no public name for them
            options = set(action.option_strings)
            complete: Any = (
                _NAMES
                if (name, action.dest) in migrations
                else shtab.FILE
                if options & _FILES
                else shtab.DIRECTORY
                if options & _FOLDERS
                else None
            )
            if complete is not None:
                action.complete = complete  # type: ignore[attr-defined]  # shtab's way to say it
    return str(shtab.complete(parser, shell, preamble=_PREAMBLE))  # type: ignore[arg-type]  # a text for each shell


def _parsers(parser: argparse.ArgumentParser) -> Iterable[tuple[str | None, argparse.ArgumentParser]]:
    yield None, parser
    for action in parser._actions:  # noqa: SLF001  # as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as above
            yield from action.choices.items()


#: Options that say where names are looked up.
_TYPED = ("--dir", "--dsn", "--schema", "--scope")


def names(words: Sequence[str]) -> list[str]:
    """Names of migrations for a command line as far as it is typed: of its folder, else of its database.

    The folder alone is looked into where there is one: no connection is made for a Tab then. Names that a shell would
    have to quote are left out.
    """
    typed = {name: value for name, value in pairwise(words) if name in _TYPED}
    typed |= dict(word.split("=", 1) for word in words if word.startswith(tuple(f"{name}=" for name in _TYPED)))
    found: Iterable[str] = ()
    with suppress(MigrollbackError, OSError):
        found = _of_folder(typed.get("--dir"))
    if not found:
        os.environ.setdefault("PGCONNECT_TIMEOUT", _PATIENCE)
        with suppress(MigrollbackError):
            found = _of_database(typed)
    return [name for name in found if shlex.quote(name) == name]


def _of_folder(given: str | None) -> list[str]:
    from migrollback_nb.files.formats import find_folder

    return list(find_folder(given).names())


def _of_database(typed: Mapping[str, str]) -> list[str]:
    from migrollback_nb.migrations import connect

    with connect(
        typed.get("--dsn"), schema=typed.get("--schema"), scope=typed.get("--scope"), dir=typed.get("--dir")
    ) as db:
        return db.database.queries.names()
