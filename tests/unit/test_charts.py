"""Bar charts: what they say as text and as a drawing, and that no label is markup."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pandas as pd

from migrollback_nb.display.charts import bar_chart, stacked_bar_chart

HOSTILE = '<script>alert(1)</script>"\u202e\x1b'


def test_each_value_is_a_bar_with_its_number() -> None:
    drawn = ET.fromstring(bar_chart("Rollbacks", {"a": 2, "b": 1.5, "c": 0}, unit="h").to_svg())
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Rollbacks", "a", "2 h", "b", "1.5 h", "c", "0 h"]
    widths = [float(element.attrib["width"]) for element in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(widths) == 2  # nothing is drawn for nothing
    assert widths[1] / widths[0] == 0.75


def test_a_series_and_a_frame_do_as_well() -> None:
    assert repr(bar_chart("t", pd.Series({"x": 1}))) == "t\n  x: 1"
    frame = pd.DataFrame({"rolled_back": [2, 0], "failed": [1, 0]}, index=["w1", "w2"])
    chart = stacked_bar_chart("t", frame.to_dict("index"))
    assert chart.series == ("rolled_back", "failed")
    assert "w1: 2, 1" in repr(chart)
    assert "failed" in chart._repr_html_()


def test_a_status_has_its_own_colour_wherever_it_stands() -> None:
    def colours(*series: str) -> list[str]:
        drawn = stacked_bar_chart("t", {"w1": dict.fromkeys(series, 1)}).to_svg()
        return re.findall(r'<rect [^>]*fill="([^"]+)"', drawn)

    applied, rolled_back, failed = colours("applied", "rolled_back", "failed")
    assert colours("failed", "applied") == [failed, applied]
    assert len({applied, rolled_back, failed, *colours("ann", "bob")}) == 5


def test_labels_are_escaped_everywhere() -> None:
    chart = stacked_bar_chart(HOSTILE, {HOSTILE: {HOSTILE: 1, "b": 2}})
    shown = chart._repr_html_()
    assert "<script" not in shown
    assert not re.search("[\u202e\x1b]", shown)
    assert not re.search("[\u202e\x1b]", repr(chart))
    ET.fromstring(chart.to_svg())


def test_small_values_are_not_told_as_nothing() -> None:
    assert repr(bar_chart("t", {"a": 0.0123})) == "t\n  a: 0.012"


def test_one_series_with_a_name_is_named() -> None:
    assert "rolled_back" in stacked_bar_chart("t", {"w1": {"rolled_back": 1}})._repr_html_()
    assert "figcaption" not in bar_chart("t", {"a": 1})._repr_html_()


def test_nothing_to_show_is_said() -> None:
    assert "nothing to show" in bar_chart("t", {})._repr_html_()


def test_it_needs_nothing_from_the_network() -> None:
    shown = bar_chart("t", {"a": 1})._repr_html_()
    assert set(re.findall(r"https?://[^\"]+", shown)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in shown
