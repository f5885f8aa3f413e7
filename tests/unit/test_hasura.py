"""Folders of Hasura: known by their names or their project, and read by the versions that its ledger has."""

import pytest

from migrollback_nb.files.formats import MigrationFolder

CONFIG = "version: 3\nendpoint: http://localhost:8080\nmetadata_directory: metadata\n"


def put(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("CREATE TABLE t ();" if "up" in path.name else "DROP TABLE t;")


def shown(folder):
    contents = MigrationFolder(folder).read_all()
    assert contents.errors == ()
    return [(file.name, file.tool, file.version, file.rollback is not None) for file in contents.files]


@pytest.mark.parametrize(
    ("inside", "version"),
    [("migrations", "1620000000000"), ("migrations/default", "1620000000000"), ("migrations/pg2", "pg2:1620000000000")],
)
def test_its_names_tell_it_and_its_folder_the_database(tmp_path, inside, version):
    put(tmp_path / inside, ("1620000000000_a/up.sql", "1620000000000_a/down.sql"))
    assert shown(tmp_path / inside) == [("1620000000000_a", "Hasura", version, True)]


def test_a_project_tells_what_is_named_otherwise(tmp_path):
    put(tmp_path / "migrations" / "default", ("2_b/up.sql", "10_c/up.sql", "0001_init/up.sql"))
    assert {tool for _, tool, _, _ in shown(tmp_path / "migrations" / "default")} == {"diesel"}
    (tmp_path / "config.yaml").write_text(CONFIG)
    rows = [
        ("0001_init", "Hasura", "1", False),
        ("2_b", "Hasura", "2", False),
        ("10_c", "Hasura", "10", False),
    ]
    assert shown(tmp_path / "migrations" / "default") == rows
    assert shown(tmp_path / "migrations") == rows, "the one database in it"
    put(tmp_path / "migrations" / "other", ("3_d/up.sql",))
    (error,) = MigrationFolder(tmp_path / "migrations").read_all().errors
    assert "holds no migrations itself" in error.problem


def test_its_older_files_and_its_metadata(tmp_path):
    put(tmp_path, ("1550000000000_a.up.sql", "1550000000000_a.down.sql", "1550000000001_b.up.yaml"))
    put(tmp_path, ("1560000000000_c/up.sql", "1560000000000_c/up.yaml"))
    assert shown(tmp_path) == [
        ("1550000000000_a", "Hasura", "1550000000000", True),
        ("1560000000000_c", "Hasura", "1560000000000", False),
    ]
    assert MigrationFolder(tmp_path).read_all().warnings == (
        "Metadata of Hasura is not read: up.yaml and down.yaml in 1560000000000_c",
    )


def test_what_diesel_names_stays_diesels(tmp_path):
    put(tmp_path, ("2018-01-01-000000_a/up.sql", "20240101000000_b/up.sql"))
    assert {tool for _, tool, _, _ in shown(tmp_path)} == {"diesel"}
