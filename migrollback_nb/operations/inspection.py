"""`Inspection`: what is asked of one database and one folder of migrations, as typed results. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from migrollback_nb.core import results
from migrollback_nb.core.errors import MigrationNotFound, Refused, UsageError
from migrollback_nb.operations.preview import stem

if TYPE_CHECKING:
    from uuid import UUID

    from migrollback_nb.core.selectors import Facts
    from migrollback_nb.core.times import When
    from migrollback_nb.database import Database
    from migrollback_nb.files.formats import MigrationFolder
    from migrollback_nb.operations.ranges import Found


def ledger_lines(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What the ledgers of deploy tools know better than the history, a line each. Pure."""
    return tuple(f"{row['migration_name']}: {row['warning']}" for row in rows)


def half_applied_lines(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Which migrations stopped between two statements, a line each, with the fix. Pure."""
    return tuple(f"{row['migration_name']}: {row['remark']}" for row in rows)


class Inspection:
    """One database and one folder of migrations: where, what is known, what a rollback would run. Does not write.

    Parameters
    ----------
    database : Database
        The connection.
    dir : Path or str, optional
        Folder of migration files; by default the variable MIGROLLBACK_DIR, else ``supabase/migrations`` or
        ``migrations``.
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.target}>"

    # -- where -----------------------------------------------------------------------------------------------------

    @property
    def target(self) -> results.Target:
        """Which database this is; never its password."""
        return self.database.target

    def look_up_target(self) -> results.Target:
        """Which database this is, and whether it is marked as production now. Does not write."""
        self.database.queries.look_up_production()
        return self.target

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
        self.database.system.require_system()

    @property
    def folder(self) -> MigrationFolder:
        """The folder of migration files.

        Raises
        ------
        UsageError
            When none is named and none of the usual ones exists.
        """
        from migrollback_nb.files.formats import find_folder

        return find_folder(self._dir)

    @property
    def folder_path(self) -> Path | None:
        """Where the folder of migration files is, whether or not it exists; None where none is named or usual."""
        from migrollback_nb.files.location import default_folder, folder_path

        return default_folder() if self._dir is None else folder_path(self._dir)

    def _folder_if_any(self) -> MigrationFolder | None:
        return None if self.folder_path is None else self.folder

    # -- queries ---------------------------------------------------------------------------------------------------

    def selected(
        self, select: str | Sequence[str] | None, exclude: str | Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """The registered migrations that a selector means, in the order of the history, oldest first. Does not write.

        Parameters
        ----------
        select : str or sequence of str, optional
            A selector such as ``name+`` or ``table:users,status:applied``, or several of which any counts; None: every
            migration.
        exclude : str or sequence of str, optional
            A selector of what is left out.

        Raises
        ------
        MigrationNotFound, UsageError
            When it is not understood, or names what is not there, with what comes close.
        """
        from migrollback_nb.operations.selection import select as find

        return find(self.database, select, exclude, folder=self.folder_path).names

    def selector_facts(self) -> Facts:
        """What there is to be selected, for `complete` of `migrollback_nb.core.selectors`. Does not write."""
        return self.database.selectors.facts()

    def chosen(self, select: str | Sequence[str] | None, exclude: str | Sequence[str] | None) -> tuple[str, ...] | None:
        """As `selected`; None, and nothing is asked, where neither is given. Does not write."""
        return None if select is None and exclude is None else self.selected(select, exclude)

    def _found(self, name: str | Sequence[str] | None, **range: Any) -> Found:
        """The migrations that are meant by a name, several, or a range, in the order of their rollback."""
        from migrollback_nb.operations import ranges

        return ranges.find(self.database, ranges.asked(name, **range), folder=self.folder_path)

    def check(self, name: str) -> results.CheckResult:
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
        from migrollback_nb.operations.preview import check

        return check(self.database, stem(name), folder=self.folder_path)

    def assess(
        self,
        name: str | Sequence[str] | None = None,
        *,
        chain: bool = False,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
    ) -> results.Assessment:
        """What is known of a rollback before it runs, in one verdict: the first line of every answer. Does not write.

        Parameters
        ----------
        name : str or sequence of str, optional
            The migration, or several, in any order.
        chain : bool
            True: with all that must be rolled back before it.
        deploy, to, last, since
            Instead of a name: a range, as of `preview`.

        Raises
        ------
        MigrationNotFound
            When one is not registered.
        UsageError
            When nothing of a range is applied.
        """
        from migrollback_nb.operations.preview import assess

        found = self._found(name, chain=chain, deploy=deploy, to=to, last=last, since=since)
        if not found.steps:
            raise UsageError(f"{found.range.nothing}: there is nothing to assess")
        return assess(self.database, found.steps)

    def ledger_warnings(self) -> tuple[str, ...]:
        """What the ledgers of deploy tools know better than the history, a line each. Does not write."""
        return ledger_lines(self.database.queries.ledger_findings())

    def half_applied_warnings(self) -> tuple[str, ...]:
        """Which migrations stopped between two statements, a line each, with the fix. Does not write."""
        return half_applied_lines(self.database.lookups.half_applied())

    def history_warnings(self) -> tuple[str, ...]:
        """What the history alone does not show: what is half applied, and times that are none. Does not write."""
        count = self.database.lookups.registered_by_sync()
        times = (
            f"applied_at of {count} migration{'s' if count > 1 else ''} is the time of"
            f" {'their' if count > 1 else 'its'} registration, for no ledger says when"
            f" {'they were' if count > 1 else 'it was'} applied"
        )
        return (*self.half_applied_warnings(), *((times,) if count else ()))

    def last(self, *, deploy: str | None = None) -> results.LastApplied:
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
        from migrollback_nb.operations import ledgers

        return ledgers.last_applied(self.database, deploy=deploy)

    def audit(self, *, anchors: str | Sequence[str] = (), export: Path | str | None = None) -> results.AuditResult:
        """Check the audit log, and what it tells of against what there is. Does not write to the database.

        The chain of hashes, in Python, and what a chain does not show: history, dependencies, snapshots and proofs
        against their events; triggers and functions against what install left, and functions against this package.

        Parameters
        ----------
        anchors : str or sequence of str
            NUMBER:HASH of events that were kept outside the database (`AuditResult.anchor`, in each report): they
            show a tail that was cut, and a log that was written anew.
        export : Path or str, optional
            A new file for history, dependencies and audit log, which `check_audit_log` checks with no database.

        Returns
        -------
        AuditResult
            ``success`` is true where nothing was found; ``findings`` says what was.

        Raises
        ------
        UsageError
            When an anchor is none, or the file exists or cannot be written.
        """
        from migrollback_nb.operations.audit import audit

        return audit(self.database, anchors=anchors, export=export)

    def doctor(self) -> results.DoctorResult:
        """What of this installation and its database endangers a rollback, each with its fix. Does not write.

        Returns
        -------
        DoctorResult
            ``success`` is true where there is no problem; a note is worth knowing, and nothing is wrong.
        """
        from migrollback_nb.operations.doctor import diagnose

        return diagnose(self.database)

    def verify_events(self) -> results.AuditResult:
        """Check the audit log: `audit` without anchors. Does not write."""
        return self.audit()

    @overload
    def plan(self, select: str | Sequence[str], exclude: str | Sequence[str] | None = None) -> results.Plan: ...
    @overload
    def plan(
        self,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        *,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        chain: bool = False,
    ) -> results.Plan | results.NothingToRollBack: ...
    def plan(
        self,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        *,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        chain: bool = False,
    ) -> results.Plan | results.NothingToRollBack:
        """In which order a migration and all that depends on it, or a range, would be rolled back. Does not write.

        Parameters
        ----------
        select : str or sequence of str, optional
            The migration, or a selector: what it means, closed over all that depends on it.
        exclude : str or sequence of str, optional
            A selector of what is left out.
        deploy, to, last, since
            Instead of a selector: a range, as of `preview`.
        chain : bool
            True: what depends on the range goes with it; False: the plan is blocked by it.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        Refused
            When what is excluded depends on what is selected.
        UsageError
            When a selector is not understood, asks for what is depended on (``+name``), or means nothing that is
            applied.
        DependencyError
            When dependencies form a cycle.
        """
        from migrollback_nb.operations import preview, ranges

        if any(given is not None for given in (deploy, to, last, since)):
            if select is not None or exclude is not None:
                raise UsageError("Names and a range exclude each other", hint="Give the names, or the range.")
            return ranges.plan_of(
                self.database, self._found(None, deploy=deploy, to=to, last=last, since=since, chain=chain)
            )
        if select is None:
            raise UsageError("No migration was named", hint="Name one, several, or a range: to, last, since or deploy.")
        if isinstance(select, str) and exclude is None:  # a registered name wins
            with suppress(MigrationNotFound):
                return preview.plan(self.database, stem(select))
        from migrollback_nb.operations.closure import close_over, plan_of

        return plan_of(self.database, close_over(self.database, select, exclude, folder=self.folder_path))

    @overload
    def preview(self, name: str | Sequence[str], *, chain: bool = False, each: bool = False) -> results.Preview: ...
    @overload
    def preview(
        self,
        name: str | Sequence[str] | None = None,
        *,
        chain: bool = False,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        each: bool = False,
        attempt_id: UUID | str | None = None,
    ) -> results.Preview | results.NothingToRollBack: ...
    def preview(
        self,
        name: str | Sequence[str] | None = None,
        *,
        chain: bool = False,
        deploy: str | None = None,
        to: str | None = None,
        last: int | None = None,
        since: When | None = None,
        select: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        each: bool = False,
        attempt_id: UUID | str | None = None,
    ) -> results.Preview | results.NothingToRollBack:
        """What a rollback would run: the dry run. Does not write.

        Parameters
        ----------
        name : str or sequence of str, optional
            The migration, or several, in any order: the last applied goes first.
        chain : bool
            True: with all that must be rolled back before it.
        deploy : str, optional
            Instead of a name: the label of a deploy, for exactly what it brought and is still applied.
        to : str, optional
            Instead of a name: all that was applied after this migration, which stays.
        last : int, optional
            Instead of a name: the last so many.
        since : str, datetime or timedelta, optional
            Instead of a name: all that was applied since: ``2h``, ``yesterday``, an ISO time.
        select, exclude : str or sequence of str, optional
            Instead of a name: a selector, closed over all that depends on what it means; one of what is left out.
        each : bool
            True: as for a rollback that takes a transaction for each.
        attempt_id : UUID or str, optional
            Of an attempt that began and did not end: what it began with, whatever the range means by now.

        Returns
        -------
        Preview or NothingToRollBack
            Its fingerprint makes `rollback` refuse when anything has changed since; ``confirm`` is what it is
            confirmed by. A range of which nothing is applied has nothing to roll back.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        Refused
            When a rule forbids it, with the reason in words.
        UsageError
            When there is no deploy of this label, or names and a range are given together.
        """
        from migrollback_nb.operations import attempts, ranges
        from migrollback_nb.operations.preview import preview

        meant = ranges.asked(
            name, chain=chain, deploy=deploy, to=to, last=last, since=since, select=select, exclude=exclude
        )
        found = attempts.find(self.database, meant, attempts.read_id(attempt_id), folder=self.folder_path)
        if not found.steps:
            return ranges.nothing_in(self.database, found)
        return preview(self.database, found.steps, folder=self.folder_path, range=meant, closed=found.closed, each=each)

    def lost_rows(self, name: str, *, limit: int = 20) -> results.LostRows:
        """A look at rows and values that its rollback would lose, by its text. Does not write, and records nothing.

        Parameters
        ----------
        name : str
            The migration, with or without ``.sql``.
        limit : int
            So many rows of each table, 20 at most.

        Raises
        ------
        MigrationNotFound
            When it is not registered.
        """
        from migrollback_nb.operations.preview import lost_rows

        return lost_rows(self.database, stem(name), limit=limit)

    def diff(self, old: str, new: str = "now") -> results.SchemaDiff:
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
        from migrollback_nb.operations.snapshots import diff

        return diff(self.database, stem(old), stem(new))

    def pending(self) -> tuple[str, ...]:
        """Names of the folder's migrations that are not applied, in the order in which they would be. Does not write.

        Raises
        ------
        MigrationFileError, DependencyError
            When a file of the folder is bad: what is pending is unknown then.
        """
        from migrollback_nb.operations.apply import pending

        return tuple(file.name for file in pending(self.database.queries.history_states(), self.folder).files)
