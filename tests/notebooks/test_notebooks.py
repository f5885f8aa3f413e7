"""The notebooks as files, and run from top to bottom on databases of several kinds: none of them changes anything."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from panel_parts import part
from traitlets.config import Config

import migrollback_nb as mr
from migrollback_nb.core.frames.build import frame_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_all_are_here() -> None:
    assert [path.stem for path in NOTEBOOKS][:4] == [
        "00_start",
        "01_roll_back_a_migration",
        "02_history_questions",
        "03_dependency_graph",
    ]


def test_all_are_stripped() -> None:
    verified = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", *NOTEBOOKS], check=False, capture_output=True, text=True
    )
    assert verified.returncode == 0, verified.stdout


def test_the_first_one_links_to_all_others() -> None:
    first = "".join(json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))["cells"][0]["source"])
    assert re.findall(r"\]\(([^)]+)\)", first) == [path.name for path in NOTEBOOKS[1:]]


@every_notebook
def test_it_opens_with_a_panel_or_an_answer(path: Path) -> None:
    kinds = [cell["cell_type"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert kinds[:3] == ["markdown", "code", "code"]
    parameters, first = ("".join(cell["source"]) for cell in cells(path, "code")[:2])
    assert parameters.count("\n") < 10
    assert first.count("\n") < 10
    # its value is shown: a panel, a picture, a table
    assert isinstance(ast.parse(first).body[-1], ast.Expr)


@every_notebook
def test_metadata_is_minimal(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


@every_notebook
def test_it_begins_with_its_one_question_and_names_no_password(path: Path) -> None:
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    assert len(re.findall(r"^\*\*.+\?\*\*$", "".join(first["source"]), re.MULTILINE)) == 1
    code = cells(path, "code")
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", ())]
    assert tagged == code[:1]
    values: dict[str, Any] = {}
    exec("".join(tagged[0]["source"]), values)
    assert values["connection_env"] == "MIGROLLBACK_DSN"
    assert values["service"] is None
    assert "://" not in path.read_text(encoding="utf-8")
    if path.stem != "20_fleet":  # which opens each of its databases for one question
        assert "".join(code[-1]["source"]) == "db.close()"


@pytest.fixture
def shell(database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell without a kernel: nbval runs the notebooks in one, more slowly."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MIGROLLBACK_DSN", database_dsn)
    with pd.option_context("display.max_colwidth", 50):
        yield InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))


def run_all(shell: InteractiveShell, path: Path) -> list[Any]:
    """The value of each code cell."""
    values = []
    for cell in cells(path, "code"):
        with capture_output():  # display of plain results is the shell's own business
            ran = shell.run_cell("".join(cell["source"]))
        ran.raise_error()
        values.append(ran.result)
        if ran.result is not None:
            # what a person reads: no text in quotes, with \n in it
            assert not isinstance(ran.result, str)
            shell.display_formatter.format(ran.result)
    return values


@pytest.mark.few(2)
@every_notebook
def test_it_runs_where_only_the_system_is_installed(path: Path, shell: InteractiveShell) -> None:
    run_all(shell, path)
    if path.stem != "20_fleet":  # which opens each of its databases for one question
        assert shell.user_ns["db"].database.connection.closed


@pytest.mark.few(2)
@every_notebook
def test_it_runs_where_the_list_is_empty(path: Path, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mr.Migrations, "list", lambda _: frame_of("list", []))
    run_all(shell, path)
    if path.stem.startswith("03"):
        assert shell.user_ns["focus"] is None


@pytest.mark.few(3)
@every_notebook
def test_run_all_changes_nothing(
    path: Path, db: mr.Migrations, write_migration: Callable[[str, str], Path], shell: InteractiveShell
) -> None:
    write_migration(
        "001_base", "CREATE TABLE base (id int);\n-- ROLLBACK START\n-- DROP TABLE base;\n-- ROLLBACK END\n"
    )
    write_migration(
        "002_top",
        "-- Depends on: 001_base\nCREATE TABLE top (id int);\n-- ROLLBACK START\n-- DROP TABLE top;\n-- ROLLBACK END\n",
    )
    write_migration(
        "003_<script>\u202e'\"", "CREATE TABLE odd ();\n-- ROLLBACK START\n-- DROP TABLE odd;\n-- ROLLBACK END\n"
    )
    write_migration("004_broken", "SELECT 1;\n-- ROLLBACK START\n-- DROP TABLE nothing;\n-- ROLLBACK END\n")
    db.apply()
    with pytest.raises(mr.RollbackFailed):
        db.rollback("004_broken", confirm="004_broken")
    db.rollback("002_top", confirm="002_top", reason="for the history")
    before = (db.database.queries.history(), db.database.queries.events(), db.database.queries.dependencies())
    values = run_all(shell, path)
    assert (db.database.queries.history(), db.database.queries.events(), db.database.queries.dependencies()) == before
    if path.stem.startswith("01"):
        panel = next(value for value in values if isinstance(value, mr.panels.RollbackPanel))
        assert panel.selected is None
        # Run All has closed the connection; the panel works all the same
        part(panel, "choice").value = "001_base"
        part(panel, "preview_button").click()
        assert panel.wait(60)
        assert panel.preview_result is not None, panel.error
        panel.db.close()
