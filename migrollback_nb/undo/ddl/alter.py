"""ALTER: what brings an object back to an earlier definition, or creates it again where nothing else can. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from migrollback_nb.core.object_names import split_last, unquoted
from migrollback_nb.undo.ddl import alter_table
from migrollback_nb.undo.ddl.clauses import (
    ENABLED,
    foreign_changes,
    needs_extensions,
    option_changes,
    options,
    publish,
    published,
    query,
    with_options,
    without_secrets,
)
from migrollback_nb.undo.ddl.create import owner_to
from migrollback_nb.undo.ddl.create_again import create_again
from migrollback_nb.undo.ddl.drop import drop_steps
from migrollback_nb.undo.ddl.objects import (
    VIEWS,
    Definition,
    Key,
    Objects,
    Stage,
    Step,
    by_hand,
)
from migrollback_nb.undo.ddl.order import in_order, naming
from migrollback_nb.undo.ddl.quoting import literal
from migrollback_nb.undo.ddl.recreate_enum import recreate_enum
from migrollback_nb.undo.ddl.states import Schemas

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
    found += [*drop_steps(schemas, "view", identity, now), *create_again(schemas, "view", identity, was)]
    for kind, other in rest:
        found += create_again(schemas, kind, other, schemas.old[kind][other])
    return found


def _materialized_view(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    kind = "materialized view"
    if was.get("query") == now.get("query"):
        return [
            *alter_table.alter_table(schemas, identity, was, now),
            *needs_extensions(f"MATERIALIZED VIEW {identity}", was, now),
        ]
    if was.get("columns") != now.get("columns") or schemas.old_columns.get(identity) is None:
        return [by_hand(kind, identity, "was changed")]
    return [*drop_steps(schemas, kind, identity, now), *create_again(schemas, kind, identity, was)]


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
    """Views of both states that name this one, directly or through others, in the order to create them in."""
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


def _enum(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    before, after = was.get("labels") or [], now.get("labels") or []
    more = [label for label in after if label not in before]
    if before == after:
        return []
    again = recreate_enum(schemas, identity, was, more)
    if again is not None:
        return again
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
        return needs_extensions(f"ROUTINE {identity}", was, now)
    heads, returns = ([pattern.search(d["def"]) for d in (was, now)] for pattern in (_ROUTINE_HEAD, _RETURNS))
    one, other = heads
    if one and other and one[0] == other[0] and len({found and found[1] for found in returns}) == 1:
        return [Step(sql=was["def"].rstrip())]
    # CREATE OR REPLACE takes away no default and renames no argument
    kind = "procedure" if was["def"].startswith("CREATE OR REPLACE PROCEDURE") else "function"
    return [*drop_steps(schemas, kind, identity, now), *create_again(schemas, kind, identity, was)]


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
    if changes := foreign_changes(was.get("options"), now.get("options")):
        found.append(Step(sql=f"ALTER SERVER {identity} {changes}"))
    return found


def _foreign_data_wrapper(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    changes = foreign_changes(was.get("options"), now.get("options"))
    same = {name for name in {**was, **now} if was.get(name) != now.get(name)} <= {"options", "owner"}
    if not same:
        return [by_hand("foreign data wrapper", identity, "was changed")]
    return [Step(sql=f"ALTER FOREIGN DATA WRAPPER {identity} {changes}")] if changes else []


def _user_mapping(_: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    server, user = identity.split(" for ", 1)
    changes = foreign_changes(without_secrets(was), without_secrets(now))
    whose = f"ALTER USER MAPPING FOR {user} SERVER {server}"
    if changes:
        return [Step(sql=f"{whose} {changes}")]
    return [Step(todo=f"{whose}: bring its secret options back by hand: they are not kept")]


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
    "view": _view,
    "materialized view": _materialized_view,
    "domain": _domain,
    "enum": _enum,
    "function": _routine,
    "procedure": _routine,
    "event trigger": _event_trigger,
    "extension": _extension,
    "server": _server,
    "foreign data wrapper": _foreign_data_wrapper,
    "user mapping": _user_mapping,
    "publication": _publication,
    **alter_table.ALTER,
}
