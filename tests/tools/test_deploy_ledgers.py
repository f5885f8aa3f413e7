"""Ledgers of deploy tools: they go and come in the transaction of the migration.
The tools that cannot be had here are stood in for by tables as their own code makes them."""

from __future__ import annotations

import pytest
from ledgers import (
    FLYWAY,
    GOLANG_MIGRATE,
    LEDGERS,
    NAMES,
    PAIR,
    POP,
    PRISMA,
    REFINERY,
    SQLX,
    TERN,
    TERN_LEDGER,
    write_files,
)
from watching import exists, last_event, status, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions


@pytest.fixture
def write(folder):
    """Write the files of migrations 1 to 3 of a tool, each of one table."""
    return lambda forms: write_files(folder, forms)


@pytest.fixture
def held(session):
    """What a query for the ledger finds."""
    connection = session()
    return lambda query: [key for (key,) in connection.execute(query)]


@pytest.mark.few(1)
@pytest.mark.parametrize("tool", LEDGERS)
def test_the_ledger_follows_apply_and_rollback(db, write, held, session, tool):
    table, query, keys, forms = LEDGERS[tool]
    session().execute(table)
    write(forms)
    db.apply()
    assert held(query) == keys
    assert db.rollback("00002_t", confirm="00002_t").success
    assert held(query) == [keys[0], keys[2]]
    assert last_event(session())["details"]["ledger"]["deleted"]
    assert db.check("00003_t").warnings == ()
    db.apply("00002_t")
    assert held(query) == keys


@pytest.mark.few(1)
@pytest.mark.parametrize("tool", LEDGERS)
def test_a_failure_leaves_the_ledger(db, write, held, session, tool):
    table, query, keys, forms = LEDGERS[tool]
    session().execute(table)
    write({path: text.replace("{down}", "{down} SELECT 1/0;") for path, text in forms.items()})
    db.apply()
    with pytest.raises(mr.RollbackFailed):
        db.rollback("00003_t", confirm="00003_t")
    assert held(query) == keys


@pytest.mark.parametrize("tool", LEDGERS)
def test_sync_asks_the_ledger(db, write, session, tool):
    table, _, _, forms = LEDGERS[tool]
    connection = session()
    connection.execute(table)
    write(forms)
    assert db.sync().not_applied == NAMES
    connection.execute(
        {
            "goose": "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, true), (2, true), (2, false)",
            "sql-migrate": "INSERT INTO gorp_migrations VALUES ('00001_t.sql', now())",
            "rambler": "INSERT INTO migrations VALUES ('00001_t.sql')",
            "MyBatis Migrations": "INSERT INTO changelog VALUES (1, '2024-01-01', 't')",
            "diesel": "INSERT INTO __diesel_schema_migrations VALUES ('00001')",
        }[tool]
    )
    found = db.sync()
    assert ([one.migration_name for one in found.registered], found.not_applied) == (["00001_t"], NAMES[1:])
    registered = db.register("00002_t")
    assert registered.warnings[-1].endswith("says that 00002_t is not applied")
    assert any("does not hold it" in warning for warning in db.check("00002_t").warnings)


@pytest.mark.parametrize("tool", LEDGERS)
def test_without_a_ledger_there_is_nothing_to_ask(db, write, tool):
    write(LEDGERS[tool][3])
    found = db.sync()
    assert len(found.registered) == 3
    (warning,) = found.warnings
    assert warning.startswith(f"No ledger of {tool} was found here: ")
    assert db.check("00003_t").warnings == ()


#: What the tool writes when it applies the third migration.
APPLIED_BY_TOOL = {
    "goose": "INSERT INTO goose_db_version (version_id, is_applied) VALUES (3, true)",
    "sql-migrate": "INSERT INTO gorp_migrations VALUES ('00003_t.sql', now())",
    "rambler": "INSERT INTO migrations VALUES ('00003_t.sql')",
    "MyBatis Migrations": "INSERT INTO changelog VALUES (3, '2026-11-30', 't')",
    "diesel": "INSERT INTO __diesel_schema_migrations VALUES ('00003')",
}


@pytest.mark.few(1)
@pytest.mark.parametrize("tool", LEDGERS)
def test_what_the_tool_applies_again_after_a_rollback_is_recorded(db, write, session, tool):
    table, _, _, forms = LEDGERS[tool]
    connection = session()
    connection.execute(table)
    write(forms)
    db.apply()
    db.rollback("00003_t", confirm="00003_t")
    assert db.sync().applied_again == ()
    connection.execute(f"{APPLIED_BY_TOOL[tool]}; CREATE TABLE t3 ()")
    assert db.sync().applied_again == ("00003_t",)
    assert db.last().migration_name == "00003_t"
    assert db.rollback("00003_t", confirm="00003_t").success


