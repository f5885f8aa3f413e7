"""Creates an object again that is dropped for that, with all that was dropped with it. Pure."""

from __future__ import annotations

from migrollback_nb.core.object_names import split_table
from migrollback_nb.undo.ddl.comments import comment_steps, is_about
from migrollback_nb.undo.ddl.create import create_steps
from migrollback_nb.undo.ddl.grants import grant_steps, grants_of_new
from migrollback_nb.undo.ddl.objects import (
    Definition,
    Step,
)
from migrollback_nb.undo.ddl.states import Schemas


def create_again(schemas: Schemas, kind: str, identity: str, d: Definition) -> list[Step]:
    """Create an object again that is dropped for that, with its indexes, triggers, rules, comments and grants."""
    found = create_steps(schemas, kind, identity, d)
    for part in ("index", "trigger", "rule"):
        for other, definition in schemas.old.get(part, {}).items():
            if (definition.get("on") if part == "index" else split_table(other)[0]) == identity:
                found += create_steps(schemas, part, other, definition)
    found += same_comments(schemas, kind, identity)
    for other in schemas.old.get("grant", {}):
        if other in (f"relation {identity}", f"routine {identity}") or other.startswith(f"column {identity}."):
            found += grant_steps(schemas, "grant", other, fresh=True)
    return [*found, *grants_of_new(schemas, kind, identity)]


def same_comments(schemas: Schemas, kind: str, identity: str) -> list[Step]:
    """Comments that nothing else brings back, since they did not change."""
    return [
        step
        for comment, d in schemas.old.get("comment", {}).items()
        if ("comment", comment) not in schemas.changed and is_about(comment, kind, identity)
        for step in comment_steps(comment, d["text"])
    ]
