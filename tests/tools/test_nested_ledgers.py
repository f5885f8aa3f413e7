"""Migrations in folders below the folder, and their ledgers as their tools' published source makes them."""

import io

from ledgers import FLYWAY, PRISMA
from watching import exists

import migrollback_nb as mr
from migrollback_nb import cli


def put(folder, **files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def test_flyways_subfolders_are_in_step_with_its_ledger(db, folder, session):
    connection = session()
    connection.execute(
        f"{FLYWAY}; CREATE TABLE a (); CREATE TABLE b (); INSERT INTO flyway_schema_history VALUES"
        " (1, '1', 'a', 'SQL', 'x/V1__a.sql', 7, 'me', now(), 1, true),"
        " (2, '2', 'b', 'SQL', 'y/V2__b.sql', 7, 'me', now(), 1, true)"
    )
    put(folder, **{"x/V1__a.sql": "CREATE TABLE a ();", "y/V2__b.sql": "CREATE TABLE b ();"})
    put(folder, **{"undo/U2__b.sql": "DROP TABLE b;", "y/V10__c.sql": "CREATE TABLE c ();"})
    found = db.adopt()
    assert (found.tools[0].tool, found.tools[0].applied, found.not_applied) == ("Flyway", 2, ("V10__c",))
    assert db.rollback("V2__b", confirm="V2__b").success
    assert connection.execute("SELECT array_agg(version::text) FROM flyway_schema_history").fetchone() == (["1"],)


def test_a_folder_of_prisma_called_as_a_file_is_in_step_with_its_ledger(db, folder, session):
    connection = session()
    connection.execute(
        f"{PRISMA}; CREATE TABLE a (); INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name)"
        " VALUES ('a', '', '2026-01-01Z', '20240101_a.sql')"
    )
    put(folder, **{"20240101_a.sql/migration.sql": "CREATE TABLE a ();", "20240101_a.sql/down.sql": "DROP TABLE a;"})
    (registered,) = db.sync().registered
    assert registered.migration_name == "20240101_a"
    assert db.history()["applied_at"][0].year == 2026
    assert db.rollback("20240101_a", confirm="20240101_a").success
    assert connection.execute("SELECT count(*) FROM _prisma_migrations").fetchone() == (0,)


def test_numbered_folders_are_applied_in_order_and_rolled_back_by_name(db, folder, session, database_dsn):
    for name, table in (("0/02_b", "b"), ("0/10_a", "a"), ("2/01_d", "d"), ("10/01_c", "c")):
        put(folder, **{f"{name}.up.sql": f"CREATE TABLE {table} ();", f"{name}.down.sql": f"DROP TABLE {table};"})
    assert db.apply().applied == ("0/02_b", "0/10_a", "2/01_d", "10/01_c")
    assert db.last().migration_name == "10/01_c"
    out, err = io.StringIO(), io.StringIO()
    common = ["--dsn", database_dsn, "--dir", str(folder)]
    assert cli.run(["rollback", "2/01_d", "--confirm", "2/01_d", *common], out, err) == 0, err.getvalue()
    assert not exists(session(), "d")
    assert list(mr.verify(folder, "0/10_a")["grade"]) == ["restores"]
