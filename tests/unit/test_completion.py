"""A shell completes commands, options, their choices and names of migrations: tried in the shells that are here."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from migrollback_nb import cli
from migrollback_nb.cli.completion import SHELLS, names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("001_users", "002_orders", "003_it's odd"):
        (tmp_path / f"{name}.sql").write_text("SELECT 1;\n")
    for name in ("MIGROLLBACK_DIR", "MIGROLLBACK_DSN", "DATABASE_URL", "SUPABASE_DB_URL", "PGSERVICE", "PGHOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def script(shell: str) -> str:
    out = io.StringIO()
    assert cli.run(["--print-completion", shell], out, io.StringIO()) == 0
    return out.getvalue()


def test_names_come_from_the_folder_and_need_no_quotes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(["check", "--dir", str(folder)]) == ["001_users", "002_orders"]
    assert names([f"--dir={folder}", "check"]) == ["001_users", "002_orders"]
    monkeypatch.setenv("MIGROLLBACK_DIR", str(folder))
    out = io.StringIO()
    assert cli.run(["--complete-names", "--chian", "check"], out, io.StringIO()) == 0, "whatever is typed so far"
    assert out.getvalue() == "001_users\n002_orders\n"


def test_where_nothing_is_found_nothing_is_said(folder: Path) -> None:
    (folder / "empty").mkdir()
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["--complete-names", "check", "--dir", str(folder / "empty")], out, err) == 0
    assert (
        cli.run(["--complete-names", "check", "--dir", str(folder / "none"), "--dsn", "host=/nowhere"], out, err) == 0
    )
    assert (out.getvalue(), err.getvalue()) == ("", "")


def test_an_unknown_shell_is_told_which_are_known() -> None:
    err = io.StringIO()
    assert cli.run(["--print-completion", "bsh"], io.StringIO(), err) == 2
    assert "Did you mean bash? It takes bash, zsh or fish." in err.getvalue()


#: What is typed -> what Tab offers.
TYPED = {
    "migrollback rollb": ["rollback"],
    "migrollback rollback x --accept": ["--accept-loss"],
    "migrollback history --status a": ["applied"],
    "migrollback check 002": ["002_orders"],
    "migrollback verify 001_users 002": ["002_orders"],
    "migrollback --print-completion z": ["zsh"],
}

ASK = {
    "bash": """
ask() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  _shtab_migrollback migrollback "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
  printf '%s\\n' "${COMPREPLY[@]}" ==
}
""",
    "fish": "function ask; complete -C (string join -- ' ' $argv); echo ==; end\n",
}


@pytest.mark.parametrize("shell", ["bash", pytest.param("fish", marks=pytest.mark.long)])
def test_tab_offers_it(shell: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    home = tmp_path_factory.mktemp("completion")
    # the shell calls the command as a user's does, and here that is this very source
    program = home / "migrollback"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m migrollback_nb.cli "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{home}:{os.environ['PATH']}", "MIGROLLBACK_DIR": str(folder), "HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    asked = script(shell) + ASK[shell] + "\n".join(f"ask {line}" for line in TYPED)
    ran = subprocess.run([shell], input=asked, env=environment, capture_output=True, text=True, check=True, timeout=60)
    answers = [[text.partition("\t")[0] for text in part.split("\n") if text] for part in ran.stdout.split("==\n")]
    assert dict(zip(TYPED, answers, strict=False)) == TYPED


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_reads(shell: str, tmp_path: Path) -> None:
    made = script(shell)
    assert "verify-rollback" in made
    assert "--complete-names" in made
    if shutil.which(shell) is not None:
        file = tmp_path / "script"
        file.write_text(made)
        ran = subprocess.run([shell, "-n", str(file)], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
