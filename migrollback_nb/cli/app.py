"""The command line: `run` does one, shows its result and gives its exit status; `main` is the process."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TextIO

from migrollback_nb.cli.arguments import COMMON
from migrollback_nb.cli.command import Call, Command, common, given_timeouts
from migrollback_nb.cli.commands import COMMANDS, get_parser
from migrollback_nb.cli.paths import take_names
from migrollback_nb.cli.prose import lines, say
from migrollback_nb.core import results
from migrollback_nb.core.errors import (
    Interrupted,
    MigrationNotFound,
    MigrollbackError,
    Refused,
    RehearsalStopped,
    SqlFailed,
    UsageError,
)
from migrollback_nb.core.passwords import mask_passwords, mask_passwords_in
from migrollback_nb.core.selectors.near import one_of
from migrollback_nb.core.text import one_line, visible

if TYPE_CHECKING:
    from migrollback_nb.migrations import Migrations


def run(argv: Sequence[str], out: TextIO | None = None, err: TextIO | None = None, stdin: TextIO | None = None) -> int:
    """Run one command line. Writes what the command writes.

    Parameters
    ----------
    argv : sequence of str
        Without the program's name.
    out, err, stdin : TextIO, optional
        Where results and remarks go and where answers come from; by default the process's own.

    Returns
    -------
    int
        The exit status: 0 done, 1 failed, 2 usage, 3 refused by a safety rule.
    """
    out = out if out is not None else sys.stdout
    err = err if err is not None else sys.stderr
    stdin = stdin if stdin is not None else sys.stdin
    parsed = _parse(argv, out, err)
    if isinstance(parsed, int):
        return parsed
    try:
        command = COMMANDS[parsed.command]
        call = Call(args=parsed, connect=open_migrations, out=out, err=err, stdin=stdin, run=run)
        try:
            status = _perform(command, call)
        except (MigrollbackError, Interrupted) as error:
            out.flush()
            _print_error(error, call)
            status = error.exit_code
        out.flush()
    except KeyboardInterrupt:
        err.write("\n❌ Interrupted. What was running was cancelled on the server; what was committed before stays.\n")
        return 1
    except BrokenPipeError:
        _write_no_more()  # the reader has seen enough
        return 0
    except OSError as error:
        if error.filename is not None:
            err.write(f"❌ {visible(str(error.filename))}: {error.strerror}\n")
            return 1
        _write_no_more()
        err.write(
            f"❌ The output cannot be written: {error.strerror}\nWhat was asked for may be done all the same:"
            " migrollback history tells.\n"
        )
        return 1
    return status


def main() -> None:
    """Run the process's command line and exit; the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows question marks instead of a traceback
    _end_like_ctrl_c()
    status = run(sys.argv[1:])
    gc.freeze()  # to look for garbage in all that was loaded, as Python does at its end, takes as long as a rollback
    sys.exit(status)


