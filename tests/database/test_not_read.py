"""Files of layouts that are not read: never run, never registered, and no hindrance to what is registered already."""

import io

import pytest
from watching import exists

import migrollback_nb as mr
from migrollback_nb import cli

BAD = {
    "002_heading.sql": "CREATE TABLE headed ();\n-- Down\nDROP TABLE headed;\n",
    "003.sql": "-- +micrate Up\nCREATE TABLE played ();\n-- +micrate Down\nDROP TABLE played;\n",
    "004_pair.sql": "CREATE TABLE paired ();\n",
    "004_pair_rollback.sql": "DROP TABLE paired;\n",
}


@pytest.fixture
def registered(db, folder, write_migration):
    """One good migration, applied; then bad files beside it and another good one."""
    write_migration("001_good", "CREATE TABLE good ();\n-- ROLLBACK START\nDROP TABLE good;\n-- ROLLBACK END\n")
    db.apply()
    for name, text in BAD.items():
        (folder / name).write_text(text)
    write_migration(
        "005_good", "CREATE TABLE also_good ();\n-- ROLLBACK START\nDROP TABLE also_good;\n-- ROLLBACK END\n"
    )
    return db


def test_they_are_not_applied_and_not_registered_and_stop_no_good_one(registered, folder, session):
    with pytest.raises(mr.MigrationFileError, match=r"such a pair is not read yet|undoes what stands above it"):
        registered.apply()
    assert not exists(session(), "headed")
    for name in ("002_heading", "003", "004_pair", "004_pair_rollback"):
        with pytest.raises(mr.MigrationFileError):
            registered.apply(name)
        with pytest.raises(mr.MigrationFileError):
            registered.register(name)
    assert registered.apply("005_good").applied == ("005_good",)
    found = registered.sync()
    assert sorted(failure.migration_name for failure in found.failed) == sorted(
        name.removesuffix(".sql") for name in BAD
    )
    assert (found.registered, found.skipped) == ((), ("001_good", "005_good"))
    assert registered.check("001_good").can_rollback
    assert registered.check("001_good").warnings == ()
    assert registered.rollback("001_good", confirm="001_good").success


def test_what_was_registered_before_is_rolled_back_all_the_same(db, folder, session):
    (folder / "001_a.sql").write_text("CREATE TABLE a ();\n-- ROLLBACK START\nDROP TABLE a;\n-- ROLLBACK END\n")
    db.apply()
    (folder / "001_a.sql").write_text("CREATE TABLE a ();\n-- Down\nDROP TABLE a;\n")
    assert db.check("001_a").can_rollback
    assert db.rollback("001_a", confirm="001_a").success
    assert not exists(session(), "a")


def test_sync_of_a_folder_of_programs_does_not_look_well(database_dsn, db, folder):
    (folder / "20200101000000_create_x.rb").write_text("")
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["--dsn", database_dsn, "--dir", str(folder), "sync"], out, err, io.StringIO()) == 1
    assert "✅" not in out.getvalue()
    assert "holds migrations that are programs, and only SQL is read: 1 in the manner of Rails" in err.getvalue()
    with pytest.raises(mr.MigrationFileError, match="in the manner of Rails"):
        db.apply()


@pytest.mark.long
def test_verify_says_so_and_grades_the_good_ones(registered, verdicts):
    found = verdicts()
    assert {name: verdict.grade for name, verdict in found.items()} == {
        "001_good": "restores",
        "002_heading": "fails",
        "003": "fails",
        "004_pair": "fails",
        "004_pair_rollback": "fails",
        "005_good": "restores",
    }
    assert "written for micrate" in found["003"].remarks[0]
