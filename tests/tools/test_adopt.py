"""`migrollback adopt`: what is found of a folder and a ledger, what is done with it, and that a look writes nothing."""

from __future__ import annotations

import io
import json

import pytest
from watching import value

import migrollback_nb as mr
from migrollback_nb import cli


@pytest.fixture
def db(empty_dsn, folder):
    with mr.connect(empty_dsn, dir=folder) as migrations:
        yield migrations


def write_dbmate(write_migration, db, *, applied, also=()):
    for version in (*applied, *also):
        write_migration(
            f"{version}_t", f"-- migrate:up\nCREATE TABLE t{version} ();\n-- migrate:down\nDROP TABLE t{version};\n"
        )
    connection = db.database.connection
    connection.execute("CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)")
    for version in applied:
        connection.execute(f"CREATE TABLE t{version} (); INSERT INTO schema_migrations VALUES ('{version}')")


def test_a_look_says_what_was_found_and_writes_nothing(db, write_migration):
    write_dbmate(write_migration, db, applied=("1", "2"), also=("3",))
    found = db.adopt(dry_run=True)
    (tool,) = found.tools
    assert (tool.tool, tool.files, tool.ledger, tool.applied) == ("dbmate", 3, "schema_migrations", 2)
    assert (tool.how_sure, found.installed, found.done) == ("sure", False, False)
    assert (found.to_register, found.not_applied) == (("1_t", "2_t"), ("3_t",))
    assert found.steps[0] == "Install the rollback system into schema public"
    assert value(db.database.connection, "SELECT to_regclass('migration_history') IS NULL")
    assert (
        value(db.database.connection, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace") == 0
    )


def test_then_it_is_done_and_a_rollback_is_known_to_the_ledger(db, write_migration):
    write_dbmate(write_migration, db, applied=("1", "2"), also=("3",))
    done = db.adopt()
    assert (done.done, [one.migration_name for one in done.sync.registered]) == (True, ["1_t", "2_t"])
    again = db.adopt(dry_run=True)
    assert (again.installed, again.registered_before, again.to_register) == (True, 2, ())
    db.rollback("2_t", confirm="2_t")
    assert value(db.database.connection, "SELECT array_agg(version) FROM schema_migrations") == ["1"]


def test_a_folder_alone_is_less_sure(db, write_migration):
    write_migration("1_a", "-- migrate:up\nCREATE TABLE a ();\n-- migrate:down\nDROP TABLE a;\n")
    found = db.adopt(dry_run=True)
    assert found.tools[0].how_sure == "likely"
    assert any("No ledger of dbmate" in one for one in found.contradictions)


def test_a_ledger_in_another_schema_is_named_with_what_to_do(db, write_migration, session):
    db.database.connection.execute(
        'CREATE SCHEMA "Ops"; CREATE TABLE "Ops".schema_migrations (version text PRIMARY KEY);'
        " INSERT INTO \"Ops\".schema_migrations VALUES ('1'); CREATE TABLE a ();"
        " CREATE SCHEMA other; CREATE TABLE other.schema_migrations (version bigint, dirty boolean)"
    )
    for name in ("1_a", "2_b"):
        write_migration(name, f"-- migrate:up\nCREATE TABLE {name[-1]} ();\n-- migrate:down\nDROP TABLE {name[-1]};\n")
    (said,) = [one for one in db.adopt(dry_run=True).contradictions if "No ledger of dbmate" in one]
    way = said.partition('Where "Ops".schema_migrations is its ledger: ')[2].partition(", then")[0]
    assert way.startswith("ALTER DATABASE ")
    session().execute(way)
    db.database.session.reconnect_patiently()
    found = db.adopt()
    assert (found.tools[0].ledger, found.to_register, found.not_applied) == (
        '"Ops".schema_migrations',
        ("1_a",),
        ("2_b",),
    )
    assert db.rollback("1_a", confirm="1_a").success
    assert value(db.database.connection, 'SELECT count(*) FROM "Ops".schema_migrations') == 0


def test_our_own_format_without_a_ledger_is_not_sure(db, write):
    write("001_a", "CREATE TABLE a ();")
    found = db.adopt(dry_run=True)
    assert (found.tools[0].tool, found.tools[0].how_sure) == (None, "unsure")
    assert found.without_rollback == ("001_a",)


def test_in_a_terminal(db, write_migration, empty_dsn, folder):
    write_dbmate(write_migration, db, applied=("1",))
    write_migration("2_bad", "-- migrate:up\nCREATE TABLE (;\n-- ROLLBACK START\n")
    out, err = io.StringIO(), io.StringIO()
    common = ["--dsn", empty_dsn, "--dir", str(folder)]
    assert cli.run(["adopt", "--dry-run", *common], out, err) == 1, "one file cannot be taken"
    assert "dbmate: 1 migrations; ledger schema_migrations: 1 of 1 are in it; sure" in out.getvalue()
    assert "Cannot be taken: 2_bad" in out.getvalue()
    out = io.StringIO()
    assert cli.run(["adopt", *common, "--format", "json"], out, err) == 1
    told = json.loads(out.getvalue())
    assert (told["done"], told["sync"]["registered"]) == (True, ["1_t"])
