"""The magics %migrollback and %%migrollback: the commands of the terminal, with objects for results. Tab completes."""

from __future__ import annotations

import io
import os
import re
import shlex
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.cli import app
from migrollback_nb.cli.arguments import COMMON
from migrollback_nb.cli.command import FORMATS, Call, common, given_timeouts
from migrollback_nb.cli.commands import COMMANDS, get_parser
from migrollback_nb.cli.paths import take_names
from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.core.selectors.methods import METHODS
from migrollback_nb.database.connection import LIBPQ_VARIABLES, find_dsn

if TYPE_CHECKING:
    import argparse

    from migrollback_nb.migrations import Migrations

#: What a mistyped option may show of a DSN, and must not: passwords stay out of outputs, which are saved.
_SECRET = re.compile(r"(://[^:/@\s]*:)\S+(?=@)|(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'\"&]+)", re.IGNORECASE)


def register_magics(ipython: Any) -> None:
    """Add %migrollback and %%migrollback to an IPython shell; writes nothing to a database.

    Parameters
    ----------
    ipython : InteractiveShell
        The shell, as ``%load_ext`` passes it.
    """
    magic = Magic()
    ipython.register_magic_function(magic, magic_kind="line", magic_name="migrollback")
    ipython.register_magic_function(magic.run_cell, magic_kind="cell", magic_name="migrollback")
    for key in ("%migrollback", "%%migrollback"):
        ipython.set_hook("complete_command", magic.complete, str_key=key)


