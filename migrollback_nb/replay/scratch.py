"""Creates scratch databases for one piece of work, with a rollback system of their own, and drops them at its end.

By default on the embedded server, or on another that is started for this alone: see `scratch_server`. On a named server
a scratch database gets a name that no other has; what a killed process left behind is dropped by the next.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrollback_nb.core.errors import UsageError, from_sqlstate
from migrollback_nb.core.text import first_few
from migrollback_nb.database import Database
from migrollback_nb.database.connection import find_dsn, open_connection
from migrollback_nb.files.requirements import Requirements, requirements_of
from migrollback_nb.replay import patience, scratch_platform
from migrollback_nb.replay.scratch_server import lacking_extensions, server_for
from migrollback_nb.servers import programs

if TYPE_CHECKING:
    from migrollback_nb.database.settings import Timeouts
    from migrollback_nb.files.migration import MigrationFile
    from migrollback_nb.files.preludes import Prelude

#: What the name of every scratch database begins with: leftovers are recognized by it.
PREFIX = "migrollback_scratch_"
#: Parameters whose value is a list of names.
_LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries", "DateStyle"}
)


@dataclass(slots=True)
class Scratch:
    """A scratch database; `scratch` creates one.

    Attributes
    ----------
    schema : str
        Schema of the rollback system, which no SQL but ours can name: its name is another each time.
    server : str
        Where it is, in words.
    bin : Path
        Folder of PostgreSQL's programs (psql, pg_dump) that fit this server, or None on a named server.
    remarks : tuple of str
        What was created there beside the database, or is missing: roles, stand-ins.
    """

    schema: str
    server: str
    bin: Path | None
    _dsn: str = field(repr=False)  # of the server's maintenance database; may hold a password
    admin: psycopg.Connection = field(repr=False)  #: connection to the server's maintenance database
    _timeouts: Timeouts | None = field(repr=False)
    name: str = ""  #: of the database
    remarks: tuple[str, ...] = ()
    alone: bool = False  #: on a server that was started for this
    roles: set[str] | None = field(default=None, repr=False)  #: that were there before; None where they do not matter
    _created: list[str] = field(default_factory=list, repr=False)
    _open: list[Database] = field(default_factory=list, repr=False)

    @property
    def dsn(self) -> str:
        """A DSN of the scratch database. It may hold a password: not for output."""
        return self.dsn_of(self.name)

    def dsn_of(self, database: str) -> str:
        """A DSN of another database that this scratch has created. It may hold a password: not for output."""
        return make_conninfo(self._dsn, dbname=database)

    @property
    def database(self) -> Database:
        """A connection to the scratch database, always the same while it lasts."""
        for opened in self._open:
            if opened.target.database == self.name and not opened.connection.closed:
                return opened
        return self.connect()

    def connect(self, database: str | None = None) -> Database:
        """Open a connection to the scratch database, or another of this scratch, until it is closed. Writes nothing."""
        opened = patience.patiently(
            lambda: Database.connect(
                self.dsn_of(database or self.name),
                found_in="the scratch database",
                schema=self.schema,
                timeouts=self._timeouts,
                interface="scratch",
            )
        )
        self._open.append(opened)
        return opened

    def create(self, *, template: str | None = None) -> str:
        """Create another database here, empty or a copy of one without connections, and return its name. Writes."""
        name = PREFIX + secrets.token_hex(8)
        self._reach()
        # before the database is there: who clears leftovers away must see that it is in use
        self.admin.execute("SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended(%s, 0))", (name,))
        self._created.append(name)
        # template0 and not template1: what others put into template1 is no part of a folder. file_copy takes
        # checkpoints of the whole server: not where others use it. Elsewhere it is faster by far.
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}")
        strategy = sql.SQL("file_copy" if self.alone else "wal_log")
        self.admin.execute(create.format(sql.Identifier(name), sql.Identifier(template or "template0"), strategy))
        # a copy has no settings of its own: they are not kept in the database
        settings = self.admin.execute(
            "SELECT s.setting FROM pg_catalog.pg_db_role_setting r JOIN pg_catalog.pg_database d ON d.oid ="
            " r.setdatabase CROSS JOIN LATERAL pg_catalog.unnest(r.setconfig) AS s (setting) WHERE d.datname = %s AND"
            " r.setrole = 0",
            (template,),
        ).fetchall()
        for (setting,) in settings:
            parameter, _, value = setting.partition("=")
            self._set_for(name, parameter, value)
        return name

    def _set_for(self, name: str, parameter: str, value: str) -> None:
        # lists are kept as they were written, and are written like that again
        written = sql.SQL(value) if parameter in _LISTS else sql.Literal(value)
        self.admin.execute(
            sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                sql.Identifier(name), sql.Identifier(*parameter.split(".")), written
            )
        )

    def drop(self, name: str) -> None:
        """Drop a database that this scratch has created. Writes; ends the sessions that are connected to it."""
        for database in [database for database in self._open if database.target.database == name]:
            database.close()
            self._open.remove(database)
        if name not in self._created:
            return
        self._reach()
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self.admin.execute("SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%s, 0))", (name,))
        self._created.remove(name)

    def _reach(self) -> None:
        """Connect to the server's maintenance database again where that connection is lost. Writes nothing."""
        if self.admin.closed:
            self.admin = patience.patiently(
                lambda: open_connection(self._dsn, found_in="the scratch database's server")
            )

    @property
    def owns_server(self) -> bool:
        """Whether the server is there for this alone: whatever changes there, this has changed."""
        return self.alone or self.roles is not None

    def role_names(self) -> frozenset[str]:
        """The names of all roles of the server. Does not write."""
        self._reach()
        return frozenset(scratch_platform.roles_of(self.admin))

    def keep_roles(self, names: frozenset[str]) -> None:
        """Drop all other roles, and create those of them that are gone: on a server of our own alone. Writes roles."""
        if not self.owns_server:
            return
        there = self.role_names()
        for role in there - names:
            # one that owns something, or has rights, in a database that stays
            with suppress(psycopg.errors.DependentObjectsStillExist, psycopg.errors.UndefinedObject):
                self.admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        for role in names - there:
            self.admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))

    def install(self, database: Database) -> None:
        """Install the rollback system in a database of this scratch. Writes."""
        database.system.install()

    def close(self) -> None:
        """Close all connections and drop all databases, also after Ctrl-C or when the connection was lost. Writes."""
        for database in self._open:
            database.close()
        try:
            if not self._created:
                return
            try:
                self.admin.execute("SELECT")
            except psycopg.OperationalError:
                self.admin.close()
                self.admin = open_connection(self._dsn, found_in="the scratch database's server")
            for name in list(self._created):
                self.drop(name)
            for role in scratch_platform.roles_of(self.admin) - self.roles if self.roles is not None else ():
                # one that owns something elsewhere stays: it is not ours alone
                with suppress(psycopg.errors.DependentObjectsStillExist, psycopg.errors.UndefinedObject):
                    self.admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        finally:
            self.admin.close()


