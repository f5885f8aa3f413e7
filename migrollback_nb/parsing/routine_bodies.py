"""What the body of a PL/pgSQL routine names, which PostgreSQL does not track: tables, columns, types ... Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import postgast
from postgast.pg_query_pb2 import ColumnRef, CommonTableExpr, FuncCall, InsertStmt, Node, RangeVar, TypeName, UpdateStmt

from migrollback_nb.core import object_names
from migrollback_nb.parsing import plpgsql
from migrollback_nb.parsing.parse_tree import Name, qualified, strings

_TYPE = re.compile(r"(.+)%(?:row)?type", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Use:
    """What one statement or expression names."""

    relations: dict[str, Name] = field(default_factory=dict)  #: alias -> table
    #: (alias, table, new or old; None: unqualified), column
    columns: set[tuple[str | None, str]] = field(default_factory=set)
    targets: set[tuple[Name, str]] = field(default_factory=set)  #: (table, column) that it writes
    functions: set[Name] = field(default_factory=set)  #: that it calls
    types: set[Name] = field(default_factory=set)  #: that it casts to
    dynamic: bool = False  #: it is only part of SQL that is built while it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """An object that is no longer there under its name."""

    kind: str  #: table, column, function ...
    identity: str  #: as schema_objects() gives it
    schema: str
    name: str
    table: str | None = None  #: of a column: its table's name


def uses(definition: str) -> list[Use] | None:
    """What a body names, statement by statement; None when it cannot be read.

    Parameters
    ----------
    definition : str
        The CREATE FUNCTION or CREATE PROCEDURE statement, as pg_get_functiondef() gives it.
    """
    body = plpgsql.parse_body(definition)
    if body is None:
        return None
    found = [use for query in body.queries if (use := _use_of(query)) is not None]
    for text in body.types:
        kind = _TYPE.fullmatch(text)
        names = object_names.parts(kind[1] if kind else text)
        if kind is None or not names:
            continue
        # users%ROWTYPE, users.id%TYPE, public.users.id%TYPE: the last name may be a column
        use = Use(relations={names[-1]: qualified(names)})
        if text.lower().endswith("%type") and len(names) > 1:
            relation = (names[-3] if len(names) > 2 else None, names[-2])
            use = Use(relations={relation[1]: relation}, columns={(relation[1], names[-1])})
        found.append(use)
    return found


def _use_of(query: plpgsql.Query) -> Use | None:
    try:
        parsed = postgast.parse(query.sql)
    except postgast.PgQueryError:
        return None
    use = Use(dynamic=query.built)
    for raw in parsed.stmts:
        _fill(use, raw.stmt)
    return use


def _fill(use: Use, node: Node) -> None:
    with_names = {one.ctename for one in postgast.find_nodes(node, CommonTableExpr)}
    for one in postgast.find_nodes(node, RangeVar):
        if one.schemaname or one.relname not in with_names:
            use.relations[one.alias.aliasname or one.relname] = (one.schemaname or None, one.relname)
    for insert in postgast.find_nodes(node, InsertStmt):
        use.targets |= {
            ((insert.relation.schemaname or None, insert.relation.relname), column.res_target.name)
            for column in insert.cols
        }
    for update in postgast.find_nodes(node, UpdateStmt):
        use.targets |= {
            ((update.relation.schemaname or None, update.relation.relname), column.res_target.name)
            for column in update.target_list
        }
    for column in postgast.find_nodes(node, ColumnRef):
        names = [part.string.sval for part in column.fields if part.HasField("string")]
        if names:
            use.columns.add(qualified(names))
    for call in postgast.find_nodes(node, FuncCall):
        use.functions.add(qualified(strings(call.funcname)))
    for cast in postgast.find_nodes(node, TypeName):
        if cast.names:
            use.types.add(qualified(strings(cast.names)))


_RELATIONS = frozenset({"table", "partitioned table", "foreign table", "view", "materialized view", "sequence"})
_ROUTINES = frozenset({"function", "procedure", "aggregate"})
_TYPES = frozenset({"enum", "domain", "range", "composite type", "base type"})


def gone_from(changes: Sequence[Mapping[str, Any]]) -> list[Gone]:
    """Of rows of schema_changes(): what a body could name and is gone, but for columns of tables that are. Pure."""
    dropped = [row for row in changes if row["change"] == "dropped"]
    tables = {row["identity"] for row in dropped if row["kind"] in _RELATIONS}
    found = []
    for row in dropped:
        kind, identity = row["kind"], row["identity"]
        if kind in _RELATIONS | _ROUTINES | _TYPES:
            names = object_names.parts(identity)
            if len(names) == 2:
                found.append(Gone(kind=kind, identity=identity, schema=names[0], name=names[1]))
        elif kind == "column" and object_names.split_last(identity)[0] not in tables:
            names = object_names.parts(identity)
            if len(names) == 3:
                found.append(Gone(kind=kind, identity=identity, schema=names[0], table=names[1], name=names[2]))
    return found


def names_of(found: Sequence[Use]) -> frozenset[Name]:
    """Every table that is named anywhere, for asking the database which it is."""
    return frozenset(name for use in found for name in (*use.relations.values(), *(table for table, _ in use.targets)))


def broken_by(
    found: Sequence[Use],
    gone: Sequence[Gone],
    meant: Mapping[Name, tuple[str, str]],
    *,
    trigger_on: frozenset[str] = frozenset(),
) -> Iterator[tuple[Gone, bool]]:
    """(what it names, whether it is certain) of each object that is gone.

    Parameters
    ----------
    meant : mapping
        Name as it stands in the body -> (schema, table) that it means before the rollback.
    trigger_on : frozenset of str
        Identities of the tables that the function is a trigger of: NEW and OLD are their rows.
    """
    for one in gone:
        verdicts = [verdict for use in found if (verdict := _names(use, one, meant, trigger_on)) is not None]
        if verdicts:
            yield one, any(verdicts)


def _names(use: Use, one: Gone, meant: Mapping[Name, tuple[str, str]], trigger_on: frozenset[str]) -> bool | None:
    """Whether a statement names it: True for certain, False perhaps, None not."""
    if one.kind in _RELATIONS:
        return (
            not use.dynamic
            if any(meant.get(name) == (one.schema, one.name) for name in use.relations.values())
            else None
        )
    if one.kind in _ROUTINES:
        # which of several of one name is meant depends on the arguments
        return (
            False if any(name == one.name and schema in (None, one.schema) for schema, name in use.functions) else None
        )
    if one.kind in _TYPES:
        return (
            not use.dynamic
            if any(name == one.name and schema in (None, one.schema) for schema, name in use.types)
            else None
        )
    table = (one.schema, str(one.table))
    if any(column == one.name and meant.get(name) == table for name, column in use.targets):
        return not use.dynamic
    aliases = {alias for alias, name in use.relations.items() if meant.get(name) == table}
    if object_names.split_last(one.identity)[0] in trigger_on:
        aliases |= {"new", "old"}
    for alias, column in use.columns:
        if column == one.name and alias in aliases:
            return not use.dynamic
    # unqualified, it may be a variable or a column of another table
    return False if (None, one.name) in use.columns and aliases - {"new", "old"} else None
