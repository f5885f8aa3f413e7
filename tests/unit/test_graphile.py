"""Folders of graphile-migrate: what is committed, each by its hash and the one before it."""

import hashlib
from pathlib import Path

import pytest

from migrollback_nb.files.formats import MigrationFolder

FIRST, SECOND = "CREATE TABLE a ();", "--! no-transaction\nCREATE INDEX CONCURRENTLY i ON a ((1));"


def put(folder: Path, *bodies: str, names=("000001", "000002-second", "000010")) -> list[Path]:
    """Commit bodies as the tool does."""
    folder.mkdir(parents=True, exist_ok=True)
    previous, paths = None, []
    for name, body in zip(names, bodies, strict=False):
        text = f"{previous or ''}\n{body.strip()}".strip() + "\n"
        made = f"sha1:{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"
        paths.append(folder / f"{name}.sql")
        paths[-1].write_text(f"--! Previous: {previous or '-'}\n--! Hash: {made}\n\n{body}\n")
        previous = made
    return paths


def problems(folder: Path) -> list[tuple[str, str]]:
    return [(Path(error.path).name, error.problem) for error in MigrationFolder(folder).read_all().errors]


@pytest.mark.parametrize("dir", ["", "committed"])
def test_what_is_committed_is_read_in_order_and_the_rest_left_out(tmp_path, dir):
    put(tmp_path / "committed", FIRST, SECOND, "SELECT 1;")
    (tmp_path / "committed" / "000001.rollback.sql").write_text("DROP TABLE a;")
    (tmp_path / "current.sql").write_text("CREATE TABLE soon ();")
    contents = MigrationFolder(tmp_path / dir).read_all()
    assert contents.errors == ()
    assert [(file.name, file.version, file.tool, file.depends_on, file.transaction) for file in contents.files] == [
        ("000001", "000001", "graphile-migrate", (), True),
        ("000002-second", "000002", "graphile-migrate", ("000001",), False),
        ("000010", "000010", "graphile-migrate", ("000002-second",), True),
    ]
    assert contents.files[0].rollback.statement_texts() == ("DROP TABLE a",)
    assert contents.files[1].metadata()["ledger_hash"].startswith("sha1:")
    assert contents.warnings == (() if dir else ("current.sql is left out: it is not committed",))
    folder = MigrationFolder(tmp_path / dir)
    assert folder.checksum("000001") == folder.read("000001").checksum


def test_what_was_edited_or_linked_otherwise_is_refused(tmp_path):
    paths = put(tmp_path / "committed", FIRST, SECOND, "SELECT 1;")
    paths[1].write_text(f"{paths[1].read_text()}-- ROLLBACK START\n-- DROP INDEX i;\n-- ROLLBACK END\n")
    edited = ("000002-second.sql", "does not have the hash that its header says: it was edited")
    assert problems(tmp_path) == [edited]
    paths[1].write_text(paths[1].read_text().replace("\n\n", "\n--! AllowInvalidHash\n\n", 1))
    assert problems(tmp_path) == []
    paths[0].unlink()
    assert problems(tmp_path) == [
        ("000002-second.sql", "names another hash as the one before than the first has"),
    ]


def test_a_live_block_would_run_and_a_block_that_was_committed_counts(tmp_path):
    live = "CREATE TABLE a ();\n-- ROLLBACK START\nDROP TABLE a;\n-- ROLLBACK END"
    put(tmp_path, live)
    file = MigrationFolder(tmp_path).read("000001")
    assert (file.rollback.statement_texts(), file.rollback.live) == (("DROP TABLE a",), True)
    assert file.remarks[-1].endswith("graphile-migrate runs the whole file. Comment it out line by line")


def test_a_placeholder_is_named(tmp_path):
    put(tmp_path, "CREATE TABLE a ();\nGRANT SELECT ON a TO :DATABASE_VISITOR;")
    file = MigrationFolder(tmp_path).read("000001")
    assert file.up_problem.line == 5
    assert ":DATABASE_VISITOR is a placeholder, for which only graphile-migrate knows the value" in file.up_refusal[0]