class Magic:
    """One shell's %migrollback and %%migrollback, with their connection.

    The connection is kept between calls, and so are ``--dsn``, ``--schema`` and ``--dir``: an option that is left out
    stays as it was in the call before. Another one, or another environment, connects anew and says so.
    """

    def __init__(self) -> None:
        self._db: Migrations | None = None
        self._key: object = None
        self._options: dict[str, str] = {}
        self._known: list[str] = []

    def __call__(self, line: str) -> Any:
        """%migrollback COMMAND ...: the commands of `migrollback`, giving objects. Writes what the command writes.

        Nothing is asked. ``%migrollback --help`` shows the commands, ``%migrollback COMMAND --help`` the options of
        one.

        Examples
        --------
        ::

            %migrollback list                                            DataFrame
            %migrollback check NAME                                      CheckResult
            %migrollback rollback NAME --dry-run                         Preview
            %migrollback rollback NAME --confirm NAME --reason "..."     RollbackResult
            %migrollback history --since 7d                              DataFrame
            %migrollback deps                                            graph; with --format table a DataFrame

        Name the database by a variable or a service rather than by a DSN with a password: cells are saved.
        """
        args = _parse(line)
        if args is None:
            return None
        command = COMMANDS[args.command]
        form = common(args, "format")
        if form not in (None, "table") and form in FORMATS:
            raise UsageError(
                f"--format {form} is for the terminal: here each command returns an object",
                hint="DataFrames have to_json() and to_csv(), results to_dict().",
            )
        if command.by_itself:
            raise UsageError(
                f"{command.name} cannot be run here", hint=f"Run migrollback {command.name} in a terminal."
            )
        app.check_options(command, args)
        for name in ("dsn", "dir"):  # for commands that need no connection
            if name in self._options and not hasattr(args, name):
                setattr(args, name, self._options[name])
        take_names(args, command.arguments)
        call = Call(args=args, connect=self._connected, terminal=False)
        if command.needs_system(args):
            call.db.require_system()
        return command.run(call)

    def run_cell(self, line: str, cell: str) -> Any:
        """%%migrollback [OPTIONS]: a command on each line, one after the other. Writes what the commands write.

        Options of the first line count for each of them. Empty lines and lines that begin with # are passed over. Each
        result is displayed, and the last one is the value of the cell. The first error ends it: what came before it
        stays done.

        Examples
        --------
        ::

            %%migrollback
            check 20250120_add_user_settings
            rollback 20250120_add_user_settings --dry-run
        """
        commands = [text for raw in cell.splitlines() if (text := raw.strip()) and not text.startswith("#")]
        if not commands:
            raise UsageError(
                "There is no command in this cell",
                hint="Write one on each line: check NAME, rollback NAME --dry-run ...",
            )
        for command in commands:
            # all of them are read before the first runs: a slip in the last must not stop halfway
            _parse(f"{line} {command}", show_help=False)
        for command in commands[:-1]:
            result = self(f"{line} {command}")
            if result is not None:
                from IPython.display import display

                display(result)  # type: ignore[no-untyped-call]  # IPython's own
        return self(f"{line} {commands[-1]}")

    def complete(self, _: Any, event: Any) -> list[str]:
        """What Tab offers: commands, options, names of migrations. Does not connect and does not write."""
        text = getattr(event, "line", "")
        words = text.replace("%%migrollback", "", 1).replace("%migrollback", "", 1).split()
        # the word that is being written is no part of what is known
        before = words if text.endswith((" ", "\t")) else words[:-1]
        options = [name for option in COMMON for name in option.names]
        command = next((COMMANDS[word] for word in before if word in COMMANDS), None)
        if command is None:
            here = (name for name, one in COMMANDS.items() if not one.by_itself)
            return [*here, *options, "--help", "--version"]
        if before[-1] in ("--confirm", "--to", "--preview"):
            return [] if before[-1] == "--preview" else self._names()
        if before[-1] in ("--select", "--exclude"):
            return [*self._names(), *(f"{name}:" for name in METHODS)]
        named = any(one.migration and not one.names[0].startswith("-") for one in command.arguments)
        return [*(self._names() if named else []), *options, *command.options, "--help"]

    def _names(self) -> list[str]:
        """Names in the connected database, as known before where it is busy; without one, those of the folder."""
        database = self._db.database if self._db is not None else None
        # a rollback may run in a panel's thread: Tab must not wait for it
        if database is not None and not database.connection.closed and database.session.idle():
            with suppress(MigrollbackError):
                self._known = database.queries.names()
        if not self._known:
            from migrollback_nb.files.location import default_folder

            folder = self._options.get("dir") or default_folder()
            return sorted(file.stem for file in Path(folder).glob("*.sql")) if folder else []
        # what would have to be quoted, or changes how a line is read, is left to be typed
        return [name for name in self._known if shlex.quote(name) == name]

    def close(self) -> None:
        """Close the connection, if there is one; writes nothing."""
        if self._db is not None:
            self._db.close()
        self._db = self._key = None

    def _connected(self, args: argparse.Namespace) -> Migrations:
        """Give the connection that is meant; open it when it is not the one at hand."""
        from migrollback_nb.database.settings import Timeouts

        options = self._options | {
            name: getattr(args, name) for name in ("dsn", "schema", "scope", "dir") if hasattr(args, name)
        }
        for name, value in options.items():
            setattr(args, name, value)
        # where it leads, not how it was said: a variable may hold another DSN by now
        key = (
            find_dsn(options.get("dsn")),
            options,
            {
                name: os.environ.get(name)
                for name in (*LIBPQ_VARIABLES, "PGPORT", "PGUSER", "MIGROLLBACK_SCHEMA", "MIGROLLBACK_DIR")
            },
        )
        if self._db is None or key != self._key or self._db.database.connection.closed:
            self.close()
            self._db = app.open_migrations(args, interface="notebook")
            self._key = key
            print(f"Connected to {self._db.target}")
        # only of a connection that was had: a slip must not stay
        self._options = options
        self._db.database.session.timeouts = Timeouts(**given_timeouts(args))
        return self._db


def _parse(line: str, *, show_help: bool = True) -> argparse.Namespace | None:
    """Parse as the command line does; None when that was a call for help, which is printed then. Never exits."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%migrollback cannot be read: {str(error).lower()}", hint="Close what is quoted.") from None
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            _, command = app.find_command(words)
            ours, passed_on = app.split_off(words, command)
            args: argparse.Namespace = get_parser().parse_args(ours)
            args.passed_on = passed_on
            return args
    except SystemExit:
        if show_help:
            print(said.getvalue(), end="")
        return None
    except UsageError as error:
        hint = (error.hint or "").replace("migrollback ", "%migrollback ")
        raise UsageError(_SECRET.sub(r"\1\2***", error.message), hint=_SECRET.sub(r"\1\2***", hint)) from None
