"""What differs between two states of a schema as DDL: each object as it was and as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from migrollback_nb.core.html import to_json_line
from migrollback_nb.core.object_names import split_last, split_table, unquoted
from migrollback_nb.core.results.definitions import Definition as Shown
from migrollback_nb.core.results.schema import SchemaChange, SchemaDiff
from migrollback_nb.undo.ddl import restore
from migrollback_nb.undo.ddl.columns import column_definition, column_settings
from migrollback_nb.undo.ddl.comments import comment_steps
from migrollback_nb.undo.ddl.create import create_steps
from migrollback_nb.undo.ddl.grants import as_grants, grant_steps
from migrollback_nb.undo.ddl.objects import ROUTINES, TABLES, Definition, Step, is_not_null, is_of_identity
from migrollback_nb.undo.ddl.quoting import argument_types, literal
from migrollback_nb.undo.ddl.shown_only import shown_only
from migrollback_nb.undo.ddl.states import Schemas

#: Kinds that are part of another object, or say something of one.
_PARTS = frozenset(
    {"column", "constraint", "domain constraint", "index", "trigger", "rule", "policy", "comment", "grant"}
    | {"security label", "row type", "default grant", "setting"}
)
#: Kinds whose columns are objects of their own.
_WITH_COLUMNS = TABLES | {"view", "materialized view", "composite type"}
#: What a definition of an older version, or of a server not known yet, may lack.
_LACKING = (LookupError, TypeError, ValueError, AttributeError)
#: What drops something that is there need not say.
_IF_EXISTS = re.compile(r"^(DROP [A-Z ]+?|ALTER [^\n]*? DROP [A-Z]+) IF EXISTS(?= )")
#: What is no object, but said of one, and has no statement among those that restore it.
_SAID = frozenset({"grant", "default grant", "setting", "security label"})
_Side = Literal["old_definition", "new_definition"]


def with_definitions(diff: SchemaDiff) -> SchemaDiff:
    """The difference, with the DDL of each object that differs."""
    return replace(diff, definitions=tuple(definitions(diff.changes)))


def definitions(changes: Iterable[SchemaChange]) -> Iterator[Shown]:
    """Each object that differs, its parts with it, as it was and as it is."""
    for identity, found in _grouped(changes).items():
        wholes = [one for one in found if one.kind not in _PARTS]
        root = next((one for one in wholes if one.identity == identity), next(iter(wholes), None))
        old, new = (_text(found, identity, side) for side in ("old_definition", "new_definition"))
        yield Shown(
            change=_change(found, root, old, new),
            kind=root.kind if root is not None else found[0].kind if _alone(found) else None,
            identity=identity,
            old=old,
            new=new,
            statements=_statements(found),
        )


def _change(
    found: Sequence[SchemaChange], root: SchemaChange | None, old: str, new: str
) -> Literal["created", "changed", "dropped"]:
    """What became of a whole: of one that stays, and of one in the place of another, that it was changed."""
    came_or_went = _alone(found) if root is None else root.change in ("created", "dropped")
    if not came_or_went or (old and new):
        return "changed"
    return "created" if new else "dropped"


def _alone(found: Sequence[SchemaChange]) -> bool:
    """Whether it is about no object that has a place of its own here: a setting, say."""
    return all(one.kind in ("setting", "default grant") for one in found)


# -- which belong together ---------------------------------------------------------------------------------------------


def _grouped(changes: Iterable[SchemaChange]) -> dict[str, list[SchemaChange]]:
    """Identity of a whole -> what differs of it and its parts; what comes by itself with another is left out."""
    found = [change for change in changes if not _is_implicit(change)]
    # a comment names a routine by its types alone
    routines = {
        f"{change.identity.split('(', maxsplit=1)[0]}({argument_types(change.identity)})": change.identity
        for change in found
        if change.kind in ROUTINES and "(" in change.identity
    }
    parents = {change.identity: change.parent for change in found if change.kind in ("index", "sequence", "column")}
    groups: dict[str, list[SchemaChange]] = {}
    for change in found:
        whole, above = change.identity, change.parent
        while above is not None and above != whole:
            whole, above = above, parents.get(above)
        whole = routines.get(whole.replace("pg_catalog.", ""), whole)
        groups.setdefault(whole, []).append(change)
    return groups


def _is_implicit(change: SchemaChange) -> bool:
    """Whether it is the row type of a relation, or a function of a range type."""
    text = str((change.new_definition or change.old_definition or {}).get("def", ""))
    return change.kind == "row type" or (change.kind == "function" and "range_constructor" in text)


# -- one side ----------------------------------------------------------------------------------------------------------


def _text(found: Sequence[SchemaChange], identity: str, side: _Side) -> str:
    """The DDL of an object and its parts, as far as they are known on this side."""
    there = [(one, d) for one in found if (d := getattr(one, side)) is not None]
    is_whole = any(one.kind not in _PARTS and one.change in ("created", "dropped") for one, _ in there)
    try:
        return _whole(there) if is_whole else _parts(there, identity, side)
    except _LACKING:
        return "\n".join(_plain(one, d) for one, d in there)


def _schemas(there: Iterable[tuple[SchemaChange, Definition]]) -> dict[str, dict[str, Definition]]:
    objects: dict[str, dict[str, Definition]] = {}
    for one, d in there:
        objects.setdefault(one.kind, {})[one.identity] = d
    return objects


def _whole(there: Sequence[tuple[SchemaChange, Definition]]) -> str:
    """An object that came or went, with all its parts."""
    objects = _schemas((one, d) for one, d in there if one.kind not in _SAID)
    schemas = _of(_schemas(there))
    # who owns it says nothing new of one that came or went
    steps = [step for step in restore(objects, {}) if not _gives_away(step)]
    found = [_ended(steps)]
    for one, d in there:
        if one.kind in _SAID:
            found += _piece(schemas, one, d)
    return "\n".join(filter(None, found)) or "\n".join(_plain(one, d) for one, d in there)


def _gives_away(step: Step) -> bool:
    return step.sql is not None and step.sql.startswith("ALTER ") and " OWNER TO " in step.sql


def _of(objects: Mapping[str, Mapping[str, Definition]]) -> Schemas:
    return Schemas(old=objects, new={}, role=None, major=18, concurrently=False)


def _parts(there: Sequence[tuple[SchemaChange, Definition]], identity: str, side: _Side) -> str:
    """Of an object that stays what differs: its own text, its columns and constraints, what stands on it."""
    schemas = _of(_schemas(there))
    has = {one.kind for one, _ in there}
    order = {
        name: place
        for one, d in there
        if one.identity == identity and one.kind in _WITH_COLUMNS
        for place, name in enumerate(d.get("columns") or ())
    }
    first: list[str] = []
    inside: list[tuple[int, str]] = []
    after: list[str] = []
    for one, d in there:
        if not _is_told(one, d, has):
            continue
        lines = _piece(schemas, one, d)
        other = one.old_definition if side == "new_definition" else one.new_definition
        if one.change == "changed" and other is not None and _piece(schemas, one, other) == lines:
            lines = [*lines, *_fields(one, side)]
        if one.kind == "column":
            name = unquoted(split_last(one.identity)[1])
            inside.append((order.get(name, len(order)), lines[0]))
            after += lines[1:]
        elif one.kind in ("constraint", "domain constraint"):
            inside.append((len(order) + 1, lines[0]))
            after += lines[1:]
        else:
            (after if one.kind in _PARTS else first).extend(lines)
    return "\n".join([*first, *(text for _, text in sorted(inside, key=lambda line: line[0])), *after])


def _is_told(one: SchemaChange, d: Definition, has: set[str]) -> bool:
    """Whether no other part of the text says it: what comes with a column, a constraint, the query of a view."""
    if one.kind == "column" and has & {"view", "materialized view"}:
        return False
    if one.kind == "constraint" and is_not_null(d):
        return "column" not in has
    if one.kind == "index" and d.get("constraint"):
        return "constraint" not in has
    return not (one.kind == "sequence" and is_of_identity(d) and "column" in has)


def _piece(schemas: Schemas, one: SchemaChange, d: Definition) -> list[str]:
    """One object as it is written where the rest of its whole stays."""
    match one.kind:
        case "column":
            table, column = split_last(one.identity)
            settings = [f"ALTER TABLE {table} ALTER COLUMN {column} {text};" for text in column_settings(d, {})]
            return [f"    {column} {column_definition(schemas, table, column, d)}", *settings]
        case "constraint" | "domain constraint":
            _, name = split_table(one.identity)
            return [f"    CONSTRAINT {name} {d['def']}"]
        case "comment":
            steps = comment_steps(one.identity, d["text"])
        case "grant":
            return [f"{text};" for text in as_grants(schemas, one.identity, d)] or _plain(one, d).split("\n")
        case "default grant":
            steps = grant_steps(schemas, one.kind, one.identity)
        case _:
            alone = _of({one.kind: {one.identity: d}})
            steps = create_steps(
                alone, one.kind, one.identity, {**d, "columns": []} if one.kind in _WITH_COLUMNS else d
            )
    owner = "owner" in one.fields
    text = _ended(step for step in steps if not _is_setval(step) and (owner or not _gives_away(step)))
    if not text:
        return _plain(one, d).split("\n")
    if one.kind in _WITH_COLUMNS:
        text = text.replace(f"{one.identity} ()", f"{one.identity} (...)", 1)
        text = text.replace(f"{one.identity} AS ()", f"{one.identity} AS (...)", 1)
    if one.change == "reordered":
        text += f"\n-- order of its columns: {', '.join(d.get('columns') or ())}"
    return text.split("\n")


def _is_setval(step: Step) -> bool:
    return (step.sql or "").startswith("SELECT pg_catalog.setval(")


def _ended(steps: Iterable[Step]) -> str:
    """Statements as text; what cannot be written is left out."""
    return "\n".join(f"{step.sql};" for step in steps if step.sql is not None)


def _plain(one: SchemaChange, d: Definition) -> str:
    """What no statement of ours creates: as PostgreSQL writes it, else as it stands in the snapshot."""
    with suppress(*_LACKING):
        if (text := shown_only(one.kind, one.identity, d)) is not None:
            return text
    return "\n".join(
        [f"-- {one.kind} {one.identity}", *(f"--     {name}: {_value(v)}" for name, v in sorted(d.items()))]
    )


def _fields(one: SchemaChange, side: _Side) -> list[str]:
    """What differs of a definition whose DDL does not say it."""
    place = 0 if side == "old_definition" else 1
    return [f"--     {name}: {_value(pair[place])}" for name, pair in sorted(one.fields.items())]


def _value(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else to_json_line(value)


# -- from one to the other ---------------------------------------------------------------------------------------------


def _statements(found: Sequence[SchemaChange]) -> tuple[str, ...]:
    """What leads from the old to the new, as far as it can be written."""
    old, new = (
        _schemas((one, d) for one in found if (d := getattr(one, side)) is not None)
        for side in ("old_definition", "new_definition")
    )
    added = [text for one in found if one.kind == "enum" for text in _added_values(one)]
    if added:
        for kinds in (old, new):
            kinds.pop("enum", None)
    try:
        steps = restore(new, old)
    except _LACKING:
        return ()
    return (*added, *(_IF_EXISTS.sub(r"\1", step.sql) for step in steps if step.sql is not None))


def _added_values(one: SchemaChange) -> list[str]:
    """What adds values to an enum that keeps those that it had, in their order."""
    was, now = ((d or {}).get("labels") or [] for d in (one.old_definition, one.new_definition))
    if not was or [label for label in now if label in was] != was:
        return []
    found = []
    for place, label in enumerate(now):
        if label not in was:
            where = f" AFTER {literal(now[place - 1])}" if place else f" BEFORE {literal(was[0])}"
            at_end = not any(other in was for other in now[place:])
            found.append(f"ALTER TYPE {one.identity} ADD VALUE {literal(label)}{'' if at_end else where}")
    return found
