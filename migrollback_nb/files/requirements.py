"""What a folder requires of the server that it is replayed on: extensions, roles, the server to itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import postgast
from postgast import pg_query_pb2 as tree

from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.parsing import plpgsql
from migrollback_nb.parsing.parse_tree import parsed_statements

if TYPE_CHECKING:
    from postgast.pg_query_pb2 import Node

    from migrollback_nb.files.preludes import Prelude

#: Statements that change what all databases of a server share, and what they are called.
_SHARED = {
    "create_role_stmt": "CREATE ROLE",
    "alter_role_stmt": "ALTER ROLE",
    "alter_role_set_stmt": "ALTER ROLE",
    "drop_role_stmt": "DROP ROLE",
    "grant_role_stmt": "GRANT of a role",
    "drop_owned_stmt": "DROP OWNED",
    "reassign_owned_stmt": "REASSIGN OWNED",
    "alter_system_stmt": "ALTER SYSTEM",
    "createdb_stmt": "CREATE DATABASE",
    "dropdb_stmt": "DROP DATABASE",
    "alter_database_stmt": "ALTER DATABASE",
    "alter_database_set_stmt": "ALTER DATABASE",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "drop_table_space_stmt": "DROP TABLESPACE",
    "alter_table_space_options_stmt": "ALTER TABLESPACE",
    "create_subscription_stmt": "CREATE SUBSCRIPTION",
}
_SHARED_OBJECTS = frozenset(
    postgast.pg_query_pb2.ObjectType.Value(name) for name in ("OBJECT_ROLE", "OBJECT_DATABASE", "OBJECT_TABLESPACE")
)
#: The same inside bodies of code, which may build their SQL by hand.
_SHARED_WORDS = re.compile(
    r"\b(?:(?:create|alter|drop)\s+(?:role|user(?!\s+mapping)|group|database|tablespace)"
    r"|alter\s+system|(?:drop|reassign)\s+owned)\b",
    re.IGNORECASE,
)
#: CREATE ROLE in a body of code, and the name after it, where it is written out.
_CREATES_ROLE = re.compile(
    r"\bcreate\s+(?:role|user(?!\s+mapping)|group)\s+(?:\"((?:[^\"]|\"\")+)\"|([a-z_][\w$]*))?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a folder requires of a server."""

    extensions: dict[str, str]  #: name -> place of the first CREATE EXTENSION, as file:line
    shared: tuple[str, ...]  #: statements that change what all databases of the server share, as file:line: CREATE ROLE
    #: that it names and does not create -> place of the first mention, as file:line
    roles: dict[str, str] = field(default_factory=dict)


def requirements_of(files: Iterable[MigrationFile], preludes: Iterable[Prelude] = ()) -> Requirements:
    """What these migrations require, up and back, and what runs before them. Pure.

    Parameters
    ----------
    files : iterable of MigrationFile
        Validated. Parts that do not parse are left out: they cannot run either.
    preludes : iterable of Prelude
        Files that run before them. A stand-in requires nothing but its roles, which it brings.
    """
    texts = [(prelude.name, prelude.text, 1) for prelude in preludes if not prelude.is_stand_in]
    for file in files:
        texts.append((file.path, file.up.text, 1))
        if file.rollback is not None:
            texts.append((file.path, file.rollback.sql, file.rollback.line))
    return _requirements_of_texts(texts)


def required_roles(sql: str) -> frozenset[str]:
    """The roles that a text names and does not create itself; none where it does not parse. Pure."""
    return frozenset(_requirements_of_texts([("", sql, 1)]).roles)


def _requirements_of_texts(texts: Iterable[tuple[str, str, int]]) -> Requirements:
    """What texts require, each with its path and the number of its first line."""
    extensions: dict[str, str] = {}
    shared: list[str] = []
    named: dict[str, str] = {}
    created: set[str] = set()
    for path, text, first_line in texts:
        for node, line, statement in _statements(text):
            place = f"{path}:{line + first_line - 1}"
            if node.WhichOneof("node") == "create_extension_stmt":
                extensions.setdefault(node.create_extension_stmt.extname, place)
            if (words := _shared(node, statement)) is not None:
                shared.append(f"{place}: {words}")
            for role in _roles_named(node, statement):
                named.setdefault(role, place)
            created |= _created_roles(node, statement)
    # "" is a name that is put together: then it cannot be said which roles it creates itself
    roles = (
        {}
        if "" in created
        else {role: place for role, place in named.items() if role not in created and not role.startswith("pg_")}
    )
    return Requirements(extensions=extensions, shared=tuple(shared), roles=roles)


def _roles_named(node: Node, statement: str) -> Iterator[str]:
    """Roles that must be there when it runs."""
    for role in postgast.find_nodes(node, tree.RoleSpec):
        if role.roletype == tree.RoleSpecType.ROLESPEC_CSTRING:
            yield role.rolename
    if node.WhichOneof("node") == "grant_role_stmt":
        for granted in node.grant_role_stmt.granted_roles:
            yield granted.access_priv.priv_name
    elif node.WhichOneof("node") == "do_stmt":
        body = plpgsql.parse_body(statement)
        for query in () if body is None else body.queries:
            if not query.built:
                for inner, _, text in _statements(query.sql):
                    yield from _roles_named(inner, text)


def created_roles(text: str) -> tuple[str, ...]:
    """The roles that a text's own statements create, in order. Pure."""
    return tuple(
        node.create_role_stmt.role for node, _, _ in _statements(text) if node.WhichOneof("node") == "create_role_stmt"
    )


def _created_roles(node: Node, statement: str) -> set[str]:
    kind = node.WhichOneof("node")
    if kind == "create_role_stmt":
        return {node.create_role_stmt.role}
    if kind == "rename_stmt" and node.rename_stmt.rename_type == tree.ObjectType.OBJECT_ROLE:
        return {node.rename_stmt.newname}
    if kind in ("do_stmt", "create_function_stmt"):
        return {quoted.replace('""', '"') or plain.lower() for quoted, plain in _CREATES_ROLE.findall(statement)}
    return set()


def _statements(text: str) -> Iterator[tuple[Node, int, str]]:
    """(The statement, its line, its text) of a text."""
    data = text.encode()
    for node, begin, statement in parsed_statements(text):
        blank = len(statement) - len(statement.lstrip())
        yield node, data.count(b"\n", 0, begin) + statement[:blank].count("\n") + 1, statement


def _shared(node: Node, statement: str) -> str | None:
    kind = node.WhichOneof("node") or ""
    if kind in _SHARED:
        return _SHARED[kind]
    if kind == "comment_stmt" and node.comment_stmt.objtype in _SHARED_OBJECTS:
        return "COMMENT on what all databases share"
    if kind == "rename_stmt" and node.rename_stmt.rename_type in _SHARED_OBJECTS:
        return "RENAME of what all databases share"
    if kind == "alter_owner_stmt" and node.alter_owner_stmt.object_type in _SHARED_OBJECTS:
        return "OWNER of what all databases share"
    if kind == "grant_stmt" and node.grant_stmt.objtype in _SHARED_OBJECTS:
        return "GRANT on what all databases share"
    if kind in ("do_stmt", "create_function_stmt") and (found := _SHARED_WORDS.search(statement)):
        return f"{' '.join(found.group().upper().split())} in a body of code"
    return None
