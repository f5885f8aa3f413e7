"""What tables hold, as digests: whether rows or values are gone between two moments. Does not write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrollback_nb.results import DataLoss

if TYPE_CHECKING:
    import psycopg

#: Rows of a table up to which each has a digest of its own, so that lost rows are told from added ones.
_EACH_ROW = 1000
#: Tables that are read by one query.
_BATCH = 50

_TABLES = """
SELECT c.oid, n.nspname, c.relname, pg_catalog.format('%%I.%%I', n.nspname, c.relname),
       coalesce(array_agg(a.attname::text ORDER BY a.attname COLLATE "C") FILTER (WHERE a.attname IS NOT NULL), '{}') AS columns
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> ALL (%s) AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY c.oid, n.nspname, c.relname ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of users."""

    oid: int
    schema: str
    name: str
    identity: str  #: qualified, and quoted where it must be, as schema_objects() names it
    columns: tuple[str, ...]  #: in order of name


@dataclass(frozen=True, slots=True)
class Content:
    """What one table holds."""

    count: int
    total: str | None  #: sum of the digests of all rows: does not depend on their order
    rows: tuple[int, ...] | None  #: the digest of each row; None where there are too many
    columns: Mapping[str, str | None]  #: column -> sum of the digests of its values


def tables(connection: psycopg.Connection, *, besides: Sequence[str]) -> list[Table]:
    """All ordinary tables (partitions too), but for those of extensions, of the system and of the schemas `besides`. Does not write."""
    rows = connection.execute(_TABLES, ([*besides, "information_schema"],)).fetchall()
    return [Table(oid, schema, name, identity, tuple(columns)) for oid, schema, name, identity, columns in rows]


def read(connection: psycopg.Connection, found: Iterable[Table]) -> dict[Table, Content]:
    """What these tables hold. Does not write."""
    todo = list(found)
    contents = {}
    for begin in range(0, len(todo), _BATCH):
        batch = todo[begin : begin + _BATCH]
        query = sql.SQL(" UNION ALL ").join(_digest(place, table) for place, table in enumerate(batch))
        for place, count, total, rows, values in connection.execute(query).fetchall():
            table = batch[place]
            contents[table] = Content(count, total, None if rows is None else tuple(rows), dict(zip(table.columns, values, strict=True)))
    return contents


def _digest(place: int, table: Table) -> sql.Composed:
    columns = [sql.SQL("t.{}").format(sql.Identifier(name)) for name in table.columns]
    hashes = [sql.SQL("pg_catalog.sum(pg_catalog.hashtextextended(t.{}::text, 0))::text").format(sql.Identifier(name)) for name in table.columns]
    row = sql.SQL("pg_catalog.hashtextextended(ROW({})::text, 0)").format(sql.SQL(", ").join(columns))
    return sql.SQL(
        "SELECT {}, pg_catalog.count(*), pg_catalog.sum({row})::text, CASE WHEN pg_catalog.count(*) <= {} THEN pg_catalog.array_agg({row}) END, ARRAY[{}]::text[] FROM ONLY {} t"
    ).format(sql.Literal(place), sql.Literal(_EACH_ROW), sql.SQL(", ").join(hashes), sql.Identifier(table.schema, table.name), row=row)


def compare(old: Mapping[Table, Content], new: Mapping[Table, Content]) -> tuple[list[DataLoss], list[str], bool]:
    """What of the old rows and values is gone or changed, what rows were added (in words), and whether both hold exactly the same; pure.

    Tables are told by their names; a table that is not there any more has lost all its rows.
    """
    now = {(table.schema, table.name): content for table, content in new.items()}
    before = {(table.schema, table.name) for table in old}
    losses = []
    added = []
    same = True
    for table, was in old.items():
        key = (table.schema, table.name)
        held = now.get(key, Content(0, None, (), {}))
        if (held.count, held.total) == (was.count, was.total) and held.columns == was.columns:
            continue
        same = False
        gone, more = _difference(was, held)
        if gone:
            changed = tuple(name for name in table.columns if held.columns.get(name) != was.columns[name]) if held.count == was.count else ()
            losses.append(DataLoss(identity=table.identity, rows=was.count, rows_kept=was.count - gone, columns=changed if held.count else ()))
        if more > 0 and not (gone and held.count == was.count):
            added.append(f"{more} row{'s' if more > 1 else ''} that the up part made {'are' if more > 1 else 'is'} left in {table.identity}")
    same = same and all(content.count == 0 for table, content in new.items() if (table.schema, table.name) not in before)
    return losses, added, same


def _difference(was: Content, held: Content) -> tuple[int, int]:
    """(how many old rows are gone or changed, how many rows are new)."""
    if was.columns.keys() == held.columns.keys() and was.rows is not None and held.rows is not None:
        old, new = Counter(was.rows), Counter(held.rows)
        return (old - new).total(), (new - old).total()
    if was.columns.keys() <= held.columns.keys() and held.count == was.count and all(held.columns[name] == value for name, value in was.columns.items()):
        return 0, 0  # only columns were added
    if was.total == held.total:
        return 0, 0
    if held.count == 0:
        return was.count, 0
    return max(was.count - held.count, 1), max(held.count - was.count, 0)
