"""What a fleet says in one line, and how its frames look."""

from datetime import UTC, datetime

import pandas as pd

from migrollback_nb.core.errors import Refused
from migrollback_nb.display.frame_look import _of_any, frame_html
from migrollback_nb.fleet.frames import frame, joined
from migrollback_nb.fleet.plan import FleetPlan, PlannedTarget, one_line_of
from migrollback_nb.fleet.results import FleetResult, TargetResult


def plan_of(*verdicts):
    rows = tuple(PlannedTarget(target=f"t{n}", status="answered", verdict=said) for n, said in enumerate(verdicts))
    return FleetPlan(command="rollback", rows=rows, confirm="1_a", waves=tuple((row.target,) for row in rows))


def test_one_and_several_are_worded_as_such():
    assert plan_of("loses").headline == "Would roll back in 1 of 1 target, in 1 wave; 1 loses rows or values"
    assert plan_of("loses", "loses").headline == "Would roll back in 2 of 2 targets, in 2 waves; 2 lose rows or values"
    result = FleetResult(run_id="r", command="rollback", rows=(TargetResult(target="t", outcome="done"),))
    assert result.message == "1 done of 1 target"


def test_what_leads_on_is_a_sentence_of_its_own():
    assert one_line_of(Refused("No rollback SQL", hint="Roll back first: b\nthen a.")) == (
        "No rollback SQL. Roll back first: b. then a."
    )


def test_frames_look_as_all_others_in_a_notebook():
    asked = frame(
        [{"target": "eu", "status": "answered", "last_applied_at": datetime(2026, 11, 30, 23, 58, 28, 601789, UTC)}],
        ("target", "status", "message", "last_applied_at"),
    )
    assert str(asked["last_applied_at"].dtype) == "datetime64[us, UTC]"
    for shown in (asked, asked[asked["target"] == "none"], joined([("eu", "late", "", None)]), joined([])):
        assert _of_any(shown) == frame_html(shown)
    assert "2026-11-30 23:58 UTC" in frame_html(asked)
    assert "NaN" not in frame_html(asked)
    assert str(frame([], ("target", "last_applied_at"))["last_applied_at"].dtype) == "datetime64[us, UTC]"
    assert pd.isna(frame([{"last_applied_at": None}], ("last_applied_at",))["last_applied_at"].iloc[0])
