"""Starts a private temporary PostgreSQL: in a folder of its own, on a socket, gone with the process that started it.

PostgreSQL refuses to run as root: then another user runs it. Whichever way the process ends, killed or not, a guardian
stops the server and removes its folder; what a reboot leaves behind, the next start removes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from migrollback_nb.core.errors import ConnectionFailed
from migrollback_nb.servers import programs

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a folder of such a server is called, so that leftovers are recognized.
_PREFIX = "mrtmp"
_PATIENCE = 120
# A server must not outlive its process: this shell waits for the end of its standard input, which comes however the
# process ends.
_GUARDIAN = 'cat >/dev/null; "$1/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; cd /; rm -rf "$2"'

#: The encoding is that of every migration file; a server that is thrown away needs no sync.
_INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

#: For a server whose data will not be missed: crash safety is most of the time of small transactions.
THROWAWAY = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    # a whole schema is dropped and created again in one transaction
    "max_locks_per_transaction": "1024",
}


class PrivateServer:
    """A running PostgreSQL of this process alone; `start` starts one.

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
        cls, bin: Path, settings: Mapping[str, str] = THROWAWAY, *, extensions: Path | None = None
    ) -> PrivateServer:
        """Start one from the programs in a folder. Writes a temporary folder, which is gone with the process.

        Parameters
        ----------
        bin : Path
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
        account = programs.ordinary_account()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_roomy_folder()))
        in_use = (folder / "in-use").open("wb")
        fcntl.flock(in_use, fcntl.LOCK_EX)
        guardian = None
        try:
            folder.chmod(0o755)
            # in a home that is closed to others, as root's is, the account could not run them
            copied = programs.copy_of_wheel(bin, folder) if account and not programs.others_may_run(bin) else bin
            if extensions is not None:
                # where the account can read them: the package may lie in a home that is closed to others
                shutil.copytree(extensions, folder / "share" / "extension")
                settings = {**settings, "extension_control_path": f"$system:{folder / 'share'}"}
            if account:
                _give(folder, account)
            guardian = subprocess.Popen(  # noqa: S603  # a text of ours
                ["/bin/sh", "-c", _GUARDIAN, "sh", str(copied), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd=folder,
                **account,
            )
            data: list[str | Path] = ["-D", folder / "data"]
            initdb = [copied / "initdb", *data, *_INITDB, "--locale", _locale()]
            _run(initdb, folder, account)
            lines = [
                f"{name} = '{value}'\n" for name, value in {**settings, "unix_socket_directories": str(folder)}.items()
            ]
            with (folder / "data" / "postgresql.conf").open("a") as config:
                config.writelines(lines)
            _run([copied / "pg_ctl", *data, "-l", folder / "log", "-w", "-t", "60", "start"], folder, account)
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
        # not ours to remove, just being created, or just being removed
        with suppress(OSError), (folder / "in-use").open("rb") as in_use:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not (folder / "data" / "postmaster.pid").exists():
                shutil.rmtree(folder, ignore_errors=True)


# -- folders -----------------------------------------------------------------------------------------------------------


def _give(folder: Path, account: Mapping[str, Any]) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account["user"], account["group"], follow_symlinks=False)


def _roomy_folder() -> str | None:
    """Where to put data folders, which are short-lived: in memory where that has room; None: where Python puts them.

    The path must be short: a Unix socket's name has 107 bytes.
    """
    memory = Path("/dev/shm")  # noqa: S108  # a folder of an unguessable name is created in it
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 1024**3:
        return str(memory)
    # its files are private to a folder of a random name
    return "/var/tmp" if Path("/var/tmp").is_dir() else None  # noqa: S108


def _locale() -> str:
    locale = shutil.which("locale")
    names: list[str] = []
    if locale:
        said = subprocess.run([locale, "-a"], check=False, capture_output=True, text=True)  # noqa: S603  # no shell
        names = said.stdout.split()
    return next((name for name in names if name.lower() in ("c.utf8", "c.utf-8")), "C")


def _run(command: list[str | Path], folder: Path, account: Mapping[str, Any]) -> None:
    """Run one of the programs; a failure tells what it printed and what the server's log says."""
    try:
        programs.run(
            command,
            folder=folder,
            account=account,
            timeout=_PATIENCE,
            variables={"HOME": str(folder), "LC_ALL": "C"},
        )
    except programs.ProgramFailed as error:
        log = folder / "log"
        said = f"{error.said}\n{log.read_text(errors='replace') if log.is_file() else ''}".strip().splitlines()[-8:]
        raise ConnectionFailed(
            "\n".join((f"A private PostgreSQL does not start: {error.program} {error.why}", *said))
        ) from error
