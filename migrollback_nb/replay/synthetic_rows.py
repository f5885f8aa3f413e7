"""Fills tables with a few synthetic rows that their constraints allow, so that there is something to lose. Writes.

Values come by type (see `row_values`); what a check, a domain or a partition asks for is found by trial, with the
values that its own text names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from migrollback_nb.replay.row_values import value_of

if TYPE_CHECKING:
    from migrollback_nb.replay.table_contents import Table

#: Rows for each table: more than one, so that values can differ.
ROWS = 3
#: ... and up to so many where columns' types have so many labels, or where rows are asked for.
_MOST_ROWS = 16
#: Rows that are added where a column says the same in all that are there.
_MORE_ROWS = 2
#: How many times one row is tried.
_TRIES = 100
#: A column, and the value that a row is to have in it; None for NULL.
Wanted = tuple[str, str | None]

_COLUMNS = """
WITH RECURSIVE base AS (
    SELECT a.attrelid, a.attnum, a.atttypid AS domain, t.oid, t.typtype, t.typbasetype, t.typnotnull AS refuses_null,
           0 AS depth
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = ANY (%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attrelid, b.attnum, b.domain, t.oid, t.typtype, t.typbasetype, b.refuses_null OR t.typnotnull, b.depth + 1
    FROM base b JOIN pg_catalog.pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype)
SELECT a.attrelid AS "table", a.attnum AS number, a.attname AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, t.typname AS base, t.typcategory AS category,
       t.typtype AS sort, e.typname AS element, e.typtype AS element_sort,
       a.attnotnull OR b.refuses_null AS required, a.attgenerated <> '' AS generated,
       a.attidentity <> '' OR coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ 'nextval\\(', false) AS counted,
       pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS default_value,
       CASE WHEN t.oid IN ('pg_catalog.varchar'::pg_catalog.regtype, 'pg_catalog.bpchar'::pg_catalog.regtype) THEN
           (SELECT max(m.typmod) - 4
            FROM (SELECT nullif(a.atttypmod, -1) AS typmod
                  UNION ALL
                  SELECT nullif(dt.typtypmod, -1) FROM base db JOIN pg_catalog.pg_type dt ON dt.oid = db.oid
                  WHERE db.attrelid = a.attrelid AND db.attnum = a.attnum) m) END AS length,
       ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid IN (t.oid, e.oid)
             ORDER BY l.enumsortorder) AS labels,
       ARRAY(SELECT pg_catalog.pg_get_constraintdef(k.oid)
             FROM base db JOIN pg_catalog.pg_constraint k ON k.contypid = db.oid AND k.contype = 'c'
             WHERE db.attrelid = a.attrelid AND db.attnum = a.attnum) AS domain_checks,
       ARRAY(SELECT k.conname::text
             FROM base db JOIN pg_catalog.pg_constraint k ON k.contypid = db.oid AND k.contype = 'c'
             WHERE db.attrelid = a.attrelid AND db.attnum = a.attnum) AS domain_check_names,
       CASE WHEN t.oid = 'pg_catalog.numeric'::pg_catalog.regtype AND a.atttypmod > 0
            THEN ((a.atttypmod - 4) >> 16 & 65535) - (a.atttypmod - 4 & 2047) END AS digits
FROM base b
JOIN pg_catalog.pg_attribute a ON a.attrelid = b.attrelid AND a.attnum = b.attnum
JOIN pg_catalog.pg_type t ON t.oid = b.oid
LEFT JOIN pg_catalog.pg_type e
    ON e.oid = t.typelem AND t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE b.typtype <> 'd' ORDER BY a.attrelid, a.attnum
