"""Where to connect, by DSN, service or environment; opens connections. No password gets into an error."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import psycopg

from migrollback_nb.core.errors import ConnectionFailed, UsageError
from migrollback_nb.database.meanwhile import WorkingConnection

#: Variables that may hold a DSN, in this order.
DSN_VARIABLES = ("MIGROLLBACK_DSN", "DATABASE_URL", "SUPABASE_DB_URL")
#: Variables of libpq any of which says that a connection is meant.
LIBPQ_VARIABLES = ("PGSERVICE", "PGHOST", "PGHOSTADDR", "PGDATABASE")

#: Variables of Supabase's HTTP interface, which people have at hand.
HTTP_VARIABLES = ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY")

HOW_TO_CONNECT = (
    "Name a database with --dsn (or mr.connect(...)), with the variable MIGROLLBACK_DSN, DATABASE_URL or"
    " SUPABASE_DB_URL, with libpq's PGSERVICE or PGHOST and its like, or use --dsn embedded for the private server that"
    " comes with the package."
)


def find_dsn(dsn: str | None = None, *, service: str | None = None, env: str | None = None) -> tuple[str, str]:
    """Find out which connection is meant; does not connect.

    Parameters
    ----------
    dsn : str, optional
        A connection URI or ``key=value`` string, or what the caller understands besides: ``embedded``, and
        ``embedded/NAME`` for another database of that server.
    service : str, optional
        Name of a service in ``pg_service.conf``.
    env : str, optional
        Name of an environment variable that holds a DSN.

    Returns
    -------
    (str, str)
        The DSN, and in words where it was found.

    Raises
    ------
    UsageError
        When more than one is given, the variable is empty, or nothing says where to connect: nothing is fallen back on
        silently.
    """
    given = [name for name, value in (("dsn", dsn), ("service", service), ("env", env)) if value]
    if len(given) > 1:
        raise UsageError(f"Both {' and '.join(given)} are given", hint="Give one of them.")
    if dsn:
        return dsn, "the DSN that was given"
    if service:
        return psycopg.conninfo.make_conninfo(service=service), f"service {service}"
    if env:
        if not os.environ.get(env):
            raise UsageError(f"The environment variable {env} is not set", hint=HOW_TO_CONNECT)
        return os.environ[env], f"variable {env}"
    return _from_environment()


def in_scope(dsn: str, scope: str, *, found_in: str = "the DSN that was given") -> str:
    """The DSN with a tenant's schema as the session's scope, and first in its path, then ``public``; pure.

    Raises
    ------
    UsageError
        When the DSN cannot be understood.
    """
    known = connection_options(dsn, found_in=found_in).get("options", "")
    quoted = '"' + scope.replace('"', '""') + '"'
    path, name = (
        "".join(f"\\{sign}" if sign in " \\" else sign for sign in text)  # as libpq reads its options
        for text in (quoted, scope)
    )
    options = f"{known} -c search_path={path},public -c migrollback.scope={name}"
    return psycopg.conninfo.make_conninfo(dsn, options=options.strip())


def _from_environment() -> tuple[str, str]:
    """What the usual variables say, where no one of them is named."""
    for variable in DSN_VARIABLES:
        if value := os.environ.get(variable):
            return value, f"variable {variable}"
    for variable in LIBPQ_VARIABLES:
        if os.environ.get(variable):
            return "", f"variable {variable}"
    if http := [variable for variable in HTTP_VARIABLES if os.environ.get(variable)]:
        raise UsageError(
            f"No database was named: {' and '.join(http)} {'are' if len(http) > 1 else 'is'} no database address,"
            " but for Supabase's HTTP interface",
            hint=(
                "Copy the connection string (postgresql://...) that the project's dashboard shows under Connect, or"
                " that supabase status shows for a local stack, into SUPABASE_DB_URL or --dsn."
            ),
        )
    raise UsageError("No database was named", hint=HOW_TO_CONNECT)


def connection_options(
    dsn: str, *, found_in: str = "the DSN that was given", application_name: str = "migrollback_nb"
) -> dict[str, Any]:
    """What psycopg is given for a DSN: its own parts, and what every connection of ours has; pure.

    Raises
    ------
    UsageError
        When the DSN cannot be understood. It is not printed: it may hold a password.
    """
    scheme, separator, rest = dsn.partition("://")
    malformed = UsageError(
        f"{found_in[0].upper()}{found_in[1:]} cannot be understood",
        hint=(
            "Write postgresql://user:password@host:port/database with @, :, / and % in the password percent-encoded, or"
            " key=value pairs."
        ),
    )
    if separator:
        # psycopg and libpq quote what they cannot read, and that may be a part of the password: look first
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        if (
            scheme not in ("postgresql", "postgres")
            or authority.count("@") > 1
            or re.search(r"%(?![0-9A-Fa-f]{2})", authority)
        ):
            raise malformed
    try:
        options = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise malformed from None
    options.setdefault("application_name", application_name)
    options.setdefault("client_encoding", "UTF8")
    # A half-open connection must not hang for ever in the worst hour of the year.
    options.setdefault("connect_timeout", 10)
    # prepare_threshold: a pooler in transaction mode (Supabase's) hands our next transaction to another server session
    return options | {"autocommit": True, "prepare_threshold": None}


def without_password(dsn: str) -> str:
    """A DSN that can be kept: its password, if any, has to come from a password file then; pure."""
    options = {key: value for key, value in connection_options(dsn).items() if isinstance(value, str)}
    return psycopg.conninfo.make_conninfo(**{key: value for key, value in options.items() if key != "password"})


def refused(error: psycopg.Error, options: Mapping[str, Any], *, found_in: str) -> ConnectionFailed:
    """What is said of a connection that could not be opened, without its password; pure."""
    said = str(error).strip().splitlines()
    text = "; ".join(line.strip() for line in said if line.strip()) or type(error).__name__
    if password := options.get("password"):
        text = text.replace(str(password), "***")
    return ConnectionFailed(
        f"No connection by {found_in}: {text}",
        hint="Check that the server runs and that host, port, user and database are right.",
    )


def open_connection(
    dsn: str, *, found_in: str = "the DSN that was given", application_name: str = "migrollback_nb"
) -> psycopg.Connection:
    """Open a connection in autocommit mode; writes nothing.

    Parameters
    ----------
    dsn : str
        As libpq reads it.
    found_in : str
        What an error calls it instead of printing it.
    application_name : str
        What other sessions see of us, unless the DSN names its own.

    Raises
    ------
    UsageError
        When the DSN cannot be understood. It is not printed: it may hold a password.
    ConnectionFailed
        When there is no answer, or a no.
    """
    options = connection_options(dsn, found_in=found_in, application_name=application_name)
    try:
        connection = WorkingConnection.connect(**options)
    except psycopg.Error as error:
        raise refused(error, options, found_in=found_in) from None
    if not (connection.info.parameter_status("DateStyle") or "ISO").startswith("ISO"):
        # psycopg reads no other; a role or database may have been given one
        connection.execute("SET DateStyle = ISO")
    return connection
