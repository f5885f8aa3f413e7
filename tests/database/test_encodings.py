"""Databases that are not UTF-8, and collations that sort otherwise."""

import psycopg
import pytest
from watching import exists, value

import migrollback_nb as mr

pytestmark = pytest.mark.versions

FILE = (
    '-- Description: smaže příliš žluťoučkého koně\nCREATE TABLE "kůň" (a int);\n-- ROLLBACK START\n-- smaže koně\nDROP'
    " TABLE \"kůň\";\nSELECT 'é';\n-- ROLLBACK END\n"
)


@pytest.fixture
def database(server):
    made = []

    def database(options):
        made.append(server.create_database(options=options))
        return server.dsn(made[-1])

    yield database
    for name in made:
        server.drop_database(name)


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["LATIN2", "WIN1250"])
def test_another_encoding(database, folder, write_migration, encoding):
    dsn = database(f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    name = "001_kůň"
    write_migration(name, FILE)
    with mr.connect(dsn, dir=folder) as db, psycopg.connect(dsn, autocommit=True) as connection:
        db.install()
        db.apply()
        assert db.check(name).warnings == (), "SQL that was read from the file is taken for SQL that was set by hand"
        assert (
            value(
                connection,
                "SELECT cardinality(migration_rollback_statements(rollback_sql, metadata)) FROM migration_history WHERE"
                " migration_name = %s",
                name,
            )
            == 2
        )
        assert db.rollback(name, confirm=name, preview=db.preview(name), reason="kůň").success
        assert not exists(connection, '"kůň"')
        assert db.verify_events().intact
        assert connection.execute("SELECT intact FROM verify_migration_events()").fetchone() == (True,)


def test_a_rollback_outside_a_transaction_in_another_encoding(database, folder, write_migration):
    dsn = database("ENCODING 'LATIN2' LC_COLLATE 'C' LC_CTYPE 'C'")
    write_migration(
        "001_t",
        "CREATE TABLE t (a int); CREATE INDEX i ON t (a);\n-- ROLLBACK START transaction:false\n-- smaže koně\nDROP"
        " INDEX CONCURRENTLY i;\nDROP TABLE t;\n-- ROLLBACK END",
    )
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        db.apply()
        assert db.rollback("001_t", confirm="001_t").success


@pytest.mark.long
def test_a_database_without_any_encoding(database, folder, write_migration):
    dsn = database("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    write_migration("001_t", "CREATE TABLE t ();\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END")
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        db.apply()
        assert db.rollback("001_t", confirm="001_t").migration_name == "001_t"
        assert db.verify_events().intact


def test_a_character_that_the_database_does_not_have_is_an_error_in_words(database, folder, write_migration):
    dsn = database("ENCODING 'LATIN2' LC_COLLATE 'C' LC_CTYPE 'C'")
    write_migration("001_t", "SELECT '日本';")
    write_migration("002_u", "SELECT 1;")
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        with pytest.raises(mr.MigrollbackError):
            db.apply("001_t")
        assert db.apply("002_u").applied == ("002_u",)


def test_sync_names_the_file_that_the_database_cannot_hold_and_registers_the_others(database, folder, write_migration):
    dsn = database("ENCODING 'LATIN2' LC_COLLATE 'C' LC_CTYPE 'C'")
    write_migration("001_good", "SELECT 1;")
    write_migration("002_bad", "SELECT 1;\n-- ROLLBACK START\nSELECT '日本';\n-- ROLLBACK END")
    write_migration("003_on_bad", "-- Depends on: 002_bad\nSELECT 1;")
    write_migration("004_good", "SELECT 1;")
    with mr.connect(dsn, dir=folder) as db:
        db.install()
        result = db.sync()
    assert [one.migration_name for one in result.registered] == ["001_good", "004_good"]
    assert {failure.migration_name for failure in result.failed} == {"002_bad", "003_on_bad"}


def test_a_collation_that_sorts_otherwise(database, folder, write_migration):
    try:
        dsn = database("LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip(
            "this PostgreSQL was built without ICU: it has no collation that sorts otherwise than by code point"
        )
    names = ["001_a", "001_B", "001_ab", "001_Aa", "001-z", "001 y", "001_á"]
    for name in names:
        write_migration(name, "SELECT 1;\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END")
    write_migration("000_base", "SELECT 1;\n-- ROLLBACK START\nSELECT 1;\n-- ROLLBACK END")
    with mr.connect(dsn, dir=folder) as db, psycopg.connect(dsn, autocommit=True) as connection:
        db.install()
        db.sync()
        connection.execute(
            "INSERT INTO migration_dependencies (migration_name, depends_on) SELECT migration_name, '000_base' FROM"
            " migration_history WHERE migration_name LIKE '001%'"
        )
        in_order = tuple(sorted(names))  # by code point, on every server alike
        assert db.check("000_base").dependent_migrations == in_order
        (row,) = [row for row in db.list().to_dict("records") if row["migration_name"] == "000_base"]
        assert row["dependent_migrations"] == in_order
        assert db.plan("000_base").steps == (*reversed(in_order), "000_base")
        assert db.register("001_a").outcome == "updated"  # the file does not name 000_base
        assert db.register("001_a").outcome == "unchanged"
