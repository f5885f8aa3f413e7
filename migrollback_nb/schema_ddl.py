"""Writes the DDL that leads from one state of a schema back to another, out of what schema_objects() tells of both. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: kind -> identity -> definition: a value of schema_snapshot().
Objects = Mapping[str, Mapping[str, Mapping[str, Any]]]
Key = tuple[str, str]

NAME = r'(?:"(?:[^"]|"")*"|[^\s.,()"]+)'
_QUALIFIED = rf"{NAME}\.{NAME}"
_LAST = re.compile(rf"(.*)\.({NAME})", re.DOTALL)
_ON_TABLE = re.compile(rf"({_QUALIFIED}) (.*)", re.DOTALL)
_RELATIONS = frozenset({"table", "partitioned table", "view", "materialized view", "foreign table", "sequence", "composite type"})
_TABLES = frozenset({"table", "partitioned table", "foreign table"})
_TYPES = frozenset({"enum", "domain", "range", "base type", "composite type"})
_ROUTINES = frozenset({"function", "procedure", "aggregate"})
#: What SQL calls a kind, where that is not the kind itself in capitals.
_KEYWORD = {
    "partitioned table": "TABLE",
    "enum": "TYPE",
    "range": "TYPE",
    "base type": "TYPE",
    "composite type": "TYPE",
    "row type": "TYPE",
    "foreign data wrapper": "FOREIGN DATA WRAPPER",
}
#: In this order things are made; the other way round they are dropped. What names another thing comes after it, whatever its place here.
_ORDER = (
    "schema", "extension", "language", "access method", "collation", "enum", "range", "composite type", "domain", "base type", "foreign data wrapper", "server",
    "sequence", "function", "procedure", "aggregate", "operator", "operator family", "operator class", "cast", "transform", "conversion", "text search parser/template",
    "text search dictionary", "text search configuration", "table", "partitioned table", "foreign table", "column", "domain constraint", "constraint", "index", "view",
    "materialized view", "rule", "trigger", "policy", "statistics", "event trigger", "publication", "subscription", "user mapping",
)  # fmt: skip
#: What is made before anything is altered, since what is altered may come to name it.
_MADE_FIRST = frozenset(_ORDER[: _ORDER.index("column")])
#: What is dropped before anything is altered, since it may stand in the way.
_DROPPED_FIRST = frozenset(_ORDER[_ORDER.index("domain constraint") :])
_ENABLED = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_TABLE_RIGHTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"})
#: Which letter pg_default_acl gives a kind, what SQL calls it there, and the rights that the owner and everybody have by default.
_DEFAULT_GRANTS = {
    "r": ("TABLES", _TABLE_RIGHTS | {"MAINTAIN"}, frozenset[str]()),
    "S": ("SEQUENCES", frozenset({"USAGE", "SELECT", "UPDATE"}), frozenset[str]()),
    "f": ("ROUTINES", frozenset({"EXECUTE"}), frozenset({"EXECUTE"})),
    "T": ("TYPES", frozenset({"USAGE"}), frozenset({"USAGE"})),
    "n": ("SCHEMAS", frozenset({"USAGE", "CREATE"}), frozenset[str]()),
    "L": ("LARGE OBJECTS", frozenset({"SELECT", "UPDATE"}), frozenset[str]()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement, or one thing that a person must do."""

    sql: str | None = None  #: without the semicolon; None where there is only something to do
    todo: str | None = None  #: what a person must look after, and why; stands before the statement


def literal(text: str) -> str:
    """Quote a string for SQL."""
    quoted = "'" + text.replace("'", "''") + "'"
    return quoted if "\\" not in text else "E" + quoted.replace("\\", "\\\\")


