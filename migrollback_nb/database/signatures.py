"""Arguments of our SQL functions, read from the statements that create them. Reads files.

A call writes out all of them with their types: one that leaves an argument out, or leaves a type to PostgreSQL, may be
answered by a function of the same name that another role put into the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from migrollback_nb.database.system_files import repeated_files

#: Types as our SQL spells them -> their names in pg_catalog, which can be qualified; `int` and the like are grammar.
_IN_CATALOG = {"boolean": "bool", "int": "int4", "bigint": "int8", "double precision": "float8"}
_CREATES = re.compile(r"CREATE OR REPLACE FUNCTION migrollback_schema\.(\w+)\(")


class Argument(NamedTuple):
    """One argument of a function."""

    name: str
    type: str  #: qualified, as SQL
    default: str | None  #: as SQL, with {schema} for our schema; None: it must be given


def qualified_type(spelled: str) -> str:
    """The name of a built-in type that no search_path changes: pg_catalog.int4[] for int[]; pure."""
    base = spelled.removesuffix("[]")
    return f"pg_catalog.{_IN_CATALOG.get(base, base)}{spelled[len(base) :]}"


class _Signatures(Mapping[str, tuple[Argument, ...]]):
    """Read one by one: a process calls a few of five hundred functions, and reading all takes as long as starting."""

    def __init__(self) -> None:
        self._places = {
            start[1]: (file.text, start.end()) for file in repeated_files() for start in _CREATES.finditer(file.text)
        }
        self._read: dict[str, tuple[Argument, ...]] = {}

    def __getitem__(self, name: str) -> tuple[Argument, ...]:
        if name not in self._read:
            parts = _parts(*self._places[name])
            self._read[name] = tuple(_argument(part) for part in parts if not part.startswith("OUT "))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@cache
def signatures() -> Mapping[str, tuple[Argument, ...]]:
    """Name of each of our functions -> what it is given, in order. Reads files, once."""
    return _Signatures()


@cache
def identities() -> tuple[str, ...]:
    """Our functions as PostgreSQL tells them apart: name(type, type), as by oidvectortypes(). Reads files, once."""
    long = {
        "pg_catalog.int4": "integer",
        "pg_catalog.bool": "boolean",
        "pg_catalog.int8": "bigint",
        "pg_catalog.float8": "double precision",
    }
    long["pg_catalog.timestamptz"] = "timestamp with time zone"

    def plain(qualified: str) -> str:
        base = qualified.removesuffix("[]")
        return long.get(base, base.removeprefix("pg_catalog.")) + qualified[len(base) :]

    return tuple(
        f"{name}({', '.join(plain(argument.type) for argument in arguments)})"
        for name, arguments in sorted(signatures().items())
    )


def _argument(text: str) -> Argument:
    declared, _, default = text.partition(" DEFAULT ")
    name, _, spelled = declared.partition(" ")
    default = default.replace("{", "{{").replace("}", "}}").replace("migrollback_schema.", "{schema}.")
    return Argument(name, qualified_type(spelled), default or None)


def _parts(text: str, start: int) -> Iterator[str]:
    """The arguments of a list whose opening parenthesis stands just before `start`."""
    depth, quoted, begin = 1, False, start
    for place in range(start, len(text)):
        character = text[place]
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += (character in "([") - (character in ")]")
            if (depth == 0 or (character == "," and depth == 1)) and (part := " ".join(text[begin:place].split())):
                yield part
            if depth == 0:
                return
            if character == "," and depth == 1:
                begin = place + 1
