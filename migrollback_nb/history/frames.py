"""`HistoryFrames`: the methods that return DataFrames of one database. Does not write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from migrollback_nb.core.errors import DatabaseError, MigrationNotFound, UsageError
from migrollback_nb.core.times import When
from migrollback_nb.history import asked
from migrollback_nb.history.asked import Form, Selector, Words
from migrollback_nb.operations.inspection import half_applied_lines, ledger_lines
from migrollback_nb.operations.preview import stem
from migrollback_nb.operations.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from migrollback_nb.files.formats import MigrationFolder

#: By which time rows of the history are chosen.
On: TypeAlias = Literal["applied", "rolled_back", "last"]
ON = ("applied", "rolled_back", "last")


class HistoryFrames(Workspace):
    """One database and its folder, and what is asked of their history as DataFrames.

    What all methods take: select and exclude, only what a selector means, and without what another one means (see
    `selected`); since and until, from when until before when: a date, datetime, timedelta, numpy's, or text such as
    ``7d``, ``1mo``, ``yesterday``, ``2026-11``; system, with the rollback system's own migration; as_, ``pandas``,
    ``arrow`` or ``polars``. ``attrs`` of each frame: target, schema, asked_at, filters, warnings.
    """

    def _answer(
        self, frame: pd.DataFrame, name: str, form: Form, warnings: Sequence[str] = (), **filters: Any
    ) -> pd.DataFrame:
        """The frame with its attrs, in the form that was asked for."""
        from migrollback_nb.display.frame_look import show_in_notebooks

        show_in_notebooks()
        target = self.target
        return asked.answer(frame, name, form, target=target, schema=target.schema, warnings=warnings, filters=filters)

    def list(
        self, select: Selector = None, exclude: Selector = None, *, system: bool = False, as_: Form = "pandas"
    ) -> pd.DataFrame:
        """All applied migrations, newest first, and whether each may be rolled back. Does not write.

        Returns
        -------
        DataFrame
            Columns migration_name, migration_version, applied_at (aware), status, can_rollback, has_rollback_sql,
            blocking_reason, dependent_migrations (tuple of the nearest that block), verdict and headline as `assess`
            gives them. ``attrs["warnings"]`` says what is half applied, and what deploy ledgers know better.
        """
        from migrollback_nb.core.frames.build import frame_of

        rows, warnings = self.list_with_warnings(select, exclude, system=system)
        frame = frame_of("list", rows)
        return self._answer(frame, "list", as_, warnings, select=select, exclude=exclude, system=system)

    def list_rows(
        self, select: Selector = None, exclude: Selector = None, *, system: bool = False
    ) -> Sequence[dict[str, Any]]:
        """As `list`, as plain rows. Does not write."""
        rows = self.database.queries.list_rollbackable()
        names = self.chosen(select, exclude)
        if names is None:
            own = set() if system else set(self.database.history.system())
            return [row for row in rows if row["migration_name"] not in own]
        kept = set(names)
        return [row for row in rows if row["migration_name"] in kept]

    def list_with_warnings(
        self, select: Selector = None, exclude: Selector = None, *, system: bool = False
    ) -> tuple[Sequence[dict[str, Any]], tuple[str, ...]]:
        """As `list_rows`, and what ``attrs["warnings"]`` of `list` says; in one round trip of all. Does not write."""
        if select is None and exclude is None:
            try:
                found = self.database.history.listed()
            except DatabaseError as error:
                if error.sqlstate != "42501":  # this role may ask for parts of it
                    raise
            else:
                kept = [row for row in found.rows if system or row["migration_name"] not in found.system]
                return kept, (*half_applied_lines(found.half_applied), *ledger_lines(found.findings))
        rows = self.list_rows(select, exclude, system=system)
        return rows, (*self.half_applied_warnings(), *self.ledger_warnings())

    def history(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        status: str | None = None,
        since: When | None = None,
        until: When | None = None,
        on: On | None = None,
        by: Words = None,
        without_rollback: bool = False,
        deploy: str | None = None,
        system: bool = False,
        limit: int | None = None,
        as_: Form = "pandas",
    ) -> pd.DataFrame:
        """The history, newest first: a row for each migration, with all that is known of it. Does not write.

        Parameters
        ----------
        status : {'applied', 'rolled_back', 'failed'}, optional
            Only migrations of this status.
        since, until
            Only those of which `on` happened then.
        on : {'applied', 'rolled_back', 'last'}
            Which of its times counts: when it was applied last, rolled back last, or whichever came last; by default
            last, with ``status="rolled_back"`` rolled_back. The rows are in its order.
        by : str or sequence of str, optional
            Only where these database roles did that.
        without_rollback : bool
            Only applied ones that have no rollback SQL.
        deploy : str, optional
            Only what the newest deploy of this label brought.
        limit : int, optional
            No more rows than this.

        Returns
        -------
        DataFrame
            Columns as ``migrollback_nb.columns("history")`` explains them. ``attrs["warnings"]``: what is half
            applied, whose applied_at is not known.

        Examples
        --------
        The three queries of "Query Migration History"::

            db.history(since="7d")
            db.history(status="rolled_back")
            db.history(without_rollback=True)
        """
        from migrollback_nb.core.frames.build import frame_of

        filters: dict[str, Any] = {
            "exclude": exclude, "status": status, "since": since, "until": until, "on": on, "by": by,
            "without_rollback": without_rollback, "deploy": deploy, "system": system, "limit": limit,
        }  # fmt: skip
        frame = frame_of("history", self.history_rows(select, **filters))
        return self._answer(frame, "history", as_, self.history_warnings(), select=select, **filters)

    def history_rows(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        status: str | None = None,
        since: When | None = None,
        until: When | None = None,
        on: str | None = None,
        by: Words = None,
        without_rollback: bool = False,
        deploy: str | None = None,
        system: bool = False,
        limit: int | None = None,
    ) -> Sequence[dict[str, Any]]:
        """As `history`, as plain rows. Does not write."""
        from migrollback_nb.core.frames.columns import STATUSES
        from migrollback_nb.history.migrations import completed
        from migrollback_nb.operations.preview import newest_deploy

        asked.words(status, STATUSES, what="status")
        (on,) = asked.words(on or ("rolled_back" if status == "rolled_back" else "last"), ON, what="time") or ()
        names = self.chosen(select, exclude)
        if deploy is not None:
            brought = newest_deploy(self.database, deploy)["migrations"]
            names = tuple(brought if names is None else (name for name in names if name in brought))
        rows = self.database.history.history(
            names=names,
            status=status,
            window=asked.window(since, until),
            on=on,
            by=asked.words(by),
            without_rollback=without_rollback,
            system=system or names is not None,
            limit=asked.count(limit, "limit"),
        )
        return completed(self.database, self._folder_that_is_there(), rows)

    def registered_rows(self, *, system: bool = False) -> Sequence[dict[str, Any]]:
        """As `history_rows` of all, without what takes the files or the dependencies to know. Does not write."""
        from migrollback_nb.history.migrations import proved

        return proved(
            self.database.history.history(
                names=None, status=None, window=asked.window(None, None), on="last", by=None, without_rollback=False,
                system=system, limit=None,
            )
        )  # fmt: skip

    def _folder_that_is_there(self) -> MigrationFolder | None:
        """The folder of migration files; None where there is none to compare with."""
        with suppress(UsageError):
            return self._folder_if_any()
        return None

    def deploys(self, since: When | None = None, until: When | None = None, *, as_: Form = "pandas") -> pd.DataFrame:
        """The deploys, newest first: what each sync or apply, or several with one label, brought. Does not write.

        Returns
        -------
        DataFrame
            Columns deploy_id, label (the deploy's id where none was given), started_at, ended_at (aware), actor
            (database role), interface, migrations (how many it brought), failed and rolled_back (how many of these),
            state (applied, partly rolled back, rolled back, nothing brought), duration_ms (of the SQL that it applied).
        """
        from migrollback_nb.core.frames.build import frame_of

        frame = frame_of("deploys", self.deploy_rows(since, until))
        return self._answer(frame, "deploys", as_, since=since, until=until)

    def deploy_rows(self, since: When | None = None, until: When | None = None) -> Sequence[dict[str, Any]]:
        """As `deploys`, as rows. Does not write."""
        from migrollback_nb.history.deploys import deploy_rows

        return deploy_rows(self.database, asked.window(since, until))

    def roles(self, *, as_: Form = "pandas") -> pd.DataFrame:
        """Who may audit and who may operate, as `grant` recorded it. Does not write.

        Returns
        -------
        DataFrame
            Columns kind (auditor or operator), role_name, granted_by, granted_at (aware), finding (what of it is not
            so any more: a right that lacks, a role that is gone).
        """
        from migrollback_nb.core.frames.build import frame_of

        return self._answer(frame_of("roles", self.database.system.roles()), "roles", as_)

    def dependencies(self, select: Selector = None, exclude: Selector = None, *, as_: Form = "pandas") -> pd.DataFrame:
        """Every dependency, or those of selected migrations, whichever end they are. Does not write.

        Returns
        -------
        DataFrame
            Columns migration_name, depends_on, status, depends_on_status, created_at, source (declared or inferred),
            because (the objects that are the reason of an inferred one).
        """
        from migrollback_nb.core.frames.build import frame_of

        rows = self.dependency_rows(self.database.queries.dependencies(), select, exclude)
        return self._answer(frame_of("dependencies", rows), "dependencies", as_, select=select, exclude=exclude)

    def dependency_rows(
        self, rows: Sequence[dict[str, Any]], select: Selector = None, exclude: Selector = None
    ) -> Sequence[dict[str, Any]]:
        """Of these dependencies those of selected migrations, whichever end they are. Does not write."""
        names = self.chosen(select, exclude)
        kept = set(names or ())
        return rows if names is None else [row for row in rows if {row["migration_name"], row["depends_on"]} & kept]

    def infer_dependencies(self, name: str | None = None, *, as_: Form = "pandas") -> pd.DataFrame:
        """Which migration needs which earlier one, by what they create, change, drop or name. Does not write.

        Parameters
        ----------
        name : str, optional
            Only what this migration needs, and what needs it.

        Returns
        -------
        DataFrame
            Columns migration_name, depends_on, because (the objects), found_in (catalog: PostgreSQL knows it; parsed:
            the up migration names it; rollback: the rollback SQL of the earlier one names what this one creates, drops
            or renames; body: it is named inside a function or DO block), recorded (declared, inferred, or missing;
            "inferred, no longer found": it was recorded once, and the files that are now registered give no reason for
            it: `record_dependencies` takes it back). ``attrs["warnings"]`` says what could not be read.
        """
        from migrollback_nb.core.frames.build import frame_of

        rows, remarks = self.inferred_rows(name)
        frame = frame_of("inferred", ({**row, "found_in": row["source"]} for row in rows))
        return self._answer(frame, "inferred", as_, remarks, of=name)

    def inferred_rows(self, name: str | None = None) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
        """As `infer_dependencies`, as plain rows, and what could not be read. Does not write."""
        from migrollback_nb.operations.dependencies import inferred_rows

        if name is not None:
            name = self.check(name).migration_name
        return inferred_rows(self.database, self._folder_if_any(), name)

    # -- the audit log ---------------------------------------------------------------------------------------------

    @overload
    def events(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        event: Words = None,
        since: When | None = None,
        until: When | None = None,
        actor: Words = None,
        limit: int | None = None,
        newest_first: bool = False,
        details: bool = True,
        chunksize: None = None,
        as_: Form = "pandas",
    ) -> pd.DataFrame: ...
    @overload
    def events(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        event: Words = None,
        since: When | None = None,
        until: When | None = None,
        actor: Words = None,
        limit: int | None = None,
        newest_first: bool = False,
        details: bool = True,
        chunksize: int,
        as_: Form = "pandas",
    ) -> Iterator[pd.DataFrame]: ...
    def events(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        event: Words = None,
        since: When | None = None,
        until: When | None = None,
        actor: Words = None,
        limit: int | None = None,
        newest_first: bool = False,
        details: bool = True,
        chunksize: int | None = None,
        as_: Form = "pandas",
    ) -> pd.DataFrame | Iterator[pd.DataFrame]:
        """The audit log in order, of all migrations or of selected ones. Does not write.

        Parameters
        ----------
        select : str or sequence of str, optional
            As of all; the name of one that has events but was never registered, or is no more, counts too.
        event, actor : str or sequence of str, optional
            Only events of these kinds, by these database roles.
        limit : int, optional
            No more events than this: the first in the order.
        newest_first : bool
            True: in the order from the newest.
        details : bool
            False: without the column details, which takes the most time and memory.
        chunksize : int, optional
            Give frames of so many events each, one after the other.

        Returns
        -------
        DataFrame or iterator of DataFrame
            Columns event_number, occurred_at, event, migration_name, attempt_id, actor (database role), interface,
            os_user, host, reason, details (dict), hash.
        """
        from migrollback_nb.core.frames.columns import EVENTS
        from migrollback_nb.history.events import Wanted, event_frame, event_parts

        filters: dict[str, Any] = {
            "select": select, "exclude": exclude, "event": event, "since": since, "until": until, "actor": actor,
            "limit": limit, "newest_first": newest_first,
        }  # fmt: skip
        wanted = Wanted(
            names=self._names_with_events(select, exclude),
            events=asked.words(event, EVENTS, what="event"),
            actors=asked.words(actor),
            window=asked.window(since, until),
            limit=asked.count(limit, "limit"),
            newest_first=newest_first,
            details=details,
        )
        if chunksize is None:
            return self._answer(event_frame(self.database, wanted), "events", as_, **filters)
        if chunksize < 1:
            raise UsageError(f"chunksize={chunksize} is no number of rows", hint="Give 1 or more.")
        parts = event_parts(self.database, wanted, chunksize)
        return (self._answer(part, "events", as_, **filters) for part in parts)

    def _names_with_events(self, select: Selector, exclude: Selector) -> Sequence[str] | None:
        """As `chosen`; also a name that is not registered and has events."""
        try:
            return self.chosen(select, exclude)
        except MigrationNotFound as error:
            if not isinstance(select, str) or exclude is not None or error.name != stem(select):
                raise
            if not self.database.history.has_events(error.name):
                raise
            return [error.name]

    def event_rows(
        self,
        select: Selector = None,
        exclude: Selector = None,
        *,
        event: Words = None,
        since: When | None = None,
        until: When | None = None,
        limit: int | None = None,
        after: int | None = None,
        newest_first: bool = False,
    ) -> Sequence[dict[str, Any]]:
        """As `events`, as plain rows; with a limit the newest, whichever end comes first. Does not write.

        `after`: only events of a higher number than this.
        """
        from migrollback_nb.core.frames.columns import EVENTS

        return self.database.history.event_rows(
            names=self._names_with_events(select, exclude),
            kinds=asked.words(event, EVENTS, what="event"),
            window=asked.window(since, until),
            after=asked.count(after, "after"),
            limit=asked.count(limit, "limit"),
            newest_first=newest_first,
        )

    def attempts(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        kind: str | None = "rollback",
        since: When | None = None,
        until: When | None = None,
        as_: Form = "pandas",
    ) -> pd.DataFrame:
        """Attempts, also those that were refused or failed, by the audit log, in the order of their beginning.

        Does not write.

        Parameters
        ----------
        kind : {'apply', 'rollback', 'rehearsal'}, optional
            What was tried; None: any of these.

        Returns
        -------
        DataFrame
            Columns attempt_id, operation, migration_name, outcome (applied, rolled_back, rehearsed, failed, refused,
            stopped, unknown), started_at, ended_at (aware), in_place (from apply to rollback), duration_ms (of the
            SQL), sqlstate, actor, interface, os_user, host, reason; a row for each migration of each attempt.
        """
        from migrollback_nb.history.attempts import OPERATIONS, attempt_frame

        asked.words(kind, OPERATIONS, what="kind")
        frame = attempt_frame(
            self.database,
            names=self._names_with_events(select, exclude),
            kind=kind,
            window=asked.window(since, until),
        )
        filters: dict[str, Any] = {"select": select, "exclude": exclude, "kind": kind, "since": since, "until": until}
        return self._answer(frame, "attempts", as_, **filters)

    def snapshots(self, select: Selector = None, exclude: Selector = None, *, as_: Form = "pandas") -> pd.DataFrame:
        """The snapshots that are stored, newest first; of selected migrations or of all. Does not write.

        Returns
        -------
        DataFrame
            Columns snapshot_id, migration_name, purpose, taken_at (aware), taken_by, objects (how many), bytes (as
            stored).
        """
        from migrollback_nb.core.frames.build import frame_of

        rows = self.snapshot_rows(select, exclude)
        frame = frame_of(
            "snapshots", ({**row, "snapshot_id": row["id"], "purpose": row["description"]} for row in rows)
        )
        return self._answer(frame, "snapshots", as_, select=select, exclude=exclude)

    def snapshot_rows(self, select: Selector = None, exclude: Selector = None) -> Sequence[dict[str, Any]]:
        """As `snapshots`, as plain rows. Does not write."""
        try:
            names = self.chosen(select, exclude)
        except MigrationNotFound as error:
            if not isinstance(select, str) or exclude is not None or error.name != stem(select):
                raise
            if rows := self.database.queries.snapshots((error.name,)):
                return rows  # one for which a snapshot was taken need not be registered
            raise
        return self.database.queries.snapshots(names)