def _end_like_ctrl_c() -> None:
    """Let what ends the process, or its terminal, be met as Ctrl-C is: cancelled on the server, and said what stays."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, signal.default_int_handler)


# -- what was typed ----------------------------------------------------------------------------------------------------


def _parse(argv: Sequence[str], out: TextIO, err: TextIO) -> argparse.Namespace | int:
    """What was typed, or the exit status where this has said what is wrong with it, or has printed the help."""
    if strange := [word for word in argv if any("\ud800" <= sign <= "\udfff" for sign in word)]:
        # Python keeps bytes that are no UTF-8 as lone surrogates, which no database can hold
        shown = strange[0].encode(errors="backslashreplace").decode()
        err.write(f"❌ {one_line(shown)} is not UTF-8\nSet the terminal to UTF-8, or write it in other words.\n")
        return UsageError.exit_code
    if not argv:
        out.write(get_parser().format_help())
        return UsageError.exit_code  # a script whose command is empty has done nothing
    place, command = find_command(argv)
    passed_on: list[str] = []
    if command == "lab" and argv[place + 1 : place + 2] not in (["-h"], ["--help"]):
        argv, passed_on = argv[: place + 1], list(argv[place + 1 :])  # argparse would take jupyter's options for ours
    argv, passed_on = split_off(argv, command) if command != "lab" else (argv, passed_on)
    try:
        with redirect_stdout(out):  # to which argparse prints its help
            args = get_parser(command).parse_args(argv)
    except UsageError as error:
        for part in f"❌ {visible(str(error))}".split("\n"):
            say(part, err)
        return error.exit_code
    except SystemExit as ended:  # the help was printed
        return ended.code if isinstance(ended.code, int) else 0
    args.passed_on = passed_on
    return args


def split_off(argv: Sequence[str], command: str | None) -> tuple[Sequence[str], list[str]]:
    """What is ours, and the command of another program that follows ``--``; pure."""
    if command is None or not COMMANDS[command].runs_another or "--" not in argv:
        return argv, []
    place = list(argv).index("--")
    return argv[:place], list(argv[place + 1 :])


def find_command(argv: Sequence[str]) -> tuple[int, str | None]:
    """Place and name of the command among the arguments; None for a name where there is none or it is unknown."""
    options = {name for option in COMMON for name in option.names}
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        if argv[place] in ("-h", "--help"):
            return place, None  # of all commands
        place += 2 if argv[place] in options else 1
    return place, argv[place] if place < len(argv) and argv[place] in COMMANDS else None


def open_migrations(args: argparse.Namespace, *, interface: str = "cli") -> Migrations:
    """Connect as the common options say; writes nothing."""
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.migrations import connect

    return connect(
        common(args, "dsn"),
        schema=common(args, "schema"),
        scope=common(args, "scope"),
        dir=common(args, "dir"),
        timeouts=Timeouts(**given_timeouts(args)),
        interface=interface,
    )


# -- what is done ------------------------------------------------------------------------------------------------------


def check_options(command: Command, args: argparse.Namespace) -> None:
    """Make sure that the common options fit the command; pure.

    Raises
    ------
    UsageError
        When one does not.
    """
    if command.by_itself and (given := [option.names[0] for option in COMMON if hasattr(args, option.destination)]):
        raise UsageError(
            f"{given[0]} is not for {command.name}",
            hint=f"Leave it out: {command.name} has a database and a folder of its own.",
        )
    form = common(args, "format")
    if form is not None and form not in command.formats:
        of = [name for name, one in COMMANDS.items() if form in one.formats]
        raise UsageError(f"--format {form} is for {one_of(of, 'and')} only", hint=f"Use {one_of(command.formats)}.")


def _perform(command: Command, call: Call) -> int:
    """Do what a parsed command says, show the result, and give the exit status. Writes what the command writes."""
    check_options(command, call.args)
    take_names(call.args, command.arguments)
    if call.speaks:
        call.out.write(mask_passwords(command.title(call.args)))
    call.out.flush()
    if command.by_itself:
        return int(command.run(call))
    with ExitStack() as call.closing:
        if command.needs_system(call.args):
            call.db.require_system()
        result = command.run(call)
    from migrollback_nb.cli.terminal import print_result

    print_result(result, call.form, call.out, call.err, show=command.show, said=call.said)
    return command.status(call, result)


def _print_error(error: MigrollbackError | Interrupted, call: Call) -> None:
    call.err.write(
        f"\n❌ Interrupted. {visible(error.message)}\n"
        if isinstance(error, Interrupted)
        else "".join(f"{line}\n" for part in f"❌ {visible(str(error))}".split("\n") for line in lines(part, call.err))
    )
    if call.form == "json":
        call.out.write(results.to_json(mask_passwords_in(_as_json(error, call.args))) + "\n")


def _as_json(error: MigrollbackError | Interrupted, args: argparse.Namespace) -> dict[str, Any]:
    if args.command in ("rollback", "converge"):
        name = getattr(error, "migration_name", None) or next(iter(getattr(args, "names", ())), None)
        body: dict[str, Any] = {
            "success": False,
            "message": error.message,
            "sql_executed": None,
            "migration_name": name,
        }
        if isinstance(error, Refused):
            body |= {"dependent_migrations": list(error.dependents)}
        if isinstance(error, Interrupted) or error.done:
            body |= {"rolled_back": list(error.done)}
    elif args.command == "check" and isinstance(error, MigrationNotFound):
        body = results.CheckResult(
            migration_name=error.name, can_rollback=False, reason="Migration not found"
        ).to_dict()
    else:
        body = {"error": type(error).__name__, "message": error.message, "hint": getattr(error, "hint", None)}
        if args.command == "apply":
            body |= {"migration_name": getattr(error, "migration_name", None), "applied": list(error.done)}
    if isinstance(error, MigrationNotFound):
        body |= {"similar": list(error.similar)}
    if isinstance(error, RehearsalStopped):
        body |= {"verdict": "not_rehearsed", "known_by": error.known_by, "stalled": error.stalled}
    if isinstance(error, SqlFailed):
        body |= {"sqlstate": error.sqlstate, "statement_number": error.statement_number}
    return body


def _write_no_more() -> None:
    """Without this Python complains once more when it exits."""
    with suppress(OSError, ValueError):  # tests have put something else in its place
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
