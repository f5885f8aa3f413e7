"""Every value is escaped, and none changes how the rest is read."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrollback_nb.core import html

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
        lambda value: html.definitions([(value, value)]),
        lambda value: html.warnings([value]),
        html.sql,
        lambda value: html.banner(value, html.BAD),
    ],
    ids=["definitions", "warnings", "sql", "banner"],
)
def test_a_value_makes_no_element_and_no_attribute(make, value):
    hostile, plain = Reader(make(value)), Reader(make("plain"))
    assert set(hostile.tags) <= set(plain.tags) | {"span"}  # the highlighter's
    assert set(hostile.attributes) <= set(plain.attributes) | {"style"}
    assert html.visible(value).strip() in hostile.text


@given(st.text())
def test_escaped_text_reads_as_it_was(text):
    assert Reader(f"<p>{html.escape(text)}</p>").text == html.visible(text)


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\r", "\u200e", "\u202a", "\u202e", "\u2066", "\u2069", "\u061c"],
)
def test_control_and_bidirectional_characters_are_shown_by_name(character):
    assert html.visible(f"a{character}b") == f"a<U+{ord(character):04X}>b"


@pytest.mark.parametrize("text", ["žluťoučký kůň", "日本語", "🐎", "a\tb\nc", "עברית"])
def test_ordinary_text_is_left_alone(text):
    assert html.visible(text) == text


def test_no_warnings_no_list():
    assert html.warnings([]) == ""


def luminance(colour):
    colour = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


SQL = """-- a comment
DO $body$ BEGIN RAISE WARNING 'it''s %', 1 + 2.5; END $body$;
CREATE TABLE public."Mixed" (id bigint PRIMARY KEY, t text DEFAULT E'a\\n', b bit = B'1', d date); /* more */
UPDATE t SET x = $1 WHERE y IS NOT NULL AND z @> '{}'::jsonb; \\d :variable ?"""


def test_sql_reads_on_white_and_in_the_dark():
    made = html.sql(SQL)
    (ground, ink), *colours = re.findall(r"light-dark\((#\w+),(#\w+)\)", re.sub("<span[^>]*> +</span>", "", made))
    assert len(colours) > 10
    assert "color: #" not in made
    for light, dark in colours:
        assert contrast(light, ground) >= 4.5, light
        assert contrast(dark, ink) >= 4.5, dark
    assert (ground, ink) == ("#ffffff", "#1e1e1e")
    # where nothing is known of light and dark: black on white
    assert made.index("background:#ffffff;color:#1a1a1a;") < made.index("light-dark")


def test_sql_that_looks_like_a_colour_stays_as_it_is():
    text = "SELECT '<span style=\"color: #008000'"
    assert text in Reader(html.sql(text)).text


@pytest.mark.parametrize("made", [html.sql(SQL), html.preformatted("x" * 1000)], ids=["sql", "text"])
def test_no_text_scrolls(made):
    # whatever the page says of <pre>; what scrolls would have to be reached by keyboard
    assert re.findall(r"overflow(?:-[xy])?:[^;\"]*", made) == ["overflow:visible"]
    assert "white-space:pre-wrap" in made