"""
_CONSTRAINTS = """
SELECT k.conrelid AS "table", k.contype AS sort, k.conname AS name, k.conkey AS key, k.confrelid AS target,
       r.relname AS target_name, n.nspname AS target_schema, pg_catalog.pg_get_constraintdef(k.oid) AS definition,
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS f (number, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = f.number ORDER BY f.place)
           AS target_columns
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
WHERE k.conrelid = ANY (%(tables)s) AND k.contype IN ('c', 'f')
UNION ALL
SELECT c.oid, 'p', c.relname,
       ARRAY(SELECT a.attnum
             FROM pg_catalog.pg_partitioned_table p
             CROSS JOIN LATERAL pg_catalog.unnest(p.partattrs::int2[]) AS k (number)
             JOIN pg_catalog.pg_attribute o ON o.attrelid = p.partrelid AND o.attnum = k.number
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = o.attname
             WHERE p.partrelid IN (SELECT i.relid FROM pg_catalog.pg_partition_ancestors(c.oid) i)),
       NULL, NULL, NULL,
       (SELECT pg_catalog.string_agg(pg_catalog.pg_get_expr(b.relpartbound, b.oid), ' ') FROM pg_catalog.pg_class b
        WHERE b.oid IN (SELECT i.relid FROM pg_catalog.pg_partition_ancestors(c.oid) i)),
       '{}'
