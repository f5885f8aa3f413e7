"""Dumps a database's schema by pg_dump, and restores it elsewhere by psql. Writes only where it restores."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from migrollback_nb.servers import programs

if TYPE_CHECKING:
    import psycopg

#: How long pg_dump waits for one lock, in milliseconds.
_LOCK_WAIT = "500"
#: What says nothing of a rollback and may not exist elsewhere.
_LEFT_OUT = ("--no-tablespaces", "--no-subscriptions", "--no-security-labels", "--no-publications")
#: Where passwords and certificates are found counts for the database that is dumped, unlike libpq's other variables.
_SECRETS = ("PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY")


def dump_schema(connection: psycopg.Connection, folder: Path) -> bytes:
    """The schema of the database that a connection leads to, as SQL, in one reading transaction. Writes nothing.

    Parameters
    ----------
    connection : psycopg.Connection
        Says where; it is not used.
    folder : Path
        Folder of PostgreSQL's programs.

    Raises
    ------
    programs.ProgramFailed
        With what pg_dump said.
    """
    info = connection.info
    secret = {"PGPASSWORD": info.password} if info.password else {}
    return _run(
        [
            folder / "pg_dump",
            "--schema-only",
            f"--lock-wait-timeout={_LOCK_WAIT}",
            *_LEFT_OUT,
            f"--dbname={info.dsn}",
        ],
        programs.environment(keep=_SECRETS, **secret),
    )


def restore_schema(dump: bytes, dsn: str, folder: Path, *, server_version: int) -> None:
    """Run what `dump_schema` gave in another database. Writes there.

    Parameters
    ----------
    dump : bytes
        The SQL.
    dsn : str
        Of the database.
    folder : Path
        Folder of PostgreSQL's programs.
    server_version : int
        Of its server, as libpq tells it: 180006.

    Raises
    ------
    programs.ProgramFailed
        With what psql said.
    """
    if server_version < 170000:
        # an older server does not know this setting, which every dump begins with
        dump = dump.replace(b"\nSET transaction_timeout = 0;\n", b"\n", 1)
    quiet = programs.environment(keep=_SECRETS, PGOPTIONS="-c client_min_messages=error")
    psql: list[str | Path] = [folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.devnull]
    _run([*psql, f"--dbname={dsn}"], quiet, dump)


def _run(command: Sequence[str | Path], environment: dict[str, str], given: bytes = b"") -> bytes:
    ended = subprocess.run(  # noqa: S603  # a program of PostgreSQL's
        command, check=False, capture_output=True, input=given, env=environment
    )
    if ended.returncode:
        raise programs.ProgramFailed(Path(command[0]).name, ended.stderr.decode(errors="replace"))
    return ended.stdout
