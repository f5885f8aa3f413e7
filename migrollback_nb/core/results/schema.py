"""What differs between two states of a schema, read as a list of changes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, Literal, Self

from migrollback_nb.core import html
from migrollback_nb.core.object_names import NAME, QUALIFIED
from migrollback_nb.core.passwords import mask_passwords_in
from migrollback_nb.core.results.definitions import Definition
from migrollback_nb.core.text import as_line, as_text

if TYPE_CHECKING:
    import pandas as pd

#: Kinds whose identity is "TABLE NAME", and what a comment or grant calls the thing that it is on.
_ON_A_TABLE = frozenset({"constraint", "domain constraint", "trigger", "rule", "policy"})
_RELATIONS = ("table", "partitioned table", "view", "materialized view", "foreign table", "sequence", "composite type")
#: Of more objects than these each is folded.
_OPEN = 12
_SIGN = {"created": "+", "changed": "~", "reordered": "~", "dropped": "-"}


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaChange:
    """One object that differs."""

    change: Literal[
        "created", "changed", "reordered", "dropped"
    ]  #: reordered: its columns stand in another order, nothing else
    kind: str  #: table, column, index, function ...
    identity: str  #: schema-qualified and quoted, as schema_objects() names it
    old_definition: Mapping[str, Any] | None  #: None when it was created
    new_definition: Mapping[str, Any] | None  #: None when it was dropped

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """What of the definition differs: name -> (old, new). For a created or dropped object the whole definition."""
        old, new = self.old_definition or {}, self.new_definition or {}
        return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}

    @property
    def parent(self) -> str | None:
        """Identity of the table, view or routine that this object is part of; None for one that stands alone."""
        return _parent(self.kind, self.identity, self.new_definition or self.old_definition or {})

    def to_dict(self) -> dict[str, Any]:
        """Keys of `migrollback diff --format json`."""
        return {
            "change": self.change,
            "kind": self.kind,
            "identity": self.identity,
            "old_definition": self.old_definition,
            "new_definition": self.new_definition,
        }

    def __str__(self) -> str:
        return f"{_SIGN[self.change]} {self.kind} {self.identity}"


@as_text
@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaDiff:
    """All objects that differ between two states of a schema. False when nothing does."""

    changes: tuple[SchemaChange, ...]  #: in order of kind and identity
    old: str = "before"  #: what the old state is
    new: str = "now"  #: what the new state is
    #: each object as DDL, its parts with it, as it was and as it is; empty where that was not asked for
    definitions: Sequence[Definition] = ()

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], *, old: str = "before", new: str = "now") -> Self:
        """From the rows of schema_changes(); passwords in the bodies of routines are masked."""
        return cls(changes=tuple(SchemaChange(**mask_passwords_in(dict(row))) for row in rows), old=old, new=new)

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def created(self) -> tuple[SchemaChange, ...]:
        """Objects that only the new state has."""
        return tuple(change for change in self.changes if change.change == "created")

    @property
    def changed(self) -> tuple[SchemaChange, ...]:
        """Objects with another definition; those whose columns were only reordered included."""
        return tuple(change for change in self.changes if change.change in ("changed", "reordered"))

    @property
    def dropped(self) -> tuple[SchemaChange, ...]:
        """Objects that only the old state has."""
        return tuple(change for change in self.changes if change.change == "dropped")

    @property
    def main(self) -> tuple[SchemaChange, ...]:
        """Without the parts of created or dropped wholes: columns, indexes, constraints ... of a table."""
        gone = {
            (change.change, change.identity)
            for change in self.changes
            if change.kind in _RELATIONS or change.kind in ("function", "procedure", "schema", "domain")
        }
        return tuple(
            change for change in self.changes if change.parent is None or (change.change, change.parent) not in gone
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "old": self.old,
            "new": self.new,
            "changes": [change.to_dict() for change in self.changes],
            "definitions": [one.to_dict() for one in self.definitions],
        }

    @property
    def sql(self) -> str:
        """The statements that lead from the old state to the new, as far as they can be written."""
        return "\n".join(f"{statement};" for one in self.definitions for statement in one.statements)

    def unified(self) -> tuple[str, ...]:
        """The DDL of what differs as the lines of a unified diff; in words where it was not asked for."""
        if not self.definitions:
            return self.lines()
        return (
            f"--- {self.old}",
            f"+++ {self.new}",
            *(line for one in self.definitions for line in one.lines()),
        )

    @property
    def counts(self) -> str:
        """How many, in words."""
        counts = {
            word: len(found)
            for word, found in (("created", self.created), ("changed", self.changed), ("dropped", self.dropped))
        }
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no difference"

    def to_frame(self) -> pd.DataFrame:
        """As a DataFrame (n, 5): change, kind, identity, old_definition, new_definition."""
        from migrollback_nb.core.frames.build import frame_of

        return frame_of("schema changes", (change.to_dict() for change in self.changes))

    def lines(self) -> tuple[str, ...]:
        """The change list in words, a line for each object: created, changed with old and new, dropped."""
        report = []
        for change in sorted(self.main, key=lambda change: "+~-".index(_SIGN[change.change])):
            along = (
                sum(other.change == change.change and other.parent == change.identity for other in self.changes)
                if change.change != "changed"
                else 0
            )
            report.append(
                f"{change}"
                + (f" (with {along} of its parts)" if along and change.change in ("created", "dropped") else "")
            )
            if change.change == "reordered":
                report[-1] += " (only the order of its columns)"
            if change.change == "changed":
                report += [
                    f"    {name}: {' -> '.join(_beside(old, new))}"
                    for name, (old, new) in sorted(change.fields.items())
                    if name != "columns"
                ]
        return tuple(report)

    def __repr__(self) -> str:
        if not self:
            return f"<SchemaDiff {self.old} -> {self.new}: no difference>"
        return "\n".join((f"<SchemaDiff {self.old} -> {self.new}: {self.counts}>", *self.lines()))

    def _repr_html_(self) -> str:
        if not self:
            return html.banner(f"No difference between {self.old} and {self.new}", html.GOOD)
        shown = html.banner(f"{self.old} → {self.new}: {self.counts}", html.CAREFUL)
        if not self.definitions:
            return shown + html.preformatted("\n".join(self.lines()))
        is_open = len(self.definitions) <= _OPEN
        return shown + "".join(one.to_html(self.old, self.new, is_open=is_open) for one in self.definitions)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else html.to_json_line(value)


def _beside(*values: Any) -> tuple[str, ...]:
    """Values in one line each, of long ones the part where they begin to differ."""
    texts = ["-" if value is None else " ".join(_plain(value).split()) for value in values]
    if max(map(len, texts)) <= 100:
        return tuple(texts)
    begin = max(0, len(commonprefix(texts)) - 20)  # noqa: RUF071  # character by character is what is meant
    return tuple(
        ("..." if begin else "") + text[begin : begin + 100] + ("..." if len(text) > begin + 100 else "")
        for text in texts
    )


def _parent(kind: str, identity: str, definition: Mapping[str, Any]) -> str | None:
    if kind in ("comment", "grant", "security label"):
        return _subject(identity)
    if kind == "column":
        found = re.fullmatch(rf"({QUALIFIED})\.{NAME}", identity)
        return found[1] if found else None
    if kind in _ON_A_TABLE:
        found = re.match(QUALIFIED + "(?= )", identity)
        return found[0] if found else None
    if kind == "index":
        on = definition.get("on")
        return str(on) if on else None
    if kind == "sequence" and (owner := definition.get("owned_by")):
        return _parent("column", str(owner).rsplit(" ", 1)[0], {})
    return None


def _subject(identity: str) -> str | None:
    """Of what a comment or grant is said, or of which whole that is a part."""
    what, _, rest = identity.partition(" ")
    for word in ("materialized view", "foreign table", "composite type"):
        if identity.startswith(word + " "):
            what, rest = word, identity[len(word) + 1 :]
    # parts of a table or domain, as pg_identify_object() has them
    for word in ("column", "constraint"):
        if rest.startswith(word + " "):
            what, rest = word, rest[len(word) + 1 :]
    if what == "column":
        return _parent("column", rest, {})
    if what in ("constraint", "trigger", "rule", "policy"):
        found = re.search(rf" on (?:table |domain )?({QUALIFIED})$", rest)
        return found[1] if found else None
    return rest or None
