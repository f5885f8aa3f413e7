"""Folders of Atlas: read in its order, and checked against atlas.sum as Atlas checks them."""

import base64
import hashlib
from pathlib import Path

import pytest

from migrollback_nb.files.formats import MigrationFolder
from migrollback_nb.files.location import folder_path

FILES = {"20240101_a.sql": "CREATE TABLE a ();\n", "20240102_b.sql": "-- atlas:txmode none\n\nCREATE TABLE b ();\n"}
ARCHIVE = """-- atlas:txtar

-- checks.sql --
SELECT NOT EXISTS (SELECT 1 FROM a);

-- migration.sql --
DROP TABLE a;

-- down.sql --
CREATE TABLE a ();
"""


def b64(*parts: bytes) -> str:
    return base64.b64encode(hashlib.sha256(b"".join(parts)).digest()).decode()


def put(folder: Path, files: dict[str, str], *, sum_of: dict[str, str] | None = None) -> Path:
    """Write files, and the atlas.sum that Atlas makes of them (or of others)."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    running, lines = b"", []
    for name, text in sorted((sum_of or files).items()):
        running += name.encode() + text.encode()
        lines.append((name, b64(running)))
    total = b64(*(f"{name}{sum_}".encode() for name, sum_ in lines))
    body = "".join(f"{name} h1:{sum_}\n" for name, sum_ in lines)
    (folder / "atlas.sum").write_text(f"h1:{total}\n{body}")
    return folder


def problems(folder: Path) -> list[tuple[str, str]]:
    return [(Path(error.path).name, error.problem) for error in MigrationFolder(folder).read_all().errors]


def test_in_the_order_of_names_with_its_directives(tmp_path):
    put(tmp_path, {**FILES, "3_c.sql": "CREATE TABLE c ();\n", "20240103_d.sql": "-- atlas:checkpoint\n\nSELECT 1;\n"})
    contents = MigrationFolder(tmp_path).read_all()
    assert contents.errors == ()
    assert [(file.name, file.version, file.tool, file.transaction) for file in contents.files] == [
        ("20240101_a", "20240101", "Atlas", True),
        ("20240102_b", "20240102", "Atlas", False),
        ("3_c", "3", "Atlas", True),
    ]
    assert contents.warnings == ("20240103_d.sql is left out: a checkpoint of Atlas stands for what is before it",)


def test_the_sum_is_made_as_atlas_makes_it(tmp_path):
    # the way of the hash, pinned: that of its source, with which 20 published folders agree
    put(tmp_path, {"1_a.sql": "CREATE TABLE a ();\n"})
    assert "1_a.sql h1:bwjNgdNqPxlW50Ox2fCuhzHseIXyyT5JOpnioAsFnGE=" in (tmp_path / "atlas.sum").read_text()
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            {**FILES, "20240101_a.sql": "CREATE TABLE a (id int);\n"},
            [("20240101_a.sql", "is not as atlas.sum has it: it was edited since")],
        ),
        ({**FILES, "20240101_z.sql": "SELECT 1;\n"}, [("20240101_z.sql", "is not named in atlas.sum")]),
        ({"20240102_b.sql": FILES["20240102_b.sql"]}, [("atlas.sum", "names 20240101_a.sql, which is not here")]),
    ],
    ids=["edited", "added", "removed"],
)
def test_what_is_not_as_atlas_sum_has_it_is_refused(tmp_path, files, found):
    put(tmp_path, files, sum_of=FILES)
    assert problems(tmp_path) == found


def test_a_block_that_came_later_is_no_way_around_the_sum(tmp_path):
    with_block = f"{FILES['20240102_b.sql']}-- ROLLBACK START\n-- DROP TABLE b;\n-- ROLLBACK END\n"
    put(tmp_path, {**FILES, "20240102_b.sql": with_block}, sum_of=FILES)
    assert problems(tmp_path) == [("20240102_b.sql", "is not as atlas.sum has it: it was edited since")]
    put(tmp_path, {**FILES, "20240102_b.sql": with_block})
    assert problems(tmp_path) == []
    assert MigrationFolder(tmp_path).read("20240102_b").rollback.statement_texts() == ("DROP TABLE b",)


def test_a_sum_that_is_none_is_refused_by_line(tmp_path):
    put(tmp_path, FILES)
    lines = (tmp_path / "atlas.sum").read_text().split("\n")
    (tmp_path / "atlas.sum").write_text("\n".join([lines[0], "<<<<<<< HEAD", *lines[1:]]))
    assert problems(tmp_path) == [("atlas.sum", "is not understood")]
    (tmp_path / "atlas.sum").write_text("\n".join(["h1:AAAA", *lines[1:]]))
    assert problems(tmp_path)[0][1].startswith("has another sum in its first line")


def test_other_ends_of_lines_are_said_and_are_no_edit(tmp_path):
    put(tmp_path, FILES, sum_of={name: text.replace("\n", "\r\n") for name, text in FILES.items()})
    contents = MigrationFolder(tmp_path).read_all()
    assert ([file.name for file in contents.files], contents.errors) == (["20240101_a", "20240102_b"], ())
    (warning,) = contents.warnings
    assert warning.startswith("atlas.sum was made where lines end otherwise")
    (tmp_path / "20240102_b.sql").write_text("SELECT 1;\n")
    assert problems(tmp_path) == [("20240102_b.sql", "is not as atlas.sum has it: it was edited since")]


def test_what_undoes_lies_elsewhere_for_atlas_runs_every_file(tmp_path):
    files = {**FILES, "20240102_b.down.sql": "DROP TABLE b;\n"}
    put(tmp_path / "m", files)
    assert problems(tmp_path / "m") == [("20240102_b.down.sql", "would be run by Atlas as a migration of its own")]
    (tmp_path / "m" / "20240102_b.down.sql").unlink()
    put(tmp_path / "m", FILES)
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "20240102_b.rollback.sql").write_text("DROP TABLE b;\n")
    file = MigrationFolder(folder_path(tmp_path / "m", tmp_path / "back")).read("20240102_b")
    assert file.rollback.statement_texts() == ("DROP TABLE b",)
    assert file.checksum == MigrationFolder(folder_path(tmp_path / "m", tmp_path / "back")).checksum(file.name)


def test_an_archive_has_its_parts(tmp_path):
    put(tmp_path, {"1_a.sql": "CREATE TABLE a ();\n", "2_b.sql": ARCHIVE})
    file = MigrationFolder(tmp_path).read("2_b")
    assert (file.up_statements(), file.rollback.statement_texts()) == (("DROP TABLE a",), ("CREATE TABLE a ()",))
    assert [line for _, _, line in file.rollback.statements] == [10]
    assert file.remarks == (f"{tmp_path / '2_b.sql'}: checks.sql: checks are Atlas' to try",)
    again = file.with_rollback("-- down.sql --\nSELECT 1;")
    assert (again.up_statements(), again.rollback.statement_texts()) == (("DROP TABLE a",), ("SELECT 1",))


def test_what_another_tool_reads_too_is_checked_all_the_same(tmp_path):
    up = {"1_a.up.sql": "CREATE TABLE a ();\n", "2_b.up.sql": "CREATE TABLE b ();\n"}
    put(tmp_path, {**up, "1_a.down.sql": "DROP TABLE a;\n"}, sum_of=up)
    contents = MigrationFolder(tmp_path).read_all()
    assert [(file.name, file.tool) for file in contents.files] == [("1_a", "golang-migrate"), ("2_b", "golang-migrate")]
    (tmp_path / "2_b.up.sql").write_text("CREATE TABLE c ();\n")
    assert problems(tmp_path) == [("2_b.up.sql", "is not as atlas.sum has it: it was edited since")]
