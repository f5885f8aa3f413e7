"""The facade `Migrations`: what a notebook user and the command line hold. No SQL here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from migrollback_nb.core import ordering, results
from migrollback_nb.core.errors import (
    ConfirmationRequired,
    ConnectionFailed,
    DatabaseError,
    MigrationNotFound,
    MigrollbackError,
    NotInstalled,
    Refused,
    UsageError,
)

if TYPE_CHECKING:
    import graphviz
    import pandas as pd
    import psycopg

    from migrollback_nb.core.results import (
        ApplyResult,
        AuditResult,
        ChainResult,
        CheckResult,
        InstallResult,
        LastApplied,
        NothingToRollBack,
        Plan,
        Preview,
        Proof,
        RecordResult,
        RegisterResult,
        Rehearsal,
        RollbackResult,
        RunbookFiles,
        SchemaDiff,
        SyncResult,
        Target,
        Template,
        Verification,
    )
    from migrollback_nb.database import Database
    from migrollback_nb.database.progress import Progress, Tell
    from migrollback_nb.database.session import Timeouts
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.operations.snapshots import Snapshots
    from migrollback_nb.runbook.checklist import Checklist


def connect(
    dsn: str | None = None,
    *,
    service: str | None = None,
    env: str | None = None,
    connection: psycopg.Connection | None = None,
    schema: str | None = None,
    dir: Path | str | None = None,
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
    dir : Path or str, optional
        Folder of migrations; by default the variable MIGROLLBACK_DIR, else ``supabase/migrations`` or ``migrations``.
    timeouts : Timeouts, optional
        Timeouts and retries.
    interface : str
        What the audit trail calls the program at this end.

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
    import os

    from migrollback_nb.database import Database
    from migrollback_nb.database.connection import find_dsn

    schema = schema or os.environ.get("MIGROLLBACK_SCHEMA") or "public"
    if len(schema.encode()) > 63:
        raise UsageError(
            f"The schema's name {schema} is longer than 63 bytes, and PostgreSQL would cut it",
            hint="Use a shorter one.",
        )
    if connection is not None:
        if dsn or service or env:
            raise UsageError("Both a connection and a way to connect are given", hint="Give one of them.")
        return Migrations(
            Database(connection, schema=schema, owned=False, timeouts=timeouts, interface=interface), dir=dir
        )
    found, where = find_dsn(dsn, service=service, env=env)
    return Migrations(
        Database.connect(found, found_in=where, schema=schema, timeouts=timeouts, interface=interface), dir=dir
    )


def verify(
    dir: Path | str | None = None,
    *names: str,
    on: str | None = None,
    bin: Path | str | None = None,
    own_server: bool = False,
    prelude: Sequence[Path | str] | Path | str | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Try the rollbacks of a folder on a scratch database and grade each; needs no connection. Writes only there.

    Parameters
    ----------
    dir : Path or str, optional
        The folder of migrations; by default the variable MIGROLLBACK_DIR, else ``supabase/migrations`` or
        ``migrations``.
    *names : str
        The migrations to grade; by default all.
    on : str, optional
        DSN of a server on which a database is made for it and dropped again; by default the embedded server, or, for
        extensions that it lacks, this machine's own PostgreSQL, started for this alone.
    bin : Path or str, optional
        Folder of the programs of another PostgreSQL on this machine to be started for this alone.
    own_server : bool
        True: the server named in `on` is there for this alone, and the migrations may change its roles and settings.
    prelude : path or sequence of paths, optional
        SQL files that run first, for what the platform makes before the first migration; ``"supabase"`` is a stand-in
        for Supabase's schemas, roles and extensions that comes with migrollback_nb. By default the variable
        MIGROLLBACK_PRELUDE.
    progress : callable, optional
        Called with (done, all, name).

    Returns
    -------
    DataFrame
        Columns migration_name, grade (restores, loses_data, differs, fails, no_rollback), sqlstate, statement,
        differences (tuple of dict), remarks (tuple of str), reapplies (whether the up part works again after the
        rollback), seconds. ``attrs["warnings"]``: what is true of all of it, as which roles and stand-ins were made.

    Raises
    ------
    UsageError
        When there is no folder, when no scratch database can be made, or when a prelude fails; a missing extension is
        named.
    """
    from migrollback_nb.core import frames
    from migrollback_nb.replay.proof import prove_folder

    proof = prove_folder(dir, names, on=on, bin=bin, own_server=own_server, prelude=prelude, progress=progress)
    frame = frames.proof(proof.to_dict())
    frame.attrs["warnings"] = proof.warnings
    return frame


def template(
    dir: Path | str | None,
    name: str,
    *,
    commented: bool | None = None,
    prove: bool = False,
    on: str | None = None,
    own_server: bool = False,
    prelude: Sequence[Path | str] | Path | str | None = None,
) -> Template:
    """Suggest a rollback block for a migration of a folder; needs no connection. Writes only on a scratch database, where something has to be looked up.

    It undoes what the up part does, last statement first. What the text does not say (the type of a dropped column, the
    old body of a function) is looked up by replaying the folder up to there; what cannot be undone is marked as a TODO.

    Parameters
    ----------
    dir : Path or str or None
        The folder of migrations; None: the variable MIGROLLBACK_DIR, else ``supabase/migrations`` or ``migrations``.
    name : str
        The migration, with or without ``.sql``.
    commented : bool, optional
        Whether each line of the block is commented out, for deploy tools that run the whole file, as Supabase's does.
        By default its SQL is: that is right for every tool.
    prove : bool
        True: try the block and grade it, as `verify` does with the blocks that the files have.
    on, own_server, prelude
        Where the scratch databases are made, and what runs there first; see `verify`. The block is written for the
        version of that server.

    Raises
    ------
    UsageError
        When there is no folder, or a prelude cannot be read.
    MigrationNotFound, MigrationFileError
        When there is no such file, or it is bad.
    """
    from migrollback_nb.files import preludes
    from migrollback_nb.files.location import is_supabases
    from migrollback_nb.replay import suggest

    folder = _folder(dir)
    file = folder.read(_stem(name))
    if commented is None and is_supabases(folder.path):
        commented = True
    return suggest.template(
        folder, file, commented=commented, prove=prove, on=on, own_server=own_server, first=preludes.find(prelude)
    )


