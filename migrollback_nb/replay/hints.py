"""What a statement that failed may have missed, and what helps: a schema, a role or a right that the platform gives.

Only `server_of` asks a database; nothing here writes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from migrollback_nb.files.extension_functions import functions_named, missing_words
from migrollback_nb.files.preludes import SHIPPED, SUPABASE_SCHEMAS, Prelude, find
from migrollback_nb.files.requirements import created_roles, required_roles
from migrollback_nb.parsing.objects import statement_objects

if TYPE_CHECKING:
    import psycopg

#: What PostgreSQL says when a name is not there: an object of another kind (a role, a type), a schema, a relation, a
#: routine.
_NOT_THERE = frozenset({"42704", "3F000", "42P01", "42883"})
_NOT_ALLOWED = "42501"
_NO_FUNCTION = "42883"
#: What a new Supabase project has, and the stand-in for it.
_OF_SUPABASE = frozenset({"uuid-ossp", "pgcrypto"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the statement ran."""

    schemas: Collection[str]  #: that are there now
    roles: Collection[str]  #: that are there now
    routines: Collection[str]  #: names of the functions and procedures that are there now
    preludes: Sequence[Prelude]  #: that have run
    named: bool  #: the server was named, so that nothing of it is ours to change
    is_super: bool  #: it ran as a superuser


def server_of(connection: psycopg.Connection, *, preludes: Sequence[Prelude], named: bool) -> Server:
    """What there is on the server of a connection. Does not write."""
    schemas = [name for (name,) in connection.execute("SELECT nspname FROM pg_catalog.pg_namespace").fetchall()]
    roles = [name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()]
    routines = [name for (name,) in connection.execute("SELECT DISTINCT proname FROM pg_catalog.pg_proc").fetchall()]
    [is_super] = connection.execute(
        "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
    ).fetchone() or [False]
    return Server(schemas=schemas, roles=roles, routines=routines, preludes=preludes, named=named, is_super=is_super)


@cache
def supabase_roles() -> frozenset[str]:
    """The roles that the stand-in for Supabase creates. Pure but for its files."""
    [supabase] = find(SHIPPED[0])
    return frozenset(created_roles(supabase.roles))


def schemas_and_roles(sql: str) -> tuple[frozenset[str], frozenset[str]]:
    """(schemas, roles) that a text names and does not create itself, bodies of code included. Pure.

    None where it does not parse.
    """
    mentions = [mention for one in statement_objects(sql) for mention in one.mentions]
    created = {mention.name for mention in mentions if mention.space == "schema" and mention.action == "created"}
    schemas = {mention.schema for mention in mentions if mention.schema is not None}
    schemas |= {mention.name for mention in mentions if mention.space == "schema" and mention.action == "used"}
    return frozenset(schemas - created - {"pg_catalog", "information_schema"}), required_roles(sql)


def hint_for(sqlstate: str | None, statement: str | None, server: Server) -> str | None:
    """What is missing and what helps, in words; None where nothing of the kind is. Pure.

    Parameters
    ----------
    sqlstate, statement : str or None
        How it failed, and which statement.
    server : Server
        Where it ran.
    """
    if statement is None:
        return None
    if sqlstate == _NOT_ALLOWED and server.named and not server.is_super:
        return (
            "it ran as a role without that right: connect --on as one that has it, or leave the server unnamed, then a"
            " superuser of a private one runs it"
        )
    if sqlstate not in _NOT_THERE:
        return None
    schemas, roles = schemas_and_roles(statement)
    lacking_schemas, lacking_roles = sorted(schemas - set(server.schemas)), sorted(roles - set(server.roles))
    if not lacking_schemas and not lacking_roles:
        return _of_extensions(statement, server) if sqlstate == _NO_FUNCTION else None
    said = ", ".join([f"schema {name}" for name in lacking_schemas] + [f"role {name}" for name in lacking_roles])
    lacking = f"not there, and created by no migration before: {said}"
    of_supabase = not SUPABASE_SCHEMAS.isdisjoint(lacking_schemas) or not supabase_roles().isdisjoint(lacking_roles)
    if of_supabase and not any(prelude.is_stand_in for prelude in server.preludes):
        return (
            f"{lacking}. On Supabase that is there from the start: --prelude supabase puts a stand-in for it there"
            " first"
        )
    if lacking_roles and server.named:
        create = " ".join(f"CREATE ROLE {_in_quotes(role)} NOLOGIN;" for role in lacking_roles)
        return (
            f"{lacking}. No role is created on a server that is named: run there {create}, or leave the server unnamed"
        )
    return f"{lacking}. A file that creates it can run first: --prelude FILE"


def _of_extensions(statement: str, server: Server) -> str | None:
    """Which functions of extensions a statement calls that are not there, and what helps; None without one."""
    there = set(server.routines)
    missing = {name: extension for name, extension in functions_named(statement).items() if name not in there}
    if not missing:
        return None
    extensions = sorted(set(missing.values()))
    create = " ".join(f"CREATE EXTENSION {_in_quotes(extension)};" for extension in extensions)
    said = f"{missing_words(missing.items())}, which no migration before creates"
    if not _OF_SUPABASE.isdisjoint(extensions) and not any(prelude.is_stand_in for prelude in server.preludes):
        return (
            f"{said}. On Supabase that is there from the start: --prelude supabase puts a stand-in for it there first."
            f" Elsewhere a file that creates it can run first: --prelude FILE, with {create}"
        )
    return f"{said}. A file that creates it can run first: --prelude FILE, with {create}"


def _in_quotes(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
