"""What tests of lost connections share: servers that are reached through a cutter."""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING

import psycopg
import pytest
from cutting import Cutter

import migrollback_nb as mr
from migrollback_nb.database import attempts
from migrollback_nb.database import session as session_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pg_servers import Server


@pytest.fixture
def cutter_of() -> Iterator[Callable[..., Cutter]]:
    """Makes a cutter of the connections of a server."""
    with contextlib.ExitStack() as opened:

        def make(server: Server) -> Cutter:
            # short enough for a socket's name
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="ct", dir="/var/tmp"))
            return opened.enter_context(contextlib.closing(Cutter(folder, server.folder)))

        yield make


@pytest.fixture
def cutter(server: Server, cutter_of: Callable[..., Cutter]) -> Cutter:
    return cutter_of(server)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is waited for no longer than a moment."""
    for module in (attempts, session_module):
        monkeypatch.setattr(module, "PATIENCE", 0.3)


@pytest.fixture
def cuttable(cutter: Cutter, database_dsn: str, folder: Path, impatient: None) -> Iterator[mr.Migrations]:
    """Migrations whose connections the cutter can cut; none is waited for long."""
    dsn = psycopg.conninfo.make_conninfo(database_dsn, host=cutter.folder)
    with mr.connect(dsn, dir=folder, timeouts=mr.Timeouts(retries=1)) as migrations:
        yield migrations
