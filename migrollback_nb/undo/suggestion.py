"""What is known of the schema, and what is suggested: data. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from migrollback_nb.undo.created import Created
from migrollback_nb.undo.ddl import Objects, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """What the schema is just before a statement, or just after the last one."""

    objects: Objects  #: what schema_snapshot() says
    path: tuple[str, ...]  #: the search_path, not quoted; objects are created in the first of these schemas
    role: str  #: who runs the migrations, as PostgreSQL quotes it
    major: int = 18  #: version of the server that says so


@dataclass(slots=True, kw_only=True)
class Inverse:
    """What undoes one statement of the up migration."""

    line: int  #: of the up statement, counted from 1 in the up migration
    steps: tuple[Step, ...]  #: in the order in which they are to run; none where nothing is left to undo
    needs_schema: bool = False  #: whether more could be said if the schema before the statement were known
    path: str | None = None  #: the search_path that the up migration has set by then, as it writes it
    #: objects that the same up migration created: when they are dropped again, there is nothing to undo
    about: tuple[Created, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What undoes an up migration."""

    inverses: tuple[Inverse, ...]  #: last statement of the up migration first; those with nothing to undo are left out
    #: places in ``up.statements`` of those of which more could be said if the schema before and after were known
    needs_schema: frozenset[int]

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements, in the order in which they are to run."""
        return tuple(step.sql for inverse in self.inverses for step in inverse.steps if step.sql is not None)

    @property
    def todos(self) -> tuple[str, ...]:
        """What a person must look after, and why."""
        return tuple(step.todo for inverse in self.inverses for step in inverse.steps if step.todo is not None)
