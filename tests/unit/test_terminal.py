"""Results as text: nothing is left out silently, nothing reaches a terminal raw, one line for each row of tab-
separated text."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

from migrollback_nb.cli.tables import show_tsv
from migrollback_nb.cli.terminal import show
from migrollback_nb.core import results


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
