"""Files that their tool cuts line by line, in whatever order the parts stand: Play evolutions, rambler. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from migrollback_nb.files import not_read
from migrollback_nb.files.block import BlockSource, block_source
from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.parsing.statements import SqlText

#: Tool -> (the lines that it takes for marks, which of them begin the part that does, and the one that undoes).
_CUTS = {
    "Play": (re.compile(r"(?:#|--).*!(Ups|Downs)\b.*"), "Ups", "Downs"),
    "rambler": (re.compile(r"-- rambler(?:[ \t]*(up|down)[ \t]*|.*)"), "up", "down"),
}
_DOWN_WORDS = {"Play": "-- !Downs", "rambler": "-- rambler down"}
#: Without one of these a text holds no such mark: most files need no closer look.
_WORDS = ("!Ups", "!Downs", "-- rambler")


def cut_by(text: str) -> str | None:
    r"""Whose marks, that count wherever a line begins with them, a file holds; None where it holds none. Pure.

    Examples
    --------
    >>> cut_by("# --- !Ups\nCREATE TABLE t ();\n# --- !Downs\nDROP TABLE t;")
    'Play'
    """
    if not any(word in text for word in _WORDS):
        return None
    comments = {comment.line for comment in SqlText(text).comments if comment.is_line_comment}
    for number, line in enumerate(text.split("\n"), 1):
        if number in comments or line.startswith("#"):  # never inside a string, where they are data
            for tool, (mark, _, _) in _CUTS.items():
                if (found := mark.fullmatch(line)) is not None and found[1]:
                    return tool
    return None


@dataclass(frozen=True, kw_only=True)
class CutFile(MigrationFile):
    """One file of such a tool: the parts that do, joined, and the parts that undo."""

    written_for: str  #: the tool

    @property
    def tool(self) -> str:
        """The tool that the file is written for."""
        return self.written_for

    @property
    def number(self) -> tuple[int, ...] | None:
        """Play orders by number, rambler by name."""
        return (int(self.version or "0"),) if self.written_for == "Play" else None

    @cached_property
    def _whole(self) -> SqlText:
        # what begins with # is a comment to Play alone
        return SqlText(re.sub(r"(?m)^#", "--", self.text) if self.written_for == "Play" else self.text)

    def _sections(self) -> Iterator[tuple[str | None, int, list[str]]]:
        """(What the mark above says, the line of the first, the lines) of each part; above the first mark, None."""
        mark, does, undoes = _CUTS[self.written_for]
        said, first, lines = None, 1, list[str]()
        for number, line in enumerate(self.text.split("\n"), 1):
            found = mark.fullmatch(line)
            if found is None:
                lines.append(line)
                continue
            yield said, first, lines
            said, first, lines = found[1] if found[1] in (does, undoes) else "", number + 1, []
        yield said, first, lines

    @cached_property
    def _parts(self) -> tuple[str, str | None, int]:
        """(What does, what undoes or None, the line of the first mark of that), each line where it stands."""
        _, does, undoes = _CUTS[self.written_for]
        up: list[str] = []
        downs: list[list[str]] = []
        place = 0
        for said, first, lines in self._sections():
            above = SqlText("\n".join(line for line in lines if not line.startswith("#")))
            if said is None and (at := above.code_after(0)) is not None:
                raise self._error(
                    f"a statement above the first mark of {self.written_for}",
                    line=above.line_of(at),
                    hint=f"Move it below: {self.written_for} does not run it there.",
                )
            if said == does:
                up += [""] * (first - 1 - len(up)) + lines
            elif said == undoes:
                place = place or first - 1
                downs.append([""] * (first - 1) + lines if not downs else lines)
        # rambler undoes in the other order; the lines of several parts are not where they stand any more
        down = [line for part in (reversed(downs) if self.written_for == "rambler" else downs) for line in part]
        texts = ["\n".join(up), "\n".join(down)]
        if self.written_for == "Play":  # two semicolons are one that ends no statement
            texts = [text.replace(";;", ";") for text in texts]
        return texts[0], texts[1] if downs else None, place

    def _refuse_native(self) -> None:
        if (markers := self._markers) is not None:
            raise self._error(
                f"a block of -- ROLLBACK START in a file of {self.written_for}, which would run it",
                line=markers[0].line,
                hint=f"Move it below {_DOWN_WORDS[self.written_for]}, without these marks.",
            )

    @cached_property
    def up(self) -> SqlText:
        """The up migration: what stands below the marks that do."""
        self._refuse_native()
        return SqlText(self._parts[0])

    @property
    def _marked(self) -> not_read.Refusal | None:
        return not_read.marked(self.up)  # the tool's own marks are cut off

    def _says_transaction(self) -> bool | None:
        said = super()._says_transaction()
        # both send statement by statement, in no transaction: what PostgreSQL refuses in one runs in none
        return False if said is None and self.up_refused_in_transaction else said

    def _block_source(self) -> BlockSource | None:
        self._refuse_native()
        text = self._parts[1]
        if text is None:
            return None
        return block_source(
            SqlText(text), 0, len(text.encode()), path=self.path, transaction=None, live=True, comments_count=False
        )

    def block_marks(self, *, no_transaction: bool) -> tuple[str, str]:  # noqa: ARG002  # the same for both
        """The tool's own mark; it has none for a transaction."""
        return _DOWN_WORDS[self.written_for], ""

    @property
    def block_place(self) -> str | None:
        """Below the mark that is there already, where one is."""
        if self._parts[1] is None:
            return None
        return (
            f"{self.path}:{self._parts[2]}: what follows is {self.written_for}'s rollback block: this is to take its"
            " place"
        )

    def with_rollback(self, text: str) -> MigrationFile:
        """The same migration with another text, mark included, that undoes it."""
        mark, _, undoes = _CUTS[self.written_for]
        kept, dropping = [], False
        for line in self.text.split("\n"):
            if (found := mark.fullmatch(line)) is not None:
                dropping = found[1] == undoes
            if not dropping:
                kept.append(line)
        return replace(self, text="\n".join(kept).rstrip() + f"\n\n{text}\n")
