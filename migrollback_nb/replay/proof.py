"""Proof that rollbacks restore: replays a folder on a scratch database and grades every migration. Writes only there.

Each migration is tried at its place in the order, with all before it applied (see `trial`). Tables with hardly any rows
get a few first, or no loss could be seen (see `filling`). A migration that leaves all as it was costs no copy of the
database; after any other the next one goes on from a copy of a second database (see `proof_databases`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from migrollback_nb.core import ordering
from migrollback_nb.core.errors import DependencyError, MigrollbackError, UsageError, from_sqlstate
from migrollback_nb.core.results import MigrationProof, Proof
from migrollback_nb.files import preludes
from migrollback_nb.files.formats import find_folder, in_order
from migrollback_nb.files.selection import select_files
from migrollback_nb.replay import hints, patience
from migrollback_nb.replay.filling import Filling
from migrollback_nb.replay.proof_databases import Clock, ProofDatabases, State
from migrollback_nb.replay.runs import Failure
from migrollback_nb.replay.scratch import Scratch, scratch
from migrollback_nb.replay.trial import (
    SchemaNotKept,
    Trial,
    leaves_what_is_there,
    still_known,
    try_migration,
    verdict,
)

if TYPE_CHECKING:
    from pathlib import Path

    from migrollback_nb.database.progress import Progress
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.files.formats.folder import FolderContents
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.files.preludes import Prelude

#: After so many migrations in a row that the server had no room for, no time is spent on the next.
_IN_VAIN = 3


def prove_folder(
    dir: Path | str | None = None,
    names: Sequence[str] = (),
    *,
    select: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    on: str | None = None,
    bin: Path | str | None = None,
    own_server: bool = False,
    prelude: Sequence[Path | str] | Path | str | None = None,
    timeouts: Timeouts | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Grade the rollbacks of a folder on a scratch database; see `prove`. Writes only there.

    Parameters
    ----------
    dir : Path or str, optional
        The folder; by default the usual one.
    names : sequence of str
        The migrations to grade, with or without ``.sql``; by default all.
    select, exclude : str or sequence of str, optional
        Instead of names: a selector, and one of what is left out. Files know names, closures and tags.
    prelude : Path, str, or sequence of them, optional
        What runs first; see `migrollback_nb.files.preludes.find`.

    Raises
    ------
    UsageError
        When there is no folder or a prelude cannot be read, besides what `prove` raises.
    MigrationNotFound
        When it holds no migration of a name.
    """
    folder = find_folder(dir)
    first = preludes.find(prelude, beside=folder.rollbacks)
    chosen = [name.removesuffix(".sql") for name in names]
    if select is not None or exclude is not None:
        if chosen:
            raise UsageError("A selector goes alone", hint="Give it without names.")
        chosen = [*select_files(folder, select, exclude)]
    known = folder.names()
    for name in chosen:
        if name not in known:
            raise folder.not_found(name, known)
    return prove(
        folder.read_all(),
        chosen,
        on=on,
        bin=bin,
        own_server=own_server,
        first=first,
        timeouts=timeouts,
        progress=progress,
    )


