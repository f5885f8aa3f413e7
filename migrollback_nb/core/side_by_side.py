"""Two texts beside each other, line by line, with the words marked that differ; and as a unified diff. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from migrollback_nb.core import html

#: Lines that stay around a change are shown as far as these.
_CONTEXT = 3
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
#: Lines of more tokens than these are marked as a whole, and blocks of more pairs are not searched for the likest.
_TOKENS, _PAIRS = 400, 2500
#: Lines less alike than this are not two versions of one line.
_ALIKE = 0.35

# Each ground with the ink that reads on it: a page in the dark may not say that it is. What does not know light-dark()
# shows neither.
_INK = "color:light-dark(#1a1a1a,#f0f0f0)"
_REMOVED = f"background:light-dark(#ffebe9,#4a1f1d);{_INK}"
_ADDED = f"background:light-dark(#dafbe1,#173d24);{_INK}"
#: The former is that by which a page in the dark says so.
_CLASS = 'class="migrollback-sql migrollback-diff"'
_REMOVED_WORDS = "text-decoration:underline;font-weight:600;background:light-dark(#ffc1ba,#7a2e2a);color:inherit"
_ADDED_WORDS = "text-decoration:underline;font-weight:600;background:light-dark(#a6f0b9,#1f6a38);color:inherit"
_CODE = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;text-align:left;vertical-align:top"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A line of the old text beside one of the new; None where there is none."""

    old: str | None
    new: str | None
    left_out: int = 0  #: so many lines that both have are left out here, instead of a line

    @property
    def same(self) -> bool:
        """Whether both texts have this line."""
        return self.old == self.new


def pairs(old: str, new: str) -> list[Pair]:
    r"""The lines of two texts beside each other, those far from any change left out.

    Examples
    --------
    >>> [(pair.old, pair.new) for pair in pairs("a\nb int", "a\nb text\nc")]
    [('a', 'a'), ('b int', 'b text'), (None, 'c')]
    """
    before, after = _lines(old), _lines(new)
    found: list[Pair] = []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    blocks = matcher.get_opcodes()
    for place, (what, i, j, k, m) in enumerate(blocks):
        if what == "equal":
            found += _context(before[i:j], is_first=place == 0, is_last=place == len(blocks) - 1)
        else:
            found += _aligned(before[i:j], after[k:m])
    return found


def unified(old: str, new: str) -> list[str]:
    r"""The lines of a unified diff of two texts, with a sign before each, without its heading.

    Examples
    --------
    >>> unified("a\nb int", "a\nb text")
    [' a', '-b int', '+b text']
    """
    found: list[str] = []
    for pair in pairs(old, new):
        if pair.left_out:
            found.append(f"     ({pair.left_out:,} lines that stay)")
        elif pair.same:
            found.append(f" {pair.old}")
        else:
            found += [f"{sign}{line}" for sign, line in (("-", pair.old), ("+", pair.new)) if line is not None]
    return found


def side_by_side(old: str, new: str, headings: tuple[str, str]) -> str:
    """Two texts as one HTML table, old beside new, with the words that differ marked."""
    cell = f'style="{_CODE};width:50%;padding:0 .5em"'
    head = "".join(
        f'<th scope="col" style="text-align:left;padding:0 .5em;overflow-wrap:anywhere">{html.escape(one)}</th>'
        for one in headings
    )
    rows = []
    for pair in pairs(old, new):
        if pair.left_out:
            rows.append(f'<tr><td colspan="2" {cell}>⋮ {pair.left_out:,} lines that stay</td></tr>')
        elif pair.same:
            rows.append(f"<tr><td {cell}>  {html.escape(pair.old)}</td><td {cell}>  {html.escape(pair.new)}</td></tr>")
        else:
            left, right = _marked(pair.old, pair.new)
            rows.append(f"<tr>{_cell(left, '-', _REMOVED)}{_cell(right, '+', _ADDED)}</tr>")
    return (
        f'<table {_CLASS} style="width:100%;table-layout:fixed;border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def one_sided(text: str, *, added: bool) -> str:
    """A text that is there on one side only, as HTML: each line with its sign."""
    sign, ground = ("+", _ADDED) if added else ("-", _REMOVED)
    lines = "".join(f"{sign} {html.escape(line)}\n" for line in _lines(text))
    return f'<pre {_CLASS} style="{_CODE};{ground};overflow:visible;padding:.2em .5em">{lines}</pre>'


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _context(lines: Sequence[str], *, is_first: bool, is_last: bool) -> Iterator[Pair]:
    """Of lines that stay those beside a change."""
    above = 0 if is_first else _CONTEXT
    below = 0 if is_last else _CONTEXT
    if len(lines) <= above + below + 1:
        yield from (Pair(old=line, new=line) for line in lines)
        return
    yield from (Pair(old=line, new=line) for line in lines[:above])
    yield Pair(old=None, new=None, left_out=len(lines) - above - below)
    yield from (Pair(old=line, new=line) for line in lines[len(lines) - below :])


def _aligned(old: Sequence[str], new: Sequence[str]) -> list[Pair]:
    """Lines that differ, each beside the likest of the other side, in the order of both."""
    if not old or not new or len(old) * len(new) > _PAIRS:
        return [Pair(old=one, new=other) for one, other in zip_longest(old, new)]
    words = [[_TOKEN.findall(line) for line in side] for side in (old, new)]
    # best[i][j]: how alike the lines from i and j on can be paired
    best = [[0.0] * (len(new) + 1) for _ in range(len(old) + 1)]
    alike = [[_likeness(one, other) for other in words[1]] for one in words[0]]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], alike[i][j] + best[i + 1][j + 1])
    found = []
    i = j = 0
    while i < len(old) and j < len(new):
        if alike[i][j] and best[i][j] == alike[i][j] + best[i + 1][j + 1]:
            found.append(Pair(old=old[i], new=new[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            found.append(Pair(old=old[i], new=None))
            i += 1
        else:
            found.append(Pair(old=None, new=new[j]))
            j += 1
    return [
        *found,
        *(Pair(old=line, new=None) for line in old[i:]),
        *(Pair(old=None, new=line) for line in new[j:]),
    ]


def _likeness(one: Sequence[str], other: Sequence[str]) -> float:
    """How much of two lines is the same; of two indented ones the first word says most: it is a column's name."""
    first, second = frozenset(one), frozenset(other)
    share = len(first & second) / max(1, len(first | second))
    if len(one) > 1 and one[0].isspace() and one[:2] == other[:2]:
        return max(share, 0.5)
    return share if share >= _ALIKE else 0.0


def _marked(old: str | None, new: str | None) -> tuple[str | None, str | None]:
    """Both lines as HTML, with the words marked that the other has not."""
    if old is None or new is None:
        return (None if old is None else html.escape(old)), (None if new is None else html.escape(new))
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    if max(len(before), len(after)) > _TOKENS:
        return f"<del>{html.escape(old)}</del>", f"<ins>{html.escape(new)}</ins>"
    left, right = [], []
    for what, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        gone, came = html.escape("".join(before[i:j])), html.escape("".join(after[k:m]))
        if what == "equal":
            left.append(gone)
            right.append(came)
            continue
        left.append(f'<del style="{_REMOVED_WORDS}">{gone}</del>' if gone else "")
        right.append(f'<ins style="{_ADDED_WORDS}">{came}</ins>' if came else "")
    return "".join(left), "".join(right)


def _cell(line: str | None, sign: str, ground: str) -> str:
    style = f"{_CODE};width:50%;padding:0 .5em"
    return f'<td style="{style}"></td>' if line is None else f'<td style="{style};{ground}">{sign} {line}</td>'
