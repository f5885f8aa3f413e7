"""`GraphFacts`: what the views are drawn from, and `Drawing`: what they draw. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache

from migrollback_nb.core.dependency_graph import DependencyGraph

#: What the lane, or the fold, of migrations that touch no table is called.
NO_TABLE = "no table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """One object that a migration created, changed or dropped."""

    migration_name: str
    action: str  #: created, changed or dropped
    kind: str
    identity: str  #: as schema_objects() gives it
    table: str | None = None  #: the table that it is or is a part of, with its schema; None where it is of none

    @property
    def schema(self) -> str | None:
        """Its schema; None where it has none."""
        if self.kind == "schema":
            return self.identity
        name = self.table or self.identity
        head, dot, _ = name.partition(".")
        return head if dot and " " not in head and "(" not in head else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One foreign key of the schema as it stands."""

    table: str  #: which refers
    referenced: str  #: to this one
    constraint: str


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """Everything that the views show; what a view does not need may be left out."""

    graph: DependencyGraph  #: of all migrations
    applied_at: Mapping[str, datetime | None] = field(default_factory=dict)
    actors: Mapping[str, str] = field(default_factory=dict)  #: name -> role that applied it
    deploys: Mapping[str, str] = field(default_factory=dict)  #: name -> label of the deploy that brought it
    objects: tuple[Touched, ...] = ()
    references: tuple[Reference, ...] = ()
    verdicts: Mapping[str, str] = field(default_factory=dict)  #: name -> verdict
    bare: frozenset[str] = frozenset()  #: those without rollback SQL
    not_looked: int = 0  #: of so many applied migrations no one looked for what they need, and the picture did not
    remarks: tuple[str, ...] = ()  #: what a reader has to know besides

    @cached_property
    def touched(self) -> dict[str, list[Touched]]:
        """Name -> what it did, in the order of the record."""
        found: dict[str, list[Touched]] = {}
        for one in self.objects:
            found.setdefault(one.migration_name, []).append(one)
        return found

    @cached_property
    def tables(self) -> dict[str, tuple[str, ...]]:
        """Name -> the tables that it touched, each once."""
        return {
            name: tuple(dict.fromkeys(one.table for one in rows if one.table is not None))
            for name, rows in self.touched.items()
        }

    def groups(self, group: str) -> dict[str, tuple[str, ...]]:
        """Name -> the groups that it belongs to, of every migration.

        Parameters
        ----------
        group : {'table', 'schema', 'deploy', 'actor'}
            By what.
        """
        found: dict[str, tuple[str, ...]] = {}
        for name in self.graph.names:
            match group:
                case "table":
                    keys: Iterable[str | None] = self.tables.get(name) or (NO_TABLE,)
                case "schema":
                    rows = self.touched.get(name, ())
                    keys = dict.fromkeys(one.schema for one in rows if one.schema) or ("no schema",)
                case "deploy":
                    keys = (self.deploys.get(name) or "no deploy",)
                case _:
                    keys = (self.actors.get(name) or "unknown",)
            found[name] = tuple(key for key in keys if key is not None)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One picture."""

    svg: str  #: a whole <svg> element, with its style
    width: float  #: in pixels
    height: float
    heading: tuple[str, ...] = ()  #: what the picture shows and what it does not, a line each; it stands in it too
    words: Mapping[str, str] = field(default_factory=dict)  #: id of a node -> what a screen reader calls it
    names: Mapping[str, str] = field(default_factory=dict)  #: id of a node -> migration, or what else it is
    edges: frozenset[tuple[str, str]] = frozenset()  #: (dependent, dependency) that are drawn


@lru_cache(maxsize=20_000)
def node_id(name: str) -> str:
    """What the element of a migration is called in a drawing; in every drawing the same, and no other's."""
    return "migration-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
