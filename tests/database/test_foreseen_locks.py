"""What a rollback will lock, rewrite and scan is said before it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from watching import value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

Open = Callable[..., psycopg.Connection]
TABLES = """
CREATE TABLE parent (id int PRIMARY KEY, name varchar(20), price numeric(8,2), at timestamp(3), note text, c char(4));
CREATE TABLE child (id int PRIMARY KEY, parent_id int CONSTRAINT fk REFERENCES parent, x int NOT NULL, y int);
CREATE INDEX child_y ON child (y);
CREATE TABLE parted (id int, x int) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE MATERIALIZED VIEW sums AS SELECT sum(id) FROM child;
INSERT INTO parent (id) SELECT generate_series(1, 2000);
INSERT INTO parted SELECT generate_series(1, 900);
"""


def foreseen(connection: psycopg.Connection, name: str = "001_t") -> dict[str, Any]:
    return dict(value(connection, "SELECT foreseen_locks(ARRAY[%s])", name))


@pytest.fixture
def forecast(db: mr.Migrations, write: Callable[..., None], session: Open) -> Callable[[str], dict[str, Any]]:
    """The locks foreseen of a rollback SQL: relation -> (mode, work)."""
    connection = session()
    connection.execute(TABLES)

    def of(rollback: str) -> dict[str, Any]:
        write("001_t", "SELECT 1;", rollback)
        db.register("001_t")
        found = foreseen(connection)
        assert found["unknown"] == []
        return {one["relation"]: (one["mode"], one["work"]) for one in found["locks"]}

    return of


AE, SRE, SHARE = "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "SHARE"


def test_what_the_catalogs_say(forecast: Callable[[str], dict[str, Any]]) -> None:
    for rollback, expected in {
        "ALTER TABLE parent ALTER name TYPE varchar(10);": {"public.parent": (AE, "rewrite")},
        "ALTER TABLE parent ALTER name TYPE varchar(40);": {"public.parent": (AE, None)},
        "ALTER TABLE parent ALTER name TYPE text;": {"public.parent": (AE, None)},
        "ALTER TABLE parent ALTER note TYPE varchar;": {"public.parent": (AE, None)},
        "ALTER TABLE parent ALTER note TYPE varchar(9);": {"public.parent": (AE, "rewrite")},
        "ALTER TABLE parent ALTER c TYPE text;": {"public.parent": (AE, "rewrite")},
        "ALTER TABLE parent ALTER price TYPE numeric(10,2);": {"public.parent": (AE, None)},
        "ALTER TABLE parent ALTER price TYPE numeric(10,3);": {"public.parent": (AE, "rewrite")},
        "ALTER TABLE parent ALTER price TYPE numeric;": {"public.parent": (AE, None)},
        "ALTER TABLE parent ALTER at TYPE timestamp;": {"public.parent": (AE, None)},
        "ALTER TABLE parent ALTER at TYPE timestamp(0);": {"public.parent": (AE, "rewrite")},
        "ALTER TABLE parent ALTER id TYPE bigint;": {"public.parent": (AE, "rewrite")},
        "ALTER TABLE child ALTER x SET NOT NULL;": {"public.child": (AE, None)},
        "ALTER TABLE child ALTER y SET NOT NULL;": {"public.child": (AE, "scan")},
        "ALTER TABLE child ADD z timestamptz DEFAULT now();": {"public.child": (AE, None)},
        "ALTER TABLE child ADD z float DEFAULT random();": {"public.child": (AE, "rewrite")},
        "DROP INDEX child_y;": {"public.child": (AE, None)},
        "ALTER TABLE child DROP CONSTRAINT fk;": {"public.child": (AE, None), "public.parent": (AE, None)},
        "ALTER TABLE child DROP CONSTRAINT child_pkey;": {"public.child": (AE, None)},
        "DROP TABLE child;": {"public.child": (AE, None), "public.parent": (AE, None)},
        "DROP TABLE parent CASCADE;": {"public.child": (AE, None), "public.parent": (AE, None)},
        "ALTER TABLE parted ALTER x TYPE bigint;": {"public.parted": (AE, None), "public.parted_1": (AE, "rewrite")},
        "CREATE INDEX ON child (x);": {"public.child": (SHARE, "build")},
        "CREATE INDEX ON child (x); DROP TABLE child;": {"public.child": (SHARE, "build"), "public.parent": (AE, None)},
        "REFRESH MATERIALIZED VIEW sums;": {"public.sums": (AE, "rewrite")},
        "ALTER TABLE child DISABLE TRIGGER ALL;": {"public.child": (SRE, None)},
        "CREATE TABLE fresh (id int); ALTER TABLE fresh ALTER id TYPE text;": {},
        "SELECT 1;": {},
    }.items():
        assert forecast(rollback) == expected, rollback


def test_words_and_times(forecast: Callable[[str], dict[str, Any]], session: Open) -> None:
    connection = session()
    forecast("ALTER TABLE child ALTER y SET NOT NULL; ALTER TABLE parent ALTER id TYPE bigint; DROP TABLE parted;")
    found = foreseen(connection)
    size = value(connection, "SELECT pg_size_pretty(pg_total_relation_size('parent'))")
    assert found["locks"][0]["words"] == (
        f"public.parent, {size}, is rewritten under ACCESS EXCLUSIVE, less than 1 s here"
    )
    words = "SELECT 'public.big, ' || foreseen_lock_words(%s::jsonb)"
    lock = '{"bytes": 369000000, "work": "rewrite", "mode": "ACCESS EXCLUSIVE", "ms": 3075, "held_ms": 3075}'
    assert value(connection, words, lock) == "public.big, 352 MB, is rewritten under ACCESS EXCLUSIVE, about 3 s here"
    lock = '{"bytes": 8192, "work": null, "mode": "ACCESS EXCLUSIVE", "ms": 0, "held_ms": 3075}'
    assert value(connection, words, lock) == "public.big, 8192 bytes, is locked under ACCESS EXCLUSIVE, about 3 s here"


def test_effects_of_an_assessment(forecast: Callable[[str], dict[str, Any]], session: Open) -> None:
    forecast("ALTER TABLE parent ALTER id TYPE bigint;")
    connection = session()
    (effect,) = value(connection, "SELECT foreseen_lock_effects(ARRAY['001_t'])")
    assert (effect["effect"], effect["identity"], effect["known_by"]) == ("locks", "public.parent", "catalog")
    assert effect["detail"].endswith("is rewritten under ACCESS EXCLUSIVE, less than 1 s here")


def test_a_rehearsal_knows_better(db: mr.Migrations, applied: Callable[..., str], session: Open) -> None:
    applied("001_t", "CREATE TABLE t (x int);", "DROP TABLE t; SELECT pg_sleep(0.2);")
    assert foreseen(session())["longest_ms"] == 0
    db.rehearse("001_t")
    found = foreseen(session())
    assert found["longest_ms"] >= 200
    assert found["locks"][0]["measured"] is True


def test_one_that_another_session_has_locked_is_not_waited_for(
    forecast: Callable[[str], dict[str, Any]], session: Open
) -> None:
    forecast("ALTER TABLE parent ALTER id TYPE bigint;")
    holder = session()
    holder.execute("BEGIN; LOCK TABLE parent")
    began = time.monotonic()
    assert foreseen(session(options="-c lock_timeout=100ms"))["locks"][0]["work"] == "rewrite"
    assert time.monotonic() - began < 1
    holder.execute("ROLLBACK")


def test_sql_that_was_set_by_hand_is_unknown(db: mr.Migrations, applied: Callable[..., str], session: Open) -> None:
    applied("001_t", "CREATE TABLE t (x int);", "DROP TABLE t;")
    session().execute("UPDATE migration_history SET rollback_sql = 'DROP TABLE IF EXISTS t'")
    assert foreseen(session()) == {"locks": [], "longest_ms": 0, "unknown": ["001_t"]}


@pytest.mark.parametrize("locks", ["[1]", '[{"statement": "x", "name": "t", "mode": "SHARE"}]', "{}", "[{}]"])
def test_what_no_registration_wrote_is_refused(applied: Callable[..., str], session: Open, locks: str) -> None:
    applied("001_t", "CREATE TABLE t (x int);", "DROP TABLE t;")
    connection = session()
    connection.execute("UPDATE migration_history SET metadata = jsonb_set(metadata, '{rollback,locks}', %s)", (locks,))
    assert "rollback.locks" in value(
        connection, "SELECT migration_metadata_problem(metadata) FROM migration_history WHERE migration_name = '001_t'"
    )
    assert foreseen(connection)["locks"] == []


def test_it_is_quick(forecast: Callable[[str], dict[str, Any]], session: Open) -> None:
    forecast("ALTER TABLE parent ALTER id TYPE bigint; DROP TABLE child; CREATE INDEX ON parted (x);")
    connection = session()
    foreseen(connection)
    times = []
    for _ in range(10):
        began = time.monotonic()
        foreseen(connection)
        times.append(time.monotonic() - began)
    assert min(times) < 0.02
