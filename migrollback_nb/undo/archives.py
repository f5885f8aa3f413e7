"""Tables in which an up migration keeps what it then drops or changes, and what brings that back from them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.object_names import NAME, quote, split_last, split_table, unquoted
from migrollback_nb.parsing.parse_tree import PB
from migrollback_nb.undo.ddl.objects import TABLES

if TYPE_CHECKING:
    from migrollback_nb.parsing.creates import ObjectKey
    from migrollback_nb.undo.ddl import Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A copy of columns of one table, made by CREATE TABLE ... AS SELECT."""

    name: str  #: qualified and quoted
    source: ObjectKey  #: the table that it copies
    columns: Mapping[str, str]  #: name of a column of the source -> of its copy
    whole: bool  #: all columns, by a star
    where: str  #: the condition of the copied rows; empty where all are copied

    @property
    def table(self) -> str:
        """The source, qualified and quoted."""
        return table_of(self.source)

    def has(self, column: str) -> bool:
        """Whether it holds a copy of a column."""
        return self.whole or column in self.columns

    def of(self, column: str) -> str:
        """The copy of a column."""
        return self.columns.get(column, column)

    def update(self, columns: Sequence[str], key: Sequence[str]) -> str:
        """Bring values back to the rows that are still there."""
        values = ", ".join(f"{quote(column)} = kept.{quote(self.of(column))}" for column in columns)
        same = " AND ".join(f"changed.{quote(column)} = kept.{quote(self.of(column))}" for column in key)
        change = f"UPDATE {self.table} AS changed SET {values} "  # noqa: S608  # quoted names of the migration
        return f"{change}FROM {self.name} AS kept WHERE {same}"

    def insert(self, columns: Sequence[str], *, has_key: bool) -> str:
        """Bring rows back, but for those that are there."""
        into, values = (", ".join(map(quote, names)) for names in (columns, map(self.of, columns)))
        rest = " ON CONFLICT DO NOTHING" if has_key else ""
        overriding = " OVERRIDING SYSTEM VALUE"
        kept = f"SELECT {values} FROM {self.name}"  # noqa: S608  # quoted names of the migration
        return f"INSERT INTO {self.table} ({into}){overriding} {kept}{rest}"


def table_of(key: ObjectKey) -> str:
    """The identity of a relation, by its key."""
    return f"{quote(str(key[1]))}.{quote(str(key[2]))}"


def archive_of(
    name: ObjectKey, query: Any, source_key: Callable[[Any], ObjectKey], renamed: Sequence[str] = ()
) -> Archive | None:
    """What a query copies into a new table, where that is columns of one table as they are.

    Parameters
    ----------
    name : ObjectKey
        The new table.
    query : SelectStmt
        What fills it.
    source_key : callable
        Gives the key of a relation.
    renamed : sequence of str
        Names of its columns, where the statement gives them.
    """
    plain = not (query.group_clause or query.distinct_clause or query.HasField("limit_count") or query.values_lists)
    if not plain or query.op != PB.SetOperation.SETOP_NONE or len(query.from_clause) != 1:
        return None
    source = query.from_clause[0]
    if source.WhichOneof("node") != "range_var":
        return None
    columns: dict[str, str] = {}
    whole = False
    for place, target in enumerate(query.target_list):
        value = target.res_target.val
        fields = list(value.column_ref.fields) if value.WhichOneof("node") == "column_ref" else []
        if not fields:
            continue
        if fields[-1].WhichOneof("node") == "a_star":
            whole = True
        else:
            column = fields[-1].string.sval
            columns[column] = renamed[place] if place < len(renamed) else target.res_target.name or column
    if not (whole or columns) or (whole and renamed):
        return None
    where = condition(query)
    return Archive(name=table_of(name), source=source_key(source.range_var), columns=columns, whole=whole, where=where)


def condition(statement: Any) -> str:
    """The condition of a statement, to be compared with others; empty where it has none."""
    if not statement.HasField("where_clause"):
        return ""
    return re.sub(r"location: -?\d+\s*", "", str(statement.where_clause))


def key_of(objects: Objects, table: str) -> tuple[str, ...]:
    """The columns of a table's primary key, not quoted."""
    for identity, d in objects.get("constraint", {}).items():
        if split_table(identity)[0] == table and str(d["def"]).startswith("PRIMARY KEY ("):
            return tuple(unquoted(name) for name in re.findall(NAME, str(d["def"]).removeprefix("PRIMARY KEY ")))
    return ()


def columns_of(objects: Objects, table: str) -> list[str]:
    """The columns of a table that can be written, in their order, not quoted."""
    written = {
        unquoted(split_last(identity)[1])
        for identity, d in objects.get("column", {}).items()
        if split_last(identity)[0] == table and not d.get("generated")
    }
    order = next((objects[kind][table].get("columns") or () for kind in TABLES if table in objects.get(kind, {})), ())
    return [name for name in order if name in written]


def kept_by(archives: Iterable[Archive], old: Objects, new: Objects) -> dict[str, str]:
    """Column or table that is gone -> the statement that brings its values or rows back from an archive."""
    found: dict[str, str] = {}
    for archive in archives:
        table = archive.table
        key = key_of(old, table)
        if not any(table in new.get(kind, {}) for kind in TABLES):
            columns = columns_of(old, table)
            if columns and not archive.where and all(map(archive.has, columns)):
                found[table] = archive.insert(columns, has_key=bool(key))
        elif key and all(map(archive.has, key)):
            for identity in old.get("column", {}).keys() - new.get("column", {}).keys():
                name = unquoted(split_last(identity)[1])
                if split_last(identity)[0] == table and archive.has(name) and name not in key:
                    found[identity] = archive.update([name], key)
    return found
