"""The two states of a schema, what differs between them, and questions to them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from migrollback_nb.core.object_names import NAME, split_last, split_table, unquoted
from migrollback_nb.undo.ddl.objects import TABLES, VIEWS, Definition, Key, Objects, is_not_null


@dataclass(frozen=True, eq=False, kw_only=True)
class Schemas:
    """The schema to go back to and the one that is there, and for whom and where the way back is written."""

    old: Objects  #: what is to be again
    new: Objects  #: what is there
    role: str | None  #: owner of what the migrations create, as PostgreSQL quotes it
    major: int  #: PostgreSQL's version
    concurrently: bool  #: create and drop indexes CONCURRENTLY
    #: column or table -> the statement that brings its values or rows back
    kept: Mapping[str, str] = field(default_factory=dict)

    # -- what differs --------------------------------------------------------------------------------------------------

    @cached_property
    def _was(self) -> Mapping[Key, Definition]:
        return _by_key(self.old)

    @cached_property
    def _now(self) -> Mapping[Key, Definition]:
        return _by_key(self.new)

    @cached_property
    def created(self) -> Mapping[Key, Definition]:
        """What is there and was not: it is to go."""
        return {key: d for key, d in self._now.items() if key not in self._was}

    @cached_property
    def dropped(self) -> Mapping[Key, Definition]:
        """What was there and is not: it is to come back."""
        return {key: d for key, d in self._was.items() if key not in self._now}

    @cached_property
    def changed(self) -> Mapping[Key, tuple[Definition, Definition]]:
        """What was there and is there otherwise: (as it was, as it is)."""
        now = self._now
        return {key: (d, now[key]) for key, d in self._was.items() if key in now and _differ(key[0], d, now[key])}

    @cached_property
    def detached(self) -> frozenset[str]:
        """Tables that became partitions, and so got indexes and constraints that stay when they are none again."""
        return frozenset(
            identity
            for (_, identity), (was, now) in self.changed.items()
            if "partition_bound" in now and "partition_bound" not in was
        )

    # -- questions to them ---------------------------------------------------------------------------------------------

    @cached_property
    def old_columns(self) -> Mapping[str, Mapping[str, tuple[str, Definition]]]:
        """Table -> name of a column -> (the name as it is quoted, definition)."""
        found: dict[str, dict[str, tuple[str, Definition]]] = {}
        for identity, d in self.old.get("column", {}).items():
            table, column = split_last(identity)
            found.setdefault(table, {})[unquoted(column)] = (column, d)
        return found

    @cached_property
    def old_not_null(self) -> Mapping[tuple[str, str], tuple[str, str]]:
        """(table, column) -> (name, what follows) of not-null constraints."""
        found = {}
        for identity, d in self.old.get("constraint", {}).items():
            if is_not_null(d):
                table, name = split_table(identity)
                rest = d["def"].removeprefix("NOT NULL ")
                column = re.match(NAME, rest)
                if column:
                    found[table, column[0]] = (name, rest[column.end() :])
        return found

    def old_parents(self, table: str) -> list[str]:
        """The tables of which a table inherits, or is a partition."""
        return [parent for kind in TABLES for parent in self.old.get(kind, {}).get(table, {}).get("inherits") or ()]

    def alter(self, relation: str) -> str:
        """``ALTER TABLE name``, or what it is called for this relation."""
        for kind in (*VIEWS, "foreign table", "sequence"):
            if relation in self.new.get(kind, {}) or relation in self.old.get(kind, {}):
                return f"ALTER {kind.upper()} {relation}"
        return f"ALTER TABLE {relation}"

    def role_name(self, role: str) -> str:
        """Name a role: the one that replayed the migrations stands for the one that runs them."""
        return "CURRENT_USER" if role == self.role else role


def _by_key(objects: Objects) -> dict[Key, Definition]:
    # a row type comes and goes with its relation
    return {
        (kind, identity): d for kind, found in objects.items() if kind != "row type" for identity, d in found.items()
    }


def _differ(kind: str, was: Definition, now: Definition) -> bool:
    return any(was.get(name) != now.get(name) for name in {**was, **now} if name != "columns") or (
        kind in VIEWS and was != now
    )
