"""Whole dumps of pg_dump, compared without the order of columns and rows: what a rollback really brought back. Pure,
but for `take`."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from migrollback_nb.files.preludes import without_own_options

_COPY = re.compile(r"^COPY (.+?) \((.*)\) FROM stdin;$")
#: What 'now'::timestamp becomes in a view: it differs whenever the view is created again.
_CREATED_AT = re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+(\+\d\d)?'(?=::timestamp)")
#: PostgreSQL 18 gives each NOT NULL a name, which no one has chosen and no rollback brings back.
_NOT_NULL = re.compile(r"CONSTRAINT \S+_not_null\d* NOT NULL")
_SEQUENCE = re.compile(r"^SELECT pg_catalog\.setval\('(.+?)', (\d+), (true|false)\);$")


@dataclass(frozen=True, slots=True)
class Dump:
    """What one dump holds."""

    statements: frozenset[str]  #: of the schema, each without the order of its columns
    rows: dict[str, tuple[tuple[tuple[str, str], ...], ...]]  #: table -> rows, each (column, value)
    sequences: dict[str, int] = field(default_factory=dict)  #: sequence -> the number that comes next

    def schema_differs(self, other: Dump) -> list[str]:
        """Statements that only one of the two has."""
        return sorted(self.statements ^ other.statements)

    def rows_differ(self, other: Dump) -> list[str]:
        """Tables of this dump whose rows the other has not alike."""
        return sorted(table for table, rows in self.rows.items() if rows and other.rows.get(table, ()) != rows)

    def rows_lost(self, other: Dump) -> list[str]:
        """Tables of this dump that hold a row which the other has not alike, whatever the other has besides."""
        return sorted(table for table, rows in self.rows.items() if Counter(rows) - Counter(other.rows.get(table, ())))

    def rows_added(self, other: Dump) -> list[str]:
        """Tables in which the other has rows and this one none."""
        return sorted(table for table, rows in other.rows.items() if rows and not self.rows.get(table))

    def sequences_restarted(self, other: Dump) -> list[str]:
        """Sequences that the other has at an earlier number, or not at all."""
        return sorted(name for name, number in self.sequences.items() if other.sequences.get(name, 0) < number)


def take(programs: Path, dsn: str, *, without: str) -> Dump:
    """Dump a database, but for one schema. Does not write."""
    command = [str(programs / "pg_dump"), "-d", dsn, "-N", without, "--restrict-key", "same"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "restrict-key" in done.stderr:
        done = subprocess.run(command[:-2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read(without_own_options(done.stdout))


def read(text: str) -> Dump:
    """A dump from its text."""
    statements: set[str] = set()
    rows: dict[str, tuple[tuple[tuple[str, str], ...], ...]] = {}
    sequences: dict[str, int] = {}
    current: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        if copy := _COPY.match(line):
            columns = copy[2].split(", ")
            found = []
            for row in lines:
                if row == "\\.":
                    break
                found.append(tuple(sorted(zip(columns, row.split("\t"), strict=True))))
            rows[copy[1]] = tuple(sorted(found))
        elif sequence := _SEQUENCE.match(line):
            sequences[sequence[1]] = int(sequence[2]) + (sequence[3] == "true")
        elif line.startswith(("-- Name: ", "-- Data for Name: ")):
            statements.add(_statement(current))
            current = []
        elif not line.startswith(("--", "\\")) and line and not line.startswith("SET default_"):
            current.append(line)
    statements.add(_statement(current))
    return Dump(frozenset(statements - {""}), rows, sequences)


def _statement(lines: list[str]) -> str:
    """A statement with its inner lines in order of name: a column that is added again comes last."""
    if lines and lines[0].startswith(("CREATE TABLE", "CREATE FOREIGN TABLE", "CREATE UNLOGGED TABLE")):
        head, rest = lines[0], sorted(_NOT_NULL.sub("NOT NULL", line.strip().removesuffix(",")) for line in lines[1:])
        return "\n".join((head, *rest))
    return _CREATED_AT.sub("'<when it was created>'", "\n".join(lines))
