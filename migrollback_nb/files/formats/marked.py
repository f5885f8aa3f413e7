"""Files in which a comment of another tool begins the rollback block. Pure.

dbmate, goose, sql-migrate, tern, node-pg-migrate, MyBatis Migrations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from migrollback_nb.files.block import BlockSource, block_source
from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.files.tools import MARKS, Marks
from migrollback_nb.parsing.statements import Comment, SqlText


@dataclass(frozen=True, kw_only=True)
class MarkedFile(MigrationFile):
    """One file of another tool, with what undoes it below the tool's own mark.

    A native rollback block in it comes first: it is there on purpose.
    """

    written_for: str  #: the tool, a key of `other_tools.MARKS`

    @property
    def tool(self) -> str:
        """The tool that the file is written for."""
        return self.written_for

    @property
    def number(self) -> tuple[int, ...] | None:
        """What the tool orders its files by; None where it is the name."""
        return (int(self.version or "0"),) if self._own.by_number else None

    @property
    def _own(self) -> Marks:
        return MARKS[self.written_for]

    @cached_property
    def _cuts(self) -> tuple[Comment | None, Comment | None, bool, bool]:
        """(Mark of the up migration, mark of the rollback block, whether each of them runs outside a transaction)."""
        own = self._own
        up: Comment | None = None
        down: Comment | None = None
        outside = {"up": False, "down": False}
        for comment in self._whole.comments:
            if not comment.is_line_comment:
                continue
            if own.unreadable is not None and own.unreadable.match(comment.text):
                raise self._error(
                    f"{comment.text.strip()} is {self.written_for}'s own to carry out",
                    line=comment.line,
                    hint="Write the values out: here they are not put in.",
                )
            is_up = own.up is not None and own.up.match(comment.text) is not None
            is_down = own.down.match(comment.text) is not None
            if is_up or is_down:
                self._refuse_order(comment, up, down, is_up=is_up)
                up, down = (up or comment, down) if is_up else (up, down or comment)
            if own.no_transaction is not None and own.no_transaction.match(comment.text):
                for part in ("up",) if is_up else ("down",) if is_down else ("up", "down"):
                    outside[part] = True
        if up is not None and (head := self._whole.code_after(0)) is not None and head < up.start:
            raise self._error(
                f"a statement above {up.text.strip()}",
                line=self._whole.line_of(head),
                hint=f"Move it below: {self.written_for} does not run it there.",
            )
        return up, down, outside["up"], outside["down"]

    def _refuse_order(self, mark: Comment, up: Comment | None, down: Comment | None, *, is_up: bool) -> None:
        """Raise where a mark comes a second time and its tool does not join what follows, or in the wrong order."""
        before, own = up if is_up else down, self._own
        if before is not None and not own.repeats:
            raise self._error(
                f"a second {mark.text.strip()} (the first is in line {before.line})",
                line=mark.line,
                hint="A migration has one part that does and one that undoes: join them.",
            )
        if is_up and down is not None:
            raise self._error(
                f"{mark.text.strip()} stands below {down.text.strip()}",
                line=mark.line,
                hint="Put the part that does above the one that undoes.",
            )

    @cached_property
    def _down(self) -> Comment | None:
        """The mark of the rollback block, where that is the tool's; None where it is a native one, or there is none."""
        down = self._cuts[1]
        markers = self._markers
        if down is None or markers is None:
            return down
        block = markers[0]
        between = self._whole.code_after(down.end) if down.start < block.start else None
        if between is not None and between < block.start:
            raise self._error(
                f"two rollback blocks: below {down.text.strip()} and between -- ROLLBACK START and -- ROLLBACK END",
                line=block.line,
                hint=f"Keep one of them; the rollback block may also stand around what is below {down.text.strip()}.",
            )
        return None

    @cached_property
    def up(self) -> SqlText:
        """The up migration: all that stands above the part that undoes."""
        return super().up if self._down is None else self._whole.part(0, self._down.start)

    def _says_transaction(self) -> bool | None:
        said = super()._says_transaction()
        return False if said is None and self._cuts[2] else said

    def _block_source(self) -> BlockSource | None:
        if self._down is None:
            return super()._block_source()
        return block_source(
            self._whole,
            self._down.end,
            len(self.text.encode()),
            path=self.path,
            transaction=not self._cuts[3],
            live=True,
            comments_count=False,
        )

    def block_marks(self, *, no_transaction: bool) -> tuple[str, str]:
        """The tool's own mark; that of a native block, where there is one."""
        if self._markers is not None:
            return super().block_marks(no_transaction=no_transaction)
        own = self._own
        if not no_transaction:
            return own.down_words, ""
        words = own.no_transaction_words
        return (words if words.startswith(own.down_words) else f"{own.down_words}\n{words}"), ""

    @property
    def block_place(self) -> str | None:
        """Below the mark that is there already, where one is."""
        if self._down is None:
            return None
        return (
            f"{self.path}:{self._down.line}: what follows is {self.written_for}'s rollback block: this is to take its"
            " place"
        )

    @property
    def no_transaction_words(self) -> str:
        """What to write so that the part that undoes runs outside a transaction."""
        return super().no_transaction_words if self._down is None else self._own.no_transaction_words

    def validate(self) -> None:
        """As of any file."""
        super().validate()
        _ = self._down