@contextmanager
def scratch(
    files: Iterable[MigrationFile] = (),
    *,
    on: str | None = None,
    bin: Path | str | None = None,
    own_server: bool = False,
    private: bool = False,
    preludes: Sequence[Prelude] = (),
    timeouts: Timeouts | None = None,
) -> Iterator[Scratch]:
    """A scratch database with the rollback system, for as long as the ``with`` block lasts. Writes: only there.

    Parameters
    ----------
    files : iterable of MigrationFile
        What will run there: it says which extensions and roles are needed.
    on : str, optional
        DSN of a server to use (as in `mr.connect`); a new database is created there. The database that the DSN names is
        only connected to.
    bin : Path or str, optional
        Folder of the programs of a PostgreSQL on this machine, to be started for this alone; by default the variable
        MIGROLLBACK_PG_BIN, and when the embedded server lacks an extension, the machine's own PostgreSQL.
    own_server : bool
        True: the server named in `on` is there for this alone, and the files may change its roles, settings and the
        like.
    private : bool
        True: where no server is named, not the embedded one but a private one from the same programs, without crash
        safety: it takes a second to start and is faster with many transactions and copies.
    preludes : sequence of Prelude
        What runs in the database first.
    timeouts : Timeouts, optional
        Timeouts of the connections.

    Yields
    ------
    Scratch

    Raises
    ------
    UsageError
        When an extension cannot be had, when the files would change what all databases of a named server share,
        when the role may not create databases there, or when a prelude fails.
    ConnectionFailed
        When there is no answer.
    """
    required = requirements_of(files, preludes)
    if on and bin:
        raise UsageError(
            "Both a server (on) and programs (bin) are given for the scratch database", hint="Give one of them."
        )
    if on:
        if required.shared and not own_server:
            shared = first_few(required.shared, separator="; ")
            raise UsageError(
                f"These migrations change what all databases of a server share: {shared}",
                hint=(
                    "Leave the server unnamed: a private one is started for them. Or say --own-server when the named"
                    " one is there for this alone."
                ),
            )
        dsn, found_in = find_dsn(on)
        place = _Place(dsn=dsn, found_in=found_in, words=None, bin=None, own=own_server)
        with _created_on(place, required, preludes, timeouts) as created:
            yield created
        return
    named = bin or os.environ.get(programs.VARIABLE)
    with server_for(required, preludes, None if named is None else Path(named), private=private) as server:
        place = _Place(dsn=server.dsn, found_in=server.words, words=server.words, bin=server.bin, own=server.own)
        with _created_on(place, required, preludes, timeouts) as created:
            yield created


