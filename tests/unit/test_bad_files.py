"""Each bad file gets one error that names file, line and fix, and stops no other."""

import errno
import os

import pytest

from migrollback_nb import MigrationFileError, MigrationNotFound, UsageError
from migrollback_nb.files.formats import MigrationFolder

START, END = "-- ROLLBACK START\n", "-- ROLLBACK END\n"

#: What is wrong -> (text, line, a word of the message).
BAD_TEXTS = {
    "START without END": (f"SELECT 1;\n{START}SELECT 2;\n", 2, "without"),
    "END before START": (f"SELECT 1;\n{END}{START}SELECT 2;\n{END}", 2, "before"),
    "END alone": (f"SELECT 1;\n\n{END}", 3, "before"),
    "two blocks": (f"{START}SELECT 1;\n{END}{START}SELECT 2;\n{END}", 4, "second"),
    "two STARTs": (f"{START}SELECT 1;\n{START}SELECT 2;\n{END}", 3, "second"),
    "two ENDs": (f"{START}SELECT 1;\n{END}{END}", 4, "second"),
    "statements after END": (f"SELECT 1;\n{START}SELECT 2;\n{END}\nSELECT 3;\n", 6, "after"),
    "a statement in the line of END": (f"{START}SELECT 2;\n/* */ -- ROLLBACK END\nSELECT 3", 4, "after"),
    "an open string after END": (f"{START}SELECT 2;\n{END}'open", 4, "after"),
    "an open string in the up migration": (f"SELECT 1;\nSELECT 'open;\n{START}SELECT 2;\n{END}", 2, "cannot be read"),
    "an open comment in the up migration": (f"SELECT 'ěšč';\n/* open\n{START}SELECT 2;\n{END}", 2, "cannot be read"),
    "a bad escape in the up migration": (
        f"SELECT 'ě';\nSELECT E'\\u00zz';\n{START}SELECT 2;\n{END}",
        2,
        "cannot be read",
    ),
    "NUL byte": ("SELECT 1;\nSELECT \0;\n", 2, "NUL"),
    "depends on itself": ("-- Description: d\n-- Depends on: 002_bad.sql\nSELECT 1;\n", 2, "itself"),
    "depends on no name": ("-- Depends on: 001_good, the tables of last week\nSELECT 1;\n", 1, "not the name"),
    "transaction maybe": ("-- Transaction: maybe\nSELECT 1;\n", 1, "neither"),
    "START with a word": (f"-- ROLLBACK START quickly\nSELECT 2;\n{END}", 1, "not understood"),
}


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "001_good.sql").write_text("SELECT 1;")
        (tmp_path / "002_bad.sql").write_bytes(text if isinstance(text, bytes) else text.encode())
        (tmp_path / "003_good.sql").write_text("SELECT 3;")
        contents = MigrationFolder(tmp_path).read_all()
        assert [file.name for file in contents.files] == ["001_good", "003_good"], "a bad file stopped another"
        (error,) = contents.errors
        assert error.path.endswith("002_bad.sql")
        assert str(error).startswith(str(tmp_path / "002_bad.sql"))
        assert error.hint
        return error

    return read


@pytest.mark.parametrize("what", BAD_TEXTS)
def test_bad_text(read, what):
    text, line, word = BAD_TEXTS[what]
    error = read(text)
    assert error.line == line
    assert word in error.problem
    assert f"002_bad.sql:{line}" in str(error)


def test_not_utf8(read):
    error = read(b"SELECT 1;\nSELECT '\xe9';\n")
    assert error.line == 2
    assert "UTF-8" in error.problem


def test_utf16(read):
    assert "UTF-" in str(read("SELECT 1;".encode("utf-16")))


@pytest.mark.parametrize("name", ["x", "add_users", "v001_a", "_1"])
def test_no_leading_digits(tmp_path, name):
    (tmp_path / f"{name}.sql").write_text("SELECT 1;")
    (error,) = MigrationFolder(tmp_path).read_all().errors
    assert "digits" in error.problem
    assert name in str(error)


def test_directory(tmp_path):
    (tmp_path / "001_x.sql").mkdir()
    (error,) = MigrationFolder(tmp_path).read_all().errors
    assert "directory" in error.problem


def test_link_loop(tmp_path):
    (tmp_path / "001_x.sql").symlink_to(tmp_path / "002_y.sql")
    (tmp_path / "002_y.sql").symlink_to(tmp_path / "001_x.sql")
    assert len(MigrationFolder(tmp_path).read_all().errors) == 2


def test_dangling_link(tmp_path):
    (tmp_path / "001_x.sql").symlink_to(tmp_path / "gone")
    (error,) = MigrationFolder(tmp_path).read_all().errors
    assert error.hint


