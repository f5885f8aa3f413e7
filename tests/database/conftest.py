"""What tests of verify share: writing a migration in one line, and grading the folder."""

import pytest

from migrollback_nb.replay.proof import prove_folder


@pytest.fixture
def write(write_migration):
    """Write a migration: write("001_a", up, rollback or None, options)."""

    def write_one(name, up, rollback=None, *, header="", options=""):
        block = "" if rollback is None else f"\n-- ROLLBACK START{options}\n{rollback}\n-- ROLLBACK END\n"
        write_migration(name, f"{header}{up}\n{block}")

    return write_one


@pytest.fixture
def verdicts(server, folder):
    """Grades the folder of this test: name -> verdict."""

    def grade(*names):
        return {verdict.migration_name: verdict for verdict in prove_folder(folder, names, on=server.dsn()).migrations}

    return grade


@pytest.fixture
def three(write):
    """One that restores, one that loses data, one without a rollback."""
    write("001_a", "CREATE TABLE a (id serial PRIMARY KEY, n text);", "DROP TABLE a;")
    write("002_b", "ALTER TABLE a DROP COLUMN n;", "ALTER TABLE a ADD COLUMN n text;")
    write("003_c", "SELECT 1;")
