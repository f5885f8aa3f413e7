"""Fills the tables of a proof with synthetic rows, and keeps which tables stay empty, and why. Writes only there."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from migrollback_nb.parsing.comparisons import compared_values
from migrollback_nb.replay import synthetic_rows
from migrollback_nb.replay.proof_databases import State

if TYPE_CHECKING:
    from migrollback_nb.database import Database
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.parsing.comparisons import Compared
    from migrollback_nb.replay.proof_databases import ProofDatabases
    from migrollback_nb.replay.synthetic_rows import Wanted
    from migrollback_nb.replay.table_contents import Content, Table


class Filling:
    """Synthetic rows in the copy that is worked on."""

    def __init__(self, databases: ProofDatabases) -> None:
        self._databases = databases
        #: tables that nothing could be put into, and why
        self._empty: dict[tuple[int, tuple[str, ...]], str] = {}
        self.start_over()

    def start_over(self) -> None:
        """Forget what was filled: the copy that is worked on is a new one. Writes nothing."""
        self._filled: set[tuple[int, tuple[str, ...]]] = set()  # tables that rows of ours were put into
        self._synthetic = synthetic_rows.Synthetic()
        self.has_rows = False  #: whether some tables hold rows of ours
        self.changed_schema = False  #: whether putting them in has changed the schema

    def fill(self, schema: str | None = None, known: dict[str, Content] | None = None) -> State:
        """Put a few rows into each table that has hardly any, and say what the database holds then. Writes.

        Parameters
        ----------
        schema : str, optional
            What the schema is, if that is known; it is not read.
        known : dict of str to Content, optional
            What was read before.
        """
        database = self._databases.work
        rows = self._databases.rows(database, known)
        # once is enough, but what failed for want of rows elsewhere is tried again: they may be there by now
        todo = [
            content.table
            for content in rows.values()
            if _key(content.table) not in self._filled
            and not self._empty.get(_key(content.table), "").endswith("fits")
            and (content.count < synthetic_rows.ROWS or content.monotonous())
        ]
        state = self._put_in(State(schema=schema, rows=rows), todo)
        # tables that refer to each other in a cycle: by now there are rows to refer to
        asked = {table.identity for table in todo}
        state = self._put_in(state, _alike(state, asked))
        # where each row that is referred to may be referred to once, more rows there come first
        alike = _alike(state, asked)
        parents = synthetic_rows.referred(database.connection, alike) if alike else set()
        if not parents:
            return state
        return self._put_in(state, [one.table for one in state.rows.values() if one.table.oid in parents] + alike)

    def fill_for(self, file: MigrationFile, before: State) -> State:
        """Put in rows that the up migration's own comparisons are about, and say what the database holds then. Writes.

        Now and not earlier: what another migration asks for, that may have created itself.
        """
        wanted: dict[int, list[Wanted]] = {}
        tables = {}
        compared: Sequence[Compared] = ()
        with suppress(Exception):  # rows of our own do where the text tells none
            compared = compared_values(file.up.text)
        for asked in compared:
            for content in before.rows.values():
                if (
                    content.table.name == asked.table
                    and asked.column in content.table.columns
                    and content.rows is not None
                ):
                    tables[content.table.oid] = content.table
                    wanted.setdefault(content.table.oid, []).append((asked.column, asked.value))
        return self._put_in(before, list(tables.values()), wanted)

    def fill_empty(self, database: Database) -> dict[str, Content]:
        """Put rows into those tables of another copy that hold none, and say what it holds then. Writes."""
        rows = self._databases.rows(database)
        with self._databases.clock.on("rows"):
            synthetic_rows.fill(
                database.connection,
                [
                    content.table
                    for content in rows.values()
                    if content.count == 0 and _key(content.table) not in self._empty
                ],
            )
        return self._databases.rows(database)

    def stayed_empty(self, file: MigrationFile, before: State) -> list[str]:
        """Which tables that a migration names stayed empty, and why, in words. Pure."""
        return [
            f"{identity} stayed empty, so nothing is proven of its rows ({self._empty[_key(content.table)]})"
            for identity, content in before.rows.items()
            if content.count == 0
            and _key(content.table) in self._empty
            and re.search(rf"(?<!\w){re.escape(content.table.name)}(?!\w)", file.text)
        ]

    def _put_in(
        self, state: State, todo: Sequence[Table], wanted: Mapping[int, Sequence[Wanted]] | None = None
    ) -> State:
        """Put rows into tables of the copy that is worked on, and say what it holds then."""
        if not todo:
            return state
        databases, database, schema = self._databases, self._databases.work, state.schema
        objects = databases.count_objects(database)
        with databases.clock.on("rows"):
            unfilled = {
                _key(left.table): left.why
                for left in synthetic_rows.fill(database.connection, todo, synthetic=self._synthetic, wanted=wanted)
            }
        if wanted is None:
            # one that more rows do not fit into is not empty
            empty = {_key(table) for table in todo if state.rows[table.identity].count == 0} & unfilled.keys()
            self._empty |= {key: unfilled[key] for key in empty}
            self._filled |= {_key(table) for table in todo} - empty
        self.has_rows = self.has_rows or len(unfilled) < len(todo)
        rows = databases.rows(database, state.rows)
        # triggers may do what they like, such as create partitions for new rows
        if databases.count_objects(database) != objects:
            self.changed_schema = True
            schema = None
        return State(schema=schema, rows=rows)


def _alike(state: State, asked: Collection[str]) -> list[Table]:
    """Of these tables those with rows of which a column says the same in all; pure."""
    return [
        content.table
        for identity, content in state.rows.items()
        if identity in asked and content.count and content.monotonous()
    ]


def _key(table: Table) -> tuple[int, tuple[str, ...]]:
    return table.oid, table.columns
