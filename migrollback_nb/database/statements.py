"""Composes our own statements: calls of our SQL functions, queries of ours, settings. Does not send them.

A call gives all arguments, in their order, each of its exact type: no function of another user can be meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import pq, sql
from psycopg.adapt import PyFormat, Transformer

from migrollback_nb.database.signatures import signatures

#: Under this path only PostgreSQL's own functions and operators are found. Another user's operator in public
#: would otherwise be taken where its types fit better, and run as the caller: ``jsonb ->> 'x'`` is enough.
PINNED_PATH = b"SET LOCAL search_path = pg_catalog, pg_temp"


class Statements:
    """The texts of statements for one schema.

    Parameters
    ----------
    schema : str
        Schema of the rollback system.
    """

    def __init__(self, schema: str) -> None:
        # psycopg takes a % in a query with parameters for a placeholder, also in an identifier
        self.schema = sql.SQL(sql.Identifier(schema).as_string(None).replace("%", "%%"))
        self._plain_schema = sql.Identifier(schema)
        # kept, because composing one takes longer than a small call does
        self._calls: dict[tuple[str, tuple[str, ...]], sql.Composed] = {}
        self._settings: dict[tuple[tuple[str, str], ...], bytes] = {}

    def call(self, function: str, names: tuple[str, ...]) -> sql.Composed:
        """A query for the rows of a call, with placeholders of these names for its arguments; pure."""
        if (function, names) not in self._calls:
            given = {name: sql.Placeholder(name) for name in names}
            self._calls[function, names] = _call(function, given, self.schema)
        return self._calls[function, names]

    def call_of_values(self, connection: psycopg.Connection, function: str, values: Mapping[str, Any]) -> bytes:
        """The same with the values in it, so that it can go with other statements in one message; pure."""
        # psycopg's own literals name their type without its schema, which a path may change: only the text is taken
        transformer = Transformer(connection)
        escaping = pq.Escaping(connection.pgconn)
        given: dict[str, sql.Composable] = {}
        for name, value in values.items():
            if value is None:
                given[name] = sql.NULL
            else:
                text = transformer.get_dumper(value, PyFormat.TEXT).dump(value)
                assert text is not None  # noqa: S101  # for mypy: only None is NULL
                literal = bytes(escaping.escape_literal(text)).decode(connection.info.encoding)
                given[name] = sql.SQL(literal)  # quoted by libpq
        return _call(function, given, self._plain_schema).as_bytes(connection)

    def query(self, connection: psycopg.Connection, text: LiteralString, values: Mapping[str, Any]) -> bytes:
        """One of our own queries with the values in it, and our schema for ``{schema}``; pure. For `PINNED_PATH`."""
        query = sql.SQL(text).format(schema=self.schema)
        return psycopg.ClientCursor(connection).mogrify(query, values).encode(connection.info.encoding)

    def settings(self, connection: psycopg.Connection, settings: Mapping[str, str]) -> bytes:
        """Statements that set these for the transaction; pure. A plain SET would reach other clients of a pooler."""
        key = tuple(settings.items())
        if key not in self._settings:
            # SET LOCAL and not set_config(): nothing to plan
            statements = sql.SQL("; ").join(
                sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), value) for name, value in key
            )
            self._settings[key] = statements.as_bytes(connection)
        return self._settings[key]


def _call(function: str, given: Mapping[str, sql.Composable], schema: sql.Composable) -> sql.Composed:
    known = signatures()[function]
    if unknown := set(given) - {argument.name for argument in known}:
        raise TypeError(f"{function}() has no argument {', '.join(sorted(unknown))}")
    written = []
    for argument in known:
        value = given.get(argument.name)
        if value is None:
            if argument.default is None:
                raise TypeError(f"{function}() needs {argument.name}")
            value = sql.SQL(argument.default).format(schema=schema)
        written.append(sql.SQL("{}::{}").format(value, sql.SQL(argument.type)))
    return sql.SQL("SELECT * FROM {}.{}({})").format(schema, sql.Identifier(function), sql.SQL(", ").join(written))
