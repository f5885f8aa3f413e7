"""Rehearsals, whose transactions are undone whatever they did, and queries around them. Writes one event."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.core.results import Notice
from migrollback_nb.database.blockers import describe_blockers
from migrollback_nb.database.retries import gate_holders
from migrollback_nb.database.session import Row, Session
from migrollback_nb.database.settings import milliseconds
from migrollback_nb.database.stall_watch import StallWatch

#: How long a rehearsal may last, where the caller names no time: it holds the locks that the rollback would hold.
STATEMENT_TIMEOUT = "30s"
#: Of a report, what its event does not keep.
_NOT_RECORDED = (
    "statements",
    "bodies",
    "sessions",
    "states",
    "values",
    "up_written",
    "detached",
    "retyped",
    "not_restored",
    "unchanged_since",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalRun:
    """What came back from a rehearsal."""

    report: Row  #: of rehearse_migration_rollbacks()
    rollback_sql: dict[str, str]  #: name -> what ran
    notices: list[Notice]
    blocked_by: str  #: who was in the way


class Rehearsals:
    """A rehearsal leaves one event and nothing else."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def rehearse(
        self,
        names: Sequence[str],
        *,
        consent: bool = False,
        lock_timeout: str | None = None,
        statement_timeout: str,
        max_stall: str = "0",
    ) -> RehearsalRun:
        """Call rehearse_migration_rollbacks(). Does not write: what ran is undone twice.

        Raises
        ------
        RehearsalStopped
            When others would have waited behind it for longer than max_stall.
        """
        self._session.forget_cancellation()
        self._session.notice_log.keep()
        bound = milliseconds(max_stall, option="max_stall") or None
        pid = self._session.connection.info.backend_pid
        with self._session.blocker_watch.watch(pid) as blockers, StallWatch(self._session, bound) as watch:
            rows: list[list[Row]] = []
            failed: errors.DatabaseError | None = None
            try:
                rows = self._run(
                    names,
                    watch,
                    consent=consent,
                    rethrow=False,
                    lock_timeout=lock_timeout,
                    statement_timeout=statement_timeout,
                )
            except errors.DatabaseError as error:
                failed = error
        report = next(iter(rows[0][0].values())) if rows else None
        if self._was_stopped(watch, report, failed):
            raise self._stopped(names, watch, max_stall)
        if failed is not None:
            self.record_rehearsal(
                {
                    "success": False,
                    "message": failed.message,
                    "migrations": list(names),
                    "failure": {"sqlstate": failed.sqlstate, "migration_name": names[-1]},
                }
            )
            if isinstance(failed, errors.LockBusy):
                raise errors.LockBusy(
                    failed.primary,
                    sqlstate=failed.sqlstate,
                    detail=failed.detail,
                    hint=describe_blockers(blockers or gate_holders(self._session)),
                ) from failed
            raise failed
        assert report is not None  # noqa: S101  # for mypy: it has not failed
        sql = {row["migration_name"]: row["rollback_sql"] or "" for row in rows[1]}
        return RehearsalRun(
            report=report,
            rollback_sql={name: sql.get(name, "") for name in names},
            notices=list(self._session.notices),
            blocked_by=describe_blockers(blockers),
        )

    def _run(
        self,
        names: Sequence[str],
        watch: StallWatch,
        *,
        consent: bool,
        rethrow: bool,
        lock_timeout: str | None,
        statement_timeout: str,
    ) -> list[list[Row]]:
        """The report, and the SQL that ran, from one undone transaction."""
        # in the transaction of the rehearsal, so that it is the SQL that ran
        stored = self._session.query_text(
            "SELECT h.migration_name, h.rollback_sql FROM {schema}.migration_history h"
            " WHERE h.migration_name = ANY (%(names)s)",
            names=list(names),
        )
        watch.wait()
        rehearse = self._session.call_text(
            "rehearse_migration_rollbacks",
            names=list(names),
            consent=consent,
            client=self._session.client,
            record=False,
            rethrow=rethrow,
            max_stall_ms=watch.max_stall_ms,
            watch=watch.key,
        )
        with watch.bounding():
            return self._session.transact(
                rehearse,
                *self._session.inside_transaction(stored),
                lock_timeout=lock_timeout,
                statement_timeout=statement_timeout,
                undo=True,
            )

    def _was_stopped(self, watch: StallWatch, report: Row | None, failed: errors.DatabaseError | None) -> bool:
        """Whether it ended because others would have waited, and not by itself, by the user or by its own time."""
        ended_by = failed.sqlstate if failed is not None else ((report or {}).get("failure") or {}).get("sqlstate")
        if ended_by != "57014" or self._session.cancelled:
            return False
        return watch.stopped

    def _stopped(self, names: Sequence[str], watch: StallWatch, max_stall: str) -> errors.RehearsalStopped:
        """The error of a rehearsal that was ended by its bound, which is recorded. Writes one event."""
        stalled = watch.stalled or {}
        if watch.missing is not None:
            why = (
                f"the rehearsal ran for longer than {max_stall}, and who waits behind it cannot be seen: there is no"
                f" second connection ({watch.missing})"
            )
        elif not stalled:
            why = "the connection was lost that watched who waits behind the rehearsal"
        else:
            for_what = f" for {stalled['relation']}" if stalled["relation"] else ""
            why = (
                f"the rehearsal would have stalled others for longer than {max_stall} (process {stalled['pid']} of role"
                f" {stalled['user']} waited{for_what})"
            )
        message = f"Not known: {why}"
        assessed = self.record_rehearsal(
            {
                "success": None,
                "outcome": "stopped",
                "message": message,
                "migrations": list(names),
                "stalled": {key: value for key, value in stalled.items() if value is not None} or None,
            }
        )
        return errors.RehearsalStopped(
            message,
            migration_name=names[-1],
            hint=(
                "Nothing was changed. Rehearse on a copy: migrollback rehearse"
                f" {shlex.quote(names[-1])}{' --chain' if len(names) > 1 else ''} --on scratch (on='scratch'). Or let"
                " others wait for longer: --max-stall (max_stall=)."
            ),
            stalled=stalled or None,
            known_by=assessed["known_by"],
        )

    def place_of_error(
        self,
        names: Sequence[str],
        *,
        lock_timeout: str | None = None,
        statement_timeout: str,
        max_stall: str = "0",
    ) -> int | None:
        """Where in its statement a rehearsal meets an error, from 1; None: PostgreSQL does not say. Does not write.

        A function that has caught an error no longer knows its place, so it runs once more, and the error comes out.
        """
        notices = list(self._session.notices)
        try:
            with StallWatch(self._session, milliseconds(max_stall, option="max_stall") or None) as watch:
                self._run(
                    names,
                    watch,
                    consent=False,
                    rethrow=True,
                    lock_timeout=lock_timeout,
                    statement_timeout=statement_timeout,
                )
        except errors.MigrollbackError as error:
            place = getattr(error.__cause__, "diag", None)
            found = place and place.internal_position
            return int(found) if found else None
        finally:
            self._session.notice_log.keep(notices)
        return None

    def meant_relations(
        self, search_path: str, names: Collection[tuple[str | None, str]]
    ) -> dict[tuple[str | None, str], tuple[str, str]]:
        """(schema or None, name) -> (schema, name) of the table that it means under a search_path. Does not write."""
        if not names:
            return {}
        wanted = list(names)
        with self._session.transaction():
            self._session.connection.execute(
                "SELECT pg_catalog.set_config('search_path', %s, true)", (search_path or "pg_catalog",)
            )
            rows = self._session.query_on_own_path(
                "SELECT a.schema, a.name, n.nspname, c.relname FROM ROWS FROM"
                " (pg_catalog.unnest(%(schemas)s::pg_catalog.text[]), pg_catalog.unnest(%(names)s::pg_catalog.text[]))"
                " AS a (schema, name) JOIN pg_catalog.pg_class c ON c.oid"
                " OPERATOR(pg_catalog.=) pg_catalog.to_regclass(pg_catalog.concat_ws('.',"
                " pg_catalog.quote_ident(a.schema), pg_catalog.quote_ident(a.name))) JOIN pg_catalog.pg_namespace n ON"
                " n.oid OPERATOR(pg_catalog.=) c.relnamespace",
                schemas=[schema for schema, _ in wanted],
                names=[name for _, name in wanted],
            )
        return {(row["schema"], row["name"]): (row["nspname"], row["relname"]) for row in rows}

    def not_undone(self, names: Sequence[str]) -> list[Row]:
        """Rows of migration_side_effects(): what undoing a transaction would not undo. Does not write."""
        with self._session.transaction():
            return self._session.call("migration_side_effects", names=list(names))

    def schema_snapshot(self) -> Any:
        """The schema as it stands, kind -> identity -> definition. Does not write."""
        with self._session.transaction():
            return self._session.call_value("schema_snapshot")

    def changes_since(self, before: Any) -> list[Row]:
        """Rows of schema_changes() from an earlier `schema_snapshot` until now. Does not write."""
        with self._session.transaction():
            return self._session.query(
                "SELECT c.* FROM {schema}.schema_changes(%(before)s::pg_catalog.jsonb, {schema}.schema_snapshot()) c",
                before=Jsonb(before),
            )

    def estimated_rows(self, wanted: Sequence[tuple[str, str | None]]) -> list[int | None]:
        """How many rows a table has, or values a column, as the statistics say; None: they do not. Does not write."""
        if not wanted:
            return []
        rows = self._session.query(
            "SELECT (CASE WHEN w.wanted IS NULL THEN c.found ->> 'rows' ELSE c.found -> 'columns' ->> w.wanted"
            " END)::bigint AS rows FROM ROWS FROM (pg_catalog.unnest(%(relations)s::text[]),"
            " pg_catalog.unnest(%(columns)s::text[])) WITH ORDINALITY AS w (relation, wanted, place) CROSS JOIN LATERAL"
            " (SELECT {schema}.count_rows_within(pg_catalog.to_regclass(w.relation)::pg_catalog.oid, CASE WHEN w.wanted"
            " IS NULL THEN '{{}}'::pg_catalog.text[] ELSE ARRAY[w.wanted] END, '-infinity'::pg_catalog.timestamptz) AS"
            " found WHERE pg_catalog.to_regclass(w.relation) IS NOT NULL) c ORDER BY w.place",
            relations=[relation for relation, _ in wanted],
            columns=[column for _, column in wanted],
        )
        return [row["rows"] for row in rows]

    def sessions_on(self, relations: Sequence[str]) -> list[Row]:
        """Who holds or awaits a lock on one of these relations now. Does not write."""
        return self._session.query(
            'SELECT DISTINCT a.pid, a.usename AS "user", a.application_name, a.state, r.name AS relation,'
            " {schema}.lock_mode_words(l.mode) AS mode, NOT l.granted AS waits, false AS for_us FROM"
            " pg_catalog.unnest(%(relations)s::text[]) AS r (name) JOIN"
            " pg_catalog.pg_locks l ON l.relation = pg_catalog.to_regclass(r.name) AND l.locktype = 'relation' AND"
            " l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())"
            " JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY 7"
            " DESC, 1",
            relations=list(relations),
        )

    def standbys(self) -> list[Row]:
        """Standbys of this server, as far as this role may see them. Does not write."""
        return self._session.query(
            "SELECT r.application_name, r.client_addr::text AS client_addr, r.state, r.sync_state FROM"
            " pg_catalog.pg_stat_replication r "
            # subscribers and backups have no readers of ours
            "WHERE r.state IS DISTINCT FROM 'backup' AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s"
            " WHERE s.active_pid = r.pid AND s.slot_type = 'logical')"
        )

    def states(self) -> Any:
        """What stands beside the schema: schema_states(). Does not write."""
        with self._session.transaction():
            return self._session.call_value("schema_states")

    def state_effects(self, names: Sequence[str], before: Any) -> Any:
        """What has become of it since an earlier `states`, as effects. Does not write."""
        with self._session.transaction():
            rows = self._session.query(
                "SELECT {schema}.state_effects(%(before)s::pg_catalog.jsonb, {schema}.schema_states(),"
                " {schema}.states_around_apply(%(names)s::pg_catalog.text[]), 'rehearsal') AS effects",
                before=Jsonb(before),
                names=list(names),
            )
        return rows[0]["effects"]

    def effects(self, report: Row) -> list[Row]:
        """What rehearsal_effects() makes of a report, also of one from another server. Does not write."""
        wanted = ("success", "migrations", "rows", "changes", "renamed", "broken", "statements", "locks", "states")
        return cast(
            list[Row],
            self._session.call_value(
                "rehearsal_effects", report=Jsonb({key: report[key] for key in wanted if key in report})
            ),
        )

    def record_rehearsal(self, report: Row) -> Row:
        """Keep the one event that a rehearsal leaves. Writes. Returns the row of assess_migrations() after it."""
        # what is dropped may be thousands of definitions, of which the event keeps none
        kept = {key: value for key, value in report.items() if key not in _NOT_RECORDED}
        kept["statements"] = [
            {key: row[key] for key in ("migration_name", "number", "ms")} for row in report.get("statements", ())
        ]
        kept["changes"] = [
            {key: row[key] for key in ("change", "kind", "identity", "new_definition", "made_by") if key in row}
            for row in report.get("changes", ())
        ]
        _, assessed = self._session.transact(
            self._session.call_text("record_migration_rehearsal", report=Jsonb(kept), client=self._session.client),
            self._session.call_text("assess_migrations", names=list(report["migrations"])),
        )
        return assessed[0]
