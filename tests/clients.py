"""Clients in processes of their own, that a test can kill: forked from one that has loaded all there is to load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRAM = """
import json, os, signal, sys
import psycopg
import migrollback_nb
from migrollback_nb.cli import app
from migrollback_nb.cli.commands import get_parser
import migrollback_nb.operations.rollback, migrollback_nb.operations.snapshots, migrollback_nb.migrations
for line in sys.stdin:
    what = json.loads(line)
    if "wait" in what:
        print(os.waitstatus_to_exitcode(os.waitpid(what["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in ((1, what["out"]), (2, what["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["migrollback", *what["argv"]]
    status = 99
    try:
        app.main()
    except SystemExit as ended:
        status = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
"""


@dataclass
class Ended:
    """How a client ended."""

    status: int  #: its exit status, or minus the signal that ended it
    out: str
    err: str

    @property
    def said(self) -> dict[str, Any]:
        """What it wrote as JSON; empty where it wrote none."""
        return json.loads(self.out) if self.out.strip() else {}


class Clients:
    """Starts command lines, each in a process of its own, within milliseconds."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mrc")
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._started = 0

    def _ask(self, **what: Any) -> int:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(what) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

    def start(self, *argv: str) -> Client:
        self._started += 1
        out, err = (Path(self._folder.name) / f"{self._started}.{name}" for name in ("out", "err"))
        return Client(self, self._ask(argv=list(argv), out=str(out), err=str(err)), out, err)

    def wait(self, pid: int) -> int:
        return self._ask(wait=pid)

    def close(self) -> None:
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait(timeout=30)
        if self._parent.stdout is not None:
            self._parent.stdout.close()
        self._folder.cleanup()


class Client:
    """One that was started."""

    def __init__(self, clients: Clients, pid: int, out: Path, err: Path) -> None:
        self._clients = clients
        self.pid = pid
        self._out, self._err = out, err

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def result(self) -> Ended:
        """Wait for its end."""
        status = self._clients.wait(self.pid)
        return Ended(status, self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8"))
