"""What frames ask of the history and the audit log; long answers come by COPY. Does not write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from migrollback_nb.database.query_texts import FINDINGS
from migrollback_nb.database.session import Row, Session, Undo
from migrollback_nb.database.statements import PINNED_PATH

if TYPE_CHECKING:
    import psycopg

#: How COPY writes NULL: what no text of a person is.
NULL: LiteralString = "\x02"

#: Microseconds since 1970: exact, and cheaper than numeric.
_MICROSECONDS: LiteralString = "round(date_part('epoch', e.occurred_at) * 1000000)::bigint"

#: Of events: which are asked for.
_WHERE: LiteralString = (
    " WHERE (%(names)s::text[] IS NULL OR e.migration_name = ANY (%(names)s::text[]))"
    " AND (%(kinds)s::text[] IS NULL OR e.event = ANY (%(kinds)s::text[]))"
    " AND (%(actors)s::text[] IS NULL OR e.database_user = ANY (%(actors)s::text[]))"
    " AND (%(since)s::timestamptz IS NULL OR e.occurred_at >= %(since)s)"
    " AND (%(since_ago)s::interval IS NULL OR e.occurred_at >= now() - %(since_ago)s::interval)"
    " AND (%(until)s::timestamptz IS NULL OR e.occurred_at < %(until)s)"
    " AND (%(until_ago)s::interval IS NULL OR e.occurred_at < now() - %(until_ago)s::interval)"
)

#: Beside migration_history, what the audit log and the proofs say of each migration.
_FACTS: LiteralString = (
    "WITH happened AS MATERIALIZED (SELECT s.migration_name, min(s.since) FILTER (WHERE s.status = 'applied') AS"
    " first_applied_at, count(*) FILTER (WHERE s.status = 'applied' AND s.event <> 'resolved') AS apply_count,"
    " count(*) FILTER (WHERE s.status = 'rolled_back') AS rollback_count, max(s.event_number) FILTER (WHERE s.status ="
    " 'rolled_back') AS last_rollback FROM {schema}.migration_status_events() s GROUP BY s.migration_name),"
    " failures AS MATERIALIZED (SELECT e.migration_name, count(*) AS count FROM {schema}.migration_events e WHERE"
    " e.event = 'failed' GROUP BY e.migration_name),"
    # of which rollback SQL the event says, by its md5; where it does not, it counts for any
    " rehearsed AS MATERIALIZED (SELECT s.name AS migration_name, s.md5, max(e.occurred_at) AS at FROM"
    " {schema}.migration_events e CROSS JOIN LATERAL (SELECT j.key AS name, j.value ->> 'md5' AS md5 FROM"
    " jsonb_each(e.details -> 'statement_ms') j WHERE jsonb_typeof(e.details -> 'statement_ms') = 'object' UNION ALL"
    " SELECT coalesce(c.name, e.migration_name), '' FROM (SELECT) o LEFT JOIN jsonb_array_elements_text(e.details ->"
    " 'chain') c (name) ON true WHERE NOT e.details ? 'statement_ms') s WHERE e.event = 'rehearsed' AND e.details ->>"
    " 'success' = 'true' GROUP BY 1, 2)"
    " SELECT h.migration_name, h.migration_version, h.status, h.metadata ->> 'description' AS description, h.metadata"
    " ->> 'tool' AS tool, h.metadata ->> 'deploy' AS deploy_id, h.applied_at, h.applied_by, coalesce("
    "a.first_applied_at, h.applied_at) AS first_applied_at, greatest(a.apply_count, 1) AS apply_count,"
    " coalesce(h.rollback_at, r.occurred_at) AS rollback_at, coalesce(h.rollback_by, r.database_user) AS rollback_by,"
    " greatest(a.rollback_count, (h.status = 'rolled_back')::int) AS rollback_count, coalesce(b.count, 0) AS"
    " failure_count, v.proven_at AS verified_at, greatest(t.at, u.at) AS rehearsed_at, CASE WHEN r.event ="
    " 'rolled_back' AND coalesce(r.details ->> 'rollback_md5', m.md5) = m.md5 THEN r.occurred_at END AS"
    " ran_at, h.notes, h.checksum, {schema}.mask_passwords(h.rollback_sql) AS rollback_sql,"
    " coalesce(h.metadata ->> 'system' = 'true', false) AS system"
    " FROM {schema}.migration_history h"
    " CROSS JOIN LATERAL (SELECT md5(convert_to(coalesce(h.rollback_sql, ''), 'UTF8')) AS md5) m"
    " LEFT JOIN happened a ON a.migration_name = h.migration_name"
    " LEFT JOIN failures b ON b.migration_name = h.migration_name"
    " LEFT JOIN {schema}.migration_events r ON r.event_number = a.last_rollback"
    " LEFT JOIN rehearsed t ON t.migration_name = h.migration_name AND t.md5 = m.md5"
    " LEFT JOIN rehearsed u ON u.migration_name = h.migration_name AND u.md5 = ''"
    " LEFT JOIN {schema}.migration_proofs v ON v.migration_name = h.migration_name AND v.checksum = h.checksum AND"
    " v.grade = 'restores' AND coalesce(v.rollback_md5, m.md5) = m.md5"
)

#: Which of them, for a ``<moment>`` and a ``<person>`` of `_ON`.
_HISTORY: LiteralString = (
    "SELECT f.* FROM (" + _FACTS + ") f"  # noqa: S608  # our own words
    " WHERE (%(names)s::text[] IS NULL OR f.migration_name = ANY (%(names)s::text[]))"
    " AND (%(status)s::text IS NULL OR f.status = %(status)s) AND (%(system)s OR NOT f.system)"
    " AND (NOT %(without)s OR (coalesce(btrim(f.rollback_sql, E' \\t\\r\\n'), '') = '' AND f.status <> 'rolled_back'))"
    " AND (%(by)s::text[] IS NULL OR <person> = ANY (%(by)s::text[]))"
    " AND (%(since)s::timestamptz IS NULL OR <moment> >= %(since)s)"
    " AND (%(since_ago)s::interval IS NULL OR <moment> >= now() - %(since_ago)s::interval)"
    " AND (%(until)s::timestamptz IS NULL OR <moment> < %(until)s)"
    " AND (%(until_ago)s::interval IS NULL OR <moment> < now() - %(until_ago)s::interval)"
    ' ORDER BY <moment> DESC NULLS LAST, f.migration_name COLLATE "C" DESC LIMIT %(limit)s'
)

#: Events that are asked for: ``<rest>`` stands for more columns, ``<way>`` and ``<order>`` for the direction.
_EVENTS: LiteralString = (
    "SELECT e.event_number, " + _MICROSECONDS + ", e.event, e.migration_name,"  # noqa: S608  # our own words
    " e.attempt_id, e.database_user, e.client,"
    " e.reason, <rest> FROM {schema}.migration_events e" + _WHERE + " AND (%(after)s::bigint IS NULL OR e.event_number"
    " <way> %(after)s::bigint) ORDER BY e.event_number <order> LIMIT %(limit)s"
)

#: The same as rows, with all that an event holds.
_EVENT_ROWS: LiteralString = (
    "SELECT e.* FROM {schema}.migration_events e"  # noqa: S608  # our own words
    + _WHERE
    + " AND (%(after)s::bigint IS NULL OR e.event_number > %(after)s::bigint)"
    + " ORDER BY e.event_number <order> LIMIT %(limit)s"
)

#: By which time and which person rows of the history are chosen and ordered.
_ON: dict[str, tuple[LiteralString, LiteralString]] = {
    "applied": ("f.applied_at", "f.applied_by"),
    "rolled_back": ("f.rollback_at", "f.rollback_by"),
    "last": (
        "greatest(f.applied_at, f.rollback_at)",
        "CASE WHEN f.rollback_at > f.applied_at THEN f.rollback_by ELSE f.applied_by END",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when until when: moments, or spans that reach back from the database's now."""

    since: datetime | timedelta | None = None  #: from then on
    until: datetime | timedelta | None = None  #: before then

    def values(self) -> dict[str, Any]:
        """Its values for a query."""
        found: dict[str, Any] = {}
        for name, when in (("since", self.since), ("until", self.until)):
            is_span = isinstance(when, timedelta)
            found |= {name: None if is_span else when, f"{name}_ago": when if is_span else None}
        return found


