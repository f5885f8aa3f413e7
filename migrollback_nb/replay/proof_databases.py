"""The databases of a proof: a base in which only up migrations run, and the copy to work on. Writes only there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import from_sqlstate
from migrollback_nb.replay import beside_schema, table_contents
from migrollback_nb.replay.runs import Failure, run_rollback, run_up

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.replay.beside_schema import BesideSchema
    from migrollback_nb.replay.scratch import Scratch
    from migrollback_nb.replay.table_contents import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a database holds at one moment."""

    schema: str | None  #: schema_snapshot() as text; None: it was not read
    rows: dict[str, Content]


class Clock:
    """Seconds spent on each kind of work, and how often the schema was read whole."""

    def __init__(self) -> None:
        self.digests = 0
        self.seconds = {"sql": 0.0, "schema": 0.0, "rows": 0.0, "scratch": 0.0}

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count the time of the ``with`` block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - began


class ProofDatabases:
    """The base, which never holds a synthetic row, and `work`, the copy of it that is worked on."""

    def __init__(self, place: Scratch, clock: Clock) -> None:
        self.clock = clock
        self._place = place
        self._behind: list[MigrationFile] = []  # applied in the copy that is worked on, not yet in the base
        self._base = place.name
        self._roles = place.role_names()  # that are there by what the base holds
        self.work = self.copy()

    @property
    def base(self) -> Database:
        """The base. While a connection to it is open it cannot be copied: `copy` closes it."""
        return self._place.database

    # -- copies --------------------------------------------------------------------------------------------------------

    def copy(self) -> Database:
        """Create another copy of the base, in the state in which that is. Writes."""
        with self.clock.on("scratch"):
            self.base.close()
            return self._place.connect(self._place.create(template=self._base))

    def drop(self, database: Database) -> None:
        """Drop a copy. Writes."""
        with self.clock.on("scratch"):
            self._place.drop(database.target.database)

    def is_applied(self, file: MigrationFile) -> None:
        """Keep that a migration is applied in the copy, so that the base can follow. Writes nothing."""
        self._behind.append(file)

    def catch_up(self) -> None:
        """Bring the base to where the up migrations have brought the copy that is worked on. Writes."""
        while self._behind:
            failure = self.run_up(self.base, self._behind[0])
            if failure is not None and failure.of_the_server:
                raise from_sqlstate(failure.sqlstate, failure.message)
            del self._behind[0]
        self._roles = self._place.role_names()

    def start_over(self) -> None:
        """Work on in a new copy of the base. Writes."""
        self.drop(self.work)
        self.take_back_roles()
        self.catch_up()
        self.work = self.copy()

    # -- roles, which all databases share ------------------------------------------------------------------------------

    @property
    def roles_differ(self) -> bool:
        """Whether roles came or went since the base was brought to where it is: what makes them cannot run there."""
        return self._place.owns_server and self._place.role_names() != self._roles

    def take_back_roles(self) -> None:
        """Bring back the roles that belong to what the base holds. Writes, on a server of our own alone."""
        self._place.keep_roles(self._roles)

    # -- running -------------------------------------------------------------------------------------------------------

    def run_up(self, database: Database, file: MigrationFile) -> Failure | None:
        """As `runs.run_up`. Writes."""
        with self.clock.on("sql"):
            return run_up(database, file)

    def run_rollback(self, database: Database, file: MigrationFile) -> Failure | None:
        """As `runs.run_rollback`. Writes."""
        with self.clock.on("sql"):
            return run_rollback(database, file)

    # -- what they hold ------------------------------------------------------------------------------------------------

    def schema(self, database: Database) -> str:
        """The whole schema, as text. Does not write."""
        self.clock.digests += 1
        with self.clock.on("schema"):
            return database.queries.schema_text()

    def schema_hash(self, database: Database) -> str:
        """A quick sign that the schema is the same as before. Does not write."""
        with self.clock.on("schema"):
            return database.queries.schema_hash()

    def count_objects(self, database: Database) -> Any:
        """The numbers of objects of each kind, which cost next to nothing. Does not write."""
        with self.clock.on("schema"):
            return database.queries.count_catalog_rows()

    def keeps_coarse_times(self, database: Database) -> bool:
        """Whether a column rounds times to tenths of seconds or more, so that two of one replay may be alike."""
        rows = database.session.query(
            "SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN"
            " pg_catalog.pg_type t ON t.oid = a.atttypid WHERE t.typcategory = 'D' AND t.typnamespace ="
            " 'pg_catalog'::pg_catalog.regnamespace AND a.atttypmod BETWEEN 0 AND 1 AND a.attnum > 0 AND c.relkind IN"
            " ('r', 'p') LIMIT 1"
        )
        return bool(rows)

    def beside_schema(self, database: Database) -> BesideSchema:
        """What stands beside the schema. Does not write."""
        with self.clock.on("schema"):
            return beside_schema.read(database.connection, besides=[self._place.schema], roles=self._place.owns_server)

    def rows(self, database: Database, known: dict[str, Content] | None = None) -> dict[str, Content]:
        """What all tables hold; known: what need not be read again where it is unchanged. Does not write."""
        with self.clock.on("rows"):
            return table_contents.read(
                database.connection,
                table_contents.tables(database.connection, besides=[self._place.schema]),
                known=known,
            )
