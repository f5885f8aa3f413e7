"""How a table fits a terminal: which columns, how wide, what moves to a line of its own. No word is broken. Pure.

rich counts the cells of a terminal and wraps. Its Table is not used: it takes 2 ms for each row, 20 s for 10,000.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

#: Blanks between two columns, and before what stands on a line of its own.
GAP = 2
INDENT = "    "
#: The least width in which a text is set beside other columns.
_LEAST_TEXT = 24
#: So many in a hundred of the names decide the width of their column; a longer one has a line of its own.
_MOST = 90


@dataclass(frozen=True)
class Column:
    """One column: its heading and its cells, as text.

    Parameters
    ----------
    is_text : bool
        Whether its cells are sentences, that may be wrapped.
    is_number : bool
        Whether they stand at the right.
    """

    name: str
    heading: str
    cells: Sequence[str] = field(repr=False)
    is_text: bool = False
    is_number: bool = False

    @cached_property
    def lengths(self) -> list[int]:
        """Cells of the terminal that each takes."""
        from rich.cells import cell_len

        return [len(cell) if cell.isascii() and cell.isprintable() else cell_len(cell) for cell in self.cells]

    def padded(self, place: int, width: int) -> str:
        """A cell with the blanks that fill a width."""
        blanks = " " * (width - self.lengths[place])
        return blanks + self.cells[place] if self.is_number else self.cells[place] + blanks

    @cached_property
    def natural(self) -> int:
        """The width in which nothing is wrapped."""
        return max(len(self.heading), *self.lengths, 0) if self.cells else len(self.heading)

    @cached_property
    def least(self) -> int:
        """The width in which no word is broken."""
        heading = max(len(word) for word in self.heading.split())
        if not self.is_text:
            return max(heading, *self.lengths) if self.cells else heading
        words = max((len(word) for cell in self.cells for word in cell.split()), default=0)
        return min(max(heading, words, _LEAST_TEXT), self.natural)

    @cached_property
    def usual(self) -> int:
        """The width that most cells need."""
        ordered = sorted(self.lengths)
        return max(len(self.heading), ordered[(len(ordered) - 1) * _MOST // 100] if ordered else 0)


@dataclass(frozen=True)
class Layout:
    """What fits."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    below: Column | None  #: stands on a line of its own below each row
    left_out: tuple[Column, ...]

    @property
    def width(self) -> int:
        """Of the whole table."""
        return sum(self.widths) + GAP * (len(self.widths) - 1)


def fitted(columns: Sequence[Column], width: int | None, spare: Sequence[str] = ()) -> Layout:
    """Fit columns into a width: narrower texts first, then the text below its row, then without the spare columns.

    Parameters
    ----------
    columns : sequence of Column
        The first holds the names.
    width : int or None
        Of the terminal; None: as wide as it takes.
    spare : sequence of str
        Columns that can be left out, in the order in which they are.
    """
    kept = list(columns)
    if width is None:
        return Layout(tuple(kept), tuple(column.natural for column in kept), None, ())
    below, out, left = None, [], list(spare)
    while _needed(kept) > width:
        text = next((column for column in kept[1:] if column.is_text), None)
        gone = next((column for name in left for column in kept if column.name == name), None)
        if text is not None and below is None:
            below = text
            kept.remove(text)
        elif gone is not None:
            kept.remove(gone)
            out.append(gone)
        else:
            break
    ordered = tuple(column for column in columns if column in out)
    return Layout(tuple(kept), _widths(kept, width), below, ordered)


def _least(kept: Sequence[Column]) -> list[int]:
    return [min(kept[0].usual, kept[0].natural), *(column.least for column in kept[1:])]


def _needed(kept: Sequence[Column]) -> int:
    return sum(_least(kept)) + GAP * (len(kept) - 1)


def _widths(kept: Sequence[Column], width: int) -> tuple[int, ...]:
    """Each as wide as it must be, and what is left for the first that can use it; texts come last."""
    widths = _least(kept)
    over = width - GAP * (len(kept) - 1) - sum(widths)
    if over < 0:  # names alone are longer: they have a line of their own
        widths[0] = max(widths[0] + over, len(kept[0].heading))
        return tuple(widths)
    for place in sorted(range(len(kept)), key=lambda place: (kept[place].is_text, place)):
        more = min(over, kept[place].natural - widths[place])
        if more > 0 and (place > 0 or more == kept[0].natural - widths[0]):
            widths[place] += more
            over -= more
    return tuple(widths)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of a text, broken between words only; one that is longer than the width stays whole."""
    from rich.cells import cell_len

    lines: list[str] = []
    for word in text.split():
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def rows_of(layout: Layout, place: int, width: int | None) -> Iterator[list[tuple[Column | None, str, int]]]:
    """The lines of one row: each a list of (column, text, width), whose last is not padded."""
    cells = [column.cells[place] for column in layout.columns]
    first = layout.columns[0]
    if first.lengths[place] > layout.widths[0]:
        yield [(first, cells[0], 0)]
        cells[0] = ""
    parts = [
        wrapped(cell, size) if column.is_text and column.lengths[place] > size else [cell]
        for column, cell, size in zip(layout.columns, cells, layout.widths, strict=True)
    ]
    for line in range(max(map(len, parts))):
        yield [
            (column, part[line] if line < len(part) else "", size)
            for column, part, size in zip(layout.columns, parts, layout.widths, strict=True)
        ]
    if layout.below is not None and (text := layout.below.cells[place]) not in ("", "-"):
        for line_of_text in wrapped(text, (width or 0) - len(INDENT)):
            yield [(None, INDENT + line_of_text, 0)]
