"""How far a rollback is. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from migrollback_nb.core import html
from migrollback_nb.core.text import as_line, one_line

#: What may stand before the first word of a statement.
_BEFORE = re.compile(r"(\s+|--[^\n]*(\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORDS = 70


@as_line
@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackProgress:
    """How far a rollback, or a rehearsal, is."""

    stage: Literal[
        "snapshot", "statement", "ran", "committed"
    ]  #: what goes on: a snapshot before, a statement, what follows the last one, what follows COMMIT
    migration_name: str  #: the migration that it is at; before and after all of them, the one that was asked for
    migration_number: int = 1  #: which of the migrations, counted from 1
    migrations: int = 1  #: how many are rolled back
    statement_number: int | None = None  #: the statement that runs, counted from 1
    statements: int | None = None  #: how many the migration has
    line: int | None = (
        None  #: where the statement begins in the migration's file, counted from 1; None where that is not known
    )
    statement: str | None = None  #: its first words

    @classmethod
    def from_notice(cls, field: str | None, asked: str) -> Self | None:
        """Read what the database says of a statement; None where it is not an answer to what was `asked`."""
        try:
            parts = json.loads(field or "")
            texts = {
                name: bytes.fromhex(parts[name]).decode() for name in ("asked", "migration", "text") if name in parts
            }
            if texts["asked"] != asked:
                return None
            runs = parts.get("statement_number") is not None
            return cls(
                stage="statement" if runs else "ran",
                migration_name=texts["migration"],
                migration_number=int(parts["migration_number"]),
                migrations=int(parts["migrations"]),
                statement_number=int(parts["statement_number"]) if runs else None,
                statements=int(parts["statements"]),
                line=int(parts["line"]) if parts.get("line") is not None else None,
                statement=first_words(texts["text"]) if runs else None,
            )
        except (ValueError, TypeError, LookupError):  # another notice
            return None

    @property
    def fraction(self) -> float | None:
        """How much of the SQL has run, by the number of statements: 0 to 1. None while that is not known."""
        if self.stage == "snapshot":
            return None
        if self.stage == "committed":
            return 1.0
        done = 1.0 if self.stage == "ran" else ((self.statement_number or 1) - 1) / max(self.statements or 1, 1)
        return (self.migration_number - 1 + done) / self.migrations

    @property
    def message(self) -> str:
        """In words."""
        match self.stage:
            case "snapshot":
                return "taking a snapshot of the schema; nothing has run yet"
            case "committed":
                return "done and committed, Cancel no longer undoes it; comparing the schema with what it was"
        part = (
            f"migration {self.migration_number} of {self.migrations}, {self.migration_name}: "
            if self.migrations > 1
            else ""
        )
        if self.stage == "ran":
            return (
                f"{part}its {self.statements} statements have run"
                if self.statements != 1
                else f"{part}its statement has run"
            )
        place = f" (line {self.line})" if self.line is not None else ""
        return f"{part}statement {self.statement_number} of {self.statements}{place}: {self.statement}"

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return {
            "stage": self.stage,
            "migration_name": self.migration_name,
            "migration_number": self.migration_number,
            "migrations": self.migrations,
            "statement_number": self.statement_number,
            "statements": self.statements,
            "line": self.line,
            "statement": self.statement,
        }

    def __repr__(self) -> str:
        return one_line(f"<RollbackProgress {self.migration_name}: {self.message}>")

    def _repr_html_(self) -> str:
        return html.escape(self.message)


def first_words(statement: str) -> str:
    r"""The beginning of a statement in one line, without the comments before it; pure.

    Examples
    --------
    >>> first_words("-- the tags\n  DROP TABLE\n  tags")
    'DROP TABLE tags'
    """
    # it matches nothing, too
    text = " ".join(statement[_BEFORE.match(statement).end() :].split())  # type: ignore[union-attr]
    return text if len(text) <= _WORDS else f"{text[: _WORDS - 3]}..."
