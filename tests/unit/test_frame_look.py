"""Frames in a notebook: times to the minute and zone, pills, folded hashes, 20 rows; all escaped; no other frame."""

import re
from datetime import UTC, datetime

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from migrollback_nb.core import html
from migrollback_nb.core.dependency_graph import DependencyGraph, Edge
from migrollback_nb.core.frames.build import frame_of
from migrollback_nb.core.frames.columns import columns_of
from migrollback_nb.display import frame_look
from migrollback_nb.display.graph.facts import GraphFacts
from migrollback_nb.display.graph.picture import Graph

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


def test_no_cell_wraps_and_only_numbers_stand_on_the_right():
    # the stylesheet of a notebook says of each cell that it wraps and stands on the right: only the cell overrules it
    shown = frame_look.frame_html(history(1))
    cells = re.findall(r"<t[hd]( [^>]*)?>", shown)
    assert all("white-space:nowrap" in (style or "") for style in cells)
    assert re.search(r'<td style="[^"]*text-align:left">001_a<', shown)
    assert re.search(r'<th [^>]*text-align:left">migration_name<', shown)
    assert re.search(r'<td style="[^"]*text-align:right">1<', shown)
    assert re.search(r'<th [^>]*text-align:right">apply_count<', shown)


def test_states_read_well_or_badly_by_what_they_say():
    assert f'style="{html.GOOD};' in pill("proven", "rolled_back")
    assert f'style="{html.QUIET};' in pill("status", "rolled_back")
    assert f'style="{html.CAREFUL};' in pill("verdict", "takes_others")  # as in the graph's plan and the panels
    deploys = frame_of("deploys", [dict.fromkeys(columns_of("deploys")) | {"state": "partly rolled back", "failed": 0,
                                   "rolled_back": 1, "migrations": 2}])  # fmt: skip
    assert "• partly rolled back</span>" in frame_look.frame_html(deploys)


def pill(column: str, value: str) -> str:
    found = re.search(rf"<span style=[^>]*>[^<]*{value}</span>", frame_look.frame_html(history(1, **{column: value})))
    assert found, column
    return found[0]


def test_times_show_in_their_own_zone_and_as_an_index_too():
    frame = history(1)[["migration_name", "applied_at"]]
    shown = frame_look.frame_html(frame.assign(applied_at=frame["applied_at"].dt.tz_convert("Europe/Berlin")))
    assert "2026-11-30 13:20 CET" in shown
    shown = frame_look.frame_html(frame.set_index("applied_at"))
    assert "2026-11-30 12:20 UTC" in shown
    assert ".696034" not in re.sub(r'title="[^"]*"', "", shown)
    assert ">applied_at<" in shown


@pytest.mark.parametrize("of", ["nodes", "edges"])
def test_the_frames_of_a_graph_show_so_where_nothing_else_was_asked(of):
    known = GraphFacts(graph=DependencyGraph({"001_a": "applied", "002_b": "failed"}, [Edge("002_b", "001_a")]))
    graph = Graph(facts=known, names=("001_a", "002_b"))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        shown, _ = shell.display_formatter.format(getattr(graph, of))
        assert "✔ applied" in shown["text/html"]
    finally:
        InteractiveShell.clear_instance()


def test_spans_show_to_the_second_and_ids_short_wherever_they_stand():
    frame = history(1).assign(in_place=pd.Timedelta(days=3, seconds=3725.25))
    assert "3 days 01:02:05<" in frame_look.frame_html(frame)
    for span, shown in (("1 days 00:00:07", ">1 day 00:00:07<"), ("0 days 00:20:13", ">00:20:13<")):
        assert shown in frame_look.frame_html(history(1).assign(in_place=pd.Timedelta(span)))
    shown = frame_look.frame_html(history(1).assign(label="e1517813-0624-c735-27f9-cd901172c966"))
    assert ">e1517813…<" in shown


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
        merged, _ = shell.display_formatter.format(frame.merge(pd.DataFrame({"migration_name": ["001_a"], "n": [1]})))
        assert "✘ failed" in merged["text/html"]  # pandas forgets whence it is
        part, _ = shell.display_formatter.format(frame[["migration_name", "applied_at"]])
        assert "12:20 UTC" in part["text/html"]
    finally:
        InteractiveShell.clear_instance()