# -- a database on a running server ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A server that runs."""

    dsn: str
    found_in: str  # what errors call the DSN
    words: str | None  # which server it is; None: what it says itself
    bin: Path | None  # folder of its programs, where it is one of ours
    own: bool  # it is there for this alone


@contextmanager
def _created_on(
    place: _Place, required: Requirements, preludes: Sequence[Prelude], timeouts: Timeouts | None
) -> Iterator[Scratch]:
    """A scratch database on a server that runs. What goes wrong inside the block is its user's, and passes as it is."""
    dsn = place.dsn
    if dsn == "embedded" or dsn.startswith("embedded/"):
        from migrollback_nb.servers import embedded

        dsn = embedded.start()
    admin = patience.patiently(
        lambda: open_connection(dsn, found_in=place.found_in, application_name="migrollback_nb scratch"),
        trouble=patience.no_room,
    )
    version = admin.info.server_version
    words = place.words or f"PostgreSQL {version // 10000}.{version % 10000} at {admin.info.host or 'local'}"
    created = Scratch(
        schema=f"migrollback_{secrets.token_hex(4)}",
        server=words,
        bin=place.bin,
        _dsn=dsn,
        admin=admin,
        _timeouts=timeouts,
    )
    try:
        with _translated(words):
            available = {
                name: comment or ""
                for name, comment in admin.execute(
                    "SELECT name, comment FROM pg_catalog.pg_available_extensions"
                ).fetchall()
            }
            if lacking := required.extensions.keys() - available.keys():
                raise lacking_extensions(required, lacking, f"{words} has not", preludes)
            drop_leftovers(admin)
            # a server that we have started goes with its roles
            created.roles = scratch_platform.roles_of(admin) if place.own and place.bin is None else None
            created.alone = place.own and place.bin is not None
            remarks = scratch_platform.provide_roles(admin, words, required, preludes, own=place.own)
            created.name = created.create()
        created.install(created.database)
        ours = {name for name in required.extensions if scratch_platform.is_stand_in(available[name])}
        for prelude in preludes:
            remarks += scratch_platform.run_prelude(created.dsn, words, prelude, ours)
        created.remarks = tuple(remarks)
        yield created
    finally:
        created.close()


@contextmanager
def _translated(words: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(
            f"No scratch database can be created on {words}: {error.diag.message_primary}",
            hint="Connect as a role that has CREATEDB, or leave the server unnamed.",
        ) from error
    except psycopg.Error as error:
        raise from_sqlstate(
            error.sqlstate,
            error.diag.message_primary or str(error),
            detail=error.diag.message_detail,
            hint=error.diag.message_hint,
        ) from error


def drop_leftovers(connection: psycopg.Connection) -> None:
    """Drop the scratch databases of this role that no process uses any more. Writes.

    A scratch database is in use while its process holds a lock on its name; `pg_locks` shows those of all databases.
    """
    rows = connection.execute(
        "SELECT d.datname FROM pg_catalog.pg_database d CROSS JOIN LATERAL (SELECT"
        " pg_catalog.hashtextextended(d.datname::text, 0) AS key) k WHERE pg_catalog.starts_with(d.datname::text, %s)"
        " AND pg_catalog.pg_has_role(d.datdba, 'USAGE') AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE"
        " l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = k.key) AND NOT"
        " EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datname = d.datname)",
        (PREFIX,),
    ).fetchall()
    for (name,) in rows:
        # another process may be clearing up too, or another session be connected to it by now
        with suppress(psycopg.errors.InvalidCatalogName, psycopg.errors.ObjectInUse):
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
