"""Rehearsals, whose transactions are undone whatever they did, and queries around them. Writes one event."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from migrollback_nb.core import errors
from migrollback_nb.core.results import Notice
from migrollback_nb.database.blockers import describe_blockers
from migrollback_nb.database.retries import gate_holders
from migrollback_nb.database.session import Row, Session

#: How long a rehearsal may last, where the caller names no time: it holds the locks that the rollback would hold.
STATEMENT_TIMEOUT = "30s"


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
        self, names: Sequence[str], *, consent: bool = False, lock_timeout: str | None = None, statement_timeout: str
    ) -> RehearsalRun:
        """Call rehearse_migration_rollbacks(). Does not write: what ran is undone twice."""
        self._session.forget_cancellation()
        self._session.notice_log.keep()
        with self._session.blocker_watch.watch(self._session.connection.info.backend_pid) as blockers:
            try:
                rehearse = self._session.call_text(
                    "rehearse_migration_rollbacks",
                    names=list(names),
                    consent=consent,
                    client=self._session.client,
                    record=False,
                    rethrow=False,
                )
                # in the transaction of the rehearsal, so that it is the SQL that ran
                stored = self._session.query_text(
                    "SELECT h.migration_name, h.rollback_sql FROM {schema}.migration_history h"
                    " WHERE h.migration_name = ANY (%(names)s)",
                    names=list(names),
                )
                rows, found = self._session.transact(
                    rehearse,
                    *self._session.inside_transaction(stored),
                    lock_timeout=lock_timeout,
                    statement_timeout=statement_timeout,
                    undo=True,
                )
            except errors.DatabaseError as error:
                self.record_rehearsal(
                    {
                        "success": False,
                        "message": error.message,
                        "migrations": list(names),
                        "failure": {"sqlstate": error.sqlstate, "migration_name": names[-1]},
                    }
                )
                if isinstance(error, errors.LockBusy):
                    raise errors.LockBusy(
                        error.primary,
                        sqlstate=error.sqlstate,
                        detail=error.detail,
                        hint=describe_blockers(blockers or gate_holders(self._session)),
                    ) from error
                raise
        sql = {row["migration_name"]: row["rollback_sql"] or "" for row in found}
        return RehearsalRun(
            report=next(iter(rows[0].values())),
            rollback_sql={name: sql.get(name, "") for name in names},
            notices=list(self._session.notices),
            blocked_by=describe_blockers(blockers),
        )

    def place_of_error(
        self, names: Sequence[str], *, lock_timeout: str | None = None, statement_timeout: str
    ) -> int | None:
        """Where in its statement a rehearsal meets an error, from 1; None: PostgreSQL does not say. Does not write.

        A function that has caught an error no longer knows its place, so it runs once more, and the error comes out.
        """
        notices = list(self._session.notices)
        try:
            with self._session.undone_transaction(lock_timeout=lock_timeout, statement_timeout=statement_timeout):
                self._session.call_value(
                    "rehearse_migration_rollbacks",
                    names=list(names),
                    consent=False,
                    client=self._session.client,
                    record=False,
                    rethrow=True,
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
                "SELECT a.schema, a.name, n.nspname, c.relname FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]),"
                " pg_catalog.unnest(%(names)s::text[])) AS a (schema, name) JOIN pg_catalog.pg_class c ON c.oid"
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
            'SELECT DISTINCT a.pid, a.usename AS "user", a.application_name, a.state, r.name AS relation, l.mode, NOT'
            " l.granted AS waits, false AS for_us FROM pg_catalog.unnest(%(relations)s::text[]) AS r (name) JOIN"
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

    def record_rehearsal(self, report: Row) -> None:
        """Keep the one event that a rehearsal leaves. Writes."""
        # what is dropped may be thousands of definitions, of which the event keeps none
        kept = {key: value for key, value in report.items() if key not in ("statements", "locks", "bodies", "sessions")}
        kept["changes"] = [
            {key: row[key] for key in ("change", "kind", "identity", "new_definition", "made_by") if key in row}
            for row in report.get("changes", ())
        ]
        self._session.call_in_transaction("record_migration_rehearsal", report=Jsonb(kept), client=self._session.client)
