"""Play evolutions and rambler: cut at the lines that the tool takes for marks, and never run together."""

import pytest

import migrollback_nb as mr
from migrollback_nb.files.formats import MigrationFolder
from migrollback_nb.replay import template

PLAY = ("--- !Ups", "-- !Ups", "# --- !Ups", "#!Ups")


@pytest.mark.parametrize("mark", PLAY)
def test_each_way_to_write_the_marks_of_play(mark):
    text = f"# Boats\n\n{mark}\nCREATE TABLE t ();\n\n{mark.replace('Ups', 'Downs')}\nDROP TABLE t;\n"
    file = mr.parse(text, name="10")
    file.validate()
    assert (file.tool, file.number, file.version, file.up_refusal, file.remarks) == ("Play", (10,), "10", None, ())
    assert file.up_statements() == ("CREATE TABLE t ()",)
    assert file.rollback.statement_texts() == ("DROP TABLE t",)
    assert [line for _, _, line in file.rollback.statements] == [7]


def test_two_semicolons_of_play_are_one():
    body = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1{} END $$"
    file = mr.parse(f"# --- !Ups\n{body.format(';;')};\n# --- !Downs\nDROP FUNCTION f();\n", name="1")
    assert file.up_statements() == (body.format(";"),)


def test_evolutions_go_by_number(tmp_path):
    for number in (1, 2, 10):
        (tmp_path / f"{number}.sql").write_text("# --- !Ups\nSELECT 1;\n# --- !Downs\nSELECT 2;\n")
    contents = MigrationFolder(tmp_path).read_all()
    assert ([file.name for file in contents.files], contents.errors) == (["1", "2", "10"], ())


def test_parts_of_rambler_are_joined_and_those_that_undo_go_the_other_way():
    text = (
        "-- rambler up\nCREATE TABLE a ();\n-- rambler down\nDROP TABLE a;\n"
        "-- rambler up\nCREATE TABLE b ();\n-- rambler down\nDROP TABLE b;\n"
    )
    file = mr.parse(text, name="001_t")
    file.validate()
    assert (file.tool, file.number, file.up_refusal) == ("rambler", None, None)
    assert file.up_statements() == ("CREATE TABLE a ()", "CREATE TABLE b ()")
    assert file.rollback.statement_texts() == ("DROP TABLE b", "DROP TABLE a")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("SELECT 1;\n# --- !Ups\n", 1, "a statement above the first mark of Play"),
        ("\nSELECT 1;\n-- rambler up\n", 2, "a statement above the first mark of rambler"),
        (
            "-- !Ups\nSELECT 1;\n-- ROLLBACK START\nSELECT 2;\n-- ROLLBACK END\n",
            3,
            "a block of -- ROLLBACK START in a file of Play, which would run it",
        ),
    ],
)
def test_a_bad_file_is_one_error_with_its_place(text, line, problem):
    with pytest.raises(mr.MigrationFileError) as caught:
        mr.parse(text, name="001_t").validate()
    assert (caught.value.line, caught.value.problem) == (line, problem)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["SELECT '\n-- rambler up\n-- rambler down\n';", "SELECT 1; -- see !Ups of Play"])
def test_what_only_looks_like_a_mark(text):
    assert mr.parse(text, name="001_t").tool is None


@pytest.mark.parametrize("up", ["-- !Ups", "-- rambler up"])
def test_a_suggestion_stands_below_the_tools_own_mark(up):
    mark = up.replace("Ups", "Downs").replace("up", "down")
    file = mr.parse(f"{up}\nCREATE TABLE t ();\n{mark}\nSELECT 1;\n", name="001_t")
    assert template.rollback_text(file).startswith(f"{mark}\n\n-- TODO: Add SQL")
    assert file.block_place.startswith("001_t.sql:3: ")
    other = file.with_rollback(f"{mark}\nDROP TABLE t;")
    assert (other.up_statements(), other.rollback.statement_texts()) == (("CREATE TABLE t ()",), ("DROP TABLE t",))


def test_what_postgresql_refuses_in_a_transaction_runs_in_none_as_in_the_tool():
    file = mr.parse("-- !Ups\nVACUUM;\n-- !Downs\nVACUUM;\n", name="1")
    assert (file.transaction, file.rollback.transaction, file.up_refusal) == (False, False, None)
