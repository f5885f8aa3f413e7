"""The magic %migrollback: the command line's own parser in, the objects of the public methods out."""

from __future__ import annotations

import io
import os
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

from migrollback_nb import cli
from migrollback_nb.connection import LIBPQ_VARIABLES, find_dsn
from migrollback_nb.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from migrollback_nb.migrations import Migrations

#: What a mistyped option may show of a DSN, and must not: passwords stay out of outputs, which are saved.
_SECRET = re.compile(r"(://[^:/@\s]*:)\S+(?=@)|(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'\"&]+)", re.IGNORECASE)
_IN_A_TERMINAL = ("demo", "lab")


def register_magics(ipython: Any) -> None:
    """Add %migrollback to an IPython shell; writes nothing to a database.

    Parameters
    ----------
    ipython : InteractiveShell
        The shell, as ``%load_ext`` passes it.
    """
    ipython.register_magic_function(Magic(), magic_kind="line", magic_name="migrollback")


class Magic:
    """One shell's %migrollback, with its connection.

    The connection is kept between calls, and so are ``--dsn``, ``--schema`` and ``--dir``: an option that is left out stays as it was in the call
    before. Another one, or another environment, connects anew and says so.
    """

    def __init__(self) -> None:
        self._db: Migrations | None = None
        self._key: object = None
        self._options: dict[str, str] = {}

    def __call__(self, line: str) -> Any:
        """%migrollback COMMAND ...: the commands of `migrollback`, returning objects. Writes what the command writes; asks nothing.

        ``%migrollback --help`` shows the commands, ``%migrollback COMMAND --help`` the options of one.

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
        form = getattr(args, "format", None)
        if form not in (None, "table") and not (args.command == "deps" and form in ("dot", "svg")):
            raise UsageError(
                f"--format {form} is for the terminal: here each command returns an object", hint="DataFrames have to_json() and to_csv(), results to_dict()."
            )
        if args.command in _IN_A_TERMINAL:
            raise UsageError(f"{args.command} cannot be run here", hint=f"Run migrollback {args.command} in a terminal.")
        if args.command == "install" and args.print_sql:
            raise UsageError("install --print is for the terminal", hint="Leave --print out to install here.")
        if args.command == "verify":  # needs no connection
            from migrollback_nb.proof import prove_folder

            return prove_folder(getattr(args, "dir", self._options.get("dir")), args.names, on=args.on, own_server=args.own_server)
        db = self._connected(args)
        if args.command == "deps" and form is not None:
            return _dependencies(args, db, form)
        return cli.perform(args, db)

    def close(self) -> None:
        """Close the connection, if there is one; writes nothing."""
        if self._db is not None:
            self._db.close()
        self._db = self._key = None

    def _connected(self, args: argparse.Namespace) -> Migrations:
        """Give the connection that is meant; open it when it is not the one at hand."""
        from migrollback_nb.session import Limits

        options = self._options | {name: getattr(args, name) for name in ("dsn", "schema", "dir") if hasattr(args, name)}
        for name, value in options.items():
            setattr(args, name, value)
        # where it leads, not how it was said: a variable may hold another DSN by now
        key = (
            find_dsn(options.get("dsn")),
            options,
            {name: os.environ.get(name) for name in (*LIBPQ_VARIABLES, "PGPORT", "PGUSER", "MIGROLLBACK_SCHEMA", "MIGROLLBACK_DIR")},
        )
        if self._db is None or key != self._key or self._db.database.connection.closed:
            self.close()
            self._db = cli.open_migrations(args, interface="notebook")
            self._key = key
            print(f"Connected to {self._db.target}")
        # only of a connection that was had: a slip must not stay
        self._options = options
        given = {name: value for name in ("lock_timeout", "statement_timeout") if (value := getattr(args, name, None)) is not None}
        self._db.database.limits = Limits(**given)
        return self._db


def _parse(line: str) -> argparse.Namespace | None:
    """Parse as the command line does; None when that was a call for help, which is printed then. Never exits."""
    said, complained = io.StringIO(), io.StringIO()
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%migrollback cannot be read: {str(error).lower()}", hint="Close what is quoted.") from None
    try:
        with redirect_stdout(said), redirect_stderr(complained):
            return cli.get_parser().parse_args(words)
    except SystemExit as ended:
        if not ended.code:
            print(said.getvalue(), end="")
            return None
    usage, _, problem = complained.getvalue().strip().partition("error: ")
    raise UsageError(_SECRET.sub(r"\1\2***", problem or usage), hint="%migrollback --help shows the commands.") from None


def _dependencies(args: argparse.Namespace, db: Migrations, form: str) -> Any:
    """Give the dependencies in the form that was asked for: dot, svg or a table."""
    from migrollback_nb import graphs

    if form == "table":
        focus = None if args.name is None else db.check(args.name).migration_name
        _, edges = graphs.select(db.database.history(), db.database.dependencies(), focus=focus, depth=args.depth, hide_rolled_back=args.hide_rolled_back)
        rows = db.dependencies()
        shown = set(edges)
        return rows[[pair in shown for pair in zip(rows["migration_name"], rows["depends_on"], strict=True)]].reset_index(drop=True)
    graph = db.graph(args.name, depth=args.depth, hide_rolled_back=args.hide_rolled_back)
    if form == "dot":
        return graph.source
    if graphs.find_dot() is None:
        raise UsageError("There is no dot to draw with", hint='Install Graphviz, or pip install "migrollback-nb[lab]", which brings one.')
    return graphs.svg(graph)
