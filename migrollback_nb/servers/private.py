"""A private temporary PostgreSQL from programs on this machine: in a folder of its own, on a socket, gone with the process that started it.

PostgreSQL refuses to run as root: then another user runs it. Whichever way the process ends, killed or not, a guardian
stops the server and removes its folder; what a reboot leaves behind, the next start removes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from migrollback_nb.core.errors import ConnectionFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What a folder of such a server is called, so that leftovers can be told.
_PREFIX = "mrtmp"
_PATIENCE = 120
# A server must not outlive its process: this shell waits for the end of its standard input, which comes however the
# process ends.
_GUARDIAN = 'cat >/dev/null; "$1/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; cd /; rm -rf "$2"'

#: For a server whose data nobody will miss: crash safety is most of the time of small transactions.
THROWAWAY = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    # a whole schema is dropped and made anew in one transaction
    "max_locks_per_transaction": "1024",
}


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's server programs in one folder of this machine."""

    bin: Path  #: folder with postgres, initdb, pg_ctl
    version: str  #: for example 15.14

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".")[0])


class PrivateServer:
    """A running PostgreSQL of this process alone; `start` makes one.

    Attributes
    ----------
    folder : Path
        Its folder: socket, data, log.
    """

    def __init__(self, folder: Path, guardian: subprocess.Popen[bytes], in_use: IO[bytes]) -> None:
        self.folder = folder
        self._guardian = guardian
        self._in_use = in_use

    @classmethod
    def start(
        cls, programs: Path, settings: Mapping[str, str] = THROWAWAY, *, extensions: Path | None = None
    ) -> PrivateServer:
        """Start one from the programs in a folder. Writes a temporary folder; `stop` and the end of the process remove it.

        Parameters
        ----------
        programs : Path
            Folder with postgres, initdb and pg_ctl.
        settings : mapping of str to str
            For postgresql.conf.
        extensions : Path, optional
            Folder of further extensions, which come after those of the programs. From PostgreSQL 18 on.

        Raises
        ------
        UsageError
            When we are root and there is no other user who could run it.
        ConnectionFailed
            When it does not start; with the end of its log.
        """
        import fcntl

        remove_leftovers()
        account = ordinary_account()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_roomy_folder()))
        in_use = (folder / "in-use").open("wb")
        fcntl.flock(in_use, fcntl.LOCK_EX)
        guardian = None
        try:
            folder.chmod(0o755)
            copied = _programs_for(account, programs, folder)
            if extensions is not None:
                # where the account can read them: the package may lie in a home that is closed to others
                shutil.copytree(extensions, folder / "share" / "extension")
                settings = {**settings, "extension_control_path": f"$system:{folder / 'share'}"}
            if account:
                _give(folder, account)
            guardian = subprocess.Popen(  # noqa: S603  # a text of ours
                ["/bin/sh", "-c", _GUARDIAN, "sh", str(copied), str(folder)],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder, **account,
            )  # fmt: skip
            initdb: list[str | Path] = [
                copied / "initdb",
                "-D",
                folder / "data",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale",
                _locale(),
                "--no-sync",
            ]
            _run(initdb, folder, account)
            lines = [
                f"{name} = '{value}'\n" for name, value in {**settings, "unix_socket_directories": str(folder)}.items()
            ]
            with (folder / "data" / "postgresql.conf").open("a") as config:
                config.writelines(lines)
            _run(
                [copied / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-t", "60", "start"],
                folder,
                account,
            )
        except BaseException:
            if guardian is None:
                in_use.close()
                shutil.rmtree(folder, ignore_errors=True)
            else:
                cls(folder, guardian, in_use).stop()
            raise
        return cls(folder, guardian, in_use)

    def dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """A DSN of one of its databases; its superuser is postgres."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(host=str(self.folder), dbname=database, user=user)

    def stop(self) -> None:
        """Stop it and remove its folder; the second time this does nothing."""
        if self._guardian.stdin is not None and not self._guardian.stdin.closed:
            self._guardian.stdin.close()
            self._guardian.wait(timeout=_PATIENCE)
        self._in_use.close()


def remove_leftovers() -> None:
    """Remove folders of servers whose process and guardian are gone, as after a reboot. Writes only there."""
    import fcntl

    for folder in Path(_roomy_folder() or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # not ours to remove, just being made, or just being removed
        with suppress(OSError), (folder / "in-use").open("rb") as in_use:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (folder / "data" / "postmaster.pid").exists():
                shutil.rmtree(folder, ignore_errors=True)


# -- programs ----------------------------------------------------------------------------------------------------------


def programs_in(folder: Path) -> Programs | None:
    """The server programs in a folder; None where there are none. A client alone (psql) is no server."""
    if not ((folder / "postgres").is_file() and (folder / "initdb").is_file()):
        return None
    try:
        said = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True).stdout  # noqa: S603  # a program, no shell
    except (OSError, subprocess.CalledProcessError):
        return None
    version = re.search(r"\d+(\.\d+)*", said)
    return Programs(bin=folder, version=version.group()) if version else None


def programs_on_this_machine() -> Iterator[Programs]:
    """The machine's own PostgreSQL servers: what `pg_config` names, what PATH holds, then the usual folders, newest first. Writes nothing."""
    folders = []
    if pg_config := shutil.which("pg_config"):
        with suppress(OSError, subprocess.CalledProcessError):
            command = [pg_config, "--bindir"]
            said = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # no shell
            folders.append(Path(said.stdout.strip()))
    if postgres := shutil.which("postgres"):
        folders.append(Path(postgres).resolve().parent)
    for pattern in (
        "usr/lib/postgresql/*/bin",
        "usr/pgsql-*/bin",
        "opt/homebrew/opt/postgresql@*/bin",
    ):  # Debian's, Red Hat's, Homebrew's
        folders += sorted(
            Path("/").glob(pattern),
            key=lambda path: [int(digits) for digits in re.findall(r"\d+", str(path))],
            reverse=True,
        )
    for folder in dict.fromkeys(folders):
        if (found := programs_in(folder)) is not None:
            yield found


# -- another user than root --------------------------------------------------------------------------------------------


def ordinary_account() -> dict[str, Any]:
    """Arguments for subprocess that make it run as an ordinary user: PostgreSQL refuses root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise UsageError(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody",
        hint="Run this as another user, or name a server.",
    )


def _give(folder: Path, account: Mapping[str, Any]) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account["user"], account["group"], follow_symlinks=False)


def _programs_for(account: Mapping[str, object], programs: Path, folder: Path) -> Path:
    """The programs where the account can run them: a copy when they lie in a home that is closed to others, as root's is."""
    if not account or all(parent.stat().st_mode & 0o001 for parent in programs.resolve().parents):
        return programs
    package = programs.parent.parent  # a wheel: <package>/pginstall/bin, and its libraries in <package>.libs beside it
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / "pginstall" / "bin"


def _roomy_folder() -> str | None:
    """Where to put data folders: in memory where that has room, for they are short-lived; by a short path, for a Unix socket's name has 107 bytes."""
    memory = Path("/dev/shm")  # noqa: S108  # a folder of an unguessable name is made in it
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 1024**3:
        return str(memory)
    # its files are private to a folder of a random name
    return "/var/tmp" if Path("/var/tmp").is_dir() else None  # noqa: S108


def _locale() -> str:
    locale = shutil.which("locale")
    names = subprocess.run([locale, "-a"], check=False, capture_output=True, text=True).stdout.split() if locale else []  # noqa: S603  # a program, no shell
    return next((name for name in names if name.lower() in ("c.utf8", "c.utf-8")), "C")


def _run(command: list[str | Path], folder: Path, account: Mapping[str, Any]) -> None:
    """Run one of the programs; a failure tells what it printed and what the server's log says."""
    # into a file: the server inherits a pipe and would keep it open
    with tempfile.TemporaryFile("w+") as output:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {
            "HOME": str(folder),
            "LC_ALL": "C",
        }
        ended = subprocess.run(  # noqa: S603  # a program of PostgreSQL's with arguments of ours
            [str(word) for word in command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environment, check=False, timeout=_PATIENCE, **account,
        )  # fmt: skip
        if ended.returncode:
            output.seek(0)
            log = folder / "log"
            said = (
                (output.read() + (log.read_text(errors="replace") if log.is_file() else "")).strip().splitlines()[-8:]
            )
            raise ConnectionFailed(
                "\n".join((f"A private PostgreSQL does not start: {Path(command[0]).name} failed", *said))
            )
