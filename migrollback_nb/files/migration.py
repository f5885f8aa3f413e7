"""One migration file -> MigrationFile: what it does, what undoes it, what it depends on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from migrollback_nb.core.errors import MigrationFileError
from migrollback_nb.files import location, not_read, tools
from migrollback_nb.files.block import BlockSource, RollbackBlock, block_source, cannot_run, rollback_block, way_to_run
from migrollback_nb.files.location import COMMENT_PREFIX
from migrollback_nb.files.markers import MARKER, Markers, find_markers
from migrollback_nb.files.text import plain_text
from migrollback_nb.parsing import destroyed_values
from migrollback_nb.parsing.statements import Comment, SqlText, SyntaxProblem

_HEADER = re.compile(
    r"--\s*(Migration|Description|Depends on|Tags|Transaction)\s*:\s*(.*?)\s*$", re.IGNORECASE | re.DOTALL
)
_NAME = re.compile(r"\d")
#: Begins the line, one of the first, that says that what undoes it was written from what it did to a schema.
CAPTURED = "-- Captured from: "


@dataclass(frozen=True, kw_only=True)
class MigrationFile:
    """One migration, as its file says.

    Its parts are parsed on first use, so that a folder of files that are registered already costs no more than reading
    them.
    """

    name: str  #: the file's stem
    path: str  #: where it was read
    text: str  #: its text, BOM dropped and CRLF read as LF
    #: of the migration before it in its folder, empty for the first; None where its tool does not go by that
    previous_version: str | None = None
    #: whose ledger tells of it, where the format does not say: supabase for one in supabase/migrations
    deployed_by: str | None = None

    @property
    def version(self) -> str:
        """The leading digits of the name."""
        return self.name[: len(self.name) - len(self.name.lstrip("0123456789"))]

    @property
    def tool(self) -> str | None:
        """The tool that the file is written for; None for our own format, which is Supabase's too."""
        return None

    @property
    def ledger_tool(self) -> str | None:
        """The tool whose ledger tells whether it is applied; None where nothing says which."""
        return self.tool or self.deployed_by

    @property
    def is_program(self) -> bool:
        """Whether it is a program, which only its tool applies."""
        return False

    @property
    def is_left_to_tool(self) -> bool:
        """Whether only its tool applies it, and only its ledger tells whether it did."""
        return self.is_program

    @property
    def is_up_known(self) -> bool:
        """Whether the SQL that applies it is known: of a program perhaps not."""
        return True

    @property
    def applied_by(self) -> str:
        """The command of its tool that applies it, in words."""
        return "migrollback apply"

    @property
    def before(self) -> Mapping[str, tuple[str, ...]]:
        """Version -> the versions before it, of all of its folder, where its ledger keeps but the newest of each."""
        return {}

    @property
    def number(self) -> tuple[int, ...] | None:
        """What its tool orders migrations by; None where that is the name."""
        return None

    @cached_property
    def checksum(self) -> str:
        """SHA-256 (hex) of the text."""
        return location.checksum(self.text.encode())

    def _error(
        self, message: str, *, line: int | None = None, column: int | None = None, hint: str
    ) -> MigrationFileError:
        return MigrationFileError(self.path, message, line=line, column=column, hint=hint)

    @cached_property
    def _whole(self) -> SqlText:
        return SqlText(self.text)

    @cached_property
    def _markers(self) -> Markers | None:
        """Where the rollback block begins and ends; None without a block."""
        return find_markers(self._whole, self.path)

    @cached_property
    def _headers(self) -> tuple[tuple[str, str, int], ...]:
        headers = []
        head = self._whole.code_after(0)
        for comment in self._whole.comments:
            if (head is not None and comment.start > head) or (comment.is_line_comment and MARKER.match(comment.text)):
                break
            if comment.is_line_comment and (found := _HEADER.match(comment.text)):
                headers.append((found.group(1).lower(), found.group(2), comment.line))
        return tuple(headers)

    @cached_property
    def description(self) -> str | None:
        """What ``-- Description:`` says; None without one."""
        return " ".join(value for key, value, _ in self._headers if key == "description") or None

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """Words that ``-- Tags:`` gives it, apart by commas or spaces, in order, each once."""
        words = (word for key, value, _ in self._headers if key == "tags" for word in re.split(r"[\s,]+", value))
        return tuple(dict.fromkeys(word for word in words if word))

    @cached_property
    def depends_on(self) -> tuple[str, ...]:
        """Names of the migrations that ``-- Depends on:`` names, in order, each once."""
        names: dict[str, None] = {}
        for key, value, line in self._headers:
            if key != "depends on" or value.lower() in ("", "-", "none", "nothing"):
                continue
            for part in (part.strip() for part in value.split(",")):
                words = part.split()
                several = len(words) > 1 and all(_NAME.match(word) for word in words)
                for word in words if several else [part]:
                    name = word.removesuffix(".sql")
                    if not _NAME.match(name):
                        raise self._error(
                            f"-- Depends on: {name or value!r} is not the name of a migration",
                            line=line,
                            hint=(
                                "Write the names of migration files, separated by commas; remarks go on a line of their"
                                " own."
                            ),
                        )
                    if name == self.name:
                        raise self._error(
                            "depends on itself", line=line, hint="Take its own name out of -- Depends on:."
                        )
                    names[name] = None
        return tuple(names)

    @cached_property
    def transaction(self) -> bool:
        """False when the up migration says ``-- Transaction: false``, and no BEGIN ... COMMIT stands around it."""
        return self._says_transaction() is not False or self.up.wrapped

    def _says_transaction(self) -> bool | None:
        for key, value, line in self._headers:
            if key == "transaction":
                if value.lower() not in ("true", "false"):
                    raise self._error(
                        f"-- Transaction: {value!r} is neither true nor false",
                        line=line,
                        hint="Write -- Transaction: false, or nothing.",
                    )
                return value.lower() == "true"
        return None

    @cached_property
    def up(self) -> SqlText:
        """The up migration: all that stands before the rollback block."""
        markers = self._markers
        return self._whole if markers is None else self._whole.part(0, markers[0].start)

    @property
    def up_problem(self) -> SyntaxProblem | None:
        """Why the up migration cannot run, with the line and column of the file; None when it can."""
        if self.up.problem is not None:
            return self.up.problem
        if self.refusal is not None:
            return SyntaxProblem(line=self.refusal.line or 1, column=1, message=self.refusal.problem)
        if self.block_of_another_tool is not None:
            tool, mark = self.block_of_another_tool
            return SyntaxProblem(
                line=mark.line,
                column=1,
                message=f"what follows {mark.text.strip()} is {tool}'s, and would undo it in the same breath",
            )
        return cannot_run(self.up)

    @cached_property
    def block_of_another_tool(self) -> tuple[str, Comment] | None:
        """(tool, the comment that begins it) of what another tool takes for its rollback block; None without one."""
        return tools.rollback_mark(self.up)

    @cached_property
    def refusal(self) -> not_read.Refusal | None:
        """Why nothing of it is read: its tool's files are not, or what undoes it looks like the rest."""
        if (found := self._marked) is not None:
            return found
        heading = self._rollback_heading
        if heading is None or not heading[1] or self.has_rollback_block or self.block_of_another_tool is not None:
            return None
        return not_read.heading_refusal(heading[0], name=self.name)

    @property
    def _marked(self) -> not_read.Refusal | None:
        """Why it is not read, by marks of a tool that is not."""
        return not_read.marked(self._whole)

    @cached_property
    def _rollback_heading(self) -> tuple[Comment, bool] | None:
        return not_read.rollback_heading(self.up)

    @property
    def has_rollback_block(self) -> bool:
        """Whether it says which part undoes it, in its own way, also where that part is empty."""
        return self._block_source() is not None

    @cached_property
    def has_own_transactions(self) -> bool:
        """Whether the up migration begins and ends transactions in its middle, which its own tool lets it do."""
        words = {one.cannot_run for one in self.up.statements if one.cannot_run is not None}
        return (
            self.tool is not None
            and not self.up.wrapped
            and bool(words)
            and not any(word.startswith("COPY") or "PREPARE" in word for word in words)
            and self.refusal is None
            and self.block_of_another_tool is None
        )

    @property
    def runs_whole(self) -> bool:
        """Whether the up migration runs whole or not at all."""
        return self.transaction and not self.has_own_transactions

    def up_statements(self) -> tuple[str, ...]:
        """The statements of the up migration, in order, without a BEGIN ... COMMIT around all of them."""
        statements = self.up.statements[1:-1] if self.up.wrapped else self.up.statements
        return tuple(statement.text for statement in statements)

    @property
    def up_refused_in_transaction(self) -> tuple[tuple[int, str], ...]:
        """(line, statement in words) of what PostgreSQL runs only outside a transaction."""
        return tuple((s.line, s.refused_in_transaction) for s in self.up.statements if s.refused_in_transaction)

    @property
    def up_refusal(self) -> tuple[str, str | None, str] | None:
        """Why the up migration is not even tried: (what is wrong, SQLSTATE if it has one, hint); None where it is."""
        if (trouble := self.up_problem) is not None:
            message = f"{self.path}:{trouble.line}:{trouble.column}: the up migration cannot run: {trouble.message}"
            hint = way_to_run(self.up, self.name, self.tool, self.up_no_transaction_words)
            return message, "42601" if self.up.problem is not None else None, hint
        if self.transaction and self.up_refused_in_transaction:
            line, words = self.up_refused_in_transaction[0]
            return (
                f"{self.path}:{line}: {words} cannot run inside a transaction",
                "25001",
                f"Write {self.up_no_transaction_words}.",
            )
        return None

    @cached_property
    def rollback(self) -> RollbackBlock | None:
        """The rollback block; None where there is none or it holds only comments."""
        part = self._block_source()
        return None if part is None else rollback_block(part)

    def _block_source(self) -> BlockSource | None:
        """Where the rollback SQL stands; None where there is none."""
        markers = self._markers
        if markers is None:
            return None
        start, options, end = markers
        transaction = True
        if options:
            if not re.fullmatch(r"transaction\s*:\s*(true|false)", options, re.IGNORECASE):
                raise self._error(
                    f"-- ROLLBACK START {options!r} is not understood",
                    line=start.line,
                    hint="After START only transaction:false may stand.",
                )
            transaction = options.lower().endswith("true")
        data = self.text.encode()
        return block_source(
            self._whole, start.end, end.start if end is not None else len(data), path=self.path, transaction=transaction
        )

    @cached_property
    def _commented_problem(self) -> SyntaxProblem | None:
        """Why a block of comments is no commented-out SQL, with line and column of the file; None for other blocks."""
        markers = self._markers
        if markers is None or self.rollback is not None or markers[2] is None:
            return None
        inside = self.text.encode()[markers[0].end : markers[2].start].decode()
        problem = SqlText(COMMENT_PREFIX.sub("", inside)).problem
        if problem is None:
            return None
        row = inside.split("\n")[problem.line - 1]
        prefix = COMMENT_PREFIX.match(row)
        return SyntaxProblem(
            line=problem.line + markers[0].line - 1,
            column=problem.column + (len(prefix.group()) if prefix else 0),
            message=problem.message,
        )

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the file though it is not wrong."""
        remarks = []
        for key, value, line in self._headers:
            if key == "migration" and value.removesuffix(".sql") != self.name:
                remarks.append(f"{self.path}:{line}: -- Migration: says {value}, but the file is {self.name}.sql")
        if self._says_transaction() is False and self.up.wrapped:
            remarks.append(
                f"{self.path}: BEGIN ... COMMIT stands around the whole up migration, so it runs in one transaction,"
                " whatever its header says"
            )
        if self.block_of_another_tool is not None:
            tool, mark = self.block_of_another_tool
            remarks.append(
                f"{self.path}:{mark.line}: what follows is {tool}'s and no rollback SQL here: move it between --"
                " ROLLBACK START and -- ROLLBACK END"
            )
        if self._rollback_heading is not None and self.refusal is None and self.block_of_another_tool is None:
            heading = self._rollback_heading[0]
            remarks.append(
                f"{self.path}:{heading.line}: {not_read.shown(heading)} looks like the heading of what undoes it, but"
                " what follows runs with the rest"
            )
        return (*remarks, *self._block_remarks())

    def _block_remarks(self) -> Iterator[str]:
        block = self.rollback
        if block is None and self._markers is not None:
            start = self._markers[0]
            remark = f"{self.path}:{start.line}: the rollback block holds only comments, so there is no rollback SQL"
            if (at := self._commented_problem) is not None:
                remark += f" (read as commented-out SQL it fails in line {at.line}, column {at.column}: {at.message})"
            yield remark
        if block is None:
            return
        if block.problem is not None:
            at = block.problem
            yield (
                f"{block.path}:{at.line}:{at.column}: the rollback block is not valid SQL and will be refused:"
                f" {at.message}"
            )
        if block.transaction and block.asked_outside:
            yield (
                f"{block.path}:{block.line}: BEGIN ... COMMIT stands around the whole rollback block, so it runs in"
                " one transaction, whatever its mark says"
            )
        if block.transaction and block.refused_in_transaction:
            at_line, words = block.refused_in_transaction[0]
            yield (
                f"{block.path}:{at_line}: {words} cannot run inside a transaction: write {self.no_transaction_words}"
            )

    def block_marks(self, *, no_transaction: bool) -> tuple[str, str]:
        """What stands above and below the rollback SQL, empty where nothing does; without a transaction or in one."""
        return ("-- ROLLBACK START" + (" transaction:false" if no_transaction else ""), "-- ROLLBACK END")

    @property
    def block_place(self) -> str | None:
        """Where such SQL belongs, where that is not the end of the file; None where it is."""
        return None

    def with_rollback(self, text: str) -> MigrationFile:
        """The same migration with another text, marks included, that undoes it."""
        return replace(self, text=f"{self.up.text.rstrip()}\n\n{text}\n")

    @property
    def up_no_transaction_words(self) -> str:
        """What to write so that the up migration runs outside a transaction."""
        return "-- Transaction: false at the top of the file"

    @property
    def no_transaction_words(self) -> str:
        """What to write so that the rollback SQL runs outside a transaction."""
        return "-- ROLLBACK START transaction:false"

    def validate(self) -> None:
        """Parse every part now; does not write.

        Raises
        ------
        MigrationFileError
            For the first fault, with its line and how to fix it.
        """
        if (found := self._marked) is not None:  # before what such marks may look like in our own format
            raise self._error(found.problem, line=found.line, hint=found.hint)
        _ = (self._markers, self.depends_on, self.transaction, self.rollback, self.description)
        if self.refusal is not None:
            raise self._error(self.refusal.problem, line=self.refusal.line, hint=self.refusal.hint)

    def metadata(self) -> dict[str, Any]:
        """What `migration_history.metadata` keeps of the file."""
        found: dict[str, Any] = {"description": self.description}
        if self.ledger_tool is not None:
            found["tool"] = self.ledger_tool
        if self.previous_version is not None:
            found["previous_version"] = self.previous_version
        if (destroys := self._destroys()) is not None:
            found["destroys"] = destroys
        if f"\n{CAPTURED}" in self.text[:1000]:
            found["captured"] = True
        if self.tags:
            found["tags"] = list(self.tags)
        found["rollback"] = self.rollback.metadata() if self.rollback is not None else None
        if self.rollback is not None and self.rollback.transaction and self.rollback.refused_in_transaction:
            found["rollback"]["no_transaction_words"] = self.no_transaction_words
        if (at := self._commented_problem) is not None:
            found["rollback_remark"] = f"line {at.line}, column {at.column}: {at.message}"
        return found

    def _destroys(self) -> dict[str, Any] | None:
        """What the up migration destroys, as `destroyed_values.look` sees it; None where nothing can be said of it."""
        nodes = self.up.nodes()
        if self.up_problem is not None:
            return None
        return destroyed_values.look(self.up_statements(), nodes[1:-1] if self.up.wrapped else nodes)

    def record(self) -> dict[str, Any]:
        """The arguments of the SQL function ``register_migration``, by name."""
        return {
            "name": self.name,
            "version": self.version,
            "rollback_sql": self.rollback.sql if self.rollback is not None else None,
            "checksum": self.checksum,
            "depends_on": list(self.depends_on),
            "metadata": self.metadata(),
        }


def parse(text: str, *, name: str, path: str | None = None) -> MigrationFile:
    """Parse the text of one migration in our own format. Pure.

    Parameters, result and errors are those of `formats.parse`, which knows other tools' formats too.
    """
    where = path if path is not None else f"{name}.sql"
    if not _NAME.match(name):
        raise MigrationFileError(
            where,
            "the name does not begin with digits",
            hint="Name it <version>_<what it does>.sql, for example 20250120_add_user_settings.sql.",
        )
    if tools.only_undoes(name):
        raise MigrationFileError(
            where,
            "undoes another migration, and would run as one of its own",
            hint=(
                "Put its SQL between -- ROLLBACK START and -- ROLLBACK END at the end of the migration that it undoes,"
                " and take this file away."
            ),
        )
    return MigrationFile(name=name, path=where, text=plain_text(text, where=where))
