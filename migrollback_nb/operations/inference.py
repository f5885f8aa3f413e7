"""Which migration needs which earlier one: what each created, and what its text and its bodies name. Pure.

A replay of all applied migrations, in order, over a table of symbols: which created, changed or named which object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from migrollback_nb.core import object_names

if TYPE_CHECKING:
    from migrollback_nb.parsing.objects import Mention, StatementObjects

#: Sources of a dependency, the surest first.
SOURCES = ("catalog", "parsed", "rollback", "body")
_IN_PATH = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')
_RELATIONS = frozenset(
    {"table", "partitioned table", "view", "materialized view", "sequence", "foreign table", "composite type", "index"}
)
_ROUTINES = frozenset({"function", "procedure", "aggregate"})
_TYPES = frozenset({"enum", "domain", "range", "base type"})
#: Kinds that are parts of a relation.
PARTS = frozenset({"column", "constraint", "trigger", "policy", "rule"})
#: A change of one of these matters to its users: they were written for what it has become.
_SHAPED = frozenset({"column", "enum", "domain"})
_Key = tuple[str | None, str]
_Address = tuple[int | None, int | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredDependency:
    """One migration that needs another one, and why."""

    migration_name: str
    depends_on: str
    because: tuple[str, ...]  #: the objects, as "kind identity"
    source: str  #: of `SOURCES`

    @property
    def reason(self) -> str:
        """The objects in one line; of many the first three."""
        more = f" and {len(self.because) - 3} more" if len(self.because) > 3 else ""
        return "; ".join(self.because[:3]) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One applied migration."""

    name: str
    path: tuple[str, ...]  #: schemas in which unqualified names were found
    statements: Sequence[StatementObjects] = ()  #: of its up migration; none where its file is not at hand
    rollback: Sequence[StatementObjects] = ()  #: of its rollback SQL
    rows: Sequence[Mapping[str, Any]] = ()  #: of migration_objects: action, kind, identity, address


@dataclass(slots=True)
class _Symbol:
    kind: str
    name: str  #: as it is shown
    key: _Key  #: under which it, or the relation that it is a part of, was found last
    part: str | None = None
    hands: list[tuple[str, str]] = field(default_factory=list)  #: (migration, created | changed | renamed), in order
    parts: dict[tuple[str, str], _Symbol] = field(
        default_factory=dict
    )  #: (kind, name) -> column, constraint, trigger ...

    # Always the last hand only: that one needs those before it in turn.

    def needed_by_users(self) -> list[str]:
        return [name for name, action in self.hands if action != "changed" or self.kind in _SHAPED][-1:]

    def needed_by_changers(self) -> list[str]:
        return [name for name, action in self.hands if action != "changed" or self.kind not in _RELATIONS][-1:]

    def all_hands(self) -> list[str]:
        return [name for name, _ in self.hands[-1:]] + [
            name for part in self.parts.values() for name, _ in part.hands[-1:]
        ]


@dataclass(frozen=True, slots=True)
class _Watcher:
    """A migration whose rollback SQL names an object: what creates, drops or renames that is rolled back first."""

    migration: str
    creates_or_drops: bool  #: it does not only use it
    part: str | None  #: the column, constraint ... that it names
    names: frozenset[str]  #: what may be columns in the statement


@dataclass(frozen=True, slots=True)
class _Note:
    """What the text of a migration did to an object; told at the end, by the name that it has come to."""

    migration: str
    action: str  #: created, changed
    symbol: _Symbol
    whole: _Symbol | None = None  #: the relation that it is a part of
    arguments: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As record_parsed_objects() takes it."""
        schema, name = (self.whole or self.symbol).key
        return {
            "migration_name": self.migration,
            "action": self.action,
            "kind": self.symbol.kind,
            "schema": schema,
            "name": name,
            "part": self.symbol.part,
            "arguments": None if self.arguments is None else ", ".join(self.arguments),
            "argument_count": len(self.arguments or ()),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the database knows, now, that texts do not say."""

    #: (schema, function, schema of the table, table) of every trigger
    triggers: Sequence[tuple[str, str, str, str]] = ()
    #: (schema, function) -> fields of NEW and OLD that it names as it stands now
    row_names: Mapping[_Key, frozenset[str]] = field(default_factory=dict)
    #: (space, name) -> extension that brought what is called so, and PostgreSQL itself has nothing of that name
    members: Mapping[tuple[str, str], str] = field(default_factory=dict)
    #: label that was added to an enum later -> (schema, name) of such enums
    labels: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)


