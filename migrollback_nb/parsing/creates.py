"""What each CREATE statement creates, in one table: read by who follows objects, and by who drops them again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from migrollback_nb.core.object_names import quote
from migrollback_nb.parsing.default_names import default_name, index_name
from migrollback_nb.parsing.parse_tree import OBJECT, arguments, dotted, option, role, strings, types

#: (space, schema, name); of what stands on a table (space, schema, table, name), and of a routine (space, schema, name,
#: argument types).
ObjectKey = tuple[str | None, ...]
#: Spaces of what is known by its table and its name.
ON_TABLE = frozenset({"trigger", "policy", "rule"})


@dataclass(frozen=True, kw_only=True)
class Create:
    """A statement that creates one object."""

    word: str  #: what SQL calls it, after CREATE and DROP
    kind: str  #: in the words of schema_objects(), as far as the text says it
    space: str  #: among what its name is looked up: relation, type, routine, trigger ...
    name: str  #: without its schema; empty where it is known by what it is for: a cast
    schema: str | None = None  #: None where the text does not say it, or it lies in none
    in_schema: bool = True  #: whether it lies in one
    table: tuple[str | None, str] | None = None  #: schema and name of the table that it stands on
    conditional: bool = False  #: IF NOT EXISTS or OR REPLACE: it may have been there
    temporary: bool = False  #: it is gone with the session
    named: bool = True  #: False: PostgreSQL chooses the name
    concurrently: bool = False  #: an index, created without locking its table for long
    parameters: Sequence[Any] | None = None  #: of a function or procedure, as the parser has them
    # types take the deparser, which is slow: they are written when they are asked for
    signature: Callable[[], str] | None = None  #: writes the argument types by which a routine is known
    suffix: Callable[[], str] = str  #: writes what SQL says behind the name

    @property
    def text(self) -> str:
        """How SQL names it, behind the word."""
        if self.space in ON_TABLE and self.table is not None:
            return f"{quote(self.name)} ON {dotted([part for part in self.table if part])}"
        name = dotted([part for part in (self.schema, self.name) if part])
        return f"{name}({self.signature()})" if self.signature is not None else f"{name}{self.suffix()}"

    @property
    def drop(self) -> str:
        """The statement that drops it."""
        return f"DROP {self.word}{' CONCURRENTLY' if self.concurrently else ''} IF EXISTS {self.text}"

    @property
    def what(self) -> str:
        """The statement in a few words."""
        return f"CREATE {self.word} {self.text}"

    def keys(self, schema: str) -> tuple[ObjectKey, ...]:
        """Under which keys it is known, the first being its own; schema: where it lies if the text does not say it."""
        if self.space in ON_TABLE and self.table is not None:
            return ((self.space, self.table[0] or schema, self.table[1], self.name),)
        place = self.schema or schema if self.in_schema else None
        if self.signature is not None:
            return ((self.space, place, self.name, self.signature()),)
        own = (self.space, place, self.name or self.text)
        # every relation but an index has a type of its rows
        return (own, ("type", *own[1:])) if self.space == "relation" and self.kind != "index" else (own,)

    def table_key(self, schema: str) -> ObjectKey | None:
        """Under which key the table is known that it stands on; None where it stands on none."""
        return None if self.table is None else ("relation", self.table[0] or schema, self.table[1])


#: Reads a statement of one kind.
_Reader = Callable[[Any], Create | None]


def create_of(kind: str, statement: Any) -> Create | None:
    """What a CREATE statement creates; None for other statements.

    Parameters
    ----------
    kind : str
        What the parser calls the statement.
    statement : message
        The statement.
    """
    read = _CREATES.get(kind)
    return None if read is None else read(statement)


# -- relations, and what stands on them --------------------------------------------------------------------------------


def create_of_relation(relation: Any, *, word: str = "TABLE", kind: str | None = None, conditional: bool) -> Create:
    """What creates a relation of this name, in whichever statement it stands."""
    return Create(
        word=word,
        kind=kind or word.lower(),
        space="relation",
        schema=relation.schemaname or None,
        name=relation.relname,
        conditional=conditional,
        temporary=relation.relpersistence == "t",
    )


def _relation(word: str, field: str, conditional: str) -> _Reader:
    return lambda s: create_of_relation(getattr(s, field), word=word, conditional=getattr(s, conditional))


def _table(s: Any) -> Create:
    kind = "partitioned table" if s.HasField("partspec") else "table"
    return create_of_relation(s.relation, kind=kind, conditional=s.if_not_exists)


def _table_as(s: Any) -> Create:
    word = "MATERIALIZED VIEW" if s.objtype == OBJECT.OBJECT_MATVIEW else "TABLE"
    return create_of_relation(s.into.rel, word=word, conditional=s.if_not_exists)


def _foreign_table(s: Any) -> Create:
    return create_of_relation(s.base_stmt.relation, word="FOREIGN TABLE", conditional=s.base_stmt.if_not_exists)


def _of(relation: Any) -> tuple[str | None, str]:
    return relation.schemaname or None, relation.relname


def _index(s: Any) -> Create:
    table = _of(s.relation)
    return Create(
        word="INDEX",
        kind="index",
        space="relation",
        schema=table[0],
        name=s.idxname or index_name(s),
        table=table,
        conditional=s.if_not_exists,
        named=bool(s.idxname),
        concurrently=s.concurrent,
    )


def _on_table(word: str, name: str, table: str, conditional: str = "") -> _Reader:
    kind = word.lower()
    return lambda s: Create(
        word=word,
        kind=kind,
        space=kind,
        name=getattr(s, name),
        table=_of(getattr(s, table)),
        conditional=_says(s, conditional),
    )


def _statistics(s: Any) -> Create:
    table = _of(s.relations[0].range_var)
    names = strings(s.defnames)
    if not names:
        columns = [element.stats_elem.name or "expr" for element in s.exprs]
        names = [part for part in (table[0], default_name(table[1], columns, "stat")) if part]
    return _named("STATISTICS", names, table=table, conditional=s.if_not_exists, named=bool(s.defnames))


# -- what has a name of its own ----------------------------------------------------------------------------------------


def _says(s: Any, field: str) -> bool:
    return bool(field and getattr(s, field))


def _outside_schemas(word: str, name: str, conditional: str = "") -> _Reader:
    kind = word.lower()
    return lambda s: Create(
        word=word, kind=kind, space=kind, name=getattr(s, name), in_schema=False, conditional=_says(s, conditional)
    )


def _named(
    word: str, names: Sequence[str], *, kind: str | None = None, space: str | None = None, **more: Any
) -> Create:
    """What has a name in a schema."""
    return Create(
        word=word,
        kind=kind or word.lower(),
        space=space or word.lower(),
        schema=names[-2] if len(names) > 1 else None,
        name=names[-1] if names else "",
        **more,
    )


def _in_schema(word: str, name: str, *, kind: str | None = None, space: str | None = None, using: str = "") -> _Reader:
    def read(s: Any) -> Create:
        method = getattr(s, using) if using else ""
        suffix = (lambda: f" USING {quote(method)}") if using else str
        return _named(word, strings(getattr(s, name)), kind=kind, space=space, suffix=suffix)

    return read


def _schema(s: Any) -> Create:
    # without a name it has that of the role; which one CURRENT_USER is, the text does not say
    name = s.schemaname or s.authrole.rolename
    return Create(
        word="SCHEMA",
        kind="schema",
        space="schema",
        name=name,
        in_schema=False,
        conditional=s.if_not_exists,
        suffix=str if name else lambda: role(s.authrole),
    )


def _composite_type(s: Any) -> Create:
    return _named("TYPE", [part for part in _of(s.typevar) if part], kind="composite type")


# -- what has arguments or operands ------------------------------------------------------------------------------------


def _function(s: Any) -> Create:
    word = "PROCEDURE" if s.is_procedure else "FUNCTION"
    return _named(
        word,
        strings(s.funcname),
        space="routine",
        conditional=s.replace,
        parameters=s.parameters,
        signature=lambda: arguments(s.parameters, procedure=s.is_procedure),
    )


def _unnamed(word: str, text: Callable[[], str], *, conditional: bool = False) -> Create:
    """What is known by what it is for."""
    kind = word.lower()
    return Create(word=word, kind=kind, space=kind, name="", in_schema=False, conditional=conditional, suffix=text)


def _user_mapping(s: Any) -> Create:
    return _unnamed(
        "USER MAPPING", lambda: f"FOR {role(s.user)} SERVER {quote(s.servername)}", conditional=s.if_not_exists
    )


def _cast(s: Any) -> Create:
    return _unnamed("CAST", lambda: f"({types([s.sourcetype])} AS {types([s.targettype])})")


def _transform(s: Any) -> Create:
    return _unnamed("TRANSFORM", lambda: f"FOR {types([s.type_name])} LANGUAGE {quote(s.lang)}", conditional=s.replace)


# -- CREATE AGGREGATE, OPERATOR, TYPE, COLLATION, TEXT SEARCH: one statement for the parser ----------------------------


def _define(s: Any) -> Create | None:
    conditional = s.replace or s.if_not_exists
    if s.kind == OBJECT.OBJECT_AGGREGATE:
        return _named(
            "AGGREGATE",
            strings(s.defnames),
            space="routine",
            conditional=conditional,
            signature=lambda: _aggregate_arguments(s),
        )
    if s.kind == OBJECT.OBJECT_OPERATOR:
        return _unnamed("OPERATOR", lambda: _operator(s))
    word = _DEFINED.get(s.kind)
    if word is None:
        return None
    kind = "base type" if word == "TYPE" else None
    return _named(word, strings(s.defnames), kind=kind, conditional=conditional)


def _aggregate_arguments(s: Any) -> str:
    if s.oldstyle:
        base = option(s.definition, "basetype")
        return types([base.type_name]) if base is not None and base.WhichOneof("node") == "type_name" else "*"
    return arguments(s.args[0].list.items if s.args else []) or "*"


def _operator(s: Any) -> str:
    *schema, sign = strings(s.defnames)
    sides = [option(s.definition, side) for side in ("leftarg", "rightarg")]
    operands = ", ".join("NONE" if side is None else types([side.type_name]) for side in sides)
    return f"{''.join(f'{quote(part)}.' for part in schema)}{sign} ({operands})"


_DEFINED = {
    OBJECT.OBJECT_TYPE: "TYPE",
    OBJECT.OBJECT_COLLATION: "COLLATION",
    OBJECT.OBJECT_TSCONFIGURATION: "TEXT SEARCH CONFIGURATION",
    OBJECT.OBJECT_TSDICTIONARY: "TEXT SEARCH DICTIONARY",
    OBJECT.OBJECT_TSPARSER: "TEXT SEARCH PARSER",
    OBJECT.OBJECT_TSTEMPLATE: "TEXT SEARCH TEMPLATE",
}

#: What the parser calls a statement -> what it creates. The words name fields of the statement: the name, the table,
#: what says that it may have been there.
_CREATES: dict[str, _Reader] = {
    "create_stmt": _table,
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
    "create_enum_stmt": _in_schema("TYPE", "type_name", kind="enum"),
    "create_range_stmt": _in_schema("TYPE", "type_name", kind="range"),
    "composite_type_stmt": _composite_type,
    "create_domain_stmt": _in_schema("DOMAIN", "domainname", space="type"),
    "create_conversion_stmt": _in_schema("CONVERSION", "conversion_name"),
    "create_op_class_stmt": _in_schema("OPERATOR CLASS", "opclassname", using="amname"),
    "create_op_family_stmt": _in_schema("OPERATOR FAMILY", "opfamilyname", using="amname"),
    "create_cast_stmt": _cast,
    "create_transform_stmt": _transform,
    "create_user_mapping_stmt": _user_mapping,
    "create_schema_stmt": _schema,
    "create_extension_stmt": _outside_schemas("EXTENSION", "extname", "if_not_exists"),
    "create_event_trig_stmt": _outside_schemas("EVENT TRIGGER", "trigname"),
    "create_publication_stmt": _outside_schemas("PUBLICATION", "pubname"),
    "create_subscription_stmt": _outside_schemas("SUBSCRIPTION", "subname"),
    "create_fdw_stmt": _outside_schemas("FOREIGN DATA WRAPPER", "fdwname"),
    "create_foreign_server_stmt": _outside_schemas("SERVER", "servername", "if_not_exists"),
    "create_plang_stmt": _outside_schemas("LANGUAGE", "plname", "replace"),
    "create_am_stmt": _outside_schemas("ACCESS METHOD", "amname"),
    "create_table_space_stmt": _outside_schemas("TABLESPACE", "tablespacename"),
    "createdb_stmt": _outside_schemas("DATABASE", "dbname"),
    "create_role_stmt": _outside_schemas("ROLE", "role"),
}
