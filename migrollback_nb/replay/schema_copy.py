"""A copy of a database's schema, without its rows, on a scratch database: pg_dump reads the one, psql fills the other.

The target meets one reading transaction of pg_dump and a few queries, and is written nothing: it may as well be a
standby.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, LiteralString

from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.html import visible
from migrollback_nb.database import Database
from migrollback_nb.files.migration import parse
from migrollback_nb.files.preludes import extensions_only, without_own_options
from migrollback_nb.replay.scratch import Scratch, scratch
from migrollback_nb.replay.scratch_platform import roles_of
from migrollback_nb.servers import embedded
from migrollback_nb.servers.programs import ProgramFailed
from migrollback_nb.servers.schema_dump import dump_schema, restore_schema

if TYPE_CHECKING:
    from migrollback_nb.database.session import Row
    from migrollback_nb.database.settings import Timeouts

#: Word for "on a scratch database of this machine", where a DSN may stand too.
HERE = "scratch"


@dataclass(slots=True)
class SchemaCopy:
    """A copy of a schema; `copied` creates one."""

    database: Database  #: a connection to it, with the target's own rollback system and history
    server: str  #: where it is, in words
    dsn: str = field(repr=False)  #: it may hold a password: not for output
    remarks: tuple[str, ...] = ()  #: in what it differs from the target


@contextmanager
def copied(target: Database, *, on: str = HERE, timeouts: Timeouts | None = None) -> Iterator[SchemaCopy]:
    """A copy of the target's schema for as long as the ``with`` block lasts. Writes: only there.

    Parameters
    ----------
    target : Database
        What is copied: schema, roles that it names, and the history of its migrations, but no rows of its tables.
    on : str
        ``scratch`` for a database on this machine, or the DSN of a server that has the roles and extensions.
    timeouts : Timeouts, optional
        Timeouts of the connection to the copy.

    Raises
    ------
    UsageError
        When an extension or a role is missing there, or the schema cannot be dumped or restored; with what the program
        said.
    """
    roles = _roles(target) if on == HERE else []
    extensions = [
        row["extname"]
        for row in _ask(target, "SELECT e.extname FROM pg_catalog.pg_extension e WHERE e.extname <> 'plpgsql'")
    ]
    # what a server must have for it, in the form in which scratch() asks for it
    wanted = [f"CREATE EXTENSION {_quoted(name)};" for name in extensions] + [
        f"CREATE ROLE {_quoted(role['rolname'])};" for role in roles
    ]
    with scratch(
        [parse("\n".join(wanted), name="0_target")],
        on=None if on == HERE else on,
        preludes=extensions_only() if on == HERE else (),
        timeouts=timeouts,
    ) as place:
        if on != HERE:
            _require_roles(place, [role["rolname"] for role in _roles(target)])
        _create_roles(place, target, roles)
        # the system that scratch() has installed would stand in the way of none of the target's objects, but it would
        # be compared with them
        place.database.connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(place.schema)))
        _copy_schema(target, place)
        _copy_history(target, place)
        user = target.target.user if roles else None
        dsn = make_conninfo(place.dsn, user=user) if user else place.dsn
        opened = Database.connect(
            dsn,
            found_in="the copy of the schema",
            schema=target.session.schema,
            timeouts=timeouts,
            interface=target.session.interface,
        )
        try:
            yield SchemaCopy(
                database=opened, server=place.server, dsn=dsn, remarks=(*_differences(target, opened), *place.remarks)
            )
        finally:
            opened.close()


def _ask(database: Database, query: LiteralString) -> list[Row]:
    return database.queries.catalog_rows(query)


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _roles(target: Database) -> list[Row]:
    """The roles that the target's objects name and the one that is connected, with those they are members of.

    None where postgres is the only one.
    """
    rows = _ask(
        target,
        "WITH RECURSIVE named (oid) AS (SELECT s.refobjid FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d"
        " ON d.datname = pg_catalog.current_database() WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND"
        " (s.dbid = d.oid OR s.classid = 'pg_catalog.pg_database'::regclass AND s.objid = d.oid) UNION SELECT d.datdba"
        " FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() UNION SELECT r.oid FROM"
        " pg_catalog.pg_roles r WHERE r.rolname IN (current_user, session_user) OR r.oid = 10 UNION SELECT m.roleid"
        " FROM named n JOIN pg_catalog.pg_auth_members m ON m.member = n.oid) SELECT r.rolname, r.rolsuper,"
        " r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolbypassrls, r.rolreplication, ARRAY(SELECT g.rolname::text"
        " FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid) AS"
        " belongs_to FROM named n JOIN pg_catalog.pg_roles r ON r.oid = n.oid WHERE r.rolname !~ '^pg_' ORDER BY"
        " r.rolname",
    )
    return rows if [row["rolname"] for row in rows] != ["postgres"] else []


def _differences(target: Database, copy: Database) -> tuple[str, ...]:
    """In what the copy may behave differently, in words."""
    found = []
    is_super = "SELECT r.rolsuper AS yes FROM pg_catalog.pg_roles r WHERE r.rolname = current_user"
    if _ask(copy, is_super)[0]["yes"] and not _ask(target, is_super)[0]["yes"]:
        found.append(
            f"It ran as a superuser, which {target.target.user} is not on the target: missing rights could not be seen"
        )
    if copy.target.server_version.split(".")[0] != target.target.server_version.split(".")[0]:
        found.append(
            f"It ran on PostgreSQL {copy.target.server_version}, but the target is {target.target.server_version}"
        )
    return tuple(found)


def _require_roles(place: Scratch, names: list[str]) -> None:
    there = roles_of(place.database.connection)
    if missing := [name for name in names if name not in there]:
        raise UsageError(
            f"The schema names roles that {place.server} has not: {', '.join(missing)}",
            hint="Create them there, or rehearse with --on scratch, which starts a server of its own with these roles.",
        )


_ATTRIBUTES = ("super", "inherit", "createrole", "createdb", "bypassrls", "replication")


def _create_roles(place: Scratch, target: Database, roles: list[Row]) -> None:
    """Create the target's roles on a server that is there for this alone. No passwords: only its owner reaches it."""
    connection = place.database.connection
    for role in roles:
        words = [
            ("" if role[f"rol{attribute}"] else "NO") + ("SUPERUSER" if attribute == "super" else attribute.upper())
            for attribute in _ATTRIBUTES
        ]
        if role["rolname"] != "postgres":  # the role that creates all this stays superuser
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN {}").format(sql.Identifier(role["rolname"]), sql.SQL(" ".join(words)))
            )
    for role in roles:
        for group in role["belongs_to"]:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(role["rolname"])))
    if roles:
        owner = _ask(
            target,
            "SELECT r.rolname FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba WHERE"
            " d.datname = pg_catalog.current_database()",
        )
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                sql.Identifier(place.name), sql.Identifier(owner[0]["rolname"])
            )
        )
        may = _ask(
            target,
            "SELECT p.what FROM pg_catalog.unnest('{CREATE,TEMPORARY,CONNECT}'::text[]) AS p (what) WHERE"
            " pg_catalog.has_database_privilege(current_user, pg_catalog.current_database(), p.what)",
        )
        for row in may:
            connection.execute(
                sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
                    sql.SQL(row["what"]), sql.Identifier(place.name), sql.Identifier(target.target.user)
                )
            )


