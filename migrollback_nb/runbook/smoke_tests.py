"""Smoke tests: the user's SQL with the result that is expected of it, and how an answer compares. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import postgast

from migrollback_nb.core.errors import UsageError

#: How much of a result is kept, in characters.
_KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest:
    """One question, and the answer that is expected."""

    name: str  #: what it shows
    sql: str  #: one statement; it runs read-only
    expected: Any  #: a value, one row (a tuple) or several (a list of tuples); None where a NULL is expected

    def matches(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Whether the rows that came are those that are expected; does not write."""
        return bool(_plain(rows) == _plain(self.rows))

    @property
    def rows(self) -> Sequence[Sequence[Any]]:
        """What is expected, as rows."""
        if isinstance(self.expected, list):
            return [row if isinstance(row, list | tuple) else (row,) for row in self.expected]
        return [self.expected if isinstance(self.expected, tuple) else (self.expected,)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeResult:
    """How one test went."""

    name: str  #: the test
    sql: str  #: its statement
    success: bool  #: whether it was as expected
    expected: str  #: as text
    found: str  #: as text; an error with its SQLSTATE
    ms: float  #: how long it took, in milliseconds

    def to_dict(self) -> dict[str, Any]:
        """For the audit log."""
        return {
            "name": self.name,
            "sql": self.sql,
            "success": self.success,
            "expected": self.expected,
            "found": self.found,
            "ms": self.ms,
        }


def read_tests(given: Iterable[SmokeTest | Mapping[str, Any] | tuple[str, Any]]) -> tuple[SmokeTest, ...]:
    """Smoke tests as people write them; pure.

    ``("SELECT count(*) FROM users", 100)``, or with a name: ``{"name": ..., "sql": ..., "expected": ...}``.

    Raises
    ------
    UsageError
        When one of them is neither.

    Examples
    --------
    >>> read_tests([("SELECT 1", 1)])[0].name
    'SELECT 1'
    """
    tests = []
    for one in given:
        match one:
            case SmokeTest():
                test = one
            case {"sql": str(sql), "expected": expected, **others}:
                test = SmokeTest(name=str(others.get("name", sql)), sql=sql, expected=expected)
            case (str(sql), expected):
                test = SmokeTest(name=sql, sql=sql, expected=expected)
            case _:
                raise UsageError(
                    f"This is no smoke test: {str(one)[:80]}",
                    hint='Write ("SELECT count(*) FROM users", 100), or {"name": ..., "sql": ..., "expected": ...}.',
                )
        _require_one_question(test)
        tests.append(test)
    return tuple(tests)


def _require_one_question(test: SmokeTest) -> None:
    """One statement, and none that ends its read-only transaction: behind a COMMIT, what follows could write."""
    try:
        kinds = [raw.stmt.WhichOneof("node") for raw in postgast.parse(test.sql).stmts]
    except postgast.PgQueryError as error:
        raise UsageError(f"Smoke test {test.name} is no SQL: {error}", hint="Write one statement.") from None
    if len(kinds) != 1 or kinds[0] in ("transaction_stmt", "variable_set_stmt"):
        raise UsageError(
            f"Smoke test {test.name} is not one question",
            hint="Write one statement that returns rows; each test runs in a transaction of its own.",
        )


def compare(test: SmokeTest, rows: Sequence[Sequence[Any]] | None, error: str | None, ms: float) -> SmokeResult:
    """How a test went, by what came back: rows, or an error; pure."""
    success = rows is not None and test.matches(rows)
    found = error if rows is None else _text(rows)
    return SmokeResult(
        name=test.name, sql=test.sql, success=success, expected=_text(test.rows), found=(found or "")[:_KEPT], ms=ms
    )


def _plain(rows: Iterable[Iterable[Any]]) -> list[list[Any]]:
    """Numbers as numbers; what JSON has no word for (times, uuids) as text, as a person writes it."""
    return [
        [value if isinstance(value, bool | str | None) else _number_or_text(value) for value in row] for row in rows
    ]


def _number_or_text(value: Any) -> Any:
    from decimal import Decimal

    return value if isinstance(value, int | float | Decimal | list | dict) else str(value)


def _text(rows: Sequence[Sequence[Any]]) -> str:
    shown: Any = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else [list(row) for row in rows]
    return json.dumps(shown, ensure_ascii=False, default=str)[:_KEPT]
