"""The demo: every migration restores what it should, and the story is true."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

import migrollback_nb as mr
from migrollback_nb.cli import demo, run
from migrollback_nb.servers import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[Path]:
    """An embedded server for the tests of this module."""
    with tempfile.TemporaryDirectory(prefix="mr", dir="/var/tmp") as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv(embedded.FOLDER_VARIABLE, name)
        yield Path(name)
        embedded.stop()


@pytest.fixture
def empty() -> Iterator[str]:
    """DSN of an empty database."""
    with psycopg.connect(embedded.start(), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS a_shop WITH (FORCE)")
    return embedded.start("a_shop")


def _statuses(db: mr.Migrations) -> dict[str, str]:
    return {row["migration_name"]: row["status"] for row in db.history_rows() if row["migration_name"] in demo.names()}


def _schema(db: mr.Migrations) -> dict[tuple[str, str], Any]:
    found = {}
    for kind, identity, definition in db.database.connection.execute(
        "SELECT kind, identity, definition FROM schema_objects()"
    ):
        if "columns" in definition:  # a column cannot be put back in its place
            definition["columns"] = sorted(definition["columns"])
        found[kind, identity] = definition
    return found


def _rows(db: mr.Migrations) -> dict[tuple[str, str], str]:
    connection = db.database.connection
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'metrics') AND tablename NOT LIKE"
        " 'migration\\_%'"
    ).fetchall()
    # as jsonb: its keys have an order of their own, whatever that of the columns is
    query = "SELECT md5(string_agg(to_jsonb(t)::text, ' ' ORDER BY to_jsonb(t)::text)) FROM {} t"
    return {table: connection.execute(sql.SQL(query).format(sql.Identifier(*table))).fetchone()[0] for table in tables}


def test_loads_into_an_empty_database(empty: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "migrations"
    with demo.load(empty, folder) as db:
        assert set(_statuses(db).values()) == {"applied"}
        assert len(_statuses(db)) == len(demo.names()) == 13
        assert demo.is_loaded(empty)
        warned = {
            name
            for name in demo.names()
            if any("was changed after it was registered" in warning for warning in db.check(name).warnings)
        }
        without = {row["migration_name"] for row in db.history_rows(without_rollback=True)}
        again = db.sync()
    assert warned == {demo.EDITED}
    assert without == {demo.WITHOUT_ROLLBACK}
    assert not again.registered
    assert not again.failed


@pytest.mark.long
def test_loads_into_what_is_connected(empty: str, tmp_path: Path) -> None:
    with mr.connect(empty, dir=tmp_path) as db:
        assert demo.load(db) is db
        assert len(_statuses(db)) == 13
        with pytest.raises(mr.UsageError):
            demo.load(db, tmp_path / "other")


def test_refuses_a_database_that_is_not_empty(empty: str, tmp_path: Path) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE TABLE somebodys ()")
        with pytest.raises(mr.Refused, match="not empty"):
            demo.load(empty, tmp_path)
        assert connection.execute("SELECT to_regclass('somebodys') IS NOT NULL").fetchone() == (True,)
    assert list(tmp_path.iterdir()) == []
    assert not demo.is_loaded(empty)


@pytest.mark.long
def test_refuses_a_folder_of_other_migrations(tmp_path: Path) -> None:
    demo.load("embedded", tmp_path / "demo").close()
    (tmp_path / "001_own.sql").write_text("CREATE TABLE own ();\n")
    with pytest.raises(mr.UsageError, match="001_own"):
        demo.load("embedded", tmp_path)
    assert demo.is_loaded(embedded.start(demo.DATABASE))


@pytest.mark.long
def test_loading_again_starts_afresh(tmp_path: Path) -> None:
    with demo.load("embedded", tmp_path) as db:
        db.rollback("20250120_add_user_settings", confirm="20250120_add_user_settings")
        with pytest.raises(mr.Refused, match="in use"):
            demo.load("embedded", tmp_path)
    assert demo.is_loaded(embedded.start(demo.DATABASE))
    with demo.load("embedded", tmp_path) as db:
        assert set(_statuses(db).values()) == {"applied"}
        assert (tmp_path / f"{demo.EDITED}.sql").read_text() != demo._texts()[demo.EDITED]


@pytest.mark.long
def test_every_rollback_restores_what_was_there(empty: str, tmp_path: Path) -> None:
    demo.copy_migrations(tmp_path, edited=False, replace=True)
    restored = []
    with mr.connect(empty, dir=tmp_path) as db:
        db.install()
        for name in db.pending():
            schema, rows = _schema(db), _rows(db)
            db.apply(name)
            assert (_schema(db), _rows(db)) != (schema, rows)
            if name in (demo.WITHOUT_ROLLBACK, demo.FAILING):
                continue
            result = db.rollback(name, confirm=name)
            assert not result.unchanged
            assert not result.notices, "IF EXISTS found nothing to drop"
            assert _schema(db) == schema
            assert _rows(db) == rows
            restored.append(name)
            db.apply(name)
    assert len(restored) == 11


def test_files_have_the_headers_of_the_specification(tmp_path: Path) -> None:
    demo.copy_migrations(tmp_path, edited=True, replace=True)
    for path in tmp_path.glob("*.sql"):
        text = path.read_text()
        assert text.startswith(f"-- Migration: {path.name}\n-- Description: ")
        file = mr.parse(text, name=path.stem)
        assert file.remarks == ()
        assert (file.rollback is None) == (path.stem == demo.WITHOUT_ROLLBACK)


@pytest.mark.long
def test_the_story_is_true(base: Path) -> None:
    out = io.StringIO()
    assert demo.run(out, run) == 0
    told = out.getvalue()
    for expected in (
        "$ migrollback list",
        "Reason: Cannot rollback: other migrations depend on this one",
        "Dry run: rollback SQL shown below (not executed)",
        "Rehearsal: the rollback would succeed",
        "loses 1,000 rows of table public.archived_user_emails",
        "with 1,000 addresses",
        "2 migrations rolled back successfully",
        "Rehearsal: the rollback would fail",
        "Rollback failed",
        "Migration resolved: failed -> applied",
        "changed nothing",
        "The audit log is intact",
        "migrollback lab",
        str(base / "demo" / "migrations"),
    ):
        assert expected in told
    assert told.count("Gift cards before: 147") == told.count("Gift cards after: 147") == 1
    with mr.connect(embedded.start(demo.DATABASE)) as db:
        assert set(_statuses(db).values()) == {"applied"}
