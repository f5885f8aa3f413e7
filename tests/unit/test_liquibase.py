"""Liquibase's formatted SQL: each changeset a migration."""

import pytest

import migrollback_nb as mr
from migrollback_nb.files.formats import MigrationFolder

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
