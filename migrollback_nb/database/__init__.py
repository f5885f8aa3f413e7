"""One connection, and the SQL functions by name: no other room calls them.

Rows come back as dicts keyed by the columns of the SQL functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from migrollback_nb.database.approval_commands import ApprovalCommands
from migrollback_nb.database.archive_commands import ArchiveCommands
from migrollback_nb.database.attempts import Attempts
from migrollback_nb.database.audit_queries import AuditQueries
from migrollback_nb.database.commands import Commands
from migrollback_nb.database.dependency_queries import DependencyQueries
from migrollback_nb.database.gate import Gate
from migrollback_nb.database.graph_queries import GraphQueries
from migrollback_nb.database.history_queries import HistoryQueries
from migrollback_nb.database.lookups import Lookups
from migrollback_nb.database.nontransactional import NontransactionalCommands
from migrollback_nb.database.queries import Queries
from migrollback_nb.database.question_queries import QuestionQueries
from migrollback_nb.database.rehearsals import Rehearsals
from migrollback_nb.database.selector_queries import SelectorQueries
from migrollback_nb.database.session import Session
from migrollback_nb.database.system import SystemCommands

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from migrollback_nb.core.results import Target
    from migrollback_nb.database.settings import Timeouts


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
        self.history = HistoryQueries(session)
        self.audit = AuditQueries(session)
        self.lookups = Lookups(session, self.queries)
        self.dependencies = DependencyQueries(session)
        self.selectors = SelectorQueries(session)
        self.graph = GraphQueries(session)
        self.questions = QuestionQueries(session)
        self.attempts = Attempts(session, self.queries)
        self.commands = Commands(session, self.attempts)
        self.nontransactional = NontransactionalCommands(session, self.queries, self.attempts)
        self.rehearsals = Rehearsals(session)
        self.approvals = ApprovalCommands(session)
        self.archives = ArchiveCommands(session)
        self.system = SystemCommands(session, self.queries)

    @classmethod
    def connect(
        cls,
        dsn: str,
        *,
        found_in: str = "the DSN that was given",
        schema: str = "public",
        timeouts: Timeouts | None = None,
        interface: str = "python",
        resolve: Callable[[], str] | None = None,
    ) -> Self:
        """Open a connection of our own; writes nothing. See `Session.connect`."""
        session = Session.connect(
            dsn, found_in=found_in, schema=schema, timeouts=timeouts, interface=interface, resolve=resolve
        )
        return cls(session)

    @property
    def connection(self) -> psycopg.Connection:
        """The connection at this moment: after one was lost it is another."""
        return self.session.connection

    @property
    def target(self) -> Target:
        """Which database this is; never its password."""
        return self.session.target

    def close(self) -> None:
        """Close the connection when it is our own; writes nothing."""
        self.session.close()
