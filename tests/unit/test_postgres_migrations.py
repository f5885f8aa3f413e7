"""Folders of postgres-migrations: known by the project around them, and read by number."""

import hashlib

import pytest

from migrollback_nb.files.formats import MigrationFolder
from migrollback_nb.files.location import folder_path

NAMES = ("1_a.sql", "2-b.sql", "3c.sql", *(f"{number}_x.sql" for number in range(4, 11)))


@pytest.fixture
def project(tmp_path):
    (tmp_path / "package.json").write_text('{"devDependencies": {"postgres-migrations": "^5"}}')
    folder = tmp_path / "db" / "migrations"
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_text("CREATE TABLE t ();\n")
    return folder


def tools(folder):
    return {file.tool for file in MigrationFolder(folder).read_all().files}


def test_by_number_with_the_hash_that_its_ledger_keeps(project):
    (project / "2-b.sql").write_text("-- postgres-migrations disable-transaction\nVACUUM;\n")
    contents = MigrationFolder(project).read_all()
    assert (contents.errors, contents.warnings) == ((), ())
    assert [file.name for file in contents.files] == [name.removesuffix(".sql") for name in NAMES]
    assert [file.version for file in contents.files] == [str(number) for number in range(1, 11)]
    assert [file.transaction for file in contents.files][:3] == [True, False, True]
    made = hashlib.sha1(b"1_a.sqlCREATE TABLE t ();\n", usedforsecurity=False).hexdigest()
    assert contents.files[0].metadata()["ledger_hash"] == made


def test_what_undoes_lies_in_another_folder_or_in_a_block(project, tmp_path):
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "1_a.rollback.sql").write_text("DROP TABLE t;")
    folder = MigrationFolder(folder_path(project, tmp_path / "back"))
    assert folder.read("1_a").rollback.statement_texts() == ("DROP TABLE t",)
    assert MigrationFolder(project).read("1_a").rollback_path == str(tmp_path / "db" / "rollbacks" / "1_a.rollback.sql")
    (project / "3c.sql").write_text("CREATE TABLE t ();\n-- ROLLBACK START\n-- DROP TABLE t;\n-- ROLLBACK END\n")
    assert MigrationFolder(project).read("3c").rollback.statement_texts() == ("DROP TABLE t",)


def test_a_program_is_one_and_a_gap_or_another_project_is_not_its(project, tmp_path):
    (project / "11_p.js").write_text("module.exports.generateSql = () => 'SELECT 1'")
    contents = MigrationFolder(project).read_all()
    assert [file.name for file in contents.files if file.is_program] == ["11_p"]
    assert contents.warnings[0].startswith("1 of 11 migrations are programs")
    (project / "11_p.js").rename(project / "12_p.js")
    assert tools(project) == {None}
    (project / "12_p.js").unlink()
    assert tools(project) == {"postgres-migrations"}
    (tmp_path / "package.json").write_text('{"dependencies": {"pg": "8"}}')
    assert tools(project) == {None}
