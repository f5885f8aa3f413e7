"""GRANT, REVOKE and ALTER DEFAULT PRIVILEGES that bring the grants on one object back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from migrollback_nb.core.object_names import NAME, split_last
from migrollback_nb.undo.ddl.objects import RELATIONS, ROUTINES, TYPES, Definition, Key, Step, by_hand
from migrollback_nb.undo.ddl.states import Schemas

_TABLE_RIGHTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"})
_NONE: frozenset[str] = frozenset()
#: Which letter pg_default_acl gives a kind, what SQL calls it there, and the rights that the owner and everybody have
#: by default.
_DEFAULTS = {
    "r": ("TABLES", _TABLE_RIGHTS | {"MAINTAIN"}, _NONE),
    "S": ("SEQUENCES", frozenset({"USAGE", "SELECT", "UPDATE"}), _NONE),
    "f": ("ROUTINES", frozenset({"EXECUTE"}), frozenset({"EXECUTE"})),
    "T": ("TYPES", frozenset({"USAGE"}), frozenset({"USAGE"})),
    "n": ("SCHEMAS", frozenset({"USAGE", "CREATE"}), _NONE),
    "L": ("LARGE OBJECTS", frozenset({"SELECT", "UPDATE"}), _NONE),
}
#: What has USAGE alone: by its word in an identity, (kind, what SQL calls it).
_USED = {
    "language": ("language", "LANGUAGE"),
    "server": ("server", "FOREIGN SERVER"),
    "fdw": ("foreign data wrapper", "FOREIGN DATA WRAPPER"),
}
#: What an identity of a grant begins with, by the kind of its object: those to which default privileges apply.
_WORDS = {
    **dict.fromkeys(RELATIONS - {"composite type"}, "relation"),
    **dict.fromkeys(ROUTINES, "routine"),
    **dict.fromkeys(TYPES, "type"),
    "schema": "schema",
}
#: ``grantee RIGHT * by grantor``; the star is the grant option.
_ENTRY = re.compile(rf"({NAME}|-) ([A-Z ]+?)( \*)? by (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Granted:
    """On what there are grants."""

    on: str  #: what stands behind ON
    usual: AbstractSet[str] = frozenset()  #: the entries that a new one has
    every: AbstractSet[str] = frozenset()  #: all rights that there are on it
    column: str = ""  #: the column, in parentheses
    prefix: str = ""  #: what stands before GRANT
    letter: str = ""  #: of its kind in pg_default_acl; none for what has no default privileges
    schema: str = ""  #: in which it lies
    key: Key = ("", "")  #: the object
    owner: str = ""  #: of it


def grants_of_new(schemas: Schemas, kind: str, identity: str) -> list[Step]:
    """Take back what default privileges give to an object that is created again, where it had no grants before."""
    word = _WORDS.get(kind)
    if word is None or f"{word} {identity}" in schemas.old.get("grant", {}):
        return []
    return grant_steps(schemas, "grant", f"{word} {identity}", fresh=True)


def grant_steps(schemas: Schemas, kind: str, identity: str, *, fresh: bool = False) -> list[Step]:
    """Bring the grants on one object back; fresh: it was just created again and has those of a new one."""
    granted = _granted(schemas, identity) if kind == "grant" else _default(schemas, identity)
    if granted is None:
        return [by_hand(kind, identity, "was changed")]
    had = schemas.old.get(kind, {}).get(identity)
    has = None if fresh else schemas.new.get(kind, {}).get(identity)
    # what PostgreSQL or an extension brought says itself with which rights it came
    brought = (had or has or {}).get("initial")
    usual = granted.usual if brought is None else set(brought)
    before = set(had["acl"] or ()) if had is not None else usual
    if has is not None:
        after = set(has["acl"] or ())
    else:
        is_new = fresh or granted.key in schemas.dropped
        after = _acl_of_new(schemas, granted) if is_new and brought is None and granted.letter else set(usual)
    found = []
    for (grantee, option), rights in sorted(_taken(after - before, before).items()):
        found.append(
            _step(granted, f"REVOKE {'GRANT OPTION FOR ' if option else ''}", rights, f"FROM {_who(schemas, grantee)}")
        )
    for (grantee, option), rights in sorted(_given(before - after).items()):
        found.append(
            _step(granted, "GRANT ", rights, f"TO {_who(schemas, grantee)}{' WITH GRANT OPTION' if option else ''}")
        )
    return found


def as_grants(schemas: Schemas, identity: str, d: Definition) -> list[str]:
    """The rights on one object as statements: the owner's left out, and what everybody usually has taken back."""
    granted = _granted(schemas, identity)
    if granted is None:
        return []
    entries = [
        entry
        for entry in d["acl"] or ()
        if (parsed := _ENTRY.fullmatch(entry)) is None or parsed[1] != parsed[4]  # the owner's are by the owner
    ]
    has = {parsed[1] for parsed in map(_ENTRY.fullmatch, entries) if parsed is not None}
    public = {
        parsed[2] for parsed in map(_ENTRY.fullmatch, granted.usual) if parsed is not None and parsed[1] == "public"
    }
    steps = [_step(granted, "REVOKE ", public, "FROM PUBLIC")] if public and "public" not in has else []
    steps += [
        _step(granted, "GRANT ", rights, f"TO {_who(schemas, grantee)}{' WITH GRANT OPTION' if option else ''}")
        for (grantee, option), rights in sorted(_given(entries).items())
    ]
    return [step.sql for step in steps if step.sql is not None]


