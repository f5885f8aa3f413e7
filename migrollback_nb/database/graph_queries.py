"""What the pictures of dependencies ask of the database, in one message. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from migrollback_nb.core import errors
from migrollback_nb.database.session import Row, Session

#: Without the system's own migration, which is no one's.
_MIGRATIONS: LiteralString = (
    "SELECT h.migration_name, h.status, h.applied_at, h.applied_by, coalesce(btrim(h.rollback_sql, E' \\t\\r\\n'), '')"
    " = '' AS bare, h.metadata ->> 'deploy' AS deploy_id, s.migration_name IS NULL OR s.searched_in = 'nothing' OR"
    " s.searched_at < h.applied_at AS not_looked FROM {schema}.migration_history h LEFT JOIN"
    " {schema}.migration_dependency_searches s ON s.migration_name = h.migration_name WHERE h.metadata ->> 'system' IS"
    " DISTINCT FROM 'true' ORDER BY h.applied_at, h.migration_name COLLATE \"C\""
)
_DEPENDENCIES: LiteralString = (
    "SELECT d.migration_name, d.depends_on, d.source, d.because FROM {schema}.migration_dependencies d ORDER BY"
    ' d.migration_name COLLATE "C", d.depends_on COLLATE "C"'
)
_OBJECTS: LiteralString = (
    "SELECT o.migration_name, o.action, o.kind, o.identity, o.table_identity FROM {schema}.migration_objects o ORDER BY"
    ' o.migration_name COLLATE "C", o.kind COLLATE "C", o.identity COLLATE "C", o.action COLLATE "C"'
)
_DEPLOYS: LiteralString = "SELECT d.deploy_id, d.label FROM {schema}.migration_deploys() d"
_REFERENCES: LiteralString = (
    "SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS relation, pg_catalog.format('%%I.%%I', m.nspname,"
    " r.relname) AS referenced, k.conname AS constraint_name FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class"
    " c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class r ON"
    " r.oid = k.confrelid JOIN pg_catalog.pg_namespace m ON m.oid = r.relnamespace WHERE k.contype = 'f' AND"
    ' k.conparentid = 0 ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C", k.conname COLLATE "C"'
)


_EFFECTS: LiteralString = (
    "SELECT n.name AS migration_name, p.grade, coalesce({schema}.migration_loss_by_text(n.name, %(search_path)s::text),"
    " '[]') || coalesce({schema}.migration_values_not_restored(n.name), '[]') || coalesce(p.effects, '[]') AS effects"
    " FROM unnest(%(names)s::text[]) AS n (name) JOIN {schema}.migrations_with_known_effects() AS k (name) ON k.name ="
    " n.name LEFT JOIN LATERAL {schema}.migration_proof(n.name) p ON true"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRows:
    """Rows as the database gives them."""

    migrations: Sequence[Row]  #: the oldest first
    dependencies: Sequence[Row]
    objects: Sequence[Row] = ()  #: action, kind, identity, table_identity (of an index and the like)
    deploys: Sequence[Row] = ()
    references: Sequence[Row] = ()  #: foreign keys


class GraphQueries:
    """Queries of pictures."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def rows(self, *, objects: bool = False, deploys: bool = False, references: bool = False) -> GraphRows:
        """Migrations and dependencies, and what else a view needs, by one message. Does not write."""
        session = self._session
        wanted = {
            "migrations": session.query_text(_MIGRATIONS),
            "dependencies": session.query_text(_DEPENDENCIES),
            **({"objects": session.query_text(_OBJECTS)} if objects else {}),
            **({"deploys": session.query_text(_DEPLOYS)} if deploys else {}),
            **({"references": session.query_text(_REFERENCES)} if references else {}),
        }
        found = session.read(queries=list(wanted.values()))
        return GraphRows(**dict(zip(wanted, found, strict=True)))

    def step_effects(self, names: Sequence[str], search_path: str) -> list[Row]:
        """Effects and grade of those of these of which more is known, where this role may ask. Does not write.

        Not what a rehearsal found: that is of the whole chain, and whether it still holds is dear to ask.
        """
        try:
            return self._session.query(_EFFECTS, names=list(names), search_path=search_path)
        except errors.DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            return []
