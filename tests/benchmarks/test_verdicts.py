"""Verdicts against the truth: every migration of a folder is applied, assessed, rehearsed and rolled back in a copy,
and the whole dump before it is compared with the one after its rollback.

    VERDICT_FOLDERS=/path/one:/path/two pytest tests/benchmarks/test_verdicts.py -s

Without the variable it is the folder of the demo. VERDICT_NEWEST=20 compares the newest twenty only, VERDICT_PROVEN=1
records before what `verify` finds out. Prints a table of verdicts against the truth, and each disagreement.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

import migrollback_nb as mr
from migrollback_nb.files.formats import find_folder, in_order
from migrollback_nb.replay import synthetic_rows, table_contents
from migrollback_nb.servers.programs import wheel_programs

from . import dumps

SYSTEM = "migrollback_system"
DEMO = Path(mr.__file__).parent / "cli" / "demo" / "migrations"
FOLDERS = [Path(one) for one in os.environ.get("VERDICT_FOLDERS", str(DEMO)).split(":")]
#: How many migrations of a folder, the newest: all by default.
NEWEST = int(os.environ.get("VERDICT_NEWEST", "0"))
#: Only these, and what differs for each: VERDICT_NAMES=20250101_a,20250102_b.
NAMES = frozenset(filter(None, os.environ.get("VERDICT_NAMES", "").split(",")))
PROVEN = os.environ.get("VERDICT_PROVEN") == "1"
#: What the verification says -> what the dumps must say.
AGREES = {"restored": {"all back"}, "schema_restored": {"schema back"}, "differs": {"schema differs"}}


@pytest.fixture
def programs() -> Path:
    """Where the embedded server's pg_dump is."""
    return wheel_programs().bin


def fill(connection: psycopg.Connection, synthetic: synthetic_rows.Synthetic) -> None:
    """A few rows into each table that has none: what no one lost cannot be missed."""
    with suppress(psycopg.Error, AssertionError):
        found = table_contents.read(connection, table_contents.tables(connection, besides=[SYSTEM]))
        empty = [content.table for content in found.values() if content.count == 0]
        synthetic_rows.fill(connection, empty, synthetic=synthetic)


def empty(connection: psycopg.Connection) -> None:
    """Delete the rows of all tables but the system's."""
    tables = table_contents.tables(connection, besides=[SYSTEM])
    if tables:
        connection.execute(f"TRUNCATE {', '.join(table.identity for table in tables)} CASCADE")


def truth(before: dumps.Dump, after: dumps.Dump) -> str:
    """What the dumps say."""
    if before.schema_differs(after):
        return "schema differs"
    if before.rows_differ(after) or before.rows_added(after) or before.sequences_restarted(after):
        return "schema back"
    return "all back"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_against_the_truth(
    folder: Path, new_database: Callable[[], str], server_dsn: str, programs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = new_database()
    rows: Counter[tuple[str, str, str]] = Counter()
    lies, disagreements, skipped, details = [], [], [], []
    for name, copy, before in walk(folder, dsn, server_dsn, programs, skipped):
        with mr.connect(copy, schema=SYSTEM, dir=folder) as db:
            with suppress(mr.MigrollbackError):
                db.rehearse(name, consent=True)
            known = db.assess(name)
            try:
                result = db.rollback(name, confirm=name)
                said = result.verification.verdict if result.verification else "none"
            except mr.MigrollbackError as error:
                said = "refused" if isinstance(error, mr.Refused) else "fails"
        if said in ("refused", "fails"):
            rows[known.verdict, said, "-"] += 1
            if known.verdict == "ready":
                lies.append((name, known.verdict, said))
            continue
        after = dumps.take(programs, copy, without=SYSTEM)
        is_so = truth(before, after)
        details += [name, known.headline, said, is_so, *before.schema_differs(after)] if NAMES else []
        rows[known.verdict, said, is_so] += 1
        if is_so != "all back" and (said == "restored" or known.verdict == "ready"):
            lies.append((name, known.headline, said, is_so))
        if is_so not in AGREES.get(said, set()):
            disagreements.append((name, known.headline, said, is_so))
    with capsys.disabled():
        print(f"\n{folder}: {sum(rows.values())} rolled back, {len(skipped)} not applied")
        print("| assessed | verified | truth | how many |\n| --- | --- | --- | --- |")
        for (assessed, said, is_so), number in sorted(rows.items()):
            print(f"| {assessed} | {said} | {is_so} | {number} |")
        for one in (*disagreements, *(("not applied", *one) for one in skipped)):
            print(" ", *one)
        print("\n".join(details))
    assert lies == []


def walk(
    folder: Path, dsn: str, server_dsn: str, programs: Path, skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, str, dumps.Dump]]:
    """Apply a folder one by one: each migration's name, a copy of the database after it, and the dump before it."""
    database = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    synthetic = synthetic_rows.Synthetic()
    with mr.connect(dsn, schema=SYSTEM) as db:
        db.install()
    if PROVEN:
        with mr.connect(dsn, schema=SYSTEM, dir=folder) as db:
            db.verify(record=True)
    files = in_order(find_folder(folder).read_all().files)
    last = max((number for number, file in enumerate(files, 1) if file.name in NAMES), default=len(files))
    for number, file in enumerate(files[:last], 1):
        with mr.connect(dsn, schema=SYSTEM, dir=folder) as db:
            fill(db.database.connection, synthetic)
            wanted = file.name in NAMES if NAMES else not NEWEST or number > len(files) - NEWEST
            before = dumps.take(programs, dsn, without=SYSTEM) if wanted else None
            try:
                db.apply(file.name)
            except mr.MigrollbackError:
                # made up rows that it does not meet: it gets a database without any
                empty(db.database.connection)
                before = dumps.take(programs, dsn, without=SYSTEM) if wanted else None
                try:
                    db.apply(file.name)
                except mr.MigrollbackError as error:
                    skipped.append((file.name, str(error).split("\n", 1)[0]))
                    continue
        if before is None:
            continue
        copy = f"{database}_copy"
        with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{database}"')
            try:
                yield file.name, psycopg.conninfo.make_conninfo(server_dsn, dbname=copy), before
            finally:
                admin.execute(f'DROP DATABASE "{copy}" WITH (FORCE)')
