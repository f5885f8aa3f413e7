"""`HistoryFrames`: the methods that return DataFrames of one database. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from migrollback_nb.core.errors import MigrationNotFound, UsageError
from migrollback_nb.history.attempts import attempts_of, who
from migrollback_nb.history.deploys import deploy_rows
from migrollback_nb.operations.preview import stem
from migrollback_nb.operations.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

#: A selector, several of which any counts, or none.
Selector: TypeAlias = "str | Sequence[str] | None"


class HistoryFrames(Workspace):
    """One database and its folder, and what is asked of their history as DataFrames."""

    def list(self, select: Selector = None, exclude: Selector = None) -> pd.DataFrame:
        """All applied migrations, newest first, and whether each may be rolled back. Does not write.

        Parameters
        ----------
        select, exclude : str or sequence of str, optional
            Only what a selector means, and without what another one means; see `selected`.

        Returns
        -------
        DataFrame
            Columns migration_name, migration_version, applied_at (aware), status, can_rollback, has_rollback_sql,
            blocking_reason, dependent_migrations (tuple of the nearest that block), verdict and headline as `assess`
            gives them. ``attrs["warnings"]`` says what is half applied, and what deploy ledgers know better.
        """
        from migrollback_nb.core.frames.build import frame_of

        frame = frame_of("list", self.list_rows(select, exclude))
        frame.attrs["warnings"] = (*self.half_applied_warnings(), *self.ledger_warnings())
        return frame

    def list_rows(self, select: Selector = None, exclude: Selector = None) -> Sequence[dict[str, Any]]:
        """As `list`, as plain rows. Does not write."""
        rows = self.database.queries.list_rollbackable()
        names = self.chosen(select, exclude)
        kept = set(names or ())
        return rows if names is None else [row for row in rows if row["migration_name"] in kept]

    def history(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        status: str | None = None,
        since: datetime | timedelta | str | None = None,
        without_rollback: bool = False,
        deploy: str | None = None,
    ) -> pd.DataFrame:
        """The history, newest first. Does not write.

        Parameters
        ----------
        select, exclude : str or sequence of str, optional
            Only what a selector means, and without what another one means; see `selected`.
        status : {'applied', 'rolled_back', 'failed'}, optional
            Only migrations of this status; the rolled back ones by the time of their rollback.
        since : datetime, timedelta or str, optional
            Only those applied since this moment (aware, or read as UTC), or within this span until now; ``'7d'``,
            ``'36h'`` and ISO dates are understood.
        without_rollback : bool
            Only applied ones that have no rollback SQL.
        deploy : str, optional
            Only what the newest deploy of this label brought.

        Returns
        -------
        DataFrame
            Columns migration_name, migration_version, status, applied_at, applied_by, rollback_at, rollback_by, notes,
            checksum, rollback_sql. ``attrs["warnings"]``: what is half applied, whose applied_at is not known.

        Examples
        --------
        The three queries of "Query Migration History"::

            db.history(since="7d")
            db.history(status="rolled_back")
            db.history(without_rollback=True)
        """
        from migrollback_nb.core.frames.build import frame_of

        frame = frame_of(
            "history",
            self.history_rows(
                select, exclude=exclude, status=status, since=since, without_rollback=without_rollback, deploy=deploy
            ),
        )
        frame.attrs["warnings"] = self.history_warnings()
        return frame

    def history_rows(
        self,
        select: Selector = None,
        *,
        exclude: Selector = None,
        status: str | None = None,
        since: datetime | timedelta | str | None = None,
        without_rollback: bool = False,
        deploy: str | None = None,
    ) -> Sequence[dict[str, Any]]:
        """As `history`, as plain rows. Does not write."""
        from migrollback_nb.core.times import parse_since
        from migrollback_nb.operations.preview import newest_deploy

        if status is not None and status not in ("applied", "rolled_back", "failed"):
            raise UsageError(f"There is no status {status}", hint="Use applied, rolled_back or failed.")
        if isinstance(since, str):
            since = parse_since(since)
        if isinstance(since, datetime) and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        names = self.chosen(select, exclude)
        if deploy is not None:
            brought = newest_deploy(self.database, deploy)["migrations"]
            names = tuple(brought if names is None else (name for name in names if name in brought))
        return self.database.queries.history(status=status, since=since, without_rollback=without_rollback, names=names)

    def deploys(self) -> pd.DataFrame:
        """The deploys, newest first: what each sync or apply, or several with one label, brought. Does not write.

        Returns
        -------
        DataFrame
            Columns label (the deploy's id where none was given), started_at (aware), actor (database role), interface,
            migrations (how many it brought), state (applied, partly rolled back, rolled back, nothing brought).
        """
        from migrollback_nb.core.frames.build import frame_of

        return frame_of("deploys", deploy_rows(self.database))

    def dependencies(self, select: Selector = None, exclude: Selector = None) -> pd.DataFrame:
        """Every dependency, or those of selected migrations, whichever end they are. Does not write.

        Parameters
        ----------
        select, exclude : str or sequence of str, optional
            Only what a selector means, and without what another one means; see `selected`.

        Returns
        -------
        DataFrame
            Columns migration_name, depends_on, status, depends_on_status, created_at, source (declared or inferred),
            because (the objects that are the reason of an inferred one).
        """
        from migrollback_nb.core.frames.build import frame_of

        return frame_of("dependencies", self.dependency_rows(self.database.queries.dependencies(), select, exclude))

    def dependency_rows(
        self, rows: Sequence[dict[str, Any]], select: Selector = None, exclude: Selector = None
    ) -> Sequence[dict[str, Any]]:
        """Of these dependencies those of selected migrations, whichever end they are. Does not write."""
        names = self.chosen(select, exclude)
        kept = set(names or ())
        return rows if names is None else [row for row in rows if {row["migration_name"], row["depends_on"]} & kept]

    def infer_dependencies(self, name: str | None = None) -> pd.DataFrame:
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
        frame.attrs["warnings"] = remarks
        return frame

    def inferred_rows(self, name: str | None = None) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
        """As `infer_dependencies`, as plain rows, and what could not be read. Does not write."""
        from migrollback_nb.operations.dependencies import inferred_rows

        if name is not None:
            name = self.check(name).migration_name
        return inferred_rows(self.database, self._folder_if_any(), name)

    def events(self, select: Selector = None, *, exclude: Selector = None) -> pd.DataFrame:
        """The audit log in order, of all migrations or of selected ones. Does not write.

        Parameters
        ----------
        select, exclude : str or sequence of str, optional
            Only of what a selector means, and without what another one means; see `selected`. The name of one that has
            events but was never registered, or is no more, counts too.

        Returns
        -------
        DataFrame
            Columns event_number, occurred_at, event, migration_name, attempt_id, actor (database role), interface,
            os_user, host, reason, details (dict), hash.
        """
        from migrollback_nb.core.frames.build import frame_of

        return frame_of("events", ({**row, **who(row)} for row in self.event_rows(select, exclude)))

    def event_rows(self, select: Selector = None, exclude: Selector = None) -> Sequence[dict[str, Any]]:
        """As `events`, as plain rows. Does not write."""
        try:
            names = self.chosen(select, exclude)
        except MigrationNotFound as error:
            if not isinstance(select, str) or exclude is not None or error.name != stem(select):
                raise
            if not (rows := self.database.queries.events(error.name)):
                raise
            return rows
        return self.database.queries.events(names)

    def attempts(self) -> pd.DataFrame:
        """Attempts to roll back, also those that were refused or failed, by the audit log. Does not write.

        Returns
        -------
        DataFrame
            Columns attempt_id, migration_name, outcome (rolled_back, failed, refused, unknown), started_at, ended_at
            (aware), in_place (from apply to rollback), duration_ms (of the SQL), sqlstate, actor, interface, os_user,
            host, reason; a row for each migration of each attempt, in order.
        """
        from migrollback_nb.core.frames.build import frame_of

        return frame_of("attempts", attempts_of(self.database.queries.events()))

    def snapshots(self, name: str | None = None) -> pd.DataFrame:
        """The snapshots that are stored, newest first; of one migration or of all. Does not write.

        Returns
        -------
        DataFrame
            Columns snapshot_id, migration_name, purpose, taken_at (aware), taken_by, objects (how many), bytes (as
            stored).
        """
        from migrollback_nb.core.frames.build import frame_of

        rows = self.database.queries.snapshots(None if name is None else stem(name))
        return frame_of("snapshots", ({**row, "snapshot_id": row["id"], "purpose": row["description"]} for row in rows))
