"""A COMMIT hidden in rollback SQL keeps nothing: PostgreSQL itself refuses it in server-side EXECUTE."""

from contextlib import suppress

import pytest
from watching import exists, schema_of, status

import migrollback_nb as mr

pytestmark = pytest.mark.versions

TRICKS = {
    "DO block": "DROP TABLE a; DO $$ BEGIN COMMIT; END $$; SELECT 1/0;",
    "DO block that rolls back": "DROP TABLE a; DO $$ BEGIN ROLLBACK; END $$;",
    "procedure": "DROP TABLE a; CALL commits(); SELECT 1/0;",
    "dynamic SQL": "DROP TABLE a; DO $$ BEGIN EXECUTE 'COM' || 'MIT'; END $$;",
    "function that executes": "DROP TABLE a; SELECT runs('COMMIT');",
    "function that opens a block": "DROP TABLE a; SELECT runs('BEGIN');",
    "prepared transaction": "DROP TABLE a; SELECT runs('PREPARE TRANSACTION ''x''');",
}
#: These the parser sees, and the gate refuses; by hand they get past it and into EXECUTE.
BY_HAND = {
    "plain": "DROP TABLE a; COMMIT; SELECT 1/0;",
    "END": "DROP TABLE a; END; SELECT 1/0;",
    "chain": "DROP TABLE a; COMMIT AND CHAIN; SELECT 1/0;",
    "own block": "DROP TABLE a; COMMIT; BEGIN; SELECT 1/0;",
    "ROLLBACK": "DROP TABLE a; ROLLBACK; SELECT 1/0;",
    "behind a dollar quote": "DROP TABLE a; SELECT $x$ ; COMMIT; $x$; COMMIT; SELECT $$ $$ || 1/0;",
    "behind a string": "DROP TABLE a; SELECT ';'; COMMIT; SELECT 1/0; --'",
    "behind a comment": "DROP TABLE a; /* ; /* nested */ */ COMMIT; SELECT 1/0;",
    "last": "DROP TABLE a; COMMIT",
}


@pytest.fixture
def connection(session):
    connection = session()
    connection.execute(
        "CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;"
        "CREATE FUNCTION runs(statement text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement; END $$"
    )
    return connection


@pytest.fixture
def attempts(db, connection):
    """Roll back a table's migration with each trick's SQL: attempts(tricks, register, error)."""

    def attempts(tricks, register, error):
        kept = []
        for number, (trick, sql) in enumerate(tricks.items()):
            name = f"{number:03}_a"
            connection.execute("CREATE TABLE IF NOT EXISTS a ()")
            register(name, sql)
            before = schema_of(connection)
            with suppress(error):
                db.rollback(name, confirm=name)
            if schema_of(connection) != before or status(connection, name) == "rolled_back":
                kept.append(trick)
        assert not kept, "half a rollback was kept"

    return attempts


@pytest.mark.long
def test_hidden_from_the_parser(db, attempts, write_migration):
    def register(name, sql):
        write_migration(name, f"-- ROLLBACK START\n{sql}\n-- ROLLBACK END")
        db.register(name)
        assert db.check(name).can_rollback

    attempts(TRICKS, register, mr.RollbackFailed)


def test_seen_by_the_parser(db, attempts, write_migration):
    def register(name, sql):
        write_migration(name, f"-- ROLLBACK START\n{sql}\n-- ROLLBACK END")
        db.register(name)

    attempts(BY_HAND, register, mr.Refused)


@pytest.mark.long
def test_set_by_hand_it_gets_as_far_as_execute(attempts, connection):
    attempts(
        TRICKS | BY_HAND,
        lambda name, sql: connection.execute("SELECT register_migration(%s, '1', rollback_sql => %s)", (name, sql)),
        mr.RollbackFailed,
    )


@pytest.mark.long
def test_set_by_hand_over_a_rollback_that_ran_outside_a_transaction(db, attempts, write_migration, connection):
    # nobody has parsed the new text, so nobody may send it as it is: half of it would be kept
    def register(name, sql):
        write_migration(name, "-- ROLLBACK START transaction:false\nDROP TABLE a;\n-- ROLLBACK END")
        db.register(name)
        connection.execute("UPDATE migration_history SET rollback_sql = %s WHERE migration_name = %s", (sql, name))

    attempts(BY_HAND, register, mr.MigrollbackError)


def test_in_an_up_migration_too(db, write_migration, connection):
    write_migration("001_a", "CREATE TABLE a (); DO $$ BEGIN COMMIT; END $$; SELECT 1/0;")
    with pytest.raises(mr.ApplyFailed):
        db.apply("001_a")
    assert not exists(connection, "a")
