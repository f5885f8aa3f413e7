"""Queries about undeclared dependencies: where to look for them, and what is known of them. Does not write."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from migrollback_nb.core import errors
from migrollback_nb.database.session import Row, Session
from migrollback_nb.database.system_files import SYSTEM_NAME


class DependencyQueries:
    """Queries about undeclared dependencies."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def dismissed(self) -> list[Row]:
        """Inferred dependencies that a person dismissed, in the form of `dependencies`. Does not write."""
        return self._session.query(
            "SELECT d.migration_name, d.depends_on, h.status, b.status AS depends_on_status, d.dismissed_at AS"
            " created_at, 'dismissed' AS source, d.reason AS because FROM {schema}.migration_dismissed_dependencies d"
            " LEFT JOIN {schema}.migration_history h ON h.migration_name = d.migration_name LEFT JOIN"
            ' {schema}.migration_history b ON b.migration_name = d.depends_on ORDER BY d.migration_name COLLATE "C",'
            ' d.depends_on COLLATE "C"'
        )

    def to_search(self, names: Sequence[str] = ()) -> list[Row]:
        """Rows of migrations_to_search(): of which it was not looked for what they need, and these. Does not write."""
        return self._session.call("migrations_to_search", names=list(names))

    def unsearched(self) -> int:
        """Of how many migrations it was not looked for what they need; 0 where one may not ask. Does not write."""
        try:
            rows = self._session.query(
                "SELECT pg_catalog.count(*) AS migrations FROM {schema}.migrations_to_search('{{}}'::text[]) s"
            )
        except errors.DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            return 0
        return int(rows[0]["migrations"])

    def facts(
        self, names: Sequence[str], identities: Sequence[str], words: Sequence[str], used: Sequence[str]
    ) -> tuple[list[Row], list[Row], list[Row], list[Row], list[Row]]:
        """What decides which migrations these need, by one message. Does not write.

        Rows of infer_migration_dependencies(), of migration_objects_named(), of migration_rollbacks_naming(), and of
        migration_surroundings(), and what is recorded. The system's own rollback SQL, in which any short word stands,
        is left out: it names what is the system's, and takes a tenth of a second to read.
        """
        session = self._session
        edges, objects, rollbacks, surroundings, recorded = session.read(
            calls=[
                session.call_text("infer_migration_dependencies", names=list(names)),
                session.call_text(
                    "migration_objects_named", names=list(names), identities=list(identities), words=list(used)
                ),
                session.call_text("migration_rollbacks_naming", words=list(words), names=[*names, SYSTEM_NAME]),
                session.call_text("migration_surroundings", words=list(used)),
            ],
            queries=[
                session.query_text(
                    "SELECT d.migration_name, d.depends_on, d.source, d.because FROM {schema}.migration_dependencies d"
                    " WHERE d.migration_name = ANY (%(names)s)",
                    names=list(names),
                )
            ],
        )
        return edges, objects, rollbacks, surroundings, recorded

    def dependents_looked_for(self, name: str) -> datetime | None:
        """Since when it is known what depends on it, declared or not; None: it never was looked for. Does not write."""
        return cast(
            "datetime | None", self._session.call("dependents_looked_for", name=name)[0]["dependents_looked_for"]
        )

    def dependent_objects(self, name: str) -> list[Row]:
        """Rows of migration_dependent_objects(): the nearest dependents, and what each created. Does not write."""
        return self._session.call("migration_dependent_objects", name=name)

    def surroundings(self) -> list[Row]:
        """Rows of migration_surroundings(): triggers, members of extensions, labels of enums. Does not write."""
        return self._session.call("migration_surroundings")
