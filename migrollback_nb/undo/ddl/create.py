"""CREATE: what makes an object anew out of its definition, and what can be said of it only once all is there. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from migrollback_nb.core.object_names import NAME, quote, split_last, split_table
from migrollback_nb.undo.ddl.clauses import (
    ENABLED,
    attribute,
    firing,
    foreign_options,
    new_sequence,
    option_list,
    options,
    policy_rest,
    publish,
    published,
    query,
    sequence_options,
    with_options,
)
from migrollback_nb.undo.ddl.columns import column_definition, column_settings, not_null_name
from migrollback_nb.undo.ddl.objects import TABLES, VIEWS, Definition, is_not_null, keyword, owning_column
from migrollback_nb.undo.ddl.quoting import literal, operator_call
from migrollback_nb.undo.ddl.states import Schemas
from migrollback_nb.undo.ddl.steps import Step, by_hand, once_all_is_there

#: What has no owner of its own, or cannot be given another.
_NOT_OWNED = frozenset({"column", "index", "constraint", "trigger", "rule", "policy", "extension"})
#: What the catalogs call the functions and values of an aggregate, and what SQL does.
_AGGREGATE_FUNCTIONS = (
    ("aggfinalfn", "FINALFUNC"),
    ("aggcombinefn", "COMBINEFUNC"),
    ("aggserialfn", "SERIALFUNC"),
    ("aggdeserialfn", "DESERIALFUNC"),
    ("aggmtransfn", "MSFUNC"),
    ("aggminvtransfn", "MINVFUNC"),
    ("aggmfinalfn", "MFINALFUNC"),
)
_AGGREGATE_VALUES = (("agginitval", "INITCOND"), ("aggminitval", "MINITCOND"))


def create_steps(schemas: Schemas, kind: str, identity: str, d: Definition) -> list[Step]:
    """Make an object anew."""
    create = _CREATE.get(kind)
    if create is None:
        return [by_hand(kind, identity, "was dropped")]
    found = create(schemas, identity, d)
    if kind not in _NOT_OWNED and d.get("owner") not in (None, schemas.role):
        found.append(Step(sql=owner_to(schemas, kind, identity, d)))
    return found


def owner_to(schemas: Schemas, kind: str, identity: str, d: Definition) -> str:
    """Give an object to its owner."""
    return f"ALTER {keyword(kind)} {identity} OWNER TO {schemas.role_name(d['owner'])}"


# -- schemas, extensions, types ----------------------------------------------------------------------------------------


def _schema(_: Schemas, identity: str, __: Definition) -> list[Step]:
    return [Step(sql=f"CREATE SCHEMA {identity}")]


def _extension(_: Schemas, identity: str, d: Definition) -> list[Step]:
    schema = d.get("schema")
    placed = f" WITH SCHEMA {schema}" if schema and schema != "pg_catalog" else ""
    return [Step(sql=f"CREATE EXTENSION IF NOT EXISTS {identity}{placed}")]


def _enum(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [
        Step(sql=f"CREATE TYPE {identity} AS ENUM ({', '.join(literal(label) for label in d.get('labels') or ())})")
    ]


def _range(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [Step(sql=f"CREATE TYPE {identity} AS RANGE (SUBTYPE = {d['range']['sub']})")]


def _composite_type(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    columns = schemas.old_columns.get(identity, {})
    return [
        Step(
            sql=f"CREATE TYPE {identity} AS ({', '.join(attribute(*columns[name]) for name in d.get('columns') or ())})"
        )
    ]


def _domain(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    domain = d["domain"]
    text = f"CREATE DOMAIN {identity} AS {domain['base']}"
    if domain.get("default") is not None:
        text += f" DEFAULT {domain['default']}"
    if domain.get("notnull"):
        text += " NOT NULL"
    for other, constraint in schemas.old.get("domain constraint", {}).items():
        on, name = split_table(other)
        if on == identity and not is_not_null(constraint):
            text += f" CONSTRAINT {name} {constraint['def']}"
    return [Step(sql=text)]


def _domain_constraint(_: Schemas, identity: str, d: Definition) -> list[Step]:
    domain, name = split_table(identity)
    return [] if is_not_null(d) else [Step(sql=f"ALTER DOMAIN {domain} ADD CONSTRAINT {name} {d['def']}")]


# -- routines and operators --------------------------------------------------------------------------------------------


def _routine(_: Schemas, __: str, d: Definition) -> list[Step]:
    return [Step(sql=d["def"].rstrip())]


def _aggregate(_: Schemas, identity: str, d: Definition) -> list[Step]:
    agg = d["agg"]
    if agg.get("aggkind", "n") != "n":
        return [by_hand("aggregate", identity, "was dropped")]
    parts = [f"SFUNC = {agg['aggtransfn']}", f"STYPE = {agg['stype']}"]
    parts += [f"{word} = {agg[field]}" for field, word in _AGGREGATE_FUNCTIONS if agg.get(field) not in (None, "-")]
    if agg.get("aggmtransfn") not in (None, "-"):
        parts.append(f"MSTYPE = {agg['mstype']}")
    parts += [f"{word} = {literal(agg[field])}" for field, word in _AGGREGATE_VALUES if agg.get(field) is not None]
    if agg.get("sortop") not in (None, "0", "-"):
        parts.append(f"SORTOP = {operator_call(agg['sortop'])}")
    if agg.get("parallel") in ("s", "r"):
        parts.append(f"PARALLEL = {'SAFE' if agg['parallel'] == 's' else 'RESTRICTED'}")
    if agg.get("aggfinalextra"):
        parts.append("FINALFUNC_EXTRA")
    return [
        Step(sql=f"CREATE AGGREGATE {identity.split('(', maxsplit=1)[0]}({agg['args'] or '*'}) ({', '.join(parts)})")
    ]


def _operator(_: Schemas, identity: str, d: Definition) -> list[Step]:
    found = re.fullmatch(rf"({NAME})\.([^(]+)\((.*),(.*)\)", identity)
    if not found:
        return [by_hand("operator", identity, "was dropped")]
    schema, symbol, left, right = found.groups()
    parts = [
        f"FUNCTION = {d['proc']}",
        *([f"LEFTARG = {left}"] if left not in ("NONE", "-") else []),
        f"RIGHTARG = {right}",
    ]
    parts += [
        f"{word} = {operator_call(d[field])}"
        for field, word in (("com", "COMMUTATOR"), ("neg", "NEGATOR"))
        if d.get(field) not in (None, "0", "-")
    ]
    parts += [
        f"{word} = {d[field]}"
        for field, word in (("rest", "RESTRICT"), ("join", "JOIN"))
        if d.get(field) not in (None, "-")
    ]
    parts += [word for field, word in (("hash", "HASHES"), ("merge", "MERGES")) if d.get(field)]
    return [Step(sql=f"CREATE OPERATOR {schema}.{symbol} ({', '.join(parts)})")]


def _cast(_: Schemas, identity: str, d: Definition) -> list[Step]:
    how = f"WITH FUNCTION {d['func']}" if d.get("func") else "WITH INOUT" if d["method"] == "i" else "WITHOUT FUNCTION"
    context = {"a": " AS ASSIGNMENT", "i": " AS IMPLICIT"}.get(d["context"], "")
    return [Step(sql=f"CREATE CAST {identity} {how}{context}")]


# -- foreign data, events, publications --------------------------------------------------------------------------------


def _foreign_data_wrapper(_: Schemas, identity: str, d: Definition) -> list[Step]:
    handler = f" HANDLER {d['handler']}" if d.get("handler") else ""
    validator = f" VALIDATOR {d['validator']}" if d.get("validator") else ""
    return [Step(sql=f"CREATE FOREIGN DATA WRAPPER {identity}{handler}{validator}{foreign_options(d.get('options'))}")]


def _server(_: Schemas, identity: str, d: Definition) -> list[Step]:
    kind = f" TYPE {literal(d['type'])}" if d.get("type") else ""
    version = f" VERSION {literal(d['version'])}" if d.get("version") else ""
    return [
        Step(
            sql=(
                f"CREATE SERVER {identity}{kind}{version} FOREIGN DATA WRAPPER"
                f" {quote(d['fdw'])}{foreign_options(d.get('options'))}"
            )
        )
    ]


def _user_mapping(_: Schemas, identity: str, __: Definition) -> list[Step]:
    server, user = identity.split(" for ", 1)
    todo = f"fill in the options of the user mapping {identity}: they hold a password and are not kept"
    return [Step(sql=f"CREATE USER MAPPING FOR {user} SERVER {server}", todo=todo)]


def _event_trigger(_: Schemas, identity: str, d: Definition) -> list[Step]:
    tags = f" WHEN TAG IN ({', '.join(literal(tag) for tag in d['tags'])})" if d.get("tags") else ""
    found = [Step(sql=f"CREATE EVENT TRIGGER {identity} ON {d['event']}{tags} EXECUTE FUNCTION {d['func']}")]
    if d.get("enabled", "O") != "O":
        found.append(once_all_is_there(f"ALTER EVENT TRIGGER {identity} {ENABLED[d['enabled']]}"))
    return found


def _publication(_: Schemas, identity: str, d: Definition) -> list[Step]:
    what = " FOR ALL TABLES" if d.get("puballtables") else ""
    parts = published(d)
    return [Step(sql=f"CREATE PUBLICATION {identity}{what}{f' FOR {parts}' if parts else ''} WITH ({publish(d)})")]


# -- tables, their columns and constraints, sequences ------------------------------------------------------------------


def _table(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    return _any_table(schemas, identity, d, todo=f"table {identity} comes back empty: its rows went with it")


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
    alter = f"ALTER TABLE {identity}"
    if d.get("rls"):
        found.append(once_all_is_there(f"{alter} ENABLE ROW LEVEL SECURITY"))
    if d.get("rls_forced"):
        found.append(once_all_is_there(f"{alter} FORCE ROW LEVEL SECURITY"))
    if d.get("replica_identity") in ("f", "n"):
        found.append(
            once_all_is_there(f"{alter} REPLICA IDENTITY {'FULL' if d['replica_identity'] == 'f' else 'NOTHING'}")
        )
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
    lost = None if d.get("generated") else f"column {identity} comes back empty: its values went with it"
    alter = schemas.alter(table)
    add = f"{alter} ADD COLUMN {column}"
    if lost and d.get("notnull") and d.get("default") is None and not d.get("identity"):
        found = [
            Step(sql=f"{add} {column_definition(schemas, table, column, d, not_null=False)}"),
            Step(
                sql=f"{alter} ALTER COLUMN {column} SET NOT NULL",
                todo=f"{lost}. Fill it here, else this fails where the table has rows",
            ),
            *not_null_name(schemas, table, column),
        ]
    else:
        found = [Step(sql=f"{add} {column_definition(schemas, table, column, d)}", todo=lost)]
    return found + _settings(schemas, table, column, d)


def _constraint(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    table, name = split_table(identity)
    with_its_table = any((kind, table) in schemas.dropped for kind in TABLES) and _is_inline(d)
    if is_not_null(d) or with_its_table:
        return []
    return [Step(sql=f"{schemas.alter(table)} ADD CONSTRAINT {name} {d['def']}")]


def _sequence(_: Schemas, identity: str, d: Definition) -> list[Step]:
    sequence = d["sequence"]
    found = [
        Step(
            sql=f"CREATE {_unlogged(d)}SEQUENCE {identity}{sequence_options(sequence, new_sequence(sequence))}",
            todo=f"sequence {identity} starts anew: what it had reached is not kept; set it with setval()",
        )
    ]
    if d.get("owned_by"):
        found.append(once_all_is_there(f"ALTER SEQUENCE {identity} OWNED BY {owning_column(d)}"))
    return found


# -- what stands on a table --------------------------------------------------------------------------------------------


def _index(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    table, (_, name) = d["on"], split_last(identity)
    found = []
    if not d.get("constraint"):
        # of a partitioned table's index the definition says ONLY, whether or not the partitions have it
        text = d["def"].replace(f" ON ONLY {table} ", f" ON {table} ", 1) if d.get("valid", True) else d["def"]
        if schemas.concurrently:
            text = re.sub(
                r"^CREATE (UNIQUE )?INDEX ", lambda unique: f"CREATE {unique[1] or ''}INDEX CONCURRENTLY ", text
            )
        found.append(Step(sql=text))
    if d.get("clustered"):
        found.append(once_all_is_there(f"ALTER TABLE {table} CLUSTER ON {name}"))
    if d.get("replident"):
        found.append(once_all_is_there(f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}"))
    found += [
        once_all_is_there(f"ALTER INDEX {identity} ALTER COLUMN {number} SET STATISTICS {target}")
        for number, target in d.get("col_stats") or ()
    ]
    return found


def _view(schemas: Schemas, identity: str, d: Definition) -> list[Step]:
    found = [Step(sql=f"CREATE VIEW {identity}{with_options(d.get('options'))} AS\n{query(d)}")]
    columns = schemas.old_columns.get(identity, {})
    for name in d.get("columns") or ():
        quoted, column = columns[name]
        if column.get("default") is not None:
            found.append(
                once_all_is_there(f"ALTER VIEW {identity} ALTER COLUMN {quoted} SET DEFAULT {column['default']}")
            )
    return found


def _materialized_view(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [
        Step(
            sql=f"CREATE MATERIALIZED VIEW {identity}{_access_method(d)}{with_options(d.get('options'))} AS\n{query(d)}"
        )
    ]


def _trigger(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [Step(sql=d["def"]), *_firing("TRIGGER", identity, d)]


def _rule(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [Step(sql=d["def"].rstrip().removesuffix(";")), *_firing("RULE", identity, d)]


def _firing(part: str, identity: str, d: Definition) -> list[Step]:
    return [once_all_is_there(firing(part, identity, d))] if d.get("enabled", "O") != "O" else []


def _policy(_: Schemas, identity: str, d: Definition) -> list[Step]:
    table, name = split_table(identity)
    restrictive = "" if d.get("permissive", True) else " AS RESTRICTIVE"
    command = {"r": " FOR SELECT", "a": " FOR INSERT", "w": " FOR UPDATE", "d": " FOR DELETE"}.get(d["cmd"], "")
    return [Step(sql=f"CREATE POLICY {name} ON {table}{restrictive}{command}{policy_rest(d)}")]


def _statistics(_: Schemas, identity: str, d: Definition) -> list[Step]:
    found = [Step(sql=d["def"])]
    if d.get("target") is not None:
        found.append(once_all_is_there(f"ALTER STATISTICS {identity} SET STATISTICS {d['target']}"))
    return found


_CREATE: dict[str, Callable[[Schemas, str, Definition], list[Step]]] = {
    "schema": _schema,
    "extension": _extension,
    "enum": _enum,
    "range": _range,
    "composite type": _composite_type,
    "domain": _domain,
    "domain constraint": _domain_constraint,
    "function": _routine,
    "procedure": _routine,
    "aggregate": _aggregate,
    "operator": _operator,
    "cast": _cast,
    "foreign data wrapper": _foreign_data_wrapper,
    "server": _server,
    "user mapping": _user_mapping,
    "event trigger": _event_trigger,
    "publication": _publication,
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
