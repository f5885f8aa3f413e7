"""schema_objects() against `pg_dump -s` of the server's own version: what changes one changes the other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from every_kind import CHANGES, SCHEMA, SINCE, SUBSCRIPTION

import migrollback_nb as mr

if TYPE_CHECKING:
    from pg_servers import Server

#: Where the system stands here: pg_dump leaves that schema out.
OURS = "the_system"


@pytest.fixture(scope="module")
def every_kind(server: Server) -> Iterator[str]:
    """A database with the system in a schema of its own, and every kind of object: for copying."""
    name = server.create_database()
    with psycopg.connect(server.dsn(name), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {OURS}")
        with mr.connect(server.dsn(name), schema=OURS) as migrations:
            migrations.install()
        connection.execute(SCHEMA + "".join(sql for major, sql in SINCE.items() if server.major >= major))
    yield name
    server.drop_database(name)


class Schema:
    """One database, looked at in both ways."""

    def __init__(self, server: Server, name: str) -> None:
        self.connection = psycopg.connect(server.dsn(name), autocommit=True)
        self._dump = [
            str(Path(server.bin) / "pg_dump"),
            "--schema-only",
            f"--exclude-schema={OURS}",
            "--dbname",
            server.dsn(name),
        ]

    def dumped(self) -> str:
        """What pg_dump says, as far as it says the same of the same schema."""
        text = subprocess.run(self._dump, check=True, capture_output=True, text=True).stdout
        return without_noise(text)

    def objects(self) -> dict[tuple[str, str], object]:
        """What schema_objects() says."""
        rows = self.connection.execute(f"SELECT kind, identity, definition FROM {OURS}.schema_objects()").fetchall()
        return {(kind, identity): definition for kind, identity, definition in rows}

    def token(self) -> str:
        """What says whether a snapshot has to be taken."""
        row = self.connection.execute(f"SELECT {OURS}.snapshot_token()").fetchone()
        assert row is not None
        return str(row[0])

    def close(self) -> None:
        names = self.connection.execute(
            "SELECT format('DROP SUBSCRIPTION %I', subname) FROM pg_subscription WHERE subdbid = (SELECT oid FROM"
            " pg_database WHERE datname = current_database())"
        ).fetchall()
        for (drop,) in names:
            self.connection.execute(drop)
        self.connection.close()


@pytest.fixture
def new_schema(server: Server, every_kind: str) -> Iterator[Callable[[], Schema]]:
    """Makes a copy of `every_kind`, with a subscription."""
    made: list[tuple[str, Schema]] = []

    def make() -> Schema:
        name = server.create_database(template=every_kind)
        schema = Schema(server, name)
        schema.connection.execute(SUBSCRIPTION)
        made.append((name, schema))
        return schema

    yield make
    for name, schema in made:
        schema.close()
        server.drop_database(name)


def without_noise(dump: str) -> str:
    r"""Without the words of \restrict, which are others each time."""
    return re.sub(r"(?m)^\\(un)?restrict .*\n", "", dump)


@pytest.mark.versions
def test_each_change_that_pg_dump_shows_is_seen(new_schema, server):
    schema = new_schema()
    dumped, objects, token = schema.dumped(), schema.objects(), schema.token()
    for since, change in CHANGES:
        if server.major < since:
            continue
        schema.connection.execute(change)
        now = schema.dumped(), schema.objects(), schema.token()
        seen = now[0] != dumped, now[1] != objects, now[2] != token
        assert seen == (True, True, True), (change, "seen by pg_dump, schema_objects(), snapshot_token()", seen)
        dumped, objects, token = now
