"""What a command is: its name, its arguments, what it does, how that is shown. The table of them is in `commands`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from migrollback_nb.cli.loading import load_meanwhile
from migrollback_nb.core.text import one_line

if TYPE_CHECKING:
    from migrollback_nb.core.results import RollbackProgress
    from migrollback_nb.database.progress import Progress, RollbackCallback
    from migrollback_nb.migrations import Migrations

#: What ``--format`` takes, unless a command takes more.
FORMATS = ("table", "json", "tsv")

#: What people come to do, in the order of the help: its title, and an example.
TASKS = {
    "know": ("Know, before anything changes", "migrollback rehearse 20250120_add_user_settings"),
    "do": ("Do", 'migrollback rollback 20250120_add_user_settings --reason "INC-42"'),
    "look back": ("Look back", "migrollback history --since 7d --status rolled_back"),
    "many": ("Many databases at once", "migrollback fleet status --targets targets.toml"),
    "set up": ("Set up", "migrollback install --dsn postgresql://user@host/database"),
}


class Argument(NamedTuple):
    """A positional argument or an option."""

    names: tuple[str, ...]  #: as argparse takes them: ``name``, or ``--option``
    settings: Mapping[str, Any]  #: as argparse takes them: help, metavar, choices, default ...
    migration: bool = False  #: whether it names migrations
    either: str | None = None  #: arguments with the same word here exclude each other

    @property
    def is_option(self) -> bool:
        """Whether it begins with dashes."""
        return self.names[0].startswith("-")

    @property
    def destination(self) -> str:
        """Its attribute of what is parsed."""
        return str(self.settings.get("dest") or self.names[0].lstrip("-").replace("-", "_"))

    @property
    def required(self) -> bool:
        """Whether the command cannot do without it."""
        return bool(self.settings.get("required", not self.is_option and "nargs" not in self.settings))

    @property
    def value(self) -> str:
        """What stands for its value."""
        choices = self.settings.get("choices")
        shown = self.settings.get("metavar") or ("{" + ",".join(choices) + "}" if choices else self.destination)
        return shown if isinstance(shown, str) else " ".join(shown)

    def to_dict(self) -> dict[str, Any]:
        """What a reference says of it; its keys are those of `describe_commands`."""
        settings = self.settings
        default = settings.get("default")
        return {
            "names": self.names,
            "metavar": settings.get("metavar"),
            "help": settings["help"],
            "choices": settings.get("choices"),
            "default": None if default in (None, argparse.SUPPRESS, [], False) else default,
            "required": self.required,
            "repeatable": settings.get("action") == "append" or settings.get("nargs") == "*",
            "takes_migrations": self.migration,
        }


class Command(NamedTuple):
    """One command, for the terminal and for %migrollback."""

    name: str  #: as it is typed
    help: str  #: what it does, in one line
    task: str  #: which of `TASKS` it belongs to
    example: str  #: a line that calls it
    run: Callable[[Call], Any]  #: does it, and returns what the public method returns, or rows for a terminal
    more: str = ""  #: what is to be known besides: in its own help, not in the list of commands
    arguments: tuple[Argument, ...] = ()  #: its own, besides the common options
    title: Callable[[argparse.Namespace], str] = lambda _: ""  #: what a terminal shows before it begins
    show: Callable[[Any, TextIO, TextIO], None] | None = None  #: shows the result; None: as its type is always shown
    status: Callable[[Call, Any], int] = lambda *_: 0  #: exit status, by the result; says why where that is not shown
    needs_system: Callable[[argparse.Namespace], bool] = lambda _: (
        False
    )  #: whether the rollback system must be there, and of this version, before it begins
    formats: tuple[str, ...] = FORMATS  #: what --format may be
    runs_another: bool = False  #: whether the command of another program may follow ``--``
    by_itself: bool = False  #: has a database and a folder of its own, and runs in a terminal only

    @property
    def options(self) -> tuple[str, ...]:
        """The names of its own options."""
        return tuple(name for argument in self.arguments if argument.is_option for name in argument.names)

    @property
    def takes_migrations(self) -> bool:
        """Whether it takes names of migrations, besides those in selectors."""
        return any(argument.migration and not argument.is_option for argument in self.arguments)

    def to_dict(self) -> dict[str, Any]:
        """What a reference says of it; its keys are those of `describe_commands`."""
        return {
            "name": self.name,
            "help": self.help,
            "more": self.more,
            "task": self.task,
            "example": self.example,
            "arguments": [argument.to_dict() for argument in self.arguments],
            "formats": self.formats,
            "common_options": not self.by_itself,
            "runs_another": self.runs_another,
        }


@dataclass(kw_only=True)
class Call:
    """One call of a command: what was given, where it comes from and goes to, and the database once it is asked for.

    Parameters
    ----------
    connect : callable
        Opens the database that the options name; called once, and only by a command that asks for it.
    terminal : bool
        True: questions may be asked and progress shown, and rows are wanted. False: objects for a notebook are.
    """

    args: argparse.Namespace
    connect: Callable[[argparse.Namespace], Migrations]
    terminal: bool = True
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    closing: ExitStack | None = None  #: closes the database; None: it stays open
    run: Callable[[Sequence[str], TextIO, TextIO], int] | None = None  #: runs another command line; for the demo
    said: set[str] = field(default_factory=set)  #: warnings that were printed before the result

    @cached_property
    def db(self) -> Migrations:
        """The database; connects when it is asked for first."""
        load_meanwhile(self.args.command)
        db = self.connect(self.args)
        return db if self.closing is None else self.closing.enter_context(db)

    @property
    def form(self) -> str:
        """The value of ``--format``."""
        return str(getattr(self.args, "format", "table"))

    @property
    def speaks(self) -> bool:
        """Whether words for people may stand on standard output."""
        return self.terminal and self.form == "table"

    @contextmanager
    def bar(self) -> Iterator[Progress | None]:
        """A bar over migrations on standard error where that is a terminal, and what moves it."""
        if not self.terminal:
            yield None
            return
        from tqdm import tqdm

        with tqdm(total=0, file=self.err, disable=not self.err.isatty(), leave=False, unit=" migrations") as bar:

            def progress(done: int, total: int, name: str) -> None:
                bar.total = total
                bar.n = done
                bar.set_description_str(one_line(name)[:40], refresh=True)

            yield progress

    @contextmanager
    def statement_bar(self) -> Iterator[RollbackCallback | None]:
        """A bar over statements on standard error where that is a terminal; elsewhere the database is not asked."""
        if not self.terminal or not self.err.isatty():
            yield None
            return
        from tqdm import tqdm

        form = "{bar:20} {elapsed} {desc}"
        with tqdm(total=1, file=self.err, leave=False, dynamic_ncols=True, bar_format=form) as bar:

            def progress(at: RollbackProgress) -> None:
                bar.n = at.fraction or 0
                bar.set_description_str(one_line(at.message)[:120], refresh=True)

            yield progress


def common(args: argparse.Namespace, name: str) -> str | None:
    """The value of a common option; None where it was not given, for it has no default."""
    return getattr(args, name, None)


def given_timeouts(args: argparse.Namespace) -> dict[str, Any]:
    """The timeouts that were given, for `Timeouts`; pure."""
    names = ("lock_timeout", "statement_timeout", "max_stall")
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}
