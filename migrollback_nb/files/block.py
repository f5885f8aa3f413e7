"""The rollback block of a migration -> its statements, and what there is to know of them before they run. Pure."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from typing import Any

from migrollback_nb.files.location import COMMENT_PREFIX
from migrollback_nb.parsing import lock_forecast, side_effects
from migrollback_nb.parsing.destroyed_values import destroyed_values
from migrollback_nb.parsing.statements import SqlText, SyntaxProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSource:
    """Where the rollback SQL stands, before it is parsed."""

    sql: SqlText  #: as it stands there
    path: str  #: the file that it was read from
    line: int  #: line of that file that it begins in, counted from 1
    transaction: bool | None  #: whether it runs in one; None: unless PostgreSQL refuses one of its statements there
    live: bool  #: whether a tool that runs the whole migration file would run it too
    comments_count: bool  #: whether a block of which every line is commented out is SQL all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackBlock:
    """What undoes a migration: between ``-- ROLLBACK START`` and ``-- ROLLBACK END``, or where another tool has it."""

    sql: str  #: the rollback SQL; the comment signs of a commented block are stripped
    path: str  #: the file that it was read from
    line: int  #: line of that file that `sql` begins in, counted from 1
    #: False where a tool that runs the whole migration file leaves it alone: commented out, or a file of its own
    live: bool
    #: False when it runs statement by statement: after ``-- ROLLBACK START transaction:false``, where no BEGIN ...
    #: COMMIT stands around it
    transaction: bool
    asked_outside: bool  #: whether its mark says so
    statements: tuple[
        tuple[int, int, int], ...
    ]  #: (first byte in `sql`, bytes, line of the file) of each that is to run
    problem: SyntaxProblem | None  #: why it cannot run, with the line and column of the file; None when it can
    #: (line of the file, statement in words) that PostgreSQL runs only outside a transaction
    refused_in_transaction: tuple[tuple[int, str], ...]
    set_local: tuple[str, ...]  #: settings, in lower case, that it changes only until the transaction ends
    set_session: tuple[str, ...]  #: settings, in lower case, that it changes for longer
    effects: dict[str, Any]  #: what `side_effects.look` and, as ``drops``, `destroyed_values` see in it
    locks: list[dict[str, Any]]  #: what `lock_forecast.look` sees in it

    def statement_texts(self) -> tuple[str, ...]:
        """The statements themselves, in order."""
        data = self.sql.encode()
        return tuple(data[start : start + length].decode() for start, length, _ in self.statements)

    def metadata(self) -> dict[str, Any]:
        """What `migration_history.metadata` keeps of it under the key ``rollback``."""
        found: dict[str, Any] = {
            "md5": hashlib.md5(self.sql.encode(), usedforsecurity=False).hexdigest(),
            "statements": [list(statement) for statement in self.statements],
            "transaction": self.transaction,
            "refused_in_transaction": [
                {"line": line, "statement": words} for line, words in self.refused_in_transaction
            ],
            "set_local": list(self.set_local),
            "set_session": list(self.set_session),
            "live": self.live,
            "locks": self.locks,
            **self.effects,
        }
        if self.problem is not None:
            found["error"] = {"line": self.problem.line, "column": self.problem.column, "message": self.problem.message}
        return found


def block_source(
    sql: SqlText,
    begin: int,
    end: int,
    *,
    path: str,
    transaction: bool | None,
    live: bool = True,
    comments_count: bool = True,
) -> BlockSource:
    """What stands between two byte offsets of a file, without the line breaks around it."""
    data = sql.text.encode()
    while begin < end and data[begin : begin + 1] == b"\n":
        begin += 1
    while end > begin and data[end - 1 : end] == b"\n":
        end -= 1
    return BlockSource(
        sql=sql.part(begin, end),
        path=path,
        line=sql.line_of(begin),
        transaction=transaction,
        live=live,
        comments_count=comments_count,
    )


def rollback_block(part: BlockSource) -> RollbackBlock | None:
    """Parse it; None where it holds only comments."""
    sql = part.sql
    inside = sql.text
    prefixes: dict[int, int] = {}
    commented = part.comments_count and _commented_line_by_line(inside)
    if commented:
        for number, row in enumerate(inside.split("\n")):
            found = COMMENT_PREFIX.match(row)
            prefixes[number] = len(found.group()) if found else 0
        sql = SqlText(COMMENT_PREFIX.sub("", inside))
    elif sql.only_comments:
        return None
    nodes = sql.nodes()
    if commented and (sql.only_comments or sql.problem is not None):
        return None  # remarks, the template's for one: a block of comments is no rollback SQL
    problem = sql.problem or cannot_run(sql)
    if problem is not None:
        shift = prefixes.get(problem.line - 1, 0)
        problem = SyntaxProblem(
            line=problem.line + part.line - 1, column=problem.column + shift, message=problem.message
        )
    statements = sql.statements
    if sql.wrapped:
        statements, nodes = statements[1:-1], nodes[1:-1]
    refused = tuple((s.line + part.line - 1, s.refused_in_transaction) for s in statements if s.refused_in_transaction)
    texts = [s.text for s in statements]
    changes = [change for s in statements for change in s.settings]
    for_longer = {name for name, local in changes if not local}
    return RollbackBlock(
        sql=sql.text,
        path=part.path,
        line=part.line,
        live=part.live and not commented,
        # BEGIN ... COMMIT means all or nothing: run statement by statement, half of it could stay
        transaction=sql.wrapped or (not refused if part.transaction is None else part.transaction),
        asked_outside=part.transaction is False,
        statements=tuple((s.start, s.length, s.line + part.line - 1) for s in statements),
        problem=problem,
        refused_in_transaction=refused,
        set_local=tuple(sorted({name for name, local in changes if local} - for_longer)),
        set_session=tuple(sorted(for_longer)),
        effects={**side_effects.look(texts, nodes), "drops": destroyed_values(texts, nodes)},
        locks=lock_forecast.look(texts, nodes),
    )


def _commented_line_by_line(text: str) -> bool:
    rows = [row for row in text.split("\n") if row.strip()]
    return bool(rows) and all(row.lstrip().startswith("--") for row in rows)


def cannot_run(sql: SqlText) -> SyntaxProblem | None:
    """Which statement no server can run as it stands, or only outside what a migration is; None without one."""
    statements = sql.statements[1:-1] if sql.wrapped else sql.statements
    for statement in statements:
        if statement.cannot_run is not None:
            begin = sql.text.encode().rfind(b"\n", 0, statement.start) + 1
            why = (
                "needs a client's data stream"
                if statement.cannot_run.startswith("COPY")
                else "a migration runs in one transaction, or in none"
            )
            return SyntaxProblem(
                line=statement.line,
                column=statement.start - begin + 1,
                message=f"{statement.cannot_run} cannot be run: {why}",
            )
    return None


def way_to_run(sql: SqlText, name: str, tool: str | None, words: str) -> str:
    """What to do with an up migration that cannot be run as it stands; pure."""
    whose = tool or "the tool that it was written for"
    if not any(one.cannot_run and not one.cannot_run.startswith("COPY") for one in sql.statements):
        return f"Fix the file, or apply it with {whose} and register it."
    return (
        f"Apply it as it is with {whose}, then migrollback register {shlex.quote(name)}. Or take out what begins and"
        f" ends transactions, and write {words}: then each statement runs alone, and what has run stays."
    )
