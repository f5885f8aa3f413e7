"""Reads SQL text with PostgreSQL's own scanner and parser: comments, statements, what a transaction refuses. Pure."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import postgast

from migrollback_nb.parsing import plpgsql, psql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postgast.pg_query_pb2 import Node

_SQL_COMMENT = postgast.pg_query_pb2.Token.Value("SQL_COMMENT")
_C_COMMENT = postgast.pg_query_pb2.Token.Value("C_COMMENT")
#: What may stand between statements besides comments; the empty bytes are the end of the text.
_BLANK = frozenset((b" ", b"\t", b"\n", b"\r", b"\f", b"\v", b";", b""))
_KIND = postgast.pg_query_pb2.TransactionStmtKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntaxProblem:
    """Where and why PostgreSQL cannot read a text."""

    line: int  #: counted from 1
    column: int  #: counted from 1, in characters
    message: str  #: in PostgreSQL's words


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """One comment."""

    text: str  #: as it stands, with its signs
    start: int  #: first byte of the UTF-8 text, counted from 0
    end: int  #: first byte after it
    line: int  #: counted from 1
    is_line_comment: bool  #: a ``--`` comment; False for one between ``/*`` and ``*/``


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a text."""

    text: str  #: without the semicolon
    start: int  #: first byte of the UTF-8 text, counted from 0
    length: int  #: in bytes
    line: int  #: counted from 1
    refused_in_transaction: str | None  #: what PostgreSQL runs only outside a transaction, in words; None for others
    cannot_run: str | None  #: why the server cannot run it at all when a client hands it over; None for others
    #: (setting in lower case, whether only until the transaction ends) that it changes, also by set_config() or in a DO
    settings: tuple[tuple[str, bool], ...]