# -- tools that keep only the newest version ---------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "case",
    [
        (GOLANG_MIGRATE, PAIR, ("1_t", "2_t", "3_t"), "SELECT version FROM schema_migrations", []),
        (TERN_LEDGER, TERN, ("001_t", "002_t", "003_t"), "SELECT version FROM schema_version", [0]),
    ],
    ids=["golang-migrate", "tern"],
)
def test_the_newest_version_goes_back_to_the_one_before(db, write, held, session, case):
    table, forms, names, query, nothing = case
    session().execute(table)
    write(forms)
    db.apply()
    assert held(query) == [3]
    assert db.rollback(names[2], confirm=names[2]).success
    assert held(query) == [2]
    assert last_event(session())["details"]["ledger"]["now"]["version"] == 2
    (warning,) = db.check(names[0]).warnings
    assert "goes on from the newest that it applied, 2: it will take this one for applied" in warning
    assert db.check(names[1]).warnings == ()
    assert db.rollback(names[0], confirm=names[0]).success  # not the newest: the tool cannot be told
    assert held(query) == [2]
    assert db.rollback(names[1], confirm=names[1]).success  # and the one before is gone already
    assert held(query) == nothing
    assert db.sync().applied_again == ()
    db.apply(names[0])
    db.apply(names[2])
    assert held(query) == [3]
    assert db.rollback(names[2], confirm=names[2]).success
    session().execute("CREATE TABLE t3 ()")
    connection = session()
    connection.execute(f"UPDATE {query.rpartition(' ')[2]} SET version = 3")  # the tool goes on from the newest
    assert db.sync().applied_again == (names[2],)
    # the second was rolled back when it was not the newest: the ledger cannot show whether it is applied
    assert db.rollback(names[0], confirm=names[0]).success
    assert db.sync().applied_again == ()
    assert db.sync().warnings == ()


def test_what_golang_migrate_calls_dirty_is_not_applied_and_blocks(db, write, held, session):
    connection = session()
    connection.execute(
        f"{GOLANG_MIGRATE}; INSERT INTO schema_migrations VALUES (3, true); CREATE TABLE t1 (); CREATE TABLE t2 ()"
    )
    write(PAIR)
    assert db.sync().not_applied == ("3_t",)
    refusal = (
        "The ledger public.schema_migrations says that a migration did not come to its end, and no process is at work"
        " on it: look at that first, with golang-migrate"
    )
    assert (db.check("2_t").can_rollback, db.check("2_t").reason) == (False, refusal)
    with pytest.raises(mr.Refused, match="did not come to its end"):
        db.rollback("2_t", confirm="2_t")
    connection.execute("UPDATE schema_migrations SET version = 2, dirty = false")  # as `migrate force 2` does
    assert db.rollback("2_t", confirm="2_t").success
    assert connection.execute("TABLE schema_migrations").fetchall() == [(1, False)]


def test_what_is_not_registered_is_the_version_before_all_the_same(db, folder, write, held, session):
    session().execute(f"{GOLANG_MIGRATE}; INSERT INTO schema_migrations VALUES (3, false); CREATE TABLE t3 ()")
    write(PAIR)
    db.register("3_t")
    assert db.rollback("3_t", confirm="3_t").success
    assert held("SELECT version FROM schema_migrations") == [2]


def test_registered_without_its_folder_no_one_knows_what_came_before(db, session):
    session().execute(f"{GOLANG_MIGRATE}; INSERT INTO schema_migrations VALUES (3, false); CREATE TABLE t3 ()")
    session().execute(
        """SELECT register_migration('3_t', '3', 'DROP TABLE t3;', metadata => '{"tool": "golang-migrate"}')"""
    )
    with pytest.raises(mr.RollbackFailed, match="which version comes before 3") as caught:
        db.rollback("3_t", confirm="3_t")
    assert caught.value.sqlstate == "MR023"
    assert "Register 3_t again from its folder" in caught.value.hint
    assert status(session(), "3_t") == "applied"
    assert exists(session(), "t3")


BUN = (
    "CREATE TABLE bun_migrations (id bigserial PRIMARY KEY, name varchar, group_id bigint, migrated_at timestamptz NOT"
    " NULL DEFAULT current_timestamp)"
)


def test_bun_names_its_files_as_golang_migrate_does(db, write, held, session):
    session().execute(BUN)
    write(PAIR)
    db.apply()
    assert held("SELECT name || ' ' || group_id FROM bun_migrations ORDER BY 1") == ["1 1", "2 2", "3 3"]
    db.rollback("2_t", confirm="2_t")
    assert held("SELECT name FROM bun_migrations ORDER BY 1") == ["1", "3"]
    assert db.check("1_t").warnings == ()  # it looks at all rows


