"""Rolls back what a folder does not hold: for the old release of a deployment that went back itself. Writes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from migrollback_nb.core import results
from migrollback_nb.core.errors import ConfirmationRequired, LockBusy, Refused, UsageError
from migrollback_nb.core.results.assessment import LOSSES
from migrollback_nb.core.results.selection import Range
from migrollback_nb.core.text import first_few
from migrollback_nb.operations import attempts, ranges, renamed_files, rollback
from migrollback_nb.operations.each import roll_back_each
from migrollback_nb.operations.preview import preview as preview_of
from migrollback_nb.operations.rollback_of_range import once
from migrollback_nb.operations.snapshots import check_choice

if TYPE_CHECKING:
    from uuid import UUID

    from migrollback_nb.core.results import Assessment, ChainResult, NothingToRollBack, Preview, RollbackResult
    from migrollback_nb.database import Database
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.operations.snapshots import Snapshots

Result: TypeAlias = "RollbackResult | ChainResult | NothingToRollBack"
#: How often it looks again where another session was faster, or at work: each replica of a deployment calls it.
_TRIES = 10
#: What is waited in between, in seconds.
_PAUSE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a folder stands to what is applied."""

    lacking: tuple[str, ...]  #: applied, and not in the folder under any name, in the order of their rollback
    remarks: tuple[str, ...]  #: what is not rolled back, and a person should know


def compare(database: Database, folder: MigrationFolder, *, most: int) -> Comparison:
    """What of the database the folder does not hold. Does not write.

    Raises
    ------
    Refused
        When the folder is empty, holds nothing that is applied, or lacks more than `most`: it may be the wrong one.
    UsageError
        When `most` is no number of migrations.
    """
    if most < 1:
        raise UsageError(f"No more than {most} are to go, and that is none", hint="Give --max a number of 1 or more.")
    history = database.queries.history_states()
    contents = folder.read_all(unchanged={name: row["checksum"] for name, row in history.items()})
    unread = [error.migration_name for error in contents.errors]
    present = {file.name: file for file in contents.files}
    if not present and not unread:
        raise Refused(
            f"{folder.path} is empty, and all that is applied would go",
            hint="Name the folder of the release with --to-files DIR. Nothing was changed.",
        )
    applied = {name for name, row in history.items() if row["status"] != "rolled_back" and not row["system"]}
    found = renamed_files.compare(contents.files, history, unread)
    held = applied & {*present, *unread, *found.renamed.values()}
    lacking = applied - held
    if applied and not held:
        raise Refused(
            f"Nothing that is applied is in {folder.path}: it is of another database, or of another tool",
            hint="Name the folder of the release with --to-files DIR, or another database. Nothing was changed.",
        )
    if len(lacking) > most:
        raise Refused(
            f"{folder.path} lacks {len(lacking)} migrations that are applied, more than {most}",
            hint=f"They are {first_few(sorted(lacking), 20)}. If they are meant: --max {len(lacking)}. Nothing was"
            " changed.",
        )
    changed = [name for name, file in present.items() if name in applied and history[name]["checksum"] != file.checksum]
    remarks = [f"{name} is applied with another text than that of {folder.path}: it stays" for name in sorted(changed)]
    remarks += [
        f"{name} is {file} in {folder.path}, of the same version and the same text: it stays"
        for file, name in found.renamed.items()
        if name in applied
    ]
    remarks += [f"{name} of {folder.path} cannot be read: it is taken for what is applied" for name in unread]
    steps = database.selectors.of_range(Range(names=tuple(lacking))) if lacking else ()
    return Comparison(lacking=steps, remarks=tuple(remarks))


def preview(
    database: Database, folder: MigrationFolder, *, most: int, each: bool, attempt_id: str | None = None
) -> Preview | NothingToRollBack:
    """What converging to a folder would roll back. Does not write.

    Raises
    ------
    Refused
        As `compare`, or when a rule forbids it.
    """
    found = compare(database, folder, most=most)
    meant = _range(database, folder)
    steps = found.lacking
    if attempt_id is not None:
        begun = attempts.look_up(database, attempt_id)
        steps = steps if begun is None else tuple(name for name in begun.names if name not in begun.done)
    if not steps:
        nothing = ranges.nothing_in(database, ranges.Found(range=meant, steps=()))
        return replace(nothing, warnings=found.remarks)
    shown = preview_of(database, steps, folder=folder.path, range=meant, each=each)
    return replace(shown, remarks=found.remarks)


