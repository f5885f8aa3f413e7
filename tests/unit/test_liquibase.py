"""Liquibase's formatted SQL: each changeset a migration."""

import pytest

import migrollback_nb as mr
from migrollback_nb.files.formats import MigrationFolder, in_order

HEAD = "--liquibase formatted sql\n\n"


def read(folder, text, name="001_x.sql"):
    (folder / name).write_text(HEAD + text)
    return MigrationFolder(folder).read_all()


def test_the_published_case(tmp_path):
    contents = read(
        tmp_path,
        "--changeset ann:1\nCREATE TABLE boats (id int);\n--rollback DROP TABLE boats;\n\n"
        "--changeset ann:2 dbms:mysql\nCREATE TABLE sails (id int);\n--rollback DROP TABLE sails;\n\n"
        "--changeset ann:3 context:test\nINSERT INTO boats VALUES (1);\n--rollback DELETE FROM boats;\n",
    )
    assert [
        (file.name, file.tool, file.up_statements(), file.rollback.statement_texts(), file.up_refusal)
        for file in contents.files
    ] == [
        ("001_x.sql::1::ann", "Liquibase", ("CREATE TABLE boats (id int)",), ("DROP TABLE boats",), None),
        ("001_x.sql::3::ann", "Liquibase", ("INSERT INTO boats VALUES (1)",), ("DELETE FROM boats",), None),
    ]
    assert [line for _, _, line in contents.files[1].rollback.statements] == [13]
    assert contents.errors == ()
    assert contents.warnings == (
        "001_x.sql::3::ann: only where Liquibase is given context test",
        "001_x.sql::2::ann is left out: its dbms is none of PostgreSQL, or it says ignore",
    )
    folder = MigrationFolder(tmp_path)
    assert (
        folder.checksum("001_x.sql::3::ann") == contents.files[1].checksum == folder.read("001_x.sql::3::ann").checksum
    )


def test_a_checksum_is_of_the_changeset_alone(tmp_path):
    one = "--changeset ann:1\nCREATE TABLE a ();\n--rollback DROP TABLE a;\n"
    before = read(tmp_path, one).files[0].checksum
    after = read(tmp_path, f"--changeset bob:0\nSELECT 1;\n{one}").files
    assert [file.name for file in after] == ["001_x.sql::0::bob", "001_x.sql::1::ann"]
    assert after[1].checksum == before


@pytest.mark.parametrize(
    ("text", "up", "rollback"),
    [
        ("SELECT 1;\n--rollback SELECT 2;\n--rollback SELECT 3;", ("SELECT 1",), ("SELECT 2", "SELECT 3")),
        ("SELECT 1;\n-- rollback SELECT\n--ROLLBACK 2;", ("SELECT 1",), ("SELECT\n2",)),
        ("SELECT 1;\n/* liquibase rollback\nSELECT 2;\n*/", ("SELECT 1",), ("SELECT 2",)),
        ("SELECT 1;\n--rollback not required", ("SELECT 1",), ("DO 'BEGIN END'",)),
        ("SELECT 1;\n--rollback empty", ("SELECT 1",), ("DO 'BEGIN END'",)),
        ("SELECT 1;\n--ignoreLines:1\nnot SQL\nSELECT 2;", ("SELECT 1", "SELECT 2"), None),
        ("SELECT 1;\n--ignoreLines:start\nnot SQL\n--ignoreLines:end\nSELECT 2;", ("SELECT 1", "SELECT 2"), None),
    ],
)
def test_what_does_and_what_undoes(tmp_path, text, up, rollback):
    contents = read(tmp_path, f"--changeset ann:1\n{text}\n")
    assert contents.errors == ()
    (file,) = contents.files
    assert file.up_statements() == up
    assert (file.rollback and file.rollback.statement_texts()) == rollback


def test_statements_may_end_by_another_sign(tmp_path):
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$"
    contents = read(
        tmp_path,
        f"--changeset ann:1 splitStatements:true endDelimiter:/ rollbackEndDelimiter:/\n{body}\n/\nSELECT 1;\n/\n"
        "--rollback SELECT 2\n--rollback /\n--rollback SELECT 3\n--rollback /\n",
    )
    (file,) = contents.files
    assert (file.up_statements(), file.rollback.statement_texts()) == ((body, "SELECT 1"), ("SELECT 2", "SELECT 3"))


