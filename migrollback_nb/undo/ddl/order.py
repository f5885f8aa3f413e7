"""In which order objects can be created, and so be dropped the other way round. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from migrollback_nb.core.object_names import split_table
from migrollback_nb.undo.ddl.objects import TABLES, Definition, Key

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


def in_order(
    found: Mapping[Key, Definition],
    after: Mapping[Key, Collection[Key]] | None = None,
    refers: Mapping[Key, Collection[Key]] | None = None,
) -> list[Key]:
    """Sort by the order in which they can be created.

    Parameters
    ----------
    found : mapping
        The objects.
    after : mapping, optional
        What each has to wait for besides what it names, also where that is a part of a table.
    refers : mapping, optional
        What the parts of each refer to, which none of its own text names: the foreign keys of tables.
    """
    needed = after or {}
    texts = {key: _text(key, d) for key, d in found.items()}
    ranked = sorted(found, key=lambda key: (_rank(key, found[key]), key[1]))
    names = {key: key[1].split("(")[0] for key in ranked}
    done: dict[Key, None] = {}

    def visit(key: Key, above: frozenset[Key]) -> None:
        if key in done or key in above:
            return
        for other in (*needed.get(key, ()), *(refers or {}).get(key, ())):
            if other in found and other != key:
                visit(other, above | {key})
        for other in ranked:
            # what stands on a table or among its columns names it anyway: its place is known
            if (
                other != key
                and other not in done
                and names[other] in texts[key]  # a pattern is dear to make
                and naming(names[other]).search(texts[key])
                and (key[0] not in CREATED_FIRST or other[0] in CREATED_FIRST or key in needed)
            ):
                visit(other, above | {key})
        done[key] = None

    for key in ranked:
        visit(key, frozenset())
    return list(done)


def referring(found: Mapping[Key, Definition]) -> dict[Key, tuple[Key, Key]]:
    """Foreign key -> (its table, the table that it refers to), where both are among these and not one."""
    tables = {key[1]: key for key in found if key[0] in TABLES}
    words = {name: naming(name) for name in tables}
    edges = {}
    for key, d in found.items():
        if key[0] == "constraint" and str(d["def"]).startswith("FOREIGN KEY"):
            table, (_, _, to) = split_table(key[1])[0], str(d["def"]).partition(" REFERENCES ")
            for name, word in words.items():
                if table in tables and name != table and word.match(to):
                    edges[key] = (tables[table], tables[name])
    return edges


def waiting(found: Mapping[Key, Definition], unfinished: Mapping[str, Collection[Key]]) -> dict[Key, Collection[Key]]:
    """Of what is created first, what has to wait for parts of tables, and for which.

    Parameters
    ----------
    found : mapping
        What is to be created.
    unfinished : mapping
        Table -> its parts that are to be created too.
    """
    first = {key: _text(key, d) for key, d in found.items() if key[0] in CREATED_FIRST}
    waits: dict[Key, Collection[Key]] = {}
    for key, text in first.items():
        # a table names the tables that it inherits from or refers to, and needs no more of them
        if key[0] in ("function", "procedure"):
            parts = [part for table, keys in unfinished.items() if naming(table).search(text) for part in keys]
            if parts:
                waits[key] = parts
    looking = list(waits)
    while looking:
        word, of = naming(looking[-1][1].split("(")[0]), looking.pop()
        for key, text in first.items():
            if key not in waits and key != of and word.search(text):
                waits[key] = [of]
                looking.append(key)
    return waits


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
