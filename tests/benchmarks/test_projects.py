"""Grades against pg_dump: each migration of a published folder is applied and rolled back on a server by its own SQL
alone, without this system; the dumps from before and after are compared with the grade that `verify` gives it.

    PROJECT_FOLDERS=/path/one:/path/two pytest -n0 -q -s tests/benchmarks/test_projects.py

Behind a folder may stand what its command line would say: `/path/one,prelude=first.sql,rollbacks=/path/sql,on=DSN`.
PROJECT_NEWEST=20 looks at the newest twenty only. Prints for each folder what was read and refused and for which
reason, how the grades fall, a table of grades against dumps, and each disagreement.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from migrollback_nb.core import ordering
from migrollback_nb.core.results import MigrationProof, Proof
from migrollback_nb.files import preludes
from migrollback_nb.files.formats import MigrationFolder, find_folder, in_order
from migrollback_nb.files.formats.folder import FolderContents
from migrollback_nb.files.location import folder_path
from migrollback_nb.files.migration import MigrationFile
from migrollback_nb.replay import synthetic_rows, table_contents
from migrollback_nb.replay.proof import prove
from migrollback_nb.replay.scratch import Scratch, scratch
from migrollback_nb.servers.programs import wheel_programs

from . import dumps

NEWEST = int(os.environ.get("PROJECT_NEWEST", "0"))
#: The grade -> what the dumps must say. Which values a rollback loses depends on the rows: a grade may be stricter.
AGREES = {
    "restores": {"all back", "rows added"},  # a remark says which rows are left
    "loses_data": {"rows differ", "rows added", "all back"},
    "cannot_reapply": {"all back", "rows differ", "rows added"},
    "differs": {"schema differs"},
    "fails": {"fails", "up fails"},
    "no_rollback": {"-"},
    "unknown": {"-"},
}


@dataclass(frozen=True)
class Project:
    """A folder, and what its command line would say."""

    folder: str
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Project:
        folder, *said = text.split(",")
        return cls(folder, dict(one.split("=", 1) for one in said))

    @property
    def found(self) -> MigrationFolder:
        place = Path(self.folder)
        return find_folder(folder_path(place, self.options["rollbacks"]) if "rollbacks" in self.options else place)

    @property
    def first(self) -> Sequence[preludes.Prelude]:
        return preludes.find(self.options.get("prelude"), beside=self.found.rollbacks)


def projects() -> list[Project]:
    """Those of the variable; a colon that stands in a DSN is followed by slashes or digits."""
    text = os.environ.get("PROJECT_FOLDERS", "")
    return [Project.of(one) for one in re.split(r":(?!//|\d)", text) if one]


@pytest.mark.parametrize("project", projects() or [None], ids=lambda one: one and Path(one.folder).name)
def test_grades_against_dumps(project: Project | None, capsys: pytest.CaptureFixture[str]) -> None:
    if project is None:
        pytest.skip("no folder: PROJECT_FOLDERS=/path/one:/path/two names them")
    contents = project.found.read_all()
    by_name = {file.name: file for file in contents.files}
    order = ordering.order(
        {name: file.depends_on for name, file in by_name.items()}, like=[f.name for f in in_order(contents.files)]
    )
    files = [by_name[name] for name in order]
    chosen = [file.name for file in (files[-NEWEST:] if NEWEST else files)]
    proof = prove(contents, chosen, on=project.options.get("on"), first=project.first, own_server=True)
    grades = {one.migration_name: one for one in proof.migrations}
    table: Counter[tuple[str, str]] = Counter()
    disagreements = []
    with scratch(files, on=project.options.get("on"), private=True, preludes=project.first, own_server=True) as place:
        for file, truth in Truth(place).of_all(files, set(chosen)):
            one = grades[file.name]
            table[one.grade, truth.verdict] += 1
            if not agrees(one, truth):
                disagreements.append((file.name, one, truth))
    with capsys.disabled():
        report(project, contents, proof, table, len(disagreements))
        for name, one, truth in disagreements:
            print(f"  {name}: {one.grade}, the dumps say {truth.verdict}: {truth.why}")
            print("     ", *(str(said)[:160] for said in (*one.differences, *one.effects, *one.remarks)), sep=" | ")
    assert [
        (name, one.grade, truth.verdict) for name, one, truth in disagreements if truth.contradicts(one.grade)
    ] == []


def agrees(one: MigrationProof, truth: Answer) -> bool:
    """Whether a grade says what the dumps say, where both looked at the same rows."""
    if any("only because the tables hold rows" in remark for remark in one.remarks):
        return True  # rows that are made up otherwise need not be in the way
    return truth.verdict in AGREES[one.grade]


def report(
    project: Project, contents: FolderContents, proof: Proof, table: Counter[tuple[str, str]], disagreements: int
) -> None:
    """Print what was found."""
    files = contents.files
    tools = Counter(file.tool or "our own format" for file in files)
    print(f"\n{project.folder} on {proof.server}")
    print(f"read: {len(files)} ({', '.join(f'{tool} {count}' for tool, count in tools.items())})")
    print(f"refused: {len(contents.errors)}")
    for error in contents.errors:
        print(f"  {error}")
    print(f"without rollback SQL: {sum(file.rollback is None for file in files)}")
    for warning in proof.warnings:
        print(f"  {warning[:400]}")
    print("grades:", ", ".join(f"{grade} {count}" for grade, count in proof.counts.items() if count))
    print("| grade | dumps | how many |\n| --- | --- | --- |")
    for (grade, verdict), count in sorted(table.items()):
        print(f"| {grade} | {verdict} | {count} |")
    print(f"{table.total() - disagreements} of {table.total()} grades are what the dumps say")


# -- what is so --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What became of one migration on a real server."""

    verdict: str
    why: str = ""
    forbidden: bool = False  #: a constraint forbids to roll it back with these rows

    def contradicts(self, grade: str) -> bool:
        """Whether the grade is better than the truth: never may it be."""
        good = {"restores": 3, "loses_data": 2, "cannot_reapply": 2, "differs": 1, "fails": 0}
        true = {"all back": 3, "rows added": 3, "rows differ": 2, "schema differs": 1, "fails": 0, "up fails": 0}
        return good.get(grade, 0) > true.get(self.verdict, 0)