def unquoted(name: str) -> str:
    """Take the quotes off one identifier."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def split_last(identity: str) -> tuple[str, str]:
    """``schema.table.column`` -> (``schema.table``, ``column``), both still quoted."""
    found = _LAST.fullmatch(identity)
    return (found[1], found[2]) if found else ("", identity)


def _on_table(identity: str) -> tuple[str, str]:
    """``schema.table name`` -> both, still quoted."""
    found = _ON_TABLE.fullmatch(identity)
    return (found[1], found[2]) if found else ("", identity)


def _keyword(kind: str) -> str:
    return _KEYWORD.get(kind, kind.upper())


def _table_of(key: Key, d: Mapping[str, Any]) -> str | None:
    return str(d["on"]) if key[0] == "index" else _on_table(key[1])[0] if key[0] == "constraint" else None


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _options(options: Sequence[str] | None) -> dict[str, str]:
    return dict(option.split("=", 1) for option in options or ())


def _option_list(options: Mapping[str, str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name}={value if re.fullmatch(r'[a-z0-9.]+', value) else literal(value)}" for name, value in options.items())


def _foreign_options(options: Sequence[str] | None) -> str:
    found = _options(options)
    return f" OPTIONS ({', '.join(f'{name} {literal(value)}' for name, value in found.items())})" if found else ""


class _Restorer:
    def __init__(self, old: Objects, new: Objects, *, role: str | None, major: int, concurrently: bool) -> None:
        self.old, self.new, self.role, self.major = old, new, role, major
        self.concurrently = " CONCURRENTLY" if concurrently else ""
        #: What can only be said once all is there.
        self.later: list[Step] = []
        was = {(kind, identity): d for kind, found in old.items() if kind != "row type" for identity, d in found.items()}
        now = {(kind, identity): d for kind, found in new.items() if kind != "row type" for identity, d in found.items()}
        self.created = {key: d for key, d in now.items() if key not in was}
        self.dropped = {key: d for key, d in was.items() if key not in now}
        self.changed = {key: (d, now[key]) for key, d in was.items() if key in now and _differ(key[0], d, now[key])}

    # -- what belongs to what ------------------------------------------------------------------------------------------

    @cached_property
    def _old_columns(self) -> dict[str, dict[str, tuple[str, Mapping[str, Any]]]]:
        found: dict[str, dict[str, tuple[str, Mapping[str, Any]]]] = {}
        for identity, d in self.old.get("column", {}).items():
            table, column = split_last(identity)
            found.setdefault(table, {})[unquoted(column)] = (column, d)
        return found

    @cached_property
    def _old_not_null(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(table, column) -> (name, definition) of not-null constraints, which PostgreSQL 18 lists."""
        found = {}
        for identity, d in self.old.get("constraint", {}).items():
            if d["def"].startswith("NOT NULL "):
                table, name = _on_table(identity)
                column = re.match(NAME, d["def"][9:])
                if column:
                    found[table, column[0]] = (name, d["def"][9 + column.end() :])
        return found

    def _parent(self, kind: str, identity: str, d: Mapping[str, Any]) -> list[Key]:
        """What this goes with when that is dropped."""
        if kind == "column":
            return [(relation, split_last(identity)[0]) for relation in _RELATIONS]
        if kind == "index":
            owner = [("constraint", f"{d['on']} {d['constraint']}")] if d.get("constraint") else []
            return owner + [(relation, d["on"]) for relation in _RELATIONS]
        if kind in ("constraint", "trigger", "rule", "policy"):
            return [(relation, _on_table(identity)[0]) for relation in _RELATIONS]
        if kind == "domain constraint":
            return [("domain", _on_table(identity)[0])]
        if kind == "sequence" and d.get("owned_by"):
            column = d["owned_by"].rsplit(" ", 1)[0]
            return [("column", column), *((relation, split_last(column)[0]) for relation in _RELATIONS)]
        if kind in ("comment", "grant", "security label"):
            return self._subjects(identity)
        return []

    def _subjects(self, identity: str) -> list[Key]:
        """What a comment or grant is on, as keys that it may have."""
        on = re.fullmatch(rf".*?({NAME}) on (?:table )?({_QUALIFIED})", identity, re.DOTALL)
        if on and not identity.startswith("text search"):
            return [(kind, f"{on[2]} {on[1]}") for kind in ("constraint", "domain constraint", "trigger", "rule", "policy")] + [
                (kind, on[2]) for kind in (*_RELATIONS, "domain")
            ]
        column = re.fullmatch(rf".*\bcolumn ({_QUALIFIED}\.{NAME})", identity, re.DOTALL)
        if column:
            return [("column", column[1]), *((kind, split_last(column[1])[0]) for kind in _RELATIONS)]
        routine = re.match(rf"(?:function|procedure|aggregate|routine) ({_QUALIFIED})\(", identity)
        if routine:
            found = [key for key in (*self.created, *self.dropped) if key[0] in _ROUTINES and key[1].startswith(routine[1] + "(")]
            if identity.startswith("routine"):
                found = [key for key in found if f"routine {key[1]}" == identity]
            return found
        rest = re.search(rf"({_QUALIFIED}|{NAME})$", identity)
        return [(kind, rest[1]) for kind in _ORDER] if rest else []

    def _goes_along(self, key: Key, d: Mapping[str, Any], among: Mapping[Key, Any]) -> bool:
        return any(parent in among for parent in self._parent(*key, d))

    # -- order ---------------------------------------------------------------------------------------------------------

    def _sorted(self, found: Mapping[Key, Mapping[str, Any]]) -> list[Key]:
        """In the order in which they can be made."""
        texts = {}
        for key, d in found.items():
            text = "\n".join(_strings({field: told for field, told in d.items() if field != "owned_by"}))
            if key[0] in ("function", "procedure") and " LANGUAGE sql" not in text:
                text = re.sub(r"AS \$(\w*)\$.*\$\1\$", "", text, flags=re.DOTALL)  # a name in such a body need not be there when it is made
            texts[key] = f"{key[1]}\n{text}"
        ranked = sorted(found, key=lambda key: (_rank(key, found[key]), key[1]))
        words = {key: re.compile(rf'(?<![\w".]){re.escape(key[1].split("(")[0])}(?![\w"]|\$(?!\w*\$))') for key in ranked}
        done: dict[Key, None] = {}

        def visit(key: Key, above: frozenset[Key]) -> None:
            if key in done or key in above:
                return
            for other in ranked:
                # what stands on a table or among its columns names it anyway: its place is known
                if other != key and other not in done and words[other].search(texts[key]) and (key[0] not in _MADE_FIRST or other[0] in _MADE_FIRST):
                    visit(other, above | {key})
            done[key] = None

        for key in ranked:
            visit(key, frozenset())
        return list(done)

    # -- the whole -----------------------------------------------------------------------------------------------------

    def steps(self) -> list[Step]:
        extras = ("comment", "grant", "security label", "default grant", "setting")
        parts = {key: d for key, d in self.created.items() if key[0] not in extras and not self._goes_along(key, d, self.created)}
        # a sequence of a serial column goes with the column, and does not come with it
        made = {key: d for key, d in self.dropped.items() if key[0] not in extras and (key[0] == "sequence" or not self._goes_along(key, d, self.dropped))}
        drops = [key for key in reversed(self._sorted(parts)) if not self._is_copy(*key, parts[key], self.new)]
        makes = [key for key in self._sorted(made) if not self._is_copy(*key, made[key], self.old)]
        made_keys = set(makes)
        found: list[Step] = []
        for key, d in self.created.items():
            if key[0] == "comment" and not self._goes_along(key, d, self.created):
                found += self._comment(key[1], None)
        attached = {key for key in drops if _table_of(key, parts[key]) in self._detached}
        found += [step for key in drops if key[0] in _DROPPED_FIRST and key not in attached for step in self._drop(*key, parts[key])]
        made_first = [key for key in makes if key[0] in _MADE_FIRST]
        for key in made_first:
            found += self._make(*key, made[key])
        changes = sorted(self.changed, key=lambda key: (_ORDER.index(key[0]) if key[0] in _ORDER else len(_ORDER), key[1]))
        ended: list[Step] = []
        for key in changes:
            if key[0] not in extras:
                found += self._change(*key, *self.changed[key], ended)
        found += [step for key in drops if key[0] not in _DROPPED_FIRST or key in attached for step in self._drop(*key, parts[key])]
        for key in [key for key in makes if key[0] not in _MADE_FIRST]:
            found += self._make(*key, made[key])
        # parts of what was made again: they came neither with its text nor as things of their own
        inside = {key: d for key, d in self.dropped.items() if key[0] not in extras and key not in made_keys and not self._is_copy(*key, d, self.old)}
        for key in self._sorted(inside):
            if key[0] in ("index", "trigger", "rule", "policy", "constraint"):
                found += self._make(*key, inside[key])
        found += self.later + ended
        for key in (*self.dropped, *self.changed):
            if key[0] == "comment":
                found += self._comment(key[1], self.old["comment"][key[1]]["text"])
        for key in (*self.created, *self.changed, *self.dropped):
            if key[0] in ("grant", "default grant") and not (key in self.created and self._goes_along(key, {}, self.created)):
                found += self._grants(*key)
            elif key[0] in ("setting", "security label"):
                found.append(_by_hand(*key, "was changed"))
        return found

    def _is_copy(self, kind: str, identity: str, d: Mapping[str, Any], schema: Objects) -> bool:
        """Whether PostgreSQL makes it by itself from the same thing on a parent table."""
        if kind == "index":
            return bool(d.get("parent")) and d["on"] not in self._detached
        if kind == "function":
            return bool(re.search(r"\$(multi)?range_constructor\d", d.get("def", "")))  # a range type brings its own
        if kind == "cast":  # and its own cast to a multirange
            made_by = schema.get("function", {}).get(str(d.get("func")), {})
            return "$multirange_constructor" in made_by.get("def", "")
        if kind == "column":
            return bool(d.get("inherited"))
        if kind == "constraint":
            return (d.get("local") is False and _on_table(identity)[0] not in self._detached) or d["def"].startswith("NOT NULL ")
        if kind == "sequence":
            return str(d.get("owned_by", "")).endswith(" i")
        if kind == "trigger":
            table, name = _on_table(identity)
            for relation in ("table", "partitioned table"):
                for parent in schema.get(relation, {}).get(table, {}).get("inherits") or ():
                    if f"{parent} {name}" in schema.get("trigger", {}) and "partition_bound" in schema[relation][table]:
                        return True
        return False

    @cached_property
    def _detached(self) -> frozenset[str]:
        """Tables that became partitions, and so got indexes and constraints that stay when they are none again."""
        return frozenset(key[1] for key, (was, now) in self.changed.items() if "partition_bound" in now and "partition_bound" not in was)

    def _parents(self, table: str) -> list[str]:
        return [parent for kind in _TABLES for parent in self.old.get(kind, {}).get(table, {}).get("inherits") or ()]

    # -- drop what was created -----------------------------------------------------------------------------------------

    def _drop(self, kind: str, identity: str, d: Mapping[str, Any]) -> list[Step]:
        if kind == "column":
            table, column = split_last(identity)
            if table in self.new.get("view", {}) or table in self.new.get("materialized view", {}):
                return []  # with the view's own text
            if table in self.new.get("composite type", {}):
                return [Step(sql=f"ALTER TYPE {table} DROP ATTRIBUTE IF EXISTS {column}")]
            return [Step(sql=f"ALTER {self._alter_word(table)} {table} DROP COLUMN IF EXISTS {column}")]
        if kind == "constraint":
            table, name = _on_table(identity)
            return [Step(sql=f"ALTER {self._alter_word(table)} {table} DROP CONSTRAINT IF EXISTS {name}")]
        if kind == "domain constraint":
            table, name = _on_table(identity)
            return [Step(sql=f"ALTER DOMAIN {table} DROP CONSTRAINT IF EXISTS {name}")]
        if kind == "index":
            return [Step(sql=f"DROP INDEX{self.concurrently} IF EXISTS {identity}")]
        if kind in ("trigger", "rule", "policy"):
            table, name = _on_table(identity)
            return [Step(sql=f"DROP {kind.upper()} IF EXISTS {name} ON {table}")]
        if kind == "user mapping":
            server, user = identity.split(" for ", 1)
            return [Step(sql=f"DROP USER MAPPING IF EXISTS FOR {user} SERVER {server}")]
        if kind == "operator":
            return [Step(sql=f"DROP OPERATOR IF EXISTS {_operator(identity)}")]
        if kind in {"text search parser/template", "transform"}:
            return [_by_hand(kind, identity, "was created")]
        if kind in ("function", "procedure") and d.get("def", "") == "":
            kind = "routine"
        return [Step(sql=f"DROP {_keyword(kind)} IF EXISTS {identity}")]

    def _alter_word(self, table: str) -> str:
        for kind in ("view", "materialized view", "foreign table", "sequence"):
            if table in self.new.get(kind, {}) or table in self.old.get(kind, {}):
                return kind.upper()
        return "TABLE"

    # -- make what was dropped -----------------------------------------------------------------------------------------

    def _make(self, kind: str, identity: str, d: Mapping[str, Any]) -> list[Step]:
        make: Callable[[str, Mapping[str, Any]], list[Step]] | None = getattr(self, "_make_" + re.sub(r"\W", "_", kind), None)
        if make is None:
            return [_by_hand(kind, identity, "was dropped")]
        found = make(identity, d)
        if kind not in ("column", "index", "constraint", "trigger", "rule", "policy", "extension"):
            found += self._owner(kind, identity, d)
        return found

    def _owner(self, kind: str, identity: str, d: Mapping[str, Any], *, always: bool = False) -> list[Step]:
        owner = d.get("owner")
        if owner is None or (owner == self.role and not always):
            return []
        return [Step(sql=f"ALTER {_keyword(kind)} {identity} OWNER TO {self._role(owner)}")]

    def _role(self, name: str) -> str:
        # whoever replayed the migrations stands for whoever runs them
        return "CURRENT_USER" if name == self.role else name

    def _make_schema(self, identity: str, _: Mapping[str, Any]) -> list[Step]:
        return [Step(sql=f"CREATE SCHEMA {identity}")]

    def _make_extension(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        schema = d.get("schema")
        placed = f" WITH SCHEMA {schema}" if schema and schema != "pg_catalog" else ""
        return [Step(sql=f"CREATE EXTENSION IF NOT EXISTS {identity}{placed}")]

    def _make_enum(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        return [Step(sql=f"CREATE TYPE {identity} AS ENUM ({', '.join(literal(label) for label in d.get('labels') or ())})")]

    def _make_domain(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        domain = d["domain"]
        text = f"CREATE DOMAIN {identity} AS {domain['base']}"
        if domain.get("default") is not None:
            text += f" DEFAULT {domain['default']}"
        constraints = [
            (_on_table(other)[1], definition["def"]) for other, definition in self.old.get("domain constraint", {}).items() if _on_table(other)[0] == identity
        ]
        if domain.get("notnull"):
            text += " NOT NULL"
        text += "".join(f" CONSTRAINT {name} {definition}" for name, definition in constraints if not definition.startswith("NOT NULL"))
        return [Step(sql=text)]

    def _make_domain_constraint(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        domain, name = _on_table(identity)
        if d["def"].startswith("NOT NULL"):
            return []
        return [Step(sql=f"ALTER DOMAIN {domain} ADD CONSTRAINT {name} {d['def']}")]

    def _make_range(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        return [Step(sql=f"CREATE TYPE {identity} AS RANGE (SUBTYPE = {d['range']['sub']})")]

    def _make_composite_type(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        columns = self._old_columns.get(identity, {})
        return [Step(sql=f"CREATE TYPE {identity} AS ({', '.join(_attribute(*columns[name]) for name in d.get('columns') or ())})")]

    def _make_sequence(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        if d.get("owned_by"):
            self.later.append(Step(sql=f"ALTER SEQUENCE {identity} OWNED BY {d['owned_by'].rsplit(' ', 1)[0]}"))
        unlogged = "UNLOGGED " if d.get("persistence") == "u" else ""
        return [
            Step(
                sql=f"CREATE {unlogged}SEQUENCE {identity}{_sequence_options(d['sequence'], {})}",
                todo=f"sequence {identity} starts anew: what it had reached is not kept; set it with setval()",
            )
        ]

    def _make_function(self, _: str, d: Mapping[str, Any]) -> list[Step]:
        return [Step(sql=d["def"].rstrip())]

    _make_procedure = _make_function

    def _make_aggregate(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        agg = d["agg"]
        name = identity.split("(", maxsplit=1)[0]
        kind = agg.get("aggkind", "n")
        if kind != "n":
            return [_by_hand("aggregate", identity, "was dropped")]
        parts = [f"SFUNC = {agg['aggtransfn']}", f"STYPE = {agg['stype']}"]
        for field, word in (
            ("aggfinalfn", "FINALFUNC"),
            ("aggcombinefn", "COMBINEFUNC"),
            ("aggserialfn", "SERIALFUNC"),
            ("aggdeserialfn", "DESERIALFUNC"),
            ("aggmtransfn", "MSFUNC"),
            ("aggminvtransfn", "MINVFUNC"),
            ("aggmfinalfn", "MFINALFUNC"),
        ):
            if agg.get(field) not in (None, "-"):
                parts.append(f"{word} = {agg[field]}")
        if agg.get("aggmtransfn") not in (None, "-"):
            parts.append(f"MSTYPE = {agg['mstype']}")
        for field, word in (("agginitval", "INITCOND"), ("aggminitval", "MINITCOND")):
            if agg.get(field) is not None:
                parts.append(f"{word} = {literal(agg[field])}")
        if agg.get("sortop") not in (None, "0", "-"):
            parts.append(f"SORTOP = {_operator_call(agg['sortop'])}")
        if agg.get("parallel") in ("s", "r"):
            parts.append(f"PARALLEL = {'SAFE' if agg['parallel'] == 's' else 'RESTRICTED'}")
        if agg.get("aggfinalextra"):
            parts.append("FINALFUNC_EXTRA")
        return [Step(sql=f"CREATE AGGREGATE {name}({agg['args'] or '*'}) ({', '.join(parts)})")]

    def _make_operator(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        found = re.fullmatch(rf"({NAME})\.([^(]+)\((.*),(.*)\)", identity)
        if not found:
            return [_by_hand("operator", identity, "was dropped")]
        schema, symbol, left, right = found.groups()
        parts = [f"FUNCTION = {d['proc']}", *([f"LEFTARG = {left}"] if left not in ("NONE", "-") else []), f"RIGHTARG = {right}"]
        for field, word in (("com", "COMMUTATOR"), ("neg", "NEGATOR")):
            if d.get(field) not in (None, "0", "-"):
                parts.append(f"{word} = {_operator_call(d[field])}")
        for field, word in (("rest", "RESTRICT"), ("join", "JOIN")):
            if d.get(field) not in (None, "-"):
                parts.append(f"{word} = {d[field]}")
        parts += [word for field, word in (("hash", "HASHES"), ("merge", "MERGES")) if d.get(field)]
        return [Step(sql=f"CREATE OPERATOR {schema}.{symbol} ({', '.join(parts)})")]

    def _make_cast(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        how = f"WITH FUNCTION {d['func']}" if d.get("func") else "WITH INOUT" if d["method"] == "i" else "WITHOUT FUNCTION"
        context = {"a": " AS ASSIGNMENT", "i": " AS IMPLICIT"}.get(d["context"], "")
        return [Step(sql=f"CREATE CAST {identity} {how}{context}")]

    def _make_foreign_data_wrapper(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        handler = f" HANDLER {d['handler']}" if d.get("handler") else ""
        validator = f" VALIDATOR {d['validator']}" if d.get("validator") else ""
        return [Step(sql=f"CREATE FOREIGN DATA WRAPPER {identity}{handler}{validator}{_foreign_options(d.get('options'))}")]

    def _make_server(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        kind = f" TYPE {literal(d['type'])}" if d.get("type") else ""
        version = f" VERSION {literal(d['version'])}" if d.get("version") else ""
        return [Step(sql=f"CREATE SERVER {identity}{kind}{version} FOREIGN DATA WRAPPER {_quoted_again(d['fdw'])}{_foreign_options(d.get('options'))}")]

    def _make_user_mapping(self, identity: str, _: Mapping[str, Any]) -> list[Step]:
        server, user = identity.split(" for ", 1)
        return [
            Step(
                sql=f"CREATE USER MAPPING FOR {user} SERVER {server}",
                todo=f"fill in the options of the user mapping {identity}: they hold a password and are not kept",
            )
        ]

    def _make_event_trigger(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        tags = f" WHEN TAG IN ({', '.join(literal(tag) for tag in d['tags'])})" if d.get("tags") else ""
        if d.get("enabled", "O") != "O":
            self.later.append(Step(sql=f"ALTER EVENT TRIGGER {identity} {_ENABLED[d['enabled']]}"))
        return [Step(sql=f"CREATE EVENT TRIGGER {identity} ON {d['event']}{tags} EXECUTE FUNCTION {d['func']}")]

    def _make_table(self, identity: str, d: Mapping[str, Any], *, foreign: bool = False) -> list[Step]:
        columns = self._old_columns.get(identity, {})
        lines, after = [], []
        for name in d.get("columns") or ():
            quoted, column = columns[name]
            if not column.get("inherited"):
                lines.append(f"{quoted} {self._column(identity, quoted, column)}")
                after += self._column_extras(identity, quoted, column)
        for other, constraint in sorted(self.old.get("constraint", {}).items()):
            table, constraint_name = _on_table(other)
            text = constraint["def"]
            if table == identity and self._inline(constraint):
                lines.append(f"CONSTRAINT {constraint_name} {text}")
        unlogged = "UNLOGGED " if d.get("persistence") == "u" else ""
        word = "FOREIGN TABLE" if foreign else f"{unlogged}TABLE"
        inherits = d.get("inherits") or []
        inside = "".join(f"\n    {line}," for line in lines).rstrip(",")
        if "partition_bound" in d:
            body = f" PARTITION OF {inherits[0]}" + (f" ({inside}\n)" if inside else "") + f" {d['partition_bound']}"
        elif d.get("of"):
            body = f" OF {d['of']}"
        else:
            body = f" ({inside}\n)" if inside else " ()"
            body += f" INHERITS ({', '.join(inherits)})" if inherits else ""
        if d.get("partition_key"):
            body += f" PARTITION BY {d['partition_key']}"
        if foreign:
            body += f" SERVER {_quoted_again(d['foreign']['server'])}{_foreign_options(d['foreign'].get('options'))}"
        if d.get("am") not in (None, "heap"):
            body += f" USING {d['am']}"
        options = [text for text in (_option_list(_options(d.get("options"))), _option_list(_options(d.get("toast_options")), "toast.")) if text]
        if options:
            body += f" WITH ({', '.join(options)})"
        if d.get("tablespace"):
            body += f" TABLESPACE {_quoted_again(d['tablespace'])}"
        found = [Step(sql=f"CREATE {word} {identity}{body}", todo=None if foreign else f"table {identity} comes back empty: its rows went with it"), *after]
        if d.get("rls"):
            self.later.append(Step(sql=f"ALTER TABLE {identity} ENABLE ROW LEVEL SECURITY"))
        if d.get("rls_forced"):
            self.later.append(Step(sql=f"ALTER TABLE {identity} FORCE ROW LEVEL SECURITY"))
        if d.get("replica_identity") in ("f", "n"):
            self.later.append(Step(sql=f"ALTER TABLE {identity} REPLICA IDENTITY {'FULL' if d['replica_identity'] == 'f' else 'NOTHING'}"))
        return found

    def _make_partitioned_table(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        found = self._make_table(identity, d)
        return [Step(sql=found[0].sql), *found[1:]]

    def _make_foreign_table(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        return self._make_table(identity, d, foreign=True)

    @staticmethod
    def _inline(d: Mapping[str, Any]) -> bool:
        """Whether a constraint goes into the text of its table."""
        later = d["def"].startswith(("FOREIGN KEY", "NOT NULL")) or "NOT ENFORCED" in d["def"]
        return not later and d.get("local") is not False and bool(d.get("validated", True))

    def _column(self, table: str, quoted: str, d: Mapping[str, Any], *, not_null: bool = True) -> str:
        text = str(d["type"])
        if d.get("collation"):
            text += f" COLLATE {d['collation']}"
        if d.get("generated"):
            text += f" GENERATED ALWAYS AS ({_bare(d['default'])}) {'STORED' if d['generated'] == 's' else 'VIRTUAL'}"
        elif d.get("default") is not None:
            text += f" DEFAULT {d['default']}"
        elif d.get("identity"):
            text += " " + self._identity(table, quoted, d)
        if d.get("notnull") and not_null:
            name, rest = self._old_not_null.get((table, quoted), (None, ""))
            text += f" CONSTRAINT {name} NOT NULL" if name and unquoted(name) != default_name(table, [quoted], "not_null") else " NOT NULL"
            text += rest if "NO INHERIT" in rest else ""
        if d.get("fdw"):
            text += _foreign_options(d["fdw"])
        return text

    def _identity(self, table: str, quoted: str, d: Mapping[str, Any]) -> str:
        text = f"GENERATED {'ALWAYS' if d['identity'] == 'a' else 'BY DEFAULT'} AS IDENTITY"
        for identity, sequence in self.old.get("sequence", {}).items():
            if sequence.get("owned_by") == f"{table}.{quoted} i":
                parts = []
                if unquoted(split_last(identity)[1]) != default_name(table, [quoted], "seq"):
                    parts.append(f"SEQUENCE NAME {identity}")
                options = _sequence_options({**sequence["sequence"], "type": "bigint"}, {"type": "bigint"}, largest=_LARGEST.get(sequence["sequence"]["type"]))
                if options:
                    parts.append(options.strip())
                if parts:
                    text += f" ({' '.join(parts)})"
        return text

    def _column_extras(self, table: str, quoted: str, d: Mapping[str, Any]) -> list[Step]:
        return [Step(sql=f"ALTER {self._alter_word(table)} {table} ALTER COLUMN {quoted} {text}") for text in _column_settings(d, {})]

    def _make_column(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        table, column = split_last(identity)
        if table in self.old.get("composite type", {}):
            return [Step(sql=f"ALTER TYPE {table} ADD ATTRIBUTE {_attribute(column, d)}", todo=f"attribute {column} of {table} comes back empty")]
        if table in self.old.get("view", {}) or table in self.old.get("materialized view", {}):
            return []  # with the view's own text
        word = self._alter_word(table)
        lost = f"column {identity} comes back empty: its values went with it"
        if d.get("generated"):
            return [Step(sql=f"ALTER {word} {table} ADD COLUMN {column} {self._column(table, column, d)}"), *self._column_extras(table, column, d)]
        if d.get("notnull") and d.get("default") is None and not d.get("identity"):
            not_null = f"ALTER {word} {table} ALTER COLUMN {column} SET NOT NULL"
            found = [
                Step(sql=f"ALTER {word} {table} ADD COLUMN {column} {self._column(table, column, d, not_null=False)}"),
                Step(sql=not_null, todo=f"{lost}. Fill it here, else this fails where the table has rows"),
            ]
            return found + self._not_null_name(table, column) + self._column_extras(table, column, d)
        return [Step(sql=f"ALTER {word} {table} ADD COLUMN {column} {self._column(table, column, d)}", todo=lost), *self._column_extras(table, column, d)]

    def _not_null_name(self, table: str, column: str) -> list[Step]:
        """What gives a not-null constraint the name that it had, where PostgreSQL keeps one."""
        name, _ = self._old_not_null.get((table, column), (None, ""))
        usual = default_name(table, [column], "not_null")
        if name is None or unquoted(name) == usual or self.major < 18:
            return []
        return [Step(sql=f"ALTER TABLE {table} RENAME CONSTRAINT {quote(usual)} TO {name}")]

    def _make_constraint(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        made = any((kind, table) in self.dropped for kind in _TABLES)
        if d["def"].startswith("NOT NULL ") or (made and self._inline(d)):
            return []
        return [Step(sql=f"ALTER {self._alter_word(table)} {table} ADD CONSTRAINT {name} {d['def']}")]

    def _make_index(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        table = d["on"]
        if d.get("clustered"):
            self.later.append(Step(sql=f"ALTER TABLE {table} CLUSTER ON {split_last(identity)[1]}"))
        if d.get("replident"):
            self.later.append(Step(sql=f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {split_last(identity)[1]}"))
        for number, target in d.get("col_stats") or ():
            self.later.append(Step(sql=f"ALTER INDEX {identity} ALTER COLUMN {number} SET STATISTICS {target}"))
        if d.get("constraint"):
            return []
        # of a partitioned table's index the definition says ONLY, whether or not the partitions have it
        text = d["def"].replace(f" ON ONLY {table} ", f" ON {table} ", 1) if d.get("valid", True) else d["def"]
        if self.concurrently:
            text = re.sub(r"^CREATE (UNIQUE )?INDEX ", lambda found: f"CREATE {found[1] or ''}INDEX CONCURRENTLY ", text)
        return [Step(sql=text)]

    def _make_view(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        options = _option_list(_options(d.get("options")))
        columns = self._old_columns.get(identity, {})
        for name in d.get("columns") or ():
            quoted, column = columns[name]
            if column.get("default") is not None:
                self.later.append(Step(sql=f"ALTER VIEW {identity} ALTER COLUMN {quoted} SET DEFAULT {column['default']}"))
        return [Step(sql=f"CREATE VIEW {identity}{f' WITH ({options})' if options else ''} AS\n{_query(d)}")]

    def _make_materialized_view(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        options = _option_list(_options(d.get("options")))
        am = f" USING {d['am']}" if d.get("am") not in (None, "heap") else ""
        return [Step(sql=f"CREATE MATERIALIZED VIEW {identity}{am}{f' WITH ({options})' if options else ''} AS\n{_query(d)}")]

    def _make_trigger(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        if d.get("enabled", "O") != "O":
            self.later.append(Step(sql=f"ALTER TABLE {table} {_ENABLED[d['enabled']]} TRIGGER {name}"))
        return [Step(sql=d["def"])]

    def _make_rule(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        if d.get("enabled", "O") != "O":
            self.later.append(Step(sql=f"ALTER TABLE {table} {_ENABLED[d['enabled']]} RULE {name}"))
        return [Step(sql=d["def"].rstrip().removesuffix(";"))]

    def _make_policy(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        text = f"CREATE POLICY {name} ON {table}"
        if not d.get("permissive", True):
            text += " AS RESTRICTIVE"
        command = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}.get(d["cmd"])
        if command:
            text += f" FOR {command}"
        return [Step(sql=text + _policy_rest(d))]

    def _make_statistics(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        if d.get("target") is not None:
            self.later.append(Step(sql=f"ALTER STATISTICS {identity} SET STATISTICS {d['target']}"))
        return [Step(sql=d["def"])]

    def _make_publication(self, identity: str, d: Mapping[str, Any]) -> list[Step]:
        what = " FOR ALL TABLES" if d.get("puballtables") else ""
        parts = self._published(d)
        return [Step(sql=f"CREATE PUBLICATION {identity}{what}{f' FOR {parts}' if parts else ''} WITH ({_publish(d)})")]

    @staticmethod
    def _published(d: Mapping[str, Any], *, names_only: bool = False) -> str:
        tables = []
        for row in d.get("tables") or ():
            table = f"{quote(row['schemaname'])}.{quote(row['tablename'])}"
            if row.get("attnames") and not names_only:
                table += f" ({', '.join(quote(name) for name in row['attnames'])})"
            if row.get("rowfilter") and not names_only:
                table += f" WHERE {row['rowfilter'] if row['rowfilter'].startswith('(') else '(' + row['rowfilter'] + ')'}"
            tables.append(table)
        parts = [f"TABLE {', '.join(tables)}"] if tables else []
        if d.get("schemas"):
            parts.append(f"TABLES IN SCHEMA {', '.join(d['schemas'])}")
        return ", ".join(parts)

    # -- change back what was changed ----------------------------------------------------------------------------------

    def _change(self, kind: str, identity: str, was: Mapping[str, Any], now: Mapping[str, Any], ended: list[Step]) -> list[Step]:
        change = getattr(self, "_change_" + re.sub(r"\W", "_", kind), None)
        if change is None:
            rest = {name for name in {**was, **now} if was.get(name) != now.get(name)} - {"owner"}
            if (rest and kind != "composite type") or "owner" not in was:
                return [_by_hand(kind, identity, "was changed")]
            found = []
        else:
            found = change(identity, was, now)
        if "owner" in was and was["owner"] != now.get("owner") and not was.get("owned_by"):
            ended += self._owner(kind, identity, was, always=True)
        return list(found)

    def _change_table(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        word = f"ALTER {self._alter_word(identity)} {identity}"
        texts: list[str] = []
        if was.get("partition_bound") != now.get("partition_bound"):
            if "partition_bound" in now:
                texts.append(f"ALTER TABLE {now['inherits'][0]} DETACH PARTITION {identity}")
            if "partition_bound" in was:
                texts.append(f"ALTER TABLE {was['inherits'][0]} ATTACH PARTITION {identity} {was['partition_bound']}")
        elif was.get("inherits") != now.get("inherits"):
            before, after = was.get("inherits") or [], now.get("inherits") or []
            texts += [f"{word} NO INHERIT {parent}" for parent in after if parent not in before]
            texts += [f"{word} INHERIT {parent}" for parent in before if parent not in after]
        if was.get("persistence") != now.get("persistence"):
            texts.append(f"{word} SET {'UNLOGGED' if was['persistence'] == 'u' else 'LOGGED'}")
        for field, prefix in (("options", ""), ("toast_options", "toast.")):
            texts += [f"{word} {text}" for text in _option_changes(_options(was.get(field)), _options(now.get(field)), prefix)]
        if was.get("am") != now.get("am") and was.get("am"):
            texts.append(f"{word} SET ACCESS METHOD {was['am']}")
        if was.get("tablespace") != now.get("tablespace"):
            texts.append(f"{word} SET TABLESPACE {_quoted_again(was.get('tablespace') or 'pg_default')}")
        if was.get("of") != now.get("of"):
            texts.append(f"{word} OF {was['of']}" if was.get("of") else f"{word} NOT OF")
        if was.get("rls") != now.get("rls"):
            texts.append(f"{word} {'ENABLE' if was.get('rls') else 'DISABLE'} ROW LEVEL SECURITY")
        if was.get("rls_forced") != now.get("rls_forced"):
            texts.append(f"{word} {'FORCE' if was.get('rls_forced') else 'NO FORCE'} ROW LEVEL SECURITY")
        if was.get("replica_identity") != now.get("replica_identity"):
            kept = {"f": "FULL", "n": "NOTHING", None: "DEFAULT"}.get(was.get("replica_identity"))
            if kept:
                texts.append(f"{word} REPLICA IDENTITY {kept}")
        found = [Step(sql=text) for text in texts]
        if was.get("foreign") != now.get("foreign"):
            found.append(_by_hand("foreign table", identity, "got other options"))
        return found

    _change_partitioned_table = _change_table
    _change_foreign_table = _change_table

    def _change_column(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        table, column = split_last(identity)
        if table in self.old.get("composite type", {}):
            return [Step(sql=f"ALTER TYPE {table} ALTER ATTRIBUTE {column} TYPE {_attribute('', was).strip()}")]
        if any((kind, table) in self.changed for kind in ("view", "materialized view")):
            return []  # with the view's own text
        if was.get("inherited") and now.get("inherited") and any(("column", f"{parent}.{column}") in self.changed for parent in self._parents(table)):
            return []  # with the parent's
        word = f"ALTER {self._alter_word(table)} {table}"
        clauses: list[str] = []
        found: list[Step] = []
        after: list[Step] = []
        todo = None
        if was.get("generated") != now.get("generated") or (was.get("generated") and was.get("default") != now.get("default")):
            if was.get("generated") and now.get("generated") == was.get("generated"):
                return [Step(sql=f"{word} ALTER COLUMN {column} SET EXPRESSION AS ({_bare(was['default'])})")]
            return [
                Step(sql=f"{word} DROP COLUMN IF EXISTS {column}", todo=f"column {identity} is made anew: what was generated cannot be altered"),
                Step(sql=f"{word} ADD COLUMN {column} {self._column(table, column, was)}"),
            ]
        retyped = (was["type"], was.get("collation")) != (now["type"], now.get("collation"))
        if now.get("identity") and not was.get("identity"):
            clauses.append(f"ALTER COLUMN {column} DROP IDENTITY IF EXISTS")
        if was.get("notnull") != now.get("notnull") and now.get("notnull"):
            clauses.append(f"ALTER COLUMN {column} DROP NOT NULL")
        if now.get("default") is not None and (was.get("default") is None or (retyped and was.get("default") != now.get("default"))):
            clauses.append(f"ALTER COLUMN {column} DROP DEFAULT")
        if retyped:
            collation = f" COLLATE {was['collation']}" if was.get("collation") else ""
            same = was["type"] == now["type"]
            using = "" if same or word.startswith("ALTER FOREIGN") else f" USING {_converted(column, now['type'], was['type'])}"
            clauses.append(f"ALTER COLUMN {column} TYPE {was['type']}{collation}{using}")
            if not same:
                todo = f"check that every value of {identity} fits {was['type']} again"
        if was.get("default") is not None and was.get("default") != now.get("default"):
            clauses.append(f"ALTER COLUMN {column} SET DEFAULT {was['default']}")
        if was.get("notnull") != now.get("notnull") and was.get("notnull"):
            clauses.append(f"ALTER COLUMN {column} SET NOT NULL")
            todo = todo or f"fails where {identity} is null by now"
            after += self._not_null_name(table, column)
        if was.get("identity") and was.get("identity") != now.get("identity"):
            if now.get("identity"):
                clauses.append(f"ALTER COLUMN {column} SET GENERATED {'ALWAYS' if was['identity'] == 'a' else 'BY DEFAULT'}")
            else:
                after.append(
                    Step(
                        sql=f"{word} ALTER COLUMN {column} ADD {self._identity(table, column, was)}",
                        todo=f"the identity of {identity} starts anew: set its sequence with setval()",
                    )
                )
        if clauses:
            found.append(Step(sql=f"{word} {', '.join(clauses)}", todo=todo))
        found += after
        return found + [Step(sql=f"{word} ALTER COLUMN {column} {text}") for text in _column_settings(was, now)]

    def _change_view(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        options = _options(was.get("options"))
        found: list[Step] = []
        if was.get("query") != now.get("query") or was.get("columns") != now.get("columns"):
            listed = f" WITH ({_option_list(options)})" if options else ""
            body = f"VIEW {identity}{listed} AS\n{_query(was)}"
            if self._same_columns(identity, was, now):
                return [Step(sql=f"CREATE OR REPLACE {body}")]
            rest = self._dependents(identity)
            found += [Step(sql=f"DROP {_keyword(kind)} IF EXISTS {other}") for kind, other in reversed(rest)]
            found += [Step(sql=f"DROP VIEW IF EXISTS {identity}"), Step(sql=f"CREATE {body}"), *self._again("view", identity, was)]
            for kind, other in rest:
                found += self._make(kind, other, self.old[kind][other]) + self._again(kind, other, self.old[kind][other])
            return found
        return [Step(sql=f"ALTER VIEW {identity} {text}") for text in _option_changes(options, _options(now.get("options")), "")]

    def _change_materialized_view(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        word = f"ALTER MATERIALIZED VIEW {identity}"
        if was.get("query") == now.get("query"):
            return self._change_table(identity, {**was, "columns": None}, {**now, "columns": None})
        if was.get("columns") != now.get("columns") or self._old_columns.get(identity) is None:
            return [_by_hand("materialized view", identity, "was changed")]
        return [
            Step(sql=f"DROP{word.removeprefix('ALTER')}"),
            *self._make_materialized_view(identity, was),
            *self._again("materialized view", identity, was),
        ]

    def _same_columns(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
        def types(schema: Objects, names: Iterable[str]) -> list[Any]:
            columns = {unquoted(split_last(other)[1]): d for other, d in schema.get("column", {}).items() if split_last(other)[0] == identity}
            return [(columns[name]["type"], columns[name].get("collation")) for name in names]

        names = was.get("columns") or []
        return names == (now.get("columns") or []) and types(self.old, names) == types(self.new, names)

    def _dependents(self, identity: str) -> list[Key]:
        """Views that name this one, directly or through others, in the order in which they can be made; those that were there before and are there now."""
        found: dict[Key, Mapping[str, Any]] = {}
        looking = [identity]
        while looking:
            word = re.compile(rf'(?<![\w".]){re.escape(looking.pop())}(?![\w"]|\$(?!\w*\$))')
            for kind in ("view", "materialized view"):
                for other, d in self.old.get(kind, {}).items():
                    if other != identity and (kind, other) not in found and word.search(d.get("query", "")) and other in self.new.get(kind, {}):
                        found[kind, other] = d
                        looking.append(other)
        return self._sorted(found)

    def _again(self, kind: str, identity: str, d: Mapping[str, Any]) -> list[Step]:
        """What goes with a thing that is dropped and made again: its owner, grants, comments, triggers, indexes, rules."""
        found = self._owner(kind, identity, d)
        for part in ("index", "trigger", "rule"):
            for other, definition in self.old.get(part, {}).items():
                if (definition.get("on") if part == "index" else _on_table(other)[0]) == identity:
                    found += self._make(part, other, definition)
        if kind == "view":
            self._make_view(identity, d)
        for other, definition in self.old.get("comment", {}).items():
            if ("comment", other) not in self.changed and self._about(other, kind, identity):
                found += self._comment(other, definition["text"])
        for other in self.old.get("grant", {}):
            if other in (f"relation {identity}", f"routine {identity}") or other.startswith(f"column {identity}."):
                found += self._grants("grant", other, fresh=True)
        return found

    @staticmethod
    def _about(comment: str, kind: str, identity: str) -> bool:
        if kind in _ROUTINES:
            return comment.startswith(f"{kind} {identity.split('(', maxsplit=1)[0]}(") and comment.split("(", 1)[1] == _only_types(identity) + ")"
        return (
            comment == f"{kind} {identity}"
            or comment.startswith(f"{kind} column {identity}.")
            or comment.endswith((f" on {identity}", f" on table {identity}"))
        )

    def _change_sequence(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        found: list[Step] = []
        if was.get("persistence") != now.get("persistence"):
            found.append(Step(sql=f"ALTER SEQUENCE {identity} SET {'UNLOGGED' if was['persistence'] == 'u' else 'LOGGED'}"))
        options = _sequence_options(was["sequence"], now["sequence"], changed=True)
        owned, owned_now = str(was.get("owned_by", "")), str(now.get("owned_by", ""))
        if owned != owned_now and not owned_now.endswith(" i") and not owned.endswith(" i"):
            options += f" OWNED BY {owned.rsplit(' ', 1)[0] or 'NONE'}"
        if options:
            found.append(Step(sql=f"ALTER SEQUENCE {identity}{options}"))
        return found

    def _change_constraint(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        if was.get("local") is False or (was["def"].startswith("NOT NULL ") and was["def"] == now["def"]):
            return []  # with the parent's, or with its column
        if {key for key in {**was, **now} if was.get(key) != now.get(key)} <= {"local"}:
            return []
        word = f"ALTER {self._alter_word(table)} {table}"
        when = re.compile(r"( DEFERRABLE| NOT DEFERRABLE| INITIALLY DEFERRED| INITIALLY IMMEDIATE)+")
        if was["def"].startswith("FOREIGN KEY") and when.sub("", was["def"]) == when.sub("", now["def"]):
            kept = (
                " DEFERRABLE INITIALLY DEFERRED" if "INITIALLY DEFERRED" in was["def"] else " DEFERRABLE" if " DEFERRABLE" in was["def"] else " NOT DEFERRABLE"
            )
            return [Step(sql=f"{word} ALTER CONSTRAINT {name}{kept}")]
        return [Step(sql=f"{word} DROP CONSTRAINT IF EXISTS {name}"), Step(sql=f"{word} ADD CONSTRAINT {name} {was['def']}")]

    def _change_domain(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        before, after = was["domain"], now["domain"]
        found = []
        if before.get("default") != after.get("default"):
            text = f"SET DEFAULT {before['default']}" if before.get("default") is not None else "DROP DEFAULT"
            found.append(Step(sql=f"ALTER DOMAIN {identity} {text}"))
        if before.get("notnull") != after.get("notnull"):
            found.append(Step(sql=f"ALTER DOMAIN {identity} {'SET' if before['notnull'] else 'DROP'} NOT NULL"))
        return found

    def _change_enum(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        before, after = was.get("labels") or [], now.get("labels") or []
        more = [label for label in after if label not in before]
        if before == after:
            return []
        return [Step(todo=f"{identity} keeps {', '.join(literal(label) for label in more)}: PostgreSQL cannot take a value out of an enum")]

    def _change_index(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        table = was["on"]
        name = split_last(identity)[1]
        found: list[Step] = []
        if was.get("constraint") != now.get("constraint") or was["def"] != now["def"]:
            plain = re.compile(r" WITH \(([^()]*)\)")
            if was.get("constraint") == now.get("constraint") and plain.sub("", was["def"]) == plain.sub("", now["def"]):
                before, after = (_index_options(plain.search(d["def"])) for d in (was, now))
                found += [Step(sql=f"ALTER INDEX {identity} {text}") for text in _option_changes(before, after, "")]
            elif was.get("constraint"):
                return [_by_hand("index", identity, "was changed")]
            elif now.get("constraint"):
                found += self._make_index(identity, was)  # its constraint, which was dropped before, took it along
            else:
                found += [Step(sql=f"DROP INDEX{self.concurrently} IF EXISTS {identity}"), *self._make_index(identity, was)]
        if was.get("clustered") != now.get("clustered"):
            others = any(d["on"] == table and d.get("clustered") for d in self.old.get("index", {}).values())
            if was.get("clustered"):
                found.append(Step(sql=f"ALTER TABLE {table} CLUSTER ON {name}"))
            elif not others:
                found.append(Step(sql=f"ALTER TABLE {table} SET WITHOUT CLUSTER"))
        if was.get("replident") and not now.get("replident"):
            found.append(Step(sql=f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {name}"))
        if was.get("tablespace") != now.get("tablespace"):
            found.append(Step(sql=f"ALTER INDEX {identity} SET TABLESPACE {_quoted_again(was.get('tablespace') or 'pg_default')}"))
        before, after = (dict(map(tuple, d.get("col_stats") or ())) for d in (was, now))
        for number in {**before, **after}:
            if before.get(number) != after.get(number):
                found.append(Step(sql=f"ALTER INDEX {identity} ALTER COLUMN {number} SET STATISTICS {before.get(number, -1)}"))
        return found

    def _change_trigger(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        found = []
        if was["def"] != now["def"]:
            if was["def"].startswith("CREATE TRIGGER") and now["def"].startswith("CREATE TRIGGER"):
                found.append(Step(sql=was["def"].replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)))
            else:
                found += [Step(sql=f"DROP TRIGGER IF EXISTS {name} ON {table}"), Step(sql=was["def"])]
        if was.get("enabled") != now.get("enabled"):
            found.append(Step(sql=f"ALTER TABLE {table} {_ENABLED[was['enabled']]} TRIGGER {name}"))
        return found

    def _change_rule(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        found = []
        if was["def"] != now["def"]:
            found.append(Step(sql=was["def"].rstrip().removesuffix(";").replace("CREATE RULE", "CREATE OR REPLACE RULE", 1)))
        if was.get("enabled") != now.get("enabled"):
            found.append(Step(sql=f"ALTER TABLE {table} {_ENABLED[was['enabled']]} RULE {name}"))
        return found

    def _change_policy(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        table, name = _on_table(identity)
        if (was["cmd"], was.get("permissive")) == (now["cmd"], now.get("permissive")) and all(
            was.get(part) or not now.get(part) for part in ("using", "check")
        ):
            return [Step(sql=f"ALTER POLICY {name} ON {table}{_policy_rest(was, always=True)}")]
        found = [Step(sql=f"DROP POLICY IF EXISTS {name} ON {table}"), *self._make_policy(identity, was)]
        for comment, d in self.old.get("comment", {}).items():
            if ("comment", comment) not in self.changed and comment in (f"policy {name} on {table}", f"policy {name} on table {table}"):
                found += self._comment(comment, d["text"])
        return found

    def _change_statistics(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        if was["def"] != now["def"]:
            return [Step(sql=f"DROP STATISTICS IF EXISTS {identity}"), *self._make_statistics(identity, was)]
        if was.get("target") != now.get("target"):
            return [Step(sql=f"ALTER STATISTICS {identity} SET STATISTICS {was.get('target', -1)}")]
        return []

    def _change_function(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        if was.get("def") == now.get("def"):
            return []
        head = re.compile(r"^CREATE OR REPLACE (?:FUNCTION|PROCEDURE) .*?\n", re.DOTALL)
        one, other = (head.match(d["def"]) for d in (was, now))
        returns, returns_now = (re.search(r"^ RETURNS (.*)$", d["def"], re.MULTILINE) for d in (was, now))
        if one and other and one[0] == other[0] and (returns and returns[1]) == (returns_now and returns_now[1]):
            return [Step(sql=was["def"].rstrip())]
        # CREATE OR REPLACE takes away no default and renames no argument
        kind = "procedure" if was["def"].startswith("CREATE OR REPLACE PROCEDURE") else "function"
        return [Step(sql=f"DROP {kind.upper()} IF EXISTS {identity}"), Step(sql=was["def"].rstrip()), *self._again(kind, identity, was)]

    _change_procedure = _change_function

    def _change_event_trigger(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        if was.get("enabled") != now.get("enabled"):
            return [Step(sql=f"ALTER EVENT TRIGGER {identity} {_ENABLED[was['enabled']]}")]
        return []

    def _change_extension(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        found = []
        if was.get("schema") != now.get("schema"):
            found.append(Step(sql=f"ALTER EXTENSION {identity} SET SCHEMA {was['schema']}"))
        if was.get("version") != now.get("version"):
            text = f"ALTER EXTENSION {identity} UPDATE TO {literal(was['version'])}"
            found.append(Step(todo=f"{text}: only some extensions can go back to an older version"))
        return found

    def _change_server(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        found = []
        if was.get("version") != now.get("version") and was.get("version"):
            found.append(Step(sql=f"ALTER SERVER {identity} VERSION {literal(was['version'])}"))
        before, after = _options(was.get("options")), _options(now.get("options"))
        parts = [f"DROP {name}" for name in after if name not in before]
        parts += [f"{'SET' if name in after else 'ADD'} {name} {literal(value)}" for name, value in before.items() if after.get(name) != value]
        if parts:
            found.append(Step(sql=f"ALTER SERVER {identity} OPTIONS ({', '.join(parts)})"))
        return found

    def _change_publication(self, identity: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Step]:
        found = []
        if _publish(was) != _publish(now):
            found.append(Step(sql=f"ALTER PUBLICATION {identity} SET ({_publish(was)})"))
        before = self._published(was)
        if before != self._published(now):
            found.append(Step(sql=f"ALTER PUBLICATION {identity} " + (f"SET {before}" if before else f"DROP {self._published(now, names_only=True)}")))
        return found

    # -- comments and grants -------------------------------------------------------------------------------------------

    def _comment(self, identity: str, text: str | None) -> list[Step]:
        subject = comment_subject(identity)
        if subject is None:
            return [_by_hand("comment", identity, "was changed")]
        return [Step(sql=f"COMMENT ON {subject} IS {'NULL' if text is None else literal(text)}")]

    def _grants(self, kind: str, identity: str, *, fresh: bool = False) -> list[Step]:
        """Bring the grants on one thing back; fresh: the thing was just made again and has only those that a new one has."""
        placed = self._grant_place(identity) if kind == "grant" else self._default_place(identity)
        if placed is None:
            return [_by_hand(kind, identity, "was changed")]
        prefix, on, usual, every = placed
        had = self.old.get(kind, {}).get(identity)
        has = None if fresh else self.new.get(kind, {}).get(identity)
        before = set(had["acl"] or ()) if had is not None else usual
        after = set(has["acl"] or ()) if has is not None else usual
        found = []
        for taken, entries in ((True, after - before), (False, before - after)):
            grouped: dict[tuple[str, bool], set[str]] = {}
            for entry in entries:
                parsed = re.fullmatch(rf"({NAME}|-) ([A-Z ]+?)( \*)? by (.*)", entry, re.DOTALL)
                if parsed:
                    other = f"{parsed[1]} {parsed[2]}{'' if parsed[3] else ' *'} by {parsed[4]}"
                    if taken and not parsed[3] and other in before:
                        continue  # it only gets its grant option back
                    option = bool(parsed[3])
                    if taken and option:
                        option = other in before  # only the option is to go
                    grouped.setdefault((parsed[1], option), set()).add(parsed[2])
            for (grantee, option), rights in sorted(grouped.items()):
                whole = every and not on.startswith("(") and rights >= every
                listed = "ALL" if whole else ", ".join(sorted(rights))
                column = ""
                target = on
                if on.startswith("("):
                    column, target = on.split("\n", 1)
                    listed = ", ".join(f"{right} {column}" for right in sorted(rights))
                who = "PUBLIC" if grantee == "public" else self._role(grantee)
                if taken:
                    found.append(Step(sql=f"{prefix}REVOKE {'GRANT OPTION FOR ' if option else ''}{listed} ON {target} FROM {who}"))
                else:
                    found.append(Step(sql=f"{prefix}GRANT {listed} ON {target} TO {who}{' WITH GRANT OPTION' if option else ''}"))
        return found

    def _grant_place(self, identity: str) -> tuple[str, str, set[str], frozenset[str]] | None:
        """(what stands before GRANT, what stands behind ON, the entries that a new one has, all rights)."""
        what, _, name = identity.partition(" ")
        either: Callable[[str], Mapping[str, Any]] = lambda kind: self.old.get(kind, {}).get(name) or self.new.get(kind, {}).get(name) or {}  # noqa: E731  # one use, beside it
        if what == "column":
            table, column = split_last(name)
            return "", f"({column})\n{table}", set(), frozenset()
        if what == "relation":
            kind = next((kind for kind in _RELATIONS if either(kind)), "table")
            owner = either(kind).get("owner")
            letter = "S" if kind == "sequence" else "r"
            on = f"SEQUENCE {name}" if letter == "S" else name
        elif what == "routine":
            kind = next((kind for kind in _ROUTINES if either(kind)), "function")
            owner, letter, on = either(kind).get("owner"), "f", f"{'PROCEDURE' if kind == 'procedure' else 'FUNCTION'} {name}"
        elif what == "type":
            kind = next((kind for kind in (*_TYPES, "row type") if either(kind)), "enum")
            owner, letter, on = either(kind).get("owner"), "T", f"TYPE {name}"
        elif what == "schema":
            owner, letter, on = either("schema").get("owner"), "n", f"SCHEMA {name}"
        elif what in ("language", "server", "fdw"):
            kind = {"fdw": "foreign data wrapper"}.get(what, what)
            word = {"language": "LANGUAGE", "server": "FOREIGN SERVER", "fdw": "FOREIGN DATA WRAPPER"}[what]
            owner = either(kind).get("owner")
            entries = {f"{owner} USAGE by {owner}"} | ({f"public USAGE by {owner}"} if what == "language" else set())
            return ("", f"{word} {_quoted_again(name)}", entries, frozenset({"USAGE"})) if owner else None
        else:
            return None
        return "", on, self._usual(letter, str(owner)), self._every(letter)

    def _default_place(self, identity: str) -> tuple[str, str, set[str], frozenset[str]] | None:
        found = re.fullmatch(rf"({NAME}) in ({NAME}|\*) on (\w)", identity)
        if not found or found[3] not in _DEFAULT_GRANTS:
            return None
        role, schema, letter = found.groups()
        prefix = "ALTER DEFAULT PRIVILEGES " + (f"FOR ROLE {role} " if role != self.role else "") + (f"IN SCHEMA {schema} " if schema != "*" else "")
        return prefix, _DEFAULT_GRANTS[letter][0], self._usual(letter, role) if schema == "*" else set(), self._every(letter)

    def _every(self, letter: str) -> frozenset[str]:
        rights = _DEFAULT_GRANTS[letter][1]
        return rights if letter != "r" else _TABLE_RIGHTS  # MAINTAIN came with PostgreSQL 17

    def _usual(self, letter: str, owner: str) -> set[str]:
        _, own, public = _DEFAULT_GRANTS[letter]
        own = own if self.major >= 17 else own - {"MAINTAIN"}
        return {f"{owner} {right} by {owner}" for right in own} | {f"public {right} by {owner}" for right in public}


def _rank(key: Key, d: Mapping[str, Any]) -> float:
    if key[0] == "constraint" and d["def"].startswith("FOREIGN KEY"):
        return _ORDER.index("index") + 0.5  # it needs the index of what it refers to
    return _ORDER.index(key[0]) if key[0] in _ORDER else len(_ORDER)


def _differ(kind: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return any(was.get(name) != now.get(name) for name in {**was, **now} if name != "columns") or (kind in ("view", "materialized view") and was != now)


def _by_hand(kind: str, identity: str, what: str) -> Step:
    return Step(todo=f"{kind} {identity} {what}: write by hand what undoes that")


def _attribute(quoted: str, d: Mapping[str, Any]) -> str:
    return f"{quoted} {d['type']}" + (f" COLLATE {d['collation']}" if d.get("collation") else "")


def _bare(expression: str) -> str:
    """Without the parentheses around all of it."""
    if expression.startswith("(") and expression.endswith(")"):
        depth = 0
        for place, sign in enumerate(expression):
            depth += (sign == "(") - (sign == ")")
            if depth == 0 and place < len(expression) - 1:
                return expression
        return expression[1:-1]
    return expression


_FAMILIES = (
    frozenset({"smallint", "integer", "bigint", "numeric", "real", "double precision"}),
    frozenset({"date", "timestamp without time zone", "timestamp with time zone"}),
    frozenset({"text", "character varying", "character", "name"}),
    frozenset({"json", "jsonb"}),
    frozenset({"integer", "boolean"}),
    frozenset({"bit", "bit varying"}),
    frozenset({"inet", "cidr"}),
)


def _converted(column: str, now: str, was: str) -> str:
    """An expression that makes a value of one type one of another: PostgreSQL has a cast for few pairs, but between text and whatever."""
    one, other = (re.sub(r"\([^)]*\)", "", name) for name in (now, was))
    numbers, moments, texts = _FAMILIES[:3]
    if one in moments and other in numbers:
        return f"extract(epoch FROM {column})::{was}"
    if one in numbers and other in moments:
        return f"to_timestamp({column})::{was}"
    if one == other or one in texts or other in texts or any(one in family and other in family for family in _FAMILIES):
        return f"{column}::{was}"
    return f"{column}::text::{was}"


def _only_types(identity: str) -> str:
    """Of ``f(a integer, b text)`` what pg_identify_object says: ``integer,text``; good for plain arguments."""
    inside = identity.split("(", 1)[1].rsplit(")", 1)[0]
    parts = [re.sub(rf"^(?:(?:IN|INOUT|VARIADIC) )?{NAME} (?=\S)", "", part.strip()) if " " in part.strip() else part.strip() for part in inside.split(",")]
    return ",".join(parts)


def _query(d: Mapping[str, Any]) -> str:
    return str(d["query"]).rstrip().removesuffix(";")


def _publish(d: Mapping[str, Any]) -> str:
    actions = [word for field, word in (("pubinsert", "insert"), ("pubupdate", "update"), ("pubdelete", "delete"), ("pubtruncate", "truncate")) if d.get(field)]
    text = f"publish = '{', '.join(actions)}'"
    return text + (", publish_via_partition_root = true" if d.get("pubviaroot") else "")


def _policy_rest(d: Mapping[str, Any], *, always: bool = False) -> str:
    roles = ["PUBLIC" if role == "public" else role for role in d.get("roles") or ()]
    text = f" TO {', '.join(roles)}" if roles and (always or roles != ["PUBLIC"]) else ""
    if d.get("using") is not None:
        text += f" USING ({_bare(d['using'])})"
    if d.get("check") is not None:
        text += f" WITH CHECK ({_bare(d['check'])})"
    return text


def _option_changes(was: Mapping[str, str], now: Mapping[str, str], prefix: str) -> list[str]:
    found = []
    kept = {name: value for name, value in was.items() if now.get(name) != value}
    gone = [f"{prefix}{name}" for name in now if name not in was]
    if kept:
        found.append(f"SET ({_option_list(kept, prefix)})")
    if gone:
        found.append(f"RESET ({', '.join(gone)})")
    return found


def _index_options(found: re.Match[str] | None) -> dict[str, str]:
    return {} if found is None else {name: value.strip("'") for name, value in (part.split("=", 1) for part in found[1].split(", "))}


def _column_settings(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What follows ALTER COLUMN name, for all that is neither type, default nor nullability."""
    found = []
    if was.get("storage") != now.get("storage"):
        usual = (
            "x"
            if re.match(r"text|character varying|json|bytea|xml|character|.*\[\]|ts", was["type"])
            else "m"
            if was["type"].startswith(("numeric", "inet", "cidr"))
            else "p"
        )
        found.append(f"SET STORAGE {_STORAGE[was.get('storage') or usual]}")
    if was.get("compression") != now.get("compression"):
        found.append(f"SET COMPRESSION {({'p': 'pglz', 'l': 'lz4'}).get(str(was.get('compression')), 'DEFAULT')}")
    if was.get("stats") != now.get("stats"):
        found.append(f"SET STATISTICS {was.get('stats', -1)}")
    return found + _option_changes(_options(was.get("options")), _options(now.get("options")), "")


def _sequence_options(was: Mapping[str, Any], now: Mapping[str, Any], *, changed: bool = False, largest: int | None = None) -> str:
    """Options of a sequence that are not what a new one has, or, changed, not what they are now."""
    kind = was["type"]
    top = largest or _LARGEST[kind]
    up = was["inc"] > 0
    usual = now if changed else {"type": "bigint", "inc": 1, "min": 1 if up else -top - 1, "max": top if up else -1, "cache": 1, "cycle": False}
    usual = {**usual, "start": now["start"] if changed else was["min"] if up else was["max"]}
    text = f" AS {kind}" if kind != usual["type"] else ""
    for field, word in (("inc", "INCREMENT BY"), ("min", "MINVALUE"), ("max", "MAXVALUE"), ("start", "START WITH"), ("cache", "CACHE")):
        if was[field] != usual[field]:
            text += f" {word} {was[field]}"
    if bool(was["cycle"]) != bool(usual["cycle"]):
        text += " CYCLE" if was["cycle"] else " NO CYCLE"
    return text


def _operator(identity: str) -> str:
    return identity.replace("(-,", "(NONE,")


def _operator_call(text: str) -> str:
    """``public.+(integer,integer)`` -> ``OPERATOR(public.+)``."""
    name = text.split("(", maxsplit=1)[0]
    return f"OPERATOR({name})" if "." in name else name


def _quoted_again(name: str) -> str:
    """Quote a name that the catalog row gives as it is."""
    return quote(name)


def quote(name: str) -> str:
    """Quote an identifier where it needs that, as quote_ident() does."""
    import postgast

    if re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        token = postgast.scan(name).tokens[0]
        kinds = postgast.pg_query_pb2.KeywordKind
        if token.keyword_kind in (kinds.NO_KEYWORD, kinds.UNRESERVED_KEYWORD):
            return name
    return '"' + name.replace('"', '""') + '"'


def default_name(table: str, columns: Sequence[str], label: str) -> str:
    """Name that PostgreSQL gives a thing on a table, without quotes, unless that is taken: cut as makeObjectName() does. Table and columns may be quoted."""
    first = unquoted(split_last(table)[1] or table).encode()
    second = "_".join(unquoted(column) for column in columns).encode()
    room = 63 - len(label) - 1 - (1 if second else 0)
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = [part.decode(errors="ignore") for part in (first, second) if part]
    return "_".join((*parts, label))


_SUBJECTS = (
    (re.compile(r"(?:table|view|materialized view|foreign table|composite type) column (.*)", re.DOTALL), "COLUMN {0}"),
    (re.compile(rf"(?:table )constraint ({NAME}) on (.*)", re.DOTALL), "CONSTRAINT {0} ON {1}"),
    (re.compile(rf"domain constraint ({NAME}) on (.*)", re.DOTALL), "CONSTRAINT {0} ON DOMAIN {1}"),
    (re.compile(rf"policy ({NAME}) on (?:table )?(.*)", re.DOTALL), "POLICY {0} ON {1}"),
    (re.compile(rf"trigger ({NAME}) on (?:table )?(.*)", re.DOTALL), "TRIGGER {0} ON {1}"),
    (re.compile(rf"rule ({NAME}) on (?:table )?(.*)", re.DOTALL), "RULE {0} ON {1}"),
    (re.compile(r"composite type (.*)", re.DOTALL), "TYPE {0}"),
    (re.compile(r"statistics object (.*)", re.DOTALL), "STATISTICS {0}"),
    (re.compile(r"foreign-data wrapper (.*)", re.DOTALL), "FOREIGN DATA WRAPPER {0}"),
    (re.compile(r"transform for (.*) on language (.*)", re.DOTALL), "TRANSFORM FOR {0} LANGUAGE {1}"),
    (
        re.compile(
            r"(table|view|materialized view|foreign table|index|sequence|type|schema|extension|function|procedure|aggregate|operator class|operator family|operator|cast|collation"
            r"|conversion|publication|subscription|event trigger|text search configuration|text search dictionary|text search parser|text search template|language|server"
            r"|access method) (.*)",
            re.DOTALL,
        ),
        "{0} {1}",
    ),
)


def comment_subject(identity: str) -> str | None:
    """What stands between COMMENT ON and IS, for the identity that pg_identify_object() gives; None for one that cannot have a comment."""
    for pattern, text in _SUBJECTS:
        found = pattern.fullmatch(identity)
        if found:
            parts = found.groups()
            return text.format(parts[0].upper(), *parts[1:]) if text.startswith("{0} ") else text.format(*parts)
    return None


def restore(old: Objects, new: Objects, *, role: str | None = None, major: int = 18, concurrently: bool = False) -> list[Step]:
    """Write what leads from the new state of a schema back to the old one.

    Parameters
    ----------
    old, new : Objects
        Two values of schema_snapshot().
    role : str, optional
        Owner of what the migrations make, as PostgreSQL quotes it: what belongs to that role is made without naming an owner.
    major : int
        PostgreSQL's version on which the result is to run: it keeps names of not-null constraints from 18 on.
    concurrently : bool
        Make and drop indexes CONCURRENTLY.

    Returns
    -------
    list of Step
        In the order in which they are to run. Every name is qualified by its schema.
    """
    return _Restorer(old, new, role=role, major=major, concurrently=concurrently).steps()