@pytest.mark.few(1)
def test_pop_names_its_files_as_golang_migrate_does(db, write, held, session):
    session().execute(POP)
    write({"{n}_t.postgres.up.sql": "{up}", "{n}_t.postgres.down.sql": "{down}", "{n}_t.mysql.up.sql": "no"})
    db.apply()
    assert held("SELECT version FROM schema_migration ORDER BY 1") == ["1", "2", "3"]
    assert db.rollback("2_t", confirm="2_t").success
    assert held("SELECT version FROM schema_migration ORDER BY 1") == ["1", "3"]


def test_refinery_names_its_files_as_flyway_does(db, write, held, session):
    connection = session()
    connection.execute(
        f"{REFINERY}; CREATE TABLE t1 (); CREATE TABLE t2 ();"
        " INSERT INTO refinery_schema_history VALUES (1, 't', '', ''), (2, 't', '', '')"
    )
    write({"V0{n}__t.sql": "{up}\n-- ROLLBACK START\n-- {down}\n-- ROLLBACK END"})
    found = db.sync()
    assert [one.migration_name for one in found.registered] == ["V01__t", "V02__t"]
    with pytest.raises(mr.MigrollbackError, match="only its own tool can write"):
        db.apply("V03__t")
    assert db.rollback("V02__t", confirm="V02__t").success
    assert held("SELECT version FROM refinery_schema_history") == [1]


# -- ledgers that only their tool writes -------------------------------------------------------------------------------


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "case",
    [
        (
            FLYWAY,
            (
                "INSERT INTO flyway_schema_history VALUES (1, '1', 't', 'SQL', 'V1__t.sql', 7, 'me', now(), 1, true),"
                " (2, '2', 't', 'SQL', 'V2__t.sql', 7, 'me', now(), 1, true)"
            ),
            {"V{n}__t.sql": "{up}", "U{n}__t.sql": "{down}"},
            "V2__t",
            "SELECT version FROM flyway_schema_history WHERE success",
            "INSERT INTO flyway_schema_history VALUES (3, '3', 't', 'SQL', 'V3__t.sql', 7, 'me', now(), 1, false)",
        ),
        (
            PRISMA,
            (
                "INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name) VALUES ('a', '', now(),"
                " '20240101_t'), ('b', '', now(), '20240102_t')"
            ),
            {"2024010{n}_t/migration.sql": "{up}", "2024010{n}_t/down.sql": "{down}"},
            "20240102_t",
            "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL",
            "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('c', '', '20240103_t')",
        ),
        (
            SQLX,
            "INSERT INTO _sqlx_migrations VALUES (1, 't', now(), true, '', 1), (2, 't', now(), true, '', 1)",
            PAIR,
            "2_t",
            "SELECT version FROM _sqlx_migrations WHERE success",
            "INSERT INTO _sqlx_migrations VALUES (3, 't', now(), false, '', 1)",
        ),
    ],
    ids=["Flyway", "Prisma", "sqlx"],
)
def test_a_rollback_takes_the_row_out_and_apply_is_left_to_the_tool(db, write, held, session, case):
    table, row, forms, name, query, broken_off = case
    mended = (
        f"DELETE FROM {broken_off.split()[2]} WHERE"
        f" {'finished_at IS NULL' if 'prisma' in broken_off else 'NOT success'}"
    )
    session().execute(f"{table}; {row}; CREATE TABLE t1 (); CREATE TABLE t2 ()")
    write(forms)
    found = db.sync()
    assert (len(found.registered), len(found.not_applied)) == (2, 1)
    assert len(held(query)) == 2
    assert db.check(name).warnings == ()
    session().execute(broken_off)
    assert "did not come to its end" in db.check(name).reason
    with pytest.raises(mr.Refused, match="did not come to its end"):
        db.rollback(name, confirm=name)
    assert [found for found in db.list()["blocking_reason"] if "did not come to its end" in str(found)]
    session().execute(mended)
    assert db.rollback(name, confirm=name).success
    assert len(held(query)) == 1
    with pytest.raises(mr.ApplyFailed, match="can write the ledger") as caught:
        db.apply(name)
    assert caught.value.sqlstate == "0A000"
    assert f"run migrollback register {name} then" in caught.value.hint
    assert not exists(session(), "t2")


# -- where a ledger is looked for --------------------------------------------------------------------------------------


def test_tables_of_one_name_are_told_apart_by_their_columns(db, folder, session):
    session().execute(GOLANG_MIGRATE)
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;")
    db.apply()
    assert value(session(), "SELECT count(*) FROM schema_migrations") == 0
    assert "ledger" not in last_event(session())["details"]