def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "001_x.sql")
    (tmp_path / "002_y.sql").write_text("SELECT 1;")
    contents = _in_time(lambda: MigrationFolder(tmp_path).read_all())  # who reads a pipe waits for a writer
    assert [file.name for file in contents.files] == ["002_y"]
    assert len(contents.errors) == 1


def _in_time(do, seconds=5):
    from threading import Thread

    answers = []
    thread = Thread(target=lambda: answers.append(do()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert answers, "still waiting"
    return answers[0]


def test_two_files_of_one_version_are_warned_of(tmp_path):
    for name in ("20250120_b", "20250120_a", "20250121_c", "2025"):
        (tmp_path / f"{name}.sql").write_text("SELECT 1;")
    contents = MigrationFolder(tmp_path).read_all()
    assert contents.versions == {"20250120": ["20250120_a", "20250120_b"]}
    (warning,) = contents.warnings
    assert "20250120_a" in warning
    assert "20250120_b" in warning


def test_other_files_and_hidden_ones_are_left_alone(tmp_path):
    for name in ("001_a.sql", "README.md", "002_b.sql.bak", ".003_c.sql", "004_d.SQL~"):
        (tmp_path / name).write_text("not SQL at all '")
    (tmp_path / "001_a.sql").write_text("SELECT 1;")
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["001_a"]
    assert contents.errors == ()


def test_a_folder_without_any_migration_is_remarked(tmp_path):
    (tmp_path / "001_a.SQL").write_text("SELECT 1;")
    assert MigrationFolder(tmp_path).read_all().warnings == (f"{tmp_path} holds no file *.sql",)


def test_one_file_by_name(tmp_path):
    (tmp_path / "001_a.sql").write_text("SELECT 1;")
    folder = MigrationFolder(tmp_path)
    assert folder.read("001_a").name == folder.read("001_a.sql").name == "001_a"


def test_a_name_that_is_not_there_brings_those_that_come_close(tmp_path):
    (tmp_path / "20250120_add_settings.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationNotFound) as caught:
        MigrationFolder(tmp_path).read("20250120_add_setings")
    assert caught.value.similar == ("20250120_add_settings",)


@pytest.mark.parametrize("name", ["../001_a", "/etc/passwd", "sub/001_a", "001_a\0", ""])
def test_a_name_does_not_lead_out_of_the_folder(tmp_path, name):
    (tmp_path / "sub").mkdir()
    (tmp_path / "001_a.sql").write_text("SELECT 1;")
    (tmp_path / "sub" / "001_a.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationNotFound):
        MigrationFolder(tmp_path / "sub" if name.startswith("..") else tmp_path).read(name)


def test_a_bad_file_by_name(tmp_path):
    (tmp_path / "001_a.sql").write_text(START)
    with pytest.raises(MigrationFileError):
        MigrationFolder(tmp_path).read("001_a")


def test_no_folder(tmp_path):
    with pytest.raises(UsageError):
        MigrationFolder(tmp_path / "gone")


def test_what_is_registered_unchanged_is_not_parsed_again(tmp_path):
    (tmp_path / "001_a.sql").write_text(START)
    assert len(MigrationFolder(tmp_path).read_all().errors) == 1
    from migrollback_nb.files.migration import parse
    from migrollback_nb.files.text import read_text

    checksum = parse(read_text(tmp_path / "001_a.sql"), name="001_a").checksum
    contents = MigrationFolder(tmp_path).read_all(unchanged={"001_a": checksum})
    assert [file.name for file in contents.files] == ["001_a"]
    assert contents.errors == ()


def test_a_name_that_is_not_utf8(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"002_\xff.sql")).write_text("SELECT 1;")
    except OSError:
        pytest.skip("this file system takes no such name")
    (tmp_path / "001_good.sql").write_text("SELECT 1;")
    contents = MigrationFolder(tmp_path).read_all()
    assert [file.name for file in contents.files] == ["001_good"]
    (error,) = contents.errors
    assert error.problem == "the name is not UTF-8"
    assert str(error).encode().endswith(b"002_\\udcff.sql: the name is not UTF-8\nRename it.")


def test_a_folder_that_may_not_be_read_is_one_error_in_words(tmp_path, monkeypatch):
    folder = MigrationFolder(tmp_path)

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # root may read anything
    with pytest.raises(UsageError, match=r"cannot be read: Permission denied\nName a folder that you may read"):
        folder.read_all()


def test_a_folder_that_may_not_be_looked_at_is_one_error_in_words(tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(UsageError, match=r"is not a folder|cannot be read"):
        MigrationFolder(path)


def test_the_hint_of_a_missing_file_is_about_the_folder(tmp_path):
    with pytest.raises(MigrationNotFound) as caught:
        MigrationFolder(tmp_path).read("001_a")
    assert caught.value.hint == "Check the name, or name another folder with --dir."
