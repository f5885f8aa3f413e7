"""Runs a deploy tool that is installed in the user's environment, and says why it did not run. Runs other programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrollback_nb.core.errors import UsageError
from migrollback_nb.core.html import visible

#: A line that says nothing of why: brackets, the version of Node.
_NO_REASON = re.compile(r"[\]\[{}(),;]*$|Node\.js v\d")

#: Where Python has an object in memory, which is another place in each run.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one call of a tool ended."""

    status: int  #: its exit status
    out: str  #: what it printed
    err: str  #: what it printed as errors
    seconds: float  #: how long it took

    @property
    def trouble(self) -> str:
        """The last line that it printed and that is no part of a trace: there tools say why they failed."""
        lines = [line for line in (self.err.strip() or self.out.strip()).splitlines() if line.strip()]
        # Ruby and Java print their message above the trace, Node also its version and brackets below
        said = [line for line in lines if not line[0].isspace() and not _NO_REASON.match(line)] or lines
        return reason(said[-1]) if said else f"exit status {self.status}"


def reason(line: str) -> str:
    """A tool's message, such that it is the same in each run. Pure."""
    return visible(_ADDRESS.sub("", " ".join(line.split())))[:500]


def run(
    words: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str | None] | None = None,
    stdin: str = "",
    timeout: float,
) -> Run:
    """Run a program. Writes whatever that program writes.

    Raises
    ------
    UsageError
        When there is no such program, or it does not end in time.
    """
    import time

    begin = time.monotonic()
    try:
        done = subprocess.run(  # noqa: S603  # the caller's own command, without a shell
            list(words),
            check=False,
            cwd=cwd,
            env={name: value for name, value in (os.environ | dict(environment or {})).items() if value is not None},
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(
            f"{words[0]} cannot be run: {error.strerror}",
            hint="Say how it is called after --, for example: -- poetry run alembic",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"{' '.join(words)} did not end within {timeout:g} s", hint="Does it ask a question? Nothing answers it."
        ) from error
    return Run(status=done.returncode, out=done.stdout, err=done.stderr, seconds=time.monotonic() - begin)


def found(program: str) -> str:
    """Where a program is: on the path, or beside the Python that runs this. Reads only."""
    beside = Path(sys.executable).parent / program
    return shutil.which(program) or (str(beside) if beside.exists() else program)


def root_of(folder: Path, *names: str) -> Path:
    """The nearest folder, this or above it, that holds one of these files; the working folder where there is none."""
    for place in (folder.resolve(), *folder.resolve().parents):
        if any((place / name).is_file() for name in names):
            return place
    return Path.cwd()