def _folder(dir: Path | str | None) -> MigrationFolder:
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.files.location import default_folder

    path = dir or default_folder()
    if path is None:
        raise UsageError(
            "No folder of migrations was named",
            hint=(
                "Name it with --dir (dir=...) or MIGROLLBACK_DIR; supabase/migrations and migrations are found by"
                " themselves."
            ),
        )
    return MigrationFolder(path)


class Migrations:
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

    def __init__(self, database: Database, *, dir: Path | str | None = None) -> None:
        self.database = database
        self._dir = dir

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, unless it is borrowed; writes nothing."""
        self.database.close()

    @property
    def target(self) -> Target:
        """Which database this is; never its password."""
        return self.database.target

    def look_up_target(self) -> Target:
        """Which database this is, and whether it is marked as production now. Does not write."""
        self.database.look_up_production()
        return self.target

    def __repr__(self) -> str:
        return f"<Migrations of {self.target}>"

    def _repr_html_(self) -> str:
        # a rollback may run in a panel's thread: showing this must not wait for it
        if not self.database.connection.closed and self.database.idle():
            with suppress(MigrollbackError):
                self.look_up_target()
        return self.target._repr_html_()

    # -- files -----------------------------------------------------------------------------------------------------

    @property
    def folder(self) -> MigrationFolder:
        """The folder of migration files.

        Raises
        ------
        UsageError
            When none is named and none of the usual ones exists.
        """
        return _folder(self._dir)

    def _file_warnings(self, name: str, row: Mapping[str, Any], *, thorough: bool = False) -> tuple[str, ...]:
        """Whether the file is still the one that was registered, and what is stored is what it says."""
        from migrollback_nb.files.location import default_folder
        from migrollback_nb.operations.stored_sql import warnings_of

        path = self._dir or default_folder()
        return () if path is None else warnings_of(self.database, Path(path), name, row, thorough=thorough)

    # -- questions -------------------------------------------------------------------------------------------------

    def list(self) -> pd.DataFrame:
        """All migrations in place, newest first, and whether each may be rolled back. Does not write.

        Returns
        -------
        DataFrame
            Columns migration_name, migration_version, applied_at (aware), status, can_rollback, has_rollback_sql,
            blocking_reason, dependent_migrations (tuple of the nearest that block). ``attrs["warnings"]`` says what
            deploy ledgers know better.
        """
        from migrollback_nb.core import frames

        frame = frames.rollbackable(self.database.list_rollbackable())
        frame.attrs["warnings"] = self.ledger_warnings()
        return frame

    def ledger_warnings(self) -> tuple[str, ...]:
        """What the ledgers of deploy tools know better than the history, a line each. Does not write."""
        return tuple(f"{row['migration_name']}: {row['warning']}" for row in self.database.ledger_findings())

    def last(self, *, deploy: str | None = None) -> LastApplied:
        """Which migration was applied last, as history and deploy ledger say together; our own aside. Does not write.

        Parameters
        ----------
        deploy : str, optional
            Label of a deploy: only what that brought.

        Raises
        ------
        UsageError
            When there is no deploy of this label.
        """
        if deploy is not None:
            names = self.database.migrations_of_deploy(deploy)
            return results.LastApplied(
                migration_name=names[0] if names else None,
                warnings=() if names else (f"Nothing that deploy {deploy} brought is applied",),
            )
        findings = self.database.ledger_findings()
        again = [row["migration_name"] for row in findings if row["finding"] == "applied_again"]
        # its tool applies in order, so the one that came last before comes last now
        name = self.database.history(names=again)[0]["migration_name"] if again else self.database.last_applied()
        warnings = tuple(
            f"{row['migration_name']}: {row['warning']}" for row in findings if row["migration_name"] == name
        )
        return results.LastApplied(
            migration_name=name, warnings=warnings if name is not None else ("No migration is applied",)
        )

    def deploys(self) -> pd.DataFrame:
        """The deploys, newest first: what each sync or apply, or several with one label, brought. Does not write.

        Returns
        -------
        DataFrame
            Columns label (the deploy's id where none was given), deployed_at (aware), deployed_by (database role),
            client, migrations (tuple, in order), applied (tuple of those that still are), state (applied, partly rolled
            back, rolled back, nothing brought).
        """
        from migrollback_nb.core import frames

        return frames.deploys(self.database.deploys())

    def history(
        self,
        *,
        status: str | None = None,
        since: datetime | timedelta | str | None = None,
        without_rollback: bool = False,
        deploy: str | None = None,
    ) -> pd.DataFrame:
        """The history, newest first. Does not write.

        Parameters
        ----------
        status : {'applied', 'rolled_back', 'failed'}, optional
            Only migrations of this status; the rolled back ones by the time of their rollback.
        since : datetime, timedelta or str, optional
            Only those applied since this moment (aware, or read as UTC), or within this span until now; ``'7d'``,
            ``'36h'`` and ISO dates are understood.
        without_rollback : bool
            Only those in place that have no rollback SQL.
        deploy : str, optional
            Only what the newest deploy of this label brought.

        Returns
        -------
        DataFrame
            Columns migration_name, migration_version, status, applied_at, applied_by, rollback_at, rollback_by, notes,
            checksum, rollback_sql.

        Examples
        --------
        The three queries of "Query Migration History"::

            db.history(since="7d")
            db.history(status="rolled_back")
            db.history(without_rollback=True)
        """
        from migrollback_nb.core import frames

        return frames.history(
            self.history_rows(status=status, since=since, without_rollback=without_rollback, deploy=deploy)
        )

    def history_rows(
        self,
        *,
        status: str | None = None,
        since: datetime | timedelta | str | None = None,
        without_rollback: bool = False,
        deploy: str | None = None,
    ) -> Sequence[dict[str, Any]]:
        """As `history`, as plain rows. Does not write."""
        if status is not None and status not in ("applied", "rolled_back", "failed"):
            raise UsageError(f"There is no status {status}", hint="Use applied, rolled_back or failed.")
        if isinstance(since, str):
            since = parse_since(since)
        if isinstance(since, datetime) and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        names = None if deploy is None else self._deploy(deploy)["migrations"]
        return self.database.history(status=status, since=since, without_rollback=without_rollback, names=names)

    def _deploy(self, label: str) -> dict[str, Any]:
        """The newest deploy of a label."""
        found = self.database.deploys(label)
        if not found:
            raise UsageError(f"There is no deploy {label}", hint="migrollback deploys lists them.")
        return found[0]

    def dependencies(self) -> pd.DataFrame:
        """Every dependency. Does not write.

        Returns
        -------
        DataFrame
            Columns migration_name, depends_on, status, depends_on_status, created_at, source (declared or inferred),
            because (the objects that are the reason of an inferred one).
        """
        from migrollback_nb.core import frames

        return frames.dependencies(self.database.dependencies())

    def infer_dependencies(self, name: str | None = None) -> pd.DataFrame:
        """Which migration needs which earlier one, by the objects that they made, changed, dropped or name. Does not write.

        Parameters
        ----------
        name : str, optional
            Only what this migration needs, and what needs it.

        Returns
        -------
        DataFrame
            Columns migration_name, depends_on, because (the objects), source (catalog: PostgreSQL knows it; parsed: the
            up part's text names it; rollback: the rollback SQL of the earlier one names what this one makes, drops or
            renames; body: it is named inside a function or DO block), recorded (declared, inferred, or missing;
            "inferred, no longer found": it was recorded once, and the files that are now registered give no reason for
            it: `record_dependencies` takes it back). ``attrs["warnings"]`` says what could not be read.
        """
        from migrollback_nb.core import frames

        rows, remarks = self.inferred_rows(name)
        frame = frames.inferred(rows)
        frame.attrs["warnings"] = remarks
        return frame

    def inferred_rows(self, name: str | None = None) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
        """As `infer_dependencies`, as plain rows, and what could not be read. Does not write."""
        from migrollback_nb.operations.dependencies import infer_dependencies

        if name is not None:
            name = self.check(name).migration_name
        inference = infer_dependencies(self.database, self._folder_if_any())
        known = {(row["migration_name"], row["depends_on"]): row["source"] for row in self.database.dependencies()}
        rows = [
            {
                "migration_name": edge.migration_name,
                "depends_on": edge.depends_on,
                "because": edge.reason,
                "source": edge.source,
                "recorded": known.get((edge.migration_name, edge.depends_on)),
            }
            for edge in inference.edges
        ]
        rows += [
            {key: row[key] for key in ("migration_name", "depends_on", "because")}
            | {"source": None, "recorded": "inferred, no longer found"}
            for row in inference.stale
        ]
        return [
            row for row in rows if name is None or name in (row["migration_name"], row["depends_on"])
        ], inference.remarks

    def _folder_if_any(self) -> MigrationFolder | None:
        from migrollback_nb.files.location import default_folder

        return self.folder if self._dir is not None or default_folder() is not None else None

    def events(self, name: str | None = None) -> pd.DataFrame:
        """The audit trail in order, of one migration or of all. Does not write.

        Returns
        -------
        DataFrame
            Columns event_number, occurred_at, event, migration_name, attempt_id, database_user, client, reason, details
            (dict), hash.
        """
        from migrollback_nb.core import frames

        return frames.events(self.database.events(None if name is None else _stem(name)))

    def attempts(self) -> pd.DataFrame:
        """Attempts to roll back, also those that were refused or failed, by the audit trail. Does not write.

        Returns
        -------
        DataFrame
            Columns attempt_id, migration_name, outcome (rolled_back, failed, refused, unknown), started_at, ended_at
            (aware), in_place (from apply to rollback), duration_ms (of the SQL), sqlstate, database_user, client,
            reason; a row for each migration of each attempt, in order.
        """
        from migrollback_nb.core import frames

        return frames.attempts(self.database.events())

    def verify_events(self) -> AuditResult:
        """Check the audit trail's chain of hashes in Python. Does not write."""
        from migrollback_nb.operations import audit

        return audit.verify(self.database.events())

    def check(self, name: str) -> CheckResult:
        """May this migration be rolled back now? Does not write.

        Parameters
        ----------
        name : str
            Its name, with or without ``.sql``.

        Raises
        ------
        MigrationNotFound
            When it is not registered, with names that come close.
        """
        name = _stem(name)
        row = self.database.can_rollback(name)
        if not row["found"]:
            raise self._not_found(name)
        return results.CheckResult(
            migration_name=name,
            can_rollback=row["can_rollback"],
            reason=row["reason"],
            dependent_migrations=tuple(row["dependent_migrations"]),
            warnings=(*row["warnings"], *self._file_warnings(name, row)),
        )

    def _not_found(self, name: str) -> MigrationNotFound:
        from difflib import get_close_matches

        similar: tuple[str, ...] = ()
        with suppress(Exception):  # it is not there, whether or not the others can be asked for
            similar = tuple(get_close_matches(name, self.database.names(), n=3))
        return MigrationNotFound(name, similar=similar)

    def plan(self, name: str) -> Plan:
        """The chain: in which order this migration and all that rests on it would be rolled back. Does not write.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        DependencyError
            When dependencies form a circle.
        """
        name = _stem(name)
        edges = self.database.dependents(name)
        own = self.database.find(name)
        if own is None:
            raise self._not_found(name)
        statuses = {row["migration_name"]: row["status"] for row in edges} | {name: own["status"]}
        applied_at = {row["migration_name"]: row["applied_at"] for row in edges}
        steps = ordering.rollback_order(
            name,
            ((row["migration_name"], row["depends_on"]) for row in edges),
            {step: status != "rolled_back" for step, status in statuses.items()},
            like=sorted(applied_at, key=lambda step: (applied_at[step], step)),
        )
        return results.Plan(migration_name=name, steps=tuple(steps), statuses={step: statuses[step] for step in steps})

    @overload
    def preview(self, name: str | Sequence[str], *, chain: bool = False) -> Preview: ...
    @overload
    def preview(
        self, name: str | Sequence[str] | None = None, *, chain: bool = False, deploy: str | None = None
    ) -> Preview | NothingToRollBack: ...
    def preview(
        self, name: str | Sequence[str] | None = None, *, chain: bool = False, deploy: str | None = None
    ) -> Preview | NothingToRollBack:
        """What a rollback would run: the dry run. Does not write.

        Parameters
        ----------
        name : str or sequence of str, optional
            The migration, or several in the order in which they are to be rolled back.
        chain : bool
            True: with all that must be rolled back before it.
        deploy : str, optional
            Instead of a name: the label of a deploy, for exactly what it brought and is still applied.

        Returns
        -------
        Preview or NothingToRollBack
            Its fingerprint makes `rollback` refuse when anything has changed meanwhile; ``confirm`` is what it is
            confirmed by. A deploy that brought nothing, or is rolled back already, has nothing to roll back.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        Refused
            When a rule forbids it, with the reason in words.
        UsageError
            When there is no deploy of this label.
        """
        names = self._steps(name, chain=chain, deploy=deploy)
        if deploy is not None and not names:
            return results.NothingToRollBack(deploy=deploy, state=self._deploy(deploy)["state"])
        # first of all: what changes between these questions must show as a change
        fingerprint = self.database.fingerprint(names)
        rows = self.database.dry_run(names)
        if not rows[0]["success"]:
            from migrollback_nb.operations.rejection import refusal

            refused = rows[0]["migration_name"]
            raise refusal(self.database, names, refused, rows[0]["message"], result=self.check(refused))
        known = self.database.warnings(names)
        checks = tuple(
            results.CheckResult(
                migration_name=row["migration_name"],
                can_rollback=True,
                reason=row["message"],
                warnings=(
                    *known[row["migration_name"]]["warnings"],
                    *self._file_warnings(row["migration_name"], known[row["migration_name"]]),
                ),
            )
            for row in rows
        )
        steps = tuple((row["migration_name"], row["sql_executed"]) for row in rows)
        ledgers = self.database.deploy_ledgers_of(names)
        return results.Preview(
            steps=steps,
            checks=checks,
            fingerprint=fingerprint,
            target=self.look_up_target(),
            deploy_ledgers=ledgers,
            deploy=deploy,
        )

    @overload
    def rehearse(
        self,
        name: str | Sequence[str],
        *,
        chain: bool = False,
        on: str | None = None,
        consent: bool = False,
        lock_timeout: str | None = None,
        statement_timeout: str | None = None,
        progress: Tell | None = None,
    ) -> Rehearsal: ...
    @overload
    def rehearse(
        self,
        name: str | Sequence[str] | None = None,
        *,
        deploy: str | None = None,
        chain: bool = False,
        on: str | None = None,
        consent: bool = False,
        lock_timeout: str | None = None,
        statement_timeout: str | None = None,
        progress: Tell | None = None,
    ) -> Rehearsal | NothingToRollBack: ...
    def rehearse(
        self,
        name: str | Sequence[str] | None = None,
        *,
        deploy: str | None = None,
        chain: bool = False,
        on: str | None = None,
        consent: bool = False,
        lock_timeout: str | None = None,
        statement_timeout: str | None = None,
        progress: Tell | None = None,
    ) -> Rehearsal | NothingToRollBack:
        """Run a rollback for real, inside a transaction that is then undone, and tell what it did. Writes: one event of the audit trail, nothing else.

        Parameters
        ----------
        name : str or sequence of str, optional
            The migration, or several in the order in which they are to be rolled back.
        deploy : str, optional
            Instead of a name: the label of a deploy, for exactly what it brought and is still applied.
        chain : bool
            True: with all that must be rolled back before it.
        on : str, optional
            ``scratch``: on a copy of the schema, without rows, in a database on this machine that is gone afterwards; or the DSN of a server for it.
            Of the target pg_dump then reads the schema, and nothing is written there, no event either.
        consent : bool
            True: also when undoing does not undo all that the SQL does (nextval, COPY to a file ...).
        lock_timeout : str, optional
            Longest wait for one lock; by default that of the timeouts, 500ms. There is one try.
        statement_timeout : str, optional
            Longest time for all of it, ``30s`` by default: it holds the locks that the rollback would hold.
        progress : callable, optional
            Called with a `RollbackProgress` before each statement, as that of `rollback`; not on a copy.

        Returns
        -------
        Rehearsal or NothingToRollBack
            Also when the rollback would fail: ``success`` and ``failure`` say so. Its fingerprint makes `rollback`
            refuse when anything has changed meanwhile. A deploy that brought nothing, or is rolled back already, has
            nothing to rehearse.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        Refused
            When a rule forbids it, with the reason in words; or when it needs consent.
        UsageError
            When the schema cannot be copied to where it is to be rehearsed, or there is no deploy of this label.
        """
        from migrollback_nb.operations import rehearse as rehearsing

        names = self._steps(name, chain=chain, deploy=deploy)
        if deploy is not None and not names:
            return results.NothingToRollBack(deploy=deploy, state=self._deploy(deploy)["state"])
        known = self.database.warnings(names)
        for step in names:
            if step not in known:
                raise self._not_found(step)
        try:
            if on is not None:
                rehearsed = rehearsing.rehearse_on_copy(
                    self.database, names, on=on, consent=consent, statement_timeout=statement_timeout
                )
            else:
                with self.database.undertaking(progress):
                    rehearsed = rehearsing.rehearse(
                        self.database,
                        names,
                        consent=consent,
                        lock_timeout=lock_timeout,
                        statement_timeout=statement_timeout,
                    )
        except Refused as error:
            if error.migration_name is not None and not error.dependents:
                from migrollback_nb.operations.rejection import refusal

                raise refusal(self.database, names, error.migration_name, error.reason, hint=error.hint) from None
            raise
        warnings = tuple(
            text
            for step in names
            for text in (*known[step]["warnings"], *self._file_warnings(step, known[step], thorough=True))
        )
        return replace(rehearsed, warnings=(*warnings, *self.database.remarks))

    def _steps(self, name: str | Sequence[str] | None, *, chain: bool, deploy: str | None = None) -> tuple[str, ...]:
        if deploy is not None:
            if name is not None or chain:
                raise UsageError("A deploy is rolled back as a whole", hint="Give its label alone, or a name.")
            return tuple(self.database.migrations_of_deploy(deploy))
        if name is None:
            raise UsageError("No migration was named", hint="Name one, or a deploy by its label.")
        if not isinstance(name, str):
            if not name:
                raise UsageError(
                    "No migration was named",
                    hint="Name one, or several in the order in which they are to be rolled back.",
                )
            return tuple(_stem(one) for one in name)
        return self.plan(name).steps if chain else (_stem(name),)

    # -- deeds -----------------------------------------------------------------------------------------------------

    @overload
    def rollback(
        self,
        name: str | Sequence[str],
        *,
        confirm: str,
        reason: str | None = None,
        preview: Preview | Rehearsal | str | None = None,
        chain: bool = False,
        trail: Path | str | None = None,
        snapshots: Snapshots = "ends",
        progress: Tell | None = None,
    ) -> RollbackResult | ChainResult: ...
    @overload
    def rollback(
        self,
        name: str | Sequence[str] | None = None,
        *,
        confirm: str,
        deploy: str | None = None,
        reason: str | None = None,
        preview: Preview | Rehearsal | str | None = None,
        chain: bool = False,
        trail: Path | str | None = None,
        snapshots: Snapshots = "ends",
        progress: Tell | None = None,
    ) -> RollbackResult | ChainResult | NothingToRollBack: ...
    def rollback(
        self,
        name: str | Sequence[str] | None = None,
        *,
        confirm: str,
        deploy: str | None = None,
        reason: str | None = None,
        preview: Preview | Rehearsal | str | None = None,
        chain: bool = False,
        trail: Path | str | None = None,
        snapshots: Snapshots = "ends",
        progress: Tell | None = None,
    ) -> RollbackResult | ChainResult | NothingToRollBack:
        """Roll a migration back. Writes: runs its rollback SQL, whole or not at all, and compares the schema with what it was before the migration was applied.

        Parameters
        ----------
        name : str or sequence of str, optional
            The migration, or several in the order in which they are to be rolled back, in one transaction.
        confirm : str
            The migration's name once more (of several: the last; of a deploy: its label): nothing runs by accident.
        deploy : str, optional
            Instead of a name: the label of a deploy. Exactly what it brought and is still applied is rolled back,
            newest first, in one transaction.
        reason : str, optional
            Goes into the audit trail. On production there must be one: see `install`, and the variable
            MIGROLLBACK_PRODUCTION.
        preview : Preview, Rehearsal or str, optional
            What was looked at, or its fingerprint: refused when anything has changed since.
        chain : bool
            True: with all that must be rolled back before it, in one transaction.
        trail : Path or str, optional
            Where the audit trail is saved before the rollback system itself is rolled back; by default a dated file in
            the current folder.
        snapshots : {'ends', 'each', 'none'}
            Of the schema: one before any lock is taken and one after it is committed; of several also one between each
            two, while the locks are held; or none, and nothing is verified.
        progress : callable, optional
            Called with a `RollbackProgress` before each statement, and around them; from the thread that calls this.
            One that fails is called no more, and a warning says so.

        Returns
        -------
        RollbackResult, ChainResult or NothingToRollBack
            ``unchanged`` says that the SQL ran but wrote nothing; ``verification``, whether the schema is as it was before.

        Raises
        ------
        MigrationNotFound, ConfirmationRequired, Refused
            Nothing was changed.
        RollbackFailed
            The SQL failed and was undone; after a lasting error the status is ``failed``.
        LockBusy
            Somebody holds a lock; nothing was changed.
        """
        from migrollback_nb.core.production import is_production
        from migrollback_nb.operations import rollback as rolling_back
        from migrollback_nb.operations import snapshots as around
        from migrollback_nb.operations.interrupts import telling_what_stays

        around.check_choice(snapshots)
        names = self._steps(name, chain=chain, deploy=deploy)
        if deploy is not None and confirm != deploy:
            raise ConfirmationRequired(
                f"Deploy {deploy} was not confirmed", migration_name=None, hint=f"Confirm by its label: {deploy}"
            )
        if deploy is not None and not names:
            return results.NothingToRollBack(deploy=deploy, state=self._deploy(deploy)["state"])
        if deploy is None and confirm.removesuffix(".sql") != names[-1]:
            raise ConfirmationRequired(
                f"{names[-1]} was not confirmed", migration_name=names[-1], hint=f"Confirm by its name: {names[-1]}"
            )
        if preview is not None and not isinstance(preview, str) and preview.target != self.target:
            raise Refused(
                f"The preview is of another database: {preview.target}",
                migration_name=names[-1],
                hint="Preview it here first.",
            )
        fingerprint = preview if preview is None or isinstance(preview, str) else preview.fingerprint
        warnings: tuple[str, ...] = ()
        in_steps = False
        known = self.database.warnings(names)
        if not (reason or "").strip() and is_production(self.look_up_target()):
            raise ConfirmationRequired(
                f"Database {self.target.database} on {self.target.host} is production: a rollback there needs a reason",
                migration_name=names[-1],
                hint="Give it with --reason TEXT (reason=...): it goes into the audit trail.",
            )
        for step in names:
            if step not in known:
                raise self._not_found(step)
            warnings += self._file_warnings(step, known[step])
            in_steps = in_steps or known[step]["in_steps"]
            if known[step]["system"] and len(names) > 1:
                raise Refused("The rollback system itself is rolled back alone", migration_name=step)
            if known[step]["system"]:
                return rolling_back.roll_back_system(
                    self.database, step, reason=reason, preview=fingerprint, trail=trail, warnings=warnings
                )
        with self.database.undertaking(progress), telling_what_stays(self.database, "rolled back", in_steps=in_steps):
            result = rolling_back.roll_back(
                self.database,
                names,
                reason=reason,
                fingerprint=fingerprint,
                snapshots=snapshots,
                in_steps=in_steps,
                warnings=warnings,
            )
        return replace(result, warnings=(*result.warnings, *self.database.remarks))

    def verify_rollback(self, name: str) -> Verification:
        """Verify the last rollback of a migration later, where that could not be done at once. Writes one event, and a snapshot where none was taken since.

        Compares the schema with what it was before the migration was applied. Of a rollback of several, all are
        verified together.

        Parameters
        ----------
        name : str
            The migration, with or without ``.sql``.

        Raises
        ------
        MigrationNotFound, Refused
            When it is not registered, or not rolled back.
        """
        row = self.database.find(_stem(name))
        if row is None:
            raise self._not_found(_stem(name))
        if row["status"] != "rolled_back":
            raise Refused(
                f"There is no rollback of {_stem(name)} to verify: its status is {row['status']}",
                migration_name=_stem(name),
            )
        return results.Verification.from_row(self.database.verify_last_rollback(_stem(name)))

    def export_audit_log(self, path: Path | str) -> AuditResult:
        """Save history, dependencies and audit trail as a JSON file. Does not write to the database.

        Raises
        ------
        UsageError
            When the file exists already: a trail is never overwritten.
        """
        from migrollback_nb.operations.audit_log import export_audit_log

        return export_audit_log(self.database, path)

    def register(self, name: str) -> RegisterResult:
        """Register a migration that is in place, or update what is registered of it. Writes.

        Parameters
        ----------
        name : str
            Its name in the folder, with or without ``.sql``.

        Raises
        ------
        MigrationNotFound, MigrationFileError
            When there is no such file, or it is bad.
        DependencyError
            When it depends on migrations that are not registered, or in a circle.
        """
        from migrollback_nb.operations.ledgers import not_applied_warning
        from migrollback_nb.operations.register import live_block_warning

        file = self.folder.read(name)
        outcome = self.database.register_many([file.record()])[file.name]
        try:
            warnings = (*live_block_warning(self.database, file), *not_applied_warning(self.database, file))
        except ConnectionFailed as lost:  # what is registered is committed
            warnings = (f"What its deploy tool knows of it could not be asked: {lost.message}",)
        return results.RegisterResult(
            migration_name=file.name,
            outcome=outcome,
            has_rollback_sql=file.rollback is not None,
            warnings=(*file.remarks, *warnings),
        )

    def sync(self, *, deploy: str | None = None, progress: Progress | None = None) -> SyncResult:
        """Register every migration of the folder that is not registered yet, and record what its deploy tool did meanwhile. Writes.

        The tool's ledger is asked about every file and every registered migration: what it does not hold is not
        registered, what it holds again after a rollback is recorded as applied again, and what it no longer holds is
        said. A bad file, a missing or circular dependency is reported and stops no other; a changed, a renamed and a
        deleted file are reported.

        Parameters
        ----------
        deploy : str, optional
            Label of the deploy that these belong to, for `rollback(deploy=)`; several calls with one label add to one
            deploy.
        progress : callable, optional
            Called with (done, all, name).

        Raises
        ------
        Refused
            When the deploy tool is at work now, with its process.
        """
        from migrollback_nb.operations import register as registering

        return registering.sync(self.database, self.folder, deploy=deploy, progress=progress)

    def pending(self) -> tuple[str, ...]:
        """Names of the folder's migrations that are not in place, in the order in which they would be applied. Does not write.

        Raises
        ------
        MigrationFileError, DependencyError
            When a file of the folder is bad: what is pending cannot be told then.
        """
        from migrollback_nb.operations.apply import pending

        return tuple(file.name for file in pending(self.database.history_states(), self.folder).files)

    def apply(
        self,
        *names: str,
        again: bool = False,
        deploy: str | None = None,
        progress: Progress | None = None,
        snapshots: Snapshots = "ends",
    ) -> ApplyResult:
        """Run the up part of migrations and register them. Writes: each whole or not at all, in a transaction of its own.

        Parameters
        ----------
        *names : str
            Migrations of the folder; without any, all that were never registered, dependencies first, and those that
            were rolled back and changed since. Others that were rolled back are applied again only by name, or with
            `again`; the result says which were left.
        again : bool
            True: also all that were rolled back.
        deploy : str, optional
            Label of the deploy that these belong to, for `rollback(deploy=)`; several calls with one label add to one
            deploy.
        progress : callable, optional
            Called with (done, all, name).
        snapshots : {'ends', 'each', 'none'}
            Of the schema, which a later rollback is compared with: one before the first, one after the last, and around
            one that runs outside a transaction; also between each two; or none.

        Raises
        ------
        ApplyFailed
            The up part of one failed and was undone; those before it stay applied.
        Refused
            When it depends on migrations that are not applied, its SQL cannot run, or its deploy tool has applied it or
            is at work.
        """
        from migrollback_nb.operations import apply as applying

        stems = [_stem(name) for name in names]
        return applying.apply(
            self.database, self.folder, stems, again=again, deploy=deploy, progress=progress, snapshots=snapshots
        )

    def record_dependencies(self) -> RecordResult:
        """Keep what `infer_dependencies` finds. Writes: from then on these dependencies block and order as declared ones do.

        One that would close a circle is left out, with a remark. One that was inferred before and is not found any more
        is taken back.
        """
        from migrollback_nb.operations.dependencies import infer_dependencies

        found = infer_dependencies(self.database, self._folder_if_any())
        known = {(row["migration_name"], row["depends_on"]) for row in self.database.dependencies()}
        new = [edge for edge in found.edges if (edge.migration_name, edge.depends_on) not in known]
        rows, gone = self.database.record_dependencies(
            [
                {"migration_name": edge.migration_name, "depends_on": edge.depends_on, "because": edge.reason}
                for edge in new
            ],
            found.made,
            [{"migration_name": row["migration_name"], "depends_on": row["depends_on"]} for row in found.stale],
        )
        return results.RecordResult(
            dependencies=tuple(results.DependencyRecord(**row) for row in rows),
            removed=tuple(results.DependencyRecord(**row, recorded=False, remark="no longer found") for row in gone),
            warnings=found.remarks,
        )

    def resolve(self, name: str, *, status: str, reason: str) -> RegisterResult:
        """Say how a failed migration stands, once a person has looked after it. Writes the history; runs no migration SQL.

        Parameters
        ----------
        name : str
            The migration.
        status : {'applied', 'rolled_back'}
            What is true of the database now.
        reason : str
            What was found and done; goes into the audit trail.
        """
        name = _stem(name)
        row = self.database.find(name)
        if row is None:
            raise self._not_found(name)
        before = self.database.resolve(name, status, reason)
        return results.RegisterResult(
            migration_name=name,
            outcome=f"{before} -> {status}",
            has_rollback_sql=bool((row["rollback_sql"] or "").strip()),
        )

    def snapshot(self, name: str, description: str | None = None) -> str:
        """Store the schema as it stands. Writes one snapshot; returns its id.

        Parameters
        ----------
        name : str
            The migration that it is taken for; it need not be registered yet.
        description : str, optional
            Why.
        """
        return self.database.snapshot(_stem(name), description)

    def snapshots(self, name: str | None = None) -> pd.DataFrame:
        """The snapshots that are stored, newest first; of one migration or of all. Does not write.

        Returns
        -------
        DataFrame
            Columns id, migration_name, description, taken_at (aware), taken_by, objects (how many), bytes (as stored).
        """
        from migrollback_nb.core import frames

        return frames.snapshots(self.database.snapshots(None if name is None else _stem(name)))

    def diff(self, old: str, new: str = "now") -> SchemaDiff:
        """What differs between two snapshots, or between one and the schema as it stands now. Does not write.

        Parameters
        ----------
        old, new : str
            Id of a snapshot, or the beginning of one that no other has, or a migration's name for the newest that was
            taken for it; `new` also ``now``.

        Raises
        ------
        UsageError
            When there is no such snapshot, or more than one.
        """
        old_id, old_label = self._find_snapshot(old)
        new_id, new_label = (None, "now") if new == "now" else self._find_snapshot(new)
        return results.SchemaDiff.from_rows(self.database.diff(old_id, new_id), old=old_label, new=new_label)

    def _find_snapshot(self, wanted: str) -> tuple[str, str]:
        found = self.database.find_snapshots(_stem(wanted))
        if len(found) != 1:
            trouble = f"There is no snapshot {wanted}" if not found else f"{len(found)} snapshots begin with {wanted}"
            raise UsageError(trouble, hint="migrollback snapshots lists them with their ids.")
        row = found[0]
        return str(row["id"]), f"{row['taken_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({row['migration_name']}" + (
            f": {row['description']})" if row["description"] else ")"
        )

    def verify(
        self,
        *names: str,
        on: str | None = None,
        bin: Path | str | None = None,
        own_server: bool = False,
        prelude: Sequence[Path | str] | Path | str | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Try the rollbacks of the folder on a scratch database and grade each; see `migrollback_nb.verify`. Writes only there, not in this database."""
        return verify(self._dir, *names, on=on, bin=bin, own_server=own_server, prelude=prelude, progress=progress)

    def proof(
        self,
        *names: str,
        on: str | None = None,
        bin: Path | str | None = None,
        own_server: bool = False,
        prelude: Sequence[Path | str] | Path | str | None = None,
        progress: Progress | None = None,
    ) -> Proof:
        """As `verify`, as one result that shows as HTML. Writes only on a scratch database."""
        from migrollback_nb.replay.proof import prove_folder

        return prove_folder(self._dir, names, on=on, bin=bin, own_server=own_server, prelude=prelude, progress=progress)

    def template(
        self,
        name: str,
        *,
        prove: bool = False,
        on: str | None = None,
        own_server: bool = False,
        prelude: Sequence[Path | str] | Path | str | None = None,
    ) -> Template:
        """Suggest a rollback block for a migration of the folder, for this database; see `migrollback_nb.template`. Writes only on a scratch database.

        This database says how it is to be written: for which version of PostgreSQL, and commented out where Supabase's
        ledger is there. It need not have the rollback system. All else is looked up elsewhere.

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
            commented = commented or self.database.uses_supabase()
        return suggest.template(
            folder,
            file,
            commented=commented,
            major=int(self.target.server_version.split(".")[0]),
            prove=prove,
            on=on,
            own_server=own_server,
            first=preludes.find(prelude),
        )

    # -- runbook ---------------------------------------------------------------------------------------------------

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
        """Copy the runbook's notebooks for one migration, filled in. Writes a new, dated folder, and nothing to the database.

        Parameters
        ----------
        name : str
            The migration.
        ticket : str, optional
            Goes with each answer into the audit trail.
        chain : bool
            Whether all that rests on it is to be rolled back with it.
        into : Path or str, optional
            Where the folder goes; by default the current one.
        dsn_given : bool
            True: the notebooks are not to name the variable that this connection may have come from.
        """
        from migrollback_nb.runbook.notebooks import copy_runbook

        return copy_runbook(self, name, ticket=ticket, chain=chain, into=into, dsn_given=dsn_given)

    def report(self, name: str, file: Path | str | None = None, *, run: int | None = None) -> Path:
        """Write the whole story of a migration's rollback as one HTML file. Writes that file, over none that is there, and nothing to the database.

        Parameters
        ----------
        name : str
            The migration.
        file : Path or str, optional
            Where; by default a dated name in the current folder.
        run : int, optional
            An earlier run of its checklist; by default the present one.
        """
        from migrollback_nb.runbook.report import write_report

        return write_report(self, name, file, run=run)

    # -- graph -----------------------------------------------------------------------------------------------------

    def graph(self, name: str | None = None, *, depth: int = 2, hide_rolled_back: bool = False) -> graphviz.Digraph:
        """Draw the dependencies: dependents above what they depend on. Does not write.

        Parameters
        ----------
        name : str, optional
            Only this migration and its neighbourhood.
        depth : int
            How many dependencies away the neighbourhood reaches.
        hide_rolled_back : bool
            Leave out what is rolled back.
        """
        from migrollback_nb.display import graphs

        rows = self.database.registered()
        if name is not None and _stem(name) not in {row["migration_name"] for row in rows}:
            raise self._not_found(_stem(name))
        return graphs.dependency_graph(
            rows,
            self.database.dependencies(),
            focus=None if name is None else _stem(name),
            depth=depth,
            hide_rolled_back=hide_rolled_back,
        )

    # -- the system ------------------------------------------------------------------------------------------------

    def install(
        self,
        *,
        production: bool | None = None,
        reason: str | None = None,
        trust_ledger_of: Sequence[str] = (),
        distrust_ledger_of: Sequence[str] = (),
    ) -> InstallResult:
        """Install the rollback system, or bring an older one up to date. Writes; what is up to date is left as it is.

        Parameters
        ----------
        production : bool, optional
            True: mark the database as production. From then on a rollback there needs a reason, for every caller and
            client, and a person is asked to type the migration's name. False: take the mark away. By default it stays
            as it is.
        reason : str, optional
            Why it is marked, or not production any more; goes into the audit trail. Needed to take the mark away.
        trust_ledger_of : sequence of str
            Roles whose deploy ledgers are read and written from now on. Such a role can then act with the rights of
            everybody who rolls back: its triggers run.
        distrust_ledger_of : sequence of str
            Roles that are trusted so no longer.

        Raises
        ------
        UsageError
            When there is no role of a name.
        NewerSystem
            When the database's system is newer than this package.
        Refused
            When tables of the same names, or functions that stand in the way, are in the schema and not ours; when an older system is another role's.
        """
        from migrollback_nb.database.system_files import SYSTEM_NAME

        if production is None and reason is not None:
            raise UsageError(
                "A reason is given, and nothing that it is the reason of",
                hint="Say also production=True or production=False.",
            )
        if production is False and not (reason or "").strip():
            raise UsageError(
                "Why this database is not production was not said",
                hint="Give a reason (--reason TEXT): it goes into the audit trail.",
            )
        # one name is no list of its letters
        trust, distrust = (
            (names,) if isinstance(names, str) else tuple(names) for names in (trust_ledger_of, distrust_ledger_of)
        )
        self.database.refuse_unknown_roles(trust)
        done = None
        not_ours = self.database.not_ours()
        try:
            done = self.database.install()
            for role in trust:
                self.database.trust_ledger_owner(role, trusted=True)
            for role in distrust:
                self.database.trust_ledger_owner(role, trusted=False)
            closed, warnings = self.database.close_rights()
            marked = production is not None and self.database.mark_production(production, reason)
            return results.InstallResult(
                installed=(SYSTEM_NAME,) if done.changed and done.from_version is None else (),
                upgraded_from=done.from_version if done.changed else None,
                version=done.to_version,
                rights_closed=closed + done.rights_closed,
                target=self.look_up_target(),
                warnings=warnings,
                production_changed=marked,
                not_ours=not_ours,
                trusted_ledger_owners=self.database.trusted_ledger_owners(),
            )
        except ConnectionFailed as lost:
            if done is None or not done.changed:
                raise
            raise ConnectionFailed(
                f"{lost.message} when {SYSTEM_NAME} was installed and committed already",
                hint="Run install again: it does what comes after that.",
            ) from lost
        except DatabaseError as error:
            if error.sqlstate not in {"42723", "42725"} or not not_ours:  # there already, or not unique
                raise
            found = "; ".join(map(str, not_ours))
            raise Refused(
                f"{error.primary}: {found}",
                hint="Drop what is not this system's, or have its owner do it, and install again.",
            ) from error

    def require_target(self, expected: str | None) -> None:
        """Make sure that this is the database that was meant, as host:port/database; None: any. Does not write.

        Raises
        ------
        Refused
            When it is another one.
        """
        here = f"{self.target.host}:{self.target.port}/{self.target.database}"
        if expected is not None and expected != here:
            raise Refused(
                f"This is {here}, and {expected} was meant",
                hint="Correct the connection, or make a runbook for this database.",
            )

    def require_system(self) -> None:
        """Make sure that the rollback system is there, and of the version of this package. Does not write.

        Raises
        ------
        NotInstalled, OlderSystem, NewerSystem
        """
        self.database.require_system()


def _stem(name: str) -> str:
    return name.removesuffix(".sql")


def parse_since(text: str) -> datetime | timedelta:
    """Read a span (``7d``, ``36h``, ``90m``, ``2w``) or an ISO date or time; pure.

    Raises
    ------
    UsageError
        When it is neither, or longer ago than a calendar reaches.
    """
    units = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}
    try:
        if text[-1:] in units and text[:-1].isdecimal():
            span = timedelta(**{units[text[-1]]: int(text[:-1])})
            datetime.now(UTC) - span  # does the calendar reach that far back?
            return span
        moment = datetime.fromisoformat(text)
        (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is neither a span nor a date",
            hint="Write 7d, 36h, 90m, 2w, 2025-01-20 or 2025-01-20T14:30+01:00.",
        ) from None
    return moment
