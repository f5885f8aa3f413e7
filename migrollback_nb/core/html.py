"""Small pieces of HTML that read in light and dark; every value is escaped. Pure."""

from __future__ import annotations

import colorsys
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from migrollback_nb.core import text as texts
from migrollback_nb.core.passwords import mask_passwords

visible = texts.visible

#: Foreground and background that read in both themes.
GOOD = "color:#0b3d1a;background:#d7f5dd"
CAREFUL = "color:#3d2b00;background:#ffe9b8"
BAD = "color:#ffffff;background:#b3261e"
#: Neither good nor bad.
QUIET = "color:#333333;background:#e4e4e4"

#: As html.escape() has them: its module brings all names of characters, which takes as long as ten of ours.
_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
#: The ground of SQL in a dark page.
_DARK = "#1e1e1e"
# Every line is wrapped, so nothing scrolls. JupyterLab lets each <pre> scroll, and one whose glyphs are higher than its
# lines would, out of the keyboard's reach.
_WRAPPED = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;overflow:visible"
_DESTROYS = re.compile(r"\b(?:DROP|DELETE|TRUNCATE|CASCADE)\b", re.IGNORECASE)
_KEYWORD = re.compile(r">(DROP|DELETE|TRUNCATE|CASCADE)<", re.IGNORECASE)
_COLOURED = re.compile('(<span style="color: )(#[0-9A-Fa-f]{6}|#[0-9A-Fa-f]{3})(?![0-9A-Fa-f])')


def escape(text: object) -> str:
    """Escape a value for HTML, quotes included, unsafe characters made visible."""
    return visible(str(text)).translate(_MARKS)


def definitions(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns: what, and its value. Line breaks in a value are kept."""
    body = "".join(
        f'<tr><th scope="row" style="text-align:left;vertical-align:top;padding-right:1em">{escape(name)}</th>'
        f'<td style="text-align:left;white-space:pre-wrap;overflow-wrap:anywhere">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table>{body}</table>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under headings. Line breaks in a value are kept."""
    cell = 'style="text-align:left;vertical-align:top;white-space:pre-wrap;padding-right:1em"'
    head = "".join(f'<th scope="col" {cell}>{escape(heading)}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f"<td {cell}>{escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def to_json_line(value: Any) -> str:
    """A value as JSON in one line, for people to read."""
    return json.dumps(value, ensure_ascii=False, default=str)


def warnings(texts: Iterable[str]) -> str:
    """A list of warnings; nothing for none."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul style="{CAREFUL};padding:.4em 2em">{items}</ul>' if items else ""


def banner(text: str, style: str) -> str:
    """One line that must be seen, in one of the styles above."""
    look = f"{style};padding:.4em .8em;font-weight:600;overflow-wrap:anywhere"
    return f'<div role="status" style="{look}">{escape(text)}</div>'


def preformatted(text: str) -> str:
    """Text with its line breaks, in the font of code; escaped."""
    return f'<pre style="{_WRAPPED}">{escape(text)}</pre>'


def destroying_words(text: str) -> dict[str, int]:
    """How often SQL says what destroys: DROP, DELETE, TRUNCATE, CASCADE; also in comments and texts.

    Examples
    --------
    >>> destroying_words("DROP TABLE a, b CASCADE; drop view c")
    {'DROP': 2, 'CASCADE': 1}
    """
    said = Counter(word.upper() for word in _DESTROYS.findall(text))
    return {word: said[word] for word in ("DROP", "DELETE", "TRUNCATE", "CASCADE") if said[word]}


def sql(text: str, *, marked: bool = False) -> str:
    """SQL, highlighted by Pygments where that is installed, else plain; escaped either way.

    marked: what destroys (DROP, DELETE, TRUNCATE, CASCADE) has a ground of its own.
    """
    text = mask_passwords(visible(text))
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers.sql import PostgresLexer
    except ModuleNotFoundError:
        return preformatted(text)
    # `noclasses`: no style sheet is needed, so it reads in an exported page too; colours that hold 4.5:1 on white,
    # hence the pinned background. The class is for pages that know whether they are dark: they say it by
    # `color-scheme`. A browser without light-dark() shows black on white.
    formatter = HtmlFormatter(
        noclasses=True,
        style="default",
        cssclass="migrollback-sql",
        cssstyles=(
            f"background:#ffffff;color:#1a1a1a;background:light-dark(#ffffff,{_DARK});"
            "color:light-dark(#1a1a1a,#e6e6e6);padding:.6em"
        ),
        # JupyterLab would break words anywhere, Voila take another font
        prestyles=f"font-family:monospace;{_WRAPPED}",
        nobackground=True,
    )
    # what looks like a tag is one: the text is escaped
    coloured = _COLOURED.sub(
        lambda found: f"{found[1]}light-dark({found[2]},{_on_dark(found[2])})",
        str(highlight(text, PostgresLexer(), formatter)),
    )
    # keywords have a tag of their own: what stands in a text or a comment has not
    return _KEYWORD.sub(rf'><span style="{BAD}">\1</span><', coloured) if marked else coloured


def _on_dark(colour: str) -> str:
    """The same hue, so light that it reads on a dark ground."""
    size = len(colour) // 3
    hue, _, saturation = colorsys.rgb_to_hls(
        *(int(colour[place : place + size], 16) / (16**size - 1) for place in range(1, len(colour), size))
    )
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, 0.78, min(saturation, 0.8)))


def section(title: str, body: str, *, is_open: bool = True) -> str:
    """A part that opens and closes, by keyboard too; its body is HTML already."""
    summary = f'<summary style="font-weight:600;margin:.6em 0 .2em;overflow-wrap:anywhere">{escape(title)}</summary>'
    return f"<details{' open' if is_open else ''}>{summary}{body}</details>"
