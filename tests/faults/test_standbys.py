"""A rehearsal names the standbys whose readers would wait: a real one, and nobody else that only listens."""

import subprocess

import psycopg
import pytest
from watching import eventually, value

import migrollback_nb as mr
from migrollback_nb.servers import private
from migrollback_nb.servers.private import THROWAWAY, PrivateServer
from migrollback_nb.servers.programs import ordinary_account

pytestmark = pytest.mark.versions

_UP = "CREATE TABLE t (a int);\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n"


@pytest.fixture
def primary(server):
    """A server of this test's own that standbys and subscribers may follow."""
    running = PrivateServer.start(
        server.bin, THROWAWAY | {"wal_level": "logical", "max_wal_senders": "5", "max_replication_slots": "5"}
    )
    yield running
    running.stop()


@pytest.fixture
def program(primary, server):
    """Run a program of the same PostgreSQL as whoever runs the server, in a folder of its own."""
    copied = next(primary.folder.rglob("pg_basebackup"), None)
    folder = primary.folder / "standby"
    started = []

    def run(name, *arguments, background=False):
        command = [(copied.parent if copied else server.bin) / name, *arguments]
        if not background:
            private._run(command, primary.folder, ordinary_account())
            return
        started.append(subprocess.Popen(command, cwd=primary.folder, **ordinary_account()))

    yield run
    for process in started:
        process.terminate()
        process.wait(timeout=30)
    if (folder / "postmaster.pid").exists():
        run("pg_ctl", "-D", folder, "-m", "immediate", "-w", "stop")


@pytest.mark.long
def test_a_standby_is_named_and_neither_a_subscriber_nor_a_backup(primary, program, folder, write_migration):
    write_migration("001_t", _UP)
    with mr.connect(primary.dsn(), dir=folder) as db, psycopg.connect(primary.dsn(), autocommit=True) as watcher:
        db.install()
        db.apply()
        assert db.rehearse("001_t").replicas == ()

        watcher.execute("CREATE PUBLICATION p")
        watcher.execute("SELECT pg_create_logical_replication_slot('subscriber', 'pgoutput')")
        program(
            "pg_recvlogical",
            "-d",
            primary.dsn(),
            "-S",
            "subscriber",
            "--start",
            "-o",
            "proto_version=1",
            "-o",
            "publication_names=p",
            "-f",
            "/dev/null",
            background=True,
        )
        listening = "SELECT count(*) FROM pg_stat_replication"
        eventually(lambda: value(watcher, listening) == 1, "the subscriber listens")
        assert db.rehearse("001_t").replicas == ()

        standby = primary.folder / "standby"
        program("pg_basebackup", "-d", primary.dsn(), "-D", standby, "-R", "-c", "fast", "-X", "fetch")
        with (standby / "postgresql.auto.conf").open("a") as settings:
            settings.write("port = '6432'\ncluster_name = 'reports'\n")
        program("pg_ctl", "-D", standby, "-l", primary.folder / "standby.log", "-w", "start")
        eventually(
            lambda: value(watcher, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 2,
            "the standby follows",
        )
        rehearsal = db.rehearse("001_t")
        assert rehearsal.replicas == ("reports (local, streaming, async)",)
        assert "Readers on standbys wait as long:" in rehearsal.lines()
        assert db.rehearse("001_t", on="scratch").replicas == rehearsal.replicas
        assert (
            value(
                watcher, "SELECT report #>> '{replicas,0,application_name}' FROM rehearse_migration_rollback('001_t')"
            )
            == "reports"
        )