def require_harmless(assessment: Assessment | None, steps: tuple[str, ...], *, accept_loss: bool) -> None:
    """Make sure that it does no harm that no one has looked at; pure.

    Raises
    ------
    Refused
        Unless it is ready or not rehearsed, or all that it does besides is a loss, which was accepted.
    """
    if assessment is None:
        raise Refused(
            "What it would do is not known, for this role may not ask",
            migration_name=steps[-1],
            hint="Nothing was changed.",
        )
    if assessment.verdict in ("ready", "not_rehearsed"):
        return
    harms = [effect for effect in assessment.effects if effect.effect not in (*LOSSES, "locks")]
    if accept_loss and assessment.verdict == "loses" and not harms:
        return
    lines = [*map(str, harms or assessment.losses), *assessment.blockers, "Nothing was changed."]
    if assessment.verdict == "loses" and not accept_loss:
        lines.append("Accept the loss with --accept-loss (accept_loss=True): the audit log keeps it.")
    raise Refused(f"{assessment.headline}: no one is asked here", migration_name=steps[-1], hint="\n".join(lines))


def converge(
    database: Database,
    folder: MigrationFolder,
    *,
    confirm: str,
    most: int,
    accept_loss: bool,
    each: bool,
    attempt_id: UUID | str | None,
    reason: str | None,
    snapshots: Snapshots,
    preview_seen: Preview | str | None,
    **options: Any,
) -> Result:
    """Roll back what the folder does not hold. Writes; options, results and errors are those of `Workspace.converge`.

    Another session that does the same, as each replica of a deployment may, is waited for.
    """
    check_choice(snapshots)
    attempt = attempts.read_id(attempt_id)
    why = reason or f"converge: {folder.path} does not hold it"
    asked = {"to_files": True} | ({"each": True} if each else {})

    def run() -> Result:
        shown = preview(database, folder, most=most, each=each, attempt_id=attempt)
        require_confirmation(database, confirm)
        if isinstance(shown, results.NothingToRollBack):
            return shown
        steps = tuple(name for name, _ in shown.steps)
        require_harmless(shown.assessment, steps, accept_loss=accept_loss)
        given: dict[str, Any] = {
            "reason": why,
            "preview": shown if preview_seen is None else preview_seen,
            "accept_loss": accept_loss,
            "snapshots": snapshots,
            "folder": folder.path,
            "trail": None,
            **options,
        }
        if each:
            done: Result = roll_back_each(database, steps, asked=asked, attempt_id=attempt, **given)
        else:
            begun = {} if attempt is None else {"asked": asked}
            done = rollback.rollback(database, steps, attempt_id=attempt, begun=begun, **given)
        return replace(done, warnings=(*shown.remarks, *done.warnings))

    def patiently() -> Result:
        return _while_others_are_at_it(lambda: compare(database, folder, most=most).lacking, run)

    return patiently() if attempt is None else once(database, asked, attempt, patiently)


def require_confirmation(database: Database, confirm: object) -> None:
    """Make sure that it is confirmed by the name of the database; pure.

    Raises
    ------
    ConfirmationRequired
        When it is not.
    """
    wanted = database.target.database
    if confirm != wanted:
        raise ConfirmationRequired(
            f"Converging database {wanted} was not confirmed", hint=f"Confirm by the database's name: {wanted}"
        )


def _while_others_are_at_it(lacking: Callable[[], tuple[str, ...]], run: Callable[[], Result]) -> Result:
    """Run it, and look again where another session was faster, or holds a lock."""
    for tries_left in range(_TRIES, -1, -1):
        before = lacking()
        try:
            return run()
        except ConfirmationRequired:
            raise
        except (Refused, LockBusy) as error:
            moved = lacking() != before
            if not tries_left or not (moved or isinstance(error, LockBusy)):
                raise
            time.sleep(0 if moved else _PAUSE)
    raise AssertionError("unreachable")


def _range(database: Database, folder: MigrationFolder) -> Range:
    return Range(files=str(folder.path), database=database.target.database)
