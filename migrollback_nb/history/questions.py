"""`HistoryQuestions`: what else is asked of one database's history, as DataFrames. Does not write to the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.times import When
from migrollback_nb.history.asked import Form, Selector
from migrollback_nb.history.frames import HistoryFrames

if TYPE_CHECKING:
    import pandas as pd

#: The frames that `export` writes: name of the file -> the method, and what it is given.
EXPORTED: dict[str, tuple[str, dict[str, Any]]] = {
    "list": ("list", {}),
    "history": ("history", {}),
    "deploys": ("deploys", {}),
    "dependencies": ("dependencies", {}),
    "events": ("events", {}),
    "attempts": ("attempts", {}),
    "approvals": ("approvals", {}),
    "policy": ("policy", {}),
    "snapshots": ("snapshots", {}),
    "objects": ("objects", {}),
    "rehearsals": ("rehearsals", {}),
    "rehearsal_locks": ("rehearsals", {"part": "locks"}),
    "rehearsal_rows": ("rehearsals", {"part": "rows"}),
    "rehearsal_changes": ("rehearsals", {"part": "changes"}),
    "checklists": ("checklists", {}),
    "proofs": ("proofs", {}),
}


class HistoryQuestions(HistoryFrames):
    """Objects, rehearsals, checklists, proofs, the past, drift, and what only SQL can say."""

    def objects(
        self,
        select: Selector = None,
        exclude: Selector = None,
        *,
        table: str | None = None,
        kind: str | None = None,
        as_: Form = "pandas",
    ) -> pd.DataFrame:
        """What migrations did to which schema objects, oldest first. Does not write.

        Parameters
        ----------
        table : str, optional
            Only what is this table, or belongs to it: ``users`` or ``app.users``.
        kind : str, optional
            Only this kind of object: table, column, index ...

        Returns
        -------
        DataFrame
            Columns migration_name, action (created, changed, dropped), kind, schema, table (that it is or belongs to:
            also of an index, a constraint, a trigger, a column), object, identity, recorded_at, recorded_by (apply:
            seen in the catalogs; parsed: read from the file).
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.history.records import object_rows

        rows = object_rows(self.database, self.chosen(select, exclude), table=table, kind=kind)
        filters: dict[str, Any] = {"select": select, "exclude": exclude, "table": table, "kind": kind}
        return self._answer(frame_of("objects", rows), "objects", as_, **filters)

    def rehearsals(
        self,
        part: str | None = None,
        *,
        since: When | None = None,
        until: When | None = None,
        as_: Form = "pandas",
    ) -> pd.DataFrame:
        """Rehearsals, as the audit log keeps them, in order. Does not write.

        Parameters
        ----------
        part : {'locks', 'rows', 'changes'}, optional
            A row for each lock, each loss or each changed object of them instead.

        Returns
        -------
        DataFrame
            Columns event_number, migration_name, rehearsed_at, outcome, message, sqlstate, failed_migration, steps
            (tuple of the migrations, in the order of their rollback), duration_ms, longest_lock_ms, rows_lost, created,
            changed, dropped, broken (counts of objects), fingerprint, actor, interface, os_user, host. Of a part:
            event_number, rehearsed_at, migration_name, and what `Rehearsal.to_frame` has of it. Rehearsals by an older
            version than 0.2.0 kept no locks and rows.
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.history.records import rehearsal_rows

        rows = rehearsal_rows(self.database, part, since=since, until=until)
        name = "rehearsals" if part is None else f"rehearsals {part}"
        return self._answer(frame_of(name, rows), name, as_, since=since, until=until)

    def checklists(self, open: bool | None = None, *, as_: Form = "pandas") -> pd.DataFrame:
        """Runs of the production checklist, oldest first. Does not write.

        Parameters
        ----------
        open : bool, optional
            True: only those of which items are neither done nor skipped; False: only the complete ones.

        Returns
        -------
        DataFrame
            Columns migration_name, run (number of the event that applied it), ticket, started_at, ended_at (first and
            last answer), rolled_back_at, complete, answered (count), missing (tuple of items), and who answered last:
            actor, interface, os_user, host.
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.history.records import checklist_rows

        frame = frame_of("checklists", checklist_rows(self.database, open=open))
        return self._answer(frame, "checklists", as_, open=open)

    def proofs(self, *, as_: Form = "pandas") -> pd.DataFrame:
        """The grades that `verify` has recorded, oldest first. Does not write.

        Returns
        -------
        DataFrame
            Columns migration_name, grade, is_registered (whether it is about the text and rollback SQL that are
            registered now, so that it counts), proven_at, server_version, effects, differences, actor, interface,
            os_user, host, checksum.
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.history.records import proof_rows

        return self._answer(frame_of("proofs", proof_rows(self.database)), "proofs", as_)

    def approvals(self, *, open: bool = False, as_: Form = "pandas") -> pd.DataFrame:
        """The requests for approval, newest first, and how each stands now. Does not write.

        Parameters
        ----------
        open : bool
            True: without those that were used, withdrawn, or are void.

        Returns
        -------
        DataFrame
            Columns request, state (waiting, approved, expired, used, withdrawn, void), migration_name, steps,
            command, needed, has, approved_by (tuple), expires_at, requested_by, requested_at, reason, policies
            (tuple), verdict, headline, fingerprint.
        """
        from migrollback_nb.core.frames.build import frame_of

        rows = [
            {**row, "request": row["request_number"], "steps": row["migrations"]}
            for row in self.approval_rows(open=open)
        ]
        frame = frame_of("approvals", rows)
        return self._answer(frame, "approvals", as_, open=open)

    def policy(self, *, as_: Form = "pandas") -> pd.DataFrame:
        """The policies: which rollbacks other people have to approve. Does not write; `set_policy` does.

        Returns
        -------
        DataFrame
            Columns policy, says (it in one line), approvals, approvers, targets, conditions, commands, valid_for,
            break_glass_by, changed_by, changed_at, reason.
        """
        from migrollback_nb.core.frames.build import frame_of

        rows = [
            {
                **row,
                "policy": row["policy_name"],
                "says": row["words"],
                "valid_for": timedelta(minutes=row["valid_minutes"]),
            }
            for row in self.policy_rows()
        ]
        return self._answer(frame_of("policy", rows), "policy", as_)

    def at(self, moment: When, *, system: bool = False, as_: Form = "pandas") -> pd.DataFrame:
        """How each migration stood at a moment, by the audit log. Does not write.

        Parameters
        ----------
        moment : datetime, date or str
            As `history` takes `since`; a naive time is read as UTC.
        system : bool
            True: with the migration of the rollback system itself.

        Returns
        -------
        DataFrame
            Columns migration_name, status, status_at (from when on), event, event_number, deploy_id, actor, interface,
            os_user, host; what was not there yet is missing. Applied was what is not rolled_back.
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.history.over_time import rows_at

        frame = frame_of("at", rows_at(self.database, moment, system=system))
        return self._answer(frame, "at", as_, moment=moment, system=system)

    def changes(self, since: When, until: When = "now", *, as_: Form = "pandas") -> pd.DataFrame:
        """What changed in the schema between two moments, by its snapshots. Does not write.

        Parameters
        ----------
        since, until : datetime, date or str
            As `history` takes them.

        Returns
        -------
        DataFrame
            Columns change (created, changed, reordered, dropped), kind, schema, table, object, identity, made_by (tuple
            of the migrations of that time that did something to it), old_definition, new_definition.
            ``attrs["warnings"]`` says where no snapshot tells exactly how it was.

        Raises
        ------
        UsageError
            When no snapshot was ever taken.
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.history.over_time import change_rows

        rows, remarks = change_rows(self.database, since, until)
        return self._answer(frame_of("changes", rows), "changes", as_, remarks, since=since, until=until)

    def drift(self, since: When | None = None, *, as_: Form = "pandas") -> pd.DataFrame:
        """What changed in the schema and no migration did, by all its snapshots, until now. Does not write.

        Parameters
        ----------
        since : datetime, date or str, optional
            Only what was met after this moment.

        Returns
        -------
        DataFrame
            Columns change, kind, schema, table, object, identity, earliest_at and latest_at (between these two it
            happened), old_definition, new_definition.
        """
        from migrollback_nb.core.frames.build import frame_of
        from migrollback_nb.history.over_time import drift_rows

        return self._answer(frame_of("drift", drift_rows(self.database, since)), "drift", as_, since=since)

    def sql(
        self,
        statement: str,
        params: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        as_: Form = "pandas",
    ) -> pd.DataFrame:
        """Ask what no method asks, in SQL. Does not write: the transaction is read-only, and is undone.

        Parameters
        ----------
        statement : str
            One statement. Tables are found as psql finds them, by the search_path.
        params : mapping or sequence, optional
            Values for ``%(name)s``, or ``%s``: they are bound, never written into the text.

        Returns
        -------
        DataFrame
            With the dtypes of the other frames.

        Examples
        --------
        ::

            db.sql("SELECT * FROM migration_events WHERE reason LIKE %(like)s", {"like": "INC-%"})
        """
        from migrollback_nb.history.read_only import ask

        return self._answer(ask(self.database, statement, params), "sql", as_)

    def export(self, folder: Path | str) -> tuple[Path, ...]:
        """Write all frames as Parquet, a file for each. Writes files, over none that is there; needs pyarrow.

        Parameters
        ----------
        folder : Path or str
            Where; it is made where it is missing.

        Returns
        -------
        tuple of Path
            The files. pandas, polars and DuckDB read them; columns that hold tuples or dicts are JSON in bytes.
        """
        from migrollback_nb.history.export import export

        return export(
            ((name, partial(getattr(self, method), **given)) for name, (method, given) in EXPORTED.items()), folder
        )