def prove(
    folder: FolderContents,
    names: Sequence[str] = (),
    *,
    on: str | None = None,
    bin: Path | str | None = None,
    own_server: bool = False,
    first: Sequence[Prelude] = (),
    timeouts: Timeouts | None = None,
    progress: Progress | None = None,
) -> Proof:
    """Grade the rollbacks of a folder on a scratch database. Writes only there.

    Parameters
    ----------
    folder : FolderContents
        All files of the folder.
    names : sequence of str
        The migrations to grade; by default all. Those before them are applied first.
    on, bin, own_server, timeouts
        Where the scratch database is created; see `migrollback_nb.replay.scratch.scratch`.
    first : sequence of Prelude
        What runs there before the first migration.
    progress : callable, optional
        Called with (done, all, name).

    Raises
    ------
    UsageError, ConnectionFailed
        When no scratch database can be created.
    """
    ordered, left_out = _ordered(folder.files)
    graded = set(names) or {file.name for file in ordered}
    bad = [
        MigrationProof(migration_name=error.migration_name, grade="fails", remarks=(f"up migration: {error}",))
        for error in folder.errors
    ]
    verdicts = [verdict for verdict in (*bad, *left_out) if not names or verdict.migration_name in names]
    last = max((place for place, file in enumerate(ordered, 1) if file.name in graded), default=0)
    ordered = ordered[:last]
    clock = Clock()
    began = time.perf_counter()
    with scratch(
        ordered, on=on, bin=bin, own_server=own_server, private=True, preludes=first, timeouts=timeouts
    ) as place:
        clock.seconds["scratch"] += time.perf_counter() - began
        prover = _Prover(place, clock, first, named=on is not None)
        for number, file in enumerate(ordered):
            if progress is not None:
                progress(number, len(ordered), file.name)
            if file.name in graded:
                verdicts.append(prover.grade(file))
            else:
                prover.apply(file)
        if progress is not None:
            progress(len(ordered), len(ordered), "")
        server, remarks = place.server, place.remarks
    return Proof(
        migrations=tuple(verdicts),
        server=server,
        shares=clock.seconds,
        digests=clock.digests,
        warnings=(*folder.warnings, *remarks),
    )


def _ordered(files: Iterable[MigrationFile]) -> tuple[list[MigrationFile], list[MigrationProof]]:
    """Dependencies first; what depends on itself in a cycle is graded as it is."""
    by_name = {file.name: file for file in files}
    cycles: list[MigrationProof] = []
    while True:
        try:
            like = [file.name for file in in_order(by_name.values())]
            return [
                by_name[name]
                for name in ordering.order({name: file.depends_on for name, file in by_name.items()}, like=like)
            ], cycles
        except DependencyError as error:
            for name in dict.fromkeys(error.names):
                cycles.append(
                    MigrationProof(migration_name=name, grade="fails", remarks=(f"up migration: {error.message}",))
                )
                del by_name[name]


@dataclass(slots=True, kw_only=True)
class _Tried:
    """What came of trying one migration."""

    before: State
    trial: Trial
    remarks: list[str]
    goes_on: bool  # the copy that is worked on is where the up migration has brought it


