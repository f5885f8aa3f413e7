"""Copies of the runbook's notebooks: filled in, inert whatever the name, dated, and they run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.runbook.notebooks import NOTEBOOKS, fill_in

NAME = "001_a"
HOSTILE = "002_\"'\\\n<script>\u202e\x1b]0;x\x07 # ); import os; os.abort()"


def parameters(file: Path) -> dict[str, Any]:
    notebook = json.loads(file.read_text(encoding="utf-8"))
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", ()))
    values: dict[str, Any] = {}
    exec("".join(cell["source"]), values)
    return values


@pytest.fixture
def in_place(db: mr.Migrations, applied: Callable[..., str]) -> mr.Migrations:
    applied(NAME, "CREATE TABLE a ();", "DROP TABLE a;")
    return db


def test_the_copies_know_what_they_are_for(
    in_place: mr.Migrations, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret@h/d")
    made = in_place.runbook(NAME, ticket="INC-42", into=tmp_path)
    target = in_place.target
    for name in NOTEBOOKS:
        values = parameters(Path(made.folder) / name)
        assert values["migration"] == NAME
        assert values["ticket"] == "INC-42"
        assert values["connection_env"] == "DATABASE_URL"
        assert values["folder"] == str(folder.resolve())
        assert values["database"] == f"{target.host}:{target.port}/{target.database}"
        assert values["schema"] == target.schema
        assert "s3cret" not in (Path(made.folder) / name).read_text()
    assert made.warnings == ()


def test_a_dsn_of_a_command_line_is_not_saved(
    in_place: mr.Migrations, database_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.run(
            [
                "runbook",
                NAME,
                "--ticket",
                "INC-1",
                "--into",
                str(tmp_path),
                "--dsn",
                f"{database_dsn} password=s3cret",
                "--format",
                "json",
            ]
        )
        == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert made["files"] == list(NOTEBOOKS)
    assert "MIGROLLBACK_DSN" in made["warnings"][0]
    for name in NOTEBOOKS:
        file = Path(made["folder"]) / name
        assert "s3cret" not in file.read_text()
        assert parameters(file)["connection_env"] == "MIGROLLBACK_DSN"


def test_variables_of_libpq_serve_the_notebooks_too(
    in_place: mr.Migrations, database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in psycopg.conninfo.conninfo_to_dict(database_dsn).items():
        monkeypatch.setenv({"host": "PGHOST", "dbname": "PGDATABASE", "user": "PGUSER"}[name], str(value))
    with mr.connect() as db:
        made = db.runbook(NAME, into=tmp_path)
    assert made.warnings == ()
    values = parameters(Path(made.folder) / NOTEBOOKS[0])
    assert (values["connection_env"], values["service"]) == (None, None)
    with mr.connect(env=values["connection_env"], service=values["service"]) as db:
        db.require_target(values["database"])


def test_the_folder_is_dated_and_nothing_is_overwritten(in_place: mr.Migrations, tmp_path: Path) -> None:
    first, second = in_place.runbook(NAME, into=tmp_path), in_place.runbook(NAME, into=tmp_path)
    assert first.folder != second.folder
    assert Path(first.folder).name.startswith("runbook_20")
    with pytest.raises(mr.MigrationNotFound):
        in_place.runbook("nothing", into=tmp_path)


def test_a_hostile_name_stays_data(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "notebooks"
    for name in NOTEBOOKS:
        filled = fill_in(
            json.loads((source / name).read_text(encoding="utf-8")), {"migration": HOSTILE, "ticket": HOSTILE}
        )
        file = tmp_path / name
        file.write_text(json.dumps(filled))
        assert parameters(file)["migration"] == HOSTILE
        for cell in filled["cells"]:
            assert "\u202e" not in "".join(cell["source"])
            assert cell["cell_type"] == "code" or "002_" not in "".join(cell["source"])


def test_all_three_run_and_change_nothing(
    in_place: mr.Migrations, database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGROLLBACK_DSN", database_dsn)
    made = in_place.runbook(NAME, ticket="INC-42", into=tmp_path)
    before = in_place.database.queries.events()
    for name in NOTEBOOKS:
        space: dict[str, Any] = {}
        for cell in json.loads((Path(made.folder) / name).read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), space)
        panels = [value for value in space.values() if isinstance(value, mr.panels.ChecklistPanel)]
        assert [panel.selected for panel in panels] == [NAME]
        assert panels[0].wait(30)
        assert panels[0].state is not None, panels[0].error
    assert in_place.database.queries.events() == before


def test_another_database_stops_them(in_place: mr.Migrations) -> None:
    in_place.require_target(None)
    with pytest.raises(mr.Refused, match="was meant"):
        in_place.require_target("db.prod:5432/shop")
