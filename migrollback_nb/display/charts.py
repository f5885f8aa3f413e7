"""Small bar charts as SVG: no library, no script, readable in light and dark and on paper. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migrollback_nb.core import html
from migrollback_nb.core.kinds import KIND

#: Of one bar, in pixels of the drawing.
_HEIGHT = 22
_LABEL = 260
_BARS = 380
_NUMBER = 110
#: Of a series that is a status, a verdict or a grade, by its kind.
_OF_KIND = {"good": "#2f8f4e", "bad": "#c62828", "careful": "#9a7400", "quiet": "#7a7a7a"}
#: Of the others. All read on white and on black; each bar has its numbers beside it, in the order of the series.
_COLOURS = ("#3b7dd8", "#b3261e", "#8a6d00")


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Values as horizontal bars, each with its label and its number as text."""

    title: str  #: what is shown
    rows: tuple[tuple[str, tuple[float, ...]], ...]  #: (label, a value for each series), from top to bottom
    series: tuple[str, ...]  #: what the values of one row are, side by side
    unit: str = ""  #: stands behind each number

    def __repr__(self) -> str:
        lines = [
            html.visible(self.title),
            *(
                f"  {html.visible(label)}: {', '.join(self._number(value) for value in values)}"
                for label, values in self.rows
            ),
        ]
        return "\n".join(lines)

    def _number(self, value: float) -> str:
        text = f"{value:,.0f}" if value == int(value) else f"{value:,.1f}" if abs(value) >= 1 else f"{value:.2g}"
        return f"{text} {self.unit}".strip()

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{html.escape(self.title)}: nothing to show.</p>"
        return f'<figure style="margin:.6em 0">{self.to_svg()}{self._legend()}</figure>'

    def _legend(self) -> str:
        if self.series in ((), ("",)):
            return ""
        marks = " ".join(
            '<span><span aria-hidden="true"'
            f' style="display:inline-block;width:.9em;height:.9em;background:{_colour(name, place)}"></span>'
            f" {html.escape(name)}</span>"
            for place, name in enumerate(self.series)
        )
        return f"<figcaption>{marks}</figcaption>"

    def to_svg(self) -> str:
        """The drawing; text and lines take the colour of the text around it. Does not write."""
        largest = max((sum(values) for _, values in self.rows), default=0) or 1
        height = _HEIGHT * len(self.rows) + 28
        width = _LABEL + _BARS + _NUMBER
        parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}"'
                ' style="max-width:100%;height:auto" font-family="sans-serif" font-size="12"'
                f' fill="currentColor"><title>{html.escape(self.title)}</title>'
            ),
            f'<text x="0" y="14" font-weight="600">{html.escape(self.title)}</text>',
        ]
        for place, (label, values) in enumerate(self.rows):
            top = 24 + place * _HEIGHT
            shown = label if len(label) <= 40 else label[:39] + "…"
            values_text = ", ".join(
                f"{name} {self._number(value)}" for name, value in zip(self.series, values, strict=True)
            )
            parts.append(f"<g><title>{html.escape(f'{label}: {values_text}')}</title>")
            parts.append(f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{html.escape(shown)}</text>')
            left = float(_LABEL)
            for series, value in enumerate(values):
                wide = value / largest * _BARS
                if wide > 0:
                    parts.append(
                        f'<rect x="{left:.1f}" y="{top + 3}" width="{max(wide, 1):.1f}" height="{_HEIGHT - 7}"'
                        f' fill="{_colour(self.series[series], series)}"/>'
                    )
                left += wide
            numbers = " / ".join(self._number(value) for value in values)
            parts.append(f'<text x="{left + 6:.1f}" y="{top + 14}">{html.escape(numbers)}</text></g>')
        return "".join(parts) + "</svg>"


def _colour(name: str, place: int) -> str:
    return _OF_KIND[KIND[name]] if name in KIND else _COLOURS[place % 3]


def bar_chart(title: str, values: Mapping[str, float] | Iterable[tuple[str, float]], *, unit: str = "") -> BarChart:
    """One bar for each value.

    Parameters
    ----------
    title : str
        What is shown.
    values : mapping or iterable of pairs
        Label -> value, from top to bottom; a pandas Series does as well.
    unit : str
        Stands behind each number.

    Examples
    --------
    >>> bar_chart("Rollbacks", {"week 1": 3, "week 2": 0})
    Rollbacks
      week 1: 3
      week 2: 0
    """
    pairs = values.items() if hasattr(values, "items") else values
    return BarChart(
        title=title, rows=tuple((str(label), (float(value),)) for label, value in pairs), series=("",), unit=unit
    )


def stacked_bar_chart(title: str, rows: Mapping[str, Mapping[str, float]], *, unit: str = "") -> BarChart:
    """One bar for each row, made of the values of several series.

    Parameters
    ----------
    title : str
        What is shown.
    rows : mapping of mappings
        Label -> series -> value. Of a DataFrame: ``frame.to_dict("index")``.
    unit : str
        Stands behind each number.
    """
    series = tuple(dict.fromkeys(str(name) for values in rows.values() for name in values))
    return BarChart(
        title=title,
        rows=tuple(
            (str(label), tuple(float(values.get(name, 0)) for name in series)) for label, values in rows.items()
        ),
        series=series,
        unit=unit,
    )