@pytest.mark.parametrize(
    ("dbms", "counts"),
    [
        ("postgresql", True),
        ("mysql,postgresql", True),
        ('"mysql, postgresql"', True),
        ("!mysql", True),
        ("!postgresql", False),
        ("h2,!mysql", False),
        ("none", False),
        ("all", True),
    ],
)
def test_which_databases_it_is_for(tmp_path, dbms, counts):
    contents = read(tmp_path, f"--changeset ann:1 dbms:{dbms}\nSELECT 1;\n")
    assert len(contents.files) == counts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "SELECT 1;\n--rollback changesetId:2 changesetAuthor:b",
            "is undone by another changeset, which is not read",
        ),
        ("SELECT '${who}';", "holds ${who}, for which only Liquibase knows the value"),
    ],
)
def test_what_only_liquibase_knows_is_refused(tmp_path, text, problem):
    contents = read(tmp_path, f"--changeset ann:1\n{text}\n\n--changeset ann:2\nSELECT 1;\n")
    assert [file.name for file in contents.files] == ["001_x.sql::2::ann"]
    (error,) = contents.errors
    assert (error.migration_name, error.line, error.problem) == ("001_x.sql::1::ann", 3, problem)
    with pytest.raises(mr.MigrationFileError):
        MigrationFolder(tmp_path).read("001_x.sql::1::ann")


def test_what_liquibase_goes_by_besides_is_named(tmp_path):
    contents = read(
        tmp_path,
        '--changeset "Ann B":"make it" labels:v1 runOnChange:true runInTransaction:false logicalFilePath:db/other.sql\n'
        "--preconditions onFail:MARK_RAN\n--precondition-sql-check expectedResult:0 SELECT 1\nSELECT 1;\n",
    )
    (file,) = contents.files
    assert (file.name, file.transaction) == ("other.sql::make it::Ann B", False)
    assert [warning.partition(": ")[2].partition(":")[0] for warning in contents.warnings] == [
        "only where Liquibase is given labels v1",
        "runOnChange",
        "its preconditions are Liquibase's to try",
    ]


def test_order_is_by_file_then_as_they_stand(tmp_path):
    read(tmp_path, "--changeset ann:1\nSELECT 1;\n", "002.sql")
    contents = read(tmp_path, "--changeset ann:9\nSELECT 1;\n--changeset ann:2\nSELECT 1;\n", "001.sql")
    assert [file.name for file in contents.files] == ["001.sql::9::ann", "001.sql::2::ann", "002.sql::1::ann"]


def test_a_changeset_that_is_named_by_halves_is_an_error_of_its_file(tmp_path):
    contents = read(tmp_path, "--changeset ann:1\nSELECT 1;\n--changeset ann\nSELECT 2;\n")
    (error,) = contents.errors
    assert (error.line, error.problem, contents.files) == (5, "names a changeset without author:id", ())


XML = '<databaseChangeLog><!-- <include file="x/001_c.sql"/> -->{}</databaseChangeLog>'
MASTERS = {
    "xml": (
        "master.xml",
        XML.format('<include relativeToChangelogFile="true" file="sql/003_a.sql"/>\n<include file="sql/002_b.sql"/>'),
    ),
    "yaml": (
        "master.yaml",
        "databaseChangeLog:\n  - include:\n      relativeToChangelogFile: true\n      file: sql/003_a.sql\n"
        "  # - include: {file: sql/001_c.sql}\n  - include: {file: 'db/sql/002_b.sql'}\n",
    ),
    "json": (
        "master.json",
        '{"databaseChangeLog": [{"include": {"file": "sql/003_a.sql"}},\n'
        ' {"include": {"relativeToChangelogFile": true, "file": "sql/002_b.sql"}}]}',
    ),
}


def write_changesets(folder):
    (folder / "sql").mkdir()
    for name in ("001_c", "002_b", "003_a"):
        (folder / "sql" / f"{name}.sql").write_text(f"{HEAD}--changeset ann:1\nCREATE TABLE {name[-1]} ();\n")
    return folder / "sql"


def order_of(folder):
    contents = MigrationFolder(folder).read_all()
    return [file.name.partition(".")[0] for file in in_order(contents.files)], contents.warnings


@pytest.mark.parametrize("kind", MASTERS)
def test_files_go_in_the_order_in_which_a_changelog_includes_them(tmp_path, kind):
    folder = write_changesets(tmp_path)
    assert order_of(folder) == (["001_c", "002_b", "003_a"], ())
    name, text = MASTERS[kind]
    (tmp_path / name).write_text(text)
    assert order_of(folder) == (
        ["003_a", "002_b", "001_c"],
        (f"001_c.sql comes last: {name} does not include it",),
    )


def test_a_changelog_includes_by_way_of_another_and_all_of_a_folder(tmp_path):
    folder = write_changesets(tmp_path)
    (folder / "first.xml").write_text(XML.format('<include file="003_a.sql"/><include file="../master.xml"/>'))
    (tmp_path / "master.xml").write_text(XML.format('<include file="sql/first.xml"/><includeAll path="db/sql/"/>'))
    assert order_of(folder) == (["003_a", "001_c", "002_b"], ())
    (tmp_path / "master.xml").write_text("<project/>")
    (folder / "first.xml").write_text("<databaseChangeLog>")
    assert order_of(folder) == (["001_c", "002_b", "003_a"], ())
