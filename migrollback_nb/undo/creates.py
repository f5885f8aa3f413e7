"""What a CREATE statement makes, and how that is dropped. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from migrollback_nb.core.object_names import quote
from migrollback_nb.undo.created import MadeKey
from migrollback_nb.undo.ddl import default_name
from migrollback_nb.undo.parse_tree import (
    OBJECT,
    arguments,
    dotted,
    index_name,
    option,
    relation,
    relation_names,
    role,
    strings,
    types,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A statement that makes one thing."""

    key: MadeKey  #: what it makes
    drop: str  #: what drops it
    what: str  #: in words
    conditional: bool = False  #: IF NOT EXISTS or OR REPLACE: it may have been there
    on: MadeKey | None = None  #: the table that it goes with
    passing: bool = False  #: it is temporary, and gone with the session
    named: bool = True  #: False: PostgreSQL chooses the name
    concurrently: bool = False  #: an index, made without locking its table for long
    more: tuple[MadeKey, ...] = ()  #: further keys by which the same thing is known

    @property
    def name(self) -> str:
        """The name alone, not quoted."""
        return str(self.key[3] if len(self.key) == 4 and self.key[0] != "routine" else self.key[2])


#: Reads a statement; the second argument is the schema in which it makes what has none in its name.
_Reader = Callable[[Any, str], Create | None]


def create_of(kind: str, m: Any, schema: str) -> Create | None:
    """What a CREATE statement makes; None for other statements.

    Parameters
    ----------
    kind : str
        What the parser calls the statement.
    m : message
        The statement.
    schema : str
        In which it makes what has none in its name.
    """
    read = _CREATES.get(kind)
    return None if read is None else read(m, schema)


# -- relations, and what stands on them --------------------------------------------------------------------------------


def table_of(rv: Any, schema: str, *, conditional: bool = False, word: str = "TABLE") -> Create:
    """What makes a relation."""
    name = relation(rv)
    return Create(
        key=_relation_key(rv, schema), drop=f"DROP {word} IF EXISTS {name}", conditional=conditional, what=f"CREATE {word} {name}",
        passing=rv.relpersistence == "t", more=(("type", rv.schemaname or schema, rv.relname),),
    )  # fmt: skip


def _relation_key(rv: Any, schema: str) -> MadeKey:
    return ("relation", rv.schemaname or schema, rv.relname)


def _relation(word: str, field: str, conditional: str) -> _Reader:
    return lambda m, schema: table_of(getattr(m, field), schema, conditional=getattr(m, conditional), word=word)


def _table_as(m: Any, schema: str) -> Create:
    return table_of(
        m.into.rel,
        schema,
        conditional=m.if_not_exists,
        word="MATERIALIZED VIEW" if m.objtype == OBJECT.OBJECT_MATVIEW else "TABLE",
    )


def _foreign_table(m: Any, schema: str) -> Create:
    return table_of(m.base_stmt.relation, schema, conditional=m.base_stmt.if_not_exists, word="FOREIGN TABLE")


def _index(m: Any, schema: str) -> Create:
    name = m.idxname or index_name(m)
    full = dotted([part for part in (m.relation.schemaname, name) if part])
    return Create(
        key=("relation", m.relation.schemaname or schema, name), drop=f"DROP INDEX{' CONCURRENTLY' if m.concurrent else ''} IF EXISTS {full}",
        conditional=m.if_not_exists, on=_relation_key(m.relation, schema), what=f"CREATE INDEX {full}", named=bool(m.idxname), concurrently=m.concurrent,
    )  # fmt: skip


def _on_table(word: str, name_field: str, table_field: str, conditional: str = "") -> _Reader:
    def read(m: Any, schema: str) -> Create:
        name, table = getattr(m, name_field), getattr(m, table_field)
        words = f"{quote(name)} ON {relation(table)}"
        on = _relation_key(table, schema)
        return Create(key=(word.lower(), *on[1:], name), drop=f"DROP {word} IF EXISTS {words}", what=f"CREATE {word} {words}", conditional=_says(m, conditional), on=on)  # fmt: skip

    return read


