"""A table fits the terminal: no word is broken, nothing is lost without a word, and 10,000 rows are no matter."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from migrollback_nb.cli.colours import paint
from migrollback_nb.cli.layout import Column, fitted, rows_of, wrapped
from migrollback_nb.cli.listing import Listing
from migrollback_nb.cli.tables import heading_of, show_table

WORDS = st.text("abc_é表✅", min_size=1, max_size=30)
SENTENCES = st.lists(WORDS, max_size=8).map(" ".join)
ROWS = st.lists(st.tuples(WORDS, st.sampled_from(["applied", "failed"]), SENTENCES, WORDS), min_size=1, max_size=12)


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def columns_of(rows: list[tuple[str, ...]]) -> list[Column]:
    names = ("migration_name", "status", "notes", "applied_by")
    return [
        Column(name, heading_of(name), [row[place] for row in rows], is_text=name == "notes")
        for place, name in enumerate(names)
    ]


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, width=st.integers(20, 200))
def test_whatever_the_width_each_word_that_is_shown_is_whole(rows: list[tuple[str, ...]], width: int) -> None:
    columns = columns_of(rows)
    layout = fitted(columns, width, ("applied_by", "status"))
    left_out = {column.name for column in layout.left_out}
    assert left_out <= {"applied_by", "status"}
    for place in range(len(rows)):
        lines = [
            "  ".join(text + " " * (size - cell_len(text)) for _, text, size in line).rstrip()
            for line in rows_of(layout, place, width)
        ]
        shown = " ".join(lines).split()
        for column in columns:
            if column.name not in left_out:
                assert set(column.cells[place].split()) <= set(shown)
        for line in lines:
            # too long only where a word alone is: nothing that was broken would be whole when it is copied
            longest = max(map(cell_len, line.split()), default=0)
            others = sum(layout.widths[1:]) + 2 * len(layout.widths)
            assert cell_len(line) <= max(width, longest + 4, len("Migration") + others)


def test_the_text_moves_below_its_row_before_a_column_is_left_out() -> None:
    row = ("20250120_add_user_settings", "applied", "a reason in several words, and more of them", "postgres")
    columns = columns_of([row])
    assert fitted(columns, None).below is None
    assert [column.name for column in fitted(columns, 100).columns] == [column.name for column in columns]
    narrow = fitted(columns, 60, ("applied_by",))
    assert (narrow.below, narrow.left_out) == (columns[2], ())
    assert [column.name for column in fitted(columns, 40, ("applied_by",)).left_out] == ["applied_by"]


def test_one_name_that_is_long_has_a_line_of_its_own_and_leaves_the_others_alone() -> None:
    rows = [(f"{number:03}_short_name", "applied", "", "postgres") for number in range(20)]
    rows[7] = ("x" * 220, "failed", "", "postgres")
    layout = fitted(columns_of(rows), 80, ("applied_by",))
    assert layout.left_out == ()
    lines = [[text for _, text, _ in line] for line in rows_of(layout, 7, 80)]
    assert lines == [["x" * 220], ["", "failed", "", "postgres"]]


def test_wrapping_counts_cells_and_keeps_what_is_longer() -> None:
    assert wrapped("表表 表表 abc", 9) == ["表表 表表", "abc"]
    assert wrapped("a " + "x" * 30, 9) == ["a", "x" * 30]
    assert wrapped("", 9) == [""]


def table(listing: Listing, out: io.StringIO) -> str:
    show_table(listing, out)
    return out.getvalue()


LISTING = Listing(
    rows=[
        {
            "migration_name": "20250120_add_user_settings",
            "status": "failed",
            "applied_at": datetime(2025, 1, 20, 14, 30, 5, 123456, tzinfo=UTC),
            "applied_by": "postgres",
            "notes": "line one\nline two\x1b[2J",
            "objects": 12345,
            "recorded": True,
        }
    ],
    columns=("migration_name", "status", "applied_at", "applied_by", "notes", "objects", "recorded"),
    spare=("recorded", "objects", "applied_by"),
)


def test_in_a_pipe_each_row_is_one_line_and_whole() -> None:
    lines = table(LISTING, io.StringIO()).splitlines()
    assert len(lines) == 5
    assert lines[2].split("  ")[0] == "20250120_add_user_settings"
    assert "2025-01-20 14:30:05 UTC" in lines[2]
    assert "line one line two<U+001B>[2J" in lines[2]
    assert "12,345" in lines[2]
    assert lines[-1] == "(1 row)"


def test_what_is_left_out_is_said_and_wide_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    narrow = table(LISTING, Terminal())
    assert narrow.endswith("(1 row)\nNot shown in 60 columns: Applied by, Objects, Recorded.\n--wide shows all\n")
    assert "\n    line one line two<U+001B>[2J\n" in narrow
    assert max(map(len, narrow.splitlines()[:-1])) <= 60
    wide = Listing(rows=LISTING.rows, columns=LISTING.columns, wide=True)
    assert table(wide, Terminal()) == table(LISTING, io.StringIO())


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_status_has_a_colour_on_a_terminal_alone(environment, coloured, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    assert ("\x1b[31mfailed\x1b[0m" in table(LISTING, Terminal())) is coloured
    assert ("\x1b" in table(LISTING, Terminal())) is coloured
    assert "\x1b" not in table(LISTING, io.StringIO())
    assert paint("ready", "good", io.StringIO()) == "ready"


def test_ten_thousand_rows_take_no_time() -> None:
    row = LISTING.rows[0]
    many = Listing(
        rows=[row | {"migration_name": f"{number:06}_x"} for number in range(10_000)], columns=LISTING.columns
    )
    out = io.StringIO()
    began = time.process_time()
    show_table(many, out)
    assert time.process_time() - began < 2, "rich's own tables take 20 s for them"
    assert out.getvalue().count("\n") == 10_004
