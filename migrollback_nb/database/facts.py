"""What is known of a rollback before it runs, asked by one message. Does not write."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from migrollback_nb.core import errors
from migrollback_nb.database import access, settings
from migrollback_nb.database.gate import Gate, RollbackFacts
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.query_texts import KNOWN
from migrollback_nb.database.session import Row, Session


class JustAsked:
    """What was asked last of a rollback, for as long as nothing is to be expected of asking again.

    Parameters
    ----------
    facts, names, connection : optional
        What the answer was, of which migrations, and through which connection.
    """

    #: Seconds: a snapshot from before a rollback takes about as long.
    MOMENT = 1.0

    def __init__(
        self, facts: RollbackFacts | None = None, names: tuple[str, ...] = (), connection: object = None
    ) -> None:
        self._facts = facts
        self._names = names
        self._connection = connection
        self._at = time.monotonic()

    def take(self, names: Sequence[str], fingerprint: str | None, connection: object) -> RollbackFacts | None:
        """Give the answer once, where it is of this fingerprint and of a moment ago; else None. Pure."""
        facts, self._facts = self._facts, None
        if (
            facts is None
            or facts.fingerprint != fingerprint
            or self._names != tuple(names)
            or connection is not self._connection
            or time.monotonic() - self._at > self.MOMENT
        ):
            return None
        return facts


class Facts:
    """Asks what is known of the rollback of migrations.

    Parameters
    ----------
    session : Session
        The connection.
    queries : Queries
        What is asked one by one by a role that may not ask all.
    """

    def __init__(self, session: Session, queries: Queries) -> None:
        self._session = session
        self._queries = queries
        self._just_asked = JustAsked()

    def of_rollback(self, names: Sequence[str], *, each: bool = False) -> RollbackFacts:
        """What is known of the rollback of these migrations, by one message. Does not write.

        `Session.target` says from then on whether the database is production. `each`: the dry run is one of a
        transaction for each.
        """
        facts = self._ask(names, each=each, foreseen=True)
        self._just_asked = JustAsked() if each else JustAsked(facts, tuple(names), self._session.connection)
        return facts

    def of_preview(
        self, names: Sequence[str], fingerprint: str | None, assessed: Mapping[str, Any] | None = None
    ) -> RollbackFacts:
        """As `of_rollback`, without its locks; what a preview of this fingerprint has just asked is not asked again.

        The database compares the fingerprint, and asks whether the rollback may run, in the transaction that runs it.

        Parameters
        ----------
        assessed : mapping, optional
            The row of assess_migrations() that the preview had: then as little is asked as can be. In a session that
            has just begun, the rest is a third of a rollback.
        """
        facts = self._just_asked.take(names, fingerprint, self._session.connection)
        if facts is not None:
            return facts
        if fingerprint is None or assessed is None:
            return self._ask(names, foreseen=False)
        planned = RollbackFacts(
            fingerprint=fingerprint, dry_run=[{"success": True}], known={}, ledgers=(), assessment=dict(assessed)
        )
        return self._ask(names, foreseen=False, planned=planned)

    def _ask(
        self, names: Sequence[str], *, foreseen: bool, each: bool = False, planned: RollbackFacts | None = None
    ) -> RollbackFacts:
        """All facts; where a plan has some, the others."""
        session = self._session
        asked = [
            # first of all: what changes between these must show as a change
            session.call_text("migration_fingerprint", names=list(names)),
            session.call_text("dry_run_of_each", names=list(names))
            if each
            else session.call_text("execute_migration_rollbacks", names=list(names), dry_run=True),
            session.call_text("deploy_ledgers_of_migrations", names=list(names)),
            session.call_text("assess_migrations", names=list(names)),
            *([session.call_text("foreseen_locks", names=list(names))] if foreseen else ()),
        ]
        queries = [
            session.query_text(KNOWN, names=list(names)),
            session.query_text(settings.OF_SESSION),
            session.query_text(access.QUERY, **access.names(session.schema)),
        ]
        is_production = session.call_text("is_production_database")
        try:
            *found, production, known, of_session, rights = session.read(
                calls=[*(asked if planned is None else ()), is_production], queries=queries
            )
        except errors.DatabaseError as error:
            if error.sqlstate != "42501":
                raise
            return self._ask_one_by_one(names, each=each)
        session.set_production(bool(_only_value(production)))
        session.keep_session_settings(of_session)
        session.rights.keep(rights[0])
        by_name = {row["migration_name"]: row for row in known}
        if planned is not None:
            return replace(planned, known=by_name)
        fingerprint, dry_run, ledgers, assessed, *locks = found
        return RollbackFacts(
            fingerprint=cast(str, _only_value(fingerprint)),
            dry_run=dry_run,
            ledgers=tuple(_only_value(ledgers)),
            known=by_name,
            assessment=assessed[0],
            foreseen=_only_value(locks[0]) if locks else None,
        )

    def _ask_one_by_one(self, names: Sequence[str], *, each: bool) -> RollbackFacts:
        """What a role may ask that has no right to one of the functions: it may have it to the others."""
        session, queries = self._session, self._queries
        if session.rights.access.only_gate:
            return Gate(session).facts(names)
        facts = RollbackFacts(
            fingerprint=queries.fingerprint(names),
            dry_run=session.call("dry_run_of_each", names=list(names)) if each else queries.dry_run(names),
            ledgers=queries.deploy_ledgers_of(names),
            known=queries.warnings(names),
        )
        queries.look_up_production()
        return facts


def _only_value(rows: Sequence[Row]) -> Any:
    return next(iter(rows[0].values()))
