"""Every value is escaped, and none changes how the rest is read."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrollback_nb import html

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE users; --",
    "&lt;",
    "</pre></td></table><b>",
    "a\u202eb",
    "\x1b[2J",
    "\u2066x\u2069",
    "</style>",
    "<!--",
]


class Reader(HTMLParser):
    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.attributes = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "make",
    [
        lambda value: html.definitions([(value, value)]), lambda value: html.warnings([value]), html.sql, lambda value: html.banner(value, html.BAD),
    ],
    ids=["definitions", "warnings", "sql", "banner"],
)  # fmt: skip
def test_a_value_makes_no_element_and_no_attribute(make, value):
    hostile, plain = Reader(make(value)), Reader(make("plain"))
    assert set(hostile.tags) <= set(plain.tags) | {"span"}  # the highlighter's
    assert set(hostile.attributes) <= set(plain.attributes) | {"style"}
    assert html.visible(value).strip() in hostile.text


@given(st.text())
def test_escaped_text_reads_as_it_was(text):
    assert Reader(f"<p>{html.escape(text)}</p>").text == html.visible(text)


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\r", "\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\u061c"])
def test_control_and_bidirectional_characters_are_shown_by_name(character):
    assert html.visible(f"a{character}b") == f"a<U+{ord(character):04X}>b"


@pytest.mark.parametrize("text", ["žluťoučký kůň", "日本語", "🐎", "a\tb\nc", "עברית"])
def test_ordinary_text_is_left_alone(text):
    assert html.visible(text) == text


def test_no_warnings_no_list():
    assert html.warnings([]) == ""
