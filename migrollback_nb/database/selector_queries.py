"""What selectors ask of the history: names and when each was applied, no more. Does not write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, LiteralString

from migrollback_nb.database.session import Row, Session

#: Migration -> when it was applied.
Places = dict[str, datetime | None]

_FOUND: LiteralString = "SELECT h.migration_name, h.applied_at FROM {schema}.migration_history h"

#: The system's own is no one's migration: only its name selects it.
_NOT_OURS: LiteralString = " AND h.metadata ->> 'system' IS DISTINCT FROM 'true'"


class SelectorQueries:
    """Queries of selectors."""

    def __init__(self, session: Session) -> None:
        self._session = session

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

    def reached(self, names: Collection[str], *, dependents: bool, depth: int | None) -> Places:
        """Rows of migrations_reached(): these, and what dependencies lead to. Does not write."""
        return _places(self._session.call("migrations_reached", names=list(names), dependents=dependents, depth=depth))

    def like(self, pattern: str) -> Places:
        """Those whose names match a regular expression, our own aside. Does not write."""
        return _places(
            self._session.query(_FOUND + " WHERE h.migration_name ~ %(pattern)s" + _NOT_OURS, pattern=pattern)
        )


def _places(rows: Sequence[Row]) -> Places:
    return {row["migration_name"]: row["applied_at"] for row in rows}


def in_order(places: Places) -> tuple[str, ...]:
    """Names in the order of the history, oldest first, those without a time last; pure."""

    def key(name: str) -> tuple[Any, ...]:
        return places[name] is None, places[name], name

    return tuple(sorted(places, key=key))
