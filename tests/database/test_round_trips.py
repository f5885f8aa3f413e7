"""How often the server is asked: each message is a wait, and a database may be far away."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from cutting import Cutter

import migrollback_nb as mr
from migrollback_nb import cli

if TYPE_CHECKING:
    from pg_servers import Server

Applied = Callable[..., str]


@pytest.fixture
def counted(server: Server) -> Iterator[Cutter]:
    """Counts the messages to the server; it cuts none of them."""
    with (
        tempfile.TemporaryDirectory(prefix="ct", dir="/var/tmp") as folder,
        contextlib.closing(Cutter(folder, server.folder)) as cutter,
    ):
        yield cutter


@pytest.fixture
def dsn(counted: Cutter, database_dsn: str, applied: Applied) -> str:
    """Of a database with one migration, through the counter."""
    applied("001_t", "CREATE TABLE t ();", "DROP TABLE t;")
    return psycopg.conninfo.make_conninfo(database_dsn, host=counted.folder)


@pytest.fixture
def through(dsn: str, folder: Path) -> Iterator[mr.Migrations]:
    with mr.connect(dsn, dir=folder) as migrations:
        yield migrations


def trips(counted: Cutter, call: Callable[[], object]) -> list[str]:
    """The messages of a call, without those of the second connection, for which no one waits."""
    counted.arm(0, before=False)
    call()
    besides = (b"pg_blocking_pids", b'"watch_rehearsal"')
    return [text.decode(errors="replace") for text in counted.messages if not any(one in text for one in besides)]


@pytest.mark.parametrize(
    ("call", "most"),
    [
        pytest.param(lambda db: db.check("001_t"), 1, id="check"),
        pytest.param(lambda db: db.preview("001_t"), 1, id="dry run"),
        # known, rehearsed and undone, recorded; before it and after it the stored SQL is compared with what the parser
        # finds
        pytest.param(lambda db: db.rehearse("001_t"), 5, id="rehearsal"),
        # known; snapshot; started; run; COMMIT; snapshot; verified; recorded
        pytest.param(lambda db: db.rollback("001_t", confirm="001_t"), 8, id="rollback"),
    ],
)
def test_at_most(through: mr.Migrations, counted: Cutter, call: Callable[[mr.Migrations], object], most: int) -> None:
    asked = trips(counted, lambda: call(through))
    assert 1 <= len(asked) <= most, "\n".join(asked)


def test_a_rollback_in_the_terminal_asks_nothing_twice(dsn: str, folder: Path, counted: Cutter) -> None:
    def run() -> None:
        out, err = io.StringIO(), io.StringIO()
        argv = ["--dsn", dsn, "--dir", str(folder), "rollback", "001_t", "--confirm", "001_t"]
        assert cli.run(argv, out, err) == 0, err.getvalue()

    # the system is here; what would run, for the person to read, which is not asked again; and seven of the rollback
    asked = trips(counted, run)
    assert len(asked) <= 9, "\n".join(asked)
