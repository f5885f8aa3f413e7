"""What statements with CONCURRENTLY or IF NOT EXISTS meet that an earlier try left half done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import postgast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postgast.pg_query_pb2 import Node, RangeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedIndex:
    """An index that a statement creates."""

    table: str  #: as the statement names it, quoted
    name: str  #: its name, unquoted; it lies in the table's schema
    if_not_exists: bool  #: whether one of that name is passed over, whatever it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Detaching:
    """A partition that a statement detaches concurrently."""

    partition: str  #: as the statement names it, quoted
    finalize: str  #: the statement that ends it where it was broken off


def _node(statement: str) -> Node | None:
    try:
        parsed = postgast.parse(statement).stmts
    except postgast.PgQueryError:
        return None
    return parsed[0].stmt if len(parsed) == 1 else None


def _quoted(relation: RangeVar) -> str:
    parts = (relation.schemaname, relation.relname)
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)


def created_index(statement: str) -> NamedIndex | None:
    """The index that a statement creates under a name; None for others.

    Examples
    --------
    >>> created_index("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t (a)")
    NamedIndex(table='"s"."t"', name='i', if_not_exists=True)
    """
    node = _node(statement)
    if node is None or node.WhichOneof("node") != "index_stmt" or not node.index_stmt.idxname:
        return None
    made = node.index_stmt
    return NamedIndex(table=_quoted(made.relation), name=made.idxname, if_not_exists=made.if_not_exists)


def passed_over(statements: Iterable[str]) -> tuple[NamedIndex, ...]:
    """The indexes that CREATE INDEX IF NOT EXISTS may pass over, without those that an earlier statement drops.

    Examples
    --------
    >>> passed_over(["DROP INDEX IF EXISTS i", "CREATE INDEX IF NOT EXISTS i ON t (a)"])
    ()
    """
    found: list[NamedIndex] = []
    dropped: set[str] = set()
    for statement in statements:
        if "index" not in (lower := statement.lower()):
            continue
        index = created_index(statement) if "exists" in lower else None
        if index is not None and index.if_not_exists and index.name not in dropped:
            found.append(index)
        node = _node(statement) if "drop" in lower else None
        if node is not None and node.WhichOneof("node") == "drop_stmt":
            dropped |= {one.list.items[-1].string.sval for one in node.drop_stmt.objects if one.HasField("list")}
    return tuple(found)


def detaching(statement: str) -> Detaching | None:
    """The partition that a statement detaches concurrently; None for others.

    Examples
    --------
    >>> detaching("ALTER TABLE p DETACH PARTITION q CONCURRENTLY").finalize
    'ALTER TABLE "p" DETACH PARTITION "q" FINALIZE'
    """
    node = _node(statement)
    if node is None or node.WhichOneof("node") != "alter_table_stmt":
        return None
    for command in node.alter_table_stmt.cmds:
        definition = getattr(command.alter_table_cmd, "def")
        if definition.WhichOneof("node") == "partition_cmd" and definition.partition_cmd.concurrent:
            partition = _quoted(definition.partition_cmd.name)
            table = _quoted(node.alter_table_stmt.relation)
            return Detaching(partition=partition, finalize=f"ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE")
    return None
