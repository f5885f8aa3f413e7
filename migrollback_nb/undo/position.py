"""Where the reading of an up migration stands: statement, path, and what is created and known by then. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.parsing.creates import ObjectKey
from migrollback_nb.parsing.parse_tree import OBJECT, ON_TABLE, names, referred
from migrollback_nb.parsing.tokens import unqualify
from migrollback_nb.undo import ddl
from migrollback_nb.undo.archives import kept_by
from migrollback_nb.undo.created import Created, CreatedObjects
from migrollback_nb.undo.ddl import Step
from migrollback_nb.undo.suggestion import Inverse, SchemaState

if TYPE_CHECKING:
    from migrollback_nb.parsing.statements import SqlText
    from migrollback_nb.undo.archives import Archive


class Position:
    """One statement of an up migration, among those before it."""

    def __init__(self, up: SqlText, states: Sequence[SchemaState | None] | None, major: int) -> None:
        self.created = CreatedObjects()
        self.default_schema = (
            states[0].path[0] if states and states[0] and states[0].path else "public"
        )  #: where what has no schema in its name is created
        self.path: str | None = None  #: the search_path that the up migration has set, as it writes it
        self.found: list[Inverse] = []  #: the inverse of each statement so far
        self.index = -1  #: place of the statement
        self._up = up
        self._states = states
        self._major = major
        self._qualifies: dict[str, bool] = {}
        self.archives: list[Archive] = []  #: copies of columns that the up migration has made so far
        self.now = Inverse(line=1, steps=())  #: the inverse of this statement, while it is found

    def next_statement(self) -> None:
        """Go on to the next statement."""
        self.index += 1
        if self.before is not None and self.before.path:
            self.default_schema = self.before.path[0]
        self.now = Inverse(line=self._up.statements[self.index].line, steps=(), path=self.path)
        self.found.append(self.now)

    def set_path(self, path: str | None, first: str) -> None:
        """Keep that a statement sets the search_path.

        path: that statement; first: the schema in which objects are created from here on.
        """
        self.path = path
        self.default_schema = first

    # -- what is known of the schema -----------------------------------------------------------------------------------

    @property
    def before(self) -> SchemaState | None:
        """The schema before this statement."""
        return self._states[self.index] if self._states else None

    @property
    def after(self) -> SchemaState | None:
        """The schema after this statement."""
        return self._states[self.index + 1] if self._states else None

    @property
    def changed_nothing(self) -> bool:
        """Whether the statement is known to have left the schema as it was."""
        return self.before is not None and self.after is not None and self.before.objects == self.after.objects

    def restored(self, *, concurrently: bool = False) -> list[Step] | None:
        """What brings the schema before this statement back, by what it did; None when that is not known."""
        before, after = self.before, self.after
        if before is None or after is None:
            return None
        steps = ddl.restore(
            before.objects,
            after.objects,
            role=before.role,
            major=self._major,
            concurrently=concurrently,
            kept=kept_by(self.archives, before.objects, after.objects),
        )
        return self.as_named(steps)

    def as_named(self, steps: Sequence[Step]) -> list[Step]:
        """Steps with qualified names, named as the up migration names things."""
        schema = self.before.path[0] if self.before is not None and self.before.path else None
        if schema is None or self._qualified(schema):
            return list(steps)
        return [
            Step(
                sql=None if step.sql is None else unqualify(step.sql, schema),
                todo=None if step.todo is None else unqualify(step.todo, schema),
            )
            for step in steps
        ]

    def _qualified(self, schema: str) -> bool:
        """Whether the up migration itself qualifies names by a schema: then so does what undoes it."""
        if schema not in self._qualifies:
            self._qualifies[schema] = unqualify(self._up.text, schema) != self._up.text
        return self._qualifies[schema]

    # -- what can be said ----------------------------------------------------------------------------------------------

    def todo(self, text: str) -> list[Step]:
        """Leave something to a person."""
        return [Step(todo=f"line {self.now.line}, {text}")]

    def by_state(self, what: str, otherwise: Sequence[Step] = (), *, concurrently: bool = False) -> list[Step]:
        """By what it did where that is known; else what the text lets one guess, with a remark."""
        self.now.needs_schema = True
        known = self.restored(concurrently=concurrently)
        if known is not None:
            return known
        if otherwise:
            return [
                replace(
                    otherwise[0],
                    todo=f"line {self.now.line}, {what}: check this; what was there before is not known",
                ),
                *otherwise[1:],
            ]
        return self.todo(f"{what}: write by hand what undoes it; what was there before is not known")

    # -- what this up migration creates --------------------------------------------------------------------------------

    def relation_key(self, rv: Any) -> ObjectKey:
        """Under which key a relation is known."""
        return ("relation", rv.schemaname or self.default_schema, rv.relname)

    def key(self, kind: str, parts: Sequence[str]) -> ObjectKey:
        """Under which key something in a schema is known."""
        return (kind, parts[-2] if len(parts) > 1 else self.default_schema, parts[-1])

    def created_by_name(self, kind: int, item: Any) -> Created | None:
        """What a statement such as DROP, COMMENT or GRANT names, if this up migration created it."""
        return self.created.by_name(kind, item, self.default_schema)

    def is_on_created(self, kind: int, item: Any) -> bool:
        """Whether a comment, grant or owner is on what this up migration creates, and is dropped with it."""
        parts = names(item)
        if len(parts) > 1 and (kind in ON_TABLE or kind in (OBJECT.OBJECT_COLUMN, OBJECT.OBJECT_TABCONSTRAINT)):
            schema, table = parts[-3] if len(parts) > 2 else self.default_schema, parts[-2]
            if ("relation", schema, table) in self.created:
                return True
            if kind not in ON_TABLE:
                return ("column", schema, table, parts[-1]) in self.created
        return self.created_by_name(kind, item) is not None

    def refers_to_later(self, node: Any, created: Created) -> bool:
        """Whether a statement lets an older object depend on a younger one, which is dropped first."""
        return bool(self.created.younger_than(created) & referred(node))

    def about(self, *created: Created | None) -> None:
        """Keep of what this statement speaks: when that is dropped again, there is nothing to undo."""
        self.now.about = (*self.now.about, *(one for one in created if one is not None))

    def cancel(self, created: Created) -> None:
        """Take back what undoes the creation of an object, and all that spoke of it: it is dropped again."""
        for inverse in self.found:
            if created in inverse.about:
                inverse.steps = ()
                inverse.needs_schema = False
        self.created.forget(created)

    def rename_created(self, key: ObjectKey, name: str) -> None:
        """Follow something to its new name."""
        self.about(self.created.rename(key, name))

    def move_created(self, key: ObjectKey, schema: str) -> None:
        """Follow something to its new schema."""
        self.about(self.created.move(key, schema))
