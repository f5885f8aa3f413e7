"""A logical replica keeps the audit log as it is: number, time, person, hash; and makes no events of its own."""

from __future__ import annotations

import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest
from watching import eventually, value

import migrollback_nb as mr
from migrollback_nb.servers.private import THROWAWAY, PrivateServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pg_servers import Server

pytestmark = pytest.mark.long

TABLES = (
    "migration_history, migration_dependencies, migration_events, migration_snapshots, migration_states,"
    " migration_proofs, migration_dismissed_dependencies"
)


@pytest.fixture
def publisher(server: Server) -> Iterator[PrivateServer]:
    running = PrivateServer.start(server.bin, {**THROWAWAY, "wal_level": "logical", "max_wal_senders": "10"})
    yield running
    running.stop()


@pytest.mark.versions
def test_a_replica_keeps_the_original(server: Server, publisher: PrivateServer, tmp_path: Path) -> None:
    def dsn(name: str) -> str:
        return f"host={publisher.folder} dbname={name} user=postgres"

    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "001_a.sql").write_text("CREATE TABLE a ();\n-- ROLLBACK START\nDROP TABLE a;\n-- ROLLBACK END\n")
    (folder / "002_b.sql").write_text(
        "-- Depends on: 001_a\nCREATE TABLE b ();\n-- ROLLBACK START\nDROP TABLE b;\n-- ROLLBACK END\n"
    )
    with closing(psycopg.connect(dsn("postgres"), autocommit=True)) as admin:
        admin.execute("CREATE DATABASE origin")
        admin.execute("CREATE DATABASE replica")
    with mr.connect(dsn("origin"), dir=folder) as db:
        db.install()
        db.apply()
        dump = subprocess.run(
            [server.bin / "pg_dump", "--schema-only", "-d", dsn("origin")], check=True, capture_output=True
        ).stdout
        subprocess.run([server.bin / "psql", "-X", "-q", "-d", dsn("replica")], input=dump, check=True)
        with (
            closing(psycopg.connect(dsn("origin"), autocommit=True)) as origin,
            closing(psycopg.connect(dsn("replica"), autocommit=True)) as replica,
        ):
            origin.execute(f"CREATE PUBLICATION p FOR TABLE {TABLES}")
            # a subscription to the same server needs a slot that was made before
            origin.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
            replica.execute(
                f"CREATE SUBSCRIPTION s CONNECTION '{dsn('origin')}' PUBLICATION p WITH (create_slot = false,"
                " slot_name = 's')"
            )
            count = "SELECT count(*) FROM migration_events"
            eventually(lambda: value(replica, count) == value(origin, count), "the first rows are there", seconds=60)
            db.rollback("002_b", confirm="002_b", reason="why")
            origin.execute("UPDATE migration_history SET notes = 'by hand' WHERE migration_name = '001_a'")
            origin.execute("DELETE FROM migration_dependencies")
            eventually(lambda: value(replica, count) == value(origin, count), "the others are there", seconds=60)
            rows = "SELECT jsonb_agg(to_jsonb(e) ORDER BY e.event_number) FROM migration_events e"
            eventually(
                lambda: value(replica, "SELECT count(*) FROM migration_dependencies") == 0, "all is there", seconds=60
            )
            assert value(replica, rows) == value(origin, rows)
            with mr.connect(dsn("replica")) as copy:
                assert copy.audit(anchors=db.audit().anchor).findings == ()
            replica.execute("ALTER SUBSCRIPTION s DISABLE; ALTER SUBSCRIPTION s SET (slot_name = NONE)")
            replica.execute("DROP SUBSCRIPTION s")