def _copy_schema(target: Database, place: Scratch) -> None:
    """pg_dump | psql."""
    folder = place.bin or embedded.bin_folder()
    try:
        dump = dump_schema(target.connection, folder)
    except ProgramFailed as error:
        raise UsageError(
            f"pg_dump cannot read the schema: {_shown(error.said)}",
            hint="Connect as a role that may read all of it, or rehearse on the target itself.",
        ) from error
    # in whatever encoding it is, the lines that are meant read the same
    dump = without_own_options(dump.decode("latin-1")).encode("latin-1")
    try:
        restore_schema(dump, place.dsn, folder, server_version=place.database.connection.info.server_version)
    except ProgramFailed as error:
        raise UsageError(
            f"The schema cannot be restored on {place.server}: {_shown(error.said)}",
            hint="Name a server that is like this one with --on postgresql://..., or rehearse on the target itself.",
        ) from error


def _shown(said: str) -> str:
    return "\n".join(line for line in visible(said).splitlines() if line.strip())[:2000]


def _copy_history(target: Database, place: Scratch) -> None:
    """Copy the rows that the gate asks and that say ownership, but neither the audit log nor the snapshots."""
    connection = place.database.connection
    for table in ("migration_history", "migration_dependencies", "migration_objects"):
        name = sql.Identifier(target.session.schema, table)
        if connection.execute("SELECT pg_catalog.to_regclass(%s) IS NULL", (name.as_string(None),)).fetchone() == (
            True,
        ):
            continue
        rows = target.connection.execute(sql.SQL("SELECT pg_catalog.to_jsonb(t) FROM {} t").format(name)).fetchall()
        generated = connection.execute(
            "SELECT a.attname::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = pg_catalog.to_regclass(%s) AND"
            " a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''",
            (name.as_string(None),),
        ).fetchall()
        columns = sql.SQL(", ").join(sql.Identifier(column) for (column,) in generated)
        # as a literal: with parameters psycopg would take a % in the schema's name for a placeholder
        insert = sql.SQL(
            "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM"
            " pg_catalog.jsonb_populate_recordset(NULL::{table}, {rows})"
        )
        connection.execute(insert.format(table=name, columns=columns, rows=Jsonb([row for (row,) in rows])))