class _Replay:
    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.row_names = dict(surroundings.row_names)  #: function -> fields of NEW and OLD that it names
        self.tables_of: dict[_Key, set[_Key]] = {}  #: function -> tables whose triggers call it
        for function_schema, function, table_schema, table in surroundings.triggers:
            self.tables_of.setdefault((function_schema, function), set()).add((table_schema, table))
        self.perhaps: dict[tuple[str, str], dict[str, None]] = {}  #: (migration, may depend on) -> why
        self.spaces: dict[str, dict[_Key, _Symbol]] = {
            space: {} for space in ("relation", "routine", "type", "schema", "extension")
        }
        self.found: dict[tuple[str, str], dict[str, str]] = {}  #: (migration, depends on) -> object -> source
        self.watchers: dict[tuple[str, _Key], list[_Watcher]] = {}  #: (space, name) -> whose rollback SQL names it
        self.notes: list[_Note] = []  #: what the texts say was created, renamed or changed
        self.addresses: dict[_Address, _Symbol] = {}  #: what was seen in the catalogs, by its address

    # -- names ---------------------------------------------------------------------------------------------------

    def _find(self, space: str, schema: str | None, name: str, path: Sequence[str]) -> tuple[_Key, _Symbol] | None:
        symbols = self.spaces[space]
        for key in (
            [(schema, name)]
            if schema is not None or space in ("schema", "extension")
            else [(one, name) for one in path]
        ):
            if key in symbols:
                return key, symbols[key]
        if space == "type":  # a table is a type as well
            return self._find("relation", schema, name, path)
        return None

    def _meant(self, mention: Mention, path: Sequence[str]) -> tuple[_Key, _Symbol] | None:
        return self._find(mention.space, mention.schema, mention.name, path)

    # -- edges ---------------------------------------------------------------------------------------------------

    def _need(self, step: Step, bases: Iterable[str], symbol: _Symbol, source: str) -> None:
        for base in bases:
            if base != step.name:
                reasons = self.found.setdefault((step.name, base), {})
                shown = f"{symbol.kind} {symbol.name}"
                if SOURCES.index(reasons.get(shown, SOURCES[-1])) >= SOURCES.index(source):
                    reasons[shown] = source

    # -- statements ----------------------------------------------------------------------------------------------

    def _create(self, step: Step, space: str, key: _Key, kind: str) -> _Symbol:
        symbol = _Symbol(kind=kind, name=_shown(key), key=key, hands=[(step.name, "created")])
        self.spaces[space][key] = symbol
        self._disturb(step, space, key, symbol, created=True)
        return symbol

    def _created(self, step: Step, mention: Mention, source: str) -> None:
        found = self._meant(mention, step.path) if mention.part is not None or mention.only_new else None
        if mention.part is None:
            if found is not None and found[1].kind != "relation":
                if mention.kind in ("view", *_ROUTINES):  # OR REPLACE
                    self._need(step, found[1].needed_by_changers(), found[1], source)
                    self._hand(found[1], step, "changed")
                else:
                    self._need(step, found[1].needed_by_users(), found[1], source)
                return
            schema = (
                None
                if mention.space in ("schema", "extension")
                else mention.schema or (step.path[0] if step.path else None)
            )
            if schema is not None and (space := self.spaces["schema"].get((None, schema))) is not None:
                self._need(step, space.needed_by_users(), space, source)
            symbol = self._create(step, mention.space, (schema, mention.name), mention.kind)
            self.notes.append(_Note(step.name, "created", symbol, arguments=mention.arguments))
        elif found is not None:
            key, relation = found
            self._need(step, relation.needed_by_users(), relation, source)
            if not (mention.only_new and (mention.kind, mention.part) in relation.parts):
                part = _Symbol(
                    kind=mention.kind,
                    name=_shown(key, mention.part, mention.kind),
                    key=key,
                    part=mention.part,
                    hands=[(step.name, "created")],
                )
                relation.parts[mention.kind, mention.part] = part
                self._disturb(step, mention.space, key, part, part=mention.part, created=True)
                self.notes.append(_Note(step.name, "created", part, relation))

    def _hand(self, symbol: _Symbol, step: Step, action: str) -> None:
        if (step.name, action) not in symbol.hands and (step.name, "created") not in symbol.hands:
            symbol.hands.append((step.name, action))

    def _note_change(self, step: Step, symbol: _Symbol, whole: _Symbol) -> None:
        last = symbol.hands[-1]
        if last == (step.name, "renamed") or (last == (step.name, "changed") and symbol.kind in _SHAPED):
            self.notes.append(_Note(step.name, "changed", symbol, None if symbol is whole else whole))

    def _do(self, step: Step, mention: Mention, source: str) -> None:
        if mention.action == "created":
            self._created(step, mention, source)
            return
        found = self._meant(mention, step.path)
        if found is None:
            self._use_member(step, mention.space, mention.name, source)
            return
        key, whole = found
        symbol = whole if mention.part is None else whole.parts.get((mention.kind, mention.part))
        if symbol is None:
            self._need(step, whole.needed_by_users(), whole, source)
            return
        match mention.action:
            case "used":
                self._need(step, symbol.needed_by_users(), symbol, source)
            case "changed":
                self._need(step, symbol.needed_by_changers(), symbol, source)
                self._hand(symbol, step, "changed")
                self._note_change(step, symbol, whole)
            case "renamed":
                self._need(step, symbol.needed_by_changers(), symbol, source)
                self._disturb(step, mention.space, key, symbol, part=mention.part)
                self._hand(symbol, step, "renamed")
                self._rename(mention, key, whole, symbol)
                self._note_change(step, symbol, whole)
            case "dropped":
                self._need(step, symbol.all_hands(), symbol, source)
                self._disturb(step, mention.space, key, symbol, part=mention.part)
                if mention.part is not None:
                    del whole.parts[mention.kind, mention.part]
                else:
                    del self._space_of(mention, key)[key]
                    if mention.space == "schema":
                        self._drop_inside(step, mention.name, source)

    def _rename(self, mention: Mention, key: _Key, whole: _Symbol, symbol: _Symbol) -> None:
        if mention.part is not None:
            del whole.parts[mention.kind, mention.part]
            symbol.name = _shown(key, mention.new_name, mention.kind)
            symbol.part = mention.new_name
            whole.parts[mention.kind, mention.new_name or ""] = symbol
        else:
            symbols = self._space_of(mention, key)
            new = (mention.new_schema or key[0], mention.new_name or key[1])
            symbols[new] = symbols.pop(key)
            symbol.name = _shown(new)
            symbol.key = new

    def _space_of(self, mention: Mention, key: _Key) -> dict[_Key, _Symbol]:
        """Where the symbol of a key is: a view, say, may be named as a type."""
        return self.spaces[mention.space] if key in self.spaces[mention.space] else self.spaces["relation"]

    def _drop_inside(self, step: Step, schema: str, source: str) -> None:
        for symbols in self.spaces.values():
            for key in [key for key in symbols if key[0] == schema]:
                symbol = symbols.pop(key)
                self._need(step, symbol.all_hands(), symbol, source)

    def _columns(self, step: Step, statement: StatementObjects, source: str) -> None:
        """Columns of its relations that a statement names: another migration than the table's may have added them."""
        for mention in statement.mentions:
            if (
                mention.space not in ("relation", "type")
                or mention.action == "dropped"
                or (found := self._meant(mention, step.path)) is None
            ):
                continue
            for (kind, name), part in found[1].parts.items():
                if kind == "column" and (name in statement.names or "*" in statement.names):
                    self._need(step, part.needed_by_users(), part, source)

    def _watch(self, step: Step) -> None:
        for statement in step.rollback:
            for mention in statement.mentions if not statement.in_body else ():
                found = self._meant(mention, step.path)
                schema = (
                    None
                    if mention.space in ("schema", "extension")
                    else mention.schema or (step.path[0] if step.path else None)
                )
                key = found[0] if found is not None else (schema, mention.name)
                space = "relation" if found is not None and key not in self.spaces[mention.space] else mention.space
                watcher = _Watcher(
                    step.name, mention.action != "used", mention.part, frozenset(statement.names) | {mention.part or ""}
                )
                self.watchers.setdefault((space, key), []).append(watcher)

    def _disturb(
        self, step: Step, space: str, key: _Key, symbol: _Symbol, *, part: str | None = None, created: bool = False
    ) -> None:
        """An object is created, dropped or renamed that the rollback SQL of an earlier migration names."""
        for watcher in self.watchers.get((space, key), ()):
            if watcher.part == part and watcher.creates_or_drops if created else part is None or part in watcher.names:
                self._need(step, [watcher.migration], symbol, "rollback")

    def _use_member(self, step: Step, space: str, name: str, source: str) -> None:
        """What an extension brought is needed by who names it."""
        extension = self.surroundings.members.get((space, name))
        symbol = None if extension is None else self.spaces["extension"].get((None, extension))
        if symbol is not None:
            self._need(step, symbol.needed_by_users(), symbol, source)

    def _rows_of_triggers(self, step: Step, statement: StatementObjects) -> None:
        """NEW and OLD are rows of the tables whose triggers call a function."""
        if statement.routine is not None and statement.row_names:
            function = self._key_of("routine", statement.routine, step.path)
            self.row_names[function] = statement.row_names
            for table in self.tables_of.get(function, ()):
                self._need_columns(step, table, statement.row_names)
        if statement.trigger is not None:
            table = self._key_of("relation", statement.trigger[0], step.path)
            function = self._key_of("routine", statement.trigger[1], step.path)
            self.tables_of.setdefault(function, set()).add(table)
            self._need_columns(step, table, self.row_names.get(function, frozenset()))

    def _key_of(self, space: str, name: tuple[str | None, str], path: Sequence[str]) -> _Key:
        found = self._find(space, *name, path)
        return found[0] if found is not None else (name[0] or (path[0] if path else None), name[1])

    def _need_columns(self, step: Step, table: _Key, names: frozenset[str]) -> None:
        relation = self.spaces["relation"].get(table)
        for (kind, name), part in relation.parts.items() if relation is not None else ():
            if kind == "column" and name in names:
                self._need(step, part.needed_by_users(), part, "body")

    def _may_need(self, step: Step, statement: StatementObjects) -> None:
        """What texts say and no one can be certain of."""
        for text in statement.texts & self.surroundings.labels.keys():
            for enum in self.surroundings.labels[text]:
                symbol = self.spaces["type"].get(enum)
                for name, action in symbol.hands if symbol is not None else ():
                    if action == "changed" and name != step.name and symbol is not None:
                        self.perhaps.setdefault((step.name, name), {})[f"names '{text}', as enum {symbol.name} has"] = (
                            None
                        )
        for word in statement.built:
            schema, _, name = word.rpartition(".")
            found = self._find("relation", schema or None, name, step.path)
            for base in found[1].needed_by_users() if found is not None else ():
                if base != step.name and found is not None:
                    why = f"builds SQL with the word {found[1].name}"
                    self.perhaps.setdefault((step.name, base), {})[why] = None

    def run(self, step: Step) -> None:
        for statement in step.statements:
            source = "body" if statement.in_body else "parsed"
            here = step if statement.path is None else replace(step, path=statement.path)
            self._columns(here, statement, source)
            for mention in statement.mentions:
                # A body of a function only names things; it does them when it is called.
                self._do(here, mention, source)
            for operator in statement.operators:
                self._use_member(here, "operator", operator, source)
            self._rows_of_triggers(step, statement)
            self._may_need(here, statement)
        for row in step.rows:
            self._take_row(step, row)
        self._watch(step)

    def _take_part(self, step: Step, row: Mapping[str, Any], key: _Key, name: str) -> None:
        """A column or the like that was seen in the catalogs."""
        kind = row["kind"]
        relation = self.spaces["relation"].get(key)
        if relation is None:
            return
        part = relation.parts.get((kind, name))
        before = self.addresses.get(_address(row))
        if part is None and before is not None and relation.parts.get((kind, before.part or "")) is before:
            self._disturb(step, "relation", key, before, part=before.part)  # it had another name
            relation.parts[kind, name] = relation.parts.pop((kind, before.part or ""))
            before.name, before.part = row["identity"], name
            self._hand(before, step, "renamed")
        elif row["action"] == "dropped":
            if relation.parts.pop((kind, name), None) is not None:
                self._disturb(step, "relation", key, relation, part=name)
        elif part is None:
            action = "created" if row["action"] == "created" else "changed"
            part = _Symbol(kind=kind, name=row["identity"], key=key, part=name, hands=[(step.name, action)])
            relation.parts[kind, name] = part
            self._seen(row, part)
        else:
            part.name = row["identity"]
            self._hand(part, step, row["action"])
            self._seen(row, part)

    def _seen(self, row: Mapping[str, Any], symbol: _Symbol) -> None:
        if row.get("class_id") is not None:
            self.addresses[_address(row)] = symbol

    def _take_row(self, step: Step, row: Mapping[str, Any]) -> None:
        """What was seen in the catalogs and the text does not say."""
        kind, names = row["kind"], object_names.parts(row["identity"])
        if kind in PARTS and len(names) == 3:
            self._take_part(step, row, (names[0], names[1]), names[2])
            return
        space = (
            "relation" if kind in _RELATIONS else "routine" if kind in _ROUTINES else "type" if kind in _TYPES else kind
        )
        if space not in self.spaces or len(names) not in (1, 2):
            return
        key: _Key = (names[0], names[1]) if len(names) == 2 else (None, names[0])
        symbol = self.spaces[space].get(key)
        before = self.addresses.get(_address(row))
        if symbol is None and before is not None and self.spaces[space].get(before.key) is before:
            self._disturb(step, space, before.key, before)  # it had another name
            self.spaces[space][key] = self.spaces[space].pop(before.key)
            before.name, before.key = row["identity"], key
            self._hand(before, step, "renamed")
        elif row["action"] == "dropped":
            if symbol is not None and (step.name, "created") not in symbol.hands:
                self._disturb(step, space, key, symbol)
                del self.spaces[space][key]
        elif symbol is None or (row["action"] == "created" and not any(name == step.name for name, _ in symbol.hands)):
            if row["action"] == "created":
                symbol = self._create(step, space, key, kind)
                symbol.name = row["identity"]
                self._seen(row, symbol)
        else:
            symbol.kind, symbol.name = kind, row["identity"]
            self._hand(symbol, step, row["action"])
            self._seen(row, symbol)


