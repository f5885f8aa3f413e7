"""Liquibase's ledger, as its published source makes it: it alone tells what is applied, only Liquibase adds to it."""

import pytest
from ledgers import LIQUIBASE
from watching import exists

import migrollback_nb as mr

FILE = """--liquibase formatted sql
--changeset ann:1
CREATE TABLE boats (id int);
--rollback DROP TABLE boats;
--changeset ann:2
CREATE TABLE sails (id int);
--rollback DROP TABLE sails;
--changeset ann:3 context:test
INSERT INTO boats VALUES (1);
--rollback DELETE FROM boats;
--changeset ann:4
CREATE TABLE oars (id int);
--rollback DROP TABLE oars;
"""
ROW = (
    "INSERT INTO databasechangelog (id, author, filename, dateexecuted, orderexecuted, exectype, md5sum, tag) VALUES"
    " ('{0}', 'ann', 'db/changes/001_x.sql', '2026-01-0{0}', {0}, '{1}', '9:x', {2})"
)


@pytest.fixture
def names(folder):
    """The folder, written; the names of its changesets."""
    (folder / "001_x.sql").write_text(FILE)
    return [f"001_x.sql::{number}::ann" for number in (1, 2, 3, 4)]


def test_sync_asks_it_and_a_rollback_takes_one_row_out(db, names, session):
    connection = session()
    connection.execute(f"{LIQUIBASE}; CREATE TABLE boats (id int); CREATE TABLE sails (id int)")
    for row in (("1", "EXECUTED", "NULL"), ("2", "RERAN", "NULL"), ("4", "MARK_RAN", "'v1'")):
        connection.execute(ROW.format(*row))
    found = db.sync()
    assert [one.migration_name for one in found.registered] == names[:2]
    assert set(found.not_applied) == set(names[2:])
    with pytest.raises(mr.Refused, match="is Liquibase's to apply"):
        db.apply(names[2])
    assert db.check(names[1]).can_rollback
    assert db.rollback(names[1], confirm=names[1]).success
    assert not exists(session(), "sails")
    left = session().execute("SELECT id, tag FROM databasechangelog ORDER BY 1").fetchall()
    assert left == [("1", None), ("4", "v1")]
    connection.execute("CREATE TABLE sails (id int);" + ROW.format("2", "EXECUTED", "NULL"))
    assert db.sync().applied_again == (names[1],)


def test_without_a_ledger_nothing_is_taken_for_applied(db, names):
    found = db.sync()
    assert found.registered == ()
    (failure,) = found.failed
    assert "No ledger of Liquibase was found here" in failure.error
    assert "liquibase update" in failure.error


@pytest.mark.few(1)
def test_verify_grades_changesets(db, names, verdicts):
    grades = [verdict.grade for verdict in verdicts().values()]
    assert grades == ["restores", "restores", "loses_data", "restores"]


def test_while_its_lock_is_taken_nothing_is_rolled_back(db, names, session):
    connection = session()
    connection.execute(f"{LIQUIBASE}; CREATE TABLE boats (id int)")
    connection.execute(ROW.format("1", "EXECUTED", "NULL"))
    connection.execute(
        "CREATE TABLE databasechangeloglock (id int PRIMARY KEY, locked boolean NOT NULL, lockgranted timestamp,"
        " lockedby varchar(255)); INSERT INTO databasechangeloglock VALUES (1, false)"
    )
    db.sync()
    assert db.check(names[0]).can_rollback
    connection.execute("UPDATE databasechangeloglock SET locked = true, lockgranted = now(), lockedby = 'here'")
    assert "did not come to its end" in db.check(names[0]).reason
    with pytest.raises(mr.Refused):
        db.rollback(names[0], confirm=names[0])
    connection.execute("UPDATE databasechangeloglock SET locked = false")
    assert db.rollback(names[0], confirm=names[0]).success
