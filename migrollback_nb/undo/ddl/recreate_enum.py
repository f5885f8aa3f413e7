"""Takes values out of an enum: creates it again without them, and with it all that names it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from migrollback_nb.core.object_names import quote, split_last, split_table, unquoted
from migrollback_nb.undo.ddl.comments import comment_steps
from migrollback_nb.undo.ddl.create import create_steps
from migrollback_nb.undo.ddl.create_again import create_again, same_comments
from migrollback_nb.undo.ddl.drop import drop_steps
from migrollback_nb.undo.ddl.grants import grant_steps
from migrollback_nb.undo.ddl.objects import ROUTINES, TABLES, VIEWS, Definition, Key, Step
from migrollback_nb.undo.ddl.order import in_order, naming
from migrollback_nb.undo.ddl.quoting import literal
from migrollback_nb.undo.ddl.states import Schemas

#: What stands in the way of another type of a column, in the order in which it is dropped.
_IN_THE_WAY = ("rule", "policy", "trigger", "constraint", "index")


def recreate_enum(schemas: Schemas, identity: str, was: Definition, more: Iterable[str]) -> list[Step] | None:
    """What creates an enum again without values that it has got; None where that cannot be written.

    Parameters
    ----------
    identity : str
        The enum.
    was : Definition
        What it was.
    more : iterable of str
        The values that are to go.
    """
    columns = _columns(schemas, identity)
    if columns is None:
        return None
    tables = {split_last(column)[0] for column in columns}
    views = _views(schemas, identity, tables)
    routines = {
        key: d for key, d in _of(schemas, ROUTINES) if _has_in_head(d, identity) or _body_names(d, identity, tables)
    }
    parts = {key: d for key, d in _of(schemas, _IN_THE_WAY) if _stands_in_the_way(key, d, identity, columns)}
    if any(_names_one(d, routines) for _, d in _of(schemas, ("trigger", "policy", "constraint", "column", "rule"))):
        return None
    old_name = f"{unquoted(split_last(identity)[1])}_replaced"
    replaced = f"{split_last(identity)[0]}.{quote(old_name)}"
    ways = [*sorted(parts, key=lambda key: _IN_THE_WAY.index(key[0])), *reversed(in_order(routines))]
    found = [step for key in reversed(in_order(views)) for step in drop_steps(schemas, *key, {})]
    found += [step for key in ways for step in drop_steps(schemas, *key, {**parts, **routines}[key])]
    found.append(Step(sql=f"ALTER TYPE {identity} RENAME TO {quote(old_name)}"))
    found += create_again(schemas, "enum", identity, was)
    if (comment := schemas.old.get("comment", {}).get(f"type {identity}")) is not None:
        found += comment_steps(f"type {identity}", comment["text"])
    if f"type {identity}" in schemas.old.get("grant", {}):
        found += grant_steps(schemas, "grant", f"type {identity}", fresh=True)
    listed = ", ".join(literal(label) for label in more)
    for table in sorted(tables):
        of_table = [column for column in columns if split_last(column)[0] == table]
        found.append(_retyped(schemas, table, of_table, f"rewrites {table}, and fails where a row holds {listed}"))
    for key in in_order(routines):
        found += create_again(schemas, *key, routines[key])
    for key in sorted(parts, key=lambda key: -_IN_THE_WAY.index(key[0])):
        found += [*create_steps(schemas, *key, parts[key]), *same_comments(schemas, *key)]
    for key in in_order(views):
        found += create_again(schemas, *key, views[key])
    return [*found, Step(sql=f"DROP TYPE {replaced}")]


def _of(schemas: Schemas, kinds: Iterable[str]) -> Iterator[tuple[Key, Definition]]:
    for kind in kinds:
        for identity, d in schemas.old.get(kind, {}).items():
            yield (kind, identity), d


def _columns(schemas: Schemas, identity: str) -> dict[str, Definition] | None:
    """Columns of tables that are of this type; None where others are, or where they cannot be altered."""
    of_type = {identity, f"{identity}[]"}
    if any(d["domain"]["base"] in of_type for d in schemas.old.get("domain", {}).values()):
        return None
    found: dict[str, Definition] = {}
    for column, d in schemas.old.get("column", {}).items():
        table, name = split_last(column)
        if d["type"] not in of_type or any(table in schemas.old.get(kind, {}) for kind in VIEWS):
            continue
        relation = next((schemas.old[kind][table] for kind in TABLES if table in schemas.old.get(kind, {})), None)
        word = _word(name)
        if relation is None or d.get("generated") or word.search(str(relation.get("partition_key") or "")):
            return None
        others = (d for other, d in schemas.old["column"].items() if split_last(other)[0] == table)
        if any(other.get("generated") and word.search(str(other.get("default"))) for other in others):
            return None
        if not d.get("inherited"):
            found[column] = d
    return found


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?<![\w"]){re.escape(name)}(?![\w"])')


def _views(schemas: Schemas, identity: str, tables: Iterable[str]) -> dict[Key, Definition]:
    """Views that name the type or a table with a column of it, and the views on these."""
    found: dict[Key, Definition] = {}
    looking = [identity, *tables]
    while looking:
        word = naming(looking.pop())
        for key, d in _of(schemas, VIEWS):
            if key not in found and word.search(str(d.get("query", ""))):
                found[key] = d
                looking.append(key[1])
    return found


def _has_in_head(d: Definition, identity: str) -> bool:
    head = re.split(r"\nAS \$|\nBEGIN ATOMIC|\n RETURN ", str(d.get("def", "")), maxsplit=1)[0]
    return bool(naming(identity).search(head))


def _body_names(d: Definition, identity: str, tables: Iterable[str]) -> bool:
    """Whether a body that PostgreSQL keeps parsed names the type or a table with a column of it."""
    text = str(d.get("def", ""))
    if not re.search(r"\nBEGIN ATOMIC|\n RETURN ", text):
        return False
    return any(naming(name).search(text) for name in (identity, *tables))


def _names_one(d: Definition, routines: Iterable[Key]) -> bool:
    text = " ".join(str(d.get(field) or "") for field in ("def", "using", "check", "default"))
    return any(naming(identity.split("(", maxsplit=1)[0]).search(text) for _, identity in routines)


def _stands_in_the_way(key: Key, d: Definition, identity: str, columns: Iterable[str]) -> bool:
    kind = key[0]
    text = " ".join(str(d.get(field) or "") for field in ("def", "using", "check"))
    table = str(d["on"]) if kind == "index" else split_table(key[1])[0]
    own = [split_last(column)[1] for column in columns if split_last(column)[0] == table]
    if kind == "index":
        return not d.get("constraint") and not d.get("parent") and bool(naming(identity).search(text))
    if kind == "constraint":
        if d.get("local") is False:
            return False
        is_key = text.startswith("FOREIGN KEY") and any(_word(name).search(text) for name in own)
        return is_key or bool(naming(identity).search(text))
    # a policy, rule or trigger; of a trigger only what it says before its function
    said = text.rsplit(" EXECUTE ", 1)[0] if kind == "trigger" else text
    if kind == "trigger" and " OF " not in said and " WHEN " not in said:
        return False
    named = any(_word(name).search(said) for name in own)
    return named or bool(naming(identity).search(said))


def _retyped(schemas: Schemas, table: str, columns: Iterable[str], todo: str) -> Step:
    """Give columns the type that now has the name."""
    clauses = []
    for column in columns:
        name, d = split_last(column)[1], schemas.old["column"][column]
        text = "text[]" if str(d["type"]).endswith("[]") else "text"
        if d.get("default") is not None:
            clauses.append(f"ALTER COLUMN {name} DROP DEFAULT")
        clauses.append(f"ALTER COLUMN {name} TYPE {d['type']} USING {name}::{text}::{d['type']}")
        if d.get("default") is not None:
            clauses.append(f"ALTER COLUMN {name} SET DEFAULT {d['default']}")
    return Step(sql=f"{schemas.alter(table)} {', '.join(clauses)}", todo=todo)
