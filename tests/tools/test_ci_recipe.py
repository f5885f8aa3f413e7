"""The recipe for CI of docs/how-to/ci.md, played as it is printed:
its steps run by bash, beside the real Supabase CLI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from watching import exists, value

PROGRAMS = Path(__file__).parents[1] / "deploy_tools" / "node_modules" / ".bin"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "ci.md"
LEDGER = "SELECT version FROM supabase_migrations.schema_migrations ORDER BY 1"


def steps() -> dict[str, str]:
    """Name of a step -> what it runs, of the recipe on the page."""
    recipe = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    found: dict[str, list[str]] = {}
    for line in recipe.splitlines():
        if line.startswith("- name: "):
            found[line.removeprefix("- name: ")] = commands = []
        elif line.startswith("    "):
            commands.append(line.strip())
        elif line.startswith("  run: ") and line != "  run: |":
            commands.append(line.removeprefix("  run: "))
    return {name: "\n".join(commands) for name, commands in found.items()}


class Pipeline:
    """A checkout with migrations, and the jobs that run on it."""

    def __init__(self, root: Path, dsn: str) -> None:
        self.root = root
        self.migrations = root / "supabase" / "migrations"
        self.migrations.mkdir(parents=True)
        parts = {"port": "5432"} | {key: str(part) for key, part in psycopg.conninfo.conninfo_to_dict(dsn).items()}
        url = f"postgres://{parts['user']}@localhost:{parts['port']}/{parts['dbname']}?host={parts['host']}&sslmode=disable"
        tools = root / "bin"
        tools.mkdir()
        # `supabase db push` of a linked project; here the project is a database that is named
        self._program(
            tools / "supabase", f'"{PROGRAMS / "supabase"}" migration up --include-all --yes "--remote={url}"'
        )
        self._program(tools / "migrollback", f'"{sys.executable}" -m migrollback_nb.cli "$@"')
        self.environment = os.environ | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "DATABASE_URL": dsn,
            "HOME": str(root),
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "GITHUB_SHA": "5f2c1e",
        }

    def _program(self, path: Path, command: str) -> None:
        path.write_text(f"#!/bin/sh\nexec {command}\n")
        path.chmod(0o755)

    def write(self, number: int, name: str, up: str | None = None) -> None:
        self.migrations.joinpath(f"2026010{number}000000_{name}.sql").write_text(
            f"{up or f'create table public.{name} (id int);'}\n-- ROLLBACK START\n-- drop table public.{name};\n--"
            " ROLLBACK END\n"
        )

    def job(self, run_id: str, *, application: str) -> str:
        """Run the steps as GitHub does: stop at the first that fails, then the one for failures.
        Returns what they said."""
        (self.root / "deploy.sh").write_text(f"#!/bin/sh\n{application}\n")
        (self.root / "deploy.sh").chmod(0o755)
        said = ""
        failed = False
        for name, commands in steps().items():
            if (name == "Rollback on Failure") != failed:
                continue
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", commands],
                check=False,
                cwd=self.root,
                env=self.environment | {"GITHUB_RUN_ID": run_id},
                capture_output=True,
                text=True,
                timeout=300,
            )
            said += done.stdout + done.stderr
            if name == "Rollback on Failure":
                assert done.returncode == 0, said
            failed = failed or done.returncode != 0
        return said


@pytest.fixture
def pipeline(tmp_path: Path, database_dsn: str) -> Pipeline:
    if not os.environ.get("REQUIRE_DEPLOY_TOOLS") and not (PROGRAMS / "supabase").exists():
        pytest.skip("this machine has no supabase (npm install --prefix tests/deploy_tools)")
    return Pipeline(tmp_path, database_dsn)


@pytest.mark.long
def test_the_recipe_drops_what_the_failed_deploy_brought_and_nothing_else(pipeline, session):
    connection = session()
    pipeline.write(
        1, "orders", "create table public.orders (id int); insert into public.orders select generate_series(1, 1000);"
    )
    pipeline.job("1", application="true")

    pipeline.write(2, "notes")
    for run_id in ("2", "3"):  # the same migration fails twice in a row: it is pushed again, and rolled back again
        assert "Migration rolled back successfully" in pipeline.job(run_id, application="false")
        assert not exists(connection, "notes")
    assert "Migration rolled back successfully" in pipeline.job("3", application="false"), (
        "a job that is run again under its label"
    )
    assert not exists(connection, "notes")

    (pipeline.migrations / "20260102000000_notes.sql").unlink()
    assert "Deploy 4 brought nothing: there is nothing to roll back" in pipeline.job("4", application="false")

    for number, name in ((3, "a"), (4, "b"), (5, "c")):
        pipeline.write(number, name)
    assert "3 migrations rolled back successfully" in pipeline.job("5", application="false")
    assert [exists(connection, name) for name in "abc"] == [False, False, False]

    pipeline.write(
        4, "b", "create table public.b (id int); select 1/0;"
    )  # the push itself breaks off at the second of three
    assert "Migration rolled back successfully" in pipeline.job("6", application="true")
    assert [exists(connection, name) for name in "abc"] == [False, False, False]

    assert value(connection, "SELECT count(*) FROM orders") == 1000
    assert [version for (version,) in connection.execute(LEDGER)] == ["20260101000000"]
