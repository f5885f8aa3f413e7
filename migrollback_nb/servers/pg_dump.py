"""Takes a backup by pg_dump into a named file, and reads it back as proof. Writes that file, and overwrites none."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrollback_nb.core.errors import MigrollbackError, UsageError
from migrollback_nb.servers import programs

if TYPE_CHECKING:
    import threading

    import psycopg

#: What pg_dump waits for one lock on a table: a migration that runs meanwhile must not hold it up for ever.
LOCK_WAIT = "30s"
#: Names the connection in the file that pg_dump reads it from.
_SERVICE = "migrollback"
#: What belongs to this session and not to where it leads.
_NOT_PASSED_ON = frozenset(
    {"service", "servicefile", "application_name", "fallback_application_name", "client_encoding", "replication"}
)


class BackupFailed(MigrollbackError):
    """There is no backup, and no file that looks like one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup."""

    file: str  #: its path
    bytes: int  #: its size
    sha256: str  #: its checksum (hex)
    entries: int  #: how many entries pg_restore lists
    tables: int  #: of them, how many tables with data
    program: str  #: which pg_dump, for example "pg_dump 18.6"
    started_at: str  #: when it began, ISO 8601, UTC: it holds the state of that moment
    seconds: float  #: how long it took

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON and for the audit log."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.bytes:,} bytes, {self.tables} tables, {self.seconds:.1f} s, {self.program}, sha256"
            f" {self.sha256}"
        )


def find_pg_dump(server_version: int) -> programs.Programs:
    """A pg_dump that can dump this server: of its major version, or the nearest newer one. Writes nothing.

    Parameters
    ----------
    server_version : int
        As libpq tells it: 180006.

    Raises
    ------
    BackupFailed
        When there is none; with those that were found.
    """
    wanted = server_version // 10000
    found = list(programs.dump_programs())
    usable = [dumper for dumper in found if dumper.major >= wanted]
    if not usable:
        seen = f"; found: {', '.join(f'{dumper.version} in {dumper.bin}' for dumper in found)}" if found else ""
        raise BackupFailed(
            f"There is no pg_dump for PostgreSQL {wanted} on this machine{seen}",
            hint=(
                f"Install PostgreSQL's client programs, version {wanted} or newer, or record the id of a backup of your"
                " own."
            ),
        )
    return min(usable, key=lambda dumper: dumper.major)


def default_file(name: str, *, final: bool = False) -> Path:
    """A name for a backup before the rollback of a migration, in the current folder. Writes nothing.

    Examples
    --------
    >>> default_file("1_a/../b").name.startswith("backup_1_a_.._b_")
    True
    """
    safe = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:80]
    return Path(f"{'final_' if final else ''}backup_{safe}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}.dump").absolute()


def take_backup(
    connection: psycopg.Connection, file: Path | str, *, cancelled: threading.Event | None = None
) -> Backup:
    """Dump the whole database of a connection. Writes a file that only its owner may read, and nothing to the database.

    Parameters
    ----------
    connection : psycopg.Connection
        Says where; it is not used.
    file : Path or str
        In pg_dump's custom format, for pg_restore.
    cancelled : threading.Event, optional
        Set it to give up.

    Raises
    ------
    UsageError
        When the file is there already: a backup is never overwritten.
    BackupFailed
        When pg_dump fails, or what it wrote cannot be read; no file stays.
    """
    file = Path(file).absolute()
    dumper = find_pg_dump(connection.info.server_version)
    if file.exists():
        raise UsageError(f"{file} exists already", hint="Name another file: a backup is never overwritten.")
    part = file.with_name(file.name + ".part")
    try:
        # before pg_dump, which would create it as the umask says; it holds all data
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise UsageError(
            f"{part} exists already", hint="Another backup is being written there; else remove it."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{part} cannot be written: {error.strerror}", hint="Name a file in a folder that is there."
        ) from None
    try:
        started, began = datetime.now(UTC), time.monotonic()
        with _connection_file(connection) as environment:
            command: list[str | Path] = [
                dumper.bin / "pg_dump",
                "--format=custom",
                "--no-password",
                f"--lock-wait-timeout={LOCK_WAIT}",
                "--file",
                part,
            ]
            _run([*command, f"--dbname=service={_SERVICE}"], environment, cancelled)
        seconds = time.monotonic() - began
        # what pg_restore cannot read back is no backup
        listed = _run([dumper.bin / "pg_restore", "--list", part], dict(os.environ), cancelled)
        lines = [line for line in listed.splitlines() if line and not line.startswith(";")]
        with part.open("rb") as written:
            os.fsync(written.fileno())
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = part.stat().st_size
        os.link(part, file)  # unlike a rename, refuses a file that came meanwhile
    except FileExistsError:
        raise UsageError(f"{file} exists already", hint="Name another file: a backup is never overwritten.") from None
    finally:
        part.unlink(missing_ok=True)
    return Backup(
        file=str(file),
        bytes=size,
        sha256=digest,
        entries=len(lines),
        tables=sum(" TABLE DATA " in line for line in lines),
        program=f"pg_dump {dumper.version}",
        started_at=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
    )


@contextmanager
def _connection_file(connection: psycopg.Connection) -> Iterator[dict[str, str]]:
    """An environment in which libpq's service `_SERVICE` leads where this connection leads.

    Others can read command lines, but not this file.
    """
    info = connection.info
    options = {name: value for name, value in info.get_parameters().items() if name not in _NOT_PASSED_ON and value}
    if options.get("sslcertmode") == "allow":  # what it is anyway, and libpq 15 does not know the word
        del options["sslcertmode"]
    if "," in options.get("hostaddr", ""):
        del options["hostaddr"]
    # of several hosts the one that answered; and named, because what pg_dump was built with may be another port or
    # folder of sockets than ours
    options |= {
        "host": info.host,
        "port": str(info.port),
        "dbname": info.dbname,
        "user": info.user,
        "application_name": "migrollback backup",
    }
    if info.password:
        options["password"] = info.password
    if any("\n" in value or "\r" in value for value in options.values()):
        raise BackupFailed(
            "A connection whose options hold line breaks cannot be handed to pg_dump",
            hint="Record the id of a backup of your own.",
        )
    with tempfile.TemporaryDirectory(prefix="migrollback-") as folder:
        service = Path(folder) / "pg_service.conf"
        service.touch(mode=0o600)
        service.write_text(
            f"[{_SERVICE}]\n" + "".join(f"{name}={value}\n" for name, value in options.items()), encoding="utf-8"
        )
        # libpq's own variables would join in
        yield programs.environment(PGSERVICEFILE=str(service), LC_MESSAGES="C")


def _run(command: list[str | Path], environment: Mapping[str, str], cancelled: threading.Event | None) -> str:
    program = Path(command[0]).name
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(  # noqa: S603  # a program, no shell
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environment)
        )
        try:
            while process.poll() is None:
                if cancelled is not None and cancelled.is_set():
                    raise BackupFailed("The backup was cancelled", hint="Nothing of it stays.")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        out.seek(0)
        err.seek(0)
        if process.returncode:
            said = [line.strip() for line in err.read().decode(errors="replace").splitlines() if line.strip()]
            raise BackupFailed(
                f"{program} ended with exit status {process.returncode}:"
                f" {'; '.join(said[:3])[:600] or 'it said nothing'}",
                hint="Nothing of it stays. Fix the cause, or record the id of a backup of your own.",
            )
        return out.read().decode(errors="replace")
