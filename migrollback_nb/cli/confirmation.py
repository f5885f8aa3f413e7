"""The question before a rollback in a terminal: where, what, known effects, and the answer. Writes to no database."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from migrollback_nb.cli.colours import paint, wants_colours
from migrollback_nb.cli.prose import say_all
from migrollback_nb.cli.tables import RULE
from migrollback_nb.cli.terminal import show_ledgers, show_order
from migrollback_nb.core.errors import ConfirmationRequired, Interrupted, Refused
from migrollback_nb.core.production import is_production
from migrollback_nb.core.results import NothingToRollBack
from migrollback_nb.core.text import one_line, visible
from migrollback_nb.operations.rollback import require_accepted_loss

if TYPE_CHECKING:
    from migrollback_nb.cli.command import Call
    from migrollback_nb.core.results import Preview, Target

#: To the letter as specified.
QUESTION = "⚠️  Are you sure you want to rollback this migration? (yes/no): "
#: How often an empty reason is asked for again.
_TRIES = 3


def confirm(call: Call, meant: dict[str, Any]) -> NothingToRollBack | None:
    """Show what a rollback would run, and have it confirmed, by an option, a variable or a person. Does not write.

    `meant` is what is to be rolled back, as `Migrations.preview` takes it. What confirms it, the reason and the
    fingerprint of what was shown go into the arguments of the call. Returns what there is to say where there is nothing
    to roll back.

    Raises
    ------
    ConfirmationRequired, Refused
        When it is not confirmed.
    """
    args, db, err, stdin = call.args, call.db, call.err, call.stdin
    preview = db.preview(**meant, each=args.each, attempt_id=args.attempt)
    if isinstance(preview, NothingToRollBack):
        return preview
    # a question among JSON could neither be seen through a pipe nor be read by a program
    asked = call.out if call.speaks else err
    production = is_production(preview.target)
    if args.confirm is None and confirmed_by_variable(preview.confirm):
        args.confirm = preview.confirm  # an empty one is a name that is wrong, not one that was left out
    with nothing_has_run():
        if args.confirm is None and stdin.isatty():
            show_what_runs(preview, asked, production=production)
        elif call.speaks or stdin.isatty():
            show_order([name for name, _ in preview.steps], asked, closed=preview.closed, each=preview.each)
            show_ledgers(preview.deploy_ledgers, asked)
            if production:
                show_target(preview.target, err, production=True)
        if call.speaks or stdin.isatty():
            asked.flush()
            say_all((f"⚠️  {one_line(warning)}" for warning in preview.warnings), err)
            err.flush()
            call.said.update(preview.warnings, *(check.warnings for check in preview.checks))
        if production and not args.accept_loss and preview.assessment is not None:
            require_accepted_loss(preview.assessment)
        if args.confirm is None:
            args.confirm, args.reason = ask(preview, asked, stdin, production=production, reason=args.reason)
    if args.preview is None:  # an empty one is of no preview, and the database refuses it
        args.preview = preview.fingerprint
    return None


def require(args: argparse.Namespace) -> None:
    """Have a rollback confirmed without a question: by an option or a variable. Does not write.

    Raises
    ------
    ConfirmationRequired
        When it is not.
    """
    named = next((name for name in (args.deploy, args.to, *args.names[:1]) if name is not None), None)
    if named is None or len(args.names) > 1:
        if args.confirm is None:
            raise ConfirmationRequired(
                "What is meant was not confirmed", hint="Confirm with --confirm NAME: what --dry-run shows as confirm."
            )
        return
    if args.confirm is None and confirmed_by_variable(named):
        args.confirm = named
    if args.confirm is None:
        raise ConfirmationRequired(
            f"{named} was not confirmed", migration_name=named, hint=f"Confirm with --confirm {shlex.quote(named)}."
        )


def confirmed_by_variable(name: str) -> bool:
    """Whether ``MIGROLLBACK_CONFIRM`` is this name, or several of which it is one; does not write."""
    given = os.environ.get("MIGROLLBACK_CONFIRM", "")
    return name in (given, *given.replace(",", " ").split())


@contextmanager
def nothing_has_run() -> Iterator[None]:
    """Ctrl-C while something is shown or asked: nothing has run yet, so nothing was cancelled either."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("Not confirmed: nothing was changed.") from None


def show_target(target: Target, out: TextIO, *, production: bool) -> None:
    """Where it would run; production cannot be overlooked. Writes to the stream."""
    if production:
        loud = "  ⚠️  PRODUCTION  ⚠️  "
        out.write(f"{paint(loud, 'loud', out) if wants_colours(out) else loud.strip()}\n")
    out.write(f"Target: database {one_line(target.database)} on {one_line(target.host)}:{target.port}\n")
    out.write(
        f"        as user {one_line(target.user)} (PostgreSQL {target.server_version}, schema"
        f" {one_line(target.schema)})\n"
    )


