"""The parser of the command line: made of the table of commands, with help by task and errors that suggest. Pure."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from migrollback_nb.cli.arguments import COMMON
from migrollback_nb.cli.command import TASKS, Argument, Command
from migrollback_nb.cli.completion import SHELLS
from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.selectors.near import close_to, near, one_of
from migrollback_nb.core.version import __version__

EPILOG = """\
exit status: 0 done, or nothing to do; 1 failed; 2 wrong usage; 3 refused by a safety rule, nothing was changed.
Results go to standard output, remarks to standard error. All times are UTC: 2025-01-20 14:30:05 UTC for people, ISO
8601 in json and tsv. Tables fit the terminal; in a pipe each row is one line. NO_COLOR turns colours off.

The database is named by --dsn, else by the first of MIGROLLBACK_DSN, DATABASE_URL, SUPABASE_DB_URL, PGSERVICE, PGHOST
... that is set.

A database is production when install --production has marked it, or when MIGROLLBACK_PRODUCTION matches its host, its
database or host:port/database (patterns as *.prod.example.com, shop_live, separated by commas). There a rollback needs
a reason, and a person types its name.
"""

#: How wide help gets.
_WIDEST = 100
#: What other tools call what is meant.
_OTHER_WORDS = {
    "undo": "rollback",
    "revert": "rollback",
    "down": "rollback",
    "up": "apply",
    "migrate": "apply",
    "status": "list",
    "ls": "list",
    "log": "events",
    "audit": "events",
    "init": "install",
    "setup": "install",
    "upgrade": "install",
    "dry-run": "rollback",
    "dependencies": "deps",
    "jupyter": "lab",
}


class Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, up to 100 characters, and broken between words only."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=_width())

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrapped(text, width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("Example:"):  # a line that is typed is not broken
            return text
        parts = (_wrapped(" ".join(part.split()), width - len(indent)) for part in text.strip().split("\n\n"))
        return "\n\n".join("\n".join(indent + line for line in lines) for lines in parts)


class _Print(argparse.Action):
    """Prints what a shell completes, and ends, as ``--version`` does."""

    def __call__(self, parser: Any, _namespace: Any, values: Any, _option: str | None = None) -> None:
        from migrollback_nb.cli import completion

        if self.dest == "complete_names":
            lines = completion.names(values)
        else:
            lines = [completion.script(parser, parser.known(), values)]
        for line in lines:
            print(line)
        parser.exit()


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors are ours: what is wrong, and what was perhaps meant.

    Parameters
    ----------
    command : Command, optional
        Whose arguments it takes; None: the commands themselves.
    known : callable, optional
        Gives all commands there are, name -> command, for what to suggest.
    """

    def __init__(
        self, *, command: Command | None = None, known: Callable[[], Mapping[str, Command]] = dict, **settings: Any
    ) -> None:
        super().__init__(formatter_class=Help, **settings)
        self._command = command
        self.known = known
        self._positionals.title = "arguments"

    def parse_known_args(  # type: ignore[override]  # typeshed has overloads for the type of the namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does; an option that is not known is an error before what is missing becomes one."""
        for word in args or ():
            if word in ("--", "--complete-names") or (self._command is None and not word.startswith("-")):
                break
            if self._is_unknown(word):
                raise UsageError(f"{self._subject} has no option {word.partition('=')[0]}", hint=self._instead_of(word))
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, or raise a UsageError that says what was perhaps meant."""
        parsed, left = self.parse_known_args(args, namespace)
        if left:
            command = self.known().get(getattr(parsed, "command", ""))
            takes = "no argument" if command is not None and not _placed(command.arguments) else "no more arguments"
            raise UsageError(
                f"{'migrollback' if command is None else command.name} takes {takes}, and {left[0]} is left over",
                hint=f"Quote what holds blanks. {self._help_of(command)}",
            )
        return parsed

    def error(self, message: str) -> NoReturn:
        """What argparse finds wrong, in our words."""
        hint = self._help_of(self._command)
        if missing := re.fullmatch(r"the following arguments are required: (.+)", message):
            what = one_of(missing[1].split(", "), "and")
            if self._command is None:
                raise UsageError("No command is given", hint=hint)
            raise UsageError(f"{self._subject} needs {what}", hint=f"{self._example()}{hint}")
        if found := re.fullmatch(r"argument ([^:]+): (.+)", message, re.DOTALL):
            name, what = found[1], found[2]
            if what in ("expected one argument", "expected at least one argument"):
                raise UsageError(f"{name} needs a value", hint=self._about(name) or hint)
            if count := re.fullmatch(r"expected (\d+) arguments", what):
                raise UsageError(f"{name} needs {count[1]} values", hint=self._about(name) or hint)
            if number := re.fullmatch(r"invalid int value: (.+)", what, re.DOTALL):
                raise UsageError(f"{name} is {number[1]}, which is no number", hint=self._about(name) or hint)
            if other := re.fullmatch(r"not allowed with argument (.+)", what):
                raise UsageError(f"{name} and {other[1]} exclude each other", hint="Give one of them.")
        raise UsageError(message[0].upper() + message[1:], hint=hint)

    def format_help(self) -> str:
        """Of a command as argparse has it; of all of them by task, with an example each."""
        return super().format_help() if self._command is not None else self._by_task(_width())

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        if action.dest == "command":
            other = _OTHER_WORDS.get(value)
            hint = f"Did you mean {other}?" if other is not None else close_to(value, self.known())
            raise UsageError(
                f"There is no command {value}", hint=" ".join(filter(None, (hint, self._help_of(None, all_of=True))))
            )
        name = "/".join(action.option_strings) or str(action.metavar or action.dest)
        choices = [str(choice) for choice in action.choices]
        hint = close_to(str(value), choices)
        raise UsageError(
            f"{name} cannot be {value}", hint=" ".join(filter(None, (hint, f"It takes {one_of(choices)}.")))
        )

    # -- what to suggest -----------------------------------------------------------------------------------------------

    @property
    def _subject(self) -> str:
        return "migrollback" if self._command is None else self._command.name

    def _is_unknown(self, word: str) -> bool:
        """Whether a word is an option, and none of ours; argparse takes one that holds a blank for a value."""
        if not re.match(r"--?[A-Za-z]", word) or " " in word:
            return False
        name = word.partition("=")[0]
        known = self._option_string_actions
        if name in known or any(name.startswith("--") and option.startswith(name) for option in known):
            return False
        return not (not word.startswith("--") and word[:2] in known)  # -oFILE

    def _instead_of(self, word: str) -> str:
        name = word.partition("=")[0]
        options = [option for option in self._option_string_actions if option.startswith("--")]
        if self._command is None:
            options += [option for command in self.known().values() for option in command.options]
        of = [command.name for command in self.known().values() if name in command.options]
        if of and self._command is None:
            return f"It is an option of {one_of(of, 'and')}, and stands after the command."
        meant = near(name, options, most=1) if name.startswith("--") else ()
        said = f"It is an option of {one_of(of, 'and')}. " if of else f"Did you mean {meant[0]}? " if meant else ""
        return f"{said}{self._help_of(self._command)}"

    def _help_of(self, command: Command | None, *, all_of: bool = False) -> str:
        if command is None:
            return f"migrollback --help shows {'all commands' if all_of else 'the commands'}."
        return f"migrollback {command.name} --help shows what it takes."

    def _example(self) -> str:
        return f"For example: {self._command.example}\n" if self._command is not None else ""

    def _about(self, name: str) -> str | None:
        for option in name.split("/"):
            if (action := self._option_string_actions.get(option)) is not None and action.help:
                return f"{option}{'' if not isinstance(action.metavar, str) else f' {action.metavar}'}: {action.help}"
        return None

    # -- help ----------------------------------------------------------------------------------------------------------

    def _by_task(self, width: int) -> str:
        lines = ["usage: migrollback COMMAND [OPTIONS]", "", *_wrapped(self.description or "", width), ""]
        commands = self.known().values()
        column = max(len(command.name) for command in commands) + 4
        for task, (title, example) in TASKS.items():
            lines.append(f"{title}:")
            for command in commands:
                if command.task == task:
                    first, *more = _wrapped(command.help, width - column)
                    lines += [f"  {command.name:<{column - 2}}{first}", *(" " * column + line for line in more)]
            lines += [f"  Example: {example}", ""]
        formatter = Help(self.prog)
        for group in self._action_groups:
            if group.title != "arguments":
                formatter.start_section(group.title)
                formatter.add_arguments(group._group_actions)  # noqa: SLF001  # as argparse's own format_help
                formatter.end_section()
        lines.append(formatter.format_help())
        lines += ["migrollback COMMAND --help shows what a command takes.", ""]
        for part in EPILOG.strip().split("\n\n"):
            lines += [*_wrapped(" ".join(part.split()), width), ""]
        return "\n".join(lines)


def build_parser(commands: Iterable[Command], known: Callable[[], Mapping[str, Command]]) -> Parser:
    """Make the parser of some commands; reads nothing and writes nothing.

    Parameters
    ----------
    commands : iterable of Command
        Those that it parses.
    known : callable
        Gives all there are, name -> command: for help, and for what to suggest.
    """
    parser = Parser(
        prog="migrollback", description="Roll back PostgreSQL migrations safely.", epilog=EPILOG, known=known
    )
    parser.add_argument("--version", action="version", version=f"migrollback {__version__}", help="show the version")
    parser.add_argument(
        "--print-completion",
        action=_Print,
        choices=SHELLS,
        metavar="SHELL",
        help=f"print what completes commands, options and names of migrations in a shell: {one_of(SHELLS)}",
    )
    parser.add_argument("--complete-names", action=_Print, nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    _add_common(parser, None)
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in commands:
        made = parsers.add_parser(
            command.name,
            command=command,
            known=known,
            help=command.help.replace("%", "%%"),  # by which shtab knows it
            usage=_usage(command),
            description=f"{command.help[0].upper()}{command.help[1:]}.{f' {command.more}' if command.more else ''}",
            epilog=f"Example:\n  {command.example}",
        )
        _add(made, command.arguments)
        if not command.by_itself:
            _add_common(made, command.formats)
    return parser


def _usage(command: Command) -> str:
    words = [f"migrollback {command.name}"]
    for argument in command.arguments:
        if argument.is_option and argument.settings.get("required"):
            words.append(f"{argument.names[0]} {argument.value}")
        elif not argument.is_option:
            many = " ..." if argument.settings.get("nargs") == "*" else ""
            words.append(f"{argument.value}{many}" if argument.required else f"[{argument.value}{many}]")
    words.append("[JUPYTER'S OPTIONS]" if command.name == "lab" else "" if command.by_itself else "[OPTIONS]")
    lines = textwrap.wrap(" ".join(filter(None, words)), _width() - len("usage: "), break_on_hyphens=False)
    return "\n         ".join(lines).replace("%", "%%")


def _placed(arguments: Iterable[Argument]) -> bool:
    """Whether some of them are no options."""
    return any(not argument.is_option for argument in arguments)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]


def _width() -> int:
    return min(shutil.get_terminal_size().columns, _WIDEST) - 2


def _add_common(parser: argparse.ArgumentParser, formats: tuple[str, ...] | None) -> None:
    group = parser.add_argument_group("common options, before or after the command")
    for option in COMMON:
        own: dict[str, Any] = {"choices": formats, "metavar": None, "help": "how results are printed (default table)"}
        group.add_argument(
            *option.names, **{**option.settings, **(own if formats and option.names[0] == "--format" else {})}
        )


def _add(made: Any, arguments: Sequence[Argument]) -> None:  # argparse has no public name for what holds arguments
    groups: dict[str, Any] = {}
    for one in arguments:
        to = made
        if one.either is not None:
            if one.either not in groups:
                groups[one.either] = made.add_mutually_exclusive_group()
            to = groups[one.either]
        to.add_argument(*one.names, **one.settings)
