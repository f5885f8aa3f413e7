"""CREATE: what creates an object again out of its definition, and what can be said only once all exist. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from migrollback_nb.core.object_names import NAME, quote, split_table
from migrollback_nb.undo.ddl import create_rare, create_relation
from migrollback_nb.undo.ddl.clauses import (
    ENABLED,
    attribute,
    foreign_options,
    needs_extensions,
    publish,
    published,
    without_secrets,
)
from migrollback_nb.undo.ddl.objects import (
    Definition,
    Step,
    by_hand,
    is_not_null,
    keyword,
    once_all_exist,
)
from migrollback_nb.undo.ddl.quoting import literal, operator_call
from migrollback_nb.undo.ddl.states import Schemas

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
    """Create an object again."""
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
    known = d["range"]
    parts = [f"SUBTYPE = {known['sub']}"]
    parts += [
        f"{word} = {known[field]}"
        for field, word in (
            ("coll", "COLLATION"),
            ("canon", "CANONICAL"),
            ("diff", "SUBTYPE_DIFF"),
            ("multirange", "MULTIRANGE_TYPE_NAME"),
        )
        if known.get(field) not in (None, "-", '"default"', 'pg_catalog."default"')
    ]
    return [Step(sql=f"CREATE TYPE {identity} AS RANGE ({', '.join(parts)})")]


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
    if domain.get("collation") not in (None, "-", '"default"', 'pg_catalog."default"'):
        text += f" COLLATE {domain['collation']}"
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


def _routine(_: Schemas, identity: str, d: Definition) -> list[Step]:
    return [Step(sql=d["def"].rstrip()), *needs_extensions(f"ROUTINE {identity}", d)]


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


def _user_mapping(_: Schemas, identity: str, d: Definition) -> list[Step]:
    server, user = identity.split(" for ", 1)
    known = without_secrets(d)
    secret = any(option.endswith("=fill this in") for option in known)
    todo = f"fill in the secret options of the user mapping {identity}: they are not kept" if secret else None
    return [Step(sql=f"CREATE USER MAPPING FOR {user} SERVER {server}{foreign_options(known)}", todo=todo)]


def _event_trigger(_: Schemas, identity: str, d: Definition) -> list[Step]:
    tags = f" WHEN TAG IN ({', '.join(literal(tag) for tag in d['tags'])})" if d.get("tags") else ""
    found = [Step(sql=f"CREATE EVENT TRIGGER {identity} ON {d['event']}{tags} EXECUTE FUNCTION {d['func']}")]
    if d.get("enabled", "O") != "O":
        found.append(once_all_exist(f"ALTER EVENT TRIGGER {identity} {ENABLED[d['enabled']]}"))
    return found


def _publication(_: Schemas, identity: str, d: Definition) -> list[Step]:
    what = " FOR ALL TABLES" if d.get("puballtables") else ""
    parts = published(d)
    return [Step(sql=f"CREATE PUBLICATION {identity}{what}{f' FOR {parts}' if parts else ''} WITH ({publish(d)})")]


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
    **create_relation.CREATE,
    **create_rare.CREATE,
}
