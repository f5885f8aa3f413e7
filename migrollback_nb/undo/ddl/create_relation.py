"""CREATE of relations: tables with columns and constraints, sequences, views, and what stands on a table. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from migrollback_nb.core.object_names import quote, split_last, split_table
from migrollback_nb.undo.ddl.clauses import (
    attribute,
    firing,
    foreign_options,
    needs_extensions,
    new_sequence,
    option_list,
    options,
    policy_rest,
    query,
    sequence_options,
    with_options,
)
from migrollback_nb.undo.ddl.columns import (
    after_rows,
    column_definition,
    column_settings,
    is_not_valid,
    not_null_name,
    own_not_null,
)
from migrollback_nb.undo.ddl.objects import (
    TABLES,
    VIEWS,
    Definition,
    Step,
    is_not_null,
    is_of_identity,
    once_all_exist,
    owning_column,
)
from migrollback_nb.undo.ddl.stand_in_values import stand_in
from migrollback_nb.undo.ddl.states import Schemas

# -- tables, their columns and constraints, sequences ------------------------------------------------------------------


def _table(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    kept = schemas.kept.get(identity)
    lost = f"table {identity} comes back empty: its rows went with it" if kept is None else None
    found = _any_table(schemas, identity, d, todo=lost)
    if kept is None:
        return found
    for other, sequence in schemas.old.get("sequence", {}).items():
        if is_of_identity(sequence) and split_last(owning_column(sequence))[0] == identity:
            found += after_rows(schemas, other, sequence)
    return [*found, Step(sql=kept)]


def _partitioned_table(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    return _any_table(schemas, identity, d)


def _foreign_table(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    return _any_table(schemas, identity, d, foreign=True)


def _any_table(
    schemas: Schemas, identity: str, d: Definition, *, foreign: bool = False, todo: str | None = None
) -> list[Step]:
    named = schemas.old_columns.get(identity, {})
    columns = [named[name] for name in d.get("columns") or () if not named[name][1].get("inherited")]
    lines = [f"{quoted} {column_definition(schemas, identity, quoted, column)}" for quoted, column in columns]
    for other, constraint in sorted(schemas.old.get("constraint", {}).items()):
        table, name = split_table(other)
        if table == identity and _is_inline(constraint):
            lines.append(f"CONSTRAINT {name} {constraint['def']}")
    word = "FOREIGN TABLE" if foreign else f"{_unlogged(d)}TABLE"
    found = [Step(sql=f"CREATE {word} {identity}{_body(lines, d)}{_table_options(d)}", todo=todo)]
    for quoted, definition in columns:
        found += _settings(schemas, identity, quoted, definition)
        if is_not_valid(schemas, identity, quoted):
            found.append(Step(sql=f"{schemas.alter(identity)} {own_not_null(schemas, identity, quoted)}"))
    found += _own_of_inherited(schemas, identity, named)
    alter = f"ALTER TABLE {identity}"
    if d.get("rls"):
        found.append(once_all_exist(f"{alter} ENABLE ROW LEVEL SECURITY"))
    if d.get("rls_forced"):
        found.append(once_all_exist(f"{alter} FORCE ROW LEVEL SECURITY"))
    if d.get("replica_identity") in ("f", "n"):
        found.append(
            once_all_exist(f"{alter} REPLICA IDENTITY {'FULL' if d['replica_identity'] == 'f' else 'NOTHING'}")
        )
    return found


def _own_of_inherited(schemas: Schemas, identity: str, columns: Mapping[str, tuple[str, Definition]]) -> list[Step]:
    """What a partition or child has of its own in the columns that it has from its parents: defaults and settings."""
    found = []
    for name, (quoted, d) in columns.items():
        if not d.get("inherited"):
            continue
        theirs = [
            schemas.old_columns.get(parent, {}).get(name, ("", {}))[1] for parent in schemas.old_parents(identity)
        ]
        parent = next((other for other in theirs if other), {})
        alter = f"{schemas.alter(identity)} ALTER COLUMN {quoted}"
        if d.get("default") != parent.get("default") and not d.get("generated"):
            what = "DROP DEFAULT" if d.get("default") is None else f"SET DEFAULT {d['default']}"
            found.append(Step(sql=f"{alter} {what}"))
        if d.get("notnull") and not parent.get("notnull"):
            own = own_not_null(schemas, identity, quoted)
            found.append(Step(sql=f"{alter} SET NOT NULL" if own is None else f"{schemas.alter(identity)} {own}"))
            found += not_null_name(schemas, identity, quoted) if own is None else []
        found += [Step(sql=f"{alter} {text}") for text in column_settings(d, parent)]
    return found


def _is_inline(constraint: Definition) -> bool:
    """Whether a constraint goes into the text of its table."""
    later = (
        constraint["def"].startswith("FOREIGN KEY") or is_not_null(constraint) or "NOT ENFORCED" in constraint["def"]
    )
    return not later and constraint.get("local") is not False and bool(constraint.get("validated", True))


def _unlogged(d: Definition) -> str:
    return "UNLOGGED " if d.get("persistence") == "u" else ""


def _body(lines: list[str], d: Definition) -> str:
    """What a table consists of: its columns and constraints, or where it has them from."""
    inherits = d.get("inherits") or []
    inside = ",".join(f"\n    {line}" for line in lines)
    if "partition_bound" in d:
        body = f" PARTITION OF {inherits[0]}" + (f" ({inside}\n)" if inside else "") + f" {d['partition_bound']}"
    elif d.get("of"):
        body = f" OF {d['of']}"
    else:
        body = f" ({inside}\n)" if inside else " ()"
        body += f" INHERITS ({', '.join(inherits)})" if inherits else ""
    return body + (f" PARTITION BY {d['partition_key']}" if d.get("partition_key") else "")


def _table_options(d: Definition) -> str:
    """What follows: where and how a table is kept."""
    text = (
        f" SERVER {quote(d['foreign']['server'])}{foreign_options(d['foreign'].get('options'))}"
        if d.get("foreign")
        else ""
    )
    text += _access_method(d)
    found = [
        listed
        for listed in (option_list(options(d.get("options"))), option_list(options(d.get("toast_options")), "toast."))
        if listed
    ]
    if found:
        text += f" WITH ({', '.join(found)})"
    return text + (f" TABLESPACE {quote(d['tablespace'])}" if d.get("tablespace") else "")


def _access_method(d: Definition) -> str:
    return f" USING {d['am']}" if d.get("am") not in (None, "heap") else ""


def _settings(schemas: Schemas, table: str, quoted: str, d: Definition) -> list[Step]:
    return [Step(sql=f"{schemas.alter(table)} ALTER COLUMN {quoted} {text}") for text in column_settings(d, {})]


def _column(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    table, column = split_last(identity)
    if table in schemas.old.get("composite type", {}):
        return [
            Step(
                sql=f"ALTER TYPE {table} ADD ATTRIBUTE {attribute(column, d)}",
                todo=f"attribute {column} of {table} comes back empty",
            )
        ]
    if any(table in schemas.old.get(kind, {}) for kind in VIEWS):
        return []  # with the view's own text
    kept = schemas.kept.get(identity)
    lost = None if d.get("generated") or kept else f"column {identity} comes back empty: its values went with it"
    alter = schemas.alter(table)
    add = f"{alter} ADD COLUMN {column}"
    if not d.get("generated") and d.get("notnull") and d.get("default") is None and not d.get("identity"):
        found = _without_nulls(schemas, identity, d, kept)
    else:
        found = [Step(sql=f"{add} {column_definition(schemas, table, column, d)}", todo=lost)]
        found += [Step(sql=kept)] if kept else []
    return found + _settings(schemas, table, column, d)


def _without_nulls(schemas: Schemas, identity: str, d: Definition, kept: str | None) -> list[Step]:
    """Add a column that takes no nulls to a table that may have rows: something has to stand in for its values."""
    table, column = split_last(identity)
    add, alter = f"{schemas.alter(table)} ADD COLUMN {column}", f"{schemas.alter(table)} ALTER COLUMN {column}"
    without = column_definition(schemas, table, column, d, not_null=False)
    own = own_not_null(schemas, table, column)
    named = not_null_name(schemas, table, column)
    not_null = (
        [Step(sql=f"{alter} SET NOT NULL"), *named] if own is None else [Step(sql=f"{schemas.alter(table)} {own}")]
    )
    restored = [Step(sql=kept)] if kept else []
    lost = f"column {identity} comes back without its values: put them in"
    if own is not None and "NOT VALID" in own:
        return [Step(sql=f"{add} {without}", todo=None if kept else lost), *restored, *not_null]
    value = None if table in schemas.old.get("foreign table", {}) else stand_in(schemas, identity, d)

    def todo(until_then: str) -> str | None:
        return None if kept else f"{lost}; until then {until_then}"

    if value is None:
        fill = (
            None if kept else f"column {identity} comes back empty. Fill it here, else this fails where there are rows"
        )
        return [Step(sql=f"{add} {without}"), *restored, replace(not_null[0], todo=fill), *not_null[1:]]
    if value.query is not None:
        put_in = f"UPDATE {table} SET {column} = {value.query}"  # noqa: S608  # names of the schema
        there = Step(sql=put_in, todo=todo("it refers to any row"))
        return [Step(sql=f"{add} {without}"), there, *restored, *not_null]
    if value.identity:
        by_number = f"{add} {without} GENERATED BY DEFAULT AS IDENTITY"
        return [
            Step(sql=by_number, todo=todo("it numbers the rows")),
            Step(sql=f"{alter} DROP IDENTITY"),
            *named,
            *restored,
        ]
    whole = column_definition(schemas, table, column, d) if own is None else without
    return [
        Step(sql=f"{add} {whole} DEFAULT {value.default}", todo=todo(f"{value.default} stands in for each")),
        Step(sql=f"{alter} DROP DEFAULT"),
        *restored,
        *(not_null if own is not None else ()),
    ]


def _constraint(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    table, name = split_table(identity)
    with_its_table = any((kind, table) in schemas.dropped for kind in TABLES) and _is_inline(d)
    if is_not_null(d) or with_its_table:
        return []
    return [Step(sql=f"{schemas.alter(table)} ADD CONSTRAINT {name} {d['def']}")]


def _sequence(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    sequence = d["sequence"]
    goes_on = after_rows(schemas, identity, d)
    lost = f"sequence {identity} starts anew: what it had reached is not kept; set it with setval()"
    found = [
        Step(
            sql=f"CREATE {_unlogged(d)}SEQUENCE {identity}{sequence_options(sequence, new_sequence(sequence))}",
            todo=None if goes_on else lost,
        )
    ]
    if d.get("owned_by"):
        found.append(once_all_exist(f"ALTER SEQUENCE {identity} OWNED BY {owning_column(d)}"))
    return [*found, *goes_on]


# -- what stands on a table --------------------------------------------------------------------------------------------


def _index(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    table, (_, name) = d["on"], split_last(identity)
    found: list[Step] = []
    if not d.get("constraint"):
        # of a partitioned table's index the definition says ONLY, whether or not the partitions have it
        text = d["def"].replace(f" ON ONLY {table} ", f" ON {table} ", 1) if d.get("valid", True) else d["def"]
        if schemas.concurrently:
            text = re.sub(
                r"^CREATE (UNIQUE )?INDEX ", lambda unique: f"CREATE {unique[1] or ''}INDEX CONCURRENTLY ", text
            )
        found.append(Step(sql=text))
    if d.get("clustered"):
        found.append(once_all_exist(f"ALTER TABLE {table} CLUSTER ON {name}"))
    if d.get("replident"):
        found.append(once_all_exist(f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}"))
    found += [
        once_all_exist(f"ALTER INDEX {identity} ALTER COLUMN {number} SET STATISTICS {target}")
        for number, target in d.get("col_stats") or ()
    ]
    return [*found, *needs_extensions(f"INDEX {identity}", d)]


def _view(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    found = [Step(sql=f"CREATE VIEW {identity}{with_options(d.get('options'))} AS\n{query(d)}")]
    columns = schemas.old_columns.get(identity, {})
    for name in d.get("columns") or ():
        quoted, column = columns[name]
        if column.get("default") is not None:
            found.append(once_all_exist(f"ALTER VIEW {identity} ALTER COLUMN {quoted} SET DEFAULT {column['default']}"))
    return found


def _materialized_view(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [
        Step(
            sql=f"CREATE MATERIALIZED VIEW {identity}{_access_method(d)}{with_options(d.get('options'))} AS\n{query(d)}"
        ),
        *needs_extensions(f"MATERIALIZED VIEW {identity}", d),
    ]


def _trigger(_: Schemas, identity: str, d: Definition) -> list[Step]:
    table, name = split_table(identity)
    return [
        Step(sql=d["def"]),
        *_firing("TRIGGER", identity, d),
        *needs_extensions(f"TRIGGER {name} ON {table}", d),
    ]


def _rule(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [Step(sql=d["def"].rstrip().removesuffix(";")), *_firing("RULE", identity, d)]


def _firing(part: str, identity: str, d: Definition) -> list[Step]:
    return [once_all_exist(firing(part, identity, d))] if d.get("enabled", "O") != "O" else []


def _policy(_: Schemas, identity: str, d: Definition) -> list[Step]:
    table, name = split_table(identity)
    restrictive = "" if d.get("permissive", True) else " AS RESTRICTIVE"
    command = {"r": " FOR SELECT", "a": " FOR INSERT", "w": " FOR UPDATE", "d": " FOR DELETE"}.get(d["cmd"], "")
    return [Step(sql=f"CREATE POLICY {name} ON {table}{restrictive}{command}{policy_rest(d)}")]


def _statistics(_: Schemas, identity: str, d: Definition) -> list[Step]:
    found = [Step(sql=d["def"])]
    if d.get("target") is not None:
        found.append(once_all_exist(f"ALTER STATISTICS {identity} SET STATISTICS {d['target']}"))
    return found


CREATE: dict[str, Callable[[Schemas, str, Definition], list[Step]]] = {
    "table": _table,
    "partitioned table": _partitioned_table,
    "foreign table": _foreign_table,
    "column": _column,
    "constraint": _constraint,
    "sequence": _sequence,
    "index": _index,
    "view": _view,
    "materialized view": _materialized_view,
    "trigger": _trigger,
    "rule": _rule,
    "policy": _policy,
    "statistics": _statistics,
}
