"""In which order objects can be created, and so be dropped the other way round. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from migrollback_nb.undo.ddl.objects import Definition, Key

#: In this order objects are created; the other way round they are dropped. What names another comes after it, whatever
#: its place here.
ORDER = (
    "schema", "extension", "language", "access method", "collation", "enum", "range", "composite type", "domain",
    "base type", "foreign data wrapper", "server", "sequence", "function", "procedure", "aggregate", "operator",
    "operator family", "operator class", "cast", "transform", "conversion", "text search parser/template",
    "text search dictionary", "text search configuration", "table", "partitioned table", "foreign table", "column",
    "domain constraint", "constraint", "index", "view", "materialized view", "rule", "trigger", "policy",
    "statistics", "event trigger", "publication", "subscription", "user mapping",
)  # fmt: skip
#: What is created before anything is altered, since what is altered may come to name it.
CREATED_FIRST = frozenset(ORDER[: ORDER.index("column")])
#: What is dropped before anything is altered, since it may stand in the way.
DROPPED_FIRST = frozenset(ORDER[ORDER.index("domain constraint") :])


def place(kind: str) -> int:
    """Place of a kind in the order; what has none comes last."""
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def in_order(found: Mapping[Key, Definition]) -> list[Key]:
    """Sort by the order in which they can be created."""
    texts = {key: _text(key, d) for key, d in found.items()}
    ranked = sorted(found, key=lambda key: (_rank(key, found[key]), key[1]))
    names = {key: naming(key[1].split("(")[0]) for key in ranked}
    done: dict[Key, None] = {}

    def visit(key: Key, above: frozenset[Key]) -> None:
        if key in done or key in above:
            return
        for other in ranked:
            # what stands on a table or among its columns names it anyway: its place is known
            if (
                other != key
                and other not in done
                and names[other].search(texts[key])
                and (key[0] not in CREATED_FIRST or other[0] in CREATED_FIRST)
            ):
                visit(other, above | {key})
        done[key] = None

    for key in ranked:
        visit(key, frozenset())
    return list(done)


def naming(identity: str) -> re.Pattern[str]:
    """Where a text names an object."""
    return re.compile(rf'(?<![\w".]){re.escape(identity)}(?![\w"]|\$(?!\w*\$))')


def _rank(key: Key, d: Definition) -> float:
    if key[0] == "constraint" and d["def"].startswith("FOREIGN KEY"):
        return place("index") + 0.5  # it needs the index of what it refers to
    return place(key[0])


def _text(key: Key, d: Definition) -> str:
    """All that a definition says, in which it may name others."""
    text = "\n".join(_strings({field: value for field, value in d.items() if field != "owned_by"}))
    if key[0] in ("function", "procedure") and " LANGUAGE sql" not in text:
        text = re.sub(
            r"AS \$(\w*)\$.*\$\1\$", "", text, flags=re.DOTALL
        )  # a name in such a body need not be there when it is created
    return f"{key[1]}\n{text}"


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
