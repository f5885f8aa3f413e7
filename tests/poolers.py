"""A PgBouncer of a test's own, in front of one server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg
from watching import eventually

from migrollback_nb.servers.programs import ordinary_account

if TYPE_CHECKING:
    from pg_servers import Server


def program() -> str | None:
    """The program of this machine, where it has one."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class PgBouncer:
    """In one mode, with further settings."""

    def __init__(self, server: Server, mode: str = "transaction", **settings: int) -> None:
        self._server, self._mode, self._settings = server, mode, settings

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="mrp", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o777)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        settings = {
            "listen_addr": "",
            "listen_port": 6432,
            "unix_socket_dir": self.folder,
            "auth_type": "any",
            "pool_mode": self._mode,
            "default_pool_size": 20,
            "max_client_conn": 200,
            "logfile": self.folder / "log",
            **self._settings,
        }
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        ini = self.folder / "ini"
        ini.write_text(f"[databases]\n* = host={self._server.folder} user=postgres\n[pgbouncer]\n{lines}")
        self._process = subprocess.Popen(
            [str(program()), "-q", str(ini)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **ordinary_account(),
        )
        eventually((self.folder / ".s.PGSQL.6432").exists, "the pooler listens")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=30)
        (self.folder / ".s.PGSQL.6432").unlink(missing_ok=True)

    def dsn(self, direct: str) -> str:
        """The DSN through it, for one that leads to the server itself."""
        parts = psycopg.conninfo.conninfo_to_dict(direct)
        name, user = str(parts["dbname"]), str(parts["user"])
        return psycopg.conninfo.make_conninfo(host=str(self.folder), port=6432, dbname=name, user=user)