def show_what_runs(preview: Preview, out: TextIO, *, production: bool) -> None:
    """Show all that a person must see before the answer, the longest part first. Writes to the stream."""
    show_order([name for name, _ in preview.steps], out, closed=preview.closed, each=preview.each)
    text = visible(preview.sql)
    lines = text.count("\n") + 1
    size = shutil.get_terminal_size()
    rule = RULE[: size.columns]
    several = f"{len(preview.steps)} migrations, " if len(preview.steps) > 1 else ""
    out.write(f"SQL that will run ({several}{_counted(lines, 'line')}):\n{rule}\n{text}\n{rule}\n")
    if lines > size.lines - 12:  # what follows it takes the rest of the window
        out.write(
            f"That SQL is longer than this window: scroll up, or read it with\n  {_command('rollback', preview)}"
            " --dry-run | less\n"
        )
    out.write("\n")
    show_target(preview.target, out, production=production)
    show_ledgers(preview.deploy_ledgers, out)
    say_all(map(one_line, known_effects(preview)), out)
    out.write("\n")


def known_effects(preview: Preview) -> Iterator[str]:
    """The verdict and the effects that are known, in words; pure. Where no one looked, it says how to find out."""
    assessment = preview.assessment
    if assessment is None:
        yield "Effects: unknown, for this role may not ask."
        return
    yield assessment.heading
    yield from assessment.indented()
    yield from (f"   {line}" for line in assessment.locks)
    if assessment.known_by not in ("rehearsal", "proof"):
        on_copy = preview.foreseen is not None and preview.foreseen.stalls(1000)  # where a rehearsal here would not end
        yield f"  {_command('rehearse', preview)}{' --on scratch' if on_copy else ''} finds out"


def ask(
    preview: Preview, out: TextIO, stdin: TextIO, *, production: bool, reason: str | None
) -> tuple[str, str | None]:
    """Ask the person at the terminal. Returns what confirms it and the reason; writes only to the stream.

    Elsewhere than on production the answer is yes; there the migration's name is typed, and a reason given where none
    was.

    Raises
    ------
    ConfirmationRequired
        When this is no terminal.
    Refused
        For any other answer.
    """
    name = preview.confirm
    if not stdin.isatty():
        also = " --reason TEXT" if production and not (reason or "").strip() else ""
        raise ConfirmationRequired(
            "This is not a terminal, so no person can be asked",
            migration_name=preview.migration_name,
            hint=f"Confirm with --confirm {shlex.quote(name)}{also}, or put the name into MIGROLLBACK_CONFIRM.",
        )
    if not production:
        if (_read(QUESTION, out, stdin) or "").lower() != "yes":
            raise Refused("Not confirmed: nothing was changed", migration_name=preview.migration_name)
        out.write("\n")
        return name, reason
    what = "label" if preview.deploy is not None else "name"
    if preview.range is not None and not preview.range.is_one and preview.deploy is None:
        what = preview.range.confirmed_by.removeprefix("the ").removeprefix("its ")
    out.write(f"This is PRODUCTION. To roll back, type the {what} exactly:\n")
    typed = _read(f"  {one_line(name)}\n> ", out, stdin)
    # a character that no keyboard has is typed as it is shown
    if typed not in (name.strip(), one_line(name).strip()):
        why = "nothing was typed" if not typed else f"that is not {name}"
        raise Refused(f"Not confirmed, {why}: nothing was changed", migration_name=preview.migration_name)
    tries = _TRIES
    while not (reason or "").strip():
        answer = _read("Reason, for the audit log: ", out, stdin) if tries else None
        if answer is None:
            raise Refused(
                "Not confirmed, no reason was given: nothing was changed", migration_name=preview.migration_name
            )
        reason, tries = one_line(answer), tries - 1
    out.write("\n")
    return name, reason


def _read(question: str, out: TextIO, stdin: TextIO) -> str | None:
    """What is answered, without blanks around it; None at the end of the input."""
    out.write(question)
    out.flush()
    try:
        answer = stdin.readline()
        # bytes that are no UTF-8 are kept by some locales as what no database can hold, and are an error in others
        answer.encode()
    except UnicodeError:
        out.write("\n")
        raise Refused(
            "Not confirmed, the answer is not UTF-8: nothing was changed", hint="Set the terminal to UTF-8."
        ) from None
    if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
        out.write("\n")
    return answer.strip() if answer else None


def _command(command: str, preview: Preview) -> str:
    if preview.range is not None:
        return f"migrollback {command} {preview.range.arguments}"
    return f"migrollback {command} {shlex.quote(preview.migration_name)}{' --chain' if len(preview.steps) > 1 else ''}"


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
