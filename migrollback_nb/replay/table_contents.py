"""What tables hold: whether rows or values are gone between two moments. Does not write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrollback_nb.core.results import DataLoss

if TYPE_CHECKING:
    import psycopg

#: Up to so many rows of a table each is kept, so that lost ones differ from added ones; of larger ones only a digest.
_EACH_ROW = 1000
#: Tables that are read by one query.
_BATCH = 50

# The version changes whenever rows are written (counted), the file is (TRUNCATE, a rewrite), or a column is another
# (dropped and added again, which writes nothing). Sessions tell their counts late unless they are asked.
_TABLES = """
SELECT c.oid, n.nspname, c.relname, pg_catalog.format('%%I.%%I', n.nspname, c.relname),
       coalesce(array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attname IS NOT NULL), '{}'),
       concat_ws(':', c.oid, c.relfilenode, pg_catalog.pg_stat_get_tuples_inserted(c.oid),
                 pg_catalog.pg_stat_get_tuples_updated(c.oid), pg_catalog.pg_stat_get_tuples_deleted(c.oid),
                 pg_catalog.string_agg(concat_ws(' ', a.attnum, a.atttypid, a.attname), ',' ORDER BY a.attnum))
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> ALL (%s) AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY c.oid, n.nspname, c.relname ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of users."""

    oid: int
    schema: str
    name: str
    identity: str  #: qualified, and quoted where it must be, as schema_objects() names it
    columns: tuple[str, ...]  #: in their order
    version: str  #: while it stays the same, so does what the table holds


@dataclass(frozen=True, slots=True)
class Content:
    """What one table holds."""

    table: Table
    count: int
    rows: tuple[str, ...] | None  #: each as JSON; None where there are too many
    total: str | None  #: digest of all rows where there are too many; does not depend on their order

    def monotonous(self) -> bool:
        """Whether a column says the same in all rows, so that its loss could not be seen; not asked of large tables."""
        if self.rows is None:
            return False
        rows = [json.loads(row) for row in self.rows]
        return any(len({json.dumps(row.get(column)) for row in rows}) < 2 for column in self.table.columns)


def tables(connection: psycopg.Connection, *, besides: Sequence[str]) -> list[Table]:
    """All tables and partitions, besides those of extensions, of the system and of some schemas. Does not write."""
    connection.execute("SELECT pg_catalog.pg_stat_force_next_flush()")
    rows = connection.execute(_TABLES, ([*besides, "information_schema"],)).fetchall()
    return [
        Table(oid, schema, name, identity, tuple(columns), version)
        for oid, schema, name, identity, columns, version in rows
    ]


def read(
    connection: psycopg.Connection, found: Iterable[Table], *, known: Mapping[str, Content] | None = None
) -> dict[str, Content]:
    """Identity -> what the table holds. Does not write.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode.
    found : iterable of Table
        The tables.
    known : mapping of str to Content, optional
        What was read of this very database before: tables of the same version are not read again.
    """
    contents = {}
    unread = []
    for table in found:
        old = None if known is None else known.get(table.identity)
        if old is not None and old.table.version == table.version:
            contents[table.identity] = old
        else:
            unread.append(table)
    for begin in range(0, len(unread), _BATCH):
        batch = unread[begin : begin + _BATCH]
        query = sql.SQL(" UNION ALL ").join(_all_rows(place, table) for place, table in enumerate(batch))
        for place, rows in connection.execute(query).fetchall():
            table = batch[place]
            if len(rows) <= _EACH_ROW:
                contents[table.identity] = Content(table, len(rows), tuple(rows), None)
            else:
                count, total = connection.execute(_digest(table)).fetchone() or (0, None)
                contents[table.identity] = Content(table, count, None, total)
    return contents


def _all_rows(place: int, table: Table) -> sql.Composed:
    # JSON, because its keys do not stand in the columns' order
    return sql.SQL(
        "SELECT {}, coalesce(pg_catalog.array_agg(pg_catalog.to_jsonb(s)::text), '{{}}') FROM (SELECT {row} FROM ONLY"
        " {} {row} LIMIT {}) AS q (s)"
    ).format(sql.Literal(place), sql.Identifier(table.schema, table.name), sql.Literal(_EACH_ROW + 1), row=_row(table))


def _digest(table: Table) -> sql.Composed:
    return sql.SQL(
        "SELECT pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.to_jsonb({row})::text,"
        " 0))::text FROM ONLY {} {row}"
    ).format(sql.Identifier(table.schema, table.name), row=_row(table))


def _row(table: Table) -> sql.Identifier:
    """A name for the whole row that no column has: the column would be meant."""
    name = "row"
    while name in table.columns:
        name += "_"
    return sql.Identifier(name)


def compare(old: Mapping[str, Content], new: Mapping[str, Content]) -> tuple[list[DataLoss], list[str], bool]:
    """What of the old rows and values is lost, what rows were added (in words), and whether both hold the same. Pure.

    Tables are recognized by their names; a table that is not there any more has lost all its rows.
    """
    losses = []
    added = []
    same = all(content.count == 0 for identity, content in new.items() if identity not in old)
    for identity, was in old.items():
        now = new.get(identity)
        if now is was:
            continue
        if now is None:
            same = False
            if was.count:
                losses.append(DataLoss(identity=identity, rows=was.count, rows_kept=0))
            continue
        gone, more, columns = _difference(was, now)
        same = same and not gone and not more and set(was.table.columns) == set(now.table.columns)
        if gone:
            losses.append(
                DataLoss(
                    identity=identity,
                    rows=was.count,
                    rows_kept=was.count - gone,
                    columns=columns if now.count >= was.count else (),
                )
            )
            more -= min(more, gone) if columns else 0
        if more:
            added.append(
                f"{more} row{'s' if more > 1 else ''} that the up migration wrote {'are' if more > 1 else 'is'} left in"
                f" {identity}"
            )
    return losses, added, same


def _difference(was: Content, now: Content) -> tuple[int, int, tuple[str, ...]]:
    """(how many old rows are gone or changed, how many are new, which columns differ), by the old columns."""
    if was.rows is None or now.rows is None:
        if (was.count, was.total) == (now.count, now.total):
            return 0, 0, ()
        return max(was.count - now.count, 1), max(now.count - was.count, 0), ()
    if was.rows == now.rows and set(was.table.columns) == set(now.table.columns):
        return 0, 0, ()
    before, after = (
        [json.loads(row, parse_float=str, parse_int=str) for row in content.rows or ()] for content in (was, now)
    )
    # a column that is gone counts as one that is empty
    old, new = (
        Counter(json.dumps([row.get(column) for column in was.table.columns]) for row in rows)
        for rows in (before, after)
    )
    gone, more = (old - new).total(), (new - old).total()
    columns = (
        tuple(column for column in was.table.columns if _values(before, column) != _values(after, column))
        if gone
        else ()
    )
    return gone, more, columns


def _values(rows: Iterable[Mapping[str, Any]], column: str) -> Counter[str]:
    return Counter(json.dumps(row.get(column)) for row in rows)
