"""A rollback of what was there before the first snapshot: compared with a replay of the folder, and said to be so."""

import io

import pytest

from migrollback_nb import cli


@pytest.fixture
def run(database_dsn, folder, server):
    def run_command(*argv):
        out, err = io.StringIO(), io.StringIO()
        on = ("--on", server.dsn()) if "--replay" in argv else ()
        return (
            cli.run(["--dsn", database_dsn, "--dir", str(folder), *argv, *on], out, err),
            out.getvalue(),
            err.getvalue(),
        )

    return run_command


@pytest.fixture
def there(write_migration, session, db):
    """Migrations that were applied by others before anything of ours was there."""

    def deploy(**files):
        connection = session()
        for name, (up, rollback) in files.items():
            write_migration(f"00{name[1:]}", f"{up}\n-- ROLLBACK START\n-- {rollback}\n-- ROLLBACK END\n")
            connection.execute(up)
        db.sync()

    return deploy


@pytest.mark.versions
def test_it_is_offered_and_done(run, there):
    there(
        n1_a=("CREATE TABLE a (x int, y text);", "DROP TABLE a;"),
        n2_b=(
            "ALTER TABLE a DROP COLUMN y; CREATE VIEW v AS SELECT x FROM a;",
            "DROP VIEW v; ALTER TABLE a ADD y text;",
        ),
    )
    code, out, err = run("rollback", "001_a", "--confirm", "001_a")
    assert code == 3 or "Rolled back" not in out  # the second depends on it
    code, out, err = run("rollback", "002_b", "--confirm", "002_b", "--accept-loss")
    assert code == 0
    assert "migrollback verify-rollback 002_b --replay" in err
    code, out, _ = run("verify-rollback", "002_b")
    assert (code, "Not verified" in out) == (0, True)
    code, out, _ = run("verify-rollback", "002_b", "--replay")
    assert code == 0
    assert "(compared with a replay of the folder)" in out
    code, out, _ = run("verify-rollback", "002_b")  # it is kept
    assert "(compared with a replay of the folder)" in out


@pytest.mark.long
def test_what_is_left_behind_is_seen(run, there):
    there(n1_a=("CREATE TABLE a (x int); CREATE TYPE mood AS ENUM ();", "DROP TABLE a;"))
    run("rollback", "001_a", "--confirm", "001_a")
    code, out, _ = run("verify-rollback", "001_a", "--replay")
    assert code == 1
    assert "public.mood" in out


@pytest.mark.long
def test_a_chain_is_replayed_as_a_whole_and_what_cannot_be_is_said(db, run, there, write_migration, folder):
    there(n1_a=("CREATE TABLE a (x int);", "DROP TABLE a;"), n2_b=("ALTER TABLE a ADD y int;", "ALTER TABLE a DROP y;"))
    db.rollback(("002_b", "001_a"), confirm="002_b")
    code, out, _ = run("verify-rollback", "001_a", "--replay")
    assert (code, "compared with a replay" in out) == (0, True)


@pytest.mark.long
def test_a_file_that_is_gone_or_does_not_run_is_said(run, there, write_migration, folder):
    there(n1_a=("CREATE TABLE a (x int);", "DROP TABLE a;"))
    run("rollback", "001_a", "--confirm", "001_a")
    (folder / "001_a.sql").rename(folder / "002_c.sql")
    code, _, err = run("verify-rollback", "001_a", "--replay")
    assert (code, "001_a has no file in" in err) == (2, True)
    (folder / "002_c.sql").rename(folder / "001_a.sql")
    write_migration("000_z", "SELECT nowhere();")
    code, _, err = run("verify-rollback", "001_a", "--replay")
    assert (code, "cannot be replayed, so there is nothing to compare with: 000_z" in err) == (2, True)
