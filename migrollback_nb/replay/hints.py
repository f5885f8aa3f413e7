"""What a statement that failed may have missed, and the way out: a schema, a role or a right that the platform gives. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from migrollback_nb.files.preludes import SHIPPED, SUPABASE_SCHEMAS, Prelude, find
from migrollback_nb.files.requirements import created_roles, required_roles
from migrollback_nb.parsing.objects import statement_objects

#: What PostgreSQL says when a name is not there: an object of another kind (a role, a type), a schema, a relation, a
#: routine.
_NOT_THERE = frozenset({"42704", "3F000", "42P01", "42883"})
_NOT_ALLOWED = "42501"


@cache
def supabase_roles() -> frozenset[str]:
    """The roles that the stand-in for Supabase makes."""
    [supabase] = find(SHIPPED[0])
    return frozenset(created_roles(supabase.roles))


def schemas_and_roles(sql: str) -> tuple[frozenset[str], frozenset[str]]:
    """(schemas, roles) that the statements of a text name and do not make themselves, bodies of code included; none where it does not parse."""
    found = statement_objects(sql)
    made = {
        mention.name
        for one in found
        for mention in one.mentions
        if mention.space == "schema" and mention.action == "created"
    }
    schemas = {mention.schema for one in found for mention in one.mentions if mention.schema is not None}
    schemas |= {
        mention.name
        for one in found
        for mention in one.mentions
        if mention.space == "schema" and mention.action == "used"
    }
    return frozenset(schemas - made - {"pg_catalog", "information_schema"}), required_roles(sql)


def way_out(
    sqlstate: str | None,
    statement: str | None,
    *,
    schemas: Collection[str],
    roles: Collection[str],
    preludes: Sequence[Prelude],
    named: bool,
    is_super: bool,
) -> str | None:
    """What is missing and what helps, in words; None where nothing of the kind is.

    Parameters
    ----------
    sqlstate, statement : str or None
        What failed, and how.
    schemas, roles : collection of str
        That are there now.
    preludes : sequence of Prelude
        That have run.
    named : bool
        The server was named, so that nothing of it is ours to change.
    is_super : bool
        It ran as a superuser.
    """
    if statement is None:
        return None
    if sqlstate == _NOT_ALLOWED and named and not is_super:
        return (
            "it ran as a role without that right: connect --on as one that has it, or leave the server unnamed, then a"
            " superuser of a private one runs it"
        )
    if sqlstate not in _NOT_THERE:
        return None
    named_schemas, named_roles = schemas_and_roles(statement)
    lacking = sorted(named_schemas - set(schemas)), sorted(named_roles - set(roles))
    if lacking == ([], []):
        return None
    said = ", ".join([f"schema {name}" for name in lacking[0]] + [f"role {name}" for name in lacking[1]])
    first = f"not there, and made by no migration before: {said}"
    of_supabase = set(lacking[0]) & SUPABASE_SCHEMAS or set(lacking[1]) & supabase_roles()
    if of_supabase and not any(prelude.is_stand_in for prelude in preludes):
        return (
            f"{first}. On Supabase that is there from the start: --prelude supabase puts a stand-in for it there first"
        )
    if lacking[1] and named:
        make = " ".join('CREATE ROLE "' + role.replace('"', '""') + '" NOLOGIN;' for role in lacking[1])
        return f"{first}. No role is made on a server that is named: run there {make}, or leave the server unnamed"
    return f"{first}. A file that makes it can run first: --prelude FILE"
