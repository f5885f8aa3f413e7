"""ALTER: what brings an object back from one definition to an earlier one, or makes it anew where nothing else can. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from migrollback_nb.core.object_names import quote, split_last, split_table, unquoted
from migrollback_nb.undo.ddl.clauses import (
    ENABLED,
    attribute,
    bare,
    firing,
    option_changes,
    options,
    policy_rest,
    publish,
    published,
    query,
    sequence_options,
    with_options,
)
from migrollback_nb.undo.ddl.columns import (
    column_definition,
    column_settings,
    converted,
    generated_when,
    identity_clause,
    not_null_name,
)
from migrollback_nb.undo.ddl.comments import comment_steps, is_about
from migrollback_nb.undo.ddl.create import create_steps, owner_to
from migrollback_nb.undo.ddl.drop import drop_steps
from migrollback_nb.undo.ddl.grants import grant_steps
from migrollback_nb.undo.ddl.objects import VIEWS, Definition, Key, Objects, is_not_null, is_of_identity, owning_column
from migrollback_nb.undo.ddl.order import in_order, naming
from migrollback_nb.undo.ddl.quoting import literal
from migrollback_nb.undo.ddl.states import Schemas
from migrollback_nb.undo.ddl.steps import Stage, Step, by_hand

_DEFERRABLE = re.compile(r"( DEFERRABLE| NOT DEFERRABLE| INITIALLY DEFERRED| INITIALLY IMMEDIATE)+")
_INDEX_OPTIONS = re.compile(r" WITH \(([^()]*)\)")
_ROUTINE_HEAD = re.compile(r"^CREATE OR REPLACE (?:FUNCTION|PROCEDURE) .*?\n", re.DOTALL)
_RETURNS = re.compile(r"^ RETURNS (.*)$", re.MULTILINE)


def alter_steps(schemas: Schemas, kind: str, identity: str, was: Definition, now: Definition) -> list[Step]:
    """Bring an object back to what it was."""
    alter = _ALTER.get(kind)
    if alter is not None:
        found = alter(schemas, identity, was, now)
    else:
        rest = {name for name in {**was, **now} if was.get(name) != now.get(name)} - {"owner"}
        if (rest and kind != "composite type") or "owner" not in was:
            return [by_hand(kind, identity, "was changed")]
        found = []
    if "owner" in was and was["owner"] != now.get("owner") and not was.get("owned_by") and was["owner"] is not None:
        found.append(Step(sql=owner_to(schemas, kind, identity, was), stage=Stage.OWNER))
    return found


# -- made anew ---------------------------------------------------------------------------------------------------------


def _anew(schemas: Schemas, kind: str, identity: str, d: Definition) -> list[Step]:
    """Make a thing again that is dropped for that, with all that went with it: its indexes, triggers, rules, comments, grants."""
    found = create_steps(schemas, kind, identity, d)
    for part in ("index", "trigger", "rule"):
        for other, definition in schemas.old.get(part, {}).items():
            if (definition.get("on") if part == "index" else split_table(other)[0]) == identity:
                found += create_steps(schemas, part, other, definition)
    found += _same_comments(schemas, kind, identity)
    for other in schemas.old.get("grant", {}):
        if other in (f"relation {identity}", f"routine {identity}") or other.startswith(f"column {identity}."):
            found += grant_steps(schemas, "grant", other, fresh=True)
    return found


def _same_comments(schemas: Schemas, kind: str, identity: str) -> list[Step]:
    """Comments that nothing else brings back, since they did not change."""
    return [
        step
        for comment, d in schemas.old.get("comment", {}).items()
        if ("comment", comment) not in schemas.changed and is_about(comment, kind, identity)
        for step in comment_steps(comment, d["text"])
    ]


# -- tables and their columns ------------------------------------------------------------------------------------------


def _table(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    alter = schemas.alter(identity)
    texts: list[str] = []
    if was.get("partition_bound") != now.get("partition_bound"):
        if "partition_bound" in now:
            texts.append(f"ALTER TABLE {now['inherits'][0]} DETACH PARTITION {identity}")
        if "partition_bound" in was:
            texts.append(f"ALTER TABLE {was['inherits'][0]} ATTACH PARTITION {identity} {was['partition_bound']}")
    elif was.get("inherits") != now.get("inherits"):
        before, after = was.get("inherits") or [], now.get("inherits") or []
        texts += [f"{alter} NO INHERIT {parent}" for parent in after if parent not in before]
        texts += [f"{alter} INHERIT {parent}" for parent in before if parent not in after]
    if was.get("persistence") != now.get("persistence"):
        texts.append(f"{alter} SET {_logged(was)}")
    for field, prefix in (("options", ""), ("toast_options", "toast.")):
        texts += [
            f"{alter} {text}" for text in option_changes(options(was.get(field)), options(now.get(field)), prefix)
        ]
    if was.get("am") != now.get("am") and was.get("am"):
        texts.append(f"{alter} SET ACCESS METHOD {was['am']}")
    if was.get("tablespace") != now.get("tablespace"):
        texts.append(f"{alter} SET TABLESPACE {_tablespace(was)}")
    if was.get("of") != now.get("of"):
        texts.append(f"{alter} OF {was['of']}" if was.get("of") else f"{alter} NOT OF")
    if was.get("rls") != now.get("rls"):
        texts.append(f"{alter} {'ENABLE' if was.get('rls') else 'DISABLE'} ROW LEVEL SECURITY")
    if was.get("rls_forced") != now.get("rls_forced"):
        texts.append(f"{alter} {'FORCE' if was.get('rls_forced') else 'NO FORCE'} ROW LEVEL SECURITY")
    if was.get("replica_identity") != now.get("replica_identity"):
        kept = {"f": "FULL", "n": "NOTHING", None: "DEFAULT"}.get(was.get("replica_identity"))
        if kept:
            texts.append(f"{alter} REPLICA IDENTITY {kept}")
    found = [Step(sql=text) for text in texts]
    if was.get("foreign") != now.get("foreign"):
        found.append(by_hand("foreign table", identity, "got other options"))
    return found


def _logged(d: Definition) -> str:
    return "UNLOGGED" if d["persistence"] == "u" else "LOGGED"


def _tablespace(d: Definition) -> str:
    return quote(d.get("tablespace") or "pg_default")


def _column(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    table, column = split_last(identity)
    if table in schemas.old.get("composite type", {}):
        return [Step(sql=f"ALTER TYPE {table} ALTER ATTRIBUTE {column} TYPE {attribute('', was).strip()}")]
    if any((kind, table) in schemas.changed for kind in VIEWS):
        return []  # with the view's own text
    if (
        was.get("inherited")
        and now.get("inherited")
        and any(("column", f"{parent}.{column}") in schemas.changed for parent in schemas.old_parents(table))
    ):
        return []  # with the parent's
    if was.get("generated") != now.get("generated") or (
        was.get("generated") and was.get("default") != now.get("default")
    ):
        return _generated_column(schemas, identity, was, now)
    return [
        *_column_type(schemas, identity, was, now),
        *(Step(sql=f"{schemas.alter(table)} ALTER COLUMN {column} {text}") for text in column_settings(was, now)),
    ]


def _generated_column(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    table, column = split_last(identity)
    alter = schemas.alter(table)
    if was.get("generated") and now.get("generated") == was.get("generated"):
        return [Step(sql=f"{alter} ALTER COLUMN {column} SET EXPRESSION AS ({bare(was['default'])})")]
    return [
        Step(
            sql=f"{alter} DROP COLUMN IF EXISTS {column}",
            todo=f"column {identity} is made anew: what was generated cannot be altered",
        ),
        Step(sql=f"{alter} ADD COLUMN {column} {column_definition(schemas, table, column, was)}"),
    ]


def _column_type(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    """Type, default, nullability, identity: in one ALTER TABLE, since the table may have to be rewritten."""
    table, column = split_last(identity)
    alter = schemas.alter(table)
    clauses: list[str] = []
    after: list[Step] = []
    todo = None
    retyped = (was["type"], was.get("collation")) != (now["type"], now.get("collation"))
    if now.get("identity") and not was.get("identity"):
        clauses.append("DROP IDENTITY IF EXISTS")
    if now.get("notnull") and not was.get("notnull"):
        clauses.append("DROP NOT NULL")
    if now.get("default") is not None and (
        was.get("default") is None or (retyped and was.get("default") != now.get("default"))
    ):
        clauses.append("DROP DEFAULT")
    if retyped:
        collation = f" COLLATE {was['collation']}" if was.get("collation") else ""
        same = was["type"] == now["type"]
        using = (
            "" if same or alter.startswith("ALTER FOREIGN") else f" USING {converted(column, now['type'], was['type'])}"
        )
        clauses.append(f"TYPE {was['type']}{collation}{using}")
        if not same:
            todo = f"check that every value of {identity} fits {was['type']} again"
    if was.get("default") is not None and was.get("default") != now.get("default"):
        clauses.append(f"SET DEFAULT {was['default']}")
    if was.get("notnull") and not now.get("notnull"):
        clauses.append("SET NOT NULL")
        todo = todo or f"fails where {identity} is null by now"
        after += not_null_name(schemas, table, column)
    if was.get("identity") and was.get("identity") != now.get("identity"):
        if now.get("identity"):
            clauses.append(f"SET GENERATED {generated_when(was)}")
        else:
            sql = f"{alter} ALTER COLUMN {column} ADD {identity_clause(schemas, table, column, was)}"
            after.append(Step(sql=sql, todo=f"the identity of {identity} starts anew: set its sequence with setval()"))
    if clauses:
        return [
            Step(sql=f"{alter} {', '.join(f'ALTER COLUMN {column} {clause}' for clause in clauses)}", todo=todo),
            *after,
        ]
    return after


def _constraint(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    table, name = split_table(identity)
    if was.get("local") is False or (is_not_null(was) and was["def"] == now["def"]):
        return []  # with the parent's, or with its column
    if {key for key in {**was, **now} if was.get(key) != now.get(key)} <= {"local"}:
        return []
    text = was["def"]
    if text.startswith("FOREIGN KEY") and _DEFERRABLE.sub("", text) == _DEFERRABLE.sub("", now["def"]):
        kept = (
            "DEFERRABLE INITIALLY DEFERRED"
            if "INITIALLY DEFERRED" in text
            else "DEFERRABLE"
            if " DEFERRABLE" in text
            else "NOT DEFERRABLE"
        )
        return [Step(sql=f"{schemas.alter(table)} ALTER CONSTRAINT {name} {kept}")]
    return [
        *drop_steps(schemas, "constraint", identity, now),
        Step(sql=f"{schemas.alter(table)} ADD CONSTRAINT {name} {text}"),
    ]


def _sequence(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    found: list[Step] = []
    if was.get("persistence") != now.get("persistence"):
        found.append(Step(sql=f"ALTER SEQUENCE {identity} SET {_logged(was)}"))
    changes = sequence_options(was["sequence"], now["sequence"])
    if was.get("owned_by", "") != now.get("owned_by", "") and not is_of_identity(now) and not is_of_identity(was):
        changes += f" OWNED BY {owning_column(was) or 'NONE'}"
    if changes:
        found.append(Step(sql=f"ALTER SEQUENCE {identity}{changes}"))
    return found


# -- views -------------------------------------------------------------------------------------------------------------


def _view(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    if was.get("query") == now.get("query") and was.get("columns") == now.get("columns"):
        return [
            Step(sql=f"ALTER VIEW {identity} {text}")
            for text in option_changes(options(was.get("options")), options(now.get("options")))
        ]
    if _has_same_columns(schemas, identity, was, now):
        return [Step(sql=f"CREATE OR REPLACE VIEW {identity}{with_options(was.get('options'))} AS\n{query(was)}")]
    rest = _views_on(schemas, identity)
    found = [step for kind, other in reversed(rest) for step in drop_steps(schemas, kind, other, {})]
    found += [*drop_steps(schemas, "view", identity, now), *_anew(schemas, "view", identity, was)]
    for kind, other in rest:
        found += _anew(schemas, kind, other, schemas.old[kind][other])
    return found


def _materialized_view(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    kind = "materialized view"
    if was.get("query") == now.get("query"):
        return _table(schemas, identity, was, now)
    if was.get("columns") != now.get("columns") or schemas.old_columns.get(identity) is None:
        return [by_hand(kind, identity, "was changed")]
    return [*drop_steps(schemas, kind, identity, now), *_anew(schemas, kind, identity, was)]


def _has_same_columns(schemas: Schemas, identity: str, was: Definition, now: Definition) -> bool:
    def types(schema: Objects, names: Iterable[str]) -> list[Any]:
        columns = {
            unquoted(split_last(other)[1]): d
            for other, d in schema.get("column", {}).items()
            if split_last(other)[0] == identity
        }
        return [(columns[name]["type"], columns[name].get("collation")) for name in names]

    names = was.get("columns") or []
    return names == (now.get("columns") or []) and types(schemas.old, names) == types(schemas.new, names)


def _views_on(schemas: Schemas, identity: str) -> list[Key]:
    """Views that name this one, directly or through others, in the order in which they can be made; those that were there before and are there now."""
    found: dict[Key, Definition] = {}
    looking = [identity]
    while looking:
        word = naming(looking.pop())
        for kind in VIEWS:
            for other, d in schemas.old.get(kind, {}).items():
                if (
                    other != identity
                    and (kind, other) not in found
                    and word.search(d.get("query", ""))
                    and other in schemas.new.get(kind, {})
                ):
                    found[kind, other] = d
                    looking.append(other)
    return in_order(found)


# -- what stands on a table --------------------------------------------------------------------------------------------


def _index(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    table, (_, name) = was["on"], split_last(identity)
    found: list[Step] = []
    if was.get("constraint") != now.get("constraint") or was["def"] != now["def"]:
        if was.get("constraint") == now.get("constraint") and _INDEX_OPTIONS.sub("", was["def"]) == _INDEX_OPTIONS.sub(
            "", now["def"]
        ):
            found += [
                Step(sql=f"ALTER INDEX {identity} {text}")
                for text in option_changes(_index_options(was), _index_options(now))
            ]
        elif was.get("constraint"):
            return [by_hand("index", identity, "was changed")]
        else:
            if not now.get("constraint"):  # which was dropped before, and took it along
                found += drop_steps(schemas, "index", identity, now)
            found += create_steps(schemas, "index", identity, was)
    if was.get("clustered") != now.get("clustered"):
        others = any(d["on"] == table and d.get("clustered") for d in schemas.old.get("index", {}).values())
        if was.get("clustered"):
            found.append(Step(sql=f"ALTER TABLE {table} CLUSTER ON {name}"))
        elif not others:
            found.append(Step(sql=f"ALTER TABLE {table} SET WITHOUT CLUSTER"))
    if was.get("replident") and not now.get("replident"):
        found.append(Step(sql=f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}"))
    if was.get("tablespace") != now.get("tablespace"):
        found.append(Step(sql=f"ALTER INDEX {identity} SET TABLESPACE {_tablespace(was)}"))
    before, after = (dict(map(tuple, d.get("col_stats") or ())) for d in (was, now))
    for number in {**before, **after}:
        if before.get(number) != after.get(number):
            found.append(
                Step(sql=f"ALTER INDEX {identity} ALTER COLUMN {number} SET STATISTICS {before.get(number, -1)}")
            )
    return found


def _index_options(d: Definition) -> dict[str, str]:
    found = _INDEX_OPTIONS.search(d["def"])
    return {name: value.strip("'") for name, value in options(found[1].split(", ") if found else ()).items()}


def _trigger(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    found: list[Step] = []
    if was["def"] != now["def"]:
        if was["def"].startswith("CREATE TRIGGER") and now["def"].startswith("CREATE TRIGGER"):
            found.append(Step(sql=was["def"].replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)))
        else:
            found += [*drop_steps(schemas, "trigger", identity, now), Step(sql=was["def"])]
    if was.get("enabled") != now.get("enabled"):
        found.append(Step(sql=firing("TRIGGER", identity, was)))
    return found


def _rule(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    found = []
    if was["def"] != now["def"]:
        found.append(
            Step(sql=was["def"].rstrip().removesuffix(";").replace("CREATE RULE", "CREATE OR REPLACE RULE", 1))
        )
    if was.get("enabled") != now.get("enabled"):
        found.append(Step(sql=firing("RULE", identity, was)))
    return found


def _policy(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    table, name = split_table(identity)
    same_kind = (was["cmd"], was.get("permissive")) == (now["cmd"], now.get("permissive"))
    if same_kind and all(was.get(part) or not now.get(part) for part in ("using", "check")):
        return [Step(sql=f"ALTER POLICY {name} ON {table}{policy_rest(was, always=True)}")]
    return [
        *drop_steps(schemas, "policy", identity, now),
        *create_steps(schemas, "policy", identity, was),
        *_same_comments(schemas, "policy", identity),
    ]


def _statistics(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    if was["def"] != now["def"]:
        return [*drop_steps(schemas, "statistics", identity, now), *create_steps(schemas, "statistics", identity, was)]
    if was.get("target") != now.get("target"):
        return [Step(sql=f"ALTER STATISTICS {identity} SET STATISTICS {was.get('target', -1)}")]
    return []


# -- types and routines ------------------------------------------------------------------------------------------------


def _domain(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    before, after = was["domain"], now["domain"]
    found = []
    if before.get("default") != after.get("default"):
        text = f"SET DEFAULT {before['default']}" if before.get("default") is not None else "DROP DEFAULT"
        found.append(Step(sql=f"ALTER DOMAIN {identity} {text}"))
    if before.get("notnull") != after.get("notnull"):
        found.append(Step(sql=f"ALTER DOMAIN {identity} {'SET' if before['notnull'] else 'DROP'} NOT NULL"))
    return found


def _enum(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    before, after = was.get("labels") or [], now.get("labels") or []
    more = [label for label in after if label not in before]
    if before == after:
        return []
    return [
        Step(
            todo=(
                f"{identity} keeps {', '.join(literal(label) for label in more)}: PostgreSQL cannot take a value out of"
                " an enum"
            )
        )
    ]


def _routine(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    if was.get("def") == now.get("def"):
        return []
    heads, returns = ([pattern.search(d["def"]) for d in (was, now)] for pattern in (_ROUTINE_HEAD, _RETURNS))
    one, other = heads
    if one and other and one[0] == other[0] and len({found and found[1] for found in returns}) == 1:
        return [Step(sql=was["def"].rstrip())]
    # CREATE OR REPLACE takes away no default and renames no argument
    kind = "procedure" if was["def"].startswith("CREATE OR REPLACE PROCEDURE") else "function"
    return [*drop_steps(schemas, kind, identity, now), *_anew(schemas, kind, identity, was)]


# -- events, extensions, foreign data, publications --------------------------------------------------------------------


def _event_trigger(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    return (
        [Step(sql=f"ALTER EVENT TRIGGER {identity} {ENABLED[was['enabled']]}")]
        if was.get("enabled") != now.get("enabled")
        else []
    )


def _extension(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    found = []
    if was.get("schema") != now.get("schema"):
        found.append(Step(sql=f"ALTER EXTENSION {identity} SET SCHEMA {was['schema']}"))
    if was.get("version") != now.get("version"):
        text = f"ALTER EXTENSION {identity} UPDATE TO {literal(was['version'])}"
        found.append(Step(todo=f"{text}: only some extensions can go back to an older version"))
    return found


def _server(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    found = []
    if was.get("version") != now.get("version") and was.get("version"):
        found.append(Step(sql=f"ALTER SERVER {identity} VERSION {literal(was['version'])}"))
    before, after = options(was.get("options")), options(now.get("options"))
    parts = [f"DROP {name}" for name in after if name not in before]
    parts += [
        f"{'SET' if name in after else 'ADD'} {name} {literal(value)}"
        for name, value in before.items()
        if after.get(name) != value
    ]
    if parts:
        found.append(Step(sql=f"ALTER SERVER {identity} OPTIONS ({', '.join(parts)})"))
    return found


def _publication(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    found = []
    if publish(was) != publish(now):
        found.append(Step(sql=f"ALTER PUBLICATION {identity} SET ({publish(was)})"))
    before = published(was)
    if before != published(now):
        found.append(
            Step(
                sql=f"ALTER PUBLICATION {identity} "
                + (f"SET {before}" if before else f"DROP {published(now, names_only=True)}")
            )
        )
    return found


_ALTER: dict[str, Callable[[Schemas, str, Definition, Definition], list[Step]]] = {
    "table": _table,
    "partitioned table": _table,
    "foreign table": _table,
    "column": _column,
    "constraint": _constraint,
    "sequence": _sequence,
    "view": _view,
    "materialized view": _materialized_view,
    "index": _index,
    "trigger": _trigger,
    "rule": _rule,
    "policy": _policy,
    "statistics": _statistics,
    "domain": _domain,
    "enum": _enum,
    "function": _routine,
    "procedure": _routine,
    "event trigger": _event_trigger,
    "extension": _extension,
    "server": _server,
    "publication": _publication,
}
