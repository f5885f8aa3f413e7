"""SVG as text: escaped texts, their widths, edges with a wide line to hit, and the frame with its heading. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from migrollback_nb.core.dependency_graph import Edge
from migrollback_nb.core.html import escape
from migrollback_nb.core.text import one_line
from migrollback_nb.display.graph import theme
from migrollback_nb.display.graph.facts import Drawing, node_id
from migrollback_nb.display.graph.short_names import cut

#: A command of a path and its points.
_PART = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_POINT = re.compile(r"-?[0-9.]+,-?[0-9.]+")
#: Space around everything, and the height of a line of the heading.
MARGIN, LINE = 8, 17
#: The widths of letters in Arial, in hundredths of its size; other letters are taken for wide ones.
_WIDTHS = {
    22: "ijl'", 28: " fI!,./:;[]\\t|`", 33: "r()-", 35: "\"{}*", 50: "ckvxyzJs", 72: "wCDHNRU&", 78: "GOQ",
    83: "mM", 94: "W", 102: "@", 56: "abdeghnopqu0123456789_#$?L", 67: "ABEKPSVXY", 61: "FTZ", 58: "<>=+~", 100: "%…",
}  # fmt: skip
_WIDTH = {letter: width / 100 for width, letters in _WIDTHS.items() for letter in letters}
#: DejaVu Sans, where there is no Arial, is so much wider.
_SLACK = 1.13


@lru_cache(maxsize=20_000)
def text_width(text: str, size: float = 12) -> float:
    """About how wide a text is, in pixels, rather too much than too little."""
    width = 0.0
    for letter in text:
        known = _WIDTH.get(letter)
        if known is None:
            known = 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0 if unicodedata.combining(letter) else 0.7
        width += known
    return width * size * _SLACK


def fitting(text: str, width: float, size: float = 12) -> str:
    """A text that is no wider than this: of a wider one beginning and end."""
    while (wide := text_width(text, size)) > width and len(text) > 3:
        text = cut(text, min(len(text) - 1, max(3, int(len(text) * width / wide))))
    return text


def number(value: float) -> str:
    """A coordinate, as short as it is exact enough."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def text(x: float, y: float, words: str, *, cls: str = "", anchor: str = "", size: float | None = None) -> str:
    """One line of text; y is its base line."""
    kind = f' class="{cls}"' if cls else ""
    where = f' text-anchor="{anchor}"' if anchor else ""
    large = f' font-size="{number(size)}"' if size else ""
    return f'<text x="{number(x)}" y="{number(y)}"{kind}{where}{large}>{escape(words)}</text>'


def group(cls: str, body: str, *, name: str | None = None, title: str = "") -> str:
    """A group; name: the migration, or what else is shown, whose node it is."""
    known = f' id="{node_id(name)}"' if name is not None else ""
    return f'<g class="{cls}"{known}>{f"<title>{escape(title)}</title>" if title else ""}{body}</g>'


def from_its_end(path: str) -> str:
    """The same line, drawn from its other end.

    Lines that lead to one migration share their last part. Where each begins its dashes at its own beginning, those of
    one fill the gaps of another, and the part looks solid.

    Examples
    --------
    >>> from_its_end("M0,0C1,1 2,2 3,3L4,4")
    'M4,4L3,3C2,2 1,1 0,0'
    """
    parts = [(found[1], _POINT.findall(found[2])) for found in _PART.finditer(path)]
    if not parts or any(command not in "MLC" for command, _ in parts):
        return path
    points = [point for _, found in parts for point in found]
    drawn, last = f"M{points[-1]}", len(points) - 1
    for command, found in reversed(parts[1:]):
        size = 3 if command == "C" else 1
        for _ in range(len(found) // size):
            drawn += command + " ".join(reversed(points[last - size : last]))
            last -= size
    return drawn


def edge(one: Edge, path: str, *, head: str = "", cls: str = "", title: str | None = None) -> str:
    """The line of one dependency: its reason is its title, and it is known by the ids of its ends.

    Parameters
    ----------
    one : Edge
        The dependency.
    path : str
        What the attribute d of a path takes.
    head : str
        The points of the arrow's head.
    cls : str
        Further classes: falls, needs.
    title : str, optional
        In place of the sentence that says the reason.
    """
    if one.source == "inferred" or one.schema_only:
        path = from_its_end(path)
    kinds = " ".join(["edge", one.source, *(["schema-only"] if one.schema_only else []), *([cls] if cls else [])])
    words = one_line(f"{one.dependent} depends on {one.dependency} ({one.because})") if title is None else title
    return (
        f'<g class="{kinds}" data-dependent="{node_id(one.dependent)}" data-dependency="{node_id(one.dependency)}"'
        f' data-source="{escape(one.source)}" data-schema-only="{str(one.schema_only).lower()}">'
        f'<title>{escape(words)}</title><path d="{path}"/>'
        + (f'<polygon class="head" points="{head}"/>' if head else "")
        + f'<path class="migrollback-wide" d="{path}"/></g>'
    )


def framed(
    body: str,
    width: float,
    height: float,
    *,
    heading: Iterable[str],
    label: str,
    look: str = "auto",
    words: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    edges: Iterable[tuple[str, str]] = (),
) -> Drawing:
    """A picture of its body, under its heading.

    Parameters
    ----------
    body : str
        SVG, from 0, 0 to `width`, `height`.
    heading : iterable of str
        Lines above it.
    label : str
        What a screen reader calls it.
    look : {'auto', 'light', 'dark'}
        The theme.
    words, names : mapping
        See `Drawing`.
    edges : iterable of (str, str)
        Which dependencies are drawn.
    """
    heading = tuple(map(one_line, heading))
    lines = tuple(wrapped(heading, max(width, 840)))
    top = LINE * len(lines) + (6 if lines else 0)
    # the first line is bold
    wide = (
        max(width, *(text_width(line) * (1 if place else 1.1) for place, line in enumerate(lines))) if lines else width
    )
    wide, high = wide + 2 * MARGIN, top + height + 2 * MARGIN
    above = "".join(
        text(MARGIN, MARGIN + LINE * place + 12, line, cls="heading" if not place else "quiet")
        for place, line in enumerate(lines)
    )
    size = f'width="{number(wide)}" height="{number(high)}" viewBox="0 0 {number(wide)} {number(high)}"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{theme.CLASS} mr-{look}" {size} role="img"'
        f' aria-label="{escape(one_line(label))}">'
        f'<style>{theme.css(look)}</style><rect class="paper" width="100%" height="100%"/>'
        f'<g class="lines">{above}</g>'
        f'<g transform="translate({MARGIN} {number(MARGIN + top)})">{body}</g></svg>'
    )
    return Drawing(
        svg=svg,
        width=wide,
        height=high,
        heading=heading,
        words=words or {},
        names=names or {},
        edges=frozenset(edges),
    )


def wrapped(lines: Iterable[str], width: float) -> Iterable[str]:
    """The lines, each broken between words where it is wider than this."""
    for line in lines:
        now = ""
        for word in line.split(" "):
            longer = f"{now} {word}" if now else word
            if now and text_width(longer) > width:
                yield now
                now = word
            else:
                now = longer
        yield now


def count(many: int, one: str, more: str | None = None) -> str:
    """A number with its word.

    Examples
    --------
    >>> count(1, "edge"), count(1200, "edge"), count(2, "dependency", "dependencies")
    ('1 edge', '1,200 edges', '2 dependencies')
    """
    return f"{many:,} {one if many == 1 else more or one + 's'}"
