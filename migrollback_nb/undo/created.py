"""What an up migration creates itself, by the names under which its later statements speak of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from migrollback_nb.parsing.creates import ObjectKey
from migrollback_nb.parsing.parse_tree import OBJECT, ON_TABLE, RELATIONS, ROUTINES, names, object_word, types

_IN_NO_SCHEMA = frozenset(
    {
        OBJECT.OBJECT_SCHEMA,
        OBJECT.OBJECT_EXTENSION,
        OBJECT.OBJECT_PUBLICATION,
        OBJECT.OBJECT_EVENT_TRIGGER,
        OBJECT.OBJECT_LANGUAGE,
    }
)
_IN_A_SCHEMA = {
    **dict.fromkeys(RELATIONS, "relation"),
    OBJECT.OBJECT_TYPE: "type",
    OBJECT.OBJECT_DOMAIN: "type",
    OBJECT.OBJECT_STATISTIC_EXT: "statistics",
    OBJECT.OBJECT_COLLATION: "collation",
}


@dataclass(slots=True, eq=False)
class Created:
    """An object that this up migration creates."""

    index: int  #: of the statement that creates it
    name: str  #: not quoted, without its schema
    moved: bool = False  #: to another schema since: what stands on it may clash with something where it goes back to


class CreatedObjects:
    """All that the statements so far have created, and not dropped again."""

    def __init__(self) -> None:
        self._by_key: dict[ObjectKey, Created] = {}

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._by_key

    def __getitem__(self, key: ObjectKey) -> Created:
        return self._by_key[key]

    def get(self, key: ObjectKey | None) -> Created | None:
        """What is known by this key."""
        return None if key is None else self._by_key.get(key)

    def add(self, created: Created, keys: Iterable[ObjectKey]) -> None:
        """Keep what a statement created."""
        self._by_key.update(dict.fromkeys(keys, created))

    def forget(self, created: Created) -> None:
        """Forget an object: it is dropped again."""
        self._by_key = {key: other for key, other in self._by_key.items() if other is not created}

    def younger_than(self, created: Created) -> set[str]:
        """Names of what was created after it."""
        return {other.name for other in self._by_key.values() if other.index > created.index}

    def rename(self, key: ObjectKey, name: str) -> Created | None:
        """Give something another name, and with a relation to all that stands on it; say what it was."""
        created = self._by_key.pop(key, None)
        if created is not None:
            at = 3 if key[0] in ("column", "constraint", "trigger", "policy", "rule") else 2
            self._by_key[(*key[:at], name, *key[at + 1 :])] = created
        if key[0] == "relation":
            for other in [
                other for other in self._by_key if len(other) == 4 and other[0] != "routine" and other[1:3] == key[1:3]
            ]:
                self._by_key[other[0], other[1], name, other[3]] = self._by_key.pop(other)
        return created

    def move(self, key: ObjectKey, schema: str) -> Created | None:
        """Put something into another schema; say what it was."""
        created = self._by_key.pop(key, None)
        if created is not None:
            created.moved = True
            self._by_key[(key[0], schema, *key[2:])] = created
        return created

    def keys_of(self, kind: str, name: str, schema: str | None = None) -> list[ObjectKey]:
        """The keys of a kind with this name, whatever the arguments; schema None: in any."""
        return [key for key in self._by_key if key[0] == kind and key[2] == name and schema in (None, key[1])]

    def by_name(self, kind: int, item: Any, default_schema: str) -> Created | None:
        """What a statement such as DROP, COMMENT or GRANT names, if it was created here."""
        parts = names(item)
        if not parts:
            return None
        schema = parts[-2] if len(parts) > 1 else default_schema
        if kind in ROUTINES:
            wanted = item.object_with_args
            arguments = types(argument.type_name for argument in wanted.objargs)
            alike = self.keys_of("routine", parts[-1], schema)
            return next(
                (self[key] for key in alike if wanted.args_unspecified or key[3] in (arguments, arguments or "*")), None
            )
        if kind in ON_TABLE:
            return self.get(
                (object_word(kind).lower(), parts[-3] if len(parts) > 2 else default_schema, parts[-2], parts[-1])
            )
        if kind in _IN_NO_SCHEMA:
            return self.get((object_word(kind).lower(), None, parts[-1]))
        if kind in _IN_A_SCHEMA:
            return self.get((_IN_A_SCHEMA[kind], schema, parts[-1]))
        return None
