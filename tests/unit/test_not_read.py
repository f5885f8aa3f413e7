"""Layouts of other tools that are not read yet:
refused by file, tool and fix, so that what undoes never runs with what it undoes."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import migrollback_nb as mr
from migrollback_nb.files.formats import MigrationFolder

UP, DOWN = "CREATE TABLE boats (id int);", "DROP TABLE boats;"

#: Layout -> file -> its text, with {up} and {down} in it; the names of these files say which is which where there are
#: two.
ONE_FILE = {
    "Play with a blank before its mark": " -- !Ups\n{up}\n -- !Downs\n{down}\n",
    "rambler without a blank": "--rambler up\n{up}\n--rambler down\n{down}\n",
    "rambler in capitals below": "-- rambler up\n{up}\n-- RAMBLER DOWN\n{down}\n",
    "Liquibase": (
        "--liquibase formatted sql\n\n--changeset ann:1\n{up}\n--rollback SELECT 1;\n\n--changeset ann:2"
        " dbms:mysql\n{down}\n"
    ),
    "Liquibase without its first line": "--changeset ann:1 context:test\n{up}\n{down}\n",
    "micrate": "-- +micrate Up\n{up}\n-- +micrate Down\n{down}\n",
    "coast": "-- up\n{up}\n\n-- down\n{down}\n",
    "its down before its up": "-- @DOWN\n{down}\n-- @UP\n{up}\n",
    "-- Down": "{up}\n-- Down\n{down}\n",
    "a banner": "{up}\n-- =======\n-- === ROLLBACK ===\n-- =======\n{down}\n",
    "a block comment": "{up}\n/* ---- DOWN ---- */\n{down}\n",
    "a remark in brackets": "{up}\n-- Rollback script (run by hand when needed):\n{down}\n",
    "a remark below": "{up}\n-- Down\n-- first the table; it has no rows\n{down}\n",
    "aerich": "-- upgrade --\n{up}\n-- downgrade --\n{down}\n",
    "braces": "-- @up {{\n{up}\n-- }}\n-- @down {{\n{down}\n-- }}\n",
    "dbmate in capitals": "-- MIGRATE:UP\n{up}\n-- MIGRATE:DOWN\n{down}\n",
    "goose with a blank": "{up}\n-- + goose Down\n{down}\n",
    "an unknown tool": "-- +pgmove up\n{up}\n-- +pgmove down\n{down}\n",
    "an unknown tool with another sign": "{up}\n--! schema:rollback\n{down}\n",
    "in one transaction": "BEGIN;\n{up}\n--- down\n{down}\nCOMMIT;\n",
    "MySQL's quotes": "{up}\n-- Undo\n{down}\nDROP TABLE `x`;\n",
}
TWO_FILES = {
    "hyphens": ("001_boats-up.sql", "001_boats-down.sql"),
    "underscores": ("001_boats_up.sql", "001_boats_down.sql"),
    "capitals": ("001_boats.Up.sql", "001_boats.Down.sql"),
    "DOWN": ("001_boats.sql", "001_boats_DOWN.sql"),
    "_rollback": ("001_boats.sql", "001_boats_rollback.sql"),
    "-rollback": ("001_boats.sql", "001_boats-rollback.sql"),
    "_revert": ("001_boats.sql", "001_boats_revert.sql"),
    ".revert": ("001_boats.sql", "001_boats.revert.sql"),
    "_undo": ("001_boats.sql", "001_boats_undo.sql"),
    "undo_": ("001_boats.sql", "undo_001_boats.sql"),
    "in the middle": ("001_up_boats.sql", "001_down_boats.sql"),
    "after the number": ("001_boats.sql", "001_rollback_boats.sql"),
    "by number alone": ("001_boats.sql", "001_rollback.sql"),
    "apply and revert": ("001_boats.apply.sql", "001_boats.revert.sql"),
    "upgrade and downgrade": ("001_boats_upgrade.sql", "001_boats_downgrade.sql"),
    "no number": ("boats.up.sql", "boats.down.sql"),
}


def put(folder, **files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("layout", ONE_FILE)
def test_one_file_with_both_is_refused_by_tool_and_fix_and_stops_no_other(tmp_path, layout):
    put(tmp_path, **{"1.sql": ONE_FILE[layout].format(up=UP, down=DOWN), "2_good.sql": "SELECT 1;"})
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["2_good"]
    (error,) = contents.errors
    assert (error.path, error.migration_name) == (str(tmp_path / "1.sql"), "1")
    assert error.line is not None
    known = layout.split()[0]
    assert known in error.problem or "undoes what stands above it" in error.problem
    assert "-- ROLLBACK START" in error.hint or known in ("micrate", "Play", "rambler")
    with pytest.raises(mr.MigrationFileError):
        MigrationFolder(tmp_path).read("1")
    assert mr.parse(ONE_FILE[layout].format(up=UP, down=DOWN), name="1").up_refusal is not None, (
        "who does not validate runs it no more than others"
    )


@pytest.mark.parametrize("layout", TWO_FILES)
def test_two_files_are_refused_with_the_names_that_are_read(tmp_path, layout):
    up, down = TWO_FILES[layout]
    put(tmp_path, **{up: UP, down: DOWN, "002_good.sql": "SELECT 1;"})
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["002_good"]
    errors = {Path(error.path).name: error for error in contents.errors}
    assert up in errors
    assert set(errors) <= {up, down}
    assert not any("own file is not here" in error.problem or "digits" in error.problem for error in contents.errors), (
        "beside the truth"
    )
    assert "up.sql" in errors[up].hint
    for name in MigrationFolder(tmp_path).names():
        if name != "002_good":
            with pytest.raises(mr.MigrationFileError):
                MigrationFolder(tmp_path).read(name)


@pytest.mark.parametrize("layout", TWO_FILES)
def test_named_as_the_hint_says_they_are_read(tmp_path, layout):
    up, down = TWO_FILES[layout]
    put(tmp_path, **{up: UP, down: DOWN})
    (hint,) = {error.hint for error in MigrationFolder(tmp_path).read_all().errors}
    named = [word for word in hint.replace(",", " ").split() if word.endswith(".sql")]
    (tmp_path / up).rename(tmp_path / named[0])
    (tmp_path / down).rename(tmp_path / named[1])
    contents = MigrationFolder(tmp_path).read_all()
    assert contents.errors == ()
    (file,) = contents.files
    assert (file.up_statements(), file.rollback.statement_texts()) == ((UP[:-1],), (DOWN[:-1],))


LINES = (
    "SELECT {n};",
    "CREATE TABLE t{n} ();",
    "-- a remark",
    "/* down there */",
    "DO $$ BEGIN NULL; END $$;",
    "SELECT '-- Down';",
    "-- migrate:up",
    "",
)
#: What is open above a mark makes it none: then it is inside a string.
OPEN = (*LINES, "SELECT '", "$$", "/*")


@given(
    st.sampled_from((*ONE_FILE, *TWO_FILES)),
    st.lists(st.sampled_from(LINES), max_size=4),
    st.lists(st.sampled_from(OPEN), max_size=4),
)
def test_what_undoes_never_runs_with_what_it_undoes(layout, up, down):
    up_text = "\n".join(
        (*(line.replace("{n}", f"10{place}") for place, line in enumerate(up)), "CREATE TABLE up_part ();")
    )
    down_text = "\n".join(
        ("DROP TABLE down_part;", *(line.replace("{n}", f"20{place}") for place, line in enumerate(down)))
    )
    folder = Path(tempfile.mkdtemp())
    try:
        if layout in ONE_FILE:
            put(
                folder,
                **{"001_t.sql": ONE_FILE[layout].format(up=up_text, down=down_text), "002_good.sql": "SELECT 1;"},
            )
        else:
            put(folder, **dict(zip(TWO_FILES[layout], (up_text, down_text), strict=True)))
        contents = MigrationFolder(folder).read_all()
        runs = [file for file in contents.files if file.up_refusal is None]
        assert not any("down_part" in statement for file in runs for statement in file.up_statements())
        assert contents.errors
        assert all(error.hint for error in contents.errors)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name",
    [
        "005_scale_down",
        "005_undo_soft_delete",
        "005_revert_index_change",
        "005_rollback_policy",
        "005_up_and_down_votes",
        "005_drop_down",
        "005_reverse",
    ],
)
def test_a_name_alone_does_not_make_it_what_undoes(tmp_path, name):
    put(tmp_path, **{f"{name}.sql": UP, "004_soft_delete.sql": UP, "004_index_change.sql": UP, "006_votes.sql": UP})
    contents = MigrationFolder(tmp_path).read_all()
    assert contents.errors == ()
    assert len(contents.files) == 4


def test_a_folder_with_that_habit_has_no_down_file_as_a_migration(tmp_path):
    put(tmp_path, **{"001_a_up.sql": UP, "001_a_down.sql": DOWN, "002_b_down.sql": DOWN})
    assert MigrationFolder(tmp_path).read_all().files == ()


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (\n    -- up\n    a int,\n    -- down\n    b int\n);",
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n    PERFORM 1;\n    -- rollback\n    RETURN"
            " 1;\nEND $$;\nSELECT 1;"
        ),
        "-- Down\nSELECT 1;",
        "-- rollback\n\nCREATE TABLE t ();",
        "SELECT 1;\n-- slow down\nSELECT 2;",
        "SELECT 1;\n-- @see how rollback works\nSELECT 2;",
        "SELECT 1;\n-- undo the mistake of last week\nSELECT 2;",
        "SELECT 1;\n-- Down\n-- DROP TABLE t;\n",
        "SELECT 1;\n-- Rollback\n-- ROLLBACK START\nDROP TABLE t;\n-- ROLLBACK END\n",
        "-- migrate:up\nSELECT 1;\n-- undo\nSELECT 2;\n-- migrate:down\nSELECT 3;",
        "SELECT '-- Down';\nSELECT '--changeset ann:1';",
        "-- see the changeset of Ann\nSELECT 1;",
    ],
)
def test_what_only_looks_like_a_heading(text):
    file = mr.parse(text, name="001_t")
    file.validate()
    assert file.up_refusal is None


@pytest.mark.parametrize(
    "heading", ["-- Rollback: drop the table", "-- Rollback\n-- DROP TABLE t;", "/* ROLLBACK */\n/*\nDROP TABLE t;\n*/"]
)
def test_where_it_is_not_certain_there_is_a_line_that_says_so(heading):
    file = mr.parse(f"SELECT 1;\n{heading}\nDROP TABLE u;\n", name="001_t")
    file.validate()
    assert file.up_refusal is None
    first = heading.split("\n")[0]
    assert file.remarks == (
        f"001_t.sql:2: {first} looks like the heading of what undoes it, but what follows runs with the rest",
    )


def test_a_block_of_its_own_counts_more_than_a_file_beside_it(tmp_path):
    put(tmp_path, **{"001_a.sql": f"{UP}\n-- ROLLBACK START\n{DOWN}\n-- ROLLBACK END\n", "001_a_rollback.sql": DOWN})
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["001_a"]
    assert [Path(error.path).name for error in contents.errors] == ["001_a_rollback.sql"]


def test_what_is_registered_unchanged_is_left_alone(tmp_path):
    put(tmp_path, **{"001_a.sql": "-- up\nSELECT 1;\n-- down\nSELECT 2;", "002_b.sql": UP, "002_b_rollback.sql": DOWN})
    known = {name: MigrationFolder(tmp_path).checksum(name) for name in ("001_a", "002_b")}
    contents = MigrationFolder(tmp_path).read_all(unchanged=known)
    assert [file.name for file in contents.files] == ["001_a", "002_b"]
    assert [Path(error.path).name for error in contents.errors] == ["002_b_rollback.sql"]


def test_files_for_other_databases_are_left_out_with_one_line(tmp_path):
    put(
        tmp_path,
        **{
            f"2020_{name}.{direction}.sql": UP
            for name in ("sails.mysql", "sails.sqlite3", "oars.cockroach.autocommit", "boats")
            for direction in ("up", "down")
        },
    )
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["2020_boats"]
    assert (contents.errors, contents.warnings) == (
        (),
        ("6 files for CockroachDB, MySQL, SQLite are left out, among them 2020_oars.cockroach.autocommit.down.sql",),
    )


# -- folders without SQL -----------------------------------------------------------------------------------------------

PROGRAMS = {
    "Alembic": ("versions/a1b2_x.py", "down_revision = None", "--dir"),
    "Django": ("shop/migrations/0001_initial.py", "class Migration(migrations.Migration): pass", "--dir"),
    "Rails": ("20200101000000_create_x.rb", "", "ROLLBACK START"),
    "Ecto": ("20200101000000_create_x.exs", "", "--log-migrations-sql"),
    "Laravel": ("2014_10_12_000000_create_x.php", "", "--pretend"),
    "Doctrine": ("Version20200101000000.php", "", "--write-sql"),
    "Liquibase": ("changelog.xml", "<databaseChangeLog/>", "update-sql"),
    "Entity Framework": ("20200101000000_X.cs", "", "ef migrations script"),
    "JavaScript": ("20200101000000_x.ts", "", "ROLLBACK START"),
    "Go": ("00001_x.go", "", "ROLLBACK START"),
    "Java": ("V1__X.java", "", "ROLLBACK START"),
}


@pytest.mark.parametrize("tool", PROGRAMS)
def test_a_folder_of_programs_is_named_with_what_to_do(tmp_path, tool):
    name, text, way = PROGRAMS[tool]
    put(tmp_path, **{name: text})
    contents = MigrationFolder(tmp_path).read_all()
    assert (contents.files, contents.warnings) == ((), ())
    (error,) = contents.errors
    assert error.path == str(tmp_path)
    assert f"1 in the manner of {tool}" in error.problem
    assert way in error.hint


@pytest.mark.parametrize(
    ("names", "says"),
    [(("up/001_a.sql", "down/001_a.sql"), "NUMBER_name.down.sql"), (("default/001_a/up.sql",), "--dir")],
)
def test_a_folder_of_folders_is_named_with_what_to_do(tmp_path, names, says):
    put(tmp_path, **dict.fromkeys(names, UP))
    (error,) = MigrationFolder(tmp_path).read_all().errors
    assert "holds no migrations itself" in error.problem
    assert says in error.hint


def test_a_folder_of_undo_files_beside_the_migrations_is_remarked(tmp_path):
    put(tmp_path, **{"001_a.sql": UP, "rollback/001_a.sql": DOWN, "reverts/notes.txt": "", "undo/readme.md": ""})
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["001_a"]
    (warning,) = contents.warnings
    assert warning.startswith("rollback/ holds files *.sql that are not read")


def test_a_folder_that_may_be_a_migration_of_an_unknown_tool_is_remarked(tmp_path):
    put(tmp_path, **{"001_a/up.sql": UP, "002_b/do.sql": UP, "002_b/undo.sql": DOWN, "003_c/notes.txt": ""})
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["001_a"]
    assert contents.warnings == ("002_b/ is left out: it holds files *.sql, but no up.sql and no migration.sql",)


def test_help_with_a_wrong_folder_ends(tmp_path):
    put(tmp_path, **{"node_modules/pg/001_x.ts": "", "a/b/c/d/e/001_x.ts": "", "notes.md": ""})
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    contents = MigrationFolder(tmp_path).read_all()
    assert (contents.errors, contents.warnings) == ((), (f"{tmp_path} holds no file *.sql",))