class SqlText:
    """A text of SQL and what the scanner and the parser find in it; does not write.

    Parameters
    ----------
    text : str
        The SQL. Line and column are counted in it. What pg_dump writes around a dump for psql is passed over.
    """

    def __init__(self, text: str) -> None:
        self.text = text = psql.without_restrict(text)
        self._bytes = text.encode()

    def line_of(self, offset: int) -> int:
        """Line, counted from 1, of a byte offset."""
        return self._bytes.count(b"\n", 0, offset) + 1

    def _problem(self, error: postgast.PgQueryError) -> SyntaxProblem:
        # cursorpos counts characters from 1, whatever postgast's own page says of bytes; 0 is unknown: then the end is
        # as good a place as any
        before = self.text[: error.cursorpos - 1] if error.cursorpos > 0 else self.text
        if (command := psql.meta_command(self.text, before=len(before))) is not None:
            return SyntaxProblem(line=command.line, column=command.column, message=command.problem)
        return SyntaxProblem(
            line=before.count("\n") + 1, column=len(before) - before.rfind("\n"), message=error.message
        )

    @cached_property
    def _scanned(self) -> tuple[tuple[Comment, ...], SyntaxProblem | None]:
        problem = None
        text = self.text
        while True:
            try:
                found = postgast.scan(text)
                break
            except postgast.PgQueryError as error:
                # the place may lie inside a string (a bad escape): what is before it can be unreadable again
                problem = problem or self._problem(error)
                text = text[: min(max(error.cursorpos - 1, 0), len(text) - 1)]
        readable = text.encode()
        comments = []
        line, counted = 1, 0
        for token in [token for token in found.tokens if token.token in (_SQL_COMMENT, _C_COMMENT)]:
            start, end = token.start, token.end
            line += readable.count(b"\n", counted, start)
            counted = start
            comments.append(
                Comment(
                    text=readable[start:end].decode(),
                    start=start,
                    end=end,
                    line=line,
                    is_line_comment=token.token == _SQL_COMMENT,
                )
            )
        return tuple(comments), problem

    def part(self, begin: int, end: int) -> SqlText:
        """The text between two byte offsets that cut no token, as a text of its own, without scanning it again."""
        part = SqlText(self._bytes[begin:end].decode())
        if self.scan_problem is None:
            first = self.line_of(begin)
            inside = (comment for comment in self.comments if begin <= comment.start < end)
            part.__dict__["_scanned"] = (
                tuple(replace(c, start=c.start - begin, end=c.end - begin, line=c.line - first + 1) for c in inside),
                None,
            )
        return part

    @property
    def comments(self) -> tuple[Comment, ...]:
        """All comments; where a text cannot be scanned to its end, those before the fault."""
        return self._scanned[0]

    @property
    def scan_problem(self) -> SyntaxProblem | None:
        """Why the text cannot be scanned to its end (an unterminated string or comment), or None."""
        return self._scanned[1]

    def code_after(self, offset: int) -> int | None:
        """First byte from an offset on that is neither white space, comment nor semicolon; None when there is none.

        The offset lies in no comment.
        """
        following = bisect_left(self.comments, offset, key=lambda comment: comment.start)
        while True:
            while self._bytes[offset : offset + 1] in _BLANK:
                if offset >= len(self._bytes):
                    return None
                offset += 1
            if following < len(self.comments) and self.comments[following].start == offset:
                offset = self.comments[following].end
                following += 1
            else:
                return offset

    @property
    def only_comments(self) -> bool:
        """Whether there is nothing but comments, semicolons and white space in it."""
        return self.scan_problem is None and self.code_after(0) is None

    @cached_property
    def _parsed(self) -> tuple[tuple[Statement, ...], SyntaxProblem | None]:
        return self._read()[0]

    def nodes(self) -> tuple[Node, ...]:
        """The statements as PostgreSQL's parser has them; none where the text does not parse.

        They are not kept: they take much more room than the text.
        """
        self.__dict__["_parsed"], nodes = self._read()
        return nodes

    def _read(self) -> tuple[tuple[tuple[Statement, ...], SyntaxProblem | None], tuple[Node, ...]]:
        try:
            parsed = postgast.parse(self.text)
        except postgast.PgQueryError as error:
            return ((), self._problem(error)), ()
        statements = []
        for raw in parsed.stmts:
            end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(self._bytes)
            # the parser's location takes in the comments and blank lines before a statement
            start = self.code_after(raw.stmt_location)
            assert start is not None, "a statement has a first token"  # noqa: S101  # for mypy
            refused, impossible = _classify(raw.stmt)
            text = self._bytes[start:end].decode().rstrip()
            statements.append(
                Statement(
                    text=text,
                    start=start,
                    length=len(self._bytes[start:end].rstrip()),
                    line=self.line_of(start),
                    refused_in_transaction=refused,
                    cannot_run=impossible,
                    settings=tuple(_settings(raw.stmt, text)) if "set" in text.lower() else (),
                )
            )
        return (tuple(statements), None), tuple(raw.stmt for raw in parsed.stmts)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements; none where the text does not parse."""
        return self._parsed[0]

    @property
    def problem(self) -> SyntaxProblem | None:
        """Why the text does not parse, or None."""
        return self._parsed[1]

    @property
    def wrapped(self) -> bool:
        """Whether the whole text is one BEGIN ... COMMIT, which only says that it is to run in a transaction."""
        kinds = [s.cannot_run for s in self.statements]
        return (
            len(kinds) >= 2
            and kinds[0] in ("BEGIN", "START TRANSACTION")
            and kinds[-1] in ("COMMIT", "END")
            and not any(kinds[1:-1])
        )


_TRANSACTION_WORDS = {
    _KIND.TRANS_STMT_BEGIN: "BEGIN",
    _KIND.TRANS_STMT_START: "START TRANSACTION",
    _KIND.TRANS_STMT_COMMIT: "COMMIT",
    _KIND.TRANS_STMT_ROLLBACK: "ROLLBACK",
    _KIND.TRANS_STMT_SAVEPOINT: "SAVEPOINT",
    _KIND.TRANS_STMT_RELEASE: "RELEASE SAVEPOINT",
    _KIND.TRANS_STMT_ROLLBACK_TO: "ROLLBACK TO SAVEPOINT",
    _KIND.TRANS_STMT_PREPARE: "PREPARE TRANSACTION",
    _KIND.TRANS_STMT_COMMIT_PREPARED: "COMMIT PREPARED",
    _KIND.TRANS_STMT_ROLLBACK_PREPARED: "ROLLBACK PREPARED",
}


def _settings(node: Node, text: str) -> Iterator[tuple[str, bool]]:
    """(setting, whether only until the transaction ends) of what a statement changes, SET in a DO block too."""
    if node.WhichOneof("node") == "variable_set_stmt":
        if node.variable_set_stmt.name:
            yield node.variable_set_stmt.name.lower(), node.variable_set_stmt.is_local
    elif node.WhichOneof("node") == "do_stmt":
        body = plpgsql.parse_body(text)
        for query in body.queries if body else ():
            try:
                inner = postgast.parse(query.sql)
            except postgast.PgQueryError:
                continue  # a piece of what EXECUTE runs
            for raw in inner.stmts:
                yield from _settings(raw.stmt, query.sql)
    else:
        for call in postgast.find_nodes(node, postgast.pg_query_pb2.FuncCall):
            values = [argument.a_const for argument in call.args]
            if call.funcname and call.funcname[-1].string.sval == "set_config" and len(values) == 3:
                yield values[0].sval.sval.lower(), values[2].boolval.boolval


def only_sets(statement: str) -> bool:
    """Whether a statement does nothing but change settings of the session, by constants. Pure."""
    try:
        parsed = postgast.parse(statement).stmts
    except postgast.PgQueryError:
        return False
    if len(parsed) != 1:
        return False
    if parsed[0].stmt.WhichOneof("node") == "variable_set_stmt":
        return not parsed[0].stmt.variable_set_stmt.is_local
    select = parsed[0].stmt.select_stmt
    calls = [target.res_target.val.func_call for target in select.target_list]
    return (
        bool(calls)
        and not select.from_clause
        and all(
            call.funcname
            and call.funcname[-1].string.sval == "set_config"
            and all(one.HasField("a_const") for one in call.args)
            for call in calls
        )
    )


def _classify(node: Node) -> tuple[str | None, str | None]:
    """(what is refused inside a transaction, why it cannot run at all)."""
    kind = node.WhichOneof("node") or ""
    if kind == "transaction_stmt":
        # an isolation level or a chain is more than "in a transaction": such a BEGIN ... COMMIT is no mere wrapper
        statement = node.transaction_stmt
        more = " with modes" if statement.options else " AND CHAIN" if statement.chain else ""
        return None, _TRANSACTION_WORDS.get(statement.kind, "transaction control") + more
    if kind == "copy_stmt" and not node.copy_stmt.filename:
        return None, "COPY FROM STDIN" if node.copy_stmt.is_from else "COPY TO STDOUT"
    refused = _REFUSED.get(kind)
    return (refused(getattr(node, kind)) if callable(refused) else refused), None


def _refused_reindex(statement: Any) -> str | None:
    if any(param.def_elem.defname == "concurrently" for param in statement.params):
        return "REINDEX CONCURRENTLY"
    return "REINDEX of a schema or database" if statement.name else None


def _refused_alter_table(statement: Any) -> str | None:
    for command in statement.cmds:
        definition = getattr(command.alter_table_cmd, "def")
        if definition.WhichOneof("node") == "partition_cmd" and definition.partition_cmd.concurrent:
            return "DETACH PARTITION CONCURRENTLY"
    return None


def _where(condition: Callable[[Any], bool], words: str) -> Callable[[Any], str | None]:
    return lambda statement: words if condition(statement) else None


#: What the parser calls a statement -> what a transaction refuses, always or under a condition.
_REFUSED: dict[str, str | Callable[[Any], str | None]] = {
    "index_stmt": _where(lambda s: s.concurrent, "CREATE INDEX CONCURRENTLY"),
    "drop_stmt": _where(lambda s: s.concurrent, "DROP INDEX CONCURRENTLY"),
    "reindex_stmt": _refused_reindex,
    "vacuum_stmt": _where(lambda s: s.is_vacuumcmd, "VACUUM"),
    "cluster_stmt": _where(lambda s: not s.HasField("relation"), "CLUSTER of all tables"),
    "alter_table_stmt": _refused_alter_table,
    "discard_stmt": _where(lambda s: s.target == postgast.pg_query_pb2.DiscardMode.DISCARD_ALL, "DISCARD ALL"),
    "alter_system_stmt": "ALTER SYSTEM",
    "createdb_stmt": "CREATE DATABASE",
    "dropdb_stmt": "DROP DATABASE",
    "create_table_space_stmt": "CREATE TABLESPACE",
    "drop_table_space_stmt": "DROP TABLESPACE",
    "create_subscription_stmt": "CREATE SUBSCRIPTION",
    "drop_subscription_stmt": "DROP SUBSCRIPTION",
}
