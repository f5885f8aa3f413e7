"""Selectors of a folder, where no database is asked."""

import pytest

from migrollback_nb.core.errors import MigrationNotFound, UsageError
from migrollback_nb.files.formats import MigrationFolder
from migrollback_nb.files.selection import asks_a_database, select_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """001 <- 002 <- 003, 004 by itself, a name with a space and a plus sign, and a bad file."""
    path = tmp_path_factory.mktemp("migrations")
    texts = {
        "001_a": "-- Tags: base\nSELECT 1;",
        "002_b": "-- Depends on: 001_a\nSELECT 1;",
        "003_c": "-- Depends on: 002_b\n-- Tags: hotfix, base\nSELECT 1;",
        "004_d": "SELECT 1;\n-- Tags: late",
        "005 x+": "-- Tags: odd\nSELECT 1;",
        "006_bad": "-- Tags: base\n-- Depends on: nothing of that\nSELECT 1;",
    }
    for name, text in texts.items():
        (path / f"{name}.sql").write_text(text)
    return MigrationFolder(path)


@pytest.mark.parametrize(
    ("select", "exclude", "expected"),
    [
        ("002_b", None, "2"),
        ("002_b+", None, "23"),
        ("+002_b", None, "12"),
        ("+003_c+1", "002_b", "13"),
        ("00[1-3]*", None, "123"),
        ("tag:base", None, "136"),
        ("tag:h*", None, "3"),
        ("tag:base,00[23]*", None, "3"),
        ("005 x+", None, "5"),
        ("+005 x+ 001_a", None, "15"),
        (["001_a", "004_d.sql"], None, "14"),
        (None, "tag:base", "245"),
    ],
)
def test_what_is_selected(folder, select, exclude, expected):
    assert "".join(name[2] for name in select_files(folder, select, exclude)) == expected
    assert not asks_a_database(folder, select, exclude)


@pytest.mark.parametrize(
    ("select", "error", "said"),
    [
        ("002_x", MigrationNotFound, "002_b"),
        ("01*", UsageError, None),
        ("tag:bose", UsageError, "Did you mean base?"),
        ("tag:late", UsageError, None),  # not in the head of the file
        ("001_a,002_b", UsageError, "Select more"),
        ("status:applied", UsageError, "--dsn"),
        ("tabel:x", UsageError, "Did you mean table?"),
        ([], UsageError, "Select more"),
    ],
)
def test_what_is_not_there_is_said(folder, select, error, said):
    with pytest.raises(error) as caught:
        select_files(folder, select)
    assert said is None or said in str(caught.value)


def test_what_only_a_database_knows(folder):
    assert asks_a_database(folder, "001_a status:applied", None)
    assert asks_a_database(folder, None, ["001_a", "last:3"])
    assert not asks_a_database(folder, "001_a", "tag:base")
