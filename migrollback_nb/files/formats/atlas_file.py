"""A file in Atlas' own format: its directives, and the parts of one that is an archive (atlas:txtar). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from migrollback_nb.files.block import BlockSource, block_source
from migrollback_nb.files.formats.paired import PairedFile
from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.parsing.statements import SqlText

_TXMODE = re.compile(r"-- atlas:txmode +(\w+)")
_ARCHIVE = re.compile(r"-- atlas:txtar\b")
_PART = re.compile(r"-- (\S.*?) --\s*")


@dataclass(frozen=True, kw_only=True)
class AtlasFile(PairedFile):
    """One file; what undoes it is a block in it, ``down.sql`` of an archive, or a file elsewhere."""

    @cached_property
    def _parts(self) -> dict[str, tuple[int, str]] | None:
        """Name -> (the line of its mark, its text, each line where it stands) of an archive; None of a plain file."""
        if _ARCHIVE.match(self.text) is None:
            return None
        found: dict[str, tuple[int, list[str]]] = {}
        name = ""
        for number, line in enumerate(self.text.split("\n"), 1):
            if (mark := _PART.fullmatch(line)) is not None:
                name = mark[1]
                found[name] = (number, [""] * number)
            elif name:
                found[name][1].append(line)
        return {name: (line, "\n".join(lines)) for name, (line, lines) in found.items()}

    @cached_property
    def _whole(self) -> SqlText:
        if self._parts is None:
            return SqlText(self.text)
        return SqlText(self._parts.get("migration.sql", (0, ""))[1])

    def _says_transaction(self) -> bool | None:
        said = super()._says_transaction()
        if said is not None:
            return said
        for line in self.text.split("\n"):
            if not line.startswith(("--", "#")):
                break
            if (mode := _TXMODE.match(line)) is not None and mode[1] == "none":
                return False
        return None

    def _block_source(self) -> BlockSource | None:
        if self.rollback_text is None and self._parts is not None and "down.sql" in self._parts:
            text = self._parts["down.sql"][1]
            return block_source(
                SqlText(text), 0, len(text.encode()), path=self.path, transaction=None, live=False, comments_count=False
            )
        return super()._block_source()

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """As of any file; and what only Atlas does with it."""
        found = list(super().remarks)
        checks = [name for name in self._parts or () if name not in ("migration.sql", "down.sql")]
        if checks:
            found.append(f"{self.path}: {', '.join(checks)}: checks are Atlas' to try")
        block = self.rollback
        if block is not None and block.live and self.rollback_text is None:
            found.append(
                f"{block.path}:{block.line}: the rollback block is live SQL, and Atlas runs the whole file. Comment it"
                " out line by line"
            )
        return tuple(found)

    @property
    def _has_block(self) -> bool:
        return self.rollback_text is None

    @property
    def block_place(self) -> str | None:
        """The part of an archive; None where it is the end of the file."""
        if self.rollback_text is None and self._parts is not None:
            return f"This is for the part -- down.sql -- of {self.path}"
        return super().block_place

    def block_marks(self, *, no_transaction: bool) -> tuple[str, str]:
        """As of any file; the mark of its part in an archive."""
        if self.rollback_text is None and self._parts is not None:
            return "-- down.sql --", ""
        return super().block_marks(no_transaction=no_transaction)

    def with_rollback(self, text: str) -> MigrationFile:
        """The same migration with another text that undoes it."""
        if self.rollback_text is not None or self._parts is None:
            return super().with_rollback(text)
        lines = self.text.split("\n")
        if "down.sql" in self._parts:
            first, body = self._parts["down.sql"]
            del lines[first - 1 : body.count("\n") + 1]
        return replace(self, text="\n".join(lines).rstrip() + f"\n\n{text}\n")
