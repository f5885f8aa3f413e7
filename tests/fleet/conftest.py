"""Fleets of real databases: copies of one with two migrations applied, of which the second adds a column."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from pg_servers import Server, with_system

import migrollback_nb as mr
from migrollback_nb import cli

NAME = "002_users_plan"


class Databases(NamedTuple):
    """What a test has of its databases."""

    names: list[str]
    server: Server
    folder: Path

    def dsn(self, name: str) -> str:
        return self.server.dsn(name)

    def dicts(self, **labels: Mapping[str, str]) -> list[dict[str, Any]]:
        return [{"name": name, "dsn": self.dsn(name), "labels": labels.get(name, {})} for name in self.names]

    def fleet(self, **options: Any) -> mr.Fleet:
        return mr.Fleet(self.dicts(), dir=self.folder, **options)

    def execute(self, name: str, statement: str) -> list[Any]:
        with psycopg.connect(self.dsn(name), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def rolled_back(self) -> dict[str, int]:
        """Name -> how many events say that the second migration was rolled back."""
        query = "SELECT count(*) FROM migration_events WHERE event = 'rolled_back' AND migration_name = '" + NAME + "'"
        return {name: self.execute(name, query)[0][0] for name in self.names}

    def write_targets(self, path: Path, **labels: Mapping[str, str]) -> Path:
        text = ""
        for one in self.dicts(**labels):
            said = ", ".join(f"{key} = {json.dumps(value)}" for key, value in one["labels"].items())
            text += f"[[target]]\nname = {json.dumps(one['name'])}\ndsn = {json.dumps(one['dsn'])}\n"
            text += f"labels = {{ {said} }}\n\n"
        path.write_text(text, encoding="utf-8")
        return path


@pytest.fixture(scope="module")
def fleet_template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A database with two migrations applied, and their folder."""
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "001_users.sql").write_text(
        "CREATE TABLE users (id int PRIMARY KEY);\n-- ROLLBACK START\nDROP TABLE users;\n-- ROLLBACK END\n"
    )
    (folder / f"{NAME}.sql").write_text(
        "-- Depends on: 001_users\nALTER TABLE users ADD plan text;\n"
        "-- ROLLBACK START\nALTER TABLE users DROP COLUMN plan;\n-- ROLLBACK END\n"
    )
    name = server.create_database(template=with_system(server))
    with mr.connect(server.dsn(name), dir=folder) as db:
        db.apply()
    yield name, folder
    server.drop_database(name)


@pytest.fixture
def databases(server: Server, fleet_template: tuple[str, Path], request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Copies of it: 4, or as many as the parameter says."""
    template, folder = fleet_template
    names = [server.create_database(template=template) for _ in range(getattr(request, "param", 4))]
    yield Databases(names, server, folder)
    for name in names:
        server.drop_database(name)


@pytest.fixture(autouse=True)
def runs_kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs are kept that no database keeps."""
    monkeypatch.setenv("MIGROLLBACK_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run() -> Callable[..., tuple[int, str, str]]:
    """A command line: exit status, standard output, standard error."""

    def run_one(*argv: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        return cli.run(["fleet", *argv], out, err, io.StringIO()), out.getvalue(), err.getvalue()

    return run_one
