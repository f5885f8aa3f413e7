"""A disk that is full in the middle of a rollback: tablespace, data folder and WAL, each a small file system."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from watching import eventually, exists, status, value

import migrollback_nb as mr
from migrollback_nb.servers import private
from migrollback_nb.servers.private import THROWAWAY, PrivateServer
from migrollback_nb.servers.programs import ordinary_account

MEGABYTE = 1024**2
FILLS = (
    "DROP TABLE t; INSERT INTO kept SELECT repeat(md5(g::text), 40) FROM generate_series(1, 60000) g; TRUNCATE kept;"
)


def may_mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", folder], check=True)
    return True


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of this size in place of a folder, with what it holds."""
    account = ordinary_account()
    owner = account.get("user", os.getuid()), account.get("group", os.getgid())
    kept = folder.with_name(folder.name + ".kept")
    subprocess.run(["cp", "-a", folder, kept], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", folder], check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", folder], check=True)
        os.chown(folder, *owner)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def resize(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Small:
    """A server of a test's own; one folder of its data is a small disk."""

    def __init__(self, running: PrivateServer, programs: Path) -> None:
        self.running, self.data = running, running.folder / "data"
        self.pg_ctl = next(running.folder.rglob("pg_ctl"), programs / "pg_ctl")

    def control(self, *words: str) -> None:
        command = [self.pg_ctl, "-D", self.data, "-l", self.running.folder / "log", "-w", "-t", "60", *words]
        private._run(command, self.running.folder, ordinary_account())

    def start_again(self) -> None:
        """Where it has given up: a person has made room."""

        def answers() -> bool:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.running.dsn()):
                return True
            with contextlib.suppress(mr.ConnectionFailed):
                self.control("start")
            return False

        eventually(answers, "the server is back", seconds=60)


@pytest.fixture
def small(first_server, tmp_path) -> Iterator[Small]:
    if not may_mount(tmp_path):
        pytest.skip("this account may mount no file system")
    running = PrivateServer.start(first_server.bin, THROWAWAY | {"wal_level": "replica", "max_wal_size": "32MB"})
    try:
        yield Small(running, first_server.bin)
    finally:
        running.stop()


def prepare(db: mr.Migrations, folder: Path, rollback: str) -> None:
    db.install()
    db.database.connection.execute("CREATE TABLE kept (a text)")
    (folder / "001_t.sql").write_text(f"CREATE TABLE t ();\n-- ROLLBACK START\n{rollback}\n-- ROLLBACK END\n")
    db.apply("001_t", snapshots="none")


ATTEMPT = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def judge_full(small: Small, folder: Path, caught: mr.MigrollbackError) -> None:
    """As before, and a retry with the id of the attempt is as after, once."""
    with psycopg.connect(small.running.dsn(), autocommit=True) as look:
        assert status(look, "001_t") == "applied", caught
        assert exists(look, "t")
        assert value(look, "SELECT count(*) FROM kept") == 0
    with mr.connect(small.running.dsn(), dir=folder) as db:
        assert db.verify_events().intact
        for _ in range(2):
            assert db.rollback("001_t", confirm="001_t", snapshots="none", attempt_id=ATTEMPT).success
        assert not exists(db.database.connection, "t")
        events = "SELECT count(*) FROM migration_events WHERE event = 'rolled_back'"
        assert value(db.database.connection, events) == 1


def test_a_tablespace_that_is_full(server, db, applied, tmp_path, session):
    place = server.folder / "small"
    place.mkdir()
    if not may_mount(place):
        pytest.skip("this account may mount no file system")
    with small_disk(place, 2 * MEGABYTE):
        server.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        try:
            applied(
                "001_t",
                "CREATE TABLE t (); CREATE TABLE kept (a text) TABLESPACE small;",
                FILLS + " DROP TABLE kept;",
            )
            with pytest.raises(mr.RollbackFailed) as caught:
                db.rollback("001_t", confirm="001_t", attempt_id=ATTEMPT)
            assert (caught.value.sqlstate, caught.value.passing) == ("53100", True)
            assert caught.value.statement_number == 2
            assert status(session(), "001_t") == "applied"
            assert exists(session(), "t")
            resize(place, 200 * MEGABYTE)
            for _ in range(2):
                assert db.rollback("001_t", confirm="001_t", attempt_id=ATTEMPT).success
            assert not exists(session(), "t")
        finally:
            session().execute("DROP TABLE IF EXISTS kept")
            server.execute("DROP TABLESPACE small")


@pytest.mark.long
def test_a_data_folder_that_is_full(small, folder):
    with mr.connect(small.running.dsn(), dir=folder) as db:
        prepare(db, folder, FILLS)
    small.control("stop", "-m", "fast")
    base = small.data / "base"
    with small_disk(base, size_of(base) + 6 * MEGABYTE):
        small.control("start")
        with mr.connect(small.running.dsn(), dir=folder) as db:
            with pytest.raises(mr.RollbackFailed) as caught:
                db.rollback("001_t", confirm="001_t", snapshots="none", attempt_id=ATTEMPT)
            assert (caught.value.sqlstate, caught.value.passing) == ("53100", True)
        resize(base, 400 * MEGABYTE)
        judge_full(small, folder, caught.value)
        small.control("stop", "-m", "immediate")


@pytest.mark.long
@pytest.mark.usefixtures("impatient")
def test_a_wal_that_is_full(small, folder):
    with mr.connect(small.running.dsn(), dir=folder) as db:
        prepare(db, folder, FILLS)
    small.control("stop", "-m", "fast")
    wal = small.data / "pg_wal"
    with small_disk(wal, size_of(wal) + 17 * MEGABYTE):
        small.control("start")
        with mr.connect(small.running.dsn(), dir=folder) as db, pytest.raises(mr.MigrollbackError) as caught:
            db.rollback("001_t", confirm="001_t", snapshots="none", attempt_id=ATTEMPT)
        # PostgreSQL ends itself where it cannot write its WAL
        assert isinstance(caught.value, mr.ConnectionFailed), caught.value
        assert "not known" in caught.value.message or "nothing of it was committed" in caught.value.message
        resize(wal, 600 * MEGABYTE)
        small.start_again()
        judge_full(small, folder, caught.value)
        small.control("stop", "-m", "immediate")
