"""Migrations of two files, one that does and one that undoes. Pure.

golang-migrate, yoyo, postgrator, Flyway, diesel, Prisma, Sqitch, drizzle, graphile-migrate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from migrollback_nb.files import location
from migrollback_nb.files.block import BlockSource, block_source
from migrollback_nb.files.markers import Markers
from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.parsing.statements import SqlText, SyntaxProblem

_YOYO_HEADER = re.compile(r"--\s*(depends|transactional)\s*:\s*(.*?)\s*$", re.IGNORECASE)
#: What says in a file that it runs in no transaction.
_NO_TRANSACTION = {
    "graphile-migrate": re.compile(r"(?:--! [A-Z].*\n)*\s*--!\s*no-transaction\b"),
    "postgres-migrations": re.compile(r"(?s).*-- postgres-migrations disable-transaction"),
}
_PLACEHOLDER = re.compile(r"(?<![:\w]):[A-Z][A-Z0-9_]*\b")
#: Those that run the whole of a file, a live rollback block too.
_RUNS_ALL = ("drizzle", "graphile-migrate", "postgres-migrations")
_BY_NUMBER = ("golang-migrate", "postgrator", "Flyway")


@dataclass(frozen=True, kw_only=True)
class PairedFile(MigrationFile):
    """The file that does and the file that undoes; without the latter, a native rollback block in the former counts."""

    written_for: str | None  #: the tool that names its files like that; None where it is no one tool's habit
    rollback_path: str  #: the file that undoes, or what it would be called
    rollback_text: str | None  #: its text, BOM dropped and CRLF read as LF; None where there is no such file
    place: int | None = None  #: in the tool's plan, counted from 1; None where there is none
    planned_version: str | None = None  #: what the plan makes its version; None where there is none
    planned: tuple[str, ...] = ()  #: what the plan says that it depends on
    kept: Mapping[str, Any] = field(default_factory=dict)  #: what the history keeps of it besides, for its ledger

    @property
    def tool(self) -> str | None:
        """The tool that the files are written for, or the best known of those that name theirs so."""
        return self.written_for

    @property
    def version(self) -> str:
        """What the tool calls its version; by default the leading digits.

        Flyway's stands between ``V`` and ``__``, diesel's is the digits of the folder, Sqitch's a change's id.
        """
        if self.planned_version is not None:
            return self.planned_version
        if self.written_for == "Flyway":
            # matches everywhere
            return re.match(r"V?([0-9._]*?)(?=__|$)", self.name).group(1).replace("_", ".")  # type: ignore[union-attr]
        if self.written_for == "diesel":
            return self.name.partition("_")[0].replace("-", "")
        return super().version

    @property
    def number(self) -> tuple[int, ...] | None:
        """What the tool orders its files by; None where it is the name."""
        if self.place is not None:
            return (self.place,)
        if self.written_for not in _BY_NUMBER:
            return None
        return tuple(int(digits) for digits in re.findall(r"\d+", self.version)) or (0,)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 (hex) of both texts, a NUL byte between them; of the one where there is no other."""
        return location.checksum(
            self.text.encode(), None if self.rollback_text is None else self.rollback_text.encode()
        )

    @cached_property
    def _markers(self) -> Markers | None:
        # What cannot be read as SQL (psql's own commands, data after COPY) may hide a block, but here another file
        # undoes it.
        return None if self.rollback_text is not None and self._whole.scan_problem is not None else super()._markers

    @cached_property
    def _yoyo_headers(self) -> dict[str, tuple[str, int]]:
        head = self._whole.code_after(0)
        found = {}
        for comment in self._whole.comments:
            if head is not None and comment.start > head:
                break
            if comment.is_line_comment and (header := _YOYO_HEADER.match(comment.text)):
                found[header.group(1).lower()] = (header.group(2), comment.line)
        return found

    @cached_property
    def depends_on(self) -> tuple[str, ...]:
        """Names that ``-- Depends on:`` names, or yoyo's ``-- depends:``, or a plan, in order, each once."""
        names, _ = self._yoyo_headers.get("depends", ("", 0)) if self.written_for == "yoyo" else ("", 0)
        return tuple(dict.fromkeys((*super().depends_on, *names.split(), *self.planned)))

    def _says_transaction(self) -> bool | None:
        said = super()._says_transaction()
        if (
            said is None
            and self.written_for == "yoyo"
            and self._yoyo_headers.get("transactional", ("", 0))[0].lower() == "false"
        ):
            return False
        mark = _NO_TRANSACTION.get(self.written_for or "")
        if said is None and mark is not None and mark.match(self.text):
            return False
        # Elsewhere the files say nothing of it: the tool sends them as they are, and what PostgreSQL refuses in a
        # transaction runs in none.
        return False if said is None and self.up_refused_in_transaction else said

    def _block_source(self) -> BlockSource | None:
        if self.rollback_text is None:
            return super()._block_source()
        markers = self._markers
        if markers is not None:
            raise self._error(
                f"two rollback blocks: {self.rollback_path} and between -- ROLLBACK START and -- ROLLBACK END",
                line=markers[0].line,
                hint="Keep one of them.",
            )
        whole = SqlText(self.rollback_text)
        return block_source(
            whole,
            0,
            len(self.rollback_text.encode()),
            path=self.rollback_path,
            transaction=None,
            live=False,
            comments_count=False,
        )

    @property
    def up_problem(self) -> SyntaxProblem | None:
        """As of any file; of graphile-migrate's placeholders by their name."""
        found = super().up_problem
        if found is None or self.written_for != "graphile-migrate":
            return found
        line = self.text.split("\n")[found.line - 1]
        if (it := _PLACEHOLDER.search(line)) is None:
            return found
        message = f"{it[0]} is a placeholder, for which only graphile-migrate knows the value"
        return SyntaxProblem(line=found.line, column=it.start() + 1, message=message)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """As of any file; and that its tool would run the block too."""
        block = self.rollback if self.written_for in _RUNS_ALL and self.rollback_text is None else None
        if block is None or not block.live:
            return super().remarks
        return (
            *super().remarks,
            f"{block.path}:{block.line}: the rollback block is live SQL, and {self.written_for} runs the whole file."
            " Comment it out line by line",
        )

    def metadata(self) -> dict[str, Any]:
        """What `migration_history.metadata` keeps of the file."""
        return super().metadata() | dict(self.kept)

    def block_marks(self, *, no_transaction: bool) -> tuple[str, str]:
        """None: the SQL is a file of its own; those of a native block, where there is one."""
        return super().block_marks(no_transaction=no_transaction) if self._has_block else ("", "")

    @property
    def block_place(self) -> str | None:
        """The file of its own."""
        if self._has_block:
            return None
        return f"This is for a file of its own, {self.rollback_path}" + (
            "" if self.rollback_text is None else ", in place of what it holds"
        )

    def with_rollback(self, text: str) -> MigrationFile:
        """The same migration with another text that undoes it."""
        return super().with_rollback(text) if self._has_block else replace(self, rollback_text=f"{text}\n")

    @property
    def _has_block(self) -> bool:
        return self.rollback_text is None and self._markers is not None
