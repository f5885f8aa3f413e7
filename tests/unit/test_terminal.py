"""Results as text: nothing is left out silently, nothing reaches a terminal raw, one line for each row of tab-
separated text."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

from migrollback_nb.cli import colours, prose
from migrollback_nb.cli.tables import show_tsv
from migrollback_nb.cli.terminal import show
from migrollback_nb.core import kinds, results
from migrollback_nb.core.results.assessment import AssessmentVerdict
from migrollback_nb.core.results.proof import GRADES
from migrollback_nb.core.results.verification import Verdict as Outcome


def shown(result: object) -> str:
    out = io.StringIO()
    show(result, out, io.StringIO())
    return out.getvalue()


def test_a_plan_of_one_is_said_too() -> None:
    looked_at = datetime(2025, 1, 20, tzinfo=UTC)
    alone = results.Plan(
        migration_name="001_a", steps=("001_a",), statuses={"001_a": "applied"}, dependents_looked_for=looked_at
    )
    assert shown(alone) == "001_a would be rolled back alone: nothing applied depends on it\n"
    assert shown(replace(alone, dependents_looked_for=None)) == (
        "001_a would be rolled back alone: no file declares that it depends on it. Dependents that no file"
        " declares were not looked for: migrollback sync does that\n"
    )


def test_a_plan_of_what_is_not_applied_says_so() -> None:
    assert "its status is rolled_back" in shown(
        results.Plan(migration_name="001_a", steps=("001_a",), statuses={"001_a": "rolled_back"})
    )


def test_a_suggested_block_does_not_reach_the_terminal_raw() -> None:
    text = shown(
        results.Template(
            migration_name="001_a", text='-- ROLLBACK START\nDROP TABLE "\x1b[2J\u202ex";\n-- ROLLBACK END'
        )
    )
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert 'DROP TABLE "<U+001B>[2J<U+202E>x";' in text


def test_what_is_nested_is_json_in_tab_separated_text() -> None:
    out = io.StringIO()
    show_tsv([{"failed": [{"error": 'it\'s "bad"'}], "names": ["a", "b"]}], ("failed", "names"), out)
    failed, names = out.getvalue().splitlines()[1].split("\t")
    assert json.loads(failed.replace("\\\\", "\\")) == {"error": 'it\'s "bad"'}
    assert names == "a, b"


def test_several_lines_of_a_verdict_stay_under_its_migration() -> None:
    proof = results.MigrationProof(
        migration_name="001_a", grade="fails", remarks=("up part: 001_a.sql: is a directory\nRename it.",), seconds=0.1
    )
    lines = shown(results.Proof(migrations=(proof,), server="here")).splitlines()
    assert lines[1:3] == ["     up part: 001_a.sql: is a directory", "     Rename it."]


def test_terminal_frames_and_banners_have_one_table_of_colours():
    words = {*get_args(AssessmentVerdict), *get_args(Outcome), *GRADES, "applied", "rolled_back", "failed"}
    assert words <= kinds.KIND.keys()
    good = {word for word in words if kinds.KIND[word] == "good"}
    assert good == {"ready", "restored", "as rehearsed", "restores", "applied"}
    assert set(kinds.KIND.values()) == kinds.STYLE.keys()
    for kind in kinds.STYLE:
        assert colours.paint("x", kind, Screen()) != "x"


class Screen(io.StringIO):
    def isatty(self):
        return True


LONG = (
    'migrollback sync looks for dependents of public."a table of many words", which no file declares, and of'
    " 20250120_a_migration_whose_name_is_longer_than_a_terminal_of_forty_columns_can_hold_in_one_line too"
)


def test_prose_is_as_wide_as_the_terminal_and_breaks_no_name(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = prose.lines(f"⚠️  {LONG}", Screen())
    assert len(lines) > 3
    assert all(len(line) <= 40 or " " not in line.strip() for line in lines)
    assert any('public."a table of many words",' in line for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == " ".join(f"⚠️  {LONG}".split())
    assert prose.lines(f"   {LONG}", Screen())[1].startswith("     ")


def test_in_a_pipe_prose_is_one_line():
    assert prose.lines(f"   {LONG}", io.StringIO()) == [f"   {LONG}"]
