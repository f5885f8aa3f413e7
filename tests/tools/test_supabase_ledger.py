"""Supabase's ledger goes and comes in the same transaction as the migration."""

import pytest
from watching import exists, last_event, status

import migrollback_nb as mr

pytestmark = pytest.mark.versions

LEDGER = """
CREATE SCHEMA supabase_migrations;
CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text);
"""
LIVE = "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END"
COMMENTED = "CREATE TABLE t ();\n-- ROLLBACK START\n-- DROP TABLE t;\n-- ROLLBACK END"


@pytest.fixture
def ledger(session):
    """Reads the ledger; the table is there and empty."""
    connection = session()
    connection.execute(LEDGER)
    return lambda: connection.execute(
        "SELECT version, name, statements FROM supabase_migrations.schema_migrations ORDER BY 1"
    ).fetchall()


def test_apply_writes_it(db, applied, ledger):
    applied("20250120_add_t", "CREATE TABLE t ();\nCREATE TABLE u ();", "DROP TABLE u; DROP TABLE t;")
    assert ledger() == [("20250120", "add_t", ["CREATE TABLE t ()", "CREATE TABLE u ()"])]


def test_rollback_takes_it_out_so_that_supabase_applies_it_again(db, applied, ledger, session):
    applied("20250120_add_t", "CREATE TABLE t ();", "DROP TABLE t;")
    applied("20250121_keep", "CREATE TABLE k ();", "DROP TABLE k;")
    db.rollback("20250120_add_t", confirm="20250120_add_t")
    assert [version for version, _, _ in ledger()] == ["20250121"]
    removed = last_event(session())["details"]["ledger"]["deleted"]
    assert (removed["version"], removed["name"]) == ("20250120", "add_t")
    db.apply("20250120_add_t")
    assert len(ledger()) == 2


def test_a_rollback_that_fails_leaves_it(db, applied, ledger, session):
    applied("20250120_add_t", "CREATE TABLE t ();", "DROP TABLE t; SELECT 1/0;")
    before = ledger()
    with pytest.raises(mr.RollbackFailed):
        db.rollback("20250120_add_t", confirm="20250120_add_t")
    assert ledger() == before


def test_a_chain_that_fails_leaves_all_of_it(db, applied, ledger):
    applied("20250120_a", "SELECT 1;", "SELECT 1/0;")
    applied("20250121_b", "SELECT 1;", "SELECT 1;", depends_on=["20250120_a"])
    with pytest.raises(mr.RollbackFailed):
        db.rollback("20250120_a", confirm="20250120_a", chain=True)
    assert len(ledger()) == 2


def test_an_apply_that_fails_writes_nothing(db, write_migration, ledger):
    write_migration("20250120_add_t", "CREATE TABLE t (); SELECT 1/0;")
    with pytest.raises(mr.ApplyFailed):
        db.apply()
    assert ledger() == []


def test_of_two_with_the_same_digits_only_its_own_row_goes(db, applied, ledger, session):
    session().execute("INSERT INTO supabase_migrations.schema_migrations VALUES ('20250120', '{}', 'theirs')")
    applied("20250120_ours", "CREATE TABLE t ();", "DROP TABLE t;")
    db.rollback("20250120_ours", confirm="20250120_ours")
    assert [(version, name) for version, name, _ in ledger()] == [("20250120", "theirs")]


def test_a_row_without_a_name_is_its_own(db, write_migration, ledger, session):
    session().execute(
        "INSERT INTO supabase_migrations.schema_migrations VALUES ('20250120', NULL, NULL); CREATE TABLE t ()"
    )
    write_migration("20250120_add_t", LIVE)
    db.register("20250120_add_t")
    db.rollback("20250120_add_t", confirm="20250120_add_t")
    assert ledger() == []