def test_a_ledger_in_the_schema_of_the_search_path_comes_before_one_in_public(database_dsn, folder, session):
    table = "CREATE TABLE {}.schema_migrations (version varchar PRIMARY KEY)"
    session().execute(f"CREATE SCHEMA app; {table.format('app')}; {table.format('public')}")
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;")
    with mr.connect(f"{database_dsn} options='-c search_path=app'", dir=folder) as there:
        there.apply()
        assert [
            value(session(), f"SELECT count(*) FROM {schema}.schema_migrations") for schema in ("app", "public")
        ] == [1, 0]
        there.rollback("1_t", confirm="1_t")
        assert value(session(), "SELECT count(*) FROM app.schema_migrations") == 0


@pytest.mark.long
def test_a_ledger_of_another_name_is_named_by_a_setting(database_dsn, folder, session):
    connection = session()
    connection.execute("CREATE SCHEMA ops; CREATE TABLE ops.applied (version varchar PRIMARY KEY)")
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;")
    with mr.connect(f"{database_dsn} options='-c migrollback.deploy_ledger=ops.applied'", dir=folder) as there:
        there.apply()
        assert value(connection, "SELECT version FROM ops.applied") == "1"
        there.rollback("1_t", confirm="1_t")
        assert value(connection, "SELECT count(*) FROM ops.applied") == 0
        assert there.sync().warnings == ()


def test_a_ledger_that_may_not_be_written_undoes_the_rollback(db, folder, session):
    connection = session()
    connection.execute("CREATE TABLE schema_migrations (version varchar PRIMARY KEY)")
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nDROP TABLE t;")
    db.apply()
    connection.execute("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'")
    connection.execute("CREATE TRIGGER no BEFORE DELETE ON schema_migrations EXECUTE FUNCTION no()")
    with pytest.raises(mr.RollbackFailed):
        db.rollback("1_t", confirm="1_t")
    assert exists(connection, "t")
    assert status(connection, "1_t") == "failed"


def test_order_of_numbers_is_the_order_of_the_history(db, folder, session):
    for number in (1, 2, 10):
        (folder / f"{number}_t.up.sql").write_text(f"CREATE TABLE t{number} ();")
        (folder / f"{number}_t.down.sql").write_text(f"DROP TABLE t{number};")
    db.sync()
    assert list(db.list()["migration_name"])[:3] == ["10_t", "2_t", "1_t"]
    assert db.database.queries.last_applied() == "10_t"
    assert [row["migration_name"] for row in db.database.queries.applied()] == ["1_t", "2_t", "10_t"]


def test_a_chain_goes_by_the_order_in_which_things_were_applied(db, folder):
    for number in (1, 2, 10):
        (folder / f"{number}_t.up.sql").write_text(
            ("" if number == 1 else "-- Depends on: 1_t\n") + f"CREATE TABLE t{number} ();"
        )
        (folder / f"{number}_t.down.sql").write_text(f"DROP TABLE t{number};")
    db.apply()
    assert db.plan("1_t").steps == ("10_t", "2_t", "1_t")


def test_what_a_line_of_the_other_file_is_refused_for_is_said_in_the_tools_words(db, folder):
    (folder / "1_t.sql").write_text("-- migrate:up\nCREATE TABLE t ();\n-- migrate:down\nVACUUM;")
    db.apply()
    found = db.check("1_t")
    assert not found.can_rollback
    assert (
        found.reason
        == "Rollback SQL cannot run inside a transaction: line 4: VACUUM (write -- migrate:down transaction:false)"
    )


def test_a_change_of_either_file_is_told_by_check(db, folder):
    (folder / "1_t.up.sql").write_text("CREATE TABLE t ();")
    (folder / "1_t.down.sql").write_text("DROP TABLE t;")
    db.apply()
    assert db.check("1_t").warnings == ()
    (folder / "1_t.down.sql").write_text("DROP TABLE t; SELECT 1;")
    (warning,) = db.check("1_t").warnings
    assert "was changed after it was registered" in warning
    (folder / "1_t.down.sql").unlink()
    assert len(db.check("1_t").warnings) == 1


def test_a_folder_that_cannot_be_read_stops_no_check_and_no_rollback(db, folder, session):
    (folder / "1_t.up.sql").write_text("CREATE TABLE t ();")
    (folder / "1_t.down.sql").write_text("DROP TABLE t;")
    db.apply()
    (folder / "sqitch.plan").write_text("this is no plan\n")
    found = db.check("1_t")
    assert found.can_rollback
    assert ["not known whether 1_t was changed" in warning for warning in found.warnings] == [True]
    assert db.rollback("1_t", confirm="1_t").success
    assert not exists(session(), "t")