def _statistics(m: Any, schema: str) -> Create:
    table = m.relations[0].range_var
    names = strings(m.defnames)
    if not names:
        chosen = default_name(table.relname, [e.stats_elem.name or "expr" for e in m.exprs], "stat")
        names = [part for part in (table.schemaname, chosen) if part]
    return Create(
        key=_key("statistics", names, schema), drop=f"DROP STATISTICS IF EXISTS {dotted(names)}", conditional=m.if_not_exists,
        on=_relation_key(table, schema), what=f"CREATE STATISTICS {dotted(names)}", named=bool(m.defnames),
    )  # fmt: skip


# -- what has a name of its own ----------------------------------------------------------------------------------------


def _says(m: Any, field: str) -> bool:
    return bool(field and getattr(m, field))


def _key(kind: str, names: Sequence[str], schema: str) -> MadeKey:
    return (kind, names[-2] if len(names) > 1 else schema, names[-1])


def _plain(word: str, name_field: str, conditional: str = "") -> _Reader:
    def read(m: Any, _: str) -> Create:
        name = getattr(m, name_field)
        return Create(key=(word.lower(), None, name), drop=f"DROP {word} IF EXISTS {quote(name)}", what=f"CREATE {word} {quote(name)}", conditional=_says(m, conditional))  # fmt: skip

    return read


def _in_schema(word: str, name_field: str, *, kind: str | None = None, using: str = "") -> _Reader:
    def read(m: Any, schema: str) -> Create:
        behind = f" USING {quote(getattr(m, using))}" if using else ""
        return _named(word, strings(getattr(m, name_field)), schema, kind=kind, behind=behind)

    return read


def _named(
    word: str,
    names: Sequence[str],
    schema: str,
    *,
    kind: str | None = None,
    behind: str = "",
    conditional: bool = False,
) -> Create:
    name = dotted(names)
    return Create(key=_key(kind or word.lower(), names, schema), drop=f"DROP {word} IF EXISTS {name}{behind}", what=f"CREATE {word} {name}", conditional=conditional)  # fmt: skip


def _composite_type(m: Any, schema: str) -> Create:
    return _named("TYPE", relation_names(m.typevar), schema)


def _routine(word: str, names: Sequence[str], argument_types: str, schema: str, *, conditional: bool) -> Create:
    full = f"{dotted(names)}({argument_types})"
    key = (*_key("routine", names, schema), argument_types)
    return Create(key=key, drop=f"DROP {word} IF EXISTS {full}", what=f"CREATE {word} {full}", conditional=conditional)


def _function(m: Any, schema: str) -> Create:
    word = "PROCEDURE" if m.is_procedure else "FUNCTION"
    return _routine(
        word, strings(m.funcname), arguments(m.parameters, procedure=m.is_procedure), schema, conditional=m.replace
    )


def _user_mapping(m: Any, _: str) -> Create:
    words = f"FOR {role(m.user)} SERVER {quote(m.servername)}"
    return Create(
        key=("user mapping", m.servername, role(m.user)), drop=f"DROP USER MAPPING IF EXISTS {words}", conditional=m.if_not_exists,
        what=f"CREATE USER MAPPING {words}",
    )  # fmt: skip


def _cast(m: Any, _: str) -> Create:
    words = f"({types([m.sourcetype])} AS {types([m.targettype])})"
    return Create(key=("cast", None, words), drop=f"DROP CAST IF EXISTS {words}", what=f"CREATE CAST {words}")


def _transform(m: Any, _: str) -> Create:
    words = f"FOR {types([m.type_name])} LANGUAGE {quote(m.lang)}"
    return Create(
        key=("transform", None, words),
        drop=f"DROP TRANSFORM IF EXISTS {words}",
        conditional=m.replace,
        what=f"CREATE TRANSFORM {words}",
    )


# -- CREATE AGGREGATE, OPERATOR, TYPE, COLLATION, TEXT SEARCH: one statement for the parser ----------------------------


