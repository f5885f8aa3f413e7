"""What a DBA with psql alone asks by SQL functions: the same answers as Python gives."""

import random

import pandas as pd
import psycopg
import pytest
from watching import value


def rows(connection, call, *parameters):
    return connection.execute(f"SELECT * FROM {call}", parameters or None).fetchall()


@pytest.mark.parametrize("seed", range(6))
def test_the_chain_is_that_of_a_plan(db, session, seed):
    chance = random.Random(seed)
    names = [f"{number:03}_{chance.choice('abc')}" for number in range(1, 13)]
    connection = session()
    for place, name in enumerate(names):
        bases = chance.sample(names[:place], k=min(place, chance.randrange(4)))
        connection.execute("SELECT register_migration(%s, %s, 'SELECT 1', depends_on => %s)", (name, name[:3], bases))
    # what is rolled back orders the others, and the times need not follow the dependencies
    for name in chance.sample(names, k=2):
        connection.execute("UPDATE migration_history SET status = 'rolled_back' WHERE migration_name = %s", (name,))
    for name in names:
        moment = f"2025-01-{chance.randrange(1, 4):02}"
        connection.execute("UPDATE migration_history SET applied_at = %s WHERE migration_name = %s", (moment, name))
    for name in names:
        chain = rows(connection, "migration_chain(%s)", name)
        assert [row[1] for row in chain] == list(db.plan(name).steps)
        assert [row[0] for row in chain] == list(range(1, len(chain) + 1))


def test_a_chain_of_an_unknown_one_and_of_a_cycle(session):
    connection = session()
    with pytest.raises(psycopg.Error, match="Migration not found") as caught:
        rows(connection, "migration_chain('x')")
    assert caught.value.sqlstate == "MR001"
    connection.execute(
        "SELECT register_migration('001_a', '1'), register_migration('002_b', '2', depends_on => '{001_a}')"
    )
    connection.execute("INSERT INTO migration_dependencies (migration_name, depends_on) VALUES ('001_a', '002_b')")
    with pytest.raises(psycopg.Error, match="in a cycle: 001_a, 002_b") as caught:
        rows(connection, "migration_chain('001_a')")
    assert caught.value.sqlstate == "MR005"


def test_the_chain_is_what_a_rollback_takes(applied, session):
    applied("001_a", "CREATE TABLE a (id int PRIMARY KEY);", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b (id int REFERENCES a);", "DROP TABLE b;", depends_on=["001_a"])
    call = "execute_migration_rollbacks(ARRAY(SELECT migration_name FROM migration_chain('001_a') ORDER BY place))"
    assert [row[3] for row in rows(session(), call)] == ["002_b", "001_a"]


def test_attempts_are_those_of_the_frame(db, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b; SELECT 1/0;")
    connection = session()
    for name in ("001_a", "001_a", "002_b"):
        connection.execute("SELECT * FROM execute_migration_rollback(%s, reason => 'by hand')", (name,))
    db.apply("001_a")
    db.rollback("001_a", confirm="001_a", reason="again")
    connection.execute("SELECT start_migration_rollback('{001_a}', gen_random_uuid())")
    frame = db.attempts()
    columns = ["migration_name", "outcome", "started_at", "ended_at", "sqlstate", "reason"]
    found = connection.execute(f"SELECT {', '.join(columns)} FROM migration_attempts()").fetchall()
    wanted = [
        tuple(None if pd.isna(one) else one for one in row)
        for row in frame[columns].astype(object).itertuples(index=False)
    ]
    assert [row[:2] for row in found] == [row[:2] for row in reversed(wanted)]
    assert [row[4:] for row in found] == [row[4:] for row in reversed(wanted)]
    assert [row[1] for row in found] == ["unknown", "rolled_back", "failed", "refused", "rolled_back"]
    assert value(connection, "SELECT count(*) FROM migration_attempts('002_b')") == 1


def test_what_is_unfinished(db, applied, session):
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    connection = session()
    assert rows(connection, "unfinished_migration_rollbacks()") == []
    connection.execute("SELECT start_migration_rollback('{001_a}', gen_random_uuid(), 'x')")
    (found,) = rows(connection, "unfinished_migration_rollbacks()")
    (row,) = db.database.queries.unfinished()
    assert (found[0], str(found[1]), found[5], found[6]) == ("001_a", row["attempt_id"], "x", 0)
    db.rollback("001_a", confirm="001_a")
    assert rows(connection, "unfinished_migration_rollbacks()") == []


def test_the_last_applied(db, applied, session):
    connection = session()
    assert rows(connection, "last_applied_migration()") == []
    applied("001_a", "CREATE TABLE a ();", "DROP TABLE a;")
    applied("002_b", "CREATE TABLE b ();", "DROP TABLE b;")
    assert rows(connection, "last_applied_migration()")[0][0] == "002_b" == db.last().migration_name
    db.rollback("002_b", confirm="002_b")
    assert rows(connection, "last_applied_migration()")[0][0] == "001_a" == db.last().migration_name


def test_why_an_apply_would_be_refused(db, applied, session):
    connection = session()
    applied("001_a", "SELECT 1;", "SELECT 1;")
    applied("002_b", "SELECT 1;", "SELECT 1;")
    db.rollback("002_b", confirm="002_b")
    call = "migration_apply_problems(%s, %s)"
    assert rows(connection, call, "003_c", ["001_a"]) == []
    assert rows(connection, call, "001_a", ["002_b", "009_x"]) == [
        ("already applied", "001_a"),
        ("dependency not registered", "009_x"),
        ("dependency rolled back", "002_b"),
    ]
    for name, bases in (("001_a", []), ("003_c", ["002_b"]), ("003_c", ["009_x"])):
        assert rows(connection, call, name, bases) != []
        assert not value(
            connection, "SELECT success FROM apply_migration(%s, '1', '{}', depends_on => %s)", name, bases
        )
