"""Deferred constraints are checked before success is claimed, and are as they were afterwards."""

import psycopg
import pytest
from watching import exists, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

TABLES = """
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1);
"""


@pytest.mark.each_server
def test_a_violation_is_found_before_success(db, applied, session):
    applied("001_t", TABLES, "DELETE FROM parent; CREATE TABLE made ();")
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("001_t", confirm="001_t")
    assert caught.value.sqlstate == "23503"
    assert "parent" in caught.value.detail or "parent" in caught.value.message
    assert not exists(session(), "made")
    assert status(session(), "001_t") == "failed"
    assert value(session(), "SELECT count(*) FROM parent") == 1


def test_a_violation_that_is_fixed_in_time_is_none(db, applied, session):
    applied("001_t", TABLES, "DELETE FROM parent; DELETE FROM child;")
    assert db.rollback("001_t", confirm="001_t").success


def test_a_violation_in_an_up_migration_is_found(db, write_migration, session):
    write_migration("001_t", f"{TABLES} DELETE FROM parent;")
    with pytest.raises(mr.ApplyFailed) as caught:
        db.apply("001_t")
    assert caught.value.sqlstate == "23503"
    assert not exists(session(), "parent")


def test_the_next_part_of_a_chain_may_defer_again(db, applied, session):
    applied("001_t", TABLES, "DELETE FROM parent; DELETE FROM child;")
    applied("002_u", "SELECT 1;", "DELETE FROM parent; INSERT INTO parent VALUES (1);", depends_on=["001_t"])
    assert db.rollback("001_t", confirm="001_t", chain=True).success


@pytest.mark.long
@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_constraints_of_one_name_on_several_tables(db, applied, order):
    # a constraint's name is unique in its table, not in its schema
    deferred = "ALTER TABLE {} ADD CONSTRAINT fk_parent FOREIGN KEY (id) REFERENCES p DEFERRABLE INITIALLY DEFERRED;"
    plain = "ALTER TABLE {} ADD CONSTRAINT fk_parent FOREIGN KEY (id) REFERENCES p;"
    applied(
        "001_t",
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE a (id int); CREATE TABLE b (id int);"
        f" {deferred.format(order[0])} {plain.format(order[1])}",
        "SELECT 1;",
    )
    applied("002_u", "CREATE TABLE u ();", "DROP TABLE u;", depends_on=["001_t"])
    assert db.rollback("001_t", confirm="001_t", chain=True).success


def test_constraints_in_a_schema_that_the_caller_may_not_enter(db, session, database_dsn, folder, write_migration):
    connection = session()
    connection.execute(
        "DO $$ BEGIN IF to_regrole('deferring') IS NULL THEN CREATE ROLE deferring LOGIN; END IF; END $$; CREATE SCHEMA"
        " private; CREATE TABLE private.p (id int PRIMARY KEY);CREATE TABLE private.c (id int REFERENCES private.p"
        " DEFERRABLE INITIALLY DEFERRED); GRANT CREATE ON SCHEMA public TO deferring; GRANT ALL ON ALL TABLES IN SCHEMA"
        " public TO deferring;GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO deferring"
    )
    write_migration("001_t", "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    write_migration(
        "002_u", "-- Depends on: 001_t\nCREATE TABLE u ();\n-- ROLLBACK START\nDROP TABLE u;\n-- ROLLBACK END"
    )
    with mr.connect(psycopg.conninfo.make_conninfo(database_dsn, user="deferring"), dir=folder) as theirs:
        theirs.apply()
        assert theirs.rollback("001_t", confirm="001_t", chain=True).success


@pytest.mark.long
def test_partitioned_tables_with_deferred_keys(db, applied):
    applied(
        "001_t",
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int REFERENCES p DEFERRABLE INITIALLY DEFERRED)"
        " PARTITION BY LIST (id); CREATE TABLE c1 PARTITION OF c DEFAULT;",
        "DROP TABLE c, p;",
    )
    applied("002_u", "CREATE TABLE u ();", "DROP TABLE u;", depends_on=["001_t"])
    assert db.rollback("001_t", confirm="001_t", chain=True).success
