"""The stored rollback SQL is compared with the file's, not the checksum alone:
both are columns, and whoever may write the one may leave the other."""

import pytest
from watching import exists

import migrollback_nb as mr
from migrollback_nb.files.formats import parse
from migrollback_nb.files.location import plain_rollback

EVIL = (
    "UPDATE migration_history SET rollback_sql = 'DROP TABLE customers', metadata = jsonb_set(jsonb_set(metadata,"
    " '{rollback,md5}', to_jsonb(md5('DROP TABLE customers'))), '{rollback,statements}', '[[0, 20, 1]]')"
)
FILES = {
    "001_own": "CREATE TABLE a ();\n-- ROLLBACK START\nDROP TABLE a;\n-- ROLLBACK END\n",
    "002_commented": "CREATE TABLE b ();\n-- ROLLBACK START\n-- DROP TABLE b;\n-- ROLLBACK END\n",
    "003_steps": (
        "CREATE TABLE c (x int); CREATE INDEX i ON c (x);\n-- ROLLBACK START transaction:false\nDROP INDEX CONCURRENTLY"
        " i;\nDROP TABLE c;\n-- ROLLBACK END\n"
    ),
    "004_nothing": "CREATE TABLE d ();\n",
    "005_marks": "-- migrate:up\nCREATE TABLE e ();\n-- migrate:down\nDROP TABLE e;\n",
    "006_pair.up": "CREATE TABLE f ();\n",
    "006_pair.down": "DROP TABLE f;\n",
}
CHANGED = "though the checksum is: it was changed in the database"


@pytest.fixture
def registered(db, write_migration, session):
    for name, text in FILES.items():
        write_migration(name, text)
    assert len(db.sync().registered) == 6
    connection = session()
    connection.execute("CREATE TABLE customers ()")
    return connection


NAMES = sorted({name.partition(".")[0] for name in FILES})


@pytest.mark.long
def test_what_is_stored_as_registered_is_no_warning(db, registered):
    for name in NAMES:
        assert not any("stored" in warning for warning in db.check(name).warnings), name
        if name not in ("003_steps", "004_nothing"):
            assert not any("stored" in warning for warning in db.rehearse(name, consent=True).warnings), name


def test_a_stored_rollback_that_is_not_the_files_is_said(db, registered, folder):
    registered.execute(EVIL)
    for name in NAMES:
        (said,) = [warning for warning in db.check(name).warnings if "stored" in warning]
        assert said.startswith("The stored rollback SQL is not the one of "), name
        assert name in said
        assert CHANGED in said
    assert f"{folder / '001_own.sql'}" in db.check("001_own").warnings[0]
    assert any(CHANGED in warning for warning in db.preview("001_own").checks[0].warnings)
    assert any(CHANGED in warning for warning in db.rehearse("001_own").warnings)
    assert any(CHANGED in warning for warning in db.rollback("001_own", confirm="001_own").warnings)


@pytest.mark.few(2)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("SET rollback_sql = NULL", "The stored rollback SQL is not the one of"),
        ("SET rollback_sql = rollback_sql || '\n-- and more'", "The stored rollback SQL is not the one of"),
        ("SET metadata = jsonb_set(metadata, '{rollback,transaction}', 'false')", "(transaction) is not what"),
        ('SET metadata = metadata || \'{"tool": "goose"}\'', "(tool) is not what"),
        (
            "SET metadata = metadata - 'rollback'",
            (
                "(statements, transaction, refused_in_transaction, set_local, set_session, not_undone, calls, writes,"
                " unseen) is not what"
            ),
        ),
        ("SET checksum = NULL, rollback_sql = 'SELECT 1'", "though it was registered without a checksum"),
    ],
)
def test_so_is_a_change_that_leaves_something_as_it_was(db, registered, change, said):
    registered.execute(f"UPDATE migration_history {change} WHERE migration_name = '001_own'")
    warnings = [warning for warning in db.check("001_own").warnings if "stored" in warning]
    assert len(warnings) == 1
    assert said in warnings[0]
    registered.execute("UPDATE migration_history SET checksum = 'x' WHERE migration_name = '001_own'")
    assert any("was changed after it was registered" in warning for warning in db.check("001_own").warnings)
    db.register("001_own")
    assert not any("stored" in warning for warning in db.check("001_own").warnings)


@pytest.mark.few(1)
@pytest.mark.parametrize("key", ["set_local", "calls", "unseen", "statements"])
def test_a_rehearsal_also_compares_what_the_parser_found(db, applied, session, key):
    # a rehearsal asks for consent by `calls`; only the parser knows them
    name = applied(
        "001_t",
        "CREATE TABLE t (a int); CREATE SEQUENCE s;",
        "SET LOCAL work_mem = '1MB'; SELECT setval('s', 5); DO $$ BEGIN EXECUTE 'SELECT 1'; END $$; DROP TABLE t",
    )
    emptied = "[[0, 200, 1]]" if key == "statements" else "[]"
    session().execute(
        "UPDATE migration_history SET metadata = jsonb_set(metadata, ARRAY['rollback', %s], replace(%s, '200',"
        " length(rollback_sql)::text)::jsonb) WHERE migration_name = '001_t'",
        (key, emptied),
    )
    if key in ("calls", "unseen"):
        for on in (None, "scratch"):
            with pytest.raises(mr.Refused, match="is not what the parser finds in it") as caught:
                db.rehearse(name, on=on)
            assert "migrollback register 001_t" in caught.value.hint
    said = [warning for warning in db.rehearse(name, consent=True).warnings if CHANGED in warning]
    assert len(said) == 1
    assert f"({key})" in said[0]
    assert exists(session(), "t")


def test_a_folder_that_is_not_there_says_nothing(registered, database_dsn, tmp_path):
    registered.execute(EVIL)
    with mr.connect(database_dsn, dir=tmp_path / "nowhere") as db:
        assert not any("stored" in warning for warning in db.check("001_own").warnings)


@pytest.mark.parametrize(
    "text",
    [
        *(text for name, text in FILES.items() if name[:3] in ("001", "002", "003")),
        "SELECT 1;\r\n-- ROLLBACK START\r\nSELECT 2;\r\n\r\n-- ROLLBACK END\r\n",
        "\ufeff-- rollback start \n\n  SELECT 2; -- x\n\n  -- ROLLBACK END\n\n",
        "SELECT 1;\n--ROLLBACK START transaction : FALSE\n  -- SELECT 2;\n\n--SELECT 3;\n--ROLLBACK END",
        "-- ROLLBACK START transaction:true\nSELECT 'ž';\n-- ROLLBACK END -- of it",
    ],
)
def test_a_plain_block_is_read_as_the_parser_reads_it(text):
    found = plain_rollback(text.encode())
    block = parse(text, name="001_x").rollback
    assert found == (block.sql, block.transaction)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "SELECT '\n-- ROLLBACK START\n'; SELECT 1;\n-- ROLLBACK START\nSELECT 2;\n-- ROLLBACK END",
        "SELECT 1; -- ROLLBACK START\nSELECT 2;\n-- ROLLBACK END",
        "-- ROLLBACK START\nSELECT 2;",
        "-- ROLLBACK START of it\nSELECT 2;\n-- ROLLBACK END",
        "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;",
    ],
)
def test_what_needs_the_parser_is_left_to_it(text):
    assert plain_rollback(text.encode()) is None