def test_resolving_as_rolled_back_takes_it_out_too(db, applied, ledger, session):
    applied("20250120_add_t", "CREATE TABLE t ();", "DROP TABLE nowhere;")
    with pytest.raises(mr.RollbackFailed):
        db.rollback("20250120_add_t", confirm="20250120_add_t")
    with pytest.raises(mr.Refused, match="still stands"):
        db.resolve("20250120_add_t", status="rolled_back", reason="dropped by hand")
    assert ledger() != []
    session().execute("DROP TABLE t")
    db.resolve("20250120_add_t", status="rolled_back", reason="dropped by hand")
    assert ledger() == []


@pytest.mark.long
def test_outside_a_transaction_it_goes_with_the_end(db, applied, ledger):
    applied(
        "20250120_add_t",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);",
        "DROP INDEX CONCURRENTLY i; DROP TABLE t;",
        options=" transaction:false",
    )
    db.rollback("20250120_add_t", confirm="20250120_add_t")
    assert ledger() == []


@pytest.mark.parametrize(
    "table",
    [
        (
            "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text"
            " PRIMARY KEY)"
        ),
        "CREATE TABLE schema_migrations (version text PRIMARY KEY, statements text[], name text)",
        (
            "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.seed_files (path text PRIMARY KEY,"
            " hash text)"
        ),
    ],
)
def test_tables_of_others_are_left_alone(db, applied, session, table):
    session().execute(table)
    applied("20250120_add_t", "CREATE TABLE t ();", "DROP TABLE t;")
    assert db.rollback("20250120_add_t", confirm="20250120_add_t").success
    assert not db.database.queries.uses_supabase()


@pytest.mark.long
def test_an_older_ledger_without_names(db, applied, session):
    session().execute(
        "CREATE SCHEMA supabase_migrations; CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY"
        " KEY, statements text[])"
    )
    applied("20250120_add_t", "CREATE TABLE t ();", "DROP TABLE t;")
    assert db.rollback("20250120_add_t", confirm="20250120_add_t").success
    assert session().execute("SELECT count(*) FROM supabase_migrations.schema_migrations").fetchone() == (0,)


def test_a_ledger_that_cannot_be_written_fails_the_rollback_and_undoes_it(db, applied, ledger, session):
    applied("20250120_add_t", "CREATE TABLE t ();", "DROP TABLE t;")
    session().execute(
        "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE ="
        " '42501'; END $$;CREATE TRIGGER g BEFORE DELETE ON supabase_migrations.schema_migrations FOR EACH ROW EXECUTE"
        " FUNCTION refuses()"
    )
    with pytest.raises(mr.RollbackFailed) as caught:
        db.rollback("20250120_add_t", confirm="20250120_add_t")
    assert caught.value.sqlstate == "42501"
    assert exists(session(), "t")
    assert status(session(), "20250120_add_t") == "applied"


@pytest.mark.parametrize(("text", "warned"), [(LIVE, True), (COMMENTED, False)])
def test_a_live_block_is_warned_of_where_supabase_is(db, write_migration, ledger, text, warned):
    path = write_migration("20250120_add_t", text)
    registered = db.register("20250120_add_t")
    path.rename(path.with_name("20250121_other.sql"))
    synced = db.sync()
    checked = db.check("20250121_other")
    for warnings in (registered.warnings, synced.warnings, checked.warnings):
        assert any("supabase db push" in warning for warning in warnings) is warned


def test_a_live_block_is_not_warned_of_elsewhere(db, write_migration):
    write_migration("20250120_add_t", LIVE)
    assert db.register("20250120_add_t").warnings == ()
    assert db.check("20250120_add_t").warnings == ()


def test_the_template_is_commented_where_supabase_is(db, write_migration, ledger):
    write_migration("20250120_add_t", "CREATE TABLE t ();")
    assert db.template("20250120_add_t").text == "-- ROLLBACK START\n-- DROP TABLE IF EXISTS t;\n-- ROLLBACK END"


def test_a_commented_block_rolls_back(db, write_migration, ledger, session):
    write_migration("20250120_add_t", COMMENTED)
    db.apply()
    assert db.preview("20250120_add_t").sql == "DROP TABLE t;"
    db.rollback("20250120_add_t", confirm="20250120_add_t")
    assert not exists(session(), "t")
