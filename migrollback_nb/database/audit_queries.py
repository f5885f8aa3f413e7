"""What an audit asks: events as they are hashed, rows beside them, functions as they stand. Does not write.

The catalogs are asked by queries of this package: the owner of the database can replace the functions in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

from migrollback_nb.database.installation import function_bodies
from migrollback_nb.database.session import Session

Row = dict[str, Any]

#: Every operator and function qualified: another schema may hold others of the same names.
_FUNCTIONS: LiteralString = """
SELECT pg_catalog.format('%%s(%%s)'::pg_catalog.text, p.proname, pg_catalog.oidvectortypes(p.proargtypes)) AS identity,
       p.prosrc AS body, l.lanname AS language, p.prosecdef AS definer, p.proconfig AS settings
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
     AND c.relname OPERATOR(pg_catalog.=) 'migration_history'::pg_catalog.name
     AND c.relowner OPERATOR(pg_catalog.=) p.proowner
WHERE n.nspname OPERATOR(pg_catalog.=) %(schema)s::pg_catalog.text
"""


class AuditQueries:
    """What an audit asks of a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def events(self) -> list[Row]:
        """The audit log in order, each field as it is hashed. Does not write."""
        return self._session.query(
            "SELECT e.event_number, (extract(epoch FROM e.occurred_at) * 1000000)::bigint AS epoch_us, e.event,"
            " e.migration_name, e.attempt_id::text AS attempt_id, e.database_user, e.client, e.reason,"
            " e.details::text AS details_text, e.previous_hash, e.hash"
            " FROM {schema}.migration_events e ORDER BY e.event_number"
        )

    def history(self) -> list[Row]:
        """The history, with each field as it is hashed. Does not write."""
        return self._session.query(
            "SELECT h.*, (extract(epoch FROM h.applied_at) * 1000000)::bigint AS applied_us,"
            " (extract(epoch FROM h.rollback_at) * 1000000)::bigint AS rollback_us, h.metadata::text AS metadata_text"
            ' FROM {schema}.migration_history h ORDER BY h.applied_at, h.migration_name COLLATE "C"'
        )

    def findings(self) -> list[Row]:
        """Rows of audit_migrations() but for the chain, which is counted in Python. Does not write."""
        return self._session.call_in_transaction("audit_migrations", anchors=[], chain=False)

    def replaced_functions(self) -> Sequence[tuple[str, str]]:
        """(Function, what is wrong with it) of those that are not as this package has them. Does not write."""
        found = {row["identity"]: row for row in self._session.query(_FUNCTIONS, schema=self._session.schema)}
        return [
            (identity, wrong)
            for identity, expected in function_bodies(self._session.schema).items()
            if (wrong := _wrong(found.get(identity), expected)) is not None
        ]


def _wrong(found: Row | None, expected: Mapping[str, Any]) -> str | None:
    if found is None:
        return "is not there"
    if found["body"] != expected["body"] or found["language"] != expected["language"]:
        return "has another body than this package's"
    if found["definer"] != expected["definer"]:
        return f"is {'SECURITY DEFINER' if found['definer'] else 'SECURITY INVOKER'}, and is not to be"
    if sorted(map(str.lower, found["settings"] or ())) != sorted(map(str.lower, expected["settings"])):
        return "has other settings than this package's"
    return None