def _address(row: Mapping[str, Any]) -> _Address:
    return row.get("class_id"), row.get("object_id"), row.get("column_number")


def _shown(key: _Key, part: str | None = None, kind: str = "column") -> str:
    whole = ".".join(object_names.quoted(name) for name in key if name is not None)
    return whole if part is None else f"{whole}{'.' if kind == 'column' else ' '}{object_names.quoted(part)}"


def path_names(search_path: str | None) -> tuple[str, ...]:
    """The schemas of a search_path, as it is recorded.

    Examples
    --------
    >>> path_names('public, "App One"')
    ('public', 'App One')
    """
    return tuple(
        quoted.replace('""', '"') if quoted or not plain else plain
        for quoted, plain in _IN_PATH.findall(search_path or "")
    )


@dataclass(frozen=True, slots=True)
class Found:
    """What a replay found."""

    edges: list[InferredDependency]  #: in the order of the dependents
    created: list[dict[str, Any]]  #: what the texts say that each created, as record_parsed_objects() takes it
    perhaps: dict[str, list[dict[str, str]]]  #: migration -> what it may need and is not certain


def infer(
    steps: Iterable[Step],
    known: Iterable[Mapping[str, Any]] = (),
    surroundings: Surroundings | None = None,
) -> Found:
    """Which migration needs which earlier one.

    Parameters
    ----------
    steps : iterable of Step
        What is applied, in order.
    known : iterable of mapping
        Rows of infer_migration_dependencies(): what the catalogs say. Where they have an edge, their objects are its
        reason.

    surroundings : Surroundings, optional
        What the database knows besides.
    """
    replay = _Replay(surroundings or Surroundings())
    order: dict[str, int] = {}
    for step in steps:
        order[step.name] = len(order)
        replay.run(step)
    found: dict[tuple[str, str], InferredDependency] = {}
    for row in known:
        found[row["migration_name"], row["depends_on"]] = InferredDependency(
            migration_name=row["migration_name"],
            depends_on=row["depends_on"],
            because=tuple(row["because"]),
            source=row["source"],
        )
    for (name, base), reasons in replay.found.items():
        if (name, base) not in found:
            source = min(reasons.values(), key=SOURCES.index)
            because = sorted((shown for shown, one in reasons.items() if one == source), key=lambda shown: shown)
            found[name, base] = InferredDependency(
                migration_name=name, depends_on=base, because=tuple(because), source=source
            )
    edges = sorted(found.values(), key=lambda edge: (order.get(edge.migration_name, 0), order.get(edge.depends_on, 0)))
    perhaps: dict[str, list[dict[str, str]]] = {}
    for (name, base), why in replay.perhaps.items():
        if (name, base) not in found:
            perhaps.setdefault(name, []).append({"depends_on": base, "because": "; ".join(why)})
    return Found(edges, [note.to_dict() for note in replay.notes], perhaps)
