"""A deployment goes back to its old image: what the old folder does not hold is rolled back, and no one is asked."""

import io
import json
import subprocess
import sys

import pytest
from pg_servers import with_migrations
from watching import exists, status, value

import migrollback_nb as mr
from migrollback_nb import cli

OLD = ("001_a", "002_b")
NEW = ("003_c", "004_d")


def text_of(table, *, extra="", rollback=None, base=None):
    needs = f"-- Depends on: {base}\n" if base else ""
    undo = f"DROP TABLE {table};" if rollback is None else rollback
    block = f"-- ROLLBACK START\n{undo}\n-- ROLLBACK END\n" if undo else ""
    return f"{needs}CREATE TABLE {table} (id int);\n{extra}{block}"


@pytest.fixture(scope="module")
def released(server, tmp_path_factory):
    """The old release is applied. A database that is copied."""
    folder = tmp_path_factory.mktemp("old") / "migrations"
    yield from with_migrations(server, folder, {name: text_of(name[-1]) for name in OLD})


@pytest.fixture
def database_template(released):
    return released


@pytest.fixture
def database(session):
    return value(session(), "SELECT current_database()")


@pytest.fixture
def old(tmp_path):
    """The folder of the old image."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in OLD:
        (folder / f"{name}.sql").write_text(text_of(name[-1]))
    return folder


@pytest.fixture
def upgrade(db, folder):
    """The new release goes out: its folder holds the old files too."""

    def apply(**texts):
        for name in OLD:
            (folder / f"{name}.sql").write_text(text_of(name[-1]))
        for name, text in ({one: text_of(one[-1]) for one in NEW} | texts).items():
            (folder / f"{name.lstrip('_')}.sql").write_text(text)
        db.apply(snapshots="none")

    return apply


@pytest.fixture
def converge(database_dsn, old, database):
    """Run converge to the old folder: (exit status, what it told, standard error)."""

    def run(*argv, confirm=database, folder=old):
        out, err = io.StringIO(), io.StringIO()
        words = ["--dsn", database_dsn, "converge", "--to-files", str(folder), "--format", "json", *argv]
        words += [] if confirm is None else ["--confirm", confirm]
        ended = cli.run(words, out, err, io.StringIO())
        return ended, json.loads(out.getvalue()) if out.getvalue() else {}, err.getvalue()

    return run


def test_what_the_old_folder_lacks_goes_back_and_nothing_else(converge, upgrade, session, database):
    assert converge()[0] == 0, "nothing is lacking yet"
    upgrade()
    ended, told, _ = converge("--dry-run", confirm=None)
    assert (ended, told["migrations"], told["confirm"]) == (0, ["004_d", "003_c"], database)
    assert (told["verdict"], len(told["fingerprint"])) == ("not_rehearsed", 64)
    for wrong in (None, "", "004_d", "postgres"):
        assert converge(confirm=wrong)[0] == 2, wrong
    assert status(session(), "004_d") == "applied"
    ended, told, _ = converge("--preview", told["fingerprint"])
    assert (ended, [one["migration_name"] for one in told["migrations"]]) == (0, ["004_d", "003_c"])
    assert (exists(session(), "c"), exists(session(), "b")) == (False, True)
    reason = value(session(), "SELECT reason FROM migration_events WHERE event = 'rolled_back' LIMIT 1")
    assert reason.startswith("converge: ")
    ended, told, _ = converge()
    assert (ended, told["migrations"], told["steps"]) == (0, [], [])
    assert "nothing to roll back" in told["message"]


def test_an_empty_or_a_foreign_folder_and_too_many_are_refused(converge, upgrade, tmp_path, session, old):
    upgrade()
    empty, foreign = tmp_path / "empty", tmp_path / "foreign"
    empty.mkdir()
    foreign.mkdir()
    (foreign / "900_z.sql").write_text(text_of("z"))
    for argv in ((), ("--dry-run",)):
        assert converge(*argv, folder=empty)[0] == 3
        assert converge(*argv, folder=foreign)[0] == 3
        ended, _, err = converge(*argv, "--max", "1")
        assert (ended, "003_c, 004_d" in err, "--max 2" in err) == (3, True, True)
        assert converge(*argv, "--max", "0")[0] == converge(*argv, "--max", "-1")[0] == 2
    assert status(session(), "004_d") == "applied"
    assert converge("--max", "2")[0] == 0


def test_a_loss_is_refused_unless_it_is_accepted(converge, upgrade, session):
    upgrade()
    session().execute("INSERT INTO c VALUES (1)")
    ended, told, err = converge()
    assert (ended, told["success"], "--accept-loss" in err) == (3, False, True)
    ended, told, _ = converge("--dry-run")
    assert (ended, told["verdict"], told["effects"][0]["effect"]) == (0, "loses", "loses_rows")
    assert converge("--accept-loss")[0] == 0
    assert not exists(session(), "c")


def test_what_cannot_go_is_refused(converge, upgrade, session, old):
    upgrade(**{"003_c": text_of("c", rollback="")})
    assert converge()[0] == 3, "no rollback SQL"
    (old / "003_c.sql").write_text(text_of("c", rollback=""))
    assert converge()[0] == 0
    upgrade(**{"004_d": text_of("d", extra="-- again\n"), "005_e": text_of("e", base="004_d")})
    (old / "005_e.sql").write_text(text_of("e", base="004_d"))
    ended, _, err = converge()
    assert (ended, "005_e" in err) == (3, True), "a dependent that is in the folder"
    assert status(session(), "004_d") == "applied"


def test_a_renamed_and_a_changed_file_stay(converge, upgrade, old):
    upgrade()
    (old / "002_b.sql").rename(old / "002_renamed.sql")
    (old / "001_a.sql").write_text(text_of("a", extra="-- another text\nCOMMENT ON TABLE a IS 'x';\n"))
    ended, told, _ = converge("--dry-run")
    assert (ended, told["migrations"]) == (0, ["004_d", "003_c"])
    said = " ".join(told["warnings"])
    assert "001_a is applied with another text" in said
    assert "002_b is 002_renamed" in said
    assert converge()[0] == 0
    ended, told, _ = converge()
    assert (ended, told["migrations"], len(told["warnings"])) == (0, [], 2)


def test_a_job_that_runs_again_and_the_facade(converge, upgrade, session, db, old):
    attempt, database = "6d3e0b3f-d5a1-4f0b-9a53-6d1c2a7c9e10", db.target.database
    upgrade()
    assert converge("--attempt", "1")[0] == 2
    assert converge("--attempt", attempt)[0] == 0
    upgrade(**{"006_f": text_of("f")})
    ended, told, _ = converge("--attempt", attempt)
    assert (ended, "already" in told["message"]) == (0, True)
    assert status(session(), "006_f") == "applied"
    assert [name for name, _ in db.preview_converge(old).steps] == ["006_f"]
    with pytest.raises(mr.ConfirmationRequired):
        db.converge(old, confirm="006_f")
    done = db.converge(old, confirm=database, each=True)
    assert done.migration_name == "006_f"
    assert db.converge(old, confirm=database).success


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.long)])
def test_upgrade_failure_and_return_with_no_hand(times, upgrade, session, old, db):
    """Each replica of the old image runs it before it starts, at the same time."""
    where = f"host={db.target.host} port={db.target.port} user=postgres dbname={db.target.database}"
    words = ["--dsn", where, "converge", "--confirm", db.target.database, "--to-files", str(old)]
    command = [sys.executable, "-m", "migrollback_nb.cli", *words]
    for turn in range(times):
        upgrade(**{"003_c": text_of("c", extra=f"-- turn {turn}\n"), "004_d": text_of("d", extra=f"-- turn {turn}\n")})
        assert exists(session(), "d")
        replicas = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(3)]
        told = [(replica.communicate(timeout=90)[0].decode(), replica.returncode) for replica in replicas]
        assert [ended for _, ended in told] == [0, 0, 0], told
        assert not exists(session(), "c")
        assert not exists(session(), "d")
        assert status(session(), "002_b") == "applied"
