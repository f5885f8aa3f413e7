"""Undoes DROP: makes anew what was there before, and takes back what undoes the making of what was not. Pure."""

from __future__ import annotations

from typing import Any

from migrollback_nb.undo.ddl import Step
from migrollback_nb.undo.parse_tree import OBJECT, item, object_word
from migrollback_nb.undo.position import Context


def undo_drop(at: Context, m: Any) -> list[Step]:
    """Make things anew that were dropped."""
    made = [at.made_by_name(m.remove_type, node) for node in m.objects]
    left = [node for node, own in zip(m.objects, made, strict=True) if own is None]
    if left:
        at.now.needs_schema = True
        known = at.restored(concurrently=m.concurrent)
        if known is not None:
            return known  # which makes anew what this up part made as well: the inverse of that stays
    for own in made:
        if own is not None:
            at.cancel(own)
    lost = " Its rows went with it." if m.remove_type == OBJECT.OBJECT_TABLE else ""
    return [
        step
        for node in reversed(left)
        for step in at.todo(
            f"DROP {object_word(m.remove_type)} {item(m.remove_type, node)}: write by hand what brings it back; what it"
            f" was could not be looked up.{lost}"
        )
    ]
