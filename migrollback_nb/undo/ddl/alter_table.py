"""ALTER of tables and sequences, with what stands on a table: what brings each back to an earlier definition. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from migrollback_nb.core.object_names import quote, split_last, split_table
from migrollback_nb.undo.ddl.clauses import (
    attribute,
    bare,
    firing,
    foreign_changes,
    needs_extensions,
    option_changes,
    options,
    policy_rest,
    sequence_options,
)
from migrollback_nb.undo.ddl.columns import (
    after_rows,
    column_definition,
    column_settings,
    converted,
    generated_when,
    identity_clause,
    not_null_name,
    own_not_null,
)
from migrollback_nb.undo.ddl.create import create_steps
from migrollback_nb.undo.ddl.create_again import same_comments
from migrollback_nb.undo.ddl.drop import drop_steps
from migrollback_nb.undo.ddl.objects import (
    VIEWS,
    Definition,
    Step,
    by_hand,
    is_not_null,
    is_of_identity,
    owning_column,
)
from migrollback_nb.undo.ddl.states import Schemas

_DEFERRABLE = re.compile(r"( DEFERRABLE| NOT DEFERRABLE| INITIALLY DEFERRED| INITIALLY IMMEDIATE)+")
_INDEX_OPTIONS = re.compile(r" WITH \(([^()]*)\)")


# -- tables and their columns ------------------------------------------------------------------------------------------


def alter_table(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    """Bring a table or materialized view back to what it was, but for its columns."""
    alter = schemas.alter(identity)
    texts = [
        *_inheritance(alter, identity, was, now),
        *(f"{alter} {text}" for text in (*_storage(was, now), *_row_security(was, now))),
    ]
    if was.get("replica_identity") != now.get("replica_identity"):
        kept = {"f": "FULL", "n": "NOTHING", None: "DEFAULT"}.get(was.get("replica_identity"))
        if kept:
            texts.append(f"{alter} REPLICA IDENTITY {kept}")
    found = [Step(sql=text) for text in texts]
    if was.get("foreign") != now.get("foreign"):
        before, after = (d.get("foreign") or {} for d in (was, now))
        changes = foreign_changes(before.get("options"), after.get("options"))
        if before.get("server") == after.get("server") and changes:
            found.append(Step(sql=f"{alter} {changes}"))
        else:
            found.append(by_hand("foreign table", identity, "got another server"))
    return found


def _inheritance(alter: str, identity: str, was: Definition, now: Definition) -> list[str]:
    """The statements that make it a partition or child of the tables that it was one of."""
    texts = []
    if was.get("partition_bound") != now.get("partition_bound"):
        if "partition_bound" in now:
            texts.append(f"ALTER TABLE {now['inherits'][0]} DETACH PARTITION {identity}")
        if "partition_bound" in was:
            texts.append(f"ALTER TABLE {was['inherits'][0]} ATTACH PARTITION {identity} {was['partition_bound']}")
    elif was.get("inherits") != now.get("inherits"):
        before, after = was.get("inherits") or [], now.get("inherits") or []
        texts += [f"{alter} NO INHERIT {parent}" for parent in after if parent not in before]
        texts += [f"{alter} INHERIT {parent}" for parent in before if parent not in after]
    return texts


def _storage(was: Definition, now: Definition) -> list[str]:
    """What follows ALTER TABLE, of where and how it is stored."""
    texts = []
    if was.get("persistence") != now.get("persistence"):
        texts.append(f"SET {_logged(was)}")
    for field, prefix in (("options", ""), ("toast_options", "toast.")):
        texts += option_changes(options(was.get(field)), options(now.get(field)), prefix)
    if was.get("am") != now.get("am") and was.get("am"):
        texts.append(f"SET ACCESS METHOD {was['am']}")
    if was.get("tablespace") != now.get("tablespace"):
        texts.append(f"SET TABLESPACE {_tablespace(was)}")
    if was.get("of") != now.get("of"):
        texts.append(f"OF {was['of']}" if was.get("of") else "NOT OF")
    return texts


def _row_security(was: Definition, now: Definition) -> list[str]:
    """What follows ALTER TABLE, of row level security."""
    texts = []
    if was.get("rls") != now.get("rls"):
        texts.append(f"{'ENABLE' if was.get('rls') else 'DISABLE'} ROW LEVEL SECURITY")
    if was.get("rls_forced") != now.get("rls_forced"):
        texts.append(f"{'FORCE' if was.get('rls_forced') else 'NO FORCE'} ROW LEVEL SECURITY")
    return texts


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
        *(
            Step(sql=f"{schemas.alter(table)} ALTER COLUMN {column} {changes}")
            for changes in filter(None, [foreign_changes(was.get("fdw"), now.get("fdw"))])
        ),
    ]


def _generated_column(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    table, column = split_last(identity)
    alter = schemas.alter(table)
    if was.get("generated") and now.get("generated") == was.get("generated"):
        return [Step(sql=f"{alter} ALTER COLUMN {column} SET EXPRESSION AS ({bare(was['default'])})")]
    return [
        Step(
            sql=f"{alter} DROP COLUMN IF EXISTS {column}",
            todo=f"column {identity} is created anew: what was generated cannot be altered",
        ),
        Step(sql=f"{alter} ADD COLUMN {column} {column_definition(schemas, table, column, was)}"),
    ]


def _column_type(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    """Type, default, nullability, identity: in one ALTER TABLE, since the table may have to be rewritten."""
    table, column = split_last(identity)
    alter = schemas.alter(table)
    retyped = (was["type"], was.get("collation")) != (now["type"], now.get("collation"))
    clauses = _taken_off(was, now, retyped=retyped)
    after: list[Step] = []
    todo = None
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
        own = own_not_null(schemas, table, column)
        if own is None:
            clauses.append("SET NOT NULL")
            after += not_null_name(schemas, table, column)
        else:
            after.append(Step(sql=f"{alter} {own}"))
        if own is None or "NOT VALID" not in own:
            todo = todo or f"fails where {identity} is null by now"
    if was.get("identity") and now.get("identity") not in (None, was["identity"]):
        clauses.append(f"SET GENERATED {generated_when(was)}")
    after += _identity(schemas, identity, was, now)
    if not clauses:
        return after
    listed = ", ".join(f"ALTER COLUMN {column} {clause}" for clause in clauses)
    return [Step(sql=f"{alter} {listed}", todo=todo), *after]


def _identity(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    """Make a column an identity again, that goes on after the values that it holds."""
    if not was.get("identity") or now.get("identity"):
        return []
    table, column = split_last(identity)
    clause = identity_clause(schemas, table, column, was)
    found = [Step(sql=f"{schemas.alter(table)} ALTER COLUMN {column} ADD {clause}")]
    for other, sequence in schemas.old.get("sequence", {}).items():
        if is_of_identity(sequence) and owning_column(sequence) == identity:
            found += after_rows(schemas, other, sequence)
    return found


def _taken_off(was: Definition, now: Definition, *, retyped: bool) -> list[str]:
    """The clauses that take off what the column had not, and a default that stands in the way of another type."""
    clauses = []
    if now.get("identity") and not was.get("identity"):
        clauses.append("DROP IDENTITY IF EXISTS")
    if now.get("notnull") and not was.get("notnull"):
        clauses.append("DROP NOT NULL")
    if now.get("default") is not None and (
        was.get("default") is None or (retyped and was.get("default") != now.get("default"))
    ):
        clauses.append("DROP DEFAULT")
    return clauses


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


# -- what stands on a table --------------------------------------------------------------------------------------------


def _index(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    if was.get("constraint") != now.get("constraint") or was["def"] != now["def"]:
        same = was.get("constraint") == now.get("constraint")
        if same and _INDEX_OPTIONS.sub("", was["def"]) == _INDEX_OPTIONS.sub("", now["def"]):
            changes = option_changes(_index_options(was), _index_options(now))
            found = [Step(sql=f"ALTER INDEX {identity} {text}") for text in changes]
        elif same and _constraint_changes(schemas, identity, was):
            found = []  # with its constraint, which is dropped and created
        elif was.get("constraint"):
            return [by_hand("index", identity, "was changed")]
        else:
            # a constraint that has it now was dropped before, and took it along
            found = [] if now.get("constraint") else drop_steps(schemas, "index", identity, now)
            found += create_steps(schemas, "index", identity, was)
    else:
        found = []
    return found + _index_settings(schemas, identity, was, now)


def _constraint_changes(schemas: Schemas, identity: str, index: Definition) -> bool:
    """Whether the constraint that an index stands for is another one too."""
    of_it = f"{index['on']} {split_last(identity)[1]}"
    was, now = (side.get("constraint", {}).get(of_it) for side in (schemas.old, schemas.new))
    return was is not None and now is not None and was["def"] != now["def"]


def _index_settings(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    """What its definition does not say of an index."""
    table, (_, name) = was["on"], split_last(identity)
    found: list[Step] = []
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
    found += needs_extensions(f"INDEX {identity}", was, now)
    return found + [
        Step(sql=f"ALTER INDEX {identity} ALTER COLUMN {number} SET STATISTICS {before.get(number, -1)}")
        for number in {**before, **after}
        if before.get(number) != after.get(number)
    ]


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
    table, name = split_table(identity)
    return [*found, *needs_extensions(f"TRIGGER {name} ON {table}", was, now)]


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
        *same_comments(schemas, "policy", identity),
    ]


def _statistics(schemas: Schemas, identity: str, was: Definition, now: Definition) -> list[Step]:
    if was["def"] != now["def"]:
        return [*drop_steps(schemas, "statistics", identity, now), *create_steps(schemas, "statistics", identity, was)]
    if was.get("target") != now.get("target"):
        return [Step(sql=f"ALTER STATISTICS {identity} SET STATISTICS {was.get('target', -1)}")]
    return []


ALTER: dict[str, Callable[[Schemas, str, Definition, Definition], list[Step]]] = {
    "table": alter_table,
    "partitioned table": alter_table,
    "foreign table": alter_table,
    "column": _column,
    "constraint": _constraint,
    "sequence": _sequence,
    "index": _index,
    "trigger": _trigger,
    "rule": _rule,
    "policy": _policy,
    "statistics": _statistics,
}