# Written out, as what a process asks first: finding the arguments of a function reads all files of ours.
_LIST: LiteralString = (
    "SELECT l.* FROM {schema}.list_assessed_migrations({schema}.effective_search_path()::pg_catalog.text) l"
)
_HALF_APPLIED: LiteralString = "SELECT h.* FROM {schema}.half_applied_migrations(NULL::pg_catalog.text) h"
_SYSTEM: LiteralString = (
    "SELECT h.migration_name FROM {schema}.migration_history h WHERE h.metadata ->> 'system' = 'true'"
)


class Listed(NamedTuple):
    """What a list of the applied migrations shows."""

    rows: list[Row]  #: as `Queries.list_rollbackable`
    half_applied: list[Row]  #: as `Lookups.half_applied`
    findings: list[Row]  #: as `Queries.ledger_findings`
    system: set[str]  #: names of our own


class HistoryQueries:
    """Queries of frames."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def listed(self) -> Listed:
        """What a list of the applied migrations shows, by one message. Does not write."""
        session = self._session
        rows, half, system, findings = session.read(
            calls=[session.query_text(_LIST), session.query_text(_HALF_APPLIED)],
            queries=[session.query_text(_SYSTEM), session.query_text(FINDINGS, names=None)],
        )
        return Listed(rows=rows, half_applied=half, findings=findings, system={row["migration_name"] for row in system})

    def history(
        self,
        *,
        names: Sequence[str] | None,
        status: str | None,
        window: Window,
        on: str,
        by: Sequence[str] | None,
        without_rollback: bool,
        system: bool,
        limit: int | None,
    ) -> list[Row]:
        """The history with what the audit log and the proofs say of each migration, newest first. Does not write."""
        moment, person = _ON[on]
        return self._session.query(
            _HISTORY.replace("<moment>", moment).replace("<person>", person),
            names=None if names is None else list(names),
            status=status,
            system=system,
            without=without_rollback,
            by=None if by is None else list(by),
            limit=limit,
            **window.values(),
        )

    def deploys(self, window: Window) -> list[Row]:
        """Rows of migration_deploys(), newest first: those that began in a window. Does not write."""
        return self._session.query(
            "SELECT d.* FROM {schema}.migration_deploys() WITH ORDINALITY d WHERE (%(since)s::timestamptz IS NULL OR"
            " d.deployed_at >= %(since)s) AND (%(since_ago)s::interval IS NULL OR d.deployed_at >= now() -"
            " %(since_ago)s::interval) AND (%(until)s::timestamptz IS NULL OR d.deployed_at < %(until)s) AND"
            " (%(until_ago)s::interval IS NULL OR d.deployed_at < now() - %(until_ago)s::interval) ORDER BY"
            " d.ordinality",
            **window.values(),
        )

    def system(self) -> list[str]:
        """Names of the system's own migrations. Does not write."""
        return [row["migration_name"] for row in self._session.query(_SYSTEM)]

    def has_events(self, name: str) -> bool:
        """Whether the audit log knows a migration of this name, registered or not. Does not write."""
        rows = self._session.query(
            "SELECT EXISTS (SELECT FROM {schema}.migration_events e WHERE e.migration_name = %(name)s) AS known",
            name=name,
        )
        return bool(rows[0]["known"])

    @contextmanager
    def events(
        self,
        *,
        names: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        actors: Sequence[str] | None = None,
        window: Window,
        after: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        rest: LiteralString = "e.hash, e.details",
    ) -> Iterator[CopyReader]:
        """Events as CSV of COPY: number, microseconds, event, migration, attempt, role, client, reason, rest.

        Does not write. `rest`: the columns at the end; `after`: of higher numbers only, or of lower ones where
        the newest come first.
        """
        way: LiteralString = "<" if newest_first else ">"
        order: LiteralString = "DESC" if newest_first else "ASC"
        text = self._session.query_text(
            _EVENTS.replace("<rest>", rest).replace("<way>", way).replace("<order>", order),
            names=None if names is None else list(names),
            kinds=None if kinds is None else list(kinds),
            actors=None if actors is None else list(actors),
            after=after,
            limit=limit,
            **window.values(),
        )
        with self._copied(text) as copied:
            yield copied

    def event_rows(
        self,
        *,
        names: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        window: Window,
        after: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        """Events as rows, in order; with a limit the newest ones, whichever end comes first. Does not write.

        `after`: only those of a higher number.
        """
        rows = self._session.query(
            _EVENT_ROWS.replace("<order>", "ASC" if limit is None and not newest_first else "DESC"),
            names=None if names is None else list(names),
            kinds=None if kinds is None else list(kinds),
            actors=None,
            after=after,
            limit=limit,
            **window.values(),
        )
        return rows[::-1] if limit is not None and not newest_first else rows

    @contextmanager
    def _copied(self, query: bytes) -> Iterator[CopyReader]:
        """The rows of a query as CSV."""
        session = self._session
        copy = b"COPY (" + query + b") TO STDOUT (FORMAT csv, NULL E'\\x02')"
        with suppress(Undo), session.translated_errors(), session.transaction_with({}, PINNED_PATH):
            with session.connection.cursor() as cursor, cursor.copy(copy) as copied:
                yield CopyReader(copied)
            raise Undo


class CopyReader:
    """What COPY sends, as a file that pandas reads."""

    def __init__(self, copied: psycopg.Copy) -> None:
        self._copied = copied
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes; all that are left where `size` is negative."""
        parts, length = [self._left], len(self._left)
        while size < 0 or length < size:
            data = bytes(self._copied.read())
            if not data:
                break
            parts.append(data)
            length += len(data)
        whole = b"".join(parts)
        cut = len(whole) if size < 0 else size
        self._left = whole[cut:]
        return whole[:cut]

    def __iter__(self) -> Iterator[bytes]:  # pandas asks for it, and reads
        return iter(lambda: self.read(1 << 16), b"")