class Truth:
    """Runs migrations by their own SQL alone, each in a copy of a database that holds all before it."""

    def __init__(self, place: Scratch) -> None:
        self._place = place
        self._programs = wheel_programs().bin

    def of_all(self, files: Sequence[MigrationFile], chosen: set[str]) -> Iterator[tuple[MigrationFile, Answer]]:
        """Each migration that is chosen, in order, with what became of it; the others are only applied."""
        for file in files:
            if file.name in chosen:
                yield file, self._try(file)
            if file.is_up_known:
                self._place.database.close()
                with connected(self._place.dsn) as connection, suppress(psycopg.Error):
                    run_up(connection, file)

    def _try(self, file: MigrationFile) -> Answer:
        if not file.is_up_known:
            return Answer("-")
        answers = [self._in_a_copy(file, rows=True)]
        # rows that were made up may not fit: the grade counts without them then, unless a constraint forbids them
        if answers[0].verdict in ("up fails", "fails", "schema differs") and not answers[0].forbidden:
            answers.append(self._in_a_copy(file, rows=False))
        return answers[-1]

    def _in_a_copy(self, file: MigrationFile, *, rows: bool) -> Answer:
        self._place.database.close()
        name = self._place.create(template=self._place.name)
        dsn = self._place.dsn_of(name)
        try:
            if rows:
                fill(dsn, self._place.schema)
            before = self._dump(dsn)
            try:
                with connected(dsn) as connection:
                    run_up(connection, file)
            except psycopg.Error as error:
                return Answer("up fails", str(error).split("\n")[0])
            if file.rollback is None:
                return Answer("-")
            try:
                with connected(dsn) as connection:
                    run_rollback(connection, file)
            except psycopg.Error as error:
                return Answer("fails", str(error).split("\n")[0], (error.sqlstate or "").startswith("23"))
            return compared(before, self._dump(dsn))
        finally:
            self._place.drop(name)

    def _dump(self, dsn: str) -> dumps.Dump:
        return dumps.take(self._programs, dsn, without=self._place.schema)


def compared(before: dumps.Dump, after: dumps.Dump) -> Answer:
    """What two dumps say."""
    if differs := before.schema_differs(after):
        return Answer("schema differs", " / ".join(" ".join(one.split())[:160] for one in differs[:4]))
    if differs := before.rows_lost(after) + before.sequences_restarted(after):
        return Answer("rows differ", ", ".join(differs))
    if differs := before.rows_differ(after) + before.rows_added(after):
        return Answer("rows added", ", ".join(differs))
    return Answer("all back")


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection]:
    connection = psycopg.connect(dsn, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()


def fill(dsn: str, system: str) -> None:
    """A few rows into each table: what no one lost cannot be missed."""
    with connected(dsn) as connection, suppress(psycopg.Error, AssertionError):
        found = table_contents.read(connection, table_contents.tables(connection, besides=[system]))
        empty = [content.table for content in found.values() if content.count == 0]
        synthetic_rows.fill(connection, empty, synthetic=synthetic_rows.Synthetic())


def run_up(connection: psycopg.Connection, file: MigrationFile) -> None:
    statements = file.up_statements() if file.up.problem is None else [file.up.text]
    run(connection, statements, whole=file.runs_whole)


def run_rollback(connection: psycopg.Connection, file: MigrationFile) -> None:
    block = file.rollback
    assert block is not None
    statements = block.statement_texts() if block.problem is None else [block.sql]
    run(connection, statements, whole=block.transaction)


def run(connection: psycopg.Connection, statements: Sequence[str], *, whole: bool) -> None:
    if whole:
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode(), prepare=False)
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    else:
        for statement in statements:
            connection.execute(statement.encode(), prepare=False)
        with suppress(psycopg.Warning):
            connection.execute("COMMIT")