def _acl_of_new(schemas: Schemas, granted: _Granted) -> set[str]:
    """The entries that an object has when it is created: its kind's, or what default privileges say."""
    creator = schemas.role
    by_default = schemas.new.get("default grant", {})
    of_all = by_default.get(f"{creator} in * on {granted.letter}")
    of_schema = by_default.get(f"{creator} in {granted.schema} on {granted.letter}", {}).get("acl") or ()
    if of_all is None and not of_schema:
        return set(granted.usual)
    own = _usual(granted.letter, str(creator), schemas.major)
    found = {*(own if of_all is None else of_all["acl"] or ()), *of_schema}
    # who gets it afterwards takes the creator's place in its rights too
    return {
        re.sub(rf" by {re.escape(str(creator))}$", f" by {granted.owner}", _given_to(entry, creator, granted.owner))
        for entry in found
    }


def _given_to(entry: str, creator: str | None, owner: str) -> str:
    return f"{owner}{entry.removeprefix(str(creator))}" if entry.startswith(f"{creator} ") else entry


def _step(granted: _Granted, verb: str, rights: AbstractSet[str], whom: str) -> Step:
    column = f" {granted.column}" if granted.column else ""
    listed = (
        "ALL"
        if granted.every and rights >= granted.every
        else ", ".join(f"{right}{column}" for right in sorted(rights))
    )
    return Step(sql=f"{granted.prefix}{verb}{listed} ON {granted.on} {whom}")


def _who(schemas: Schemas, grantee: str) -> str:
    return "PUBLIC" if grantee == "public" else schemas.role_name(grantee)


# -- entries of an access list -----------------------------------------------------------------------------------------


def _taken(entries: Iterable[str], before: AbstractSet[str]) -> dict[tuple[str, bool], set[str]]:
    """(grantee, whether only the grant option goes) -> rights to revoke."""
    grouped: dict[tuple[str, bool], set[str]] = {}
    for parsed in filter(None, map(_ENTRY.fullmatch, entries)):
        grantee, right, option, grantor = parsed.groups()
        had_otherwise = f"{grantee} {right}{'' if option else ' *'} by {grantor}" in before
        if option or not had_otherwise:  # else it only gets its grant option back
            grouped.setdefault((grantee, bool(option) and had_otherwise), set()).add(right)
    return grouped


def _given(entries: Iterable[str]) -> dict[tuple[str, bool], set[str]]:
    """(grantee, whether with grant option) -> rights to grant."""
    grouped: dict[tuple[str, bool], set[str]] = {}
    for parsed in filter(None, map(_ENTRY.fullmatch, entries)):
        grantee, right, option, _ = parsed.groups()
        grouped.setdefault((grantee, bool(option)), set()).add(right)
    return grouped


# -- what the grants are on --------------------------------------------------------------------------------------------


def _granted(schemas: Schemas, identity: str) -> _Granted | None:
    what, _, name = identity.partition(" ")

    def either(kind: str) -> Definition:
        return schemas.old.get(kind, {}).get(name) or schemas.new.get(kind, {}).get(name) or {}

    def first(kinds: Iterable[str], otherwise: str) -> str:
        return next((kind for kind in kinds if either(kind)), otherwise)

    match what:
        case "column":
            table, column = split_last(name)
            return _Granted(on=table, column=f"({column})")
        case "relation":
            kind = first(RELATIONS, "table")
            letter, on = ("S", f"SEQUENCE {name}") if kind == "sequence" else ("r", name)
        case "routine":
            kind = first(ROUTINES, "function")
            letter, on = "f", f"{'PROCEDURE' if kind == 'procedure' else 'FUNCTION'} {name}"
        case "type":
            kind = first((*TYPES, "row type"), "enum")
            letter, on = "T", f"TYPE {name}"
        case "schema":
            kind, letter, on = "schema", "n", f"SCHEMA {name}"
        case _ if what in _USED:
            kind, word = _USED[what]
            owner = either(kind).get("owner")
            entries = {f"{owner} USAGE by {owner}"} | ({f"public USAGE by {owner}"} if what == "language" else set())
            return _Granted(on=f"{word} {name}", usual=entries, every={"USAGE"}) if owner else None
        case _:
            return None
    owner = str(either(kind).get("owner"))
    return _Granted(
        on=on,
        usual=_usual(letter, owner, schemas.major),
        every=_every(letter),
        letter=letter,
        schema="" if letter == "n" else split_last(name.split("(", maxsplit=1)[0])[0],
        key=(kind, name),
        owner=owner,
    )


def _default(schemas: Schemas, identity: str) -> _Granted | None:
    found = re.fullmatch(rf"({NAME}) in ({NAME}|\*) on (\w)", identity)
    if not found or found[3] not in _DEFAULTS:
        return None
    role, schema, letter = found.groups()
    for_role = f"FOR ROLE {role} " if role != schemas.role else ""
    in_schema = f"IN SCHEMA {schema} " if schema != "*" else ""
    usual = _usual(letter, role, schemas.major) if schema == "*" else _NONE
    return _Granted(
        prefix=f"ALTER DEFAULT PRIVILEGES {for_role}{in_schema}",
        on=_DEFAULTS[letter][0],
        usual=usual,
        every=_every(letter),
    )


def _every(letter: str) -> frozenset[str]:
    return _DEFAULTS[letter][1] if letter != "r" else _TABLE_RIGHTS  # MAINTAIN came with PostgreSQL 17


def _usual(letter: str, owner: str, major: int) -> set[str]:
    _, own, public = _DEFAULTS[letter]
    own = own if major >= 17 else own - {"MAINTAIN"}
    return {f"{owner} {right} by {owner}" for right in own} | {f"public {right} by {owner}" for right in public}