class _Prover:
    """Grades one migration after another."""

    def __init__(self, place: Scratch, clock: Clock, first: Sequence[Prelude], *, named: bool) -> None:
        self._databases = ProofDatabases(place, clock)
        self._filling = Filling(self._databases)
        self._first = first
        self._named = named  # the server is not ours
        self._state: State | None = None  # of the copy that is worked on
        self._broken = False  # whether the copy that is worked on is not what it should be
        self._in_vain = 0  # how many migrations in a row could not be tried

    def _start_over(self) -> None:
        self._broken = True
        self._databases.start_over()
        self._filling.start_over()
        self._state = None
        self._broken = False

    def apply(self, file: MigrationFile) -> None:
        """Run the up migration only; one that does not run is left out. Writes."""
        try:
            patience.patiently(lambda: self._apply(file))
        except (MigrollbackError, psycopg.Error) as error:
            if not patience.is_trouble(error):
                raise
            self._later(file)

    def _apply(self, file: MigrationFile) -> None:
        if self._broken:
            self._start_over()
        failure = self._databases.run_up(self._databases.work, file)
        if failure is not None and (self._filling.has_rows or not file.runs_whole or failure.lost):
            self._start_over()
            failure = self._databases.run_up(self._databases.work, file)
        if failure is None:
            self._databases.is_applied(file)
            self._state = None
        else:
            self._broken = not file.runs_whole
            _raise_trouble(failure)

    def _later(self, file: MigrationFile) -> None:
        """Leave an up migration that could not be tried to the base, which runs it before the next one."""
        self._databases.is_applied(file)
        self._broken = True

    def grade(self, file: MigrationFile) -> MigrationProof:
        """Try one migration, and leave its up migration applied for the next. Writes.

        What the server has no room or connection for is tried again after a while. Where that does not pass, this
        migration's grade is not known, and the others are tried all the same.
        """
        began = time.perf_counter()
        if not file.is_up_known:
            self._later(file)
            return MigrationProof(
                migration_name=file.name,
                grade="no_rollback" if file.rollback is None else "unknown",
                remarks=(
                    f"{file.path} is a program, and the SQL that it runs is not known: what comes after it is tried"
                    " without that",
                ),
                seconds=time.perf_counter() - began,
            )
        tried, trouble = self._try_patiently(file)
        if tried is None or (trouble is not None and trouble.of_the_server):
            self._in_vain += 1
            self._later(file)
            return MigrationProof(
                migration_name=file.name,
                grade="unknown",
                sqlstate=None if trouble is None else trouble.sqlstate,
                remarks=(f"it could not be tried: {trouble}",),
                seconds=time.perf_counter() - began,
            )
        self._in_vain = 0
        if (failure := tried.trial.failure) is not None:
            tried.remarks += self._hints(file, failure, of_up=tried.trial.up is not None)
        try:
            self._go_on(file, tried)
        except (MigrollbackError, psycopg.Error) as error:
            if not patience.is_trouble(error):
                raise
            self._broken = True
        return verdict(file, tried.trial, tried.remarks, time.perf_counter() - began)

    def _try_patiently(self, file: MigrationFile) -> tuple[_Tried | None, Failure | None]:
        """What came of trying a migration, and what it failed for: also where it could not be tried at all. Writes."""
        tried: _Tried | None = None
        trouble: Failure | None = None
        for wait in (0, *(patience.WAITS if self._in_vain < _IN_VAIN else ())):
            time.sleep(wait)
            # who loses the connection a second time has ended it
            ended = trouble is not None and trouble.lost
            try:
                if self._broken:
                    self._start_over()
                tried = self._try(file)
            except (MigrollbackError, psycopg.Error) as error:
                if not patience.is_trouble(error):
                    raise
                tried, trouble = None, Failure(message=str(error), sqlstate=getattr(error, "sqlstate", None))
            else:
                trouble = tried.trial.failure
                if trouble is None or not (trouble.of_the_server or (trouble.lost and not ended)):
                    break
            self._broken = True
        return tried, trouble

    def _try(self, file: MigrationFile) -> _Tried:
        """Try a migration once, with the schema read whole only where hashes do not tell. Writes."""
        if file.rollback is None or leaves_what_is_there(file):
            try:
                return self._try_once(file, whole=False)
            except SchemaNotKept:
                self._start_over()
        return self._try_once(file, whole=True)

    def _try_once(self, file: MigrationFile, *, whole: bool) -> _Tried:
        before = self._filling.fill_for(file, self._state or self._filling.fill())
        if whole and before.schema is None:
            before = replace(before, schema=self._databases.schema(self._databases.work))
        remarks = self._filling.stayed_empty(file, before)
        if file.has_own_transactions:
            remarks.append(
                f"its up migration begins and ends transactions itself: it was run as {file.tool} runs it, which"
                " migrollback apply refuses"
            )
        trial = try_migration(self._databases, self._databases.work, file, before, whole=whole)
        tried = _Tried(before=before, trial=trial, remarks=remarks, goes_on=trial.goes_on)
        if trial.failure is not None and (trial.failure.lost or trial.failure.of_the_server):
            return tried
        bad = trial.failure is not None or not (trial.restored and trial.reapplies is not False)
        if self._filling.has_rows and bad and (file.rollback is not None or trial.failure is not None):
            if self._databases.roles_differ:
                self._databases.start_over()
                tried.goes_on = False
            more, replacement = self._compare_without_rows(file, before.schema, trial)
            tried.remarks += more
            if replacement is not None:
                tried.trial, tried.goes_on = replacement, False
        return tried

    def _go_on(self, file: MigrationFile, tried: _Tried) -> None:
        """Bring the copy that is worked on to where the up migration has brought it. Writes."""
        trial, goes_on = tried.trial, tried.goes_on
        if trial.up is None:
            self._databases.is_applied(file)
        # of an up migration that failed nothing has stayed; otherwise it is known where it was read
        schema = tried.before.schema if trial.up is not None else trial.schema_up
        if self._filling.changed_schema and not goes_on:
            schema = None
        if not goes_on:
            self._start_over()
        if trial.up is None or not goes_on:
            known = still_known(tried.before, file) if goes_on else None
            self._state = None
            self._state = self._filling.fill(schema, known)
        else:
            self._state = tried.before

    # -- what a failure may come from ----------------------------------------------------------------------------------

    def _hints(self, file: MigrationFile, failure: Failure, *, of_up: bool) -> list[str]:
        """What a statement that failed may have missed, in words.

        A hint must not end the proof of a whole folder: where none can be found, whatever the reason, there is none.
        """
        statements: Sequence[str] = ()
        if of_up:
            statements = file.up_statements()
        elif file.rollback is not None:
            statements = file.rollback.statement_texts()
        number, whole = failure.number, failure.statement
        if number is not None and number <= len(statements):
            whole = statements[number - 1]
        with suppress(Exception):
            # asked of the base, whose connection is alive whatever the migration did
            server = hints.server_of(self._databases.base.connection, preludes=self._first, named=self._named)
            hint = hints.hint_for(failure.sqlstate, whole, server)
            return [] if hint is None else [hint]
        return []

    def _compare_without_rows(
        self, file: MigrationFile, schema: str | None, trial: Trial
    ) -> tuple[list[str], Trial | None]:
        """Whether synthetic rows are the reason for a bad verdict: remarks, and the trial that counts instead."""
        bare = self._try_with_fewer(file, schema, fill_empty=False)
        if trial.failure is None:
            if trial.restored:
                only = "cannot be applied again only where tables hold rows (synthetic ones)"
                return ([only] if bare.restored and bare.reapplies else []), None
            return (["differs only where tables hold rows (synthetic ones)"] if bare.restored else []), None
        if trial.up is not None and bare.up is not None:
            trial.up = bare.up
            return [], None
        if trial.up is None and bare.rollback is not None:
            return [], None
        if trial.up is None and (trial.failure.sqlstate or "").startswith("23"):
            return ["fails only because the tables hold rows (synthetic ones)"], None
        # Not that there are rows, but what they say: real ones may be such that it runs. A table that had one row may
        # be meant to have one.
        what = "up migration" if trial.up is not None else "rollback"
        fewer = self._try_with_fewer(file, schema, fill_empty=True)
        of_others, counts = "", bare
        if fewer.failure is None:
            of_others, counts = " in tables with rows of their own", fewer
        return [f"graded without synthetic rows{of_others}: with them the {what} fails: {trial.failure}"], counts

    def _try_with_fewer(self, file: MigrationFile, schema: str | None, *, fill_empty: bool) -> Trial:
        """Try a migration in a copy without synthetic rows, or with such in empty tables only. Writes."""
        databases = self._databases
        databases.catch_up()
        copy = databases.copy()
        rows = self._filling.fill_empty(copy) if fill_empty else databases.rows(copy)
        # triggers that fire for synthetic rows may have changed the schema there, or here
        if schema is None or self._filling.changed_schema or fill_empty:
            schema = databases.schema(copy)
        trial = try_migration(databases, copy, file, State(schema=schema, rows=rows))
        databases.drop(copy)
        databases.take_back_roles()
        if trial.failure is not None:
            _raise_trouble(trial.failure)
        return trial


def _raise_trouble(failure: Failure) -> None:
    """Raise what the server, and not the SQL, is the reason for."""
    if failure.of_the_server:
        raise from_sqlstate(failure.sqlstate, failure.message)