FROM pg_catalog.pg_class c WHERE c.oid = ANY (%(tables)s) AND c.relispartition
"""
#: Those that fire in an ordinary session, and that ENABLE leaves as they were.
_TRIGGERS = """
SELECT t.tgrelid AS "table", t.tgname AS name FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = ANY (%(tables)s) AND NOT t.tgisinternal AND t.tgenabled = 'O' AND t.tgparentid = 0 ORDER BY t.tgname
"""


_STRING = re.compile(r"'((?:[^']|'')*)'")
_NUMBER = re.compile(r"(?<![\w'.])-?\d+(?:\.\d+)?(?![\w'])")


@dataclass(slots=True)
class Synthetic:
    """What was put into one database so far."""

    #: oid of a table -> number of its next row
    rows: dict[int, int] = field(default_factory=dict)
    #: oid and name of a column -> the place that sets its values apart, in order: by chance, some would be alike and a
    #: loss be missed
    places: dict[tuple[int, str], int] = field(default_factory=dict)

    def place(self, table: int, column: str) -> int:
        """The column's place; the next free one where it has none yet."""
        return self.places.setdefault((table, column), len(self.places))


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A table that stayed empty, and why."""

    table: Table
    why: str


def fill(
    connection: psycopg.Connection,
    tables: Iterable[Table],
    *,
    synthetic: Synthetic | None = None,
    wanted: Mapping[int, Sequence[Wanted]] | None = None,
) -> list[Unfilled]:
    """Put a few rows into each of these tables; return those that none came into. Writes.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode.
    tables : iterable of Table
        The tables.
    synthetic : Synthetic, optional
        What was put in before: values go on from there, and only a few rows come in addition to those of the same
        table. Kept up to date.
    wanted : mapping of int to sequence of (column, value), optional
        oid -> rows that are asked for, instead of any.

    Triggers fire: what they do (partitions for a new row, for one) belongs to a row. Only where no row comes in for
    what they do, as where they write into a table that nothing fits, rows come in without them.
    """
    synthetic = synthetic or Synthetic()
    to_fill = {table.oid: table for table in tables}
    if not to_fill:
        return []
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    columns: dict[int, list[dict[str, Any]]] = {oid: [] for oid in to_fill}
    for row in cursor.execute(_COLUMNS, {"tables": list(to_fill)}):
        columns[row["table"]].append(row | {"place": synthetic.place(row["table"], row["name"])})
    constraints: dict[int, list[dict[str, Any]]] = {oid: [] for oid in to_fill}
    for row in cursor.execute(_CONSTRAINTS, {"tables": list(to_fill)}):
        constraints[row["table"]].append(row)
    triggers: dict[int, list[str]] = {oid: [] for oid in to_fill}
    for row in cursor.execute(_TRIGGERS, {"tables": list(to_fill)}):
        triggers[row["table"]].append(row["name"])
    unfilled = []
    with connection.transaction():
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for oid in _parents_first(constraints):
            with_rows = _Filler(
                connection,
                to_fill[oid],
                columns[oid],
                constraints[oid],
                begin=synthetic.rows.get(oid, 0),
                wanted=(wanted or {}).get(oid),
            )
            if (why := with_rows.fill()) is not None and (
                not triggers[oid] or _without(triggers[oid], with_rows) is not None
            ):
                unfilled.append(Unfilled(to_fill[oid], why))
            synthetic.rows[oid] = with_rows.next
    return unfilled


def referred(connection: psycopg.Connection, tables: Iterable[Table]) -> set[int]:
    """The oids of the tables that foreign keys of these refer to, step by step; not their own. Does not write."""
    query = (
        "WITH RECURSIVE parent (oid) AS (SELECT k.confrelid FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND"
        " k.conrelid = ANY (%(tables)s) UNION SELECT k.confrelid FROM parent p JOIN pg_catalog.pg_constraint k ON"
        " k.contype = 'f' AND k.conrelid = p.oid) SELECT p.oid FROM parent p WHERE p.oid <> ALL (%(tables)s)"
    )
    return {row[0] for row in connection.execute(query, {"tables": [table.oid for table in tables]})}


def _without(triggers: Sequence[str], filler: _Filler) -> str | None:
    """Fill a table while these triggers are off."""

    def turn(word: str) -> None:
        for name in triggers:
            filler.connection.execute(
                sql.SQL("ALTER TABLE {} {} TRIGGER {}").format(filler.name, sql.SQL(word), sql.Identifier(name))
            )

    try:
        with filler.connection.transaction():
            turn("DISABLE")
            why = filler.fill()
            turn("ENABLE")
    except psycopg.errors.InsufficientPrivilege as error:  # not its owner
        return str(error.diag.message_primary)
    return why


def _parents_first(constraints: dict[int, list[dict[str, Any]]]) -> list[int]:
    parents = {
        oid: {
            row["target"]
            for row in rows
            if row["sort"] == "f" and row["target"] in constraints and row["target"] != oid
        }
        for oid, rows in constraints.items()
    }
    while True:
        try:
            return list(TopologicalSorter(parents).static_order())
        except CycleError as error:
            # one of a cycle has to do without: its keys are left empty where they may be
            parents[error.args[1][1]].discard(error.args[1][0])


class _Filler:
    """Rows for one table."""

    def __init__(
        self,
        connection: psycopg.Connection,
        table: Table,
        columns: Sequence[dict[str, Any]],
        constraints: Sequence[dict[str, Any]],
        *,
        begin: int,
        wanted: Sequence[Wanted] | None,
    ) -> None:
        self.connection = connection
        self.name = sql.Identifier(table.schema, table.name)
        self._table = table
        # a column that counts goes on counting: a number of ours would be in the way of the next
        self._columns = [column for column in columns if not column["generated"] and not column["counted"]]
        self._by_number = {column["number"]: column for column in columns}
        self._constraints = constraints
        self._begin = begin
        self.next = begin  #: number of the next row
        self._wanted = wanted
        self._keys = [row for row in constraints if row["sort"] == "f"]
        flags = [column for column in self._columns if column["base"] == "bool"]
        for place, column in enumerate(flags):
            column["flag"] = place
        self._flags = len(flags)
        #: labels of the enum that has most: its values and those of flags are to meet in all ways
        self._labels = max((len(column["labels"]) for column in self._columns), default=0)
        #: number of a column -> (column, table, how many of its rows) to take its values from; None: it stays empty
        self._parents: dict[int, tuple[str, sql.Identifier, int] | None] = {}

    def fill(self) -> str | None:
        """Insert the rows; why there are none, or None."""
        for key in self._keys:
            if (why := self._refer(key)) is not None:
                return why
        why = "no value was found that fits"
        written = 0
        for number, values in self._plan():
            self.next = number + 1
            error = self._insert(number, values)
            if error is None:
                written += 1
            else:
                why = error
        return None if written else why

    def _plan(self) -> Iterator[tuple[int, dict[int, str | None]]]:
        """(number of the row, column -> the value that is asked for) of the rows."""
        if self._wanted is not None:
            number = self._begin
            for name, value in self._wanted:
                column = next(
                    (
                        column
                        for column in self._columns
                        if column["name"] == name and column["number"] not in self._parents
                    ),
                    None,
                )
                if (
                    column is None
                    or (value is None and column["required"])
                    or (value is not None and not self._is_taken(column, value))
                ):
                    continue
                # one that a flag is set in, and one that it is not set in
                for _ in range(2 if self._flags else 1):
                    yield number, {column["number"]: value}
                    number += 1
        elif self._begin:
            yield from ((self._begin + place, {}) for place in range(_MORE_ROWS))
        else:
            # an enum's labels all occur, each with a flag and without: migrations ask for single ones
            each = self._labels * 2 if self._flags and self._labels else 4 if self._flags > 1 else self._labels
            yield from ((place, {}) for place in range(max(ROWS, min(each, _MOST_ROWS))))

    def _refer(self, key: dict[str, Any]) -> str | None:
        """Take a foreign key's values from rows that are there; empty where there are none."""
        numbers = key["key"]
        if any(number in self._parents for number in numbers):
            return None  # it shares a column with another key: whether both hold shows when the row is put in
        target = sql.Identifier(key["target_schema"], key["target_name"])
        if key["target"] != self._table.oid:
            found = self.connection.execute(
                sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) t").format(target, ROWS)
            ).fetchone()
            if found is not None and (count := found[0]):
                for number, name in zip(numbers, key["target_columns"], strict=True):
                    self._parents[number] = (name, target, count)
                return None
        optional = [number for number in numbers if not self._by_number[number]["required"]]
        for number in optional:
            self._parents[number] = None
        # a row that must refer to its own table refers to itself, as far as like values allow
        if optional or key["target"] == self._table.oid:
            return None
        return f"it refers to {key['target_schema']}.{key['target_name']}, which is empty"

    def _insert(self, number: int, asked: Mapping[int, str | None]) -> str | None:
        """Put in one row; why it was not taken, or None.

        Each constraint that says no has its own columns tried otherwise, and only those.
        """
        values = {column["number"]: value_of(column, number, self._labels) for column in self._columns} | dict(asked)
        nulls = {place for place, value in asked.items() if value is None}
        unreferred = False
        others: dict[frozenset[int], Iterator[dict[int, str | None]]] = {}
        why = ""
        for _ in range(_TRIES):
            try:
                with self.connection.transaction():
                    self.connection.execute(self._statement(number, values, nulls, unreferred=unreferred))
            except psycopg.Error as error:
                if self.connection.closed:
                    raise
                why = f"{error.sqlstate}: {error.diag.message_primary}"
                if error.sqlstate == "23505" and not unreferred and any(self._parents.values()):
                    unreferred = True  # each row may be referred to once
                    continue
                blamed = frozenset(self._blamed(error, values) - self._parents.keys() - asked.keys())
                if blamed not in others:
                    others[blamed] = self._choices(blamed, number)
                choice = next(others[blamed], None)
                if choice is None:
                    break
                values |= choice
            else:
                return None
        return f"{why}; no value was found that fits"

    def _statement(
        self, number: int, chosen: Mapping[int, str | None], nulls: Collection[int], *, unreferred: bool
    ) -> sql.Composed:
        values: list[sql.Composable] = []
        for column in self._columns:
            value = chosen[column["number"]]
            if column["number"] in nulls:
                values.append(sql.SQL("NULL"))
            elif column["number"] in self._parents:
                parent = self._parents[column["number"]]
                if parent is None:
                    values.append(sql.SQL("NULL"))
                else:
                    name, target, count = parent
                    values.append(
                        sql.SQL(
                            "(SELECT p.{name} FROM {target} p WHERE NOT EXISTS (SELECT FROM {own} c WHERE c.{column} ="
                            " p.{name}) ORDER BY p.ctid LIMIT 1)"
                            if unreferred
                            else "(SELECT p.{name} FROM {target} p ORDER BY p.ctid OFFSET {row} LIMIT 1)"
                        ).format(
                            name=sql.Identifier(name),
                            target=target,
                            own=self.name,
                            column=sql.Identifier(column["name"]),
                            row=sql.Literal(number % count),
                        )
                    )
            elif value is None:
                values.append(sql.SQL("DEFAULT") if column["required"] else sql.SQL("NULL"))
            else:
                values.append(sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(column["type"])))
        if not values:
            return sql.SQL("INSERT INTO {} DEFAULT VALUES").format(self.name)
        names = [sql.Identifier(column["name"]) for column in self._columns]
        return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            self.name, sql.SQL(", ").join(names), sql.SQL(", ").join(values)
        )

    def _blamed(self, error: psycopg.Error, chosen: Mapping[int, str | None]) -> set[int]:
        """Numbers of the columns whose values are to be tried otherwise."""
        name = error.diag.constraint_name
        for row in self._constraints:
            if row["sort"] == "c" and row["name"] == name and error.sqlstate == "23514":
                return set(row["key"] or ())
        if error.sqlstate == "23514" and name is None:
            return {number for row in self._constraints if row["sort"] == "p" for number in row["key"]}
        if error.sqlstate == "23514":
            return {column["number"] for column in self._columns if name in column["domain_check_names"]}
        if error.sqlstate == "23502" and error.diag.column_name:
            return {column["number"] for column in self._columns if column["name"] == error.diag.column_name}
        if (error.sqlstate or "")[:2] in (
            "22",
            "0A",
        ):  # a value that its type does not take; which, the error does not say
            return {
                column["number"] for column in self._columns if not self._is_taken(column, chosen[column["number"]])
            }
        return set()

    def _is_taken(self, column: dict[str, Any], value: str | None) -> bool:
        try:
            with self.connection.transaction():
                self.connection.execute(sql.SQL("SELECT {}::{}").format(sql.Literal(value), sql.SQL(column["type"])))
        except psycopg.DatabaseError:
            return False
        return True

    def _choices(self, blamed: frozenset[int], number: int) -> Iterator[dict[int, str | None]]:
        """Values for the columns that were blamed, the likeliest first."""
        columns = [column for column in self._columns if column["number"] in blamed]
        if not columns:
            return
        for values in product(
            *(
                dict.fromkeys([value_of(column, number, self._labels), *self._named(column, number)])
                for column in columns
            )
        ):
            yield dict(zip((column["number"] for column in columns), values, strict=True))

    def _named(self, column: dict[str, Any], number: int) -> list[str | None]:
        """Values that the text of a check, a domain or a partition's bound names, and a few that often fit."""
        texts = [
            row["definition"] or ""
            for row in self._constraints
            if row["sort"] in ("c", "p") and column["number"] in (row["key"] or ())
        ]
        texts += column["domain_checks"]
        found: list[str | None] = []
        for text in texts:
            strings = [string.replace("''", "'") for string in _STRING.findall(text)]
            found += strings[number % len(strings) :] + strings[: number % len(strings)] if strings else []
            for word in _NUMBER.findall(text):
                found += [word, str(int(float(word)) + number + 1), str(int(float(word)) - number - 1)]
        if column["category"] == "N":
            found += [str(number + 1), "0", str(-number - 1)]
        elif column["category"] == "S":
            found += [
                f"s{number}@example.org",
                f"https://example.org/{number}",
                "a" * 64,
                "abc"[number % 3],
                str(number + 1),
                "",
            ]
        elif column["category"] == "B":
            found += ["t", "f"]
        if column["labels"]:
            found += column["labels"]
        return found if column["required"] and not column["default_value"] is not None else [*found, None]
