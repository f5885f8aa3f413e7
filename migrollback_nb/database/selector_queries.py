"""What selectors and ranges ask of the history: names and when each was applied, no more. Does not write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

from migrollback_nb.core.results.selection import Range
from migrollback_nb.core.selectors.completion import Facts
from migrollback_nb.database.gate import Gate
from migrollback_nb.database.session import Row, Session

#: Migration -> when it was applied.
Places = dict[str, datetime | None]

_FOUND: LiteralString = "SELECT h.migration_name, h.applied_at FROM {schema}.migration_history h"

#: The system's own is no one's migration: only its name selects it.
_NOT_OURS: LiteralString = " AND h.metadata ->> 'system' IS DISTINCT FROM 'true'"

#: metadata is read only where no one has looked: of ten thousand rows it takes most of the time.
_NOT_SEARCHED: LiteralString = (
    "SELECT count(*) AS count FROM {schema}.migration_history h LEFT JOIN {schema}.migration_dependency_searches s"
    " ON s.migration_name = h.migration_name AND s.searched_in <> 'nothing' WHERE h.status <> 'rolled_back' AND CASE"
    " WHEN s.migration_name IS NULL THEN h.metadata ->> 'system' IS DISTINCT FROM 'true' ELSE s.searched_at <"
    " h.applied_at END"
)


class SelectorQueries:
    """Queries of selectors."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._gate = Gate(session)

    def all(self) -> Places:
        """Every migration, the system's own too. Does not write."""
        return _places(self._session.query(_FOUND))

    def named(self, names: Collection[str]) -> Places:
        """Those of these names. Does not write."""
        return _places(self._session.query(_FOUND + " WHERE h.migration_name = ANY (%(names)s)", names=list(names)))

    def named_in(self, texts: Sequence[str]) -> Places:
        """Those whose names stand anywhere in these texts. Does not write."""
        return _places(
            self._session.query(
                _FOUND + " WHERE EXISTS (SELECT FROM unnest(%(texts)s::text[]) AS t (text) WHERE strpos(t.text,"
                " h.migration_name) > 0)",
                texts=list(texts),
            )
        )

    def reached(self, names: Collection[str], *, dependents: bool, depth: int | None) -> tuple[Places, int]:
        """Rows of migrations_reached(): these, and what dependencies lead to. Does not write.

        With it, by one message, of how many that are applied no one has looked for undeclared dependencies.
        """
        session = self._session
        reached, not_searched = session.read(
            calls=[session.call_text("migrations_reached", names=list(names), dependents=dependents, depth=depth)],
            queries=[session.query_text(_NOT_SEARCHED)],
        )
        return _places(reached), int(not_searched[0]["count"])

    def dependents_of(self, names: Sequence[str]) -> tuple[dict[str, str], list[Row]]:
        """These and all that depends on them: name -> status, in the order of the history; edges. Does not write.

        Of the dependents whatever the depth is, those that are rolled back too.
        """
        places, _ = self.reached(names, dependents=True, depth=None)
        found = in_order(places)
        session = self._session
        states, edges = session.read(
            queries=[
                session.query_text(
                    "SELECT h.migration_name, h.status FROM {schema}.migration_history h WHERE h.migration_name = ANY"
                    " (%(names)s::text[])",
                    names=list(found),
                ),
                session.query_text(
                    "SELECT d.migration_name, d.depends_on, d.source, d.because FROM {schema}.migration_dependencies d"
                    " WHERE d.depends_on = ANY (%(names)s::text[])",
                    names=list(found),
                ),
            ]
        )
        status = {row["migration_name"]: row["status"] for row in states}
        return {name: status[name] for name in found if name in status}, edges

    def like(self, pattern: str) -> Places:
        """Those whose names match a regular expression, our own aside. Does not write."""
        return self._where("h.migration_name ~ %(pattern)s", pattern=f"^(?:{pattern})$")

    def of_status(self, status: str) -> Places:
        """Those of this status, our own aside. Does not write."""
        return self._where("h.status = %(status)s", status=status)

    def applied_by(self, pattern: str) -> Places:
        """Those that a role whose name matches a regular expression applied, our own aside. Does not write."""
        return self._where("h.applied_by ~ %(pattern)s", pattern=f"^(?:{pattern})$")

    def applied_since(self, since: datetime | timedelta) -> Places:
        """Those applied after this moment, or within this span until now, our own aside. Does not write."""
        if isinstance(since, timedelta):
            return self._where("h.applied_at > now() - %(span)s::interval", span=since)
        return self._where("h.applied_at > %(moment)s::timestamptz", moment=since)

    def last(self, count: int) -> Places:
        """The latest that are not rolled back, our own aside. Does not write."""
        return _places(
            self._session.query(
                _FOUND + " WHERE h.status <> 'rolled_back'" + _NOT_OURS + " ORDER BY h.applied_at DESC,"
                ' h.migration_name COLLATE "C" DESC LIMIT %(count)s',
                count=count,
            )
        )

    def of_range(self, range: Range, *, since: datetime | timedelta | None = None) -> tuple[str, ...]:
        """What migrations_of_range() finds, in order of the rollback; `since` as a moment or a span. Does not write."""
        if isinstance(since, timedelta):  # by the clock of the server, as the history is
            since = self._session.query("SELECT now() - %(span)s::interval AS moment", span=since)[0]["moment"]
        asked: dict[str, Any] = {
            "names": list(range.names) or None,
            "back_to": range.to,
            "last": range.last,
            "since": since,
            "deploy": range.deploy,
            "chain": range.chain,
        }
        if self._session.rights.through_gate:
            return tuple(self._gate.range(**asked))
        return tuple(self._session.call_value("migrations_of_range", **asked))

    def of_deploys(self, pattern: str) -> Places:
        """What the newest deploy of each label that matches brought, our own aside. Does not write."""
        return self._where(
            "h.migration_name IN (SELECT m.name FROM (SELECT DISTINCT ON (d.label) d.migrations FROM"
            " {schema}.migration_deploys(NULL::text) d WHERE d.label ~ %(pattern)s OR d.deploy_id ~ %(pattern)s"
            " ORDER BY d.label, d.deployed_at DESC) n CROSS JOIN LATERAL unnest(n.migrations) AS m (name))",
            pattern=f"^(?:{pattern})$",
        )

    def of_grade(self, grade: str | None) -> Places:
        """Those whose recorded proof has this grade, None: those without a proof; our own aside. Does not write."""
        return _places(
            self._session.query(
                _FOUND + " LEFT JOIN {schema}.migration_proofs p ON p.migration_name = h.migration_name AND p.checksum"
                " = h.checksum AND p.rollback_md5 IS NOT DISTINCT FROM md5(convert_to(h.rollback_sql, 'UTF8'))"
                " WHERE p.grade IS NOT DISTINCT FROM %(grade)s::text" + _NOT_OURS,
                grade=grade,
            )
        )

    def of_verdict(self, verdict: str) -> Places:
        """Those of which list_assessed_migrations() gives this verdict, our own aside. Does not write."""
        names = [
            row["migration_name"] for row in self._session.call("list_assessed_migrations") if row["verdict"] == verdict
        ]
        return self._where("h.migration_name = ANY (%(names)s::text[])", names=names)

    def touching(self, what: str, pattern: str, part: str) -> Places:
        """Rows of migrations_touching(), our own aside. Does not write."""
        found = _places(self._session.call("migrations_touching", what=what, pattern=f"^(?:{pattern})$", part=part))
        return self._where("h.migration_name = ANY (%(names)s::text[])", names=list(found)) if found else {}

    def touched(self, what: str) -> list[str]:
        """Names of the tables, schemas or objects that migrations touched. Does not write."""
        rows = self._session.query(
            "SELECT DISTINCT CASE %(what)s WHEN 'table' THEN o.\"table\" WHEN 'schema' THEN o.schema ELSE o.identity"
            " END AS value FROM {schema}.objects_of_migrations(NULL::text[]) o",
            what=what,
        )
        return sorted(row["value"] for row in rows if row["value"] is not None)

    def tags(self) -> dict[str, tuple[str, ...] | None]:
        """Migration -> its registered tags, None where it was registered without; our own aside. Does not write."""
        rows = self._session.query(
            "SELECT h.migration_name, h.metadata -> 'tags' AS tags FROM {schema}.migration_history h WHERE"
            " h.metadata ->> 'system' IS DISTINCT FROM 'true'"
        )
        return {
            row["migration_name"]: None if row["tags"] is None else tuple(str(tag) for tag in row["tags"])
            for row in rows
        }

    def facts(self) -> Facts:
        """What there is to be selected, by one message. Does not write."""
        session = self._session
        names, objects, known = session.read(
            queries=[
                session.query_text(
                    "SELECT h.migration_name FROM {schema}.migration_history h ORDER BY h.applied_at DESC,"
                    ' h.migration_name COLLATE "C" DESC'
                ),
                session.query_text(
                    'SELECT DISTINCT o."table", o.schema, o.identity FROM'
                    " {schema}.objects_of_migrations(NULL::text[]) o"
                ),
                session.query_text(
                    "SELECT ARRAY(SELECT DISTINCT h.applied_by FROM {schema}.migration_history h WHERE h.applied_by IS"
                    " NOT NULL ORDER BY 1) AS roles, ARRAY(SELECT d.label FROM"
                    " {schema}.migration_deploys(NULL::text) d GROUP BY d.label ORDER BY max(d.deployed_at) DESC) AS"
                    " deploys, ARRAY(SELECT DISTINCT t.tag FROM {schema}.migration_history h CROSS JOIN LATERAL"
                    " jsonb_array_elements_text(CASE WHEN jsonb_typeof(h.metadata -> 'tags') = 'array' THEN h.metadata"
                    " -> 'tags' END) AS t (tag) ORDER BY 1) AS tags"
                ),
            ]
        )

        def column(name: str) -> tuple[str, ...]:
            return tuple(sorted({row[name] for row in objects if row[name] is not None}))

        return Facts(
            names=tuple(row["migration_name"] for row in names),
            tables=column("table"),
            schemas=column("schema"),
            objects=column("identity"),
            **{name: tuple(known[0][name]) for name in ("roles", "deploys", "tags")},
        )

    def roles(self) -> list[str]:
        """Roles that have applied migrations. Does not write."""
        return self._column("SELECT DISTINCT h.applied_by AS value FROM {schema}.migration_history h")

    def deploy_labels(self) -> list[str]:
        """Labels of deploys. Does not write."""
        return self._column("SELECT DISTINCT d.label AS value FROM {schema}.migration_deploys(NULL::text) d")

    def _where(self, condition: LiteralString, **values: Any) -> Places:
        return _places(self._session.query(_FOUND + " WHERE " + condition + _NOT_OURS, **values))

    def _column(self, query: LiteralString) -> list[str]:
        return sorted(row["value"] for row in self._session.query(query) if row["value"] is not None)


def _places(rows: Sequence[Row]) -> Places:
    return {row["migration_name"]: row["applied_at"] for row in rows}


def in_order(places: Places) -> tuple[str, ...]:
    """Names in the order of the history, oldest first, those without a time last; pure."""

    def key(name: str) -> tuple[Any, ...]:
        return places[name] is None, places[name], name

    return tuple(sorted(places, key=key))
