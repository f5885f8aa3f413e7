"""The facade `Migrations`, which notebooks and the command line hold: frames, rehearsal, proof, runbook, graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from migrollback_nb.core.errors import MigrollbackError, NotInstalled, UsageError
from migrollback_nb.history.questions import HistoryQuestions

if TYPE_CHECKING:
    import pandas as pd
    import psycopg

    from migrollback_nb.core.results import (
        Foreseen,
        NothingToRollBack,
        Proof,
        Rehearsal,
        RunbookFiles,
        Template,
        WrittenSql,
    )
    from migrollback_nb.core.times import When
    from migrollback_nb.database.progress import Progress, RollbackCallback
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.display.graph.picture import Graph
    from migrollback_nb.operations.rehearse import RehearsalOptions
    from migrollback_nb.runbook.checklist import Checklist


def connect(
    dsn: str | None = None,
    *,
    service: str | None = None,
    env: str | None = None,
    connection: psycopg.Connection | None = None,
    schema: str | None = None,
    scope: str | None = None,
    dir: Path | str | None = None,
    rollbacks: Path | str | None = None,
    timeouts: Timeouts | None = None,
    interface: str = "python",
) -> Migrations:
    """Connect to a database; writes nothing.

    Parameters
    ----------
    dsn : str, optional
        Connection URI or ``key=value`` string, or ``embedded`` (``embedded/NAME``) for the private server that comes
        with the package. Without any of `dsn`, `service`, `env`, `connection`: the variables MIGROLLBACK_DSN,
        DATABASE_URL, SUPABASE_DB_URL, then libpq's own.
    service : str, optional
        Name of a service in ``pg_service.conf``: keeps passwords out of notebooks.
    env : str, optional
        Name of an environment variable that holds a DSN: does so too.
    connection : psycopg.Connection, optional
        A connection to borrow, in autocommit mode. It is not closed, and what needs a second connection cannot be had.
    schema : str, optional
        Schema of the rollback system; by default the variable MIGROLLBACK_SCHEMA, else ``public``.
    scope : str, optional
        A tenant's schema: first in the path, with a history of its own in the system, which `install` adds.
    dir : Path or str, optional
        Folder of migrations; by default the variable MIGROLLBACK_DIR, else ``supabase/migrations`` or ``migrations``.
    rollbacks : Path or str, optional
        Where the SQL lies that undoes migrations which are programs, as ``NAME.rollback.sql``; by default the variable
        MIGROLLBACK_ROLLBACKS, else the folder of migrations.
    timeouts : Timeouts, optional
        Timeouts and retries.
    interface : str
        What the audit log calls the program at this end.

    Returns
    -------
    Migrations

    Raises
    ------
    UsageError
        When the target is given twice, not at all, or cannot be understood.
    ConnectionFailed
        When there is no answer.
    """
    from migrollback_nb.database import Database
    from migrollback_nb.database.connection import find_dsn
    from migrollback_nb.database.session import Session
    from migrollback_nb.files.location import default_folder, folder_path

    folder = dir or default_folder()
    if rollbacks is not None and folder is not None:
        folder = folder_path(folder, rollbacks)
    schema = schema or os.environ.get("MIGROLLBACK_SCHEMA") or "public"
    if len(schema.encode()) > 63:
        raise UsageError(f"The schema's name {schema} is longer than 63 bytes", hint="PostgreSQL would cut it.")
    if connection is not None:
        if dsn or service or env or scope:
            what = "a scope" if scope else "a way to connect"
            raise UsageError(f"Both a connection and {what} are given", hint="Give one of them.")
        session = Session(connection, schema=schema, owned=False, timeouts=timeouts, interface=interface)
        return Migrations(Database(session), dir=folder if rollbacks else dir)
    found, where = find_dsn(dsn, service=service, env=env)
    resolve = None
    if found == "embedded" or found.startswith("embedded/"):
        from migrollback_nb.servers import embedded

        resolve = partial(embedded.start, found.partition("/")[2] or "postgres")
    database = Database.connect(
        found, found_in=where, schema=schema, scope=scope, timeouts=timeouts, interface=interface, resolve=resolve
    )
    return Migrations(database, dir=folder if rollbacks else dir)


class Migrations(HistoryQuestions):
    """The migrations of one database: ask, preview, roll back.

    Queries return DataFrames or small results that show as HTML; a method that changes the database says so in its
    first line.

    Parameters
    ----------
    database : Database
        The connection.
    dir : Path or str, optional
        Folder of migration files; see `connect`.
    """

    def _repr_html_(self) -> str:
        # a rollback may run in a panel's thread: showing this must not wait for it
        if not self.database.connection.closed and self.database.session.idle():
            with suppress(MigrollbackError):
                self.look_up_target()
        return self.target._repr_html_()

    # -- rehearsal and proof ---------------------------------------------------------------------------------------

    @overload
    def rehearse(self, name: str | Sequence[str], **options: Unpack[RehearsalOptions]) -> Rehearsal: ...
    @overload
    def rehearse(
        self,
        name: str | Sequence[str] | None = None,
        *,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        **options: Unpack[RehearsalOptions],
    ) -> Rehearsal | NothingToRollBack: ...
    def rehearse(
        self,
        name: str | Sequence[str] | None = None,
        *,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        chain: bool = False,
        on: str | None = None,
        consent: bool = False,
        lock_timeout: str | None = None,
        statement_timeout: str | None = None,
        max_stall: str | None = None,
        foreseen: Callable[[Foreseen], None] | None = None,
        progress: RollbackCallback | None = None,
    ) -> Rehearsal | NothingToRollBack:
        """Run a rollback for real, undo it, and report what it did. Writes one event of the audit log, nothing else.

        It runs inside a transaction that is then undone.

        Parameters
        ----------
        name : str or sequence of str, optional
            The migration, or several, in any order.
        deploy, to, last, since, select, exclude
            Instead of a name: a range or a selection, as of `preview`.
        chain : bool
            True: with all that must be rolled back before it.
        on : str, optional
            ``scratch``: on a copy of the schema, without rows, in a database on this machine that is gone afterwards;
            or the DSN of a server for it. Of the target pg_dump then reads the schema, and nothing is written there, no
            event either.
        consent : bool
            True: also when undoing does not undo all that the SQL does (nextval, COPY to a file ...).
        lock_timeout : str, optional
            Longest wait for one lock, tried once; by default that of the timeouts, 500ms.
        statement_timeout : str, optional
            Longest time for all of it, ``30s`` by default: it holds the locks that the rollback would hold.
        max_stall : str, optional
            Longest time that others wait behind it, by default that of the timeouts, 1s; ``0`` is no limit.
        foreseen : callable, optional
            Called with a `Foreseen` before it runs: what it will lock; not on a copy.
        progress : callable, optional
            Called with a `RollbackProgress` before each statement, as that of `rollback`; not on a copy.

        Returns
        -------
        Rehearsal or NothingToRollBack
            Also when the rollback would fail: ``success`` and ``failure`` say so. Its fingerprint makes `rollback`
            refuse when anything has changed since. An empty range has nothing to rehearse.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        Refused
            When a rule forbids it, with the reason in words; or when it needs consent.
        RehearsalStopped
            When others would have waited for longer than max_stall: of the rollback nothing is known then.
        UsageError
            When the schema cannot be copied to where it is to be rehearsed, or a range is none.
        """
        from migrollback_nb.operations.ranges import nothing_in
        from migrollback_nb.operations.rehearse import rehearse
        from migrollback_nb.replay.rehearse_on_copy import rehearse_on_copy

        found = self._found(
            name, chain=chain, deploy=deploy, to=to, last=last, since=since, select=select, exclude=exclude
        )
        if not (names := found.steps):
            return nothing_in(self.database, found)
        options: dict[str, Any] = {"consent": consent, "statement_timeout": statement_timeout}
        if on is not None:
            return self.rehearse_by(partial(rehearse_on_copy, self.database, on=on, **options), names)
        with self.database.session.operation(progress):
            options |= {"lock_timeout": lock_timeout, "max_stall": max_stall, "foreseen": foreseen}
            return self.rehearse_by(partial(rehearse, self.database, **options), names)

    def verify(
        self,
        *names: str,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        on: str | None = None,
        bin: Path | str | None = None,
        own_server: bool = False,
        prelude: Sequence[Path | str] | Path | str | None = None,
        record: bool = False,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """As `migrollback_nb.verify`, of the folder. Writes only on a scratch database; with record, grades here."""
        from migrollback_nb.replay.folder import proof_frame

        options: dict[str, Any] = {"on": on, "bin": bin, "own_server": own_server, "prelude": prelude}
        options |= {"select": select, "exclude": exclude}
        return proof_frame(self.proof(*names, record=record, progress=progress, **options))

    def proof(
        self,
        *names: str,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        on: str | None = None,
        bin: Path | str | None = None,
        own_server: bool = False,
        prelude: Sequence[Path | str] | Path | str | None = None,
        record: bool = False,
        progress: Progress | None = None,
    ) -> Proof:
        """As `verify`, as one result that shows as HTML. Writes only on a scratch database; with record, here."""
        from migrollback_nb.operations.selection import files_of
        from migrollback_nb.replay.proof import prove_folder

        options: dict[str, Any] = {"on": on, "bin": bin, "own_server": own_server, "prelude": prelude}
        if select is not None or exclude is not None:
            names = (*names, *files_of(self.database, self.folder, select, exclude))
        found = prove_folder(self._dir, names, progress=progress, **options)
        return self.record_proofs(found) if record else found

    def capture(
        self,
        command: Sequence[str] | str,
        *,
        name: str | None = None,
        down: Sequence[str] | str | None = None,
        each: bool = False,
        on: str | None = None,
        progress: Progress | None = None,
    ) -> WrittenSql:
        """Write what undoes a program, from what it does to a copy of this schema. Writes files; runs the command.

        As `migrollback_nb.capture`, but the scratch database is a copy of this one's schema, with the rows of the
        tool's ledger and no others, so that the command applies what is pending here.

        Parameters
        ----------
        command, name, down, each, on, progress
            See `migrollback_nb.capture`.

        Raises
        ------
        UsageError
            When the command fails, changes nothing there, applies several migrations at once, or changes this database.
        """
        from migrollback_nb.replay.capture import capture

        options: dict[str, Any] = {"name": name, "down": down or (), "each": each, "on": on, "progress": progress}
        return capture(self.folder, command, target=self.database, **options)

    def template(
        self,
        name: str,
        *,
        prove: bool = False,
        on: str | None = None,
        own_server: bool = False,
        prelude: Sequence[Path | str] | Path | str | None = None,
    ) -> Template:
        """Suggest a rollback block for a migration, for this database. Writes only on a scratch database.

        As `migrollback_nb.template`. This database says how it is to be written: for which version of PostgreSQL, and
        commented out where Supabase's ledger is there. It need not have the rollback system. All else is looked up
        elsewhere.

        Parameters
        ----------
        name : str
            The migration.
        prove : bool
            Try the block and grade it, as `verify` does with the blocks that the files have.
        on, own_server, prelude
            Where the scratch databases are made, and what runs there first; see `verify`.

        Raises
        ------
        MigrationNotFound, MigrationFileError
            When there is no such file, or it is bad.
        """
        from migrollback_nb.files import preludes
        from migrollback_nb.files.location import is_supabases
        from migrollback_nb.replay import suggest

        folder = self.folder
        file = folder.read(name)
        commented = True if is_supabases(folder.path) else None
        with suppress(NotInstalled):
            commented = commented or self.database.queries.uses_supabase()
        return suggest.template(
            folder,
            file,
            commented=commented,
            major=int(self.target.server_version.split(".")[0]),
            prove=prove,
            on=on,
            own_server=own_server,
            first=preludes.find(prelude, beside=folder.rollbacks),
        )

    # -- runbook and graph -----------------------------------------------------------------------------------------

    def checklist(self, name: str, **options: Any) -> Checklist:
        """The production checklist of one rollback, with evidence. Does not write; what its methods write they say.

        Parameters
        ----------
        name : str
            The migration.
        **options : Any
            As `Checklist` takes them: chain, ticket, smoke_tests, maintenance, notification, run.
        """
        from migrollback_nb.runbook.checklist import Checklist

        return Checklist(self, name, **options)

    def runbook(
        self,
        name: str,
        *,
        ticket: str | None = None,
        chain: bool = False,
        into: Path | str | None = None,
        dsn_given: bool = False,
    ) -> RunbookFiles:
        """Copy the runbook's notebooks for one migration, filled in. Writes a folder, and nothing to the database.

        Parameters
        ----------
        name : str
            The migration.
        ticket : str, optional
            Goes with each answer into the audit log.
        chain : bool
            Whether all that depends on it is to be rolled back with it.
        into : Path or str, optional
            Where the folder goes; by default the current one.
        dsn_given : bool
            True: the notebooks are not to name the variable that this connection may have come from.
        """
        from migrollback_nb.runbook.notebooks import copy_runbook

        return copy_runbook(self, name, ticket=ticket, chain=chain, into=into, dsn_given=dsn_given)

    def report(self, name: str, file: Path | str | None = None, *, run: int | None = None) -> Path:
        """Write the report of a migration's rollback, one HTML file. Writes that file, and nothing to the database.

        Parameters
        ----------
        name : str
            The migration.
        file : Path or str, optional
            Where, over no file that is there; by default a dated name in the current folder.
        run : int, optional
            An earlier run of its checklist; by default the present one.
        """
        from migrollback_nb.runbook.report import write_report

        return write_report(self, name, file, run=run)

    def graph(
        self,
        select: str | Sequence[str] | None = None,
        *,
        exclude: str | Sequence[str] | None = None,
        view: str = "auto",
        direction: str | None = None,
        depth: int | None = None,
        edges: str = "all",
        group: str | None = None,
        reduce: bool = True,
        labels: str = "auto",
        rank: str = "auto",
        theme: str = "auto",
        limit: int | None = 150,
    ) -> Graph:
        """Draw migrations and what they depend on. Does not write.

        Parameters
        ----------
        select : str or sequence of str, optional
            A selector, such as ``name+`` for what falls with it; a name alone: it, what depends on it, and what it
            depends on. By default all.
        exclude : str or sequence of str, optional
            A selector of what is left out.
        view : {'auto', 'dag', 'plan', 'lanes', 'tables', 'objects', 'er'}
            dag: boxes and arrows. plan: a row for each step of the rollback, with its reason. lanes: a row for each
            table, time to the right. tables: folded into tables. objects: the objects between migrations. er: the
            tables, and what refers to them. auto: plan for ``name+``, dag up to 30 migrations, lanes of all above that.
        direction : {'dependents', 'dependencies', 'both'}, optional
            Add what depends on the selected ones, what they depend on, or both.
        depth : int, optional
            How many dependencies away that reaches; by default all the way.
        edges : {'all', 'recorded'}
            all: where no one looked for dependencies yet, look now; nothing of that is kept.
        group : {'table', 'schema', 'deploy', 'actor'}, optional
            What has a lane, or is folded (views lanes and tables); by default the table.
        reduce : bool
            Leave out the edges that follow from others; they are counted.
        labels : {'auto', 'short', 'full'}
            Names in the picture; titles have the full ones.
        rank : {'auto', 'LR', 'TB'}
            Left to right, or top to bottom; auto: whichever takes less area.
        theme : {'auto', 'light', 'dark'}
            auto: as the page.
        limit : int, optional
            The most boxes of dag, tables, objects and er; what is left out is counted. None: all.

        Returns
        -------
        Graph
            It shows itself; ``nodes``, ``edges`` (frames), ``falling``, ``to_networkx()``, ``digraph``, ``mermaid``,
            ``save("x.svg")``.

        Raises
        ------
        MigrationNotFound, UsageError
            When the selector names what is not there, or an option has no such value.
        """
        from migrollback_nb.display.graph.picture import Options
        from migrollback_nb.operations.graphs import draw

        return draw(
            self,
            select,
            exclude=exclude,
            direction=direction,
            depth=depth,
            edges=edges,
            options=Options(view=view, group=group, reduce=reduce, labels=labels, rank=rank, theme=theme, limit=limit),
        )
