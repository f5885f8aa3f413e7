"""schema_objects() against `pg_dump -s` of the server's own version: what changes one changes the other.

Of random statements 100 in the default run, always the same, or as many as fit 12 s; 400 others with --long, or as many
as fit 60 s; as many as --rounds says.
"""

from __future__ import annotations

import difflib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from every_kind import CHANGES, SCHEMA, SINCE, SUBSCRIPTION
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pg_dump_text import entries
from schema_statements import statement, what_there_is

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

    def dumped(self) -> list[str]:
        """What pg_dump says, as far as it says the same of the same schema."""
        return entries(subprocess.run(self._dump, check=True, capture_output=True, text=True).stdout)

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
        """Make the database one that can be dropped."""
        if self.connection.closed:
            return
        names = self.connection.execute(
            "SELECT quote_ident(subname) FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE"
            " datname = current_database())"
        ).fetchall()
        for (name,) in names:
            self.connection.execute(f"ALTER SUBSCRIPTION {name} DISABLE")
            self.connection.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
            self.connection.execute(f"DROP SUBSCRIPTION {name}")
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


@pytest.mark.long
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


# -- rounds of random statements --------------------------------------------------------------------------------------

#: So many statements follow each other in one database: what they leave is the random schema of the next.
STATEMENTS = 25
#: Where schema_objects() sees what pg_dump does not show, and why that is right.
EXPLAINED: list[tuple[str, str]] = [
    (
        "COMMENT ON CONSTRAINT",
        "pg_dump leaves out the comment on a constraint that a partition inherits; it is there",
    ),
    (
        "GRANT .* ON LANGUAGE (sql|c|internal)",
        "pg_dump leaves out the rights on languages that are no procedural ones; granted they are",
    ),
    (
        "ALTER EXTENSION .* SCHEMA public",
        "what an extension has goes with it; the rights on public pg_dump shows even so",
    ),
    (
        "ADD SEQUENCE",
        "pg_dump shows the sequence of an identity with its table even where an extension has it",
    ),
    (
        r"ALTER TABLE .*ALTER .* SET NOT NULL",
        "whether a partition has a NOT NULL of its own, pg_dump does not show; it stays when the parent's goes",
    ),
    (
        "ALTER SEQUENCE .* AS ",
        "pg_dump leaves out the type of an identity's sequence",
    ),
    (
        r"ALTER TRIGGER .* DEPENDS ON EXTENSION|COMMENT ON TRIGGER",
        "pg_dump shows the trigger of a partition only where it is enabled otherwise than that of the whole",
    ),
]


def run_rounds(schema: Schema, choose: Random, major: int, until: float) -> None:
    """Statement after statement, each compared. One that fails has changed nothing, and is no round."""
    schema.connection.execute("SET statement_timeout = '5s'; SET client_min_messages = error")
    dumped, objects, token = schema.dumped(), schema.objects(), schema.token()
    there = what_there_is(schema.connection, OURS)
    done: list[str] = []
    while len(done) < STATEMENTS and monotonic() < until:
        sql = statement(choose.choice, there, major)
        if sql is None:
            continue
        try:
            schema.connection.execute(sql)
        except psycopg.Error:
            continue
        done.append(sql)
        now = schema.dumped(), schema.objects(), schema.token()
        shown, seen, retaken = now[0] != dumped, now[1] != objects, now[2] != token
        explained = seen and any(re.search(pattern, sql) for pattern, _ in EXPLAINED)
        if shown != seen and not explained:
            raise AssertionError("\n".join((*done, "", *differences(dumped, now[0]), *differences(objects, now[1]))))
        assert retaken or not (shown or seen), "\n".join((*done, "", "the token did not change"))
        dumped, objects, token = now
        there = what_there_is(schema.connection, OURS)


def differences(old: Any, new: Any) -> list[str]:
    """What differs, in lines."""
    if isinstance(old, list):
        return list(difflib.unified_diff("\n".join(old).splitlines(), "\n".join(new).splitlines(), n=0, lineterm=""))
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in sorted({*old, *new}) if old.get(key) != new.get(key)]


@pytest.mark.long
@pytest.mark.versions
def test_what_pg_dump_shows_of_random_statements_is_seen_and_nothing_else(new_schema, server, pytestconfig):
    """--long tries 400 statements, others each time; --rounds 20000 takes an hour or two on each server."""
    long = pytestconfig.getoption("--long")
    asked = pytestconfig.getoption("--rounds")
    rounds = asked or (400 if long else 100)
    until = monotonic() + (float("inf") if asked else 60 if long else 12)

    @settings(
        max_examples=max(1, rounds // STATEMENTS),
        phases=[Phase.generate],  # a failure ends with its statement: there is nothing to shrink
        derandomize=not long,
        database=None,
    )
    @given(st.randoms(use_true_random=True))
    def example(choose: Random) -> None:
        if monotonic() < until:
            schema = new_schema()
            run_rounds(schema, choose, server.major, until)
            schema.close()

    example()