def _define(m: Any, schema: str) -> Create | None:
    names = strings(m.defnames)
    conditional = m.replace or m.if_not_exists
    if m.kind == OBJECT.OBJECT_AGGREGATE:
        return _routine("AGGREGATE", names, _aggregate_arguments(m), schema, conditional=conditional)
    if m.kind == OBJECT.OBJECT_OPERATOR:
        sides = [option(m.definition, side) for side in ("leftarg", "rightarg")]
        operands = ", ".join("NONE" if side is None else types([side.type_name]) for side in sides)
        full = "".join(f"{quote(part)}." for part in names[:-1]) + names[-1]
        return Create(
            key=("operator", None, f"{full}({operands})"),
            drop=f"DROP OPERATOR IF EXISTS {full} ({operands})",
            what=f"CREATE OPERATOR {full}",
        )
    word = _DEFINED.get(m.kind)
    return None if word is None else _named(word, names, schema, conditional=conditional)


def _aggregate_arguments(m: Any) -> str:
    if m.oldstyle:
        base = option(m.definition, "basetype")
        return types([base.type_name]) if base is not None and base.WhichOneof("node") == "type_name" else "*"
    return arguments(m.args[0].list.items if m.args else []) or "*"


_DEFINED = {
    OBJECT.OBJECT_TYPE: "TYPE",
    OBJECT.OBJECT_COLLATION: "COLLATION",
    OBJECT.OBJECT_TSCONFIGURATION: "TEXT SEARCH CONFIGURATION",
    OBJECT.OBJECT_TSDICTIONARY: "TEXT SEARCH DICTIONARY",
    OBJECT.OBJECT_TSPARSER: "TEXT SEARCH PARSER",
    OBJECT.OBJECT_TSTEMPLATE: "TEXT SEARCH TEMPLATE",
}

#: What the parser calls a statement -> what it makes. The words name fields of the statement: the name, the table, what
#: says that it may have been there.
_CREATES: dict[str, _Reader] = {
    "create_stmt": _relation("TABLE", "relation", "if_not_exists"),
    "view_stmt": _relation("VIEW", "view", "replace"),
    "create_seq_stmt": _relation("SEQUENCE", "sequence", "if_not_exists"),
    "create_foreign_table_stmt": _foreign_table,
    "create_table_as_stmt": _table_as,
    "index_stmt": _index,
    "create_trig_stmt": _on_table("TRIGGER", "trigname", "relation", "replace"),
    "create_policy_stmt": _on_table("POLICY", "policy_name", "table"),
    "rule_stmt": _on_table("RULE", "rulename", "relation", "replace"),
    "create_stats_stmt": _statistics,
    "create_function_stmt": _function,
    "define_stmt": _define,
    "create_enum_stmt": _in_schema("TYPE", "type_name"),
    "create_range_stmt": _in_schema("TYPE", "type_name"),
    "composite_type_stmt": _composite_type,
    "create_domain_stmt": _in_schema("DOMAIN", "domainname", kind="type"),
    "create_conversion_stmt": _in_schema("CONVERSION", "conversion_name"),
    "create_op_class_stmt": _in_schema("OPERATOR CLASS", "opclassname", using="amname"),
    "create_op_family_stmt": _in_schema("OPERATOR FAMILY", "opfamilyname", using="amname"),
    "create_cast_stmt": _cast,
    "create_transform_stmt": _transform,
    "create_user_mapping_stmt": _user_mapping,
    "create_extension_stmt": _plain("EXTENSION", "extname", "if_not_exists"),
    "create_event_trig_stmt": _plain("EVENT TRIGGER", "trigname"),
    "create_publication_stmt": _plain("PUBLICATION", "pubname"),
    "create_subscription_stmt": _plain("SUBSCRIPTION", "subname"),
    "create_fdw_stmt": _plain("FOREIGN DATA WRAPPER", "fdwname"),
    "create_foreign_server_stmt": _plain("SERVER", "servername", "if_not_exists"),
    "create_plang_stmt": _plain("LANGUAGE", "plname", "replace"),
    "create_am_stmt": _plain("ACCESS METHOD", "amname"),
    "create_table_space_stmt": _plain("TABLESPACE", "tablespacename"),
    "createdb_stmt": _plain("DATABASE", "dbname"),
    "create_role_stmt": _plain("ROLE", "role"),
}
