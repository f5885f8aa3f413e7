"""How long a release takes to go back, beside psql in a loop: pytest tests/benchmarks/test_releases.py.
Not part of the default run.

The folders are those of public projects, which are not part of this one: GRAPH_NODE_MIGRATIONS names graph-node's
store/postgres/migrations, CONCOURSE_MIGRATIONS concourse's atc/db/migration/migrations.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg
import pytest

import migrollback_nb as mr

from .conftest import Measure, seconds

ROUNDS = 3


def folder_of(variable: str) -> Path:
    found = os.environ.get(variable)
    if found is None:
        pytest.skip(f"{variable} is not set: it names the folder of migrations")
    return Path(found)


def graph_node(source: Path, folder: Path) -> None:
    """Its folder as it is."""
    shutil.copytree(source, folder)
    complete(folder.glob("*/down.sql"))


def concourse(source: Path, folder: Path) -> None:
    """Its SQL up to an extension that the server has not; of what it does in Go the DDL alone: there are no rows."""
    folder.mkdir()
    for path in sorted(source.glob("*.sql")):
        shutil.copy(path, folder)
    for path in sorted(source.glob("[0-9]*.go")):
        ddl = re.findall(r'Exec\("((?:ALTER|CREATE|DROP)[^"$]*)"', path.read_text(encoding="utf-8"))
        (folder / f"{path.stem}.sql").write_text(";\n".join([*ddl, "SELECT 1"]) + ";\n", encoding="utf-8")
    needing = [path.name for path in folder.glob("*.up.sql") if "pgcrypto" in path.read_text(encoding="utf-8")]
    for path in sorted(folder.iterdir()):
        if needing and path.name.partition("_")[0] >= min(needing).partition("_")[0]:
            path.unlink()
    names = {path.name.partition(".")[0] for path in folder.iterdir()}
    complete(folder / f"{name}.{way}.sql" for name in names for way in ("up", "down"))


def complete(files: Iterable[Path]) -> None:
    """Write a statement that does nothing where there is none: a quotation, a comment, or no file at all."""
    for file in files:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if not re.sub(r"--[^\n]*|/\*.*?\*/|\s|BEGIN;|COMMIT;", "", text, flags=re.DOTALL):
            file.write_text("SELECT 1;\n", encoding="utf-8")


@pytest.fixture
def copies(server_dsn: str, new_database: Callable[[], str]) -> Iterator[Callable[[Path], Callable[[], str]]]:
    """Apply a folder once; what is returned makes a copy of that database each time."""
    made: list[str] = []

    def apply(folder: Path) -> Callable[[], str]:
        template = new_database()
        with mr.connect(template, dir=folder) as db:
            db.install()
            db.apply(snapshots="none")

        def copy() -> str:
            name = f"copy_{len(made)}_{os.urandom(4).hex()}"
            source = psycopg.conninfo.conninfo_to_dict(template)["dbname"]
            with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE {source}")
                connection.execute("CHECKPOINT")
            made.append(name)
            return psycopg.conninfo.make_conninfo(server_dsn, dbname=name)

        return copy

    yield apply
    with psycopg.connect(server_dsn, dbname="postgres", autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def by_psql(dsn: str, texts: Sequence[tuple[str, str]], folder: Path) -> float:
    """The same SQL, a process of psql for each migration, as a script would."""
    files = []
    for name, text in texts:
        files.append(folder / f"{name}.psql")
        files[-1].write_text(text, encoding="utf-8")
    began = perf_counter()
    for file in files:
        subprocess.run(["psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(file), dsn], check=True)
    return perf_counter() - began


def by_us(dsn: str, folder: Path, words: Sequence[str]) -> float:
    command = [sys.executable, "-m", "migrollback_nb.cli", "--dsn", dsn, "--dir", str(folder), "rollback", *words]
    began = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


@pytest.mark.parametrize("case", [("GRAPH_NODE_MIGRATIONS", 13, 4), ("CONCOURSE_MIGRATIONS", 100, 1.5)])
def test_a_release_goes_back(
    table: list[Measure], copies: Callable[[Path], Callable[[], str]], tmp_path: Path, case: tuple[str, int, float]
) -> None:
    """`--last 13`, and `--to` over 100 migrations, each in one transaction, with snapshots and verification."""
    variable, count, most = case
    source, folder = folder_of(variable), tmp_path / "migrations"
    (concourse if variable.startswith("CONCOURSE") else graph_node)(source, folder)
    copy = copies(folder)
    dsn = copy()
    with mr.connect(dsn, dir=folder) as db:
        preview = db.preview(last=count)
        names = [name for name, _ in preview.steps]
        older = db.plan(last=count + 1).steps[-1]
        texts = [(name, db.database.queries.find(name)["rollback_sql"]) for name in names]
    words = ["--to", older, "--confirm", older] if count == 100 else ["--last", str(count), "--confirm", names[0]]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(by_psql(copy(), texts, tmp_path))
        ours.append(by_us(copy(), folder, words))
    measure = Measure(
        what=f"rollback {words[0]} of {count} ({variable.split('_MIG', maxsplit=1)[0].lower()})",
        ours=median(ours),
        compared_with="psql for each",
        other=median(theirs),
        bound=f"{most}",
    )
    table.append(measure)
    assert measure.ours <= most * (measure.other or 0), measure


def test_the_plan_of_300(table: list[Measure], new_database: Callable[[], str], tmp_path: Path) -> None:
    """Order, verdict and effects of 300 migrations, each of which depends on the one before."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for number in range(1, 302):
        needs = f"-- Depends on: {number - 1:03}_t\n" if number > 1 else ""
        up, undo = f"CREATE TABLE t{number} (id int);", f"DROP TABLE t{number};"
        text = f"{needs}{up}\n-- ROLLBACK START\n{undo}\n-- ROLLBACK END\n"
        (folder / f"{number:03}_t.sql").write_text(text, encoding="utf-8")
    with mr.connect(new_database(), dir=folder) as db:
        db.install()
        db.apply(snapshots="none")
        assert len(db.plan(to="001_t").steps) == 300
        took = seconds(lambda: db.plan(to="001_t"), rounds=3)
    table.append(Measure(what="plan of 300", ours=took, compared_with="", other=None, bound="1 s"))
    assert took <= 1
