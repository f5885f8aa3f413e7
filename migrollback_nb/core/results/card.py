"""The verdict card: what a rollback takes, loses, breaks and locks, the same in panel, notebook and report. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrollback_nb.core import html
from migrollback_nb.core.results.card_steps import CardStep, steps_html

#: How many of a kind the card names; the rest is counted, and stands in the details.
SHOWN = 5
#: The class by which a page finds a card.
CSS_CLASS = "migrollback-card"
_CELL = "text-align:left;vertical-align:top;padding:.15em .8em .15em 0;white-space:normal;overflow-wrap:anywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLine:
    """One row of a card: what is said, and of what."""

    label: str  #: a word or two: Loses, Breaks, Longest lock ...
    texts: tuple[str, ...]  #: a line each
    harm: str | None = (
        None  #: the kind of effect that a person accepts by a tick; None where there is nothing to accept
    )

    @property
    def sentence(self) -> str:
        """Label and texts in one line, as far as they are few."""
        return f"{self.label} {'; '.join(few(self.texts, 3))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictCard:
    """What is known of one rollback, on one card."""

    names: tuple[str, ...]  #: the migrations, in the order in which they are rolled back
    verdict: str  #: as of an assessment, or: fails, unknown
    headline: str  #: the verdict in one line
    mark: str  #: one sign for it
    style: str  #: colours of the heading
    lines: tuple[CardLine, ...] = ()  #: what it does, the worst first
    steps: tuple[CardStep, ...] = ()  #: of several migrations a row each; none of a single one

    @property
    def title(self) -> str:
        """The migration, or how many of them."""
        return self.names[-1] if len(self.names) == 1 else f"{len(self.names)} migrations down to {self.names[-1]}"

    @property
    def heading(self) -> str:
        """Sign, migration and verdict in one line."""
        return f"{self.mark} {self.title}: {self.headline}"

    @property
    def harms(self) -> tuple[CardLine, ...]:
        """What a person accepts, a tick each."""
        return tuple(line for line in self.lines if line.harm is not None)

    def to_lines(self) -> tuple[str, ...]:
        """The card as text: the heading, and a line for each thing said."""
        said = [f"   {line.label}: {text}" for line in self.lines for text in few(line.texts, SHOWN)]
        return (self.heading, *said)

    def to_html(self, *, details: str = "", folded: bool = True) -> str:
        """The card as HTML.

        Parameters
        ----------
        details : str
            HTML that stands below it, behind one line to open.
        folded : bool
            False: that line is open.
        """
        rows = "".join(
            f'<tr><th scope="row" style="{_CELL};white-space:nowrap">{html.escape(line.label)}</th>'
            f'<td style="{_CELL}">{_texts(line.texts)}</td></tr>'
            for line in self.lines
        )
        more = (
            f'<details{"" if folded else " open"}><summary style="padding:.2em 0">Details</summary>{details}</details>'
            if details
            else ""
        )
        # a name longer than a line begins beside its mark
        heading = html.escape(self.heading.replace(f"{self.mark} ", f"{self.mark}\u00a0", 1))
        body = (f"<table>{rows}</table>" if rows else "") + (steps_html(self.steps) if self.steps else "") + more
        return (
            f'<div class="{CSS_CLASS}" role="region" aria-label="{html.escape(f"Verdict on {self.title}")}"'
            f' style="border:1px solid #808080;line-height:1.4">'
            f'<div role="heading" aria-level="4" style="{self.style};padding:.4em .8em;font-weight:600;'
            f'overflow-wrap:anywhere">{heading}</div>'
            + (f'<div style="padding:.3em .8em">{body}</div></div>' if body else "</div>")
        )

    def _repr_html_(self) -> str:
        return self.to_html()


def few(texts: Sequence[str], most: int) -> tuple[str, ...]:
    """The first of many, and how many more there are."""
    if len(texts) <= most:
        return tuple(texts)
    if most == 1:
        return (f"{texts[0]} and {len(texts) - 1:,} more",)
    return (*texts[: most - 1], f"and {len(texts) - most + 1:,} more")


def _texts(texts: Sequence[str]) -> str:
    return "".join(f'<div style="white-space:pre-wrap">{html.escape(text)}</div>' for text in few(texts, SHOWN))
