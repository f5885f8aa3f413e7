"""What a scratch database has before the first migration, as on its platform: roles and preludes. Writes there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from migrollback_nb.core.errors import UsageError
from migrollback_nb.database.connection import open_connection
from migrollback_nb.files.requirements import created_roles

if TYPE_CHECKING:
    from migrollback_nb.files.preludes import Prelude
    from migrollback_nb.files.requirements import Requirements

#: In the comment of every stand-in for an extension.
_OURS = "migrollback_nb"


def is_stand_in(comment: str | None) -> bool:
    """Whether an extension is a stand-in of ours, going by its comment. Pure."""
    return _OURS in (comment or "")


def roles_of(connection: psycopg.Connection) -> set[str]:
    """The names of all roles of a server. Does not write."""
    return {name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()}


def provide_roles(
    admin: psycopg.Connection, words: str, required: Requirements, preludes: Sequence[Prelude], *, own: bool
) -> list[str]:
    """Create the roles that are named and missing, where the server is there for this alone. Writes roles.

    Parameters
    ----------
    admin : psycopg.Connection
        To the server.
    words : str
        Which server it is.
    own : bool
        The server is there for this alone.

    Returns
    -------
    list of str
        What was created, or is missing and was not.

    Raises
    ------
    UsageError
        When a stand-in grants rights to roles that a server of others has not.
    """
    there = roles_of(admin)
    for prelude in preludes:
        there |= _provide_roles_of(admin, words, prelude, there, own=own)
    missing = sorted(required.roles.keys() - there)
    if not missing:
        return []
    said = ", ".join(f"{role} ({required.roles[role]})" for role in missing)
    create = [sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)) for role in missing]
    if own:
        for statement in create:
            admin.execute(statement)
        return [
            f"Roles that the migrations name and none of them creates were created for this, without any right: {said}"
        ]
    text = " ".join(f"{statement.as_string(None)};" for statement in create)
    return [
        f"{words} has not the roles that the migrations name: {said}. None is created on a server that is named:"
        f" run there {text}, or leave the server unnamed"
    ]


def _provide_roles_of(
    admin: psycopg.Connection, words: str, prelude: Prelude, there: set[str], *, own: bool
) -> set[str]:
    """Create the roles that a prelude brings and that are not there; those that it created."""
    brings = created_roles(prelude.roles)
    missing = [role for role in brings if role not in there]
    if missing and not own:
        raise UsageError(
            f"The stand-in {prelude.name} grants rights to roles that {words} has not: {', '.join(missing)}",
            hint=(
                "Create them there yourself; or leave the server unnamed, and a private one is started that has them;"
                " or say --own-server when the named one is there for this alone."
            ),
        )
    # as they were written where none is there yet; on a server that has some of them, only the others, without their
    # memberships
    if missing and len(missing) == len(brings):
        admin.execute(prelude.roles.encode())
    else:
        for role in missing:
            admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    return set(missing)


def run_prelude(dsn: str, words: str, prelude: Prelude, stand_ins: set[str]) -> list[str]:
    """Run a prelude on a connection of its own, for a dump sets its session's search_path. Writes what it writes.

    Parameters
    ----------
    dsn : str
        Of the scratch database.
    words : str
        Which server it is on.
    stand_ins : set of str
        Extensions that the migrations require, and for which this server has stand-ins only.

    Returns
    -------
    list of str
        What stands in for what.

    Raises
    ------
    UsageError
        When it fails; with its line.
    """
    with open_connection(dsn, found_in="the scratch database", application_name="migrollback_nb scratch") as connection:
        try:
            connection.execute(prelude.text.encode())
        except psycopg.Error as error:
            raise _prelude_failed(prelude, words, error) from error
        if not prelude.is_stand_in:
            return []
        found = connection.execute(
            "SELECT e.extname, pg_catalog.obj_description(e.oid, 'pg_extension') FROM pg_catalog.pg_extension e"
        ).fetchall()
    if not prelude.text:
        listed = ", ".join(sorted(stand_ins))
        missing = "Extensions that this server has not are stand-ins there, names with nothing behind them"
        return [f"{missing}: {listed}"] if stand_ins else []
    names = sorted(stand_ins | {name for name, comment in found if is_stand_in(comment)})
    also = f"; so are the extensions {', '.join(names)}" if names else ""
    return [
        f"What a {prelude.name.capitalize()} database holds before the first migration is a stand-in: its names and"
        f" rights, and no service behind them{also}"
    ]


def _prelude_failed(prelude: Prelude, words: str, error: psycopg.Error) -> UsageError:
    place = error.diag.statement_position
    line = "" if place is None else f":{prelude.text.count(chr(10), 0, int(place) - 1) + 1}"
    role = (
        ", as a role that may create all that it holds: leave the server unnamed, or connect as its superuser."
        if error.sqlstate == "42501"
        else "."
    )
    return UsageError(
        f"The prelude {prelude.name}{line} fails on {words}: {error.diag.message_primary or error} ({error.sqlstate})",
        hint=f"It must run in a new, empty database{role}",
    )
