"""One connection, and the SQL functions by name: no other room calls them.

Rows come back as dicts keyed by the columns of the SQL functions.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from migrollback_nb.database.connection import in_scope
from migrollback_nb.database.gate import Gate
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from migrollback_nb.core.results import Target
    from migrollback_nb.database.approval_commands import ApprovalCommands
    from migrollback_nb.database.archive_commands import ArchiveCommands
    from migrollback_nb.database.attempts import Attempts
    from migrollback_nb.database.audit_queries import AuditQueries
    from migrollback_nb.database.commands import Commands
    from migrollback_nb.database.dependency_queries import DependencyQueries
    from migrollback_nb.database.facts import Facts
    from migrollback_nb.database.graph_queries import GraphQueries
    from migrollback_nb.database.history_queries import HistoryQueries
    from migrollback_nb.database.lookups import Lookups
    from migrollback_nb.database.nontransactional import NontransactionalCommands
    from migrollback_nb.database.question_queries import QuestionQueries
    from migrollback_nb.database.rehearsals import Rehearsals
    from migrollback_nb.database.selector_queries import SelectorQueries
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.database.system import SystemCommands


class Database:
    """A database with the rollback system: what can be asked of it and done to it, in objects that share one session.

    Parameters
    ----------
    session : Session
        The connection.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.gate = Gate(session)
        self.queries = Queries(session)

    # Each is loaded when it is asked for: together they take as long as half of the driver.

    @cached_property
    def facts(self) -> Facts:
        """What is known of a rollback before it runs."""
        from migrollback_nb.database.facts import Facts

        return Facts(self.session, self.queries)

    @cached_property
    def history(self) -> HistoryQueries:
        """Queries to the history."""
        from migrollback_nb.database.history_queries import HistoryQueries

        return HistoryQueries(self.session)

    @cached_property
    def audit(self) -> AuditQueries:
        """Queries to the audit log."""
        from migrollback_nb.database.audit_queries import AuditQueries

        return AuditQueries(self.session)

    @cached_property
    def lookups(self) -> Lookups:
        """Lookups by name."""
        from migrollback_nb.database.lookups import Lookups

        return Lookups(self.session, self.queries)

    @cached_property
    def dependencies(self) -> DependencyQueries:
        """Queries to the dependencies."""
        from migrollback_nb.database.dependency_queries import DependencyQueries

        return DependencyQueries(self.session)

    @cached_property
    def selectors(self) -> SelectorQueries:
        """Facts for selectors."""
        from migrollback_nb.database.selector_queries import SelectorQueries

        return SelectorQueries(self.session)

    @cached_property
    def graph(self) -> GraphQueries:
        """Facts for graphs."""
        from migrollback_nb.database.graph_queries import GraphQueries

        return GraphQueries(self.session)

    @cached_property
    def questions(self) -> QuestionQueries:
        """Questions about the past."""
        from migrollback_nb.database.question_queries import QuestionQueries

        return QuestionQueries(self.session)

    @cached_property
    def attempts(self) -> Attempts:
        """How attempts ended."""
        from migrollback_nb.database.attempts import Attempts

        return Attempts(self.session, self.queries)

    @cached_property
    def commands(self) -> Commands:
        """Commands that run in a transaction."""
        from migrollback_nb.database.commands import Commands

        return Commands(self.session, self.attempts)

    @cached_property
    def nontransactional(self) -> NontransactionalCommands:
        """Commands outside a transaction."""
        from migrollback_nb.database.nontransactional import NontransactionalCommands

        return NontransactionalCommands(self.session, self.queries, self.attempts)

    @cached_property
    def rehearsals(self) -> Rehearsals:
        """Rehearsals."""
        from migrollback_nb.database.rehearsals import Rehearsals

        return Rehearsals(self.session)

    @cached_property
    def approvals(self) -> ApprovalCommands:
        """Policies, requests and approvals."""
        from migrollback_nb.database.approval_commands import ApprovalCommands

        return ApprovalCommands(self.session)

    @cached_property
    def archives(self) -> ArchiveCommands:
        """Archives."""
        from migrollback_nb.database.archive_commands import ArchiveCommands

        return ArchiveCommands(self.session)

    @cached_property
    def system(self) -> SystemCommands:
        """The system itself: installed, upgraded, removed."""
        from migrollback_nb.database.system import SystemCommands

        return SystemCommands(self.session, self.queries)

    @classmethod
    def connect(
        cls,
        dsn: str,
        *,
        found_in: str = "the DSN that was given",
        schema: str = "public",
        scope: str | None = None,
        timeouts: Timeouts | None = None,
        interface: str = "python",
        resolve: Callable[[], str] | None = None,
    ) -> Self:
        """Open a connection of our own; writes nothing. See `Session.connect`.

        With a `scope`, a tenant's schema, that is first in the session's path, and its history is the session's.
        """
        if scope is not None:
            # a server that is only started when it is needed gives its DSN then
            dsn, resolve = (
                (in_scope(dsn, scope, found_in=found_in), None)
                if resolve is None
                else (dsn, partial(_resolved_in_scope, resolve, scope))
            )
        session = Session.connect(
            dsn,
            found_in=found_in,
            schema=schema,
            timeouts=timeouts,
            interface=interface,
            resolve=resolve,
            scope=scope,
        )
        return cls(session)

    @property
    def connection(self) -> psycopg.Connection:
        """The connection at this moment: after one was lost it is another."""
        return self.session.connection

    @property
    def scope(self) -> str | None:
        """The tenant's schema that `connect` was given: what `install` gives a history of its own."""
        return self.session.scope

    @property
    def target(self) -> Target:
        """Which database this is; never its password."""
        return self.session.target

    def close(self) -> None:
        """Close the connection when it is our own; writes nothing."""
        self.session.close()


def _resolved_in_scope(resolve: Callable[[], str], scope: str) -> str:
    """The DSN of a server that is started for it, with a tenant's schema first in the session's path."""
    return in_scope(resolve(), scope)
