"""Frames in a notebook: times to the minute and zone, pills, folded hashes, 20 rows; all escaped; no other frame."""

from datetime import UTC, datetime

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from migrollback_nb.core.frames.build import frame_of
from migrollback_nb.core.frames.columns import columns_of
from migrollback_nb.display import frame_look

MOMENT = datetime(2026, 11, 30, 12, 20, 40, 696034, tzinfo=UTC)


def history(count: int, **values: object) -> pd.DataFrame:
    row = dict.fromkeys(columns_of("history")) | {
        "migration_name": "001_a", "status": "failed", "applied_at": MOMENT, "checksum": "0123456789abcdef" * 4,
        "apply_count": 1, "rollback_count": 0, "failure_count": 0, "dependents": 0,
    }  # fmt: skip
    frame = frame_of("history", [row | values] * count)
    frame.attrs["frame"] = "history"
    return frame


def test_times_pills_and_hashes():
    shown = frame_look.frame_html(history(1))
    assert ">2026-11-30 12:20 UTC</span>" in shown
    assert 'title="2026-11-30 12:20:40.696034+00:00"' in shown
    assert "✘ failed</span>" in shown
    assert ">01234567…</span>" in shown
    assert "nan" not in shown.lower()
    assert "NaT" not in shown


def test_twenty_rows_and_how_many_there_are():
    shown = frame_look.frame_html(history(30))
    assert shown.count("<tr>") == 21
    assert "30 rows" in shown
    assert "the first 20 are shown" in shown


def test_everything_is_escaped():
    shown = frame_look.frame_html(history(1, notes="<script>alert(1)</script>", migration_name='"><b>'))
    assert "<script>" not in shown
    assert "<b>" not in shown


@pytest.mark.parametrize("name", ["events", "attempts", "list", "deploys", "rehearsal rows", "proof"])
def test_no_rows_show_too(name):
    assert "0 rows" in frame_look.frame_html(frame_of(name, []))


def test_only_our_frames_look_so_and_what_they_hold_stays(monkeypatch):
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        frame_look.show_in_notebooks()
        frame_look.show_in_notebooks()
        frame, other = history(1), pd.DataFrame({"status": ["failed"]})
        before = frame.copy()
        shown, _ = shell.display_formatter.format(frame)
        assert "✘ failed" in shown["text/html"]
        assert "text/plain" in shown
        plain, _ = shell.display_formatter.format(other)
        assert plain["text/html"] == other._repr_html_()
        pd.testing.assert_frame_equal(frame, before)
        part, _ = shell.display_formatter.format(frame[["migration_name", "applied_at"]])
        assert "12:20 UTC" in part["text/html"]
    finally:
        InteractiveShell.clear_instance()
